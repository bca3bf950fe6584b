/*
 * Which instructions store to memory, and where to: read from objdump, which
 * prints each with its operands and the source line that it was compiled from.
 */
#ifndef STEP_STORES_H
#define STEP_STORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct range {
    uintptr_t from, to;
};
/* The memory that a process shares: its mappings of files of $MQX_DIR. */
struct ranges {
    size_t count;
    struct range range[64];
};

/* An instruction that may store elsewhere than to its own stack frame or its library's data. */
struct store {
    uintptr_t at;
    /* base + scale * index + displacement; registers as numbers in the table of stores.c, or -1. */
    int8_t base, index;
    uint8_t scale;
    int64_t displacement;
    const char *file, *function; /* the innermost ones, of what was inlined; NULL: not known */
    const char *symbol;          /* in whose code it is */
    unsigned line;
    bool engine; /* in one of the engine's files, or inlined there */
    /* Noted by who steps. */
    bool private; /* stored to other memory than a file of $MQX_DIR */
    /* In which operations (coverage.c) it stored to such a file, a process was killed, stopped
     * right after that. */
    uint64_t shared, killed, stopped;
};

/* Reads the preloaded library and libc.  NULL, or why that cannot be done. */
const char *stores_load(void);
/* The store that this instruction is, or NULL. */
struct store *stores_at(uintptr_t instruction);
/* All of them, by address. */
struct store *stores_all(size_t *count);
/* Is this instruction in the library?  (True where that cannot be told.) */
bool stores_inside(uintptr_t instruction);
/* What it stores to, in a process with these registers that is about to run it. */
uintptr_t stores_target(const struct store *store, const struct user_regs_struct *regs);
/* The path (4096 bytes) and the load address of the mapped library whose name contains this. */
bool stores_find_library(const char *name, char *path, uintptr_t *base);
/* A file's name without its folders. */
const char *stores_name(const char *file);

void ranges_read(struct ranges *ranges, pid_t pid);
bool ranges_have(const struct ranges *ranges, uintptr_t address);

#endif

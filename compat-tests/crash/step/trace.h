/*
 * A process under the debugger's hand: one instruction at a time to see what its
 * call does, and then, in a process that does the same, straight to any one of
 * these instructions.
 *
 * The process traps itself (int3) before the call, and stops itself after it.
 */
#ifndef STEP_TRACE_H
#define STEP_TRACE_H

#include "stores.h"

#include <stdatomic.h>

/* One instruction that was run. */
struct point {
    uintptr_t at;
    struct store *store; /* what it stored to shared memory; NULL: nothing */
    int call;            /* the number of the system call that it made; -1: none */
    unsigned nth, of;    /* this is its nth execution of so many */
};

/* Position n is where n instructions were run: before points[n]. */
struct trace {
    struct point *points;
    size_t count;
};

/* Who is traced. */
struct traced {
    pid_t pid;
    _Atomic uint32_t *phase; /* TRACE_OVER once the call returned */
    bool sleep_ends;         /* its part is over when it is about to sleep */
    void (*wake)(void);      /* called when it is asleep; NULL: its call does not sleep */
    uint64_t woken;          /* when that was */
};
#define TRACE_OVER 2u

/* Wait until it traps itself. */
void trace_begin(const struct traced *t);
/* The same for a thread that is asleep; let it come out of that. */
void trace_attach(const struct traced *t);
void trace_leave_call(struct traced *t);
/* Let it run, and be nobody's any more. */
void trace_detach(const struct traced *t);
/* Let it run to the end of its call, and note each instruction. */
void trace_record(struct traced *t, struct trace *trace);
/* Let it run to that position.  Returns what it did last, or NULL: nothing, or another thing than
 * was noted.  It may be at the end of its call already: see phase. */
const struct point *trace_go(struct traced *t, const struct trace *trace, size_t position);
/* Let it sleep, and stop it there.  False: it did not sleep. */
bool trace_go_asleep(struct traced *t);
/* Let it run to the end of its call. */
void trace_finish(struct traced *t);
void trace_kill(const struct traced *t);

/* Is the process asleep in a futex, in poll, or in one of the kernel's own message queues? */
bool trace_asleep(pid_t pid);
/* Was this a system call that may sleep? */
bool trace_sleeps(const struct point *point);
/* Did this instruction change what others see? */
bool trace_effect(const struct point *point);
void trace_free(struct trace *trace);

#endif

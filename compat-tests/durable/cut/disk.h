/*
 * A disk behind a cache, for cutfs: a flat directory of files in memory.  What
 * programs see is each file's `now`; what a power failure leaves is `safe` and,
 * of the changes since, what chance keeps.
 */
#ifndef CUT_DISK_H
#define CUT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DISK_FILES  256 /* names and open nameless files at once */
#define DISK_NAME   64
#define DISK_SECTOR 512 /* what a disk writes as a whole */

struct image {
    uint8_t *bytes; /* those behind the size are 0 */
    uint64_t size, room;
};

struct file {
    struct image now, safe;
    uint32_t mode;
    bool used;
};

struct name {
    char text[DISK_NAME];
    int file; /* index in files */
};

struct names {
    struct name of[DISK_FILES];
    int count;
};

/* What a power failure leaves of what was not synced. */
enum keep {
    KEEP_NOTHING,
    KEEP_BLOCKS,  /* each write's blocks of 4 KiB, each by chance */
    KEEP_SECTORS, /* the same with sectors */
    KEEP_UNTIL,   /* all until one, which is torn; nothing after it */
    KEEP_ALL,
    KEEP_KINDS,
    KEEP_RANDOM = KEEP_KINDS /* any of those */
};

extern struct file disk_file[DISK_FILES];
extern struct names disk_now;
extern uint64_t disk_unsynced; /* changes */
extern uint64_t disk_serial;   /* of the newest change */

/* All below: a file's index or 0, or -errno. */
int disk_find(const char *name);
int disk_create(const char *name, uint32_t mode);
int disk_rename(const char *from, const char *to);
int disk_remove(const char *name);
ssize_t disk_write(int file, const void *data, size_t len, uint64_t at);
int disk_resize(int file, uint64_t size);
/* Bytes of all files, in blocks. */
uint64_t disk_used(void);

/* What was done to the file is safe; its name needs disk_sync_names. */
void disk_sync(int file);
/* Only what was done since disk_serial was `serial`: what O_DSYNC promises. */
void disk_sync_since(int file, uint64_t serial);
void disk_sync_names(void);
/* As Linux does when a write to the disk fails: some of the file's changes get there; the others
 * are forgotten, although they still can be read. */
void disk_lose(int file, uint64_t *chance);

/* The power fails, and is back. */
void disk_cut(enum keep keep, uint64_t *chance);

uint64_t disk_random(uint64_t *chance);

#endif

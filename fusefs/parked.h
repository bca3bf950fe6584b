/* Requests that must wait: kept here, tried again when something happened, answered later. */
#ifndef MQXFS_PARKED_H
#define MQXFS_PARKED_H

#include <stdbool.h>

#include "attached.h"
#include "mqxfs.h"
#include "stored.h"

struct file;
struct move;

/* A read or write that may have to wait; or a process that waits elsewhere (doorbell.c). */
struct parked {
    struct parked *next, *previous;
    struct attached *attached;
    enum direction direction;
    fuse_req_t request; /* NULL: it will try itself, when it was told to; but see move */
    /* Try to answer it.  False: it must wait (on); true: it was answered, or lives on elsewhere. */
    bool (*attempt)(struct parked *p);
    void (*discard)(struct parked *p); /* free it and what belongs to it */
    struct file *file;
    /* A read. */
    off_t offset;
    size_t size;
    bool ends; /* there is nothing: that is the end of file */
    /* A write: the message; and where it went, when only the disk is waited for. */
    bool control; /* by ioctl: the answer has no count */
    struct move *move; /* FOR_DISK without a request: a message that is moved; else NULL */
    uint32_t prio;
    size_t written; /* what the answer says was written */
    void *data;
    uint32_t len;
    struct mqxi_stored stored; /* the wait for the disk */
    struct timespec deadline;  /* for that, unless it is 0 */
};

/*
 * Park it (allocated by the caller, freed by discard), behind those who wait
 * already.  seen: the event word's count before the attempt that failed.
 * Look for fuse_req_interrupted before.  One that is interrupted later is
 * answered at once: EINTR.  But FOR_DISK, whose message is sent already, only
 * says so to its attempt: most signals (a shell's SIGCHLD) end no call.
 */
void parked_add(struct parked *p, uint32_t seen);

/* Forget it, unanswered. */
void parked_remove(struct parked *p);

/* Something happened that requests may wait for: they are tried at the next parked_serve_due. */
void parked_due(struct attached *a, enum direction direction);
/* The same, told by the bridge. */
void parked_fired(struct watch *w);
bool parked_is_due(void);
void parked_serve_due(void);

/* Try those that wait for this now: who came first goes first. */
void parked_serve(struct attached *a, enum direction direction);
static inline bool parked_any(const struct attached *a, enum direction direction)
{
    return a->waiting[direction].first;
}

/* How many requests wait, over all queues. */
unsigned parked_count(void);
/* About every second: mend what dead processes left, and look whether a wake-up was lost. */
void parked_tick(void);
/* Answer every one of them with this error (positive). */
void parked_refuse_all(int error);

#endif

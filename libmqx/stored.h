/* Waiting until a message of a durable queue is on disk. */
#ifndef MQXI_STORED_H
#define MQXI_STORED_H

#include <time.h>

#include "queue.h"

/* A message that was sent; or received. */
struct mqxi_stored {
    struct mqxi_queue *q;
    uint32_t slot;
    uint64_t key;
    const struct timespec *deadline; /* CLOCK_REALTIME; or NULL */
    bool leaving;                    /* received, and to be gone from the disk (mqxi_take_leave) */
    bool nonblock;
    bool interrupted; /* set when a signal handler ran */
    /* stored.c's */
    bool alive; /* mqxd was, at looked_ms */
    uint64_t began_ms, since_ms, looked_ms;
};

/* Has the queue's sender to wait for the disk?  Of an async one only while the disk is full. */
static inline bool mqxi_stored_wanted(const struct mqxi_queue *q)
{
    uint32_t durable = atomic_load_explicit(&q->header->durable, memory_order_relaxed);

    return durable == MQXI_DURABLE_SYNC ||
           (durable == MQXI_DURABLE_ASYNC &&
            atomic_load_explicit(&q->header->disk_full, memory_order_relaxed));
}

/* Has its receiver to wait until the disk does not have the message any more? */
static inline bool mqxi_stored_receives(const struct mqxi_queue *q)
{
    return atomic_load_explicit(&q->header->durable, memory_order_relaxed) == MQXI_DURABLE_SYNC &&
           atomic_load_explicit(&q->header->sync, memory_order_relaxed) & MQXI_SYNC_RECEIVE;
}

void mqxi_stored_begin(struct mqxi_stored *s);
/*
 * One look, inside mqxi_op_enter.  1: it is on disk, or received, or the queue no longer durable.
 * 0: look again when commit_event moves, at the latest after mqxi_stored_nap.
 * Else it was withdrawn (one that is leaving: is for the caller to give back): -EAGAIN: nonblock;
 * -ETIMEDOUT, -EINTR; -EIO: no mqxd stored it in time, or none can.
 */
int mqxi_stored_look(struct mqxi_stored *s);
uint64_t mqxi_stored_nap(const struct mqxi_stored *s); /* ms */

/* From begin to end, outside: 0, or such an error.  restarts: not interrupted by handlers with
 * SA_RESTART.  A cancellation point. */
int mqxi_stored_wait(struct mqxi_stored *s, bool restarts);

#endif

/* Sending and receiving that have to wait: what <mqueue.h> and <sys/msg.h> have in common. */
#ifndef MQXI_BLOCK_H
#define MQXI_BLOCK_H

#include <pthread.h>

#include "queue.h"
#include "thread.h"

/* A send or a receive under way. */
struct mqxi_call {
    ssize_t (*attempt)(struct mqxi_call *call); /* without waiting; -EAGAIN: must wait */
    const struct timespec *deadline;            /* or NULL */
    struct mqxi_queue *q;
    unsigned token; /* of mqxi_op_enter */
    uint32_t seen;  /* what the event counter showed while the attempt failed */
    unsigned looks; /* for dead owners */
    bool slept;
    bool sending;
    bool restarts; /* after a handler with SA_RESTART */
};

/* Look for a moment, and try again if something happened. */
ssize_t mqxi_block_look(struct mqxi_call *call);

/*
 * Wait until an attempt succeeds, the deadline passes (-ETIMEDOUT), or a signal handler ran
 * (-EINTR).  The caller holds a reference to the queue, and is inside mqxi_op_enter; a
 * cancellation point, where that reference is dropped.
 */
ssize_t mqxi_block(struct mqxi_call *call);

/*
 * A program that only ever polls must also get what a dead process holds: at
 * once where looking costs next to nothing, else within a second or so.  True: it was looked.
 */
bool mqxi_block_swept(struct mqxi_queue *q);

/* It was sent, to a queue whose senders wait for the disk (stored.h).  A cancellation point. */
ssize_t mqxi_block_stored(struct mqxi_call *call, bool nonblock, uint32_t slot, uint64_t key);

/* It was taken, from a queue whose receivers wait for the disk: wait, and consume it.  On an error it
 * is given back.  A cancellation point. */
struct mqxi_taken;
ssize_t mqxi_block_removed(struct mqxi_call *call, bool nonblock, const struct mqxi_taken *taken);

/* Whether this thread's last transfer was a send: then it waits for a reply. */
extern _Thread_local bool mqxi_block_sent;

/*
 * A pointer to where no program has memory, the first and the last page: the
 * kernel's EFAULT, at the cost of one comparison.  Other wrong pointers crash, as
 * with any function of a library.
 */
static inline bool mqxi_nowhere(const void *p)
{
    return (uintptr_t)p - MQXI_PAGE >= (uintptr_t)0 - 2 * (uintptr_t)MQXI_PAGE;
}

/*
 * send and receive are cancellation points, and are not to be cancelled in the
 * middle, asynchronously, where they own a slot.  Nobody can cancel the only
 * thread of a process but itself, and it finds out when it waits.
 */
static inline int mqxi_cancellable_begin(void)
{
    int type = PTHREAD_CANCEL_DEFERRED;

    if (!MQXI_ONLY_THREAD) {
        pthread_testcancel();
        pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    }
    return type;
}

static inline void mqxi_cancellable_end(int type)
{
    if (__builtin_expect(type != PTHREAD_CANCEL_DEFERRED, 0))
        pthread_setcanceltype(type, NULL);
}

#endif

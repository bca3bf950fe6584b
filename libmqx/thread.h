/*
 * Which of this process's threads are inside the engine, so that a queue that
 * one thread closes is not unmapped under another, without a lock and without
 * an atomic operation on the fast path.
 */
#ifndef MQXI_THREAD_H
#define MQXI_THREAD_H

#include "queue.h"

/* Does this process have but one thread?  (musl does not tell.) */
#ifdef __GLIBC__
#include <sys/single_threaded.h>
#define MQXI_ONLY_THREAD __libc_single_threaded
#else
#define MQXI_ONLY_THREAD 0
#endif

/* A thread's note (thread.c). */
struct mqxi_note {
    _Alignas(64) _Atomic uint64_t thread; /* 0: free; taken by a thread with compare-and-swap */
    _Atomic uint32_t depth;               /* written by that thread: calls it is inside of */
};
/* Not to be used directly: this thread's note, and what must stand in it if it still is. */
struct mqxi_noted {
    struct mqxi_note *note;
    uint64_t thread;
};
extern _Thread_local struct mqxi_noted mqxi_noted;
extern atomic_bool mqxi_no_membarrier; /* then a fence at each entry takes its place */
struct mqxi_note *mqxi_op_join(void);  /* a thread's first call, or the first in a forked child */

/*
 * Between enter and leave no queue is unmapped.  Never sleep in between: hold a
 * reference instead (mqxi_queue_get).  Nests (signal handlers).  Async-signal-safe.
 */
static inline unsigned mqxi_op_enter(void)
{
    struct mqxi_note *n = mqxi_noted.note;
    unsigned before;

    if (__builtin_expect(
            !n || atomic_load_explicit(&n->thread, memory_order_relaxed) != mqxi_noted.thread, 0)) {
        n = mqxi_op_join();
        if (!n)
            return 0;
    }
    before = atomic_load_explicit(&n->depth, memory_order_relaxed);
    atomic_store_explicit(&n->depth, before + 1, memory_order_relaxed);
    if (__builtin_expect(atomic_load_explicit(&mqxi_no_membarrier, memory_order_relaxed), 0))
        atomic_thread_fence(memory_order_seq_cst);
    else
        atomic_signal_fence(memory_order_seq_cst); /* the unmapper's membarrier does the rest */
    return before;
}

static inline void mqxi_op_leave(unsigned token)
{
    struct mqxi_note *n = mqxi_noted.note;

    /* Not depth - 1: a fork inside the call, by a signal handler, zeroed it. */
    if (n && atomic_load_explicit(&n->thread, memory_order_relaxed) == mqxi_noted.thread)
        atomic_store_explicit(&n->depth, token, memory_order_release);
}

/* References to a queue.  get: only between enter and leave, or while holding another.  False: the
 * last one is gone, since another thread closed the descriptor after it was looked up. */
bool mqxi_queue_get(struct mqxi_queue *q);
/* Drop one; the last one unmaps the queue as soon as no thread is inside the engine. */
void mqxi_queue_put(struct mqxi_queue *q);

/* Queues that wait to be unmapped.  Not to be used directly. */
extern struct mqxi_queue *_Atomic mqxi_retired;
void mqxi_unmap_retired(void);

/* For who may have dropped one while inside: outside, unmap what waits for that. */
static inline void mqxi_queue_settle(void)
{
    if (__builtin_expect(atomic_load_explicit(&mqxi_retired, memory_order_relaxed) != NULL, 0))
        mqxi_unmap_retired();
}

#endif

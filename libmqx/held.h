/*
 * What a System V queue holds: messages and bytes, for msg_qbytes and msgctl.  It is the
 * difference of two words: all that ever entered it, and all that ever left it, each
 * messages << MQXI_HELD_BITS | bytes, modulo 2^64.  A sender adds to the one after its
 * claim of a slot and before it publishes, a receiver to the other before it frees the
 * slot.  So at any moment the difference is the sum over the ready slots, but for slots
 * that are owned.
 *
 * Two words, because senders and receivers are on different CPUs: a sender reckons with
 * what had left when one last looked, and looks at the receivers' cache line only where
 * that gives no room.  `left` only grows, so a look in the past errs on the safe side.
 */
#ifndef MQXI_HELD_H
#define MQXI_HELD_H

#include "queue.h"

#define MQXI_HELD_ONE   (UINT64_C(1) << MQXI_HELD_BITS)
#define MQXI_HELD_BYTES (MQXI_HELD_ONE - 1)

static inline uint64_t mqxi_held_count(uint64_t held)
{
    return held >> MQXI_HELD_BITS;
}

static inline bool mqxi_held_removed(const struct mqxi_queue *q)
{
    return atomic_load_explicit(&q->header->state, memory_order_acquire) == MQXI_SYSV_REMOVED;
}

/* What the queue holds, at one moment.  Or, where others keep changing it, nearly. */
uint64_t mqxi_held(const struct mqxi_queue *q);
/* The same of a copy of a header, which was made while others changed it: nearly. */
uint64_t mqxi_held_copied(const struct mqxi_header *h);

/* The kernel's rule.  The bytes must fit into the word, too. */
static inline bool mqxi_held_fits(const struct mqxi_queue *q, uint64_t held, uint32_t len)
{
    uint64_t qbytes = atomic_load_explicit(&q->header->qbytes, memory_order_acquire);
    uint64_t bytes = (held & MQXI_HELD_BYTES) + len;

    return bytes <= qbytes && bytes <= MQXI_HELD_BYTES && mqxi_held_count(held) + 1 <= qbytes;
}

/* Has the queue room for so many bytes, when all has entered that `entered` says?  If not:
 * since send_event showed *seen. */
bool mqxi_held_room_now(struct mqxi_queue *q, uint64_t entered, uint32_t len, uint64_t *seen);
static inline bool mqxi_held_room_for(struct mqxi_queue *q, uint64_t entered, uint32_t len,
                                      uint64_t *seen)
{
    uint64_t left = atomic_load_explicit(&q->header->left_seen, memory_order_acquire);

    return __builtin_expect(mqxi_held_fits(q, entered - left, len), 1) ||
           mqxi_held_room_now(q, entered, len, seen);
}

/* *entered: for mqxi_held_add. */
static inline bool mqxi_held_room(struct mqxi_queue *q, uint32_t len, uint64_t *entered,
                                  uint64_t *seen)
{
    *entered = atomic_load_explicit(&q->header->entered, memory_order_acquire);
    return mqxi_held_room_for(q, *entered, len, seen);
}

/* The same, for who asks only. */
static inline bool mqxi_held_has_room(struct mqxi_queue *q, uint32_t len)
{
    uint64_t entered, seen;

    return mqxi_held_room(q, len, &entered, &seen);
}

/* mqxi_held_room said that there is.  False: not any more. */
static inline bool mqxi_held_add(struct mqxi_queue *q, uint32_t len, uint64_t entered)
{
    uint64_t seen;

    while (!atomic_compare_exchange_strong(&q->header->entered, &entered,
                                           entered + MQXI_HELD_ONE + len))
        if (!mqxi_held_room_for(q, entered, len, &seen))
            return false;
    return true;
}

/* It may be wrong: a process died that had added to one of them, or is about to be mended. */
static inline void mqxi_held_doubt(struct mqxi_queue *q)
{
    atomic_fetch_add(&q->header->recount, 1);
}

static inline void mqxi_held_sub(struct mqxi_queue *q, uint32_t len)
{
    atomic_fetch_add(&q->header->left, MQXI_HELD_ONE + len);
}

/* Where it is in doubt and nobody is at work: count anew. */
void mqxi_held_recount(struct mqxi_queue *q);

#endif

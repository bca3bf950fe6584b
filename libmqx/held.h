/*
 * What a System V queue holds: messages and bytes, in one word, for msg_qbytes and
 * msgctl.  Changed by who owns the slot concerned: a sender adds after its claim
 * and before it publishes, a receiver subtracts before it frees the slot.  So at any
 * moment the word is the sum over the ready slots, but for slots that are owned.
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

/* The kernel's rule.  The bytes must fit into the word, too. */
static inline bool mqxi_held_fits(const struct mqxi_queue *q, uint64_t held, uint32_t len)
{
    uint64_t qbytes = atomic_load_explicit(&q->header->qbytes, memory_order_acquire);
    uint64_t bytes = (held & MQXI_HELD_BYTES) + len;

    return bytes <= qbytes && bytes <= MQXI_HELD_BYTES && mqxi_held_count(held) + 1 <= qbytes;
}

static inline bool mqxi_held_room(const struct mqxi_queue *q, uint32_t len)
{
    return mqxi_held_fits(q, atomic_load_explicit(&q->header->held, memory_order_acquire), len);
}

/* False: there is no room for it. */
static inline bool mqxi_held_add(struct mqxi_queue *q, uint32_t len)
{
    uint64_t held = atomic_load_explicit(&q->header->held, memory_order_acquire);

    do
        if (!mqxi_held_fits(q, held, len))
            return false;
    while (!atomic_compare_exchange_weak(&q->header->held, &held, held + MQXI_HELD_ONE + len));
    return true;
}

/* It may be wrong: a process died that had added or subtracted, or is about to be mended. */
static inline void mqxi_held_doubt(struct mqxi_queue *q)
{
    atomic_fetch_add(&q->header->recount, 1);
}

static inline void mqxi_held_sub(struct mqxi_queue *q, uint32_t len)
{
    uint64_t held = atomic_fetch_sub(&q->header->held, MQXI_HELD_ONE + len);

    if (held < MQXI_HELD_ONE || (held & MQXI_HELD_BYTES) < len)
        mqxi_held_doubt(q);
}

/* Where it is in doubt and nobody is at work: count anew. */
void mqxi_held_recount(struct mqxi_queue *q);

#endif

/*
 * Going from one message to the next, without a look at all of them: as a rule, after
 * the first message comes the one that was sent next, and it lies in the slot behind.
 *
 * A message that was the first of all, and was taken: then all before it are gone.  The
 * one whose key follows on its key is the first now, unless one that goes before both
 * has become ready since: one of a higher priority, one whose sender was slow to publish,
 * or one that was given back.  Whoever makes such a message ready says so, after that and
 * before his call returns: there is then a moment at which nobody has a later sequence than
 * `disturbed`.  So what has a later one was sent when that message was there.  The first of
 * those is not taken as the next of one that was taken, whose sequence is not later, but found
 * by a look at all, which sees that message.
 *
 * As long as he has not said so, his call is under way, and may count as coming later; he may
 * even be killed then.  Hence the look at all now and then, so that nothing is passed for ever.
 */
#ifndef MQXI_ORDER_H
#define MQXI_ORDER_H

#include "index.h"

#define MQXI_ORDER_LOOK 64u /* among so many messages in a row, one is found by a look at all */

/*
 * Is the first message where it is expected?
 *
 * Relaxed: what `taken` says was so once, and stays so but for what `disturbed` tells, whoever of
 * this process's threads noted it; `after` is a hint.  Acquire: who sees the next one sees what its
 * sender saw when he took its sequence, in particular what `disturbed` was by then.  That is looked
 * at afterwards; seq_cst, since it is an answer to order.c's order: disturbed, then sequence.
 */
static inline bool mqxi_order_next(const struct mqxi_queue *q, struct mqxi_first *first)
{
    uint64_t taken = atomic_load_explicit(&q->taken, memory_order_relaxed), next = taken + 1;
    uint32_t slot = atomic_load_explicit(&q->after, memory_order_relaxed);

    if (next % MQXI_ORDER_LOOK == 0)
        return false;
    slot = slot < q->layout.front ? slot : 0;
    if (atomic_load_explicit(&q->ctl[slot], memory_order_acquire) != next) {
        slot = 0; /* senders begin there anew: slots.c */
        if (atomic_load_explicit(&q->ctl[slot], memory_order_acquire) != next)
            return false;
    }
    if ((taken & MQXI_SEQ_MAX) <= atomic_load(&q->header->disturbed))
        return false;
    *first = (struct mqxi_first){next, slot};
    return true;
}

/* This one was the first of all, and is claimed. */
static inline void mqxi_order_taken(struct mqxi_queue *q, const struct mqxi_first *first)
{
    atomic_store_explicit(&q->taken, first->key, memory_order_relaxed);
    atomic_store_explicit(&q->after, first->slot + 1, memory_order_relaxed);
}

/* A message became ready out of its order, before this; a full barrier lies in between.  ahead: it
 * holds for so many that come next, too. */
void mqxi_order_disturb(struct mqxi_queue *q, uint32_t ahead);
#define MQXI_ORDER_AHEAD 32 /* where senders meet once, they do so again: not for each of these */

/* The same of a message that was just sent with this key, if it is one.  Relaxed, after the
 * barrier: whose sequence is not seen took it when the message was there; and who took an earlier
 * one had noted its priority before that. */
static inline void mqxi_order_sent(struct mqxi_queue *q, uint64_t key)
{
    struct mqxi_header *h = q->header;

    if (atomic_load_explicit(&h->sequence, memory_order_relaxed) != (key & MQXI_SEQ_MAX))
        mqxi_order_disturb(q, MQXI_ORDER_AHEAD);
    else if (key >> MQXI_SEQ_BITS < atomic_load_explicit(&h->lowest, memory_order_relaxed))
        mqxi_order_disturb(q, 0);
}

#endif

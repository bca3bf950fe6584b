/* Free slots: claim one, give one back. */
#ifndef MQXI_SLOTS_H
#define MQXI_SLOTS_H

#include "bell.h"
#include "wait.h"

/*
 * Claim a free slot for owner: free -> filling.  -EAGAIN: the queue is full, and
 * *seen is what the counter send_event showed while it was; -ENOSPC; -EBADMSG.
 */
int mqxi_slot_claim(struct mqxi_queue *q, uint64_t owner, uint32_t *slot, uint64_t *seen);

/* Receivers scan the front only as far as it was ever used: now, so many slots. */
void mqxi_slot_raise_front(struct mqxi_queue *q, uint32_t slots);

/* Would a claim find one?  Where it would fail otherwise than by waiting, too. */
bool mqxi_slot_any_free(const struct mqxi_queue *q);

/* The slot, which the caller owns, is free again.  Whoever may wait for it is still to be told. */
void mqxi_slot_release(struct mqxi_queue *q, uint32_t slot);
/* Tell them. */
static inline void mqxi_slot_freed(struct mqxi_queue *q)
{
    mqxi_event_signal(&q->header->send_event, q->types); /* for different room */
    /* After the bump, a full barrier: who sets a bit and then looks at the queue sees the free
     * slot, or we see the bit. */
    if (__builtin_expect(atomic_load(&q->header->take_tells) != 0, 0))
        mqxi_bell_sync(q);
}

#endif

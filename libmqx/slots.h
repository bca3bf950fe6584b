/* Free slots: claim one, give one back. */
#ifndef MQXI_SLOTS_H
#define MQXI_SLOTS_H

#include "queue.h"

/*
 * Claim a free slot for owner: free -> filling.  -EAGAIN: the queue is full, and
 * *seen is what the counter send_event showed while it was; -ENOSPC; -EBADMSG.
 */
int mqxi_slot_claim(struct mqxi_queue *q, uint64_t owner, uint32_t *slot, uint64_t *seen);

/* The slot, which the caller owns, is free again.  Whoever may wait for it is still to be told. */
void mqxi_slot_release(struct mqxi_queue *q, uint32_t slot);

#endif

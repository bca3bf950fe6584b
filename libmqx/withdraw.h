/* Messages that leave the queue with an eye on the store. */
#ifndef MQXI_WITHDRAW_H
#define MQXI_WITHDRAW_H

#include "engine.h"

/*
 * Take a message that was sent out again, if it is still there and not on disk: as if it had not
 * been sent.  0; -EALREADY: it is on disk, and stays; -ESTALE: it was received, or is being taken.
 * Others: as mqxi_take.
 */
int mqxi_withdraw(struct mqxi_queue *q, uint32_t slot, uint64_t key);

/* It was taken, and will be consumed once the store does not have it any more (mqxi_durable_gone):
 * have mqxd see to that.  To be followed by commit or abort.  Errors as commit's. */
int mqxi_take_leave(struct mqxi_queue *q, const struct mqxi_taken *taken);

#endif

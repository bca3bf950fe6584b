/* The library's half of durability: tell mqxd what changed, wait until it is on disk. */
#ifndef MQXI_DURABLE_H
#define MQXI_DURABLE_H

#include <time.h>

#include "queue.h"

/* Is there a living mqxd for queues of this user? */
bool mqxi_mqxd_alive(uid_t uid);

/* The slot changed (published or freed): mark it, and ring mqxd.  Engine's; only for queues
 * whose durable policy is not off.  Async-signal-safe, does not block. */
void mqxi_durable_mark(struct mqxi_queue *q, uint32_t slot);

/* Created, or about to be unlinked: ask mqxd to look at the directories again. */
void mqxi_durable_rescan(uid_t uid);

/* Wait until the message `key` of this slot is on disk, or was received.  0, -EIO: no mqxd.
 * Not interrupted by signals: the message is already sent. */
int mqxi_durable_wait(struct mqxi_queue *q, uint32_t slot, uint64_t key);

#endif

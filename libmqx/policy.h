/* The durability of a queue that is in use. */
#ifndef MQXI_POLICY_H
#define MQXI_POLICY_H

#include <stdbool.h>

#include "format.h"

/*
 * Change it, in the segment that is open for writing as fd; chosen: mqx.conf is not to change it
 * again.  The header is what was read from there.  1: changed; 0: it is so, or the queue was
 * removed; -errno.
 */
int mqxi_policy_set(int fd, const struct mqxi_header *header, enum mqxi_durable durable,
                    bool chosen);

/* The same for how sync-durable calls wait: those of MQXI_SYNC_* that are in `which`. */
int mqxi_policy_set_sync(int fd, const struct mqxi_header *header, uint32_t which, uint32_t sync);

/* After that, and before anybody looks at the slots: whoever sends or receives from now on knows
 * that the queue is durable, and what was done by those who did not know can be seen. */
void mqxi_policy_settle(void);

#endif

/* A SIGBUS inside a segment (truncated under us) kills that queue for us, not the process. */
#ifndef MQXI_GUARD_H
#define MQXI_GUARD_H

#include "queue.h"

int mqxi_guard_add(struct mqxi_queue *q);
void mqxi_guard_remove(struct mqxi_queue *q);

#endif

/* A SIGBUS inside a segment (truncated under us) kills that queue for us, not the process. */
#ifndef MQXI_GUARD_H
#define MQXI_GUARD_H

#include "queue.h"

/* Watch over the mapping of q until mqxi_guard_remove.  Async-signal-safe. */
void mqxi_guard_add(struct mqxi_queue *q);
/* Before q is unmapped. */
void mqxi_guard_remove(struct mqxi_queue *q);

/*
 * For who waits: a file that was cut is seen by who touches what is missing, and a
 * sleeper touches next to nothing.  -EIO: it is shorter than it should be, or the
 * queue was dead before.
 */
int mqxi_guard_check(struct mqxi_queue *q);

/* Make pages exist that may not: 0, or -ENOSPC instead of a SIGBUS.  start: page-aligned. */
int mqxi_guard_populate(void *start, size_t len);

#endif

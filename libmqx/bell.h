/* Readiness: what poll, select and epoll on a descriptor tell (bell.c). */
#ifndef MQXI_BELL_H
#define MQXI_BELL_H

#include "queue.h"

/*
 * A message was put or taken, a queue mended: show it to those who poll.  By who
 * did it, afterwards.  Async-signal-safe; does not block.
 */
void mqxi_bell_sync(struct mqxi_queue *q);
/* The same where perhaps nothing happened: it is only looked whether all is shown. */
void mqxi_bell_check(struct mqxi_queue *q);

/*
 * Somebody will wait for the queue's readiness, through its FIFO, within the next
 * seconds: from now on the FIFO shows readiness that begins; and now what is,
 * unless nobody had it open since it last did.  0 or -errno: readiness may then be
 * late.  Async-signal-safe.
 */
int mqxi_bell_arm(struct mqxi_queue *q);
/* For ever, and also what these MQXI_TELLS_* say. */
int mqxi_bell_watch(struct mqxi_queue *q, uint32_t tells);
/* The FIFO does not show what is so, whatever the queue says of it. */
int mqxi_bell_adjust(struct mqxi_queue *q);

/* What a FIFO shows: MQXI_CAN_*.  fd: any descriptor of it. */
unsigned mqxi_bell_shown(int fd);
/* Is this descriptor one of the queue's FIFO?  0; -ESTALE: of something else; -errno: who knows. */
int mqxi_bell_verify(const struct mqxi_queue *q, int fd);

#endif

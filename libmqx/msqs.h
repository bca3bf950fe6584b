/* The System V queues that this process uses, by their ids. */
#ifndef MQXI_MSQS_H
#define MQXI_MSQS_H

#include "queue.h"

/* At most so many stay attached when nobody is in a call on them: each takes address space. */
#define MQXI_MSQS_MOST 64u

/*
 * The queue with this id, attached where it is not yet; between mqxi_op_enter and leave.
 * -EINVAL: there is none (any more); else as mqxi_msqid_attach.  Async-signal-safe where it
 * is attached.
 */
int mqxi_msqs_get(int id, struct mqxi_queue **q);
/* This one was just attached: takes over the reference. */
int mqxi_msqs_add(struct mqxi_queue *q);
/* It is removed. */
void mqxi_msqs_drop(const struct mqxi_queue *q);

#define MQXI_MAY_READ  4u
#define MQXI_MAY_WRITE 2u

/* What of these the caller may do with the queue: as the kernel asks at each call, but remembered.
 */
unsigned mqxi_msqs_rights(struct mqxi_queue *q);
/* This process's user or groups have changed, or may have. */
void mqxi_msqs_forget_rights(void);
/* The bits of the mode that are the caller's, read 4, write 2, execute 1. */
unsigned mqxi_msqs_mode(const struct mqxi_queue *q);

#endif

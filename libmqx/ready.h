/* poll and select on sets that have message queue descriptors in them (ready.c). */
#ifndef MQXI_READY_H
#define MQXI_READY_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/select.h>

#include "queue.h"

/* Has this set queues in it?  Else the call is none of ours. */
bool mqxi_poll_ours(const struct pollfd *fds, nfds_t n);
bool mqxi_select_ours(int n, const fd_set *readable, const fd_set *writable);

/* As the system calls; return -errno.  Cancellation points.  timeout: valid, or NULL: for ever;
 * mask: NULL: as it is. */
int mqxi_poll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);
/* n: at most FD_SETSIZE.  *rest (may be NULL): what was left of the time. */
int mqxi_select(int n, fd_set *readable, fd_set *writable, fd_set *exceptional,
                const struct timespec *timeout, const sigset_t *mask, struct timespec *rest);

/* For the rest of the family (watch.c). */

/* The queue of a descriptor, or NULL; between mqxi_op_enter and leave. */
struct mqxi_queue *mqxi_ready_queue(int fd);
#define MQXI_READY_EVENTS (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM)
/* What poll says of a queue: some of these. */
short mqxi_ready_events(struct mqxi_queue *q);

#endif

/* poll, select and epoll on a queue's file. */
#ifndef MQXFS_POLLED_H
#define MQXFS_POLLED_H

#include "remote.h"

/* Returns the descriptor that becomes readable when a polled queue changed; -errno. */
int polled_start(void);
/* It is readable. */
void polled_collect(void);

/* Answer the request.  handle: not NULL if the caller will sleep until the readiness changes.
 * also: events that are true in any case. */
void polled_ask(struct remote *r, fuse_req_t request, struct fuse_pollhandle *handle,
                unsigned also);
/* The file is closed. */
void polled_forget(struct remote *r);
/* The queue is detached. */
void polled_unwatch(struct attached *a);
/* About every second: look whether a change was missed. */
void polled_tick(void);

#endif

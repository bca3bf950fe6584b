/* mq_notify on other users' queues. */
#ifndef MQXFS_REGISTERED_H
#define MQXFS_REGISTERED_H

#include "attached.h"
#include "mqxfs.h"
#include "protocol.h"

/* Register the calling process, or remove its registration: 0, -EBUSY, ... */
int registered_notify(struct attached *a, const struct fuse_ctx *ctx,
                      const struct mqxi_remote_notify *n);
/* A process closes a descriptor of the queue: its registration, if any, ends. */
void registered_closed(struct attached *a, const struct fuse_ctx *ctx);
/* Nobody uses the queue through us any more. */
void registered_nobody(struct attached *a);
/* mqxfs ends. */
void registered_end(void);

#endif

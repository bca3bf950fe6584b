/* Bells of processes that use others' queues, and those who wait to be rung. */
#ifndef MQXFS_DOORBELL_H
#define MQXFS_DOORBELL_H

#include "attached.h"
#include "mqxfs.h"
#include "protocol.h"

struct bell;
struct remote;

/* A process shows us its bell: 0, -errno. */
int bell_register(const struct fuse_ctx *ctx, const struct mqxi_remote_bell *b);
/* The bell of this user with this inode number, with a reference to it, or NULL. */
struct bell *bell_get(uid_t uid, uint64_t ino);
void bell_put(struct bell *b); /* any thread */
/* Bump a word (checked: below MQXI_BELL_WORDS), and wake who sleeps on it.  Any thread. */
void bell_ring(struct bell *b, uint32_t word);

/* The thread that makes the request waits: ring when what it waits for may be there, at once where
 * it is.  One that waits already waits for this.  0; -ENOENT: no such bell; -EINVAL, -ENOMEM. */
int waiter_add(struct remote *r, struct attached *a, const struct fuse_ctx *ctx,
               const struct mqxi_remote_wait *w);
/* It does not wait any more.  given_up: and what it was rung for, if it was, is another's. */
void waiter_remove(struct remote *r, struct attached *a, pid_t tid, enum direction direction,
                   bool given_up);
/* The file is closed. */
void waiter_remove_all(struct remote *r, struct attached *a);

/* Now and then: forget the dead. */
void doorbell_tick(void);
/* mqxfs ends. */
void doorbell_end(void);

#endif

/* The library's half of durability: tell mqxd what changed, wait until it is on disk. */
#ifndef MQXI_DURABLE_H
#define MQXI_DURABLE_H

#include "queue.h"

/* Is there a living mqxd that serves queues of this user (the user's own, or root's)?  True where
 * that cannot be told. */
bool mqxi_mqxd_alive(uid_t uid);

/* The slot changed (published or freed): mark it, and ring mqxd.  Engine's; only for queues
 * whose durable policy is not off.  Async-signal-safe, does not block. */
void mqxi_durable_mark(struct mqxi_queue *q, uint32_t slot);

/* It is durable again: what changed while it was not has no marks, and mqxd, if it has not looked
 * meanwhile, goes on from what it knew before that. */
void mqxi_durable_mark_all(struct mqxi_queue *q);

/* Created, or about to be unlinked, or its mode or policy changed: ask mqxd to look at the
 * directories again.  Async-signal-safe, does not block. */
void mqxi_durable_rescan(uid_t uid);

/* One look, without waiting: is it on disk, or received, or the queue no longer durable?
 * commit_event moves when that changes. */
bool mqxi_durable_settled(const struct mqxi_queue *q, uint32_t slot, uint64_t key);

/* The same of a message that is leaving (mqxi_take_leave): will the store not have it any more? */
bool mqxi_durable_gone(const struct mqxi_queue *q, uint32_t slot, uint64_t key);

/* mqxd has looked at the queue, and cannot mirror it: what is not on disk will not be.
 * commit_event moves when that happens. */
bool mqxi_durable_refused(const struct mqxi_queue *q);

/* The rest is shared with mqxd. */

/* mqxd's two files in the clients directory. */
#define MQXI_LOCK_FILE "mqxd" /* readable by all: which mqxd lives; and its counters (its counters.h) */
#define MQXI_BELL_FILE "bell" /* struct mqxi_doorbell, one page */
/* Make the doorbell usable if it is not: new, truncated or overwritten. */
int mqxi_bell_mend(int fd, uint64_t size);
int mqxi_mqxd_path(const char *file, uid_t uid, char *path);

/* Bytes of the lock file that mqxd locks for writing: an open-file-description lock, which goes
 * with the process.  Others may not write to the file and so cannot hold a write lock. */
enum {
    MQXI_LOCK_RUNS,  /* one mqxd a user and MQX_DIR */
    MQXI_LOCK_SERVES /* what it had to restore is restored */
};
/* 1: held, 0: not, -errno: cannot be told. */
int mqxi_mqxd_holds(uid_t uid, int byte);

#endif

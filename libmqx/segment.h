/* Queues as files: create, attach, unlink and list segments in $MQX_DIR. */
#ifndef MQXI_SEGMENT_H
#define MQXI_SEGMENT_H

#include "queue.h"
#include "sys.h"

struct mqxi_attr {
    uint32_t maxmsg;  /* slots */
    uint32_t msgsize; /* bytes */
    uint32_t mode;    /* permission bits, umask already applied */
    enum mqxi_durable durable;
};

/*
 * Names here are without the leading slash, and already checked
 * (mqxi_name_check).  All return 0 or -errno.
 */

/* Build a segment that has not its name yet.  It becomes visible with mqxi_segment_link. */
struct mqxi_unborn {
    struct mqxi_queue *queue;
    char temporary[40]; /* name in the tmp directory */
};
int mqxi_segment_build(const struct mqxi_attr *attr, struct mqxi_unborn *out);
int mqxi_segment_build_sysv(const struct mqxi_attr *attr, struct mqxi_unborn *out);
/* By root: it shall be another user's. */
int mqxi_segment_give(struct mqxi_unborn *unborn, uid_t uid, gid_t gid);
/* Give it its name: -EEXIST if taken, and the segment stays unborn. */
int mqxi_segment_link(struct mqxi_unborn *unborn, const char *name);
/* After either: drop what is left.  The queue stays attached only if linked and wanted by keep. */
void mqxi_segment_finish(struct mqxi_unborn *unborn, bool keep);

/* Map an existing queue: -ENOENT; -EACCES: another user's; -EBADMSG: not a segment, damaged or
 * of another version. */
int mqxi_segment_attach(const char *name, struct mqxi_queue **out);
/* The System V queue whose segment lies there. */
int mqxi_segment_attach_sysv(const char *path, struct mqxi_queue **out);
/* Its header, as it is now, without mapping it: errors as attach. */
int mqxi_segment_peek_sysv(const char *path, struct mqxi_header *out, struct mqxi_stat *st);
/* Unmap at once.  Only for a queue that no other thread can be using (else mqxi_queue_put). */
void mqxi_segment_detach(struct mqxi_queue *q);

/* Remove the name.  A durable queue's segment moves to the "gone" directory, where mqxd finds
 * it, forgets its messages and removes it; where mqxd is not running it waits there. */
int mqxi_segment_unlink(const char *name);

/* Where a segment whose name is taken from it goes to.  One of a durable queue (else NULL) waits in
 * "gone" for mqxd, so that its messages do not come back when mqxd restores what has no segment. */
int mqxi_segment_grave(const struct mqxi_header *durable, char *path);

/* Path of the queue's FIFO, whose descriptors are mqd_t's.  path: at least PATH_MAX bytes. */
int mqxi_segment_fifo(const struct mqxi_queue *q, char *path);

/* Call each(name, arg) for every queue; stops at the first non-zero return and returns it. */
int mqxi_segment_list(int (*each)(const char *name, void *arg), void *arg);

/* Make sure that slots up to and including this one have pages: 0, or -ENOSPC. */
int mqxi_segment_reserve(struct mqxi_queue *q, uint32_t slot);
/* The same for len bytes of a slot's overflow.  The caller owns the slot. */
int mqxi_segment_reserve_overflow(struct mqxi_queue *q, uint32_t slot, uint32_t len);
/* May the slot keep the overflow pages it has for its next message?  The caller owns the slot. */
bool mqxi_segment_keeps_overflow(const struct mqxi_queue *q, uint32_t slot);
/* Give the slot's overflow pages back to the system.  The caller owns the slot, and what is in it
 * is consumed. */
void mqxi_segment_trim_overflow(struct mqxi_queue *q, uint32_t slot);

#endif

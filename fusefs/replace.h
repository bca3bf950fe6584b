/* Changes of a queue that concern its segment's file: its name, owner, group and sizes. */
#ifndef MQXFS_REPLACE_H
#define MQXFS_REPLACE_H

#include "attached.h"
#include "mqxfs.h"
#include "node.h"
#include "sys.h"

/* Let it have another name.  -EEXIST: that is another queue's. */
int replace_name(const char *name, const char *new_name, unsigned flags, uid_t caller);
/* Let another group use it. */
int replace_group(const struct node *n, const struct mqxi_stat *file, struct attached *a,
                  gid_t gid);

struct replacement {
    uint32_t maxmsg, msgsize;
    uid_t uid;
    gid_t gid;
};
/*
 * Have the empty queue that nobody uses made anew, with the same name and mode.
 * -EBUSY: it is not empty, or somebody has it open; -EOPNOTSUPP: it is durable, or System V's.
 */
int replace_queue(struct node *n, struct attached *a, const struct replacement *by);

#endif

/* Which queues there are to be mirrored, and which are no longer. */
#ifndef MQXD_DISCOVER_H
#define MQXD_DISCOVER_H

#include <errno.h>

#include "mirror.h"

/* A segment file, as far as its header tells. */
struct peek {
    uint64_t ino;
    uint32_t uid, gid;
    uint8_t uuid[16];
    uint32_t durable;
    struct mqxi_header header; /* all of it */
};
/* Look at a file without mapping it: -EBADMSG if it is no segment. */
int discover_peek(const char *path, struct peek *out);
int discover_peek_fd(int fd, struct peek *out);
/* Files of unlinked queues that are not forgotten yet.  Stops at the first each() that returns
 * other than 0, and returns that. */
int discover_each_gone(int (*each)(const char *path, void *arg), void *arg);

/* Does this mqxd serve that user?  Root's serves everybody who has none of his own. */
bool discover_serves(uint32_t uid);

/*
 * Bring mirror and store up to date with the directories: mirror new durable
 * queues, forget unlinked ones and remove what is left of them, note changes of
 * attributes.  -ENOSPC: the disk is full, to be tried again; so are errors of
 * want that discover_later knows; any other is for good.
 */
int discover(struct mirror *m);
static inline bool discover_later(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}
/* The part about unlinked queues alone. */
int discover_gone(struct mirror *m);

#endif

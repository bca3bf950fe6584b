/* Which files of segments there are, whose, and what their headers say. */
#ifndef MQXD_PEEK_H
#define MQXD_PEEK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "format.h"

/* A segment file, as far as its header tells. */
struct peek {
    uint64_t ino;
    uint32_t uid, gid;
    uint8_t uuid[16];
    uint32_t durable;
    struct mqxi_header header; /* all of it */
};
/* Look at a file without mapping it: -EBADMSG if it is no segment. */
int peek_file(const char *path, struct peek *out);
int peek_fd(int fd, struct peek *out);
/* Files of unlinked queues that are not forgotten yet.  Stops at the first each() that returns
 * other than 0, and returns that. */
int peek_each_gone(int (*each)(const char *path, void *arg), void *arg);

/* Does this mqxd serve that user?  Root's serves everybody who has none of his own. */
bool peek_serves(uint32_t uid);

/* Does the error tell of a want, of descriptors or memory, that may pass? */
static inline bool peek_later(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

#endif

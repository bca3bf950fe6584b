/* <mqueue.h> and <sys/msg.h>: what their files share. */
#ifndef MQXI_POSIX_H
#define MQXI_POSIX_H

#include <errno.h>
#include <mqx.h>
#include <stdbool.h>

#include "format.h"

/* What a public function returns: r, or where that is -errno, -1 with errno set. */
static inline ssize_t mqxi_result(ssize_t r)
{
    if (r >= 0)
        return r;
    errno = (int)-r;
    return -1;
}

struct mqxi_queue;

/* A descriptor that stands for q, with mq_open's flags, or -errno.  Not in the table yet. */
int mqxi_open_descriptor(struct mqxi_queue *q, int oflag);
/* May a queue of this user's be created, or used?  -ESRCH: what it promises needs an mqxd, and none
 * runs; said once. */
int mqxi_check_durable(const char *name, enum mqxi_durable durable, uid_t uid);
/* Is the caller, as it acts now, in this group? */
bool mqxi_in_group(gid_t gid);

#endif

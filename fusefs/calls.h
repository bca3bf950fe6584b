/* What msgsnd, msgrcv, msgget and msgctl on another user's queue ask for (protocol.h). */
#ifndef MQXFS_CALLS_H
#define MQXFS_CALLS_H

#include "choose.h"
#include "mqxfs.h"
#include "remote.h"

static inline bool is_call(const struct remote *r)
{
    return r->view.shows == SHOWS_CALLS;
}

/* May the caller do what needs this right (MQXI_MAY_..., or 0: none), now?  Of a POSIX queue that
 * was decided when it was opened.  0, -EACCES; -EBADF: it is of the other kind; -ENOTCONN: another
 * queue; -EIDRM: it is removed. */
int call_check(const struct remote *r, fuse_req_t request, const struct mqxi_remote_sysv *said,
               unsigned right);
/* The same without the rest. */
bool call_permitted(const struct remote *r, fuse_req_t request, unsigned right);

/* What msgrcv means, with room for so many bytes. */
struct mqxi_choice call_choice(const struct mqxi_remote_sysv *said, uint32_t room);

void call_control(struct remote *r, fuse_req_t request, const struct mqxi_remote_control *in);

#endif

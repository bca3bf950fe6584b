/* Processes that make requests. */
#ifndef MQXFS_CALLER_H
#define MQXFS_CALLER_H

#include <stdbool.h>

#include "engine.h"
#include "mqxfs.h"
#include "msq_state.h"
#include "protocol.h"

/* Whose request this is, as a sender: the kernel names the thread and its file system user id; the
 * process and the real user id, as the caller says them, where that is the same, or else as /proc
 * does. */
struct mqxi_sender caller_identify(const struct fuse_ctx *ctx, struct mqxi_remote_caller says);

/* Who makes a request, for the rules of msq_state.h: his groups and capabilities are looked up if
 * it comes to them.  Between begin and end. */
struct caller {
    struct mqxi_asker asker;
    const struct fuse_ctx *ctx;
    bool looked;
    char *status; /* or NULL: it is not known */
};
void caller_begin(struct caller *c, const struct fuse_ctx *ctx);
void caller_end(struct caller *c);

/* May a user's process signal this one, as the kernel sees it? */
bool caller_may_signal(uid_t uid, pid_t pid);

/* May who makes this request read (4) or write (2) what has these attributes?  For what the kernel
 * (default_permissions) was not asked. */
bool caller_may(fuse_req_t request, const struct stat *st, mode_t want);

/* Is there no such thread any more?  (0: one that we cannot see.) */
bool caller_is_dead(pid_t tid);
/* The same, or is it dead but for its parent's asking how it ended? */
bool caller_has_ended(pid_t tid);

#endif

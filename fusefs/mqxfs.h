/* What all of mqxfs shares: libfuse's interface, and the session's few settings. */
#ifndef MQXFS_H
#define MQXFS_H

#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fuse_lowlevel.h>

/* The operations (ops.c), for fuse_session_new. */
extern const struct fuse_lowlevel_ops mqxfs_ops;

/* Serve until unmounted (0) or told by signal to end (the signal's number).  -errno. */
int loop_run(struct fuse_session *session);
/* Before the first thread starts: the signals that end us are the loop's from now on.  0, -errno.
 */
int loop_prepare(void);

#endif

/* What mqxfs is told: by who calls it, and by mount(8) from /etc/fstab. */
#ifndef MQXFS_OPTIONS_H
#define MQXFS_OPTIONS_H

#include "mqxfs.h"

/*
 * The mount point among the arguments, or NULL; *count: of such, the last of
 * which it is.  Before libfuse parses them: it resolves the mount point, and
 * cannot where a dead one is mounted.
 */
const char *options_mountpoint(int argc, char **argv, int *count);
/*
 * Take out of the arguments what is not libfuse's: the first of two names, which
 * mount(8) calls the source; where the queues are, and the configuration, which
 * go to the environment; and what mount(8) itself goes by.  0, -1: libfuse has
 * said why, or there was no memory.
 */
int options_take(struct fuse_args *args, int names);

#endif

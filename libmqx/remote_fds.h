/* Descriptors of files in mqxfs that stay open between calls on System V queues. */
#ifndef MQXI_REMOTE_FDS_H
#define MQXI_REMOTE_FDS_H

#include <stdint.h>

struct mqxi_remote_fd {
    int fd;
    int entry; /* in the table; -1: none */
};

/* The one that is kept for this queue: 0, or -ENOENT.  It is not closed until put.
 * Async-signal-safe. */
int mqxi_remote_fd_get(int id, struct mqxi_remote_fd *out);
/* Keep fd, of a queue whose segment has this inode number, if there is room: as get. */
void mqxi_remote_fd_keep(int id, uint64_t ino, int fd, struct mqxi_remote_fd *out);
/* forget: the queue is gone, or its mqxfs. */
void mqxi_remote_fd_put(const struct mqxi_remote_fd *f, int forget);

#endif

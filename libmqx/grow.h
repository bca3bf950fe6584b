/* Making files larger, whatever RLIMIT_FSIZE says: the kernel's queues are no files. */
#ifndef MQXI_GROW_H
#define MQXI_GROW_H

#include <stddef.h>
#include <stdint.h>

/* As ftruncate, fallocate from the beginning, and pwrite; -errno.  No SIGXFSZ: -ENOSPC where the
 * limit cannot be raised for the moment.  Async-signal-safe. */
int mqxi_grow_truncate(int fd, uint64_t size);
int mqxi_grow_allocate(int fd, uint64_t size);
long mqxi_grow_write(int fd, const void *data, size_t len, uint64_t at);

#endif

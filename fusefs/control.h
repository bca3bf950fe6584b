/* Public requests by ioctl: priorities (include/mqx_ioctl.h). */
#ifndef MQXFS_CONTROL_H
#define MQXFS_CONTROL_H

#include "file.h"

/* Is it one of them? */
bool control_is(unsigned command);
/* Answer it, now or later. */
void control(struct file *f, fuse_req_t request, unsigned command, const void *in, size_t in_size,
             size_t out_size);

#endif

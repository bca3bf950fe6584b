/* Extended attributes: user.mqx.* */
#ifndef MQXFS_XATTR_H
#define MQXFS_XATTR_H

#include "mqxfs.h"

/* Operations. */
void xattr_get(fuse_req_t request, fuse_ino_t ino, const char *name, size_t size);
void xattr_list(fuse_req_t request, fuse_ino_t ino, size_t size);
void xattr_set(fuse_req_t request, fuse_ino_t ino, const char *name, const char *value, size_t size,
               int flags);
void xattr_remove(fuse_req_t request, fuse_ino_t ino, const char *name);

#endif

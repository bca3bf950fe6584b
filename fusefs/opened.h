/* Answers to open(2). */
#ifndef MQXFS_OPENED_H
#define MQXFS_OPENED_H

#include "mqxfs.h"

/* As fuse_reply_open and fuse_reply_create, of a file without an offset. */
int opened_reply(fuse_req_t request, const struct fuse_file_info *fi);
int opened_reply_create(fuse_req_t request, const struct fuse_entry_param *entry,
                        const struct fuse_file_info *fi);

#endif

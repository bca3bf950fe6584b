/* Directories, read. */
#ifndef MQXFS_DIR_H
#define MQXFS_DIR_H

#include "mqxfs.h"

void dir_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi);
void dir_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
              struct fuse_file_info *fi);
void dir_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi);

#endif

/* Open queue files: messages written and read. */
#ifndef MQXFS_FILE_H
#define MQXFS_FILE_H

#include "attached.h"
#include "mqxfs.h"

struct file;

/* Open the queue: takes over the caller's reference, and lets go of it at close.  NULL: no
 * memory, and the reference stays the caller's. */
struct file *file_open(struct attached *a);
/* A message that was not read to its end goes back. */
void file_close(struct file *f);
/* The same for all open files: mqxfs ends. */
void file_close_all(void);

/* Answer the request, now or later.  largest: bytes that the kernel never splits. */
void file_read(struct file *f, fuse_req_t request, size_t size, off_t offset, bool block);
void file_write(struct file *f, fuse_req_t request, const void *data, size_t size, size_t largest,
                bool block);

#endif

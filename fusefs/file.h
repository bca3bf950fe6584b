/* Open queue files: messages written and read. */
#ifndef MQXFS_FILE_H
#define MQXFS_FILE_H

#include "attached.h"
#include "mqxfs.h"
#include "remote.h"

struct file;
struct parked;

/* Open the queue: takes over the caller's reference, and lets go of it at close.  NULL: no
 * memory, and the reference stays the caller's.  flags: of open(2); type: of messages, where its
 * name says one (sysv.h). */
struct file *file_open(struct attached *a, int flags, long type);
/* A message that was not read to its end goes back. */
void file_close(struct file *f);
/* The same for all open files: mqxfs ends. */
void file_close_all(void);

/* Answer the request, now or later.  largest: bytes that the kernel never splits. */
void file_read(struct file *f, fuse_req_t request, size_t size, off_t offset, bool block);
void file_write(struct file *f, fuse_req_t request, const void *data, size_t size, size_t largest,
                bool block);

/* Was a message read from it, so that there is its rest, or its end, to be read? */
bool file_is_read(const struct file *f);

/* The message of a sync queue is sent; its writer's request is answered when it is on disk. */
void file_wait_for_disk(const struct parked *writer, uint32_t slot, uint64_t key);

/* Its other use; NULL: no memory. */
struct remote *file_remote(struct file *f);
bool file_is_remote(const struct file *f);
struct attached *file_attached(const struct file *f);

#endif

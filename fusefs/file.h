/* Open queue files: messages written and read. */
#ifndef MQXFS_FILE_H
#define MQXFS_FILE_H

#include "attached.h"
#include "form.h"
#include "mqxfs.h"
#include "remote.h"
#include "views.h"

struct file;
struct parked;
struct record;

/* Open the queue: takes over the caller's reference, and lets go of it at close.  NULL: no
 * memory, and the reference stays the caller's.  flags: of open(2); type: of messages, where its
 * name says one (sysv.h); node: through which it was opened. */
struct file *file_open(struct attached *a, const struct view *view, int flags, long type,
                       fuse_ino_t node);
/* A file that only shows these bytes, which are freed with it.  NULL: no memory. */
struct file *file_open_text(struct text text);
bool file_is_text(const struct file *f);
/* Is it open for reading and writing, and has no offset (opened.c)? */
bool file_is_both(const struct file *f);
/* A message that was not read to its end goes back. */
void file_close(struct file *f);
/* The same for all open files: mqxfs ends. */
void file_close_all(void);

/* Answer the request, now or later.  largest: bytes that the kernel never splits. */
void file_read(struct file *f, fuse_req_t request, size_t size, off_t offset, bool block);
void file_write(struct file *f, fuse_req_t request, const void *data, size_t size, size_t largest,
                bool block);

/* The same for requests by ioctl (control.c): a message that is sent; and a request of any kind. */
void file_send(struct file *f, fuse_req_t request, uint32_t prio, const void *data, uint32_t len,
               bool block);
void file_try_or_park(struct parked *p, bool block);

/* What is written from now on has this priority.  -EINVAL: there is no such. */
int file_set_priority(struct file *f, uint32_t prio);
/* The same for all that were opened through this node: how many, or -EINVAL. */
int file_set_priorities(fuse_ino_t node, uint32_t prio);
/* That of what is written through this node, in this view. */
uint32_t file_priority(fuse_ino_t node, const struct view *v);

/* Is there something to be read whatever is in the queue: a message's rest, or the end? */
bool file_has_more(const struct file *f);

/* Its other use; NULL: no memory. */
struct remote *file_remote(struct file *f);
bool file_is_remote(const struct file *f);
int file_flags(const struct file *f); /* of open(2) */
const struct view *file_view(const struct file *f);
long file_type(const struct file *f);
const struct record *file_record(const struct file *f);
struct attached *file_attached(const struct file *f);

#endif

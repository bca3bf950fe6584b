/* What a message queue descriptor is to calls other than mq_*: it is a file. */
#ifndef MQXI_FILES_H
#define MQXI_FILES_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "handles.h"
#include "sys.h"

/*
 * The queue that fd stands for: as mqxi_handle_get, which is asked first, and
 * finds out about a descriptor that came otherwise than by mq_open: by dup,
 * across exec, from another process.  Between mqxi_op_enter and leave.
 * -EBADF; -EREMOTE: another user's queue, through its file (remote.h).
 */
int mqxi_file_queue(int fd, struct mqxi_queue **q, unsigned *access);

/* A descriptor of q was opened: note which FIFO is its own. */
void mqxi_file_opened(struct mqxi_queue *q, int fd);

/*
 * Is fd, which is known as q's, still a descriptor of q?  A number can be another
 * file's by now: closed inside libc (fclose, daemon), or by a system call that we
 * did not see.  If so that is noted, and false.  One system call.
 */
bool mqxi_file_still(int fd, const struct mqxi_queue *q);

/* fd, or each from first to last, is about to be closed, or was just replaced by another file. */
void mqxi_file_closing(int fd);
void mqxi_files_closing(unsigned first, unsigned last);

/* `to` was made a duplicate of `from`; whatever it was before is closed. */
void mqxi_file_duplicated(int from, int to);

/*
 * The status flags that fcntl(F_GETFL) shall give for what the kernel says
 * (flags), and those to be given to F_SETFL for what the caller asks; what they
 * got where fd is no queue's.  -EINVAL as the kernel.
 */
int mqxi_file_getfl(int fd, int flags);
int mqxi_file_setfl(int fd, int flags);

/* 1: fd is a queue's, and st (as the kernel filled it in) tells of the queue now; 0: it is not. */
int mqxi_file_stat(int fd, struct stat *st);
int mqxi_file_statx(int fd, struct statx *st);

/* The rest return 1 where fd is no queue's, and the call is to go on as usual. */
#define MQXI_NOT_OURS 1
int mqxi_file_chmod(int fd, mode_t mode); /* 0, -EPERM */
/* A line about the queue's state, from *offset, or where that is NULL from where the last read
 * ended.  Bytes read in *got; -EBADF, -EINVAL, -EFAULT. */
int mqxi_file_read(int fd, const struct iovec *to, int n, const off_t *offset, ssize_t *got);
int mqxi_file_write(int fd); /* -EINVAL, -EBADF: not the way to send */
/* From one file into another, without the program: -EINVAL, -EBADF. */
int mqxi_file_transfer(int from, int to);
int mqxi_file_seek(int fd, off_t offset, int whence, off_t *now);

#endif

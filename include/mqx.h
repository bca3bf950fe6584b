/*
 * mqx: POSIX message queues in user space.
 *
 * The functions of <mqueue.h> under names of their own, for programs that want
 * mqx's queues by name, beside the kernel's.  (Linked with -lmqx, or run under
 * `mqx run`, a program's mq_open is mqx_open.)  Each behaves as the function
 * that Linux has under the name mq_*, errno and its precedence included:
 * mq_open(3), mq_send(3), ... hold here too.
 *
 * Common to all of them:
 *   - a return of -1 comes with errno;
 *   - they may be called from any thread at any time; a queue may be closed
 *     while other threads are blocked on it: those calls go on;
 *   - the four functions that send and receive are cancellation points, make
 *     no system call where nothing is to be waited for, and may be called in a
 *     signal handler, even one that interrupted them (leaving that handler by
 *     siglongjmp is safe only where it interrupted a blocked call: otherwise a
 *     message may be lost from the queue until the process ends);
 *   - EFAULT comes for pointers into the first and the last page of the address
 *     space (NULL, -1); others that point to no memory crash;
 *   - beyond the errors named below: EBADMSG, the queue's file is damaged; EIO,
 *     it was truncated or cannot be used any more.
 */
#ifndef MQX_H
#define MQX_H

#include <mqueue.h> /* mqd_t, struct mq_attr: this one's, glibc's and musl's are the same */
#include <stddef.h>
#include <sys/types.h>

#define MQX_VERSION "0.1.0"

#define MQX_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

struct sigevent;
struct timespec;

/* The library's version, as MQX_VERSION was when it was built.  Async-signal-safe. */
MQX_API const char *mqx_version(void);

/*
 * Open the queue `name`, or create it: mqx_open(name, oflag) or
 * mqx_open(name, oflag, mode, attr).
 *
 * name: "/" and 1 to 255 bytes, any but '/' and NUL; not "/." or "/..".
 * oflag: O_RDONLY, O_WRONLY or O_RDWR, and any of O_NONBLOCK (sending to a
 * full queue and receiving from an empty one fail with EAGAIN), O_CREAT and
 * O_EXCL.  The descriptor is close-on-exec, like the kernel's.
 * mode (mode_t), attr (const struct mq_attr *): read with O_CREAT alone, used
 * if the queue does not exist.  mode, less the umask, are its permissions.
 * attr->mq_maxmsg is 1 to 16,777,216, attr->mq_msgsize 1 to 67,108,864; NULL:
 * what the configuration says, else 10 messages of 8192 bytes.
 *
 * Returns a descriptor, the lowest free one.  Errors: EINVAL: name without
 * "/", attr out of range, both O_WRONLY and O_RDWR for an existing queue;
 * ENOENT: no such queue, or the name is "/"; EACCES: not permitted, or another
 * "/" in the name; EEXIST: it exists, and O_CREAT|O_EXCL were given;
 * ENAMETOOLONG; EMFILE, ENFILE: no free descriptor; ENOMEM, ENOSPC: no room;
 * ESRCH: the messages of the queue that was to be created are to be on disk when a send
 * returns (durable = sync), and mqxd, which would write them, is not running (said on
 * stderr once).
 * Does not block.  Not async-signal-safe.
 */
MQX_API mqd_t mqx_open(const char *name, int oflag, ...);

/*
 * Close a descriptor.  The queue and its messages stay.
 * Returns 0.  Errors: EBADF.  As on Linux, where mq_close is close, a
 * descriptor that is no queue's is closed too.  Does not block.
 */
MQX_API int mqx_close(mqd_t mqdes);

/*
 * Remove a queue's name.  Who has it open keeps using it; it is gone when the
 * last descriptor is closed.  The name can be used again at once.
 * Returns 0.  Errors: those of mqx_open for a name; ENOENT; EACCES: the queue
 * is another user's.  Does not block.  Not async-signal-safe.
 */
MQX_API int mqx_unlink(const char *name);

/*
 * Send msg_len bytes (0 to the queue's mq_msgsize) with a priority (0 to
 * 32767).  A full queue: wait until there is room, or with O_NONBLOCK fail.
 *
 * Returns 0; the message is then in the queue (and on disk, where its policy
 * says durable = sync).  Errors: EINVAL: priority; EBADF: not a queue, or not
 * open for writing; EMSGSIZE: too long; EAGAIN: full, and O_NONBLOCK; EINTR: a
 * signal handler without SA_RESTART interrupted the wait; ENOSPC: no memory
 * left for the message; EIO (durable queues only): mqxd did not store it in time, and
 * it was not sent.  mqxd, when it is gone or the disk is full, is waited for as room is.
 */
MQX_API int mqx_send(mqd_t mqdes, const char *msg_ptr, size_t msg_len, unsigned int msg_prio);

/*
 * The same, but wait no longer than until abs_timeout (CLOCK_REALTIME; NULL:
 * no limit).  Where there is room it is not looked at whether it has passed.
 * Further errors: ETIMEDOUT; EINVAL, before all others and even where nothing
 * would block: tv_sec negative, or tv_nsec not 0 to 999,999,999.
 */
MQX_API int mqx_timedsend(mqd_t mqdes, const char *msg_ptr, size_t msg_len, unsigned int msg_prio,
                          const struct timespec *abs_timeout);

/*
 * Take the oldest of the messages of the highest priority.  msg_len: bytes at
 * msg_ptr, at least the queue's mq_msgsize.  *msg_prio, where msg_prio is not
 * NULL, is its priority.  An empty queue: wait, or with O_NONBLOCK fail.
 *
 * Returns the message's length.  Errors: EBADF: not a queue, or not open for
 * reading; EMSGSIZE: msg_len too small; EAGAIN: empty, and O_NONBLOCK; EINTR:
 * as mqx_send.
 */
MQX_API ssize_t mqx_receive(mqd_t mqdes, char *msg_ptr, size_t msg_len, unsigned int *msg_prio);

/* The same, but wait no longer than until abs_timeout: as mqx_timedsend. */
MQX_API ssize_t mqx_timedreceive(mqd_t mqdes, char *msg_ptr, size_t msg_len, unsigned int *msg_prio,
                                 const struct timespec *abs_timeout);

/*
 * The descriptor's flags (mq_flags: 0 or O_NONBLOCK) and the queue's limits
 * and number of messages.  Returns 0.  Errors: EBADF.  Async-signal-safe.
 */
MQX_API int mqx_getattr(mqd_t mqdes, struct mq_attr *attr);

/*
 * Set O_NONBLOCK to what newattr->mq_flags says, for every descriptor of this
 * open file description (dup, fork); its other members are ignored.  oldattr,
 * where not NULL: as mqx_getattr before the change.  newattr NULL: no change.
 * Returns 0.  Errors: EINVAL, before all others: mq_flags has other flags;
 * EBADF.  Async-signal-safe.
 */
MQX_API int mqx_setattr(mqd_t mqdes, const struct mq_attr *newattr, struct mq_attr *oldattr);

/*
 * Register this process to be notified of the next message that is put into
 * the queue while it is empty and nobody is blocked in a receive: once, and at
 * most one process at a time for each queue.  notification->sigev_notify:
 *   SIGEV_SIGNAL: the signal sigev_signo, with si_code SI_MESGQ, si_value
 *     sigev_value, si_pid and si_uid the sender's process and real user id
 *     (sent before mqx_send returns, if it is this process's own message, or
 *     the notified process is running);
 *   SIGEV_THREAD: sigev_notify_function(sigev_value) is called in a new,
 *     detached thread, with the attributes *sigev_notify_attributes (or NULL;
 *     copied) and no signal blocked;
 *   SIGEV_NONE: nothing happens, but nobody else can be registered meanwhile.
 * NULL: this process's registration, if it has one, ends.  So it does when the
 * process closes any descriptor of the queue, exits, executes another program
 * or is killed.  A forked child is not registered.
 *
 * Returns 0.  Errors: EINVAL, before all others: sigev_notify or sigev_signo;
 * EBADF; EBUSY: a process is registered, perhaps this one; ENOMEM, EAGAIN: no
 * memory, or no thread (a process that has registered has one more, named
 * "mqx-notify"); ENOSYS: the queue is another user's.  Does not block.
 * Async-signal-safe, without thread attributes, in a process that has
 * registered before: a handler can register anew.
 */
MQX_API int mqx_notify(mqd_t mqdes, const struct sigevent *notification);

/*
 * <sys/msg.h>.  Each behaves as the function that Linux has without mqx_: msgget(2),
 * msgop(2), msgctl(2) hold here too; ids and keys are mqx's own, the same for all
 * processes that use the same $MQX_DIR.  Signal handlers interrupt a wait, whatever their
 * flags.  What is said above of all functions holds for these, msgsnd and msgrcv being the
 * ones that send and receive.
 *
 * Beyond Linux's errors: EACCES: the queue is another user's, whatever its mode says.  Of
 * durable queues as for mqx_open and mqx_send: ESRCH from msgget, EIO from msgsnd.
 * Limits are mqx's own (16 MiB in a message, 1 GiB and 65,536 messages in a new queue,
 * 32,000 queues) unless the configuration or $MQX_LIMITS say otherwise.
 */
struct msqid_ds;
MQX_API int mqx_msgget(int key, int msgflg); /* key_t, which strict C does not know */
MQX_API int mqx_msgsnd(int msqid, const void *msgp, size_t msgsz, int msgflg);
MQX_API ssize_t mqx_msgrcv(int msqid, void *msgp, size_t msgsz, long msgtyp, int msgflg);
MQX_API int mqx_msgctl(int msqid, int cmd, struct msqid_ds *buf);

/*
 * A descriptor that poll, select and epoll find readable while the queue has a message, of
 * whatever type, and writable while there is room for a byte; both when the queue is
 * removed.  Nothing else can be done with it but close it; it is close-on-exec.
 * Errors: EINVAL: no such queue; EACCES; EMFILE, ENFILE, ENOMEM.
 */
MQX_API int mqx_msg_fd(int msqid);

#ifdef __cplusplus
}
#endif

#endif

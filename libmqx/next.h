/*
 * The libc functions that ours stand before: what a call does that is not about
 * a queue.  Dynamically linked, the next definition in the program's search order
 * (libc's, or another preloaded library's); statically, the system call itself.
 */
#ifndef MQXI_NEXT_H
#define MQXI_NEXT_H

#include <pthread.h>
#include <sys/msg.h>

#include "sys.h"

#define MQXI_NEXT_ALL(X)                                                                           \
    X(close)                                                                                       \
    X(closefrom)                                                                                   \
    X(close_range)                                                                                 \
    X(dup)                                                                                         \
    X(dup2)                                                                                        \
    X(dup3)                                                                                        \
    X(fcntl)                                                                                       \
    X(fcntl64)                                                                                     \
    X(fstat)                                                                                       \
    X(fstat64)                                                                                     \
    X(__fxstat)                                                                                    \
    X(__fxstat64)                                                                                  \
    X(statx)                                                                                       \
    X(fchmod)                                                                                      \
    X(read)                                                                                        \
    X(pread)                                                                                       \
    X(write)                                                                                       \
    X(readv)                                                                                       \
    X(writev)                                                                                      \
    X(preadv)                                                                                      \
    X(preadv2)                                                                                     \
    X(pwrite)                                                                                      \
    X(pwritev)                                                                                     \
    X(pwritev2)                                                                                    \
    X(sendfile)                                                                                    \
    X(splice)                                                                                      \
    X(tee)                                                                                         \
    X(vmsplice)                                                                                    \
    X(lseek)                                                                                       \
    X(poll)                                                                                        \
    X(ppoll)                                                                                       \
    X(__poll_chk)                                                                                  \
    X(__ppoll_chk)                                                                                 \
    X(select)                                                                                      \
    X(pselect)                                                                                     \
    X(epoll_create)                                                                                \
    X(epoll_create1)                                                                               \
    X(epoll_ctl)                                                                                   \
    X(epoll_wait)                                                                                  \
    X(epoll_pwait)                                                                                 \
    X(epoll_pwait2)                                                                                \
    X(dlopen)                                                                                      \
    X(msgget)                                                                                      \
    X(msgsnd)                                                                                      \
    X(msgrcv)                                                                                      \
    X(msgctl)

#define MQXI_NEXT_NUMBER(name) MQXI_NEXT_##name,
enum mqxi_next { MQXI_NEXT_ALL(MQXI_NEXT_NUMBER) MQXI_NEXT_COUNT };

/* NULL: there is none, use the system call.  Async-signal-safe once the library's constructor
 * ran, or any queue was opened. */
void *mqxi_next_find(enum mqxi_next which);
/* Find them all, before a signal handler needs one. */
void mqxi_next_find_all(void);

/* The next `name`, as a pointer to a function of its type. */
#define MQXI_NEXT(name) (__extension__(__typeof__(&name)) mqxi_next_find(MQXI_NEXT_##name))

/* The next `name`, or where there is none the system call: of a descriptor that is no queue's.
 * With posix.h. */
#define GO_ON(name, call, ...)                                                                     \
    __extension__({                                                                                \
        __typeof__(&name) next_ = MQXI_NEXT(name);                                                 \
        next_ ? next_(__VA_ARGS__) : (__typeof__(name(__VA_ARGS__)))mqxi_result(call);             \
    })

/* A system call that is a cancellation point, as the libc function of its name is: for where there
 * is no next function.  Returns -errno. */
#define MQXI_SYS_POINT(...)                                                                        \
    __extension__({                                                                                \
        int type_;                                                                                 \
        long result_;                                                                              \
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type_);                                \
        result_ = MQXI_SYS(__VA_ARGS__);                                                           \
        pthread_setcanceltype(type_, NULL);                                                        \
        result_;                                                                                   \
    })

#endif

/* epoll on message queue descriptors (watch.c). */
#ifndef MQXI_WATCH_H
#define MQXI_WATCH_H

#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>

/*
 * Around epoll_ctl: before it, where fd is a queue's, so that its FIFO shows how
 * it is; and after it, where it succeeded.
 */
void mqxi_watch_before(int op, int fd, const struct epoll_event *event);
void mqxi_watch_after(int epoll, int op, int fd, const struct epoll_event *event);

/* Was a queue added to this epoll descriptor?  Else waiting on it is none of ours. */
bool mqxi_watch_ours(int epoll);
/* As the system call epoll_pwait2; returns -errno.  A cancellation point.  timeout: valid. */
int mqxi_watch_wait(int epoll, struct epoll_event *events, int most, const struct timespec *timeout,
                    const sigset_t *mask);

/* These descriptors are being closed. */
void mqxi_watch_closing(unsigned first, unsigned last);
/* What had these numbers before is gone. */
void mqxi_watch_forget(unsigned first, unsigned last);

#endif

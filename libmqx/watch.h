/* epoll on message queue descriptors (watch.c). */
#ifndef MQXI_WATCH_H
#define MQXI_WATCH_H

#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>

/* A new set has this descriptor. */
void mqxi_watch_made(int epoll);
/* The number of this descriptor's set; if it came from elsewhere, what is in it is remembered from
 * now on.  0: it cannot be. */
int mqxi_watch_adopt(int epoll);

/*
 * Around epoll_ctl, where fd may be a queue's or a set's: before it, so that a
 * queue's FIFO shows how it is; and after it, where it succeeded.
 */
void mqxi_watch_before(int epoll, int op, int fd, const struct epoll_event *event);
void mqxi_watch_after(int epoll, int op, int fd, const struct epoll_event *event);

/* Was a queue (or a set) added to the set?  Else waiting on it is none of ours. */
bool mqxi_watch_ours(int epoll);
/* As the system call epoll_pwait2; returns -errno.  A cancellation point.  timeout: valid. */
int mqxi_watch_wait(int epoll, struct epoll_event *events, int most, const struct timespec *timeout,
                    const sigset_t *mask);
/* Is the set one of ours?  Its own readiness is asked for; sleep: and will be waited for. */
bool mqxi_watch_nested(int epoll, bool sleep);

/* These descriptors are being closed. */
void mqxi_watch_closing(unsigned first, unsigned last);

#endif

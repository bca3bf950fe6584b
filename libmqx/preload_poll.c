/*
 * libc's names for waiting until a descriptor is ready.  Forwarding only: to
 * ours (ready.c, watch.c) where message queue descriptors are concerned, else to
 * whatever would have been called without us.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "handles.h"
#include "next.h"
#include "posix.h"
#include "ready.h"
#include "sets.h"
#include "slices.h"
#include "watch.h"

#ifndef __clang__
/* glibc declares that poll does not read fds. */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

/* What <bits/poll2.h> turns these into with _FORTIFY_SOURCE. */
MQX_API int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
MQX_API int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                        const sigset_t *mask, size_t size);

/* Statically linked, there is no next function. */
#define NEXT(name, arguments, ...)                                                                 \
    (MQXI_NEXT(name) ? MQXI_NEXT(name) arguments : (int)mqxi_result(MQXI_SYS_POINT(__VA_ARGS__)))

/* NULL for the negative ones, which are for ever. */
static const struct timespec *from_ms(int ms, struct timespec *out)
{
    *out = (struct timespec){ms / 1000, ms % 1000 * 1000000};
    return ms < 0 ? NULL : out;
}

static bool valid(const struct timespec *t)
{
    return !t || (t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < 1000000000);
}

MQX_API int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    struct timespec t;
    const struct timespec *left = from_ms(timeout, &t);

    if (!mqxi_poll_ours(fds, n))
        return NEXT(poll, (fds, n, timeout), SYS_ppoll, fds, n, left, NULL, MQXI_KERNEL_SIGSET);
    return (int)mqxi_result(mqxi_poll(fds, n, left, NULL));
}

MQX_API int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                  const sigset_t *mask)
{
    struct timespec left = timeout ? *timeout : (struct timespec){0}; /* the kernel changes it */

    if (!mqxi_poll_ours(fds, n) || !valid(timeout))
        return NEXT(ppoll, (fds, n, timeout, mask), SYS_ppoll, fds, n, timeout ? &left : NULL, mask,
                    MQXI_KERNEL_SIGSET);
    return (int)mqxi_result(mqxi_poll(fds, n, timeout, mask));
}

MQX_API int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
    if (size / sizeof(*fds) < n && MQXI_NEXT(__poll_chk))
        return MQXI_NEXT(__poll_chk)(fds, n, timeout, size); /* which ends the program */
    return poll(fds, n, timeout);
}

MQX_API int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                        const sigset_t *mask, size_t size)
{
    if (size / sizeof(*fds) < n && MQXI_NEXT(__ppoll_chk))
        return MQXI_NEXT(__ppoll_chk)(fds, n, timeout, mask, size);
    return ppoll(fds, n, timeout, mask);
}

static int select_natively(int n, fd_set *readable, fd_set *writable, fd_set *exceptional,
                           struct timeval *timeout)
{
#ifdef SYS_select
    return NEXT(select, (n, readable, writable, exceptional, timeout), SYS_select, n, readable,
                writable, exceptional, timeout);
#else
    struct timespec left;
    int r;

    if (MQXI_NEXT(select))
        return MQXI_NEXT(select)(n, readable, writable, exceptional, timeout);
    if (timeout)
        left = (struct timespec){timeout->tv_sec, timeout->tv_usec * 1000};
    r = (int)MQXI_SYS_POINT(SYS_pselect6, n, readable, writable, exceptional,
                            timeout ? &left : NULL, NULL);
    if (timeout)
        *timeout = (struct timeval){left.tv_sec, left.tv_nsec / 1000};
    return (int)mqxi_result(r);
#endif
}

MQX_API int select(int n, fd_set *readable, fd_set *writable, fd_set *exceptional,
                   struct timeval *timeout)
{
    struct timespec left, rest;
    int r;

    if (!mqxi_select_ours(n, readable, writable) ||
        (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0)))
        return select_natively(n, readable, writable, exceptional, timeout);
    if (timeout)
        left = (struct timespec){timeout->tv_sec + timeout->tv_usec / 1000000,
                                 timeout->tv_usec % 1000000 * 1000};
    r = mqxi_select(n, readable, writable, exceptional, timeout ? &left : NULL, NULL, &rest);
    if (timeout)
        *timeout = (struct timeval){rest.tv_sec, rest.tv_nsec / 1000};
    return (int)mqxi_result(r);
}

MQX_API int pselect(int n, fd_set *readable, fd_set *writable, fd_set *exceptional,
                    const struct timespec *timeout, const sigset_t *mask)
{
    struct timespec left = timeout ? *timeout : (struct timespec){0};
    struct {
        const sigset_t *mask;
        size_t size;
    } both = {mask, MQXI_KERNEL_SIGSET};

    if (!mqxi_select_ours(n, readable, writable) || !valid(timeout))
        return NEXT(pselect, (n, readable, writable, exceptional, timeout, mask), SYS_pselect6, n,
                    readable, writable, exceptional, timeout ? &left : NULL, &both);
    return (int)mqxi_result(mqxi_select(n, readable, writable, exceptional, timeout, mask, NULL));
}

static int created(int epoll)
{
    if (epoll >= 0)
        mqxi_watch_made(epoll);
    return epoll;
}

MQX_API int epoll_create(int size)
{
    return created(MQXI_NEXT(epoll_create) ? MQXI_NEXT(epoll_create)(size)
                   : size <= 0             ? (int)mqxi_result(-EINVAL)
                                           : (int)mqxi_result(MQXI_SYS(SYS_epoll_create1, 0)));
}

MQX_API int epoll_create1(int flags)
{
    return created(MQXI_NEXT(epoll_create1) ? MQXI_NEXT(epoll_create1)(flags)
                                            : (int)mqxi_result(MQXI_SYS(SYS_epoll_create1, flags)));
}

MQX_API int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    bool ours =
        atomic_load_explicit(&mqxi_handles_used, memory_order_relaxed) || mqxi_set_of(fd) != 0;
    int r;

    if (ours)
        mqxi_watch_before(epoll, op, fd, event);
    r = MQXI_NEXT(epoll_ctl) ? MQXI_NEXT(epoll_ctl)(epoll, op, fd, event)
                             : (int)mqxi_result(MQXI_SYS(SYS_epoll_ctl, epoll, op, fd, event));
    if (ours && r == 0)
        mqxi_watch_after(epoll, op, fd, event);
    return r;
}

MQX_API int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
    struct timespec t;

    if (!mqxi_watch_ours(epoll))
        return NEXT(epoll_wait, (epoll, events, most, timeout), SYS_epoll_pwait, epoll, events,
                    most, timeout, NULL, MQXI_KERNEL_SIGSET);
    return (int)mqxi_result(mqxi_watch_wait(epoll, events, most, from_ms(timeout, &t), NULL));
}

MQX_API int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout,
                        const sigset_t *mask)
{
    struct timespec t;

    if (!mqxi_watch_ours(epoll))
        return NEXT(epoll_pwait, (epoll, events, most, timeout, mask), SYS_epoll_pwait, epoll,
                    events, most, timeout, mask, MQXI_KERNEL_SIGSET);
    return (int)mqxi_result(mqxi_watch_wait(epoll, events, most, from_ms(timeout, &t), mask));
}

MQX_API int epoll_pwait2(int epoll, struct epoll_event *events, int most,
                         const struct timespec *timeout, const sigset_t *mask)
{
    if (!mqxi_watch_ours(epoll) || !valid(timeout))
        return NEXT(epoll_pwait2, (epoll, events, most, timeout, mask), SYS_epoll_pwait2, epoll,
                    events, most, timeout, mask, MQXI_KERNEL_SIGSET);
    return (int)mqxi_result(mqxi_watch_wait(epoll, events, most, timeout, mask));
}

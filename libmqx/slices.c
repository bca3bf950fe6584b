/*
 * A process that was killed between its change of a queue and telling about it
 * leaves readiness as it was.  So who waits for readiness sleeps for about a
 * second at most and looks for itself in between, in a call that goes on to look
 * like one.
 *
 * The program's signals are blocked but for the sleep itself: every system call
 * that waits for readiness can change the mask for as long as it sleeps.  So a
 * signal that comes between two slices interrupts the next, as it would have the
 * one call.
 *
 * Slices are of odd length, since programs interrupt themselves with alarm() after
 * whole seconds.
 */
#include "slices.h"

#include <string.h>

#include "next.h"
#include "signals.h"
#include "sys.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

#define SECOND    UINT64_C(1000000000)
#define SLICE_NS  (UINT64_C(700000000) + odd_ns())
#define LONGEST_S 2000000000 /* beyond: for ever */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* Up to half a second. */
static uint64_t odd_ns(void)
{
    return (uint32_t)((uint32_t)now_ns() * 2654435761u) / 9u;
}

static struct timespec as_timespec(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / SECOND), (long)(ns % SECOND)};
}

void mqxi_slices_begin(struct mqxi_slices *s, const struct timespec *timeout, const sigset_t *mask)
{
    *s = (struct mqxi_slices){.given = mask};
    s->forever = !timeout || timeout->tv_sec > LONGEST_S;
    if (!s->forever)
        s->deadline = now_ns() + (uint64_t)timeout->tv_sec * SECOND + (uint64_t)timeout->tv_nsec;
}

static uint64_t left(const struct mqxi_slices *s)
{
    uint64_t now = s->forever ? 0 : now_ns();

    return s->forever ? UINT64_MAX : s->deadline > now ? s->deadline - now : 0;
}

bool mqxi_slices_left(const struct mqxi_slices *s)
{
    return left(s) > 0;
}

struct timespec mqxi_slices_rest(const struct mqxi_slices *s)
{
    return as_timespec(left(s));
}

static void hold(struct mqxi_slices *s)
{
    s->before = mqxi_signals_hold();
    s->held = true;
    if (s->given)
        return;
    sigemptyset(&s->mask);
    memcpy(&s->mask, &s->before, sizeof(s->before));
}

void mqxi_slices_next(struct mqxi_slices *s, bool sleep)
{
    uint64_t ns = 0, longest;

    if (sleep) {
        longest = SLICE_NS;
        ns = left(s);
        ns = ns < longest ? ns : longest;
        if (!s->held)
            hold(s);
    }
    s->slice = as_timespec(ns);
}

static const sigset_t *mask(const struct mqxi_slices *s)
{
    return s->given ? s->given : s->held ? &s->mask : NULL;
}

/* The three are in this file, away from the clean-up handlers around them: a compiler that sees
 * that all there is is a system call, which throws nothing, leaves these out. */

int mqxi_slices_poll(struct mqxi_slices *s, struct pollfd *fds, nfds_t n)
{
    return (int)MQXI_SYS_POINT(SYS_ppoll, fds, n, &s->slice, mask(s), MQXI_KERNEL_SIGSET);
}

int mqxi_slices_select(struct mqxi_slices *s, int n, fd_set *readable, fd_set *writable,
                       fd_set *exceptional)
{
    struct {
        const sigset_t *mask;
        size_t size;
    } both = {mask(s), MQXI_KERNEL_SIGSET};

    return (int)MQXI_SYS_POINT(SYS_pselect6, n, readable, writable, exceptional, &s->slice, &both);
}

int mqxi_slices_epoll(struct mqxi_slices *s, int epoll, struct epoll_event *events, int most)
{
    long r = MQXI_SYS_POINT(SYS_epoll_pwait2, epoll, events, most, &s->slice, mask(s),
                            MQXI_KERNEL_SIGSET);

    if (r == -ENOSYS) /* before Linux 5.11: up to a millisecond too long */
        r = MQXI_SYS_POINT(SYS_epoll_pwait, epoll, events, most,
                           (int)s->slice.tv_sec * 1000 +
                               (int)((s->slice.tv_nsec + 999999) / 1000000),
                           mask(s), MQXI_KERNEL_SIGSET);
    return (int)r;
}

void mqxi_slices_vain(struct mqxi_slices *s, bool vain)
{
    struct timespec rest = {.tv_nsec = s->vain < 20 ? 1000000 : 20000000};

    s->vain = vain ? s->vain + 1 : 0;
    if (s->vain < 3)
        return;
    if (left(s) < (uint64_t)rest.tv_nsec)
        rest = as_timespec(left(s));
    MQXI_SYS(SYS_ppoll, NULL, 0, &rest, NULL, 0);
}

void mqxi_slices_end(void *arg)
{
    const struct mqxi_slices *s = arg;

    if (s->held)
        MQXI_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &s->before, NULL, sizeof(s->before));
}

/* Waiting in slices: a call that sleeps looks up now and then, and nobody notices (slices.c). */
#ifndef MQXI_SLICES_H
#define MQXI_SLICES_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

struct mqxi_slices {
    bool forever;
    uint64_t deadline;     /* CLOCK_MONOTONIC, ns */
    const sigset_t *given; /* the caller's signal mask for the wait, or NULL */
    sigset_t mask;         /* the one for each slice */
    uint64_t before;       /* what it was before signals were held back */
    bool held;
    unsigned vain; /* slices in a row that ended for nothing */
    struct timespec slice;
};

/* timeout: valid, or NULL: for ever.  mask: for the wait, or NULL. */
void mqxi_slices_begin(struct mqxi_slices *s, const struct timespec *timeout, const sigset_t *mask);
/* Is any of the time left? */
bool mqxi_slices_left(const struct mqxi_slices *s);
/*
 * The next slice: one of these, after next.  Without sleep it returns at once.  Signals are held
 * back from the first sleep on: one that comes between two slices ends the next with EINTR.
 */
void mqxi_slices_next(struct mqxi_slices *s, bool sleep);
int mqxi_slices_poll(struct mqxi_slices *s, struct pollfd *fds, nfds_t n);
int mqxi_slices_select(struct mqxi_slices *s, int n, fd_set *readable, fd_set *writable,
                       fd_set *exceptional);
int mqxi_slices_epoll(struct mqxi_slices *s, int epoll, struct epoll_event *events, int most);
/* It ended for nothing, and the next may as soon: after a few in a row, rest for a moment.  Or it
 * did not. */
void mqxi_slices_vain(struct mqxi_slices *s, bool vain);
/* What is left of the time. */
struct timespec mqxi_slices_rest(const struct mqxi_slices *s);
/* Always at the end, also where the thread was cancelled.  s: struct mqxi_slices. */
void mqxi_slices_end(void *s);

#define MQXI_KERNEL_SIGSET 8 /* bytes of a signal mask, to the kernel */

#endif

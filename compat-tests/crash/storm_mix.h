/*
 * For storms that mix in everything else that a program does with a queue: a call
 * that waits first in poll, select or epoll; one in a thread that is cancelled at
 * a random moment; and mq_notify, given and taken back.  None of that may change
 * what becomes of the messages: a call that was cancelled did nothing.  (glibc's
 * calls on the kernel's queues may have done it all the same: there nobody is
 * cancelled.)
 */
#ifndef STORM_MIX_H
#define STORM_MIX_H

#include "storm.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>

static bool mix_cancels = true;

/* A send or a receive, on descriptors that wait and do not. */
struct mix_call {
    mqd_t patient, hasty;
    bool send;
    char *room;
    size_t len;
    unsigned prio;
    int signal;     /* to be notified by; 0: in any way */
    ssize_t result; /* and, where that is -1, errno; ECANCELED: it was cancelled */
    int error;
    _Atomic bool begun;
};

static inline void mix_do(struct mix_call *c, mqd_t q)
{
    c->result =
        c->send ? mq_send(q, c->room, c->len, c->prio) : mq_receive(q, c->room, c->len, &c->prio);
    c->error = errno;
}

/* --- notification ------------------------------------------------------------------------------
 */

static inline void mix_heard(union sigval value)
{
    (void)value;
}

static inline void mix_signalled(int signal)
{
    (void)signal;
}

/* Register, or take it back.  Whoever else is registered: that is nobody's fault. */
static inline void mix_notify(mqd_t q, int signal, uint64_t *chance)
{
    struct sigaction action = {.sa_handler = mix_signalled, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
    uint64_t what = storm_below(chance, 4);

    if (signal == 0) {
        event.sigev_signo = SIGRTMIN;
        sigaction(SIGRTMIN, &action, NULL);
        event.sigev_notify_function = mix_heard;
        event.sigev_notify = what == 1 ? SIGEV_THREAD : what == 2 ? SIGEV_NONE : SIGEV_SIGNAL;
    }
    if (mq_notify(q, what == 0 ? NULL : &event) != 0 && errno != EBUSY)
        storm_die("mq_notify");
}

/* --- readiness ---------------------------------------------------------------------------------
 */

/* Until the queue is ready, or at most so long; or a signal comes. */
static inline void mix_wait(const struct mix_call *c, uint64_t *chance)
{
    int ms = storm_below(chance, 4) ? -1 : (int)storm_below(chance, 20), r, set;
    struct pollfd p = {.fd = c->hasty, .events = c->send ? POLLOUT : POLLIN};
    struct timeval time = {0, ms * 1000};
    struct epoll_event event = {(uint32_t)p.events, {0}};
    fd_set fds;

    switch (storm_below(chance, 4)) {
    case 0:
        FD_ZERO(&fds);
        FD_SET(c->hasty, &fds);
        r = select(c->hasty + 1, c->send ? NULL : &fds, c->send ? &fds : NULL, NULL,
                   ms < 0 ? NULL : &time);
        break;
    case 1:
    case 2:
        set = epoll_create1(EPOLL_CLOEXEC);
        event.events |= storm_below(chance, 2) ? EPOLLET : 0;
        if (epoll_ctl(set, EPOLL_CTL_ADD, c->hasty, &event) != 0)
            storm_die("EPOLL_CTL_ADD");
        p.fd = set; /* and a set is waited for itself */
        p.events = POLLIN;
        r = storm_below(chance, 4) ? epoll_wait(set, &event, 1, ms) : poll(&p, 1, ms);
        close(set);
        break;
    default:
        r = poll(&p, 1, ms);
    }
    if (r < 0 && errno != EINTR)
        storm_die("waiting until the queue is ready");
}

/* --- cancellation ------------------------------------------------------------------------------
 */

static inline void *mix_thread(void *arg)
{
    struct mix_call *c = arg;
    int state;

    /* Nowhere but in the call itself. */
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    atomic_store(&c->begun, true);
    mix_do(c, c->patient);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return NULL;
}

/* The program's signals are for its other threads. */
static inline void mix_cancelled(struct mix_call *c, uint64_t *chance)
{
    sigset_t all, before;
    pthread_t thread;
    void *value;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_store(&c->begun, false);
    errno = pthread_create(&thread, NULL, mix_thread, c);
    if (errno)
        storm_die("pthread_create");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    while (!atomic_load(&c->begun))
        sched_yield();
    if (storm_below(chance, 2))
        storm_nap(storm_below(chance, 1000000));
    pthread_cancel(thread);
    pthread_join(thread, &value);
    if (value == PTHREAD_CANCELED) {
        c->result = -1;
        c->error = ECANCELED;
    }
}

/* --- all of it ----------------------------------------------------------------------------------
 */

/*
 * The call, in one of these ways.  It may also return without having been made, or cancelled:
 * EAGAIN, ECANCELED, which are no failures.
 */
static inline ssize_t mix_call(struct mix_call *c, uint64_t *chance)
{
    uint64_t what = storm_below(chance, 8);

    if (what == 0)
        mix_notify(c->patient, c->signal, chance);
    if (what == 1 && mix_cancels) {
        mix_cancelled(c, chance);
    } else if (what < 4) {
        mix_wait(c, chance);
        mix_do(c, c->hasty);
    } else {
        mix_do(c, c->patient);
    }
    errno = c->error;
    return c->result;
}

#endif

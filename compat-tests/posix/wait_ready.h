/* The calls that wait until a descriptor is ready, as one. */
#ifndef WAIT_READY_H
#define WAIT_READY_H

#include "compat.h"

#include <poll.h>
#include <signal.h>

/* With a case's number: which(). */
enum way { POLL, PPOLL, SELECT, PSELECT, EPOLL, EPOLL_P, WAYS };
#define EACH_WAY(sentence, function)                                                               \
    CALL("poll(2): " sentence, function, POLL), CALL("ppoll(2): " sentence, function, PPOLL),      \
        CALL("select(2): " sentence, function, SELECT),                                            \
        CALL("pselect(2): " sentence, function, PSELECT),                                          \
        CALL("epoll_wait(2): " sentence, function, EPOLL),                                         \
        CALL("epoll_pwait(2): " sentence, function, EPOLL_P)

#define NOTHING   0
#define READABLE  POLLIN
#define WRITABLE  POLLOUT
#define BOTH_WAYS (POLLIN | POLLOUT)

/* Wait until q can do one of `events` (READABLE, WRITABLE), at most so long (negative: for ever).
 * Which it can; -errno. */
int wait_ready(enum way way, mqd_t q, int events, int ms);
/* The same, with this signal mask meanwhile: PPOLL, PSELECT and EPOLL_P. */
int wait_masked(enum way way, mqd_t q, int events, int ms, const sigset_t *mask);
/* What it can do now. */
int ready(enum way way, mqd_t q);

static inline enum way way_of(void **state)
{
    return (enum way)(intptr_t)*state;
}

/* For spawn: wait_ready, having said that it will.  Exit status: what it returned, or 100 + errno.
 */
struct waiter {
    enum way way;
    int events;
    mqd_t q; /* inherited; -1: name(0), opened */
    int ms;
};
int waits(void *waiter);
/* Spawn f in each way at once; each shall exit with this status. */
void each_way_at_once(int (*f)(void *way), int status);

#endif

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

#endif

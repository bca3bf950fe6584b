/* What is stepped through, and what else happens around it. */
#ifndef STEP_SCENARIOS_H
#define STEP_SCENARIOS_H

#include "actors.h"

/* Sums of these. */
enum {
    FRESH = 1,         /* each round has a new queue */
    BRIEF = 2,         /* look only right after what others can see: stores and system calls */
    SLEEPER = 4,       /* meanwhile another process sleeps: in a receive where the actor sends or
                          sleeps in a receive itself, else in a send */
    GONE = 8,          /* the sleeper was killed before */
    LEFT_STOPPED = 16, /* whoever came before was not killed but stopped, and went on later */
    ASYNC = 32,        /* the queue is durable, and mqxd runs */
    SYNC = 64,
    POLLER = 128,    /* the sleeper is in poll(2), not in a receive or send */
    REGISTERED = 256 /* the harness is registered with mq_notify */
};

struct scenario {
    const char *name;
    enum act act;
    unsigned how, prio;
    uint64_t maxmsg, before; /* slots; messages in them before the call */
    uint64_t urgent;         /* which of these has a higher priority than the others, from 1 */
    size_t len;
    unsigned flags;
    /* Another process that was killed in this, after each thing that others see; then so many
     * messages were received. */
    enum act left;
    uint64_t drained;
};

extern const struct scenario scenarios[];
extern const size_t scenarios_count;

#endif

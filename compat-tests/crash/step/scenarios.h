/* What is stepped through, and what else happens around it. */
#ifndef STEP_SCENARIOS_H
#define STEP_SCENARIOS_H

#include "actors.h"

/* Sums of these. */
enum {
    FRESH = 1,       /* each round has a new queue */
    BRIEF = 2,       /* look only right after what others can see: stores and system calls */
    SLEEPER = 4,     /* meanwhile another process sleeps: in a receive where the actor sends or
                        sleeps in a receive itself, else in a send */
    GONE = 8,        /* the sleeper was killed before */
    POLLER = 16,     /* the sleeper is in poll(2), not in a receive or send */
    REGISTERED = 32, /* the harness is registered with mq_notify */
    ASYNC = 64,      /* the queue is durable, and mqxd runs */
    SYNC = 128,
    LEFT_STOPPED = 256, /* who came before was not killed but stopped, and went on */
    BESIDE = 512        /* who came before stands in its call, and goes on when the actor does */
};

struct scenario {
    const char *name;
    enum act act;
    unsigned how, prio;
    uint64_t maxmsg, before; /* slots; messages in them before the call */
    uint64_t holes;          /* so many more were there, before these, and were received */
    uint64_t urgent;         /* which of these has a higher priority than the others, from 1 */
    size_t len;
    unsigned flags;
    /* Another process that came before: it was killed in this, after each thing that others see.
     * Then so many messages were received. */
    enum act left;
    uint64_t drained;
};

extern const struct scenario scenarios[];
extern const size_t scenarios_count;

#endif

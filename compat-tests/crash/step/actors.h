/*
 * The processes that are stepped through, killed and stopped, and those that
 * sleep beside them: each makes one call.
 */
#ifndef STEP_ACTORS_H
#define STEP_ACTORS_H

#include "trace.h"

#include "../storm.h"

enum act {
    NOTHING,
    SEND,
    RECEIVE,
    AWAIT_MESSAGE, /* wait in poll(2) until there is a message, or room */
    AWAIT_ROOM,
    REGISTER, /* mq_notify */
    WITHDRAW, /* its removal; before it, it registers */
    CREATE,   /* mq_open with O_CREAT | O_EXCL */
    UNLINK,
};

/* How it is done; sums of these. */
enum {
    WAITS = 1,       /* without a deadline; else not at all (O_NONBLOCK) */
    TIMES_OUT = 2,   /* with a deadline that has passed */
    FIRST_USE = 4,   /* the process has not used a queue before: it opens this one in its call */
    NO_MEMORY = 8,   /* the kernel has no page for it */
    OLD_KERNEL = 16, /* which lacks the newer system calls */
    ELSEWHERE = 32,  /* on another CPU than all others, if there is one */
    TO_ITSELF = 64   /* it is registered itself */
};

struct actor {
    /* Set before it begins. */
    enum act act;
    unsigned how;
    const char *queue;
    uint32_t id;   /* as a sender; the harness is 0 */
    unsigned prio; /* of what it sends */
    size_t len;    /* of its message */
    uint64_t maxmsg;
    /* Another call than these, and what comes before it. */
    int64_t (*call)(struct actor *a);
    void (*ready)(struct actor *a);
    /* By itself. */
    _Atomic uint32_t phase; /* TRACE_OVER: its call returned */
    _Atomic int64_t result;
    _Atomic int error;
    unsigned prio_received;
    /* By others. */
    pid_t pid;
    bool dead;         /* killed in its call */
    bool must_succeed; /* its queue was never empty, nor full */
    _Alignas(64) char buffer[STORM_MSG_MAX];
};

/* A queue that actors have used before, so that what is done once is not in their call. */
#define ACTORS_OTHER "/storm-step-other"

/* Begin: one that is traced, and waits before its call; or one that just makes it. */
void actor_begin_traced(struct actor *a);
void actor_begin(struct actor *a);
/* Wait until it sleeps in its call (or is over), or is over.  False: not in time. */
bool actor_wait_asleep(const struct actor *a);
bool actor_wait_over(const struct actor *a, uint64_t ns);
void actor_end(struct actor *a);
bool actor_over(const struct actor *a);

/* A message that says who sent it, and with what priority. */
void message_build(char *room, uint32_t sender, uint64_t number, unsigned prio, size_t len);
bool message_whole(const char *room, size_t len);

#endif

/*
 * Calls of mq_*, noted down by those who make them, in memory that survives
 * them.  Begin and end of each are ticks of one counter that all share: a call
 * that ended at a lower tick than another began was over by then.
 */
#ifndef LINEAR_LOG_H
#define LINEAR_LOG_H

#include "../storm.h"
#include "check.h"

#define LINEAR_LANES  8    /* threads that call */
#define LINEAR_CALLS  6000 /* of one of them, in a round */
#define LINEAR_LENGTH 1024 /* largest message */

enum linear_how { LINEAR_HASTY, LINEAR_TIMED, LINEAR_PATIENT };

struct linear_call {
    _Atomic uint64_t begin, end; /* ticks; 0: not yet */
    uint64_t began_ns, ended_ns; /* CLOCK_REALTIME, read after the tick */
    uint64_t deadline_ns;        /* 0: none */
    uint64_t message;
    uint32_t prio;
    uint8_t kind, result;
};

/* What one thread did in this round. */
struct linear_lane {
    _Alignas(128) _Atomic uint32_t count; /* calls; a handler's as well */
    _Atomic int32_t balance;              /* messages sent less those received */
    _Atomic uint32_t dead;                /* its process was killed in this round ... */
    uint64_t death;                       /* ... and was gone by this tick */
    struct linear_call calls[LINEAR_CALLS];
};

struct linear_log {
    _Alignas(128) _Atomic uint64_t clock;
    _Alignas(128) _Atomic uint32_t round;
    _Atomic int32_t failed_errno; /* of a call that must not fail so */
    _Atomic uint32_t damaged;     /* messages that are not as they were sent */
    uint32_t msgsize;
    struct linear_lane lane[LINEAR_LANES];
};

/* The queue, opened twice. */
struct linear_queue {
    mqd_t hasty, patient;
};

uint64_t linear_tick(struct linear_log *log);

/*
 * Make a call and note it down: of a send, with this priority; timed, with a deadline so many ns
 * from now.  Async-signal-safe.  Says how it ended; LINEAR_NOTHING also where the lane is full.
 */
enum linear_result linear_call(struct linear_log *log, unsigned lane, struct linear_queue q,
                               enum linear_kind kind, enum linear_how how, unsigned prio,
                               uint64_t ns);

/* Forget all calls. */
void linear_forget(struct linear_log *log);

/*
 * The log as a history, for the checker; its ops are to be freed.  steady: the wall clock was not
 * set in this round, so that deadlines mean something.  *early: calls that timed out too soon.
 */
void linear_collect(const struct linear_log *log, bool steady, struct linear_history *out,
                    uint32_t *early);

#endif

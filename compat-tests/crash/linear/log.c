/*
 * A call is noted in an order that lets it be killed anywhere: what it is about
 * to do before `begin`, what came of it before `end`.
 */
#include "log.h"

uint64_t linear_tick(struct linear_log *log)
{
    return atomic_fetch_add(&log->clock, 1) + 1;
}

static uint64_t wall(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Only of calls that did not fail for another reason than these. */
static enum linear_result result_of(struct linear_log *log, ssize_t r, enum linear_how how)
{
    if (r >= 0)
        return LINEAR_DONE;
    if ((errno == EAGAIN && how == LINEAR_HASTY) || (errno == ETIMEDOUT && how == LINEAR_TIMED))
        return LINEAR_REFUSED;
    if (errno != EINTR || how == LINEAR_HASTY)
        atomic_store(&log->failed_errno, errno);
    return LINEAR_NOTHING;
}

/* A message is named by its sender and number. */
static uint64_t name_of(const struct storm_msg *msg)
{
    return (uint64_t)(msg->sender + 1) << 32 | msg->number;
}

static ssize_t do_send(struct linear_queue q, const char *room, size_t len, unsigned prio,
                       enum linear_how how, const struct timespec *deadline)
{
    if (how == LINEAR_TIMED)
        return mq_timedsend(q.patient, room, len, prio, deadline);
    return mq_send(how == LINEAR_HASTY ? q.hasty : q.patient, room, len, prio);
}

static ssize_t do_receive(struct linear_queue q, char *room, size_t len, unsigned *prio,
                          enum linear_how how, const struct timespec *deadline)
{
    if (how == LINEAR_TIMED)
        return mq_timedreceive(q.patient, room, len, prio, deadline);
    return mq_receive(how == LINEAR_HASTY ? q.hasty : q.patient, room, len, prio);
}

/* What was received must be what was sent, in this round. */
static void identify(struct linear_log *log, struct linear_call *c, const struct storm_msg *msg,
                     size_t len, unsigned prio)
{
    if (!storm_verify(msg, len, log->msgsize) || msg->round != atomic_load(&log->round)) {
        atomic_fetch_add(&log->damaged, 1);
        dprintf(STDOUT_FILENO,
                "# damaged: %zu bytes, sender %u, round %u, number %" PRIu64
                ", length %zu of them right, sum %" PRIx64 " of %" PRIx64 "\n",
                len, msg->sender, msg->round, msg->number, storm_length(msg, log->msgsize),
                msg->sum, storm_sum(msg, len));
    }
    c->message = name_of(msg);
    c->prio = prio;
}

enum linear_result linear_call(struct linear_log *log, unsigned lane, struct linear_queue q,
                               enum linear_kind kind, enum linear_how how, unsigned prio,
                               uint64_t ns)
{
    _Alignas(16) char room[LINEAR_LENGTH];
    struct storm_msg *msg = (struct storm_msg *)room;
    struct linear_lane *l = &log->lane[lane];
    uint32_t number = atomic_fetch_add(&l->count, 1);
    struct linear_call *c = &l->calls[number];
    struct timespec deadline = storm_deadline(ns);
    size_t len = 0;
    ssize_t r;

    if (number >= LINEAR_CALLS) {
        atomic_store(&l->count, LINEAR_CALLS);
        return LINEAR_NOTHING;
    }
    c->kind = (uint8_t)kind;
    if (how == LINEAR_TIMED)
        c->deadline_ns = (uint64_t)deadline.tv_sec * 1000000000 + (uint64_t)deadline.tv_nsec;
    if (kind == LINEAR_SEND) {
        len = storm_build(msg, lane, atomic_load(&log->round), number, log->msgsize);
        c->message = name_of(msg);
        c->prio = prio;
    }
    atomic_store(&c->begin, linear_tick(log));
    c->began_ns = wall();
    r = kind == LINEAR_SEND ? do_send(q, room, len, prio, how, &deadline)
                            : do_receive(q, room, log->msgsize, &prio, how, &deadline);
    c->result = (uint8_t)result_of(log, r, how);
    if (r >= 0 && kind == LINEAR_RECEIVE)
        identify(log, c, msg, (size_t)r, prio);
    if (r >= 0)
        atomic_fetch_add(&l->balance, kind == LINEAR_SEND ? 1 : -1);
    atomic_store(&c->end, linear_tick(log));
    c->ended_ns = wall();
    return (enum linear_result)c->result;
}

void linear_forget(struct linear_log *log)
{
    for (unsigned i = 0; i < LINEAR_LANES; i++) {
        struct linear_lane *l = &log->lane[i];

        memset(l->calls, 0, (l->count < LINEAR_CALLS ? l->count : LINEAR_CALLS) * sizeof *l->calls);
        l->count = l->dead = 0;
        l->balance = 0;
        l->death = 0;
    }
}

/* --- the history --------------------------------------------------------------------------------- */

struct reading {
    uint64_t tick, ns;
};

static int by_tick(const void *a, const void *b)
{
    const struct reading *x = a, *y = b;

    return (x->tick > y->tick) - (x->tick < y->tick);
}

/* The last tick within this call that was before its deadline: the clock was read after it, and
 * showed less. */
static uint64_t last_before(const struct reading *readings, size_t count,
                            const struct linear_call *c)
{
    size_t low = 0, high = count;
    uint64_t last = 0;

    while (low < high) { /* the call's begin */
        size_t middle = (low + high) / 2;

        if (readings[middle].tick < c->begin)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < count && readings[low].tick < c->end; low++)
        if (readings[low].ns && readings[low].ns < c->deadline_ns)
            last = readings[low].tick;
    return last;
}

static struct linear_op convert(const struct linear_call *c, const struct linear_lane *l,
                                unsigned lane)
{
    struct linear_op op = {.begin = c->begin,
                           .end = c->end,
                           .message = c->message,
                           .prio = c->prio,
                           .kind = c->kind,
                           .result = c->result,
                           .who = (uint8_t)lane};

    if (!c->end) {
        op.end = l->death;
        op.result = LINEAR_KILLED;
        if (op.kind == LINEAR_RECEIVE) /* it may have written it down already */
            op.message = 0;
    }
    if (op.result == LINEAR_REFUSED)
        op.message = 0;
    return op;
}

void linear_collect(const struct linear_log *log, bool steady, struct linear_history *out,
                    uint32_t *early)
{
    struct reading *readings;
    size_t total = 0, count = 0;

    for (unsigned i = 0; i < LINEAR_LANES; i++)
        total += log->lane[i].count;
    readings = malloc((2 * total + 1) * sizeof *readings);
    out->ops = malloc((total + 1) * sizeof *out->ops);
    out->count = 0;
    if (!readings || !out->ops)
        storm_die("malloc");
    for (unsigned i = 0; i < LINEAR_LANES; i++)
        for (uint32_t n = 0; n < log->lane[i].count && n < LINEAR_CALLS; n++) {
            const struct linear_call *c = &log->lane[i].calls[n];

            readings[count++] = (struct reading){c->begin, c->began_ns};
            readings[count++] = (struct reading){c->end, c->ended_ns};
        }
    qsort(readings, count, sizeof *readings, by_tick);
    *early = 0;
    for (unsigned i = 0; i < LINEAR_LANES; i++)
        for (uint32_t n = 0; n < log->lane[i].count && n < LINEAR_CALLS; n++) {
            const struct linear_call *c = &log->lane[i].calls[n];
            struct linear_op op = convert(c, &log->lane[i], i);

            if (!c->begin)
                continue; /* killed before */
            if (steady && op.result == LINEAR_REFUSED && c->deadline_ns) {
                *early += c->ended_ns && c->ended_ns < c->deadline_ns;
                op.since = last_before(readings, count, c);
            }
            out->ops[out->count++] = op;
        }
    free(readings);
}

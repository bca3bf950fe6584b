/*
 * A call that has to wait: look for a while, then sleep outside the engine, and
 * now and then look whether what it waits for is held by a process that died.
 */
#include "block.h"

#include "guard.h"
#include "held.h"
#include "repair.h"
#include "signals.h"
#include "stored.h"
#include "sys.h"
#include "thread.h"
#include "wait.h"
#include "withdraw.h"

/*
 * How long a blocked call sleeps before it looks for itself whether somebody
 * died.  Claimed: when it saw slots that are being filled or emptied by processes
 * that live: they may die soon; twice as long each time, since one that is stopped
 * must not cost a crowd of sleepers much.  Few and long sleeps, since a handler that runs
 * just when one ends by itself is not noticed; and of odd length, since programs
 * interrupt themselves with alarm() after whole seconds.
 */
#define CLAIMED_NS UINT64_C(20000000)
#define AGAIN_NS   (UINT64_C(1000000000) + odd_ns())
#define LARGE      4096 /* slots: looking at these takes as long as a few system calls */

/* Up to half a second. */
static uint64_t odd_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint32_t)now.tv_nsec * 2654435761u) / 9u;
}

/* How much there is to look at. */
static uint32_t slots_of(const struct mqxi_queue *q)
{
    /* System V's have room for many messages, since nobody can say how many he wants. */
    return q->types ? atomic_load_explicit(&q->header->reserved, memory_order_relaxed)
                    : q->layout.maxmsg;
}

/* Where this call sleeps: the counter that whoever ends its waiting bumps. */
static _Atomic uint32_t *event_of(const struct mqxi_call *t)
{
    return t->sending ? &t->q->header->send_event : &t->q->header->recv_event;
}

/* The thread was cancelled in its sleep: it may have been the one sleeper that a signal woke. */
static MQXI_CLEANUP void abandon(void *arg)
{
    struct mqxi_call *t = arg;

    mqxi_event_wake(event_of(t), false);
    mqxi_queue_put(t->q);
}

_Thread_local bool mqxi_block_sent;

/* How many messages fill the queue: System V's are full long before all slots are used. */
static uint32_t to_drain(struct mqxi_queue *q)
{
    return q->types ? (uint32_t)mqxi_held_count(mqxi_held(q)) : q->layout.maxmsg;
}

/*
 * How long the peer is left in peace before the first look.  A reply is wanted
 * at once.  Else this is one end of a stream, and a pause lets the other end do a
 * batch, instead of taking several cache lines from it for each message.
 */
static unsigned patience(const struct mqxi_call *t)
{
    if (t->sending)
        return MQXI_WAIT_DRAIN(to_drain(t->q));
    return mqxi_block_sent ? MQXI_WAIT_REPLY : MQXI_WAIT_BATCH;
}

/* Look for a moment, and try again if something happened. */
ssize_t mqxi_block_look(struct mqxi_call *t)
{
    struct mqxi_header *h = t->q->header;
    uint32_t peer =
        atomic_load_explicit(t->sending ? &h->recv_cpu : &h->send_cpu, memory_order_relaxed);

    return mqxi_event_look(event_of(t), t->seen, peer, patience(t)) ? t->attempt(t) : -EAGAIN;
}

/*
 * Sleep, outside the engine; the caller holds a reference to the queue.  Where
 * a signal handler leaves by siglongjmp, that reference is lost, and all that
 * comes of it is that the queue stays mapped.
 */
static int sleep_outside(struct mqxi_call *t, uint64_t longest_ns)
{
    int r;

    mqxi_op_leave(t->token);
    pthread_cleanup_push(abandon, t);
    r = t->restarts ? mqxi_event_sleep(event_of(t), t->seen, t->deadline, longest_ns, true)
                    : mqxi_event_sleep_once(event_of(t), t->seen, longest_ns);
    pthread_cleanup_pop(0);
    t->token = mqxi_op_enter();
    return r;
}

/* Nothing for a while.  Is it because somebody died?  For a queue that may hold much, one sleeper
 * looks for all.  Says how long to sleep next. */
static int look_for_dead(struct mqxi_call *t, uint64_t *longest)
{
    struct mqxi_queue *q = t->q;
    bool claims = false, swept;
    int r = t->slept ? mqxi_guard_check(q) : 0;

    *longest = AGAIN_NS;
    if (r < 0)
        return r;
    r = slots_of(q) <= LARGE ? mqxi_repair(q, &claims) : mqxi_repair_sometimes(q, &swept);

    if (claims && t->looks < 6)
        *longest = CLAIMED_NS << t->looks++;
    return r;
}

/* Before each sleep. */
static ssize_t look_up(struct mqxi_call *t, uint64_t *longest)
{
    ssize_t r;

    if (mqxi_event_read(event_of(t)) != t->seen) {
        *longest = AGAIN_NS;
        r = t->attempt(t);
        /* Somebody was faster; on a busy queue there is soon more. */
        return r == -EAGAIN ? mqxi_block_look(t) : r;
    }
    r = look_for_dead(t, longest);
    return r < 0 ? r : t->attempt(t);
}

/*
 * The signal by which mq_notify tells this process of a message in this very queue
 * interrupts no receive from it: the kernel sends it before anybody can have the message,
 * and none where a receiver waits.  Ours comes from a thread, a little later.
 */
#define LATE_LOOKS 100 /* at a thread that is just at it */

/* How many such signals have come, all of them handled before this call sleeps. */
static uint32_t notified(const struct mqxi_queue *q)
{
    uint32_t raised = atomic_load(&q->raised);

    for (int i = 0; i < LATE_LOOKS && raised != atomic_load(&q->raising); i++) {
        MQXI_SYS(SYS_sched_yield);
        raised = atomic_load(&q->raised);
    }
    return raised;
}

/* A handler ran, and there had been so many before: was it this one's? */
static bool was_notified(const struct mqxi_call *t, uint32_t before)
{
    return !t->sending && atomic_load(&t->q->raising) != before;
}

/* Wait until an attempt succeeds, the deadline passes, or a signal handler ran. */
ssize_t mqxi_block(struct mqxi_call *t)
{
    struct mqxi_alarm alarm = {.restarts = t->restarts};

    for (;;) {
        uint32_t before = notified(t->q);
        uint64_t longest, mask = mqxi_signals_hold();
        bool rang = mqxi_alarm_rang(&alarm);
        ssize_t r = look_up(t, &longest);
        bool interrupted = mqxi_signals_release(mask, t->restarts);

        if (r != -EAGAIN)
            return r;
        if (rang || (interrupted && !was_notified(t, before)))
            return -EINTR;
        r = sleep_outside(t, longest);
        if (r < 0 && (r != -EINTR || !was_notified(t, before)))
            return r;
        t->slept = true;
    }
}

/*
 * A program that only ever polls must also get what a dead process holds: at
 * once where looking costs next to nothing, else within a second or so.
 */
bool mqxi_block_swept(struct mqxi_queue *q)
{
    bool swept = true;
    int r = slots_of(q) <= MQXI_FRONT ? mqxi_repair(q, NULL) : mqxi_repair_sometimes(q, &swept);

    return r == 0 && swept;
}

/* Cancelled: as if it had not been sent, if that can still be. */
static MQXI_CLEANUP void let_go(void *arg)
{
    struct mqxi_stored *s = arg;
    unsigned token = mqxi_op_enter();

    mqxi_withdraw(s->q, s->slot, s->key);
    mqxi_op_leave(token);
    mqxi_queue_put(s->q);
}

ssize_t mqxi_block_stored(struct mqxi_call *call, bool nonblock, uint32_t slot, uint64_t key)
{
    struct mqxi_stored s = {
        .q = call->q, .slot = slot, .key = key, .deadline = call->deadline, .nonblock = nonblock};
    ssize_t r;

    if (!mqxi_queue_get(call->q))
        return -EIO; /* closed by another thread; sent, but not known to be on disk */
    mqxi_op_leave(call->token);
    pthread_cleanup_push(let_go, &s);
    r = mqxi_stored_wait(&s, call->restarts);
    pthread_cleanup_pop(0);
    call->token = mqxi_op_enter();
    mqxi_queue_put(call->q);
    return r;
}

struct leaving {
    struct mqxi_queue *q;
    const struct mqxi_taken *taken;
};

/* Cancelled: as if it had not been received. */
static MQXI_CLEANUP void give_back(void *arg)
{
    const struct leaving *l = arg;
    unsigned token = mqxi_op_enter();

    mqxi_take_abort(l->q, l->taken);
    mqxi_op_leave(token);
    mqxi_queue_put(l->q);
}

ssize_t mqxi_block_removed(struct mqxi_call *call, bool nonblock, const struct mqxi_taken *taken)
{
    struct leaving l = {call->q, taken};
    struct mqxi_stored s = {.q = call->q,
                            .slot = taken->slot,
                            .key = taken->key,
                            .leaving = true,
                            .deadline = call->deadline,
                            .nonblock = nonblock};
    ssize_t r = mqxi_queue_get(call->q) ? mqxi_take_leave(call->q, taken) : -EBADF;

    if (r < 0) {
        mqxi_take_abort(call->q, taken);
        return r == -ESTALE ? -EINTR : r; /* a handler forked: it is the parent's */
    }
    mqxi_op_leave(call->token);
    pthread_cleanup_push(give_back, &l);
    r = mqxi_stored_wait(&s, call->restarts);
    pthread_cleanup_pop(0);
    call->token = mqxi_op_enter();
    if (r < 0)
        mqxi_take_abort(call->q, taken);
    else
        r = mqxi_take_commit(call->q, taken);
    mqxi_queue_put(call->q);
    return r;
}

/*
 * The workers of the kill storm: what they send and receive, and how they log it.
 * Mixed, they also wait for readiness, are cancelled, and ask to be notified.
 * As other users, most are none of the queues' owner.
 */
#include "../storm_mix.h"
#include "kill.h"

struct self {
    unsigned index;
    struct worker *log;
    uint64_t chance;
    mqd_t block[QUEUES], nonblock[QUEUES];
    bool timed, impatient;
};

/* One call, as this worker makes it. */
static ssize_t call(struct self *me, unsigned q, bool wait, struct mix_call *c)
{
    struct timespec deadline;

    c->patient = me->block[q];
    c->hasty = me->nonblock[q];
    if (wait && me->timed) {
        deadline = storm_deadline(storm_below(&me->chance, 20000000));
        return c->send ? mq_timedsend(c->patient, c->room, c->len, c->prio, &deadline)
                       : mq_timedreceive(c->patient, c->room, c->len, &c->prio, &deadline);
    }
    if (wait && mixed)
        return mix_call(c, &me->chance);
    mix_do(c, wait ? c->patient : c->hasty);
    errno = c->error;
    return c->result;
}

/* After a call that failed: it may, if it had to wait, or was cancelled. */
static void check_failure(const char *what)
{
    if (errno != EAGAIN && errno != ETIMEDOUT && errno != ECANCELED)
        storm_die(what);
}

/* One message to queue q; false: not sent.  Numbers of failed sends are used again. */
static bool send_one(struct self *me, unsigned q, bool wait)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    struct storm_msg *msg = (struct storm_msg *)room;
    struct mix_call c = {.send = true, .room = room};
    uint64_t n = atomic_load(&me->log->sent);

    if (n >= CAPACITY)
        return false;
    c.len = storm_build(msg, me->index, round_number, n, msgsize);
    c.prio = storm_prio(msg, PRIORITIES);
    atomic_store(&me->log->attempt, n + 1);
    if (call(me, q, wait, &c) == 0) {
        atomic_store(&me->log->sent, n + 1);
        return true;
    }
    atomic_store(&me->log->attempt, n);
    check_failure("mq_send");
    return false;
}

static void journal(struct worker *log, const struct storm_msg *msg, size_t len, unsigned prio)
{
    uint64_t at = atomic_load(&log->recorded);

    if (!storm_verify(msg, len, msgsize) || msg->round != round_number ||
        prio != storm_prio(msg, PRIORITIES))
        atomic_fetch_add(&shared->damaged, 1);
    while (at - atomic_load(&log->consumed) >= JOURNAL)
        storm_nap(100000);
    log->journal[at % JOURNAL] = (uint64_t)msg->sender << 48 | msg->number;
    atomic_store(&log->recorded, at + 1);
}

static bool receive_one(struct self *me, unsigned q, bool wait)
{
    struct mix_call c = {.room = (char *)me->log->buffer, .len = msgsize};
    uint64_t at = atomic_load(&me->log->recorded);
    ssize_t got;

    memset(c.room, 0, sizeof(struct storm_msg));
    atomic_store(&me->log->intent, at + 1);
    got = call(me, q, wait, &c);
    if (got >= 0) {
        atomic_store(&me->log->returned, at + 1);
        journal(me->log, (const struct storm_msg *)c.room, (size_t)got, c.prio);
        return true;
    }
    atomic_store(&me->log->intent, at);
    check_failure("mq_receive");
    return false;
}

/* Some use the descriptors they inherit, some open the queue themselves. */
static void take_descriptors(struct self *me, bool inherit)
{
    for (unsigned q = 0; q < QUEUES; q++) {
        me->block[q] = inherit ? blocking[q] : mq_open(names[q], O_RDWR);
        me->nonblock[q] = inherit ? nonblocking[q] : mq_open(names[q], O_RDWR | O_NONBLOCK);
        if (me->block[q] == (mqd_t)-1 || me->nonblock[q] == (mqd_t)-1)
            storm_die("mq_open in a worker");
    }
}

/* A turn of a worker that never waits: sends where the queue is to fill, receives elsewhere. */
static void turn_mixed(struct self *me)
{
    unsigned q = (unsigned)storm_below(&me->chance, QUEUES);
    uint32_t bias = atomic_load(&shared->bias[q]);
    bool send = bias == EVEN ? storm_below(&me->chance, 2) : bias == FILL;

    if (!(send ? send_one(me, q, false) : receive_one(me, q, false)))
        sched_yield();
    atomic_fetch_add(&me->log->progress, 1);
}

static void turn(struct self *me, const struct place *p)
{
    bool send = p->role == SENDER;
    bool done =
        send ? send_one(me, p->queue, !me->impatient) : receive_one(me, p->queue, !me->impatient);

    /* Who does not wait, or not in the call, may find nothing for ever where others do: coming back
     * is its progress. */
    if (done || me->impatient || mixed)
        atomic_fetch_add(&me->log->progress, 1);
    if (!done && me->impatient)
        sched_yield();
    /* Half of the time the queue is to run full, or empty: hold back the other side. */
    if (atomic_load(&shared->bias[p->queue]) == (send ? DRAIN : FILL))
        storm_nap(200000);
}

_Noreturn void work(unsigned index, uint64_t luck)
{
    const struct place *p = &place[index];
    struct self me = {.index = index, .log = &shared->worker[index], .chance = luck};

    memset(me.log->buffer, 0, sizeof me.log->buffer);
    mix_cancels = !kernel;
    /* But for who is never killed and uses queue 0: so that one is used in both ways. */
    if (users && (!p->immortal || p->queue == 1))
        storm_become_another_user(index);
    take_descriptors(&me, !users && (p->immortal || storm_below(&me.chance, 2)));
    if (!p->immortal) { /* the immortal always wait without a limit */
        me.timed = storm_below(&me.chance, 3) == 0;
        me.impatient = storm_below(&me.chance, 4) == 0;
    }
    while (!atomic_load(p->role == RECEIVER ? &shared->stop_receivers : &shared->stop_senders)) {
        if (p->role == BOTH)
            turn_mixed(&me);
        else
            turn(&me, p);
        if (atomic_load(&me.log->sent) >= CAPACITY)
            storm_die("log full");
    }
    _exit(0);
}

bool parent_send(unsigned q)
{
    struct self me = {.index = PARENT, .log = &shared->worker[PARENT]};

    me.nonblock[q] = nonblocking[q];
    return send_one(&me, q, false);
}

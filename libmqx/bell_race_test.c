/* The FIFO shows what the queue is when all who changed it at the same time are done. */
#include "bell_testing.h"

struct crowd {
    struct mqxi_queue *q;
    _Atomic bool stop;
    _Atomic long changes;
};

static void change_at_random(void *arg)
{
    struct crowd *c = arg;
    uint64_t random = (uint64_t)getpid();

    while (!atomic_load(&c->stop)) {
        struct mqxi_taken taken;
        int r;

        if (below(&random, 2))
            r = mqxi_put(c->q, "x", 1, 0, 0, NULL, NULL);
        else if ((r = mqxi_take(c->q, &taken)) == 0)
            r = mqxi_take_commit(c->q, &taken);
        CHECK(r == 0 || r == -EAGAIN);
        atomic_fetch_add(&c->changes, r == 0);
        if (below(&random, 100) == 0)
            mqxi_bell_arm(c->q);
    }
}

/* When they have stopped, whatever is possible is shown, and `shown` is no more than the FIFO. */
static void crowd_of(uint32_t maxmsg, uint32_t tells)
{
    struct crowd *c = shared(sizeof(*c));
    int fd;

    c->q = create("q", maxmsg, 8);
    fd = open_fifo(c->q);
    IS(mqxi_bell_watch(c->q, tells), 0);
    for (int round = 0; round < 10 && !time_is_up(); round++) {
        pid_t pid[3];
        unsigned is;
        long from = atomic_load(&c->changes);

        atomic_store(&c->stop, false);
        for (int i = 0; i < 3; i++)
            pid[i] = start(change_at_random, c);
        WAIT_FOR(atomic_load(&c->changes) > from + 200);
        atomic_store(&c->stop, true);
        for (int i = 0; i < 3; i++)
            finish(pid[i]);
        is = mqxi_readiness(c->q);
        IS(is & ~shows(fd), 0);
        if (tells)
            IS(shows(fd), is);
        IS(atomic_load(&c->q->header->shown) & BOTH & ~shows(fd), 0);
    }
    close(fd);
    IS(mqxi_segment_unlink("q"), 0);
}

static void a_crowd(void)
{
    for (uint32_t maxmsg = 1; maxmsg < 4; maxmsg++)
        crowd_of(maxmsg, 0);
}

static void an_exact_crowd(void)
{
    for (uint32_t maxmsg = 1; maxmsg < 4; maxmsg++)
        crowd_of(maxmsg, maxmsg % 2 ? MQXI_TELLS_EXACT : MQXI_TELLS_EDGES);
}

/* One takes, and is still about to show that when another puts. */
struct relay {
    struct mqxi_queue *q;
    _Atomic int turn; /* n: may put the n-th; -n: has */
};

static void put_at_once(void *arg)
{
    struct relay *r = arg;

    for (int i = 1;; i++) {
        int error;

        while (atomic_load(&r->turn) != i)
            sched_yield();
        while ((error = mqxi_put(r->q, "x", 1, 0, 0, NULL, NULL)) == -EAGAIN)
            sched_yield();
        IS(error, 0);
        atomic_store(&r->turn, -i);
    }
}

static void a_put_right_behind_a_take(void)
{
    struct relay *r = shared(sizeof(*r));
    pid_t pid;
    int fd;

    r->q = create("q", 1, 8);
    fd = open_fifo(r->q);
    put(r->q);
    IS(mqxi_bell_watch(r->q, 0), 0);
    pid = start(put_at_once, r);
    for (int i = 1; i <= 500 && !time_is_up(); i++) {
        atomic_store(&r->turn, i);
        take(r->q);
        WAIT_FOR(atomic_load(&r->turn) == -i);
        IS(shows(fd), RECEIVE);
    }
    murder(pid);
}

struct traffic {
    struct mqxi_queue *q;
    _Atomic int cycles;
};

static void put_and_take(void *arg)
{
    struct traffic *t = arg;

    for (;;) {
        put(t->q);
        take(t->q);
        atomic_fetch_add(&t->cycles, 1);
    }
}

/* One finds that nobody polls any more just when somebody begins. */
static void armed_while_disarmed(void)
{
    struct traffic *t = shared(sizeof(*t));
    pid_t pid;
    int fd;

    t->q = create("q", 4, 8);
    fd = open_fifo(t->q);
    pid = start(put_and_take, t);
    for (int i = 0; i < 2000 && !time_is_up(); i++) {
        int from;

        arm(t->q);
        atomic_store(&t->q->header->watched, 1);
        from = atomic_load(&t->cycles);
        while (i % 2 && atomic_load(&t->cycles) == from)
            ;
        IS(mqxi_bell_arm(t->q), 0);
        atomic_store(&t->q->header->watched, UINT32_MAX - 1);
        put(t->q);
        from = atomic_load(&t->cycles);
        WAIT_FOR(atomic_load(&t->cycles) > from + 1);
        CHECK(shows(fd) & RECEIVE);
        CHECK(atomic_load(&t->q->header->put_tells) & MQXI_TELLS_POLLERS);
        take(t->q);
    }
    murder(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_put_right_behind_a_take),
        UNIT(armed_while_disarmed),
        UNIT(a_crowd),
        UNIT(an_exact_crowd),
    };

    return cmocka_run_group_tests_name("bell, at once", tests, NULL, NULL);
}

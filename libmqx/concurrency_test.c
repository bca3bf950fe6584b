/*
 * Threads and processes on one queue: nothing is lost, nothing comes twice,
 * what one sender sent in one priority comes in its order, and what was sent
 * before goes before.
 */
#include <pthread.h>
#include <sched.h>

#include "engine.h"
#include "testing.h"
#include "thread.h"

enum { SENDERS = 4, RECEIVERS = 4, PRIOS = 3, MESSAGES = SANITIZED ? 4000 : 20000, MSGSIZE = 512 };

struct message {
    uint32_t sender, number, prio, len;
    uint8_t rest[MSGSIZE - 16];
};

/* Shared by all workers. */
struct arena {
    struct mqxi_queue *q;
    int abort_one_in;                      /* receivers give back so many; 0: none */
    _Atomic uint32_t senders, receivers;   /* that have begun */
    _Atomic uint32_t sent, received, done; /* messages; senders that have ended */
    _Atomic uint8_t seen[SENDERS][MESSAGES];
};

static void send_all(struct arena *a)
{
    struct message m = {.sender = atomic_fetch_add(&a->senders, 1)};
    uint64_t random = m.sender;

    for (m.number = 0; m.number < MESSAGES && (m.number % 64 || !time_is_up()); m.number++) {
        int r;

        m.prio = below(&random, PRIOS);
        /* Most live in the slot, some in its overflow. */
        m.len = 16 + below(&random, m.number % 8 ? 145 : sizeof(m.rest) + 1);
        memset(m.rest, (int)(m.number * 5 + m.sender), sizeof(m.rest));
        do {
            unsigned token = mqxi_op_enter();

            r = mqxi_put(a->q, &m, m.len, m.prio, 0, NULL, NULL);
            mqxi_op_leave(token);
            if (r == -EAGAIN)
                sched_yield();
        } while (r == -EAGAIN);
        IS(r, 0);
        atomic_fetch_add(&a->sent, 1);
    }
    atomic_fetch_add(&a->done, 1);
}

static void check_message(const struct message *m, const struct mqxi_taken *t)
{
    CHECK(m->sender < SENDERS && m->number < MESSAGES);
    IS(m->len, t->len);
    IS(m->prio, t->prio);
    for (uint32_t i = 0; i < m->len - 16; i++)
        IS(m->rest[i], (uint8_t)(m->number * 5 + m->sender));
}

/* Takes one message; false: there was none, or it was given back. */
static bool receive(struct arena *a, uint64_t *random, struct message *m)
{
    unsigned token = mqxi_op_enter();
    struct mqxi_taken t;
    int r = mqxi_take(a->q, &t);

    if (r == 0) {
        CHECK(t.len >= 16 && t.len <= sizeof(*m));
        memcpy(m, t.data, t.len);
        check_message(m, &t);
        if (a->abort_one_in && below(random, (uint32_t)a->abort_one_in) == 0) {
            IS(mqxi_take_abort(a->q, &t), 0);
            r = -EAGAIN;
        } else {
            IS(mqxi_take_commit(a->q, &t), 0);
        }
    }
    mqxi_op_leave(token);
    CHECK(r == 0 || r == -EAGAIN);
    return r == 0;
}

static void receive_all(struct arena *a)
{
    uint32_t next[SENDERS][PRIOS] = {{0}};
    uint64_t random = 1000 + atomic_fetch_add(&a->receivers, 1);

    while (atomic_load(&a->done) < SENDERS || atomic_load(&a->received) < atomic_load(&a->sent)) {
        struct message m;

        if (!receive(a, &random, &m)) {
            sched_yield();
            continue;
        }
        IS(atomic_fetch_add(&a->seen[m.sender][m.number], 1), 0);
        /* Who gives a message back lets later ones pass it. */
        CHECK(a->abort_one_in || m.number >= next[m.sender][m.prio]);
        next[m.sender][m.prio] = m.number + 1;
        atomic_fetch_add(&a->received, 1);
    }
}

static void *send_thread(void *arena)
{
    send_all(arena);
    return NULL;
}

static void *receive_thread(void *arena)
{
    receive_all(arena);
    return NULL;
}

static void send_process(void *arena)
{
    send_all(arena);
}

static void receive_process(void *arena)
{
    receive_all(arena);
}

static void run(uint32_t maxmsg, int threads, int abort_one_in)
{
    struct arena *a = shared(sizeof(*a));
    pthread_t thread[SENDERS + RECEIVERS];
    pid_t process[SENDERS + RECEIVERS];

    a->q = create("q", maxmsg, MSGSIZE);
    a->abort_one_in = abort_one_in;
    /* First the processes: a process with threads should not fork. */
    for (int i = threads; i < SENDERS; i++) {
        process[2 * i] = start(send_process, a);
        process[2 * i + 1] = start(receive_process, a);
    }
    for (int i = 0; i < threads; i++) {
        IS(pthread_create(&thread[2 * i], NULL, send_thread, a), 0);
        IS(pthread_create(&thread[2 * i + 1], NULL, receive_thread, a), 0);
    }
    for (int i = 0; i < 2 * threads; i++)
        IS(pthread_join(thread[i], NULL), 0);
    for (int i = 2 * threads; i < SENDERS + RECEIVERS; i++)
        finish(process[i]);
    CHECK(a->sent > 0);
    IS(a->received, a->sent); /* and none twice: so all of them once */
    IS(mqxi_count(a->q), 0);
    IS(mqxi_take(a->q, &(struct mqxi_taken){0}), -EAGAIN);
    mqxi_segment_detach(a->q);
    munmap(a, sizeof(*a));
}

static void threads_scanned(void)
{
    run(10, SENDERS, 0);
}

static void threads_tree(void)
{
    run(300, SENDERS, 0);
}

static void processes_scanned(void)
{
    run(10, 0, 0);
}

static void processes_tree(void)
{
    run(300, 0, 0);
}

static void both_scanned_giving_back(void)
{
    run(10, 2, 5);
}

static void both_tree_giving_back(void)
{
    run(300, 2, 5);
}

/* --- strict order ----------------------------------------------------------------------------- */

/* The sender sends number n urgently, and when that is done, n plainly.  A receiver that finds the
 * plain one before the urgent one was not looking at one moment. */
struct race {
    struct mqxi_queue *q;
    _Atomic uint32_t sent; /* of the two */
    _Atomic bool over;
};
enum { URGENT = 2, PLAIN = 1, ROUNDS = SANITIZED ? 20000 : 100000 };

static void send_pairs(void *race)
{
    struct race *r = race;

    for (uint32_t n = 0; n < ROUNDS && (n % 64 || !time_is_up()); n++)
        for (uint32_t prio = URGENT; prio >= PLAIN; prio--) {
            while (mqxi_put(r->q, &n, sizeof(n), prio, 0, NULL, NULL) == -EAGAIN)
                sched_yield();
            atomic_fetch_add(&r->sent, 1);
        }
    atomic_store(&r->over, true);
}

/* Fills the queue up with messages that come last, so that free slots lie anywhere. */
static void fill_up(void *race)
{
    struct race *r = race;
    uint32_t n = 0;

    while (!atomic_load(&r->over))
        if (mqxi_put(r->q, &n, sizeof(n), 0, 0, NULL, NULL) < 0)
            sched_yield();
}

static void receive_pairs(uint32_t maxmsg)
{
    struct race *r = shared(sizeof(*r));
    uint32_t next[3] = {0}, done = 0;
    pid_t child[2];

    r->q = create("q", maxmsg, sizeof(uint32_t));
    child[0] = start(send_pairs, r);
    child[1] = start(fill_up, r);
    while (!atomic_load(&r->over) || done < atomic_load(&r->sent)) {
        struct mqxi_taken t;
        uint32_t n;

        if (mqxi_take(r->q, &t) < 0) {
            sched_yield();
            continue;
        }
        memcpy(&n, t.data, sizeof(n));
        IS(mqxi_take_commit(r->q, &t), 0);
        if (t.prio == 0)
            continue;
        IS(n, next[t.prio]);
        next[t.prio]++;
        if (t.prio == PLAIN && n >= next[URGENT])
            FAIL("plain %u came before urgent %u, which was sent first", n, n);
        done++;
    }
    finish(child[0]);
    finish(child[1]);
    mqxi_segment_detach(r->q);
}

static void sent_before_goes_before_scanned(void)
{
    receive_pairs(40);
}

static void sent_before_goes_before_tree(void)
{
    receive_pairs(400);
}

/* --- never full, never empty ------------------------------------------------------------------ */

/*
 * Each worker puts a message and then takes one, any.  There are as many slots
 * as workers, so at no moment is the queue full for who wants to put, nor empty
 * for who wants to take, however messages move about meanwhile.
 */
struct round {
    struct mqxi_queue *q;
};
enum { WORKERS = 4, TURNS = SANITIZED ? 20000 : 100000 };

static void turn(void *round)
{
    struct round *r = round;

    for (uint32_t i = 0; i < TURNS && (i % 64 || !time_is_up()); i++) {
        struct mqxi_taken t;

        IS(mqxi_put(r->q, &i, sizeof(i), 1, 0, NULL, NULL), 0);
        IS(mqxi_take(r->q, &t), 0);
        IS(t.prio, 1);
        IS(mqxi_take_commit(r->q, &t), 0);
    }
}

static void never_full_never_empty(uint32_t lows)
{
    struct round r = {create("q", lows + WORKERS, 8)};
    pid_t child[WORKERS];

    for (uint32_t i = 0; i < lows; i++)
        IS(mqxi_put(r.q, &i, sizeof(i), 0, 0, NULL, NULL), 0);
    for (int i = 0; i < WORKERS; i++)
        child[i] = start(turn, &r);
    for (int i = 0; i < WORKERS; i++)
        finish(child[i]);
    IS(mqxi_count(r.q), lows);
    mqxi_segment_detach(r.q);
}

static void never_full_never_empty_scanned(void)
{
    never_full_never_empty(0);
}

static void never_full_never_empty_tree(void)
{
    never_full_never_empty(64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(threads_scanned),
        UNIT(threads_tree),
        UNIT(processes_scanned),
        UNIT(processes_tree),
        UNIT(both_scanned_giving_back),
        UNIT(both_tree_giving_back),
        UNIT(sent_before_goes_before_scanned),
        UNIT(sent_before_goes_before_tree),
        UNIT(never_full_never_empty_scanned),
        UNIT(never_full_never_empty_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

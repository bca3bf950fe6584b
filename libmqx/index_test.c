/* The tree: whatever is published below the root is found there. */
#include "index.h"

#include <pthread.h>

#include "engine.h"
#include "testing.h"

static const uint32_t sizes[] = {65, 80, 81, 64 + 256, 64 + 257, 64 + 1024, 64 + 1025, 10000};
#define SIZES (sizeof(sizes) / sizeof(*sizes))

/* A queue whose control words the test writes itself. */
static struct mqxi_queue *make(uint32_t maxmsg)
{
    struct mqxi_queue *q = create("q", maxmsg, 1);

    IS(mqxi_segment_reserve(q, maxmsg - 1), 0);
    for (uint32_t have = 0; have < maxmsg; have = q->header->reserved)
        IS(mqxi_segment_reserve(q, have), 0);
    return q;
}

static void drop(struct mqxi_queue *q)
{
    mqxi_segment_detach(q);
    IS(mqxi_segment_unlink("q"), 0);
}

static void publish(struct mqxi_queue *q, uint32_t slot, uint64_t key)
{
    atomic_store(&q->ctl[slot], key);
    IS(mqxi_index_insert(q, slot, key), 0);
}

static void withdraw(struct mqxi_queue *q, uint32_t slot, uint64_t word)
{
    atomic_store(&q->ctl[slot], word);
    IS(mqxi_index_refresh(q, slot), 0);
}

static struct mqxi_first root(struct mqxi_queue *q)
{
    struct mqxi_first first;

    IS(mqxi_index_first(q, &first), 0);
    return first;
}

static struct mqxi_node *node(struct mqxi_queue *q, unsigned level, uint32_t n)
{
    return (struct mqxi_node *)((uint8_t *)q->header + q->layout.level[level]) + n;
}

static struct mqxi_first true_minimum(struct mqxi_queue *q)
{
    struct mqxi_first least = {0, 0};

    for (uint32_t i = q->layout.front; i < q->layout.maxmsg; i++)
        if (mqxi_ctl_ready(q->ctl[i]) && (least.key == 0 || q->ctl[i] < least.key))
            least = (struct mqxi_first){q->ctl[i], i};
    return least;
}

static void check_root(struct mqxi_queue *q)
{
    struct mqxi_first is = root(q), should = true_minimum(q);

    IS(is.key, should.key);
    if (should.key)
        IS(is.slot, should.slot);
}

/* --- one thread ------------------------------------------------------------------------------- */

static void one_key_anywhere(void)
{
    for (unsigned s = 0; s < SIZES; s++) {
        struct mqxi_queue *q = make(sizes[s]);

        IS(root(q).key, 0);
        for (uint32_t slot = 64; slot<sizes[s]; slot += slot> 1000 ? 97 : 1) {
            publish(q, slot, 1000 + slot);
            IS(root(q).key, 1000 + slot);
            IS(root(q).slot, slot);
            withdraw(q, slot, MQXI_CTL_FREE);
            IS(root(q).key, 0);
        }
        publish(q, sizes[s] - 1, 7);
        IS(root(q).slot, sizes[s] - 1);
        drop(q);
    }
}

static void random_keys(void)
{
    uint64_t random = 1;

    for (unsigned s = 0; s < SIZES; s++) {
        struct mqxi_queue *q = make(sizes[s]);

        for (uint64_t i = 1; i <= 4000; i++) {
            uint32_t slot = 64 + below(&random, sizes[s] - 64);
            uint64_t word = q->ctl[slot];

            if (!mqxi_ctl_ready(word)) /* of few priorities, and never the same key again */
                publish(q, slot, (uint64_t)below(&random, 4) << MQXI_SEQ_BITS | i);
            else if (i % 3)
                withdraw(q, slot, i % 2 ? MQXI_CTL_FREE : MQXI_CTL_TAKING | 5);
            if (sizes[s] < 500 || i % 50 == 0)
                check_root(q);
        }
        drop(q);
    }
}

/* The extremes of a key are keys like others. */
static void extreme_keys(void)
{
    struct mqxi_queue *q = make(200);

    publish(q, 150, MQXI_CTL_OWNED - 1);
    IS(root(q).key, MQXI_CTL_OWNED - 1);
    publish(q, 70, 1);
    IS(root(q).key, 1);
    withdraw(q, 70, MQXI_CTL_OWNED);
    IS(root(q).key, MQXI_CTL_OWNED - 1);
    withdraw(q, 70, MQXI_CTL_OWNED | 1);
    IS(root(q).key, MQXI_CTL_OWNED - 1);
    withdraw(q, 150, MQXI_CTL_OWNED); /* no state that exists */
    IS(root(q).key, 0);
    publish(q, 150, MQXI_CTL_OWNED - 1);
    IS(root(q).key, MQXI_CTL_OWNED - 1);
    drop(q);
}

/* Each change moves a node's version, also where the smallest key stays: a stalled refresh must
 * not overwrite what it has not seen. */
static void every_insert_bumps_every_version(void)
{
    struct mqxi_queue *q = make(64 + 32769);
    uint32_t slot = 64 + 4000;

    IS(q->layout.levels, 4);
    publish(q, slot, 5);
    for (uint64_t key = 4; key < 9; key += 4) { /* smaller, larger */
        uint64_t before[4];

        for (unsigned l = 0, n = 4001; l < 4; l++)
            before[l] = node(q, l, n /= MQXI_FANOUT)->where >> MQXI_NODE_SLOT_BITS;
        publish(q, slot + 1, key);
        for (unsigned l = 0, n = 4001; l < 4; l++)
            IS(node(q, l, n /= MQXI_FANOUT)->where >> MQXI_NODE_SLOT_BITS, before[l] + 1);
        IS(root(q).key, key < 5 ? key : 4);
    }
    drop(q);
}

static void refreshes_bump_too(void)
{
    struct mqxi_queue *q = make(64 + 32769);
    uint64_t before = node(q, 3, 0)->where >> MQXI_NODE_SLOT_BITS;

    IS(mqxi_index_refresh(q, 64), 0);
    IS(node(q, 3, 0)->where >> MQXI_NODE_SLOT_BITS, before + 1);
    drop(q);
}

/* A key that was taken stays at the root until somebody refreshes its path. */
static void ghosts(void)
{
    struct mqxi_queue *q = make(400);

    publish(q, 100, 3);
    publish(q, 300, 4);
    atomic_store(&q->ctl[100], MQXI_CTL_FREE);
    IS(root(q).key, 3);
    IS(mqxi_index_refresh(q, 100), 0);
    IS(root(q).key, 4);
    atomic_store(&q->ctl[300], MQXI_CTL_FREE);
    IS(root(q).key, 4);
    IS(mqxi_index_check(q, 400), 0);
    IS(root(q).key, 0);
    drop(q);
}

/* --- what the dead did not index -------------------------------------------------------------- */

static void unindexed_is_found(void)
{
    uint64_t random = 2;

    for (unsigned s = 0; s < SIZES; s++) {
        struct mqxi_queue *q = make(sizes[s]);

        for (uint64_t i = 1; i < 60; i++) {
            uint32_t slot = 64 + below(&random, sizes[s] - 64);
            uint64_t key = (uint64_t)below(&random, 4) << MQXI_SEQ_BITS | i;

            if (i % 2)
                publish(q, slot, key);
            else
                atomic_store(&q->ctl[slot], key);
            if (i % 5)
                continue;
            IS(mqxi_index_check(q, sizes[s]), 0);
            while (root(q).key != true_minimum(q).key) { /* ghosts of slots used again */
                IS(q->ctl[root(q).slot] == root(q).key, 0);
                CHECK(root(q).key < true_minimum(q).key);
                IS(mqxi_index_refresh(q, root(q).slot), 0);
            }
            check_root(q);
        }
        drop(q);
    }
}

/* Killed half way up. */
static void half_indexed_is_found(void)
{
    for (unsigned level = 0; level < 3; level++) {
        struct mqxi_queue *q = make(64 + 32769);
        uint32_t slot = 64 + 3333, n = 3333;

        publish(q, 64, UINT64_C(9) << MQXI_SEQ_BITS);
        atomic_store(&q->ctl[slot], 77);
        for (unsigned l = 0; l <= level; l++) {
            n /= MQXI_FANOUT;
            node(q, l, n)->key = 77;
            node(q, l, n)->where = UINT64_C(1) << MQXI_NODE_SLOT_BITS | slot;
        }
        CHECK(root(q).key != 77);
        IS(mqxi_index_check(q, q->layout.maxmsg), 0);
        IS(root(q).key, 77);
        IS(root(q).slot, slot);
        drop(q);
    }
}

static void damaged_nodes(void)
{
    struct mqxi_queue *q = make(64 + 3000);
    struct mqxi_first first;

    publish(q, 70, 9);
    for (int i = 0; i < 3; i++) {
        static const uint32_t wrong[] = {0, 63, 3064};

        node(q, 2, 0)->key = 5;
        node(q, 2, 0)->where = wrong[i];
        IS(mqxi_index_first(q, &first), -EBADMSG);
    }
    /* A child that claims a slot that is not there; the truth is in the slots. */
    node(q, 1, 1)->key = 5;
    node(q, 1, 1)->where = 5000;
    IS(mqxi_index_check(q, 3064), 0);
    IS(root(q).key, 9);
    IS(root(q).slot, 70);
    drop(q);
}

/* --- several threads -------------------------------------------------------------------------- */

enum { THREADS = 2, EACH = 24, PHASES = SANITIZED ? 5000 : 100000, STEPS = 1 };

struct gardener {
    struct mqxi_queue *q;
    uint32_t me;
    _Atomic uint64_t *sequence;
    _Atomic uint32_t *arrived; /* threads at the barrier, over all phases */
    _Atomic uint32_t *phases;  /* the number of the last barrier */
};

/* All go on at the same moment: few steps, all of them in each other's way. */
static void meet(struct gardener *g, uint32_t phase)
{
    atomic_fetch_add(g->arrived, 1);
    for (uint32_t i = 0; atomic_load(g->arrived) < phase * THREADS; i++)
        if (i > 200)
            sched_yield();
}

static void tend(struct gardener *g, uint64_t *random)
{
    for (int i = 0; i < STEPS; i++) {
        /* Slots of all threads lie mixed below the same nodes. */
        uint32_t slot = 64 + below(random, EACH) * THREADS + g->me;
        uint64_t prio = below(random, 3), key;

        if (g->q->ctl[slot] == MQXI_CTL_FREE) {
            key = prio << MQXI_SEQ_BITS | (atomic_fetch_add(g->sequence, 1) + 1);
            publish(g->q, slot, key);
        } else {
            withdraw(g->q, slot, MQXI_CTL_FREE);
        }
    }
}

static void *garden(void *arg)
{
    struct gardener *g = arg;
    uint64_t random = g->me;

    for (uint32_t phase = 1; phase < atomic_load(g->phases); phase += 2) {
        tend(g, &random);
        if (g->me == 0 && phase % 256 == 1 && time_is_up())
            atomic_store(g->phases, phase + 1);
        /* At rest the root is right: no ghosts, nothing hidden. */
        meet(g, phase);
        check_root(g->q);
        meet(g, phase + 1);
    }
    return NULL;
}

static void gardeners(void)
{
    static struct gardener g[THREADS];
    _Atomic uint64_t sequence = 0;
    _Atomic uint32_t arrived = 0, phases = 2 * PHASES;
    struct mqxi_queue *q = make(64 + THREADS * EACH);
    pthread_t thread[THREADS];

    CHECK(q->layout.levels > 1);
    for (uint32_t i = 0; i < THREADS; i++) {
        g[i] = (struct gardener){q, i, &sequence, &arrived, &phases};
        IS(pthread_create(&thread[i], NULL, garden, &g[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        IS(pthread_join(thread[i], NULL), 0);
    drop(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(one_key_anywhere),   UNIT(random_keys),
        UNIT(extreme_keys),       UNIT(every_insert_bumps_every_version),
        UNIT(refreshes_bump_too), UNIT(ghosts),
        UNIT(unindexed_is_found), UNIT(half_indexed_is_found),
        UNIT(damaged_nodes),      UNIT(gardeners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Selecting by type: beside a model, in the front and behind it, and beside others at work. */
#include "choose.h"

#include "engine.h"
#include "held.h"
#include "msqids.h"
#include "testing.h"
#include "wait.h"

static struct mqxi_queue *typed(uint32_t maxmsg)
{
    struct mqxi_queue *q;

    IS(mqxi_msqid_create(
           &(struct mqxi_msqid_new){
               .mode = 0600, .maxmsg = maxmsg, .msgsize = 1000, .qbytes = 1000000, .most = 100},
           &q),
       0);
    return q;
}

/* --- beside a model -----------------------------------------------------------------------------
 */

#define MOST 400 /* messages: many are behind the front */

struct model {
    int64_t type[MOST];
    uint32_t number[MOST], count;
};

static int wanted(const struct model *m, const struct mqxi_choice *c)
{
    int best = -1;

    for (uint32_t i = 0; i < m->count; i++) {
        if ((c->mode == MQXI_EQUAL && m->type[i] != c->type) ||
            (c->mode == MQXI_OTHER && m->type[i] == c->type) ||
            (c->mode == MQXI_LOWEST && m->type[i] > c->type))
            continue;
        if (c->mode != MQXI_LOWEST)
            return (int)i;
        if (best < 0 || m->type[i] < m->type[best])
            best = (int)i;
    }
    return best;
}

static void forget(struct model *m, int at)
{
    m->count--;
    memmove(m->type + at, m->type + at + 1, (m->count - (uint32_t)at) * sizeof(*m->type));
    memmove(m->number + at, m->number + at + 1, (m->count - (uint32_t)at) * sizeof(*m->number));
}

static void receive(struct mqxi_queue *q, struct model *m, const struct mqxi_choice *c,
                    uint64_t *chance)
{
    int at = wanted(m, c);
    struct mqxi_taken taken;
    uint32_t number;

    if (at < 0) {
        IS(mqxi_take_chosen(q, c, &taken), -EAGAIN);
        return;
    }
    if (c->longest < 4) {
        IS(mqxi_take_chosen(q, c, &taken), -E2BIG); /* and stays */
        return;
    }
    IS(mqxi_take_chosen(q, c, &taken), 0);
    IS(taken.type, m->type[at]);
    memcpy(&number, taken.data, sizeof(number));
    IS(number, m->number[at]);
    if (below(chance, 7) == 0) {
        IS(mqxi_take_abort(q, &taken), 0); /* back in its old place */
        return;
    }
    IS(mqxi_take_commit(q, &taken), 0);
    forget(m, at);
}

static void copies(struct mqxi_queue *q, const struct model *m, uint32_t n)
{
    struct mqxi_copy got;
    uint32_t number = 0;

    if (n >= m->count) {
        IS(mqxi_choose_copy(q, n, &number, sizeof(number), &got), -EAGAIN);
        return;
    }
    IS(mqxi_choose_copy(q, n, &number, sizeof(number), &got), 0);
    IS(number, m->number[n]);
    IS(got.type, m->type[n]);
    IS(mqxi_choose_copy(q, n, &number, 3, &got), -E2BIG);
}

/* Who has taken one that was not the first does not go on from there. */
static void first_after_chosen(void)
{
    struct mqxi_queue *q = typed(10);
    struct mqxi_choice two = {.mode = MQXI_EQUAL, .type = 2, .longest = 1000};
    struct mqxi_choice any = {.mode = MQXI_ANY, .longest = 1000};
    struct mqxi_taken taken;

    for (int64_t type = 1; type <= 4; type++)
        IS(mqxi_put(q, "", 1, 0, type, NULL, NULL), 0);
    IS(mqxi_take_chosen(q, &two, &taken), 0);
    IS(mqxi_take_commit(q, &taken), 0);
    for (int64_t type = 1; type <= 4; type += type == 1 ? 2 : 1) {
        IS(mqxi_take_chosen(q, &any, &taken), 0);
        IS(taken.type, type);
        IS(mqxi_take_commit(q, &taken), 0);
    }
}

static void beside_a_model(void)
{
    struct mqxi_queue *q = typed(MOST);
    struct model *m = calloc(1, sizeof(*m));
    uint64_t chance = 5;
    uint32_t goal = 0, deepest = 0;

    for (uint32_t number = 0; number < 60000; number++) {
        struct mqxi_choice c = {.mode = (enum mqxi_mode)below(&chance, 4),
                                .type = 1 + below(&chance, 9),
                                .longest = below(&chance, 50) ? 1000 : 3};

        if (number % 500 == 0)
            goal = below(&chance, 2) ? MOST : below(&chance, MOST);
        if (m->count < goal && below(&chance, 3)) {
            m->type[m->count] = 1 + (int64_t)below(&chance, 8);
            m->number[m->count] = number;
            IS(mqxi_put(q, &number, sizeof(number), 0, m->type[m->count], NULL, NULL), 0);
            m->count++;
            deepest = m->count > deepest ? m->count : deepest;
        } else {
            receive(q, m, &c, &chance);
        }
        if (number % 100 == 0)
            copies(q, m, below(&chance, MOST));
        IS(mqxi_held_count(mqxi_held(q)), m->count);
        IS(mqxi_held(q) & MQXI_HELD_BYTES, m->count * sizeof(number));
    }
    CHECK(deepest > 2 * MQXI_FRONT);
    free(m);
}

static void nowhere_to_put_it(void)
{
    struct mqxi_queue *q = typed(10);
    struct mqxi_choice c = {.longest = 1000, .fault = true};
    struct mqxi_taken taken;

    IS(mqxi_take_chosen(q, &c, &taken), -EAGAIN);
    IS(mqxi_put(q, "", 0, 0, 1, NULL, NULL), 0);
    IS(mqxi_take_chosen(q, &c, &taken), -EFAULT);
    c.fault = false;
    IS(mqxi_take_chosen(q, &c, &taken), 0);
}

/* Of a priority, in order, in front and tree; others stay. */
static void by_priority(void)
{
    enum { PRIORITIES = 5 };
    struct mqxi_queue *q = create("q", MOST, 16);
    uint32_t next[PRIORITIES] = {0}, sent[PRIORITIES] = {0}, number;
    struct mqxi_first first;
    struct mqxi_taken taken;
    uint64_t chance = 7;

    for (int i = 0; i < 20000; i++) {
        uint32_t prio = (uint32_t)below(&chance, PRIORITIES);
        uint64_t from = (uint64_t)(MQXI_PRIO_MAX - 1 - prio) << MQXI_SEQ_BITS;
        const struct mqxi_choice c = {
            .mode = MQXI_BETWEEN, .longest = UINT32_MAX, .from = from, .to = from | MQXI_SEQ_MAX};

        if (below(&chance, 20) < (i / 2000 % 2 ? 9 : 12) &&
            mqxi_put(q, &sent[prio], sizeof(number), prio, 0, NULL, NULL) == 0) {
            sent[prio]++;
            continue;
        }
        IS(mqxi_choose_key(q, &c, &first), next[prio] == sent[prio] ? -EAGAIN : 0);
        IS(mqxi_take_chosen(q, &c, &taken), next[prio] == sent[prio] ? -EAGAIN : 0);
        if (next[prio] == sent[prio])
            continue;
        IS(taken.key, first.key);
        IS(taken.prio, prio);
        memcpy(&number, taken.data, sizeof(number));
        IS(number, next[prio]);
        IS(mqxi_take_commit(q, &taken), 0);
        next[prio]++;
    }
    CHECK(sent[0] > 1000 && atomic_load(&q->header->reserved) > MQXI_FRONT);
}

/* --- beside others ------------------------------------------------------------------------------
 */

#define TYPES    4
#define MESSAGES 4000 /* of each type */

struct work {
    struct mqxi_queue *q;
    int64_t type;
    _Atomic uint32_t *received;
    _Atomic uint32_t *rounds;
};

static void send_type(void *arg)
{
    struct work *w = arg;

    for (uint32_t i = 0; i < MESSAGES; i++)
        while (mqxi_put(w->q, &i, sizeof(i), 0, w->type, NULL, NULL) == -EAGAIN)
            sched_yield();
}

/* Its messages come in order, all of them, whatever the others do. */
static void receive_type(void *arg)
{
    const struct mqxi_choice c = {
        .mode = MQXI_EQUAL, .type = ((struct work *)arg)->type, .longest = 1000};
    struct work *w = arg;
    struct mqxi_taken taken;

    for (uint32_t i = 0, number; i < MESSAGES; i++) {
        int r;

        while ((r = mqxi_take_chosen(w->q, &c, &taken)) == -EAGAIN)
            sched_yield();
        IS(r, 0);
        IS(taken.type, w->type);
        memcpy(&number, taken.data, sizeof(number));
        IS(number, i);
        IS(mqxi_take_commit(w->q, &taken), 0);
        atomic_fetch_add(w->received, 1);
    }
}

static void each_for_its_own(void)
{
    struct mqxi_queue *q = typed(200);
    _Atomic uint32_t *received = shared(sizeof(*received));
    struct work w[TYPES];
    pid_t child[2 * TYPES];

    for (int i = 0; i < TYPES; i++) {
        w[i] = (struct work){q, i + 1, received, NULL};
        child[2 * i] = start(send_type, &w[i]);
        child[2 * i + 1] = start(receive_type, &w[i]);
    }
    for (int i = 0; i < 2 * TYPES; i++)
        finish(child[i]);
    IS(*received, TYPES * MESSAGES);
    IS(mqxi_held(q), 0);
}

/* There always is one of the lowest type, now in the first slot and now in the last: whoever asks
 * for the lowest must not get another. */
static void always_a_low_one(void *arg)
{
    struct work *w = arg;
    const struct mqxi_choice c = {.mode = MQXI_EQUAL, .type = 1, .longest = 1000};
    struct mqxi_taken taken;

    while (!atomic_load(w->received)) {
        IS(mqxi_put(w->q, "", 0, 0, 1, NULL, NULL), 0);
        IS(mqxi_take_chosen(w->q, &c, &taken), 0); /* there is another one, if not this */
        IS(mqxi_take_commit(w->q, &taken), 0);
        atomic_fetch_add(w->rounds, 1);
        mqxi_event_pause(SANITIZED ? 20000 : 400); /* who never stops sending is not waited for */
    }
}

/* Slots 1 to 250 are full, of another type. */
static struct mqxi_queue *full_between(void)
{
    struct mqxi_queue *q = typed(300);
    struct mqxi_taken taken;

    IS(mqxi_put(q, "", 0, 0, 1, NULL, NULL), 0);
    for (int i = 0; i < 250; i++)
        IS(mqxi_put(q, "", 0, 0, 3, NULL, NULL), 0);
    IS(mqxi_put(q, "", 0, 0, 1, NULL, NULL), 0);
    IS(mqxi_take(q, &taken), 0);
    IS(mqxi_take_commit(q, &taken), 0);
    return q;
}

/* Choose while other(work) goes on, and check what is found. */
static void choose_beside(struct mqxi_queue *q, void (*other)(void *), struct mqxi_choice c,
                          void (*check)(struct mqxi_queue *q, const struct mqxi_first *found))
{
    _Atomic uint32_t *stop = shared(2 * sizeof(*stop)), *rounds = stop + 1;
    struct work w = {q, 0, stop, rounds};
    pid_t child = start(other, &w);

    while (atomic_load(rounds) < 50000 && !time_is_up()) {
        struct mqxi_first first = {1, 1}; /* not what is wanted: search */
        uint32_t seen;

        if (mqxi_choose(q, &c, &first, &seen) == 0)
            check(q, &first);
        else
            CHECK(c.mode == MQXI_EQUAL);
    }
    atomic_store(stop, 1);
    finish(child);
}

static void is_of_type_1(struct mqxi_queue *q, const struct mqxi_first *found)
{
    IS(*mqxi_slot_type(q, found->slot), 1);
}

static void lowest_is_not_missed(void)
{
    choose_beside(full_between(), always_a_low_one,
                  (struct mqxi_choice){.mode = MQXI_LOWEST, .type = 3, .longest = 1000},
                  is_of_type_1);
}

/* One in the first slot, and then one in the last; taken in that order. */
static void two_in_order(void *arg)
{
    struct work *w = arg;
    const struct mqxi_choice c = {.mode = MQXI_EQUAL, .type = 1, .longest = 1000};
    struct mqxi_taken taken;

    while (!atomic_load(w->received)) {
        for (int i = 0; i < 2; i++)
            IS(mqxi_put(w->q, "", 0, 0, 1, NULL, NULL), 0);
        for (int i = 0; i < 2; i++) {
            IS(mqxi_take_chosen(w->q, &c, &taken), 0);
            IS(mqxi_take_commit(w->q, &taken), 0);
        }
        atomic_fetch_add(w->rounds, 1);
    }
}

/* If the earlier one is there now, it was when the other came. */
static void none_before(struct mqxi_queue *q, const struct mqxi_first *found)
{
    uint64_t ctl = atomic_load(&q->ctl[0]);

    CHECK(!mqxi_ctl_ready(ctl) || ctl >= found->key);
}

static void first_is_not_passed(void)
{
    struct mqxi_queue *q = full_between();
    const struct mqxi_choice one = {.mode = MQXI_EQUAL, .type = 1, .longest = 1000};
    struct mqxi_taken taken;

    IS(mqxi_take_chosen(q, &one, &taken), 0);
    IS(mqxi_take_commit(q, &taken), 0);
    choose_beside(q, two_in_order, one, none_before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(first_after_chosen),  UNIT(beside_a_model),   UNIT(nowhere_to_put_it),
        UNIT(by_priority),         UNIT(each_for_its_own), UNIT(lowest_is_not_missed),
        UNIT(first_is_not_passed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

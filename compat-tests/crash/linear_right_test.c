/*
 * The checker of linear_storm must accept whatever a queue can do.  Here is one: a
 * simulation of many callers who take their steps (linear/check.h) one at a time,
 * in a random order, some of them rarely, as if they were stopped.  Its histories
 * are right by the way they are made, and so may be long, which a search of all
 * orders cannot be (linear_search_test.c).  Nobody is killed here.
 */
#include "linear/check.h"
#include "storm.h"

#define LANES  8
#define OPS    400
#define SLOTS  8
#define SHOWN  40
#define SLOWER 40 /* a caller that stands still takes so many fewer steps */

enum stage { IDLE, BEGUN, HOLDS, DONE };

static uint64_t seed, rounds = 20000, skipped;
static struct linear_op ops[OPS];
static struct linear_history h = {.ops = ops};

/* Messages that are there, the first of all at the end. */
static struct {
    uint64_t name;
    uint32_t prio;
} queue[SLOTS];
static uint32_t there, taken;
static uint64_t tick, names;

static struct {
    enum stage stage;
    bool slow;
    uint32_t op;
} lane[LANES];

static void publish(const struct linear_op *o)
{
    uint32_t at = there++;

    while (at > 0 && queue[at - 1].prio >= o->prio)
        at--;
    memmove(&queue[at + 1], &queue[at], (there - 1 - at) * sizeof *queue);
    queue[at].name = o->message;
    queue[at].prio = o->prio;
}

/* The moment of a refused call; or the first step of another. */
static enum stage decide(struct linear_op *o)
{
    if (o->kind == LINEAR_SEND && taken < h.maxmsg) {
        taken++;
        o->message = ++names;
        return HOLDS;
    }
    if (o->kind == LINEAR_RECEIVE && there > 0) {
        there--;
        o->message = queue[there].name;
        o->prio = queue[there].prio;
        return HOLDS;
    }
    o->result = LINEAR_REFUSED;
    return DONE;
}

static void step(uint64_t *chance, unsigned i, uint32_t calls)
{
    struct linear_op *o = &ops[lane[i].op];

    switch (lane[i].stage) {
    case IDLE:
        if (h.count == calls)
            return;
        lane[i].op = h.count++;
        lane[i].slow = storm_below(chance, 6) == 0;
        o = &ops[lane[i].op];
        *o = (struct linear_op){.begin = ++tick, .who = (uint8_t)i};
        o->kind = storm_below(chance, 2) ? LINEAR_SEND : LINEAR_RECEIVE;
        o->prio = o->kind == LINEAR_SEND ? (uint32_t)storm_below(chance, 3) : 0;
        lane[i].stage = BEGUN;
        break;
    case BEGUN:
        lane[i].stage = decide(o);
        break;
    case HOLDS:
        if (o->kind == LINEAR_SEND)
            publish(o);
        else
            taken--;
        lane[i].stage = DONE;
        break;
    case DONE:
        o->end = ++tick;
        lane[i].stage = IDLE;
    }
}

static bool anybody(void)
{
    for (unsigned i = 0; i < LANES; i++)
        if (lane[i].stage != IDLE)
            return true;
    return false;
}

/* A call by one who is alone. */
static void call_alone(enum linear_kind kind)
{
    struct linear_op *o = &ops[h.count++];

    *o = (struct linear_op){.begin = ++tick, .kind = (uint8_t)kind};
    if (decide(o) == HOLDS)
        taken--;
    o->end = ++tick;
}

/* Of a queue with that many slots. */
static void make_history(uint64_t *chance, uint32_t slots)
{
    unsigned callers = 2 + (unsigned)storm_below(chance, LANES - 1);
    uint32_t calls = 4 + (uint32_t)storm_below(chance, OPS - SLOTS - 5);

    h = (struct linear_history){.ops = ops, .maxmsg = slots};
    there = taken = 0;
    tick = names = 0;
    while (h.count < calls || anybody()) {
        unsigned i = (unsigned)storm_below(chance, callers);
        /* A caller in a hurry makes several calls while the others stand still. */
        uint64_t times = lane[i].slow ? storm_below(chance, SLOWER) == 0 : storm_below(chance, 30);

        for (; times > 0; times--)
            step(chance, i, calls);
    }
    while (there > 0)
        call_alone(LINEAR_RECEIVE);
    call_alone(LINEAR_RECEIVE);
    h.mended = 1;
}

/* The checker must not believe in another number of slots. */
static void check_wrong_slots(int more)
{
    uint64_t noticed = 0, tried = rounds / 40 + 1;

    for (uint64_t i = 0; i < tried; i++) {
        uint64_t chance = storm_mix(storm_mix(seed) + skipped + i);
        enum linear_fault fault;

        make_history(&chance, 4);
        h.maxmsg = (uint32_t)(4 - more);
        fault = linear_check(&h).fault;
        noticed += fault == LINEAR_ROOM || fault == LINEAR_FULL;
    }
    storm_check(noticed > tried / 2, "one slot %s: noticed in %" PRIu64 " of %" PRIu64,
                more > 0 ? "too many" : "too few", noticed, tried);
}

int main(int argc, char **argv)
{
    const struct storm_option options[] = {{"rounds", &rounds, false, "histories (20000)"},
                                           {"seed", &seed, false, "for the random choices"},
                                           {"skip", &skipped, false, "of these so many (0)"},
                                           {NULL, NULL, false, NULL}};
    uint64_t wrong = 0, tried = 0, undecided = 0, refused = 0, calls = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    storm_options(argc, argv, options);
    seed = seed ? seed : storm_mix(storm_now()) >> 32;
    for (; tried < rounds && wrong < 3; tried++) {
        uint64_t chance = storm_mix(storm_mix(seed) + skipped + tried);
        enum linear_fault fault;

        make_history(&chance, 1 + (uint32_t)storm_below(&chance, SLOTS));
        for (uint32_t i = 0; i < h.count; i++)
            refused += ops[i].result == LINEAR_REFUSED;
        calls += h.count;
        fault = linear_check(&h).fault;
        undecided += fault == LINEAR_UNDECIDED;
        if (fault == LINEAR_RIGHT || fault == LINEAR_UNDECIDED)
            continue;
        wrong++;
        printf("# history %" PRIu64 ": %u calls, %u slots\n", skipped + tried, h.count, h.maxmsg);
        linear_explain(&h);
        if (h.count <= SHOWN)
            linear_print(&h);
    }
    storm_check(!wrong, "the checker accepts what a queue did (seed %" PRIu64 ")", seed);
    storm_check(undecided * 100 <= tried, "%" PRIu64 " of %" PRIu64 " undecided", undecided, tried);
    storm_check(refused > tried, "%" PRIu64 " calls, of them %" PRIu64 " refused", calls, refused);
    check_wrong_slots(1);
    check_wrong_slots(-1);
    return storm_failed > 0;
}

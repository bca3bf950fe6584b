/*
 * At which instructions a process is killed or stopped: at each, or where there
 * are too many, at those that tell a difference.
 */
#include "sweep.h"

#include "coverage.h"
#include "ledger.h"

#define LONG_LOOP 50 /* executions: its edges are looked at */

enum choice {
    EVERY,    /* instruction; of a long loop the first round and the last */
    DISTINCT, /* the same for shorter loops too, and not in libc */
    EFFECTS   /* stores to shared memory, and system calls */
};

static const struct scenario *sc;
static uint64_t stride, *chance;
static struct tally *tally;

uint64_t sweep_effects_stride(uint64_t given)
{
    return (given + 15) / 16;
}

/* Is the instruction before this position worth a look? */
static bool worth(const struct point *p, enum choice choice)
{
    bool edge = p->nth == 1 || p->nth == p->of; /* of its executions */

    if (trace_effect(p))
        return true;
    switch (choice) {
    case EVERY:
        return p->of < LONG_LOOP || edge;
    case DISTINCT:
        return edge && stores_inside(p->at);
    default:
        return false;
    }
}

/* The positions to look at, in `list`. */
static size_t choose(const struct trace *trace, enum choice choice, size_t *list)
{
    size_t n = 0;

    for (size_t i = 0; i < trace->count; i++)
        if (worth(&trace->points[i], choice))
            list[n++] = i + 1;
    return n;
}

/* Which shared stores there are, whatever their order. */
static uint64_t kind_of(const struct trace *trace)
{
    uint64_t kind = 0;

    for (size_t i = 0; i < trace->count; i++)
        if (trace->points[i].store && trace->points[i].nth == 1)
            kind += storm_mix(trace->points[i].at);
    return kind;
}

static void play(struct stand *stand, enum mode mode)
{
    stand->mode = mode;
    round_play(stand);
    *(mode == KILLED ? &tally->killed : &tally->stopped) += 1;
}

/* In all ways where others saw something last.  Elsewhere, and after another's death, where there
 * are so many, each position has one of the ways that differ only in what the others do. */
static void play_modes(struct stand *stand, uint64_t turn)
{
    bool often = !sc->left && stand->position != ASLEEP &&
                 trace_effect(&stand->trace->points[stand->position - 1]);

    for (enum mode mode = KILLED; mode < MODES; mode++)
        if (often || mode <= REFILLED || turn % (MODES - ADDED) == mode - ADDED)
            play(stand, mode);
}

static void sweep(struct stand *stand, enum choice choice)
{
    const struct trace *trace = stand->trace;
    size_t *list = malloc((trace->count + 1) * sizeof *list);
    size_t n = list ? choose(trace, choice, list) : 0;
    uint64_t bad = faults, turn = 0,
             every = choice == EFFECTS ? sweep_effects_stride(stride) : stride;

    if (sc->how & WAITS) {
        stand->position = ASLEEP;
        play_modes(stand, turn);
    }
    for (size_t i = 0, next = storm_below(chance, every); i < n && faults < bad + 3; i++) {
        const struct point *p = &trace->points[list[i] - 1];

        if (i != next && !coverage_lacks(p, true) && !coverage_lacks(p, false))
            continue;
        /* A sleeper takes up to a second to find out: in a short run not each time. */
        stand->brisk = stride > 1 && (i != next || turn % 4 != 0);
        next += i == next ? every : 0;
        stand->position = list[i];
        play_modes(stand, turn++);
    }
    tally->instructions += trace->count;
    free(list);
}

static bool changes_tree(const struct point *p)
{
    return p->store && p->store->file && strcmp(stores_name(p->store->file), "index.c") == 0;
}

/* It has read a node, and is about to change it: others change it first, by messages that go
 * before its own and by such that go behind (the two ways in turn: see meanwhile). */
static void sweep_tree(struct stand *stand)
{
    uint64_t bad = faults;

    stand->brisk = stride > 1;
    for (size_t i = 1; i < stand->trace->count && faults < bad + 3; i++) {
        stand->position = i;
        for (int both = 0; both < 2 && changes_tree(&stand->trace->points[i]); both++)
            play(stand, ADDED);
    }
}

/* After a death (or a stop) at each thing that others could see, but for the middle of a copy. */
static void sweep_left(void)
{
    struct trace former, trace;
    struct stand stand = {.former = &former, .trace = &trace};
    uint64_t kinds[65], bad = faults, every = sweep_effects_stride(stride);
    uint64_t skip = storm_below(chance, every);
    size_t known = 0;

    round_record_former(&former);
    for (size_t i = 0; i < former.count && faults < bad + 3; i++) {
        const struct point *p = &former.points[i];
        bool fresh = known + 1 < sizeof kinds / sizeof kinds[0];

        /* In any case after each kind of thing. */
        if (!trace_effect(p) || (p->store && !p->store->engine) || (skip-- > 0 && p->nth > 1))
            continue;
        skip = every - 1;
        stand.left = sc->flags & BESIDE ? i : i + 1; /* there, it is about to do it */
        round_record(&stand, &trace);
        coverage_expect(&trace);
        kinds[known] = kind_of(&trace);
        for (size_t k = 0; k < known; k++)
            fresh &= kinds[k] != kinds[known];
        known += fresh;
        fresh |= sc->flags & BESIDE && changes_tree(p);
        sweep(&stand, fresh && !(sc->flags & BRIEF) ? DISTINCT : EFFECTS);
        trace_free(&trace);
    }
    trace_free(&former);
}

/* What the actor does, in the words of the table of coverage. */
static const char *operation(void)
{
    if (sc->how & FIRST_USE)
        return sc->act == SEND ? "send, joining" : "receive, joining";
    if (sc->flags & REGISTERED || sc->how & TO_ITSELF || sc->act == REGISTER || sc->act == WITHDRAW)
        return "notification";
    if (sc->flags & POLLER || sc->act == AWAIT_MESSAGE || sc->act == AWAIT_ROOM)
        return "readiness";
    if (sc->flags & (ASYNC | SYNC))
        return sc->act == SEND ? "send, durable" : "receive, durable";
    if (sc->left && !(sc->flags & BESIDE))
        return "repair";
    if (sc->act == SEND && sc->flags & FRESH && !(sc->how & WAITS))
        return "growth";
    return sc->act == SEND ? "send" : "receive";
}

bool sweep_run(const struct scenario *scenario, uint64_t nth, uint64_t *random, struct tally *out)
{
    struct trace trace;
    struct stand stand = {.trace = &trace};

    sc = scenario;
    stride = nth;
    chance = random;
    tally = out;
    *tally = (struct tally){0};
    coverage_begin(operation(), sc);
    if (!round_open(sc))
        return false;
    if (sc->left) {
        sweep_left();
    } else {
        if (sc->flags & SLEEPER)
            round_check_prompt();
        round_record(&stand, &trace);
        coverage_expect(&trace);
        sweep(&stand, sc->flags & BRIEF ? EFFECTS : EVERY);
        sweep_tree(&stand);
        trace_free(&trace);
    }
    round_close();
    storm_guard(0);
    return true;
}

void sweep_effects(void (*one)(const struct trace *trace, size_t position, bool kills),
                   const struct trace *trace, uint64_t nth, uint64_t *random, struct tally *out)
{
    uint64_t bad = faults, every = sweep_effects_stride(nth);

    *out = (struct tally){.instructions = trace->count};
    for (int kills = 1; kills >= 0; kills--) {
        uint64_t skip = storm_below(random, every);

        for (size_t i = 0; i < trace->count && faults < bad + 3; i++) {
            const struct point *p = &trace->points[i];

            if (!trace_effect(p) || (skip-- > 0 && !coverage_lacks(p, kills)))
                continue;
            skip = every - 1;
            storm_guard(4 * STORM_LIMIT);
            one(trace, i + 1, kills);
            *(kills ? &out->killed : &out->stopped) += 1;
        }
    }
    storm_guard(0);
}

/*
 * The checker of linear_storm decides without a search.  This one searches: small
 * random histories, every order of every step that check.h allows, states seen
 * before left out (Wing and Gong's way).  Both must say the same, every time.
 */
#include "linear/check.h"
#include "storm.h"

#define OPS   8
#define SEEN  (1u << 20) /* a power of two */
#define NOONE 0xff

/* What has happened to a call. */
enum {
    OPEN = 1,    /* began */
    SLOT = 2,    /* of a send: has taken a slot */
    PLACE = 4,   /* of a send: its place in the order is decided */
    THERE = 8,   /* its message is there */
    TAKEN = 16,  /* and was taken; of a receive: has taken */
    FREE = 32,   /* its slot is free again */
    EATEN = 64,  /* of a killed receive: the message will not be given back */
    ANSWER = 128 /* of a refused call: its moment has come */
};

struct state {
    uint8_t time, placed;
    uint8_t did[OPS], place[OPS], took[OPS]; /* took: by a receive */
};

static uint64_t seed, rounds = 20000, skipped;
static struct linear_op ops[OPS];
static struct linear_history h = {.ops = ops};
static uint8_t event_op[2 * OPS];
static uint64_t tick_of[2 * OPS + 1];
static struct state seen[SEEN];
static uint32_t used[SEEN], searches; /* used: in which search */
static uint32_t seen_count;

static bool killed(unsigned op)
{
    return ops[op].result == LINEAR_KILLED;
}

/* Is it under way? */
static bool open_now(const struct state *s, unsigned op)
{
    return s->did[op] & OPEN && ops[op].end > tick_of[s->time];
}

static bool receiver_known(unsigned send)
{
    for (unsigned r = 0; r < h.count; r++)
        if (ops[r].kind == LINEAR_RECEIVE && ops[r].result == LINEAR_DONE &&
            ops[r].message == ops[send].message)
            return true;
    return false;
}

static bool is_there(const struct state *s, unsigned send)
{
    return (s->did[send] & (THERE | TAKEN)) == THERE;
}

/* The send whose message is the next one. */
static unsigned first(const struct state *s)
{
    unsigned best = NOONE;

    for (unsigned o = 0; o < h.count; o++)
        if (ops[o].kind == LINEAR_SEND && is_there(s, o) &&
            (best == NOONE || ops[o].prio > ops[best].prio ||
             (ops[o].prio == ops[best].prio && s->place[o] < s->place[best])))
            best = o;
    return best;
}

static unsigned taken(const struct state *s)
{
    unsigned count = 0;

    for (unsigned o = 0; o < h.count; o++)
        count += ops[o].kind == LINEAR_SEND && (s->did[o] & (SLOT | FREE)) == SLOT;
    return count;
}

static bool repaired(unsigned refused, unsigned dead, bool lazy)
{
    return (h.mended && ops[refused].begin >= h.mended) ||
           (!lazy && ops[refused].begin > ops[dead].end);
}

/* Is there something of the dead that this call must have repaired before it can say so? */
static bool left_by_dead(const struct state *s, unsigned refused, bool messages, bool slots)
{
    for (unsigned o = 0; o < h.count; o++) {
        if (!killed(o))
            continue;
        if (messages && ops[o].kind == LINEAR_RECEIVE && s->took[o] != NOONE &&
            !(s->did[o] & EATEN) && repaired(refused, o, h.lazy))
            return true;
        if (slots && ops[o].kind == LINEAR_SEND && !receiver_known(o) &&
            (s->did[o] & (SLOT | FREE)) == SLOT && repaired(refused, o, h.lazy || h.passes_slots))
            return true;
    }
    return false;
}

/* Does the moment that a refused call speaks of lie after its deadline? */
static bool late_enough(const struct state *s, unsigned op)
{
    return s->time == 2 * h.count || tick_of[s->time + 1] > ops[op].since;
}

static bool search(const struct state *s);

static bool with(const struct state *s, unsigned op, unsigned what)
{
    struct state next = *s;

    next.did[op] |= (uint8_t)what;
    return search(&next);
}

static bool step_send(const struct state *s, unsigned o)
{
    unsigned did = s->did[o];
    bool ghost = killed(o) && !receiver_known(o);

    if (!(did & SLOT) && open_now(s, o) && taken(s) < h.maxmsg && with(s, o, SLOT))
        return true;
    if (!(did & PLACE) && open_now(s, o)) {
        struct state next = *s;

        next.place[o] = next.placed++;
        if (with(&next, o, PLACE))
            return true;
    }
    if ((did & (SLOT | PLACE | THERE)) == (SLOT | PLACE) && !ghost &&
        (open_now(s, o) || (killed(o) && h.lazy)) && with(s, o, THERE))
        return true;
    return ghost && (did & (SLOT | FREE)) == SLOT && with(s, o, FREE);
}

static bool step_receive(const struct state *s, unsigned o)
{
    unsigned next_one = first(s), send = s->took[o];
    bool stays = killed(o) && (h.lazy || h.passes_slots);
    struct state next = *s;

    if (send == NOONE && !(s->did[o] & EATEN)) {
        if (!open_now(s, o) || next_one == NOONE || s->did[o] & TAKEN ||
            (!killed(o) && ops[o].message != ops[next_one].message))
            return false;
        next.took[o] = (uint8_t)next_one;
        next.did[next_one] |= TAKEN;
        return with(&next, o, TAKEN);
    }
    if (killed(o) && !(s->did[o] & EATEN)) {
        if (open_now(s, o) && !receiver_known(send) && with(s, o, EATEN))
            return true;
        next.took[o] = NOONE; /* given back */
        next.did[send] &= (uint8_t)~TAKEN;
        return search(&next);
    }
    return !(s->did[send] & FREE) && (open_now(s, o) || stays) && with(s, send, FREE);
}

static bool step_refused(const struct state *s, unsigned o)
{
    bool right;

    if (s->did[o] & ANSWER || !open_now(s, o) || !late_enough(s, o))
        return false;
    if (ops[o].kind == LINEAR_RECEIVE)
        right = first(s) == NOONE && !left_by_dead(s, o, true, false);
    else
        right = taken(s) == h.maxmsg && !left_by_dead(s, o, false, true);
    return right && with(s, o, ANSWER);
}

/* May this call end now? */
static bool may_end(const struct state *s, unsigned o)
{
    if (ops[o].result == LINEAR_REFUSED)
        return s->did[o] & ANSWER && !left_by_dead(s, o, true, true);
    if (killed(o) && ops[o].kind == LINEAR_SEND)
        return !receiver_known(o) ||
               (s->did[o] & (h.lazy ? SLOT | PLACE : THERE)) >= (h.lazy ? SLOT | PLACE : THERE);
    if (killed(o))
        return !(s->did[o] & EATEN) || h.lazy || h.passes_slots || s->did[s->took[o]] & FREE;
    if (ops[o].kind == LINEAR_SEND)
        return s->did[o] & THERE;
    return s->took[o] != NOONE && s->did[s->took[o]] & FREE;
}

static bool step_time(const struct state *s)
{
    struct state next = *s;
    unsigned o = event_op[s->time];

    if (!(s->did[o] & OPEN))
        next.did[o] |= OPEN;
    else if (!may_end(s, o))
        return false;
    next.time++;
    return search(&next);
}

static bool seen_before(const struct state *s)
{
    uint64_t hash = 0, word[4] = {0};

    memcpy(word, s, sizeof *s);
    for (unsigned i = 0; i < 4; i++)
        hash = storm_mix(hash + word[i] + 1);
    for (uint32_t at = hash & (SEEN - 1);; at = (at + 1) & (SEEN - 1)) {
        if (used[at] != searches) {
            if (++seen_count > SEEN / 2)
                storm_die("too many states");
            used[at] = searches;
            seen[at] = *s;
            return false;
        }
        if (memcmp(&seen[at], s, sizeof *s) == 0)
            return true;
    }
}

static bool search(const struct state *s)
{
    if (s->time == 2 * h.count)
        return true;
    if (seen_before(s))
        return false;
    if (step_time(s))
        return true;
    for (unsigned o = 0; o < h.count; o++) {
        if (!(s->did[o] & OPEN))
            continue;
        if (ops[o].result == LINEAR_REFUSED ? step_refused(s, o)
            : ops[o].kind == LINEAR_SEND    ? step_send(s, o)
                                            : step_receive(s, o))
            return true;
    }
    return false;
}

static bool possible(void)
{
    struct state start = {0};

    searches++;
    memset(start.took, NOONE, sizeof start.took);
    seen_count = 0;
    for (unsigned o = 0; o < h.count; o++) {
        event_op[ops[o].begin / 2 - 1] = event_op[ops[o].end / 2 - 1] = (uint8_t)o;
        tick_of[ops[o].begin / 2] = ops[o].begin;
        tick_of[ops[o].end / 2] = ops[o].end;
    }
    return search(&start);
}

/* --- histories ---------------------------------------------------------------------------------
 */

/* Calls of a few callers, at random times, and one after them.  Ticks are even: there is room for
 * a deadline. */
static void make_times(uint64_t *chance)
{
    unsigned callers = 2 + (unsigned)storm_below(chance, 3), begun = 0, over = 0, tick = 0;
    unsigned current[4] = {NOONE, NOONE, NOONE, NOONE};

    while (over < h.count - 1) {
        unsigned c = (unsigned)storm_below(chance, callers);

        if (current[c] == NOONE && begun < h.count - 1) {
            current[c] = begun++;
            ops[current[c]].begin = tick += 2;
        } else if (current[c] != NOONE) {
            ops[current[c]].end = tick += 2;
            ops[current[c]].who = (uint8_t)c;
            current[c] = NOONE;
            over++;
        }
    }
    ops[over].begin = tick + 2;
    ops[over].end = tick + 4;
}

/* Sends, receives of what was sent, refusals, and now and then somebody killed. */
static void make_history(uint64_t *chance)
{
    unsigned sends = 0, given = 0, kills = (unsigned)storm_below(chance, 3), order[OPS];
    unsigned last = 3 + (unsigned)storm_below(chance, OPS - 3);

    memset(ops, 0, sizeof ops);
    h = (struct linear_history){.ops = ops,
                                .count = last + 1,
                                .maxmsg = 1 + (uint32_t)storm_below(chance, 2),
                                .lazy = storm_below(chance, 2)};
    h.passes_slots = h.lazy || storm_below(chance, 2);
    make_times(chance);
    for (unsigned o = 0; o < last; o++) {
        ops[o].kind = storm_below(chance, h.count) >= o ? LINEAR_SEND : LINEAR_RECEIVE;
        if (kills && storm_below(chance, 5) == 0) {
            ops[o].result = LINEAR_KILLED;
            kills--;
        } else if (storm_below(chance, 3) == 0) {
            ops[o].result = LINEAR_REFUSED;
            if (storm_below(chance, 3) == 0)
                ops[o].since =
                    ops[o].begin + 1 + 2 * storm_below(chance, (ops[o].end - ops[o].begin) / 2);
        }
        if (ops[o].kind == LINEAR_SEND && ops[o].result != LINEAR_REFUSED) {
            order[sends] = o;
            ops[o].message = ++sends;
            ops[o].prio = (uint32_t)storm_below(chance, 2);
        }
    }
    for (unsigned i = 1; i < sends; i++) /* nearly in order */
        if (storm_below(chance, 3) == 0) {
            unsigned other = order[i];

            order[i] = order[i - 1];
            order[i - 1] = other;
        }
    for (unsigned o = 0; o < h.count; o++)
        if (ops[o].kind == LINEAR_RECEIVE && ops[o].result == LINEAR_DONE) {
            if (given == sends) {
                ops[o].result = LINEAR_REFUSED;
            } else {
                ops[o].message = ops[order[given]].message;
                ops[o].prio = ops[order[given++]].prio;
            }
        }
    ops[last].kind = LINEAR_RECEIVE; /* all that is left is lost */
    ops[last].result = LINEAR_REFUSED;
    h.mended = 1;
    for (unsigned o = 0; o < h.count; o++)
        if (killed(o) && ops[o].end > h.mended)
            h.mended = ops[o].end;
    if (storm_below(chance, 2) == 0)
        h.mended = ops[last].begin;
}

int main(int argc, char **argv)
{
    const struct storm_option options[] = {{"rounds", &rounds, false, "histories (20000)"},
                                           {"seed", &seed, false, "for the random choices"},
                                           {"skip", &skipped, false, "of these so many (0)"},
                                           {NULL, NULL, false, NULL}};
    uint64_t tried = 0, right = 0, wrong = 0, killed_calls = 0, differ = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    storm_options(argc, argv, options);
    seed = seed ? seed : storm_mix(storm_now()) >> 32;
    for (; tried < rounds && differ < 3; tried++) {
        uint64_t chance = storm_mix(seed) + skipped + tried;
        struct linear_verdict v;
        bool can;

        make_history(&chance);
        v = linear_check(&h);
        if (v.fault == LINEAR_VALUE) /* received before it was sent */
            continue;
        can = possible();
        *(can ? &right : &wrong) += 1;
        for (unsigned o = 0; o < h.count; o++)
            killed_calls += can && killed(o);
        if (can == (v.fault == LINEAR_RIGHT))
            continue;
        differ++;
        printf("# history %" PRIu64
               ": possible: %d, fault %d; maxmsg %u, lazy %d, passes %d, mended "
               "%" PRIu64 "\n",
               skipped + tried, can, (int)v.fault, h.maxmsg, h.lazy, h.passes_slots, h.mended);
        linear_print(&h);
    }
    storm_check(!differ, "the checker and the search agree (seed %" PRIu64 ")", seed);
    storm_check(right > tried / 10 && wrong > tried / 10 && killed_calls > tried / 20,
                "%" PRIu64 " right histories with %" PRIu64 " killed calls, %" PRIu64 " wrong ones",
                right, killed_calls, wrong);
    return storm_failed > 0;
}

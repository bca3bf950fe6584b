/*
 * Were there ever more messages than slots, and was the queue full when it said so?
 *
 * From order.c: when each message was there, for certain.  Beyond that its slot
 * may have been taken earlier, from the begin of the send on, and be free later,
 * until the end of the receive.  The states that are possible at one time are
 * kept side by side; a state says which of the calls under way hold a slot.
 * Slots are held for as long as they can be, and taken ahead only for a call that
 * says "full", as many as that needs, and those that will be needed soonest
 * anyway: whoever could do with others can do with these.  A message that can be
 * handed over is, or is not yet, and from then on its receiver holds its slot.
 */
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define STATES 4096
#define BITS   64
#define EVER   (LINEAR_NONE - 1)

enum role {
    UNUSED,
    SENDER,   /* bit: its slot is taken, and the message not there yet */
    HANDER,   /* the same, of a message that is to be handed over; or it was, and holds the slot */
    DEAD,     /* the same, and the message will never be there */
    RECEIVER, /* bit: it has taken its message, and the slot is not free yet */
    FULL,     /* bit: its moment has come */
};

struct state {
    uint64_t bits;
    uint64_t spent; /* of a dead sender: had a slot, which is free again; of others: handed over */
};

struct calls {
    const struct linear_replay *r;
    uint32_t time, there;
    enum role role[BITS];
    uint32_t op[BITS];
    uint32_t until[BITS];  /* when a sender's message comes; a receiver's slot must be free, or the
                            * one's that it is handed to; ... */
    uint64_t slots, fulls; /* bits that stand for a slot; for a FULL */
    uint64_t may;          /* messages that can be handed over now */
    struct state *states;
    uint32_t count;
    bool overflow;
};

static uint32_t taken(const struct calls *c, const struct state *s)
{
    return c->there + (uint32_t)__builtin_popcountll(s->bits & c->slots);
}

static int find(const struct calls *c, enum role role, uint32_t op)
{
    for (int i = 0; i < BITS; i++)
        if (c->role[i] == role && (role == UNUSED || c->op[i] == op))
            return i;
    return -1;
}

static void enter(struct calls *c, enum role role, uint32_t op, uint32_t until, bool set)
{
    int i = find(c, UNUSED, 0);

    if (i < 0) {
        c->overflow = true;
        return;
    }
    c->role[i] = role;
    c->op[i] = op;
    c->until[i] = until;
    *(role == FULL ? &c->fulls : &c->slots) |= UINT64_C(1) << i;
    for (uint32_t s = 0; set && s < c->count; s++)
        c->states[s].bits |= UINT64_C(1) << i;
}

static int by_bits(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct state));
}

/* Each state once. */
static void tidy(struct calls *c)
{
    uint32_t kept = 0;

    if (c->count < 2)
        return;
    qsort(c->states, c->count, sizeof *c->states, by_bits);
    for (uint32_t s = 0; s < c->count; s++)
        if (s == 0 || by_bits(&c->states[s], &c->states[kept - 1]) != 0)
            c->states[kept++] = c->states[s];
    c->count = kept;
}

static void leave(struct calls *c, int i)
{
    if (i < 0)
        return;
    c->role[i] = UNUSED;
    c->slots &= ~(UINT64_C(1) << i);
    c->fulls &= ~(UINT64_C(1) << i);
    c->may &= ~(UINT64_C(1) << i);
    for (uint32_t s = 0; s < c->count; s++) {
        c->states[s].bits &= ~(UINT64_C(1) << i);
        c->states[s].spent &= ~(UINT64_C(1) << i);
    }
    tidy(c);
}

/* The one of these bits whose time is up first, and not before from; -1: there is none. */
static int soonest(const struct calls *c, enum role role, uint64_t bits, uint32_t from)
{
    int best = -1;

    for (; bits; bits &= bits - 1) {
        int i = __builtin_ctzll(bits);

        if (c->role[i] == role && c->until[i] >= from && (best < 0 || c->until[i] < c->until[best]))
            best = i;
    }
    return best;
}

/* Is the slot of this dead sender free by the time that a call says "full"? */
static bool repaired(const struct calls *c, uint32_t refused, uint32_t dead)
{
    const struct linear_history *h = c->r->h;

    return linear_repaired(h, &h->ops[refused], &h->ops[dead], h->lazy || h->passes_slots);
}

/* --- "full" ------------------------------------------------------------------------------------
 */

/* Calls that say "full" and could do so now, if all slots were taken. */
static uint64_t refusals(const struct calls *c, const struct state *s)
{
    uint64_t found = 0;

    for (uint64_t left = c->fulls & ~s->bits; left; left &= left - 1) {
        int i = __builtin_ctzll(left);
        bool may = linear_reaches(c->r, c->time, c->r->h->ops[c->op[i]].since);

        for (int d = 0; may && d < BITS; d++)
            if (c->role[d] == DEAD && s->bits >> d & 1)
                may = !repaired(c, c->op[i], c->op[d]);
        found |= (uint64_t)may << i;
    }
    return found;
}

static void add(struct calls *c, struct state s)
{
    if (c->count == STATES)
        c->overflow = true;
    else
        c->states[c->count++] = s;
}

/* The dead whose slots somebody frees before he says "full". */
static void repair(struct calls *c)
{
    for (int d = 0; d < BITS; d++) {
        uint32_t count = c->role[d] == DEAD ? c->count : 0;
        bool now = false;

        for (uint64_t left = c->fulls; left && c->role[d] == DEAD; left &= left - 1)
            now |= repaired(c, c->op[__builtin_ctzll(left)], c->op[d]);
        for (uint32_t i = 0; now && i < count; i++) {
            struct state s = c->states[i];

            if (!(s.bits >> d & 1))
                continue;
            s.bits &= ~(UINT64_C(1) << d);
            s.spent |= UINT64_C(1) << d;
            add(c, s);
        }
    }
}

/*
 * A slot for one more message, though somebody must hold his no longer: the receiver who must let
 * his go first (0), or the sender who died first (1).  Which of the two is better cannot be said:
 * the one who says "full" next may have to find the dead's slot free, or the receiver's.  False:
 * not that way, or it need not be tried, since there is room without.
 */
static bool make_room(const struct calls *c, struct state *s, int way)
{
    int i, other;

    if (taken(c, s) < c->r->h->maxmsg)
        return way == 0;
    if (way == 0) {
        i = soonest(c, RECEIVER, s->bits, 0);
        other = soonest(c, HANDER, s->bits & s->spent, 0);
        if (i < 0 || (other >= 0 && c->until[other] < c->until[i]))
            i = other;
    } else {
        i = soonest(c, DEAD, s->bits, 0);
        if (i >= 0)
            s->spent |= UINT64_C(1) << i;
    }
    if (i >= 0)
        s->bits &= ~(UINT64_C(1) << i);
    return i >= 0;
}

/* Hand over what can be. */
static void hand(struct calls *c)
{
    for (uint32_t at = 0; c->may && at < c->count; at++) {
        /* With a slot, at once: that costs nobody anything, and the slot can be another's now. */
        c->states[at].spent |= c->states[at].bits & c->may;
        /* Else now, or later: then it may hold the slot when that is called for. */
        for (uint64_t left = c->may & ~c->states[at].spent; left; left &= left - 1)
            for (int way = 0; way < 2; way++) {
                struct state s = c->states[at];

                if (!make_room(c, &s, way))
                    continue;
                s.bits |= left & -left;
                s.spent |= left & -left;
                add(c, s);
            }
    }
    if (c->may)
        tidy(c);
}

/* Take that many more slots for calls of this role, ahead.  False: so many are not to be had. */
static bool ahead(const struct calls *c, struct state *s, enum role role, uint32_t more)
{
    for (; more > 0; more--) {
        /* Not one that died before. */
        int i = soonest(c, role, c->slots & ~s->bits & ~s->spent, c->time);

        if (i < 0)
            return false;
        s->bits |= UINT64_C(1) << i;
    }
    return true;
}

/* Take that many, some of them for messages that are to be handed over (which of these will need
 * theirs soonest cannot be said), some for dead senders; each way is a further state. */
static void fill(struct calls *c, const struct state *from, uint32_t missing)
{
    uint64_t handers = 0, set = 0;

    for (uint64_t left = c->slots & ~from->bits & ~from->spent; left; left &= left - 1)
        if (c->role[__builtin_ctzll(left)] == HANDER)
            handers |= left & -left;
    do {
        uint32_t more = missing - (uint32_t)__builtin_popcountll(set);

        for (uint32_t dead = 0; more <= missing && dead <= more; dead++) {
            struct state s = *from;

            s.bits |= set;
            if (!ahead(c, &s, DEAD, dead))
                break;
            if (!ahead(c, &s, SENDER, more - dead) || !refusals(c, &s))
                continue;
            s.bits |= refusals(c, &s);
            add(c, s);
        }
        set = (set - handers) & handers; /* the next subset */
    } while (set && !c->overflow);
}

/* Whatever can make the queue full now, for those who say that it is, is a further state. */
static void consider_full(struct calls *c)
{
    uint32_t count;

    if (!c->fulls)
        return;
    repair(c);
    count = c->count;
    for (uint32_t at = 0; at < count; at++) {
        uint32_t missing = c->r->h->maxmsg - taken(c, &c->states[at]);

        if (missing == 0) {
            c->states[at].bits |= refusals(c, &c->states[at]);
            continue;
        }
        if (refusals(c, &c->states[at])) {
            struct state from = c->states[at];

            fill(c, &from, missing);
        }
    }
}

/* After every step. */
static void consider(struct calls *c)
{
    hand(c);
    consider_full(c);
}

/* --- what happens ------------------------------------------------------------------------------
 */

static void come(struct calls *c, const struct linear_message *m)
{
    int bit = find(c, SENDER, m->send);
    uint32_t kept = 0, count = c->count;

    for (uint32_t i = 0; i < count; i++) {
        struct state s = c->states[i];

        if ((bit >= 0 && s.bits >> bit & 1) || make_room(c, &s, 0)) {
            /* Another way is appended, behind all that are still to be looked at. */
            struct state other = c->states[i];

            if (!(bit >= 0 && other.bits >> bit & 1) && make_room(c, &other, 1))
                add(c, other);
            c->states[kept++] = s;
        } else if (make_room(c, &s, 1)) {
            c->states[kept++] = s;
        }
    }
    memmove(&c->states[kept], &c->states[count], (c->count - count) * sizeof *c->states);
    c->count -= count - kept;
    leave(c, bit);
    c->there++;
}

/* When must the slot that a receive emptied be free? */
static uint32_t free_by(const struct calls *c, uint32_t receive)
{
    const struct linear_history *h = c->r->h;
    bool stays = h->ops[receive].result == LINEAR_KILLED && (h->lazy || h->passes_slots);

    return stays ? EVER : c->r->ends[receive];
}

/* It was handed over by now: its slot is the receiver's. */
static void handed(struct calls *c, const struct linear_message *m)
{
    int bit = find(c, HANDER, m->send);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < c->count; i++)
        if (c->states[i].spent >> bit & 1) {
            c->states[kept] = c->states[i];
            c->states[kept++].spent &= ~(UINT64_C(1) << bit);
        }
    c->count = kept;
    c->may &= ~(UINT64_C(1) << bit);
    c->role[bit] = RECEIVER;
    c->op[bit] = m->receive;
}

static void step(struct calls *c, const struct linear_step *s)
{
    const struct linear_message *m = &c->r->messages[s->message];
    int bit = find(c, HANDER, m->send);
    uint64_t may = bit < 0 ? 0 : UINT64_C(1) << bit;

    switch (s->what) {
    case LINEAR_COMES:
        come(c, m);
        break;
    case LINEAR_GOES:
        c->there--;
        enter(c, RECEIVER, s->op, free_by(c, s->op), true);
        break;
    case LINEAR_MAY:
        c->may |= may;
        break;
    case LINEAR_MAYNOT:
        c->may &= ~may;
        break;
    case LINEAR_HANDED:
        handed(c, m);
        break;
    }
}

/* A call that says "full" ends. */
static void refuse(struct calls *c, uint32_t op)
{
    int bit = find(c, FULL, op);
    uint32_t kept = 0;

    for (uint32_t i = 0; bit >= 0 && i < c->count; i++)
        if (c->states[i].bits >> bit & 1)
            c->states[kept++] = c->states[i];
    c->count = bit < 0 ? c->count : kept;
    leave(c, bit);
    for (int d = 0; d < BITS; d++)
        if (c->role[d] == DEAD && repaired(c, op, c->op[d]))
            leave(c, d);
}

/* A sender dies: it may have a slot from now on, until that is repaired. */
static void die(struct calls *c, int bit)
{
    uint32_t count = c->count;

    for (uint32_t i = 0; bit >= 0 && i < count; i++)
        for (int way = 0; way < 2; way++) {
            struct state s = c->states[i];

            if (((s.bits | s.spent) >> bit & 1) || !make_room(c, &s, way))
                continue;
            s.bits |= UINT64_C(1) << bit;
            add(c, s);
        }
}

static void event(struct calls *c, const struct linear_event *e, const struct linear_step **comes)
{
    const struct linear_op *o = &c->r->h->ops[e->op];
    uint32_t message = c->r->message_of[e->op];

    if (e->end && o->result == LINEAR_REFUSED)
        refuse(c, e->op);
    else if (e->end && o->kind == LINEAR_RECEIVE && free_by(c, e->op) != EVER)
        leave(c, find(c, RECEIVER, e->op));
    else if (e->end && o->result == LINEAR_KILLED)
        die(c, find(c, DEAD, e->op));
    else if (!e->end && o->kind == LINEAR_SEND && o->result == LINEAR_REFUSED)
        enter(c, FULL, e->op, 0, false);
    else if (!e->end && o->kind == LINEAR_SEND && comes[message] &&
             comes[message]->what == LINEAR_HANDED)
        enter(c, HANDER, e->op, free_by(c, comes[message]->op), false);
    else if (!e->end && o->kind == LINEAR_SEND && comes[message])
        enter(c, SENDER, e->op, comes[message]->time, false);
    else if (!e->end && o->kind == LINEAR_SEND)
        enter(c, DEAD, e->op, c->r->ends[e->op] - 1, false);
}

static struct linear_verdict replay(struct calls *c, const struct linear_step **comes)
{
    const struct linear_replay *r = c->r;
    uint32_t at = 0;

    for (uint32_t i = 0; i < r->event_count; i++) {
        const struct linear_event *e = &r->events[i];

        event(c, e, comes);
        if (c->count == 0)
            return (struct linear_verdict){LINEAR_FULL, e->op};
        c->time = i;
        consider(c);
        for (; at < r->step_count && r->steps[at].time == i; at++) {
            step(c, &r->steps[at]);
            if (c->count == 0)
                return (struct linear_verdict){LINEAR_ROOM, r->messages[r->steps[at].message].send};
            consider(c);
        }
        if (c->overflow)
            return (struct linear_verdict){LINEAR_UNDECIDED, e->op};
    }
    return (struct linear_verdict){LINEAR_RIGHT, 0};
}

struct linear_verdict linear_room(const struct linear_replay *r)
{
    struct calls *c = calloc(1, sizeof *c);
    const struct linear_step **comes = calloc(r->message_count + 1, sizeof *comes);
    struct linear_verdict v;

    c->r = r;
    c->states = calloc(STATES, sizeof *c->states);
    c->count = 1;
    for (uint32_t i = 0; i < r->step_count; i++)
        if (r->steps[i].what == LINEAR_COMES || r->steps[i].what == LINEAR_HANDED)
            comes[r->steps[i].message] = &r->steps[i];
    v = replay(c, comes);
    free(comes);
    free(c->states);
    free(c);
    return v;
}

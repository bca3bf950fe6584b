/*
 * When was each message there, and did every receive take the first one?
 *
 * Since every message is known, who received it is too, and no search is needed:
 * in the replay a message comes as late as it can (when its send returns), and
 * goes as early as it can (as soon as its receiver began, and nothing stands
 * before it).  A message that is there only ever stands in the way of others, so
 * if any choice of moments is right, this one is.  One whose receiver waits
 * before the send returns need not be there at all: it is handed over, at any
 * moment when nothing stands before it.  Which one, room.c decides.
 *
 * Which of two sends of one priority came first is decided when one of their
 * messages is taken while the other is there.  It can have been this one unless
 * its send began after the other message was there.  No more than that: decisions
 * of this kind never contradict each other, for if a was before b, and b before c
 * when c was there, then c came after a was gone, or was there beside it.
 *
 * What a killed receive did is not known; check.c tries (took).
 */
#include <stdlib.h>

#include "replay.h"

#define LANES 512 /* calls under way at once */

struct now {
    struct linear_replay *r;
    uint32_t time;
    uint32_t *there, there_count;           /* messages that are there */
    uint32_t waiting[LANES], waiting_count; /* receives that have not taken their message yet */
    uint32_t refused[LANES], refused_count; /* receives whose moment has not come yet */
    uint32_t killed[LANES], killed_count;   /* receives that hide a message, or may yet do so */
    uint32_t watched;                       /* an op: whatever was there during it is a suspect */
};

static void add(uint32_t *list, uint32_t *count, uint32_t value)
{
    if (*count == LANES)
        abort();
    list[(*count)++] = value;
}

static void drop(uint32_t *list, uint32_t *count, uint32_t value)
{
    for (uint32_t i = 0; i < *count; i++)
        if (list[i] == value) {
            list[i] = list[--*count];
            return;
        }
}

static void note_step(struct now *n, enum linear_what what, uint32_t message, uint32_t op)
{
    struct linear_replay *r = n->r;

    if (r->step_count == r->step_room) {
        r->step_room = 2 * r->step_room + 64;
        r->steps = realloc(r->steps, r->step_room * sizeof *r->steps);
    }
    r->steps[r->step_count++] = (struct linear_step){n->time, message, op, what};
}

static bool stands_before(const struct linear_message *other, const struct linear_message *m)
{
    return other->prio > m->prio || (other->prio == m->prio && m->begin > other->there_from);
}

static bool is_first(const struct now *n, const struct linear_message *m)
{
    for (uint32_t i = 0; i < n->there_count; i++)
        if (stands_before(&n->r->messages[n->there[i]], m))
            return false;
    return true;
}

static void go(struct now *n, uint32_t message, enum linear_state state)
{
    drop(n->there, &n->there_count, message);
    n->r->messages[message].state = state;
}

static bool take(struct now *n, uint32_t op)
{
    uint32_t message = n->r->message_of[op];
    struct linear_message *m = &n->r->messages[message];

    /* Hidden: its owner may have died long before that was known, and somebody gave it back. */
    if ((m->state != LINEAR_THERE && (m->state != LINEAR_PENDING || !m->has_slot) &&
         m->state != LINEAR_HIDDEN) ||
        !is_first(n, m))
        return false;
    go(n, message, LINEAR_GONE);
    note_step(n, LINEAR_GOES, message, op);
    return true;
}

/* Which receives that wait can be handed their messages now? */
static void look_for_handing(struct now *n)
{
    for (uint32_t i = 0; i < n->waiting_count; i++) {
        uint32_t message = n->r->message_of[n->waiting[i]];
        struct linear_message *m = &n->r->messages[message];
        bool may = m->state == LINEAR_PENDING && !m->has_slot && !m->late && is_first(n, m);

        if (may == m->may)
            continue;
        m->may = may;
        m->could_be |= may;
        note_step(n, may ? LINEAR_MAY : LINEAR_MAYNOT, message, n->waiting[i]);
    }
}

static void come(struct now *n, uint32_t message)
{
    struct linear_message *m = &n->r->messages[message];

    if (!m->has_slot)
        note_step(n, LINEAR_COMES, message, m->send);
    m->has_slot = true;
    if (m->state == LINEAR_PENDING) /* and not given back: that does not change its place */
        m->there_from = n->time;
    m->state = LINEAR_THERE;
    n->there[n->there_count++] = message;
    look_for_handing(n);
}

/* The last moment for handing it over.  False: it is not. */
static bool hand(struct now *n, uint32_t message)
{
    struct linear_message *m = &n->r->messages[message];

    if (m->state != LINEAR_PENDING || !m->could_be)
        return false;
    m->state = LINEAR_GONE;
    drop(n->waiting, &n->waiting_count, m->receive);
    note_step(n, LINEAR_HANDED, message, m->receive);
    return true;
}

/* A killed receive takes a message, and will not consume it: perhaps one that another such had, and
 * that was given back.  Of two, the one that is known to be dead later hides it longer. */
static bool hide(struct now *n, uint32_t op)
{
    struct linear_message *m = &n->r->messages[n->r->took[op]];
    bool back = m->state == LINEAR_HIDDEN && n->r->ends[op] > n->r->ends[m->hider];

    if ((m->state != LINEAR_THERE && !back) || !is_first(n, m))
        return false;
    go(n, n->r->took[op], LINEAR_HIDDEN);
    m->hider = op;
    return true;
}

static void suspect(struct now *n, uint32_t message)
{
    struct linear_replay *r = n->r;

    for (uint32_t i = 0; i < r->suspect_count; i++)
        if (r->suspects[i] == message)
            return;
    r->suspects[r->suspect_count++] = message;
}

/* Is this message hidden, and whoever says full or empty must have found it? */
static bool must_be_back(const struct now *n, uint32_t message, const struct linear_op *refused)
{
    const struct linear_message *m = &n->r->messages[message];

    return m->state == LINEAR_HIDDEN &&
           linear_repaired(n->r->h, refused, &n->r->h->ops[m->hider], n->r->h->lazy);
}

static bool all_are_back(const struct now *n, const struct linear_op *refused)
{
    for (uint32_t i = 0; i < n->killed_count; i++)
        if (must_be_back(n, n->r->took[n->killed[i]], refused))
            return false;
    return true;
}

/* Everything that can happen by now happens. */
static void settle(struct now *n)
{
    const struct linear_replay *r = n->r;
    bool again = true;

    while (again) {
        again = false;
        for (uint32_t i = n->waiting_count; i-- > 0;)
            if (take(n, n->waiting[i])) {
                n->waiting[i] = n->waiting[--n->waiting_count];
                again = true;
            }
        for (uint32_t i = 0; i < n->killed_count; i++)
            again |= n->time < r->ends[n->killed[i]] && hide(n, n->killed[i]);
    }
    look_for_handing(n);
    for (uint32_t i = n->refused_count; i-- > 0;) {
        const struct linear_op *op = &r->h->ops[n->refused[i]];

        if (n->there_count == 0 && linear_reaches(r, n->time, op->since) && all_are_back(n, op))
            n->refused[i] = n->refused[--n->refused_count];
    }
    if (n->watched != LINEAR_NONE && n->time >= r->begins[n->watched] &&
        n->time < r->ends[n->watched])
        for (uint32_t i = 0; i < n->there_count; i++)
            suspect(n, n->there[i]);
}

static void begin(struct now *n, uint32_t op)
{
    const struct linear_op *o = &n->r->h->ops[op];
    uint32_t message = n->r->message_of[op];

    if (o->kind == LINEAR_SEND && message != LINEAR_NONE) {
        n->r->messages[message].state = LINEAR_PENDING;
        n->r->messages[message].begin = n->time;
    } else if (o->kind == LINEAR_RECEIVE && message != LINEAR_NONE) {
        add(n->waiting, &n->waiting_count, op);
    } else if (o->kind == LINEAR_RECEIVE && o->result == LINEAR_REFUSED) {
        add(n->refused, &n->refused_count, op);
    } else if (n->r->took[op] != LINEAR_NONE) {
        add(n->killed, &n->killed_count, op);
    }
}

/* A killed call's last moment. */
static void die(struct now *n, uint32_t op)
{
    struct linear_replay *r = n->r;
    uint32_t message = r->h->ops[op].kind == LINEAR_SEND ? r->message_of[op] : r->took[op];
    struct linear_message *m = message == LINEAR_NONE ? NULL : &r->messages[message];

    if (!m)
        return;
    if (r->h->ops[op].kind == LINEAR_RECEIVE) {
        if (m->state == LINEAR_PENDING && is_first(n, m))
            come(n, message);
        hide(n, op);
    } else if (m->receive != LINEAR_NONE && m->state == LINEAR_PENDING && !hand(n, message)) {
        /* Somebody receives it later: it was published.  The tree may not show it yet. */
        if (!r->h->lazy)
            come(n, message);
        else
            note_step(n, LINEAR_COMES, message, op);
        m->has_slot = true;
    }
}

/* Whoever said full or empty has given back what the dead had hidden. */
static void give_back(struct now *n, const struct linear_op *refused)
{
    for (uint32_t i = 0; i < n->killed_count; i++)
        if (must_be_back(n, n->r->took[n->killed[i]], refused))
            come(n, n->r->took[n->killed[i]]);
}

static bool contains(const uint32_t *list, uint32_t count, uint32_t value)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == value)
            return true;
    return false;
}

/* A call returns.  n->time is still the time before. */
static enum linear_fault end(struct now *n, uint32_t op)
{
    const struct linear_op *o = &n->r->h->ops[op];
    uint32_t message = n->r->message_of[op];

    if (o->result == LINEAR_KILLED && (o->kind == LINEAR_SEND || message == LINEAR_NONE)) {
        die(n, op);
    } else if (o->result == LINEAR_REFUSED) {
        if (contains(n->refused, n->refused_count, op))
            return LINEAR_EMPTY;
        give_back(n, o);
    } else if (o->kind == LINEAR_SEND) {
        if (n->r->messages[message].state == LINEAR_PENDING && !hand(n, message))
            come(n, message);
    } else if (contains(n->waiting, n->waiting_count, op) && !hand(n, message)) {
        return LINEAR_ORDER;
    }
    return LINEAR_RIGHT;
}

static struct linear_verdict replay(struct now *n)
{
    struct linear_replay *r = n->r;

    r->step_count = 0;
    n->there_count = n->waiting_count = n->refused_count = n->killed_count = 0;
    for (uint32_t i = 0; i < r->message_count; i++) {
        r->messages[i].state = LINEAR_UNSENT;
        r->messages[i].has_slot = r->messages[i].may = r->messages[i].could_be = false;
    }
    for (uint32_t i = 0; i < r->event_count; i++) {
        const struct linear_event *e = &r->events[i];

        if (e->end) {
            enum linear_fault fault = end(n, e->op);

            if (fault != LINEAR_RIGHT)
                return (struct linear_verdict){fault, e->op};
        }
        n->time = i;
        if (!e->end)
            begin(n, e->op);
        settle(n);
    }
    return (struct linear_verdict){LINEAR_RIGHT, 0};
}

static struct linear_verdict watch(struct linear_replay *r, uint32_t watched)
{
    struct now *n = calloc(1, sizeof *n);
    struct linear_verdict v;

    n->there = malloc((r->message_count + 1) * sizeof *n->there);
    n->r = r;
    n->watched = watched;
    r->suspect_count = 0;
    v = replay(n);
    free(n->there);
    free(n);
    return v;
}

struct linear_verdict linear_order(struct linear_replay *r)
{
    return watch(r, LINEAR_NONE);
}

void linear_suspects(struct linear_replay *r, uint32_t op)
{
    watch(r, op);
}

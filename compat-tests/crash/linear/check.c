/*
 * The checker's frame: history in, verdict out.  What cannot be computed is tried,
 * where something is wrong without: what killed receives did (each takes nothing,
 * or one of the messages that stand in the way), and which of the messages that
 * can have been handed over came when their sends returned instead.
 */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define TRIES 20000
#define LATES 2000 /* of the tries: messages that came late */

/* --- preparation -------------------------------------------------------------------------------
 */

static int by_tick(const void *a, const void *b)
{
    const struct linear_event *x = a, *y = b;

    return (x->tick > y->tick) - (x->tick < y->tick);
}

/* A message's number, by its name. */
struct name {
    uint64_t message;
    uint32_t number;
};

static int by_name(const void *a, const void *b)
{
    const struct name *x = a, *y = b;

    return (x->message > y->message) - (x->message < y->message);
}

static void list_events(struct linear_replay *r)
{
    for (uint32_t i = 0; i < r->h->count; i++) {
        const struct linear_op *o = &r->h->ops[i];

        if (o->result == LINEAR_NOTHING)
            continue;
        r->events[r->event_count++] = (struct linear_event){o->begin, i, false};
        r->events[r->event_count++] = (struct linear_event){o->end, i, true};
    }
    qsort(r->events, r->event_count, sizeof *r->events, by_tick);
    for (uint32_t i = 0; i < r->event_count; i++)
        (r->events[i].end ? r->ends : r->begins)[r->events[i].op] = i;
}

/* Give the messages numbers, and find the send of each receive. */
static struct linear_verdict match(struct linear_replay *r)
{
    const struct linear_history *h = r->h;
    struct name *names = malloc((h->count + 1) * sizeof *names);
    struct linear_verdict v = {LINEAR_RIGHT, 0};

    for (uint32_t i = 0; i < h->count; i++) {
        const struct linear_op *o = &h->ops[i];

        r->message_of[i] = r->took[i] = LINEAR_NONE;
        if (o->kind != LINEAR_SEND || (o->result != LINEAR_DONE && o->result != LINEAR_KILLED))
            continue;
        r->message_of[i] = r->message_count;
        names[r->message_count] = (struct name){o->message, r->message_count};
        r->messages[r->message_count++] =
            (struct linear_message){.send = i, .receive = LINEAR_NONE, .prio = o->prio};
    }
    qsort(names, r->message_count, sizeof *names, by_name);
    for (uint32_t i = 0; i < h->count && v.fault == LINEAR_RIGHT; i++) {
        const struct linear_op *o = &h->ops[i];
        const struct name key = {o->message, 0};
        const struct name *name;
        struct linear_message *m;

        if (o->kind != LINEAR_RECEIVE || o->result != LINEAR_DONE)
            continue;
        name = bsearch(&key, names, r->message_count, sizeof *names, by_name);
        m = name ? &r->messages[name->number] : NULL;
        if (!m || m->receive != LINEAR_NONE || m->prio != o->prio ||
            h->ops[m->send].begin > o->end) {
            v = (struct linear_verdict){LINEAR_VALUE, i};
            break;
        }
        m->receive = i;
        r->message_of[i] = name->number;
    }
    free(names);
    return v;
}

static struct linear_replay *prepare(const struct linear_history *h, struct linear_verdict *v)
{
    struct linear_replay *r = calloc(1, sizeof *r);

    r->h = h;
    r->events = malloc((2 * h->count + 1) * sizeof *r->events);
    r->messages = malloc((h->count + 1) * sizeof *r->messages);
    r->message_of = malloc((h->count + 1) * sizeof *r->message_of);
    r->took = malloc((h->count + 1) * sizeof *r->took);
    r->begins = malloc((h->count + 1) * sizeof *r->begins);
    r->ends = malloc((h->count + 1) * sizeof *r->ends);
    r->steps = NULL;
    r->suspects = malloc((h->count + 1) * sizeof *r->suspects);
    list_events(r);
    *v = match(r);
    return r;
}

static void dispose(struct linear_replay *r)
{
    free(r->events);
    free(r->messages);
    free(r->message_of);
    free(r->took);
    free(r->begins);
    free(r->ends);
    free(r->steps);
    free(r->suspects);
    free(r);
}

/* --- what killed receives did ------------------------------------------------------------------
 */

struct search {
    struct linear_replay *r;
    uint32_t *killed, count; /* killed receives */
    uint32_t tries, lates;
    struct linear_verdict first; /* what is wrong if they did nothing; without any, at last */
};

/* Let this killed receive have taken the message: consumed it, where nobody else did.  False: it
 * has taken one already. */
static bool assign(struct search *s, uint32_t op, uint32_t message)
{
    struct linear_message *m = &s->r->messages[message];

    if (s->r->took[op] != LINEAR_NONE || s->r->message_of[op] != LINEAR_NONE)
        return false;
    if (m->receive == LINEAR_NONE) {
        m->receive = op;
        s->r->message_of[op] = message;
    } else {
        s->r->took[op] = message;
    }
    return true;
}

static void take_back(struct search *s, uint32_t op)
{
    if (s->r->message_of[op] != LINEAR_NONE)
        s->r->messages[s->r->message_of[op]].receive = LINEAR_NONE;
    s->r->message_of[op] = s->r->took[op] = LINEAR_NONE;
}

static struct linear_verdict replay(struct linear_replay *r)
{
    struct linear_verdict v = linear_order(r);

    return v.fault == LINEAR_RIGHT ? linear_room(r) : v;
}

static enum linear_fault search(struct search *s);

/* Go on from there if the first fault is a later one then: whatever does not help would be tried
 * together with everything else. */
static enum linear_fault try_late(struct search *s, uint32_t message, struct linear_verdict wrong)
{
    struct linear_replay *r = s->r;
    enum linear_fault fault = wrong.fault;
    struct linear_verdict v;

    if (s->lates++ >= LATES)
        return fault;
    r->messages[message].late = true;
    v = replay(r);
    if (v.fault == LINEAR_RIGHT || r->ends[v.op] > r->ends[wrong.op])
        fault = search(s);
    if (fault != LINEAR_RIGHT)
        r->messages[message].late = false;
    return fault;
}

/* Messages that were handed over, but can have come when their sends returned instead, and so have
 * had a slot at another time; those before the fault, the nearest first. */
static uint32_t list_handed(const struct linear_replay *r, uint32_t wrong, uint32_t *list)
{
    uint32_t count = 0;

    for (uint32_t i = r->ends[wrong] + 1; i-- > 0;) {
        const struct linear_event *e = &r->events[i];
        uint32_t message = r->message_of[e->op];
        const struct linear_message *m = message == LINEAR_NONE ? NULL : &r->messages[message];

        if (e->end && m && m->send == e->op && m->could_be && !m->late &&
            m->receive != LINEAR_NONE && i < r->ends[m->receive])
            list[count++] = message;
    }
    return count;
}

static enum linear_fault try_lates(struct search *s, struct linear_verdict wrong)
{
    enum linear_fault fault = wrong.fault;
    uint32_t *list, count;

    if (fault != LINEAR_ROOM && fault != LINEAR_FULL)
        return fault;
    list = malloc((s->r->message_count + 1) * sizeof *list);
    count = list_handed(s->r, wrong.op, list);
    for (uint32_t i = 0; i < count; i++) {
        enum linear_fault other = try_late(s, list[i], wrong);

        if (other == LINEAR_RIGHT || other == LINEAR_UNDECIDED) {
            fault = other;
            break;
        }
    }
    free(list);
    return fault;
}

/* Let a killed receive have taken a message that is in the way. */
static enum linear_fault try_taken(struct search *s, struct linear_verdict wrong)
{
    struct linear_replay *r = s->r;
    enum linear_fault fault = wrong.fault;
    uint32_t count, *suspects;

    if (s->count == 0)
        return fault;
    linear_suspects(r, wrong.op);
    count = r->suspect_count;
    suspects = malloc((count + 1) * sizeof *suspects);
    memcpy(suspects, r->suspects, count * sizeof *suspects);
    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t m = 0; m < count; m++) {
            enum linear_fault other;

            if (!assign(s, s->killed[i], suspects[m]))
                continue;
            other = search(s);
            if (other == LINEAR_RIGHT || other == LINEAR_UNDECIDED) {
                free(suspects);
                return other;
            }
            take_back(s, s->killed[i]);
        }
    free(suspects);
    return fault;
}

static enum linear_fault search(struct search *s)
{
    struct linear_verdict v = replay(s->r);
    enum linear_fault fault = v.fault;

    if (s->tries == 0 || (s->count == 0 && s->r->ends[v.op] > s->r->ends[s->first.op]))
        s->first = v;
    if (fault == LINEAR_RIGHT || ++s->tries >= TRIES)
        return fault == LINEAR_RIGHT ? LINEAR_RIGHT : LINEAR_UNDECIDED;
    fault = try_lates(s, v);
    return fault == v.fault ? try_taken(s, v) : fault; /* the same: no luck */
}

struct linear_verdict linear_check(const struct linear_history *h)
{
    struct linear_verdict v;
    struct search s = {.r = prepare(h, &v)};

    s.killed = malloc((h->count + 1) * sizeof *s.killed);
    for (uint32_t i = 0; i < h->count; i++)
        if (h->ops[i].kind == LINEAR_RECEIVE && h->ops[i].result == LINEAR_KILLED)
            s.killed[s.count++] = i;
    if (v.fault == LINEAR_RIGHT) {
        v.fault = search(&s);
        if (v.fault != LINEAR_RIGHT)
            v = (struct linear_verdict){v.fault == LINEAR_UNDECIDED ? v.fault : s.first.fault,
                                        s.first.op};
    }
    free(s.killed);
    dispose(s.r);
    return v;
}

/* --- the report --------------------------------------------------------------------------------
 */

static const char *const faults[] = {
    "right",
    "received what was never sent, or twice, or with another priority",
    "received although another message was to be received before",
    "\"empty\", though at every moment of the call there was a message",
    "\"full\", though at every moment of the call there was room",
    "more messages than slots",
    "undecided: too many killed calls",
};

static void print_op(const struct linear_op *o)
{
    static const char *const results[] = {"done", "refused", "nothing", "killed"};

    printf("#   %8" PRIu64 " - %-8" PRIu64 " %2u %s", o->begin, o->end, o->who,
           o->kind == LINEAR_SEND ? "send   " : "receive");
    if (o->message)
        printf(" %" PRIx64 " priority %u", o->message, o->prio);
    if (o->since)
        printf(" (deadline after %" PRIu64 ")", o->since);
    printf(": %s\n", results[o->result]);
}

void linear_print(const struct linear_history *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        print_op(&h->ops[i]);
}

static int by_begin(const void *a, const void *b)
{
    const struct linear_op *x = a, *y = b;

    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Leave out these calls, and those that speak of the same messages. */
static uint32_t without(const struct linear_history *h, uint32_t from, uint32_t count,
                        struct linear_op *out)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < h->count; i++) {
        bool leave = i >= from && i < from + count;

        for (uint32_t j = from; j < from + count && j < h->count && !leave; j++)
            leave = h->ops[i].message && h->ops[i].message == h->ops[j].message;
        if (!leave || h->ops[i].result == LINEAR_KILLED) /* what that did may explain it all */
            out[kept++] = h->ops[i];
    }
    return kept;
}

/* Leave out whatever can be, and the fault remains. */
static void reduce(struct linear_history *h, enum linear_fault fault)
{
    struct linear_op *other = malloc((h->count + 1) * sizeof *other);

    for (uint32_t step = h->count / 2; step > 0; step /= 2)
        for (uint32_t at = 0; at < h->count;) {
            struct linear_history less = *h;

            less.ops = other;
            less.count = without(h, at, step, other);
            if (less.count < h->count && linear_check(&less).fault == fault) {
                h->count = less.count;
                memcpy(h->ops, other, less.count * sizeof *other);
            } else {
                at += step;
            }
        }
    free(other);
}

void linear_explain(const struct linear_history *h)
{
    struct linear_verdict v = linear_check(h);
    struct linear_op wrong = h->ops[v.op], *ops = malloc((h->count + 1) * sizeof *ops);
    struct linear_history less = *h;

    printf("# %s (%u slots):\n", faults[v.fault], h->maxmsg);
    if (v.fault == LINEAR_RIGHT || v.fault == LINEAR_UNDECIDED) {
        free(ops);
        return;
    }
    print_op(&wrong);
    memcpy(ops, h->ops, h->count * sizeof *ops);
    less.ops = ops;
    /* Without room to speak of, "full" and "too many" come from all that is there. */
    if (v.fault == LINEAR_VALUE || v.fault == LINEAR_ORDER || v.fault == LINEAR_EMPTY) {
        reduce(&less, v.fault);
        printf("# which follows from these alone:\n");
    } else {
        printf("# beside these:\n");
    }
    qsort(ops, less.count, sizeof *ops, by_begin);
    for (uint32_t i = 0, shown = 0; i < less.count && shown < 40; i++)
        if (less.count <= 40 || (ops[i].begin < wrong.end && ops[i].end > wrong.begin)) {
            print_op(&ops[i]);
            shown++;
        }
    free(ops);
}

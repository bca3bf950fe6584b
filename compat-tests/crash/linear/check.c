/*
 * The checker's frame: history in, verdict out.  What killed receives did is
 * tried: each takes nothing, or one of the messages that stand in the way.
 */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define TRIES 20000

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
    uint32_t tries;
    struct linear_verdict first; /* what is wrong if they did nothing */
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

/* There is no slot to hand it over with.  Can it have come when its send returned instead? */
static struct linear_message *try_late(const struct linear_replay *r, struct linear_verdict v)
{
    struct linear_message *m = v.fault == LINEAR_ROOM ? &r->messages[r->message_of[v.op]] : NULL;

    if (!m || m->late || !m->could_be || m->receive == LINEAR_NONE ||
        r->ends[m->send] > r->ends[m->receive])
        return NULL;
    m->late = true;
    return m;
}

static enum linear_fault search(struct search *s)
{
    struct linear_replay *r = s->r;
    struct linear_verdict v = linear_order(r);
    uint32_t count, *suspects;
    struct linear_message *late;
    enum linear_fault fault;

    if (v.fault == LINEAR_RIGHT)
        v = linear_room(r);
    if (s->tries == 0)
        s->first = v;
    fault = v.fault;
    if (fault == LINEAR_RIGHT || ++s->tries >= TRIES)
        return fault == LINEAR_RIGHT ? LINEAR_RIGHT : LINEAR_UNDECIDED;
    late = try_late(r, v);
    if (late) {
        enum linear_fault other = search(s);

        if (other == LINEAR_RIGHT || other == LINEAR_UNDECIDED)
            return other;
        late->late = false;
    }
    linear_suspects(r, v.op);
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

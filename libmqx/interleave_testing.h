/*
 * What was answered to calls that overlap, and whether a bounded priority queue
 * that does one thing at a time can have answered so, in an order that keeps what
 * was over before what began later.
 */
#ifndef MQXI_INTERLEAVE_TESTING_H
#define MQXI_INTERLEAVE_TESTING_H

#include "testing.h"

#define SLOTS 90u /* the most of a queue here */
#define CALLS (5 * SLOTS)

enum kind { PUT, TAKE, GIVE_BACK, REPAIR, DIE_TAKING, DIE_FILLING };

/* A message is named by the number of the call that put it. */
static struct call {
    enum kind kind;
    unsigned prio, begin, end; /* times */
    int result;                /* 0 or -errno; TAKE, GIVE_BACK: the message taken */
} history[CALLS];
static unsigned calls, now;

/* The queue.  A call that sends or receives does two things: take a slot, later show the message;
 * take the message, later free the slot or give it back. */
struct list {
    unsigned used, stuck, count; /* slots, those of dead senders, messages */
    struct {
        uint16_t call, prio;
        bool held; /* by one who is dead, or will give it back */
    } at[SLOTS];
};

static void show(struct list *l, const struct call *c)
{
    l->at[l->count].call = (uint16_t)(c - history);
    l->at[l->count].prio = (uint16_t)c->prio;
    l->at[l->count++].held = false;
}

static void give_back(struct list *l, int call)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->at[i].call == call)
            l->at[i].held = false;
}

static void mend(struct list *l)
{
    l->used -= l->stuck;
    l->stuck = 0;
    for (unsigned i = 0; i < l->count; i++)
        l->at[i].held = false;
}

/* Take the first message: is it this one? */
static bool remove_first(struct list *l, const struct call *c)
{
    unsigned first = l->count;

    for (unsigned i = 0; i < l->count; i++)
        if (!l->at[i].held && (first == l->count || l->at[i].prio > l->at[first].prio))
            first = i;
    if (first == l->count)
        return c->result == -EAGAIN;
    if (c->result != l->at[first].call)
        return false;
    if (c->kind == DIE_TAKING || c->kind == GIVE_BACK) {
        l->at[first].held = true;
        return true;
    }
    l->count--;
    memmove(&l->at[first], &l->at[first + 1], (l->count - first) * sizeof(*l->at));
    return true;
}

/* Do the next of a call's things, of which `done` are done.  False: it cannot have been done now;
 * else *over says whether it was the last. */
static bool act(struct list *l, const struct call *c, int done, unsigned maxmsg, bool *over)
{
    *over = true;
    if (done > 0) {
        if (c->kind == PUT)
            show(l, c);
        else if (c->kind == GIVE_BACK)
            give_back(l, c->result);
        else
            l->used--;
        return true;
    }
    switch (c->kind) {
    case REPAIR:
        mend(l);
        return c->result == 0;
    case DIE_FILLING:
        l->used++;
        l->stuck++;
        return true;
    case PUT:
        if (l->used == maxmsg)
            return c->result == -EAGAIN;
        l->used++;
        *over = false;
        return c->result == 0;
    default:
        *over = c->result < 0 || c->kind == DIE_TAKING;
        return remove_first(l, c);
    }
}

enum { OVER = 2 };

/* Is there an order of what is not done? */
static bool can_go_on(int *done, const struct list *l, unsigned maxmsg)
{
    unsigned left = 0, first_end = UINT32_MAX;

    for (unsigned i = 0; i < calls; i++) {
        left += done[i] != OVER;
        if (done[i] != OVER && history[i].end < first_end)
            first_end = history[i].end;
    }
    for (unsigned i = 0; i < calls; i++) {
        struct list next;
        int saved = done[i];
        bool over, can;

        if (saved == OVER || history[i].begin > first_end)
            continue;
        next = *l;
        if (!act(&next, &history[i], saved, maxmsg, &over))
            continue;
        done[i] = over ? OVER : 1;
        can = can_go_on(done, &next, maxmsg);
        done[i] = saved;
        if (can)
            return true;
    }
    return left == 0;
}

static bool linearizable(unsigned maxmsg)
{
    int done[CALLS] = {0};

    return can_go_on(done, &(struct list){0}, maxmsg);
}

static void print_history(void)
{
    static const char *const names[] = {"put", "take", "take and give back", "repair", "die with",
                                        "die in a slot"};

    for (unsigned i = 0; i < calls; i++) {
        const struct call *c = &history[i];

        fprintf(stderr, "%3u: from %u to %u %s", i, c->begin, c->end, names[c->kind]);
        if (c->kind == PUT)
            fprintf(stderr, ", priority %u", c->prio);
        if (c->result < 0)
            fprintf(stderr, ": %s", strerror(-c->result));
        else if (c->kind == TAKE || c->kind == GIVE_BACK || c->kind == DIE_TAKING)
            fprintf(stderr, ": %d", c->result);
        fputc('\n', stderr);
    }
}

#endif

/*
 * What was answered to calls that overlap, and whether a bounded priority queue
 * that does one thing at a time can have answered so, in an order that keeps what
 * was over before what began later.
 */
#ifndef MQXI_INTERLEAVE_TESTING_H
#define MQXI_INTERLEAVE_TESTING_H

#include "client.h"
#include "engine.h"
#include "repair.h"
#include "testing.h"
#include "withdraw.h"

#define SLOTS 90u /* the most of a queue here */
#define CALLS (5 * SLOTS)

enum kind { PUT, TAKE, GIVE_BACK, WITHDRAW, REPAIR, DIE_TAKING, DIE_FILLING };

/* A message is named by the number of the call that put it. */
static struct call {
    enum kind kind;
    unsigned prio, begin, end; /* times */
    int result;                /* 0 or -errno; TAKE, GIVE_BACK, WITHDRAW: the message */
    unsigned wanted;           /* WITHDRAW: this message */
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

/* Take this one out, wherever it is.  Refused where it is gone or in somebody's hands. */
static bool withdraw(struct list *l, const struct call *c)
{
    unsigned i = 0;

    while (i < l->count && l->at[i].call != c->wanted)
        i++;
    if (i == l->count || l->at[i].held)
        return c->result == -ESTALE;
    if (c->result < 0)
        return false;
    l->count--;
    memmove(&l->at[i], &l->at[i + 1], (l->count - i) * sizeof(*l->at));
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
    case WITHDRAW:
        *over = c->result < 0;
        return withdraw(l, c);
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
    static const char *const names[] = {"put",    "take",     "take and give back", "withdraw",
                                        "repair", "die with", "die in a slot"};

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

/* --- the calls -------------------------------------------------------------------------------- */

static uint64_t dead_owner;

/* What was sent last before all overlaps: to be withdrawn. */
static struct {
    unsigned call;
    uint32_t slot;
    uint64_t key;
} own;

static int put(struct mqxi_queue *q, unsigned number, unsigned prio)
{
    return mqxi_put(q, "", 1, prio, number, NULL, NULL);
}

static int put_own(struct mqxi_queue *q, unsigned number, unsigned prio)
{
    own.call = number;
    return mqxi_put(q, "", 1, prio, number, &own.slot, &own.key);
}

static int withdraw_own(struct mqxi_queue *q)
{
    int r = mqxi_withdraw(q, own.slot, own.key);

    return r < 0 ? r : (int)own.call;
}

/* leaves: says first that the message must be gone from the store, too. */
static int take(struct mqxi_queue *q, enum kind kind, bool leaves)
{
    struct mqxi_taken t;
    int r = mqxi_take(q, &t), number;

    if (r < 0)
        return r;
    number = (int)t.type;
    if (leaves)
        IS(mqxi_take_leave(q, &t), 0);
    if (kind == DIE_TAKING)
        atomic_store(&q->ctl[t.slot], (leaves ? MQXI_CTL_LEAVING : MQXI_CTL_TAKING) | dead_owner);
    else if (kind == GIVE_BACK)
        IS(mqxi_take_abort(q, &t), 0);
    else
        IS(mqxi_take_commit(q, &t), 0);
    return number;
}

/* As one who is on the way to a message. */
static bool claim(struct mqxi_queue *q, uint32_t slot, uint64_t owner)
{
    uint64_t free = MQXI_CTL_FREE;

    if (!atomic_compare_exchange_strong(&q->ctl[slot], &free, MQXI_CTL_FILLING | owner))
        return false;
    if (slot >= q->layout.front)
        atomic_fetch_or(&q->used[slot / 64], UINT64_C(1) << slot % 64);
    return true;
}

static void claim_any(struct mqxi_queue *q, uint64_t owner)
{
    for (uint32_t i = 0; !claim(q, i, owner); i++)
        CHECK(i < q->layout.maxmsg);
}

/* A digit: send with this priority.  -: receive.  ~: and give it back.  +: repair.
 * x: receive, and die before the end.  l, b, y: as -, ~ and x, leaving.  !: begin to send, and die.
 * o: send what w, withdraw, withdraws. */
static void make_call(struct mqxi_queue *q, char what)
{
    unsigned number = calls++;
    struct call *c = &history[number];

    CHECK(number < CALLS);
    c->begin = now++;
    switch (what) {
    case '-':
    case 'l':
        c->kind = TAKE;
        c->result = take(q, c->kind, what == 'l');
        break;
    case '~':
    case 'b':
        c->kind = GIVE_BACK;
        c->result = take(q, c->kind, what == 'b');
        break;
    case 'x':
    case 'y':
        c->kind = DIE_TAKING;
        c->result = take(q, c->kind, what == 'y');
        break;
    case 'w':
        c->kind = WITHDRAW;
        c->wanted = own.call;
        c->result = withdraw_own(q);
        break;
    case 'o':
        c->kind = PUT;
        c->prio = 1;
        c->result = put_own(q, number, c->prio);
        break;
    case '!':
        c->kind = DIE_FILLING;
        claim_any(q, dead_owner);
        break;
    case '+':
        c->kind = REPAIR;
        c->result = mqxi_repair(q, NULL);
        break;
    default:
        c->kind = PUT;
        c->prio = (unsigned)(what - '0');
        c->result = put(q, number, c->prio);
    }
    c->end = now++;
}

static void make_calls(struct mqxi_queue *q, const char *what)
{
    for (; *what; what++)
        make_call(q, *what);
}

static void get_owner_and_die(void *arg)
{
    uint64_t *owner = arg;
    int error;

    *owner = atomic_load(&mqxi_client_self((uint32_t)*owner, &error)->owner);
}

static void find_dead_owner(const struct mqxi_queue *q)
{
    uint64_t *owner = shared(sizeof(*owner));

    *owner = q->registry;
    finish(start(get_owner_and_die, owner));
    dead_owner = *owner;
    CHECK(dead_owner && !mqxi_client_alive(q->registry, dead_owner));
}

#endif

/*
 * Lists of waiting requests, one a queue and direction, first come first
 * served.  All in a list wait for the same thing, so serving stops at the first
 * that must wait on: a thousand blocked readers cost nothing while one message
 * is delivered.  But FOR_DISK and FOR_CHOICE each waits for something else, and
 * on a System V queue for his type, or for room for as much as he has.
 *
 * Serving one may give others what they wait for (a reader makes room); that
 * is noted as due and done by the event loop, not by recursion.
 */
#include "parked.h"

#include <stdlib.h>

#include "guard.h"
#include "repair.h"
#include "sysv.h"
#include "thread.h"
#include "wait.h"

static struct attached *due_list;
static unsigned count;

static void arm(struct attached *a, enum direction direction, uint32_t seen)
{
    bridge_arm(&a->waiting[direction].watch, a->queue, attached_event(a, direction), seen);
}

static void append(struct parked *p)
{
    struct waiting *w = &p->attached->waiting[p->direction];

    p->next = NULL;
    p->previous = w->last;
    *(w->last ? &w->last->next : &w->first) = p;
    w->last = p;
    count++;
}

static void take_out(struct parked *p)
{
    struct waiting *w = &p->attached->waiting[p->direction];

    *(p->previous ? &p->previous->next : &w->first) = p->next;
    *(p->next ? &p->next->previous : &w->last) = p->previous;
    count--;
}

static void interrupted(fuse_req_t request, void *arg)
{
    struct parked *p = arg;

    if (p->direction == FOR_DISK) {
        p->stored.interrupted = true;
        return;
    }
    take_out(p);
    fuse_reply_err(request, EINTR);
    p->discard(p);
}

void parked_add(struct parked *p, uint32_t seen)
{
    bool alone = !parked_any(p->attached, p->direction);

    append(p);
    if (alone)
        arm(p->attached, p->direction, seen);
    if (!p->request)
        return;
    /* Last: were the request interrupted already, libfuse would call it here, and p might be gone.
     */
    fuse_req_interrupt_func(p->request, interrupted, p);
}

void parked_remove(struct parked *p)
{
    take_out(p);
    p->discard(p);
}

/* Tries a request and forgets it if it was answered; its interrupt function goes with the
 * request, so it is not called for a freed one. */
static bool settle(struct parked *p)
{
    if (!p->attempt(p))
        return false;
    parked_remove(p);
    return true;
}

void parked_serve(struct attached *a, enum direction direction)
{
    struct waiting *w = &a->waiting[direction];
    _Atomic uint32_t *event = attached_event(a, direction);
    struct parked *next;
    uint32_t seen = mqxi_event_read(event);
    bool told = false, each = direction == FOR_DISK || direction == FOR_CHOICE || is_sysv(a);

    /* Who is told to try himself gets his chance before anybody behind him: his trying makes this
     * due again, and else the next tick. */
    for (struct parked *p = w->first; p && !told; p = next) {
        bool rings = !p->request && !p->move;

        seen = each ? seen : mqxi_event_read(event);
        next = p->next;
        if (settle(p))
            told = rings;
        else if (!each)
            break;
    }
    /* A wake-up was spent on us and nobody here wants it (any more): to the next sleeper.  Before
     * we are that ourselves. */
    if (w->woken && !told && (!w->first || direction == FOR_CHOICE) &&
        atomic_load(event) & MQXI_EVENT_SLEEPERS)
        mqxi_event_wake(event, false);
    if (w->first)
        arm(a, direction, seen);
    else
        bridge_rest(&w->watch);
}

static void mark_due(struct attached *a, enum direction direction)
{
    if (!parked_any(a, direction) && !a->waiting[direction].woken)
        return;
    a->waiting[direction].due = true;
    if (a->listed)
        return;
    a->listed = true;
    a->next_due = due_list;
    due_list = a;
}

void parked_due(struct attached *a, enum direction direction)
{
    mark_due(a, direction);
    if (direction == FOR_MESSAGE) /* one message may be for either */
        mark_due(a, FOR_CHOICE);
}

void parked_fired(struct watch *w)
{
    w->attached->waiting[w->direction].woken = true;
    parked_due(w->attached, w->direction);
}

bool parked_is_due(void)
{
    return due_list;
}

void parked_serve_due(void)
{
    struct attached *a;

    while ((a = due_list)) {
        due_list = a->next_due;
        a->listed = false;
        for (int d = 0; d < DIRECTIONS; d++)
            if (a->waiting[d].due) {
                a->waiting[d].due = false;
                parked_serve(a, d);
                a->waiting[d].woken = false;
            }
    }
}

unsigned parked_count(void)
{
    return count;
}

static void tick(struct attached *a)
{
    unsigned token;
    bool swept;

    if (!parked_any(a, FOR_MESSAGE) && !parked_any(a, FOR_CHOICE) && !parked_any(a, FOR_ROOM) &&
        !parked_any(a, FOR_DISK))
        return;
    token = mqxi_op_enter();
    mqxi_guard_check(a->queue);
    mqxi_repair_sometimes(a->queue, &swept); /* a damaged queue tells its readers and writers so */
    mqxi_op_leave(token);
    for (int d = 0; d < DIRECTIONS; d++)
        parked_due(a, d);
}

void parked_tick(void)
{
    if (count > 0)
        attached_each(tick);
}

static int refusal;

static void refuse(struct attached *a)
{
    for (int d = 0; d < DIRECTIONS; d++)
        for (struct parked *p; (p = a->waiting[d].first);) {
            if (p->request)
                fuse_reply_err(p->request, refusal);
            parked_remove(p);
        }
}

void parked_refuse_all(int error)
{
    refusal = error;
    attached_each(refuse);
}

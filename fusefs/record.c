/*
 * What was taken is ours in state "taking" until its last byte was handed
 * over, that is until the kernel accepted our answer, and goes back otherwise:
 * at close, when the reader was interrupted, when mqxfs ends in whatever way.
 * Messages are read from a private copy: what lies in the segment may be
 * changed by its owner, or vanish.  The copy serves after the message was
 * consumed, too: shells read ahead and seek back.
 */
#include "record.h"

#include <stdlib.h>
#include <string.h>

#include "anyname.h"
#include "held.h"
#include "parked.h"
#include "snapshot.h"
#include "thread.h"

#define LOOKS 64 /* at messages that are taken as fast as we find them */

/* Have room for a message of so many bytes, and a zero; what was there is gone. */
static int make_room(struct record *r, uint32_t len)
{
    if (len < r->room)
        return 0;
    free(r->bytes);
    r->bytes = malloc((size_t)len + 1);
    r->room = r->bytes ? len + 1 : 0;
    return r->bytes ? 0 : -ENOMEM;
}

/* The message's bytes are there: as the view shows them.  From the copy: what is looked at twice
 * must not change. */
static int give_form(struct record *r, const struct view *v)
{
    struct text shown;
    int e;

    r->len = r->taken.len;
    if (!view_has_form(v))
        return 0;
    r->bytes[r->len] = 0;
    e = form_show(v->form, &r->taken, r->bytes, &shown);
    if (e < 0)
        return e;
    free(r->bytes);
    r->bytes = shown.bytes;
    r->len = r->room = shown.len;
    return 0;
}

static int make_copy(struct record *r, const struct mqxi_queue *q, const struct view *v)
{
    int e = make_room(r, r->taken.len);

    if (e < 0)
        return e;
    memcpy(r->bytes, r->taken.data, r->taken.len);
    return atomic_load(&q->dead) ? -EIO : give_form(r, v);
}

/* The messages that the view is of. */
static struct mqxi_choice choice_of(const struct view *v)
{
    struct mqxi_choice c = {.mode = MQXI_BETWEEN, .to = MQXI_CTL_OWNED - 1, .longest = UINT32_MAX};

    if (v->prio) {
        c.from = (uint64_t)(MQXI_PRIO_MAX - v->prio) << MQXI_SEQ_BITS;
        c.to = c.from | MQXI_SEQ_MAX;
    }
    return c;
}

bool record_is_there(struct attached *a, const struct view *v)
{
    struct mqxi_choice c = choice_of(v);
    struct mqxi_first first;

    return mqxi_choose_key(a->queue, &c, &first) == 0;
}

static int take_any(struct mqxi_queue *q, const struct view *v, long type, struct mqxi_taken *out)
{
    struct mqxi_choice c = q->types ? mqxi_choice_of(type, UINT32_MAX) : choice_of(v);

    if (!q->types && !v->prio)
        return mqxi_take(q, out);
    return q->types && mqxi_held_removed(q) ? -EIDRM : mqxi_take_chosen(q, &c, out);
}

static int take(struct record *r, struct attached *a, const struct view *v, long type)
{
    int e = take_any(a->queue, v, type, &r->taken);

    if (e < 0)
        return e;
    e = make_copy(r, a->queue, v);
    if (e == 0)
        r->state = RECORD_HELD;
    else
        mqxi_take_abort(a->queue, &r->taken);
    return e;
}

/* Look at the first message; in a stream, at the first behind the one that was looked at last. */
static int look(struct record *r, struct attached *a, const struct view *v)
{
    struct mqxi_queue *q = a->queue;
    struct mqxi_choice c = choice_of(v);
    struct mqxi_first first;
    struct mqxi_snapshot s;
    int e = make_room(r, q->layout.msgsize);

    if (view_is_stream(v) && r->taken.key >= c.from)
        c.from = r->taken.key + 1;
    for (int i = 0; e == 0 && i < LOOKS; i++) {
        e = mqxi_choose_key(q, &c, &first);
        if (e == 0)
            e = mqxi_snapshot(q, first.slot, &s, r->bytes);
        if (atomic_load(&q->dead))
            return -EIO;
        if (e < 0)
            return e;
        if (s.key != first.key) /* taken meanwhile */
            continue;
        r->taken = (struct mqxi_taken){.key = s.key,
                                       .len = s.len,
                                       .prio = mqxi_key_prio(s.key),
                                       .pid = s.pid,
                                       .uid = s.uid,
                                       .sent_ns = s.sent_ns};
        e = give_form(r, v);
        if (e == 0)
            r->state = RECORD_SHOWN;
        return e;
    }
    return e < 0 ? e : -EAGAIN;
}

int record_next(struct record *r, struct attached *a, const struct view *v, long type)
{
    unsigned token = mqxi_op_enter();
    int e;

    r->state = RECORD_NONE;
    r->len = 0;
    e = v->peeks ? look(r, a, v) : take(r, a, v, type);
    mqxi_op_leave(token);
    return e;
}

int record_consume(struct record *r, struct attached *a)
{
    unsigned token;
    int e;

    if (r->state != RECORD_HELD)
        return 0;
    token = mqxi_op_enter();
    e = mqxi_take_commit(a->queue, &r->taken);
    mqxi_op_leave(token);
    r->state = RECORD_SHOWN;
    parked_due(a, FOR_ROOM);
    return e;
}

void record_give_back(struct record *r, struct attached *a)
{
    unsigned token;

    if (r->state != RECORD_HELD)
        return;
    token = mqxi_op_enter();
    mqxi_take_abort(a->queue, &r->taken);
    mqxi_op_leave(token);
    r->state = RECORD_NONE;
    parked_due(a, FOR_MESSAGE);
}

void record_drop(struct record *r, struct attached *a)
{
    record_give_back(r, a);
    free(r->bytes);
    *r = (struct record){0};
}

void record_text(struct record *r, struct text text)
{
    r->state = RECORD_SHOWN;
    r->bytes = text.bytes;
    r->len = r->room = text.len;
}

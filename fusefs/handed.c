/*
 * A message goes out in two steps.  It is taken, and handed over; when the
 * caller has all of it he accepts it, and it is consumed.  One that is not
 * accepted goes back when its receiver's thread is dead or the file is closed: so
 * a receiver that is killed at any instruction before that loses nothing.
 */
#include "handed.h"

#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "calls.h"
#include "doorbell.h"
#include "engine.h"
#include "held.h"
#include "parked.h"
#include "repair.h"
#include "thread.h"

/* A message that was handed over and not accepted yet. */
struct handed {
    struct handed *next;
    uint64_t ticket;
    pid_t tid;
    bool stays; /* MSG_COPY: nothing was taken */
    uint32_t len;
    struct mqxi_taken taken;
    uint8_t copy[]; /* for those who come for the rest */
};

static int settle(struct remote *r, struct handed *h, bool accepted)
{
    struct mqxi_queue *q = r->attached->queue;
    unsigned token = mqxi_op_enter();
    bool removed = is_call(r) && mqxi_held_removed(q); /* and its messages with it */
    int result = h->stays               ? 0
                 : accepted && !removed ? mqxi_take_commit(q, &h->taken)
                                        : mqxi_take_abort(q, &h->taken);

    mqxi_op_leave(token);
    for (struct handed **link = &r->handed; *link; link = &(*link)->next)
        if (*link == h) {
            *link = h->next;
            break;
        }
    free(h);
    parked_due(r->attached, accepted ? FOR_ROOM : FOR_MESSAGE);
    return accepted && removed ? -EIDRM : result;
}

/* --- taking -------------------------------------------------------------------------------------
 */

/* Take the next message, and copy it: what lies in the segment may change, or vanish. */
static int take_once(struct mqxi_queue *q, const struct mqxi_choice *choice, uint32_t taker,
                     struct handed **out)
{
    struct mqxi_taken taken;
    int r = choice ? mqxi_take_chosen(q, choice, &taken) : mqxi_take(q, &taken);
    struct handed *h;

    if (r < 0)
        return r;
    if (choice)
        taken.taker = taker;
    h = malloc(sizeof(*h) + taken.len);
    if (h) {
        *h = (struct handed){.taken = taken, .len = taken.len};
        memcpy(h->copy, taken.data, taken.len);
    }
    r = !h ? -ENOMEM : atomic_load(&q->dead) ? -EIO : choice && mqxi_held_removed(q) ? -EIDRM : 0;
    if (r < 0) {
        mqxi_take_abort(q, &taken);
        free(h);
        return r;
    }
    *out = h;
    return 0;
}

/* MSG_COPY. */
static int copy(struct mqxi_queue *q, const struct mqxi_remote_receive *in, struct handed **out)
{
    uint32_t room = in->len < q->layout.msgsize ? in->len : q->layout.msgsize;
    struct handed *h = malloc(sizeof(*h) + room);
    struct mqxi_copy got;
    int r;

    if (!h)
        return -ENOMEM;
    *h = (struct handed){.stays = true};
    r = in->sysv.type < 0 ? -EAGAIN
                          : mqxi_choose_copy(q, (uint64_t)in->sysv.type, h->copy, room, &got);
    if (r >= 0 && (atomic_load(&q->dead) || in->sysv.flags & MQXI_SYSV_NOWHERE))
        r = atomic_load(&q->dead) ? -EIO : -EFAULT;
    if (r < 0) {
        free(h);
        return r == -E2BIG && in->sysv.flags & MQXI_SYSV_CUT ? -EINVAL : r; /* it cannot be cut */
    }
    h->len = h->taken.len = got.len;
    h->taken.type = got.type;
    *out = h;
    return 0;
}

bool try_again(struct mqxi_queue *q)
{
    bool swept = false;

    return mqxi_repair_sometimes(q, &swept) == 0 && swept;
}

static int take(struct remote *r, fuse_req_t request, const struct mqxi_remote_receive *in,
                struct handed **out)
{
    struct mqxi_queue *q = r->attached->queue;
    struct mqxi_choice choice = call_choice(&in->sysv, in->len),
                       *chosen = is_call(r) ? &choice : NULL;
    uint32_t taker = chosen ? caller_identify(fuse_req_ctx(request), in->caller).pid : 0;
    unsigned token = mqxi_op_enter();
    int e;

    if (chosen && in->sysv.flags & MQXI_SYSV_COPY) {
        e = copy(q, in, out);
    } else {
        e = take_once(q, chosen, taker, out);
        if (e == -EAGAIN && try_again(q))
            e = take_once(q, chosen, taker, out);
    }
    if (e < 0 && chosen && mqxi_held_removed(q))
        e = -EIDRM;
    mqxi_op_leave(token);
    return e;
}

/* Of copies a thread has one at a time: nothing else limits how many there are. */
static void forget_copy(struct remote *r, pid_t tid)
{
    struct handed *h = r->handed;

    while (h && !(h->stays && h->tid == tid))
        h = h->next;
    if (h)
        settle(r, h, false);
}

/* --- handing over -------------------------------------------------------------------------------
 */

static int check(const struct remote *r, fuse_req_t request, const struct mqxi_remote_receive *in)
{
    return !r->readable                                                  ? -EBADF
           : !is_call(r) && in->len < r->attached->queue->layout.msgsize ? -EMSGSIZE
           : fuse_req_interrupted(request)                               ? -EINTR /* he is dying */
                                           : call_check(r, request, &in->sysv, MQXI_MAY_READ);
}

void hand_over(struct remote *r, fuse_req_t request, const struct mqxi_remote_receive *in)
{
    static uint64_t tickets;
    pid_t tid = fuse_req_ctx(request)->pid;
    struct mqxi_remote_receive out = {.sysv = in->sysv};
    struct handed *h;
    size_t n;
    int e = check(r, request, in);

    forget_copy(r, tid);
    if (e == 0)
        e = take(r, request, in, &h);
    if (e == 0)
        waiter_remove(r, r->attached, tid, FOR_MESSAGE, false);
    parked_due(r->attached, FOR_MESSAGE); /* if he was told to come: now for who is next */
    if (e < 0) {
        fuse_reply_err(request, -e);
        return;
    }
    h->ticket = ++tickets;
    h->tid = tid;
    h->next = r->handed;
    r->handed = h;
    if (is_call(r) && h->len > in->len)
        h->len = in->len; /* MSG_NOERROR */
    out.ticket = h->ticket;
    out.len = h->len;
    out.prio = h->taken.prio;
    out.sysv.type = h->taken.type;
    n = h->len < sizeof(out.data) ? h->len : sizeof(out.data);
    memcpy(out.data, h->copy, n);
    if (fuse_reply_ioctl(request, 0, &out, offsetof(struct mqxi_remote_receive, data) + n) < 0)
        settle(r, h, false);
}

static struct handed *find(const struct remote *r, uint64_t ticket, pid_t tid)
{
    struct handed *h = r->handed;

    while (h && (h->ticket != ticket || h->tid != tid))
        h = h->next;
    return h;
}

void hand_more(struct remote *r, fuse_req_t request, const struct mqxi_remote_more *in, size_t size)
{
    const struct handed *h = find(r, in->ticket, fuse_req_ctx(request)->pid);

    if (!h || in->offset > h->len)
        fuse_reply_err(request, ESTALE);
    else
        fuse_reply_ioctl(request, 0, h->copy + in->offset,
                         size < h->len - in->offset ? size : h->len - in->offset);
}

int hand_settled(struct remote *r, fuse_req_t request, uint64_t ticket, bool accepted)
{
    struct handed *h = find(r, ticket, fuse_req_ctx(request)->pid);

    return h ? settle(r, h, accepted) : -ESTALE;
}

void hand_back_from_dead(struct remote *r)
{
    for (struct handed *h = r->handed, *next; h; h = next) {
        next = h->next;
        if (caller_has_ended(h->tid))
            settle(r, h, false);
    }
}

void hand_back_all(struct remote *r)
{
    while (r->handed)
        settle(r, r->handed, false);
}

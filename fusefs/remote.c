/*
 * The queue of one user, used by another's process through libmqx: mq_send and
 * mq_receive by ioctl.  Whether the caller may was decided when he opened the
 * file.
 *
 * A message goes out in two steps.  It is taken, and handed over; when the
 * caller has all of it he accepts it, and it is consumed.  One that is not
 * accepted goes back when its receiver's thread is dead or the file is closed: so
 * a receiver that is killed at any instruction before that loses nothing.  A
 * large message comes in parts that are put together here.
 *
 * What is held and put together belongs to threads: an open file may be shared
 * by many.
 */
#include "remote.h"

#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "disk.h"
#include "doorbell.h"
#include "engine.h"
#include "names.h"
#include "parked.h"
#include "polled.h"
#include "registered.h"
#include "repair.h"
#include "sys.h"
#include "thread.h"

/* A message that was handed over and not accepted yet. */
struct held {
    struct held *next;
    uint64_t ticket;
    pid_t tid;
    struct mqxi_taken taken;
    uint8_t copy[]; /* for those who come for the rest */
};

/* The parts of a message so far. */
struct staged {
    struct staged *next;
    pid_t tid;
    uint32_t len, have;
    uint8_t data[];
};

static struct remote *remotes;

struct remote *remote_open(struct attached *a, const struct view *view, int flags)
{
    struct remote *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->attached = a;
    r->view = *view;
    r->readable = (flags & O_ACCMODE) != O_WRONLY;
    r->writable = (flags & O_ACCMODE) != O_RDONLY;
    r->next = remotes;
    if (remotes)
        remotes->previous = r;
    remotes = r;
    return r;
}

void remote_each(void (*each)(struct remote *r))
{
    for (struct remote *r = remotes; r; r = r->next)
        each(r);
}

bool remote_any(void)
{
    return remotes;
}

/* --- receiving ----------------------------------------------------------------------------------
 */

static int settle(struct remote *r, struct held *h, bool accepted)
{
    struct mqxi_queue *q = r->attached->queue;
    unsigned token = mqxi_op_enter();
    int result = accepted ? mqxi_take_commit(q, &h->taken) : mqxi_take_abort(q, &h->taken);

    mqxi_op_leave(token);
    for (struct held **link = &r->held; *link; link = &(*link)->next)
        if (*link == h) {
            *link = h->next;
            break;
        }
    free(h);
    parked_due(r->attached, accepted ? FOR_ROOM : FOR_MESSAGE);
    return result;
}

/* Take the next message, and copy it: what lies in the segment may change, or vanish. */
static int take_once(struct mqxi_queue *q, struct held **out)
{
    struct mqxi_taken taken;
    int r = mqxi_take(q, &taken);
    struct held *h;

    if (r < 0)
        return r;
    h = malloc(sizeof(*h) + taken.len);
    if (h) {
        *h = (struct held){.taken = taken};
        memcpy(h->copy, taken.data, taken.len);
    }
    r = !h ? -ENOMEM : atomic_load(&q->dead) ? -EIO : 0;
    if (r < 0) {
        mqxi_take_abort(q, &taken);
        free(h);
        return r;
    }
    *out = h;
    return 0;
}

/* Dead processes may hold what is wanted: then once more. */
static bool again(struct mqxi_queue *q)
{
    bool swept = false;

    return mqxi_repair_sometimes(q, &swept) == 0 && swept;
}

static int take(struct remote *r, struct held **out)
{
    struct mqxi_queue *q = r->attached->queue;
    unsigned token = mqxi_op_enter();
    int result = take_once(q, out);

    if (result == -EAGAIN && again(q))
        result = take_once(q, out);
    mqxi_op_leave(token);
    return result;
}

static void receive(struct remote *r, fuse_req_t request, const struct mqxi_remote_receive *in)
{
    static uint64_t tickets;
    pid_t tid = fuse_req_ctx(request)->pid;
    struct mqxi_remote_receive out;
    struct held *h;
    size_t n;
    int e = !r->readable                                   ? -EBADF
            : in->len < r->attached->queue->layout.msgsize ? -EMSGSIZE
            : fuse_req_interrupted(request)                ? -EINTR /* he is dying */
                                                           : take(r, &h);

    if (e == 0)
        waiter_remove(r, r->attached, tid, FOR_MESSAGE, false);
    parked_due(r->attached, FOR_MESSAGE); /* if he was told to come: now for who is next */
    if (e < 0) {
        fuse_reply_err(request, -e);
        return;
    }
    h->ticket = ++tickets;
    h->tid = tid;
    h->next = r->held;
    r->held = h;
    out.ticket = h->ticket;
    out.len = h->taken.len;
    out.prio = h->taken.prio;
    n = h->taken.len < sizeof(out.data) ? h->taken.len : sizeof(out.data);
    memcpy(out.data, h->copy, n);
    if (fuse_reply_ioctl(request, 0, &out, offsetof(struct mqxi_remote_receive, data) + n) < 0)
        settle(r, h, false);
}

static struct held *find_held(const struct remote *r, uint64_t ticket, pid_t tid)
{
    struct held *h = r->held;

    while (h && (h->ticket != ticket || h->tid != tid))
        h = h->next;
    return h;
}

static void more(struct remote *r, fuse_req_t request, const struct mqxi_remote_more *in,
                 size_t size)
{
    const struct held *h = find_held(r, in->ticket, fuse_req_ctx(request)->pid);

    if (!h || in->offset > h->taken.len)
        fuse_reply_err(request, ESTALE);
    else
        fuse_reply_ioctl(request, 0, h->copy + in->offset,
                         size < h->taken.len - in->offset ? size : h->taken.len - in->offset);
}

static int accept_it(struct remote *r, fuse_req_t request, const uint64_t *ticket)
{
    struct held *h = find_held(r, *ticket, fuse_req_ctx(request)->pid);

    return h ? settle(r, h, true) : -ESTALE;
}

/* --- sending ------------------------------------------------------------------------------------
 */

static struct staged **find_staged(struct remote *r, pid_t tid)
{
    struct staged **link = &r->staged;

    while (*link && (*link)->tid != tid)
        link = &(*link)->next;
    return link;
}

static void drop_staged(struct staged **link)
{
    struct staged *s = *link;

    if (!s)
        return;
    *link = s->next;
    free(s);
}

static int stage(struct remote *r, fuse_req_t request, const struct mqxi_remote_stage *in,
                 size_t size)
{
    pid_t tid = fuse_req_ctx(request)->pid;
    struct staged **link = find_staged(r, tid), *s;

    if (!r->writable)
        return -EBADF;
    if (in->len > r->attached->queue->layout.msgsize)
        return -EMSGSIZE;
    if (in->offset == 0) {
        drop_staged(link);
        s = malloc(sizeof(*s) + in->len);
        if (!s)
            return -ENOMEM;
        *s = (struct staged){.next = r->staged, .tid = tid, .len = in->len};
        r->staged = s;
    }
    s = *find_staged(r, tid);
    if (!s || s->len != in->len || s->have != in->offset || size > s->len - s->have)
        return -EINVAL;
    memcpy(s->data + s->have, in->data, size);
    s->have += (uint32_t)size;
    return 0;
}

static void sent(struct remote *r, fuse_req_t request, const struct mqxi_remote_send *in,
                 uint32_t slot, uint64_t key)
{
    struct parked p = {.attached = r->attached,
                       .request = request,
                       .control = true,
                       .stored.nonblock = in->nonblock,
                       .deadline = {in->deadline_sec > 0 ? in->deadline_sec : 0,
                                    in->deadline_nsec % 1000000000}};

    parked_due(r->attached, FOR_MESSAGE);
    if (mqxi_stored_wanted(r->attached->queue))
        disk_wait(&p, slot, key);
    else
        fuse_reply_ioctl(request, 0, NULL, 0);
}

/* The message itself, of which size bytes came along: NULL if they are not all. */
static const uint8_t *message(const struct mqxi_remote_send *in, size_t size,
                              const struct staged *s)
{
    if (in->len <= sizeof(in->data))
        return size >= in->len ? in->data : NULL;
    return s && s->len == in->len && s->have == in->len ? s->data : NULL;
}

static void send(struct remote *r, fuse_req_t request, const struct mqxi_remote_send *in,
                 size_t size)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(request);
    struct mqxi_queue *q = r->attached->queue;
    struct staged **staged = find_staged(r, ctx->pid);
    const uint8_t *data = message(in, size, *staged);
    struct mqxi_sender from;
    uint32_t slot = 0;
    uint64_t key = 0;
    unsigned token;
    int e = in->prio >= MQXI_PRIO_MAX     ? -EINVAL
            : !r->writable                ? -EBADF
            : in->len > q->layout.msgsize ? -EMSGSIZE
            : !data                       ? -EINVAL
                                          : 0;

    if (e == 0) {
        from = caller_identify(ctx, in->caller);
        token = mqxi_op_enter();
        e = mqxi_put_from(q, &from, data, in->len, in->prio, 0, &slot, &key);
        if (e == -EAGAIN && again(q))
            e = mqxi_put_from(q, &from, data, in->len, in->prio, 0, &slot, &key);
        mqxi_op_leave(token);
    }
    if (e == 0) {
        waiter_remove(r, r->attached, ctx->pid, FOR_ROOM, false);
        drop_staged(staged);
    }
    parked_due(r->attached, FOR_ROOM); /* if he was told to come: now for who is next */
    if (e == 0)
        sent(r, request, in, slot, key);
    else
        fuse_reply_err(request, -e);
}

/* --- the rest -----------------------------------------------------------------------------------
 */

static void state(struct remote *r, fuse_req_t request)
{
    const struct mqxi_queue *q = r->attached->queue;
    struct mqxi_remote_state out = {.magic = MQXI_REMOTE_MAGIC,
                                    .ino = q->ino,
                                    .maxmsg = q->layout.maxmsg,
                                    .msgsize = q->layout.msgsize};
    char path[PATH_MAX];
    struct mqxi_stat st;
    unsigned token = mqxi_op_enter();

    out.curmsgs = mqxi_count(r->attached->queue);
    mqxi_op_leave(token);
    out.bytes = attached_bytes(r->attached);
    if (mqxi_path(MQXI_QUEUES, "", path) == 0 && mqxi_sys_stat(AT_FDCWD, path, &st) == 0)
        out.dev = st.dev;
    fuse_reply_ioctl(request, 0, &out, sizeof(out));
}

static int unwait(struct remote *r, fuse_req_t request, const struct mqxi_remote_wait *in)
{
    pid_t tid = fuse_req_ctx(request)->pid;
    bool message = in->direction == MQXI_FOR_MESSAGE;

    waiter_remove(r, r->attached, tid, message ? FOR_MESSAGE : FOR_ROOM, true);
    if (!message)
        drop_staged(find_staged(r, tid));
    return 0;
}

/* Requests that are answered with 0 or an error. */
static int simple(struct remote *r, fuse_req_t request, unsigned number, const void *in)
{
    switch (number) {
    case MQXI_ACCEPT:
        return accept_it(r, request, in);
    case MQXI_BELL:
        return bell_register(fuse_req_ctx(request), in);
    case MQXI_WAIT:
        return waiter_add(r, r->attached, fuse_req_ctx(request), in);
    case MQXI_UNWAIT:
        return unwait(r, request, in);
    case MQXI_NOTIFY:
        return registered_notify(r->attached, fuse_req_ctx(request), in);
    default:
        return -ENOTTY;
    }
}

/* How much of `in` there must be at least. */
static size_t least(unsigned number)
{
    switch (number) {
    case MQXI_STAGE:
        return offsetof(struct mqxi_remote_stage, data);
    case MQXI_SEND:
        return offsetof(struct mqxi_remote_send, data);
    case MQXI_RECEIVE:
        return sizeof(struct mqxi_remote_receive);
    case MQXI_MORE:
        return sizeof(struct mqxi_remote_more);
    case MQXI_ACCEPT:
        return sizeof(uint64_t);
    case MQXI_BELL:
        return sizeof(struct mqxi_remote_bell);
    case MQXI_WAIT:
    case MQXI_UNWAIT:
        return sizeof(struct mqxi_remote_wait);
    case MQXI_NOTIFY:
        return sizeof(struct mqxi_remote_notify);
    default:
        return 0;
    }
}

void remote_control(struct remote *r, fuse_req_t request, unsigned command, const void *in,
                    size_t in_size, size_t out_size)
{
    unsigned number = _IOC_NR(command);
    int e;

    if (_IOC_TYPE(command) != 'q' || in_size < least(number) ||
        (number == MQXI_STATE && out_size < sizeof(struct mqxi_remote_state)) ||
        (number == MQXI_RECEIVE && out_size < sizeof(struct mqxi_remote_receive))) {
        fuse_reply_err(request, ENOTTY);
        return;
    }
    switch (number) {
    case MQXI_STATE:
        state(r, request);
        return;
    case MQXI_SEND:
        send(r, request, in, in_size - least(number));
        return;
    case MQXI_RECEIVE:
        receive(r, request, in);
        return;
    case MQXI_MORE:
        more(r, request, in, out_size);
        return;
    default:
        e = number == MQXI_STAGE ? stage(r, request, in, in_size - least(number))
                                 : simple(r, request, number, in);
    }
    if (e < 0)
        fuse_reply_err(request, -e);
    else
        fuse_reply_ioctl(request, 0, NULL, 0);
}

/* What the dead left. */
static void tidy(struct remote *r)
{
    for (struct held *h = r->held, *next; h; h = next) {
        next = h->next;
        if (caller_has_ended(h->tid))
            settle(r, h, false);
    }
    for (struct staged **link = &r->staged; *link;)
        if (caller_is_dead((*link)->tid))
            drop_staged(link);
        else
            link = &(*link)->next;
}

void remote_tick(void)
{
    remote_each(tidy);
    doorbell_tick();
    polled_tick();
}

/* Is the queue open so elsewhere, too? */
static bool shared(const struct remote *r)
{
    const struct remote *other = remotes;

    while (other && (other == r || other->attached != r->attached))
        other = other->next;
    return other;
}

void remote_close(struct remote *r)
{
    while (r->held)
        settle(r, r->held, false);
    while (r->staged)
        drop_staged(&r->staged);
    waiter_remove_all(r, r->attached);
    polled_forget(r);
    if (!shared(r))
        registered_nobody(r->attached);
    *(r->previous ? &r->previous->next : &remotes) = r->next;
    if (r->next)
        r->next->previous = r->previous;
    free(r);
}

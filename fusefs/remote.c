/*
 * The queue of one user, used by another's process through libmqx: mq_send and
 * mq_receive by ioctl.  Whether the caller may was decided when he opened the
 * file; of a System V queue it is at each call (calls.c).
 *
 * Messages go out in two steps (handed.c).  A large one comes in parts that are
 * put together here.  They belong to threads: an open file may be shared by many.
 */
#include "remote.h"

#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "calls.h"
#include "disk.h"
#include "doorbell.h"
#include "engine.h"
#include "handed.h"
#include "held.h"
#include "names.h"
#include "parked.h"
#include "polled.h"
#include "registered.h"
#include "sys.h"
#include "thread.h"

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

static int too_long(const struct remote *r)
{
    return is_call(r) ? -EINVAL : -EMSGSIZE;
}

static int stage(struct remote *r, fuse_req_t request, const struct mqxi_remote_stage *in,
                 size_t size)
{
    pid_t tid = fuse_req_ctx(request)->pid;
    struct staged **link = find_staged(r, tid), *s;

    if (!r->writable)
        return -EBADF;
    if (in->len > r->attached->queue->layout.msgsize)
        return too_long(r);
    if (!call_permitted(r, request, MQXI_MAY_WRITE))
        return -EACCES;
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
    struct parked p = {
        .attached = r->attached,
        .request = request,
        .control = true,
        .stored.nonblock = in->nonblock,
        .deadline = {in->deadline_sec > 0 ? in->deadline_sec : 0, in->deadline_nsec % 1000000000}};

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

/* May it be sent?  Of a message that is too long, the kernel does not ask whose it is. */
static int check_send(const struct remote *r, fuse_req_t request, const struct mqxi_remote_send *in)
{
    return in->prio >= MQXI_PRIO_MAX                      ? -EINVAL
           : !r->writable                                 ? -EBADF
           : in->len > r->attached->queue->layout.msgsize ? too_long(r)
           : is_call(r) && (in->sysv.type < 1 || in->prio)
               ? -EINVAL
               : call_check(r, request, &in->sysv, MQXI_MAY_WRITE);
}

static int put(struct remote *r, const struct mqxi_sender *from, const struct mqxi_remote_send *in,
               const void *data, uint32_t *slot, uint64_t *key)
{
    struct mqxi_queue *q = r->attached->queue;
    unsigned token = mqxi_op_enter();
    int e = mqxi_put_from(q, from, data, in->len, in->prio, in->sysv.type, slot, key);

    if (e == -EAGAIN && try_again(q))
        e = mqxi_put_from(q, from, data, in->len, in->prio, in->sysv.type, slot, key);
    if (e < 0 && is_call(r) && mqxi_held_removed(q))
        e = -EIDRM;
    mqxi_op_leave(token);
    return e;
}

static void send(struct remote *r, fuse_req_t request, const struct mqxi_remote_send *in,
                 size_t size)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(request);
    struct staged **staged = find_staged(r, ctx->pid);
    const uint8_t *data = message(in, size, *staged);
    struct mqxi_sender from;
    uint32_t slot = 0;
    uint64_t key = 0;
    int e = check_send(r, request, in);

    if (e == 0 && !data)
        e = -EINVAL;
    if (e == 0) {
        from = caller_identify(ctx, in->caller);
        e = put(r, &from, in, data, &slot, &key);
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

static int wait_for(struct remote *r, fuse_req_t request, const struct mqxi_remote_wait *in)
{
    unsigned right = in->direction == MQXI_FOR_MESSAGE ? MQXI_MAY_READ : MQXI_MAY_WRITE;
    int e = call_check(r, request, &in->sysv, right);

    return e < 0 ? e : waiter_add(r, r->attached, fuse_req_ctx(request), in);
}

/* Requests that are answered with 0 or an error. */
static int simple(struct remote *r, fuse_req_t request, unsigned number, const void *in)
{
    switch (number) {
    case MQXI_ACCEPT:
        return hand_settled(r, request, *(const uint64_t *)in, true);
    case MQXI_REJECT:
        return hand_settled(r, request, *(const uint64_t *)in, false);
    case MQXI_BELL:
        return bell_register(fuse_req_ctx(request), in);
    case MQXI_WAIT:
        return wait_for(r, request, in);
    case MQXI_UNWAIT:
        return unwait(r, request, in);
    case MQXI_NOTIFY:
        return is_call(r) ? -ENOTTY : registered_notify(r->attached, fuse_req_ctx(request), in);
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
    case MQXI_REJECT:
        return sizeof(uint64_t);
    case MQXI_BELL:
        return sizeof(struct mqxi_remote_bell);
    case MQXI_WAIT:
    case MQXI_UNWAIT:
        return sizeof(struct mqxi_remote_wait);
    case MQXI_NOTIFY:
        return sizeof(struct mqxi_remote_notify);
    case MQXI_CONTROL:
        return sizeof(struct mqxi_remote_control);
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
        (number == MQXI_RECEIVE && out_size < sizeof(struct mqxi_remote_receive)) ||
        (number == MQXI_CONTROL && out_size < sizeof(struct mqxi_remote_control))) {
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
        hand_over(r, request, in);
        return;
    case MQXI_MORE:
        hand_more(r, request, in, out_size);
        return;
    case MQXI_CONTROL:
        call_control(r, request, in);
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
    hand_back_from_dead(r);
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
    hand_back_all(r);
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

/*
 * Another user's System V queue.  The kernel's decision at open means nothing here: the file
 * is open to everybody, and whether a call is permitted depends on the queue's owner, creator
 * and mode and on the caller's user, groups and capabilities at the call.
 */
#include "calls.h"

#include "anyname.h"
#include "caller.h"
#include "held.h"
#include "msqids.h"
#include "parked.h"
#include "thread.h"

bool call_permitted(const struct remote *r, fuse_req_t request, unsigned right)
{
    struct caller who;
    unsigned token, rights;

    if (!is_call(r))
        return true;
    caller_begin(&who, fuse_req_ctx(request));
    token = mqxi_op_enter();
    rights = mqxi_msq_rights(r->attached->queue, &who.asker, right);
    mqxi_op_leave(token);
    caller_end(&who);
    return rights;
}

int call_check(const struct remote *r, fuse_req_t request, const struct mqxi_remote_sysv *said,
               unsigned right)
{
    const struct mqxi_queue *q = r->attached->queue;
    unsigned token;
    bool removed;

    if (is_call(r) != (said->flags & MQXI_SYSV_CALL))
        return -EBADF;
    if (!is_call(r))
        return 0;
    if (said->id != q->id)
        return -ENOTCONN;
    token = mqxi_op_enter();
    removed = mqxi_held_removed(q);
    mqxi_op_leave(token);
    return removed ? -EIDRM : right && !call_permitted(r, request, right) ? -EACCES : 0;
}

struct mqxi_choice call_choice(const struct mqxi_remote_sysv *said, uint32_t room)
{
    struct mqxi_choice c =
        mqxi_choice_of((long)said->type, said->flags & MQXI_SYSV_CUT ? UINT32_MAX : room);

    if (said->flags & MQXI_SYSV_EXCEPT && said->type > 0)
        c.mode = MQXI_OTHER;
    c.fault = said->flags & MQXI_SYSV_NOWHERE;
    return c;
}

static int get(const struct mqxi_queue *q, const struct mqxi_asker *who, uint32_t flags)
{
    unsigned wanted = (flags >> 6 | flags >> 3 | flags) & 7;

    return mqxi_msq_rights(q, who, wanted) == wanted ? 0 : -EACCES;
}

static int control(struct mqxi_queue *q, const struct mqxi_asker *who,
                   struct mqxi_remote_control *c)
{
    unsigned wanted = c->command == MQXI_IPC_STAT ? MQXI_MAY_READ : MQXI_MAY_READ | MQXI_MAY_WRITE;

    switch (c->command) {
    case MQXI_MSGGET:
        return get(q, who, c->flags);
    case MQXI_IPC_SET:
        return mqxi_msq_set(q, &c->state, who);
    case MQXI_IPC_RMID:
        return mqxi_msq_owns(q, who) ? mqxi_msqid_remove(q) : -EPERM;
    case MQXI_STAT_ANY:
    case MQXI_COUNT:
        break;
    case MQXI_IPC_STAT:
    case MQXI_ANYTHING:
        if (!mqxi_msq_rights(q, who, wanted))
            return -EACCES;
        break;
    default:
        return -ENOTTY;
    }
    if (c->command != MQXI_ANYTHING)
        mqxi_msq_describe(q, &c->state);
    return 0;
}

void call_control(struct remote *r, fuse_req_t request, const struct mqxi_remote_control *in)
{
    struct mqxi_remote_control out = *in;
    struct mqxi_queue *q = r->attached->queue;
    struct caller who;
    unsigned token;
    int e = call_check(r, request, &in->sysv, 0);

    if (e == 0) {
        caller_begin(&who, fuse_req_ctx(request));
        token = mqxi_op_enter();
        e = control(q, &who.asker, &out);
        if (e == 0 && atomic_load(&q->dead))
            e = -EIO;
        mqxi_op_leave(token);
        caller_end(&who);
    }
    if (e == 0 && (in->command == MQXI_IPC_SET || in->command == MQXI_IPC_RMID)) {
        parked_due(r->attached, FOR_MESSAGE); /* who waits may not do so any more */
        parked_due(r->attached, FOR_ROOM);
    }
    if (e < 0)
        fuse_reply_err(request, -e);
    else
        fuse_reply_ioctl(request, 0, &out, sizeof(out));
}

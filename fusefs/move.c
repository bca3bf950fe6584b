/*
 * The message is taken from its queue, sent to the other, and only then consumed.
 * Should mqxfs be killed in between it is in both: the other order would lose it.  A
 * mv that is killed changes nothing: what it asked for is done as a whole or not at
 * all.  Where the other queue is sync-durable, it is consumed when that has it on disk,
 * and goes back if that cannot be; but mv does not wait for it: the kernel locks both
 * directories for so long.
 *
 * It is sent by who moves it: what a queue's owner wrote into its memory about the
 * sender is not passed on.
 */
#include "move.h"

#include <stdlib.h>

#include "alias.h"
#include "disk.h"
#include "durable.h"
#include "held.h"
#include "messages.h"
#include "parked.h"
#include "repair.h"
#include "sysv.h"
#include "thread.h"

struct move {
    struct attached *from, *to;
    struct mqxi_taken taken;
    uint32_t slot; /* where it went */
    uint64_t key;
};

static void forget(struct move *m)
{
    attached_put(m->from);
    attached_put(m->to);
    free(m);
}

static void settle(struct move *m, bool moved)
{
    struct mqxi_queue *q = m->from->queue;
    unsigned token = mqxi_op_enter();

    if (moved)
        mqxi_take_commit(q, &m->taken);
    else
        mqxi_take_abort(q, &m->taken);
    mqxi_op_leave(token);
    parked_due(m->from, moved ? FOR_ROOM : FOR_MESSAGE);
}

void move_end(struct move *m, bool moved)
{
    settle(m, moved && !atomic_load(&m->to->queue->dead));
    forget(m);
}

static int check(const struct move *m)
{
    const struct mqxi_queue *from = m->from->queue, *to = m->to->queue;

    if (from == to)
        return -EPERM; /* it has its place there */
    if (is_sysv(m->from) != is_sysv(m->to))
        return -EOPNOTSUPP; /* there it could not have its priority, or its type */
    return atomic_load(&to->header->durable) == MQXI_DURABLE_SYNC && !mqxi_mqxd_alive(to->uid)
               ? -ESRCH
               : 0;
}

static int put(struct move *m, const struct fuse_ctx *caller)
{
    const struct mqxi_sender by = {(uint32_t)caller->pid, caller->uid};
    const struct mqxi_taken *t = &m->taken;
    struct mqxi_queue *q = m->to->queue;

    if (is_sysv(m->to) && mqxi_held_removed(q))
        return -EIDRM;
    return mqxi_put_from(q, &by, t->data, t->len, t->prio, is_sysv(m->to) ? t->type : 0, &m->slot,
                         &m->key);
}

/* Take it, and send it: it then is in both queues. */
static int copy(struct move *m, const struct fuse_ctx *caller, const char *name)
{
    unsigned token = mqxi_op_enter();
    bool swept = false;
    uint64_t key;
    int r = message_key(m->from->queue, name, &key);

    if (r == 0)
        r = message_take(m->from, key, &m->taken);
    if (r == 0) {
        r = put(m, caller);
        if (r == -EAGAIN && mqxi_repair_sometimes(m->to->queue, &swept) == 0 && swept)
            r = put(m, caller);
        /* What vanished under our hands was not read. */
        if (r == 0 && atomic_load(&m->from->queue->dead))
            r = -EIO;
        if (r < 0)
            settle(m, false);
    }
    mqxi_op_leave(token);
    return r;
}

static int prepare(fuse_req_t request, struct move *m, const struct node *from,
                   const struct node *to)
{
    int r = folder_enter(request, from, 4, &m->from);

    if (r < 0)
        return r;
    r = folder_enter(request, to, 2, &m->to);
    if (r < 0)
        attached_put(m->from);
    return r;
}

void move_message(fuse_req_t request, const struct node *from, const char *name,
                  const struct node *to, const char *new_name)
{
    struct move *m = calloc(1, sizeof(*m));
    int r = m ? prepare(request, m, from, to) : -ENOMEM;

    if (r < 0) {
        free(m);
        fuse_reply_err(request, -r);
        return;
    }
    r = check(m);
    if (r == 0)
        r = copy(m, fuse_req_ctx(request), name);
    if (r < 0) {
        forget(m);
        fuse_reply_err(request, -r);
        return;
    }
    alias_note(m->to->queue->ino, new_name, m->key);
    parked_due(m->to, FOR_MESSAGE);
    if (mqxi_stored_wanted(m->to->queue))
        disk_wait(&(struct parked){.attached = m->to, .move = m}, m->slot, m->key);
    else
        move_end(m, true);
    fuse_reply_err(request, 0);
}

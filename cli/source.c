/*
 * Taking messages so that they are consumed later, or not: mq_receive cannot do
 * that, the engine can, and so can mqxfs for queues of others.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "anyname.h"
#include "guard.h"
#include "handles.h"
#include "held.h"
#include "mqx.h"
#include "msqs.h"
#include "remote.h"
#include "repair.h"
#include "stored.h"
#include "thread.h"
#include "wait.h"
#include "withdraw.h"

/* How long a sleep lasts before it is time to look for what the dead left. */
#define LOOK_NS UINT64_C(1000000000)

static int take_remote(const struct source *s, const struct timespec *deadline, char *data,
                       struct mqxi_taken *taken)
{
    ssize_t n = mqxi_remote_take(s->mq, data, s->msgsize, &taken->prio, deadline, &taken->key);

    taken->len = n < 0 ? 0 : (uint32_t)n;
    return n < 0 ? (int)n : 0;
}

static int take_local(const struct source *s, struct mqxi_taken *taken)
{
    int r;

    if (!s->sysv)
        return mqxi_take(s->q, taken);
    r = mqxi_take_chosen(s->q, &s->choice, taken);
    return r < 0 && mqxi_held_removed(s->q) ? -EIDRM : r;
}

int source_take(const struct source *s, const struct timespec *deadline, char *data,
                struct mqxi_taken *taken)
{
    struct mqxi_queue *q = s->q;
    _Atomic uint32_t *event;

    if (!q)
        return take_remote(s, deadline, data, taken);
    event = &q->header->recv_event;
    for (;;) {
        unsigned token = mqxi_op_enter();
        int r = take_local(s, taken);

        /* Nothing comes: is it because somebody died who had a message? */
        if (r == -EAGAIN && mqxi_event_read(event) == taken->seen) {
            r = mqxi_guard_check(q);
            if (r == 0)
                r = mqxi_repair(q, NULL);
            if (r == 0)
                r = take_local(s, taken);
        }
        if (r == 0)
            memcpy(data, taken->data, taken->len);
        mqxi_op_leave(token);
        if (r != -EAGAIN || s->nonblock)
            return r;
        r = mqxi_event_sleep(event, taken->seen, deadline, LOOK_NS, false);
        if (r < 0 && r != -EINTR)
            return r;
    }
}

int source_leave(const struct source *s, const struct timespec *deadline, bool wait,
                 const struct mqxi_taken *taken)
{
    struct mqxi_stored stored = {.q = s->q,
                                 .slot = taken->slot,
                                 .key = taken->key,
                                 .leaving = true,
                                 .deadline = deadline,
                                 .nonblock = !wait};
    unsigned token;
    int r;

    if (!s->q || !mqxi_stored_receives(s->q))
        return 0;
    token = mqxi_op_enter();
    r = mqxi_take_leave(s->q, taken);
    mqxi_op_leave(token);
    if (r == 0)
        r = mqxi_stored_wait(&stored, true);
    token = mqxi_op_enter();
    if (r < 0)
        mqxi_take_abort(s->q, taken);
    mqxi_op_leave(token);
    return r;
}

int source_settle(const struct source *s, const struct mqxi_taken *taken, bool consumed)
{
    unsigned token;
    int r;

    if (!s->q)
        return consumed ? mqxi_remote_accept(s->mq, taken->key)
                        : mqxi_remote_reject(s->mq, taken->key);
    token = mqxi_op_enter();
    r = consumed ? mqxi_take_commit(s->q, taken) : mqxi_take_abort(s->q, taken);
    mqxi_op_leave(token);
    return r;
}

/* The queue behind a descriptor; as long as that is open, which it stays. */
static int find_queue(struct source *s)
{
    unsigned access, token = mqxi_op_enter();
    int r = mqxi_handle_get(s->mq, &s->q, &access);
    struct mq_attr attr;

    mqxi_op_leave(token);
    if (r == -EREMOTE)
        s->q = NULL;
    else if (r < 0)
        return r;
    if (mqx_getattr(s->mq, &attr) < 0)
        return -errno;
    s->msgsize = (size_t)attr.mq_msgsize;
    return 0;
}

static int open_sysv(long type, struct source *s)
{
    struct mqxi_asker self = mqxi_msqs_self();
    int r = mqxi_name_attach(s->name + 1, &s->q);

    if (r < 0)
        return r;
    if (!mqxi_msq_rights(s->q, &self, MQXI_MAY_READ))
        return -EACCES;
    s->choice = mqxi_choice_of(type, UINT32_MAX);
    s->msgsize = s->q->layout.msgsize;
    return 0;
}

int source_open(const char *name, long type, bool nonblock, struct source *s)
{
    *s = (struct source){.name = name, .nonblock = nonblock, .sysv = mqxi_name_is_sysv(name + 1)};
    if (s->sysv)
        return open_sysv(type, s);
    s->mq = mqx_open(name, O_RDONLY | (nonblock ? O_NONBLOCK : 0));
    return s->mq == (mqd_t)-1 ? -errno : find_queue(s);
}

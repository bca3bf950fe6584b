/*
 * The part of <sys/msg.h> that makes and uses queues: what Linux's msgget, msgsnd and
 * msgrcv check, in its order, and their errors.  The queue itself is the engine's.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/msg.h>

#include "block.h"
#include "choose.h"
#include "conf.h"
#include "durable.h"
#include "engine.h"
#include "files.h"
#include "held.h"
#include "kernel_limits.h"
#include "msqids.h"
#include "msqs.h"
#include "posix.h"
#include "remote_sysv.h"
#include "stored.h"
#include "sys.h"
#include "thread.h"
#include "tidy.h"

/* What musl's header does not have. */
#ifndef MSG_EXCEPT
#define MSG_EXCEPT 020000
#endif
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

/* How often msgget begins again when others create and remove the queue meanwhile. */
#define ATTEMPTS 1000
/* And when it may not, perhaps because another user is removing the one before, or died at it. */
#define REFUSALS 50
/* Messages that a queue has room for, where the configuration does not say. */
#define SLOTS 65536u

/* --- msgget -------------------------------------------------------------------------------------
 */

/* Attached, it stays so for the calls that follow. */
static int keep(struct mqxi_queue *q)
{
    int id = q->id, r = mqxi_msqs_add(q);

    return r < 0 ? r : id;
}

static int check_durable(key_t key, enum mqxi_durable durable, uid_t uid)
{
    char name[32];

    snprintf(name, sizeof(name), ".sysv/0x%08x", (unsigned)key); /* as in mqx.conf */
    return mqxi_check_durable(name, durable, uid);
}

static int create(key_t key, int flags)
{
    struct mqxi_limits_sysv limits;
    struct mqxi_policy policy;
    struct mqxi_queue *q;
    int r = mqxi_conf_sysv(key, &policy);

    if (r == 0)
        r = check_durable(key, policy.durable, (uid_t)MQXI_SYS(SYS_geteuid));
    if (r < 0)
        return r;
    mqxi_limits_sysv(mqxi_limits_kernel(policy.kernel_limits), &limits);
    r = mqxi_msqid_create(
        &(struct mqxi_msqid_new){.key = key,
                                 .mode = (uint32_t)flags & 0777,
                                 .maxmsg = policy.maxmsg ? policy.maxmsg : SLOTS,
                                 .msgsize = policy.msgsize ? policy.msgsize : limits.msgmax,
                                 .qbytes = limits.msgmnb,
                                 .most = limits.msgmni,
                                 .durable = policy.durable,
                                 .sync = policy.sync},
        &q);
    if (r < 0)
        return r;
    mqxi_tidy_sometimes();
    if (policy.durable != MQXI_DURABLE_OFF)
        mqxi_durable_rescan(q->uid);
    return keep(q);
}

/* May the caller have it with the permissions that these flags ask for? */
static int check_found(const struct mqxi_queue *q, int flags)
{
    unsigned wanted = ((unsigned)flags >> 6 | (unsigned)flags >> 3 | (unsigned)flags) & 7;
    struct mqxi_asker self = mqxi_msqs_self();

    if (flags & IPC_CREAT && flags & IPC_EXCL)
        return -EEXIST;
    if (mqxi_msq_rights(q, &self, wanted) != wanted)
        return -EACCES;
    return q->id;
}

/* The id of the queue with this key.  -ENOENT. */
static int find(key_t key, int flags)
{
    struct mqxi_queue *q;
    unsigned token;
    int id, r = mqxi_msqid_of(key, &id);

    if (r < 0)
        return r;
    r = mqxi_msqs_enter(id, &q, &token);
    if (r == -EINVAL) { /* removed, or its creator has yet to say that it is there */
        r = mqxi_msqid_attach_key(key, &q);
        r = r < 0 ? r : mqxi_msqs_add(q);
    }
    if (r == 0) {
        r = check_found(q, flags);
        mqxi_op_leave(token);
        return r;
    }
    mqxi_op_leave(token);
    if (r == -EACCES) /* another user's */
        r = mqxi_remote_msgget(key, id, flags);
    return r;
}

static int get(key_t key, int flags)
{
    bool creating = key == IPC_PRIVATE || flags & IPC_CREAT, again = true;
    int r = -ENOENT, refused = 0;

    for (int i = 0; again && i < ATTEMPTS; i++) {
        r = key == IPC_PRIVATE ? -ENOENT : find(key, flags);
        again = false;
        if (r == -ENOENT && creating) {
            r = create(key, flags);
            /* Another process created it after we looked, or we stood still for so long that what
             * we had built was tidied away. */
            again = r == -EEXIST || r == -ENOENT;
            if (r == -EACCES && key != IPC_PRIVATE && refused++ < REFUSALS) {
                mqxi_remote_clear_key(key);
                again = true;
            }
        }
        if (r == -ENOMEM)
            again = mqxi_msqs_make_room();
    }
    return r;
}

int mqx_msgget(key_t key, int flags)
{
    int state, r;

    mqxi_msqs_forget_rights();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* opendir and fopen may be points */
    r = get(key, flags);
    mqxi_queue_settle();
    pthread_setcancelstate(state, NULL);
    return (int)mqxi_result(r);
}

/* --- msgsnd and msgrcv --------------------------------------------------------------------------
 */

/* A send or a receive under way. */
struct transfer {
    struct mqxi_call call;
    /* Sending */
    const uint8_t *text;
    uint32_t len, slot;
    int64_t type;
    uint64_t key;
    /* Receiving */
    struct mqxi_choice choice;
    uint8_t *buffer; /* a struct msgbuf */
    size_t room;     /* for its text */
    struct mqxi_taken taken;
    bool leaving; /* it is to be consumed when the disk does not have it any more */
};

/* Before each attempt: the queue may have changed hands, or be gone. */
static inline int check(struct mqxi_queue *q, unsigned right)
{
    if (__builtin_expect(!(mqxi_msqs_rights(q) & right), 0))
        return -EACCES;
    return __builtin_expect(mqxi_held_removed(q), 0) ? -EIDRM : 0;
}

/* Whatever went wrong with a queue that is removed is that. */
static ssize_t judge(const struct mqxi_queue *q, ssize_t r)
{
    return r < 0 && mqxi_held_removed(q) ? -EIDRM : r;
}

static ssize_t attempt_send(struct mqxi_call *call)
{
    struct transfer *t = (struct transfer *)call;
    int r = check(call->q, MQXI_MAY_WRITE);

    if (r < 0)
        return r;
    r = mqxi_put(call->q, t->text, t->len, 0, t->type, &t->slot, &t->key);
    if (r == -EAGAIN)
        call->seen = (uint32_t)t->key;
    return judge(call->q, r);
}

static ssize_t attempt_receive(struct mqxi_call *call)
{
    struct transfer *t = (struct transfer *)call;
    struct mqxi_taken taken;
    size_t len;
    int r = check(call->q, MQXI_MAY_READ);

    if (r < 0)
        return r;
    do { /* again only in a child that was forked by a signal handler right in here */
        long type;

        r = mqxi_take_chosen(call->q, &t->choice, &taken);
        call->seen = taken.seen;
        if (r < 0)
            return judge(call->q, r);
        type = (long)taken.type;
        len = taken.len < t->room ? taken.len : t->room;
        memcpy(t->buffer, &type, sizeof(type));
        if (len > 0)
            memcpy(t->buffer + sizeof(type), taken.data, len);
        /* A removed queue's messages are gone from when it is: what we read may be, too. */
        if (mqxi_held_removed(call->q)) {
            mqxi_take_abort(call->q, &taken);
            return -EIDRM;
        }
        if (__builtin_expect(mqxi_stored_receives(call->q), 0)) {
            t->leaving = true;
            t->taken = taken;
            break;
        }
        r = mqxi_take_commit(call->q, &taken);
    } while (r == -ESTALE);
    return r < 0 ? judge(call->q, r) : (ssize_t)len;
}

/* A reference, for who leaves the engine.  Where another thread used so many queues meanwhile that
 * this one had to go, it is attached anew. */
static int hold(struct mqxi_queue **q, unsigned *token)
{
    int r = 0, id = (*q)->id;

    while (r == 0 && !mqxi_queue_get(*q)) {
        if (mqxi_held_removed(*q))
            return -EIDRM;
        mqxi_op_leave(*token); /* there may be no address space for it until we do */
        r = mqxi_msqs_enter(id, q, token);
    }
    return r == -EINVAL ? -EIDRM : r;
}

/* The first attempt failed with -EAGAIN. */
static __attribute__((noinline)) ssize_t blocked(struct mqxi_call *call, int flags)
{
    ssize_t r = -EAGAIN;

    if (!(flags & IPC_NOWAIT)) {
        r = mqxi_block_look(call);
        if (r != -EAGAIN)
            return r;
        r = hold(&call->q, &call->token);
        if (r < 0)
            return r;
        call->looks = 0;
        call->slept = false;
        r = mqxi_block(call);
        mqxi_queue_put(call->q);
    }
    return r == -EAGAIN && mqxi_block_swept(call->q) ? call->attempt(call) : r;
}

/* From the first attempt on. */
static inline __attribute__((always_inline)) ssize_t
transfer(struct transfer *t, ssize_t (*attempt)(struct mqxi_call *call), int flags)
{
    ssize_t r;

    t->call.attempt = attempt;
    t->call.sending = attempt == attempt_send;
    t->call.restarts = false;
    t->call.deadline = NULL;
    r = attempt(&t->call);
    if (__builtin_expect(r == -EAGAIN, 0))
        r = blocked(&t->call, flags);
    mqxi_block_sent = t->call.sending;
    return r;
}

static ssize_t leave_early(int cancel, ssize_t error)
{
    mqxi_cancellable_end(cancel);
    return mqxi_result(error);
}

int mqx_msgsnd(int id, const void *message, size_t len, int flags)
{
    struct transfer t;
    int cancel = mqxi_cancellable_begin();
    ssize_t r = mqxi_nowhere(message) ? -EFAULT : 0;
    long type = 1;

    if (r == 0)
        memcpy(&type, message, sizeof(type));
    if (type < 1)
        r = -EINVAL;
    if (r < 0)
        return (int)leave_early(cancel, r);
    r = mqxi_msqs_enter(id, &t.call.q, &t.call.token);
    if (r == 0 && len > t.call.q->layout.msgsize)
        r = -EINVAL;
    if (__builtin_expect(r == 0, 1)) {
        t.text = (const uint8_t *)message + sizeof(type);
        t.len = (uint32_t)len;
        t.type = type;
        r = transfer(&t, attempt_send, flags);
        if (r == 0 && mqxi_stored_wanted(t.call.q))
            r = mqxi_block_stored(&t.call, flags & IPC_NOWAIT, t.slot, t.key);
    }
    mqxi_op_leave(t.call.token);
    if (__builtin_expect(r == -EACCES && !t.call.q, 0))
        r = mqxi_remote_msgsnd(id, (const uint8_t *)message + sizeof(type), len, type,
                               !(flags & IPC_NOWAIT));
    mqxi_queue_settle();
    mqxi_cancellable_end(cancel);
    return (int)mqxi_result(r);
}

/* Field by field: a struct that is made elsewhere and copied costs more than all the rest of this.
 */
static inline void choose(struct mqxi_choice *c, long type, int flags)
{
    c->type = type;
    if (__builtin_expect(type < 0, 0)) {
        c->mode = MQXI_LOWEST;
        c->type = type == LONG_MIN ? LONG_MAX : -type;
    } else {
        c->mode = type == 0 ? MQXI_ANY : flags & MSG_EXCEPT ? MQXI_OTHER : MQXI_EQUAL;
    }
}

static int check_flags(const void *message, size_t room, int flags)
{
    if (__builtin_expect(!(flags & MSG_COPY), 1))
        return 0;
    if (flags & MSG_EXCEPT || !(flags & IPC_NOWAIT))
        return -EINVAL;
    return room > 0 && mqxi_nowhere(message) ? -EFAULT : 0;
}

/* MSG_COPY: message number n, which stays. */
static ssize_t copy(struct mqxi_queue *q, uint8_t *buffer, size_t room, long n, int flags)
{
    struct mqxi_copy got;
    long type;
    int r = check(q, MQXI_MAY_READ);

    if (r == 0)
        r = n < 0 ? -EAGAIN
                  : mqxi_choose_copy(q, (uint64_t)n, buffer + sizeof(type),
                                     room < UINT32_MAX ? (uint32_t)room : UINT32_MAX, &got);
    if (r == -E2BIG && flags & MSG_NOERROR)
        return -EINVAL; /* it cannot be cut off */
    if (r < 0)
        return judge(q, r);
    if (mqxi_nowhere(buffer))
        return -EFAULT;
    type = (long)got.type;
    memcpy(buffer, &type, sizeof(type));
    return (ssize_t)got.len;
}

/* Another user's queue, which this process does not map. */
static __attribute__((noinline)) ssize_t receive_others(int id, void *message, size_t room,
                                                        long type, int flags)
{
    return mqxi_remote_msgrcv(id, message, room, type,
                              (flags & MSG_EXCEPT ? MQXI_SYSV_EXCEPT : 0) |
                                  (flags & MSG_NOERROR ? MQXI_SYSV_CUT : 0) |
                                  (flags & MSG_COPY ? MQXI_SYSV_COPY : 0) |
                                  (mqxi_nowhere(message) ? MQXI_SYSV_NOWHERE : 0),
                              !(flags & IPC_NOWAIT));
}

ssize_t mqx_msgrcv(int id, void *message, size_t room, long type, int flags)
{
    struct transfer t;
    int cancel = mqxi_cancellable_begin();
    ssize_t r = id < 0 || (ssize_t)room < 0 ? -EINVAL : check_flags(message, room, flags);

    if (__builtin_expect(r < 0, 0))
        return leave_early(cancel, r);
    r = mqxi_msqs_enter(id, &t.call.q, &t.call.token);
    if (__builtin_expect(r == 0 && flags & MSG_COPY, 0)) {
        r = copy(t.call.q, message, room, type, flags);
    } else if (__builtin_expect(r == 0, 1)) {
        choose(&t.choice, type, flags);
        t.choice.longest = flags & MSG_NOERROR || room > UINT32_MAX ? UINT32_MAX : (uint32_t)room;
        t.choice.fault = mqxi_nowhere(message);
        t.buffer = message;
        t.room = room;
        t.leaving = false;
        r = transfer(&t, attempt_receive, flags);
        if (__builtin_expect(t.leaving, 0)) {
            ssize_t left = mqxi_block_removed(&t.call, flags & IPC_NOWAIT, &t.taken);

            r = left < 0 ? judge(t.call.q, left) : r;
        }
    }
    mqxi_op_leave(t.call.token);
    if (__builtin_expect(r == -EACCES && !t.call.q, 0))
        r = receive_others(id, message, room, type, flags);
    mqxi_queue_settle();
    mqxi_cancellable_end(cancel);
    return mqxi_result(r == -EAGAIN ? -ENOMSG : r);
}

/* --- readiness ----------------------------------------------------------------------------------
 */

int mqx_msg_fd(int id)
{
    struct mqxi_queue *q = NULL;
    unsigned token;
    int r = mqxi_msqs_enter(id, &q, &token), fd = -1;

    if (r == 0)
        r = mqxi_msqs_rights(q) ? 0 : -EACCES;
    if (r == 0)
        r = hold(&q, &token);
    mqxi_op_leave(token);
    if (r == -EACCES && !q)
        r = fd = mqxi_remote_msg_fd(id);
    if (r < 0 || fd >= 0)
        return (int)mqxi_result(r);
    fd = mqxi_open_descriptor(q, O_RDWR);
    if (fd >= 0) {
        mqxi_file_opened(q, fd);
        r = mqxi_handle_set(fd, q, 0); /* nothing that mq_* could do with it */
    }
    if (fd < 0 || r < 0) {
        if (fd >= 0)
            mqxi_sys_close(fd);
        mqxi_queue_put(q);
    }
    return (int)mqxi_result(fd < 0 ? fd : r < 0 ? r : fd);
}

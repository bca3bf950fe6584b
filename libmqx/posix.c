/*
 * The part of <mqueue.h> that works on a descriptor: what Linux's mq_* check,
 * in its order, and its errors.  The queue itself is the engine's.
 */
#include <pthread.h>
#include <string.h>

#include "block.h"
#include "engine.h"
#include "files.h"
#include "notify.h"
#include "posix.h"
#include "remote.h"
#include "stored.h"
#include "sys.h"
#include "thread.h"
#include "wait.h"

/* --- send and receive ------------------------------------------------------------------------- */

/* A send or a receive under way. */
struct transfer {
    struct mqxi_call call;
    int fd;
    /* Sending */
    const char *msg;
    uint32_t len, prio, slot;
    uint64_t key;
    /* Receiving */
    char *buffer;
    unsigned *prio_out;
    struct mqxi_taken taken;
    bool leaving; /* it is to be consumed when the disk does not have it any more */
};

static ssize_t attempt_send(struct mqxi_call *call)
{
    struct transfer *t = (struct transfer *)call;
    int r = mqxi_put(t->call.q, t->msg, t->len, t->prio, 0, &t->slot, &t->key);

    if (r == -EAGAIN)
        t->call.seen = (uint32_t)t->key;
    return r;
}

static bool bad_prio(const struct transfer *t)
{
    return mqxi_nowhere(t->prio_out) && t->prio_out;
}

static ssize_t attempt_receive(struct mqxi_call *call)
{
    struct transfer *t = (struct transfer *)call;
    struct mqxi_taken taken;
    int r;

    do { /* again only in a child that was forked by a signal handler right in here */
        r = mqxi_take(t->call.q, &taken);
        t->call.seen = taken.seen;
        if (r < 0)
            return r;
        if (__builtin_expect((mqxi_nowhere(t->buffer) && taken.len > 0) || bad_prio(t), 0)) {
            mqxi_take_abort(t->call.q, &taken); /* the kernel loses the message here */
            return -EFAULT;
        }
        memcpy(t->buffer, taken.data, taken.len);
        if (t->prio_out)
            *t->prio_out = taken.prio;
        if (__builtin_expect(mqxi_stored_receives(t->call.q), 0)) {
            t->leaving = true;
            t->taken = taken;
            break;
        }
        r = mqxi_take_commit(t->call.q, &taken);
    } while (r == -ESTALE);
    return r < 0 ? r : (ssize_t)taken.len;
}

/*
 * The first attempt failed with -EAGAIN: wait, where that is wanted.  Whether it
 * is, only the kernel knows, since others may share the descriptor; where it was
 * the last time, a reply that comes at once saves asking.
 */
static __attribute__((noinline)) ssize_t transfer_blocked(struct transfer *t)
{
    ssize_t r = -EAGAIN;
    int flags;

    t->call.sending = t->call.attempt == attempt_send;
    t->call.restarts = true;
    if (atomic_load_explicit(&t->call.q->blocking, memory_order_relaxed))
        r = mqxi_block_look(&t->call);
    if (r != -EAGAIN)
        return r;
    flags = mqxi_sys_fcntl(t->fd, F_GETFL, 0);
    if (flags < 0 || !mqxi_file_still(t->fd, t->call.q))
        return -EBADF; /* closed unseen, and perhaps another file's number by now */
    atomic_store_explicit(&t->call.q->blocking, !(flags & O_NONBLOCK), memory_order_relaxed);
    if (!(flags & O_NONBLOCK)) {
        if (!mqxi_queue_get(t->call.q))
            return -EBADF; /* closed by another thread */
        t->call.looks = 0;
        t->call.slept = false;
        r = mqxi_block(&t->call);
        mqxi_queue_put(t->call.q);
    }
    /* At the deadline there may be something: another sleeper was woken for it, and stands still.
     */
    if (r == -EAGAIN || r == -ETIMEDOUT) {
        bool looked = mqxi_block_swept(t->call.q);
        ssize_t again = looked || r == -ETIMEDOUT ? t->call.attempt(&t->call) : r;

        return again == -EAGAIN ? r : again;
    }
    return r;
}

static int check_deadline(const struct timespec *deadline)
{
    if (!deadline)
        return 0;
    if (mqxi_nowhere(deadline))
        return -EFAULT;
    return deadline->tv_sec < 0 || deadline->tv_nsec < 0 || deadline->tv_nsec >= 1000000000
               ? -EINVAL
               : 0;
}

/* Another user's queue: outside the engine, since mqxfs may take its time. */
static __attribute__((noinline)) int send_remote(const struct transfer *t, unsigned access,
                                                 size_t len, unsigned prio, int type)
{
    int r = !(access & MQXI_WRITE) ? -EBADF : mqxi_nowhere(t->msg) && len > 0 ? -EFAULT : 0;

    mqxi_op_leave(t->call.token);
    if (r == 0)
        r = mqxi_remote_send(t->fd, t->msg, len, prio, t->call.deadline);
    mqxi_cancellable_end(type);
    return r;
}

static __attribute__((noinline)) ssize_t receive_remote(const struct transfer *t, unsigned access,
                                                        size_t len, int type)
{
    ssize_t r = !(access & MQXI_READ)                    ? -EBADF
                : mqxi_nowhere(t->buffer) || bad_prio(t) ? -EFAULT
                                                         : 0;

    mqxi_op_leave(t->call.token);
    if (r == 0)
        r = mqxi_remote_receive(t->fd, t->buffer, len, t->prio_out, t->call.deadline);
    mqxi_cancellable_end(type);
    return r;
}

/* It is sent, and shall be on disk. */
static __attribute__((noinline)) ssize_t send_stored(struct transfer *t)
{
    int flags = mqxi_sys_fcntl(t->fd, F_GETFL, 0);

    t->call.restarts = true;
    return mqxi_block_stored(&t->call, flags >= 0 && flags & O_NONBLOCK, t->slot, t->key);
}

int mqx_timedsend(mqd_t fd, const char *msg, size_t len, unsigned prio,
                  const struct timespec *deadline)
{
    struct transfer t;
    unsigned access;
    ssize_t r;
    int type;

    r = check_deadline(deadline);
    if (__builtin_expect(r < 0 || prio >= MQXI_PRIO_MAX, 0))
        return (int)mqxi_result(r < 0 ? r : -EINVAL);
    type = mqxi_cancellable_begin();
    t.call.token = mqxi_op_enter();
    r = mqxi_handle_get(fd, &t.call.q, &access);
    if (__builtin_expect(r < 0, 0)) {
        r = mqxi_file_queue(fd, &t.call.q, &access);
        if (r == -EREMOTE) {
            t = (struct transfer){
                .call = {.deadline = deadline, .token = t.call.token}, .fd = fd, .msg = msg};
            return (int)mqxi_result(send_remote(&t, access, len, prio, type));
        }
    }
    if (r == 0 && !(access & MQXI_WRITE))
        r = -EBADF;
    else if (r == 0 && len > t.call.q->layout.msgsize)
        r = -EMSGSIZE;
    else if (r == 0 && mqxi_nowhere(msg) && len > 0)
        r = -EFAULT;
    if (__builtin_expect(r == 0, 1)) {
        t.call.attempt = attempt_send;
        t.call.deadline = deadline;
        t.fd = fd;
        t.msg = msg;
        t.len = (uint32_t)len;
        t.prio = prio;
        r = attempt_send(&t.call);
        if (__builtin_expect(r == -EAGAIN, 0))
            r = transfer_blocked(&t);
        if (r == 0 && mqxi_stored_wanted(t.call.q))
            r = send_stored(&t);
        mqxi_block_sent = true;
    }
    mqxi_op_leave(t.call.token);
    mqxi_cancellable_end(type);
    return (int)mqxi_result(r);
}

int mqx_send(mqd_t fd, const char *msg, size_t len, unsigned prio)
{
    return mqx_timedsend(fd, msg, len, prio, NULL);
}

/* It was taken: len bytes. */
static __attribute__((noinline)) ssize_t receive_stored(struct transfer *t, ssize_t len)
{
    int flags = mqxi_sys_fcntl(t->fd, F_GETFL, 0);
    ssize_t r;

    t->call.restarts = true;
    r = mqxi_block_removed(&t->call, flags >= 0 && flags & O_NONBLOCK, &t->taken);
    return r < 0 ? r : len;
}

ssize_t mqx_timedreceive(mqd_t fd, char *buffer, size_t len, unsigned *prio,
                         const struct timespec *deadline)
{
    struct transfer t;
    unsigned access;
    ssize_t r;
    int type;

    r = check_deadline(deadline);
    if (__builtin_expect(r < 0, 0))
        return mqxi_result(r);
    type = mqxi_cancellable_begin();
    t.call.token = mqxi_op_enter();
    r = mqxi_handle_get(fd, &t.call.q, &access);
    if (__builtin_expect(r < 0, 0)) {
        r = mqxi_file_queue(fd, &t.call.q, &access);
        if (r == -EREMOTE) {
            t = (struct transfer){
                .call = {.deadline = deadline, .token = t.call.token}, .fd = fd, .buffer = buffer};
            t.prio_out = prio;
            return mqxi_result(receive_remote(&t, access, len, type));
        }
    }
    if (r == 0 && !(access & MQXI_READ))
        r = -EBADF;
    else if (r == 0 && len < t.call.q->layout.msgsize)
        r = -EMSGSIZE;
    if (__builtin_expect(r == 0, 1)) {
        t.call.attempt = attempt_receive;
        t.call.deadline = deadline;
        t.fd = fd;
        t.buffer = buffer;
        t.prio_out = prio;
        t.leaving = false;
        r = attempt_receive(&t.call);
        if (__builtin_expect(r == -EAGAIN, 0))
            r = transfer_blocked(&t);
        if (__builtin_expect(t.leaving, 0))
            r = receive_stored(&t, r);
        mqxi_block_sent = false;
    }
    mqxi_op_leave(t.call.token);
    mqxi_cancellable_end(type);
    return mqxi_result(r);
}

ssize_t mqx_receive(mqd_t fd, char *buffer, size_t len, unsigned *prio)
{
    return mqx_timedreceive(fd, buffer, len, prio, NULL);
}

/* --- attributes ------------------------------------------------------------------------------- */

static int remote_attr(int fd, int *flags, struct mq_attr *attr)
{
    struct mqxi_remote_state state;
    int r = mqxi_remote_state(fd, &state);

    *flags = mqxi_sys_fcntl(fd, F_GETFL, 0);
    if (r == 0 && attr)
        *attr = (struct mq_attr){.mq_flags = *flags & O_NONBLOCK,
                                 .mq_maxmsg = state.maxmsg,
                                 .mq_msgsize = state.msgsize,
                                 .mq_curmsgs = state.curmsgs};
    return *flags < 0 ? *flags : r;
}

/* Set (change) and read what was before, in the kernel as here one operation. */
static int exchange_attr(int fd, const struct mq_attr *change, struct mq_attr *before)
{
    /* Read first: both may be the same struct. */
    long wanted = change && !mqxi_nowhere(change) ? change->mq_flags : 0;
    struct mqxi_queue *q;
    unsigned access, token;
    int flags = 0, r;

    if (change && mqxi_nowhere(change))
        return -EFAULT;
    if (wanted & ~(long)O_NONBLOCK)
        return -EINVAL;
    if (before && mqxi_nowhere(before))
        return -EFAULT;
    token = mqxi_op_enter();
    r = mqxi_file_queue(fd, &q, &access);
    if (r == 0) {
        flags = mqxi_sys_fcntl(fd, F_GETFL, 0);
        r = flags < 0 ? flags : 0;
    }
    if (r == 0 && before)
        *before = (struct mq_attr){.mq_flags = flags & O_NONBLOCK,
                                   .mq_maxmsg = q->layout.maxmsg,
                                   .mq_msgsize = q->layout.msgsize,
                                   .mq_curmsgs = mqxi_count(q)};
    mqxi_op_leave(token);
    if (r == -EREMOTE)
        r = remote_attr(fd, &flags, before);
    if (r == 0 && change)
        r = mqxi_sys_fcntl(fd, F_SETFL, (flags & ~O_NONBLOCK) | (int)wanted);
    return r;
}

int mqx_getattr(mqd_t fd, struct mq_attr *attr)
{
    return (int)mqxi_result(exchange_attr(fd, NULL, attr));
}

int mqx_setattr(mqd_t fd, const struct mq_attr *newattr, struct mq_attr *oldattr)
{
    return (int)mqxi_result(exchange_attr(fd, newattr, oldattr));
}

/* What can be wrong with it comes before what can be wrong with the descriptor. */
static bool valid_event(const struct sigevent *event)
{
    switch (event->sigev_notify) {
    case SIGEV_NONE:
    case SIGEV_THREAD:
        return true;
    case SIGEV_SIGNAL:
        return event->sigev_signo >= 0 && event->sigev_signo < _NSIG; /* 0: nothing is sent */
    default:
        return false;
    }
}

int mqx_notify(mqd_t fd, const struct sigevent *notification)
{
    struct mqxi_queue *q;
    unsigned access, token;
    int r;

    if (notification && !valid_event(notification))
        return (int)mqxi_result(-EINVAL);
    token = mqxi_op_enter();
    r = mqxi_file_queue(fd, &q, &access);
    if (r == 0 && !mqxi_queue_get(q))
        r = -EBADF; /* closed by another thread */
    mqxi_op_leave(token);
    if (r == 0) {
        r = mqxi_notify_register(q, notification);
        mqxi_queue_put(q);
    } else if (r == -EREMOTE) {
        r = mqxi_remote_notify(fd, notification);
    }
    return (int)mqxi_result(r);
}

const char *mqx_version(void)
{
    return MQX_VERSION;
}

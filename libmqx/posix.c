/*
 * The part of <mqueue.h> that works on a descriptor: what Linux's mq_* check,
 * in its order, and its errors; waiting.  The queue itself is the engine's.
 */
#include <pthread.h>
#include <string.h>

#include "durable.h"
#include "engine.h"
#include "files.h"
#include "guard.h"
#include "notify.h"
#include "posix.h"
#include "remote.h"
#include "repair.h"
#include "signals.h"
#include "sys.h"
#include "thread.h"
#include "wait.h"

/* --- send and receive ------------------------------------------------------------------------- */

/*
 * How long a blocked call sleeps before it looks for itself whether somebody
 * died.  Claimed: when it saw slots that are being filled or emptied by processes
 * that live: they may die soon; twice as long each time, since one that is stopped
 * must not cost a crowd of sleepers much.  Few and long sleeps, since a handler that runs
 * just when one ends by itself is not noticed; and of odd length, since programs
 * interrupt themselves with alarm() after whole seconds.
 */
#define CLAIMED_NS UINT64_C(20000000)
#define AGAIN_NS   (UINT64_C(1000000000) + odd_ns())
#define LARGE      4096 /* slots: looking at these takes as long as a few system calls */

/* Up to half a second. */
static uint64_t odd_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint32_t)now.tv_nsec * 2654435761u) / 9u;
}

/*
 * A pointer to where no program has memory, the first and the last page: the
 * kernel's EFAULT, at the cost of one comparison.  Other wrong pointers crash, as
 * with any function of a library.
 */
static inline bool nowhere(const void *p)
{
    return (uintptr_t)p - MQXI_PAGE >= (uintptr_t)0 - 2 * (uintptr_t)MQXI_PAGE;
}

/* A send or a receive under way. */
struct transfer {
    ssize_t (*attempt)(struct transfer *t); /* without waiting; -EAGAIN: must wait */
    const struct timespec *deadline;        /* or NULL */
    struct mqxi_queue *q;
    int fd;
    unsigned token; /* of mqxi_op_enter */
    uint32_t seen;  /* what the event counter showed while the attempt failed */
    unsigned looks; /* for dead owners */
    bool slept;
    /* Sending */
    const char *msg;
    uint32_t len, prio, slot;
    uint64_t key;
    /* Receiving */
    char *buffer;
    unsigned *prio_out;
};

static ssize_t attempt_send(struct transfer *t)
{
    int r = mqxi_put(t->q, t->msg, t->len, t->prio, 0, &t->slot, &t->key);

    if (r == -EAGAIN)
        t->seen = (uint32_t)t->key;
    return r;
}

static ssize_t attempt_receive(struct transfer *t)
{
    struct mqxi_taken taken;
    int r;

    do { /* again only in a child that was forked by a signal handler right in here */
        r = mqxi_take(t->q, &taken);
        t->seen = taken.seen;
        if (r < 0)
            return r;
        if (__builtin_expect(nowhere(t->buffer) && taken.len > 0, 0)) {
            mqxi_take_abort(t->q, &taken); /* the kernel loses the message here */
            return -EFAULT;
        }
        memcpy(t->buffer, taken.data, taken.len);
        if (t->prio_out)
            *t->prio_out = taken.prio;
        r = mqxi_take_commit(t->q, &taken);
    } while (r == -ESTALE);
    return r < 0 ? r : (ssize_t)taken.len;
}

/* Where this call sleeps: the counter that whoever ends its waiting bumps. */
static _Atomic uint32_t *event_of(const struct transfer *t)
{
    return t->attempt == attempt_send ? &t->q->header->send_event : &t->q->header->recv_event;
}

/* The thread was cancelled in its sleep: it may have been the one sleeper that a signal woke. */
static void abandon(void *arg)
{
    struct transfer *t = arg;

    mqxi_event_wake(event_of(t), false);
    mqxi_queue_put(t->q);
}

/* Whether this thread's last transfer was a send: then it waits for a reply. */
static _Thread_local bool sent;

/*
 * How long the peer is left in peace before the first look.  A reply is wanted
 * at once.  Else this is one end of a stream, and a pause lets the other end do a
 * batch, instead of taking several cache lines from it for each message.
 */
static unsigned patience(const struct transfer *t)
{
    if (t->attempt == attempt_send)
        return MQXI_WAIT_DRAIN(t->q->layout.maxmsg);
    return sent ? MQXI_WAIT_REPLY : MQXI_WAIT_BATCH;
}

/* Look for a moment, and try again if something happened. */
static ssize_t look_again(struct transfer *t)
{
    struct mqxi_header *h = t->q->header;
    uint32_t peer = atomic_load_explicit(t->attempt == attempt_send ? &h->recv_cpu : &h->send_cpu,
                                         memory_order_relaxed);

    return mqxi_event_look(event_of(t), t->seen, peer, patience(t)) ? t->attempt(t) : -EAGAIN;
}

/*
 * Sleep, outside the engine; the caller holds a reference to the queue.  Where
 * a signal handler leaves by siglongjmp, that reference is lost, and all that
 * comes of it is that the queue stays mapped.
 */
static int sleep_outside(struct transfer *t, uint64_t longest_ns)
{
    int r;

    mqxi_op_leave(t->token);
    pthread_cleanup_push(abandon, t);
    r = mqxi_event_sleep(event_of(t), t->seen, t->deadline, longest_ns, true);
    pthread_cleanup_pop(0);
    t->token = mqxi_op_enter();
    return r;
}

/* Nothing for a while.  Is it because somebody died?  For a queue that may hold much, one sleeper
 * looks for all.  Says how long to sleep next. */
static int look_for_dead(struct transfer *t, uint64_t *longest)
{
    struct mqxi_queue *q = t->q;
    bool claims = false, swept;
    int r = t->slept ? mqxi_guard_check(q) : 0;

    *longest = AGAIN_NS;
    if (r < 0)
        return r;
    r = q->layout.maxmsg <= LARGE ? mqxi_repair(q, &claims) : mqxi_repair_sometimes(q, &swept);

    if (claims && t->looks < 6)
        *longest = CLAIMED_NS << t->looks++;
    return r;
}

/* Before each sleep. */
static ssize_t look_up(struct transfer *t, uint64_t *longest)
{
    ssize_t r;

    if (mqxi_event_read(event_of(t)) != t->seen) {
        *longest = AGAIN_NS;
        r = t->attempt(t);
        /* Somebody was faster; on a busy queue there is soon more. */
        return r == -EAGAIN ? look_again(t) : r;
    }
    r = look_for_dead(t, longest);
    return r < 0 ? r : t->attempt(t);
}

/* Wait until an attempt succeeds, the deadline passes, or a signal handler ran. */
static ssize_t wait_for(struct transfer *t)
{
    struct mqxi_alarm alarm = {0};

    for (;;) {
        uint64_t longest, mask = mqxi_signals_hold();
        bool rang = MQXI_ONLY_THREAD && mqxi_alarm_rang(&alarm);
        ssize_t r = look_up(t, &longest);
        bool interrupted = mqxi_signals_release(mask) || rang;

        if (r != -EAGAIN)
            return r;
        if (interrupted)
            return -EINTR;
        r = sleep_outside(t, longest);
        if (r < 0)
            return r;
        t->slept = true;
    }
}

/*
 * A program that only ever polls must also get what a dead process holds: at
 * once where looking costs next to nothing, else within a second or so.
 */
static bool looked_for_dead(struct mqxi_queue *q)
{
    bool swept = true;
    int r =
        q->layout.maxmsg <= MQXI_FRONT ? mqxi_repair(q, NULL) : mqxi_repair_sometimes(q, &swept);

    return r == 0 && swept;
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

    if (atomic_load_explicit(&t->q->blocking, memory_order_relaxed))
        r = look_again(t);
    if (r != -EAGAIN)
        return r;
    flags = mqxi_sys_fcntl(t->fd, F_GETFL, 0);
    if (flags < 0 || !mqxi_file_still(t->fd, t->q))
        return -EBADF; /* closed unseen, and perhaps another file's number by now */
    atomic_store_explicit(&t->q->blocking, !(flags & O_NONBLOCK), memory_order_relaxed);
    if (!(flags & O_NONBLOCK)) {
        if (!mqxi_queue_get(t->q))
            return -EBADF; /* closed by another thread */
        t->looks = 0;
        t->slept = false;
        r = wait_for(t);
        mqxi_queue_put(t->q);
    }
    /* At the deadline there may be something: another sleeper was woken for it, and stands still. */
    if (r == -EAGAIN || r == -ETIMEDOUT) {
        bool looked = looked_for_dead(t->q);
        ssize_t again = looked || r == -ETIMEDOUT ? t->attempt(t) : r;

        return again == -EAGAIN ? r : again;
    }
    return r;
}

static void let_go(void *queue)
{
    mqxi_queue_put(queue);
}

/* A sync queue: the message was sent, wait until it is on disk. */
static __attribute__((noinline)) int transfer_durable(struct transfer *t)
{
    int r;

    if (!mqxi_queue_get(t->q))
        return -EIO; /* closed by another thread; sent, but not known to be on disk */
    mqxi_op_leave(t->token);
    pthread_cleanup_push(let_go, t->q);
    r = mqxi_durable_wait(t->q, t->slot, t->key, t->deadline);
    pthread_cleanup_pop(0);
    t->token = mqxi_op_enter();
    mqxi_queue_put(t->q);
    return r;
}

/*
 * send and receive are cancellation points, and are not to be cancelled in the
 * middle, asynchronously, where they own a slot.  Nobody can cancel the only
 * thread of a process but itself, and it finds out when it waits.
 */
static inline int begin_cancellable(void)
{
    int type = PTHREAD_CANCEL_DEFERRED;

    if (!MQXI_ONLY_THREAD) {
        pthread_testcancel();
        pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    }
    return type;
}

static inline void end_cancellable(int type)
{
    if (__builtin_expect(type != PTHREAD_CANCEL_DEFERRED, 0))
        pthread_setcanceltype(type, NULL);
}

static int check_deadline(const struct timespec *deadline)
{
    if (!deadline)
        return 0;
    if (nowhere(deadline))
        return -EFAULT;
    return deadline->tv_sec < 0 || deadline->tv_nsec < 0 || deadline->tv_nsec >= 1000000000
               ? -EINVAL
               : 0;
}

/* Another user's queue: outside the engine, since mqxfs may take its time. */
static __attribute__((noinline)) int send_remote(const struct transfer *t, unsigned access,
                                                 size_t len, unsigned prio, int type)
{
    int r = !(access & MQXI_WRITE) ? -EBADF : nowhere(t->msg) && len > 0 ? -EFAULT : 0;

    mqxi_op_leave(t->token);
    if (r == 0)
        r = mqxi_remote_send(t->fd, t->msg, len, prio, t->deadline);
    end_cancellable(type);
    return r;
}

static __attribute__((noinline)) ssize_t receive_remote(const struct transfer *t, unsigned access,
                                                        size_t len, int type)
{
    ssize_t r = !(access & MQXI_READ) ? -EBADF : nowhere(t->buffer) ? -EFAULT : 0;

    mqxi_op_leave(t->token);
    if (r == 0)
        r = mqxi_remote_receive(t->fd, t->buffer, len, t->prio_out, t->deadline);
    end_cancellable(type);
    return r;
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
    type = begin_cancellable();
    t.token = mqxi_op_enter();
    r = mqxi_handle_get(fd, &t.q, &access);
    if (__builtin_expect(r < 0, 0)) {
        r = mqxi_file_queue(fd, &t.q, &access);
        if (r == -EREMOTE) {
            t = (struct transfer){.deadline = deadline, .fd = fd, .token = t.token, .msg = msg};
            return (int)mqxi_result(send_remote(&t, access, len, prio, type));
        }
    }
    if (r == 0 && !(access & MQXI_WRITE))
        r = -EBADF;
    else if (r == 0 && len > t.q->layout.msgsize)
        r = -EMSGSIZE;
    else if (r == 0 && nowhere(msg) && len > 0)
        r = -EFAULT;
    if (__builtin_expect(r == 0, 1)) {
        t.attempt = attempt_send;
        t.deadline = deadline;
        t.fd = fd;
        t.msg = msg;
        t.len = (uint32_t)len;
        t.prio = prio;
        r = attempt_send(&t);
        if (__builtin_expect(r == -EAGAIN, 0))
            r = transfer_blocked(&t);
        if (r == 0 &&
            atomic_load_explicit(&t.q->header->durable, memory_order_relaxed) == MQXI_DURABLE_SYNC)
            r = transfer_durable(&t);
        sent = true;
    }
    mqxi_op_leave(t.token);
    end_cancellable(type);
    return (int)mqxi_result(r);
}

int mqx_send(mqd_t fd, const char *msg, size_t len, unsigned prio)
{
    return mqx_timedsend(fd, msg, len, prio, NULL);
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
    type = begin_cancellable();
    t.token = mqxi_op_enter();
    r = mqxi_handle_get(fd, &t.q, &access);
    if (__builtin_expect(r < 0, 0)) {
        r = mqxi_file_queue(fd, &t.q, &access);
        if (r == -EREMOTE) {
            t = (struct transfer){
                .deadline = deadline, .fd = fd, .token = t.token, .buffer = buffer};
            t.prio_out = prio;
            return mqxi_result(receive_remote(&t, access, len, type));
        }
    }
    if (r == 0 && !(access & MQXI_READ))
        r = -EBADF;
    else if (r == 0 && len < t.q->layout.msgsize)
        r = -EMSGSIZE;
    if (__builtin_expect(r == 0, 1)) {
        t.attempt = attempt_receive;
        t.deadline = deadline;
        t.fd = fd;
        t.buffer = buffer;
        t.prio_out = prio;
        r = attempt_receive(&t);
        if (__builtin_expect(r == -EAGAIN, 0))
            r = transfer_blocked(&t);
        sent = false;
    }
    mqxi_op_leave(t.token);
    end_cancellable(type);
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
    long wanted = change && !nowhere(change) ? change->mq_flags : 0;
    struct mqxi_queue *q;
    unsigned access, token;
    int flags = 0, r;

    if (change && nowhere(change))
        return -EFAULT;
    if (wanted & ~(long)O_NONBLOCK)
        return -EINVAL;
    if (before && nowhere(before))
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

/*
 * mq_notify on other users' queues.  For the queue's users it is mqxfs that is
 * registered (libmqx/notify.c); when that fires, the process that asked for it
 * gets its signal from here, as it would from the kernel, or its bell is rung.
 *
 * It fires on a thread of libmqx's, or on ours, while we remove the
 * registration perhaps.  So what it needs is found by number, under a lock.
 */
#include "registered.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "doorbell.h"
#include "notify.h"
#include "notify_deliver.h"
#include "sys.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

struct registration {
    struct registration *next;
    uintptr_t number;
    struct attached *attached;
    uint32_t pid;
    uid_t uid;   /* who asked for it */
    int process; /* a pidfd */
    struct mqxi_remote_notify is;
    struct bell *bell; /* or NULL */
};

static struct registration *registrations; /* that did not fire */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Take it out of the list, if it is still there. */
static struct registration *take(bool (*wanted)(const struct registration *r, const void *arg),
                                 const void *arg)
{
    struct registration **link = &registrations, *r;

    pthread_mutex_lock(&lock);
    while (*link && !wanted(*link, arg))
        link = &(*link)->next;
    r = *link;
    if (r)
        *link = r->next;
    pthread_mutex_unlock(&lock);
    return r;
}

static bool has_number(const struct registration *r, const void *number)
{
    return r->number == *(const uintptr_t *)number;
}

static bool of_queue(const struct registration *r, const void *attached)
{
    return r->attached == attached;
}

static void drop(struct registration *r)
{
    mqxi_sys_close(r->process);
    if (r->bell)
        bell_put(r->bell);
    free(r);
}

/* Not to a process that became another user's since, as by executing a setuid program: as root we
 * may signal any, and who asked us must not get to what he may not signal himself. */
static void send_signal(const struct registration *r, struct mqxi_sender by)
{
    siginfo_t info;

    if (!caller_may_signal(r->uid, (pid_t)r->pid))
        return;

    memset(&info, 0, sizeof(info));
    info.si_signo = (int)r->is.signo;
    info.si_code = SI_MESGQ;
    info.si_pid = (pid_t)by.pid;
    info.si_uid = by.uid;
    info.si_value.sival_ptr = (void *)(uintptr_t)r->is.value;
    MQXI_SYS(SYS_pidfd_send_signal, r->process, r->is.signo, &info, 0);
}

static void fired(union sigval value, struct mqxi_sender by)
{
    uintptr_t number = (uintptr_t)value.sival_ptr;
    struct registration *r = take(has_number, &number);

    if (!r)
        return; /* it has just been removed */
    if (r->is.kind == MQXI_NOTIFY_SIGNAL && r->is.signo != 0)
        send_signal(r, by);
    else if (r->is.kind == MQXI_NOTIFY_RING)
        bell_ring(r->bell, r->is.word);
    drop(r);
}

/* It does not fire any more, or has fired. */
static void withdraw(struct attached *a)
{
    struct registration *r;

    /* First: what fired before this is sent by that, and needs to be found. */
    mqxi_notify_register(a->queue, NULL);
    r = take(of_queue, a);
    if (r)
        drop(r);
}

/* The process that is registered with this queue through us, or 0. */
static uint32_t holder(const struct attached *a)
{
    uint32_t pid = 0;

    pthread_mutex_lock(&lock);
    for (struct registration *r = registrations; r; r = r->next)
        if (r->attached == a)
            pid = r->pid;
    pthread_mutex_unlock(&lock);
    return pid;
}

static int prepare(struct attached *a, const struct fuse_ctx *ctx,
                   const struct mqxi_remote_notify *n, struct registration **out)
{
    static uintptr_t numbers;
    uint32_t pid = caller_identify(ctx, n->caller).pid;
    struct registration *r;
    int process;

    if (n->kind > MQXI_NOTIFY_RING || n->word >= MQXI_BELL_WORDS || n->signo >= _NSIG)
        return -EINVAL;
    process = (int)MQXI_SYS(SYS_pidfd_open, pid, 0);
    if (process < 0)
        return process == -EINVAL ? -ESRCH : process;
    /* Who may not signal others (a user's own mqxfs) is asked for nothing. */
    r = n->kind == MQXI_NOTIFY_SIGNAL &&
                MQXI_SYS(SYS_pidfd_send_signal, process, 0, NULL, 0) == -EPERM
            ? NULL
            : malloc(sizeof(*r));
    if (!r) {
        mqxi_sys_close(process);
        return -EPERM;
    }
    *r = (struct registration){
        .number = ++numbers, .attached = a, .pid = pid, .process = process, .is = *n};
    r->uid = ctx->uid;
    r->bell = n->kind == MQXI_NOTIFY_RING ? bell_get(ctx->uid, n->bell) : NULL;
    if (n->kind == MQXI_NOTIFY_RING && !r->bell) {
        drop(r);
        return -ENOENT;
    }
    *out = r;
    return 0;
}

static int add(struct attached *a, struct registration *r)
{
    struct sigevent event = {.sigev_notify = MQXI_SIGEV_CALL};
    uintptr_t number = r->number;
    int e;

    event.sigev_value.sival_ptr = (void *)number;
    event.sigev_notify_function = (void (*)(union sigval))(void (*)(void))fired;
    pthread_mutex_lock(&lock);
    r->next = registrations;
    registrations = r;
    pthread_mutex_unlock(&lock);
    e = mqxi_notify_register(a->queue, &event);
    if (e < 0) {
        r = take(has_number, &number);
        if (r)
            drop(r);
    }
    return e;
}

int registered_notify(struct attached *a, const struct fuse_ctx *ctx,
                      const struct mqxi_remote_notify *n)
{
    uint32_t now = holder(a);
    struct registration *r;
    int e;

    if (n->kind == MQXI_NOTIFY_REMOVE) {
        registered_closed(a, ctx);
        return 0;
    }
    if (now && !caller_is_dead((pid_t)now))
        return -EBUSY;
    if (now)
        withdraw(a);
    e = prepare(a, ctx, n, &r);
    return e < 0 ? e : add(a, r);
}

void registered_closed(struct attached *a, const struct fuse_ctx *ctx)
{
    uint32_t now = holder(a);
    struct mqxi_remote_caller unknown = {0};

    if (now && now == caller_identify(ctx, unknown).pid)
        withdraw(a);
}

void registered_nobody(struct attached *a)
{
    if (holder(a))
        withdraw(a);
}

void registered_end(void)
{
    struct registration *r;

    while ((r = registrations))
        withdraw(r->attached);
}

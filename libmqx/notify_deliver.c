/*
 * What a notification does to the process that registered for it: a signal as
 * the kernel's queues send it, or a thread as glibc starts it for them: detached,
 * with no signal blocked, whatever its creator's mask, and named as the thread
 * that registered first.
 */
#include "notify_deliver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "sys.h"

/* A thread that cannot be created, for want of memory or of numbers: try again, for a second. */
#define RETRIES  100
#define RETRY_NS 10000000

/* What a new thread is to do. */
struct start {
    void (*function)(union sigval);
    union sigval value;
    char name[16];
};

static int copy_affinity(pthread_attr_t *to, const pthread_attr_t *from)
{
#ifdef __GLIBC__
    cpu_set_t cpus;

    /* All of them is what it says where nothing was set; setting that would lift the limits that
     * a thread inherits. */
    if (pthread_attr_getaffinity_np(from, sizeof(cpus), &cpus) == 0 &&
        CPU_COUNT(&cpus) != CPU_SETSIZE)
        return pthread_attr_setaffinity_np(to, sizeof(cpus), &cpus);
#else
    (void)to, (void)from;
#endif
    return 0;
}

/* Attributes cannot be copied as bytes: they may point to memory that goes with the original. */
static int copy_attr(pthread_attr_t *to, const pthread_attr_t *from)
{
    struct sched_param param;
    size_t size;
    void *stack;
    int n;

    if (pthread_attr_init(to) != 0)
        return -ENOMEM;
    if (pthread_attr_getschedpolicy(from, &n) == 0)
        pthread_attr_setschedpolicy(to, n);
    if (pthread_attr_getschedparam(from, &param) == 0)
        pthread_attr_setschedparam(to, &param);
    if (pthread_attr_getinheritsched(from, &n) == 0)
        pthread_attr_setinheritsched(to, n);
    if (pthread_attr_getscope(from, &n) == 0)
        pthread_attr_setscope(to, n);
    if (pthread_attr_getguardsize(from, &size) == 0)
        pthread_attr_setguardsize(to, size);
    /* Without a stack of its own: an address of 0, or one that ends at 0. */
    if (pthread_attr_getstack(from, &stack, &size) == 0 && stack && (uintptr_t)stack + size != 0)
        pthread_attr_setstack(to, stack, size);
    else if (pthread_attr_getstacksize(from, &size) == 0)
        pthread_attr_setstacksize(to, size);
    if (copy_affinity(to, from) == 0)
        return 0;
    pthread_attr_destroy(to);
    return -ENOMEM;
}

int mqxi_delivery_copy(struct mqxi_delivery *d, const struct sigevent *event)
{
    d->kind = event->sigev_notify;
    d->signo = event->sigev_signo;
    d->value = event->sigev_value;
    d->function = NULL;
    d->with_attr = false;
    if (d->kind != SIGEV_THREAD && d->kind != MQXI_SIGEV_CALL)
        return 0;
    d->function = event->sigev_notify_function;
    if (d->kind == MQXI_SIGEV_CALL || !event->sigev_notify_attributes)
        return 0;
    d->with_attr = true;
    return copy_attr(&d->attr, (const pthread_attr_t *)event->sigev_notify_attributes);
}

void mqxi_delivery_drop(struct mqxi_delivery *d)
{
    if (d->with_attr)
        pthread_attr_destroy(&d->attr);
    d->with_attr = false;
}

void mqxi_deliver_signal(const struct mqxi_delivery *d, struct mqxi_sender by)
{
    siginfo_t info;

    if (d->kind == MQXI_SIGEV_CALL)
        ((mqxi_notified *)(void (*)(void))d->function)(d->value, by);
    if (d->kind != SIGEV_SIGNAL || d->signo == 0) /* 0: registers, and is never heard of */
        return;
    memset(&info, 0, sizeof(info));
    info.si_signo = d->signo;
    info.si_code = SI_MESGQ;
    info.si_pid = (pid_t)by.pid;
    info.si_uid = by.uid;
    info.si_value = d->value;
    MQXI_SYS(SYS_rt_sigqueueinfo, (pid_t)MQXI_SYS(SYS_getpid), d->signo, &info);
}

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;
    sigset_t all;

    free(arg);
    prctl(PR_SET_NAME, start.name);
    pthread_detach(pthread_self()); /* whatever the attributes say */
    sigfillset(&all);
    pthread_sigmask(SIG_UNBLOCK, &all, NULL);
    start.function(start.value);
    return NULL;
}

void mqxi_deliver_thread(const struct mqxi_delivery *d, const char *name)
{
    struct start *start = malloc(sizeof(*start));
    struct timespec nap = {.tv_nsec = RETRY_NS};
    pthread_t thread;
    int r = EAGAIN;

    if (!start)
        return; /* as where no thread can be created: the notification is lost */
    start->function = d->function;
    start->value = d->value;
    memcpy(start->name, name, sizeof(start->name));
    for (int i = 0; i < RETRIES && r == EAGAIN; i++) {
        r = pthread_create(&thread, d->with_attr ? &d->attr : NULL, run, start);
        if (r == EAGAIN)
            MQXI_SYS(SYS_nanosleep, &nap, NULL);
    }
    if (r != 0)
        free(start);
}

/*
 * libc's names for our functions: what makes a program that was written, or
 * even compiled, for the kernel's queues use ours.  Forwarding only.
 */
#include <mqx.h>

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>

#include "next.h"
#include "sys.h"

/* What <bits/mqueue2.h> turns mq_open into with _FORTIFY_SOURCE and two arguments. */
MQX_API mqd_t __mq_open_2(const char *name, int oflag);

MQX_API mqd_t mq_open(const char *name, int oflag, ...)
{
    struct mq_attr *attr = NULL;
    mode_t mode = 0;
    va_list ap;

    if (oflag & O_CREAT) {
        va_start(ap, oflag);
        mode = va_arg(ap, mode_t);
        attr = va_arg(ap, struct mq_attr *);
        va_end(ap);
    }
    return mqx_open(name, oflag, mode, attr);
}

MQX_API mqd_t __mq_open_2(const char *name, int oflag)
{
    static const char message[] = "mqx: mq_open: O_CREAT without mode and attr: terminated\n";

    if (oflag & O_CREAT) {
        MQXI_SYS(SYS_write, 2, message, sizeof(message) - 1);
        abort();
    }
    return mqx_open(name, oflag);
}

MQX_API int mq_close(mqd_t mqdes)
{
    return mqx_close(mqdes);
}

MQX_API int mq_unlink(const char *name)
{
    return mqx_unlink(name);
}

MQX_API int mq_send(mqd_t mqdes, const char *msg, size_t len, unsigned prio)
{
    return mqx_send(mqdes, msg, len, prio);
}

MQX_API int mq_timedsend(mqd_t mqdes, const char *msg, size_t len, unsigned prio,
                         const struct timespec *deadline)
{
    return mqx_timedsend(mqdes, msg, len, prio, deadline);
}

MQX_API ssize_t mq_receive(mqd_t mqdes, char *msg, size_t len, unsigned *prio)
{
    return mqx_receive(mqdes, msg, len, prio);
}

MQX_API ssize_t mq_timedreceive(mqd_t mqdes, char *msg, size_t len, unsigned *prio,
                                const struct timespec *deadline)
{
    return mqx_timedreceive(mqdes, msg, len, prio, deadline);
}

MQX_API int mq_getattr(mqd_t mqdes, struct mq_attr *attr)
{
    return mqx_getattr(mqdes, attr);
}

MQX_API int mq_setattr(mqd_t mqdes, const struct mq_attr *attr, struct mq_attr *old)
{
    return mqx_setattr(mqdes, attr, old);
}

MQX_API int mq_notify(mqd_t mqdes, const struct sigevent *notification)
{
    return mqx_notify(mqdes, notification);
}

/*
 * $MQX_SYSV=kernel: this program keeps the kernel's System V queues, since it talks to
 * programs that do not use mqx (as fakeroot's library does to faked).
 */
static atomic_int known; /* 0: not looked yet; else 1: ours, or 2 */

static __attribute__((noinline)) bool kernels(void)
{
    const char *wanted = getenv("MQX_SYSV");
    int k = wanted && strcmp(wanted, "kernel") == 0 ? 2 : 1;

    atomic_store(&known, k);
    return k == 2;
}

/* The function `name` to call: libc's, where it is wanted and there is one. */
#define CHOSEN(name)                                                                               \
    (__builtin_expect(atomic_load_explicit(&known, memory_order_relaxed) == 1, 1) ? mqx_##name     \
     : kernels() && MQXI_NEXT(name)                                               ? MQXI_NEXT(name) \
                                                                                  : mqx_##name)

MQX_API int msgget(key_t key, int flags)
{
    return CHOSEN(msgget)(key, flags);
}

MQX_API int msgsnd(int id, const void *message, size_t len, int flags)
{
    return CHOSEN(msgsnd)(id, message, len, flags);
}

MQX_API ssize_t msgrcv(int id, void *message, size_t len, long type, int flags)
{
    return CHOSEN(msgrcv)(id, message, len, type, flags);
}

MQX_API int msgctl(int id, int command, struct msqid_ds *buffer)
{
    return CHOSEN(msgctl)(id, command, buffer);
}

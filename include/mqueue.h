/*
 * <mqueue.h>: POSIX message queues, from mqx.
 *
 * Source-compatible with glibc's and musl's header of the same name, and of
 * the same binary layout, so that it can stand in for either; it includes
 * nothing but standard headers.  What the functions do is said in <mqx.h>:
 * each mq_x here is mqx_x there.  They are declared and behave as in POSIX
 * and in Linux's mq_overview(7).
 */
#ifndef _MQUEUE_H
#define _MQUEUE_H 1

#include <fcntl.h>      /* O_RDONLY, O_CREAT, O_NONBLOCK, ... */
#include <signal.h>     /* struct sigevent */
#include <sys/select.h> /* struct timespec, in strict C99 too */
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Strict C modes leave these undefined in the headers above; the prototypes need their names. */
struct sigevent;
struct timespec;

/* A message queue descriptor: on Linux, a file descriptor. */
typedef int mqd_t;

#if defined __x86_64__ && defined __ILP32__ /* x32: the kernel's "long" is wider than C's */
__extension__ typedef long long mqx_attr_long_;
#else
typedef long mqx_attr_long_;
#endif

/* As the kernel lays it out. */
struct mq_attr {
    mqx_attr_long_ mq_flags;   /* 0 or O_NONBLOCK */
    mqx_attr_long_ mq_maxmsg;  /* messages the queue can hold */
    mqx_attr_long_ mq_msgsize; /* bytes a message can have */
    mqx_attr_long_ mq_curmsgs; /* messages in the queue now */
    mqx_attr_long_ __pad[4];
};

mqd_t mq_open(const char *name, int oflag, ...);
int mq_close(mqd_t mqdes);
int mq_unlink(const char *name);

int mq_send(mqd_t mqdes, const char *msg_ptr, size_t msg_len, unsigned int msg_prio);
int mq_timedsend(mqd_t mqdes, const char *msg_ptr, size_t msg_len, unsigned int msg_prio,
                 const struct timespec *abs_timeout);
ssize_t mq_receive(mqd_t mqdes, char *msg_ptr, size_t msg_len, unsigned int *msg_prio);
ssize_t mq_timedreceive(mqd_t mqdes, char *msg_ptr, size_t msg_len, unsigned int *msg_prio,
                        const struct timespec *abs_timeout);

int mq_getattr(mqd_t mqdes, struct mq_attr *attr);
int mq_setattr(mqd_t mqdes, const struct mq_attr *newattr, struct mq_attr *oldattr);
int mq_notify(mqd_t mqdes, const struct sigevent *notification);

#ifdef __cplusplus
}
#endif

#endif

/*
 * The compatibility cases of <mqueue.h>: one plain libc program, run on the
 * kernel's queues and on mqx, with the same outcome.  Each case is named after
 * the sentence of the standard or of the man pages that it checks.
 *
 * No case depends on timing: it waits for conditions, for up to a minute.
 */
#ifndef COMPAT_H
#define COMPAT_H

/* cmocka wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* A case, and a case that is run with a number (which()). */
#define SAYS(sentence, function)                                                                   \
    {                                                                                              \
        sentence, function, begin, end, NULL                                                       \
    }
#define CALL(sentence, function, call)                                                             \
    {                                                                                              \
        sentence, function, begin, end, (void *)(intptr_t)(call)                                   \
    }

/* What a program does that is executed with --send-on FD: the other half of a case in file.c. */
int send_on(const char *fd);
/* And with --poll-on WAY FD: poll.c. */
int poll_on(const char *way, const char *fd);
/* And with --wait-on SET FD: epoll_sets.c. */
int wait_on(const char *set, const char *fd);

int begin(void **state); /* before each case: a watchdog */
int end(void **state);   /* after it: close what it opened, unlink its names */

/* The groups, a file each. */
#define GROUPS(X)                                                                                  \
    X(names)                                                                                       \
    X(open)                                                                                        \
    X(close)                                                                                       \
    X(file)                                                                                        \
    X(file_transfer)                                                                               \
    X(mode)                                                                                        \
    X(attr)                                                                                        \
    X(send)                                                                                        \
    X(receive)                                                                                     \
    X(order)                                                                                       \
    X(deadline)                                                                                    \
    X(block)                                                                                       \
    X(signal)                                                                                      \
    X(cancel)                                                                                      \
    X(fork)                                                                                        \
    X(unlink)                                                                                      \
    X(thread)                                                                                      \
    X(poll)                                                                                        \
    X(poll_calls)                                                                                  \
    X(poll_signals)                                                                                \
    X(epoll)                                                                                       \
    X(epoll_sets)                                                                                  \
    X(notify)                                                                                      \
    X(notify_when)                                                                                 \
    X(notify_end)                                                                                  \
    X(notify_thread)                                                                               \
    X(users)                                                                                       \
    X(users_use)                                                                                   \
    X(users_wait)                                                                                  \
    X(users_cancel)                                                                                \
    X(users_notify)
#define GROUP(name) int group_##name(void);
GROUPS(GROUP)
#undef GROUP
#define RUN(title, tests) cmocka_run_group_tests_name(title, tests, NULL, NULL)

/* The call returns -1 with this errno. */
#define fails(call, error)                                                                         \
    do {                                                                                           \
        errno = 0;                                                                                 \
        assert_int_equal((call), -1);                                                              \
        assert_int_equal(errno, (error));                                                          \
    } while (0)
/* The call does not return -1; its value. */
#define ok(call) succeeded((call), #call, __FILE__, __LINE__)
long succeeded(long r, const char *call, const char *file, int line);

/* Names of queues that are this case's own; unlinked after it. */
const char *name(int i);
/* Create name(0), read-write and further flags: messages of up to 32 bytes. */
mqd_t create(int flags, long maxmsg);
mqd_t create_sized(int flags, long maxmsg, long msgsize);
/* Open name(0) again. */
mqd_t reopen(int oflag);

/* Put a short text, take a message and compare it. */
void put(mqd_t q, const char *text, unsigned prio);
void expect(mqd_t q, const char *text, unsigned prio);
long count(mqd_t q);
bool nonblocking(mqd_t q);

/* CLOCK_REALTIME now plus so many milliseconds. */
struct timespec in_ms(long ms);

/* The four calls that block. */
enum call { SEND, TIMEDSEND, RECEIVE, TIMEDRECEIVE };
static inline enum call which(void **state)
{
    return (enum call)(intptr_t)*state;
}
/* name(0) of one slot in which this call blocks: full, or empty. */
mqd_t create_blocking(enum call call);
/* Make the call (a deadline is far away), and end the blocking of one. */
int blocking_call(enum call call, mqd_t q);
void unblock(enum call call, mqd_t q);

/* A child process that runs f(arg) and exits with what it returns; killed when we die. */
pid_t spawn(int (*f)(void *arg), void *arg);
/* Its exit status, once it ended; 1000 + the signal that killed it. */
int reap(pid_t pid);
/* Both: what f(arg) returns in a child. */
int in_child(int (*f)(void *arg), void *arg);
/* Wait until it holds, at most a minute; else the case fails. */
#define await(condition)                                                                           \
    do {                                                                                           \
        int left_ = 60000;                                                                         \
        while (!(condition) && left_-- > 0)                                                        \
            usleep(1000);                                                                          \
        if (left_ < 0)                                                                             \
            fail_msg("after a minute, still not: %s", #condition);                                 \
    } while (0)
/* Is the thread asleep (state S)? */
bool asleep(pid_t tid);

/* Memory that children share with us; all zero when a case begins. */
struct shared {
    _Atomic int ready;   /* who is about to block says so here, right before the call */
    _Atomic int signals; /* handlers that ran */
    _Atomic int done;
    _Atomic long number[16];
};
extern struct shared *shared;
/* Wait until a child that says `ready` sleeps. */
void await_blocked(pid_t pid);

#endif

/*
 * The compatibility cases of <mqueue.h>: one plain libc program, run on the
 * kernel's queues and on mqx, with the same outcome.  Each case is named after
 * the sentence of the standard or of the man pages that it checks.
 */
#ifndef COMPAT_H
#define COMPAT_H

#include "../cases.h"

#include <fcntl.h>
#include <mqueue.h>
#include <time.h>

/* What a program does that is executed with --send-on FD: the other half of a case in file.c. */
int send_on(const char *fd);
/* And with --poll-on WAY FD: poll.c. */
int poll_on(const char *way, const char *fd);
/* And with --wait-on SET FD: epoll_sets.c. */
int wait_on(const char *set, const char *fd);

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
    X(served)                                                                                      \
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
/* A case of each of them. */
#define FOUR_CALLS(sentence, function)                                                             \
    CALL("mq_send: " sentence, function, SEND),                                                    \
        CALL("mq_timedsend: " sentence, function, TIMEDSEND),                                      \
        CALL("mq_receive: " sentence, function, RECEIVE),                                          \
        CALL("mq_timedreceive: " sentence, function, TIMEDRECEIVE)
/* name(0) of one slot in which this call blocks: full, or empty. */
mqd_t create_blocking(enum call call);
/* Make the call (a deadline is far away), and end the blocking of one. */
int blocking_call(enum call call, mqd_t q);
void unblock(enum call call, mqd_t q);

#endif

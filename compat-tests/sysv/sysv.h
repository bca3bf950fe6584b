/*
 * The compatibility cases of <sys/msg.h>: as those of <mqueue.h> in ../posix, one
 * binary for the kernel's queues and for mqx's.
 *
 * On the kernel they run in an IPC namespace of their own, where root may have one.
 * What limits there are is asked of the system, never assumed.
 */
#ifndef SYSV_H
#define SYSV_H

#include "../cases.h"

#include <limits.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <time.h>

/* The groups, a file each. */
#define GROUPS(X)                                                                                  \
    X(get)                                                                                         \
    X(keys)                                                                                        \
    X(stale)                                                                                       \
    X(snd)                                                                                         \
    X(room)                                                                                        \
    X(rcv)                                                                                         \
    X(types)                                                                                       \
    X(copy)                                                                                        \
    X(block)                                                                                       \
    X(wake)                                                                                        \
    X(signal)                                                                                      \
    X(cancel)                                                                                      \
    X(stat)                                                                                        \
    X(set)                                                                                         \
    X(rmid)                                                                                        \
    X(info)                                                                                        \
    X(order)                                                                                       \
    X(threads)                                                                                     \
    X(fork)                                                                                        \
    X(users)                                                                                       \
    X(users_shared)                                                                                \
    X(users_messages)                                                                              \
    X(users_waiting)
#define GROUP(name) int group_##name(void);
GROUPS(GROUP)
#undef GROUP

/* Keys that are this case's own; whatever queue has one is removed after it. */
#define KEYS 4
key_t key(int i);
/* msgget, for a queue that is removed after the case. */
int get(key_t key, int flags);
/* A new queue, of mode 0600. */
int create(void);

struct message {
    long type;
    char text[32];
};
/* Put a short text; take a message as (msgtyp, msgflg) say, and compare it. */
void put(int q, long type, const char *text);
void expect(int q, long wanted, int flags, long type, const char *text);
/* There is none such. */
void expect_none(int q, long wanted, int flags);
struct msqid_ds status(int q);
/* The calls themselves, with a text. */
int send_text(int q, long type, const char *text, int flags);

/* Give the queue another msg_qbytes, or mode. */
void set_qbytes(int q, unsigned long bytes);
void set_mode(int q, unsigned mode);
/* IPC_INFO. */
struct msginfo limits(void);

/* The two calls that block, and receiving in other ways. */
enum call { SEND, RECEIVE, RECEIVE_TYPE, RECEIVE_LOWEST, RECEIVE_OTHER };
static inline enum call which(void **state)
{
    return (enum call)(intptr_t)*state;
}
/* A new queue in which this call blocks: for the senders, full with one message. */
int create_blocking(enum call call);
int blocking_call(enum call call, int q);
/* The message that ends a receiver's wait; taking the one that keeps a sender waiting. */
void unblock(enum call call, int q);
/* Nobody waited, or waits no more: the queue is as create_blocking() left it. */
void untouched(enum call call, int q);
/* A child in the call on q, asleep; it ends with 0, or the call's errno. */
pid_t spawn_blocked(enum call call, int q);

#define EACH_RECEIVE(sentence, function)                                                           \
    CALL("msgrcv: " sentence, function, RECEIVE),                                                  \
        CALL("msgrcv of a type: " sentence, function, RECEIVE_TYPE),                               \
        CALL("msgrcv of the lowest type: " sentence, function, RECEIVE_LOWEST),                    \
        CALL("msgrcv with MSG_EXCEPT: " sentence, function, RECEIVE_OTHER)
#define EACH_CALL(sentence, function)                                                              \
    CALL("msgsnd: " sentence, function, SEND), EACH_RECEIVE(sentence, function)
#define BOTH_CALLS(sentence, function)                                                             \
    CALL("msgsnd: " sentence, function, SEND), CALL("msgrcv: " sentence, function, RECEIVE)

/* Cases of several users: root starts them; for others the case is skipped. */
#define USER  65534
#define OTHER 65533
void need_root(void);
/* In a child; the process may do no more than that user. */
void become(uid_t user);

/* Begin --others (others.c): from now on get() and create() are of another user's queues.  False:
 * that cannot be, and why was said. */
bool others_begin(void);
bool with_others(void);
int others_get(key_t key, int flags);

/* What a program does that is executed with --send-to ID: fork.c. */
int send_to(const char *id);

#endif

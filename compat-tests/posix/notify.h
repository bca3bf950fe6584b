/* What the cases of mq_notify have in common (notify_common.c). */
#ifndef COMPAT_NOTIFY_H
#define COMPAT_NOTIFY_H

#include "compat.h"

#include <pthread.h>
#include <signal.h>

/* A struct sigevent with SIGUSR1 and this value. */
struct sigevent event_of(int kind, int value);
/* mq_notify by SIGUSR1, with this value. */
int registers(mqd_t queue, int value);
/* Is somebody registered? */
bool taken(mqd_t queue);

/* SIGUSR1 alone. */
sigset_t usr1(void);
/* name(0), and no SIGUSR1 to come but from what the case does: blocked, none pending. */
mqd_t create_quiet(long maxmsg);
/* Take a SIGUSR1: false, if there is none within so many seconds. */
bool signalled(siginfo_t *info, int seconds);
/* There is none. */
bool quiet(void);
/* One comes, by mq_notify, with this value. */
void await_notification(int value);

/* A handler that counts, and what it was told last.  handle: also unblocks SIGUSR1. */
extern volatile sig_atomic_t handled;
extern volatile int handled_value, handled_code, handled_pid;
void note(int signal, siginfo_t *info, void *context);
void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags);

/* The queue of a case, and what children do with it: 0, or errno. */
extern mqd_t q;
int result(int r);
int child_sends(void *prio);
int child_registers(void *arg);
int child_unregisters(void *arg);
/* A child that has registered, and lives until it is murdered. */
pid_t registrant(void);
void murder(pid_t pid);

#endif

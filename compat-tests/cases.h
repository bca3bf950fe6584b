/*
 * What the compatibility cases have in common, whichever interface they are about:
 * one plain libc program is run on the kernel's queues and on mqx, with the same
 * outcome, and each case is named after the sentence of the standard or of the man
 * pages that it checks.
 *
 * No case depends on timing: it waits for conditions, for up to a minute.
 */
#ifndef CASES_H
#define CASES_H

/* cmocka wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
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

int begin(void **state); /* before each case: a watchdog */
int end(void **state);   /* after it: the suite's own clean-up; calls end_case() */
void end_case(void);

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

/* A child process that runs f(arg) and exits with what it returns; killed when we die. */
pid_t spawn(int (*f)(void *arg), void *arg);
/* Its exit status, once it ended; 1000 + the signal that killed it. */
int reap(pid_t pid);
/* Both: what f(arg) returns in a child. */
int in_child(int (*f)(void *arg), void *arg);
/* In a child: say what does not hold, and end with 1. */
#define must(condition)                                                                            \
    do {                                                                                           \
        errno = 0;                                                                                 \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition,      \
                    errno);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define must_fail(call, error) must((call) == -1 && errno == (error))
/* Wait until it holds, at most a minute; else the case fails. */
#define await(condition)                                                                           \
    do {                                                                                           \
        int left_ = 60000;                                                                         \
        while (!(condition) && left_-- > 0)                                                        \
            usleep(1000);                                                                          \
        if (left_ < 0)                                                                             \
            fail_msg("after a minute, still not: %s", #condition);                                 \
    } while (0)
/* Is the thread asleep (state S), and not for the time that a filesystem takes? */
bool asleep(pid_t tid);

/* Has this process the capability?  Root in a container may lack it.  In a child: become this user,
 * with exactly this set of capabilities (bits 1 << CAP_...); false where we may not. */
bool capable(int capability);
bool become_capable(uid_t user, uint64_t capabilities);

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

/* For main(): before all groups, and was this group asked for?  Without arguments, all are. */
void begin_cases(void);
bool wanted(const char *group, char **arguments);

#endif

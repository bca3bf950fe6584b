/*
 * A call that is blocked wakes up now and then and looks for itself.  A handler
 * that ran just then would not interrupt the next sleep, and a program that
 * relies on alarm() to end mq_receive would wait for ever.  So signals are held
 * back while a blocked call is awake; what has come by then decides.
 */
#include "signals.h"

#include <signal.h>
#include <stddef.h>
#include <sys/time.h>

#include "sys.h"
#include "thread.h"

#define BIT(sig) (UINT64_C(1) << ((sig)-1))

/* Not those that an instruction of ours raises (guard.c needs SIGBUS), nor libc's own, 32 to 34. */
static const uint64_t held = ~(BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGFPE) |
                               BIT(SIGTRAP) | BIT(SIGSYS) | BIT(32) | BIT(33) | BIT(34));

uint64_t mqxi_signals_hold(void)
{
    uint64_t before = 0;

    MQXI_SYS(SYS_rt_sigprocmask, SIG_BLOCK, &held, &before, sizeof(before));
    return before;
}

static bool interrupts(int sig, bool restarts)
{
    struct sigaction action;

    return sigaction(sig, NULL, &action) == 0 && action.sa_handler != SIG_DFL &&
           action.sa_handler != SIG_IGN && !(restarts && action.sa_flags & SA_RESTART);
}

bool mqxi_signals_release(uint64_t mask, bool restarts)
{
    uint64_t pending = 0;
    bool interrupted = false;

    MQXI_SYS(SYS_rt_sigpending, &pending, sizeof(pending));
    pending &= held & ~mask;
    for (; pending; pending &= pending - 1)
        interrupted |= interrupts(__builtin_ctzll(pending) + 1, restarts);
    MQXI_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
    return interrupted;
}

/* Where libc does not say, the kernel does: a directory for each thread, and the two that every
 * directory has. */
static bool only_thread(void)
{
    struct statx sx = {0};

    return MQXI_ONLY_THREAD ||
           (MQXI_SYS(SYS_statx, AT_FDCWD, "/proc/self/task", 0, STATX_NLINK, &sx) == 0 &&
            sx.stx_nlink == 3);
}

bool mqxi_alarm_rang(struct mqxi_alarm *alarm)
{
    struct itimerval timer = {0};
    uint64_t before = alarm->left, left;

    if (!only_thread())
        return false;
    MQXI_SYS(SYS_getitimer, ITIMER_REAL, &timer);
    left = (uint64_t)timer.it_value.tv_sec * 1000000 + (uint64_t)timer.it_value.tv_usec;
    alarm->left = left > 0 && interrupts(SIGALRM, alarm->restarts) ? left : 0;
    return before > 0 && (left == 0 || left > before); /* over, or set again */
}

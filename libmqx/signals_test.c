/* Signals that come while a blocked call is awake interrupt it, if they would interrupt its sleep.
 */
#include "signals.h"

#include <sys/time.h>

#include "testing.h"

static int handled;

static void handle(int sig)
{
    (void)sig;
    handled++;
}

static void set(int sig, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    IS(sigaction(sig, &action, NULL), 0);
}

/* Hold, raise, release: was it an interruption? */
static bool interrupted_by(int sig)
{
    uint64_t mask = mqxi_signals_hold();

    handled = 0;
    raise(sig);
    IS(handled, 0);
    return mqxi_signals_release(mask, true);
}

static void held_back(void)
{
    if (DEFERS_SIGNALS)
        SKIP("the thread sanitizer runs handlers later");
    set(SIGUSR1, handle, 0);
    CHECK(interrupted_by(SIGUSR1));
    IS(handled, 1);
    set(SIGUSR1, handle, SA_RESTART);
    CHECK(!interrupted_by(SIGUSR1));
    IS(handled, 1);
    set(SIGRTMAX, handle, 0);
    CHECK(interrupted_by(SIGRTMAX));
    IS(handled, 1);
    set(SIGUSR1, SIG_IGN, 0);
    CHECK(!interrupted_by(SIGUSR1));
    set(SIGCHLD, SIG_DFL, 0);
    CHECK(!interrupted_by(SIGCHLD));
}

static void mask_is_restored(void)
{
    sigset_t before, after;
    uint64_t mask;

    if (DEFERS_SIGNALS)
        SKIP("the thread sanitizer runs handlers later");
    set(SIGUSR1, handle, 0);
    set(SIGUSR2, handle, 0);
    sigemptyset(&before);
    sigaddset(&before, SIGUSR1);
    IS(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    handled = 0;
    mask = mqxi_signals_hold();
    raise(SIGUSR1); /* the program's own business, before and after */
    CHECK(!mqxi_signals_release(mask, true));
    IS(handled, 0);
    IS(sigprocmask(SIG_SETMASK, NULL, &after), 0);
    for (int sig = 1; sig < 32; sig++)
        IS(sigismember(&after, sig), sig == SIGUSR1);
    CHECK(interrupted_by(SIGUSR2));
    IS(handled, 1);
}

static void ring_in(long microseconds)
{
    struct itimerval timer = {.it_value.tv_usec = microseconds};

    IS(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* Its handler ran when nobody could see it. */
static void alarms(void)
{
    struct mqxi_alarm seen = {.restarts = true};

    if (DEFERS_SIGNALS)
        SKIP("the thread sanitizer runs handlers later");
    set(SIGALRM, handle, 0);
    alarm(0);                       /* testing.h's */
    CHECK(!mqxi_alarm_rang(&seen)); /* none is set */
    CHECK(!mqxi_alarm_rang(&seen));
    for (int again = 0; again < 2; again++) {
        handled = 0;
        alarm(1000);
        CHECK(!mqxi_alarm_rang(&seen));
        CHECK(!mqxi_alarm_rang(&seen)); /* not yet */
        ring_in(1000);
        WAIT_FOR(*(volatile int *)&handled == 1);
        if (again)
            alarm(2000); /* as a handler might */
        CHECK(mqxi_alarm_rang(&seen));
        CHECK(!mqxi_alarm_rang(&seen)); /* once */
    }
    set(SIGALRM, handle, SA_RESTART);
    handled = 0;
    alarm(1000);
    CHECK(!mqxi_alarm_rang(&seen));
    ring_in(1000);
    WAIT_FOR(*(volatile int *)&handled == 1);
    CHECK(!mqxi_alarm_rang(&seen));
    ring_in(0);
}

/* What an instruction raises, held back, would kill: and guard.c needs one of them. */
static void faults_are_not_held(void)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    uint64_t mask;

    handled = 0;
    for (int i = 0; i < 6; i++)
        set(faults[i], handle, 0);
    mask = mqxi_signals_hold();
    for (int i = 0; i < 6; i++)
        raise(faults[i]);
    IS(handled, 6);
    CHECK(!mqxi_signals_release(mask, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(held_back),
        UNIT(mask_is_restored),
        UNIT(alarms),
        UNIT(faults_are_not_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

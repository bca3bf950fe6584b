/* What the cases of mq_notify have in common. */
#include "notify.h"

struct sigevent event_of(int kind, int value)
{
    struct sigevent event = {.sigev_notify = kind, .sigev_signo = SIGUSR1};

    event.sigev_value.sival_int = value;
    return event;
}

int registers(mqd_t queue, int value)
{
    struct sigevent event = event_of(SIGEV_SIGNAL, value);

    return mq_notify(queue, &event);
}

bool taken(mqd_t queue)
{
    struct sigevent event = event_of(SIGEV_NONE, 0);

    if (mq_notify(queue, &event) == -1) {
        assert_int_equal(errno, EBUSY);
        return true;
    }
    ok(mq_notify(queue, NULL));
    return false;
}

sigset_t usr1(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return set;
}

/* The signal, or false if there is none within so many seconds. */
bool signalled(siginfo_t *info, int seconds)
{
    struct timespec limit = {.tv_sec = seconds};
    sigset_t set = usr1();
    int r;

    do
        r = sigtimedwait(&set, info, &limit);
    while (r == -1 && errno == EINTR);
    return r == SIGUSR1;
}

bool quiet(void)
{
    siginfo_t info;

    return !signalled(&info, 0);
}

void await_notification(int value)
{
    siginfo_t info;

    assert_true(signalled(&info, 60));
    assert_int_equal(info.si_code, SI_MESGQ);
    assert_int_equal(info.si_value.sival_int, value);
}

mqd_t create_quiet(long maxmsg)
{
    sigset_t set = usr1();
    siginfo_t info;

    signal(SIGUSR1, SIG_DFL);
    sigprocmask(SIG_BLOCK, &set, NULL);
    while (signalled(&info, 0))
        ;
    return create(0, maxmsg);
}

/* In a child, which has the queue open as it inherited it: each returns 0, or errno. */
mqd_t q;

int result(int r)
{
    return r == -1 ? errno : 0;
}

int child_sends(void *arg)
{
    return result(mq_send(q, "x", 1, (unsigned)(intptr_t)arg));
}

int child_registers(void *arg)
{
    (void)arg;
    return result(registers(q, 1));
}

int child_unregisters(void *arg)
{
    (void)arg;
    return result(mq_notify(q, NULL));
}

/* Registers, says so, and lives on. */
static int child_registers_and_lives(void *arg)
{
    int r = child_registers(arg);

    shared->ready = r == 0;
    while (r == 0)
        pause();
    return r;
}

pid_t registrant(void)
{
    pid_t pid = spawn(child_registers_and_lives, NULL);

    await(shared->ready);
    return pid;
}

void murder(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(reap(pid), 1000 + SIGKILL);
}

/* A handler, and what it was told. */
volatile sig_atomic_t handled;
volatile int handled_value, handled_code, handled_pid;

void note(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    handled_value = info->si_value.sival_int;
    handled_code = info->si_code;
    handled_pid = info->si_pid;
    handled++;
}

void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigset_t set = usr1();

    handled = 0;
    sigaction(signal, &action, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* Signals that interrupt a blocked call. */
#include "compat.h"

#include <setjmp.h>
#include <signal.h>

static void count_signal(int signal)
{
    (void)signal;
    shared->signals++;
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    sigaction(number, &action, NULL);
}

struct interrupted {
    enum call call;
    int flags; /* of sigaction */
};

static int interrupted_child(void *arg)
{
    const struct interrupted *i = arg;
    mqd_t q = mq_open(name(0), O_RDWR);
    int r;

    handle(SIGUSR1, count_signal, i->flags);
    shared->ready = 1;
    r = blocking_call(i->call, q);
    shared->done = 1;
    return r == -1 ? errno : 0;
}

/* One signal, once it sleeps. */
static void interrupt(pid_t pid)
{
    await(asleep(pid));
    kill(pid, SIGUSR1);
    await(shared->done);
}

static void interrupts(void **state)
{
    struct interrupted i = {which(state), 0};
    mqd_t q;
    pid_t pid;

    q = create_blocking(i.call);
    pid = spawn(interrupted_child, &i);
    await_blocked(pid);
    interrupt(pid);
    assert_int_equal(shared->done, 1);
    assert_int_equal(reap(pid), EINTR);
    assert_int_equal(count(q), i.call == SEND || i.call == TIMEDSEND);
    unblock(i.call, q); /* nobody waits any more: the message stays */
    assert_int_equal(count(q), i.call == RECEIVE || i.call == TIMEDRECEIVE);
}

static void restarts(void **state)
{
    struct interrupted i = {which(state), SA_RESTART};
    mqd_t q;
    pid_t pid;

    q = create_blocking(i.call);
    pid = spawn(interrupted_child, &i);
    await_blocked(pid);
    for (int n = 1; n <= 5; n++) {
        await(asleep(pid));
        kill(pid, SIGUSR1);
        await(shared->signals == n);
    }
    await(asleep(pid));
    assert_int_equal(shared->done, 0);
    unblock(i.call, q);
    assert_int_equal(reap(pid), 0);
}

static int ignoring_child(void *arg)
{
    handle(SIGUSR2, SIG_IGN, 0);
    handle(SIGCHLD, SIG_DFL, 0);
    return interrupted_child(arg);
}

static void ignored(void **state)
{
    struct interrupted i = {which(state), 0};
    mqd_t q;
    pid_t pid;

    q = create_blocking(i.call);
    pid = spawn(ignoring_child, &i);
    await_blocked(pid);
    for (int n = 0; n < 5; n++) {
        kill(pid, SIGUSR2);
        kill(pid, SIGCHLD);
        kill(pid, SIGWINCH);
        await(asleep(pid));
    }
    assert_int_equal(shared->done, 0);
    unblock(i.call, q);
    assert_int_equal(reap(pid), 0);
}

static int blocking_signals_child(void *arg)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return interrupted_child(arg);
}

static void masked(void **state)
{
    struct interrupted i = {which(state), 0};
    mqd_t q;
    pid_t pid;

    q = create_blocking(i.call);
    pid = spawn(blocking_signals_child, &i);
    await_blocked(pid);
    kill(pid, SIGUSR1);
    await(asleep(pid));
    unblock(i.call, q);
    assert_int_equal(reap(pid), 0);
    assert_int_equal(shared->signals, 0);
}

/* Interrupted again and again, with SA_RESTART, its deadline still holds. */
static int deadline_child(void *arg)
{
    struct timespec soon = in_ms(700);
    mqd_t q = mq_open(name(0), O_RDWR);
    char buffer[32];
    int r;

    handle(SIGUSR1, count_signal, SA_RESTART);
    shared->ready = 1;
    if ((enum call)(intptr_t)arg == TIMEDSEND)
        r = mq_timedsend(q, "new", 3, 1, &soon);
    else
        r = (int)mq_timedreceive(q, buffer, sizeof(buffer), NULL, &soon);
    r = r == -1 ? errno : 0;
    shared->done = 1;
    return r;
}

static void restarts_until_deadline(void **state)
{
    pid_t pid;

    create_blocking(which(state));
    pid = spawn(deadline_child, *state);
    await_blocked(pid);
    while (!shared->done) {
        kill(pid, SIGUSR1);
        usleep(20000);
    }
    assert_int_equal(reap(pid), ETIMEDOUT);
    assert_true(shared->signals > 0);
}

/* The handler itself sends, or receives, what its own process waits for. */
static mqd_t handlers_queue;
static enum call handlers_call;

static void unblocking_handler(int signal)
{
    char buffer[32];

    (void)signal;
    if (handlers_call == SEND || handlers_call == TIMEDSEND)
        mq_receive(handlers_queue, buffer, sizeof(buffer), NULL);
    else
        mq_send(handlers_queue, "own", 3, 0);
    shared->signals++;
}

static int unblocks_itself(void *arg)
{
    handlers_call = (enum call)(intptr_t)arg;
    handlers_queue = mq_open(name(0), O_RDWR);
    handle(SIGUSR1, unblocking_handler, SA_RESTART);
    shared->ready = 1;
    return blocking_call(handlers_call, handlers_queue) == -1 ? errno : 0;
}

static void handler_unblocks(void **state)
{
    pid_t pid;

    create_blocking(which(state));
    pid = spawn(unblocks_itself, *state);
    await_blocked(pid);
    kill(pid, SIGUSR1);
    assert_int_equal(reap(pid), 0);
    assert_int_equal(shared->signals, 1);
}

static sigjmp_buf out;

static void jump(int signal)
{
    (void)signal;
    siglongjmp(out, 1);
}

static int jumps_out(void *arg)
{
    enum call call = (enum call)(intptr_t)arg;
    mqd_t q = mq_open(name(0), O_RDWR);

    handle(SIGUSR1, jump, 0);
    if (sigsetjmp(out, 1) == 0) {
        shared->ready = 1;
        blocking_call(call, q);
        return 253;
    }
    handle(SIGUSR1, SIG_IGN, 0);
    unblock(call, q); /* the queue is as it was, and usable */
    return mq_close(q) == 0 ? 0 : errno;
}

static void long_jump(void **state)
{
    pid_t pid;
    mqd_t q;

    q = create_blocking(which(state));
    pid = spawn(jumps_out, *state);
    await_blocked(pid);
    kill(pid, SIGUSR1);
    assert_int_equal(reap(pid), 0);
    assert_int_equal(count(q), which(state) == RECEIVE || which(state) == TIMEDRECEIVE);
}

/* A signal every half millisecond or so whose handler sends and receives on the same queue. */
static _Atomic long handled;

static void busy_handler(int signal)
{
    char buffer[32];
    int error = errno;

    (void)signal;
    if (mq_send(handlers_queue, "handler", 7, 9) == 0 &&
        mq_receive(handlers_queue, buffer, sizeof(buffer), NULL) == 7 &&
        memcmp(buffer, "handler", 7) == 0)
        handled++;
    errno = error;
}

static int interrupted_often(void *arg)
{
    struct itimerspec every = {{0, 300000}, {0, 300000}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t timer;
    char buffer[32];

    (void)arg;
    handlers_queue = mq_open(name(0), O_RDWR | O_NONBLOCK);
    handle(SIGUSR1, busy_handler, SA_RESTART);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &every, NULL) != 0)
        return 250;
    while (handled < 1000) {
        if (mq_send(handlers_queue, "main", 4, 1) != 0)
            return errno;
        if (mq_receive(handlers_queue, buffer, sizeof(buffer), NULL) != 4)
            return 251;
    }
    timer_delete(timer);
    return 0;
}

static void handler_sends(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 10);
    assert_int_equal(in_child(interrupted_often, NULL), 0);
    assert_int_equal(count(q), 0);
}

static int alarmed(void *arg)
{
    const enum call *call = arg;
    mqd_t q = mq_open(name(0), O_RDWR);

    handle(SIGALRM, count_signal, 0);
    alarm(1);
    return blocking_call(*call, q) == -1 ? errno : 0;
}

/* A whole second, as programs use it, and no second signal. */
static void alarm_ends_it(void **state)
{
    enum call call = which(state);

    create_blocking(call);
    assert_int_equal(in_child(alarmed, &call), EINTR);
}

#define EACH_CALL(sentence, function)                                                              \
    CALL("mq_send: " sentence, function, SEND),                                                    \
        CALL("mq_timedsend: " sentence, function, TIMEDSEND),                                      \
        CALL("mq_receive: " sentence, function, RECEIVE),                                          \
        CALL("mq_timedreceive: " sentence, function, TIMEDRECEIVE)

int group_signal(void)
{
    const struct CMUnitTest tests[] = {
        EACH_CALL("EINTR the call was interrupted by a signal handler", interrupts),
        EACH_CALL("alarm(2): the signal of alarm() ends a call", alarm_ends_it),
        EACH_CALL("signal(7): restarted after a handler with SA_RESTART", restarts),
        EACH_CALL("signal(7): an ignored signal does not interrupt", ignored),
        EACH_CALL("signal(7): a blocked signal does not interrupt", masked),
        CALL("signal(7): a restarted mq_timedsend keeps its deadline", restarts_until_deadline,
             TIMEDSEND),
        CALL("signal(7): a restarted mq_timedreceive keeps its deadline", restarts_until_deadline,
             TIMEDRECEIVE),
        EACH_CALL("Linux: a handler can itself end the wait it interrupted", handler_unblocks),
        EACH_CALL("Linux: siglongjmp out of the wait leaves the queue as it was", long_jump),
        SAYS("Linux: handlers can send and receive on the queue they interrupted", handler_sends),
    };

    return RUN("signals", tests);
}

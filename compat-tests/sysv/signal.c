/* Signals that interrupt a blocked call: it is never restarted. */
#include "sysv.h"

#include <signal.h>
#include <sys/wait.h>

struct interrupted {
    enum call call;
    int q;
    int flags; /* of sigaction */
};

static void count_signal(int number)
{
    (void)number;
    shared->signals++;
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    sigaction(number, &action, NULL);
}

static int interrupted_child(void *arg)
{
    const struct interrupted *i = arg;

    handle(SIGUSR1, count_signal, i->flags);
    shared->ready = 1;
    return blocking_call(i->call, i->q) == -1 ? errno : 0;
}

static void interrupt(enum call call, int flags)
{
    struct interrupted i = {call, create_blocking(call), flags};
    pid_t pid = spawn(interrupted_child, &i);

    await_blocked(pid);
    kill(pid, SIGUSR1);
    assert_int_equal(reap(pid), EINTR);
    assert_int_equal(shared->signals, 1);
    untouched(call, i.q);
}

static void interrupts(void **state)
{
    interrupt(which(state), 0);
}

static void never_restarts(void **state)
{
    interrupt(which(state), SA_RESTART);
}

/* It does not wait any more: what comes then is for the next. */
static void next_is_whole(void **state)
{
    struct interrupted i = {which(state), create_blocking(which(state)), SA_RESTART};
    pid_t pid;

    for (int n = 0; n < 10; n++) {
        shared->ready = 0;
        pid = spawn(interrupted_child, &i);
        await_blocked(pid);
        kill(pid, SIGUSR1);
        assert_int_equal(reap(pid), EINTR);
    }
    pid = spawn_blocked(i.call, i.q);
    unblock(i.call, i.q);
    assert_int_equal(reap(pid), 0);
}

static int alarmed(void *arg)
{
    const struct interrupted *i = arg;

    handle(SIGALRM, count_signal, i->flags);
    alarm(1);
    return blocking_call(i->call, i->q) == -1 ? errno : 0;
}

/* A whole second, as programs use it, and no second signal. */
static void alarm_ends_it(void **state)
{
    struct interrupted i = {which(state), create_blocking(which(state)), SA_RESTART};

    assert_int_equal(in_child(alarmed, &i), EINTR);
}

/* --- signals without a handler
 * -------------------------------------------------------------------------- */

static int ignoring_child(void *arg)
{
    const struct interrupted *i = arg;
    sigset_t set;

    handle(SIGUSR1, SIG_IGN, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    shared->ready = 1;
    return blocking_call(i->call, i->q) == -1 ? errno : 0;
}

static void goes_on(void **state, int number)
{
    struct interrupted i = {which(state), create_blocking(which(state)), 0};
    pid_t pid = spawn(ignoring_child, &i);

    await_blocked(pid);
    for (int n = 0; n < 5; n++) {
        kill(pid, number);
        await(asleep(pid));
    }
    unblock(i.call, i.q);
    assert_int_equal(reap(pid), 0);
}

static void ignored(void **state)
{
    goes_on(state, SIGUSR1);
}

static void masked(void **state)
{
    goes_on(state, SIGUSR2);
}

static void default_ignored(void **state)
{
    goes_on(state, SIGURG);
}

static void stopped(void **state)
{
    struct interrupted i = {which(state), create_blocking(which(state)), 0};
    pid_t pid = spawn(interrupted_child, &i);
    siginfo_t info;

    await_blocked(pid);
    for (int n = 0; n < 3; n++) {
        kill(pid, SIGSTOP);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
        kill(pid, SIGCONT);
        await(asleep(pid));
    }
    unblock(i.call, i.q);
    assert_int_equal(reap(pid), 0);
}

/* What comes while it is stopped, it finds when it goes on. */
static void while_stopped(void **state)
{
    struct interrupted i = {which(state), create_blocking(which(state)), 0};
    pid_t pid = spawn(interrupted_child, &i);
    siginfo_t info;

    await_blocked(pid);
    kill(pid, SIGSTOP);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
    unblock(i.call, i.q);
    kill(pid, SIGCONT);
    assert_int_equal(reap(pid), 0);
}

/* --- handlers that do something
 * ------------------------------------------------------------------------------ */

static struct interrupted handled;

static void unblock_in_handler(int number)
{
    struct message m;

    (void)number;
    shared->signals += handled.call == SEND
                           ? msgrcv(handled.q, &m, sizeof(m.text), 3, IPC_NOWAIT) != -1
                           : send_text(handled.q, 5, "new", IPC_NOWAIT) == 0;
}

static int unblocks_itself(void *arg)
{
    handled = *(struct interrupted *)arg;
    handle(SIGUSR1, unblock_in_handler, SA_RESTART);
    shared->ready = 1;
    return blocking_call(handled.call, handled.q) == -1 ? errno : 0;
}

/* It was interrupted, and what the handler sent is in the queue. */
static void handler_unblocks(void **state)
{
    struct interrupted i = {which(state), create_blocking(which(state)), 0};
    pid_t pid = spawn(unblocks_itself, &i);

    await_blocked(pid);
    kill(pid, SIGUSR1);
    assert_int_equal(reap(pid), EINTR);
    assert_int_equal(shared->signals, 1);
    if (i.call == SEND)
        expect_none(i.q, 0, 0);
    else
        expect(i.q, 5, 0, 5, "new");
}

static sigjmp_buf jump;

static void jump_out(int number)
{
    siglongjmp(jump, number);
}

static int jumping_child(void *arg)
{
    const struct interrupted *i = arg;

    handle(SIGUSR1, jump_out, 0);
    if (sigsetjmp(jump, 1) == SIGUSR1) {
        must(status(i->q).msg_qnum == (i->call == SEND || i->call != RECEIVE));
        return 77;
    }
    shared->ready = 1;
    blocking_call(i->call, i->q);
    return 250;
}

static void long_jump(void **state)
{
    struct interrupted i = {which(state), create_blocking(which(state)), 0};
    pid_t pid = spawn(jumping_child, &i);

    await_blocked(pid);
    kill(pid, SIGUSR1);
    assert_int_equal(reap(pid), 77);
    untouched(i.call, i.q);
    pid = spawn_blocked(i.call, i.q);
    unblock(i.call, i.q);
    assert_int_equal(reap(pid), 0);
}

/* --- handlers amid calls
 * --------------------------------------------------------------------------------------- */

static volatile sig_atomic_t balance;

static void send_and_receive(int number)
{
    int error = errno;

    (void)number;
    shared->signals++;
    if (send_text(handled.q, 9, "handler", IPC_NOWAIT) == 0) {
        struct message m;

        balance += msgrcv(handled.q, &m, sizeof(m.text), 9, IPC_NOWAIT) != 7;
    }
    errno = error;
}

/* A timer interrupts its calls, which do not wait, wherever it happens to be. */
static int interrupted_often(void *arg)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec often = {{0, 50000}, {0, 50000}};
    timer_t timer;

    handled.q = *(int *)arg;
    handle(SIGUSR1, send_and_receive, SA_RESTART);
    must(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
         timer_settime(timer, 0, &often, NULL) == 0);
    while (shared->signals < 1000) {
        struct message m;

        must(send_text(handled.q, 2, "main", IPC_NOWAIT) == 0);
        must(msgrcv(handled.q, &m, sizeof(m.text), 2, IPC_NOWAIT) == 4);
    }
    must(timer_delete(timer) == 0);
    must(balance == 0);
    return 0;
}

static void amid_calls(void **state)
{
    int q;

    (void)state;
    q = create();
    assert_int_equal(in_child(interrupted_often, &q), 0);
    assert_int_equal(status(q).msg_qnum, 0);
}

int group_signal(void)
{
    const struct CMUnitTest tests[] = {
        EACH_CALL("EINTR the process caught a signal while it was blocked", interrupts),
        EACH_CALL("signal(7): never restarted, regardless of SA_RESTART", never_restarts),
        BOTH_CALLS("POSIX: after EINTR it does not wait any more", next_is_whole),
        CALL("alarm(2): the signal of alarm() ends a call", alarm_ends_it, RECEIVE),
        BOTH_CALLS("signal(7): an ignored signal does not interrupt", ignored),
        BOTH_CALLS("signal(7): a blocked signal does not interrupt", masked),
        BOTH_CALLS("signal(7): a signal that is ignored by default does not interrupt",
                   default_ignored),
        EACH_CALL("signal(7): stopped and continued, it goes on waiting", stopped),
        BOTH_CALLS("signal(7): it finds what came while it was stopped", while_stopped),
        EACH_CALL("Linux: EINTR though the handler itself ended its wait", handler_unblocks),
        BOTH_CALLS("Linux: siglongjmp out of the wait leaves the queue as it was", long_jump),
        SAYS("Linux: handlers send and receive on the queue they interrupted", amid_calls),
    };

    return RUN("signals", tests);
}

/* mq_notify: which message notifies. */
#include "notify.h"

/* --- messages --------------------------------------------------------------------------------- */

static void one_shot(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    put(q, "x", 0);
    await_notification(1);
    assert_false(taken(q));
    expect(q, "x", 0);
    put(q, "y", 0); /* nobody is registered */
    assert_true(quiet());
    expect(q, "y", 0);
    ok(registers(q, 2));
    put(q, "z", 0);
    await_notification(2);
}

static void not_empty(void **state)
{
    (void)state;
    q = create_quiet(3);
    put(q, "x", 0);
    ok(registers(q, 1));
    put(q, "y", 0);
    assert_true(taken(q));
    expect(q, "x", 0);
    put(q, "z", 5); /* of a higher priority than what is there */
    assert_true(taken(q));
    expect(q, "z", 5);
    expect(q, "y", 0);
    assert_true(taken(q));
    assert_true(quiet());
    put(q, "x", 0); /* now it was empty */
    await_notification(1);
}

static void again_not_empty(void **state)
{
    (void)state;
    q = create_quiet(3);
    ok(registers(q, 1));
    put(q, "x", 0);
    await_notification(1);
    ok(registers(q, 2));
    put(q, "y", 0);
    assert_true(taken(q));
    assert_true(quiet());
}

static void any_message(void **state)
{
    struct timespec soon = in_ms(60000);

    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    ok(mq_send(q, "", 0, 0));
    await_notification(1);
    ok(mq_receive(q, (char[32]){0}, 32, NULL));
    ok(registers(q, 2));
    ok(mq_timedsend(q, "x", 1, 32767, &soon));
    await_notification(2);
}

static void any_access(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers(reopen(O_RDONLY), 1));
    put(q, "x", 0);
    await_notification(1);
    expect(q, "x", 0);
    ok(registers(reopen(O_WRONLY), 2));
    put(q, "x", 0);
    await_notification(2);
}

static void unlinked(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    ok(mq_unlink(name(0)));
    put(q, "x", 0);
    await_notification(1);
}

static void two_queues(void **state)
{
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 32};
    mqd_t other;

    (void)state;
    q = create_quiet(2);
    other = (mqd_t)ok(mq_open(name(1), O_CREAT | O_EXCL | O_RDWR, 0600, &attr));
    ok(registers(q, 1));
    ok(registers(other, 2));
    put(other, "x", 0);
    await_notification(2);
    assert_true(taken(q));
    put(q, "x", 0);
    await_notification(1);
}

/* --- receivers -------------------------------------------------------------------------------- */

static int child_receives(void *arg)
{
    shared->ready++;
    return result(blocking_call((enum call)(intptr_t)arg, q));
}

static void blocked_receiver(void **state)
{
    pid_t pid;

    q = create_quiet(2);
    ok(registers(q, 1));
    for (int i = 0; i < 20; i++) {
        shared->ready = 0;
        pid = spawn(child_receives, *state);
        await_blocked(pid);
        put(q, "x", 0);
        assert_int_equal(reap(pid), 0);
        assert_true(taken(q));
        assert_true(quiet());
    }
    put(q, "x", 0);
    await_notification(1);
}

static void two_receivers(void **state)
{
    pid_t pid[2];

    q = create_quiet(2);
    ok(registers(q, 1));
    for (int i = 0; i < 2; i++) {
        pid[i] = spawn(child_receives, *state);
        await(shared->ready == i + 1);
        await(asleep(pid[i]));
    }
    put(q, "x", 0);
    put(q, "y", 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(reap(pid[i]), 0);
    assert_true(taken(q));
    put(q, "z", 0);
    await_notification(1);
}

/* What a blocked receiver gets was never in the queue: the next message finds it empty. */
static void second_message(void **state)
{
    pid_t pid;

    q = create_quiet(2);
    for (int i = 0; i < 20; i++) {
        ok(registers(q, i));
        shared->ready = 0;
        pid = spawn(child_receives, *state);
        await_blocked(pid);
        ok(mq_send(q, "x", 1, 0));
        ok(mq_send(q, "y", 1, 0));
        await_notification(i);
        assert_int_equal(reap(pid), 0);
        ok(mq_receive(q, (char[32]){0}, 32, NULL));
    }
}

static void *receiving_thread(void *arg)
{
    shared->number[0] = gettid();
    shared->number[1] = result(blocking_call((enum call)(intptr_t)arg, q));
    return NULL;
}

static void own_thread_receives(void **state)
{
    pthread_t thread;

    q = create_quiet(2);
    ok(registers(q, 1));
    assert_int_equal(pthread_create(&thread, NULL, receiving_thread, *state), 0);
    await(shared->number[0] != 0);
    await(asleep((pid_t)shared->number[0]));
    put(q, "x", 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(shared->number[1], 0);
    assert_true(taken(q));
    assert_true(quiet());
}

static void timed_out_receivers(void **state)
{
    (void)state;
    q = create_quiet(2);
    for (int i = 0; i < 5; i++) {
        struct timespec soon = in_ms(20);

        fails(mq_timedreceive(q, (char[32]){0}, 32, NULL, &soon), ETIMEDOUT);
        ok(registers(q, i));
        put(q, "x", 0);
        await_notification(i);
        ok(registers(q, i));
        put(q, "y", 0); /* not into an empty queue */
        assert_true(taken(q));
        ok(mq_notify(q, NULL));
        expect(q, "x", 0);
        expect(q, "y", 0);
    }
}

static int interrupted_receive(void *arg)
{
    handle(SIGUSR1, note, 0);
    return child_receives(arg);
}

static void interrupted_receivers(void **state)
{
    pid_t pid;

    q = create_quiet(2);
    ok(registers(q, 1));
    pid = spawn(interrupted_receive, *state);
    await_blocked(pid);
    kill(pid, SIGUSR1);
    assert_int_equal(reap(pid), EINTR);
    assert_true(taken(q));
    put(q, "x", 0);
    await_notification(1);
}

static void killed_receivers(void **state)
{
    pid_t pid;

    q = create_quiet(2);
    ok(registers(q, 1));
    pid = spawn(child_receives, *state);
    await_blocked(pid);
    murder(pid);
    put(q, "x", 0);
    await_notification(1);
}

static void polling_receivers(void **state)
{
    mqd_t hasty;

    (void)state;
    q = create_quiet(2);
    hasty = reopen(O_RDWR | O_NONBLOCK);
    ok(registers(q, 1));
    fails(mq_receive(hasty, (char[32]){0}, 32, NULL), EAGAIN);
    assert_true(taken(q));
    put(q, "x", 0);
    await_notification(1);
}

/* --- handlers --------------------------------------------------------------------------------- */

#define ROUNDS 1000

static void register_again(int signal, siginfo_t *info, void *context)
{
    int error = errno;
    char buffer[32];

    (void)signal, (void)context;
    if (info->si_code != SI_MESGQ || info->si_value.sival_int != handled)
        _exit(248);
    if (registers(q, ++handled) != 0 || mq_receive(q, buffer, sizeof(buffer), NULL) < 0)
        _exit(247);
    errno = error;
}

static void registers_again(void **state)
{
    (void)state;
    q = create_quiet(2);
    handle(SIGUSR1, register_again, SA_RESTART);
    ok(registers(q, 0));
    for (int i = 1; i <= ROUNDS; i++) {
        ok(mq_send(q, "x", 1, 0));
        assert_int_equal(handled, i);
    }
    assert_true(taken(q));
}

static int handles_many(void *arg)
{
    (void)arg;
    handle(SIGUSR1, register_again, SA_RESTART);
    if (registers(q, 0) != 0)
        return errno;
    shared->ready = 1;
    while (handled < ROUNDS)
        usleep(100000);
    return 0;
}

/* Each message is sent when the one before it was received, in the handler. */
static void registers_again_elsewhere(void **state)
{
    pid_t pid;

    (void)state;
    q = create_quiet(1);
    pid = spawn(handles_many, NULL);
    await(shared->ready);
    for (int i = 0; i < ROUNDS; i++) {
        ok(mq_send(q, "x", 1, 0));
        for (int j = 0; count(q) != 0; j++)
            assert_true(usleep(10) == 0 && j < 1000000);
    }
    assert_int_equal(reap(pid), 0);
}

enum { MANY = 3000 };

static int child_sends_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < MANY; i++)
        if (mq_send(q, "x", 1, 0) < 0)
            return errno;
    return 0;
}

static void register_anew(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    registers(q, 1);
}

/* It came before he could have the message, or there was none, since he was waiting. */
static void interrupts_no_receive(void **state)
{
    struct timespec late = in_ms(3600000);
    pid_t pid;

    (void)state;
    q = create_quiet(4);
    handle(SIGUSR1, register_anew, 0); /* without SA_RESTART */
    ok(registers(q, 1));
    pid = spawn(child_sends_many, NULL);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(mq_timedreceive(q, (char[32]){0}, 32, NULL, &late), 1);
    assert_int_equal(reap(pid), 0);
}

int group_notify_when(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_notify(3): notification occurs once: then the registration is removed", one_shot),
        SAYS("mq_notify(3): only when a message arrives on a queue that was empty", not_empty),
        SAYS("mq_notify(3): if not empty, only after it is emptied and a message arrives",
             again_not_empty),
        SAYS("mq_notify(3): any message notifies: of no bytes, by mq_timedsend", any_message),
        SAYS("Linux: a descriptor for reading or writing alone will do", any_access),
        SAYS("mq_unlink(3): an unlinked queue that is open still notifies", unlinked),
        SAYS("mq_notify(3): each queue has a registration of its own", two_queues),
        CALL("mq_notify(3): a process blocked in mq_receive takes precedence", blocked_receiver,
             RECEIVE),
        CALL("mq_notify(3): a process blocked in mq_timedreceive takes precedence",
             blocked_receiver, TIMEDRECEIVE),
        CALL("POSIX: the registration remains while receivers are blocked", two_receivers, RECEIVE),
        CALL("POSIX: remains in effect, and the next message, with nobody blocked, notifies",
             second_message, RECEIVE),
        CALL("POSIX: the same for a receiver with a deadline", second_message, TIMEDRECEIVE),
        CALL("POSIX: a blocked thread of the registered process takes precedence as well",
             own_thread_receives, RECEIVE),
        SAYS("POSIX: a receiver that timed out is not blocked", timed_out_receivers),
        CALL("POSIX: a receiver that was interrupted is not blocked", interrupted_receivers,
             RECEIVE),
        CALL("POSIX: an interrupted mq_timedreceive is not blocked", interrupted_receivers,
             TIMEDRECEIVE),
        CALL("POSIX: a receiver that was killed is not blocked", killed_receivers, RECEIVE),
        SAYS("POSIX: a receiver that does not wait is not blocked", polling_receivers),
        SAYS("mq_notify(3): the notified process can register again, in its handler, for ever",
             registers_again),
        SAYS("mq_notify(3): and is notified of another process's next message",
             registers_again_elsewhere),
        SAYS("mq_notify(3): it interrupts no receive from the queue that it is about",
             interrupts_no_receive),
    };

    return RUN("notification: when", tests);
}

/* mq_notify by signal: errors, and what is sent.  (By thread: notify_thread.c.) */
#include "notify.h"

#include <sys/signalfd.h>

/* --- errors ----------------------------------------------------------------------------------- */

static void bad_descriptor(void **state)
{
    struct sigevent event = event_of(SIGEV_SIGNAL, 0);
    int closed = (int)ok(dup(0));

    (void)state;
    close(closed);
    fails(mq_notify(closed, &event), EBADF);
    fails(mq_notify(-1, &event), EBADF);
    fails(mq_notify(-1, NULL), EBADF);
}

static void not_a_queue(void **state)
{
    struct sigevent event = event_of(SIGEV_SIGNAL, 0);
    int fds[2];

    (void)state;
    ok(pipe(fds));
    fails(mq_notify(fds[0], &event), EBADF);
    fails(mq_notify(fds[1], NULL), EBADF);
    close(fds[0]);
    close(fds[1]);
}

static void bad_kind(void **state)
{
    static const int kinds[] = {-1, 3, SIGEV_THREAD_ID, 5, 1000};

    (void)state;
    q = create_quiet(2);
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        struct sigevent event = event_of(kinds[i], 0);

        fails(mq_notify(q, &event), EINVAL);
    }
    assert_false(taken(q));
}

static void bad_signal(void **state)
{
    static const int signals[] = {-1, 65, 1000, INT32_MIN, INT32_MAX};
    struct sigevent event = event_of(SIGEV_SIGNAL, 0);

    (void)state;
    q = create_quiet(2);
    for (unsigned i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        event.sigev_signo = signals[i];
        fails(mq_notify(q, &event), EINVAL);
    }
    assert_false(taken(q));
    event.sigev_signo = 64;
    ok(mq_notify(q, &event));
}

static void none_ignores_signal(void **state)
{
    struct sigevent event = event_of(SIGEV_NONE, 0);

    (void)state;
    q = create_quiet(2);
    event.sigev_signo = -5;
    ok(mq_notify(q, &event));
}

static void event_before_descriptor(void **state)
{
    struct sigevent event = event_of(77, 0);

    (void)state;
    fails(mq_notify(-1, &event), EINVAL);
    event = event_of(SIGEV_SIGNAL, 0);
    event.sigev_signo = 99;
    fails(mq_notify(-1, &event), EINVAL);
}

static void event_before_busy(void **state)
{
    struct sigevent event = event_of(77, 0);

    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    fails(mq_notify(q, &event), EINVAL);
}

static void busy_for_others(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    assert_int_equal(in_child(child_registers, NULL), EBUSY);
    put(q, "x", 0);
    await_notification(1);
}

static void busy_for_itself(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    fails(registers(q, 2), EBUSY);
    put(q, "x", 0);
    await_notification(1); /* the first one's */
    assert_true(quiet());
}

static void busy_on_another_descriptor(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    fails(registers(reopen(O_RDWR), 2), EBUSY);
}

static void none_is_busy(void **state)
{
    struct sigevent event = event_of(SIGEV_NONE, 0);

    (void)state;
    q = create_quiet(2);
    ok(mq_notify(q, &event));
    fails(registers(q, 1), EBUSY);
    assert_int_equal(in_child(child_registers, NULL), EBUSY);
}

/* --- what is sent ----------------------------------------------------------------------------- */

static void siginfo_fields(void **state)
{
    struct sigevent event = event_of(SIGEV_SIGNAL, 0);
    siginfo_t info;

    (void)state;
    q = create_quiet(2);
    event.sigev_value.sival_ptr = (void *)UINTPTR_MAX;
    ok(mq_notify(q, &event));
    put(q, "x", 0);
    assert_true(signalled(&info, 60));
    assert_int_equal(info.si_signo, SIGUSR1);
    assert_int_equal(info.si_errno, 0);
    assert_int_equal(info.si_code, SI_MESGQ);
    assert_ptr_equal(info.si_value.sival_ptr, (void *)UINTPTR_MAX);
    assert_int_equal(info.si_pid, getpid());
    assert_int_equal(info.si_uid, getuid());
}

static void senders_pid(void **state)
{
    siginfo_t info;
    pid_t pid;

    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    pid = spawn(child_sends, NULL);
    assert_true(signalled(&info, 60));
    assert_int_equal(info.si_pid, pid);
    assert_int_equal(info.si_uid, getuid());
    assert_int_equal(reap(pid), 0);
}

static int sends_as_another(void *arg)
{
    put(q, "before", 0); /* whatever is known of the user by then is out of date */
    if (mq_receive(q, (char[32]){0}, 32, NULL) != 6)
        return 250;
    shared->ready = 1;
    await(shared->done);
    if (setresuid(12345, (uid_t)-1, (uid_t)-1) != 0)
        return 251;
    return child_sends(arg);
}

static void senders_real_uid(void **state)
{
    siginfo_t info;
    pid_t pid;

    (void)state;
    if (geteuid() != 0) {
        print_message("skip - only root can have another real user id\n");
        skip();
    }
    q = create_quiet(2);
    pid = spawn(sends_as_another, NULL);
    await(shared->ready);
    ok(registers(q, 1));
    shared->done = 1;
    assert_true(signalled(&info, 60));
    assert_int_equal(info.si_uid, 12345);
    assert_int_equal(info.si_pid, pid);
    assert_int_equal(reap(pid), 0);
}

static void handler_at_once(void **state)
{
    (void)state;
    q = create_quiet(2);
    handle(SIGUSR1, note, SA_RESTART);
    for (int i = 1; i <= 100; i++) {
        ok(registers(q, i));
        ok(mq_send(q, "x", 1, 0));
        assert_int_equal(handled, i); /* it ran before mq_send returned */
        assert_int_equal(handled_value, i);
        assert_int_equal(handled_code, SI_MESGQ);
        assert_int_equal(handled_pid, getpid());
        expect(q, "x", 0);
    }
}

static void handler_of_childs_message(void **state)
{
    (void)state;
    q = create_quiet(2);
    handle(SIGUSR1, note, SA_RESTART);
    for (int i = 1; i <= 20; i++) {
        ok(registers(q, i));
        assert_int_equal(in_child(child_sends, NULL), 0);
        await(handled == i);
        assert_int_equal(handled_value, i);
        expect(q, "x", 0);
    }
}

static void realtime_signal(void **state)
{
    struct sigevent event = event_of(SIGEV_SIGNAL, 5);
    struct timespec limit = {.tv_sec = 60};
    sigset_t set;
    siginfo_t info;

    (void)state;
    q = create_quiet(2);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &set, NULL);
    event.sigev_signo = SIGRTMIN + 3;
    for (int i = 0; i < 3; i++) { /* they queue up */
        event.sigev_value.sival_int = i;
        ok(mq_notify(q, &event));
        put(q, "x", 0);
        expect(q, "x", 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sigtimedwait(&set, &info, &limit), SIGRTMIN + 3);
        assert_int_equal(info.si_value.sival_int, i);
    }
    fails(sigtimedwait(&set, &info, &(struct timespec){0}), EAGAIN); /* each came once */
}

static void signal_zero(void **state)
{
    struct sigevent event = event_of(SIGEV_SIGNAL, 0);

    (void)state;
    q = create_quiet(2);
    event.sigev_signo = 0;
    ok(mq_notify(q, &event));
    assert_true(taken(q));
    put(q, "x", 0);
    assert_false(taken(q)); /* used up */
}

static void none_is_silent(void **state)
{
    struct sigevent event = event_of(SIGEV_NONE, 0);

    (void)state;
    q = create_quiet(2);
    ok(mq_notify(q, &event));
    put(q, "x", 0);
    assert_false(taken(q));
    assert_true(quiet());
}

static void ignored_signal(void **state)
{
    sigset_t set = usr1();

    (void)state;
    q = create_quiet(2);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGUSR1, SIG_IGN);
    ok(registers(q, 1));
    put(q, "x", 0);
    assert_false(taken(q));
}

static void by_signalfd(void **state)
{
    struct signalfd_siginfo info;
    sigset_t set = usr1();
    int fd;

    (void)state;
    q = create_quiet(2);
    fd = (int)ok(signalfd(-1, &set, SFD_CLOEXEC));
    ok(registers(q, 77));
    assert_int_equal(in_child(child_sends, NULL), 0);
    assert_int_equal(read(fd, &info, sizeof(info)), sizeof(info));
    assert_int_equal(info.ssi_signo, SIGUSR1);
    assert_int_equal(info.ssi_code, SI_MESGQ);
    assert_int_equal(info.ssi_int, 77);
    close(fd);
}

static int alarmed_receive(void *arg)
{
    mqd_t other = reopen(O_RDWR);
    char buffer[32];

    (void)arg;
    handle(SIGUSR1, note, 0);
    if (registers(q, 3) != 0)
        return errno;
    shared->ready = 1;
    if (mq_receive(other, buffer, sizeof(buffer), NULL) != -1)
        return 250;
    return handled == 1 && handled_value == 3 ? errno : 251;
}

static void interrupts_a_call(void **state)
{
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 32};
    pid_t pid;

    (void)state;
    create_quiet(2); /* where it blocks */
    q = (mqd_t)ok(mq_open(name(1), O_CREAT | O_EXCL | O_RDWR, 0600, &attr));
    pid = spawn(alarmed_receive, NULL);
    await_blocked(pid);
    put(q, "x", 0);
    assert_int_equal(reap(pid), EINTR);
}

int group_notify(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_notify(3): EBADF mqdes is invalid", bad_descriptor),
        SAYS("POSIX: EBADF mqdes is not a message queue descriptor", not_a_queue),
        SAYS("mq_notify(3): EINVAL sigev_notify is not one of the permitted values", bad_kind),
        SAYS("mq_notify(3): EINVAL sigev_signo is not a valid signal number", bad_signal),
        SAYS("Linux: SIGEV_NONE does not look at sigev_signo", none_ignores_signal),
        SAYS("Linux: EINVAL comes before EBADF", event_before_descriptor),
        SAYS("Linux: EINVAL comes before EBUSY", event_before_busy),
        SAYS("mq_notify(3): EBUSY another process has registered", busy_for_others),
        SAYS("POSIX: EBUSY a process is already registered, also the caller", busy_for_itself),
        SAYS("Linux: the registration is the queue's, not the descriptor's",
             busy_on_another_descriptor),
        SAYS("mq_notify(3): SIGEV_NONE is a registration as well", none_is_busy),
        SAYS("mq_notify(3): si_code is SI_MESGQ, si_value is sigev_value", siginfo_fields),
        SAYS("mq_notify(3): si_pid is the process that sent the message", senders_pid),
        SAYS("mq_notify(3): si_uid is the real user ID of the sending process", senders_real_uid),
        SAYS("signal(7): what a process sends itself is delivered before mq_send returns",
             handler_at_once),
        SAYS("mq_notify(3): SIGEV_SIGNAL notifies by sending the signal sigev_signo",
             handler_of_childs_message),
        SAYS("signal(7): real-time signals of several notifications queue up", realtime_signal),
        SAYS("Linux: signal 0 is registered, used up, and never sent", signal_zero),
        SAYS("mq_notify(3): SIGEV_NONE: nobody is notified when a message arrives", none_is_silent),
        SAYS("POSIX: an ignored signal's notification is used up", ignored_signal),
        SAYS("signalfd(2): reads the notification", by_signalfd),
        SAYS("POSIX: the notification's handler interrupts a blocked call", interrupts_a_call),
    };

    return RUN("notification", tests);
}

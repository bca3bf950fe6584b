/* mq_notify: how long a registration holds, and whose it is. */
#include "notify.h"

#include <sys/wait.h>

/* --- how it ends ------------------------------------------------------------------------------ */

static void removed(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    ok(mq_notify(q, NULL));
    assert_false(taken(q));
    put(q, "x", 0);
    assert_true(quiet());
    expect(q, "x", 0);
    ok(registers(q, 2));
    put(q, "x", 0);
    await_notification(2);
}

static void removed_on_another_descriptor(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    ok(mq_notify(reopen(O_RDONLY), NULL));
    assert_false(taken(q));
}

static void nothing_to_remove(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(mq_notify(q, NULL));
    ok(mq_notify(q, NULL));
}

static void others_remove(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    assert_int_equal(in_child(child_unregisters, NULL), 0);
    assert_true(taken(q));
    put(q, "x", 0);
    await_notification(1);
}

/* Once what comes too late to keep it off has returned, it is there: nothing comes later. */
static void comes_before(int value)
{
    siginfo_t info;

    assert_true(signalled(&info, 0));
    assert_int_equal(info.si_code, SI_MESGQ);
    assert_int_equal(info.si_value.sival_int, value);
}

static void fired_before_removal(void **state)
{
    (void)state;
    q = create_quiet(2);
    for (int i = 0; i < 20; i++) {
        ok(registers(q, i));
        assert_int_equal(in_child(child_sends, NULL), 0);
        ok(mq_notify(q, NULL));
        comes_before(i);
        expect(q, "x", 0);
    }
    assert_true(quiet());
}

static void fired_before_closing(void **state)
{
    (void)state;
    create_quiet(2);
    for (int i = 0; i < 20; i++) {
        q = reopen(O_RDWR);
        ok(registers(q, i));
        assert_int_equal(in_child(child_sends, NULL), 0);
        ok(mq_close(q));
        comes_before(i);
        expect(q = reopen(O_RDWR), "x", 0);
    }
    assert_true(quiet());
}

static void fired_before_another(void **state)
{
    (void)state;
    q = create_quiet(2);
    for (int i = 0; i < 20; i++) {
        ok(registers(q, i));
        assert_int_equal(in_child(child_sends, NULL), 0);
        ok(registers(q, 1000));
        comes_before(i);
        ok(mq_notify(q, NULL));
        expect(q, "x", 0);
    }
    assert_true(quiet());
}

static void closed(void **state)
{
    (void)state;
    create_quiet(2);
    q = reopen(O_RDWR);
    ok(registers(q, 1));
    ok(mq_close(q));
    q = reopen(O_RDWR);
    assert_false(taken(q));
    put(q, "x", 0);
    assert_true(quiet());
}

static void another_closed(void **state)
{
    mqd_t other;

    (void)state;
    q = create_quiet(2);
    other = reopen(O_RDONLY);
    ok(registers(q, 1));
    ok(mq_close(other));
    assert_false(taken(q));
}

static void other_queue_closed(void **state)
{
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 32};

    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    ok(mq_close((mqd_t)ok(mq_open(name(1), O_CREAT | O_EXCL | O_RDWR, 0600, &attr))));
    assert_true(taken(q));
}

static void duplicate_closed(void **state)
{
    int copy;

    (void)state;
    q = create_quiet(2);
    copy = (int)ok(dup(q));
    ok(registers(q, 1));
    ok(close(copy));
    assert_false(taken(q));
    ok(registers(q, 1));
    ok(dup2(0, (int)ok(dup(q)))); /* closes it too */
    assert_false(taken(q));
}

static int closes(void *arg)
{
    (void)arg;
    return result(mq_close(q));
}

static void closed_elsewhere(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    assert_int_equal(in_child(closes, NULL), 0);
    assert_true(taken(q));
    put(q, "x", 0);
    await_notification(1);
}

static void registrant_exits(void **state)
{
    (void)state;
    q = create_quiet(2);
    assert_int_equal(in_child(child_registers, NULL), 0);
    ok(registers(q, 2));
    put(q, "x", 0);
    await_notification(2);
}

static void registrant_killed(void **state)
{
    (void)state;
    q = create_quiet(2);
    for (int i = 0; i < 40; i++) { /* more often than there can be traces of it */
        pid_t pid;

        shared->ready = 0;
        pid = registrant();
        assert_true(taken(q));
        murder(pid);
        assert_false(taken(q));
    }
    ok(registers(q, 2));
    put(q, "x", 0);
    await_notification(2);
}

static int child_execs(void *arg)
{
    int r = child_registers(arg);
    char *argv[] = {"sleep", "1000", NULL};

    shared->ready = r == 0;
    await(shared->done);
    if (r == 0)
        execvp(argv[0], argv);
    return r == 0 ? 249 : r;
}

static void registrant_execs(void **state)
{
    pid_t pid;

    (void)state;
    q = create_quiet(2);
    pid = spawn(child_execs, NULL);
    await(shared->ready);
    assert_true(taken(q));
    shared->done = 1;
    await(!taken(q));
    assert_int_equal(kill(pid, 0), 0); /* it lives */
    ok(registers(q, 2));
    put(q, "x", 0);
    await_notification(2);
    murder(pid);
}

/* --- fork ------------------------------------------------------------------------------------- */

static int child_is_not_registered(void *arg)
{
    (void)arg;
    if (mq_notify(q, NULL) != 0 || !taken(q)) /* it is not the child's to remove */
        return 250;
    return result(mq_send(q, "x", 1, 0));
}

static void parent_stays_registered(void **state)
{
    siginfo_t info;
    pid_t pid;

    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1));
    pid = spawn(child_is_not_registered, NULL);
    assert_true(signalled(&info, 60));
    assert_int_equal(info.si_pid, pid);
    assert_int_equal(reap(pid), 0);
}

static int child_is_notified(void *arg)
{
    (void)arg;
    if (registers(q, 9) != 0)
        return errno;
    shared->ready = 1;
    await_notification(9);
    if (registers(q, 10) != 0)
        return errno;
    ok(mq_receive(q, (char[32]){0}, 32, NULL));
    put(q, "own", 0);
    await_notification(10);
    return 0;
}

static void child_registers_itself(void **state)
{
    pid_t pid;

    (void)state;
    q = create_quiet(2);
    ok(registers(q, 1)); /* whatever that takes, the child has none of it */
    put(q, "x", 0);
    await_notification(1);
    expect(q, "x", 0);
    pid = spawn(child_is_notified, NULL);
    await(shared->ready);
    put(q, "x", 0);
    assert_int_equal(reap(pid), 0);
    assert_true(quiet());
}

/* --- several processes ------------------------------------------------------------------------ */

static int sends_when_told(void *arg)
{
    shared->ready++;
    while (!shared->done)
        ;
    return child_sends(arg);
}

static void senders_at_once(void **state)
{
    pid_t pid[4];

    (void)state;
    q = create_quiet(4);
    for (int i = 0; i < 25; i++) {
        shared->ready = shared->done = 0;
        ok(registers(q, i));
        for (int j = 0; j < 4; j++)
            pid[j] = spawn(sends_when_told, (void *)(intptr_t)j);
        await(shared->ready == 4);
        shared->done = 1;
        for (int j = 0; j < 4; j++)
            assert_int_equal(reap(pid[j]), 0);
        await_notification(i);
        assert_false(taken(q));
        assert_true(quiet());
        for (int j = 0; j < 4; j++)
            ok(mq_receive(q, (char[32]){0}, 32, NULL));
    }
}

static int registers_when_told(void *arg)
{
    shared->ready++;
    while (!shared->done)
        ;
    if (child_registers(arg) != 0)
        return errno;
    shared->signals++;
    await(shared->number[0]);
    return 0;
}

static void registrants_at_once(void **state)
{
    pid_t pid[4];

    (void)state;
    q = create_quiet(4);
    for (int i = 0; i < 25; i++) {
        int held = 0;

        shared->ready = shared->done = shared->signals = 0;
        shared->number[0] = 0;
        for (int j = 0; j < 4; j++)
            pid[j] = spawn(registers_when_told, NULL);
        await(shared->ready == 4);
        shared->done = 1;
        await(shared->signals == 1);
        shared->number[0] = 1;
        for (int j = 0; j < 4; j++) {
            int r = reap(pid[j]);

            assert_true(r == 0 || r == EBUSY);
            held += r == 0;
        }
        /* More than one only if the first was gone by then. */
        assert_true(held >= 1 && held == shared->signals);
    }
}

static int is_notified(void *arg)
{
    int r = child_registers(arg);

    shared->ready = r == 0;
    if (r == 0)
        await_notification(1);
    return r;
}

static void stop(pid_t pid)
{
    int status;

    kill(pid, SIGSTOP);
    assert_int_equal(ok(waitpid(pid, &status, WUNTRACED)), pid);
    assert_true(WIFSTOPPED(status));
}

static void registrant_stopped(void **state)
{
    pid_t pid;

    (void)state;
    q = create_quiet(2);
    pid = spawn(is_notified, NULL);
    await(shared->ready);
    stop(pid);
    assert_true(taken(q)); /* stopped or not */
    put(q, "x", 0);
    assert_false(taken(q));
    expect(q, "x", 0);
    ok(registers(q, 2)); /* it is used up, so another can register */
    put(q, "x", 0);
    await_notification(2);
    kill(pid, SIGCONT);
    assert_int_equal(reap(pid), 0);
}

int group_notify_end(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_notify(3): NULL: the registration is removed", removed),
        SAYS("Linux: NULL removes it on any of the queue's descriptors",
             removed_on_another_descriptor),
        SAYS("Linux: NULL succeeds where nothing is registered", nothing_to_remove),
        SAYS("Linux: NULL of another process removes nothing", others_remove),
        SAYS("Linux: what was sent before the removal is delivered by then", fired_before_removal),
        SAYS("Linux: what was sent before the closing is delivered by then", fired_before_closing),
        SAYS("Linux: what was sent before a registration is delivered by then",
             fired_before_another),
        SAYS("mq_close(3): a notification request attached via this descriptor is removed", closed),
        SAYS("Linux: closing any of the process's descriptors of the queue removes it",
             another_closed),
        SAYS("mq_close(3): closing another queue does not", other_queue_closed),
        SAYS("Linux: close and dup2 on a duplicate remove it too", duplicate_closed),
        SAYS("Linux: closing in another process does not", closed_elsewhere),
        SAYS("mq_notify(3): it is gone when its process exits", registrant_exits),
        SAYS("mq_notify(3): and when its process is killed: another can register at once",
             registrant_killed),
        SAYS("execve(2): descriptors are closed, so the registration is gone", registrant_execs),
        SAYS("mq_overview(7): a child is not registered, its parent stays",
             parent_stays_registered),
        SAYS("mq_overview(7): a child can register itself", child_registers_itself),
        SAYS("POSIX: of messages sent at the same time one notifies", senders_at_once),
        SAYS("POSIX: of processes that register at the same time one succeeds",
             registrants_at_once),
        SAYS("signal(7): a stopped process is notified, and finds out when it goes on",
             registrant_stopped),
    };

    return RUN("notification: until when", tests);
}

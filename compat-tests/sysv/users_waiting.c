/* Users who wait on one queue, and what ends that: a message, room, another's doing, a signal. */
#include "users.h"

#include <signal.h>

static int waits_for(int q, long type)
{
    struct message m;

    shared->ready = 1;
    if (msgrcv(q, &m, sizeof(m.text), type, 0) == -1)
        return errno;
    return m.type == labs(type) ? 0 : 255;
}

static void woken_by_type(void **state)
{
    pid_t five, third_five, nine;
    int q;

    (void)state;
    q = of_mode(0666);
    five = blocked_as(&stranger, waits_for, q, 5);
    nine = blocked_as(&third, waits_for, q, -9);
    third_five = blocked_as(&third, waits_for, q, 5);
    as(&owner, sends, q, 10); /* nobody's */
    as(&owner, sends, q, 9);
    assert_int_equal(reap(nine), 0);
    as(&owner, sends, q, 5);
    as(&stranger, sends, q, 5);
    assert_int_equal(reap(five), 0);
    assert_int_equal(reap(third_five), 0);
    as(&stranger, receives, q, 10);
    as(&stranger, finds_none, q, 0);
    as(&owner, removes, q, 0);
}

static int waits_to_send(int q, long type)
{
    shared->ready = 1;
    return send_text(q, type, "text", 0) == 0 ? 0 : errno;
}

static int sets_room(int q, long bytes)
{
    struct msqid_ds ds;

    must(msgctl(q, IPC_STAT, &ds) == 0);
    ds.msg_qbytes = (unsigned long)bytes;
    must(msgctl(q, IPC_SET, &ds) == 0);
    return 0;
}

static int finds_no_room(int q, long unused)
{
    (void)unused;
    must_fail(send_text(q, 3, "text", IPC_NOWAIT), EAGAIN);
    return 0;
}

static int full(void)
{
    int q = of_mode(0666);

    as(&owner, sets_room, q, 6);
    as(&stranger, sends, q, 1);
    as(&stranger, finds_no_room, q, 0);
    return q;
}

static void woken_by_room(void **state)
{
    pid_t waits;
    int q;

    (void)state;
    q = full();
    waits = blocked_as(&stranger, waits_to_send, q, 2);
    as(&owner, receives, q, 1);
    assert_int_equal(reap(waits), 0);
    waits = blocked_as(&stranger, waits_to_send, q, 3);
    as(&owner, sets_room, q, 8);
    assert_int_equal(reap(waits), 0);
    as(&third, receives, q, 2);
    as(&third, receives, q, 3);
    as(&owner, removes, q, 0);
}

static void removed_while_blocked(void **state)
{
    pid_t waits[3];
    int q;

    (void)state;
    q = full();
    waits[0] = blocked_as(&stranger, waits_for, q, 5);
    waits[1] = blocked_as(&third, waits_to_send, q, 2);
    waits[2] = blocked_as(&third, waits_for, q, 6);
    as(&owner, removes, q, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(reap(waits[i]), EIDRM);
}

static void forbidden_while_blocked(void **state)
{
    pid_t waits;
    int q;

    (void)state;
    q = of_mode(0666);
    waits = blocked_as(&stranger, waits_for, q, 5);
    as(&owner, sets_mode, q, 0600);
    assert_int_equal(reap(waits), EACCES);
    as(&owner, removes, q, 0);
}

static void note(int unused)
{
    (void)unused;
    shared->signals++;
}

static int is_interrupted(int q, long sending)
{
    struct sigaction sa = {.sa_handler = note, .sa_flags = SA_RESTART};

    sigaction(SIGUSR1, &sa, NULL);
    return (int)(sending ? waits_to_send(q, 2) : waits_for(q, 5));
}

static void interrupted(void **state)
{
    int q;

    (void)state;
    q = full();
    for (long sending = 0; sending < 2; sending++) {
        pid_t waits = blocked_as(&stranger, is_interrupted, q, sending);

        ok(kill(waits, SIGUSR1));
        assert_int_equal(reap(waits), EINTR);
    }
    assert_int_equal(shared->signals, 2);
    as(&owner, receives, q, 1);
    as(&owner, finds_none, q, 0);
    as(&owner, removes, q, 0);
}

/* One that is killed in its sleep leaves the messages to others. */
static void killed(void **state)
{
    pid_t waits, next;
    int q;

    (void)state;
    q = of_mode(0666);
    waits = blocked_as(&stranger, waits_for, q, 5);
    next = blocked_as(&third, waits_for, q, 5);
    ok(kill(waits, SIGKILL));
    assert_int_equal(reap(waits), 1000 + SIGKILL);
    as(&owner, sends, q, 5);
    assert_int_equal(reap(next), 0);
    as(&owner, removes, q, 0);
}

int group_users_waiting(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgrcv(2): blocked on another user's queue, each is woken for his type",
             woken_by_type),
        SAYS("msgsnd(2): blocked on another user's queue, by a message received, or IPC_SET",
             woken_by_room),
        SAYS("msgrcv(2), msgsnd(2): EIDRM another user's queue is removed meanwhile",
             removed_while_blocked),
        SAYS("msgrcv(2): EACCES the mode of another user's queue forbids it meanwhile",
             forbidden_while_blocked),
        SAYS("signal(7): EINTR on another user's queue, also under SA_RESTART", interrupted),
        SAYS("msgrcv(2): who is killed while blocked takes no message along", killed),
    };

    return RUN("users: waiting", tests);
}

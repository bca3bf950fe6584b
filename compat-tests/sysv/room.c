/* How much a queue takes: the rules of msg_qbytes. */
#include "sysv.h"

static int with_room(unsigned long bytes)
{
    int q = create();

    set_qbytes(q, bytes);
    return q;
}

static void bytes(void **state)
{
    int q;

    (void)state;
    q = with_room(10);
    put(q, 1, "123456");
    put(q, 1, "7890");
    fails(send_text(q, 1, "x", IPC_NOWAIT), EAGAIN);
    expect(q, 0, 0, 1, "123456");
    put(q, 1, "abcdef");
}

static void messages(void **state)
{
    int q;

    (void)state;
    q = with_room(5);
    for (int i = 0; i < 5; i++)
        put(q, 1, "");
    fails(send_text(q, 1, "", IPC_NOWAIT), EAGAIN);
    expect(q, 0, 0, 1, "");
    put(q, 1, "");
    fails(send_text(q, 1, "", IPC_NOWAIT), EAGAIN);
}

/* Full by bytes, a queue still takes messages that have none. */
static void empty_ones_fit(void **state)
{
    int q;

    (void)state;
    q = with_room(4);
    put(q, 1, "text");
    fails(send_text(q, 1, "x", IPC_NOWAIT), EAGAIN);
    for (int i = 0; i < 3; i++)
        put(q, 2, "");
    fails(send_text(q, 2, "", IPC_NOWAIT), EAGAIN);
    assert_int_equal(status(q).msg_qnum, 4);
}

static void smaller_fits(void **state)
{
    int q;

    (void)state;
    q = with_room(10);
    put(q, 1, "1234567");
    fails(send_text(q, 1, "1234", IPC_NOWAIT), EAGAIN);
    put(q, 1, "123");
    fails(send_text(q, 1, "1", IPC_NOWAIT), EAGAIN);
}

static void never_fits(void **state)
{
    int q;

    (void)state;
    q = with_room(3);
    fails(send_text(q, 1, "text", IPC_NOWAIT), EAGAIN);
    assert_int_equal(status(q).msg_qnum, 0);
    put(q, 1, "fit");
}

static void nothing_fits(void **state)
{
    int q;

    (void)state;
    q = with_room(0);
    fails(send_text(q, 1, "", IPC_NOWAIT), EAGAIN);
    fails(send_text(q, 1, "x", IPC_NOWAIT), EAGAIN);
}

static void failure_leaves(void **state)
{
    struct msqid_ds before, after;
    int q;

    (void)state;
    q = with_room(4);
    put(q, 1, "text");
    before = status(q);
    for (int i = 0; i < 10; i++)
        fails(send_text(q, 2, "more", IPC_NOWAIT), EAGAIN);
    after = status(q);
    assert_memory_equal(&before, &after, sizeof(before));
    expect(q, 0, 0, 1, "text");
    expect_none(q, 0, 0);
}

/* The room that a message had is there again: however it was taken. */
static void room_returns(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = with_room(8);
    for (int i = 0; i < 100; i++) {
        put(q, 2, "12345678");
        if (i % 3 == 0)
            expect(q, 0, 0, 2, "12345678");
        else if (i % 3 == 1)
            expect(q, -9, 0, 2, "12345678");
        else
            assert_int_equal(ok(msgrcv(q, &m, 3, 2, MSG_NOERROR)), 3);
        assert_int_equal(status(q).msg_cbytes, 0);
    }
}

/* Lowered below what is there, nothing is lost, and nothing fits. */
static void lowered(void **state)
{
    int q;

    (void)state;
    q = with_room(100);
    for (int i = 0; i < 5; i++)
        put(q, 1, "text");
    set_qbytes(q, 10);
    assert_int_equal(status(q).msg_qnum, 5);
    for (int i = 0; i < 3; i++) {
        fails(send_text(q, 1, "", IPC_NOWAIT), EAGAIN);
        expect(q, 0, 0, 1, "text");
    }
    put(q, 1, "ab");
    fails(send_text(q, 1, "c", IPC_NOWAIT), EAGAIN);
}

static void raised(void **state)
{
    int q;

    (void)state;
    q = with_room(4);
    put(q, 1, "text");
    fails(send_text(q, 1, "more", IPC_NOWAIT), EAGAIN);
    set_qbytes(q, 8);
    put(q, 1, "more");
}

/* As many as the system lets a queue have without a change. */
static void default_room(void **state)
{
    unsigned long each = 1000, room, sent = 0;
    char *m = calloc(1, sizeof(long) + each);
    int q;

    (void)state;
    *(long *)m = 1;
    q = create();
    room = status(q).msg_qbytes < 1000000 ? status(q).msg_qbytes : 1000000;
    set_qbytes(q, room);
    while (msgsnd(q, m, each, IPC_NOWAIT) == 0)
        sent++;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(sent, room / each);
    assert_int_equal(status(q).msg_cbytes, sent * each);
    free(m);
}

int group_room(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgop(2): full if the number of bytes would exceed msg_qbytes", bytes),
        SAYS("msgop(2): full if the number of messages would exceed msg_qbytes", messages),
        SAYS("msgop(2): each rule for itself: full of bytes, zero-length messages fit",
             empty_ones_fit),
        SAYS("msgsnd: EAGAIN is for this message; a smaller one may fit", smaller_fits),
        SAYS("msgsnd: EAGAIN also in an empty queue, if msg_qbytes is less than msgsz", never_fits),
        SAYS("Linux: with msg_qbytes 0, not even a zero-length message fits", nothing_fits),
        SAYS("POSIX: EAGAIN: no message is sent, and nothing changes", failure_leaves),
        SAYS("POSIX: msgrcv makes room, whichever message it takes, and however much of it",
             room_returns),
        SAYS("msgctl(2): msg_qbytes may be set below what the queue holds", lowered),
        SAYS("msgctl(2): msg_qbytes is raised, and there is room at once", raised),
        SAYS("msgop(2): the queue capacity is governed by the msg_qbytes field", default_room),
    };

    return RUN("msg_qbytes", tests);
}

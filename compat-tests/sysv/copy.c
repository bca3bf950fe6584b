/* MSG_COPY: looking at a message without taking it. */
#include "sysv.h"

#define COPY (MSG_COPY | IPC_NOWAIT)

/* Kernels may be built without it. */
static int with_messages(void)
{
    struct message m;
    int q = create();

    if (msgrcv(q, &m, sizeof(m.text), 0, COPY) == -1 && errno == ENOSYS) {
        print_message("skip: this kernel has no MSG_COPY\n");
        skip();
    }
    put(q, 5, "first");
    put(q, 3, "second");
    put(q, 9, "third");
    return q;
}

static void copies(void **state)
{
    int q;

    (void)state;
    q = with_messages();
    expect(q, 0, COPY, 5, "first");
    expect(q, 2, COPY, 9, "third");
    expect(q, 1, COPY, 3, "second");
}

static void stays(void **state)
{
    struct msqid_ds before, after;
    int q;

    (void)state;
    q = with_messages();
    before = status(q);
    for (int i = 0; i < 9; i++)
        ok(msgrcv(q, &(struct message){0}, 32, i % 3, COPY));
    after = status(q);
    assert_int_equal(after.msg_qnum, before.msg_qnum);
    assert_int_equal(after.msg_cbytes, before.msg_cbytes);
    expect(q, 0, 0, 5, "first");
    expect(q, 0, 0, 3, "second");
    expect(q, 0, 0, 9, "third");
}

static void renumbered(void **state)
{
    int q;

    (void)state;
    q = with_messages();
    expect(q, 3, 0, 3, "second");
    expect(q, 1, COPY, 9, "third");
    expect(q, 0, 0, 5, "first");
    expect(q, 0, COPY, 9, "third");
}

static void beyond(void **state)
{
    int q;

    (void)state;
    q = with_messages();
    expect_none(q, 3, COPY);
    expect_none(q, LONG_MAX, COPY);
    expect_none(create(), 0, COPY);
}

static void negative(void **state)
{
    int q;

    (void)state;
    q = with_messages();
    expect_none(q, -1, COPY);
    expect_none(q, LONG_MIN, COPY);
}

static void must_not_wait(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = with_messages();
    fails(msgrcv(q, &m, sizeof(m.text), 0, MSG_COPY), EINVAL);
    fails(msgrcv(q, &m, sizeof(m.text), 9, MSG_COPY), EINVAL);
    assert_int_equal(status(q).msg_qnum, 3);
}

static void not_except(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = with_messages();
    fails(msgrcv(q, &m, sizeof(m.text), 0, COPY | MSG_EXCEPT), EINVAL);
    fails(msgrcv(q, &m, sizeof(m.text), 1, COPY | MSG_EXCEPT), EINVAL);
    assert_int_equal(status(q).msg_qnum, 3);
}

static void too_big(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = with_messages();
    fails(msgrcv(q, &m, 4, 0, COPY), E2BIG);
    fails(msgrcv(q, &m, 0, 0, COPY), E2BIG);
    assert_int_equal(msgrcv(q, &m, 5, 0, COPY), 5);
}

static void does_not_truncate(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = with_messages();
    fails(msgrcv(q, &m, 4, 0, COPY | MSG_NOERROR), EINVAL);
    assert_int_equal(msgrcv(q, &m, 5, 0, COPY | MSG_NOERROR), 5);
    assert_int_equal(status(q).msg_qnum, 3);
}

int group_copy(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgop(2): MSG_COPY: a copy of the message at the ordinal position msgtyp", copies),
        SAYS("msgop(2): MSG_COPY is nondestructive", stays),
        SAYS("msgop(2): MSG_COPY: messages are considered to be numbered starting at 0",
             renumbered),
        SAYS("msgrcv: ENOMSG MSG_COPY, and the queue contains less than msgtyp messages", beyond),
        SAYS("Linux: ENOMSG MSG_COPY, and msgtyp is negative", negative),
        SAYS("msgrcv: EINVAL msgflg specified MSG_COPY, but not IPC_NOWAIT", must_not_wait),
        SAYS("msgrcv: EINVAL msgflg specified both MSG_COPY and MSG_EXCEPT", not_except),
        SAYS("msgrcv: E2BIG also with MSG_COPY", too_big),
        SAYS("Linux: EINVAL MSG_COPY with MSG_NOERROR does not truncate", does_not_truncate),
    };

    return RUN("MSG_COPY", tests);
}

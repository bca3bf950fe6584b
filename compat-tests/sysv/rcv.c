/* msgrcv: the buffer, and what does not fit in it. */
#include "sysv.h"

static void returns_size(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = create();
    put(q, 1, "12345");
    assert_int_equal(msgrcv(q, &m, sizeof(m.text), 0, 0), 5);
    put(q, 1, "");
    assert_int_equal(msgrcv(q, &m, sizeof(m.text), 0, 0), 0);
}

static void removes(void **state)
{
    int q;

    (void)state;
    q = create();
    put(q, 1, "text");
    expect(q, 0, 0, 1, "text");
    expect_none(q, 0, 0);
    assert_int_equal(status(q).msg_qnum, 0);
}

static void exactly_fits(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = create();
    put(q, 1, "12345");
    assert_int_equal(msgrcv(q, &m, 5, 0, 0), 5);
}

/* What lies behind the message is the caller's. */
static void rest_is_untouched(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = create();
    put(q, 7, "12345");
    memset(&m, 'x', sizeof(m));
    assert_int_equal(msgrcv(q, &m, sizeof(m.text), 0, 0), 5);
    assert_int_equal(m.type, 7);
    assert_memory_equal(m.text, "12345xxxxx", 10);
    assert_int_equal(m.text[sizeof(m.text) - 1], 'x');
}

static void large_buffer(void **state)
{
    size_t size;
    int q;
    long *m;

    (void)state;
    size = (size_t)limits().msgmax + 100000;
    m = malloc(sizeof(long) + size);
    assert_non_null(m);
    q = create();
    put(q, 1, "text");
    assert_int_equal(msgrcv(q, m, size, 0, 0), 4);
    free(m);
}

static void negative_size(void **state)
{
    volatile size_t size = (size_t)-1;
    struct message m;
    int q;

    (void)state;
    q = create();
    put(q, 1, "text");
    fails(msgrcv(q, &m, size, 0, 0), EINVAL);
    fails(msgrcv(q, &m, size, 0, IPC_NOWAIT | MSG_NOERROR), EINVAL);
    assert_int_equal(status(q).msg_qnum, 1);
}

static void none(void **state)
{
    int q;

    (void)state;
    q = create();
    expect_none(q, 0, 0);
    expect_none(q, 1, 0);
    expect_none(q, -1, 0);
    expect_none(q, 1, MSG_EXCEPT);
}

static void failure_touches_nothing(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = create();
    memset(&m, 'x', sizeof(m));
    fails(msgrcv(q, &m, sizeof(m.text), 0, IPC_NOWAIT), ENOMSG);
    put(q, 1, "text");
    fails(msgrcv(q, &m, 3, 0, 0), E2BIG);
    for (size_t i = 0; i < sizeof(m); i++)
        assert_int_equal(((char *)&m)[i], 'x');
}

/* --- E2BIG, MSG_NOERROR
 * ------------------------------------------------------------------------------ */

static void too_big(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = create();
    put(q, 3, "12345");
    fails(msgrcv(q, &m, 4, 0, 0), E2BIG);
    fails(msgrcv(q, &m, 0, 0, 0), E2BIG);
    fails(msgrcv(q, &m, 4, 3, IPC_NOWAIT), E2BIG);
    fails(msgrcv(q, &m, 4, -3, IPC_NOWAIT), E2BIG);
    fails(msgrcv(q, &m, 4, 1, MSG_EXCEPT), E2BIG);
}

static void too_big_stays(void **state)
{
    struct msqid_ds before, after;
    struct message m;
    int q;

    (void)state;
    q = create();
    put(q, 3, "12345");
    put(q, 3, "next");
    before = status(q);
    for (int i = 0; i < 10; i++)
        fails(msgrcv(q, &m, 4, 0, 0), E2BIG);
    after = status(q);
    assert_memory_equal(&before, &after, sizeof(before));
    expect(q, 0, 0, 3, "12345");
    expect(q, 0, 0, 3, "next");
}

/* It is not passed over for one that fits. */
static void too_big_is_first(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = create();
    put(q, 3, "12345");
    put(q, 3, "12");
    put(q, 2, "34");
    fails(msgrcv(q, &m, 2, 0, 0), E2BIG);
    fails(msgrcv(q, &m, 2, 3, 0), E2BIG);
    assert_int_equal(msgrcv(q, &m, 2, -3, 0), 2);
    assert_int_equal(m.type, 2);
}

static void truncates(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = create();
    put(q, 3, "12345");
    memset(&m, 'x', sizeof(m));
    assert_int_equal(msgrcv(q, &m, 3, 0, MSG_NOERROR), 3);
    assert_int_equal(m.type, 3);
    assert_memory_equal(m.text, "123xx", 5);
}

static void rest_is_lost(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = create();
    put(q, 3, "12345");
    put(q, 3, "next");
    assert_int_equal(msgrcv(q, &m, 3, 0, MSG_NOERROR), 3);
    assert_int_equal(status(q).msg_cbytes, 4);
    expect(q, 0, 0, 3, "next");
    expect_none(q, 0, 0);
}

static void truncates_to_nothing(void **state)
{
    struct message m;
    int q;

    (void)state;
    q = create();
    put(q, 3, "12345");
    m.text[0] = 'x';
    assert_int_equal(msgrcv(q, &m, 0, 0, MSG_NOERROR), 0);
    assert_int_equal(m.type, 3);
    assert_int_equal(m.text[0], 'x');
    expect_none(q, 0, 0);
}

static void truncates_only_if_need_be(void **state)
{
    int q;

    (void)state;
    q = create();
    put(q, 3, "12345");
    expect(q, 0, MSG_NOERROR, 3, "12345");
}

/* A long one, from wherever the library keeps those. */
static void truncates_long(void **state)
{
    static struct {
        long type;
        char text[8000];
    } m, got;
    int q;

    (void)state;
    q = create();
    m.type = 2;
    for (size_t i = 0; i < sizeof(m.text); i++)
        m.text[i] = (char)(i * 31);
    for (size_t size = 0; size <= sizeof(m.text); size += 500) {
        memset(&got, 0x7e, sizeof(got));
        ok(msgsnd(q, &m, sizeof(m.text), 0));
        assert_int_equal(msgrcv(q, &got, size, 0, MSG_NOERROR), size);
        assert_memory_equal(got.text, m.text, size);
        assert_true(size == sizeof(m.text) || got.text[size] == 0x7e);
    }
}

/* --- errors
 * ------------------------------------------------------------------------------------------- */

static void null_pointer(void **state)
{
    void *volatile nothing = NULL;
    int q;

    (void)state;
    q = create();
    fails(msgrcv(q, nothing, 10, 0, IPC_NOWAIT), ENOMSG);
    put(q, 1, "text");
    fails(msgrcv(q, nothing, 10, 0, 0), EFAULT);
}

static int receive_without_permission(void *arg)
{
    struct message m;
    int q;

    (void)arg;
    become(USER);
    must((q = msgget(IPC_PRIVATE, 0200)) >= 0);
    must_fail(msgrcv(q, &m, sizeof(m.text), 0, IPC_NOWAIT), EACCES);
    must(send_text(q, 1, "text", IPC_NOWAIT) == 0);
    must_fail(msgrcv(q, &m, sizeof(m.text), 0, IPC_NOWAIT), EACCES);
    must_fail(msgrcv(q, &m, sizeof(m.text), 0, IPC_NOWAIT | MSG_COPY), EACCES);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    return 0;
}

static void no_permission(void **state)
{
    (void)state;
    assert_int_equal(in_child(receive_without_permission, NULL), 0);
}

static void other_flags(void **state)
{
    int q;

    (void)state;
    q = create();
    put(q, 1, "text");
    expect(q, 0, IPC_CREAT | 0x100000, 1, "text");
}

int group_rcv(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgop(2): msgrcv() returns the number of bytes copied into the mtext array",
             returns_size),
        SAYS("msgop(2): removes a message from the queue", removes),
        SAYS("msgop(2): a message text of length msgsz fits", exactly_fits),
        SAYS("POSIX: mtype is the message's type; what lies behind its text stays as it is",
             rest_is_untouched),
        SAYS("Linux: msgsz may be greater than MSGMAX", large_buffer),
        SAYS("msgrcv: EINVAL msgsz was less than 0", negative_size),
        SAYS("msgrcv: ENOMSG IPC_NOWAIT, and the queue is empty", none),
        SAYS("Linux: a msgrcv that fails leaves the buffer as it was", failure_touches_nothing),
        SAYS("msgrcv: E2BIG the text is longer than msgsz, without MSG_NOERROR", too_big),
        SAYS("msgrcv: E2BIG: the message isn't removed from the queue", too_big_stays),
        SAYS("msgrcv: E2BIG also if a later message would fit", too_big_is_first),
        SAYS("msgop(2): MSG_NOERROR: the message text will be truncated", truncates),
        SAYS("msgop(2): MSG_NOERROR: the truncated part will be lost", rest_is_lost),
        SAYS("msgop(2): MSG_NOERROR and msgsz 0: the type alone", truncates_to_nothing),
        SAYS("msgop(2): MSG_NOERROR: a text that fits is whole", truncates_only_if_need_be),
        SAYS("msgop(2): MSG_NOERROR: a long text, to any length", truncates_long),
        SAYS("msgrcv: EFAULT the address pointed to by msgp isn't accessible: NULL", null_pointer),
        SAYS("msgrcv: EACCES no read permission on the message queue", no_permission),
        SAYS("Linux: msgrcv ignores bits of msgflg that mean nothing to it", other_flags),
    };

    return RUN("msgrcv", tests);
}

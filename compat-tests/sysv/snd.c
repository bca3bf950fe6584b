/* msgsnd: messages, their types and sizes. */
#include "sysv.h"

static void types(void **state)
{
    static const long types[] = {1, 2, 77, INT_MAX, (long)INT_MAX + 1, LONG_MAX - 1, LONG_MAX};
    int q;

    (void)state;
    q = create();
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        put(q, types[i], "text");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        expect(q, types[i], 0, types[i], "text");
}

static void type_zero(void **state)
{
    int q;

    (void)state;
    q = create();
    fails(send_text(q, 0, "text", 0), EINVAL);
    assert_int_equal(status(q).msg_qnum, 0);
}

static void type_negative(void **state)
{
    int q;

    (void)state;
    q = create();
    fails(send_text(q, -1, "text", 0), EINVAL);
    fails(send_text(q, LONG_MIN, "text", 0), EINVAL);
    assert_int_equal(status(q).msg_qnum, 0);
}

static void empty(void **state)
{
    int q;

    (void)state;
    q = create();
    put(q, 5, "");
    assert_int_equal(status(q).msg_qnum, 1);
    assert_int_equal(status(q).msg_cbytes, 0);
    expect(q, 0, 0, 5, "");
    expect_none(q, 0, 0);
}

/* A message of that size, its bytes by number, through the queue. */
static void transfer(int q, size_t size)
{
    long *out = malloc(sizeof(long) + size + 1), *in = malloc(sizeof(long) + size + 1);
    unsigned char *bytes = (unsigned char *)(out + 1);

    assert_non_null(out);
    assert_non_null(in);
    *out = 3;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 7 + (i >> 8) + size);
    memset(in, 0xee, sizeof(long) + size + 1);
    ok(msgsnd(q, out, size, IPC_NOWAIT));
    assert_int_equal(status(q).msg_cbytes, size);
    assert_int_equal(ok(msgrcv(q, in, size, 0, IPC_NOWAIT)), size);
    assert_int_equal(*in, 3);
    assert_memory_equal(in + 1, out + 1, size);
    assert_int_equal(((unsigned char *)(in + 1))[size], 0xee);
    free(out);
    free(in);
}

static void sizes(void **state)
{
    static const size_t sizes[] = {0,  1,  2,   7,   8,    9,    31,   32,   33,   47,
                                   48, 49, 100, 511, 1000, 4000, 4047, 4048, 4049, 8191};
    int q;

    (void)state;
    q = create();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        transfer(q, sizes[i]);
}

static void largest(void **state)
{
    size_t max;
    int q;

    (void)state;
    max = (size_t)limits().msgmax;
    q = create();
    transfer(q, max - 1);
    transfer(q, max);
}

static void too_large(void **state)
{
    size_t max;
    long *m;
    int q;

    (void)state;
    max = (size_t)limits().msgmax;
    m = calloc(1, sizeof(long) + max + 1);
    assert_non_null(m);
    *m = 1;
    q = create();
    fails(msgsnd(q, m, max + 1, 0), EINVAL);
    fails(msgsnd(q, m, max + 1, IPC_NOWAIT), EINVAL);
    fails(msgsnd(q, m, LONG_MAX, 0), EINVAL);
    assert_int_equal(status(q).msg_qnum, 0);
    free(m);
}

static void negative_size(void **state)
{
    struct message m = {.type = 1};
    volatile size_t size = (size_t)-1;
    int q;

    (void)state;
    q = create();
    fails(msgsnd(q, &m, size, 0), EINVAL);
    size = (size_t)LONG_MIN;
    fails(msgsnd(q, &m, size, 0), EINVAL);
    assert_int_equal(status(q).msg_qnum, 0);
}

static void copied(void **state)
{
    struct message m = {1, "before"};
    int q;

    (void)state;
    q = create();
    ok(msgsnd(q, &m, 6, 0));
    strcpy(m.text, "after");
    m.type = 2;
    ok(msgsnd(q, &m, 5, 0));
    expect(q, 0, 0, 1, "before");
    expect(q, 0, 0, 2, "after");
}

static void not_changed(void **state)
{
    struct message m = {9, "the text"}, before = m;
    int q;

    (void)state;
    q = create();
    ok(msgsnd(q, &m, 8, 0));
    assert_memory_equal(&m, &before, sizeof(m));
}

static void binary(void **state)
{
    struct message m = {1, {0, 'a', 0, '\377', '\n', 0}}, got = {0};
    int q;

    (void)state;
    q = create();
    ok(msgsnd(q, &m, 6, 0));
    assert_int_equal(ok(msgrcv(q, &got, sizeof(got.text), 0, 0)), 6);
    assert_memory_equal(m.text, got.text, 6);
}

static void returns_zero(void **state)
{
    (void)state;
    assert_int_equal(send_text(create(), 1, "text", 0), 0);
}

static void null_pointer(void **state)
{
    const void *volatile nothing = NULL;
    int q;

    (void)state;
    q = create();
    fails(msgsnd(q, nothing, 0, IPC_NOWAIT), EFAULT);
    fails(msgsnd(q, nothing, 10, IPC_NOWAIT), EFAULT);
    assert_int_equal(status(q).msg_qnum, 0);
}

/* The message is looked at first, and the queue only then. */
static void precedence(void **state)
{
    const void *volatile nothing = NULL;
    int q;

    (void)state;
    q = create();
    set_qbytes(q, 0);
    fails(send_text(q, 0, "text", IPC_NOWAIT), EINVAL); /* not EAGAIN */
    fails(msgsnd(q, nothing, 0, IPC_NOWAIT), EFAULT);
    fails(msgsnd(-1, nothing, 0, IPC_NOWAIT), EFAULT);
}

static void other_flags(void **state)
{
    int q;

    (void)state;
    q = create();
    ok(send_text(q, 1, "text", MSG_NOERROR | MSG_EXCEPT | MSG_COPY | 0x100000));
    expect(q, 0, 0, 1, "text");
}

static int send_without_permission(void *arg)
{
    int q;

    (void)arg;
    become(USER);
    must((q = msgget(IPC_PRIVATE, 0400)) >= 0);
    must_fail(send_text(q, 1, "text", IPC_NOWAIT), EACCES);
    must(msgrcv(q, &(struct message){0}, 32, 0, IPC_NOWAIT) == -1 && errno == ENOMSG);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    return 0;
}

static void no_permission(void **state)
{
    (void)state;
    assert_int_equal(in_child(send_without_permission, NULL), 0);
}

static void root_may(void **state)
{
    int q;

    (void)state;
    need_root();
    q = get(IPC_PRIVATE, 0);
    put(q, 1, "text");
    expect(q, 0, 0, 1, "text");
}

int group_snd(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgop(2): mtype is any positive integer value of a long", types),
        SAYS("msgsnd: EINVAL nonpositive mtype value: 0", type_zero),
        SAYS("msgsnd: EINVAL nonpositive mtype value: negative", type_negative),
        SAYS("msgop(2): messages of zero length are permitted", empty),
        SAYS("msgop(2): a message of msgsz bytes, of many sizes", sizes),
        SAYS("msgop(2): MSGMAX is the maximum size of a message text", largest),
        SAYS("msgsnd: EINVAL invalid msgsz value: greater than MSGMAX", too_large),
        SAYS("msgsnd: EINVAL invalid msgsz value: less than 0", negative_size),
        SAYS("msgop(2): appends a copy of the message", copied),
        SAYS("POSIX: msgp is const: what is sent is not changed", not_changed),
        SAYS("msgop(2): mtext is any array of bytes", binary),
        SAYS("msgop(2): on success, msgsnd() returns 0", returns_zero),
        SAYS("msgsnd: EFAULT the address pointed to by msgp isn't accessible: NULL", null_pointer),
        SAYS("Linux: EFAULT and EINVAL for the message come before all else", precedence),
        SAYS("Linux: msgsnd ignores bits of msgflg that mean nothing to it", other_flags),
        SAYS("msgsnd: EACCES no write permission on the message queue", no_permission),
        SAYS("msgop(2): CAP_IPC_OWNER: permissions do not hold back root", root_may),
    };

    return RUN("msgsnd", tests);
}

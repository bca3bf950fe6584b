/* mq_send, and mq_timedsend where nothing blocks. */
#include "compat.h"

static char big[8192];

static void zero_length(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    assert_int_equal(mq_send(q, "x", 0, 5), 0);
    assert_int_equal(count(q), 1);
    expect(q, "", 5);
}

static void up_to_msgsize(void **state)
{
    mqd_t q;

    (void)state;
    q = create_sized(0, 2, 100);
    ok(mq_send(q, big, 100, 0));
    assert_int_equal(ok(mq_receive(q, big, 100, NULL)), 100);
}

static void too_long(void **state)
{
    mqd_t q;

    (void)state;
    q = create_sized(0, 2, 100);
    fails(mq_send(q, big, 101, 0), EMSGSIZE);
    fails(mq_send(q, big, (size_t)-1, 0), EMSGSIZE);
    fails(mq_send(q, big, ((size_t)1 << 32) + 1, 0), EMSGSIZE);
    assert_int_equal(count(q), 0);
}

static void too_long_first(void **state)
{
    struct timespec past = {1, 0};
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 1);
    put(q, "x", 0);
    fails(mq_send(q, big, 33, 0), EMSGSIZE);
    fails(mq_timedsend(q, big, 33, 0, &past), EMSGSIZE);
}

static void priorities(void **state)
{
    mqd_t q;

    (void)state;
    assert_int_equal(sysconf(_SC_MQ_PRIO_MAX), 32768);
    q = create(0, 2);
    put(q, "least", 0);
    put(q, "most", 32767);
    expect(q, "most", 32767);
    expect(q, "least", 0);
}

static void bad_priority(void **state)
{
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 1);
    fails(mq_send(q, "x", 1, 32768), EINVAL);
    fails(mq_send(q, "x", 1, (unsigned)-1), EINVAL);
    assert_int_equal(count(q), 0);
}

static void bad_priority_first(void **state)
{
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 1);
    put(q, "x", 0);
    fails(mq_send(q, "x", 1, 32768), EINVAL);
    fails(mq_send(q, big, 33, 32768), EINVAL);
    fails(mq_send(-1, "x", 1, 32768), EINVAL);
    fails(mq_send(reopen(O_RDONLY), "x", 1, 32768), EINVAL);
}

static void not_a_queue(void **state)
{
    int fd;

    (void)state;
    fd = (int)ok(open("/dev/null", O_RDWR));
    fails(mq_send(fd, "x", 1, 0), EBADF);
    fails(mq_send(-1, "x", 1, 0), EBADF);
    fails(mq_send(-2000000000, "x", 1, 0), EBADF);
    fails(mq_send(1000000000, "x", 1, 0), EBADF);
}

static void not_writable(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    fails(mq_send(reopen(O_RDONLY), "x", 1, 0), EBADF);
    assert_int_equal(count(q), 0);
}

static void not_writable_first(void **state)
{
    mqd_t q;

    (void)state;
    put(create(0, 1), "x", 0);
    q = reopen(O_RDONLY | O_NONBLOCK);
    fails(mq_send(q, big, 33, 0), EBADF);
    fails(mq_send(q, "x", 1, 0), EBADF);
}

static void full(void **state)
{
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 3);
    for (int i = 0; i < 3; i++)
        put(q, "x", 0);
    fails(mq_send(q, "y", 1, 9), EAGAIN);
    fails(mq_timedsend(q, "y", 1, 9, &(struct timespec){1, 0}), EAGAIN);
    assert_int_equal(count(q), 3);
    for (int i = 0; i < 3; i++)
        expect(q, "x", 0);
    put(q, "y", 9);
}

static void full_again(void **state)
{
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 1);
    for (int i = 0; i < 1000; i++) {
        put(q, "x", 1);
        fails(mq_send(q, "y", 1, 2), EAGAIN);
        expect(q, "x", 1);
    }
}

static void keeps_errno(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    errno = 77;
    assert_int_equal(mq_send(q, "x", 1, 0), 0);
    assert_int_equal(errno, 77);
    assert_int_equal(mq_receive(q, big, 32, NULL), 1);
    assert_int_equal(errno, 77);
}

static void copies(void **state)
{
    char text[] = "before";
    mqd_t q;

    (void)state;
    q = create(0, 1);
    ok(mq_send(q, text, 6, 0));
    memcpy(text, "after!", 6);
    expect(q, "before", 0);
}

int group_send(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_send(3): zero-length messages are allowed", zero_length),
        SAYS("mq_send(3): msg_len is less than or equal to mq_msgsize", up_to_msgsize),
        SAYS("mq_send(3): EMSGSIZE msg_len was greater than mq_msgsize", too_long),
        SAYS("Linux: EMSGSIZE comes before EAGAIN and ETIMEDOUT", too_long_first),
        SAYS("mq_overview(7): priorities range from 0 to sysconf(_SC_MQ_PRIO_MAX) - 1", priorities),
        SAYS("POSIX: EINVAL the value of msg_prio was outside the valid range", bad_priority),
        SAYS("Linux: EINVAL for msg_prio comes before every other error", bad_priority_first),
        SAYS("mq_send(3): EBADF the descriptor was invalid", not_a_queue),
        SAYS("mq_send(3): EBADF the descriptor was not opened for writing", not_writable),
        SAYS("Linux: EBADF comes before EMSGSIZE and EAGAIN", not_writable_first),
        SAYS("mq_send(3): EAGAIN the queue was full, and O_NONBLOCK", full),
        SAYS("POSIX: when an error is returned, no message is queued", full_again),
        SAYS("errno(3): a successful call leaves errno alone", keeps_errno),
        SAYS("POSIX: the message is copied", copies),
    };

    return RUN("mq_send", tests);
}

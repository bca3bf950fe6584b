/* mq_receive, and mq_timedreceive where nothing blocks. */
#include "compat.h"

static char buffer[10000];

static void removes(void **state)
{
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 2);
    put(q, "one", 4);
    expect(q, "one", 4);
    assert_int_equal(count(q), 0);
    fails(mq_receive(q, buffer, 32, NULL), EAGAIN);
}

static void null_priority(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 2);
    put(q, "one", 4);
    assert_int_equal(mq_receive(q, buffer, 32, NULL), 3);
    assert_memory_equal(buffer, "one", 3);
}

static void small_buffer(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 2);
    put(q, "x", 1);
    fails(mq_receive(q, buffer, 31, NULL), EMSGSIZE);
    fails(mq_receive(q, buffer, 0, NULL), EMSGSIZE);
    expect(q, "x", 1); /* it is still there */
}

static void small_buffer_first(void **state)
{
    struct timespec past = {1, 0};
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 1);
    fails(mq_receive(q, buffer, 31, NULL), EMSGSIZE);
    fails(mq_timedreceive(q, buffer, 31, NULL, &past), EMSGSIZE);
}

static void large_buffer(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    put(q, "x", 1);
    assert_int_equal(mq_receive(q, buffer, sizeof(buffer), NULL), 1);
    put(q, "y", 1);
    assert_int_equal(mq_receive(q, buffer, (size_t)-1, NULL), 1);
    put(q, "z", 1);
    assert_int_equal(mq_receive(q, buffer, (size_t)1 << 32, NULL), 1);
}

static void only_the_message(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    put(q, "abc", 1);
    memset(buffer, '-', 32);
    assert_int_equal(ok(mq_receive(q, buffer, 32, NULL)), 3);
    assert_memory_equal(buffer, "abc-----------------------------", 32);
}

static void failure_writes_nothing(void **state)
{
    unsigned prio = 77;
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 1);
    memset(buffer, '-', 32);
    fails(mq_receive(q, buffer, 32, &prio), EAGAIN);
    assert_int_equal(prio, 77);
    assert_memory_equal(buffer, "--------------------------------", 32);
}

static void not_a_queue(void **state)
{
    int fd;

    (void)state;
    fd = (int)ok(open("/dev/null", O_RDWR));
    fails(mq_receive(fd, buffer, sizeof(buffer), NULL), EBADF);
    fails(mq_receive(-1, buffer, sizeof(buffer), NULL), EBADF);
    fails(mq_receive(1000000000, buffer, sizeof(buffer), NULL), EBADF);
}

static void not_readable(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    put(q, "x", 1);
    fails(mq_receive(reopen(O_WRONLY), buffer, 32, NULL), EBADF);
    assert_int_equal(count(q), 1);
}

static void not_readable_first(void **state)
{
    mqd_t q;

    (void)state;
    create(0, 1);
    q = reopen(O_WRONLY | O_NONBLOCK);
    fails(mq_receive(q, buffer, 31, NULL), EBADF);
    fails(mq_receive(q, buffer, 32, NULL), EBADF);
}

static void empty(void **state)
{
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 1);
    fails(mq_receive(q, buffer, 32, NULL), EAGAIN);
    fails(mq_timedreceive(q, buffer, 32, NULL, &(struct timespec){1, 0}), EAGAIN);
}

/* Every length, with contents that tell each byte of each message. */
static void contents(void **state)
{
    static char sent[8192], got[8192];
    mqd_t q;

    (void)state;
    q = create_sized(0, 3, sizeof(sent));
    for (size_t len = 0; len <= sizeof(sent); len += len < 600 ? 1 : 97) {
        for (size_t i = 0; i < len; i++)
            sent[i] = (char)(i * 7 + len);
        for (int i = 0; i < 3; i++)
            ok(mq_send(q, sent, len, (unsigned)len));
        for (int i = 0; i < 3; i++) {
            unsigned prio = 0;

            memset(got, 0, sizeof(got));
            assert_int_equal(ok(mq_receive(q, got, sizeof(got), &prio)), len);
            assert_int_equal(prio, len);
            assert_memory_equal(got, sent, len);
        }
    }
}

int group_receive(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_receive(3): removes the message from the queue", removes),
        SAYS("mq_receive(3): if msg_prio is not NULL, it returns the priority", null_priority),
        SAYS("mq_receive(3): EMSGSIZE msg_len was less than mq_msgsize", small_buffer),
        SAYS("Linux: EMSGSIZE comes before EAGAIN and ETIMEDOUT", small_buffer_first),
        SAYS("mq_receive(3): msg_len must be greater than or equal to mq_msgsize", large_buffer),
        SAYS("mq_receive(3): returns the number of bytes, and writes no more", only_the_message),
        SAYS("POSIX: a failed call leaves the buffer and msg_prio alone", failure_writes_nothing),
        SAYS("mq_receive(3): EBADF the descriptor was invalid", not_a_queue),
        SAYS("mq_receive(3): EBADF the descriptor was not opened for reading", not_readable),
        SAYS("Linux: EBADF comes before EMSGSIZE and EAGAIN", not_readable_first),
        SAYS("mq_receive(3): EAGAIN the queue was empty, and O_NONBLOCK", empty),
        SAYS("POSIX: what is received is what was sent, of any length", contents),
    };

    return RUN("mq_receive", tests);
}

/* mq_close. */
#include "compat.h"

static void twice(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    assert_int_equal(mq_close(q), 0);
    fails(mq_close(q), EBADF);
}

static void not_open(void **state)
{
    (void)state;
    fails(mq_close(-1), EBADF);
    fails(mq_close(100000), EBADF);
    fails(mq_close(2000000000), EBADF);
}

static void nothing_after(void **state)
{
    struct mq_attr attr = {0};
    char buffer[32];
    mqd_t q;

    (void)state;
    q = create(0, 1);
    ok(mq_close(q));
    fails(mq_send(q, "x", 1, 0), EBADF);
    fails(mq_receive(q, buffer, sizeof(buffer), NULL), EBADF);
    fails(mq_getattr(q, &attr), EBADF);
    fails(mq_setattr(q, &attr, NULL), EBADF);
}

static void persists(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 2);
    put(q, "low", 1);
    put(q, "high", 2);
    ok(mq_close(q));
    q = reopen(O_RDWR);
    expect(q, "high", 2);
    expect(q, "low", 1);
}

static void one_of_two(void **state)
{
    mqd_t a, b;

    (void)state;
    a = create(0, 1);
    b = reopen(O_RDWR);
    ok(mq_close(a));
    put(b, "x", 0);
    expect(b, "x", 0);
}

static void a_file(void **state)
{
    int fd;

    (void)state;
    fd = (int)ok(open("/dev/null", O_RDONLY));
    assert_int_equal(mq_close(fd), 0);
    fails(close(fd), EBADF);
}

static void number_reused(void **state)
{
    mqd_t a, b;

    (void)state;
    a = create(0, 1);
    put(a, "first", 0);
    ok(mq_close(a));
    ok(mq_unlink(name(0)));
    b = create(0, 1);
    assert_int_equal(a, b);
    assert_int_equal(count(b), 0);
}

/* Closed with close(), its number is free for another queue, with other access. */
static void plain_close(void **state)
{
    mqd_t a, b;

    (void)state;
    a = create(0, 1);
    ok(close(a));
    b = reopen(O_RDONLY);
    assert_int_equal(a, b);
    fails(mq_send(b, "x", 1, 0), EBADF);
}

static void often(void **state)
{
    mqd_t first;

    (void)state;
    first = create(0, 1);
    for (int i = 0; i < 2000; i++) {
        mqd_t q = reopen(O_RDWR);

        assert_int_equal(q, first + 1);
        put(q, "x", 0);
        expect(first, "x", 0);
        ok(mq_close(q));
    }
}

int group_close(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_close(3): EBADF the descriptor in mqdes is invalid: closed before", twice),
        SAYS("mq_close(3): EBADF the descriptor in mqdes is invalid: never opened", not_open),
        SAYS("POSIX: a closed descriptor shall not be used", nothing_after),
        SAYS("mq_overview(7): queues have kernel persistence: messages outlive mq_close", persists),
        SAYS("mq_close(3): closes this descriptor, no other", one_of_two),
        SAYS("Linux: mq_close is close, of any descriptor", a_file),
        SAYS("POSIX: the descriptor is available for a subsequent mq_open", number_reused),
        SAYS("mq_overview(7): a descriptor is a file descriptor: close() closes it", plain_close),
        SAYS("mq_close(3): opening and closing leaves nothing behind", often),
    };

    return RUN("mq_close", tests);
}

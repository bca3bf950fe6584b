/* mq_timedsend and mq_timedreceive. */
#include "compat.h"

#include <limits.h>
#include <pthread.h>

static char buffer[32];

static const struct timespec past = {1, 0}, epoch = {0, 0}, huge = {LONG_MAX, 999999999};
static const struct timespec bad[] = {{0, -1}, {0, 1000000000}, {0, LONG_MAX}, {0, LONG_MIN},
                                      {-1, 0}, {LONG_MIN, 0},   {-1, -1}};
#define BAD (sizeof(bad) / sizeof(*bad))

static void receive_past(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    put(q, "x", 1);
    assert_int_equal(mq_timedreceive(q, buffer, 32, NULL, &past), 1);
    put(q, "x", 1);
    assert_int_equal(mq_timedreceive(q, buffer, 32, NULL, &epoch), 1);
}

static void send_past(void **state)
{
    (void)state;
    assert_int_equal(mq_timedsend(create(0, 1), "x", 1, 1, &past), 0);
}

static void receive_times_out(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    fails(mq_timedreceive(q, buffer, 32, NULL, &past), ETIMEDOUT);
    fails(mq_timedreceive(q, buffer, 32, NULL, &epoch), ETIMEDOUT);
}

static void send_times_out(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    put(q, "x", 1);
    fails(mq_timedsend(q, "y", 1, 2, &past), ETIMEDOUT);
    fails(mq_timedsend(q, "y", 1, 2, &epoch), ETIMEDOUT);
    assert_int_equal(count(q), 1);
    expect(q, "x", 1);
}

static bool reached(struct timespec deadline)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec > deadline.tv_sec ||
           (now.tv_sec == deadline.tv_sec && now.tv_nsec >= deadline.tv_nsec);
}

static void not_too_early(void **state)
{
    struct timespec soon;
    mqd_t q;

    (void)state;
    q = create(0, 1);
    for (int ms = 1; ms < 60; ms = 2 * ms + 1) {
        soon = in_ms(ms);
        fails(mq_timedreceive(q, buffer, 32, NULL, &soon), ETIMEDOUT);
        assert_true(reached(soon));
    }
    put(q, "x", 1);
    soon = in_ms(30);
    fails(mq_timedsend(q, "y", 1, 2, &soon), ETIMEDOUT);
    assert_true(reached(soon));
}

static void long_wait(void **state)
{
    struct timespec later = in_ms(2500);

    (void)state;
    fails(mq_timedreceive(create(0, 1), buffer, 32, NULL, &later), ETIMEDOUT);
    assert_true(reached(later));
}

static void invalid_receive(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    for (size_t i = 0; i < BAD; i++)
        fails(mq_timedreceive(q, buffer, 32, NULL, &bad[i]), EINVAL);
}

static void invalid_send(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    put(q, "x", 1);
    for (size_t i = 0; i < BAD; i++)
        fails(mq_timedsend(q, "y", 1, 1, &bad[i]), EINVAL);
}

static void invalid_at_once(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 2);
    put(q, "x", 1);
    for (size_t i = 0; i < BAD; i++) {
        fails(mq_timedreceive(q, buffer, 32, NULL, &bad[i]), EINVAL);
        fails(mq_timedsend(q, "y", 1, 1, &bad[i]), EINVAL);
    }
    assert_int_equal(count(q), 1);
}

static void invalid_first(void **state)
{
    mqd_t q;

    (void)state;
    fails(mq_timedreceive(-1, buffer, 32, NULL, &bad[0]), EINVAL);
    fails(mq_timedsend(-1, "x", 1, 1, &bad[0]), EINVAL);
    q = create(O_NONBLOCK, 1);
    fails(mq_timedreceive(q, buffer, 1, NULL, &bad[0]), EINVAL);
    fails(mq_timedreceive(q, buffer, 32, NULL, &bad[0]), EINVAL);
    fails(mq_timedsend(q, "x", 33, 1, &bad[0]), EINVAL);
}

static void nonblock_first(void **state)
{
    struct timespec far = in_ms(3600 * 1000L);
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 1);
    fails(mq_timedreceive(q, buffer, 32, NULL, &past), EAGAIN);
    fails(mq_timedreceive(q, buffer, 32, NULL, &far), EAGAIN);
    put(q, "x", 1);
    fails(mq_timedsend(q, "y", 1, 1, &past), EAGAIN);
    fails(mq_timedsend(q, "y", 1, 1, &far), EAGAIN);
}

static void bad_descriptor_first(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    fails(mq_timedsend(reopen(O_RDONLY), "x", 1, 1, &past), EBADF);
    fails(mq_timedreceive(reopen(O_WRONLY), buffer, 32, NULL, &past), EBADF);
    assert_int_equal(count(q), 0);
}

static void null_deadline(void **state)
{
    /* Not a constant: the header says that it is never NULL. */
    const struct timespec *volatile none = NULL;
    mqd_t q;

    (void)state;
    q = create(0, 1);
    assert_int_equal(mq_timedsend(q, "x", 1, 1, none), 0);
    assert_int_equal(mq_timedreceive(q, buffer, 32, NULL, none), 1);
}

static void last_nanosecond(void **state)
{
    struct timespec t = {1, 999999999};

    (void)state;
    fails(mq_timedreceive(create(0, 1), buffer, 32, NULL, &t), ETIMEDOUT);
}

/* A child that waits until the far end of time gets what is sent. */
static int wait_huge(void *q)
{
    shared->ready = 1;
    return mq_timedreceive(*(mqd_t *)q, buffer, 32, NULL, &huge) == 1 ? 0 : errno;
}

static void huge_deadline(void **state)
{
    pid_t pid;
    mqd_t q;

    (void)state;
    q = create(0, 1);
    pid = spawn(wait_huge, &q);
    await_blocked(pid);
    put(q, "x", 1);
    assert_int_equal(reap(pid), 0);
}

static void ends_before(void **state)
{
    enum call call = which(state);
    struct timespec far = in_ms(3600 * 1000L);
    pid_t pid;
    mqd_t q;

    q = create_blocking(call);
    pid = fork();
    if (pid == 0) {
        shared->ready = 1;
        _exit(call == TIMEDSEND ? mq_timedsend(q, "new", 3, 1, &far) != 0
                                : mq_timedreceive(q, buffer, 32, NULL, &far) != 3);
    }
    await_blocked(pid);
    unblock(call, q);
    assert_int_equal(reap(pid), 0);
}

int group_deadline(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_receive(3): an expired timeout does not matter where a message is there",
             receive_past),
        SAYS("mq_send(3): an expired timeout does not matter where there is room", send_past),
        SAYS("mq_receive(3): if the timeout has already expired, mq_timedreceive returns at once",
             receive_times_out),
        SAYS("mq_send(3): if the timeout has already expired, mq_timedsend returns at once",
             send_times_out),
        SAYS("POSIX: the timeout shall expire when the absolute time passes, not before",
             not_too_early),
        SAYS("POSIX: a wait of seconds ends at its deadline, not before", long_wait),
        SAYS("mq_receive(3): EINVAL tv_sec less than zero, tv_nsec less than zero or too large",
             invalid_receive),
        SAYS("mq_send(3): EINVAL tv_sec less than zero, tv_nsec less than zero or too large",
             invalid_send),
        SAYS("Linux: EINVAL for the timeout even where the call would not block", invalid_at_once),
        SAYS("Linux: EINVAL for the timeout comes before every other error", invalid_first),
        SAYS("mq_send(3): with O_NONBLOCK the timeout is not looked at", nonblock_first),
        SAYS("Linux: EBADF comes before ETIMEDOUT", bad_descriptor_first),
        SAYS("Linux: a timeout of NULL is none", null_deadline),
        SAYS("POSIX: tv_nsec may be 999999999", last_nanosecond),
        SAYS("Linux: the largest time is a valid timeout", huge_deadline),
        CALL("mq_send(3): blocks until there is room, within the timeout", ends_before, TIMEDSEND),
        CALL("mq_receive(3): blocks until a message comes, within the timeout", ends_before,
             TIMEDRECEIVE),
    };

    return RUN("timeouts", tests);
}

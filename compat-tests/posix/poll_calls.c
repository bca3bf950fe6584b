/* What is poll's and select's own: bits, errors, other files, time left, large descriptors. */
#include "wait_ready.h"

#include <sys/resource.h>
#include <sys/select.h>

/* --- what is each call's own -------------------------------------------------------------------
 */

static void all_bits(void **state)
{
    struct pollfd p = {.events = -1};

    (void)state;
    p.fd = create(0, 2);
    assert_int_equal(ok(poll(&p, 1, 0)), 1);
    assert_int_equal(p.revents, POLLOUT | POLLWRNORM);
    put(p.fd, "a", 0);
    assert_int_equal(ok(poll(&p, 1, 0)), 1);
    assert_int_equal(p.revents, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
    put(p.fd, "b", 0);
    assert_int_equal(ok(poll(&p, 1, 0)), 1);
    assert_int_equal(p.revents, POLLIN | POLLRDNORM);
    p.events = 0;
    assert_int_equal(ok(poll(&p, 1, 0)), 0);
    assert_int_equal(p.revents, 0);
}

static void closed(void **state)
{
    struct pollfd p = {.events = POLLIN};
    fd_set set;

    (void)state;
    p.fd = create(0, 2);
    assert_int_equal(ok(poll(&p, 1, 0)), 0);
    ok(mq_close(p.fd));
    assert_int_equal(ok(poll(&p, 1, 0)), 1);
    assert_int_equal(p.revents, POLLNVAL);
    FD_ZERO(&set);
    FD_SET(p.fd, &set);
    fails(select(p.fd + 1, &set, NULL, NULL, NULL), EBADF);
}

/* Beside other files, an empty place, and another queue. */
static void mixed_poll(void **state)
{
    struct pollfd p[5] = {{.events = POLLIN}, {.fd = -1, .events = POLLIN}, {.events = POLLIN}};
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 32};
    int pipes[2];

    (void)state;
    ok(pipe(pipes));
    p[0].fd = pipes[0];
    p[2].fd = create(0, 1);
    p[3] = (struct pollfd){.fd = (mqd_t)ok(mq_open(name(1), O_CREAT | O_RDWR, 0600, &attr)),
                           .events = POLLIN | POLLOUT};
    p[4] = p[2];
    assert_int_equal(ok(poll(p, 5, -1)), 1);
    assert_int_equal(p[3].revents, POLLOUT);
    put(p[3].fd, "a", 0);
    put(p[2].fd, "a", 0);
    assert_int_equal(ok(poll(p, 5, -1)), 3);
    assert_int_equal(p[0].revents, 0);
    assert_int_equal(p[1].revents, 0);
    assert_int_equal(p[2].revents, POLLIN);
    assert_int_equal(p[3].revents, POLLIN);
    assert_int_equal(p[4].revents, POLLIN);
    expect(p[2].fd, "a", 0);
    expect(p[3].fd, "a", 0);
    p[3].events = POLLIN;
    assert_int_equal(ok(poll(p, 5, 0)), 0);
    ok(write(pipes[1], "x", 1));
    assert_int_equal(ok(poll(p, 5, -1)), 1);
    assert_int_equal(p[0].revents, POLLIN);
}

static void mixed_select(void **state)
{
    mqd_t q = create(0, 1);
    fd_set in, out, except;
    int pipes[2];

    (void)state;
    ok(pipe(pipes));
    for (int i = 0; i < 3; i++) {
        FD_ZERO(&in);
        FD_ZERO(&out);
        FD_ZERO(&except);
        FD_SET(q, &in);
        FD_SET(q, &out);
        FD_SET(q, &except);
        FD_SET(pipes[0], &in);
        FD_SET(pipes[1], &out);
        if (i == 1)
            put(q, "a", 0);
        if (i == 2)
            ok(write(pipes[1], "x", 1));
        assert_int_equal(ok(select(FD_SETSIZE, &in, &out, &except, NULL)), i == 2 ? 3 : 2);
        assert_int_equal(FD_ISSET(q, &in) != 0, i > 0);
        assert_int_equal(FD_ISSET(q, &out) != 0, i == 0);
        assert_int_equal(FD_ISSET(pipes[0], &in) != 0, i == 2);
        assert_int_equal(FD_ISSET(pipes[1], &out) != 0, true);
        assert_int_equal(FD_ISSET(q, &except) != 0, false);
    }
}

static void select_rest(void **state)
{
    struct timeval left = {3600, 0};
    mqd_t q = create(0, 1);
    fd_set set;

    (void)state;
    FD_ZERO(&set);
    FD_SET(q, &set);
    assert_int_equal(ok(select(q + 1, NULL, &set, NULL, &left)), 1);
    assert_true(left.tv_sec == 3599 || (left.tv_sec == 3600 && left.tv_usec == 0));
    left = (struct timeval){0, 20000};
    assert_int_equal(ok(select(q + 1, &set, NULL, NULL, &left)), 0);
    assert_int_equal(left.tv_sec, 0);
    assert_int_equal(left.tv_usec, 0);
    assert_false(FD_ISSET(q, &set));
}

/* Sets beyond FD_SETSIZE, which programs make themselves; the queue was full when it was closed. */
static void select_beyond(void **state)
{
    fd_set in[2], out[2];
    mqd_t q;

    (void)state;
    q = create(0, 1);
    put(q, "a", 0);
    assert_int_equal(ready(POLL, q), READABLE);
    ok(mq_close(q));
    q = reopen(O_RDWR);
    for (int i = 0; i < 2; i++) {
        memset(in, 0, sizeof(in));
        memset(out, 0, sizeof(out));
        FD_SET(q, in);
        FD_SET(q, out);
        assert_int_equal(ok(select(2 * FD_SETSIZE, in, out, NULL, NULL)), 1);
        assert_int_equal(FD_ISSET(q, in) != 0, i == 0);
        assert_int_equal(FD_ISSET(q, out) != 0, i == 1);
        if (i == 0)
            expect(q, "a", 0);
    }
}

static void select_normalizes(void **state)
{
    struct timeval left = {0, 20000000};
    struct timespec bad = {0, 1000000000};
    mqd_t q = create(0, 1);
    fd_set set;

    (void)state;
    FD_ZERO(&set);
    FD_SET(q, &set);
    assert_int_equal(ok(select(q + 1, NULL, &set, NULL, &left)), 1);
    assert_true(left.tv_sec >= 19);
    fails(pselect(q + 1, NULL, &set, NULL, &bad, NULL), EINVAL);
    left = (struct timeval){-1, 0};
    fails(select(q + 1, NULL, &set, NULL, &left), EINVAL);
}

static void bad_timeout(void **state)
{
    struct timespec bad[] = {{0, 1000000000}, {0, -1}, {-1, 0}};
    struct pollfd p = {.events = POLLIN};

    (void)state;
    p.fd = create(0, 1);
    put(p.fd, "a", 0);
    for (int i = 0; i < 3; i++)
        fails(ppoll(&p, 1, &bad[i], NULL), EINVAL);
}

/* A descriptor above FD_SETSIZE, among many. */
static int large_child(void *arg)
{
    struct rlimit limit;
    struct waiter w = {(enum way)(intptr_t)arg, READABLE, -1, -1};
    mqd_t q;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < FD_SETSIZE + 100 || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 77;
    for (int fd = 0; fd < FD_SETSIZE + 10;)
        if ((fd = open("/dev/null", O_RDONLY)) < 0)
            return 78;
    q = mq_open(name(0), O_RDWR);
    if (q < FD_SETSIZE)
        return 79;
    if (ready(w.way, q) != WRITABLE)
        return 80;
    w.q = q;
    return waits(&w);
}

static void large(void **state)
{
    mqd_t q = create(0, 2);
    pid_t pid = spawn(large_child, *state);

    await_blocked(pid);
    put(q, "a", 0);
    assert_int_equal(reap(pid), READABLE);
}

int group_poll_calls(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("poll(2): POLLRDNORM is POLLIN, POLLWRNORM is POLLOUT, revents only what is asked",
             all_bits),
        SAYS("poll(2): POLLNVAL, select(2): EBADF a descriptor that was closed", closed),
        SAYS("poll(2): queues beside other files, each for itself", mixed_poll),
        SAYS("select(2): queues beside other files, each for itself", mixed_select),
        SAYS("select(2): timeout is updated to the time not slept", select_rest),
        SAYS("select(2): sets larger than FD_SETSIZE", select_beyond),
        SAYS("select(2): large tv_usec, EINVAL a negative timeout", select_normalizes),
        SAYS("ppoll(2): EINVAL an invalid timeout", bad_timeout),
        CALL("poll(2): descriptors above FD_SETSIZE", large, POLL),
        CALL("ppoll(2): descriptors above FD_SETSIZE", large, PPOLL),
        CALL("epoll_wait(2): descriptors above FD_SETSIZE", large, EPOLL),
    };

    return RUN("poll and select", tests);
}

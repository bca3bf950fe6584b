/* What a user can do with another's queue that he has opened. */
#include "users.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static mqd_t open_it(int oflag)
{
    mqd_t q = mq_open(name(0), oflag);

    must(q != -1);
    return q;
}

/* A case: the other user does this with a queue of five messages of 32 bytes, mode 0666. */
static void by_other(void **state, void (*f)(void))
{
    (void)state;
    owner_creates(0666, 5, 32);
    as(&other, f);
}
#define BY_OTHER(case, f)                                                                          \
    static void case (void **state)                                                                \
    {                                                                                              \
        by_other(state, f);                                                                        \
    }

static void expect_text(mqd_t q, const char *text, unsigned prio)
{
    char got[32];
    unsigned p = 99;
    ssize_t n = mq_receive(q, got, sizeof(got), &p);

    must(n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0 && p == prio);
}

/* --- messages -----------------------------------------------------------------------------------
 */

static void in_order(void)
{
    mqd_t q = open_it(O_RDWR);

    must(mq_send(q, "a", 1, 1) == 0 && mq_send(q, "b", 1, 32767) == 0);
    must(mq_send(q, "c", 1, 1) == 0 && mq_send(q, "", 0, 7) == 0);
    expect_text(q, "b", 32767);
    expect_text(q, "", 7);
    expect_text(q, "a", 1);
    expect_text(q, "c", 1);
}
BY_OTHER(order, in_order)

static void send_some(void)
{
    mqd_t q = open_it(O_WRONLY);

    must(mq_send(q, "low", 3, 1) == 0 && mq_send(q, "high", 4, 2) == 0);
}

static void take_one(void)
{
    expect_text(open_it(O_RDONLY), "high", 2);
}

static void both_ways(void **state)
{
    mqd_t q;

    (void)state;
    owner_creates(0666, 5, 32);
    as(&other, send_some);
    as(&third, take_one);
    q = reopen(O_RDWR);
    expect(q, "low", 1);
    assert_int_equal(count(q), 0);
}

static void every_size(void)
{
    static char out[8192], in[8192];
    mqd_t q = open_it(O_RDWR);

    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (char)(i * 7 + i / 251);
    for (size_t n = 0; n <= sizeof(out); n += n < 40 ? 1 : n > 960 && n < 1050 ? 1 : 113) {
        must(mq_send(q, out, n, 1) == 0);
        memset(in, 0, sizeof(in));
        must(mq_receive(q, in, sizeof(in), NULL) == (ssize_t)n);
        must(memcmp(in, out, n) == 0);
    }
    must(mq_send(q, out, sizeof(out), 1) == 0);
    must(mq_receive(q, in, sizeof(in), NULL) == sizeof(out) && memcmp(in, out, sizeof(in)) == 0);
}

static void sizes(void **state)
{
    (void)state;
    owner_creates(0666, 2, 8192);
    as(&other, every_size);
}

static void errors_of_calls(void)
{
    struct timespec bad = {0, 1000000000}, past = {0, 0};
    mqd_t q = open_it(O_RDWR);
    char c[64] = "";
    unsigned p;

    must(mq_send(q, c, 33, 0) == -1 && errno == EMSGSIZE);
    must(mq_receive(q, c, 31, &p) == -1 && errno == EMSGSIZE);
    must(mq_send(q, c, 1, 32768) == -1 && errno == EINVAL);
    must(mq_timedsend(q, c, 1, 0, &bad) == -1 && errno == EINVAL);
    must(mq_timedreceive(q, c, 32, &p, &bad) == -1 && errno == EINVAL);
    must(mq_timedreceive(q, c, 32, &p, &past) == -1 && errno == ETIMEDOUT);
    for (int i = 0; i < 5; i++)
        must(mq_timedsend(q, "x", 1, 0, &past) == 0);
    must(mq_timedsend(q, "x", 1, 0, &past) == -1 && errno == ETIMEDOUT);
    must(mq_timedreceive(q, c, 32, &p, &past) == 1);
}
BY_OTHER(errors, errors_of_calls)

static void wrong_access(void)
{
    mqd_t in = open_it(O_RDONLY), out = open_it(O_WRONLY);
    char c[32] = "";

    must(mq_send(in, c, 1, 0) == -1 && errno == EBADF);
    must(mq_receive(out, c, 32, NULL) == -1 && errno == EBADF);
    must(mq_send(in, c, 33, 0) == -1 && errno == EBADF);
    must(mq_receive(out, c, 1, NULL) == -1 && errno == EBADF);
}
BY_OTHER(denied, wrong_access)

/* --- descriptors --------------------------------------------------------------------------------
 */

static void flags_of_it(void)
{
    struct mq_attr attr = {.mq_flags = O_NONBLOCK}, was;
    mqd_t q = open_it(O_RDWR), in = open_it(O_RDONLY | O_NONBLOCK), out = open_it(O_WRONLY);
    char c[32];

    must(fcntl(q, F_GETFL) == O_RDWR && fcntl(in, F_GETFL) == (O_RDONLY | O_NONBLOCK));
    must(fcntl(out, F_GETFL) == O_WRONLY);
    must(fcntl(q, F_GETFD) == FD_CLOEXEC);
    must(mq_receive(in, c, 32, NULL) == -1 && errno == EAGAIN);
    must(mq_setattr(q, &attr, &was) == 0 && was.mq_flags == 0 && was.mq_maxmsg == 5);
    must(mq_receive(q, c, 32, NULL) == -1 && errno == EAGAIN);
    must(fcntl(q, F_SETFL, 0) == 0 && mq_getattr(q, &attr) == 0);
    must(attr.mq_flags == 0 && attr.mq_maxmsg == 5 && attr.mq_msgsize == 32);
    must(mq_send(q, "x", 1, 0) == 0 && mq_getattr(q, &attr) == 0 && attr.mq_curmsgs == 1);
}
BY_OTHER(flags, flags_of_it)

static void duplicates(void)
{
    mqd_t q = open_it(O_RDWR), twin = dup(q), low = dup2(q, 100);
    char c[32];

    must(twin != -1 && low == 100);
    must(fcntl(twin, F_SETFL, O_NONBLOCK) == 0 && fcntl(q, F_GETFL) == (O_RDWR | O_NONBLOCK));
    must(mq_close(q) == 0 && mq_send(q, "x", 1, 0) == -1 && errno == EBADF);
    must(mq_send(twin, "x", 1, 5) == 0);
    expect_text(low, "x", 5);
    must(close(twin) == 0 && mq_send(twin, "x", 1, 0) == -1 && errno == EBADF);
    must(mq_receive(low, c, 32, NULL) == -1 && errno == EAGAIN);
}
BY_OTHER(dups, duplicates)

static void numbers(void)
{
    mqd_t q = open_it(O_RDWR);
    int pipes[2];

    must(close(q) == 0 && open_it(O_RDWR) == q);
    must(pipe(pipes) == 0 && dup2(pipes[1], q) == q);
    must(mq_send(q, "x", 1, 0) == -1 && errno == EBADF);
}
BY_OTHER(lowest, numbers)

static int grandchild(void *arg)
{
    mqd_t q = *(mqd_t *)arg;

    expect_text(q, "for it", 3);
    must(mq_send(q, "from it", 7, 4) == 0);
    return 0;
}

static void with_child(void)
{
    mqd_t q = open_it(O_RDWR);
    pid_t pid;

    must(mq_send(q, "for it", 6, 3) == 0);
    pid = spawn(grandchild, &q);
    must(reap(pid) == 0);
    expect_text(q, "from it", 4);
}
BY_OTHER(forked, with_child)

static void as_a_file(void)
{
    mqd_t q = open_it(O_RDWR);
    char line[200] = "";

    must(mq_send(q, "12345", 5, 0) == 0);
    must(read(q, line, sizeof(line) - 1) > 0 && strncmp(line, "QSIZE:5 ", 8) == 0);
    must(read(q, line, sizeof(line)) == 0);
    must(lseek(q, 0, SEEK_SET) == 0 && pread(q, line, 6, 0) == 6 && memcmp(line, "QSIZE:", 6) == 0);
    must(write(q, "x", 1) == -1 && errno == EINVAL);
    expect_text(q, "12345", 0);
}
BY_OTHER(file, as_a_file)

/* --- readiness ----------------------------------------------------------------------------------
 */

static short events(mqd_t q)
{
    struct pollfd p = {.fd = q, .events = POLLIN | POLLOUT};

    must(poll(&p, 1, 0) >= 0);
    return p.revents;
}

static void polled(void)
{
    mqd_t q = open_it(O_RDWR);
    fd_set in, out;

    must(events(q) == POLLOUT);
    must(mq_send(q, "x", 1, 0) == 0 && events(q) == (POLLIN | POLLOUT));
    for (int i = 1; i < 5; i++)
        must(mq_send(q, "x", 1, 0) == 0);
    must(events(q) == POLLIN);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(q, &in);
    FD_SET(q, &out);
    must(select(q + 1, &in, &out, NULL, NULL) == 1 && FD_ISSET(q, &in) && !FD_ISSET(q, &out));
}
BY_OTHER(poll_tells, polled)

static void sleep_in_poll(void)
{
    struct pollfd p = {.fd = open_it(O_RDWR), .events = POLLIN};

    shared->number[0] = getpid();
    shared->ready = 1;
    must(poll(&p, 1, 60000) == 1 && p.revents == POLLIN);
    expect_text(p.fd, "wake", 1);
    p.events = POLLOUT;
    for (int i = 0; i < 5; i++)
        must(mq_send(p.fd, "full", 4, 1) == 0);
    shared->ready = 2;
    must(poll(&p, 1, 60000) == 1 && p.revents == POLLOUT);
}

static void poll_sleeps(void **state)
{
    pid_t pid;
    mqd_t q;

    (void)state;
    owner_creates(0666, 5, 32);
    q = reopen(O_RDWR);
    pid = spawn_as(&other, sleep_in_poll);
    await(shared->ready == 1);
    await(asleep(pid));
    put(q, "wake", 1);
    await(shared->ready == 2);
    await(asleep(pid));
    expect(q, "full", 1);
    assert_int_equal(reap(pid), 0);
}

static void edges_in_epoll(void)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    int set = epoll_create1(0);
    mqd_t q = open_it(O_RDWR);

    must(set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, q, &e) == 0);
    must(epoll_wait(set, &e, 1, 0) == 0);
    for (int i = 1; i <= 20; i++) {
        shared->ready = i;
        must(epoll_wait(set, &e, 1, 60000) == 1 && e.events == EPOLLIN);
        expect_text(q, "edge", 0);
        must(epoll_wait(set, &e, 1, 0) == 0);
    }
}

static void epoll_edges(void **state)
{
    pid_t pid;
    mqd_t q;

    (void)state;
    owner_creates(0666, 5, 32);
    q = reopen(O_RDWR);
    pid = spawn_as(&other, edges_in_epoll);
    for (int i = 1; i <= 20; i++) {
        await(shared->ready == i);
        if (i % 2)
            await(asleep(pid));
        put(q, "edge", 0);
    }
    assert_int_equal(reap(pid), 0);
}

int group_users_use(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_receive(3): another user's queue: highest priority first, oldest first", order),
        SAYS("mq_send(3): messages go from user to user, by way of a third's queue", both_ways),
        SAYS("mq_send(3): another user's queue takes messages of every size", sizes),
        SAYS("mq_send(3), mq_receive(3): the errors are those of one's own queues", errors),
        SAYS("mq_send(3): EBADF without the access, before EMSGSIZE, for others' queues", denied),
        SAYS("mq_getattr(3), fcntl(2): flags and attributes of another user's queue", flags),
        SAYS("dup(2): duplicates of a descriptor of another user's queue", dups),
        SAYS("open(2): the lowest number, which may be another file's later", lowest),
        SAYS("mq_open(3): a forked child inherits descriptors of another user's queue", forked),
        SAYS("mq_overview(7): reading a descriptor of another user's queue tells its state", file),
        SAYS("poll(2), select(2): tell of another user's queue", poll_tells),
        SAYS("poll(2): sleeps until another user's queue is ready", poll_sleeps),
        SAYS("epoll(7): edges of another user's queue", epoll_edges),
    };

    return RUN("users: use", tests);
}

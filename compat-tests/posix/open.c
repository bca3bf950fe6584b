/* mq_open. */
#include "compat.h"

#include <limits.h>
#include <sched.h>
#include <sys/resource.h>

#define BOTH (O_WRONLY | O_RDWR) /* an access mode that does not exist */

static mqd_t open_attr(int oflag, long maxmsg, long msgsize)
{
    struct mq_attr attr = {.mq_maxmsg = maxmsg, .mq_msgsize = msgsize};

    return mq_open(name(0), oflag, 0600, &attr);
}

static void missing(void **state)
{
    (void)state;
    fails(mq_open(name(0), O_RDWR), ENOENT);
    fails(mq_open(name(0), O_RDONLY | O_NONBLOCK), ENOENT);
}

static void excl_alone(void **state)
{
    (void)state;
    fails(mq_open(name(0), O_RDWR | O_EXCL), ENOENT);
    create(0, 1);
    ok(mq_open(name(0), O_RDWR | O_EXCL));
}

static void creates(void **state)
{
    struct mq_attr attr;
    mqd_t q;

    (void)state;
    q = (mqd_t)ok(open_attr(O_CREAT | O_RDWR, 7, 123));
    ok(mq_getattr(q, &attr));
    assert_int_equal(attr.mq_flags, 0);
    assert_int_equal(attr.mq_maxmsg, 7);
    assert_int_equal(attr.mq_msgsize, 123);
    assert_int_equal(attr.mq_curmsgs, 0);
}

static void default_attr(void **state)
{
    struct mq_attr attr;
    mqd_t q;

    (void)state;
    q = (mqd_t)ok(mq_open(name(0), O_CREAT | O_RDWR, 0600, NULL));
    ok(mq_getattr(q, &attr));
    assert_int_equal(attr.mq_maxmsg, 10);
    assert_int_equal(attr.mq_msgsize, 8192);
}

static void exists(void **state)
{
    (void)state;
    create(0, 1);
    fails(open_attr(O_CREAT | O_EXCL | O_RDWR, 1, 1), EEXIST);
}

static void exists_first(void **state)
{
    (void)state;
    create(0, 1);
    fails(open_attr(O_CREAT | O_EXCL | O_RDWR, 0, 0), EEXIST);
    fails(open_attr(O_CREAT | O_EXCL | BOTH, 1, 1), EEXIST);
}

static void bad_attr(void **state)
{
    (void)state;
    fails(open_attr(O_CREAT | O_RDWR, 0, 8), EINVAL);
    fails(open_attr(O_CREAT | O_RDWR, -1, 8), EINVAL);
    fails(open_attr(O_CREAT | O_RDWR, 8, 0), EINVAL);
    fails(open_attr(O_CREAT | O_RDWR, 8, -1), EINVAL);
    fails(open_attr(O_CREAT | O_EXCL | O_RDWR, 0, 0), EINVAL);
    fails(open_attr(O_CREAT | O_RDWR, LONG_MIN, LONG_MIN), EINVAL);
    fails(mq_open(name(0), O_RDWR), ENOENT); /* and nothing was created */
}

static void huge_attr(void **state)
{
    (void)state;
    fails(open_attr(O_CREAT | O_RDWR, LONG_MAX, 8), EINVAL);
    fails(open_attr(O_CREAT | O_RDWR, 8, LONG_MAX), EINVAL);
    fails(open_attr(O_CREAT | O_RDWR, LONG_MAX, LONG_MAX), EINVAL);
    fails(open_attr(O_CREAT | O_RDWR, (1L << 32) + 1, 8), EINVAL);
    fails(open_attr(O_CREAT | O_RDWR, 8, (1L << 32) + 1), EINVAL);
}

static void attr_ignored(void **state)
{
    struct mq_attr attr;
    mqd_t q;

    (void)state;
    create(0, 3);
    ok(open_attr(O_CREAT | O_RDWR, 9, 99));
    ok(open_attr(O_CREAT | O_RDWR, 0, -1));
    q = (mqd_t)ok(mq_open(name(0), O_CREAT | O_RDWR, 0600, NULL));
    ok(mq_getattr(q, &attr));
    assert_int_equal(attr.mq_maxmsg, 3);
    assert_int_equal(attr.mq_msgsize, 32);
}

static void attr_flags_ignored(void **state)
{
    struct mq_attr attr = {.mq_flags = O_NONBLOCK, .mq_maxmsg = 1, .mq_msgsize = 1};

    (void)state;
    attr.mq_curmsgs = 5;
    assert_false(nonblocking((mqd_t)ok(mq_open(name(0), O_CREAT | O_RDWR, 0600, &attr))));
    assert_int_equal(count(reopen(O_RDONLY)), 0);
}

static void both(void **state)
{
    (void)state;
    fails(mq_open(name(0), BOTH), ENOENT);
    create(0, 1);
    fails(mq_open(name(0), BOTH), EINVAL);
    fails(open_attr(O_CREAT | BOTH, 1, 1), EINVAL);
}

static void both_creates(void **state)
{
    char buffer[32];
    mqd_t q;

    (void)state;
    q = (mqd_t)ok(open_attr(O_CREAT | BOTH, 1, 32));
    fails(mq_send(q, "x", 1, 0), EBADF);
    fails(mq_receive(q, buffer, sizeof(buffer), NULL), EBADF);
    assert_int_equal(count(q), 0);
}

static void access_read(void **state)
{
    mqd_t all, q;

    (void)state;
    all = create(0, 2);
    q = reopen(O_RDONLY);
    put(all, "x", 3);
    fails(mq_send(q, "x", 1, 0), EBADF);
    expect(q, "x", 3);
}

static void access_write(void **state)
{
    char buffer[32];
    mqd_t all, q;

    (void)state;
    all = create(0, 2);
    q = reopen(O_WRONLY);
    put(q, "x", 3);
    fails(mq_receive(q, buffer, sizeof(buffer), NULL), EBADF);
    expect(all, "x", 3);
}

static void one_queue(void **state)
{
    mqd_t a, b;

    (void)state;
    a = create(0, 2);
    b = (mqd_t)ok(open_attr(O_CREAT | O_RDWR, 2, 32));
    put(a, "from a", 1);
    put(b, "from b", 2);
    expect(a, "from b", 2);
    expect(b, "from a", 1);
}

static void nonblock_of_its_own(void **state)
{
    mqd_t a, b, c;

    (void)state;
    a = create(0, 1);
    b = reopen(O_RDWR | O_NONBLOCK);
    c = reopen(O_RDWR);
    assert_false(nonblocking(a));
    assert_true(nonblocking(b));
    assert_false(nonblocking(c));
    fails(mq_receive(b, (char[32]){0}, 32, NULL), EAGAIN);
}

static void nonblock_at_creation(void **state)
{
    (void)state;
    assert_true(nonblocking(create(O_NONBLOCK, 1)));
}

static void close_on_exec(void **state)
{
    (void)state;
    assert_int_equal(fcntl(create(0, 1), F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(reopen(O_RDONLY), F_GETFD), FD_CLOEXEC);
}

static int lowest_free(void)
{
    int fd = (int)ok(open("/dev/null", O_RDONLY));

    close(fd);
    return fd;
}

static void lowest(void **state)
{
    int free;

    (void)state;
    free = lowest_free();
    assert_int_equal(create(0, 1), free);
    assert_int_equal(reopen(O_RDONLY), free + 1);
    close(free);
    assert_int_equal(reopen(O_RDONLY), free);
    assert_int_equal(lowest_free(), free + 2); /* nothing else was left open */
}

/* With room for `free` more descriptors, runs f, in a child. */
static int (*limited)(void);
static int limit(void *free)
{
    int fd = lowest_free();
    struct rlimit r = {(rlim_t)(fd + *(int *)free), (rlim_t)(fd + *(int *)free)};

    return setrlimit(RLIMIT_NOFILE, &r) == 0 ? limited() : 254;
}

static int with_descriptors(int free, int (*f)(void))
{
    limited = f;
    return in_child(limit, &free);
}

static int create_in_child(void)
{
    return open_attr(O_CREAT | O_RDWR, 1, 32) == -1 ? errno : 0;
}

static int open_missing(void)
{
    return mq_open(name(0), O_RDWR) == -1 ? errno : 0;
}

static int open_no_slash(void)
{
    return mq_open("noslash", O_RDWR) == -1 ? errno : 0;
}

static int open_just_slash(void)
{
    return mq_open("/", O_RDWR) == -1 ? errno : 0;
}

static int open_two_slashes(void)
{
    return mq_open("/a/b", O_RDWR) == -1 ? errno : 0;
}

static void no_descriptor(void **state)
{
    (void)state;
    assert_int_equal(with_descriptors(0, create_in_child), EMFILE);
    fails(mq_open(name(0), O_RDWR), ENOENT);
}

static void no_descriptor_first(void **state)
{
    (void)state;
    assert_int_equal(with_descriptors(0, open_missing), EMFILE);
    assert_int_equal(with_descriptors(0, open_two_slashes), EMFILE);
}

static void no_descriptor_last(void **state)
{
    (void)state;
    assert_int_equal(with_descriptors(0, open_no_slash), EINVAL);
    assert_int_equal(with_descriptors(0, open_just_slash), ENOENT);
}

static int use_last_descriptor(void)
{
    char buffer[32];
    mqd_t q = open_attr(O_CREAT | O_RDWR, 2, 32);

    if (q == -1 || mq_send(q, "x", 1, 1) != 0 || mq_send(q, "y", 1, 2) != 0 ||
        mq_receive(q, buffer, 32, NULL) != 1)
        return errno;
    return buffer[0] == 'y' ? 0 : 253;
}

static void last_descriptor(void **state)
{
    (void)state;
    assert_int_equal(with_descriptors(1, use_last_descriptor), 0);
    expect(reopen(O_RDONLY), "x", 1);
}

static void high_descriptor(void **state)
{
    int fd = 0;
    mqd_t q;

    (void)state;
    while (fd < 700)
        fd = (int)ok(open("/dev/null", O_RDONLY));
    q = create(0, 1);
    assert_true(q > 700);
    put(q, "x", 1);
    expect(q, "x", 1);
    ok(mq_close(q));
    fails(mq_send(q, "x", 1, 1), EBADF);
}

static void many(void **state)
{
    mqd_t q[100];

    (void)state;
    q[0] = create(0, 10);
    for (int i = 1; i < 100; i++)
        q[i] = reopen(O_RDWR);
    for (int i = 0; i < 100; i++) {
        put(q[i], "x", 1);
        expect(q[99 - i], "x", 1);
    }
}

/* Each of several processes creates the queue; exactly one may succeed. */
static int race(void *round)
{
    int flags = O_CREAT | O_RDWR | (*(int *)round % 2 ? O_EXCL : 0);
    mqd_t q;

    shared->ready++;
    while (shared->ready < 4)
        usleep(10);
    q = open_attr(flags, 8, 32);
    if (q == -1)
        return errno;
    return mq_send(q, "here", 4, 0) == 0 ? 0 : 252;
}

static void races(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        pid_t pid[4];
        int won = 0;

        shared->ready = 0;
        for (int i = 0; i < 4; i++)
            pid[i] = spawn(race, &round);
        for (int i = 0; i < 4; i++) {
            int r = reap(pid[i]);

            assert_true(r == 0 || (round % 2 && r == EEXIST));
            won += r == 0;
        }
        assert_int_equal(won, round % 2 ? 1 : 4);
        assert_int_equal(count(reopen(O_RDONLY)), won); /* all have the same queue */
        ok(mq_unlink(name(0)));
    }
}

static void as_many_as_descriptors(void **state)
{
    long most = sysconf(_SC_MQ_OPEN_MAX);

    (void)state;
    create(0, 1);
    assert_true(most == -1 || most >= 8); /* _POSIX_MQ_OPEN_MAX */
    for (int i = 1; i < (most == -1 || most > 500 ? 500 : most); i++)
        reopen(O_RDWR);
}

/* In an IPC namespace, which has a sysctl and queues of its own.  MQX_LIMITS means nothing to
 * the kernel.  77: there cannot be one here. */
static int one_too_many(void *unused)
{
    static const long wrong[][2] = {{1, 1}, {0, 1}, {1, 0}, {-1, -1}, {LONG_MAX, LONG_MAX}};
    int fd = unshare(CLONE_NEWIPC) == 0 ? open("/proc/sys/fs/mqueue/queues_max", O_WRONLY) : -1;

    (void)unused;
    if (fd == -1 || mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, 0666, NULL) == -1 ||
        write(fd, "1", 1) != 1 || setenv("MQX_LIMITS", "kernel", 1) != 0)
        return 77;
    if (!become_capable(65534, 0))
        return 250;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct mq_attr attr = {.mq_maxmsg = wrong[i][0], .mq_msgsize = wrong[i][1]};

        if (mq_open(name(1), O_CREAT | O_RDWR, 0600, &attr) != -1 || errno != ENOSPC)
            return 100 + (int)i;
        if (mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, 0600, &attr) != -1 || errno != EEXIST)
            return 200 + (int)i;
    }
    return mq_open(name(1), O_CREAT | O_RDWR, 0600, NULL) == -1 ? errno : 0;
}

static void queues_max(void **state)
{
    int r = geteuid() == 0 ? in_child(one_too_many, NULL) : 77;

    (void)state;
    if (r == 77) {
        print_message("skip: an IPC namespace with a queues_max of its own needs root\n");
        skip();
    }
    assert_int_equal(r, ENOSPC);
}

int group_open(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_open(3): ENOENT O_CREAT was not specified, and no queue exists", missing),
        SAYS("POSIX: O_EXCL without O_CREAT: undefined; Linux ignores it", excl_alone),
        SAYS("mq_open(3): O_CREAT creates the queue with the given attributes", creates),
        SAYS("mq_overview(7): msg_default and msgsize_default are used if attr is NULL",
             default_attr),
        SAYS("mq_open(3): EEXIST both O_CREAT and O_EXCL, but a queue exists", exists),
        SAYS("Linux: EEXIST comes before EINVAL", exists_first),
        SAYS("mq_open(3): EINVAL attr->mq_maxmsg or attr->mq_msgsize was invalid", bad_attr),
        SAYS("Linux: EINVAL attributes beyond any limit, and whose product overflows", huge_attr),
        SAYS("POSIX: if the queue exists, O_CREAT has no effect", attr_ignored),
        SAYS("mq_open(3): mq_flags and mq_curmsgs are ignored by mq_open", attr_flags_ignored),
        SAYS("Linux: O_WRONLY|O_RDWR for an existing queue: EINVAL, but ENOENT first", both),
        SAYS("Linux: O_WRONLY|O_RDWR for a new queue: neither readable nor writable", both_creates),
        SAYS("mq_open(3): O_RDONLY opens the queue to receive messages only", access_read),
        SAYS("mq_open(3): O_WRONLY opens the queue to send messages only", access_write),
        SAYS("POSIX: mq_open establishes a connection to the queue of that name", one_queue),
        SAYS("mq_open(3): O_NONBLOCK opens the queue in nonblocking mode", nonblock_of_its_own),
        SAYS("mq_open(3): O_NONBLOCK holds for the creating descriptor", nonblock_at_creation),
        SAYS("mq_open(3): the close-on-exec flag is set automatically", close_on_exec),
        SAYS("Linux: a message queue descriptor is the lowest free file descriptor", lowest),
        SAYS("mq_open(3): EMFILE the per-process limit has been reached", no_descriptor),
        SAYS("Linux: EMFILE comes before ENOENT and EACCES", no_descriptor_first),
        SAYS("Linux: EINVAL and ENOENT for the name as such come before EMFILE",
             no_descriptor_last),
        SAYS("mq_open(3): one free descriptor is enough, to open and to use a queue",
             last_descriptor),
        SAYS("Linux: descriptors can be large numbers", high_descriptor),
        SAYS("sysconf(3): MQ_OPEN_MAX: as many open queues; -1: no such limit",
             as_many_as_descriptors),
        SAYS("mq_overview(7): queues_max is reached: ENOSPC, before EINVAL for the attributes",
             queues_max),
        SAYS("POSIX: a process may open a queue many times", many),
        SAYS("POSIX: the check for existence and the creation are atomic", races),
    };

    return RUN("mq_open", tests);
}

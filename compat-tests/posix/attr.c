/* mq_getattr and mq_setattr. */
#include "compat.h"

static int set(mqd_t q, long flags, struct mq_attr *old)
{
    struct mq_attr attr = {.mq_flags = flags};

    return mq_setattr(q, &attr, old);
}

static void counts(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(count(q), i);
        put(q, "x", (unsigned)i);
    }
    assert_int_equal(count(q), 4);
    expect(q, "x", 3);
    assert_int_equal(count(q), 3);
}

static void any_access(void **state)
{
    (void)state;
    put(create(0, 4), "x", 0);
    assert_int_equal(count(reopen(O_RDONLY)), 1);
    assert_int_equal(count(reopen(O_WRONLY)), 1);
}

static void set_and_clear(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    assert_int_equal(set(q, O_NONBLOCK, NULL), 0);
    assert_true(nonblocking(q));
    fails(mq_receive(q, (char[32]){0}, 32, NULL), EAGAIN);
    put(q, "x", 0);
    fails(mq_send(q, "x", 1, 0), EAGAIN);
    ok(set(q, 0, NULL));
    assert_false(nonblocking(q));
}

static void old_attr(void **state)
{
    struct mq_attr old;
    mqd_t q;

    (void)state;
    q = create(0, 3);
    put(q, "x", 0);
    ok(set(q, O_NONBLOCK, &old));
    assert_int_equal(old.mq_flags, 0);
    assert_int_equal(old.mq_maxmsg, 3);
    assert_int_equal(old.mq_msgsize, 32);
    assert_int_equal(old.mq_curmsgs, 1);
    ok(set(q, 0, &old));
    assert_int_equal(old.mq_flags, O_NONBLOCK);
}

static void same_struct(void **state)
{
    struct mq_attr attr = {.mq_flags = O_NONBLOCK}, *volatile same = &attr;
    mqd_t q;

    (void)state;
    q = create(0, 3);
    ok(mq_setattr(q, &attr, same));
    assert_int_equal(attr.mq_flags, 0);
    assert_int_equal(attr.mq_maxmsg, 3);
    assert_true(nonblocking(q));
}

static void only_flags(void **state)
{
    struct mq_attr attr = {0, 99, 999, 9, {0}};
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 3);
    ok(mq_setattr(q, &attr, NULL));
    ok(mq_getattr(q, &attr));
    assert_int_equal(attr.mq_flags, 0);
    assert_int_equal(attr.mq_maxmsg, 3);
    assert_int_equal(attr.mq_msgsize, 32);
    assert_int_equal(attr.mq_curmsgs, 0);
}

static void other_flags(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    fails(set(q, 1, NULL), EINVAL);
    fails(set(q, O_NONBLOCK | O_APPEND, NULL), EINVAL);
    fails(set(q, -1, NULL), EINVAL);
    fails(set(q, 1L << 40, NULL), EINVAL);
    assert_false(nonblocking(q));
}

static void other_flags_first(void **state)
{
    (void)state;
    fails(set(-1, 1, NULL), EINVAL);
    fails(set(-1, 0, NULL), EBADF);
}

static void not_a_queue(void **state)
{
    struct mq_attr attr;
    int fd;

    (void)state;
    fd = (int)ok(open("/dev/null", O_RDWR));
    fails(mq_getattr(fd, &attr), EBADF);
    fails(set(fd, 0, NULL), EBADF);
    fails(mq_getattr(-1, &attr), EBADF);
    fails(mq_getattr(1000000000, &attr), EBADF);
}

static void null_pointers(void **state)
{
    /* Not a constant: the header says that these are never NULL. */
    struct mq_attr *volatile none = NULL;
    struct mq_attr attr;
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 3);
    assert_int_equal(mq_setattr(q, none, &attr), 0);
    assert_int_equal(attr.mq_flags, O_NONBLOCK);
    assert_int_equal(attr.mq_maxmsg, 3);
    assert_int_equal(mq_getattr(q, none), 0);
    assert_int_equal(mq_setattr(q, none, none), 0);
    assert_true(nonblocking(q));
}

static void by_fcntl(void **state)
{
    mqd_t q;
    int flags;

    (void)state;
    q = create(0, 1);
    flags = (int)ok(fcntl(q, F_GETFL));
    assert_false(flags & O_NONBLOCK);
    ok(fcntl(q, F_SETFL, flags | O_NONBLOCK));
    assert_true(nonblocking(q));
    fails(mq_receive(q, (char[32]){0}, 32, NULL), EAGAIN);
    ok(set(q, 0, NULL));
    assert_int_equal(fcntl(q, F_GETFL) & O_NONBLOCK, 0);
}

static void not_shared(void **state)
{
    mqd_t a, b;

    (void)state;
    a = create(0, 1);
    b = reopen(O_RDWR);
    ok(set(a, O_NONBLOCK, NULL));
    assert_false(nonblocking(b));
}

static int set_in_child(void *q)
{
    return set(*(mqd_t *)q, O_NONBLOCK, NULL) == 0 ? 0 : errno;
}

static void shared_by_fork(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    assert_int_equal(in_child(set_in_child, &q), 0);
    assert_true(nonblocking(q));
}

static void keeps_access(void **state)
{
    mqd_t q;

    (void)state;
    create(0, 1);
    q = reopen(O_RDONLY);
    ok(set(q, O_NONBLOCK, NULL));
    ok(set(q, 0, NULL));
    fails(mq_send(q, "x", 1, 0), EBADF);
}

int group_attr(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_getattr(3): mq_curmsgs is the number of messages currently in the queue", counts),
        SAYS("mq_getattr(3): works on descriptors of any access mode", any_access),
        SAYS("mq_setattr(3): mq_flags can set and clear O_NONBLOCK", set_and_clear),
        SAYS("mq_setattr(3): oldattr returns what mq_getattr would have", old_attr),
        SAYS("Linux: newattr is read before oldattr is written", same_struct),
        SAYS("mq_setattr(3): the other fields of newattr are ignored", only_flags),
        SAYS("mq_setattr(3): EINVAL newattr->mq_flags contained bits other than O_NONBLOCK",
             other_flags),
        SAYS("Linux: EINVAL for mq_flags comes before EBADF", other_flags_first),
        SAYS("mq_getattr(3): EBADF the message queue descriptor is invalid", not_a_queue),
        SAYS("Linux: NULL for an attr: nothing is set, or returned", null_pointers),
        SAYS("mq_overview(7): O_NONBLOCK is the open file description's status flag", by_fcntl),
        SAYS("mq_open(3): each mq_open has an open file description of its own", not_shared),
        SAYS("mq_overview(7): after fork, the flags are shared", shared_by_fork),
        SAYS("mq_setattr(3): does not change the access mode", keeps_access),
    };

    return RUN("mq_getattr, mq_setattr", tests);
}

/* mq_unlink. */
#include "compat.h"

static void gone(void **state)
{
    (void)state;
    create(0, 1);
    assert_int_equal(mq_unlink(name(0)), 0);
    fails(mq_open(name(0), O_RDWR), ENOENT);
    fails(mq_unlink(name(0)), ENOENT);
}

static void missing(void **state)
{
    (void)state;
    fails(mq_unlink(name(0)), ENOENT);
}

static void still_usable(void **state)
{
    mqd_t a, b;

    (void)state;
    a = create(0, 2);
    b = reopen(O_RDWR);
    put(a, "before", 1);
    ok(mq_unlink(name(0)));
    put(a, "after", 2);
    assert_int_equal(count(b), 2);
    expect(b, "after", 2);
    ok(mq_close(a));
    expect(b, "before", 1);
    put(b, "alone", 3);
    expect(b, "alone", 3);
}

static void created_anew(void **state)
{
    struct mq_attr attr;
    mqd_t old, new;

    (void)state;
    old = create(0, 2);
    put(old, "old", 1);
    ok(mq_unlink(name(0)));
    new = create(0, 5); /* O_EXCL: the name is free at once */
    ok(mq_getattr(new, &attr));
    assert_int_equal(attr.mq_maxmsg, 5);
    assert_int_equal(attr.mq_curmsgs, 0);
    put(new, "new", 1);
    expect(old, "old", 1);
    expect(reopen(O_RDONLY), "new", 1);
    ok(mq_close(old));
    put(new, "again", 1);
    expect(new, "again", 1);
}

static void messages_are_lost(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 2);
    put(q, "x", 1);
    ok(mq_unlink(name(0)));
    ok(mq_close(q));
    assert_int_equal(count(create(0, 2)), 0);
}

static void again_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        mqd_t q = create(0, 2);

        put(q, "x", 1);
        assert_int_equal(count(q), 1);
        ok(i % 2 ? mq_unlink(name(0)) : mq_close(q));
        ok(i % 2 ? mq_close(q) : mq_unlink(name(0)));
    }
}

/* Others create and unlink the same name all the time: each mq_open gives a whole queue, or one of
 * the errors that were asked for. */
static int disturb(void *arg)
{
    int seed = (int)(intptr_t)arg;

    for (int i = 0; i < 400; i++) {
        bool creating = (seed + i) % 3 != 0;
        struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 32};
        char buffer[32];
        mqd_t q = mq_open(name(0), O_RDWR | O_NONBLOCK | (creating ? O_CREAT : 0), 0600, &attr);

        if (q == -1) {
            if (creating || errno != ENOENT)
                return errno;
            continue;
        }
        if (mq_send(q, "x", 1, 0) != 0 && errno != EAGAIN)
            return errno;
        if (creating && mq_receive(q, buffer, sizeof(buffer), NULL) == -1 && errno != EAGAIN)
            return errno;
        if (mq_close(q) != 0)
            return errno;
        if (mq_unlink(name(0)) != 0 && errno != ENOENT)
            return errno;
    }
    return 0;
}

static void beside_others(void **state)
{
    pid_t pid[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        pid[i] = spawn(disturb, (void *)(intptr_t)i);
    for (int i = 0; i < 3; i++)
        assert_int_equal(reap(pid[i]), 0);
}

int group_unlink(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_unlink(3): the name is removed immediately", gone),
        SAYS("mq_unlink(3): ENOENT there is no message queue with the given name", missing),
        SAYS("mq_unlink(3): the queue itself lives until its descriptors are closed", still_usable),
        SAYS("POSIX: the name can at once be used for a new queue, apart from the old",
             created_anew),
        SAYS("mq_unlink(3): the queue is destroyed once no process has it open", messages_are_lost),
        SAYS("mq_unlink(3): before or after mq_close, again and again", again_and_again),
        SAYS("POSIX: mq_open beside mq_unlink finds a queue or none", beside_others),
    };

    return RUN("mq_unlink", tests);
}

/* The calls that send and receive are cancellation points. */
#include "compat.h"

#include <pthread.h>

struct thread {
    pthread_t thread;
    enum call call;
    mqd_t q;
    int type; /* of cancellation */
    _Atomic pid_t tid;
    _Atomic bool go, cleaned, returned;
};

static void cleanup(void *arg)
{
    ((struct thread *)arg)->cleaned = true;
}

static void *blocked_thread(void *arg)
{
    struct thread *t = arg;

    pthread_setcanceltype(t->type, NULL);
    pthread_cleanup_push(cleanup, t);
    t->tid = gettid();
    blocking_call(t->call, t->q);
    t->returned = true;
    pthread_cleanup_pop(0);
    return NULL;
}

static void start(struct thread *t, enum call call, mqd_t q, void *(*f)(void *))
{
    *t = (struct thread){.call = call, .q = q, .type = PTHREAD_CANCEL_DEFERRED};
    assert_int_equal(pthread_create(&t->thread, NULL, f, t), 0);
}

static void assert_cancelled(struct thread *t)
{
    void *value = NULL;

    assert_int_equal(pthread_join(t->thread, &value), 0);
    assert_ptr_equal(value, PTHREAD_CANCELED);
    assert_true(t->cleaned);
    assert_false(t->returned);
}

/* Nobody waits any more: what ends a wait has its effect on the queue alone. */
static void assert_nobody_waits(enum call call, mqd_t q)
{
    bool sends = call == SEND || call == TIMEDSEND;

    assert_int_equal(count(q), sends);
    unblock(call, q);
    assert_int_equal(count(q), !sends);
}

static void blocked(void **state)
{
    static struct thread t;
    mqd_t q;

    q = create_blocking(which(state));
    start(&t, which(state), q, blocked_thread);
    await(t.tid);
    await(asleep(t.tid));
    assert_int_equal(pthread_cancel(t.thread), 0);
    assert_cancelled(&t);
    assert_nobody_waits(which(state), q);
}

static void *asynchronous_thread(void *arg)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &((struct thread *)arg)->type);
    ((struct thread *)arg)->type = PTHREAD_CANCEL_ASYNCHRONOUS;
    return blocked_thread(arg);
}

static void asynchronous(void **state)
{
    static struct thread t;
    mqd_t q;

    q = create_blocking(which(state));
    start(&t, which(state), q, asynchronous_thread);
    await(t.tid);
    await(asleep(t.tid));
    assert_int_equal(pthread_cancel(t.thread), 0);
    assert_cancelled(&t);
    assert_nobody_waits(which(state), q);
}

/* With a request pending, the call that would not block is cancelled all the same. */
static void *pending_thread(void *arg)
{
    struct thread *t = arg;

    pthread_cleanup_push(cleanup, t);
    t->tid = gettid();
    while (!t->go)
        ;
    blocking_call(t->call, t->q);
    t->returned = true;
    pthread_cleanup_pop(0);
    return NULL;
}

static void pending(void **state)
{
    enum call call = which(state);
    static struct thread t;
    mqd_t q;

    q = create(0, 2);
    put(q, "old", 1);
    start(&t, call, q, pending_thread);
    await(t.tid);
    assert_int_equal(pthread_cancel(t.thread), 0);
    t.go = true;
    assert_cancelled(&t);
    assert_int_equal(count(q), 1);
}

static void *error_thread(void *arg)
{
    ((struct thread *)arg)->q = -1;
    return pending_thread(arg);
}

static void pending_error(void **state)
{
    static struct thread t;

    start(&t, which(state), -1, error_thread);
    await(t.tid);
    assert_int_equal(pthread_cancel(t.thread), 0);
    t.go = true;
    assert_cancelled(&t);
}

static void *disabled_thread(void *arg)
{
    struct thread *t = arg;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    t->tid = gettid();
    t->returned = blocking_call(t->call, t->q) != -1;
    return NULL;
}

static void disabled(void **state)
{
    static struct thread t;
    void *value = NULL;
    mqd_t q;

    q = create_blocking(which(state));
    start(&t, which(state), q, disabled_thread);
    await(t.tid);
    await(asleep(t.tid));
    assert_int_equal(pthread_cancel(t.thread), 0);
    await(asleep(t.tid));
    unblock(which(state), q);
    assert_int_equal(pthread_join(t.thread, &value), 0);
    assert_null(value);
    assert_true(t.returned);
}

/* Of two waiting, one is cancelled, the one that came first or the other: what comes then is for
 * the one that still waits. */
static void leaves_the_other(void **state)
{
    enum call call = which(state);
    static struct thread t[2];
    void *value = NULL;
    mqd_t q;

    q = create_blocking(call);
    for (int i = 0; i < 20; i++) {
        struct thread *cancelled = &t[i % 2], *other = &t[1 - i % 2];

        for (int j = 0; j < 2; j++) {
            start(&t[j], call, q, blocked_thread);
            await(t[j].tid);
            await(asleep(t[j].tid));
        }
        assert_int_equal(pthread_cancel(cancelled->thread), 0);
        assert_cancelled(cancelled);
        unblock(call, q);
        assert_int_equal(pthread_join(other->thread, &value), 0);
        assert_null(value);
        assert_true(other->returned);
        if (call == SEND || call == TIMEDSEND) {
            expect(q, "new", 1);
            put(q, "old", 1);
        }
        assert_int_equal(count(q), call == SEND || call == TIMEDSEND);
    }
}

static void often(void **state)
{
    static struct thread t;
    mqd_t q;

    q = create_blocking(which(state));
    for (int i = 0; i < 100; i++) {
        start(&t, which(state), q, blocked_thread);
        await(t.tid);
        if (i % 2)
            await(asleep(t.tid));
        assert_int_equal(pthread_cancel(t.thread), 0);
        assert_cancelled(&t);
    }
    assert_nobody_waits(which(state), q);
}

int group_cancel(void)
{
    const struct CMUnitTest tests[] = {
        FOUR_CALLS("pthreads(7): cancelled while blocked; cleanup handlers run", blocked),
        FOUR_CALLS("pthreads(7): cancelled asynchronously while blocked", asynchronous),
        FOUR_CALLS("pthreads(7): a pending request acts though it would not block", pending),
        FOUR_CALLS("pthreads(7): a pending request acts before errors", pending_error),
        FOUR_CALLS("pthread_setcancelstate(3): disabled, the request stays pending", disabled),
        FOUR_CALLS("POSIX: a cancelled waiter does not keep others waiting", leaves_the_other),
        FOUR_CALLS("POSIX: cancelled again and again, nothing is left behind", often),
    };

    return RUN("cancellation", tests);
}

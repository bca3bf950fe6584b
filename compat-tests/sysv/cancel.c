/* msgsnd and msgrcv are cancellation points. */
#include "sysv.h"

#include <pthread.h>

struct thread {
    pthread_t thread;
    enum call call;
    int q;
    int type; /* of cancellation */
    _Atomic pid_t tid;
    _Atomic bool go, cleaned, returned;
};

static void cleanup(void *arg)
{
    ((struct thread *)arg)->cleaned = true;
}

static void *call_it(void *arg)
{
    struct thread *t = arg;

    pthread_setcanceltype(t->type, NULL);
    pthread_cleanup_push(cleanup, t);
    t->tid = gettid();
    while (!t->go)
        ;
    blocking_call(t->call, t->q);
    t->returned = true;
    pthread_cleanup_pop(0);
    return NULL;
}

static void start(struct thread *t, enum call call, int q, int type)
{
    *t = (struct thread){.call = call, .q = q, .type = type, .go = true};
    assert_int_equal(pthread_create(&t->thread, NULL, call_it, t), 0);
}

static void start_blocked(struct thread *t, enum call call, int q, int type)
{
    start(t, call, q, type);
    await(t->tid);
    await(asleep(t->tid));
}

static void cancel(struct thread *t)
{
    void *value = NULL;

    assert_int_equal(pthread_cancel(t->thread), 0);
    t->go = true;
    assert_int_equal(pthread_join(t->thread, &value), 0);
    assert_ptr_equal(value, PTHREAD_CANCELED);
    assert_true(t->cleaned);
    assert_false(t->returned);
}

static void blocked(void **state)
{
    static struct thread t;
    int q;

    q = create_blocking(which(state));
    start_blocked(&t, which(state), q, PTHREAD_CANCEL_DEFERRED);
    cancel(&t);
    untouched(which(state), q);
}

static void asynchronous(void **state)
{
    static struct thread t;
    int q;

    q = create_blocking(which(state));
    start_blocked(&t, which(state), q, PTHREAD_CANCEL_ASYNCHRONOUS);
    cancel(&t);
    untouched(which(state), q);
}

/* With a request pending, the call that would not block is cancelled all the same. */
static void pending(void **state)
{
    static struct thread t;
    struct msqid_ds before, after;
    int q;

    q = create_blocking(which(state));
    unblock(which(state), q);
    before = status(q);
    t = (struct thread){.call = which(state), .q = q, .type = PTHREAD_CANCEL_DEFERRED};
    assert_int_equal(pthread_create(&t.thread, NULL, call_it, &t), 0);
    await(t.tid);
    cancel(&t);
    after = status(q);
    assert_memory_equal(&before, &after, sizeof(before));
}

static void pending_error(void **state)
{
    static struct thread t;

    t = (struct thread){.call = which(state), .q = -1, .type = PTHREAD_CANCEL_DEFERRED};
    assert_int_equal(pthread_create(&t.thread, NULL, call_it, &t), 0);
    await(t.tid);
    cancel(&t);
}

static void *call_it_disabled(void *arg)
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
    int q;

    q = create_blocking(which(state));
    t = (struct thread){.call = which(state), .q = q};
    assert_int_equal(pthread_create(&t.thread, NULL, call_it_disabled, &t), 0);
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
    int q;

    q = create_blocking(call);
    for (int i = 0; i < 20; i++) {
        for (int j = 0; j < 2; j++)
            start_blocked(&t[j], call, q, PTHREAD_CANCEL_DEFERRED);
        cancel(&t[i % 2]);
        unblock(call, q);
        assert_int_equal(pthread_join(t[1 - i % 2].thread, NULL), 0);
        assert_true(t[1 - i % 2].returned);
        if (call == SEND) {
            expect(q, 0, 0, 5, "new");
            put(q, 3, "old text");
        }
    }
    untouched(call, q);
}

static void often(void **state)
{
    static struct thread t;
    int q;

    q = create_blocking(which(state));
    for (int i = 0; i < 100; i++) {
        start(&t, which(state), q, PTHREAD_CANCEL_DEFERRED);
        await(t.tid);
        if (i % 2)
            await(asleep(t.tid));
        cancel(&t);
    }
    untouched(which(state), q);
}

/* What does not block in POSIX is none. */
static void *control(void *arg)
{
    struct thread *t = arg;
    struct msqid_ds ds;
    int q;

    pthread_cleanup_push(cleanup, t);
    t->tid = gettid();
    while (!t->go)
        ;
    q = msgget(IPC_PRIVATE, 0600);
    t->returned = msgctl(q, IPC_STAT, &ds) == 0 && msgctl(q, IPC_SET, &ds) == 0 &&
                  msgctl(q, IPC_RMID, NULL) == 0;
    pthread_cleanup_pop(0);
    return NULL;
}

static void not_these(void **state)
{
    static struct thread t;

    (void)state;
    t = (struct thread){.go = false};
    assert_int_equal(pthread_create(&t.thread, NULL, control, &t), 0);
    await(t.tid);
    assert_int_equal(pthread_cancel(t.thread), 0);
    t.go = true;
    assert_int_equal(pthread_join(t.thread, NULL), 0);
    assert_true(t.returned);
    assert_false(t.cleaned);
}

int group_cancel(void)
{
    const struct CMUnitTest tests[] = {
        EACH_CALL("pthreads(7): cancelled while blocked; cleanup handlers run", blocked),
        BOTH_CALLS("pthreads(7): cancelled asynchronously while blocked", asynchronous),
        EACH_CALL("pthreads(7): a pending request acts though it would not block", pending),
        BOTH_CALLS("pthreads(7): a pending request acts before errors", pending_error),
        BOTH_CALLS("pthread_setcancelstate(3): disabled, the request stays pending", disabled),
        BOTH_CALLS("POSIX: a cancelled waiter does not keep others waiting", leaves_the_other),
        BOTH_CALLS("POSIX: cancelled again and again, nothing is left behind", often),
        SAYS("pthreads(7): msgget and msgctl are no cancellation points", not_these),
    };

    return RUN("cancellation", tests);
}

/* Many threads and one descriptor. */
#include "compat.h"

#include <pthread.h>

#define THREADS 4
#define EACH    2000

static mqd_t q;
static _Atomic int seen[THREADS * EACH];
static _Atomic long errors;

static void *send_many(void *arg)
{
    int first = (int)(intptr_t)arg * EACH;

    for (int i = first; i < first + EACH; i++)
        errors += mq_send(q, (char *)&i, sizeof(i), (unsigned)i % 5) != 0;
    return NULL;
}

static void *receive_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < EACH; i++) {
        char buffer[32];
        int number = -1;

        if (mq_receive(q, buffer, sizeof(buffer), NULL) == sizeof(number))
            memcpy(&number, buffer, sizeof(number));
        if (number < 0 || number >= THREADS * EACH)
            errors++;
        else
            seen[number]++;
    }
    return NULL;
}

static void exactly_once(void **state)
{
    pthread_t thread[2 * THREADS];

    (void)state;
    q = create(0, 7);
    errors = 0;
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < 2 * THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, i % 2 ? send_many : receive_many,
                                        (void *)(intptr_t)(i / 2)),
                         0);
    for (int i = 0; i < 2 * THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(errors, 0);
    for (int i = 0; i < THREADS * EACH; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(count(q), 0);
}

/* One thread opens and closes, the others use whatever is there: a queue, or EBADF. */
static _Atomic bool stop;
static _Atomic mqd_t current;

static void *use_current(void *arg)
{
    char buffer[32];

    (void)arg;
    while (!stop) {
        if (mq_send(current, "x", 1, 0) != 0 && errno != EBADF && errno != EAGAIN)
            errors++;
        if (mq_receive(current, buffer, sizeof(buffer), NULL) != 1 && errno != EBADF &&
            errno != EAGAIN)
            errors++;
    }
    return NULL;
}

static void closed_under_use(void **state)
{
    pthread_t thread[2];

    (void)state;
    q = create(O_NONBLOCK, 8);
    current = reopen(O_RDWR | O_NONBLOCK);
    stop = false;
    errors = 0;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, use_current, NULL), 0);
    for (int i = 0; i < 2000; i++) {
        mqd_t old = current;

        current = reopen(O_RDWR | O_NONBLOCK);
        ok(mq_close(old));
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(errors, 0);
    while (mq_receive(q, (char[32]){0}, 32, NULL) != -1)
        ;
    assert_int_equal(errno, EAGAIN);
    put(q, "x", 0);
    expect(q, "x", 0);
}

/* A thread's first call, and its last, must not matter: many short-lived threads. */
static void *once(void *arg)
{
    char buffer[32];

    (void)arg;
    errors += mq_send(q, "once", 4, 0) != 0 || mq_receive(q, buffer, sizeof(buffer), NULL) != 4;
    return NULL;
}

static void short_lived(void **state)
{
    (void)state;
    q = create(0, 8);
    errors = 0;
    for (int i = 0; i < 500; i++) {
        pthread_t thread[3];

        for (int j = 0; j < 3; j++)
            assert_int_equal(pthread_create(&thread[j], NULL, once, NULL), 0);
        for (int j = 0; j < 3; j++)
            assert_int_equal(pthread_join(thread[j], NULL), 0);
    }
    assert_int_equal(errors, 0);
    assert_int_equal(count(q), 0);
}

int group_thread(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("POSIX: messages of many threads are each received exactly once", exactly_once),
        SAYS("Linux: mq_close while other threads use the descriptor: the call works, or EBADF",
             closed_under_use),
        SAYS("POSIX: every thread of the process can use its descriptors", short_lived),
    };

    return RUN("threads", tests);
}

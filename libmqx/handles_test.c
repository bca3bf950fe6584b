/* Unit tests of the descriptor table: what it answers, what it refers to, and many threads. */
#include "handles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>

/* Queues that nobody unmaps: their owner, this test, holds a reference too. */
static _Alignas(MQXI_PAGE) struct mqxi_queue a = {.refs = 1};
static _Alignas(MQXI_PAGE) struct mqxi_queue b = {.refs = 1};

/* A program opens the queue q as fd. */
static void set(int fd, struct mqxi_queue *q, unsigned access)
{
    atomic_fetch_add(&q->refs, 1);
    assert_int_equal(mqxi_handle_set(fd, q, access), 0);
}

static void assert_is(int fd, struct mqxi_queue *q, unsigned access)
{
    struct mqxi_queue *found = NULL;
    unsigned found_access = 99;

    assert_int_equal(mqxi_handle_get(fd, &found, &found_access), 0);
    assert_ptr_equal(found, q);
    assert_int_equal(found_access, access);
}

static void assert_unknown(int fd)
{
    struct mqxi_queue *q;
    unsigned access;

    assert_int_equal(mqxi_handle_get(fd, &q, &access), -EBADF);
    assert_int_equal(mqxi_handle_clear(fd), -EBADF);
}

static void unknown(void **state)
{
    (void)state;
    assert_unknown(0);
    assert_unknown(7);
    assert_unknown(1 << 19);
    assert_unknown(1 << 20);
    assert_unknown(INT_MAX);
    assert_unknown(-1);
    assert_unknown(INT_MIN);
}

static void every_access(void **state)
{
    (void)state;
    for (unsigned access = 0; access <= (MQXI_READ | MQXI_WRITE); access++) {
        set(3, &a, access);
        assert_is(3, &a, access);
        assert_int_equal(mqxi_handle_clear(3), 0);
        assert_unknown(3);
    }
    assert_int_equal(a.refs, 1);
}

/* First and last of pages, and the last of all. */
static void any_number(void **state)
{
    static const int fds[] = {0, 511, 512, 513, 1023, 1024, 65535, (1 << 20) - 1};
    int n = sizeof(fds) / sizeof(*fds);

    (void)state;
    for (int i = 0; i < n; i++)
        set(fds[i], i % 2 ? &a : &b, i % 2 ? MQXI_READ : MQXI_WRITE);
    assert_int_equal(a.refs + b.refs, 2 + n);
    for (int i = 0; i < n; i++)
        assert_is(fds[i], i % 2 ? &a : &b, i % 2 ? MQXI_READ : MQXI_WRITE);
    assert_unknown(514);
    for (int i = 0; i < n; i++)
        assert_int_equal(mqxi_handle_clear(fds[i]), 0);
    for (int i = 0; i < n; i++)
        assert_unknown(fds[i]);
    assert_int_equal(a.refs + b.refs, 2);
}

static void beyond(void **state)
{
    (void)state;
    assert_int_equal(mqxi_handle_set(1 << 20, &a, MQXI_READ), -EMFILE);
    assert_int_equal(mqxi_handle_set(INT_MAX, &a, MQXI_READ), -EMFILE);
    assert_int_equal(mqxi_handle_set(-1, &a, MQXI_READ), -EMFILE);
    assert_int_equal(a.refs, 1); /* the caller keeps its reference */
}

/* The program closed 5 with plain close(), and then got it again from mq_open. */
static void stale(void **state)
{
    (void)state;
    set(5, &a, MQXI_READ);
    set(5, &b, MQXI_WRITE);
    assert_int_equal(a.refs, 1);
    assert_int_equal(b.refs, 2);
    assert_is(5, &b, MQXI_WRITE);
    set(5, &b, MQXI_READ); /* the same queue */
    assert_int_equal(b.refs, 2);
    assert_is(5, &b, MQXI_READ);
    assert_int_equal(mqxi_handle_clear(5), 0);
    assert_int_equal(b.refs, 1);
}

/* One thread sets and clears, others look: queue and access always belong together. */
#define BASE 100000 /* pages that do not exist yet */
static atomic_bool stop;
static _Atomic long wrong, found;

static void *look(void *arg)
{
    (void)arg;
    while (!stop)
        for (int fd = BASE; fd < BASE + 5000; fd += 50) {
            struct mqxi_queue *q;
            unsigned access;

            if (mqxi_handle_get(fd, &q, &access) == 0) {
                found++;
                wrong += !(q == &a && access == MQXI_READ) && !(q == &b && access == MQXI_WRITE);
            }
        }
    return NULL;
}

static void *change(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;

    for (int i = 0; i < 200000; i++) {
        int fd = BASE + (int)((seed = seed * 1664525u + 1013904223u) >> 8) % 100 * 50;

        if (seed & 1) {
            struct mqxi_queue *q = seed & 2 ? &a : &b;

            atomic_fetch_add(&q->refs, 1);
            wrong += mqxi_handle_set(fd, q, q == &a ? MQXI_READ : MQXI_WRITE) != 0;
        } else {
            mqxi_handle_clear(fd);
        }
    }
    return NULL;
}

static void threads(void **state)
{
    pthread_t looking[2], changing[2];

    (void)state;
    for (uintptr_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&looking[i], NULL, look, NULL), 0);
        assert_int_equal(pthread_create(&changing[i], NULL, change, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(changing[i], NULL), 0);
    stop = true;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(looking[i], NULL), 0);
    assert_int_equal(wrong, 0);
    assert_true(found > 0);
    for (int fd = BASE; fd < BASE + 5000; fd += 50)
        mqxi_handle_clear(fd);
    assert_int_equal(a.refs, 1); /* no reference was lost, none was dropped twice */
    assert_int_equal(b.refs, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown), cmocka_unit_test(every_access), cmocka_unit_test(any_number),
        cmocka_unit_test(beyond),  cmocka_unit_test(stale),        cmocka_unit_test(threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

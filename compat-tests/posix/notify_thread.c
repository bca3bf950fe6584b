/* mq_notify by thread (SIGEV_THREAD). */
#include "notify.h"

#include <sys/prctl.h>

/* Larger than any that glibc may have left from another thread. */
#define FIRST_STACK  ((size_t)24 << 20)
#define SECOND_STACK ((size_t)32 << 20)

/* What the function finds out about its thread. */
static struct {
    _Atomic int calls;
    _Atomic intptr_t value;
    _Atomic int tid, detached, blocked, cpus;
    _Atomic size_t stack, guard;
    _Atomic bool free;
    char name[16];
} seen;

static int cpus_allowed(cpu_set_t *cpus)
{
    CPU_ZERO(cpus);
    assert_int_equal(sched_getaffinity(0, sizeof(*cpus), cpus), 0);
    return CPU_COUNT(cpus);
}

static void look(union sigval value)
{
    pthread_attr_t attr;
    cpu_set_t cpus;
    size_t size = 0;
    sigset_t mask;
    int n = -1;

    seen.value = (intptr_t)value.sival_ptr;
    seen.tid = gettid();
    prctl(PR_GET_NAME, seen.name);
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstacksize(&attr, &size);
        seen.stack = size;
        pthread_attr_getguardsize(&attr, &size);
        seen.guard = size;
        pthread_attr_getdetachstate(&attr, &n);
        seen.detached = n == PTHREAD_CREATE_DETACHED;
        pthread_attr_destroy(&attr);
    }
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    seen.blocked = 0;
    for (int i = 1; i < 32; i++)
        seen.blocked += sigismember(&mask, i);
    seen.free = !taken(q);
    seen.cpus = cpus_allowed(&cpus);
    seen.calls++;
}

static int registers_thread(void (*function)(union sigval), intptr_t value, pthread_attr_t *attr)
{
    struct sigevent event = event_of(SIGEV_THREAD, 0);

    seen.calls = 0;
    event.sigev_value.sival_ptr = (void *)value;
    event.sigev_notify_function = function;
    event.sigev_notify_attributes = attr;
    return mq_notify(q, &event);
}

static void called(void **state)
{
    cpu_set_t cpus;

    (void)state;
    q = create_quiet(2);
    ok(registers_thread(look, -123456789012345, NULL));
    put(q, "x", 0);
    await(seen.calls == 1);
    assert_int_equal(seen.value, -123456789012345);
    assert_int_not_equal(seen.tid, getpid());
    assert_true(seen.free); /* once */
    assert_int_equal(seen.cpus, cpus_allowed(&cpus));
}

static void for_childs_message(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers_thread(look, 5, NULL));
    assert_int_equal(in_child(child_sends, NULL), 0);
    await(seen.calls == 1);
    assert_int_equal(seen.value, 5);
}

static void attributes(void **state)
{
    pthread_attr_t attr;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    (void)state;
    q = create_quiet(2);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, FIRST_STACK);
    pthread_attr_setguardsize(&attr, 3 * page);
    ok(registers_thread(look, 1, &attr));
    put(q, "x", 0);
    await(seen.calls == 1);
    assert_int_equal(seen.stack, FIRST_STACK);
    assert_int_equal(seen.guard, 3 * page);
    pthread_attr_destroy(&attr);
}

static void attributes_are_copied(void **state)
{
    pthread_attr_t *attr = malloc(sizeof(*attr));
    cpu_set_t cpus;

    (void)state;
    q = create_quiet(2);
    pthread_attr_init(attr);
    pthread_attr_setstacksize(attr, SECOND_STACK);
    assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
    pthread_attr_setaffinity_np(attr, sizeof(cpus), &cpus);
    ok(registers_thread(look, 1, attr));
    pthread_attr_destroy(attr);
    memset(attr, 0xee, sizeof(*attr));
    free(attr);
    put(q, "x", 0);
    await(seen.calls == 1);
    assert_int_equal(seen.stack, SECOND_STACK);
}

static void its_affinity(void **state)
{
    cpu_set_t cpus, one;
    pthread_attr_t attr;
    int cpu = CPU_SETSIZE - 1;

    (void)state;
    q = create_quiet(2);
    cpus_allowed(&cpus);
    while (!CPU_ISSET(cpu, &cpus))
        cpu--;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_attr_init(&attr);
    pthread_attr_setaffinity_np(&attr, sizeof(one), &one);
    ok(registers_thread(look, 1, &attr));
    pthread_attr_destroy(&attr);
    put(q, "x", 0);
    await(seen.calls == 1);
    assert_int_equal(seen.cpus, 1);
}

static void own_stack(void **state)
{
    size_t size = 2 << 20; /* the thread sanitizer needs most of one */
    void *stack = NULL;
    pthread_attr_t attr;

    (void)state;
    q = create_quiet(2);
    assert_int_equal(posix_memalign(&stack, (size_t)sysconf(_SC_PAGESIZE), size), 0);
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, stack, size);
    ok(registers_thread(look, 1, &attr));
    pthread_attr_destroy(&attr);
    put(q, "x", 0);
    await(seen.calls == 1);
    assert_int_equal(seen.stack, size);
    /* The thread is detached: when it no longer needs its stack cannot be known. */
}

static void detached(void **state)
{
    pthread_attr_t attr;

    (void)state;
    q = create_quiet(2);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_JOINABLE);
    ok(registers_thread(look, 1, &attr));
    put(q, "x", 0);
    await(seen.calls == 1);
    assert_true(seen.detached);
    pthread_attr_destroy(&attr);
}

static void mask(void **state)
{
    (void)state;
    q = create_quiet(2); /* SIGUSR1 is blocked here */
    ok(registers_thread(look, 1, NULL));
    put(q, "x", 0);
    await(seen.calls == 1);
    assert_int_equal(seen.blocked, 0);
}

static void name_of_thread(void **state)
{
    char own[16];

    (void)state;
    q = create_quiet(2);
    prctl(PR_GET_NAME, own);
    ok(registers_thread(look, 1, NULL));
    put(q, "x", 0);
    await(seen.calls == 1);
    assert_string_equal(seen.name, own);
}

static void one_shot(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers_thread(look, 1, NULL));
    put(q, "x", 0);
    await(seen.calls == 1);
    expect(q, "x", 0);
    put(q, "y", 0);
    expect(q, "y", 0);
    ok(registers_thread(look, 2, NULL));
    put(q, "z", 0);
    await(seen.calls == 1);
    assert_int_equal(seen.value, 2);
}

static void busy(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers_thread(look, 1, NULL));
    fails(registers(q, 2), EBUSY);
    fails(registers_thread(look, 3, NULL), EBUSY);
    put(q, "x", 0);
    await(seen.calls == 1);
    assert_int_equal(seen.value, 1);
}

static void bad_descriptor(void **state)
{
    (void)state;
    q = -1;
    fails(registers_thread(look, 1, NULL), EBADF);
}

static void removed(void **state)
{
    pthread_attr_t attr;

    (void)state;
    q = create_quiet(2);
    pthread_attr_init(&attr);
    for (int i = 0; i < 100; i++) {
        ok(registers_thread(look, 1, &attr));
        ok(mq_notify(q, NULL));
    }
    assert_false(taken(q));
    put(q, "x", 0);
    expect(q, "x", 0);
    ok(registers_thread(look, 2, &attr));
    put(q, "x", 0);
    await(seen.calls == 1);
    assert_int_equal(seen.value, 2); /* and the others were not called */
    pthread_attr_destroy(&attr);
}

#define ROUNDS 200

/* What the manual page's example does: register again, then take what there is. */
static void again(union sigval value)
{
    struct sigevent event = event_of(SIGEV_THREAD, 0);
    char buffer[32];

    event.sigev_value.sival_int = value.sival_int + 1;
    event.sigev_notify_function = again;
    if (mq_notify(q, &event) != 0 || mq_receive(q, buffer, sizeof(buffer), NULL) != 1)
        abort();
    seen.value = value.sival_int;
    seen.calls++;
}

static void registers_again(void **state)
{
    (void)state;
    q = create_quiet(2);
    ok(registers_thread(again, 0, NULL));
    for (int i = 1; i <= ROUNDS; i++) {
        put(q, "x", 0);
        await(seen.calls == i);
        assert_int_equal(seen.value, i - 1);
    }
}

int group_notify_thread(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_notify(3): SIGEV_THREAD: sigev_notify_function is called with sigev_value",
             called),
        SAYS("mq_notify(3): SIGEV_THREAD: when another process's message arrives",
             for_childs_message),
        SAYS("POSIX: the thread has the attributes sigev_notify_attributes", attributes),
        SAYS("glibc: attributes are copied: the caller may destroy them", attributes_are_copied),
        SAYS("glibc: a CPU affinity among the attributes is kept", its_affinity),
        SAYS("POSIX: the attributes may name a stack", own_stack),
        SAYS("POSIX: the function runs in a detached thread", detached),
        SAYS("glibc: the thread has no signal blocked", mask),
        SAYS("glibc: the thread has its creator's name", name_of_thread),
        SAYS("mq_notify(3): SIGEV_THREAD: notification occurs once", one_shot),
        SAYS("mq_notify(3): SIGEV_THREAD: EBUSY as for signals", busy),
        SAYS("mq_notify(3): SIGEV_THREAD: EBADF mqdes is invalid", bad_descriptor),
        SAYS("mq_notify(3): SIGEV_THREAD: removed by NULL, and not called", removed),
        SAYS("mq_notify(3): the function registers again and empties the queue", registers_again),
    };

    return RUN("notification by thread", tests);
}

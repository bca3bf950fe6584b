/* What is epoll's own: level and edge triggered events, one-shot ones, sets that change. */
#include "wait_ready.h"

#include <pthread.h>
#include <sys/epoll.h>

static int set;

static void begin_set(void)
{
    set = (int)ok(epoll_create1(EPOLL_CLOEXEC));
}

static int control(int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {events, {.u64 = data}};

    return epoll_ctl(set, op, fd, &event);
}

static void add(int fd, uint32_t events, uint64_t data)
{
    ok(control(EPOLL_CTL_ADD, fd, events, data));
}

/* The next event is this one, and there is no other. */
static void gives(uint32_t events, uint64_t data, int ms)
{
    struct epoll_event got[8];

    memset(got, 0, sizeof(got));
    assert_int_equal(ok(epoll_wait(set, got, 8, ms)), 1);
    assert_int_equal(got[0].events, events);
    assert_int_equal(got[0].data.u64, data);
}

static void gives_nothing(void)
{
    struct epoll_event got;

    assert_int_equal(ok(epoll_wait(set, &got, 1, 0)), 0);
}

/* Several events at once, in any order: for each data (bit by bit) that there is one. */
static unsigned which_come(void)
{
    struct epoll_event got[8];
    unsigned bits = 0;
    int n = (int)ok(epoll_wait(set, got, 8, 0));

    for (int i = 0; i < n; i++)
        bits |= 1u << got[i].data.u64;
    assert_int_equal(__builtin_popcount(bits), n);
    return bits;
}

/* --- level ------------------------------------------------------------------------------------ */

static void level(void **state)
{
    mqd_t q = create(0, 3);

    (void)state;
    begin_set();
    add(q, EPOLLIN, 5);
    gives_nothing();
    put(q, "a", 0);
    gives(EPOLLIN, 5, -1);
    gives(EPOLLIN, 5, -1);
    put(q, "b", 0);
    gives(EPOLLIN, 5, -1);
    expect(q, "a", 0);
    gives(EPOLLIN, 5, -1);
    expect(q, "b", 0);
    gives_nothing();
}

static void level_out(void **state)
{
    mqd_t q = create(0, 2);

    (void)state;
    begin_set();
    add(q, EPOLLOUT, 5);
    gives(EPOLLOUT, 5, -1);
    put(q, "a", 0);
    gives(EPOLLOUT, 5, -1);
    put(q, "b", 0);
    gives_nothing();
    expect(q, "a", 0);
    gives(EPOLLOUT, 5, -1);
}

static void all_bits(void **state)
{
    mqd_t q = create(0, 2);

    (void)state;
    begin_set();
    add(q, EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM | EPOLLPRI | EPOLLRDHUP | EPOLLRDBAND, 5);
    gives(EPOLLOUT | EPOLLWRNORM, 5, -1);
    put(q, "a", 0);
    gives(EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM, 5, -1);
    put(q, "b", 0);
    gives(EPOLLIN | EPOLLRDNORM, 5, -1);
}

/* Also messages that were there before the queue was added, or asked for. */
static void added_ready(void **state)
{
    mqd_t q = create(0, 2);

    (void)state;
    begin_set();
    put(q, "a", 0);
    put(q, "b", 0);
    add(q, EPOLLOUT, 5);
    gives_nothing();
    ok(control(EPOLL_CTL_MOD, q, EPOLLIN, 6));
    gives(EPOLLIN, 6, -1);
    ok(control(EPOLL_CTL_DEL, q, 0, 0));
    gives_nothing();
    fails(control(EPOLL_CTL_MOD, q, EPOLLIN, 6), ENOENT);
    fails(control(EPOLL_CTL_DEL, q, 0, 0), ENOENT);
    add(q, EPOLLIN, 7);
    fails(control(EPOLL_CTL_ADD, q, EPOLLIN, 8), EEXIST);
    gives(EPOLLIN, 7, -1);
}

static void closing_removes(void **state)
{
    mqd_t q = create(0, 2), second = reopen(O_RDWR);

    (void)state;
    begin_set();
    add(q, EPOLLIN, 5);
    add(second, EPOLLIN, 6);
    put(q, "a", 0);
    assert_int_equal(which_come(), 1 << 5 | 1 << 6);
    ok(mq_close(q));
    gives(EPOLLIN, 6, -1);
    expect(second, "a", 0);
    gives_nothing();
    put(second, "b", 0);
    gives(EPOLLIN, 6, -1);
}

/* --- edges -------------------------------------------------------------------------------------
 */

/* Each send and each receive is an edge, for who waits for what is then possible. */
static void edges(void **state)
{
    mqd_t q = create(0, 3), in, both;

    (void)state;
    begin_set();
    in = reopen(O_RDONLY);
    both = reopen(O_RDWR);
    add(in, EPOLLIN | EPOLLET, 1);
    add(q, EPOLLOUT | EPOLLET, 2);
    add(both, EPOLLIN | EPOLLOUT | EPOLLET, 3);
    assert_int_equal(which_come(), 1 << 2 | 1 << 3);
    gives_nothing();
    for (int round = 0; round < 3; round++) {
        put(q, "a", 0);
        assert_int_equal(which_come(), 1 << 1 | 1 << 2 | 1 << 3);
        gives_nothing();
        put(q, "b", 0); /* it was not empty before */
        assert_int_equal(which_come(), 1 << 1 | 1 << 2 | 1 << 3);
        gives_nothing();
        put(q, "c", 0); /* full */
        assert_int_equal(which_come(), 1 << 1 | 1 << 3);
        gives_nothing();
        expect(q, "a", 0);
        assert_int_equal(which_come(), 1 << 1 | 1 << 2 | 1 << 3);
        gives_nothing();
        expect(q, "b", 0); /* one is left */
        assert_int_equal(which_come(), 1 << 1 | 1 << 2 | 1 << 3);
        gives_nothing();
        expect(q, "c", 0);
        assert_int_equal(which_come(), 1 << 2 | 1 << 3);
        gives_nothing();
    }
}

static void edges_merge(void **state)
{
    mqd_t q = create(0, 3);

    (void)state;
    begin_set();
    add(q, EPOLLIN | EPOLLET, 1);
    put(q, "a", 0);
    put(q, "b", 0);
    gives(EPOLLIN, 1, -1);
    gives_nothing();
    expect(q, "a", 0);
    expect(q, "b", 0); /* ready no longer when it is asked */
    gives_nothing();
}

static void edge_again_by_mod(void **state)
{
    mqd_t q = create(0, 3);

    (void)state;
    begin_set();
    put(q, "a", 0);
    add(q, EPOLLIN | EPOLLET, 1);
    gives(EPOLLIN, 1, -1);
    gives_nothing();
    ok(control(EPOLL_CTL_MOD, q, EPOLLIN | EPOLLET, 1));
    gives(EPOLLIN, 1, -1);
    gives_nothing();
}

static int sends_slowly(void *arg)
{
    mqd_t q = mq_open(name(0), O_WRONLY);

    (void)arg;
    for (int i = 1; i <= 10; i++) {
        await(shared->ready == i);
        if (mq_send(q, "x", 1, 0) != 0)
            return errno;
    }
    return 0;
}

/* One event for each message of another process, though none is ever received. */
static void edges_of_others(void **state)
{
    mqd_t q = create(0, 10);
    pid_t pid = spawn(sends_slowly, NULL);

    (void)state;
    begin_set();
    add(q, EPOLLIN | EPOLLET, 1);
    for (int i = 1; i <= 10; i++) {
        shared->ready = i;
        gives(EPOLLIN, 1, -1);
    }
    assert_int_equal(reap(pid), 0);
    assert_int_equal(count(q), 10);
}

/* --- one shot -----------------------------------------------------------------------------------
 */

static void one_shot(void **state)
{
    mqd_t q = create(0, 3);

    (void)state;
    begin_set();
    add(q, EPOLLIN | EPOLLONESHOT, 1);
    gives_nothing();
    put(q, "a", 0);
    gives(EPOLLIN, 1, -1);
    gives_nothing();
    put(q, "b", 0);
    gives_nothing();
    ok(control(EPOLL_CTL_MOD, q, EPOLLIN | EPOLLONESHOT, 2));
    gives(EPOLLIN, 2, -1);
    gives_nothing();
    expect(q, "a", 0);
    expect(q, "b", 0);
    ok(control(EPOLL_CTL_MOD, q, EPOLLIN | EPOLLONESHOT, 3));
    gives_nothing(); /* and is not used up by that */
    put(q, "c", 0);
    gives(EPOLLIN, 3, -1);
    gives_nothing();
}

static void one_shot_edge(void **state)
{
    mqd_t q = create(0, 3);

    (void)state;
    begin_set();
    add(q, EPOLLIN | EPOLLET | EPOLLONESHOT, 1);
    put(q, "a", 0);
    gives(EPOLLIN, 1, -1);
    put(q, "b", 0);
    gives_nothing();
    ok(control(EPOLL_CTL_MOD, q, EPOLLIN | EPOLLET | EPOLLONESHOT, 1));
    gives(EPOLLIN, 1, -1);
    gives_nothing();
}

/* --- sets ----------------------------------------------------------------------------------------
 */

/* Descriptors that the program does not tell apart. */
static void same_data(void **state)
{
    mqd_t q = create(0, 3);
    int pipes[2];
    char byte;

    (void)state;
    begin_set();
    ok(pipe(pipes));
    add(pipes[0], EPOLLIN | EPOLLET, 0);
    add(q, EPOLLIN, 0);
    gives_nothing();
    ok(write(pipes[1], "x", 1));
    gives(EPOLLIN, 0, -1); /* the pipe's */
    gives_nothing();
    put(q, "a", 0);
    gives(EPOLLIN, 0, -1);
    expect(q, "a", 0);
    gives_nothing();
    ok(read(pipes[0], &byte, 1));
    ok(control(EPOLL_CTL_MOD, q, EPOLLIN, 1));
    ok(write(pipes[1], "x", 1));
    gives(EPOLLIN, 0, -1);
    put(q, "a", 0);
    gives(EPOLLIN, 1, -1);
    expect(q, "a", 0);
    gives_nothing();
    ok(control(EPOLL_CTL_MOD, pipes[0], EPOLLIN, 1));
    gives(EPOLLIN, 1, -1);
}

/* Also who looks for lost ones sees no edge where there was none. */
static void same_data_edge(void **state)
{
    mqd_t q = create(0, 3), second = reopen(O_RDWR);
    struct epoll_event got;

    (void)state;
    begin_set();
    add(q, EPOLLIN | EPOLLET, 0);
    add(second, EPOLLIN, 0);
    put(q, "a", 0);
    assert_int_equal(ok(epoll_wait(set, &got, 1, -1)), 1);
    ok(control(EPOLL_CTL_DEL, second, 0, 0));
    ok(epoll_wait(set, &got, 1, 0));
    assert_int_equal(ok(epoll_wait(set, &got, 1, 2500)), 0);
}

static void nested(void **state)
{
    mqd_t q = create(0, 3);
    int inner, outer = (int)ok(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event = {EPOLLIN, {.u64 = 9}};
    struct pollfd p = {.events = POLLIN};

    (void)state;
    begin_set();
    inner = p.fd = set;
    ok(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event));
    add(q, EPOLLIN, 5);
    assert_int_equal(ok(poll(&p, 1, 0)), 0);
    put(q, "a", 0);
    assert_int_equal(ok(poll(&p, 1, -1)), 1);
    set = outer;
    gives(EPOLLIN, 9, -1);
    set = inner;
    gives(EPOLLIN, 5, -1);
    expect(q, "a", 0);
    gives_nothing();
    assert_int_equal(ok(poll(&p, 1, 0)), 0);
    set = outer;
    gives_nothing();
}

static void many(void **state)
{
    mqd_t q = create(0, 3), more[6];

    (void)state;
    begin_set();
    for (unsigned i = 0; i < 6; i++)
        add(more[i] = reopen(O_RDWR), EPOLLIN, i);
    gives_nothing();
    put(q, "a", 0);
    assert_int_equal(which_come(), 0x3f);
    for (unsigned i = 0; i < 6; i += 2)
        ok(control(EPOLL_CTL_DEL, more[i], 0, 0));
    assert_int_equal(which_come(), 0x2a);
    expect(q, "a", 0);
    assert_int_equal(which_come(), 0);
}

struct thread {
    pthread_t thread;
    _Atomic pid_t tid;
};

static void *waits_in_thread(void *arg)
{
    struct thread *t = arg;
    struct epoll_event got = {0};

    t->tid = gettid();
    return (void *)(intptr_t)(epoll_wait(set, &got, 1, -1) == 1 && got.data.u64 == 5);
}

/* Another thread waits on the set already. */
static void added_meanwhile(void **state)
{
    mqd_t q = create(0, 3);
    struct thread t = {0};
    void *value;

    (void)state;
    begin_set();
    assert_int_equal(pthread_create(&t.thread, NULL, waits_in_thread, &t), 0);
    await(t.tid != 0);
    await(asleep(t.tid));
    add(q, EPOLLIN, 5);
    await(asleep(t.tid));
    put(q, "a", 0);
    assert_int_equal(pthread_join(t.thread, &value), 0);
    assert_non_null(value);
}

static int waits_in_child(void *arg)
{
    struct epoll_event got = {0};

    (void)arg;
    shared->ready = 1;
    return epoll_wait(set, &got, 1, -1) == 1 && got.data.u64 == 5 ? 0 : 1;
}

static void inherited(void **state)
{
    mqd_t q = create(0, 3);
    pid_t pid;

    (void)state;
    begin_set();
    add(q, EPOLLIN, 5);
    pid = spawn(waits_in_child, NULL);
    await_blocked(pid);
    put(q, "a", 0);
    assert_int_equal(reap(pid), 0);
}

static void precise(void **state)
{
    struct timespec t = {0, 3500000}, began, now;
    struct epoll_event got;

    (void)state;
    begin_set();
    add(create(0, 1), EPOLLIN, 5);
    clock_gettime(CLOCK_MONOTONIC, &began);
    assert_int_equal(ok(epoll_pwait2(set, &got, 1, &t, NULL)), 0);
    clock_gettime(CLOCK_MONOTONIC, &now);
    assert_true((now.tv_sec - began.tv_sec) * 1000000000L + now.tv_nsec - began.tv_nsec >= 3500000);
    t.tv_nsec = 1000000000;
    fails(epoll_pwait2(set, &got, 1, &t, NULL), EINVAL);
    fails(epoll_wait(set, &got, 0, 0), EINVAL);
}

int group_epoll(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("epoll(7): level-triggered: EPOLLIN while there are messages", level),
        SAYS("epoll(7): level-triggered: EPOLLOUT while there is room", level_out),
        SAYS("epoll_ctl(2): EPOLLRDNORM and EPOLLWRNORM, and nothing else", all_bits),
        SAYS("epoll_ctl(2): ADD, MOD, DEL and their errors: EEXIST, ENOENT", added_ready),
        SAYS("epoll(7): closing a descriptor removes it from all sets", closing_removes),
        SAYS("Linux: EPOLLET: each send and each receive is an edge", edges),
        SAYS("epoll(7): EPOLLET: several edges before a wait are one event", edges_merge),
        SAYS("epoll(7): EPOLLET: EPOLL_CTL_MOD tells again", edge_again_by_mod),
        SAYS("Linux: EPOLLET: each send of another process is an edge", edges_of_others),
        SAYS("epoll_ctl(2): EPOLLONESHOT: disabled after an event, until MOD", one_shot),
        SAYS("epoll_ctl(2): EPOLLONESHOT with EPOLLET", one_shot_edge),
        SAYS("epoll_ctl(2): descriptors with the same data", same_data),
        SAYS("epoll_ctl(2): an edge is told once where descriptors have the same data",
             same_data_edge),
        SAYS("epoll(7): a set is itself ready when it has events", nested),
        SAYS("epoll(7): several descriptors of a queue in one set", many),
        SAYS("epoll_wait(2): a descriptor added while another thread waits", added_meanwhile),
        SAYS("fork(2): a set works in the child, too", inherited),
        SAYS("epoll_pwait2(2): nanoseconds; EINVAL bad timeouts and sizes", precise),
    };

    return RUN("epoll", tests);
}

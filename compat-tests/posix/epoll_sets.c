/* What leads to an epoll set: its duplicates, poll and other sets, child processes, programs
 * executed. */
#include "wait_ready.h"

#include <sys/epoll.h>
#include <sys/select.h>

static int new_set(void)
{
    return (int)ok(epoll_create1(EPOLL_CLOEXEC));
}

static void add(int set, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {events, {.u64 = data}};

    ok(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
}

static void gives(int set, uint64_t data)
{
    struct epoll_event got[4];

    assert_int_equal(ok(epoll_wait(set, got, 4, -1)), 1);
    assert_int_equal(got[0].data.u64, data);
}

static void gives_nothing(int set)
{
    struct epoll_event got;

    assert_int_equal(ok(epoll_wait(set, &got, 1, 0)), 0);
}

/* There was a message, and it is gone. */
static void come_and_go(mqd_t q)
{
    put(q, "a", 0);
    expect(q, "a", 0);
}

/* --- duplicates --------------------------------------------------------------------------------
 */

enum dup { DUP, DUP2, DUP3, FCNTL };

static int duplicate(enum dup how, int fd)
{
    int free = (int)ok(open("/dev/null", O_RDONLY));

    switch (how) {
    case DUP:
        return (int)ok(dup(fd));
    case DUP2:
        return (int)ok(dup2(fd, free));
    case DUP3:
        return (int)ok(dup3(fd, free, O_CLOEXEC));
    default:
        return (int)ok(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    }
}

/* Whatever is added through either. */
static void duplicates(void **state)
{
    enum dup how = (enum dup)(intptr_t)*state;
    mqd_t q = create(0, 3), second = reopen(O_RDWR);
    int set = new_set(), other;

    add(set, q, EPOLLIN, 1);
    other = duplicate(how, set);
    come_and_go(q);
    gives_nothing(other);
    gives_nothing(set);
    put(q, "a", 0);
    gives(other, 1);
    gives(set, 1);
    expect(q, "a", 0);
    ok(epoll_ctl(other, EPOLL_CTL_DEL, q, NULL));
    add(other, second, EPOLLIN, 2);
    come_and_go(q);
    gives_nothing(set);
    gives_nothing(other);
    put(q, "a", 0);
    gives(set, 2);
    ok(epoll_ctl(set, EPOLL_CTL_DEL, second, NULL));
    gives_nothing(other);
}

/* It is the same set that goes on, and its number another's. */
static void survives(void **state)
{
    enum dup how = (enum dup)(intptr_t)*state;
    int set = new_set(), other = duplicate(how, set), number = set;
    mqd_t q = create(0, 3);

    add(set, q, EPOLLIN, 1);
    ok(close(set));
    set = new_set();
    assert_int_equal(set, number);
    come_and_go(q);
    gives_nothing(other);
    gives_nothing(set);
    put(q, "a", 0);
    gives_nothing(set);
    gives(other, 1);
    add(set, q, EPOLLOUT, 2);
    gives(set, 2);
    gives(other, 1);
    ok(close(other));
    gives(set, 2);
    expect(q, "a", 0);
    gives(set, 2);
}

/* --- sets that are waited for ------------------------------------------------------------------
 */

static int set_is_ready(enum way way, int set, int ms)
{
    return wait_ready(way, set, READABLE, ms);
}

static void waited_for(void **state)
{
    enum way way = way_of(state);
    mqd_t q = create(0, 3);
    int set = new_set();

    add(set, q, EPOLLIN, 1);
    come_and_go(q);
    assert_int_equal(set_is_ready(way, set, 0), NOTHING);
    put(q, "a", 0);
    assert_int_equal(set_is_ready(way, set, -1), READABLE);
    expect(q, "a", 0);
    assert_int_equal(set_is_ready(way, set, 0), NOTHING);
    for (int i = 0; i < 3; i++)
        come_and_go(q);
    assert_int_equal(set_is_ready(way, set, 1), NOTHING);
    gives_nothing(set);
}

static int waits_for_set(void *arg)
{
    struct waiter *w = arg;

    return waits(w);
}

/* A process that sleeps until a set is ready hears of the other's message. */
static void wakes(void **state)
{
    mqd_t q = create(0, 3);
    struct waiter w = {way_of(state), READABLE, new_set(), -1};
    pid_t pid;

    add(w.q, q, EPOLLIN, 1);
    come_and_go(q);
    pid = spawn(waits_for_set, &w);
    await_blocked(pid);
    put(q, "a", 0);
    assert_int_equal(reap(pid), READABLE);
}

/* Whatever was put into what first. */
static void towers(void **state)
{
    int set[3] = {new_set(), new_set(), new_set()}, upside = (int)(intptr_t)*state;
    mqd_t q;

    if (upside) {
        add(set[1], set[0], EPOLLIN, 1);
        add(set[2], set[1], EPOLLIN, 2);
    }
    q = create(0, 3);
    add(set[0], q, EPOLLIN, 0);
    if (!upside) {
        add(set[2], set[1], EPOLLIN, 2);
        add(set[1], set[0], EPOLLIN, 1);
    }
    for (int i = 2; i >= 0; i--) {
        come_and_go(q);
        gives_nothing(set[i]);
        put(q, "a", 0);
        gives(set[i], (uint64_t)i);
        expect(q, "a", 0);
        gives_nothing(set[i]);
    }
    put(q, "a", 0);
    gives(set[2], 2);
    ok(epoll_ctl(set[1], EPOLL_CTL_DEL, set[0], NULL));
    gives_nothing(set[2]);
    gives(set[0], 0);
}

/* Edges: one for each change, also of a queue that was added to the inner one later. */
static void edge_of_a_set(void **state)
{
    int inner = new_set(), outer = new_set();
    mqd_t q = create(0, 5);

    (void)state;
    add(outer, inner, EPOLLIN | EPOLLET, 1);
    add(inner, q, EPOLLIN, 2);
    gives_nothing(outer);
    for (int i = 0; i < 3; i++) {
        put(q, "a", 0);
        gives(outer, 1);
        gives_nothing(outer);
        gives(inner, 2);
    }
}

/* --- other processes ---------------------------------------------------------------------------
 */

struct family {
    int set, how;
    mqd_t q;
};
enum { CHILD_ADDS, CHILD_WAITS };

static int child_of(void *arg)
{
    struct family *f = arg;
    struct epoll_event event = {EPOLLIN, {.u64 = 7}}, got = {0};

    if (f->how == CHILD_ADDS)
        return epoll_ctl(f->set, EPOLL_CTL_ADD, f->q, &event);
    await(shared->ready == 1);
    if (epoll_wait(f->set, &got, 1, 0) != 0)
        return 1;
    shared->ready = 2;
    return epoll_wait(f->set, &got, 1, -1) == 1 && got.data.u64 == 7 ? 0 : 2;
}

/* What one of them added, the other waits for. */
static void added_by_another(void **state)
{
    struct family f = {new_set(), (int)(intptr_t)*state, create(0, 3)};
    pid_t pid = spawn(child_of, &f);

    if (f.how == CHILD_ADDS) {
        assert_int_equal(reap(pid), 0);
        come_and_go(f.q);
        gives_nothing(f.set);
        put(f.q, "a", 0);
        gives(f.set, 7);
        return;
    }
    add(f.set, f.q, EPOLLIN, 7);
    come_and_go(f.q);
    shared->ready = 1;
    await(shared->ready == 2);
    put(f.q, "a", 0);
    assert_int_equal(reap(pid), 0);
}

/* In the program executed: the set's queue was ready, but is no longer; until it is. */
int wait_on(const char *set, const char *fd)
{
    int epoll = atoi(set), inner = atoi(set) - 1;
    struct pollfd p = {.fd = epoll, .events = POLLIN};
    struct epoll_event got;
    mqd_t q = atoi(fd);
    char text[32];

    if (mq_receive(q, text, sizeof(text), NULL) != 1)
        return 1;
    if (epoll_wait(inner, &got, 1, 0) != 0)
        return 2;
    if (mq_send(q, "b", 1, 0) != 0 || mq_receive(q, text, sizeof(text), NULL) != 1)
        return 3;
    if (poll(&p, 1, 0) != 0 || epoll_wait(epoll, &got, 1, 0) != 0)
        return 4;
    if (mq_send(q, "c", 1, 0) != 0 || epoll_wait(epoll, &got, 1, -1) != 1)
        return 5;
    return got.data.u64 == 2 && epoll_wait(inner, &got, 1, -1) == 1 && got.data.u64 == 1 ? 0 : 6;
}

static int executes(void *arg)
{
    const struct family *f = arg;
    char set[16], fd[16];

    snprintf(set, sizeof(set), "%d", f->set);
    snprintf(fd, sizeof(fd), "%d", f->q);
    fcntl(f->q, F_SETFD, 0);
    fcntl(f->set, F_SETFD, 0);
    fcntl(f->set - 1, F_SETFD, 0);
    execl("/proc/self/exe", "posix_compat", "--wait-on", set, fd, (char *)NULL);
    return 99;
}

static void executed(void **state)
{
    struct family f = {0};
    int inner;

    (void)state;
    f.q = create(0, 3);
    inner = new_set();
    f.set = new_set();
    assert_int_equal(f.set, inner + 1);
    add(inner, f.q, EPOLLIN, 1);
    add(f.set, inner, EPOLLIN, 2);
    put(f.q, "a", 0);
    gives(inner, 1);
    assert_int_equal(in_child(executes, &f), 0);
}

int group_epoll_sets(void)
{
    const struct CMUnitTest tests[] = {
        CALL("dup(2): of a set: the same set", duplicates, DUP),
        CALL("dup2(2): of a set: the same set", duplicates, DUP2),
        CALL("dup3(2): of a set: the same set", duplicates, DUP3),
        CALL("fcntl(2): F_DUPFD_CLOEXEC of a set: the same set", duplicates, FCNTL),
        CALL("epoll(7): a set goes on until its last descriptor is closed (dup)", survives, DUP),
        CALL("epoll(7): a set goes on until its last descriptor is closed (dup2)", survives, DUP2),
        CALL("epoll(7): a set goes on until its last descriptor is closed (dup3)", survives, DUP3),
        CALL("epoll(7): a set goes on until its last descriptor is closed (fcntl)", survives,
             FCNTL),
        EACH_WAY("a set is ready while it has events, and only then", waited_for),
        EACH_WAY("who waits for a set is woken", wakes),
        CALL("epoll(7): sets in sets in sets", towers, 0),
        CALL("epoll(7): sets in sets in sets, before there is a queue", towers, 1),
        SAYS("epoll(7): EPOLLET of a set: each event in it is an edge", edge_of_a_set),
        CALL("epoll(7): what a child process adds to a set", added_by_another, CHILD_ADDS),
        CALL("epoll(7): what the parent adds after a fork", added_by_another, CHILD_WAITS),
        SAYS("epoll(7): sets stay what they are through exec", executed),
    };

    return RUN("epoll sets", tests);
}

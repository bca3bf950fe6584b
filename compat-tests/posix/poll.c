/* Readiness of a message queue descriptor: what poll, select and epoll say, and wait for. */
#include "wait_ready.h"

#include <fcntl.h>

/* --- what is ready ---------------------------------------------------------------------------- */

static void each_state(void **state)
{
    enum way way = way_of(state);
    mqd_t q = create(0, 3);

    for (int round = 0; round < 2; round++) {
        assert_int_equal(ready(way, q), WRITABLE);
        put(q, "a", 0);
        assert_int_equal(ready(way, q), BOTH_WAYS);
        put(q, "b", 0);
        assert_int_equal(ready(way, q), BOTH_WAYS);
        put(q, "c", 0);
        assert_int_equal(ready(way, q), READABLE);
        expect(q, "a", 0);
        assert_int_equal(ready(way, q), BOTH_WAYS);
        expect(q, "b", 0);
        assert_int_equal(ready(way, q), BOTH_WAYS);
        expect(q, "c", 0);
    }
}

static void one_slot(void **state)
{
    enum way way = way_of(state);
    mqd_t q = create(0, 1);

    for (int round = 0; round < 3; round++) {
        assert_int_equal(ready(way, q), WRITABLE);
        put(q, "a", 0);
        assert_int_equal(ready(way, q), READABLE);
        expect(q, "a", 0);
    }
}

static void any_access(void **state)
{
    enum way way = way_of(state);
    mqd_t q = create(0, 2), in, out;

    put(q, "a", 0);
    in = reopen(O_RDONLY);
    out = reopen(O_WRONLY | O_NONBLOCK);
    assert_int_equal(ready(way, in), BOTH_WAYS);
    assert_int_equal(ready(way, out), BOTH_WAYS);
    put(out, "b", 0);
    assert_int_equal(ready(way, in), READABLE);
    assert_int_equal(ready(way, out), READABLE);
}

/* The first to look, at a queue that others filled. */
static void already_full(void **state)
{
    enum way way = way_of(state);
    mqd_t q = create(0, 2);

    put(q, "a", 0);
    put(q, "b", 0);
    assert_int_equal(ready(way, q), READABLE);
    expect(q, "a", 0);
    expect(q, "b", 0);
    assert_int_equal(ready(way, q), WRITABLE);
}

static void unlinked(void **state)
{
    enum way way = way_of(state);
    mqd_t q = create(0, 1);

    assert_int_equal(ready(way, q), WRITABLE);
    ok(mq_unlink(name(0)));
    put(q, "a", 0);
    assert_int_equal(ready(way, q), READABLE);
    expect(q, "a", 0);
    assert_int_equal(ready(way, q), WRITABLE);
}

static void duplicate(void **state)
{
    enum way way = way_of(state);
    mqd_t q = create(0, 2), second;

    second = (mqd_t)ok(dup(q));
    assert_int_equal(ready(way, second), WRITABLE);
    put(q, "a", 0);
    assert_int_equal(ready(way, second), BOTH_WAYS);
    put(second, "b", 0);
    assert_int_equal(ready(way, q), READABLE);
    ok(mq_close(q));
    assert_int_equal(ready(way, second), READABLE);
    ok(dup2(second, q));
    expect(second, "a", 0);
    assert_int_equal(ready(way, q), BOTH_WAYS);
}

/* --- waiting for it -----------------------------------------------------------------------------
 */

static void woken_by_message(void **state)
{
    struct waiter w = {way_of(state), READABLE, -1, -1};
    mqd_t q = create(0, 3);
    pid_t pid = spawn(waits, &w);

    await_blocked(pid);
    assert_int_equal(shared->done, 0);
    put(q, "a", 0);
    assert_int_equal(reap(pid), READABLE);
}

static void woken_by_room(void **state)
{
    struct waiter w = {way_of(state), WRITABLE, -1, -1};
    mqd_t q = create(0, 2);
    pid_t pid;

    put(q, "a", 0);
    put(q, "b", 0);
    pid = spawn(waits, &w);
    await_blocked(pid);
    assert_int_equal(shared->done, 0);
    expect(q, "a", 0);
    assert_int_equal(reap(pid), WRITABLE);
}

static void inherited(void **state)
{
    mqd_t q = create(0, 1);
    struct waiter w = {way_of(state), READABLE, q, -1};
    pid_t pid = spawn(waits, &w);

    await_blocked(pid);
    put(q, "a", 0);
    assert_int_equal(reap(pid), READABLE);
}

int poll_on(const char *way, const char *fd)
{
    return waits(&(struct waiter){(enum way)atoi(way), READABLE, atoi(fd), -1});
}

static int executes(void *arg)
{
    const struct waiter *w = arg;
    char way[16], fd[16];

    snprintf(way, sizeof(way), "%d", (int)w->way);
    snprintf(fd, sizeof(fd), "%d", (int)ok(dup(w->q))); /* not close-on-exec */
    execl("/proc/self/exe", "posix_compat", "--poll-on", way, fd, (char *)NULL);
    return 99;
}

static const char *first_line(const char *path, char *line, int size)
{
    FILE *f = fopen(path, "re");

    line[0] = 0;
    if (f && !fgets(line, size, f))
        line[0] = 0;
    if (f)
        fclose(f);
    return line;
}

/* Asleep in the program's first call that has anything to do with queues. */
static void after_exec(void **state)
{
    mqd_t q = create(0, 1);
    struct waiter w = {way_of(state), READABLE, q, -1};
    pid_t pid = spawn(executes, &w);
    char path[64], where[256];

    snprintf(path, sizeof(path), "/proc/%d/wchan", (int)pid);
    /* Not in the exec, nor in the loader: in poll or epoll. */
    await(asleep(pid) && (strstr(first_line(path, where, sizeof(where)), "poll") ||
                          strstr(where, "select") || strcmp(where, "0") == 0));
    put(q, "a", 0);
    assert_int_equal(reap(pid), READABLE);
}

/* Each of several that wait, though there is one message. */
static void wakes_all(void **state)
{
    struct waiter w = {way_of(state), READABLE, -1, -1};
    mqd_t q = create(0, 3);
    pid_t pid[3];

    for (int i = 0; i < 3; i++) {
        shared->ready = 0;
        pid[i] = spawn(waits, &w);
        await_blocked(pid[i]);
    }
    put(q, "a", 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(reap(pid[i]), READABLE);
}

/* Again and again, each time asleep. */
static int waits_often(void *arg)
{
    const struct waiter *w = arg;
    mqd_t q = mq_open(name(0), O_RDWR);
    char buffer[32];

    for (int i = 0; i < 20; i++) {
        shared->ready = i + 1;
        if (wait_ready(w->way, q, READABLE, -1) != READABLE)
            return 1;
        if (mq_receive(q, buffer, sizeof(buffer), NULL) != 1)
            return 2;
    }
    return 0;
}

static void woken_often(void **state)
{
    struct waiter w = {.way = way_of(state)};
    mqd_t q = create(0, 3);
    pid_t pid = spawn(waits_often, &w);

    for (int i = 0; i < 20; i++) {
        await(shared->ready == i + 1);
        await(asleep(pid));
        put(q, "a", 0);
    }
    assert_int_equal(reap(pid), 0);
}

static long passed_ms(const struct timespec *since)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

static int time_passes_child(void *arg)
{
    enum way way = (enum way)(intptr_t)arg;
    mqd_t q = mq_open(name(0), O_RDWR);
    struct timespec began;

    clock_gettime(CLOCK_MONOTONIC, &began);
    if (wait_ready(way, q, WRITABLE, 30) != NOTHING || passed_ms(&began) < 30)
        return 1;
    if (wait_ready(way, q, WRITABLE, 1500) != NOTHING || passed_ms(&began) < 1530)
        return 2; /* longer than a second */
    return 0;
}

static void time_passes(void **state)
{
    (void)state;
    put(create(0, 1), "a", 0);
    each_way_at_once(time_passes_child, 0);
}

int group_poll(void)
{
    const struct CMUnitTest tests[] = {
        EACH_WAY("Linux: empty is writable, full is readable, in between both", each_state),
        EACH_WAY("Linux: a queue of one slot is readable or writable", one_slot),
        EACH_WAY("Linux: readiness does not depend on the access mode", any_access),
        EACH_WAY("Linux: the first look at a full queue sees it", already_full),
        EACH_WAY("Linux: an unlinked queue still tells", unlinked),
        EACH_WAY("dup(2): a duplicate is ready when the queue is", duplicate),
        EACH_WAY("blocks until a message arrives", woken_by_message),
        EACH_WAY("blocks until there is room", woken_by_room),
        EACH_WAY("an inherited descriptor is ready when the queue is", inherited),
        EACH_WAY("execve(2): a descriptor that survived is ready when the queue is", after_exec),
        EACH_WAY("a message wakes all who wait for one", wakes_all),
        EACH_WAY("each message wakes who waits again", woken_often),
        SAYS("poll(2), select(2), epoll_wait(2): the timeout is the least time they block",
             time_passes),
    };

    return RUN("readiness", tests);
}

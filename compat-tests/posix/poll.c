/* Readiness of a message queue descriptor: what poll, select and epoll say. */
#include "wait_ready.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/resource.h>
#include <sys/select.h>

static enum way way_of(void **state)
{
    return (enum way)(intptr_t)*state;
}

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

/* --- waiting for it -----------------------------------------------------------------------------
 */

struct waiter {
    enum way way;
    int events;
    mqd_t q; /* inherited, or -1 */
    int ms;
};

static int waits(void *arg)
{
    const struct waiter *w = arg;
    mqd_t q = w->q == -1 ? mq_open(name(0), O_RDWR) : w->q;
    int r;

    shared->ready = 1;
    r = wait_ready(w->way, q, w->events, w->ms);
    shared->done = 1;
    return r < 0 ? 100 - r : r;
}

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

/* In each way at once. */
static void each_way_at_once(int (*f)(void *way), int status)
{
    pid_t pid[WAYS];

    for (int way = 0; way < WAYS; way++)
        pid[way] = spawn(f, (void *)(intptr_t)way);
    for (int way = 0; way < WAYS; way++)
        assert_int_equal(reap(pid[way]), status);
}

static void time_passes(void **state)
{
    (void)state;
    put(create(0, 1), "a", 0);
    each_way_at_once(time_passes_child, 0);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void count_signal(int signal)
{
    (void)signal;
    shared->signals++;
}

static int interrupted_child(void *arg)
{
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};

    sigaction(SIGUSR1, &action, NULL);
    return waits(arg);
}

static void interrupted(void **state)
{
    struct waiter w = {way_of(state), READABLE, -1, -1};
    pid_t pid;

    create(0, 1);
    pid = spawn(interrupted_child, &w);
    await_blocked(pid);
    kill(pid, SIGUSR1);
    assert_int_equal(reap(pid), 100 + EINTR);
    assert_int_equal(shared->signals, 1);
}

static int alarmed_child(void *way)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct waiter w = {(enum way)(intptr_t)way, READABLE, -1, -1};

    sigaction(SIGALRM, &action, NULL);
    alarm(2);
    return waits(&w);
}

/* After whole seconds, and no second signal. */
static void alarmed(void **state)
{
    (void)state;
    create(0, 1);
    each_way_at_once(alarmed_child, 100 + EINTR);
}

static void ignored(void **state)
{
    struct waiter w = {way_of(state), READABLE, -1, -1};
    mqd_t q = create(0, 1);
    pid_t pid = spawn(waits, &w);

    await_blocked(pid);
    for (int i = 0; i < 5; i++) {
        kill(pid, SIGWINCH);
        kill(pid, SIGCHLD);
        await(asleep(pid));
    }
    assert_int_equal(shared->done, 0);
    put(q, "a", 0);
    assert_int_equal(reap(pid), READABLE);
}

static sigset_t only(int signal)
{
    sigset_t set;

    sigemptyset(&set);
    if (signal)
        sigaddset(&set, signal);
    return set;
}

/* A signal that is pending, and let through for the wait. */
static int unmasked_child(void *arg)
{
    const struct waiter *w = arg;
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
    sigset_t blocked = only(SIGUSR1), none = only(0), now;
    mqd_t q = mq_open(name(0), O_RDWR);
    int r;

    sigaction(SIGUSR1, &action, NULL);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    raise(SIGUSR1);
    r = wait_masked(w->way, q, READABLE, w->ms, &none);
    sigprocmask(SIG_BLOCK, NULL, &now);
    if (!sigismember(&now, SIGUSR1) || shared->signals != 1)
        return 1;
    return 100 - r;
}

static void unmasked(void **state)
{
    struct waiter w = {way_of(state), 0, -1, -1};

    create(0, 1);
    assert_int_equal(in_child(unmasked_child, &w), 100 + EINTR);
    shared->signals = 0;
    w.ms = 0; /* and also where it would not have slept */
    assert_int_equal(in_child(unmasked_child, &w), 100 + EINTR);
}

/* A signal that is held back for the wait does not interrupt it. */
static int masked_child(void *arg)
{
    const struct waiter *w = arg;
    struct sigaction action = {.sa_handler = count_signal};
    sigset_t blocked = only(SIGUSR1);
    mqd_t q = mq_open(name(0), O_RDWR);
    int r;

    sigaction(SIGUSR1, &action, NULL);
    shared->ready = 1;
    r = wait_masked(w->way, q, READABLE, -1, &blocked);
    return r == READABLE && shared->signals == 1 ? 0 : 1;
}

static void masked(void **state)
{
    struct waiter w = {.way = way_of(state)};
    mqd_t q = create(0, 1);
    pid_t pid = spawn(masked_child, &w);

    await_blocked(pid);
    kill(pid, SIGUSR1);
    await(asleep(pid));
    assert_int_equal(shared->signals, 0);
    put(q, "a", 0);
    assert_int_equal(reap(pid), 0);
}

static sigjmp_buf out;

static void jump(int signal)
{
    (void)signal;
    siglongjmp(out, 1);
}

static int jumping_child(void *arg)
{
    struct sigaction action = {.sa_handler = jump};
    sigset_t now;

    sigaction(SIGUSR1, &action, NULL);
    if (sigsetjmp(out, 1) == 0)
        waits(arg);
    sigprocmask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, SIGTERM) || sigismember(&now, SIGUSR1);
}

static void jumps_out(void **state)
{
    struct waiter w = {way_of(state), READABLE, -1, -1};
    pid_t pid;

    create(0, 1);
    pid = spawn(jumping_child, &w);
    await_blocked(pid);
    kill(pid, SIGUSR1);
    assert_int_equal(reap(pid), 0);
}

/* --- threads ---------------------------------------------------------------------------------- */

struct thread {
    pthread_t thread;
    enum way way;
    mqd_t q;
    _Atomic pid_t tid;
    _Atomic int result;
    _Atomic bool cleaned;
};

static void clean(void *arg)
{
    struct thread *t = arg;
    sigset_t now;

    pthread_sigmask(SIG_BLOCK, NULL, &now);
    t->cleaned = !sigismember(&now, SIGTERM);
}

static void *waiting_thread(void *arg)
{
    struct thread *t = arg;

    pthread_cleanup_push(clean, t);
    t->tid = gettid();
    t->result = wait_ready(t->way, t->q, READABLE, -1);
    pthread_cleanup_pop(0);
    return NULL;
}

static void start(struct thread *t, enum way way, mqd_t q)
{
    *t = (struct thread){.way = way, .q = q};
    assert_int_equal(pthread_create(&t->thread, NULL, waiting_thread, t), 0);
    await(t->tid != 0);
    await(asleep(t->tid));
}

static void cancelled(void **state)
{
    struct thread t;
    void *value;

    start(&t, way_of(state), create(0, 1));
    pthread_cancel(t.thread);
    assert_int_equal(pthread_join(t.thread, &value), 0);
    assert_ptr_equal(value, PTHREAD_CANCELED);
    assert_true(t.cleaned);
}

/* The wait goes on; when there is something to tell, poll sees that the descriptor is closed. */
static void closed_meanwhile(void **state)
{
    mqd_t q = create(0, 1), other = reopen(O_WRONLY);
    struct thread t;

    start(&t, way_of(state), q);
    ok(mq_close(q));
    assert_int_equal(t.result, 0);
    put(other, "a", 0);
    assert_int_equal(pthread_join(t.thread, NULL), 0);
    assert_int_equal(t.result, t.way == POLL ? POLLNVAL : READABLE);
}

/* --- what is each call's own -------------------------------------------------------------------
 */

static void all_bits(void **state)
{
    struct pollfd p = {.events = -1};

    (void)state;
    p.fd = create(0, 2);
    assert_int_equal(ok(poll(&p, 1, 0)), 1);
    assert_int_equal(p.revents, POLLOUT | POLLWRNORM);
    put(p.fd, "a", 0);
    assert_int_equal(ok(poll(&p, 1, 0)), 1);
    assert_int_equal(p.revents, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
    put(p.fd, "b", 0);
    assert_int_equal(ok(poll(&p, 1, 0)), 1);
    assert_int_equal(p.revents, POLLIN | POLLRDNORM);
    p.events = 0;
    assert_int_equal(ok(poll(&p, 1, 0)), 0);
    assert_int_equal(p.revents, 0);
}

static void closed(void **state)
{
    struct pollfd p = {.events = POLLIN};
    fd_set set;

    (void)state;
    p.fd = create(0, 2);
    assert_int_equal(ok(poll(&p, 1, 0)), 0);
    ok(mq_close(p.fd));
    assert_int_equal(ok(poll(&p, 1, 0)), 1);
    assert_int_equal(p.revents, POLLNVAL);
    FD_ZERO(&set);
    FD_SET(p.fd, &set);
    fails(select(p.fd + 1, &set, NULL, NULL, NULL), EBADF);
}

/* Beside other files, an empty place, and another queue. */
static void mixed_poll(void **state)
{
    struct pollfd p[5] = {{.events = POLLIN}, {.fd = -1, .events = POLLIN}, {.events = POLLIN}};
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 32};
    int pipes[2];

    (void)state;
    ok(pipe(pipes));
    p[0].fd = pipes[0];
    p[2].fd = create(0, 1);
    p[3] = (struct pollfd){.fd = (mqd_t)ok(mq_open(name(1), O_CREAT | O_RDWR, 0600, &attr)),
                           .events = POLLIN | POLLOUT};
    p[4] = p[2];
    assert_int_equal(ok(poll(p, 5, -1)), 1);
    assert_int_equal(p[3].revents, POLLOUT);
    put(p[3].fd, "a", 0);
    put(p[2].fd, "a", 0);
    assert_int_equal(ok(poll(p, 5, -1)), 3);
    assert_int_equal(p[0].revents, 0);
    assert_int_equal(p[1].revents, 0);
    assert_int_equal(p[2].revents, POLLIN);
    assert_int_equal(p[3].revents, POLLIN);
    assert_int_equal(p[4].revents, POLLIN);
    expect(p[2].fd, "a", 0);
    expect(p[3].fd, "a", 0);
    p[3].events = POLLIN;
    assert_int_equal(ok(poll(p, 5, 0)), 0);
    ok(write(pipes[1], "x", 1));
    assert_int_equal(ok(poll(p, 5, -1)), 1);
    assert_int_equal(p[0].revents, POLLIN);
}

static void mixed_select(void **state)
{
    mqd_t q = create(0, 1);
    fd_set in, out, except;
    int pipes[2];

    (void)state;
    ok(pipe(pipes));
    for (int i = 0; i < 3; i++) {
        FD_ZERO(&in);
        FD_ZERO(&out);
        FD_ZERO(&except);
        FD_SET(q, &in);
        FD_SET(q, &out);
        FD_SET(q, &except);
        FD_SET(pipes[0], &in);
        FD_SET(pipes[1], &out);
        if (i == 1)
            put(q, "a", 0);
        if (i == 2)
            ok(write(pipes[1], "x", 1));
        assert_int_equal(ok(select(FD_SETSIZE, &in, &out, &except, NULL)), i == 2 ? 3 : 2);
        assert_int_equal(FD_ISSET(q, &in) != 0, i > 0);
        assert_int_equal(FD_ISSET(q, &out) != 0, i == 0);
        assert_int_equal(FD_ISSET(pipes[0], &in) != 0, i == 2);
        assert_int_equal(FD_ISSET(pipes[1], &out) != 0, true);
        assert_int_equal(FD_ISSET(q, &except) != 0, false);
    }
}

static void select_rest(void **state)
{
    struct timeval left = {3600, 0};
    mqd_t q = create(0, 1);
    fd_set set;

    (void)state;
    FD_ZERO(&set);
    FD_SET(q, &set);
    assert_int_equal(ok(select(q + 1, NULL, &set, NULL, &left)), 1);
    assert_true(left.tv_sec == 3599 || (left.tv_sec == 3600 && left.tv_usec == 0));
    left = (struct timeval){0, 20000};
    assert_int_equal(ok(select(q + 1, &set, NULL, NULL, &left)), 0);
    assert_int_equal(left.tv_sec, 0);
    assert_int_equal(left.tv_usec, 0);
    assert_false(FD_ISSET(q, &set));
}

static void select_normalizes(void **state)
{
    struct timeval left = {0, 20000000};
    struct timespec bad = {0, 1000000000};
    mqd_t q = create(0, 1);
    fd_set set;

    (void)state;
    FD_ZERO(&set);
    FD_SET(q, &set);
    assert_int_equal(ok(select(q + 1, NULL, &set, NULL, &left)), 1);
    assert_true(left.tv_sec >= 19);
    fails(pselect(q + 1, NULL, &set, NULL, &bad, NULL), EINVAL);
    left = (struct timeval){-1, 0};
    fails(select(q + 1, NULL, &set, NULL, &left), EINVAL);
}

static void bad_timeout(void **state)
{
    struct timespec bad[] = {{0, 1000000000}, {0, -1}, {-1, 0}};
    struct pollfd p = {.events = POLLIN};

    (void)state;
    p.fd = create(0, 1);
    put(p.fd, "a", 0);
    for (int i = 0; i < 3; i++)
        fails(ppoll(&p, 1, &bad[i], NULL), EINVAL);
}

/* A descriptor above FD_SETSIZE, among many. */
static int large_child(void *arg)
{
    struct rlimit limit;
    struct waiter w = {(enum way)(intptr_t)arg, READABLE, -1, -1};
    mqd_t q;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < FD_SETSIZE + 100 || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 77;
    for (int fd = 0; fd < FD_SETSIZE + 10;)
        if ((fd = open("/dev/null", O_RDONLY)) < 0)
            return 78;
    q = mq_open(name(0), O_RDWR);
    if (q < FD_SETSIZE)
        return 79;
    if (ready(w.way, q) != WRITABLE)
        return 80;
    w.q = q;
    return waits(&w);
}

static void large(void **state)
{
    mqd_t q = create(0, 2);
    pid_t pid = spawn(large_child, *state);

    await_blocked(pid);
    put(q, "a", 0);
    assert_int_equal(reap(pid), READABLE);
}

int group_poll(void)
{
    const struct CMUnitTest tests[] = {
        EACH_WAY("Linux: empty is writable, full is readable, in between both", each_state),
        EACH_WAY("Linux: a queue of one slot is readable or writable", one_slot),
        EACH_WAY("Linux: readiness does not depend on the access mode", any_access),
        EACH_WAY("Linux: the first look at a full queue sees it", already_full),
        EACH_WAY("Linux: an unlinked queue still tells", unlinked),
        EACH_WAY("blocks until a message arrives", woken_by_message),
        EACH_WAY("blocks until there is room", woken_by_room),
        EACH_WAY("an inherited descriptor is ready when the queue is", inherited),
        EACH_WAY("a message wakes all who wait for one", wakes_all),
        EACH_WAY("each message wakes who waits again", woken_often),
        SAYS("poll(2), select(2), epoll_wait(2): the timeout is the least time they block",
             time_passes),
        EACH_WAY("EINTR a handler ran, SA_RESTART or not", interrupted),
        SAYS("poll(2), select(2), epoll_wait(2): alarm(2) ends the wait", alarmed),
        EACH_WAY("signal(7): ignored signals do not interrupt", ignored),
        CALL("ppoll(2): a pending signal that the mask lets through: EINTR", unmasked, PPOLL),
        CALL("pselect(2): a pending signal that the mask lets through: EINTR", unmasked, PSELECT),
        CALL("ppoll(2): a signal in the mask waits until the call is over", masked, PPOLL),
        CALL("pselect(2): a signal in the mask waits until the call is over", masked, PSELECT),
        CALL("epoll_pwait(2): a signal in the mask waits until the call is over", masked, EPOLL_P),
        EACH_WAY("Linux: siglongjmp out of the wait restores the signal mask", jumps_out),
        EACH_WAY("pthreads(7): a cancellation point", cancelled),
        CALL("poll(2): Linux: goes on when another thread closes it", closed_meanwhile, POLL),
        CALL("select(2): Linux: goes on when another thread closes it", closed_meanwhile, SELECT),
        SAYS("poll(2): POLLRDNORM is POLLIN, POLLWRNORM is POLLOUT, revents only what is asked",
             all_bits),
        SAYS("poll(2): POLLNVAL, select(2): EBADF a descriptor that was closed", closed),
        SAYS("poll(2): queues beside other files, each for itself", mixed_poll),
        SAYS("select(2): queues beside other files, each for itself", mixed_select),
        SAYS("select(2): timeout is updated to the time not slept", select_rest),
        SAYS("select(2): large tv_usec, EINVAL a negative timeout", select_normalizes),
        SAYS("ppoll(2): EINVAL an invalid timeout", bad_timeout),
        CALL("poll(2): descriptors above FD_SETSIZE", large, POLL),
        CALL("ppoll(2): descriptors above FD_SETSIZE", large, PPOLL),
        CALL("epoll_wait(2): descriptors above FD_SETSIZE", large, EPOLL),
    };

    return RUN("readiness", tests);
}

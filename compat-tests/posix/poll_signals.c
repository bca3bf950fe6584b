/* Signals, cancellation and other threads, while poll, select and epoll wait for a queue. */
#include "wait_ready.h"

#include <pthread.h>
#include <setjmp.h>

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

static int puts_one(void *q)
{
    return mq_send(*(mqd_t *)q, "a", 1, 0);
}

/* The wait goes on; when there is something to tell, poll sees that the descriptor is closed.  By
 * another process: one's own threads might open something meanwhile, which got that number. */
static void closed_meanwhile(void **state)
{
    mqd_t q = create(0, 1), other = reopen(O_WRONLY);
    struct thread t;

    start(&t, way_of(state), q);
    ok(mq_close(q));
    assert_int_equal(t.result, 0);
    assert_int_equal(in_child(puts_one, &other), 0);
    assert_int_equal(pthread_join(t.thread, NULL), 0);
    assert_int_equal(t.result, t.way == POLL ? POLLNVAL : READABLE);
}

int group_poll_signals(void)
{
    const struct CMUnitTest tests[] = {
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
    };

    return RUN("readiness and signals", tests);
}

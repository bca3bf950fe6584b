/* Blocking, and being woken by another process. */
#include "compat.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

/* arg: the call, on name(0).  Exits with 0 if the call succeeds. */
static int blocked_child(void *arg)
{
    mqd_t q = mq_open(name(0), O_RDWR);

    shared->ready = 1;
    return blocking_call((enum call)(intptr_t)arg, q) == -1 ? errno : 0;
}

static pid_t spawn_blocked(enum call call)
{
    pid_t pid;

    shared->ready = 0;
    pid = spawn(blocked_child, (void *)(intptr_t)call);
    await_blocked(pid);
    return pid;
}

static void woken(void **state)
{
    mqd_t q;
    pid_t pid;

    q = create_blocking(which(state));
    pid = spawn_blocked(which(state));
    unblock(which(state), q);
    assert_int_equal(reap(pid), 0);
}

/* Asleep all the time, not now and then: it uses no processor time to speak of. */
static void sleeps(void **state)
{
    char path[64], stat[512], *field;
    unsigned long user, system, before = 0;
    mqd_t q;
    pid_t pid;

    q = create_blocking(which(state));
    pid = spawn_blocked(which(state));
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(path, "re");

        assert_non_null(f);
        assert_non_null(fgets(stat, sizeof(stat), f));
        fclose(f);
        field = strrchr(stat, ')');
        assert_int_equal(
            sscanf(field, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
            2);
        if (i == 1)
            assert_true(user + system - before < (unsigned long)sysconf(_SC_CLK_TCK) / 4);
        before = user + system;
        if (i == 0)
            sleep(1);
    }
    unblock(which(state), q);
    assert_int_equal(reap(pid), 0);
}

static void contents(void **state)
{
    pid_t pid;
    mqd_t q;

    (void)state;
    q = create_blocking(SEND);
    pid = spawn_blocked(SEND);
    assert_int_equal(count(q), 1);
    expect(q, "old", 1);
    expect(q, "new", 1); /* waits, if need be */
    assert_int_equal(reap(pid), 0);
}

static int receive_one(void *arg)
{
    char message[32];
    mqd_t q = mq_open(name(0), O_RDONLY);
    long n;

    (void)arg;
    shared->ready++;
    n = mq_receive(q, message, sizeof(message), NULL);
    if (n != 1)
        return n == -1 ? errno : 253;
    shared->number[message[0] & 15]++;
    return 0;
}

static void each_receives_one(void **state)
{
    pid_t pid[8];
    mqd_t q;

    (void)state;
    q = create(0, 8);
    for (int i = 0; i < 8; i++)
        pid[i] = spawn(receive_one, NULL);
    await(shared->ready == 8);
    for (int i = 0; i < 8; i++)
        await(asleep(pid[i]));
    for (char i = 0; i < 8; i++)
        ok(mq_send(q, &i, 1, 0));
    for (int i = 0; i < 8; i++)
        assert_int_equal(reap(pid[i]), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(shared->number[i], 1);
    assert_int_equal(count(q), 0);
}

static int send_one(void *arg)
{
    mqd_t q = mq_open(name(0), O_WRONLY);
    char i = (char)(intptr_t)arg;

    shared->ready++;
    return mq_send(q, &i, 1, 0) == 0 ? 0 : errno;
}

static void each_sends_one(void **state)
{
    char message[32];
    pid_t pid[8];
    mqd_t q;

    (void)state;
    q = create_blocking(SEND);
    for (int i = 0; i < 8; i++)
        pid[i] = spawn(send_one, (void *)(intptr_t)i);
    await(shared->ready == 8);
    for (int i = 0; i < 8; i++)
        await(asleep(pid[i]));
    expect(q, "old", 1);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(ok(mq_receive(q, message, sizeof(message), NULL)), 1);
        shared->number[message[0] & 15]++;
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(reap(pid[i]), 0);
        assert_int_equal(shared->number[i], 1);
    }
}

static void killed(void **state)
{
    enum call call = which(state);
    pid_t first, second;
    mqd_t q;

    q = create_blocking(call);
    first = spawn_blocked(call);
    second = spawn_blocked(call);
    kill(first, SIGKILL);
    assert_int_equal(reap(first), 1000 + SIGKILL);
    unblock(call, q); /* for the second, not for the dead */
    assert_int_equal(reap(second), 0);
    assert_int_equal(count(q), call == SEND ? 1 : 0);
}

static void stopped(void **state)
{
    enum call call = which(state);
    int status;
    pid_t pid;
    mqd_t q;

    q = create_blocking(call);
    pid = spawn_blocked(call);
    for (int i = 0; i < 3; i++) {
        kill(pid, SIGSTOP);
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        assert_true(WIFSTOPPED(status));
        kill(pid, SIGCONT);
        await(asleep(pid)); /* not EINTR: it waits again */
    }
    unblock(call, q);
    assert_int_equal(reap(pid), 0);
}

static void stopped_while_ended(void **state)
{
    enum call call = which(state);
    int status;
    pid_t pid;
    mqd_t q;

    q = create_blocking(call);
    pid = spawn_blocked(call);
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    unblock(call, q);
    kill(pid, SIGCONT);
    assert_int_equal(reap(pid), 0);
}

/* A blocked call in another thread of this process. */
struct caller {
    pthread_t thread;
    enum call call;
    mqd_t q;
    _Atomic pid_t tid;
    int result, error;
};

static void *call_in_thread(void *arg)
{
    struct caller *c = arg;

    c->tid = gettid();
    c->result = blocking_call(c->call, c->q);
    c->error = errno;
    return NULL;
}

static void start(struct caller *c, enum call call, mqd_t q)
{
    c->call = call;
    c->q = q;
    c->tid = 0;
    assert_int_equal(pthread_create(&c->thread, NULL, call_in_thread, c), 0);
    await(c->tid);
    await(asleep(c->tid));
}

static void closed_meanwhile(void **state)
{
    static struct caller c;
    mqd_t q, other;

    q = create_blocking(which(state));
    other = reopen(O_RDWR);
    start(&c, which(state), q);
    ok(mq_close(q));
    fails(mq_send(q, "x", 1, 1), EBADF);
    assert_true(asleep(c.tid) || c.result == 0);
    unblock(which(state), other);
    assert_int_equal(pthread_join(c.thread, NULL), 0);
    assert_int_not_equal(c.result, -1);
}

static void nonblock_meanwhile(void **state)
{
    struct mq_attr attr = {.mq_flags = O_NONBLOCK};
    static struct caller c;
    mqd_t q;

    q = create_blocking(which(state));
    start(&c, which(state), q);
    ok(mq_setattr(q, &attr, NULL));
    unblock(which(state), q);
    assert_int_equal(pthread_join(c.thread, NULL), 0);
    assert_int_not_equal(c.result, -1);
}

static void unlinked_meanwhile(void **state)
{
    pid_t pid;
    mqd_t q;

    q = create_blocking(which(state));
    pid = spawn_blocked(which(state));
    ok(mq_unlink(name(0)));
    unblock(which(state), q);
    assert_int_equal(reap(pid), 0);
}

/* The child may be killed before, in, or after its call. */
static void killed_anywhere(void **state)
{
    mqd_t q;

    (void)state;
    q = create(O_NONBLOCK, 2);
    for (int i = 0; i < 50; i++) {
        pid_t pid;
        int status;

        shared->ready = 0;
        pid = spawn(blocked_child, (void *)(intptr_t)RECEIVE);
        await(shared->ready);
        put(q, "y", 1);
        kill(pid, SIGKILL);
        status = reap(pid);
        assert_true(status == 0 || status == 1000 + SIGKILL);
        while (mq_receive(q, (char[32]){0}, 32, NULL) != -1)
            ;
        assert_int_equal(errno, EAGAIN);
        put(q, "x", 1);
        expect(q, "x", 1);
    }
}

/* Ping-pong over two queues: every message is waited for. */
static int echo(void *arg)
{
    mqd_t in = mq_open(name(0), O_RDONLY), out = mq_open(name(1), O_WRONLY);
    char message[32];

    for (long i = 0; i < *(long *)arg; i++) {
        long n = mq_receive(in, message, sizeof(message), NULL);

        if (n == -1 || mq_send(out, message, (size_t)n, 0) != 0)
            return errno;
    }
    return 0;
}

static void round_trips(void **state)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 32};
    long rounds = 3000, back;
    mqd_t out, in;
    pid_t pid;

    (void)state;
    out = create(0, 1);
    in = (mqd_t)ok(mq_open(name(1), O_CREAT | O_EXCL | O_RDONLY, 0600, &attr));
    pid = spawn(echo, &rounds);
    for (long i = 0; i < rounds; i++) {
        char message[32];

        ok(mq_send(out, (char *)&i, sizeof(i), 0));
        assert_int_equal(ok(mq_receive(in, message, sizeof(message), NULL)), sizeof(i));
        memcpy(&back, message, sizeof(back));
        assert_int_equal(back, i);
    }
    assert_int_equal(reap(pid), 0);
}

int group_block(void)
{
    const struct CMUnitTest tests[] = {
        CALL("mq_send(3): blocks until there is room", woken, SEND),
        CALL("mq_receive(3): blocks until a message is available", woken, RECEIVE),
        CALL("proc(5): a process blocked in mq_send sleeps", sleeps, SEND),
        CALL("proc(5): a process blocked in mq_receive sleeps", sleeps, RECEIVE),
        CALL("proc(5): a process blocked in mq_timedsend sleeps", sleeps, TIMEDSEND),
        CALL("proc(5): a process blocked in mq_timedreceive sleeps", sleeps, TIMEDRECEIVE),
        SAYS("mq_send(3): a blocked send's message is in the queue once it returned", contents),
        SAYS("POSIX: of many waiting receivers each gets one message", each_receives_one),
        SAYS("POSIX: of many waiting senders each gets room", each_sends_one),
        CALL("Linux: a sender killed while blocked sends nothing", killed, SEND),
        CALL("Linux: a receiver killed while blocked takes nothing", killed, RECEIVE),
        CALL("signal(7): mq_send goes on after SIGSTOP and SIGCONT", stopped, SEND),
        CALL("signal(7): mq_timedsend goes on after SIGSTOP and SIGCONT", stopped, TIMEDSEND),
        CALL("signal(7): mq_receive goes on after SIGSTOP and SIGCONT", stopped, RECEIVE),
        CALL("signal(7): mq_timedreceive goes on after SIGSTOP and SIGCONT", stopped, TIMEDRECEIVE),
        CALL("Linux: a sender stopped while blocked sends when it continues", stopped_while_ended,
             SEND),
        CALL("Linux: a receiver stopped while blocked receives when it continues",
             stopped_while_ended, RECEIVE),
        CALL("Linux: mq_close does not end another thread's mq_send", closed_meanwhile, SEND),
        CALL("Linux: mq_close does not end another thread's mq_receive", closed_meanwhile, RECEIVE),
        CALL("Linux: setting O_NONBLOCK does not end a blocked mq_send", nonblock_meanwhile, SEND),
        CALL("Linux: setting O_NONBLOCK does not end a blocked mq_receive", nonblock_meanwhile,
             RECEIVE),
        CALL("mq_unlink(3): does not end a blocked mq_send", unlinked_meanwhile, SEND),
        CALL("mq_unlink(3): does not end a blocked mq_receive", unlinked_meanwhile, RECEIVE),
        SAYS("Linux: processes that die at any moment leave the queue usable", killed_anywhere),
        SAYS("POSIX: every message wakes who waits for it", round_trips),
    };

    return RUN("blocking", tests);
}

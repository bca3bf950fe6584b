/* Users who wait on another's queue. */
#include "users.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static enum call chosen;

/* A queue of one slot, in which the chosen call blocks. */
static mqd_t create_for(void **state)
{
    mqd_t q;

    chosen = which(state);
    owner_creates(0666, 1, 32);
    q = reopen(O_RDWR);
    if (chosen == SEND || chosen == TIMEDSEND)
        put(q, "old", 1);
    return q;
}

static mqd_t open_and_say(void)
{
    mqd_t q = mq_open(name(0), O_RDWR);

    must(q != -1);
    shared->ready = 1;
    return q;
}

static void block(void)
{
    mqd_t q = open_and_say();

    must(blocking_call(chosen, q) >= 0);
}

static void ends(void **state)
{
    mqd_t q = create_for(state);
    pid_t pid = spawn_as(&other, block);

    await_blocked(pid);
    unblock(chosen, q);
    assert_int_equal(reap(pid), 0);
    if (chosen == SEND || chosen == TIMEDSEND)
        expect(q, "new", 1);
    assert_int_equal(count(q), 0);
}

static void end_it(void)
{
    mqd_t q = mq_open(name(0), O_RDWR);
    char c[32];

    must(q != -1);
    if (chosen == SEND || chosen == TIMEDSEND)
        must(mq_receive(q, c, sizeof(c), NULL) == 3);
    else
        must(mq_send(q, "end", 3, 1) == 0);
}

static void ends_by_third(void **state)
{
    pid_t pid;

    create_for(state);
    pid = spawn_as(&other, block);
    await_blocked(pid);
    as(&third, end_it);
    assert_int_equal(reap(pid), 0);
}

/* Many times, so that whatever can be lost between two processes is. */
#define ROUNDS 300

static void echo(void)
{
    mqd_t in = mq_open(name(0), O_RDONLY), out = mq_open(name(1), O_WRONLY);
    char c[32];

    must(in != -1 && out != -1);
    for (int i = 0; i < ROUNDS; i++) {
        must(mq_receive(in, c, sizeof(c), NULL) == sizeof(i));
        must(mq_send(out, c, sizeof(i), 0) == 0);
    }
}

static void create_second(void)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 32};

    must(mq_open(name(1), O_CREAT | O_EXCL | O_RDWR, 0644, &attr) != -1);
}

static void round_trips(void **state)
{
    mqd_t out, in;
    char c[32];
    pid_t pid;

    (void)state;
    owner_creates(0666, 1, 32);
    as(&other, create_second);
    pid = spawn_as(&other, echo);
    out = reopen(O_WRONLY);
    in = (mqd_t)ok(mq_open(name(1), O_RDONLY));
    for (int i = 0; i < ROUNDS; i++) {
        ok(mq_send(out, (char *)&i, sizeof(i), 0));
        assert_int_equal(ok(mq_receive(in, c, sizeof(c), NULL)), sizeof(i));
        assert_memory_equal(c, &i, sizeof(i));
    }
    assert_int_equal(reap(pid), 0);
}

/* --- time ---------------------------------------------------------------------------------------
 */

static void time_out(void)
{
    mqd_t q = open_and_say();
    struct timespec soon = in_ms(200), now;
    char c[32];

    if (chosen == TIMEDSEND)
        must(mq_timedsend(q, "x", 1, 0, &soon) == -1 && errno == ETIMEDOUT);
    else
        must(mq_timedreceive(q, c, sizeof(c), NULL, &soon) == -1 && errno == ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &now);
    must(now.tv_sec > soon.tv_sec || (now.tv_sec == soon.tv_sec && now.tv_nsec >= soon.tv_nsec));
}

static void deadline(void **state)
{
    create_for(state);
    as(&other, time_out);
}

/* --- signals ------------------------------------------------------------------------------------
 */

static void on_signal(int signal)
{
    (void)signal;
    shared->signals++;
}

static void handle(int flags)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};

    must(sigaction(SIGUSR1, &action, NULL) == 0);
}

static void block_until_signal(void)
{
    handle(0);
    must(blocking_call(chosen, open_and_say()) == -1 && errno == EINTR);
}

static void interrupts(void **state)
{
    mqd_t q = create_for(state);
    pid_t pid = spawn_as(&other, block_until_signal);

    await_blocked(pid);
    ok(kill(pid, SIGUSR1));
    assert_int_equal(reap(pid), 0);
    assert_int_equal(shared->signals, 1);
    assert_int_equal(count(q), chosen == SEND || chosen == TIMEDSEND);
    unblock(chosen, q); /* nothing is left behind that takes or sends */
    assert_int_equal(count(q), chosen == RECEIVE || chosen == TIMEDRECEIVE);
}

static void block_through_signals(void)
{
    handle(SA_RESTART);
    block();
}

static void restarts(void **state)
{
    mqd_t q = create_for(state);
    pid_t pid = spawn_as(&other, block_through_signals);

    await_blocked(pid);
    for (int i = 1; i <= 3; i++) {
        ok(kill(pid, SIGUSR1));
        await(shared->signals == i);
        await(asleep(pid));
    }
    ok(kill(pid, SIGSTOP));
    ok(kill(pid, SIGCONT));
    unblock(chosen, q);
    assert_int_equal(reap(pid), 0);
}

/* --- death --------------------------------------------------------------------------------------
 */

/* Of two that are blocked the first, in f(), is killed: the second is served. */
static void first_dies(mqd_t q, void (*f)(void))
{
    pid_t first = spawn_as(&other, f), second;

    await_blocked(first);
    shared->ready = 0;
    second = spawn_as(&third, block);
    await_blocked(second);
    ok(kill(first, SIGKILL));
    assert_int_equal(reap(first), 1000 + SIGKILL);
    unblock(chosen, q);
    assert_int_equal(reap(second), 0);
}

static void dies(void **state)
{
    first_dies(create_for(state), block);
}

/* A child shares the descriptor: it is not the closing of the file that tells of the death. */
static void share_and_block(void)
{
    mqd_t q = mq_open(name(0), O_RDWR);
    pid_t pid = fork();

    if (pid == 0)
        _exit(alarm(150) == 0 && pause());
    must(q != -1 && pid > 0);
    shared->number[1] = pid;
    shared->ready = 1;
    must(blocking_call(chosen, q) >= 0);
}

static void dies_sharing(void **state)
{
    first_dies(create_for(state), share_and_block);
    ok(kill((pid_t)shared->number[1], SIGKILL));
}

/* --- threads ------------------------------------------------------------------------------------
 */

static mqd_t common;

static void *receive_one(void *arg)
{
    char c[32];

    if (mq_receive(common, c, sizeof(c), NULL) != 1)
        return NULL;
    (*(_Atomic int *)arg)++;
    return arg;
}

static void *be_cancelled(void *arg)
{
    char c[32];

    (void)arg;
    shared->ready = 1;
    mq_receive(common, c, sizeof(c), NULL);
    return NULL;
}

static void cancel_one(void)
{
    pthread_t thread;
    void *result;

    common = mq_open(name(0), O_RDWR);
    must(common != -1 && pthread_create(&thread, NULL, be_cancelled, NULL) == 0);
    while (!shared->ready)
        usleep(1000);
    usleep(20000);
    must(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
    must(result == PTHREAD_CANCELED);
    must(mq_send(common, "x", 1, 0) == 0);
    must(mq_receive(common, (char[32]){0}, 32, NULL) == 1);
}

static void cancelled(void **state)
{
    (void)state;
    owner_creates(0666, 1, 32);
    as(&other, cancel_one);
}

#define THREADS 8

static void receive_in_threads(void)
{
    pthread_t thread[THREADS];
    _Atomic int got = 0;
    void *result;

    common = mq_open(name(0), O_RDWR);
    must(common != -1);
    for (int i = 0; i < THREADS; i++)
        must(pthread_create(&thread[i], NULL, receive_one, &got) == 0);
    shared->ready = 1;
    for (int i = 0; i < THREADS; i++)
        must(pthread_join(thread[i], &result) == 0 && result == &got);
    must(got == THREADS);
}

static void threads(void **state)
{
    pid_t pid;
    mqd_t q;

    (void)state;
    owner_creates(0666, 3, 32);
    q = reopen(O_RDWR);
    pid = spawn_as(&other, receive_in_threads);
    await_blocked(pid);
    for (int i = 0; i < THREADS; i++)
        put(q, "x", 0);
    assert_int_equal(reap(pid), 0);
    assert_int_equal(count(q), 0);
}

#define EACH_CALL(sentence, function)                                                              \
    CALL("mq_send(3): " sentence, function, SEND),                                                 \
        CALL("mq_timedsend(3): " sentence, function, TIMEDSEND),                                   \
        CALL("mq_receive(3): " sentence, function, RECEIVE),                                       \
        CALL("mq_timedreceive(3): " sentence, function, TIMEDRECEIVE)

int group_users_wait(void)
{
    const struct CMUnitTest tests[] = {
        EACH_CALL("blocks on another user's queue until its owner acts", ends),
        EACH_CALL("blocks on another user's queue until a third one acts", ends_by_third),
        SAYS("mq_receive(3): wakes for each of many messages between two users", round_trips),
        CALL("mq_timedsend(3): ETIMEDOUT for another user's queue", deadline, TIMEDSEND),
        CALL("mq_timedreceive(3): ETIMEDOUT for another user's queue", deadline, TIMEDRECEIVE),
        EACH_CALL("EINTR while blocked on another user's queue", interrupts),
        EACH_CALL("signal(7): SA_RESTART, and being stopped, end no wait for another user's queue",
                  restarts),
        EACH_CALL("who is killed while blocked on another user's queue takes nobody's turn", dies),
        EACH_CALL("the same, where a child has the descriptor, too", dies_sharing),
        SAYS("mq_receive(3): threads that wait for another user's queue get one each", threads),
    };

    return RUN("users: waiting", tests);
}

int group_users_cancel(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("pthreads(7): a thread is cancelled that waits for another user's queue", cancelled),
    };

    return RUN("users: cancelling", tests);
}

/* Threads of one process on one queue. */
#include "sysv.h"

#include <pthread.h>

#define THREADS 4
#define EACH    1000

struct thread {
    pthread_t thread;
    int q, index;
    _Atomic pid_t tid;
    long result;
};

static void start(struct thread *t, int q, int index, void *(*f)(void *))
{
    *t = (struct thread){.q = q, .index = index};
    assert_int_equal(pthread_create(&t->thread, NULL, f, t), 0);
}

static void *send_all(void *arg)
{
    struct thread *t = arg;
    char text[16];

    for (int i = 0; i < EACH; i++) {
        snprintf(text, sizeof(text), "%d", t->index * EACH + i);
        if (send_text(t->q, t->index + 1, text, 0) != 0)
            t->result = errno;
    }
    return NULL;
}

static _Atomic int times[THREADS * EACH];

static void *receive_all(void *arg)
{
    struct thread *t = arg;

    for (int i = 0; i < EACH; i++) {
        struct message m = {0};

        if (msgrcv(t->q, &m, sizeof(m.text) - 1, 0, 0) == -1)
            t->result = errno;
        times[atoi(m.text) % (THREADS * EACH)]++;
    }
    return NULL;
}

static void each_once(void **state)
{
    static struct thread senders[THREADS], receivers[THREADS];
    int q;

    (void)state;
    memset((void *)times, 0, sizeof(times));
    q = create();
    set_qbytes(q, 100);
    for (int i = 0; i < THREADS; i++) {
        start(&receivers[i], q, i, receive_all);
        start(&senders[i], q, i, send_all);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(senders[i].thread, NULL);
        pthread_join(receivers[i].thread, NULL);
        assert_int_equal(senders[i].result, 0);
        assert_int_equal(receivers[i].result, 0);
    }
    for (int i = 0; i < THREADS * EACH; i++)
        assert_int_equal(times[i], 1);
    expect_none(q, 0, 0);
}

/* --- a server: requests are of type 1, each client's replies of its own
 * ------------------------------ */

struct request {
    long type, client, number;
};
#define REQUEST (sizeof(struct request) - sizeof(long))

static void *serve(void *arg)
{
    struct thread *t = arg;
    struct request r;

    for (;;) {
        if (msgrcv(t->q, &r, REQUEST, 1, 0) != (ssize_t)REQUEST || r.client == 0)
            return NULL;
        r.type = r.client;
        r.number *= 2;
        if (msgsnd(t->q, &r, REQUEST, 0) != 0)
            return NULL;
    }
}

static void *ask(void *arg)
{
    struct thread *t = arg;

    for (long i = 0; i < EACH; i++) {
        long me = 2 + t->index;
        struct request r = {1, me, i};

        t->result += msgsnd(t->q, &r, REQUEST, 0) != 0;
        t->result += msgrcv(t->q, &r, REQUEST, me, 0) != (ssize_t)REQUEST;
        t->result += r.type != me || r.client != me || r.number != 2 * i;
    }
    return NULL;
}

static void replies(void **state)
{
    static struct thread servers[2], clients[THREADS];
    int q;

    (void)state;
    q = create();
    for (int i = 0; i < 2; i++)
        start(&servers[i], q, i, serve);
    for (int i = 0; i < THREADS; i++)
        start(&clients[i], q, i, ask);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].result, 0);
    }
    for (int i = 0; i < 2; i++)
        ok(msgsnd(q, &(struct request){1, 0, 0}, REQUEST, 0));
    for (int i = 0; i < 2; i++)
        pthread_join(servers[i].thread, NULL);
    expect_none(q, 0, 0);
}

/* --- blocked
 * ------------------------------------------------------------------------------------------ */

static void *receive_own(void *arg)
{
    struct thread *t = arg;
    struct message m = {0};

    t->tid = gettid();
    t->result = msgrcv(t->q, &m, sizeof(m.text), t->index + 1, 0) == -1 ? -errno : m.type;
    return NULL;
}

/* On a new queue, each for a message of its own type. */
static int all_blocked(struct thread t[THREADS])
{
    int q = create();

    for (int i = 0; i < THREADS; i++) {
        start(&t[i], q, i, receive_own);
        await(t[i].tid);
        await(asleep(t[i].tid));
    }
    return q;
}

static void each_its_own(void **state)
{
    static struct thread t[THREADS];
    int q;

    (void)state;
    q = all_blocked(t);
    for (int i = THREADS - 1; i >= 0; i--) {
        put(q, i + 1, "text");
        pthread_join(t[i].thread, NULL);
        assert_int_equal(t[i].result, i + 1);
    }
}

static void removed(void **state)
{
    static struct thread t[THREADS];
    int q;

    (void)state;
    q = all_blocked(t);
    ok(msgctl(q, IPC_RMID, NULL));
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i].thread, NULL);
        assert_int_equal(t[i].result, -EIDRM);
    }
}

static void *send_one(void *arg)
{
    struct thread *t = arg;

    t->tid = gettid();
    t->result = send_text(t->q, 1, "text", 0);
    return NULL;
}

static void process_not_thread(void **state)
{
    static struct thread t;
    int q;

    (void)state;
    q = create();
    start(&t, q, 0, send_one);
    pthread_join(t.thread, NULL);
    assert_int_not_equal(t.tid, getpid());
    assert_int_equal(status(q).msg_lspid, getpid());
    start(&t, q, 0, receive_own);
    pthread_join(t.thread, NULL);
    assert_int_equal(status(q).msg_lrpid, getpid());
}

/* Each on queues that come and go. */
static void *create_and_remove(void *arg)
{
    struct thread *t = arg;

    for (int i = 0; i < EACH / 10; i++) {
        struct message m;
        int q = msgget(IPC_PRIVATE, 0600);

        t->result += q == -1 || send_text(q, 1 + t->index, "text", 0) != 0;
        t->result += msgrcv(q, &m, sizeof(m.text), 0, 0) != 4 || m.type != 1 + t->index;
        t->result += msgctl(q, IPC_RMID, NULL) != 0;
    }
    return NULL;
}

static void own_queues(void **state)
{
    static struct thread t[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        start(&t[i], -1, i, create_and_remove);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i].thread, NULL);
        assert_int_equal(t[i].result, 0);
    }
}

int group_threads(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("POSIX: threads send and receive at once; every message comes once", each_once),
        SAYS("POSIX: requests of one type, and replies to each by its own", replies),
        SAYS("msgrcv: threads blocked on different types, each woken for its own", each_its_own),
        SAYS("msgrcv: EIDRM for every blocked thread", removed),
        SAYS("msgctl(2): msg_lspid and msg_lrpid are the process ID, in any thread",
             process_not_thread),
        SAYS("POSIX: threads create and remove queues of their own", own_queues),
    };

    return RUN("threads", tests);
}

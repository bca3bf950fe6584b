/* In which order messages come. */
#include "compat.h"

static void oldest_first(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 5);
    put(q, "1", 7);
    put(q, "2", 7);
    put(q, "3", 7);
    expect(q, "1", 7);
    put(q, "4", 7);
    expect(q, "2", 7);
    expect(q, "3", 7);
    expect(q, "4", 7);
}

static void highest_first(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 5);
    put(q, "low", 1);
    put(q, "high", 30000);
    put(q, "middle", 20);
    expect(q, "high", 30000);
    expect(q, "middle", 20);
    expect(q, "low", 1);
}

static void both(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 10);
    put(q, "b1", 1);
    put(q, "a1", 2);
    put(q, "b2", 1);
    put(q, "a2", 2);
    put(q, "c1", 0);
    expect(q, "a1", 2);
    put(q, "a3", 2);
    expect(q, "a2", 2);
    expect(q, "a3", 2);
    expect(q, "b1", 1);
    expect(q, "b2", 1);
    expect(q, "c1", 0);
}

/* Random sends and receives beside a plain list of what must be in the queue. */
struct model {
    unsigned prio[1000];
    int id[1000];
    int n;
};

static int model_take(struct model *m, unsigned *prio)
{
    int best = 0, id;

    for (int i = 1; i < m->n; i++)
        if (m->prio[i] > m->prio[best])
            best = i;
    id = m->id[best];
    *prio = m->prio[best];
    m->n--;
    for (int i = best; i < m->n; i++) {
        m->prio[i] = m->prio[i + 1];
        m->id[i] = m->id[i + 1];
    }
    return id;
}

static void against_model(mqd_t q, int maxmsg, unsigned priorities, int steps)
{
    static struct model m;
    unsigned seed = 12345;

    m.n = 0;
    for (int i = 0; i < steps; i++) {
        unsigned want, prio = (unsigned)rand_r(&seed) % priorities;
        /* Now mostly sending, now mostly receiving: all fill levels are met. */
        bool sending = (unsigned)rand_r(&seed) % 10 < (i / maxmsg % 2 ? 3u : 7u);
        int id;

        if (sending && m.n < maxmsg) {
            ok(mq_send(q, (char *)&i, sizeof(i), prio));
            m.prio[m.n] = prio;
            m.id[m.n++] = i;
        } else if (m.n > 0) {
            char message[32];

            assert_int_equal(ok(mq_receive(q, message, sizeof(message), &prio)), sizeof(id));
            memcpy(&id, message, sizeof(id));
            assert_int_equal(id, model_take(&m, &want));
            assert_int_equal(prio, want);
        }
        assert_int_equal(count(q), m.n);
    }
}

static void random_small(void **state)
{
    (void)state;
    against_model(create(O_NONBLOCK, 10), 10, 4, 20000);
}

/* The kernel has so many only for CAP_SYS_RESOURCE. */
static bool create_large(mqd_t *q, long maxmsg)
{
    struct mq_attr attr = {.mq_maxmsg = maxmsg, .mq_msgsize = 32};

    *q = mq_open(name(0), O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, &attr);
    if (*q == -1 && errno == EINVAL) {
        print_message("skip: no queue of %ld messages here\n", maxmsg);
        return false;
    }
    ok(*q);
    return true;
}

static void random_large(void **state)
{
    mqd_t q;

    (void)state;
    if (!create_large(&q, 500))
        skip();
    against_model(q, 500, 50, 20000);
}

static void every_priority(void **state)
{
    mqd_t q;

    (void)state;
    if (!create_large(&q, 1000))
        skip();
    for (unsigned i = 0; i < 1000; i++)
        put(q, "x", i * 7919 % 32768);
    for (unsigned last = 32768, i = 0; i < 1000; i++) {
        unsigned prio = 0;

        ok(mq_receive(q, (char[32]){0}, 32, &prio));
        assert_true(prio < last);
        last = prio;
    }
}

static int send_numbered(void *arg)
{
    mqd_t q = mq_open(name(0), O_WRONLY);
    long id = (long)(intptr_t)arg;

    for (long i = 0; i < 500; i++) {
        long message[2] = {id, i};

        if (mq_send(q, (char *)message, sizeof(message), 3) != 0)
            return errno;
    }
    return 0;
}

static void order_of_each_sender(void **state)
{
    long next[3] = {0}, message[4];
    pid_t pid[3];
    mqd_t q;

    (void)state;
    q = create(0, 4);
    for (int i = 0; i < 3; i++)
        pid[i] = spawn(send_numbered, (void *)(intptr_t)i);
    for (int i = 0; i < 1500; i++) {
        assert_int_equal(ok(mq_receive(q, (char *)message, 32, NULL)), 2 * sizeof(long));
        assert_true(message[0] >= 0 && message[0] < 3);
        assert_int_equal(message[1], next[message[0]]++);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(reap(pid[i]), 0);
}

int group_order(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_send(3): newer messages after older ones with the same priority", oldest_first),
        SAYS("mq_receive(3): the oldest message with the highest priority", highest_first),
        SAYS("mq_overview(7): messages are always delivered highest priority first", both),
        SAYS("POSIX: the order holds whatever is sent and received", random_small),
        SAYS("POSIX: the order holds in a large queue", random_large),
        SAYS("POSIX: each of many priorities counts", every_priority),
        SAYS("POSIX: messages of one sender and one priority stay in order", order_of_each_sender),
    };

    return RUN("order", tests);
}

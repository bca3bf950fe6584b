/* The order of messages, within a type and over all. */
#include "sysv.h"

#define SENDERS 4
#define EACH    500

static void fifo(void **state)
{
    char text[16];
    int q;

    (void)state;
    q = create();
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof(text), "%d", i);
        put(q, 1, text);
    }
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof(text), "%d", i);
        expect(q, 0, 0, 1, text);
    }
}

static void fifo_over_types(void **state)
{
    char text[16];
    int q;

    (void)state;
    q = create();
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof(text), "%d", i);
        put(q, 1 + i * 37 % 101, text);
    }
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof(text), "%d", i);
        expect(q, 0, 0, 1 + i * 37 % 101, text);
    }
}

/* Sent and received in turn, so that places in the queue are used again and again. */
static void fifo_while_used(void **state)
{
    char text[16];
    int q, sent = 0, received = 0;

    (void)state;
    q = create();
    for (int turn = 0; turn < 300; turn++) {
        for (int i = 0; i < turn % 7; i++) {
            snprintf(text, sizeof(text), "%d", sent);
            put(q, 1 + sent++ % 3, text);
        }
        for (int i = 0; i < turn * 5 % 7 && received < sent; i++) {
            snprintf(text, sizeof(text), "%d", received);
            expect(q, 0, 0, 1 + received++ % 3, text);
        }
    }
}

/* A model in an array beside it: what the selection must be, whatever was sent and taken before. */
struct model {
    long type[1024];
    int number[1024];
    int count;
};

static int select_from(const struct model *m, long wanted, int flags)
{
    int best = -1;

    for (int i = 0; i < m->count; i++) {
        if (wanted > 0 && (m->type[i] == wanted) == !!(flags & MSG_EXCEPT))
            continue;
        if (wanted < 0 && (m->type[i] > -wanted || (best >= 0 && m->type[i] >= m->type[best])))
            continue;
        best = i;
        if (wanted >= 0)
            break;
    }
    return best;
}

static void take_from(struct model *m, int at)
{
    m->count--;
    for (int i = at; i < m->count; i++) {
        m->type[i] = m->type[i + 1];
        m->number[i] = m->number[i + 1];
    }
}

static void as_a_model(void **state)
{
    static struct model m;
    unsigned random = 12345;
    char text[16];
    int q;

    (void)state;
    m.count = 0;
    q = create();
    for (int i = 0; i < 10000; i++) {
        unsigned chance = (random = random * 1103515245 + 12345) >> 16;
        long wanted = (long)(chance / 16 % 13) - 6;
        int flags = chance % 16 == 0 ? MSG_EXCEPT : 0, at;

        if ((i / 1000 % 2 ? chance % 5 < 2 : chance % 5 < 3) && m.count < 1024) {
            m.type[m.count] = 1 + (long)(chance / 8 % 9);
            m.number[m.count] = i;
            snprintf(text, sizeof(text), "%d", i);
            put(q, m.type[m.count++], text);
            continue;
        }
        at = select_from(&m, wanted, flags);
        if (at < 0) {
            expect_none(q, wanted, flags);
            continue;
        }
        snprintf(text, sizeof(text), "%d", m.number[at]);
        expect(q, wanted, flags, m.type[at], text);
        take_from(&m, at);
    }
    assert_int_equal(status(q).msg_qnum, m.count);
}

/* --- between processes
 * -------------------------------------------------------------------------------------- */

struct sender {
    int q;
    long type;
    long types; /* that it uses in turn, from that on */
};

static int send_numbers(void *arg)
{
    const struct sender *s = arg;
    char text[16];

    for (int i = 0; i < EACH; i++) {
        snprintf(text, sizeof(text), "%d %d", (int)s->type, i);
        must(send_text(s->q, s->type + i % s->types, text, 0) == 0);
    }
    return 0;
}

/* Takes all: of each sender in order. */
static void receive_numbers(int q)
{
    int last[SENDERS * 10] = {0};

    for (int i = 0; i < SENDERS * EACH; i++) {
        struct message m = {0};
        int sender, number;

        ok(msgrcv(q, &m, sizeof(m.text) - 1, 0, 0));
        assert_int_equal(sscanf(m.text, "%d %d", &sender, &number), 2);
        assert_in_range(m.type, 1, SENDERS * 10);
        assert_in_range(number + 1, last[sender - 1] + 1, EACH);
        last[sender - 1] = number + 1;
    }
    expect_none(q, 0, 0);
}

static void each_senders_order(long types)
{
    struct sender s = {create(), 1, types};
    pid_t pid[SENDERS];

    set_qbytes(s.q, 200);
    for (int i = 0; i < SENDERS; i++, s.type += 10)
        pid[i] = spawn(send_numbers, &s);
    receive_numbers(s.q);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(reap(pid[i]), 0);
}

static void senders_in_order(void **state)
{
    (void)state;
    each_senders_order(1);
}

static void types_in_order(void **state)
{
    (void)state;
    each_senders_order(9);
}

/* Room for all of one type is needed while others are not received: one sender fills the queue. */
static void by_type_in_order(void **state)
{
    struct sender s = {create(), 1, 1};
    pid_t pid[SENDERS];

    (void)state;
    set_qbytes(s.q, 16 * SENDERS * EACH < limits().msgmnb ? 16UL * SENDERS * EACH
                                                          : (unsigned long)limits().msgmnb);
    for (int i = 0; i < SENDERS; i++, s.type += 10)
        pid[i] = spawn(send_numbers, &s);
    for (long t = 1; t <= 10 * (SENDERS - 1) + 1; t += 10) {
        char text[16];

        for (int n = 0; n < EACH; n++) {
            struct message m = {0};

            snprintf(text, sizeof(text), "%d %d", (int)t, n);
            ok(msgrcv(s.q, &m, sizeof(m.text) - 1, t, 0));
            assert_string_equal(m.text, text);
        }
    }
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(reap(pid[i]), 0);
    expect_none(s.q, 0, 0);
}

/* What was sent before something else was begun comes before it, whoever sent it. */
static int send_second(void *arg)
{
    return send_text(*(int *)arg, 1, "second", 0) == 0 ? 0 : errno;
}

static void across_processes(void **state)
{
    int q;

    (void)state;
    q = create();
    for (int i = 0; i < 20; i++) {
        put(q, 1, "first");
        assert_int_equal(in_child(send_second, &q), 0);
        put(q, 1, "third");
        expect(q, i % 2, 0, 1, "first");
        expect(q, i % 2, 0, 1, "second");
        expect(q, i % 2, 0, 1, "third");
    }
}

int group_order(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgop(2): msgsnd appends: first in, first out", fifo),
        SAYS("msgop(2): first in, first out over all types for msgtyp 0", fifo_over_types),
        SAYS("msgop(2): first in, first out while it is sent to and received from",
             fifo_while_used),
        SAYS("msgop(2): what msgtyp selects, in 10,000 steps beside a model", as_a_model),
        SAYS("POSIX: each sender's messages come in the order it sent them", senders_in_order),
        SAYS("POSIX: each sender's messages of several types come in the order it sent them",
             types_in_order),
        SAYS("POSIX: each type's messages come in the order they were sent", by_type_in_order),
        SAYS("POSIX: what one process sent before another began comes before it", across_processes),
    };

    return RUN("order", tests);
}

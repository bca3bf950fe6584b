/* Many that are blocked: each is woken for what is its own. */
#include "sysv.h"

#include <signal.h>

#define MANY 8

struct blocked {
    int q;
    long wanted;
    int flags;
    long type; /* of what it sends */
};

/* number[wanted]: how many messages came to who wanted that. */
static int receive_one(void *arg)
{
    const struct blocked *b = arg;
    struct message m;

    shared->ready++;
    if (msgrcv(b->q, &m, sizeof(m.text), b->wanted, b->flags) == -1)
        return errno;
    must(b->wanted <= 0 || m.type == b->wanted);
    shared->number[b->wanted < 0 ? -b->wanted : b->wanted]++;
    return 0;
}

static int send_one(void *arg)
{
    const struct blocked *b = arg;

    shared->ready++;
    return send_text(b->q, b->type, "new text", 0) == -1 ? errno : 0;
}

/* MANY children, all asleep in their calls. */
static void spawn_many(pid_t *pid, int (*f)(void *), struct blocked *b, long step)
{
    shared->ready = 0;
    for (int i = 0; i < MANY; i++) {
        pid[i] = spawn(f, b);
        b->wanted += step;
        b->type += step;
    }
    await(shared->ready == MANY);
    for (int i = 0; i < MANY; i++)
        await(asleep(pid[i]));
}

static void each_its_own(void **state)
{
    struct blocked b = {create(), 1, 0, 0};
    pid_t pid[MANY];

    (void)state;
    spawn_many(pid, receive_one, &b, 1);
    for (int i = 0; i < MANY; i++) {
        int turn = i * 5 % MANY; /* not in the order they came */

        put(b.q, 1 + turn, "text");
        assert_int_equal(reap(pid[turn]), 0);
        for (int j = i + 1; j < MANY; j++)
            await(asleep(pid[j * 5 % MANY]));
        assert_int_equal(shared->number[1 + turn], 1);
    }
    assert_int_equal(status(b.q).msg_qnum, 0);
}

/* All messages are sent before anybody need have run. */
static void all_at_once(void **state)
{
    struct blocked b = {create(), 1, 0, 0};
    pid_t pid[MANY];

    (void)state;
    spawn_many(pid, receive_one, &b, 1);
    for (long t = MANY; t >= 1; t--)
        put(b.q, t, "text");
    for (int i = 0; i < MANY; i++)
        assert_int_equal(reap(pid[i]), 0);
    assert_int_equal(status(b.q).msg_qnum, 0);
}

/* One of those that wait for the same. */
static void one_of_many(void **state)
{
    struct blocked b = {create(), 3, 0, 0};
    pid_t pid[MANY];

    (void)state;
    spawn_many(pid, receive_one, &b, 0);
    for (int i = 1; i <= MANY; i++) {
        put(b.q, 3, "text");
        await(shared->number[3] == i);
        assert_int_equal(status(b.q).msg_qnum, 0);
    }
    for (int i = 0; i < MANY; i++)
        assert_int_equal(reap(pid[i]), 0);
}

static void ways_together(void **state)
{
    struct blocked b[] = {{0, 9, 0, 0}, {0, -4, 0, 0}, {0, 0, 0, 0}};
    pid_t pid[3];

    (void)state;
    b[0].q = b[1].q = b[2].q = create();
    for (int i = 0; i < 3; i++) {
        pid[i] = spawn(receive_one, &b[i]);
        await(shared->ready == i + 1);
        await(asleep(pid[i]));
    }
    put(b[0].q, 6, "for the third alone");
    assert_int_equal(reap(pid[2]), 0);
    put(b[0].q, 3, "for the second");
    assert_int_equal(reap(pid[1]), 0);
    await(asleep(pid[0]));
    put(b[0].q, 9, "for the first");
    assert_int_equal(reap(pid[0]), 0);
}

/* A receiver that cannot take the message does not stand before one that can. */
static void passes_the_unsuited(void **state)
{
    struct blocked unsuited = {create(), 1, 0, 0}, suited = {unsuited.q, 2, 0, 0};
    pid_t pid[MANY], last;

    (void)state;
    spawn_many(pid, receive_one, &unsuited, 0);
    last = spawn(receive_one, &suited);
    await(shared->ready == MANY + 1);
    await(asleep(last));
    put(unsuited.q, 2, "text");
    assert_int_equal(reap(last), 0);
    for (int i = 0; i < MANY; i++)
        put(unsuited.q, 1, "text");
    for (int i = 0; i < MANY; i++)
        assert_int_equal(reap(pid[i]), 0);
}

/* --- senders
 * -------------------------------------------------------------------------------------------- */

static void senders_in_turn(void **state)
{
    struct blocked b = {create_blocking(SEND), 0, 0, 5};
    pid_t pid[MANY];
    int ended = 0;

    (void)state;
    spawn_many(pid, send_one, &b, 0);
    expect(b.q, 0, 0, 3, "old text");
    for (int i = 0; i < MANY; i++) {
        await(status(b.q).msg_qnum == 1);
        expect(b.q, 0, 0, 5, "new text");
    }
    for (int i = 0; i < MANY; i++)
        ended += reap(pid[i]) == 0;
    assert_int_equal(ended, MANY);
    assert_int_equal(status(b.q).msg_qnum, 0);
}

static void all_senders_fit(void **state)
{
    struct blocked b = {create_blocking(SEND), 0, 0, 5};
    pid_t pid[MANY];

    (void)state;
    spawn_many(pid, send_one, &b, 1);
    set_qbytes(b.q, 8 + 8 * MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(reap(pid[i]), 0);
    assert_int_equal(status(b.q).msg_cbytes, 8 + 8 * MANY);
    for (long t = 5; t < 5 + MANY; t++)
        expect(b.q, t, 0, t, "new text");
    expect(b.q, 0, 0, 3, "old text");
}

/* One message was received: room for one. */
static void one_sender(void **state)
{
    struct blocked b = {create_blocking(SEND), 0, 0, 5};
    pid_t pid[MANY];

    (void)state;
    spawn_many(pid, send_one, &b, 0);
    expect(b.q, 0, 0, 3, "old text");
    await(status(b.q).msg_qnum == 1);
    assert_int_equal(status(b.q).msg_cbytes, 8);
    ok(msgctl(b.q, IPC_RMID, NULL));
    b.type = 0;
    for (int i = 0; i < MANY; i++) {
        int r = reap(pid[i]);

        assert_true(r == 0 || r == EIDRM);
        b.type += r == 0;
    }
    assert_int_equal(b.type, 1);
}

static void both_sides(void **state)
{
    struct blocked b[] = {{0, 1, 0, 0}, {0, 0, 0, 1}};
    pid_t receiver, sender;

    (void)state;
    b[0].q = b[1].q = create_blocking(SEND);
    receiver = spawn(receive_one, &b[0]);
    await(shared->ready == 1);
    await(asleep(receiver));
    sender = spawn(send_one, &b[1]);
    await(shared->ready == 2);
    await(asleep(sender));
    await(asleep(receiver));
    expect(b[0].q, 3, 0, 3, "old text"); /* makes room for what the receiver waits for */
    assert_int_equal(reap(sender), 0);
    assert_int_equal(reap(receiver), 0);
    assert_int_equal(status(b[0].q).msg_qnum, 0);
}

/* Killed while it waited: what comes is for others. */
static void dead_receiver(void **state)
{
    struct blocked b = {create(), 3, 0, 0};
    pid_t pid[MANY];

    (void)state;
    spawn_many(pid, receive_one, &b, 0);
    for (int i = 0; i < MANY - 1; i++) {
        kill(pid[i], SIGKILL);
        assert_int_equal(reap(pid[i]), 1000 + SIGKILL);
    }
    put(b.q, 3, "text");
    assert_int_equal(reap(pid[MANY - 1]), 0);
    assert_int_equal(status(b.q).msg_qnum, 0);
}

static void dead_sender(void **state)
{
    struct blocked b = {create_blocking(SEND), 0, 0, 5};
    pid_t pid[MANY];

    (void)state;
    spawn_many(pid, send_one, &b, 0);
    for (int i = 0; i < MANY - 1; i++) {
        kill(pid[i], SIGKILL);
        assert_int_equal(reap(pid[i]), 1000 + SIGKILL);
    }
    expect(b.q, 0, 0, 3, "old text");
    assert_int_equal(reap(pid[MANY - 1]), 0);
    expect(b.q, 0, 0, 5, "new text");
    expect_none(b.q, 0, 0);
}

int group_wake(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgrcv: blocked on different types, each is woken for its own", each_its_own),
        SAYS("msgrcv: blocked on different types, all woken at once", all_at_once),
        SAYS("msgrcv: one message is for one of those that wait for it", one_of_many),
        SAYS("msgrcv: blocked in different ways, each gets what it selects", ways_together),
        SAYS("msgrcv: those it does not suit do not stand before whom it suits",
             passes_the_unsuited),
        SAYS("msgsnd: all blocked senders have their turn", senders_in_turn),
        SAYS("msgctl(2): raising msg_qbytes lets go all blocked senders that fit", all_senders_fit),
        SAYS("msgsnd: room for one message lets one sender go", one_sender),
        SAYS("msgop(2): a sender that is let go wakes the receiver of its type", both_sides),
        SAYS("POSIX: a receiver that was killed does not keep others waiting", dead_receiver),
        SAYS("POSIX: a sender that was killed leaves nothing behind", dead_sender),
    };

    return RUN("waking", tests);
}

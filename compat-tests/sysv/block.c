/* Blocking, and what ends it. */
#include "sysv.h"

static void woken(void **state)
{
    pid_t pid;
    int q;

    q = create_blocking(which(state));
    pid = spawn_blocked(which(state), q);
    unblock(which(state), q);
    assert_int_equal(reap(pid), 0);
}

/* What came does not suit it: it sleeps on, and the message is for others. */
static void unsuited(void **state)
{
    static const long other[] = {[RECEIVE_TYPE] = 8, [RECEIVE_LOWEST] = 8, [RECEIVE_OTHER] = 7};
    pid_t pid;
    int q;

    q = create_blocking(which(state));
    pid = spawn_blocked(which(state), q);
    for (int i = 0; i < 5; i++) {
        put(q, other[which(state)], "");
        await(asleep(pid));
    }
    unblock(which(state), q);
    assert_int_equal(reap(pid), 0);
    assert_int_equal(status(q).msg_qnum, 6);
}

static void not_with_nowait(void **state)
{
    int q;

    (void)state;
    q = create_blocking(SEND);
    fails(send_text(q, 1, "text", IPC_NOWAIT), EAGAIN);
    expect_none(q, 9, 0);
}

static void removal(void **state)
{
    pid_t pid;
    int q;

    q = create_blocking(which(state));
    pid = spawn_blocked(which(state), q);
    ok(msgctl(q, IPC_RMID, NULL));
    assert_int_equal(reap(pid), EIDRM);
    fails(msgctl(q, IPC_STAT, &(struct msqid_ds){0}), EINVAL);
}

static void removal_wakes_all(void **state)
{
    pid_t pid[8];
    int q;

    q = create_blocking(which(state));
    for (int i = 0; i < 8; i++)
        pid[i] = spawn_blocked(which(state), q);
    ok(msgctl(q, IPC_RMID, NULL));
    for (int i = 0; i < 8; i++)
        assert_int_equal(reap(pid[i]), EIDRM);
}

/* Its key is another queue's by now, which does not concern who waits. */
static void removed_and_created(void **state)
{
    pid_t pid;
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | 0600);
    pid = spawn_blocked(RECEIVE, q);
    ok(msgctl(q, IPC_RMID, NULL));
    q = get(key(0), IPC_CREAT | IPC_EXCL | 0600);
    put(q, 1, "text");
    assert_int_equal(reap(pid), EIDRM);
    expect(q, 0, 0, 1, "text");
}

/* Asleep all the time, not now and then: it uses no processor time to speak of. */
static void sleeps(void **state)
{
    char path[64], stat[512];
    unsigned long user, system, before = 0;
    pid_t pid;
    int q;

    q = create_blocking(which(state));
    pid = spawn_blocked(which(state), q);
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(path, "re");

        assert_non_null(f);
        assert_non_null(fgets(stat, sizeof(stat), f));
        fclose(f);
        assert_int_equal(sscanf(strrchr(stat, ')'),
                                ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                                &system),
                         2);
        assert_true(i == 0 || user + system - before < (unsigned long)sysconf(_SC_CLK_TCK) / 4);
        before = user + system;
        if (i == 0)
            sleep(1);
    }
    unblock(which(state), q);
    assert_int_equal(reap(pid), 0);
}

/* --- what a blocked receiver gets
 * --------------------------------------------------------------------- */

struct receiver {
    int q;
    size_t size;
    long wanted;
    int flags;
};

/* Exits with 100 + the length, or errno; the type is in number[0]. */
static int receive(void *arg)
{
    const struct receiver *r = arg;
    struct message m = {0};
    ssize_t n;

    shared->ready = 1;
    n = msgrcv(r->q, &m, r->size, r->wanted, r->flags);
    shared->number[0] = m.type;
    shared->number[1] = m.text[0];
    return n == -1 ? errno : 100 + (int)n;
}

static pid_t spawn_receiver(struct receiver *r)
{
    pid_t pid;

    shared->ready = 0;
    pid = spawn(receive, r);
    await_blocked(pid);
    return pid;
}

static void receives_it(void **state)
{
    struct receiver r = {create(), 32, 0, 0};
    pid_t pid;

    (void)state;
    pid = spawn_receiver(&r);
    put(r.q, 77, "text");
    assert_int_equal(reap(pid), 104);
    assert_int_equal(shared->number[0], 77);
    assert_int_equal(shared->number[1], 't');
    assert_int_equal(status(r.q).msg_qnum, 0);
    assert_int_equal(status(r.q).msg_lrpid, pid);
}

static void receives_empty(void **state)
{
    struct receiver r = {create(), 0, 0, 0};
    pid_t pid;

    (void)state;
    pid = spawn_receiver(&r);
    put(r.q, 77, "");
    assert_int_equal(reap(pid), 100);
    assert_int_equal(shared->number[0], 77);
}

static void too_big_while_blocked(void **state)
{
    struct receiver r = {create(), 3, 0, 0};
    pid_t pid;

    (void)state;
    pid = spawn_receiver(&r);
    put(r.q, 1, "text");
    assert_int_equal(reap(pid), E2BIG);
    expect(r.q, 0, 0, 1, "text");
}

static void truncates_while_blocked(void **state)
{
    struct receiver r = {create(), 3, 0, MSG_NOERROR};
    pid_t pid;

    (void)state;
    pid = spawn_receiver(&r);
    put(r.q, 1, "text");
    assert_int_equal(reap(pid), 103);
    expect_none(r.q, 0, 0);
}

static void lowest_while_blocked(void **state)
{
    struct receiver r = {create(), 32, -5, 0};
    pid_t pid;

    (void)state;
    put(r.q, 6, "six");
    pid = spawn_receiver(&r);
    put(r.q, 5, "five");
    assert_int_equal(reap(pid), 104);
    assert_int_equal(shared->number[0], 5);
    expect(r.q, 0, 0, 6, "six");
}

/* --- senders
 * -------------------------------------------------------------------------------------------- */

static void sender_by_bytes(void **state)
{
    pid_t pid;
    int q;

    (void)state;
    q = create();
    set_qbytes(q, 8);
    put(q, 1, "12");
    put(q, 2, "123456");
    pid = spawn_blocked(SEND, q); /* three bytes */
    expect(q, 1, 0, 1, "12");
    await(asleep(pid));
    assert_int_equal(status(q).msg_qnum, 1);
    expect(q, 2, 0, 2, "123456");
    assert_int_equal(reap(pid), 0);
    expect(q, 0, 0, 5, "new");
}

static void sender_by_messages(void **state)
{
    pid_t pid;
    int q;

    (void)state;
    q = create();
    set_qbytes(q, 3);
    for (long i = 1; i <= 3; i++)
        put(q, i, "");
    pid = spawn_blocked(SEND, q);
    expect(q, 2, 0, 2, "");
    assert_int_equal(reap(pid), 0);
    expect(q, 0, 0, 1, "");
    expect(q, 0, 0, 3, "");
    expect(q, 0, 0, 5, "new");
}

/* Who waits for much room does not keep those waiting who need little. */
static void small_overtakes(void **state)
{
    pid_t pid;
    int q;

    (void)state;
    q = create();
    set_qbytes(q, 8);
    put(q, 1, "123456");
    pid = spawn_blocked(SEND, q);
    put(q, 2, "ab");
    expect(q, 0, 0, 1, "123456");
    assert_int_equal(reap(pid), 0);
    expect(q, 0, 0, 2, "ab");
    expect(q, 0, 0, 5, "new");
}

static void raised(void **state)
{
    pid_t pid;
    int q;

    (void)state;
    q = create_blocking(SEND);
    pid = spawn_blocked(SEND, q);
    set_qbytes(q, 10);
    await(asleep(pid));
    assert_int_equal(status(q).msg_qnum, 1);
    set_qbytes(q, 11);
    assert_int_equal(reap(pid), 0);
    expect(q, 0, 0, 3, "old text");
    expect(q, 0, 0, 5, "new");
}

int group_block(void)
{
    const struct CMUnitTest tests[] = {
        EACH_CALL("the calling process is blocked until it can go on", woken),
        CALL("msgrcv of a type: blocked until a message of the desired type is placed", unsuited,
             RECEIVE_TYPE),
        CALL("msgrcv of the lowest type: blocked until there is one low enough", unsuited,
             RECEIVE_LOWEST),
        CALL("msgrcv with MSG_EXCEPT: blocked until there is one of another type", unsuited,
             RECEIVE_OTHER),
        SAYS("msgop(2): IPC_NOWAIT: return immediately", not_with_nowait),
        EACH_CALL("EIDRM the message queue was removed while the process was blocked", removal),
        BOTH_CALLS("EIDRM for all who are blocked", removal_wakes_all),
        SAYS("msgrcv: EIDRM though the key has another queue at once", removed_and_created),
        BOTH_CALLS("POSIX: execution is suspended: no processor time", sleeps),
        SAYS("msgrcv: blocked, it receives the message that comes", receives_it),
        SAYS("msgrcv: blocked, it receives a zero-length message", receives_empty),
        SAYS("msgrcv: E2BIG for a message that comes while it is blocked, and stays",
             too_big_while_blocked),
        SAYS("msgrcv: MSG_NOERROR truncates what comes while it is blocked",
             truncates_while_blocked),
        SAYS("msgrcv: blocked by type, it leaves to others what came first", lowest_while_blocked),
        SAYS("msgsnd: blocked until there are enough bytes, not just some", sender_by_bytes),
        SAYS("msgsnd: blocked by the number of messages, until one is received",
             sender_by_messages),
        SAYS("Linux: a message that fits passes a sender that waits for more room",
             small_overtakes),
        SAYS("msgctl(2): raising msg_qbytes lets go a blocked sender that now fits", raised),
    };

    return RUN("blocking", tests);
}

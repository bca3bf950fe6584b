/* IPC_STAT: what it tells. */
#include "sysv.h"

/* The times are the kernel's coarse clock's: a tick behind, at most. */
static void assert_now(time_t t, time_t before)
{
    assert_in_range(t, before - 1, time(NULL));
}

static void fields_together(void **state)
{
    struct msqid_ds ds;
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | 0640);
    put(q, 1, "12345");
    put(q, 2, "123");
    expect(q, 1, 0, 1, "12345");
    ds = status(q);
    assert_int_equal(ds.msg_perm.__key, key(0));
    assert_int_equal(ds.msg_perm.uid, geteuid());
    assert_int_equal(ds.msg_perm.cuid, geteuid());
    assert_int_equal(ds.msg_perm.gid, getegid());
    assert_int_equal(ds.msg_perm.cgid, getegid());
    assert_int_equal(ds.msg_perm.mode, 0640);
    assert_int_equal(ds.msg_qnum, 1);
    assert_int_equal(ds.msg_cbytes, 3);
    assert_int_equal(ds.msg_qbytes, limits().msgmnb);
    assert_int_equal(ds.msg_lspid, getpid());
    assert_int_equal(ds.msg_lrpid, getpid());
}

static void counts(void **state)
{
    unsigned long bytes = 0;
    char text[8] = "";
    int q;

    (void)state;
    q = create();
    for (unsigned long i = 0; i < 7; i++) {
        text[i] = 'x';
        bytes += i + 1;
        put(q, 1, text);
        assert_int_equal(status(q).msg_qnum, i + 1);
        assert_int_equal(status(q).msg_cbytes, bytes);
    }
    for (unsigned long i = 7; i > 0; i--) {
        ok(msgrcv(q, &(struct message){0}, 32, 0, 0));
        bytes -= 8 - i;
        assert_int_equal(status(q).msg_qnum, i - 1);
        assert_int_equal(status(q).msg_cbytes, bytes);
    }
}

static void send_time(void **state)
{
    time_t before;
    int q;

    (void)state;
    q = create();
    before = time(NULL);
    put(q, 1, "text");
    assert_now(status(q).msg_stime, before);
    assert_int_equal(status(q).msg_rtime, 0);
    assert_int_equal(status(q).msg_lrpid, 0);
}

static void receive_time(void **state)
{
    time_t before, sent;
    int q;

    (void)state;
    q = create();
    put(q, 1, "text");
    sent = status(q).msg_stime;
    await(time(NULL) > sent);
    before = time(NULL);
    expect(q, 0, 0, 1, "text");
    assert_now(status(q).msg_rtime, before);
    assert_int_equal(status(q).msg_stime, sent);
}

static void change_time(void **state)
{
    time_t created, before;
    int q;

    (void)state;
    q = create();
    created = status(q).msg_ctime;
    await(time(NULL) > created);
    put(q, 1, "text");
    expect(q, 0, 0, 1, "text");
    assert_int_equal(status(q).msg_ctime, created);
    before = time(NULL);
    set_mode(q, 0600);
    assert_now(status(q).msg_ctime, before);
}

static int child_sends(void *arg)
{
    return send_text(*(int *)arg, 1, "text", 0) == 0 ? 0 : errno;
}

static int child_receives(void *arg)
{
    return msgrcv(*(int *)arg, &(struct message){0}, 32, 0, 0) == 4 ? 0 : errno;
}

static void sender(void **state)
{
    pid_t pid;
    int q;

    (void)state;
    q = create();
    put(q, 1, "text");
    assert_int_equal(status(q).msg_lspid, getpid());
    pid = spawn(child_sends, &q);
    assert_int_equal(reap(pid), 0);
    assert_int_equal(status(q).msg_lspid, pid);
    assert_int_equal(status(q).msg_lrpid, 0);
}

static void receiver(void **state)
{
    pid_t pid;
    int q;

    (void)state;
    q = create();
    put(q, 1, "text");
    pid = spawn(child_receives, &q);
    assert_int_equal(reap(pid), 0);
    assert_int_equal(status(q).msg_lrpid, pid);
    assert_int_equal(status(q).msg_lspid, getpid());
}

static void failures_are_not_told(void **state)
{
    struct msqid_ds before, after;
    struct message m;
    int q;

    (void)state;
    q = create();
    set_qbytes(q, 4);
    put(q, 1, "text");
    before = status(q);
    await(time(NULL) > before.msg_stime);
    fails(send_text(q, 1, "text", IPC_NOWAIT), EAGAIN);
    fails(send_text(q, 0, "text", IPC_NOWAIT), EINVAL);
    fails(msgrcv(q, &m, 32, 2, IPC_NOWAIT), ENOMSG);
    fails(msgrcv(q, &m, 2, 0, IPC_NOWAIT), E2BIG);
    after = status(q);
    assert_memory_equal(&before, &after, sizeof(before));
}

static void null_pointer(void **state)
{
    struct msqid_ds *volatile nothing = NULL;

    (void)state;
    fails(msgctl(create(), IPC_STAT, nothing), EFAULT);
}

static int without_permission(void *arg)
{
    struct msqid_ds ds;
    int q;

    (void)arg;
    become(USER);
    must((q = msgget(IPC_PRIVATE, 0200)) >= 0);
    must_fail(msgctl(q, IPC_STAT, &ds), EACCES);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    return 0;
}

static void no_permission(void **state)
{
    (void)state;
    assert_int_equal(in_child(without_permission, NULL), 0);
}

static void unknown_command(void **state)
{
    struct msqid_ds ds;
    int q;

    (void)state;
    q = create();
    fails(msgctl(q, 99, &ds), EINVAL);
    fails(msgctl(q, -1, &ds), EINVAL);
    fails(msgctl(q, 4, &ds), EINVAL); /* between IPC_INFO and MSG_STAT */
    fails(msgctl(q, 14, &ds), EINVAL);
}

static void returns_zero(void **state)
{
    struct msqid_ds ds;
    int q;

    (void)state;
    q = create();
    assert_int_equal(msgctl(q, IPC_STAT, &ds), 0);
    assert_int_equal(msgctl(q, IPC_SET, &ds), 0);
    assert_int_equal(msgctl(q, IPC_RMID, NULL), 0);
}

int group_stat(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgctl(2): IPC_STAT copies all members of msqid_ds", fields_together),
        SAYS("msgctl(2): msg_qnum and msg_cbytes are the messages and bytes in the queue", counts),
        SAYS("msgctl(2): msg_stime is the time of the last msgsnd(2)", send_time),
        SAYS("msgctl(2): msg_rtime is the time of the last msgrcv(2)", receive_time),
        SAYS("msgctl(2): msg_ctime is the time of creation, or of the last IPC_SET", change_time),
        SAYS("msgctl(2): msg_lspid is the process that performed the last msgsnd(2)", sender),
        SAYS("msgctl(2): msg_lrpid is the process that performed the last msgrcv(2)", receiver),
        SAYS("POSIX: calls that fail change neither times nor processes", failures_are_not_told),
        SAYS("msgctl(2): EFAULT buf isn't accessible: NULL", null_pointer),
        SAYS("msgctl(2): EACCES IPC_STAT, and no read permission", no_permission),
        SAYS("msgctl(2): EINVAL invalid value for cmd", unknown_command),
        SAYS("msgctl(2): IPC_STAT, IPC_SET and IPC_RMID return 0 on success", returns_zero),
    };

    return RUN("IPC_STAT", tests);
}

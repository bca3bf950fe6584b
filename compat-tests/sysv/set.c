/* IPC_SET: what it changes, and for whom. */
#include "sysv.h"

#include <linux/capability.h>

static void sets_mode(void **state)
{
    int q;

    (void)state;
    q = create();
    set_mode(q, 0640);
    assert_int_equal(status(q).msg_perm.mode, 0640);
    set_mode(q, 0777);
    assert_int_equal(status(q).msg_perm.mode, 0777);
}

static void low_bits(void **state)
{
    int q;

    (void)state;
    q = create();
    set_mode(q, 07644);
    assert_int_equal(status(q).msg_perm.mode, 0644);
}

static void sets_owner(void **state)
{
    struct msqid_ds ds;
    int q;

    (void)state;
    need_root();
    q = create();
    ds = status(q);
    ds.msg_perm.uid = USER;
    ds.msg_perm.gid = OTHER;
    ok(msgctl(q, IPC_SET, &ds));
    ds = status(q);
    assert_int_equal(ds.msg_perm.uid, USER);
    assert_int_equal(ds.msg_perm.gid, OTHER);
    assert_int_equal(ds.msg_perm.cuid, geteuid());
    assert_int_equal(ds.msg_perm.cgid, getegid());
}

static void sets_room(void **state)
{
    int q;

    (void)state;
    q = create();
    set_qbytes(q, 100);
    assert_int_equal(status(q).msg_qbytes, 100);
    set_qbytes(q, (unsigned long)limits().msgmnb);
    assert_int_equal(status(q).msg_qbytes, limits().msgmnb);
}

static void nothing_else(void **state)
{
    struct msqid_ds ds, before, after;
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | 0600);
    put(q, 1, "text");
    before = ds = status(q);
    ds.msg_perm.__key = key(1);
    ds.msg_perm.cuid = ds.msg_perm.cgid = 12345;
    ds.msg_qnum = ds.msg_cbytes = 99;
    ds.msg_lspid = ds.msg_lrpid = 99;
    ds.msg_stime = ds.msg_rtime = ds.msg_ctime = 99;
    ok(msgctl(q, IPC_SET, &ds));
    after = status(q);
    assert_in_range(after.msg_ctime, before.msg_ctime, time(NULL));
    after.msg_ctime = before.msg_ctime;
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(get(key(0), 0), q);
    fails(msgget(key(1), 0), ENOENT);
}

static void messages_stay(void **state)
{
    int q;

    (void)state;
    q = create();
    put(q, 1, "first");
    put(q, 2, "second");
    set_qbytes(q, 20);
    set_mode(q, 0666);
    expect(q, 0, 0, 1, "first");
    expect(q, 0, 0, 2, "second");
}

static void null_pointer(void **state)
{
    struct msqid_ds *volatile nothing = NULL;

    (void)state;
    fails(msgctl(create(), IPC_SET, nothing), EFAULT);
}

static void beyond(void **state)
{
    unsigned long more;
    int q;

    (void)state;
    if (!capable(CAP_SYS_RESOURCE)) {
        print_message("skip: without CAP_SYS_RESOURCE\n");
        skip();
    }
    q = create();
    more = (unsigned long)limits().msgmnb + 1;
    set_qbytes(q, more);
    assert_int_equal(status(q).msg_qbytes, more);
}

/* --- permissions
 * ------------------------------------------------------------------------------------------ */

static int user_exceeds(void *arg)
{
    struct msginfo info;
    struct msqid_ds ds;
    int q;

    (void)arg;
    become(USER);
    must((q = msgget(IPC_PRIVATE, 0600)) >= 0);
    must(msgctl(0, IPC_INFO, (struct msqid_ds *)&info) >= 0);
    must(msgctl(q, IPC_STAT, &ds) == 0);
    ds.msg_qbytes = (msglen_t)info.msgmnb + 1;
    must_fail(msgctl(q, IPC_SET, &ds), EPERM);
    ds.msg_qbytes = 100;
    must(msgctl(q, IPC_SET, &ds) == 0);
    ds.msg_qbytes = (msglen_t)info.msgmnb;
    must(msgctl(q, IPC_SET, &ds) == 0);
    ds.msg_qbytes++;
    must_fail(msgctl(q, IPC_SET, &ds), EPERM);
    must(msgctl(q, IPC_STAT, &ds) == 0);
    must(ds.msg_qbytes == (msglen_t)info.msgmnb);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    return 0;
}

static void not_beyond(void **state)
{
    (void)state;
    assert_int_equal(in_child(user_exceeds, NULL), 0);
}

static int permissions_follow(void *arg)
{
    struct message m;
    int q;

    (void)arg;
    become(USER);
    must((q = msgget(IPC_PRIVATE, 0600)) >= 0);
    must(send_text(q, 1, "text", IPC_NOWAIT) == 0);
    set_mode(q, 0400);
    must_fail(send_text(q, 1, "text", IPC_NOWAIT), EACCES);
    must(msgrcv(q, &m, sizeof(m.text), 0, IPC_NOWAIT) == 4);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    return 0;
}

static void takes_effect(void **state)
{
    (void)state;
    assert_int_equal(in_child(permissions_follow, NULL), 0);
}

/* Without any permission, the owner still may. */
static int owner_without_mode(void *arg)
{
    struct msqid_ds ds = {.msg_qbytes = 50};
    int q;

    (void)arg;
    become(USER);
    must((q = msgget(IPC_PRIVATE, 0)) >= 0);
    must_fail(msgctl(q, IPC_STAT, &ds), EACCES);
    ds = (struct msqid_ds){.msg_qbytes = 50, .msg_perm = {.uid = USER, .gid = USER, .mode = 0600}};
    must(msgctl(q, IPC_SET, &ds) == 0);
    must(msgctl(q, IPC_STAT, &ds) == 0 && ds.msg_qbytes == 50 && ds.msg_perm.mode == 0600);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    return 0;
}

static void owner_may(void **state)
{
    (void)state;
    assert_int_equal(in_child(owner_without_mode, NULL), 0);
}

static int strip(void *arg)
{
    struct msqid_ds ds;
    int q = *(int *)arg;

    become(USER);
    must(msgctl(q, IPC_STAT, &ds) == 0);
    ds.msg_perm.mode = 0200;
    must(msgctl(q, IPC_SET, &ds) == 0);
    return 0;
}

/* Waits for a message of a type that never comes, until it may not read any more. */
static int loses_permission(void *arg)
{
    struct message m;
    int q = *(int *)arg;

    become(USER);
    shared->ready = 1;
    must_fail(msgrcv(q, &m, sizeof(m.text), 5, 0), EACCES);
    return 0;
}

static int create_as_user(void *arg)
{
    (void)arg;
    become(USER);
    shared->number[0] = msgget(IPC_PRIVATE, 0600);
    must(shared->number[0] >= 0);
    return 0;
}

static int remove_as_user(void *arg)
{
    become(USER);
    must(msgctl(*(int *)arg, IPC_RMID, NULL) == 0);
    return 0;
}

static void stricter(void **state)
{
    pid_t pid;
    int q;

    (void)state;
    assert_int_equal(in_child(create_as_user, NULL), 0);
    q = (int)shared->number[0];
    pid = spawn(loses_permission, &q);
    await_blocked(pid);
    assert_int_equal(in_child(strip, &q), 0);
    assert_int_equal(reap(pid), 0);
    assert_int_equal(in_child(remove_as_user, &q), 0);
}

int group_set(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgctl(2): IPC_SET sets msg_perm.mode", sets_mode),
        SAYS("msgctl(2): IPC_SET: the least significant 9 bits of the mode", low_bits),
        SAYS("msgctl(2): IPC_SET sets msg_perm.uid and gid, not cuid and cgid", sets_owner),
        SAYS("msgctl(2): IPC_SET sets msg_qbytes", sets_room),
        SAYS("msgctl(2): IPC_SET sets nothing else", nothing_else),
        SAYS("POSIX: IPC_SET leaves the messages in the queue", messages_stay),
        SAYS("msgctl(2): EFAULT IPC_SET, and buf isn't accessible: NULL", null_pointer),
        SAYS("msgctl(2): CAP_SYS_RESOURCE may raise msg_qbytes beyond MSGMNB", beyond),
        SAYS("msgctl(2): EPERM to raise msg_qbytes beyond MSGMNB without privilege", not_beyond),
        SAYS("msgctl(2): the new permissions take effect", takes_effect),
        SAYS("msgctl(2): IPC_SET asks for ownership, not for permissions", owner_may),
        SAYS("Linux: EACCES for a blocked receiver that may not read any more", stricter),
    };

    return RUN("IPC_SET", tests);
}

/* IPC_INFO, MSG_INFO, MSG_STAT and MSG_STAT_ANY: the whole system, as ipcs(1) looks at it. */
#include "sysv.h"

/* Other programs' queues may come and go where we have no namespace of our own. */
static struct msginfo used(int *highest)
{
    struct msginfo info;

    memset(&info, 0x55, sizeof(info));
    *highest = (int)ok(msgctl(0, MSG_INFO, (struct msqid_ds *)&info));
    return info;
}

/* The index at which MSG_STAT or MSG_STAT_ANY tells of q, or -1. */
static int find(int q, int cmd)
{
    struct msqid_ds ds;
    int highest, found = -1;

    used(&highest);
    for (int i = 0; i <= highest; i++)
        if (msgctl(i, cmd, &ds) == q) {
            assert_int_equal(found, -1);
            found = i;
        }
    return found;
}

static void hold(void **state)
{
    struct msginfo info;

    (void)state;
    info = limits();
    assert_true(info.msgmax > 0);
    assert_true(info.msgmnb > 0);
    assert_true(info.msgmni > 0);
    assert_int_equal(status(create()).msg_qbytes, info.msgmnb);
}

static void highest_index(void **state)
{
    struct msginfo info;
    int a, b;

    (void)state;
    create();
    create();
    a = msgctl(0, IPC_INFO, (struct msqid_ds *)&info);
    b = msgctl(0, MSG_INFO, (struct msqid_ds *)&info);
    assert_int_equal(a, b);
    assert_true(a >= 1);
}

static void any_id(void **state)
{
    struct msginfo info;

    (void)state;
    ok(msgctl(create(), IPC_INFO, (struct msqid_ds *)&info));
    ok(msgctl(999999, IPC_INFO, (struct msqid_ds *)&info));
    ok(msgctl(999999, MSG_INFO, (struct msqid_ds *)&info));
}

static void negative_id(void **state)
{
    struct msginfo info;
    struct msqid_ds ds;

    (void)state;
    fails(msgctl(-1, IPC_INFO, (struct msqid_ds *)&info), EINVAL);
    fails(msgctl(-1, MSG_INFO, (struct msqid_ds *)&info), EINVAL);
    fails(msgctl(-1, MSG_STAT, &ds), EINVAL);
    fails(msgctl(-1, MSG_STAT_ANY, &ds), EINVAL);
}

static void same_limits(void **state)
{
    struct msginfo a;
    int highest;

    (void)state;
    a = limits();
    assert_int_equal(used(&highest).msgmax, a.msgmax);
    assert_int_equal(used(&highest).msgmnb, a.msgmnb);
    assert_int_equal(used(&highest).msgmni, a.msgmni);
}

static void counts_queues(void **state)
{
    int highest, before;

    (void)state;
    before = used(&highest).msgpool;
    for (int i = 0; i < 5; i++)
        create();
    assert_int_equal(used(&highest).msgpool, before + 5);
    ok(msgctl(create(), IPC_RMID, NULL));
    assert_int_equal(used(&highest).msgpool, before + 5);
}

static void counts_messages(void **state)
{
    struct msginfo before, after;
    int highest, a, b;

    (void)state;
    before = used(&highest);
    a = create();
    b = create();
    put(a, 1, "123");
    put(a, 1, "");
    put(b, 1, "12345");
    after = used(&highest);
    assert_int_equal(after.msgmap, before.msgmap + 3);
    assert_int_equal(after.msgtql, before.msgtql + 8);
    expect(a, 0, 0, 1, "123");
    after = used(&highest);
    assert_int_equal(after.msgmap, before.msgmap + 2);
    assert_int_equal(after.msgtql, before.msgtql + 5);
}

static void index_leads_to_id(void **state)
{
    int q[5];

    (void)state;
    for (int i = 0; i < 5; i++)
        q[i] = create();
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            assert_int_not_equal(find(q[i], MSG_STAT), find(q[j], MSG_STAT));
    for (int i = 0; i < 5; i++) {
        assert_true(find(q[i], MSG_STAT) >= 0);
        assert_int_equal(find(q[i], MSG_STAT_ANY), find(q[i], MSG_STAT));
    }
}

static void same_as_stat(void **state)
{
    struct msqid_ds stat, by_index;
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | 0640);
    put(q, 1, "text");
    stat = status(q);
    memset(&by_index, 0x55, sizeof(by_index));
    assert_int_equal(msgctl(find(q, MSG_STAT), MSG_STAT, &by_index), q);
    assert_memory_equal(&stat, &by_index, sizeof(stat));
    memset(&by_index, 0x55, sizeof(by_index));
    assert_int_equal(msgctl(find(q, MSG_STAT), MSG_STAT_ANY, &by_index), q);
    assert_memory_equal(&stat, &by_index, sizeof(stat));
}

static void unused_index(void **state)
{
    struct msqid_ds ds;
    int q, at;

    (void)state;
    q = create();
    at = find(q, MSG_STAT);
    ok(msgctl(q, IPC_RMID, NULL));
    fails(msgctl(at, MSG_STAT, &ds), EINVAL);
    fails(msgctl(at, MSG_STAT_ANY, &ds), EINVAL);
}

static int without_permission(void *arg)
{
    struct msqid_ds ds;
    int q, at;

    (void)arg;
    become(USER);
    must((q = msgget(IPC_PRIVATE, 0200)) >= 0);
    must((at = find(q, MSG_STAT_ANY)) >= 0);
    must_fail(msgctl(at, MSG_STAT, &ds), EACCES);
    must(msgctl(at, MSG_STAT_ANY, &ds) == q);
    must(ds.msg_perm.mode == 0200 && ds.msg_perm.uid == geteuid());
    must(msgctl(q, IPC_RMID, NULL) == 0);
    return 0;
}

static void no_permission(void **state)
{
    (void)state;
    assert_int_equal(in_child(without_permission, NULL), 0);
}

static void null_pointer(void **state)
{
    struct msqid_ds *volatile nothing = NULL;
    int q;

    (void)state;
    q = create();
    fails(msgctl(0, IPC_INFO, nothing), EFAULT);
    fails(msgctl(0, MSG_INFO, nothing), EFAULT);
    fails(msgctl(find(q, MSG_STAT), MSG_STAT, nothing), EFAULT);
    fails(msgctl(find(q, MSG_STAT), MSG_STAT_ANY, nothing), EFAULT);
}

/* What a removed queue held is not counted any more. */
static void without_removed(void **state)
{
    struct msginfo before;
    int highest, q;

    (void)state;
    before = used(&highest);
    q = create();
    put(q, 1, "text");
    ok(msgctl(q, IPC_RMID, NULL));
    assert_int_equal(used(&highest).msgmap, before.msgmap);
    assert_int_equal(used(&highest).msgtql, before.msgtql);
    assert_int_equal(used(&highest).msgpool, before.msgpool);
}

int group_info(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgctl(2): IPC_INFO: msgmax, msgmnb and msgmni are the limits that hold", hold),
        SAYS("msgctl(2): IPC_INFO and MSG_INFO return the index of the highest used entry",
             highest_index),
        SAYS("Linux: IPC_INFO and MSG_INFO need no identifier of a queue", any_id),
        SAYS("Linux: EINVAL msqid is negative, for each command", negative_id),
        SAYS("msgctl(2): MSG_INFO gives the same limits as IPC_INFO", same_limits),
        SAYS("msgctl(2): MSG_INFO: msgpool is the number of message queues that exist",
             counts_queues),
        SAYS("msgctl(2): MSG_INFO: msgmap and msgtql are all queues' messages and bytes",
             counts_messages),
        SAYS("POSIX: MSG_INFO: a removed queue's messages are gone", without_removed),
        SAYS("msgctl(2): MSG_STAT returns the identifier of the queue at that index",
             index_leads_to_id),
        SAYS("msgctl(2): MSG_STAT and MSG_STAT_ANY return a msqid_ds as for IPC_STAT",
             same_as_stat),
        SAYS("msgctl(2): EINVAL MSG_STAT: the index referred to an entry that is unused",
             unused_index),
        SAYS("msgctl(2): MSG_STAT_ANY is not checked for read access, MSG_STAT is", no_permission),
        SAYS("msgctl(2): EFAULT for each command that tells something: NULL", null_pointer),
    };

    return RUN("MSG_INFO and MSG_STAT", tests);
}

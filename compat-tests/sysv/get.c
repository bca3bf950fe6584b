/* msgget: what it makes, and what is in a new queue. */
#include "sysv.h"

#include <fcntl.h>
#include <sched.h>

static void private_is_new(void **state)
{
    (void)state;
    assert_int_not_equal(get(IPC_PRIVATE, 0600), get(IPC_PRIVATE, 0600));
}

static void private_needs_no_flag(void **state)
{
    int q;

    (void)state;
    q = get(IPC_PRIVATE, 0600);
    put(q, 1, "text");
    expect(q, 0, 0, 1, "text");
}

/* Whatever else is asked of it. */
static void private_with_flags(void **state)
{
    int a, b;

    (void)state;
    a = get(IPC_PRIVATE, IPC_CREAT | IPC_EXCL | 0600);
    b = get(IPC_PRIVATE, IPC_CREAT | IPC_EXCL | 0600);
    assert_int_not_equal(a, b);
}

static void creates(void **state)
{
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | 0600);
    assert_true(q >= 0);
    put(q, 1, "text");
    expect(q, 0, 0, 1, "text");
}

static void finds(void **state)
{
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | 0600);
    assert_int_equal(get(key(0), 0), q);
    assert_int_equal(get(key(0), 0600), q);
}

static void finds_with_creat(void **state)
{
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | 0600);
    put(q, 1, "text");
    assert_int_equal(get(key(0), IPC_CREAT | 0600), q);
    expect(q, 0, 0, 1, "text");
}

static void keys_differ(void **state)
{
    (void)state;
    assert_int_not_equal(get(key(0), IPC_CREAT | 0600), get(key(1), IPC_CREAT | 0600));
}

static void exclusive(void **state)
{
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | IPC_EXCL | 0600);
    fails(msgget(key(0), IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    assert_int_equal(get(key(0), 0), q);
}

static void missing(void **state)
{
    (void)state;
    fails(msgget(key(0), 0), ENOENT);
    fails(msgget(key(0), 0600), ENOENT);
}

static void exclusive_alone(void **state)
{
    int q;

    (void)state;
    fails(msgget(key(0), IPC_EXCL | 0600), ENOENT);
    q = get(key(0), IPC_CREAT | 0600);
    assert_int_equal(get(key(0), IPC_EXCL | 0600), q);
}

static void other_flags(void **state)
{
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | IPC_NOWAIT | MSG_NOERROR | 0x100000 | 0600);
    assert_int_equal(get(key(0), IPC_NOWAIT | 0x100000), q);
    assert_int_equal(status(q).msg_perm.mode, 0600);
}

/* --- the new queue's msqid_ds --------------------------------------------------------------------
 */

static void owner_is_creator(void **state)
{
    struct ipc_perm perm;

    (void)state;
    perm = status(create()).msg_perm;
    assert_int_equal(perm.cuid, geteuid());
    assert_int_equal(perm.uid, geteuid());
    assert_int_equal(perm.cgid, getegid());
    assert_int_equal(perm.gid, getegid());
}

static int effective_ids(void *arg)
{
    struct msqid_ds ds;
    int q;

    (void)arg;
    must(setegid(OTHER) == 0 && seteuid(USER) == 0);
    must((q = msgget(IPC_PRIVATE, 0600)) >= 0);
    must(msgctl(q, IPC_STAT, &ds) == 0);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    must(ds.msg_perm.cuid == USER && ds.msg_perm.uid == USER);
    must(ds.msg_perm.cgid == OTHER && ds.msg_perm.gid == OTHER);
    return 0;
}

static void owner_is_effective(void **state)
{
    (void)state;
    need_root();
    assert_int_equal(in_child(effective_ids, NULL), 0);
}

static void mode_bits(void **state)
{
    static const unsigned modes[] = {0600, 0666, 0400, 0200, 0060, 0006, 0640, 0};

    (void)state;
    need_root(); /* others may not look at all of these */
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        assert_int_equal(status(get(IPC_PRIVATE, (int)modes[i])).msg_perm.mode, modes[i]);
}

static void execute_bits(void **state)
{
    (void)state;
    assert_int_equal(status(get(IPC_PRIVATE, 0777)).msg_perm.mode, 0777);
}

static int with_umask(void *arg)
{
    struct msqid_ds ds;
    int q;

    (void)arg;
    umask(0777);
    must((q = msgget(IPC_PRIVATE, 0664)) >= 0);
    must(msgctl(q, IPC_STAT, &ds) == 0);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    must(ds.msg_perm.mode == 0664);
    must(umask(0) == 0777);
    return 0;
}

static void no_umask(void **state)
{
    (void)state;
    assert_int_equal(in_child(with_umask, NULL), 0);
}

static void empty(void **state)
{
    struct msqid_ds ds;

    (void)state;
    ds = status(create());
    assert_int_equal(ds.msg_qnum, 0);
    assert_int_equal(ds.msg_cbytes, 0);
    assert_int_equal(ds.msg_lspid, 0);
    assert_int_equal(ds.msg_lrpid, 0);
    assert_int_equal(ds.msg_stime, 0);
    assert_int_equal(ds.msg_rtime, 0);
}

static void created_now(void **state)
{
    time_t before, created;

    (void)state;
    before = time(NULL) - 1; /* the clock of file times may be a tick behind */
    created = status(create()).msg_ctime;
    assert_in_range(created, before, time(NULL));
}

static void default_room(void **state)
{
    (void)state;
    assert_int_equal(status(create()).msg_qbytes, limits().msgmnb);
}

static void has_its_key(void **state)
{
    (void)state;
    assert_int_equal(status(get(key(0), IPC_CREAT | 0600)).msg_perm.__key, key(0));
    assert_int_equal(status(create()).msg_perm.__key, IPC_PRIVATE);
}

/* An existing queue's msqid_ds is not initialized again. */
static void found_as_it_was(void **state)
{
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | 0600);
    set_qbytes(q, 100);
    put(q, 1, "text");
    get(key(0), IPC_CREAT | 0400);
    assert_int_equal(status(q).msg_perm.mode, 0600);
    assert_int_equal(status(q).msg_qbytes, 100);
    assert_int_equal(status(q).msg_qnum, 1);
}

/* In an IPC namespace, which has a sysctl and queues of its own; mqx's queues are where they were.
 * MQX_LIMITS means nothing to the kernel.  77: there cannot be one here. */
static int one_too_many(void *unused)
{
    int fd = unshare(CLONE_NEWIPC) == 0 ? open("/proc/sys/kernel/msgmni", O_WRONLY) : -1, q;
    struct msginfo info;

    (void)unused;
    if (fd == -1 || setenv("MQX_LIMITS", "kernel", 1) != 0)
        return 77;
    must(msgctl(0, MSG_INFO, (struct msqid_ds *)&info) != -1);
    if (dprintf(fd, "%d", info.msgpool + 2) < 0)
        return 77;
    must(limits().msgmni == info.msgpool + 2);
    q = msgget(IPC_PRIVATE, 0600);
    must(q >= 0 && msgget(key(0), IPC_CREAT | 0600) >= 0);
    must_fail(msgget(IPC_PRIVATE, 0600), ENOSPC);
    must_fail(msgget(key(1), IPC_CREAT | 0600), ENOSPC);
    must_fail(msgget(key(1), 0600), ENOENT);
    must_fail(msgget(key(0), IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    must(msgget(key(0), IPC_CREAT | 0600) >= 0);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    must(msgget(key(1), IPC_CREAT | 0600) >= 0);
    must_fail(msgget(IPC_PRIVATE, 0600), ENOSPC);
    must(msgctl(msgget(key(0), 0), IPC_RMID, NULL) == 0);
    must(msgctl(msgget(key(1), 0), IPC_RMID, NULL) == 0);
    return 0;
}

static void no_more_queues(void **state)
{
    int r = geteuid() == 0 ? in_child(one_too_many, NULL) : 77;

    (void)state;
    if (r == 77) {
        print_message("skip: an IPC namespace with a msgmni of its own needs root\n");
        skip();
    }
    assert_int_equal(r, 0);
}

int group_get(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgget(2): a new queue is created if key has the value IPC_PRIVATE", private_is_new),
        SAYS("msgget(2): with IPC_PRIVATE, only the permissions of msgflg count",
             private_needs_no_flag),
        SAYS("msgget(2): IPC_PRIVATE never collides, also with IPC_EXCL", private_with_flags),
        SAYS("msgget(2): no queue with the given key exists, and IPC_CREAT: a new queue", creates),
        SAYS("msgget(2): obtains the identifier of a previously created message queue", finds),
        SAYS("msgget(2): IPC_CREAT alone obtains a queue that exists, messages and all",
             finds_with_creat),
        SAYS("sysvipc(7): different keys, different queues", keys_differ),
        SAYS("msgget(2): EEXIST a queue exists for key, IPC_CREAT and IPC_EXCL both specified",
             exclusive),
        SAYS("msgget(2): ENOENT no queue exists for key and msgflg did not specify IPC_CREAT",
             missing),
        SAYS("Linux: IPC_EXCL without IPC_CREAT changes nothing", exclusive_alone),
        SAYS("Linux: bits of msgflg that mean nothing are ignored", other_flags),
        SAYS("msgget(2): msg_perm.cuid, uid, cgid, gid are the calling process's",
             owner_is_creator),
        SAYS("POSIX: it is the effective user and group ID that count", owner_is_effective),
        SAYS("msgget(2): the low 9 bits of msg_perm.mode are set to those of msgflg", mode_bits),
        SAYS("msgget(2): the execute permissions are not used, but kept", execute_bits),
        SAYS("Linux: the umask does not matter", no_umask),
        SAYS("msgget(2): msg_qnum, msg_lspid, msg_lrpid, msg_stime and msg_rtime are set to 0",
             empty),
        SAYS("msgget(2): msg_ctime is set to the current time", created_now),
        SAYS("msgget(2): msg_qbytes is set to the system limit MSGMNB", default_room),
        SAYS("msgctl(2): msg_perm.__key is the key supplied to msgget", has_its_key),
        SAYS("msgget(2): what exists is not initialized again", found_as_it_was),
        SAYS("msgget(2): ENOSPC the system limit for the number of queues, MSGMNI", no_more_queues),
    };

    return RUN("msgget", tests);
}

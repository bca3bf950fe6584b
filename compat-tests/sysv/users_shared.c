/* Users who share a queue: whom its mode lets do what, who owns it, what its identifier leads to.
 */
#include "users.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/wait.h>

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

/* --- modes -------------------------------------------------------------------------------------
 */

/* With two messages in it, for who may read only. */
static void each_mode(const struct user *user, int shift)
{
    static const int modes[] = {0600, 0622, 0644, 0660, 0606, 0604, 0602, 0640, 0620, 0666, 0066};

    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        int q = of_mode(modes[i] | 0600);

        for (int n = 0; n < 2; n++)
            as(&owner, sends, q, 1);
        as(user, tries, q, modes[i] >> shift & 7);
        as(&owner, removes, q, 0);
    }
}

static void others(void **state)
{
    (void)state;
    each_mode(&stranger, 0);
}

static void group(void **state)
{
    (void)state;
    each_mode(&member, 3);
}

static void supplementary_group(void **state)
{
    (void)state;
    each_mode(&supplementary, 3);
}

/* --- the calls that need the owner --------------------------------------------------------------
 */

static void not_the_owner(void **state)
{
    int q;

    (void)state;
    q = of_mode(0666);
    as(&stranger, may_not_control, q, 0);
    as(&member, may_not_control, q, 0);
    as(&owner, removes, q, 0);
}

static int gives_to(int q, long uid)
{
    struct msqid_ds ds;

    must(msgctl(q, IPC_STAT, &ds) == 0);
    ds.msg_perm.uid = (uid_t)uid;
    must(msgctl(q, IPC_SET, &ds) == 0);
    return 0;
}

static int owns_it(int q, long unused)
{
    struct msqid_ds ds;

    (void)unused;
    sends(q, 1);
    receives(q, 1);
    must(msgctl(q, IPC_STAT, &ds) == 0);
    must(ds.msg_perm.uid == geteuid() && ds.msg_perm.cuid == USER && ds.msg_perm.cgid == USER);
    ds.msg_perm.mode = 0622;
    ds.msg_qbytes = 100;
    must(msgctl(q, IPC_SET, &ds) == 0);
    memset(&ds, 0, sizeof(ds));
    must(msgctl(q, IPC_STAT, &ds) == 0 && ds.msg_perm.mode == 0622 && ds.msg_qbytes == 100);
    must(ds.msg_lspid == getpid() && ds.msg_lrpid == getpid());
    return 0;
}

static void new_owner(void **state)
{
    int q;

    (void)state;
    q = of_mode(0600);
    as(&owner, gives_to, q, OTHER);
    as(&stranger, owns_it, q, 0);
    as(&third, sends, q, 1); /* 0622 */
    as(&third, may_not_control, q, 0);
    as(&stranger, gives_to, q, 65532);
    as(&stranger, may_not_control, q, 0);
    as(&third, removes, q, 0);
    fails(msgget(key(0), 0), ENOENT);
}

static void creator_after_giving(void **state)
{
    int q;

    (void)state;
    q = of_mode(0600);
    as(&owner, gives_to, q, OTHER);
    as(&owner, sends, q, 1); /* the owner's permissions are the creator's */
    as(&stranger, receives, q, 1);
    as(&owner, removes, q, 0);
    fails(msgget(key(0), 0), ENOENT);
}

static int may_not_send(int q, long unused)
{
    (void)unused;
    must_fail(send_text(q, 1, "text", 0), EACCES);
    return 0;
}

static void mode_is_changed(void **state)
{
    int q;

    (void)state;
    q = of_mode(0600);
    as(&stranger, may_not_send, q, 0);
    as(&owner, sets_mode, q, 0602);
    as(&stranger, sends, q, 1);
    as(&owner, sets_mode, q, 0600);
    as(&stranger, may_not_send, q, 0);
    as(&owner, removes, q, 0);
}

/* --- identifiers --------------------------------------------------------------------------------
 */

static int finds_by_index(int q, long reads)
{
    int index = q & 0x7fff;
    struct msqid_ds ds;

    as_permitted(msgctl(index, MSG_STAT, &ds), reads != 0, q);
    memset(&ds, 0, sizeof(ds));
    must(msgctl(index, MSG_STAT_ANY, &ds) == q);
    must(ds.msg_perm.uid == USER && ds.msg_perm.__key == key(0) && ds.msg_qnum == 1);
    return 0;
}

static void by_index(void **state)
{
    int q;

    (void)state;
    q = of_mode(0600);
    as(&owner, sends, q, 1);
    as(&stranger, finds_by_index, q, 0);
    as(&owner, sets_mode, q, 0604);
    as(&stranger, finds_by_index, q, 1);
    as(&owner, removes, q, 0);
}

static int has_other_queue(int q, long unused)
{
    int mine;

    (void)unused;
    must(msgget(key(0), IPC_CREAT) == q);
    must_fail(msgget(key(0), IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    must_fail(msgget(key(0), IPC_CREAT | 0600), EACCES);
    mine = msgget(key(1), IPC_CREAT | IPC_EXCL | 0600);
    must(mine >= 0 && mine != q && (mine & 0x7fff) != (q & 0x7fff));
    must(send_text(mine, 1, "text", IPC_NOWAIT) == 0);
    must_fail(send_text(q, 1, "text", IPC_NOWAIT), EACCES);
    shared->number[1] = mine;
    return 0;
}

static int has_neither(int q, long unused)
{
    (void)unused;
    must_fail(send_text(q, 1, "text", IPC_NOWAIT), EINVAL);
    must_fail(msgctl(q, IPC_RMID, NULL), EINVAL);
    must_fail(msgget(key(0), 0), ENOENT);
    return 0;
}

static void one_registry(void **state)
{
    int q;

    (void)state;
    q = of_mode(0600);
    as(&stranger, has_other_queue, q, 0);
    as(&owner, removes, q, 0);
    as(&stranger, has_neither, q, 0);
    as(&stranger, removes, (int)shared->number[1], 0);
}

/* The same process: it has used the queue before it is gone, and the next one of that key. */
static int goes_with_the_times(int q, long unused)
{
    (void)unused;
    sends(q, 1);
    shared->ready = 1;
    await(shared->done == 1);
    has_neither(q, 0);
    shared->ready = 2;
    await(shared->done == 2);
    q = msgget(key(0), 0);
    must(q >= 0 && q != (int)shared->number[1]);
    sends(q, 2);
    return 0;
}

static void gone_meanwhile(void **state)
{
    struct step s = {&stranger, goes_with_the_times, -1, 0};
    pid_t pid;

    (void)state;
    s.q = of_mode(0622);
    shared->number[1] = s.q;
    pid = spawn(act, &s);
    await(shared->ready == 1);
    as(&owner, removes, s.q, 0);
    shared->done = 1;
    await(shared->ready == 2);
    as(&owner, creates, -1, 0622);
    shared->done = 2;
    assert_int_equal(reap(pid), 0);
    as(&owner, receives, (int)shared->number[0], 2);
    as(&owner, removes, (int)shared->number[0], 0);
}

/* A program's descriptors are its own: as many as it has opened, the lowest first; and it may close
 * what it finds. */
static int owns_its_descriptors(int q, long unused)
{
    int lowest = open("/dev/null", O_RDONLY), other;
    struct msqid_ds ds;

    (void)unused;
    must(lowest >= 0);
    sends(q, 1);
    other = open("/dev/null", O_RDONLY);
    must(other == lowest + 1);
    for (int fd = lowest; fd < 1024; fd++)
        close(fd);
    receives(q, 1);
    for (int fd = lowest; fd < 1024; fd++)
        must(dup2(STDIN_FILENO, fd) == fd);
    must(msgctl(q, IPC_STAT, &ds) == 0);
    sends(q, 1);
    receives(q, 1);
    for (int fd = lowest; fd < 1024; fd++)
        must(close(fd) == 0);
    sends(q, 1);
    return 0;
}

static void descriptors(void **state)
{
    int q;

    (void)state;
    q = of_mode(0666);
    as(&stranger, owns_its_descriptors, q, 0);
    as(&owner, removes, q, 0);
}

static int forks(int q, long unused)
{
    int status;
    pid_t child;

    (void)unused;
    sends(q, 1);
    child = fork();
    must(child >= 0);
    if (child == 0) {
        receives(q, 1);
        sends(q, 2);
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child && status == 0);
    receives(q, 2);
    return 0;
}

static void forked(void **state)
{
    int q;

    (void)state;
    q = of_mode(0666);
    as(&stranger, forks, q, 0);
    as(&owner, removes, q, 0);
}

/* As a server that begins as root; what it had made as root is another user's then. */
static int removes_after_setuid(void *arg)
{
    struct msqid_ds ds;
    key_t wanted = *(const key_t *)arg;
    int q = msgget(wanted, IPC_CREAT | IPC_EXCL | 0622), again;

    must(q >= 0 && msgctl(q, IPC_STAT, &ds) == 0);
    ds.msg_perm.uid = OTHER;
    must(msgctl(q, IPC_SET, &ds) == 0);
    must(setgroups(0, NULL) == 0 && setgid(OTHER) == 0 && setuid(OTHER) == 0);
    shared->number[0] = q;
    shared->ready = 1;
    await(shared->done == 1);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    again = msgget(wanted, IPC_CREAT | IPC_EXCL | 0600);
    must(again >= 0 && again != q);
    must_fail(msgctl(q, IPC_RMID, NULL), EINVAL);
    must_fail(send_text(q, 1, "text", IPC_NOWAIT), EINVAL);
    must(msgctl(again, IPC_RMID, NULL) == 0);
    return 0;
}

static int keeps_using(int q, long type)
{
    sends(q, type);
    shared->ready = 2;
    await(shared->done == 2);
    return 0;
}

static void removed_after_setuid(key_t wanted)
{
    struct step uses = {&third, keeps_using, -1, 1};
    pid_t server, user;

    need_root();
    shared->ready = shared->done = 0;
    server = spawn(removes_after_setuid, &wanted);
    await(shared->ready == 1);
    uses.q = (int)shared->number[0];
    user = spawn(act, &uses);
    await(shared->ready == 2);
    shared->done = 1;
    assert_int_equal(reap(server), 0);
    shared->done = 2;
    assert_int_equal(reap(user), 0);
}

static void set_user_id(void **state)
{
    (void)state;
    removed_after_setuid(key(0));
    removed_after_setuid(IPC_PRIVATE);
}

int group_users_shared(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("sysvipc(7): 0004 read by others, 0002 write by others", others),
        SAYS("sysvipc(7): 0040 read by group, 0020 write by group", group),
        SAYS("sysvipc(7): a supplementary group is one of the caller's", supplementary_group),
        SAYS("msgctl(2): EPERM IPC_SET, IPC_RMID by who may read and write", not_the_owner),
        SAYS("msgctl(2): the owner that IPC_SET names may use, set and remove the queue",
             new_owner),
        SAYS("msgctl(2): its creator may, too, and uses it with the owner", creator_after_giving),
        SAYS("msgctl(2): IPC_SET of another mode counts from the next call on", mode_is_changed),
        SAYS("msgctl(2): MSG_STAT needs the permission to read, MSG_STAT_ANY does not", by_index),
        SAYS("msgget(2): keys and identifiers are one set for all users", one_registry),
        SAYS("msgsnd(2): EINVAL another user's queue was removed since", gone_meanwhile),
        SAYS("msgctl(2): IPC_RMID by who was another user when he created the queue", set_user_id),
        SAYS("msgsnd(2): a program's file descriptors are its own", descriptors),
        SAYS("fork(2): a child uses another user's queue as its parent did", forked),
    };

    return RUN("users who share a queue", tests);
}

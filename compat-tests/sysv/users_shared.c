/*
 * One user's queue used by others.  Who sets the stage never touches the queue himself: what
 * a process of mqx's has mapped, its children have, too, whoever they become.  So every step is
 * a child of its own, and the case only hands the identifier on.
 */
#include "sysv.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/wait.h>

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif
#ifndef MSG_EXCEPT
#define MSG_EXCEPT 020000
#endif

struct user {
    uid_t uid;
    gid_t gid, also; /* a supplementary group, or 0 */
};
static const struct user owner = {USER, USER, 0}, member = {OTHER, USER, 0},
                         supplementary = {OTHER, OTHER, USER}, stranger = {OTHER, OTHER, 0},
                         third = {65532, 65532, 0};

struct step {
    const struct user *user;
    int (*f)(int q, long value);
    int q;
    long value;
};

static int act(void *arg)
{
    const struct step *s = arg;
    gid_t groups[] = {s->user->also};

    must(setgroups(s->user->also != 0, groups) == 0 && setgid(s->user->gid) == 0 &&
         setuid(s->user->uid) == 0);
    return s->f(s->q, s->value);
}

static void as(const struct user *user, int (*f)(int q, long value), int q, long value)
{
    struct step s = {user, f, q, value};

    assert_int_equal(in_child(act, &s), 0);
}

/* A child that is asleep in what it does; reap() says how that ended. */
static pid_t blocked_as(const struct user *user, int (*f)(int q, long value), int q, long value)
{
    struct step s = {user, f, q, value};
    pid_t pid;

    shared->ready = 0;
    pid = spawn(act, &s);
    await_blocked(pid);
    return pid;
}

static int creates(int unused, long mode)
{
    (void)unused;
    shared->number[0] = msgget(key(0), IPC_CREAT | IPC_EXCL | (int)mode);
    must(shared->number[0] >= 0);
    return 0;
}

/* A queue of the owner's. */
static int of_mode(int mode)
{
    need_root();
    as(&owner, creates, -1, mode);
    return (int)shared->number[0];
}

static int sends(int q, long type)
{
    must(send_text(q, type, "text", IPC_NOWAIT) == 0);
    return 0;
}

static int receives(int q, long type)
{
    struct message m;

    must(msgrcv(q, &m, sizeof(m.text), type, IPC_NOWAIT) == 4);
    must(type <= 0 || m.type == type);
    return memcmp(m.text, "text", 4) != 0;
}

static int finds_none(int q, long type)
{
    struct message m;

    must_fail(msgrcv(q, &m, sizeof(m.text), type, IPC_NOWAIT), ENOMSG);
    return 0;
}

static int removes(int q, long unused)
{
    (void)unused;
    must(msgctl(q, IPC_RMID, NULL) == 0);
    return 0;
}

/* --- modes -------------------------------------------------------------------------------------
 */

static void as_permitted(long result, bool permitted, long right)
{
    int error = errno;

    errno = error;
    must(permitted ? result == right : result == -1 && error == EACCES);
}

/* bits: of the mode, those that are the caller's. */
static int tries(int q, long bits)
{
    bool reads = bits & 4, writes = bits & 2;
    struct msqid_ds ds;
    struct message m;

    must(msgget(key(0), 0) == q);
    as_permitted(msgget(key(0), 0400), reads, q);
    as_permitted(msgget(key(0), 0040), reads, q);
    as_permitted(msgget(key(0), IPC_CREAT | 0200), writes, q);
    as_permitted(msgget(key(0), 0600), reads && writes, q);
    as_permitted(send_text(q, 1, "text", IPC_NOWAIT), writes, 0);
    as_permitted(send_text(q, 1, "text", 0), writes, 0);
    as_permitted(msgrcv(q, &m, 32, 0, IPC_NOWAIT), reads, 4);
    as_permitted(msgrcv(q, &m, 32, 0, 0), reads, 4);
    as_permitted(msgctl(q, IPC_STAT, &ds), reads, 0);
    return 0;
}

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

static int may_not_control(int q, long unused)
{
    struct msqid_ds ds = {.msg_qbytes = 10, .msg_perm = {.uid = OTHER, .gid = OTHER, .mode = 0666}};

    (void)unused;
    must_fail(msgctl(q, IPC_SET, &ds), EPERM);
    must_fail(msgctl(q, IPC_RMID, NULL), EPERM);
    must(msgget(key(0), 0) == q);
    return 0;
}

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

static int sets_mode(int q, long mode)
{
    struct msqid_ds ds;

    must(msgctl(q, IPC_STAT, &ds) == 0);
    ds.msg_perm.mode = (unsigned short)mode;
    must(msgctl(q, IPC_SET, &ds) == 0);
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

/* --- messages -----------------------------------------------------------------------------------
 */

static int chooses(int q, long unused)
{
    struct message m;

    (void)unused;
    for (long type = 5; type > 1; type--)
        must(send_text(q, type, type == 3 ? "longer text" : "text", 0) == 0);
    must(msgrcv(q, &m, 32, 4, 0) == 4 && m.type == 4);
    must(msgrcv(q, &m, 32, -9, 0) == 4 && m.type == 2);
    must_fail(msgrcv(q, &m, 4, -4, 0), E2BIG);
    must_fail(msgrcv(q, &m, 32, -2, IPC_NOWAIT), ENOMSG);
    must(msgrcv(q, &m, 4, -4, MSG_NOERROR) == 4 && m.type == 3 && memcmp(m.text, "long", 4) == 0);
    must_fail(msgrcv(q, &m, 32, 5, MSG_EXCEPT | IPC_NOWAIT), ENOMSG);
    must(send_text(q, 6, "text", 0) == 0);
    must(msgrcv(q, &m, 32, 5, MSG_EXCEPT) == 4 && m.type == 6);
    must(msgrcv(q, &m, 32, 0, 0) == 4 && m.type == 5);
    must_fail(msgrcv(q, &m, 32, 0, IPC_NOWAIT), ENOMSG);
    must_fail(send_text(q, 0, "text", 0), EINVAL);
    must_fail(send_text(q, -1, "text", 0), EINVAL);
    must(send_text(q, 1, "", 0) == 0 && msgrcv(q, &m, 0, 1, 0) == 0);
    return 0;
}

static void types(void **state)
{
    int q;

    (void)state;
    q = of_mode(0666);
    as(&stranger, chooses, q, 0);
    as(&owner, removes, q, 0);
}

/* As large as there may be, but not more than this. */
#define LARGE 50000
static size_t large(void)
{
    struct msginfo is = limits();
    int most = is.msgmax < is.msgmnb ? is.msgmax : is.msgmnb;

    return most < LARGE ? (size_t)most : LARGE;
}

static struct {
    long type;
    unsigned char text[LARGE + 1];
} huge;

static int sends_large(int q, long size)
{
    huge.type = 7;
    for (long i = 0; i < size; i++)
        huge.text[i] = (unsigned char)(i * 7 + i / 250);
    must(msgsnd(q, &huge, (size_t)size, 0) == 0);
    return 0;
}

static int receives_large(int q, long size)
{
    must_fail(msgrcv(q, &huge, (size_t)size - 1, 0, 0), E2BIG);
    must(msgrcv(q, &huge, LARGE, 7, 0) == size && huge.type == 7);
    for (long i = 0; i < size; i++)
        must(huge.text[i] == (unsigned char)(i * 7 + i / 250));
    return 0;
}

static int sends_too_much(int q, long unused)
{
    static unsigned char text[1 << 25];
    long size = limits().msgmax + 1L;

    (void)unused;
    must(size <= (long)sizeof(text) - (long)sizeof(long));
    *(long *)(void *)text = 1;
    must_fail(msgsnd(q, text, (size_t)size, 0), EINVAL);
    return 0;
}

static void large_ones(void **state)
{
    int q;

    (void)state;
    q = of_mode(0666);
    as(&stranger, sends_large, q, (long)large());
    as(&owner, receives_large, q, (long)large());
    as(&owner, sends_large, q, (long)large());
    as(&stranger, receives_large, q, (long)large());
    as(&stranger, sends_too_much, q, 0);
    as(&owner, removes, q, 0);
}

static int is_told_who(int q, long sender)
{
    struct msqid_ds ds;

    must(msgctl(q, IPC_STAT, &ds) == 0);
    must(ds.msg_lspid == (pid_t)sender && ds.msg_lrpid == 0 && ds.msg_qnum == 1 &&
         ds.msg_cbytes == 4 && ds.msg_stime > 0 && ds.msg_rtime == 0);
    receives(q, 0);
    must(msgctl(q, IPC_STAT, &ds) == 0);
    must(ds.msg_lrpid == getpid() && ds.msg_qnum == 0 && ds.msg_rtime > 0);
    return 0;
}

static int sends_and_says_who(int q, long unused)
{
    (void)unused;
    shared->number[1] = getpid();
    return sends(q, 1);
}

static void who_it_was(void **state)
{
    int q;

    (void)state;
    q = of_mode(0666);
    as(&stranger, sends_and_says_who, q, 0);
    as(&third, is_told_who, q, shared->number[1]);
    as(&owner, removes, q, 0);
}

/* --- waiting ------------------------------------------------------------------------------------
 */

static int waits_for(int q, long type)
{
    struct message m;

    shared->ready = 1;
    if (msgrcv(q, &m, sizeof(m.text), type, 0) == -1)
        return errno;
    return m.type == labs(type) ? 0 : 255;
}

static void woken_by_type(void **state)
{
    pid_t five, third_five, nine;
    int q;

    (void)state;
    q = of_mode(0666);
    five = blocked_as(&stranger, waits_for, q, 5);
    nine = blocked_as(&third, waits_for, q, -9);
    third_five = blocked_as(&third, waits_for, q, 5);
    as(&owner, sends, q, 10); /* nobody's */
    as(&owner, sends, q, 9);
    assert_int_equal(reap(nine), 0);
    as(&owner, sends, q, 5);
    as(&stranger, sends, q, 5);
    assert_int_equal(reap(five), 0);
    assert_int_equal(reap(third_five), 0);
    as(&stranger, receives, q, 10);
    as(&stranger, finds_none, q, 0);
    as(&owner, removes, q, 0);
}

static int waits_to_send(int q, long type)
{
    shared->ready = 1;
    return send_text(q, type, "text", 0) == 0 ? 0 : errno;
}

static int sets_room(int q, long bytes)
{
    struct msqid_ds ds;

    must(msgctl(q, IPC_STAT, &ds) == 0);
    ds.msg_qbytes = (unsigned long)bytes;
    must(msgctl(q, IPC_SET, &ds) == 0);
    return 0;
}

static int finds_no_room(int q, long unused)
{
    (void)unused;
    must_fail(send_text(q, 3, "text", IPC_NOWAIT), EAGAIN);
    return 0;
}

static int full(void)
{
    int q = of_mode(0666);

    as(&owner, sets_room, q, 6);
    as(&stranger, sends, q, 1);
    as(&stranger, finds_no_room, q, 0);
    return q;
}

static void woken_by_room(void **state)
{
    pid_t waits;
    int q;

    (void)state;
    q = full();
    waits = blocked_as(&stranger, waits_to_send, q, 2);
    as(&owner, receives, q, 1);
    assert_int_equal(reap(waits), 0);
    waits = blocked_as(&stranger, waits_to_send, q, 3);
    as(&owner, sets_room, q, 8);
    assert_int_equal(reap(waits), 0);
    as(&third, receives, q, 2);
    as(&third, receives, q, 3);
    as(&owner, removes, q, 0);
}

static void removed_while_blocked(void **state)
{
    pid_t waits[3];
    int q;

    (void)state;
    q = full();
    waits[0] = blocked_as(&stranger, waits_for, q, 5);
    waits[1] = blocked_as(&third, waits_to_send, q, 2);
    waits[2] = blocked_as(&third, waits_for, q, 6);
    as(&owner, removes, q, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(reap(waits[i]), EIDRM);
}

static void forbidden_while_blocked(void **state)
{
    pid_t waits;
    int q;

    (void)state;
    q = of_mode(0666);
    waits = blocked_as(&stranger, waits_for, q, 5);
    as(&owner, sets_mode, q, 0600);
    assert_int_equal(reap(waits), EACCES);
    as(&owner, removes, q, 0);
}

static void note(int unused)
{
    (void)unused;
    shared->signals++;
}

static int is_interrupted(int q, long sending)
{
    struct sigaction sa = {.sa_handler = note, .sa_flags = SA_RESTART};

    sigaction(SIGUSR1, &sa, NULL);
    return (int)(sending ? waits_to_send(q, 2) : waits_for(q, 5));
}

static void interrupted(void **state)
{
    int q;

    (void)state;
    q = full();
    for (long sending = 0; sending < 2; sending++) {
        pid_t waits = blocked_as(&stranger, is_interrupted, q, sending);

        ok(kill(waits, SIGUSR1));
        assert_int_equal(reap(waits), EINTR);
    }
    assert_int_equal(shared->signals, 2);
    as(&owner, receives, q, 1);
    as(&owner, finds_none, q, 0);
    as(&owner, removes, q, 0);
}

/* One that is killed in its sleep leaves the messages to others. */
static void killed(void **state)
{
    pid_t waits, next;
    int q;

    (void)state;
    q = of_mode(0666);
    waits = blocked_as(&stranger, waits_for, q, 5);
    next = blocked_as(&third, waits_for, q, 5);
    ok(kill(waits, SIGKILL));
    assert_int_equal(reap(waits), 1000 + SIGKILL);
    as(&owner, sends, q, 5);
    assert_int_equal(reap(next), 0);
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
        SAYS("msgrcv(2): types, MSG_EXCEPT, MSG_NOERROR and E2BIG on another user's queue", types),
        SAYS("msgsnd(2): large messages to and from another user's queue", large_ones),
        SAYS("msgctl(2): msg_lspid and msg_lrpid are the processes that sent and received",
             who_it_was),
        SAYS("msgrcv(2): blocked on another user's queue, each is woken for his type",
             woken_by_type),
        SAYS("msgsnd(2): blocked on another user's queue, by a message received, or IPC_SET",
             woken_by_room),
        SAYS("msgrcv(2), msgsnd(2): EIDRM another user's queue is removed meanwhile",
             removed_while_blocked),
        SAYS("msgrcv(2): EACCES the mode of another user's queue forbids it meanwhile",
             forbidden_while_blocked),
        SAYS("signal(7): EINTR on another user's queue, also under SA_RESTART", interrupted),
        SAYS("msgrcv(2): who is killed while blocked takes no message along", killed),
        SAYS("msgctl(2): MSG_STAT needs the permission to read, MSG_STAT_ANY does not", by_index),
        SAYS("msgget(2): keys and identifiers are one set for all users", one_registry),
        SAYS("msgsnd(2): EINVAL another user's queue was removed since", gone_meanwhile),
        SAYS("msgctl(2): IPC_RMID by who was another user when he created the queue", set_user_id),
        SAYS("msgsnd(2): a program's file descriptors are its own", descriptors),
        SAYS("fork(2): a child uses another user's queue as its parent did", forked),
    };

    return RUN("users who share a queue", tests);
}

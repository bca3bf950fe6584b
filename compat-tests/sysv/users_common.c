/* Steps that users take with each other's queues, each in a child that has become that user. */
#include "users.h"

#include <grp.h>

const struct user owner = {USER, USER, 0}, member = {OTHER, USER, 0},
                  supplementary = {OTHER, OTHER, USER}, stranger = {OTHER, OTHER, 0},
                  third = {65532, 65532, 0};

int act(void *arg)
{
    const struct step *s = arg;
    gid_t groups[] = {s->user->also};

    must(setgroups(s->user->also != 0, groups) == 0 && setgid(s->user->gid) == 0 &&
         setuid(s->user->uid) == 0);
    return s->f(s->q, s->value);
}

void as(const struct user *user, int (*f)(int q, long value), int q, long value)
{
    struct step s = {user, f, q, value};

    assert_int_equal(in_child(act, &s), 0);
}

pid_t blocked_as(const struct user *user, int (*f)(int q, long value), int q, long value)
{
    struct step s = {user, f, q, value};
    pid_t pid;

    shared->ready = 0;
    pid = spawn(act, &s);
    await_blocked(pid);
    return pid;
}

int creates(int unused, long mode)
{
    (void)unused;
    shared->number[0] = msgget(key(0), IPC_CREAT | IPC_EXCL | (int)mode);
    must(shared->number[0] >= 0);
    return 0;
}

int of_mode(int mode)
{
    need_root();
    as(&owner, creates, -1, mode);
    return (int)shared->number[0];
}

int sends(int q, long type)
{
    must(send_text(q, type, "text", IPC_NOWAIT) == 0);
    return 0;
}

int receives(int q, long type)
{
    struct message m;

    must(msgrcv(q, &m, sizeof(m.text), type, IPC_NOWAIT) == 4);
    must(type <= 0 || m.type == type);
    return memcmp(m.text, "text", 4) != 0;
}

int finds_none(int q, long type)
{
    struct message m;

    must_fail(msgrcv(q, &m, sizeof(m.text), type, IPC_NOWAIT), ENOMSG);
    return 0;
}

int sets_mode(int q, long mode)
{
    struct msqid_ds ds;

    must(msgctl(q, IPC_STAT, &ds) == 0);
    ds.msg_perm.mode = (unsigned short)mode;
    must(msgctl(q, IPC_SET, &ds) == 0);
    return 0;
}

int removes(int q, long unused)
{
    (void)unused;
    must(msgctl(q, IPC_RMID, NULL) == 0);
    return 0;
}

int may_not_control(int q, long unused)
{
    struct msqid_ds ds = {.msg_qbytes = 10, .msg_perm = {.uid = OTHER, .gid = OTHER, .mode = 0666}};

    (void)unused;
    must_fail(msgctl(q, IPC_SET, &ds), EPERM);
    must_fail(msgctl(q, IPC_RMID, NULL), EPERM);
    must(msgget(key(0), 0) == q);
    return 0;
}

void as_permitted(long result, bool permitted, long right)
{
    int error = errno;

    must(permitted ? result == right : result == -1 && error == EACCES);
}

int tries(int q, long bits)
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

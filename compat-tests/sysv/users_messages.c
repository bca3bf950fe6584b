/* What one user puts into a queue and another takes out: types, sizes, and who it was. */
#include "users.h"

#ifndef MSG_EXCEPT
#define MSG_EXCEPT 020000
#endif

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

int group_users_messages(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgrcv(2): types, MSG_EXCEPT, MSG_NOERROR and E2BIG on another user's queue", types),
        SAYS("msgsnd(2): large messages to and from another user's queue", large_ones),
        SAYS("msgctl(2): msg_lspid and msg_lrpid are the processes that sent and received",
             who_it_was),
    };

    return RUN("users: messages", tests);
}

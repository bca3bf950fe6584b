/* IPC_RMID. */
#include "sysv.h"

static void removes(void **state)
{
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | 0600);
    ok(msgctl(q, IPC_RMID, NULL));
    fails(msgctl(q, IPC_RMID, NULL), EINVAL);
    fails(msgget(key(0), 0), ENOENT);
}

static void with_messages(void **state)
{
    int q;

    (void)state;
    q = create();
    for (int i = 0; i < 100; i++)
        put(q, 1 + i % 3, "message");
    ok(msgctl(q, IPC_RMID, NULL));
    fails(send_text(q, 1, "text", IPC_NOWAIT), EINVAL);
    fails(msgrcv(q, &(struct message){0}, 32, 0, IPC_NOWAIT), EINVAL);
}

static void ignores_buffer(void **state)
{
    (void)state;
    ok(msgctl(create(), IPC_RMID, NULL));
    ok(msgctl(create(), IPC_RMID, (struct msqid_ds *)(intptr_t)1));
}

static int without_mode(void *arg)
{
    int q;

    (void)arg;
    become(USER);
    must((q = msgget(key(0), IPC_CREAT | 0)) >= 0);
    must(msgctl(q, IPC_RMID, NULL) == 0);
    must_fail(msgget(key(0), 0), ENOENT);
    return 0;
}

static void needs_no_mode(void **state)
{
    (void)state;
    assert_int_equal(in_child(without_mode, NULL), 0);
}

/* Both the one that is created and the one that removes may be any process. */
static int removes_it(void *arg)
{
    return msgctl(*(int *)arg, IPC_RMID, NULL) == 0 ? 0 : errno;
}

static void one_removes(void **state)
{
    enum { RACERS = 8 };
    pid_t pid[RACERS];

    (void)state;
    for (int turn = 0; turn < 20; turn++) {
        int q = create(), removed = 0;

        for (int i = 0; i < RACERS; i++)
            pid[i] = spawn(removes_it, &q);
        for (int i = 0; i < RACERS; i++) {
            int r = reap(pid[i]);

            assert_true(r == 0 || r == EINVAL || r == EIDRM);
            removed += r == 0;
        }
        assert_int_equal(removed, 1);
    }
}

static void again_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        int q = (int)ok(msgget(key(i % KEYS), IPC_CREAT | IPC_EXCL | 0600));

        put(q, 1, "text");
        ok(msgctl(q, IPC_RMID, NULL));
    }
}

/* Under way in it, not blocked, when it goes: EIDRM or EINVAL, and nothing else. */
static int uses_it(void *arg)
{
    int q = *(int *)arg, error = 0;

    shared->ready++;
    while (!error) {
        struct message m;

        if (send_text(q, 1, "text", IPC_NOWAIT) == -1 && errno != EAGAIN)
            error = errno;
        else if (msgrcv(q, &m, sizeof(m.text), 0, IPC_NOWAIT) == -1 && errno != ENOMSG)
            error = errno;
    }
    must(error == EIDRM || error == EINVAL);
    return 0;
}

static void in_use(void **state)
{
    pid_t pid[3];

    (void)state;
    for (int turn = 0; turn < 10; turn++) {
        int q = create();

        shared->ready = 0;
        for (int i = 0; i < 3; i++)
            pid[i] = spawn(uses_it, &q);
        await(shared->ready == 3);
        await(status(q).msg_lspid);
        ok(msgctl(q, IPC_RMID, NULL));
        for (int i = 0; i < 3; i++)
            assert_int_equal(reap(pid[i]), 0);
    }
}

int group_rmid(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgctl(2): IPC_RMID removes the message queue immediately", removes),
        SAYS("POSIX: IPC_RMID destroys the message queue and what is in it", with_messages),
        SAYS("msgctl(2): the third argument is ignored in this case", ignores_buffer),
        SAYS("msgctl(2): IPC_RMID asks for ownership, not for permissions", needs_no_mode),
        SAYS("POSIX: of processes that remove one queue at once, one succeeds", one_removes),
        SAYS("sysvipc(7): created and removed, a thousand times", again_and_again),
        SAYS("msgctl(2): EIDRM or EINVAL for who uses the queue at that moment", in_use),
    };

    return RUN("IPC_RMID", tests);
}

/* Queues across fork and exec, and the ends of processes. */
#include "sysv.h"

#include <signal.h>

/* Executed: this program has never seen the queue. */
int send_to(const char *id)
{
    return send_text(atoi(id), 4, "executed", IPC_NOWAIT) == 0 ? 0 : errno;
}

static int execute(void *arg)
{
    char id[16];

    snprintf(id, sizeof(id), "%d", *(int *)arg);
    execl("/proc/self/exe", "sysv_compat", "--send-to", id, (char *)NULL);
    return 253;
}

static void across_exec(void **state)
{
    int q;

    (void)state;
    q = create();
    assert_int_equal(in_child(execute, &q), 0);
    expect(q, 0, 0, 4, "executed");
}

static int use_inherited(void *arg)
{
    int q = *(int *)arg;

    expect(q, 0, 0, 1, "to the child");
    put(q, 2, "to the parent");
    return 0;
}

static void across_fork(void **state)
{
    int q;

    (void)state;
    q = create();
    put(q, 1, "to the child");
    assert_int_equal(in_child(use_inherited, &q), 0);
    expect(q, 0, 0, 2, "to the parent");
}

static int create_in_child(void *arg)
{
    (void)arg;
    shared->number[0] = msgget(key(0), IPC_CREAT | IPC_EXCL | 0600);
    must(shared->number[0] >= 0);
    put((int)shared->number[0], 3, "from the child");
    return 0;
}

static void parent_uses_childs(void **state)
{
    (void)state;
    assert_int_equal(in_child(create_in_child, NULL), 0);
    expect((int)shared->number[0], 0, 0, 3, "from the child");
    get(key(0), 0);
}

static int grandchild(void *arg)
{
    return in_child(use_inherited, arg);
}

static void across_two_forks(void **state)
{
    int q;

    (void)state;
    q = create();
    put(q, 1, "to the child");
    assert_int_equal(in_child(grandchild, &q), 0);
    expect(q, 0, 0, 2, "to the parent");
}

static int ends_after_sending(void *arg)
{
    put(*(int *)arg, 6, "last words");
    raise(SIGKILL);
    return 0;
}

static void killed_after_sending(void **state)
{
    int q;

    (void)state;
    q = create();
    assert_int_equal(in_child(ends_after_sending, &q), 1000 + SIGKILL);
    expect(q, 0, 0, 6, "last words");
    assert_int_equal(status(q).msg_qnum, 0);
}

/* Killed in its wait, it has not touched the queue. */
static void killed_while_blocked(void **state)
{
    pid_t pid;
    int q;

    q = create_blocking(which(state));
    for (int i = 0; i < 5; i++) {
        pid = spawn_blocked(which(state), q);
        kill(pid, SIGKILL);
        assert_int_equal(reap(pid), 1000 + SIGKILL);
    }
    untouched(which(state), q);
    pid = spawn_blocked(which(state), q);
    unblock(which(state), q);
    assert_int_equal(reap(pid), 0);
}

static int child_removes(void *arg)
{
    return msgctl(*(int *)arg, IPC_RMID, NULL) == 0 ? 0 : errno;
}

static void child_removes_parents(void **state)
{
    int q;

    (void)state;
    q = get(key(0), IPC_CREAT | 0600);
    put(q, 1, "text");
    assert_int_equal(in_child(child_removes, &q), 0);
    fails(send_text(q, 1, "text", IPC_NOWAIT), EINVAL);
    fails(msgget(key(0), 0), ENOENT);
}

/* Two processes talk for a while, each waiting for the other. */
static int answer(void *arg)
{
    struct message m = {0};
    int q = *(int *)arg;

    for (int i = 0; i < 1000; i++) {
        must(msgrcv(q, &m, sizeof(m.text), 1, 0) == 1);
        m.type = 2;
        must(msgsnd(q, &m, 1, 0) == 0);
    }
    return 0;
}

static void dialogue(void **state)
{
    pid_t pid;
    int q;

    (void)state;
    q = create();
    pid = spawn(answer, &q);
    for (int i = 0; i < 1000; i++) {
        struct message m = {1, {(char)i}};

        ok(msgsnd(q, &m, 1, 0));
        assert_int_equal(ok(msgrcv(q, &m, sizeof(m.text), 2, 0)), 1);
        assert_int_equal(m.text[0], (char)i);
    }
    assert_int_equal(reap(pid), 0);
}

int group_fork(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("sysvipc(7): the identifier is valid in a child", across_fork),
        SAYS("sysvipc(7): the identifier is valid in a grandchild", across_two_forks),
        SAYS("sysvipc(7): the identifier is valid in a program that is executed", across_exec),
        SAYS("sysvipc(7): the identifier of a child's queue is valid in its parent",
             parent_uses_childs),
        SAYS("sysvipc(7): a message stays when its sender is killed", killed_after_sending),
        BOTH_CALLS("POSIX: killed while it was blocked, it leaves the queue as it was",
                   killed_while_blocked),
        SAYS("sysvipc(7): a child may remove its parent's queue", child_removes_parents),
        SAYS("POSIX: two processes in a dialogue by two types of one queue", dialogue),
    };

    return RUN("processes", tests);
}

/* Descriptors after fork and exec. */
#include "compat.h"

#include <pthread.h>
#include <sys/wait.h>

static mqd_t q;

static int use(void *arg)
{
    char buffer[32];

    (void)arg;
    if (mq_receive(q, buffer, sizeof(buffer), NULL) != 3 || memcmp(buffer, "to ", 3) != 0)
        return 250;
    return mq_send(q, "from", 4, 2) == 0 ? 0 : errno;
}

static void inherited(void **state)
{
    (void)state;
    q = create(0, 4);
    put(q, "to ", 1);
    assert_int_equal(in_child(use, NULL), 0);
    expect(q, "from", 2);
}

static int grandchild(void *arg)
{
    return in_child(use, arg);
}

static void inherited_twice(void **state)
{
    (void)state;
    q = create(0, 4);
    put(q, "to ", 1);
    assert_int_equal(in_child(grandchild, NULL), 0);
    expect(q, "from", 2);
}

static int close_it(void *arg)
{
    (void)arg;
    return mq_close(q) == 0 && mq_close(q) == -1 ? errno : 250;
}

static void childs_close(void **state)
{
    (void)state;
    q = create(0, 4);
    assert_int_equal(in_child(close_it, NULL), EBADF);
    put(q, "x", 1);
    expect(q, "x", 1);
}

static int use_when_told(void *arg)
{
    await(shared->ready);
    return use(arg);
}

static void parents_close(void **state)
{
    pid_t pid;

    (void)state;
    q = create(0, 4);
    put(q, "to ", 1);
    pid = spawn(use_when_told, NULL);
    ok(mq_close(q));
    shared->ready = 1;
    assert_int_equal(reap(pid), 0);
    expect(reopen(O_RDONLY), "from", 2);
}

static int check_access(void *arg)
{
    char buffer[32];

    (void)arg;
    return mq_receive(q, buffer, sizeof(buffer), NULL) == -1 ? errno : 0;
}

static void access_inherited(void **state)
{
    (void)state;
    create(0, 4);
    q = reopen(O_WRONLY);
    assert_int_equal(in_child(check_access, NULL), EBADF);
}

static void closed_by_exec(void **state)
{
    char command[100];
    int status;

    (void)state;
    q = create(0, 4);
    snprintf(command, sizeof(command), "test ! -e /proc/self/fd/%d", q);
    status = system(command);
    assert_int_equal(status, 0);
    put(q, "x", 1);
    expect(q, "x", 1);
}

static int many_messages(void *arg)
{
    for (int i = 0; i < 300; i++)
        if (mq_send(q, (char *)&arg, sizeof(arg), 0) != 0)
            return errno;
    return 0;
}

static void many_children(void **state)
{
    int got[6] = {0};
    pid_t pid[6];

    (void)state;
    q = create(0, 3);
    for (int i = 0; i < 6; i++)
        pid[i] = spawn(many_messages, (void *)(intptr_t)i);
    for (int i = 0; i < 6 * 300; i++) {
        intptr_t from = 99;
        char buffer[32];

        assert_int_equal(ok(mq_receive(q, buffer, sizeof(buffer), NULL)), sizeof(from));
        memcpy(&from, buffer, sizeof(from));
        assert_true(from >= 0 && from < 6);
        got[from]++;
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(reap(pid[i]), 0);
        assert_int_equal(got[i], 300);
    }
    assert_int_equal(count(q), 0);
}

/* Forking while another thread sends and receives all the time. */
static _Atomic bool stop;

static void *busy(void *arg)
{
    mqd_t own = *(mqd_t *)arg;
    char buffer[32];
    long bad = 0;

    while (!stop)
        bad +=
            mq_send(own, "busy", 4, 0) != 0 || mq_receive(own, buffer, sizeof(buffer), NULL) != 4;
    return (void *)bad;
}

static void forks_beside_threads(void **state)
{
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 32};
    pthread_t thread;
    mqd_t busy_queue;
    void *bad;

    (void)state;
    q = create(0, 4);
    busy_queue = (mqd_t)ok(mq_open(name(1), O_CREAT | O_EXCL | O_RDWR, 0600, &attr));
    stop = false;
    assert_int_equal(pthread_create(&thread, NULL, busy, &busy_queue), 0);
    for (int i = 0; i < 100; i++) {
        put(q, "to ", 1);
        assert_int_equal(in_child(use, NULL), 0);
        expect(q, "from", 2);
    }
    stop = true;
    assert_int_equal(pthread_join(thread, &bad), 0);
    assert_null(bad);
}

/* What is inherited needs no permission any more. */
static int drops_rights(void *arg)
{
    return setgid(65534) == 0 && setuid(65534) == 0 ? use(arg) : 240;
}

static void child_of_another_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skip: not root\n");
        skip();
    }
    q = create(0, 4);
    put(q, "to ", 1);
    assert_int_equal(in_child(drops_rights, NULL), 0);
    expect(q, "from", 2);
}

int group_fork(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_overview(7): a child inherits copies of its parent's descriptors", inherited),
        SAYS("mq_overview(7): and so does its child", inherited_twice),
        SAYS("mq_overview(7): the child's mq_close leaves the parent's descriptor", childs_close),
        SAYS("mq_overview(7): the parent's mq_close leaves the child's descriptor", parents_close),
        SAYS("mq_overview(7): the child's descriptor has the same access mode", access_inherited),
        SAYS("mq_overview(7): message queue descriptors are closed by execve(2)", closed_by_exec),
        SAYS("credentials(7): a child that gives up its rights keeps its parent's descriptors",
             child_of_another_user),
        SAYS("POSIX: parent and children use the queue at the same time", many_children),
        SAYS("fork(2): a child of a program with threads can use its descriptors",
             forks_beside_threads),
    };

    return RUN("fork and exec", tests);
}

/* Runs all groups; what the cases of <sys/msg.h> have in common. */
#include "kernels.h"
#include "sysv.h"

#include <grp.h>
#include <sched.h>

#define QUEUES 64 /* of a case, by get() */

static key_t first_key;
static int queues[QUEUES], queue_count;

key_t key(int i)
{
    return first_key + i;
}

int get(key_t k, int flags)
{
    int q = (int)ok(with_others() ? others_get(k, flags) : msgget(k, flags));

    assert_in_range(queue_count, 0, QUEUES - 1);
    queues[queue_count++] = q;
    return q;
}

int create(void)
{
    return get(IPC_PRIVATE, 0600);
}

int end(void **state)
{
    (void)state;
    end_case();
    while (queue_count > 0)
        msgctl(queues[--queue_count], IPC_RMID, NULL);
    for (int i = 0; i < KEYS; i++)
        msgctl(msgget(key(i), 0), IPC_RMID, NULL);
    return 0;
}

int send_text(int q, long type, const char *text, int flags)
{
    struct message m = {.type = type};

    strncpy(m.text, text, sizeof(m.text) - 1);
    return msgsnd(q, &m, strlen(text), flags);
}

void put(int q, long type, const char *text)
{
    ok(send_text(q, type, text, IPC_NOWAIT));
}

void expect(int q, long wanted_type, int flags, long type, const char *text)
{
    struct message m = {0};
    long n = ok(msgrcv(q, &m, sizeof(m.text) - 1, wanted_type, flags | IPC_NOWAIT));

    m.text[n] = 0;
    assert_string_equal(m.text, text);
    assert_int_equal(m.type, type);
}

void expect_none(int q, long wanted_type, int flags)
{
    struct message m;

    fails(msgrcv(q, &m, sizeof(m.text), wanted_type, flags | IPC_NOWAIT), ENOMSG);
}

struct msqid_ds status(int q)
{
    struct msqid_ds ds;

    memset(&ds, 0x55, sizeof(ds));
    ok(msgctl(q, IPC_STAT, &ds));
    return ds;
}

void set_qbytes(int q, unsigned long bytes)
{
    struct msqid_ds ds = status(q);

    ds.msg_qbytes = bytes;
    ok(msgctl(q, IPC_SET, &ds));
}

void set_mode(int q, unsigned mode)
{
    struct msqid_ds ds = status(q);

    ds.msg_perm.mode = (unsigned short)mode;
    ok(msgctl(q, IPC_SET, &ds));
}

struct msginfo limits(void)
{
    struct msginfo info;

    memset(&info, 0x55, sizeof(info));
    ok(msgctl(0, IPC_INFO, (struct msqid_ds *)&info));
    return info;
}

/* --- calls that block --------------------------------------------------------------------------
 */

/* What a receiver waits for is of type 5; what is there meanwhile does not suit it. */
#define AWAITED 5
static const struct {
    long wanted;
    int flags;
    long unsuited; /* 0: all would do, so none is there */
} ways[] = {[RECEIVE] = {0, 0, 0},
            [RECEIVE_TYPE] = {AWAITED, 0, 4},
            [RECEIVE_LOWEST] = {-AWAITED, 0, 6},
            [RECEIVE_OTHER] = {7, MSG_EXCEPT, 7}};

int create_blocking(enum call call)
{
    int q = create();

    set_qbytes(q, 8);
    if (call == SEND)
        put(q, 3, "old text");
    else if (ways[call].unsuited)
        put(q, ways[call].unsuited, "old");
    return q;
}

int blocking_call(enum call call, int q)
{
    struct message m;

    if (call == SEND)
        return send_text(q, AWAITED, "new", 0);
    return (int)msgrcv(q, &m, sizeof(m.text), ways[call].wanted, ways[call].flags);
}

void unblock(enum call call, int q)
{
    if (call == SEND)
        expect(q, 3, 0, 3, "old text");
    else
        put(q, AWAITED, "new");
}

void untouched(enum call call, int q)
{
    struct msqid_ds ds = status(q);

    if (call == SEND) {
        expect(q, 0, 0, 3, "old text");
        put(q, 3, "old text");
    } else if (ways[call].unsuited) {
        expect(q, 0, 0, ways[call].unsuited, "old");
        put(q, ways[call].unsuited, "old");
    }
    assert_int_equal(ds.msg_qnum, call == SEND || ways[call].unsuited != 0);
}

struct blocked {
    enum call call;
    int q;
};

static int blocked_child(void *arg)
{
    const struct blocked *b = arg;

    shared->ready = 1;
    return blocking_call(b->call, b->q) == -1 ? errno : 0;
}

pid_t spawn_blocked(enum call call, int q)
{
    struct blocked b = {call, q};
    pid_t pid;

    shared->ready = 0;
    pid = spawn(blocked_child, &b);
    await_blocked(pid);
    return pid;
}

/* --- users -------------------------------------------------------------------------------------
 */

void need_root(void)
{
    if (geteuid() != 0) {
        print_message("skip: not root\n");
        skip();
    }
}

void become(uid_t user)
{
    must(geteuid() != 0 || (setgroups(0, NULL) == 0 && setgid(user) == 0 && setuid(user) == 0));
}

/* --- main --------------------------------------------------------------------------------------
 */

/* A run that was meant for mqx's queues must not pass on the kernel's by mistake. */
static bool choose_queues(void)
{
    bool wrong = false;
    int kernels = sysv_kernels(getenv("LD_PRELOAD"), &wrong);

    if (kernels == -1)
        perror("msgget");
    if (wrong)
        fprintf(stderr, "LD_PRELOAD=%s: these are the kernel's queues all the same\n",
                getenv("LD_PRELOAD"));
    if (kernels == 1 && !wrong && unshare(CLONE_NEWIPC) != 0)
        fprintf(stderr, "on queues that other programs see: unshare: %s\n", strerror(errno));
    return kernels != -1 && !wrong;
}

/* Arguments: --others, names of groups. */
int main(int argc, char **argv)
{
    bool others = argc > 1 && strcmp(argv[1], "--others") == 0;
    int failed = 0;

    if (argc == 3 && strcmp(argv[1], "--send-to") == 0)
        return send_to(argv[2]);
    if (!choose_queues())
        return 1;
    begin_cases();
    if (others && !others_begin())
        return 1;
    argv += others;
    first_key = (key_t)(0x6d000000 | (getpid() & 0x3fffff) * KEYS);
#define GROUP(name) failed += wanted(#name, argv + 1) ? group_##name() : 0;
    GROUPS(GROUP)
#undef GROUP
    return failed > 0;
}

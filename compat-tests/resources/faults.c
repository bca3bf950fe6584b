/*
 * Every system call of an operation fails, one after the other, as it would for
 * want of something: mq_open, mq_unlink, and a process's first send and receive,
 * small and large.  Each time the operation either works nevertheless or says
 * what was missing, leaves nothing behind, and works when it is tried again.
 *
 * A seccomp filter hands the calls to a supervisor, which lets all but the n-th
 * through; n goes up until the operation makes no n-th.
 */
#include "resources.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>

/* What fails, and how.  Closing, unmapping and unlinking never fail for want of anything. */
static const struct {
    int number, error, error2; /* in turn; 0: always the first */
} calls[] = {
    {SYS_openat, EMFILE, ENFILE},   {SYS_mmap, ENOMEM, 0},      {SYS_madvise, ENOMEM, 0},
    {SYS_ftruncate, ENOSPC, 0},     {SYS_fallocate, ENOSPC, 0}, {SYS_mkdirat, ENOSPC, EDQUOT},
    {SYS_mknodat, ENOSPC, ENOMEM},  {SYS_linkat, ENOSPC, 0},    {SYS_renameat2, ENOSPC, ENOMEM},
    {SYS_pwrite64, ENOSPC, ENOMEM}, {SYS_pread64, EIO, 0},      {SYS_statx, ENOMEM, 0},
    {SYS_fchmod, EIO, 0},           {SYS_fchmodat, EIO, 0},     {SYS_getdents64, ENOMEM, 0},
    {SYS_fcntl, ENOLCK, 0}, /* the last */
};
#define CALLS (sizeof(calls) / sizeof(*calls))

/* What supervisor and operation tell each other. */
static struct {
    _Atomic int listener; /* the operation's descriptor of the filter; -1: not yet */
    _Atomic bool armed;   /* count, and fail the n-th */
    _Atomic int seen;     /* calls while armed */
    _Atomic int fault;    /* what the n-th failed with; 0: there was none */
    _Atomic int call;     /* and which it was */
} * shared;

/* --- the filter ---------------------------------------------------------------------------------
 */

static void add(struct sock_fprog *p, struct sock_filter f)
{
    p->filter[p->len++] = f;
}

#define LOAD(field)            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(is, value, yes, no) BPF_JUMP(BPF_JMP | (is) | BPF_K, (unsigned)(value), yes, no)
#define ANSWER(what)           BPF_STMT(BPF_RET | BPF_K, what)

/* Calls of the table are reported; of fcntl only what locks and asks for locks. */
static int install_filter(void)
{
    struct sock_filter code[2 * CALLS + 8];
    struct sock_fprog p = {0, code};

    add(&p, (struct sock_filter)LOAD(nr));
    for (size_t i = 0; i < CALLS; i++) {
        add(&p, (struct sock_filter)IF(BPF_JEQ, calls[i].number, 0, i < CALLS - 1 ? 1 : 4));
        if (i == CALLS - 1) {
            add(&p, (struct sock_filter)LOAD(args[1]));
            add(&p, (struct sock_filter)IF(BPF_JGE, F_OFD_GETLK, 0, 2));
            add(&p, (struct sock_filter)IF(BPF_JGT, F_OFD_SETLKW, 1, 0));
        }
        add(&p, (struct sock_filter)ANSWER(SECCOMP_RET_USER_NOTIF));
    }
    add(&p, (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW));
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &p);
}

static int error_for(int number, int n)
{
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].number == number)
            return n % 2 && calls[i].error2 ? calls[i].error2 : calls[i].error;
    return 0;
}

/* Answer the operation's calls until it is over; the n-th of those that count fails. */
static void supervise(int listener, int n)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};

    while (poll(&p, 1, -1) >= 0 && p.revents & POLLIN) {
        struct seccomp_notif call = {0};
        struct seccomp_notif_resp answer = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};

        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
            continue;
        answer.id = call.id;
        if (shared->armed && ++shared->seen == n) {
            shared->call = call.data.nr;
            shared->fault = error_for(call.data.nr, n);
            answer.flags = 0;
            answer.error = -shared->fault;
        }
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

/* --- operations ---------------------------------------------------------------------------------
 */

static mqd_t queue; /* there before the operation; large enough for all of them */

#define MAXMSG  5000
#define MSGSIZE 9000

static long create(void)
{
    return mq_open("/new", O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, NULL);
}

static long open_existing(void)
{
    return mq_open("/q", O_RDWR | O_NONBLOCK);
}

static long unlink_queue(void)
{
    return mq_unlink("/old");
}

static long send_small(void)
{
    return send_numbered(queue, 7, 100);
}

static long send_large(void)
{
    return send_numbered(queue, 7, MSGSIZE);
}

static long receive(void)
{
    static char text[MSGSIZE];

    return mq_receive(queue, text, sizeof(text), NULL);
}

struct operation {
    long (*run)(void);
    long messages; /* in the queue before it: the last one is the first to be received */
    size_t len;
    bool opens; /* gives a descriptor */
};

/* Errors that say what was missing, or that the queue is not to be had for want of it. */
static bool says_so(int error, int fault)
{
    return error == fault || (fault == ENOMEM && error == ENOSPC) ||
           (fault == ENOLCK && error == ENOSPC);
}

static void check_held(long fds, long maps, long kept, const char *when)
{
    shared->armed = false;
    must(open_descriptors() == fds, "%s: %ld descriptors, then %ld (call %d)", when, fds,
         open_descriptors(), shared->call);
    must(mappings("/queues/") == maps, "%s: %ld queues mapped, then %ld (call %d)", when, maps,
         mappings("/queues/"), shared->call);
    must(mappings("/clients/") <= 2, "%s: registry mapped %ld times (call %d)", when,
         mappings("/clients/"), shared->call);
    must(files() == kept, "%s: %ld files, then %ld (call %d)", when, kept, files(), shared->call);
}

/* In a process of its own, under the filter. */
static void operate(const struct operation *o)
{
    long fds, maps = mappings("/queues/"), kept = files(), before = count(queue), got;

    shared->listener = install_filter();
    must(shared->listener >= 0, "seccomp: %s", strerror(errno));
    fds = open_descriptors();
    shared->armed = true;
    got = o->run();
    shared->armed = false;
    if (got == -1) {
        must(shared->fault != 0, "fails without a fault: %s", strerror(errno));
        must(says_so(errno, shared->fault), "call %d fails with %s: says %s", shared->call,
             strerror(shared->fault), strerror(errno));
        check_held(fds, maps, kept, "after it failed");
        must(count(queue) == before, "%ld messages, then %ld", before, count(queue));
        got = o->run();
        must(got != -1, "does not work afterwards (call %d): %s", shared->call, strerror(errno));
    }
    if (o->opens) {
        must_work(send_numbered((mqd_t)got, 1, 10), "mq_send to what was opened");
        must_work(mq_close((mqd_t)got), "mq_close");
    }
}

/* Every call of the operation, each in a process that has not used the queue before. */
static void fail_each_call(const struct operation *o)
{
    static char text[MSGSIZE];
    int n = 0;

    do {
        pid_t child;
        int pidfd, listener;

        queue = new_queue("/q", MAXMSG, MSGSIZE); /* without the pages that the last one got */
        for (long i = 0; i < o->messages; i++)
            must_work(mq_send(queue, text, o->len, i == o->messages - 1), "mq_send");
        if (o->run == unlink_queue)
            mq_close(new_queue("/old", 10, 100));
        shared->listener = -1;
        shared->seen = shared->fault = 0;
        n++;
        child = clone_child();
        if (child == 0) {
            operate(o);
            _exit(0);
        }
        while (shared->listener == -1 && waitpid(child, NULL, WNOHANG) == 0)
            nap(100);
        pidfd = (int)syscall(SYS_pidfd_open, child, 0);
        listener = (int)syscall(SYS_pidfd_getfd, pidfd, shared->listener, 0);
        must(listener >= 0, "pidfd_getfd: %s", strerror(errno));
        supervise(listener, n);
        close(listener);
        close(pidfd);
        join_child(child, "the operation");
        if (o->run == create)
            must_work(mq_unlink("/new"), "mq_unlink");
        must_work(mq_close(queue), "mq_close");
        must_work(mq_unlink("/q"), "mq_unlink");
        must(files() == 0, "%ld files left (call %d)", files(), shared->call);
    } while (shared->fault != 0 && n < 1000);
    must(n > 3, "only %d calls", n - 1);
    printf("# %d system calls failed\n", n - 1);
}

static void creating(void)
{
    fail_each_call(&(struct operation){create, 0, 0, true});
}

static void opening(void)
{
    fail_each_call(&(struct operation){open_existing, 0, 0, true});
}

static void unlinking(void)
{
    fail_each_call(&(struct operation){unlink_queue, 0, 0, false});
}

static void sending(void)
{
    fail_each_call(&(struct operation){send_small, 5, 100, false});
}

static void sending_large(void)
{
    fail_each_call(&(struct operation){send_large, 5, 100, false});
}

/* The queue has to get more slots. */
static void sending_more(void)
{
    fail_each_call(&(struct operation){send_small, 64, 100, false});
}

static void receiving(void)
{
    fail_each_call(&(struct operation){receive, 5, 100, false});
}

/* Pages are given back: those of the first 64 slots stay. */
static void receiving_large(void)
{
    fail_each_call(&(struct operation){receive, 65, MSGSIZE, false});
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(creating),      CASE(opening),      CASE(unlinking), CASE(sending),
        CASE(sending_large), CASE(sending_more), CASE(receiving), CASE(receiving_large),
    };

    shared = shared_memory(sizeof(*shared));
    return run_cases(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

/*
 * What an actor does before its call is what any process did before: it has its
 * client number, its thread's note, and has sent and received.  Unless that is
 * what is looked at.
 */
#include "actors.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define FUTEX_WAITV 449

void message_build(char *room, uint32_t sender, uint64_t number, unsigned prio, size_t len)
{
    struct storm_msg *msg = (struct storm_msg *)room;

    memset(room, (int)(number * 7 + sender), len);
    msg->sender = sender;
    msg->round = prio;
    msg->number = number;
    msg->sum = storm_sum(msg, len);
}

bool message_whole(const char *room, size_t len)
{
    const struct storm_msg *msg = (const struct storm_msg *)room;

    return msg->sum == storm_sum(msg, len);
}

bool actor_over(const struct actor *a)
{
    return atomic_load(&a->phase) == TRACE_OVER;
}

/* From here on the kernel answers this system call, if its argument (where that is 0 or more) is
 * this, with an error. */
static void refuse(uint32_t call, int argument, uint32_t value, uint32_t error)
{
    const uint32_t at =
        argument < 0 ? offsetof(struct seccomp_data, nr)
                     : offsetof(struct seccomp_data, args) + (uint32_t)argument * sizeof(uint64_t);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argument < 0 ? call : value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        storm_die("seccomp");
}

static void go_elsewhere(void)
{
    cpu_set_t others;

    memset(&others, 0xff, sizeof others);
    CPU_CLR(sched_getcpu(), &others);
    sched_setaffinity(0, sizeof others, &others); /* fails where there is one only */
}

static mqd_t open_own(const struct actor *a)
{
    bool waits = a->how & (WAITS | TIMES_OUT);

    return mq_open(a->queue, O_RDWR | (waits ? 0 : O_NONBLOCK));
}

static const struct sigevent silent = {.sigev_notify = SIGEV_NONE};

static bool notifies(const struct actor *a)
{
    return a->act == REGISTER || a->act == WITHDRAW || a->how & TO_ITSELF;
}

static void warm_up(const struct actor *a)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    mqd_t other = mq_open(ACTORS_OTHER, O_RDWR | O_NONBLOCK);

    if (notifies(a) && (mq_notify(other, &silent) != 0 || mq_notify(other, NULL) != 0))
        storm_die("an actor's first registration");
    if (other == (mqd_t)-1 || mq_send(other, room, a->len, 1) != 0 ||
        mq_receive(other, room, sizeof room, NULL) < 0 || mq_close(other) != 0)
        storm_die("an actor's first calls");
}

static int64_t transfer(struct actor *a, mqd_t queue, const char *msg)
{
    const struct timespec passed = {1, 0};
    bool late = a->how & TIMES_OUT;

    if (a->how & FIRST_USE)
        queue = open_own(a);
    if (queue == (mqd_t)-1)
        return -1;
    if (a->act == SEND)
        return late ? mq_timedsend(queue, msg, a->len, a->prio, &passed)
                    : mq_send(queue, msg, a->len, a->prio);
    return late ? mq_timedreceive(queue, a->buffer, a->len, &a->prio_received, &passed)
                : mq_receive(queue, a->buffer, a->len, &a->prio_received);
}

static int64_t wait_ready(short events, mqd_t queue)
{
    struct pollfd one = {.fd = queue, .events = events};
    int r = poll(&one, 1, -1);

    return r == 1 ? one.revents : -1;
}

static int64_t act(struct actor *a, mqd_t queue, const char *msg)
{
    switch (a->act) {
    case CREATE:
        return storm_open(a->queue, O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, a->maxmsg, a->len);
    case AWAIT_MESSAGE:
        return wait_ready(POLLIN, queue);
    case AWAIT_ROOM:
        return wait_ready(POLLOUT, queue);
    case REGISTER:
        return mq_notify(queue, &silent);
    case WITHDRAW:
        return mq_notify(queue, NULL);
    case UNLINK:
        return mq_unlink(a->queue);
    default:
        return transfer(a, queue, msg);
    }
}

/* Returns the queue that it uses, if it does not open one in its call. */
static mqd_t prepare(const struct actor *a)
{
    bool names = a->act == CREATE || a->act == UNLINK;
    mqd_t queue = (mqd_t)-1;

    if (!(a->how & FIRST_USE))
        warm_up(a);
    if (!names && !(a->how & FIRST_USE) && (queue = open_own(a)) == (mqd_t)-1)
        storm_die("mq_open");
    if ((a->act == WITHDRAW || a->how & TO_ITSELF) && mq_notify(queue, &silent) != 0)
        storm_die("an actor's registration");
    return queue;
}

static void be_actor(struct actor *a, bool traced)
{
    static _Alignas(16) char msg[STORM_MSG_MAX];
    mqd_t queue = (mqd_t)-1;
    int64_t r;

    message_build(msg, a->id, a->id, a->prio, a->len);
    if (a->ready)
        a->ready(a);
    else
        queue = prepare(a);
    if (a->how & ELSEWHERE)
        go_elsewhere();
    if (a->how & OLD_KERNEL) {
        refuse(SYS_madvise, 2, MADV_POPULATE_WRITE, EINVAL);
        refuse(FUTEX_WAITV, -1, 0, ENOSYS);
    }
    if (traced) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
#ifdef __x86_64__
        __asm__ volatile("int3");
#endif
    }
    r = a->call ? a->call(a) : act(a, queue, msg);
    atomic_store(&a->error, errno);
    atomic_store(&a->result, r);
    atomic_store(&a->phase, TRACE_OVER);
    while (traced)
        raise(SIGSTOP);
    for (;;)
        pause();
}

static void start(struct actor *a, bool traced)
{
    pid_t pid;

    atomic_store(&a->phase, 0);
    atomic_store(&a->result, -1);
    a->dead = a->must_succeed = false;
    memset(a->buffer, 0, a->len);
    pid = storm_fork();
    if (pid == 0)
        be_actor(a, traced);
    a->pid = pid; /* not in the child: *a is shared */
}

void actor_begin_traced(struct actor *a)
{
    struct traced t = {.pid = 0, .phase = &a->phase};

    start(a, true);
    t.pid = a->pid;
    trace_begin(&t);
}

void actor_begin(struct actor *a)
{
    start(a, false);
}

static bool wait_for(const struct actor *a, bool asleep, uint64_t ns)
{
    uint64_t begin = storm_now();

    while (!actor_over(a) && !(asleep && trace_asleep(a->pid))) {
        if (storm_now() - begin > ns)
            return false;
        storm_nap(20000);
    }
    return true;
}

bool actor_wait_asleep(const struct actor *a)
{
    return wait_for(a, true, STORM_LIMIT_NS);
}

bool actor_wait_over(const struct actor *a, uint64_t ns)
{
    return wait_for(a, false, ns);
}

void actor_end(struct actor *a)
{
    kill(a->pid, SIGKILL);
    waitpid(a->pid, NULL, 0);
}

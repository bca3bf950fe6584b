/*
 * One measurement, in a process of its own: on the kernel's queues, or, when
 * our library is preloaded, on ours.  Prints nanoseconds an operation (deep:
 * a line a round: on the empty queue, on top of the filled one, through it).
 *
 * Every message carries its number and every number is checked: a queue that
 * loses or reorders messages must not look fast.
 *
 *     bench_worker KIND ENGINE MAXMSG SECONDS CPU CPU [FILL ROUNDS]
 *
 * KIND: pair, stream, trip, deep; sysv-pair, sysv-stream, sysv-trip, sysv-type on
 * System V queues, which have room for as many messages.  ENGINE: kernel or mqx, whose queues these
 * must be.  CPU: where the first and second process run, -1: anywhere.
 */
#include "../compat-tests/sysv/kernels.h"

#include <errno.h>
#include <inttypes.h>
#include <mqueue.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MSGSIZE 64
#define BATCH   256 /* operations between two looks at the clock */
#define LAST    UINT64_MAX
#define TIMEOUT 60 /* seconds after which a measurement is taken to hang */

static char names[2][64];
static mqd_t queues[2]; /* or msqids */
static bool sysv;
static long wanted;               /* type: 0, all */
static uint64_t duration, warmup; /* ns */
static int cpus[2];
static pid_t owner;

static void remove_queues(void)
{
    if (getpid() == owner)
        for (int i = 0; i < 2; i++)
            sysv ? msgctl(queues[i], IPC_RMID, NULL) : mq_unlink(names[i]);
}

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    int error = errno;
    va_list args;

    fprintf(stderr, "bench_worker: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (%s)\n", strerror(error));
    exit(1);
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void pin(int cpu)
{
    cpu_set_t set;

    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        die("cannot run on CPU %d", cpu);
}

static void open_queue(int i, long maxmsg, bool kernel)
{
    struct mq_attr attr = {.mq_maxmsg = maxmsg, .mq_msgsize = MSGSIZE};
    struct statx st;

    snprintf(names[i], sizeof names[i], "/bench-%d-%d", (int)getpid(), i);
    queues[i] = mq_open(names[i], O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
    if (queues[i] == (mqd_t)-1)
        die("mq_open %s with maxmsg %ld", names[i], maxmsg);
    /* The kernel's mqd_t is a regular file, ours a FIFO, whatever the library's fstat says. */
    if (syscall(SYS_statx, queues[i], "", AT_EMPTY_PATH, STATX_TYPE, &st) != 0 ||
        S_ISREG(st.stx_mode) != kernel)
        die("these are not the %s queues", kernel ? "kernel's" : "mqx");
}

static void open_sysv(int i, long maxmsg, bool kernel)
{
    struct msqid_ds ds;

    queues[i] = msgget(IPC_PRIVATE, 0600);
    if (queues[i] == -1 || msgctl(queues[i], IPC_STAT, &ds) != 0)
        die("msgget");
    ds.msg_qbytes = (msglen_t)maxmsg * MSGSIZE;
    if (msgctl(queues[i], IPC_SET, &ds) != 0)
        die("IPC_SET of msg_qbytes to %ld messages", maxmsg);
    if (sysv_is_kernels(queues[i]) != kernel)
        die("these are not the %s queues", kernel ? "kernel's" : "mqx");
}

struct typed {
    long type;
    uint64_t number[MSGSIZE / sizeof(uint64_t)];
};

/* A priority is a type here; they are from 1 on. */
static void send_sysv(int i, uint64_t number, unsigned prio)
{
    struct typed message = {1 + (long)prio, {number}};

    message.number[7] = ~number;
    if (msgsnd(queues[i], &message, MSGSIZE, 0) != 0)
        die("msgsnd");
}

static uint64_t receive_sysv(int i)
{
    struct typed message;

    if (msgrcv(queues[i], &message, MSGSIZE, wanted, 0) != MSGSIZE)
        die("msgrcv");
    if (message.number[7] != ~message.number[0] || (wanted && message.type != wanted))
        die("damaged message");
    return message.number[0];
}

static void send_number(int i, uint64_t number, unsigned prio)
{
    uint64_t message[MSGSIZE / sizeof(uint64_t)] = {number};

    if (sysv) {
        send_sysv(i, number, prio);
        return;
    }
    message[7] = ~number;
    if (mq_send(queues[i], (const char *)message, sizeof message, prio) != 0)
        die("mq_send");
}

static uint64_t receive_number(int i)
{
    uint64_t message[MSGSIZE / sizeof(uint64_t)];
    unsigned prio;

    if (sysv)
        return receive_sysv(i);
    if (mq_receive(queues[i], (char *)message, sizeof message, &prio) != sizeof message)
        die("mq_receive");
    if (message[7] != ~message[0])
        die("damaged message");
    return message[0];
}

static void expect(int i, uint64_t number)
{
    uint64_t got = receive_number(i);

    if (got != number)
        die("message %" PRIu64 " came instead of %" PRIu64, got, number);
}

/* --- one process --------------------------------------------------------------------------------
 */

/* Send message `first`, receive the one sent `behind` before it, and so on.  *count: of them. */
static double time_pairs(uint64_t first, uint64_t behind, unsigned prio, uint64_t *count)
{
    uint64_t n = 0, from = 0, start = now(), begun = 0, t;

    do {
        for (int i = 0; i < BATCH; i++, n++) {
            send_number(0, first + n, prio);
            expect(0, first + n - behind);
        }
        t = now();
        if (!begun && t - start >= warmup) {
            begun = t;
            from = n;
        }
    } while (!begun || t - begun < duration);
    *count = n;
    return (double)(t - begun) / (double)(n - from);
}

static void pair(void)
{
    uint64_t count;

    pin(cpus[0]);
    printf("%.2f\n", time_pairs(0, 0, 0, &count));
}

/* Pairs of the one wanted type, behind `fill` messages of another. */
static void type(uint64_t fill)
{
    uint64_t count;

    pin(cpus[0]);
    for (uint64_t n = 0; n < fill; n++)
        send_number(0, n, 0);
    wanted = 2;
    printf("%.2f\n", time_pairs(LAST / 2, 0, 1, &count));
    wanted = 0;
    for (uint64_t n = 0; n < fill; n++)
        expect(0, n);
}

/*
 * A pair on the empty queue, and on top of `fill` messages: one of a higher
 * priority, and one of the same, which goes to the end while the first comes.
 */
static void deep(uint64_t fill, unsigned rounds)
{
    pin(cpus[0]);
    for (unsigned r = 0; r < rounds; r++) {
        double empty, top, fifo;
        uint64_t count;

        empty = time_pairs(0, 0, 1, &count);
        for (uint64_t n = 0; n < fill; n++)
            send_number(0, n, 0);
        top = time_pairs(LAST / 2, 0, 1, &count);
        fifo = time_pairs(fill, fill, 0, &count);
        for (uint64_t n = 0; n < fill; n++)
            expect(0, count + n);
        printf("%.2f %.2f %.2f\n", empty, top, fifo);
    }
}

/* --- two processes ------------------------------------------------------------------------------
 */

static pid_t start_peer(void)
{
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == -1)
        die("fork");
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(cpus[pid == 0]);
    return pid;
}

static void end_peer(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("the other process failed");
}

/* The child sends until its time is over; the parent receives, and measures what came. */
static void stream(void)
{
    uint64_t count, number, from = 0, start = now(), begun = 0;
    pid_t peer = start_peer();

    if (peer == 0) {
        /* At least a batch after the warm-up, however late this process was given a CPU. */
        for (count = 0;; count++) {
            uint64_t t = count % BATCH ? 0 : now();

            if (t && begun && t - begun >= duration)
                break;
            if (t && !begun && t - start >= warmup)
                begun = t;
            send_number(0, count, 0);
        }
        send_number(0, LAST, 0);
        _exit(0);
    }
    for (count = 0; (number = receive_number(0)) != LAST; count++) {
        if (number != count)
            die("message %" PRIu64 " came instead of %" PRIu64, number, count);
        if (!begun && count % BATCH == 0 && now() - start >= warmup) {
            begun = now();
            from = count;
        }
    }
    if (!begun || count == from)
        die("nothing was measured");
    printf("%.2f\n", (double)(now() - begun) / (double)(count - from));
    end_peer(peer);
}

/* The child sends every message back. */
static void trip(void)
{
    uint64_t count = 0, from = 0, start = now(), begun = 0, t;
    pid_t peer = start_peer();

    if (peer == 0) {
        for (uint64_t number = 0; number != LAST;) {
            number = receive_number(0);
            send_number(1, number, 0);
        }
        _exit(0);
    }
    do {
        for (int i = 0; i < BATCH / 16; i++, count++) {
            send_number(0, count, 0);
            expect(1, count);
        }
        t = now();
        if (!begun && t - start >= warmup) {
            begun = t;
            from = count;
        }
    } while (!begun || t - begun < duration);
    printf("%.2f\n", (double)(t - begun) / (double)(count - from));
    send_number(0, LAST, 0);
    expect(1, LAST);
    end_peer(peer);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    bool kernel;
    long maxmsg;

    if (argc < 7) {
        fprintf(stderr, "usage: bench_worker KIND ENGINE MAXMSG SECONDS CPU CPU [FILL ROUNDS]\n"
                        "(bench runs this)\n");
        return 2;
    }
    owner = getpid();
    alarm(TIMEOUT);
    kernel = strcmp(argv[2], "kernel") == 0;
    maxmsg = atol(argv[3]);
    duration = (uint64_t)(atof(argv[4]) * 1e9);
    warmup = duration / 4;
    cpus[0] = atoi(argv[5]);
    cpus[1] = atoi(argv[6]);
    sysv = strncmp(kind, "sysv-", 5) == 0;
    kind += sysv ? 5 : 0;
    (sysv ? open_sysv : open_queue)(0, maxmsg, kernel);
    (sysv ? open_sysv : open_queue)(1, maxmsg < 1000 ? maxmsg : 1000, kernel);
    atexit(remove_queues);
    if (strcmp(kind, "pair") == 0)
        pair();
    else if (strcmp(kind, "stream") == 0)
        stream();
    else if (strcmp(kind, "trip") == 0)
        trip();
    else if (strcmp(kind, "type") == 0 && sysv)
        type((uint64_t)maxmsg - 1);
    else if (strcmp(kind, "deep") == 0 && argc == 9)
        deep(strtoull(argv[7], NULL, 10), (unsigned)atoi(argv[8]));
    else
        die("no such measurement: %s", argv[1]);
    return 0;
}

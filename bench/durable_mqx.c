/*
 * mqx, with an mqxd of its own.  It is used in processes that end after that,
 * so that each finds queues and mqxd as they are then: mqx_restore takes all
 * memory away.
 */
#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAXMSG 1000000 /* more than are sent in a turn */
#define COMMIT 4096    /* changes that surely fit into one */
#define BATCH  1000

static const char *program;
static pid_t mqxd;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void failed(const char *what)
{
    durable_fail(what, strerror(errno));
}

/* --- mqxd ------------------------------------------------------------------------------------- */

void mqx_begin(const char *mqxd_program)
{
    FILE *conf;

    program = mqxd_program;
    setenv("MQX_DIR", durable_memory(), 1);
    setenv("MQX_CONF", durable_path("mqx.conf"), 1);
    unsetenv("MQX_MOUNT");
    conf = fopen(durable_path("mqx.conf"), "w");
    if (!conf || fputs("[sync-*]\ndurable = sync\n[async-*]\ndurable = async\n", conf) < 0 ||
        fclose(conf) != 0)
        failed("cannot write mqx.conf:");
}

static bool is_ready(void)
{
    char line[200];
    bool ready = false;
    FILE *log = fopen(durable_path("mqxd.log"), "r");

    while (log && !ready && fgets(line, sizeof line, log))
        ready = strcmp(line, "mqxd: ready\n") == 0;
    if (log)
        fclose(log);
    return ready;
}

static void start(void)
{
    char store[4200];
    const char *args[] = {program, "--store", store, NULL};

    snprintf(store, sizeof store, "%s", durable_path("mqx"));
    unlink(durable_path("mqxd.log"));
    mqxd = durable_serve("mqxd", args, NULL);
    durable_await(mqxd, "mqxd", is_ready);
}

static const char *missing(void)
{
    return program ? NULL : "mqxd: say --mqxd PROGRAM";
}

/* --- queues ----------------------------------------------------------------------------------- */

static mqd_t open_queue(const char *kind, size_t size, long maxmsg, int flags)
{
    struct mq_attr attr = {.mq_maxmsg = maxmsg, .mq_msgsize = (long)size};
    char name[64];
    mqd_t q;

    snprintf(name, sizeof name, "/%s-%zu", kind, size);
    q = mq_open(name, O_RDWR | O_CREAT | flags, 0600, &attr);
    if (q < 0)
        failed("cannot open a queue:");
    return q;
}

static void send_one(mqd_t q, const char *message, size_t size)
{
    if (mq_send(q, message, size, 0) != 0)
        failed("cannot send:");
}

/* All that are there; how many were. */
static long receive_all(mqd_t q, size_t size)
{
    char message[SIZE_MAX_MESSAGE];
    long count = 0;

    while (mq_receive(q, message, size, NULL) >= 0)
        count++;
    if (errno != EAGAIN)
        failed("cannot receive:");
    return count;
}

static void in_child(void (*what)(void *), void *arg)
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        what(arg);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        durable_fail("a process failed", NULL);
}

static void *sender_open(size_t size)
{
    mqd_t *q = malloc(sizeof *q);

    if (!q)
        durable_fail("not enough memory", NULL);
    *q = open_queue("sync", size, MAXMSG, 0);
    return q;
}

static void sender_send(void *q, const char *message, size_t size, unsigned group)
{
    (void)group;
    send_one(*(mqd_t *)q, message, size);
}

/* Until mqxd has nothing left to do: each sync send is one commit, or more. */
static void empty_queue(void *arg)
{
    char message[SIZE_MAX_MESSAGE] = "";
    size_t size = *(size_t *)arg;
    mqd_t q = open_queue("sync", size, MAXMSG, O_NONBLOCK);

    for (long left = receive_all(q, size) / COMMIT + 2; left > 0; left--) {
        send_one(q, message, size);
        receive_all(q, size);
    }
}

static void empty(size_t size)
{
    in_child(empty_queue, &size);
}

const struct peer peer_mqx = {.name = "mqx",
                              .missing = missing,
                              .start = start,
                              .open = sender_open,
                              .send = sender_send,
                              .empty = empty};

/* --- async ------------------------------------------------------------------------------------ */

struct async {
    size_t size;
    int batches;
    double ns[2][1000];
};

static double batch_ns(mqd_t q, size_t size)
{
    static const char message[SIZE_MAX_MESSAGE];
    double from = now();

    for (int i = 0; i < BATCH; i++)
        send_one(q, message, size);
    return (now() - from) * 1e9 / BATCH;
}

/* The messages stay until the end, so that mqxd stores them meanwhile.  The first time all is new:
 * pages, and what mqxd knows. */
static void measure_async(void *arg)
{
    struct async *a = arg;
    mqd_t q[2] = {open_queue("volatile", a->size, (long)a->batches * BATCH, O_NONBLOCK),
                  open_queue("async", a->size, (long)a->batches * BATCH, O_NONBLOCK)};

    for (int warm = 1; warm >= 0; warm--)
        for (int i = 0; i < 2; i++) {
            for (int b = 0; i == 0 && b < a->batches; b++)
                for (int turn = 0; turn < 2; turn++) {
                    int which = (b + turn) % 2;

                    a->ns[which][b] = batch_ns(q[which], a->size);
                }
            receive_all(q[i], a->size);
        }
}

void mqx_async(size_t size, int batches, double *volatile_ns, double *async_ns)
{
    struct async *a =
        mmap(NULL, sizeof *a, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (a == MAP_FAILED)
        failed("not enough memory:");
    a->size = size;
    a->batches = batches;
    in_child(measure_async, a);
    memcpy(volatile_ns, a->ns[0], (size_t)batches * sizeof(double));
    memcpy(async_ns, a->ns[1], (size_t)batches * sizeof(double));
    munmap(a, sizeof *a);
}

/* --- restoring -------------------------------------------------------------------------------- */

struct restore {
    size_t size;
    long messages;
};

static void fill(void *arg)
{
    const struct restore *r = arg;
    char message[SIZE_MAX_MESSAGE] = "";
    mqd_t q = open_queue("async-full", r->size, r->messages, O_NONBLOCK);

    for (long i = 0; i < r->messages; i++) {
        memcpy(message, &i, sizeof i);
        send_one(q, message, r->size);
    }
}

static void check(void *arg)
{
    const struct restore *r = arg;
    char message[SIZE_MAX_MESSAGE];
    mqd_t q = open_queue("async-full", r->size, r->messages, O_NONBLOCK);
    long i, got;

    for (i = 0; mq_receive(q, message, r->size, NULL) >= 0; i++) {
        memcpy(&got, message, sizeof got);
        if (got != i)
            durable_fail("restored wrongly", NULL);
    }
    if (i != r->messages)
        durable_fail("not all is restored", NULL);
}

/* As after a reboot, the disk has to be read. */
static void forget_pages(void)
{
    int fd = open(durable_path("mqx/data.mdb"), O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        failed("cannot drop the store from memory:");
    close(fd);
}

double mqx_restore(size_t size, long messages)
{
    struct restore r = {size, messages};
    double seconds;

    in_child(fill, &r);
    durable_end(mqxd, SIGTERM);
    durable_lose_memory();
    forget_pages();
    seconds = now();
    start();
    seconds = now() - seconds;
    in_child(check, &r);
    return seconds;
}

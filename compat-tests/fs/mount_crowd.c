/*
 * A thousand readers and a hundred writers that wait on one queue of a mount,
 * at once: the queue is full of messages that the readers do not want.  All are
 * served in the order in which they came, or interrupted, and others' queues
 * do not notice.
 *
 *     mount_crowd MOUNT [--readers N] [--writers N] [--ratio R]
 *
 * With --ratio, the latency of another queue must not be more than so many times
 * that of an idle mqxfs, in the median.  Else it is only shown.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROOM     10   /* a queue's, by default */
#define SAMPLES  1000 /* of latency */
#define FED      200  /* messages, one by one */
#define PATIENCE 120  /* seconds for any one step */

enum { BLOCKED, INTERRUPTED = -1, FAILED = -2 };

struct one {
    pid_t pid;
    int result; /* the message's number, from 1 on, or as above; written by itself, once */
};

static struct one *readers, *writers; /* shared */
static int reader_count = 1000, writer_count = 100;
static char crowd[PATH_MAX], fillers[PATH_MAX], plain[PATH_MAX], other[PATH_MAX];

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list args;

    printf("not ok - ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    exit(1);
}

static void ok(const char *what)
{
    printf("ok - %s\n", what);
    fflush(stdout);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_signal(int number)
{
    (void)number;
}

/* --- who waits ----------------------------------------------------------------------------------
 */

static void take_part(struct one *me, bool reads, int number)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
    int fd = open(crowd, reads ? O_RDONLY : O_WRONLY);
    char text[32];
    ssize_t n;

    sigaction(SIGUSR1, &action, NULL);
    snprintf(text, sizeof text, "%d", number);
    n = reads ? read(fd, text, sizeof text - 1) : write(fd, text, strlen(text));
    if (n > 0) {
        text[reads ? n : (ssize_t)strlen(text)] = 0;
        me->result = atoi(text);
    } else {
        me->result = n < 0 && errno == EINTR ? INTERRUPTED : FAILED;
    }
    _exit(0);
}

static bool proc_says(pid_t pid, const char *file, const char *what)
{
    char path[64], text[128];
    int fd;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    fd = open(path, O_RDONLY);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n < 0 ? 0 : n] = 0;
    return strncmp(text, what, strlen(what)) == 0;
}

/* Start it, and wait until it waits: who comes next comes after it. */
static void start(struct one *one, bool reads, int number)
{
    double end = now() + PATIENCE;
    pid_t pid = fork();
    char call[32];

    if (pid < 0)
        fail("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        take_part(one, reads, number);
    }
    one->pid = pid; /* not the child's 0: the memory is shared */
    snprintf(call, sizeof call, "%d ", reads ? SYS_read : SYS_write);
    while (!proc_says(one->pid, "syscall", call) ||
           !proc_says(one->pid, "wchan", "request_wait_answer")) {
        if (now() > end || *(volatile int *)&one->result != BLOCKED)
            fail("%s %d does not wait (%d)", reads ? "reader" : "writer", number, one->result);
        usleep(50);
    }
}

static void collect(struct one *one, const char *what, int wanted)
{
    double end = now() + PATIENCE;
    pid_t r;

    while ((r = waitpid(one->pid, NULL, WNOHANG)) == 0) {
        if (now() > end)
            fail("%s is left waiting", what);
        usleep(100);
    }
    if (one->result != wanted)
        fail("%s: wanted %d, got %d", what, wanted, one->result);
    one->pid = 0;
}

/* --- the queue ----------------------------------------------------------------------------------
 */

static void send_to(const char *path, int number)
{
    char text[32];
    int fd = open(path, O_WRONLY), n = snprintf(text, sizeof text, "%d", number);

    if (fd < 0 || write(fd, text, (size_t)n) != n)
        fail("cannot write %d to %s: %s", number, path, strerror(errno));
    close(fd);
}

/* 0: there is none. */
static int receive_from(const char *path)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_NONBLOCK);

    if (fd < 0 || (read(fd, text, sizeof text - 1) < 0 && errno != EAGAIN))
        fail("cannot read %s: %s", path, strerror(errno));
    close(fd);
    return atoi(text);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* A message to and fro on another queue, in the median.  While: as long as this process lives. */
static double latency(pid_t during)
{
    static double took[100 * SAMPLES];
    int to = open(other, O_WRONLY | O_CREAT, 0600), from = open(other, O_RDONLY), n = 0;
    char text[8] = "aside";

    if (to < 0 || from < 0)
        fail("cannot open %s: %s", other, strerror(errno));
    while (n < (during ? 100 * SAMPLES : SAMPLES)) {
        double began = now();

        if (write(to, text, 5) != 5 || pread(from, text, sizeof text, 0) != 5)
            fail("the other queue: %s", strerror(errno));
        took[n++] = now() - began;
        if (during && waitpid(during, NULL, WNOHANG) == during)
            break;
    }
    close(to);
    close(from);
    qsort(took, (size_t)n, sizeof took[0], ascending);
    return took[n / 2] * 1e6;
}

/* --- the steps ----------------------------------------------------------------------------------
 */

static bool is_left(int i)
{
    return i % 2 == 0;
}

static bool writes_on(int i)
{
    return i % 10 != 9;
}

static void interrupt_some(void)
{
    for (int i = 0; i < writer_count; i++)
        if (!writes_on(i))
            kill(writers[i].pid, SIGUSR1);
    for (int i = 0; i < reader_count; i++)
        if (!is_left(i))
            kill(readers[i].pid, SIGUSR1);
    for (int i = 0; i < writer_count; i++)
        if (!writes_on(i))
            collect(&writers[i], "an interrupted writer", INTERRUPTED);
    for (int i = 0; i < reader_count; i++)
        if (!is_left(i))
            collect(&readers[i], "an interrupted reader", INTERRUPTED);
    ok("interrupted in the middle of the crowd");
}

/* One place in the queue is enough: each message that is read makes room for the next. */
static int serve_writers(void)
{
    int reader = 0;

    if (receive_from(fillers) != 1)
        fail("the first filler is not there");
    for (int i = 0; i < writer_count; i++)
        if (writes_on(i)) {
            collect(&writers[i], "a writer", i + 1);
            collect(&readers[reader], "the first reader", i + 1);
            reader += 2;
        }
    ok("writers and readers in the order in which they came");
    return reader;
}

static pid_t start_feeder(void)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    for (int i = 0; i < FED; i++) {
        send_to(crowd, writer_count + 1 + i);
        usleep(2000);
    }
    _exit(0);
}

static int collect_fed(int reader)
{
    for (int i = 0; i < FED; i++, reader += 2)
        collect(&readers[reader], "a reader that was fed", writer_count + 1 + i);
    ok("messages that come one by one, too");
    return reader;
}

static void end_the_rest(int reader)
{
    int first = reader;

    for (; reader < reader_count; reader += 2)
        kill(readers[reader].pid, reader % 4 ? SIGUSR1 : SIGKILL);
    for (reader = first; reader < reader_count; reader += 2)
        collect(&readers[reader], "one of the rest", reader % 4 ? INTERRUPTED : BLOCKED);
    for (int i = 2; i <= ROOM; i++)
        if (receive_from(plain) != i)
            fail("message %d is gone", i);
    if (receive_from(plain) != 0)
        fail("there is a message too many");
    ok("all are interruptible, and nothing is lost");
}

static int show_latency(double idle, double waiting, double served, double ratio)
{
    printf(
        "# latency of another queue, median: idle %.1f us, while the crowd waits %.1f us (%.2fx), "
        "while it is served %.1f us (%.2fx)\n",
        idle, waiting, waiting / idle, served, served / idle);
    if (ratio <= 0)
        return 0;
    if (waiting > ratio * idle || served > ratio * idle)
        fail("the latency of another queue, more than %.1f times the idle one", ratio);
    ok("the latency of another queue");
    return 0;
}

static void *shared(int count)
{
    void *p = mmap(NULL, (size_t)count * sizeof(struct one), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    return p;
}

int main(int argc, char **argv)
{
    double ratio = 0, idle, waiting, served;
    int reader;

    if (argc < 2 || argc % 2 != 0)
        fail("usage: mount_crowd MOUNT [--readers N] [--writers N] [--ratio R]");
    for (int i = 2; i < argc; i += 2) {
        reader_count = strcmp(argv[i], "--readers") == 0 ? atoi(argv[i + 1]) : reader_count;
        writer_count = strcmp(argv[i], "--writers") == 0 ? atoi(argv[i + 1]) : writer_count;
        ratio = strcmp(argv[i], "--ratio") == 0 ? atof(argv[i + 1]) : ratio;
    }
    snprintf(plain, sizeof plain, "%s/crowd", argv[1]);
    snprintf(crowd, sizeof crowd, "%s/.prio/5/crowd", argv[1]);
    snprintf(fillers, sizeof fillers, "%s/.prio/0/crowd", argv[1]);
    snprintf(other, sizeof other, "%s/other", argv[1]);
    readers = shared(reader_count);
    writers = shared(writer_count);
    close(open(plain, O_WRONLY | O_CREAT, 0600));
    for (int i = 1; i <= ROOM; i++)
        send_to(plain, i);
    idle = latency(0);
    for (int i = 0; i < writer_count; i++)
        start(&writers[i], false, i + 1);
    for (int i = 0; i < reader_count; i++)
        start(&readers[i], true, i + 1);
    ok("a thousand readers and a hundred writers wait");
    waiting = latency(0);
    interrupt_some();
    reader = serve_writers();
    served = latency(start_feeder());
    reader = collect_fed(reader);
    end_the_rest(reader);
    return show_latency(idle, waiting, served, ratio);
}

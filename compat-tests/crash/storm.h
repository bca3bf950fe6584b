/*
 * What the storms share: options, random numbers, checks, messages that prove
 * themselves, and workers in memory of their own.
 *
 * The storms speak libc's mq_* only, so one binary runs on the kernel's queues
 * and, preloaded, on ours.  Every wait is for a condition, with a limit that is
 * there only to end a run that would otherwise hang.
 */
#ifndef STORM_H
#define STORM_H

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STORM_LIMIT    30 /* seconds: a worker without progress for that long hangs */
#define STORM_LIMIT_NS (STORM_LIMIT * UINT64_C(1000000000))
#define STORM_MSG_MIN  24 /* a message's head */
#define STORM_MSG_MAX  8192

/* --- time, chance, memory ------------------------------------------------------------------ */

static inline uint64_t storm_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline void storm_nap(uint64_t ns)
{
    struct timespec nap = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

    nanosleep(&nap, NULL);
}

/* Absolute CLOCK_REALTIME deadline, ns from now. */
static inline struct timespec storm_deadline(uint64_t ns)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    ns += (uint64_t)now.tv_nsec;
    return (struct timespec){now.tv_sec + (time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

static inline uint64_t storm_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t storm_random(uint64_t *state)
{
    return storm_mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t storm_below(uint64_t *state, uint64_t bound)
{
    return storm_random(state) % bound;
}

static inline void storm_die(const char *what)
{
    fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* Zeroed memory that survives whoever writes to it; costs only what is touched. */
static inline void *storm_shared(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    if (p == MAP_FAILED)
        storm_die("mmap of the log");
    return p;
}

/* --- checks --------------------------------------------------------------------------------- */

static unsigned storm_passed, storm_failed;

__attribute__((format(printf, 2, 3))) static inline bool storm_check(bool ok, const char *format,
                                                                     ...)
{
    va_list args;

    *(ok ? &storm_passed : &storm_failed) += 1;
    printf(ok ? "ok - " : "not ok - ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    return ok;
}

/* The last two lines of every storm, and its exit status. */
static inline int storm_end(const char *name, uint64_t seed)
{
    printf("%s: %u checks passed, %u failed (seed %" PRIu64 ")\n", name, storm_passed, storm_failed,
           seed);
    printf("%u passed, %u failed\n", storm_passed, storm_failed);
    return storm_failed || !storm_passed;
}

static inline void storm_alarmed(int signal)
{
    static const char text[] = "not ok - the harness itself hangs in a call\n";

    (void)signal;
    _exit(write(STDOUT_FILENO, text, sizeof text - 1) > 0 ? 1 : 2);
}

/* The harness's own calls do not wait; should one hang nevertheless, the run ends.  Call again
 * before that much time has passed, or with 0. */
static inline void storm_guard(unsigned seconds)
{
    signal(SIGALRM, storm_alarmed);
    alarm(seconds);
}

/* --- options --------------------------------------------------------------------------------- */

/* A numeric option, or, where flag is set, a switch that stores 1. */
struct storm_option {
    const char *name;
    uint64_t *value;
    bool flag;
    const char *help;
};

static inline void storm_options(int argc, char **argv, const struct storm_option *table)
{
    struct option options[16] = {{0}};
    int n = 0, got;

    for (; table[n].name; n++)
        options[n] = (struct option){table[n].name, table[n].flag ? 0 : 1, NULL, n + 1};
    while ((got = getopt_long(argc, argv, "", options, NULL)) > 0 && got <= n) {
        char *end = NULL;

        *table[got - 1].value = table[got - 1].flag ? 1 : strtoull(optarg, &end, 0);
        if (end && (*end || end == optarg))
            break;
    }
    if (got == -1 && optind == argc)
        return;
    fprintf(stderr, "usage: %s [options]\n", argv[0]);
    for (; table->name; table++)
        fprintf(stderr, "  --%s%s\n      %s\n", table->name, table->flag ? "" : " N", table->help);
    exit(2);
}

/* --- queues ---------------------------------------------------------------------------------- */

/* Ours are FIFOs, whatever the library's fstat says; the kernel's mqd_t is a regular file. */
static inline bool storm_is_kernel(mqd_t queue)
{
    struct statx st;

    return syscall(SYS_statx, queue, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0 &&
           !S_ISFIFO(st.stx_mode);
}

/*
 * Call first.  Says whose queues these are.  The kernel's get an IPC namespace
 * of their own (as root), where larger queues may be allowed.  A run that was
 * meant for our queues must not pass on the kernel's by mistake.
 */
static inline bool storm_begin(const char *name, uint64_t *seed)
{
    char probe[64];
    const char *preload = getenv("LD_PRELOAD");
    bool kernel;
    mqd_t queue;

    setvbuf(stdout, NULL, _IOLBF, 0); /* nothing is lost with a run that is killed */
    snprintf(probe, sizeof probe, "/storm-probe-%d", (int)getpid());
    queue = mq_open(probe, O_CREAT | O_EXCL | O_RDWR, 0600, NULL);
    if (queue == (mqd_t)-1)
        storm_die("mq_open");
    kernel = storm_is_kernel(queue);
    mq_close(queue);
    mq_unlink(probe);
    if (kernel && preload && strstr(preload, "mqx")) {
        fprintf(stderr, "storm: LD_PRELOAD=%s did not take effect\n", preload);
        exit(2);
    }
    if (kernel && unshare(CLONE_NEWIPC) == 0) {
        int fd = open("/proc/sys/fs/mqueue/msg_max", O_WRONLY);

        if (fd >= 0 && write(fd, "65536", 5) != 5)
            fprintf(stderr, "storm: msg_max not raised: %s\n", strerror(errno));
        close(fd);
    }
    if (!*seed)
        *seed = storm_mix(storm_now()) >> 32;
    printf("%s: on %s queues, seed %" PRIu64 "\n", name, kernel ? "the kernel's" : "mqx's", *seed);
    fflush(stdout);
    return kernel;
}

/* -1 with errno where the queue cannot be had. */
static inline mqd_t storm_open(const char *name, int flags, uint64_t maxmsg, uint64_t msgsize)
{
    struct mq_attr attr = {.mq_maxmsg = (long)maxmsg, .mq_msgsize = (long)msgsize};

    return mq_open(name, flags, 0600, &attr);
}

/* An option's message size, or 0 for none given. */
static inline uint64_t storm_check_msgsize(uint64_t msgsize)
{
    if (msgsize && (msgsize < STORM_MSG_MIN || msgsize > STORM_MSG_MAX)) {
        fprintf(stderr, "storm: --msgsize must be from %d to %d\n", STORM_MSG_MIN, STORM_MSG_MAX);
        exit(2);
    }
    return msgsize;
}

static inline long storm_count(mqd_t queue)
{
    struct mq_attr attr;

    return mq_getattr(queue, &attr) == 0 ? attr.mq_curmsgs : -1;
}

/* --- messages --------------------------------------------------------------------------------- */

/*
 * A message proves itself: length, priority and payload follow from who sent
 * it in which round with which number, and the sum covers all of it.
 */
struct storm_msg {
    uint64_t sum;
    uint32_t sender;
    uint32_t round;
    uint64_t number;
    uint8_t data[];
};

_Static_assert(sizeof(struct storm_msg) == STORM_MSG_MIN, "head");

static inline uint64_t storm_hash(const struct storm_msg *msg)
{
    return storm_mix(((uint64_t)msg->sender << 32 | msg->round) + storm_mix(msg->number + 1));
}

/* Below bound; the smallest ones, which are scattered over all numbers, are as likely as others. */
static inline unsigned storm_prio(const struct storm_msg *msg, unsigned bound)
{
    return (unsigned)((storm_hash(msg) >> 40) % bound);
}

static inline size_t storm_length(const struct storm_msg *msg, size_t msgsize)
{
    return sizeof *msg + storm_hash(msg) % (msgsize - sizeof *msg + 1);
}

static inline uint64_t storm_sum(const struct storm_msg *msg, size_t len)
{
    uint64_t sum = len, word;

    for (size_t at = sizeof msg->sum; at < len; at += sizeof word) {
        word = 0;
        memcpy(&word, (const char *)msg + at, len - at < sizeof word ? len - at : sizeof word);
        sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 29;
    }
    return sum | 1; /* a cleared buffer never verifies */
}

/* Fill msg (msgsize bytes of room) and return its length. */
static inline size_t storm_build(struct storm_msg *msg, uint32_t sender, uint32_t round,
                                 uint64_t number, size_t msgsize)
{
    uint64_t state;
    size_t len;

    msg->sender = sender;
    msg->round = round;
    msg->number = number;
    state = storm_hash(msg);
    len = storm_length(msg, msgsize);
    for (size_t at = sizeof *msg; at < len; at += sizeof state) {
        uint64_t word = storm_random(&state);

        memcpy((char *)msg + at, &word, len - at < sizeof word ? len - at : sizeof word);
    }
    msg->sum = storm_sum(msg, len);
    return len;
}

static inline bool storm_verify(const struct storm_msg *msg, size_t len, size_t msgsize)
{
    return len >= sizeof *msg && len == storm_length(msg, msgsize) &&
           msg->sum == storm_sum(msg, len);
}

/* --- processes ---------------------------------------------------------------------------------
 */

/* A child that does not outlive this process. */
static inline pid_t storm_fork(void)
{
    pid_t parent = getpid(), child = fork();

    if (child == -1)
        storm_die("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(3);
    }
    return child;
}

/* In a child of root's: one of two users. */
static inline void storm_become_another_user(unsigned index)
{
    const uid_t uid = 65533 - index % 2;

    if (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0)
        storm_die("setuid");
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* which a new user id has cleared */
    if (getppid() == 1)
        _exit(3);
}

/* For the report of a hang: a process's state letter and where it sleeps in the kernel. */
static inline void storm_print_process(pid_t pid)
{
    char path[64], text[256] = "";
    const char *files[] = {"stat", "wchan", "syscall"};

    for (unsigned i = 0; i < 3; i++) {
        ssize_t got;
        int fd;

        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, files[i]);
        fd = open(path, O_RDONLY);
        got = fd < 0 ? 0 : read(fd, text, 40);
        if (fd >= 0)
            close(fd);
        printf(" %s=%.*s", files[i], got > 0 ? (int)strcspn(text, "\n") : 0, text);
        memset(text, 0, sizeof text);
    }
    putchar('\n');
}

#endif

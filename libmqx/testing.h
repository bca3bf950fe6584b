/*
 * What the unit tests share.  Each test runs in a child process of its own,
 * with a private $MQX_DIR: it may crash, fork, lose its rights or leave
 * anything behind, and the next one begins with a process that never used the
 * library.  cmocka only counts the results.
 */
#ifndef MQXI_TESTING_H
#define MQXI_TESTING_H

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "names.h"
#include "segment.h"
#include "sys.h"

#if MQXI_THREAD_SANITIZER
#define DEFERS_SIGNALS 1 /* handlers run later than they would */
#else
#define DEFERS_SIGNALS 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || DEFERS_SIGNALS
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define PATIENCE (SANITIZED ? 400 : 80) /* seconds a test may take: longer means that it hangs */
#define SKIPPED  77                     /* exit status of a test that cannot run here */

static pid_t testing_group; /* the processes of the test that runs */

/* End the test: this process, and all others of it, which may be waiting for this one. */
#define FAIL(...)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        if (testing_group)                                                                         \
            kill(-testing_group, SIGKILL);                                                         \
        _exit(1);                                                                                  \
    } while (0)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            FAIL("not true: %s", #condition);                                                      \
    } while (0)

/* CHECK for integers, shows both. */
#define IS(expression, expected)                                                                   \
    do {                                                                                           \
        long long is_ = (long long)(expression), should_ = (long long)(expected);                  \
        if (is_ != should_)                                                                        \
            FAIL("%s is %lld, not %s = %lld", #expression, is_, #expected, should_);               \
    } while (0)

#define SKIP(why)                                                                                  \
    do {                                                                                           \
        printf("skip - %s: %s\n", __func__, why);                                                  \
        fflush(stdout);                                                                            \
        _exit(SKIPPED);                                                                            \
    } while (0)

/* Wait until it is true; the test fails if that takes a minute. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        for (int ms_ = 0; !(condition); ms_++) {                                                   \
            if (ms_ == 60000)                                                                      \
                FAIL("never became true: %s", #condition);                                         \
            nap();                                                                                 \
        }                                                                                          \
    } while (0)

static inline void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static time_t testing_began; /* CLOCK_MONOTONIC, seconds */

/* For tests that repeat something that may go wrong: often, but on a busy machine not for long. */
static inline bool time_is_up(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > testing_began + 3;
}

/* --- the tests of a program ------------------------------------------------------------------- */

struct testing {
    void (*body)(void);
};
#define UNIT(function)                                                                             \
    {                                                                                              \
#function, testing_run, NULL, NULL, &(struct testing)                                      \
        {                                                                                          \
            function                                                                               \
        }                                                                                          \
    }

static inline int testing_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static inline void testing_child(const struct testing *test, const char *dir)
{
    /* cmocka catches these, and would go on with the other tests in here. */
    static const int signals[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS};
    struct timespec now;

    for (unsigned i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        signal(signals[i], SIG_DFL);
    clock_gettime(CLOCK_MONOTONIC, &now);
    testing_began = now.tv_sec;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setpgid(0, 0) == 0)
        testing_group = getpid();
    setenv("MQX_DIR", dir, 1);
    alarm(PATIENCE);
    test->body();
    exit(0); /* not _exit: the leak sanitizer looks now */
}

static inline void testing_run(void **state)
{
    const char *base = getenv("MQX_DIR");
    char dir[PATH_MAX];
    siginfo_t end;
    pid_t child;

    snprintf(dir, sizeof(dir), "%s/unit-XXXXXX", base && *base ? base : "/dev/shm");
    if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
        fail_msg("cannot make a directory like %s: %s", dir, strerror(errno));
    fflush(NULL);
    child = fork();
    if (child == 0)
        testing_child(*state, dir);
    waitid(P_PID, (id_t)child, &end, WEXITED | WNOWAIT);
    kill(-child, SIGKILL); /* whom it left running; the unreaped child keeps the number ours */
    waitpid(child, NULL, 0);
    nftw(dir, testing_remove, 16, FTW_DEPTH | FTW_PHYS);
    if (end.si_code != CLD_EXITED)
        fail_msg("killed by signal %d%s", end.si_status,
                 end.si_status == SIGALRM   ? ": hangs"
                 : end.si_status == SIGKILL ? ": see above"
                                            : "");
    if (end.si_status == SKIPPED)
        skip();
    if (end.si_status != 0)
        fail_msg("ended with status %d", end.si_status);
}

/* --- other processes -------------------------------------------------------------------------- */

/* Run f(arg) in a child. */
static inline pid_t start(void (*f)(void *arg), void *arg)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        f(arg);
        fflush(NULL);
        _exit(0);
    }
    return child;
}

/* It is to end well. */
static inline void finish(pid_t child)
{
    int status;

    IS(waitpid(child, &status, 0), child);
    IS(status, 0);
}

static inline void murder(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    IS(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Does the process or thread sleep in the kernel? */
static inline bool asleep(pid_t pid)
{
    char path[64], line[512] = "", *end;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (!file)
        return false;
    if (!fgets(line, sizeof(line), file))
        line[0] = 0;
    fclose(file);
    end = strrchr(line, ')');
    return end && end[1] == ' ' && end[2] == 'S';
}

/* Memory that children share with us. */
static inline void *shared(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

/* --- queues ----------------------------------------------------------------------------------- */

static inline int try_create(const char *name, uint32_t maxmsg, uint32_t msgsize,
                             struct mqxi_queue **out)
{
    struct mqxi_attr attr = {maxmsg, msgsize, 0600, MQXI_DURABLE_OFF};
    struct mqxi_unborn unborn;
    int r = mqxi_segment_build(&attr, &unborn);

    if (r < 0)
        return r;
    r = mqxi_segment_link(&unborn, name);
    mqxi_segment_finish(&unborn, r == 0);
    *out = unborn.queue;
    return r;
}

static inline struct mqxi_queue *create(const char *name, uint32_t maxmsg, uint32_t msgsize)
{
    struct mqxi_queue *q = NULL;

    IS(try_create(name, maxmsg, msgsize, &q), 0);
    CHECK(q != NULL);
    return q;
}

static inline struct mqxi_queue *attach(const char *name)
{
    struct mqxi_queue *q = NULL;

    IS(mqxi_segment_attach(name, &q), 0);
    CHECK(q != NULL);
    return q;
}

/* Memory that the segment occupies. */
static inline uint64_t occupied(const char *name)
{
    char path[PATH_MAX];
    struct stat st;

    IS(mqxi_path(MQXI_QUEUES, name, path), 0);
    IS(stat(path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* How many files there are in the directory, but hidden ones. */
static inline int entries(enum mqxi_place place)
{
    char path[PATH_MAX];
    struct dirent *entry;
    int count = 0;
    DIR *dir;

    IS(mqxi_path(place, "", path), 0);
    dir = opendir(path);
    CHECK(dir);
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* Mount a tmpfs of its own over $MQX_DIR, for this process and its children. */
static inline bool small_tmpfs(const char *options)
{
    if (unshare(CLONE_NEWNS) < 0 || mount("", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("small", mqxi_dir(), "tmpfs", 0, options) < 0)
        return false;
    IS(mqxi_dirs_make(), 0);
    return true;
}

/* --- random numbers, the same in each run ----------------------------------------------------- */

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint32_t below(uint64_t *state, uint32_t n)
{
    return (uint32_t)(next_random(state) % n);
}

#endif

/*
 * What the resource cases share: cases in processes and directories of their
 * own, and the books of what is held: descriptors, mappings, files, numbers.
 *
 * A case is a function that returns if all is well, and calls `must` or `skip`
 * otherwise, also in processes that it forked.  Plain libc and mq_* only.
 */
#ifndef RESOURCES_H
#define RESOURCES_H

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
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
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE    4096L
#define NUMBERS 16384 /* client numbers in a registry */
#define NOBODY  65534u
#define PATIENT 120 /* seconds: a case, or a round of it, that takes longer hangs */

/* --- verdicts --------------------------------------------------------------------------------- */

enum verdict { GOOD, BAD, SKIPPED };

/* In memory that all processes of a case share: the first to fail says why. */
static struct outcome {
    _Atomic uint32_t verdict;
    char why[400];
} * outcome;

static inline _Noreturn void give_up(enum verdict verdict, const char *format, va_list args)
{
    uint32_t good = GOOD;

    if (atomic_compare_exchange_strong(&outcome->verdict, &good, verdict))
        vsnprintf(outcome->why, sizeof(outcome->why), format, args);
    _exit(1);
}

__attribute__((format(printf, 2, 3))) static inline void must(bool ok, const char *format, ...)
{
    va_list args;

    if (ok)
        return;
    va_start(args, format);
    give_up(BAD, format, args);
}

__attribute__((format(printf, 1, 2))) static inline _Noreturn void skip(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    give_up(SKIPPED, format, args);
}

/* A call that must have failed with this error. */
static inline void must_fail(long got, int error, const char *what)
{
    must(got == -1, "%s succeeded, instead of failing with %s", what, strerror(error));
    must(errno == error, "%s failed with %s, not with %s", what, strerror(errno), strerror(error));
}

static inline void must_work(long got, const char *what)
{
    must(got != -1, "%s: %s", what, strerror(errno));
}

/* --- processes -------------------------------------------------------------------------------- */

/* A child that does not outlive this process. */
static inline pid_t child_by(pid_t (*how)(void))
{
    pid_t parent = getpid(), child = how();

    must_work(child, "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(3);
    }
    return child;
}

static inline pid_t fork_child(void)
{
    return child_by(fork);
}

/* One that takes its client number at its first call, since no handler of fork's ran. */
static inline pid_t clone_child(void)
{
    return child_by(_Fork);
}

/* Wait for a child that is to end well. */
static inline void join_child(pid_t child, const char *what)
{
    int status = -1;

    must(waitpid(child, &status, 0) == child, "waitpid: %s", strerror(errno));
    must(status == 0, "%s ended with status %#x", what, (unsigned)status);
}

/* Run in a child, and wait for it. */
static inline void in_child(void (*run)(void *), void *arg, const char *what)
{
    pid_t child = fork_child();

    if (child == 0) {
        run(arg);
        _exit(0);
    }
    join_child(child, what);
}

static inline void *shared_memory(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return p;
}

static inline void nap(long microseconds)
{
    nanosleep(&(struct timespec){microseconds / 1000000, microseconds % 1000000 * 1000}, NULL);
}

static inline double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Until a process or thread sleeps in the kernel: state S in its stat file. */
static inline void await_sleep(pid_t pid)
{
    char path[64], text[256], *state;
    double end = now() + PATIENT / 2;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    for (;;) {
        int fd = open(path, O_RDONLY);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

        close(fd);
        text[n > 0 ? n : 0] = 0;
        state = strrchr(text, ')');
        must(state && state[2] != 'Z' && now() < end, "process %d does not sleep", (int)pid);
        if (state[2] == 'S')
            return;
        nap(1000);
    }
}

/* A round begins: the case may take so much longer. */
static inline void next_round(void)
{
    alarm(PATIENT);
}

/* --- cases ------------------------------------------------------------------------------------ */

struct test_case {
    const char *name;
    void (*run)(void);
};
#define CASE(function)                                                                             \
    {                                                                                              \
#function, function                                                                        \
    }

static char directory[PATH_MAX]; /* the case's MQX_DIR */

static inline void run_one(const struct test_case *c)
{
    int status = 0;
    pid_t child;

    *outcome = (struct outcome){0};
    fflush(NULL);
    child = fork();
    if (child == 0) {
        const char *base = getenv("MQX_DIR");

        snprintf(directory, sizeof(directory), "%s/%s", base ? base : "/dev/shm", c->name);
        must(mkdir(directory, 01777) == 0 || errno == EEXIST, "mkdir: %s", strerror(errno));
        chmod(directory, 01777);
        setenv("MQX_DIR", directory, 1);
        next_round();
        c->run();
        fflush(NULL);
        _exit(0);
    }
    waitpid(child, &status, 0);
    if (outcome->verdict == SKIPPED)
        printf("skip - %s: %s\n", c->name, outcome->why);
    else if (outcome->verdict == BAD)
        printf("not ok - %s: %s\n", c->name, outcome->why);
    else if (status != 0)
        printf("not ok - %s: ended with status %#x%s\n", c->name, (unsigned)status,
               WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ": it hangs" : "");
    else
        printf("ok - %s\n", c->name);
    fflush(stdout);
    if (outcome->verdict == GOOD && status != 0)
        outcome->verdict = BAD;
}

/* Numeric options, which come before the names of cases; consumed.  False: there is another. */
struct number_option {
    const char *name;
    long *value;
};

static inline bool read_options(int *argc, char ***argv, const struct number_option *table)
{
    while (*argc > 2 && strncmp((*argv)[1], "--", 2) == 0) {
        const struct number_option *o = table;

        while (o->name && strcmp(o->name, (*argv)[1] + 2) != 0)
            o++;
        if (!o->name)
            break;
        *o->value = strtol((*argv)[2], NULL, 0);
        (*argv)[2] = (*argv)[0];
        *argc -= 2;
        *argv += 2;
    }
    if (*argc > 1 && (*argv)[1][0] == '-')
        fprintf(stderr, "%s: unknown option\n", (*argv)[1]);
    return *argc <= 1 || (*argv)[1][0] != '-';
}

/* All cases, or those that the arguments name. */
static inline int run_cases(const struct test_case *cases, size_t n, int argc, char **argv)
{
    const char *preload = getenv("LD_PRELOAD");
    bool bad = false;

    outcome = shared_memory(sizeof(*outcome));
    umask(022);
    if (!preload || !strstr(preload, "mqx") || !dlsym(RTLD_DEFAULT, "mqx_open")) {
        printf("not ok - these are the kernel's queues: to be run with our library preloaded\n");
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        bool chosen = argc < 2;

        for (int a = 1; a < argc; a++)
            chosen = chosen || strcmp(argv[a], cases[i].name) == 0;
        if (chosen)
            run_one(&cases[i]);
        bad = bad || (chosen && outcome->verdict == BAD);
    }
    return bad;
}

/* --- queues ----------------------------------------------------------------------------------- */

static inline mqd_t open_queue(const char *name, int flags, long maxmsg, long msgsize)
{
    struct mq_attr attr = {.mq_maxmsg = maxmsg, .mq_msgsize = msgsize};

    return mq_open(name, flags, 0600, &attr);
}

/* A new queue, non-blocking; or the case fails. */
static inline mqd_t new_queue(const char *name, long maxmsg, long msgsize)
{
    mqd_t q = open_queue(name, O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, maxmsg, msgsize);

    must_work(q, "mq_open of a new queue");
    return q;
}

static inline long count(mqd_t q)
{
    struct mq_attr attr = {0};

    must_work(mq_getattr(q, &attr), "mq_getattr");
    return attr.mq_curmsgs;
}

#define LARGEST 70000

/* Message n of a queue: its number, and bytes that follow from it, all len of them. */
static inline int send_numbered(mqd_t q, long n, size_t len)
{
    static char text[LARGEST];

    memset(text, (int)(n % 251), len);
    memcpy(text, &n, len < sizeof(n) ? len : sizeof(n));
    return mq_send(q, text, len, 0);
}

/* Receive what must be message n; false where there is none. */
static inline bool receive_numbered(mqd_t q, long n, size_t len)
{
    static char text[LARGEST], wanted[LARGEST];
    ssize_t got = mq_receive(q, text, sizeof(text), NULL);

    if (got == -1 && errno == EAGAIN)
        return false;
    must(got != -1, "receiving message %ld: %s", n, strerror(errno));
    memset(wanted, (int)(n % 251), len);
    memcpy(wanted, &n, len < sizeof(n) ? len : sizeof(n));
    must(got == (ssize_t)len && memcmp(text, wanted, len) == 0, "message %ld is another", n);
    return true;
}

/* Send messages from number `from` on, until one fails; returns the next number, errno says why. */
static inline long fill_queue(mqd_t q, long from, size_t len)
{
    while (send_numbered(q, from, len) == 0)
        from++;
    return from;
}

/* Receive all of them, in order. */
static inline void drain_queue(mqd_t q, long from, long to, size_t len)
{
    for (; from < to; from++)
        must(receive_numbered(q, from, len), "message %ld, whose send succeeded, is lost", from);
    must(!receive_numbered(q, to, len), "message %ld, whose send failed, is there", to);
    must(count(q) == 0, "%ld messages left in an empty queue", count(q));
}

/* It takes as many messages as it should, and gives them back in order. */
static inline void use_queue(mqd_t q)
{
    struct mq_attr attr;
    long sent;

    must_work(mq_getattr(q, &attr), "mq_getattr");
    sent = fill_queue(q, 0, (size_t)attr.mq_msgsize);
    must(sent == attr.mq_maxmsg && errno == EAGAIN, "%ld of %ld messages: %s", sent, attr.mq_maxmsg,
         strerror(errno));
    drain_queue(q, 0, sent, (size_t)attr.mq_msgsize);
}

/* A queue of one message whose user died: full or empty, once that was found.  Empties it. */
static inline void use_after_death(mqd_t q, char *text, size_t len)
{
    double end = now() + 20;

    while (mq_send(q, text, len, 0) != 0 && mq_receive(q, text, len, NULL) < 0) {
        must(errno == EAGAIN, "sending and receiving: %s", strerror(errno));
        must(now() < end, "the slot stays a dead process's");
        nap(10000);
    }
    mq_receive(q, text, len, NULL);
}

/* In a child that will be killed at it. */
static inline _Noreturn void send_and_receive_for_ever(mqd_t q, char *text, size_t len)
{
    for (;;) {
        must(mq_send(q, text, len, 0) == 0 || errno == EAGAIN, "mq_send: %s", strerror(errno));
        must(mq_receive(q, text, len, NULL) > 0 || errno == EAGAIN, "mq_receive: %s",
             strerror(errno));
    }
}

/* --- what is held ----------------------------------------------------------------------------- */

static inline long open_descriptors(void)
{
    long n = 0;

    for (int fd = 0; fd < 4096; fd++)
        n += fcntl(fd, F_GETFD) != -1;
    return n;
}

/* Mappings of this process: lines of /proc/self/maps that mention the text, or all of them. */
static inline long mappings(const char *mentioning)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[PATH_MAX + 200];
    long n = 0;

    must(maps != NULL, "/proc/self/maps: %s", strerror(errno));
    while (fgets(line, sizeof(line), maps))
        n += !mentioning || strstr(line, mentioning) != NULL;
    fclose(maps);
    return n;
}

/* Files in a directory below MQX_DIR; 0 where it does not exist. */
static inline long files_in(const char *place)
{
    char path[PATH_MAX + 16];
    struct dirent *entry;
    long n = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s", directory, place);
    dir = opendir(path);
    must(dir || errno == ENOENT, "%s: %s", path, strerror(errno));
    while (dir && (entry = readdir(dir)))
        n += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

/* Files that queues leave behind: not the registry. */
static inline long files(void)
{
    return files_in("queues") + files_in("fifos") + files_in("tmp") + files_in("gone");
}

/* The registry of this user, opened; -1 where there is none. */
static inline int open_registry(void)
{
    char path[PATH_MAX + 32];

    snprintf(path, sizeof(path), "%s/clients/%u", directory, (unsigned)geteuid());
    return open(path, O_RDWR | O_CLOEXEC);
}

/* Client numbers in use: bytes of the registry that somebody holds a lock on. */
static inline long numbers_in_use(void)
{
    int fd = open_registry();
    long n = 0;

    for (int i = 0; fd >= 0 && i < NUMBERS; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_start = i, .l_len = 1};

        must_work(fcntl(fd, F_OFD_GETLK, &lock), "F_OFD_GETLK");
        n += lock.l_type != F_UNLCK;
    }
    close(fd);
    return n;
}

#endif

/*
 * mqx against the kernel's queues, side by side: each measurement (bench_worker)
 * runs on one and on the other in turn, so that a machine that grows slower or
 * faster does so for both.  What counts is the ratio within such a couple of
 * runs; the table shows its median, and its smallest and largest value.
 *
 * The kernel's part runs in an IPC namespace of its own, where its limit of 10
 * messages can be raised without touching the machine's.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "table.h"

#define BIG        1000 /* the larger maxmsg */

enum engine { KERNEL, MQX };
enum place { ONE_CORE, TWO_CORES, FREE };
static const char *const engine_names[] = {"kernel", "mqx"};
static const char *const place_names[] = {"one core", "two cores", "free"};

/* A row of the table.  target: the ratio to reach, 0: none. */
static const struct row {
    const char *kind, *name;
    int maxmsg;
    enum place place;
    double target;
} rows[] = {
    {"pair", "pair", 10, ONE_CORE, 6.0},
    {"pair", "pair", BIG, ONE_CORE, 6.0},
    {"stream", "stream", 10, ONE_CORE, 1.5},
    {"stream", "stream", BIG, ONE_CORE, 1.5},
    {"stream", "stream", 10, TWO_CORES, 4.0},
    {"stream", "stream", BIG, TWO_CORES, 4.0},
    {"stream", "stream", 10, FREE, 0},
    {"stream", "stream", BIG, FREE, 0},
    {"trip", "round trip", 10, ONE_CORE, 1.3},
    {"trip", "round trip", BIG, ONE_CORE, 1.3},
    {"trip", "round trip", 10, TWO_CORES, 10},
    {"trip", "round trip", BIG, TWO_CORES, 10},
    {"trip", "round trip", 10, FREE, 0},
    {"trip", "round trip", BIG, FREE, 0},
    {"sysv-pair", "sysv pair", 10, ONE_CORE, 6.0},
    {"sysv-pair", "sysv pair", BIG, ONE_CORE, 6.0},
    {"sysv-stream", "sysv stream", 10, ONE_CORE, 1.5},
    {"sysv-stream", "sysv stream", BIG, ONE_CORE, 1.5},
    {"sysv-stream", "sysv stream", 10, TWO_CORES, 4.0},
    {"sysv-stream", "sysv stream", BIG, TWO_CORES, 4.0},
    {"sysv-trip", "sysv trip", 10, ONE_CORE, 1.3},
    {"sysv-trip", "sysv trip", 10, TWO_CORES, 10},
    {"sysv-type", "sysv type", 10000, ONE_CORE, 5.0},
};
#define DEEP_TARGET 4.0      /* at most */
#define MSGSIZE     64       /* bench_worker's */
#define KERNEL_ROOM 1000000L /* msg_qbytes that our rows may need */

static bool quick, strict;
static int rounds;
static double seconds;
static const char *only;
static char worker[PATH_MAX], preload[PATH_MAX], directory[] = "/dev/shm/mqx-bench-XXXXXX";
static int cpus[2], cpu_count;
static long kernel_maxmsg, kernel_room; /* messages, bytes: 0 where there are no such queues */
static volatile sig_atomic_t running, interrupted;

/* --- running a worker ---------------------------------------------------------------------- */

static void on_signal(int number)
{
    interrupted = number;
    if (running)
        kill(running, SIGKILL);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void clean_up(void)
{
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void fail(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(interrupted ? 128 + interrupted : 1);
}

static void exec_worker(enum engine engine, const char *const *args)
{
    if (engine == MQX) {
        setenv("LD_PRELOAD", preload, 1);
        setenv("MQX_DIR", directory, 1);
        setenv("MQX_CONF", "/dev/null", 1);
    } else {
        unsetenv("LD_PRELOAD");
    }
    execv(worker, (char *const *)args);
    fprintf(stderr, "bench: cannot run %s: %s\n", worker, strerror(errno));
    _exit(127);
}

/* Run one measurement; the numbers it prints go to values, count of them must come. */
static void run(const char *kind, enum engine engine, int maxmsg, enum place place, long fill,
                int fill_rounds, double *values, int count)
{
    char text[6][32];
    const char *args[] = {
        worker,  kind, engine_names[engine], text[0], text[1], text[2], text[3], text[4],
        text[5], NULL};
    int fds[2], status, got = 0;
    pid_t pid = -1;
    FILE *out;

    snprintf(text[0], sizeof text[0], "%d", maxmsg);
    snprintf(text[1], sizeof text[1], "%g", seconds);
    snprintf(text[2], sizeof text[2], "%d", place == FREE ? -1 : cpus[0]);
    snprintf(text[3], sizeof text[3], "%d", place == FREE ? -1 : cpus[place == TWO_CORES]);
    snprintf(text[4], sizeof text[4], "%ld", fill);
    snprintf(text[5], sizeof text[5], "%d", fill_rounds);
    if (!fill)
        args[7] = NULL;
    if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) == -1)
        fail("cannot start a worker");
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        exec_worker(engine, args);
    }
    running = pid;
    close(fds[1]);
    out = fdopen(fds[0], "r");
    while (out && got < count && fscanf(out, "%lf", &values[got]) == 1)
        got++;
    waitpid(pid, &status, 0);
    running = 0;
    if (out)
        fclose(out);
    if (status != 0 || got != count || interrupted) {
        fprintf(stderr, "bench: %s, maxmsg %d, %s, on %s queues: status %#x, %d of %d numbers\n",
                kind, maxmsg, place_names[place], engine == MQX ? "mqx's" : "the kernel's",
                (unsigned)status, got, count);
        fail("a measurement failed");
    }
    for (int i = 0; i < count; i++)
        if (!(values[i] > 1 && values[i] < 1e8)) {
            fprintf(stderr, "bench: %s took %g ns\n", kind, values[i]);
            fail("that cannot be");
        }
}

/* --- the table -----------------------------------------------------------------------------------
 */

static bool is_sysv(const char *kind)
{
    return strncmp(kind, "sysv-", 5) == 0;
}

static void bench_row(const struct row *row)
{
    struct result result = {.name = row->name,
                            .place = place_names[row->place],
                            .first_name = "kernel_ns",
                            .maxmsg = row->maxmsg,
                            .at_least = true,
                            .target = row->target};
    long most = is_sysv(row->kind) ? kernel_room / MSGSIZE : kernel_maxmsg;

    if (row->place == TWO_CORES && cpu_count < 2) {
        printf("%-13s %7d  %-10s skipped: one CPU\n", row->name, row->maxmsg, result.place);
        return;
    }
    if (row->maxmsg > most) {
        printf("%-13s %7d  %-10s skipped: the kernel's queues hold %ld messages, and only root may "
               "raise that\n",
               row->name, row->maxmsg, result.place, most);
        return;
    }
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < 2; i++) {
            enum engine engine = (r + i) % 2 ? MQX : KERNEL;

            run(row->kind, engine, row->maxmsg, row->place, 0, 0,
                engine == MQX ? &result.mqx[r] : &result.first[r], 1);
        }
        result.ratio[r] = result.first[r] / result.mqx[r];
    }
    table_row(&result, rounds);
}

/* mqx alone: the same queue empty, and with very many messages in it. */
static void bench_deep(void)
{
    int maxmsg = quick ? 100000 : 1000000, fill = maxmsg / 10 * 9;
    double values[3 * ROUNDS_MAX];

    run("deep", MQX, maxmsg, ONE_CORE, fill, rounds, values, 3 * rounds);
    printf("\nmqx alone, %d messages in the queue:    empty      deep     ratio\n", fill);
    for (int i = 1; i < 3; i++) {
        struct result result = {.name = i == 1 ? "deep, on top" : "deep, fifo",
                                .place = place_names[ONE_CORE],
                                .first_name = "empty_ns",
                                .maxmsg = maxmsg,
                                .target = i == 1 ? DEEP_TARGET : 0};

        for (int r = 0; r < rounds; r++) {
            result.first[r] = values[3 * r];
            result.mqx[r] = values[3 * r + i];
            result.ratio[r] = result.mqx[r] / result.first[r];
        }
        table_row(&result, rounds);
    }
}

/* --- the machine
 * ------------------------------------------------------------------------------------ */

/* Was this kind asked for?  By its name, or the beginning of it. */
static bool wanted(const char *kind)
{
    return !only || strncmp(only, kind, strlen(only)) == 0;
}

static void find_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        fail("cannot read the CPU affinity");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set)) {
            if (cpu_count < 2)
                cpus[cpu_count] = cpu;
            cpu_count++;
        }
}

/* A limit of the kernel's, raised to what we need where we may; 0: there is none. */
static long kernel_limit(const char *path, long needed, bool may_raise)
{
    char text[32] = "";
    int fd;

    if (may_raise && (fd = open(path, O_WRONLY | O_CLOEXEC)) >= 0) {
        if (dprintf(fd, "%ld", needed) < 0)
            fprintf(stderr, "bench: cannot write %s: %s\n", path, strerror(errno));
        close(fd);
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    if (fd >= 0)
        close(fd);
    return atol(text);
}

/* How much may a kernel queue hold?  As root, as much as we need, in our own namespace. */
static void raise_kernel_limits(void)
{
    bool own = unshare(CLONE_NEWIPC) == 0;

    kernel_maxmsg = kernel_limit("/proc/sys/fs/mqueue/msg_max", BIG, own);
    kernel_room = kernel_limit("/proc/sys/kernel/msgmnb", KERNEL_ROOM, own);
    if (!kernel_maxmsg)
        fail("this kernel has no message queues");
}

static void find_programs(const char *library)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

    if (len < 0)
        fail("cannot read /proc/self/exe");
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    if ((size_t)snprintf(worker, sizeof worker, "%s/bench_worker", self) >= sizeof worker ||
        (!library && strlen(self) + 32 > sizeof self))
        fail("path too long");
    if (!library)
        library = strcat(self, "/../lib/libmqx_preload.so");
    if (!realpath(library, preload)) {
        fprintf(stderr, "bench: %s: %s; say --preload LIBRARY\n", library, strerror(errno));
        exit(1);
    }
}

static const char *options(int argc, char **argv, const char **library)
{
    static const struct option table[] = {{"preload", 1, NULL, 'p'}, {"json", 1, NULL, 'j'},
                                          {"quick", 0, NULL, 'q'},   {"rounds", 1, NULL, 'r'},
                                          {"seconds", 1, NULL, 's'}, {"strict", 0, NULL, 'x'},
                                          {"only", 1, NULL, 'o'},    {NULL, 0, NULL, 0}};
    const char *file = NULL;
    int got;

    while ((got = getopt_long(argc, argv, "", table, NULL)) != -1) {
        quick = quick || got == 'q';
        strict = strict || got == 'x';
        *library = got == 'p' ? optarg : *library;
        file = got == 'j' ? optarg : file;
        only = got == 'o' ? optarg : only;
        rounds = got == 'r' ? atoi(optarg) : rounds;
        seconds = got == 's' ? atof(optarg) : seconds;
        if (got == '?')
            break;
    }
    rounds = rounds ? rounds : (quick ? 3 : 7);
    seconds = seconds > 0 ? seconds : (quick ? 0.02 : 0.25);
    if (got == -1 && optind == argc && rounds > 0 && rounds <= ROUNDS_MAX)
        return file;
    fprintf(stderr,
            "usage: %s [--preload LIBRARY] [--json FILE] [--quick] [--rounds N] [--seconds S]\n"
            "       [--only pair|stream|trip|deep|sysv|sysv-pair|...] [--strict]\n"
            "  --quick   a short round, to see that it runs; its ratios say little\n"
            "  --strict  exit 1 if a ratio falls short of its target\n",
            argv[0]);
    exit(2);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    const char *library = NULL, *file = options(argc, argv, &library);

    find_programs(library);
    find_cpus();
    raise_kernel_limits();
    if (file && !(table_json = fopen(file, "w"))) {
        fprintf(stderr, "bench: cannot write %s: %s\n", file, strerror(errno));
        return 1;
    }
    if (!mkdtemp(directory))
        fail("cannot create a directory in /dev/shm");
    atexit(clean_up);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    printf("64-byte messages, ns an operation, medians of %d alternating runs of %g s, %d CPUs\n\n"
           "%-13s %7s  %-10s %9s %9s %9s  %-14s  target\n",
           rounds, seconds, cpu_count, "", "maxmsg", "", "kernel", "mqx", "ratio", "  min..max");
    if (table_json)
        fprintf(table_json, "{\"rounds\": %d, \"seconds\": %g, \"cpus\": %d, \"quick\": %s, \"rows\": [",
                rounds, seconds, cpu_count, quick ? "true" : "false");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (wanted(rows[i].kind))
            bench_row(&rows[i]);
    if (wanted("deep"))
        bench_deep();
    if (table_json && (fprintf(table_json, "\n]}\n") < 0 || fclose(table_json) != 0))
        fail("cannot write the JSON file");
    printf("\nbench: %d rows measured, %d short of their target%s\n", table_rows, table_short,
           quick ? " (a quick run: that means little)" : "");
    return !table_rows || (strict && table_short);
}

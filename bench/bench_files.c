/*
 * mqx's queues as files against the floor: what FUSE itself costs, as a
 * filesystem shows whose reads and writes do nothing (floor.c).  This process
 * writes and reads a batch on one and then on the other, many times in turn, and
 * each filesystem's server runs where the other's does.  What counts is the
 * ratio within such a couple.  A named pipe, which has no server, is also shown.
 *
 * The floor is asked for what mqxfs is asked for: names hold for no time.  One
 * that lets the kernel remember names for a second is shown too; queues cannot
 * do that, since others remove and create them.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "table.h"

#define MSGSIZE 64
#define MAXMSG  1000
#define BATCH   20
#define TARGET  1.25 /* at most */
#define TIMEOUT 250  /* seconds after which it is taken to hang */

enum door { MQXFS, FLOOR, CACHED, DOORS, PIPE = DOORS };
static const char *const door_names[] = {"mqxfs", "floor", "cached", "pipe"};
static const char *const json_names[] = {"", "floor_ns", "cached_floor_ns", "pipe_ns"};

enum what { WRITE, READ, OPEN_WRITE, OPEN_READ, WHATS };
static const char *const what_names[] = {"write", "read", "open-write", "open-read"};

static char directory[] = "/dev/shm/mqx-bench-XXXXXX", file[DOORS + 1][PATH_MAX];
static pid_t server[DOORS];
static int out[DOORS + 1], in[DOORS + 1], cpus[2], cpu_count, rounds = 499;
static uint64_t sent[DOORS + 1], received[DOORS + 1];

static void fail(const char *what, const char *on)
{
    fprintf(stderr, "bench_files: %s %s: %s\n", what, on, strerror(errno));
    exit(1);
}

/* --- the filesystems --------------------------------------------------------------------------
 */

static void unmount(enum door d)
{
    char mount[PATH_MAX];
    pid_t pid;

    if (server[d] <= 0)
        return;
    close(out[d]);
    close(in[d]);
    snprintf(mount, sizeof mount, "%s/%s", directory, door_names[d]);
    if (umount2(mount, 0) != 0) { /* not root */
        pid = fork();
        if (pid == 0) {
            execlp("fusermount3", "fusermount3", "-u", "-z", mount, (char *)NULL);
            _exit(127);
        }
        if (pid > 0)
            waitpid(pid, NULL, 0);
    }
    waitpid(server[d], NULL, 0);
    server[d] = 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static pid_t owner;

static void clean_up(void)
{
    if (getpid() != owner)
        return;
    for (int d = 0; d < DOORS; d++)
        unmount(d);
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void on_signal(int number)
{
    for (int d = 0; d < DOORS; d++)
        if (server[d] > 0)
            kill(server[d], SIGKILL); /* our calls fail, and clean_up runs */
    (void)number;
}

static void run_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fail("cannot run", "on one CPU");
}

static void exec_server(enum door d, const char *program, const char *mount)
{
    char path[PATH_MAX];

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (d == MQXFS) {
        snprintf(path, sizeof path, "%s/queues", directory);
        setenv("MQX_DIR", path, 1);
        snprintf(path, sizeof path, "%s/mqx.conf", directory);
        setenv("MQX_CONF", path, 1);
        execl(program, program, "-f", mount, (char *)NULL);
    } else {
        execl(program, program, mount, d == CACHED ? "--cached" : NULL, (char *)NULL);
    }
    fail("cannot run", program);
}

/* Its server on that CPU, and its file open. */
static void mount_door(enum door d, const char *program, int cpu)
{
    char *path = file[d];
    struct stat above, st;

    snprintf(path, PATH_MAX, "%s/%s", directory, door_names[d]);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        fail("cannot make", path);
    if (stat(path, &above) != 0 || (server[d] = fork()) == -1)
        fail("cannot start", program);
    if (server[d] == 0) {
        run_on(cpu);
        exec_server(d, program, path);
    }
    while (stat(path, &st) != 0 || st.st_dev == above.st_dev) {
        if (waitpid(server[d], NULL, WNOHANG) != 0) {
            server[d] = 0;
            fail("cannot mount", path);
        }
        usleep(1000);
    }
    strcat(path, "/q");
    /* Apart: a queue's file that is open for both cannot be sought in. */
    out[d] = open(path, O_WRONLY | (d == MQXFS ? O_CREAT : 0) | O_CLOEXEC, 0600);
    in[d] = open(path, O_RDONLY | O_CLOEXEC);
    if (out[d] < 0 || in[d] < 0)
        fail("cannot open", path);
}

static void make_pipe(void)
{
    snprintf(file[PIPE], sizeof file[PIPE], "%s/pipe", directory);
    if (mkfifo(file[PIPE], 0600) != 0 || (out[PIPE] = open(file[PIPE], O_RDWR | O_CLOEXEC)) < 0 ||
        (in[PIPE] = open(file[PIPE], O_RDONLY | O_CLOEXEC)) < 0)
        fail("cannot make", file[PIPE]);
}

static void write_conf(void)
{
    char path[PATH_MAX];
    FILE *f;

    snprintf(path, sizeof path, "%s/mqx.conf", directory);
    f = fopen(path, "w");
    if (!f || fprintf(f, "[q]\nmaxmsg = %d\nmsgsize = %d\n", MAXMSG, MSGSIZE) < 0 || fclose(f) != 0)
        fail("cannot write", path);
}

/* --- measuring ----------------------------------------------------------------------------------
 */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void put(enum door d, int to)
{
    uint64_t message[MSGSIZE / sizeof(uint64_t)] = {sent[d]++};

    if (write(to, message, sizeof message) != sizeof message)
        fail("cannot write", file[d]);
}

/* Each message in its turn, but from the floor, which has none. */
static void get(enum door d, int from)
{
    uint64_t message[MSGSIZE / sizeof(uint64_t)];
    ssize_t n =
        d == PIPE ? read(from, message, sizeof message) : pread(from, message, sizeof message, 0);

    if (n != sizeof message)
        fail("cannot read", file[d]);
    if ((d == MQXFS || d == PIPE) && message[0] != received[d]++) {
        fprintf(stderr, "bench_files: %s: message %llu is not the next\n", file[d],
                (unsigned long long)message[0]);
        exit(1);
    }
}

static void operate(enum door d, enum what what)
{
    bool opens = what == OPEN_WRITE || what == OPEN_READ,
         writes = what == WRITE || what == OPEN_WRITE;
    int f = opens ? open(file[d], writes ? O_WRONLY : O_RDONLY) : writes ? out[d] : in[d];

    if (f < 0)
        fail("cannot open", file[d]);
    if (writes)
        put(d, f);
    else
        get(d, f);
    if (opens)
        close(f);
}

/* ns an operation; each batch that was written is read by the next. */
static void measure(enum door d, double *ns)
{
    for (enum what what = 0; what < WHATS; what++) {
        double from = now();

        for (int i = 0; i < BATCH; i++)
            operate(d, what);
        ns[what] = (now() - from) / BATCH;
    }
}

/* mqxfs beside another door, all operations; those from `from` on are shown. */
static void compare(enum door with, enum what from, const char *place)
{
    static struct result results[WHATS];

    for (int r = -1; r < rounds; r++) { /* the first warms up */
        double ns[2][WHATS];

        for (int i = 0; i < 2; i++) {
            int mine = (r + i) % 2 == 0;

            measure(mine ? MQXFS : with, ns[mine]);
        }
        for (int what = 0; r >= 0 && what < WHATS; what++) {
            results[what].first[r] = ns[0][what];
            results[what].mqx[r] = ns[1][what];
            results[what].ratio[r] = ns[1][what] / ns[0][what];
        }
    }
    for (enum what what = from; what < WHATS; what++) {
        results[what].name = what_names[what];
        results[what].place = place;
        results[what].first_name = json_names[with];
        results[what].maxmsg = MAXMSG;
        results[what].target = with == FLOOR ? TARGET : 0;
        table_row(&results[what], rounds);
    }
}

static void heading(enum door with)
{
    printf("\n%-13s %7s  %-10s %9s %9s %9s  %-14s  target\n", "", "maxmsg", "", door_names[with],
           "mqxfs", "ratio", "  range");
}

/* Client on the first CPU, servers on this one. */
static void bench_place(const char *mqxfs, const char *floor, int cpu, const char *place)
{
    mount_door(MQXFS, mqxfs, cpu);
    mount_door(FLOOR, floor, cpu);
    mount_door(CACHED, floor, cpu);
    heading(FLOOR);
    compare(FLOOR, WRITE, place);
    heading(CACHED);
    compare(CACHED, OPEN_WRITE, place);
    if (cpu == cpus[0]) { /* it has no server to be elsewhere */
        heading(PIPE);
        compare(PIPE, WRITE, place);
    }
    for (int d = 0; d < DOORS; d++)
        unmount(d);
}

static void find_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        fail("cannot read", "the CPU affinity");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set) && cpu_count++ < 2)
            cpus[cpu_count - 1] = cpu;
}

static const char *options(int argc, char **argv, const char **mqxfs, bool *strict)
{
    static const struct option table[] = {{"mqxfs", 1, NULL, 'm'},
                                          {"json", 1, NULL, 'j'},
                                          {"quick", 0, NULL, 'q'},
                                          {"strict", 0, NULL, 'x'},
                                          {NULL, 0, NULL, 0}};
    const char *json = NULL;
    int got;

    while ((got = getopt_long(argc, argv, "", table, NULL)) != -1 && got != '?') {
        *mqxfs = got == 'm' ? optarg : *mqxfs;
        json = got == 'j' ? optarg : json;
        rounds = got == 'q' ? 9 : rounds;
        *strict |= got == 'x';
    }
    if (got == -1 && optind == argc && *mqxfs)
        return json;
    fprintf(stderr, "usage: %s --mqxfs PROGRAM [--json FILE] [--quick] [--strict]\n", argv[0]);
    exit(2);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    const char *mqxfs = NULL;
    char floor[PATH_MAX];
    bool strict = false;
    const char *json = options(argc, argv, &mqxfs, &strict);
    ssize_t n = readlink("/proc/self/exe", floor, sizeof floor - 32);

    if (n < 0)
        fail("cannot read", "/proc/self/exe");
    floor[n] = 0;
    strcpy(strrchr(floor, '/'), "/floor");
    if (access("/dev/fuse", R_OK | W_OK) != 0) {
        printf("bench_files: skipped: /dev/fuse cannot be opened\n");
        return 0;
    }
    if (json && !(table_json = fopen(json, "w")))
        fail("cannot write", json);
    if (!mkdtemp(directory))
        fail("cannot make a directory in", "/dev/shm");
    owner = getpid();
    atexit(clean_up);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    alarm(TIMEOUT);
    find_cpus();
    write_conf();
    make_pipe();
    run_on(cpus[0]);
    printf(
        "queues as files: %d-byte messages, ns an operation, medians of %d batches of %d in turn\n",
        MSGSIZE, rounds, BATCH);
    if (table_json)
        fprintf(table_json, "{\"rounds\": %d, \"cpus\": %d, \"rows\": [", rounds, cpu_count);
    bench_place(mqxfs, floor, cpus[0], "one core");
    if (cpu_count > 1)
        bench_place(mqxfs, floor, cpus[1], "two cores");
    if (table_json && (fprintf(table_json, "\n]}\n") < 0 || fclose(table_json) != 0))
        fail("cannot write", json);
    printf("\nbench_files: %d rows measured, %d short of their target\n", table_rows, table_short);
    return strict && table_short;
}

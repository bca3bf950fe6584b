/*
 * Scribble storm: a hostile process writes into the segment of one queue, cuts it
 * off, or takes its memory (scribble.c, which runs beside this), while processes
 * with several threads work on that queue and, in between, on a healthy one.
 *
 * On the sick queue calls may fail, but only in ways that they are known to
 * fail; nothing crashes, and every blocked call ends with its deadline, with a
 * signal, or with cancellation, while the scribbling goes on.  On the healthy
 * queue everything arrives, once and in order.  Afterwards the sick one can be
 * removed and made again.
 *
 * Scribbling over the registry of clients is scribbling over all queues of this
 * user: then only the first of these promises holds, for both queues.
 */
#include "scribble_worker.h"

#include <libgen.h>
#include <limits.h>
#include <sys/mount.h>

static const struct mode modes[] = {
    {"words of a queue that is scanned", "bytes,words,flips,heal", 8, 64, false, false, EBADMSG},
    {"words of a queue with a tree", "bytes,words,flips,heal", 300, 3000, false, false, EBADMSG},
    {"sizes", "sizes,words,heal", 100, 1000, false, false, EIO},
    {"a full file system", "fill,sizes,heal", 100, 3000, false, true, ENOSPC},
    {"the registry of clients", "bytes,locks,sizes", 80, 300, true, false, 0},
};
#define MODES (sizeof modes / sizeof *modes)

static char program[PATH_MAX]; /* the scribbler */
static uint64_t seconds = 3, rounds = MODES, scribblers = 1;

/* --- a round ---------------------------------------------------------------------------------- */

/* What is scribbled on. */
static void target(char *path)
{
    const char *dir = getenv("MQX_DIR");

    if (mode->registry)
        snprintf(path, PATH_MAX, "%s/clients/%u", dir, (unsigned)geteuid());
    else
        snprintf(path, PATH_MAX, "%s/queues%s", dir, sick_name);
}

/* Before there is a mount namespace of our own: under chroot, its paths are others. */
static void find_scribbler(void)
{
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 12);

    program[n < 0 ? 0 : n] = 0;
    strcat(dirname(program), "/scribble");
}

static pid_t start_scribbler(unsigned i)
{
    char path[PATH_MAX], number[32];
    pid_t child;

    target(path);
    snprintf(number, sizeof number, "%" PRIu64, storm_mix(seed + round_number) + i + 1);
    child = storm_fork();
    if (child == 0) {
        unsetenv("LD_PRELOAD");
        execl(program, "scribble", "--seed", number, "--kinds", mode->kinds, path, (char *)NULL);
        perror(program);
        _exit(127);
    }
    return child;
}

/* Wait until a process has ended.  Its status, or -1: it has not, in time. */
static int reap(pid_t pid)
{
    uint64_t limit = storm_now() + 2 * STORM_LIMIT_NS;
    int status;

    while (storm_now() < limit) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        storm_nap(1000000);
    }
    storm_print_process(pid);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
}

/* Let them work; stop at the first fault, or when a thread makes no progress. */
static void watch(const pid_t *pids)
{
    uint64_t begun = storm_now(), seen[PROCESSES][ROLES] = {{0}}, since[PROCESSES][ROLES];
    siginfo_t ended;

    for (unsigned p = 0; p < PROCESSES; p++)
        for (unsigned r = 0; r < ROLES; r++)
            since[p][r] = begun;
    while (storm_now() - begun < seconds * UINT64_C(1000000000) && !atomic_load(&shared->faults)) {
        for (unsigned p = 0; p < PROCESSES; p++)
            for (unsigned r = 0; r < ROLES; r++) {
                uint64_t now = storm_now(), progress = atomic_load(&shared->thread[p][r].progress);

                if (progress != seen[p][r])
                    since[p][r] = now;
                seen[p][r] = progress;
                if (now - since[p][r] > 2 * STORM_LIMIT_NS)
                    fault("%s of process %u hangs", role_names[r], p);
            }
        for (unsigned p = 0; p < PROCESSES; p++) {
            ended.si_pid = 0;
            waitid(P_PID, (id_t)pids[p], &ended, WEXITED | WNOHANG | WNOWAIT);
            if (ended.si_pid)
                fault("process %u ended with %d", p, ended.si_status);
        }
        storm_nap(10000000);
    }
}

static void print_results(void)
{
    uint64_t sent = 0;

    for (unsigned p = 0; p < PROCESSES; p++)
        sent += atomic_load(&shared->well_sent[p]);
    printf("# %" PRIu64 " calls succeeded; failed:", shared->succeeded);
    for (int e = 0; e < ERRNOS; e++)
        if (shared->failed[e])
            printf(" %s=%" PRIu64, strerrorname_np(e), shared->failed[e]);
    printf("; ended by signal %" PRIu64 ", cancelled %" PRIu64 "; healthy messages %" PRIu64 "\n",
           shared->ended_by_signal, shared->cancelled, sent);
}

/* The queue that was sick, made anew, works; a registry is made anew when it was removed. */
static void check_after(void)
{
    char text[8] = "", path[PATH_MAX];
    unsigned prio = 0;
    mqd_t queue;

    target(path);
    if (mode->registry)
        unlink(path);
    mq_unlink(sick_name);
    queue = storm_open(sick_name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 8, sizeof text);
    storm_check(queue != (mqd_t)-1 && mq_send(queue, "again", 6, 3) == 0 &&
                    mq_receive(queue, text, sizeof text, &prio) == 6 &&
                    strcmp(text, "again") == 0 && prio == 3,
                "%s: afterwards the queue can be removed and made again", mode->name);
    mq_close(queue);
    mq_unlink(sick_name);
}

/* A file system of this round's own over $MQX_DIR. */
static bool have_small(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("small", getenv("MQX_DIR"), "tmpfs", 0, "size=6m,mode=1777") == 0;
}

static void prepare(void)
{
    mqd_t queue;

    memset(shared, 0, sizeof *shared);
    atomic_store(&shared->well_senders, PROCESSES - 1);
    well = storm_open(well_name, O_RDWR | O_CREAT | O_EXCL, mode->maxmsg, mode->msgsize);
    queue = storm_open(sick_name, O_RDWR | O_CREAT | O_EXCL, mode->maxmsg, mode->msgsize);
    if (well == (mqd_t)-1 || queue == (mqd_t)-1)
        storm_die("mq_open");
    /* The scribbler remembers how a good segment looks: one with messages in it, the first of them
     * where the tree is. */
    for (unsigned i = 0; i < mode->maxmsg / 2; i++)
        if (mq_send(queue, "message", 8, i / 8) != 0)
            storm_die("mq_send");
    mq_close(queue);
    mq_close(well);
}

static int run_round(void)
{
    pid_t pids[PROCESSES], enemies[8];

    if (mode->small && (geteuid() != 0 || !have_small())) {
        printf("# %s: left out, only root can mount a small file system\n", mode->name);
        return 0;
    }
    storm_guard((unsigned)seconds + 5 * STORM_LIMIT);
    prepare();
    for (unsigned i = 0; i < scribblers; i++)
        enemies[i] = start_scribbler(i);
    for (unsigned p = 0; p < PROCESSES; p++) {
        pids[p] = storm_fork();
        if (pids[p] == 0)
            worker(p);
    }
    watch(pids);
    atomic_store(&shared->stop, 1); /* with the scribbling going on */
    for (unsigned p = 0; p < PROCESSES; p++) {
        int status = reap(pids[p]);

        storm_check(status == 0, "%s: process %u ends well (status 0x%x)", mode->name, p, status);
    }
    for (unsigned i = 0; i < scribblers; i++) {
        kill(enemies[i], SIGTERM);
        storm_check(reap(enemies[i]) == 0, "%s: the scribbler worked to the end", mode->name);
    }
    print_results();
    storm_check(!shared->faults, "%s: every call did what it may%s%s", mode->name,
                shared->faults ? ": " : "", shared->fault);
    storm_check(shared->succeeded > 0 && (!mode->expected || shared->failed[mode->expected]),
                "%s: there were good calls, and the bad ones that were wanted", mode->name);
    check_after();
    mq_unlink(well_name);
    mq_unlink(sick_name);
    return storm_failed != 0;
}

int main(int argc, char **argv)
{
    const struct storm_option options[] = {
        {"seed", &seed, false, "repeat a run (the processes' timing is not repeated)"},
        {"seconds", &seconds, false, "of each round"},
        {"rounds", &rounds, false, "the kinds of rounds come in turn"},
        {"scribblers", &scribblers, false, "at most 8"},
        {0}};

    storm_options(argc, argv, options);
    if (storm_begin("scribble_storm", &seed) || !getenv("MQX_DIR") || scribblers > 8) {
        fprintf(stderr, "scribble_storm: the kernel's queues cannot be scribbled on: preload mqx, "
                        "and set MQX_DIR\n");
        return 2;
    }
    shared = storm_shared(sizeof *shared);
    find_scribbler();
    snprintf(sick_name, sizeof sick_name, "/sick-%d", (int)getpid());
    snprintf(well_name, sizeof well_name, "/well-%d", (int)getpid());
    for (round_number = 0; round_number < rounds; round_number++) {
        pid_t child;
        int status = 0;

        mode = &modes[round_number % MODES];
        fflush(stdout);
        child =
            storm_fork(); /* a process of its own: its mounts and its client number go with it */
        if (child == 0)
            exit(run_round());
        waitpid(child, &status, 0);
        storm_check(status == 0, "round %u: %s", round_number, mode->name);
    }
    return storm_end("scribble_storm", seed);
}

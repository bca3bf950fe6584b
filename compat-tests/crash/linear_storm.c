/*
 * Linear storm: several processes, threads and signal handlers send to and
 * receive from one queue, in all ways at once, and every call is noted down; then
 * a checker decides whether a bounded priority queue can have given these answers
 * (linear/check.h), "full", "empty" and "timed out" included.
 *
 * What goes wrong between two instructions is not met by chance.  So the callers
 * often share one CPU, are interrupted everywhere, and are killed and stopped in
 * the middle of calls (linear/worker.c).  And the queues are kept nearly empty,
 * nearly full, or with just a few messages in the tree, without ever being quite
 * so: there wrong answers show.
 *
 * Rounds are counted, not seconds.  What a round does follows from the seed, but
 * for the scheduler's choices; where it takes long, it is cut short once those who
 * are to be killed and stopped have been.
 */
#include "linear/worker.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#define PROCESSES LINEAR_PROCESSES
#define WORKERS   LINEAR_WORKERS
#define HARNESS   WORKERS
#define FILLERS   64 /* messages before the tree is used */
#define HELP_NS   UINT64_C(1000000)
#define ENOUGH_NS UINT64_C(300000000) /* a round takes some 50 ms where there is a CPU */

static const struct linear_regime regimes[] = {
    {"one slot", 1, 64, 0, 0, 1, -1, 1},
    {"two slots, nearly empty", 2, 64, 0, 1, 1, -1, 1},
    {"two slots, nearly full", 2, 300, 0, 1, 2, -1, 1},
    {"nearly empty", 8, 64, 0, 1, 3, -1, 1},
    {"nearly full", 8, 64, 0, 7, 3, -1, 1},
    {"at random", 8, 700, 0, 4, 3, -99, 99},
    {"64 slots, nearly empty", 64, 64, 0, 2, 4, -1, 1},
    {"64 slots, nearly full", 64, 300, 60, 3, 3, -1, 1},
    {"tree of six", 70, 64, FILLERS, 2, 3, -1, 1},
    {"tree, one by one", 70, 300, FILLERS, 1, 2, -1, 1},
    {"tree, nearly full", 70, 64, FILLERS, 5, 2, -1, 1},
    {"two levels", 300, 64, 100, 20, 4, -2, 2},
    {"around the edge of the tree", 300, 300, 0, FILLERS, 3, -8, 8},
    {"at random, deep", 1200, 64, FILLERS, 60, 4, -99, 99},
};
#define REGIMES (sizeof regimes / sizeof *regimes)

static uint64_t seed, rounds = 200, only = REGIMES;
static struct linear_shared *shared;
static struct linear_queue queues[REGIMES];
static uint64_t chance;
static unsigned regime; /* of this round */
static cpu_set_t cpus;
static int crashed; /* how a process ended that nobody killed */
static bool settled = true;

static struct {
    pid_t pid;
    bool stopped;
    uint64_t until; /* so many calls were begun; or the others are done */
} process[PROCESSES];

static struct {
    uint64_t rounds, calls, empty, full, late, kills, killed, stops, undecided, wrong;
} total, found[REGIMES];

/* --- a round -----------------------------------------------------------------------------------
 */

/* They join with the next round. */
static void start_process(unsigned p)
{
    for (unsigned lane = p; lane < WORKERS; lane += PROCESSES)
        atomic_store(&shared->lane[lane].parked, atomic_load(&shared->start));
    process[p].pid = storm_fork();
    if (process[p].pid == 0)
        linear_be_process(shared, p);
}

static enum linear_result harness(enum linear_kind kind, enum linear_how how, unsigned prio)
{
    return linear_call(&shared->log, HARNESS, queues[regime], kind, how, prio,
                       how == LINEAR_TIMED ? 200000 : 0);
}

static void bury(unsigned p)
{
    uint64_t death = linear_tick(&shared->log);

    process[p].pid = 0;
    for (unsigned lane = p; lane < WORKERS; lane += PROCESSES) {
        shared->log.lane[lane].dead = 1;
        shared->log.lane[lane].death = death;
        atomic_store(&shared->lane[lane].parked, atomic_load(&shared->start));
    }
    found[regime].kills++;
}

static uint64_t calls_begun(void)
{
    uint64_t count = 0;

    for (unsigned lane = 0; lane < WORKERS; lane++)
        count += atomic_load(&shared->log.lane[lane].count);
    return count;
}

/* Who died, and who has stopped?  These go on when the others have done some calls, or all. */
static void look_at_processes(void)
{
    for (unsigned p = 0; p < PROCESSES; p++) {
        int status;

        if (!process[p].pid || waitpid(process[p].pid, &status, WUNTRACED | WNOHANG) <= 0)
            continue;
        if (WIFSTOPPED(status)) {
            process[p].stopped = true;
            process[p].until =
                storm_below(&chance, 3) ? calls_begun() + storm_below(&chance, 1000) : UINT64_MAX;
            found[regime].stops++;
            continue;
        }
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            crashed = status;
        bury(p);
    }
}

static bool any_stopped(void)
{
    for (unsigned p = 0; p < PROCESSES; p++)
        if (process[p].stopped)
            return true;
    return false;
}

/* All that are not stopped. */
static bool all_parked(void)
{
    uint32_t round = atomic_load(&shared->start);

    for (unsigned lane = 0; lane < WORKERS; lane++)
        if (!process[linear_process_of(lane)].stopped &&
            atomic_load(&shared->lane[lane].parked) != round)
            return false;
    return true;
}

/* Let those go on whose time has come; if nobody else does, one of them.  Says whether any did. */
static bool let_go_on(bool nobody_else)
{
    uint64_t begun = calls_begun();

    for (unsigned p = 0; p < PROCESSES; p++) {
        if (!process[p].stopped || (begun < process[p].until && !nobody_else))
            continue;
        for (unsigned i = 0; nobody_else && i < 6; i++) /* beside one that stands still */
            harness(storm_below(&chance, 2) ? LINEAR_SEND : LINEAR_RECEIVE, LINEAR_HASTY, 1);
        process[p].stopped = false;
        kill(process[p].pid, SIGCONT);
        return true;
    }
    return false;
}

/* A call that has not returned; NULL: none. */
static const struct linear_call *under_way(unsigned lane)
{
    const struct linear_lane *l = &shared->log.lane[lane];

    for (uint32_t n = 0; !l->dead && n < atomic_load(&l->count) && n < LINEAR_CALLS; n++)
        if (atomic_load(&l->calls[n].begin) && !atomic_load(&l->calls[n].end))
            return &l->calls[n];
    return NULL;
}

/* Callers wait for each other, or for those who have finished: send or receive for one of them. Not
 * for several, or what one needs would be taken away for the next.  Where the queue is full and
 * empty at once, all its slots belong to calls under way (linear/check.h), perhaps of those who are
 * stopped: nobody can go on before one of these does. */
static void help(void)
{
    unsigned from = (unsigned)storm_below(&chance, WORKERS);

    for (unsigned i = 0; i < WORKERS; i++) {
        unsigned lane = (from + i) % WORKERS;
        const struct linear_call *c =
            process[linear_process_of(lane)].stopped ? NULL : under_way(lane);

        if (!c)
            continue;
        if (harness(c->kind == LINEAR_SEND ? LINEAR_RECEIVE : LINEAR_SEND, LINEAR_HASTY, 1) ==
                LINEAR_REFUSED &&
            any_stopped() && harness(c->kind, LINEAR_HASTY, 1) == LINEAR_REFUSED)
            let_go_on(true);
        return;
    }
}

static void print_hang(void)
{
    uint32_t round = atomic_load(&shared->start);

    printf("# hang in round %u, %s: %ld messages\n", round, regimes[regime].name,
           storm_count(queues[regime].hasty));
    for (unsigned lane = 0; lane < WORKERS; lane++) {
        const struct linear_call *c = under_way(lane);

        printf("# %u: %u calls%s%s%s", lane, shared->log.lane[lane].count,
               atomic_load(&shared->lane[lane].parked) == round ? ", parked" : "",
               shared->log.lane[lane].dead ? ", dead" : "",
               !c                       ? ""
               : c->kind == LINEAR_SEND ? ", in a send"
                                        : ", in a receive");
        storm_print_process(process[linear_process_of(lane)].pid);
    }
}

/* Until all are done.  False: they hang, or failed. */
static bool wait_parked(void)
{
    uint64_t begun = 0, since = storm_now(), since_help = since, patience = HELP_NS;

    for (;;) {
        uint64_t now;
        bool parked;

        look_at_processes();
        parked = all_parked();
        if (parked && !any_stopped())
            return true;
        if (crashed || atomic_load(&shared->log.failed_errno))
            return false;
        now = calls_begun();
        if (let_go_on(parked) || now != begun) {
            since = since_help = storm_now();
            patience = HELP_NS;
        } else if (storm_now() - since > STORM_LIMIT_NS) {
            print_hang();
            return false;
        } else if (storm_now() - since_help > patience) {
            help();
            since_help = storm_now();
            if (patience < 64 * HELP_NS)
                patience *= 2; /* they may be slow */
        }
        begun = now;
        storm_nap(50000);
    }
}

/* Empty the queue; what the dead held is found on the way, since this waits in the end. */
static void drain(void)
{
    while (harness(LINEAR_RECEIVE, LINEAR_TIMED, 0) == LINEAR_DONE)
        ;
}

static void fill(const struct linear_regime *r)
{
    for (uint32_t i = 0; i < r->fillers + r->start; i++)
        harness(LINEAR_SEND, LINEAR_HASTY,
                i < r->fillers ? 0 : 1 + (unsigned)storm_below(&chance, r->priorities));
}

/* --- the verdict --------------------------------------------------------------------------- */

static void count_calls(const struct linear_history *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct linear_op *o = &h->ops[i];

        found[regime].calls++;
        found[regime].killed += o->result == LINEAR_KILLED;
        found[regime].empty += o->result == LINEAR_REFUSED && o->kind == LINEAR_RECEIVE;
        found[regime].full += o->result == LINEAR_REFUSED && o->kind == LINEAR_SEND;
        found[regime].late += o->since != 0;
    }
}

static void judge(struct linear_history *h, bool steady)
{
    struct linear_verdict v;
    uint32_t early;

    linear_collect(&shared->log, steady, h, &early);
    count_calls(h);
    v = linear_check(h);
    found[regime].undecided += v.fault == LINEAR_UNDECIDED;
    if (early || shared->log.damaged)
        printf("# %u timed out early, %u damaged\n", early, shared->log.damaged);
    if (early || shared->log.damaged || (v.fault != LINEAR_RIGHT && v.fault != LINEAR_UNDECIDED)) {
        const struct linear_plan *p = &shared->plan;

        found[regime].wrong++;
        printf("# round %u, %s: %u calls, %s%s, timers up to %u ns\n", shared->start,
               regimes[regime].name, h->count, p->cpu >= 0 ? "one CPU" : "all CPUs",
               p->waits ? ", some wait" : "", p->haste);
        linear_explain(h);
    }
    free(h->ops);
}

/* Somebody who takes part and has no such fate yet, in the middle of the round. */
static void doom(int signal)
{
    struct linear_plan *p = &shared->plan;

    for (unsigned i = 0; i < 20; i++) {
        unsigned lane = (unsigned)storm_below(&chance, WORKERS);

        if (!(p->lanes >> lane & 1) || p->fate[lane].signal)
            continue;
        p->fate[lane].signal = signal;
        p->fate[lane].call = (uint32_t)storm_below(&chance, p->calls * 3 / 4);
        return;
    }
}

static void make_plan(uint64_t round)
{
    struct linear_plan *p = &shared->plan;
    uint64_t turn = round % REGIMES + round / REGIMES; /* each regime with, and without */
    bool kills = turn % 4 == 0;

    memset(p, 0, sizeof *p);
    regime = (unsigned)(only < REGIMES ? only : round % REGIMES);
    p->regime = regimes[regime];
    p->queue = queues[regime];
    p->calls = kills ? 40 + (uint32_t)storm_below(&chance, 80)
                     : 500 + (uint32_t)storm_below(&chance, 1500);
    p->lanes =
        storm_below(&chance, 3) ? (1u << WORKERS) - 1 : 7u << storm_below(&chance, WORKERS - 2);
    p->cpu = -1;
    if (CPU_COUNT(&cpus) == 1 || storm_below(&chance, 4))
        for (p->cpu = 0; !CPU_ISSET(p->cpu, &cpus);)
            p->cpu++;
    p->restart = storm_below(&chance, 3);
    p->waits = storm_below(&chance, 3) == 0;
    p->haste = storm_below(&chance, 8) ? 20000u << storm_below(&chance, 5) : 0;
    for (uint64_t n = kills ? 1 + storm_below(&chance, 2) : 0; n > 0; n--)
        doom(SIGKILL);
    for (uint64_t n = turn % 3 == 0 ? 1 + storm_below(&chance, 3) : 0; n > 0; n--)
        doom(SIGSTOP);
    shared->log.msgsize = p->regime.msgsize;
}

/* Wall clock less the other one: it changes where the clock is set. */
static int64_t clock_offset(void)
{
    struct timespec wall = storm_deadline(0);

    return (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - (int64_t)storm_now();
}

static void do_round(const struct linear_regime *r)
{
    struct linear_history h = {.maxmsg = r->maxmsg, .lazy = r->maxmsg > 64};
    int64_t offset = clock_offset();

    fill(r);
    shared->plan.enough_ns = storm_now() + ENOUGH_NS;
    atomic_fetch_add(&shared->start, 1);
    syscall(SYS_futex, &shared->start, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    settled = wait_parked();
    if (!settled)
        return;
    h.mended = linear_tick(&shared->log);
    drain();
    if (r->maxmsg <= 300) { /* has everything come back? */
        while (harness(LINEAR_SEND, LINEAR_HASTY, 1) == LINEAR_DONE)
            ;
        drain();
    }
    h.passes_slots = h.lazy || r->msgsize > 160;
    judge(&h, llabs(clock_offset() - offset) < 1000000);
}

/* False: no further round. */
static bool next_round(uint64_t round)
{
    make_plan(round);
    atomic_store(&shared->log.round, shared->start + 1);
    do_round(&regimes[regime]);
    found[regime].rounds++;
    for (unsigned p = 0; p < PROCESSES; p++)
        if (!process[p].pid)
            start_process(p);
    linear_forget(&shared->log);
    return settled && found[regime].wrong < 3;
}

/* --- all of it ---------------------------------------------------------------------------------
 */

static void open_queues(void)
{
    for (unsigned i = 0; i < REGIMES; i++) {
        char name[64];
        const struct linear_regime *r = &regimes[i];

        snprintf(name, sizeof name, "/linear-storm-%d-%u", (int)getpid(), i);
        queues[i].patient = storm_open(name, O_CREAT | O_EXCL | O_RDWR, r->maxmsg, r->msgsize);
        queues[i].hasty = mq_open(name, O_RDWR | O_NONBLOCK);
        if (queues[i].patient == (mqd_t)-1 || queues[i].hasty == (mqd_t)-1)
            storm_die("mq_open");
        mq_unlink(name);
    }
}

static void report(void)
{
    printf("#  rounds    calls  \"empty\"   \"full\"  late  killed  stopped\n");
    for (unsigned i = 0; i < REGIMES; i++) {
        printf("# %7" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %5" PRIu64 " %7" PRIu64
               " %8" PRIu64 "  %s\n",
               found[i].rounds, found[i].calls, found[i].empty, found[i].full, found[i].late,
               found[i].kills, found[i].stops, regimes[i].name);
        total.rounds += found[i].rounds;
        total.calls += found[i].calls;
        total.empty += found[i].empty;
        total.full += found[i].full;
        total.late += found[i].late;
        total.wrong += found[i].wrong;
        total.undecided += found[i].undecided;
        total.kills += found[i].kills;
        total.killed += found[i].killed;
        total.stops += found[i].stops;
    }
}

static void check_all(void)
{
    storm_check(!shared->log.failed_errno, "no call fails: %s",
                shared->log.failed_errno ? strerror(shared->log.failed_errno) : "right");
    storm_check(!crashed, "nobody crashes: status %d", crashed);
    storm_check(settled || crashed || shared->log.failed_errno, "nobody hangs");
    storm_check(!total.wrong && total.rounds,
                "%" PRIu64 " calls in %" PRIu64 " rounds are linearizable", total.calls,
                total.rounds);
    storm_check(total.undecided * 20 <= total.rounds, "%" PRIu64 " rounds undecided",
                total.undecided);
    storm_check(total.empty && total.full && total.late,
                "%" PRIu64 " calls found it empty, %" PRIu64 " full, of them %" PRIu64
                " at their deadline",
                total.empty, total.full, total.late);
    storm_check((total.kills && total.killed && total.stops) || rounds < 4,
                "%" PRIu64 " processes were killed, in %" PRIu64 " calls, and %" PRIu64 " stopped",
                total.kills, total.killed, total.stops);
}

int main(int argc, char **argv)
{
    const struct storm_option options[] = {
        {"rounds", &rounds, false, "how many (200)"},
        {"seed", &seed, false, "for the random choices (from the clock)"},
        {"regime", &only, false, "only this one"},
        {NULL, NULL, false, NULL}};
    bool going = true;

    storm_options(argc, argv, options);
    storm_begin("linear_storm", &seed);
    chance = seed;
    sched_getaffinity(0, sizeof cpus, &cpus);
    shared = storm_shared(sizeof *shared);
    shared->seed = seed;
    open_queues();
    for (unsigned p = 0; p < PROCESSES; p++)
        start_process(p);
    for (uint64_t i = 0; going && i < rounds; i++)
        going = next_round(i);
    for (unsigned p = 0; p < PROCESSES; p++)
        if (process[p].pid) {
            kill(process[p].pid, SIGKILL);
            waitpid(process[p].pid, NULL, 0);
        }
    report();
    check_all();
    return storm_end("linear_storm", seed);
}

/*
 * Linear storm: several processes, threads and signal handlers send to and
 * receive from one queue, in all ways at once, and every call is noted down; then
 * a checker decides whether a bounded priority queue can have given these answers
 * (linear/check.h), "full", "empty" and "timed out" included.
 *
 * What goes wrong between two instructions is not met by chance.  So the callers
 * often share one CPU, and timers interrupt them after a random time, from one
 * instruction on: the handler gives the CPU to the others, who do a hundred
 * calls, or makes a call of its own.  The harness stops callers and kills them.
 * And the queues are kept nearly empty, nearly full, or with just a few messages
 * in the tree, without ever being quite so: there wrong answers show.
 */
#include "linear/log.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#define PROCESSES 4
#define WORKERS   6 /* threads: two of the processes have two */
#define HARNESS   WORKERS
#define HASTE     SIGUSR1 /* the timers' signal */
#define FILLERS   64      /* messages before the tree is used */

/* How a round's queue is kept. */
struct regime {
    const char *name;
    uint32_t maxmsg, msgsize;
    uint32_t fillers;    /* messages of priority 0 that stay */
    uint32_t start;      /* further messages at the start */
    uint32_t priorities; /* 1 to this */
    int low, high;       /* how many more a caller sends than it receives */
};

static const struct regime regimes[] = {
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

/* What a round is like; chosen by the harness. */
struct plan {
    uint32_t regime, calls;
    uint32_t lanes; /* bits: who takes part */
    int cpu;        /* all on this one; -1: anywhere */
    bool restart;   /* handlers with SA_RESTART */
    bool waits;     /* calls that block, too */
    uint32_t haste; /* timers: longest time, ns; 0: none */
    uint32_t kills, stops;
};

struct shared {
    struct linear_log log;
    struct plan plan;
    _Alignas(128) _Atomic uint32_t start; /* futex: the round that workers may work in */
    struct {
        _Alignas(128) _Atomic uint32_t parked; /* the round that it is done with */
    } lane[WORKERS];
};

static uint64_t seed, seconds = 15, rounds, only = REGIMES;
static struct shared *shared;
static struct linear_queue queues[REGIMES];
static uint64_t chance;
static pid_t pids[PROCESSES];
static cpu_set_t cpus;
static bool kernel;

static struct {
    uint64_t rounds, calls, empty, full, late, kills, stops, nested, undecided, wrong;
} total, found[REGIMES];

/* --- the workers ------------------------------------------------------------------------------- */

static _Thread_local struct {
    unsigned lane;
    uint64_t chance, handler_chance;
    timer_t timer;
    volatile bool hasty; /* is the timer to go on? */
} me;

static unsigned process_of(unsigned lane)
{
    return lane % PROCESSES;
}

/* Now and then at once: for windows that must be met twice in a row. */
static void arm(uint64_t *c)
{
    uint64_t ns = storm_below(c, storm_below(c, 4) ? shared->plan.haste : 3000) + 1;
    struct itimerspec when = {.it_value.tv_nsec = (long)ns};

    timer_settime(me.timer, 0, &when, NULL);
}

static void call_at_random(uint64_t *c, bool nested)
{
    const struct plan *p = &shared->plan;
    const struct regime *r = &regimes[p->regime];
    struct linear_lane *l = &shared->log.lane[me.lane];
    int balance = atomic_load(&l->balance);
    /* Half of them are a message ahead, the others one behind. */
    int high = me.lane % 2 ? r->high - 1 : r->high, low = me.lane % 2 ? r->low : r->low + 1;
    bool send = storm_below(c, 2);
    enum linear_how how = LINEAR_HASTY;

    if (balance >= high)
        send = storm_below(c, 32) == 0;
    else if (balance <= low)
        send = storm_below(c, 32) != 0;
    if (!nested && p->waits)
        how = (enum linear_how)(storm_below(c, 8) < 5   ? LINEAR_HASTY
                                : storm_below(c, 8) < 6 ? LINEAR_TIMED
                                                        : LINEAR_PATIENT);
    linear_call(&shared->log, me.lane, queues[p->regime], send ? LINEAR_SEND : LINEAR_RECEIVE, how,
                1 + (unsigned)storm_below(c, r->priorities),
                storm_below(c, 4) ? storm_below(c, 300000) : 0);
}

/* Let the others go on, right here. */
static void in_haste(int signal)
{
    uint64_t *c = &me.handler_chance;
    int error = errno;

    (void)signal;
    if (!me.hasty)
        return;
    switch (storm_below(c, 32)) {
    case 0: call_at_random(c, true); break;
    case 1: storm_nap(storm_below(c, 200000)); break;
    default:
        for (uint64_t times = 1 + storm_below(c, 3); times > 0; times--)
            sched_yield();
    }
    arm(c);
    errno = error;
}

static void settle_down(const struct plan *p)
{
    struct sigaction action = {.sa_handler = in_haste, .sa_flags = p->restart ? SA_RESTART : 0};
    cpu_set_t one;

    CPU_ZERO(&one);
    if (p->cpu >= 0)
        CPU_SET(p->cpu, &one);
    sched_setaffinity(0, sizeof one, p->cpu >= 0 ? &one : &cpus);
    sigaction(HASTE, &action, NULL);
}

static void do_round(uint32_t round)
{
    const struct plan *p = &shared->plan;
    struct linear_lane *l = &shared->log.lane[me.lane];

    me.chance = storm_mix(seed + round) + me.lane * 1000;
    me.handler_chance = ~me.chance;
    settle_down(p);
    if (p->haste) {
        me.hasty = true;
        arm(&me.handler_chance);
    }
    while (atomic_load(&l->count) < p->calls)
        call_at_random(&me.chance, false);
    me.hasty = false;
    atomic_store(&shared->lane[me.lane].parked, round);
}

static void *work(void *arg)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = HASTE};
    uint32_t round = 0;

    me.lane = (unsigned)(uintptr_t)arg;
    event._sigev_un._tid = (int)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &me.timer) != 0)
        storm_die("timer_create");
    round = atomic_load(&shared->lane[me.lane].parked);
    for (;;) {
        uint32_t start = atomic_load(&shared->start);

        if (start == round) {
            syscall(SYS_futex, &shared->start, FUTEX_WAIT, round, NULL, NULL, 0);
            continue;
        }
        round = start;
        if (shared->plan.lanes >> me.lane & 1)
            do_round(round);
        else
            atomic_store(&shared->lane[me.lane].parked, round);
    }
    return NULL;
}

static void be_process(unsigned process)
{
    pthread_t thread;

    signal(HASTE, SIG_IGN);
    for (unsigned lane = process + PROCESSES; lane < WORKERS; lane += PROCESSES)
        if (pthread_create(&thread, NULL, work, (void *)(uintptr_t)lane) != 0)
            storm_die("pthread_create");
    work((void *)(uintptr_t)process);
}

/* --- the harness: a round ---------------------------------------------------------------------- */

/* They join with the next round. */
static void start_process(unsigned process)
{
    for (unsigned lane = process; lane < WORKERS; lane += PROCESSES)
        atomic_store(&shared->lane[lane].parked, atomic_load(&shared->start));
    pids[process] = storm_fork();
    if (pids[process] == 0)
        be_process(process);
}

static enum linear_result harness(enum linear_kind kind, enum linear_how how, unsigned prio)
{
    return linear_call(&shared->log, HARNESS, queues[shared->plan.regime], kind, how, prio,
                       how == LINEAR_TIMED ? 200000 : 0);
}

static void kill_process(unsigned process)
{
    uint32_t round = atomic_load(&shared->start);
    uint64_t death;

    kill(pids[process], SIGKILL);
    if (waitpid(pids[process], NULL, 0) != pids[process])
        storm_die("waitpid");
    death = linear_tick(&shared->log);
    for (unsigned lane = process; lane < WORKERS; lane += PROCESSES) {
        shared->log.lane[lane].dead = 1;
        shared->log.lane[lane].death = death;
        atomic_store(&shared->lane[lane].parked, round);
    }
}

static bool all_parked(unsigned except)
{
    uint32_t round = atomic_load(&shared->start);

    for (unsigned lane = 0; lane < WORKERS; lane++)
        if (process_of(lane) != except && atomic_load(&shared->lane[lane].parked) != round)
            return false;
    return true;
}

static uint64_t calls_begun(void)
{
    uint64_t count = 0;

    for (unsigned lane = 0; lane < WORKERS; lane++)
        count += atomic_load(&shared->log.lane[lane].count);
    return count;
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

/* Callers wait for each other, or for those who have finished: send or receive for them. */
static void help(unsigned except)
{
    for (unsigned lane = 0; lane < WORKERS; lane++) {
        const struct linear_call *c = process_of(lane) == except ? NULL : under_way(lane);

        if (c)
            harness(c->kind == LINEAR_SEND ? LINEAR_RECEIVE : LINEAR_SEND, LINEAR_HASTY, 1);
    }
}

static void print_hang(void)
{
    uint32_t round = atomic_load(&shared->start);

    printf("# hang in round %u, %s: %ld messages\n", round, regimes[shared->plan.regime].name,
           storm_count(queues[shared->plan.regime].hasty));
    for (unsigned lane = 0; lane < WORKERS; lane++) {
        const struct linear_call *c = under_way(lane);

        printf("# %u: %u calls%s%s%s", lane, shared->log.lane[lane].count,
               atomic_load(&shared->lane[lane].parked) == round ? ", parked" : "",
               shared->log.lane[lane].dead ? ", dead" : "",
               !c ? "" : c->kind == LINEAR_SEND ? ", in a send" : ", in a receive");
        storm_print_process(pids[process_of(lane)]);
    }
}

/* Until all but one process are done.  False: they hang. */
static bool wait_parked(unsigned except)
{
    uint64_t begun = 0, since = storm_now();

    while (!all_parked(except)) {
        uint64_t now = calls_begun();

        storm_nap(200000);
        if (now != begun)
            since = storm_now();
        else if (storm_now() - since > STORM_LIMIT_NS) {
            print_hang();
            return false;
        }
        else if (storm_now() - since > 3000000)
            help(except);
        begun = now;
        if (atomic_load(&shared->log.failed_errno))
            return false;
    }
    return true;
}

/* Stop somebody for a moment; or until all others are done, and beyond. */
static bool stop_somebody(void)
{
    unsigned process = (unsigned)storm_below(&chance, PROCESSES);
    bool settled = true;

    kill(pids[process], SIGSTOP);
    if (storm_below(&chance, 4)) {
        storm_nap(storm_below(&chance, 3000000));
    } else {
        settled = wait_parked(process);
        for (unsigned i = 0; settled && i < 6; i++)
            harness(storm_below(&chance, 2) ? LINEAR_SEND : LINEAR_RECEIVE, LINEAR_HASTY, 1);
    }
    kill(pids[process], SIGCONT);
    found[shared->plan.regime].stops++;
    return settled;
}

/* Empty the queue; what the dead held is found on the way, since this waits in the end. */
static void drain(bool waits)
{
    while (harness(LINEAR_RECEIVE, waits ? LINEAR_TIMED : LINEAR_HASTY, 0) == LINEAR_DONE)
        ;
}

static void fill(const struct regime *r)
{
    for (uint32_t i = 0; i < r->fillers + r->start; i++)
        harness(LINEAR_SEND, LINEAR_HASTY,
                i < r->fillers ? 0 : 1 + (unsigned)storm_below(&chance, r->priorities));
}

/* False: somebody hangs. */
static bool do_the_round(void)
{
    const struct plan *p = &shared->plan;
    uint32_t kills = p->kills, stops = p->stops;
    bool settled = true;

    fill(&regimes[p->regime]);
    atomic_fetch_add(&shared->start, 1);
    syscall(SYS_futex, &shared->start, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    while (settled && kills + stops > 0 && !all_parked(PROCESSES)) {
        storm_nap(storm_below(&chance, 1500000));
        if (storm_below(&chance, kills + stops) < stops) {
            settled = stop_somebody();
            stops--;
        } else {
            unsigned process = (unsigned)storm_below(&chance, PROCESSES);

            if (!shared->log.lane[process].dead)
                kill_process(process);
            kills--;
        }
    }
    return settled && wait_parked(PROCESSES);
}

/* --- the harness: the verdict ---------------------------------------------------------------- */

static void count_calls(const struct linear_history *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct linear_op *o = &h->ops[i];

        found[shared->plan.regime].calls++;
        found[shared->plan.regime].kills += o->result == LINEAR_KILLED;
        found[shared->plan.regime].empty +=
            o->result == LINEAR_REFUSED && o->kind == LINEAR_RECEIVE;
        found[shared->plan.regime].full += o->result == LINEAR_REFUSED && o->kind == LINEAR_SEND;
        found[shared->plan.regime].late += o->since != 0;
    }
}

static void judge(struct linear_history *h, bool steady)
{
    struct linear_verdict v;
    uint32_t early;

    linear_collect(&shared->log, steady, h, &early);
    count_calls(h);
    v = linear_check(h);
    found[shared->plan.regime].undecided += v.fault == LINEAR_UNDECIDED;
    if (early || shared->log.damaged)
        printf("# %u timed out early, %u damaged\n", early, shared->log.damaged);
    if (early || shared->log.damaged ||
        (v.fault != LINEAR_RIGHT && v.fault != LINEAR_UNDECIDED)) {
        const struct plan *p = &shared->plan;

        found[p->regime].wrong++;
        printf("# round %u, %s: %u calls, %s, timers up to %u ns, %u kills, %u stops\n",
               shared->start, regimes[p->regime].name, h->count,
               p->cpu >= 0 ? "one CPU" : "all CPUs", p->haste, p->kills, p->stops);
        linear_explain(h);
    }
    free(h->ops);
}

static void make_plan(void)
{
    struct plan *p = &shared->plan;
    const struct regime *r;
    bool kills = storm_below(&chance, 4) == 0;

    p->regime = (uint32_t)(only < REGIMES ? only : storm_below(&chance, REGIMES));
    r = &regimes[p->regime];
    p->calls = kills ? 40 + (uint32_t)storm_below(&chance, 80)
                     : 500 + (uint32_t)storm_below(&chance, 1500);
    p->lanes = storm_below(&chance, 3) ? (1u << WORKERS) - 1
                                       : 7u << storm_below(&chance, WORKERS - 2);
    p->cpu = -1;
    if (CPU_COUNT(&cpus) == 1 || storm_below(&chance, 4))
        for (p->cpu = 0; !CPU_ISSET(p->cpu, &cpus);)
            p->cpu++;
    p->restart = storm_below(&chance, 3);
    p->waits = storm_below(&chance, 3) == 0;
    p->haste = storm_below(&chance, 8) ? 20000u << storm_below(&chance, 5) : 0;
    p->kills = kills ? 1 + (uint32_t)storm_below(&chance, 2) : 0;
    p->stops = storm_below(&chance, 3) == 0 ? 1 + (uint32_t)storm_below(&chance, 3) : 0;
    shared->log.msgsize = r->msgsize;
}

/* Wall clock less the other one: it changes where the clock is set. */
static int64_t clock_offset(void)
{
    struct timespec wall = storm_deadline(0);

    return (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - (int64_t)storm_now();
}

/* False: no further round. */
static bool next_round(void)
{
    struct linear_history h = {0};
    int64_t offset = clock_offset();
    const struct regime *r;
    bool settled;

    make_plan();
    r = &regimes[shared->plan.regime];
    atomic_store(&shared->log.round, shared->start + 1);
    settled = do_the_round();
    if (!settled)
        return false;
    h.mended = linear_tick(&shared->log);
    drain(shared->plan.kills);
    if (shared->plan.kills && r->maxmsg <= 300) { /* has everything come back? */
        while (harness(LINEAR_SEND, LINEAR_HASTY, 1) == LINEAR_DONE)
            ;
        drain(false);
    }
    h.maxmsg = r->maxmsg;
    h.lazy = r->maxmsg > 64;
    h.passes_slots = h.lazy || r->msgsize > 160;
    judge(&h, llabs(clock_offset() - offset) < 1000000);
    found[shared->plan.regime].rounds++;
    for (unsigned process = 0; process < PROCESSES; process++)
        if (shared->log.lane[process].dead)
            start_process(process);
    linear_forget(&shared->log);
    return found[shared->plan.regime].wrong < 3;
}

/* --- all of it --------------------------------------------------------------------------------- */

static void open_queues(void)
{
    for (unsigned i = 0; i < REGIMES; i++) {
        char name[64];
        const struct regime *r = &regimes[i];

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
    printf("#  rounds    calls  \"empty\"   \"full\"  late  killed  stops\n");
    for (unsigned i = 0; i < REGIMES; i++) {
        printf("# %7" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %5" PRIu64 " %7" PRIu64
               " %6" PRIu64 "  %s\n",
               found[i].rounds, found[i].calls, found[i].empty, found[i].full, found[i].late,
               found[i].kills, found[i].stops, regimes[i].name);
        total.rounds += found[i].rounds;
        total.calls += found[i].calls;
        total.empty += found[i].empty;
        total.full += found[i].full;
        total.wrong += found[i].wrong;
        total.undecided += found[i].undecided;
        total.kills += found[i].kills;
    }
}

int main(int argc, char **argv)
{
    const struct storm_option options[] = {
        {"seconds", &seconds, false, "begin no further round after that time (15)"},
        {"rounds", &rounds, false, "nor after so many (any number)"},
        {"seed", &seed, false, "for the random choices (from the clock)"},
        {"regime", &only, false, "only this one"},
        {NULL, NULL, false, NULL}};
    uint64_t until;
    bool going = true;

    storm_options(argc, argv, options);
    kernel = storm_begin("linear_storm", &seed);
    until = storm_now() + seconds * 1000000000;
    chance = seed;
    sched_getaffinity(0, sizeof cpus, &cpus);
    shared = storm_shared(sizeof *shared);
    open_queues();
    for (unsigned process = 0; process < PROCESSES; process++)
        start_process(process);
    for (uint64_t i = 0; going && (rounds == 0 || i < rounds) && storm_now() < until; i++)
        going = next_round();
    for (unsigned process = 0; process < PROCESSES; process++) {
        kill(pids[process], SIGKILL);
        waitpid(pids[process], NULL, 0);
    }
    report();
    storm_check(!shared->log.failed_errno, "no call fails: %s",
                shared->log.failed_errno ? strerror(shared->log.failed_errno) : "right");
    storm_check(going || total.wrong, "nobody hangs");
    storm_check(!total.wrong && total.rounds,
                "%" PRIu64 " calls in %" PRIu64 " rounds are linearizable", total.calls,
                total.rounds);
    storm_check(total.undecided * 100 <= total.rounds, "%" PRIu64 " rounds undecided",
                total.undecided);
    storm_check(total.empty && total.full && (only < REGIMES || total.kills),
                "%" PRIu64 " were refused, %" PRIu64 " killed", total.empty + total.full,
                total.kills);
    return storm_end("linear_storm", seed);
}

/*
 * A caller does as many calls as the round's plan says, of random kinds, while a
 * timer interrupts it after a random time, from one instruction on: the handler
 * gives the CPU to the others, who do a hundred calls, or makes a call of its own.
 *
 * Whoever is to be killed or stopped does it to itself, in that handler, and only
 * where it interrupted a call: so however slow the machine is, what was planned
 * happens, and happens in the middle.
 */
#include "worker.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#define HASTE   SIGUSR1 /* the timers' signal */
#define SHORTLY 3000    /* ns: about a call's length */

static struct linear_shared *shared;
static cpu_set_t cpus;

static _Thread_local struct {
    unsigned lane;
    uint64_t chance, handler_chance;
    timer_t timer;
    uint32_t number;     /* of the call that it makes itself, not its handler */
    volatile bool hasty; /* is the timer to go on? */
    volatile int fate;   /* the signal that is due */
    uint64_t fate_ns;    /* and when, at most, after each time that it was not in a call */
} me;

static void arm(uint64_t ns)
{
    struct itimerspec when = {.it_value.tv_nsec = (long)ns + 1};

    timer_settime(me.timer, 0, &when, NULL);
}

/* Now and then at once: for windows that must be met twice in a row. */
static void arm_again(uint64_t *c)
{
    arm(storm_below(c, storm_below(c, 4) ? shared->plan.haste : SHORTLY));
}

/* Later each time: on a slow machine it would interrupt nothing but itself. */
static void arm_fate(uint64_t *c)
{
    arm(storm_below(c, me.fate_ns));
    if (me.fate_ns < 100000000)
        me.fate_ns *= 2;
}

static void call_at_random(uint64_t *c, bool nested)
{
    const struct linear_plan *p = &shared->plan;
    const struct linear_regime *r = &p->regime;
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
    linear_call(&shared->log, me.lane, p->queue, send ? LINEAR_SEND : LINEAR_RECEIVE, how,
                1 + (unsigned)storm_below(c, r->priorities),
                storm_below(c, 4) ? storm_below(c, 300000) : 0);
}

static bool in_a_call(void)
{
    const struct linear_lane *l = &shared->log.lane[me.lane];
    uint32_t end = atomic_load(&l->count);

    /* Its own, or one that a handler made just before it. */
    for (uint32_t n = me.number; n < end && n < LINEAR_CALLS; n++)
        if (atomic_load(&l->calls[n].begin) && !atomic_load(&l->calls[n].end))
            return true;
    return false;
}

/* Let the others go on, right here. */
static void linger(uint64_t *c)
{
    switch (storm_below(c, 32)) {
    case 0:
        call_at_random(c, true);
        break;
    case 1:
        storm_nap(storm_below(c, 200000));
        break;
    default:
        for (uint64_t times = 1 + storm_below(c, 3); times > 0; times--)
            sched_yield();
    }
}

static void in_haste(int signal)
{
    int error = errno, fate = me.fate;

    (void)signal;
    if (fate && in_a_call()) {
        me.fate = 0;
        syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), fate);
    } else if (!fate && me.hasty) {
        linger(&me.handler_chance);
    }
    if (me.fate)
        arm_fate(&me.handler_chance);
    else if (me.hasty)
        arm_again(&me.handler_chance);
    errno = error;
}

static void settle_down(const struct linear_plan *p)
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
    const struct linear_plan *p = &shared->plan;
    _Atomic uint32_t *count = &shared->log.lane[me.lane].count;
    bool doomed = p->fate[me.lane].signal != 0, enough = false;

    me.chance = storm_mix(shared->seed + round) + me.lane * 1000;
    me.handler_chance = ~me.chance;
    me.hasty = p->haste != 0;
    settle_down(p);
    if (me.hasty)
        arm_again(&me.handler_chance);
    while (((me.number = atomic_load(count)) < p->calls && !enough) || doomed || me.fate) {
        enough = storm_now() > p->enough_ns;
        if (doomed && (enough || me.number >= p->fate[me.lane].call)) {
            doomed = false;
            me.fate_ns = SHORTLY;
            me.fate = p->fate[me.lane].signal;
            arm_fate(&me.chance);
        }
        call_at_random(&me.chance, false);
        if (me.number >= LINEAR_CALLS)
            break;
    }
    me.hasty = false;
    me.fate = 0;
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

void linear_be_process(struct linear_shared *with, unsigned process)
{
    pthread_t thread;

    shared = with;
    sched_getaffinity(0, sizeof cpus, &cpus);
    signal(HASTE, SIG_IGN);
    for (unsigned lane = process + LINEAR_PROCESSES; lane < LINEAR_WORKERS;
         lane += LINEAR_PROCESSES)
        if (pthread_create(&thread, NULL, work, (void *)(uintptr_t)lane) != 0)
            storm_die("pthread_create");
    work((void *)(uintptr_t)process);
    abort(); /* it does not return */
}

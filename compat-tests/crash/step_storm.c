/*
 * Step storm: a process in the middle of one call is killed or stopped after
 * each of its machine instructions, while others use the queue.  What the other
 * storms meet by chance, a window of two instructions, this one meets for
 * certain; and it shows which stores to shared memory it stood behind.
 *
 *   step/scenarios.c  which calls, on which queues, with whom beside them
 *   step/sweep.c      at which instructions
 *   step/rounds.c     what is done and looked at there
 *   step/naming.c     the same for mq_open and mq_unlink
 *   step/sysv.c       the same for msgsnd and msgrcv; step/typed.c: what was sent, what came
 *   step/sysv_naming.c  and for msgget and msgctl
 *   step/delivery.c   the same for the thread that delivers notifications
 *   step/ledger.c     what was sent, what came, what must come next
 *   step/trace.c      instructions, by ptrace
 *   step/stores.c     which of them store, by objdump
 *   step/coverage.c   which of these were visited
 */
#include "step/coverage.h"
#include "step/daemon.h"
#include "step/delivery.h"
#include "step/memory.h"
#include "step/naming.h"
#include "step/others.h"
#include "step/sysv.h"

#ifdef __x86_64__

static uint64_t stride = 1, chance, faults_before, begun;

static void begin(void)
{
    faults_before = faults;
    begun = storm_now();
}

static void end(const char *name, const struct tally *tally)
{
    storm_check(faults == faults_before,
                "%s: killed %" PRIu64 ", stopped %" PRIu64 " times in %" PRIu64
                " instructions (%.1f s)",
                name, tally->killed, tally->stopped, tally->instructions,
                (double)(storm_now() - begun) / 1e9);
}

static void run(const struct scenario *sc)
{
    struct tally tally;

    begin();
    if (sweep_run(sc, stride, &chance, &tally))
        end(sc->name, &tally);
    else
        printf("skip - %s: the kernel's queues cannot do this\n", sc->name);
}

static void run_naming(enum act act, const char *policy, const char *name)
{
    struct tally tally;

    begin();
    coverage_begin(name, NULL);
    naming_run(act, policy, stride, &chance, &tally);
    end(name, &tally);
}

static void run_sysv(uint64_t only, bool with_daemon)
{
    struct tally tally;

    for (size_t i = 0; i < sysv_count; i++) {
        if (only && only != scenarios_count + i + 1)
            continue;
        begin();
        sysv_run(i, stride, &chance, &tally);
        end(sysv_name(i), &tally);
    }
    for (enum sysv_naming i = 0; i < SYSV_NAMINGS && !only; i++) {
        if (i >= SYSV_CREATE_DURABLE && !with_daemon)
            break;
        begin();
        sysv_naming_run(i, stride, &chance, &tally);
        end(sysv_naming_name(i), &tally);
    }
}

static void run_delivery(void)
{
    static const char name[] = "deliver a notification";
    struct tally tally;

    begin();
    coverage_begin(name, NULL);
    delivery_run(stride, &chance, &tally);
    end(name, &tally);
}

/* Must come before this process has used a queue. */
static void run_first(void)
{
    static const char name[] = "create the first of all";
    struct tally tally;

    begin();
    coverage_begin(name, NULL);
    naming_first(stride, &chance, &tally);
    end(name, &tally);
}

/* One CPU for all: then a step is a switch to the other and back, and the same each time. */
static void use_one_cpu(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
}

int main(int argc, char **argv)
{
    uint64_t seed = 0, only = 0;
    const struct storm_option options[] = {
        {"stride", &stride, false, "look after every Nth instruction (1)"},
        {"seed", &seed, false, "for the first instruction, if not every one (from the clock)"},
        {"only", &only, false, "the Nth scenario alone; beyond them: names"},
        {NULL, NULL, false, NULL}};
    const char *preload = getenv("LD_PRELOAD"), *no_daemon, *no_memory,
               *no_stores = "the kernel's queues";
    bool kernel = !preload || !strstr(preload, "mqx");

    storm_options(argc, argv, options);
    stride += !stride;
    if (!seed)
        seed = storm_mix(storm_now()) >> 32;
    chance = seed;
    use_one_cpu();
    no_daemon = kernel ? "the kernel's queues" : daemon_configure();
    if (!kernel)
        no_stores = stores_load();
    /* Last: under chroot, mappings have other paths in a mount namespace of one's own. */
    no_memory = kernel ? "the kernel's queues" : memory_own();
    if (!kernel && getenv("MQX_DIR") && !only)
        run_first();
    storm_begin("step_storm", &seed);
    unsetenv("LD_PRELOAD"); /* not for the programs that are started here */
    if (!no_daemon)
        no_daemon = daemon_start();
    rounds_init(kernel);
    for (size_t i = 0; i < scenarios_count; i++) {
        const struct scenario *sc = &scenarios[i];
        const char *why = sc->flags & (ASYNC | SYNC) ? no_daemon
                          : sc->how & NO_MEMORY      ? no_memory
                                                     : NULL;

        if (why)
            printf("skip - %s: %s\n", sc->name, why);
        else if (!only || only == i + 1)
            run(sc);
    }
    if (!only || only > scenarios_count) {
        run_naming(CREATE, "off", "create a queue");
        run_naming(UNLINK, "off", "unlink a queue");
        if (!kernel) /* which has no such thread */
            run_delivery();
    }
    if ((!only || only > scenarios_count) && !no_daemon) {
        run_naming(CREATE, "async", "create a durable queue");
        run_naming(UNLINK, "async", "unlink a durable queue");
    }
    if (!kernel && (!only || only > scenarios_count))
        run_sysv(only > scenarios_count + sysv_count ? 0 : only, !no_daemon);
    daemon_stop();
    printf("# the longest call of the others: %.1f ms\n", (double)ledger_longest() / 1e6);
    if (no_stores)
        printf("skip - which stores are visited: %s\n", no_stores);
    else if (only)
        coverage_print();
    else
        storm_check(coverage_print(), "every shared store of the engine is visited");
    mq_unlink(ACTORS_OTHER);
    return storm_end("step_storm", seed);
}

#else
int main(void)
{
    printf("skip - this steps through x86-64 instructions\n");
    return 0;
}
#endif

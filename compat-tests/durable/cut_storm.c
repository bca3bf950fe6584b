/*
 * Cut storm: clients send to durable queues and receive from them, and the power
 * fails at a random change of the disk: what was not synced is lost, or some of
 * it, or torn.  Clients, mqxd and the memory are gone.  With the power back,
 * mqxd starts on what is left, and the promises of cut/ledger.c are checked
 * against what the clients were told.
 *
 * Before that mqxd may have been killed, stopped, or have met an error of the
 * disk, and started again, and clients may have been killed.  The same seed
 * makes the same choices; what the processes make of them differs.
 */
#include "cut/storm.h"

static struct machine machine;
static uint64_t seed, cuts = 100, chance, lie, keep = 5, disturb_by = 15, fresh, commit = 2;
static pid_t pid[CLIENTS];
static struct {
    uint64_t cuts, at_start, kills, stops, client_kills, errors, checks, journals, records;
} done;

static const char *const keeps[] = {"nothing", "blocks", "sectors", "until", "all", "random"};
static const char *const lies[] = {"none",  "fsync", "dsync", "fsync+dsync",
                                   "names", "none",  "none",  "all"};

/* --- one life --------------------------------------------------------------------------------- */

static void start_client(unsigned i)
{
    uint64_t luck = storm_random(&chance);

    pid[i] = storm_fork();
    if (pid[i] == 0)
        client_work(i, luck);
}

static void kill_client(unsigned i)
{
    int status = 0;

    if (!pid[i])
        return;
    kill(pid[i], SIGKILL);
    waitpid(pid[i], &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        ledger_wrong("client %u died of itself: status %#x", i, (unsigned)status);
    pid[i] = 0;
    ledger_settle(i);
}

/* mqxd is ready, or the power has failed meanwhile. */
static bool await_mqxd(bool may_fail)
{
    uint64_t until = storm_now() + STORM_LIMIT_NS * 2;

    while (!machine_is_ready(&machine)) {
        if (machine_is_off(&machine))
            return false;
        if (machine_has_ended(&machine) && !machine_is_off(&machine)) {
            if (may_fail) {
                machine_start_mqxd(&machine);
                may_fail = false;
                continue;
            }
            ledger_wrong("mqxd refuses to start");
            machine_print_log(&machine);
            return false;
        }
        if (storm_now() > until) {
            ledger_wrong("mqxd does not come up");
            machine_print_log(&machine);
            return false;
        }
        storm_nap(300000);
    }
    return true;
}

/* Something that may happen to a process while the others go on. */
static void disturb(bool *error)
{
    unsigned kind = (unsigned)storm_below(&chance, 4);

    if (!(disturb_by >> kind & 1))
        return;
    switch (kind) {
    case 0:
        machine_kill_mqxd(&machine);
        machine_start_mqxd(&machine);
        done.kills++;
        break;
    case 1:
        if (machine.mqxd_pid)
            kill(machine.mqxd_pid, SIGSTOP);
        storm_nap(storm_below(&chance, 3000000));
        if (machine.mqxd_pid)
            kill(machine.mqxd_pid, SIGCONT);
        done.stops++;
        break;
    case 2: {
        unsigned i = (unsigned)storm_below(&chance, CLIENTS);

        kill_client(i);
        start_client(i);
        done.client_kills++;
        break;
    }
    case 3:
        machine_order(&machine, "fail-%s %u", storm_below(&chance, 3) ? "sync" : "write",
                      (unsigned)(1 + storm_below(&chance, 30)));
        *error = true;
        break;
    }
}

/* Until the power fails. */
static void rage(void)
{
    uint64_t until = storm_now() + STORM_LIMIT_NS * 2;
    unsigned disturbances = storm_below(&chance, 2) ? 0 : 1 + storm_random(&chance) % 6;
    bool error = false;

    for (unsigned i = 0; i < CLIENTS; i++)
        start_client(i);
    while (!machine_is_off(&machine) && !ledger->wrong) {
        if (disturbances && storm_below(&chance, 8) == 0) {
            disturbances--;
            disturb(&error);
        }
        if (machine_has_ended(&machine) && !machine_is_off(&machine)) {
            if (!error) {
                ledger_wrong("mqxd ended by itself");
                machine_print_log(&machine);
            }
            machine_start_mqxd(&machine);
            done.errors++;
        }
        if (storm_now() > until) {
            ledger_wrong("nothing is stored any more");
            machine_print_log(&machine);
        }
        storm_nap(storm_below(&chance, 400000));
    }
}

static void end_life(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        kill_client(i);
    machine_kill_mqxd(&machine);
    machine_lose_memory();
    machine_order(&machine, "fail-write 0");
    machine_order(&machine, "fail-sync 0");
    machine_order(&machine, "on");
    ledger->life++;
}

/* Another disk.  A small one has a small journal (1/16), which is full soon. */
static void new_disk(void)
{
    static const unsigned sizes[] = {0, 1, 2, 2, 4, 8, 32}; /* MiB */

    machine_order(&machine, "empty");
    machine_order(&machine, "space %u", sizes[storm_below(&chance, 7)] << 20);
}

static void live(void)
{
    bool at_start = fresh || storm_below(&chance, 4) == 0;
    unsigned records, starts = fresh && storm_below(&chance, 2) ? 8 : fresh ? 40 : 16;
    unsigned when = 1 + (unsigned)storm_below(&chance, storm_below(&chance, 5) ? 300 : 20);

    ledger->percent_sends = 35 + (uint32_t)storm_below(&chance, 3) * 15;
    ledger->percent_fences = (uint32_t)storm_below(&chance, 3) * 2;
    ledger->permille_own = (uint32_t)storm_below(&chance, 4) * 5;
    if (at_start)
        machine_order(&machine, "cut-at %u", 1 + (unsigned)storm_below(&chance, starts));
    machine_start_mqxd(&machine);
    if (await_mqxd(false)) {
        if (!at_start)
            machine_order(&machine, "cut-at %u", when);
        rage();
    } else {
        done.at_start++;
    }
    done.cuts++;
    end_life();
    records = machine_journal_records(&machine);
    done.journals += records > 0;
    done.records += records;
}

/* --- after it --------------------------------------------------------------------------------- */

/* Everything that is there is received, so that nothing is left. */
static void check(void)
{
    int status = 0;
    pid_t checker;

    machine_start_mqxd(&machine);
    if (!await_mqxd(false))
        return;
    storm_guard(2 * STORM_LIMIT);
    if (!machine_store_is_right(&machine))
        ledger_wrong("mqx store check finds something wrong");
    checker = storm_fork();
    if (checker == 0)
        client_drain();
    waitpid(checker, &status, 0);
    storm_guard(0);
    if (status)
        ledger_wrong("the checker died: status %#x", (unsigned)status);
    else
        ledger_check();
    if (ledger->wrong)
        machine_print_log(&machine);
    done.checks++;
    ledger_new_epoch();
    /* It goes on in the same memory, without a cut, or in the next life. */
    machine_kill_mqxd(&machine);
    machine_lose_memory();
    if (fresh || storm_below(&chance, 8) == 0)
        new_disk();
    ledger->life++;
}

static void report(void)
{
    printf("# %" PRIu64 " cuts, %" PRIu64 " of them while mqxd started, %" PRIu64
           " checks; mqxd killed %" PRIu64 " and stopped %" PRIu64 " times, clients killed %" PRIu64
           ", errors of the disk %" PRIu64 "\n",
           done.cuts, done.at_start, done.checks, done.kills, done.stops, done.client_kills,
           done.errors);
    printf("# %" PRIu64 " messages sent, %" PRIu64 " received, %" PRIu64 " of them again after a "
           "cut, %" PRIu64 " fences\n",
           ledger->sends, ledger->receives, ledger->came_back, ledger->fences);
    printf("# %" PRIu64 " cuts left a journal that counts, with %" PRIu64 " records in all\n",
           done.journals, done.records);
    storm_check(!ledger->wrong, "what clients were told is so after %" PRIu64 " power cuts",
                done.cuts);
    storm_check(ledger->sends && ledger->receives && ledger->fences, "there was something to lose");
}

static const char *program(const char *variable, const char *name, char *path, size_t size)
{
    const char *build = getenv("BUILD"), *given = getenv(variable);

    snprintf(path, size, "%s/%s", build ? build : "build", name);
    return given ? given : path;
}

int main(int argc, char **argv)
{
    const struct storm_option options[] = {
        {"seed", &seed, false, "for all choices (0: by the clock)"},
        {"cuts", &cuts, false, "how often the power fails (100)"},
        {"keep", &keep, false,
         "of what is not synced: 0 nothing, 1 blocks, 2 sectors, 3 until, 4 "
         "all, 5 any of those (5)"},
        {"lie", &lie, false, "syncs that do nothing: 1 fsync, 2 O_DSYNC, 4 of names, or sums (0)"},
        {"commit", &commit, false, "receives wait for it: 0 no, 1 yes, 2 by chance (2)"},
        {"fresh", &fresh, true, "each time on a new disk, and while mqxd starts"},
        {"disturb", &disturb_by, false,
         "before the power fails: 1 mqxd is killed, 2 stopped, 4 "
         "clients are killed, 8 the disk fails, or sums (15)"},
        {0}};
    char cutfs[300], mqxd[300], mqx[300];

    setvbuf(stdout, NULL, _IOLBF, 0);
    storm_options(argc, argv, options);
    if (!seed)
        seed = storm_mix(storm_now()) >> 32;
    printf("cut_storm: seed %" PRIu64 "\n", seed);
    chance = seed;
    ledger = storm_shared(sizeof(*ledger));
    ledger->life = ledger->epoch = 1;
    ledger->maxmsg = 20 + (uint32_t)storm_below(&chance, 2) * 100; /* scanned, or with a tree */
    ledger->commit = commit < 2 ? (uint32_t)commit : (uint32_t)storm_below(&chance, 2);
    printf("# queues of %u messages, receives %s the commit\n", (unsigned)ledger->maxmsg,
           ledger->commit ? "wait for" : "do not wait for");
    machine.cutfs = program("CUTFS", "test/cutfs", cutfs, sizeof(cutfs));
    machine.mqxd = program("MQXD", "bin/mqxd", mqxd, sizeof(mqxd));
    machine.mqx = program("MQX", "bin/mqx", mqx, sizeof(mqx));
    machine_build(&machine);
    machine_order(&machine, "seed %" PRIu64, storm_random(&chance));
    machine_order(&machine, "keep %s", keeps[keep % 6]);
    machine_order(&machine, "relapse 50");
    machine_order(&machine, "lie %s", lies[lie % 8]);
    new_disk();
    while (done.cuts < cuts && !ledger->wrong) {
        live();
        if (!ledger->wrong && (fresh || storm_below(&chance, 3) || done.cuts == cuts))
            check();
    }
    report();
    machine_remove(&machine);
    return storm_end("cut_storm", seed);
}

/*
 * Storm on System V queues: processes send and receive messages of several types
 * in all ways, by programs that signal handlers interrupt which do the same, while
 * random ones are killed, and others stopped, at random moments.  Whoever is left
 * goes on; afterwards every message that was sent was received exactly once, in
 * the order of its type, and the queues take as much as before.
 * With --users most workers are none of the queues' owner.
 *
 * The log is exact although its writers are killed: sysv/books.c says how.
 */
#include "../sysv/kernels.h"
#include "sysv/storm.h"

uint64_t msgsize = 200;
struct shared *shared;
struct place place[WORKERS];
int queues[QUEUES];
uint32_t round_number;
uint64_t users;
struct found found;

static uint64_t seed, kills = 200, stops = 20, chance;

/* --- who hangs ----------------------------------------------------------------------------------
 */

static void print_state(void)
{
    for (unsigned q = 0; q < QUEUES; q++) {
        struct msqid_ds ds = {0};

        msgctl(queues[q], IPC_STAT, &ds);
        printf("# queue %u holds %lu messages of %lu bytes; at most %lu\n", q, ds.msg_qnum,
               ds.__msg_cbytes, ds.msg_qbytes);
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        const struct log *log = &shared->log[MAIN(w)];

        printf("# %2u %s q%u%s sent=%" PRIu64 "%s received=%" PRIu64 "%s, interrupted %" PRIu64, w,
               place[w].sends ? "sender" : "receiver", place[w].queue,
               place[w].immortal ? " immortal" : "", log->sent,
               log->attempt != log->sent ? " (sending)" : "", log->recorded,
               log->intent != log->recorded ? " (receiving)" : "", log->interrupted);
        storm_print_process(place[w].pid);
    }
}

/* The immortal wait for what always comes, and for room that others always make: they must move on,
 * whoever is stopped or dead. */
static bool all_move(void)
{
    uint64_t begin = storm_now(), seen[WORKERS], now;
    bool moved = false;

    for (unsigned w = 0; w < WORKERS; w++)
        seen[w] = atomic_load(&shared->log[MAIN(w)].progress);
    while (!moved && !found.hung) {
        moved = true;
        for (unsigned w = 0; w < WORKERS; w++)
            moved = moved &&
                    (!place[w].immortal || atomic_load(&shared->log[MAIN(w)].progress) != seen[w]);
        now = storm_now();
        if (moved)
            break;
        if (now - begin > STORM_LIMIT_NS) {
            print_state();
            found.hung = true;
        }
        storm_nap(200000);
    }
    now = storm_now() - begin;
    found.longest_ns = now > found.longest_ns ? now : found.longest_ns;
    return moved;
}

/* --- the storm
 * ------------------------------------------------------------------------------------ */

static void spawn(unsigned w)
{
    uint64_t luck = storm_random(&chance);
    pid_t pid = storm_fork();

    if (pid == 0)
        work(w, luck);
    place[w].pid = pid;
}

static unsigned some_mortal(void)
{
    unsigned w;

    do
        w = (unsigned)storm_below(&chance, WORKERS);
    while (place[w].immortal);
    return w;
}

static void kill_one(unsigned w)
{
    int status;

    kill(place[w].pid, SIGKILL);
    waitpid(place[w].pid, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        printf("# worker %u died of itself: status %#x\n", w, (unsigned)status);
        found.hung = true;
    }
    place[w].pid = 0;
    found.killed++;
    settle(MAIN(w));
    settle(HANDLER(w));
}

/* While up to three are stopped, wherever they are, the others go on. */
static void stop_some(bool then_kill)
{
    unsigned n = 1 + (unsigned)storm_below(&chance, 3), stopped[3];
    siginfo_t info;

    for (unsigned i = 0; i < n; i++) {
        stopped[i] = some_mortal();
        kill(place[stopped[i]].pid, SIGSTOP);
    }
    for (unsigned i = 0; i < n; i++)
        waitid(P_PID, (id_t)place[stopped[i]].pid, &info, WSTOPPED | WNOWAIT);
    all_move();
    found.stopped += n;
    for (unsigned i = 0; i < n; i++) {
        if (then_kill && place[stopped[i]].pid && storm_below(&chance, 2)) {
            kill_one(stopped[i]);
            spawn(stopped[i]);
        } else {
            kill(place[stopped[i]].pid, SIGCONT);
        }
    }
}

static bool log_full(void)
{
    for (unsigned s = 0; s < SOURCES; s++)
        if (atomic_load(&shared->log[s].sent) > CAPACITY / 2 ||
            atomic_load(&shared->log[s].recorded) > CAPACITY / 2)
            return true;
    return false;
}

static void rage(uint64_t kill_count, uint64_t stop_count)
{
    while ((found.killed < kill_count || found.stopped < stop_count) && !found.hung) {
        unsigned w = some_mortal();

        storm_guard(4 * STORM_LIMIT);
        storm_nap(storm_below(&chance, 4) ? storm_below(&chance, 300000)
                                          : storm_below(&chance, 4000000));
        if (found.stopped < stop_count && storm_below(&chance, 3) == 0) {
            stop_some(kill_count > 0);
        } else if (found.killed < kill_count) {
            kill_one(w);
            spawn(w);
        }
        if (found.killed % 16 == 15 && !all_move())
            return;
        if (log_full())
            return;
    }
}

/* --- the reckoning
 * ---------------------------------------------------------------------------------- */

/* Have those who send, or receive, ended?  Who waits is interrupted, and sees that it is over. */
static bool reap(bool senders)
{
    bool left = false;

    for (unsigned w = 0; w < WORKERS; w++) {
        int status;

        if (place[w].sends != senders || !place[w].pid)
            continue;
        kill(place[w].pid, SIGUSR1);
        if (waitpid(place[w].pid, &status, WNOHANG) == 0) {
            left = true;
            continue;
        }
        if (status != 0)
            printf("# worker %u ended with status %#x\n", w, (unsigned)status);
        found.hung = found.hung || status != 0;
        place[w].pid = 0;
    }
    return left;
}

static void calm(void)
{
    for (int senders = 1; senders >= 0; senders--) {
        uint64_t begin = storm_now();

        storm_guard(4 * STORM_LIMIT);
        atomic_store(senders ? &shared->stop_senders : &shared->stop_receivers, 1);
        while (reap(senders) && !found.hung) {
            storm_nap(1000000);
            if (storm_now() - begin > STORM_LIMIT_NS) {
                print_state();
                found.hung = true;
            }
        }
    }
    for (unsigned w = 0; w < WORKERS; w++)
        if (place[w].pid) {
            kill(place[w].pid, SIGKILL);
            waitpid(place[w].pid, NULL, 0);
        }
}

/* Empty queue q into the harness's journal.  Nobody else uses it: lowest type first, and each
 * sender's in order.  Returns how many there were. */
static uint64_t drain(unsigned q, uint64_t *disorder)
{
    static struct message m;
    uint64_t count = 0, last[SOURCES] = {0};
    long type = 0;
    ssize_t got;

    for (; (got = msgrcv(queues[q], &m, sizeof m.room, -TYPES, IPC_NOWAIT)) >= 0; count++) {
        const struct storm_msg *msg = (const struct storm_msg *)m.room;

        if (!whole(&m, got)) {
            found.damaged++;
            continue;
        }
        if (m.type != type)
            memset(last, 0, sizeof last);
        if (m.type < type || msg->number < last[msg->sender])
            ++*disorder;
        type = m.type;
        last[msg->sender] = msg->number;
        journal(&shared->log[HARNESS], msg);
    }
    if (errno != ENOMSG)
        storm_die("msgrcv");
    return count;
}

/* What dead processes held comes back by itself, but not at once. */
static void drain_everything(uint64_t *disorder)
{
    uint64_t begin = storm_now();

    storm_guard(4 * STORM_LIMIT);
    do {
        for (unsigned q = 0; q < QUEUES; q++)
            drain(q, disorder);
        if (missing(false) == 0)
            return;
        storm_nap(20000000);
    } while (storm_now() - begin < REPAIR_NS);
}

/* No room is lost: a queue takes exactly msg_qbytes again, and gives it back. */
static void refill(unsigned q)
{
    uint64_t begin = storm_now(), filled, drained, disorder = 0;
    struct message m = {.type = 1};
    struct msqid_ds ds = {0};
    const size_t size = 100;

    storm_guard(4 * STORM_LIMIT);
    for (;;) {
        for (filled = 0; msgsnd(queues[q], &m, size, IPC_NOWAIT) == 0;)
            filled++;
        msgctl(queues[q], IPC_STAT, &ds);
        for (drained = 0; msgrcv(queues[q], &m, size, 0, IPC_NOWAIT) == (ssize_t)size;)
            drained++;
        m.type = 1;
        if (filled == ROOM / size || storm_now() - begin > REPAIR_NS)
            break;
        storm_nap(20000000);
    }
    storm_check(filled == ROOM / size && ds.msg_qnum == filled && ds.__msg_cbytes == filled * size,
                "queue %u takes %" PRIu64 " messages again (of %zu), and counts %lu of %lu bytes",
                q, filled, ROOM / size, ds.msg_qnum, ds.__msg_cbytes);
    msgctl(queues[q], IPC_STAT, &ds);
    storm_check(drained == filled && !disorder && ds.msg_qnum == 0 && ds.__msg_cbytes == 0,
                "and gives back %" PRIu64 ", %lu left of %lu bytes", drained, ds.msg_qnum,
                ds.__msg_cbytes);
}

static void judge(uint64_t disorder)
{
    uint64_t lost = missing(true), hits = 0, interrupted = 0;

    for (unsigned w = 0; w < WORKERS; w++) {
        hits += atomic_load(&shared->log[MAIN(w)].hits);
        interrupted += atomic_load(&shared->log[MAIN(w)].interrupted);
    }
    printf("# %" PRIu64 " kills (%" PRIu64 " in a send, %" PRIu64 " in a receive), %" PRIu64
           " stops, %" PRIu64 " handlers amid calls, %" PRIu64 " EINTR, %" PRIu64
           " messages, longest wait %.2f s\n",
           found.killed, found.in_send, found.in_receive, found.stopped, hits, interrupted,
           found.messages, (double)found.longest_ns / 1e9);
    storm_check(found.messages > 100 && hits > 0, "messages got through, handlers interrupted");
    storm_check(!found.hung, "nobody who was left alone blocks");
    storm_check(!lost, "%" PRIu64 " messages lost", lost);
    storm_check(!found.twice, "%" PRIu64 " messages received twice", found.twice);
    storm_check(!found.unsent, "%" PRIu64 " messages received that nobody sent", found.unsent);
    found.damaged += atomic_load(&shared->damaged);
    storm_check(!found.damaged, "%" PRIu64 " messages damaged, or not as asked for", found.damaged);
    /* What the dead held, or were sending, may come behind others that were taken meanwhile. */
    storm_check(found.disorder <= found.in_receive + found.in_send && !disorder,
                "%" PRIu64 " messages of one sender and type out of order, %" PRIu64 " at the end",
                found.disorder, disorder);
}

/* --- rounds
 * ------------------------------------------------------------------------------------------- */

static _Noreturn void create(void)
{
    for (unsigned q = 0; q < QUEUES; q++) {
        struct msqid_ds ds;

        shared->queues[q] = msgget(IPC_PRIVATE, users ? 0666 : 0600);
        if (shared->queues[q] == -1 || msgctl(shared->queues[q], IPC_STAT, &ds) != 0)
            storm_die("msgget");
        ds.msg_qbytes = ROOM;
        if (msgctl(shared->queues[q], IPC_SET, &ds) != 0)
            storm_die("IPC_SET");
    }
    _exit(0);
}

/* By a child: of mqx's queues, workers must not have mapped what their user may not. */
static void create_queues(void)
{
    pid_t pid = storm_fork();
    int status;

    if (pid == 0)
        create();
    if (waitpid(pid, &status, 0) != pid || status != 0)
        storm_die("creating the queues");
    memcpy(queues, shared->queues, sizeof queues);
}

static void storm(uint64_t kill_count, uint64_t stop_count)
{
    uint64_t disorder = 0;

    printf("# %" PRIu64 " kills, %" PRIu64 " stops\n", kill_count, stop_count);
    memset(&found, 0, sizeof found);
    round_number++;
    shared = storm_shared(sizeof *shared);
    create_queues();
    for (unsigned w = 0; w < WORKERS; w++) {
        place[w] = (struct place){.queue = w / 2 % QUEUES, .sends = w % 2 == 0};
        place[w].immortal = w < 2 * QUEUES;
    }
    for (unsigned w = 0; w < WORKERS; w++)
        spawn(w);
    all_move();
    rage(kill_count, stop_count);
    all_move();
    calm();
    drain_everything(&disorder);
    judge(disorder);
    for (unsigned q = 0; q < QUEUES; q++) {
        refill(q);
        if (msgctl(queues[q], IPC_RMID, NULL) != 0)
            storm_die("IPC_RMID");
    }
    storm_guard(0);
    munmap(shared, sizeof *shared);
}

static void begin(void)
{
    bool wrong = false;
    int kernels = sysv_kernels(getenv("LD_PRELOAD"), &wrong);

    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGUSR1, SIG_IGN); /* workers have a handler, sooner or later */
    if (kernels == -1)
        storm_die("msgget");
    if (wrong) {
        fprintf(stderr, "storm: LD_PRELOAD=%s did not take effect\n", getenv("LD_PRELOAD"));
        exit(2);
    }
    if (kernels && unshare(CLONE_NEWIPC) != 0)
        fprintf(stderr, "storm: on queues that others see: unshare: %s\n", strerror(errno));
    if (!seed)
        seed = storm_mix(storm_now()) >> 32;
    printf("sysv_storm: on %s queues, seed %" PRIu64 "\n", kernels ? "the kernel's" : "mqx's",
           seed);
}

int main(int argc, char **argv)
{
    const struct storm_option options[] = {
        {"kills", &kills, false, "processes to kill in all (200)"},
        {"stops", &stops, false, "processes to stop in all (20)"},
        {"seed", &seed, false, "for the random choices (from the clock)"},
        {"msgsize", &msgsize, false, "of the largest messages, bytes (200)"},
        {"users", &users, true, "workers are users other than the queues' owner: needs root"},
        {NULL, NULL, false, NULL}};
    uint64_t rounds, i;

    storm_options(argc, argv, options);
    if (msgsize < STORM_MSG_MIN || msgsize > MSG_MAX) {
        fprintf(stderr, "storm: --msgsize must be from %d to %d\n", STORM_MSG_MIN, MSG_MAX);
        return 2;
    }
    begin();
    chance = seed;
    rounds = kills / ROUND_KILLS + stops / ROUND_STOPS + 1;
    for (i = 0; i < rounds && !found.hung; i++) {
        storm(kills / rounds + 1, stops / rounds / 2);
        if (!found.hung)
            storm(0, stops / rounds / 2 + 1); /* nothing dies: no excuse for disorder */
    }
    return storm_end("sysv_storm", seed);
}

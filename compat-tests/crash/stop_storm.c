/*
 * Stop storm: processes are stopped (SIGSTOP) at random moments and held, up to
 * half of them at once, while the others must keep progress and strict order.
 *
 * Progress: nobody is continued before every process that was running all that
 * time has moved on.  An engine in which one waits for another hangs here.
 *
 * Order, with everybody running: a shared clock ticks at the begin and the end
 * of every call.  A receive must not return m while the queue held a message
 * that goes before it: one that was sent (returned) before this receive began,
 * has a higher priority, and was received by a call that began after this one
 * had ended; or one of the same priority, sent before the send of m began, and
 * received likewise.  That is all that strict order means for calls that overlap.
 *
 * Order, exactly: every process is stopped, wherever it is.  Each holds at most
 * one slot.  The harness fills the queue and empties it: everything must come in
 * order, but for at most one message of each stopped sender.
 */
#include "stop/order.h"
#include "storm_mix.h"

#define SENDERS   4
#define RECEIVERS 4
#define WORKERS   (SENDERS + RECEIVERS)
#define HARNESS   SENDERS /* the harness's number as a sender */
#define SOURCES   (SENDERS + 1)
#define CAPACITY  (1u << 20) /* messages of a sender in a round */
#define ROUND     10         /* stops */

/* One message's life, in ticks; 0: not yet. */
struct life {
    _Atomic uint32_t send_begin, send_end, receive_begin, receive_end;
};

struct shared {
    _Alignas(128) _Atomic uint32_t clock;
    _Alignas(128) _Atomic uint32_t sending; /* may senders send? */
    _Atomic uint32_t round, damaged, twice;
    _Atomic uint32_t failed_errno; /* a call failed that must not */
    struct {
        _Alignas(128) _Atomic uint64_t progress;
        _Atomic uint64_t count; /* messages sent, or received, in this round */
        _Atomic uint32_t calls; /* odd: in a call */
        _Atomic uint32_t parked;
    } worker[WORKERS];
};

static uint64_t seed, stops = 60, seconds = 60, maxmsg, msgsize, mixed;
static bool kernel;
static struct shared *shared;
static struct life *lives[SOURCES];
static pid_t pids[WORKERS];
static mqd_t queue, patient_queue;
static char name[64];
static uint64_t chance, harness_sent, harness_received;

static struct {
    uint64_t stopped, in_call, most, messages, series, longest_ns;
    bool hung;
} found;

static uint32_t tick(void)
{
    return atomic_fetch_add(&shared->clock, 1) + 1;
}

/* --- the workers -------------------------------------------------------------------------- */

static void fail_call(int error)
{
    atomic_store(&shared->failed_errno, (uint32_t)error);
    pause();
}

/* One call; mixed, it may come to nothing. */
static ssize_t transfer(struct mix_call *c)
{
    c->patient = patient_queue;
    c->hasty = queue;
    if (mixed)
        mix_call(c, &chance);
    else
        mix_do(c, patient_queue);
    if (c->result < 0 && !(mixed && (c->error == EAGAIN || c->error == ECANCELED)))
        fail_call(c->error); /* EINTR as well: no handler ran, or one with SA_RESTART */
    return c->result;
}

static void work_sender(unsigned w)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    struct storm_msg *msg = (struct storm_msg *)room;

    for (;;) {
        uint64_t n = atomic_load(&shared->worker[w].count);
        struct mix_call c = {.send = true, .room = room};
        struct life *life = &lives[w][n];

        if (!atomic_load(&shared->sending) || n >= CAPACITY) {
            atomic_store(&shared->worker[w].parked, !atomic_load(&shared->sending));
            atomic_fetch_add(&shared->worker[w].progress, 1);
            storm_nap(500000);
            continue;
        }
        c.len = storm_build(msg, w, atomic_load(&shared->round), n, msgsize);
        c.prio = storm_prio(msg, PRIORITIES);
        atomic_fetch_add(&shared->worker[w].calls, 1);
        atomic_store(&life->send_begin, tick());
        if (transfer(&c) == 0)
            atomic_store(&life->send_end, tick());
        else
            atomic_store(&life->send_begin, 0);
        atomic_fetch_add(&shared->worker[w].calls, 1);
        atomic_store(&shared->worker[w].count, n + (c.result == 0));
        atomic_fetch_add(&shared->worker[w].progress, 1);
    }
}

/* Enter a received message into its life.  False: it is not what was sent. */
static bool record(const struct storm_msg *msg, size_t len, unsigned prio, uint32_t begin)
{
    uint32_t end = tick(), none = 0;
    struct life *life;

    if (!storm_verify(msg, len, msgsize) || msg->sender >= SOURCES || msg->number >= CAPACITY ||
        prio != storm_prio(msg, PRIORITIES) || msg->round != atomic_load(&shared->round)) {
        atomic_fetch_add(&shared->damaged, 1);
        return false;
    }
    life = &lives[msg->sender][msg->number];
    if (!atomic_compare_exchange_strong(&life->receive_begin, &none, begin)) {
        atomic_fetch_add(&shared->twice, 1);
        return false;
    }
    atomic_store(&life->receive_end, end);
    return true;
}

static void work_receiver(unsigned w)
{
    static _Alignas(16) char room[STORM_MSG_MAX];

    for (;;) {
        struct mix_call c = {.room = room, .len = msgsize};
        uint32_t begin;

        atomic_fetch_add(&shared->worker[w].calls, 1);
        begin = tick();
        transfer(&c);
        atomic_fetch_add(&shared->worker[w].calls, 1);
        if (c.result >= 0) {
            record((const struct storm_msg *)room, (size_t)c.result, c.prio, begin);
            atomic_fetch_add(&shared->worker[w].count, 1);
        }
        atomic_fetch_add(&shared->worker[w].progress, 1);
    }
}

/* --- stopping --------------------------------------------------------------------------------- */

struct hold {
    bool stopped;
    uint64_t until, since;   /* when it may, and did */
    uint64_t moved[WORKERS]; /* everybody's progress when it began */
    bool ran[WORKERS];       /* who has been running since */
};
static struct hold holds[WORKERS];

static void print_state(void)
{
    printf("# the queue holds %ld messages\n", storm_count(queue));
    for (unsigned w = 0; w < WORKERS; w++) {
        printf("# %u %s%s count=%" PRIu64 " progress=%" PRIu64 "%s", w,
               w < SENDERS ? "sender" : "receiver", holds[w].stopped ? " stopped" : "",
               shared->worker[w].count, shared->worker[w].progress,
               shared->worker[w].calls % 2 ? " in a call" : "");
        storm_print_process(pids[w]);
    }
    fflush(stdout);
}

static unsigned running(bool senders)
{
    unsigned count = 0;

    for (unsigned w = senders ? 0 : SENDERS; w < (senders ? SENDERS : WORKERS); w++)
        count += !holds[w].stopped;
    return count;
}

static void stop(unsigned w, uint64_t hold_ns)
{
    siginfo_t info;

    kill(pids[w], SIGSTOP);
    if (waitid(P_PID, (id_t)pids[w], &info, WSTOPPED) != 0 || info.si_code != CLD_STOPPED)
        storm_die("waitid for a stopped worker");
    found.stopped++;
    found.in_call += atomic_load(&shared->worker[w].calls) % 2;
    holds[w].stopped = true;
    holds[w].since = storm_now();
    holds[w].until = holds[w].since + hold_ns;
    for (unsigned o = 0; o < WORKERS; o++) {
        holds[w].moved[o] = atomic_load(&shared->worker[o].progress);
        holds[w].ran[o] = !holds[o].stopped;
        holds[o].ran[w] = false;
    }
}

static void cont(unsigned w)
{
    holds[w].stopped = false;
    kill(pids[w], SIGCONT);
}

/* Have all moved on that were running while w was stopped?  A hang, if not for long. */
static bool others_moved(unsigned w)
{
    bool all = true;

    for (unsigned o = 0; o < WORKERS; o++)
        all = all && (!holds[w].ran[o] || holds[o].stopped ||
                      atomic_load(&shared->worker[o].progress) != holds[w].moved[o]);
    if (!all && storm_now() - holds[w].since > holds[w].until - holds[w].since + STORM_LIMIT_NS) {
        printf("# with worker %u stopped, others do not move\n", w);
        print_state();
        found.hung = true;
    }
    return all;
}

static bool any_full(void)
{
    for (unsigned w = 0; w < SENDERS; w++)
        if (atomic_load(&shared->worker[w].count) >= CAPACITY)
            return true;
    return false;
}

/* Stop a few, hold them for 0.1 to 2 s, continue them.  At least one of each kind runs. */
static void harass(uint64_t count)
{
    uint64_t next = 0, done = 0, held = 0;
    unsigned dear = (unsigned)storm_below(&chance, 3); /* fewer senders, receivers, or even */

    while ((done < count || held) && !found.hung) {
        uint64_t now = storm_now();
        unsigned w = (unsigned)storm_below(&chance, WORKERS);

        if (atomic_load(&shared->failed_errno))
            return;
        if (done < count && now >= next && !holds[w].stopped && running(w < SENDERS) > 1 &&
            !any_full() &&
            (dear == 2 || (w < SENDERS) == (dear == 0) || storm_below(&chance, 3) == 0)) {
            stop(w, 100000000 + storm_below(&chance, 4) * storm_below(&chance, 600000000));
            done++;
            next = now + storm_below(&chance, 300000000);
        } else if (any_full()) {
            done = count;
        }
        held = 0;
        for (w = 0; w < WORKERS; w++) {
            if (holds[w].stopped && (any_full() || (now >= holds[w].until && others_moved(w))))
                cont(w);
            held += holds[w].stopped;
        }
        found.most = held > found.most ? held : found.most;
        storm_nap(200000 + storm_below(&chance, 800000));
    }
}

/* --- exact order while all are stopped -----------------------------------------------------------
 */

static bool harness_send(unsigned *prio)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    struct storm_msg *msg = (struct storm_msg *)room;
    struct life *life = &lives[HARNESS][harness_sent];
    size_t len = storm_build(msg, HARNESS, atomic_load(&shared->round), harness_sent, msgsize);

    *prio = storm_prio(msg, PRIORITIES);
    atomic_store(&life->send_begin, tick());
    if (mq_send(queue, room, len, *prio) != 0) {
        if (errno != EAGAIN)
            storm_die("mq_send");
        atomic_store(&life->send_begin, 0);
        return false;
    }
    atomic_store(&life->send_end, tick());
    harness_sent++;
    return true;
}

/* The sender of the next message, -1: none.  *number, *prio: of the message. */
static int harness_receive(uint64_t *number, unsigned *prio)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    struct storm_msg *msg = (struct storm_msg *)room;
    uint32_t begin = tick();
    ssize_t got = mq_receive(queue, room, msgsize, prio);

    if (got < 0) {
        if (errno != EAGAIN)
            storm_die("mq_receive");
        return -1;
    }
    harness_received++;
    *number = msg->number;
    return record(msg, (size_t)got, *prio, begin) ? (int)msg->sender : -1;
}

/* Fill the queue, empty it: what we sent must come by priority, and in order within each. */
static bool series(void)
{
    uint64_t first = harness_sent, number, sent, received = 0, foreign = 0, disorder = 0;
    uint64_t next[PRIORITIES] = {0}, left[PRIORITIES] = {0};
    unsigned prio, highest;
    int sender;

    while (harness_sent - first <= maxmsg && harness_send(&prio))
        left[prio]++;
    sent = harness_sent - first;
    while ((sender = harness_receive(&number, &prio)) >= 0) {
        if (sender != HARNESS) {
            foreign++;
            continue;
        }
        for (highest = PRIORITIES - 1; highest && !left[highest];)
            highest--;
        disorder += prio != highest || number < first || number < next[prio];
        next[prio] = number + 1;
        left[prio] -= left[prio] > 0;
        received++;
    }
    found.series++;
    if (sent + WORKERS < maxmsg || sent > maxmsg || received != sent || disorder ||
        foreign > SENDERS) {
        storm_check(false,
                    "all stopped: %" PRIu64 " of %" PRIu64 " sent, %" PRIu64 " received, %" PRIu64
                    " out of order, %" PRIu64 " of others",
                    sent, maxmsg, received, disorder, foreign);
        return false;
    }
    return true;
}

/* Stop everybody where they are, empty the queue, and check a few series. */
static void freeze(void)
{
    uint64_t number;
    unsigned prio;

    for (unsigned w = 0; w < WORKERS; w++)
        stop(w, 0);
    storm_guard(2 * STORM_LIMIT);
    while (harness_receive(&number, &prio) >= 0)
        ;
    for (unsigned i = 0; i < 3 && series(); i++)
        ;
    storm_guard(0);
    for (unsigned w = 0; w < WORKERS; w++)
        cont(w);
}

/* --- the reckoning --------------------------------------------------------------------------- */

static void judge_round(void)
{
    uint64_t lost = 0, unsent = 0;
    size_t count = 0, total = harness_sent;
    struct fact *facts;

    for (unsigned w = 0; w < SENDERS; w++)
        total += atomic_load(&shared->worker[w].count);
    facts = malloc((total + 1) * sizeof *facts);
    if (!facts)
        storm_die("malloc");
    for (uint32_t s = 0; s < SOURCES; s++) {
        uint64_t end = s == HARNESS ? harness_sent : atomic_load(&shared->worker[s].count);

        for (uint64_t n = 0; n < end; n++) {
            struct storm_msg msg = {.sender = s, .round = shared->round, .number = n};
            struct life *life = &lives[s][n];

            lost += life->receive_end == 0;
            facts[count++] = (struct fact){
                life->send_begin, life->send_end, life->receive_end ? life->receive_begin : NEVER,
                life->receive_end ? life->receive_end : NEVER, storm_prio(&msg, PRIORITIES)};
        }
        unsent += end < CAPACITY && lives[s][end].receive_begin != 0;
    }
    found.messages += count;
    storm_check(!lost && !unsent && !shared->damaged && !shared->twice,
                "%zu messages: %" PRIu64 " lost, %u twice, %u damaged, %" PRIu64 " never sent",
                count, lost, shared->twice, shared->damaged, unsent);
    storm_check(!overtakers(facts, count, false), "no receive passes over a higher priority");
    storm_check(!overtakers(facts, count, true), "no message overtakes one of its priority");
    free(facts);
}

/* Senders parked, everything received: the books are closed. */
static bool settle(void)
{
    uint64_t begin = storm_now(), sent = 0, received = 0;
    bool parked = false;

    atomic_store(&shared->sending, 0);
    while (!parked || received < sent) {
        sent = harness_sent;
        received = harness_received;
        parked = true;
        for (unsigned w = 0; w < SENDERS; w++)
            parked = parked && atomic_load(&shared->worker[w].parked);
        for (unsigned w = 0; w < WORKERS; w++)
            *(w < SENDERS ? &sent : &received) += atomic_load(&shared->worker[w].count);
        if (atomic_load(&shared->failed_errno) || storm_now() - begin > STORM_LIMIT_NS) {
            printf("# sent %" PRIu64 ", received %" PRIu64 "\n", sent, received);
            print_state();
            return false;
        }
        storm_nap(500000);
    }
    return true;
}

static void start_round(void)
{
    for (unsigned s = 0; s < SOURCES; s++) /* forget the last round's lives */
        madvise(lives[s], CAPACITY * sizeof(struct life), MADV_REMOVE);
    for (unsigned w = 0; w < WORKERS; w++) {
        atomic_store(&shared->worker[w].count, 0);
        atomic_store(&shared->worker[w].parked, 0);
    }
    harness_sent = harness_received = 0;
    atomic_fetch_add(&shared->round, 1);
    atomic_store(&shared->sending, 1);
}

/* --- rounds ------------------------------------------------------------------------------------
 */

static bool begin_storm(void)
{
    snprintf(name, sizeof name, "/storm-stop-%d", (int)getpid());
    patient_queue = storm_open(name, O_CREAT | O_EXCL | O_RDWR, maxmsg, msgsize);
    if (patient_queue == (mqd_t)-1 && kernel && (errno == EINVAL || errno == EMFILE)) {
        printf("skip - the kernel refuses a queue of this size: %s\n", strerror(errno));
        return false;
    }
    queue = mq_open(name, O_RDWR | O_NONBLOCK);
    if (patient_queue == (mqd_t)-1 || queue == (mqd_t)-1)
        storm_die("mq_open");
    shared = storm_shared(sizeof *shared);
    for (unsigned s = 0; s < SOURCES; s++)
        lives[s] = storm_shared(CAPACITY * sizeof(struct life));
    memset(holds, 0, sizeof holds);
    for (unsigned w = 0; w < WORKERS; w++) {
        storm_random(&chance); /* each has chances of its own */
        pids[w] = storm_fork();
        if (pids[w] == 0 && w < SENDERS)
            work_sender(w);
        else if (pids[w] == 0)
            work_receiver(w);
    }
    return true;
}

static void end_storm(void)
{
    unsigned prio;
    bool orderly;

    storm_guard(2 * STORM_LIMIT);
    for (unsigned w = 0; w < WORKERS; w++) {
        kill(pids[w], SIGKILL);
        waitpid(pids[w], NULL, 0);
    }
    start_round(); /* everybody is gone, nothing was in the queue: one more series, exact */
    orderly = !found.hung && series();
    storm_check(orderly && harness_sent == maxmsg && storm_count(queue) == 0 && harness_send(&prio),
                "the queue takes %" PRIu64 " of %" PRIu64 " messages in the end", harness_sent,
                maxmsg);
    storm_guard(0);
    mq_close(queue);
    mq_close(patient_queue);
    mq_unlink(name);
    for (unsigned s = 0; s < SOURCES; s++)
        munmap(lives[s], CAPACITY * sizeof(struct life));
    munmap(shared, sizeof *shared);
}

static void storm(uint64_t count, uint64_t until)
{
    bool settled = true;

    printf("# maxmsg %" PRIu64 ", msgsize %" PRIu64 "\n", maxmsg, msgsize);
    fflush(stdout);
    if (!begin_storm())
        return;
    memset(&found, 0, sizeof found);
    while (settled && !found.hung && found.stopped < count &&
           (found.stopped == 0 || storm_now() < until)) {
        start_round();
        harass(ROUND);
        if (!found.hung && !shared->failed_errno) {
            freeze();
            /* Let them run into each other again before the books are closed. */
            harass(1);
        }
        settled = !found.hung && settle();
        if (settled)
            judge_round();
    }
    storm_check(!shared->failed_errno, "no call failed: %s",
                shared->failed_errno ? strerror((int)shared->failed_errno) : "right");
    storm_check(settled && !found.hung, "everybody moves while others are stopped");
    printf("# %" PRIu64 " stops, %" PRIu64 " of them in a call, up to %" PRIu64 " at once; %" PRIu64
           " messages, %" PRIu64 " series with all stopped\n",
           found.stopped, found.in_call, found.most, found.messages, found.series);
    end_storm();
}

int main(int argc, char **argv)
{
    static const uint64_t maxmsgs[] = {8, 64, 300, 2000}, msgsizes[] = {64, 3000, 300, 64};
    const struct storm_option options[] = {
        {"stops", &stops, false, "in all (60)"},
        {"seconds", &seconds, false, "begin no further round after that time (60)"},
        {"seed", &seed, false, "for the random choices (from the clock)"},
        {"maxmsg", &maxmsg, false, "of the queue (8, 64, 300 and 2000 in turn)"},
        {"msgsize", &msgsize, false, "of the queue, bytes (64, 3000, 300 and 64 in turn)"},
        {"mixed", &mixed, true, "workers also poll, are notified, and are cancelled"},
        {NULL, NULL, false, NULL}};
    uint64_t sizes, one_maxmsg, one_msgsize, begin = storm_now();

    storm_options(argc, argv, options);
    kernel = storm_begin("stop_storm", &seed);
    mix_cancels = !kernel;
    chance = seed;
    one_maxmsg = maxmsg;
    one_msgsize = storm_check_msgsize(msgsize);
    sizes = one_maxmsg || one_msgsize ? 1 : 4;
    for (uint64_t i = 0; i < sizes && !found.hung; i++) {
        maxmsg = one_maxmsg ? one_maxmsg : maxmsgs[i];
        msgsize = one_msgsize ? one_msgsize : msgsizes[i];
        storm((stops + sizes - 1) / sizes, begin + seconds * 1000000000 * (i + 1) / sizes);
    }
    return storm_end("stop_storm", seed);
}

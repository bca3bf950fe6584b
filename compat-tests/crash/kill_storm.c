/*
 * Kill storm: processes send and receive on the same queues, and a random one
 * is killed at a random moment, again and again.  Afterwards every message
 * whose send returned 0 was received exactly once, nothing else was received,
 * no slot is lost, and nobody who was left alive hangs.
 *
 * The log is exact although its writers are killed.  A sender stores the number
 * it attempts before the call and the number it sent after it; killed in
 * between, that one message may exist or not.  A receiver receives into memory
 * of the harness and journals after the call.  Killed between the two, the
 * message in its buffer may have been consumed or not: "maybe received", at
 * most one for each kill.  Whatever is not whole in a dead receiver's buffer
 * was not received and must turn up again.
 */
#include "storm.h"

#define QUEUES      2
#define SIDE        3 /* senders, and receivers, of a queue */
#define MIXED       2 /* send and receive, on all queues */
#define WORKERS     (QUEUES * 2 * SIDE + MIXED)
#define PARENT      WORKERS             /* the harness sends, too */
#define CAPACITY    (UINT64_C(1) << 25) /* messages of one sender in one round */
#define JOURNAL     16384u              /* receives that the harness may lag behind */
#define ROUND_KILLS 1500u               /* a round's log holds that many kills' messages */
#define PRIORITIES  5
#define REPAIR_NS   UINT64_C(15000000000) /* what the dead held must be back by then */
#define MAYBE_SENT  0x40
#define MAYBE_TAKEN 0x80
#define TIMES       0x0f

enum role { SENDER, RECEIVER, BOTH };
enum bias { EVEN, FILL, DRAIN, BIASES };

/* What a worker logs; the harness reads it when the worker is dead. */
struct worker {
    _Alignas(128) _Atomic uint64_t progress; /* calls that succeeded, or came back as they should */
    _Atomic uint64_t attempt, sent;          /* numbers below these were attempted, sent */
    _Atomic uint64_t intent, returned, recorded; /* receives begun, returned, journaled */
    _Atomic uint64_t consumed;                   /* journal entries the harness has read */
    uint64_t journal[JOURNAL];                   /* sender << 48 | number */
    _Alignas(128) uint8_t buffer[STORM_MSG_MAX];
};

struct shared {
    _Atomic uint32_t stop_senders, stop_receivers;
    _Atomic uint32_t bias[QUEUES];
    _Atomic uint64_t damaged; /* messages that did not verify */
    struct worker worker[WORKERS + 1];
};

struct place { /* one worker's place, which several processes fill one after the other */
    enum role role;
    unsigned queue;
    bool immortal;
    pid_t pid;            /* 0: nobody */
    uint64_t seen, since; /* progress, and when it last changed */
};

static uint64_t seed, kills = 500, maxmsg, msgsize, allow_loss;
static bool kernel;
static struct shared *shared;
static uint8_t *ledger[WORKERS + 1]; /* per message: how often received, and maybes */
static struct place place[WORKERS];
static mqd_t blocking[QUEUES], nonblocking[QUEUES];
static char names[QUEUES][64];
static uint32_t round_number;
static uint64_t chance;

/* What a round found. */
static struct {
    uint64_t killed, in_send, in_receive, messages, maybe_sent, maybe_taken;
    uint64_t unsent, twice, lost, damaged, longest_ns;
    bool hung;
} found;

/* --- the workers -------------------------------------------------------------------------- */

struct self {
    unsigned index;
    struct worker *log;
    uint64_t chance;
    mqd_t block[QUEUES], nonblock[QUEUES];
    bool timed, impatient;
};

/* One message to queue q; false: not sent.  Numbers of failed sends are used again. */
static bool send_one(struct self *me, unsigned q, bool wait)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    struct storm_msg *msg = (struct storm_msg *)room;
    uint64_t n = atomic_load(&me->log->sent);
    struct timespec deadline;
    int result;
    size_t len;

    if (n >= CAPACITY)
        return false;
    len = storm_build(msg, me->index, round_number, n, msgsize);
    if (wait && me->timed)
        deadline = storm_deadline(storm_below(&me->chance, 20000000));
    atomic_store(&me->log->attempt, n + 1);
    if (!wait)
        result = mq_send(me->nonblock[q], room, len, storm_prio(msg, PRIORITIES));
    else if (me->timed)
        result = mq_timedsend(me->block[q], room, len, storm_prio(msg, PRIORITIES), &deadline);
    else
        result = mq_send(me->block[q], room, len, storm_prio(msg, PRIORITIES));
    if (result == 0) {
        atomic_store(&me->log->sent, n + 1);
        return true;
    }
    atomic_store(&me->log->attempt, n);
    if (errno != EAGAIN && errno != ETIMEDOUT)
        storm_die("mq_send");
    return false;
}

static void journal(struct worker *log, const struct storm_msg *msg, size_t len, unsigned prio)
{
    uint64_t at = atomic_load(&log->recorded);

    if (!storm_verify(msg, len, msgsize) || msg->round != round_number ||
        prio != storm_prio(msg, PRIORITIES))
        atomic_fetch_add(&shared->damaged, 1);
    while (at - atomic_load(&log->consumed) >= JOURNAL)
        storm_nap(100000);
    log->journal[at % JOURNAL] = (uint64_t)msg->sender << 48 | msg->number;
    atomic_store(&log->recorded, at + 1);
}

static bool receive_one(struct self *me, unsigned q, bool wait)
{
    struct storm_msg *msg = (struct storm_msg *)me->log->buffer;
    uint64_t at = atomic_load(&me->log->recorded);
    struct timespec deadline;
    unsigned prio = 0;
    ssize_t got;

    memset(msg, 0, sizeof *msg);
    if (wait && me->timed)
        deadline = storm_deadline(storm_below(&me->chance, 20000000));
    atomic_store(&me->log->intent, at + 1);
    if (!wait)
        got = mq_receive(me->nonblock[q], (char *)msg, msgsize, &prio);
    else if (me->timed)
        got = mq_timedreceive(me->block[q], (char *)msg, msgsize, &prio, &deadline);
    else
        got = mq_receive(me->block[q], (char *)msg, msgsize, &prio);
    if (got >= 0) {
        atomic_store(&me->log->returned, at + 1);
        journal(me->log, msg, (size_t)got, prio);
        return true;
    }
    atomic_store(&me->log->intent, at);
    if (errno != EAGAIN && errno != ETIMEDOUT)
        storm_die("mq_receive");
    return false;
}

/* Some use the descriptors they inherit, some open the queue themselves. */
static void take_descriptors(struct self *me, bool inherit)
{
    for (unsigned q = 0; q < QUEUES; q++) {
        me->block[q] = inherit ? blocking[q] : mq_open(names[q], O_RDWR);
        me->nonblock[q] = inherit ? nonblocking[q] : mq_open(names[q], O_RDWR | O_NONBLOCK);
        if (me->block[q] == (mqd_t)-1 || me->nonblock[q] == (mqd_t)-1)
            storm_die("mq_open in a worker");
    }
}

/* A turn of a worker that never waits: sends where the queue is to fill, receives elsewhere. */
static void turn_mixed(struct self *me)
{
    unsigned q = (unsigned)storm_below(&me->chance, QUEUES);
    uint32_t bias = atomic_load(&shared->bias[q]);
    bool send = bias == EVEN ? storm_below(&me->chance, 2) : bias == FILL;

    if (!(send ? send_one(me, q, false) : receive_one(me, q, false)))
        sched_yield();
    atomic_fetch_add(&me->log->progress, 1);
}

static void turn(struct self *me, const struct place *p)
{
    bool send = p->role == SENDER;
    bool done =
        send ? send_one(me, p->queue, !me->impatient) : receive_one(me, p->queue, !me->impatient);

    /* Who does not wait may find nothing for ever where others do: coming back is its progress. */
    if (done || me->impatient)
        atomic_fetch_add(&me->log->progress, 1);
    if (!done && me->impatient)
        sched_yield();
    /* Half of the time the queue is to run full, or empty: hold back the other side. */
    if (atomic_load(&shared->bias[p->queue]) == (send ? DRAIN : FILL))
        storm_nap(200000);
}

static void work(unsigned index, uint64_t luck)
{
    const struct place *p = &place[index];
    struct self me = {.index = index, .log = &shared->worker[index], .chance = luck};

    memset(me.log->buffer, 0, sizeof me.log->buffer);
    take_descriptors(&me, p->immortal || storm_below(&me.chance, 2));
    if (!p->immortal) { /* the immortal always wait without a limit */
        me.timed = storm_below(&me.chance, 3) == 0;
        me.impatient = storm_below(&me.chance, 4) == 0;
    }
    while (!atomic_load(p->role == RECEIVER ? &shared->stop_receivers : &shared->stop_senders)) {
        if (p->role == BOTH)
            turn_mixed(&me);
        else
            turn(&me, p);
        if (atomic_load(&me.log->sent) >= CAPACITY)
            storm_die("log full");
    }
    _exit(0);
}

/* --- the harness's books ------------------------------------------------------------------- */

static void account(uint32_t sender, uint64_t number)
{
    if (sender > PARENT || number >= CAPACITY ||
        number >= atomic_load(&shared->worker[sender].attempt)) {
        found.unsent++;
        return;
    }
    found.messages++;
    if ((ledger[sender][number] & TIMES) != TIMES)
        ledger[sender][number]++;
    if ((ledger[sender][number] & TIMES) > 1 && ++found.twice <= 5)
        printf("# message %" PRIu64 " of worker %u came again\n", number, sender);
}

static void pump(void)
{
    for (unsigned w = 0; w < WORKERS; w++) {
        struct worker *log = &shared->worker[w];
        uint64_t at = atomic_load(&log->consumed), to = atomic_load(&log->recorded);

        for (; at != to; at++)
            account((uint32_t)(log->journal[at % JOURNAL] >> 48),
                    log->journal[at % JOURNAL] & ((UINT64_C(1) << 48) - 1));
        atomic_store(&log->consumed, at);
    }
}

/* What a killed worker's log leaves open. */
static void settle(unsigned w)
{
    struct worker *log = &shared->worker[w];
    const struct storm_msg *msg = (const struct storm_msg *)log->buffer;
    uint64_t sent = atomic_load(&log->sent), recorded = atomic_load(&log->recorded);

    pump();
    if (atomic_load(&log->attempt) != sent) {
        ledger[w][sent] |= MAYBE_SENT;
        atomic_store(&log->sent, sent + 1); /* the successor goes on behind it */
        found.in_send++;
        found.maybe_sent++;
    }
    if (atomic_load(&log->intent) != recorded) {
        bool whole = msg->sender <= PARENT && msg->number < CAPACITY &&
                     msg->round == round_number &&
                     storm_verify(msg, storm_length(msg, msgsize), msgsize);

        if (atomic_load(&log->returned) != recorded) {
            if (whole)
                account(msg->sender, msg->number);
            else
                found.damaged++;
        } else {
            found.in_receive++;
            if (whole && !(ledger[msg->sender][msg->number] & MAYBE_TAKEN)) {
                ledger[msg->sender][msg->number] |= MAYBE_TAKEN;
                found.maybe_taken++;
            }
        }
        atomic_store(&log->intent, recorded);
        atomic_store(&log->returned, recorded);
    }
}

/* Messages that were sent for sure, not taken by a dead receiver, and never received. */
static uint64_t missing(bool print)
{
    uint64_t count = 0;

    for (unsigned s = 0; s <= PARENT; s++)
        for (uint64_t n = 0, end = atomic_load(&shared->worker[s].sent); n < end; n++)
            if (ledger[s][n] == 0 && ++count <= 5 && print)
                printf("# message %" PRIu64 " of worker %u never came\n", n, s);
    return count;
}

static void print_state(void)
{
    storm_guard(2 * STORM_LIMIT);
    printf("# queues hold %ld and %ld messages\n", storm_count(blocking[0]),
           storm_count(blocking[1]));
    for (unsigned w = 0; w < WORKERS; w++) {
        struct worker *log = &shared->worker[w];

        printf("# %2u %s q%u%s progress=%" PRIu64 " sent=%" PRIu64 "%s received=%" PRIu64 "%s", w,
               place[w].role == SENDER ? "sender" : (place[w].role == BOTH ? "mixed" : "receiver"),
               place[w].queue, place[w].immortal ? " immortal" : "", log->progress, log->sent,
               log->attempt != log->sent ? " (sending)" : "", log->recorded,
               log->intent != log->recorded ? " (receiving)" : "");
        storm_print_process(place[w].pid);
    }
}

/* Has everyone who was left alive moved lately?  Only those that are never killed can tell. */
static bool watch(bool all)
{
    uint64_t now = storm_now();

    pump();
    for (unsigned w = 0; w < WORKERS; w++) {
        struct place *p = &place[w];
        uint64_t progress = atomic_load(&shared->worker[w].progress);

        if (!p->pid || (!all && !p->immortal) || progress != p->seen) {
            if (p->seen != progress && p->since && now - p->since > found.longest_ns && p->pid)
                found.longest_ns = now - p->since;
            p->seen = progress;
            p->since = now;
        } else if (now - p->since > STORM_LIMIT_NS) {
            printf("# worker %u hangs\n", w);
            print_state();
            found.hung = true;
            return false;
        }
    }
    return true;
}

/* --- the storm -------------------------------------------------------------------------------- */

static void spawn(unsigned w)
{
    uint64_t luck = storm_random(&chance);
    pid_t pid = storm_fork();

    if (pid == 0)
        work(w, luck);
    place[w].pid = pid;
    place[w].seen = atomic_load(&shared->worker[w].progress);
    place[w].since = storm_now();
}

/* One to three at once, so that who repairs may die as well. */
static void kill_some(bool respawn)
{
    unsigned victims[3], n = 0, want = 1;

    while (want < 3 && storm_below(&chance, 4) == 0)
        want++;
    while (n < want) {
        unsigned w = (unsigned)storm_below(&chance, WORKERS);

        if (!place[w].immortal && place[w].pid && kill(place[w].pid, SIGKILL) == 0)
            victims[n++] = w;
        for (unsigned i = 0; i + 1 < n; i++)
            n -= victims[i] == victims[n - 1];
    }
    for (unsigned i = 0; i < n; i++) {
        int status;

        waitpid(place[victims[i]].pid, &status, 0);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
            printf("# worker %u died of itself: status %#x\n", victims[i], (unsigned)status);
            found.hung = true;
        }
        place[victims[i]].pid = 0;
        found.killed++;
        settle(victims[i]);
        if (respawn)
            spawn(victims[i]);
    }
}

/* Nobody is killed until every living worker has moved again. */
static void pause_for_progress(void)
{
    uint64_t start[WORKERS];
    bool moved = false;

    for (unsigned w = 0; w < WORKERS; w++)
        start[w] = atomic_load(&shared->worker[w].progress);
    while (!moved && watch(true)) {
        moved = true;
        for (unsigned w = 0; w < WORKERS; w++)
            moved = moved && atomic_load(&shared->worker[w].progress) != start[w];
        if (!moved)
            storm_nap(1000000);
    }
}

static void rage(uint64_t count)
{
    uint64_t pause_every = count / 10 + 1, next_pause = pause_every, next_bias = 0;

    while (found.killed < count && !found.hung) {
        storm_nap(storm_below(&chance, 4) ? storm_below(&chance, 300000)
                                          : storm_below(&chance, 4000000));
        if (!watch(false))
            return;
        if (found.killed >= next_bias) {
            for (unsigned q = 0; q < QUEUES; q++)
                atomic_store(&shared->bias[q], storm_below(&chance, BIASES));
            next_bias = found.killed + 40;
        }
        kill_some(true);
        if (found.killed >= next_pause) {
            pause_for_progress();
            next_pause += pause_every;
        }
    }
}

/* --- the reckoning -----------------------------------------------------------------------------
 */

/* Send a message of the harness's own.  False: full. */
static bool parent_send(unsigned q)
{
    struct self me = {.index = PARENT, .log = &shared->worker[PARENT]};

    me.nonblock[q] = nonblocking[q];
    return send_one(&me, q, false);
}

static bool reap(bool receivers)
{
    bool left = false;

    for (unsigned w = 0; w < WORKERS; w++) {
        int status;

        if ((place[w].role == RECEIVER) != receivers || !place[w].pid)
            continue;
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

/* Let everybody finish: first the senders, while receivers make room; then these. */
static void calm(void)
{
    uint64_t begin = storm_now();

    storm_guard(4 * STORM_LIMIT);
    for (unsigned q = 0; q < QUEUES; q++)
        atomic_store(&shared->bias[q], EVEN);
    atomic_store(&shared->stop_senders, 1);
    while (reap(false) && !found.hung) {
        pump();
        storm_nap(1000000);
        if (storm_now() - begin > STORM_LIMIT_NS)
            found.hung = true;
    }
    atomic_store(&shared->stop_receivers, 1);
    begin = storm_now();
    while (reap(true) && !found.hung) {
        pump();
        for (unsigned q = 0; q < QUEUES; q++)
            if (storm_count(nonblocking[q]) == 0) /* they sleep: wake one */
                parent_send(q);
        storm_nap(2000000);
        if (storm_now() - begin > STORM_LIMIT_NS)
            found.hung = true;
    }
    if (found.hung)
        print_state();
}

static void kill_all(void)
{
    for (unsigned w = 0; w < WORKERS; w++)
        if (place[w].pid) {
            kill(place[w].pid, SIGKILL);
            waitpid(place[w].pid, NULL, 0);
            place[w].pid = 0;
        }
}

/* Empty queue q into the books.  Counts what came out in order, as from a queue nobody else uses.
 */
static uint64_t drain(unsigned q, uint64_t *disorder)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    struct storm_msg *msg = (struct storm_msg *)room;
    unsigned prio, last_prio = PRIORITIES;
    uint64_t count = 0, last[WORKERS + 1] = {0};
    ssize_t got;

    for (; (got = mq_receive(nonblocking[q], room, msgsize, &prio)) >= 0; count++) {
        if (!storm_verify(msg, (size_t)got, msgsize) || msg->round != round_number ||
            prio != storm_prio(msg, PRIORITIES)) {
            found.damaged++;
            continue;
        }
        account(msg->sender, msg->number);
        if (prio != last_prio)
            memset(last, 0, sizeof last);
        if (prio > last_prio || msg->number < last[msg->sender])
            ++*disorder;
        last_prio = prio;
        last[msg->sender] = msg->number;
    }
    if (errno != EAGAIN)
        storm_die("mq_receive");
    return count;
}

/* What dead processes held comes back by itself, but not at once. */
static void drain_everything(void)
{
    uint64_t last = storm_now(), disorder;

    storm_guard(4 * STORM_LIMIT);
    while (storm_now() - last < (allow_loss ? REPAIR_NS / 10 : REPAIR_NS)) {
        uint64_t got = 0;

        for (unsigned q = 0; q < QUEUES; q++)
            got += drain(q, &disorder);
        if (got)
            last = storm_now();
        else if (missing(false) == 0)
            return;
        else
            storm_nap(20000000);
    }
}

/* No slot is lost: the queue takes exactly maxmsg messages and gives them back in order. */
static void refill(unsigned q)
{
    uint64_t begin = storm_now(), filled, drained, disorder = 0;
    bool agrees;

    storm_guard(4 * STORM_LIMIT);
    for (;;) {
        drain(q, &disorder);
        for (filled = 0; filled <= maxmsg && parent_send(q);)
            filled++;
        if (filled >= maxmsg || storm_now() - begin > REPAIR_NS)
            break;
        storm_nap(50000000);
    }
    storm_check(filled == maxmsg,
                "queue %u takes %" PRIu64 " of %" PRIu64 " messages again, %.1f s", q, filled,
                maxmsg, (double)(storm_now() - begin) / 1e9);
    agrees = storm_count(nonblocking[q]) == (long)maxmsg;
    disorder = 0;
    drained = drain(q, &disorder);
    storm_check(agrees && drained == filled && !disorder && storm_count(nonblocking[q]) == 0,
                "and gives back %" PRIu64 ", %" PRIu64 " out of order, %ld left", drained, disorder,
                storm_count(nonblocking[q]));
}

static void judge(void)
{
    found.lost = missing(true);
    found.damaged += atomic_load(&shared->damaged);
    printf("# %" PRIu64 " kills (%" PRIu64 " in a send, %" PRIu64 " in a receive), %" PRIu64
           " messages, maybe sent %" PRIu64 ", maybe received %" PRIu64 ", longest wait %.2f s\n",
           found.killed, found.in_send, found.in_receive, found.messages, found.maybe_sent,
           found.maybe_taken, (double)found.longest_ns / 1e9);
    storm_check(found.messages > found.killed, "messages got through");
    storm_check(!found.hung, "no survivor blocks");
    storm_check(found.lost <= (allow_loss ? found.in_receive : 0), "%" PRIu64 " messages lost",
                found.lost);
    storm_check(!found.twice, "%" PRIu64 " messages received twice", found.twice);
    storm_check(!found.unsent, "%" PRIu64 " messages received that nobody sent", found.unsent);
    storm_check(!found.damaged, "%" PRIu64 " messages damaged", found.damaged);
}

/* --- rounds ----------------------------------------------------------------------------------- */

static bool open_queues(void)
{
    for (unsigned q = 0; q < QUEUES; q++) {
        snprintf(names[q], sizeof names[q], "/storm-kill-%d-%u", (int)getpid(), q);
        blocking[q] = storm_open(names[q], O_CREAT | O_EXCL | O_RDWR, maxmsg, msgsize);
        if (blocking[q] == (mqd_t)-1) {
            int error = errno;

            while (q--) {
                mq_close(blocking[q]);
                mq_close(nonblocking[q]);
                mq_unlink(names[q]);
            }
            errno = error;
            return false;
        }
        nonblocking[q] = mq_open(names[q], O_RDWR | O_NONBLOCK);
        if (nonblocking[q] == (mqd_t)-1)
            storm_die("mq_open");
    }
    return true;
}

static void set_places(void)
{
    for (unsigned w = 0; w < WORKERS; w++) {
        place[w] = (struct place){.role = BOTH};
        if (w >= WORKERS - MIXED)
            continue;
        place[w].queue = w / (2 * SIDE);
        place[w].role = w % 2 ? RECEIVER : SENDER;
        place[w].immortal = w % (2 * SIDE) < 2;
    }
}

static void storm(uint64_t count)
{
    printf("# maxmsg %" PRIu64 ", msgsize %" PRIu64 ", %" PRIu64 " kills\n", maxmsg, msgsize,
           count);
    fflush(stdout); /* or every child prints it, too */
    if (!open_queues()) {
        if (!kernel || (errno != EINVAL && errno != EMFILE))
            storm_die("mq_open");
        printf("skip - the kernel refuses a queue of this size: %s\n", strerror(errno));
        return;
    }
    memset(&found, 0, sizeof found);
    round_number++;
    shared = storm_shared(sizeof *shared);
    for (unsigned s = 0; s <= PARENT; s++)
        ledger[s] = storm_shared(CAPACITY);
    set_places();
    for (unsigned w = 0; w < WORKERS; w++)
        spawn(w);
    rage(count);
    if (!found.hung)
        calm();
    kill_all();
    pump();
    drain_everything();
    judge();
    for (unsigned q = 0; q < QUEUES; q++) {
        refill(q);
        mq_close(blocking[q]);
        mq_close(nonblocking[q]);
        mq_unlink(names[q]);
    }
    storm_guard(0);
    munmap(shared, sizeof *shared);
    for (unsigned s = 0; s <= PARENT; s++)
        munmap(ledger[s], CAPACITY);
}

int main(int argc, char **argv)
{
    static const uint64_t maxmsgs[] = {8, 64, 300, 5000}, msgsizes[] = {64, 3000};
    const struct storm_option options[] = {
        {"kills", &kills, false, "processes to kill in all (500)"},
        {"seed", &seed, false, "for the random choices (from the clock)"},
        {"maxmsg", &maxmsg, false, "of the queues (8, 64, 300 and 5000 in turn)"},
        {"msgsize", &msgsize, false, "of the queues, bytes (64 and 3000 in turn)"},
        {"allow-receiver-loss", &allow_loss, true,
         "a receiver killed in its call may lose one message: kernel queues"},
        {NULL, NULL, false, NULL}};
    uint64_t one_maxmsg, one_msgsize, sizes, rounds;

    storm_options(argc, argv, options);
    kernel = storm_begin("kill_storm", &seed);
    chance = seed;
    one_maxmsg = maxmsg;
    one_msgsize = storm_check_msgsize(msgsize);
    sizes = (one_maxmsg ? 1 : 4) * (one_msgsize ? 1 : 2);
    rounds = (kills + sizes * ROUND_KILLS - 1) / (sizes * ROUND_KILLS) * sizes;
    for (uint64_t i = 0; i < rounds && !found.hung; i++) {
        maxmsg = one_maxmsg ? one_maxmsg : maxmsgs[i % 4];
        msgsize = one_msgsize ? one_msgsize : msgsizes[i / (one_maxmsg ? 1 : 4) % 2];
        storm((kills + rounds - 1) / rounds);
    }
    return storm_end("kill_storm", seed);
}

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
#include "kill/kill.h"

uint64_t maxmsg, msgsize, mixed, users;
bool kernel;
struct shared *shared;
uint8_t *ledger[WORKERS + 1];
struct place place[WORKERS];
mqd_t blocking[QUEUES], nonblocking[QUEUES];
char names[QUEUES][64];
uint32_t round_number;
struct found found;

static uint64_t seed, kills = 500, allow_loss, chance;

/* --- who hangs ---------------------------------------------------------------------------------
 */

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
        if (nonblocking[q] == (mqd_t)-1 || (users && fchmod(blocking[q], 0666) < 0))
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
        {"mixed", &mixed, true, "workers also poll, are notified, and are cancelled"},
        {"users", &users, true, "workers are users other than the queues' owner: needs root"},
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

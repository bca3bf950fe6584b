/*
 * Re-entry storm: a program sends and receives while signal handlers that
 * interrupt it, and each other, send and receive on the same queue.  A timer
 * signals it, and so does a sibling process, which uses the queue as well.
 *
 * An engine that takes a lock hangs here at once: the handler waits for what the
 * code below it holds.  Only interruptions that hit the program inside an mq_
 * call that does not wait count: there the engine is at work.  At the end every
 * message that was sent has come exactly once.
 */
#include "storm_mix.h"

#define CAPACITY   (UINT64_C(1) << 25) /* messages of a source in a round */
#define PRIORITIES 5
#define TIMER      SIGALRM
#define SIBLING    SIGUSR1

/* Who sends.  A handler does not interrupt itself, so each source is sequential. */
enum source { MAIN, IN_TIMER, IN_SIBLING, OTHER, HARNESS, SOURCES };

struct shared {
    _Atomic uint64_t interruptions, hits; /* handlers run; of them, inside an mq_ call */
    _Atomic uint64_t hits_moving;         /* of these, in a call that does not wait */
    _Atomic uint64_t nested;              /* in a handler's call */
    _Atomic uint64_t eintr; /* calls that gave EINTR, as they may without SA_RESTART */
    _Alignas(128) _Atomic uint64_t progress;  /* of the interrupted program itself */
    _Alignas(128) _Atomic uint64_t signalled; /* times the sibling's signal was handled */
    _Alignas(128) _Atomic uint64_t sibling_progress;
    _Atomic uint32_t done, damaged;
    _Atomic uint64_t sent[SOURCES];
};

static uint64_t seed, interruptions = 5000, maxmsg, msgsize, restart, target, mixed;
static bool kernel;
static struct shared *shared;
static _Atomic uint8_t *times[SOURCES]; /* how often each message was received */
static char name[64];
static mqd_t patient, hasty; /* blocking, and not */
static uint64_t chance[SOURCES];
static uint32_t round_number;
static bool hung;

/* Of the interrupted thread: its calls under way, which of them wait, and handlers. */
static volatile sig_atomic_t inside, waiting, handlers;

enum how { HASTY, PATIENT, TIMED };

/* --- what everybody does ------------------------------------------------------------------- */

/* A call of source failed: is that allowed?  Dies where it is not. */
static void failed(enum source source, enum how how, const char *call)
{
    if (errno == EAGAIN && how == HASTY)
        return;
    if (errno == ETIMEDOUT && how == TIMED)
        return;
    if ((errno == EAGAIN || errno == ECANCELED) && how == PATIENT && mixed)
        return;
    if (errno == EINTR && how != HASTY && source == MAIN && !restart) {
        atomic_fetch_add(&shared->eintr, 1);
        return;
    }
    storm_die(call);
}

static void enter(enum how how)
{
    waiting += how != HASTY;
    inside++;
}

static void leave(enum how how)
{
    int error = errno;

    inside--;
    waiting -= how != HASTY;
    errno = error;
}

/* Mixed, the program itself waits in all ways, and its signal also comes as a notification. */
static ssize_t transfer(enum source source, enum how how, struct mix_call *c)
{
    struct timespec deadline = {0};

    c->patient = patient;
    c->hasty = hasty;
    c->signal = SIBLING; /* a thread that is notified would take the other signals */
    if (how == TIMED)
        deadline = storm_deadline(storm_below(&chance[source], 3000000));
    enter(how);
    if (how == TIMED)
        c->result = c->send ? mq_timedsend(patient, c->room, c->len, c->prio, &deadline)
                            : mq_timedreceive(patient, c->room, c->len, &c->prio, &deadline);
    else if (how == PATIENT && mixed)
        mix_call(c, &chance[source]);
    else
        mix_do(c, how == HASTY ? hasty : patient);
    leave(how);
    return c->result;
}

static void send_one(enum source source, enum how how)
{
    static _Alignas(16) char rooms[SOURCES][STORM_MSG_MAX];
    struct storm_msg *msg = (struct storm_msg *)rooms[source];
    struct mix_call c = {.send = true, .room = rooms[source]};
    uint64_t n = atomic_load(&shared->sent[source]);

    if (n >= CAPACITY - 1)
        storm_die("log full");
    c.len = storm_build(msg, source, round_number, n, msgsize);
    c.prio = storm_prio(msg, PRIORITIES);
    if (transfer(source, how, &c) == 0)
        atomic_store(&shared->sent[source], n + 1);
    else
        failed(source, how, "mq_send");
}

static bool receive_one(enum source source, enum how how)
{
    static _Alignas(16) char rooms[SOURCES][STORM_MSG_MAX];
    const struct storm_msg *msg = (const struct storm_msg *)rooms[source];
    struct mix_call c = {.room = rooms[source], .len = msgsize};

    if (transfer(source, how, &c) < 0) {
        failed(source, how, "mq_receive");
        return false;
    }
    if (!storm_verify(msg, (size_t)c.result, msgsize) || msg->sender >= SOURCES ||
        msg->number >= CAPACITY || msg->round != round_number ||
        c.prio != storm_prio(msg, PRIORITIES))
        atomic_fetch_add(&shared->damaged, 1);
    else
        atomic_fetch_add(&times[msg->sender][msg->number], 1);
    return true;
}

/* --- the interrupted program ----------------------------------------------------------------- */

static void handler(int signal)
{
    enum source source = signal == TIMER ? IN_TIMER : IN_SIBLING;
    uint64_t what = storm_below(&chance[source], 8);
    int error = errno;

    atomic_fetch_add(&shared->interruptions, 1);
    if (inside) {
        atomic_fetch_add(&shared->hits, 1);
        atomic_fetch_add(&shared->hits_moving, !waiting);
        atomic_fetch_add(&shared->nested, handlers > 0);
    }
    handlers++;
    if (mixed && what % 4 == 0)
        mix_notify(patient, SIBLING, &chance[source]);
    if (what < 5)
        send_one(source, HASTY);
    if (what > 2)
        receive_one(source, HASTY);
    handlers--;
    if (source == IN_SIBLING)
        atomic_fetch_add(&shared->signalled, 1);
    errno = error;
}

static void open_and_close(void)
{
    struct mq_attr attr;
    mqd_t other;

    enter(HASTY);
    other = mq_open(name, O_RDWR);
    if (other == (mqd_t)-1 || mq_getattr(other, &attr) != 0 || mq_close(other) != 0)
        storm_die("mq_open, mq_getattr or mq_close");
    leave(HASTY);
}

/* Most calls do not wait: so most signals hit the engine at work, not asleep. */
static void turn(void)
{
    uint64_t what = storm_below(&chance[MAIN], 256);
    enum how how = what % 16 == 0 ? PATIENT : (what % 16 == 1 ? TIMED : HASTY);

    if (what == 255)
        open_and_close();
    else if (what < 128)
        send_one(MAIN, how);
    else
        receive_one(MAIN, how);
    atomic_fetch_add(&shared->progress, 1);
}

static void run_program(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = restart ? SA_RESTART : 0};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = TIMER};
    struct itimerspec often = {{0, 0}, {0, 0}};
    timer_t timer;

    sigemptyset(&action.sa_mask);
    if (sigaction(TIMER, &action, NULL) || sigaction(SIBLING, &action, NULL) ||
        timer_create(CLOCK_MONOTONIC, &event, &timer))
        storm_die("timer");
    while (atomic_load(&shared->hits_moving) < target) {
        if (atomic_load(&shared->progress) % 4096 == 0) {
            often.it_interval.tv_nsec = often.it_value.tv_nsec =
                20000 + (long)storm_below(&chance[MAIN], 60000);
            timer_settime(timer, 0, &often, NULL);
        }
        turn();
    }
    timer_delete(timer);
    /* The sibling may still signal: what its handler sends now counts as well. */
    atomic_store(&shared->done, 1);
    while (atomic_load(&shared->done) != 2)
        storm_nap(100000);
    _exit(0);
}

static void run_sibling(pid_t program)
{
    while (atomic_load(&shared->done) == 0) {
        uint64_t before = atomic_load(&shared->signalled), until;

        kill(program, SIBLING);
        while (atomic_load(&shared->signalled) == before && !atomic_load(&shared->done)) {
            send_one(OTHER, HASTY);
            receive_one(OTHER, HASTY);
            sched_yield();
        }
        until = storm_now() + storm_below(&chance[OTHER], 30000);
        while (storm_now() < until)
            if (storm_below(&chance[OTHER], 2))
                send_one(OTHER, HASTY);
            else
                receive_one(OTHER, HASTY);
        atomic_fetch_add(&shared->sibling_progress, 1);
    }
    _exit(0);
}

/* --- the harness --------------------------------------------------------------------------------
 */

/* Wait for a process to end of itself, as long as both get on.  False: one hangs, or failed. */
static bool await(pid_t pid, pid_t program, pid_t sibling)
{
    uint64_t progress = 0, since = storm_now();
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        uint64_t now_at = atomic_load(&shared->progress);

        if (now_at != progress) {
            progress = now_at;
            since = storm_now();
        } else if (storm_now() - since > STORM_LIMIT_NS) {
            storm_guard(STORM_LIMIT);
            printf("# hangs: %" PRIu64 " turns, %" PRIu64 " interruptions, %ld messages queued\n",
                   progress, shared->interruptions, storm_count(hasty));
            storm_print_process(program);
            storm_print_process(sibling);
            return false;
        }
        storm_nap(1000000);
    }
    if (status != 0)
        printf("# process ended with status %#x\n", (unsigned)status);
    return status == 0;
}

static bool run_both(void)
{
    pid_t program, sibling = 0;
    bool well;

    /* Until the program's handlers are there, the sibling's signal must not kill it. */
    signal(SIBLING, SIG_IGN);
    program = storm_fork();
    if (program == 0) {
        run_program();
    }
    sibling = storm_fork();
    if (sibling == 0)
        run_sibling(program);
    well = await(sibling, program, sibling);
    atomic_store(&shared->done, 2);
    well = well && await(program, program, sibling);
    if (!well) {
        kill(program, SIGKILL);
        kill(sibling, SIGKILL);
        while (waitpid(-1, NULL, 0) > 0)
            ;
    }
    return well;
}

static void judge(void)
{
    uint64_t sent = 0, lost = 0, twice = 0, unsent = 0;

    for (unsigned s = 0; s < SOURCES; s++) {
        uint64_t end = atomic_load(&shared->sent[s]);

        sent += end;
        for (uint64_t n = 0; n < end; n++) {
            lost += times[s][n] == 0;
            twice += times[s][n] > 1;
        }
        unsent += times[s][end] != 0;
    }
    printf("# %" PRIu64 " interruptions, %" PRIu64 " inside an mq_ call (%" PRIu64
           " in one that does not wait, %" PRIu64 " in a handler's), %" PRIu64 " messages, %" PRIu64
           " EINTR\n",
           shared->interruptions, shared->hits, shared->hits_moving, shared->nested, sent,
           shared->eintr);
    storm_check(shared->hits_moving >= target,
                "%" PRIu64 " interruptions in an mq_ call that does not wait", shared->hits_moving);
    storm_check(!lost && !twice && !unsent && !shared->damaged,
                "%" PRIu64 " messages: %" PRIu64 " lost, %" PRIu64 " twice, %" PRIu64
                " never sent, %u damaged",
                sent, lost, twice, unsent, shared->damaged);
}

static void check_room(void)
{
    uint64_t before = shared->sent[HARNESS], filled = 0, drained = 0;
    long full;

    do {
        before = shared->sent[HARNESS];
        send_one(HARNESS, HASTY);
    } while (shared->sent[HARNESS] != before && ++filled <= maxmsg);
    full = storm_count(hasty);
    while (receive_one(HARNESS, HASTY))
        drained++;
    storm_check(filled == maxmsg && drained == maxmsg && full == (long)maxmsg,
                "the queue takes %" PRIu64 " of %" PRIu64 " messages again", filled, maxmsg);
}

static void storm(void)
{
    printf("# maxmsg %" PRIu64 ", msgsize %" PRIu64 ", %s SA_RESTART\n", maxmsg, msgsize,
           restart ? "with" : "without");
    fflush(stdout);
    snprintf(name, sizeof name, "/storm-reentry-%d", (int)getpid());
    patient = storm_open(name, O_CREAT | O_EXCL | O_RDWR, maxmsg, msgsize);
    if (patient == (mqd_t)-1 && kernel && (errno == EINVAL || errno == EMFILE)) {
        printf("skip - the kernel refuses a queue of this size: %s\n", strerror(errno));
        return;
    }
    hasty = mq_open(name, O_RDWR | O_NONBLOCK);
    if (patient == (mqd_t)-1 || hasty == (mqd_t)-1)
        storm_die("mq_open");
    shared = storm_shared(sizeof *shared);
    for (unsigned s = 0; s < SOURCES; s++) {
        times[s] = storm_shared(CAPACITY);
        chance[s] = storm_mix(seed + round_number * SOURCES + s);
    }
    round_number++;
    for (uint64_t n = 0; n < maxmsg / 2; n++) /* neither full nor empty, and, if large, indexed */
        send_one(HARNESS, HASTY);
    hung = !run_both();
    if (storm_check(!hung, "nobody hangs, no call fails")) {
        while (receive_one(HARNESS, HASTY))
            ;
        judge();
        check_room();
    }
    mq_close(patient);
    mq_close(hasty);
    mq_unlink(name);
    munmap(shared, sizeof *shared);
    for (unsigned s = 0; s < SOURCES; s++)
        munmap(times[s], CAPACITY);
}

int main(int argc, char **argv)
{
    static const uint64_t maxmsgs[] = {8, 300}, msgsizes[] = {64, 3000};
    const struct storm_option options[] = {
        {"interruptions", &interruptions, false,
         "in an mq_ call that does not wait, in all (5000)"},
        {"seed", &seed, false, "for the random choices (from the clock)"},
        {"maxmsg", &maxmsg, false, "of the queue (8 and 300 in turn)"},
        {"msgsize", &msgsize, false, "of the queue, bytes (64 and 3000 in turn)"},
        {"mixed", &mixed, true, "the program also polls, is notified, and cancels"},
        {NULL, NULL, false, NULL}};

    uint64_t one_maxmsg, one_msgsize, sizes;

    storm_options(argc, argv, options);
    kernel = storm_begin("reentry_storm", &seed);
    mix_cancels = !kernel;
    one_maxmsg = maxmsg;
    one_msgsize = storm_check_msgsize(msgsize);
    sizes = (one_maxmsg ? 1 : 2) * (one_msgsize ? 1 : 2);
    target = (interruptions + 2 * sizes - 1) / (2 * sizes);
    for (uint64_t i = 0; i < 2 * sizes && !hung; i++) {
        maxmsg = one_maxmsg ? one_maxmsg : maxmsgs[i / 2 % 2];
        msgsize = one_msgsize ? one_msgsize : msgsizes[i / 2 / (one_maxmsg ? 1 : 2)];
        restart = i % 2;
        storm();
    }
    return storm_end("reentry_storm", seed);
}

/*
 * Step storm: a process in the middle of one send or receive is stopped after
 * exactly n machine instructions, for every n until the call is over.  Then
 * either it stays stopped while others use the queue, and is continued; or it is
 * killed there, and what it leaves is looked at.  What the other storms meet by
 * chance, a window of two instructions, this one meets for certain.
 */
#include "storm.h"

#include <sys/ptrace.h>

#define MESSAGES   400 /* at most in a queue here */
#define PRIORITIES 4
#define HARNESS    0u
#define VICTIM     1u
#define WAIT_NS    UINT64_C(15000000000) /* what the dead held must be back by then */

struct scenario {
    const char *name;
    bool send;
    uint64_t maxmsg, before; /* messages in the queue before the call */
    bool last_first;         /* the last of these has the highest priority: from the tree */
    size_t len;
};
static const struct scenario scenarios[] = {
    {"send into a small queue", true, 8, 3, false, 64},
    {"send of a large message", true, 8, 3, false, 1000},
    {"send beyond the first 64", true, 300, 64, false, 64},
    {"send beyond the first 100", true, 300, 100, false, 1000},
    {"receive from a small queue", false, 8, 3, false, 64},
    {"receive of a large message", false, 8, 3, false, 1000},
    {"receive from the first 64 of 100", false, 300, 100, false, 64},
    {"receive from beyond them", false, 300, 100, true, 64},
    {"receive of a large one from beyond", false, 300, 100, true, 1000},
    {"receive of the last one beyond", false, 300, 65, true, 64},
};

struct shared {
    _Atomic uint32_t phase; /* 1: in the call, 2: it returned */
    _Atomic int64_t result;
    _Alignas(64) char buffer[STORM_MSG_MAX];
};

static uint64_t seed, stride = 1;
static bool kernel;
static struct shared *shared;
static const struct scenario *sc;
static char name[64];
static mqd_t hasty, patient;
static uint64_t numbers; /* the harness's messages, over all rounds */

/* What came out of the queue in this round. */
static struct {
    uint64_t count, victims;
    uint64_t damaged;
    uint64_t number[2 * MESSAGES];
} got;
static uint64_t faults;

__attribute__((format(printf, 2, 3))) static void fault(uint64_t step, const char *format, ...)
{
    va_list args;

    if (++faults > 20)
        return;
    printf("# %s, after %" PRIu64 " instructions: ", sc->name, step);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* --- messages --------------------------------------------------------------------------------- */

/* All of a scenario's messages have one length; what says who sent them is checked as it is. */
static void build(char *room, uint32_t sender, uint64_t number)
{
    struct storm_msg *msg = (struct storm_msg *)room;

    memset(room, (int)(number * 7 + sender), sc->len);
    msg->sender = sender;
    msg->round = 0;
    msg->number = number;
    msg->sum = storm_sum(msg, sc->len);
}

static bool whole(const char *room)
{
    return ((const struct storm_msg *)room)->sum ==
           storm_sum((const struct storm_msg *)room, sc->len);
}

/* False: full (and, where wait is set, stays so). */
static bool send_one(unsigned prio, bool wait)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    struct timespec deadline;

    build(room, HARNESS, numbers);
    if (wait) {
        deadline = storm_deadline(WAIT_NS);
        if (mq_timedsend(patient, room, sc->len, prio, &deadline) != 0)
            return false;
    } else if (mq_send(hasty, room, sc->len, prio) != 0) {
        return false;
    }
    numbers++;
    return true;
}

/* Receive one message into `got`.  wait_ns 0: without waiting.  False: none. */
static bool receive_one(uint64_t wait_ns)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    const struct storm_msg *msg = (const struct storm_msg *)room;
    struct timespec deadline = storm_deadline(wait_ns);
    ssize_t r = wait_ns ? mq_timedreceive(patient, room, sc->len, NULL, &deadline)
                        : mq_receive(hasty, room, sc->len, NULL);

    if (r < 0) {
        if (errno != EAGAIN && errno != ETIMEDOUT)
            storm_die("mq_receive");
        return false;
    }
    if ((size_t)r != sc->len || !whole(room) || got.count + got.victims >= 2 * MESSAGES)
        got.damaged++;
    else if (msg->sender == VICTIM)
        got.victims++;
    else
        got.number[got.count++] = msg->number;
    return true;
}

/* Are the messages in `got`, from number `from` on, those sent from `first` on, in order? */
static bool in_order(uint64_t from, uint64_t first, uint64_t count)
{
    if (got.count - from != count)
        return false;
    for (uint64_t i = 0; i < count; i++)
        if (got.number[from + i] != first + i)
            return false;
    return true;
}

/* --- the victim ----------------------------------------------------------------------------------
 */

static void be_victim(void)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    mqd_t own;
    ssize_t r;

    /* What a process does once, at its first call, is not what is looked at here. */
    build(room, VICTIM, 0);
    own = mq_open(name, O_RDWR | O_NONBLOCK); /* continued, it may find the queue empty */
    if (own == (mqd_t)-1 || mq_send(own, room, sc->len, PRIORITIES) != 0 ||
        mq_receive(own, room, sc->len, NULL) < 0)
        storm_die("the victim's first calls");
    build(room, VICTIM, 1);
    memset(shared->buffer, 0, sc->len);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    atomic_store(&shared->phase, 1);
    if (sc->send)
        r = mq_send(own, room, sc->len, 1);
    else
        r = mq_receive(own, shared->buffer, sc->len, NULL);
    atomic_store(&shared->result, r);
    atomic_store(&shared->phase, 2);
    for (;;)
        pause();
}

static void step_once(pid_t pid)
{
    int status;

    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid ||
        !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
        storm_die("single step");
}

/* A process that stands n instructions inside its call; 0: the call is over before that. */
static pid_t start_victim(uint64_t n, bool *over)
{
    pid_t pid;
    int status;

    atomic_store(&shared->phase, 0);
    pid = storm_fork();
    if (pid == 0)
        be_victim();
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
        storm_die("the victim did not stop");
    while (atomic_load(&shared->phase) == 0)
        step_once(pid);
    for (uint64_t i = 0; i < n && atomic_load(&shared->phase) == 1; i++)
        step_once(pid);
    *over = atomic_load(&shared->phase) == 2;
    return pid;
}

static void end_victim(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void let_victim_finish(pid_t pid)
{
    uint64_t begin = storm_now();

    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    while (atomic_load(&shared->phase) != 2) {
        if (storm_now() - begin > STORM_LIMIT_NS) {
            printf("# the victim hangs:");
            storm_print_process(pid);
            storm_die("it was continued and did not return");
        }
        storm_nap(20000);
    }
}

/* --- one round: a queue, a victim, a look
 * --------------------------------------------------------- */

static uint64_t prepare(void)
{
    uint64_t first = numbers;

    memset(&got, 0, sizeof got);
    for (uint64_t i = 0; i < sc->before; i++)
        if (!send_one(sc->last_first && i == sc->before - 1 ? 2 : 1, false))
            storm_die("mq_send");
    return first;
}

/* The message that a receive of the victim is to take. */
static uint64_t target(uint64_t first)
{
    return sc->last_first ? first + sc->before - 1 : first;
}

/* Everything that was there before, less the victim's; `got` holds it from its begin. */
static void check_before(uint64_t step, uint64_t first, bool missing_allowed)
{
    bool seen[MESSAGES] = {false};
    uint64_t missing = 0, last = 0;

    for (uint64_t i = 0; i < got.count; i++) {
        uint64_t n = got.number[i];

        if (n < first || n - first >= sc->before || seen[n - first]) {
            fault(step, "message %" PRIu64 " twice", n - first);
            continue;
        }
        seen[n - first] = true;
        if (n == target(first)) /* the victim had it; it may come at any time */
            continue;
        if (last > n)
            fault(step, "message %" PRIu64 " out of order", n - first);
        last = n;
    }
    for (uint64_t i = 0; i < sc->before; i++)
        if (!seen[i] && (++missing, sc->send || !missing_allowed || first + i != target(first)))
            fault(step, "message %" PRIu64 " lost", i);
    if (got.damaged)
        fault(step, "%" PRIu64 " messages damaged", got.damaged);
}

/* The queue is empty and nobody else uses it: it takes maxmsg messages and returns them in order.
 * held: somebody who is stopped may hold a slot. */
static void check_room(uint64_t step, bool held)
{
    uint64_t from = got.count, first = numbers, sent = 0, victims = got.victims;
    bool full;

    while (sent < sc->maxmsg && send_one(1, !held))
        sent++;
    full = sent == sc->maxmsg && !send_one(1, false);
    if (!full && !(held && sent == sc->maxmsg - 1))
        fault(step, "room for %" PRIu64 " of %" PRIu64 " messages, or for more", sent, sc->maxmsg);
    if (!held && storm_count(hasty) != (long)sc->maxmsg)
        fault(step, "full, it holds %ld", storm_count(hasty));
    while (receive_one(0))
        ;
    if (!in_order(from, first, numbers - first))
        fault(step, "of %" PRIu64 " messages %" PRIu64 " came, or in another order", sent,
              got.count - from);
    if (!held && got.victims != victims)
        fault(step, "the victim's message came only now");
}

/* The victim is dead: empty the queue, until it says itself that nothing is left. */
static void check_killed(uint64_t step, uint64_t first)
{
    uint64_t begin = storm_now(), least;
    bool maybe = !sc->send && whole(shared->buffer); /* it may have been received */

    least = sc->before - maybe;
    while (receive_one(0) || got.count < least || storm_count(hasty) != 0) {
        if (got.count < least || storm_count(hasty) != 0)
            receive_one(50000000);
        if (storm_now() - begin > WAIT_NS) {
            fault(step, "%ld messages stay behind", storm_count(hasty));
            break;
        }
    }
    check_before(step, first, maybe);
    if (got.victims > sc->send)
        fault(step, "the victim's message came %" PRIu64 " times", got.victims);
    got.count = 0;
    check_room(step, false);
}

/* The victim stands still: all others go on as if nothing were.  Then it finishes. */
static void check_stopped(uint64_t step, uint64_t first, pid_t pid)
{
    uint64_t victims;
    bool took;

    while (receive_one(0))
        ;
    check_before(step, first, true);
    got.count = 0;
    check_room(step, true);
    let_victim_finish(pid);
    took = !sc->send && shared->result >= 0;
    got.count = 0;
    while (receive_one(0))
        ;
    victims = got.victims;
    if (sc->send
            ? shared->result != 0 || victims != 1
            : victims != 0 || (took && !whole(shared->buffer)) || (!took && shared->result != -1))
        fault(step, "continued, its call gave %" PRId64 "; %" PRIu64 " of its messages came",
              shared->result, victims);
    end_victim(pid);
    got.count = 0;
    check_room(step, false);
}

/* --- scenarios
 * ------------------------------------------------------------------------------------- */

static bool open_queue(void)
{
    snprintf(name, sizeof name, "/storm-step-%d", (int)getpid());
    patient = storm_open(name, O_CREAT | O_EXCL | O_RDWR, sc->maxmsg, sc->len);
    if (patient == (mqd_t)-1 && kernel && (errno == EINVAL || errno == EMFILE)) {
        printf("skip - the kernel refuses a queue of this size: %s\n", strerror(errno));
        return false;
    }
    hasty = mq_open(name, O_RDWR | O_NONBLOCK);
    if (patient == (mqd_t)-1 || hasty == (mqd_t)-1)
        storm_die("mq_open");
    return true;
}

static void run(bool killing, uint64_t *chance)
{
    uint64_t step, looked = 0, first, faults_before = faults;
    bool over = false;

    if (!open_queue())
        return;
    for (step = storm_below(chance, stride); !over; step += stride, looked++) {
        pid_t pid;

        storm_guard(4 * STORM_LIMIT);
        first = prepare();
        pid = start_victim(step, &over);
        if (killing) {
            end_victim(pid);
            check_killed(step, first);
        } else {
            check_stopped(step, first, pid);
        }
        if (faults - faults_before > 2)
            break;
    }
    storm_guard(0);
    storm_check(faults == faults_before, "%s, %s at %" PRIu64 " of %" PRIu64 " instructions",
                sc->name, killing ? "killed" : "stopped", looked, step);
    mq_close(hasty);
    mq_close(patient);
    mq_unlink(name);
}

int main(int argc, char **argv)
{
    const struct storm_option options[] = {
        {"stride", &stride, false, "look after every Nth instruction (1)"},
        {"seed", &seed, false, "for the first instruction, if not every one (from the clock)"},
        {NULL, NULL, false, NULL}};
    uint64_t chance;

    storm_options(argc, argv, options);
    if (!stride)
        stride = 1;
    kernel = storm_begin("step_storm", &seed);
    chance = seed;
    shared = storm_shared(sizeof *shared);
    for (size_t i = 0; i < 2 * sizeof scenarios / sizeof scenarios[0]; i++) {
        sc = &scenarios[i / 2];
        run(i % 2, &chance);
    }
    return storm_end("step_storm", seed);
}

/*
 * Notification storm: who is registered with mq_notify is notified once, and
 * always, whatever dies or stands still.
 *
 * First, in steps: a process is killed, or stopped, after exactly n instructions
 * of a send that is to notify, or of an mq_notify.  Where its message is in the
 * queue, the notification must come; where it died while it registered, another
 * must be able to register at once.
 *
 * Then at random: registrants, who empty the queue when they have registered and
 * then only when they are notified; senders; receivers who block.  All are killed
 * and stopped.  A lost notification leaves messages in the queue beside a
 * registrant who waits, which nobody would ever tell.
 */
#include "storm.h"

#include <poll.h>
#include <sys/ptrace.h>

#define SIGNAL  SIGRTMIN
#define MAXMSG  8
#define MSGSIZE 32
#define LOST_NS                                                                                    \
    UINT64_C(12000000000) /* not notified after that: lost.  (Mending takes some 3 s.) */
#define SLICE_NS    UINT64_C(50000000)
#define REGISTRANTS 2
#define SENDERS     3
#define RECEIVERS   2
#define WORKERS     (REGISTRANTS + SENDERS + RECEIVERS)
#define SERIALS     (1u << 22) /* registrations of a registrant */
#define PIDS        (1u << 16)

struct shared {
    _Atomic uint32_t phase; /* of the victim: 1: in the call, 2: it returned */
    _Atomic int result;     /* 0 or errno */
    _Atomic uint32_t told;
    _Atomic bool sending, receiving;
    _Atomic uint64_t sent, received, notified, busy, for_nothing, wrong;
    _Atomic uint32_t lost, doubled, pids;
    _Atomic uint32_t serial[REGISTRANTS];
    _Atomic pid_t pid[PIDS]; /* of every sender there was */
    _Atomic uint8_t seen[REGISTRANTS][SERIALS];
};

static uint64_t seed, stride = 1, seconds = 10;
static bool kernel;
static struct shared *shared;
static char name[64];
static mqd_t hasty, patient;
static uint64_t faults, killed, stopped;

/* --- what all do ------------------------------------------------------------------------------ */

static sigset_t signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGNAL);
    return set;
}

/* Errno, or 0. */
static int registers(int value)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGNAL};

    event.sigev_value.sival_int = value;
    return mq_notify(patient, &event) == 0 ? 0 : errno;
}

/* The value of the next notification, or -1. */
static int notified(uint64_t ns, siginfo_t *info)
{
    struct timespec limit = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    sigset_t set = signals();
    int r;

    do
        r = sigtimedwait(&set, info, &limit);
    while (r == -1 && errno == EINTR);
    return r == SIGNAL ? info->si_value.sival_int : -1;
}

static uint64_t drain(void)
{
    char room[MSGSIZE];
    uint64_t n = 0;

    while (mq_receive(hasty, room, sizeof room, NULL) >= 0)
        n++;
    if (errno != EAGAIN)
        storm_die("mq_receive");
    return n;
}

/* --- in steps --------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void fault(uint64_t step, const char *format, ...)
{
    va_list args;

    faults++;
    printf("# after %" PRIu64 " instructions: ", step);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static void be_victim(bool sends)
{
    siginfo_t info;

    /* What a process does once, at its first call, is not what is looked at here. */
    mq_getattr(patient, &(struct mq_attr){0});
    if (!sends && (registers(1) != 0 || mq_notify(patient, NULL) != 0))
        storm_die("the victim's first mq_notify");
    if (sends && (mq_send(hasty, "first", 5, 0) != 0 || drain() != 1))
        storm_die("the victim's first mq_send");
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    atomic_store(&shared->phase, 1);
    if (sends)
        atomic_store(&shared->result, mq_send(hasty, "victim", 6, 0) == 0 ? 0 : errno);
    else
        atomic_store(&shared->result, registers(7));
    atomic_store(&shared->phase, 2);
    while (notified(UINT64_C(1000000000), &info) != 7)
        ;
    atomic_store(&shared->told, 1);
    pause();
}

/* A process that stands n instructions inside its call, or, *over, after it. */
static pid_t start_victim(bool sends, uint64_t n, bool *over)
{
    pid_t pid;
    int status;

    atomic_store(&shared->phase, 0);
    atomic_store(&shared->told, 0);
    pid = storm_fork();
    if (pid == 0)
        be_victim(sends);
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        storm_die("the victim did not stop");
    /* registered by now, so that its own first message was none */
    if (sends && registers(1) != 0)
        storm_die("mq_notify");
    for (uint64_t i = 0; atomic_load(&shared->phase) != 2 && i < n;) {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid ||
            !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
            storm_die("single step");
        i += atomic_load(&shared->phase) == 1;
    }
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
        if (storm_now() - begin > STORM_LIMIT_NS)
            storm_die("the victim was continued and did not return");
        storm_nap(20000);
    }
}

/* All is over: whoever registers now is notified, once. */
static void check_after(uint64_t step)
{
    siginfo_t info;
    int r;

    drain();
    while (notified(0, &info) >= 0)
        ;
    mq_notify(patient, NULL);
    r = registers(3);
    if (r != 0)
        fault(step, "then nobody can register: %s", strerror(r));
    else if (mq_send(hasty, "x", 1, 0) != 0 || notified(LOST_NS, &info) != 3)
        fault(step, "then nobody is notified");
    if (notified(0, &info) >= 0)
        fault(step, "then somebody is notified twice");
    drain();
}

/* We are registered (1), and a sender stands in its send, or died there. */
static void check_send(uint64_t step, pid_t pid, bool dead)
{
    siginfo_t info;
    int value;

    if (storm_count(hasty) == 0) {
        if (registers(2) != EBUSY)
            fault(step, "no message came, and the registration is gone");
        else if (mq_send(hasty, "x", 1, 0) != 0)
            fault(step, "no room: %s", strerror(errno));
    }
    if (notified(LOST_NS, &info) != 1)
        fault(step, "there is a message, and no notification");
    if (dead)
        return;
    drain();
    if (registers(2) != 0)
        fault(step, "cannot register again");
    let_victim_finish(pid);
    end_victim(pid);
    /* It sent what we have drained, or sends it now.  In the first case it may notify us
     * needlessly, but not twice. */
    value = notified(storm_count(hasty) ? LOST_NS : 0, &info);
    if (value != 2 && !(value == -1 && storm_count(hasty) == 0))
        fault(step, "continued, it notified %d", value);
}

/* A registrant stands in its mq_notify, or died there. */
static void check_register(uint64_t step, pid_t pid, bool dead)
{
    uint64_t begin = storm_now();
    siginfo_t info;
    int r = registers(2);

    if (dead && r != 0)
        fault(step, "it is dead, and we cannot register: %s", strerror(r));
    if (dead || (r != 0 && r != EBUSY)) {
        if (!dead)
            fault(step, "mq_notify: %s", strerror(r));
        return;
    }
    let_victim_finish(pid);
    if (shared->result != (r == 0 ? EBUSY : 0))
        fault(step, "we got %d, and it, continued, %d", r, shared->result);
    if (mq_send(hasty, "x", 1, 0) != 0 || (notified(r == 0 ? LOST_NS : 0, &info) == 2) != (r == 0))
        fault(step, "the wrong one was notified");
    while (r != 0 && !atomic_load(&shared->told)) {
        if (storm_now() - begin > LOST_NS) {
            fault(step, "it registered, and was not notified");
            break;
        }
        storm_nap(20000);
    }
    end_victim(pid);
}

static void run_steps(bool sends, bool killing, uint64_t *chance)
{
    uint64_t step, looked = 0, before = faults;
    bool over = false;

    for (step = storm_below(chance, stride); !over && faults - before < 3;
         step += stride, looked++) {
        pid_t pid;

        storm_guard(4 * STORM_LIMIT);
        pid = start_victim(sends, step, &over);
        if (killing)
            end_victim(pid);
        (sends ? check_send : check_register)(step, pid, killing);
        check_after(step);
    }
    storm_guard(0);
    storm_check(faults == before,
                "a process that %s, %s at %" PRIu64 " of %" PRIu64 " instructions",
                sends ? "sends" : "registers", killing ? "killed" : "stopped", looked, step);
}

/* --- at random -------------------------------------------------------------------------------- */

/* News reach a registrant through a pipe: threads that are notified have no signal blocked, so any
 * thread may get the signal. */
struct news {
    int value, code;
    pid_t pid;
    uid_t uid;
};
static int news_pipe[2];

static void pass_on(struct news news)
{
    int error = errno;

    if (write(news_pipe[1], &news, sizeof news) != sizeof news)
        _exit(4);
    errno = error;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    pass_on((struct news){info->si_value.sival_int, info->si_code, info->si_pid, info->si_uid});
}

static void in_thread(union sigval value)
{
    pass_on((struct news){.value = value.sival_int});
}

static void listen_for_news(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigset_t set = signals();

    if (pipe(news_pipe) != 0)
        storm_die("pipe");
    sigaction(SIGNAL, &action, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* False: none for a while. */
static bool hear(struct news *news)
{
    struct pollfd poll_pipe = {.fd = news_pipe[0], .events = POLLIN};

    return poll(&poll_pipe, 1, SLICE_NS / 1000000) == 1 &&
           read(news_pipe[0], news, sizeof *news) == sizeof *news;
}

static bool known_sender(pid_t pid)
{
    for (uint32_t i = 0, n = atomic_load(&shared->pids); i < n && i < PIDS; i++)
        if (atomic_load(&shared->pid[i]) == pid)
            return true;
    return false;
}

/* A notification came: was it due?  Returns whether it is that of this registration. */
static bool check_news(unsigned w, const struct news *news, uint32_t serial)
{
    uint32_t got = (uint32_t)news->value;

    atomic_fetch_add(&shared->notified, 1);
    if (news->code == SI_MESGQ && (!known_sender(news->pid) || news->uid != getuid()))
        atomic_fetch_add(&shared->wrong, 1);
    if (got == 0 || got > serial || got >= SERIALS)
        atomic_fetch_add(&shared->wrong, 1);
    else if (atomic_exchange(&shared->seen[w][got], 1))
        atomic_fetch_add(&shared->doubled, 1);
    return got == serial;
}

/* Registered, and the queue was empty: wait to be notified. */
static void wait_for_news(unsigned w, uint32_t serial)
{
    uint64_t beside = 0; /* how long there has been a message without news */

    while (beside < LOST_NS) {
        struct news news;
        bool heard = hear(&news);

        if (heard && check_news(w, &news, serial))
            return;
        beside = !heard && storm_count(hasty) > 0 ? beside + SLICE_NS : 0;
    }
    atomic_fetch_add(&shared->lost, 1);
}

static void work_registrant(unsigned w, uint64_t chance)
{
    listen_for_news();
    for (;;) {
        uint32_t serial = atomic_fetch_add(&shared->serial[w], 1) + 1;
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGNAL};

        event.sigev_value.sival_int = (int)serial;
        if (storm_below(&chance, 4) == 0) {
            event.sigev_notify = SIGEV_THREAD;
            event.sigev_notify_function = in_thread;
        }
        if (mq_notify(patient, &event) != 0) {
            if (errno != EBUSY)
                storm_die("mq_notify");
            atomic_fetch_add(&shared->busy, 1);
            storm_nap(300000);
            continue;
        }
        if (drain() == 0)
            atomic_fetch_add(&shared->for_nothing, 1);
        if (storm_below(&chance, 8) == 0)
            mq_notify(patient, NULL); /* it may have fired by now; then it comes later */
        else
            wait_for_news(w, serial);
    }
}

static void work_sender(uint64_t chance)
{
    uint32_t n = atomic_fetch_add(&shared->pids, 1);

    if (n < PIDS)
        atomic_store(&shared->pid[n], getpid());
    for (;;) {
        if (atomic_load(&shared->sending) &&
            mq_send(hasty, "x", 1, (unsigned)storm_below(&chance, 3)) == 0)
            atomic_fetch_add(&shared->sent, 1);
        if (storm_below(&chance, 3) == 0 || !atomic_load(&shared->sending))
            storm_nap(storm_below(&chance, 400000));
    }
}

static void work_receiver(uint64_t chance)
{
    char room[MSGSIZE];

    for (;;) {
        struct timespec deadline = storm_deadline(storm_below(&chance, 3000000));

        if (!atomic_load(&shared->receiving)) {
            storm_nap(1000000);
            continue;
        }
        if (mq_timedreceive(patient, room, sizeof room, NULL, &deadline) >= 0)
            atomic_fetch_add(&shared->received, 1);
    }
}

static pid_t start_worker(unsigned w, uint64_t chance)
{
    pid_t pid = storm_fork();

    if (pid != 0)
        return pid;
    if (w < REGISTRANTS)
        work_registrant(w, chance);
    if (w < REGISTRANTS + SENDERS)
        work_sender(chance);
    work_receiver(chance);
    return 0;
}

/* Kill, or stop for a moment, one of them. */
static void disturb(pid_t *pids, bool registrants, uint64_t *chance)
{
    unsigned w = (unsigned)storm_below(chance, WORKERS);

    if (w < REGISTRANTS && !registrants)
        return;
    if (storm_below(chance, 2)) {
        kill(pids[w], SIGKILL);
        if (waitpid(pids[w], NULL, 0) != pids[w])
            storm_die("waitpid");
        killed++;
        pids[w] = start_worker(w, storm_random(chance));
    } else {
        kill(pids[w], SIGSTOP);
        storm_nap(storm_below(chance, 20000000));
        kill(pids[w], SIGCONT);
        stopped++;
    }
}

/* Nobody sends any more: the registrant who holds the registration, or another who gets it, is
 * notified of what is left, and takes it. */
static bool settle(void)
{
    uint64_t begin = storm_now();

    atomic_store(&shared->sending, false);
    atomic_store(&shared->receiving, false);
    while (storm_count(hasty) > 0) {
        if (storm_now() - begin > LOST_NS)
            return false;
        storm_nap(1000000);
    }
    return true;
}

static void run_storm(uint64_t *chance)
{
    uint64_t end = storm_now() + seconds * 1000000000, rounds = 0;
    pid_t pids[WORKERS];
    bool good = true;

    for (unsigned w = 0; w < WORKERS; w++)
        pids[w] = start_worker(w, storm_random(chance));
    for (; good && storm_now() < end; rounds++) {
        uint64_t next = storm_now() + 700000000;
        bool registrants = rounds % 3 == 2;

        storm_guard(4 * STORM_LIMIT);
        atomic_store(&shared->sending, true);
        atomic_store(&shared->receiving, rounds % 2);
        while (storm_now() < next) {
            storm_nap(storm_below(chance, 6000000));
            disturb(pids, registrants, chance);
        }
        good = settle();
    }
    for (unsigned w = 0; w < WORKERS; w++)
        end_victim(pids[w]);
    storm_guard(0);
    printf("# %" PRIu64 " sent, %" PRIu64 " received by others, %" PRIu64 " notifications (%" PRIu64
           " for nothing), %" PRIu64 " times busy; %" PRIu64 " killed, %" PRIu64
           " stopped, in %" PRIu64 " rounds\n",
           shared->sent, shared->received, shared->notified, shared->for_nothing, shared->busy,
           killed, stopped, rounds);
    storm_check(good, "after each round the registrants are notified of all that is left");
    storm_check(shared->lost == 0, "no notification is lost (%u)", shared->lost);
    storm_check(shared->doubled == 0, "none comes twice (%u)", shared->doubled);
    storm_check(shared->wrong == 0, "each tells who sent, and who is meant (%" PRIu64 " do not)",
                shared->wrong);
    storm_check(shared->notified > 10 * seconds, "there were many");
}

int main(int argc, char **argv)
{
    const struct storm_option options[] = {
        {"stride", &stride, false, "look after every Nth instruction (1)"},
        {"seconds", &seconds, false, "how long at random (10)"},
        {"seed", &seed, false, "for what is random (from the clock)"},
        {NULL, NULL, false, NULL}};
    sigset_t set = signals();
    uint64_t chance;

    storm_options(argc, argv, options);
    if (!stride)
        stride = 1;
    kernel = storm_begin("notify_storm", &seed);
    if (kernel)
        stride = 1; /* a call is a few instructions */
    chance = seed;
    sigprocmask(SIG_BLOCK, &set, NULL);
    shared = storm_shared(sizeof *shared);
    snprintf(name, sizeof name, "/storm-notify-%d", (int)getpid());
    patient = storm_open(name, O_CREAT | O_EXCL | O_RDWR, MAXMSG, MSGSIZE);
    hasty = mq_open(name, O_RDWR | O_NONBLOCK);
    if (patient == (mqd_t)-1 || hasty == (mqd_t)-1)
        storm_die("mq_open");
    for (int i = 0; i < 4; i++)
        run_steps(i & 1, i & 2, &chance);
    run_storm(&chance);
    mq_unlink(name);
    return storm_end("notify_storm", seed);
}

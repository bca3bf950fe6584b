/*
 * A worker of the scribble storm: a process whose threads send to, receive from,
 * wait on, open and close the sick queue, and use the healthy one.  It says what
 * went wrong, once, in shared memory.
 */
#ifndef SCRIBBLE_WORKER_H
#define SCRIBBLE_WORKER_H

#include "storm.h"

#include <poll.h>
#include <pthread.h>

#ifdef __SANITIZE_ADDRESS__
#define ADDRESS_SANITIZER 1 /* it does not understand how a cancelled C thread unwinds */
#else
#define ADDRESS_SANITIZER 0
#endif

#define PROCESSES  3
#define PRIORITIES 4
#define CANARY     64
#define ERRNOS     256

enum role { SENDER, RECEIVER, PATIENT, OPENER, WELL, ROLES };
static const char *const role_names[] = {"sender", "receiver", "patient", "opener", "well"};

struct mode {
    const char *name, *kinds;
    uint64_t maxmsg, msgsize;
    bool registry; /* what is scribbled on: the registry of clients, else the segment */
    bool small;    /* on a file system that can be filled */
    int expected;  /* an errno that must have come up, or the round proved nothing */
};
struct shared {
    _Atomic uint32_t stop, faults;
    char fault[400]; /* the first one */
    _Atomic uint64_t succeeded, failed[ERRNOS], ended_by_signal, cancelled;
    _Atomic uint64_t well_sent[PROCESSES];
    _Atomic uint32_t well_senders; /* that still send */
    struct {
        _Alignas(64) _Atomic uint64_t progress;
        _Atomic uint32_t running;
    } thread[PROCESSES][ROLES];
};

static uint64_t seed;
static const struct mode *mode;
static struct shared *shared;
static char sick_name[64], well_name[64];
static uint32_t round_number;

/* This process's. */
static unsigned me;
static _Atomic int sick = -1;
static mqd_t well;
static char *buffers[ROLES];
static uint64_t chances[ROLES + 1];

/* --- what may happen ------------------------------------------------------------------------ */

__attribute__((format(printf, 1, 2))) static void fault(const char *format, ...)
{
    va_list args;

    if (atomic_fetch_add(&shared->faults, 1) > 0)
        return;
    va_start(args, format);
    vsnprintf(shared->fault, sizeof shared->fault, format, args);
    va_end(args);
}

/* Errors of calls on a queue that is being destroyed.  EMSGSIZE: its header has named another size
 * while it was opened.  EBADF: another thread has closed it. */
static bool sane(int error)
{
    static const int known[] = {EAGAIN, ETIMEDOUT, EINTR, EBADMSG, EIO, ENOSPC, EMSGSIZE, EBADF};

    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (error == known[i])
            return true;
    /* No client number can be had. */
    return mode->registry && (error == ESTALE || error == EUSERS);
}

/* EACCES, ESRCH: mode and policy of the queue say so.  ENOENT: unlinked by another process. */
static bool sane_open(int error)
{
    return error == EACCES || error == ESRCH || error == ENOENT || error == EEXIST ||
           (error != EBADF && sane(error));
}

static void count(const char *what, bool ok, bool (*may)(int))
{
    int error = errno;

    if (!ok) /* leave the processors to those who are in the middle of something */
        storm_nap(50000);

    if (ok) {
        atomic_fetch_add(&shared->succeeded, 1);
        return;
    }
    atomic_fetch_add(&shared->failed[error % ERRNOS], 1);
    if (!may(error))
        fault("%s failed with errno %d, %s", what, error, strerror(error));
}

static void make_buffer(enum role role)
{
    buffers[role] = malloc(mode->msgsize + (ADDRESS_SANITIZER ? 0 : CANARY));
    if (!buffers[role])
        storm_die("malloc");
    memset(buffers[role], 0, mode->msgsize);
    if (!ADDRESS_SANITIZER)
        memset(buffers[role] + mode->msgsize, 0x5a, CANARY);
}

static void check_buffer(enum role role)
{
    for (unsigned i = 0; !ADDRESS_SANITIZER && i < CANARY; i++)
        if (buffers[role][mode->msgsize + i] != 0x5a) {
            fault("mq_receive wrote behind the buffer");
            return;
        }
}

/* --- calls on the sick queue ------------------------------------------------------------------ */

/* deadline: NULL for none. */
static void call(enum role role, bool send, const struct timespec *deadline)
{
    uint64_t begun = storm_now(), *chance = &chances[role];
    mqd_t queue = atomic_load(&sick);
    unsigned prio = 0;
    ssize_t r;

    if (send) {
        r = mq_timedsend(queue, buffers[role], storm_below(chance, mode->msgsize + 1),
                         (unsigned)storm_below(chance, 100), deadline);
        count("mq_send", r == 0, sane);
    } else {
        r = mq_timedreceive(queue, buffers[role], mode->msgsize, &prio, deadline);
        count("mq_receive", r >= 0, sane);
        if (r > (ssize_t)mode->msgsize)
            fault("mq_receive returned %zd bytes of at most %" PRIu64, r, mode->msgsize);
        if (r >= 0 && prio >= 32768)
            fault("mq_receive returned priority %u", prio);
        check_buffer(role);
    }
    if (deadline && storm_now() - begun > STORM_LIMIT_NS)
        fault("%s came back %d seconds after its deadline",
              send ? "mq_timedsend" : "mq_timedreceive", STORM_LIMIT);
}

static void timed(enum role role, bool send)
{
    struct timespec deadline = storm_deadline(storm_below(&chances[role], 20000000));

    call(role, send, &deadline);
}

static void check_attr(mqd_t queue)
{
    struct mq_attr attr;
    bool ok = mq_getattr(queue, &attr) == 0;

    count("mq_getattr", ok, sane);
    if (ok && (attr.mq_maxmsg < 1 || attr.mq_msgsize < 1 || attr.mq_curmsgs < 0 ||
               attr.mq_curmsgs > attr.mq_maxmsg))
        fault("mq_getattr: %ld messages of %ld", attr.mq_curmsgs, attr.mq_maxmsg);
}

static bool sane_notify(int error)
{
    return error == EBUSY || error == ENOMEM || sane(error);
}

static void notified(union sigval value)
{
    (void)value;
}

static void notify_and_poll(mqd_t queue)
{
    struct sigevent event = {.sigev_signo = SIGUSR1, .sigev_notify_function = notified};
    static const int kinds[] = {SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD};
    struct pollfd ready = {.fd = queue, .events = POLLIN | POLLOUT};
    uint64_t *chance = &chances[OPENER];

    event.sigev_notify = kinds[storm_below(chance, 3)];
    count("mq_notify", mq_notify(queue, storm_below(chance, 3) ? &event : NULL) == 0, sane_notify);
    count("poll", poll(&ready, 1, (int)storm_below(chance, 3)) >= 0, sane);
}

static void use(mqd_t hasty)
{
    check_attr(hasty);
    if (storm_below(&chances[OPENER], 4) == 0)
        notify_and_poll(hasty);
    count("mq_send", mq_send(hasty, buffers[OPENER], mode->msgsize, 1) == 0, sane);
    count("mq_receive", mq_receive(hasty, buffers[OPENER], mode->msgsize, NULL) >= 0, sane);
    check_buffer(OPENER);
}

/* Where there is a tree, it is to be used. */
static void fill(mqd_t hasty)
{
    for (uint64_t i = 0; i < mode->maxmsg / 2 && !atomic_load(&shared->stop); i++) {
        count("mq_send", mq_send(hasty, buffers[OPENER], 8, (unsigned)i / 8) == 0, sane);
        /* Each may wait a second for a disk that the header promises. */
        atomic_fetch_add(&shared->thread[me][OPENER].progress, 1);
    }
}

/* A child needs a client number of its own, and leaves what it was at when it is killed. */
static void fork_and_use(mqd_t hasty)
{
    bool killed = storm_below(&chances[OPENER], 2);
    uint64_t limit = storm_now() + STORM_LIMIT_NS;
    int status = 0;
    pid_t child = storm_fork();

    if (child == 0) {
        do
            use(hasty);
        while (killed);
        _exit(0);
    }
    if (killed) {
        storm_nap(storm_below(&chances[OPENER], 1000000));
        kill(child, SIGKILL);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        storm_nap(100000);
        kill(child, SIGUSR1); /* it may be waiting for a disk that the header promises */
        if (storm_now() > limit) {
            fault("a forked child hangs");
            kill(child, SIGKILL);
        }
    }
    if (status != 0 && !(killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        fault("a forked child ended with status 0x%x", (unsigned)status);
}

/* Open the queue, use it a little, and now and then give its descriptor to the others. */
static void open_and_close(void)
{
    uint64_t *chance = &chances[OPENER];
    bool hasty = storm_below(chance, 2);
    mqd_t queue = storm_open(sick_name, O_RDWR | O_CREAT | (hasty ? O_NONBLOCK : 0), mode->maxmsg,
                             mode->msgsize);
    int error = errno, old;

    count("mq_open", queue != (mqd_t)-1, sane_open);
    if (queue == (mqd_t)-1) {
        /* What cannot be opened can be removed. */
        if ((error == EBADMSG || error == EIO || error == ESRCH) && storm_below(chance, 8) == 0)
            count("mq_unlink", mq_unlink(sick_name) == 0, sane_open);
        storm_nap(storm_below(chance, 1000000));
        return;
    }
    if (hasty) {
        use(queue);
        if (storm_below(chance, 16) == 0)
            fill(queue);
        if (storm_below(chance, 64) == 0)
            fork_and_use(queue);
    } else if (atomic_load(&sick) == -1 || storm_below(chance, 8) == 0) {
        old = atomic_exchange(&sick, queue);
        if (old == -1)
            return;
        queue = old;
    }
    count("mq_close", mq_close(queue) == 0, sane);
}

/* --- the healthy queue ------------------------------------------------------------------------ */

/* Registry gone, or no memory: then a send may fail, and is tried again. */
static bool excused(int error)
{
    return (mode->registry && sane(error)) || (mode->small && error == ENOSPC);
}

static void send_well(void)
{
    struct storm_msg *msg = (struct storm_msg *)buffers[WELL];
    uint64_t n = atomic_load(&shared->well_sent[me]);
    size_t len = storm_build(msg, me, round_number, n, mode->msgsize);
    struct timespec deadline = storm_deadline(STORM_LIMIT_NS);

    if (mq_timedsend(well, buffers[WELL], len, storm_prio(msg, PRIORITIES), &deadline) == 0)
        atomic_store(&shared->well_sent[me], n + 1);
    else if (!excused(errno))
        fault("mq_send to the healthy queue: %s", strerror(errno));
    storm_nap(storm_below(&chances[WELL], 200000));
}

static struct {
    uint64_t next[PROCESSES][PRIORITIES]; /* smallest number that may come */
    uint64_t received[PROCESSES];
} got;

/* False: nothing came. */
static bool receive_well(void)
{
    const struct storm_msg *msg = (const struct storm_msg *)buffers[WELL];
    struct timespec deadline = storm_deadline(20000000);
    unsigned prio = 0;
    ssize_t len = mq_timedreceive(well, buffers[WELL], mode->msgsize, &prio, &deadline);

    if (len < 0) {
        if (errno != ETIMEDOUT && !excused(errno))
            fault("mq_receive from the healthy queue: %s", strerror(errno));
        return false;
    }
    if (mode->registry)
        return true;
    if (!storm_verify(msg, (size_t)len, mode->msgsize) || msg->sender >= PROCESSES ||
        prio != storm_prio(msg, PRIORITIES) || msg->round != round_number) {
        fault("a message from the healthy queue is not one that was sent");
        return true;
    }
    if (msg->number < got.next[msg->sender][prio])
        fault("healthy queue: message %" PRIu64 " of sender %u came late or twice", msg->number,
              msg->sender);
    got.next[msg->sender][prio] = msg->number + 1;
    got.received[msg->sender]++;
    return true;
}

static void finish_receiving(void)
{
    uint64_t limit = storm_now() + STORM_LIMIT_NS;

    while (receive_well() || atomic_load(&shared->well_senders) > 0) {
        atomic_fetch_add(&shared->thread[me][WELL].progress, 1);
        if (storm_now() > limit)
            return;
    }
    for (unsigned p = 0; p < PROCESSES && !mode->registry; p++)
        if (got.received[p] != atomic_load(&shared->well_sent[p]))
            fault("healthy queue: %" PRIu64 " of %" PRIu64 " messages of sender %u arrived",
                  got.received[p], atomic_load(&shared->well_sent[p]), p);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void work(enum role role)
{
    switch (role) {
    case SENDER:
    case RECEIVER:
        timed(role, role == SENDER);
        break;
    case PATIENT:
        call(role, storm_below(&chances[role], 2), NULL);
        break;
    case OPENER:
        open_and_close();
        break;
    default:
        if (me == 0)
            receive_well();
        else
            send_well();
    }
}

static void *thread(void *arg)
{
    enum role role = (enum role)(intptr_t)arg;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1); /* which notifications send to any thread */
    if (role == WELL)
        pthread_sigmask(SIG_BLOCK, &set, NULL);
    while (!atomic_load(&shared->stop)) {
        work(role);
        atomic_fetch_add(&shared->thread[me][role].progress, 1);
        if (storm_below(&chances[role], 16) == 0) /* the scribbler wants to work, too */
            storm_nap(storm_below(&chances[role], 100000));
        if (role < OPENER && atomic_load(&sick) == -1)
            storm_nap(1000000);
    }
    if (role == WELL && me != 0)
        atomic_fetch_sub(&shared->well_senders, 1);
    else if (role == WELL)
        finish_receiving();
    atomic_store(&shared->thread[me][role].running, 0);
    return NULL;
}

static pthread_t start_thread(enum role role)
{
    pthread_t id;
    int r;

    atomic_store(&shared->thread[me][role].running, 1);
    r = pthread_create(&id, NULL, thread, (void *)(intptr_t)role);
    if (r != 0) {
        errno = r;
        storm_die("pthread_create");
    }
    return id;
}

static void join_thread(pthread_t id, const char *what)
{
    struct timespec until = storm_deadline(STORM_LIMIT_NS);

    if (pthread_timedjoin_np(id, NULL, &until) == 0)
        return;
    fault("%s hangs", what);
    _exit(1);
}

static void wake(int sig)
{
    (void)sig;
}

/* Signals end a thread's call, if it is blocked in one. */
static void interrupt(const pthread_t *ids, enum role role)
{
    _Atomic uint64_t *progress = &shared->thread[me][role].progress;
    uint64_t seen = atomic_load(progress), limit = storm_now() + STORM_LIMIT_NS;

    while (atomic_load(progress) == seen && atomic_load(&shared->thread[me][role].running)) {
        pthread_kill(ids[role], SIGUSR1);
        storm_nap(1000000);
        if (storm_now() > limit) {
            fault("a blocked call of the %s is not ended by a signal", role_names[role]);
            _exit(1);
        }
    }
    atomic_fetch_add(&shared->ended_by_signal, 1);
}

static void manage(pthread_t *ids)
{
    storm_nap(storm_below(&chances[ROLES], 10000000));
    if (ADDRESS_SANITIZER || storm_below(&chances[ROLES], 3)) {
        interrupt(ids, (enum role)storm_below(&chances[ROLES], WELL));
        return;
    }
    pthread_cancel(ids[PATIENT]);
    join_thread(ids[PATIENT], "a call that was cancelled");
    atomic_fetch_add(&shared->cancelled, 1);
    ids[PATIENT] = start_thread(PATIENT);
}

static void worker(unsigned process)
{
    struct sigaction action = {.sa_handler = wake}; /* no SA_RESTART */
    pthread_t ids[ROLES];

    me = process;
    for (unsigned r = 0; r <= ROLES; r++)
        chances[r] = storm_mix(seed + (round_number * PROCESSES + me) * 16 + r);
    for (enum role r = 0; r < ROLES; r++)
        make_buffer(r);
    sigaction(SIGUSR1, &action, NULL);
    do
        well = mq_open(well_name, O_RDWR);
    while (well == (mqd_t)-1 && excused(errno));
    if (well == (mqd_t)-1)
        storm_die("mq_open of the healthy queue");
    for (enum role r = 0; r < ROLES; r++)
        ids[r] = start_thread(r);
    while (!atomic_load(&shared->stop) && !atomic_load(&shared->faults))
        manage(ids);
    for (enum role r = 0; r < WELL; r++)
        while (atomic_load(&shared->thread[me][r].running))
            interrupt(ids, r);
    for (enum role r = 0; r < ROLES; r++)
        join_thread(ids[r], role_names[r]);
    exit(0);
}

#endif

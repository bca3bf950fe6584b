/*
 * Poll storm: processes wait for a queue with poll, select and epoll (level and
 * edge triggered, one-shot), others send and receive beside them, and random ones
 * are killed or stopped at random moments.  Nobody's readiness may be lost or
 * stuck:
 *
 *   consumer  Many send and are killed, one receives, and only after it was told
 *             that there is something: then there must be, since nobody else takes
 *             it; and it does not sleep for long while there is.
 *   producer  The same the other way round: one sends after it was told that
 *             there is room, many receive and are killed.
 *   melee     All of them wait, send, receive and are killed.  What that leaves
 *             behind is then shown to watchers, one for each way to wait: they stay
 *             asleep while there is nothing, and all wake up when there is.
 */
#include "storm.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define WORKERS  6
#define MSGSIZE  64
#define LATE_NS  UINT64_C(5000000000) /* asleep for that long while the queue is ready */
#define EMPTY_NS UINT64_C(3000000)    /* how long watchers are watched while nothing is ready */

enum phase { CONSUMER, PRODUCER, MELEE, PHASES };
static const char *const phase_names[] = {"consumer", "producer", "melee"};
enum way { POLL, PPOLL, SELECT, PSELECT, LEVEL, EDGE, ONE_SHOT, WAYS };
static const char *const way_names[] = {"poll",  "ppoll", "select",  "pselect",
                                        "level", "edge",  "one-shot"};

struct log {
    _Alignas(128) _Atomic uint64_t progress;
    _Atomic uint32_t way;             /* it waits in, or last did */
    _Atomic uint64_t told, untrue;    /* that it is ready; and then it was not */
    _Atomic uint32_t asked, answered; /* watchers: rounds */
    _Atomic uint32_t asked_for;       /* POLLIN or POLLOUT */
};

static struct shared {
    _Atomic uint32_t stop;
    struct log worker[WORKERS], one, watcher[WAYS];
} * shared;

static uint64_t seed, kills = 300, maxmsg, chance;
static char name[64];
static mqd_t queue; /* the harness's, non-blocking */
static pid_t workers[WORKERS], one, watchers[WAYS];
static bool stopped[WORKERS];
static enum phase phase;
static uint64_t killed, stops, longest_ns, told;

/* --- ways to wait ------------------------------------------------------------------------------
 */

/* A process's own descriptor, and its epoll sets. */
struct self {
    mqd_t q;
    int set[WAYS];
    uint32_t events[WAYS]; /* that the set was made for */
    uint64_t chance;
};

static void begin_self(struct self *me, uint64_t luck)
{
    *me = (struct self){.chance = luck, .q = mq_open(name, O_RDWR | O_NONBLOCK)};
    if (me->q == (mqd_t)-1)
        storm_die("mq_open");
    for (int way = LEVEL; way < WAYS; way++)
        me->set[way] = -1;
}

/* The set has the queue in it, for these events. */
static int set_for(struct self *me, enum way way, uint32_t events)
{
    struct epoll_event e = {events, {.fd = me->q}};

    e.events |= way == EDGE ? EPOLLET : way == ONE_SHOT ? EPOLLONESHOT : 0;
    if (me->set[way] == -1) {
        me->set[way] = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ctl(me->set[way], EPOLL_CTL_ADD, me->q, &e) != 0)
            storm_die("EPOLL_CTL_ADD");
    } else if (way == ONE_SHOT || me->events[way] != events) {
        if (epoll_ctl(me->set[way], EPOLL_CTL_MOD, me->q, &e) != 0)
            storm_die("EPOLL_CTL_MOD");
    }
    me->events[way] = events;
    return me->set[way];
}

/* Wait until the queue is ready for POLLIN or POLLOUT; ms: at most, or -1.  What it is ready for.
 */
static int wait_ready(struct self *me, enum way way, int events, int ms)
{
    struct pollfd p = {.fd = me->q, .events = (short)events};
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    struct timeval v = {ms / 1000, ms % 1000 * 1000};
    struct epoll_event e = {0};
    fd_set set;
    int r;

    FD_ZERO(&set);
    FD_SET(me->q, &set);
    switch (way) {
    case POLL:
        r = poll(&p, 1, ms);
        break;
    case PPOLL:
        r = ppoll(&p, 1, ms < 0 ? NULL : &t, NULL);
        break;
    case SELECT:
        r = select(me->q + 1, events == POLLIN ? &set : NULL, events == POLLOUT ? &set : NULL, NULL,
                   ms < 0 ? NULL : &v);
        p.revents = (short)(r > 0 ? events : 0);
        break;
    case PSELECT:
        r = pselect(me->q + 1, events == POLLIN ? &set : NULL, events == POLLOUT ? &set : NULL,
                    NULL, ms < 0 ? NULL : &t, NULL);
        p.revents = (short)(r > 0 ? events : 0);
        break;
    default:
        r = epoll_wait(set_for(me, way, (uint32_t)events), &e, 1, ms);
        p.revents = (short)e.events;
    }
    if (r < 0 && errno == EINTR) /* stopped and continued: signal(7) */
        return wait_ready(me, way, events, ms);
    if (r < 0)
        storm_die(way_names[way]);
    return r > 0 ? p.revents : 0;
}

/* --- the processes ------------------------------------------------------------------------------
 */

/* True: done; false: it would have had to wait. */
static bool transfer(struct self *me, int events)
{
    static char message[MSGSIZE];

    if (events == POLLIN ? mq_receive(me->q, message, sizeof message, NULL) >= 0
                         : mq_send(me->q, message, sizeof message, 0) == 0)
        return true;
    if (errno != EAGAIN)
        storm_die("mq_send or mq_receive");
    return false;
}

/* The one that is told and then does it, and is not killed. */
static void be_the_one(struct log *log, int events, uint64_t luck)
{
    struct self me;

    begin_self(&me, luck);
    while (!atomic_load(&shared->stop)) {
        enum way way = (enum way)storm_below(&me.chance, WAYS);
        unsigned more = (unsigned)storm_below(&me.chance, 8);

        atomic_store(&log->way, way);
        if (!(wait_ready(&me, way, events, -1) & events))
            storm_die("ready for something else");
        atomic_fetch_add(&log->told, 1);
        if (!transfer(&me, events))
            atomic_fetch_add(&log->untrue, 1);
        while (more-- > 0 && transfer(&me, events))
            ;
        atomic_fetch_add(&log->progress, 1);
        if (storm_below(&me.chance, 20) == 0)
            storm_nap(storm_below(&me.chance, 1000000));
    }
    _exit(0);
}

/* One of many, who may be killed: with or without waiting. */
static void be_a_worker(struct log *log, int events, uint64_t luck)
{
    struct self me;

    begin_self(&me, luck);
    while (!atomic_load(&shared->stop)) {
        int now = events ? events : storm_below(&me.chance, 2) ? POLLIN : POLLOUT;

        if (storm_below(&me.chance, 2)) {
            enum way way = (enum way)storm_below(&me.chance, WAYS);

            atomic_store(&log->way, way);
            wait_ready(&me, way, now, (int)storm_below(&me.chance, 30));
        }
        transfer(&me, now);
        atomic_fetch_add(&log->progress, 1);
        if (storm_below(&me.chance, 4) == 0)
            storm_nap(storm_below(&me.chance, 300000));
    }
    _exit(0);
}

/* Waits when it is asked to, and says when it was told; does nothing to the queue. */
static void be_a_watcher(struct log *log, enum way way, uint64_t luck)
{
    struct self me;

    begin_self(&me, luck);
    for (uint32_t round = 1;; round++) {
        int events;

        while (atomic_load(&log->asked) != round)
            storm_nap(200000);
        events = (int)atomic_load(&log->asked_for);
        if (events == 0)
            _exit(0);
        if (!(wait_ready(&me, way, events, -1) & events))
            storm_die("ready for something else");
        atomic_store(&log->answered, round);
    }
}

/* --- the storm ----------------------------------------------------------------------------------
 */

static void spawn(unsigned w)
{
    static const int events[PHASES] = {POLLOUT, POLLIN, 0};
    uint64_t luck = storm_random(&chance);
    pid_t pid = storm_fork();

    if (pid == 0)
        be_a_worker(&shared->worker[w], events[phase], luck);
    workers[w] = pid;
    stopped[w] = false;
}

static char state_of(pid_t pid)
{
    char path[64], text[256] = "", *end;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
        storm_die(path);
    close(fd);
    end = strrchr(text, ')');
    return end && end[1] ? end[2] : '?';
}

static bool is_ready(int events)
{
    long count = storm_count(queue);

    return events == POLLIN ? count > 0 : count < (long)maxmsg;
}

/* Does it sleep although the queue is ready, and that for long? */
static struct {
    uint64_t progress, since;
} asleep;

static bool in_time(int events)
{
    uint64_t now = storm_now(), progress = atomic_load(&shared->one.progress);

    if (progress != asleep.progress || state_of(one) != 'S' || !is_ready(events)) {
        asleep.progress = progress;
        asleep.since = now;
    }
    if (now - asleep.since > longest_ns)
        longest_ns = now - asleep.since;
    if (now - asleep.since < LATE_NS)
        return true;
    printf("# asleep in %s while the queue holds %ld of %" PRIu64 "\n",
           way_names[atomic_load(&shared->one.way)], storm_count(queue), maxmsg);
    return false;
}

static void kill_one(bool respawn)
{
    unsigned w = (unsigned)storm_below(&chance, WORKERS);
    int status;

    if (!workers[w])
        return;
    if (storm_below(&chance, 5) == 0) { /* or stop it for a while */
        kill(workers[w], stopped[w] ? SIGCONT : SIGSTOP);
        stopped[w] = !stopped[w];
        stops += stopped[w];
        return;
    }
    kill(workers[w], SIGKILL);
    waitpid(workers[w], &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        storm_check(false, "a worker ended by itself: status %#x", (unsigned)status);
    workers[w] = 0;
    killed++;
    if (respawn)
        spawn(w);
}

static void kill_all(void)
{
    for (unsigned w = 0; w < WORKERS; w++)
        if (workers[w]) {
            kill(workers[w], SIGKILL);
            waitpid(workers[w], NULL, 0);
            workers[w] = 0;
        }
}

/* Have the one come to its end: what it waits for is made true. */
static bool end_the_one(int events)
{
    uint64_t begin = storm_now();
    char message[MSGSIZE] = "";
    int status;

    atomic_store(&shared->stop, 1);
    while (waitpid(one, &status, WNOHANG) == 0) {
        if (events == POLLIN && storm_count(queue) == 0)
            mq_send(queue, message, sizeof message, 0);
        else if (events == POLLOUT)
            mq_receive(queue, message, sizeof message, NULL);
        storm_nap(2000000);
        if (storm_now() - begin > STORM_LIMIT_NS) {
            kill(one, SIGKILL);
            waitpid(one, &status, 0);
            return false;
        }
    }
    return status == 0;
}

static void storm_of_one(uint64_t count)
{
    int events = phase == CONSUMER ? POLLIN : POLLOUT;
    uint64_t luck = storm_random(&chance), until = killed + count;
    struct log *log = &shared->one;
    bool good = true;

    memset(log, 0, sizeof *log);
    asleep.since = storm_now();
    one = storm_fork();
    if (one == 0)
        be_the_one(log, events, luck);
    for (unsigned w = 0; w < WORKERS; w++)
        spawn(w);
    while (killed < until && good) {
        storm_guard(4 * STORM_LIMIT);
        storm_nap(storm_below(&chance, 4) ? storm_below(&chance, 1000000)
                                          : storm_below(&chance, 8000000));
        good = in_time(events);
        kill_one(true);
    }
    kill_all(); /* whatever they left, it must not be stuck */
    asleep.since = storm_now();
    for (uint64_t begin = storm_now();
         good && storm_now() - begin < 2 * LATE_NS && is_ready(events); storm_nap(10000000))
        good = in_time(events);
    storm_check(good, "%s: nobody sleeps while the queue is ready", phase_names[phase]);
    storm_check(end_the_one(events) || !good, "%s: and comes to its end", phase_names[phase]);
    storm_check(log->told > 0 && log->untrue == 0,
                "%s: told %" PRIu64 " times that it is ready, and %" PRIu64 " times it was not",
                phase_names[phase], log->told, log->untrue);
    told += log->told;
}

/* --- the melee ----------------------------------------------------------------------------------
 */

static void ask(int events)
{
    for (unsigned w = 0; w < WAYS; w++) {
        atomic_store(&shared->watcher[w].asked_for, (uint32_t)events);
        atomic_fetch_add(&shared->watcher[w].asked, 1);
    }
}

static unsigned answers(void)
{
    unsigned n = 0;

    for (unsigned w = 0; w < WAYS; w++)
        n += atomic_load(&shared->watcher[w].answered) == atomic_load(&shared->watcher[w].asked);
    return n;
}

static bool all_asleep(void)
{
    uint64_t begin = storm_now();

    for (unsigned w = 0; w < WAYS; w++)
        while (state_of(watchers[w]) != 'S' || atomic_load(&shared->watcher[w].asked) == 0)
            if (storm_now() - begin > STORM_LIMIT_NS)
                return false;
    return true;
}

/* Make the queue empty, or full.  What the dead held comes back meanwhile. */
static void make(bool full)
{
    char message[MSGSIZE] = "";
    uint64_t begin = storm_now();

    while (storm_count(queue) != (full ? (long)maxmsg : 0) &&
           storm_now() - begin < STORM_LIMIT_NS) {
        while (full ? mq_send(queue, message, sizeof message, 0) == 0
                    : mq_receive(queue, message, sizeof message, NULL) >= 0)
            ;
        storm_nap(1000000);
    }
}

/* Nobody is told that there is something while there is not, and all when there is. */
static bool show(int events)
{
    static char message[MSGSIZE];
    uint64_t begin;
    unsigned n;

    make(events == POLLOUT);
    ask(events);
    storm_nap(EMPTY_NS);
    if (!all_asleep() || answers() != 0) {
        printf("# %u watchers of %s were told of what is not\n", answers(),
               events == POLLIN ? "POLLIN" : "POLLOUT");
        return false;
    }
    if (events == POLLIN)
        mq_send(queue, message, sizeof message, 0);
    else
        mq_receive(queue, message, sizeof message, NULL);
    begin = storm_now();
    while ((n = answers()) < WAYS && storm_now() - begin < LATE_NS)
        storm_nap(500000);
    if (storm_now() - begin > longest_ns)
        longest_ns = storm_now() - begin;
    for (unsigned w = 0; n < WAYS && w < WAYS; w++)
        if (atomic_load(&shared->watcher[w].answered) != atomic_load(&shared->watcher[w].asked))
            printf("# %s sleeps though the queue holds %ld of %" PRIu64 "\n", way_names[w],
                   storm_count(queue), maxmsg);
    return n == WAYS;
}

static void melee(uint64_t count)
{
    uint64_t until = killed + count;
    unsigned shows = 0;
    bool good = true;

    memset(shared->watcher, 0, sizeof shared->watcher);
    for (unsigned w = 0; w < WAYS; w++) {
        uint64_t luck = storm_random(&chance);

        watchers[w] = storm_fork();
        if (watchers[w] == 0)
            be_a_watcher(&shared->watcher[w], (enum way)w, luck);
    }
    while (killed < until && good) {
        for (unsigned w = 0; w < WORKERS; w++)
            spawn(w);
        for (uint64_t to = killed + 10; killed < to;) {
            storm_guard(4 * STORM_LIMIT);
            storm_nap(storm_below(&chance, 2000000));
            kill_one(true);
        }
        kill_all();
        good = show(storm_below(&chance, 2) ? POLLIN : POLLOUT);
        shows++;
    }
    ask(0);
    for (unsigned w = 0; w < WAYS; w++) {
        if (!good)
            kill(watchers[w], SIGKILL);
        waitpid(watchers[w], NULL, 0);
    }
    storm_check(good, "melee: watchers are told the truth, %u times", shows);
}

/* --- rounds --------------------------------------------------------------------------------------
 */

static void round_of(uint64_t count)
{
    snprintf(name, sizeof name, "/storm-poll-%d", (int)getpid());
    queue = storm_open(name, O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, maxmsg, MSGSIZE);
    if (queue == (mqd_t)-1)
        storm_die("mq_open");
    printf("# maxmsg %" PRIu64 ", %" PRIu64 " kills\n", maxmsg, count);
    fflush(stdout);
    for (phase = CONSUMER; phase < PHASES && !storm_failed; phase++) {
        atomic_store(&shared->stop, 0);
        if (phase == MELEE)
            melee(count / PHASES);
        else
            storm_of_one(count / PHASES);
    }
    mq_close(queue);
    mq_unlink(name);
}

int main(int argc, char **argv)
{
    static const uint64_t sizes[] = {1, 2, 8, 300};
    const struct storm_option options[] = {
        {"kills", &kills, false, "processes to kill in all (300)"},
        {"seed", &seed, false, "for the random choices (from the clock)"},
        {"maxmsg", &maxmsg, false, "of the queue (1, 2, 8 and 300 in turn)"},
        {NULL, NULL, false, NULL}};
    unsigned rounds;

    storm_options(argc, argv, options);
    storm_begin("poll_storm", &seed);
    chance = seed;
    shared = storm_shared(sizeof *shared);
    rounds = maxmsg ? 1 : sizeof sizes / sizeof *sizes;
    for (unsigned i = 0; i < rounds && !storm_failed; i++) {
        maxmsg = rounds > 1 ? sizes[i] : maxmsg;
        round_of(kills / rounds);
    }
    storm_guard(0);
    printf("# %" PRIu64 " kills, %" PRIu64 " stops, told %" PRIu64 " times, latest after %.2f s\n",
           killed, stops, told, (double)longest_ns / 1e9);
    return storm_end("poll_storm", seed);
}

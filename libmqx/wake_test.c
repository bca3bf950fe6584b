/*
 * No wake-up is lost.  A blocked call looks for itself about once a second, which
 * is for the dead, and would hide it if the living were not woken: here it looks
 * no more (mqxi_event_sleep and mqxi_event_sleep_once are wrapped by the linker),
 * so that who is not woken sleeps for ever.
 */
#include <fcntl.h>
#include <mqueue.h>
#include <mqx.h>
#include <pthread.h>
#include <sched.h>
#include <sys/msg.h>
#include <sys/syscall.h>

#include "engine.h"
#include "testing.h"
#include "thread.h"
#include "wait.h"

#define NS   UINT64_C(1000000000)
#define LONG (10000 * NS) /* longer than any test may take */

enum { PLAYERS = 4, CALLS = 6, LIMIT = 30 /* seconds: then it is lost */ };

/* What a sleeper does beside sleeping. */
struct sleeper {
    _Atomic bool asleep;  /* or about to be, or just woken */
    _Atomic bool hold;    /* once woken, stay there until told, */
    _Atomic bool held;    /* and say so */
    _Atomic bool pretend; /* the deadline passes when told, and no wake-up comes before it */
    _Atomic bool told;
};

static _Thread_local struct sleeper *me;

int __real_mqxi_event_sleep(_Atomic uint32_t *event, uint32_t seen, const struct timespec *deadline,
                            uint64_t longest_ns, bool cancel);
int __wrap_mqxi_event_sleep(_Atomic uint32_t *event, uint32_t seen, const struct timespec *deadline,
                            uint64_t longest_ns, bool cancel);

int __wrap_mqxi_event_sleep(_Atomic uint32_t *event, uint32_t seen, const struct timespec *deadline,
                            uint64_t longest_ns, bool cancel)
{
    struct sleeper *s = me;
    int r;

    (void)longest_ns;
    if (!s)
        return __real_mqxi_event_sleep(event, seen, deadline, LONG, cancel);
    atomic_store(&s->asleep, true);
    if (s->pretend) {
        WAIT_FOR(s->told);
        return -ETIMEDOUT;
    }
    r = __real_mqxi_event_sleep(event, seen, deadline, LONG, cancel);
    if (s->hold) {
        atomic_store(&s->held, true);
        WAIT_FOR(s->told);
        pthread_testcancel();
    }
    atomic_store(&s->asleep, false);
    return r;
}

int __real_mqxi_event_sleep_once(_Atomic uint32_t *event, uint32_t seen, uint64_t longest_ns);
int __wrap_mqxi_event_sleep_once(_Atomic uint32_t *event, uint32_t seen, uint64_t longest_ns);

int __wrap_mqxi_event_sleep_once(_Atomic uint32_t *event, uint32_t seen, uint64_t longest_ns)
{
    int r;

    (void)longest_ns;
    atomic_store(&me->asleep, true);
    r = __real_mqxi_event_sleep_once(event, seen, LONG);
    atomic_store(&me->held, true);
    return r;
}

/* --- one sleeper was woken, and does not come ------------------------------------------------- */

static mqd_t open_made(const char *name, uint32_t maxmsg, struct mqxi_queue **q)
{
    char path[64];
    mqd_t fd;

    *q = create(name, maxmsg, 8);
    snprintf(path, sizeof(path), "/%s", name);
    fd = mqx_open(path, O_RDWR);
    CHECK(fd >= 0);
    return fd;
}

struct receiver {
    struct sleeper s;
    mqd_t fd;
    _Atomic int tid;
};

static void *receive_in_thread(void *arg)
{
    struct receiver *r = arg;
    char buffer[8];

    me = &r->s;
    atomic_store(&r->tid, gettid());
    IS(mqx_receive(r->fd, buffer, sizeof(buffer), NULL), 1);
    return NULL;
}

static void receive_in_process(void *arg)
{
    receive_in_thread(arg);
}

/* Cancelled after it was woken, and before it took the message: another sleeper gets that. */
static void cancelled_when_woken(void)
{
    struct receiver *r[2] = {shared(sizeof(**r)), shared(sizeof(**r))};
    struct mqxi_queue *q;
    mqd_t fd = open_made("q", 4, &q);
    pthread_t thread;
    pid_t child;
    void *result;

    if (SANITIZED)
        SKIP("the address sanitizer does not understand how a cancelled C thread unwinds");
    r[0]->fd = r[1]->fd = fd;
    r[0]->s.hold = true;
    IS(pthread_create(&thread, NULL, receive_in_thread, r[0]), 0);
    WAIT_FOR(r[0]->s.asleep && asleep(r[0]->tid));
    child = start(receive_in_process, r[1]);
    WAIT_FOR(r[1]->s.asleep && asleep(child));
    IS(mqx_send(fd, "x", 1, 0), 0);
    WAIT_FOR(r[0]->s.held); /* the first that slept is the one that is woken */
    IS(pthread_cancel(thread), 0);
    atomic_store(&r[0]->s.told, true);
    IS(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    finish(child);
}

static void receive_until_told(void *arg)
{
    struct receiver *r = arg;
    struct timespec never = {.tv_sec = INT32_MAX};
    char buffer[8];

    me = &r->s;
    IS(mqx_timedreceive(r->fd, buffer, sizeof(buffer), NULL, &never), 1);
}

/* A deadline passes while the message lies there, since he who was woken for it stands still: it is
 * there all the same, and "timed out" would be wrong. */
static void timed_out_beside_one_who_was_woken(uint32_t maxmsg)
{
    struct receiver *r[2] = {shared(sizeof(**r)), shared(sizeof(**r))};
    struct mqxi_queue *q;
    mqd_t fd = open_made("q", maxmsg, &q);
    pid_t child[2];
    struct timespec now;

    r[0]->fd = r[1]->fd = fd;
    r[0]->s.hold = r[1]->s.pretend = true;
    child[0] = start(receive_in_process, r[0]);
    WAIT_FOR(r[0]->s.asleep && asleep(child[0]));
    child[1] = start(receive_until_told, r[1]);
    WAIT_FOR(r[1]->s.asleep);
    IS(mqx_send(fd, "x", 1, 0), 0);
    WAIT_FOR(r[0]->s.held);
    clock_gettime(CLOCK_MONOTONIC, &now); /* the last look for the dead was a moment ago */
    atomic_store(&q->header->last_sweep, (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec);
    atomic_store(&r[1]->s.told, true);
    finish(child[1]);
    atomic_store(&r[0]->s.hold, false);
    atomic_store(&r[0]->s.told, true);
    IS(mqx_send(fd, "x", 1, 0), 0);
    finish(child[0]);
}

static void timed_out_scanned(void)
{
    timed_out_beside_one_who_was_woken(4);
}

static void timed_out_tree(void)
{
    timed_out_beside_one_who_was_woken(300);
}

/* --- System V: IPC_SET ------------------------------------------------------------------------ */

struct msq_call {
    struct sleeper s;
    int id;
    bool send;
};

static void call_msq(void *arg)
{
    struct msq_call *c = arg;
    struct msgbuf m = {.mtype = 1};

    me = &c->s;
    IS(c->send ? mqx_msgsnd(c->id, &m, 1, 0) : mqx_msgrcv(c->id, &m, 1, 0, 0), c->send ? 0 : 1);
}

/* Who waits may have no right to any more, or room: he is to look, whatever it was that changed. */
static void woken_by_set(bool send)
{
    struct msq_call *c = shared(sizeof(*c));
    struct msgbuf m = {.mtype = 1};
    struct msqid_ds ds;
    pid_t child;

    c->send = send;
    c->id = mqx_msgget(IPC_PRIVATE, 0600);
    CHECK(c->id >= 0);
    IS(mqx_msgctl(c->id, IPC_STAT, &ds), 0);
    ds.msg_qbytes = 1;
    IS(mqx_msgctl(c->id, IPC_SET, &ds), 0);
    if (send)
        IS(mqx_msgsnd(c->id, &m, 1, 0), 0);
    child = start(call_msq, c);
    WAIT_FOR(c->s.asleep && asleep(child));
    CHECK(!c->s.held);
    IS(mqx_msgctl(c->id, IPC_SET, &ds), 0);
    WAIT_FOR(c->s.held);
    IS(send ? mqx_msgrcv(c->id, &m, 1, 0, 0) : mqx_msgsnd(c->id, &m, 1, 0), send ? 1 : 0);
    finish(child);
    IS(mqx_msgctl(c->id, IPC_RMID, NULL), 0);
}

static void receiver_woken_by_set(void)
{
    woken_by_set(false);
}

static void sender_woken_by_set(void)
{
    woken_by_set(true);
}

/* --- games ------------------------------------------------------------------------------------ */

/*
 * In a game a few players make a few calls each, of all kinds, interrupted
 * everywhere.  Then those who still sleep have reason to: no message, or no room.
 * They get it, one by one; if one lies there and everybody sleeps, a wake-up was
 * lost, in this call or before.
 */
struct game {
    struct mqxi_queue *q;
    mqd_t fd, hasty;
    uint64_t chance;
    bool one_cpu, restart;
    uint32_t haste; /* timers: longest time, ns */
};

struct table {
    struct game game;
    _Atomic uint32_t number; /* of the game */
    _Alignas(64) struct player {
        struct sleeper s;
        _Atomic uint32_t done; /* with this game */
        _Atomic int calls_in;  /* 0: none, 1: send, 2: receive */
    } player[PLAYERS];
};

static struct table *table;
static _Thread_local uint64_t handler_chance;
static _Thread_local timer_t timer;
static _Thread_local volatile bool playing;

static void arm(void)
{
    struct itimerspec when = {.it_value.tv_nsec = 1 + below(&handler_chance, table->game.haste)};

    timer_settime(timer, 0, &when, NULL);
}

static void interrupt(int sig)
{
    (void)sig;
    if (!playing)
        return;
    for (uint32_t times = 1 + below(&handler_chance, 3); times > 0; times--)
        sched_yield();
    arm();
}

static struct timespec soon(uint64_t *chance)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += below(chance, 200000);
    t.tv_sec += t.tv_nsec / (long)NS;
    t.tv_nsec %= (long)NS;
    return t;
}

/* It may fail, for whatever reason a game has: full, empty, too late, interrupted. */
static void call(mqd_t fd, bool send, const struct timespec *deadline)
{
    char buffer[8] = "";
    ssize_t r = send ? mqx_timedsend(fd, buffer, 1, 1, deadline)
                     : mqx_timedreceive(fd, buffer, sizeof(buffer), NULL, deadline);

    CHECK(r >= 0 || errno == EAGAIN || errno == ETIMEDOUT || errno == EINTR);
}

static void *call_in_thread(void *send)
{
    call(table->game.fd, send != NULL, NULL);
    return NULL;
}

/* In a thread that is cancelled, anywhere. */
static void cancelled_call(uint64_t *chance, bool send)
{
    pthread_t thread;

    IS(pthread_create(&thread, NULL, call_in_thread, send ? table : NULL), 0);
    for (uint32_t times = below(chance, 20); times > 0; times--)
        sched_yield();
    pthread_cancel(thread);
    IS(pthread_join(thread, NULL), 0);
}

static void make_call(struct player *p, uint64_t *chance)
{
    const struct game *g = &table->game;
    bool send = below(chance, 2);
    struct timespec deadline;

    atomic_store(&p->calls_in, send ? 1 : 2);
    switch (below(chance, 12)) {
    case 0:
        call(g->hasty, send, NULL);
        break;
    case 1:
    case 2:
        deadline = soon(chance);
        call(g->fd, send, &deadline);
        break;
    case 3:
        if (!SANITIZED) {
            cancelled_call(chance, send);
            break;
        }
        __attribute__((fallthrough));
    default:
        call(g->fd, send, NULL);
    }
    atomic_store(&p->calls_in, 0);
}

static void settle_down(const struct game *g)
{
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = g->restart ? SA_RESTART : 0};
    static cpu_set_t all;
    cpu_set_t one;

    if (CPU_COUNT(&all) == 0)
        sched_getaffinity(0, sizeof(all), &all);
    one = all;
    if (g->one_cpu)
        for (int cpu = CPU_SETSIZE - 1; CPU_COUNT(&one) > 1; cpu--)
            CPU_CLR(cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
    sigaction(SIGUSR1, &action, NULL);
}

static void play(void *arg)
{
    struct player *p = arg;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};

    event._sigev_un._tid = gettid();
    IS(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    for (;;) {
        uint32_t number = atomic_load(&table->number);
        uint64_t chance;

        if (number == p->done) {
            nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
            continue;
        }
        me = &p->s;
        chance = table->game.chance + (uint64_t)(p - table->player) * 1000003;
        handler_chance = ~chance;
        settle_down(&table->game);
        playing = true;
        arm();
        for (uint32_t calls = 1 + below(&chance, CALLS); calls > 0; calls--)
            make_call(p, &chance);
        playing = false;
        atomic_store(&p->done, number);
    }
}

/* Players who sleep in such a call; -1: somebody plays on. */
static int sleepers(int in, bool *over)
{
    int count = 0;

    *over = true;
    for (int i = 0; i < PLAYERS; i++) {
        struct player *p = &table->player[i];

        if (atomic_load(&p->done) == table->number)
            continue;
        *over = false;
        if (!atomic_load(&p->s.asleep))
            return -1;
        count += atomic_load(&p->calls_in) == in;
    }
    return count;
}

/* Do they sleep for good reason?  Until they do, or the game is over. */
static bool everybody_rests(int *senders, int *receivers)
{
    struct mqxi_queue *q = table->game.q;
    struct timespec now, since;
    bool over;

    clock_gettime(CLOCK_MONOTONIC, &since);
    for (;;) {
        uint32_t count = mqxi_count(q);

        *senders = sleepers(1, &over);
        *receivers = sleepers(2, &over);
        if (over)
            return false;
        if (*senders >= 0 && *receivers >= 0 && !(*receivers && count) &&
            !(*senders && count < q->layout.maxmsg))
            return true;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > since.tv_sec + LIMIT)
            FAIL("asleep: %d to send, %d to receive, and %u of %u messages are there (game %u)",
                 *senders, *receivers, mqxi_count(q), q->layout.maxmsg, table->number);
        sched_yield();
    }
}

static void finish_game(void)
{
    int senders, receivers;

    while (everybody_rests(&senders, &receivers))
        call(table->game.hasty, receivers > 0, NULL);
}

static void games(void)
{
    static const struct {
        uint32_t maxmsg, fillers;
    } shapes[] = {{1, 0}, {3, 1}, {70, 64}, {67, 66}};
    struct game kinds[4] = {{0}};
    uint64_t chance = 7;
    uint32_t n = 0;

    table = shared(sizeof(*table));
    for (unsigned i = 0; i < 4; i++) {
        char name[8] = {'/', (char)('a' + i)};

        kinds[i].fd = open_made(name + 1, shapes[i].maxmsg, &kinds[i].q);
        kinds[i].hasty = mqx_open(name, O_RDWR | O_NONBLOCK);
        for (uint32_t f = 0; f < shapes[i].fillers; f++)
            IS(mqx_send(kinds[i].hasty, "x", 1, 0), 0);
    }
    for (int i = 0; i < PLAYERS; i++)
        start(play, &table->player[i]);
    for (; !time_is_up(); n++) {
        table->game = kinds[n % 4];
        table->game.chance = next_random(&chance);
        table->game.one_cpu = below(&chance, 4);
        table->game.haste = 20000u << below(&chance, 5);
        table->game.restart = below(&chance, 2);
        atomic_fetch_add(&table->number, 1);
        finish_game();
    }
    printf("%u games\n", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(cancelled_when_woken),
        UNIT(timed_out_scanned),
        UNIT(timed_out_tree),
        UNIT(receiver_woken_by_set),
        UNIT(sender_woken_by_set),
        UNIT(games),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

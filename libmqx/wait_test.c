/* Sleeping and waking: nobody sleeps through a signal, and nobody wakes the dead for ever. */
#include "wait.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "testing.h"

#define NS   UINT64_C(1000000000)
#define LONG (10000 * NS) /* longer than any test may take: only a wake-up ends it */

static struct timespec in_ns(uint64_t ns)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    ns += (uint64_t)t.tv_nsec;
    return (struct timespec){t.tv_sec + (time_t)(ns / NS), (long)(ns % NS)};
}

static bool passed(struct timespec t)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec != t.tv_sec ? now.tv_sec > t.tv_sec : now.tv_nsec >= t.tv_nsec;
}

/* A process that sleeps. */
struct sleeper {
    _Atomic uint32_t *event;
    uint64_t deadline_ns; /* from now; 0: none */
    int handler;          /* 0, or its flags and HANDLED */
    _Atomic int handled, result;
};
enum { RUNNING = 1, HANDLED = 1 }; /* no result of a sleep is 1 */

static struct sleeper *handling;

static void handle(int sig)
{
    (void)sig;
    atomic_fetch_add(&handling->handled, 1);
}

static void sleep_once(void *arg)
{
    struct sleeper *s = arg;
    struct timespec deadline = in_ns(s->deadline_ns);
    int r;

    if (s->handler) {
        struct sigaction action = {.sa_handler = handle, .sa_flags = s->handler & ~HANDLED};

        handling = s;
        sigaction(SIGUSR1, &action, NULL);
    }
    r = mqxi_event_sleep(s->event, mqxi_event_read(s->event), s->deadline_ns ? &deadline : NULL,
                         LONG, false);
    if (s->deadline_ns && r == -ETIMEDOUT)
        CHECK(passed(deadline));
    atomic_store(&s->result, r);
}

static _Atomic uint32_t *make_event(uint32_t value)
{
    _Atomic uint32_t *event = shared(sizeof(*event));

    atomic_store(event, value);
    return event;
}

static struct sleeper *make_sleeper(_Atomic uint32_t *event)
{
    struct sleeper *s = shared(sizeof(*s));

    s->event = event;
    s->result = RUNNING;
    return s;
}

/* Start it, and come back when it sleeps. */
static pid_t lay_down(struct sleeper *s)
{
    pid_t child = start(sleep_once, s);

    WAIT_FOR((atomic_load(s->event) & MQXI_EVENT_SLEEPERS) && asleep(child));
    return child;
}

static void finish_with(pid_t child, const struct sleeper *s, int result)
{
    finish(child);
    IS(atomic_load(&s->result), result);
}

/* --- waking ----------------------------------------------------------------------------------- */

static void a_signal_wakes(void)
{
    static const uint32_t starts[] = {0, 2, 0xfffffffe}; /* the count goes round */

    for (int i = 0; i < 3; i++) {
        _Atomic uint32_t *event = make_event(starts[i]);
        struct sleeper *s = make_sleeper(event);
        pid_t child = lay_down(s);

        IS(mqxi_event_signal(event, false), 1);
        IS(mqxi_event_read(event), (uint32_t)(starts[i] + MQXI_EVENT_STEP));
        finish_with(child, s, 0);
    }
}

static void nobody_asleep(void)
{
    _Atomic uint32_t *event = make_event(4);

    IS(mqxi_event_signal(event, false), 0);
    IS(mqxi_event_signal(event, true), 0);
    IS(atomic_load(event), 4 + 2 * MQXI_EVENT_STEP);
}

static void moved_before_sleeping(void)
{
    _Atomic uint32_t *event = make_event(0);
    uint32_t seen = mqxi_event_read(event);

    mqxi_event_signal(event, false);
    IS(mqxi_event_sleep(event, seen, NULL, LONG, false), 0);
    IS(atomic_load(event), MQXI_EVENT_STEP); /* and left no bit */
    IS(mqxi_event_look(event, seen, UINT32_MAX, MQXI_WAIT_REPLY), true);
    IS(mqxi_event_look(event, seen, (uint32_t)sched_getcpu(), MQXI_WAIT_REPLY), true);
    IS(atomic_load(event), MQXI_EVENT_STEP);
}

static void one_wake_for_each_of_several(void)
{
    _Atomic uint32_t *event = make_event(0);
    struct sleeper *s[4];
    pid_t child[4];

    for (int i = 0; i < 4; i++)
        child[i] = lay_down(s[i] = make_sleeper(event));
    for (int i = 0; i < 4; i++)
        IS(mqxi_event_signal(event, false), 1);
    for (int i = 0; i < 4; i++)
        finish_with(child[i], s[i], 0);
    IS(mqxi_event_signal(event, false), 0);
    IS(atomic_load(event), 5 * MQXI_EVENT_STEP); /* the bit is gone */
}

static void all_at_once(void)
{
    _Atomic uint32_t *event = make_event(0);
    struct sleeper *s[4];
    pid_t child[4];

    for (int i = 0; i < 4; i++)
        child[i] = lay_down(s[i] = make_sleeper(event));
    IS(mqxi_event_signal(event, true), 4);
    for (int i = 0; i < 4; i++)
        finish_with(child[i], s[i], 0);
    IS(atomic_load(event), MQXI_EVENT_STEP);
}

/* Who is killed asleep leaves the bit behind: one waker finds that out, for all. */
static void bit_of_the_dead_is_cleared(void)
{
    _Atomic uint32_t *event = make_event(0);
    struct sleeper *s = make_sleeper(event);

    murder(lay_down(s));
    CHECK(atomic_load(event) & MQXI_EVENT_SLEEPERS);
    IS(mqxi_event_signal(event, false), 0);
    IS(mqxi_event_signal(event, false), 0);
    IS(atomic_load(event), 2 * MQXI_EVENT_STEP);
}

/* What happens right after a wake of one that woke nobody (syscall is wrapped by the linker). */
static void (*meanwhile)(void *arg);
static void *meanwhile_arg;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

/* Not with "...": which of the six there are, only the kernel knows. */
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    long r = __real_syscall(number, a, b, c, d, e, f);
    void (*then)(void *arg) = meanwhile;

    if (then && number == SYS_futex && (int)b == FUTEX_WAKE && (int)c == 1 && r == 0) {
        meanwhile = NULL;
        then(meanwhile_arg);
    }
    return r;
}

static pid_t laid_down;

static void lay_down_meanwhile(void *s)
{
    laid_down = lay_down(s);
}

/* A waker found nobody behind the bit; before it clears it, one lies down who relies on it. */
static void asleep_before_the_bit_is_cleared(void)
{
    _Atomic uint32_t *event = make_event(MQXI_EVENT_SLEEPERS);
    struct sleeper *s = make_sleeper(event);

    meanwhile_arg = s;
    meanwhile = lay_down_meanwhile;
    mqxi_event_signal(event, false);
    CHECK(laid_down);
    mqxi_event_signal(event, false);
    WAIT_FOR(atomic_load(&s->result) != RUNNING);
    finish_with(laid_down, s, 0);
}

/* Of two, one is killed: the other is woken all the same. */
static void the_dead_do_not_eat_wakes(void)
{
    _Atomic uint32_t *event = make_event(0);
    struct sleeper *s[2] = {make_sleeper(event), make_sleeper(event)};
    pid_t first = lay_down(s[0]), second = lay_down(s[1]);

    murder(first);
    IS(mqxi_event_signal(event, false), 1);
    finish_with(second, s[1], 0);
}

/* --- time ------------------------------------------------------------------------------------- */

static void deadlines(void)
{
    _Atomic uint32_t *event = make_event(0);
    struct timespec past = in_ns(0), soon = in_ns(NS / 20), never = in_ns(LONG);
    struct timespec before, after;

    IS(mqxi_event_sleep(event, 0, &past, LONG, false), -ETIMEDOUT);
    IS(mqxi_event_sleep(event, 0, &(struct timespec){0, 0}, LONG, false), -ETIMEDOUT);
    IS(mqxi_event_sleep(event, 0, &soon, LONG, false), -ETIMEDOUT);
    CHECK(passed(soon));
    soon = in_ns(NS / 20);
    IS(mqxi_event_look(event, 0, UINT32_MAX, MQXI_WAIT_BATCH), false);
    IS(mqxi_event_sleep(event, 0, &soon, LONG, false), -ETIMEDOUT);
    CHECK(passed(soon));
    /* Not longer than longest_ns, which is no time-out. */
    clock_gettime(CLOCK_MONOTONIC, &before);
    IS(mqxi_event_sleep(event, 0, NULL, NS / 50, false), 0);
    IS(mqxi_event_sleep(event, 0, &never, NS / 50, false), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK((after.tv_sec - before.tv_sec) * (int64_t)NS + after.tv_nsec - before.tv_nsec >=
          (int64_t)NS / 25);
}

/* --- interruptions ---------------------------------------------------------------------------- */

static void handler_interrupts(void)
{
    for (int deadline = 0; deadline < 2; deadline++) {
        struct sleeper *s = make_sleeper(make_event(0));
        pid_t child;

        s->handler = HANDLED;
        s->deadline_ns = deadline ? LONG : 0;
        child = lay_down(s);
        kill(child, SIGUSR1);
        finish_with(child, s, -EINTR);
        IS(s->handled, 1);
    }
}

/* With SA_RESTART it sleeps on, and keeps its deadline. */
static void restarting_handler_does_not(void)
{
    struct sleeper *s = make_sleeper(make_event(0));
    pid_t child;

    if (DEFERS_SIGNALS)
        SKIP("the thread sanitizer runs no handler while a call sleeps");
    s->handler = HANDLED | SA_RESTART;
    for (int deadline = 0; deadline < 2; deadline++) {
        atomic_store(s->event, 0);
        s->result = RUNNING;
        s->handled = 0;
        s->deadline_ns = deadline ? LONG : 0;
        child = lay_down(s);
        for (int i = 1; i <= 3; i++) {
            kill(child, SIGUSR1);
            WAIT_FOR(s->handled == i && asleep(child));
        }
        IS(s->result, RUNNING);
        IS(mqxi_event_signal(s->event, false), 1);
        finish_with(child, s, 0);
    }
    s->deadline_ns = NS / 2;
    s->result = RUNNING;
    child = start(sleep_once, s);
    WAIT_FOR(s->result != RUNNING || asleep(child)); /* on a busy machine it may be over */
    kill(child, SIGUSR1);
    finish_with(child, s, -ETIMEDOUT); /* checks that the deadline has passed */
}

struct cancelled {
    _Atomic uint32_t event;
    _Atomic int tid;
    bool cancel;
};

/* A cancelled call never returns: the address sanitizer takes what is left of its frame for live.
 */
extern void __asan_unpoison_memory_region(const volatile void *start, size_t len)
    __attribute__((weak));

static void forget_frames(void *unused)
{
    enum { DEPTH = 16384 };

    (void)unused;
    if (__asan_unpoison_memory_region)
        __asan_unpoison_memory_region((uint8_t *)__builtin_frame_address(0) - DEPTH, DEPTH);
}

static void *sleep_to_be_cancelled(void *arg)
{
    struct cancelled *c = arg;
    int r;

    atomic_store(&c->tid, gettid());
    pthread_cleanup_push(forget_frames, NULL);
    r = mqxi_event_sleep(&c->event, 0, NULL, LONG, c->cancel);
    pthread_cleanup_pop(0);
    return (void *)(intptr_t)r;
}

static void cancellation(void)
{
    for (int cancel = 0; cancel < 2; cancel++) {
        struct cancelled c = {.cancel = cancel};
        pthread_t thread;
        void *result;

        IS(pthread_create(&thread, NULL, sleep_to_be_cancelled, &c), 0);
        WAIT_FOR((atomic_load(&c.event) & MQXI_EVENT_SLEEPERS) && asleep(atomic_load(&c.tid)));
        IS(pthread_cancel(thread), 0);
        if (!cancel) {
            /* The internal signal of the cancellation was delivered; the thread sleeps on. */
            WAIT_FOR(mqxi_event_signal(&c.event, true) == 1);
        }
        IS(pthread_join(thread, &result), 0);
        if (cancel)
            CHECK(result == PTHREAD_CANCELED);
        else
            IS((intptr_t)result, 0);
    }
}

/* --- no wake-up is lost ----------------------------------------------------------------------- */

/* Tokens go round between two: each waits for the other's, and a lost wake-up hangs them. */
struct ball {
    _Atomic uint32_t event[2], thrown[2];
    bool looks; /* look before sleeping */
};
enum { THROWS = SANITIZED ? 5000 : 30000 };

static void play(struct ball *b, int me)
{
    for (uint32_t i = 1; i <= THROWS; i++) {
        if (me == 0) {
            atomic_fetch_add(&b->thrown[0], 1);
            mqxi_event_signal(&b->event[0], false);
        }
        for (;;) {
            uint32_t seen = mqxi_event_read(&b->event[1 - me]);

            if (atomic_load(&b->thrown[1 - me]) >= i)
                break;
            if (!b->looks || !mqxi_event_look(&b->event[1 - me], seen, UINT32_MAX, MQXI_WAIT_REPLY))
                mqxi_event_sleep(&b->event[1 - me], seen, NULL, LONG, false);
        }
        if (me == 1) {
            atomic_fetch_add(&b->thrown[1], 1);
            mqxi_event_signal(&b->event[1], false);
        }
    }
}

static void play_other(void *ball)
{
    play(ball, 1);
}

static void ping_pong(void)
{
    for (int looks = 0; looks < 2; looks++) {
        struct ball *b = shared(sizeof(*b));
        pid_t child;

        b->looks = looks;
        child = start(play_other, b);
        play(b, 0);
        finish(child);
    }
}

/* Several wakers, several sleepers, one word; a token for each signal. */
struct tokens {
    _Atomic uint32_t event, tokens, eaten;
};
enum { GIVERS = 3, EATERS = 3, GIFTS = SANITIZED ? 4000 : 20000 };

static void give(void *arg)
{
    struct tokens *t = arg;

    for (int i = 0; i < GIFTS; i++) {
        /* A few at a time, so that eaters fall asleep again and again. */
        while (atomic_load(&t->tokens) > 2)
            sched_yield();
        atomic_fetch_add(&t->tokens, 1);
        mqxi_event_signal(&t->event, false);
    }
}

static bool eat_one(struct tokens *t)
{
    uint32_t n = atomic_load(&t->tokens);

    while (n > 0)
        if (atomic_compare_exchange_weak(&t->tokens, &n, n - 1))
            return true;
    return false;
}

static void eat(void *arg)
{
    struct tokens *t = arg;

    while (atomic_load(&t->eaten) < GIVERS * GIFTS) {
        uint32_t seen = mqxi_event_read(&t->event);

        if (eat_one(t)) {
            if (atomic_fetch_add(&t->eaten, 1) + 1 == GIVERS * GIFTS)
                mqxi_event_signal(&t->event, true);
        } else if (atomic_load(&t->eaten) < GIVERS * GIFTS) {
            mqxi_event_sleep(&t->event, seen, NULL, LONG, false);
        }
    }
}

static void many_to_many(void)
{
    struct tokens *t = shared(sizeof(*t));
    pid_t child[GIVERS + EATERS];

    for (int i = 0; i < EATERS; i++)
        child[i] = start(eat, t);
    for (int i = 0; i < GIVERS; i++)
        child[EATERS + i] = start(give, t);
    for (int i = 0; i < GIVERS + EATERS; i++)
        finish(child[i]);
    IS(t->tokens, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_signal_wakes),
        UNIT(nobody_asleep),
        UNIT(moved_before_sleeping),
        UNIT(one_wake_for_each_of_several),
        UNIT(all_at_once),
        UNIT(bit_of_the_dead_is_cleared),
        UNIT(asleep_before_the_bit_is_cleared),
        UNIT(the_dead_do_not_eat_wakes),
        UNIT(deadlines),
        UNIT(handler_interrupts),
        UNIT(restarting_handler_does_not),
        UNIT(cancellation),
        UNIT(ping_pong),
        UNIT(many_to_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

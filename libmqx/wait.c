/*
 * Sleeping until another process changed something, with one word: a counter,
 * and a bit that says "somebody may be asleep".
 *
 * Sleepers are not counted, since a count leaks when its owner is killed.  A
 * sleeper sets the bit in the same word that it then sleeps on, so that a
 * waker's bump between the two makes the futex refuse to sleep.  A waker that
 * finds the bit wakes one and leaves the bit alone: there may be more sleepers.
 * Only when it woke nobody does it clear the bit, and then it wakes everybody,
 * for somebody may have fallen asleep in between.  So a bit whose setter is
 * gone costs its next waker two system calls, and nobody else anything.
 * (Clearing first and setting again after a successful wake is wrong: another
 * waker's bump in between wakes nobody.  model/sleep.pml.)
 *
 * A waker that dies between its bump and its wake can strand a sleeper, which
 * therefore looks by itself about once a second.
 */
#include "wait.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#include "sys.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef FUTEX_32
#define FUTEX_32 2
#endif

/* Linux's struct futex_waitv, which older headers lack. */
struct waitv {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};

#define PAUSES 2048 /* before the first yield: some 10 us; a reply across cores takes a few */
#define SHORT_NS UINT64_C(10000000)
#define YIELDS 6    /* before sleeping: enough for a peer on the same core to answer */

static int wake(_Atomic uint32_t *event, int most)
{
    long woken = MQXI_SYS(SYS_futex, event, FUTEX_WAKE, most, NULL, NULL, 0);

    return woken < 0 ? 0 : (int)woken;
}

int mqxi_event_wake(_Atomic uint32_t *event, bool all)
{
    int woken = all ? 0 : wake(event, 1);

    if (woken > 0)
        return woken;
    atomic_fetch_and_explicit(event, ~MQXI_EVENT_SLEEPERS, memory_order_seq_cst);
    return wake(event, INT32_MAX);
}

/* futex_waitv, because interrupted by a handler with SA_RESTART it goes on by itself, deadline
 * included, as the kernel's mq_timedreceive does; FUTEX_WAIT with a timeout gives EINTR. */
static long futex_sleep(_Atomic uint32_t *event, uint32_t value, const struct timespec *until,
                        clockid_t clock)
{
    struct waitv one = {.val = value, .uaddr = (uintptr_t)event, .flags = FUTEX_32};
    long r = MQXI_SYS(SYS_futex_waitv, &one, 1, 0, until, clock);

    if (r == -ENOSYS) /* before Linux 5.16: every handler interrupts */
        r = MQXI_SYS(SYS_futex, event,
                     FUTEX_WAIT_BITSET | (clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0),
                     value, until, NULL, FUTEX_BITSET_MATCH_ANY);
    return r;
}

static struct timespec from_now(clockid_t clock, uint64_t ns)
{
    struct timespec t;

    clock_gettime(clock, &t);
    t.tv_nsec += (long)(ns % 1000000000u);
    t.tv_sec += (time_t)(ns / 1000000000u) + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static bool earlier(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* Set the sleepers bit.  False: the counter does not show seen any more. */
static bool begin_sleep(_Atomic uint32_t *event, uint32_t seen)
{
    uint32_t word = atomic_load_explicit(event, memory_order_seq_cst);

    return mqxi_event_count(word) == seen &&
           (word & MQXI_EVENT_SLEEPERS ||
            atomic_compare_exchange_strong(event, &word, word | MQXI_EVENT_SLEEPERS) ||
            word == (seen | MQXI_EVENT_SLEEPERS)); /* another sleeper may have set it */
}

int mqxi_event_sleep(_Atomic uint32_t *event, uint32_t seen, const struct timespec *deadline,
                     uint64_t longest_ns, bool cancel)
{
    /* A deadline follows steps of the wall clock; without one, nothing should. */
    clockid_t clock = deadline ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    struct timespec until;
    int type = 0;
    long r;

    if (!begin_sleep(event, seen))
        return 0;
    until = from_now(clock, longest_ns);
    if (deadline && earlier(deadline, &until))
        until = *deadline;
    /* Nothing is held here, so the thread may be cancelled at any instruction. */
    if (cancel)
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    r = futex_sleep(event, seen | MQXI_EVENT_SLEEPERS, &until, clock);
    if (cancel)
        pthread_setcanceltype(type, NULL);
    if (r == -ETIMEDOUT && deadline && !earlier(&until, deadline))
        return -ETIMEDOUT;
    return r == -EINTR ? -EINTR : 0;
}

int mqxi_event_sleep_once(_Atomic uint32_t *event, uint32_t seen, uint64_t longest_ns)
{
    struct timespec until;
    int type = 0;
    long r;

    if (!begin_sleep(event, seen))
        return 0;
    until = from_now(CLOCK_MONOTONIC, longest_ns);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    r = MQXI_SYS(SYS_futex, event, FUTEX_WAIT_BITSET, seen | MQXI_EVENT_SLEEPERS, &until, NULL,
                 FUTEX_BITSET_MATCH_ANY);
    pthread_setcanceltype(type, NULL);
    return r == -EINTR ? -EINTR : 0;
}

void mqxi_event_sleep_any(const struct mqxi_watch *watch, unsigned n, uint64_t longest_ns)
{
    struct timespec until = from_now(CLOCK_MONOTONIC, longest_ns);
    struct waitv words[MQXI_WATCHES];
    long r;

    for (unsigned i = 0; i < n; i++)
        words[i] = (struct waitv){
            .val = watch[i].seen, .uaddr = (uintptr_t)watch[i].word, .flags = FUTEX_32};
    r = MQXI_SYS(SYS_futex_waitv, words, n, 0, &until, CLOCK_MONOTONIC);
    if (r >= 0 || r == -EAGAIN || r == -EINTR || r == -ETIMEDOUT)
        return;
    /* ENOSYS (before Linux 5.16), or a segment vanished: the first word alone, not for long. */
    until = from_now(CLOCK_MONOTONIC, longest_ns < SHORT_NS ? longest_ns : SHORT_NS);
    MQXI_SYS(SYS_futex, watch[0].word, FUTEX_WAIT_BITSET, watch[0].seen, &until, NULL,
             FUTEX_BITSET_MATCH_ANY);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

void mqxi_event_pause(unsigned n)
{
    while (n-- > 0)
        relax();
}

bool mqxi_event_look(_Atomic uint32_t *event, uint32_t seen, uint32_t peer_cpu, unsigned first)
{
    /* On the CPU where the peer ran last, it cannot run while we look. */
    if ((uint32_t)sched_getcpu() != peer_cpu)
        for (unsigned paused = 0, step = first; paused < PAUSES; paused += step) {
            if (step < MQXI_WAIT_LONGEST && paused >= 2 * step)
                step *= 2;
            mqxi_event_pause(step);
            if (mqxi_event_read(event) != seen)
                return true;
        }
    for (int i = 0; i < YIELDS; i++) {
        MQXI_SYS(SYS_sched_yield);
        if (mqxi_event_read(event) != seen)
            return true;
    }
    return false;
}

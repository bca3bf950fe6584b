/* Event counters: how a process sleeps until another changed something. */
#ifndef MQXI_WAIT_H
#define MQXI_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "format.h"

/* What runs when a sleeping thread is cancelled: musl before 1.2.4 calls it with the stack as it was
 * in the system call, so not aligned as functions expect. */
#if defined(__x86_64__) || defined(__i386__)
#define MQXI_CLEANUP __attribute__((force_align_arg_pointer))
#else
#define MQXI_CLEANUP
#endif

/* The count part of an event word: compare two of these to see whether something happened. */
static inline uint32_t mqxi_event_count(uint32_t word)
{
    return word & ~MQXI_EVENT_SLEEPERS;
}

static inline uint32_t mqxi_event_read(_Atomic uint32_t *event)
{
    return mqxi_event_count(atomic_load_explicit(event, memory_order_acquire));
}

/* Slow half of mqxi_event_signal: somebody may be asleep.  Returns how many were woken. */
int mqxi_event_wake(_Atomic uint32_t *event, bool all);

/*
 * Something happened: bump the counter, and wake one sleeper (or all) if there
 * may be any.  A full memory barrier.  Returns how many sleepers were woken.
 */
static inline int mqxi_event_signal(_Atomic uint32_t *event, bool all)
{
    uint32_t old = atomic_fetch_add_explicit(event, MQXI_EVENT_STEP, memory_order_seq_cst);

    return old & MQXI_EVENT_SLEEPERS ? mqxi_event_wake(event, all) : 0;
}

/*
 * Sleep while the counter still shows seen (mqxi_event_read), for at most
 * longest_ns, and not beyond the deadline (CLOCK_REALTIME; NULL: none).
 * 0: it moved, or a spurious return, or longest_ns passed: look again.
 * -ETIMEDOUT: the deadline passed.  -EINTR: a signal handler without
 * SA_RESTART ran.  A cancellation point when cancel is set.
 */
int mqxi_event_sleep(_Atomic uint32_t *event, uint32_t seen, const struct timespec *deadline,
                     uint64_t longest_ns, bool cancel);

/* The same without a deadline, a cancellation point; -EINTR: any handler ran, as signal(7) says of
 * System V's calls. */
int mqxi_event_sleep_once(_Atomic uint32_t *event, uint32_t seen, uint64_t longest_ns);

/* A word, and the value that it is asleep on. */
struct mqxi_watch {
    _Atomic uint32_t *word;
    uint32_t seen; /* all of it */
};
#define MQXI_WATCHES 128u

/*
 * Sleep until one of n words (1 to MQXI_WATCHES) shows another value, but for at
 * most longest_ns.  For words whose wakers wake in any case: their sleepers bit is
 * left alone.  May return at any time; a word that is not there any more does no
 * harm.
 */
void mqxi_event_sleep_any(const struct mqxi_watch *watch, unsigned n, uint64_t longest_ns);

/*
 * Look, and yield the CPU, for some microseconds before sleeping: has the
 * counter moved from seen?  peer_cpu: where the process that will bump it ran
 * last (a hint: on the same CPU, looking is useless).  first: pauses (5 to
 * 50 ns each) before the first look; later ones come at growing intervals.
 * Each look takes a cache line from the process that works.
 */
bool mqxi_event_look(_Atomic uint32_t *event, uint32_t seen, uint32_t peer_cpu, unsigned first);
/* Pause without looking: n times 5 to 50 ns. */
void mqxi_event_pause(unsigned n);

#define MQXI_WAIT_REPLY   1u  /* for one message that is on its way */
#define MQXI_WAIT_BATCH   64u /* for many: the peer shall do several in peace */
#define MQXI_WAIT_LONGEST 64u /* between later looks, unless the first pause is longer */
/* For room in a full queue: the longer, the more there is to be drained. */
#define MQXI_WAIT_DRAIN(slots) ((slots) < 256u ? 4u * (slots) : 1024u)

#endif

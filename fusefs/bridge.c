/*
 * The event loop can wait for descriptors only, and a queue's events are
 * futexes.  So helper threads sleep on them, with futex_waitv: each on the
 * words of up to 127 watches and on a control word of its own, which the loop
 * bumps when it changed the helper's list.  A word that moved marks its watch
 * as fired and rings an eventfd; the loop does all the rest.
 *
 * For other processes a helper is a sleeper like any other (libmqx/wait.c): it
 * sets the word's sleeper bit, and sleeps only while count and bit are as it
 * saw them.  It holds its lock only to look through its list, never while it
 * touches shared memory or sleeps, and each watch holds a reference to its
 * queue until the helper has let go of it: nothing is unmapped under it.
 */
#include "bridge.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "sys.h"
#include "thread.h"
#include "wait.h"

#define WATCHES 127u /* futex_waitv takes 128 words */
#define STACK   (128u << 10)

enum state {
    FREE,
    RESTING, /* given to a watch, and not armed */
    ARMED,   /* the helper may be looking at the word: only it leaves this state, but for DROPPED */
    FIRED,
    DROPPED, /* was armed: the helper frees it */
};

struct entry {
    enum state state;
    struct watch *watch;
    struct mqxi_queue *queue;
    _Atomic uint32_t *word;
    uint32_t seen;
};

struct helper {
    pthread_mutex_t lock; /* for entry and free */
    struct entry entry[WATCHES];
    unsigned free;
    _Atomic uint32_t control;
    atomic_bool fired;
    struct helper *next;
};

static struct helper *helpers;
static int bell = -1;

/* The helper's private copy of what it sleeps on. */
struct nap {
    unsigned count;
    unsigned entry[WATCHES];
    struct mqxi_queue *queue[WATCHES];
    _Atomic uint32_t *word[WATCHES];
    uint32_t seen[WATCHES];
};

static void set_free(struct helper *h, struct entry *e)
{
    struct mqxi_queue *q = e->queue;

    *e = (struct entry){.state = FREE};
    h->free++;
    mqxi_queue_put(q);
}

static void plan(struct helper *h, struct nap *nap)
{
    nap->count = 0;
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < WATCHES; i++) {
        struct entry *e = &h->entry[i];

        if (e->state == DROPPED)
            set_free(h, e);
        if (e->state != ARMED)
            continue;
        nap->entry[nap->count] = i;
        nap->queue[nap->count] = e->queue;
        nap->word[nap->count] = e->word;
        nap->seen[nap->count++] = e->seen;
    }
    pthread_mutex_unlock(&h->lock);
}

/* Set the sleeper bit.  False: the count is no longer what was seen, or the segment vanished. */
static bool announce_sleep(const struct nap *nap, unsigned i)
{
    uint32_t word = atomic_load_explicit(nap->word[i], memory_order_seq_cst);

    while (mqxi_event_count(word) == nap->seen[i] && !(word & MQXI_EVENT_SLEEPERS) &&
           !atomic_compare_exchange_weak(nap->word[i], &word, word | MQXI_EVENT_SLEEPERS))
        ;
    return mqxi_event_count(word) == nap->seen[i] && !atomic_load(&nap->queue[i]->dead);
}

/* Armed anew meanwhile?  Then it fires once too often, which costs a look. */
static void fire(struct helper *h, unsigned entry)
{
    pthread_mutex_lock(&h->lock);
    if (h->entry[entry].state == ARMED)
        h->entry[entry].state = FIRED;
    pthread_mutex_unlock(&h->lock);
}

static void ring(struct helper *h)
{
    uint64_t one = 1;

    atomic_store(&h->fired, true);
    if (write(bell, &one, sizeof(one)) < 0)
        return; /* EAGAIN: it is full of rings already */
}

/* Sleep until one of the words or the control word moves; the index of the watch that was woken,
 * -1: none in particular. */
static int sleep_on(struct helper *h, const struct nap *nap, uint32_t control)
{
    struct futex_waitv words[WATCHES + 1] = {
        {.val = control, .uaddr = (uintptr_t)&h->control, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
    };
    long r;

    for (unsigned i = 0; i < nap->count; i++)
        words[i + 1] = (struct futex_waitv){.val = nap->seen[i] | MQXI_EVENT_SLEEPERS,
                                            .uaddr = (uintptr_t)nap->word[i],
                                            .flags = FUTEX_32};
    r = MQXI_SYS(SYS_futex_waitv, words, nap->count + 1, 0, NULL, 0);
    if (r >= 0)
        return (int)r - 1;
    if (r != -EAGAIN && r != -EINTR) {
        /* EFAULT: a segment vanished, which the next look at it finds.  ENOSYS (before Linux
         * 5.16): looking a hundred times a second must do. */
        struct timespec moment = {.tv_nsec = 10000000};

        nanosleep(&moment, NULL);
    }
    return -1;
}

static void *help(void *arg)
{
    struct helper *h = arg;
    struct nap nap;

    for (;;) {
        /* Before the list: a change of it that we do not see moves the word we sleep on. */
        uint32_t control = atomic_load(&h->control);
        bool fired = false;
        int woken;

        plan(h, &nap);
        for (unsigned i = 0; i < nap.count; i++)
            if (!announce_sleep(&nap, i)) {
                fire(h, nap.entry[i]);
                fired = true;
            }
        woken = fired ? -1 : sleep_on(h, &nap, control);
        if (woken >= 0)
            fire(h, nap.entry[woken]);
        if (fired || woken >= 0)
            ring(h);
    }
    return NULL;
}

int bridge_start(void)
{
    bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return bell < 0 ? -errno : bell;
}

static struct helper *start_helper(void)
{
    struct helper *h = calloc(1, sizeof(*h));
    pthread_attr_t attr;
    pthread_t thread;
    int r;

    if (!h)
        return NULL;
    pthread_mutex_init(&h->lock, NULL);
    h->free = WATCHES;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    r = pthread_create(&thread, &attr, help, h);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        fprintf(stderr,
                "mqxfs: cannot start a thread (%s): blocked readers and writers see others' "
                "messages up to a second late; raise the limit of threads (ulimit -u)\n",
                strerror(r));
        free(h);
        return NULL;
    }
    h->next = helpers;
    return helpers = h;
}

static void kick(struct helper *h)
{
    atomic_fetch_add(&h->control, 1);
    MQXI_SYS(SYS_futex, &h->control, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

/* Find the watch an entry; the caller does not hold the helper's lock. */
static bool settle(struct watch *w, struct mqxi_queue *q)
{
    struct helper *h = helpers;

    for (; h; h = h->next) {
        bool room;

        pthread_mutex_lock(&h->lock);
        room = h->free > 0;
        pthread_mutex_unlock(&h->lock);
        if (room)
            break;
    }
    if (!h)
        h = start_helper();
    if (!h)
        return false;
    pthread_mutex_lock(&h->lock); /* only this thread takes entries, so there still is one */
    w->entry = 0;
    while (h->entry[w->entry].state != FREE)
        w->entry++;
    h->entry[w->entry] = (struct entry){.state = RESTING, .watch = w, .queue = q};
    h->free--;
    pthread_mutex_unlock(&h->lock);
    (void)mqxi_queue_get(q); /* the watch's owner has one */
    w->helper = h;
    return true;
}

void bridge_arm(struct watch *w, struct mqxi_queue *q, _Atomic uint32_t *word, uint32_t seen)
{
    struct entry *e;

    if (!w->helper && !settle(w, q))
        return;
    e = &w->helper->entry[w->entry];
    pthread_mutex_lock(&w->helper->lock);
    e->word = word;
    e->seen = seen;
    e->state = ARMED;
    pthread_mutex_unlock(&w->helper->lock);
    kick(w->helper);
}

static void leave(struct watch *w, bool armed_too)
{
    struct helper *h = w->helper;
    struct entry *e = h ? &h->entry[w->entry] : NULL;
    bool armed;

    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    armed = e->state == ARMED;
    if (armed && armed_too)
        e->state = DROPPED;
    else if (!armed)
        set_free(h, e);
    pthread_mutex_unlock(&h->lock);
    if (armed && armed_too)
        kick(h);
    if (!armed || armed_too)
        w->helper = NULL;
}

void bridge_rest(struct watch *w)
{
    leave(w, false);
}

void bridge_drop(struct watch *w)
{
    leave(w, true);
}

/* The watches that fired, at rest from now on. */
static unsigned take_fired(struct helper *h, struct watch **out)
{
    unsigned n = 0;

    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < WATCHES; i++)
        if (h->entry[i].state == FIRED) {
            h->entry[i].state = RESTING;
            out[n++] = h->entry[i].watch;
        }
    pthread_mutex_unlock(&h->lock);
    return n;
}

void bridge_collect(void (*fired)(struct watch *w))
{
    struct watch *watches[WATCHES];
    uint64_t rings;

    if (read(bell, &rings, sizeof(rings)) < 0)
        return;
    for (struct helper *h = helpers; h; h = h->next)
        if (atomic_exchange(&h->fired, false)) {
            unsigned n = take_fired(h, watches);

            for (unsigned i = 0; i < n; i++)
                fired(watches[i]);
        }
}

/*
 * epoll.  The kernel keeps the set and does the waiting, on the queues' FIFOs
 * (bell.c).  This process remembers which queues it added to which set, since
 *
 * - an event that it hands out is checked: a FIFO may show what is no longer so.
 *   An event says nothing of its descriptor, only what the program gave with it
 *   (data).  Where other descriptors of the set have the same, events cannot be
 *   told apart and are handed out as they come; the queue then has MQXI_TELLS_EXACT.
 * - who waits looks at its queues itself about once a second (slices.c).
 *
 * Sets that came from another process, and queues that do not fit into the table,
 * are served by their FIFOs alone: then a process that is killed in the middle of
 * a send or a receive may leave readiness as it was.
 */
#include "watch.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bell.h"
#include "engine.h"
#include "files.h"
#include "ready.h"
#include "repair.h"
#include "slices.h"
#include "sys.h"
#include "thread.h"

#define WATCHES 4096

/* Filled in before `which` is set.  Who reads one that is changed meanwhile makes a check too many
 * or too few. */
struct watch {
    _Atomic uint64_t which; /* epoll + 1 << 32 | descriptor; 0: free; FILLING */
    _Atomic uint64_t fifo;  /* of the queue: the descriptor's number may be another's by now */
    _Atomic uint64_t data;
    _Atomic uint32_t events;
    _Atomic uint32_t changes; /* of the queue, when an event was last handed out */
    _Atomic uint32_t looked;  /* CLOCK_MONOTONIC second in which somebody last looked by himself */
    atomic_bool shared;       /* the data is also another descriptor's */
};
#define FILLING UINT64_MAX

static struct watch watches[WATCHES];
static _Atomic uint32_t used; /* all behind them are free */
static _Atomic pid_t owner;   /* the process that filled in the last of them */

static uint64_t name(int epoll, int fd)
{
    return ((uint64_t)(uint32_t)epoll + 1) << 32 | (uint32_t)fd;
}

static bool of(const struct watch *w, int epoll)
{
    return atomic_load(&w->which) >> 32 == (uint64_t)(uint32_t)epoll + 1;
}

#define EACH(w)                                                                                    \
    struct watch *w = watches,                                                                     \
                 *end_ = watches + atomic_load_explicit(&used, memory_order_acquire);              \
    w < end_;                                                                                      \
    w++

static struct watch *find(int epoll, int fd)
{
    for (EACH(w))
        if (atomic_load(&w->which) == name(epoll, fd))
            return w;
    return NULL;
}

static struct watch *take(void)
{
    for (uint32_t i = 0; i < WATCHES; i++) {
        uint32_t high = atomic_load(&used);
        uint64_t free = 0;

        if (!atomic_compare_exchange_strong(&watches[i].which, &free, FILLING))
            continue;
        while (high <= i && !atomic_compare_exchange_weak(&used, &high, i + 1))
            ;
        return &watches[i];
    }
    return NULL;
}

bool mqxi_watch_ours(int epoll)
{
    for (EACH(w))
        if (of(w, epoll))
            return true;
    return false;
}

void mqxi_watch_forget(unsigned first, unsigned last)
{
    for (EACH(w)) {
        uint64_t which = atomic_load(&w->which);
        unsigned epoll = (unsigned)(which >> 32) - 1, fd = (unsigned)which;

        if (which != 0 && which != FILLING &&
            ((epoll >= first && epoll <= last) || (fd >= first && fd <= last)))
            atomic_compare_exchange_strong(&w->which, &which, 0);
    }
}

void mqxi_watch_closing(unsigned first, unsigned last)
{
    /* A child of vfork closes descriptors of its own, but its memory is its parent's. */
    if (atomic_load_explicit(&used, memory_order_relaxed) > 0 &&
        atomic_load(&owner) == MQXI_SYS(SYS_getpid))
        mqxi_watch_forget(first, last);
}

/* --- the sets --------------------------------------------------------------------------------- */

/* Between mqxi_op_enter and leave: the queue of a watch, if the descriptor is still its. */
static struct mqxi_queue *queue_of(const struct watch *w)
{
    struct mqxi_queue *q = mqxi_ready_queue((int)(uint32_t)atomic_load(&w->which));

    return q && atomic_load(&q->fifo) == atomic_load(&w->fifo) ? q : NULL;
}

static uint32_t changes(const struct mqxi_queue *q)
{
    return (uint32_t)atomic_load_explicit(&q->header->sequence, memory_order_relaxed) +
           atomic_load_explicit(&q->header->send_event, memory_order_relaxed);
}

/* Does a line of an epoll descriptor's fdinfo tell of another descriptor than fd with this data? */
static bool tells_of_another(const char *line, int fd, uint64_t data)
{
    const char *tfd = strstr(line, "tfd:"), *found = strstr(line, "data:");

    return tfd && found && atoi(tfd + 4) != fd && strtoull(found + 5, NULL, 16) == data;
}

/* Has the set another descriptor than fd with this data?  Says yes where it cannot be told. */
static bool has_another(int epoll, int fd, uint64_t data)
{
    char text[1024 + 1];
    size_t kept = 0;
    bool found = false;
    int info;
    long n;

    snprintf(text, sizeof(text), "/proc/thread-self/fdinfo/%d", epoll);
    info = mqxi_sys_openat(AT_FDCWD, text, O_RDONLY | O_CLOEXEC, 0);
    if (info < 0)
        return true;
    while (!found && (n = MQXI_SYS(SYS_read, info, text + kept, sizeof(text) - 1 - kept)) > 0) {
        char *line = text, *end;

        text[kept + (size_t)n] = 0;
        for (; !found && (end = strchr(line, '\n')); line = end + 1) {
            *end = 0;
            found = tells_of_another(line, fd, data);
        }
        kept = strlen(line);
        memmove(text, line, kept);
    }
    mqxi_sys_close(info);
    return found || n < 0;
}

/* From now on its events cannot be told from others'. */
static void share(struct watch *w)
{
    unsigned token = mqxi_op_enter();
    struct mqxi_queue *q = queue_of(w);

    atomic_store(&w->shared, true);
    if (q)
        mqxi_bell_watch(q, MQXI_TELLS_EXACT);
    mqxi_op_leave(token);
}

void mqxi_watch_before(int op, int fd, const struct epoll_event *event)
{
    unsigned token = mqxi_op_enter(), access;
    struct mqxi_queue *q;

    /* Rare enough to also find out about one that another process sent us. */
    if (op != EPOLL_CTL_DEL && mqxi_file_queue(fd, &q, &access) == 0) {
        mqxi_bell_watch(q, event && event->events & EPOLLET ? MQXI_TELLS_EDGES : 0);
        if (op == EPOLL_CTL_ADD)
            mqxi_bell_adjust(q);
    }
    mqxi_op_leave(token);
}

static void forget(int epoll, int fd)
{
    struct watch *w = find(epoll, fd);

    if (w)
        atomic_store(&w->which, 0);
}

/* A queue was added to the set, or is there with another data. */
static void remember(int epoll, int fd, struct mqxi_queue *q, const struct epoll_event *event)
{
    struct watch *w = find(epoll, fd);
    bool known = w && atomic_load(&w->data) == event->data.u64;

    if (!w)
        w = take();
    if (!w) {
        mqxi_bell_watch(q, MQXI_TELLS_EXACT);
        return;
    }
    atomic_store(&owner, (pid_t)MQXI_SYS(SYS_getpid));
    atomic_store(&w->fifo, atomic_load(&q->fifo));
    atomic_store(&w->data, event->data.u64);
    atomic_store(&w->events, event->events);
    atomic_store(&w->changes, changes(q));
    if (!known)
        atomic_store(&w->shared, false);
    atomic_store(&w->which, name(epoll, fd));
    if (!known && has_another(epoll, fd, event->data.u64))
        share(w);
}

void mqxi_watch_after(int epoll, int op, int fd, const struct epoll_event *event)
{
    unsigned token = mqxi_op_enter();
    struct mqxi_queue *q = mqxi_ready_queue(fd);

    if (op == EPOLL_CTL_DEL || !q)
        forget(epoll, fd);
    else
        remember(epoll, fd, q, event);
    if (op != EPOLL_CTL_DEL)
        for (EACH(w))
            if (of(w, epoll) && atomic_load(&w->which) != name(epoll, fd) &&
                atomic_load(&w->data) == event->data.u64 && !atomic_load(&w->shared))
                share(w);
    mqxi_op_leave(token);
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* The watch whose event this can only be; notes for all whose it may be that there was one. Between
 * mqxi_op_enter and leave. */
static struct watch *find_data(int epoll, uint64_t data)
{
    struct watch *found = NULL;

    for (EACH(w)) {
        struct mqxi_queue *q = NULL;

        if (of(w, epoll) && atomic_load(&w->data) == data)
            q = queue_of(w);
        if (!q)
            continue;
        atomic_store(&w->changes, changes(q));
        if (!atomic_load(&w->shared))
            found = w;
    }
    return found;
}

/* An event that the kernel handed out: put right; false where nothing is left of it. */
static bool correct(int epoll, struct watch *w, struct epoll_event *e, bool *stuck)
{
    struct mqxi_queue *q = queue_of(w);
    uint32_t asked = atomic_load(&w->events), is;

    if (!q)
        return true;
    is = (uint32_t)mqxi_ready_events(q) & asked;
    if (!(e->events & MQXI_READY_EVENTS & ~is))
        return true;
    if (mqxi_bell_adjust(q) < 0 || !mqxi_ready_events(q))
        *stuck = true;
    e->events = (e->events & ~(uint32_t)MQXI_READY_EVENTS) | is;
    if (e->events == 0 && asked & EPOLLONESHOT) {
        struct epoll_event again = {asked, {.u64 = atomic_load(&w->data)}};

        MQXI_SYS(SYS_epoll_ctl, epoll, EPOLL_CTL_MOD, (int)(uint32_t)atomic_load(&w->which),
                 &again);
    }
    return e->events != 0;
}

static int correct_all(int epoll, struct epoll_event *events, int n, bool *stuck)
{
    unsigned token = mqxi_op_enter();
    int kept = 0;

    for (int i = 0; i < n; i++) {
        struct watch *w = find_data(epoll, events[i].data.u64);

        if (!w || correct(epoll, w, &events[i], stuck))
            events[kept++] = events[i];
    }
    mqxi_op_leave(token);
    return kept;
}

/* The queue was changed since there was an event of this watch, and is ready, and there is none:
 * who changed it died before he could tell. */
static bool edge_is_lost(struct watch *w, struct mqxi_queue *q)
{
    uint32_t events = atomic_load(&w->events), now = changes(q);

    return events & EPOLLET && (uint32_t)mqxi_ready_events(q) & events &&
           atomic_exchange(&w->changes, now) != now;
}

/* Nothing for a while: is it because somebody died?  True: perhaps there is something now. */
static bool look_after(int epoll)
{
    unsigned token = mqxi_op_enter();
    bool looked = false, swept;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    for (EACH(w)) {
        struct mqxi_queue *q = of(w, epoll) ? queue_of(w) : NULL;

        if (!q || atomic_load(&w->looked) == (uint32_t)now.tv_sec)
            continue;
        atomic_store(&w->looked, (uint32_t)now.tv_sec);
        mqxi_repair_sometimes(q, &swept);
        if (mqxi_readiness(q) & ~mqxi_bell_shown((int)(uint32_t)atomic_load(&w->which)))
            mqxi_bell_adjust(q);
        if (edge_is_lost(w, q))
            mqxi_bell_sync(q);
        looked = true;
    }
    mqxi_op_leave(token);
    return looked;
}

int mqxi_watch_wait(int epoll, struct epoll_event *events, int most, const struct timespec *timeout,
                    const sigset_t *mask)
{
    bool sleep = false, again;
    struct mqxi_slices s;
    int r;

    mqxi_slices_begin(&s, timeout, mask);
    pthread_cleanup_push(mqxi_slices_end, &s);
    do {
        bool stuck = false;

        mqxi_slices_next(&s, sleep);
        r = mqxi_slices_epoll(&s, epoll, events, most);
        if (r == 0)
            sleep = !look_after(epoll); /* else first see what that brought */
        else if (r > 0)
            r = correct_all(epoll, events, r, &stuck);
        mqxi_slices_vain(&s, stuck && r == 0);
        again = mqxi_slices_left(&s) || (!sleep && !stuck);
    } while (r == 0 && again);
    pthread_cleanup_pop(1);
    return r;
}

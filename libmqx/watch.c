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
 * A set in a set, or in poll, is ready for what the kernel sees: its queues have
 * MQXI_TELLS_EXACT.  So have those in a set that another process has, too; and what
 * is in one that came from there is asked of the kernel.
 *
 * Queues that do not fit into the table are served by their FIFOs alone: then a
 * process that is killed in the middle of a send or a receive may leave readiness
 * as it was.
 */
#include "watch.h"

#include <pthread.h>
#include <stdint.h>

#include "bell.h"
#include "engine.h"
#include "files.h"
#include "handles.h"
#include "ready.h"
#include "repair.h"
#include "sets.h"
#include "slices.h"
#include "sys.h"
#include "thread.h"

#define WATCHES 4096

/* Filled in before `which` is set.  Who reads one that is changed meanwhile makes a check too many
 * or too few. */
struct watch {
    _Atomic uint64_t which; /* set << 32 | descriptor; 0: free; FILLING */
    _Atomic uint64_t fifo; /* of the queue: the descriptor's number may be another's by now; 0: of a
                            * set in the set */
    _Atomic uint64_t data;
    _Atomic uint32_t events;
    _Atomic uint32_t changes; /* of the queue, when an event was last handed out */
    _Atomic uint32_t looked;  /* CLOCK_MONOTONIC second in which somebody last looked by himself */
    atomic_bool shared;       /* the data is also another descriptor's */
};
#define FILLING UINT64_MAX

static struct watch watches[WATCHES];
static _Atomic uint32_t used; /* all behind them are free */

static uint64_t name(int set, int fd)
{
    return (uint64_t)(uint32_t)set << 32 | (uint32_t)fd;
}

static bool of(const struct watch *w, int set)
{
    return atomic_load(&w->which) >> 32 == (uint64_t)(uint32_t)set;
}

static int fd_of(const struct watch *w)
{
    return (int)(uint32_t)atomic_load(&w->which);
}

#define EACH(w)                                                                                    \
    struct watch *w = watches,                                                                     \
                 *end_ = watches + atomic_load_explicit(&used, memory_order_acquire);              \
    w < end_;                                                                                      \
    w++

static struct watch *find(int set, int fd)
{
    for (EACH(w))
        if (atomic_load(&w->which) == name(set, fd))
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

static bool has_members(int set)
{
    if (set)
        for (EACH(w))
            if (of(w, set))
                return true;
    return false;
}

static void forget_set(int set)
{
    for (EACH(w)) {
        uint64_t which = atomic_load(&w->which);

        if (which != FILLING && which >> 32 == (uint64_t)(uint32_t)set)
            atomic_compare_exchange_strong(&w->which, &which, 0);
    }
}

static void forget_members(unsigned first, unsigned last)
{
    for (EACH(w)) {
        uint64_t which = atomic_load(&w->which);
        unsigned fd = (unsigned)which;

        if (which != 0 && which != FILLING && fd >= first && fd <= last)
            atomic_compare_exchange_strong(&w->which, &which, 0);
    }
}

void mqxi_watch_closing(unsigned first, unsigned last)
{
    if (atomic_load_explicit(&used, memory_order_relaxed) > 0 && mqxi_set_here())
        forget_members(first, last);
    mqxi_set_closing(first, last, forget_set);
}

void mqxi_watch_made(int epoll)
{
    mqxi_watch_closing((unsigned)epoll, (unsigned)epoll); /* without our knowing */
    mqxi_set_made(epoll, false);
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

static int is_another(const struct mqxi_member *m, void *arg)
{
    const struct mqxi_member *one = arg;

    return m->fd != one->fd && m->data == one->data;
}

/* Has the set another descriptor than fd with this data?  Says yes where it cannot be told. */
static bool has_another(int epoll, int fd, uint64_t data)
{
    return mqxi_set_members(epoll, is_another, &(struct mqxi_member){.fd = fd, .data = data}) != 0;
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

/* From now on the FIFO shows it to the kernel's poll. */
static void show(struct mqxi_queue *q, uint32_t tells)
{
    mqxi_bell_watch(q, tells);
    mqxi_bell_adjust(q);
}

/* Between mqxi_op_enter and leave: all queues in the set, and in sets in it, tell this, too. */
static void demand(int set, uint32_t tells)
{
    if (!mqxi_set_demand(set, tells)) /* which also ends this where sets lead to each other */
        return;
    for (EACH(w)) {
        struct mqxi_queue *q = of(w, set) ? queue_of(w) : NULL;

        if (q)
            show(q, tells);
        else if (of(w, set) && mqxi_set_of(fd_of(w)))
            demand(mqxi_set_of(fd_of(w)), tells);
    }
}

static void forget(int set, int fd)
{
    struct watch *w = find(set, fd);

    if (w)
        atomic_store(&w->which, 0);
}

/* This was added to the set, or is there with another data: a queue, or (NULL) another set. */
static void remember(int epoll, int set, int fd, struct mqxi_queue *q,
                     const struct epoll_event *event)
{
    struct watch *w = find(set, fd);
    bool known = w && atomic_load(&w->data) == event->data.u64;

    if (!w)
        w = take();
    if (!w) {
        if (q)
            mqxi_bell_watch(q, MQXI_TELLS_EXACT);
        return;
    }
    mqxi_set_mine();
    atomic_store(&w->fifo, q ? atomic_load(&q->fifo) : 0);
    atomic_store(&w->data, event->data.u64);
    atomic_store(&w->events, event->events);
    atomic_store(&w->changes, q ? changes(q) : 0);
    if (!known)
        atomic_store(&w->shared, false);
    atomic_store(&w->which, name(set, fd));
    if (!known && has_another(epoll, fd, event->data.u64))
        share(w);
}

static uint32_t edges(uint32_t events)
{
    return events & EPOLLET ? MQXI_TELLS_EDGES : 0;
}

struct adoption {
    int epoll, set;
};

/* Between mqxi_op_enter and leave. */
static int adopt_member(const struct mqxi_member *m, void *arg)
{
    struct epoll_event event = {m->events, {.u64 = m->data}};
    const struct adoption *a = arg;
    struct mqxi_queue *q;
    unsigned access;
    int inner;

    if (mqxi_file_queue(m->fd, &q, &access) == 0 && atomic_load(&q->fifo) == m->ino) {
        show(q, MQXI_TELLS_EXACT | edges(m->events));
        remember(a->epoll, a->set, m->fd, q, &event);
    } else if (mqxi_set_is(m->fd) && (inner = mqxi_watch_adopt(m->fd)) != 0) {
        demand(inner, MQXI_TELLS_EXACT | edges(m->events));
        remember(a->epoll, a->set, m->fd, NULL, &event);
    }
    return 0;
}

int mqxi_watch_adopt(int epoll)
{
    struct adoption a = {epoll, mqxi_set_of(epoll)};
    unsigned token;

    if (a.set)
        return a.set;
    a.set = mqxi_set_made(epoll, true);
    token = mqxi_op_enter();
    if (a.set)
        mqxi_set_members(epoll, adopt_member, &a);
    mqxi_op_leave(token);
    return a.set;
}

void mqxi_watch_before(int epoll, int op, int fd, const struct epoll_event *event)
{
    unsigned token = mqxi_op_enter(), access;
    struct mqxi_queue *q;
    uint32_t tells;
    int set;

    /* Rare enough to also find out about one that another process sent us. */
    if (op != EPOLL_CTL_DEL && event &&
        (mqxi_file_queue(fd, &q, &access) == 0 || mqxi_set_of(fd))) {
        q = mqxi_ready_queue(fd);
        set = mqxi_watch_adopt(epoll);
        tells = edges(event->events) | (set ? mqxi_set_tells(set) : MQXI_TELLS_EXACT);
        if (!q)
            demand(mqxi_set_of(fd), tells | MQXI_TELLS_EXACT);
        else if (op == EPOLL_CTL_ADD)
            show(q, tells);
        else
            mqxi_bell_watch(q, tells);
    }
    mqxi_op_leave(token);
}

void mqxi_watch_after(int epoll, int op, int fd, const struct epoll_event *event)
{
    unsigned token = mqxi_op_enter();
    struct mqxi_queue *q = mqxi_ready_queue(fd);
    int set = mqxi_set_of(epoll);

    if (op == EPOLL_CTL_DEL || (!q && !mqxi_set_of(fd)))
        forget(set, fd);
    else if (set)
        remember(epoll, set, fd, q, event);
    if (op != EPOLL_CTL_DEL && set)
        for (EACH(w))
            if (of(w, set) && atomic_load(&w->which) != name(set, fd) &&
                atomic_load(&w->data) == event->data.u64 && !atomic_load(&w->shared))
                share(w);
    mqxi_op_leave(token);
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* The watch whose event this can only be; notes for all whose it may be that there was one. Between
 * mqxi_op_enter and leave. */
static struct watch *find_data(int set, uint64_t data)
{
    struct watch *found = NULL;

    for (EACH(w)) {
        struct mqxi_queue *q = NULL;

        if (of(w, set) && atomic_load(&w->data) == data)
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

        MQXI_SYS(SYS_epoll_ctl, epoll, EPOLL_CTL_MOD, fd_of(w), &again);
    }
    return e->events != 0;
}

static int correct_all(int epoll, struct epoll_event *events, int n, bool *stuck)
{
    unsigned token = mqxi_op_enter();
    int kept = 0, set = mqxi_set_of(epoll);

    for (int i = 0; i < n; i++) {
        struct watch *w = find_data(set, events[i].data.u64);

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

/* Between mqxi_op_enter and leave: does the FIFO show it, or did somebody die who would have? */
static bool look_at(struct watch *w, struct mqxi_queue *q, uint32_t second)
{
    bool swept;

    if (atomic_load(&w->looked) == second)
        return false;
    atomic_store(&w->looked, second);
    mqxi_repair_sometimes(q, &swept);
    if (mqxi_readiness(q) & ~mqxi_bell_shown(fd_of(w)))
        mqxi_bell_adjust(q);
    if (edge_is_lost(w, q))
        mqxi_bell_sync(q);
    return true;
}

#define NESTING 5 /* the kernel allows so many sets in sets; our notes of them may be old */

/* The same for all in the set. */
static bool look_into(int set, uint32_t second, int depth)
{
    bool looked = false;

    for (EACH(w)) {
        struct mqxi_queue *q = of(w, set) ? queue_of(w) : NULL;

        if (q)
            looked = look_at(w, q, second) || looked;
        else if (of(w, set) && depth < NESTING && mqxi_set_of(fd_of(w)))
            looked = look_into(mqxi_set_of(fd_of(w)), second, depth + 1) || looked;
    }
    return looked;
}

/* Nothing for a while: is it because somebody died?  True: perhaps there is something now. */
static bool look_after(int set)
{
    unsigned token = mqxi_op_enter();
    struct timespec now;
    bool looked;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    looked = look_into(set, (uint32_t)now.tv_sec, 0);
    mqxi_op_leave(token);
    return looked;
}

bool mqxi_watch_nested(int epoll, bool sleep)
{
    int set = mqxi_set_of(epoll);
    unsigned token;

    if (!has_members(set))
        return false;
    token = mqxi_op_enter();
    demand(set, MQXI_TELLS_EXACT);
    mqxi_op_leave(token);
    if (sleep)
        look_after(set);
    return true;
}

bool mqxi_watch_ours(int epoll)
{
    bool known = mqxi_set_of(epoll);

    if (!known && !atomic_load_explicit(&mqxi_handles_used, memory_order_relaxed))
        return false;
    return has_members(known ? mqxi_set_of(epoll) : mqxi_watch_adopt(epoll));
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
            sleep = !look_after(mqxi_set_of(epoll)); /* else first see what that brought */
        else if (r > 0)
            r = correct_all(epoll, events, r, &stuck);
        mqxi_slices_vain(&s, stuck && r == 0);
        again = mqxi_slices_left(&s) || (!sleep && !stuck);
    } while (r == 0 && again);
    pthread_cleanup_pop(1);
    return r;
}

/*
 * poll and select.  The kernel does the waiting, on the queues' FIFOs (bell.c)
 * and on whatever else there is in the set; what it says of a queue is replaced
 * by what its slots say, and where that leaves nothing, the waiting goes on.
 *
 * Queues are looked up anew whenever they are looked at: while a thread sleeps
 * here, others may close and open what they like.
 */
#include "ready.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "bell.h"
#include "engine.h"
#include "handles.h"
#include "repair.h"
#include "sets.h"
#include "slices.h"
#include "thread.h"
#include "wait.h"
#include "watch.h"

#define DESCRIPTORS (1 << 20) /* of those that handles.c knows */

struct mqxi_queue *mqxi_ready_queue(int fd)
{
    struct mqxi_queue *q;
    unsigned access;

    return mqxi_handle_get(fd, &q, &access) == 0 ? q : NULL;
}

short mqxi_ready_events(struct mqxi_queue *q)
{
    unsigned can = mqxi_readiness(q);

    return (short)((can & MQXI_CAN_RECEIVE ? POLLIN | POLLRDNORM : 0) |
                   (can & MQXI_CAN_SEND ? POLLOUT | POLLWRNORM : 0));
}

/*
 * What the kernel said of a descriptor (some of MQXI_READY_EVENTS), put right.
 * *stuck: it may say the same at once again.
 */
static short put_right(int fd, struct mqxi_queue *q, short asked, short said, bool *stuck)
{
    short is = (short)(mqxi_ready_events(q) & asked);

    if (is == said)
        return said;
    if (mqxi_bell_verify(q, fd) < 0) /* closed, and another file's by now, without our knowing */
        return said;
    if (said & ~is && mqxi_bell_adjust(q) < 0)
        *stuck = true;
    /* Neither to be received nor to be sent: one message, on its way in or out. */
    *stuck = *stuck || (is == 0 && mqxi_readiness(q) == 0);
    return is;
}

/* There is nothing to wait for but this queue: look at it for a moment, as a blocked receive does,
 * before others are told to ring. */
static bool becomes_ready(struct mqxi_queue *q, short asked)
{
    struct mqxi_header *h = q->header;
    bool receives = asked & (POLLIN | POLLRDNORM);
    _Atomic uint32_t *event = receives ? &h->recv_event : &h->send_event;
    uint32_t seen = mqxi_event_read(event);

    if (mqxi_ready_events(q) & asked)
        return true;
    return mqxi_event_look(event, seen, atomic_load(receives ? &h->send_cpu : &h->recv_cpu),
                           MQXI_WAIT_REPLY) &&
           mqxi_ready_events(q) & asked;
}

/* Is the queue ready for what is asked?  If not, it is seen to that what dead processes held comes
 * back, and, before a sleep, that it tells. */
static bool is_ready(struct mqxi_queue *q, short asked, bool sleep, bool alone)
{
    bool swept;

    if (sleep && alone ? becomes_ready(q, asked) : mqxi_ready_events(q) & asked)
        return true;
    mqxi_repair_sometimes(q, &swept);
    if (sleep)
        mqxi_bell_arm(q);
    return (sleep || swept) && mqxi_ready_events(q) & asked;
}

/* --- poll ------------------------------------------------------------------------------------- */

bool mqxi_poll_ours(const struct pollfd *fds, nfds_t n)
{
    bool ours = false;

    if (!atomic_load_explicit(&mqxi_handles_used, memory_order_relaxed) || n > DESCRIPTORS)
        return false;
    for (nfds_t i = 0; i < n; i++)
        if (mqxi_ready_queue(fds[i].fd)) /* which is not looked at */
            ours = true;
        else if (mqxi_set_of(fds[i].fd) && mqxi_watch_nested(fds[i].fd, false))
            ours = true;
    return ours;
}

/* Is any queue ready, as far as it is asked for?  Prepares them for a sleep. */
static bool prepare_poll(const struct pollfd *fds, nfds_t n, bool sleep)
{
    unsigned token = mqxi_op_enter();
    bool ready = false;

    for (nfds_t i = 0; i < n && !ready; i++) {
        struct mqxi_queue *q = mqxi_ready_queue(fds[i].fd);

        if (q && fds[i].events & MQXI_READY_EVENTS)
            ready = is_ready(q, fds[i].events & MQXI_READY_EVENTS, sleep, n == 1);
        else if (sleep && mqxi_set_of(fds[i].fd))
            mqxi_watch_nested(fds[i].fd, true);
    }
    mqxi_op_leave(token);
    return ready;
}

/* How many are ready in truth. */
static int correct_poll(struct pollfd *fds, nfds_t n, bool *stuck)
{
    unsigned token = mqxi_op_enter();
    int ready = 0;

    for (nfds_t i = 0; i < n; i++) {
        struct mqxi_queue *q = mqxi_ready_queue(fds[i].fd);

        if (q && !(fds[i].revents & POLLNVAL))
            fds[i].revents = (short)((fds[i].revents & ~MQXI_READY_EVENTS) |
                                     put_right(fds[i].fd, q, fds[i].events & MQXI_READY_EVENTS,
                                               fds[i].revents & MQXI_READY_EVENTS, stuck));
        ready += fds[i].revents != 0;
    }
    mqxi_op_leave(token);
    return ready;
}

static int poll_once(struct pollfd *fds, nfds_t n, struct mqxi_slices *s, bool sleep)
{
    bool stuck = false;
    int r;

    mqxi_slices_next(s, sleep && !prepare_poll(fds, n, true));
    r = mqxi_slices_poll(s, fds, n);
    if (r >= 0)
        r = correct_poll(fds, n, &stuck);
    mqxi_slices_vain(s, stuck && r == 0);
    return r;
}

int mqxi_poll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    struct mqxi_slices s;
    bool sleep;
    int r;

    mqxi_slices_begin(&s, timeout, mask);
    pthread_cleanup_push(mqxi_slices_end, &s);
    sleep = !prepare_poll(fds, n, false) && mqxi_slices_left(&s);
    do
        r = poll_once(fds, n, &s, sleep);
    while (r == 0 && mqxi_slices_left(&s));
    pthread_cleanup_pop(1);
    return r;
}

/* --- select ----------------------------------------------------------------------------------- */

struct sets {
    int n;
    fd_set *set[3], asked[3]; /* the caller's, and a copy */
};
enum { READABLE, WRITABLE, EXCEPTIONAL };

static size_t bytes(int n)
{
    return (size_t)(n + NFDBITS - 1) / NFDBITS * sizeof(fd_mask); /* that the kernel looks at */
}

static bool in(const fd_set *set, int fd)
{
    return set && set->fds_bits[fd / NFDBITS] & (fd_mask)(1ul << fd % NFDBITS);
}

static void put_in(fd_set *set, int fd, bool value)
{
    fd_mask bit = (fd_mask)(1ul << fd % NFDBITS);

    if (set)
        set->fds_bits[fd / NFDBITS] = (set->fds_bits[fd / NFDBITS] & ~bit) | (value ? bit : 0);
}

/* The next queue from *fd on that is in a set, or NULL.  Only of descriptors that there are: sets
 * may be smaller than the program says. */
static struct mqxi_queue *next_queue(int *fd, int n, const fd_set *readable, const fd_set *writable)
{
    struct mqxi_queue *q = NULL;

    for (; *fd < n; ++*fd) {
        *fd = mqxi_handle_next((unsigned)*fd, (unsigned)n - 1);
        if (*fd < 0)
            break;
        q = mqxi_ready_queue(*fd);
        if (q && (in(readable, *fd) || in(writable, *fd)))
            return q;
    }
    return NULL;
}

/* Epoll sets among them, which are asked whether they have events.  Are there any? */
static bool prepare_sets(int n, const fd_set *readable, bool sleep)
{
    bool any = false;

    for (int fd = 0; fd < n && (fd = mqxi_set_next((unsigned)fd, (unsigned)n - 1)) >= 0; fd++)
        any = (in(readable, fd) && mqxi_watch_nested(fd, sleep)) || any;
    return any;
}

bool mqxi_select_ours(int n, const fd_set *readable, const fd_set *writable)
{
    struct mqxi_queue *q;
    unsigned token;
    int fd = 0;
    bool sets;

    if (!atomic_load_explicit(&mqxi_handles_used, memory_order_relaxed))
        return false;
    sets = prepare_sets(n, readable, false);
    token = mqxi_op_enter();
    while ((q = next_queue(&fd, n, readable, writable)) && n > FD_SETSIZE) {
        /* Larger than what we copy: the kernel's alone. */
        mqxi_bell_watch(q, MQXI_TELLS_EXACT);
        mqxi_bell_adjust(q);
        fd++;
    }
    mqxi_op_leave(token);
    return q || (sets && n <= FD_SETSIZE);
}

static short asked_for(const struct sets *s, int fd)
{
    return (short)((in(&s->asked[READABLE], fd) ? POLLIN : 0) |
                   (in(&s->asked[WRITABLE], fd) ? POLLOUT : 0));
}

static bool prepare_select(const struct sets *s, bool sleep)
{
    const fd_set *readable = &s->asked[READABLE], *writable = &s->asked[WRITABLE];
    unsigned token = mqxi_op_enter();
    bool ready = false;
    struct mqxi_queue *q;

    for (int fd = 0; !ready && (q = next_queue(&fd, s->n, readable, writable)); fd++)
        ready = is_ready(q, asked_for(s, fd), sleep, false);
    if (sleep && !ready)
        prepare_sets(s->n, readable, true);
    mqxi_op_leave(token);
    return ready;
}

/* How many are ready in truth. */
static int correct_select(struct sets *s, bool *stuck)
{
    unsigned token = mqxi_op_enter();
    struct mqxi_queue *q;
    int ready = 0;

    for (int fd = 0; (q = next_queue(&fd, s->n, &s->asked[READABLE], &s->asked[WRITABLE])); fd++) {
        short said = (short)((in(s->set[READABLE], fd) ? POLLIN : 0) |
                             (in(s->set[WRITABLE], fd) ? POLLOUT : 0));
        short is = put_right(fd, q, asked_for(s, fd), said, stuck);

        put_in(s->set[READABLE], fd, is & POLLIN);
        put_in(s->set[WRITABLE], fd, is & POLLOUT);
    }
    mqxi_op_leave(token);
    for (int i = 0; i < 3; i++)
        for (size_t word = 0; s->set[i] && word < bytes(s->n) / sizeof(fd_mask); word++)
            ready += __builtin_popcountl((unsigned long)s->set[i]->fds_bits[word]);
    return ready;
}

static int select_once(struct sets *s, struct mqxi_slices *slices, bool sleep)
{
    bool stuck = false;
    int r;

    mqxi_slices_next(slices, sleep && !prepare_select(s, true));
    for (int i = 0; i < 3; i++)
        if (s->set[i])
            memcpy(s->set[i], &s->asked[i], bytes(s->n));
    r = mqxi_slices_select(slices, s->n, s->set[READABLE], s->set[WRITABLE], s->set[EXCEPTIONAL]);
    if (r >= 0)
        r = correct_select(s, &stuck);
    mqxi_slices_vain(slices, stuck && r == 0);
    return r;
}

int mqxi_select(int n, fd_set *readable, fd_set *writable, fd_set *exceptional,
                const struct timespec *timeout, const sigset_t *mask, struct timespec *rest)
{
    struct sets s = {.n = n, .set = {readable, writable, exceptional}};
    struct mqxi_slices slices;
    bool sleep;
    int r;

    for (int i = 0; i < 3; i++)
        if (s.set[i])
            memcpy(&s.asked[i], s.set[i], bytes(n));
    mqxi_slices_begin(&slices, timeout, mask);
    pthread_cleanup_push(mqxi_slices_end, &slices);
    sleep = !prepare_select(&s, false) && mqxi_slices_left(&slices);
    do
        r = select_once(&s, &slices, sleep);
    while (r == 0 && mqxi_slices_left(&slices));
    pthread_cleanup_pop(1);
    if (rest)
        *rest = mqxi_slices_rest(&slices);
    return r;
}

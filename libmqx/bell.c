/*
 * Readiness.  A queue's descriptors are those of its FIFO, so that the kernel
 * itself does the waiting of poll, select and epoll.  What it reports follows
 * from the packets in the FIFO, which is kept so small that there are three
 * states:
 *
 *     no packets    the queue is empty        POLLOUT
 *     one           neither                   POLLIN and POLLOUT
 *     two           the queue is full         POLLIN
 *
 * (With one slot in the queue, the FIFO has room for one packet, and a queue is
 * empty or full.)  They hold nothing; how many there are is all they say.
 *
 * Nothing of this happens before somebody wants to sleep until a queue is ready,
 * nor for long after the last did.  Who does sets a bit in the queue, then looks at
 * the queue, then sleeps; who changes a queue looks for the bit afterwards.  So one
 * of the two sees the other.
 *
 * The slots are the truth, and whoever polls looks at them, too (ready.c): a FIFO
 * that shows readiness where there is none costs a look.  So only readiness that
 * begins has to be shown at once.  What ended is taken back by who next wants to
 * sleep; with senders faster than a receiver that polls, or the other way round,
 * nobody does anything here.  For those who cannot look, MQXI_TELLS_EXACT.
 *
 * header->shown remembers what the FIFO was made to show.  Several processes may
 * adjust it at once, and each goes on until queue, FIFO and `shown` agree.  One
 * that is stopped or killed in the middle leaves them different, so that
 * readiness is late: sleepers look for themselves about once a second.
 *
 * The FIFO is opened anew each time: programs close or count all descriptors, and
 * a byte that is meant for it must never go anywhere else.
 */
#include "bell.h"

#include <poll.h>
#include <stdio.h>
#include <sys/uio.h>
#include <time.h>

#include "engine.h"
#include "handles.h"
#include "names.h"
#include "segment.h"
#include "spare.h"
#include "sys.h"
#include "thread.h"

#define BOTH  (MQXI_CAN_RECEIVE | MQXI_CAN_SEND)
#define TRIES 100 /* others change the queue all the time, and show that */

/* Seconds in which who polled a queue is counted on to do so again: sleepers do each second. */
#define LEASE   10u
#define FOREVER UINT32_MAX

int mqxi_bell_verify(const struct mqxi_queue *q, int fd)
{
    uint64_t fifo = atomic_load(&q->fifo);
    struct mqxi_stat st;
    int r = mqxi_sys_stat(fd, "", &st);

    if (r < 0)
        return r;
    return S_ISFIFO(st.mode) && st.uid == q->uid && (fifo == 0 || st.ino == fifo) ? 0 : -ESTALE;
}

static int open_checked(const struct mqxi_queue *q, const char *path, int flags)
{
    int fd = mqxi_sys_openat(AT_FDCWD, path, O_NONBLOCK | O_CLOEXEC | flags, 0);
    int r = fd < 0 ? fd : mqxi_bell_verify(q, fd);

    if (r < 0 && fd >= 0)
        mqxi_sys_close(fd);
    return r < 0 ? r : fd;
}

/* A descriptor of the queue that this process has, or -1: a hint. */
static int own_descriptor(const struct mqxi_queue *q)
{
    int fd = atomic_load(&q->fd), other = -1;
    struct mqxi_queue *its;
    unsigned access;

    if (fd >= 0 && mqxi_handle_get(fd, &its, &access) == 0 && its == q)
        return fd;
    while ((other = mqxi_handle_next((unsigned)other + 1, UINT32_MAX)) >= 0)
        if (mqxi_handle_get(other, &its, &access) == 0 && its == q)
            return other;
    return fd;
}

/* Away from the lowest numbers: another thread that polls one that was just closed would be woken to
 * look at our description there, and say that it is ready. */
static int move_up(int fd)
{
    const int high = 512;
    int moved;

    if (MQXI_ONLY_THREAD || fd < 0 || fd >= high)
        return fd;
    moved = mqxi_sys_fcntl(fd, F_DUPFD_CLOEXEC, high);
    if (moved < 0)
        return fd;
    mqxi_sys_close(fd);
    return moved;
}

/* A description of our own: the others are the program's. */
static int open_fifo(const struct mqxi_queue *q, int access)
{
    char path[PATH_MAX];
    int fd = mqxi_segment_fifo(q, path), own;

    if (fd == 0)
        fd = move_up(open_checked(q, path, access | O_NOFOLLOW));
    if (fd != -ENOENT && fd != -ESTALE)
        return fd;
    own = own_descriptor(q); /* the path is gone: unlinked */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", own);
    return own < 0 ? fd : move_up(open_checked(q, path, access));
}

unsigned mqxi_bell_shown(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    struct timespec none = {0};

    MQXI_SYS(SYS_ppoll, &p, 1, &none, NULL, 0);
    return (p.revents & POLLIN ? MQXI_CAN_RECEIVE : 0) | (p.revents & POLLOUT ? MQXI_CAN_SEND : 0);
}

/* --- packets ---------------------------------------------------------------------------------- */

/*
 * By vmsplice, which makes a packet of each byte and wakes everybody who waits, whatever for, as a
 * change of a kernel's queue does: once.  (write wakes who waits to read, and read who waits to
 * write.)
 */
static long move_byte(int fd, void *byte)
{
    struct iovec one = {byte, 1};

    return MQXI_SYS(SYS_vmsplice, fd, &one, 1, SPLICE_F_NONBLOCK);
}

static long add(int fd)
{
    static char packet;
    long r = move_byte(fd, &packet);

    if (r != -ENOSYS && r != -EPERM)
        return r;
    mqxi_sys_fcntl(fd, F_SETFL, O_NONBLOCK | O_DIRECT); /* packets instead of a stream of bytes */
    return MQXI_SYS(SYS_write, fd, &packet, 1);
}

static long take_away(const struct mqxi_queue *q, int fd, bool edge)
{
    int reader = edge ? open_fifo(q, O_RDONLY) : -1;
    char packet;
    long r;

    if (reader < 0)
        return MQXI_SYS(SYS_read, fd, &packet, 1);
    r = move_byte(reader, &packet);
    mqxi_sys_close(reader);
    return r;
}

/* Whatever else may be in there; look again. */
static long take_all_away(int fd)
{
    static char waste[4096];

    for (int i = 0; i < TRIES && MQXI_SYS(SYS_read, fd, waste, sizeof(waste)) > 0; i++)
        ;
    return -EAGAIN;
}

static long room(const struct mqxi_queue *q)
{
    return (q->layout.maxmsg == 1 ? 1 : 2) * sysconf(_SC_PAGESIZE);
}

/* Give the FIFO its size.  That wakes everybody, too, even where it had it already. */
static void set_room(const struct mqxi_queue *q, int fd)
{
    mqxi_sys_fcntl(fd, F_SETPIPE_SZ, room(q));
}

/* One packet more or less, to come from what it shows to what it is to show. */
static long step(const struct mqxi_queue *q, int fd, unsigned have, unsigned want, bool edge)
{
    if (!(want & ~have & MQXI_CAN_RECEIVE) && !(have & ~want & MQXI_CAN_SEND))
        return take_away(q, fd, edge);
    if (want != BOTH && mqxi_sys_fcntl(fd, F_GETPIPE_SZ, 0) != room(q))
        set_room(q, fd); /* it has more to begin with */
    return add(fd);
}

/* Who gives up knows nothing of the FIFO.  At first a count more, since others may be about to write
 * what they found before. */
static int give_up(struct mqxi_queue *q, int r)
{
    atomic_fetch_add(&q->header->shown, BOTH + 1);
    atomic_fetch_and(&q->header->shown, ~BOTH);
    return r;
}

/*
 * Make the FIFO show what the queue is.  edge: with an edge for everybody.
 *
 * Who changed the FIFO looks at it again and then writes `shown`, with a new count, also where it
 * says so already: so nobody who looked before that change can write what he found then.  What was
 * written last is what the FIFO shows.
 */
static int adjust(struct mqxi_queue *q, int fd, bool edge)
{
    _Atomic uint32_t *shown = &q->header->shown;
    bool changed = false;

    for (int i = 0; i < TRIES; i++) {
        uint32_t before = atomic_load(shown);
        unsigned want = mqxi_readiness(q), have = mqxi_bell_shown(fd), now;

        if (have == 0)
            return give_up(q, -EIO);
        if (want && have != want) {
            /* Long before that it should be right, if it were our packets that are in it. */
            long r = i % 10 == 9 ? take_all_away(fd) : step(q, fd, have, want, edge);

            if (r < 0 && r != -EAGAIN)
                return give_up(q, (int)r);
            changed = true;
            edge = edge && r <= 0;
            /* Others were faster, or a step may not be enough: look again.  Not in the most
             * frequent case: who steps at the same time as we finds a new count. */
            if (r < 0 || have != MQXI_CAN_SEND || want != BOTH)
                continue;
        } else if (edge) {
            set_room(q, fd); /* who looks just then may see anything */
            changed = true;
            edge = false;
            continue;
        }
        /* Nothing: all that there is is on its way in or out, and who does that will be here, if
         * he finds that what is shown is not so: he must know what that is. */
        now = want ? want : have;
        if ((changed || (before & BOTH) != now) &&
            !atomic_compare_exchange_strong(shown, &before, (before & ~BOTH) + (BOTH + 1) + now))
            continue;
        changed = false;
        /* Who changes the queue now sees what is shown; what changed before, we see. */
        atomic_thread_fence(memory_order_seq_cst);
        if (mqxi_readiness(q) == want)
            return 0;
    }
    return give_up(q, -EAGAIN);
}

/* What is done with the FIFO open: make it show what the queue is; with an edge. */
struct errand {
    struct mqxi_queue *q;
    bool edge;
};

static long run(void *arg)
{
    const struct errand *e = arg;
    int fd = open_fifo(e->q, O_RDWR), r;

    if (fd < 0)
        return fd;
    r = adjust(e->q, fd, e->edge);
    if (e->edge && r < 0)
        set_room(e->q, fd);
    mqxi_sys_close(fd);
    return r;
}

int mqxi_bell_adjust(struct mqxi_queue *q)
{
    return (int)mqxi_spare_descriptor(run, &(struct errand){q, .edge = false});
}

/* --- ringing ---------------------------------------------------------------------------------- */

/* The machine's, the same for everybody: not what a time namespace or another library says. */
static uint32_t now_s(void)
{
    struct timespec t;

    MQXI_SYS(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &t);
    return (uint32_t)t.tv_sec;
}

static bool watched(const struct mqxi_queue *q)
{
    uint32_t until = atomic_load(&q->header->watched);

    return until == FOREVER || until >= now_s();
}

/* Does the FIFO show too little; or, where that matters, too much?  To take that back later would
 * be an edge, too. */
static bool wrong(struct mqxi_queue *q, uint32_t tells)
{
    unsigned shown = atomic_load(&q->header->shown) & BOTH, is;
    bool exact = tells & (MQXI_TELLS_EXACT | MQXI_TELLS_EDGES);

    if (shown == BOTH && !exact)
        return false;
    is = mqxi_readiness(q);
    return is & ~shown || (exact && is && is != shown);
}

/*
 * Nobody has polled for long: who changes the queue need not look here any more.  Who begins to
 * poll notes until when, and then looks at the bits; we clear the bits, and then look at that.  So
 * one of the two sees the other.  What was put or taken while they were clear, we show.
 */
static void disarm(struct mqxi_queue *q)
{
    atomic_fetch_and(&q->header->put_tells, ~MQXI_TELLS_POLLERS);
    atomic_fetch_and(&q->header->take_tells, ~MQXI_TELLS_POLLERS);
    if (!watched(q))
        return;
    atomic_fetch_or(&q->header->put_tells, MQXI_TELLS_POLLERS);
    atomic_fetch_or(&q->header->take_tells, MQXI_TELLS_POLLERS);
    mqxi_bell_adjust(q);
}

/* Where nothing is to be shown: is it to go on that one looks?  To ask each time costs too much. */
static bool now_and_then(void)
{
    static _Atomic uint32_t calls;
    uint32_t n = atomic_load_explicit(&calls, memory_order_relaxed) + 1;

    atomic_store_explicit(&calls, n, memory_order_relaxed);
    return n % 256 == 0;
}

void mqxi_bell_check(struct mqxi_queue *q)
{
    bool differs = wrong(q, atomic_load(&q->header->put_tells));

    if (!differs && !now_and_then())
        return;
    if (!watched(q))
        disarm(q);
    else if (differs)
        mqxi_bell_adjust(q);
}

void mqxi_bell_sync(struct mqxi_queue *q)
{
    uint32_t tells = atomic_load(&q->header->put_tells);

    /* As the kernel's queues: each change is an edge to everybody, whatever it is that became
     * possible. */
    if (tells & MQXI_TELLS_EDGES)
        mqxi_spare_descriptor(run, &(struct errand){q, .edge = true});
    else
        mqxi_bell_check(q);
}

static void set_bits(_Atomic uint32_t *tells, uint32_t bits)
{
    if ((atomic_load(tells) & bits) != bits)
        atomic_fetch_or(tells, bits);
}

/* Have everybody ring who changes the queue from now on, until this second. */
static void arm(struct mqxi_queue *q, uint32_t until, uint32_t tells)
{
    _Atomic uint32_t *watched_until = &q->header->watched;
    uint32_t before = atomic_load_explicit(watched_until, memory_order_relaxed);

    /* Not each time: the others read it.  More than it can be: the clock was set back. */
    while (before != FOREVER && (until == FOREVER || until - before > LEASE / 2) &&
           !atomic_compare_exchange_weak(watched_until, &before, until))
        ;
    set_bits(&q->header->put_tells, tells | MQXI_TELLS_POLLERS);
    set_bits(&q->header->take_tells, tells | MQXI_TELLS_POLLERS);
    /* Before any look at the queue. */
    atomic_thread_fence(memory_order_seq_cst);
}

/* Show what is, where something else is said to be shown. */
static int show(struct mqxi_queue *q)
{
    unsigned is = mqxi_readiness(q);

    return is == 0 || (atomic_load(&q->header->shown) & BOTH) == is ? 0 : mqxi_bell_adjust(q);
}

int mqxi_bell_arm(struct mqxi_queue *q)
{
    arm(q, now_s() + LEASE, 0);
    return show(q);
}

int mqxi_bell_watch(struct mqxi_queue *q, uint32_t tells)
{
    arm(q, FOREVER, tells);
    return show(q);
}

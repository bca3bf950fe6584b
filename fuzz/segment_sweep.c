/*
 * Every byte of a small segment, one after the other, is overwritten with each of
 * several values, and then all of the library works on the queue.  Nothing may
 * crash, hang, reach outside the segment (fence.c) or give another error than
 * -EBADMSG and -EIO.
 *
 * More is checked, since only one byte is wrong: what is derived (tree, bitmaps,
 * hints, counters) can be rebuilt, so after a repair all messages are there, in
 * their order; and a slot that is damaged costs no message but its own.
 *
 *     segment_sweep [SLOTS]   slot records to visit, spread; without it all
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "damage.h"
#include "durable.h"
#include "engine.h"
#include "fence.h"
#include "mqx.h"
#include "names.h"
#include "repair.h"
#include "snapshot.h"
#include "thread.h"

#define QUEUE  "sweep"
#define MOST   1200        /* messages */
#define LONGER 300         /* the longest message */
#define LARGE  (64u << 10) /* any that a damaged header may allow */

struct message {
    uint32_t prio, len;
    uint8_t bytes[LONGER];
};

/* The queue as it was before any damage. */
static struct {
    struct mqxi_queue *q;
    uint8_t *image; /* of the segment up to its overflow area */
    size_t size;
    char fifo[PATH_MAX];
    struct message message[MOST]; /* in the order in which they are received */
    unsigned count;
} good;

static struct { /* the case */
    uint64_t at;
    uint8_t value;
    const char *doing;
} now;
static uint64_t cases, slowest;
static const char *slowest_what = "";
static uint8_t buffer[LARGE];

/* --- telling ------------------------------------------------------------------------------- */

static void tell(const char *what, long got)
{
    fprintf(stderr, "%u x %u bytes, byte %lu = 0x%02x, %s: %s: %ld\n", good.q->layout.maxmsg,
            good.q->layout.msgsize, (unsigned long)now.at, now.value, now.doing, what, got);
}

static void must(bool ok, const char *what, long got)
{
    if (ok)
        return;
    tell(what, got);
    abort();
}

static void on_alarm(int signal)
{
    (void)signal;
    tell("hangs", 0);
    abort();
}

/* Of the processor's time: others use the machine, too. */
static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Do it, and see how long it takes. */
#define TIMED(what, operation)                                                                     \
    do {                                                                                           \
        uint64_t began_ = clock_ns(), took_;                                                       \
        now.doing = what;                                                                          \
        operation;                                                                                 \
        took_ = clock_ns() - began_;                                                               \
        if (took_ > slowest) {                                                                     \
            slowest = took_;                                                                       \
            slowest_what = what;                                                                   \
        }                                                                                          \
    } while (0)

/* --- all operations ------------------------------------------------------------------------ */

static int receive(struct mqxi_queue *q, struct message *out)
{
    struct mqxi_taken t;
    int r = mqxi_take(q, &t);

    if (r < 0)
        return r;
    must(t.slot < q->layout.maxmsg && t.len <= q->layout.msgsize && t.prio < MQXI_PRIO_MAX,
         "what was taken", t.slot);
    out->prio = t.prio;
    out->len = t.len;
    memcpy(out->bytes, t.data, t.len < LONGER ? t.len : LONGER);
    memcpy(buffer, t.data, t.len); /* all of it is there */
    return mqxi_take_commit(q, &t);
}

static void give_back(struct mqxi_queue *q)
{
    struct mqxi_taken t;
    int r = mqxi_take(q, &t);

    must(damage_may(r, -EAGAIN), "take", r);
    if (r == 0) {
        r = mqxi_take_abort(q, &t);
        must(damage_may(r, 0), "abort", r);
    }
}

static void count(struct mqxi_queue *q)
{
    const struct mqxi_layout *l = &q->layout;

    must(mqxi_count(q) <= l->maxmsg, "count", 0);
    must(mqxi_bytes(q) <= (uint64_t)l->maxmsg * l->msgsize, "bytes", 0);
}

/* As mqxd does. */
static void snapshot(struct mqxi_queue *q)
{
    uint32_t slots = mqxi_dirty_slots(q), words = mqxi_dirty_words(q);
    struct mqxi_snapshot s;

    must(slots <= q->layout.maxmsg, "slots", slots);
    mqxi_dirty_begin(q);
    for (uint32_t w = 0; w < words; w++)
        for (uint64_t marks = mqxi_dirty_take(q, w); marks; marks &= marks - 1)
            must(w * 64 + (uint32_t)__builtin_ctzll(marks) < q->layout.maxmsg, "dirty slot", w);
    for (uint32_t i = 0; i < slots; i++) {
        int r = mqxi_snapshot(q, i, &s, buffer);

        must(damage_may(r, -EAGAIN), "snapshot", r);
        must(r < 0 || s.key == 0 || s.len <= q->layout.msgsize, "length in a snapshot", s.len);
    }
}

static void repair(struct mqxi_queue *q)
{
    bool swept;
    int r = mqxi_repair_sometimes(q, &swept);

    must(damage_may(r, 0), "repair", r);
    r = mqxi_repair(q, NULL);
    must(damage_may(r, 0), "repair", r);
}

static void transfer(mqd_t mq, bool sync)
{
    static const struct timespec past = {.tv_sec = 1};
    char one = 1;
    ssize_t n;

    if (!sync) { /* which would wait for an mqxd */
        n = mqx_timedsend(mq, &one, 1, 3, &past) < 0 ? -errno : 0;
        must(damage_may(n, -ETIMEDOUT), "mq_timedsend", n);
    }
    n = mqx_timedreceive(mq, (char *)buffer, sizeof(buffer), NULL, &past);
    n = n < 0 ? -errno : 0;
    must(damage_may(n, -ETIMEDOUT), "mq_timedreceive", n);
}

static void posix(struct mqxi_queue *q)
{
    bool sync = atomic_load(&q->header->durable) == MQXI_DURABLE_SYNC;
    mqd_t mq = mqx_open("/" QUEUE, O_RDWR);
    struct mq_attr attr;
    int r = mq < 0 ? -errno : 0;

    must(damage_may_open(r, sync ? -ESRCH : 0), "mq_open", r);
    if (r < 0)
        return;
    r = mqx_getattr(mq, &attr);
    must(r == 0 && attr.mq_curmsgs >= 0 && attr.mq_curmsgs <= attr.mq_maxmsg, "mq_getattr", r);
    transfer(mq, sync);
    must(mqx_close(mq) == 0, "mq_close", errno);
}

static void send(struct mqxi_queue *q)
{
    uint64_t key = 0;
    uint32_t slot = 0;
    int r = mqxi_put(q, buffer, q->layout.msgsize, 7, 0, &slot, &key);

    must(damage_may(r, -EAGAIN), "put", r);
    if (r == 0)
        mqxi_durable_settled(q, slot, key);
}

static void everything(struct mqxi_queue *q)
{
    struct message m;
    int r = 0;

    TIMED("count", count(q));
    TIMED("take and give back", give_back(q));
    TIMED("receive", r = receive(q, &m));
    must(damage_may(r, -EAGAIN), "receive", r);
    TIMED("send", send(q));
    TIMED("snapshot", snapshot(q));
    for (unsigned i = 0; i < good.q->layout.maxmsg; i++) {
        TIMED("receive", r = receive(q, &m));
        must(damage_may(r, -EAGAIN), "receive", r);
    }
    TIMED("send", send(q));
    TIMED("repair", repair(q));
    TIMED("count", count(q));
}

/* --- what is left of the messages ----------------------------------------------------------------
 */

static bool equal(const struct message *a, const struct message *b)
{
    return a->prio == b->prio && a->len == b->len && a->len <= LONGER &&
           memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* Receive all: those that are expected, but for `lost` of them, in their order. */
static void drain(struct mqxi_queue *q, unsigned lost)
{
    unsigned at = 0, strange = 0, missing = 0, errors = 0;
    struct message m;
    int r;

    now.doing = "what is left";
    while ((r = receive(q, &m)) != -EAGAIN) {
        must(damage_may(r, 0) && errors <= 2, "receive", r);
        errors += r < 0;
        if (r < 0)
            continue;
        for (unsigned i = at; i < good.count; i++)
            if (equal(&m, &good.message[i])) {
                missing += i - at;
                at = i;
                break;
            }
        if (at < good.count && equal(&m, &good.message[at]))
            at++;
        else
            strange++;
    }
    missing += good.count - at;
    must(missing <= lost, "messages missing", missing);
    must(strange <= lost && errors <= lost, "messages damaged", strange);
}

/* How many messages this byte may cost.  -1: nothing is known of the queue any more. */
static int worth(const struct mqxi_layout *l, uint64_t at)
{
    if (at < offsetof(struct mqxi_header, mode))
        return 0; /* what the queue is: read before it is attached, and not after */
    if (at >= offsetof(struct mqxi_header, reserved) &&
        at < offsetof(struct mqxi_header, reserved) + sizeof(uint32_t))
        return -1;
    return (at >= l->ctl && at < l->used) || at >= l->slots;
}

/* --- the sweep ----------------------------------------------------------------------------- */

static struct mqxi_queue *damaged(void)
{
    struct mqxi_queue *q = NULL;
    int r;

    memcpy(good.q->header, good.image, good.size);
    ((uint8_t *)good.q->header)[now.at] = now.value;
    now.doing = "attach";
    r = mqxi_segment_attach(QUEUE, &q);
    must(damage_may(r, 0), "attach", r);
    return q;
}

static void rebuild(struct mqxi_queue *q, int lost)
{
    int r;

    now.doing = "repair";
    r = mqxi_repair(q, NULL);
    must(r == 0 || (lost < 0 && damage_may(r, 0)), "repair", r);
    if (lost >= 0)
        drain(q, (unsigned)lost);
    mqxi_segment_detach(q);
}

static void try_value(void)
{
    int lost = worth(&good.q->layout, now.at);
    struct mqxi_queue *q = damaged();
    unsigned token;

    cases++;
    alarm(60);
    if (!q)
        return;
    TIMED("mqueue.h", posix(q));
    token = mqxi_op_enter();
    everything(q);
    mqxi_segment_detach(q);
    q = damaged();
    if (q)
        rebuild(q, lost);
    mqxi_op_leave(token);
}

static void try_byte(uint64_t at)
{
    uint8_t was = good.image[at];
    const uint8_t values[] = {0x00, 0xff, was ^ 0x01, was ^ 0x80};

    now.at = at;
    for (unsigned i = 0; i < sizeof(values); i++) {
        bool again = values[i] == was;

        for (unsigned j = 0; j < i; j++)
            again = again || values[j] == values[i];
        now.value = values[i];
        if (!again)
            try_value();
    }
}

static int by_order(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* What the queue holds, by the keys in its control words. */
static void note_messages(void)
{
    struct mqxi_queue *q = good.q;
    uint64_t keys[MOST];
    struct mqxi_snapshot s;

    good.count = 0;
    for (uint32_t i = 0; i < q->layout.maxmsg; i++)
        if (mqxi_ctl_ready(atomic_load(&q->ctl[i])))
            keys[good.count++] = atomic_load(&q->ctl[i]);
    qsort(keys, good.count, sizeof(*keys), by_order);
    for (uint32_t i = 0; i < q->layout.maxmsg; i++) {
        uint64_t key = atomic_load(&q->ctl[i]);
        unsigned n = 0;

        while (n < good.count && keys[n] != key)
            n++;
        if (n == good.count)
            continue;
        must(mqxi_snapshot(q, i, &s, good.message[n].bytes) == 0, "an undamaged message", i);
        good.message[n].prio = mqxi_key_prio(key);
        good.message[n].len = s.len;
    }
}

/* Most slots are full; one is being filled and one being emptied by processes that died, and one in
 * the front was emptied. */
static void make(uint32_t maxmsg, uint32_t msgsize)
{
    const struct mqxi_attr attr = {maxmsg, msgsize, 0600, MQXI_DURABLE_ASYNC};
    const uint64_t dead = 1; /* the first holder of number 0 */
    struct message m;

    damage_make_bell();
    damage_fill(&attr, 0, QUEUE, good.fifo);
    damage_must(mqxi_segment_attach(QUEUE, &good.q) == 0, "attach", 0);
    for (uint32_t i = 0; i < maxmsg - (maxmsg > 8); i++) {
        uint32_t len = i % 3 == 2 ? msgsize : 1 + i % 8;

        memset(buffer, (int)i + 1, sizeof(buffer));
        must(mqxi_put(good.q, buffer, len, i * 7u % 5u, 0, NULL, NULL) == 0, "put", i);
    }
    must(receive(good.q, &m) == 0, "receive", 0);
    atomic_store(&good.q->ctl[maxmsg - 1], MQXI_CTL_FILLING | dead);
    note_messages();
    atomic_store(&good.q->ctl[1], MQXI_CTL_TAKING | dead);
    good.size = good.q->layout.overflow;
    good.image = malloc(good.size);
    must(good.image != NULL, "memory", 0);
    memcpy(good.image, good.q->header, good.size);
}

static void drop(void)
{
    mqxi_segment_detach(good.q);
    mqxi_segment_unlink(QUEUE);
    unlink(good.fifo);
    free(good.image);
}

static uint64_t try_bytes(uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++)
        try_byte(at);
    return to - from;
}

static void sweep(uint32_t maxmsg, uint32_t msgsize, uint32_t slots, bool tree_only)
{
    uint32_t step = slots && slots < maxmsg ? maxmsg / slots : 1;
    uint64_t before = cases, visited;
    const struct mqxi_layout *l;

    make(maxmsg, msgsize);
    l = &good.q->layout;
    visited = try_bytes(tree_only ? l->tree : 0, l->slots);
    for (uint32_t i = 0; i < maxmsg && !tree_only; i += step)
        visited +=
            try_bytes(l->slots + (uint64_t)i * l->stride, l->slots + (uint64_t)(i + 1) * l->stride);
    printf("%u x %u bytes, %u messages, tree of %u levels: %lu of %lu bytes, %lu cases\n", maxmsg,
           msgsize, good.count, l->levels, (unsigned long)visited,
           (unsigned long)(l->slots + (uint64_t)maxmsg * l->stride),
           (unsigned long)(cases - before));
    fflush(stdout);
    drop();
}

int main(int argc, char **argv)
{
    uint32_t slots = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;

    damage_must(getenv("MQX_DIR") != NULL, "MQX_DIR is not set", 0);
    damage_must(mqxi_dirs_make() == 0, "directories in MQX_DIR", errno);
    signal(SIGALRM, on_alarm);
    sweep(3, 200, slots, false);  /* scanned, some in overflow areas */
    sweep(100, 16, slots, false); /* a tree of two levels */
    if (!slots)
        sweep(1200, 16, 0, true); /* of three */
    printf("slowest: %s, %lu us of processor time\n", slowest_what,
           (unsigned long)(slowest / 1000));
    damage_must(fence_count() == 0, "segments that are still mapped", fence_count());
    return 0;
}

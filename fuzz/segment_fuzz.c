/*
 * Shared memory is input: a valid segment with messages in it is damaged as
 * the fuzzer says, before it is attached and while it is, and everything that
 * reads segments works on it.  It may say -EBADMSG, -EIO, or find fewer or
 * other messages; it must not crash, hang, hand out memory outside the
 * segment, or return anything that its header does not promise.
 *
 * Input: shape, messages, number of damages, damages, then operations until
 * the end.  A damage is region, offset (2 bytes), kind, value.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"
#include "names.h"
#include "repair.h"
#include "segment.h"
#include "snapshot.h"
#include "thread.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
};

static uint64_t eat(struct input *in, size_t bytes)
{
    uint64_t value = 0;

    if (bytes > in->left)
        bytes = in->left;
    memcpy(&value, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
    return value;
}

static void must(int ok, const char *what, long got)
{
    if (ok)
        return;
    fprintf(stderr, "segment_fuzz: %s: %ld\n", what, got);
    abort();
}

static int promised(long r, int extra)
{
    return r == 0 || r == -EBADMSG || r == -EIO || (extra && r == extra);
}

/* MQX_DIR is a directory of this process's own: scripts/fuzz.sh makes and removes it. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    must(getenv("MQX_DIR") != NULL, "MQX_DIR is not set; run scripts/fuzz.sh", 0);
    return 0;
}

/* One of the shapes that differ in code: tree or not, overflow or not. */
static struct mqxi_attr shape(uint8_t which)
{
    static const uint32_t maxmsg[] = {1, 8, 64, 65, 300, 5000};
    static const uint32_t msgsize[] = {1, MQXI_INLINE, MQXI_INLINE + 1, 9000};

    return (struct mqxi_attr){
        .maxmsg = maxmsg[which % 6],
        .msgsize = msgsize[which / 6 % 4],
        .mode = 0600,
        .durable = (enum mqxi_durable)(which / 24 % 3),
    };
}

static uint8_t message[MQXI_PAGE * 4];

static void fill(struct mqxi_queue *q, unsigned messages)
{
    for (unsigned i = 0; i < messages; i++) {
        uint32_t len = i * 97u % (q->layout.msgsize + 1);
        int r = mqxi_put(q, message, len, i * 31u % 5u, 0, NULL, NULL);

        must(r == 0 || r == -EAGAIN, "put into an undamaged queue", r);
    }
}

/* Where in the segment: a region, and an offset in it. */
static uint64_t place(const struct mqxi_layout *l, struct input *in)
{
    const uint64_t regions[] = {0,       l->ctl,   l->used,     l->dirty,
                                l->tree, l->slots, l->overflow, l->size};
    unsigned region = eat(in, 1) % 7;
    uint64_t offset = eat(in, 2), length = regions[region + 1] - regions[region];

    return length ? regions[region] + offset % length : offset % l->size;
}

/* Eight bytes to put there: anything, or what is likely to mean something. */
static uint64_t value(struct mqxi_queue *q, struct input *in)
{
    const uint64_t telling[] = {0,
                                1,
                                UINT64_MAX,
                                MQXI_CTL_FILLING | 1,
                                MQXI_CTL_TAKING | (1ull << MQXI_GEN_BITS) | 1,
                                MQXI_CTL_STATE | MQXI_CTL_OWNED,
                                MQXI_SEQ_MAX,
                                INT64_MAX,
                                q->layout.maxmsg,
                                q->layout.msgsize + 1ull};
    unsigned kind = (unsigned)eat(in, 1) % 16;
    uint64_t v = 0;

    if (kind < 10)
        return telling[kind];
    if (kind < 13) /* a word from elsewhere in the segment */
        memcpy(&v, (uint8_t *)q->header + place(&q->layout, in) / 8 % (q->layout.size / 8) * 8, 8);
    else
        v = eat(in, 8);
    return v;
}

static void damage(struct mqxi_queue *q, struct input *in)
{
    uint64_t at = place(&q->layout, in), v = value(q, in);

    /* An aligned word, or some bytes anywhere. */
    if (at + 8 > q->layout.size)
        at = q->layout.size - 8;
    memcpy((uint8_t *)q->header + at, &v, 8);
}

static void check_taken(const struct mqxi_queue *q, const struct mqxi_taken *t)
{
    const uint8_t *start = (const uint8_t *)q->header, *end = start + q->layout.size;

    must(t->slot < q->layout.maxmsg, "slot taken", t->slot);
    must(t->len <= q->layout.msgsize, "length taken", t->len);
    must(t->prio < MQXI_PRIO_MAX, "priority taken", t->prio);
    must(t->data >= start && t->data <= end && t->len <= (size_t)(end - t->data), "data taken", 0);
    memcpy(message, t->data, t->len);
}

static void take(struct mqxi_queue *q,
                 int (*finish)(struct mqxi_queue *, const struct mqxi_taken *), struct input *in)
{
    struct mqxi_taken t;
    int r = mqxi_take(q, &t);

    must(promised(r, -EAGAIN), "take", r);
    if (r != 0)
        return;
    check_taken(q, &t);
    if (eat(in, 1) % 4 == 0)
        damage(q, in);
    r = finish(q, &t);
    must(promised(r, 0), "commit or abort", r);
}

/* What mqxd reads. */
static void snapshot(struct mqxi_queue *q, struct input *in)
{
    struct mqxi_snapshot s;
    uint32_t words = mqxi_dirty_words(q), slots = mqxi_dirty_slots(q), slot;
    int r;

    must(slots <= q->layout.maxmsg, "slots", slots);
    if (slots == 0)
        return;
    mqxi_dirty_begin(q);
    for (uint32_t i = 0; i < words; i++)
        mqxi_dirty_take(q, i);
    slot = (uint32_t)eat(in, 2) % slots;
    r = mqxi_snapshot(q, slot, &s, message);
    must(promised(r, -EAGAIN), "snapshot", r);
    must(r != 0 || s.key == 0 || s.len <= q->layout.msgsize, "length of a snapshot", s.len);
}

static void truncate_file(void)
{
    char path[PATH_MAX];

    mqxi_path(MQXI_QUEUES, "fuzz", path);
    must(truncate(path, 0) == 0, "truncate", errno);
}

static void operate(struct mqxi_queue *q, struct input *in)
{
    uint32_t n;
    bool claims;
    int r;

    switch (eat(in, 1) % 16) {
    case 0:
    case 1:
    case 2:
        r = mqxi_put(q, message, (uint32_t)eat(in, 2) % (q->layout.msgsize + 1),
                     (uint32_t)eat(in, 2) % MQXI_PRIO_MAX, 0, NULL, NULL);
        must(promised(r, -EAGAIN) || r == -ENOSPC, "put", r);
        break;
    case 4:
    case 5:
    case 6:
        take(q, mqxi_take_commit, in);
        break;
    case 7:
        take(q, mqxi_take_abort, in);
        break;
    case 9:
        n = mqxi_count(q);
        must(n <= q->layout.maxmsg, "count", n);
        break;
    case 10:
        must(mqxi_bytes(q) <= (uint64_t)q->layout.maxmsg * q->layout.msgsize, "bytes", 0);
        break;
    case 11:
        r = mqxi_repair(q, &claims);
        must(promised(r, 0), "repair", r);
        break;
    case 12:
        snapshot(q, in);
        break;
    case 13:
        if (eat(in, 1) == 77) /* seldom: nothing much happens afterwards */
            truncate_file();
        break;
    default:
        damage(q, in);
    }
}

/* A queue as it should be, then damaged.  fifo: PATH_MAX bytes, its FIFO's path. */
static void prepare(struct input *in, char *fifo)
{
    struct mqxi_attr attr = shape((uint8_t)eat(in, 1));
    struct mqxi_unborn unborn;
    int r = mqxi_segment_build(&attr, &unborn);

    must(r == 0, "build", r);
    fill(unborn.queue, (unsigned)eat(in, 1));
    r = mqxi_segment_link(&unborn, "fuzz");
    must(r == 0, "link", r);
    for (unsigned n = eat(in, 1) % 16; n > 0; n--)
        damage(unborn.queue, in);
    mqxi_segment_finish(&unborn, true);
    mqxi_segment_fifo(unborn.queue, fifo);
    mqxi_segment_detach(unborn.queue);
}

/* A durable queue's segment waits for mqxd, which does not come. */
static int forget(const char *name, void *arg)
{
    char path[PATH_MAX];

    (void)arg;
    mqxi_path(MQXI_QUEUES, name, path);
    return unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    char fifo[PATH_MAX];
    struct mqxi_queue *q;
    unsigned token;
    int r;

    prepare(&in, fifo);
    r = mqxi_segment_attach("fuzz", &q);
    must(r == 0 || r == -EBADMSG, "attach", r);
    if (r == 0) {
        token = mqxi_op_enter();
        while (in.left > 0)
            operate(q, &in);
        mqxi_op_leave(token);
        mqxi_segment_detach(q);
    }
    unlink(fifo);
    mqxi_segment_list(forget, NULL);
    return 0;
}

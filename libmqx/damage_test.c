/*
 * A damaged segment gives errors: never a crash, a hang, or a write outside
 * it.  Bytes are changed anywhere in a queue that was used, and every
 * operation is tried.
 */
#include "client.h"
#include "engine.h"
#include "guard.h"
#include "repair.h"
#include "testing.h"

struct shape {
    uint32_t maxmsg, msgsize;
};
static const struct shape shapes[] = {{1, 16},   {10, 8192}, {64, 160},
                                      {65, 161}, {300, 500}, {2000, 9000}};
#define SHAPES (sizeof(shapes) / sizeof(*shapes))

enum { SEEDS = SANITIZED ? 2 : 4, OPERATIONS = 60 };

static uint64_t slowest; /* ns */

static uint64_t monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void allowed(const char *what, int r, uint64_t began)
{
    uint64_t took = monotonic() - began;

    if (r != 0 && r != -EAGAIN && r != -EBADMSG && r != -EIO && r != -ENOSPC)
        FAIL("%s returned %d", what, r);
    slowest = took > slowest ? took : slowest;
}
#define ALLOWED(operation)                                                                         \
    do {                                                                                           \
        uint64_t began_ = monotonic();                                                             \
        allowed(#operation, operation, began_);                                                    \
    } while (0)

static uint8_t data[9000]; /* what is sent, and where to what was received is copied */

static int put_something(struct mqxi_queue *q, uint64_t *random)
{
    return mqxi_put(q, data, below(random, q->layout.msgsize + 1), below(random, 5), 0, NULL, NULL);
}

static int take_something(struct mqxi_queue *q, uint64_t *random)
{
    struct mqxi_taken t;
    int r = mqxi_take(q, &t);

    if (r < 0)
        return r;
    CHECK(t.len <= q->layout.msgsize && t.slot < q->layout.maxmsg && t.prio < MQXI_PRIO_MAX);
    memcpy(data, t.data, t.len); /* all of it is there */
    return below(random, 4) ? mqxi_take_commit(q, &t) : mqxi_take_abort(q, &t);
}

static int try_one(struct mqxi_queue *q, uint64_t *random)
{
    bool swept;

    switch (below(random, 9)) {
    case 0:
        CHECK(mqxi_count(q) <= q->layout.maxmsg);
        return 0;
    case 1:
        CHECK(mqxi_bytes(q) <= (uint64_t)q->layout.maxmsg * q->layout.msgsize);
        return 0;
    case 2:
        return mqxi_repair(q, NULL);
    case 3:
        return mqxi_repair_sometimes(q, &swept);
    case 4:
    case 5:
    case 6:
        return put_something(q, random);
    default:
        return take_something(q, random);
    }
}

static void use(struct mqxi_queue *q, uint64_t *random)
{
    for (int i = 0; i < OPERATIONS; i++)
        ALLOWED(try_one(q, random));
}

/* Move the mapping between fences that cannot be touched, wide enough for any slot number. */
#define FENCE ((size_t)1 << 36)

static void fence(struct mqxi_queue *q)
{
    size_t size = (q->layout.size + MQXI_PAGE - 1) / MQXI_PAGE * MQXI_PAGE;
    uint8_t *old = (uint8_t *)q->header, *new;

    new =
        mmap(NULL, size + 2 * FENCE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(new != MAP_FAILED);
    new += FENCE;
    mqxi_guard_remove(q);
    CHECK(mremap(old, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, new) == new);
    q->header = (struct mqxi_header *)new;
    q->ctl = (_Atomic uint64_t *)(new + q->layout.ctl);
    q->used = (_Atomic uint64_t *)(new + q->layout.used);
    q->dirty = (_Atomic uint64_t *)(new + q->layout.dirty);
    q->slots = new + q->layout.slots;
    q->overflow = new + q->layout.overflow;
    mqxi_guard_add(q);
}

static void drop_fenced(struct mqxi_queue *q)
{
    uint8_t *start = (uint8_t *)q->header - FENCE;
    size_t size = (q->layout.size + MQXI_PAGE - 1) / MQXI_PAGE * MQXI_PAGE;

    mqxi_segment_detach(q);
    munmap(start, size + 2 * FENCE);
}

/* A queue that has been used, about half full. */
static struct mqxi_queue *make(const struct shape *shape, uint64_t *random)
{
    struct mqxi_queue *q = create("q", shape->maxmsg, shape->msgsize);
    uint32_t taken = 0;

    fence(q);
    for (uint32_t i = 0; i < shape->maxmsg; i++)
        IS(put_something(q, random), 0);
    while (taken < 2 * shape->maxmsg / 3) { /* some are given back */
        IS(take_something(q, random), 0);
        taken++;
    }
    return q;
}

/* Where damage hurts: the message bytes themselves are nobody's business, and the start of the
 * header is checked when attaching. */
static uint64_t somewhere(const struct mqxi_layout *l, uint64_t *random)
{
    const uint64_t edges[] = {128, l->ctl, l->used, l->dirty, l->tree, l->slots, l->overflow};
    uint32_t i;

    do
        i = below(random, 6);
    while (edges[i] >= edges[i + 1]);
    return edges[i] + next_random(random) % (edges[i + 1] - edges[i]);
}

/* Random bytes are rarely plausible; words from elsewhere and small numbers are more dangerous. */
static void damage(struct mqxi_queue *q, uint64_t *random)
{
    uint64_t at = somewhere(&q->layout, random), from = somewhere(&q->layout, random);
    volatile uint8_t *byte = (uint8_t *)q->header + at;
    volatile uint64_t *word = (uint64_t *)q->header + at / 8;
    int error;

    switch (below(random, 6)) {
    case 0:
        *word = ((uint64_t *)q->header)[from / 8];
        break;
    case 1:
        *word = below(random, 2 * q->layout.maxmsg);
        break;
    case 2:
        *word = UINT64_MAX;
        break;
    case 3:
        *word = (below(random, 2) ? MQXI_CTL_TAKING : MQXI_CTL_FILLING) |
                (below(random, 2) ? mqxi_client_self(q->uid, &error)->owner : below(random, 9));
        break;
    default:
        *byte = (uint8_t)next_random(random);
    }
}

static void damaged(uint32_t places)
{
    for (unsigned s = 0; s < SHAPES; s++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            uint64_t random = seed * 1000 + s * 100 + places;
            struct mqxi_queue *q = make(&shapes[s], &random);

            for (int round = 0; round < 3; round++) {
                for (uint32_t i = 0; i < places; i++)
                    damage(q, &random);
                use(q, &random);
            }
            drop_fenced(q);
            IS(mqxi_segment_unlink("q"), 0);
        }
    printf("slowest operation: %lu ms\n", (unsigned long)(slowest / 1000000));
}

static void a_place(void)
{
    damaged(1);
}

static void some_places(void)
{
    damaged(30);
}

static void many_places(void)
{
    damaged(3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_place),
        UNIT(some_places),
        UNIT(many_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

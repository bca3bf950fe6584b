/*
 * The tree of minima (an f-array): leaves are control words, a node holds the
 * smallest ready key below it, with its slot.  Nodes are changed only by
 * 16-byte compare-and-swap, and every change bumps the node's version: a
 * process that was stopped between reading a node's children and swapping in
 * their minimum fails, whatever happened meanwhile.
 *
 * Who publishes or removes a key walks from its leaf to the root and repeats
 * each level until its own swap succeeds; giving up earlier hides messages.
 * A node may show a key that was taken meanwhile (a ghost); who meets one at
 * the root refreshes that slot's path.
 */
#include "index.h"

#include <errno.h>

#include "least.h"

__extension__ typedef unsigned __int128 pair_t __attribute__((may_alias));

struct value {
    uint64_t key, where;
};

static struct mqxi_node *node_at(const struct mqxi_queue *q, unsigned level, uint32_t n)
{
    return (struct mqxi_node *)((uint8_t *)q->header + q->layout.level[level]) + n;
}

/* Both halves of a node as they were at one moment: every change moves `where`. */
static int read_node(struct mqxi_node *node, struct value *out)
{
    for (int i = 0; i < MQXI_TRIES; i++) {
        out->where = atomic_load_explicit(&node->where, memory_order_acquire);
        out->key = atomic_load_explicit(&node->key, memory_order_acquire);
        if (atomic_load_explicit(&node->where, memory_order_acquire) == out->where)
            return 0;
    }
    return -EBADMSG;
}

/* The thread sanitizer would replace the instruction by a lock of this process alone, which the
 * atomic operations on the halves do not take; clang's does so in spite of no_sanitize. */
#if defined(__clang__) && defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
__attribute__((disable_sanitizer_instrumentation))
#endif
#endif
__attribute__((no_sanitize("thread"))) static bool
swap_node(struct mqxi_node *node, struct value from, uint64_t key, uint32_t slot)
{
    uint64_t version = (from.where >> MQXI_NODE_SLOT_BITS) + 1;
    uint64_t where = version << MQXI_NODE_SLOT_BITS | slot;

    /* key is the lower half: see struct mqxi_node; big-endian machines have it the other way. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __sync_bool_compare_and_swap((pair_t *)node, (pair_t)from.where << 64 | from.key,
                                        (pair_t)where << 64 | key);
#else
    return __sync_bool_compare_and_swap((pair_t *)node, (pair_t)from.key << 64 | from.where,
                                        (pair_t)key << 64 | where);
#endif
}

static uint32_t node_slot(uint64_t where)
{
    return (uint32_t)(where & ((1u << MQXI_NODE_SLOT_BITS) - 1));
}

/* The smallest ready key among the control words below leaf node n. */
static int leaf_minimum(const struct mqxi_queue *q, uint32_t n, struct mqxi_first *first)
{
    uint32_t from = q->layout.front + n * MQXI_FANOUT, count = q->layout.maxmsg - from;

    if (count > MQXI_FANOUT)
        count = MQXI_FANOUT;
    for (int i = 0; i < MQXI_TRIES; i++) {
        uint64_t least = mqxi_least(&q->ctl[from], count, 1);
        uint32_t at;

        *first = (struct mqxi_first){0, 0};
        if (!mqxi_least_is_key(least))
            return 0;
        at = mqxi_least_where(&q->ctl[from], count, 1, least);
        *first = (struct mqxi_first){least + 1, from + at};
        if (at < count) /* else it was taken meanwhile */
            return 0;
    }
    return -EBADMSG;
}

/* The smallest key among the child nodes of node n of a higher level: first the keys alone, then
 * the whole of the smallest. */
static int inner_minimum(const struct mqxi_queue *q, unsigned level, uint32_t n,
                         struct mqxi_first *first)
{
    uint32_t from = n * MQXI_FANOUT, count = q->layout.nodes[level - 1] - from;
    struct mqxi_node *child = node_at(q, level - 1, from);
    const uint32_t stride = sizeof(*child) / sizeof(child->key);

    if (count > MQXI_FANOUT)
        count = MQXI_FANOUT;
    for (int i = 0; i < MQXI_TRIES; i++) {
        uint64_t least = mqxi_least(&child->key, count, stride);
        uint32_t at;
        struct value v;

        *first = (struct mqxi_first){0, 0};
        if (least == UINT64_MAX)
            return 0;
        at = mqxi_least_where(&child->key, count, stride, least);
        if (at == count)
            continue;
        if (read_node(&child[at], &v) < 0)
            return -EBADMSG;
        *first = (struct mqxi_first){v.key, node_slot(v.where)};
        if (v.key == least + 1) /* else it was changed in between, and may not be the smallest */
            return 0;
    }
    return -EBADMSG;
}

static int minimum(const struct mqxi_queue *q, unsigned level, uint32_t n, struct mqxi_first *first)
{
    if (level > 0)
        return inner_minimum(q, level, n, first);
    return leaf_minimum(q, n, first);
}

int mqxi_index_first(const struct mqxi_queue *q, struct mqxi_first *out)
{
    struct value v;
    int r = read_node(node_at(q, q->layout.levels - 1, 0), &v);

    if (r < 0)
        return r;
    *out = (struct mqxi_first){v.key, node_slot(v.where)};
    if (out->key && (!mqxi_ctl_ready(out->key) || out->slot < q->layout.front ||
                     out->slot >= q->layout.maxmsg))
        return -EBADMSG;
    return 0;
}

static int refresh_node(struct mqxi_queue *q, unsigned level, uint32_t n)
{
    struct mqxi_node *node = node_at(q, level, n);

    for (int i = 0; i < MQXI_TRIES; i++) {
        struct mqxi_first first;
        struct value old;

        /* The node before its children: a change of a child that we do not see is followed by a
         * swap of this node that makes ours fail. */
        if (read_node(node, &old) < 0 || minimum(q, level, n, &first) < 0)
            return -EBADMSG;
        if (swap_node(node, old, first.key, first.slot))
            return 0;
    }
    return -EBADMSG;
}

int mqxi_index_refresh(struct mqxi_queue *q, uint32_t slot)
{
    uint32_t n = (slot - q->layout.front) / MQXI_FANOUT;
    int r = 0;

    for (unsigned level = 0; r == 0 && level < q->layout.levels; level++, n /= MQXI_FANOUT)
        r = refresh_node(q, level, n);
    return r;
}

static int insert_into_node(struct mqxi_queue *q, unsigned level, uint32_t n, uint32_t slot,
                            uint64_t key)
{
    const uint64_t one = UINT64_C(1) << MQXI_NODE_SLOT_BITS;
    struct mqxi_node *node = node_at(q, level, n);
    bool bumped = false;

    for (int i = 0; i < MQXI_TRIES; i++) {
        struct value old;

        if (read_node(node, &old) < 0)
            return -EBADMSG;
        if (old.key - 1 > key - 1) {
            if (swap_node(node, old, key, slot))
                return 0;
            continue;
        }
        /* A smaller key stands there.  The version moves all the same: a stalled refresh that has
         * not seen our key would otherwise swap its older minimum in later.  Once is enough: a
         * refresh that begins after our bump sees our key, so all that is left to know is that
         * the node shows at most our key at some moment after it.  (Bumping again each time, two
         * inserters in step would keep each other busy for ever.) */
        if (bumped)
            return 0;
        bumped = true;
        if (atomic_fetch_add_explicit(&node->where, one, memory_order_acq_rel) == old.where)
            return 0;
    }
    return -EBADMSG;
}

int mqxi_index_insert(struct mqxi_queue *q, uint32_t slot, uint64_t key)
{
    uint32_t n = (slot - q->layout.front) / MQXI_FANOUT;
    int r = 0;

    for (unsigned level = 0; r == 0 && level < q->layout.levels; level++, n /= MQXI_FANOUT)
        r = insert_into_node(q, level, n, slot, key);
    return r;
}

int mqxi_index_check(struct mqxi_queue *q, uint32_t slots)
{
    uint32_t below = slots - q->layout.front; /* things of the level below that were ever used */

    for (unsigned level = 0; level < q->layout.levels; level++) {
        below = (below + MQXI_FANOUT - 1) / MQXI_FANOUT;
        for (uint32_t n = 0; n < below; n++) {
            struct mqxi_first first;
            struct value v;

            if (read_node(node_at(q, level, n), &v) < 0 || minimum(q, level, n, &first) < 0)
                return -EBADMSG;
            /* Each level in turn, up to the root, so what is mended below goes on upwards. */
            if ((first.key != v.key || (v.key && first.slot != node_slot(v.where))) &&
                refresh_node(q, level, n) < 0)
                return -EBADMSG;
        }
    }
    return 0;
}

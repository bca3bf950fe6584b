/*
 * Pages of a segment, which is a sparse file: they are made to exist before they are
 * touched, so that a full tmpfs is an error and no signal, and given back when what was
 * in them is consumed.
 */
#include "segment.h"

#include <sys/mman.h>

#include "guard.h"
#include "sys.h"

/* Slots whose overflow pages stay for the next message, and how much of them: what a busy queue
 * uses again at once.  Beyond that, memory follows what is queued. */
#define KEEP_SLOTS MQXI_FRONT
#define KEEP_BYTES (64u << 10)

/* Make the pages exist that hold these bytes of the segment. */
static int populate(struct mqxi_queue *q, uint64_t from, uint64_t to)
{
    from = from / MQXI_PAGE * MQXI_PAGE;
    to = (to + MQXI_PAGE - 1) / MQXI_PAGE * MQXI_PAGE;
    if (to > q->layout.size) /* no queue with overflow: the last page is not whole */
        to = q->layout.size;
    return mqxi_guard_populate((uint8_t *)q->header + from, to - from);
}

/* Everything that belongs to the slots from (a multiple of MQXI_FRONT) .. to - 1. */
static int populate_slots(struct mqxi_queue *q, uint32_t from, uint32_t to)
{
    const struct mqxi_layout *l = &q->layout;
    int r = populate(q, l->ctl + from * 8ull, l->ctl + to * 8ull);

    if (r == 0)
        r = populate(q, l->used + from / 8, l->used + to / 8 + 8);
    if (r == 0)
        r = populate(q, l->dirty + from / 8, l->dirty + to / 8 + 8);
    if (r == 0)
        r = populate(q, l->slots + (uint64_t)from * l->stride, l->slots + (uint64_t)to * l->stride);
    if (r == 0 && l->types)
        r = populate(q, l->types + from * 8ull, l->types + to * 8ull);
    if (r == 0 && l->levels > 0) /* receivers look at the root, also while the tree is not used */
        r = populate(q, l->level[l->levels - 1],
                     l->level[l->levels - 1] + sizeof(struct mqxi_node));
    for (uint32_t i = 0, below = MQXI_FANOUT; r == 0 && to > l->front && i < l->levels; i++) {
        /* Whole groups of siblings: a refresh reads all children of a node. */
        uint64_t a = from > l->front ? (from - l->front) / below : 0;
        uint64_t b = ((to - l->front - 1) / below / MQXI_FANOUT + 1) * MQXI_FANOUT;

        if (b > l->nodes[i])
            b = l->nodes[i];
        r = populate(q, l->level[i] + a * sizeof(struct mqxi_node),
                     l->level[i] + b * sizeof(struct mqxi_node));
        below = below > UINT32_MAX / MQXI_FANOUT ? UINT32_MAX : below * MQXI_FANOUT;
    }
    return r;
}

int mqxi_segment_reserve(struct mqxi_queue *q, uint32_t slot)
{
    _Atomic uint32_t *reserved = &q->header->reserved;
    uint32_t have = atomic_load_explicit(reserved, memory_order_acquire), want, step;
    int r;

    if (slot < have)
        return 0;
    /* In steps, so that a growing queue makes few system calls and wastes little memory. */
    step = have / 4 / MQXI_FRONT * MQXI_FRONT;
    step = step < MQXI_FRONT ? MQXI_FRONT : step > 1024 ? 1024 : step;
    want = slot - slot % MQXI_FRONT + step;
    if (want > q->layout.maxmsg)
        want = q->layout.maxmsg;
    r = populate_slots(q, have - have % MQXI_FRONT, want);
    if (r < 0 && step > MQXI_FRONT && slot + 1 < want) { /* nearly full: as little as will do */
        want = slot - slot % MQXI_FRONT + MQXI_FRONT;
        want = want > q->layout.maxmsg ? q->layout.maxmsg : want;
        r = populate_slots(q, have - have % MQXI_FRONT, want);
    }
    if (r < 0)
        return r;
    /* Release: who sees the new value may touch the pages. */
    while (have < want && !atomic_compare_exchange_weak(reserved, &have, want))
        ;
    return 0;
}

int mqxi_segment_reserve_overflow(struct mqxi_queue *q, uint32_t slot, uint32_t len)
{
    struct mqxi_slot *s = mqxi_slot(q, slot);
    uint32_t want = (len + MQXI_PAGE - 1) / MQXI_PAGE * MQXI_PAGE;
    int r;

    if (want <= s->room)
        return 0;
    r = mqxi_guard_populate(q->overflow + slot * q->layout.room, want);
    if (r == 0)
        s->room = want;
    else /* what room there was went to this message, which will not be */
        mqxi_segment_trim_overflow(q, slot);
    return r;
}

bool mqxi_segment_keeps_overflow(const struct mqxi_queue *q, uint32_t slot)
{
    uint32_t room = mqxi_slot(q, slot)->room;

    return room == 0 || (slot < KEEP_SLOTS && room <= KEEP_BYTES);
}

void mqxi_segment_trim_overflow(struct mqxi_queue *q, uint32_t slot)
{
    struct mqxi_slot *s = mqxi_slot(q, slot);

    if (q->layout.room == 0)
        return;
    /* First the note, then the deed: a process killed in between leaves pages that nobody counts,
     * not a count of pages that are not there. */
    *(volatile uint32_t *)&s->room = 0;
    atomic_thread_fence(memory_order_seq_cst);
    MQXI_SYS(SYS_madvise, q->overflow + slot * q->layout.room, q->layout.room, MADV_REMOVE);
}

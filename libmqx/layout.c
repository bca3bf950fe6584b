/*
 * The geometry of a segment.  It follows from the number of slots and the
 * size of a message alone, so that a process computes its own copy when it
 * attaches and never follows an offset that another process could change.
 */
#include "layout.h"

#include <errno.h>

/* Keeps regions that different processes write on different cache line pairs. */
#define REGION 128u

static uint64_t round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Leaves are control words; each level has a node for MQXI_FANOUT things of the level below. */
static uint64_t place_tree(struct mqxi_layout *l, uint64_t at)
{
    uint32_t below = l->maxmsg - l->front;

    l->tree = at;
    l->levels = 0;
    while (below > 0 && (l->levels == 0 || below > 1)) {
        uint32_t nodes = (below + MQXI_FANOUT - 1) / MQXI_FANOUT;

        l->level[l->levels] = at;
        l->nodes[l->levels++] = nodes;
        at = round_up(at + (uint64_t)nodes * sizeof(struct mqxi_node), REGION);
        below = nodes;
    }
    return at;
}

/* head: bytes before each message in its slot. */
static int place(uint32_t maxmsg, uint32_t msgsize, uint32_t head, struct mqxi_layout *l)
{
    uint64_t at = sizeof(struct mqxi_header);
    uint32_t inlined = MQXI_INLINE - head, in_slot = head + (msgsize < inlined ? msgsize : inlined);

    if (maxmsg == 0 || maxmsg > MQXI_MAXMSG_MAX || msgsize == 0 || msgsize > MQXI_MSGSIZE_MAX)
        return -EINVAL;
    *l = (struct mqxi_layout){
        .maxmsg = maxmsg, .msgsize = msgsize, .inlined = inlined, .head = head};
    l->type_at = head ? offsetof(struct mqxi_slot, data) : offsetof(struct mqxi_slot, type);
    l->front = maxmsg < MQXI_FRONT ? maxmsg : MQXI_FRONT;
    l->stride = (uint32_t)round_up(sizeof(struct mqxi_slot) + in_slot, 64);
    l->words = (maxmsg + 63) / 64;

    l->ctl = at;
    at = round_up(at + (uint64_t)maxmsg * sizeof(uint64_t), REGION);
    l->used = at;
    at = round_up(at + (uint64_t)l->words * sizeof(uint64_t), REGION);
    l->dirty = at;
    at = round_up(at + (uint64_t)l->words * sizeof(uint64_t), REGION);
    at = place_tree(l, at);
    l->slots = at;
    at = round_up(at + (uint64_t)maxmsg * l->stride, MQXI_PAGE);
    l->overflow = at;
    l->room = msgsize > inlined ? round_up(msgsize, MQXI_PAGE) : 0;
    l->size = at + maxmsg * l->room;
    return 0;
}

int mqxi_layout(uint32_t maxmsg, uint32_t msgsize, struct mqxi_layout *l)
{
    return place(maxmsg, msgsize, 0, l);
}

int mqxi_layout_of(uint32_t kind, uint32_t maxmsg, uint32_t msgsize, struct mqxi_layout *l)
{
    int r;

    if (kind == MQXI_KIND_POSIX)
        return mqxi_layout(maxmsg, msgsize, l);
    if (kind != MQXI_KIND_SYSV)
        return -EINVAL;
    r = place(maxmsg, msgsize, sizeof(int64_t), l);
    if (r < 0)
        return r;
    l->types = round_up(l->size, MQXI_PAGE);
    l->size = l->types + (uint64_t)maxmsg * sizeof(int64_t);
    return 0;
}

uint64_t mqxi_fingerprint(void)
{
    const uint64_t facts[] = {
        sizeof(struct mqxi_header),
        sizeof(struct mqxi_slot),
        sizeof(struct mqxi_node),
        offsetof(struct mqxi_header, registry),
        offsetof(struct mqxi_header, mode),
        offsetof(struct mqxi_header, sequence),
        offsetof(struct mqxi_header, recv_event),
        offsetof(struct mqxi_header, send_event),
        offsetof(struct mqxi_header, reserved),
        offsetof(struct mqxi_header, commit_event),
        offsetof(struct mqxi_header, put_tells),
        offsetof(struct mqxi_header, take_tells),
        offsetof(struct mqxi_header, shown),
        offsetof(struct mqxi_header, lowest),
        offsetof(struct mqxi_header, urgent),
        offsetof(struct mqxi_header, disturbed),
        offsetof(struct mqxi_header, notify),
        offsetof(struct mqxi_header, entry),
        offsetof(struct mqxi_header, entered),
        offsetof(struct mqxi_header, left),
        offsetof(struct mqxi_slot, key),
        offsetof(struct mqxi_slot, len),
        offsetof(struct mqxi_slot, data),
        MQXI_FRONT,
        MQXI_FANOUT,
        MQXI_INLINE,
        sizeof(int64_t), /* of a System V type before its message */
        MQXI_PAGE,
        MQXI_SEQ_BITS,
        MQXI_GEN_BITS,
        MQXI_NODE_SLOT_BITS,
        1, /* byte order: reads differently on the other kind of machine */
    };
    const uint8_t *byte = (const uint8_t *)facts;
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    for (size_t i = 0; i < sizeof(facts); i++)
        hash = (hash ^ byte[i]) * UINT64_C(1099511628211);
    return hash;
}

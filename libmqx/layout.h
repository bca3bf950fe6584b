/* Where the parts of a segment lie: computed from two numbers, never read from the segment. */
#ifndef MQXI_LAYOUT_H
#define MQXI_LAYOUT_H

#include "format.h"

struct mqxi_layout {
    uint32_t maxmsg, msgsize;
    uint32_t front;  /* slots that are scanned: the first min(maxmsg, MQXI_FRONT) */
    uint32_t levels; /* of the tree over the other slots; 0: no tree */
    uint32_t stride; /* bytes from slot to slot */
    uint32_t words;  /* 64-bit words in the used and in the dirty bitmap */
    uint64_t ctl, used, dirty, tree, slots, overflow; /* offsets of the regions */
    uint64_t room;                                    /* overflow bytes of one slot; 0: none */
    uint64_t level[MQXI_LEVELS];                      /* offset of each tree level, leaves first */
    uint32_t nodes[MQXI_LEVELS];                      /* nodes in it; the last level has one */
    uint32_t inlined; /* largest message that lives in its slot, */
    uint32_t head;    /* after so many bytes of the slot's data: System V: the type; else none */
    uint32_t type_at; /* in a slot */
    uint64_t types;                                   /* System V: offset of the region; else 0 */
    uint64_t size;                                    /* of the file */
};

/* 0, or -EINVAL where a queue of this size cannot be (zero, or beyond the format's limits). */
int mqxi_layout(uint32_t maxmsg, uint32_t msgsize, struct mqxi_layout *out);
/* The same for a queue of this kind: System V's have a region more, one word a slot, last. */
int mqxi_layout_of(uint32_t kind, uint32_t maxmsg, uint32_t msgsize, struct mqxi_layout *out);

/* Changes whenever a shared struct or constant does; part of the header. */
uint64_t mqxi_fingerprint(void);

#endif

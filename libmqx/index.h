/* The tree of minima over the slots behind the scanned front. */
#ifndef MQXI_INDEX_H
#define MQXI_INDEX_H

#include "queue.h"

struct mqxi_first {
    uint64_t key;  /* 0: nothing */
    uint32_t slot; /* checked: below maxmsg */
};

/* All return 0, or -EBADMSG for a damaged segment.  slot: at least the layout's front. */

/* The root: the smallest key in the tree, or a ghost (key of a slot that was taken meanwhile). */
int mqxi_index_first(const struct mqxi_queue *q, struct mqxi_first *out);
/* A key was published in this slot: make every node above it at most this key. */
int mqxi_index_insert(struct mqxi_queue *q, uint32_t slot, uint64_t key);
/* The slot's key is gone (or came back): recompute its path, leaf to root. */
int mqxi_index_refresh(struct mqxi_queue *q, uint32_t slot);
/*
 * Look at every node over the first `slots` slots: one that shows another key
 * than the smallest below it was left by a process that died, or damaged, and is
 * mended.  Harmless beside living processes.
 */
int mqxi_index_check(struct mqxi_queue *q, uint32_t slots);

#endif

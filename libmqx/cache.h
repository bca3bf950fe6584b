/*
 * Care for cache lines that other cores write: a line that another core wrote
 * last takes a hundred times as long to get as one of our own.
 */
#ifndef MQXI_CACHE_H
#define MQXI_CACHE_H

#include "queue.h"

/* Hints are written only where they change, to leave the others' cache lines alone. */
static inline void mqxi_hint(_Atomic uint32_t *where, uint32_t value)
{
    if (atomic_load_explicit(where, memory_order_relaxed) != value)
        atomic_store_explicit(where, value, memory_order_relaxed);
}

/*
 * The slots that this end of a stream will need next are far away, in the other
 * end's cache.  Not for single messages, which all use slot 0.
 */
static inline void mqxi_fetch_next(const struct mqxi_queue *q, uint32_t slot, bool free)
{
    for (uint32_t i = slot + 1; slot > 0 && i <= slot + 2 && i < q->layout.front; i++) {
        const uint8_t *s = (const uint8_t *)&mqxi_slot(q, i)->key;
        uint64_t ctl = atomic_load_explicit(&q->ctl[i], memory_order_relaxed);

        if (free && ctl == MQXI_CTL_FREE) {
            __builtin_prefetch(s, 1);
            __builtin_prefetch(s + 64, 1);
        } else if (!free && mqxi_ctl_ready(ctl)) {
            __builtin_prefetch(s);
            __builtin_prefetch(s + 64);
        }
    }
}

/*
 * The lines of the first slot, which a queue that is nearly empty uses: asked for
 * before the first is needed, and for writing, each is fetched once and all at
 * once.
 */
static inline void mqxi_fetch_first(const struct mqxi_queue *q)
{
    const uint8_t *s = (const uint8_t *)&mqxi_slot(q, 0)->key;

    __builtin_prefetch((const void *)q->ctl, 1);
    __builtin_prefetch(s, 1);
    __builtin_prefetch(s + 64, 1);
}

#endif

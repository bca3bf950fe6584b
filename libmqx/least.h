/*
 * The smallest key among words of shared memory that others change meanwhile:
 * control words, or keys of tree nodes.  Keys are compared minus one: then "no
 * key" (0) is the largest number, and an owned control word (bit 63) is larger
 * than every key, so that the minimum alone decides.
 */
#ifndef MQXI_LEAST_H
#define MQXI_LEAST_H

#include "queue.h"

static inline uint64_t mqxi_smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t mqxi_less_one(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed) - 1;
}

/* The least of n words, `stride` apart, minus one.  Without branches, which would be mispredicted,
 * and with four minima at a time, which do not wait for each other.  Acquires. */
static inline uint64_t mqxi_least(const _Atomic uint64_t *word, uint32_t n, uint32_t stride)
{
    uint64_t a = UINT64_MAX, b = a, c = a, d = a;
    uint32_t i = 0;

    for (; i + 4 <= n; i += 4, word += 4 * stride) {
        a = mqxi_smaller(a, mqxi_less_one(word));
        b = mqxi_smaller(b, mqxi_less_one(word + stride));
        c = mqxi_smaller(c, mqxi_less_one(word + 2 * stride));
        d = mqxi_smaller(d, mqxi_less_one(word + 3 * stride));
    }
    for (; i < n; i++, word += stride)
        a = mqxi_smaller(a, mqxi_less_one(word));
    atomic_thread_fence(memory_order_acquire); /* what is read next is read after all of them */
    return mqxi_smaller(mqxi_smaller(a, b), mqxi_smaller(c, d));
}

/* Is what mqxi_least returned a key (plus one)? */
static inline bool mqxi_least_is_key(uint64_t least)
{
    return least < MQXI_CTL_OWNED - 1;
}

/* Which word it is; n where it was changed meanwhile. */
static inline uint32_t mqxi_least_where(const _Atomic uint64_t *word, uint32_t n, uint32_t stride,
                                        uint64_t least)
{
    uint32_t i = 0;

    while (i < n && mqxi_less_one(word + i * stride) != least)
        i++;
    return i;
}

#endif

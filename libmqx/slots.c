/*
 * Free slots: claimed by senders, the lowest first, so that a queue that holds
 * little stays small, and given back.  The control word decides; the used bitmap
 * over the slots behind the front only says where to look.
 */
#include "slots.h"

#include <errno.h>

#include "cache.h"
#include "segment.h"
#include "wait.h"

static bool claim(struct mqxi_queue *q, uint32_t slot, uint64_t owner)
{
    uint64_t free = MQXI_CTL_FREE;

    return atomic_compare_exchange_strong_explicit(&q->ctl[slot], &free, MQXI_CTL_FILLING | owner,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

void mqxi_slot_raise_front(struct mqxi_queue *q, uint32_t slots)
{
    _Atomic uint32_t *used = &q->header->front_used;
    uint32_t seen = atomic_load_explicit(used, memory_order_relaxed);

    while (seen < slots && !atomic_compare_exchange_weak(used, &seen, slots))
        ;
}

/*
 * The lowest, as long as receivers keep up.  Where what was sent last is still there, the one
 * behind that: what a receiver has just freed, or is about to free, is in his cache, and what
 * comes next is where it is expected (order.h).
 */
static int claim_in_front(struct mqxi_queue *q, uint64_t owner, uint32_t *slot)
{
    uint32_t last = atomic_load_explicit(&q->filled, memory_order_relaxed), i = 0;

    if (last < q->layout.front - 1 &&
        atomic_load_explicit(&q->ctl[last], memory_order_relaxed) != MQXI_CTL_FREE)
        i = last + 1;
    for (uint32_t n = q->layout.front; n > 0; n--) {
        if (atomic_load_explicit(&q->ctl[i], memory_order_acquire) == MQXI_CTL_FREE &&
            claim(q, i, owner)) {
            mqxi_slot_raise_front(q, i + 1);
            mqxi_fetch_next(q, i, true);
            atomic_store_explicit(&q->filled, i, memory_order_relaxed);
            *slot = i;
            return 0;
        }
        i = i + 1 == q->layout.front ? 0 : i + 1;
    }
    return -EAGAIN;
}

/*
 * The front is full, and receivers are at work: give them a moment.  Where they
 * are slower than the senders, that costs nothing, and it keeps a stream in the
 * front, where a message costs a fraction of what it does in the tree, whose
 * upper nodes all senders and receivers change.  Where that frees nothing, as in
 * a queue that is deep, it is not tried again soon.
 */
static int claim_after_a_moment(struct mqxi_queue *q, uint64_t owner, uint32_t *slot)
{
    uint32_t freed = mqxi_event_read(&q->header->send_event);
    uint32_t skip = atomic_load_explicit(&q->skip, memory_order_relaxed);
    int r = -EAGAIN;

    if (skip > 0) {
        atomic_store_explicit(&q->skip, skip - 1, memory_order_relaxed);
        return -EAGAIN;
    }
    if (freed != atomic_load_explicit(&q->freed, memory_order_relaxed)) {
        mqxi_event_pause(MQXI_WAIT_DRAIN(MQXI_FRONT));
        r = claim_in_front(q, owner, slot);
        atomic_store_explicit(&q->freed, mqxi_event_read(&q->header->send_event),
                              memory_order_relaxed);
        if (r < 0)
            atomic_store_explicit(&q->skip, 1000, memory_order_relaxed);
    }
    return r;
}

/* Claim a slot whose bit in this word of the used bitmap is clear. */
static int claim_in_word(struct mqxi_queue *q, uint32_t word, uint32_t slots, uint64_t owner,
                         uint32_t *slot)
{
    uint64_t free = ~atomic_load_explicit(&q->used[word], memory_order_acquire);

    for (; free; free &= free - 1) {
        uint32_t bit = (uint32_t)__builtin_ctzll(free), i = word * 64 + bit;

        if (i >= slots)
            break;
        if (atomic_load_explicit(&q->ctl[i], memory_order_acquire) != MQXI_CTL_FREE ||
            !claim(q, i, owner))
            continue; /* a bit is a hint; its owner clears or sets it */
        /* Only while the slot is ours: a late clear or set by another would lose it. */
        atomic_fetch_or_explicit(&q->used[word], UINT64_C(1) << bit, memory_order_acq_rel);
        mqxi_hint(&q->header->free_word, word);
        *slot = i;
        return 0;
    }
    return -EAGAIN;
}

static int claim_in_words(struct mqxi_queue *q, uint32_t from, uint32_t to, uint32_t slots,
                          uint64_t owner, uint32_t *slot)
{
    for (uint32_t w = from; w < to; w++)
        if (claim_in_word(q, w, slots, owner, slot) == 0)
            return 0;
    return -EAGAIN;
}

/* Slots never used before, from `slots` on.  Others may take them first; in a damaged queue there
 * may be something in each, and all of them together are more than anybody has time for. */
static int claim_in_new(struct mqxi_queue *q, uint32_t slots, uint64_t owner, uint32_t *slot)
{
    for (int i = 0; slots < q->layout.maxmsg; i++) {
        uint32_t word = slots / 64;
        int r = i < MQXI_TRIES / 100 ? mqxi_segment_reserve(q, slots) : -EBADMSG;

        if (r < 0)
            return r;
        slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire);
        if (word < 1 || slots > q->layout.maxmsg)
            return -EBADMSG;
        mqxi_hint(&q->header->free_word, word);
        if (claim_in_words(q, word, (slots + 63) / 64, slots, owner, slot) == 0)
            return 0;
    }
    return -EAGAIN;
}

/* Behind the front: the used bitmap, from the hint on and round, then slots never used before. */
static int claim_behind(struct mqxi_queue *q, uint64_t owner, uint32_t *slot)
{
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire);
    uint32_t start = atomic_load_explicit(&q->header->free_word, memory_order_relaxed);
    uint32_t words = (slots + 63) / 64;

    if (slots > q->layout.maxmsg)
        return -EBADMSG;
    if (start < 1 || start >= words)
        start = 1;
    if (claim_in_words(q, start, words, slots, owner, slot) == 0 ||
        claim_in_words(q, 1, start, slots, owner, slot) == 0)
        return 0;
    return claim_in_new(q, slots, owner, slot);
}

static int claim_any(struct mqxi_queue *q, uint64_t owner, uint32_t *slot)
{
    int r = -EAGAIN;

    /* free_word 0: the front may have room. */
    if (atomic_load_explicit(&q->header->free_word, memory_order_relaxed) == 0)
        r = claim_in_front(q, owner, slot);
    if (r == -EAGAIN && q->layout.levels > 0)
        r = claim_after_a_moment(q, owner, slot);
    if (r == -EAGAIN && q->layout.levels > 0)
        r = claim_behind(q, owner, slot);
    return r;
}

int mqxi_slot_claim(struct mqxi_queue *q, uint64_t owner, uint32_t *slot, uint64_t *seen)
{
    /* Where a look at all slots takes long, somebody may well free one, and others take it, during
     * each: after so many looks the queue counts as full. */
    const uint32_t tries = MQXI_TRIES / (1 + q->layout.words / 16);
    /* At first without a look at the receivers' counter, a cache line that they keep changing. */
    int r = claim_any(q, owner, slot);

    for (uint32_t i = 0; r == -EAGAIN; i++) {
        uint32_t freed = mqxi_event_read(&q->header->send_event);

        r = claim_any(q, owner, slot);
        if (r == -EAGAIN)
            r = claim_in_front(q, owner, slot); /* whatever the hint says */
        /* Full only if nothing was freed while we looked: a slot that we had passed may have
         * become free before one that we still saw free was claimed. */
        if (r == -EAGAIN && (mqxi_event_read(&q->header->send_event) == freed || i >= tries)) {
            *seen = freed;
            return -EAGAIN;
        }
    }
    return r;
}

static bool free_in_word(const struct mqxi_queue *q, uint32_t word)
{
    uint64_t free = ~atomic_load_explicit(&q->used[word], memory_order_acquire);

    for (; free; free &= free - 1) {
        uint32_t i = word * 64 + (uint32_t)__builtin_ctzll(free);

        if (i >= q->layout.maxmsg)
            break;
        if (atomic_load_explicit(&q->ctl[i], memory_order_acquire) == MQXI_CTL_FREE)
            return true;
    }
    return false;
}

static bool look_for_free(const struct mqxi_queue *q)
{
    uint32_t hint = atomic_load_explicit(&q->header->free_word, memory_order_relaxed);

    if (hint > 0 && hint < q->layout.words && free_in_word(q, hint))
        return true;
    for (uint32_t i = 0; i < q->layout.front; i++)
        if (atomic_load_explicit(&q->ctl[i], memory_order_acquire) == MQXI_CTL_FREE)
            return true;
    for (uint32_t w = 1; w < q->layout.words; w++)
        if (free_in_word(q, w))
            return true;
    return false;
}

bool mqxi_slot_any_free(const struct mqxi_queue *q)
{
    for (int i = 0; i < MQXI_TRIES; i++) {
        uint32_t freed = mqxi_event_read(&q->header->send_event);

        /* What was never used is free, and what is not to be believed gives an error. */
        if (atomic_load_explicit(&q->header->reserved, memory_order_acquire) != q->layout.maxmsg ||
            look_for_free(q))
            return true;
        if (mqxi_event_read(&q->header->send_event) == freed) /* see mqxi_slot_claim */
            return false;
    }
    return true;
}

/* The slot is free again; the caller owns it.  The store is the commit point. */
void mqxi_slot_release(struct mqxi_queue *q, uint32_t slot)
{
    atomic_store_explicit(&q->ctl[slot], MQXI_CTL_FREE, memory_order_release);
    if (slot >= q->layout.front)
        atomic_fetch_and_explicit(&q->used[slot / 64], ~(UINT64_C(1) << slot % 64),
                                  memory_order_acq_rel);
    if (slot / 64 < atomic_load_explicit(&q->header->free_word, memory_order_relaxed))
        mqxi_hint(&q->header->free_word, slot / 64);
}

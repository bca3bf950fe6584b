/*
 * What a System V queue holds, where that is not to be had at a glance: exactly, and
 * counted anew after a process died.  The sum over the slots is right if nobody changed
 * the queue while we looked, and no slot was owned: then nobody can be between changing
 * the word and changing the slot.  Whoever mends a slot raises `recount` before that, so
 * that a doubt is never forgotten: it is laid to rest only if it is still the one that we
 * knew of before we looked.
 */
#include "held.h"

#include "wait.h"

#define LOOKS 1000

/* More left than ever entered: damaged, or in doubt, or two words that are not of one moment. */
static bool plausible(uint32_t maxmsg, uint64_t held)
{
    return mqxi_held_count(held) <= maxmsg;
}

uint64_t mqxi_held_copied(const struct mqxi_header *h)
{
    uint64_t held = atomic_load(&h->entered) - atomic_load(&h->left);

    return plausible(h->maxmsg, held) ? held : 0;
}

uint64_t mqxi_held(const struct mqxi_queue *q)
{
    const struct mqxi_header *h = q->header;

    for (int i = 0; i < LOOKS; i++) {
        uint64_t left = atomic_load(&h->left), held = atomic_load(&h->entered) - left;

        if (atomic_load(&h->left) == left && plausible(q->layout.maxmsg, held))
            return held;
    }
    return mqxi_held_copied(h);
}

bool mqxi_held_room_now(struct mqxi_queue *q, uint64_t entered, uint32_t len, uint64_t *seen)
{
    struct mqxi_header *h = q->header;

    for (int i = 0; i < MQXI_TRIES; i++) {
        uint64_t before = atomic_load(&h->left_seen), now, left;

        *seen = mqxi_event_read(&h->send_event);
        left = atomic_load(&h->left);
        /* By compare-and-swap from what was there before we looked, so that it never falls. */
        if (left != before)
            atomic_compare_exchange_strong(&h->left_seen, &before, left);
        now = atomic_load(&h->entered);
        if (now == entered)
            return mqxi_held_fits(q, entered - left, len);
        entered = now; /* else what left may have entered since */
    }
    return false;
}

/* What must not move while we look. */
struct moment {
    uint64_t entered, left, sequence;
    uint32_t sent, received;
};

static struct moment now(struct mqxi_queue *q)
{
    struct mqxi_header *h = q->header;

    return (struct moment){atomic_load(&h->entered), atomic_load(&h->left),
                           atomic_load(&h->sequence), mqxi_event_read(&h->recv_event),
                           mqxi_event_read(&h->send_event)};
}

static bool same(const struct moment *a, const struct moment *b)
{
    return a->entered == b->entered && a->left == b->left && a->sequence == b->sequence &&
           a->sent == b->sent && a->received == b->received;
}

/* False: a slot is owned. */
static bool sum(const struct mqxi_queue *q, uint64_t *out)
{
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire);

    *out = 0;
    if (slots > q->layout.maxmsg)
        return false;
    for (uint32_t i = 0; i < slots; i++) {
        uint64_t ctl = atomic_load_explicit(&q->ctl[i], memory_order_acquire);
        uint32_t len;

        if (ctl & MQXI_CTL_OWNED)
            return false;
        if (ctl == MQXI_CTL_FREE)
            continue;
        len = mqxi_slot_see(&mqxi_slot(q, i)->len);
        *out += MQXI_HELD_ONE + (len <= q->layout.msgsize ? len : 0);
    }
    return true;
}

void mqxi_held_recount(struct mqxi_queue *q)
{
    uint32_t doubt = atomic_load(&q->header->recount);
    struct moment before = now(q), after;
    uint64_t first, second, held = before.entered - before.left;

    if (doubt == 0 && plausible(q->layout.maxmsg, held))
        return;
    /* Twice: what a receiver that is stopped between two of its steps hides from the one, the
     * other sees. */
    if (!sum(q, &first) || !sum(q, &second) || first != second)
        return;
    after = now(q);
    if (!same(&before, &after))
        return;
    /* What left since then has left, and `left` may never fall: see held.h. */
    if (held != first &&
        !atomic_compare_exchange_strong(&q->header->entered, &before.entered, before.left + first))
        return;
    atomic_compare_exchange_strong(&q->header->recount, &doubt, 0);
    if (held != first)
        mqxi_event_signal(&q->header->send_event, true);
}

/*
 * Counting anew what a System V queue holds, after a process died.  The sum over
 * the slots is right if nobody changed the queue while we looked, and no slot was
 * owned: then nobody can be between changing the word and changing the slot.  Whoever
 * mends a slot raises `recount` before that, so that a doubt is never forgotten: it
 * is laid to rest only if it is still the one that we knew of before we looked.
 */
#include "held.h"

#include "wait.h"

/* What must not move while we look. */
struct moment {
    uint64_t held, sequence;
    uint32_t sent, received;
};

static struct moment now(struct mqxi_queue *q)
{
    struct mqxi_header *h = q->header;

    return (struct moment){atomic_load(&h->held), atomic_load(&h->sequence),
                           mqxi_event_read(&h->recv_event), mqxi_event_read(&h->send_event)};
}

static bool same(const struct moment *a, const struct moment *b)
{
    return a->held == b->held && a->sequence == b->sequence && a->sent == b->sent &&
           a->received == b->received;
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
    uint64_t first, second, held;

    if (doubt == 0)
        return;
    /* Twice: what a receiver that is stopped between two of its steps hides from the one, the
     * other sees. */
    if (!sum(q, &first) || !sum(q, &second) || first != second)
        return;
    after = now(q);
    if (!same(&before, &after))
        return;
    held = before.held;
    if (held != first && !atomic_compare_exchange_strong(&q->header->held, &held, first))
        return;
    atomic_compare_exchange_strong(&q->header->recount, &doubt, 0);
    if (before.held != first)
        mqxi_event_signal(&q->header->send_event, true);
}

/*
 * What dead processes left behind: slots that they were filling or taking,
 * messages that they published and did not index, bits that they did not
 * clear.  Everything is found in the control words, and mended with the same
 * compare-and-swap steps as in normal work, so that any number of processes
 * may repair at once, beside others who work on.
 *
 * Done by who is about to sleep, and now and then by who finds a queue full or
 * empty and does not sleep.
 */
#include "repair.h"

#include <errno.h>
#include <time.h>

#include "bell.h"
#include "client.h"
#include "durable.h"
#include "held.h"
#include "index.h"
#include "order.h"
#include "segment.h"
#include "slots.h"
#include "wait.h"

#define INTERVAL_NS UINT64_C(1000000000)

/* Owners asked about and things mended in one sweep, some 50 ms of work; what is left is for the
 * next one.  Only a damaged queue has more, up to millions, and a server has others to serve. */
#define MOST 20000u

struct sweep {
    struct mqxi_queue *q;
    uint64_t owner; /* the last one asked about, and whether it lives: neighbours share owners */
    bool alive;
    bool claims; /* a living process owns a slot */
    uint32_t work;
};

static bool owner_alive(struct sweep *s, uint64_t owner)
{
    if (owner != s->owner) {
        s->work++;
        s->owner = owner;
        s->alive = mqxi_client_alive(s->q->registry, owner);
    }
    return s->alive;
}

static void clear_used(struct mqxi_queue *q, uint32_t slot)
{
    if (slot >= q->layout.front)
        atomic_fetch_and_explicit(&q->used[slot / 64], ~(UINT64_C(1) << slot % 64),
                                  memory_order_acq_rel);
    if (slot / 64 < atomic_load_explicit(&q->header->free_word, memory_order_relaxed))
        atomic_store_explicit(&q->header->free_word, slot / 64, memory_order_relaxed);
}

static void free_slot(struct mqxi_queue *q, uint32_t slot, uint64_t seen)
{
    int error;
    struct mqxi_identity *me = q->layout.room ? mqxi_client_self(q->registry, &error) : NULL;

    /* What its owner had reserved, and perhaps not noted yet, goes back: by us, while it is ours.
     */
    if (me) {
        uint64_t mine = MQXI_CTL_FILLING | atomic_load(&me->owner);

        if (!atomic_compare_exchange_strong(&q->ctl[slot], &seen, mine))
            return;
        mqxi_segment_trim_overflow(q, slot);
        seen = mine;
    }
    if (!atomic_compare_exchange_strong(&q->ctl[slot], &seen, MQXI_CTL_FREE))
        return;
    clear_used(q, slot);
    /* It may have died after its message was consumed and before mqxd was told. */
    if (atomic_load_explicit(&q->header->durable, memory_order_relaxed) != MQXI_DURABLE_OFF)
        mqxi_durable_mark(q, slot);
    mqxi_slot_freed(q);
}

/* Its receiver died: the message goes back to its old place. */
static int give_back(struct mqxi_queue *q, uint32_t slot, uint64_t seen)
{
    uint64_t key = mqxi_slot_see(&mqxi_slot(q, slot)->key);
    int r = 0;

    if (!mqxi_ctl_ready(key)) { /* damaged: there is no message to give back */
        free_slot(q, slot, seen);
        return 0;
    }
    /* The key cannot be another message's: the word, which its owner will never write again,
     * still is what it was before the key was read. */
    if (!atomic_compare_exchange_strong(&q->ctl[slot], &seen, key))
        return 0;
    if ((seen & ~MQXI_CTL_OWNER) == MQXI_CTL_LEAVING)
        mqxi_durable_mark(q, slot); /* the store may not have it any more */
    if (slot >= q->layout.front)
        r = mqxi_index_refresh(q, slot);
    atomic_fetch_add(&q->header->urgent, 1); /* as if it had been sent just now: engine.c's look */
    mqxi_order_disturb(q, 0);
    mqxi_event_signal(&q->header->recv_event, q->types);
    if (atomic_load(&q->header->put_tells) & MQXI_TELLS_POLLERS)
        mqxi_bell_sync(q);
    return r;
}

/* The used bit follows the slot; a process that died in between left it behind.  Against the
 * race with one that is just at it: a bit that is wrongly clear costs a failed claim, one that is
 * wrongly set keeps a slot unused until the next sweep. */
static void mend_used(struct sweep *s, uint32_t slot, uint64_t ctl)
{
    struct mqxi_queue *q = s->q;
    uint64_t bit = UINT64_C(1) << slot % 64;
    bool used = atomic_load_explicit(&q->used[slot / 64], memory_order_relaxed) & bit;

    if (slot < q->layout.front)
        return;
    if (ctl == MQXI_CTL_FREE && used) {
        s->work++;
        clear_used(q, slot);
        mqxi_slot_freed(q);
    } else if (mqxi_ctl_ready(ctl) && !used) {
        atomic_fetch_or_explicit(&q->used[slot / 64], bit, memory_order_acq_rel);
    }
}

static int mend_slot(struct sweep *s, uint32_t slot)
{
    struct mqxi_queue *q = s->q;
    uint64_t ctl = atomic_load_explicit(&q->ctl[slot], memory_order_acquire);

    if (slot < q->layout.front && ctl != MQXI_CTL_FREE)
        mqxi_slot_raise_front(q, slot + 1); /* it was, unless the header is damaged */
    if (!(ctl & MQXI_CTL_OWNED)) {
        if (s->work < MOST)
            mend_used(s, slot, ctl);
        return 0;
    }
    if (s->work >= MOST || owner_alive(s, ctl & MQXI_CTL_OWNER)) {
        s->claims = true;
        return 0;
    }
    s->work++;
    if (q->types)
        mqxi_held_doubt(q);
    if (mqxi_ctl_taken(ctl))
        return give_back(q, slot, ctl);
    free_slot(q, slot, ctl); /* filling, or a state that does not exist: a damaged word */
    return 0;
}

int mqxi_repair(struct mqxi_queue *q, bool *claims)
{
    struct sweep s = {.q = q};
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire);
    int r = 0;

    if (atomic_load(&q->dead))
        return -EIO;
    if (slots > q->layout.maxmsg)
        return -EBADMSG;
    for (uint32_t i = 0; r == 0 && i < slots; i++)
        r = mend_slot(&s, i);
    if (r == 0 && slots > q->layout.front)
        r = mqxi_index_check(q, slots);
    if (q->types && r == 0)
        mqxi_held_recount(q);
    if (atomic_load(&q->header->put_tells) & MQXI_TELLS_POLLERS)
        mqxi_bell_check(q); /* who changed the queue may have died before it rang */
    if (claims)
        *claims = s.claims;
    return atomic_load(&q->dead) ? -EIO : r;
}

int mqxi_repair_sometimes(struct mqxi_queue *q, bool *swept)
{
    struct timespec t;
    uint64_t now, last = atomic_load_explicit(&q->header->last_sweep, memory_order_relaxed);

    *swept = false;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    /* A time in the future is another boot's or a damaged one. */
    if (now - last < INTERVAL_NS ||
        !atomic_compare_exchange_strong(&q->header->last_sweep, &last, now))
        return 0;
    *swept = true;
    return mqxi_repair(q, NULL);
}

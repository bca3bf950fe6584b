/*
 * mqxd reads slots while their users go on.  A message's bytes do not change
 * between the publishing of its key and the freeing of its slot, and keys are
 * never used twice: so what was copied between two looks that both found the
 * same key is that key's message.  While a slot is being taken its control
 * word does not show the key; the slot's copy of it does.
 */
#include "snapshot.h"

#include <errno.h>
#include <string.h>

#include "held.h"
#include "index.h"
#include "segment.h"
#include "wait.h"

#define TRIES 4

static uint64_t slot_key(const struct mqxi_queue *q, uint32_t slot)
{
    return __atomic_load_n(&mqxi_slot(q, slot)->key, __ATOMIC_RELAXED);
}

int mqxi_snapshot_key(const struct mqxi_queue *q, uint32_t slot, uint64_t *key)
{
    uint64_t ctl = atomic_load_explicit(&q->ctl[slot], memory_order_acquire), again;

    for (int i = 0; i < TRIES; i++) {
        *key = 0;
        if (mqxi_ctl_ready(ctl))
            *key = ctl;
        if (ctl == MQXI_CTL_FREE || mqxi_ctl_ready(ctl))
            return 0;
        switch (ctl & (MQXI_CTL_OWNED | MQXI_CTL_STATE)) {
        case MQXI_CTL_FILLING:
            return 0;
        case MQXI_CTL_TAKING:
        case MQXI_CTL_LEAVING:
            *key = slot_key(q, slot);
            break;
        default:
            return -EBADMSG;
        }
        /* The second look says whose key it was: had the slot been filled again in between, and
         * been taken by the same owner, then this look sees that filling's writes too. */
        atomic_thread_fence(memory_order_acquire);
        again = atomic_load_explicit(&q->ctl[slot], memory_order_acquire);
        if (again == ctl) {
            if (!mqxi_ctl_ready(*key))
                return -EBADMSG;
            if ((ctl & ~MQXI_CTL_OWNER) == MQXI_CTL_LEAVING)
                *key |= MQXI_DISK_GONE;
            return 0;
        }
        ctl = again;
    }
    return -EAGAIN;
}

/* The copy races with the next message's sender on purpose; the caller finds out. */
__attribute__((no_sanitize("thread"))) static void copy(const struct mqxi_queue *q, uint32_t slot,
                                                        struct mqxi_snapshot *out, uint8_t *data)
{
    const volatile struct mqxi_slot *s = mqxi_slot(q, slot);
    const uint8_t *from;

    out->sent_ns = s->sent_ns;
    out->type = mqxi_slot_see(mqxi_slot_type(q, slot));
    out->pid = s->pid;
    out->uid = s->uid;
    out->len = s->len;
    if (out->len > q->layout.msgsize)
        return;
    from = mqxi_payload(q, slot, out->len);
    memcpy(data, from, out->len);
}

int mqxi_snapshot(const struct mqxi_queue *q, uint32_t slot, struct mqxi_snapshot *out, void *data)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t key;
        int r = mqxi_snapshot_key(q, slot, &out->key);

        if (r < 0 || !mqxi_ctl_ready(out->key))
            return r;
        copy(q, slot, out, data);
        atomic_thread_fence(memory_order_acquire); /* the copy before the second look */
        r = mqxi_snapshot_key(q, slot, &key);
        if (r < 0)
            return r;
        if (key == out->key)
            return out->len <= q->layout.msgsize ? 0 : -EBADMSG;
    }
    return -EAGAIN;
}

static void fill(struct mqxi_queue *q, uint32_t slot, const struct mqxi_snapshot *m,
                 const void *data)
{
    struct mqxi_slot *s = mqxi_slot(q, slot);

    *mqxi_slot_type(q, slot) = m->type;
    s->key = m->key;
    s->len = m->len;
    s->pid = m->pid;
    s->uid = m->uid;
    s->sent_ns = m->sent_ns;
    memcpy(mqxi_payload(q, slot, m->len), data, m->len);
    atomic_store(&s->disk_key, m->key);
    if (q->types) {
        atomic_store(&q->types[slot], m->type);
        atomic_fetch_add(&q->header->entered, MQXI_HELD_ONE + m->len);
    }
    atomic_store(&q->ctl[slot], m->key);
    if (slot >= q->layout.front)
        atomic_fetch_or(&q->used[slot / 64], UINT64_C(1) << slot % 64);
    else if (slot >= atomic_load(&q->header->front_used))
        atomic_store(&q->header->front_used, slot + 1);
}

int mqxi_snapshot_restore(struct mqxi_queue *q, uint32_t slot, const struct mqxi_snapshot *message,
                          const void *data)
{
    struct mqxi_header *h = q->header;
    uint64_t sequence = message->key & MQXI_SEQ_MAX;
    int r;

    if (slot >= q->layout.maxmsg || message->len > q->layout.msgsize ||
        !mqxi_ctl_ready(message->key))
        return -EBADMSG;
    r = mqxi_segment_reserve(q, slot);
    if (r < 0)
        return r;
    if (atomic_load(&q->ctl[slot]) != MQXI_CTL_FREE)
        return -EBADMSG;
    if (message->len > q->layout.inlined)
        r = mqxi_segment_reserve_overflow(q, slot, message->len);
    if (r < 0)
        return r;
    fill(q, slot, message, data);
    if (sequence > atomic_load(&h->sequence))
        atomic_store(&h->sequence, sequence);
    if (message->sent_ns > atomic_load(&h->last_send_ns))
        atomic_store(&h->last_send_ns, message->sent_ns);
    return slot < q->layout.front ? 0 : mqxi_index_insert(q, slot, message->key);
}

void mqxi_snapshot_stored(struct mqxi_queue *q, uint32_t slot, uint64_t key)
{
    atomic_store_explicit(&mqxi_slot(q, slot)->disk_key, key, memory_order_release);
}

void mqxi_snapshot_wake(struct mqxi_queue *q)
{
    mqxi_event_signal(&q->header->commit_event, true);
}

void mqxi_snapshot_refuse(struct mqxi_queue *q)
{
    atomic_fetch_or(&q->header->dirty, MQXI_DIRTY_REFUSED);
    mqxi_snapshot_wake(q);
}

bool mqxi_dirty(const struct mqxi_queue *q)
{
    return atomic_load(&q->header->dirty) & MQXI_DIRTY_MARKED;
}

void mqxi_dirty_begin(struct mqxi_queue *q)
{
    uint32_t d = atomic_load(&q->header->dirty);

    while (!atomic_compare_exchange_weak(&q->header->dirty, &d,
                                         (d & ~(MQXI_DIRTY_STEP - 1)) + MQXI_DIRTY_STEP))
        ;
}

uint32_t mqxi_dirty_slots(const struct mqxi_queue *q)
{
    uint32_t n = atomic_load(&q->header->reserved);

    return n < q->layout.maxmsg ? n : q->layout.maxmsg;
}

uint32_t mqxi_dirty_words(const struct mqxi_queue *q)
{
    return (mqxi_dirty_slots(q) + 63) / 64;
}

uint64_t mqxi_dirty_take(struct mqxi_queue *q, uint32_t word)
{
    uint32_t left = q->layout.maxmsg - word * 64;
    uint64_t marks;

    if (atomic_load(&q->dirty[word]) == 0)
        return 0;
    marks = atomic_exchange(&q->dirty[word], 0);
    return left < 64 ? marks & ((UINT64_C(1) << left) - 1) : marks;
}

void mqxi_dirty_again(struct mqxi_queue *q, uint32_t slot)
{
    atomic_fetch_or(&q->dirty[slot / 64], UINT64_C(1) << slot % 64);
    mqxi_dirty_more(q);
}

void mqxi_dirty_more(struct mqxi_queue *q)
{
    atomic_fetch_or(&q->header->dirty, MQXI_DIRTY_MARKED);
}

/*
 * Both ways out begin with a slot that we own, state taking.  mqxd takes a message that
 * is being taken for one that is there, since it may come back.  So what a sender withdraws
 * may be on its way to the disk; but then the slot, which changed, is marked, and mqxd
 * removes it with its next commit.  A receiver who wants it gone first says so by
 * another state, leaving, in which mqxd takes it for gone; if it comes back all the
 * same, that is a change again.
 */
#include "withdraw.h"

#include <errno.h>

#include "client.h"
#include "durable.h"
#include "index.h"

int mqxi_withdraw(struct mqxi_queue *q, uint32_t slot, uint64_t key)
{
    struct mqxi_slot *s = mqxi_slot(q, slot);
    struct mqxi_taken t = {.slot = slot, .key = key};
    const struct mqxi_identity *me;
    uint64_t seen = key;
    int r = atomic_load(&q->dead) ? -EIO : 0;

    me = r < 0 ? NULL : mqxi_client_self(q->registry, &r);
    if (!me)
        return r;
    t.owner = atomic_load_explicit(&me->owner, memory_order_relaxed);
    if (!atomic_compare_exchange_strong(&q->ctl[slot], &seen, MQXI_CTL_TAKING | t.owner))
        return -ESTALE;
    r = slot >= q->layout.front ? mqxi_index_refresh(q, slot) : 0;
    t.len = mqxi_slot_see(&s->len);
    if (atomic_load_explicit(&s->disk_key, memory_order_acquire) == key) {
        mqxi_take_abort(q, &t);
        return -EALREADY;
    }
    return r < 0 ? r : mqxi_take_drop(q, &t);
}

int mqxi_take_leave(struct mqxi_queue *q, const struct mqxi_taken *t)
{
    uint64_t gone = t->key | MQXI_DISK_GONE;
    const struct mqxi_identity *me;
    int r = 0;

    if (atomic_load(&q->dead))
        return -EIO;
    me = mqxi_client_self(q->registry, &r);
    if (!me || atomic_load_explicit(&me->owner, memory_order_relaxed) != t->owner)
        return -ESTALE; /* forked meanwhile: it is the parent's */
    /* What mqxd said of an earlier receiver, who gave it back, holds no longer: it may have seen
     * the message there since, and be storing it. */
    atomic_compare_exchange_strong(&mqxi_slot(q, t->slot)->disk_key, &gone, 0);
    atomic_store(&q->ctl[t->slot], MQXI_CTL_LEAVING | t->owner);
    mqxi_durable_mark(q, t->slot);
    return 0;
}

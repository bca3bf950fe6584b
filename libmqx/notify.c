/*
 * mq_notify between processes: who is registered, and which message fires it.
 * Everything is decided by one compare-and-swap on the registration's own word
 * (registered -> fired by a sender, registered -> 0 by its owner), which holds a
 * number that never comes back; header->notify only says where to look.  It may
 * lag behind: who finds that it names a registration which is over clears it, as
 * a sender that died may have left it so.  Nobody waits for anybody.
 *
 * Which message fires.  In the kernel: one that is put into an empty queue while
 * nobody is blocked in a receive; one that meets a blocked receiver is never in
 * the queue at all.  Here every message is put, and the receiver that was woken
 * for it comes a moment later.  So:
 *
 *   - A message fires if no other one with a smaller sequence is ready.  Of
 *     several that are put at once the one with the smallest sequence sees none
 *     of the others, so one fires; another may fire too, which finds the
 *     registration gone.
 *   - A sender that sees the sleepers' bit before it publishes promises the
 *     message to them: it raises header->notify_handed to its sequence.  What is
 *     handed does not count, else a second message, put before the woken receiver
 *     has come for the first, would lie there and notify nobody.  The promise is
 *     made before the message can be seen, so no other sender counts it.  When
 *     somebody was woken, the message does not fire.  When nobody was, the bit
 *     was out of date, and the promise is withdrawn.
 *   - Sleepers who fell asleep after the bit was looked at do not keep the
 *     message from firing: when this send began, they were not blocked.
 *
 * At the edges a registration may fire for a message that in the kernel would
 * not have notified (its sender was stopped between taking its sequence and
 * publishing, say); that a message lies in a queue that its registrant saw
 * empty, and has not notified, is only possible if its sender, or the receiver
 * that was woken for it, died or was stopped half way.  The registrant's helper
 * thread finds that (mqxi_notify_stranded).
 *
 * Entries are other processes' input: nothing in them is used as an address, and
 * a damaged one costs its queue's own notifications.
 */
#include "notify.h"

#include <errno.h>

#include "client.h"
#include "notify_helper.h"
#include "sys.h"
#include "wait.h"

#define NUMBER_MAX ((UINT64_C(1) << 54) - 1)
#define PID_MAX    ((1u << 22) - 1)
/* How long a sender waits until a registrant's signal is sent: as long as it takes a helper that
 * is not stopped, so that to who observes both the signal comes with the message. */
#define ACK_NS   UINT64_C(5000000)
#define ACK_LOOK 3
/* Messages that a slow sender sees come after its own, before it stops looking for earlier ones. */
#define LATER_MAX 256

/* --- which message fires --------------------------------------------------------------------- */

void mqxi_notify_promise(struct mqxi_queue *q, uint64_t sequence, struct mqxi_promise *promise)
{
    _Atomic uint64_t *handed = &q->header->notify_handed;

    if (!(atomic_load(&q->header->recv_event) & MQXI_EVENT_SLEEPERS))
        return;
    promise->before = atomic_load(handed);
    /* A later message was handed already: then this one is not, and fires.  The other way round,
     * the later one's withdrawal would take our promise along. */
    while (promise->before < sequence && !promise->made)
        promise->made = atomic_compare_exchange_weak(handed, &promise->before, sequence);
}

/* Is the message still to be looked at?  No: it was handed to a receiver. */
static bool keep_promise(struct mqxi_queue *q, const struct mqxi_sent *sent, int woken)
{
    uint64_t sequence = sent->key & MQXI_SEQ_MAX, key;
    uint32_t slot;

    if (!sent->promise.made)
        return false;
    if (woken > 0)
        return true;
    /* Nobody slept, but it is gone: its receiver was blocked, and just had a look around.  But he
     * may have been woken for another message, and left that one. */
    if (atomic_load(&q->ctl[sent->slot]) != sent->key && !mqxi_notify_stranded(q, &slot, &key))
        return true;
    atomic_compare_exchange_strong(&q->header->notify_handed, &sequence, sent->promise.before);
    return false;
}

/* What a look through the slots is for: a ready message with a smaller sequence. */
struct search {
    uint64_t below;
    bool handed;    /* those that are handed to receivers count as well */
    uint32_t later; /* messages with larger ones that were met */
    uint32_t slot;  /* the one found */
    uint64_t key;
};

static bool matches(struct search *s, struct mqxi_queue *q, uint32_t slot)
{
    uint64_t key = atomic_load(&q->ctl[slot]), sequence = key & MQXI_SEQ_MAX;

    if (!mqxi_ctl_ready(key))
        return false;
    s->later += sequence > s->below;
    s->slot = slot;
    s->key = key;
    /* What is handed, after the message was seen: it was promised before.  Else we might leave it
     * to a sender who leaves it to a receiver. */
    return sequence < s->below && (s->handed || sequence > atomic_load(&q->header->notify_handed));
}

/* Look through the slots that are in use. */
static bool search(struct mqxi_queue *q, struct search *s)
{
    uint32_t front = atomic_load_explicit(&q->header->front_used, memory_order_acquire);
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire);

    if (front > q->layout.front)
        front = q->layout.front;
    if (slots > q->layout.maxmsg)
        slots = q->layout.maxmsg;
    for (uint32_t i = 0; i < front; i++)
        if (matches(s, q, i))
            return true;
    for (uint32_t w = 1; w < (slots + 63) / 64 && s->later <= LATER_MAX; w++) {
        uint64_t used = atomic_load_explicit(&q->used[w], memory_order_acquire);

        for (; used; used &= used - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(used);

            if (i < slots && matches(s, q, i))
                return true;
        }
    }
    return false;
}

/* Was the queue empty before this message? */
static bool was_empty(struct mqxi_queue *q, uint64_t key)
{
    struct search earlier = {.below = key & MQXI_SEQ_MAX};

    return !search(q, &earlier);
}

bool mqxi_notify_stranded(struct mqxi_queue *q, uint32_t *slot, uint64_t *key)
{
    struct search any = {.below = UINT64_MAX, .handed = true};
    bool found = search(q, &any);

    *slot = any.slot;
    *key = any.key;
    return found;
}

/* --- firing ---------------------------------------------------------------------------------- */

/* The notification is another process's to send.  Its helper says when it has. */
static void await_delivery(struct mqxi_notify *entry, uint32_t seen)
{
    for (int i = 0; i < ACK_LOOK && mqxi_event_read(&entry->event) == seen; i++)
        mqxi_event_sleep(&entry->event, seen, NULL, ACK_NS, false);
}

static void fire(struct mqxi_queue *q, uint64_t registration, struct mqxi_sender by, bool wait)
{
    struct mqxi_notify *entry = mqxi_notify_entry(q, registration);
    uint64_t word = mqxi_notify_word(registration);
    uint64_t record;
    uint32_t before, now;
    bool fired, own;

    if (!entry)
        return;
    own = mqxi_helper_claim(q, registration, &record);
    before = mqxi_event_read(&entry->event);
    /* The commit point: one-shot, and this registration, not a later one in the same entry. */
    fired = atomic_compare_exchange_strong(
        &entry->word, &word, MQXI_NOTIFY_FIRED | (uint64_t)(by.pid & PID_MAX) << 32 | by.uid);
    atomic_compare_exchange_strong(&q->header->notify, &registration, 0);
    if (own)
        mqxi_helper_deliver(record); /* ours, or another sender's that was faster */
    if (own || !fired)
        return;
    now = mqxi_event_count(atomic_fetch_add(&entry->event, MQXI_EVENT_STEP));
    mqxi_event_wake(&entry->event, true);
    if (wait && now == before) /* else its helper has been faster */
        await_delivery(entry, now + MQXI_EVENT_STEP);
}

void mqxi_notify_fire(struct mqxi_queue *q, const struct mqxi_sent *sent, int woken)
{
    struct mqxi_sender by;
    uint64_t registration;

    if (keep_promise(q, sent, woken))
        return;
    registration = atomic_load(&q->header->notify);
    if (registration == 0 || !was_empty(q, sent->key))
        return;
    /* Who we are now, not when we first used the library. */
    by = sent->from
             ? *sent->from
             : (struct mqxi_sender){(uint32_t)MQXI_SYS(SYS_getpid), (uint32_t)MQXI_SYS(SYS_getuid)};
    /* Who sends on behalf of others (mqxfs) has no time to wait. */
    fire(q, registration, by, !sent->from);
}

void mqxi_notify_mend(struct mqxi_queue *q, uint64_t registration, uint32_t slot)
{
    const struct mqxi_slot *s = mqxi_slot(q, slot);
    struct mqxi_sender by = {mqxi_slot_see(&s->pid), mqxi_slot_see(&s->uid)};

    fire(q, registration, by, false);
}

/* --- registering ----------------------------------------------------------------------------- */

/* 0: nobody is registered.  Clears away what holds no more. */
static int check_holder(struct mqxi_queue *q)
{
    for (int i = 0; i < MQXI_TRIES; i++) {
        uint64_t registration = atomic_load(&q->header->notify);
        struct mqxi_notify *entry = mqxi_notify_entry(q, registration);

        if (registration == 0)
            return 0;
        if (entry && atomic_load(&entry->word) == mqxi_notify_word(registration) &&
            mqxi_client_alive(q->registry, atomic_load(&entry->owner)))
            return -EBUSY;
        atomic_compare_exchange_strong(&q->header->notify, &registration, 0);
    }
    return -EBADMSG;
}

/* Take an entry that is free, or was a dead process's; which one, or -ENOMEM: processes that were
 * notified and are stopped hold them all. */
static int take_entry(struct mqxi_queue *q, uint64_t me)
{
    for (int dead = 0; dead < 2; dead++)
        for (int i = 0; i < (int)MQXI_NOTIFY_ENTRIES; i++) {
            _Atomic uint64_t *owner = &q->header->entry[i].owner;
            uint64_t seen = atomic_load(owner);

            if ((dead ? seen != me && !mqxi_client_alive(q->registry, seen) : seen == 0) &&
                atomic_compare_exchange_strong(owner, &seen, me))
                return i;
        }
    return -ENOMEM;
}

/* This registration is to hold.  -EBUSY: another does. */
static int hold(struct mqxi_queue *q, uint64_t registration)
{
    for (int i = 0; i < MQXI_TRIES; i++) {
        uint64_t none = 0;
        int r;

        if (atomic_compare_exchange_strong(&q->header->notify, &none, registration))
            return 0;
        r = check_holder(q);
        if (r < 0)
            return r;
    }
    return -EBADMSG;
}

static int add(struct mqxi_queue *q, const struct sigevent *notification)
{
    struct mqxi_header *h = q->header;
    struct mqxi_registration new = {.queue = q, .recv_count = mqxi_event_read(&h->recv_event)};
    struct mqxi_identity *me;
    uint32_t slot;
    uint64_t key, record;
    int r = 0, entry;

    me = mqxi_client_self(q->registry, &r);
    if (!me)
        return r;
    new.owner = atomic_load(&me->owner);
    entry = take_entry(q, new.owner);
    if (entry < 0)
        return entry;
    new.name = ((atomic_fetch_add(&h->notify_number, 1) + 1) & NUMBER_MAX) << 8 | (entry + 1u);
    atomic_store(&h->entry[entry].word, mqxi_notify_word(new.name));
    /* Known to this process before it can fire. */
    r = mqxi_helper_add(&new, notification, &record);
    if (r < 0) {
        mqxi_helper_free_entry(&new);
        return r;
    }
    atomic_fetch_or(&h->put_tells, MQXI_TELLS_NOTIFIERS);
    r = hold(q, new.name);
    if (r < 0) {
        mqxi_helper_drop(record);
        return r;
    }
    /* A sender sees the registration, or we see its message. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!mqxi_notify_stranded(q, &slot, &key) && mqxi_event_read(&h->recv_event) == new.recv_count)
        mqxi_notify_empty(q, new.recv_count);
    return 0;
}

static void withdraw(struct mqxi_queue *q)
{
    uint64_t registration = atomic_load(&q->header->notify), record;
    struct mqxi_notify *entry = mqxi_notify_entry(q, registration);
    uint64_t word = mqxi_notify_word(registration);

    if (!entry || !mqxi_helper_find(q, registration, &record))
        return; /* there is none, or it is another process's, or it has fired */
    /* Where this fails, it has just fired. */
    if (!atomic_compare_exchange_strong(&entry->word, &word, 0))
        return;
    atomic_compare_exchange_strong(&q->header->notify, &registration, 0);
    mqxi_helper_drop(record);
}

int mqxi_notify_register(struct mqxi_queue *q, const struct sigevent *notification)
{
    int r;

    if (atomic_load(&q->dead))
        return -EIO;
    r = notification ? check_holder(q) : 0; /* before a thread is made for nothing */
    if (r < 0)
        return r;
    if (!notification)
        withdraw(q);
    mqxi_helper_settle(q); /* what fired comes before this */
    return notification ? add(q, notification) : 0;
}

void mqxi_notify_closed(struct mqxi_queue *q)
{
    if (!mqxi_helper_any())
        return;
    withdraw(q);
    mqxi_helper_settle(q);
}

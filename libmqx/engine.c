/*
 * Put and take.  A message is in exactly one place: its slot, whose control
 * word says what it is.  Each operation claims a slot by compare-and-swap,
 * works on it alone, and gives it on with one store, the commit point; all
 * else (tree, bitmaps, events) follows from the control words.  So a process
 * can be stopped or killed anywhere without keeping others from going on.
 *
 * The first MQXI_FRONT slots are scanned, those behind them are in the tree.
 * Senders take the lowest free slot, so a queue that holds little never
 * touches the tree.
 */
#include "engine.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "bell.h"
#include "cache.h"
#include "choose.h"
#include "client.h"
#include "durable.h"
#include "held.h"
#include "index.h"
#include "least.h"
#include "notify.h"
#include "order.h"
#include "segment.h"
#include "slots.h"
#include "wait.h"

static uint64_t now_coarse(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME_COARSE, &t); /* a few ns; the kernel's own queues use it too */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int vanished(const struct mqxi_queue *q)
{
    return atomic_load_explicit(&q->dead, memory_order_relaxed) ? -EIO : 0;
}

static inline __attribute__((always_inline)) int fill(struct mqxi_queue *q, uint32_t slot,
                                                      const void *data, uint32_t len,
                                                      const struct mqxi_sender *sender,
                                                      bool typed, int64_t type, uint64_t sent_ns)
{
    struct mqxi_slot *s = mqxi_slot(q, slot);

    if (len > q->layout.inlined) {
        int r = mqxi_segment_reserve_overflow(q, slot, len);

        if (r < 0)
            return r;
    }
    /* Atomic, as is the key: others look at these without owning the slot (mqxi_bytes, choose.c,
     * notify.c, repair.c, snapshot.c), and find out from the control word whether they may believe
     * it, or can live with another message's. */
    if (typed || type != mqxi_slot_see(&s->type)) /* a line that others need not get back */
        mqxi_slot_set(mqxi_slot_type(q, slot), type);
    mqxi_slot_set(&s->len, len);
    mqxi_slot_set(&s->pid, sender->pid);
    mqxi_slot_set(&s->uid, sender->uid);
    s->sent_ns = sent_ns;
    if (len > 0) /* else data may be a null pointer */
        memcpy(mqxi_payload(q, slot, len), data, len);
    return 0;
}

/* A priority's place: the higher, the lower the priority. */
static uint32_t rank_of(uint32_t prio)
{
    return MQXI_PRIO_MAX - 1 - prio;
}

/* A message of this rank is about to take its sequence. */
static void note_lowest(struct mqxi_queue *q, uint32_t rank)
{
    uint32_t seen = atomic_load_explicit(&q->header->lowest, memory_order_relaxed);

    while (seen < rank && !atomic_compare_exchange_weak(&q->header->lowest, &seen, rank))
        ;
}

/* A message of this rank is there: see look.  After a full barrier, so that a lower one which had
 * its sequence before ours could be seen is noted by now.  Where all have one priority, nobody
 * writes. */
static void note_urgent(struct mqxi_queue *q, uint32_t rank)
{
    if (rank < atomic_load_explicit(&q->header->lowest, memory_order_relaxed))
        atomic_fetch_add_explicit(&q->header->urgent, 1, memory_order_seq_cst);
}

/* Make a filled slot a message.  Returns its key, or 0 if the segment is damaged. */
static inline __attribute__((always_inline)) uint64_t publish(struct mqxi_queue *q, uint32_t slot,
                                                              uint32_t prio, struct mqxi_sent *sent)
{
    struct mqxi_header *h = q->header;
    uint64_t sequence, key;

    note_lowest(q, rank_of(prio));
    sequence = atomic_fetch_add_explicit(&h->sequence, 1, memory_order_seq_cst) + 1;
    key = (uint64_t)rank_of(prio) << MQXI_SEQ_BITS | sequence;
    if (sequence >= MQXI_SEQ_MAX)
        return 0;
    mqxi_slot_set(&mqxi_slot(q, slot)->key, key);
    sent->slot = slot;
    sent->key = key;
    sent->promise.made = false;
    if (__builtin_expect(
            atomic_load_explicit(&h->put_tells, memory_order_relaxed) & MQXI_TELLS_NOTIFIERS, 0))
        mqxi_notify_promise(q, sequence, &sent->promise);
    atomic_store_explicit(&q->newest, sequence, memory_order_release);
    /* The commit point.  Release: who sees the key sees the message. */
    atomic_store_explicit(&q->ctl[slot], key, memory_order_release);
    return key;
}

/* Those who wait for it elsewhere than in a receive. */
static __attribute__((noinline)) void tell(struct mqxi_queue *q, const struct mqxi_sent *sent,
                                           int woken)
{
    uint32_t who = atomic_load(&q->header->put_tells);

    if (who & MQXI_TELLS_POLLERS)
        mqxi_bell_sync(q);
    if (who & MQXI_TELLS_NOTIFIERS && sent)
        mqxi_notify_fire(q, sent, woken);
}

/* What follows from a message that is there (or, sent NULL, there again): tree, mirror, event. */
static int announce(struct mqxi_queue *q, uint32_t slot, uint64_t key, uint64_t sent_ns,
                    const struct mqxi_sent *sent)
{
    struct mqxi_header *h = q->header;
    int r = slot >= q->layout.front ? mqxi_index_insert(q, slot, key) : 0, woken;

    /* After the publishing, in this order also for the compiler; who makes the queue durable sees to
     * the processor (policy.c).  So the message is marked, or seen by who makes it durable. */
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&h->durable, memory_order_relaxed) != MQXI_DURABLE_OFF)
        mqxi_durable_mark(q, slot);
    mqxi_hint(&h->send_cpu, (uint32_t)sched_getcpu());
    if (sent_ns)
        atomic_store_explicit(&h->last_send_ns, sent_ns, memory_order_relaxed);
    woken = mqxi_event_signal(&h->recv_event, q->types); /* they wait for different types */
    note_urgent(q, rank_of(mqxi_key_prio(key)));
    if (sent)
        mqxi_order_sent(q, key);
    else
        mqxi_order_disturb(q, 0);
    /* After the bump, a full barrier: who sets a bit and then looks at the queue sees the message,
     * or we see the bit. */
    if (__builtin_expect(atomic_load(&h->put_tells) != 0, 0))
        tell(q, sent, woken);
    return r;
}

/* System V: the message is about to be sent.  False: others took the room meanwhile. */
static inline bool enter_typed(struct mqxi_queue *q, uint32_t slot, uint32_t len, int64_t type,
                               uint32_t pid, uint64_t entered)
{
    if (slot >= q->layout.front)
        atomic_store_explicit(&q->types[slot], type, memory_order_relaxed);
    if (!mqxi_held_add(q, len, entered))
        return false;
    mqxi_hint(&q->header->last_send_pid, pid);
    return true;
}

/* Compiled three times: for this process's own messages, of both kinds, and for others'. */
static inline __attribute__((always_inline)) int
put(struct mqxi_queue *q, bool typed, const struct mqxi_sender *from, const void *data,
    uint32_t len, uint32_t prio, int64_t type, uint32_t *slot_out, uint64_t *key_out)
{
    struct mqxi_sender sender;
    struct mqxi_sent sent; /* no initializer: most of it is only for notification */
    struct mqxi_identity *me;
    uint64_t owner, key, entered = 0, sent_ns = now_coarse();
    uint32_t slot = 0;
    int r = vanished(q);

    if (r == 0 && len > q->layout.msgsize)
        r = -EMSGSIZE;
    if (r < 0)
        return r;
    sent.from = from;
    if (typed && !mqxi_held_room(q, len, &entered, key_out ? key_out : &key))
        return -EAGAIN;
    mqxi_fetch_first(q);
    __builtin_prefetch(&q->header->recv_event, 1); /* the last step's, which receivers look at */
    do { /* again only in a child that was forked by a signal handler right in here */
        me = mqxi_client_self(q->registry, &r);
        if (!me)
            return r;
        owner = atomic_load_explicit(&me->owner, memory_order_relaxed);
        r = mqxi_slot_claim(q, owner, &slot, key_out ? key_out : &key);
        if (r < 0)
            return vanished(q) ? -EIO : r;
        if (from)
            sender = *from;
        else
            sender = (struct mqxi_sender){atomic_load_explicit(&me->pid, memory_order_relaxed),
                                          atomic_load_explicit(&me->uid, memory_order_relaxed)};
        r = fill(q, slot, data, len, &sender, typed, type, sent_ns);
    } while (atomic_load_explicit(&me->owner, memory_order_relaxed) != owner);
    if (typed && r == 0 && !enter_typed(q, slot, len, type, sender.pid, entered)) {
        if (key_out)
            *key_out = mqxi_event_read(&q->header->send_event);
        r = -EAGAIN; /* and *key_out is outdated below: no sleep before another look */
    }
    key = r == 0 ? publish(q, slot, prio, &sent) : 0;
    if (key == 0) {
        if (typed && r == 0)
            mqxi_held_sub(q, len);
        mqxi_slot_release(q, slot);
        mqxi_slot_freed(q);
        return r < 0 ? r : -EBADMSG;
    }
    r = announce(q, slot, key, sent_ns, &sent);
    if (slot_out)
        *slot_out = slot;
    if (key_out)
        *key_out = key;
    return vanished(q) ? -EIO : r;
}

int mqxi_put(struct mqxi_queue *q, const void *data, uint32_t len, uint32_t prio, int64_t type,
             uint32_t *slot, uint64_t *key)
{
    return q->types ? put(q, true, NULL, data, len, prio, type, slot, key)
                    : put(q, false, NULL, data, len, prio, type, slot, key);
}

int mqxi_put_from(struct mqxi_queue *q, const struct mqxi_sender *from, const void *data,
                  uint32_t len, uint32_t prio, int64_t type, uint32_t *slot, uint64_t *key)
{
    return put(q, q->types, from, data, len, prio, type, slot, key);
}

static inline __attribute__((always_inline)) struct mqxi_first
scan_front(const struct mqxi_queue *q)
{
    uint32_t end = atomic_load_explicit(&q->header->front_used, memory_order_acquire), slot;
    uint64_t least;

    if (end > q->layout.front)
        end = q->layout.front;
    least = mqxi_least(q->ctl, end, 1);
    if (!mqxi_least_is_key(least))
        return (struct mqxi_first){0, 0};
    slot = mqxi_least_where(q->ctl, end, 1, least);
    /* Taken meanwhile: an attempt to claim it, in any slot, fails, and we look again. */
    return (struct mqxi_first){least + 1, slot < end ? slot : 0};
}

/* The smallest key of front and tree; key 0: none. */
static inline __attribute__((always_inline)) int find_first(const struct mqxi_queue *q,
                                                            struct mqxi_first *first)
{
    struct mqxi_first behind;
    int r;

    *first = scan_front(q);
    /* As front_used: raised before anything can be published behind the front. */
    if (q->layout.levels == 0 ||
        atomic_load_explicit(&q->header->reserved, memory_order_acquire) <= q->layout.front)
        return 0;
    r = mqxi_index_first(q, &behind);
    if (r == 0 && behind.key - 1 < first->key - 1)
        *first = behind;
    return r;
}

/* A sequence that is known to be taken: that of the message found, or where a backlog shows, all of
 * it at once. */
static inline __attribute__((always_inline)) uint64_t known_sequence(struct mqxi_queue *q,
                                                                     uint64_t found)
{
    uint32_t backlog = atomic_load_explicit(&q->backlog, memory_order_relaxed) + 1;

    if (backlog > 2) { /* found something this often, and never nothing in between */
        found = atomic_load_explicit(&q->header->sequence, memory_order_acquire);
        backlog = 0;
    }
    atomic_store_explicit(&q->backlog, backlog, memory_order_relaxed);
    atomic_store_explicit(&q->newest, found, memory_order_release);
    return found;
}

/*
 * Find the message that is first at one moment while we look, though we see one
 * slot after the other.  While we look,
 *  - a message may go into a slot that we had passed, and after it another, of
 *    lower priority, into one that we then see.  So what we found is right only if
 *    its sequence was taken before we began to look.  Else we look a second time,
 *    unless this process knows from before that the sequence was taken;
 *  - a message of higher priority may go into a slot that we had passed, and then
 *    somebody takes another such out of one that we have yet to see: there was
 *    one all the time, and we saw none.  So no such message may have arrived
 *    (urgent), or we look again.
 * Then whatever goes before what we found was gone when we looked at its slot, or
 * its send is still under way, and may count as coming later.
 *
 * Nothing: that is right if no message arrived while we looked.
 *
 * The senders' own cache lines, which they keep changing, are looked at only
 * where that pays: when a backlog shows, then once for all of it.  Where all
 * messages have the same priority, nobody writes to urgent.
 */
static inline __attribute__((always_inline)) int look(struct mqxi_queue *q,
                                                      struct mqxi_first *first, uint32_t *seen)
{
    uint64_t newest = atomic_load_explicit(&q->newest, memory_order_acquire);
    bool asked = false;

    for (int i = 0; i < MQXI_TRIES; i++) {
        uint32_t urgent = atomic_load_explicit(&q->header->urgent, memory_order_acquire);
        int r = find_first(q, first);

        if (r < 0)
            return r;
        if (first->key == 0) {
            uint32_t arrived = mqxi_event_read(&q->header->recv_event);

            atomic_store_explicit(&q->backlog, 0, memory_order_relaxed);
            if (asked && arrived == *seen) {
                mqxi_notify_empty(q, arrived);
                return -EAGAIN;
            }
            asked = true;
            *seen = arrived;
            continue;
        }
        if ((first->key & MQXI_SEQ_MAX) <= newest &&
            atomic_load_explicit(&q->header->urgent, memory_order_relaxed) == urgent)
            return 0;
        newest = known_sequence(q, first->key & MQXI_SEQ_MAX);
    }
    return -EBADMSG;
}

/* The tree shows what is not there, or nonsense: it is rebuilt from the slots. */
static int rebuild_index(struct mqxi_queue *q)
{
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire);

    if (slots > q->layout.maxmsg)
        return -EBADMSG;
    return slots > q->layout.front ? mqxi_index_check(q, slots) : 0;
}

/* Claim the first message, or the first of those chosen: ready -> taking. */
static inline __attribute__((always_inline)) int claim_first(struct mqxi_queue *q, uint64_t owner,
                                                             const struct mqxi_choice *choice,
                                                             struct mqxi_first *first,
                                                             uint32_t *seen)
{
    bool rebuilt = false;

    for (int i = 0; i < MQXI_TRIES; i++) {
        int r = mqxi_order_next(q, first) ? 0 : look(q, first, seen);
        uint64_t key, oldest = first->key;

        if (choice && r == 0)
            r = mqxi_choose(q, choice, first, seen);
        key = first->key;

        if (!rebuilt && (r == -EBADMSG || i == MQXI_TRIES / 100)) {
            rebuilt = true;
            r = rebuild_index(q);
            if (r == 0)
                continue;
        }
        if (r < 0)
            return r;
        __builtin_prefetch(&mqxi_slot(q, first->slot)->key); /* far away in a deep queue */
        if (atomic_compare_exchange_strong_explicit(&q->ctl[first->slot], &key,
                                                    MQXI_CTL_TAKING | owner, memory_order_acq_rel,
                                                    memory_order_relaxed)) {
            if (first->key == oldest)
                mqxi_order_taken(q, first);
            mqxi_fetch_next(q, first->slot, false);
            return first->slot >= q->layout.front ? mqxi_index_refresh(q, first->slot) : 0;
        }
        if (first->slot >= q->layout.front) { /* a ghost, or somebody was faster */
            r = mqxi_index_refresh(q, first->slot);
            if (r < 0)
                return r;
        }
    }
    return -EBADMSG;
}

static bool plausible(const struct mqxi_queue *q, const struct mqxi_taken *t, uint64_t stored_key)
{
    return stored_key == t->key && t->len <= q->layout.msgsize;
}

static inline __attribute__((always_inline)) int
take(struct mqxi_queue *q, const struct mqxi_choice *choice, struct mqxi_taken *out)
{
    struct mqxi_first first;
    struct mqxi_identity *me;
    struct mqxi_slot *s;
    int r = vanished(q);

    if (r < 0)
        return r;
    mqxi_fetch_first(q);
    me = mqxi_client_self(q->registry, &r);
    if (!me)
        return r;
    out->owner = atomic_load_explicit(&me->owner, memory_order_relaxed);
    out->taker = atomic_load_explicit(&me->pid, memory_order_relaxed);
    r = claim_first(q, out->owner, choice, &first, &out->seen);
    if (r < 0)
        return vanished(q) ? -EIO : r;
    s = mqxi_slot(q, first.slot);
    out->slot = first.slot;
    out->key = first.key;
    out->prio = mqxi_key_prio(first.key);
    out->len = mqxi_slot_see(&s->len); /* read once: what is checked is what is used */
    out->type = *mqxi_slot_type(q, first.slot);
    out->pid = s->pid;
    out->uid = s->uid;
    out->sent_ns = s->sent_ns;
    if (!plausible(q, out, s->key)) {
        /* Damaged: no use to anybody, and must not block the others behind it. */
        if (q->types)
            mqxi_held_doubt(q);
        mqxi_slot_release(q, first.slot);
        mqxi_slot_freed(q);
        return vanished(q) ? -EIO : -EBADMSG;
    }
    out->data = mqxi_payload(q, first.slot, out->len);
    return 0;
}

int mqxi_take(struct mqxi_queue *q, struct mqxi_taken *out)
{
    return take(q, NULL, out);
}

int mqxi_take_chosen(struct mqxi_queue *q, const struct mqxi_choice *choice, struct mqxi_taken *out)
{
    return take(q, choice, out);
}

/* Who we are; NULL in a child that was forked, by a signal handler, while its parent held the
 * message: it is the parent's. */
static const struct mqxi_identity *holder(const struct mqxi_queue *q, const struct mqxi_taken *t)
{
    int error;
    const struct mqxi_identity *me = mqxi_client_self(q->registry, &error);

    return me && atomic_load_explicit(&me->owner, memory_order_relaxed) == t->owner ? me : NULL;
}

/* received: else it is only taken out. */
static inline __attribute__((always_inline)) int
consume(struct mqxi_queue *q, const struct mqxi_taken *t, bool received)
{
    const struct mqxi_identity *me;
    struct mqxi_header *h = q->header;
    uint32_t durable;

    if (vanished(q))
        return -EIO;
    me = holder(q, t);
    if (!me)
        return -ESTALE;
    if (t->len > q->layout.inlined && !mqxi_segment_keeps_overflow(q, t->slot)) {
        /* Consumed from here on: repaired now, the slot becomes free instead of ready again. */
        atomic_store_explicit(&q->ctl[t->slot], MQXI_CTL_FILLING | t->owner, memory_order_release);
        mqxi_segment_trim_overflow(q, t->slot);
    }
    if (__builtin_expect(q->types != NULL, 0)) {
        mqxi_held_sub(q, t->len); /* while the slot is still owned: held.h */
        if (received)
            mqxi_hint(&h->last_recv_pid, t->taker);
    }
    mqxi_slot_release(q, t->slot);
    atomic_signal_fence(memory_order_seq_cst); /* as in announce() */
    durable = atomic_load_explicit(&h->durable, memory_order_relaxed);
    if (received) {
        atomic_store_explicit(&h->last_recv_ns, now_coarse(), memory_order_relaxed);
        mqxi_hint(&h->recv_cpu, (uint32_t)sched_getcpu());
    }
    if (durable != MQXI_DURABLE_OFF)
        mqxi_durable_mark(q, t->slot);
    mqxi_slot_freed(q);
    if (durable == MQXI_DURABLE_SYNC)
        mqxi_event_signal(&h->commit_event, true); /* received counts as durable for its sender */
    return vanished(q);
}

int mqxi_take_commit(struct mqxi_queue *q, const struct mqxi_taken *t)
{
    return consume(q, t, true);
}

int mqxi_take_drop(struct mqxi_queue *q, const struct mqxi_taken *t)
{
    return consume(q, t, false);
}

int mqxi_take_abort(struct mqxi_queue *q, const struct mqxi_taken *t)
{
    int r;

    if (vanished(q))
        return -EIO;
    if (!holder(q, t))
        return -ESTALE;
    atomic_store_explicit(&q->ctl[t->slot], t->key, memory_order_release);
    r = announce(q, t->slot, t->key, 0, NULL);
    return vanished(q) ? -EIO : r;
}

/* Is there a message that a take would find? */
static bool any_message(struct mqxi_queue *q)
{
    for (int i = 0; i < MQXI_TRIES; i++) {
        uint32_t arrived = mqxi_event_read(&q->header->recv_event);
        struct mqxi_first first;

        if (find_first(q, &first) < 0)
            return true;
        if (first.key == 0 && mqxi_event_read(&q->header->recv_event) == arrived)
            return false; /* see look */
        if (first.key == 0)
            continue;
        if (atomic_load_explicit(&q->ctl[first.slot], memory_order_acquire) == first.key)
            return true;
        if (first.slot >= q->layout.front && mqxi_index_refresh(q, first.slot) < 0) /* a ghost */
            return true;
    }
    return true;
}

unsigned mqxi_readiness(struct mqxi_queue *q)
{
    bool room;

    if (vanished(q) || (q->types && mqxi_held_removed(q)))
        return MQXI_CAN_RECEIVE | MQXI_CAN_SEND;
    room = mqxi_slot_any_free(q) && (!q->types || mqxi_held_has_room(q, 1));
    return (any_message(q) ? MQXI_CAN_RECEIVE : 0) | (room ? MQXI_CAN_SEND : 0);
}

uint32_t mqxi_count(struct mqxi_queue *q)
{
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire), count = 0;

    if (slots > q->layout.maxmsg)
        slots = q->layout.maxmsg;
    for (uint32_t i = 0; i < q->layout.front; i++) {
        uint64_t ctl = atomic_load_explicit(&q->ctl[i], memory_order_acquire);

        count += mqxi_ctl_ready(ctl) || mqxi_ctl_taken(ctl);
    }
    for (uint32_t w = 1; w < (slots + 63) / 64; w++)
        count +=
            (uint32_t)__builtin_popcountll(atomic_load_explicit(&q->used[w], memory_order_relaxed));
    return count > q->layout.maxmsg ? q->layout.maxmsg : count;
}

uint64_t mqxi_bytes(struct mqxi_queue *q)
{
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire);
    uint64_t bytes = 0;

    if (slots > q->layout.maxmsg)
        slots = q->layout.maxmsg;
    for (uint32_t i = 0; i < slots; i++) {
        uint64_t ctl = atomic_load_explicit(&q->ctl[i], memory_order_acquire);
        uint32_t len;

        if (!mqxi_ctl_ready(ctl) && !mqxi_ctl_taken(ctl))
            continue;
        len = mqxi_slot_see(&mqxi_slot(q, i)->len);
        bytes += len <= q->layout.msgsize ? len : 0;
    }
    return bytes;
}

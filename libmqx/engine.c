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

#include "client.h"
#include "durable.h"
#include "index.h"
#include "segment.h"
#include "wait.h"

/* In a damaged or hostile segment something may look as if it changed all the time. */
#ifdef FUZZING /* the fuzzer has less patience */
#define TRIES 100
#else
#define TRIES 100000
#endif

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

/* Hints are written only where they change, to leave the others' cache lines alone. */
static void hint(_Atomic uint32_t *where, uint32_t value)
{
    if (atomic_load_explicit(where, memory_order_relaxed) != value)
        atomic_store_explicit(where, value, memory_order_relaxed);
}

static bool claim(struct mqxi_queue *q, uint32_t slot, uint64_t owner)
{
    uint64_t free = MQXI_CTL_FREE;

    return atomic_compare_exchange_strong_explicit(&q->ctl[slot], &free, MQXI_CTL_FILLING | owner,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/* Receivers scan only as far as a slot of the front was ever used. */
static void raise_front(struct mqxi_queue *q, uint32_t slots)
{
    _Atomic uint32_t *used = &q->header->front_used;
    uint32_t seen = atomic_load_explicit(used, memory_order_relaxed);

    while (seen < slots && !atomic_compare_exchange_weak(used, &seen, slots))
        ;
}

/*
 * The slots that this end of a stream will need next are far away, in the other
 * end's cache.  Not for single messages, which all use slot 0.
 */
static void fetch_next(const struct mqxi_queue *q, uint32_t slot, bool free)
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

static int claim_in_front(struct mqxi_queue *q, uint64_t owner, uint32_t *slot)
{
    for (uint32_t i = 0; i < q->layout.front; i++)
        if (atomic_load_explicit(&q->ctl[i], memory_order_acquire) == MQXI_CTL_FREE &&
            claim(q, i, owner)) {
            raise_front(q, i + 1);
            fetch_next(q, i, true);
            *slot = i;
            return 0;
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
        if (!claim(q, i, owner))
            continue; /* a bit is a hint; its owner clears or sets it */
        /* Only while the slot is ours: a late clear or set by another would lose it. */
        atomic_fetch_or_explicit(&q->used[word], UINT64_C(1) << bit, memory_order_acq_rel);
        hint(&q->header->free_word, word);
        *slot = i;
        return 0;
    }
    return -EAGAIN;
}

/* Behind the front: the used bitmap, from the hint on and round, then slots never used before. */
static int claim_behind(struct mqxi_queue *q, uint64_t owner, uint32_t *slot)
{
    for (int i = 0; i < TRIES; i++) {
        uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire);
        uint32_t start = atomic_load_explicit(&q->header->free_word, memory_order_relaxed), words;
        int r;

        if (slots > q->layout.maxmsg)
            return -EBADMSG;
        words = (slots + 63) / 64;
        if (start < 1 || start >= words)
            start = 1;
        for (uint32_t w = start; w < words; w++)
            if (claim_in_word(q, w, slots, owner, slot) == 0)
                return 0;
        for (uint32_t w = 1; w < start; w++)
            if (claim_in_word(q, w, slots, owner, slot) == 0)
                return 0;
        if (slots == q->layout.maxmsg)
            return -EAGAIN;
        r = mqxi_segment_reserve(q, slots);
        if (r < 0)
            return r;
        hint(&q->header->free_word, slots / 64);
    }
    return -EBADMSG;
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

static int claim_free(struct mqxi_queue *q, uint64_t owner, uint32_t *slot, uint64_t *seen)
{
    /* At first without a look at the receivers' counter, a cache line that they keep changing. */
    int r = claim_any(q, owner, slot);

    for (int i = 0; r == -EAGAIN && i < TRIES; i++) {
        uint32_t freed = mqxi_event_read(&q->header->send_event);

        r = claim_any(q, owner, slot);
        if (r == -EAGAIN)
            r = claim_in_front(q, owner, slot); /* whatever the hint says */
        /* Full only if nothing was freed while we looked: a slot that we had passed may have
         * become free before one that we still saw free was claimed. */
        if (r == -EAGAIN && mqxi_event_read(&q->header->send_event) == freed) {
            *seen = freed;
            return -EAGAIN;
        }
    }
    return r == -EAGAIN ? -EBADMSG : r;
}

/* The slot is free again; the caller owns it.  The store is the commit point. */
static void release(struct mqxi_queue *q, uint32_t slot)
{
    atomic_store_explicit(&q->ctl[slot], MQXI_CTL_FREE, memory_order_release);
    if (slot >= q->layout.front)
        atomic_fetch_and_explicit(&q->used[slot / 64], ~(UINT64_C(1) << slot % 64),
                                  memory_order_acq_rel);
    if (slot / 64 < atomic_load_explicit(&q->header->free_word, memory_order_relaxed))
        hint(&q->header->free_word, slot / 64);
}

static int fill(struct mqxi_queue *q, uint32_t slot, const void *data, uint32_t len,
                const struct mqxi_identity *me, int64_t type, uint64_t sent_ns)
{
    struct mqxi_slot *s = mqxi_slot(q, slot);

    if (len > MQXI_INLINE) {
        int r = mqxi_segment_reserve_overflow(q, slot, len);

        if (r < 0)
            return r;
    }
    s->type = type;
    s->len = len;
    s->pid = atomic_load_explicit(&me->pid, memory_order_relaxed);
    s->uid = atomic_load_explicit(&me->uid, memory_order_relaxed);
    s->sent_ns = sent_ns;
    memcpy(mqxi_payload(q, slot, len), data, len);
    return 0;
}

/* Make a filled slot a message.  Returns its key, or 0 if the segment is damaged. */
static uint64_t publish(struct mqxi_queue *q, uint32_t slot, uint32_t prio)
{
    struct mqxi_header *h = q->header;
    uint64_t sequence = atomic_fetch_add_explicit(&h->sequence, 1, memory_order_seq_cst) + 1;
    uint64_t key = (uint64_t)(MQXI_PRIO_MAX - 1 - prio) << MQXI_SEQ_BITS | sequence;

    if (sequence >= MQXI_SEQ_MAX)
        return 0;
    mqxi_slot(q, slot)->key = key;
    atomic_store_explicit(&q->newest, sequence, memory_order_release);
    /* The commit point.  Release: who sees the key sees the message. */
    atomic_store_explicit(&q->ctl[slot], key, memory_order_release);
    return key;
}

/* What follows from a message that is there (or there again): tree, mirror, event. */
static int announce(struct mqxi_queue *q, uint32_t slot, uint64_t key, uint64_t sent_ns)
{
    struct mqxi_header *h = q->header;
    int r = slot >= q->layout.front ? mqxi_index_insert(q, slot, key) : 0;

    if (atomic_load_explicit(&h->durable, memory_order_relaxed) != MQXI_DURABLE_OFF)
        mqxi_durable_mark(q, slot);
    hint(&h->send_cpu, (uint32_t)sched_getcpu());
    if (sent_ns)
        atomic_store_explicit(&h->last_send_ns, sent_ns, memory_order_relaxed);
    mqxi_event_signal(&h->recv_event, false);
    return r;
}

/*
 * A line that another core wrote last takes long to get: ask for those of the
 * first slot, which a queue that is nearly empty uses, before the first is
 * needed, and for writing, so that each is fetched once and all at once.
 */
static void fetch_first_slot(const struct mqxi_queue *q)
{
    const uint8_t *s = (const uint8_t *)&mqxi_slot(q, 0)->key;

    __builtin_prefetch((const void *)q->ctl, 1);
    __builtin_prefetch(s, 1);
    __builtin_prefetch(s + 64, 1);
}

int mqxi_put(struct mqxi_queue *q, const void *data, uint32_t len, uint32_t prio, int64_t type,
             uint32_t *slot_out, uint64_t *key_out)
{
    struct mqxi_identity *me;
    uint64_t owner, key, sent_ns = now_coarse();
    uint32_t slot = 0;
    int r = vanished(q);

    if (r == 0 && len > q->layout.msgsize)
        r = -EMSGSIZE;
    if (r < 0)
        return r;
    fetch_first_slot(q);
    do { /* again only in a child that was forked by a signal handler right in here */
        me = mqxi_client_self(q->uid, &r);
        if (!me)
            return r;
        owner = atomic_load_explicit(&me->owner, memory_order_relaxed);
        r = claim_free(q, owner, &slot, key_out ? key_out : &key);
        if (r < 0)
            return vanished(q) ? -EIO : r;
        r = fill(q, slot, data, len, me, type, sent_ns);
    } while (atomic_load_explicit(&me->owner, memory_order_relaxed) != owner);
    key = r == 0 ? publish(q, slot, prio) : 0;
    if (key == 0) {
        release(q, slot);
        mqxi_event_signal(&q->header->send_event, false);
        return r < 0 ? r : -EBADMSG;
    }
    r = announce(q, slot, key, sent_ns);
    if (slot_out)
        *slot_out = slot;
    if (key_out)
        *key_out = key;
    return vanished(q) ? -EIO : r;
}

/* Is anything in these eight slots, a cache line of control words? */
static bool any(_Atomic uint64_t *ctl)
{
    uint64_t all = 0;

    for (int i = 0; i < 8; i++)
        all |= atomic_load_explicit(&ctl[i], memory_order_relaxed);
    return all != MQXI_CTL_FREE;
}

/* The smallest key in the front.  Minus one, a free word (0) is the largest number, and an owned
 * one (bit 63) larger than every key: the minimum alone decides. */
static struct mqxi_first scan_front(const struct mqxi_queue *q)
{
    uint64_t least = UINT64_MAX;
    uint32_t slot = 0, end = atomic_load_explicit(&q->header->front_used, memory_order_acquire);

    if (end > q->layout.front)
        end = q->layout.front;
    for (uint32_t i = 0; i < end; i++) {
        uint64_t v;

        if (i % 8 == 0)
            while (i + 8 <= end && !any(&q->ctl[i]))
                i += 8;
        if (i == end)
            break;
        v = atomic_load_explicit(&q->ctl[i], memory_order_relaxed) - 1;
        /* No branch: in a full front it would be mispredicted several times a scan. */
        slot = v < least ? i : slot;
        least = v < least ? v : least;
    }
    atomic_thread_fence(memory_order_acquire); /* the event counter is read after all of them */
    return (struct mqxi_first){least < MQXI_CTL_OWNED - 1 ? least + 1 : 0, slot};
}

/* The smallest key of front and tree; key 0: none. */
static int find_first(const struct mqxi_queue *q, struct mqxi_first *first)
{
    struct mqxi_first behind;
    int r;

    *first = scan_front(q);
    if (q->layout.levels == 0)
        return 0;
    r = mqxi_index_first(q, &behind);
    if (r == 0 && behind.key - 1 < first->key - 1)
        *first = behind;
    return r;
}

/* A sequence that is known to be taken: that of the message found, or where a backlog shows, all of
 * it at once. */
static uint64_t known_sequence(struct mqxi_queue *q, uint64_t found)
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
 * Find the first message, so that what was sent before it in the order of the
 * queue is not passed over: while we look, a message of higher priority may go
 * into a slot that we had passed, and after it another into one that we then
 * see.  What we found is right if its sequence was taken before we began to
 * look: then whatever we missed was sent at the same time, and may come after
 * it.  So we look a second time, unless this process knows from before that the
 * sequence was taken; what is found again is right.
 *
 * Nothing: that is right if no message arrived while we looked.
 *
 * The senders' own cache lines, which they keep changing, are looked at only
 * where that pays: when a backlog shows, then once for all of it.
 */
static int look(struct mqxi_queue *q, struct mqxi_first *first, uint32_t *seen)
{
    uint64_t newest = atomic_load_explicit(&q->newest, memory_order_acquire);
    bool asked = false;

    for (int i = 0; i < TRIES; i++) {
        int r = find_first(q, first);

        if (r < 0)
            return r;
        if (first->key == 0) {
            uint32_t arrived = mqxi_event_read(&q->header->recv_event);

            atomic_store_explicit(&q->backlog, 0, memory_order_relaxed);
            if (asked && arrived == *seen)
                return -EAGAIN;
            asked = true;
            *seen = arrived;
            continue;
        }
        if ((first->key & MQXI_SEQ_MAX) <= newest)
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

/* Claim the first message: ready -> taking. */
static int claim_first(struct mqxi_queue *q, uint64_t owner, struct mqxi_first *first,
                       uint32_t *seen)
{
    bool rebuilt = false;

    for (int i = 0; i < TRIES; i++) {
        int r = look(q, first, seen);
        uint64_t key = first->key;

        if (!rebuilt && (r == -EBADMSG || i == TRIES / 100)) {
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
            fetch_next(q, first->slot, false);
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

int mqxi_take(struct mqxi_queue *q, struct mqxi_taken *out)
{
    struct mqxi_first first;
    struct mqxi_identity *me;
    struct mqxi_slot *s;
    int r = vanished(q);

    if (r < 0)
        return r;
    fetch_first_slot(q);
    me = mqxi_client_self(q->uid, &r);
    if (!me)
        return r;
    out->owner = atomic_load_explicit(&me->owner, memory_order_relaxed);
    r = claim_first(q, out->owner, &first, &out->seen);
    if (r < 0)
        return vanished(q) ? -EIO : r;
    s = mqxi_slot(q, first.slot);
    out->slot = first.slot;
    out->key = first.key;
    out->prio = mqxi_key_prio(first.key);
    out->len = *(volatile uint32_t *)&s->len; /* read once: what is checked is what is used */
    out->type = s->type;
    out->pid = s->pid;
    out->uid = s->uid;
    out->sent_ns = s->sent_ns;
    if (!plausible(q, out, s->key)) {
        /* Damaged: no use to anybody, and must not block the others behind it. */
        release(q, first.slot);
        mqxi_event_signal(&q->header->send_event, false);
        return vanished(q) ? -EIO : -EBADMSG;
    }
    out->data = mqxi_payload(q, first.slot, out->len);
    return 0;
}

/* False in a child that was forked, by a signal handler, while its parent held the message: it is
 * the parent's. */
static bool still_mine(const struct mqxi_queue *q, const struct mqxi_taken *t)
{
    int error;
    const struct mqxi_identity *me = mqxi_client_self(q->uid, &error);

    return me && atomic_load_explicit(&me->owner, memory_order_relaxed) == t->owner;
}

int mqxi_take_commit(struct mqxi_queue *q, const struct mqxi_taken *t)
{
    struct mqxi_header *h = q->header;
    uint32_t durable = atomic_load_explicit(&h->durable, memory_order_relaxed);

    if (vanished(q))
        return -EIO;
    if (!still_mine(q, t))
        return -ESTALE;
    if (t->len > MQXI_INLINE && !mqxi_segment_keeps_overflow(q, t->slot)) {
        /* Consumed from here on: repaired now, the slot becomes free instead of ready again. */
        atomic_store_explicit(&q->ctl[t->slot], MQXI_CTL_FILLING | t->owner, memory_order_release);
        mqxi_segment_trim_overflow(q, t->slot);
    }
    release(q, t->slot);
    atomic_store_explicit(&h->last_recv_ns, now_coarse(), memory_order_relaxed);
    hint(&h->recv_cpu, (uint32_t)sched_getcpu());
    if (durable != MQXI_DURABLE_OFF)
        mqxi_durable_mark(q, t->slot);
    mqxi_event_signal(&h->send_event, false);
    if (durable == MQXI_DURABLE_SYNC)
        mqxi_event_signal(&h->commit_event, true); /* received counts as durable for its sender */
    return vanished(q);
}

int mqxi_take_abort(struct mqxi_queue *q, const struct mqxi_taken *t)
{
    int r;

    if (vanished(q))
        return -EIO;
    if (!still_mine(q, t))
        return -ESTALE;
    atomic_store_explicit(&q->ctl[t->slot], t->key, memory_order_release);
    r = announce(q, t->slot, t->key, 0);
    return vanished(q) ? -EIO : r;
}

uint32_t mqxi_count(struct mqxi_queue *q)
{
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire), count = 0;

    if (slots > q->layout.maxmsg)
        slots = q->layout.maxmsg;
    for (uint32_t i = 0; i < q->layout.front; i++) {
        uint64_t ctl = atomic_load_explicit(&q->ctl[i], memory_order_acquire);

        count += mqxi_ctl_ready(ctl) || (ctl & ~MQXI_CTL_OWNER) == MQXI_CTL_TAKING;
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

        if (!mqxi_ctl_ready(ctl) && (ctl & ~MQXI_CTL_OWNER) != MQXI_CTL_TAKING)
            continue;
        len = *(volatile uint32_t *)&mqxi_slot(q, i)->len;
        bytes += len <= q->layout.msgsize ? len : 0;
    }
    return bytes;
}

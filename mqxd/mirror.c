/*
 * From marked slots to the store.  A mark is cleared before its slot is read,
 * so that a change after the reading marks it again.  What the store has is
 * remembered here, slot by slot: the segment is other processes' memory, and
 * what it says of the store is for them, not for us.
 *
 * A commit takes the changes of all queues that are due into one transaction.
 * A slot that was filled and emptied since the last commit is as it was, and
 * does not reach the disk.
 */
#include "mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "keys.h"
#include "leaving.h"
#include "log.h"
#include "policies.h"
#include "segment.h"

#define CHANGES  8192               /* slots in a round */
#define BYTES    ((size_t)32 << 20) /* of messages in a transaction */
#define LATER_NS UINT64_C(5000000)  /* a slot that was never still is looked at again after */
#define REMOVALS 16                 /* in a transaction, where the disk is full */

struct change {
    struct attached *a;
    uint32_t slot;
    enum { SAME, WRITTEN, UNSTABLE } what;
    bool waits;    /* its message does, for room on the disk */
    bool limited;  /* its message does, for what the limits let the store have */
    uint32_t len;  /* of what the store has then, or QUOTA_NONE */
    uint64_t key;  /* of what the store has for the slot when the transaction is committed */
    uint64_t gone; /* of what it is to lose, for who is receiving that; or 0 */
};

uint64_t mirror_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- which queues ----------------------------------------------------------------------------- */

static int stored_key(uint32_t slot, const struct mqxi_snapshot *message, const void *data,
                      void *arg)
{
    struct attached *a = arg;

    (void)data;
    if (slot >= a->record.maxmsg) {
        say("store: damaged: queue /%s has a message in slot %u of %u", a->record.name,
            (unsigned)slot, (unsigned)a->record.maxmsg);
        return -EBADMSG;
    }
    a->keys[slot] = message->key;
    quota_stored(a->all, &a->quota, slot, message->len);
    return 0;
}

/* Whatever happened while nobody looked: slots with a message, here or there, are looked at. */
static void mark_all(struct attached *a)
{
    uint32_t slots = mqxi_dirty_slots(a->q);

    for (uint32_t i = 0; i < slots; i++)
        if (a->keys[i] || atomic_load(&a->q->ctl[i]) != MQXI_CTL_FREE)
            mqxi_dirty_again(a->q, i);
    mqxi_dirty_more(a->q);
}

static int make_room(struct mirror *m, uint32_t msgsize)
{
    if (!m->changes)
        m->changes = calloc(CHANGES, sizeof(*m->changes));
    if (m->count == m->room) {
        size_t room = m->room ? 2 * m->room : 64;
        struct attached **queues = realloc(m->queues, room * sizeof(struct attached *));

        if (!queues)
            return -ENOMEM;
        m->queues = queues;
        m->room = room;
    }
    if (msgsize > m->buffer_size) {
        uint8_t *buffer = realloc(m->buffer, msgsize);

        if (!buffer)
            return -ENOMEM;
        m->buffer = buffer;
        m->buffer_size = msgsize;
    }
    return m->changes ? 0 : -ENOMEM;
}

int mirror_add(struct mirror *m, struct mqxi_queue *q, const struct store_queue *record)
{
    struct attached *a = calloc(1, sizeof(*a));
    int r = make_room(m, q->layout.msgsize);

    if (a)
        a->keys = calloc(q->layout.maxmsg, sizeof(*a->keys));
    if (r == 0 && (!a || !a->keys || quota_open(&a->quota, q->layout.maxmsg) < 0))
        r = -ENOMEM;
    if (r == 0) {
        a->q = q;
        a->all = &m->quotas;
        a->quota.max = policies_store_max(m, q, record->name);
        a->record = *record;
        a->mode = record->mode;
        if (record->created_ns < m->counters.started_ns) /* else all was sent since we are here */
            a->first = a->sequence = atomic_load(&q->header->sequence);
        r = store_each_message(m->store, record->uuid, stored_key, a);
    }
    if (r == 0)
        r = policies_encrypt(m, a);
    if (r < 0) {
        if (r == -ENOMEM)
            say_event(SAY_WARNING, "not-mirrored", record->name, "queue /%s: not enough memory",
                      record->name);
        if (a) {
            quota_close(&m->quotas, &a->quota);
            free(a->keys);
        }
        free(a);
        mqxi_segment_detach(q);
        return r;
    }
    atomic_store(&q->header->disk_full, m->full);
    mark_all(a);
    a->due = mirror_now(); /* it may have waited for us for its window, or longer */
    a->leaving = a->due;
    m->queues[m->count++] = a;
    return 0;
}

void mirror_remove(struct mirror *m, struct attached *a)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->queues[i] == a) {
            m->queues[i] = m->queues[--m->count];
            break;
        }
    mqxi_segment_detach(a->q);
    quota_close(&m->quotas, &a->quota);
    free(a->keys);
    free(a);
}

void mirror_free(struct mirror *m)
{
    while (m->count)
        mirror_remove(m, m->queues[0]);
    free(m->queues);
    free(m->buffer);
    free(m->changes);
    free(m->conf);
    keys_free(m->keys);
}

static bool is_broken(struct attached *a)
{
    if (!a->broken && atomic_load(&a->q->dead))
        a->broken = "its file was truncated, or memory is full";
    return a->broken;
}

static void remove_broken(struct mirror *m)
{
    for (size_t i = m->count; i-- > 0;) {
        struct attached *a = m->queues[i];

        if (!is_broken(a))
            continue;
        say_event(SAY_WARNING, "not-mirrored", a->record.name,
                  "queue /%s: %s; it is not mirrored any longer, the store keeps what it has",
                  a->record.name, a->broken);
        mqxi_snapshot_refuse(a->q);
        mirror_remove(m, a);
    }
}

/* --- what changed ----------------------------------------------------------------------------- */

static void mark_again(uint32_t slot, void *arg)
{
    mqxi_dirty_again(arg, slot);
}

/* Something was given back: what waits for that is tried again. */
static void retry(struct mirror *m)
{
    m->quotas.freed = false;
    for (size_t i = 0; i < m->count; i++) {
        struct attached *a = m->queues[i];

        if (!a->quota.full || !quota_has_room(&m->quotas, &a->quota) || is_broken(a))
            continue;
        quota_each_waiting(&a->quota, mark_again, a->q);
        atomic_store(&a->q->header->disk_full, m->full);
        mqxi_snapshot_wake(a->q);
    }
}

void mirror_look(struct mirror *m, uint64_t now)
{
    m->leaving = m->unrung = false;
    for (size_t i = 0; i < m->count; i++) {
        struct attached *a = m->queues[i];

        if (a->leaving && a->leaving <= now)
            a->leaving = leaving_look(a);
        m->leaving |= a->leaving != 0;
        /* Its users' registry has another's name, so they are in a user namespace, perhaps, in which
         * our doorbell is nobody's. */
        m->unrung |= a->q->header->registry != a->q->uid;
    }
}

uint64_t mirror_due(struct mirror *m, uint64_t now)
{
    uint64_t first = 0;

    if (m->quotas.freed)
        retry(m);
    for (size_t i = 0; i < m->count; i++) {
        struct attached *a = m->queues[i];

        if (!a->due && mqxi_dirty(a->q)) {
            bool wait = atomic_load(&a->q->header->durable) == MQXI_DURABLE_ASYNC;

            a->due = now + (wait ? m->window_ns : 0);
        }
        if (a->due && (!first || a->due < first))
            first = a->due;
    }
    return first;
}

/* The number is the segment's, so anybody's: it is counted, and no more. */
static void note_sent(struct mirror *m, struct attached *a)
{
    uint64_t sequence = atomic_load(&a->q->header->sequence);

    if (sequence > a->sequence && sequence <= MQXI_SEQ_MAX)
        m->counters.sent += sequence - a->sequence;
    a->sequence = sequence;
}

/* Goes on where the last collection ended: slots that always have changed keep no others out. */
static void collect_from(struct mirror *m, struct attached *a, uint64_t now)
{
    uint32_t words;

    a->due = 0;
    note_sent(m, a);
    mqxi_dirty_begin(a->q);
    words = mqxi_dirty_words(a->q);
    for (uint32_t i = 0; i < words; i++) {
        uint64_t marks;

        if (m->change_count > CHANGES - 64) {
            mqxi_dirty_more(a->q);
            a->due = now;
            return;
        }
        a->word = a->word + 1 < words ? a->word + 1 : 0;
        for (marks = mqxi_dirty_take(a->q, a->word); marks; marks &= marks - 1)
            m->changes[m->change_count++] =
                (struct change){.a = a, .slot = a->word * 64 + (uint32_t)__builtin_ctzll(marks)};
    }
}

static void collect(struct mirror *m, uint64_t now)
{
    m->change_count = 0;
    mirror_due(m, now);
    /* Each begins where the one before ended: a queue that always has more than fits into a
     * transaction does not keep others out. */
    for (size_t i = 0; i < m->count && m->change_count <= CHANGES - 64; i++) {
        struct attached *a = m->queues[m->turn++ % m->count];

        if (a->due && a->due <= now)
            collect_from(m, a, now);
    }
}

/* --- into the store --------------------------------------------------------------------------- */

/* A part of the changes that goes into one transaction. */
struct part {
    struct mirror *m;
    size_t from, to;
    size_t most;     /* changes */
    size_t removals; /* alone, so many; 0: all changes */
    bool written;    /* something was */
    uint64_t begun;
};

/* A change of mode goes along with the next change of a message.  1: it did. */
static int put_mode(struct store *s, struct attached *a)
{
    struct store_queue now = a->record;
    int r;

    a->mode = atomic_load(&a->q->header->mode) & 07777;
    if (is_broken(a))
        a->mode = a->record.mode;
    if (a->mode == a->record.mode)
        return 0;
    now.mode = a->mode;
    r = store_put_queue(s, &now);
    return r < 0 ? r : 1;
}

/* A message that the store does not have: read it, if it can have it now. */
static int read_new(struct part *p, struct change *c, struct mqxi_snapshot *message)
{
    struct attached *a = c->a;
    int r = 0;

    c->waits = p->removals > 0;
    c->limited = !c->waits && a->quota.refused;
    if (!c->waits && !c->limited) {
        r = mqxi_snapshot(a->q, c->slot, message, p->m->buffer);
        c->key = message->key;
        if (r == 0 && c->key & MQXI_DISK_GONE)
            r = -EAGAIN; /* it began to leave just now */
        c->limited = r == 0 && c->key != 0 && c->key != a->keys[c->slot] &&
                     !quota_allows(&p->m->quotas, &a->quota, c->slot, message->len);
    }
    if (c->waits || c->limited)
        c->key = 0; /* what was there before it can go */
    return r;
}

static int put_change(struct part *p, struct change *c, size_t *bytes)
{
    struct mirror *m = p->m;
    struct attached *a = c->a;
    struct mqxi_snapshot message = {0};
    uint64_t stored = a->keys[c->slot];
    int r = mqxi_snapshot_key(a->q, c->slot, &c->key);

    c->waits = c->limited = false;
    c->gone = r == 0 && c->key & MQXI_DISK_GONE ? c->key : 0;
    if (c->gone && leaving_orphaned(a->q, c->slot)) {
        a->leaving = 1; /* at once: it is to be stored, where it is back */
        r = -EAGAIN;
    }
    if (c->gone)
        c->key = 0;
    if (r == 0 && c->key != 0 && c->key != stored)
        r = read_new(p, c, &message);
    if (r == -EBADMSG)
        a->broken = "it is damaged";
    c->what = r < 0 ? UNSTABLE : c->key == stored ? SAME : WRITTEN;
    /* Of a segment that is gone, all slots look free. */
    if (is_broken(a) || c->what != WRITTEN)
        return 0;
    *bytes += message.len;
    c->len = c->key ? message.len : QUOTA_NONE;
    if (!c->key)
        quota_allows(&m->quotas, &a->quota, c->slot, QUOTA_NONE);
    if (!c->key)
        return store_delete_message(m->store, a->record.uuid, c->slot);
    return (a->encrypt ? store_put_sealed : store_put_message)(m->store, a->record.uuid, c->slot,
                                                               &message, m->buffer);
}

/* For store_commit and store_remove: 1 if there is nothing to be written. */
static int put_changes(struct store *s, void *arg)
{
    struct part *p = arg;
    struct attached *last = NULL;
    size_t bytes = 0, removed = 0;
    int r = 0;

    p->written = false;
    p->m->quotas.planned = 0;
    for (p->to = p->from; r >= 0 && p->to < p->m->change_count && p->to - p->from < p->most &&
                          bytes < BYTES && (!p->removals || removed < p->removals);
         p->to++) {
        struct change *c = &p->m->changes[p->to];

        if (is_broken(c->a))
            continue;
        if (c->a != last)
            quota_begin(&c->a->quota);
        if (c->a != last && !p->removals)
            r = put_mode(s, c->a);
        last = c->a;
        p->written |= r > 0;
        if (r >= 0)
            r = put_change(p, c, &bytes);
        p->written |= c->what == WRITTEN;
        removed += c->what == WRITTEN;
    }
    return r < 0 ? r : !p->written;
}

/* The store shall not have this message yet: its sender sees a full queue. */
static void hold(struct mirror *m, struct attached *a, uint32_t slot)
{
    const struct quota *l = &a->quota;
    bool own = l->max && l->bytes >= l->max / 2;

    quota_wait(&a->quota, slot, true);
    atomic_store(&a->q->header->disk_full, 1);
    if (!l->said)
        say_event(
            SAY_WARNING, "store-max", a->record.name,
            "queue /%s: the store has %llu bytes of %s, and store_max is %llu: who sends to it "
            "waits "
            "until messages are received",
            a->record.name, (unsigned long long)(own ? l->bytes : m->quotas.bytes),
            own ? "it" : "all queues", (unsigned long long)(own ? l->max : m->quotas.max));
    a->quota.said = true;
}

/* What the limits count, and the counters. */
static void count(struct mirror *m, const struct change *c)
{
    struct quota *l = &c->a->quota;

    quota_wait(l, c->slot, false);
    m->counters.stored += c->what == WRITTEN && (c->key & MQXI_SEQ_MAX) > c->a->first;
    if (c->what == WRITTEN)
        quota_stored(&m->quotas, l, c->slot, c->len);
    if (c->limited)
        hold(m, c->a, c->slot);
    else if (l->said && l->bytes < l->max / 4 * 3)
        l->said = false;
}

/* It is on disk: tell who waits. */
static void acknowledge(struct part *p, uint64_t now)
{
    uint64_t changes = 0;

    for (size_t i = p->from; i < p->to; i++) {
        struct change *c = &p->m->changes[i];
        struct attached *a = c->a;

        if (is_broken(a))
            continue;
        if (c->what == UNSTABLE) {
            mqxi_dirty_again(a->q, c->slot);
            a->due = now + LATER_NS;
            continue;
        }
        if (!p->removals)
            a->record.mode = a->mode;
        if (c->waits) {
            mqxi_dirty_again(a->q, c->slot);
            a->due = now;
        }
        changes += c->what == WRITTEN;
        if (c->what == WRITTEN && a->keys[c->slot])
            p->m->freed = true;
        a->keys[c->slot] = c->key;
        count(p->m, c);
        if (c->gone && !a->leaving)
            a->leaving = now + LEAVING_NS;
        if (c->key || c->gone || c->what == WRITTEN)
            mqxi_snapshot_stored(a->q, c->slot, c->key | c->gone);
        if (i + 1 == p->to || p->m->changes[i + 1].a != a)
            mqxi_snapshot_wake(a->q);
    }
    if (p->written)
        counters_commit(&p->m->counters, changes, mirror_now() - p->begun);
}

/* Not on disk: as if it had not been looked at. */
static void give_back(struct part *p, uint64_t now)
{
    for (size_t i = p->from; i < p->m->change_count; i++) {
        struct change *c = &p->m->changes[i];

        mqxi_dirty_again(c->a->q, c->slot);
        c->a->due = now;
    }
}

/* The disk is full: what was received can go all the same. */
static int commit_removals(struct part *p, uint64_t begun)
{
    int r = 0;

    p->removals = REMOVALS;
    p->most = CHANGES;
    while (r >= 0 && p->from < p->m->change_count) {
        p->begun = mirror_now();
        r = store_remove(p->m->store, put_changes, p);
        if (r == -ENOSPC && p->removals > 1) { /* fewer need fewer pages */
            p->removals /= 2;
            r = 0;
        } else if (r >= 0) {
            acknowledge(p, begun);
            p->from = p->to;
        }
    }
    if (r < 0)
        give_back(p, begun);
    else if (p->m->freed)
        r = store_turn(p->m->store);
    if (r < 0)
        return r;
    p->m->turned = p->m->freed;
    p->m->freed = false;
    return -ENOSPC;
}

int mirror_commit(struct mirror *m, uint64_t now)
{
    struct part p = {.m = m, .most = CHANGES};
    uint64_t begun = mirror_now();
    bool written = false;
    int r = 0;

    collect(m, now);
    m->turned = false;
    while (r >= 0 && p.from < m->change_count) {
        p.begun = mirror_now(); /* with what the store does first, which senders wait for, too */
        r = store_commit(m->store, put_changes, &p);
        if (r == -ENOSPC && p.to - p.from > 1) {
            p.most = (p.to - p.from) / 2; /* those for which there is room */
            r = 0;
        } else if (r >= 0) {
            acknowledge(&p, begun);
            written |= p.written;
            p.from = p.to;
        }
    }
    if (r == -ENOSPC)
        r = commit_removals(&p, begun);
    else if (r < 0)
        give_back(&p, begun);
    remove_broken(m);
    return r < 0 ? r : written;
}

void mirror_full(struct mirror *m, bool full)
{
    m->full = full;
    for (size_t i = 0; i < m->count; i++) {
        struct mqxi_queue *q = m->queues[i]->q;
        bool waits = full || m->queues[i]->quota.full;

        if (atomic_load(&q->header->disk_full) == waits || atomic_load(&q->dead))
            continue;
        atomic_store(&q->header->disk_full, waits);
        mqxi_snapshot_wake(q);
    }
}

void mirror_refuse(struct mirror *m)
{
    for (size_t i = 0; i < m->count; i++)
        mqxi_snapshot_refuse(m->queues[i]->q);
}

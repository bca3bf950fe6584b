/*
 * Selecting by type.  As a rule the first message is the one that is wanted.  Else
 * the slots of the front are looked at, and behind it the types region is searched: eight
 * bytes a slot, side by side, so that ten thousand messages are some microseconds' work.
 * (In the front it would be one more cache line for each message to go between CPUs.)  What
 * is found there is a hint, as the index is; the control word decides.
 *
 * A type is written while its slot is being filled.  Who reads a type, then the key
 * (acquire), then the same type, has that key's type; and who then claims the slot
 * by that key claims the message.
 *
 * Behind the front, the lowest level of the tree says which groups of slots hold
 * messages at all, and from which key on.
 */
#include "choose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sys.h"
#include "wait.h"

/* Looks before what was found counts, though others never stop sending. */
#define LOOKS 64

struct found {
    uint64_t key; /* 0: nothing */
    int64_t type;
    uint32_t slot;
};

static inline int64_t type_of(const struct mqxi_queue *q, uint32_t slot)
{
    return atomic_load_explicit(&q->types[slot], memory_order_relaxed);
}

static inline void consider(const struct mqxi_queue *q, const struct mqxi_choice *c, uint32_t slot,
                            struct found *best)
{
    uint64_t key = atomic_load_explicit(&q->ctl[slot], memory_order_acquire);
    int64_t type;

    if (!mqxi_ctl_ready(key))
        return;
    type = mqxi_slot_see(mqxi_slot_type(q, slot));
    if (!mqxi_choice_wants(c, type))
        return;
    if (best->key != 0 && (c->mode != MQXI_LOWEST || type == best->type) && best->key < key)
        return;
    if (best->key != 0 && c->mode == MQXI_LOWEST && type > best->type)
        return;
    *best = (struct found){key, type, slot};
}

/* Is one of these eight of the type?  Without branches in between. */
static inline bool among_eight(const struct mqxi_queue *q, uint32_t slot, int64_t type)
{
    unsigned any = 0;

    for (uint32_t i = 0; i < 8; i++)
        any |= type_of(q, slot + i) == type;
    return any;
}

/* One of this type, whose key is at least that: does it go before the best? */
static inline bool may_win(const struct mqxi_choice *c, int64_t type, uint64_t least,
                           const struct found *best)
{
    if (c->mode == MQXI_LOWEST && best->key != 0)
        return type < best->type || (type == best->type && least < best->key);
    return mqxi_choice_wants(c, type);
}

static void scan(const struct mqxi_queue *q, const struct mqxi_choice *c, uint32_t from,
                 uint32_t end, uint64_t least, struct found *best)
{
    uint32_t i = from;

    while (i < end) {
        uint32_t stop = end - i < 8 ? end : i + 8;

        if (c->mode == MQXI_EQUAL && stop - i == 8 && !among_eight(q, i, c->type)) {
            i = stop;
            continue;
        }
        for (; i < stop; i++)
            if (may_win(c, type_of(q, i), least, best))
                consider(q, c, i, best);
    }
}

/* Slots that may hold messages. */
static uint32_t slots_of(const struct mqxi_queue *q)
{
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire);

    return slots > q->layout.maxmsg ? q->layout.maxmsg : slots;
}

static void scan_keys(const struct mqxi_queue *q, const struct mqxi_choice *c, struct found *best)
{
    uint32_t slots = slots_of(q);

    for (uint32_t i = 0; i < slots; i++) {
        uint64_t key = atomic_load_explicit(&q->ctl[i], memory_order_acquire);

        if (mqxi_ctl_ready(key) && key >= c->from && key <= c->to &&
            (best->key == 0 || key < best->key))
            *best = (struct found){.key = key, .slot = i};
    }
}

static void scan_all(const struct mqxi_queue *q, const struct mqxi_choice *c, struct found *best)
{
    uint32_t front = atomic_load_explicit(&q->header->front_used, memory_order_acquire);
    uint32_t slots = slots_of(q);
    const struct mqxi_node *leaf =
        (const struct mqxi_node *)((const uint8_t *)q->header + q->layout.level[0]);

    for (uint32_t i = 0; i < front && i < q->layout.front; i++)
        consider(q, c, i, best);
    for (uint32_t at = q->layout.front; at < slots; at += MQXI_FANOUT, leaf++) {
        uint64_t least = atomic_load_explicit(&leaf->key, memory_order_acquire);

        if (least == 0 ||
            (best->key != 0 && least > best->key && (c->mode != MQXI_LOWEST || best->type == 1)))
            continue; /* nothing there, or nothing that goes before what we have */
        scan(q, c, at, slots - at < MQXI_FANOUT ? slots : at + MQXI_FANOUT, least, best);
    }
}

/*
 * As engine.c's look: what was found is right if it had its sequence before we began, for then
 * whatever goes before it had, too, and was gone when we looked at its slot, or is still being
 * sent.  Not where the lowest type is wanted, which may have come later: then nothing may have
 * arrived.  Where something always does, a call must end all the same: what came while it looked
 * counts as coming later.
 */
static int search(struct mqxi_queue *q, const struct mqxi_choice *c, struct mqxi_first *first,
                  uint32_t *seen)
{
    struct found best;

    for (int i = 0; i < LOOKS; i++) {
        uint64_t taken = atomic_load_explicit(&q->header->sequence, memory_order_acquire);

        *seen = mqxi_event_read(&q->header->recv_event);
        best = (struct found){0, 0, 0};
        if (c->mode == MQXI_BETWEEN)
            scan_keys(q, c, &best);
        else
            scan_all(q, c, &best);
        if (mqxi_event_read(&q->header->recv_event) == *seen ||
            (best.key != 0 && c->mode != MQXI_LOWEST && (best.key & MQXI_SEQ_MAX) <= taken))
            break;
    }
    *first = (struct mqxi_first){best.key, best.slot};
    return best.key ? 0 : -EAGAIN;
}

int mqxi_choose_slowly(struct mqxi_queue *q, const struct mqxi_choice *c, struct mqxi_first *first,
                       uint32_t *seen)
{
    int r = mqxi_choice_is_first(q, c, first) ? 0 : search(q, c, first, seen);
    uint32_t len;

    if (r < 0)
        return r;
    len = mqxi_slot_see(&mqxi_slot(q, first->slot)->len);
    if (len <= c->longest && !c->fault)
        return 0;
    /* Not ours to take; if it is still there: else the attempt to claim it fails. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&q->ctl[first->slot], memory_order_relaxed) != first->key)
        return 0;
    return len > q->layout.msgsize ? 0 : len > c->longest ? -E2BIG : -EFAULT;
}

int mqxi_choose_key(struct mqxi_queue *q, const struct mqxi_choice *c, struct mqxi_first *first)
{
    uint32_t seen;

    return search(q, c, first, &seen);
}

/* --- copying -------------------------------------------------------------------------------------
 */

static int by_key(const void *a, const void *b)
{
    const struct mqxi_first *x = a, *y = b;

    return x->key < y->key ? -1 : x->key > y->key;
}

/* Number n of the messages that are there. */
static int find_nth(const struct mqxi_queue *q, uint64_t n, struct mqxi_first *out)
{
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire), count = 0;
    size_t bytes = (slots > q->layout.maxmsg ? 0 : slots) * sizeof(struct mqxi_first);
    struct mqxi_first *all;

    if (bytes == 0)
        return -EBADMSG;
    all = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return -ENOMEM;
    for (uint32_t i = 0; i < slots; i++) {
        uint64_t key = atomic_load_explicit(&q->ctl[i], memory_order_acquire);

        if (mqxi_ctl_ready(key))
            all[count++] = (struct mqxi_first){key, i};
    }
    qsort(all, count, sizeof(*all), by_key);
    if (n < count)
        *out = all[n];
    munmap(all, bytes);
    return n < count ? 0 : -EAGAIN;
}

/* The copy races with the slot's next sender on purpose; the caller finds out. */
__attribute__((no_sanitize("thread"))) static void
copy(const struct mqxi_queue *q, uint32_t slot, void *to, uint32_t room, struct mqxi_copy *out)
{
    const volatile struct mqxi_slot *s = mqxi_slot(q, slot);

    out->type = mqxi_slot_see(mqxi_slot_type(q, slot));
    out->len = s->len;
    if (out->len <= room && out->len <= q->layout.msgsize && out->len > 0)
        memcpy(to, mqxi_payload(q, slot, out->len), out->len);
}

int mqxi_choose_copy(struct mqxi_queue *q, uint64_t n, void *to, uint32_t room,
                     struct mqxi_copy *out)
{
    for (int i = 0; i < LOOKS; i++) {
        struct mqxi_first nth;
        int r = find_nth(q, n, &nth);

        if (r < 0)
            return r;
        copy(q, nth.slot, to, room, out);
        atomic_thread_fence(memory_order_acquire); /* the copy before the second look */
        if (atomic_load_explicit(&q->ctl[nth.slot], memory_order_relaxed) != nth.key)
            continue;
        return out->len > q->layout.msgsize ? -EBADMSG : out->len > room ? -E2BIG : 0;
    }
    return -EAGAIN;
}

/*
 * What counts is what the store has, by the bytes of the messages and of their
 * records' heads.  A message that does not fit stays where it is, in its slot, not
 * stored: its sender waits, as for room in a full queue.  When something is given
 * back, what waits is tried again.
 *
 * A queue that has nothing in the store may have one message, however large: else it
 * would wait for ever.
 */
#include "quota.h"

#include <errno.h>
#include <stdlib.h>

#include "record.h"

static_assert(QUOTA_HEADS == sizeof(struct message_key) + sizeof(struct message_record),
              "the records' heads");

int quota_open(struct quota *l, uint32_t slots)
{
    l->slots = slots;
    l->sizes = calloc(slots, sizeof(*l->sizes));
    l->waiting = calloc(slots / 64 + 1, sizeof(*l->waiting));
    return l->sizes && l->waiting ? 0 : -ENOMEM;
}

void quota_close(struct quotas *all, struct quota *l)
{
    all->bytes -= l->bytes;
    all->messages -= l->messages;
    all->freed |= l->bytes > 0;
    free(l->sizes);
    free(l->waiting);
}

void quota_begin(struct quota *l)
{
    l->planned = 0;
    l->refused = false;
}

static uint32_t size_of(uint32_t len)
{
    return len == QUOTA_NONE ? 0 : len + QUOTA_HEADS;
}

static bool fits(uint64_t max, uint64_t bytes, int64_t planned)
{
    return max == 0 || (int64_t)bytes + planned <= (int64_t)max;
}

bool quota_allows(struct quotas *all, struct quota *l, uint32_t slot, uint32_t len)
{
    int64_t more = (int64_t)size_of(len) - l->sizes[slot];
    bool first = (int64_t)l->bytes + l->planned == (int64_t)l->sizes[slot];

    if (more > 0 && !first &&
        (l->refused || !fits(l->max, l->bytes, l->planned + more) ||
         !fits(all->max, all->bytes, all->planned + more))) {
        l->refused = true; /* nor those behind it: a small one is not to pass it */
        return false;
    }
    l->planned += more;
    all->planned += more;
    return true;
}

void quota_stored(struct quotas *all, struct quota *l, uint32_t slot, uint32_t len)
{
    uint32_t was = l->sizes[slot], is = size_of(len);

    all->freed |= is < was;
    l->bytes += is;
    l->bytes -= was;
    all->bytes += is;
    all->bytes -= was;
    l->messages += (is > 0);
    l->messages -= (was > 0);
    all->messages += (is > 0);
    all->messages -= (was > 0);
    l->sizes[slot] = is;
}

void quota_wait(struct quota *l, uint32_t slot, bool waits)
{
    uint64_t bit = UINT64_C(1) << slot % 64;

    if (!waits) {
        l->waiting[slot / 64] &= ~bit;
        return;
    }
    l->waiting[slot / 64] |= bit;
    l->full = true;
}

bool quota_has_room(const struct quotas *all, const struct quota *l)
{
    return l->bytes == 0 ||
           ((l->max == 0 || l->bytes < l->max) && (all->max == 0 || all->bytes < all->max));
}

void quota_each_waiting(struct quota *l, void (*each)(uint32_t slot, void *arg), void *arg)
{
    for (uint32_t w = 0; w <= l->slots / 64; w++) {
        uint64_t bits = l->waiting[w];

        l->waiting[w] = 0;
        for (; bits; bits &= bits - 1)
            each(w * 64 + (uint32_t)__builtin_ctzll(bits), arg);
    }
    l->full = false;
}

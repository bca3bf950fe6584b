/*
 * Saying that the order of messages was disturbed: see order.h.  It only grows, so that
 * nobody takes back what another said.
 *
 * The sequence is read after what was said: at that moment nobody had a later one than
 * that.  Were it the other way round, a receiver could take such a one in between, by
 * going from one message to the next, and go on so afterwards.
 */
#include "order.h"

void mqxi_order_disturb(struct mqxi_queue *q, uint32_t ahead)
{
    uint64_t seen = atomic_load(&q->header->disturbed), sequence;

    /* Each time twice as far ahead: so it ends, however fast others send. */
    while ((sequence = atomic_load(&q->header->sequence)) > seen)
        if (atomic_compare_exchange_strong(&q->header->disturbed, &seen, sequence + ahead)) {
            seen = sequence + ahead;
            ahead = 2 * ahead + 1;
        }
}

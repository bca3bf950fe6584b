/*
 * Saying that the order of messages was disturbed: see order.h.  It only grows, so that
 * nobody takes back what another said.
 */
#include "order.h"

void mqxi_order_disturb(struct mqxi_queue *q, uint32_t ahead)
{
    uint64_t sequence = atomic_load(&q->header->sequence);
    uint64_t seen = atomic_load(&q->header->disturbed);

    while (seen < sequence &&
           !atomic_compare_exchange_weak(&q->header->disturbed, &seen, sequence + ahead))
        ;
}

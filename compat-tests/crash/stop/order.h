/* Did messages overtake each other?  (order.c) */
#ifndef ORDER_H
#define ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRIORITIES 8
#define NEVER      UINT32_MAX

/* What the books say of one message; NEVER where something did not happen. */
struct fact {
    uint32_t send_begin, send_end, receive_begin, receive_end;
    unsigned prio;
};

/* Messages that passed over one of a higher priority, or (same) overtook one of their own.  Sorts
 * the facts. */
uint64_t overtakers(struct fact *facts, size_t count, bool same);

#endif

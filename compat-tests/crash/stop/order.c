/*
 * The messages are visited by the moment from which on others count as sent before
 * (the begin of the receive, for those of higher priority; of the send, for those
 * of the same); kept is, for each priority, the latest begin of a receive among the
 * messages sent until then.
 */
#include "order.h"

#include "../storm.h"

static int by_receive_begin(const void *a, const void *b)
{
    uint32_t x = ((const struct fact *)a)->receive_begin,
             y = ((const struct fact *)b)->receive_begin;

    return (x > y) - (x < y);
}

static int by_send_begin(const void *a, const void *b)
{
    uint32_t x = ((const struct fact *)a)->send_begin, y = ((const struct fact *)b)->send_begin;

    return (x > y) - (x < y);
}

static int by_send_end(const void *a, const void *b)
{
    uint32_t x = (*(const struct fact *const *)a)->send_end;
    uint32_t y = (*(const struct fact *const *)b)->send_end;

    return (x > y) - (x < y);
}

uint64_t overtakers(struct fact *facts, size_t count, bool same)
{
    const struct fact **sent = malloc((count + 1) * sizeof(struct fact *));
    uint32_t latest[PRIORITIES] = {0};
    uint64_t found_here = 0;
    size_t next = 0;

    if (!sent)
        storm_die("malloc");
    qsort(facts, count, sizeof *facts, same ? by_send_begin : by_receive_begin);
    for (size_t i = 0; i < count; i++)
        sent[i] = &facts[i];
    qsort(sent, count, sizeof(struct fact *), by_send_end);
    for (size_t i = 0; i < count; i++) {
        const struct fact *m = &facts[i];
        uint32_t moment = same ? m->send_begin : m->receive_begin, worst = 0;

        for (; next < count && sent[next]->send_end < moment; next++)
            if (sent[next]->receive_begin > latest[sent[next]->prio])
                latest[sent[next]->prio] = sent[next]->receive_begin;
        for (unsigned p = same ? m->prio : m->prio + 1; p < (same ? m->prio + 1 : PRIORITIES); p++)
            worst = latest[p] > worst ? latest[p] : worst;
        if (m->receive_end != NEVER && worst > m->receive_end && ++found_here <= 3)
            printf(
                "# priority %u, sent %u-%u, received %u-%u: before it was one received from %u\n",
                m->prio, m->send_begin, m->send_end, m->receive_begin, m->receive_end, worst);
    }
    free(sent);
    return found_here;
}

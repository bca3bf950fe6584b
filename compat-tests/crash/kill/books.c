/*
 * The books of the kill storm: how often each message was received, and what is
 * open of those that the dead were sending or receiving.
 */
#include "kill.h"

void account(uint32_t sender, uint64_t number)
{
    if (sender > PARENT || number >= CAPACITY ||
        number >= atomic_load(&shared->worker[sender].attempt)) {
        found.unsent++;
        return;
    }
    found.messages++;
    if ((ledger[sender][number] & TIMES) != TIMES)
        ledger[sender][number]++;
    if ((ledger[sender][number] & TIMES) > 1 && ++found.twice <= 5)
        printf("# message %" PRIu64 " of worker %u came again\n", number, sender);
}

void pump(void)
{
    for (unsigned w = 0; w < WORKERS; w++) {
        struct worker *log = &shared->worker[w];
        uint64_t at = atomic_load(&log->consumed), to = atomic_load(&log->recorded);

        for (; at != to; at++)
            account((uint32_t)(log->journal[at % JOURNAL] >> 48),
                    log->journal[at % JOURNAL] & ((UINT64_C(1) << 48) - 1));
        atomic_store(&log->consumed, at);
    }
}

void settle(unsigned w)
{
    struct worker *log = &shared->worker[w];
    const struct storm_msg *msg = (const struct storm_msg *)log->buffer;
    uint64_t sent = atomic_load(&log->sent), recorded = atomic_load(&log->recorded);

    pump();
    if (atomic_load(&log->attempt) != sent) {
        ledger[w][sent] |= MAYBE_SENT;
        atomic_store(&log->sent, sent + 1); /* the successor goes on behind it */
        found.in_send++;
        found.maybe_sent++;
    }
    if (atomic_load(&log->intent) != recorded) {
        bool whole = msg->sender <= PARENT && msg->number < CAPACITY &&
                     msg->round == round_number &&
                     storm_verify(msg, storm_length(msg, msgsize), msgsize);

        if (atomic_load(&log->returned) != recorded) {
            if (whole)
                account(msg->sender, msg->number);
            else
                found.damaged++;
        } else {
            found.in_receive++;
            if (whole && !(ledger[msg->sender][msg->number] & MAYBE_TAKEN)) {
                ledger[msg->sender][msg->number] |= MAYBE_TAKEN;
                found.maybe_taken++;
            }
        }
        atomic_store(&log->intent, recorded);
        atomic_store(&log->returned, recorded);
    }
}

uint64_t missing(bool print)
{
    uint64_t count = 0;

    for (unsigned s = 0; s <= PARENT; s++)
        for (uint64_t n = 0, end = atomic_load(&shared->worker[s].sent); n < end; n++)
            if (ledger[s][n] == 0 && ++count <= 5 && print)
                printf("# message %" PRIu64 " of worker %u never came\n", n, s);
    return count;
}

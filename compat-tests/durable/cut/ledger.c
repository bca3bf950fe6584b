/*
 * What clients were told, in memory that outlives them and the power, and the
 * promises that follow from it:
 *
 * - a send to a sync queue that returned 0 is stored; one to an async queue is
 *   once the window was over and a commit was seen after that;
 * - what is stored and was not received is there;
 * - what was received, and the removal stored, does not come back; before that it
 *   may, but only in another life;
 * - where receives wait for the commit, it does not come back from when they returned;
 *   one that failed has given its message back, which the disk may not have until
 *   the next commit;
 * - a message whose send failed is not received, but perhaps in another life;
 * - nothing else is ever received.
 */
#include "storm.h"

struct ledger *ledger;

void ledger_wrong(const char *format, ...)
{
    char line[300];
    va_list args;
    int n;

    if (atomic_fetch_add(&ledger->wrong, 1) > 20)
        return;
    va_start(args, format);
    n = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    line[n < (int)sizeof(line) - 1 ? n : (int)sizeof(line) - 2] = 0;
    dprintf(STDOUT_FILENO, "# life %u: %s\n", (unsigned)ledger->life, line);
}

static struct entry *find(const struct storm_msg *msg)
{
    if (msg->sender > CHECKER || msg->round != ledger->epoch || msg->number >= NUMBERS)
        return NULL;
    return &ledger->client[msg->sender].entry[msg->number];
}

struct entry *ledger_received(unsigned client, unsigned queue, const struct storm_msg *msg,
                              size_t len)
{
    struct entry *e;
    uint32_t before;

    atomic_fetch_add(&ledger->receives, 1);
    if (!storm_verify(msg, len, MSGSIZE)) {
        ledger_wrong("client %u received what nobody sent from queue %u", client, queue);
        return NULL;
    }
    e = find(msg);
    if (!e) {
        ledger_wrong("a message came back whose removal was stored: queue %u, epoch %u of %u",
                     queue, (unsigned)msg->round, (unsigned)ledger->epoch);
        return NULL;
    }
    before = atomic_exchange(&e->received, ledger->life);
    if (!e->tried || e->queue != queue)
        ledger_wrong("message %u/%" PRIu64 " is not of queue %u", msg->sender, msg->number, queue);
    else if (before == ledger->life)
        ledger_wrong("message %u/%" PRIu64 " was received twice", msg->sender, msg->number);
    else if (e->refused == ledger->life)
        ledger_wrong("message %u/%" PRIu64 " was received, and its send failed", msg->sender,
                     msg->number);
    else if (e->removed)
        ledger_wrong("message %u/%" PRIu64 " came back: it was received in life %u, and its "
                     "removal stored",
                     msg->sender, msg->number, (unsigned)before);
    else if (before)
        atomic_fetch_add(&ledger->came_back, 1);
    return e;
}

struct entry *ledger_in_buffer(unsigned client)
{
    struct client *c = &ledger->client[client];
    const struct storm_msg *msg = (const struct storm_msg *)c->buffer.bytes;

    return storm_verify(msg, storm_length(msg, MSGSIZE), MSGSIZE) ? find(msg) : NULL;
}

void ledger_settle(unsigned client)
{
    struct client *c = &ledger->client[client];
    struct entry *e = c->begun != c->noted ? ledger_in_buffer(client) : NULL;

    if (e && e->received != ledger->life)
        e->maybe = ledger->life;
    c->noted = c->begun;
}

void ledger_check(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        for (uint32_t n = 0; n < ledger->client[i].next; n++) {
            const struct entry *e = &ledger->client[i].entry[n];

            if (e->sent && e->stored && !e->received && !e->maybe && !e->returned)
                ledger_wrong("message %u/%u to %s queue %u is lost", i, (unsigned)n,
                             queues[e->queue].sync ? "sync" : "async", (unsigned)e->queue);
        }
}

void ledger_new_epoch(void)
{
    ledger->epoch++;
    memset(ledger->client, 0, sizeof(ledger->client));
}

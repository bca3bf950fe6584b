/*
 * The books of the storm: what each source sent and received, although it may be
 * killed at any moment.
 *
 * A sender stores the number it attempts before the call and the number it sent
 * after it; killed in between, that one message may exist or not.  A receiver
 * receives into shared memory and journals after the call.  Killed between the
 * two, what is whole in its buffer may have been received or not; what is not
 * whole was not, and must turn up again.
 */
#include "storm.h"

bool whole(const struct message *m, ssize_t len)
{
    const struct storm_msg *msg = (const struct storm_msg *)m->room;

    return len >= (ssize_t)sizeof *msg && msg->sender < HARNESS && msg->number < CAPACITY &&
           msg->round == round_number && m->type == type_of(msg) &&
           storm_verify(msg, (size_t)len, msgsize);
}

void journal(struct log *log, const struct storm_msg *msg)
{
    uint64_t at = atomic_load(&log->recorded);

    if (at >= CAPACITY)
        storm_die("log full");
    log->journal[at] = (uint64_t)msg->sender << 48 | msg->number;
    atomic_store(&log->recorded, at + 1);
}

void settle(unsigned source)
{
    struct log *log = &shared->log[source];
    const struct storm_msg *msg = (const struct storm_msg *)log->message.room;
    uint64_t sent = atomic_load(&log->sent), recorded = atomic_load(&log->recorded);

    if (atomic_load(&log->attempt) != sent) {
        shared->maybe[source][sent] |= MAYBE_SENT;
        atomic_store(&log->sent, sent + 1); /* the successor goes on behind it */
        found.in_send++;
    }
    if (atomic_load(&log->intent) != recorded) {
        bool is_whole = msg->sender < HARNESS && msg->number < CAPACITY &&
                        whole(&log->message, (ssize_t)storm_length(msg, msgsize));

        if (atomic_load(&log->returned) != recorded) {
            if (is_whole)
                journal(log, msg);
            else
                found.damaged++;
        } else {
            found.in_receive++;
            if (is_whole)
                shared->maybe[msg->sender][msg->number] |= MAYBE_TAKEN;
        }
        recorded = atomic_load(&log->recorded);
        atomic_store(&log->intent, recorded);
        atomic_store(&log->returned, recorded);
    }
}

/* One source's journal: each sender's messages of one type come in order. */
static void read_journal(const struct log *log, uint8_t *times, bool print)
{
    bool ordered = log != &shared->log[HARNESS]; /* it looks by itself */
    static uint64_t last[SOURCES][QUEUES][TYPES + 1];

    memset(last, 0, sizeof last);
    for (uint64_t i = 0, end = atomic_load(&log->recorded); i < end; i++) {
        struct storm_msg msg = {.sender = (uint32_t)(log->journal[i] >> 48),
                                .round = round_number,
                                .number = log->journal[i] & ((UINT64_C(1) << 48) - 1)};
        uint64_t *before = &last[msg.sender][queue_of(&msg)][type_of(&msg)];

        if (msg.number >= atomic_load(&shared->log[msg.sender].attempt)) {
            found.unsent++;
            continue;
        }
        found.messages++;
        if (ordered && msg.number < *before && ++found.disorder <= 5 && print)
            printf("# source %u received message %" PRIu64 " of source %u, type %ld, after %" PRIu64
                   "\n",
                   (unsigned)(log - shared->log), msg.number, msg.sender, type_of(&msg), *before);
        *before = msg.number > *before ? msg.number : *before;
        if (times[msg.sender * CAPACITY + msg.number] < 9)
            times[msg.sender * CAPACITY + msg.number]++;
    }
}

uint64_t missing(bool print)
{
    uint8_t *times = storm_shared(SOURCES * CAPACITY);
    uint64_t lost = 0;

    found.messages = found.unsent = found.disorder = found.twice = 0;
    for (unsigned s = 0; s < SOURCES; s++)
        read_journal(&shared->log[s], times, print);
    for (unsigned s = 0; s < HARNESS; s++)
        for (uint64_t n = 0, end = atomic_load(&shared->log[s].sent); n < end; n++) {
            unsigned came = times[s * CAPACITY + n];

            if (came > 1 && ++found.twice <= 5 && print)
                printf("# message %" PRIu64 " of source %u came %u times\n", n, s, came);
            if (came == 0 && !shared->maybe[s][n] && ++lost <= 5 && print)
                printf("# message %" PRIu64 " of source %u never came\n", n, s);
        }
    munmap(times, SOURCES * CAPACITY);
    return lost;
}

/* The engine in one thread: order, limits, slots, memory. */
#include "engine.h"

#include "testing.h"
#include "wait.h"

static int put(struct mqxi_queue *q, const void *data, uint32_t len, uint32_t prio)
{
    return mqxi_put(q, data, len, prio, 0, NULL, NULL);
}

static void put_number(struct mqxi_queue *q, uint32_t number, uint32_t prio)
{
    IS(put(q, &number, sizeof(number), prio), 0);
}

static uint32_t take_number(struct mqxi_queue *q)
{
    struct mqxi_taken t;
    uint32_t number;

    IS(mqxi_take(q, &t), 0);
    IS(t.len, sizeof(number));
    memcpy(&number, t.data, sizeof(number));
    IS(mqxi_take_commit(q, &t), 0);
    return number;
}

static void check_empty(struct mqxi_queue *q)
{
    struct mqxi_taken t;

    IS(mqxi_take(q, &t), -EAGAIN);
    IS(mqxi_count(q), 0);
    IS(mqxi_bytes(q), 0);
}

/* --- single properties ------------------------------------------------------------------------ */

static const uint32_t sizes[] = {1, 10, 63, 64, 65, 80, 300, 5000};
#define SIZES (sizeof(sizes) / sizeof(*sizes))

static void fifo_until_full(void)
{
    for (unsigned s = 0; s < SIZES; s++) {
        struct mqxi_queue *q = create("q", sizes[s], 16);

        for (int round = 0; round < 3; round++) {
            check_empty(q);
            for (uint32_t i = 0; i < sizes[s]; i++) {
                put_number(q, i, 7);
                IS(mqxi_count(q), i + 1);
            }
            IS(put(q, "x", 1, 32767), -EAGAIN);
            IS(mqxi_count(q), sizes[s]);
            IS(mqxi_bytes(q), 4 * sizes[s]);
            for (uint32_t i = 0; i < sizes[s]; i++)
                IS(take_number(q), i);
        }
        check_empty(q);
        mqxi_segment_detach(q);
        IS(mqxi_segment_unlink("q"), 0);
    }
}

/* Every priority once, in an order that jumps about; and again, first in first out among equals. */
static void all_priorities(void)
{
    struct mqxi_queue *q = create("q", 2 * MQXI_PRIO_MAX, 16);

    for (uint32_t i = 0; i < 2 * MQXI_PRIO_MAX; i++)
        put_number(q, i, i * 12347 % MQXI_PRIO_MAX); /* odd, so a permutation */
    for (uint32_t prio = MQXI_PRIO_MAX; prio-- > 0;)
        for (uint32_t round = 0; round < 2; round++) {
            struct mqxi_taken t;
            uint32_t number;

            IS(mqxi_take(q, &t), 0);
            IS(t.prio, prio);
            memcpy(&number, t.data, sizeof(number));
            IS(number / MQXI_PRIO_MAX, round);
            IS(number * 12347 % MQXI_PRIO_MAX, prio);
            IS(mqxi_take_commit(q, &t), 0);
        }
    check_empty(q);
    mqxi_segment_detach(q);
}

/* Where the one goes in front of the scan and the other behind it, in both directions. */
static void priorities_across_front_and_tree(void)
{
    struct mqxi_queue *q = create("q", 130, 16);

    for (uint32_t i = 0; i < 130; i++)
        put_number(q, i, i < 64 ? 1 : 2);
    for (uint32_t i = 64; i < 130; i++)
        IS(take_number(q), i);
    for (uint32_t i = 64; i < 130; i++)
        put_number(q, i, 0);
    for (uint32_t i = 0; i < 130; i++)
        IS(take_number(q), i);
    mqxi_segment_detach(q);
}

static void lengths(void)
{
    static const uint32_t lens[] = {0, 1, 159, 160, 161, 4095, 4096, 4097, 8191, 8192};
    static uint8_t data[MQXI_MSGSIZE_MAX];
    struct mqxi_queue *q = create("q", 70, 8192), *small = create("small", 3, 1),
                      *large = create("large", 2, MQXI_MSGSIZE_MAX);
    struct mqxi_taken t;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + (i >> 12));
    for (int round = 0; round < 7; round++) /* all slots, also those of the tree */
        for (unsigned i = 0; i < sizeof(lens) / sizeof(*lens); i++)
            IS(put(q, data + i, lens[i], 0), 0);
    for (int round = 0; round < 7; round++)
        for (unsigned i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
            IS(mqxi_take(q, &t), 0);
            IS(t.len, lens[i]);
            IS(memcmp(t.data, data + i, t.len), 0);
            IS(mqxi_take_commit(q, &t), 0);
        }
    IS(put(q, data, 8193, 0), -EMSGSIZE);
    IS(put(small, data, 2, 0), -EMSGSIZE);
    IS(put(small, data, 1, 0), 0);
    IS(put(large, data, MQXI_MSGSIZE_MAX, 0), 0);
    IS(mqxi_bytes(large), MQXI_MSGSIZE_MAX);
    IS(mqxi_take(large, &t), 0);
    IS(t.len, MQXI_MSGSIZE_MAX);
    IS(memcmp(t.data, data, MQXI_MSGSIZE_MAX), 0);
    IS(mqxi_take_commit(large, &t), 0);
    check_empty(q);
    check_empty(large);
    mqxi_segment_detach(q);
    mqxi_segment_detach(small);
    mqxi_segment_detach(large);
}

static void what_a_message_carries(void)
{
    struct mqxi_queue *q = create("q", 3, 100);
    struct timespec before, after;
    struct mqxi_taken t;
    uint64_t key, second, ns;
    uint32_t slot;

    clock_gettime(CLOCK_REALTIME_COARSE, &before);
    IS(mqxi_put(q, "abc", 3, 9, INT64_MIN, &slot, &key), 0);
    clock_gettime(CLOCK_REALTIME_COARSE, &after);
    IS(slot, 0);
    IS(mqxi_key_prio(key), 9);
    IS(mqxi_put(q, "", 0, 9, 0, &slot, &second), 0);
    IS(slot, 1);
    CHECK(second > key);
    IS(mqxi_take(q, &t), 0);
    IS(t.slot, 0);
    IS(t.key, key);
    IS(t.prio, 9);
    IS(t.type, INT64_MIN);
    IS(t.pid, getpid());
    IS(t.uid, getuid());
    ns = (uint64_t)before.tv_sec * 1000000000u + (uint64_t)before.tv_nsec;
    CHECK(t.sent_ns >= ns);
    ns = (uint64_t)after.tv_sec * 1000000000u + (uint64_t)after.tv_nsec;
    CHECK(t.sent_ns <= ns);
    IS(q->header->last_send_ns >= t.sent_ns, 1);
    IS(mqxi_take_commit(q, &t), 0);
    CHECK(q->header->last_recv_ns >= t.sent_ns);
    mqxi_segment_detach(q);
}

/* Two phases: held messages count, go back to their old place, and are nobody else's. */
static void abort_restores_order(void)
{
    static const uint32_t some[] = {5, 200}; /* front; front and tree */

    for (int s = 0; s < 2; s++) {
        struct mqxi_queue *q = create("q", some[s], 16);
        struct mqxi_taken t[3];

        for (uint32_t i = 0; i < some[s]; i++)
            put_number(q, i, 0);
        for (uint32_t i = 0; i < some[s] - 3; i++)
            IS(take_number(q), i);
        for (int i = 0; i < 3; i++)
            IS(mqxi_take(q, &t[i]), 0);
        IS(mqxi_take(q, &(struct mqxi_taken){0}), -EAGAIN);
        IS(mqxi_count(q), 3);
        IS(mqxi_bytes(q), 12);
        IS(mqxi_take_abort(q, &t[2]), 0);
        IS(mqxi_take_abort(q, &t[0]), 0);
        IS(take_number(q), some[s] - 3);
        IS(take_number(q), some[s] - 1);
        IS(mqxi_count(q), 1);
        IS(mqxi_take_abort(q, &t[1]), 0);
        IS(take_number(q), some[s] - 2);
        check_empty(q);
        mqxi_segment_detach(q);
        IS(mqxi_segment_unlink("q"), 0);
    }
}

static void lowest_slot_first(void)
{
    static const uint32_t freed[] = {7, 63, 64, 70, 130, 131, 199};
    struct mqxi_queue *q = create("q", 300, 16);
    uint32_t slot;

    for (uint32_t i = 0; i < 200; i++) {
        bool early = false;

        for (unsigned f = 0; f < 7; f++)
            early |= freed[f] == i;
        IS(mqxi_put(q, "x", 1, early ? i : 0, 0, &slot, NULL), 0);
        IS(slot, i);
    }
    for (int f = 6; f >= 0; f--) { /* highest priority first: the highest slot */
        struct mqxi_taken t;

        IS(mqxi_take(q, &t), 0);
        IS(t.slot, freed[f]);
        IS(mqxi_take_commit(q, &t), 0);
    }
    for (int f = 0; f < 7; f++) {
        IS(mqxi_put(q, "y", 1, 0, 0, &slot, NULL), 0);
        IS(slot, freed[f]);
    }
    IS(mqxi_put(q, "y", 1, 0, 0, &slot, NULL), 0);
    IS(slot, 200);
    mqxi_segment_detach(q);
}

/* Who is refused learns the count to wait on: it moves when that changes. */
static void where_to_wait(void)
{
    static const uint32_t some[] = {3, 100};

    for (int s = 0; s < 2; s++) {
        struct mqxi_queue *q = create("q", some[s], 16);
        struct mqxi_taken t;
        uint64_t seen = 1; /* no count: those are even */

        for (uint32_t i = 0; i < some[s]; i++)
            put_number(q, i, 0);
        IS(mqxi_put(q, "x", 1, 0, 0, NULL, &seen), -EAGAIN);
        IS(seen, mqxi_event_read(&q->header->send_event));
        for (uint32_t i = 0; i < some[s]; i++)
            IS(take_number(q), i);
        CHECK(seen != mqxi_event_read(&q->header->send_event));
        t.seen = 1;
        IS(mqxi_take(q, &t), -EAGAIN);
        IS(t.seen, mqxi_event_read(&q->header->recv_event));
        put_number(q, 0, 0);
        CHECK(t.seen != mqxi_event_read(&q->header->recv_event));
        mqxi_segment_detach(q);
        IS(mqxi_segment_unlink("q"), 0);
    }
}

/* A sequence is never used twice: when they are used up, that is the end of the queue. */
static void sequences_end(void)
{
    struct mqxi_queue *q = create("q", 4, 16);

    q->header->sequence = MQXI_SEQ_MAX - 2;
    put_number(q, 1, 0);
    IS(put(q, "x", 1, 0), -EBADMSG);
    IS(put(q, "x", 1, 0), -EBADMSG);
    IS(mqxi_count(q), 1);
    IS(take_number(q), 1);
    check_empty(q);
    mqxi_segment_detach(q);
}

struct held {
    struct mqxi_queue *q;
    struct mqxi_taken t;
};

static void child_of_a_taker(void *arg)
{
    struct held *h = arg;

    IS(mqxi_take_commit(h->q, &h->t), -ESTALE);
    IS(mqxi_take_abort(h->q, &h->t), -ESTALE);
    IS(take_number(h->q), 2); /* and what else is there is for it too */
}

/* Who is forked while its parent holds a message does not hold it. */
static void taken_is_not_inherited(void)
{
    struct held h = {.q = create("q", 4, 16)};

    put_number(h.q, 1, 0);
    put_number(h.q, 2, 0);
    IS(mqxi_take(h.q, &h.t), 0);
    finish(start(child_of_a_taker, &h));
    IS(mqxi_count(h.q), 1);
    IS(mqxi_take_commit(h.q, &h.t), 0);
    check_empty(h.q);
    mqxi_segment_detach(h.q);
}

/* A message that cannot be right is dropped, and does not block those behind it. */
static void damaged_message_is_dropped(void)
{
    static const uint32_t some[] = {5, 80};

    for (int s = 0; s < 2; s++) {
        struct mqxi_queue *q = create("q", some[s], 16);
        struct mqxi_taken t;

        for (uint32_t i = 0; i < some[s]; i++)
            put_number(q, i, 0);
        mqxi_slot(q, 0)->len = 17;
        mqxi_slot(q, 1)->key++;
        mqxi_slot(q, some[s] - 1)->len = UINT32_MAX;
        IS(mqxi_bytes(q), 4 * (some[s] - 2));
        IS(mqxi_take(q, &t), -EBADMSG);
        IS(mqxi_take(q, &t), -EBADMSG);
        for (uint32_t i = 2; i < some[s] - 1; i++)
            IS(take_number(q), i);
        IS(mqxi_take(q, &t), -EBADMSG);
        check_empty(q);
        put_number(q, 1, 0);
        IS(take_number(q), 1);
        mqxi_segment_detach(q);
        IS(mqxi_segment_unlink("q"), 0);
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

static void memory_follows_the_bytes(void)
{
    enum { LARGE = 1 << 20, MESSAGES = 100 };
    static uint8_t data[LARGE];
    struct mqxi_queue *q = create("q", 200, LARGE);
    struct mqxi_taken t;

    memset(data, 1, sizeof(data));
    CHECK(occupied("q") < 200 << 10); /* not maxmsg * msgsize */
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MESSAGES; i++)
            IS(put(q, data, LARGE, 0), 0);
        CHECK(occupied("q") >= (uint64_t)MESSAGES * LARGE);
        CHECK(occupied("q") < (uint64_t)MESSAGES * LARGE + (1 << 20));
        for (int i = 0; i < MESSAGES / 2; i++) {
            IS(mqxi_take(q, &t), 0);
            IS(mqxi_take_commit(q, &t), 0);
        }
        CHECK(occupied("q") < (uint64_t)MESSAGES / 2 * LARGE + (1 << 20));
        for (int i = 0; i < MESSAGES / 2; i++) {
            IS(mqxi_take(q, &t), 0);
            IS(mqxi_take_commit(q, &t), 0);
        }
        CHECK(occupied("q") < 1 << 20);
    }
    mqxi_segment_detach(q);
}

/* Slots are made as they are needed, a few in advance: not in proportion to what is there. */
static void memory_follows_the_count(void)
{
    enum { MESSAGES = 200000, ADVANCE = 1024 };
    struct mqxi_queue *q = create("q", 1000000, 8192);
    uint64_t slot = q->layout.stride + 12; /* control word, bits, tree */

    for (uint32_t i = 0; i < MESSAGES; i++)
        put_number(q, i, 0);
    CHECK(occupied("q") <= (MESSAGES + ADVANCE) * slot);
    mqxi_segment_detach(q);
}

static void million_messages(void)
{
    enum { MESSAGES = 1000000, LARGEST = 400 };
    struct mqxi_queue *q = create("q", MESSAGES, 8192);
    uint32_t data[16] = {0};
    struct mqxi_taken t;

    for (uint32_t i = 0; i < MESSAGES; i++) {
        data[0] = data[15] = i;
        IS(put(q, data, sizeof(data), 0), 0);
    }
    IS(put(q, data, sizeof(data), 0), -EAGAIN);
    IS(mqxi_count(q), MESSAGES);
    IS(mqxi_bytes(q), 64ll * MESSAGES);
    if (occupied("q") > (uint64_t)MESSAGES * LARGEST)
        FAIL("a message takes %lu bytes", (unsigned long)(occupied("q") / MESSAGES));
    for (uint32_t i = 0; i < MESSAGES; i++) {
        IS(mqxi_take(q, &t), 0);
        memcpy(data, t.data, sizeof(data));
        CHECK(data[0] == i && data[15] == i);
        IS(mqxi_take_commit(q, &t), 0);
    }
    check_empty(q);
    mqxi_segment_detach(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(fifo_until_full),
        UNIT(all_priorities),
        UNIT(priorities_across_front_and_tree),
        UNIT(lengths),
        UNIT(what_a_message_carries),
        UNIT(abort_restores_order),
        UNIT(lowest_slot_first),
        UNIT(where_to_wait),
        UNIT(sequences_end),
        UNIT(taken_is_not_inherited),
        UNIT(damaged_message_is_dropped),
        UNIT(memory_follows_the_bytes),
        UNIT(memory_follows_the_count),
        UNIT(million_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The parts of a segment do not overlap, lie where their users need them, and names lead to paths.
 */
#include "layout.h"

#include "queue.h"
#include "testing.h"

static void check_tree(const struct mqxi_layout *l)
{
    uint64_t end = l->tree;
    uint32_t things = l->maxmsg - l->front;

    IS(l->levels == 0, things == 0);
    for (uint32_t i = 0; i < l->levels; i++) {
        CHECK(l->level[i] >= end && l->level[i] % 16 == 0);
        IS(l->nodes[i], (things + MQXI_FANOUT - 1) / MQXI_FANOUT);
        things = l->nodes[i];
        end = l->level[i] + things * sizeof(struct mqxi_node);
    }
    CHECK(l->levels == 0 || things == 1); /* a root */
    CHECK(end <= l->slots);
}

static void check_layout(uint32_t maxmsg, uint32_t msgsize)
{
    struct mqxi_layout l;

    memset(&l, 0xff, sizeof(l));
    IS(mqxi_layout(maxmsg, msgsize, &l), 0);
    IS(l.maxmsg, maxmsg);
    IS(l.msgsize, msgsize);
    IS(l.front, maxmsg < MQXI_FRONT ? maxmsg : MQXI_FRONT);
    CHECK(l.levels <= MQXI_LEVELS);
    IS(l.words, (maxmsg + 63) / 64);
    CHECK(l.ctl >= sizeof(struct mqxi_header) && l.ctl % 64 == 0);
    CHECK(l.used >= l.ctl + maxmsg * 8ull && l.used % 8 == 0);
    CHECK(l.dirty >= l.used + l.words * 8ull && l.dirty % 8 == 0);
    CHECK(l.tree >= l.dirty + l.words * 8ull);
    check_tree(&l);
    CHECK(l.slots % 64 == 0 && l.stride % 64 == 0);
    CHECK(l.stride >= sizeof(struct mqxi_slot) + (msgsize < MQXI_INLINE ? msgsize : MQXI_INLINE));
    CHECK(l.overflow >= l.slots + (uint64_t)maxmsg * l.stride && l.overflow % MQXI_PAGE == 0);
    if (msgsize <= MQXI_INLINE)
        IS(l.room, 0);
    else
        CHECK(l.room >= msgsize && l.room < msgsize + MQXI_PAGE && l.room % MQXI_PAGE == 0);
    IS(l.size, l.overflow + maxmsg * l.room);
}

static void no_overlap(void)
{
    static const uint32_t counts[] = {
        1, 2, 63, 64, 65, 79, 80, 81, 320, 321, 4160, 65600, 65601, 1000000, MQXI_MAXMSG_MAX};
    static const uint32_t lens[] = {1, 32, 33, 159, 160, 161, 4096, 4097, 8192, MQXI_MSGSIZE_MAX};
    uint64_t random = 1;

    for (unsigned i = 0; i < sizeof(counts) / sizeof(*counts); i++)
        for (unsigned j = 0; j < sizeof(lens) / sizeof(*lens); j++)
            check_layout(counts[i], lens[j]);
    for (int i = 0; i < 10000; i++)
        check_layout(1 + below(&random, MQXI_MAXMSG_MAX), 1 + below(&random, MQXI_MSGSIZE_MAX));
}

static void limits(void)
{
    struct mqxi_layout l;

    IS(mqxi_layout(0, 1, &l), -EINVAL);
    IS(mqxi_layout(1, 0, &l), -EINVAL);
    IS(mqxi_layout(MQXI_MAXMSG_MAX + 1, 1, &l), -EINVAL);
    IS(mqxi_layout(1, MQXI_MSGSIZE_MAX + 1, &l), -EINVAL);
    IS(mqxi_layout(UINT32_MAX, UINT32_MAX, &l), -EINVAL);
}

/* A million small messages where large ones are possible cost what they need: with the page that
 * each slot could have, they would not. */
static void slots_are_small(void)
{
    struct mqxi_layout l;

    IS(mqxi_layout(1000000, 8192, &l), 0);
    CHECK(l.overflow / 1000000 < 300);
    IS(mqxi_layout(1000000, 32, &l), 0);
    CHECK(l.size / 1000000 < 200);
}

static void slots_and_payload(void)
{
    struct mqxi_queue q = {.slots = (uint8_t *)0x10000, .overflow = (uint8_t *)0x20000};

    IS(mqxi_layout(10, 9000, &q.layout), 0);
    IS((uintptr_t)mqxi_slot(&q, 3), 0x10000 + 3 * 256);
    IS((uintptr_t)mqxi_payload(&q, 3, MQXI_INLINE), 0x10000 + 3 * 256 + sizeof(struct mqxi_slot));
    IS((uintptr_t)mqxi_payload(&q, 3, MQXI_INLINE + 1), 0x20000 + 3 * 12288);
}

static void keys(void)
{
    uint64_t highest = 1, lowest = (uint64_t)(MQXI_PRIO_MAX - 1) << MQXI_SEQ_BITS | MQXI_SEQ_MAX;

    IS(mqxi_key_prio(highest), MQXI_PRIO_MAX - 1);
    IS(mqxi_key_prio(lowest), 0);
    CHECK(mqxi_ctl_ready(highest) && mqxi_ctl_ready(lowest));
    CHECK(!mqxi_ctl_ready(MQXI_CTL_FREE));
    CHECK(!mqxi_ctl_ready(MQXI_CTL_FILLING) && !mqxi_ctl_ready(MQXI_CTL_TAKING | 5));
    CHECK(MQXI_CTL_FILLING != MQXI_CTL_TAKING);
}

static void fingerprint(void)
{
    CHECK(mqxi_fingerprint() != 0);
    IS(mqxi_fingerprint(), mqxi_fingerprint());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(no_overlap),        UNIT(limits), UNIT(slots_are_small),
        UNIT(slots_and_payload), UNIT(keys),   UNIT(fingerprint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

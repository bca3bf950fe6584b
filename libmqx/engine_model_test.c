/* Random operations of the engine against a model that is a list. */
#include "engine.h"

#include "testing.h"

#define HELD 3

struct model {
    struct mqxi_queue *q;
    uint64_t random;
    uint32_t maxmsg, msgsize, prios;
    struct entry {
        uint32_t prio, len, slot;
        uint64_t id; /* in the order of sending */
    } * ready, held[HELD];
    struct mqxi_taken taken[HELD];
    uint32_t count, holds;
    uint64_t bytes, sent;
    bool *used; /* by slot */
    uint8_t *data;
};

static void fill(struct model *m, uint64_t id, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        m->data[i] = (uint8_t)(id * 31 + i * 7 + (i >> 8));
}

static uint32_t some_length(struct model *m)
{
    switch (below(&m->random, 8)) {
    case 0:
        return 0;
    case 1:
        return m->msgsize;
    case 2:
        return below(&m->random, m->msgsize + 1);
    default:
        return below(&m->random, m->msgsize < 200 ? m->msgsize + 1 : 201);
    }
}

static void model_put(struct model *m)
{
    struct entry e = {.prio = below(&m->random, m->prios), .len = some_length(m), .id = m->sent};
    uint32_t lowest = 0;
    uint64_t key;
    int r;

    fill(m, e.id, e.len);
    r = mqxi_put(m->q, m->data, e.len, e.prio, (int64_t)e.id, &e.slot, &key);
    if (m->count + m->holds == m->maxmsg) {
        IS(r, -EAGAIN);
        return;
    }
    IS(r, 0);
    while (m->used[lowest])
        lowest++;
    if (e.slot != lowest) /* any in the front, behind it the lowest */
        CHECK(e.slot < MQXI_FRONT && lowest < MQXI_FRONT && !m->used[e.slot]);
    m->used[e.slot] = true;
    m->ready[m->count++] = e;
    m->bytes += e.len;
    m->sent++;
}

static void model_take(struct model *m)
{
    struct mqxi_taken *t = &m->taken[m->holds];
    uint32_t first = 0;

    if (m->holds == HELD)
        return;
    if (m->count == 0) {
        IS(mqxi_take(m->q, t), -EAGAIN);
        return;
    }
    for (uint32_t i = 1; i < m->count; i++) {
        const struct entry *a = &m->ready[i], *b = &m->ready[first];

        if (a->prio > b->prio || (a->prio == b->prio && a->id < b->id))
            first = i;
    }
    IS(mqxi_take(m->q, t), 0);
    IS(t->type, m->ready[first].id);
    IS(t->prio, m->ready[first].prio);
    IS(t->len, m->ready[first].len);
    IS(t->slot, m->ready[first].slot);
    fill(m, m->ready[first].id, t->len);
    IS(memcmp(t->data, m->data, t->len), 0);
    m->held[m->holds++] = m->ready[first];
    m->ready[first] = m->ready[--m->count];
}

static void model_settle(struct model *m, bool commit)
{
    uint32_t i;

    if (m->holds == 0)
        return;
    i = below(&m->random, m->holds);
    if (commit) {
        IS(mqxi_take_commit(m->q, &m->taken[i]), 0);
        m->used[m->held[i].slot] = false;
        m->bytes -= m->held[i].len;
    } else {
        IS(mqxi_take_abort(m->q, &m->taken[i]), 0);
        m->ready[m->count++] = m->held[i];
    }
    m->held[i] = m->held[--m->holds];
    m->taken[i] = m->taken[m->holds];
}

static void model_run(struct model *m)
{
    uint32_t operations = 6 * m->maxmsg + 3000;

    for (uint32_t i = 0; i < operations; i++) {
        /* Fill it, drain it, or around the middle. */
        uint32_t puts = (uint32_t[]){70, 20, 45}[i / (m->maxmsg + 100) % 3];
        uint32_t dice = below(&m->random, 100);

        if (dice < puts)
            model_put(m);
        else if (dice < puts + (100 - puts) / 2)
            model_take(m);
        else
            model_settle(m, dice % 4 != 0);
        IS(mqxi_count(m->q), m->count + m->holds);
        if (i % 64 == 0)
            IS(mqxi_bytes(m->q), m->bytes);
    }
    while (m->count + m->holds > 0) {
        model_take(m);
        model_settle(m, true);
    }
    IS(mqxi_take(m->q, &m->taken[0]), -EAGAIN);
    IS(mqxi_bytes(m->q), 0);
}

static void random_operations(void)
{
    static const uint32_t sizes[] = {1, 10, 63, 64, 65, 80, 300, 5000};
    static const uint32_t msgsizes[] = {1, 160, 161, 20000};

    for (unsigned s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
        for (unsigned i = 0; i < 4; i++) {
            struct model m = {.maxmsg = sizes[s], .msgsize = msgsizes[i], .random = s * 4 + i};

            m.prios = i % 2 ? 3 : MQXI_PRIO_MAX;
            m.q = create("q", m.maxmsg, m.msgsize);
            m.ready = calloc(m.maxmsg, sizeof(*m.ready));
            m.used = calloc(m.maxmsg + 1, sizeof(*m.used));
            m.data = malloc(m.msgsize);
            CHECK(m.ready && m.used && m.data);
            model_run(&m);
            free(m.ready);
            free(m.used);
            free(m.data);
            mqxi_segment_detach(m.q);
            IS(mqxi_segment_unlink("q"), 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT(random_operations)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

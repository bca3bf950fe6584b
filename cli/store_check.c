/*
 * Every record of a store: is it one, and does it go with the others?  LMDB's
 * own structure is sound by then (inspect.c).  What is wrong is printed with its
 * queue, and the search goes on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../mqxd/log.h"
#include "../mqxd/record.h"
#include "../mqxd/seal.h"
#include "store.h"
#include "text.h"

struct place {
    uint64_t key;
    uint32_t slot;
};

struct checking {
    struct store_queue *queues; /* in the order of their uuids, as they are read */
    size_t count, room;
    size_t at; /* the one whose messages come now */
    uint64_t messages, bytes, wrong;
    const struct keys *keys;
    uint64_t encrypted;
    uint8_t *buffer; /* for what is decrypted */
    size_t buffer_size;
    struct place *places; /* of the messages of that one */
    size_t place_count, place_room;
};

static char *hex(const void *uuid, size_t len)
{
    static char text[2 * 16 + 1];

    text[0] = 0;
    for (size_t i = 0; i < len && i < 16; i++)
        sprintf(text + 2 * i, "%02x", ((const uint8_t *)uuid)[i]);
    return text;
}

static void print_name(const struct store_queue *q)
{
    char name[NAME_MAX + 1];

    snprintf(name, sizeof(name), "%s", q->name);
    mqxi_text_clean(name);
    printf("queue /%s: ", name);
}

/* A longer list, if it is full. */
static void *more(void *list, size_t count, size_t *room, size_t size)
{
    void *longer;

    if (count < *room)
        return list;
    longer = realloc(list, (*room ? 2 * *room : 64) * size);
    if (longer)
        *room = *room ? 2 * *room : 64;
    else
        say("not enough memory");
    return longer;
}

static const char *impossible(const struct store_queue *q)
{
    if (q->maxmsg < 1 || q->maxmsg > MQXI_MAXMSG_MAX || q->msgsize < 1 ||
        q->msgsize > MQXI_MSGSIZE_MAX)
        return "it cannot have so many messages, or such large ones";
    if (q->durable != MQXI_DURABLE_ASYNC && q->durable != MQXI_DURABLE_SYNC)
        return "it is not durable, and yet stored";
    return NULL;
}

static int check_queue(const MDB_val *key, const MDB_val *value, void *arg)
{
    struct checking *c = arg;
    struct store_queue *queues = more(c->queues, c->count, &c->room, sizeof(*queues)), *q;
    const char *why;

    if (!queues)
        return -ENOMEM;
    c->queues = queues;
    q = &queues[c->count];
    why = record_queue(key, value, q);
    if (why) {
        printf("queue with uuid %s: %s\n", hex(key->mv_data, key->mv_size), why);
        c->wrong++;
        return 0;
    }
    c->count++;
    why = impossible(q);
    if (why) {
        print_name(q);
        puts(why);
        c->wrong++;
    }
    return 0;
}

static int by_key(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

/* All messages of the queue were seen: no two have the same place in its order. */
static void finish_queue(struct checking *c)
{
    if (c->place_count)
        qsort(c->places, c->place_count, sizeof(*c->places), by_key);
    for (size_t i = 1; i < c->place_count; i++)
        if (c->places[i].key == c->places[i - 1].key) {
            print_name(&c->queues[c->at]);
            printf("slot %u: the message has the same place in the order as that of slot %u\n",
                   (unsigned)c->places[i].slot, (unsigned)c->places[i - 1].slot);
            c->wrong++;
        }
    c->place_count = 0;
}

static int wrong_message(struct checking *c, const struct store_queue *q, const MDB_val *key,
                         uint32_t slot, const char *why)
{
    if (q)
        print_name(q);
    else
        printf("queue with uuid %s: ", hex(key->mv_data, key->mv_size));
    if (key->mv_size == sizeof(struct message_key))
        printf("slot %u: ", (unsigned)slot);
    puts(why);
    c->wrong++;
    return 0;
}

/* Both databases are in the order of uuids. */
static const struct store_queue *queue_of(struct checking *c, const MDB_val *key)
{
    int order = -1;

    while (c->at < c->count && (order = memcmp(c->queues[c->at].uuid, key->mv_data, 16)) < 0) {
        finish_queue(c);
        c->at++;
    }
    return c->at < c->count && order == 0 ? &c->queues[c->at] : NULL;
}

/* Without a key all that can be told is that it is a record. */
static const char *look_into(struct checking *c, const MDB_val *key, const MDB_val *value,
                             struct mqxi_snapshot *m)
{
    const void *data;

    c->encrypted++;
    m->type = 1;
    if (!c->keys)
        return NULL;
    if (value->mv_size > c->buffer_size) {
        free(c->buffer);
        c->buffer = malloc(value->mv_size);
        c->buffer_size = c->buffer ? value->mv_size : 0;
    }
    return c->buffer ? seal_open(c->keys, key, value, m, c->buffer, &data) : "not enough memory";
}

static int check_message(const MDB_val *key, const MDB_val *value, void *arg)
{
    struct checking *c = arg;
    const struct store_queue *q = key->mv_size >= 16 ? queue_of(c, key) : NULL;
    struct mqxi_snapshot m = {0};
    struct place *places;
    uint32_t slot = 0;
    const void *data;
    const char *why = record_message(key, value, &slot, &m, &data);

    if (!why && !data)
        why = look_into(c, key, value, &m);
    if (why)
        return wrong_message(c, q, key, slot, why);
    if (!q)
        return wrong_message(c, q, key, slot, "a message, of a queue that is not stored");
    c->messages++;
    c->bytes += m.len;
    why = record_fits(q, slot, &m);
    if (why)
        return wrong_message(c, q, key, slot, why);
    places = more(c->places, c->place_count, &c->place_room, sizeof(*places));
    if (!places)
        return -ENOMEM;
    c->places = places;
    places[c->place_count++] = (struct place){m.key, slot};
    return 0;
}

int64_t store_check(struct inspect *s)
{
    struct checking c = {.keys = s->keys};
    int r = inspect_each(s, s->queues, check_queue, &c);

    if (r == 0)
        r = inspect_each(s, s->messages, check_message, &c);
    if (r == 0) {
        finish_queue(&c);
        printf("queues: %zu, messages: %" PRIu64 ", bytes in them: %" PRIu64 "\n", c.count,
               c.messages, c.bytes);
        if (c.encrypted && c.keys)
            printf("encrypted, and decrypted by their keys: %" PRIu64 "\n", c.encrypted);
        else if (c.encrypted)
            printf("encrypted, and not looked into, since no key is given: %" PRIu64 "\n",
                   c.encrypted);
    }
    free(c.buffer);
    free(c.queues);
    free(c.places);
    return r < 0 ? r : (int64_t)c.wrong;
}

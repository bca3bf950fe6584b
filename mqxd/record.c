/*
 * A record is read as what a stranger says: its size first, then its values,
 * and names must not lead anywhere but to a queue.
 */
#include "record.h"

#include <stdio.h>
#include <string.h>

#include "anyname.h"
#include "seal.h"

struct message_key record_message_key(const uint8_t *uuid, uint32_t slot)
{
    struct message_key key;

    memcpy(key.uuid, uuid, 16);
    for (int i = 0; i < 4; i++)
        key.slot[i] = (uint8_t)(slot >> (24 - 8 * i));
    return key;
}

const char *record_format(const MDB_val *value, uint32_t *version)
{
    static char why[100];
    struct meta_record found;

    if (value->mv_size < sizeof(found))
        return "it is not a store of mqx";
    memcpy(&found, value->mv_data, sizeof(found));
    if (found.magic != STORE_MAGIC)
        return "it is not a store of mqx, or from a machine with another byte order";
    *version = found.version;
    if (found.version >= STORE_FORMAT_PLAIN && found.version <= STORE_FORMAT)
        return NULL;
    snprintf(why, sizeof(why), "its format is %u, and this mqx knows up to %u; use the one that made it",
             (unsigned)found.version, STORE_FORMAT);
    return why;
}

/* Behind the head of a queue's record. */
static const char *read_name(const void *data, size_t len, struct store_queue *q)
{
    if (q->kind == MQXI_KIND_SYSV) {
        if (len != sizeof(q->sysv))
            return "a queue's record has the wrong size";
        memcpy(&q->sysv, data, len);
        if (q->sysv.id < 0)
            return "a queue's id cannot be one";
        snprintf(q->name, sizeof(q->name), "%s/%d", MQXI_SYSV_DIR, q->sysv.id);
        return NULL;
    }
    memcpy(q->name, data, len);
    if (memchr(q->name, 0, len) || strchr(q->name, '/') || strcmp(q->name, ".") == 0 ||
        strcmp(q->name, "..") == 0)
        return "a queue's name cannot be one";
    return NULL;
}

const char *record_queue(const MDB_val *key, const MDB_val *value, struct store_queue *q)
{
    struct queue_record head;
    size_t len = value->mv_size - sizeof(head);

    if (key->mv_size != 16 || value->mv_size <= sizeof(head) || len > NAME_MAX)
        return "a queue's record has the wrong size";
    memcpy(&head, value->mv_data, sizeof(head));
    if (head.kind != MQXI_KIND_POSIX && head.kind != MQXI_KIND_SYSV)
        return "a queue's record is of no kind that we restore";
    *q = (struct store_queue){.kind = head.kind,
                              .maxmsg = head.maxmsg,
                              .msgsize = head.msgsize,
                              .mode = head.mode,
                              .durable = head.durable & ~QUEUE_CHOSEN,
                              .chosen = head.durable & QUEUE_CHOSEN,
                              .uid = head.uid,
                              .gid = head.gid,
                              .sync = head.sync,
                              .created_ns = head.created_ns};
    memcpy(q->uuid, key->mv_data, 16);
    return read_name((const uint8_t *)value->mv_data + sizeof(head), len, q);
}

const char *record_message(const MDB_val *key, const MDB_val *value, uint32_t *slot,
                           struct mqxi_snapshot *m, const void **data)
{
    const uint8_t *b = (const uint8_t *)key->mv_data + 16;
    struct message_record head;

    if (key->mv_size != sizeof(struct message_key))
        return "a message's record is not found by queue and slot";
    *slot = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    if (value->mv_size < sizeof(head))
        return "a message's record has the wrong size";
    memcpy(&head, value->mv_data, sizeof(head));
    *data = NULL;
    if (seal_is(value)) {
        size_t len = value->mv_size - seal_size(0);

        *m = (struct mqxi_snapshot){.key = head.key & ~SEALED, .len = (uint32_t)len};
        return value->mv_size < seal_size(0) || len > MQXI_MSGSIZE_MAX
                   ? "an encrypted message's record has the wrong size"
                   : NULL;
    }
    if (value->mv_size - sizeof(head) > MQXI_MSGSIZE_MAX)
        return "a message's record has the wrong size";
    *m = (struct mqxi_snapshot){.key = head.key,
                                .sent_ns = head.sent_ns,
                                .type = head.type,
                                .pid = head.pid,
                                .uid = head.uid,
                                .len = (uint32_t)(value->mv_size - sizeof(head))};
    *data = (const uint8_t *)value->mv_data + sizeof(head);
    return NULL;
}

const char *record_fits(const struct store_queue *q, uint32_t slot, const struct mqxi_snapshot *m)
{
    if (slot >= q->maxmsg)
        return "the queue has no such slot";
    if (m->len > q->msgsize)
        return "the message is larger than the queue's can be";
    if (!mqxi_ctl_ready(m->key))
        return "the message has no place in an order";
    if (q->kind == MQXI_KIND_SYSV && m->type < 1)
        return "the message's type cannot be one";
    return NULL;
}

/* The store's records: what their bytes mean, and whether they can mean it. */
#ifndef MQXD_RECORD_H
#define MQXD_RECORD_H

#include <assert.h>
#include <lmdb.h>

#include "store.h"

#define STORE_MAGIC UINT64_C(0x31726f74732d7871) /* "qx-stor1" */

struct meta_record {
    uint64_t magic;
    uint32_t version;
    uint32_t pad;
};
/* Under "journal", while there is one: records in it with another nonce are of another time. */
struct meta_journal {
    uint64_t nonce;
};
struct queue_record {
    uint64_t created_ns;
    uint32_t kind, maxmsg, msgsize, mode, durable, uid, gid;
    uint32_t sync;
};
#define QUEUE_CHOSEN 0x100u /* beside queue_record.durable */

struct message_record {
    uint64_t key, sent_ns;
    int64_t type;
    uint32_t pid, uid;
};
struct message_key {
    uint8_t uuid[16];
    uint8_t slot[4]; /* big endian: a queue's records in the order of its slots */
};
static_assert(sizeof(struct queue_record) == 40, "no holes");
static_assert(sizeof(struct store_sysv) == 40, "no holes");
static_assert(sizeof(struct message_record) == 32, "no holes");
static_assert(sizeof(struct message_key) == 20, "no holes");

struct message_key record_message_key(const uint8_t *uuid, uint32_t slot);

/* Each returns NULL, or why it cannot be.  Of the format, a static buffer. */
const char *record_format(const MDB_val *value, uint32_t *version);
const char *record_queue(const MDB_val *key, const MDB_val *value, struct store_queue *out);
/* *data points into the value; NULL: it is encrypted, and only seal.h tells more than key and len. */
const char *record_message(const MDB_val *key, const MDB_val *value, uint32_t *slot,
                           struct mqxi_snapshot *out, const void **data);
/* A message that is one by itself: can it be in this queue? */
const char *record_fits(const struct store_queue *queue, uint32_t slot,
                        const struct mqxi_snapshot *message);

#endif

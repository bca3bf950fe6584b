/* Encrypted records of messages.  record.h has the plain ones. */
#ifndef MQXD_SEAL_H
#define MQXD_SEAL_H

#include <stdbool.h>

#include "keys.h"
#include "record.h"

/* Beside message_record.key, which no plain record has: bit 63 is none of a message's. */
#define SEALED (UINT64_C(1) << 63)

/* Then what is encrypted, struct seal_inside and the message's bytes, and a tag. */
struct sealed_record {
    uint64_t key; /* with SEALED */
    uint8_t id[KEY_ID];
    uint8_t nonce[24];
};
struct seal_inside {
    uint64_t sent_ns;
    int64_t type;
    uint32_t pid, uid;
};
#define SEAL_TAG 16
static_assert(sizeof(struct sealed_record) == 40, "no holes");
static_assert(sizeof(struct seal_inside) == 24, "no holes");

/* Bytes of the record of a message of so many. */
size_t seal_size(size_t len);
void seal_message(const struct key *key, const struct message_key *where,
                  const struct mqxi_snapshot *m, const void *data, uint8_t *out);

bool seal_is(const MDB_val *value);
/* By which key?  It is a sealed record. */
const uint8_t *seal_id(const MDB_val *value);
/* Of a record that record_message has found good: the rest of *m, and its bytes, in buffer, which
 * has room for the value.  NULL, or why it cannot be. */
const char *seal_open(const struct keys *keys, const MDB_val *key, const MDB_val *value,
                      struct mqxi_snapshot *m, uint8_t *buffer, const void **data);

/* Something that only who has the key can make, or find good: what the store knows its keys by. */
struct seal_check {
    uint8_t nonce[24], tag[SEAL_TAG];
};
void seal_make_check(const struct key *key, struct seal_check *out);
bool seal_check_is(const struct key *key, const MDB_val *value);

/* Under this name the store has the check. */
struct key_name {
    char text[4];
    uint8_t id[KEY_ID];
};
static_assert(sizeof(struct key_name) == 12, "no holes");
struct key_name seal_check_name(const uint8_t *id);
bool seal_is_check(const MDB_val *name);

/* Are all keys there that a store may need?  NULL, or why it must be refused; *error: LMDB's. */
const char *seal_check_store(MDB_txn *txn, MDB_dbi meta, const struct keys *keys, int *error);

/* In the text of what is said: 16 hexadecimal digits; a static buffer. */
const char *seal_id_text(const uint8_t *id);

#endif

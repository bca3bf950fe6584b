/* What the parts of the store share. */
#ifndef MQXD_STORE_PRIVATE_H
#define MQXD_STORE_PRIVATE_H

#include <lmdb.h>
#include <time.h>

#include "room.h"
#include "store.h"

struct store {
    char dir[PATH_MAX];
    MDB_env *env;
    MDB_txn *txn; /* that of store_transact */
    MDB_dbi meta, queues, messages;
    struct room room;
    uint64_t left; /* pages that the transaction may still take; UINT64_MAX: all */
    int lock;
    time_t readers_checked; /* CLOCK_MONOTONIC_COARSE */
    uint32_t version;       /* of its format */
    const struct keys *keys;
    uint8_t *plain; /* the last message that was decrypted */
    size_t plain_size;
};

/* LMDB's error as ours; says it. */
int store_failed(const struct store *s, const char *what, int r);
/* Before a change: it needs pages, those of its bytes, and copies of some on the way there.
 * -EOVERFLOW: what there is is kept for removals. */
int store_spend(struct store *s, size_t bytes);
/* Is the cursor's key one of this queue's? */
bool store_belongs(const MDB_val *key, const uint8_t *uuid);
/* Have plain so large.  -ENOMEM. */
int store_plain_room(struct store *s, size_t size);
/* Decrypted, if it is encrypted: *data is good until the next one is. */
int store_read_message(struct store *s, const MDB_val *key, const MDB_val *value, uint32_t *slot,
                       struct mqxi_snapshot *m, const void **data);

#endif

/* What the parts of the store share. */
#ifndef MQXD_STORE_PRIVATE_H
#define MQXD_STORE_PRIVATE_H

#include <lmdb.h>
#include <time.h>

#include "journal.h"
#include "room.h"
#include "store.h"

struct store {
    char dir[PATH_MAX];
    MDB_env *env;
    MDB_txn *txn; /* that of store_transact */
    MDB_dbi meta, queues, messages;
    struct room room;
    struct journal journal; /* what is stored and not in the database yet */
    uint64_t journal_most;  /* bytes that it may have; 0: there is none */
    bool named;             /* the database names it, so that it counts */
    bool ours;              /* that name was given by us, not by the last mqxd */
    bool begun;             /* something was committed, and more may follow */
    bool ready;             /* the journal is, to take that */
    bool logging;           /* changes of messages go to the journal, and there are no others */
    uint64_t tree;          /* pages that lead to messages */
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
/* Room for a message's record, to be filled: in the transaction, or in the journal.  -EOVERFLOW: it
 * does not fit. */
int store_reserve(struct store *s, const struct message_key *key, size_t size, void **out);
/* As store_transact and store_remove, but nothing of what is in the journal is put first. */
int store_write(struct store *s, bool removes, int (*change)(struct store *s, void *arg),
                void *arg);
/* What is in the journal goes into the database. */
int store_settle(struct store *s);
/* When all else is open: read the journal, if there is one.  Nothing is written yet. */
int store_journal_open(struct store *s);
/* There may be one, if the disk is not too small. */
void store_journal_allow(struct store *s);
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

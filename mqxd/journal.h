/*
 * The journal: what was committed since the store's database was written last, in
 * a file beside it.
 *
 * It is a row of records at multiples of 4096 bytes, from the beginning of the
 * file; a record is one commit: struct journal_record, then for each change
 * struct journal_head and the message's record (record.h), as the database would
 * have it.  The file is as long as it may become, and what follows the last record
 * is of no meaning.
 *
 * Functions return 0 or -errno, and say what went wrong, unless that is -ENOENT or
 * what journal_later says that it may pass.
 */
#ifndef MQXD_JOURNAL_H
#define MQXD_JOURNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

#define JOURNAL_FILE  "journal"
#define JOURNAL_ALIGN UINT64_C(4096)
#define JOURNAL_FIRST (UINT64_C(1) << 20)  /* bytes of a new one, where the disk is not small */
#define JOURNAL_MOST  (UINT64_C(16) << 20) /* and that it has at most */
#define JOURNAL_BATCH (UINT64_C(2) << 20)  /* what is larger is as cheap without it */

struct journal_record {
    uint64_t nonce; /* the database's: else it is of another time */
    uint64_t check; /* of all that follows */
    uint32_t bytes; /* of the changes */
    uint32_t changes;
};
struct journal_head {
    struct message_key key;
    uint32_t len; /* of the record behind it, or JOURNAL_REMOVED */
};
#define JOURNAL_REMOVED UINT32_MAX
static_assert(sizeof(struct journal_record) == 24, "no holes");
static_assert(sizeof(struct journal_head) == 24, "no holes");

struct journal {
    char path[PATH_MAX + 16];
    int fd;           /* -1: there is none */
    uint8_t *image;   /* what the file has until `end`, and behind that the record being made */
    uint64_t size;    /* of the file */
    uint64_t end;     /* of the last record */
    uint64_t behind;  /* a record, although there is none at `end`; 0: that is not so */
    uint64_t nonce;   /* of its records */
    uint64_t at;      /* where the next change of the record being made goes */
    uint32_t making;  /* changes in that */
    uint64_t commits; /* all others: records, */
    uint64_t changes; /* in them, */
    uint64_t bytes;   /* of those */
    uint64_t largest; /* bytes of a change, also of the record being made */
};

/* One that is not there yet: no file, nothing in it. */
#define JOURNAL_NONE                                                                               \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/* Something is missing, room or descriptors, which may be there later. */
bool journal_later(int r);

/* -ENOENT: there is no file.  Nothing of it is read. */
int journal_open(struct journal *j, const char *dir, bool write);
/* A new file of so many bytes; it has its name when it is complete. */
int journal_make(struct journal *j, const char *dir, uint64_t size);
void journal_close(struct journal *j);
/* Read all of it, and then see what it has of this nonce: up to the first record that has another,
 * or was never completed.  Who looks while mqxd writes reads it first, and then asks the database
 * for its nonce: whatever happens in between, the two go together. */
int journal_read(struct journal *j);
void journal_scan(struct journal *j, uint64_t nonce);
/* After that, of one that nobody writes: a record of it is damaged, since others come behind it,
 * each of which was begun when those before it were on disk.  Says it. */
bool journal_damaged(const struct journal *j);
/* As large as that, at once, or it is as it was. */
int journal_grow(struct journal *j, uint64_t size);
/* All that it has is elsewhere now: it begins anew. */
void journal_turn(struct journal *j, uint64_t nonce);

/* Begin a record, in memory; what was not committed is gone. */
void journal_begin(struct journal *j);
/* Room for a message's record of so many bytes, to be filled; NULL: it does not fit. */
void *journal_put(struct journal *j, const struct message_key *key, size_t len);
/* False: it does not fit. */
bool journal_remove(struct journal *j, const struct message_key *key);
/* On disk when it returns 0.  -ENOSPC: the file system has no room after all, and it is not. */
int journal_commit(struct journal *j);

/* What all its records together change: the last change of each key, in the order of the keys.
 * They point into the image.  The list is to be freed. */
struct journal_change {
    const struct message_key *key;
    const void *value; /* NULL: removed */
    size_t len;
};
int journal_changes(const struct journal *j, struct journal_change **out, size_t *count);
/* All of that in a transaction.  LMDB's error. */
int journal_apply(const struct journal *j, MDB_txn *txn, MDB_dbi messages);
/* Does the database name a nonce?  MDB_NOTFOUND, or another of LMDB's errors. */
int journal_nonce(MDB_txn *txn, MDB_dbi meta, uint64_t *nonce);

#endif

/* A store as it is at one moment, also while mqxd uses it. */
#ifndef MQXD_INSPECT_H
#define MQXD_INSPECT_H

#include <lmdb.h>
#include <stdbool.h>

#include "journal.h"
#include "store.h"

struct inspect {
    char dir[PATH_MAX];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta, queues, messages;
    struct journal journal;         /* what comes on top of messages: */
    struct journal_change *changes; /* in the order of their keys */
    size_t change_count;
    const struct keys *keys; /* or NULL: encrypted messages are not looked into */
    int lock;
};

/* All return 0 or -errno, and say what went wrong. */

/* Open it, and make sure that LMDB can read it: its file holds together, and it is a store in our
 * format.  What mqxd writes from then on is not seen.  While it is open, the room of what is
 * removed is not used again. */
int inspect_open(const char *dir, struct inspect *out);
void inspect_close(struct inspect *s);

/* Has it encrypted messages, or had some? */
bool inspect_is_sealed(const struct inspect *s);
/* Its messages are read with these keys.  -ENOKEY: they are not those that it needs. */
int inspect_keys(struct inspect *s, const struct keys *keys);

/* All records, in the order of their keys.  Stops at the first each() that returns other than 0,
 * and returns that. */
int inspect_each(struct inspect *s, MDB_dbi db,
                 int (*each)(const MDB_val *key, const MDB_val *value, void *arg), void *arg);
/* The same for a queue's messages. */
int inspect_each_message(struct inspect *s, const uint8_t *uuid,
                         int (*each)(const MDB_val *key, const MDB_val *value, void *arg),
                         void *arg);

/* Bytes of data.mdb, and of them in use; of the journal, and commits in it that are not in data.mdb
 * yet.  Without a journal that counts both are 0. */
struct inspect_size {
    uint64_t file, used;
    uint64_t journal, commits;
};
int inspect_size(struct inspect *s, struct inspect_size *out);

/* A copy as data.mdb in another directory, which is made, and has none; the copy's size.  It is the
 * last thing that can be done before inspect_close. */
int inspect_backup(struct inspect *s, const char *to, uint64_t *size);

/* Write it anew without the room that is not used.  -EBUSY: somebody uses it. */
int inspect_compact(const char *dir, uint64_t *before, uint64_t *after);

#endif

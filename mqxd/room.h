/* Room on the disk for the store, and some kept for removals. */
#ifndef MQXD_ROOM_H
#define MQXD_ROOM_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#define ROOM_COPIES 6 /* pages that LMDB copies for a change, at most, as a rule */

struct room {
    MDB_env *env;
    uint64_t limit, allocated; /* bytes: that messages may fill; that the file has on disk */
    uint64_t reserve;
    bool unknown; /* the file system cannot allocate: then what a write says must do */
};

/* All return 0, or LMDB's error, or ENOSPC.  No transaction may be open. */

/* As far as the file is now. */
int room_open(struct room *r, MDB_env *env);
/* More of it. */
int room_more(struct room *r);
/* What transactions may use from now on: of what is kept back, nothing, all but the last of it, or
 * all. */
enum room_spare { ROOM_FOR_MESSAGES, ROOM_FOR_REMOVALS, ROOM_FOR_TURNS };
int room_spare(struct room *r, enum room_spare spare);

/* Have so many pages, beyond what is kept for removals, and count on them in the next transaction,
 * up to `row` of them in a row.  False: they cannot be had, or nobody can tell. */
bool room_for(struct room *r, uint64_t pages, uint64_t row);

/* Is half of what there is for messages free? */
bool room_within(const struct room *r);

/* How many pages the next transaction may take; UINT64_MAX: all that it finds. */
uint64_t room_left(const struct room *r);

#endif

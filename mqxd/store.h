/*
 * The store: durable queues and their messages in LMDB, in a directory that
 * one mqxd at a time uses.  Nothing here knows of segments.
 *
 * All functions return 0 or -errno.  They say on stderr what went wrong,
 * unless that is -ENOSPC: the disk is full, which may pass.
 */
#ifndef MQXD_STORE_H
#define MQXD_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot.h"

/* Formats: with a journal; with encrypted messages; with neither, which is what a store begins with */
#define STORE_FORMAT        3u
#define STORE_FORMAT_SEALED 2u
#define STORE_FORMAT_PLAIN  1u

/* Bytes of its lock file: locked by the mqxd that uses it; shared by those who look at it. */
#define STORE_LOCK_FILE "mqxd.lock"
enum { STORE_LOCK_USES, STORE_LOCK_LOOKS };

struct store;
struct keys;

/* What is kept of a System V queue beside that. */
struct store_sysv {
    uint64_t qbytes, changed_ns;
    int32_t id, key;
    uint32_t cuid, cgid, uid, gid;
};

/* What is kept of a queue. */
struct store_queue {
    uint8_t uuid[16];
    char name[NAME_MAX + 1]; /* as in anyname.h: a System V queue's has the id */
    uint32_t kind, maxmsg, msgsize, mode, durable, uid, gid;
    uint32_t sync; /* MQXI_SYNC_* */
    bool chosen; /* durable was said of this queue, not of a pattern */
    uint64_t created_ns;
    struct store_sysv sysv; /* of kind MQXI_KIND_SYSV */
};

/* Open it, made when missing.  -EBUSY: another mqxd uses it; -EBADMSG: of another format, damaged,
 * or no store at all. */
int store_open(const char *dir, struct store **out);
/* Before it is closed, if nothing failed: its database has all, and needs no journal. */
int store_finish(struct store *s);
void store_close(struct store *s);

/*
 * One transaction: change(s, arg) makes changes with the functions below it,
 * and is called again, from the beginning, where the store had to grow.  It
 * returns what they return; then everything it did is on disk when
 * store_transact returns 0, and nothing of it when not.
 */
int store_transact(struct store *s, int (*change)(struct store *s, void *arg), void *arg);
/* The same for changes of messages; those of a queue too, but they take longer. */
int store_commit(struct store *s, int (*change)(struct store *s, void *arg), void *arg);
/* The same for changes that only remove: they may use what is kept back for them on a full disk,
 * as long as there are not more than some dozens at a time. */
int store_remove(struct store *s, int (*change)(struct store *s, void *arg), void *arg);
/* What a transaction freed can be used by the one after the next: this is one between. */
int store_turn(struct store *s);
/* Is there room on the disk?  Takes some if so; -ENOSPC. */
int store_more(struct store *s);
/* Or in the database, much of it? */
int store_look_for_room(struct store *s);
int store_put_queue(struct store *s, const struct store_queue *queue);
/* The queue and all its messages. */
int store_delete_queue(struct store *s, const uint8_t *uuid);
int store_put_message(struct store *s, const uint8_t *uuid, uint32_t slot,
                      const struct mqxi_snapshot *message, const void *data);
/* Encrypted, with the first key. */
int store_put_sealed(struct store *s, const uint8_t *uuid, uint32_t slot,
                     const struct mqxi_snapshot *message, const void *data);
int store_delete_message(struct store *s, const uint8_t *uuid, uint32_t slot);

/*
 * What it has is decrypted with these keys (they stay the caller's; NULL: none) from now on; `use`:
 * messages will be encrypted with the first.  -ENOKEY: it has messages by another; then the keys
 * are what they were, and nothing was touched.
 */
int store_keys(struct store *s, const struct keys *keys, bool use);
/* Encrypt what is stored of the queue in the clear; how many were is added to *done. */
int store_seal_queue(struct store *s, const uint8_t *uuid, uint64_t *done);
/* Encrypt what is encrypted with another key than the first with that: the others are not needed
 * any more. */
int store_rekey(struct store *s, uint64_t *done);

/* Reading, outside of transactions.  Stops at the first each() that returns other than 0, and
 * returns that. */
int store_each_queue(struct store *s, int (*each)(const struct store_queue *queue, void *arg),
                     void *arg);
int store_each_message(struct store *s, const uint8_t *uuid,
                       int (*each)(uint32_t slot, const struct mqxi_snapshot *message,
                                   const void *data, void *arg),
                       void *arg);
/* -ENOENT (not said): no such queue. */
int store_get_queue(struct store *s, const uint8_t *uuid, struct store_queue *out);

#endif

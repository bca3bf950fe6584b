/*
 * The store's keys, and its encrypted messages.
 *
 * Of each key that a message may be encrypted with the store has a check: so a
 * wrong key is found at the start, and not when a message is needed.  The check,
 * and the format that older versions refuse, are there before the first message
 * is; the check goes when nothing needs its key any more (store_rekey).
 *
 * Rewriting takes as much as fits into a transaction, and goes on behind it: when
 * it is interrupted the rest is as it was, and all can be read.
 */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "seal.h"
#include "store_private.h"

#define SOME  4096 /* records that are looked at in a transaction */
#define BYTES ((size_t)8 << 20)

/* --- keys ------------------------------------------------------------------------------------- */

static int put(struct store *s, MDB_dbi db, MDB_val key, MDB_val value)
{
    return store_failed(s, "cannot be written", mdb_put(s->txn, db, &key, &value, 0));
}

static int note_key(struct store *s, void *arg)
{
    struct meta_record mine = {.magic = STORE_MAGIC, .version = s->version};
    const struct key *key = arg;
    struct key_name name = seal_check_name(key->id);
    struct seal_check check;
    int r;

    if (mine.version < STORE_FORMAT_SEALED)
        mine.version = STORE_FORMAT_SEALED;
    seal_make_check(key, &check);
    r = put(s, s->meta, (MDB_val){6, (void *)(uintptr_t) "format"}, (MDB_val){sizeof(mine), &mine});
    return r < 0
               ? r
               : put(s, s->meta, (MDB_val){sizeof(name), &name}, (MDB_val){sizeof(check), &check});
}

/* 1: it has to be noted. */
static int check_keys(struct store *s, const struct keys *keys, const struct key *use)
{
    const char *why = NULL;
    struct key_name name;
    MDB_val key = {sizeof(name), &name}, value;
    MDB_txn *txn;
    int r = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);

    if (r)
        return store_failed(s, "cannot be read", r);
    why = seal_check_store(txn, s->meta, keys, &r);
    if (r == 0 && !why && use) {
        name = seal_check_name(use->id);
        r = mdb_get(txn, s->meta, &key, &value);
    }
    mdb_txn_abort(txn);
    if (why)
        say("store %s: %s; nothing was touched", s->dir, why);
    if (r == MDB_NOTFOUND)
        return 1;
    return why ? -ENOKEY : store_failed(s, "cannot be read", r);
}

int store_keys(struct store *s, const struct keys *keys, bool use)
{
    const struct key *first = use ? keys_first(keys) : NULL;
    int r = check_keys(s, keys, first);

    if (r > 0)
        r = store_remove(s, note_key, (void *)(uintptr_t)first);
    if (r == -ENOSPC)
        say("store %s: the disk is full", s->dir);
    if (r < 0)
        return r;
    if (first && s->version < STORE_FORMAT_SEALED)
        s->version = STORE_FORMAT_SEALED;
    s->keys = keys;
    return 0;
}

/* --- messages --------------------------------------------------------------------------------- */

int store_put_sealed(struct store *s, const uint8_t *uuid, uint32_t slot,
                     const struct mqxi_snapshot *m, const void *data)
{
    const struct key *first = keys_first(s->keys);
    struct message_key k = record_message_key(uuid, slot);
    void *record;
    int r = first ? store_reserve(s, &k, seal_size(m->len), &record) : -ENOKEY;

    if (r == 0)
        seal_message(first, &k, m, data, record);
    return r;
}

struct rewriting {
    const uint8_t *uuid;         /* only of this queue; NULL: of all */
    bool plain;                  /* what is in the clear; else what has another key */
    struct message_key at, next; /* where it goes on; after this transaction */
    uint64_t some;               /* that this transaction rewrites */
    bool end;
};

static bool is_wanted(const struct store *s, const struct rewriting *w, const MDB_val *key,
                      const MDB_val *value)
{
    if (key->mv_size != sizeof(struct message_key))
        return false;
    if (w->plain)
        return !seal_is(value);
    return seal_is(value) && memcmp(seal_id(value), keys_first(s->keys)->id, KEY_ID) != 0;
}

/* The message that the cursor is at. */
static int rewrite(struct store *s, MDB_cursor *c, const MDB_val *key, MDB_val value)
{
    struct message_key k;
    MDB_val kept = {sizeof(k), &k};
    struct mqxi_snapshot m;
    const void *data;
    uint32_t slot;
    int r = store_read_message(s, key, &value, &slot, &m, &data);

    if (r == 0 && !seal_is(&value)) { /* it moves when it is written */
        r = store_plain_room(s, m.len);
        if (r == 0 && m.len > 0)
            data = memcpy(s->plain, data, m.len);
    }
    if (r < 0)
        return r;
    memcpy(&k, key->mv_data, sizeof(k));
    value = (MDB_val){seal_size(m.len), NULL};
    r = mdb_cursor_put(c, &kept, &value, MDB_RESERVE);
    if (r == 0)
        seal_message(keys_first(s->keys), &k, &m, data, value.mv_data);
    return store_failed(s, "a message cannot be written", r);
}

/* For store_transact: 1 if there is nothing to be written. */
static int rewrite_some(struct store *s, void *arg)
{
    struct rewriting *w = arg;
    MDB_val key = {sizeof(w->at), &w->at}, value;
    MDB_cursor *c;
    size_t bytes = 0, looked = 0;
    int r = store_failed(s, "cannot be read", mdb_cursor_open(s->txn, s->messages, &c)), found;

    w->some = 0;
    w->end = true;
    if (r < 0)
        return r;
    for (found = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE);
         r == 0 && found == 0 && (!w->uuid || store_belongs(&key, w->uuid));
         found = mdb_cursor_get(c, &key, &value, MDB_NEXT)) {
        if ((bytes >= BYTES || looked++ >= SOME) && key.mv_size == sizeof(w->next)) {
            memcpy(&w->next, key.mv_data, sizeof(w->next));
            w->end = false;
            break;
        }
        if (!is_wanted(s, w, &key, &value))
            continue;
        bytes += value.mv_size;
        w->some++;
        r = rewrite(s, c, &key, value);
    }
    mdb_cursor_close(c);
    if (r == 0 && found != 0 && found != MDB_NOTFOUND)
        r = store_failed(s, "cannot be read", found);
    return r < 0 ? r : w->some == 0;
}

static int rewrite_all(struct store *s, struct rewriting *w, uint64_t *done)
{
    int r = keys_first(s->keys) ? 0 : -ENOKEY;

    while (r >= 0 && !w->end) {
        r = store_transact(s, rewrite_some, w);
        if (r >= 0)
            *done += w->some;
        w->at = w->next;
    }
    return r < 0 ? r : 0;
}

int store_seal_queue(struct store *s, const uint8_t *uuid, uint64_t *done)
{
    struct rewriting w = {.uuid = uuid, .plain = true, .at = record_message_key(uuid, 0)};

    return rewrite_all(s, &w, done);
}

/* Of keys that nothing is encrypted with any more. */
static int forget_keys(struct store *s, void *arg)
{
    const struct key *first = keys_first(s->keys);
    MDB_val name, value;
    MDB_cursor *c;
    int r = mdb_cursor_open(s->txn, s->meta, &c);

    (void)arg;
    if (r)
        return store_failed(s, "cannot be written", r);
    while ((r = mdb_cursor_get(c, &name, &value, MDB_NEXT)) == 0)
        if (seal_is_check(&name) && memcmp((uint8_t *)name.mv_data + 4, first->id, KEY_ID) != 0) {
            r = mdb_cursor_del(c, 0);
            if (r)
                break;
        }
    mdb_cursor_close(c);
    return r == MDB_NOTFOUND ? 0 : store_failed(s, "cannot be written", r);
}

int store_rekey(struct store *s, uint64_t *done)
{
    struct rewriting w = {0};
    int r = rewrite_all(s, &w, done);

    return r < 0 ? r : store_transact(s, forget_keys, NULL);
}

/* What the store has, outside of its transactions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "record.h"
#include "seal.h"
#include "store_private.h"

static int begin(struct store *s, MDB_txn **txn)
{
    return store_failed(s, "cannot begin a transaction",
                        mdb_txn_begin(s->env, NULL, MDB_RDONLY, txn));
}

static int damaged(const struct store *s, const char *what)
{
    say("store %s: damaged: %s", s->dir, what);
    return -EBADMSG;
}

static int read_queue(const struct store *s, const MDB_val *key, const MDB_val *value,
                      struct store_queue *q)
{
    const char *why = record_queue(key, value, q);

    return why ? damaged(s, why) : 0;
}

/* A cursor and a reading transaction for it. */
struct look {
    MDB_txn *txn;
    MDB_cursor *cursor;
};

static int look(struct store *s, MDB_dbi db, struct look *out)
{
    int r = s->journal.end ? store_settle(s) : 0; /* else nothing need be written to read */

    if (r == 0)
        r = begin(s, &out->txn);
    if (r < 0)
        return r;
    r = store_failed(s, "cannot be read", mdb_cursor_open(out->txn, db, &out->cursor));
    if (r < 0)
        mdb_txn_abort(out->txn);
    return r;
}

static void look_end(struct look *l)
{
    mdb_cursor_close(l->cursor);
    mdb_txn_abort(l->txn);
}

int store_each_queue(struct store *s, int (*each)(const struct store_queue *queue, void *arg),
                     void *arg)
{
    struct store_queue q;
    MDB_val key, value;
    struct look l;
    int r = look(s, s->queues, &l), found;

    if (r < 0)
        return r;
    while (r == 0 && (found = mdb_cursor_get(l.cursor, &key, &value, MDB_NEXT)) != MDB_NOTFOUND) {
        r = store_failed(s, "cannot be read", found);
        if (r == 0)
            r = read_queue(s, &key, &value, &q);
        if (r == 0)
            r = each(&q, arg);
    }
    look_end(&l);
    return r;
}

int store_plain_room(struct store *s, size_t size)
{
    uint8_t *plain = size > s->plain_size ? realloc(s->plain, size) : s->plain;

    if (!plain)
        return size ? -ENOMEM : 0;
    s->plain = plain;
    s->plain_size = size > s->plain_size ? size : s->plain_size;
    return 0;
}

int store_read_message(struct store *s, const MDB_val *key, const MDB_val *value, uint32_t *slot,
                       struct mqxi_snapshot *m, const void **data)
{
    const char *why = record_message(key, value, slot, m, data);

    if (!why && seal_is(value)) {
        if (store_plain_room(s, value->mv_size) < 0)
            return -ENOMEM;
        why = seal_open(s->keys, key, value, m, s->plain, data);
    }
    return why ? damaged(s, why) : 0;
}

int store_each_message(struct store *s, const uint8_t *uuid,
                       int (*each)(uint32_t slot, const struct mqxi_snapshot *message,
                                   const void *data, void *arg),
                       void *arg)
{
    struct message_key first = record_message_key(uuid, 0);
    MDB_val key = {sizeof(first), &first}, value;
    struct mqxi_snapshot m;
    const void *data;
    uint32_t slot;
    struct look l;
    int r = look(s, s->messages, &l), found;

    if (r < 0)
        return r;
    found = mdb_cursor_get(l.cursor, &key, &value, MDB_SET_RANGE);
    while (r == 0 && found == 0 && store_belongs(&key, uuid)) {
        r = store_read_message(s, &key, &value, &slot, &m, &data);
        if (r == 0)
            r = each(slot, &m, data, arg);
        found = mdb_cursor_get(l.cursor, &key, &value, MDB_NEXT);
    }
    look_end(&l);
    if (r == 0 && found != 0 && found != MDB_NOTFOUND)
        r = store_failed(s, "cannot be read", found);
    return r;
}

int store_get_queue(struct store *s, const uint8_t *uuid, struct store_queue *out)
{
    MDB_val key = {16, (void *)uuid}, value;
    MDB_txn *txn = s->txn;
    int r = txn ? 0 : begin(s, &txn);

    if (r < 0)
        return r;
    r = mdb_get(txn, s->queues, &key, &value);
    r = r == MDB_NOTFOUND ? -ENOENT : store_failed(s, "cannot be read", r);
    if (r == 0)
        r = read_queue(s, &key, &value, out);
    if (txn != s->txn)
        mdb_txn_abort(txn);
    return r;
}

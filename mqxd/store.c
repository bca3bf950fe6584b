/*
 * The store is an image of the slots: a record for each message, found by its
 * queue's uuid and its slot, so a slot's next message replaces the one before
 * it, and the store is as large as what is queued.
 *
 *     meta      "format"                 what this is, and its version
 *               "key ", key's id       struct seal_check: it may be needed to read this
 *               "journal"              struct meta_journal: that comes on top (journal.h)
 *     queues    uuid                   struct queue_record, name or struct store_sysv
 *     messages  uuid, slot (big end.)  struct message_record, bytes; or struct sealed_record
 *
 * Numbers are in the machine's byte order; the magic tells a store of the
 * other order.  LMDB commits a transaction whole or not at all.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "file.h"
#include "log.h"
#include "record.h"
#include "store_private.h"

#define FIRST_MAP ((size_t)64 << 20) /* address space; until room.c knows better */

/* LMDB's error as ours; says it. */
int store_failed(const struct store *s, const char *what, int r)
{
    if (r == 0)
        return 0;
    if (r == ENOSPC || r == EDQUOT)
        return -ENOSPC;
    if (r == MDB_MAP_FULL) /* seen by store_transact alone */
        return -EOVERFLOW;
    say("store %s: %s: %s", s->dir, what, mdb_strerror(r));
    return r == ENOMEM ? -ENOMEM : r > 0 && r != EINVAL ? -r : -EIO;
}

static int failed(const struct store *s, const char *what, int r)
{
    return store_failed(s, what, r);
}

static int begin(struct store *s, unsigned flags, MDB_txn **txn)
{
    return failed(s, "cannot begin a transaction", mdb_txn_begin(s->env, NULL, flags, txn));
}

/* --- opening ---------------------------------------------------------------------------------- */

static int take_lock(struct store *s)
{
    struct flock lock = {.l_type = F_WRLCK, .l_start = STORE_LOCK_USES, .l_len = 1};
    char path[PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/" STORE_LOCK_FILE, s->dir);
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock < 0) {
        say("store %s: %s", path, strerror(errno));
        return -errno;
    }
    if (fcntl(s->lock, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno != EAGAIN && errno != EACCES) {
        say("store %s: cannot be locked: %s", path, strerror(errno));
        return -errno;
    }
    say("store %s: another mqxd is using it; stop that one, or use another --store", s->dir);
    return -EBUSY;
}

static int refuse(const struct store *s, const char *why)
{
    say("store %s: %s; it was not touched", s->dir, why);
    return -EBADMSG;
}

static int check_format(struct store *s, MDB_txn *txn, bool *made)
{
    struct meta_record mine = {.magic = STORE_MAGIC, .version = STORE_FORMAT_PLAIN};
    MDB_val key = {6, "format"}, value;
    const char *why;
    int r = mdb_get(txn, s->meta, &key, &value);

    if (r == MDB_NOTFOUND && *made) {
        s->version = mine.version;
        value = (MDB_val){sizeof(mine), &mine};
        return failed(s, "cannot be made", mdb_put(txn, s->meta, &key, &value, 0));
    }
    *made = false;
    if (r == MDB_NOTFOUND)
        return refuse(s, "it is not a store of mqx");
    if (r)
        return failed(s, "cannot be read", r);
    why = record_format(&value, &s->version);
    return why ? refuse(s, why) : 0;
}

/* Look at the databases first without making any, so that nothing is written into what turns out
 * to be something else. */
static int open_databases(struct store *s)
{
    MDB_stat stat;
    MDB_txn *txn;
    unsigned create;
    bool made;
    int r = begin(s, 0, &txn);

    if (r < 0)
        return r;
    r = failed(s, "cannot be read", mdb_env_stat(s->env, &stat));
    made = stat.ms_entries == 0;
    create = made ? MDB_CREATE : 0;
    if (r == 0) {
        r = mdb_dbi_open(txn, "meta", create, &s->meta);
        if (r == 0)
            r = mdb_dbi_open(txn, "queues", create, &s->queues);
        if (r == 0)
            r = mdb_dbi_open(txn, "messages", create, &s->messages);
        r = r == MDB_NOTFOUND || r == MDB_INCOMPATIBLE ? refuse(s, "it is not a store of mqx")
                                                       : failed(s, "cannot be opened", r);
    }
    if (r == 0)
        r = check_format(s, txn, &made);
    if (r == 0)
        return failed(s, "cannot be written", mdb_txn_commit(txn));
    mdb_txn_abort(txn);
    return r;
}

/* LMDB would crash on it, or never come back. */
static int check_file(const struct store *s)
{
    char path[PATH_MAX + 16], why[100];
    int r;

    snprintf(path, sizeof(path), "%s/data.mdb", s->dir);
    r = file_make(s->dir);
    if (r == 0)
        r = check_database(path, why, sizeof(why));
    if (r == -EBADMSG)
        say("store %s: its data.mdb is damaged: %s; it was not touched: put a copy of it in its "
            "place, or move it away to begin anew",
            s->dir, why);
    else if (r < 0 && r != -ENOSPC)
        say("store %s: cannot be read or made: %s", path, strerror(-r));
    return r;
}

static int open_env(struct store *s)
{
    int r = mdb_env_create(&s->env);

    if (r == 0)
        r = mdb_env_set_maxdbs(s->env, 8);
    if (r == 0)
        r = mdb_env_set_mapsize(s->env, FIRST_MAP);
    if (r == 0)
        r = mdb_env_open(s->env, s->dir, 0, 0600);
    if (r == MDB_INVALID || r == MDB_VERSION_MISMATCH || r == MDB_CORRUPTED)
        return refuse(s, "its data.mdb is not a database of this LMDB, or damaged");
    /* Our predecessor may have been killed in the middle of a commit that we can see and the disk
     * has not. */
    if (r == 0)
        r = -file_settle(s->dir);
    return failed(s, "cannot be opened", r);
}

int store_open(const char *dir, struct store **out)
{
    struct store *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->lock = -1;
    s->journal = (struct journal)JOURNAL_NONE;
    if (snprintf(s->dir, sizeof(s->dir), "%s", dir) >= (int)sizeof(s->dir)) {
        free(s);
        say("store %s: the name is too long", dir);
        return -ENAMETOOLONG;
    }
    r = take_lock(s);
    if (r == 0)
        r = check_file(s);
    if (r == 0)
        r = open_env(s);
    if (r == 0)
        r = open_databases(s);
    if (r == 0)
        r = failed(s, "cannot be made larger", room_open(&s->room, s->env));
    if (r == 0)
        r = store_journal_open(s);
    if (r == -ENOSPC)
        say("store %s: the disk is full", s->dir);
    if (r == 0)
        *out = s;
    else
        store_close(s);
    return r;
}

void store_close(struct store *s)
{
    journal_close(&s->journal);
    if (s->env)
        mdb_env_close(s->env);
    if (s->lock >= 0)
        close(s->lock);
    free(s->plain);
    free(s);
}

/* --- writing ---------------------------------------------------------------------------------- */

int store_spend(struct store *s, size_t bytes)
{
    uint64_t pages = bytes / 4096 + ROOM_COPIES;

    if (s->left == UINT64_MAX)
        return 0;
    if (s->left < pages)
        return -EOVERFLOW;
    s->left -= pages;
    return 0;
}

/* What leads to messages, all of which a change of many may have to copy. */
static void look_at_tree(struct store *s)
{
    MDB_stat stat;

    if (mdb_stat(s->txn, s->messages, &stat) == 0)
        s->tree = stat.ms_branch_pages + stat.ms_leaf_pages;
}

static int transact(struct store *s, bool removes, int (*change)(struct store *s, void *arg),
                    void *arg)
{
    int r;

    s->left = removes ? UINT64_MAX : room_left(&s->room);
    r = begin(s, 0, &s->txn);
    if (r < 0)
        return r;
    r = store_spend(s, 0);
    if (r == 0)
        r = change(s, arg);
    look_at_tree(s);
    if (r == 0)
        r = failed(s, "cannot be written", mdb_txn_commit(s->txn));
    else
        mdb_txn_abort(s->txn);
    s->txn = NULL;
    return r;
}

/* Others look at the store (inspect.c); what one that was killed had in view must not be kept for
 * ever. */
static void forget_dead_readers(struct store *s)
{
    struct timespec now;
    int dead;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec == s->readers_checked)
        return;
    s->readers_checked = now.tv_sec;
    mdb_reader_check(s->env, &dead);
}

static int grow_and_transact(struct store *s, int (*change)(struct store *s, void *arg), void *arg)
{
    int r;

    forget_dead_readers(s);
    do {
        r = transact(s, false, change, arg);
        if (r != -EOVERFLOW)
            return r;
        r = store_more(s);
    } while (r == 0);
    return r;
}

static int touch(struct store *s, void *arg)
{
    struct meta_record mine = {.magic = STORE_MAGIC, .version = s->version};
    MDB_val key = {6, "format"}, value = {sizeof(mine), &mine};

    (void)arg;
    return failed(s, "cannot be written", mdb_put(s->txn, s->meta, &key, &value, 0));
}

static int within(struct store *s, enum room_spare spare, int (*change)(struct store *s, void *arg),
                  void *arg)
{
    int r = failed(s, "cannot be made larger", room_spare(&s->room, spare)), after;

    if (r == 0)
        r = transact(s, true, change, arg);
    after = failed(s, "cannot be made smaller", room_spare(&s->room, ROOM_FOR_MESSAGES));
    return r < 0 ? r : after < 0 ? after : r;
}

/* Where all is used that removals may use, what the last transaction freed may still help: after
 * another one, for which the last of the room is kept. */
static int remove_with_spare(struct store *s, int (*change)(struct store *s, void *arg), void *arg)
{
    int r = transact(s, true, change, arg), turned;

    if (r == -EOVERFLOW)
        r = within(s, ROOM_FOR_REMOVALS, change, arg);
    if (r != -EOVERFLOW)
        return r;
    turned = within(s, ROOM_FOR_TURNS, touch, NULL);
    if (turned == 0)
        r = within(s, ROOM_FOR_REMOVALS, change, arg);
    else if (turned != -EOVERFLOW)
        return turned;
    return r == -EOVERFLOW ? -ENOSPC : r;
}

int store_write(struct store *s, bool removes, int (*change)(struct store *s, void *arg), void *arg)
{
    return (removes ? remove_with_spare : grow_and_transact)(s, change, arg);
}

int store_transact(struct store *s, int (*change)(struct store *s, void *arg), void *arg)
{
    int r = store_settle(s);

    return r < 0 ? r : store_write(s, false, change, arg);
}

int store_remove(struct store *s, int (*change)(struct store *s, void *arg), void *arg)
{
    int r = store_settle(s);

    return r < 0 ? r : store_write(s, true, change, arg);
}

int store_more(struct store *s)
{
    int r = failed(s, "cannot be made larger", room_more(&s->room));

    if (r == 0 && s->journal_most == 0)
        store_journal_allow(s);
    return r;
}

/* Where the file fills the disk itself, room comes to be in there, when what the journal removes is
 * removed. */
int store_look_for_room(struct store *s)
{
    int r = store_more(s);

    if (r == -ENOSPC && (r = store_settle(s)) == 0 && !room_within(&s->room))
        r = -ENOSPC;
    if (r < 0)
        return r;
    if (s->journal_most == 0)
        store_journal_allow(s);
    return 0;
}

int store_put_queue(struct store *s, const struct store_queue *q)
{
    struct queue_record head = {.created_ns = q->created_ns,
                                .kind = q->kind,
                                .maxmsg = q->maxmsg,
                                .msgsize = q->msgsize,
                                .mode = q->mode,
                                .durable = q->durable | (q->chosen ? QUEUE_CHOSEN : 0),
                                .uid = q->uid,
                                .gid = q->gid,
                                .sync = q->sync};
    bool sysv = q->kind == MQXI_KIND_SYSV;
    size_t len = sysv ? sizeof(q->sysv) : strnlen(q->name, NAME_MAX);
    MDB_val key = {16, (void *)q->uuid}, value = {sizeof(head) + len, NULL};
    int r = s->logging ? -EOVERFLOW : store_spend(s, value.mv_size);

    if (r < 0)
        return r;
    r = mdb_put(s->txn, s->queues, &key, &value, MDB_RESERVE);
    if (r == 0) {
        memcpy(value.mv_data, &head, sizeof(head));
        memcpy((uint8_t *)value.mv_data + sizeof(head), sysv ? (const void *)&q->sysv : q->name,
               len);
    }
    return failed(s, "a queue cannot be written", r);
}

int store_reserve(struct store *s, const struct message_key *k, size_t size, void **out)
{
    MDB_val key = {sizeof(*k), (void *)(uintptr_t)k}, value = {size, NULL};
    int r;

    if (s->logging) {
        *out = journal_put(&s->journal, k, size);
        return *out ? 0 : -EOVERFLOW;
    }
    r = store_spend(s, size);
    if (r == 0)
        r = failed(s, "a message cannot be written",
                   mdb_put(s->txn, s->messages, &key, &value, MDB_RESERVE));
    *out = value.mv_data;
    return r;
}

int store_put_message(struct store *s, const uint8_t *uuid, uint32_t slot,
                      const struct mqxi_snapshot *m, const void *data)
{
    struct message_record head = {
        .key = m->key, .sent_ns = m->sent_ns, .type = m->type, .pid = m->pid, .uid = m->uid};
    struct message_key key = record_message_key(uuid, slot);
    void *record;
    int r = store_reserve(s, &key, sizeof(head) + m->len, &record);

    if (r == 0) {
        memcpy(record, &head, sizeof(head));
        memcpy((uint8_t *)record + sizeof(head), data, m->len);
    }
    return r;
}

int store_delete_message(struct store *s, const uint8_t *uuid, uint32_t slot)
{
    struct message_key k = record_message_key(uuid, slot);
    MDB_val key = {sizeof(k), &k};
    int r;

    if (s->logging)
        return journal_remove(&s->journal, &k) ? 0 : -EOVERFLOW;
    r = store_spend(s, 0);
    if (r < 0)
        return r;
    r = mdb_del(s->txn, s->messages, &key, NULL);
    return r == MDB_NOTFOUND ? 0 : failed(s, "a message cannot be deleted", r);
}

bool store_belongs(const MDB_val *key, const uint8_t *uuid)
{
    return key->mv_size == sizeof(struct message_key) && memcmp(key->mv_data, uuid, 16) == 0;
}

int store_delete_queue(struct store *s, const uint8_t *uuid)
{
    struct message_key first = record_message_key(uuid, 0);
    MDB_val key = {sizeof(first), &first}, value;
    MDB_cursor *c;
    int r;

    if (s->logging)
        return -EOVERFLOW;
    r = mdb_cursor_open(s->txn, s->messages, &c);
    if (r)
        return failed(s, "a queue cannot be deleted", r);
    r = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE);
    while (r == 0 && store_belongs(&key, uuid)) {
        r = mdb_cursor_del(c, 0);
        if (r == 0)
            r = mdb_cursor_get(c, &key, &value, MDB_NEXT); /* the one behind the deleted one */
    }
    mdb_cursor_close(c);
    if (r == 0 || r == MDB_NOTFOUND) {
        key = (MDB_val){16, (void *)uuid};
        r = mdb_del(s->txn, s->queues, &key, NULL);
    }
    return r == MDB_NOTFOUND ? 0 : failed(s, "a queue cannot be deleted", r);
}

int store_turn(struct store *s)
{
    return store_remove(s, touch, NULL);
}

/*
 * LMDB lets others read while mqxd writes: a reading transaction sees the database
 * as its last commit left it, and mqxd does not write over what it sees.  Only
 * LMDB would crash on a damaged file, so check.c walks what that transaction
 * sees before LMDB does.
 *
 * What the journal has comes on top.  It is read before that transaction begins: if
 * mqxd begins a new one in between, then the database names another nonce, and has
 * all that the old one had.
 */
#include "inspect_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "log.h"
#include "record.h"
#include "seal.h"

#define TRIES 100 /* of which each fails only if mqxd commits twice in a few microseconds */

int inspect_failed(const struct inspect *s, const char *what, int r)
{
    if (r == 0)
        return 0;
    say("store %s: %s: %s", s->dir, what, mdb_strerror(r));
    return r > 0 ? -r : r == MDB_INVALID || r == MDB_VERSION_MISMATCH ? -EBADMSG : -EIO;
}

static int damaged(const struct inspect *s, const char *why)
{
    say("store %s: its data.mdb is damaged: %s", s->dir, why);
    return -EBADMSG;
}

/* --- locks ------------------------------------------------------------------------------------ */

/* Root looks at other users' stores: what is made in them on the way is theirs. */
void inspect_give(const struct inspect *s, const char *name)
{
    char path[PATH_MAX + 16];
    struct stat st;

    if (geteuid() == 0 && stat(s->dir, &st) == 0 && st.st_uid != 0) {
        snprintf(path, sizeof(path), "%s/%s", s->dir, name);
        if (lchown(path, st.st_uid, st.st_gid) < 0)
            say("%s: cannot be given to its user: %s", path, strerror(errno));
    }
}

int inspect_lock(const struct inspect *s, short type, int byte)
{
    struct flock lock = {.l_type = type, .l_start = byte, .l_len = 1};

    return fcntl(s->lock, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* *alone: nobody can write here, and there is nothing to lock. */
int inspect_open_lock(struct inspect *s, bool *alone)
{
    char path[PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/" STORE_LOCK_FILE, s->dir);
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    *alone = s->lock < 0 && errno == EROFS;
    if (s->lock >= 0)
        inspect_give(s, STORE_LOCK_FILE);
    return s->lock < 0 && !*alone ? inspect_failed(s, "cannot be opened", errno) : 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

int inspect_data_path(const char *dir, const char *suffix, char *path)
{
    return snprintf(path, PATH_MAX, "%s/data.mdb%s", dir, suffix) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int open_env(struct inspect *s, bool alone)
{
    char path[PATH_MAX], why[100];
    int r = inspect_data_path(s->dir, "", path);

    if (r == 0)
        r = check_head(path, why, sizeof(why));
    if (r == -EBADMSG)
        return damaged(s, why);
    r = r < 0 ? -r : mdb_env_create(&s->env);
    if (r == 0)
        r = mdb_env_set_maxdbs(s->env, 8);
    if (r == 0)
        r = mdb_env_open(s->env, s->dir, MDB_RDONLY | MDB_NOTLS | (alone ? MDB_NOLOCK : 0), 0600);
    if (r == 0 && !alone)
        inspect_give(s, "lock.mdb");
    return inspect_failed(s, "cannot be opened", r);
}

/* A reading transaction whose file was looked at. */
static int begin_checked(struct inspect *s)
{
    char path[PATH_MAX], why[100];
    int r = inspect_data_path(s->dir, "", path);

    for (int i = 0; r == 0 && i < TRIES; i++) {
        int begun = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->txn);

        if (begun == MDB_MAP_RESIZED) { /* mqxd made it larger just now */
            r = inspect_failed(s, "cannot be mapped", mdb_env_set_mapsize(s->env, 0));
            continue;
        }
        if (begun)
            return inspect_failed(s, "cannot begin a transaction", begun);
        r = check_snapshot(path, mdb_txn_id(s->txn), why, sizeof(why));
        if (r == 0)
            return 0;
        mdb_txn_abort(s->txn);
        s->txn = NULL;
        r = r == -EAGAIN ? 0 : r;
    }
    if (r == -EBADMSG)
        return damaged(s, why);
    return inspect_failed(s, "cannot be read", r == 0 ? EAGAIN : -r);
}

static int open_databases(struct inspect *s)
{
    MDB_val key = {6, "format"}, value;
    const char *why = "it is not a store of mqx";
    uint32_t version;
    int r = mdb_dbi_open(s->txn, "meta", 0, &s->meta);

    if (r == 0)
        r = mdb_dbi_open(s->txn, "queues", 0, &s->queues);
    if (r == 0)
        r = mdb_dbi_open(s->txn, "messages", 0, &s->messages);
    if (r == 0)
        r = mdb_get(s->txn, s->meta, &key, &value);
    if (r == 0)
        why = record_format(&value, &version);
    else if (r != MDB_NOTFOUND && r != MDB_INCOMPATIBLE)
        return inspect_failed(s, "cannot be read", r);
    if (!why)
        return 0;
    say("store %s: %s", s->dir, why);
    return -EBADMSG;
}

/* 0, also if there is none. */
int inspect_read_journal(struct inspect *s)
{
    int r;

    journal_close(&s->journal);
    r = journal_open(&s->journal, s->dir, false);
    if (r == 0)
        r = journal_read(&s->journal);
    if (journal_later(r))
        say("store %s: %s", s->journal.path, strerror(-r));
    return r == -ENOENT ? 0 : r;
}

/* By mqxd, which may have written the journal while we read it. */
static bool is_used(const struct inspect *s)
{
    struct flock lock = {.l_type = F_WRLCK, .l_start = STORE_LOCK_USES, .l_len = 1};

    return s->lock >= 0 && fcntl(s->lock, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* 1: it has been made just now. */
static int take_journal(struct inspect *s, bool used)
{
    uint64_t nonce;
    int r = journal_nonce(s->txn, s->meta, &nonce);

    if (r == MDB_NOTFOUND)
        return 0;
    if (r)
        return inspect_failed(s, "cannot be read", r);
    if (s->journal.fd < 0)
        return 1;
    journal_scan(&s->journal, nonce);
    if (!used && !is_used(s) && journal_damaged(&s->journal))
        return -EBADMSG;
    r = journal_changes(&s->journal, &s->changes, &s->change_count);
    return r < 0 ? inspect_failed(s, "cannot be read", -r) : 0;
}

/* The store is locked, if it can be. */
int inspect_look(struct inspect *s, bool alone)
{
    int r = open_env(s, alone);

    for (int i = 0; r == 0; i++) {
        bool used = is_used(s);

        r = inspect_read_journal(s);
        if (r == 0)
            r = begin_checked(s);
        if (r == 0)
            r = open_databases(s);
        if (r == 0)
            r = take_journal(s, used);
        if (r <= 0)
            return r;
        mdb_txn_abort(s->txn);
        s->txn = NULL;
        r = i < TRIES ? 0 : damaged(s, "its journal is missing, which has what was stored last");
    }
    return r;
}

/* Before anything is made there. */
int inspect_set_dir(struct inspect *s, const char *dir)
{
    char path[PATH_MAX];
    struct stat st;

    *s = (struct inspect){.lock = -1, .journal = JOURNAL_NONE};
    if (snprintf(s->dir, sizeof(s->dir), "%s", dir) >= (int)sizeof(s->dir) ||
        inspect_data_path(dir, "", path) < 0)
        return inspect_failed(s, "cannot be opened", ENAMETOOLONG);
    if (stat(path, &st) == 0)
        return S_ISREG(st.st_mode) ? 0 : damaged(s, "it is no file");
    if (errno == ENOENT || errno == ENOTDIR)
        say("store %s: there is none; --store says where it is", dir);
    else
        say("store %s: %s", dir, strerror(errno));
    return -errno;
}

int inspect_open(const char *dir, struct inspect *s)
{
    bool alone;
    int r = inspect_set_dir(s, dir);

    if (r == 0)
        r = inspect_open_lock(s, &alone);
    if (r == 0 && !alone) {
        r = inspect_lock(s, F_RDLCK, STORE_LOCK_LOOKS);
        if (r == -EAGAIN || r == -EACCES)
            say("store %s: it is being compacted; try again later", dir);
        else if (r < 0)
            say("store %s: cannot be locked: %s", dir, strerror(-r));
    }
    if (r == 0)
        r = inspect_look(s, alone);
    if (r < 0)
        inspect_close(s);
    return r;
}

void inspect_close(struct inspect *s)
{
    if (s->txn)
        mdb_txn_abort(s->txn);
    if (s->env)
        mdb_env_close(s->env);
    if (s->lock >= 0)
        close(s->lock);
    journal_close(&s->journal);
    free(s->changes);
    s->changes = NULL;
    s->txn = NULL;
    s->env = NULL;
    s->lock = -1;
}

bool inspect_is_sealed(const struct inspect *s)
{
    int r;

    return seal_check_store(s->txn, s->meta, NULL, &r);
}

int inspect_keys(struct inspect *s, const struct keys *keys)
{
    int r;
    const char *why = seal_check_store(s->txn, s->meta, keys, &r);

    if (why)
        say("store %s: %s", s->dir, why);
    s->keys = why ? NULL : keys;
    return why ? -ENOKEY : inspect_failed(s, "cannot be read", r);
}

/* --- looking ---------------------------------------------------------------------------------- */

static int compare(const MDB_val *key, const struct message_key *other)
{
    size_t size = key->mv_size < sizeof(*other) ? key->mv_size : sizeof(*other);
    int order = memcmp(key->mv_data, other, size);

    return order ? order : (key->mv_size > sizeof(*other)) - (key->mv_size < sizeof(*other));
}

/* Records of the database and changes that come on top, both in the order of their keys. */
struct both {
    MDB_cursor *cursor;
    MDB_cursor_op begin; /* at `key` */
    MDB_val key;
    const struct journal_change *change, *end;
};

/* Where both have a key, the change is right. */
static int each_of(struct inspect *s, struct both *b,
                   int (*each)(const MDB_val *key, const MDB_val *value, void *arg), void *arg)
{
    MDB_val key = b->key, value;
    int found = mdb_cursor_get(b->cursor, &key, &value, b->begin), r = 0;

    while (r == 0 && (found == 0 || (found == MDB_NOTFOUND && b->change < b->end))) {
        const struct journal_change *c = b->change;
        int order = found ? 1 : c == b->end ? -1 : compare(&key, c->key);

        if (order < 0)
            r = each(&key, &value, arg);
        else if (c->value)
            r = each(&(MDB_val){sizeof(*c->key), (void *)(uintptr_t)c->key},
                     &(MDB_val){c->len, (void *)(uintptr_t)c->value}, arg);
        if (order >= 0)
            b->change++;
        if (order <= 0)
            found = mdb_cursor_get(b->cursor, &key, &value, MDB_NEXT);
    }
    return r || found == 0 || found == MDB_NOTFOUND ? r
                                                    : inspect_failed(s, "cannot be read", found);
}

int inspect_each(struct inspect *s, MDB_dbi db,
                 int (*each)(const MDB_val *key, const MDB_val *value, void *arg), void *arg)
{
    struct both b = {.begin = MDB_FIRST, .change = s->changes, .end = s->changes};
    int r = inspect_failed(s, "cannot be read", mdb_cursor_open(s->txn, db, &b.cursor));

    if (r < 0)
        return r;
    if (db == s->messages && s->changes)
        b.end += s->change_count;
    r = each_of(s, &b, each, arg);
    mdb_cursor_close(b.cursor);
    return r;
}

/* The first that does not come before the queue's. */
static const struct journal_change *first_change(const struct inspect *s, const uint8_t *uuid)
{
    size_t from = 0, to = s->change_count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (memcmp(s->changes[middle].key, uuid, 16) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return s->changes + from;
}

static void changes_of(const struct inspect *s, const uint8_t *uuid, struct both *b)
{
    const struct journal_change *end = s->changes + s->change_count;

    b->change = b->end = first_change(s, uuid);
    while (b->end < end && memcmp(b->end->key, uuid, 16) == 0)
        b->end++;
}

int inspect_each_message(struct inspect *s, const uint8_t *uuid,
                         int (*each)(const MDB_val *key, const MDB_val *value, void *arg),
                         void *arg)
{
    struct message_key first = record_message_key(uuid, 0);
    struct both b = {.begin = MDB_SET_RANGE, .key = {sizeof(first), &first}};
    int r = inspect_failed(s, "cannot be read", mdb_cursor_open(s->txn, s->messages, &b.cursor));

    if (r < 0)
        return r;
    if (s->change_count > 0)
        changes_of(s, uuid, &b);
    r = each_of(s, &b, each, arg);
    mdb_cursor_close(b.cursor);
    return r;
}

static uint64_t pages(const MDB_stat *st)
{
    return st->ms_branch_pages + st->ms_leaf_pages + st->ms_overflow_pages;
}

int inspect_size(struct inspect *s, struct inspect_size *out)
{
    char path[PATH_MAX];
    struct stat file;
    MDB_stat st;
    MDB_dbi trees[] = {0, 1, s->queues, s->messages}; /* of free pages, and the main one */
    int r = inspect_data_path(s->dir, "", path);

    if (r < 0 || stat(path, &file) < 0)
        return inspect_failed(s, "cannot be read", r < 0 ? -r : errno);
    *out = (struct inspect_size){.file = (uint64_t)file.st_size, .commits = s->journal.commits};
    if (s->journal.nonce) /* the database names it */
        out->journal = s->journal.size;
    for (unsigned i = 0; r == 0 && i < sizeof(trees) / sizeof(*trees); i++) {
        r = inspect_failed(s, "cannot be read", mdb_stat(s->txn, trees[i], &st));
        out->used += r == 0 ? pages(&st) * st.ms_psize : 0;
    }
    return r;
}

/*
 * LMDB lets others read while mqxd writes: a reading transaction sees the store
 * as the last commit left it, and mqxd does not write over what it sees.  Only
 * LMDB would crash on a damaged file, so check.c walks what that transaction
 * sees before LMDB does.
 *
 * A copy is written under another name, flushed, checked and then renamed: so
 * under the name data.mdb there is a whole one or none.
 */
#include "inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "log.h"
#include "record.h"
#include "seal.h"

#define TRIES 100 /* of which each fails only if mqxd commits twice in a few microseconds */

static int failed(const struct inspect *s, const char *what, int r)
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
static void give(const struct inspect *s, const char *name)
{
    char path[PATH_MAX + 16];
    struct stat st;

    if (geteuid() == 0 && stat(s->dir, &st) == 0 && st.st_uid != 0) {
        snprintf(path, sizeof(path), "%s/%s", s->dir, name);
        if (lchown(path, st.st_uid, st.st_gid) < 0)
            say("%s: cannot be given to its user: %s", path, strerror(errno));
    }
}

static int lock(const struct inspect *s, short type, int byte)
{
    struct flock lock = {.l_type = type, .l_start = byte, .l_len = 1};

    return fcntl(s->lock, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* *alone: nobody can write here, and there is nothing to lock. */
static int open_lock(struct inspect *s, bool *alone)
{
    char path[PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/" STORE_LOCK_FILE, s->dir);
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    *alone = s->lock < 0 && errno == EROFS;
    if (s->lock >= 0)
        give(s, STORE_LOCK_FILE);
    return s->lock < 0 && !*alone ? failed(s, "cannot be opened", errno) : 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int data_path(const char *dir, const char *suffix, char *path)
{
    return snprintf(path, PATH_MAX, "%s/data.mdb%s", dir, suffix) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int open_env(struct inspect *s, bool alone)
{
    int r = mdb_env_create(&s->env);

    if (r == 0)
        r = mdb_env_set_maxdbs(s->env, 8);
    if (r == 0)
        r = mdb_env_open(s->env, s->dir, MDB_RDONLY | MDB_NOTLS | (alone ? MDB_NOLOCK : 0), 0600);
    if (r == 0 && !alone)
        give(s, "lock.mdb");
    return failed(s, "cannot be opened", r);
}

/* A reading transaction whose file was looked at. */
static int begin(struct inspect *s)
{
    char path[PATH_MAX], why[100];
    int r = data_path(s->dir, "", path);

    for (int i = 0; r == 0 && i < TRIES; i++) {
        int begun = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->txn);

        if (begun == MDB_MAP_RESIZED) { /* mqxd made it larger just now */
            r = failed(s, "cannot be mapped", mdb_env_set_mapsize(s->env, 0));
            continue;
        }
        if (begun)
            return failed(s, "cannot begin a transaction", begun);
        r = check_snapshot(path, mdb_txn_id(s->txn), why, sizeof(why));
        if (r == 0)
            return 0;
        mdb_txn_abort(s->txn);
        s->txn = NULL;
        r = r == -EAGAIN ? 0 : r;
    }
    if (r == -EBADMSG)
        return damaged(s, why);
    return failed(s, "cannot be read", r == 0 ? EAGAIN : -r);
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
        return failed(s, "cannot be read", r);
    if (!why)
        return 0;
    say("store %s: %s", s->dir, why);
    return -EBADMSG;
}

/* The store is locked, if it can be. */
static int look(struct inspect *s, bool alone)
{
    int r = open_env(s, alone);

    if (r == 0)
        r = begin(s);
    return r < 0 ? r : open_databases(s);
}

/* Before anything is made there. */
static int set_dir(struct inspect *s, const char *dir)
{
    char path[PATH_MAX];
    struct stat st;

    *s = (struct inspect){.lock = -1};
    if (snprintf(s->dir, sizeof(s->dir), "%s", dir) >= (int)sizeof(s->dir) ||
        data_path(dir, "", path) < 0)
        return failed(s, "cannot be opened", ENAMETOOLONG);
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
    int r = set_dir(s, dir);

    if (r == 0)
        r = open_lock(s, &alone);
    if (r == 0 && !alone) {
        r = lock(s, F_RDLCK, STORE_LOCK_LOOKS);
        if (r == -EAGAIN || r == -EACCES)
            say("store %s: it is being compacted; try again later", dir);
        else if (r < 0)
            say("store %s: cannot be locked: %s", dir, strerror(-r));
    }
    if (r == 0)
        r = look(s, alone);
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
    return why ? -ENOKEY : failed(s, "cannot be read", r);
}

/* --- looking ---------------------------------------------------------------------------------- */

int inspect_each(struct inspect *s, MDB_dbi db,
                 int (*each)(const MDB_val *key, const MDB_val *value, void *arg), void *arg)
{
    MDB_val key, value;
    MDB_cursor *c;
    int r = failed(s, "cannot be read", mdb_cursor_open(s->txn, db, &c)), found = 0;

    if (r < 0)
        return r;
    while (r == 0 && (found = mdb_cursor_get(c, &key, &value, MDB_NEXT)) == 0)
        r = each(&key, &value, arg);
    mdb_cursor_close(c);
    return r || found == MDB_NOTFOUND ? r : failed(s, "cannot be read", found);
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
    int r = data_path(s->dir, "", path);

    if (r < 0 || stat(path, &file) < 0)
        return failed(s, "cannot be read", r < 0 ? -r : errno);
    *out = (struct inspect_size){.file = (uint64_t)file.st_size};
    for (unsigned i = 0; r == 0 && i < sizeof(trees) / sizeof(*trees); i++) {
        r = failed(s, "cannot be read", mdb_stat(s->txn, trees[i], &st));
        out->used += r == 0 ? pages(&st) * st.ms_psize : 0;
    }
    return r;
}

/* --- copying ---------------------------------------------------------------------------------- */

static int flush_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

    if (fd < 0)
        return -errno;
    r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int said(const char *path, int r)
{
    if (r < 0)
        say("%s: %s", path, strerror(-r));
    return r;
}

static int write_copy(struct inspect *s, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), r;

    if (fd < 0)
        return said(path, -errno);
    r = mdb_env_copyfd2(s->env, fd, MDB_CP_COMPACT);
    if (r == 0 && fsync(fd) < 0)
        r = errno;
    if (close(fd) < 0 && r == 0)
        r = errno;
    if (r) {
        say("%s: cannot be written: %s", path, mdb_strerror(r));
        unlink(path);
    }
    return r > 0 ? -r : r < 0 ? -EIO : 0;
}

/* Make the directory's data.mdb this store's. */
static int copy(struct inspect *s, const char *to, uint64_t *size)
{
    char part[PATH_MAX], path[PATH_MAX], why[100];
    struct stat st;
    int r = data_path(to, "", path) < 0 ? -ENAMETOOLONG : data_path(to, ".part", part);

    if (r < 0)
        return said(to, r);
    r = write_copy(s, part);
    if (r < 0)
        return r;
    r = check_database(part, why, sizeof(why));
    if (r < 0)
        say("%s: the copy is damaged: %s", part, r == -EBADMSG ? why : strerror(-r));
    else if (stat(part, &st) < 0 || rename(part, path) < 0 || flush_dir(to) < 0)
        r = said(path, -errno);
    if (r < 0)
        unlink(part);
    else
        *size = (uint64_t)st.st_size;
    return r;
}

int inspect_backup(struct inspect *s, const char *to, uint64_t *size)
{
    char path[PATH_MAX];
    struct stat st;

    if (mkdir(to, 0700) < 0 && errno != EEXIST)
        return said(to, -errno);
    if (data_path(to, "", path) < 0)
        return said(to, -ENAMETOOLONG);
    if (lstat(path, &st) == 0)
        return said(path, -EEXIST);
    return copy(s, to, size);
}

/* lock.mdb knows of the old file; LMDB makes a new one. */
static int replace(struct inspect *s, uint64_t *before, uint64_t *after)
{
    char path[PATH_MAX + 16];
    struct inspect_size size;
    int r = look(s, false);

    if (r == 0)
        r = inspect_size(s, &size);
    if (r < 0)
        return r;
    *before = size.file;
    snprintf(path, sizeof(path), "%s/lock.mdb", s->dir);
    if (unlink(path) < 0 && errno != ENOENT)
        return said(path, -errno);
    r = copy(s, s->dir, after);
    if (r == 0) {
        give(s, "data.mdb");
        r = said(s->dir, flush_dir(s->dir));
    }
    return r;
}

int inspect_compact(const char *dir, uint64_t *before, uint64_t *after)
{
    struct inspect s;
    bool alone;
    int r = set_dir(&s, dir);

    if (r == 0)
        r = open_lock(&s, &alone);
    if (r == 0 && alone)
        r = said(dir, -EROFS);
    if (r == 0 && lock(&s, F_WRLCK, STORE_LOCK_USES) < 0) {
        say("store %s: mqxd is using it; stop it first", dir);
        r = -EBUSY;
    }
    if (r == 0 && lock(&s, F_WRLCK, STORE_LOCK_LOOKS) < 0) {
        say("store %s: another mqx is looking at it; try again later", dir);
        r = -EBUSY;
    }
    if (r == 0)
        r = replace(&s, before, after);
    inspect_close(&s);
    return r;
}

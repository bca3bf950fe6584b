/*
 * Copies of a store.  One is written under another name, flushed, checked, given
 * what the journal has, and then renamed: so under the name data.mdb there is a
 * whole one or none.  It names no journal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "file.h"
#include "inspect_private.h"
#include "log.h"
#include "room.h"

static int said(const char *path, int r)
{
    if (r < 0)
        say("%s: %s", path, strerror(-r));
    return r;
}

/* mqxd may have made it larger than our map while we looked at it. */
static int write_to(struct inspect *s, int fd)
{
    int r;

    do {
        r = mdb_env_copyfd2(s->env, fd, MDB_CP_COMPACT);
    } while (r == MDB_MAP_RESIZED && mdb_env_set_mapsize(s->env, 0) == 0);
    return r;
}

static int write_copy(struct inspect *s, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), r;

    if (fd < 0)
        return said(path, -errno);
    r = write_to(s, fd);
    if (r == 0 && fsync(fd) < 0)
        r = errno;
    if (close(fd) < 0 && r == 0)
        r = errno;
    if (r)
        say("%s: cannot be written: %s", path, mdb_strerror(r));
    return r > 0 ? -r : r < 0 ? -EIO : 0;
}

/* LMDB would take a full disk for a broken one. */
static int have_room(const struct journal *j, int fd, off_t size)
{
    uint64_t copied = ROOM_COPIES * 4096 * j->changes, all = (uint64_t)size;

    if (copied > all)
        copied = all;
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)(all + 3 * j->bytes + copied + (1 << 18))) <
            0 &&
        errno != EOPNOTSUPP && errno != ENOSYS)
        return errno;
    return 0;
}

/* For a copy, what the journal has is put into it, and no journal is named. */
static int put_journal(struct inspect *s, MDB_env *env, int fd, off_t size)
{
    MDB_val name = {7, "journal"};
    MDB_dbi meta, messages;
    uint64_t nonce;
    MDB_txn *txn;
    int r = mdb_txn_begin(env, NULL, 0, &txn);

    if (r)
        return r;
    r = mdb_dbi_open(txn, "meta", 0, &meta);
    if (r == 0)
        r = mdb_dbi_open(txn, "messages", 0, &messages);
    if (r == 0)
        r = journal_nonce(txn, meta, &nonce);
    if (r == 0 && s->journal.fd < 0)
        r = EAGAIN; /* it has been made just now */
    if (r == 0) {
        journal_scan(&s->journal, nonce);
        r = have_room(&s->journal, fd, size);
    }
    if (r == 0)
        r = journal_apply(&s->journal, txn, messages);
    if (r == 0)
        r = mdb_del(txn, meta, &name, NULL);
    if (r == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return r == MDB_NOTFOUND ? 0 : r;
}

static int open_copy(const char *path, off_t size, MDB_env **env)
{
    int r = mdb_env_create(env);

    if (r == 0)
        r = mdb_env_set_maxdbs(*env, 8);
    if (r == 0)
        r = mdb_env_set_mapsize(*env, (size_t)size * 2 + 8 * JOURNAL_MOST);
    return r ? r : mdb_env_open(*env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
}

static int complete_copy(struct inspect *s, const char *path, struct stat *st)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), r;
    MDB_env *env = NULL;

    if (fd < 0)
        return said(path, -errno);
    r = fstat(fd, st) < 0 ? errno : open_copy(path, st->st_size, &env);
    if (r == 0)
        r = put_journal(s, env, fd, st->st_size);
    mdb_env_close(env);
    if (r == 0 && (fstat(fd, st) < 0 || ftruncate(fd, st->st_size) < 0 || fsync(fd) < 0))
        r = errno;
    close(fd);
    if (r && r != EAGAIN)
        say("%s: cannot be completed from the journal: %s", path, mdb_strerror(r));
    return r > 0 ? -r : r < 0 ? -EIO : 0;
}

/* -EAGAIN (not said): once more. */
static int write_complete(struct inspect *s, const char *part, struct stat *st)
{
    char why[100];
    int r;

    free(s->changes); /* which point into what is read now */
    s->changes = NULL;
    s->change_count = 0;
    r = inspect_read_journal(s);
    if (r == 0)
        r = write_copy(s, part);
    if (r < 0)
        return r;
    r = check_database(part, why, sizeof(why));
    if (r < 0) {
        say("%s: the copy is damaged: %s", part, r == -EBADMSG ? why : strerror(-r));
        return r;
    }
    return complete_copy(s, part, st);
}

/* Make the directory's data.mdb this store's. */
static int copy(struct inspect *s, const char *to, uint64_t *size)
{
    char part[PATH_MAX], path[PATH_MAX];
    struct stat st;
    int r =
        inspect_data_path(to, "", path) < 0 ? -ENAMETOOLONG : inspect_data_path(to, ".part", part);

    if (r < 0)
        return said(to, r);
    mdb_txn_abort(s->txn); /* the copy has its own, and this one would keep the map as it is */
    s->txn = NULL;
    r = write_complete(s, part, &st);
    if (r == -EAGAIN) /* now there is a journal, unless somebody removed it */
        r = write_complete(s, part, &st);
    if (r == -EAGAIN)
        say("store %s: its journal is missing, which has what was stored last", s->dir);
    if (r == 0 && (rename(part, path) < 0 || file_sync_directory(to) < 0))
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
    if (inspect_data_path(to, "", path) < 0)
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
    int r = inspect_look(s, false);

    if (r == 0)
        r = inspect_size(s, &size);
    if (r < 0)
        return r;
    *before = size.file + s->journal.size;
    snprintf(path, sizeof(path), "%s/lock.mdb", s->dir);
    if (unlink(path) < 0 && errno != ENOENT)
        return said(path, -errno);
    r = copy(s, s->dir, after);
    if (r < 0)
        return r;
    inspect_give(s, "data.mdb");
    /* It has messages that were removed, too. */
    if (s->journal.fd >= 0 && unlink(s->journal.path) < 0)
        return said(s->journal.path, -errno);
    return said(s->dir, file_sync_directory(s->dir));
}

int inspect_compact(const char *dir, uint64_t *before, uint64_t *after)
{
    struct inspect s;
    bool alone;
    int r = inspect_set_dir(&s, dir);

    if (r == 0)
        r = inspect_open_lock(&s, &alone);
    if (r == 0 && alone)
        r = said(dir, -EROFS);
    if (r == 0 && inspect_lock(&s, F_WRLCK, STORE_LOCK_USES) < 0) {
        say("store %s: mqxd is using it; stop it first", dir);
        r = -EBUSY;
    }
    if (r == 0 && inspect_lock(&s, F_WRLCK, STORE_LOCK_LOOKS) < 0) {
        say("store %s: another mqx is looking at it; try again later", dir);
        r = -EBUSY;
    }
    if (r == 0)
        r = replace(&s, before, after);
    inspect_close(&s);
    return r;
}

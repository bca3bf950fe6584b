/*
 * LMDB copies pages before it changes them, so that even a removal needs some: on a
 * full disk nothing could be removed, and nothing would ever get better.  So the
 * database's file is allocated before LMDB grows into it, and LMDB is told a limit
 * (its map size) that leaves a reserve behind it, for removals alone.  What they free
 * goes to later transactions.
 *
 * When removals have used the reserve it is among the free pages of the database,
 * from which LMDB gives to everybody.  Then these are counted, and messages get
 * only what is beyond the reserve.
 */
#include "room.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define LEAST        (UINT64_C(64) << 10) /* a page, of any machine; all are multiples of it */
#define RESERVE_MOST (UINT64_C(1) << 20)
#define STEP_MOST    (UINT64_C(64) << 20)
#define DOWN(n)      ((n) & ~(LEAST - 1))
#define UP(n)        DOWN((n) + LEAST - 1)

static int allocate(struct room *r, uint64_t size)
{
    int fd;

    if (size <= r->allocated || r->unknown)
        return 0;
    if (mdb_env_get_fd(r->env, &fd) != 0)
        return EINVAL;
    /* From the beginning, though most is there: a copied file may have holes. */
    while (fallocate(fd, 0, 0, (off_t)size) < 0) {
        if (errno == EINTR)
            continue;
        if (errno == EOPNOTSUPP || errno == ENOSYS) {
            r->unknown = true;
            return 0;
        }
        return errno == EDQUOT || errno == EFBIG ? ENOSPC : errno;
    }
    r->allocated = size;
    return 0;
}

static int set_limit(struct room *r, uint64_t limit)
{
    return mdb_env_set_mapsize(r->env, (size_t)limit);
}

static uint64_t used(const struct room *r)
{
    MDB_envinfo info;
    MDB_stat stat;

    if (mdb_env_info(r->env, &info) != 0 || mdb_env_stat(r->env, &stat) != 0)
        return 0;
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

int room_open(struct room *r, MDB_env *env)
{
    struct statvfs fs;
    struct stat st;
    uint64_t size;
    int fd, e = mdb_env_get_fd(env, &fd);

    if (e)
        return e;
    if (fstat(fd, &st) < 0 || fstatvfs(fd, &fs) < 0)
        return errno;
    *r = (struct room){.env = env, .reserve = UP((uint64_t)fs.f_blocks * fs.f_frsize / 16)};
    if (r->reserve > RESERVE_MOST)
        r->reserve = RESERVE_MOST;
    size = UP(used(r)) + LEAST + r->reserve;
    if (size < DOWN((uint64_t)st.st_size))
        size = DOWN((uint64_t)st.st_size);
    e = allocate(r, size);
    if (e == ENOSPC) /* then without a reserve, until there is room */
        r->allocated = DOWN((uint64_t)st.st_size);
    else if (e)
        return e;
    r->limit = r->allocated > r->reserve ? r->allocated - r->reserve : 0;
    return set_limit(r, r->unknown ? STEP_MOST : r->limit); /* at least what is used */
}

int room_more(struct room *r)
{
    uint64_t step, from = UP(used(r)); /* removals may have used the reserve */
    int e = ENOSPC;

    if (from < r->limit)
        from = r->limit;
    step = DOWN(from / 2) + LEAST;
    if (step > STEP_MOST)
        step = STEP_MOST;
    for (; e == ENOSPC && step > 0; step = DOWN(step / 2)) {
        e = allocate(r, from + step + r->reserve);
        if (e == 0)
            r->limit = from + step;
    }
    return e ? e : set_limit(r, r->limit);
}

/* Some pages; on a tiny disk there is nothing to be divided. */
static uint64_t kept_for_turns(const struct room *r)
{
    uint64_t part = DOWN(r->reserve / 8);

    return r->reserve < 2 * LEAST ? 0 : part ? part : LEAST;
}

int room_spare(struct room *r, enum room_spare spare)
{
    uint64_t kept = spare == ROOM_FOR_TURNS ? 0 : kept_for_turns(r);
    uint64_t limit = r->allocated > kept ? r->allocated - kept : 0;

    return set_limit(r, spare == ROOM_FOR_MESSAGES || limit < r->limit ? r->limit : limit);
}

/* A line of LMDB's about a reader: the transaction that it sees. */
static int note_oldest(const char *line, void *arg)
{
    size_t *oldest = arg, seen;

    if (sscanf(line, "%*d %*x %zu", &seen) == 1 && seen < *oldest)
        *oldest = seen;
    return 0;
}

/* The next transaction can use what was freed before this one: it must leave what the last one
 * freed, since its commit may fail, and what somebody still reads. */
static size_t oldest_needed(MDB_env *env)
{
    MDB_envinfo info;
    size_t oldest;

    if (mdb_env_info(env, &info) != 0)
        return 0;
    oldest = info.me_last_txnid;
    return mdb_reader_list(env, note_oldest, &oldest) < 0 ? 0 : oldest;
}

/* How many of a record's pages can be had, where up to `row` of them at a time must lie in a row.
 * The first number is how many there are; they are in descending order. */
static uint64_t in_rows(const MDB_val *value, uint64_t row)
{
    const size_t size = sizeof(size_t), count = value->mv_size / size;
    uint64_t pages = 0, length = 0;
    size_t n, at, before = 0;

    if (count == 0)
        return 0;
    memcpy(&n, value->mv_data, size);
    if (row <= 1)
        return n;
    for (size_t i = 1; i <= n && i < count; i++, before = at) {
        memcpy(&at, (const uint8_t *)value->mv_data + i * size, size);
        length = at + 1 == before ? length + 1 : 1;
        pages += length >= row; /* what is left of a row at its end may be too short */
    }
    return pages;
}

/* Free pages in the database, of transactions before that one.  Only who reads may look at these.
 */
static uint64_t free_pages(MDB_env *env, size_t before, uint64_t row)
{
    MDB_txn *txn;
    MDB_cursor *c;
    MDB_val key, value;
    uint64_t pages = 0;
    size_t of;

    if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        return 0;
    if (mdb_cursor_open(txn, 0, &c) != 0) {
        mdb_txn_abort(txn);
        return 0;
    }
    while (mdb_cursor_get(c, &key, &value, MDB_NEXT) == 0 && key.mv_size == sizeof(of)) {
        memcpy(&of, key.mv_data, sizeof(of));
        if (of >= before)
            break;
        pages += in_rows(&value, row);
    }
    mdb_cursor_close(c);
    mdb_txn_abort(txn);
    return pages;
}

bool room_for(struct room *r, uint64_t pages, uint64_t row)
{
    MDB_stat stat;

    if (r->unknown || mdb_env_stat(r->env, &stat) != 0)
        return false;
    pages += r->reserve / stat.ms_psize;
    for (;;) {
        uint64_t is = used(r), have = r->allocated > is ? (r->allocated - is) / stat.ms_psize : 0;

        if (have >= pages || have + free_pages(r->env, oldest_needed(r->env), row) >= pages)
            return true;
        if (room_more(r) != 0)
            return false;
    }
}

bool room_within(const struct room *r)
{
    MDB_stat stat;

    if (r->unknown || mdb_env_stat(r->env, &stat) != 0)
        return false;
    return free_pages(r->env, SIZE_MAX, 1) * stat.ms_psize + r->limit / 2 >= used(r);
}

uint64_t room_left(const struct room *r)
{
    MDB_stat stat;
    uint64_t is = used(r), behind = r->allocated > is ? r->allocated - is : 0, kept, have;

    if (r->unknown || behind >= r->reserve)
        return UINT64_MAX;
    if (mdb_env_stat(r->env, &stat) != 0)
        return 0;
    kept = r->reserve / stat.ms_psize;
    have = behind / stat.ms_psize + free_pages(r->env, SIZE_MAX, 1);
    return have > kept ? have - kept : 0;
}

/*
 * What changes messages goes into the journal first, which costs one flush, and
 * from there into LMDB when the journal is full, or when something else is to be
 * changed or read.  Then the database names a new nonce in the same transaction:
 * before its commit the journal's records count, after it none of them does.  A
 * record says what is, not what is to be done, so it does not matter how much of
 * it the database had already.
 *
 * What is in the journal was acknowledged, so that the database must be able to
 * take it: room for it is had beforehand (room.c).  Where that cannot be had, where
 * there is no room for a journal, and for what is large, there are LMDB's commits.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>

#include "log.h"
#include "store_private.h"

#define LEAST    (UINT64_C(64) << 10) /* of a journal's sizes; all are multiples of it */
#define QUICK_NS UINT64_C(50000000)   /* a full journal is settled in less: it may be larger */
#define SLOW_NS  UINT64_C(250000000)  /* ... in more: it is too large */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- into the database ------------------------------------------------------------------------ */

struct settling {
    bool last; /* then there is no journal */
    uint64_t nonce;
};

static int put_meta(struct store *s, const char *name, void *data, size_t size)
{
    MDB_val key = {strlen(name), (void *)(uintptr_t)name}, value = {size, data};

    return store_failed(s, "cannot be written", mdb_put(s->txn, s->meta, &key, &value, 0));
}

static int name_nonce(struct store *s, const struct settling *w)
{
    struct meta_record format = {.magic = STORE_MAGIC, .version = STORE_FORMAT};
    struct meta_journal mine = {.nonce = w->nonce};
    MDB_val key = {7, "journal"};
    int r;

    if (w->last) {
        r = mdb_del(s->txn, s->meta, &key, NULL);
        return r == MDB_NOTFOUND ? 0 : store_failed(s, "cannot be written", r);
    }
    r = put_meta(s, "format", &format, sizeof(format));
    return r < 0 ? r : put_meta(s, "journal", &mine, sizeof(mine));
}

/* For store_write. */
static int apply(struct store *s, void *arg)
{
    int r = store_failed(s, "messages cannot be moved from the journal",
                         journal_apply(&s->journal, s->txn, s->messages));

    return r < 0 ? r : name_nonce(s, arg);
}

/* One that nobody can know. */
static int draw(uint64_t *nonce)
{
    do {
        if (getrandom(nonce, sizeof(*nonce), 0) != sizeof(*nonce) && errno != EINTR)
            return -errno;
    } while (*nonce == 0);
    return 0;
}

/* `last`: and then there is no journal.  -ENOSPC: all is as it was. */
static int settle(struct store *s, bool last)
{
    struct settling w = {.last = last};
    int r = draw(&w.nonce);

    if (r == 0)
        r = store_write(s, false, apply, &w);
    if (r == -ENOSPC) /* it is to be trusted with what was kept back for removals */
        r = store_write(s, true, apply, &w);
    if (r < 0)
        return r;
    journal_turn(&s->journal, w.nonce);
    s->named = !last;
    s->ours = true;
    s->ready &= !last;
    if (!last)
        s->version = STORE_FORMAT;
    return 0;
}

static uint64_t first(const struct store *s)
{
    return s->journal_most < JOURNAL_FIRST ? s->journal_most : JOURNAL_FIRST;
}

/* Larger, where the disk has room. */
static int grow(struct store *s, uint64_t size)
{
    int r = journal_grow(&s->journal, size < s->journal_most ? size : s->journal_most);

    return journal_later(r) ? 0 : r;
}

/* Senders wait while a full journal is settled: it is only as large as the disk is fast. */
static int resize(struct store *s, uint64_t took)
{
    uint64_t half = s->journal.size / 2 & ~(LEAST - 1);

    if (took < QUICK_NS)
        return s->journal.size < s->journal_most ? grow(s, 2 * s->journal.size) : 0;
    if (took > SLOW_NS && half >= first(s))
        s->journal.size = half; /* what is behind that is left alone */
    return 0;
}

/* The last mqxd's journal counts no more, even if it is empty: the disk may have a record that is
 * not in the kernel's memory, if that mqxd could not write it, nor take it back. */
int store_settle(struct store *s)
{
    bool full = s->journal.end > s->journal.size / 2;
    uint64_t begun = now_ns();
    int r = s->journal.end || (s->named && !s->ours) ? settle(s, s->journal_most == 0) : 0;

    if (r == -ENOSPC && s->journal.end == 0)
        return 0; /* there is nothing to lose by what has room nevertheless */
    return r == 0 && full ? resize(s, now_ns() - begun) : r;
}

int store_finish(struct store *s)
{
    int r = s->named ? settle(s, true) : 0;

    if (r == -ENOSPC) /* the next start can do as much */
        say("store %s: the disk is full: what was stored last stays in the journal", s->dir);
    return r == -ENOSPC ? 0 : r;
}

/* --- into the journal ------------------------------------------------------------------------- */

/* Pages that LMDB needs, at most, to take all that is in the journal, and in the record that is
 * being made: leaves may be half full, and a message may need a page more than its bytes do. */
static uint64_t pages_needed(const struct store *s)
{
    const struct journal *j = &s->journal;
    uint64_t pages = 3 * (j->bytes + j->at - j->end) / 4096;
    uint64_t copies = (j->changes + j->making) * ROOM_COPIES;

    return pages + (copies < s->tree + pages ? copies : s->tree + pages) + 64;
}

/* -EOVERFLOW: it does not fit. */
static int log_changes(struct store *s, int (*change)(struct store *s, void *arg), void *arg)
{
    int r;

    journal_begin(&s->journal);
    s->logging = true;
    r = change(s, arg);
    s->logging = false;
    if (r != 0 || s->journal.making == 0)
        return r;
    if (!room_for(&s->room, pages_needed(s), s->journal.largest / 4096 + 1))
        return -EOVERFLOW;
    r = journal_commit(&s->journal);
    return r == -ENOSPC ? -EOVERFLOW : r;
}

/* What the last mqxd left in it is in the database then, since records may be in the kernel's
 * memory alone, of which that was told so. */
static int make_ready(struct store *s)
{
    int r = s->journal.fd >= 0 ? 0 : journal_open(&s->journal, s->dir, true);

    if (r == -ENOENT)
        r = journal_make(&s->journal, s->dir, first(s));
    if (r == 0)
        r = settle(s, false);
    if (r == 0 && s->journal.size < first(s))
        r = grow(s, first(s));
    s->ready = r == 0;
    if (r == -ENOSPC)
        s->journal_most = 0; /* until there is room (store_look_for_room) */
    return journal_later(r) ? -EOVERFLOW : r;
}

/* The first commit of all needs no journal yet, and there may be no other. */
static int commit_without(struct store *s, int (*change)(struct store *s, void *arg), void *arg)
{
    int r = store_transact(s, change, arg);

    s->begun |= r == 0;
    return r;
}

int store_commit(struct store *s, int (*change)(struct store *s, void *arg), void *arg)
{
    int r = s->ready ? 0 : s->begun && s->journal_most ? make_ready(s) : -EOVERFLOW;

    if (r == 0)
        r = log_changes(s, change, arg);
    if (r == -EOVERFLOW && s->ready && s->journal.end > 0) {
        r = store_settle(s);
        if (r == 0)
            r = log_changes(s, change, arg);
    }
    return r == -EOVERFLOW ? commit_without(s, change, arg) : r;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* A small disk is for messages. */
void store_journal_allow(struct store *s)
{
    struct statvfs fs;
    uint64_t part;

    s->journal_most = 0;
    if (s->room.unknown || statvfs(s->dir, &fs) < 0)
        return;
    part = (uint64_t)fs.f_blocks * fs.f_frsize / 16 & ~(LEAST - 1);
    s->journal_most = part < JOURNAL_MOST ? part : JOURNAL_MOST;
}

int store_journal_open(struct store *s)
{
    uint64_t nonce;
    MDB_txn *txn;
    int r = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);

    store_journal_allow(s);
    if (r)
        return store_failed(s, "cannot be read", r);
    r = journal_nonce(txn, s->meta, &nonce);
    mdb_txn_abort(txn);
    if (r)
        return r == MDB_NOTFOUND ? 0 : store_failed(s, "cannot be read", r);
    s->named = true;
    r = journal_open(&s->journal, s->dir, true);
    if (r == -ENOENT) {
        say("store %s: its journal is missing, which has what was stored last: put it back, or "
            "make an empty file " JOURNAL_FILE " to do without",
            s->dir);
        return -EBADMSG;
    }
    if (r == 0)
        r = journal_read(&s->journal);
    if (r < 0)
        return r;
    journal_scan(&s->journal, nonce);
    return journal_damaged(&s->journal) ? -EBADMSG : 0;
}

/*
 * A commit of LMDB flushes the disk twice, and writes whole pages all over the
 * file.  A record of the journal is written once, in place, behind the last one,
 * and flushed once: the file has all its blocks beforehand, filled with zeros, so
 * that the file system has nothing of its own to write.
 *
 * What a power failure left of a record is not one: its check tells.  Whole pages
 * are written, so a record that is on disk is never written over by the next.
 *
 * What follows the last record is left from earlier times, and full of what users
 * sent.  It cannot pose as a record: that would need the nonce, which was drawn
 * after they sent it, and which they never see.  So nothing needs to be erased.
 */
#define XXH_INLINE_ALL
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "file.h"
#include "log.h"

#define UP(n) (((n) + JOURNAL_ALIGN - 1) & ~(JOURNAL_ALIGN - 1))

bool journal_later(int r)
{
    return r == -ENOSPC || r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

/* -errno; says it, unless it may pass. */
static int failed(const char *path, const char *what, int error)
{
    if (error == ENOSPC || error == EDQUOT)
        return -ENOSPC;
    if (journal_later(-error))
        return -error;
    say("store %s: %s: %s", path, what, strerror(error));
    return -error;
}

/* --- the file --------------------------------------------------------------------------------- */

static int write_at(int fd, const uint8_t *from, uint64_t at, uint64_t len)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, from, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        from += n;
        at += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

static int fill(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[1 << 16];
    int e = 0;

    for (uint64_t len; e == 0 && from < to; from += len) {
        len = to - from < sizeof(zeros) ? to - from : sizeof(zeros);
        e = write_at(fd, zeros, from, len);
    }
    return e == 0 && fsync(fd) < 0 ? errno : e;
}

/* Address space for the largest one; memory is taken where something is put. */
static int take(struct journal *j, int fd, uint64_t size)
{
    void *image = mmap(NULL, JOURNAL_MOST, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (image == MAP_FAILED) {
        close(fd);
        return -ENOMEM;
    }
    j->image = image;
    j->fd = fd;
    j->size = size < JOURNAL_MOST ? size & ~(JOURNAL_ALIGN - 1) : JOURNAL_MOST;
    return 0;
}

static void set_path(struct journal *j, const char *dir)
{
    *j = (struct journal)JOURNAL_NONE;
    snprintf(j->path, sizeof(j->path), "%s/" JOURNAL_FILE, dir);
}

int journal_open(struct journal *j, const char *dir, bool write)
{
    struct stat st;
    int fd;

    set_path(j, dir);
    fd = open(j->path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? -ENOENT : failed(j->path, "cannot be opened", errno);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return take(j, fd, (uint64_t)st.st_size);
    close(fd);
    say("store %s: it is no file; remove it, or put back the one that was there", j->path);
    return -EBADMSG;
}

int journal_make(struct journal *j, const char *dir, uint64_t size)
{
    char part[sizeof(j->path) + 8];
    int fd, e;

    set_path(j, dir);
    snprintf(part, sizeof(part), "%s.part", j->path);
    fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed(part, "cannot be made", errno);
    e = fill(fd, 0, size);
    if (e == 0 && rename(part, j->path) < 0)
        e = errno;
    if (e == 0)
        e = -file_sync_directory(dir);
    if (e == 0)
        return take(j, fd, size);
    close(fd);
    unlink(part);
    return failed(j->path, "cannot be made", e);
}

void journal_close(struct journal *j)
{
    if (j->image)
        munmap(j->image, JOURNAL_MOST);
    if (j->fd >= 0)
        close(j->fd);
    *j = (struct journal)JOURNAL_NONE;
}

int journal_grow(struct journal *j, uint64_t size)
{
    int e = fill(j->fd, j->size, size);

    if (e) {
        (void)!ftruncate(j->fd, (off_t)j->size); /* what it took is for others */
        return failed(j->path, "cannot be made larger", e);
    }
    j->size = size;
    return 0;
}

void journal_turn(struct journal *j, uint64_t nonce)
{
    j->nonce = nonce;
    j->end = j->behind = j->commits = j->changes = j->bytes = j->largest = 0;
}

/* --- records ---------------------------------------------------------------------------------- */

static uint64_t check_of(const struct journal *j, const uint8_t *record, uint32_t bytes)
{
    const size_t from = offsetof(struct journal_record, bytes);

    return XXH3_64bits_withSeed(record + from, sizeof(struct journal_record) - from + bytes,
                                j->nonce);
}

/* The change at `at` of a record that ends at `end`; where the next one is, or 0: it is none. */
static uint64_t read_change(const struct journal *j, uint64_t at, uint64_t end,
                            struct journal_change *out)
{
    struct journal_head head;

    if (end - at < sizeof(head))
        return 0;
    memcpy(&head, j->image + at, sizeof(head));
    *out = (struct journal_change){.key = (const struct message_key *)(j->image + at)};
    at += sizeof(head);
    if (head.len == JOURNAL_REMOVED)
        return at;
    if (head.len > end - at)
        return 0;
    out->value = j->image + at;
    out->len = head.len;
    return at + head.len;
}

/* The record at `at`: its end; 0: there is none. */
static uint64_t read_record(const struct journal *j, uint64_t at, struct journal_record *out)
{
    struct journal_record record;
    struct journal_change change;
    uint64_t end;
    uint32_t count = 0;

    if (j->size - at < sizeof(record))
        return 0;
    memcpy(&record, j->image + at, sizeof(record));
    if (record.nonce != j->nonce || record.bytes > j->size - at - sizeof(record) ||
        record.check != check_of(j, j->image + at, record.bytes))
        return 0;
    at += sizeof(record);
    end = at + record.bytes;
    while (at && at < end) {
        at = read_change(j, at, end, &change);
        count++;
    }
    *out = record;
    return at && count == record.changes ? end : 0;
}

/* This record is one of it. */
static void passed(struct journal *j, const struct journal_record *record, uint64_t end)
{
    j->end = UP(end);
    j->commits++;
    j->changes += record->changes;
    j->bytes += record->bytes;
}

int journal_read(struct journal *j)
{
    uint64_t got = 0;

    while (got < j->size) {
        ssize_t n = pread(j->fd, j->image + got, j->size - got, (off_t)got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(j->path, "cannot be read", errno);
        if (n == 0)
            break; /* it became shorter just now */
        got += (uint64_t)n;
    }
    j->size = got & ~(JOURNAL_ALIGN - 1);
    return 0;
}

void journal_scan(struct journal *j, uint64_t nonce)
{
    struct journal_record record;
    uint64_t end;

    journal_turn(j, nonce);
    while (j->end < j->size && (end = read_record(j, j->end, &record)) != 0)
        passed(j, &record, end);
    for (uint64_t at = j->end + JOURNAL_ALIGN; at < j->size && !j->behind; at += JOURNAL_ALIGN)
        if (read_record(j, at, &record))
            j->behind = at;
}

bool journal_damaged(const struct journal *j)
{
    unsigned long long end = j->end, behind = j->behind;

    if (behind)
        say("store %s: it is damaged at byte %llu, and there are commits behind that, from byte "
            "%llu on; it was not touched: put copies of it and data.mdb in their place, or do "
            "without these (truncate -s %llu)",
            j->path, end, behind, end);
    return behind != 0;
}

/* --- making one ------------------------------------------------------------------------------- */

void journal_begin(struct journal *j)
{
    j->at = j->end + sizeof(struct journal_record);
    j->making = 0;
}

static void *add(struct journal *j, const struct message_key *key, uint32_t len, uint64_t bytes)
{
    struct journal_head head = {.key = *key, .len = len};
    uint8_t *at = j->image + j->at;

    bytes += sizeof(head);
    if (j->at > j->size || bytes > j->size - j->at || j->at + bytes - j->end > JOURNAL_BATCH)
        return NULL;
    memcpy(at, &head, sizeof(head));
    j->at += bytes;
    j->making++;
    if (bytes > j->largest)
        j->largest = bytes;
    return at + sizeof(head);
}

void *journal_put(struct journal *j, const struct message_key *key, size_t len)
{
    return len < JOURNAL_BATCH ? add(j, key, (uint32_t)len, len) : NULL;
}

bool journal_remove(struct journal *j, const struct message_key *key)
{
    return add(j, key, JOURNAL_REMOVED, 0);
}

/* Its senders are told that it failed: as far as that can be had, it is not there at the next
 * start. */
static void take_back(struct journal *j)
{
    static const uint8_t zeros[JOURNAL_ALIGN];

    if (write_at(j->fd, zeros, j->end, sizeof(zeros)) == 0)
        (void)!fdatasync(j->fd);
}

int journal_commit(struct journal *j)
{
    uint8_t *at = j->image + j->end;
    struct journal_record record = {.nonce = j->nonce,
                                    .bytes = (uint32_t)(j->at - j->end - sizeof(record)),
                                    .changes = j->making};
    uint64_t end = UP(j->at);
    int e;

    memcpy(at, &record, sizeof(record));
    record.check = check_of(j, at, record.bytes);
    memcpy(at, &record, sizeof(record));
    memset(j->image + j->at, 0, end - j->at);
    e = write_at(j->fd, at, j->end, end - j->end);
    if (e == 0 && fdatasync(j->fd) < 0)
        e = errno == ENOSPC || errno == EDQUOT ? EIO : errno; /* that is no "try again" here */
    if (e) {
        take_back(j);
        return failed(j->path, "cannot be written", e);
    }
    passed(j, &record, j->at);
    return 0;
}

/* --- what they come to ------------------------------------------------------------------------ */

/* The later one of a key last: it lies behind the other. */
static int by_key(const void *a, const void *b)
{
    const struct journal_change *x = a, *y = b;
    int order = memcmp(x->key, y->key, sizeof(*x->key));

    return order ? order : (x->key > y->key) - (x->key < y->key);
}

static size_t list(const struct journal *j, struct journal_change *out)
{
    struct journal_record record;
    size_t count = 0;

    for (uint64_t at = 0; at < j->end; at = UP(at)) {
        uint64_t end;

        memcpy(&record, j->image + at, sizeof(record));
        at += sizeof(record);
        for (end = at + record.bytes; at < end; count++)
            at = read_change(j, at, end, &out[count]);
    }
    return count;
}

int journal_changes(const struct journal *j, struct journal_change **out, size_t *count)
{
    struct journal_change *all = calloc(j->changes + 1, sizeof(*all));
    size_t n, last = 0;

    if (!all)
        return -ENOMEM;
    n = list(j, all);
    qsort(all, n, sizeof(*all), by_key);
    for (size_t i = 0; i < n; i++) /* a later one takes the place of those before it */
        if (i + 1 == n || memcmp(all[i].key, all[i + 1].key, sizeof(*all[i].key)) != 0)
            all[last++] = all[i];
    *out = all;
    *count = last;
    return 0;
}

int journal_apply(const struct journal *j, MDB_txn *txn, MDB_dbi messages)
{
    struct journal_change *changes;
    size_t count;
    int r = -journal_changes(j, &changes, &count);

    if (r)
        return r;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct journal_change *c = &changes[i];
        MDB_val key = {sizeof(*c->key), (void *)(uintptr_t)c->key};
        MDB_val value = {c->len, (void *)(uintptr_t)c->value};

        r = c->value ? mdb_put(txn, messages, &key, &value, 0) : mdb_del(txn, messages, &key, NULL);
        if (!c->value && r == MDB_NOTFOUND)
            r = 0;
    }
    free(changes);
    return r;
}

int journal_nonce(MDB_txn *txn, MDB_dbi meta, uint64_t *nonce)
{
    MDB_val key = {7, "journal"}, value;
    struct meta_journal found = {0};
    int r = mdb_get(txn, meta, &key, &value);

    if (r == 0 && value.mv_size >= sizeof(found))
        memcpy(&found, value.mv_data, sizeof(found));
    *nonce = found.nonce;
    return r;
}

/* The store with its journal: what was committed is there after any end, from the two of them. */
#include "store.h"

#include <dirent.h>
#include <fcntl.h>

#include "journal.h"
#include "keys.h"
#include "store_private.h"
#include "testing.h"

static const uint8_t one[16] = {1}, two[16] = {2};

static const char *dir(void)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/store", getenv("MQX_DIR"));
    mkdir(path, 0700);
    return path;
}

static const char *journal(void)
{
    static char path[PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/" JOURNAL_FILE, dir());
    return path;
}

/* In the store's directory. */
static void shell(const char *command)
{
    char line[2 * PATH_MAX];

    snprintf(line, sizeof(line), "cd '%s' && %s", dir(), command);
    IS(system(line), 0);
}

static struct store *open_store(void)
{
    struct store *s = NULL;

    IS(store_open(dir(), &s), 0);
    return s;
}

/* --- what is done to it ----------------------------------------------------------------------- */

/* Messages of slots from `first` on: removed, or of so many bytes of `fill`. */
struct doing {
    const uint8_t *uuid;
    uint32_t first, count, len;
    uint8_t fill;
    bool remove, sealed;
};

static int do_it(struct store *s, void *arg)
{
    static uint8_t data[1 << 20];
    const struct doing *d = arg;
    int r = 0;

    memset(data, d->fill, d->len);
    for (uint32_t slot = d->first; r == 0 && slot < d->first + d->count; slot++) {
        struct mqxi_snapshot m = {.key = slot + 1, .len = d->len};

        r = d->remove
                ? store_delete_message(s, d->uuid, slot)
                : (d->sealed ? store_put_sealed : store_put_message)(s, d->uuid, slot, &m, data);
    }
    return r;
}

static void put(struct store *s, uint32_t first, uint32_t n, uint32_t len, uint8_t fill)
{
    struct doing d = {one, first, n, len, fill, false, false};

    IS(store_commit(s, do_it, &d), 0);
}

static void drop(struct store *s, uint32_t first, uint32_t n)
{
    struct doing d = {.uuid = one, .first = first, .count = n, .remove = true};

    IS(store_commit(s, do_it, &d), 0);
}

static int put_queue(struct store *s, void *queue)
{
    return store_put_queue(s, queue);
}

static int delete_queue(struct store *s, void *uuid)
{
    return store_delete_queue(s, uuid);
}

/* Something is in LMDB, and what comes now goes to the journal. */
static struct store *begin(void)
{
    struct store *s = open_store();

    put(s, 0, 10, 100, 'a');
    put(s, 10, 1, 100, 'a');
    CHECK(s->ready);
    CHECK(s->journal.end > 0);
    return s;
}

/* --- what it has ------------------------------------------------------------------------------ */

struct seen {
    uint32_t count, last;
    char fills[4000]; /* of slots; 0: none */
};

static int see(uint32_t slot, const struct mqxi_snapshot *m, const void *data, void *arg)
{
    struct seen *seen = arg;
    const uint8_t *bytes = data;

    CHECK(seen->count == 0 || slot > seen->last);
    CHECK(slot < sizeof(seen->fills));
    IS(m->key, slot + 1);
    for (uint32_t i = 0; i < m->len; i++)
        IS(bytes[i], bytes[0]);
    seen->fills[slot] = m->len ? (char)bytes[0] : '-';
    seen->last = slot;
    seen->count++;
    return 0;
}

static struct seen see_all(struct store *s)
{
    struct seen seen = {0};

    IS(store_each_message(s, one, see, &seen), 0);
    return seen;
}

/* Slots from 0 on have these, one letter each, '.' for none; and there are no others. */
static void has(struct store *s, const char *fills)
{
    struct seen seen = see_all(s);
    uint32_t n = 0;

    for (uint32_t i = 0; fills[i]; i++) {
        if (seen.fills[i] != (fills[i] == '.' ? 0 : fills[i]))
            FAIL("slot %u has '%c', not '%c'", i, seen.fills[i] ? seen.fills[i] : '.', fills[i]);
        n += fills[i] != '.';
    }
    IS(seen.count, n);
}

/* What the database alone has of messages, and whether it names a journal. */
static uint32_t in_database(bool *named)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta, messages;
    MDB_stat stat;
    uint64_t nonce;

    CHECK(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0 &&
          mdb_env_open(env, dir(), MDB_RDONLY, 0600) == 0 &&
          mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0 &&
          mdb_dbi_open(txn, "meta", 0, &meta) == 0 &&
          mdb_dbi_open(txn, "messages", 0, &messages) == 0 && mdb_stat(txn, messages, &stat) == 0);
    *named = journal_nonce(txn, meta, &nonce) == 0;
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return (uint32_t)stat.ms_entries;
}

/* --- tests ------------------------------------------------------------------------------------ */

/* As when it is killed: what is in the journal only is there. */
static void killed(void)
{
    struct store *s = begin();
    bool named;

    put(s, 11, 1, 0, 0);
    put(s, 2, 2, 3000, 'b'); /* in the place of what LMDB has */
    drop(s, 3, 3);
    drop(s, 500, 1); /* which nobody has */
    put(s, 5, 1, 10, 'c');
    drop(s, 10, 1); /* what only the journal has */
    put(s, 12, 1, 10, 'd');
    put(s, 12, 1, 20, 'e');
    store_close(s);
    IS(in_database(&named), 10);
    CHECK(named);
    s = open_store();
    has(s, "aab..caaaa.-e");
    store_close(s);
    s = open_store();
    has(s, "aab..caaaa.-e");
    store_close(s);
}

/* Nothing of the first time comes back. */
static void killed_often(void)
{
    struct store *s = begin();
    char fills[40] = "aaaaaaaaaaa";

    for (uint32_t i = 0; i < 24; i++) {
        store_close(s);
        s = open_store();
        if (i % 3 == 0)
            has(s, fills);
        put(s, i % 12, 1, 50 + i * 400, (uint8_t)('b' + i));
        fills[i % 12] = (char)('b' + i);
        if (i % 5 == 4) {
            drop(s, i % 7, 1);
            fills[i % 7] = '.';
        }
    }
    store_close(s);
    s = open_store();
    has(s, fills);
    store_close(s);
}

static void finished(void)
{
    struct store *s = begin();
    bool named;

    put(s, 11, 5, 100, 'b');
    drop(s, 0, 2);
    IS(store_finish(s), 0);
    IS(store_finish(s), 0);
    store_close(s);
    IS(in_database(&named), 14);
    CHECK(!named);
    IS(unlink(journal()), 0);
    s = open_store();
    has(s, "..aaaaaaaaabbbbb");
    /* And it goes on with a new one. */
    put(s, 0, 1, 10, 'c');
    put(s, 1, 1, 10, 'd');
    store_close(s);
    s = open_store();
    has(s, "cdaaaaaaaaabbbbb");
    store_close(s);
    IS(in_database(&named), 16);
}

/* What lies there from before is of another time, whatever it is. */
static void left_behind(void)
{
    struct store *s = begin();

    put(s, 11, 1, 10, 'b');
    IS(store_finish(s), 0);
    store_close(s); /* its journal has records still */
    s = open_store();
    drop(s, 11, 1);
    IS(store_finish(s), 0);
    store_close(s);
    s = open_store();
    has(s, "aaaaaaaaaaa");
    put(s, 0, 1, 10, 'b');
    put(s, 0, 1, 10, 'c');
    store_close(s);
    s = open_store();
    has(s, "caaaaaaaaaa");
    store_close(s);
}

static int count_queue(const struct store_queue *q, void *arg)
{
    (void)q;
    ++*(int *)arg;
    return 0;
}

/* What is no change of messages takes along what is in the journal. */
static void queues(void)
{
    struct store_queue q = {.name = "q", .kind = 1, .maxmsg = 9, .msgsize = 9}, found;
    struct store *s = begin();
    int n = 0;

    memcpy(q.uuid, one, 16);
    put(s, 11, 1, 10, 'b');
    IS(store_commit(s, put_queue, &q), 0); /* although it is no change of messages */
    IS(store_get_queue(s, one, &found), 0);
    IS(found.maxmsg, 9);
    put(s, 12, 1, 10, 'c');
    memcpy(q.uuid, two, 16);
    IS(store_transact(s, put_queue, &q), 0);
    IS(store_each_queue(s, count_queue, &n), 0);
    IS(n, 2);
    has(s, "aaaaaaaaaaabc");
    put(s, 13, 1, 10, 'd');
    IS(store_transact(s, delete_queue, (void *)(uintptr_t)one), 0);
    IS(store_get_queue(s, one, &found), -ENOENT);
    has(s, "");
    put(s, 1, 1, 10, 'e');
    IS(store_commit(s, delete_queue, (void *)(uintptr_t)one), 0);
    has(s, "");
    put(s, 2, 1, 10, 'f');
    IS(store_remove(s, delete_queue, (void *)(uintptr_t)two), 0);
    put(s, 4, 1, 10, 'f');
    IS(store_remove(s, do_it, &(struct doing){.uuid = one, .first = 4, .count = 1, .remove = true}),
       0);
    put(s, 3, 1, 10, 'g');
    IS(store_turn(s), 0);
    store_close(s);
    s = open_store();
    has(s, "..fg");
    IS(store_get_queue(s, two, &found), -ENOENT);
    store_close(s);
}

/* --- encrypted -------------------------------------------------------------------------------- */

/* Of 64 such digits each. */
static struct keys *keys(const char *digits)
{
    char path[PATH_MAX], line[66];
    struct keys *k = NULL;
    FILE *f;

    snprintf(path, sizeof(path), "%s/key", getenv("MQX_DIR"));
    unlink(path);
    umask(077);
    f = fopen(path, "w");
    CHECK(f != NULL);
    for (; *digits; digits++) {
        memset(line, *digits, 64);
        line[64] = '\n';
        CHECK(fwrite(line, 65, 1, f) == 1);
    }
    fclose(f);
    IS(keys_load(path, &k), 0);
    CHECK(k != NULL);
    return k;
}

static void put_sealed(struct store *s, uint32_t slot, uint8_t fill)
{
    struct doing d = {one, slot, 1, 50, fill, false, true};

    IS(store_commit(s, do_it, &d), 0);
}

static void sealed(void)
{
    struct keys *k1 = keys("1"), *k21 = keys("21"), *k2 = keys("2");
    struct store *s = begin();
    uint64_t done = 0;

    put(s, 11, 2, 10, 'b');
    IS(store_keys(s, k1, true), 0);
    put_sealed(s, 1, 'c');
    put(s, 13, 1, 10, 'd');
    IS(store_seal_queue(s, one, &done), 0); /* also those in the journal */
    IS(done, 13);
    has(s, "acaaaaaaaaabbd");
    put_sealed(s, 2, 'e');
    store_close(s);
    s = open_store();
    IS(store_keys(s, k2, true), -ENOKEY);
    IS(store_keys(s, k21, true), 0);
    put_sealed(s, 3, 'f');
    done = 0;
    IS(store_rekey(s, &done), 0);
    IS(done, 13); /* all but that one */
    put_sealed(s, 4, 'g');
    store_close(s);
    s = open_store();
    IS(store_keys(s, k2, false), 0);
    has(s, "acefgaaaaaabbd");
    store_close(s);
    keys_free(k1);
    keys_free(k21);
    keys_free(k2);
}

/* --- its file --------------------------------------------------------------------------------- */

static void is_refused(void)
{
    struct store *s = NULL;

    IS(store_open(dir(), &s), -EBADMSG);
    CHECK(s == NULL);
}

static void missing(void)
{
    struct store *s = begin();

    put(s, 0, 1, 10, 'b');
    store_close(s);
    shell("mv journal kept");
    is_refused();
    IS(mkdir(journal(), 0700), 0);
    CHECK(store_open(dir(), &s) < 0);
    IS(rmdir(journal()), 0);
    IS(mkfifo(journal(), 0600), 0);
    is_refused();
    IS(unlink(journal()), 0);
    /* Put back: all is there. */
    shell("cp kept journal");
    s = open_store();
    has(s, "baaaaaaaaaa");
    put(s, 1, 1, 10, 'c');
    put(s, 1, 1, 10, 'd');
    store_close(s);
    /* To do without: what was in it is gone, and it goes on. */
    IS(unlink(journal()), 0);
    is_refused();
    close(open(journal(), O_WRONLY | O_CREAT, 0600));
    s = open_store();
    has(s, "bcaaaaaaaaa"); /* not d */
    put(s, 2, 1, 10, 'e');
    put(s, 3, 1, 10, 'f');
    CHECK(s->journal.size >= JOURNAL_ALIGN && s->journal.end > 0);
    store_close(s);
    s = open_store();
    has(s, "bcefaaaaaaa");
    store_close(s);
}

/* Another store's, or its own of an earlier time, has nothing to say. */
static void anothers(void)
{
    struct store *s = begin();

    put(s, 0, 1, 10, 'b');
    store_close(s);
    shell("cp journal kept");
    s = open_store();
    has(s, "baaaaaaaaaa");
    put(s, 0, 1, 10, 'c');
    IS(store_turn(s), 0);
    store_close(s);
    shell("cp kept journal");
    s = open_store();
    has(s, "caaaaaaaaaa");
    store_close(s);
}

/* --- much ------------------------------------------------------------------------------------- */

/* A batch that is larger than a record may be does not come before what was committed earlier. */
static void large_batch(void)
{
    struct store *s = begin();

    put(s, 3, 1, 10, 'b');
    put(s, 2, 4, 1 << 20, 'c'); /* JOURNAL_BATCH twice */
    CHECK(s->ready);
    IS(s->journal.end, 0);
    put(s, 5, 1, 10, 'd');
    CHECK(s->journal.end > 0);
    store_close(s);
    s = open_store();
    has(s, "aacccdaaaaa");
    store_close(s);
}

/* Round and round: it is moved into LMDB, becomes larger, and nothing is lost at any time. */
static void filled(void)
{
    char fills[41] = {0};
    struct store *s = begin();
    uint64_t random = 5, size = s->journal.size, settled = 0, end;

    IS(size, s->journal_most < JOURNAL_FIRST ? s->journal_most : JOURNAL_FIRST);
    memset(fills, '.', 40);
    memset(fills, 'a', 11);
    for (int i = 0; i < 900; i++) {
        uint32_t slot = below(&random, 40), n = 1 + below(&random, 4);
        uint8_t fill = (uint8_t)('b' + below(&random, 20));

        n = slot + n > 40 ? 40 - slot : n;
        end = s->journal.end;
        if (below(&random, 4))
            put(s, slot, n, below(&random, 60000) + 1, fill);
        else
            drop(s, slot, n), fill = '.';
        memset(fills + slot, fill, n);
        settled += s->journal.end < end;
        if (i % 300 == 299) {
            store_close(s);
            s = open_store();
            has(s, fills);
        }
    }
    CHECK(settled > 3);
    store_close(s);
    s = open_store();
    has(s, fills);
    put(s, 0, 1, 10, 'z');
    CHECK(s->journal.size >= size); /* larger if the disk is fast */
    CHECK(s->journal.size <= JOURNAL_MOST);
    store_close(s);
}

/* A commit that ends otherwise leaves nothing, in the journal or elsewhere. */
static int give_up(struct store *s, void *arg)
{
    int r = do_it(s, arg);

    return r ? r : 1;
}

static void given_up(void)
{
    struct doing d = {.uuid = one, .first = 3, .count = 2, .len = 10, .fill = 'x'};
    struct store *s = begin();

    IS(store_commit(s, give_up, &d), 1);
    d.count = 6;
    d.len = 1 << 20; /* too much for the journal */
    IS(store_commit(s, give_up, &d), 1);
    d.count = 0;
    IS(store_commit(s, do_it, &d), 0);
    store_close(s);
    s = open_store();
    has(s, "aaaaaaaaaaa");
    store_close(s);
}

/* On a disk where a journal would be a large part of all there is none. */
static void small_disk(void)
{
    struct store *s;
    bool named;

    if (!small_tmpfs("size=900k"))
        SKIP("only root can mount");
    s = open_store();
    IS(s->journal_most, 0);
    put(s, 0, 2, 10, 'a');
    put(s, 0, 1, 10, 'b');
    IS(access(journal(), F_OK), -1);
    store_close(s);
    IS(in_database(&named), 2);
    CHECK(!named);
    s = open_store();
    has(s, "ba");
    store_close(s);
}

/* One that has a journal comes to such a disk. */
static void moved_to_small_disk(void)
{
    struct store *s = begin();
    bool named;

    put(s, 0, 1, 10, 'b');
    store_close(s);
    IS(chdir(dir()), 0); /* where we stay when the other one is mounted above */
    if (!small_tmpfs("size=2500k"))
        SKIP("only root can mount");
    dir();
    IS(system("cp data.mdb journal \"$MQX_DIR/store\""), 0);
    s = open_store();
    has(s, "baaaaaaaaaa");
    put(s, 1, 1, 10, 'c');
    put(s, 2, 1, 10, 'd');
    CHECK(s->journal_most <= 2500 * 1024 / 16);
    IS(store_finish(s), 0);
    store_close(s);
    IS(in_database(&named), 11);
    CHECK(!named);
    s = open_store();
    has(s, "bcdaaaaaaaa");
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(killed),
        UNIT(killed_often),
        UNIT(finished),
        UNIT(left_behind),
        UNIT(queues),
        UNIT(sealed),
        UNIT(missing),
        UNIT(anothers),
        UNIT(large_batch),
        UNIT(filled),
        UNIT(given_up),
        UNIT(small_disk),
        UNIT(moved_to_small_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The store: what was committed is there, what was not is not, and nothing else is touched. */
#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <lmdb.h>

#include "testing.h"

static const uint8_t one[16] = {1}, two[16] = {2}, three[16] = {3};
static char dir[PATH_MAX];

static struct store *open_store(void)
{
    struct store *s = NULL;

    snprintf(dir, sizeof(dir), "%s/store", getenv("MQX_DIR"));
    mkdir(dir, 0700);
    IS(store_open(dir, &s), 0);
    return s;
}

/* What a transaction of these tests does. */
struct doing {
    const uint8_t *uuid;
    uint32_t first, count, len;
    int result, calls;
};

static uint8_t data[1 << 20];

static int put_messages(struct store *s, void *arg)
{
    struct doing *d = arg;
    int r = 0;

    d->calls++;
    for (uint32_t i = 0; r == 0 && i < d->count; i++) {
        struct mqxi_snapshot m = {
            .key = d->first + i + 1, .sent_ns = 5, .type = -6, .pid = 7, .uid = 8, .len = d->len};

        memset(data, (int)(d->first + i), d->len);
        r = store_put_message(s, d->uuid, d->first + i, &m, data);
    }
    return r ? r : d->result;
}

static int delete_messages(struct store *s, void *arg)
{
    struct doing *d = arg;
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < d->count; i++)
        r = store_delete_message(s, d->uuid, d->first + i);
    return r;
}

static int delete_queue(struct store *s, void *uuid)
{
    return store_delete_queue(s, uuid);
}

static int put_queue(struct store *s, void *queue)
{
    return store_put_queue(s, queue);
}

/* Slots come in order and hold what put_messages wrote; counts them. */
static int check_message(uint32_t slot, const struct mqxi_snapshot *m, const void *bytes, void *arg)
{
    struct doing *found = arg;
    const uint8_t *b = bytes;

    if (found->count)
        CHECK(slot > found->first);
    found->first = slot;
    found->count++;
    found->len = m->len;
    IS(m->key, slot + 1);
    IS(m->sent_ns, 5);
    IS(m->type, -6);
    IS(m->pid, 7);
    IS(m->uid, 8);
    for (uint32_t i = 0; i < m->len; i++)
        IS(b[i], (uint8_t)slot);
    return 0;
}

static uint32_t count(struct store *s, const uint8_t *uuid)
{
    struct doing found = {0};

    IS(store_each_message(s, uuid, check_message, &found), 0);
    return found.count;
}

static void put(struct store *s, const uint8_t *uuid, uint32_t first, uint32_t n, uint32_t len)
{
    IS(store_transact(s, put_messages,
                      &(struct doing){.uuid = uuid, .first = first, .count = n, .len = len}),
       0);
}

static void messages(void)
{
    struct store *s = open_store();

    put(s, two, 0, 300, 100);
    put(s, one, 250, 10, 0);
    put(s, three, 0, 5, 5000);
    IS(count(s, one), 10);
    IS(count(s, two), 300);
    IS(count(s, three), 5);
    /* A slot's next message takes the place of the one before it. */
    put(s, two, 10, 5, 7);
    IS(count(s, two), 300);
    IS(store_transact(s, delete_messages, &(struct doing){.uuid = two, .first = 290, .count = 100}),
       0);
    IS(count(s, two), 290);
    store_close(s);
    s = open_store();
    IS(count(s, one), 10);
    IS(count(s, two), 290);
    IS(count(s, three), 5);
    store_close(s);
}

static int count_queue(const struct store_queue *q, void *arg)
{
    (void)q;
    ++*(int *)arg;
    return 0;
}

static void queues(void)
{
    struct store_queue q = {.name = "orders",
                            .kind = 1,
                            .maxmsg = 10,
                            .msgsize = 20,
                            .mode = 0640,
                            .durable = 2,
                            .uid = 3,
                            .gid = 4,
                            .created_ns = 5},
                       found;
    struct store *s = open_store();
    int n = 0;

    memcpy(q.uuid, two, 16);
    IS(store_get_queue(s, two, &found), -ENOENT);
    IS(store_transact(s, put_queue, &q), 0);
    IS(store_get_queue(s, two, &found), 0);
    CHECK(memcmp(&q, &found, sizeof(q)) == 0);
    q.mode = 0600;
    IS(store_transact(s, put_queue, &q), 0);
    memcpy(q.uuid, three, 16);
    memset(q.name, 'n', NAME_MAX);
    IS(store_transact(s, put_queue, &q), 0);
    store_close(s);
    s = open_store();
    IS(store_get_queue(s, two, &found), 0);
    IS(found.mode, 0600);
    IS(store_get_queue(s, three, &found), 0);
    IS(strlen(found.name), NAME_MAX);
    IS(store_each_queue(s, count_queue, &n), 0);
    IS(n, 2);
    store_close(s);
}

/* System V queues: their name follows from the id. */
static void sysv_queues(void)
{
    struct store_queue q = {.name = "whatever",
                            .kind = MQXI_KIND_SYSV,
                            .maxmsg = 10,
                            .msgsize = 20,
                            .durable = 2,
                            .sysv = {.qbytes = 1,
                                     .changed_ns = 2,
                                     .id = 98304,
                                     .key = -4,
                                     .cuid = 5,
                                     .cgid = 6,
                                     .uid = 7,
                                     .gid = 8}},
                       found;
    struct store *s = open_store();

    memcpy(q.uuid, two, 16);
    IS(store_transact(s, put_queue, &q), 0);
    IS(store_get_queue(s, two, &found), 0);
    IS(strcmp(found.name, ".sysv/98304"), 0);
    IS(found.kind, MQXI_KIND_SYSV);
    CHECK(memcmp(&q.sysv, &found.sysv, sizeof(q.sysv)) == 0);
    q.sysv.id = -1;
    IS(store_transact(s, put_queue, &q), 0);
    IS(store_get_queue(s, two, &found), -EBADMSG);
    q.kind = 3;
    IS(store_transact(s, put_queue, &q), 0);
    IS(store_get_queue(s, two, &found), -EBADMSG);
    store_close(s);
}

/* All its messages, and not one of its neighbours'. */
static void forgotten_queue(void)
{
    struct store_queue q = {.name = "q"}, found;
    struct store *s = open_store();

    memcpy(q.uuid, two, 16);
    put(s, one, 0, 1000, 50);
    put(s, two, 0, 20000, 50);
    put(s, three, 0, 1000, 50);
    IS(store_transact(s, put_queue, &q), 0);
    IS(store_transact(s, delete_queue, (void *)two), 0);
    IS(count(s, one), 1000);
    IS(count(s, two), 0);
    IS(count(s, three), 1000);
    IS(store_get_queue(s, two, &found), -ENOENT);
    IS(store_transact(s, delete_queue, (void *)two), 0);
    store_close(s);
}

static void all_or_nothing(void)
{
    struct store *s = open_store();
    struct doing d = {.uuid = one, .count = 50, .len = 10, .result = -ECANCELED};

    IS(store_transact(s, put_messages, &d), -ECANCELED);
    IS(count(s, one), 0);
    d.result = 1;
    IS(store_transact(s, put_messages, &d), 1);
    IS(count(s, one), 0);
    store_close(s);
}

/* More than the map's first size, in one transaction and in the next. */
static void grows(void)
{
    struct store *s = open_store();
    struct doing d = {.uuid = one, .count = 80, .len = 1 << 20};

    IS(store_transact(s, put_messages, &d), 0);
    CHECK(d.calls > 1);
    put(s, two, 0, 80, 1 << 20);
    IS(count(s, one), 80);
    IS(count(s, two), 80);
    store_close(s);
    s = open_store();
    IS(count(s, two), 80);
    put(s, two, 80, 1, 10);
    store_close(s);
}

static void second_is_refused(void)
{
    struct store *s = open_store(), *other = NULL;

    IS(store_open(dir, &other), -EBUSY);
    CHECK(other == NULL);
    store_close(s);
    s = open_store();
    store_close(s);
}

/* --- what is not for us ----------------------------------------------------------------------- */

/* Write into an LMDB environment in the store's directory. */
static void scribble(const char *database, const char *name, const void *bytes, size_t len)
{
    MDB_val key = {strlen(name), (void *)name}, value = {len, (void *)bytes};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi db;

    IS(mdb_env_create(&env), 0);
    IS(mdb_env_set_maxdbs(env, 8), 0);
    IS(mdb_env_open(env, dir, 0, 0600), 0);
    IS(mdb_txn_begin(env, NULL, 0, &txn), 0);
    IS(mdb_dbi_open(txn, database, database ? MDB_CREATE : 0, &db), 0);
    IS(mdb_put(txn, db, &key, &value, 0), 0);
    IS(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static size_t contents(uint8_t *out, size_t room)
{
    char path[PATH_MAX + 20];
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    file = fopen(path, "r");
    CHECK(file != NULL);
    n = fread(out, 1, room, file);
    fclose(file);
    return n;
}

static void is_refused_untouched(void)
{
    static uint8_t before[1 << 20], after[1 << 20];
    size_t n = contents(before, sizeof(before));
    struct store *s = NULL;

    IS(store_open(dir, &s), -EBADMSG);
    IS(contents(after, sizeof(after)), n);
    CHECK(memcmp(before, after, n) == 0);
}

static void unknown_format(void)
{
    struct {
        uint64_t magic;
        uint32_t version, pad;
    } format = {UINT64_C(0x31726f74732d7871), STORE_FORMAT + 1, 0};

    store_close(open_store());
    scribble("meta", "format", &format, sizeof(format));
    is_refused_untouched();
    format.version = STORE_FORMAT;
    scribble("meta", "format", &format, sizeof(format));
    store_close(open_store());
    format.magic = __builtin_bswap64(format.magic);
    scribble("meta", "format", &format, sizeof(format));
    is_refused_untouched();
    scribble("meta", "format", "x", 1);
    is_refused_untouched();
}

static void something_else(void)
{
    char path[PATH_MAX + 20];
    FILE *file;

    store_close(open_store());
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    IS(unlink(path), 0);
    scribble(NULL, "somebody's", "data", 4);
    is_refused_untouched();
    IS(unlink(path), 0);
    scribble("another", "key", "data", 4);
    is_refused_untouched();
    file = fopen(path, "w");
    CHECK(file != NULL);
    for (int i = 0; i < 10000; i++)
        fputs("not a database\n", file);
    fclose(file);
    is_refused_untouched();
}

static void damaged_records(void)
{
    static const struct {
        const char *text;
        size_t len;
    } records[] = {
        {"short", 5},
        {"no queue has a kind of such a number, whatever its name", 50},
    };
    uint8_t key[17] = "0123456789abcdef";
    struct store *s;
    int n = 0;

    store_close(open_store());
    for (int i = 0; i < 2; i++) {
        scribble("queues", (char *)key, records[i].text, records[i].len);
        s = open_store();
        IS(store_each_queue(s, count_queue, &n), -EBADMSG);
        IS(n, 0);
        store_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(messages),       UNIT(queues),          UNIT(sysv_queues),       UNIT(forgotten_queue),
        UNIT(all_or_nothing), UNIT(grows),           UNIT(second_is_refused), UNIT(unknown_format),
        UNIT(something_else), UNIT(damaged_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Encrypted messages: who has the key reads them, where they were put; nobody else, nowhere else.
 */
#include "seal.h"

#include <fcntl.h>

#include "store.h"
#include "testing.h"

static const uint8_t one[16] = {1}, two[16] = {2};
static char dir[PATH_MAX];
static uint8_t data[100000];

/* A file with this text, or what keys_load says of it. */
static int load(const char *text, size_t size, mode_t mode, struct keys **out)
{
    char path[PATH_MAX];
    int fd;

    snprintf(path, sizeof(path), "%s/key", getenv("MQX_DIR"));
    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    IS(write(fd, text, size), (ssize_t)size);
    IS(fchmod(fd, mode), 0);
    close(fd);
    return keys_load(path, out);
}

/* The keys of these numbers, the first one first. */
static struct keys *keys(const char *numbers)
{
    char text[1000];
    struct keys *k = NULL;
    size_t n = 0;

    for (; *numbers; numbers++, n += 65) {
        memset(text + n, *numbers, 64);
        text[n + 64] = '\n';
    }
    IS(load(text, n, 0600, &k), 0);
    CHECK(k != NULL);
    return k;
}

static void key_files(void)
{
    char text[64 * 100] = "# comment\n\n";
    struct keys *k, *hex;
    uint8_t id[KEY_ID];

    IS(load("0123456789abcdef0123456789abcdef", 32, 0600, &k), 0); /* bytes, whatever they are */
    memcpy(id, keys_first(k)->id, KEY_ID);
    for (int i = 0; i < 32; i++)
        sprintf(text + strlen(text), "%02X", "0123456789abcdef"[i % 16]);
    IS(load(text, strlen(text), 0400, &hex), 0);
    IS(memcmp(id, keys_first(hex)->id, KEY_ID), 0);
    IS(memcmp(keys_first(k)->secret, keys_first(hex)->secret, 32), 0);
    keys_free(k);
    keys_free(hex);
    IS(load(text, strlen(text), 0640, &k), -EINVAL);
    IS(load(text, strlen(text), 0604, &k), -EINVAL);
    IS(load(text, strlen(text), 0620, &k), -EINVAL);
    CHECK(k == NULL);
    IS(load("", 0, 0600, &k), -EINVAL);
    IS(load(text, strlen(text) - 1, 0600, &k), -EINVAL);
    text[20] = 'g';
    IS(load(text, strlen(text), 0600, &k), -EINVAL);
    IS(load(text, sizeof(text), 0600, &k), -EINVAL);
    IS(keys_load("/nowhere/key", &k), -ENOENT);
}

static void credential(void)
{
    struct keys *k;
    char path[PATH_MAX], name[PATH_MAX + 20];

    unsetenv("CREDENTIALS_DIRECTORY");
    IS(keys_load("", &k), 0);
    CHECK(k == NULL);
    snprintf(path, sizeof(path), "%s", getenv("MQX_DIR"));
    setenv("CREDENTIALS_DIRECTORY", path, 1);
    IS(keys_load(NULL, &k), 0);
    CHECK(k == NULL);
    keys_free(keys("5"));
    snprintf(name, sizeof(name), "%s/mqx-key", path);
    snprintf(path, sizeof(path), "%s/key", getenv("MQX_DIR"));
    IS(rename(path, name), 0);
    IS(keys_load(NULL, &k), 0);
    CHECK(k != NULL && strcmp(keys_source(k), name) == 0);
    keys_free(k);
    unsetenv("CREDENTIALS_DIRECTORY");
}

/* A record, and what its reader says of it. */
struct sealed {
    struct message_key at;
    uint8_t bytes[300];
    size_t size;
};

static const struct mqxi_snapshot sent = {
    .key = 7777, .sent_ns = 5, .type = 6, .pid = 7, .uid = 8, .len = 100};

static struct sealed make(const struct keys *k)
{
    struct sealed r = {.at = record_message_key(one, 3), .size = seal_size(sent.len)};

    memset(data, 'x', sent.len);
    seal_message(keys_first(k), &r.at, &sent, data, r.bytes);
    return r;
}

static bool opens(const struct keys *k, const struct sealed *r)
{
    MDB_val key = {sizeof(r->at), (void *)(uintptr_t)&r->at};
    MDB_val value = {r->size, (void *)(uintptr_t)r->bytes};
    struct mqxi_snapshot m;
    uint8_t buffer[300];
    const void *got;
    uint32_t slot;

    if (record_message(&key, &value, &slot, &m, &got) || !seal_is(&value))
        return false;
    CHECK(got == NULL);
    if (seal_open(k, &key, &value, &m, buffer, &got))
        return false;
    IS(m.len, sent.len);
    CHECK(m.key == sent.key && m.sent_ns == 5 && m.type == 6 && m.pid == 7 && m.uid == 8);
    IS(memcmp(got, data, sent.len), 0);
    return true;
}

static void bound(void)
{
    struct keys *k = keys("1"), *others = keys("23");
    struct sealed r = make(k), moved = r;

    CHECK(opens(k, &r));
    CHECK(!opens(others, &r));
    CHECK(!opens(NULL, &r));
    moved.at = record_message_key(one, 4);
    CHECK(!opens(k, &moved));
    moved.at = record_message_key(two, 3);
    CHECK(!opens(k, &moved));
    for (size_t i = 0; i < r.size; i++) { /* the priority and its order are among them */
        moved = r;
        moved.bytes[i] ^= 1;
        CHECK(!opens(k, &moved));
    }
    for (moved = r; moved.size > 0; moved.size--)
        CHECK(moved.size == r.size || !opens(k, &moved));
    keys_free(k);
    keys_free(others);
}

static void nonces(void)
{
    struct keys *k = keys("1");
    struct sealed first = make(k);

    for (int i = 0; i < 100; i++) {
        struct sealed next = make(k);
        size_t same = 0;

        for (size_t j = sizeof(struct sealed_record); j < next.size; j++)
            same += next.bytes[j] == first.bytes[j];
        CHECK(same < 30); /* of 140, if nothing repeats */
    }
    keys_free(k);
}

/* --- in the store ----------------------------------------------------------------------------- */

static struct store *open_store(void)
{
    struct store *s = NULL;

    snprintf(dir, sizeof(dir), "%s/store", getenv("MQX_DIR"));
    mkdir(dir, 0700);
    IS(store_open(dir, &s), 0);
    return s;
}

struct putting {
    uint32_t from, to, len;
    bool sealed;
};

static int put(struct store *s, void *arg)
{
    const struct putting *p = arg;
    int r = 0;

    for (uint32_t i = p->from; r == 0 && i < p->to; i++) {
        struct mqxi_snapshot m = {.key = i + 1, .sent_ns = 5, .type = i, .pid = 7, .len = p->len};

        memset(data, (int)i, p->len);
        r = (p->sealed ? store_put_sealed : store_put_message)(s, one, i, &m, data);
    }
    return r;
}

static void put_some(struct store *s, uint32_t from, uint32_t to, bool sealed)
{
    struct putting p = {from, to, 50, sealed};

    IS(store_transact(s, put, &p), 0);
}

static int look(uint32_t slot, const struct mqxi_snapshot *m, const void *bytes, void *arg)
{
    memset(data, (int)slot, m->len);
    IS(m->key, slot + 1);
    IS(m->type, slot);
    IS(m->len, 50);
    IS(memcmp(bytes, data, m->len), 0);
    ++*(uint32_t *)arg;
    return 0;
}

static uint32_t readable(struct store *s)
{
    uint32_t n = 0;

    IS(store_each_message(s, one, look, &n), 0);
    return n;
}

/* Which keys are refused, and does the store of the first two formats tell? */
static void rotated(void)
{
    struct keys *k1 = keys("1"), *k2 = keys("2"), *k21 = keys("21");
    struct store *s = open_store();
    uint64_t done = 0;

    put_some(s, 0, 5000, false);
    IS(store_keys(s, NULL, false), 0);
    IS(store_keys(s, k1, true), 0);
    put_some(s, 5000, 10000, true);
    IS(readable(s), 10000);
    IS(store_keys(s, k2, true), -ENOKEY);
    IS(store_keys(s, NULL, false), -ENOKEY);
    IS(readable(s), 10000); /* as if nobody had asked */
    store_close(s);

    s = open_store();
    IS(store_keys(s, k2, false), -ENOKEY);
    IS(store_keys(s, k21, true), 0);
    put_some(s, 10000, 10010, true);
    IS(readable(s), 10010);
    IS(store_seal_queue(s, two, &done), 0);
    IS(done, 0);
    IS(store_rekey(s, &done), 0);
    IS(done, 5000);
    IS(store_keys(s, k2, true), 0);
    IS(readable(s), 10010);
    done = 0;
    IS(store_seal_queue(s, one, &done), 0);
    IS(done, 5000);
    IS(store_seal_queue(s, one, &done), 0);
    IS(done, 5000); /* nothing more */
    IS(readable(s), 10010);
    IS(store_keys(s, k1, true), -ENOKEY);
    store_close(s);
    keys_free(k1);
    keys_free(k2);
    keys_free(k21);
}

static void large(void)
{
    struct keys *k = keys("1");
    struct putting p = {0, 200, sizeof(data), false}; /* more than goes into a transaction */
    struct store *s = open_store();
    uint64_t done = 0;

    IS(store_transact(s, put, &p), 0);
    IS(store_seal_queue(s, one, &done), -ENOKEY);
    IS(store_keys(s, k, true), 0);
    IS(store_seal_queue(s, one, &done), 0);
    IS(done, 200);
    store_close(s);
    keys_free(k);
}

static uint32_t format(struct store *s)
{
    struct meta_record meta;
    char path[PATH_MAX + 10];
    MDB_val key = {6, (void *)(uintptr_t) "format"}, value;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi db;

    store_close(s);
    snprintf(path, sizeof(path), "%s", dir);
    CHECK(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0 &&
          mdb_env_open(env, path, MDB_RDONLY, 0600) == 0 &&
          mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0 &&
          mdb_dbi_open(txn, "meta", 0, &db) == 0);
    IS(mdb_get(txn, db, &key, &value), 0);
    memcpy(&meta, value.mv_data, sizeof(meta));
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return meta.version;
}

/* Older ones can go on with a store that has nothing that they do not know. */
static void formats(void)
{
    struct keys *k = keys("1");
    struct store *s = open_store();

    IS(store_keys(s, k, false), 0);
    put_some(s, 0, 10, false);
    IS(store_turn(s), 0);
    IS(format(s), 1);
    s = open_store();
    IS(store_keys(s, k, true), 0);
    IS(readable(s), 10);
    IS(store_turn(s), 0);
    IS(format(s), 2);
    s = open_store(); /* also when it is opened for a turn only */
    IS(store_turn(s), 0);
    IS(format(s), 2);
    keys_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(key_files), UNIT(credential), UNIT(bound),   UNIT(nonces),
        UNIT(rotated),   UNIT(large),      UNIT(formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

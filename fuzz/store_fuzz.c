/*
 * The store with anything in it.  Half of the inputs are records: mqxd's start
 * is gone through with them, and what it restores are queues that work.  The
 * other half damages the bytes of a good store's file: what check.c lets through
 * LMDB must be able to read and to change.  To both there may be a journal, whose
 * records have a right nonce and a right check, or damages.
 *
 * Input: 'r', then records: database (or that it is an encrypted message), length
 * of the key, key, length of the value (2 bytes), value; or 'f', then damages: page, place in it,
 * what is put there, and whether it is.  'R' and 'F': before that there is a journal: length of the
 * input for it (2 bytes), see fake_journal.h.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "discover.h"
#include "engine.h"
#include "fake_journal.h"
#include "inspect.h"
#include "journal.h"
#include "log.h"
#include "mirror.h"
#include "must.h"
#include "names.h"
#include "restore.h"
#include "seal.h"
#include "segment.h"
#include "thread.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGE 4096u

static char dir[PATH_MAX], file[PATH_MAX + 16];
static uint8_t *good; /* the file of a good store */
static size_t good_size;
static struct {
    uint8_t *bytes;
    size_t size;
} goods[2];            /* the second one names a journal */
static unsigned lines; /* that were said */
static struct keys *keys;

/* mqxd's, which would fill the screen. */
void say(const char *format, ...)
{
    char line[1000];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    lines++;
}

void say_event(enum say_level level, const char *event, const char *queue, const char *format, ...)
{
    (void)level;
    (void)event;
    (void)queue;
    (void)format;
    lines++;
}

/* --- a good store -------------------------------------------------------------------------- */

static int put_some(struct store *s, void *arg)
{
    static uint8_t data[9000];
    struct mqxi_snapshot m = {.sent_ns = 1, .pid = 1, .uid = geteuid()};
    struct store_queue q = {.kind = MQXI_KIND_POSIX,
                            .maxmsg = 400,
                            .msgsize = sizeof(data),
                            .mode = 0600,
                            .durable = MQXI_DURABLE_SYNC,
                            .uid = geteuid(),
                            .gid = getegid()};
    int r = 0;

    (void)arg;
    for (uint8_t n = 0; r == 0 && n < 3; n++) {
        memset(q.uuid, n + 1, 16);
        snprintf(q.name, sizeof(q.name), "queue-%u", n);
        r = store_put_queue(s, &q);
        for (uint32_t i = 0; r == 0 && i < 60; i++) { /* a few of them large */
            m.key = (uint64_t)(MQXI_PRIO_MAX - 1 - i % 3) << MQXI_SEQ_BITS | (i + 1);
            m.len = i % 20 ? i : i * 150;
            r = (i % 2 ? store_put_sealed : store_put_message)(s, q.uuid, i, &m, data);
        }
    }
    return r;
}

/* Leaves pages free, for the list of them. */
static int delete_some(struct store *s, void *arg)
{
    uint8_t uuid[16];
    int r = 0;

    (void)arg;
    memset(uuid, 1, 16);
    for (uint32_t i = 0; r == 0 && i < 40; i += 3)
        r = store_delete_message(s, uuid, i);
    memset(uuid, 2, 16);
    return r < 0 ? r : store_delete_queue(s, uuid);
}

static void clear_store(void)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "mqxd.lock", JOURNAL_FILE};
    char path[PATH_MAX + 16];

    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
}

static void read_good(int which)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    must(fd >= 0 && fstat(fd, &st) == 0, file, errno);
    good_size = (size_t)st.st_size;
    good = malloc(good_size);
    must(good && read(fd, good, good_size) == st.st_size, file, errno);
    close(fd);
    goods[which].bytes = good;
    goods[which].size = good_size;
}

static void name_journal(void)
{
    uint64_t nonce = FAKE_NONCE;
    MDB_val key = {7, "journal"}, value = {sizeof(nonce), &nonce};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi db;

    must(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0 &&
             mdb_env_open(env, dir, 0, 0600) == 0 && mdb_txn_begin(env, NULL, 0, &txn) == 0 &&
             mdb_dbi_open(txn, "meta", 0, &db) == 0 && mdb_put(txn, db, &key, &value, 0) == 0 &&
             mdb_txn_commit(txn) == 0,
         "a journal cannot be named", 0);
    mdb_env_close(env);
}

static void make_keys(void)
{
    char path[PATH_MAX + 16];
    int fd;

    snprintf(path, sizeof(path), "%s/key", dir);
    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, "a key that is known to everybody", 32) == 32, path, errno);
    close(fd);
    must(keys_load(path, &keys) == 0 && keys, path, 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *base = getenv("MQX_DIR");
    struct store *s;
    char why[100];

    (void)argc;
    (void)argv;
    must(base != NULL, "MQX_DIR is not set; run scripts/fuzz.sh", 0);
    snprintf(dir, sizeof(dir), "%s/store", base);
    snprintf(file, sizeof(file), "%s/data.mdb", dir);
    must(mkdir(dir, 0700) == 0 || errno == EEXIST, dir, errno);
    must(mqxi_dirs_make() == 0, base, errno);
    clear_store();
    make_keys();
    must(store_open(dir, &s) == 0, "a new store", 0);
    must(store_keys(s, keys, true) == 0, "keys", 0);
    must(store_transact(s, put_some, NULL) == 0, "a transaction", 0);
    must(store_transact(s, delete_some, NULL) == 0, "another one", 0);
    store_close(s);
    must(check_database(file, why, sizeof(why)) == 0, why, 0);
    read_good(0);
    name_journal();
    read_good(1);
    return 0;
}

/* --- a journal ----------------------------------------------------------------------------- */

static bool with_journal; /* the database is to name it */

static int look_at_record(const MDB_val *key, const MDB_val *value, void *arg)
{
    const volatile uint8_t *k = key->mv_data, *v = value->mv_data;

    for (size_t i = 0; i < key->mv_size; i++)
        *(uint64_t *)arg += k[i];
    for (size_t i = 0; i < value->mv_size; i += 64)
        *(uint64_t *)arg += v[i];
    return 0;
}

/* As mqx store does: a copy has what the store has, and needs no journal. */
static void inspect(bool sound)
{
    uint64_t sum = 0, size, copied = 0;
    struct inspect s;
    char to[PATH_MAX + 16], path[PATH_MAX + 32];
    int r;

    lines = 0;
    r = inspect_open(dir, &s);
    must(r == 0 || lines > 0, "mqx would end and not say why", r);
    if (r < 0)
        return;
    r = inspect_each(&s, s.messages, look_at_record, &sum);
    must(r == 0 || !sound, "messages cannot be read", r);
    snprintf(to, sizeof(to), "%s-copy", dir);
    snprintf(path, sizeof(path), "%s/data.mdb", to);
    unlink(path);
    r = inspect_backup(&s, to, &size);
    inspect_close(&s);
    must(r == 0 || !sound, "a copy cannot be made", r);
    if (r < 0)
        return;
    must(inspect_open(to, &s) == 0, "the copy cannot be read", 0);
    must(s.change_count == 0 && s.journal.fd < 0, "the copy has a journal", 0);
    must(inspect_each(&s, s.messages, look_at_record, &copied) == 0, "the copy's messages", 0);
    must(sum == copied || !sound, "the copy has other messages", 0);
    inspect_close(&s);
}

/* --- records ------------------------------------------------------------------------------- */

/* What is in it is anybody's, and only the key is ours. */
static void put_sealed(MDB_txn *txn, MDB_dbi db, MDB_val *key, const MDB_val *text)
{
    static uint8_t sealed[1 << 17];
    struct mqxi_snapshot m = {0};
    struct message_record head;
    struct message_key at;
    MDB_val value;

    if (key->mv_size != sizeof(at) || text->mv_size < sizeof(head))
        return;
    memcpy(&at, key->mv_data, sizeof(at));
    memcpy(&head, text->mv_data, sizeof(head));
    m = (struct mqxi_snapshot){.key = head.key,
                               .sent_ns = head.sent_ns,
                               .type = head.type,
                               .pid = head.pid,
                               .uid = head.uid,
                               .len = (uint32_t)(text->mv_size - sizeof(head))};
    seal_message(keys_first(keys), &at, &m, (uint8_t *)text->mv_data + sizeof(head), sealed);
    value = (MDB_val){seal_size(m.len), sealed};
    mdb_put(txn, db, key, &value, 0);
}

static void put_record(MDB_txn *txn, MDB_dbi db, bool seal, struct input *in)
{
    MDB_val key = eat_bytes(in, eat(in, 1) % 40), value = eat_bytes(in, eat(in, 2));

    if (seal)
        put_sealed(txn, db, &key, &value);
    else if (key.mv_size > 0)
        mdb_put(txn, db, &key, &value, 0);
}

/* A store with these records, and its format's own unless they have one. */
static void make_store(struct input *in)
{
    static const char *const names[] = {"meta", "queues", "messages"};
    static const uint64_t format[2] = {UINT64_C(0x31726f74732d7871), STORE_FORMAT};
    MDB_val key = {6, "format"}, value = {sizeof(format), (void *)(uintptr_t)format};
    uint64_t nonce = FAKE_NONCE;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi db[3];

    must(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0 &&
             mdb_env_open(env, dir, MDB_NOSYNC, 0600) == 0 &&
             mdb_txn_begin(env, NULL, 0, &txn) == 0,
         "an environment", 0);
    for (int i = 0; i < 3; i++)
        must(mdb_dbi_open(txn, names[i], MDB_CREATE, &db[i]) == 0, names[i], 0);
    mdb_put(txn, db[0], &key, &value, 0);
    if (with_journal)
        mdb_put(txn, db[0], &(MDB_val){7, (void *)(uintptr_t) "journal"},
                &(MDB_val){sizeof(nonce), &nonce}, 0);
    while (in->left > 0) {
        unsigned which = (unsigned)eat(in, 1) % 16;

        put_record(txn, db[which % 8 == 0 ? 0 : which % 8 < 4 ? 1 : 2], which > 12, in);
    }
    must(mdb_txn_commit(txn) == 0, "commit", 0);
    mdb_env_close(env);
}

/* A restored queue is one: all that is in it can be received, in order, and it takes more. */
static int use_queue(const char *name, void *arg)
{
    struct mqxi_queue *q;
    struct mqxi_taken t;
    unsigned token;
    uint64_t before = 0;
    int r = mqxi_segment_attach(name, &q);

    (void)arg;
    must(r == 0, "a restored queue cannot be attached", r);
    token = mqxi_op_enter();
    while ((r = mqxi_take(q, &t)) == 0) {
        must(t.len <= q->layout.msgsize && t.key >= before, "a restored message", t.len);
        before = t.key;
        must(mqxi_take_commit(q, &t) == 0, "commit", 0);
    }
    must(r == -EAGAIN, "a restored queue cannot be emptied", r);
    r = mqxi_put(q, "x", 1, 0, 0, NULL, NULL);
    /* A stored message may have had the last number that there is. */
    must(r == 0 || (r == -EBADMSG && atomic_load(&q->header->sequence) >= MQXI_SEQ_MAX - 1),
         "a restored queue takes no message", r);
    mqxi_op_leave(token);
    mqxi_segment_detach(q);
    return 0;
}

/* No name led out of the directory of queues: in $MQX_DIR, itself the parent of the store's, is
 * only what belongs there. */
static void check_outside(void)
{
    struct dirent *entry;
    DIR *d = opendir(mqxi_dir());
    char path[PATH_MAX];
    struct stat st;

    must(d != NULL, mqxi_dir(), errno);
    while ((entry = readdir(d))) {
        snprintf(path, sizeof(path), "%s/%s", mqxi_dir(), entry->d_name);
        must(lstat(path, &st) == 0 && S_ISDIR(st.st_mode), path, 0);
    }
    closedir(d);
}

static int empty_place(const char *name, void *arg)
{
    char path[PATH_MAX];

    return mqxi_path(*(enum mqxi_place *)arg, name, path) == 0 && unlink(path) < 0 ? -errno : 0;
}

static void forget_queues(void)
{
    for (enum mqxi_place place = MQXI_QUEUES; place < MQXI_PLACES; place++)
        if (place != MQXI_CLIENTS)
            mqxi_list(place, empty_place, &place);
}

/* As mqxd's run(). */
static int start(struct mirror *m)
{
    int r = discover_gone(m);

    if (r == 0)
        r = restore_queues(m->store);
    if (r == 0)
        r = mqxi_segment_list(use_queue, NULL);
    if (r == 0)
        r = discover(m);
    for (int i = 0; r >= 0 && i < 5 && mirror_due(m, mirror_now()); i++)
        r = mirror_commit(m, UINT64_MAX);
    return r;
}

static void try_records(struct input *in)
{
    struct mirror m = {0};
    int r;

    make_store(in);
    if (with_journal)
        inspect(true);
    lines = 0;
    r = store_open(dir, &m.store);
    if (r == 0)
        r = store_keys(m.store, keys, true);
    if (r == 0)
        r = start(&m);
    must(r >= 0 || lines > 0, "mqxd would end and not say why", r);
    mirror_free(&m);
    if (m.store)
        store_close(m.store);
    check_outside();
    forget_queues();
}

/* --- damages ------------------------------------------------------------------------------- */

/* Where in the page: its head, the places of its records, a record's head, or anywhere. */
static size_t place(const uint8_t *page, struct input *in)
{
    uint16_t lower, at, n;

    switch (eat(in, 1) % 4) {
    case 0:
        return eat(in, 1) % 24;
    case 1:
        return 16 + eat(in, 1) % 64;
    case 2:
        memcpy(&lower, page + 12, sizeof(lower));
        n = (uint16_t)(lower < 18 || lower > PAGE ? 0 : eat(in, 1) % ((lower - 16u) / 2));
        memcpy(&at, page + 16 + 2 * n, sizeof(at));
        return (at + eat(in, 1) % 24) % PAGE;
    default:
        return eat(in, 2) % PAGE;
    }
}

/* What is put there: bytes, or the number of a page. */
static MDB_val what(struct input *in)
{
    static uint64_t number;
    unsigned kind = (unsigned)eat(in, 1) % 12;

    if (kind < 8)
        return eat_bytes(in, kind + 1);
    number = kind == 8 ? 0 : kind == 9 ? UINT64_MAX : eat(in, 1) % (good_size / PAGE);
    return (MDB_val){sizeof(number), &number};
}

/* Returns how many bytes the file has. */
static size_t damage(uint8_t *bytes, struct input *in)
{
    size_t pages = good_size / PAGE, size = good_size;

    while (in->left > 0) {
        uint8_t *page = bytes + eat(in, 1) % pages * PAGE;
        size_t at = place(page, in);
        MDB_val with = what(in);

        switch (eat(in, 1) % 32) {
        case 31:
            size = (size_t)(page - bytes) + at;
            break;
        case 30: /* another page stands there */
            memcpy(page, good + eat(in, 1) % pages * PAGE, PAGE);
            break;
        default:
            if (at + with.mv_size <= PAGE)
                memcpy(page + at, with.mv_data, with.mv_size);
        }
    }
    return size;
}

static int keep_uuid(const struct store_queue *queue, void *arg)
{
    memcpy(arg, queue->uuid, 16);
    return 0;
}

static int look(uint32_t slot, const struct mqxi_snapshot *message, const void *data, void *arg)
{
    const volatile uint8_t *bytes = data;

    for (uint32_t i = 0; i < message->len; i += 64)
        *(uint64_t *)arg += bytes[i] + slot;
    return 0;
}

static int change(struct store *s, void *arg)
{
    static uint8_t data[5000];
    struct mqxi_snapshot m = {.key = 1, .len = sizeof(data)};
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < 60; i += 2) {
        m.len = i * 80;
        r = i % 4 ? store_delete_message(s, arg, i) : store_put_message(s, arg, i, &m, data);
    }
    return r;
}

static int delete_it(struct store *s, void *arg)
{
    return store_delete_queue(s, arg);
}

static void use_store(struct store *s)
{
    uint8_t uuid[16] = {0};
    uint64_t sum = 0;

    if (store_keys(s, keys, true) < 0)
        return;
    store_each_queue(s, keep_uuid, uuid);
    store_each_message(s, uuid, look, &sum);
    store_seal_queue(s, uuid, &sum);
    store_rekey(s, &sum);
    store_transact(s, change, uuid);
    store_commit(s, change, uuid);
    store_commit(s, change, uuid);
    store_transact(s, delete_it, uuid);
    store_commit(s, change, uuid);
    store_each_message(s, uuid, look, &sum);
    store_transact(s, put_some, NULL);
    store_finish(s);
}

static void try_damage(struct input *in)
{
    static uint8_t *bytes;
    struct store *s;
    size_t size;
    int fd, r;

    if (!bytes)
        bytes = malloc(goods[0].size + goods[1].size);
    must(bytes != NULL, "malloc", 0);
    memcpy(bytes, good, good_size);
    size = damage(bytes, in);
    fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, file, errno);
    close(fd);
    if (with_journal)
        inspect(false);
    lines = 0;
    r = store_open(dir, &s);
    must(r == 0 || lines > 0, "mqxd would end and not say why", r);
    if (r < 0)
        return;
    use_store(s);
    store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size}, journal;
    int what = (int)eat(&in, 1);

    clear_store();
    with_journal = what == 'R' || what == 'F';
    good = goods[with_journal].bytes;
    good_size = goods[with_journal].size;
    if (with_journal) {
        MDB_val bytes = eat_bytes(&in, eat(&in, 2));

        journal = (struct input){bytes.mv_data, bytes.mv_size};
        fake_journal(dir, &journal);
    }
    if (what == 'f' || what == 'F')
        try_damage(&in);
    else
        try_records(&in);
    return 0;
}

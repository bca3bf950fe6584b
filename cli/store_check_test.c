/* mqx store check: each kind of wrong record is found, and said with its queue. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after those */
#include <cmocka.h>

#include "../mqxd/record.h"
#undef fail /* the command line has one too */
#include "cli.h"

#define KEY(n) ((uint64_t)32000 << MQXI_SEQ_BITS | (n))

static char dir[] = "/tmp/mqx-store-XXXXXX";
static char printed[10000]; /* on stdout and stderr, by the last check */

struct env {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta, queues, messages;
};

static struct env begin(void)
{
    struct env e;

    assert_int_equal(mdb_env_create(&e.env), 0);
    assert_int_equal(mdb_env_set_maxdbs(e.env, 8), 0);
    assert_int_equal(mdb_env_open(e.env, dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(e.env, NULL, 0, &e.txn), 0);
    assert_int_equal(mdb_dbi_open(e.txn, "meta", MDB_CREATE, &e.meta), 0);
    assert_int_equal(mdb_dbi_open(e.txn, "queues", MDB_CREATE, &e.queues), 0);
    assert_int_equal(mdb_dbi_open(e.txn, "messages", MDB_CREATE, &e.messages), 0);
    return e;
}

static void end(struct env *e)
{
    assert_int_equal(mdb_txn_commit(e->txn), 0);
    mdb_env_close(e->env);
}

static void put(struct env *e, MDB_dbi db, const void *key, size_t key_size, const void *value,
                size_t size)
{
    MDB_val k = {key_size, (void *)(uintptr_t)key}, v = {size, (void *)(uintptr_t)value};

    assert_int_equal(mdb_put(e->txn, db, &k, &v, 0), 0);
}

static void put_queue(struct env *e, uint8_t n, const char *name, struct queue_record head)
{
    uint8_t uuid[16] = {n}, value[sizeof(head) + NAME_MAX];

    memcpy(value, &head, sizeof(head));
    memcpy(value + sizeof(head), name, strlen(name));
    put(e, e->queues, uuid, sizeof(uuid), value, sizeof(head) + strlen(name));
}

static void put_message(struct env *e, uint8_t n, uint32_t slot, uint64_t key, size_t len)
{
    uint8_t uuid[16] = {n}, value[sizeof(struct message_record) + 200] = {0};
    struct message_key k = record_message_key(uuid, slot);
    struct message_record head = {.key = key};

    memcpy(value, &head, sizeof(head));
    put(e, e->messages, &k, sizeof(k), value, sizeof(head) + len);
}

static const struct queue_record sound = {
    .kind = MQXI_KIND_POSIX, .maxmsg = 10, .msgsize = 100, .durable = MQXI_DURABLE_SYNC};

/* Two queues, three messages. */
static int make_store(void **state)
{
    struct meta_record meta = {.magic = STORE_MAGIC, .version = STORE_FORMAT};
    struct env e = begin();

    (void)state;
    mdb_drop(e.txn, e.queues, 0);
    mdb_drop(e.txn, e.messages, 0);
    put(&e, e.meta, "format", 6, &meta, sizeof(meta));
    put_queue(&e, 2, "two", sound);
    put_queue(&e, 4, "four", sound);
    put_message(&e, 2, 0, KEY(1), 100);
    put_message(&e, 4, 1, KEY(2), 0);
    put_message(&e, 4, 9, KEY(1), 5);
    end(&e);
    return 0;
}

/* mqx store check, and what it prints. */
static int check(void)
{
    char *argv[] = {"mqx: store", "--store", dir, "check", NULL};
    FILE *file = tmpfile();
    int out = dup(1), err = dup(2), status;
    size_t n;

    fflush(stdout);
    dup2(fileno(file), 1);
    dup2(fileno(file), 2);
    optind = 0;
    status = cmd_store(4, argv);
    fflush(stdout);
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    rewind(file);
    n = fread(printed, 1, sizeof(printed) - 1, file);
    printed[n] = 0;
    fclose(file);
    return status;
}

static void finds(const char *what)
{
    int status = check();

    print_message("%s", printed);
    assert_int_equal(status, EXIT_FAILED);
    assert_non_null(strstr(printed, what));
    assert_non_null(strstr(printed, "\nwrong: 1\n"));
}

static void test_sound(void **state)
{
    (void)state;
    assert_int_equal(check(), EXIT_DONE);
    assert_non_null(strstr(printed, "queues: 2, messages: 3, bytes in them: 105\n"));
    assert_non_null(strstr(printed, "\nall is well\n"));
}

static void wrong_message(uint8_t n, uint32_t slot, uint64_t key, size_t len, const char *what)
{
    struct env e = begin();

    put_message(&e, n, slot, key, len);
    end(&e);
    finds(what);
    make_store(NULL);
}

static void test_messages(void **state)
{
    uint8_t uuid[16] = {4};
    struct message_key key = record_message_key(uuid, 3);
    struct env e;

    (void)state;
    wrong_message(2, 10, KEY(9), 1, "queue /two: slot 10: the queue has no such slot\n");
    wrong_message(4, 3, KEY(9), 101, "queue /four: slot 3: the message is larger");
    wrong_message(4, 3, 0, 1, "queue /four: slot 3: the message has no place");
    wrong_message(4, 3, UINT64_MAX, 1, "queue /four: slot 3: an encrypted message's record has");
    wrong_message(4, 3, KEY(2), 1, "queue /four: slot ");
    assert_non_null(strstr(printed, "the same place in the order as that of slot "));
    wrong_message(1, 3, KEY(2), 1, "queue with uuid 01000000000000000000000000000000: slot 3: ");
    wrong_message(3, 3, KEY(2), 1, "queue with uuid 03000000000000000000000000000000: slot 3: ");
    wrong_message(5, 3, KEY(2), 1, "queue with uuid 05000000000000000000000000000000: slot 3: ");
    e = begin();
    put(&e, e.messages, &key, sizeof(key), "short", 5);
    end(&e);
    finds("queue /four: slot 3: a message's record has the wrong size");
    make_store(NULL);
    e = begin();
    put(&e, e.messages, &key, 18, "short", 5);
    end(&e);
    finds("queue /four: a message's record is not found by queue and slot");
    make_store(NULL);
    e = begin();
    put(&e, e.messages, "x", 1, "short", 5);
    end(&e);
    finds("queue with uuid 78: a message's record is not found");
}

static void wrong_queue(const char *name, struct queue_record head, const char *what)
{
    struct env e = begin();

    put_queue(&e, 7, name, head);
    end(&e);
    finds(what);
    make_store(NULL);
}

static void test_queues(void **state)
{
    struct queue_record head = sound;

    (void)state;
    wrong_queue("a/b", head, "queue with uuid 07000000000000000000000000000000: a queue's name");
    wrong_queue("..", head, "a queue's name cannot be one");
    wrong_queue("", head, "a queue's record has the wrong size");
    head.maxmsg = 0;
    wrong_queue("q\033[2J", head, "queue /q?[2J: it cannot have so many messages");
    head = sound;
    head.durable = MQXI_DURABLE_OFF;
    wrong_queue("seven", head, "queue /seven: it is not durable");
    head = sound;
    head.kind = 3;
    wrong_queue("seven", head, "a queue's record is of no kind");
}

static void test_unknown_format(void **state)
{
    struct meta_record meta = {.magic = STORE_MAGIC, .version = STORE_FORMAT + 1};
    struct env e = begin();
    char wanted[64];

    (void)state;
    put(&e, e.meta, "format", 6, &meta, sizeof(meta));
    end(&e);
    assert_int_equal(check(), EXIT_FAILED);
    snprintf(wanted, sizeof(wanted), "its format is %u, and this mqx knows up to %u",
             STORE_FORMAT + 1, STORE_FORMAT);
    assert_non_null(strstr(printed, wanted));
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", STORE_LOCK_FILE};
    char path[sizeof(dir) + 20];

    (void)state;
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_sound, make_store),
                                       cmocka_unit_test_setup(test_messages, make_store),
                                       cmocka_unit_test_setup(test_queues, make_store),
                                       cmocka_unit_test_setup(test_unknown_format, make_store)};

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

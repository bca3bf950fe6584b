/* The journal: what was committed is found, up to the first record that is none; nothing else is.
 */
#define XXH_INLINE_ALL
#include "journal.h"

#include <fcntl.h>
#include <xxhash.h>

#include "testing.h"

#define SIZE  (UINT64_C(64) << 10)
#define NONCE UINT64_C(0x1122334455667788)

static uint8_t bytes[JOURNAL_BATCH];

static const char *path(void)
{
    static char p[PATH_MAX];

    snprintf(p, sizeof(p), "%s/" JOURNAL_FILE, getenv("MQX_DIR"));
    return p;
}

static struct message_key key_of(uint8_t queue, uint32_t slot)
{
    return record_message_key((uint8_t[16]){queue}, slot);
}

static void make(struct journal *j, uint64_t size)
{
    IS(journal_make(j, getenv("MQX_DIR"), size), 0);
    journal_turn(j, NONCE);
}

/* As who starts: read it, and see what it has. */
static void reopen(struct journal *j, uint64_t nonce)
{
    journal_close(j);
    IS(journal_open(j, getenv("MQX_DIR"), true), 0);
    IS(journal_read(j), 0);
    journal_scan(j, nonce);
}

static void put(struct journal *j, uint32_t slot, size_t len, uint8_t fill)
{
    struct message_key key = key_of(1, slot);
    void *to = journal_put(j, &key, len);

    CHECK(to != NULL);
    memset(to, fill, len);
}

/* A record with one message. */
static void commit(struct journal *j, uint32_t slot, size_t len, uint8_t fill)
{
    journal_begin(j);
    put(j, slot, len, fill);
    IS(journal_commit(j), 0);
}

static size_t found(const struct journal *j)
{
    struct journal_change *changes;
    size_t count;

    IS(journal_changes(j, &changes, &count), 0);
    free(changes);
    return count;
}

/* Write into the file, behind the journal's back. */
static void scribble(uint64_t at, const void *from, size_t len)
{
    int fd = open(path(), O_WRONLY);

    CHECK(fd >= 0);
    IS(pwrite(fd, from, len, (off_t)at), (ssize_t)len);
    close(fd);
}

static void made(void)
{
    struct journal j = JOURNAL_NONE;
    struct stat st;

    journal_close(&j);
    IS(journal_open(&j, getenv("MQX_DIR"), true), -ENOENT);
    IS(j.fd, -1);
    make(&j, SIZE);
    IS(stat(path(), &st), 0);
    IS(st.st_size, SIZE);
    IS(st.st_mode & 07777, 0600);
    CHECK(st.st_blocks * 512 >= (int64_t)SIZE); /* no holes: a write must not need room */
    IS(j.end, 0);
    IS(found(&j), 0);
    journal_begin(&j);
    IS(journal_commit(&j), 0); /* of no change: a record like others */
    IS(j.changes, 0);
    IS(j.end, JOURNAL_ALIGN);
    commit(&j, 1, 10, 'x');
    reopen(&j, NONCE);
    IS(found(&j), 1);
    journal_close(&j);
    IS(j.fd, -1);
    CHECK(j.image == NULL);
    snprintf((char *)bytes, sizeof(bytes), "%s.part", path());
    IS(access((char *)bytes, F_OK), -1);
}

/* --- what they come to ------------------------------------------------------------------------ */

#define QUEUES 3
#define SLOTS  300u /* so that two bytes of a slot's number count */

/* What each key has: -1: never heard of; -2: removed; or a length, of bytes of `fill`. */
struct model {
    int len[QUEUES][SLOTS];
    uint8_t fill[QUEUES][SLOTS];
};

static void change_some(struct journal *j, struct model *m, uint64_t *random)
{
    for (uint32_t n = below(random, 12); n > 0; n--) {
        uint8_t queue = (uint8_t)below(random, QUEUES), fill = (uint8_t)next_random(random);
        uint32_t slot = below(random, SLOTS), len = below(random, 4) ? below(random, 200) : 5000;
        struct message_key key = key_of(queue, slot);

        if (below(random, 3)) {
            void *to = journal_put(j, &key, len);

            CHECK(to != NULL);
            memset(to, fill, len);
            m->len[queue][slot] = (int)len;
            m->fill[queue][slot] = fill;
        } else {
            CHECK(journal_remove(j, &key));
            m->len[queue][slot] = -2;
        }
    }
}

static void is_as(const struct journal *j, const struct model *m)
{
    struct journal_change *changes, *c;
    size_t count, n = 0;

    IS(journal_changes(j, &changes, &count), 0);
    for (uint32_t i = 0; i < QUEUES * SLOTS; i++) { /* in the order of keys, each once */
        uint8_t queue = (uint8_t)(i / SLOTS);
        uint32_t slot = i % SLOTS;
        struct message_key key = key_of(queue, slot);
        int len = m->len[queue][slot];

        if (len == -1)
            continue;
        CHECK(n < count);
        c = &changes[n++];
        CHECK(memcmp(c->key, &key, sizeof(key)) == 0);
        IS(c->value == NULL, len == -2);
        if (len < 0)
            continue;
        IS(c->len, len);
        for (int b = 0; b < len; b++)
            IS(((const uint8_t *)c->value)[b], m->fill[queue][slot]);
    }
    IS(n, count);
    free(changes);
}

static void last_change_counts(void)
{
    static struct model m;
    uint64_t random = 7;
    struct journal j;

    memset(m.len, -1, sizeof(m.len));
    make(&j, JOURNAL_FIRST);
    for (int i = 0; i < 60; i++) {
        journal_begin(&j);
        change_some(&j, &m, &random);
        IS(journal_commit(&j), 0);
        if (i % 20 == 19)
            reopen(&j, NONCE);
        is_as(&j, &m);
    }
    /* What is begun and not committed is not there, and leaves nothing behind. */
    journal_begin(&j);
    put(&j, 1, 5000, 'u');
    is_as(&j, &m);
    reopen(&j, NONCE);
    is_as(&j, &m);
    journal_turn(&j, NONCE + 1);
    IS(found(&j), 0);
    journal_close(&j);
}

/* --- what does not fit ------------------------------------------------------------------------ */

#define HEADS (sizeof(struct journal_record) + sizeof(struct journal_head))

static void does_not_fit(void)
{
    struct message_key key = key_of(1, 1);
    struct journal j;

    make(&j, SIZE);
    commit(&j, 0, 5000, 'a'); /* two pages */
    journal_begin(&j);
    CHECK(!journal_put(&j, &key, SIZE - 2 * JOURNAL_ALIGN - HEADS + 1));
    CHECK(!journal_put(&j, &key, SIZE_MAX));
    CHECK(!journal_put(&j, &key, JOURNAL_REMOVED));
    IS(j.making, 0);
    put(&j, 1, SIZE - 2 * JOURNAL_ALIGN - HEADS, 'b'); /* to the last byte */
    CHECK(!journal_remove(&j, &key));
    CHECK(!journal_put(&j, &key, 0));
    IS(journal_commit(&j), 0);
    IS(j.end, SIZE);
    journal_begin(&j);
    CHECK(!journal_remove(&j, &key));
    CHECK(!journal_put(&j, &key, 0));
    reopen(&j, NONCE);
    IS(found(&j), 2);
    IS(j.end, SIZE);
    journal_close(&j);
}

static void batch(void)
{
    struct message_key key = key_of(1, 2);
    struct journal j;

    make(&j, JOURNAL_BATCH * 2);
    journal_begin(&j);
    CHECK(!journal_put(&j, &key, JOURNAL_BATCH - HEADS + 1));
    put(&j, 1, JOURNAL_BATCH / 2, 'a');
    put(&j, 2, JOURNAL_BATCH / 2 - HEADS - sizeof(struct journal_head), 'b');
    CHECK(!journal_remove(&j, &key));
    IS(journal_commit(&j), 0);
    commit(&j, 3, JOURNAL_BATCH - HEADS, 'c');
    reopen(&j, NONCE);
    IS(found(&j), 3);
    IS(j.end, 2 * JOURNAL_BATCH);
    journal_close(&j);
}

static void grows(void)
{
    struct journal j;
    struct stat st;

    make(&j, SIZE);
    for (uint32_t i = 0; i < SIZE / JOURNAL_ALIGN; i++)
        commit(&j, i, 100, 'a');
    IS(j.end, SIZE);
    IS(journal_grow(&j, 3 * SIZE), 0);
    IS(stat(path(), &st), 0);
    IS(st.st_size, 3 * SIZE);
    CHECK(st.st_blocks * 512 >= (int64_t)(3 * SIZE));
    commit(&j, 1000, 2 * SIZE - HEADS, 'b');
    IS(j.end, 3 * SIZE);
    reopen(&j, NONCE);
    IS(found(&j), SIZE / JOURNAL_ALIGN + 1);
    journal_close(&j);
}

/* Takes what is left of the file system. */
static void take_all(void)
{
    char name[PATH_MAX];
    int fd;

    snprintf(name, sizeof(name), "%s/filler", getenv("MQX_DIR"));
    fd = open(name, O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0);
    while (write(fd, bytes, 4096) > 0)
        ;
    IS(errno, ENOSPC);
    close(fd);
}

static void no_room(void)
{
    struct message_key key = key_of(1, 1);
    struct journal j, other;
    struct stat st;

    if (!small_tmpfs("size=512k"))
        SKIP("only root can mount");
    make(&j, SIZE);
    commit(&j, 0, 100, 'a');
    IS(journal_grow(&j, 4 << 20), -ENOSPC);
    IS(stat(path(), &st), 0);
    IS(st.st_size, SIZE); /* and gave back what it had of it */
    IS(st.st_blocks * 512, SIZE);
    /* One with holes, as some copy it: behind its second page. */
    CHECK(fallocate(j.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * JOURNAL_ALIGN,
                    SIZE - 2 * JOURNAL_ALIGN) == 0);
    take_all();
    journal_begin(&j);
    put(&j, 1, 3 * JOURNAL_ALIGN, 'b');
    IS(journal_commit(&j), -ENOSPC);
    IS(j.end, JOURNAL_ALIGN);
    IS(found(&j), 1);
    commit(&j, 2, 100, 'c');
    journal_begin(&j);
    CHECK(journal_remove(&j, &key));
    IS(journal_commit(&j), -ENOSPC);
    reopen(&j, NONCE);
    IS(found(&j), 2);
    journal_close(&j);
    IS(unlink(path()), 0);
    take_all();
    IS(journal_make(&other, getenv("MQX_DIR"), SIZE), -ENOSPC);
    IS(access(path(), F_OK), -1);
    snprintf((char *)bytes, sizeof(bytes), "%s.part", path());
    IS(access((char *)bytes, F_OK), -1);
}

/* --- what is no record ------------------------------------------------------------------------ */

/* Three of them, the second with several changes, in pages 0, 1 and 2, and 3. */
static size_t make_three(struct journal *j)
{
    struct message_key key = key_of(9, 9);
    size_t len;

    make(j, SIZE);
    commit(j, 1, 100, 'a');
    journal_begin(j);
    put(j, 2, 30, 'b');
    CHECK(journal_remove(j, &key));
    put(j, 3, 5000, 'c');
    len = j->at - j->end;
    IS(journal_commit(j), 0);
    commit(j, 4, 100, 'd');
    IS(found(j), 5);
    return len;
}

static void changed_byte(void)
{
    struct journal j;
    size_t len = make_three(&j);
    const uint8_t *good = j.image + JOURNAL_ALIGN;

    for (size_t i = 0; i < 2 * JOURNAL_ALIGN; i++) {
        uint8_t bad = good[i] ^ (uint8_t)(1u << i % 8), is = good[i];

        scribble(JOURNAL_ALIGN + i, &bad, 1);
        reopen(&j, NONCE);
        good = j.image + JOURNAL_ALIGN;
        IS(found(&j), i < len ? 1 : 5);
        IS(j.behind, i < len ? 3 * JOURNAL_ALIGN : 0);
        CHECK(i > 0 || journal_damaged(&j)); /* it would say it for each byte */
        IS(j.end, (i < len ? 1 : 4) * JOURNAL_ALIGN);
        scribble(JOURNAL_ALIGN + i, &is, 1);
    }
    reopen(&j, NONCE);
    IS(found(&j), 5);
    journal_close(&j);
}

static void cut_short(void)
{
    static const size_t in_pages[] = {0, 1, 1, 4, 5}; /* changes */
    struct journal j;

    make_three(&j);
    for (off_t len = 4 * JOURNAL_ALIGN; len >= 0; len--) {
        IS(truncate(path(), len), 0);
        if (len % 8 > 1 && len % (off_t)JOURNAL_ALIGN > 100)
            continue;
        reopen(&j, NONCE);
        IS(found(&j), in_pages[len / (off_t)JOURNAL_ALIGN]);
        IS(j.behind, 0);
        CHECK(j.end <= j.size);
    }
    journal_close(&j);
}

/* It became shorter between open and read, as a store that another program writes into. */
static void cut_while_open(void)
{
    struct journal j;

    make_three(&j);
    journal_close(&j);
    IS(journal_open(&j, getenv("MQX_DIR"), true), 0);
    IS(truncate(path(), 3 * JOURNAL_ALIGN + 5), 0);
    IS(journal_read(&j), 0);
    journal_scan(&j, NONCE);
    IS(found(&j), 4);
    journal_close(&j);
}

static void other_times(void)
{
    struct journal j;

    make_three(&j);
    journal_turn(&j, NONCE + 1);
    commit(&j, 7, 100, 'e');
    reopen(&j, NONCE + 1); /* page 1 begins with a whole record of before */
    IS(found(&j), 1);
    IS(j.end, JOURNAL_ALIGN);
    IS(j.behind, 0);
    reopen(&j, NONCE);
    IS(found(&j), 0);
    reopen(&j, 0);
    IS(found(&j), 0);
    journal_close(&j);
}

/* Its nonce is one thing, and what it was made with is another. */
static void renamed(void)
{
    const uint64_t other = NONCE + 1;
    struct journal j;

    make_three(&j);
    scribble(0, &other, sizeof(other));
    reopen(&j, other);
    IS(found(&j), 0);
    journal_close(&j);
}

/* The record's head says what it likes, and its check is right. */
static void forge(uint64_t at, uint32_t len, uint32_t changes, const struct journal_head *head)
{
    static struct {
        struct journal_record record;
        struct journal_head head;
        uint8_t rest[SIZE];
    } forged;

    forged.record = (struct journal_record){.nonce = NONCE, .bytes = len, .changes = changes};
    forged.head = *head;
    if (len <= sizeof(forged) - sizeof(forged.record)) /* else nobody can tell */
        forged.record.check = XXH3_64bits_withSeed(
            &forged.record.bytes,
            sizeof(forged.record) - offsetof(struct journal_record, bytes) + len, NONCE);
    scribble(at, &forged, SIZE - at < sizeof(forged) ? SIZE - at : sizeof(forged));
}

static void forged(void)
{
    const uint32_t head = sizeof(struct journal_head), room = SIZE - JOURNAL_ALIGN - 24;
    const struct {
        uint32_t bytes, changes, len;
        size_t found; /* beside the one before it */
    } cases[] = {
        {head + 8, 1, 8, 1}, /* as it should be */
        {head, 1, JOURNAL_REMOVED, 1},
        {head, 1, 0, 1},
        {room, 1, room - head, 1},
        {0, 0, 0, 0},
        {head + 8, 2, 8, 0}, /* more changes than there are */
        {head + 8, UINT32_MAX, 8, 0},
        {head + 8, 0, 8, 0},
        {0, 1, 0, 0},
        {head + 8, 1, 9, 0}, /* the change ends behind the record */
        {head + 8, 1, 7, 0}, /* a byte is left */
        {head + 8, 1, JOURNAL_REMOVED - 1, 0},
        {head - 1, 1, 0, 0},
        {1, 1, 0, 0},
        {room + 1, 1, room + 1 - head, 0}, /* the record ends behind the file */
        {UINT32_MAX, 1, 0, 0},
        {UINT32_MAX - 23, 1, JOURNAL_REMOVED, 0},
    };
    struct journal j;

    make(&j, SIZE);
    commit(&j, 5, 100, 'a');
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct journal_head h = {.key = key_of(2, i), .len = cases[i].len};

        forge(JOURNAL_ALIGN, cases[i].bytes, cases[i].changes, &h);
        reopen(&j, NONCE);
        if (found(&j) != 1 + cases[i].found)
            FAIL("case %u: %zu changes", i, found(&j));
        CHECK(j.end <= j.size);
        CHECK(cases[i].found == 0 || j.end > JOURNAL_ALIGN);
    }
    journal_close(&j);
}

/* --- what is no journal ----------------------------------------------------------------------- */

static void no_file(void)
{
    char target[PATH_MAX];
    struct journal j;

    for (int write = 0; write < 2; write++) {
        IS(mkdir(path(), 0700), 0);
        CHECK(journal_open(&j, getenv("MQX_DIR"), write) < 0);
        IS(rmdir(path()), 0);
        IS(mkfifo(path(), 0600), 0);
        CHECK(journal_open(&j, getenv("MQX_DIR"), write) < 0); /* and does not wait */
        IS(unlink(path()), 0);
        snprintf(target, sizeof(target), "%s/elsewhere", getenv("MQX_DIR"));
        close(open(target, O_WRONLY | O_CREAT, 0600));
        IS(symlink(target, path()), 0);
        IS(journal_open(&j, getenv("MQX_DIR"), write), -ELOOP);
        IS(unlink(path()), 0);
        IS(journal_open(&j, getenv("MQX_DIR"), write), -ENOENT);
        IS(j.fd, -1);
    }
    /* Nor is one made through a link. */
    strcat(strcpy((char *)bytes, path()), ".part");
    IS(symlink(target, (char *)bytes), 0);
    CHECK(journal_make(&j, getenv("MQX_DIR"), SIZE) < 0);
}

static void odd_sizes(void)
{
    struct message_key key = key_of(1, 1);
    struct journal j;

    close(open(path(), O_WRONLY | O_CREAT, 0600));
    for (off_t size = 0; size < (off_t)JOURNAL_ALIGN; size += 1365) {
        IS(truncate(path(), size), 0);
        j = (struct journal)JOURNAL_NONE;
        reopen(&j, NONCE);
        IS(j.size, 0);
        IS(found(&j), 0);
        journal_begin(&j);
        CHECK(!journal_remove(&j, &key));
        CHECK(!journal_put(&j, &key, 0));
        journal_close(&j);
    }
    /* Grown from there it is one as any other. */
    j = (struct journal)JOURNAL_NONE;
    reopen(&j, NONCE);
    IS(journal_grow(&j, SIZE), 0);
    commit(&j, 1, 100, 'a');
    reopen(&j, NONCE);
    IS(found(&j), 1);
    /* More than there can be is not looked at. */
    IS(truncate(path(), (off_t)JOURNAL_MOST * 4 + 5), 0);
    reopen(&j, NONCE);
    IS(j.size, JOURNAL_MOST);
    IS(found(&j), 1);
    journal_close(&j);
}

static void read_only(void)
{
    struct journal j;

    make_three(&j);
    journal_close(&j);
    IS(journal_open(&j, getenv("MQX_DIR"), false), 0);
    IS(journal_read(&j), 0);
    journal_scan(&j, NONCE);
    IS(found(&j), 5);
    journal_begin(&j);
    put(&j, 50, 10, 'x');
    IS(journal_commit(&j), -EBADF);
    IS(found(&j), 5);
    IS(j.end, 4 * JOURNAL_ALIGN);
    journal_close(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(made),           UNIT(last_change_counts),
        UNIT(does_not_fit),   UNIT(batch),
        UNIT(grows),          UNIT(no_room),
        UNIT(changed_byte),   UNIT(cut_short),
        UNIT(cut_while_open), UNIT(other_times),
        UNIT(renamed),        UNIT(forged),
        UNIT(no_file),        UNIT(odd_sizes),
        UNIT(read_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

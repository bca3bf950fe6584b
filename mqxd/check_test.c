/* Good stores hold together, whatever was done to them; damaged ones do not. */
#include "check.h"

#include "store.h"
#include "testing.h"

#define QUEUES 5
#define SLOTS  400

static uint64_t chance;
static char dir[PATH_MAX], file[PATH_MAX + 16];

static struct store *new_store(void)
{
    struct store *s = NULL;

    snprintf(dir, sizeof(dir), "%s/store", getenv("MQX_DIR"));
    snprintf(file, sizeof(file), "%s/data.mdb", dir);
    IS(mkdir(dir, 0700), 0);
    IS(store_open(dir, &s), 0);
    return s;
}

static uint8_t *uuid_of(uint32_t queue)
{
    static uint8_t uuid[16];

    memset(uuid, (int)queue * 16 + 1, sizeof(uuid));
    return uuid;
}

static int put_queue(struct store *s, uint32_t queue)
{
    struct store_queue q = {.kind = 1, .maxmsg = SLOTS, .msgsize = 20000, .durable = 2};

    memcpy(q.uuid, uuid_of(queue), 16);
    snprintf(q.name, sizeof(q.name), "queue %u", queue);
    return store_put_queue(s, &q);
}

/* Some random changes. */
static int change(struct store *s, void *arg)
{
    static uint8_t data[20000];
    uint64_t *seed = arg, repeat = *seed;
    uint32_t largest = below(&repeat, 4) ? 200 : sizeof(data);
    int r = 0;

    for (uint32_t n = below(&repeat, 200); r == 0 && n > 0; n--) {
        uint32_t queue = below(&repeat, QUEUES), slot = below(&repeat, SLOTS);
        struct mqxi_snapshot m = {.key = n + 1, .len = below(&repeat, largest)};

        switch (below(&repeat, 40)) {
        case 0:
            r = store_delete_queue(s, uuid_of(queue));
            break;
        case 1:
            r = put_queue(s, queue);
            break;
        default:
            r = below(&repeat, 2) ? store_put_message(s, uuid_of(queue), slot, &m, data)
                                  : store_delete_message(s, uuid_of(queue), slot);
        }
    }
    return r;
}

static void is_sound(void)
{
    char why[100] = "";
    int r = check_database(file, why, sizeof(why));

    if (r != 0)
        FAIL("a good store: %s (%d)", why, r);
}

static void good_ones_hold_together(void)
{
    struct store *s = new_store();

    is_sound();
    for (int i = 0; i < 1000 && !time_is_up(); i++) {
        IS(store_transact(s, change, &chance), 0);
        next_random(&chance);
        is_sound(); /* while it is open, too: what was committed is in the file */
        if (i % 50 == 49) {
            store_close(s);
            IS(store_open(dir, &s), 0);
        }
    }
    store_close(s);
    is_sound();
}

static void nothing_to_look_at(void)
{
    char why[100];

    snprintf(file, sizeof(file), "%s/data.mdb", getenv("MQX_DIR"));
    IS(check_database(file, why, sizeof(why)), 0);
    close(open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    IS(check_database(file, why, sizeof(why)), 0); /* LMDB makes it one */
    IS(truncate(file, 10000), 0);
    IS(check_database(file, why, sizeof(why)), 0); /* LMDB says that it is none */
    IS(unlink(file), 0);
    IS(mkfifo(file, 0600), 0);
    IS(check_database(file, why, sizeof(why)), -EBADMSG);
}

/* --- damages ---------------------------------------------------------------------------------- */

static uint8_t *bytes;
static off_t size;

static int fill(struct store *s, void *arg)
{
    static uint8_t data[20000];
    struct mqxi_snapshot m = {.key = 1};
    int r = put_queue(s, 1);

    (void)arg;
    for (uint32_t i = 0; r == 0 && i < 200; i++) {
        m.len = i % 50 ? 40 : 9000;
        r = store_put_message(s, uuid_of(1), i, &m, data);
    }
    return r;
}

static int take_out(struct store *s, void *arg)
{
    (void)arg;
    return store_delete_message(s, uuid_of(1), 0);
}

static void put_bytes(uint64_t at, const void *from, size_t len)
{
    int fd = open(file, O_RDWR | O_CLOEXEC);

    CHECK(fd >= 0);
    IS(pwrite(fd, from, len, (off_t)at), len);
    close(fd);
}

/* Is anything seen of it when two bytes of a page are these? */
static bool seen(uint32_t page, uint32_t at, uint16_t value)
{
    uint64_t place = (uint64_t)page * 4096 + at;
    char why[100] = "";
    int r;

    CHECK(memcmp(bytes + place, &value, sizeof(value)) != 0);
    put_bytes(place, &value, sizeof(value));
    r = check_database(file, why, sizeof(why));
    CHECK(r == 0 || (r == -EBADMSG && strlen(why) > 10));
    put_bytes(place, bytes + place, sizeof(value));
    is_sound();
    return r != 0;
}

static void damaged(uint32_t page, uint32_t at, uint16_t value)
{
    if (!seen(page, at, value))
        FAIL("damage of page %u at %u is not seen", page, at);
}

/* A page of the kind that is in use.  LMDB's kinds: 1 branch, 2 leaf, 4 overflow. */
static uint32_t page_of(uint16_t kind)
{
    for (uint32_t n = 2; n < size / 4096; n++) {
        const uint16_t *p = (const uint16_t *)(bytes + n * 4096);

        if (p[5] == kind && *(const uint64_t *)p == n && (kind == 4 || p[6] > 20) &&
            seen(n, 0, (uint16_t)(n + 1)))
            return n;
    }
    FAIL("no page of kind %u", kind);
}

static void damaged_ones_do_not(void)
{
    struct store *s = new_store();
    uint32_t leaf, branch, large, second;
    uint16_t node;
    int fd;

    IS(store_transact(s, fill, NULL), 0);
    IS(store_transact(s, take_out, NULL), 0);
    store_close(s);
    fd = open(file, O_RDONLY | O_CLOEXEC);
    size = lseek(fd, 0, SEEK_END);
    bytes = malloc((size_t)size);
    CHECK(bytes && pread(fd, bytes, (size_t)size, 0) == size);
    close(fd);
    is_sound();
    leaf = page_of(2), branch = page_of(1), large = page_of(4);
    damaged(leaf, 10, 1); /* kind */
    damaged(leaf, 10, 0x22);
    damaged(leaf, 10, 0x4002); /* flags that LMDB only has in memory */
    damaged(leaf, 10, 0x8002);
    damaged(leaf, 12, 15); /* where its free room begins and ends */
    damaged(leaf, 12, 0xfff0);
    damaged(leaf, 14, 20);
    damaged(leaf, 14, 5000);
    damaged(leaf, 16, 4095); /* where its first record lies */
    damaged(leaf, 16, 8);
    damaged(leaf, 16, *(uint16_t *)(bytes + leaf * 4096 + 18)); /* upon the second */
    node = *(uint16_t *)(bytes + leaf * 4096 + 16);
    damaged(leaf, node, 0xfff0); /* the record's size, flags, key */
    damaged(leaf, node + 2u, 1);
    damaged(leaf, node + 4u, 8);
    damaged(leaf, node + 4u, 2);
    damaged(leaf, node + 6u, 600);
    damaged(leaf, node + 8u, 0xffff); /* the first key is no longer the first */
    node = *(uint16_t *)(bytes + branch * 4096 + 18);
    damaged(branch, node, 0xfff0); /* of a page that is not there */
    damaged(branch, node, (uint16_t)branch);
    second = *(uint16_t *)(bytes + branch * 4096 + *(uint16_t *)(bytes + branch * 4096 + 16));
    damaged(branch, node, (uint16_t)second); /* a second time */
    damaged(large, 12, 0);
    damaged(large, 12, 2000);
    damaged(0, 40, 3000); /* the size of a page */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(good_ones_hold_together),
        UNIT(nothing_to_look_at),
        UNIT(damaged_ones_do_not),
    };
    const char *seed = getenv("SEED");

    chance = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    printf("SEED=%llu\n", (unsigned long long)chance);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

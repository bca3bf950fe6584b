/* Queues as files: they appear complete or not at all, and a bad one harms nobody. */
#include "segment.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "client.h"
#include "engine.h"
#include "testing.h"

#define NOBODY 65534

static int attach_error(const char *name)
{
    struct mqxi_queue *q = NULL;
    int r = mqxi_segment_attach(name, &q);

    if (r == 0)
        mqxi_segment_detach(q);
    return r;
}

/* --- life of a queue -------------------------------------------------------------------------- */

static void create_attach_unlink(void)
{
    struct mqxi_attr attr = {7, 300, 0640, MQXI_DURABLE_OFF};
    struct mqxi_unborn unborn;
    struct mqxi_queue *q, *again;
    char path[PATH_MAX];
    struct stat st;

    IS(attach_error("q"), -ENOENT);
    IS(mqxi_segment_build(&attr, &unborn), 0);
    IS(entries(MQXI_QUEUES), 0); /* not before it is linked */
    IS(mqxi_segment_link(&unborn, "q"), 0);
    mqxi_segment_finish(&unborn, true);
    q = unborn.queue;
    again = attach("q");
    IS(again->layout.maxmsg, 7);
    IS(again->layout.msgsize, 300);
    IS(again->header->mode, 0640);
    IS(again->header->kind, MQXI_KIND_POSIX);
    IS(again->header->durable, MQXI_DURABLE_OFF);
    CHECK(again->header->created_ns > 0);
    IS(again->ino, q->ino);
    IS(again->uid, geteuid());
    IS(mqxi_segment_fifo(again, path), 0);
    IS(stat(path, &st), 0);
    IS(st.st_mode, S_IFIFO | 0600);
    IS(mqxi_path(MQXI_QUEUES, "q", path), 0);
    IS(stat(path, &st), 0);
    IS(st.st_mode, S_IFREG | 0600);
    IS(st.st_ino, q->ino);

    IS(mqxi_put(q, "hello", 5, 0, 0, NULL, NULL), 0);
    IS(mqxi_segment_unlink("q"), 0);
    IS(mqxi_segment_unlink("q"), -ENOENT);
    IS(attach_error("q"), -ENOENT);
    IS(entries(MQXI_QUEUES) + entries(MQXI_FIFOS) + entries(MQXI_TMP) + entries(MQXI_GONE), 0);
    IS(mqxi_take(again, &(struct mqxi_taken){0}), 0); /* who has it open goes on */
    mqxi_segment_detach(q);
    mqxi_segment_detach(again);
}

static void name_is_taken(void)
{
    struct mqxi_queue *q = create("q", 4, 16), *other = NULL;

    IS(try_create("q", 5, 16, &other), -EEXIST);
    CHECK(other == NULL);
    IS(entries(MQXI_FIFOS), 1);
    mqxi_segment_detach(q);
    q = attach("q");
    IS(q->layout.maxmsg, 4);
    mqxi_segment_detach(q);
}

static void dropped_unborn_leaves_nothing(void)
{
    struct mqxi_attr attr = {7, 300, 0640, MQXI_DURABLE_OFF};
    struct mqxi_unborn unborn;

    IS(mqxi_segment_build(&attr, &unborn), 0);
    mqxi_segment_finish(&unborn, false);
    CHECK(unborn.queue == NULL);
    attr.maxmsg = 0;
    IS(mqxi_segment_build(&attr, &unborn), -EINVAL);
    IS(entries(MQXI_QUEUES) + entries(MQXI_FIFOS) + entries(MQXI_TMP), 0);
}

static void recreated_is_another(void)
{
    struct mqxi_queue *first = create("q", 4, 16), *second;

    IS(mqxi_segment_unlink("q"), 0);
    second = create("q", 4, 16);
    CHECK(memcmp(first->header->uuid, second->header->uuid, 16) != 0);
    CHECK(first->ino != second->ino);
    IS(mqxi_put(first, "x", 1, 0, 0, NULL, NULL), 0);
    IS(mqxi_count(second), 0);
    mqxi_segment_detach(first);
    mqxi_segment_detach(second);
}

/* mqxd must learn of it: the segment waits for it under its uuid. */
static void unlinked_durable_is_buried(void)
{
    struct mqxi_attr attr = {4, 16, 0600, MQXI_DURABLE_ASYNC};
    struct mqxi_unborn unborn;
    char path[PATH_MAX], name[33] = "";
    struct stat st;

    IS(mqxi_segment_build(&attr, &unborn), 0);
    IS(mqxi_segment_link(&unborn, "q"), 0);
    mqxi_segment_finish(&unborn, true);
    IS(mqxi_segment_unlink("q"), 0);
    IS(entries(MQXI_QUEUES) + entries(MQXI_FIFOS), 0);
    IS(entries(MQXI_GONE), 1);
    for (int i = 0; i < 16; i++)
        snprintf(name + 2 * i, 3, "%02x", unborn.queue->header->uuid[i]);
    IS(mqxi_path(MQXI_GONE, name, path), 0);
    IS(stat(path, &st), 0);
    IS(st.st_ino, unborn.queue->ino);
    mqxi_segment_detach(unborn.queue);
}

static int note_name(const char *name, void *arg)
{
    int n;

    CHECK(sscanf(name, "queue %d", &n) == 1 && n >= 0 && n < 100);
    ++((int *)arg)[n];
    return 0;
}

static int stop_at_third(const char *name, void *arg)
{
    (void)name;
    return ++*(int *)arg == 3 ? 42 : 0;
}

static void list(void)
{
    int seen[100] = {0}, calls = 0;
    char name[32];

    IS(mqxi_segment_list(note_name, seen), 0); /* no directory yet */
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "queue %d", i);
        mqxi_segment_detach(create(name, 1, 1));
    }
    IS(mqxi_segment_list(note_name, seen), 0);
    for (int i = 0; i < 100; i++)
        IS(seen[i], 1);
    IS(mqxi_segment_list(stop_at_third, &calls), 42);
    IS(calls, 3);
}

/* --- racing creators -------------------------------------------------------------------------- */

enum { CREATORS = 8, RACES = SANITIZED ? 40 : 200 };
struct race {
    _Atomic int ready[RACES], winners[RACES], winner[RACES];
};

static void create_or_attach(void *arg)
{
    struct race *race = arg;
    int me = getpid();

    for (int i = 0; i < RACES; i++) {
        struct mqxi_queue *q = NULL;
        char name[32];
        int r;

        snprintf(name, sizeof(name), "q%d", i);
        atomic_fetch_add(&race->ready[i], 1);
        while (atomic_load(&race->ready[i]) < CREATORS)
            sched_yield();
        r = try_create(name, 5, (uint32_t)me, &q); /* its size says whose it is */
        CHECK(r == 0 || r == -EEXIST);
        if (r == 0) {
            atomic_fetch_add(&race->winners[i], 1);
            atomic_store(&race->winner[i], me);
        } else {
            q = attach(name);
            CHECK(q->header->msgsize == q->layout.msgsize && q->header->created_ns > 0);
        }
        if (mqxi_put(q, "x", 1, 0, 0, NULL, NULL) != 0)
            WAIT_FOR(mqxi_count(q) == 5); /* another may just be filling the last slot */
        WAIT_FOR(atomic_load(&race->winner[i]) != 0);
        IS(q->layout.msgsize, atomic_load(&race->winner[i]));
        mqxi_segment_detach(q);
    }
}

static void racing_creators(void)
{
    struct race *race = shared(sizeof(*race));
    pid_t child[CREATORS];

    for (int i = 0; i < CREATORS; i++)
        child[i] = start(create_or_attach, race);
    for (int i = 0; i < CREATORS; i++)
        finish(child[i]);
    for (int i = 0; i < RACES; i++)
        IS(race->winners[i], 1);
    IS(entries(MQXI_QUEUES), RACES);
    IS(entries(MQXI_FIFOS), RACES); /* the losers' are gone */
    IS(entries(MQXI_TMP), 0);
}

/* --- what is no queue ------------------------------------------------------------------------- */

static void queue_path(char *path)
{
    IS(mqxi_path(MQXI_QUEUES, "q", path), 0);
}

/* A file of these bytes, extended to that size, in place of the queue. */
static void forge(const void *bytes, size_t len, off_t size)
{
    char path[PATH_MAX];
    int fd;

    queue_path(path);
    unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    IS(write(fd, bytes, len), len);
    IS(ftruncate(fd, size), 0);
    close(fd);
}

static void no_segment(void)
{
    char path[PATH_MAX], garbage[5000];

    IS(mqxi_dirs_make(), 0);
    queue_path(path);
    memset(garbage, 'x', sizeof(garbage));
    forge(garbage, 0, 0);
    IS(attach_error("q"), -EBADMSG);
    forge(garbage, 10, 10);
    IS(attach_error("q"), -EBADMSG);
    forge(garbage, sizeof(garbage), sizeof(garbage));
    IS(attach_error("q"), -EBADMSG);
    forge(garbage, 0, 1 << 20);
    IS(attach_error("q"), -EBADMSG);
    IS(mqxi_segment_unlink("q"), 0); /* it can be got rid of */
    IS(mkdir(path, 0700), 0);
    IS(attach_error("q"), -EBADMSG);
    IS(rmdir(path), 0);
    IS(mkfifo(path, 0600), 0);
    IS(attach_error("q"), -EBADMSG); /* and does not block */
    IS(mqxi_segment_unlink("q"), 0);
    mqxi_segment_detach(create("target", 4, 16));
    IS(symlink("target", path), 0);
    IS(attach_error("q"), -EBADMSG);
    IS(mqxi_segment_unlink("q"), 0);
    IS(attach_error("target"), 0);
    IS(symlink("nowhere", path), 0);
    IS(attach_error("q"), -EBADMSG);
    IS(mqxi_segment_unlink("q"), 0);
}

static void damaged_header(void)
{
    struct mqxi_queue *q = create("q", 100, 300);
    struct mqxi_header good = *q->header, bad;
    off_t size = (off_t)q->layout.size;

    mqxi_segment_detach(q);
    forge(&good, sizeof(good), size);
    IS(attach_error("q"), 0);
#define DAMAGED(change)                                                                            \
    do {                                                                                           \
        bad = good;                                                                                \
        change;                                                                                    \
        forge(&bad, sizeof(bad), size);                                                            \
        IS(attach_error("q"), -EBADMSG);                                                           \
    } while (0)
    DAMAGED(bad.magic ^= 1);
    DAMAGED(bad.version++);
    DAMAGED(bad.fingerprint ^= 1);
    DAMAGED(bad.maxmsg = 0);
    DAMAGED(bad.maxmsg = 101);
    DAMAGED(bad.maxmsg = UINT32_MAX);
    DAMAGED(bad.msgsize = 0);
    DAMAGED(bad.msgsize = 5000);
    DAMAGED(bad.msgsize = UINT32_MAX);
    forge(&good, sizeof(good), size - 1);
    IS(attach_error("q"), -EBADMSG);
    forge(&good, sizeof(good), size + 1);
    IS(attach_error("q"), -EBADMSG);
    forge(&good, sizeof(good), sizeof(good));
    IS(attach_error("q"), -EBADMSG);
    forge(&good, sizeof(good) - 1, sizeof(good) - 1);
    IS(attach_error("q"), -EBADMSG);
}

/* --- other users ------------------------------------------------------------------------------ */

/* FIFOs of queues to come, as far as their names can be guessed. */
static void squat(void *from)
{
    char path[PATH_MAX];
    uint64_t ino = *(const uint64_t *)from;

    IS(setgid(NOBODY), 0);
    IS(setuid(NOBODY), 0);
    IS(mqxi_path(MQXI_FIFOS, "", path), 0);
    IS(chdir(path), 0);
    for (int i = 0; i < 200; i++) {
        char name[32];

        snprintf(name, sizeof(name), "%lu", (unsigned long)ino + i);
        IS(mkfifo(name, 0600), 0);
        snprintf(name, sizeof(name), "%lu-%016lx", (unsigned long)ino + i, 0ul);
        IS(mkfifo(name, 0600), 0);
    }
}

static void no_name_is_taken_beforehand(void)
{
    struct mqxi_queue *q;
    uint64_t ino;

    if (geteuid() != 0)
        SKIP("needs root, to become another user");
    IS(chmod(mqxi_dir(), 01777), 0);
    q = create("first", 4, 16);
    ino = q->ino; /* the next ones' come soon after it on a tmpfs */
    mqxi_segment_detach(q);
    finish(start(squat, &ino));
    mqxi_segment_detach(create("second", 4, 16));
    mqxi_segment_detach(create("third", 4, 16));
    IS(mqxi_segment_unlink("third"), 0);
    IS(entries(MQXI_FIFOS), 2 + 400);
}

/* Where the segment does not tell its FIFO's name. */
static void damaged_is_unlinked_with_its_fifo(void)
{
    struct mqxi_queue *q;

    mqxi_segment_detach(create("other", 4, 16));
    q = create("q", 4, 16);
    q->header->magic = 0;
    mqxi_segment_detach(q);
    IS(attach_error("q"), -EBADMSG);
    IS(entries(MQXI_FIFOS), 2);
    IS(mqxi_segment_unlink("q"), 0);
    IS(entries(MQXI_FIFOS), 1);
    mqxi_segment_detach(attach("other"));
}

static void as_nobody(void *unused)
{
    struct mqxi_queue *q;

    (void)unused;
    IS(setgid(NOBODY), 0);
    IS(setuid(NOBODY), 0);
    IS(attach_error("roots"), -EACCES);
    IS(attach_error("open"), -EACCES); /* whatever the file's mode says */
    CHECK(mqxi_segment_unlink("roots") < 0);
    IS(try_create("roots", 1, 1, &q), -EEXIST);
    q = create("nobodys", 4, 16);
    IS(q->uid, NOBODY);
    IS(mqxi_put(q, "x", 1, 0, 0, NULL, NULL), 0);
    mqxi_segment_detach(q);
}

static void only_the_owner_and_root_attach(void)
{
    char path[PATH_MAX];
    struct mqxi_queue *q;
    struct mqxi_taken t;

    if (geteuid() != 0)
        SKIP("needs root, to become another user");
    IS(chmod(mqxi_dir(), 01777), 0);
    mqxi_segment_detach(create("roots", 4, 16));
    mqxi_segment_detach(create("open", 4, 16));
    IS(mqxi_path(MQXI_QUEUES, "open", path), 0);
    IS(chmod(path, 0666), 0);
    finish(start(as_nobody, NULL));
    q = attach("nobodys");
    IS(q->uid, NOBODY);
    IS(mqxi_take(q, &t), 0);
    IS(t.uid, NOBODY);
    IS(mqxi_take_commit(q, &t), 0);
    mqxi_segment_detach(q);
}

/* --- a full tmpfs ----------------------------------------------------------------------------- */

/* Occupies what is left, but for so many bytes. */
static void leave_room(off_t room)
{
    static char page[4096];
    char path[PATH_MAX];
    int fd;

    snprintf(path, sizeof(path), "%s/filler", mqxi_dir());
    unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    memset(page, 1, sizeof(page));
    while (write(fd, page, sizeof(page)) > 0)
        ;
    IS(ftruncate(fd, lseek(fd, 0, SEEK_END) - room), 0);
    close(fd);
}

static void full_at_creation(void)
{
    int failures = 0, r;

    if (!small_tmpfs("size=1m"))
        SKIP("cannot mount a small tmpfs");
    for (off_t room = 0;; room += 4096, failures++) {
        struct mqxi_queue *q = NULL;

        CHECK(room < 1 << 20);
        leave_room(room);
        r = try_create("q", 100, 16, &q);
        if (r == 0)
            break;
        IS(r, -ENOSPC);
        IS(entries(MQXI_QUEUES) + entries(MQXI_FIFOS) + entries(MQXI_TMP), 0);
    }
    CHECK(failures > 1); /* the first page was not all that can be missing */
}

static uint32_t put_until_error(struct mqxi_queue *q, const void *data, uint32_t len, int *error)
{
    uint32_t count = 0;

    while ((*error = mqxi_put(q, data, len, 0, count, NULL, NULL)) == 0)
        count++;
    return count;
}

static void take_all(struct mqxi_queue *q, uint32_t count)
{
    struct mqxi_taken t;

    for (uint32_t i = 0; i < count; i++) {
        IS(mqxi_take(q, &t), 0);
        IS(t.type, i);
        IS(mqxi_take_commit(q, &t), 0);
    }
    IS(mqxi_take(q, &t), -EAGAIN);
}

/* A queue whose tree has its root on a page of its own. */
static uint32_t lonely_root(void)
{
    struct mqxi_layout l = {0};
    uint32_t maxmsg = 10000;

    for (bool lonely = false; !lonely; maxmsg++) {
        IS(mqxi_layout(maxmsg, 16, &l), 0);
        lonely = l.slots % MQXI_PAGE == 0 && l.tree / MQXI_PAGE < l.slots / MQXI_PAGE - 1;
    }
    return l.maxmsg;
}

/* What there was room for can be received, and sent again, whatever the receiver looks at. */
static void full_after_a_message(void)
{
    struct mqxi_queue *q;

    if (!small_tmpfs("size=4m"))
        SKIP("cannot mount a small tmpfs");
    q = create("q", lonely_root(), 16);
    IS(mqxi_put(q, "x", 1, 0, 0, NULL, NULL), 0);
    leave_room(0);
    take_all(q, 1);
    IS(mqxi_put(q, "x", 1, 0, 0, NULL, NULL), 0);
    take_all(q, 1);
    mqxi_segment_detach(q);
}

/* As many messages as there is room for; the others are refused, and fit when there is room. */
static void full_at_growth(void)
{
    enum { MESSAGES = 200000 };
    struct mqxi_queue *q;
    uint32_t count;
    int error;

    if (!small_tmpfs("size=8m"))
        SKIP("cannot mount a small tmpfs");
    q = create("q", MESSAGES, 64);
    for (int round = 0; round < 3; round++) {
        count = put_until_error(q, "x", 1, &error);
        IS(error, -ENOSPC);
        if ((uint64_t)count * 300 < 8 << 20)
            FAIL("only %u messages found room in 8 MiB", count);
        IS(mqxi_count(q), count);
        take_all(q, count);
    }
    IS(mount("small", mqxi_dir(), "tmpfs", MS_REMOUNT, "size=200m"), 0);
    count = put_until_error(q, "x", 1, &error);
    IS(error, -EAGAIN);
    IS(count, MESSAGES);
    take_all(q, count);
    mqxi_segment_detach(q);
}

/* A large message that finds no room leaves nothing behind, and others still find theirs. */
static void full_at_a_large_message(void)
{
    static uint8_t data[1 << 20];
    struct mqxi_queue *q, *other;
    uint64_t before;
    int error;

    if (!small_tmpfs("size=6600k"))
        SKIP("cannot mount a small tmpfs");
    q = create("q", 100, sizeof(data));
    other = create("other", 4, 16);
    IS(mqxi_put(other, "x", 1, 0, 0, NULL, NULL), 0);
    for (int round = 0; round < 3; round++) {
        IS(put_until_error(q, data, sizeof(data), &error), 6);
        IS(error, -ENOSPC);
        before = occupied("q");
        for (int i = 0; i < 200; i++) /* nor does it cost a slot */
            IS(mqxi_put(q, data, sizeof(data), 0, 0, NULL, NULL), -ENOSPC);
        IS(occupied("q"), before);
        CHECK(before < (6 << 20) + (64 << 10));
        IS(mqxi_put(q, data, 200, 0, 6, NULL, NULL), 0); /* a smaller one fits */
        IS(mqxi_count(q), 7);
        take_all(q, 7);
    }
    mqxi_segment_detach(q);
    mqxi_segment_detach(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(create_attach_unlink),
        UNIT(name_is_taken),
        UNIT(dropped_unborn_leaves_nothing),
        UNIT(recreated_is_another),
        UNIT(unlinked_durable_is_buried),
        UNIT(list),
        UNIT(racing_creators),
        UNIT(no_segment),
        UNIT(damaged_header),
        UNIT(no_name_is_taken_beforehand),
        UNIT(damaged_is_unlinked_with_its_fifo),
        UNIT(only_the_owner_and_root_attach),
        UNIT(full_at_creation),
        UNIT(full_after_a_message),
        UNIT(full_at_growth),
        UNIT(full_at_a_large_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

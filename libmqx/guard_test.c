/* A segment that vanishes under us costs that queue, not the process. */
#include "guard.c" /* its fallback for old kernels is called, its list looked at */

#include "engine.h"
#include "repair.h"
#include "testing.h"

static void truncate_queue(const char *name, off_t size)
{
    char path[PATH_MAX];

    IS(mqxi_path(MQXI_QUEUES, name, path), 0);
    IS(truncate(path, size), 0);
}

static int put(struct mqxi_queue *q, uint32_t len)
{
    static const uint8_t data[8192];

    return mqxi_put(q, data, len, 0, 0, NULL, NULL);
}

static void works(struct mqxi_queue *q)
{
    struct mqxi_taken t;

    IS(put(q, 100), 0);
    IS(put(q, 8000), 0);
    IS(mqxi_count(q), 2);
    for (int i = 0; i < 2; i++) {
        IS(mqxi_take(q, &t), 0);
        IS(mqxi_take_commit(q, &t), 0);
    }
    IS(mqxi_repair(q, NULL), 0);
}

/* --- truncated -------------------------------------------------------------------------------- */

static struct mqxi_taken held;

static int do_put(struct mqxi_queue *q)
{
    return put(q, 100);
}

static int do_take(struct mqxi_queue *q)
{
    return mqxi_take(q, &(struct mqxi_taken){0});
}

static int do_commit(struct mqxi_queue *q)
{
    return mqxi_take_commit(q, &held);
}

static int do_abort(struct mqxi_queue *q)
{
    return mqxi_take_abort(q, &held);
}

static int do_count(struct mqxi_queue *q)
{
    mqxi_count(q);
    return -EIO; /* it has no error: the next one tells */
}

static int do_bytes(struct mqxi_queue *q)
{
    mqxi_bytes(q);
    return -EIO;
}

static int do_repair(struct mqxi_queue *q)
{
    return mqxi_repair(q, NULL);
}

static int (*const operations[])(struct mqxi_queue *) = {do_put,   do_take,  do_commit, do_abort,
                                                         do_count, do_bytes, do_repair};
#define OPERATIONS (sizeof(operations) / sizeof(*operations))

/* The first operation after a truncation, and all that follow. */
static void truncated(uint32_t maxmsg, unsigned first, off_t size)
{
    struct mqxi_queue *q = create("q", maxmsg, 8192), *other = create("other", 100, 8192);

    for (uint32_t i = 0; i < maxmsg; i++)
        IS(put(q, i % 2 ? 8000 : 100), 0);
    IS(mqxi_take(q, &held), 0);
    works(other);
    truncate_queue("q", size);
    IS(operations[first](q), -EIO);
    for (unsigned i = 0; i < OPERATIONS; i++)
        IS(operations[i](q), -EIO);
    IS(atomic_load(&q->dead), true);
    works(other);
    mqxi_segment_detach(q);
    works(other);
    mqxi_segment_detach(other);
    IS(mqxi_segment_unlink("q"), 0);
    IS(mqxi_segment_unlink("other"), 0);
}

static void truncated_to_nothing(void)
{
    for (unsigned i = 0; i < OPERATIONS; i++) {
        truncated(10, i, 0);
        truncated(300, i, 0);
    }
}

/* The header and the first control words are there; these two need no more. */
static void truncated_to_the_header(void)
{
    for (unsigned i = 0; i < OPERATIONS; i++)
        if (operations[i] != do_commit && operations[i] != do_abort)
            truncated(5000, i, MQXI_PAGE);
}

static int read_slowly(const struct mqxi_taken *t)
{
    int sum = 0;

    for (uint32_t i = 0; i < t->len; i++)
        sum += ((volatile const uint8_t *)t->data)[i];
    return sum;
}

/* While a message is copied out of its overflow, and while one is copied in. */
static void truncated_payload(void)
{
    struct mqxi_queue *q = create("q", 10, 8192);
    off_t overflow = (off_t)q->layout.overflow;

    IS(put(q, 8192), 0);
    IS(mqxi_take(q, &held), 0);
    truncate_queue("q", overflow);
    read_slowly(&held);
    IS(mqxi_take_commit(q, &held), -EIO);
    IS(put(q, 1), -EIO);
    mqxi_segment_detach(q);
    IS(mqxi_segment_unlink("q"), 0);

    q = create("q", 10, 8192);
    IS(put(q, 8192), 0); /* its pages are there, and stay for the next message */
    IS(mqxi_take(q, &held), 0);
    IS(mqxi_take_commit(q, &held), 0);
    truncate_queue("q", overflow);
    IS(put(q, 8192), -EIO);
    IS(put(q, 1), -EIO);
    mqxi_segment_detach(q);
}

static void extended_again(void)
{
    struct mqxi_queue *q = create("q", 10, 100);
    uint64_t size = q->layout.size;

    truncate_queue("q", 0);
    IS(do_take(q), -EIO);
    truncate_queue("q", (off_t)size);
    IS(do_take(q), -EIO); /* once gone, gone */
    IS(do_put(q), -EIO);
    mqxi_segment_detach(q);
}

/* More queues than fit into one chunk of the list. */
static void one_of_many(void)
{
    enum { QUEUES = 3 * PER_CHUNK + 10 };
    static struct mqxi_queue *q[QUEUES];
    char name[16];

    for (int i = 0; i < QUEUES; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        q[i] = create(name, 10, 8192);
    }
    for (int i = 0; i < QUEUES; i += 61) {
        snprintf(name, sizeof(name), "q%d", i);
        truncate_queue(name, 0);
    }
    for (int i = 0; i < QUEUES; i++) {
        if (i % 61 == 0)
            IS(do_put(q[i]), -EIO);
        else
            works(q[i]);
    }
    for (int i = 0; i < QUEUES; i++)
        mqxi_segment_detach(q[i]);
}

static void entries_are_used_again(void)
{
    mqxi_segment_detach(create("q", 10, 100));
    for (int i = 0; i < 10 * PER_CHUNK; i++)
        mqxi_segment_detach(attach("q"));
    CHECK(atomic_load(&first_chunk.next) == NULL);
    CHECK(!atomic_load(&first_chunk.watch[0].claimed));
}

/* --- other people's SIGBUS -------------------------------------------------------------------- */

/* A mapping of a file that has no such page. */
static uint8_t *beyond_the_end(size_t pages)
{
    char path[PATH_MAX];
    uint8_t *p;
    int fd;

    snprintf(path, sizeof(path), "%s/empty", mqxi_dir());
    fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    p = mmap(NULL, pages * MQXI_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    close(fd);
    return p;
}

static sigjmp_buf out;
static volatile void *address;

static void take_it(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    address = info->si_addr;
    siglongjmp(out, 1);
}

static void take_it_plainly(int sig)
{
    (void)sig;
    siglongjmp(out, 2);
}

static void goes_to_the_handler_before(void)
{
    uint8_t *page = beyond_the_end(1);
    struct sigaction action = {.sa_sigaction = take_it, .sa_flags = SA_SIGINFO};
    struct mqxi_queue *q;

    IS(sigaction(SIGBUS, &action, NULL), 0);
    q = create("q", 10, 8192);
    if (sigsetjmp(out, 1) == 0) {
        page[5] = 1;
        FAIL("no SIGBUS");
    }
    CHECK(address == page + 5);
    address = NULL;
    if (sigsetjmp(out, 1) == 0) {
        kill(getpid(), SIGBUS); /* sent, not raised by an address */
        FAIL("no SIGBUS");
    }
    works(q);
    truncate_queue("q", 0);
    IS(do_put(q), -EIO);
    mqxi_segment_detach(q);
}

static void goes_to_a_plain_handler_before(void)
{
    uint8_t *page = beyond_the_end(1);

    signal(SIGBUS, take_it_plainly);
    mqxi_segment_detach(create("q", 10, 100));
    if (sigsetjmp(out, 1) == 0) {
        *page = 1;
        FAIL("no SIGBUS");
    }
}

static void touch_it(void *page)
{
    signal(SIGBUS, SIG_DFL);
    mqxi_segment_detach(create("q", 10, 100));
    *(volatile uint8_t *)page = 1;
}

static void send_it(void *unused)
{
    (void)unused;
    signal(SIGBUS, SIG_DFL);
    mqxi_segment_detach(create("other", 10, 100));
    kill(getpid(), SIGBUS);
    kill(getpid(), SIGBUS);
}

static void kills_where_there_was_no_handler(void)
{
    pid_t child = start(touch_it, beyond_the_end(1));
    int status;

    IS(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    child = start(send_it, NULL);
    IS(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

/* --- pages that may not be had ---------------------------------------------------------------- */

static void populating(int (*populate)(uint8_t *start, size_t len))
{
    uint8_t *page = beyond_the_end(100);
    char path[PATH_MAX];

    IS(populate(page, 100 * MQXI_PAGE), -ENOSPC);
    IS(populate(page, MQXI_PAGE), -ENOSPC);
    snprintf(path, sizeof(path), "%s/empty", mqxi_dir());
    IS(truncate(path, 50 * MQXI_PAGE), 0);
    page[MQXI_PAGE] = 7;
    IS(populate(page, 50 * MQXI_PAGE), 0);
    IS(page[MQXI_PAGE], 7); /* as it was */
    for (int i = 0; i < 50; i++)
        CHECK(page[i * MQXI_PAGE] == 0 || i == 1);
    IS(populate(page, 50 * MQXI_PAGE), 0);
    IS(populate(page, 51 * MQXI_PAGE), -ENOSPC);
    munmap(page, 100 * MQXI_PAGE);
}

static int by_advice(uint8_t *start, size_t len)
{
    return mqxi_guard_populate(start, len);
}

static void populate_by_advice(void)
{
    populating(by_advice);
}

static void populate_by_touching(void)
{
    struct mqxi_queue *q = create("q", 10, 8192);

    populating(touch);
    truncate_queue("q", 0); /* and the guard is on again */
    IS(do_put(q), -EIO);
    mqxi_segment_detach(q);
}

/* Pages exist afterwards, so that no later write can fail. */
static void populated_pages_stay(int (*populate)(uint8_t *start, size_t len))
{
    char path[PATH_MAX];
    struct stat st;
    uint8_t *page = beyond_the_end(64);

    snprintf(path, sizeof(path), "%s/empty", mqxi_dir());
    IS(truncate(path, 64 * MQXI_PAGE), 0);
    IS(populate(page, 64 * MQXI_PAGE), 0);
    IS(stat(path, &st), 0);
    IS(st.st_blocks * 512, 64 * MQXI_PAGE);
    IS(truncate(path, 0), 0);
    munmap(page, 64 * MQXI_PAGE);
}

static void full_tmpfs(void)
{
    uint8_t *page;
    char path[PATH_MAX];

    if (!small_tmpfs("size=512k"))
        SKIP("cannot mount a small tmpfs");
    populated_pages_stay(by_advice);
    populated_pages_stay(touch);
    page = beyond_the_end(1000);
    snprintf(path, sizeof(path), "%s/empty", mqxi_dir());
    IS(truncate(path, 1000 * MQXI_PAGE), 0);
    IS(by_advice(page, 1000 * MQXI_PAGE), -ENOSPC);
    IS(touch(page, 1000 * MQXI_PAGE), -ENOSPC);
    IS(truncate(path, 0), 0);
    IS(truncate(path, 100 * MQXI_PAGE), 0);
    IS(touch(page, 100 * MQXI_PAGE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(truncated_to_nothing),
        UNIT(truncated_to_the_header),
        UNIT(truncated_payload),
        UNIT(extended_again),
        UNIT(one_of_many),
        UNIT(entries_are_used_again),
        UNIT(goes_to_the_handler_before),
        UNIT(goes_to_a_plain_handler_before),
        UNIT(kills_where_there_was_no_handler),
        UNIT(populate_by_advice),
        UNIT(populate_by_touching),
        UNIT(full_tmpfs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

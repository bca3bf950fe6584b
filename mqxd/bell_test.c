/* mqxd's lock and doorbell, among others who can write to the same directory. */
#include "bell.h"

#include <fcntl.h>

#include "durable.h"
#include "testing.h"
#include "wait.h"

static struct bell bell;

static char *path_of(const char *file)
{
    static char path[PATH_MAX];

    IS(mqxi_dirs_make(), 0);
    IS(mqxi_mqxd_path(file, geteuid(), path), 0);
    return path;
}

static void is_taken(void)
{
    struct mqxi_queue *q;

    IS(bell_take(&bell), 0);
    IS(mqxi_mqxd_holds(geteuid(), MQXI_LOCK_RUNS), 1);
    CHECK(!mqxi_mqxd_alive(geteuid())); /* not before what it has is restored */
    IS(bell_serve(&bell), 0);
    CHECK(mqxi_mqxd_alive(geteuid()));
    /* What the library rings is what we hear. */
    CHECK(!bell_rescan(&bell));
    q = create("q", 10, 10);
    mqxi_durable_mark(q, 0);
    CHECK(mqxi_event_read(&bell.page->event) != 0);
    mqxi_durable_rescan(geteuid());
    CHECK(bell_rescan(&bell));
    CHECK(!bell_rescan(&bell));
}

static void taken(void)
{
    path_of("");
    is_taken();
}

static void only_once(void)
{
    struct bell second;

    path_of("");
    is_taken();
    IS(bell_take(&second), -EBUSY);
    CHECK(mqxi_mqxd_alive(geteuid()));
    close(bell.lock);
    CHECK(!mqxi_mqxd_alive(geteuid()));
    IS(bell_take(&second), 0);
    CHECK(atomic_load(&second.page->event) == atomic_load(&bell.page->event)); /* the same page */
}

/* Whoever may read a file can put a read lock on it, and that would keep us from ours. */
static void read_lock(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_len = 2};
    char *path = path_of(MQXI_LOCK_FILE);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);

    CHECK(fd >= 0);
    close(fd);
    fd = open(path, O_RDONLY);
    IS(fcntl(fd, F_OFD_SETLK, &lock), 0);
    is_taken();
}

static void anothers_files(void)
{
    char *path;

    if (geteuid() != 0)
        SKIP("only root can give files away");
    for (int i = 0; i < 2; i++) {
        path = path_of(i ? MQXI_BELL_FILE : MQXI_LOCK_FILE);
        close(open(path, O_RDWR | O_CREAT | O_EXCL, 0666));
        IS(chown(path, 12345, 12345), 0);
    }
    is_taken();
}

static void symbolic_links(void)
{
    char target[PATH_MAX + 10];
    struct stat st;

    snprintf(target, sizeof(target), "%s/target", getenv("MQX_DIR"));
    close(open(target, O_RDWR | O_CREAT | O_EXCL, 0600));
    IS(symlink(target, path_of(MQXI_LOCK_FILE)), 0);
    IS(symlink(target, path_of(MQXI_BELL_FILE)), 0);
    is_taken();
    IS(stat(target, &st), 0);
    IS(st.st_size, 0);
}

static void unusable_doorbell(void)
{
    int fd = open(path_of(MQXI_BELL_FILE), O_RDWR | O_CREAT | O_EXCL, 0600);

    IS(write(fd, "of another version", 18), 18);
    IS(ftruncate(fd, MQXI_PAGE), 0);
    is_taken();
}

static void truncated_doorbell(void)
{
    struct mqxi_doorbell *page;
    struct mqxi_queue *q;
    uint32_t seen;

    path_of("");
    is_taken();
    page = bell.page;
    q = attach("q");
    IS(truncate(path_of(MQXI_BELL_FILE), 0), 0);
    mqxi_event_read(&page->event);
    CHECK(atomic_load(&bell.guarded.dead));
    IS(bell_check(&bell), 1);
    IS(bell_check(&bell), 0);
    CHECK(bell.page == page);
    seen = mqxi_event_read(&page->event);
    mqxi_durable_rescan(geteuid());
    CHECK(bell_rescan(&bell));
    CHECK(mqxi_event_read(&page->event) != seen);
    mqxi_segment_detach(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(taken),
        UNIT(only_once),
        UNIT(read_lock),
        UNIT(anothers_files),
        UNIT(symbolic_links),
        UNIT(unusable_doorbell),
        UNIT(truncated_doorbell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

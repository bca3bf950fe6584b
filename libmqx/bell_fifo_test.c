/* The FIFO shows what the queue is: to those who poll, and at no cost to others. */
#include "bell_testing.h"

#include <dirent.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "client.h"
#include "repair.h"
#include "slots.h"
#include "sys.h"

static int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* --- readiness -------------------------------------------------------------------------------- */

static void readiness_of(uint32_t maxmsg)
{
    struct mqxi_queue *q = create("q", maxmsg, 8);

    IS(mqxi_readiness(q), SEND);
    for (uint32_t i = 1; i <= maxmsg; i++) {
        put(q);
        IS(mqxi_readiness(q), i < maxmsg ? BOTH : RECEIVE);
    }
    for (uint32_t i = maxmsg; i > 0; i--) {
        take(q);
        IS(mqxi_readiness(q), i > 1 ? BOTH : SEND);
    }
}

static void readiness_is_exact_in_any_size(void)
{
    const uint32_t sizes[] = {1, 2, 10, 63, 64, 65, 128, 129, 300, 5000};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        readiness_of(sizes[i]);
        IS(mqxi_segment_unlink("q"), 0);
    }
}

/* Free slots and messages at random, in front and tree. */
static void readiness_of_scattered_messages(void)
{
    struct mqxi_queue *q = create("q", 200, 8);
    uint64_t random = 1;
    uint32_t count = 0;

    for (int i = 0; i < 20000; i++) {
        bool more = below(&random, 2 * 200) >= count || i % 1000 > 900;

        if (more && count < 200) {
            IS(mqxi_put(q, "x", 1, below(&random, 50), 0, NULL, NULL), 0);
            count++;
        } else if (!more && count > 0) {
            take(q);
            count--;
        }
        IS(mqxi_readiness(q), (count > 0 ? RECEIVE : 0) | (count < 200 ? SEND : 0));
    }
}

/* A message that is being sent or received is neither room nor a message. */
static void readiness_while_others_are_at_it(void)
{
    struct mqxi_queue *q = create("q", 1, 8);
    struct mqxi_taken taken;
    uint64_t seen;
    uint32_t slot;
    int error;

    IS(mqxi_slot_claim(q, atomic_load(&mqxi_client_self(q->registry, &error)->owner), &slot, &seen),
       0);
    IS(mqxi_readiness(q), 0);
    mqxi_slot_release(q, slot);
    put(q);
    IS(mqxi_take(q, &taken), 0);
    IS(mqxi_readiness(q), 0);
    IS(mqxi_take_abort(q, &taken), 0);
    IS(mqxi_readiness(q), RECEIVE);
}

/* --- the FIFO --------------------------------------------------------------------------------- */

static void nobody_polls(void)
{
    struct mqxi_queue *q = create("q", 2, 8);
    int fd = open_fifo(q), bytes = -1;

    for (int i = 0; i < 10; i++) {
        fill(q);
        take(q);
        take(q);
    }
    put(q);
    IS(ioctl(fd, FIONREAD, &bytes), 0);
    IS(bytes, 0);
    IS(atomic_load(&q->header->shown), 0);
    IS(atomic_load(&q->header->put_tells), 0);
    IS(atomic_load(&q->header->take_tells), 0);
}

static void armed_of(uint32_t maxmsg)
{
    struct mqxi_queue *q = create("q", maxmsg, 8);
    int fd = open_fifo(q);

    for (int round = 0; round < 3; round++) {
        arm(q);
        IS(shows(fd), SEND);
        put(q); /* shown by who puts it */
        CHECK(shows(fd) & RECEIVE);
        arm(q);
        IS(shows(fd), maxmsg > 1 ? BOTH : RECEIVE);
        fill(q);
        arm(q);
        IS(shows(fd), RECEIVE);
        take(q); /* shown by who takes it */
        CHECK(shows(fd) & SEND);
        while (mqxi_readiness(q) & RECEIVE)
            take(q);
    }
    close(fd);
}

static void shows_all_that_begins(void)
{
    const uint32_t sizes[] = {1, 2, 3, 64, 65, 200};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        armed_of(sizes[i]);
        IS(mqxi_segment_unlink("q"), 0);
    }
}

/* Senders faster than who polls, or the other way round: nothing is to be done. */
static void what_is_shown_stays(void)
{
    struct mqxi_queue *q = create("q", 3, 8);
    uint32_t shown;

    open_fifo(q);
    arm(q);
    put(q);
    shown = atomic_load(&q->header->shown);
    for (int i = 0; i < 100; i++) {
        put(q);
        take(q);
        take(q);
        put(q);
    }
    IS(atomic_load(&q->header->shown), shown);
}

/* With MQXI_TELLS_EXACT or EDGES, always. */
static void exact_of(uint32_t tells, uint32_t maxmsg)
{
    struct mqxi_queue *q = create("q", maxmsg, 8);
    int fd = open_fifo(q);

    IS(mqxi_bell_watch(q, tells), 0);
    for (uint32_t i = 0; i < maxmsg; i++) {
        IS(shows(fd), i == 0 ? SEND : BOTH);
        put(q);
    }
    for (uint32_t i = 0; i < maxmsg; i++) {
        IS(shows(fd), i == 0 ? RECEIVE : BOTH);
        take(q);
    }
    IS(shows(fd), SEND);
    close(fd);
    IS(mqxi_segment_unlink("q"), 0);
}

static void exact_for_who_cannot_look(void)
{
    for (uint32_t maxmsg = 1; maxmsg < 5; maxmsg++) {
        exact_of(MQXI_TELLS_EXACT, maxmsg);
        exact_of(MQXI_TELLS_EDGES, maxmsg);
    }
}

/* Edges in an epoll set, for readers and writers: one for each change. */
static void one_edge_a_change(void)
{
    struct mqxi_queue *q = create("q", 3, 8);
    int fd = open_fifo(q), set = epoll_create1(0);
    struct epoll_event both = {EPOLLIN | EPOLLOUT | EPOLLET, {0}}, got;

    IS(mqxi_bell_watch(q, MQXI_TELLS_EDGES), 0);
    IS(epoll_ctl(set, EPOLL_CTL_ADD, fd, &both), 0);
    IS(epoll_pwait(set, &got, 1, 0, NULL), 1);
    for (int i = 0; i < 12; i++) {
        IS(epoll_pwait(set, &got, 1, 0, NULL), 0);
        i % 6 < 3 ? put(q) : take(q);
        IS(epoll_pwait(set, &got, 1, 0, NULL), 1);
    }
}

static void nobody_has_polled_for_long(void)
{
    struct mqxi_queue *q = create("q", 2, 8);
    int fd = open_fifo(q);

    arm(q);
    atomic_store(&q->header->watched, 1);
    put(q);
    IS(shows(fd), SEND);
    IS(atomic_load(&q->header->put_tells), 0); /* and nobody looks for it any more */
    IS(atomic_load(&q->header->take_tells), 0);
    arm(q); /* now somebody does again */
    IS(shows(fd), BOTH);
    take(q);
    arm(q);
    put(q);
    IS(shows(fd), BOTH);
    /* For ever, once it was in an epoll set. */
    IS(mqxi_bell_watch(q, 0), 0);
    IS(atomic_load(&q->header->watched), UINT32_MAX);
    IS(mqxi_bell_arm(q), 0);
    IS(atomic_load(&q->header->watched), UINT32_MAX);
    /* The clock was set back. */
    atomic_store(&q->header->watched, UINT32_MAX - 1);
    IS(mqxi_bell_arm(q), 0);
    CHECK(atomic_load(&q->header->watched) < UINT32_MAX - 1);
}

/* --- what can be wrong with it ------------------------------------------------------------------
 */

/* All that `shown` and the FIFO can say, whatever the queue is. */
static void lies_are_mended(void)
{
    struct mqxi_queue *q = create("q", 2, 8);
    int fd = open_fifo(q);
    static char bytes[4096]; /* a packet, where it is as large as a page */

    for (unsigned messages = 0; messages <= 2; messages++) {
        for (uint32_t shown = 0; shown < 8; shown++)
            for (int packets = 0; packets <= 16; packets++) {
                while (read(fd, bytes, sizeof(bytes)) > 0)
                    ;
                fcntl(fd, F_SETPIPE_SZ, 65536);
                for (int i = 0; i < packets; i++)
                    IS(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
                if (packets > 0 && packets < 16)
                    IS(write(fd, bytes, 10), 10);
                atomic_store(&q->header->shown, shown);
                IS(mqxi_bell_adjust(q), 0);
                IS(shows(fd), mqxi_readiness(q));
                IS(atomic_load(&q->header->shown) & BOTH, mqxi_readiness(q));
            }
        if (messages < 2)
            put(q);
    }
}

/* A FIFO that nobody had open meanwhile is empty again. */
static void forgotten(void)
{
    struct mqxi_queue *q = create("q", 2, 8);
    int fd = open_fifo(q);

    fill(q);
    IS(mqxi_bell_watch(q, 0), 0);
    IS(shows(fd), RECEIVE);
    close(fd);
    fd = open_fifo(q);
    IS(shows(fd), SEND);
    IS(mqxi_bell_adjust(q), 0);
    IS(shows(fd), RECEIVE);
}

static void unlinked(void)
{
    struct mqxi_queue *q = create("q", 2, 8);
    int fd = open_fifo(q), wrong[2];
    struct mqxi_stat st;

    IS(mqxi_sys_stat(fd, "", &st), 0);
    atomic_store(&q->fifo, st.ino);
    atomic_store(&q->fd, fd);
    IS(mqxi_segment_unlink("q"), 0);
    put(q);
    IS(mqxi_bell_watch(q, 0), 0);
    IS(shows(fd), BOTH);
    fill(q);
    IS(mqxi_bell_adjust(q), 0);
    IS(shows(fd), RECEIVE);
    /* Never into what else has the number now. */
    IS(pipe(wrong), 0);
    IS(dup2(wrong[1], fd), fd);
    take(q);
    CHECK(mqxi_bell_adjust(q) < 0);
    IS(shows(wrong[0]), 0);
}

/* Somebody put another FIFO in its place. */
static void replaced(void)
{
    struct mqxi_queue *q = create("q", 2, 8);
    int fd = open_fifo(q), other;
    char path[PATH_MAX];
    struct mqxi_stat st;

    IS(mqxi_sys_stat(fd, "", &st), 0);
    atomic_store(&q->fifo, st.ino);
    atomic_store(&q->fd, fd);
    IS(mqxi_segment_fifo(q, path), 0);
    IS(unlink(path), 0);
    IS(mkfifo(path, 0600), 0);
    other = open_fifo(q);
    put(q);
    IS(mqxi_bell_watch(q, 0), 0);
    IS(shows(fd), BOTH);
    IS(shows(other), SEND);
    /* Or something else. */
    IS(unlink(path), 0);
    close(open(path, O_CREAT | O_RDWR, 0600));
    take(q);
    IS(mqxi_bell_adjust(q), 0);
    IS(shows(fd), SEND);
    IS(open(path, O_RDONLY) >= 0, true);
    IS(lseek(open(path, O_RDONLY), 0, SEEK_END), 0);
}

/* Nor is such a thing opened as the queue's. */
static void opened_in_its_place(void)
{
    char path[PATH_MAX], real[PATH_MAX + 8];
    struct mqxi_queue *q = create("q", 2, 8);

    IS(mqxi_segment_fifo(q, path), 0);
    snprintf(real, sizeof(real), "%s.real", path);
    IS(rename(path, real), 0);
    for (int i = 0; i < 5; i++) {
        switch (i) {
        case 0:
            IS(symlink(real, path), 0);
            break;
        case 1:
            close(open(path, O_CREAT | O_RDWR, 0600));
            break;
        case 2:
            IS(mknod(path, S_IFSOCK | 0600, 0), 0);
            break;
        case 3:
            IS(mkdir(path, 0700), 0);
            break;
        case 4: /* another user's */
            IS(mkfifo(path, 0600), 0);
            if (chown(path, 65534, (gid_t)-1) < 0)
                return;
        }
        errno = 0;
        IS(mq_open("/q", O_RDWR), -1);
        IS(errno, EIO);
        IS(remove(path), 0);
    }
    IS(rename(real, path), 0);
    CHECK(mq_open("/q", O_RDWR) >= 0);
}

static void no_descriptor_is_kept(void)
{
    struct mqxi_queue *q = create("q", 2, 8);
    int before;

    open_fifo(q);
    put(q);
    before = descriptors();
    IS(mqxi_bell_watch(q, MQXI_TELLS_EDGES), 0);
    for (int i = 0; i < 10; i++) {
        put(q);
        IS(descriptors(), before);
        take(q);
    }
    IS(descriptors(), before);
}

/* For the moment that it takes, a process at its limit gets one. */
static void no_descriptor_is_left(void)
{
    const uint32_t tells[] = {0, MQXI_TELLS_EXACT, MQXI_TELLS_EDGES};
    struct mqxi_queue *q = create("q", 2, 8);
    int fd = open_fifo(q);
    struct rlimit limit;

    IS(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)fd + 1;
    IS(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (unsigned i = 0; i < 3; i++) {
        IS(mqxi_bell_watch(q, tells[i]), 0);
        put(q);
        IS(shows(fd), BOTH);
        put(q);
        IS(mqxi_bell_adjust(q), 0);
        IS(shows(fd), RECEIVE);
        take(q);
        IS(shows(fd), BOTH);
        take(q);
    }
}

/* A slot whose message could not be filled in is room again, and that is shown. */
static void what_repair_brings_back(void)
{
    struct mqxi_queue *q = create("q", 1, 8);
    int fd = open_fifo(q), error;
    uint64_t seen, mine;
    uint32_t slot;

    mine = atomic_load(&mqxi_client_self(q->registry, &error)->owner);
    /* Of an owner that never was. */
    IS(mqxi_slot_claim(q, mine + (UINT64_C(1) << 44), &slot, &seen), 0);
    atomic_store(&q->header->shown, RECEIVE);
    IS(mqxi_bell_watch(q, 0), 0);
    atomic_store(&q->header->shown, RECEIVE);
    IS(mqxi_repair(q, NULL), 0);
    IS(mqxi_readiness(q), SEND);
    CHECK(shows(fd) & SEND);
}

/* Nothing is to be shown, again and again: that nobody polls is noticed nevertheless. */
static void disarmed_at_rest(void)
{
    struct mqxi_queue *q = create("q", 5, 8);

    open_fifo(q);
    put(q);
    arm(q);
    atomic_store(&q->header->watched, 1);
    for (int i = 0; i < 1000; i++) {
        put(q);
        take(q);
    }
    IS(atomic_load(&q->header->put_tells), 0);
    IS(atomic_load(&q->header->take_tells), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(readiness_is_exact_in_any_size),
        UNIT(readiness_of_scattered_messages),
        UNIT(readiness_while_others_are_at_it),
        UNIT(nobody_polls),
        UNIT(shows_all_that_begins),
        UNIT(what_is_shown_stays),
        UNIT(exact_for_who_cannot_look),
        UNIT(one_edge_a_change),
        UNIT(nobody_has_polled_for_long),
        UNIT(lies_are_mended),
        UNIT(forgotten),
        UNIT(unlinked),
        UNIT(replaced),
        UNIT(opened_in_its_place),
        UNIT(no_descriptor_is_kept),
        UNIT(no_descriptor_is_left),
        UNIT(what_repair_brings_back),
        UNIT(disarmed_at_rest),
    };

    return cmocka_run_group_tests_name("bell", tests, NULL, NULL);
}

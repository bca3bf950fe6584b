/* The library's half of durability, against a mqxd that is played by the test. */
#include "durable.h"

#include <fcntl.h>
#include <sys/ptrace.h>

#include "snapshot.h"
#include "stored.h"
#include "testing.h"
#include "wait.h"
#include "withdraw.h"

#define SLOTS   200
#define CHANGES (SANITIZED ? 20000 : 300000) /* by each changer */

/* --- the test's own mqxd ---------------------------------------------------------------------- */

static int lock_file(int flags)
{
    char path[PATH_MAX];
    int fd;

    IS(mqxi_dirs_make(), 0);
    IS(mqxi_mqxd_path(MQXI_LOCK_FILE, geteuid(), path), 0);
    fd = open(path, flags | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    return fd;
}

static void hold(int fd, short type, int byte)
{
    struct flock lock = {.l_type = type, .l_start = byte, .l_len = 1};

    IS(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

static struct mqxi_doorbell *doorbell(void)
{
    struct mqxi_doorbell *page, head = {.magic = MQXI_BELL_MAGIC, .version = MQXI_BELL_VERSION};
    char path[PATH_MAX];
    int fd;

    IS(mqxi_dirs_make(), 0);
    IS(mqxi_mqxd_path(MQXI_BELL_FILE, geteuid(), path), 0);
    unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    IS(write(fd, &head, sizeof(head)), sizeof(head));
    IS(ftruncate(fd, MQXI_PAGE), 0);
    page = mmap(NULL, MQXI_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(page != MAP_FAILED);
    close(fd);
    return page;
}

/* Sleep until rung, however long that takes; the test's alarm ends it if nobody rings. */
static void sleep_until_dirty(struct mqxi_doorbell *bell, struct mqxi_queue *q)
{
    for (;;) {
        uint32_t seen;

        atomic_fetch_and(&bell->event, ~MQXI_EVENT_SLEEPERS);
        seen = mqxi_event_read(&bell->event);
        if (mqxi_dirty(q))
            return;
        mqxi_event_sleep(&bell->event, seen, NULL, UINT64_C(3600) * 1000000000, false);
    }
}

/* --- is there a mqxd? ------------------------------------------------------------------------- */

static void hold_until_killed(void *arg)
{
    _Atomic int *ready = arg;

    hold(lock_file(O_RDWR | O_CREAT), F_WRLCK, MQXI_LOCK_SERVES);
    *ready = 1;
    pause();
}

static void alive_while_locked(void)
{
    _Atomic int *ready = shared(sizeof(int));
    pid_t child;
    int fd;

    CHECK(!mqxi_mqxd_alive(geteuid()));
    child = start(hold_until_killed, (void *)ready);
    WAIT_FOR(*ready);
    CHECK(mqxi_mqxd_alive(geteuid()));
    CHECK(mqxi_mqxd_holds(geteuid(), MQXI_LOCK_RUNS) == 0);
    murder(child);
    CHECK(!mqxi_mqxd_alive(geteuid()));
    /* One who may only read the file cannot pretend. */
    fd = lock_file(O_RDONLY);
    hold(fd, F_RDLCK, MQXI_LOCK_SERVES);
    CHECK(!mqxi_mqxd_alive(geteuid()));
}

static void not_by_anothers_file(void)
{
    char path[PATH_MAX];
    int fd;

    if (geteuid() != 0)
        SKIP("only root can give files away");
    fd = lock_file(O_RDWR | O_CREAT);
    hold(fd, F_WRLCK, MQXI_LOCK_SERVES);
    CHECK(mqxi_mqxd_alive(0));
    IS(mqxi_mqxd_path(MQXI_LOCK_FILE, 0, path), 0);
    IS(chown(path, 12345, -1), 0);
    CHECK(!mqxi_mqxd_alive(0));
}

/* Root's mqxd serves everybody. */
static void roots_counts(void)
{
    if (geteuid() != 0)
        SKIP("needs root's mqxd");
    CHECK(!mqxi_mqxd_alive(12345));
    hold(lock_file(O_RDWR | O_CREAT), F_WRLCK, MQXI_LOCK_SERVES);
    CHECK(mqxi_mqxd_alive(12345));
}

/* --- marks ------------------------------------------------------------------------------------ */

struct marking {
    _Atomic uint64_t value[SLOTS]; /* what a slot holds, so to speak */
    _Atomic uint64_t seen[SLOTS];  /* as the test's mqxd has seen it */
    _Atomic int done;
};

static struct marking *m;

static void change_and_mark(void *arg)
{
    struct mqxi_queue *q = attach("q");
    uint64_t random = (uint64_t)(uintptr_t)arg;

    for (int i = 0; i < CHANGES; i++) {
        uint32_t slot = below(&random, SLOTS);

        atomic_fetch_add(&m->value[slot], 1);
        mqxi_durable_mark(q, slot);
    }
    m->done++;
    mqxi_durable_mark(q, 0); /* or nobody would look whether we are done */
}

static void look(struct mqxi_queue *q, uint64_t *seen)
{
    mqxi_dirty_begin(q);
    for (uint32_t w = 0; w < mqxi_dirty_words(q); w++)
        for (uint64_t marks = mqxi_dirty_take(q, w); marks; marks &= marks - 1) {
            uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(marks);

            seen[slot] = atomic_load(&m->value[slot]);
        }
}

static bool all_seen(const uint64_t *seen)
{
    for (int i = 0; i < SLOTS; i++)
        if (seen[i] != atomic_load(&m->value[i]))
            return false;
    return true;
}

static void no_mark_is_lost(void)
{
    struct mqxi_doorbell *bell = doorbell();
    struct mqxi_queue *q = create("q", SLOTS, 8);
    uint64_t seen[SLOTS] = {0};
    pid_t children[2];

    m = shared(sizeof(*m));
    IS(mqxi_segment_reserve(q, SLOTS - 1), 0);
    for (uintptr_t i = 0; i < 2; i++)
        children[i] = start(change_and_mark, (void *)(i + 1));
    /* It hangs here if a change was not rung for. */
    while (m->done < 2 || !all_seen(seen)) {
        sleep_until_dirty(bell, q);
        look(q, seen);
    }
    for (int i = 0; i < 2; i++)
        finish(children[i]);
}

static void look_for_ever(void *arg)
{
    struct mqxi_doorbell *bell = arg;
    struct mqxi_queue *q = attach("q");

    for (;;) {
        sleep_until_dirty(bell, q);
        look(q, (uint64_t *)m->seen);
    }
}

/* A child marks the slot and is killed after this many instructions.  False: it was done by then.
 */
static bool mark_partly(struct mqxi_queue *q, uint32_t slot, int instructions)
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        mqxi_durable_mark(q, slot);
        _exit(0);
    }
    for (int i = 0; i <= instructions; i++) {
        IS(waitpid(child, &status, 0), child);
        if (WIFEXITED(status))
            return false;
        CHECK(WIFSTOPPED(status));
        if (i < instructions && ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0)
            SKIP("processes cannot be traced here");
    }
    murder(child);
    return true;
}

/* Wherever a process is killed in the middle of a mark, the next one that lives is heard. */
static void killed_anywhere(void)
{
    struct mqxi_doorbell *bell = doorbell();
    struct mqxi_queue *q = create("q", SLOTS, 8);
    int instructions = 1;
    pid_t looker;

    m = shared(sizeof(*m));
    IS(mqxi_segment_reserve(q, SLOTS - 1), 0);
    mqxi_durable_mark(q, 0); /* maps the doorbell, also for the children */
    looker = start(look_for_ever, bell);
    do {
        uint32_t slot = (uint32_t)instructions % SLOTS;

        WAIT_FOR(!mqxi_dirty(q) && asleep(looker));
        if (!mark_partly(q, (slot + 1) % SLOTS, instructions))
            break;
        WAIT_FOR(asleep(looker));
        atomic_store(&m->value[slot], (uint64_t)instructions);
        mqxi_durable_mark(q, slot);
        WAIT_FOR(atomic_load(&m->seen[slot]) == (uint64_t)instructions);
        /* Sanitizers add thousands, and who is not root looks for root's doorbell, too. */
        instructions += SANITIZED ? 509 : geteuid() != 0 ? 7 : 1;
    } while (true);
    CHECK(instructions > 20); /* or it was not stepped at all */
    murder(looker);
}

static void new_doorbell_is_found(void)
{
    struct mqxi_doorbell *old = doorbell(), *bell;
    struct mqxi_queue *q = create("q", SLOTS, 8);
    char path[PATH_MAX];

    mqxi_durable_mark(q, 1);
    CHECK(mqxi_event_read(&old->event) > 0);
    /* Truncated: what is there is caught, and another one found. */
    IS(mqxi_mqxd_path(MQXI_BELL_FILE, geteuid(), path), 0);
    IS(truncate(path, 0), 0);
    mqxi_dirty_begin(q);
    mqxi_durable_mark(q, 1);
    bell = doorbell();
    mqxi_dirty_begin(q);
    mqxi_durable_mark(q, 1);
    CHECK(mqxi_event_read(&bell->event) > 0);
    CHECK(!atomic_load(&bell->rescan));
    /* Replaced: found when a queue is opened, created or unlinked. */
    bell = doorbell();
    mqxi_durable_rescan(geteuid());
    CHECK(atomic_load(&bell->rescan));
    CHECK(mqxi_event_read(&bell->event) > 0);
}

/* --- waiting for the disk --------------------------------------------------------------------- */

struct waiting {
    uint32_t slot;
    uint64_t key;
};
static struct waiting w;

static int wait_until_stored(struct mqxi_queue *q, uint32_t slot, uint64_t key,
                             const struct timespec *deadline)
{
    struct mqxi_stored s = {.q = q, .slot = slot, .key = key, .deadline = deadline};

    return mqxi_stored_wait(&s, true);
}

static void wait_for_disk(void *arg)
{
    (void)arg;
    IS(wait_until_stored(attach("q"), w.slot, w.key, NULL), 0);
}

static pid_t sender(struct mqxi_queue *q)
{
    pid_t child;

    atomic_store(&q->header->durable, MQXI_DURABLE_SYNC);
    IS(mqxi_put(q, "x", 1, 0, 0, &w.slot, &w.key), 0);
    child = start(wait_for_disk, NULL);
    WAIT_FOR(asleep(child));
    return child;
}

static void until_stored(void)
{
    struct mqxi_queue *q = create("q", 10, 8);
    pid_t child = sender(q);

    mqxi_snapshot_stored(q, w.slot, w.key + 1); /* another message's */
    mqxi_snapshot_wake(q);
    WAIT_FOR(asleep(child));
    IS(waitpid(child, NULL, WNOHANG), 0);
    mqxi_snapshot_stored(q, w.slot, w.key);
    mqxi_snapshot_wake(q);
    finish(child);
}

static void until_received(void)
{
    struct mqxi_queue *q = create("q", 10, 8);
    pid_t child = sender(q);
    struct mqxi_taken t;

    /* Taken is not received. */
    IS(mqxi_take(q, &t), 0);
    mqxi_snapshot_wake(q);
    WAIT_FOR(asleep(child));
    IS(mqxi_take_abort(q, &t), 0);
    mqxi_snapshot_wake(q);
    WAIT_FOR(asleep(child));
    IS(waitpid(child, NULL, WNOHANG), 0);
    IS(mqxi_take(q, &t), 0);
    IS(mqxi_take_commit(q, &t), 0);
    finish(child);
}

/* The next message in its slot is being taken: that is not this one. */
static void until_replaced(void)
{
    struct mqxi_queue *q = create("q", 1, 8);
    struct mqxi_taken t;
    uint32_t slot;
    uint64_t key;

    IS(mqxi_put(q, "x", 1, 0, 0, &slot, &key), 0);
    IS(mqxi_take(q, &t), 0);
    IS(mqxi_take_commit(q, &t), 0);
    IS(mqxi_put(q, "y", 1, 0, 0, NULL, NULL), 0);
    IS(wait_until_stored(q, slot, key, NULL), 0);
    IS(mqxi_take(q, &t), 0);
    IS(wait_until_stored(q, slot, key, NULL), 0);
}

static void until_unlinked(void)
{
    struct mqxi_queue *q = create("q", 10, 8);
    pid_t child = sender(q);

    atomic_store(&q->header->durable, MQXI_DURABLE_OFF);
    mqxi_snapshot_wake(q);
    finish(child);
}

/* Nobody stores it, but there is an mqxd that could: what nobody mirrors must not hold its sender
 * for ever. */
static void until_the_deadline(void)
{
    struct mqxi_queue *q = create("q", 10, 8);
    struct timespec deadline;
    uint32_t slot;
    uint64_t key;

    hold(lock_file(O_RDWR | O_CREAT), F_WRLCK, MQXI_LOCK_SERVES);
    atomic_store(&q->header->durable, MQXI_DURABLE_SYNC);
    clock_gettime(CLOCK_REALTIME, &deadline);
    IS(mqxi_put(q, "x", 1, 0, 0, &slot, &key), 0);
    IS(wait_until_stored(q, slot, key, &deadline), -ETIMEDOUT);
}

static void interrupted(int sig)
{
    (void)sig;
}

static void wait_and_fail(void *arg)
{
    struct sigaction action = {.sa_handler = interrupted}; /* no SA_RESTART */

    (void)arg;
    sigaction(SIGUSR1, &action, NULL);
    IS(wait_until_stored(attach("q"), w.slot, w.key, NULL), -EINTR);
}

static void until_a_signal(void)
{
    struct mqxi_queue *q = create("q", 10, 8);
    siginfo_t ended = {0};
    pid_t child;

    hold(lock_file(O_RDWR | O_CREAT), F_WRLCK, MQXI_LOCK_SERVES);
    atomic_store(&q->header->durable, MQXI_DURABLE_SYNC);
    IS(mqxi_put(q, "x", 1, 0, 0, &w.slot, &w.key), 0);
    child = start(wait_and_fail, NULL);
    WAIT_FOR(asleep(child)); /* its handler is there */
    /* Those that come in the time that a disk may take do not end it. */
    while (!ended.si_pid) {
        kill(child, SIGUSR1);
        nap();
        waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT | WNOHANG);
    }
    finish(child);
}

/* --- withdrawing ------------------------------------------------------------------------------ */

static void withdraw_each(void)
{
    struct mqxi_queue *q = create("q", 200, 8);
    struct mqxi_taken t;
    uint32_t slot[200];
    uint64_t key[200];

    atomic_store(&q->header->durable, MQXI_DURABLE_SYNC);
    for (int i = 0; i < 200; i++)
        IS(mqxi_put(q, "x", 1, (uint32_t)i % 3, 0, &slot[i], &key[i]), 0);
    for (int i = 0; i < 200; i += 2) {
        IS(mqxi_withdraw(q, slot[i], key[i]), 0);
        IS(mqxi_withdraw(q, slot[i], key[i]), -ESTALE);
    }
    CHECK(mqxi_count(q) == 100);
    CHECK(atomic_load(&q->header->last_recv_ns) == q->header->created_ns); /* nobody received */
    for (int prio = 2; prio >= 0; prio--)
        for (int i = 1; i < 200; i += 2)
            if (i % 3 == prio) {
                IS(mqxi_take(q, &t), 0);
                CHECK(t.key == key[i]);
                IS(mqxi_take_commit(q, &t), 0);
            }
    IS(mqxi_take(q, &t), -EAGAIN);
}

static void withdraw_what_is_not_ours_any_more(void)
{
    struct mqxi_queue *q = create("q", 10, 8);
    struct mqxi_taken t;
    uint32_t slot;
    uint64_t key;

    IS(mqxi_put(q, "x", 1, 0, 0, &slot, &key), 0);
    mqxi_snapshot_stored(q, slot, key);
    IS(mqxi_withdraw(q, slot, key), -EALREADY);
    IS(mqxi_take(q, &t), 0);
    CHECK(t.key == key);
    IS(mqxi_withdraw(q, slot, key), -ESTALE);
    IS(mqxi_take_commit(q, &t), 0);
    IS(mqxi_withdraw(q, slot, key), -ESTALE);
    IS(mqxi_put(q, "y", 1, 0, 0, &slot, NULL), 0);
    IS(mqxi_withdraw(q, slot, key), -ESTALE);
    CHECK(mqxi_count(q) == 1);
}

static struct mqxi_stored impatient(struct mqxi_queue *q)
{
    struct mqxi_stored s = {.q = q, .nonblock = true};

    IS(mqxi_put(q, "x", 1, 0, 0, &s.slot, &s.key), 0);
    return s;
}

/* As room in a full queue; of an async queue, too, but not where there is no mqxd. */
static void while_the_disk_is_full(void)
{
    struct mqxi_queue *q = create("q", 10, 8);
    int lock = lock_file(O_RDWR | O_CREAT);
    struct mqxi_stored s;

    atomic_store(&q->header->durable, MQXI_DURABLE_ASYNC);
    CHECK(!mqxi_stored_wanted(q));
    atomic_store(&q->header->disk_full, 1);
    CHECK(mqxi_stored_wanted(q));
    hold(lock, F_WRLCK, MQXI_LOCK_SERVES);
    s = impatient(q);
    IS(mqxi_stored_wait(&s, true), -EAGAIN);
    CHECK(mqxi_count(q) == 0);
    hold(lock, F_UNLCK, MQXI_LOCK_SERVES);
    s = impatient(q);
    IS(mqxi_stored_wait(&s, true), 0);
    CHECK(mqxi_count(q) == 1 && !mqxi_stored_wanted(q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(alive_while_locked), UNIT(not_by_anothers_file), UNIT(roots_counts),
        UNIT(no_mark_is_lost),    UNIT(killed_anywhere),      UNIT(new_doorbell_is_found),
        UNIT(until_stored),       UNIT(until_received),       UNIT(until_replaced),
        UNIT(until_unlinked),     UNIT(until_the_deadline),   UNIT(until_a_signal),
        UNIT(withdraw_each),      UNIT(withdraw_what_is_not_ours_any_more),
        UNIT(while_the_disk_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

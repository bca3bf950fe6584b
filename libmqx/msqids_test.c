/* The registry of System V queues: whoever is killed or stopped in it, wherever. */
#include "msqids.h"

#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/ptrace.h>

#include "engine.h"
#include "testing.h"
#include "tidy.h"

#define KEY 0x4d51

static int make(int key, uint32_t most, struct mqxi_queue **out)
{
    return mqxi_msqid_create(
        &(struct mqxi_msqid_new){
            .key = key, .mode = 0600, .maxmsg = 100, .msgsize = 300, .qbytes = 10000, .most = most},
        out);
}

static struct mqxi_queue *made(int key)
{
    struct mqxi_queue *q;

    IS(make(key, 100, &q), 0);
    return q;
}

/* Remove it, and forget it. */
static void end(struct mqxi_queue *q)
{
    IS(mqxi_msqid_remove(q), 0);
    mqxi_segment_detach(q);
}

static int attach_key(int key)
{
    struct mqxi_queue *q;
    int id, r = mqxi_msqid_attach_key(key, &q);

    if (r < 0)
        return r;
    id = q->id;
    mqxi_segment_detach(q);
    return id;
}

static int attach_id(int id)
{
    struct mqxi_queue *q;
    int r = mqxi_msqid_attach(id, &q);

    if (r == 0)
        mqxi_segment_detach(q);
    return r;
}

static void works(struct mqxi_queue *q)
{
    struct mqxi_taken taken;

    IS(mqxi_put(q, "text", 4, 0, 5, NULL, NULL), 0);
    IS(mqxi_take(q, &taken), 0);
    IS(taken.type, 5);
    IS(taken.len, 4);
    IS(mqxi_take_commit(q, &taken), 0);
}

/* --- alone --------------------------------------------------------------------------------------
 */

static void create_find_remove(void)
{
    struct mqxi_queue *q = made(KEY), *private = made(IPC_PRIVATE), *again;
    int id = q->id, other = private->id, found;

    IS(mqxi_msqid_index(id), 0);
    IS(mqxi_msqid_index(other), 1);
    IS(q->header->state, MQXI_SYSV_LIVE);
    IS(private->header->state, MQXI_SYSV_LIVE);
    IS(attach_key(KEY), id);
    IS(attach_key(KEY + 1), -ENOENT);
    IS(attach_id(id), 0);
    IS(attach_id(other), 0);
    IS(mqxi_msqid_at(1, &found), 0);
    IS(found, other);
    IS(mqxi_msqid_at(2, &found), -EINVAL);
    IS(mqxi_msqid_at(MQXI_MSQID_MAX, &found), -EINVAL);
    IS(make(KEY, 100, &again), -EEXIST);
    works(q);
    end(q);
    IS(attach_key(KEY), -ENOENT);
    IS(attach_id(id), -EINVAL);
    IS(attach_id(-1), -EINVAL);
    end(private);
    IS(entries(MQXI_IDS) + entries(MQXI_KEYS) + entries(MQXI_FIFOS) + entries(MQXI_TMP), 0);
}

/* Of who died between a key's entry and its directory: other users may not replace that. */
static void empty_key(void)
{
    struct mqxi_queue *q = made(KEY);
    char path[PATH_MAX];

    end(q);
    IS(mqxi_path(MQXI_KEYS, "00004d51", path), 0);
    IS(mkdir(path, 0755), 0);
    IS(attach_key(KEY), -ENOENT);
    IS(entries(MQXI_KEYS), 0);
    IS(mkdir(path, 0755), 0);
    end(made(KEY));
    IS(entries(MQXI_KEYS), 0);
}

/* The lowest free index, and never an id that was there just now. */
static void stale_ids(void)
{
    struct mqxi_queue *low = made(IPC_PRIVATE), *high = made(IPC_PRIVATE);
    int before = low->id;

    for (int i = 0; i < 1000; i++) {
        end(low);
        low = made(IPC_PRIVATE);
        IS(mqxi_msqid_index(low->id), 0);
        CHECK(low->id != before);
        IS(attach_id(before), -EINVAL);
        before = low->id;
    }
    IS(mqxi_msqid_index(high->id), 1);
    IS(mqxi_msqid_remove(high), 0);
    IS(mqxi_msqid_remove(high), -EINVAL); /* by whoever comes later */
}

static void limit(void)
{
    struct mqxi_queue *one, *two, *three;

    IS(make(1, 2, &one), 0);
    IS(make(2, 2, &two), 0);
    IS(make(3, 2, &three), -ENOSPC);
    IS(attach_key(3), -ENOENT);
    end(one);
    IS(make(3, 2, &three), 0);
    IS(mqxi_msqid_index(three->id), 0);
}

static void no_segment(void)
{
    char path[PATH_MAX];
    struct mqxi_queue *q = made(KEY), *other = made(IPC_PRIVATE);
    int id = q->id;

    q->header->id = other->id; /* says that it is another */
    IS(attach_id(id), -EBADMSG);
    q->header->id = id;
    q->header->key = KEY + 1;
    IS(attach_key(KEY), -EBADMSG);
    IS(mqxi_msqid_path(id, path), 0);
    IS(truncate(path, 100), 0);
    IS(attach_id(id), -EBADMSG);
    IS(unlink(path), 0); /* removed by hand: the key leads nowhere, and is free again */
    IS(attach_key(KEY), -ENOENT);
    q = made(KEY);
    IS(attach_key(KEY), q->id);
}

static void make_old(const char *path)
{
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

    IS(utimensat(AT_FDCWD, path, old, AT_SYMLINK_NOFOLLOW), 0);
}

/* What is old and nobody's is removed, with what is in it; not what a queue needs. */
static void tidied(void)
{
    struct mqxi_queue *q = made(KEY);
    char path[PATH_MAX], in[PATH_MAX + 10];
    int fd;

    IS(mqxi_segment_fifo(q, path), 0);
    make_old(path);
    IS(mqxi_path(MQXI_FIFOS, "1", path), 0);
    IS(mkfifo(path, 0600), 0);
    make_old(path);
    IS(mqxi_path(MQXI_TMP, "parcel", path), 0);
    IS(mkdir(path, 0755), 0);
    snprintf(in, sizeof(in), "%s/7", path);
    fd = creat(in, 0600);
    CHECK(fd >= 0);
    make_old(path);
    mqxi_tidy_sometimes();
    IS(entries(MQXI_TMP), 0);
    IS(entries(MQXI_FIFOS), 1);
    IS(mqxi_segment_fifo(q, path), 0);
    IS(access(path, F_OK), 0);
    IS(attach_key(KEY), q->id);
}

/* --- killed and stopped -------------------------------------------------------------------------
 */

struct work {
    int result, id;
};

static void do_create(void *arg)
{
    struct work *w = arg;
    struct mqxi_queue *q;

    w->result = make(KEY, 100, &q);
    w->id = w->result == 0 ? q->id : -1;
}

static void do_remove(void *arg)
{
    struct work *w = arg;
    struct mqxi_queue *q;

    w->result = mqxi_msqid_attach_key(KEY, &q);
    if (w->result == 0)
        w->result = mqxi_msqid_remove(q);
}

static void run(void (*f)(void *), struct work *w)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    f(w);
    _exit(0);
}

/* A child that stands before or after its nth system call; 0: it has ended before. */
static pid_t child_at(int n, void (*f)(void *), struct work *w)
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    if (child == 0)
        run(f, w);
    for (int i = 0; i <= n; i++) {
        IS(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            IS(WEXITSTATUS(status), 0);
            return 0;
        }
        CHECK(WIFSTOPPED(status));
        if (i < n)
            IS(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
    }
    return child;
}

static void go_on(pid_t child)
{
    int status;

    IS(ptrace(PTRACE_DETACH, child, NULL, NULL), 0);
    IS(waitpid(child, &status, 0), child);
    IS(status, 0);
}

/* Whatever happened to somebody: the key leads to a queue that works, or to none, and can be had;
 * and nothing is left. */
static void all_is_well(void)
{
    struct mqxi_queue *q;
    int r = mqxi_msqid_attach_key(KEY, &q);

    CHECK(r == 0 || r == -ENOENT);
    if (r == 0) {
        works(q);
        end(q);
    }
    q = made(KEY);
    works(q);
    IS(attach_key(KEY), q->id);
    IS(attach_id(q->id), 0);
    end(q);
    mqxi_msqid_tidy();
    IS(entries(MQXI_IDS) + entries(MQXI_KEYS), 0);
}

static int kill_each(void (*f)(void *), bool exists)
{
    struct work *w = shared(sizeof(*w));
    int n = 1;

    for (;; n++) {
        pid_t child;

        if (exists)
            mqxi_segment_detach(made(KEY));
        child = child_at(n, f, w);
        if (child == 0)
            break;
        murder(child);
        all_is_well();
    }
    all_is_well();
    return n;
}

static void killed_creating(void)
{
    mqxi_segment_detach(made(KEY)); /* what is made once is there */
    all_is_well();
    CHECK(kill_each(do_create, false) > 50);
}

static void killed_removing(void)
{
    CHECK(kill_each(do_remove, true) > 20);
}

/* One that is stopped while it creates: others find what it made, or make it themselves; later it
 * has either made it, or finds that it exists. */
static void stopped_creating(void)
{
    struct work *w = shared(sizeof(*w));

    for (int n = 1;; n++) {
        pid_t child = child_at(n, do_create, w);
        struct mqxi_queue *q;
        int r;

        if (child == 0)
            break;
        r = mqxi_msqid_attach_key(KEY, &q);
        if (r == -ENOENT)
            q = made(KEY);
        else
            IS(r, 0);
        works(q);
        mqxi_msqid_tidy(); /* not what is being built */
        go_on(child);
        CHECK(w->result == 0 ? w->id == q->id : w->result == -EEXIST);
        IS(attach_key(KEY), q->id);
        IS(attach_id(q->id), 0);
        mqxi_segment_detach(q);
        all_is_well();
    }
}

/* What is being built by who lives is nobody else's. */
static void stopped_alone(void)
{
    struct work *w = shared(sizeof(*w));

    for (int n = 1;; n++) {
        pid_t child = child_at(n, do_create, w);

        if (child == 0)
            break;
        mqxi_msqid_tidy();
        go_on(child);
        IS(w->result, 0);
        IS(attach_key(KEY), w->id);
        all_is_well();
    }
}

/* One that is stopped while it removes: others may have the key and the index by then. */
static void stopped_removing(void)
{
    struct work *w = shared(sizeof(*w));

    for (int n = 1;; n++) {
        struct mqxi_queue *q = made(KEY), *next = NULL;
        pid_t child = child_at(n, do_remove, w);
        int first = q->id, r;

        if (child == 0)
            break;
        r = mqxi_msqid_remove(q); /* too */
        CHECK(r == 0 || r == -EINVAL);
        mqxi_segment_detach(q);
        IS(attach_key(KEY), -ENOENT);
        IS(attach_id(first), -EINVAL);
        next = made(KEY);
        IS(mqxi_msqid_index(next->id), 0);
        go_on(child);
        if (w->result == 0 && r == 0) { /* it had not begun: it has removed the next one */
            IS(attach_key(KEY), -ENOENT);
        } else {
            IS(attach_key(KEY), next->id);
            works(next);
        }
        mqxi_segment_detach(next);
        all_is_well();
    }
}

/* Many at once: one id, and the others find it. */
struct race {
    _Atomic int ready, go, created;
    _Atomic int id[8];
};

static void racer(void *arg)
{
    struct race *race = arg;
    int me = atomic_fetch_add(&race->ready, 1), r;
    struct mqxi_queue *q;

    while (!atomic_load(&race->go))
        sched_yield();
    do {
        r = mqxi_msqid_attach_key(KEY, &q);
        if (r == -ENOENT) {
            r = make(KEY, 100, &q);
            atomic_fetch_add(&race->created, r == 0);
        }
    } while (r == -EEXIST);
    IS(r, 0);
    atomic_store(&race->id[me], q->id);
}

static void creators_race(void)
{
    for (int round = 0; round < 30 && !time_is_up(); round++) {
        struct race *race = shared(sizeof(*race));
        pid_t child[8];

        for (int i = 0; i < 8; i++)
            child[i] = start(racer, race);
        WAIT_FOR(atomic_load(&race->ready) == 8);
        atomic_store(&race->go, 1);
        for (int i = 0; i < 8; i++)
            finish(child[i]);
        IS(race->created, 1);
        for (int i = 0; i < 8; i++)
            IS(race->id[i], race->id[0]);
        IS(entries(MQXI_IDS), 1);
        all_is_well();
    }
}

/* A queue as mqxd makes it anew. */
static int restore(int key, int id, struct mqxi_queue **out)
{
    struct mqxi_attr attr = {.maxmsg = 100, .msgsize = 300, .mode = 0600};
    struct mqxi_unborn u;
    int r;

    IS(mqxi_segment_build_sysv(&attr, &u), 0);
    u.queue->header->key = key;
    r = mqxi_msqid_restore(&u, id);
    mqxi_segment_finish(&u, r == 0);
    *out = u.queue;
    return r;
}

static void restored(void)
{
    int id = 77 << MQXI_MSQID_BITS | 5, private = 78 << MQXI_MSQID_BITS | 6;
    struct mqxi_queue *q, *p, *other;

    IS(restore(KEY, id, &q), 0);
    IS(q->id, id);
    IS(attach_key(KEY), id);
    IS(restore(0, private, &p), 0);
    IS(p->id, private);
    /* Its key is taken; its index, by which alone it would be found; its index, but not its key. */
    IS(restore(KEY, 79 << MQXI_MSQID_BITS | 7, &other), -EEXIST);
    IS(restore(0, 79 << MQXI_MSQID_BITS | 6, &other), -EEXIST);
    IS(restore(KEY + 1, 79 << MQXI_MSQID_BITS | 6, &other), 0);
    CHECK(mqxi_msqid_index(other->id) != 6);
    IS(attach_key(KEY + 1), other->id);
    end(other);
    /* The ruins of one that stood there. */
    atomic_store(&p->header->state, MQXI_SYSV_REMOVED);
    IS(restore(0, 80 << MQXI_MSQID_BITS | 6, &other), 0);
    IS(other->id, 80 << MQXI_MSQID_BITS | 6);
    mqxi_segment_detach(p);
    end(other);
    end(q);
    all_is_well();
}

/* What is durable goes to where mqxd looks for it. */
static void durable(void)
{
    struct mqxi_queue *q = made(KEY);
    char grave[PATH_MAX];

    atomic_store(&q->header->durable, MQXI_DURABLE_ASYNC);
    IS(mqxi_segment_grave(q->header, grave), 0);
    IS(access(grave, F_OK), -1);
    IS(mqxi_msqid_remove(q), 0);
    IS(access(grave, F_OK), 0);
    IS(q->header->durable, MQXI_DURABLE_OFF); /* nobody waits for the disk */
    IS(entries(MQXI_IDS), 0);
    IS(mqxi_msqid_remove(q), -EINVAL);
    IS(access(grave, F_OK), 0);
    mqxi_segment_detach(q);
    all_is_well();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(create_find_remove), UNIT(empty_key),
        UNIT(stale_ids),          UNIT(limit),
        UNIT(no_segment),         UNIT(tidied),
        UNIT(killed_creating),    UNIT(killed_removing),
        UNIT(stopped_creating),   UNIT(stopped_alone),
        UNIT(stopped_removing),   UNIT(creators_race),
        UNIT(restored),           UNIT(durable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The registry of System V queues, without a lock.  A directory that is built aside and
 * then renamed to its place appears with its entry, and only where nothing is: a rename
 * replaces an empty directory, and no other.
 *
 * A queue with a key gets its id first and then its key, and is there from when it has
 * both: state building -> live.  Who finds it by its key makes it live, should its
 * creator be stopped; who finds one that is being built by a process that died removes
 * it.  Removing is state live -> removed; the rest anybody can do, as often as he likes.
 */
#include "msqids.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bell.h"
#include "client.h"
#include "durable.h"
#include "names.h"
#include "wait.h"

#define TRIES 1000

static int index_path(uint32_t index, char *path)
{
    char name[16];

    snprintf(name, sizeof(name), "%u", index);
    return mqxi_path(MQXI_IDS, name, path);
}

static int key_path(int key, char *path)
{
    char name[16];

    snprintf(name, sizeof(name), "%08x", (unsigned)key);
    return mqxi_path(MQXI_KEYS, name, path);
}

/* directory/id */
static int entry_path(const char *directory, int id, char *path)
{
    int n = snprintf(path, PATH_MAX, "%s/%d", directory, id);

    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int mqxi_msqid_path(int id, char *path)
{
    char directory[PATH_MAX];
    int r = index_path(mqxi_msqid_index(id), directory);

    return r < 0 ? r : entry_path(directory, id, path);
}

static int note_entry(const char *name, void *arg)
{
    char *end;
    unsigned long id = strtoul(name, &end, 10);

    if (*end || end == name || id > INT32_MAX)
        return -EBADMSG;
    *(int *)arg = (int)id;
    return 1;
}

/* The id that stands in this directory: -ENOENT. */
static int entry_of(const char *directory, int *id)
{
    int r = mqxi_list_path(directory, note_entry, id);

    return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

/* --- removing -----------------------------------------------------------------------------------
 */

static int remove_entry(const char *directory, int id)
{
    char path[PATH_MAX];
    int r = entry_path(directory, id, path);

    if (r == 0)
        r = (int)MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
    MQXI_SYS(SYS_unlinkat, AT_FDCWD, directory, AT_REMOVEDIR); /* fails if it is another's by now */
    return r == -ENOENT ? 0 : r;
}

/* To where mqxd finds it, and forgets its messages.  Who waits for them to be stored waits no more.
 */
static void hand_to_mqxd(struct mqxi_queue *q)
{
    struct mqxi_header *h = q->header;
    char path[PATH_MAX], to[PATH_MAX];

    if (mqxi_msqid_path(q->id, path) == 0 && mqxi_segment_grave(h, to) == 0)
        MQXI_SYS(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, to, 0);
    atomic_store(&h->durable, MQXI_DURABLE_OFF); /* after that: who dies before it is helped on */
    mqxi_event_signal(&h->commit_event, true);
    mqxi_durable_rescan(q->uid);
}

/* All names of a queue that is removed.  Its id last: as long as it has that, others can help. */
static void bury(struct mqxi_queue *q)
{
    int key = q->header->key;
    char path[PATH_MAX];

    if (key != 0 && key_path(key, path) == 0)
        remove_entry(path, q->id);
    if (mqxi_segment_fifo(q, path) == 0)
        MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
    if (atomic_load(&q->header->durable) != MQXI_DURABLE_OFF)
        hand_to_mqxd(q);
    if (index_path(mqxi_msqid_index(q->id), path) == 0)
        remove_entry(path, q->id);
}

/* Messages of a removed queue go now, whoever has it still mapped. */
static void empty(struct mqxi_queue *q)
{
    MQXI_SYS(SYS_madvise, q->overflow, q->layout.maxmsg * q->layout.room, MADV_REMOVE);
}

static int remove_from(struct mqxi_queue *q, uint32_t state)
{
    if (!atomic_compare_exchange_strong(&q->header->state, &state, MQXI_SYSV_REMOVED) &&
        state != MQXI_SYSV_REMOVED)
        return -EAGAIN;
    mqxi_event_signal(&q->header->recv_event, true);
    mqxi_event_signal(&q->header->send_event, true);
    if (atomic_load(&q->header->put_tells) & MQXI_TELLS_POLLERS)
        mqxi_bell_sync(q); /* while its FIFO has a name */
    bury(q);
    empty(q);
    return state == MQXI_SYSV_REMOVED ? -EINVAL : 0;
}

int mqxi_msqid_remove(struct mqxi_queue *q)
{
    return remove_from(q, MQXI_SYSV_LIVE);
}

/* --- finding ------------------------------------------------------------------------------------
 */

/* What is found by its id alone and not live: removed, or never finished? */
static int mend(struct mqxi_queue *q)
{
    uint32_t state = atomic_load(&q->header->state);

    if (state == MQXI_SYSV_LIVE)
        return 0;
    if (state == MQXI_SYSV_REMOVED ||
        (state == MQXI_SYSV_BUILDING && !mqxi_client_alive(q->registry, q->header->builder)))
        remove_from(q, state);
    return -EINVAL;
}

static int attach(int id, bool by_key, struct mqxi_queue **out)
{
    uint32_t building = MQXI_SYSV_BUILDING;
    char path[PATH_MAX];
    int r = mqxi_msqid_path(id, path);

    if (r == 0)
        r = mqxi_segment_attach_sysv(path, out);
    if (r < 0)
        return r == -ENOENT || r == -ENOTDIR ? -EINVAL : r;
    (*out)->id = id;
    r = (*out)->header->id == id ? 0 : -EBADMSG;
    if (r == 0 && by_key)
        atomic_compare_exchange_strong(&(*out)->header->state, &building, MQXI_SYSV_LIVE);
    if (r == 0)
        r = mend(*out);
    if (r < 0)
        mqxi_segment_detach(*out);
    return r;
}

int mqxi_msqid_attach(int id, struct mqxi_queue **out)
{
    return id < 0 ? -EINVAL : attach(id, false, out);
}

int mqxi_msqid_of(int key, int *id)
{
    char path[PATH_MAX];
    int r = key_path(key, path);

    return r < 0 ? r : entry_of(path, id);
}

int mqxi_msqid_attach_key(int key, struct mqxi_queue **out)
{
    char path[PATH_MAX];
    int id, r = key_path(key, path);

    for (int i = 0; r == 0 && i < TRIES; i++) {
        r = entry_of(path, &id);
        if (r == -ENOENT) /* or empty, of who died in remove_entry(): in the way of other users */
            MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
        if (r < 0)
            return r;
        r = attach(id, true, out);
        if (r == 0 && (*out)->header->key != key) {
            mqxi_segment_detach(*out);
            return -EBADMSG;
        }
        if (r != -EINVAL)
            return r;
        /* It was removed, and whoever did that died before its key was. */
        r = remove_entry(path, id);
    }
    return r < 0 ? r : -EBADMSG;
}

int mqxi_msqid_at(uint32_t index, int *id)
{
    char path[PATH_MAX];
    int r = index < MQXI_MSQID_MAX ? index_path(index, path) : -EINVAL;

    if (r == 0)
        r = entry_of(path, id);
    return r == -ENOENT ? -EINVAL : r;
}

struct listing {
    int (*each)(uint32_t index, void *arg);
    void *arg;
};

static int list_one(const char *name, void *arg)
{
    const struct listing *l = arg;
    char *end;
    unsigned long index = strtoul(name, &end, 10);

    return *end || index >= MQXI_MSQID_MAX ? 0 : l->each((uint32_t)index, l->arg);
}

int mqxi_msqid_list(int (*each)(uint32_t index, void *arg), void *arg)
{
    struct listing l = {each, arg};

    return mqxi_list(MQXI_IDS, list_one, &l);
}

/* --- creating -----------------------------------------------------------------------------------
 */

/* A directory of our own with one entry, on its way to its place. */
struct parcel {
    char path[PATH_MAX];
    int id; /* its entry's name; -1: none yet */
};

static int begin_parcel(struct parcel *p)
{
    uint64_t id[2];
    char name[40];
    long r = MQXI_SYS(SYS_getrandom, id, sizeof(id), 0);

    if (r != (long)sizeof(id))
        return r < 0 ? (int)r : -EIO;
    p->id = -1;
    snprintf(name, sizeof(name), "%016lx%016lx", (unsigned long)id[0], (unsigned long)id[1]);
    r = mqxi_path(MQXI_TMP, name, p->path);
    if (r == 0)
        r = MQXI_SYS(SYS_mkdirat, AT_FDCWD, p->path, 0755);
    if (r == 0)
        r = MQXI_SYS(SYS_fchmodat, AT_FDCWD, p->path, 0755); /* past the umask */
    return (int)r;
}

/* from: what becomes the entry, or NULL: an empty file. */
static int fill_parcel(struct parcel *p, const char *from, int id)
{
    char old[PATH_MAX], new[PATH_MAX];
    int r = entry_path(p->path, id, new), fd;

    if (r == 0 && p->id >= 0) {
        r = entry_path(p->path, p->id, old);
        from = old;
    }
    if (r == 0 && from)
        r = (int)MQXI_SYS(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, new, 0);
    else if (r == 0) {
        fd = mqxi_sys_openat(AT_FDCWD, new, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        r = fd < 0 ? fd : mqxi_sys_close(fd);
    }
    if (r == 0)
        p->id = id;
    return r;
}

/* To its place: -EEXIST, that is taken; -EACCES, by a directory of another user's that is empty. */
static int deliver(struct parcel *p, const char *to, const struct mqxi_queue *q)
{
    int r = (int)MQXI_SYS(SYS_renameat2, AT_FDCWD, p->path, AT_FDCWD, to, 0);

    /* Not before: nobody else shall be able to put something else in its place meanwhile. */
    if (r == 0 && q->uid != (uid_t)MQXI_SYS(SYS_geteuid))
        return (int)MQXI_SYS(SYS_fchownat, AT_FDCWD, to, q->uid, q->gid, AT_SYMLINK_NOFOLLOW);
    return r == -ENOTEMPTY ? -EEXIST : r == -EPERM ? -EACCES : r;
}

/* It was not delivered. */
static void drop(struct parcel *p)
{
    char path[PATH_MAX];

    if (p->id >= 0 && entry_path(p->path, p->id, path) == 0)
        MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
    MQXI_SYS(SYS_unlinkat, AT_FDCWD, p->path, AT_REMOVEDIR);
}

/* What stands at this index: if its queue is removed, or was never finished, that is done now. */
static int clear_index(uint32_t index, void *arg)
{
    char directory[PATH_MAX], path[PATH_MAX];
    struct mqxi_header h;
    struct mqxi_queue *q;
    struct mqxi_stat st;
    int id;

    (void)arg;
    if (index_path(index, directory) < 0)
        return 0;
    if (entry_of(directory, &id) < 0) {
        MQXI_SYS(SYS_unlinkat, AT_FDCWD, directory, AT_REMOVEDIR);
        return 0;
    }
    if (entry_path(directory, id, path) == 0 && mqxi_segment_peek_sysv(path, &h, &st) == 0 &&
        atomic_load(&h.state) != MQXI_SYSV_LIVE && mqxi_msqid_attach(id, &q) == 0)
        mqxi_segment_detach(q);
    return 0;
}

void mqxi_msqid_tidy(void)
{
    mqxi_msqid_list(clear_index, NULL);
}

static int mark(uint32_t index, void *arg)
{
    uint64_t *taken = arg;

    taken[index / 64] |= UINT64_C(1) << index % 64;
    return 0;
}

/* The lowest index where nothing is: -ENOSPC. */
static int lowest_free(uint32_t most)
{
    uint64_t taken[MQXI_MSQID_MAX / 64] = {0};
    int r = mqxi_msqid_list(mark, taken);
    uint32_t i = 0, count = 0;

    for (uint32_t w = 0; w < MQXI_MSQID_MAX / 64; w++)
        count += (uint32_t)__builtin_popcountll(taken[w]);
    if (r < 0 || count >= most)
        return r < 0 ? r : -ENOSPC;
    while (i < MQXI_MSQID_MAX - 1 && taken[i / 64] >> i % 64 & 1)
        i++;
    return (int)i;
}

/* Which index to try.  As a rule those in use are the lowest, and their number, which is the
 * directory's number of links less two, is the first free one. */
static int choose_index(int attempt, uint32_t most)
{
    struct statx sx;
    char path[PATH_MAX];
    int r = mqxi_path(MQXI_IDS, ".", path);

    if (attempt == 0 && r == 0 && MQXI_SYS(SYS_statx, AT_FDCWD, path, 0, STATX_NLINK, &sx) == 0 &&
        sx.stx_nlink >= 2 && sx.stx_nlink - 2 < most)
        return (int)sx.stx_nlink - 2;
    r = lowest_free(most);
    if (r == -ENOSPC) { /* or only what nobody cleared away */
        mqxi_msqid_tidy();
        r = lowest_free(most);
    }
    return r;
}

/* The id to try now.  wanted: the one that it would best have; -1: any. */
static int choose_id(const struct mqxi_queue *q, int attempt, uint32_t most, int wanted)
{
    int index;

    if (wanted >= 0 && attempt < 2) /* twice: what is in its way may be only a ruin */
        return wanted;
    if (wanted >= 0 && q->header->key == 0)
        return -EEXIST; /* nobody would find it by another */
    index = choose_index(attempt, most);
    /* Inode numbers of a tmpfs are given out in order: one index has another sequence each time,
     * until 65,536 files were made. */
    return index < 0 ? index : (int)((q->ino & 0xffff) << MQXI_MSQID_BITS) | index;
}

static int claim_index(struct mqxi_unborn *u, uint32_t most, int wanted)
{
    struct mqxi_queue *q = u->queue;
    struct parcel p;
    char from[PATH_MAX], to[PATH_MAX];
    int r = begin_parcel(&p), id;

    if (r < 0)
        return r;
    r = mqxi_path(MQXI_TMP, u->temporary, from);
    for (int i = 0; r == 0 && i < TRIES; i++) {
        id = choose_id(q, i, most, wanted);
        r = id < 0 ? id : fill_parcel(&p, from, id);
        if (r < 0)
            break;
        q->id = q->header->id = id;
        r = index_path(mqxi_msqid_index(id), to);
        if (r == 0 && (r = deliver(&p, to, q)) == 0)
            return 0;
        if (r == -EEXIST || r == -EACCES)
            r = clear_index(mqxi_msqid_index(id), NULL);
    }
    drop(&p);
    return r < 0 ? r : -ENOSPC;
}

static int claim_key(const struct mqxi_queue *q)
{
    struct parcel p;
    char to[PATH_MAX];
    int r = begin_parcel(&p);

    if (r < 0)
        return r;
    r = fill_parcel(&p, NULL, q->id);
    if (r == 0)
        r = key_path(q->header->key, to);
    if (r == 0)
        r = deliver(&p, to, q);
    if (r < 0)
        drop(&p);
    return r;
}

/* Before it has an id, everything about it is said. */
static void describe(struct mqxi_queue *q, const struct mqxi_msqid_new *n)
{
    struct mqxi_header *h = q->header;

    h->key = n->key;
    h->cuid = (uint32_t)MQXI_SYS(SYS_geteuid);
    h->cgid = (uint32_t)MQXI_SYS(SYS_getegid);
    atomic_store(&h->uid, h->cuid);
    atomic_store(&h->gid, h->cgid);
    atomic_store(&h->qbytes, n->qbytes);
    atomic_store(&h->changed_ns, h->created_ns);
}

/* Its names: the id, that is wanted if that is not -1, and the key. */
static int place(struct mqxi_unborn *u, uint32_t most, int wanted)
{
    struct mqxi_header *h = u->queue->header;
    uint32_t building = MQXI_SYSV_BUILDING;
    int error = 0, r;
    const struct mqxi_identity *me = mqxi_client_self(u->queue->registry, &error);

    if (!me)
        return error;
    h->builder = atomic_load(&me->owner);
    atomic_store(&h->state, h->key == 0 ? MQXI_SYSV_LIVE : MQXI_SYSV_BUILDING);
    r = claim_index(u, most, wanted);
    if (r < 0 || h->key == 0)
        return r;
    r = claim_key(u->queue);
    if (r < 0) {
        atomic_store(&h->durable, MQXI_DURABLE_OFF); /* nobody has heard of it */
        remove_from(u->queue, MQXI_SYSV_BUILDING);
    } else {
        atomic_compare_exchange_strong(&h->state, &building, MQXI_SYSV_LIVE);
    }
    return r;
}

int mqxi_msqid_restore(struct mqxi_unborn *u, int id)
{
    int r = mqxi_dirs_make_sysv();

    return r < 0 ? r : place(u, MQXI_MSQID_MAX, id);
}

int mqxi_msqid_create(const struct mqxi_msqid_new *n, struct mqxi_queue **out)
{
    struct mqxi_attr attr = {n->maxmsg, n->msgsize, n->mode, n->durable};
    struct mqxi_unborn u;
    int r = mqxi_dirs_make_sysv();

    if (r == 0)
        r = mqxi_segment_build_sysv(&attr, &u);
    if (r < 0)
        return r;
    describe(u.queue, n);
    atomic_store(&u.queue->header->sync, n->sync);
    r = place(&u, n->most, -1);
    mqxi_segment_finish(&u, r == 0);
    *out = u.queue;
    return r;
}

/*
 * Queues as files.  A queue appears complete or not at all: it is built
 * elsewhere and then linked to its name.  Its FIFO, whose descriptors are the
 * mqd_t's, is named after the segment's inode number, and with a random number
 * that stands in the segment: the directory is everybody's, and who knew a name
 * beforehand could take it.  That number may lie, but of no other queue's FIFO.
 *
 * No descriptor is kept: pages are reserved and given back with madvise.
 */
#include "segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "client.h"
#include "durable.h"
#include "grow.h"
#include "guard.h"
#include "names.h"
#include "spare.h"
#include "sys.h"

static int random_bytes(void *out, size_t len)
{
    long r = MQXI_SYS(SYS_getrandom, out, len, 0);

    return r == (long)len ? 0 : r < 0 ? (int)r : -EIO;
}

/*
 * The thread sanitizer takes a mapping for new memory if libc's mmap makes it, and for the memory
 * that was there before if a system call does: hence the former here and for struct mqxi_queue,
 * whose addresses come back.  But it also takes libc's mmap for a use of the descriptor, and all
 * descriptors of that number for one, since it sees no system call close them: so for it the
 * file is laid over the mapping by one.
 */
static void *map_file(int fd, size_t size, int prot)
{
#if MQXI_THREAD_SANITIZER
    void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED ||
        MQXI_SYS(SYS_mmap, p, size, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0L) < 0)
        return MAP_FAILED;
    return p;
#else
    return mmap(NULL, size, prot, MAP_SHARED | MAP_NORESERVE, fd, 0);
#endif
}

/* Does what is mapped now begin to exist at once, as mlockall(MCL_FUTURE) says?  fresh: a page that
 * was mapped just now, and not touched. */
static bool locks_all(void *fresh)
{
    unsigned char resident = 0;

    return MQXI_SYS(SYS_mincore, fresh, 1L, &resident) == 0 && (resident & 1);
}

/* Map a segment, which is mostly pages that do not exist: in a program that locks all its memory,
 * too, where each is locked when it is made (or not, where we may not lock so much). */
static uint8_t *map_sparse(int fd, size_t size, bool locked)
{
    uint8_t *base = map_file(fd, size, locked ? PROT_NONE : PROT_READ | PROT_WRITE);

    if (!locked || base == MAP_FAILED)
        return base;
    if (MQXI_SYS(SYS_mlock2, base, size, MLOCK_ONFAULT) < 0)
        MQXI_SYS(SYS_munlock, base, size);
    if (MQXI_SYS(SYS_mprotect, base, size, PROT_READ | PROT_WRITE) == 0)
        return base;
    MQXI_SYS(SYS_munmap, base, size);
    return MAP_FAILED;
}

/* Map a file that was found to be a segment of this layout. */
static int map(int fd, const struct mqxi_layout *l, const struct mqxi_stat *st, uint32_t registry,
               struct mqxi_queue **out)
{
    struct mqxi_queue *q;
    uint8_t *base;
    void *made;
    int r = mqxi_client_renew(registry, st->uid);

    if (r < 0)
        return r;
    /* Not malloc: the last reference may be dropped in a signal handler. */
    made = mmap(NULL, sizeof(*q), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED)
        return -ENOMEM;
    q = made;
    base = map_sparse(fd, l->size, locks_all(q));
    if (base == MAP_FAILED) {
        MQXI_SYS(SYS_munmap, q, sizeof(*q));
        return -ENOMEM;
    }
    q->header = (struct mqxi_header *)base;
    q->ctl = (_Atomic uint64_t *)(base + l->ctl);
    q->used = (_Atomic uint64_t *)(base + l->used);
    q->dirty = (_Atomic uint64_t *)(base + l->dirty);
    q->slots = base + l->slots;
    q->overflow = base + l->overflow;
    q->types = l->types ? (_Atomic int64_t *)(base + l->types) : NULL;
    q->layout = *l;
    q->ino = st->ino;
    q->uid = st->uid;
    q->gid = st->gid;
    atomic_init(&q->refs, 1);
    q->registry = registry;
    atomic_init(&q->fd, -1);
    mqxi_guard_add(q);
    *out = q;
    return 0;
}

void mqxi_segment_detach(struct mqxi_queue *q)
{
    mqxi_guard_remove(q);
    MQXI_SYS(SYS_munmap, q->header, q->layout.size);
    MQXI_SYS(SYS_munmap, q, sizeof(*q));
}

/* A file under a name that nobody looks for.  Not one without a name (O_TMPFILE), which can be
 * given its own only through a descriptor that is open meanwhile: there may be just one left, and
 * that is the queue's. */
static int open_temporary(struct mqxi_unborn *u)
{
    char path[PATH_MAX];
    uint64_t id[2];
    int r = random_bytes(id, sizeof(id));

    if (r < 0)
        return r;
    snprintf(u->temporary, sizeof(u->temporary), "%016lx%016lx", (unsigned long)id[0],
             (unsigned long)id[1]);
    r = mqxi_path(MQXI_TMP, u->temporary, path);
    return r < 0 ? r : mqxi_sys_openat(AT_FDCWD, path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
}

int mqxi_segment_fifo(const struct mqxi_queue *q, char *path)
{
    char name[48];

    snprintf(name, sizeof(name), "%lu-%016lx", (unsigned long)q->ino, (unsigned long)q->fifo_name);
    return mqxi_path(MQXI_FIFOS, name, path);
}

static int make_fifo(const struct mqxi_queue *q)
{
    char path[PATH_MAX];
    int r = mqxi_segment_fifo(q, path);

    if (r < 0)
        return r;
    r = (int)MQXI_SYS(SYS_mknodat, AT_FDCWD, path, S_IFIFO | 0600, 0);
    return r < 0 ? r : (int)MQXI_SYS(SYS_fchmodat, AT_FDCWD, path, 0600); /* past the umask */
}

static int fill_header(struct mqxi_queue *q, enum mqxi_kind kind, const struct mqxi_attr *attr)
{
    struct mqxi_header *h = q->header;
    struct timespec now;
    int r = mqxi_guard_populate(h, MQXI_PAGE);

    if (r < 0)
        return r;
    clock_gettime(CLOCK_REALTIME, &now);
    h->magic = MQXI_MAGIC;
    h->version = MQXI_FORMAT_VERSION;
    h->kind = kind;
    h->fingerprint = mqxi_fingerprint();
    h->maxmsg = attr->maxmsg;
    h->msgsize = attr->msgsize;
    h->registry = q->registry;
    h->created_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    atomic_init(&h->last_send_ns, kind == MQXI_KIND_POSIX ? h->created_ns : 0);
    atomic_init(&h->last_recv_ns, kind == MQXI_KIND_POSIX ? h->created_ns : 0);
    atomic_init(&h->mode, attr->mode & 07777u);
    atomic_init(&h->durable, (uint32_t)attr->durable);
    r = random_bytes(h->uuid, sizeof(h->uuid));
    if (r == 0)
        r = random_bytes(&h->fifo, sizeof(h->fifo));
    q->fifo_name = h->fifo;
    return r < 0 ? r : mqxi_segment_reserve(q, 0);
}

static int build(enum mqxi_kind kind, const struct mqxi_attr *attr, int fd, uint32_t registry,
                 struct mqxi_queue **out)
{
    struct mqxi_layout layout;
    struct mqxi_stat st;
    int r = mqxi_layout_of(kind, attr->maxmsg, attr->msgsize, &layout);

    if (r == 0)
        r = mqxi_grow_truncate(fd, layout.size);
    if (r == 0) /* whatever the umask: it is for the queue's mode, not for its files */
        r = (int)MQXI_SYS(SYS_fchmod, fd, 0600);
    if (r == 0)
        r = mqxi_sys_stat(fd, "", &st);
    if (r == 0)
        r = map(fd, &layout, &st, registry, out);
    return r == 0 ? fill_header(*out, kind, attr) : r;
}

static int build_file(enum mqxi_kind kind, const struct mqxi_attr *attr, struct mqxi_unborn *u)
{
    uint32_t registry;
    int fd, r = mqxi_dirs_make();

    *u = (struct mqxi_unborn){0};
    if (r == 0)
        r = mqxi_client_registry((uid_t)MQXI_SYS(SYS_geteuid), &registry);
    if (r < 0)
        return r;
    fd = open_temporary(u);
    if (fd < 0)
        return fd;
    r = build(kind, attr, fd, registry, &u->queue);
    mqxi_sys_close(fd);
    if (r == 0)
        r = make_fifo(u->queue);
    if (r < 0)
        mqxi_segment_finish(u, false);
    return r;
}

int mqxi_segment_build(const struct mqxi_attr *attr, struct mqxi_unborn *u)
{
    return build_file(MQXI_KIND_POSIX, attr, u);
}

int mqxi_segment_build_sysv(const struct mqxi_attr *attr, struct mqxi_unborn *u)
{
    return build_file(MQXI_KIND_SYSV, attr, u);
}

int mqxi_segment_give(struct mqxi_unborn *u, uid_t uid, gid_t gid)
{
    struct mqxi_queue *q = u->queue;
    char segment[PATH_MAX], fifo[PATH_MAX];
    int r = mqxi_path(MQXI_TMP, u->temporary, segment);

    if (r == 0)
        r = mqxi_segment_fifo(q, fifo);
    if (r == 0)
        r = (int)MQXI_SYS(SYS_fchownat, AT_FDCWD, segment, uid, gid, AT_SYMLINK_NOFOLLOW);
    if (r == 0)
        r = (int)MQXI_SYS(SYS_fchownat, AT_FDCWD, fifo, uid, gid, AT_SYMLINK_NOFOLLOW);
    if (r == 0)
        r = mqxi_client_registry(uid, &q->registry);
    if (r == 0)
        r = mqxi_client_renew(q->registry, uid);
    if (r < 0)
        return r;
    q->uid = uid;
    q->gid = gid;
    q->header->registry = q->registry;
    return 0;
}

int mqxi_segment_link(struct mqxi_unborn *u, const char *name)
{
    char from[PATH_MAX], to[PATH_MAX];
    int r = mqxi_path(MQXI_TMP, u->temporary, from);

    if (r == 0)
        r = mqxi_path(MQXI_QUEUES, name, to);
    if (r < 0)
        return r;
    r = (int)MQXI_SYS(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (r == -EINVAL) /* not on this file system; a link, for which a tmpfs wants another inode */
        r = (int)MQXI_SYS(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (r == 0)
        snprintf(u->queue->name, sizeof(u->queue->name), "%s", name);
    return r;
}

void mqxi_segment_finish(struct mqxi_unborn *u, bool keep)
{
    char path[PATH_MAX];

    if (mqxi_path(MQXI_TMP, u->temporary, path) == 0)
        MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
    if (u->queue && !keep) {
        if (mqxi_segment_fifo(u->queue, path) == 0)
            MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
        mqxi_segment_detach(u->queue);
        u->queue = NULL;
    }
}

/* What a file must be before it is mapped.  header: a private copy that nobody else can change. */
static int check(int fd, enum mqxi_kind kind, struct mqxi_header *header,
                 struct mqxi_layout *layout, struct mqxi_stat *st)
{
    uint32_t euid = (uint32_t)MQXI_SYS(SYS_geteuid);
    long n;
    int r = mqxi_sys_stat(fd, "", st);

    if (r < 0)
        return r;
    if (!S_ISREG(st->mode))
        return -EBADMSG;
    /* Only a queue's own user maps it; root could write to that user's processes anyway. */
    if (st->uid != euid && euid != 0)
        return -EACCES;
    n = MQXI_SYS(SYS_pread64, fd, header, sizeof(*header), 0L);
    if (n < 0)
        return (int)n;
    if (n != (long)sizeof(*header) || header->magic != MQXI_MAGIC ||
        header->version != MQXI_FORMAT_VERSION || header->fingerprint != mqxi_fingerprint() ||
        header->kind != kind)
        return -EBADMSG;
    r = mqxi_layout_of(kind, header->maxmsg, header->msgsize, layout);
    return r < 0 || st->size != layout->size ? -EBADMSG : 0;
}

static int open_path(const char *path)
{
    /* O_NONBLOCK: what lies there may be no segment, but something that blocks when opened. */
    return mqxi_sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
}

static int open_segment(const char *name)
{
    char path[PATH_MAX];
    int r = mqxi_path(MQXI_QUEUES, name, path);

    return r < 0 ? r : open_path(path);
}

/* out NULL: only look at the header. */
static int attach(int fd, enum mqxi_kind kind, struct mqxi_header *header, struct mqxi_stat *st,
                  struct mqxi_queue **out)
{
    struct mqxi_layout layout;
    int r;

    if (fd < 0)
        return fd == -ELOOP || fd == -EISDIR ? -EBADMSG : fd;
    r = check(fd, kind, header, &layout, st);
    if (r == 0 && out)
        r = map(fd, &layout, st, header->registry, out);
    if (r == 0 && out)
        (*out)->fifo_name = header->fifo;
    mqxi_sys_close(fd);
    return r;
}

int mqxi_segment_attach(const char *name, struct mqxi_queue **out)
{
    struct mqxi_header header;
    struct mqxi_stat st;
    int r = attach(open_segment(name), MQXI_KIND_POSIX, &header, &st, out);

    if (r == 0)
        snprintf((*out)->name, sizeof((*out)->name), "%s", name);
    return r;
}

int mqxi_segment_attach_sysv(const char *path, struct mqxi_queue **out)
{
    struct mqxi_header header;
    struct mqxi_stat st;

    return attach(open_path(path), MQXI_KIND_SYSV, &header, &st, out);
}

int mqxi_segment_peek_sysv(const char *path, struct mqxi_header *header, struct mqxi_stat *st)
{
    return attach(open_path(path), MQXI_KIND_SYSV, header, st, NULL);
}

static void hex(const uint8_t *uuid, char *out)
{
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", uuid[i]);
}

int mqxi_segment_grave(const struct mqxi_header *durable, char *to)
{
    uint64_t id[2];
    char name[33];
    int r;

    if (durable) {
        hex(durable->uuid, name);
        return mqxi_path(MQXI_GONE, name, to);
    }
    r = random_bytes(id, sizeof(id));
    snprintf(name, sizeof(name), "%016lx%016lx", (unsigned long)id[0], (unsigned long)id[1]);
    return r < 0 ? r : mqxi_path(MQXI_TMP, name, to);
}

/* A queue that is about to be unlinked: what it was. */
struct unlinking {
    const char *name;
    struct mqxi_header header;
    uint64_t known; /* inode number of the segment that has this header; 0: none */
};

static int unlink_if_of(const char *fifo, void *ino)
{
    char path[PATH_MAX];

    if (strtoull(fifo, NULL, 10) != *(uint64_t *)ino || mqxi_path(MQXI_FIFOS, fifo, path) < 0)
        return 0;
    MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
    return 0;
}

/* The FIFO of the segment with this inode number; looked for, where its header cannot be read. */
static void unlink_fifo(const struct unlinking *u, uint64_t ino)
{
    const struct mqxi_queue moved = {.ino = ino, .fifo_name = u->header.fifo}; /* only to name it */
    char path[PATH_MAX];

    if (ino != u->known)
        mqxi_list(MQXI_FIFOS, unlink_if_of, &ino);
    else if (mqxi_segment_fifo(&moved, path) == 0)
        MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* First the segment gets out of the way, then its FIFO goes: of the segment that was really moved,
 * should another process have unlinked and created the queue again in between. */
static int bury(const char *path, const struct mqxi_stat *seen, const struct unlinking *u,
                bool durable)
{
    char to[PATH_MAX];
    struct mqxi_stat st;
    int r = mqxi_segment_grave(durable ? &u->header : NULL, to);

    if (r == 0)
        r = (int)MQXI_SYS(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, to, 0);
    if (r < 0)
        return r;
    if (mqxi_sys_stat(AT_FDCWD, to, &st) < 0)
        st = *seen; /* no memory, or mqxd was fast */
    unlink_fifo(u, st.ino);
    if (!durable)
        MQXI_SYS(SYS_unlinkat, AT_FDCWD, to, 0);
    else
        mqxi_durable_rescan(st.uid);
    return 0;
}

/* Is it durable?  1, 0, or -errno: cannot be told for want of something. */
static long is_durable(void *arg)
{
    struct unlinking *u = arg;
    struct mqxi_layout layout;
    struct mqxi_stat st;
    int r, fd = open_segment(u->name);

    if (fd < 0)
        return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? fd : 0;
    r = check(fd, MQXI_KIND_POSIX, &u->header, &layout, &st);
    mqxi_sys_close(fd);
    if (r < 0)
        return 0;
    u->known = st.ino;
    return atomic_load(&u->header.durable) != MQXI_DURABLE_OFF;
}

int mqxi_segment_unlink(const char *name)
{
    struct unlinking u = {.name = name};
    struct mqxi_stat st;
    char path[PATH_MAX];
    int r = mqxi_path(MQXI_QUEUES, name, path);

    if (r == 0)
        r = mqxi_sys_stat(AT_FDCWD, path, &st);
    if (r < 0)
        return r;
    if (!S_ISREG(st.mode)) /* no queue, but in the way of one: removed, where that is allowed */
        return (int)MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
    r = (int)mqxi_spare_descriptor(is_durable, &u);
    return r < 0 ? r : bury(path, &st, &u, r);
}

int mqxi_segment_list(int (*each)(const char *name, void *arg), void *arg)
{
    return mqxi_list(MQXI_QUEUES, each, arg);
}

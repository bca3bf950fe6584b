/*
 * A changed slot is marked in the segment's dirty bitmap, and mqxd is rung: it
 * sleeps on a word of its doorbell file.  A queue that was rung for says so
 * until mqxd looks, so that of many changes only the first costs more than two
 * instructions.
 *
 * The doorbell is mapped and its descriptor closed: programs close theirs as
 * they like, and may be at their limit, jailed or without rights when they
 * send.  The file survives mqxd, so a new mqxd hears on the same page.  Root's
 * doorbell may be rung, hence written and truncated, by everybody: a page that
 * is gone is caught by the SIGBUS guard, as a segment's is, and mended by the
 * next who rings.  (A futex is the file and the offset, not the page: mqxd,
 * asleep on the old page, is woken through the new one.)
 */
#include "durable.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "guard.h"
#include "grow.h"
#include "names.h"
#include "sys.h"
#include "wait.h"

int mqxi_mqxd_path(const char *file, uid_t uid, char *path)
{
    char name[24];

    snprintf(name, sizeof(name), "%s-%u", file, (unsigned)uid);
    return mqxi_path(MQXI_CLIENTS, name, path);
}

/* The directory is everybody's: a file counts only if it belongs to who it is said to be. */
static int open_of(const char *file, uid_t uid, int flags, struct mqxi_stat *st)
{
    char path[PATH_MAX];
    int r = mqxi_mqxd_path(file, uid, path), fd;

    if (r < 0)
        return r;
    fd = mqxi_sys_openat(AT_FDCWD, path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    r = mqxi_sys_stat(fd, "", st);
    if (r == 0 && (st->uid != uid || !S_ISREG(st->mode)))
        r = -ENOENT;
    if (r < 0)
        mqxi_sys_close(fd);
    return r < 0 ? r : fd;
}

int mqxi_mqxd_holds(uid_t uid, int byte)
{
    /* Asked as a reader: only a write lock is in the way of that, and only mqxd can have one. */
    struct flock lock = {.l_type = F_RDLCK, .l_start = byte, .l_len = 1};
    struct mqxi_stat st;
    int fd = open_of(MQXI_LOCK_FILE, uid, O_RDONLY, &st), r;

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    r = mqxi_sys_fcntl(fd, F_OFD_GETLK, (long)&lock);
    mqxi_sys_close(fd);
    return r < 0 ? r : lock.l_type != F_UNLCK;
}

/* --- the doorbells ---------------------------------------------------------------------------- */

/* Root's, and that of the first other user whose queues we use; a process that serves several
 * (mqxfs) maps theirs for each ring. */
struct bell {
    _Atomic uint64_t user;                /* uid + 1; 0: not taken */
    _Atomic(bool) mapping;                /* a thread is about to map the first page */
    _Atomic(struct mqxi_doorbell *) page; /* stays; what is mapped there may be replaced */
    _Atomic uint64_t ino;                 /* of the file that is mapped */
    struct mqxi_queue guarded;            /* for guard.c: the page as a segment */
};
static struct bell bells[2] = {{.user = 1}, {.user = 0}};

static struct bell *bell_of(uid_t uid)
{
    for (int i = 0; i < 2; i++) {
        uint64_t user = 0;

        if (atomic_load(&bells[i].user) == (uint64_t)uid + 1 ||
            atomic_compare_exchange_strong(&bells[i].user, &user, (uint64_t)uid + 1) ||
            user == (uint64_t)uid + 1)
            return &bells[i];
    }
    return NULL;
}

/* The counter does not begin with 0, so that what mqxd has read from it is never what the guard's
 * zero pages show: it would fall asleep on those, where nobody rings. */
int mqxi_bell_mend(int fd, uint64_t size)
{
    struct mqxi_doorbell head, mine = {.magic = MQXI_BELL_MAGIC,
                                       .version = MQXI_BELL_VERSION,
                                       .event = MQXI_EVENT_STEP | MQXI_EVENT_SLEEPERS};
    long r;

    if (size >= MQXI_PAGE &&
        MQXI_SYS(SYS_pread64, fd, &head, sizeof(head), 0L) == (long)sizeof(head) &&
        head.magic == mine.magic && head.version == mine.version)
        return 0;
    if (size < MQXI_PAGE) {
        r = mqxi_grow_truncate(fd, MQXI_PAGE);
        if (r < 0)
            return (int)r;
    }
    r = mqxi_grow_write(fd, &mine, sizeof(mine), 0);
    return r == (long)sizeof(mine) ? 0 : r < 0 ? (int)r : -ENOSPC;
}

static int open_bell(uid_t uid, struct mqxi_stat *st)
{
    int fd = open_of(MQXI_BELL_FILE, uid, O_RDWR, st), r;

    if (fd < 0)
        return fd;
    /* mqxd may be asleep on what was damaged: it cannot mend it before it is rung. */
    r = mqxi_bell_mend(fd, st->size);
    if (r == 0)
        return fd;
    mqxi_sys_close(fd);
    return r;
}

static long map_page(int fd, void *where)
{
    return MQXI_SYS(SYS_mmap, where, MQXI_PAGE, PROT_READ | PROT_WRITE,
                    MAP_SHARED | (where ? MAP_FIXED : 0), fd, 0L);
}

/* Have the user's doorbell, as it is in the directory now, mapped. */
static int refresh(struct bell *b, uid_t uid)
{
    struct mqxi_doorbell *page = atomic_load(&b->page);
    struct mqxi_stat st;
    int fd = open_bell(uid, &st);
    long r;

    if (fd < 0)
        return fd;
    if (page && st.ino == atomic_load(&b->ino) && !atomic_load(&b->guarded.dead)) {
        mqxi_sys_close(fd);
        return 0;
    }
    if (!page && atomic_exchange(&b->mapping, true)) {
        mqxi_sys_close(fd);
        return -EAGAIN; /* another thread, or what we interrupted, is about to */
    }
    r = map_page(fd, page); /* in place: others may be ringing */
    mqxi_sys_close(fd);
    if (r < 0) {
        if (!page)
            atomic_store(&b->mapping, false);
        return (int)r;
    }
    atomic_store(&b->ino, st.ino);
    atomic_store(&b->guarded.dead, false);
    if (!page) {
        b->guarded.header = (struct mqxi_header *)r;
        b->guarded.layout.size = MQXI_PAGE;
        mqxi_guard_add(&b->guarded);
        atomic_store(&b->page, (struct mqxi_doorbell *)r);
    }
    return 0;
}

static void ring_page(struct mqxi_doorbell *page, bool rescan)
{
    if (rescan)
        atomic_store(&page->rescan, 1);
    /* Not mqxi_event_signal: see struct mqxi_doorbell.  A rescan is rare, and heard even where
     * somebody has cleared the bit. */
    if ((atomic_fetch_add(&page->event, MQXI_EVENT_STEP) & MQXI_EVENT_SLEEPERS) || rescan)
        MQXI_SYS(SYS_futex, &page->event, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* 0: rung, or there is no doorbell: nobody to ring. */
static int ring_one(uid_t uid, bool rescan)
{
    struct bell *b = bell_of(uid);
    struct mqxi_doorbell *page = b ? atomic_load(&b->page) : NULL;
    struct mqxi_stat st;
    int r, fd;
    long p;

    if (b && (!page || atomic_load(&b->guarded.dead))) {
        r = refresh(b, uid);
        if (r < 0 && r != -EAGAIN)
            return r == -ENOENT ? 0 : r;
        page = atomic_load(&b->page);
    }
    if (page) {
        ring_page(page, rescan);
        return 0;
    }
    fd = open_bell(uid, &st);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    p = map_page(fd, NULL);
    mqxi_sys_close(fd);
    if (p < 0)
        return (int)p;
    ring_page((struct mqxi_doorbell *)p, rescan);
    MQXI_SYS(SYS_munmap, p, MQXI_PAGE);
    return 0;
}

/* Which of the two mqxd's serves the queue is theirs to know. */
static int ring(uid_t uid, bool rescan)
{
    int own = ring_one(uid, rescan), root = uid == 0 ? 0 : ring_one(0, rescan);

    return own < 0 ? own : root;
}

static void refresh_both(uid_t uid)
{
    struct bell *own = bell_of(uid);

    if (own)
        refresh(own, uid);
    if (uid != 0)
        refresh(bell_of(0), 0);
}

bool mqxi_mqxd_alive(uid_t uid)
{
    int own = mqxi_mqxd_holds(uid, MQXI_LOCK_SERVES);
    int root = own || uid == 0 ? 0 : mqxi_mqxd_holds(0, MQXI_LOCK_SERVES);

    if (own || root)
        refresh_both(uid); /* while we can: later there may be no descriptor for it */
    return own || root;
}

void mqxi_durable_rescan(uid_t uid)
{
    refresh_both(uid);
    ring(uid, true);
}

/* --- marking ---------------------------------------------------------------------------------- */

void mqxi_durable_mark(struct mqxi_queue *q, uint32_t slot)
{
    _Atomic uint32_t *dirty = &q->header->dirty;
    uint32_t d;

    /* Both full barriers, here and in mqxi_dirty_begin/take: either we see that mqxd has cleared
     * RUNG, and ring, or mqxd sees our bit. */
    atomic_fetch_or_explicit(&q->dirty[slot / 64], UINT64_C(1) << slot % 64, memory_order_seq_cst);
    d = atomic_load_explicit(dirty, memory_order_seq_cst);
    if (d & MQXI_DIRTY_RUNG)
        return;
    if (!(d & MQXI_DIRTY_MARKED)) {
        d = atomic_fetch_or(dirty, MQXI_DIRTY_MARKED) | MQXI_DIRTY_MARKED;
        if (d & MQXI_DIRTY_RUNG)
            return;
    }
    /* RUNG after the ring, so that a process killed in between makes nobody believe that mqxd
     * knows; by compare-and-swap, since mqxd may have looked, and will not know of later marks. */
    if (ring(q->uid, false) == 0)
        atomic_compare_exchange_strong(dirty, &d, d | MQXI_DIRTY_RUNG);
}

void mqxi_durable_mark_all(struct mqxi_queue *q)
{
    uint32_t slots = atomic_load(&q->header->reserved);

    if (slots > q->layout.maxmsg)
        slots = q->layout.maxmsg;
    for (uint32_t i = 0; i < slots && !atomic_load(&q->dead); i++)
        mqxi_durable_mark(q, i);
}

bool mqxi_durable_settled(const struct mqxi_queue *q, uint32_t slot, uint64_t key)
{
    struct mqxi_slot *s = mqxi_slot(q, slot);
    uint64_t ctl = atomic_load_explicit(&q->ctl[slot], memory_order_acquire);

    if (atomic_load_explicit(&s->disk_key, memory_order_acquire) == key)
        return true;
    if (atomic_load_explicit(&q->header->durable, memory_order_relaxed) == MQXI_DURABLE_OFF)
        return true; /* unlinked, or no longer durable */
    if (ctl == key)
        return false;
    /* Being taken, it may come back.  The slot's key tells whose taking this is: keys are unique,
     * and the next message writes its own before it can be taken. */
    return !mqxi_ctl_taken(ctl) || mqxi_slot_see(&s->key) != key;
}

bool mqxi_durable_gone(const struct mqxi_queue *q, uint32_t slot, uint64_t key)
{
    return atomic_load(&mqxi_slot(q, slot)->disk_key) == (key | MQXI_DISK_GONE) ||
           atomic_load_explicit(&q->header->durable, memory_order_relaxed) != MQXI_DURABLE_SYNC;
}

bool mqxi_durable_refused(const struct mqxi_queue *q)
{
    return atomic_load(&q->header->dirty) & MQXI_DIRTY_REFUSED;
}

/*
 * Two files in the clients directory, which everybody can write to.  The lock
 * file is only ours to write to, so only we can hold a write lock on it, and
 * all can see whether we do.  Somebody else's read lock can keep us from
 * taking ours: then another file takes the place of that one.  The doorbell is
 * the same from one mqxd to the next, so that processes that have it mapped
 * need not notice.
 */
#include "bell.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable.h"
#include "guard.h"
#include "log.h"
#include "names.h"

#define ATTEMPTS 100

/* --- the lock --------------------------------------------------------------------------------- */

static int foreign(const char *path, uid_t uid)
{
    say("%s: belongs to user %u, not to us; have it removed", path, (unsigned)uid);
    return -EPERM;
}

/* Open our lock file, made when missing. */
static int open_lock(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT) {
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0 && fchmod(fd, 0644) < 0) { /* whatever the umask is: all must see the lock */
            close(fd);
            fd = -1;
        }
    }
    if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_uid != geteuid() || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = EACCES;
        fd = -1;
    }
    return fd < 0 ? -errno : fd;
}

static int lock_byte(int fd, int byte, struct flock *in_the_way)
{
    struct flock lock = {.l_type = F_WRLCK, .l_start = byte, .l_len = 1};

    *in_the_way = lock;
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno != EAGAIN && errno != EACCES)
        return -errno;
    return fcntl(fd, F_OFD_GETLK, in_the_way) < 0 ? -errno : -EAGAIN;
}

/* Did somebody put another file in its place before we had the lock? */
static bool replaced(int fd, const char *path)
{
    struct stat ours, there;

    return fstat(fd, &ours) < 0 || lstat(path, &there) < 0 || ours.st_ino != there.st_ino ||
           ours.st_dev != there.st_dev;
}

/* 0: locked.  -EAGAIN: try again.  -EBUSY: another mqxd. */
static int try_lock(struct bell *b, const char *path)
{
    struct flock other;
    struct stat st;
    int r, fd = open_lock(path);

    if (fd == -EACCES || fd == -ELOOP) {
        if (lstat(path, &st) < 0)
            return -EAGAIN;
        if (st.st_uid == geteuid() && S_ISREG(st.st_mode))
            return -EACCES;
        /* Not ours, but in its place: root may remove it. */
        return unlink(path) == 0 || errno == ENOENT ? -EAGAIN : foreign(path, st.st_uid);
    }
    if (fd < 0)
        return fd == -EEXIST ? -EAGAIN : fd;
    r = lock_byte(fd, MQXI_LOCK_RUNS, &other);
    if (r == 0 && replaced(fd, path))
        r = -EAGAIN;
    else if (r == -EAGAIN && other.l_type == F_WRLCK)
        r = -EBUSY;
    else if (r == -EAGAIN && other.l_type == F_RDLCK)
        unlink(path);
    if (r == 0)
        b->lock = fd;
    else
        close(fd);
    return r;
}

static int take_lock(struct bell *b)
{
    char path[PATH_MAX];
    int r = mqxi_mqxd_path(MQXI_LOCK_FILE, geteuid(), path);

    for (int i = 0; r == 0 && i < ATTEMPTS; i++) {
        r = try_lock(b, path);
        if (r != -EAGAIN)
            break;
        r = i + 1 < ATTEMPTS ? 0 : r;
    }
    if (r == -EBUSY)
        say("another mqxd of this user is running for %s; stop that one first", mqxi_dir());
    else if (r < 0 && r != -EPERM)
        say("%s: cannot be locked: %s", path, strerror(-r));
    return r;
}

int bell_serve(struct bell *b)
{
    struct flock other;
    int r = lock_byte(b->lock, MQXI_LOCK_SERVES, &other);

    if (r < 0)
        say("another process has locked our lock file in the clients directory of %s (%s); remove "
            "it and start mqxd again",
            mqxi_dir(), strerror(-r));
    return r;
}

bool bell_stands(const struct bell *b)
{
    char path[PATH_MAX];

    return mqxi_mqxd_path(MQXI_LOCK_FILE, geteuid(), path) < 0 || !replaced(b->lock, path);
}

/* --- the doorbell ----------------------------------------------------------------------------- */

/* Everybody rings root's. */
static mode_t bell_mode(void)
{
    return geteuid() == 0 ? 0666 : 0600;
}

/* The file stays the same one where possible, since others have it mapped. */
static int mend(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return -EPERM;
    if (fchmod(fd, bell_mode()) < 0)
        return -errno;
    return mqxi_bell_mend(fd, (uint64_t)st.st_size);
}

/* Complete, or not there. */
static int make_bell(const char *path)
{
    char temporary[PATH_MAX + 8];
    int fd, r;

    snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (unlink(temporary) < 0 && errno != ENOENT)
        return -errno;
    fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = mend(fd);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r == 0)
        return fd;
    unlink(temporary);
    close(fd);
    return r;
}

static int open_bell(void)
{
    char path[PATH_MAX];
    int r = mqxi_mqxd_path(MQXI_BELL_FILE, geteuid(), path), fd;

    if (r < 0)
        return r;
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && mend(fd) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    fd = make_bell(path);
    if (fd < 0)
        say("%s: cannot be made: %s", path, strerror(-fd));
    return fd;
}

int bell_check(struct bell *b)
{
    void *old = atomic_load(&b->page), *page;
    int fd;

    if (old && !atomic_load(&b->guarded.dead))
        return 0;
    fd = open_bell();
    if (fd < 0)
        return fd;
    /* In place of the old one: a signal handler may be about to ring it. */
    page = mmap(old, MQXI_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | (old ? MAP_FIXED : 0), fd, 0);
    close(fd);
    if (page == MAP_FAILED) {
        say("the doorbell cannot be mapped: %s", strerror(errno));
        return -errno;
    }
    atomic_store(&b->guarded.dead, false);
    if (!old) {
        b->guarded.header = page;
        b->guarded.layout.size = MQXI_PAGE;
        mqxi_guard_add(&b->guarded);
        atomic_store(&b->page, page);
    }
    return 1;
}

bool bell_rescan(struct bell *b)
{
    return atomic_exchange(&atomic_load(&b->page)->rescan, 0);
}

int bell_take(struct bell *b)
{
    int r;

    *b = (struct bell){.lock = -1};
    r = take_lock(b);
    if (r == 0 && geteuid() != 0 && mqxi_mqxd_holds(0, MQXI_LOCK_RUNS) == 1) {
        say("root's mqxd serves all users' queues in %s; none of your own is needed", mqxi_dir());
        r = -EBUSY;
    }
    if (r == 0)
        r = bell_check(b);
    return r < 0 ? r : 0;
}

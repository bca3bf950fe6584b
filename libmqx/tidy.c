/*
 * What processes left behind that were killed while they created or unlinked a
 * queue: a segment in the tmp directory, the FIFO of a segment that is not there
 * or never came to be.  Nobody would come across these, so who creates a queue
 * looks for them: not often, one process for all of a user, and each user for
 * what is his own; root for everybody's.
 *
 * Only what is old is taken: who is just at it needs a moment, even if he is
 * stopped meanwhile.
 */
#include "tidy.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "msqids.h"
#include "names.h"
#include "sys.h"

#define LOOK_SEC 600  /* from one look to the next */
#define OLD_SEC  3600 /* what is older is nobody's */

struct look {
    uint32_t euid;
    int64_t now;   /* CLOCK_REALTIME, seconds */
    bool fifos;    /* in their directory now; else in tmp */
    uint64_t *ino; /* of segments that are there: their FIFOs are needed */
    size_t count, room;
};

static int64_t seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec;
}

static int look_at(const char *path, struct statx *out)
{
    return (int)MQXI_SYS(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, out);
}

/* -ENOMEM stops. */
static int note_path(struct look *l, const char *path)
{
    struct statx st;

    if (look_at(path, &st) < 0)
        return 0; /* unlinked meanwhile */
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        uint64_t *more = realloc(l->ino, room * sizeof(*more));

        if (!more)
            return -ENOMEM;
        l->ino = more;
        l->room = room;
    }
    l->ino[l->count++] = st.stx_ino;
    return 0;
}

/* In the queues directory, all of it. */
static int note_segment(const char *name, void *arg)
{
    char path[PATH_MAX];

    return mqxi_path(MQXI_QUEUES, name, path) < 0 ? 0 : note_path(arg, path);
}

/* And System V's. */
static int note_msqid(uint32_t index, void *arg)
{
    char path[PATH_MAX];
    int id;

    return mqxi_msqid_at(index, &id) < 0 || mqxi_msqid_path(id, path) < 0 ? 0
                                                                          : note_path(arg, path);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static bool needed(const struct look *l, const char *fifo)
{
    uint64_t ino = strtoull(fifo, NULL, 10);

    return bsearch(&ino, l->ino, l->count, sizeof(ino), compare) != NULL;
}

static int remove_in(const char *name, void *directory)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", (const char *)directory, name);

    if (n > 0 && n < (int)sizeof(path))
        MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
    return 0;
}

static int remove_old(const char *name, void *arg)
{
    const struct look *l = arg;
    char path[PATH_MAX];
    struct statx st;

    if (mqxi_path(l->fifos ? MQXI_FIFOS : MQXI_TMP, name, path) < 0 || look_at(path, &st) < 0)
        return 0;
    if ((l->euid != 0 && st.stx_uid != l->euid) || l->now - st.stx_mtime.tv_sec < OLD_SEC)
        return 0;
    if (l->fifos && needed(l, name))
        return 0;
    if (S_ISDIR(st.stx_mode)) /* of a System V queue that was not to be: with one entry, or none */
        mqxi_list_path(path, remove_in, path);
    MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, S_ISDIR(st.stx_mode) ? AT_REMOVEDIR : 0);
    return 0;
}

/* True for one process of this user in LOOK_SEC: a file of his says when the last look was. */
static bool our_turn(const struct look *l)
{
    char name[24], path[PATH_MAX];
    struct statx st;
    int fd;

    snprintf(name, sizeof(name), "tidy-%u", (unsigned)l->euid);
    if (mqxi_path(MQXI_CLIENTS, name, path) < 0)
        return false;
    if (look_at(path, &st) == 0 && st.stx_uid == l->euid && S_ISREG(st.stx_mode) &&
        l->now >= st.stx_mtime.tv_sec && l->now - st.stx_mtime.tv_sec < LOOK_SEC)
        return false;
    fd = mqxi_sys_openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd == -ENOENT)
        fd = mqxi_sys_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    MQXI_SYS(SYS_utimensat, fd, NULL, NULL, 0);
    mqxi_sys_close(fd);
    return true;
}

void mqxi_tidy_sometimes(void)
{
    static _Atomic int64_t next; /* CLOCK_MONOTONIC_COARSE, for this process */
    struct look l = {.euid = (uint32_t)MQXI_SYS(SYS_geteuid), .now = seconds(CLOCK_REALTIME)};
    int64_t now = seconds(CLOCK_MONOTONIC_COARSE), due = atomic_load(&next);

    if (now < due || !atomic_compare_exchange_strong(&next, &due, now + LOOK_SEC) || !our_turn(&l))
        return;
    mqxi_list(MQXI_TMP, remove_old, &l);
    mqxi_msqid_tidy();
    /* A FIFO whose segment gets its name after this is young. */
    if (mqxi_list(MQXI_QUEUES, note_segment, &l) == 0 && mqxi_msqid_list(note_msqid, &l) == 0) {
        qsort(l.ino, l.count, sizeof(*l.ino), compare);
        l.fifos = true;
        mqxi_list(MQXI_FIFOS, remove_old, &l);
    }
    free(l.ino);
}

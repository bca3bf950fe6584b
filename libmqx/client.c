/*
 * Client numbers.  A process takes one by locking a byte of the registry file,
 * with a lock that belongs to the open file description: the kernel drops it
 * when the process is gone, however it went, and anybody can ask whether it is
 * held, across PID namespaces.
 *
 * The description must live exactly as long as the process's memory.  A
 * descriptor would not do: programs close all of theirs when they become
 * daemons, and children inherit them.  So we map a page of the file, which
 * keeps the description alive after the descriptor is closed, and keep that
 * mapping out of forked children.
 *
 * A number is used again after its holder died, with the next generation: an
 * owner id (number and generation) never comes back, so what was seen to
 * belong to a dead owner can be repaired without a race.
 */
#include "client.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "format.h"
#include "grow.h"
#include "names.h"
#include "spare.h"
#include "sys.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#define MAGIC   UINT64_C(0x3174736e6c632d78) /* "x-clnst1" */
#define VERSION 1u

struct mqxi_identity *_Atomic mqxi_identities;

static const size_t page_bytes =
    (MQXI_IDENTITIES * sizeof(struct mqxi_identity) + MQXI_PAGE - 1) / MQXI_PAGE * MQXI_PAGE;

static void wipe_in_child(void)
{
    struct mqxi_identity *page = atomic_load(&mqxi_identities);

    for (unsigned i = 0; page && i < MQXI_IDENTITIES; i++) {
        atomic_store(&page[i].owner, 0);
        atomic_store(&page[i].registry, 0);
    }
}

static struct mqxi_identity *identities(void)
{
    struct mqxi_identity *page = atomic_load(&mqxi_identities), *expected = NULL;
    long made;

    if (page)
        return page;
    made = MQXI_SYS(SYS_mmap, NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
    if (made < 0)
        return NULL;
    page = (struct mqxi_identity *)made;
    /* Where the kernel cannot wipe it (before 4.14), fork's handlers do; clone() without them
     * would then share our identity with the child. */
    if (MQXI_SYS(SYS_madvise, made, page_bytes, MADV_WIPEONFORK) < 0)
        pthread_atfork(NULL, NULL, wipe_in_child);
    if (atomic_compare_exchange_strong(&mqxi_identities, &expected, page))
        return page;
    MQXI_SYS(SYS_munmap, made, page_bytes);
    return expected;
}

static struct mqxi_identity *find(uint32_t registry)
{
    struct mqxi_identity *page = identities();

    for (unsigned i = 0; page && i < MQXI_IDENTITIES; i++) {
        struct mqxi_identity *e = &page[(registry + i) % MQXI_IDENTITIES];
        uint64_t seen = 0;

        if (atomic_compare_exchange_strong(&e->registry, &seen, (uint64_t)registry + 1) ||
            seen == (uint64_t)registry + 1)
            return e;
    }
    return NULL;
}

static int registry_path(uint32_t registry, char *path)
{
    char name[16];

    snprintf(name, sizeof(name), "%u", registry);
    return mqxi_path(MQXI_CLIENTS, name, path);
}

/*
 * Which file this process last found a registry to be: unlike its identity it
 * is not forgotten in a forked child.  After chroot, or when somebody removed
 * $MQX_DIR, the path leads to another file, or nowhere; that one knows nothing
 * about the owners in the queues that we have, and must not be asked.
 */
static struct known {
    _Atomic uint64_t registry; /* + 1; 0: unused, and so are those behind it */
    _Atomic uint64_t ino;      /* 0: none yet */
    _Atomic uint64_t user;     /* + 1; whose queue named it first; 0: none did */
} registries[MQXI_IDENTITIES];

static struct known *find_known(uint32_t registry)
{
    static struct known none;

    for (unsigned i = 0; i < MQXI_IDENTITIES; i++) {
        struct known *k = &registries[i];
        uint64_t seen = 0;

        if (atomic_compare_exchange_strong(&k->registry, &seen, (uint64_t)registry + 1) ||
            seen == (uint64_t)registry + 1)
            return k;
    }
    return &none; /* where nothing fits: registries that cannot be told apart */
}

static _Atomic uint64_t *known_registry(uint32_t registry)
{
    return &find_known(registry)->ino;
}

/* Queues are input: with as many registries as one user may make, they would fill a server's table,
 * and leave no identity for the queues of others. */
static bool may_name(uint32_t registry, uid_t user)
{
    unsigned named = 0;

    for (unsigned i = 0; i < MQXI_IDENTITIES; i++) {
        uint64_t seen = atomic_load(&registries[i].registry);

        if (seen == (uint64_t)registry + 1)
            return true;
        if (seen == 0)
            return named < MQXI_REGISTRIES_EACH;
        named += atomic_load(&registries[i].user) == (uint64_t)user + 1;
    }
    return false;
}

/* The last registry that could not be used for what it is; + 1. */
static _Atomic uint64_t unusable;

/* Is this error the registry file's own?  Then note it, and let it be that of a damaged queue. */
static long judge(uint32_t registry, long error)
{
    switch (error) {
    case -EBADMSG:
    case -EISDIR:
    case -ELOOP:
    case -EACCES:
        atomic_store(&unusable, (uint64_t)registry + 1);
        return error == -EACCES ? error : -EBADMSG;
    default:
        return error;
    }
}

bool mqxi_client_unusable(char *path)
{
    uint64_t which = atomic_exchange(&unusable, 0);

    return which != 0 && registry_path((uint32_t)(which - 1), path) == 0;
}

/* Pages for every generation: who begins to receive must not need room, nor a page be missing that
 * somebody reads. */
static int allocate(int fd)
{
    int r = mqxi_grow_allocate(fd, sizeof(struct mqxi_registry));

    if (r == -EOPNOTSUPP)
        r = mqxi_grow_truncate(fd, sizeof(struct mqxi_registry));
    return r;
}

/* Open a registry, made when missing, for this user.  The directory is everybody's: what has the
 * name may be anything. */
static int registry_open(uint32_t registry, uid_t owner, struct mqxi_stat *st)
{
    char path[PATH_MAX];
    int r = registry_path(registry, path), fd;

    if (r < 0)
        return r;
    fd = mqxi_sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd == -ENOENT) {
        fd = mqxi_sys_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd == -EEXIST)
            fd = mqxi_sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
        else if (fd >= 0) {
            MQXI_SYS(SYS_fchmod, fd, 0600); /* past the umask */
            if ((uid_t)MQXI_SYS(SYS_geteuid) != owner)
                MQXI_SYS(SYS_fchown, fd, owner, -1); /* root, serving that user */
        }
    }
    if (fd < 0)
        return fd;
    r = mqxi_sys_stat(fd, "", st);
    if (r == 0)
        r = S_ISREG(st->mode) ? allocate(fd) : -EACCES;
    if (r < 0)
        mqxi_sys_close(fd);
    return r < 0 ? r : fd;
}

/* Is it this user's, or can be made so?  -EACCES: another's, or no file, or so on; else what
 * another name would not help against. */
static int try_registry(uint32_t registry, uid_t owner)
{
    struct mqxi_stat st;
    int fd = registry_open(registry, owner, &st);

    if (fd >= 0)
        mqxi_sys_close(fd);
    if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOSPC || fd == -EDQUOT ||
        fd == -EROFS || fd == -ENOENT)
        return fd;
    return fd >= 0 && st.uid == owner ? 0 : -EACCES;
}

struct search {
    uid_t owner;
    uint32_t registry;
};

static int belongs(const char *name, void *arg)
{
    struct search *s = arg;
    uint64_t number = strtoull(name, NULL, 10);
    char path[PATH_MAX];
    struct mqxi_stat st;

    if (number < MQXI_REGISTRY_ELSE || number > UINT32_MAX ||
        mqxi_path(MQXI_CLIENTS, name, path) < 0 || mqxi_sys_stat(AT_FDCWD, path, &st) < 0 ||
        !S_ISREG(st.mode) || st.uid != s->owner)
        return 0;
    s->registry = (uint32_t)number;
    return 1;
}

int mqxi_client_registry(uid_t owner, uint32_t *registry)
{
    struct search s = {.owner = owner};
    int r = -EACCES;

    for (uint32_t i = 0; r == -EACCES && i < MQXI_REGISTRIES; i++) {
        *registry = i == 0 ? owner : MQXI_REGISTRY_ELSE | (owner * 2654435761u + i);
        r = try_registry(*registry, owner);
    }
    if (r != -EACCES)
        return r;
    /* Somebody has taken all of these, on purpose: so one with a name that he could not guess. */
    r = mqxi_list(MQXI_CLIENTS, belongs, &s);
    if (r == 0 && MQXI_SYS(SYS_getrandom, &s.registry, sizeof(s.registry), 0) < 0)
        r = -EIO;
    *registry = MQXI_REGISTRY_ELSE | s.registry;
    return r < 0 ? r : try_registry(*registry, owner);
}

/* Lock a free number; returns it or -errno. */
static int take_number(int fd, uint32_t pid)
{
    uint32_t start = pid * 2654435761u % MQXI_CLIENTS_MAX; /* spreads the first tries */

    for (uint32_t i = 0; i < MQXI_CLIENTS_MAX; i++) {
        uint32_t number = (start + i) % MQXI_CLIENTS_MAX;
        struct flock lock = {.l_type = F_WRLCK, .l_start = number, .l_len = 1};
        int r = mqxi_sys_fcntl(fd, F_OFD_SETLK, (long)&lock);

        if (r == 0)
            return (int)number;
        if (r != -EAGAIN && r != -EACCES)
            return r;
    }
    return -EUSERS;
}

static uint64_t word_offset(uint32_t number)
{
    return offsetof(struct mqxi_registry, generation) + number * sizeof(uint64_t);
}

/* Begin the number's next generation.  The mapping made here holds the lock: it must not be given
 * back while the process uses the owner id.  *mapping says where it is. */
static int next_generation(int fd, uint32_t number, uint64_t *generation, void **mapping)
{
    uint64_t at = word_offset(number), g = 0;
    long r = MQXI_SYS(SYS_pread64, fd, &g, sizeof(g), (long)at);

    if (r < 0)
        return (int)r;
    if (++g > MQXI_GEN_MAX)
        return -EBADMSG;
    r = mqxi_grow_write(fd, &g, sizeof(g), at); /* ENOSPC comes from here, no SIGBUS */
    if (r != (long)sizeof(g))
        return r < 0 ? (int)r : -ENOSPC;
    r = MQXI_SYS(SYS_mmap, NULL, MQXI_PAGE, PROT_READ, MAP_SHARED, fd, 0L);
    if (r < 0)
        return (int)r;
    *mapping = (void *)r;
    *generation = g;
    return (int)MQXI_SYS(SYS_madvise, *mapping, MQXI_PAGE, MADV_DONTFORK);
}

static int registry_check(int fd)
{
    struct {
        uint64_t magic;
        uint32_t version;
    } head = {0}, mine = {MAGIC, VERSION};
    long r = MQXI_SYS(SYS_pread64, fd, &head, sizeof(head), 0L);

    if (r < 0)
        return (int)r;
    if (head.magic == 0) { /* new; all write the same */
        r = mqxi_grow_write(fd, &mine, sizeof(mine), 0);
        return r < 0 ? (int)r : 0;
    }
    return head.magic == MAGIC && head.version == VERSION ? 0 : -EBADMSG;
}

/* A number that is being taken. */
struct taking {
    uint32_t registry, pid;
    uint64_t owner;
    void *mapping;
};

static long take(void *arg)
{
    struct taking *t = arg;
    struct mqxi_stat st;
    uint64_t generation = 0, none = 0;
    uid_t euid = (uid_t)MQXI_SYS(SYS_geteuid);
    uid_t owner = t->registry < MQXI_REGISTRY_ELSE ? t->registry : euid; /* should it be missing */
    int fd = registry_open(t->registry, owner, &st), r;

    if (fd < 0)
        return judge(t->registry, fd);
    r = registry_check(fd);
    if (r == 0 && atomic_load(known_registry(t->registry)) == 0 && st.uid != owner &&
        st.uid != euid)
        r = -EACCES;
    if (r == 0 && !atomic_compare_exchange_strong(known_registry(t->registry), &none, st.ino) &&
        none != st.ino)
        r = -ESTALE;
    if (r == 0)
        r = take_number(fd, t->pid);
    if (r >= 0) {
        t->owner = (uint64_t)r << MQXI_GEN_BITS;
        r = next_generation(fd, (uint32_t)r, &generation, &t->mapping);
        t->owner |= generation;
    }
    mqxi_sys_close(fd); /* the mapping keeps the lock */
    return judge(t->registry, r);
}

/*
 * A child that another thread forks while this one takes a number would inherit
 * the lock, and the number's owner would seem to live as long as that child.  So a
 * number that was taken beside a fork is not used; its lock goes with the child.
 */
static _Atomic uint32_t forking, forks; /* going on now; over, in all */

static void fork_begins(void)
{
    atomic_fetch_add(&forking, 1);
}

static void fork_is_over(void)
{
    atomic_fetch_add(&forks, 1);
    atomic_fetch_sub(&forking, 1);
}

#define BESIDE_FORKS                                                                               \
    100 /* attempts: a handler may have interrupted fork itself, which then waits */

static long take_alone(struct taking *t)
{
    long r = -EAGAIN;

    for (int i = 0; i < BESIDE_FORKS; i++) {
        bool alone = atomic_load(&forking) == 0;
        uint32_t before = atomic_load(&forks);

        r = mqxi_spare_descriptor(take, t);
        if (r < 0 || i == BESIDE_FORKS - 1 ||
            (alone && atomic_load(&forking) == 0 && atomic_load(&forks) == before))
            break;
        MQXI_SYS(SYS_munmap, t->mapping, MQXI_PAGE);
        t->mapping = NULL;
        MQXI_SYS(SYS_sched_yield);
    }
    return r;
}

struct mqxi_identity *mqxi_client_join(uint32_t registry, int *error)
{
    struct mqxi_identity *me = find(registry);
    struct taking t = {.registry = registry, .pid = (uint32_t)MQXI_SYS(SYS_getpid)};
    uint64_t none = 0;
    long r;

    if (!me) {
        *error = -ENOMEM;
        return NULL;
    }
    if (atomic_load(&me->owner) != 0)
        return me;
    r = take_alone(&t);
    if (r < 0) {
        if (t.mapping)
            MQXI_SYS(SYS_munmap, t.mapping, MQXI_PAGE);
        *error = (int)r;
        return NULL;
    }
    atomic_store(&me->pid, t.pid);
    atomic_store(&me->uid, (uint32_t)MQXI_SYS(SYS_getuid));
    /* Another thread, or a handler that interrupted us, may have been faster: one number a
     * process is enough. */
    if (!atomic_compare_exchange_strong(&me->owner, &none, t.owner))
        MQXI_SYS(SYS_munmap, t.mapping, MQXI_PAGE);
    return me;
}

/*
 * The child takes its own numbers at once: it may be about to give up the rights
 * that the registry wants, by setuid or chroot, and its parent's queues are to
 * work after that as the kernel's do.  Where that fails, its first call tries
 * again, and says why.
 */
static void forked(void)
{
    atomic_store(&forking, 0); /* whoever else was at it is not here */
    for (unsigned i = 0; i < MQXI_IDENTITIES; i++) {
        uint64_t registry = atomic_load(&registries[i].registry);
        int error;

        if (registry == 0)
            break;
        if (atomic_load(&registries[i].ino) != 0)
            mqxi_client_join((uint32_t)(registry - 1), &error);
    }
    atomic_store(&unusable, 0); /* nobody has been refused anything */
}

static __attribute__((constructor)) void watch_forks(void)
{
    pthread_atfork(fork_begins, fork_is_over, forked);
}

int mqxi_client_renew(uint32_t registry, uid_t user)
{
    uint64_t owner, ino, nobody = 0;
    struct mqxi_identity *me;
    struct known *known;
    struct mqxi_stat st;
    char path[PATH_MAX];
    int r;

    mqxi_dir_keep();
    if (registry_path(registry, path) < 0)
        return 0;
    r = mqxi_sys_stat(AT_FDCWD, path, &st);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == 0 && (!S_ISREG(st.mode) || st.uid != user)) /* or the queue names what is not its */
        return registry == user || registry >= MQXI_REGISTRY_ELSE ? (int)judge(registry, -EBADMSG)
                                                                  : -EBADMSG;
    if (!may_name(registry, user))
        return -EBADMSG;
    known = find_known(registry);
    atomic_compare_exchange_strong(&known->user, &nobody, (uint64_t)user + 1);
    me = find(registry);
    owner = me ? atomic_load(&me->owner) : 0;
    ino = atomic_load(&known->ino);
    if (st.ino != ino && atomic_compare_exchange_strong(&known->ino, &ino, st.ino) && owner)
        atomic_compare_exchange_strong(&me->owner, &owner, 0);
    return 0;
}

/* Does the lock that proves this owner's life exist?  Errors count as yes: nothing is taken from
 * an owner that may be alive. */
static bool holds_lock(int fd, uint64_t owner)
{
    struct flock lock = {.l_type = F_WRLCK, .l_start = (off_t)(owner >> MQXI_GEN_BITS), .l_len = 1};
    uint64_t at = word_offset((uint32_t)(owner >> MQXI_GEN_BITS)), generation = 0;

    if (mqxi_sys_fcntl(fd, F_OFD_GETLK, (long)&lock) < 0)
        return true;
    if (lock.l_type == F_UNLCK)
        return false;
    /* Locked, but perhaps by a later holder of the number.  One that has locked it and not yet
     * written its generation makes the dead seem alive for a moment, never the reverse. */
    if (MQXI_SYS(SYS_pread64, fd, &generation, sizeof(generation), (long)at) != sizeof(generation))
        return true;
    return generation == (owner & MQXI_GEN_MAX);
}

struct asking {
    uint32_t registry;
    uint64_t owner;
};

/* 0 or 1, or -errno: cannot be told. */
static long ask(void *arg)
{
    const struct asking *a = arg;
    uint64_t known = atomic_load(known_registry(a->registry));
    struct mqxi_stat st;
    char path[PATH_MAX];
    bool alive;
    int fd, r = registry_path(a->registry, path);

    if (r < 0)
        return r;
    fd = mqxi_sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    alive = mqxi_sys_stat(fd, "", &st) < 0 || (known != 0 && st.ino != known) ||
            holds_lock(fd, a->owner);
    mqxi_sys_close(fd);
    return alive;
}

bool mqxi_client_alive(uint32_t registry, uint64_t owner)
{
    struct asking a = {registry, owner};

    if (owner >> MQXI_GEN_BITS >= MQXI_CLIENTS_MAX)
        return false; /* no such number was ever given */
    return mqxi_spare_descriptor(ask, &a) != 0;
}

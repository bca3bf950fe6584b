/*
 * From a queue's name to paths.  A queue is visible as a file of its own name,
 * and any byte but '/' and NUL may stand in it, so what else we keep lies in
 * directories beside that of the queues.
 */
#include "names.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

/* libc's business, which gives the kernel none: musl takes names without it. */
#ifdef __GLIBC__
#define SLASH_NEEDED 1
#else
#define SLASH_NEEDED 0
#endif

int mqxi_name_check(const char *name, const char **out)
{
    size_t len;

    if (name[0] == '/')
        name++;
    else if (SLASH_NEEDED)
        return -EINVAL;
    len = strnlen(name, PATH_MAX);
    if (len == 0)
        return -ENOENT;
    if (len >= PATH_MAX)
        return -ENAMETOOLONG;
    /* Linux looks the name up as one component: the order of these two is its. */
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EACCES;
    if (len > NAME_MAX)
        return -ENAMETOOLONG;
    *out = name;
    return 0;
}

static const char *chosen_dir(void)
{
    const char *dir = secure_getenv("MQX_DIR");
    struct mqxi_stat st;

    if (dir && *dir)
        return dir;
    return mqxi_sys_stat(AT_FDCWD, "/run/mqx", &st) == 0 ? "/run/mqx" : "/dev/shm/mqx";
}

static char kept[PATH_MAX];
static atomic_int keeping; /* 0: not yet, 1: being copied, 2: kept */

const char *mqxi_dir(void)
{
    return atomic_load_explicit(&keeping, memory_order_acquire) == 2 ? kept : chosen_dir();
}

void mqxi_dir_keep(void)
{
    const char *dir = chosen_dir();
    size_t used = 0, len = strlen(dir);
    int none = 0;

    if (!atomic_compare_exchange_strong(&keeping, &none, 1))
        return;
    if (dir[0] != '/' && MQXI_SYS(SYS_getcwd, kept, sizeof(kept)) > 0) {
        used = strlen(kept);
        kept[used++] = '/';
    }
    if (used + len < sizeof(kept)) {
        memcpy(kept + used, dir, len + 1);
        atomic_store_explicit(&keeping, 2, memory_order_release);
    }
}

static const char *const places[MQXI_PLACES] = {"queues", "fifos", "clients",  "gone",
                                                "tmp",    "sysv",  "sysv/ids", "sysv/keys"};

int mqxi_path(enum mqxi_place place, const char *name, char *path)
{
    int n = snprintf(path, PATH_MAX, "%s/%s/%s", mqxi_dir(), places[place], name);

    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int mqxi_list(enum mqxi_place place, int (*each)(const char *name, void *arg), void *arg)
{
    char path[PATH_MAX];
    int r = mqxi_path(place, "", path);

    return r < 0 ? r : mqxi_list_path(path, each, arg);
}

int mqxi_list_path(const char *path, int (*each)(const char *name, void *arg), void *arg)
{
    /* Not opendir: that may be another preloaded library's (sys.h). */
    int fd = mqxi_sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), r = 0;
    struct dirent *entry;
    DIR *dir;

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    dir = fdopendir(fd);
    if (!dir) {
        r = -errno;
        mqxi_sys_close(fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = each(entry->d_name, arg);
    closedir(dir);
    return r;
}

/* A directory for everybody, whatever the umask.  Under another name first: who dies in between
 * leaves none that only its own user may use. */
static int make(const char *path)
{
    char before[PATH_MAX];
    struct mqxi_stat st;
    size_t len = strlen(path);
    uint64_t id = 0;
    int r, n;

    if (mqxi_sys_stat(AT_FDCWD, path, &st) == 0)
        return 0;
    while (len > 1 && path[len - 1] == '/')
        len--;
    MQXI_SYS(SYS_getrandom, &id, sizeof(id), 0);
    n = snprintf(before, sizeof(before), "%.*s.%016lx", (int)len, path, (unsigned long)id);
    if (n < 0 || (size_t)n >= sizeof(before))
        return -ENAMETOOLONG;
    r = (int)MQXI_SYS(SYS_mkdirat, AT_FDCWD, before, 01777);
    if (r < 0)
        return r;
    r = (int)MQXI_SYS(SYS_fchmodat, AT_FDCWD, before, 01777);
    if (r == 0)
        r = (int)MQXI_SYS(SYS_renameat2, AT_FDCWD, before, AT_FDCWD, path, RENAME_NOREPLACE);
    if (r == -EINVAL) /* not on this file system: then over an empty one, at worst */
        r = (int)MQXI_SYS(SYS_renameat2, AT_FDCWD, before, AT_FDCWD, path, 0);
    if (r < 0)
        MQXI_SYS(SYS_unlinkat, AT_FDCWD, before, AT_REMOVEDIR);
    return r == -EEXIST || r == -ENOTEMPTY ? 0 : r;
}

static int make_places(enum mqxi_place from, enum mqxi_place to)
{
    char path[PATH_MAX];
    int r = make(mqxi_dir());

    for (enum mqxi_place i = from; r == 0 && i < to; i++) {
        r = mqxi_path(i, "", path);
        if (r == 0)
            r = make(path);
    }
    return r;
}

int mqxi_dirs_make(void)
{
    return make_places(0, MQXI_SYSV);
}

int mqxi_dirs_make_sysv(void)
{
    return make_places(MQXI_SYSV, MQXI_PLACES);
}

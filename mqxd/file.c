/*
 * LMDB's commits are safe, but not what it begins with: it writes the first two
 * pages of a new file as one write, of which a power failure may leave a part,
 * and never syncs the file's name.  So a new file gets its name when it is
 * complete.
 *
 * Nor does a sync of our own prove, when we start, that the disk has what we
 * read: if our predecessor was told of an error, then the kernel has forgotten
 * what it could not write, shows it nevertheless, and calls the next sync a
 * success.  Of what a database consists of, that can concern its two heads only:
 * all else was synced before a head that refers to it was written.  Hence these
 * are written once more.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_ROOM (PATH_MAX + 16)

int file_sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

    if (fd < 0)
        return -errno;
    if (fsync(fd) < 0 && errno != EINVAL) /* a file system that has nothing to sync there */
        r = -errno;
    close(fd);
    return r;
}

/* In a directory of its own: LMDB notes in the file when it was made otherwise. */
static int make_new(const char *dir, const char *path)
{
    MDB_env *env;
    int r;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    unlink(path); /* of one that did not get far */
    r = mdb_env_create(&env);
    if (r)
        return r > 0 ? -r : -EIO;
    r = mdb_env_open(env, dir, MDB_NOLOCK, 0600);
    if (r == 0)
        r = mdb_env_sync(env, 1);
    mdb_env_close(env);
    return r > 0 ? -r : r < 0 ? -EIO : 0;
}

int file_make(const char *dir)
{
    char path[PATH_ROOM], new_dir[PATH_ROOM], new_path[PATH_ROOM + 16];
    int r;

    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    snprintf(new_dir, sizeof(new_dir), "%s/new", dir);
    snprintf(new_path, sizeof(new_path), "%s/data.mdb", new_dir);
    if (access(path, F_OK) == 0)
        return 0;
    if (errno != ENOENT)
        return -errno;
    r = make_new(new_dir, new_path);
    if (r == 0 && rename(new_path, path) < 0)
        r = -errno;
    rmdir(new_dir);
    return r;
}

static int write_heads_again(int fd)
{
    size_t size = 2 * (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *heads = malloc(size);
    ssize_t n = heads ? pread(fd, heads, size, 0) : -1;
    int r = !heads ? -ENOMEM : n < 0 ? -errno : 0;

    if (r == 0 && pwrite(fd, heads, (size_t)n, 0) != n)
        r = errno == ENOSPC ? -ENOSPC : -EIO;
    if (r == 0 && fdatasync(fd) < 0)
        r = -errno;
    free(heads);
    return r;
}

int file_settle(const char *dir)
{
    char path[PATH_ROOM], above[PATH_ROOM];
    int fd, r;

    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    snprintf(above, sizeof(above), "%s/..", dir); /* the directory may be new, too */
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    r = write_heads_again(fd);
    close(fd);
    if (r == 0)
        r = file_sync_directory(dir);
    if (r == 0)
        r = file_sync_directory(above);
    return r == -EACCES ? 0 : r; /* what is above is others', and was there before */
}

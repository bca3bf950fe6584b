#include "memory.h"

#include "../storm.h"

#include <sys/mount.h>
#include <sys/statvfs.h>

static char filler[4200];

const char *memory_own(void)
{
    const char *folder = getenv("MQX_DIR");

    if (!folder)
        return "MQX_DIR is not set";
    if (geteuid() != 0)
        return "only root mounts a file system";
    if ((mkdir(folder, 01777) != 0 && errno != EEXIST) || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("step_storm", folder, "tmpfs", 0, "size=64m,mode=1777") != 0)
        return strerror(errno);
    snprintf(filler, sizeof filler, "%s/filler", folder);
    return NULL;
}

void memory_take_all(void)
{
    int fd = open(filler, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    struct statvfs fs;
    off_t size = 0;

    if (fd < 0 || fstatvfs(fd, &fs) != 0)
        storm_die(filler);
    size = (off_t)(fs.f_bavail * fs.f_frsize);
    while (size > 0 && posix_fallocate(fd, 0, size) != 0)
        size -= (off_t)fs.f_frsize;
    while (posix_fallocate(fd, size, (off_t)fs.f_frsize) == 0)
        size += (off_t)fs.f_frsize;
    close(fd);
}

void memory_give_back(void)
{
    if (unlink(filler) != 0)
        storm_die(filler);
}

/*
 * System calls without libc's wrappers: they return -errno, are no
 * cancellation points, and cannot be interposed by another preloaded library
 * (one that wraps open and sends a message from its wrapper would recurse).
 */
#ifndef MQXI_SYS_H
#define MQXI_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What older musls leave to the kernel's headers. */
#ifndef STATX_BASIC_STATS
#include <linux/stat.h>
#endif
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

#ifndef __has_feature
#define __has_feature(feature) 0 /* gcc says it otherwise */
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define MQXI_THREAD_SANITIZER 1
#else
#define MQXI_THREAD_SANITIZER 0
#endif

#define MQXI_SYS(...)                                                                              \
    __extension__({                                                                                \
        int saved_ = errno;                                                                        \
        long r_ = syscall(__VA_ARGS__);                                                            \
        if (r_ == -1) {                                                                            \
            r_ = -errno;                                                                           \
            errno = saved_;                                                                        \
        }                                                                                          \
        r_;                                                                                        \
    })

static inline int mqxi_sys_openat(int dir, const char *path, int flags, unsigned mode)
{
    return (int)MQXI_SYS(SYS_openat, dir, path, flags, mode);
}

static inline int mqxi_sys_close(int fd)
{
    return (int)MQXI_SYS(SYS_close, fd);
}

static inline int mqxi_sys_fcntl(int fd, int command, long arg)
{
    return (int)MQXI_SYS(SYS_fcntl, fd, command, arg);
}

/* A file's kind, owner and identity. */
struct mqxi_stat {
    uint32_t mode, uid, gid;
    uint64_t ino, size, dev;
};

/* path may be "" to mean the descriptor dir itself; symbolic links are not followed. */
static inline int mqxi_sys_stat(int dir, const char *path, struct mqxi_stat *out)
{
    struct statx sx;
    long r =
        MQXI_SYS(SYS_statx, dir, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &sx);

    *out = (struct mqxi_stat){0};
    if (r < 0)
        return (int)r;
    *out = (struct mqxi_stat){sx.stx_mode,
                              sx.stx_uid,
                              sx.stx_gid,
                              sx.stx_ino,
                              sx.stx_size,
                              (uint64_t)sx.stx_dev_major << 32 | sx.stx_dev_minor};
    return 0;
}

#endif

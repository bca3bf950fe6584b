/*
 * libc's names for calls on descriptors in general, which may be a queue's.
 * Forwarding only: to files.c, and for all other descriptors to the next
 * definition (next.h).
 */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>

#include "files.h"
#include "next.h"
#include "posix.h"

/* What headers do not declare everywhere. */
int __fxstat(int version, int fd, struct stat *st);
int __fxstat64(int version, int fd, struct stat64 *st);
void closefrom(int low);
int close_range(unsigned first, unsigned last, int flags);

MQX_API int close(int fd)
{
    mqxi_file_closing(fd);
    return GO_ON(close, MQXI_SYS_POINT(SYS_close, fd), fd);
}

MQX_API void closefrom(int low)
{
    __typeof__(&closefrom) next = MQXI_NEXT(closefrom);

    mqxi_files_closing(low < 0 ? 0 : (unsigned)low, UINT32_MAX);
    if (next)
        next(low);
    else
        MQXI_SYS(SYS_close_range, low < 0 ? 0 : low, UINT32_MAX, 0);
}

MQX_API int close_range(unsigned first, unsigned last, int flags)
{
    const int cloexec = 4; /* CLOSE_RANGE_CLOEXEC: closes nothing now */

    if (!(flags & cloexec))
        mqxi_files_closing(first, last);
    return GO_ON(close_range, MQXI_SYS(SYS_close_range, first, last, flags), first, last, flags);
}

MQX_API int dup(int fd)
{
    int r = GO_ON(dup, MQXI_SYS(SYS_dup, fd), fd);

    if (r >= 0)
        mqxi_file_duplicated(fd, r);
    return r;
}

MQX_API int dup2(int from, int to)
{
    int r = GO_ON(dup2, MQXI_SYS(SYS_dup3, from, to, 0), from, to);

    if (r >= 0 && from != to)
        mqxi_file_duplicated(from, to);
    return r;
}

MQX_API int dup3(int from, int to, int flags)
{
    int r = GO_ON(dup3, MQXI_SYS(SYS_dup3, from, to, flags), from, to, flags);

    if (r >= 0)
        mqxi_file_duplicated(from, to);
    return r;
}

static int control(__typeof__(&fcntl) next, int fd, int command, void *arg)
{
    int r;

    if (command == F_SETFL) {
        r = mqxi_file_setfl(fd, (int)(intptr_t)arg);
        if (r < 0)
            return (int)mqxi_result(r);
        arg = (void *)(intptr_t)r;
    }
    if ((command == F_GETPIPE_SZ || command == F_SETPIPE_SZ) &&
        mqxi_file_write(fd) != MQXI_NOT_OURS)
        return (int)mqxi_result(-EBADF); /* no pipe */
    r = next ? next(fd, command, arg)
             : (int)mqxi_result(MQXI_SYS_POINT(SYS_fcntl, fd, command, arg));
    if (r >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
        mqxi_file_duplicated(fd, r);
    return command == F_GETFL ? mqxi_file_getfl(fd, r) : r;
}

MQX_API int fcntl(int fd, int command, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, command);
    arg = va_arg(ap, void *);
    va_end(ap);
    return control(MQXI_NEXT(fcntl), fd, command, arg);
}

#ifdef __GLIBC__
MQX_API int fcntl64(int fd, int command, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, command);
    arg = va_arg(ap, void *);
    va_end(ap);
    return control(MQXI_NEXT(fcntl64), fd, command, arg);
}
#endif

/* Where struct stat is struct stat64, and the system call fills it in as it is. */
#if defined(__x86_64__) || defined(__aarch64__)
MQX_API int fstat(int fd, struct stat *st)
{
    int r = GO_ON(fstat, MQXI_SYS(SYS_fstat, fd, st), fd, st);

    if (r == 0)
        mqxi_file_stat(fd, st);
    return r;
}

#ifdef __GLIBC__
MQX_API int fstat64(int fd, struct stat64 *st)
{
    int r = GO_ON(fstat64, MQXI_SYS(SYS_fstat, fd, st), fd, st);

    if (r == 0)
        mqxi_file_stat(fd, (struct stat *)st);
    return r;
}

/* What programs call that were built for glibc before 2.33. */
MQX_API int __fxstat(int version, int fd, struct stat *st)
{
    int r = GO_ON(__fxstat, MQXI_SYS(SYS_fstat, fd, st), version, fd, st);

    if (r == 0)
        mqxi_file_stat(fd, st);
    return r;
}

MQX_API int __fxstat64(int version, int fd, struct stat64 *st)
{
    int r = GO_ON(__fxstat64, MQXI_SYS(SYS_fstat, fd, st), version, fd, st);

    if (r == 0)
        mqxi_file_stat(fd, (struct stat *)st);
    return r;
}
#endif
#endif

/* What Rust's and Node's fstat call. */
MQX_API int statx(int dir, const char *path, int flags, unsigned mask, struct statx *st)
{
    const char *volatile name = path; /* declared never to be NULL, which newer kernels take */
    int r = GO_ON(statx, MQXI_SYS(SYS_statx, dir, path, flags, mask, st), dir, path, flags, mask,
                  st);

    if (r == 0 && flags & AT_EMPTY_PATH && (!name || !*name))
        mqxi_file_statx(dir, st);
    return r;
}

MQX_API int fchmod(int fd, mode_t mode)
{
    int r = mqxi_file_chmod(fd, mode);

    return r == MQXI_NOT_OURS ? GO_ON(fchmod, MQXI_SYS(SYS_fchmod, fd, mode), fd, mode)
                              : (int)mqxi_result(r);
}

MQX_API off_t lseek(int fd, off_t offset, int whence)
{
    off_t now = 0;
    int r = mqxi_file_seek(fd, offset, whence, &now);

    if (r == MQXI_NOT_OURS)
        return GO_ON(lseek, MQXI_SYS(SYS_lseek, fd, offset, whence), fd, offset, whence);
    return r < 0 ? mqxi_result(r) : now;
}

#if defined(__GLIBC__) && defined(__LP64__)
MQX_API off64_t lseek64(int fd, off64_t offset, int whence)
{
    return lseek(fd, offset, whence);
}
#endif

/*
 * libc's names for reading and writing files, and for having the kernel do it.
 * Forwarding only: to files.c, which says what a queue's descriptor says, and for
 * all other descriptors to the next definition (next.h).
 */
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "files.h"
#include "next.h"
#include "posix.h"

/* An offset, to system calls that take one: in two halves, as for 32 bits. */
#define HALVES(offset) (long)(offset), 0L

static ssize_t done(int r, ssize_t got)
{
    return mqxi_result(r < 0 ? r : got);
}

MQX_API ssize_t read(int fd, void *buffer, size_t size)
{
    struct iovec to = {buffer, size};
    ssize_t got = 0;
    int r = mqxi_file_read(fd, &to, 1, NULL, &got);

    if (r == MQXI_NOT_OURS)
        return GO_ON(read, MQXI_SYS_POINT(SYS_read, fd, buffer, size), fd, buffer, size);
    return done(r, got);
}

MQX_API ssize_t pread(int fd, void *buffer, size_t size, off_t offset)
{
    struct iovec to = {buffer, size};
    ssize_t got = 0;
    int r = mqxi_file_read(fd, &to, 1, &offset, &got);

    if (r == MQXI_NOT_OURS)
        return GO_ON(pread, MQXI_SYS_POINT(SYS_pread64, fd, buffer, size, offset), fd, buffer, size,
                     offset);
    return done(r, got);
}

MQX_API ssize_t readv(int fd, const struct iovec *to, int n)
{
    ssize_t got = 0;
    int r = mqxi_file_read(fd, to, n, NULL, &got);

    if (r == MQXI_NOT_OURS)
        return GO_ON(readv, MQXI_SYS_POINT(SYS_readv, fd, to, n), fd, to, n);
    return done(r, got);
}

MQX_API ssize_t preadv(int fd, const struct iovec *to, int n, off_t offset)
{
    ssize_t got = 0;
    int r = mqxi_file_read(fd, to, n, &offset, &got);

    if (r == MQXI_NOT_OURS)
        return GO_ON(preadv, MQXI_SYS_POINT(SYS_preadv, fd, to, n, HALVES(offset)), fd, to, n,
                     offset);
    return done(r, got);
}

MQX_API ssize_t write(int fd, const void *data, size_t size)
{
    int r = mqxi_file_write(fd);

    if (r == MQXI_NOT_OURS)
        return GO_ON(write, MQXI_SYS_POINT(SYS_write, fd, data, size), fd, data, size);
    return mqxi_result(r);
}

MQX_API ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    int r = offset < 0 ? MQXI_NOT_OURS : mqxi_file_write(fd); /* negative: EINVAL for all */

    if (r == MQXI_NOT_OURS)
        return GO_ON(pwrite, MQXI_SYS_POINT(SYS_pwrite64, fd, data, size, offset), fd, data, size,
                     offset);
    return mqxi_result(r);
}

MQX_API ssize_t writev(int fd, const struct iovec *data, int n)
{
    int r = mqxi_file_write(fd);

    if (r == MQXI_NOT_OURS)
        return GO_ON(writev, MQXI_SYS_POINT(SYS_writev, fd, data, n), fd, data, n);
    return mqxi_result(r);
}

MQX_API ssize_t pwritev(int fd, const struct iovec *data, int n, off_t offset)
{
    int r = offset < 0 ? MQXI_NOT_OURS : mqxi_file_write(fd);

    if (r == MQXI_NOT_OURS)
        return GO_ON(pwritev, MQXI_SYS_POINT(SYS_pwritev, fd, data, n, HALVES(offset)), fd, data, n,
                     offset);
    return mqxi_result(r);
}

#ifdef __GLIBC__
MQX_API ssize_t preadv2(int fd, const struct iovec *to, int n, off_t offset, int flags)
{
    ssize_t got = 0;
    int r = mqxi_file_read(fd, to, n, offset == -1 ? NULL : &offset, &got);

    if (r == MQXI_NOT_OURS)
        return GO_ON(preadv2, MQXI_SYS_POINT(SYS_preadv2, fd, to, n, HALVES(offset), flags), fd, to,
                     n, offset, flags);
    return done(r == 0 && flags & ~RWF_HIPRI ? -EOPNOTSUPP : r, got);
}

MQX_API ssize_t pwritev2(int fd, const struct iovec *data, int n, off_t offset, int flags)
{
    int r = offset < -1 ? MQXI_NOT_OURS : mqxi_file_write(fd);

    if (r == MQXI_NOT_OURS)
        return GO_ON(pwritev2, MQXI_SYS_POINT(SYS_pwritev2, fd, data, n, HALVES(offset), flags), fd,
                     data, n, offset, flags);
    return mqxi_result(r);
}
#endif

/* --- by the kernel ---------------------------------------------------------------------------- */

MQX_API ssize_t sendfile(int to, int from, off_t *offset, size_t size)
{
    int r = mqxi_file_transfer(from, to);

    if (r == MQXI_NOT_OURS)
        return GO_ON(sendfile, MQXI_SYS(SYS_sendfile, to, from, offset, size), to, from, offset,
                     size);
    return mqxi_result(r);
}

MQX_API ssize_t splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size,
                       unsigned flags)
{
    int r = size == 0 ? MQXI_NOT_OURS : mqxi_file_transfer(from, to);

    if (r == MQXI_NOT_OURS)
        return GO_ON(splice,
                     MQXI_SYS_POINT(SYS_splice, from, from_offset, to, to_offset, size, flags),
                     from, from_offset, to, to_offset, size, flags);
    return mqxi_result(r);
}

MQX_API ssize_t tee(int from, int to, size_t size, unsigned flags)
{
    int r = size == 0 ? MQXI_NOT_OURS : mqxi_file_transfer(from, to);

    if (r == MQXI_NOT_OURS)
        return GO_ON(tee, MQXI_SYS_POINT(SYS_tee, from, to, size, flags), from, to, size, flags);
    return mqxi_result(r);
}

MQX_API ssize_t vmsplice(int fd, const struct iovec *data, size_t n, unsigned flags)
{
    if (mqxi_file_write(fd) != MQXI_NOT_OURS)
        return mqxi_result(-EBADF); /* no pipe */
    return GO_ON(vmsplice, MQXI_SYS_POINT(SYS_vmsplice, fd, data, n, flags), fd, data, n, flags);
}

/* --- other names for the same ------------------------------------------------------------------
 */

#if defined(__GLIBC__) && defined(__LP64__)
MQX_API ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset)
{
    return pread(fd, buffer, size, offset);
}

MQX_API ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return pwrite(fd, data, size, offset);
}

MQX_API ssize_t preadv64(int fd, const struct iovec *to, int n, off64_t offset)
{
    return preadv(fd, to, n, offset);
}

MQX_API ssize_t pwritev64(int fd, const struct iovec *data, int n, off64_t offset)
{
    return pwritev(fd, data, n, offset);
}

MQX_API ssize_t preadv64v2(int fd, const struct iovec *to, int n, off64_t offset, int flags)
{
    return preadv2(fd, to, n, offset, flags);
}

MQX_API ssize_t pwritev64v2(int fd, const struct iovec *data, int n, off64_t offset, int flags)
{
    return pwritev2(fd, data, n, offset, flags);
}

MQX_API ssize_t sendfile64(int to, int from, off64_t *offset, size_t size)
{
    return sendfile(to, from, offset, size);
}
#endif

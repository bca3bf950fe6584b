/*
 * A system call that makes a file larger than RLIMIT_FSIZE fails, and a signal
 * kills the process.  That limit is about the program's files; a queue is none to
 * the program.
 */
#include "grow.h"

#include "spare.h"
#include "sys.h"

struct call {
    long number, fd, b, c, d;
};

static long make(void *arg)
{
    const struct call *call = arg;

    return MQXI_SYS(call->number, call->fd, call->b, call->c, call->d);
}

static long grow(uint64_t size, struct call call)
{
    long r = mqxi_spare_file_size(size, make, &call);

    return r == -EFBIG ? -ENOSPC : r;
}

int mqxi_grow_truncate(int fd, uint64_t size)
{
    return (int)grow(size, (struct call){SYS_ftruncate, fd, (long)size, 0, 0});
}

int mqxi_grow_allocate(int fd, uint64_t size)
{
    return (int)grow(size, (struct call){SYS_fallocate, fd, 0, 0, (long)size});
}

long mqxi_grow_write(int fd, const void *data, size_t len, uint64_t at)
{
    return grow(at + len, (struct call){SYS_pwrite64, fd, (long)data, (long)len, (long)at});
}

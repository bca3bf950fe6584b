/*
 * A system call that makes a file larger than RLIMIT_FSIZE fails, and a signal
 * kills the process.  That limit is about the program's files; a queue is none to
 * the program, so for the moment of the call the limit is as high as we may raise
 * it, and the signal is held back and taken.
 */
#include "grow.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>

#include "sys.h"

#define SIGXFSZ_BIT (UINT64_C(1) << (SIGXFSZ - 1))

struct call {
    long number, fd, b, c, d;
};

static long make(const struct call *call)
{
    return MQXI_SYS(call->number, call->fd, call->b, call->c, call->d);
}

static bool pending(void)
{
    uint64_t signals = 0;

    MQXI_SYS(SYS_rt_sigpending, &signals, sizeof(signals));
    return signals & SIGXFSZ_BIT;
}

/* With the signal blocked: at first as high as anybody may, then as the privileged may. */
static long make_with_more(const struct call *call, const struct rlimit *now)
{
    const struct rlimit tries[] = {{now->rlim_max, now->rlim_max}, {RLIM_INFINITY, RLIM_INFINITY}};
    const struct timespec at_once = {0};
    const uint64_t xfsz = SIGXFSZ_BIT;
    bool before = pending();
    long r = make(call);

    for (int i = 0; i < 2 && r == -EFBIG; i++)
        if (MQXI_SYS(SYS_prlimit64, 0, RLIMIT_FSIZE, &tries[i], NULL) == 0) {
            r = make(call);
            MQXI_SYS(SYS_prlimit64, 0, RLIMIT_FSIZE, now, NULL);
        }
    if (!before && pending())
        MQXI_SYS(SYS_rt_sigtimedwait, &xfsz, NULL, &at_once, sizeof(xfsz));
    return r == -EFBIG ? -ENOSPC : r;
}

static long grow(const struct call *call)
{
    const uint64_t xfsz = SIGXFSZ_BIT;
    uint64_t mask = 0;
    struct rlimit now;
    long r;

    if (MQXI_SYS(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &now) < 0 || now.rlim_cur == RLIM_INFINITY)
        return make(call);
    MQXI_SYS(SYS_rt_sigprocmask, SIG_BLOCK, &xfsz, &mask, sizeof(mask));
    r = make_with_more(call, &now);
    MQXI_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
    return r;
}

int mqxi_grow_truncate(int fd, uint64_t size)
{
    return (int)grow(&(struct call){SYS_ftruncate, fd, (long)size, 0, 0});
}

int mqxi_grow_allocate(int fd, uint64_t size)
{
    return (int)grow(&(struct call){SYS_fallocate, fd, 0, 0, (long)size});
}

long mqxi_grow_write(int fd, const void *data, size_t len, uint64_t at)
{
    return grow(&(struct call){SYS_pwrite64, fd, (long)data, (long)len, (long)at});
}

/*
 * The compatibility cases with musl: what it lacks.
 *
 * Cases of calls that it does not have are skipped, where libmqx is not linked,
 * which has them.  And libcmocka is the
 * system's own, which was built for glibc with _FORTIFY_SOURCE: it needs five
 * functions more than musl has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "glibc.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

/* Weak: where libmqx has it, that is called. */
#define ABSENT(type, name, ...)                                                                    \
    __attribute__((weak)) type name(__VA_ARGS__)                                                   \
    {                                                                                              \
        skip();                                                                                    \
        return -1;                                                                                 \
    }

ABSENT(int, epoll_pwait2, int set, struct epoll_event *events, int room,
       const struct timespec *timeout, const sigset_t *mask)
ABSENT(int, statx, int dir, const char *path, int flags, unsigned mask, struct statx *st)
ABSENT(int, close_range, unsigned first, unsigned last, int flags)
ABSENT(ssize_t, preadv2, int fd, const struct iovec *parts, int count, off_t offset, int flags)
ABSENT(ssize_t, pwritev2, int fd, const struct iovec *parts, int count, off_t offset, int flags)
ABSENT(int, pthread_attr_setaffinity_np, pthread_attr_t *attr, size_t size, const cpu_set_t *cpus)

int __vsnprintf_chk(char *out, size_t room, int flag, size_t size, const char *format, va_list ap);
int __snprintf_chk(char *out, size_t room, int flag, size_t size, const char *format, ...);
int __fprintf_chk(FILE *f, int flag, const char *format, ...);
int __printf_chk(int flag, const char *format, ...);
_Noreturn void __longjmp_chk(jmp_buf where, int value);

int __vsnprintf_chk(char *out, size_t room, int flag, size_t size, const char *format, va_list ap)
{
    return vsnprintf(out, room, format, ap);
}

int __snprintf_chk(char *out, size_t room, int flag, size_t size, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = __vsnprintf_chk(out, room, flag, size, format, ap);
    va_end(ap);
    return n;
}

int __fprintf_chk(FILE *f, int flag, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vfprintf(f, format, ap);
    va_end(ap);
    return n;
}

int __printf_chk(int flag, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vprintf(format, ap);
    va_end(ap);
    return n;
}

void __longjmp_chk(jmp_buf where, int value)
{
    longjmp(where, value);
}

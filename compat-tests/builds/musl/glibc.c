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

#pragma weak epoll_pwait2
#pragma weak close_range

int epoll_pwait2(int set, struct epoll_event *events, int room, const struct timespec *timeout,
                 const sigset_t *mask)
{
    (void)set, (void)events, (void)room, (void)timeout, (void)mask;
    skip();
    return -1;
}

int close_range(unsigned first, unsigned last, int flags)
{
    (void)first, (void)last, (void)flags;
    skip();
    return -1;
}

int pthread_attr_setaffinity_np(pthread_attr_t *attr, size_t size, const cpu_set_t *cpus)
{
    (void)attr, (void)size, (void)cpus;
    skip();
    return -1;
}

int __vsnprintf_chk(char *out, size_t room, int flag, size_t size, const char *format, va_list ap);
int __snprintf_chk(char *out, size_t room, int flag, size_t size, const char *format, ...);
int __fprintf_chk(FILE *f, int flag, const char *format, ...);
int __printf_chk(int flag, const char *format, ...);
_Noreturn void __longjmp_chk(jmp_buf where, int value);

int __vsnprintf_chk(char *out, size_t room, int flag, size_t size, const char *format, va_list ap)
{
    (void)flag, (void)size;
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

    (void)flag;
    va_start(ap, format);
    n = vfprintf(f, format, ap);
    va_end(ap);
    return n;
}

int __printf_chk(int flag, const char *format, ...)
{
    va_list ap;
    int n;

    (void)flag;
    va_start(ap, format);
    n = vprintf(format, ap);
    va_end(ap);
    return n;
}

void __longjmp_chk(jmp_buf where, int value)
{
    longjmp(where, value);
}

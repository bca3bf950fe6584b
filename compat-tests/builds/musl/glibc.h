/* Included before the compatibility cases where they are built with musl: declares what only glibc
 * has (glibc.c). */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#ifndef STATX_BASIC_STATS
#include <linux/stat.h>
#endif

#ifndef RWF_HIPRI
#define RWF_HIPRI  1
#define RWF_NOWAIT 8
#endif

int epoll_pwait2(int set, struct epoll_event *events, int room, const struct timespec *timeout,
                 const sigset_t *mask);
int statx(int dir, const char *path, int flags, unsigned mask, struct statx *st);
int close_range(unsigned first, unsigned last, int flags);
ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
int pthread_attr_setaffinity_np(pthread_attr_t *attr, size_t size, const cpu_set_t *cpus);

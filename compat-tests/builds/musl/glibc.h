/* Included before the compatibility cases where they are built with musl: declares what only glibc
 * has (glibc.c). */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>

int epoll_pwait2(int set, struct epoll_event *events, int room, const struct timespec *timeout,
                 const sigset_t *mask);
int close_range(unsigned first, unsigned last, int flags);
int pthread_attr_setaffinity_np(pthread_attr_t *attr, size_t size, const cpu_set_t *cpus);

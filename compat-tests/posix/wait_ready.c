/* The calls that wait until a descriptor is ready, as one. */
#include "wait_ready.h"

#include <sys/epoll.h>
#include <sys/select.h>

static int by_poll(enum way way, mqd_t q, int events, int ms, const sigset_t *mask)
{
    struct pollfd p = {.fd = q, .events = (short)events};
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    int r = way == POLL ? poll(&p, 1, ms) : ppoll(&p, 1, ms < 0 ? NULL : &t, mask);

    return r < 0 ? -errno : p.revents;
}

static int by_select(enum way way, mqd_t q, int events, int ms, const sigset_t *mask)
{
    struct timeval v = {ms / 1000, ms % 1000 * 1000};
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    fd_set in, out;
    int r;

    FD_ZERO(&in);
    FD_ZERO(&out);
    if (events & POLLIN)
        FD_SET(q, &in);
    if (events & POLLOUT)
        FD_SET(q, &out);
    r = way == SELECT ? select(q + 1, &in, &out, NULL, ms < 0 ? NULL : &v)
                      : pselect(q + 1, &in, &out, NULL, ms < 0 ? NULL : &t, mask);
    if (r < 0)
        return -errno;
    assert_int_equal(r, (FD_ISSET(q, &in) != 0) + (FD_ISSET(q, &out) != 0));
    return (FD_ISSET(q, &in) ? POLLIN : 0) | (FD_ISSET(q, &out) ? POLLOUT : 0);
}

static int by_epoll(enum way way, mqd_t q, int events, int ms, const sigset_t *mask)
{
    int set = (int)ok(epoll_create1(EPOLL_CLOEXEC)), r;
    struct epoll_event event = {(uint32_t)events, {.u64 = 7}}, got = {0};

    ok(epoll_ctl(set, EPOLL_CTL_ADD, q, &event));
    r = way == EPOLL ? epoll_wait(set, &got, 1, ms) : epoll_pwait(set, &got, 1, ms, mask);
    r = r < 0 ? -errno : r;
    close(set);
    if (r == 1)
        assert_int_equal(got.data.u64, 7);
    return r < 0 ? r : (int)got.events;
}

int wait_masked(enum way way, mqd_t q, int events, int ms, const sigset_t *mask)
{
    if (way == POLL || way == PPOLL)
        return by_poll(way, q, events, ms, mask);
    if (way == SELECT || way == PSELECT)
        return by_select(way, q, events, ms, mask);
    return by_epoll(way, q, events, ms, mask);
}

int wait_ready(enum way way, mqd_t q, int events, int ms)
{
    return wait_masked(way, q, events, ms, NULL);
}

int ready(enum way way, mqd_t q)
{
    return wait_ready(way, q, BOTH_WAYS, 0);
}

int waits(void *arg)
{
    const struct waiter *w = arg;
    mqd_t q = w->q == -1 ? mq_open(name(0), O_RDWR) : w->q;
    int r;

    if (shared) /* not after exec */
        shared->ready = 1;
    r = wait_ready(w->way, q, w->events, w->ms);
    if (shared)
        shared->done = 1;
    return r < 0 ? 100 - r : r;
}

void each_way_at_once(int (*f)(void *way), int status)
{
    pid_t pid[WAYS];

    for (int way = 0; way < WAYS; way++)
        pid[way] = spawn(f, (void *)(intptr_t)way);
    for (int way = 0; way < WAYS; way++)
        assert_int_equal(reap(pid[way]), status);
}

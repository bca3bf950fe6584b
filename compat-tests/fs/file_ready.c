/*
 * poll, select and epoll on a queue's file: they tell its real state.
 */
#include "file_calls.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int polled(int fd, int timeout)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

    MUST(poll(&p, 1, timeout) >= 0);
    return p.revents;
}

static int selected(int fd, struct timeval timeout)
{
    fd_set in, out;

    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(fd, &in);
    FD_SET(fd, &out);
    MUST(select(fd + 1, &in, &out, NULL, &timeout) >= 0);
    return (FD_ISSET(fd, &in) ? POLLIN : 0) | (FD_ISSET(fd, &out) ? POLLOUT : 0);
}

static void poll_shows_the_state(void)
{
    int fd = open_queue(O_RDWR), other = open_queue(O_WRONLY);
    char got[SIZE];

    MUST(polled(fd, 0) == POLLOUT && selected(fd, (struct timeval){0}) == POLLOUT);
    put(other, "x");
    MUST(polled(fd, 0) == (POLLIN | POLLOUT));
    MUST(selected(fd, (struct timeval){0}) == (POLLIN | POLLOUT));
    for (int i = 1; i < ROOM; i++)
        put(other, "x");
    MUST(polled(fd, 0) == POLLIN && selected(fd, (struct timeval){0}) == POLLIN);
    MUST(read(fd, got, sizeof(got)) == 1);
    MUST(polled(fd, 0) == (POLLIN | POLLOUT));
    drain();
    MUST(read(fd, got, sizeof(got)) == 0); /* the end of what was read */
    MUST(polled(fd, 0) == POLLOUT);
}

/* A child does this while we wait for that. */
static void wakes(short events, void (*act)(void))
{
    struct pollfd p = {.fd = open_queue(events == POLLIN ? O_RDONLY : O_WRONLY), .events = events};
    pid_t child;

    MUST(poll(&p, 1, 0) == 0);
    child = fork();
    if (child == 0) {
        usleep(20000); /* as a rule we sleep by then; if not, it is still right */
        act();
        _exit(0);
    }
    MUST(poll(&p, 1, 60000) == 1 && p.revents == events);
    await_success(child);
    close(p.fd);
}

static void send_one(void)
{
    int fd = open_queue(O_WRONLY);

    put(fd, "x");
    close(fd);
}

static void take_one(void)
{
    take("x");
}

static void poll_wakes(void)
{
    int fd = open_queue(O_WRONLY);

    for (int i = 0; i < 3; i++) {
        wakes(POLLIN, send_one);
        take("x");
    }
    fill(fd);
    for (int i = 0; i < 3; i++) {
        wakes(POLLOUT, take_one);
        put(fd, "x");
    }
}

/* Who is blocked in a read gets the message; who only polls sees what is true afterwards. */
static void poll_beside_a_blocked_reader(void)
{
    int fd = open_queue(O_RDONLY), other = open_queue(O_WRONLY);
    char got[SIZE];
    pid_t child;

    MUST(polled(fd, 0) == 0 || polled(fd, 0) == POLLOUT);
    child = fork();
    if (child == 0)
        _exit(read(open_queue(O_RDONLY), got, sizeof(got)) == 3 ? 0 : 1);
    await_blocked(child);
    put(other, "for");
    await_success(child);
    MUST(!(polled(fd, 0) & POLLIN));
    put(other, "me");
    MUST(polled(fd, 60000) & POLLIN);
    MUST(read(fd, got, sizeof(got)) == 2);
}

static int epoll_of(int fd, unsigned events)
{
    struct epoll_event e = {.events = events};
    int set = epoll_create1(0);

    MUST(set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0);
    return set;
}

static unsigned epolled(int set, int timeout)
{
    struct epoll_event e;
    int n = epoll_wait(set, &e, 1, timeout);

    MUST(n >= 0);
    return n ? e.events : 0;
}

static void epoll_levels(void)
{
    int fd = open_queue(O_RDWR), other = open_queue(O_WRONLY), set = epoll_of(fd, EPOLLIN);

    MUST(epolled(set, 0) == 0);
    put(other, "x");
    MUST(epolled(set, 60000) == EPOLLIN && epolled(set, 0) == EPOLLIN);
    take("x");
    MUST(epolled(set, 0) == 0);
    fill(other);
    close(set);
    set = epoll_of(fd, EPOLLOUT);
    MUST(epolled(set, 0) == 0);
    take("x");
    MUST(epolled(set, 60000) == EPOLLOUT);
}

/* An edge may be told more than once, but not for ever, as a level is. */
static void calm_down(int set)
{
    for (int i = 0; epolled(set, 0) != 0; i++) {
        MUST(i < 1000);
        usleep(1000);
    }
}

static void epoll_edges(void)
{
    int in = open_queue(O_RDONLY), out = open_queue(O_WRONLY), other = open_queue(O_WRONLY);
    int reads = epoll_of(in, EPOLLIN | EPOLLET), writes;

    MUST(epolled(reads, 0) == 0);
    for (int i = 0; i < ROOM; i++) { /* each message is an edge */
        put(other, "x");
        MUST(epolled(reads, 60000) == EPOLLIN);
        calm_down(reads);
    }
    writes = epoll_of(out, EPOLLOUT | EPOLLET);
    MUST(epolled(writes, 0) == 0);
    take("x");
    MUST(epolled(writes, 60000) == EPOLLOUT);
    calm_down(writes);
    put(other, "x");
    take("x"); /* room again */
    MUST(epolled(writes, 60000) == EPOLLOUT);
    drain();
    MUST(epolled(reads, 0) == 0);
    put(other, "x");
    MUST(epolled(reads, 60000) == EPOLLIN);
}

static const struct file_case cases[] = {
    {"poll", poll_shows_the_state},
    {"poll-wakes", poll_wakes},
    {"poll-reader", poll_beside_a_blocked_reader},
    {"epoll", epoll_levels},
    {"epoll-edges", epoll_edges},
};

int main(int argc, char **argv)
{
    return run_case(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

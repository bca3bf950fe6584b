/*
 * What programs do with a queue's file: readiness, O_NONBLOCK, both directions
 * at once, requests by ioctl, and mq_send beside write.
 *
 *     file_calls MOUNT CASE: exits 0, or says what was wrong
 *
 * Each case has a queue of ROOM messages of its own, and is run by one user on a
 * queue that is his or another's; where it says mq, with libmqx preloaded.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../include/mqx_ioctl.h"

#define ROOM 10 /* messages, in a new queue */
#define SIZE 8192

static const char *mount, *name;

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            printf("line %d: not so: %s (errno %d)\n", __LINE__, #what, errno);                    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define FAILS(error, call) MUST((call) < 0 && errno == (error))

static int open_queue(int flags)
{
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", mount, name);
    fd = open(path, flags);
    MUST(fd >= 0);
    return fd;
}

static void put(int fd, const char *text)
{
    MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* From an open file of its own. */
static void take(const char *text)
{
    char got[SIZE];
    int fd = open_queue(O_RDONLY | O_NONBLOCK);
    ssize_t n = read(fd, got, sizeof(got));

    MUST(n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0);
    close(fd);
}

static void fill(int fd)
{
    for (int i = 0; i < ROOM; i++)
        put(fd, "x");
}

static void drain(void)
{
    char got[SIZE];
    int fd = open_queue(O_RDONLY | O_NONBLOCK);

    while (pread(fd, got, sizeof(got), 0) > 0)
        ;
    close(fd);
}

/* Wait until the thread or process waits in mqxfs: its call is not answered. */
static void await_blocked(pid_t tid)
{
    char path[64], text[64] = "";
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/wchan", (int)tid);
    while (!strstr(text, "request_wait_answer")) {
        f = fopen(path, "r");
        MUST(f);
        memset(text, 0, sizeof(text));
        MUST(fread(text, 1, sizeof(text) - 1, f) > 0);
        fclose(f);
        usleep(1000);
    }
}

static void await_success(pid_t child)
{
    int status;

    MUST(waitpid(child, &status, 0) == child && status == 0);
}

/* --- readiness ------------------------------------------------------------------------------- */

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

/* --- O_NONBLOCK ------------------------------------------------------------------------------ */

static void not_block(int fd, bool whether)
{
    int flags = fcntl(fd, F_GETFL);

    MUST(flags >= 0);
    MUST(fcntl(fd, F_SETFL, whether ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == 0);
}

static void nothing(int signal)
{
    (void)signal;
}

static void nonblock(void)
{
    int fd = open_queue(O_RDWR | O_NONBLOCK), other = open_queue(O_RDWR);
    struct itimerval soon = {.it_value.tv_usec = 50000, .it_interval.tv_usec = 50000};
    struct itimerval never = {0};
    struct sigaction action = {.sa_handler = nothing};
    char got[SIZE];

    FAILS(EAGAIN, read(fd, got, sizeof(got)));
    not_block(other, true);
    FAILS(EAGAIN, read(other, got, sizeof(got)));
    fill(other);
    FAILS(EAGAIN, write(fd, "x", 1));
    FAILS(EAGAIN, write(other, "x", 1));
    MUST(read(other, got, sizeof(got)) == 1);
    put(other, "x");
    /* Off again: it waits, until a signal comes. */
    not_block(fd, false);
    MUST(sigaction(SIGALRM, &action, NULL) == 0);
    setitimer(ITIMER_REAL, &soon, NULL);
    FAILS(EINTR, write(fd, "x", 1));
    setitimer(ITIMER_REAL, &never, NULL);
    drain();
    setitimer(ITIMER_REAL, &soon, NULL);
    FAILS(EINTR, read(fd, got, sizeof(got)));
    setitimer(ITIMER_REAL, &never, NULL);
    not_block(fd, true);
    FAILS(EAGAIN, read(fd, got, sizeof(got)));
}

/* --- one descriptor for both ----------------------------------------------------------------- */

static int shared_fd;
static _Atomic pid_t shared_tid;

static void *writer(void *text)
{
    shared_tid = gettid();
    put(shared_fd, text);
    return NULL;
}

static void *reader(void *unused)
{
    char got[SIZE];

    (void)unused;
    shared_tid = gettid();
    MUST(read(shared_fd, got, sizeof(got)) == 4 && memcmp(got, "late", 4) == 0);
    return NULL;
}

static pthread_t start(void *(*f)(void *), void *arg)
{
    pthread_t t;

    shared_tid = 0;
    MUST(pthread_create(&t, NULL, f, arg) == 0);
    while (shared_tid == 0)
        usleep(1000);
    await_blocked(shared_tid);
    return t;
}

static void both_threads(void)
{
    char got[SIZE];
    pthread_t t;

    shared_fd = open_queue(O_RDWR);
    fill(shared_fd);
    t = start(writer, "eleven");
    MUST(read(shared_fd, got, sizeof(got)) == 1);
    MUST(pthread_join(t, NULL) == 0);
    for (int i = 1; i < ROOM; i++)
        take("x");
    take("eleven");
    MUST(read(shared_fd, got, sizeof(got)) == 0); /* the end of what was read */
    t = start(reader, NULL);
    put(shared_fd, "late");
    MUST(pthread_join(t, NULL) == 0);
}

static void *each_reader(void *got)
{
    shared_tid = gettid();
    MUST(read(shared_fd, got, SIZE) == 3);
    return NULL;
}

/* Two that wait for a message get one each, not one and its end. */
static void both_readers(void)
{
    char got[2][SIZE];
    pthread_t t[2];

    shared_fd = open_queue(O_RDWR);
    for (int i = 0; i < 2; i++)
        t[i] = start(each_reader, got[i]);
    put(shared_fd, "one");
    put(shared_fd, "two");
    for (int i = 0; i < 2; i++)
        MUST(pthread_join(t[i], NULL) == 0);
    MUST(memcmp(got[0], "one", 3) == 0 && memcmp(got[1], "two", 3) == 0);
}

/* A descriptor that two processes share. */
static void both_processes(void)
{
    int fd = open_queue(O_RDWR);
    char got[SIZE];
    pid_t child = fork();

    if (child == 0)
        _exit(read(fd, got, sizeof(got)) == 4 ? 0 : 1);
    await_blocked(child);
    put(fd, "late");
    await_success(child);
    fill(fd);
    child = fork();
    if (child == 0) {
        put(fd, "eleven");
        _exit(0);
    }
    await_blocked(child);
    MUST(read(fd, got, sizeof(got)) == 1);
    await_success(child);
}

/* Messages, their ends, and the next ones, without an offset. */
static void both_in_turn(void)
{
    int fd = open_queue(O_RDWR);
    char got[SIZE];

    put(fd, "request");
    put(fd, "second");
    MUST(read(fd, got, 3) == 3 && memcmp(got, "req", 3) == 0);
    put(fd, "third"); /* the rest of the first is not forgotten */
    MUST(read(fd, got, 100) == 4 && memcmp(got, "uest", 4) == 0);
    MUST(read(fd, got, 100) == 0);
    MUST(read(fd, got, 100) == 6 && memcmp(got, "second", 6) == 0);
    put(fd, "fourth"); /* no end after a write */
    MUST(read(fd, got, 100) == 5 && memcmp(got, "third", 5) == 0);
    FAILS(ESPIPE, lseek(fd, 0, SEEK_SET));
    FAILS(ESPIPE, pread(fd, got, 100, 0));
    MUST(read(fd, got, 100) == 0);
    MUST(read(fd, got, 2) == 2);
    close(fd); /* and what was begun goes back */
    fd = open_queue(O_RDONLY);
    MUST(read(fd, got, 100) == 6 && memcmp(got, "fourth", 6) == 0);
}

/* --- requests -------------------------------------------------------------------------------- */

struct box {
    struct mqx_message m;
    unsigned char bytes[SIZE];
};

static int send_by(int fd, const char *text, uint32_t prio, uint32_t flags)
{
    struct box b = {.m = {.priority = prio, .size = (uint32_t)strlen(text), .flags = flags}};

    memcpy(b.bytes, text, strlen(text));
    return ioctl(fd, MQX_SEND(strlen(text)), &b);
}

static int receive_by(int fd, struct box *b, uint32_t room, uint32_t flags)
{
    *b = (struct box){.m = {.size = room, .flags = flags}};
    return ioctl(fd, MQX_RECEIVE(room), b);
}

static bool is_message(const struct box *b, const char *text, uint32_t prio)
{
    return b->m.size == strlen(text) && memcmp(b->bytes, text, b->m.size) == 0 &&
           b->m.priority == prio;
}

static void priorities(void)
{
    int fd = open_queue(O_RDWR), out = open_queue(O_WRONLY), in = open_queue(O_RDONLY);
    uint32_t prio = 7, got = 99;
    char text[SIZE];
    struct box b;

    FAILS(ENODATA, ioctl(fd, MQX_GET_PRIORITY, &got));
    MUST(ioctl(out, MQX_SET_PRIORITY, &prio) == 0);
    put(fd, "least");
    put(out, "seven");
    MUST(send_by(fd, "most", 32767, 0) == 0);
    MUST(send_by(out, "", 3, 0) == 0);
    MUST(read(in, text, sizeof(text)) == 4 && memcmp(text, "most", 4) == 0);
    MUST(ioctl(in, MQX_GET_PRIORITY, &got) == 0 && got == 32767);
    MUST(receive_by(in, &b, 100, 0) == 0 && is_message(&b, "seven", 7));
    MUST(ioctl(in, MQX_GET_PRIORITY, &got) == 0 && got == 32767); /* what read(2) shows */
    MUST(receive_by(fd, &b, 100, 0) == 0 && is_message(&b, "", 3));
    MUST(receive_by(fd, &b, 100, 0) == 0 && is_message(&b, "least", 0));
    FAILS(EAGAIN, receive_by(fd, &b, 100, MQX_NOWAIT));
}

static void refused_requests(void)
{
    int fd = open_queue(O_RDWR), out = open_queue(O_WRONLY), in = open_queue(O_RDONLY);
    uint32_t prio = 32768;
    struct box b = {.m = {.size = 9}};
    char large[SIZE + 2];

    FAILS(EBADF, send_by(in, "x", 0, 0));
    FAILS(EBADF, receive_by(out, &b, 9, 0));
    FAILS(EINVAL, send_by(fd, "x", 32768, 0));
    FAILS(EINVAL, ioctl(fd, MQX_SET_PRIORITY, &prio));
    prio = 1;
    FAILS(EBADF, ioctl(in, MQX_SET_PRIORITY, &prio));
    FAILS(EINVAL, ioctl(fd, MQX_SEND(8), &b)); /* 9 bytes of 8 */
    FAILS(ENOTTY, ioctl(fd, _IOW('q', 1, uint64_t), &b));
    FAILS(ENOTTY, ioctl(fd, _IOW('q', 9, uint32_t), &b));
    FAILS(ENOTTY, ioctl(fd, _IOR('q', 4, struct mqx_message), &b));
    FAILS(ENOTTY, ioctl(fd, _IOW('q', 3, uint64_t), &b));
    memset(large, 'x', sizeof(large));
    large[SIZE + 1] = 0;
    {
        struct {
            struct box b;
            char more[16];
        } big = {.b = {.m = {.size = SIZE + 1}}};

        FAILS(EMSGSIZE, ioctl(fd, MQX_SEND(SIZE + 1), &big));
    }
    put(fd, "too long");
    FAILS(EMSGSIZE, receive_by(fd, &b, 7, 0));
    MUST(receive_by(fd, &b, 8, 0) == 0 && is_message(&b, "too long", 0)); /* it has stayed */
}

static void *requester(void *unused)
{
    struct box b;

    (void)unused;
    shared_tid = gettid();
    MUST(receive_by(shared_fd, &b, 100, 0) == 0 && is_message(&b, "late", 5));
    return NULL;
}

static void *sender(void *unused)
{
    (void)unused;
    shared_tid = gettid();
    MUST(send_by(shared_fd, "eleven", 1, 0) == 0);
    return NULL;
}

static void requests_wait(void)
{
    struct itimerval soon = {.it_value.tv_usec = 50000, .it_interval.tv_usec = 50000};
    struct itimerval never = {0};
    struct sigaction action = {.sa_handler = nothing};
    int nonblocking = open_queue(O_RDWR | O_NONBLOCK);
    pthread_t t;
    struct box b;

    shared_fd = open_queue(O_RDWR);
    t = start(requester, NULL);
    MUST(send_by(shared_fd, "late", 5, 0) == 0);
    MUST(pthread_join(t, NULL) == 0);
    FAILS(EAGAIN, receive_by(nonblocking, &b, 100, 0));
    MUST(sigaction(SIGALRM, &action, NULL) == 0);
    setitimer(ITIMER_REAL, &soon, NULL);
    FAILS(EINTR, receive_by(shared_fd, &b, 100, 0));
    setitimer(ITIMER_REAL, &never, NULL);
    fill(shared_fd);
    FAILS(EAGAIN, send_by(nonblocking, "x", 0, 0));
    FAILS(EAGAIN, send_by(shared_fd, "x", 0, MQX_NOWAIT));
    setitimer(ITIMER_REAL, &soon, NULL);
    FAILS(EINTR, send_by(shared_fd, "x", 0, 0));
    setitimer(ITIMER_REAL, &never, NULL);
    t = start(sender, NULL);
    MUST(receive_by(shared_fd, &b, 100, 0) == 0 && is_message(&b, "x", 0));
    MUST(pthread_join(t, NULL) == 0);
    MUST(receive_by(shared_fd, &b, 100, 0) == 0 && is_message(&b, "eleven", 1));
}

/* --- sizes; mq beside files ------------------------------------------------------------------ */

/* In a queue whose messages may have 2 MiB. */
static void sizes(void)
{
    enum { most = (1 << 20) - 4096 };
    static char bytes[most + 8192], got[most + 8192];
    int fd = open_queue(O_WRONLY), in = open_queue(O_RDONLY);
    struct iovec parts[2];

    for (size_t i = 0; i < most + 8192; i++)
        bytes[i] = (char)(i * 7 + i / 255);
    for (size_t shift = 0; shift < 4097; shift += 1365) { /* wherever it begins in a page */
        MUST(write(fd, bytes + shift, most) == most);
        MUST(pread(in, got, most + 1, 0) == most && memcmp(got, bytes + shift, most) == 0);
        FAILS(EMSGSIZE, write(fd, bytes + shift, most + 1));
    }
    parts[0] = (struct iovec){bytes + 1, 1000};
    parts[1] = (struct iovec){bytes + 1001, most - 8192 - 1000}; /* parts take more pages */
    MUST(writev(fd, parts, 2) == most - 8192);
    MUST(pread(in, got, most, 0) == most - 8192 && memcmp(got, bytes + 1, most - 8192) == 0);
    fcntl(in, F_SETFL, O_NONBLOCK);
    FAILS(EAGAIN, pread(in, got, most, 0)); /* nothing of what was refused arrived */
}

/* Messages through both doors, by turns, come out of both in the order they were sent. */
static void mq(void)
{
    int out = open_queue(O_WRONLY), in = open_queue(O_RDONLY);
    char path[300], text[16], got[SIZE];
    uint32_t prio = 2, priority;
    mqd_t d;

    snprintf(path, sizeof(path), "/%s", name);
    d = mq_open(path, O_RDWR);
    MUST(d != (mqd_t)-1);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < ROOM; i++) {
            int n = snprintf(text, sizeof(text), "%d", i);

            if (i % 2)
                put(out, text);
            else
                MUST(mq_send(d, text, (size_t)n, 0) == 0);
            if (i < ROOM - 1)
                continue;
            for (int j = 0; j < ROOM; j++) {
                bool file = (j + round) % 3 == 0;
                ssize_t len = file ? pread(in, got, sizeof(got), 0)
                                   : mq_receive(d, got, sizeof(got), &priority);

                n = snprintf(text, sizeof(text), "%d", j);
                MUST(len == n && memcmp(got, text, (size_t)n) == 0 && (file || priority == 0));
            }
        }
    MUST(mq_send(d, "five", 4, 5) == 0);
    MUST(ioctl(out, MQX_SET_PRIORITY, &prio) == 0);
    put(out, "two");
    MUST(mq_send(d, "nine", 4, 9) == 0);
    take("nine");
    take("five");
    MUST(mq_receive(d, got, sizeof(got), &priority) == 3 && priority == 2);
}

/* Blocked at one door, served through the other. */
static void mq_blocked(void)
{
    char path[300], got[SIZE];
    int fd = open_queue(O_RDWR);
    pid_t child;
    mqd_t d;

    snprintf(path, sizeof(path), "/%s", name);
    d = mq_open(path, O_RDWR);
    MUST(d != (mqd_t)-1);
    for (int i = 0; i < 20; i++) {
        child = fork();
        if (child == 0)
            _exit(read(fd, got, sizeof(got)) == 4 ? 0 : 1);
        await_blocked(child);
        MUST(mq_send(d, "late", 4, 0) == 0);
        await_success(child);
        child = fork();
        if (child == 0)
            _exit(mq_receive(d, got, sizeof(got), NULL) == 5 ? 0 : 1);
        put(fd, "later");
        await_success(child);
    }
    fill(fd);
    child = fork();
    if (child == 0) {
        put(fd, "eleven");
        _exit(0);
    }
    await_blocked(child);
    for (int i = 0; i < ROOM; i++)
        MUST(mq_receive(d, got, sizeof(got), NULL) == 1);
    MUST(mq_receive(d, got, sizeof(got), NULL) == 6);
    await_success(child);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"poll", poll_shows_the_state},
    {"poll-wakes", poll_wakes},
    {"poll-reader", poll_beside_a_blocked_reader},
    {"epoll", epoll_levels},
    {"epoll-edges", epoll_edges},
    {"nonblock", nonblock},
    {"both-threads", both_threads},
    {"both-readers", both_readers},
    {"both-processes", both_processes},
    {"both-in-turn", both_in_turn},
    {"priorities", priorities},
    {"refused", refused_requests},
    {"requests-wait", requests_wait},
    {"sizes", sizes},
    {"mq", mq},
    {"mq-blocked", mq_blocked},
};

int main(int argc, char **argv)
{
    if (argc == 3)
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
            if (strcmp(cases[i].name, argv[2]) == 0) {
                mount = argv[1];
                name = argv[2];
                cases[i].run();
                return 0;
            }
    fprintf(stderr, "usage: file_calls MOUNT CASE\n");
    return 2;
}

/*
 * What programs do with a queue's file: O_NONBLOCK, both directions at once,
 * requests by ioctl, and mq_send beside write (the cases mq, with libmqx preloaded).
 */
#include "file_calls.h"

#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "../../include/mqx_ioctl.h"

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

/* A child that waits for "late". */
static pid_t blocked_reader(int fd)
{
    char got[SIZE];
    pid_t child = fork();

    if (child == 0)
        _exit(read(fd, got, sizeof(got)) == 4 ? 0 : 1);
    await_blocked(child);
    return child;
}

/* The queue is filled, and a child waits for room. */
static pid_t blocked_writer(int fd)
{
    pid_t child;

    fill(fd);
    child = fork();
    if (child == 0) {
        put(fd, "eleven");
        _exit(0);
    }
    await_blocked(child);
    return child;
}

/* A descriptor that two processes share. */
static void both_processes(void)
{
    int fd = open_queue(O_RDWR);
    char got[SIZE];
    pid_t child = blocked_reader(fd);

    put(fd, "late");
    await_success(child);
    child = blocked_writer(fd);
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
        child = blocked_reader(fd);
        MUST(mq_send(d, "late", 4, 0) == 0);
        await_success(child);
        child = fork();
        if (child == 0)
            _exit(mq_receive(d, got, sizeof(got), NULL) == 5 ? 0 : 1);
        put(fd, "later");
        await_success(child);
    }
    child = blocked_writer(fd);
    for (int i = 0; i < ROOM; i++)
        MUST(mq_receive(d, got, sizeof(got), NULL) == 1);
    MUST(mq_receive(d, got, sizeof(got), NULL) == 6);
    await_success(child);
}

static const struct file_case cases[] = {
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
    return run_case(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

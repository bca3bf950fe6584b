/*
 * The limit, which is a file that is appended to and synced, and brokers that
 * sync before they answer.  Each is as durable as a sync queue of mqx; their
 * protocols are spoken over Unix sockets, a request written and an answer read
 * by one call each.
 */
#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- files ------------------------------------------------------------------------------------ */

#define PLACE_SIZE (8 << 20)

struct file {
    int fd;
    off_t at, size; /* size: where it begins anew; 0: never */
};

static const char *nothing_missing(void)
{
    return NULL;
}

static void no_start(void)
{
}

static struct file *open_file(const char *name, off_t size)
{
    struct file *f = calloc(1, sizeof *f);

    if (!f)
        durable_fail("not enough memory", NULL);
    f->size = size;
    f->fd = open(durable_path(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (f->fd < 0)
        durable_fail("cannot make a file:", strerror(errno));
    return f;
}

static void *raw_open(size_t size)
{
    (void)size;
    return open_file("raw", 0);
}

struct file *file_in_place(const char *name)
{
    static char zeros[1 << 16];
    struct file *f = open_file(name, PLACE_SIZE);

    for (off_t at = 0; at < PLACE_SIZE; at += (off_t)sizeof zeros)
        if (pwrite(f->fd, zeros, sizeof zeros, at) != sizeof zeros)
            durable_fail("cannot write a file:", strerror(errno));
    if (fsync(f->fd) != 0)
        durable_fail("cannot sync a file:", strerror(errno));
    return f;
}

static void *place_open(size_t size)
{
    (void)size;
    return file_in_place("place");
}

void file_write(struct file *f, const char *messages, size_t size, unsigned count)
{
    ssize_t len = (ssize_t)(size * count);

    if (f->size && f->at + len > f->size)
        f->at = 0;
    if (pwrite(f->fd, messages, (size_t)len, f->at) != len || fdatasync(f->fd) != 0)
        durable_fail("cannot write a file:", strerror(errno));
    f->at += len;
}

static void file_send(void *file, const char *message, size_t size, unsigned group)
{
    file_write(file, message, size, group);
}

const struct peer peer_raw = {.name = "append",
                              .grouped = true,
                              .target = {0.5, 0, 0.85},
                              .missing = nothing_missing,
                              .start = no_start,
                              .open = raw_open,
                              .send = file_send};
const struct peer peer_place = {.name = "in place",
                                .grouped = true,
                                .missing = nothing_missing,
                                .start = no_start,
                                .open = place_open,
                                .send = file_send};

/* --- brokers ---------------------------------------------------------------------------------- */

struct line {
    int socket;
    size_t head; /* bytes of request before the message */
    char request[SIZE_MAX_MESSAGE + 128];
};

static struct line *connect_line(const char *path)
{
    struct line *l = calloc(1, sizeof *l);

    if (!l)
        durable_fail("not enough memory", NULL);
    l->socket = durable_connect(path);
    if (l->socket < 0)
        durable_fail("cannot connect to", path);
    return l;
}

/* Send the request with the message in it; the answer is one line, and begins so. */
static void ask(struct line *l, const char *message, size_t size, const char *answer)
{
    char got[128];
    size_t len = 0;

    memcpy(l->request + l->head, message, size);
    memcpy(l->request + l->head + size, "\r\n", 2);
    size += l->head + 2;
    if (send(l->socket, l->request, size, MSG_NOSIGNAL) != (ssize_t)size)
        durable_fail("cannot send to a broker:", strerror(errno));
    do {
        ssize_t n = read(l->socket, got + len, sizeof got - 1 - len);

        if (n <= 0)
            durable_fail("no answer of a broker", NULL);
        len += (size_t)n;
        got[len] = 0;
    } while (got[len - 1] != '\n' && len < sizeof got - 1);
    if (strncmp(got, answer, strlen(answer)) != 0)
        durable_fail("a broker says", got);
}

static bool can_connect(const char *path)
{
    int s = durable_connect(path);

    if (s >= 0)
        close(s);
    return s >= 0;
}

static const char *redis_missing(void)
{
    return durable_program("redis-server") ? NULL : "redis-server";
}

static bool redis_is_up(void)
{
    return can_connect(durable_path("redis.sock"));
}

static void redis_start(void)
{
    char dir[4200], socket[4200];
    const char *args[] = {durable_program("redis-server"),
                          "--port",
                          "0",
                          "--unixsocket",
                          socket,
                          "--appendonly",
                          "yes",
                          "--appendfsync",
                          "always",
                          "--save",
                          "",
                          "--dir",
                          dir,
                          "--auto-aof-rewrite-percentage",
                          "0", /* not in the middle of a turn */
                          NULL};

    snprintf(dir, sizeof dir, "%s", durable_path("redis"));
    snprintf(socket, sizeof socket, "%s", durable_path("redis.sock"));
    if (mkdir(dir, 0700) != 0)
        durable_fail("cannot make", dir);
    durable_await(durable_serve("redis", args, NULL), "redis-server", redis_is_up);
}

static void *redis_open(size_t size)
{
    struct line *l = connect_line(durable_path("redis.sock"));

    l->head = (size_t)sprintf(l->request, "*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$%zu\r\n", size);
    return l;
}

static void redis_send(void *arg, const char *message, size_t size, unsigned group)
{
    (void)group;
    ask(arg, message, size, ":");
}

const struct peer peer_redis = {.name = "redis",
                                .package = "redis-server",
                                .target = {1, 1, 1},
                                .missing = redis_missing,
                                .start = redis_start,
                                .open = redis_open,
                                .send = redis_send};

static const char *beanstalkd_missing(void)
{
    return durable_program("beanstalkd") ? NULL : "beanstalkd";
}

static bool beanstalkd_is_up(void)
{
    return can_connect(durable_path("beanstalkd.sock"));
}

static void beanstalkd_start(void)
{
    char dir[4200], socket[4200];
    const char *args[] = {durable_program("beanstalkd"), "-l", socket, "-f", "0", "-b", dir, NULL};

    snprintf(dir, sizeof dir, "%s", durable_path("beanstalkd"));
    snprintf(socket, sizeof socket, "unix:%s", durable_path("beanstalkd.sock"));
    if (mkdir(dir, 0700) != 0)
        durable_fail("cannot make", dir);
    durable_await(durable_serve("beanstalkd", args, NULL), "beanstalkd", beanstalkd_is_up);
}

static void *beanstalkd_open(size_t size)
{
    struct line *l = connect_line(durable_path("beanstalkd.sock"));

    l->head = (size_t)sprintf(l->request, "put 0 0 60 %zu\r\n", size);
    return l;
}

static void beanstalkd_send(void *arg, const char *message, size_t size, unsigned group)
{
    (void)group;
    ask(arg, message, size, "INSERTED");
}

const struct peer peer_beanstalkd = {.name = "beanstalkd",
                                     .package = "beanstalkd",
                                     .target = {0, 1, 1},
                                     .missing = beanstalkd_missing,
                                     .start = beanstalkd_start,
                                     .open = beanstalkd_open,
                                     .send = beanstalkd_send};

/*
 * hammer: uses a queue as fast as it can, without waiting, until SIGTERM: sends,
 * receives, looks at it, opens it anew, and where it cannot be opened, removes and
 * makes it again.  A name that begins with a slash and has no other is a queue
 * (preload mqx); else it is a queue's file, in mqxfs.
 *
 * For queues that are scribbled on meanwhile (scribble.c): every call may fail, in
 * one of the ways that are known.
 */
#include "storm.h"

#include <limits.h>

#define LONGEST 3000

static volatile sig_atomic_t stop;
static uint64_t chance, succeeded, failed;
static char buffer[STORM_MSG_MAX];
static const char *name;
static bool file;

static void on_end(int sig)
{
    (void)sig;
    stop = 1;
}

static bool sane(int error)
{
    static const int known[] = {EAGAIN, EINTR,  EBADMSG, EIO,    ENOSPC, EMSGSIZE, EEXIST,
                                ENOENT, EACCES, ESRCH,   ESTALE, EPERM,  EINVAL};

    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (error == known[i])
            return true;
    return false;
}

static bool count(const char *what, ssize_t result)
{
    if (result >= 0) {
        succeeded++;
        return true;
    }
    failed++;
    if (!sane(errno)) {
        fprintf(stderr, "hammer: %s: %s: %s\n", name, what, strerror(errno));
        exit(1);
    }
    return false;
}

static int open_it(void)
{
    const int flags = O_RDWR | O_CREAT | O_NONBLOCK;

    return file ? open(name, flags | O_CLOEXEC, 0600) : mq_open(name, flags, 0600, NULL);
}

static void remove_it(void)
{
    count("unlink", file ? unlink(name) : mq_unlink(name));
}

static void check_received(ssize_t len)
{
    if (len <= (ssize_t)sizeof buffer)
        return;
    fprintf(stderr, "hammer: %s: received %zd bytes\n", name, len);
    exit(1);
}

static void use(int fd)
{
    size_t len = 1 + storm_below(&chance, LONGEST);
    struct stat st;
    struct mq_attr attr;
    ssize_t r;

    switch (storm_below(&chance, 8)) {
    case 0:
        count("look", file ? fstat(fd, &st) : mq_getattr(fd, &attr));
        break;
    case 1:
    case 2:
    case 3:
        count("send", file ? write(fd, buffer, len) : mq_send(fd, buffer, len, len % 5));
        break;
    default:
        /* Of a file, each other read tells the end of a message. */
        r = file ? read(fd, buffer, sizeof buffer) : mq_receive(fd, buffer, sizeof buffer, NULL);
        count("receive", r);
        check_received(r);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: hammer /QUEUE | FILE\n", stderr);
        return 2;
    }
    name = argv[1];
    file = strchr(name + 1, '/') != NULL;
    chance = storm_now();
    signal(SIGTERM, on_end);
    while (!stop) {
        int fd = open_it();

        if (!count("open", fd)) {
            remove_it();
            continue;
        }
        for (uint64_t n = storm_below(&chance, 1000); n > 0 && !stop; n--)
            use(fd);
        if (file)
            close(fd);
        else
            mq_close(fd);
    }
    printf("hammer: %s: %" PRIu64 " calls succeeded, %" PRIu64 " failed\n", name, succeeded,
           failed);
    return 0;
}

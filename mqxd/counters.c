/*
 * One write for each commit, into a file in memory: nothing beside a commit.
 * Who reads it in the middle of one finds two different numbers, and looks
 * again.  To who reads it is a stranger's file.
 */
#include "counters.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "durable.h"
#include "text.h"

#define TRIES 1000

void counters_commit(struct counters *c, uint64_t changes, uint64_t ns)
{
    unsigned time = 0;

    while (time < COUNTERS_TIMES - 1 && ns / 1000 >> time)
        time++;
    c->times[time]++;
    c->commits++;
    c->changes += changes;
    c->total_ns += ns;
    if (changes > c->largest)
        c->largest = changes;
    if (ns > c->most_ns)
        c->most_ns = ns;
    if (ns < c->least_ns || c->commits == 1)
        c->least_ns = ns;
}

void counters_show(struct counters *c, int fd)
{
    struct timespec now;

    if (!c->magic) {
        clock_gettime(CLOCK_REALTIME, &now);
        c->magic = COUNTERS_MAGIC;
        c->version = COUNTERS_VERSION;
        c->pid = (uint32_t)getpid();
        c->started_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    }
    c->done = ++c->begun;
    if (pwrite(fd, c, sizeof(*c), 0) < 0)
        return; /* memory is full: they are not as new as they could be */
}

static int read_once(int fd, struct counters *c)
{
    ssize_t n = pread(fd, c, sizeof(*c), 0);

    if (n < 0)
        return -errno;
    if (n != sizeof(*c) || c->magic != COUNTERS_MAGIC || c->version != COUNTERS_VERSION)
        return -EBADMSG;
    return c->begun == c->done ? 0 : -EAGAIN;
}

int counters_read(uid_t uid, struct counters *out)
{
    char path[PATH_MAX];
    struct stat st;
    int r = mqxi_mqxd_path(MQXI_LOCK_FILE, uid, path), fd;

    if (r < 0)
        return r;
    if (mqxi_mqxd_holds(uid, MQXI_LOCK_SERVES) == 0)
        return -ESRCH;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    r = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != uid ? -EPERM : -EAGAIN;
    for (int i = 0; r == -EAGAIN && i < TRIES; i++)
        r = read_once(fd, out);
    close(fd);
    out->error[sizeof(out->error) - 1] = 0;
    mqxi_text_clean(out->error);
    return r;
}

uint64_t counters_within(const struct counters *c, unsigned percent)
{
    uint64_t all = 0, seen = 0;
    unsigned i = 0;

    for (unsigned n = 0; n < COUNTERS_TIMES; n++)
        all += c->times[n];
    while (i < COUNTERS_TIMES - 1 && (seen += c->times[i]) < all - all / 100 * (100 - percent) -
                                                                 all % 100 * (100 - percent) / 100)
        i++;
    return all ? (UINT64_C(1) << i) * 1000 : 0;
}

/*
 * Files of segments, looked at without mapping them.  A header is its user's to
 * write: it tells what to look at, and is believed no further.
 */
#include "peek.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "durable.h"
#include "names.h"
#include "segment.h"
#include "sys.h"

int peek_fd(int fd, struct peek *out)
{
    struct mqxi_header *h = &out->header;
    struct mqxi_stat st;
    int r = mqxi_sys_stat(fd, "", &st);

    if (r < 0)
        return r;
    if (!S_ISREG(st.mode) || pread(fd, h, sizeof(*h), 0) != (ssize_t)sizeof(*h) ||
        h->magic != MQXI_MAGIC || h->version != MQXI_FORMAT_VERSION ||
        h->fingerprint != mqxi_fingerprint())
        return -EBADMSG;
    out->ino = st.ino;
    out->uid = st.uid;
    out->gid = st.gid;
    out->durable = atomic_load(&h->durable);
    memcpy(out->uuid, h->uuid, sizeof(out->uuid));
    return 0;
}

int peek_file(const char *path, struct peek *out)
{
    int fd = mqxi_sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    int r = fd;

    if (fd >= 0) {
        r = peek_fd(fd, out);
        close(fd);
    }
    return r == -ELOOP || r == -EISDIR ? -EBADMSG : r;
}

bool peek_serves(uint32_t uid)
{
    uid_t me = geteuid();

    return uid == me || (me == 0 && mqxi_mqxd_holds(uid, MQXI_LOCK_RUNS) <= 0);
}

int peek_each_gone(int (*each)(const char *path, void *arg), void *arg)
{
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *dir;
    int r = mqxi_path(MQXI_GONE, "", path);

    dir = r < 0 ? NULL : opendir(path);
    if (!dir)
        return r < 0 ? r : errno == ENOENT ? 0 : -errno;
    while (r == 0 && (entry = readdir(dir)))
        if (entry->d_name[0] != '.') {
            r = mqxi_path(MQXI_GONE, entry->d_name, path);
            if (r == 0)
                r = each(path, arg);
        }
    closedir(dir);
    return r;
}

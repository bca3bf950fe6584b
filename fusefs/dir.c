/*
 * Reading the directory: the names as they were when it was opened (or read
 * from its start again), so that an offset is an index and means the same from
 * call to call, whatever is created and removed meanwhile.
 */
#include "dir.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "names.h"
#include "segment.h"
#include "sys.h"

struct entry {
    uint64_t ino;
    char *name;
};

struct dir {
    struct entry *entry;
    size_t count, room;
};

static void clear(struct dir *d)
{
    for (size_t i = 0; i < d->count; i++)
        free(d->entry[i].name);
    free(d->entry);
    *d = (struct dir){0};
}

static int add(struct dir *d, const char *name, uint64_t ino)
{
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : 64;
        struct entry *more = realloc(d->entry, room * sizeof(*more));

        if (!more)
            return -ENOMEM;
        d->entry = more;
        d->room = room;
    }
    d->entry[d->count].ino = ino;
    d->entry[d->count].name = strdup(name);
    return d->entry[d->count].name ? (d->count++, 0) : -ENOMEM;
}

static int add_queue(const char *name, void *arg)
{
    char path[PATH_MAX];
    struct mqxi_stat st;

    /* Gone meanwhile, no queue, or not one that we could open: as if it were not there. */
    if (mqxi_path(MQXI_QUEUES, name, path) < 0 || mqxi_sys_stat(AT_FDCWD, path, &st) < 0 ||
        !S_ISREG(st.mode) || (geteuid() != 0 && st.uid != geteuid()))
        return 0;
    return add(arg, name, st.ino);
}

static int fill(struct dir *d)
{
    int r;

    clear(d);
    r = add(d, ".", FUSE_ROOT_ID);
    if (r == 0)
        r = add(d, "..", FUSE_ROOT_ID);
    return r == 0 ? mqxi_segment_list(add_queue, d) : r;
}

static struct dir *dir_of(const struct fuse_file_info *fi)
{
    return (struct dir *)(uintptr_t)fi->fh;
}

static void drop(struct dir *d)
{
    clear(d);
    free(d);
}

void dir_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct dir *d = ino == FUSE_ROOT_ID ? calloc(1, sizeof(*d)) : NULL;

    if (!d) {
        fuse_reply_err(request, ino == FUSE_ROOT_ID ? ENOMEM : ENOTDIR);
        return;
    }
    fi->fh = (uintptr_t)d;
    if (fuse_reply_open(request, fi) < 0) /* nobody will release it */
        drop(d);
}

void dir_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
              struct fuse_file_info *fi)
{
    struct dir *d = dir_of(fi);
    int r = offset == 0 ? fill(d) : 0;
    char *buffer = r == 0 ? malloc(size) : NULL;
    size_t used = 0;

    (void)ino;
    if (!buffer) {
        fuse_reply_err(request, r < 0 ? -r : ENOMEM);
        return;
    }
    for (size_t i = (size_t)offset; i < d->count; i++) {
        struct stat st = {.st_ino = d->entry[i].ino, .st_mode = i < 2 ? S_IFDIR : S_IFREG};
        size_t n = fuse_add_direntry(request, buffer + used, size - used, d->entry[i].name, &st,
                                     (off_t)i + 1);

        if (n > size - used)
            break;
        used += n;
    }
    fuse_reply_buf(request, buffer, used);
    free(buffer);
}

void dir_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    drop(dir_of(fi));
    fuse_reply_err(request, 0);
}

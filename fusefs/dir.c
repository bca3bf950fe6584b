/*
 * Reading a directory: the names as they were when it was opened (or read
 * from its start again), so that an offset is an index and means the same from
 * call to call, whatever is created and removed meanwhile.
 */
#include "dir.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "anyname.h"
#include "attr.h"
#include "messages.h"
#include "msqids.h"
#include "node.h"
#include "segment.h"
#include "sys.h"

struct entry {
    uint64_t ino;
    mode_t type;
    char *name;
};

struct dir {
    struct view view;
    const struct node *folder; /* of a queue, whose node lives as long as this is open; or NULL */
    struct entry *entry;
    size_t count, room;
};

static void clear(struct dir *d)
{
    for (size_t i = 0; i < d->count; i++)
        free(d->entry[i].name);
    free(d->entry);
    *d = (struct dir){.view = d->view, .folder = d->folder};
}

static int add(struct dir *d, const char *name, uint64_t ino, mode_t type)
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
    d->entry[d->count].type = type;
    d->entry[d->count].name = strdup(name);
    return d->entry[d->count].name ? (d->count++, 0) : -ENOMEM;
}

/* full: its name as that of a queue. */
static int add_queue(struct dir *d, const char *full, const char *name)
{
    char path[PATH_MAX];
    struct mqxi_stat st;

    /* Gone meanwhile, no queue, or not one that we could open: as if it were not there. */
    if (mqxi_name_path(full, path) < 0 || mqxi_sys_stat(AT_FDCWD, path, &st) < 0 ||
        !S_ISREG(st.mode) || (geteuid() != 0 && st.uid != geteuid()))
        return 0;
    return d->view.folders ? add(d, name, folder_ino(st.ino), S_IFDIR)
                           : add(d, name, st.ino, S_IFREG);
}

static int add_posix(const char *name, void *arg)
{
    const struct view root = {0};
    struct view hides;

    return view_enter(&root, name, &hides) == 0 ? 0 : add_queue(arg, name, name);
}

static int add_sysv(uint32_t index, void *arg)
{
    char name[NAME_MAX + 1];
    int id;

    if (mqxi_msqid_at(index, &id) < 0)
        return 0;
    snprintf(name, sizeof(name), "%s/%d", MQXI_SYSV_DIR, id);
    return add_queue(arg, name, name + sizeof(MQXI_SYSV_DIR));
}

static int add_message(const char *name, uint64_t ino, void *arg)
{
    return add(arg, name, ino, S_IFREG);
}

static int fill(struct dir *d)
{
    const struct view root = {0}, help = {.shows = SHOWS_HELP}, sysv = {.shows = SHOWS_SYSV};
    struct stat st;
    int r;

    clear(d);
    attr_directory(&d->view, &st);
    r = add(d, ".", d->folder ? folder_ino(d->folder->ino) : st.st_ino, S_IFDIR);
    attr_directory(&root, &st);
    if (r == 0)
        r = add(d, "..", st.st_ino, S_IFDIR);
    if (r == 0 && view_same(&d->view, &root))
        r = add(d, ".help", view_ino(&help), S_IFDIR);
    if (r == 0 && view_same(&d->view, &root))
        r = add(d, MQXI_SYSV_DIR, view_ino(&sysv), S_IFDIR);
    attr_text(&st);
    if (r == 0 && d->view.shows == SHOWS_HELP)
        r = add(d, VIEW_TEXT, st.st_ino, S_IFREG);
    if (r == 0 && d->folder)
        r = message_list(d->folder, add_message, d);
    if (r == 0 && d->view.shows == SHOWS_SYSV)
        r = mqxi_msqid_list(add_sysv, d);
    return r == 0 && d->view.shows == SHOWS_QUEUES ? mqxi_segment_list(add_posix, d) : r;
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
    const struct view *view = node_view(ino);
    struct dir *d = view ? calloc(1, sizeof(*d)) : NULL;

    if (!d) {
        fuse_reply_err(request, view ? ENOMEM : ENOTDIR);
        return;
    }
    d->view = *view;
    d->folder = node_folder(ino);
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
        struct stat st = {.st_ino = d->entry[i].ino, .st_mode = d->entry[i].type};
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

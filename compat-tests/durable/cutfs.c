/*
 * cutfs MOUNT: a file system in memory whose power can be cut, and whose disk
 * can fail.  cut/disk.c is the disk, cut/power.c obeys orders that are written to
 * the file .control; this tells the kernel of it.  Reading .control tells the
 * state.
 *
 * Without power all else is EIO, and what was opened before stays so: after each
 * cut, files have new node ids, so that the kernel does not show what it
 * remembers.
 */
#define FUSE_USE_VERSION 35

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cut/disk.h"
#include "cut/power.h"

#define CONTROL ".control"
#define EPOCH   1024 /* node ids: epoch * EPOCH + FIRST + index; those of epoch 0 stay */
enum { CONTROL_ID = 2, FIRST = 3 };

/* The file that a node id stands for. */
static int file_of(fuse_ino_t id)
{
    if (power_off || id / EPOCH != power_epoch || id % EPOCH < FIRST ||
        id % EPOCH >= FIRST + DISK_FILES)
        return -EIO;
    return (int)(id % EPOCH) - FIRST;
}

/* --- what the kernel asks --------------------------------------------------------------------- */

static int get_attr(fuse_ino_t id, struct stat *st)
{
    int file;

    *st = (struct stat){.st_ino = id, .st_nlink = 1, .st_blksize = 4096};
    st->st_uid = getuid();
    st->st_gid = getgid();
    if (id == FUSE_ROOT_ID || id == CONTROL_ID) {
        st->st_mode = id == CONTROL_ID ? S_IFREG | 0600 : S_IFDIR | 0700;
        return 0;
    }
    file = file_of(id);
    if (file < 0)
        return file;
    st->st_mode = disk_file[file].mode;
    st->st_size = (off_t)disk_file[file].now.size;
    st->st_blocks = (st->st_size + 511) / 512;
    return 0;
}

static int get_entry(int file, struct fuse_entry_param *e)
{
    fuse_ino_t id = power_epoch * EPOCH + FIRST + (fuse_ino_t)file;

    *e = (struct fuse_entry_param){.ino = file == -1 ? CONTROL_ID : id};
    return get_attr(e->ino, &e->attr);
}

/* Files in a directory have names with a slash on the disk. */
static const char *full_name(fuse_ino_t parent, const char *name, char *full)
{
    int dir = parent == FUSE_ROOT_ID ? -1 : file_of(parent);

    snprintf(full, DISK_NAME, "%s", name);
    for (int i = 0; dir >= 0 && i < disk_now.count; i++)
        if (disk_now.of[i].file == dir)
            snprintf(full, DISK_NAME, "%.30s/%.30s", disk_now.of[i].text, name);
    return full;
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e;
    char full[DISK_NAME];
    int file = -1, r;

    if (strcmp(name, CONTROL) != 0)
        file = power_off ? -EIO : disk_find(full_name(parent, name, full));
    r = file < -1 ? file : get_entry(file, &e);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_entry(req, &e);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
    struct stat st;
    int r = get_attr(id, &st);

    (void)fi;
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_attr(req, &st, 0);
}

static void fs_setattr(fuse_req_t req, fuse_ino_t id, struct stat *st, int set,
                       struct fuse_file_info *fi)
{
    int file = id == CONTROL_ID ? 0 : file_of(id), when = 0;

    if (file >= 0 && id != CONTROL_ID && set & FUSE_SET_ATTR_SIZE) {
        when = power_begin_change();
        if (when >= 0)
            disk_resize(file, (uint64_t)st->st_size);
        if (when > 0)
            power_cut();
    }
    if (file < 0 || when)
        fuse_reply_err(req, EIO);
    else
        fs_getattr(req, id, fi);
}

static void fs_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
    int r = id == CONTROL_ID ? 0 : file_of(id);

    fi->direct_io = id == CONTROL_ID;
    /* Remembered by the open flags: what a sync through it promises. */
    fi->fh = fi->flags & O_DSYNC ? 1 : 0;
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_open(req, fi);
}

/* After a change of names, which was file's, or failed.  True: answered. */
static bool names_failed(fuse_req_t req, int when, int r)
{
    if (when > 0)
        power_cut();
    if (when || r < 0)
        fuse_reply_err(req, when ? EIO : -r);
    return when || r < 0;
}

/* -1: answered. */
static int create(fuse_req_t req, fuse_ino_t parent, const char *name, uint32_t mode)
{
    char full[DISK_NAME];
    int when = power_begin_change();
    int file = when < 0 ? -EIO : disk_create(full_name(parent, name, full), mode);

    return names_failed(req, when, file) ? -1 : file;
}

static void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fuse_entry_param e;
    int file = create(req, parent, name, S_IFDIR | (mode & 07777));

    if (file >= 0 && get_entry(file, &e) == 0)
        fuse_reply_entry(req, &e);
}

static void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct fuse_entry_param e;
    int file = create(req, parent, name, S_IFREG | (mode & 07777));

    if (file < 0)
        return;
    fi->fh = fi->flags & O_DSYNC ? 1 : 0;
    get_entry(file, &e);
    fuse_reply_create(req, &e, fi);
}

static void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    char full[DISK_NAME];
    int when = power_begin_change();
    int r = when < 0 ? -EIO : disk_remove(full_name(parent, name, full));

    if (!names_failed(req, when, r))
        fuse_reply_err(req, 0);
}

static void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags)
{
    char from[DISK_NAME], to[DISK_NAME];
    int when = power_begin_change(), r = -EIO;

    (void)flags;
    if (when >= 0)
        r = disk_rename(full_name(parent, name, from), full_name(new_parent, new_name, to));
    if (!names_failed(req, when, r))
        fuse_reply_err(req, 0);
}

static void fs_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t from,
                       struct fuse_file_info *fi)
{
    char buffer[4096];
    size_t n = 0, one;

    (void)id; /* others than the first are not listed */
    (void)fi;
    if (power_off) {
        fuse_reply_err(req, EIO);
        return;
    }
    if (size > sizeof(buffer))
        size = sizeof(buffer);
    for (int i = (int)from; i < disk_now.count; i++) {
        struct fuse_entry_param e;

        if (strchr(disk_now.of[i].text, '/') || id != FUSE_ROOT_ID)
            continue;
        get_entry(disk_now.of[i].file, &e);
        one = fuse_add_direntry(req, buffer + n, size - n, disk_now.of[i].text, &e.attr, i + 1);
        if (one > size - n)
            break;
        n += one;
    }
    fuse_reply_buf(req, buffer, n);
}

static void fs_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t at, struct fuse_file_info *fi)
{
    int file = id == CONTROL_ID ? 0 : file_of(id);
    struct image *now;
    char text[200];

    (void)fi;
    if (file < 0) {
        fuse_reply_err(req, EIO);
        return;
    }
    if (id == CONTROL_ID) {
        fuse_reply_buf(req, text, at ? 0 : (size_t)power_state(text, sizeof(text)));
        return;
    }
    now = &disk_file[file].now;
    if ((uint64_t)at >= now->size)
        size = 0;
    else if (size > now->size - (uint64_t)at)
        size = now->size - (uint64_t)at;
    fuse_reply_buf(req, size ? (char *)now->bytes + at : NULL, size);
}

static void write_control(fuse_req_t req, const char *data, size_t len)
{
    char text[100], order[32], word[32] = "";
    int r = -EINVAL;

    snprintf(text, sizeof(text), "%.*s", (int)(len < 99 ? len : 99), data);
    if (sscanf(text, "%31s %31s", order, word) > 0)
        r = power_obey(order, word);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_write(req, len);
}

static void fs_write(fuse_req_t req, fuse_ino_t id, const char *data, size_t len, off_t at,
                     struct fuse_file_info *fi)
{
    int file, r;

    if (id == CONTROL_ID) {
        write_control(req, data, len);
        return;
    }
    file = file_of(id);
    r = file < 0 ? file : power_write(file, data, &len, (uint64_t)at, fi->flags & O_DSYNC);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_write(req, len);
}

/* By a descriptor with O_DSYNC: the kernel's own, after the write, which has synced already what it
 * wrote, and no more. */
static void fs_fsync(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *fi)
{
    int file = file_of(id), when, r = 0;

    (void)datasync;
    if (id == CONTROL_ID || (file >= 0 && fi->fh)) {
        fuse_reply_err(req, 0);
        return;
    }
    when = file < 0 ? -EIO : power_begin_change();
    if (when == 0 || when == 2)
        r = power_sync(file, 0, false);
    if (when > 0)
        power_cut();
    fuse_reply_err(req, when ? EIO : -r);
}

static void fs_fsyncdir(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *fi)
{
    int when = power_begin_change();

    (void)id;
    (void)datasync;
    (void)fi;
    if (when == 0 || when == 2)
        power_sync_names();
    if (when > 0)
        power_cut();
    fuse_reply_err(req, when ? EIO : 0);
}

/* Room in advance, as far as there is any. */
static void fs_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t at, off_t len,
                         struct fuse_file_info *fi)
{
    int file = file_of(id), when = file < 0 || mode ? 0 : power_begin_change(), r = 0;
    uint64_t size = (uint64_t)(at + len);

    (void)fi;
    if (file < 0 || mode)
        r = file < 0 ? -EIO : -EOPNOTSUPP;
    else if (when >= 0 && size > disk_file[file].now.size)
        r = power_has_room(file, size) ? disk_resize(file, size) : -ENOSPC;
    if (when > 0)
        power_cut();
    fuse_reply_err(req, when ? EIO : -r);
}

static void fs_statfs(fuse_req_t req, fuse_ino_t id)
{
    uint64_t space = power_space(), used = disk_used();
    struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = DISK_NAME - 1};

    (void)id;
    st.f_blocks = space / 4096;
    st.f_bfree = st.f_bavail = used < space ? (space - used) / 4096 : 0;
    fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops ops = {.lookup = fs_lookup,
                                             .getattr = fs_getattr,
                                             .setattr = fs_setattr,
                                             .open = fs_open,
                                             .create = fs_create,
                                             .mkdir = fs_mkdir,
                                             .rmdir = fs_unlink,
                                             .unlink = fs_unlink,
                                             .rename = fs_rename,
                                             .readdir = fs_readdir,
                                             .read = fs_read,
                                             .write = fs_write,
                                             .fsync = fs_fsync,
                                             .fsyncdir = fs_fsyncdir,
                                             .fallocate = fs_fallocate,
                                             .statfs = fs_statfs};

int main(int argc, char **argv)
{
    char *fuse_argv[] = {argv[0], (char *)(uintptr_t) "-ofsname=cutfs", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, fuse_argv);
    struct fuse_session *session;
    int r = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: cutfs MOUNT\n");
        return 2;
    }
    session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
    if (!session || fuse_set_signal_handlers(session) < 0)
        return 1;
    if (fuse_session_mount(session, argv[1]) == 0) {
        r = fuse_session_loop(session) < 0;
        fuse_session_unmount(session);
    }
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    return r;
}

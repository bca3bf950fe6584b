/*
 * The floor under mqxfs: a FUSE filesystem with one file, whose reads and
 * writes do nothing.  The kernel asks it what it asks mqxfs: names and
 * attributes hold for no time, since others create and remove queues, but with
 * --cached for a second.
 */
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FILE_INO 2
#define MSGSIZE  64

static double valid; /* seconds */

static struct stat attributes(fuse_ino_t ino)
{
    bool root = ino == FUSE_ROOT_ID;

    return (struct stat){
        .st_ino = ino, .st_mode = root ? S_IFDIR | 0755 : S_IFREG | 0666, .st_nlink = root ? 2 : 1};
}

static void op_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {.ino = FILE_INO,
                                     .attr = attributes(FILE_INO),
                                     .attr_timeout = valid,
                                     .entry_timeout = valid};

    if (parent == FUSE_ROOT_ID && strcmp(name, "q") == 0)
        fuse_reply_entry(request, &entry);
    else
        fuse_reply_err(request, ENOENT);
}

static void op_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st = attributes(ino);

    (void)fi;
    fuse_reply_attr(request, &st, valid);
}

static void op_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->direct_io = 1;
    fi->noflush = 1;
    fuse_reply_open(request, fi);
}

static void op_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    static const char message[MSGSIZE];

    (void)ino, (void)offset, (void)fi;
    fuse_reply_buf(request, message, size < sizeof message ? size : sizeof message);
}

static void op_write(fuse_req_t request, fuse_ino_t ino, const char *data, size_t size,
                     off_t offset, struct fuse_file_info *fi)
{
    (void)ino, (void)data, (void)offset, (void)fi;
    fuse_reply_write(request, size);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = op_lookup,
    .getattr = op_getattr,
    .open = op_open,
    .read = op_read,
    .write = op_write,
};

/* floor MOUNTPOINT [--cached]: in the foreground, until it is unmounted. */
int main(int argc, char **argv)
{
    char *arguments[] = {argv[0], "-odefault_permissions,fsname=floor,subtype=floor", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, arguments);
    struct fuse_session *session;
    int r;

    valid = argc > 2 && strcmp(argv[2], "--cached") == 0 ? 1 : 0;
    session = argc > 1 ? fuse_session_new(&args, &operations, sizeof operations, NULL) : NULL;
    if (!session || fuse_session_mount(session, argv[1]) != 0)
        return 1;
    r = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return r != 0;
}

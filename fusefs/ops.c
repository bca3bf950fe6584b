/*
 * What the kernel asks: names, creation and removal, messages.  Who may do what
 * is decided by the kernel (mount option default_permissions) from the owner,
 * group and mode that are reported (attr.c).
 */
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attr.h"
#include "conf.h"
#include "control.h"
#include "dir.h"
#include "durable.h"
#include "file.h"
#include "messages.h"
#include "move.h"
#include "mqxfs.h"
#include "names.h"
#include "node.h"
#include "opened.h"
#include "polled.h"
#include "registered.h"
#include "replace.h"
#include "segment.h"
#include "status.h"
#include "sysv.h"
#include "thread.h"
#include "xattr.h"

/* The kernel splits writes that need more pages than max_write has; a buffer that begins within
 * a page needs one more. */
#define SPLIT_MARGIN 4096u

static struct fuse_conn_info *connection;

static void init(void *unused, struct fuse_conn_info *c)
{
    (void)unused;
    connection = c; /* lives as long as the session; max_write is settled when this returned */
    /* Reads and writes must be answered by the message, one request each: no asynchronous halves,
     * and no attributes that come with directory entries and are old when they are used. */
    c->want &= ~(unsigned)(FUSE_CAP_ASYNC_DIO | FUSE_CAP_ASYNC_READ | FUSE_CAP_READDIRPLUS |
                           FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_WRITEBACK_CACHE);
}

/* --- names --------------------------------------------------------------------------------------
 */

static int make_entry(const struct view *view, const char *name, const struct mqxi_stat *file,
                      struct attached *a, struct fuse_entry_param *out)
{
    struct node *n = node_new(NODE_QUEUE, view, name, file->ino);

    if (!n)
        return -ENOMEM;
    n->sound = a;
    /* The name is valid for no time at all: its next use asks again, and gets a node of its own. */
    *out = (struct fuse_entry_param){.ino = node_number(n), .attr_timeout = ATTR_VALID};
    attr_queue(file, view, a, &out->attr);
    return 0;
}

static int look_up_directory(const struct view *view, struct fuse_entry_param *out)
{
    struct node *n = node_directory(view, "", view_ino(view));

    if (!n)
        return -ENOMEM;
    *out = (struct fuse_entry_param){
        .ino = node_number(n), .attr_timeout = ATTR_VALID, .entry_timeout = ATTR_VALID};
    attr_directory(view, &out->attr);
    return 0;
}

static int look_up_text(const struct view *in, const char *name, struct fuse_entry_param *out)
{
    struct node *n;

    if (strcmp(name, VIEW_TEXT) != 0)
        return -ENOENT;
    n = node_new(NODE_TEXT, in, name, 0);
    if (!n)
        return -ENOMEM;
    *out = (struct fuse_entry_param){.ino = node_number(n)};
    attr_text(&out->attr);
    return 0;
}

static int look_up_queue(const struct view *in, const char *name, struct fuse_entry_param *out)
{
    struct mqxi_stat file;
    struct attached *a;
    int r = node_look_up(name, &file, &a);

    if (r < 0)
        return r;
    r = make_entry(in, name, &file, a, out);
    if (a)
        attached_put(a);
    return r;
}

static int look_up_message(const struct node *folder, const char *name,
                           struct fuse_entry_param *out)
{
    struct node *n;
    int r;

    *out = (struct fuse_entry_param){.ino = 0};
    r = message_look_up(folder, name, &n, &out->attr);
    if (r == 0)
        out->ino = node_number(n);
    return r;
}

/* full: its name as that of a queue. */
static int look_up_full(const struct view *in, const char *full, struct fuse_entry_param *out)
{
    struct node *n;
    int r;

    if (!in->folders)
        return look_up_queue(in, full, out);
    *out = (struct fuse_entry_param){.ino = 0};
    r = folder_look_up(in, full, &n, &out->attr);
    if (r == 0)
        out->ino = node_number(n);
    return r;
}

static int look_up(fuse_ino_t parent, const char *name, struct fuse_entry_param *out)
{
    const struct view sysv = {.shows = SHOWS_SYSV}, *in = node_view(parent);
    char full[NAME_MAX + 1];
    struct view inner;
    int r;

    if (!in)
        return -ENOTDIR;
    if (view_enter(in, name, &inner) == 0)
        return look_up_directory(&inner, out);
    switch (in->shows) {
    case SHOWS_QUEUES:
        return look_up_full(in, name, out);
    case SHOWS_SYSV:
        inner = *in;
        r = view_same(in, &sysv) ? sysv_enter(name, full, &inner) : sysv_full_name(name, full);
        return r < 0 ? -ENOENT : look_up_full(&inner, full, out);
    case SHOWS_MESSAGES:
        return look_up_message(node_folder(parent), name, out);
    case SHOWS_HELP:
        return look_up_text(in, name, out);
    default:
        return -ENOENT;
    }
}

static void op_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;
    int r = look_up(parent, name, &entry);

    if (r < 0)
        fuse_reply_err(request, -r);
    else if (fuse_reply_entry(request, &entry) < 0) /* the kernel does not have it */
        node_forget(node_of(entry.ino), 1);
}

static void op_forget(fuse_req_t request, fuse_ino_t ino, uint64_t lookups)
{
    if (ino != FUSE_ROOT_ID)
        node_forget(node_of(ino), lookups);
    fuse_reply_none(request);
}

static void op_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        if (forgets[i].ino != FUSE_ROOT_ID)
            node_forget(node_of(forgets[i].ino), forgets[i].nlookup);
    fuse_reply_none(request);
}

static int remove_posix(const char *name, uid_t caller)
{
    struct mqxi_stat file;
    char path[PATH_MAX];
    int r = mqxi_path(MQXI_QUEUES, name, path);

    if (r == 0)
        r = mqxi_sys_stat(AT_FDCWD, path, &file);
    /* The kernel has checked that, for the queue that had the name a moment ago. */
    if (r == 0 && caller != 0 && caller != geteuid() && caller != file.uid)
        r = -EPERM;
    if (r == 0)
        r = mqxi_segment_unlink(name);
    return r;
}

static void op_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    const struct view sysv = {.shows = SHOWS_SYSV}, *in = node_view(parent);
    uid_t caller = fuse_req_ctx(request)->uid;
    char full[NAME_MAX + 1];
    int r = -EPERM; /* views are for the messages; a queue has one name that it can lose */

    if (parent == FUSE_ROOT_ID)
        r = remove_posix(name, caller);
    else if (node_folder(parent))
        r = message_remove(request, node_folder(parent), name);
    else if (in && view_same(in, &sysv))
        r = sysv_full_name(name, full) < 0 ? -ENOENT : sysv_remove(full, caller);
    fuse_reply_err(request, -r);
}

/* --- opening and creating -----------------------------------------------------------------------
 */

/* A send to a sync queue promises what only mqxd can keep. */
static int check_durable(uint32_t durable, uid_t uid)
{
    return durable == MQXI_DURABLE_SYNC && !mqxi_mqxd_alive(uid) ? -ESRCH : 0;
}

static int open_attached(struct attached *a, const struct view *view, const char *name,
                         fuse_ino_t node, struct fuse_file_info *fi)
{
    struct file *f = file_open(a, view, fi->flags, sysv_type(name), node);

    if (!f)
        return -ENOMEM;
    fi->fh = (uintptr_t)f;
    fi->direct_io = 1;
    /* Which descriptor is closed first matters to libmqx alone (op_flush), whose mark this is.  A
     * flush waits for the kernel's lock, which a blocked write holds. */
    fi->noflush = !(fi->flags & O_NOFOLLOW);
    return 0;
}

static struct file *file_of(const struct fuse_file_info *fi)
{
    return (struct file *)(uintptr_t)fi->fh;
}

static int open_text(struct text text, struct fuse_file_info *fi)
{
    struct file *f = text.bytes ? file_open_text(text) : NULL;

    if (!f) {
        free(text.bytes);
        return -ENOMEM;
    }
    fi->fh = (uintptr_t)f;
    fi->direct_io = 1;
    fi->noflush = 1;
    return 0;
}

/* text NULL: no memory. */
static int open_string(char *text, struct fuse_file_info *fi)
{
    return open_text((struct text){(uint8_t *)text, text ? (uint32_t)strlen(text) : 0}, fi);
}

/* The message as it is now, whatever becomes of it. */
static int open_message(fuse_req_t request, const struct node *n, struct fuse_file_info *fi)
{
    struct text text = {0};
    int r = (fi->flags & O_ACCMODE) == O_RDONLY ? message_read(request, n, &text) : -EROFS;

    return r < 0 ? r : open_text(text, fi);
}

static int open_queue(struct node *n, struct fuse_file_info *fi)
{
    struct attached *a;
    int r = node_queue(n, &a);

    if (r < 0)
        return r;
    if (view_is_read_only(&n->view) && (fi->flags & O_ACCMODE) != O_RDONLY)
        r = -EROFS;
    else if (n->view.form == FORM_STATUS)
        r = open_string(status_text(a), fi);
    else
        r = open_attached(a, &n->view, n->name, node_number(n), fi);
    if (r == 0 && (fi->flags & O_ACCMODE) == O_RDONLY)
        n->is_read = true;
    if (r < 0 || n->view.form == FORM_STATUS)
        attached_put(a);
    return r;
}

/* Who has it open is told how it is, not how it was when it was looked up. */
static void forget_attributes(fuse_req_t request, fuse_ino_t ino)
{
    struct fuse_session *const *session = fuse_req_userdata(request);

    if (session)
        fuse_lowlevel_notify_inval_inode(*session, ino, -1, 0);
}

static void op_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int r = node_view(ino)                       ? -EISDIR
            : node_of(ino)->kind == NODE_TEXT    ? open_string(views_help(), fi)
            : node_of(ino)->kind == NODE_MESSAGE ? open_message(request, node_of(ino), fi)
                                                 : open_queue(node_of(ino), fi);

    if (r == 0)
        forget_attributes(request, ino);
    if (r < 0)
        fuse_reply_err(request, -r);
    else if ((file_is_both(file_of(fi)) ? opened_reply(request, fi)
                                        : fuse_reply_open(request, fi)) < 0)
        /* interrupted: nobody will release it */
        file_close(file_of(fi));
}

static int create_queue(const char *name, mode_t mode, const struct fuse_ctx *caller)
{
    struct mqxi_policy policy;
    struct mqxi_unborn unborn;
    struct mqxi_attr attr;
    int r = mqxi_conf_policy(name, &policy);

    if (r == 0)
        r = check_durable(policy.durable, caller->uid);
    if (r < 0)
        return r;
    attr = (struct mqxi_attr){policy.maxmsg, policy.msgsize, mode & 07777, policy.durable};
    r = mqxi_segment_build(&attr, &unborn);
    if (r < 0)
        return r;
    atomic_store(&unborn.queue->header->sync, policy.sync);
    if (geteuid() == 0)
        r = mqxi_segment_give(&unborn, caller->uid, caller->gid);
    if (r == 0)
        r = mqxi_segment_link(&unborn, name);
    mqxi_segment_finish(&unborn, r == 0);
    if (r < 0)
        return r;
    mqxi_segment_detach(unborn.queue); /* attached anew, by its new owner's name */
    if (attr.durable != MQXI_DURABLE_OFF)
        mqxi_durable_rescan(geteuid() == 0 ? caller->uid : geteuid());
    return 0;
}

/*
 * The kernel found no such name.  If there is one by now, or not any more,
 * -ESTALE makes it look again: who may open a queue is for it to check.
 */
static int create_anew(const char *name, mode_t mode, bool exclusive, const struct fuse_ctx *caller,
                       struct mqxi_stat *file, struct attached **a)
{
    int r = create_queue(name, mode, caller);

    if (r == -EEXIST && !exclusive) {
        r = node_look_up(name, file, a);
        if (*a)
            attached_put(*a);
        *a = NULL;
        return r < 0 ? -EEXIST : -ESTALE; /* the name of something that is no queue: it stays */
    }
    if (r == 0)
        r = node_look_up(name, file, a);
    if (r == 0 && !*a)
        r = -EBADMSG;
    return r == -ENOENT ? -ESTALE : r;
}

static void op_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct fuse_entry_param entry = {0};
    const struct view *in = node_view(parent);
    struct attached *a = NULL;
    struct mqxi_stat file;
    int r = !in                                        ? -ENOTDIR
            : in->shows != SHOWS_QUEUES || in->folders ? -EPERM
            : view_is_read_only(in)                    ? -EROFS
                                                       : 0;

    if (r == 0)
        r = create_anew(name, mode, fi->flags & O_EXCL, fuse_req_ctx(request), &file, &a);
    if (r == 0)
        r = make_entry(in, name, &file, a, &entry);
    if (r == 0)
        r = open_attached(a, in, name, entry.ino, fi);
    entry.attr_timeout = 0;
    if (r == 0 && (file_is_both(file_of(fi)) ? opened_reply_create(request, &entry, fi)
                                             : fuse_reply_create(request, &entry, fi)) == 0)
        return;
    if (entry.ino)
        node_forget(node_of(entry.ino), 1);
    if (r == 0) { /* the caller was interrupted, and the kernel has neither node nor file */
        file_close(file_of(fi));
        return;
    }
    if (a)
        attached_put(a);
    fuse_reply_err(request, -r);
}

static void op_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    file_close(file_of(fi));
    fuse_reply_err(request, 0);
}

/* --- messages -----------------------------------------------------------------------------------
 */

static void op_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    (void)ino;
    /* Reads into the page cache (sendfile, splice, mmap) come without the lock owner that read(2)
     * always has.  They guess sizes and read ahead: refused, and their callers use read(2). */
    if (fi->lock_owner == 0 && !file_is_text(file_of(fi)))
        fuse_reply_err(request, EINVAL);
    else
        file_read(file_of(fi), request, size, offset, !(fi->flags & O_NONBLOCK));
}

static void op_write(fuse_req_t request, fuse_ino_t ino, const char *data, size_t size,
                     off_t offset, struct fuse_file_info *fi)
{
    (void)ino;
    (void)offset;
    file_write(file_of(fi), request, data, size, connection->max_write - SPLIT_MARGIN,
               !(fi->flags & O_NONBLOCK));
}

/* --- libmqx in other users' processes -----------------------------------------------------------
 */

static void op_ioctl(fuse_req_t request, fuse_ino_t ino, unsigned command, void *unused,
                     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                     size_t out_size)
{
    /* Who may write to a file in .ack may not always send. */
    bool queue = !(flags & FUSE_IOCTL_DIR) && !node_view(ino) && !file_is_text(file_of(fi)) &&
                 !node_of(ino)->view.acks;
    bool ours = queue && _IOC_TYPE(command) == 'q' && view_is_way(&node_of(ino)->view);
    struct remote *r;

    (void)unused;
    if (queue && control_is(command) && node_of(ino)->view.shows != SHOWS_CALLS) {
        control(file_of(fi), request, command, in, in_size, out_size);
        return;
    }
    r = ours ? file_remote(file_of(fi)) : NULL;
    if (!r)
        fuse_reply_err(request, ours ? ENOMEM : ENOTTY);
    else
        remote_control(r, request, command, in, in_size, out_size);
}

static void op_poll(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi,
                    struct fuse_pollhandle *handle)
{
    bool text = file_is_text(file_of(fi));
    struct remote *r = text ? NULL : file_remote(file_of(fi));

    (void)ino;
    if (r) {
        polled_ask(r, request, handle, file_has_more(file_of(fi)) ? POLLIN | POLLRDNORM : 0);
        return;
    }
    fuse_pollhandle_destroy(handle);
    if (text)
        fuse_reply_poll(request, POLLIN | POLLRDNORM);
    else
        fuse_reply_err(request, ENOMEM);
}

static void op_flush(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    if (file_is_remote(file_of(fi)))
        registered_closed(file_attached(file_of(fi)), fuse_req_ctx(request));
    fuse_reply_err(request, 0);
}

/* cp and cat try this first; with an error that makes them use read and write. */
static void op_copy_file_range(fuse_req_t request, fuse_ino_t in, off_t in_offset,
                               struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_offset,
                               struct fuse_file_info *out_fi, size_t len, int flags)
{
    (void)in, (void)in_offset, (void)in_fi, (void)out, (void)out_offset, (void)out_fi;
    (void)len, (void)flags;
    fuse_reply_err(request, EINVAL);
}

/* --- what there is not: EPERM, as on the kernel's own mqueue filesystem -------------------------
 */

static void op_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)parent, (void)name, (void)mode;
    fuse_reply_err(request, EPERM);
}

static void op_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    (void)parent, (void)name;
    fuse_reply_err(request, EPERM);
}

static void op_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t d)
{
    (void)parent, (void)name, (void)mode, (void)d;
    fuse_reply_err(request, EPERM);
}

static void op_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target, (void)parent, (void)name;
    fuse_reply_err(request, EPERM);
}

static void op_link(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    (void)ino, (void)parent, (void)name;
    fuse_reply_err(request, EPERM);
}

/* From view to view is nothing but the same queue; and there is one that has names to give. */
static void op_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t to,
                      const char *new_name, unsigned flags)
{
    const struct node *a = node_folder(parent), *b = node_folder(to);

    if (a && b && !(flags & RENAME_EXCHANGE))
        move_message(request, a, name, b, new_name);
    else
        fuse_reply_err(request,
                       parent == FUSE_ROOT_ID && to == FUSE_ROOT_ID
                           ? -replace_name(name, new_name, flags, fuse_req_ctx(request)->uid)
                           : EPERM);
}

const struct fuse_lowlevel_ops mqxfs_ops = {
    .init = init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = attr_get,
    .setattr = attr_set,
    .statfs = attr_statfs,
    .getxattr = xattr_get,
    .listxattr = xattr_list,
    .setxattr = xattr_set,
    .removexattr = xattr_remove,
    .opendir = dir_open,
    .readdir = dir_read,
    .releasedir = dir_release,
    .create = op_create,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .copy_file_range = op_copy_file_range,
    .ioctl = op_ioctl,
    .poll = op_poll,
    .flush = op_flush,
    .release = op_release,
    .unlink = op_unlink,
    .mkdir = op_mkdir,
    .rmdir = op_rmdir,
    .mknod = op_mknod,
    .symlink = op_symlink,
    .link = op_link,
    .rename = op_rename,
};

/* The part of libfuse that mqxfs calls once it serves.  A request that is answered twice, or with
 * what is no errno, is an error of mqxfs. */
#include "fake_fuse.h"

#include <stdlib.h>
#include <string.h>

#include "damage.h"
#include "opened.h"

struct fuse_req fake_request(void)
{
    return (struct fuse_req){.answered = false};
}

void fake_interrupt(struct fuse_req *r)
{
    r->interrupted = true;
    if (!r->answered && r->on_interrupt)
        r->on_interrupt(r, r->on_interrupt_arg);
}

static int answer(fuse_req_t r, int error)
{
    damage_must(!r->answered, "answered twice", error);
    damage_must(error >= 0 && error < 200, "error in an answer", error);
    r->answered = true;
    r->error = error;
    return r->refuse ? -ENOENT : 0;
}

int fuse_reply_err(fuse_req_t r, int error)
{
    return answer(r, error);
}

void fuse_reply_none(fuse_req_t r)
{
    answer(r, 0);
}

int fuse_reply_buf(fuse_req_t r, const char *data, size_t bytes)
{
    r->bytes = bytes;
    damage_must(bytes <= r->room, "more than was asked for", (long)bytes);
    for (size_t i = 0; i < bytes; i++) /* all of it can be read */
        r->data[i < sizeof(r->data) ? i : 0] ^= data[i];
    memcpy(r->data, data ? data : "", bytes < sizeof(r->data) ? bytes : sizeof(r->data));
    return answer(r, 0);
}

int fuse_reply_xattr(fuse_req_t r, size_t bytes)
{
    r->bytes = bytes;
    return answer(r, 0);
}

int fuse_reply_write(fuse_req_t r, size_t bytes)
{
    r->bytes = bytes;
    return answer(r, 0);
}

int fuse_reply_attr(fuse_req_t r, const struct stat *st, double timeout)
{
    (void)timeout;
    r->entry.attr = *st;
    return answer(r, 0);
}

int fuse_reply_entry(fuse_req_t r, const struct fuse_entry_param *entry)
{
    r->entry = *entry;
    return answer(r, 0);
}

int fuse_reply_open(fuse_req_t r, const struct fuse_file_info *file)
{
    r->file = *file;
    return answer(r, 0);
}

int fuse_reply_create(fuse_req_t r, const struct fuse_entry_param *entry,
                      const struct fuse_file_info *file)
{
    r->entry = *entry;
    r->file = *file;
    return answer(r, 0);
}

int opened_reply(fuse_req_t r, const struct fuse_file_info *file)
{
    return fuse_reply_open(r, file);
}

int opened_reply_create(fuse_req_t r, const struct fuse_entry_param *entry,
                        const struct fuse_file_info *file)
{
    return fuse_reply_create(r, entry, file);
}

int fuse_reply_statfs(fuse_req_t r, const struct statvfs *fs)
{
    (void)fs;
    return answer(r, 0);
}

int fuse_reply_ioctl(fuse_req_t r, int result, const void *data, size_t bytes)
{
    (void)result;
    return fuse_reply_buf(r, data, bytes);
}

int fuse_reply_poll(fuse_req_t r, unsigned events)
{
    r->bytes = events;
    return answer(r, 0);
}

int fuse_lowlevel_notify_poll(struct fuse_pollhandle *handle)
{
    return handle ? 0 : -EINVAL;
}

/* It has no kernel that remembers. */
int fuse_lowlevel_notify_inval_inode(struct fuse_session *session, fuse_ino_t ino, off_t from,
                                     off_t bytes)
{
    (void)ino, (void)from, (void)bytes;
    return session ? 0 : -EINVAL;
}

void *fuse_req_userdata(fuse_req_t r)
{
    (void)r;
    return NULL;
}

void fuse_pollhandle_destroy(struct fuse_pollhandle *handle)
{
    free(handle);
}

const struct fuse_ctx *fuse_req_ctx(fuse_req_t r)
{
    return &r->caller;
}

int fuse_req_getgroups(fuse_req_t r, int size, gid_t list[])
{
    (void)r, (void)size, (void)list;
    return 0;
}

int fuse_req_interrupted(fuse_req_t r)
{
    return r->interrupted;
}

void fuse_req_interrupt_func(fuse_req_t r, fuse_interrupt_func_t f, void *arg)
{
    r->on_interrupt = f;
    r->on_interrupt_arg = arg;
    if (r->interrupted && f)
        f(r, arg);
}

size_t fuse_add_direntry(fuse_req_t r, char *buffer, size_t room, const char *name,
                         const struct stat *st, off_t next)
{
    size_t n = 24 + strlen(name);

    (void)r, (void)st, (void)next;
    if (n <= room)
        memset(buffer, 'd', n);
    return n;
}

/*
 * The kernel locks a file's offset for as long as a read or write of it waits
 * for its answer: who writes to a full queue could then not be helped by who
 * reads from the same descriptor.  A file that is open for both has none.  The
 * flag for that, FOPEN_STREAM, cannot be given through libfuse, so its answer
 * is put together here, of the kernel's structures.
 */
#include "opened.h"

#include <linux/fuse.h>
#include <string.h>

static struct fuse_open_out open_out(const struct fuse_file_info *fi)
{
    return (struct fuse_open_out){.fh = fi->fh,
                                  .open_flags = FOPEN_DIRECT_IO | FOPEN_STREAM |
                                                (fi->noflush ? FOPEN_NOFLUSH : 0)};
}

static struct fuse_attr attr_out(const struct stat *st)
{
    return (struct fuse_attr){.ino = st->st_ino,
                              .size = (uint64_t)st->st_size,
                              .blocks = (uint64_t)st->st_blocks,
                              .atime = (uint64_t)st->st_atim.tv_sec,
                              .atimensec = (uint32_t)st->st_atim.tv_nsec,
                              .mtime = (uint64_t)st->st_mtim.tv_sec,
                              .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
                              .ctime = (uint64_t)st->st_ctim.tv_sec,
                              .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
                              .mode = st->st_mode,
                              .nlink = (uint32_t)st->st_nlink,
                              .uid = st->st_uid,
                              .gid = st->st_gid,
                              .rdev = (uint32_t)st->st_rdev,
                              .blksize = (uint32_t)st->st_blksize};
}

int opened_reply(fuse_req_t request, const struct fuse_file_info *fi)
{
    struct fuse_open_out out = open_out(fi);

    return fuse_reply_buf(request, (const char *)&out, sizeof(out));
}

int opened_reply_create(fuse_req_t request, const struct fuse_entry_param *entry,
                        const struct fuse_file_info *fi)
{
    struct fuse_entry_out e = {.nodeid = entry->ino, .attr = attr_out(&entry->attr)};
    struct fuse_open_out o = open_out(fi);
    char out[sizeof(e) + sizeof(o)];

    memcpy(out, &e, sizeof(e));
    memcpy(out + sizeof(e), &o, sizeof(o));
    return fuse_reply_buf(request, out, sizeof(out));
}

/* Attributes of directories, queues and texts. */
#ifndef MQXFS_ATTR_H
#define MQXFS_ATTR_H

#include "attached.h"
#include "mqxfs.h"
#include "sys.h"
#include "views.h"

/* Seconds: at most two ticks of the kernel's clock.  What a name shows holds for the moment in
 * which it is opened or looked at: the node is new, or a directory's, of which only the times
 * change. */
#define ATTR_VALID 1e-6

void attr_directory(const struct view *v, struct stat *st);
void attr_text(struct stat *st);
/* a: NULL where the segment is damaged: there is a file that nobody can open. */
void attr_queue(const struct mqxi_stat *file, const struct view *v, struct attached *a,
                struct stat *st);

/* Operations. */
void attr_get(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi);
void attr_set(fuse_req_t request, fuse_ino_t ino, struct stat *want, int which,
              struct fuse_file_info *fi);
void attr_statfs(fuse_req_t request, fuse_ino_t ino);

#endif

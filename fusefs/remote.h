/* Queues used by libmqx in processes that may not map them (protocol.h). */
#ifndef MQXFS_REMOTE_H
#define MQXFS_REMOTE_H

#include "attached.h"
#include "mqxfs.h"
#include "protocol.h"
#include "views.h"

struct handed;
struct staged;

/* What an open file is beside a file, once it was used so. */
struct remote {
    struct attached *attached;
    struct view view;
    bool readable, writable;
    struct handed *handed;
    struct staged *staged;
    struct fuse_pollhandle *poller; /* polled.c: somebody wants to know, or NULL */
    unsigned told;                  /* ... and was told this last */
    struct remote *next, *previous; /* all of them */
};

/* flags: of open(2).  NULL: no memory. */
struct remote *remote_open(struct attached *a, const struct view *view, int flags);
void remote_close(struct remote *r);

/* Answer an ioctl. */
void remote_control(struct remote *r, fuse_req_t request, unsigned command, const void *in,
                    size_t in_size, size_t out_size);

void remote_each(void (*each)(struct remote *r));
/* Is there any?  Then remote_tick wants to be called about every second. */
bool remote_any(void);
void remote_tick(void);

#endif

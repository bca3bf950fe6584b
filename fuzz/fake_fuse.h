/* A kernel and a libfuse that are this process: requests whose answers are kept. */
#ifndef FUZZ_FAKE_FUSE_H
#define FUZZ_FAKE_FUSE_H

#include <stdbool.h>

#include "mqxfs.h"

struct fuse_req {
    bool answered;
    bool refuse; /* the answer comes too late: the kernel has given the request up */
    bool interrupted;
    bool control; /* the test's: an ioctl */
    int error;   /* the answer: 0, or a positive errno */
    size_t room; /* of a reader: what is more than that is an error of mqxfs */
    size_t bytes;
    char data[64]; /* the beginning of what was read */
    struct fuse_entry_param entry;
    struct fuse_file_info file; /* of open and create */
    struct fuse_ctx caller;
    fuse_interrupt_func_t on_interrupt;
    void *on_interrupt_arg;
};

/* A request that nobody has answered. */
struct fuse_req fake_request(void);
/* The kernel sends FUSE_INTERRUPT for it. */
void fake_interrupt(struct fuse_req *r);

#endif

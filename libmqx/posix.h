/* <mqueue.h>: what its files share. */
#ifndef MQXI_POSIX_H
#define MQXI_POSIX_H

#include <errno.h>
#include <mqx.h>

/* What a public function returns: r, or where that is -errno, -1 with errno set. */
static inline ssize_t mqxi_result(ssize_t r)
{
    if (r >= 0)
        return r;
    errno = (int)-r;
    return -1;
}

#endif

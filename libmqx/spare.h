/* A descriptor where there is none left; larger files than this process may make. */
#ifndef MQXI_SPARE_H
#define MQXI_SPARE_H

#include <stdint.h>

/*
 * run(arg); if that returns -EMFILE, having done nothing, then again where there
 * is room for one descriptor or two.  Returns what run returned.
 * Async-signal-safe.
 */
long mqxi_spare_descriptor(long (*run)(void *arg), void *arg);

/*
 * run(arg), which makes a file that large, where RLIMIT_FSIZE is as high as we may
 * raise it if need be, and nobody gets SIGXFSZ.  Returns what run returned: -EFBIG where
 * that was not enough, having done nothing.  Async-signal-safe.
 */
long mqxi_spare_file_size(uint64_t size, long (*run)(void *arg), void *arg);

#endif

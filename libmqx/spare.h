/* A descriptor where there is none left. */
#ifndef MQXI_SPARE_H
#define MQXI_SPARE_H

/*
 * run(arg); if that returns -EMFILE, having done nothing, then again where there
 * is room for one descriptor or two.  Returns what run returned.
 * Async-signal-safe.
 */
long mqxi_spare_descriptor(long (*run)(void *arg), void *arg);

#endif

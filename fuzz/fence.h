/*
 * Every segment that this process maps lies between fences that cannot be
 * touched, so wide that no slot number leads across, and no address in a fence is
 * handed to the kernel: an access outside a segment ends the process.
 *
 * Link with -Wl,--wrap=mmap,--wrap=syscall.
 */
#ifndef FUZZ_FENCE_H
#define FUZZ_FENCE_H

/* How many segments are mapped: a leak shows here. */
unsigned fence_count(void);

#endif

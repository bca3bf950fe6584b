/*
 * A plug-in that is loaded with RTLD_DEEPBIND (PHP loads its extensions so) looks
 * for mq_open among its own libraries first, finds libc's there, and never sees
 * what was preloaded.  So nothing is bound that deep in a program that runs with
 * our queues.
 */
#include <dlfcn.h>
#include <mqx.h>

#include "next.h"

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0
#endif

/* Whose search path (RUNPATH) holds is told by the return address, so the last step must be a jump
 * and not a call.  Compilers make it one when they optimize. */
MQX_API void *dlopen(const char *file, int mode)
{
    __typeof__(&dlopen) next = MQXI_NEXT(dlopen);

    return next ? next(file, mode & ~RTLD_DEEPBIND) : (void *)0;
}

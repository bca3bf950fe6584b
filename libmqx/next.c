/*
 * Finding the libc functions that ours stand before.  In a statically linked
 * program there is no dlsym, and no next function.
 */
#include "next.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

#pragma weak dlsym

#define NAME(name) #name,
static const char *const names[] = {MQXI_NEXT_ALL(NAME)};
static void *_Atomic found[MQXI_NEXT_COUNT];
static const char none; /* its address: looked for, and not there */

void *mqxi_next_find(enum mqxi_next which)
{
    void *f = atomic_load_explicit(&found[which], memory_order_relaxed);

    if (!f) {
        f = &dlsym ? dlsym(RTLD_NEXT, names[which]) : NULL;
        atomic_store_explicit(&found[which], f ? f : (void *)(uintptr_t)&none,
                              memory_order_relaxed);
    }
    return f == &none ? NULL : f;
}

__attribute__((constructor(101))) void mqxi_next_find_all(void)
{
    for (int i = 0; i < MQXI_NEXT_COUNT; i++)
        mqxi_next_find((enum mqxi_next)i);
}

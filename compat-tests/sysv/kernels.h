/* Whose queue is it?  For programs that must not take the kernel's for mqx's, nor the reverse. */
#ifndef KERNELS_H
#define KERNELS_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>

/* The kernel lists its own: the second column is the identifier. */
static inline bool sysv_is_kernels(int q)
{
    FILE *f = fopen("/proc/sysvipc/msg", "re");
    bool found = false;
    char line[512];
    int id;

    while (f && fgets(line, sizeof(line), f))
        found = found || (sscanf(line, "%*d %d", &id) == 1 && id == q);
    if (f)
        fclose(f);
    return found;
}

/* Of those that this program gets, by a probe; -1: it gets none.  *wrong: LD_PRELOAD names mqx's
 * library, which does not take effect. */
static inline int sysv_kernels(const char *preload, bool *wrong)
{
    int q = msgget(IPC_PRIVATE, 0600), kernels;

    if (q == -1)
        return -1;
    kernels = sysv_is_kernels(q);
    msgctl(q, IPC_RMID, NULL);
    *wrong = kernels && preload && strstr(preload, "mqx");
    return kernels;
}

#endif

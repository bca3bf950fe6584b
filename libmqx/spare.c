/*
 * A process at its limit of descriptors goes on with the queues that it has, but
 * now and then the engine needs one for a moment: a forked child to take its
 * client number, a sleeper to ask whether the owner of a slot lives.  The
 * process's own must not be touched, so that is done by a thread that shares
 * everything with us but the descriptors: it closes one in its copy of the table,
 * and what it maps is mapped for us.
 *
 * The thread is the kernel's alone: libc does not know of it, and we are
 * suspended until it has ended (CLONE_VFORK), so it uses our thread-local
 * variables as a signal handler would.
 */
#include "spare.h"

#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

#include "sys.h"

#define STACK 65536

#if MQXI_THREAD_SANITIZER
/* glibc's own name: clone is the sanitizer's, for which everybody who is made so is a process with
 * a memory of its own. */
int __clone(int (*)(void *), void *, int, void *, ...);
#define clone __clone
#endif

struct errand {
    long (*run)(void *arg);
    void *arg;
    long result;
};

static int thread(void *arg)
{
    struct errand *e = arg;

    mqxi_sys_close(0);
    e->result = e->run(e->arg);
    return 0;
}

long mqxi_spare_descriptor(long (*run)(void *arg), void *arg)
{
    struct errand e = {run, arg, run(arg)};
    uint64_t all = UINT64_MAX, mask = 0;
    int saved = errno;
    long stack;

    if (e.result != -EMFILE)
        return e.result;
    stack =
        MQXI_SYS(SYS_mmap, NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack < 0)
        return -EMFILE;
    /* It must not run anybody's handlers; where it cannot be made, the result stays. */
    MQXI_SYS(SYS_rt_sigprocmask, SIG_BLOCK, &all, &mask, sizeof(mask));
    clone(thread, (char *)stack + STACK,
          CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_VFORK, &e);
    errno = saved;
    MQXI_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
    MQXI_SYS(SYS_munmap, stack, STACK);
    return e.result;
}

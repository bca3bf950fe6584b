/*
 * What a process has at its limit now and then, for a moment, all the same.
 *
 * A process at its limit of descriptors goes on with the queues that it has, but
 * the engine may need one: a forked child to take its client number, a sleeper to
 * ask whether the owner of a slot lives.  The process's own must not be touched,
 * so that is done by a thread that shares everything with us but the descriptors:
 * it closes one in its copy of the table, and what it maps is mapped for us.
 *
 * A process's limit of the size of files is about the program's files, and a queue
 * is none to the program.  That limit belongs to all threads together, who would
 * see it raised, or lowered again while they make use of it: so what needs more is
 * done by a process that shares everything else with us, descriptors and memory.
 *
 * Either is the kernel's alone: libc does not know of it, and we are suspended
 * until it has ended (CLONE_VFORK), so it uses our thread-local variables as a
 * signal handler would.
 */
#include "spare.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "sys.h"

#define STACK  65536
#define SHARED (CLONE_VM | CLONE_FS | CLONE_SYSVSEM | CLONE_VFORK)

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
    struct rlimit limit;
};

/* Where nobody can be sent, the result stays as it is. */
static void send_out(int (*one)(void *), struct errand *e, int flags)
{
    uint64_t all = UINT64_MAX, mask = 0;
    int saved = errno, pid;
    /* libc's, by which the thread sanitizer knows that it is new memory, not the last one's. */
    void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (stack == MAP_FAILED) {
        errno = saved;
        return;
    }
    /* It must not run anybody's handlers. */
    MQXI_SYS(SYS_rt_sigprocmask, SIG_BLOCK, &all, &mask, sizeof(mask));
    pid = clone(one, (char *)stack + STACK, SHARED | flags, e);
    if (pid > 0 && !(flags & CLONE_THREAD)) /* it tells nobody of its end, and nobody else waits */
        MQXI_SYS(SYS_wait4, pid, NULL, __WALL, NULL);
    MQXI_SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
    munmap(stack, STACK);
    errno = saved;
}

static int thread(void *arg)
{
    struct errand *e = arg;

    mqxi_sys_close(0);
    e->result = e->run(e->arg);
    return 0;
}

long mqxi_spare_descriptor(long (*run)(void *arg), void *arg)
{
    struct errand e = {.run = run, .arg = arg, .result = run(arg)};

    if (e.result == -EMFILE)
        send_out(thread, &e, CLONE_SIGHAND | CLONE_THREAD);
    return e.result;
}

/* At first with as much as anybody may have, then as the privileged may. */
static int process(void *arg)
{
    struct errand *e = arg;
    const struct rlimit tries[] = {{e->limit.rlim_max, e->limit.rlim_max},
                                   {RLIM_INFINITY, RLIM_INFINITY}};

    for (int i = 0; i < 2 && e->result == -EFBIG; i++)
        if (MQXI_SYS(SYS_prlimit64, 0, RLIMIT_FSIZE, &tries[i], NULL) == 0)
            e->result = e->run(e->arg);
    return 0;
}

long mqxi_spare_file_size(uint64_t size, long (*run)(void *arg), void *arg)
{
    struct errand e = {.run = run, .arg = arg, .result = -EFBIG};

    if (MQXI_SYS(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &e.limit) < 0 || size <= e.limit.rlim_cur)
        return run(arg);
    /* All of it there: here, the signal would come to the program. */
    send_out(process, &e, CLONE_FILES);
    return e.result;
}

/*
 * The kernel knows epoll sets by their open files; a program, by descriptors,
 * and may have several of one (dup).  So what is remembered of a set goes by a
 * number of our own.
 *
 * A set can be another process's, too: after fork, or exec, or through a socket.
 * What one of them adds then the other does not hear of, and hands out the
 * kernel's events as they come: queues in such a set always tell exactly how
 * they are.
 */
#include "sets.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "sys.h"

#define SETS        1024
#define DESCRIPTORS 65536 /* larger ones are not known */

static struct {
    _Atomic uint32_t ends; /* descriptors; 0: free */
    _Atomic uint32_t tells;
    _Atomic uint32_t born; /* how often this process had forked */
} sets[SETS + 1];

static _Atomic uint16_t set_of[DESCRIPTORS];
static _Atomic uint32_t highest; /* descriptor that ever was a set's, and one */
static _Atomic uint32_t forks = 1;
static _Atomic pid_t process;

int mqxi_set_of(int epoll)
{
    return epoll >= 0 && epoll < DESCRIPTORS
               ? atomic_load_explicit(&set_of[epoll], memory_order_relaxed)
               : 0;
}

int mqxi_set_next(unsigned first, unsigned last)
{
    uint32_t end = atomic_load(&highest);

    for (; first <= last && first < end; first++)
        if (mqxi_set_of((int)first))
            return (int)first;
    return -1;
}

/* --- descriptors ------------------------------------------------------------------------------ */

bool mqxi_set_here(void)
{
    return atomic_load(&process) == MQXI_SYS(SYS_getpid);
}

void mqxi_set_mine(void)
{
    atomic_store(&process, (pid_t)MQXI_SYS(SYS_getpid));
}

static void lead(int epoll, int set)
{
    uint32_t end = atomic_load(&highest), wanted = (uint32_t)epoll + 1;

    while (end < wanted && !atomic_compare_exchange_weak(&highest, &end, wanted))
        ;
    atomic_store(&set_of[epoll], (uint16_t)set);
}

int mqxi_set_made(int epoll, bool foreign)
{
    if (epoll < 0 || epoll >= DESCRIPTORS)
        return 0;
    mqxi_set_mine();
    for (int set = 1; set <= SETS; set++) {
        uint32_t none = 0;

        if (!atomic_compare_exchange_strong(&sets[set].ends, &none, 1))
            continue;
        atomic_store(&sets[set].tells, 0);
        atomic_store(&sets[set].born, foreign ? 0 : atomic_load(&forks));
        lead(epoll, set);
        return set;
    }
    return 0;
}

void mqxi_set_duplicated(int from, int to)
{
    int set = mqxi_set_of(from);

    if (!set || !mqxi_set_here())
        return;
    if (to >= DESCRIPTORS) { /* what is done through that one, nobody hears of */
        mqxi_set_demand(set, MQXI_TELLS_EXACT);
        return;
    }
    atomic_fetch_add(&sets[set].ends, 1);
    lead(to, set);
}

void mqxi_set_closing(unsigned first, unsigned last, void (*gone)(int set))
{
    int fd;

    while ((fd = mqxi_set_next(first, last)) >= 0 && mqxi_set_here()) {
        int set = atomic_exchange(&set_of[fd], 0);

        first = (unsigned)fd + 1;
        if (!set)
            continue;
        if (atomic_load(&sets[set].ends) == 1)
            gone(set); /* before it can be another */
        atomic_fetch_sub(&sets[set].ends, 1);
    }
}

static void forked(void)
{
    atomic_fetch_add(&forks, 1);
}

static void forked_here(void)
{
    atomic_fetch_add(&forks, 1);
    mqxi_set_mine();
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, forked, forked_here);
}

/* --- what its queues tell --------------------------------------------------------------------- */

uint32_t mqxi_set_tells(int set)
{
    bool shared = atomic_load(&sets[set].born) != atomic_load(&forks);

    return atomic_load(&sets[set].tells) | (shared ? MQXI_TELLS_EXACT : 0);
}

bool mqxi_set_demand(int set, uint32_t tells)
{
    return (atomic_load_explicit(&sets[set].tells, memory_order_relaxed) & tells) != tells &&
           (atomic_fetch_or(&sets[set].tells, tells) & tells) != tells;
}

/* --- the kernel's word ------------------------------------------------------------------------ */

/* The number after a word in a line of fdinfo; it is there. */
static bool number(const char *line, const char *word, int base, uint64_t *out)
{
    const char *found = strstr(line, word);

    if (found)
        *out = strtoull(found + strlen(word), NULL, base);
    return found;
}

static bool parse(const char *line, struct mqxi_member *m)
{
    uint64_t fd, events;

    if (!number(line, "tfd:", 10, &fd) || !number(line, "events:", 16, &events) ||
        !number(line, "data:", 16, &m->data) || !number(line, "ino:", 16, &m->ino))
        return false;
    m->fd = (int)fd;
    m->events = (uint32_t)events;
    return true;
}

int mqxi_set_members(int epoll, int (*visit)(const struct mqxi_member *m, void *arg), void *arg)
{
    struct mqxi_member m;
    char text[1024 + 1];
    size_t kept = 0;
    int info, r = 0;
    long n = 0;

    snprintf(text, sizeof(text), "/proc/thread-self/fdinfo/%d", epoll);
    info = mqxi_sys_openat(AT_FDCWD, text, O_RDONLY | O_CLOEXEC, 0);
    if (info < 0)
        return info;
    while (r == 0 && (n = MQXI_SYS(SYS_read, info, text + kept, sizeof(text) - 1 - kept)) > 0) {
        char *line = text, *end;

        text[kept + (size_t)n] = 0;
        for (; r == 0 && (end = strchr(line, '\n')); line = end + 1) {
            *end = 0;
            r = parse(line, &m) ? visit(&m, arg) : 0;
        }
        kept = strlen(line);
        memmove(text, line, kept);
    }
    mqxi_sys_close(info);
    return n < 0 ? (int)n : r;
}

bool mqxi_set_is(int fd)
{
    static const char what[] = "anon_inode:[eventpoll]";
    char path[32], target[sizeof(what)];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return MQXI_SYS(SYS_readlinkat, AT_FDCWD, path, target, sizeof(target)) == sizeof(what) - 1 &&
           memcmp(target, what, sizeof(what) - 1) == 0;
}

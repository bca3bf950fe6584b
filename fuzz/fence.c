/*
 * The library maps segments with mmap and does all else with syscall(): both come
 * here first.  A mapping of a file, shared and writable, whose address does not
 * matter is a segment; when its start is unmapped, its fences go with it.
 */
#include "fence.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Further than the farthest slot's overflow that 24 bits of a damaged node can name, with messages
 * of three pages. */
#define FENCE ((size_t)1 << 38)
#define PAGE  ((size_t)4096)
#define MOST  64

void *__real_mmap(void *where, size_t len, int prot, int flags, int fd, long offset);
void *__wrap_mmap(void *where, size_t len, int prot, int flags, int fd, long offset);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

static struct fenced {
    uintptr_t start; /* of the segment; 0: unused */
    size_t size;
} fenced[MOST];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* mqxfs has threads */

unsigned fence_count(void)
{
    unsigned n = 0;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST; i++)
        n += fenced[i].start != 0;
    pthread_mutex_unlock(&lock);
    return n;
}

static void remember(uintptr_t start, size_t size)
{
    int i = 0;

    pthread_mutex_lock(&lock);
    while (i < MOST && fenced[i].start)
        i++;
    if (i == MOST) {
        fputs("fence: too many segments are mapped: they leak\n", stderr);
        abort();
    }
    fenced[i] = (struct fenced){start, size};
    pthread_mutex_unlock(&lock);
}

/* Its size, and it is forgotten; 0: not one of ours. */
static size_t forget(uintptr_t start)
{
    size_t size = 0;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST; i++)
        if (start && fenced[i].start == start) {
            size = fenced[i].size;
            fenced[i].start = 0;
        }
    pthread_mutex_unlock(&lock);
    return size;
}

static void check(const char *what, uintptr_t start, size_t len)
{
    bool bad = false;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST; i++) {
        const struct fenced *f = &fenced[i];
        uintptr_t end = start + len;

        if (!f->start || end <= f->start - FENCE || start >= f->start + f->size + FENCE)
            continue;
        bad = bad || start < f->start || end > f->start + f->size;
    }
    pthread_mutex_unlock(&lock);
    if (!bad)
        return;
    fprintf(stderr, "fence: %s outside of a segment: %zu bytes at %p\n", what, len, (void *)start);
    abort();
}

void *__wrap_mmap(void *where, size_t len, int prot, int flags, int fd, long offset)
{
    size_t size = (len + PAGE - 1) / PAGE * PAGE;
    uint8_t *area;
    void *p;

    if (where || fd < 0 || !(flags & MAP_SHARED) || !(prot & PROT_WRITE))
        return __real_mmap(where, len, prot, flags, fd, offset);
    area = __real_mmap(NULL, size + 2 * FENCE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return MAP_FAILED;
    p = __real_mmap(area + FENCE, len, prot, flags | MAP_FIXED, fd, offset);
    if (p == MAP_FAILED)
        __real_syscall(SYS_munmap, area, size + 2 * FENCE);
    else
        remember((uintptr_t)p, size);
    return p;
}

static void check_call(long number, const long *a)
{
    const struct futex_waitv *words;

    switch (number) {
    case SYS_mmap:
        check("mmap", (uintptr_t)a[0], a[0] ? (size_t)a[1] : 0);
        break;
    case SYS_madvise:
        check("madvise", (uintptr_t)a[0], (size_t)a[1]);
        break;
    case SYS_futex:
        check("futex", (uintptr_t)a[0], sizeof(uint32_t));
        break;
    case SYS_futex_waitv: /* of several words, all but the first may have vanished: see wait.h */
        words = (const struct futex_waitv *)a[0];
        check("futex_waitv", (uintptr_t)words[0].uaddr, sizeof(uint32_t));
        break;
    case SYS_read:
    case SYS_write:
    case SYS_pread64:
    case SYS_pwrite64:
        check("read or write", (uintptr_t)a[1], (size_t)a[2]);
        break;
    default:
        break;
    }
}

/* Not with "...": which of the six there are, only the kernel knows. */
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    const long arguments[] = {a, b, c};
    size_t size = number == SYS_munmap ? forget((uintptr_t)a) : 0;

    if (size > 0)
        return __real_syscall(SYS_munmap, a - (long)FENCE, size + 2 * FENCE);
    check_call(number, arguments);
    return __real_syscall(number, a, b, c, d, e, f);
}

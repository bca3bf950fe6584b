/*
 * A table from descriptor to queue, in two levels: a fixed directory of pages
 * that are mapped when first needed and never given back.
 *
 * An entry is one word, the pointer to the queue (which begins on a page) with
 * the access rights and the position as a file in its low bits, so that a
 * look-up is two loads, sees pointer and rights of the same mq_open, and can be
 * made in a signal handler.  Without a pointer: another user's queue.  That the queue is not
 * unmapped between the look-up and its use is thread.c's business: look-ups
 * happen between mqxi_op_enter and leave, and an entry that is replaced or
 * cleared drops its reference through mqxi_queue_put, which waits for that.
 *
 * Entries can be stale: a program may close its descriptor by a system call that
 * we do not see.  The queue then stays attached until the number is used for a
 * queue again.
 */
#include "handles.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "thread.h"

#define PAGE_ENTRIES (MQXI_PAGE / sizeof(uintptr_t))
#define PAGES        2048u /* together 2^20 descriptors: fs.nr_open as the kernel sets it */
#define ACCESS       (uintptr_t)(MQXI_READ | MQXI_WRITE)
#define POSITION     ((uintptr_t)(MQXI_POSITIONS - 1) << POSITION_AT)
#define POSITION_AT  2
#define REMOTE       ((uintptr_t)1 << 9)
#define QUEUE        (~(uintptr_t)(MQXI_PAGE - 1))

typedef _Atomic uintptr_t entry;

static entry *_Atomic directory[PAGES];
atomic_bool mqxi_handles_used;

/* NULL where the page does not exist. */
static entry *find(int fd)
{
    unsigned n = (unsigned)fd; /* negative: beyond every page */
    entry *page;

    if (n / PAGE_ENTRIES >= PAGES)
        return NULL;
    /* Acquire: see the zeros of a page that another thread has just mapped. */
    page = atomic_load_explicit(&directory[n / PAGE_ENTRIES], memory_order_acquire);
    return page ? &page[n % PAGE_ENTRIES] : NULL;
}

static int make_page(int fd, entry **out)
{
    unsigned n = (unsigned)fd / PAGE_ENTRIES;
    entry *none = NULL;
    void *page;

    if (fd < 0 || n >= PAGES)
        return -EMFILE;
    page = mmap(NULL, MQXI_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -ENOMEM;
    if (!atomic_compare_exchange_strong(&directory[n], &none, page))
        munmap(page, MQXI_PAGE); /* another thread was first */
    atomic_store(&mqxi_handles_used, true);
    *out = find(fd);
    return 0;
}

/* What an entry referred to before is no longer referred to. */
static void drop(uintptr_t old)
{
    if (old & QUEUE)
        mqxi_queue_put((struct mqxi_queue *)(old & QUEUE));
}

static int set(int fd, uintptr_t value)
{
    entry *e = find(fd);
    int r = e ? 0 : make_page(fd, &e);

    if (r < 0)
        return r;
    /* Release: a queue was filled in before another thread can look it up. */
    drop(atomic_exchange_explicit(e, value, memory_order_acq_rel));
    return 0;
}

int mqxi_handle_prepare(int fd)
{
    entry *e = find(fd);

    return e ? 0 : make_page(fd, &e);
}

int mqxi_handle_set(int fd, struct mqxi_queue *q, unsigned access)
{
    return set(fd, (uintptr_t)q | (access & ACCESS));
}

int mqxi_handle_set_remote(int fd, unsigned access)
{
    return set(fd, REMOTE | (access & ACCESS));
}

int mqxi_handle_get(int fd, struct mqxi_queue **q, unsigned *access)
{
    entry *e = find(fd);
    uintptr_t v = e ? atomic_load_explicit(e, memory_order_acquire) : 0;

    *access = (unsigned)(v & ACCESS);
    if (v < MQXI_PAGE)
        return v ? -EREMOTE : -EBADF;
    *q = (struct mqxi_queue *)(v & QUEUE);
    return 0;
}

int mqxi_handle_next(unsigned fd, unsigned last)
{
    if (last >= PAGES * PAGE_ENTRIES)
        last = PAGES * PAGE_ENTRIES - 1;
    for (; fd <= last; fd++) {
        entry *e = find((int)fd);

        if (!e)
            fd |= PAGE_ENTRIES - 1; /* none on this page */
        else if (atomic_load_explicit(e, memory_order_acquire))
            return (int)fd;
    }
    return -1;
}

struct mqxi_queue *mqxi_handle_find(uint64_t fifo)
{
    for (int fd = -1; (fd = mqxi_handle_next((unsigned)fd + 1, UINT32_MAX)) >= 0;) {
        struct mqxi_queue *q;
        unsigned access;

        if (mqxi_handle_get(fd, &q, &access) == 0 && atomic_load(&q->fifo) == fifo)
            return q;
    }
    return NULL;
}

int mqxi_handle_position(int fd)
{
    entry *e = find(fd);
    uintptr_t v = e ? atomic_load(e) : 0;

    return v ? (int)((v & POSITION) >> POSITION_AT) : -EBADF;
}

int mqxi_handle_seek(int fd, unsigned position)
{
    entry *e = find(fd);
    uintptr_t v = e ? atomic_load(e) : 0;

    while (v && !atomic_compare_exchange_weak(e, &v, (v & ~POSITION) | position << POSITION_AT))
        ;
    return v ? 0 : -EBADF;
}

int mqxi_handle_clear(int fd)
{
    entry *e = find(fd);
    uintptr_t old = e ? atomic_exchange_explicit(e, 0, memory_order_acq_rel) : 0;

    drop(old);
    return old ? 0 : -EBADF;
}

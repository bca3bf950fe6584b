/*
 * A table from descriptor to queue, in two levels: a fixed directory of pages
 * that are mapped when first needed and never given back.
 *
 * An entry is one word, the pointer to the queue with the access rights in its
 * low bits, so that a look-up is two loads, sees pointer and rights of the
 * same mq_open, and can be made in a signal handler.  That the queue is not
 * unmapped between the look-up and its use is thread.c's business: look-ups
 * happen between mqxi_op_enter and leave, and an entry that is replaced or
 * cleared drops its reference through mqxi_queue_put, which waits for that.
 *
 * Entries can be stale: a program may close its descriptor with plain close().
 * The queue then stays attached until the number is used for a queue again.
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

typedef _Atomic uintptr_t entry;

static entry *_Atomic directory[PAGES];

static_assert(_Alignof(struct mqxi_queue) > (MQXI_READ | MQXI_WRITE), "room for the access bits");

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
    *out = find(fd);
    return 0;
}

/* What an entry referred to before is no longer referred to. */
static void drop(uintptr_t old)
{
    if (old)
        mqxi_queue_put((struct mqxi_queue *)(old & ~ACCESS));
}

int mqxi_handle_set(int fd, struct mqxi_queue *q, unsigned access)
{
    entry *e = find(fd);
    int r = e ? 0 : make_page(fd, &e);

    if (r < 0)
        return r;
    /* Release: q was filled in before another thread can look it up. */
    drop(atomic_exchange_explicit(e, (uintptr_t)q | (access & ACCESS), memory_order_acq_rel));
    return 0;
}

int mqxi_handle_get(int fd, struct mqxi_queue **q, unsigned *access)
{
    entry *e = find(fd);
    uintptr_t v = e ? atomic_load_explicit(e, memory_order_acquire) : 0;

    if (!v)
        return -EBADF;
    *q = (struct mqxi_queue *)(v & ~ACCESS);
    *access = (unsigned)(v & ACCESS);
    return 0;
}

int mqxi_handle_clear(int fd)
{
    entry *e = find(fd);
    uintptr_t old = e ? atomic_exchange_explicit(e, 0, memory_order_acq_rel) : 0;

    drop(old);
    return old ? 0 : -EBADF;
}

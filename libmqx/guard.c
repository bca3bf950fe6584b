/*
 * A queue's owner may truncate its file, or the tmpfs may fill up under a
 * page that was never written: touching the mapping then raises SIGBUS.  Our
 * handler lays zero pages over the whole mapping, marks the queue as dead and
 * returns: the interrupted instruction finishes on a private, empty queue, and
 * the engine turns the mark into -EIO when it is done.  That needs no setjmp on
 * the fast path.  A SIGBUS elsewhere goes to the handler that was there before.
 */
#include "guard.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "names.h"
#include "sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* A mapping under watch.  start is published last and cleared first, with q
 * and size valid meanwhile; claimed keeps two threads from one entry. */
struct watch {
    _Atomic uintptr_t start;
    _Atomic bool claimed;
    _Atomic size_t size;
    struct mqxi_queue *queue; /* of use to those who use the queue, whose entry stays as it is */
};

#define PER_CHUNK 128
struct chunk {
    struct watch watch[PER_CHUNK];
    struct chunk *_Atomic next; /* chunks are never freed: the handler may be in one */
};

static struct chunk first_chunk;
static struct sigaction before;
static atomic_int installed; /* 0: no, 1: being installed, 2: yes */
static _Thread_local sigjmp_buf *volatile probing;

static void lay_zero_pages(struct watch *w)
{
    MQXI_SYS(SYS_mmap, atomic_load(&w->start), w->size, PROT_READ | PROT_WRITE,
             MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    atomic_store(&w->queue->dead, true);
}

static struct watch *find(uintptr_t address)
{
    for (struct chunk *c = &first_chunk; c; c = atomic_load(&c->next))
        for (int i = 0; i < PER_CHUNK; i++) {
            struct watch *w = &c->watch[i];
            uintptr_t start = atomic_load(&w->start);

            /* Still the same start: else this was the size of another mapping, which took the
             * entry meanwhile, and the address is not in either. */
            if (start && address - start < atomic_load(&w->size) &&
                atomic_load(&w->start) == start)
                return w;
        }
    return NULL;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    struct watch *w;

    if (probing)
        siglongjmp(*probing, 1);
    w = info->si_code > 0 ? find((uintptr_t)info->si_addr) : NULL;
    if (w)
        lay_zero_pages(w);
    else if (before.sa_flags & SA_SIGINFO)
        before.sa_sigaction(sig, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
        before.sa_handler(sig);
    else
        signal(SIGBUS, SIG_DFL); /* the instruction faults again, and then kills */
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    int expected = 0;

    if (!atomic_compare_exchange_strong(&installed, &expected, 1))
        return; /* another thread does; until it has, a SIGBUS is what it was before us */
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before);
    atomic_store(&installed, 2);
}

static struct chunk *next_chunk(struct chunk *c)
{
    struct chunk *next = atomic_load(&c->next), *expected = NULL;
    long made;

    if (next)
        return next;
    made = MQXI_SYS(SYS_mmap, NULL, sizeof(struct chunk), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made < 0)
        return NULL;
    next = (struct chunk *)made;
    if (atomic_compare_exchange_strong(&c->next, &expected, next))
        return next;
    MQXI_SYS(SYS_munmap, made, sizeof(struct chunk));
    return expected;
}

void mqxi_guard_add(struct mqxi_queue *q)
{
    if (atomic_load(&installed) == 0)
        install();
    /* Where no entry can be had the queue works on, unguarded. */
    for (struct chunk *c = &first_chunk; c; c = next_chunk(c))
        for (int i = 0; i < PER_CHUNK; i++) {
            struct watch *w = &c->watch[i];

            if (atomic_exchange(&w->claimed, true))
                continue;
            w->queue = q;
            atomic_store(&w->size, q->layout.size);
            atomic_store(&w->start, (uintptr_t)q->header);
            return;
        }
}

void mqxi_guard_remove(struct mqxi_queue *q)
{
    struct watch *w = find((uintptr_t)q->header);

    if (!w)
        return;
    atomic_store(&w->start, 0);
    atomic_store(&w->claimed, false);
}

int mqxi_guard_check(struct mqxi_queue *q)
{
    char path[PATH_MAX];
    struct mqxi_stat st;

    if (!atomic_load(&q->dead) && mqxi_path(MQXI_QUEUES, q->name, path) == 0 &&
        mqxi_sys_stat(AT_FDCWD, path, &st) == 0 && st.ino == q->ino && st.size < q->layout.size)
        atomic_store(&q->dead, true);
    return atomic_load(&q->dead) ? -EIO : 0;
}

/* For kernels before 5.14: write to each page, and catch the SIGBUS of the one that cannot be. */
static int touch(uint8_t *start, size_t len)
{
    sigjmp_buf here;

    if (atomic_load(&installed) == 0)
        install();
    if (sigsetjmp(here, 1)) {
        probing = NULL;
        return -ENOSPC;
    }
    probing = &here;
    for (size_t at = 0; at < len; at += MQXI_PAGE) {
        volatile _Atomic uint8_t *byte = (volatile _Atomic uint8_t *)(start + at);
        uint8_t old = atomic_load(byte);

        /* A write that changes nothing (clang makes nothing of an atomic "or 0").  Where it fails
         * another thread has written: the page exists. */
        atomic_compare_exchange_strong(byte, &old, old);
    }
    probing = NULL;
    return 0;
}

int mqxi_guard_populate(void *start, size_t len)
{
    long r;

    do
        r = MQXI_SYS(SYS_madvise, start, len, MADV_POPULATE_WRITE);
    while (r == -EAGAIN || r == -EINTR);
    if (r == -EINVAL || r == -ENOSYS)
        return touch(start, len);
    return r == -EFAULT ? -ENOSPC : (int)r; /* EFAULT: there would have been a SIGBUS */
}

/*
 * Closing a queue in one thread while another is inside mq_send on it must not
 * pull the mapping away.  Reference counts on every call would cost two locked
 * instructions; instead each thread notes, with a plain store, that it is
 * inside the engine, and who wants to unmap a queue first takes it out of
 * everybody's sight, then lets the kernel put a memory barrier into every
 * thread (membarrier), and unmaps it if no thread is inside.  Otherwise the
 * queue waits on a list for the next such moment.
 *
 * A thread that sleeps is not inside: it holds a reference to its queue.  A
 * call that is left by siglongjmp while asleep leaves its reference behind,
 * and the queue stays mapped until the process ends: memory, not correctness.
 *
 * The notes lie in memory that is zero in a forked child, where the other
 * threads are gone.  The forking thread still points at what was its note, and
 * another may have taken it: a note says whose it is.
 */
#include "thread.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/mman.h>

#include "segment.h"
#include "sys.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define PER_CHUNK (MQXI_PAGE / sizeof(struct mqxi_note))
#define CHUNKS    4096

static struct mqxi_note *_Atomic chunks[CHUNKS]; /* never freed; found again after fork, zeroed */
static _Atomic uint64_t threads;                 /* that ever had a note: also before a fork */
_Thread_local struct mqxi_noted mqxi_noted;
struct mqxi_queue *_Atomic mqxi_retired;
static atomic_bool unnoted; /* a thread got no note, for want of memory: never unmap again */

/* Threads' notes are ordered by membarrier on the side of the unmapper; where the kernel has
 * none, by a fence on each entry. */
atomic_bool mqxi_no_membarrier;
static atomic_bool asked;     /* whether the kernel has it */
static _Atomic int key_state; /* 0: no key yet, 1: being made, 2: made */
static pthread_key_t key;

static void give_back(void *note)
{
    struct mqxi_note *n = note;
    uint64_t thread = mqxi_noted.thread;

    if (atomic_load(&n->thread) != thread)
        return; /* from before a fork */
    atomic_store(&n->depth, 0);
    atomic_store(&n->thread, 0);
}

static void ask_for_membarrier(void)
{
    if (MQXI_SYS(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) < 0)
        atomic_store(&mqxi_no_membarrier, true);
    atomic_store(&asked, true);
}

static struct mqxi_note *chunk(unsigned i)
{
    struct mqxi_note *c = atomic_load(&chunks[i]), *expected = NULL;
    long made;

    if (c)
        return c;
    made = MQXI_SYS(SYS_mmap, NULL, MQXI_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
    if (made < 0)
        return NULL;
    /* Where this fails, a child inherits notes of threads that it does not have, and at worst
     * unmaps nothing. */
    MQXI_SYS(SYS_madvise, made, MQXI_PAGE, MADV_WIPEONFORK);
    if (atomic_compare_exchange_strong(&chunks[i], &expected, (struct mqxi_note *)made))
        return (struct mqxi_note *)made;
    MQXI_SYS(SYS_munmap, made, MQXI_PAGE);
    return expected;
}

static struct mqxi_note *take_note(uint64_t thread)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct mqxi_note *c = chunk(i);

        for (unsigned j = 0; c && j < PER_CHUNK; j++) {
            uint64_t zero = 0;

            if (atomic_load(&c[j].thread) == 0 &&
                atomic_compare_exchange_strong(&c[j].thread, &zero, thread))
                return &c[j];
        }
        if (!c)
            break;
    }
    return NULL;
}

struct mqxi_note *mqxi_op_join(void)
{
    uint64_t thread = atomic_fetch_add(&threads, 1) + 1;
    struct mqxi_note *n = take_note(thread);
    int none = 0;

    if (!atomic_load(&asked))
        ask_for_membarrier();
    if (!n) {
        atomic_store(&unnoted, true);
        return NULL;
    }
    if (atomic_compare_exchange_strong(&key_state, &none, 1) &&
        pthread_key_create(&key, give_back) == 0)
        atomic_store(&key_state, 2);
    if (atomic_load(&key_state) == 2)
        pthread_setspecific(key, n); /* without it the note of an ended thread stays taken */
    /* Together at the end: a handler that came in between has joined with a note of its own,
     * which is then lost. */
    mqxi_noted = (struct mqxi_noted){n, thread};
    return n;
}

static bool somebody_inside(void)
{
    if (!atomic_load(&mqxi_no_membarrier))
        MQXI_SYS(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&unnoted))
        return true;
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct mqxi_note *c = atomic_load(&chunks[i]);

        for (unsigned j = 0; c && j < PER_CHUNK; j++)
            if (atomic_load(&c[j].depth) != 0)
                return true;
        if (!c)
            break;
    }
    return false;
}

static void push(struct mqxi_queue *q)
{
    q->next = atomic_load(&mqxi_retired);
    while (!atomic_compare_exchange_weak(&mqxi_retired, &q->next, q))
        ;
}

/* Taking the whole list at once leaves no room for an ABA race. */
void mqxi_unmap_retired(void)
{
    struct mqxi_queue *list = atomic_exchange(&mqxi_retired, NULL), *next;
    bool inside = list && somebody_inside();

    for (; list; list = next) {
        next = list->next;
        if (inside)
            push(list);
        else
            mqxi_segment_detach(list);
    }
}

bool mqxi_queue_get(struct mqxi_queue *q)
{
    uint32_t refs = atomic_load_explicit(&q->refs, memory_order_relaxed);

    /* Not from 0: it is on the list already, to be unmapped although we have it, and our put would
     * put it there twice. */
    while (refs > 0 && !atomic_compare_exchange_weak_explicit(
                           &q->refs, &refs, refs + 1, memory_order_relaxed, memory_order_relaxed))
        ;
    return refs > 0;
}

void mqxi_queue_put(struct mqxi_queue *q)
{
    if (atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1)
        return;
    push(q);
    mqxi_unmap_retired();
}

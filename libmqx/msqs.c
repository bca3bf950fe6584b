/*
 * A table from an id's index to the queue, in two levels as handles.c's.  An entry that
 * is of another id than is asked for is of a queue that was removed since.  Who looks one
 * up is inside mqxi_op_enter, and an entry's reference is dropped through
 * mqxi_queue_put, so no queue is unmapped under him.
 *
 * What the caller may do is asked of the kernel (his user, his groups) once, and again
 * when the queue's owner or mode changed, or the process called one of libc's functions
 * that change his.
 */
#include "msqs.h"

#include <sys/mman.h>

#include "capable.h"
#include "posix.h"
#include "sys.h"

#define TRIES 10000 /* to have room, each with a yield */
#define LOOKS 100   /* for somebody whose room could be had */

typedef mqxi_msqs_entry entry;

mqxi_msqs_entry *_Atomic mqxi_msqs_pages[MQXI_MSQS_PAGES];
_Atomic uint32_t mqxi_msqs_epoch;
static _Atomic uint32_t order[MQXI_MSQS_MOST]; /* indexes + 1, as they were attached; 0: none */
static _Atomic uint32_t attached;

static entry *find(uint32_t index, bool make)
{
    entry *_Atomic *page = &mqxi_msqs_pages[index / MQXI_MSQS_PER_PAGE];
    entry *at = atomic_load_explicit(page, memory_order_acquire);
    long made;

    if (!at && make) {
        made = MQXI_SYS(SYS_mmap, NULL, MQXI_PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (made < 0)
            return NULL;
        if (atomic_compare_exchange_strong(page, &at, (entry *)made))
            at = (entry *)made;
        else
            MQXI_SYS(SYS_munmap, made, MQXI_PAGE); /* another thread was first */
    }
    return at ? &at[index % MQXI_MSQS_PER_PAGE] : NULL;
}

static void set(entry *e, struct mqxi_queue *q)
{
    struct mqxi_queue *old = atomic_exchange(e, q);

    if (old)
        mqxi_queue_put(old);
}

int mqxi_msqs_add(struct mqxi_queue *q)
{
    uint32_t index = mqxi_msqid_index(q->id), oldest;
    entry *e = find(index, true);

    if (!e) {
        mqxi_queue_put(q);
        return -ENOMEM;
    }
    set(e, q);
    oldest = atomic_exchange(&order[atomic_fetch_add(&attached, 1) % MQXI_MSQS_MOST], index + 1);
    if (oldest && oldest != index + 1 && (e = find(oldest - 1, false)))
        set(e, NULL);
    return 0;
}

void mqxi_msqs_drop(const struct mqxi_queue *q)
{
    struct mqxi_queue *it = (struct mqxi_queue *)q;
    entry *e = find(mqxi_msqid_index(q->id), false);

    if (e && atomic_compare_exchange_strong(e, &it, NULL))
        mqxi_queue_put(it);
}

int mqxi_msqs_attach(int id, struct mqxi_queue **q)
{
    entry *e = id < 0 ? NULL : find(mqxi_msqid_index(id), false);
    int r;

    *q = e ? atomic_load_explicit(e, memory_order_acquire) : NULL;
    if (*q)
        mqxi_msqs_drop(*q);
    r = mqxi_msqid_attach(id, q);
    if (r < 0)
        *q = NULL; /* not one that it was taken for */
    return r < 0 ? r : mqxi_msqs_add(*q);
}

/* A thread that is inside leaves soon, or sleeps: that is outside, too.  The list of those that
 * wait may be empty for the moment because another thread is going through it. */
bool mqxi_msqs_make_room(void)
{
    for (int i = 0; i < LOOKS; i++) {
        bool some = atomic_load(&mqxi_retired);

        MQXI_SYS(SYS_sched_yield);
        mqxi_queue_settle();
        if (some)
            return true;
    }
    return false;
}

int mqxi_msqs_enter_slowly(int id, struct mqxi_queue **q, unsigned *token)
{
    bool again = true;
    int r = -ENOMEM;

    for (int i = 0; r == -ENOMEM && again && i < TRIES; i++) {
        mqxi_op_leave(*token);
        again = mqxi_msqs_make_room();
        *token = mqxi_op_enter();
        r = mqxi_msqs_get(id, q);
    }
    return r;
}

/* --- rights -------------------------------------------------------------------------------------
 */

static bool is_in_group(const struct mqxi_asker *self, uint32_t gid)
{
    (void)self;
    return mqxi_in_group(gid);
}

static bool is_capable(const struct mqxi_asker *self, int capability)
{
    (void)self;
    return mqxi_capable(capability);
}

struct mqxi_asker mqxi_msqs_self(void)
{
    return (struct mqxi_asker){(uint32_t)MQXI_SYS(SYS_geteuid), is_in_group, is_capable};
}

unsigned mqxi_msqs_ask_rights(struct mqxi_queue *q)
{
    struct mqxi_asker self = mqxi_msqs_self();
    uint32_t tag = mqxi_msqs_tag(q),
             rights = mqxi_msq_rights(q, &self, 6) | 1; /* bit 0: they were asked for */

    atomic_store_explicit(&q->rights, tag | rights, memory_order_relaxed);
    return rights;
}

void mqxi_msqs_forget_rights(void)
{
    atomic_fetch_add(&mqxi_msqs_epoch, 8);
}

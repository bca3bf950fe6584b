/* The System V queues that this process uses, by their ids. */
#ifndef MQXI_MSQS_H
#define MQXI_MSQS_H

#include <errno.h>

#include "held.h"
#include "msq_state.h"
#include "msqids.h"
#include "thread.h"

/* At most so many stay attached when nobody is in a call on them: each takes address space. */
#define MQXI_MSQS_MOST 64u

/* Not to be used directly: the table (msqs.c), and the number of times that rights were forgotten.
 */
#define MQXI_MSQS_PER_PAGE (MQXI_PAGE / sizeof(void *))
#define MQXI_MSQS_PAGES    (MQXI_MSQID_MAX / MQXI_MSQS_PER_PAGE)
typedef struct mqxi_queue *_Atomic mqxi_msqs_entry;
extern mqxi_msqs_entry *_Atomic mqxi_msqs_pages[MQXI_MSQS_PAGES];
extern _Atomic uint32_t mqxi_msqs_epoch;
int mqxi_msqs_attach(int id, struct mqxi_queue **q); /* slow half of mqxi_msqs_get */
unsigned mqxi_msqs_ask_rights(struct mqxi_queue *q); /* and of mqxi_msqs_rights */

/*
 * The queue with this id, attached where it is not yet; between mqxi_op_enter and leave.
 * -EINVAL: there is none (any more); else as mqxi_msqid_attach.  Async-signal-safe where it
 * is attached.
 */
static inline int mqxi_msqs_get(int id, struct mqxi_queue **q)
{
    uint32_t index = mqxi_msqid_index(id);
    mqxi_msqs_entry *page =
        atomic_load_explicit(&mqxi_msqs_pages[index / MQXI_MSQS_PER_PAGE], memory_order_acquire);

    *q =
        page ? atomic_load_explicit(&page[index % MQXI_MSQS_PER_PAGE], memory_order_acquire) : NULL;
    return __builtin_expect(*q && (*q)->id == id && !mqxi_held_removed(*q), 1)
               ? 0
               : mqxi_msqs_attach(id, q);
}
/*
 * Between this and mqxi_op_leave(*token), whatever it returns: as mqxi_msqs_get.  Where there is no
 * address space left for it, those that wait to be unmapped are waited for.
 */
int mqxi_msqs_enter_slowly(int id, struct mqxi_queue **q, unsigned *token);
static inline int mqxi_msqs_enter(int id, struct mqxi_queue **q, unsigned *token)
{
    int r;

    *token = mqxi_op_enter();
    r = mqxi_msqs_get(id, q);
    return __builtin_expect(r == -ENOMEM, 0) ? mqxi_msqs_enter_slowly(id, q, token) : r;
}
/* An attempt failed with -ENOMEM: is another one worth it?  Outside. */
bool mqxi_msqs_make_room(void);

/* This one was just attached: takes over the reference. */
int mqxi_msqs_add(struct mqxi_queue *q);
/* It is removed. */
void mqxi_msqs_drop(const struct mqxi_queue *q);

/* Of which owner, mode and caller rights are: a number that is another when one of them changed. */
static inline uint32_t mqxi_msqs_tag(const struct mqxi_queue *q)
{
    uint64_t changed = atomic_load_explicit(&q->header->changed_ns, memory_order_acquire);

    return ((uint32_t)changed * 8 ^ atomic_load_explicit(&mqxi_msqs_epoch, memory_order_relaxed)) &
           ~7u;
}

/* What of these the caller may do with the queue: as the kernel asks at each call, but remembered.
 */
static inline unsigned mqxi_msqs_rights(struct mqxi_queue *q)
{
    uint32_t rights = atomic_load_explicit(&q->rights, memory_order_relaxed);

    return __builtin_expect((rights & ~6u) == (mqxi_msqs_tag(q) | 1), 1)
               ? rights & 6
               : mqxi_msqs_ask_rights(q) & 6;
}
/* This process's user or groups have changed, or may have. */
void mqxi_msqs_forget_rights(void);
/* This process, as it acts now, for the rules of msq_state.h. */
struct mqxi_asker mqxi_msqs_self(void);

#endif

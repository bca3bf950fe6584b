/*
 * A process that blocks on another user's queue sleeps on a word of its own
 * memory, as it would on a word of the queue if it could map that: so signals,
 * deadlines and cancellation are the same to it.  The page of these words, its
 * bell, is a file that it made, and that we map.  For the queue's other users we
 * are the sleeper: who waits stands in the queue's list of waiting requests
 * (parked.c), and is rung when it is his turn.  He then tries himself.
 *
 * The page is its process's to damage or to truncate, so we never touch it:
 * the system call that bumps and wakes fails where there is nothing.
 */
#include "doorbell.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "caller.h"
#include "calls.h"
#include "engine.h"
#include "held.h"
#include "names.h"
#include "parked.h"
#include "slots.h"
#include "sys.h"
#include "sysv.h"
#include "thread.h"
#include "wait.h"

#define BELLS_EACH 4096u /* of a user */

struct bell {
    struct bell *next;
    atomic_uint references;
    uint64_t ino;
    uid_t uid;
    pid_t pid;
    uint32_t *words;
};

static struct bell *bells;

/* --- bells --------------------------------------------------------------------------------------
 */

void bell_put(struct bell *b)
{
    if (atomic_fetch_sub(&b->references, 1) > 1)
        return;
    munmap(b->words, MQXI_PAGE);
    free(b);
}

struct bell *bell_get(uid_t uid, uint64_t ino)
{
    struct bell *b = bells;

    while (b && (b->ino != ino || b->uid != uid))
        b = b->next;
    if (b)
        atomic_fetch_add(&b->references, 1);
    return b;
}

void bell_ring(struct bell *b, uint32_t word)
{
    uint32_t *w = b->words + word;

    MQXI_SYS(SYS_futex, w, FUTEX_WAKE_OP, INT_MAX, 0, w,
             FUTEX_OP(FUTEX_OP_ADD, MQXI_EVENT_STEP, FUTEX_OP_CMP_EQ, 0));
}

static unsigned count_of(uid_t uid)
{
    unsigned n = 0;

    for (struct bell *b = bells; b; b = b->next)
        n += b->uid == uid;
    return n;
}

/* A regular file of this user's, of a page. */
static int open_bell(const char *name, uid_t uid, struct mqxi_stat *st)
{
    char path[PATH_MAX];
    int r = mqxi_path(MQXI_TMP, name, path), fd;

    if (r < 0)
        return r;
    fd = mqxi_sys_openat(AT_FDCWD, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    r = mqxi_sys_stat(fd, "", st);
    if (r == 0 && (!S_ISREG(st->mode) || st->uid != uid || st->size < MQXI_PAGE))
        r = -EACCES;
    if (r < 0)
        mqxi_sys_close(fd);
    return r < 0 ? r : fd;
}

int bell_register(const struct fuse_ctx *ctx, const struct mqxi_remote_bell *said)
{
    const size_t prefix = strlen(MQXI_BELL_PREFIX);
    struct mqxi_stat st;
    struct bell *b;
    void *map;
    int fd;

    if (!memchr(said->name, 0, sizeof(said->name)) || strchr(said->name, '/') ||
        strncmp(said->name, MQXI_BELL_PREFIX, prefix) != 0)
        return -EINVAL;
    if (count_of(ctx->uid) >= BELLS_EACH)
        return -ENOSPC;
    fd = open_bell(said->name, ctx->uid, &st);
    if (fd < 0)
        return fd;
    map = mmap(NULL, MQXI_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    mqxi_sys_close(fd);
    b = map == MAP_FAILED ? NULL : malloc(sizeof(*b));
    if (!b) {
        if (map != MAP_FAILED)
            munmap(map, MQXI_PAGE);
        return -ENOMEM;
    }
    *b = (struct bell){.next = bells,
                       .ino = st.ino,
                       .uid = ctx->uid,
                       .pid = (pid_t)caller_identify(ctx, said->caller).pid,
                       .words = map};
    atomic_init(&b->references, 1);
    bells = b;
    return 0;
}

static void forget_bells(bool all)
{
    for (struct bell **link = &bells, *b; (b = *link);)
        if (all || caller_is_dead(b->pid)) { /* a child that has it yet makes one of its own */
            *link = b->next;
            bell_put(b);
        } else {
            link = &b->next;
        }
}

/* --- those who wait -----------------------------------------------------------------------------
 */

struct waiter {
    struct parked parked; /* without a request */
    struct remote *remote;
    pid_t tid;
    struct bell *bell;
    uint32_t word;
    /* System V: what he wants to receive, or has to send; and when owner and mode were changed. */
    struct mqxi_choice choice;
    uint32_t len;
    uint64_t changed_ns;
};

static struct waiter *waiter_of(struct parked *p)
{
    return (struct waiter *)p; /* its first member */
}

/* May what he waits for be there, or an error? */
static bool is_ready(struct mqxi_queue *q, const struct waiter *w)
{
    bool receives = w->parked.direction == FOR_MESSAGE;
    struct mqxi_first first;

    if (!q->types)
        return mqxi_readiness(q) & (receives ? MQXI_CAN_RECEIVE : MQXI_CAN_SEND);
    return mqxi_held_removed(q) || atomic_load(&q->header->changed_ns) != w->changed_ns ||
           (receives ? mqxi_choose_key(q, &w->choice, &first) != -EAGAIN
                     : mqxi_slot_any_free(q) && mqxi_held_has_room(q, w->len));
}

static bool ring_if_ready(struct parked *p)
{
    unsigned token = mqxi_op_enter();
    bool ready = is_ready(p->attached->queue, waiter_of(p));

    mqxi_op_leave(token);
    if (!ready)
        return false;
    bell_ring(waiter_of(p)->bell, waiter_of(p)->word);
    return true;
}

static void discard(struct parked *p)
{
    bell_put(waiter_of(p)->bell);
    free(p);
}

static struct parked *find(const struct remote *r, struct attached *a, pid_t tid,
                           enum direction direction)
{
    struct parked *p = a->waiting[direction].first;

    while (p && (p->request || waiter_of(p)->remote != r || waiter_of(p)->tid != tid))
        p = p->next;
    return p;
}

int waiter_add(struct remote *r, struct attached *a, const struct fuse_ctx *ctx,
               const struct mqxi_remote_wait *said)
{
    enum direction direction = said->direction == MQXI_FOR_MESSAGE ? FOR_MESSAGE : FOR_ROOM;
    uint32_t seen = mqxi_event_read(attached_event(a, direction));
    struct waiter *w;

    if (said->direction > MQXI_FOR_ROOM || said->word >= MQXI_BELL_WORDS)
        return -EINVAL;
    waiter_remove(r, a, ctx->pid, direction, false);
    w = malloc(sizeof(*w));
    if (!w)
        return -ENOMEM;
    *w = (struct waiter){.parked = {.attached = a,
                                    .direction = direction,
                                    .attempt = ring_if_ready,
                                    .discard = discard},
                         .remote = r,
                         .tid = ctx->pid,
                         .bell = bell_get(ctx->uid, said->bell),
                         .word = said->word,
                         .choice = call_choice(&said->sysv, said->len),
                         .len = said->len,
                         .changed_ns = atomic_load(&a->queue->header->changed_ns)};
    if (!w->bell) {
        free(w);
        return -ENOENT;
    }
    if ((is_sysv(a) || !parked_any(a, direction)) && ring_if_ready(&w->parked))
        discard(&w->parked);
    else
        parked_add(&w->parked, seen);
    return 0;
}

void waiter_remove(struct remote *r, struct attached *a, pid_t tid, enum direction direction,
                   bool given_up)
{
    struct parked *p = find(r, a, tid, direction);

    if (p) {
        parked_remove(p);
    } else if (given_up) {
        a->waiting[direction].woken = true; /* in his stead, perhaps */
        parked_due(a, direction);
    }
}

static void remove_if(struct attached *a, bool (*unwanted)(const struct waiter *w, const void *arg),
                      const void *arg)
{
    for (int d = 0; d < DIRECTIONS; d++)
        for (struct parked *p = a->waiting[d].first, *next; p; p = next) {
            next = p->next;
            if (!p->request && unwanted(waiter_of(p), arg))
                parked_remove(p);
        }
}

static bool is_of(const struct waiter *w, const void *remote)
{
    return w->remote == remote;
}

static bool is_dead(const struct waiter *w, const void *unused)
{
    (void)unused;
    return caller_is_dead(w->tid);
}

void waiter_remove_all(struct remote *r, struct attached *a)
{
    remove_if(a, is_of, r);
}

static void remove_dead(struct attached *a)
{
    remove_if(a, is_dead, NULL);
}

void doorbell_tick(void)
{
    if (parked_count() > 0)
        attached_each(remove_dead);
    forget_bells(false);
}

void doorbell_end(void)
{
    forget_bells(true);
}

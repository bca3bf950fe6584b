/*
 * This process's registrations with mq_notify.  A signal with the right siginfo,
 * or a thread, can only come from within the process, so a helper thread waits
 * for what others fire: asleep, with all signals blocked, on the event words of
 * its registrations' entries.
 *
 * What this process sends to itself it delivers at once, on the sender's thread:
 * a program that sends, and expects its handler to have run, is right to do so.
 *
 * A removal, a close and a new registration by this process deliver what fired
 * before them, or wait until the helper has: once they have returned, no signal
 * of the past can come any more, as with the kernel, which sends it before mq_send
 * returns.
 *
 * Once a second the helper looks for itself: at what was fired by somebody who
 * died before waking it, and for a message that should have notified and has not
 * (notify.c).
 *
 * A record is one word, by compare-and-swap: free, busy (its fields are somebody's
 * own), or the record's id, which never comes back.  Whoever swaps it from its id
 * to busy has the record: the one who removes the registration, or the one who
 * delivers it.  It is free again before the signal is sent, so that handlers can
 * register anew without end, and without a new thread or memory.  Records
 * lie in memory that is zero in a forked child: it is not registered, and makes
 * a helper of its own.  vfork's child, whose memory is its parent's, has another
 * process number than its records.
 */
#include "notify_helper.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include "notify.h"
#include "notify_deliver.h"
#include "repair.h"
#include "sys.h"
#include "thread.h"
#include "wait.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define RECORDS   120u /* of a helper: futex_waitv takes 128 words */
#define CHUNKS    64u
#define STACK     (128u << 10)
#define SECOND    UINT64_C(1000000000)
#define LOOK_NS   SECOND
#define IDLE_NS   (5 * SECOND)
#define RESTLESS  1000 /* wakes for nothing, in a row, before it waits regardless */
#define REST_NS   UINT64_C(10000000)
#define YIELDS    100   /* for a helper that is just at it, ... */
#define NAPS      10000 /* ... and then, in case a debugger holds it, a second at most */
#define NAP_NS    100000
#define FREE      UINT64_C(0)
#define BUSY      UINT64_C(1)
#define INDEX     UINT64_C(0xffff) /* of an id: which record; a serial number is above it */
#define SERIAL_AT 16

struct record {
    _Atomic uint64_t state; /* FREE, BUSY or its id */
    /* Read by everybody, who then looks whether the state is still the same. */
    struct mqxi_queue *_Atomic queue; /* a reference */
    _Atomic uint64_t ino, name;
    _Atomic uint32_t pid, recv_count;
    atomic_int kind;
    /* The helper's: the message that was there when it looked. */
    _Atomic uint64_t key;
    _Atomic uint32_t slot;
    /* Whose swapped the state to busy. */
    uint64_t owner;
    struct mqxi_delivery delivery;
};

struct chunk {
    _Atomic uint32_t control; /* bumped when there is a new registration */
    atomic_int helper;        /* 0: none, 1: being made, 2: runs */
    _Atomic uint64_t taken;   /* the record that the helper takes, until its signal is sent */
    atomic_bool threads;      /* there was a registration for a thread */
    char name[16]; /* of the thread that made the helper: threads that it starts have it */
    struct record record[RECORDS];
};

static struct chunk *_Atomic chunks[CHUNKS]; /* never freed */
static _Atomic uint64_t serial;

/* --- records --------------------------------------------------------------------------------- */

static void wipe_in_child(void)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct chunk *c = atomic_load(&chunks[i]);

        if (c)
            memset(c, 0, sizeof(*c));
    }
}

static struct chunk *make_chunk(unsigned i)
{
    struct chunk *c = atomic_load(&chunks[i]), *none = NULL;
    long made;

    if (c)
        return c;
    made = MQXI_SYS(SYS_mmap, NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
    if (made < 0)
        return NULL;
    c = (struct chunk *)made;
    if (MQXI_SYS(SYS_madvise, made, sizeof(*c), MADV_WIPEONFORK) < 0) /* before Linux 4.14 */
        pthread_atfork(NULL, NULL, wipe_in_child);
    if (atomic_compare_exchange_strong(&chunks[i], &none, c))
        return c;
    MQXI_SYS(SYS_munmap, made, sizeof(*c));
    return none;
}

static struct record *record_of(uint64_t id)
{
    return &atomic_load(&chunks[(id & INDEX) / RECORDS])->record[(id & INDEX) % RECORDS];
}

bool mqxi_helper_any(void)
{
    return atomic_load_explicit(&chunks[0], memory_order_relaxed) != NULL;
}

void mqxi_helper_free_entry(const struct mqxi_registration *r)
{
    struct mqxi_notify *entry = mqxi_notify_entry(r->queue, r->name);
    uint64_t owner = r->owner;

    if (atomic_load(&entry->owner) != owner)
        return;
    atomic_store(&entry->word, 0);
    atomic_compare_exchange_strong(&entry->owner, &owner, 0);
}

/* What a record held, with its reference to the queue. */
struct news {
    struct mqxi_registration registration;
    struct mqxi_delivery delivery;
};

static bool claim(uint64_t id)
{
    return atomic_compare_exchange_strong(&record_of(id)->state, &id, BUSY);
}

/* Empty a record that was claimed. */
static void empty(uint64_t id, struct news *out)
{
    struct record *r = record_of(id);

    out->registration = (struct mqxi_registration){
        .queue = atomic_load(&r->queue), .name = atomic_load(&r->name), .owner = r->owner};
    out->delivery = r->delivery;
    mqxi_helper_free_entry(&out->registration);
    atomic_store(&r->state, FREE);
}

/* Take a record away: false, if another has it. */
static bool take(uint64_t id, struct news *out)
{
    if (!claim(id))
        return false;
    empty(id, out);
    return true;
}

static void let_go(struct news *news)
{
    mqxi_delivery_drop(&news->delivery);
    mqxi_queue_put(news->registration.queue);
}

void mqxi_helper_drop(uint64_t id)
{
    struct news news;

    if (take(id, &news))
        let_go(&news);
}

/* This process's own record of this queue, whose id and name are these?  *pid: 0, or our number. */
static bool is_own(struct record *r, const struct mqxi_queue *q, uint64_t *id, uint64_t *name,
                   uint32_t *pid)
{
    *id = atomic_load(&r->state);
    if (*id <= BUSY || atomic_load(&r->ino) != q->ino)
        return false;
    if (*pid == 0)
        *pid = (uint32_t)MQXI_SYS(SYS_getpid);
    *name = atomic_load(&r->name);
    return atomic_load(&r->pid) == *pid && atomic_load(&r->state) == *id;
}

static bool find_in(struct chunk *c, const struct mqxi_queue *q, uint64_t name, uint64_t *id)
{
    uint32_t pid = 0;
    uint64_t found;

    for (unsigned i = 0; i < RECORDS; i++)
        if (is_own(&c->record[i], q, id, &found, &pid) && found == name)
            return true;
    return false;
}

bool mqxi_helper_find(const struct mqxi_queue *q, uint64_t name, uint64_t *id)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct chunk *c = atomic_load(&chunks[i]);

        if (!c)
            break;
        if (find_in(c, q, name, id))
            return true;
    }
    return false;
}

/* Did the entry fire, and who made it? */
static bool fired(uint64_t word, struct mqxi_sender *by)
{
    *by = (struct mqxi_sender){(uint32_t)(word >> 32) & ~(3u << 30), (uint32_t)word};
    return (word & MQXI_NOTIFY_FIRED) == MQXI_NOTIFY_FIRED;
}

bool mqxi_helper_claim(struct mqxi_queue *q, uint64_t name, uint64_t *id)
{
    return mqxi_helper_find(q, name, id) && atomic_load(&record_of(*id)->kind) != SIGEV_THREAD &&
           claim(*id);
}

void mqxi_helper_deliver(uint64_t id)
{
    struct record *r = record_of(id);
    struct mqxi_sender by;
    struct news news;
    bool send = fired(
        atomic_load(&mqxi_notify_entry(atomic_load(&r->queue), atomic_load(&r->name))->word), &by);

    empty(id, &news);
    let_go(&news);
    if (send) /* else another thread has just removed it */
        mqxi_deliver_signal(&news.delivery, by);
}

/* The signal of a record that was taken from those who fired it. */
static void send(const struct news *news, struct mqxi_sender by)
{
    struct mqxi_queue *q = news->registration.queue;

    /* Who receives from this queue meanwhile is not interrupted: to him, it came before. */
    atomic_fetch_add(&q->raising, 1);
    mqxi_deliver_signal(&news->delivery, by);
    atomic_fetch_add(&q->raised, 1);
    /* Its sender may be waiting for that. */
    mqxi_event_signal(&mqxi_notify_entry(q, news->registration.name)->event, true);
}

static void settle_in(struct chunk *c, struct mqxi_queue *q)
{
    uint32_t pid = 0;

    for (unsigned i = 0; i < RECORDS; i++) {
        struct record *r = &c->record[i];
        struct mqxi_sender by;
        struct news news;
        uint64_t id, name;

        /* A thread takes time in any case, and is not for us to make: we may be in a handler. */
        if (!is_own(r, q, &id, &name, &pid) || atomic_load(&r->kind) == SIGEV_THREAD ||
            !fired(atomic_load(&mqxi_notify_entry(q, name)->word), &by) || !take(id, &news))
            continue;
        send(&news, by);
        let_go(&news);
    }
}

/* What the helper has taken by now is sent.  It needs nobody for that. */
static void await_helper(struct chunk *c)
{
    struct timespec nap = {.tv_nsec = NAP_NS};
    uint64_t taken = atomic_load(&c->taken);

    for (int i = 0; taken != 0 && atomic_load(&c->taken) == taken && i < YIELDS + NAPS; i++)
        if (i < YIELDS)
            MQXI_SYS(SYS_sched_yield);
        else
            MQXI_SYS(SYS_nanosleep, &nap, NULL);
}

void mqxi_helper_settle(struct mqxi_queue *q)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct chunk *c = atomic_load(&chunks[i]);

        if (!c)
            break;
        settle_in(c, q);
        await_helper(c);
    }
}

/* --- the thread ------------------------------------------------------------------------------ */

/* A message that nobody was notified of: seen twice, since its sender may be just at it. */
static void look_for_stranded(struct record *r, struct mqxi_queue *q, uint64_t name)
{
    uint32_t since = atomic_load(&r->recv_count), slot;
    uint64_t key;
    bool swept;

    mqxi_repair_sometimes(q, &swept);
    /* Was the queue ever found empty since it was registered for? */
    if ((int32_t)(atomic_load(&q->header->notify_empty) - since) < 0 ||
        !mqxi_notify_stranded(q, &slot, &key))
        key = slot = 0;
    else if (key == atomic_load(&r->key) && slot == atomic_load(&r->slot))
        mqxi_notify_mend(q, name, slot);
    atomic_store(&r->key, key);
    atomic_store(&r->slot, slot);
}

enum found { NOTHING, WATCH, NEWS };

/* Look at a record.  It fired: take it, and who made it fire.  Inside mqxi_op_enter, which keeps
 * the queue mapped, whoever takes the record away. */
static enum found look_at(struct chunk *c, struct record *r, bool due, struct mqxi_watch *watch,
                          struct news *news, struct mqxi_sender *by)
{
    uint64_t id = atomic_load(&r->state), name = atomic_load(&r->name), word;
    struct mqxi_queue *q = atomic_load(&r->queue);
    struct mqxi_notify *entry;

    if (id <= BUSY || atomic_load(&r->state) != id)
        return NOTHING;
    entry = mqxi_notify_entry(q, name);
    /* The event before the word: what fires after this look finds us asleep, or keeps us awake. */
    *watch = (struct mqxi_watch){&entry->event, atomic_load(&entry->event)};
    word = atomic_load(&entry->word);
    if (word == mqxi_notify_word(name)) {
        if (due)
            look_for_stranded(r, q, name);
        return WATCH;
    }
    if (!fired(word, by)) {
        mqxi_helper_drop(id); /* the segment is damaged, or vanished; or it is just being removed */
        return NOTHING;
    }
    /* Before the record is ours: who finds that it is gone finds this. */
    atomic_store(&c->taken, id);
    if (take(id, news))
        return NEWS;
    atomic_store(&c->taken, 0);
    return NOTHING;
}

static void deliver(struct chunk *c, struct news *news, struct mqxi_sender by)
{
    send(news, by);
    atomic_store(&c->taken, 0);
    if (news->delivery.kind == SIGEV_THREAD)
        mqxi_deliver_thread(&news->delivery, c->name);
    let_go(news);
}

/* SIGBUS is how guard.c learns that a segment vanished; otherwise it is the program's. */
static void mask_sigbus(int how)
{
    uint64_t bit = UINT64_C(1) << (SIGBUS - 1);

    MQXI_SYS(SYS_rt_sigprocmask, how, &bit, NULL, sizeof(bit));
}

/* Look at all of them, deliver what fired.  How many words there are to sleep on. */
static unsigned look_around(struct chunk *c, bool due, struct mqxi_watch *watch, bool *delivered)
{
    unsigned n = 0;

    mask_sigbus(SIG_UNBLOCK);
    *delivered = false;
    for (unsigned i = 0; i < RECORDS; i++) {
        unsigned token = mqxi_op_enter();
        struct mqxi_sender by;
        struct news news;
        enum found found = look_at(c, &c->record[i], due, &watch[n], &news, &by);

        mqxi_op_leave(token);
        n += found == WATCH;
        if (found == NEWS)
            deliver(c, &news, by);
        *delivered |= found == NEWS;
    }
    mask_sigbus(SIG_BLOCK);
    return n;
}

/*
 * Are helpers all that is left of this process, whose first thread has ended by
 * pthread_exit?  Without us it would end now, so it shall.  Not where a thread was
 * to be notified: with glibc, too, that keeps the process.
 */
static bool alone(void)
{
    int fd = mqxi_sys_openat(AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC, 0);
    char text[1024], *after, state = 0;
    int threads = 0, helpers = 0;
    long n;

    if (fd < 0)
        return false;
    n = MQXI_SYS(SYS_read, fd, text, sizeof(text) - 1);
    mqxi_sys_close(fd);
    text[n < 0 ? 0 : n] = 0;
    after = strrchr(text, ')');
    if (!after ||
        sscanf(after, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d",
               &state, &threads) != 2 ||
        state != 'Z')
        return false;
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct chunk *c = atomic_load(&chunks[i]);

        if (!c)
            break;
        helpers += atomic_load(&c->helper) == 2;
        if (atomic_load(&c->threads))
            return false;
    }
    return threads <= helpers + 1;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void *help(void *arg)
{
    struct chunk *c = arg;
    struct mqxi_watch watch[RECORDS + 1];
    uint64_t now = now_ns(), next_look = now + LOOK_NS;
    unsigned restless = 0;

    atomic_store(&c->helper, 2);
    prctl(PR_SET_NAME, "mqx-notify");
    for (;;) {
        bool due = (now = now_ns()) >= next_look, delivered;
        unsigned n;

        /* Before the look: a registration that comes after it keeps us awake. */
        watch[0] = (struct mqxi_watch){&c->control, atomic_load(&c->control)};
        n = look_around(c, due, watch + 1, &delivered);
        if (due && alone())
            return NULL;
        if (due)
            next_look = now + (n ? LOOK_NS : IDLE_NS);
        else if (n && next_look > now + LOOK_NS)
            next_look = now + LOOK_NS;
        if (delivered)
            continue;
        /* Words in a damaged segment may change all the time. */
        restless = due ? 0 : restless + 1;
        if (restless < RESTLESS)
            mqxi_event_sleep_any(watch, n + 1, next_look > now ? next_look - now : 1);
        else
            mqxi_event_sleep_any(watch, 1, REST_NS);
    }
}

/* A thread that gets none of the program's signals. */
static int make_thread(struct chunk *c)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    int r;

    prctl(PR_GET_NAME, c->name);
    if (pthread_attr_init(&attr) != 0)
        return -ENOMEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK + (size_t)PTHREAD_STACK_MIN);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attr, help, c);
    if (r == EINVAL) /* the program has much thread-local data */
        r = pthread_create(&thread, NULL, help, c) == 0 ? pthread_detach(thread) : EAGAIN;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -r;
}

/* A handler or another thread that comes while it is being made goes on without it. */
static int start_helper(struct chunk *c)
{
    int none = 0, r;

    if (atomic_load(&c->helper) != 0 || !atomic_compare_exchange_strong(&c->helper, &none, 1))
        return 0;
    r = make_thread(c);
    if (r < 0)
        atomic_store(&c->helper, 0);
    return r;
}

static int fill(struct chunk *c, struct record *r, const struct mqxi_registration *registration,
                const struct sigevent *event)
{
    int error = mqxi_delivery_copy(&r->delivery, event);

    if (error < 0)
        return error;
    if (event->sigev_notify == SIGEV_THREAD)
        atomic_store(&c->threads, true);
    mqxi_queue_get(registration->queue); /* our caller has one */
    atomic_store(&r->queue, registration->queue);
    atomic_store(&r->ino, registration->queue->ino);
    atomic_store(&r->name, registration->name);
    atomic_store(&r->pid, (uint32_t)MQXI_SYS(SYS_getpid));
    atomic_store(&r->recv_count, registration->recv_count);
    atomic_store(&r->kind, event->sigev_notify);
    atomic_store(&r->key, 0);
    r->owner = registration->owner;
    return 0;
}

int mqxi_helper_add(const struct mqxi_registration *registration, const struct sigevent *event,
                    uint64_t *id)
{
    for (unsigned i = 0; i < CHUNKS * RECORDS; i++) {
        struct chunk *c = make_chunk(i / RECORDS);
        struct record *r = c ? &c->record[i % RECORDS] : NULL;
        uint64_t state = FREE;
        int error = c ? start_helper(c) : -ENOMEM;

        if (error < 0)
            return error;
        if (!atomic_compare_exchange_strong(&r->state, &state, BUSY))
            continue;
        error = fill(c, r, registration, event);
        *id = (atomic_fetch_add(&serial, 1) + 1) << SERIAL_AT | i;
        atomic_store(&r->state, error < 0 ? FREE : *id);
        atomic_fetch_add(&c->control, MQXI_EVENT_STEP);
        mqxi_event_wake(&c->control, true);
        return error;
    }
    return -EAGAIN;
}

/*
 * mq_notify on another user's queue.  mqxfs is registered in our stead, and sends
 * the signal; we only ask.  A thread can only be started from within: where that
 * is wanted, a thread of ours sleeps until mqxfs bumps the word that it was given,
 * or the registration is removed.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "handles.h"
#include "notify_deliver.h"
#include "remote.h"
#include "sys.h"
#include "wait.h"

#define STACK   (64u << 10)
#define LOOK_NS UINT64_C(5000000000)

/* A registration with a thread that waits for it. */
struct waiting {
    struct waiting *_Atomic next;
    _Atomic uint64_t queue; /* inode number, as its file has it; 0: over */
    uint32_t pid;           /* not a child's that was forked since */
    atomic_bool removed;
    _Atomic uint32_t *word;
    uint32_t seen;
    struct mqxi_delivery delivery;
    char name[16]; /* of the thread that registered */
};

static struct waiting *_Atomic all;

static void *wait_for(void *arg)
{
    struct waiting *w = arg;

    prctl(PR_SET_NAME, "mqx-notify");
    while (mqxi_event_read(w->word) == w->seen && !atomic_load(&w->removed))
        mqxi_event_sleep(w->word, w->seen, NULL, LOOK_NS, false);
    if (mqxi_event_read(w->word) != w->seen)
        mqxi_deliver_thread(&w->delivery, w->name);
    mqxi_delivery_drop(&w->delivery);
    atomic_store(&w->queue, 0);
    return NULL;
}

/* A thread that gets none of the program's signals. */
static int start(struct waiting *w)
{
    sigset_t set, before;
    pthread_attr_t attr;
    pthread_t thread;
    int r;

    if (pthread_attr_init(&attr) != 0)
        return -ENOMEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK + (size_t)PTHREAD_STACK_MIN);
    sigfillset(&set);
    pthread_sigmask(SIG_SETMASK, &set, &before);
    r = pthread_create(&thread, &attr, wait_for, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -r;
}

static struct waiting *new_waiting(int fd, const struct sigevent *event)
{
    struct waiting *w = calloc(1, sizeof(*w));

    if (!w || mqxi_delivery_copy(&w->delivery, event) < 0) {
        free(w);
        return NULL;
    }
    w->pid = (uint32_t)MQXI_SYS(SYS_getpid);
    atomic_init(&w->queue, mqxi_remote_is(fd));
    prctl(PR_GET_NAME, w->name);
    return w;
}

static void list(struct waiting *w)
{
    struct waiting *first = atomic_load(&all);

    do
        atomic_store(&w->next, first);
    while (!atomic_compare_exchange_weak(&all, &first, w));
}

/* Those of this process for this queue need not wait any more. */
static void end_waiting(uint64_t queue)
{
    uint32_t pid = (uint32_t)MQXI_SYS(SYS_getpid);

    for (struct waiting *w = atomic_load(&all); w; w = atomic_load(&w->next))
        if (w->pid == pid && atomic_load(&w->queue) == queue) {
            atomic_store(&w->removed, true);
            mqxi_event_wake(w->word, true);
        }
}

static int ask(int fd, struct mqxi_remote_notify *n)
{
    n->caller = mqxi_remote_self();
    return mqxi_remote_ask(fd, MQXI_TELL(MQXI_NOTIFY, sizeof(*n)), n);
}

static void remove_registration(int fd)
{
    struct mqxi_remote_notify n = {.kind = MQXI_NOTIFY_REMOVE};

    ask(fd, &n);
    if (atomic_load(&all)) /* whoever was notified before that knows by now */
        end_waiting(mqxi_remote_is(fd));
}

static int add_thread(int fd, const struct sigevent *event)
{
    static atomic_uint words;
    struct mqxi_remote_notify n = {.kind = MQXI_NOTIFY_RING};
    uint32_t index = atomic_fetch_add(&words, 1);
    struct waiting *w = new_waiting(fd, event);
    struct mqxi_bell_word word;
    int r = w ? mqxi_remote_bell(fd, NULL, index, &word) : -ENOMEM;

    for (int i = 0; r == 0; i++) {
        w->word = word.word;
        w->seen = mqxi_event_read(word.word);
        n.bell = word.bell;
        n.word = word.index;
        r = ask(fd, &n);
        if (r != -ENOENT || i > 0)
            break;
        r = mqxi_remote_bell(fd, &word, index, &word);
    }
    if (r == 0) {
        r = start(w);
        if (r < 0)
            remove_registration(fd);
    }
    if (r == 0) {
        list(w);
    } else if (w) {
        mqxi_delivery_drop(&w->delivery);
        free(w);
    }
    return r;
}

int mqxi_remote_notify(int fd, const struct sigevent *event)
{
    struct mqxi_remote_notify n = {.kind = MQXI_NOTIFY_NEVER};

    if (!mqxi_remote_still(fd))
        return -EBADF;
    if (!event) {
        remove_registration(fd);
        return 0;
    }
    if (event->sigev_notify == SIGEV_THREAD)
        return add_thread(fd, event);
    if (event->sigev_notify == SIGEV_SIGNAL) {
        n.kind = MQXI_NOTIFY_SIGNAL;
        n.signo = (uint32_t)event->sigev_signo;
        n.value = (uint64_t)(uintptr_t)event->sigev_value.sival_ptr;
    }
    return ask(fd, &n);
}

void mqxi_remote_closing(int fd)
{
    /* The kernel tells mqxfs of the closing itself. */
    if (atomic_load(&all) && mqxi_remote_still(fd))
        remove_registration(fd);
}

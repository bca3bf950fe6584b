/*
 * mq_send and mq_receive on another user's queue.  mqxfs never keeps us waiting:
 * who must wait leaves word there, and sleeps on a word of its own memory, which
 * mqxfs bumps (fusefs/doorbell.c).  So signals, deadlines and cancellation are as
 * with one's own queues (block.c).
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "format.h"
#include "grow.h"
#include "handles.h"
#include "names.h"
#include "remote.h"
#include "signals.h"
#include "sys.h"
#include "thread.h"
#include "wait.h"

/* Sleepers look for themselves about once a second, at odd times; and soon, where they cannot be
 * woken: a mqxfs that is not root's cannot open their bells. */
#define AGAIN_NS   UINT64_C(1037000000)
#define UNHEARD_NS UINT64_C(20000000)

/* --- the bell -----------------------------------------------------------------------------------
 */

/* The last words of the page say which it is. */
struct bell {
    _Atomic uint32_t word[MQXI_BELL_WORDS - 4];
    uint64_t ino;
    uint32_t uid, unused;
};
_Static_assert(sizeof(struct bell) == MQXI_PAGE, "a bell is a page");

/* Never unmapped: others may sleep on it, and children have it too. */
static struct bell *_Atomic mine;

static int make_page(const char *path, struct bell **out)
{
    int fd = mqxi_sys_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r;
    struct mqxi_stat st;
    long map = 0;

    if (fd < 0)
        return fd;
    r = mqxi_grow_allocate(fd, MQXI_PAGE);
    if (r == 0)
        r = mqxi_sys_stat(fd, "", &st);
    if (r == 0) {
        map = MQXI_SYS(SYS_mmap, NULL, MQXI_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)0);
        r = map < 0 && map > -4096 ? (int)map : 0;
    }
    mqxi_sys_close(fd);
    if (r < 0) {
        MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
        return r;
    }
    *out = (struct bell *)map;
    (*out)->ino = st.ino;
    (*out)->uid = (uint32_t)MQXI_SYS(SYS_geteuid);
    return 0;
}

/* A bell that mqxfs knows. */
static int make_bell(int fd, struct bell **out)
{
    struct mqxi_remote_bell b = {.caller = mqxi_remote_self()};
    char path[PATH_MAX];
    uint64_t id[2];
    int r;

    if (MQXI_SYS(SYS_getrandom, id, sizeof(id), 0) != sizeof(id))
        return -EIO;
    snprintf(b.name, sizeof(b.name), MQXI_BELL_PREFIX "%016lx%016lx", (unsigned long)id[0],
             (unsigned long)id[1]);
    r = mqxi_path(MQXI_TMP, b.name, path);
    if (r == 0)
        r = make_page(path, out);
    if (r < 0)
        return r;
    r = mqxi_remote_ask(fd, MQXI_TELL(MQXI_BELL, sizeof(b)), &b);
    MQXI_SYS(SYS_unlinkat, AT_FDCWD, path, 0);
    if (r < 0)
        MQXI_SYS(SYS_munmap, *out, MQXI_PAGE);
    return r;
}

int mqxi_remote_bell(int fd, const struct mqxi_bell_word *old, uint32_t index,
                     struct mqxi_bell_word *out)
{
    struct bell *b = atomic_load(&mine), *before = b;
    int r;

    if (!b || (old && b->ino == old->bell) || b->uid != (uint32_t)MQXI_SYS(SYS_geteuid)) {
        r = make_bell(fd, &b);
        if (r < 0)
            return r;
        atomic_compare_exchange_strong(&mine, &before, b); /* or another thread was first */
    }
    *out = (struct mqxi_bell_word){b->ino, index % (MQXI_BELL_WORDS - 4),
                                   &b->word[index % (MQXI_BELL_WORDS - 4)]};
    return 0;
}

/* --- without waiting ----------------------------------------------------------------------------
 */

struct call {
    ssize_t (*attempt)(struct call *c); /* -EAGAIN: must wait */
    int fd;
    uint32_t direction;
    const struct timespec *deadline;
    const char *msg;
    char *buffer;
    size_t len;
    uint64_t queue; /* fd may be another's, once another thread has closed it */
    unsigned prio, *prio_out;
    uint64_t *ticket; /* or NULL: accept it at once */
    struct mqxi_alarm alarm;
    bool staged;
    const struct mqxi_remote_transfer *sysv; /* or NULL */
};

static struct mqxi_remote_sysv sysv_of(const struct call *c)
{
    const struct mqxi_remote_transfer *t = c->sysv;

    return t ? (struct mqxi_remote_sysv){t->type, t->id, t->flags | MQXI_SYSV_CALL}
             : (struct mqxi_remote_sysv){0};
}

/* A large message goes in parts. */
static int stage(struct call *c)
{
    struct mqxi_remote_stage *part;
    long map = MQXI_SYS(SYS_mmap, NULL, sizeof(*part), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, (off_t)0);
    int r = 0;

    if (map < 0 && map > -4096)
        return -ENOMEM;
    part = (struct mqxi_remote_stage *)map;
    part->len = (uint32_t)c->len;
    for (size_t at = 0, n; r == 0 && at < c->len; at += n) {
        n = c->len - at < MQXI_REMOTE_CHUNK ? c->len - at : MQXI_REMOTE_CHUNK;
        part->offset = (uint32_t)at;
        memcpy(part->data, c->msg + at, n);
        r = mqxi_remote_try(
            c->fd, MQXI_TELL(MQXI_STAGE, offsetof(struct mqxi_remote_stage, data) + n), part);
    }
    MQXI_SYS(SYS_munmap, map, sizeof(*part));
    c->staged = r == 0;
    return r;
}

/* Does the caller want to wait?  Only the kernel knows: others may share the descriptor. */
static int may_wait(const struct call *c)
{
    int flags = c->sysv ? 0 : mqxi_sys_fcntl(c->fd, F_GETFL, 0);

    if (c->sysv)
        return c->sysv->wait ? 0 : -EAGAIN;
    return flags < 0 ? -EBADF : flags & O_NONBLOCK ? -EAGAIN : 0;
}

static ssize_t attempt_send(struct call *c)
{
    struct mqxi_remote_send out;
    size_t n = c->len <= sizeof(out.data) ? c->len : 0;
    int r = c->len > n && !c->staged ? stage(c) : 0;

    if (r < 0)
        return r;
    out.caller = mqxi_remote_self();
    out.deadline_sec = c->deadline ? c->deadline->tv_sec + !c->deadline->tv_sec : 0; /* 0: none */
    out.deadline_nsec = c->deadline ? (uint32_t)c->deadline->tv_nsec : 0;
    out.nonblock = may_wait(c) == -EAGAIN;
    out.sysv = sysv_of(c);
    out.prio = c->prio;
    out.len = (uint32_t)c->len;
    memcpy(out.data, c->msg, n);
    return mqxi_remote_try(c->fd, MQXI_TELL(MQXI_SEND, offsetof(struct mqxi_remote_send, data) + n),
                           &out);
}

/* The rest of a message, straight to where it belongs: the request lies there, too. */
static int fetch(struct call *c, uint64_t ticket, size_t at, size_t len)
{
    while (at < len) {
        size_t n = len - at < MQXI_REMOTE_CHUNK ? len - at : MQXI_REMOTE_CHUNK;
        struct mqxi_remote_more more = {ticket, at};
        bool fits = n >= sizeof(more);
        int r;

        if (fits)
            memcpy(c->buffer + at, &more, sizeof(more));
        r = mqxi_remote_ask(c->fd, MQXI_ASK(MQXI_MORE, fits ? n : sizeof(more)),
                            fits ? (void *)(c->buffer + at) : &more);
        if (r < 0)
            return r;
        if (!fits)
            memcpy(c->buffer + at, &more, n);
        at += n;
    }
    return 0;
}

int mqxi_remote_accept(int fd, uint64_t ticket)
{
    return mqxi_remote_ask(fd, MQXI_TELL(MQXI_ACCEPT, sizeof(ticket)), &ticket);
}

int mqxi_remote_reject(int fd, uint64_t ticket)
{
    return mqxi_remote_ask(fd, MQXI_TELL(MQXI_REJECT, sizeof(ticket)), &ticket);
}

static ssize_t attempt_receive(struct call *c)
{
    struct mqxi_remote_receive in = {0}; /* all of it is shown to mqxfs */
    size_t n;
    long type;
    int r;

    in.caller = mqxi_remote_self();
    in.sysv = sysv_of(c);
    in.len = c->len < UINT32_MAX ? (uint32_t)c->len : UINT32_MAX;
    r = mqxi_remote_try(c->fd, MQXI_ASK(MQXI_RECEIVE, sizeof(in)), &in);
    if (r < 0)
        return r;
    type = (long)in.sysv.type;
    if (in.len > c->len)
        return -EBADMSG;
    n = in.len < sizeof(in.data) ? in.len : sizeof(in.data);
    if (n > 0)
        memcpy(c->buffer, in.data, n);
    r = fetch(c, in.ticket, n, in.len);
    if (r == 0 && c->sysv)
        memcpy(c->buffer - sizeof(type), &type, sizeof(type));
    /* Until here it goes back when we die. */
    if (r == 0 && c->ticket)
        *c->ticket = in.ticket;
    else if (r == 0)
        r = mqxi_remote_accept(c->fd, in.ticket);
    if (r == 0 && c->prio_out)
        *c->prio_out = in.prio;
    return r < 0 ? r : (ssize_t)in.len;
}

/* --- waiting ------------------------------------------------------------------------------------
 */

static struct mqxi_remote_wait request_of(const struct call *c, const struct mqxi_bell_word *w)
{
    return (struct mqxi_remote_wait){.bell = w->bell,
                                     .word = w->index,
                                     .direction = c->direction,
                                     .sysv = sysv_of(c),
                                     .len = c->len < UINT32_MAX ? (uint32_t)c->len : UINT32_MAX};
}

/* Have the bell rung: 0, and *w; -errno, and w->word is NULL. */
static int announce(struct call *c, struct mqxi_bell_word *w, uint32_t *seen)
{
    uint32_t index = (uint32_t)c->fd * 2 + c->direction;
    struct mqxi_remote_wait request;
    int r = mqxi_remote_bell(c->fd, NULL, index, w);

    for (int i = 0; r == 0; i++) {
        *seen = mqxi_event_read(w->word);
        request = request_of(c, w);
        r = mqxi_remote_ask(c->fd, MQXI_TELL(MQXI_WAIT, sizeof(request)), &request);
        if (r != -ENOENT || i > 0)
            break;
        r = mqxi_remote_bell(c->fd, w, index, w); /* mqxfs was started anew, or we were forked */
    }
    if (r < 0)
        w->word = NULL;
    return r;
}

/* What it was told, or would be told, is for others. */
static MQXI_CLEANUP void withdraw(void *arg)
{
    const struct call *c = arg;
    struct mqxi_remote_wait request = {.direction = c->direction, .sysv = sysv_of(c)};

    mqxi_remote_ask(c->fd, MQXI_TELL(MQXI_UNWAIT, sizeof(request)), &request);
}

static int sleep_on(struct call *c, const struct mqxi_bell_word *w, uint32_t seen)
{
    _Atomic uint32_t nothing = 0;
    int r;

    pthread_cleanup_push(withdraw, c);
    if (c->sysv)
        r = mqxi_event_sleep_once(w->word ? w->word : &nothing, w->word ? seen : 0,
                                  w->word ? AGAIN_NS : UNHEARD_NS);
    else if (w->word)
        r = mqxi_event_sleep(w->word, seen, c->deadline, AGAIN_NS, true);
    else
        r = mqxi_event_sleep(&nothing, 0, c->deadline, UNHEARD_NS, true);
    pthread_cleanup_pop(0);
    return r;
}

/* An attempt, after which the bell is rung, if w is given.  A signal that comes meanwhile must not
 * be slept through, and asking mqxfs takes long: *interrupted, one came. */
static ssize_t attempt(struct call *c, struct mqxi_bell_word *w, uint32_t *seen, bool *interrupted)
{
    uint64_t mask = mqxi_signals_hold();
    bool rang = mqxi_alarm_rang(&c->alarm);
    ssize_t r;

    if (w)
        announce(c, w, seen);
    r = c->attempt(c);
    *interrupted = mqxi_signals_release(mask, c->alarm.restarts) || rang;
    return r;
}

/* Which queue's descriptor it is: one for System V queues may be the program's by now. */
static uint64_t queue_of(const struct call *c)
{
    return c->sysv ? mqxi_remote_which(c->fd) : mqxi_remote_is(c->fd);
}

static ssize_t call(struct call *c)
{
    struct mqxi_bell_word w;
    uint32_t seen = 0;
    bool interrupted;
    ssize_t r;

    c->queue = queue_of(c);
    if (c->queue == 0)
        return -EBADF;
    r = attempt(c, NULL, NULL, &interrupted);
    if (r != -EAGAIN)
        return r;
    interrupted = interrupted || (c->sysv && c->sysv->interrupted);
    for (r = may_wait(c); r == 0; r = interrupted ? -EINTR : sleep_on(c, &w, seen)) {
        if (interrupted)
            continue;
        if (queue_of(c) != c->queue)
            return -EBADF;
        r = attempt(c, &w, &seen, &interrupted);
        if (r != -EAGAIN)
            return r;
    }
    if (r == -ETIMEDOUT) { /* what another was told of, who stands still, is there all the same */
        ssize_t last = attempt(c, NULL, NULL, &interrupted);

        if (last != -EAGAIN)
            return last;
    }
    if (r != -EAGAIN || c->staged)
        withdraw(c);
    return r;
}

static ssize_t posix_result(ssize_t r)
{
    return r == -ENOTCONN ? -EIO : r;
}

int mqxi_remote_send(int fd, const char *msg, size_t len, unsigned prio,
                     const struct timespec *deadline)
{
    struct call c = {.attempt = attempt_send,
                     .alarm = {.restarts = true},
                     .fd = fd,
                     .direction = MQXI_FOR_ROOM,
                     .deadline = deadline,
                     .msg = msg,
                     .len = len,
                     .prio = prio};

    return len > UINT32_MAX ? -EMSGSIZE : (int)posix_result(call(&c));
}

ssize_t mqxi_remote_take(int fd, char *buffer, size_t len, unsigned *prio,
                         const struct timespec *deadline, uint64_t *ticket)
{
    struct call c = {.attempt = attempt_receive,
                     .alarm = {.restarts = true},
                     .fd = fd,
                     .direction = MQXI_FOR_MESSAGE,
                     .deadline = deadline,
                     .buffer = buffer,
                     .len = len,
                     .prio_out = prio,
                     .ticket = ticket};

    return posix_result(call(&c));
}

ssize_t mqxi_remote_receive(int fd, char *buffer, size_t len, unsigned *prio,
                            const struct timespec *deadline)
{
    return mqxi_remote_take(fd, buffer, len, prio, deadline, NULL);
}

ssize_t mqxi_remote_transfer(int fd, const struct mqxi_remote_transfer *t)
{
    struct call c = {.attempt = t->sends ? attempt_send : attempt_receive,
                     .fd = fd,
                     .direction = t->sends ? MQXI_FOR_ROOM : MQXI_FOR_MESSAGE,
                     .msg = t->text,
                     .buffer = t->text,
                     .len = t->len,
                     .sysv = t};
    ssize_t r = t->sends && t->len > UINT32_MAX ? -EINVAL : call(&c);

    return r == -EBADF ? -ENOTCONN : r;
}

/*
 * One loop for everything: requests from the kernel, events of queues (the
 * bridge), signals, and a tick of about a second.  Nothing it calls blocks.
 *
 * The kernel hands out interrupts before other requests.  Before a parked
 * request is answered, what the kernel has for us is read, so that a message
 * is not given to a reader of whose death we could have known.
 */
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "attached.h"
#include "bridge.h"
#include "doorbell.h"
#include "file.h"
#include "mqxfs.h"
#include "node.h"
#include "parked.h"
#include "polled.h"
#include "registered.h"
#include "sys.h"

#define TICK_MS 1000
#define BATCH   64 /* requests read before parked ones get their turn */

enum { KERNEL, EVENTS, CHANGES, SIGNALS, SOURCES };

static void ending_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

int loop_prepare(void)
{
    sigset_t set;

    ending_signals(&set);
    signal(SIGPIPE, SIG_IGN);
    return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

/* Read and serve one request.  1: there was one; 0: none, or the session is over; -errno. */
static int serve_one(struct fuse_session *session, struct fuse_buf *buffer)
{
    int r = fuse_session_receive_buf(session, buffer);

    /* A request that was on its way to us when the mount was detached: the next read finds the end. */
    if (r == -EAGAIN || r == -EINTR || r == -ECONNABORTED || r == 0)
        return 0;
    if (r < 0)
        return r;
    fuse_session_process_buf(session, buffer);
    return 1;
}

/* Was that a request whose sender goes on at once?  Then there is likely to be another. */
static bool is_aside(const struct fuse_buf *buffer)
{
    const struct fuse_in_header *h = buffer->mem;

    return h->opcode == FUSE_FORGET || h->opcode == FUSE_BATCH_FORGET || h->opcode == FUSE_RELEASE;
}

/* Serve requests: one, if nobody waits for his turn; else all there are, but no endless stream. */
static int serve_kernel(struct fuse_session *session, struct fuse_buf *buffer)
{
    int r = 1;

    for (int i = 0; r > 0 && i < BATCH && !fuse_session_exited(session); i++) {
        r = serve_one(session, buffer);
        if (r > 0 && !parked_is_due() && !is_aside(buffer))
            break;
    }
    return r;
}

/* Until the next tick, if there will be something to do. */
static int timeout(uint64_t next_tick)
{
    uint64_t now;

    if (parked_count() == 0 && !attached_idle() && !remote_any())
        return -1;
    now = now_ms();
    return next_tick <= now ? 0 : (int)(next_tick - now);
}

static void tick(uint64_t *next)
{
    uint64_t now = now_ms();

    if (now < *next)
        return;
    *next = now + TICK_MS;
    remote_tick();
    parked_tick();
    attached_sweep();
}

static int ending_signal(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

static int run(struct fuse_session *session, struct pollfd *source)
{
    struct fuse_buf buffer = {0};
    uint64_t next_tick = 0;
    int r = 0, patience;

    while (r >= 0 && !fuse_session_exited(session)) {
        patience = timeout(next_tick);
        if (poll(source, SOURCES, patience) < 0 && errno != EINTR) {
            r = -errno;
            break;
        }
        if (source[SIGNALS].revents) {
            r = ending_signal(source[SIGNALS].fd);
            if (r > 0)
                break;
        }
        if (source[EVENTS].revents)
            bridge_collect(parked_fired);
        if (source[CHANGES].revents)
            polled_collect();
        if (patience >= 0)
            tick(&next_tick);
        if (source[KERNEL].revents || parked_is_due())
            r = serve_kernel(session, &buffer);
        parked_serve_due();
    }
    free(buffer.mem);
    return fuse_session_exited(session) && r > 0 ? 0 : r;
}

int loop_run(struct fuse_session *session)
{
    struct pollfd source[SOURCES];
    sigset_t set;
    int r;

    for (int i = 0; i < SOURCES; i++)
        source[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    ending_signals(&set);
    source[KERNEL].fd = fuse_session_fd(session);
    source[EVENTS].fd = bridge_start();
    source[CHANGES].fd = polled_start();
    source[SIGNALS].fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    r = source[SIGNALS].fd < 0   ? -errno
        : source[EVENTS].fd < 0  ? source[EVENTS].fd
        : source[CHANGES].fd < 0 ? source[CHANGES].fd
                                 : mqxi_sys_fcntl(source[KERNEL].fd, F_SETFL, O_NONBLOCK | O_RDWR);
    if (r >= 0) {
        attached_repair_all();
        r = run(session, source);
    }
    parked_refuse_all(ENOTCONN); /* not EINTR, after which they would only ask again */
    file_close_all();            /* gives held messages back */
    registered_end();
    doorbell_end();
    return r;
}

/*
 * Who creates or unlinks a durable queue rings.  But he may be killed just before,
 * or be in a user namespace in which our doorbell is nobody's, and who removes our files
 * rings nobody: so a thread watches the directories, asleep in a read, and mqxd sleeps
 * as long as nothing happens.
 *
 * Volatile queues are created there, too, and perhaps thousands a second: after each
 * look there is a pause, and what happens in it is one look more.
 */
#include "changes.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "names.h"
#include "wait.h"

#define PAUSE_S 2

static const enum mqxi_place places[] = {MQXI_QUEUES, MQXI_GONE, MQXI_CLIENTS};
enum { PLACES = sizeof(places) / sizeof(*places) };

static struct bell *bell;
static int inotify; /* inotify; -1: there is none to be had */

static int watch_places(void)
{
    char path[PATH_MAX];
    int fd = inotify_init1(IN_CLOEXEC);

    for (int i = 0; fd >= 0 && i < PLACES; i++)
        if (mqxi_path(places[i], "", path) < 0 ||
            inotify_add_watch(fd, path,
                              IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |
                                  IN_MOVE_SELF | IN_ONLYDIR) < 0) {
            close(fd);
            fd = -1;
        }
    return fd;
}

/* As many inotify instances as a user may have are in use: then the directories' times tell. */
static bool times_changed(void)
{
    static struct timespec seen[PLACES];
    bool changed = false;

    for (int i = 0; i < PLACES; i++) {
        char path[PATH_MAX];
        struct stat st = {0};

        if (mqxi_path(places[i], "", path) < 0)
            continue;
        stat(path, &st); /* one that is gone has another time, too */
        changed |= st.st_mtim.tv_sec != seen[i].tv_sec || st.st_mtim.tv_nsec != seen[i].tv_nsec;
        seen[i] = st.st_mtim;
    }
    return changed;
}

static bool changed(void)
{
    _Alignas(struct inotify_event) char events[4096];

    return inotify < 0 ? times_changed() : read(inotify, events, sizeof(events)) > 0;
}

static void *watch(void *arg)
{
    for (;;) {
        if (changed()) {
            struct mqxi_doorbell *page = atomic_load(&bell->page);

            atomic_store(&page->rescan, 1);
            mqxi_event_signal(&page->event, true);
        }
        nanosleep(&(struct timespec){.tv_sec = PAUSE_S}, NULL);
    }
    return arg;
}

int changes_start(struct bell *b)
{
    sigset_t all, before;
    pthread_t thread;
    int r;

    bell = b;
    inotify = watch_places();
    sigfillset(&all);
    for (const int *fatal = (const int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, 0}; *fatal;
         fatal++)
        sigdelset(&all, *fatal);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* they are for the main thread */
    r = pthread_create(&thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r)
        say("no thread can be started: %s", strerror(r));
    else
        pthread_detach(thread);
    return -r;
}

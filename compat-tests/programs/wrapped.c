/*
 * A program beside wrapper.c: calls on files are told of, calls on queues are
 * not.  With an argument, it looks only at the latter's results: beside another
 * library that wraps calls, of which nothing is known.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int *calls;
static const char **last;
static volatile sig_atomic_t notified;

static void note(int signal)
{
    (void)signal;
    notified = 1;
}

static void check(bool holds, const char *what)
{
    if (!holds) {
        printf("%s: %s\n", what, strerror(errno));
        exit(1);
    }
}

/* The call holds, and was not seen by the wrapper. */
#define UNSEEN(holds)                                                                              \
    do {                                                                                           \
        int before_ = calls ? *calls : 0;                                                          \
        check(holds, #holds);                                                                      \
        if (calls && *calls != before_) {                                                          \
            printf("%s: made %d calls, the last %s\n", #holds, *calls - before_, *last);           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define SEEN(holds)                                                                                \
    do {                                                                                           \
        int before_ = calls ? *calls : 0;                                                          \
        check(holds, #holds);                                                                      \
        check(!calls || *calls == before_ + 1, "not seen: " #holds);                               \
    } while (0)

static void queue_calls(void)
{
    struct mq_attr attr = {.mq_maxmsg = 3, .mq_msgsize = 32}, got;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct timespec soon;
    char text[32];
    mqd_t q;

    mq_unlink("/queue");
    UNSEEN((q = mq_open("/queue", O_CREAT | O_RDWR, 0600, &attr)) >= 0);
    UNSEEN(mq_notify(q, &event) == 0);
    UNSEEN(mq_send(q, "text", 4, 1) == 0);
    check(notified, "the notification");
    UNSEEN(mq_getattr(q, &got) == 0 && got.mq_curmsgs == 1);
    UNSEEN(mq_receive(q, text, sizeof(text), NULL) == 4);
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec = (soon.tv_nsec + 20000000) % 1000000000;
    UNSEEN(mq_timedreceive(q, text, sizeof(text), NULL, &soon) == -1 && errno == ETIMEDOUT);
    attr.mq_flags = O_NONBLOCK;
    UNSEEN(mq_setattr(q, &attr, NULL) == 0);
    UNSEEN(mq_receive(q, text, sizeof(text), NULL) == -1 && errno == EAGAIN);
    UNSEEN(mq_close(q) == 0);
    UNSEEN(mq_unlink("/queue") == 0);
    UNSEEN((q = mq_open("/queue", O_CREAT | O_RDWR, 0600, NULL)) >= 0);
    UNSEEN(mq_send(q, "left", 4, 1) == 0);
    UNSEEN(mq_close(q) == 0);
}

static void file_calls(void)
{
    uid_t user = geteuid();
    gid_t group = getegid();
    struct stat st;
    int fd;

    SEEN((fd = open("file", O_CREAT | O_RDWR, 0600)) >= 0);
    SEEN(fstat(fd, &st) == 0);
    SEEN(stat("file", &st) == 0);
    SEEN(chown("file", user, group) == 0);
    SEEN(close(fd) == 0);
}

int main(int argc, char **argv)
{
    int status;
    pid_t pid;

    (void)argv;
    if (argc == 1) {
        calls = dlsym(RTLD_DEFAULT, "wrapped_calls");
        last = dlsym(RTLD_DEFAULT, "wrapped_last");
        check(calls && last, "the wrapper is not there");
    }
    signal(SIGUSR1, note);
    queue_calls();
    file_calls();
    pid = fork();
    if (pid == 0) {
        notified = 0;
        queue_calls();
        file_calls();
        exit(0);
    }
    check(waitpid(pid, &status, 0) == pid && status == 0, "the child");
    return 0;
}

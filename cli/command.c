/*
 * The message is in a file without a name, so that it does not matter how much of it
 * the command reads, and when.
 *
 * A signal that would end us while the command runs must not separate the two: we wait
 * for the command, know what became of the message, and end then.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli.h"

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
#define ENDING (sizeof(ending) / sizeof(*ending))
static struct sigaction before[ENDING];
static volatile sig_atomic_t noted;
static volatile pid_t child; /* 0: none */

static void note(int signal)
{
    int error = errno;

    noted = signal;
    if (signal != SIGINT && child > 0)
        kill(child, signal);
    errno = error;
}

int command_signal(void)
{
    return noted;
}

void command_signals_hold(void)
{
    struct sigaction mine = {.sa_handler = note, .sa_flags = SA_RESTART};

    for (size_t i = 0; i < ENDING; i++) {
        sigaction(ending[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) /* as nohup wants it */
            sigaction(ending[i], &mine, NULL);
    }
}

void command_signals_release(void)
{
    for (size_t i = 0; i < ENDING; i++)
        sigaction(ending[i], &before[i], NULL);
}

/* Blocked while there may be a child that is not known yet; *old is to be restored. */
static void block(sigset_t *old)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ENDING; i++)
        sigaddset(&set, ending[i]);
    sigprocmask(SIG_BLOCK, &set, old);
}

static int set_environment(const struct command *c, const struct command_message *m)
{
    char number[24];

    snprintf(number, sizeof(number), "%" PRId64, m->number);
    unsetenv(m->sysv ? "MQX_PRIORITY" : "MQX_TYPE");
    return setenv("MQX_QUEUE", c->queue, 1) < 0 ||
                   setenv(m->sysv ? "MQX_TYPE" : "MQX_PRIORITY", number, 1) < 0
               ? -errno
               : 0;
}

/* The message as a file to be read from its start. */
static int make_file(const struct command_message *m)
{
    int fd = memfd_create("mqx message", MFD_CLOEXEC), error;

    for (uint32_t at = 0; fd >= 0 && at < m->len;) {
        ssize_t n = write(fd, m->bytes + at, m->len - at);

        if (n < 0) {
            error = errno;
            close(fd);
            return -error;
        }
        at += (uint32_t)n;
    }
    if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    return fd;
}

/* To be freed by the caller, but for its strings. */
static char **make_arguments(const struct command *c, const struct command_message *m, char *last)
{
    char **argv = calloc((size_t)c->argc + 2, sizeof(*argv));
    uint32_t len = m->len;

    if (!argv)
        return NULL;
    memcpy(argv, c->argv, (size_t)c->argc * sizeof(*argv));
    if (c->as_argument) {
        len -= len > 0 && m->bytes[len - 1] == '\n';
        memcpy(last, m->bytes, len);
        last[len] = 0;
        argv[c->argc] = last;
    }
    return argv;
}

static _Noreturn void become(char **argv, int input, pid_t parent, const sigset_t *mask)
{
    int error;

    command_signals_release();
    sigprocmask(SIG_SETMASK, mask, NULL);
    /* It goes when we go, even if we already did. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || dup2(input, 0) < 0)
        _exit(COMMAND_NOT_RUN);
    execvp(argv[0], argv);
    error = errno;
    fail_because("each", argv[0], "%s", strerror(error));
    _exit(error == ENOENT ? COMMAND_NOT_FOUND : COMMAND_NOT_RUN);
}

static int start_and_wait(char **argv, int input, int *status)
{
    pid_t parent = getpid(), pid;
    sigset_t mask;
    int error;

    block(&mask);
    pid = fork();
    if (pid == 0)
        become(argv, input, parent, &mask);
    error = errno;
    child = pid;
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (pid < 0)
        return -error;
    /* Not reaped until nobody can signal it any more: its number may then be another's. */
    while (waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        ;
    block(&mask);
    child = 0;
    pid = waitpid(pid, status, 0);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return pid < 0 ? -errno : 0;
}

int command_run(const struct command *c, const struct command_message *m, int *status)
{
    bool text = !c->as_argument || !memchr(m->bytes, 0, m->len);
    char *last = malloc((size_t)m->len + 1);
    char **argv = last ? make_arguments(c, m, last) : NULL;
    int input = c->as_argument ? open("/dev/null", O_RDONLY | O_CLOEXEC) : make_file(m);
    int r = !argv ? -ENOMEM : input < 0 ? (c->as_argument ? -errno : input) : text ? 0 : -EILSEQ;

    if (r == 0)
        r = set_environment(c, m);
    if (r == 0)
        r = start_and_wait(argv, input, status);
    if (input >= 0)
        close(input);
    free(argv);
    free(last);
    return r;
}

/* Servers of our own, beside which nothing of the machine's is touched: they have their files in
 * one directory, and end with us. */
#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVERS  8
#define PATIENCE 120 /* seconds */

static char directory[PATH_MAX], memory[] = "/dev/shm/mqx-bench-XXXXXX";
static pid_t servers[SERVERS], owner;

void durable_fail(const char *what, const char *which)
{
    fprintf(stderr, "bench_durable: %s%s%s\n", what, which ? " " : "", which ? which : "");
    exit(1);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void clean_up(void)
{
    if (getpid() != owner)
        return;
    for (int i = 0; i < SERVERS; i++)
        if (servers[i])
            durable_end(servers[i], SIGKILL);
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    nftw(memory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void on_signal(int number)
{
    if (getpid() == owner)
        clean_up();
    _exit(128 + number);
}

void durable_begin(const char *below)
{
    struct sigaction action = {.sa_handler = on_signal};
    char place[PATH_MAX - 32];

    if (!realpath(below, place))
        durable_fail("cannot find", below);
    snprintf(directory, sizeof directory, "%s/mqx-bench-XXXXXX", place);
    if (!mkdtemp(directory))
        durable_fail("cannot make a directory in", below);
    if (!mkdtemp(memory)) {
        rmdir(directory);
        durable_fail("cannot make a directory in", "/dev/shm");
    }
    owner = getpid();
    atexit(clean_up);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &action, NULL); /* nobody reads our table any more */
}

const char *durable_memory(void)
{
    return memory;
}

static int remove_below(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag;
    return ftw->level ? remove(path) : 0;
}

void durable_lose_memory(void)
{
    if (nftw(memory, remove_below, 16, FTW_DEPTH | FTW_PHYS) != 0)
        durable_fail("cannot empty", memory);
}

const char *durable_path(const char *name)
{
    static char path[PATH_MAX + 64];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

const char *durable_program(const char *name)
{
    static char path[PATH_MAX];
    const char *from = getenv("PATH");

    if (!from)
        from = "/usr/bin:/bin";
    while (*from) {
        int len = (int)strcspn(from, ":");

        snprintf(path, sizeof path, "%.*s/%s", len, from, name);
        if (access(path, X_OK) == 0)
            return path;
        from += len + (from[len] == ':');
    }
    snprintf(path, sizeof path, "/usr/sbin/%s", name); /* not in everybody's PATH */
    return access(path, X_OK) == 0 ? path : NULL;
}

unsigned durable_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (s < 0 || bind(s, (struct sockaddr *)&a, len) != 0 ||
        getsockname(s, (struct sockaddr *)&a, &len) != 0)
        durable_fail("cannot find a port:", strerror(errno));
    close(s);
    return ntohs(a.sin_port);
}

static void become(const char *name, const char *const *args, const char *const *environment)
{
    char log[64];
    int out;

    snprintf(log, sizeof log, "%s.log", name);
    out = open(durable_path(log), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (out < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
        _exit(126);
    for (; environment && *environment; environment++)
        putenv((char *)*environment);
    execv(args[0], (char *const *)args);
    _exit(127);
}

pid_t durable_serve(const char *name, const char *const *args, const char *const *environment)
{
    int i = 0;
    pid_t pid;

    while (i < SERVERS && servers[i])
        i++;
    fflush(stdout);
    pid = i < SERVERS ? fork() : -1;
    if (pid < 0)
        durable_fail("cannot start", name);
    if (pid == 0)
        become(name, args, environment);
    servers[i] = pid;
    return pid;
}

void durable_end(pid_t server, int signal)
{
    kill(server, signal);
    if (signal == SIGKILL)
        kill(-server, SIGKILL); /* and what it started */
    waitpid(server, NULL, 0);
    for (int i = 0; i < SERVERS; i++)
        if (servers[i] == server)
            servers[i] = 0;
}

void durable_await(pid_t server, const char *what, bool (*is_so)(void))
{
    time_t until = time(NULL) + PATIENCE;

    while (!is_so()) {
        if (waitpid(server, NULL, WNOHANG) == server || time(NULL) > until)
            durable_fail("does not start:", what);
        usleep(1000);
    }
}

int durable_connect(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof a.sun_path)
        durable_fail("too long for the name of a socket:", path);
    strcpy(a.sun_path, path);
    if (connect(s, (struct sockaddr *)&a, sizeof a) == 0)
        return s;
    close(s);
    return -1;
}

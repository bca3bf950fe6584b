/* Loads libmqx.so (its argument), uses it, and lets go of it: what it set up in the process, a
 * thread, a signal handler, handlers of fork, must not need it to be loaded again. */
#include <dlfcn.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static mqd_t (*open_)(const char *name, int oflag, ...);
static int (*send_)(mqd_t q, const char *text, size_t size, unsigned prio);
static int (*unlink_)(const char *name);
static int (*notify_)(mqd_t q, const struct sigevent *event);
static volatile sig_atomic_t notified;

static void note(int signal)
{
    (void)signal;
    notified = 1;
}

static void *load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (library) {
        *(void **)&open_ = dlsym(library, "mqx_open");
        *(void **)&send_ = dlsym(library, "mqx_send");
        *(void **)&unlink_ = dlsym(library, "mqx_unlink");
        *(void **)&notify_ = dlsym(library, "mqx_notify");
    }
    return library;
}

static void *nothing(void *arg)
{
    return arg;
}

static bool forks(void)
{
    pid_t pid = fork();
    int status = 1;

    if (pid == 0)
        _exit(0);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int round_trip(const char *path)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    void *library = load(path);
    pthread_t thread;
    mqd_t q;

    if (!library || (q = open_("/unloaded", O_CREAT | O_EXCL | O_RDWR, 0600, NULL)) < 0)
        return 1;
    notified = 0;
    if (unlink_("/unloaded") != 0 || notify_(q, &event) != 0 || send_(q, "text", 4, 0) != 0)
        return 2;
    if (!notified || dlclose(library) != 0 || close(q) != 0)
        return 3;
    if (!forks() || pthread_create(&thread, NULL, nothing, NULL) != 0 ||
        pthread_join(thread, NULL) != 0)
        return 4;
    return 0;
}

int main(int argc, char **argv)
{
    int r = argc == 2 ? 0 : 9;

    signal(SIGUSR1, note);
    for (int i = 0; i < 3 && r == 0; i++)
        r = round_trip(argv[1]);
    if (r != 0)
        perror("dlclose");
    return r;
}

/* The harness of the compatibility cases: a watchdog, children, and waiting for conditions. */
#include "cases.h"

#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define WATCHDOG_S 150

struct shared *shared;

static void watchdog(int signal)
{
    static const char text[] = "a case hung: terminated\n";

    (void)signal;
    if (write(2, text, sizeof(text) - 1) < 0)
        _exit(3);
    _exit(2);
}

int begin(void **state)
{
    (void)state;
    memset(shared, 0, sizeof(*shared));
    signal(SIGALRM, watchdog);
    alarm(WATCHDOG_S);
    return 0;
}

void end_case(void)
{
    alarm(0);
}

long succeeded(long r, const char *call, const char *file, int line)
{
    if (r == -1) {
        print_error("%s: %s\n", call, strerror(errno));
        _fail(file, line);
    }
    return r;
}

pid_t spawn(int (*f)(void *arg), void *arg)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* a check that fails ends it: no other cases */
        alarm(WATCHDOG_S);
        _exit(getppid() == parent ? f(arg) : 250);
    }
    return (pid_t)ok(pid);
}

int reap(pid_t pid)
{
    int status = 0;
    pid_t r = 0;

    await((r = waitpid(pid, &status, WNOHANG)) != 0);
    assert_int_equal(r, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int in_child(int (*f)(void *arg), void *arg)
{
    return reap(spawn(f, arg));
}

/* What /proc says in this file of the thread; "" where it says nothing.  By way of /proc/TID, which
 * is there for any thread, though it is not listed. */
static void read_proc(pid_t tid, const char *file, char *text, int size)
{
    char path[64];
    FILE *f;

    text[0] = 0;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, file);
    f = fopen(path, "re");
    if (!f)
        return;
    if (!fgets(text, size, f))
        text[0] = 0;
    fclose(f);
}

/* In a system call that asks a filesystem, as mqxfs, for something?  That takes a moment, too, and
 * is not what the case waits for; where we may not look, it is taken for that. */
static bool in_request(pid_t tid)
{
    char text[256];
    long call;

    read_proc(tid, "syscall", text, sizeof(text));
    if (sscanf(text, "%ld", &call) != 1)
        return text[0] != 0; /* it runs */
    return call == SYS_ioctl || call == SYS_openat || call == SYS_statx;
}

bool asleep(pid_t tid)
{
    char stat[256], *after;

    read_proc(tid, "stat", stat, sizeof(stat));
    after = strrchr(stat, ')');
    return after && after[1] && after[2] == 'S' && !in_request(tid);
}

void await_blocked(pid_t pid)
{
    await(shared->ready);
    await(asleep(pid));
}

static long capabilities(long call, uint64_t *set)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = (uint32_t)*set, .permitted = (uint32_t)*set},
        {.effective = (uint32_t)(*set >> 32), .permitted = (uint32_t)(*set >> 32)}};
    long r = syscall(call, &header, data);

    *set = data[0].effective | (uint64_t)data[1].effective << 32;
    return r;
}

bool capable(int capability)
{
    uint64_t set = 0;

    return capabilities(SYS_capget, &set) == 0 && set >> capability & 1;
}

bool become_capable(uid_t user, uint64_t set)
{
    return prctl(PR_SET_KEEPCAPS, 1) == 0 && setgroups(0, NULL) == 0 && setgid(user) == 0 &&
           setuid(user) == 0 && capabilities(SYS_capset, &set) == 0;
}

void begin_cases(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* or children would print it again */
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
}

bool wanted(const char *group, char **arguments)
{
    if (!*arguments)
        return true;
    while (*arguments)
        if (strcmp(*arguments++, group) == 0)
            return true;
    return false;
}

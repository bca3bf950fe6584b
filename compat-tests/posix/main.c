/* Runs all groups; what the cases have in common. */
#include "compat.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define NAMES       4
#define DESCRIPTORS 1024
#define WATCHDOG_S  150

struct shared *shared;

static char names[NAMES][64];
static bool inherited[DESCRIPTORS];

const char *name(int i)
{
    return names[i];
}

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

/* glibc's, from the first SIGEV_THREAD on. */
static bool is_netlink(int fd)
{
    int domain = 0;

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){sizeof(domain)}) == 0 &&
           domain == AF_NETLINK;
}

int end(void **state)
{
    (void)state;
    alarm(0);
    for (int i = 0; i < DESCRIPTORS; i++)
        if (!inherited[i] && !is_netlink(i))
            mq_close(i);
    for (int i = 0; i < NAMES; i++)
        mq_unlink(name(i));
    return 0;
}

long succeeded(long r, const char *call, const char *file, int line)
{
    if (r == -1) {
        print_error("%s: %s\n", call, strerror(errno));
        _fail(file, line);
    }
    return r;
}

mqd_t create_sized(int flags, long maxmsg, long msgsize)
{
    struct mq_attr attr = {.mq_maxmsg = maxmsg, .mq_msgsize = msgsize};

    return (mqd_t)ok(mq_open(name(0), O_CREAT | O_EXCL | O_RDWR | flags, 0600, &attr));
}

mqd_t create(int flags, long maxmsg)
{
    return create_sized(flags, maxmsg, 32);
}

mqd_t reopen(int oflag)
{
    return (mqd_t)ok(mq_open(name(0), oflag));
}

void put(mqd_t q, const char *text, unsigned prio)
{
    ok(mq_send(q, text, strlen(text), prio));
}

void expect(mqd_t q, const char *text, unsigned prio)
{
    char buffer[8193];
    unsigned got = 99999;
    long n = ok(mq_receive(q, buffer, sizeof(buffer) - 1, &got));

    buffer[n] = 0;
    assert_string_equal(buffer, text);
    assert_int_equal(got, prio);
}

long count(mqd_t q)
{
    struct mq_attr attr;

    ok(mq_getattr(q, &attr));
    return attr.mq_curmsgs;
}

bool nonblocking(mqd_t q)
{
    struct mq_attr attr;

    ok(mq_getattr(q, &attr));
    assert_int_equal(attr.mq_flags & ~(long)O_NONBLOCK, 0);
    return attr.mq_flags & O_NONBLOCK;
}

struct timespec in_ms(long ms)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

mqd_t create_blocking(enum call call)
{
    mqd_t q = create(0, 1);

    if (call == SEND || call == TIMEDSEND)
        put(q, "old", 1);
    return q;
}

int blocking_call(enum call call, mqd_t q)
{
    struct timespec far = in_ms(3600 * 1000L);
    char buffer[32];

    switch (call) {
    case SEND:
        return mq_send(q, "new", 3, 1);
    case TIMEDSEND:
        return mq_timedsend(q, "new", 3, 1, &far);
    case RECEIVE:
        return (int)mq_receive(q, buffer, sizeof(buffer), NULL);
    default:
        return (int)mq_timedreceive(q, buffer, sizeof(buffer), NULL, &far);
    }
}

void unblock(enum call call, mqd_t q)
{
    if (call == SEND || call == TIMEDSEND)
        expect(q, "old", 1);
    else
        put(q, "end", 1);
}

pid_t spawn(int (*f)(void *arg), void *arg)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
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

bool asleep(pid_t tid)
{
    char path[64], stat[256] = "", *after;
    FILE *f;

    /* By way of /proc/TID, which is there for any thread, though it is not listed. */
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
    f = fopen(path, "re");
    if (!f)
        return false;
    if (!fgets(stat, sizeof(stat), f))
        stat[0] = 0;
    fclose(f);
    after = strrchr(stat, ')');
    return after && after[1] && after[2] == 'S';
}

void await_blocked(pid_t pid)
{
    await(shared->ready);
    await(asleep(pid));
}

/* Was this group asked for?  Without arguments, all are. */
static bool wanted(const char *group, char **arguments)
{
    if (!*arguments)
        return true;
    while (*arguments)
        if (strcmp(*arguments++, group) == 0)
            return true;
    return false;
}

/* Arguments: names of groups. */
int main(int argc, char **argv)
{
    int failed = 0;

    if (argc == 3 && strcmp(argv[1], "--send-on") == 0)
        return send_on(argv[2]);
    if (argc == 4 && strcmp(argv[1], "--poll-on") == 0)
        return poll_on(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "--wait-on") == 0)
        return wait_on(argv[2], argv[3]);
    setvbuf(stdout, NULL, _IOLBF, 0); /* or children would print it again */
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (int i = 0; i < DESCRIPTORS; i++)
        inherited[i] = fcntl(i, F_GETFD) != -1;
    for (int i = 0; i < NAMES; i++)
        snprintf(names[i], sizeof(names[i]), "/mqx-compat-%d-%d", (int)getpid(), i);
    (void)argc;
#define GROUP(name) failed += wanted(#name, argv + 1) ? group_##name() : 0;
    GROUPS(GROUP)
#undef GROUP
    return failed > 0;
}

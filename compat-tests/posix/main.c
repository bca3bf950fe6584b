/* Runs all groups; what the cases of <mqueue.h> have in common. */
#include "compat.h"

#include <sys/socket.h>

#define NAMES       4
#define DESCRIPTORS 1024

static char names[NAMES][64];
static bool inherited[DESCRIPTORS];

const char *name(int i)
{
    return names[i];
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
    end_case();
    for (int i = 0; i < DESCRIPTORS; i++)
        if (!inherited[i] && !is_netlink(i))
            mq_close(i);
    for (int i = 0; i < NAMES; i++)
        mq_unlink(name(i));
    return 0;
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
    begin_cases();
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

/* <sys/msg.h> beyond what the kernel's queues can show: what stays attached, readiness, deaths. */
#include <mqx.h>
#include <pthread.h>
#include <sys/msg.h>

#include "msqs.h"
#include "ready.h"
#include "testing.h"

struct message {
    long type;
    char text[100];
};

/* The thread sanitizer leaves a program less address space than one queue of the usual size takes.
 */
static int make(void)
{
    int id;

    if (DEFERS_SIGNALS)
        setenv("MQX_LIMITS", "kernel", 1);
    id = mqx_msgget(IPC_PRIVATE, 0600);
    unsetenv("MQX_LIMITS");

    CHECK(id >= 0);
    return id;
}

static int put(int id, long type, size_t len)
{
    return mqx_msgsnd(id, &(struct message){.type = type}, len, IPC_NOWAIT);
}

static ssize_t take(int id, long type)
{
    struct message m;

    return mqx_msgrcv(id, &m, sizeof(m.text), type, IPC_NOWAIT);
}

static int mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[PATH_MAX + 100];
    int count = 0;

    CHECK(maps);
    while (fgets(line, sizeof(line), maps))
        count += strstr(line, "/sysv/ids/") != NULL;
    fclose(maps);
    return count;
}

/* A program may use more queues than its address space has room for at once. */
static void many(void)
{
    const int count = 3 * (int)MQXI_MSQS_MOST;
    int id[3 * MQXI_MSQS_MOST];

    for (int i = 0; i < count; i++) {
        id[i] = make();
        IS(put(id[i], 1, (size_t)i % 100), 0);
    }
    CHECK(mappings() <= (int)MQXI_MSQS_MOST);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < count; i++) {
            IS(take(id[i], 0), i % 100);
            IS(put(id[i], 1, (size_t)i % 100), 0);
        }
    CHECK(mappings() <= (int)MQXI_MSQS_MOST);
    for (int i = 0; i < count; i++)
        IS(mqx_msgctl(id[i], IPC_RMID, NULL), 0);
    IS(mappings(), 0);
    IS(put(id[0], 1, 1), -1);
    IS(errno, EINVAL);
}

/* --- two threads --------------------------------------------------------------------------------
 */

#define ROUNDS 300

struct threads {
    int id, back;
};

static void *answer(void *arg)
{
    const struct threads *t = arg;
    struct message m;

    for (int i = 0; i < ROUNDS; i++) {
        IS(mqx_msgrcv(t->id, &m, sizeof(m.text), 0, 0), i % 100);
        IS(put(t->back, 1, (size_t)i % 100), 0);
    }
    return NULL;
}

/* One waits for a queue that the other makes go away, since he uses so many. */
static void many_beside_a_wait(void)
{
    const int count = (int)MQXI_MSQS_MOST + 10;
    int id[MQXI_MSQS_MOST + 10];
    struct threads t = {make(), make()};
    struct message m;
    pthread_t thread;

    for (int i = 0; i < count; i++)
        id[i] = make();
    IS(pthread_create(&thread, NULL, answer, &t), 0);
    for (int i = 0; i < ROUNDS; i++) {
        IS(put(t.id, 1, (size_t)i % 100), 0);
        for (int j = 0; j < count; j++)
            IS(take(id[j], 0), -1);
        IS(mqx_msgrcv(t.back, &m, sizeof(m.text), 0, 0), i % 100);
    }
    IS(pthread_join(thread, NULL), 0);
    CHECK(mappings() <= (int)MQXI_MSQS_MOST + 1);
}

static void remove_it(void *arg)
{
    IS(mqx_msgctl(*(int *)arg, IPC_RMID, NULL), 0);
}

/* What another process removed does not stay mapped for ever. */
static void removed_elsewhere(void)
{
    for (int i = 0; i < 20; i++) {
        int id = make();

        finish(start(remove_it, &id));
        IS(take(id, 0), -1);
        IS(errno, EINVAL);
        IS(mappings(), 0);
    }
}

static short ready(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

    CHECK(mqxi_poll(&p, 1, &(struct timespec){0}, NULL) >= 0); /* sanitizers have another poll */
    return p.revents;
}

static void descriptor(void)
{
    struct msqid_ds ds;
    int id = make(), fd = mqx_msg_fd(id);
    char byte;

    CHECK(fd >= 0);
    IS(ready(fd), POLLOUT);
    IS(put(id, 3, 10), 0);
    IS(ready(fd), POLLIN | POLLOUT);
    IS(mqx_msgctl(id, IPC_STAT, &ds), 0);
    ds.msg_qbytes = 10;
    IS(mqx_msgctl(id, IPC_SET, &ds), 0);
    IS(ready(fd), POLLIN);
    IS(take(id, 3), 10);
    IS(ready(fd), POLLOUT);
    IS(mqx_send(fd, "", 0, 0), -1); /* no message queue descriptor of the other kind */
    IS(errno, EBADF);
    IS(mqx_receive(fd, &byte, 1, NULL), -1);
    IS(errno, EBADF);
    IS(mqx_msgctl(id, IPC_RMID, NULL), 0);
    IS(ready(fd), POLLIN | POLLOUT);
    IS(mqx_close(fd), 0);
    IS(mappings(), 0);
    IS(mqx_msg_fd(id), -1);
    IS(errno, EINVAL);
}

static void poll_for_ever(void *arg)
{
    struct pollfd p = {.fd = ((int *)arg)[1], .events = POLLOUT};

    IS(mqxi_poll(&p, 1, NULL, NULL), 1);
}

/* Whoever sleeps in poll wakes up for room that IPC_SET makes, and for IPC_RMID. */
static void wakes_pollers(void)
{
    struct msqid_ds ds;
    int it[2] = {make()};
    pid_t child;

    it[1] = mqx_msg_fd(it[0]);
    IS(mqx_msgctl(it[0], IPC_STAT, &ds), 0);
    ds.msg_qbytes = 0;
    IS(mqx_msgctl(it[0], IPC_SET, &ds), 0);
    child = start(poll_for_ever, it);
    WAIT_FOR(asleep(child));
    ds.msg_qbytes = 100;
    IS(mqx_msgctl(it[0], IPC_SET, &ds), 0);
    finish(child);
    ds.msg_qbytes = 0;
    IS(mqx_msgctl(it[0], IPC_SET, &ds), 0);
    child = start(poll_for_ever, it);
    WAIT_FOR(asleep(child));
    IS(mqx_msgctl(it[0], IPC_RMID, NULL), 0);
    finish(child);
}

static void wait_for_type(void *arg)
{
    struct message m;

    mqx_msgrcv(*(int *)arg, &m, sizeof(m.text), 9, 0);
}

/* Blocked receivers of a type that never comes are no burden to what comes and goes. */
static void others_asleep(void)
{
    int id = make();
    pid_t child[3];

    for (int i = 0; i < 3; i++)
        child[i] = start(wait_for_type, &id);
    for (int i = 0; i < 3; i++)
        WAIT_FOR(asleep(child[i]));
    for (int i = 0; i < 1000; i++) {
        IS(put(id, 1 + i % 5, 50), 0);
        IS(take(id, -5), 50);
    }
    murder(child[0]);
    for (int i = 1; i < 3; i++)
        IS(put(id, 9, 1), 0);
    finish(child[1]);
    finish(child[2]);
    IS(take(id, 0), -1);
    IS(errno, ENOMSG);
}

/* The configuration's sections for a System V queue say so. */
static void policy(void)
{
    char path[PATH_MAX];
    struct msginfo info;
    FILE *conf;
    int id;

    snprintf(path, sizeof(path), "%s/conf", mqxi_dir());
    conf = fopen(path, "w");
    CHECK(conf);
    fputs("[*]\nmaxmsg = 3\nmsgsize = 7\n[.sysv/0x00000a??]\nmaxmsg = 2\nmsgsize = 50\n", conf);
    fclose(conf);
    setenv("MQX_CONF", path, 1);
    id = mqx_msgget(0xa11, IPC_CREAT | 0600);
    CHECK(id >= 0);
    IS(put(id, 1, 51), -1);
    IS(errno, EINVAL);
    IS(put(id, 1, 50), 0);
    IS(put(id, 1, 50), 0);
    IS(put(id, 1, 50), -1);
    IS(errno, EAGAIN);
    id = make();
    for (int i = 0; i < 10; i++)
        IS(put(id, 1, 100), 0);
    IS(mqx_msgctl(0, IPC_INFO, (struct msqid_ds *)&info), 1);
    IS(info.msgmax, 16 << 20);
    IS(info.msgmnb, 1 << 30);
    IS(info.msgmni, 32000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(many),       UNIT(many_beside_a_wait), UNIT(removed_elsewhere),
        UNIT(descriptor), UNIT(wakes_pollers),      UNIT(others_asleep),
        UNIT(policy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

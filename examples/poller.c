/*
 * Waits for a System V queue and for standard input at once, which with the kernel's
 * queues takes two threads: prints the messages that come, and sends each line that it
 * reads to the queue.  It is linked with libmqx, whose functions it calls by name.
 *
 *     poller KEY TYPE-TO-RECEIVE TYPE-TO-SEND
 */
#include <errno.h>
#include <mqx.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <unistd.h>

struct message {
    long type;
    char text[4096];
};

static int failed(const char *what)
{
    fprintf(stderr, "poller: %s: %s\n", what, strerror(errno));
    return 1;
}

/* What is there of this type; others' messages make the descriptor readable, too. */
static int print_messages(int id, long type)
{
    struct message m;
    ssize_t len;

    while ((len = mqx_msgrcv(id, &m, sizeof(m.text), type, IPC_NOWAIT | MSG_NOERROR)) >= 0) {
        printf("received with type %ld: %.*s\n", m.type, (int)len, m.text);
        fflush(stdout);
    }
    return errno == ENOMSG ? 0 : failed("cannot receive");
}

/* 1: there was an error; -1: standard input has ended. */
static int send_line(int id, long type)
{
    struct message m = {.type = type};
    ssize_t len = read(STDIN_FILENO, m.text, sizeof(m.text));

    if (len <= 0)
        return len < 0 ? failed("cannot read") : -1;
    if (m.text[len - 1] == '\n')
        len--;
    return mqx_msgsnd(id, &m, (size_t)len, 0) < 0 ? failed("cannot send") : 0;
}

int main(int argc, char **argv)
{
    struct pollfd wait[] = {{.events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    int id, r = 0;

    if (argc != 4) {
        fprintf(stderr, "usage: poller KEY TYPE-TO-RECEIVE TYPE-TO-SEND\n");
        return 2;
    }
    id = mqx_msgget((key_t)strtoul(argv[1], NULL, 0), IPC_CREAT | 0600);
    if (id < 0)
        return failed("cannot open the queue");
    wait[0].fd = mqx_msg_fd(id);
    if (wait[0].fd < 0)
        return failed("cannot poll the queue");
    while (r == 0) {
        if (poll(wait, 2, -1) < 0)
            return failed("cannot wait");
        if (wait[0].revents)
            r = print_messages(id, atol(argv[2]));
        if (r == 0 && wait[1].revents)
            r = send_line(id, atol(argv[3]));
    }
    return r > 0;
}

/*
 * What the programs that use queues' files share: file_calls.c, file_ready.c.
 *
 *     PROGRAM MOUNT CASE: exits 0, or says what was wrong
 *
 * Each case has a queue of ROOM messages of its own, named as the case.
 */
#ifndef FILE_CALLS_H
#define FILE_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM 10 /* messages, in a new queue */
#define SIZE 8192

static const char *mount, *name;

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            printf("line %d: not so: %s (errno %d)\n", __LINE__, #what, errno);                    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define FAILS(error, call) MUST((call) < 0 && errno == (error))

static inline int open_queue(int flags)
{
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", mount, name);
    fd = open(path, flags);
    MUST(fd >= 0);
    return fd;
}

static inline void put(int fd, const char *text)
{
    MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* From an open file of its own. */
static inline void take(const char *text)
{
    char got[SIZE];
    int fd = open_queue(O_RDONLY | O_NONBLOCK);
    ssize_t n = read(fd, got, sizeof(got));

    MUST(n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0);
    close(fd);
}

static inline void fill(int fd)
{
    for (int i = 0; i < ROOM; i++)
        put(fd, "x");
}

static inline void drain(void)
{
    char got[SIZE];
    int fd = open_queue(O_RDONLY | O_NONBLOCK);

    while (pread(fd, got, sizeof(got), 0) > 0)
        ;
    close(fd);
}

/* Wait until the thread or process waits in mqxfs: its call is not answered. */
static inline void await_blocked(pid_t tid)
{
    char path[64], text[64] = "";
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/wchan", (int)tid);
    while (!strstr(text, "request_wait_answer")) {
        f = fopen(path, "r");
        MUST(f);
        memset(text, 0, sizeof(text));
        MUST(fread(text, 1, sizeof(text) - 1, f) > 0);
        fclose(f);
        usleep(1000);
    }
}

static inline void await_success(pid_t child)
{
    int status;

    MUST(waitpid(child, &status, 0) == child && status == 0);
}

struct file_case {
    const char *name;
    void (*run)(void);
};

static inline int run_case(const struct file_case *cases, size_t count, int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < count; i++)
        if (strcmp(cases[i].name, argv[2]) == 0) {
            mount = argv[1];
            name = argv[2];
            cases[i].run();
            return 0;
        }
    fprintf(stderr, "usage: %s MOUNT CASE\n", argv[0]);
    return 2;
}

#endif

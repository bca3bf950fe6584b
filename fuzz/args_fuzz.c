/*
 * The command line with anything on it: each command ends with one of its
 * statuses, and where it fails it says why.
 *
 * Input: lines: the command, its arguments; what follows an empty line is
 * standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli.h"
#include "close_queues.h"
#include "mqx.h"
#include "must.h"
#include "names.h"
#include "segment.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __real_exit(int status) __attribute__((noreturn));
void __wrap_exit(int status) __attribute__((noreturn));
const char *__asan_default_options(void);

#define MOST 16 /* arguments */

static const struct {
    const char *name, *full;
    int (*run)(int argc, char **argv);
    const char *first; /* an option that keeps it from waiting */
} commands[] = {
    {"create", "mqx: create", cmd_create, NULL},   {"ls", "mqx: ls", cmd_ls, NULL},
    {"stat", "mqx: stat", cmd_stat, NULL},         {"send", "mqx: send", cmd_send, "--nonblock"},
    {"recv", "mqx: recv", cmd_recv, "--nonblock"}, {"unlink", "mqx: unlink", cmd_unlink, NULL},
};

/* A command that ends by exit() has its memory freed by that. */
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static jmp_buf out;
static volatile int ended; /* the status of a command that called exit(), + 1 */
static volatile int inside;

/* The linker puts this in place of exit. */
void __wrap_exit(int status)
{
    if (!inside)
        __real_exit(status);
    ended = status + 1;
    longjmp(out, 1);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    must(getenv("MQX_DIR") != NULL, "MQX_DIR is not set; run scripts/fuzz.sh", 0);
    setenv("MQX_CONF", "/dev/null", 1);
    return 0;
}

/* Standard input of the command. */
static void give_input(const char *data, size_t size)
{
    int fd = memfd_create("stdin", MFD_CLOEXEC);

    must(fd >= 0 && pwrite(fd, data, size, 0) == (ssize_t)size, "memfd", errno);
    must(dup2(fd, STDIN_FILENO) == STDIN_FILENO, "dup2", errno);
    close(fd);
}

/* A queue that there is, with messages as large as can be. */
static void have_jobs(void)
{
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 64};
    char data[64] = "a job";
    mqd_t mq = mqx_open("/jobs", O_WRONLY | O_CREAT | O_NONBLOCK, 0600, &attr);

    if (mq < 0)
        return; /* a command has made one that cannot be used: without mqxd, say */
    mqx_send(mq, data, sizeof(data), 1);
    mqx_close(mq);
}

static int remove_queue(const char *name, void *arg)
{
    (void)arg;
    return mqxi_segment_unlink(name);
}

static int run(unsigned command, int argc, char **argv)
{
    int status;

    optind = 0; /* getopt begins anew */
    ended = 0;
    inside = 1;
    if (setjmp(out) == 0)
        status = commands[command].run(argc, argv);
    else
        status = ended - 1;
    inside = 0;
    return status;
}

/* Run it with its output kept; it must say why it failed, and nothing outside a terminal's way. */
static void run_and_check(unsigned command, int argc, char **argv)
{
    FILE *before_out = stdout, *before_err = stderr;
    char *printed = NULL, *said = NULL;
    size_t printed_len = 0, said_len = 0;
    int status;

    stdout = open_memstream(&printed, &printed_len);
    stderr = open_memstream(&said, &said_len);
    must(stdout && stderr, "open_memstream", errno);
    status = run(command, argc, argv);
    fclose(stdout);
    fclose(stderr);
    stdout = before_out;
    stderr = before_err;
    must(status >= EXIT_DONE && status <= EXIT_NOT_NOW, "status", status);
    must(status == EXIT_DONE || said_len > 0, "failed and did not say why", status);
    for (char *line = said; line && *line; line = strchr(line, '\n') + 1) {
        must(strncmp(line, "mqx: ", 5) == 0, line, status);
        must(strchr(line, '\n') != NULL, "no newline behind the last line", status);
    }
    free(printed);
    free(said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 2), *argv[MOST + 3], *line, *rest;
    unsigned command = 0;
    int argc = 0;

    must(text != NULL, "malloc", errno);
    for (size_t i = 0; i < size; i++) /* no argument has a NUL in it */
        text[i] = data[i] ? (char)data[i] : '0';
    memcpy(text + size, "\n", 2);
    line = text;
    while (command < sizeof(commands) / sizeof(*commands) &&
           (strncmp(line, commands[command].name, strlen(commands[command].name)) != 0 ||
            line[strlen(commands[command].name)] != '\n'))
        command++;
    if (command < sizeof(commands) / sizeof(*commands)) {
        argv[argc++] = (char *)(uintptr_t)commands[command].full;
        if (commands[command].first)
            argv[argc++] = (char *)(uintptr_t)commands[command].first;
        for (line = strchr(line, '\n') + 1; *line && *line != '\n' && argc < MOST;
             line = rest + 1) {
            rest = strchr(line, '\n');
            must(rest != NULL, "a line has an end", 0);
            *rest = 0;
            argv[argc++] = line;
        }
        argv[argc] = NULL;
        if (*line == '\n')
            line++;
        give_input(line, strlen(line));
        have_jobs();
        run_and_check(command, argc, argv);
        close_queues();
    }
    free(text);
    /* Some queues stay, for the next ones to find; not too many. */
    if (size % 8 == 0)
        mqxi_segment_list(remove_queue, NULL);
    return 0;
}

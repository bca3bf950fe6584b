/*
 * Every command of mqx with a damaged queue: each ends with one of its statuses,
 * and where it fails it says why.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sanitizer/common_interface_defs.h>

#include "cli.h"
#include "close_queues.h"
#include "damage.h"
#include "fence.h"
#include "mqx.h"
#include "names.h"
#include "target.h"

#define QUEUE "fuzz"

static int output, errors; /* the fuzzer's own stdout and stderr; 0: not kept yet */
static FILE *said;         /* what stands in for stderr */

/* Both go to a file in MQX_DIR while a command runs. */
static void redirect(void)
{
    char path[PATH_MAX];
    int fd;

    fflush(NULL);
    snprintf(path, sizeof(path), "%s/said", mqxi_dir());
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (!errors) {
        output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100); /* out of the way of close_queues */
        errors = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
        __sanitizer_set_report_fd((void *)(intptr_t)errors);
    }
    damage_must(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0, path, errno);
    said = fdopen(fd, "r");
    fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    damage_must(fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0, "/dev/null", errno);
    close(fd);
}

/* Back; returns how much was said on stderr. */
static long restore(void)
{
    struct stat st;

    fflush(stdout);
    fflush(stderr);
    dup2(output, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    damage_must(fstat(fileno(said), &st) == 0, "what was said", errno);
    fclose(said);
    return st.st_size;
}

static void run(int (*command)(int argc, char **argv), const char *name, const char *const *args)
{
    char *argv[8] = {(char *)(uintptr_t)name};
    int argc = 1, status;
    long words;

    while (args[argc - 1]) {
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
        argc++;
    }
    optind = 0; /* getopt begins anew */
    redirect();
    status = command(argc, argv);
    close_queues();
    words = restore();
    damage_must(status == EXIT_DONE || status == EXIT_FAILED || status == EXIT_NOT_NOW, name,
                status);
    damage_must(status == EXIT_DONE || words > 0, "a command that failed and did not say why",
                status);
}

#define RUN(command, ...)                                                                          \
    run(cmd_##command, "mqx: " #command, (const char *const[]){__VA_ARGS__, NULL})

/* A send to a sync queue would wait for mqxd. */
static bool is_sync(void)
{
    struct info info;

    return info_get(QUEUE, &info) == 0 && info.durable == MQXI_DURABLE_SYNC;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct damage_input in = {data, size};
    char fifo[PATH_MAX];

    damage_make_bell();
    damage_build(&in, QUEUE, fifo);
    RUN(ls, "-l");
    RUN(ls, "--json");
    RUN(stat, QUEUE);
    RUN(stat, "--json", QUEUE);
    if (!is_sync()) {
        RUN(send, "--nonblock", QUEUE, "x");
        RUN(send, "--timeout=0", "-p", "9", QUEUE, "");
    }
    RUN(recv, "--nonblock", QUEUE);
    RUN(recv, "--timeout=0", "--count=20", "-p", QUEUE);
    if (!is_sync())
        RUN(send, "--nonblock", QUEUE, "y");
    RUN(recv, "--nonblock", "--line", QUEUE);
    RUN(create, QUEUE);
    RUN(ls, "-l");
    RUN(unlink, QUEUE);
    RUN(stat, QUEUE);
    target_clean(fifo);
    damage_must(fence_count() == 0, "segments that are still mapped", fence_count());
    return 0;
}

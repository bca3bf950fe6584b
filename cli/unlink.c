/* mqx unlink: remove queues. */
#include <errno.h>
#include <getopt.h>

#include "cli.h"
#include "mqx.h"

static const char help[] =
    "usage: mqx unlink QUEUE...\n"
    "\n"
    "Remove queues and the messages in them.  Who has a queue open keeps it until closing it.\n";

int cmd_unlink(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    int option, status = EXIT_DONE;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option != 'h')
            usage_exit("unlink");
        fputs(help, stdout);
        return flush_stdout("unlink");
    }
    if (optind == argc) {
        fputs("mqx: unlink: which queue?\n", stderr);
        usage_exit("unlink");
    }
    for (; optind < argc; optind++) {
        const char *name = arg_queue("unlink", argv[optind]);

        if (mqx_unlink(name) < 0)
            status = errno == ENOENT
                         ? fail_because("unlink", name, "no such queue; 'mqx ls' lists them")
                         : fail("unlink", name, errno);
    }
    return status;
}

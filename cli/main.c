/*
 * mqx: queues from the command line.  Finds the subcommand; each is a file of
 * its own.
 */
#include <string.h>

#include "cli.h"
#include "mqx.h"

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", "run a program with its POSIX message queues in mqx", cmd_run},
    {"create", "create a queue", cmd_create},
    {"conf", "show what applies to a queue, and why; or change it", cmd_conf},
    {"ls", "list the queues", cmd_ls},
    {"stat", "show one queue", cmd_stat},
    {"send", "send a message", cmd_send},
    {"recv", "receive messages", cmd_recv},
    {"each", "run a command for each message", cmd_each},
    {"store", "check, dump, back up or compact what mqxd keeps on disk", cmd_store},
    {"unlink", "remove queues", cmd_unlink},
};

static void help(FILE *out)
{
    fputs("usage: mqx COMMAND [OPTION...] [ARGUMENT...]\n\n", out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].what);
    fputs("\nmqx COMMAND --help tells more; so does mqx(1).\n", out);
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : NULL;
    static char full[32]; /* what getopt puts before its messages */

    if (!command) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) {
        help(stdout);
        return flush_stdout("help");
    }
    if (strcmp(command, "--version") == 0) {
        puts("mqx " MQX_VERSION);
        return flush_stdout("version");
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(command, commands[i].name) == 0) {
            snprintf(full, sizeof(full), "mqx: %s", command);
            argv[1] = full;
            return commands[i].run(argc - 1, argv + 1);
        }
    fprintf(stderr, "mqx: there is no command '%s'; 'mqx --help' lists them\n", command);
    return EXIT_USAGE;
}

/* A command that is run with a message. */
#ifndef MQX_CLI_COMMAND_H
#define MQX_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

/* Exit statuses of a command that could not be run, as shells have them. */
#define COMMAND_NOT_RUN   126
#define COMMAND_NOT_FOUND 127

struct command {
    char **argv;
    int argc;
    bool as_argument; /* the message; else it is the standard input */
    const char *queue;
};

struct command_message {
    const char *bytes;
    uint32_t len;
    bool sysv;
    int64_t number; /* priority or type */
};

/* Run it and wait for its end: 0 and *status, as from waitpid; -errno: it did not start; -EILSEQ: a
 * zero byte in what is to be an argument. */
int command_run(const struct command *c, const struct command_message *m, int *status);

/* Between these two, SIGINT, SIGTERM and SIGHUP do not end us but are noted; the command gets the
 * last two, too (a terminal sends it the first). */
void command_signals_hold(void);
void command_signals_release(void);
/* What was noted; 0: nothing. */
int command_signal(void);

#endif

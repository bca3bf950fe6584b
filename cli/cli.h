/* What the subcommands of mqx share. */
#ifndef MQX_CLI_H
#define MQX_CLI_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

/* Exit statuses, in the man page too. */
enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_NOW = 3 /* the queue is full, or empty, or stayed so until the time was up */
};

/* One subcommand: argv[0] is "mqx: " and its name. */
int cmd_conf(int argc, char **argv);
int cmd_create(int argc, char **argv);
int cmd_each(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_recv(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_store(int argc, char **argv);
int cmd_unlink(int argc, char **argv);

/* args.c: reading the command line.  Each says what is wrong with it and exits with EXIT_USAGE. */
void usage_exit(const char *command); /* "see mqx COMMAND --help" */
uint32_t arg_number(const char *command, const char *option, const char *text, uint32_t min,
                    uint32_t max);
/* A System V message type, from least on. */
long arg_type(const char *command, const char *text, long least);
/* off, async or sync: a policy. */
uint32_t arg_durable(const char *command, const char *text);
uint32_t arg_mode(const char *command, const char *text);
/* Now plus this many seconds (decimals allowed), CLOCK_REALTIME. */
struct timespec arg_deadline(const char *command, const char *text);
/* A queue's name (anyname.h), with its slash or without; a static buffer, with the slash. */
const char *arg_queue(const char *command, const char *text);

/* The queue of this name, a System V queue; or what was said of its type, or of priorities, is for
 * the other kind: says so, EXIT_USAGE. */
bool arg_is_sysv(const char *command, const char *name, bool type, bool priority);

/* .sysv/ID.TYPE, as mqxfs has it, is that queue with --type=TYPE.  said: --type, or 0. */
long arg_type_of(const char *command, const char *name, long said, long least);

/* stat_mqxd.c: what it has done. */
int stat_mqxd(bool json);

/* fail.c: say what failed, on what, and what to do; returns the exit status for it. */
int fail(const char *command, const char *queue, int error);
int fail_because(const char *command, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Everything printed?  Else says so: EXIT_FAILED. */
int flush_stdout(const char *command);

/* info.c: what ls and stat tell about a queue. */
struct info {
    char name[NAME_MAX + 1]; /* without its slash */
    int error;               /* 0, or why the rest below `group` is not known (-errno) */
    uint32_t mode, uid, gid;
    uint32_t maxmsg, msgsize, durable;
    uint32_t messages;
    uint64_t bytes;
    uint64_t sent; /* messages since the queue was created */
    uint64_t created_ns, last_send_ns, last_recv_ns;
    bool sysv; /* then also: */
    int32_t id, key;
    uint32_t cuid, cgid, last_send_pid, last_recv_pid;
    uint64_t qbytes, changed_ns;
};
/* name: without its slash.  Returns info->error; -ENOENT if there is no such queue. */
int info_get(const char *name, struct info *info);
const char *durable_name(uint32_t durable);
void info_json(const struct info *info, FILE *out);
/* In quotes. */
void json_string(const char *text, FILE *out);

#endif

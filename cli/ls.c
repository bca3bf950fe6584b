/* mqx ls: list the queues. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "anyname.h"
#include "cli.h"
#include "names.h"
#include "text.h"

static const char help[] =
    "usage: mqx ls [-l | --json]\n"
    "\n"
    "List the queues by name; System V queues are .sysv/ID.\n"
    "\n"
    "  -l, --long   permissions, owner, group, messages, bytes in them, room for messages,\n"
    "               largest message, durability, time of the last send or receive, name;\n"
    "               what cannot be known (another user's queue, a damaged one) is '-'\n"
    "  --json       all of that as one JSON array of objects\n";

struct names {
    char **list;
    size_t count, room;
};

static int add(const char *name, void *arg)
{
    struct names *names = arg;

    if (names->count == names->room) {
        size_t room = names->room ? 2 * names->room : 64;
        char **list = realloc(names->list, room * sizeof(*list));

        if (!list)
            return -ENOMEM;
        names->list = list;
        names->room = room;
    }
    names->list[names->count] = strdup(name);
    return names->list[names->count++] ? 0 : -ENOMEM;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* To a terminal a name sends no control characters; to a program, the name as it is. */
static void print_name(const char *name)
{
    char clean[NAME_MAX + 1];

    snprintf(clean, sizeof(clean), "%s", name);
    if (isatty(STDOUT_FILENO))
        mqxi_text_clean(clean);
    puts(clean);
}

static const char *user(uint32_t uid)
{
    static char number[12];
    struct passwd *entry = getpwuid(uid);

    snprintf(number, sizeof(number), "%u", uid);
    return entry ? entry->pw_name : number;
}

static const char *group(uint32_t gid)
{
    static char number[12];
    struct group *entry = getgrgid(gid);

    snprintf(number, sizeof(number), "%u", gid);
    return entry ? entry->gr_name : number;
}

static void print_long(const struct info *info)
{
    uint64_t last =
        info->last_send_ns > info->last_recv_ns ? info->last_send_ns : info->last_recv_ns;
    time_t seconds = (time_t)(last / 1000000000);
    char mode[] = "rwxrwxrwx", when[32] = "-";
    struct tm tm;

    for (int i = 0; i < 9; i++)
        if (!(info->mode & (0400u >> i)))
            mode[i] = '-';
    printf("%s %-8s %-8s ", mode, user(info->uid), group(info->gid));
    if (info->error) {
        printf("%8s %10s %8s %8s %-5s %-19s ", "-", "-", "-", "-", "-", "-");
    } else {
        if (last && localtime_r(&seconds, &tm))
            strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
        printf("%8u %10" PRIu64 " %8u %8u %-5s %-19s ", info->messages, info->bytes, info->maxmsg,
               info->msgsize, durable_name(info->durable), when);
    }
    print_name(info->name);
}

static void print_all(const struct names *names, bool longer, bool json)
{
    bool first = true;

    if (json)
        putchar('[');
    for (size_t i = 0; i < names->count; i++) {
        struct info info;

        if (!longer && !json) {
            print_name(names->list[i]);
        } else if (info_get(names->list[i], &info) == -ENOENT) {
            continue; /* removed since it was listed */
        } else if (json) {
            fputs(first ? "\n  " : ",\n  ", stdout);
            info_json(&info, stdout);
            first = false;
        } else {
            print_long(&info);
        }
    }
    if (json)
        puts(first ? "]" : "\n]");
}

int cmd_ls(int argc, char **argv)
{
    static const struct option options[] = {{"long", no_argument, NULL, 'l'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct names names = {0};
    bool longer = false, json = false;
    int option, r;

    while ((option = getopt_long(argc, argv, "hlj", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return flush_stdout("ls");
        }
        if (option == '?')
            usage_exit("ls");
        longer = longer || option == 'l';
        json = json || option == 'j';
    }
    if (optind < argc) {
        fputs("mqx: ls: takes no names; for one queue use 'mqx stat'\n", stderr);
        usage_exit("ls");
    }
    r = mqxi_name_list(add, &names);
    if (r < 0)
        return fail_because("ls", mqxi_dir(), "%s", strerror(-r));
    if (names.count)
        qsort(names.list, names.count, sizeof(*names.list), compare);
    print_all(&names, longer, json);
    for (size_t i = 0; i < names.count; i++)
        free(names.list[i]);
    free(names.list);
    return flush_stdout("ls");
}

/* mqx stat: show one queue, or mqxd. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "cli.h"
#include "text.h"

static const char help[] =
    "usage: mqx stat [--json] [QUEUE]\n"
    "\n"
    "Show what is known about a queue, one 'key: value' a line, or as a JSON object; without a\n"
    "queue, what mqxd has done.\n"
    "A System V queue is .sysv/ID or .sysv/0xKEY.\n";

static void print_time(const char *key, uint64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    char text[40];
    struct tm tm;

    if (ns == 0) /* a System V queue: never */
        snprintf(text, sizeof(text), "-");
    else if (!localtime_r(&seconds, &tm) ||
             !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &tm))
        snprintf(text, sizeof(text), "?");
    printf("%s: %s\n", key, text);
}

static void print_sysv(const struct info *info)
{
    printf("id: %d\nkey: 0x%08x\n", info->id, (unsigned)info->key);
    printf("cuid: %u\ncgid: %u\n", info->cuid, info->cgid);
    printf("qbytes: %" PRIu64 "\n", info->qbytes);
    printf("lspid: %u\nlrpid: %u\n", info->last_send_pid, info->last_recv_pid);
    print_time("changed", info->changed_ns);
}

static void print(const struct info *info)
{
    char name[NAME_MAX + 1];

    snprintf(name, sizeof(name), "%s", info->name);
    mqxi_text_clean(name); /* else it could be lines of its own */
    printf("name: %s\ntype: %s\n", name, info->sysv ? "sysv" : "posix");
    printf("mode: %04o\nuid: %u\ngid: %u\n", info->mode, info->uid, info->gid);
    printf("messages: %u\nbytes: %" PRIu64 "\n", info->messages, info->bytes);
    printf("maxmsg: %u\nmsgsize: %u\n", info->maxmsg, info->msgsize);
    printf("durable: %s\n", durable_name(info->durable));
    printf("sent: %" PRIu64 "\n", info->sent);
    print_time("created", info->created_ns);
    print_time("last send", info->last_send_ns);
    print_time("last receive", info->last_recv_ns);
    if (info->sysv)
        print_sysv(info);
}

int cmd_stat(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct info info;
    const char *name;
    bool json = false;
    int option;

    while ((option = getopt_long(argc, argv, "hj", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return flush_stdout("stat");
        }
        if (option == '?')
            usage_exit("stat");
        json = true;
    }
    if (argc - optind > 1) {
        fputs("mqx: stat: give one queue, or none\n", stderr);
        usage_exit("stat");
    }
    if (argc == optind)
        return stat_mqxd(json);
    name = arg_queue("stat", argv[optind]);
    if (info_get(name + 1, &info) < 0)
        return fail("stat", name, -info.error);
    if (json) {
        info_json(&info, stdout);
        putchar('\n');
    } else {
        print(&info);
    }
    return flush_stdout("stat");
}

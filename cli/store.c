/*
 * mqx store: what mqxd keeps on disk.  All but `compact` and `rekey` work while
 * mqxd is running: they see the store as the last commit left it.
 */
#include "store.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "../mqxd/where.h"
#include "cli.h"

static const char help[] =
    "usage: mqx store [--store DIR] check\n"
    "       mqx store [--store DIR] dump [QUEUE]\n"
    "       mqx store [--store DIR] backup TO\n"
    "       mqx store [--store DIR] compact\n"
    "       mqx store [--store DIR] rekey\n"
    "\n"
    "  check        look at every page and record; exit status 1 if something is wrong\n"
    "  dump         print all queues, or one, and their messages: JSON, one object a line\n"
    "  backup       write a copy into the directory TO; mqxd --store TO serves it\n"
    "  compact      give back to the disk what is not used; mqxd must be stopped for it\n"
    "  rekey        encrypt with the first key what is encrypted with others; mqxd must be stopped\n"
    "  --key-file FILE  the keys of encrypted messages; default as mqx.conf says\n"
    "  --store DIR  where; default $MQX_STORE, else /var/lib/mqx for root,\n"
    "               else ~/.local/state/mqx\n";

static const char *key_file; /* as was given, or NULL */

static void print_size(uint64_t bytes)
{
    static const char units[] = "KMGT";
    double n = (double)bytes;
    int unit = -1;

    while (n >= 1024 && unit < 3) {
        n /= 1024;
        unit++;
    }
    if (unit < 0)
        printf("%" PRIu64 " bytes", bytes);
    else
        printf("%.1f %ciB", n, units[unit]);
}

/* With its keys; without, if it can do without them and there are none. */
static int open_to_read(const char *dir, struct inspect *s, struct keys **keys, bool needed)
{
    int r = inspect_open(dir, s);

    *keys = NULL;
    if (r < 0 || !inspect_is_sealed(s))
        return r;
    r = store_keys_find(key_file, keys);
    if (r == 0 && (*keys || needed))
        r = inspect_keys(s, *keys);
    if (r < 0) {
        inspect_close(s);
        keys_free(*keys);
    }
    return r;
}

static int check(const char *dir)
{
    struct inspect_size size;
    struct inspect s;
    struct keys *keys;
    int64_t wrong;
    int r = open_to_read(dir, &s, &keys, false);

    if (r < 0)
        return EXIT_FAILED;
    wrong = store_check(&s);
    r = wrong < 0 ? -1 : inspect_size(&s, &size);
    inspect_close(&s);
    keys_free(keys);
    if (r < 0)
        return EXIT_FAILED;
    fputs("the file has ", stdout);
    print_size(size.file);
    fputs(", in use: ", stdout);
    print_size(size.used);
    if (size.journal) {
        fputs("; the journal has ", stdout);
        print_size(size.journal);
        printf(", commits in it: %" PRIu64, size.commits);
    }
    if (wrong)
        printf("\nwrong: %" PRId64 "\n", wrong);
    else
        puts("\nall is well");
    return wrong ? EXIT_FAILED : EXIT_DONE;
}

static int dump(const char *dir, const char *queue)
{
    struct inspect s;
    struct keys *keys;
    int r = open_to_read(dir, &s, &keys, true);

    if (r < 0)
        return EXIT_FAILED;
    r = store_dump(&s, queue ? queue + (queue[0] == '/') : NULL);
    inspect_close(&s);
    keys_free(keys);
    if (r == -ENOENT)
        return fail_because("store", queue, "no such queue in the store %s", dir);
    return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int backup(const char *dir, const char *to)
{
    struct inspect s;
    uint64_t size;
    int r = inspect_open(dir, &s);

    if (r < 0)
        return EXIT_FAILED;
    r = inspect_backup(&s, to, &size);
    inspect_close(&s);
    if (r == -EEXIST)
        return fail_because("store", to, "there is a store already; give another directory");
    if (r < 0)
        return EXIT_FAILED;
    printf("%s: ", to);
    print_size(size);
    putchar('\n');
    return EXIT_DONE;
}

static int compact(const char *dir)
{
    uint64_t before, after;

    if (inspect_compact(dir, &before, &after) < 0)
        return EXIT_FAILED;
    printf("%s: ", dir);
    print_size(before);
    fputs(" before, ", stdout);
    print_size(after);
    fputs(" after, won: ", stdout);
    print_size(before > after ? before - after : 0);
    putchar('\n');
    return EXIT_DONE;
}

static int run(const char *dir, int argc, char **argv)
{
    const char *what = argc > 0 ? argv[0] : "";

    if (strcmp(what, "check") == 0 && argc == 1)
        return check(dir);
    if (strcmp(what, "dump") == 0 && argc <= 2)
        return dump(dir, argv[1]);
    if (strcmp(what, "backup") == 0 && argc == 2)
        return backup(dir, argv[1]);
    if (strcmp(what, "compact") == 0 && argc == 1)
        return compact(dir);
    if (strcmp(what, "rekey") == 0 && argc == 1)
        return store_rekeyed(dir, key_file);
    fputs("mqx: store: say check, dump [QUEUE], backup TO, compact or rekey\n", stderr);
    usage_exit("store");
    return EXIT_USAGE;
}

int cmd_store(int argc, char **argv)
{
    static const struct option options[] = {
        {"store", required_argument, NULL, 's'},
        {"key-file", required_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {0}};
    const char *given = NULL;
    char dir[PATH_MAX];
    int option, status;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return flush_stdout("store");
        }
        if (option == '?')
            usage_exit("store");
        if (option == 'k')
            key_file = optarg;
        else
            given = optarg;
    }
    if (where_store(given, dir) < 0)
        return EXIT_USAGE;
    status = run(dir, argc - optind, argv + optind);
    return status ? status : flush_stdout("store");
}

/*
 * mount(8) runs mount.fuse3, and that `mqxfs SOURCE MOUNTPOINT -o OPTION,...`,
 * with options that are its own or the boot's business, and with dev and suid,
 * which a directory of queues has no use for.
 */
#include "options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ours {
    char *dir, *conf;
    const char *source;
    int names; /* still to come */
};

static const struct fuse_opt table[] = {
    {"dir=%s", offsetof(struct ours, dir), 0},
    {"conf=%s", offsetof(struct ours, conf), 0},
    FUSE_OPT_END,
};

const char *options_mountpoint(int argc, char **argv, int *count)
{
    const char *last = NULL;

    *count = 0;
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-' && strcmp(argv[i - 1], "-o") != 0) {
            last = argv[i];
            ++*count;
        }
    return last;
}

static bool is_mounts_own(const char *option)
{
    static const char *const names[] = {"defaults", "auto",  "noauto", "user", "nouser", "users",
                                        "owner",    "group", "nofail", "dev",  "suid",   "_netdev"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(option, names[i]) == 0)
            return true;
    return strncasecmp(option, "x-", 2) == 0 || strncmp(option, "comment=", 8) == 0 ||
           strncmp(option, "user=", 5) == 0;
}

/* 0: it is done with. */
static int each(void *data, const char *argument, int key, struct fuse_args *out)
{
    struct ours *o = data;

    (void)out;
    if (key == FUSE_OPT_KEY_OPT && strncmp(argument, "max_read=", 9) == 0) {
        fprintf(stderr, "mqxfs: max_read cannot be chosen: a message is read in one piece; "
                        "leave it out\n");
        return -1;
    }
    if (key == FUSE_OPT_KEY_OPT)
        return !is_mounts_own(argument);
    if (key != FUSE_OPT_KEY_NONOPT || o->names-- != 2)
        return 1;
    o->source = argument; /* of main's argv */
    return 0;
}

/* The name that df shows. */
static int show_source(struct fuse_args *args, const char *source)
{
    char *option = NULL, *argument = NULL;
    int r = -1;

    if (!source || !*source)
        return 0;
    if (asprintf(&option, "fsname=%s", source) < 0)
        return -1;
    if (fuse_opt_add_opt_escaped(&argument, option) == 0 && fuse_opt_add_arg(args, "-o") == 0)
        r = fuse_opt_add_arg(args, argument);
    free(argument);
    free(option);
    return r;
}

int options_take(struct fuse_args *args, int names)
{
    struct ours o = {.names = names};
    int r = fuse_opt_parse(args, &o, table, each);

    if (r == 0 && o.dir)
        r = setenv("MQX_DIR", o.dir, 1);
    if (r == 0 && o.conf)
        r = setenv("MQX_CONF", o.conf, 1);
    if (r == 0)
        r = show_source(args, o.source);
    free(o.dir);
    free(o.conf);
    return r;
}

/*
 * mqxfs: the command line, the mount, the daemon.  Mounting, and what /dev/fuse
 * speaks, are libfuse's.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mqx.h"
#include "mqxfs.h"
#include "names.h"
#include "options.h"

#define EXIT_USAGE 2

static int print(const char *text)
{
    if (fputs(text, stdout) >= 0 && fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_SUCCESS;
    fprintf(stderr, "mqxfs: standard output: %s\n", strerror(errno));
    return EXIT_FAILURE;
}

static int help(void)
{
    return print("usage: mqxfs [OPTION...] [[SOURCE] MOUNTPOINT]\n"
                 "\n"
                 "Show mqx's queues as files: write enqueues, read takes one message.\n"
                 "MOUNTPOINT: an empty directory; default: $MQX_MOUNT.\n"
                 "SOURCE: a name for it, as mount(8) and /etc/fstab give it.\n"
                 "\n"
                 "  -f             stay in the foreground\n"
                 "  -d             ... and print every request\n"
                 "  -o OPTION,...  mount options, see mqxfs(1); root gets allow_other by itself;\n"
                 "                 dir=DIRECTORY for $MQX_DIR, conf=FILE for $MQX_CONF\n"
                 "  -h, --help     this text\n"
                 "  -V, --version  the version\n"
                 "\n"
                 "Unmount with `umount MOUNTPOINT` or `fusermount3 -u MOUNTPOINT`.\n"
                 "The queues are those in $MQX_DIR, else in /run/mqx, else in /dev/shm/mqx.\n");
}

static int usage(const char *what)
{
    fprintf(stderr, "mqxfs: %s; see 'mqxfs --help'\n", what);
    return EXIT_USAGE;
}

static int fail(const char *what, const char *on, int error, const char *advice)
{
    fprintf(stderr, "mqxfs: %s %s: %s; %s\n", what, on, strerror(error), advice);
    return EXIT_FAILURE;
}

/* As a daemon we work in "/": paths that were given relative to here must not change. */
static int make_absolute(const char *variable)
{
    const char *path = getenv(variable);
    char *here, *absolute;
    int r = 0;

    if (!path || !*path || *path == '/')
        return 0;
    here = getcwd(NULL, 0);
    if (!here || asprintf(&absolute, "%s/%s", here, path) < 0) {
        free(here);
        return -errno;
    }
    if (setenv(variable, absolute, 1) < 0)
        r = -errno;
    free(absolute);
    free(here);
    return r;
}

/* What a killed mqxfs left mounted answers ENOTCONN to everything. */
static bool is_dead(const char *mountpoint)
{
    struct statfs fs; /* unlike attributes, the kernel never remembers that */

    return statfs(mountpoint, &fs) < 0 && errno == ENOTCONN;
}

/* False: it cannot be. */
static bool unmount_dead(const char *mountpoint)
{
    pid_t child;

    if (!is_dead(mountpoint))
        return true;
    fprintf(stderr, "mqxfs: %s is left from a filesystem that died: unmounting it\n", mountpoint);
    if (umount2(mountpoint, MNT_DETACH) == 0)
        return true;
    child = fork();
    if (child == 0) {
        execlp("fusermount3", "fusermount3", "-u", "-z", "--", mountpoint, (char *)NULL);
        _exit(127);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
    return !is_dead(mountpoint);
}

static int add_options(struct fuse_args *args)
{
    char options[] = "-odefault_permissions,fsname=mqxfs,subtype=mqxfs,noexec,allow_other";

    if (geteuid() != 0) /* users may not, unless the administrator lets them: theirs to ask for */
        options[strlen(options) - strlen(",allow_other")] = 0;
    /* Behind the program's name, so that the caller's come later and count. */
    return fuse_opt_insert_arg(args, 1, options);
}

static int serve(struct fuse_session *session, const struct fuse_cmdline_opts *options,
                 const char *mountpoint)
{
    int r;

    if (fuse_session_mount(session, mountpoint) != 0) {
        fprintf(stderr,
                "mqxfs: cannot mount on %s; is it an empty directory of yours, and may you open "
                "/dev/fuse?\n",
                mountpoint);
        return EXIT_FAILURE;
    }
    /* Before any thread is started and any client number is taken: this forks. */
    r = fuse_daemonize(options->foreground) < 0 ? -errno : loop_prepare();
    if (r >= 0)
        r = loop_run(session);
    fuse_session_unmount(session);
    return r >= 0 ? EXIT_SUCCESS : fail("stopped serving", mountpoint, -r, "please report it");
}

static int mount_and_serve(struct fuse_args *args, const struct fuse_cmdline_opts *options,
                           const char *mountpoint)
{
    struct fuse_session *session = NULL;
    int r = mqxi_dirs_make();

    if (r < 0)
        return fail("cannot make the directory of queues", mqxi_dir(), -r,
                    "make it, or set MQX_DIR to one that you may write to");
    if (add_options(args) < 0)
        return fail("cannot mount on", mountpoint, ENOMEM, "free some memory");
    session = fuse_session_new(args, &mqxfs_ops, sizeof(mqxfs_ops), &session);
    if (!session)
        return usage("cannot use these options"); /* libfuse has said which */
    r = serve(session, options, mountpoint);
    fuse_session_destroy(session);
    return r;
}

int main(int argc, char **argv)
{
    struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
    struct fuse_cmdline_opts options;
    const char *mountpoint = getenv("MQX_MOUNT"), *named;
    char *resolved = NULL;
    int given = 0, r = EXIT_FAILURE;

    named = options_mountpoint(argc, argv, &given);
    mountpoint = named ? named : mountpoint;
    if (given > 2)
        return usage("more than one mount point");
    if (mountpoint && *mountpoint && !unmount_dead(mountpoint))
        return fail("cannot mount on", mountpoint, ENOTCONN,
                    "let who mounted it, or root, run 'umount -l' on it first");
    if (options_take(&args, given) != 0)
        return usage("cannot use these options");
    if (fuse_parse_cmdline(&args, &options) != 0)
        return given && access(mountpoint, F_OK) < 0
                   ? fail("cannot mount on", mountpoint, errno, "make the directory first")
                   : usage("cannot use these arguments"); /* libfuse has said which */
    /* Absolute, too, where it comes from MQX_MOUNT: as a daemon we unmount it from "/". */
    if (!options.mountpoint && mountpoint && *mountpoint)
        resolved = realpath(mountpoint, NULL);
    mountpoint = options.mountpoint ? options.mountpoint : resolved ? resolved : mountpoint;
    if (options.show_help) {
        r = help();
    } else if (options.show_version) {
        r = print("mqxfs " MQX_VERSION "\n");
    } else if (!mountpoint || !*mountpoint) {
        r = usage("no mount point: name an empty directory, or set MQX_MOUNT");
    } else if (make_absolute("MQX_DIR") < 0 || make_absolute("MQX_CONF") < 0) {
        fputs("mqxfs: cannot tell the current directory; give MQX_DIR and MQX_CONF as absolute "
              "paths\n",
              stderr);
    } else {
        r = mount_and_serve(&args, &options, mountpoint);
    }
    free(resolved);
    free(options.mountpoint);
    fuse_opt_free_args(&args);
    return r;
}

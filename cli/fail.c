/* Saying what failed, on what, and what to do. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "anyname.h"
#include "cli.h"
#include "client.h"
#include "names.h"
#include "text.h"

int fail_because(const char *command, const char *what, const char *format, ...)
{
    char text[2 * PATH_MAX];
    va_list args;
    int n = snprintf(text, sizeof(text), "mqx: %s: %s: ", command, what);

    va_start(args, format);
    if (n >= 0 && (size_t)n < sizeof(text))
        vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
    va_end(args);
    mqxi_text_clean(text);
    fprintf(stderr, "%s\n", text);
    return EXIT_FAILED;
}

int fail(const char *command, const char *queue, int error)
{
    const char *bare = queue + (queue[0] == '/');
    char registry[PATH_MAX];

    if ((error == EBADMSG || error == EACCES) && mqxi_client_unusable(registry))
        return fail_because(command, queue,
                            "the registry of the processes that use this user's queues is damaged, "
                            "or not a file of that user: end those processes, then remove %s",
                            registry);
    if (mqxi_name_is_sysv(bare) && (error == ENOENT || error == EINVAL || error == EIDRM))
        return fail_because(command, queue, "no such System V queue in %s; 'mqx ls' lists them",
                            mqxi_dir());
    switch (error) {
    case ENOENT:
        return fail_because(command, queue, "no such queue in %s; create it with 'mqx create %s'",
                            mqxi_dir(), bare);
    case EEXIST:
        return fail_because(command, queue,
                            "there is such a queue already; remove it with 'mqx unlink %s'", bare);
    case EACCES:
        return fail_because(command, queue,
                            "you may not: its mode, owner and group do not let you, or mqxfs is "
                            "not mounted, through which others than its own user use it");
    case EBADMSG:
        return fail_because(command, queue,
                            "its segment is damaged, or of another version of mqx; "
                            "'mqx unlink %s' removes it",
                            bare);
    case EIO:
        return fail_because(command, queue,
                            "what belongs to it in %s was truncated or removed, or is not what it "
                            "should be; or, of a durable queue: mqxd did not store it in time, so "
                            "that it was not sent, or received",
                            mqxi_dir());
    case EISDIR:
        return fail_because(command, queue, "somebody made it a directory; remove %s/queues/%s",
                            mqxi_dir(), bare);
    case ESRCH:
        return fail_because(command, queue,
                            "it is sync-durable and no mqxd is running for this user; start mqxd");
    case ENOSPC:
        return fail_because(command, queue, "no room left in %s", mqxi_dir());
    case EUSERS:
        return fail_because(command, queue,
                            "as many processes of this user use queues as can (16384); end some");
    default:
        return fail_because(command, queue, "%s", strerror(error));
    }
}

int flush_stdout(const char *command)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_DONE;
    return fail_because(command, "standard output", "%s", strerror(errno));
}

/*
 * Where mqxfs is mounted, and by whom: from /proc/self/mountinfo, since anybody
 * could make a directory that looks like a mount of ours.  The kernel says who
 * owns a FUSE mount, that is who answers what is asked there.
 */
#include "mounts.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

/* Spaces, tabs, newlines and backslashes are written as three octal digits. */
static void unescape(char *text)
{
    char *to = text;

    for (; *text; text++)
        if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
            *to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 3;
        } else {
            *to++ = *text;
        }
    *to = 0;
}

/* NULL: another filesystem, or nothing that we understand.  The text is changed. */
static const struct mqxi_mount *parse(char *line, struct mqxi_mount *m)
{
    char *kind = strstr(line, " - fuse.mqxfs "), *owner, *path = line;
    unsigned major, minor;

    if (!kind || sscanf(line, "%*d %*d %u:%u", &major, &minor) != 2)
        return NULL;
    *kind = 0;
    owner = strstr(kind + 1, "user_id=");
    if (!owner)
        return NULL;
    for (int field = 0; field < 4 && path; field++) {
        path = strchr(path, ' ');
        path += path != NULL;
    }
    if (!path)
        return NULL;
    path[strcspn(path, " ")] = 0;
    unescape(path);
    *m = (struct mqxi_mount){(uint64_t)major << 32 | minor,
                             (uid_t)strtoul(owner + strlen("user_id="), NULL, 10), path};
    return m;
}

int mqxi_mounts_each(int (*each)(const struct mqxi_mount *m, void *arg), void *arg)
{
    char text[PATH_MAX + 1024];
    size_t have = 0;
    int r = 0, fd = mqxi_sys_openat(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY | O_CLOEXEC, 0);
    bool skip = false; /* in the middle of a line that is too long */

    if (fd < 0)
        return fd;
    while (r == 0) {
        long n = MQXI_SYS(SYS_read, fd, text + have, sizeof(text) - 1 - have);
        char *line = text, *end;

        if (n <= 0)
            break;
        have += (size_t)n;
        text[have] = 0;
        for (; r == 0 && (end = memchr(line, '\n', have - (size_t)(line - text))); line = end + 1) {
            struct mqxi_mount m;

            *end = 0;
            if (!skip && parse(line, &m))
                r = each(&m, arg);
            skip = false;
        }
        have -= (size_t)(line - text);
        memmove(text, line, have);
        if (have == sizeof(text) - 1) {
            skip = true;
            have = 0;
        }
    }
    mqxi_sys_close(fd);
    return r;
}

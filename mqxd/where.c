/* Where the store is: for mqxd, and for who looks at what it keeps. */
#include "where.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

static int default_store(char *out)
{
    const char *home = getenv("HOME"), *state = getenv("XDG_STATE_HOME");
    const struct passwd *user;

    if (geteuid() == 0)
        return snprintf(out, PATH_MAX, "/var/lib/mqx");
    if (state && state[0] == '/')
        return snprintf(out, PATH_MAX, "%s/mqx", state);
    if (!home || !*home) {
        user = getpwuid(geteuid());
        home = user ? user->pw_dir : NULL;
    }
    return home ? snprintf(out, PATH_MAX, "%s/.local/state/mqx", home) : -1;
}

int where_store(const char *option, char *out)
{
    const char *given = option ? option : getenv("MQX_STORE");
    int n = given && *given ? snprintf(out, PATH_MAX, "%s", given) : default_store(out);

    if (n >= 0 && n < PATH_MAX)
        return 0;
    say("no place for the store: give one with --store");
    return -EINVAL;
}

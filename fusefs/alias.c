/*
 * A message that was moved has another name in its new place than mv gave it there.
 * mv looks for it under the one it gave: so that name leads to it, too, for the last
 * few that were moved.
 */
#include "alias.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALIASES 256u

static struct {
    uint64_t queue, key;
    char *name;
} alias[ALIASES];
static unsigned newest;

void alias_note(uint64_t queue, const char *name, uint64_t key)
{
    newest = (newest + 1) % ALIASES;
    free(alias[newest].name);
    alias[newest].queue = queue;
    alias[newest].key = key;
    alias[newest].name = strdup(name); /* NULL: mv will complain */
}

int alias_find(uint64_t queue, const char *name, uint64_t *key)
{
    for (unsigned i = 0; i < ALIASES; i++) {
        unsigned n = (newest + ALIASES - i) % ALIASES;

        if (alias[n].name && alias[n].queue == queue && strcmp(alias[n].name, name) == 0) {
            *key = alias[n].key;
            return 0;
        }
    }
    return -ENOENT;
}

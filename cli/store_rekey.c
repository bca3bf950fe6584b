/*
 * mqx store: its keys, and rekey.  A new key becomes the first line of the key
 * file; when all is encrypted with it the old one can go.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../mqxd/log.h"
#include "cli.h"
#include "conf.h"
#include "store.h"

int store_keys_find(const char *file, struct keys **out)
{
    struct mqxi_conf_mqxd mine = {.key_file = ""};
    int r = 0;

    *out = NULL;
    if (!file)
        r = mqxi_conf_mqxd(&mine);
    return r < 0 ? r : keys_load(file ? file : mine.key_file, out);
}

int store_rekeyed(const char *dir, const char *key_file)
{
    struct store *s = NULL;
    struct inspect there;
    struct keys *keys;
    uint64_t done = 0;
    int r = inspect_open(dir, &there); /* else one would be made */

    if (r < 0)
        return EXIT_FAILED;
    inspect_close(&there);
    r = store_keys_find(key_file, &keys);
    if (r == 0 && !keys) {
        say("store %s: there is no key to encrypt it with: give --key-file, or key_file in "
            "mqx.conf",
            dir);
        r = -1;
    }
    if (r == 0)
        r = store_open(dir, &s);
    if (r == 0)
        r = store_keys(s, keys, true);
    if (r == 0)
        r = store_rekey(s, &done);
    if (r == 0)
        r = store_finish(s);
    if (s)
        store_close(s);
    keys_free(keys);
    if (r < 0)
        return EXIT_FAILED;
    printf("%s: encrypted anew, messages: %" PRIu64 "\n", dir, done);
    return EXIT_DONE;
}

/*
 * A key file is 32 bytes, or lines of 64 hexadecimal digits: then the first key
 * is for what is written from now on, and the others are for what is there.
 *
 * Where others could read the file there would be no secret: it is refused.
 * Keys are kept in memory of libsodium's, which is not swapped nor dumped, and
 * what was read of the file is wiped.
 */
#include "keys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define CREDENTIAL "mqx-key"
#define MOST       32

static_assert(sizeof(((struct key *)0)->secret) == crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
              "a key of the cipher");
static_assert(crypto_kdf_KEYBYTES == 32, "what is in the file");

struct keys {
    char source[PATH_MAX];
    size_t count;
    struct key key[MOST];
};

/* The record key and its id are both derived, so that the id tells nothing of the key. */
static bool add(struct keys *keys, const uint8_t *master)
{
    static const char context[crypto_kdf_CONTEXTBYTES + 1] = "mqxstore";
    struct key *k = &keys->key[keys->count];
    uint8_t id[crypto_kdf_BYTES_MIN];

    if (keys->count == MOST)
        return false;
    crypto_kdf_derive_from_key(k->secret, sizeof(k->secret), 1, context, master);
    crypto_kdf_derive_from_key(id, sizeof(id), 2, context, master);
    memcpy(k->id, id, KEY_ID);
    if (!keys_find(keys, k->id))
        keys->count++;
    return true;
}

/* NULL, or what is wrong. */
static const char *parse_line(struct keys *keys, const char *line, size_t len)
{
    uint8_t master[32];
    size_t got;
    bool good;

    while (len && strchr(" \t\r", line[len - 1]))
        len--;
    if (len == 0 || line[0] == '#')
        return NULL;
    good = len == 2 * sizeof(master) &&
           sodium_hex2bin(master, sizeof(master), line, len, NULL, &got, NULL) == 0 &&
           got == sizeof(master);
    if (good)
        good = add(keys, master);
    sodium_memzero(master, sizeof(master));
    return good ? NULL
                : "it must be 32 bytes, or lines of 64 hexadecimal digits, at most 32 of them";
}

static const char *parse(struct keys *keys, const char *text, size_t size)
{
    const char *why = NULL;

    if (size == 32) {
        add(keys, (const uint8_t *)text);
        return NULL;
    }
    while (!why && size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t len = end ? (size_t)(end - text) : size;

        why = parse_line(keys, text, len);
        text += len + (end != NULL);
        size -= len + (end != NULL);
    }
    return why || keys->count ? why : "there is no key in it";
}

/* Of a credential the group's bits are the mask of an access control list, made by systemd. */
static const char *unsafe(const struct stat *st, bool credential)
{
    if (!S_ISREG(st->st_mode))
        return "it is no file";
    if (st->st_mode & (credential ? 007u : 077u))
        return "others can read or write it: chmod 600 it, and think of a new key";
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return "it belongs to another user";
    return NULL;
}

static int read_text(int fd, char *text, size_t room, size_t *size)
{
    ssize_t n = 1;

    for (*size = 0; n > 0 && *size<room; *size += n> 0 ? (size_t)n : 0)
        n = read(fd, text + *size, room - *size);
    return n < 0 ? -errno : 0;
}

static int read_keys(struct keys *keys, bool credential)
{
    char text[(2 * 32 + 2) * MOST * 2];
    int fd = open(keys->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r = 0;
    const char *why = NULL;
    struct stat st;
    size_t size = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        r = -errno;
    else
        why = unsafe(&st, credential);
    if (r == 0 && !why)
        r = read_text(fd, text, sizeof(text), &size);
    if (r == 0 && !why)
        why = size == sizeof(text) ? "it is too large" : parse(keys, text, size);
    sodium_memzero(text, sizeof(text));
    if (fd >= 0)
        close(fd);
    if (r < 0 || why)
        say("key file %s: %s", keys->source, why ? why : strerror(-r));
    return why ? -EINVAL : r;
}

/* False: there is none. */
static bool find_source(const char *file, char *path, bool *credential)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");

    *credential = !file || !*file;
    if (!*credential)
        return snprintf(path, PATH_MAX, "%s", file) < PATH_MAX;
    return dir && snprintf(path, PATH_MAX, "%s/" CREDENTIAL, dir) < PATH_MAX &&
           access(path, F_OK) == 0;
}

int keys_load(const char *file, struct keys **out)
{
    char path[PATH_MAX];
    bool credential;
    struct keys *keys;
    int r;

    *out = NULL;
    if (!find_source(file, path, &credential))
        return 0;
    if (sodium_init() < 0) {
        say("libsodium cannot be used");
        return -EIO;
    }
    keys = sodium_malloc(sizeof(*keys));
    if (!keys) {
        say("not enough memory for keys");
        return -ENOMEM;
    }
    keys->count = 0;
    memcpy(keys->source, path, sizeof(path));
    r = read_keys(keys, credential);
    if (r < 0)
        keys_free(keys);
    else
        *out = keys;
    return r;
}

void keys_free(struct keys *keys)
{
    sodium_free(keys); /* wipes it */
}

const char *keys_source(const struct keys *keys)
{
    return keys ? keys->source : "no key is given (key_file in mqx.conf)";
}

const struct key *keys_first(const struct keys *keys)
{
    return keys ? &keys->key[0] : NULL;
}

const struct key *keys_find(const struct keys *keys, const uint8_t *id)
{
    for (size_t i = 0; keys && i < keys->count; i++)
        if (memcmp(keys->key[i].id, id, KEY_ID) == 0)
            return &keys->key[i];
    return NULL;
}

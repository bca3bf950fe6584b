/* The keys that messages in the store are encrypted with: from a file, or a systemd credential. */
#ifndef MQXD_KEYS_H
#define MQXD_KEYS_H

#include <stddef.h>
#include <stdint.h>

#define KEY_ID 8

struct key {
    uint8_t id[KEY_ID]; /* tells which key it is, and nothing about it */
    uint8_t secret[32];
};

struct keys;

/* Read them: of this file, or (NULL, "") of the credential.  *out NULL: there is neither.  0 or
 * -errno, said. */
int keys_load(const char *file, struct keys **out);
/* Wipes them. */
void keys_free(struct keys *keys);

/* Where they are from; of none, what to do about it. */
const char *keys_source(const struct keys *keys);
/* That of new records; keys may be NULL, as may what is returned. */
const struct key *keys_first(const struct keys *keys);
const struct key *keys_find(const struct keys *keys, const uint8_t *id);

#endif

/*
 * XChaCha20-Poly1305, with a random nonce for each record: 192 bits of it do not
 * come again.  Beside what is encrypted the tag is for the queue's uuid, the slot,
 * the message's key (its priority and its place in the order) and which key it was
 * encrypted with: a record that was put into another slot, or queue, or given
 * another priority is as good as one that was changed.
 *
 * What stays readable is that: how many messages a queue has, how large they
 * are, and their order.
 */
#include "seal.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define AD (sizeof(struct message_key) + 8 + KEY_ID)

static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == 24, "nonce");
static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == SEAL_TAG, "tag");

static const uint8_t check_ad[] = "mqx key check"; /* of another length than AD */
static_assert(sizeof(check_ad) != AD, "no check is a record");

static void bind(uint8_t *ad, const struct message_key *where, const struct sealed_record *head)
{
    memcpy(ad, where, sizeof(*where));
    memcpy(ad + sizeof(*where), &head->key, 8);
    memcpy(ad + sizeof(*where) + 8, head->id, KEY_ID);
}

size_t seal_size(size_t len)
{
    return sizeof(struct sealed_record) + sizeof(struct seal_inside) + len + SEAL_TAG;
}

void seal_message(const struct key *k, const struct message_key *where,
                  const struct mqxi_snapshot *m, const void *data, uint8_t *out)
{
    struct seal_inside inside = {m->sent_ns, m->type, m->pid, m->uid};
    struct sealed_record head = {.key = m->key | SEALED};
    uint8_t ad[AD], *text = out + sizeof(head);

    memcpy(head.id, k->id, KEY_ID);
    randombytes_buf(head.nonce, sizeof(head.nonce));
    bind(ad, where, &head);
    memcpy(out, &head, sizeof(head));
    memcpy(text, &inside, sizeof(inside));
    memcpy(text + sizeof(inside), data, m->len);
    crypto_aead_xchacha20poly1305_ietf_encrypt(text, NULL, text, sizeof(inside) + m->len, ad, AD,
                                               NULL, head.nonce, k->secret);
}

bool seal_is(const MDB_val *value)
{
    uint64_t key;

    if (value->mv_size < sizeof(struct message_record))
        return false;
    memcpy(&key, value->mv_data, sizeof(key));
    return key & SEALED;
}

const uint8_t *seal_id(const MDB_val *value)
{
    return (const uint8_t *)value->mv_data + offsetof(struct sealed_record, id);
}

const char *seal_open(const struct keys *keys, const MDB_val *key, const MDB_val *value,
                      struct mqxi_snapshot *m, uint8_t *buffer, const void **data)
{
    const struct key *k = keys_find(keys, seal_id(value));
    struct message_key where;
    struct sealed_record head;
    struct seal_inside inside;
    uint8_t ad[AD];

    if (!k)
        return "a message is encrypted, and its key is not there";
    memcpy(&where, key->mv_data, sizeof(where));
    memcpy(&head, value->mv_data, sizeof(head));
    bind(ad, &where, &head);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            buffer, NULL, NULL, (const uint8_t *)value->mv_data + sizeof(head),
            value->mv_size - sizeof(head), ad, AD, head.nonce, k->secret) != 0)
        return "an encrypted message was changed, or is another slot's or queue's";
    memcpy(&inside, buffer, sizeof(inside));
    m->sent_ns = inside.sent_ns;
    m->type = inside.type;
    m->pid = inside.pid;
    m->uid = inside.uid;
    *data = buffer + sizeof(inside);
    return NULL;
}

void seal_make_check(const struct key *key, struct seal_check *out)
{
    randombytes_buf(out->nonce, sizeof(out->nonce));
    crypto_aead_xchacha20poly1305_ietf_encrypt(out->tag, NULL, NULL, 0, check_ad, sizeof(check_ad),
                                               NULL, out->nonce, key->secret);
}

bool seal_check_is(const struct key *key, const MDB_val *value)
{
    struct seal_check check;

    if (value->mv_size != sizeof(check))
        return false;
    memcpy(&check, value->mv_data, sizeof(check));
    return crypto_aead_xchacha20poly1305_ietf_decrypt(NULL, NULL, NULL, check.tag, SEAL_TAG,
                                                      check_ad, sizeof(check_ad), check.nonce,
                                                      key->secret) == 0;
}

const char *seal_id_text(const uint8_t *id)
{
    static char text[2 * KEY_ID + 1];

    return sodium_bin2hex(text, sizeof(text), id, KEY_ID);
}

struct key_name seal_check_name(const uint8_t *id)
{
    struct key_name name = {.text = {'k', 'e', 'y', ' '}};

    memcpy(name.id, id, KEY_ID);
    return name;
}

bool seal_is_check(const MDB_val *name)
{
    return name->mv_size == sizeof(struct key_name) && memcmp(name->mv_data, "key ", 4) == 0;
}

/* What is wrong with one. */
static const char *refuse(const struct keys *keys, const uint8_t *id, const MDB_val *value)
{
    static char why[PATH_MAX + 150];
    const struct key *key = keys_find(keys, id);

    if (key && seal_check_is(key, value))
        return NULL;
    if (key)
        snprintf(why, sizeof(why), "its check of key %s is damaged", seal_id_text(id));
    else
        snprintf(why, sizeof(why), "it has messages that are encrypted with key %s, and %s%s",
                 seal_id_text(id), keys_source(keys), keys ? " does not have that one" : "");
    return why;
}

const char *seal_check_store(MDB_txn *txn, MDB_dbi meta, const struct keys *keys, int *error)
{
    const char *why = NULL;
    MDB_val name, value;
    MDB_cursor *c;

    *error = mdb_cursor_open(txn, meta, &c);
    if (*error)
        return NULL;
    while (!why && (*error = mdb_cursor_get(c, &name, &value, MDB_NEXT)) == 0)
        if (seal_is_check(&name))
            why = refuse(keys, (const uint8_t *)name.mv_data + 4, &value);
    if (*error == MDB_NOTFOUND)
        *error = 0;
    mdb_cursor_close(c);
    return why;
}

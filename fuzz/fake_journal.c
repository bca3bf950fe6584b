/* Journals with anything in them, but with checks that are right. */
#define XXH_INLINE_ALL
#include "fake_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "journal.h"
#include "must.h"

#define PAGE 4096u

uint64_t eat(struct input *in, size_t bytes)
{
    uint64_t value = 0;

    if (bytes > in->left)
        bytes = in->left;
    memcpy(&value, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
    return value;
}

MDB_val eat_bytes(struct input *in, size_t bytes)
{
    MDB_val v = {bytes < in->left ? bytes : in->left, (void *)(uintptr_t)in->at};

    in->at += v.mv_size;
    in->left -= v.mv_size;
    return v;
}

/* The change's key is one of the good store's, or anything; so is how long it says that it is. */
static size_t put_change(uint8_t *to, size_t room, struct input *in)
{
    struct journal_head head = {0};
    unsigned how = (unsigned)eat(in, 1);
    MDB_val value = {0, (void *)(uintptr_t) ""}, key;

    if (how % 4) {
        memset(head.key.uuid, 1 + how % 3, 16);
        head.key.slot[3] = (uint8_t)(how / 4);
    } else {
        key = eat_bytes(in, sizeof(head.key));
        memcpy(&head.key, key.mv_data, key.mv_size);
    }
    how = (unsigned)eat(in, 1);
    if (how % 4)
        value = eat_bytes(in, eat(in, 1));
    if (sizeof(head) + value.mv_size > room)
        return 0;
    head.len = how % 4 == 0    ? JOURNAL_REMOVED
               : how / 4 == 63 ? (uint32_t)eat(in, 4)
                               : (uint32_t)value.mv_size;
    memcpy(to, &head, sizeof(head));
    memcpy(to + sizeof(head), value.mv_data, value.mv_size);
    return sizeof(head) + value.mv_size;
}

/* A record of some changes, which says of itself what is so, unless the input has it otherwise;
 * where the next one goes. */
static size_t put_journal_record(uint8_t *image, size_t at, size_t size, struct input *in)
{
    struct journal_record record = {.nonce = FAKE_NONCE};
    const size_t from = offsetof(struct journal_record, bytes);
    unsigned how = (unsigned)eat(in, 1);
    uint8_t *begin = image + at;

    at += sizeof(record);
    for (unsigned n = how % 8; n > 0 && in->left > 0; n--, record.changes++)
        at += put_change(image + at, size - at, in);
    record.bytes = (uint32_t)(image + at - begin - sizeof(record));
    switch (how / 8) {
    case 31:
        record.bytes = (uint32_t)eat(in, 4);
        break;
    case 30:
        record.changes = (uint32_t)eat(in, 4);
        break;
    case 29:
        record.nonce ^= eat(in, 8);
        break;
    }
    memcpy(begin, &record, sizeof(record));
    if (record.bytes <= (size_t)(image + size - begin) - sizeof(record))
        record.check =
            XXH3_64bits_withSeed(begin + from, sizeof(record) - from + record.bytes, record.nonce) ^
            (how / 8 == 28);
    memcpy(begin, &record, sizeof(record));
    return (at + PAGE - 1) & ~(size_t)(PAGE - 1);
}

void fake_journal(const char *dir, struct input *in)
{
    static uint8_t image[32 * PAGE];
    size_t size = eat(in, 1) % 33 * PAGE, at = 0;
    char path[PATH_MAX + 16];
    int fd;

    memset(image, 0, sizeof(image));
    while (in->left > 0 && at + sizeof(struct journal_record) <= size)
        at = put_journal_record(image, at, size, in);
    snprintf(path, sizeof(path), "%s/" JOURNAL_FILE, dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, image, size) == (ssize_t)size, path, errno);
    close(fd);
}

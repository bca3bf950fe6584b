/* Changing inputs record by record: libFuzzer's own mutations would shift what follows. */
#include <string.h>

#include "damage.h"

#define HEAD   sizeof(struct damage_head)
#define RECORD sizeof(struct damage_record)

static unsigned next(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static struct damage_record any_record(unsigned *seed)
{
    struct damage_record r = {.offset = (uint16_t)next(seed), .value = next(seed)};

    if (next(seed) % 2) {
        r.what = (uint8_t)(DAMAGE_OPERATION | next(seed));
    } else {
        r.what = (uint8_t)(next(seed) % DAMAGE_HOWS | (next(seed) & 0x70u));
        r.region = (uint8_t)(next(seed) % DAMAGE_PLACES);
        if (next(seed) % 4) /* near the start: the structures are small */
            r.offset %= 64;
    }
    if (next(seed) % 4 == 0)
        r.value |= (uint64_t)next(seed) << 24 | (uint64_t)next(seed) << 44;
    return r;
}

static size_t insert(uint8_t *data, size_t size, size_t most, unsigned *seed)
{
    size_t n = (size - HEAD) / RECORD, at = HEAD + next(seed) % (n + 1) * RECORD;
    struct damage_record r = any_record(seed);

    if (size + RECORD > most)
        return size;
    memmove(data + at + RECORD, data + at, size - at);
    memcpy(data + at, &r, RECORD);
    return size + RECORD;
}

static void change(uint8_t *record, unsigned *seed, size_t (*mutate)(uint8_t *, size_t, size_t))
{
    struct damage_record r, other = any_record(seed);

    memcpy(&r, record, RECORD);
    switch (next(seed) % 6) {
    case 0:
        r.what = other.what;
        break;
    case 1:
        r.region = other.region;
        break;
    case 2:
        r.offset = other.offset;
        break;
    case 3:
        r.offset = (uint16_t)(r.offset + next(seed) % 5 - 2);
        break;
    case 4:
        r.value = other.value;
        break;
    default:
        mutate((uint8_t *)&r.value, 8, 8);
    }
    memcpy(record, &r, RECORD);
}

static size_t change_records(uint8_t *data, size_t size, size_t most, unsigned *seed,
                             size_t (*mutate)(uint8_t *, size_t, size_t))
{
    size_t n = (size - HEAD) / RECORD;
    uint8_t *a = data + HEAD + next(seed) % (n ? n : 1) * RECORD;
    uint8_t *b = data + HEAD + next(seed) % (n ? n : 1) * RECORD, copy[RECORD];

    if (n == 0)
        return insert(data, size, most, seed);
    switch (next(seed) % 8) {
    case 0: /* without this one */
        memmove(a, a + RECORD, size - (size_t)(a + RECORD - data));
        return size - RECORD;
    case 1: /* in another order */
        memcpy(copy, a, RECORD);
        memcpy(a, b, RECORD);
        memcpy(b, copy, RECORD);
        return size;
    case 2: /* the same again */
        if (size + RECORD <= most)
            memcpy(data + size, a, RECORD);
        return size + RECORD <= most ? size + RECORD : size;
    case 3:
    case 4:
        return insert(data, size, most, seed);
    default:
        change(a, seed, mutate);
        return size;
    }
}

size_t damage_mutate(uint8_t *data, size_t size, size_t most, unsigned seed,
                     size_t (*mutate)(uint8_t *data, size_t size, size_t most))
{
    if (most < HEAD + RECORD)
        return size;
    if (size < HEAD) {
        memset(data + size, 0, HEAD - size);
        size = HEAD;
    }
    size -= (size - HEAD) % RECORD;
    if (next(&seed) % 8 == 0) {
        data[next(&seed) % HEAD] = (uint8_t)next(&seed);
        return size;
    }
    for (unsigned i = next(&seed) % 4; i > 0; i--)
        size = change_records(data, size, most, &seed, mutate);
    return change_records(data, size, most, &seed, mutate);
}

/* The first records of one, then some of the other. */
size_t damage_cross(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
                    size_t most, unsigned seed)
{
    size_t an = a_size < HEAD ? 0 : (a_size - HEAD) / RECORD;
    size_t bn = b_size < HEAD ? 0 : (b_size - HEAD) / RECORD;
    size_t keep = next(&seed) % (an + 1), skip = next(&seed) % (bn + 1);
    size_t size = HEAD + keep * RECORD, add = (bn - skip) * RECORD;

    if (a_size < HEAD || b_size < HEAD || size > most)
        return 0;
    if (add > most - size)
        add = (most - size) / RECORD * RECORD;
    memcpy(out, a, size);
    memcpy(out + size, b + HEAD + skip * RECORD, add);
    return size + add;
}

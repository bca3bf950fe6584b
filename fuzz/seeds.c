/*
 * Writes the seeds of fuzz/corpus/segment: `make corpus` makes them anew when the
 * format changes.  Each damages one thing, and then uses the queue in every way;
 * its name says what.
 *
 *     seeds DIRECTORY
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "damage.h"

struct field {
    const char *name;
    size_t offset;
};
#define FIELD(type, field) {#field, offsetof(struct type, field)}

static const struct field header[] = {
    FIELD(mqxi_header, magic),        FIELD(mqxi_header, version),
    FIELD(mqxi_header, kind),         FIELD(mqxi_header, fingerprint),
    FIELD(mqxi_header, maxmsg),       FIELD(mqxi_header, msgsize),
    FIELD(mqxi_header, uuid),         FIELD(mqxi_header, created_ns),
    FIELD(mqxi_header, mode),         FIELD(mqxi_header, durable),
    FIELD(mqxi_header, sequence),     FIELD(mqxi_header, recv_event),
    FIELD(mqxi_header, send_cpu),     FIELD(mqxi_header, last_send_ns),
    FIELD(mqxi_header, send_event),   FIELD(mqxi_header, recv_cpu),
    FIELD(mqxi_header, last_recv_ns), FIELD(mqxi_header, reserved),
    FIELD(mqxi_header, free_word),    FIELD(mqxi_header, last_sweep),
    FIELD(mqxi_header, front_used),   FIELD(mqxi_header, commit_event),
    FIELD(mqxi_header, dirty),        FIELD(mqxi_header, fifo),
};
static const struct field slot[] = {
    FIELD(mqxi_slot, disk_key), FIELD(mqxi_slot, type), FIELD(mqxi_slot, key),
    FIELD(mqxi_slot, len),      FIELD(mqxi_slot, room), FIELD(mqxi_slot, pid),
    FIELD(mqxi_slot, sent_ns),
};
#define LENGTH(list) (sizeof(list) / sizeof(*(list)))

/* Shapes of damage.c: maxmsg, msgsize, durable. */
enum { ONE, THREE, FRONT, ONE_BEHIND, TREE2, TREE300, TREE3, DEEP };
enum { TINY, INLINE, OVERFLOW, LARGE };
#define SHAPE(maxmsg, msgsize, durable) ((uint8_t)((maxmsg) + 8 * (msgsize) + 32 * (durable)))

static const char *directory;
static unsigned written;

/* An operation; `what` counts modulo 16 in every target. */
static struct damage_record operation(unsigned what, unsigned region, unsigned offset,
                                      uint64_t value)
{
    return (struct damage_record){.what = (uint8_t)(DAMAGE_OPERATION | what),
                                  .region = (uint8_t)region,
                                  .offset = (uint16_t)offset,
                                  .value = value};
}

/* Each once, with different arguments.  Region 77: what ends a queue is done, too. */
static void write_operations(FILE *f, bool end)
{
    for (unsigned i = 0; i < 16; i++) {
        struct damage_record r =
            operation(i, end ? 77 : i % 2 ? 15 : 28, i * 7, end ? i / 4 * MQXI_PAGE : i * 13);

        fwrite(&r, sizeof(r), 1, f);
    }
}

static void seed(const char *name, uint8_t shape, uint8_t messages, const struct damage_record *r,
                 unsigned records)
{
    const struct damage_head head = {.shape = shape, .messages = messages};
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    f = fopen(path, "w");
    if (!f) {
        fprintf(stderr, "seeds: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    fwrite(&head, sizeof(head), 1, f);
    fwrite(r, sizeof(*r), records, f);
    if (records == 1) /* some of them mend what several lies agree on */
        write_operations(f, false);
    if (strncmp(name, "end", 3) == 0)
        write_operations(f, true);
    if (fclose(f) != 0)
        exit(1);
    written++;
}

static struct damage_record record(enum damage_how how, unsigned region, size_t byte,
                                   uint64_t value)
{
    return (struct damage_record){.what = (uint8_t)((unsigned)how | (byte % 8) << 4),
                                  .region = (uint8_t)region,
                                  .offset = (uint16_t)(byte / 8),
                                  .value = value};
}

static void one(const char *name, unsigned n, uint8_t shape, uint8_t messages,
                struct damage_record r)
{
    char numbered[100];

    snprintf(numbered, sizeof(numbered), "%s-%u", name, n);
    seed(numbered, shape, messages, &r, 1);
}

/* A field, with what is next to its limits, and with nonsense. */
static void field(const char *of, const struct field *f, unsigned region, size_t base,
                  uint8_t shape)
{
    static const uint64_t sizes[] = {0, 11, 20}; /* 0, maxmsg + 1, all ones */
    char name[80];

    snprintf(name, sizeof(name), "%s-%s", of, f->name);
    for (unsigned i = 0; i < LENGTH(sizes); i++)
        one(name, i, shape, 70, record(DAMAGE_FEW, region, base + f->offset, sizes[i]));
}

static void headers(void)
{
    for (unsigned i = 0; i < LENGTH(header); i++) {
        field("header", &header[i], DAMAGE_HEADER, 0, SHAPE(TREE2, OVERFLOW, 2));
        one("header-telling", i, SHAPE(THREE, INLINE, 1), 2,
            record(DAMAGE_TELLING, DAMAGE_HEADER, header[i].offset, 2 + i % 12));
    }
}

static void control_words(void)
{
    for (unsigned value = 0; value < 20; value++) {
        one("ctl-front", value, SHAPE(FRONT, INLINE, 1), 60,
            record(DAMAGE_TELLING, DAMAGE_CTL, 8 * 3, value));
        one("ctl-behind", value, SHAPE(TREE2, TINY, 0), 99,
            record(DAMAGE_TELLING, DAMAGE_CTL, 8 * 70, value));
    }
}

static void bitmaps(void)
{
    for (unsigned region = DAMAGE_USED; region <= DAMAGE_DIRTY; region++)
        for (unsigned word = 0; word < 2; word++) {
            one(region == DAMAGE_USED ? "used-set" : "dirty-set", word, SHAPE(TREE2, TINY, 1), 80,
                record(DAMAGE_WORD, region, 8 * word, UINT64_MAX));
            one(region == DAMAGE_USED ? "used-clear" : "dirty-clear", word,
                SHAPE(TREE2, TINY, 1), 80, record(DAMAGE_WORD, region, 8 * word, 0));
        }
}

/* Each half of a node of each level. */
static void nodes(void)
{
    struct mqxi_attr attr = damage_shape(SHAPE(TREE3, TINY, 0)), two;
    struct mqxi_layout l;
    char name[80];

    if (mqxi_layout(attr.maxmsg, attr.msgsize, &l) < 0)
        exit(1);
    for (unsigned level = 0; level < l.levels; level++)
        for (unsigned half = 0; half < 2; half++)
            for (unsigned value = 0; value < 20; value += half ? 5 : 2) {
                snprintf(name, sizeof(name), "tree-%u-%s", level, half ? "where" : "key");
                one(name, value, SHAPE(TREE3, TINY, 0), 200,
                    record(DAMAGE_TELLING, DAMAGE_TREE, l.level[level] - l.tree + 8 * half, value));
            }
    two = damage_shape(SHAPE(TREE2, TINY, 0));
    if (mqxi_layout(two.maxmsg, two.msgsize, &l) < 0)
        exit(1);
    for (unsigned level = 0; level < l.levels; level++)
        for (unsigned n = 0; n < 3; n++) /* a key, and a slot that is not below it, or is none */
            one("tree-lie", level * 3 + n, SHAPE(TREE2, TINY, 0), 99,
                record(DAMAGE_NODE, DAMAGE_TREE, l.level[level] - l.tree,
                       n == 0   ? 3
                       : n == 1 ? 99
                                : (1u << MQXI_NODE_SLOT_BITS) - 12));
}

static void slots(void)
{
    struct mqxi_layout l;

    for (unsigned i = 0; i < LENGTH(slot); i++) {
        struct mqxi_attr attr = damage_shape(SHAPE(ONE_BEHIND, LARGE, 1));

        if (mqxi_layout(attr.maxmsg, attr.msgsize, &l) < 0)
            exit(1);
        /* The message in slot 4 is the first to be received, and lies in the overflow area. */
        field("slot", &slot[i], DAMAGE_SLOTS, 4 * (size_t)l.stride, SHAPE(ONE_BEHIND, LARGE, 1));
        field("slot-behind", &slot[i], DAMAGE_SLOTS, 64 * (size_t)l.stride,
              SHAPE(ONE_BEHIND, LARGE, 1));
    }
}

/* An owned control word that tree and slot confirm. */
static void agreed(void)
{
    struct damage_record r[3];
    struct mqxi_attr attr = damage_shape(SHAPE(ONE_BEHIND, TINY, 0));
    struct mqxi_layout l;

    if (mqxi_layout(attr.maxmsg, attr.msgsize, &l) < 0)
        exit(1);
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t value = i == 0 ? 4 : i == 1 ? 5 : 9; /* of one that lives: not repaired */
        char name[40];

        r[0] = record(DAMAGE_TELLING, DAMAGE_CTL, 8 * 64, value);
        r[1] = record(DAMAGE_TELLING, DAMAGE_TREE, 0, value);
        r[2] = record(DAMAGE_TELLING, DAMAGE_SLOTS,
                      64 * (size_t)l.stride + offsetof(struct mqxi_slot, key), value);
        snprintf(name, sizeof(name), "agreed-%u", i);
        seed(name, SHAPE(ONE_BEHIND, TINY, 0), 65, r, 3);
    }
}

/* A leaf shows a key that is smaller than all, with a slot that is not below it: whoever refreshes
 * that slot's path does not come by. */
static void loop(void)
{
    struct mqxi_attr attr = damage_shape(SHAPE(TREE2, TINY, 0));
    struct damage_record r[4];
    struct mqxi_layout l;

    if (mqxi_layout(attr.maxmsg, attr.msgsize, &l) < 0)
        exit(1);
    for (unsigned level = 0; level < 2; level++) {
        size_t at = l.level[level] - l.tree;

        r[2 * level] = record(DAMAGE_WORD, DAMAGE_TREE, at, 5);
        r[2 * level + 1] = record(DAMAGE_WORD, DAMAGE_TREE, at + 8, 97);
    }
    seed("tree-loop", SHAPE(TREE2, TINY, 0), 99, r, 4);
}

/* In mqxfs: empty writes to a full queue wait, and are interrupted, or there is room. */
static void parked(void)
{
    const struct damage_record r[] = {
        operation(0, 0, 0, 0), operation(5, 0, 0, 0),  operation(5, 0, 0, 0),
        operation(5, 0, 0, 9), operation(12, 1, 0, 0), operation(14, 0, 0, 2),
        operation(14, 0, 0, 2), operation(1, 0, 0, 0),
    };

    seed("parked", SHAPE(ONE, INLINE, 0), 1, r, LENGTH(r));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: seeds DIRECTORY\n", stderr);
        return 2;
    }
    directory = argv[1];
    for (unsigned i = 0; i < 8; i++)
        one("sound", i, SHAPE(i, i % 4, i % 3), 90, record(DAMAGE_FLIP, 0, 0, 0));
    headers();
    control_words();
    bitmaps();
    nodes();
    slots();
    agreed();
    loop();
    parked();
    for (unsigned i = 0; i < 3; i++)
        one("end", i, SHAPE(TREE2, LARGE, i), 80, record(DAMAGE_FLIP, 0, 0, 0));
    for (unsigned i = 0; i < 9; i++)
        one("bell", i, SHAPE(THREE, TINY, 1), 3,
            record(DAMAGE_ANYWHERE, DAMAGE_BELL, i < 6 ? 8 * i : 8 * 0xff00u, 4095 * (i - 5)));
    printf("%u seeds\n", written);
    return 0;
}

/*
 * Damaged queues, written in a few bytes: what the fuzzers' inputs, the corpus
 * and the sweeps share.
 *
 * An input is a head and records:
 *
 *     head     shape | messages | seed | 0          four bytes
 *     record   what | region | offset | value       1 + 1 + 2 + 8 bytes, little endian
 *
 * `what` above 127 is an operation, which each target reads in its own way;
 * below, it damages a word of the segment: bits 0 to 3 say how (enum damage_how),
 * bits 4 to 6 choose the byte in the word.  `offset` counts words, from the start
 * of the region, and round it.  Damage before the first operation is there when
 * the queue is opened; later damage is done to it while it is in use.
 */
#ifndef FUZZ_DAMAGE_H
#define FUZZ_DAMAGE_H

#include "segment.h"

struct damage_head {
    uint8_t shape, messages, seed, zero;
};

struct damage_record {
    uint8_t what, region;
    uint16_t offset;
    uint64_t value;
} __attribute__((packed));

#define DAMAGE_OPERATION 0x80u

enum damage_how {
    DAMAGE_BYTE,     /* = value */
    DAMAGE_FLIP,     /* ^= value */
    DAMAGE_ANYWHERE, /* eight bytes, not aligned */
    DAMAGE_HALF,     /* a 32-bit half of the word = value */
    DAMAGE_WORD,     /* = value */
    DAMAGE_TELLING,  /* = a value that means something */
    DAMAGE_COPY,     /* = a word from elsewhere: region and offset in value */
    DAMAGE_NODE,     /* two words = a key and its slot: a tree node that looks right */
    DAMAGE_ADD,      /* += a small number, with sign */
    DAMAGE_FEW,      /* the half = a telling size */
    DAMAGE_STRETCH,  /* 64 words = value */
    DAMAGE_HOWS
};

enum damage_region {
    DAMAGE_HEADER,
    DAMAGE_CTL,
    DAMAGE_USED,
    DAMAGE_DIRTY,
    DAMAGE_TREE,
    DAMAGE_SLOTS,
    DAMAGE_OVERFLOW,
    DAMAGE_REGIONS,
    DAMAGE_BELL = DAMAGE_REGIONS, /* mqxd's doorbell, where there is one */
    DAMAGE_PLACES
};

struct damage_input {
    const uint8_t *at;
    size_t left;
};

/* The head, and the attributes that its shape stands for. */
struct damage_head damage_head(struct damage_input *in, struct mqxi_attr *attr);
/* The next record; false: there is none. */
bool damage_next(struct damage_input *in, struct damage_record *out);

#define DAMAGE_SHAPES (8u * 4u * 3u)
struct mqxi_attr damage_shape(uint8_t which);
/* First byte and length of a region. */
uint64_t damage_region(const struct mqxi_layout *l, unsigned region, uint64_t *length);

/*
 * Make the queue that the head describes, with its messages, and do what comes
 * before the first operation to it; the first operation stays in *in.  name:
 * without slash.  fifo: PATH_MAX bytes, where its FIFO lies.
 */
void damage_build(struct damage_input *in, const char *name, char *fifo);
/* The same without damage. */
void damage_fill(const struct mqxi_attr *attr, unsigned messages, const char *name, char *fifo);
/* Do it to the queue. */
void damage_do(struct mqxi_queue *q, const struct damage_record *d);

/* A fresh doorbell, as mqxd makes it. */
void damage_make_bell(void);

/* For what must be so: says it and aborts. */
void damage_must(bool ok, const char *what, long got);
/* 0, -EBADMSG, -EIO, or what else may be: a damaged queue is no excuse for another error. */
bool damage_may(long r, int other);
/* The same of mq_open: the mode may be damaged, too, which refuses who is not root. */
bool damage_may_open(long r, int other);

/* libFuzzer's: how inputs are changed and crossed, record by record. */
size_t damage_mutate(uint8_t *data, size_t size, size_t most, unsigned seed,
                     size_t (*mutate)(uint8_t *data, size_t size, size_t most));
size_t damage_cross(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
                    size_t most, unsigned seed);

#endif

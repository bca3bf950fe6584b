/* What is made of a fuzzer's input; and a journal of it. */
#ifndef FUZZ_FAKE_JOURNAL_H
#define FUZZ_FAKE_JOURNAL_H

#include <lmdb.h>
#include <stddef.h>
#include <stdint.h>

struct input {
    const uint8_t *at;
    size_t left;
};

/* A number of so many bytes. */
uint64_t eat(struct input *in, size_t bytes);
/* So many bytes, or what is left. */
MDB_val eat_bytes(struct input *in, size_t bytes);

#define FAKE_NONCE UINT64_C(0x6a6f75726e616c21)

/*
 * The directory's journal, as store.h has it.  Its input: pages of the file, and then
 * records: how many changes (and whether it says so), and of each what its key is,
 * its length (and whether it says so), and its value.
 */
void fake_journal(const char *dir, struct input *in);

#endif

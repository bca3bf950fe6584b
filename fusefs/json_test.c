/* JSON: what is shown is read back as it was, and what is no object is refused, wherever it ends.
 */
#include "json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 60

/* A copy that ends where the memory does: a sanitizer sees a read behind it. */
static int read_exactly(const char *data, size_t size, struct form_message *m)
{
    char *copy = malloc(size ? size : 1);
    int r;

    assert_non_null(copy);
    memcpy(copy, data, size);
    r = json_read(copy, size, m);
    free(copy);
    return r;
}

static void there_and_back(const uint8_t *bytes, uint32_t len, uint32_t prio)
{
    uint8_t copy[MOST + 1] = {0};
    const struct mqxi_taken about = {.len = len, .prio = prio, .sent_ns = 1700000000123456789u};
    struct form_message m = {0};
    struct text shown;

    memcpy(copy, bytes, len);
    assert_int_equal(json_show(&about, copy, &shown), 0);
    assert_int_equal(shown.bytes[shown.len - 1], '\n');
    assert_int_equal(read_exactly((char *)shown.bytes, shown.len, &m), 0);
    assert_false(m.none);
    assert_int_equal(m.used, shown.len);
    assert_int_equal(m.prio, prio);
    assert_int_equal(m.text.len, len);
    assert_memory_equal(m.text.bytes, bytes, len);
    free(m.text.bytes);
    for (uint32_t i = 1; i < shown.len - 1; i++)
        assert_int_equal(read_exactly((char *)shown.bytes, i, &m), -EINVAL);
    free(shown.bytes);
}

static void comes_back_as_it_was(void **state)
{
    static const char *const some[] = {
        "a",    "\"",   "\\", "\n", "\x7f", "\xc2\x85", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
        "\xff", "\xc2", "u"};
    unsigned seed = 11;
    uint8_t bytes[MOST];

    (void)state;
    printf("seed %u\n", seed);
    for (int i = 0; i < 3000; i++) {
        uint32_t len = 0, parts = (uint32_t)rand_r(&seed) % 12;

        /* Mostly text; now and then bytes that make it none. */
        for (uint32_t k = 0; k < parts && len < MOST - 4; k++) {
            const char *part = some[(unsigned)rand_r(&seed) % (i % 2 ? 8 : 11)];

            memcpy(bytes + len, part, strlen(part));
            len += (uint32_t)strlen(part);
            if (rand_r(&seed) % 9 == 0)
                bytes[len++] = 0;
        }
        there_and_back(bytes, len, (uint32_t)rand_r(&seed) % MQXI_PRIO_MAX);
    }
}

static void reads_the_first_of_several(void **state)
{
    static const char two[] = " {\"text\":\"a\"}\n {\"priority\" : 5 , \"base64\":\"\"} x";
    struct form_message m = {.prio = 3};

    (void)state;
    assert_int_equal(read_exactly(two, strlen(two), &m), 0);
    assert_int_equal(m.prio, 3);
    assert_memory_equal(m.text.bytes, "a", m.text.len);
    free(m.text.bytes);
    assert_memory_equal(two + m.used, "{\"pr", 4);
    assert_int_equal(read_exactly(two + m.used, strlen(two) - m.used, &m), 0);
    assert_int_equal(m.prio, 5);
    assert_int_equal(m.text.len, 0);
    free(m.text.bytes);
    assert_int_equal(read_exactly(" \n\t", 3, &m), 0);
    assert_true(m.none);
    assert_int_equal(m.used, 3);
}

static void reads_over_what_it_does_not_know(void **state)
{
    char deep[300];
    struct form_message m = {0};

    (void)state;
    for (int depth = 1; depth < 100; depth++) {
        int n = sprintf(deep, "{\"x\":%0*d%0*d,\"text\":\"\"}", depth, 0, depth, 0);

        memset(deep + 5, '[', (size_t)depth);
        memset(deep + 5 + depth, ']', (size_t)depth);
        assert_int_equal(read_exactly(deep, (size_t)n, &m), depth <= 64 ? 0 : -EINVAL);
        if (depth <= 64)
            free(m.text.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(reads_the_first_of_several),
        cmocka_unit_test(reads_over_what_it_does_not_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

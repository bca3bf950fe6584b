/* msgrcv: which message msgtyp selects. */
#include "sysv.h"

/* 3a 1a 2a 3b 1b 2b */
static int mixture(void)
{
    int q = create();

    put(q, 3, "3a");
    put(q, 1, "1a");
    put(q, 2, "2a");
    put(q, 3, "3b");
    put(q, 1, "1b");
    put(q, 2, "2b");
    return q;
}

static void any(void **state)
{
    int q;

    (void)state;
    q = mixture();
    expect(q, 0, 0, 3, "3a");
    expect(q, 0, 0, 1, "1a");
    expect(q, 0, 0, 2, "2a");
    expect(q, 0, 0, 3, "3b");
}

static void of_type(void **state)
{
    int q;

    (void)state;
    q = mixture();
    expect(q, 2, 0, 2, "2a");
    expect(q, 2, 0, 2, "2b");
    expect_none(q, 2, 0);
    expect(q, 1, 0, 1, "1a");
    expect(q, 0, 0, 3, "3a");
    expect(q, 0, 0, 3, "3b");
    expect(q, 0, 0, 1, "1b");
}

static void of_no_type(void **state)
{
    int q;

    (void)state;
    q = mixture();
    expect_none(q, 4, 0);
    expect_none(q, LONG_MAX, 0);
    assert_int_equal(status(q).msg_qnum, 6);
}

static void lowest(void **state)
{
    int q;

    (void)state;
    q = mixture();
    expect(q, -3, 0, 1, "1a");
    expect(q, -3, 0, 1, "1b");
    expect(q, -3, 0, 2, "2a");
    expect(q, -3, 0, 2, "2b");
    expect(q, -3, 0, 3, "3a");
    expect(q, -3, 0, 3, "3b");
    expect_none(q, -3, 0);
}

static void lowest_up_to(void **state)
{
    int q;

    (void)state;
    q = mixture();
    put(q, 5, "5a");
    expect(q, -2, 0, 1, "1a");
    expect(q, -1, 0, 1, "1b");
    expect_none(q, -1, 0);
    expect(q, -2, 0, 2, "2a");
    expect(q, -2, 0, 2, "2b");
    expect_none(q, -2, 0);
    expect(q, -4, 0, 3, "3a");
    expect(q, -4, 0, 3, "3b");
    expect_none(q, -4, 0);
    expect(q, 0, 0, 5, "5a");
}

static void lowest_far(void **state)
{
    int q;

    (void)state;
    q = create();
    put(q, LONG_MAX, "max");
    put(q, LONG_MAX - 1, "less");
    expect_none(q, -(LONG_MAX - 2), 0);
    expect(q, -LONG_MAX, 0, LONG_MAX - 1, "less");
    expect(q, -LONG_MAX, 0, LONG_MAX, "max");
}

static void lowest_of_all(void **state)
{
    int q;

    (void)state;
    q = create();
    put(q, LONG_MAX, "max");
    put(q, 1000, "1000");
    expect(q, LONG_MIN, 0, 1000, "1000");
    expect(q, LONG_MIN, 0, LONG_MAX, "max");
    expect_none(q, LONG_MIN, 0);
}

static void except(void **state)
{
    int q;

    (void)state;
    q = mixture();
    expect(q, 3, MSG_EXCEPT, 1, "1a");
    expect(q, 1, MSG_EXCEPT, 3, "3a");
    expect(q, 3, MSG_EXCEPT, 2, "2a");
    expect(q, 3, MSG_EXCEPT, 1, "1b");
    expect(q, 3, MSG_EXCEPT, 2, "2b");
    expect_none(q, 3, MSG_EXCEPT);
    expect(q, 3, 0, 3, "3b");
}

static void except_absent(void **state)
{
    int q;

    (void)state;
    q = mixture();
    expect(q, 9, MSG_EXCEPT, 3, "3a");
    expect(q, LONG_MAX, MSG_EXCEPT, 1, "1a");
}

static void except_any(void **state)
{
    int q;

    (void)state;
    q = mixture();
    expect(q, 0, MSG_EXCEPT, 3, "3a");
    expect(q, 0, MSG_EXCEPT, 1, "1a");
}

static void except_lowest(void **state)
{
    int q;

    (void)state;
    q = mixture();
    expect(q, -2, MSG_EXCEPT, 1, "1a");
    expect(q, -2, MSG_EXCEPT, 1, "1b");
    expect(q, -2, MSG_EXCEPT, 2, "2a");
}

/* What is selected may be anywhere; what is not stays in its order. */
static void from_the_middle(void **state)
{
    enum { TYPES = 100 };
    int q;

    (void)state;
    q = create();
    set_qbytes(q, 3 * TYPES);
    for (int round = 0; round < 3; round++)
        for (long t = 1; t <= TYPES; t++)
            put(q, t, (char[]){(char)('a' + round), 0});
    for (long t = TYPES; t >= 1; t -= 2)
        expect(q, t, 0, t, "a");
    for (long t = 1; t <= TYPES; t += 2)
        expect(q, 0, 0, t, "a");
    for (long t = 1; t <= TYPES; t++)
        expect(q, -TYPES, 0, 1 + (t - 1) / 2, t % 2 ? "b" : "c");
    for (long t = TYPES / 2 + 1; t <= TYPES; t++)
        expect(q, t, 0, t, "b");
    for (long t = TYPES / 2 + 1; t <= TYPES; t++)
        expect(q, 0, 0, t, "c");
    expect_none(q, 0, 0);
}

/* The last one of very many, by each way that leads to it. */
static void behind_many(void **state)
{
    enum { MANY = 10000 };
    int q;

    (void)state;
    q = create();
    assert_true(limits().msgmnb > MANY);
    for (int i = 0; i < MANY; i++)
        put(q, 50, "");
    for (int i = 0; i < 10; i++) {
        put(q, 7, "");
        expect(q, 7, 0, 7, "");
        put(q, 7, "");
        expect(q, -49, 0, 7, "");
        put(q, 7, "");
        expect(q, 50, MSG_EXCEPT, 7, "");
    }
    expect_none(q, 7, 0);
    expect_none(q, -49, 0);
    expect_none(q, 50, MSG_EXCEPT);
    assert_int_equal(status(q).msg_qnum, MANY);
}

/* A flood of types, as clients that each wait for a reply of their own have it. */
static void many_types(void **state)
{
    enum { MANY = 2000 };
    int q;

    (void)state;
    q = create();
    for (long t = 1; t <= MANY; t++)
        put(q, t * 1000003, "");
    for (long t = 1; t <= MANY; t++) {
        long type = (t * 7919 % MANY + 1) * 1000003;

        expect(q, type, 0, type, "");
        expect_none(q, type, 0);
    }
    expect_none(q, 0, 0);
}

int group_types(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("msgop(2): msgtyp 0: the first message in the queue is read", any),
        SAYS("msgop(2): msgtyp greater than 0: the first message of that type", of_type),
        SAYS("msgrcv: ENOMSG no message of the requested type existed", of_no_type),
        SAYS("msgop(2): msgtyp less than 0: the first message with the lowest type", lowest),
        SAYS("msgop(2): msgtyp less than 0: types up to its absolute value", lowest_up_to),
        SAYS("msgop(2): msgtyp less than 0: also the largest types", lowest_far),
        SAYS("Linux: msgtyp LONG_MIN, which has no absolute value: the lowest type of all",
             lowest_of_all),
        SAYS("msgop(2): MSG_EXCEPT: the first message of type not equal to msgtyp", except),
        SAYS("msgop(2): MSG_EXCEPT with a type that is not there: the first message",
             except_absent),
        SAYS("Linux: MSG_EXCEPT says nothing with msgtyp 0", except_any),
        SAYS("Linux: MSG_EXCEPT says nothing with msgtyp less than 0", except_lowest),
        SAYS("POSIX: messages that are not selected keep their order", from_the_middle),
        SAYS("msgop(2): a message behind 10,000 others is found by its type", behind_many),
        SAYS("msgop(2): each of 2,000 types finds its message", many_types),
    };

    return RUN("message types", tests);
}

/* What is shown of names that have any bytes. */
#include "text.h"

#include "testing.h"

static void shows(const char *name, const char *expected)
{
    char text[64];

    snprintf(text, sizeof(text), "%s", name);
    mqxi_text_clean(text);
    if (strcmp(text, expected) != 0)
        FAIL("shows '%s' instead of '%s'", text, expected);
}

static void leaves_text_alone(void)
{
    shows("", "");
    shows("orders-2.high prio", "orders-2.high prio");
    shows("caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x90\xa7", "caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x90\xa7");
    shows("\xc2\xa0", "\xc2\xa0");
}

static void replaces_controls(void)
{
    shows("a\033[2Jb", "a?[2Jb");
    shows("a\nmqxd: ready\r\t", "a?mqxd: ready??");
    shows("\x7f\x01", "??");
    shows("a\xc2\x9b"
          "31m",
          "a??31m"); /* a terminal's CSI in one character */
}

static void replaces_what_is_not_utf8(void)
{
    shows("\x9b\xff\xfe", "???");
    shows("\xc3", "?");
    shows("\xc3(", "?(");
    shows("\xe6\xbc", "??");
    shows("\xc0\xaf\xe0\x80\xaf", "?????");             /* longer than need be */
    shows("\xed\xa0\x80 \xf4\x90\x80\x80", "??? ????"); /* a surrogate, beyond the last one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(leaves_text_alone),
        UNIT(replaces_controls),
        UNIT(replaces_what_is_not_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Names may have any bytes but '/' and NUL.  Control characters among them
 * (those of ASCII, and U+0080 to U+009F, which some terminals obey as well) can
 * move a terminal's cursor, set its title, or forge lines of a log.
 */
#include "text.h"

size_t mqxi_text_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t n = *s >= 0x01 && *s < 0x80   ? 1
               : *s >= 0xc2 && *s < 0xe0 ? 2
               : (*s & 0xf0) == 0xe0     ? 3
               : *s >= 0xf0 && *s < 0xf5 ? 4
                                         : 0;

    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    /* Longer than need be, a surrogate, or beyond the last character. */
    if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) || (*s == 0xf0 && s[1] < 0x90) ||
        (*s == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

void mqxi_text_clean(char *text)
{
    size_t n;

    for (unsigned char *s = (unsigned char *)text; *s; s += n) {
        n = mqxi_text_utf8((char *)s);
        if (n > 1 && !(s[0] == 0xc2 && s[1] < 0xa0))
            continue;
        if (n != 1 || s[0] < 0x20 || s[0] == 0x7f)
            s[0] = '?'; /* the second byte of U+0080 to U+009F, alone, is none either */
        n = 1;
    }
}

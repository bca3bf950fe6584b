/*
 * {"priority": 0, "size": 5, "time": "2025-01-31T12:00:00.123456789Z",
 *  "sender": {"pid": 17, "uid": 1000}, "text": "hello"}
 *
 * A message that is not UTF-8 has "base64" in place of "text", so that it comes
 * out as it went in.  To be sent, an object needs one of these two; "priority"
 * counts, and everything else is read over, so that what was read from one queue
 * can be written to another.
 */
#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "text.h"

#define ABOUT 256 /* more than all but the bytes can be */
#define DEPTH 64  /* of what is read over */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* --- showing ------------------------------------------------------------------------------------
 */

static bool is_text(const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len;) {
        size_t n = bytes[i] == 0 ? 1 : mqxi_text_utf8((const char *)bytes + i);

        if (n == 0)
            return false;
        i += (uint32_t)n;
    }
    return true;
}

/* Control characters by number, U+007F to U+009F too: it may be shown on a terminal. */
static char *put_text(char *to, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        uint8_t c = bytes[i];

        if (c == 0xc2 && bytes[i + 1] < 0xa0)
            to += sprintf(to, "\\u%04x", bytes[++i]);
        else if (c < 0x20 || c == 0x7f)
            to += c == '\n' ? sprintf(to, "\\n") : sprintf(to, "\\u%04x", c);
        else {
            if (c == '"' || c == '\\')
                *to++ = '\\';
            *to++ = (char)c;
        }
    }
    return to;
}

static char *put_base64(char *to, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 3) {
        uint32_t left = len - i, three = (uint32_t)bytes[i] << 16;

        three |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        three |= left > 2 ? bytes[i + 2] : 0;
        *to++ = alphabet[three >> 18];
        *to++ = alphabet[three >> 12 & 63];
        *to++ = left > 1 ? alphabet[three >> 6 & 63] : '=';
        *to++ = left > 2 ? alphabet[three & 63] : '=';
    }
    return to;
}

int json_show(const struct mqxi_taken *m, const uint8_t *bytes, struct text *out)
{
    bool text = is_text(bytes, m->len);
    char *buffer = malloc(ABOUT + (size_t)m->len * (text ? 6 : 2)), *to = buffer, when[40];
    time_t seconds = (time_t)(m->sent_ns / 1000000000u);
    struct tm tm;

    if (!buffer)
        return -ENOMEM;
    if (!gmtime_r(&seconds, &tm) || !strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm))
        when[0] = 0;
    to += snprintf(to, ABOUT,
                   "{\"priority\": %u, \"size\": %u, \"time\": \"%s.%09uZ\", "
                   "\"sender\": {\"pid\": %u, \"uid\": %u}, \"%s\": \"",
                   m->prio, m->len, when, (unsigned)(m->sent_ns % 1000000000u), m->pid, m->uid,
                   text ? "text" : "base64");
    to = text ? put_text(to, bytes, m->len) : put_base64(to, bytes, m->len);
    to = stpcpy(to, "\"}\n");
    out->bytes = (uint8_t *)buffer;
    out->len = (uint32_t)(to - buffer);
    return 0;
}

/* --- reading ------------------------------------------------------------------------------------
 */

/* What is left of the input.  Every function leaves it behind what it has read; false: what is
 * there is something else. */
struct input {
    const char *at, *end;
};

static void skip_space(struct input *in)
{
    while (in->at < in->end && memchr(" \t\r\n", *in->at, 4))
        in->at++;
}

static bool skip_char(struct input *in, char c)
{
    skip_space(in);
    if (in->at == in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

static bool read_hex(struct input *in, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, in->at++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *digit = in->at < in->end ? memchr(digits, *in->at, 32) : NULL;

        if (!digit)
            return false;
        *out = *out << 4 | ((uint32_t)(digit - digits) & 15);
    }
    return true;
}

static uint8_t *put_utf8(uint8_t *to, uint32_t c)
{
    int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;

    *to++ = (uint8_t)(more ? (0xff00 >> (more + 1) & 0xff) | c >> 6 * more : c);
    while (more-- > 0)
        *to++ = (uint8_t)(0x80 | (c >> 6 * more & 0x3f));
    return to;
}

/* Behind "\u". */
static bool read_code_point(struct input *in, uint8_t **to)
{
    uint32_t c, low;

    if (!read_hex(in, &c))
        return false;
    if (c >= 0xd800 && c < 0xe000) { /* half a character */
        if (c >= 0xdc00 || in->end - in->at < 2 || in->at[0] != '\\' || in->at[1] != 'u')
            return false;
        in->at += 2;
        if (!read_hex(in, &low) || low < 0xdc00 || low >= 0xe000)
            return false;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *to = put_utf8(*to, c);
    return true;
}

static bool read_escape(struct input *in, uint8_t **to)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *name;

    if (in->at == in->end)
        return false;
    if (*in->at == 'u') {
        in->at++;
        return read_code_point(in, to);
    }
    name = memchr(names, *in->at++, sizeof(names) - 1);
    if (!name)
        return false;
    *(*to)++ = (uint8_t)meant[name - names];
    return true;
}

/* A string, into `to`, which has room for what is left of the input. */
static bool read_string(struct input *in, uint8_t *to, uint32_t *len)
{
    uint8_t *start = to;

    if (!skip_char(in, '"'))
        return false;
    while (in->at < in->end && *in->at != '"') {
        char c = *in->at++;

        if ((uint8_t)c < 0x20 || (c == '\\' && !read_escape(in, &to)))
            return false;
        if (c != '\\')
            *to++ = (uint8_t)c;
    }
    *len = (uint32_t)(to - start);
    return skip_char(in, '"');
}

/* In place. */
static bool decode_base64(uint8_t *bytes, uint32_t *len)
{
    uint32_t n = 0, padding = 0;

    if (*len % 4)
        return false;
    for (uint32_t i = 0; i < *len; i += 4) {
        uint32_t four = 0;

        for (uint32_t k = 0; k < 4; k++) {
            const char *digit = memchr(alphabet, bytes[i + k], 64);

            if (bytes[i + k] == '=' && i + 4 == *len && k >= 2)
                padding++;
            else if (!digit || padding)
                return false;
            four = four << 6 | (digit ? (uint32_t)(digit - alphabet) : 0);
        }
        bytes[n++] = (uint8_t)(four >> 16);
        bytes[n++] = (uint8_t)(four >> 8);
        bytes[n++] = (uint8_t)four;
    }
    *len = n - padding;
    return true;
}

static bool read_priority(struct input *in, uint32_t *out)
{
    const char *start;

    skip_space(in);
    start = in->at;
    *out = 0;
    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        *out = *out * 10 + (uint32_t)(*in->at - '0');
        if (*out >= MQXI_PRIO_MAX)
            return false;
    }
    return in->at > start;
}

/* A value that says nothing to us.  Numbers and words are not looked at closely. */
static bool skip_value(struct input *in, uint8_t *scratch)
{
    char close[DEPTH];
    uint32_t depth = 0, len;

    do {
        skip_space(in);
        if (in->at == in->end)
            return false;
        if (*in->at == '"') {
            if (!read_string(in, scratch, &len))
                return false;
        } else if (*in->at == '{' || *in->at == '[') {
            if (depth == DEPTH)
                return false;
            close[depth++] = *in->at++ == '{' ? '}' : ']';
        } else if (depth > 0 && *in->at == close[depth - 1]) {
            in->at++;
            depth--;
        } else if (depth > 0 && (*in->at == ',' || *in->at == ':')) {
            in->at++;
        } else {
            const char *start = in->at;

            while (in->at < in->end && !memchr(" \t\r\n,:{}[]\"", *in->at, 11))
                in->at++;
            if (in->at == start)
                return false;
        }
    } while (depth > 0);
    return true;
}

static bool is(const uint8_t *name, uint32_t len, const char *wanted)
{
    return len == strlen(wanted) && memcmp(name, wanted, len) == 0;
}

/* One "name": value.  text->bytes, and scratch: room for all of the input. */
static bool read_member(struct input *in, uint8_t *scratch, struct form_message *out)
{
    struct text *text = &out->text;
    uint32_t len;

    if (!read_string(in, scratch, &len) || !skip_char(in, ':'))
        return false;
    if (is(scratch, len, "priority"))
        return read_priority(in, &out->prio);
    if (!is(scratch, len, "text") && !is(scratch, len, "base64"))
        return skip_value(in, scratch);
    if (!out->none) /* which of them? */
        return false;
    out->none = false;
    return read_string(in, text->bytes, &text->len) &&
           (is(scratch, len, "text") || decode_base64(text->bytes, &text->len));
}

static bool read_object(struct input *in, uint8_t *scratch, struct form_message *out)
{
    if (!skip_char(in, '{'))
        return false;
    do
        if (!read_member(in, scratch, out))
            return false;
    while (skip_char(in, ','));
    return skip_char(in, '}') && !out->none;
}

int json_read(const char *data, size_t size, struct form_message *out)
{
    struct input in = {data, data + size};
    uint8_t *scratch;
    int r;

    out->none = true;
    skip_space(&in);
    if (in.at == in.end) { /* what separates objects */
        out->used = size;
        return 0;
    }
    scratch = malloc(size);
    out->text.bytes = malloc(size);
    r = !scratch || !out->text.bytes ? -ENOMEM : read_object(&in, scratch, out) ? 0 : -EINVAL;
    if (r < 0)
        free(out->text.bytes);
    free(scratch);
    skip_space(&in);
    out->used = (size_t)(in.at - data);
    return r;
}

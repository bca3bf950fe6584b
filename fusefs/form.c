/*
 * A line is a message with a newline behind it, wherever else it has some: what
 * a program writes at once is one message here, too.  Were each line one, a
 * program that writes blocks of a fixed size would have lines cut in two.
 *
 * A write of several JSON objects is short: the first one is sent, and the
 * program writes the rest again, as with any short write, and waits there if the
 * queue is full.
 */
#include "form.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* With a newline behind it, if it does not end in one. */
static int show_line(const uint8_t *bytes, uint32_t len, struct text *out)
{
    out->bytes = malloc((size_t)len + 1);
    if (!out->bytes)
        return -ENOMEM;
    if (len > 0)
        memcpy(out->bytes, bytes, len);
    out->len = len;
    if (len == 0 || bytes[len - 1] != '\n')
        out->bytes[out->len++] = '\n';
    return 0;
}

/* Without its newline. */
static int read_line(const char *data, size_t size, struct form_message *out)
{
    out->used = size;
    out->text.len = (uint32_t)(size - (size > 0 && data[size - 1] == '\n'));
    out->text.bytes = malloc((size_t)out->text.len + 1);
    if (!out->text.bytes)
        return -ENOMEM;
    memcpy(out->text.bytes, data, out->text.len);
    return 0;
}

int form_show(enum view_form form, const struct mqxi_taken *about, const uint8_t *bytes,
              struct text *out)
{
    return form == FORM_JSON ? json_show(about, bytes, out) : show_line(bytes, about->len, out);
}

int form_read(enum view_form form, const char *data, size_t size, struct form_message *out)
{
    return form == FORM_JSON ? json_read(data, size, out) : read_line(data, size, out);
}

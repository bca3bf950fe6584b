/* Text that others chose, such as names of queues, on its way to a terminal or a log. */
#ifndef MQXI_TEXT_H
#define MQXI_TEXT_H

#include <stddef.h>

/* Bytes of the UTF-8 character at text; 0: there is none. */
size_t mqxi_text_utf8(const char *text);

/* Every byte of a control character, and every one that is not UTF-8, becomes '?'. */
void mqxi_text_clean(char *text);

#endif

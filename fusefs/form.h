/* Messages as texts, and texts as messages. */
#ifndef MQXFS_FORM_H
#define MQXFS_FORM_H

#include <stddef.h>

#include "engine.h"
#include "views.h"

struct text {
    uint8_t *bytes; /* to be freed by whom it is given to */
    uint32_t len;
};

/*
 * The message, of which everything but the bytes is in `about`, in a form that
 * is not FORM_BYTES.  bytes[len] is 0.  0, -ENOMEM.
 */
int form_show(enum view_form form, const struct mqxi_taken *about, const uint8_t *bytes,
              struct text *out);

/* What is to be sent. */
struct form_message {
    bool none;     /* there is nothing to be sent in what was used */
    size_t used;   /* of what was written */
    uint32_t prio; /* as it was, where nothing is said of it */
    struct text text;
};

/* The first message in what was written.  -EINVAL: that is none; -ENOMEM. */
int form_read(enum view_form form, const char *data, size_t size, struct form_message *out);

#endif

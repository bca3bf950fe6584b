/* What an open file shows at the time: a message. */
#ifndef MQXFS_RECORD_H
#define MQXFS_RECORD_H

#include "attached.h"
#include "choose.h"
#include "engine.h"
#include "form.h"
#include "views.h"

enum record_state {
    RECORD_NONE,
    RECORD_HELD,  /* taken, not consumed */
    RECORD_SHOWN, /* its bytes are still there, and that is all */
};

struct record {
    enum record_state state;
    struct mqxi_taken taken; /* what is held; or what it is about, if it was only looked at */
    uint8_t *bytes;
    uint32_t len, room; /* of bytes: used, there */
};

/* Have the view's next message, of this type where it is a System V queue's.  -EAGAIN: there is
 * none, and the record is RECORD_NONE. */
int record_next(struct record *r, struct attached *a, const struct view *v, long type);
/* Not simply the next message of all? */
static inline bool record_is_choice(const struct view *v)
{
    return v->peeks || v->prio;
}
/* Is there a message for it? */
bool record_is_there(struct attached *a, const struct view *v);
/* If it is held: its last byte was handed over, or it was acknowledged; or not. */
int record_consume(struct record *r, struct attached *a);
void record_give_back(struct record *r, struct attached *a);
/* Forget it; one that is held goes back. */
void record_drop(struct record *r, struct attached *a);

/* Show these bytes, which are freed with the record. */
void record_text(struct record *r, struct text text);

#endif

/* Views: the directories of the mount, each of which shows every queue in a way of its own. */
#ifndef MQXFS_VIEWS_H
#define MQXFS_VIEWS_H

#include <stdbool.h>
#include <stdint.h>

/* What is in a directory. */
enum view_shows {
    SHOWS_QUEUES,
    SHOWS_PRIORITIES,
    SHOWS_SYSV,
    SHOWS_HELP,
    SHOWS_CALLS,    /* not a directory: a file for msgsnd and so on alone (calls.c) */
    SHOWS_MESSAGES, /* of one queue */
};
/* What a read does behind a message's end, and without a message. */
enum view_reads { READS_ONE, READS_AT_ONCE, READS_UNTIL_EMPTY, READS_FOR_EVER };

/* How a message is shown and written. */
enum view_form {
    FORM_BYTES,
    FORM_STATUS, /* of the queue, instead of its messages */
    FORM_LINES,
    FORM_JSON,
};

/* A directory, and the way of the files in it.  All zero: the mount's root. */
struct view {
    uint8_t shows; /* enum view_shows */
    uint8_t reads; /* enum view_reads */
    uint8_t form;  /* enum view_form */
    bool peeks;    /* without taking; nothing is written */
    bool acks;    /* what is read is consumed by a write to the same open file, or else goes back */
    bool folders; /* queues are directories, which show messages (messages.h) */
    uint16_t prio; /* 0: any; else the priority that is written and read, + 1 */
};

/* The directory of this name in another: 0, or -ENOENT. */
int view_enter(const struct view *in, const char *name, struct view *out);

/* A number of its own for each, unlike any inode number of a queue. */
uint64_t view_ino(const struct view *v);

static inline bool view_same(const struct view *a, const struct view *b)
{
    return view_ino(a) == view_ino(b);
}

/* One read after the other, from message to message? */
static inline bool view_is_stream(const struct view *v)
{
    return v->reads == READS_UNTIL_EMPTY || v->reads == READS_FOR_EVER;
}

/* Where what is read and written is another text than the message? */
static inline bool view_has_form(const struct view *v)
{
    return v->form == FORM_LINES || v->form == FORM_JSON;
}

/* Is the file libmqx's way to another user's queue (protocol.h)? */
static inline bool view_is_way(const struct view *v)
{
    return v->shows == SHOWS_CALLS || view_same(v, &(struct view){0});
}

#define VIEW_TEXT "README"
/* Where messages are only looked at? */
static inline bool view_is_read_only(const struct view *v)
{
    return v->peeks || v->form == FORM_STATUS;
}

/* The text of .help/README, which the caller frees; NULL: no memory. */
char *views_help(void);

#endif

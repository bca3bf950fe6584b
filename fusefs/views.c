/*
 * The table of views.  A view is one property; the directories can be entered
 * one within the other (.peek/.drain), and then a file has the properties of
 * them all.  Two that contradict each other: the second is not there.
 *
 * Most are not listed: who walks the mount (find, rm -r, grep -r) would meet
 * each queue many times over.  .help is, and says what there is; and so is .sysv,
 * which has queues of its own.
 */
#include "views.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

static const struct named {
    const char *name;
    struct view adds;
    const char *help;
} table[] = {
    {".nonblock",
     {.reads = READS_AT_ONCE},
     ".nonblock/QUEUE    Reads and writes that would wait fail: \"Resource temporarily\n"
     "                   unavailable\".\n"},
    {".drain",
     {.reads = READS_UNTIL_EMPTY},
     ".drain/QUEUE       Reads message after message until there is none, then ends.\n"},
    {".stream",
     {.reads = READS_FOR_EVER},
     ".stream/QUEUE      Reads message after message, and waits for more, for ever.\n"},
    {".peek",
     {.peeks = true},
     ".peek/QUEUE        Shows the next message, and leaves it where it is.  With .drain:\n"
     "                   .peek/.drain/QUEUE shows all that are there.\n"},
    {".prio",
     {.shows = SHOWS_PRIORITIES},
     ".prio/N/QUEUE      Writes with priority N (0 to 32767, the highest first), and reads only\n"
     "                   messages of that priority: echo urgent >.prio/9/jobs\n"},
    {".lines",
     {.form = FORM_LINES},
     ".lines/QUEUE       What is read ends in a newline, whether the message does or not; what is\n"
     "                   written loses the newline at its end.\n"},
    {".json",
     {.form = FORM_JSON},
     ".json/QUEUE        A message is a JSON object with \"priority\", \"size\", \"time\", "
     "\"sender\"\n"
     "                   and \"text\", or \"base64\" if it is no UTF-8.  Written ones need one of\n"
     "                   the last two, and may have a \"priority\".\n"},
    {".stat", {.form = FORM_STATUS}, ".stat/QUEUE        Tells what is known about the queue.\n"},
    {".ack",
     {.acks = true},
     ".ack/QUEUE         What is read is consumed when anything is written to the same open file, "
     "and\n"
     "                   else goes back when that is closed: exec 3<>.ack/jobs; read -r job <&3;\n"
     "                   work \"$job\" && echo done >&3\n"},
    {".messages",
     {.folders = true},
     ".messages/QUEUE/   A directory of the messages in the queue, each a file, the next one "
     "first:\n"
     "                   cat and cp leave it there, rm consumes it, and so does mv to another\n"
     "                   queue: mv .messages/a/ID .messages/b/\n"},
    {".sysv",
     {.shows = SHOWS_SYSV},
     ".sysv/ID           A System V queue.  .sysv/ID.TYPE: its messages of this type.\n"},
    {".help", {.shows = SHOWS_HELP}, ".help/README       This text.\n"},
};
#define VIEWS (sizeof(table) / sizeof(*table))

static const char before[] =
    "Each file in this filesystem is a queue of messages.  A write sends one message; an\n"
    "open file reads one, and waits for it: while job=$(cat jobs); do ...; done\n"
    "\n"
    "The same queues, otherwise:\n"
    "\n";
static const char after[] =
    "\n"
    "These directories are not listed, and can be entered one within the other where that\n"
    "makes sense.  Who may read and write a queue may do so in all of them.\n"
    "See mqxfs(1) and mqx(7).\n";

static bool can_be_combined(const struct view *v)
{
    return v->shows != SHOWS_HELP && v->form != FORM_STATUS;
}

/* Messages of System V queues have no priorities, and messages as files are in no stream. */
static bool contradict(const struct view *v)
{
    bool sysv = v->shows == SHOWS_SYSV;

    return (sysv && (v->prio || v->peeks || v->form == FORM_JSON)) ||
           (v->acks && (v->peeks || v->folders || v->reads > READS_AT_ONCE)) ||
           (v->folders && (v->prio || v->peeks || v->reads || v->shows == SHOWS_PRIORITIES)) ||
           /* Who only looks cannot follow: a message of higher priority would come before those
            * seen. */
           (v->peeks && v->reads == READS_FOR_EVER);
}

/* Both properties together.  False: they contradict each other. */
static bool merge(const struct view *a, const struct view *b, struct view *out)
{
    if ((a->shows && a->shows != SHOWS_SYSV) || (a->shows && b->shows) || (a->reads && b->reads) ||
        (a->form && b->form) || (a->peeks && b->peeks) || (a->acks && b->acks) ||
        (a->folders && b->folders))
        return false;
    /* A priority is given once. */
    if ((!can_be_combined(b) && !view_same(a, &(struct view){0})) || !can_be_combined(a) ||
        (b->shows == SHOWS_PRIORITIES && a->prio))
        return false;
    *out = (struct view){.shows = a->shows | b->shows,
                         .reads = a->reads | b->reads,
                         .form = a->form | b->form,
                         .peeks = a->peeks || b->peeks,
                         .acks = a->acks || b->acks,
                         .folders = a->folders || b->folders,
                         .prio = a->prio};
    return !contradict(out);
}

static int enter_priority(const struct view *in, const char *name, struct view *out)
{
    unsigned long prio = strtoul(name, NULL, 10);
    char digits[24];

    snprintf(digits, sizeof(digits), "%lu", prio);
    if (prio >= MQXI_PRIO_MAX || strcmp(name, digits) != 0)
        return -ENOENT;
    *out = *in;
    out->shows = SHOWS_QUEUES;
    out->prio = (uint16_t)(prio + 1);
    return 0;
}

int view_enter(const struct view *in, const char *name, struct view *out)
{
    if (in->shows == SHOWS_PRIORITIES)
        return enter_priority(in, name, out);
    for (size_t i = 0; i < VIEWS; i++)
        if (strcmp(table[i].name, name) == 0)
            return merge(in, &table[i].adds, out) ? 0 : -ENOENT;
    return -ENOENT;
}

uint64_t view_ino(const struct view *v)
{
    return UINT64_C(1) << 62 | (uint64_t)v->prio << 16 | (uint64_t)v->acks << 12 |
           (uint64_t)v->folders << 11 | (uint64_t)v->shows << 8 | (uint64_t)v->peeks << 7 |
           (uint64_t)v->form << 4 | v->reads;
}

char *views_help(void)
{
    size_t size = sizeof(before) + sizeof(after);
    char *text, *end;

    for (size_t i = 0; i < VIEWS; i++)
        size += strlen(table[i].help);
    text = malloc(size);
    if (!text)
        return NULL;
    end = stpcpy(text, before);
    for (size_t i = 0; i < VIEWS; i++)
        end = stpcpy(end, table[i].help);
    stpcpy(end, after);
    return text;
}

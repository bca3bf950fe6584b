/*
 * What is known: the stores that the compiler made of the engine's files.  Those
 * that were seen to store to shared memory must be killed at and stopped at.
 * Those that never ran are either among the excused, or a gap: no scenario leads
 * there.  A store that only ever went to this process's memory is nobody's
 * business.
 */
#include "coverage.h"

#include "../storm.h"

#include <sys/syscall.h>

#define CALLS 512
#define ROWS  64 /* bits of a store's masks */

static struct operation {
    const char *name, *size, *payload; /* of the queue, of its messages: in the slot, or overflow */
} rows[ROWS];
static unsigned rows_count, now;

/* Per system call, in which operations it was made, killed after, stopped after. */
static struct {
    uint64_t made, killed, stopped;
} calls[CALLS];

static const char errno_only[] = "errno, this thread's own";

/* Why a store that never ran need not: by its file, its function, in whose code it is, and what
 * stands on its source line (each may be NULL: any). */
static const struct {
    const char *file, *function, *symbol, *text, *why;
} excuses[] = {
    {NULL, NULL, NULL, "MQXI_SYS(", errno_only},
    {NULL, NULL, NULL, "*out =", "a result"},
    {NULL, NULL, NULL, "*error =", "a result"},
    {NULL, NULL, NULL, "*first =", "a result"},
    {NULL, NULL, NULL, "*slot =", "a result"},
    {NULL, NULL, NULL, "*key =", "a result"},
    {NULL, NULL, NULL, "*key_out =", "a result"},
    {NULL, NULL, NULL, "*seen =", "a result"},
    {NULL, NULL, NULL, "q->taken", "this process's struct mqxi_queue"},
    {NULL, NULL, NULL, "q->after", "this process's struct mqxi_queue"},
    {"engine.c", "fill", NULL, "mqxi_slot_type", "in queues of <mqueue.h> a type is always 0"},
    {"withdraw.c", "mqxi_withdraw", NULL, NULL, "without mqxd only: interleave_test.c"},
    {NULL, NULL, "mqxi_take_drop", NULL, "without mqxd only: interleave_test.c"},
    {"notify.c", NULL, NULL, "promise->", "on its sender's stack, where the swap fails"},
    {"bell.c", NULL, NULL, "mqxi_sys_", errno_only},
    {"bell.c", "disarm", NULL, NULL, "only where nobody has polled for ten seconds"},
    {"bell.c", "give_up", NULL, NULL, "only where the FIFO is broken, or 100 times not found as left"},
    {"guard.c", NULL, NULL, "q->dead", "this process's struct mqxi_queue"},
    {"guard.c", NULL, NULL, "w->", "this process's table of mappings"},
    {"guard.c", NULL, NULL, "c->", "this process's table of mappings"},
    {"segment.c", NULL, NULL, "u->", "this process's struct mqxi_unborn"},
    {"segment.c", NULL, NULL, "q->fifo_name", "this process's struct mqxi_queue"},
    {"client.c", "wipe_in_child", NULL, NULL, "this process's identities, before Linux 4.14"},
    {"client.c", "mqxi_client_renew", NULL, NULL, "this process's identities"},
    {"client.c", "belongs", NULL, "s->registry", "a result"},
    {"client.c", NULL, NULL, "*registry =", "a result"},
    {NULL, NULL, "mqxi_put_from", NULL, "what mqxi_put is made of, for messages that mqxfs puts"},
    {"durable.c", "refresh", NULL, "b->", "this process's struct bell"},
    {"engine.c", "mqxi_take_abort", NULL, NULL, "only mqxfs gives messages back"},
    {"segment.c", "mqxi_segment_give", NULL, NULL, "only mqxd and mqxfs make others' queues"},
    {"wait.c", NULL, NULL, "words[i] =", "on the stack"},
    {"wait.h", NULL, "mqxi_take", NULL, "only where a slot is damaged"},
    {"held.h", "mqxi_held_doubt", NULL, NULL, "only where a slot or the count is damaged"},
    {"held.h", "mqxi_held_sub", "mqxi_put", NULL, "only where the segment is damaged"},
    {"wait.h", NULL, "mqxi_put", NULL, "only where others take the room in between"},
    {"wait.h", NULL, "mqxi_take_chosen", NULL, "only where a slot is damaged"},
    {"msqids.c", "place", NULL, "h->durable", "run by who was stopped while another used its key"},
    {"notify.h", NULL, "mqxi_take_chosen", NULL, "a System V queue has no registrations"},
    {"choose.c", "find_nth", NULL, "all[", "this call's own memory"},
    {"choose.c", "copy", NULL, "out->", "a result"},
};

void coverage_begin(const char *operation, const struct scenario *sc)
{
    struct operation row = {operation, "", ""};

    if (sc) {
        row.size = sc->maxmsg > 64 ? "tree" : "scanned";
        row.payload = sc->len > 160 ? "overflow" : "inline";
    }

    for (now = 0; now < rows_count; now++)
        if (strcmp(rows[now].name, operation) == 0 && strcmp(rows[now].size, row.size) == 0 &&
            strcmp(rows[now].payload, row.payload) == 0)
            return;
    if (rows_count == ROWS)
        storm_die("too many operations");
    rows[rows_count++] = row;
}

void coverage_expect(const struct trace *trace)
{
    for (size_t i = 0; i < trace->count; i++) {
        const struct point *p = &trace->points[i];

        if (p->store)
            p->store->shared |= UINT64_C(1) << now;
        /* When a heap grows depends on what the storm had in its own before the fork. */
        if (p->call >= 0 && p->call < CALLS && p->call != SYS_brk)
            calls[p->call].made |= UINT64_C(1) << now;
    }
}

void coverage_note(const struct point *last, bool killed)
{
    if (last && last->store)
        *(killed ? &last->store->killed : &last->store->stopped) |= UINT64_C(1) << now;
    if (last && last->call >= 0 && last->call < CALLS)
        *(killed ? &calls[last->call].killed : &calls[last->call].stopped) |= UINT64_C(1) << now;
}

bool coverage_lacks(const struct point *p, bool killed)
{
    uint64_t visited = UINT64_MAX;

    if (p->store)
        visited = killed ? p->store->killed : p->store->stopped;
    else if (p->call >= 0 && p->call < CALLS)
        visited = killed ? calls[p->call].killed : calls[p->call].stopped;
    return !(visited >> now & 1);
}

/* --- excuses ---------------------------------------------------------------------------------- */

/* A line of a source file, without its indentation; "" where it cannot be read. */
static void read_source(const char *file, unsigned line, char *text, int size)
{
    char here[300];
    FILE *source = NULL;
    size_t blank;

    /* A compiler's cache may name another copy of the sources, which has changed since. */
    snprintf(here, sizeof here, "libmqx/%s", file ? stores_name(file) : "");
    if (file)
        source = fopen(access(here, R_OK) == 0 ? here : file, "r");

    text[0] = 0;
    for (unsigned i = 0; source && i < line; i++)
        if (!fgets(text, size, source))
            text[0] = 0;
    if (source)
        fclose(source);
    text[strcspn(text, "\n")] = 0;
    blank = strspn(text, " ");
    memmove(text, text + blank, strlen(text + blank) + 1);
}

static bool fits(const char *wanted, const char *is)
{
    return !wanted || (is && strcmp(wanted, is) == 0);
}

static const char *excuse(const struct store *s, const char *text)
{
    for (size_t i = 0; i < sizeof excuses / sizeof excuses[0]; i++)
        if (fits(excuses[i].file, s->file ? stores_name(s->file) : NULL) &&
            fits(excuses[i].function, s->function) && fits(excuses[i].symbol, s->symbol) &&
            (!excuses[i].text || strstr(text, excuses[i].text)))
            return excuses[i].why;
    return NULL;
}

/* --- the table -------------------------------------------------------------------------------- */

struct row {
    const char *file, *function;
    unsigned known, killed, stopped, never;
};

static int by_source(const void *a, const void *b)
{
    const struct store *x = *(struct store *const *)a, *y = *(struct store *const *)b;
    int files =
        strcmp(x->file ? stores_name(x->file) : "~libc", y->file ? stores_name(y->file) : "~libc");

    return files ? files : (x->line > y->line) - (x->line < y->line);
}

/* The engine's stores, and others' that were shared, in the order of the sources. */
static struct store **sorted(size_t *n)
{
    size_t count;
    struct store *all = stores_all(&count), **list = malloc((count + 1) * sizeof *list);

    if (!list)
        storm_die("malloc");
    *n = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i].shared || (all[i].engine && !all[i].private))
            list[(*n)++] = &all[i];
    qsort(list, *n, sizeof *list, by_source);
    return list;
}

static void print_row(const struct row *row)
{
    if (row->known)
        printf("# %-12s %-32s %6u %9u %10u\n", row->file, row->function, row->known, row->killed,
               row->stopped);
}

static bool same_row(const struct row *row, const struct store *s)
{
    return row->file && strcmp(row->file, s->file ? stores_name(s->file) : "libc") == 0 &&
           strcmp(row->function, s->function ? s->function : "memcpy") == 0;
}

static struct row print_stores(struct store **list, size_t n)
{
    struct row row = {0}, sum = {.file = "all", .function = ""};

    printf("# %-12s %-32s %6s %9s %10s\n", "shared", "stores of", "known", "killed at",
           "stopped at");
    for (size_t i = 0; i < n; i++) {
        const struct store *s = list[i];

        if (!s->shared)
            continue;
        if (!same_row(&row, s)) {
            print_row(&row);
            row = (struct row){.file = s->file ? stores_name(s->file) : "libc",
                               .function = s->function ? s->function : "memcpy"};
        }
        row.known++, sum.known++;
        row.killed += s->killed != 0, sum.killed += s->killed != 0;
        row.stopped += s->stopped != 0, sum.stopped += s->stopped != 0;
    }
    print_row(&row);
    print_row(&sum);
    return sum;
}

static void print_operations(struct store **list, size_t n)
{
    printf("# %-24s %-8s %-9s %6s %9s %10s\n", "shared stores of", "size", "payload", "known",
           "killed at", "stopped at");
    for (unsigned row = 0; row < rows_count; row++) {
        const struct operation *o = &rows[row];
        unsigned known = 0, killed = 0, stopped = 0;

        for (size_t i = 0; i < n; i++) {
            known += list[i]->shared >> row & 1;
            killed += list[i]->shared >> row & list[i]->killed >> row & 1;
            stopped += list[i]->shared >> row & list[i]->stopped >> row & 1;
        }
        printf("# %-24s %-8s %-9s %6u %9u %10u\n", o->name, o->size, o->payload, known, killed,
               stopped);
    }
}

#define C(name)                                                                                    \
    {                                                                                              \
#name, SYS_##name                                                                          \
    }
/* Those that change what others see. */
static const struct {
    const char *name;
    long number;
} changing[] = {
    C(futex),    C(madvise),  C(fallocate),         C(ftruncate),       C(openat), C(renameat2),
    C(linkat),   C(unlinkat), C(mkdirat),           C(mknodat),         C(fchmod), C(fchmodat),
    C(fchownat), C(fcntl),    C(vmsplice),          C(write),           C(read),   C(close),
    C(pwrite64), C(mmap),     C(rt_tgsigqueueinfo), C(rt_sigqueueinfo), C(munmap)};
#undef C

static bool print_calls(void)
{
    unsigned kinds = 0, killed = 0, stopped = 0;

    for (int i = 0; i < CALLS; i++) {
        kinds += calls[i].made != 0;
        killed += calls[i].made && calls[i].killed;
        stopped += calls[i].made && calls[i].stopped;
        if (calls[i].made && !(calls[i].killed && calls[i].stopped))
            printf("# not visited: system call %d\n", i);
    }
    printf("# system calls of %u kinds, killed after %u of them, stopped after %u\n", kinds, killed,
           stopped);
    printf("# %-24s %10s %12s %13s\n", "calls that others feel", "operations", "killed after",
           "stopped after");
    for (size_t i = 0; i < sizeof changing / sizeof changing[0]; i++) {
        long n = changing[i].number;

        if (calls[n].made)
            printf("# %-24s %10d %12d %13d\n", changing[i].name,
                   __builtin_popcountll(calls[n].made),
                   __builtin_popcountll(calls[n].made & calls[n].killed),
                   __builtin_popcountll(calls[n].made & calls[n].stopped));
    }
    return killed == kinds && stopped == kinds;
}

/* Stores that never ran.  Returns how many have no excuse. */
static unsigned print_never(struct store **list, size_t n)
{
    unsigned gaps = 0, excused = 0;
    char text[300];

    for (size_t i = 0; i < n; i++) {
        const struct store *s = list[i];
        const char *why;

        if (s->shared)
            continue;
        read_source(s->file, s->line, text, sizeof text);
        why = excuse(s, text);
        excused += why != NULL;
        gaps += why == NULL;
        if (why != errno_only)
            printf("# never run: %s:%u %s in %s: %s (%s)\n", s->file ? stores_name(s->file) : "?",
                   s->line, s->function ? s->function : "?", s->symbol, text,
                   why ? why : "NO SCENARIO LEADS THERE");
    }
    printf(
        "# never run: %u in all that have an excuse (those of errno are not shown), %u without\n",
        excused, gaps);
    return gaps;
}

/* What was missed in an operation, by name: where another process's doings or the time of day led
 * there once, and not again. */
static void print_missed(struct store **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (unsigned row = 0; row < rows_count; row++)
            if (list[i]->shared >> row & ~(list[i]->killed & list[i]->stopped) >> row & 1)
                printf("# not visited: %s:%u %s, in %s, %s, %s\n",
                       list[i]->file ? stores_name(list[i]->file) : "libc", list[i]->line,
                       list[i]->function ? list[i]->function : "", rows[row].name, rows[row].size,
                       rows[row].payload);
}

/* All that the compiler made, and what became of it. */
static void print_known(void)
{
    unsigned engine = 0, shared = 0, private = 0, elsewhere = 0;
    size_t count;
    const struct store *all = stores_all(&count);

    for (size_t i = 0; i < count; i++) {
        engine += all[i].engine;
        shared += all[i].engine && all[i].shared;
        private += all[i].engine && !all[i].shared && all[i].private;
        elsewhere += !all[i].engine && all[i].shared;
    }
    printf(
        "# %u instructions of the engine's files can store to memory: %u stored to a queue's, %u "
        "only to the process's own, %u never ran; in libc and other files, %u stored to a "
        "queue's\n",
        engine, shared, private, engine - shared - private, elsewhere);
}

bool coverage_print(void)
{
    size_t n;
    struct store **list = sorted(&n);
    struct row sum = print_stores(list, n);
    bool whole = sum.killed == sum.known && sum.stopped == sum.known && sum.known > 0;
    unsigned gaps;

    print_operations(list, n);
    whole &= print_calls();
    print_known();
    gaps = print_never(list, n);
    print_missed(list, n);
    free(list);
    return whole && gaps == 0;
}

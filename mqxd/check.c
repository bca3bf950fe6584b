/*
 * LMDB's files have no checksums, and LMDB believes every page number, offset
 * and length in them.  So before it gets to see one, we walk its trees as it
 * would: every page that can be reached is what its parent says, lies in the
 * file, is reached once, and its nodes lie in it side by side; and no page that
 * is in use is among the free ones.  What the messages themselves say, nobody
 * can check.
 *
 * This is LMDB 0.9's format (data version 1) on a 64-bit machine: two meta
 * pages, of which the one with the higher transaction counts; in it a tree of
 * free pages and the main one, whose leaves hold the named databases.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC    0xbeefc0deu
#define VERSION  1u
#define NONE     UINT64_MAX /* root of an empty tree */
#define DEEPEST  32         /* LMDB's cursors go no deeper */
#define LARGEST  65536u     /* page */
#define KEY_MAX  511u
#define MAPPABLE (UINT64_C(1) << 46)

/* Flags of pages: no other one is ever on disk, and LMDB believes those that it only has in memory.
 */
enum { BRANCH = 1, LEAF = 2, OVERFLOW = 4 };
enum { BIG = 1, NAMED = 2 };                                /* flags of nodes */
enum { INTEGER_KEYS = 8, FREE_PAGES = 0, MAIN = 1, ROOTS }; /* flag of trees; the trees of a meta */

struct page {
    uint64_t number;
    uint16_t pad, flags;
    uint16_t lower, upper; /* of an overflow page: how many pages, in both */
};
struct node {
    uint16_t low, high; /* size of the data; in a branch, with flags, a page number */
    uint16_t flags, key_size;
    uint8_t key[];
};
struct tree {
    uint32_t page_size; /* in the tree of free pages; else 0 */
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
};
struct meta {
    struct page page;
    uint32_t magic, version;
    uint64_t address, map_size;
    struct tree tree[ROOTS];
    uint64_t last_page, transaction;
};
_Static_assert(sizeof(struct page) == 16 && sizeof(struct node) == 8, "LMDB's layout");
_Static_assert(sizeof(struct tree) == 48 && sizeof(struct meta) == 152, "LMDB's layout");

struct check {
    const uint8_t *file;
    uint64_t transaction; /* look at what this one left; 0: at the latest */
    uint64_t size, pages; /* of the file; that may be in use */
    uint32_t page_size;
    uint8_t *seen;   /* a bit a page */
    uint8_t *within; /* a byte for each two of a page: belongs to a node */
    char *why;
    size_t room;
};

/* A tree being walked: what it says, and what was found. */
struct walk {
    const struct tree *tree;
    struct tree found;
    int kind; /* FREE_PAGES, MAIN, or ROOTS for a named one */
};

__attribute__((format(printf, 2, 3))) static int damaged(struct check *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->why, c->room, format, args);
    va_end(args);
    return -EBADMSG;
}

/* Note that these pages are in use, or free. */
static int take_pages(struct check *c, uint64_t number, uint64_t count, const char *what)
{
    if (number < ROOTS || number > c->pages || count > c->pages - number)
        return damaged(c, "%s %lu is not in the file", what, (unsigned long)number);
    for (uint64_t n = number; n < number + count; n++) {
        if (c->seen[n / 8] & 1u << n % 8)
            return damaged(c, "page %lu is used twice", (unsigned long)n);
        c->seen[n / 8] |= (uint8_t)(1u << n % 8);
    }
    return 0;
}

/* A page that is in use.  NULL: said. */
static const struct page *page_at(struct check *c, uint64_t number, uint16_t kind)
{
    const struct page *p;

    if (take_pages(c, number, 1, "page") < 0)
        return NULL;
    p = (const struct page *)(c->file + number * c->page_size);
    if ((number + 1) * c->page_size > c->size)
        damaged(c, "page %lu is behind the end of the file", (unsigned long)number);
    else if (p->number != number || p->flags != kind)
        damaged(c, "page %lu is not the one that should be there", (unsigned long)number);
    else
        return p;
    return NULL;
}

static uint32_t data_size(const struct node *n)
{
    return n->low | (uint32_t)n->high << 16;
}

/* Large data lies on pages of its own. */
static int check_overflow(struct check *c, struct walk *w, const struct node *n,
                          const uint8_t **data)
{
    const struct page *p;
    uint32_t pages;
    uint64_t number;

    memcpy(&number, n->key + n->key_size, sizeof(number));
    p = page_at(c, number, OVERFLOW);
    if (!p)
        return -EBADMSG;
    pages = p->lower | (uint32_t)p->upper << 16;
    if (pages == 0 || (uint64_t)pages * c->page_size < sizeof(*p) + (uint64_t)data_size(n) ||
        (number + pages) * c->page_size > c->size)
        return damaged(c, "page %lu has data of the wrong size", (unsigned long)number);
    w->found.overflows += pages;
    *data = (const uint8_t *)(p + 1);
    return take_pages(c, number + 1, pages - 1, "page");
}

/* A record of the tree of free pages: a count, and the numbers, the highest first. */
static int check_free(struct check *c, const uint8_t *data, uint32_t size)
{
    uint64_t count = 0, number, before = NONE;
    int r = 0;

    if (size >= sizeof(count))
        memcpy(&count, data, sizeof(count));
    if (size < sizeof(count) || count > size / sizeof(number) - 1)
        return damaged(c, "a list of free pages is too long");
    for (uint64_t i = 1; r == 0 && i <= count; i++, before = number) {
        memcpy(&number, data + i * sizeof(number), sizeof(number));
        if (number >= before)
            return damaged(c, "a list of free pages is not in order");
        r = take_pages(c, number, 1, "free page");
    }
    return r;
}

static int check_tree(struct check *c, const struct tree *tree, int kind);

static int check_leaf(struct check *c, struct walk *w, const struct node *n)
{
    const uint8_t *data = n->key + n->key_size;
    struct tree named;
    int r = 0;

    if (n->flags & ~(BIG | NAMED) || (n->flags & NAMED && (w->kind != MAIN || n->flags & BIG)) ||
        (w->kind == FREE_PAGES && n->key_size != sizeof(uint64_t)))
        return damaged(c, "a record is of no kind that we store");
    w->found.entries++;
    if (n->flags & BIG)
        r = check_overflow(c, w, n, &data);
    if (r == 0 && w->kind == FREE_PAGES)
        r = check_free(c, data, data_size(n));
    if (r < 0 || !(n->flags & NAMED))
        return r;
    if (data_size(n) != sizeof(named))
        return damaged(c, "a database has the wrong size");
    memcpy(&named, data, sizeof(named));
    return check_tree(c, &named, ROOTS);
}

/* The node lies in its page, and on no other one of it. */
static int place_node(struct check *c, const struct page *p, unsigned i, const struct node **out,
                      uint32_t *used)
{
    uint16_t at = ((const uint16_t *)(p + 1))[i];
    const struct node *n = (const struct node *)((const uint8_t *)p + at);
    uint64_t bytes = sizeof(*n);

    if (at % 2 || at < p->upper || at + sizeof(*n) > c->page_size)
        return damaged(c, "page %lu has a record outside", (unsigned long)p->number);
    bytes += n->key_size;
    if (p->flags & LEAF)
        bytes += n->flags & BIG ? sizeof(uint64_t) : data_size(n);
    bytes += bytes % 2;
    if (n->key_size > KEY_MAX || at + bytes > c->page_size)
        return damaged(c, "page %lu has a record that is too long", (unsigned long)p->number);
    if (memchr(c->within + at / 2, 1, bytes / 2))
        return damaged(c, "page %lu has records one upon the other", (unsigned long)p->number);
    memset(c->within + at / 2, 1, bytes / 2);
    *used += (uint32_t)bytes;
    *out = n;
    return 0;
}

static int compare(const struct walk *w, const struct node *a, const struct node *b)
{
    uint16_t least = a->key_size < b->key_size ? a->key_size : b->key_size;
    uint64_t x, y;
    int r;

    if (w->kind == FREE_PAGES && least == sizeof(x)) {
        memcpy(&x, a->key, sizeof(x));
        memcpy(&y, b->key, sizeof(y));
        return (x > y) - (x < y);
    }
    r = memcmp(a->key, b->key, least);
    return r ? r : a->key_size - b->key_size;
}

/* Where its records lie, and that their keys rise.  The first key of a branch is none. */
static int check_nodes(struct check *c, const struct walk *w, const struct page *p, unsigned count)
{
    const struct node *n = NULL, *before = NULL;
    uint32_t used = 0;

    memset(c->within, 0, c->page_size / 2);
    for (unsigned i = 0; i < count; i++) {
        int r = place_node(c, p, i, &n, &used);

        if (r < 0)
            return r;
        if (before && compare(w, before, n) >= 0)
            return damaged(c, "page %lu is not in order", (unsigned long)p->number);
        before = i == 0 && p->flags & BRANCH ? NULL : n;
    }
    return used == c->page_size - p->upper
               ? 0
               : damaged(c, "page %lu has a gap", (unsigned long)p->number);
}

static int check_page(struct check *c, struct walk *w, uint64_t number, unsigned above)
{
    bool leaf = above + 1 == w->tree->depth;
    const struct page *p = page_at(c, number, leaf ? LEAF : BRANCH);
    unsigned count;
    int r;

    if (!p)
        return -EBADMSG;
    if (p->lower < sizeof(*p) || p->lower % 2 || p->lower > p->upper || p->upper > c->page_size)
        return damaged(c, "page %lu has no sound head", (unsigned long)number);
    count = (p->lower - (unsigned)sizeof(*p)) / 2;
    if (count < (leaf ? 1 : 2))
        return damaged(c, "page %lu is empty", (unsigned long)number);
    r = check_nodes(c, w, p, count);
    *(leaf ? &w->found.leaves : &w->found.branches) += 1;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        uint16_t at = ((const uint16_t *)(p + 1))[i];
        const struct node *n = (const struct node *)((const uint8_t *)p + at);

        r = leaf ? check_leaf(c, w, n)
                 : check_page(c, w, data_size(n) | (uint64_t)n->flags << 32, above + 1);
    }
    return r;
}

static int check_tree(struct check *c, const struct tree *tree, int kind)
{
    struct walk w = {.tree = tree, .kind = kind};
    int r = 0;

    if (tree->flags != (kind == FREE_PAGES ? INTEGER_KEYS : 0) || tree->depth > DEEPEST ||
        (tree->root == NONE) != (tree->depth == 0))
        return damaged(c, "a database is of no kind that we store");
    if (tree->root != NONE)
        r = check_page(c, &w, tree->root, 0);
    if (r == 0 && (w.found.branches != tree->branches || w.found.leaves != tree->leaves ||
                   w.found.overflows != tree->overflows || w.found.entries != tree->entries))
        return damaged(c, "a database has not as many pages or records as it says");
    return r;
}

static bool known(const struct meta *m)
{
    return m->magic == MAGIC && m->version == VERSION;
}

/* A meta page may be written to while we read it. */
static struct meta read_meta(const void *from)
{
    struct meta m, again;

    do {
        memcpy(&m, from, sizeof(m));
        atomic_signal_fence(memory_order_seq_cst);
        memcpy(&again, from, sizeof(again));
    } while (memcmp(&m, &again, sizeof(m)) != 0);
    return m;
}

/* The meta page that counts.  1: found; 0: this is no database, or of another LMDB, for LMDB to
 * say. */
static int find_meta(struct check *c, struct meta *out)
{
    struct meta a, b;

    if (c->size < sizeof(a))
        return 0;
    a = read_meta(c->file);
    if (!known(&a))
        return 0;
    c->page_size = a.tree[FREE_PAGES].page_size;
    if (c->page_size < 512 || c->page_size > LARGEST || c->page_size & (c->page_size - 1) ||
        c->size < (uint64_t)ROOTS * c->page_size)
        return damaged(c, "its head does not make sense");
    b = read_meta(c->file + c->page_size);
    if (!known(&b))
        return 0;
    *out = a.transaction < b.transaction ? b : a;
    if (c->transaction && out->transaction != c->transaction)
        *out = a.transaction < b.transaction ? a : b;
    return c->transaction && out->transaction != c->transaction ? -EAGAIN : 1;
}

/* LMDB maps the file where and as it says. */
static bool mappable(const struct check *c, const struct meta *m)
{
    return m->tree[FREE_PAGES].page_size == c->page_size && m->address == 0 &&
           m->map_size <= MAPPABLE;
}

static int look_at_head(struct check *c)
{
    struct meta m;
    int r = find_meta(c, &m);

    if (r > 0 && !mappable(c, &m))
        return damaged(c, "its head does not make sense");
    return r < 0 ? r : 0;
}

static int check_file(struct check *c)
{
    struct meta m;
    int r = find_meta(c, &m);

    if (r <= 0)
        return r;
    if (!mappable(c, &m) || m.last_page >= m.map_size / c->page_size)
        return damaged(c, "its head does not make sense");
    c->pages = m.last_page + 1;
    c->seen = calloc(1, c->pages / 8 + 1);
    c->within = malloc(c->page_size / 2);
    if (!c->seen || !c->within)
        return -ENOMEM;
    r = check_tree(c, &m.tree[MAIN], MAIN);
    return r < 0 ? r : check_tree(c, &m.tree[FREE_PAGES], FREE_PAGES);
}

static int look_at(const char *path, struct check c, int (*look)(struct check *c))
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
    struct stat st;
    void *file;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : damaged(&c, "it is no file");
    c.size = r == 0 ? (uint64_t)st.st_size : 0;
    file = c.size ? mmap(NULL, c.size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    if (file == MAP_FAILED)
        r = -errno;
    close(fd);
    if (r < 0 || !file)
        return r;
    c.file = file;
    r = look(&c);
    munmap(file, c.size);
    free(c.seen);
    free(c.within);
    return r;
}

int check_snapshot(const char *path, uint64_t transaction, char *why, size_t room)
{
    return look_at(path, (struct check){.transaction = transaction, .why = why, .room = room},
                   check_file);
}

int check_head(const char *path, char *why, size_t room)
{
    return look_at(path, (struct check){.why = why, .room = room}, look_at_head);
}

int check_database(const char *path, char *why, size_t room)
{
    return check_snapshot(path, 0, why, room);
}

/*
 * Each change is made to what programs see, and noted in one list, in order.
 * A sync makes a file's noted changes to its safe image, too, and forgets them.
 * A power failure makes some of them, or parts of some; then the safe images
 * are what programs see.
 *
 * Changes of names reach the disk in their order, as with journals, and not
 * before the directory is synced: what a file's own sync does for its name
 * differs between file systems.
 */
#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096

struct change {
    struct change *next;
    enum { DATA, SIZE, NAME } kind;
    int file;
    uint64_t serial;
    uint64_t at; /* DATA: where; SIZE: the new size */
    size_t len;
    char from[DISK_NAME], to[DISK_NAME]; /* NAME: removed; set to the file */
    uint8_t data[];
};

struct file disk_file[DISK_FILES];
struct names disk_now;
uint64_t disk_unsynced, disk_serial;
static struct names safe_names;
static struct change *first, **last = &first;

uint64_t disk_random(uint64_t *chance)
{
    uint64_t x = *chance += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void *need(void *memory)
{
    if (memory)
        return memory;
    fprintf(stderr, "cutfs: out of memory\n");
    exit(1);
}

/* --- images ----------------------------------------------------------------------------------- */

static void make_room(struct image *i, uint64_t size)
{
    uint64_t room = i->room ? i->room : 65536;

    while (room < size)
        room *= 2;
    if (room == i->room)
        return;
    i->bytes = need(realloc(i->bytes, room));
    memset(i->bytes + i->room, 0, room - i->room);
    i->room = room;
}

static void set_size(struct image *i, uint64_t size)
{
    make_room(i, size);
    if (size < i->size)
        memset(i->bytes + size, 0, i->size - size);
    i->size = size;
}

static void put(struct image *i, uint64_t at, const void *data, size_t len)
{
    make_room(i, at + len);
    memcpy(i->bytes + at, data, len);
}

static void copy_image(struct image *to, const struct image *from)
{
    set_size(to, 0);
    set_size(to, from->size);
    if (from->size)
        memcpy(to->bytes, from->bytes, from->size);
}

/* --- names ------------------------------------------------------------------------------------ */

static struct name *find(struct names *n, const char *text)
{
    for (int i = 0; i < n->count; i++)
        if (strcmp(n->of[i].text, text) == 0)
            return &n->of[i];
    return NULL;
}

static void unset_name(struct names *n, const char *text)
{
    struct name *name = find(n, text);

    if (name)
        *name = n->of[--n->count];
}

static void set_name(struct names *n, const char *text, int file)
{
    struct name *name = find(n, text);

    if (!name)
        name = &n->of[n->count++];
    snprintf(name->text, sizeof(name->text), "%s", text);
    name->file = file;
}

static void change_names(struct names *n, const struct change *c)
{
    unset_name(n, c->from);
    if (c->to[0])
        set_name(n, c->to, c->file);
}

/* --- noting changes --------------------------------------------------------------------------- */

static struct change *note(int kind, int file, uint64_t at, const void *data, size_t len)
{
    struct change *c = need(calloc(1, sizeof(*c) + len));

    c->kind = kind;
    c->file = file;
    c->serial = ++disk_serial;
    c->at = at;
    c->len = len;
    if (len)
        memcpy(c->data, data, len);
    *last = c;
    last = &c->next;
    disk_unsynced++;
    return c;
}

static int note_names(const char *from, const char *to, int file)
{
    struct change *c = note(NAME, file, 0, NULL, 0);

    snprintf(c->from, sizeof(c->from), "%s", from);
    snprintf(c->to, sizeof(c->to), "%s", to);
    change_names(&disk_now, c);
    return file;
}

int disk_find(const char *name)
{
    struct name *n = find(&disk_now, name);

    return n ? n->file : -ENOENT;
}

int disk_create(const char *name, uint32_t mode)
{
    if (strlen(name) >= DISK_NAME)
        return -ENAMETOOLONG;
    for (int i = 0; i < DISK_FILES && disk_now.count < DISK_FILES; i++)
        if (!disk_file[i].used) {
            disk_file[i].used = true;
            disk_file[i].mode = mode;
            set_size(&disk_file[i].now, 0);
            set_size(&disk_file[i].safe, 0);
            return note_names("", name, i);
        }
    return -ENOSPC;
}

int disk_rename(const char *from, const char *to)
{
    int file = disk_find(from);

    if (strlen(to) >= DISK_NAME)
        return -ENAMETOOLONG;
    if (file < 0 || strcmp(from, to) == 0)
        return file < 0 ? file : 0;
    note_names(from, to, file);
    return 0;
}

int disk_remove(const char *name)
{
    int file = disk_find(name);

    if (file >= 0)
        note_names(name, "", file);
    return file < 0 ? file : 0;
}

int disk_resize(int file, uint64_t size)
{
    set_size(&disk_file[file].now, size);
    note(SIZE, file, size, NULL, 0);
    return 0;
}

ssize_t disk_write(int file, const void *data, size_t len, uint64_t at)
{
    struct image *now = &disk_file[file].now;

    put(now, at, data, len);
    note(DATA, file, at, data, len);
    if (at + len > now->size)
        disk_resize(file, at + len);
    return (ssize_t)len;
}

uint64_t disk_used(void)
{
    uint64_t used = 0;

    for (int i = 0; i < disk_now.count; i++)
        used += (disk_file[disk_now.of[i].file].now.size + BLOCK - 1) / BLOCK * BLOCK;
    return used;
}

/* --- syncing ---------------------------------------------------------------------------------- */

static void make_safe(const struct change *c)
{
    struct image *safe = &disk_file[c->file].safe;

    switch (c->kind) {
    case DATA:
        put(safe, c->at, c->data, c->len);
        break;
    case SIZE:
        set_size(safe, c->at);
        break;
    case NAME:
        change_names(&safe_names, c);
        break;
    }
}

static struct change **forget(struct change **at)
{
    struct change *c = *at;

    *at = c->next;
    if (!c->next)
        last = at;
    free(c);
    disk_unsynced--;
    return at;
}

/* Something is done with the noted changes that match, and they are forgotten. */
static void settle(bool names, int file, uint64_t from,
                   void (*how)(const struct change *c, uint64_t *chance), uint64_t *chance)
{
    for (struct change **c = &first; *c;) {
        if ((*c)->serial <= from || names != ((*c)->kind == NAME) ||
            (!names && (*c)->file != file)) {
            c = &(*c)->next;
            continue;
        }
        how(*c, chance);
        c = forget(c);
    }
}

static void make_all_safe(const struct change *c, uint64_t *chance)
{
    (void)chance;
    make_safe(c);
}

void disk_sync(int file)
{
    settle(false, file, 0, make_all_safe, NULL);
}

void disk_sync_since(int file, uint64_t serial)
{
    settle(false, file, serial, make_all_safe, NULL);
}

void disk_sync_names(void)
{
    settle(true, 0, 0, make_all_safe, NULL);
}

/* --- losing ----------------------------------------------------------------------------------- */

/* Some blocks of a write. */
static void make_some_safe(const struct change *c, unsigned block, unsigned percent,
                           uint64_t *chance)
{
    size_t len;

    for (size_t at = 0; at < c->len; at += len) {
        len = block - (c->at + at) % block; /* aligned */
        if (len > c->len - at)
            len = c->len - at;
        if (disk_random(chance) % 100 < percent)
            put(&disk_file[c->file].safe, c->at + at, c->data + at, len);
    }
}

static void make_part_safe(const struct change *c, unsigned block, unsigned percent,
                           uint64_t *chance)
{
    if (c->kind == DATA)
        make_some_safe(c, block, percent, chance);
    else if (disk_random(chance) % 100 < percent)
        make_safe(c);
}

static void make_half_safe(const struct change *c, uint64_t *chance)
{
    make_part_safe(c, BLOCK, 50, chance);
}

void disk_lose(int file, uint64_t *chance)
{
    settle(false, file, 0, make_half_safe, chance);
}

/* Names in their order: those before the first that is lost. */
static void keep_names(unsigned percent, uint64_t *chance)
{
    for (struct change *c = first; c; c = c->next)
        if (c->kind == NAME) {
            if (disk_random(chance) % 100 >= percent)
                return;
            make_safe(c);
        }
}

static void keep_parts(unsigned block, unsigned percent, uint64_t *chance)
{
    for (struct change *c = first; c; c = c->next)
        if (c->kind != NAME)
            make_part_safe(c, block, percent, chance);
    keep_names(percent, chance);
}

static void keep_until(uint64_t torn, uint64_t *chance)
{
    uint64_t i = 0;

    for (struct change *c = first; c && i <= torn; c = c->next, i++)
        if (i < torn || c->kind != DATA)
            make_safe(c);
        else
            make_some_safe(c, DISK_SECTOR, 50, chance);
}

static void keep_some(enum keep keep, uint64_t *chance)
{
    static const unsigned percents[] = {5, 50, 95};
    unsigned percent = percents[disk_random(chance) % 3];

    if (keep >= KEEP_KINDS)
        keep = (enum keep)(disk_random(chance) % KEEP_KINDS);
    if (keep == KEEP_BLOCKS || keep == KEEP_SECTORS)
        keep_parts(keep == KEEP_BLOCKS ? BLOCK : DISK_SECTOR, percent, chance);
    else if (keep == KEEP_UNTIL && disk_unsynced)
        keep_until(disk_random(chance) % disk_unsynced, chance);
    else if (keep == KEEP_ALL)
        keep_parts(BLOCK, 100, chance);
}

void disk_cut(enum keep keep, uint64_t *chance)
{
    bool named[DISK_FILES] = {false};

    keep_some(keep, chance);
    while (first)
        forget(&first);
    disk_now = safe_names;
    for (int i = 0; i < disk_now.count; i++)
        named[disk_now.of[i].file] = true;
    for (int i = 0; i < DISK_FILES; i++) {
        struct file *f = &disk_file[i];

        if (f->safe.bytes) /* data without its size: what is behind the end is 0 when it moves */
            memset(f->safe.bytes + f->safe.size, 0, f->safe.room - f->safe.size);
        copy_image(&f->now, &f->safe);
        f->used = named[i];
    }
}

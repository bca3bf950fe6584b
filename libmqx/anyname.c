/*
 * What shows queues of both kinds side by side (mqx, mqxfs, mqxd) knows them by these
 * names; the calls of a program do not need them.
 */
#include "anyname.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msqids.h"
#include "names.h"
#include "segment.h"

#define PREFIX MQXI_SYSV_DIR "/"

bool mqxi_name_is_sysv(const char *name)
{
    return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

/* A number as printf would write it, from *text on, which then is what follows. */
static bool number(const char **text, long least, long most, long *out)
{
    char *end, again[24];

    errno = 0;
    *out = strtol(*text, &end, 10);
    if (errno || *out < least || *out > most)
        return false;
    snprintf(again, sizeof(again), "%ld", *out);
    if (strncmp(again, *text, strlen(again)) != 0 || *text + strlen(again) != end)
        return false;
    *text = end;
    return true;
}

static int id_of_key(const char **text, int *id)
{
    size_t digits = strspn(*text, "0123456789abcdefABCDEF");
    unsigned long key = strtoul(*text, NULL, 16);

    if (digits == 0 || digits > 8)
        return -ENOENT;
    *text += digits;
    return mqxi_msqid_of((int)(uint32_t)key, id);
}

int mqxi_name_sysv(const char *name, int *id, long *type)
{
    const char *text = name + strlen(PREFIX);
    long n;
    int r;

    *type = 0;
    if (!mqxi_name_is_sysv(name))
        return -ENOENT;
    if (strncmp(text, "0x", 2) == 0) {
        text += 2;
        r = id_of_key(&text, id);
        if (r < 0)
            return r;
    } else {
        if (!number(&text, 0, INT_MAX, &n))
            return -ENOENT;
        *id = (int)n;
    }
    if (*text == '.') {
        text++;
        if (!number(&text, LONG_MIN, LONG_MAX, type) || *type == 0)
            return -ENOENT;
    }
    return *text ? -ENOENT : 0;
}

struct mqxi_choice mqxi_choice_of(long type, uint32_t longest)
{
    struct mqxi_choice c = {.mode = type == 0  ? MQXI_ANY
                                    : type > 0 ? MQXI_EQUAL
                                               : MQXI_LOWEST,
                            .type = type,
                            .longest = longest};

    if (type < 0)
        c.type = type == LONG_MIN ? LONG_MAX : -type;
    return c;
}

int mqxi_name_path(const char *name, char *path)
{
    long type;
    int id, r;

    if (!mqxi_name_is_sysv(name))
        return mqxi_path(MQXI_QUEUES, name, path);
    r = mqxi_name_sysv(name, &id, &type);
    return r < 0 ? r : mqxi_msqid_path(id, path);
}

int mqxi_name_attach(const char *name, struct mqxi_queue **out)
{
    long type;
    int id, r;

    if (!mqxi_name_is_sysv(name))
        return mqxi_segment_attach(name, out);
    r = mqxi_name_sysv(name, &id, &type);
    if (r == 0)
        r = mqxi_msqid_attach(id, out);
    return r == -EINVAL ? -ENOENT : r;
}

struct listing {
    int (*each)(const char *name, void *arg);
    void *arg;
};

static int list_one(uint32_t index, void *arg)
{
    const struct listing *l = arg;
    char name[32];
    int id;

    if (mqxi_msqid_at(index, &id) < 0)
        return 0;
    snprintf(name, sizeof(name), PREFIX "%d", id);
    return l->each(name, l->arg);
}

int mqxi_name_list(int (*each)(const char *name, void *arg), void *arg)
{
    struct listing l = {each, arg};
    int r = mqxi_segment_list(each, arg);

    return r ? r : mqxi_msqid_list(list_one, &l);
}

/*
 * Orders, one a write:
 *
 *     cut                 the power fails now
 *     cut-at N            ... with the N-th change from now: a write, a sync, a
 *                         name; by chance before or after it had its effect
 *     on                  the power is back
 *     empty               a new disk
 *     keep KIND           what is left of what was not synced: nothing, blocks,
 *                         sectors, until, all, random
 *     seed N              for whatever is by chance
 *     lie KINDS           syncs that say they are done and are not: none, fsync,
 *                         dsync (writes by descriptors with O_DSYNC), names, all
 *     fail-write N        the N-th write from now fails with EIO; 0: none
 *     fail-sync N         the same with syncs; what they were for is lost, and
 *                         the next one succeeds, as on Linux
 *     relapse N           when a sync failed, the next, or one of the next ten, fails in N percent
 *     space N             bytes on the disk; 0: no limit
 */
#include "power.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIE_FSYNC = 1, LIE_DSYNC = 2, LIE_NAMES = 4 };

bool power_off;
uint64_t power_epoch = 1;
static struct {
    uint64_t changes, syncs, cuts, cut_at, fail_write, fail_sync, relapse, space, chance;
    enum keep keep;
    unsigned lies;
} power = {.chance = 1, .keep = KEEP_RANDOM};

/* --- orders ----------------------------------------------------------------------------------- */

static const char *const keeps[] = {"nothing", "blocks", "sectors", "until", "all", "random"};
static const char *const lies[] = {"none",  "fsync", "dsync", "fsync+dsync",
                                   "names", NULL,    NULL,    "all"};

static int choose(const char *const *list, unsigned n, const char *word)
{
    for (unsigned i = 0; i < n; i++)
        if (list[i] && strcmp(list[i], word) == 0)
            return (int)i;
    return -EINVAL;
}

void power_cut(void)
{
    power_off = true;
    power.cut_at = 0;
    power_epoch++;
    power.cuts++;
    disk_cut(power.keep, &power.chance);
}

int power_obey(const char *order, const char *word)
{
    const struct {
        const char *order;
        uint64_t *set, base;
    } numbers[] = {{"cut-at", &power.cut_at, power.changes},
                   {"fail-write", &power.fail_write, 0},
                   {"fail-sync", &power.fail_sync, 0},
                   {"relapse", &power.relapse, 0},
                   {"space", &power.space, 0},
                   {"seed", &power.chance, 0}};
    int r = 0;

    if (strcmp(order, "cut") == 0) {
        if (!power_off)
            power_cut();
        return 0;
    }
    if (strcmp(order, "on") == 0) {
        power_off = false;
        return 0;
    }
    if (strcmp(order, "empty") == 0) {
        while (disk_now.count)
            disk_remove(disk_now.of[0].text);
        disk_sync_names();
        return 0;
    }
    if (strcmp(order, "keep") == 0) {
        r = choose(keeps, KEEP_RANDOM + 1, word);
        if (r >= 0)
            power.keep = (enum keep)r;
        return r;
    }
    if (strcmp(order, "lie") == 0) {
        r = choose(lies, 8, word);
        if (r >= 0)
            power.lies = (unsigned)r;
        return r;
    }
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        if (strcmp(order, numbers[i].order) == 0) {
            *numbers[i].set = strtoull(word, NULL, 0) + numbers[i].base;
            return 0;
        }
    return -EINVAL;
}

int power_state(char *text, size_t size)
{
    return snprintf(text, size,
                    "%s cuts=%" PRIu64 " changes=%" PRIu64 " syncs=%" PRIu64 " unsynced=%" PRIu64
                    " used=%" PRIu64 "\n",
                    power_off ? "off" : "on", power.cuts, power.changes, power.syncs, disk_unsynced,
                    disk_used());
}

/* --- power ------------------------------------------------------------------------------------ */

int power_begin_change(void)
{
    if (power_off)
        return -EIO;
    if (++power.changes != power.cut_at)
        return 0;
    return 1 + (int)(disk_random(&power.chance) % 2);
}

static bool is_now(uint64_t *count)
{
    return *count && --*count == 0;
}

/* As much as there is room for: a full disk takes a part of a write. */
static size_t room_for(int file, size_t len, uint64_t at)
{
    uint64_t used = disk_used(), have = (disk_file[file].now.size + 4095) / 4096 * 4096;

    if (!power.space)
        return len;
    have += power.space > used ? (power.space - used) / 4096 * 4096 : 0;
    return at >= have ? 0 : len <= have - at ? len : have - at;
}

bool power_has_room(int file, uint64_t size)
{
    uint64_t have = disk_file[file].now.size;

    return room_for(file, size - have, have) == size - have;
}

/* A sync, unless it was told to lie, or to fail. */
int power_sync(int file, uint64_t since, bool is_dsync)
{
    power.syncs++;
    if (is_now(&power.fail_sync)) {
        if (disk_random(&power.chance) % 100 < power.relapse)
            power.fail_sync = 1 + disk_random(&power.chance) % 2 * (disk_random(&power.chance) % 10);
        disk_lose(file, &power.chance);
        return -EIO;
    }
    if (power.lies & (is_dsync ? LIE_DSYNC : LIE_FSYNC))
        return 0;
    if (is_dsync)
        disk_sync_since(file, since);
    else
        disk_sync(file);
    return 0;
}

void power_sync_names(void)
{
    if (!(power.lies & LIE_NAMES))
        disk_sync_names();
}

uint64_t power_space(void)
{
    return power.space ? power.space : UINT64_C(1) << 30;
}

int power_write(int file, const char *data, size_t *len, uint64_t at, bool is_dsync)
{
    uint64_t since = disk_serial;
    int when = power_begin_change(), r = 0;

    if (when < 0)
        return -EIO;
    *len = room_for(file, *len, at);
    if (when == 0 && is_now(&power.fail_write))
        return -EIO;
    if (*len == 0 && when == 0)
        return -ENOSPC;
    disk_write(file, data, *len, at);
    if (is_dsync && when != 1)
        r = power_sync(file, since, true);
    if (when > 0)
        power_cut();
    return when ? -EIO : r;
}

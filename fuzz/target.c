/* A fuzz target's common part: its directory, its mutations, its cleaning up. */
#include "target.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "damage.h"
#include "names.h"

/* MQX_DIR is a directory of this process's own: scripts/fuzz.sh makes and removes it. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    damage_must(getenv("MQX_DIR") != NULL, "MQX_DIR is not set; run scripts/fuzz.sh", 0);
    damage_must(mqxi_dirs_make() == 0, "directories in MQX_DIR", errno);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    return damage_mutate(data, size, most, seed, LLVMFuzzerMutate);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t most, unsigned seed)
{
    return damage_cross(a, a_size, b, b_size, out, most, seed);
}

static void empty(enum mqxi_place place)
{
    char dir[PATH_MAX], path[PATH_MAX];
    struct dirent *entry;
    DIR *d;

    mqxi_path(place, "", dir);
    d = opendir(dir);
    damage_must(d != NULL, "directory in MQX_DIR", errno);
    while ((entry = readdir(d)))
        if (entry->d_name[0] != '.' && mqxi_path(place, entry->d_name, path) == 0)
            unlink(path);
    closedir(d);
}

void target_clean(const char *fifo)
{
    empty(MQXI_QUEUES);
    empty(MQXI_GONE);
    unlink(fifo);
}

/*
 * Damaged queues for programs to meet: what an input of the fuzzers says.
 *
 *     damage_queue QUEUE INPUT          make the queue, damaged
 *     damage_queue --sound QUEUE INPUT  make it undamaged
 *     damage_queue --live QUEUE INPUT   damage the one that is there
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "damage.h"
#include "durable.h"
#include "names.h"

static uint8_t bytes[64 << 10];

static int usage(void)
{
    fputs("usage: damage_queue [--sound | --live] QUEUE INPUT\n", stderr);
    return 2;
}

static int live(const char *name, struct damage_input *in)
{
    struct damage_record record;
    struct mqxi_attr attr;
    struct mqxi_queue *q;
    int r = mqxi_segment_attach(name, &q);

    if (r < 0) {
        fprintf(stderr, "damage_queue: %s: %s\n", name, strerror(-r));
        return 1;
    }
    damage_head(in, &attr);
    while (damage_next(in, &record) && !(record.what & DAMAGE_OPERATION))
        damage_do(q, &record);
    /* Whoever mirrors it looks at all of it. */
    for (uint32_t i = 0; i < q->layout.maxmsg; i++)
        mqxi_durable_mark(q, i);
    mqxi_segment_detach(q);
    return 0;
}

static void sound(const char *name, struct damage_input *in)
{
    char fifo[PATH_MAX];
    struct mqxi_attr attr;
    struct damage_head head = damage_head(in, &attr);

    damage_fill(&attr, head.messages, name, fifo);
}

int main(int argc, char **argv)
{
    bool option = argc == 4 && argv[1][0] == '-';
    const char *name = argc > 2 ? argv[argc - 2] : "";
    struct damage_input in = {.at = bytes};
    char fifo[PATH_MAX];
    FILE *f;

    if (argc != 3 + option)
        return usage();
    f = fopen(argv[argc - 1], "r");
    if (!f) {
        fprintf(stderr, "damage_queue: %s: %s\n", argv[argc - 1], strerror(errno));
        return 1;
    }
    in.left = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    if (option && strcmp(argv[1], "--live") == 0)
        return live(name, &in);
    if (option && strcmp(argv[1], "--sound") != 0)
        return usage();
    if (option)
        sound(name, &in);
    else
        damage_build(&in, name, fifo);
    mqxi_durable_rescan(geteuid());
    return 0;
}

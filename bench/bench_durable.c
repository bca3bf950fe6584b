/*
 * Durable queues against the disk and against brokers, side by side: senders
 * that have each message on disk before they send the next, to each in turn,
 * all on one disk.  What counts is the ratio within such a round, since others
 * use the disk, too; the table shows its median, and its range.
 *
 * The limit is a file that one process appends a message for each sender to,
 * and then syncs.  That wakes nobody: what processes that wait for one writer
 * cost at least, "group commit" tells.  Brokers that are not installed are left out.
 */
#include "durable.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "table.h"

#define BATCHES        100 /* of the rows about async */
#define ASYNC_TARGET   1.3 /* at most */
#define RESTORE_TARGET 3.0 /* seconds at most, for RESTORE_MANY */
#define RESTORE_MANY   1000000L
#define RESTORE_FEW    50000L

static const struct peer *const peers[PEERS] = {
    [RAW] = &peer_raw,          [PLACE] = &peer_place, [GROUP] = &peer_group,
    [MQX] = &peer_mqx,          [REDIS] = &peer_redis, [BEANSTALKD] = &peer_beanstalkd,
    [RABBITMQ] = &peer_rabbitmq};
static const unsigned numbers[] = {1, 8, 64};
static const size_t sizes[] = {128, 4096};

static bool quick, strict, there[PEERS];
static int rounds;
static double seconds;
static const char *below = ".", *mqxd, *json;

static void say_disk(void)
{
    static const struct {
        long magic;
        const char *name;
    } known[] = {{0xEF53, "ext4"},      {0x58465342, "xfs"},       {0x9123683E, "btrfs"},
                 {0x01021994, "tmpfs"}, {0x794c7630, "overlayfs"}, {0x6969, "nfs"},
                 {0x2FC12FC1, "zfs"},   {0xF2F52010, "f2fs"}};
    const char *name = "of another kind";
    struct statfs fs;

    if (statfs(below, &fs) != 0)
        durable_fail("cannot look at", below);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].magic == (long)fs.f_type)
            name = known[i].name;
    printf("file system: %s%s\n", name,
           fs.f_type == 0x01021994 ? "; it is memory, and the figures say nothing of disks" : "");
}

static void start_peers(void)
{
    for (int p = 0; p < PEERS; p++) {
        const char *missing = peers[p]->missing();

        if (quick && peers[p]->slow)
            printf("%s: skipped: it takes long to start, and this is a quick run\n",
                   peers[p]->name);
        else if (missing && !peers[p]->package)
            durable_fail("cannot find", missing);
        else if (missing)
            printf("%s: skipped: no %s; Debian's packages: %s\n", peers[p]->name, missing,
                   peers[p]->package);
        else
            there[p] = true;
        if (there[p])
            peers[p]->start();
    }
}

/* One round: messages a second of each, in another order each time: some leave work behind, for
 * who comes next. */
static void turn(struct team **teams, size_t size, double *rate)
{
    int order[PEERS];

    for (int i = 0; i < PEERS; i++) {
        int j = (int)((unsigned)rand() % (unsigned)(i + 1));

        order[i] = order[j];
        order[j] = i;
    }
    for (int i = 0; i < PEERS; i++) {
        int p = order[i];

        if (!there[p])
            continue;
        rate[p] = team_turn(teams[p], seconds);
        if (peers[p]->empty)
            peers[p]->empty(size);
    }
}

static void bench_row(size_t size, int number, bool held)
{
    static double rate[ROUNDS_MAX][PEERS];
    static struct result result;
    struct team *teams[PEERS] = {0};
    char place[24];

    snprintf(place, sizeof place, "%u %s%s", numbers[number], held ? "long" : "sender",
             number && !held ? "s" : "");
    for (int p = 0; p < PEERS; p++)
        if (there[p])
            teams[p] = team_open(peers[p], numbers[number], size);
    for (int r = -1; r < rounds; r++) /* the first warms up */
        turn(teams, size, rate[r < 0 ? 0 : r]);
    for (int p = 0; p < PEERS; p++) {
        if (there[p])
            team_close(teams[p]);
        if (!there[p] || p == MQX)
            continue;
        result = (struct result){.name = peers[p]->name,
                                 .place = place,
                                 .first_name = "peer_us",
                                 .maxmsg = (int)size,
                                 .at_least = true,
                                 .target = held ? 0 : peers[p]->target[number]};
        for (int r = 0; r < rounds; r++) {
            result.first[r] = 1e6 / rate[r][p];
            result.mqx[r] = 1e6 / rate[r][MQX];
            result.ratio[r] = result.first[r] / result.mqx[r];
        }
        table_row(&result, rounds);
    }
}

/* So long that mqxd's journal is full again and again, and all goes into its database as well: what
 * is to be had where nobody receives.  In short turns most of that comes later, for what is left.
 */
static void bench_long(size_t size)
{
    const double turn_seconds = seconds;
    const int many = rounds;
    bool were[PEERS];

    memcpy(were, there, sizeof there);
    for (int p = 0; p < PEERS; p++)
        there[p] &= p == RAW || p == GROUP || p == MQX;
    seconds *= 10;
    rounds = rounds < 3 ? rounds : 3;
    bench_row(size, (int)(sizeof numbers / sizeof numbers[0]) - 1, true);
    memcpy(there, were, sizeof there);
    seconds = turn_seconds;
    rounds = many;
}

static void bench_async(size_t size)
{
    static struct result result;
    int batches = quick ? 10 : BATCHES;

    result = (struct result){.name = "async",
                             .place = "1 sender",
                             .first_name = "volatile_us",
                             .maxmsg = (int)size,
                             .target = ASYNC_TARGET};
    mqx_async(size, batches, result.first, result.mqx);
    for (int b = 0; b < batches; b++) {
        result.ratio[b] = result.mqx[b] / result.first[b];
        result.first[b] /= 1e3;
        result.mqx[b] /= 1e3;
    }
    table_row(&result, batches);
}

static void bench_restore(void)
{
    long messages = quick ? RESTORE_FEW : RESTORE_MANY;
    double took = mqx_restore(sizes[0], messages);
    bool ok = took <= RESTORE_TARGET;

    printf("\nmqxd is ready %.2f s after its start, with %ld messages of %zu bytes restored", took,
           messages, sizes[0]);
    if (!quick) {
        printf("  <= %g s  %s", RESTORE_TARGET, ok ? "ok" : "short");
        table_short += !ok;
    }
    printf("\n");
    table_rows++;
    if (table_json)
        fprintf(table_json, "],\n  \"restore\": {\"messages\": %ld, \"seconds\": %.3f}}\n",
                messages, took);
}

static bool read_options(int argc, char **argv)
{
    static const struct option table[] = {{"mqxd", 1, NULL, 'm'},   {"dir", 1, NULL, 'd'},
                                          {"json", 1, NULL, 'j'},   {"quick", 0, NULL, 'q'},
                                          {"rounds", 1, NULL, 'r'}, {"seconds", 1, NULL, 's'},
                                          {"strict", 0, NULL, 'x'}, {NULL, 0, NULL, 0}};
    int got;

    while ((got = getopt_long(argc, argv, "", table, NULL)) != -1 && got != '?') {
        quick |= got == 'q';
        strict |= got == 'x';
        mqxd = got == 'm' ? optarg : mqxd;
        below = got == 'd' ? optarg : below;
        json = got == 'j' ? optarg : json;
        rounds = got == 'r' ? atoi(optarg) : rounds;
        seconds = got == 's' ? atof(optarg) : seconds;
    }
    rounds = rounds ? rounds : quick ? 1 : 15;
    seconds = seconds > 0 ? seconds : quick ? 0.02 : 0.15;
    return got == -1 && optind == argc && mqxd && rounds > 0 && rounds <= ROUNDS_MAX;
}

int main(int argc, char **argv)
{
    if (!read_options(argc, argv)) {
        fprintf(stderr,
                "usage: %s --mqxd PROGRAM [--dir ON-DISK] [--json FILE] [--quick] [--rounds N]\n"
                "       [--seconds S] [--strict]\n",
                argv[0]);
        return 2;
    }
    if (json && !(table_json = fopen(json, "w")))
        durable_fail("cannot write", json);
    durable_begin(below);
    mqx_begin(mqxd);
    printf("durable messages: us a message, all senders (processes) together, medians of %d "
           "rounds of %g s each in turn\n",
           rounds, seconds);
    say_disk();
    start_peers();
    if (table_json)
        fprintf(table_json, "{\"rounds\": %d, \"seconds\": %g, \"quick\": %s, \"rows\": [", rounds,
                seconds, quick ? "true" : "false");
    printf("\n%-13s %7s  %-10s %9s %9s %9s  %-14s  target\n", "", "bytes", "", "it", "mqx", "ratio",
           "  range");
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int n = 0; n < (int)(sizeof numbers / sizeof numbers[0]); n++)
            bench_row(sizes[s], n, false);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        bench_long(sizes[s]);
    printf("\n%-13s %7s  %-10s %9s %9s %9s\n", "", "bytes", "", "volatile", "async", "ratio");
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        bench_async(sizes[s]);
    bench_restore();
    if (table_json && fclose(table_json) != 0)
        durable_fail("cannot write", json);
    printf("\nbench_durable: %d rows measured, %d short of their target%s\n", table_rows,
           table_short, quick ? " (a quick run: that means little)" : "");
    return strict && table_short;
}

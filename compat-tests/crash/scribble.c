/*
 * scribble: writes nonsense into a file that others have mapped, and pulls it
 * about, until it is told to stop.  A queue's segment, above all: then it knows
 * what lies where, and writes what could mean something.  It also works on the
 * registry of clients, the doorbell, a database: on those it knows only bytes.
 *
 * Nothing here is careful: it is the hostile process.  Where the file is cut off
 * under its own feet, it begins again; where the file is replaced, it follows.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../libmqx/layout.h"

#define KINDS(X)                                                                                   \
    X(bytes, "random bytes anywhere")                                                              \
    X(words, "words of a segment: control words, nodes, events, lengths, header, bitmaps")         \
    X(flips, "one word of a segment, to and fro as fast as it goes")                               \
    X(heal, "the segment as it was when it was found")                                             \
    X(sizes, "cut the file off, make it longer, punch holes")                                      \
    X(fill, "fill the file system for a moment")                                                   \
    X(locks, "lock bytes of the file")

enum kind {
#define X(name, what) KIND_##name,
    KINDS(X)
#undef X
        KIND_COUNT
};
static const char *const kind_names[] = {
#define X(name, what) #name,
    KINDS(X)
#undef X
};

#define WHOLE   (64u << 20) /* of a file: what is beyond is left in peace */
#define DEEPEST 256u        /* slots beyond it are seldom visited */

static struct {
    const char *path;
    int fd;
    uint8_t *map;
    size_t size;   /* when it was found, and mapped */
    size_t length; /* to be written to */
    ino_t ino;
    bool segment;
    struct mqxi_layout l;
    uint8_t *pristine; /* its beginning when it was found */
    size_t pristine_length;
} file = {.fd = -1};

static uint64_t seed, seconds, writes;
static bool wanted[KIND_COUNT];
static uint64_t done; /* writes */
static volatile sig_atomic_t stop;
static sigjmp_buf cut_off;

static uint64_t chance(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
    return chance() % n;
}

static void nap_us(uint64_t us)
{
    struct timespec t = {0, (long)us * 1000};

    nanosleep(&t, NULL);
}

/* --- the file ----------------------------------------------------------------------------------
 */

static void let_go(void)
{
    if (file.map)
        munmap(file.map, file.size);
    if (file.fd >= 0)
        close(file.fd);
    free(file.pristine);
    file.map = NULL;
    file.pristine = NULL;
    file.fd = -1;
}

/* Is it a segment, as its library made it?  Then we know its parts. */
static void recognize(void)
{
    struct mqxi_header h;
    uint32_t slots;

    file.segment = pread(file.fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
                   h.magic == MQXI_MAGIC && h.version == MQXI_FORMAT_VERSION &&
                   h.fingerprint == mqxi_fingerprint() &&
                   mqxi_layout(h.maxmsg, h.msgsize, &file.l) == 0 && file.l.size == file.size;
    if (!file.segment)
        return;
    slots = file.l.maxmsg < DEEPEST ? file.l.maxmsg : DEEPEST;
    file.pristine_length = file.l.slots + (size_t)slots * file.l.stride;
    if (file.pristine_length > WHOLE)
        file.pristine_length = MQXI_PAGE;
    file.pristine = malloc(file.pristine_length);
    if (file.pristine &&
        pread(file.fd, file.pristine, file.pristine_length, 0) != (ssize_t)file.pristine_length) {
        free(file.pristine);
        file.pristine = NULL;
    }
}

static bool find(void)
{
    struct stat st;

    let_go();
    file.fd = open(file.path, O_RDWR | O_CLOEXEC);
    if (file.fd < 0 || fstat(file.fd, &st) < 0 || st.st_size < 8)
        return false;
    file.size = (size_t)st.st_size;
    file.length = file.size < WHOLE ? file.size : WHOLE;
    file.ino = st.st_ino;
    file.map =
        mmap(NULL, file.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.fd, 0);
    if (file.map == MAP_FAILED) {
        file.map = NULL;
        return false;
    }
    recognize();
    return true;
}

static bool replaced(void)
{
    struct stat st;

    return stat(file.path, &st) < 0 || st.st_ino != file.ino;
}

static void on_sigbus(int sig)
{
    (void)sig;
    siglongjmp(cut_off, 1);
}

static void on_end(int sig)
{
    (void)sig;
    stop = 1;
}

/* --- what to write, and where ------------------------------------------------------------------
 */

static _Atomic uint64_t *word_at(uint64_t offset)
{
    return (_Atomic uint64_t *)(file.map + offset / 8 * 8);
}

static uint64_t any_word(void)
{
    return atomic_load_explicit(word_at(below(file.length - 7)), memory_order_relaxed);
}

/* The slot of the next message: that is where others look. */
static uint32_t next_slot(void)
{
    const _Atomic uint64_t *ctl = word_at(file.l.ctl);
    uint32_t next = 0;

    for (uint32_t i = 0; i < DEEPEST && i < file.l.maxmsg; i++)
        if (atomic_load(&ctl[i]) - 1 < atomic_load(&ctl[next]) - 1)
            next = i;
    return next;
}

static uint32_t any_slot(void)
{
    uint64_t n = below(16) ? DEEPEST : file.l.maxmsg;

    if (below(2))
        return next_slot();

    return (uint32_t)below(n < file.l.maxmsg ? n : file.l.maxmsg);
}

/* Eight bytes that could mean something. */
static uint64_t telling(void)
{
    const uint64_t fixed[] = {
        0, 1, 2, UINT64_MAX, UINT32_MAX, INT64_MAX, MQXI_SEQ_MAX, MQXI_SEQ_MAX - 1, MQXI_CTL_OWNED};
    uint64_t maxmsg = file.segment ? file.l.maxmsg : 1, msgsize = file.segment ? file.l.msgsize : 1;

    switch (below(12)) {
    case 0:
        return maxmsg + below(3) - 1;
    case 1:
        return msgsize + below(3) - 1;
    case 2:
        return chance();
    case 3: /* an owner, living, dead or never born */
        return (below(2) ? MQXI_CTL_FILLING : MQXI_CTL_TAKING) | (any_word() & MQXI_CTL_OWNER);
    case 4:
        return MQXI_CTL_OWNED | below(8) << 60 | (below(MQXI_CLIENTS_MAX) << MQXI_GEN_BITS) | 1;
    case 5: /* a key */
        return (MQXI_PRIO_MAX - 1 - below(9)) << MQXI_SEQ_BITS | (1 + below(1000));
    case 6:
        return any_word() + below(3) - 1;
    case 7:
        return any_word() << below(64);
    case 8:
        return below(maxmsg + 1) | below(maxmsg + 1) << 32;
    case 9:
        return any_word();
    default:
        return fixed[below(sizeof(fixed) / sizeof(*fixed))];
    }
}

#define HEADER(field) offsetof(struct mqxi_header, field)
#define SLOT(field)   offsetof(struct mqxi_slot, field)

/* Where a word with a meaning lies, and how many bytes it has. */
static uint64_t telling_place(unsigned *bytes)
{
    static const uint16_t small[] = {HEADER(version),    HEADER(kind),       HEADER(maxmsg),
                                     HEADER(msgsize),    HEADER(mode),       HEADER(durable),
                                     HEADER(recv_event), HEADER(send_event), HEADER(recv_event),
                                     HEADER(reserved),   HEADER(free_word),  HEADER(front_used),
                                     HEADER(send_event), HEADER(dirty),      HEADER(commit_event),
                                     HEADER(send_cpu),   HEADER(put_tells),  HEADER(take_tells),
                                     HEADER(shown),      HEADER(watched),    HEADER(registry)};
    static const uint16_t large[] = {HEADER(magic),    HEADER(fingerprint), HEADER(sequence),
                                     HEADER(sequence), HEADER(last_sweep),  HEADER(last_send_ns)};
    static const uint16_t of_slot[] = {SLOT(len), SLOT(len), SLOT(room), SLOT(pid)};
    static const uint16_t of_slot_large[] = {SLOT(key), SLOT(key), SLOT(disk_key), SLOT(type)};
    const struct mqxi_layout *l = &file.l;
    uint64_t slot = l->slots + (uint64_t)any_slot() * l->stride;

    *bytes = 8;
    switch (below(11)) {
    case 10: /* notifications */
        return HEADER(notify) + below(sizeof(struct mqxi_header) - HEADER(notify)) / 8 * 8;
    case 0:
        *bytes = 4;
        return small[below(sizeof(small) / sizeof(*small))];
    case 1:
        return large[below(sizeof(large) / sizeof(*large))];
    case 2:
        return l->used + any_slot() / 64 * 8;
    case 3:
        return l->dirty + any_slot() / 64 * 8;
    case 4:
        *bytes = 4;
        return slot + of_slot[below(sizeof(of_slot) / sizeof(*of_slot))];
    case 5:
        return slot + of_slot_large[below(sizeof(of_slot_large) / sizeof(*of_slot_large))];
    case 6:
    case 7:
        if (l->levels > 0) {
            unsigned level = below(2) ? l->levels - 1 : (unsigned)below(l->levels);
            uint64_t n = below(l->nodes[level] < DEEPEST ? l->nodes[level] : DEEPEST);

            return l->level[level] + n * sizeof(struct mqxi_node) + below(2) * 8;
        }
        return l->ctl + any_slot() * UINT64_C(8);
    default:
        return l->ctl + any_slot() * UINT64_C(8);
    }
}

static void put(uint64_t offset, unsigned bytes, uint64_t value)
{
    if (bytes == 8)
        atomic_store_explicit(word_at(offset), value, memory_order_relaxed);
    else
        atomic_store_explicit((_Atomic uint32_t *)(file.map + offset), (uint32_t)value,
                              memory_order_relaxed);
}

/* --- the kinds ---------------------------------------------------------------------------------
 */

static void scribble_bytes(void)
{
    uint64_t at = below(file.length);

    if (below(4)) /* where most of it is: at the beginning */
        at = below(file.length < 16 * MQXI_PAGE ? file.length : 16 * MQXI_PAGE);
    switch (below(3)) {
    case 0:
        *(volatile uint8_t *)(file.map + at) ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        *(volatile uint8_t *)(file.map + at) = (uint8_t)chance();
        break;
    default:
        if (at + 8 <= file.length)
            put(at, 8, below(2) ? chance() : telling());
    }
}

static void scribble_words(void)
{
    unsigned bytes;
    uint64_t at;

    if (!file.segment) {
        scribble_bytes();
        return;
    }
    at = telling_place(&bytes);
    put(at, bytes, telling());
}

static void scribble_heal(void)
{
    if (file.pristine)
        memcpy(file.map, file.pristine, file.pristine_length);
}

/* What bounds something: a length, a slot's number, how many slots there are. */
static uint64_t bounding_place(unsigned *bytes)
{
    static const uint16_t counts[] = {HEADER(reserved), HEADER(free_word), HEADER(front_used)};
    const struct mqxi_layout *l = &file.l;

    *bytes = 8;
    if (below(8) == 0)
        return telling_place(bytes);
    if (below(3) == 0 && l->levels > 0)
        return l->level[l->levels - 1] + offsetof(struct mqxi_node, where);
    *bytes = 4;
    if (below(3) == 0)
        return counts[below(sizeof(counts) / sizeof(*counts))];
    return l->slots + (uint64_t)any_slot() * l->stride + SLOT(len);
}

/* Who reads it twice gets two answers: what stands there, and another. */
static void scribble_flips(void)
{
    unsigned bytes = 8;
    uint64_t at, a, b, n = 1000 + below(below(16) ? 20000 : 1000000);

    at = file.segment ? bounding_place(&bytes) : below(file.length - 7) / 8 * 8;
    a = bytes == 8 ? atomic_load(word_at(at)) : atomic_load((_Atomic uint32_t *)(file.map + at));
    b = telling();
    for (uint64_t i = 0; i < n && !stop; i++)
        put(at, bytes, i % 2 ? a : b);
    put(at, bytes, a);
}

static void scribble_sizes(void)
{
    uint64_t at = below(file.size), len = below(file.size - at) + 1;

    switch (below(4)) {
    case 0:
    case 1:
        if (fallocate(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len))
            return;
        break;
    case 2:
        if (ftruncate(file.fd, (off_t)(below(2) ? at : below(MQXI_PAGE * 2))))
            return;
        nap_us(below(2000));
        if (below(4) == 0)
            return; /* it stays short */
        break;
    default:
        if (ftruncate(file.fd, (off_t)(file.size + below(8 * MQXI_PAGE))))
            return;
        nap_us(below(2000));
    }
    if (ftruncate(file.fd, (off_t)file.size) == 0 && file.pristine && below(2) &&
        pwrite(file.fd, file.pristine, file.pristine_length, 0) < 0)
        return;
}

/* Somebody else's file takes all the room there is. */
static void scribble_fill(void)
{
    static uint8_t block[1u << 16];
    char path[PATH_MAX];
    int fd;

    snprintf(path, sizeof(path), "%s", file.path);
    fd = open(dirname(path), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    while (!stop && write(fd, block, sizeof(block)) > 0)
        ;
    while (!stop && write(fd, block, MQXI_PAGE) > 0)
        ;
    /* What is cut out of the file now cannot be had again. */
    if (below(2))
        scribble_sizes();
    nap_us(below(30000));
    close(fd);
}

/* As those do who take a client number, and those who run mqxd. */
static void scribble_locks(void)
{
    struct flock lock = {.l_type = (short)(below(3) == 0   ? F_UNLCK
                                           : below(2) == 0 ? F_WRLCK
                                                           : F_RDLCK),
                         .l_start = (off_t)below(MQXI_CLIENTS_MAX),
                         .l_len = (off_t)(below(8) ? 1 : below(MQXI_CLIENTS_MAX) + 1)};

    if (below(64) == 0) /* all of them */
        lock = (struct flock){.l_type = (short)(below(2) ? F_WRLCK : F_UNLCK)};
    fcntl(file.fd, F_OFD_SETLK, &lock);
}

static void scribble(enum kind kind)
{
    switch (kind) {
    case KIND_bytes:
        scribble_bytes();
        break;
    case KIND_words:
        scribble_words();
        break;
    case KIND_flips:
        scribble_flips();
        break;
    case KIND_heal:
        scribble_heal();
        break;
    case KIND_sizes:
        scribble_sizes();
        break;
    case KIND_fill:
        scribble_fill();
        break;
    default:
        scribble_locks();
    }
    done++;
}

/* --- options, and the loop ---------------------------------------------------------------------
 */

static bool choose(char *list)
{
    memset(wanted, 0, sizeof(wanted));
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        int i = 0;

        while (i < KIND_COUNT && strcmp(name, kind_names[i]) != 0)
            i++;
        if (i == KIND_COUNT)
            return false;
        wanted[i] = true;
    }
    return true;
}

static void usage(void)
{
    fputs("usage: scribble [--seed N] [--seconds N] [--writes N] [--kinds KIND,...] FILE\n"
          "Scribbles over FILE until SIGTERM, or for so long, or so often.  Kinds:\n",
          stderr);
#define X(name, what) fprintf(stderr, "  %-6s %s\n", #name, what);
    KINDS(X)
#undef X
    exit(2);
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"writes", required_argument, NULL, 'w'},
                                            {"kinds", required_argument, NULL, 'k'},
                                            {0}};
    int option;

    wanted[KIND_bytes] = wanted[KIND_words] = wanted[KIND_flips] = wanted[KIND_heal] = true;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (option == 't')
            seconds = strtoull(optarg, NULL, 0);
        else if (option == 'w')
            writes = strtoull(optarg, NULL, 0);
        else if (option != 'k' || !choose(optarg))
            usage();
    }
    if (argc - optind != 1)
        usage();
    file.path = argv[optind];
    if (seed == 0)
        seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
}

/* Some of one kind, then a moment of peace, in which what was broken is met. */
static void burst(void)
{
    enum kind kind;
    uint64_t n;

    do
        kind = (enum kind)below(KIND_COUNT);
    while (!wanted[kind]);
    n = kind == KIND_flips                                               ? 1 + below(64)
        : kind == KIND_bytes || kind == KIND_words || kind == KIND_locks ? 1 + below(32)
                                                                         : 1;
    for (; n > 0 && !stop && (!writes || done < writes); n--)
        scribble(kind);
    if (!writes && below(8) == 0)
        nap_us(below(2000));
}

int main(int argc, char **argv)
{
    struct sigaction bus = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};
    time_t end;

    parse(argc, argv);
    end = time(NULL) + (time_t)seconds;
    setpriority(PRIO_PROCESS, 0, -10); /* where we may: beside many busy ones */
    sigaction(SIGBUS, &bus, NULL);
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    while (!stop && (!seconds || time(NULL) < end) && (!writes || done < writes)) {
        bool cut = sigsetjmp(cut_off, 1);

        if ((cut || !file.map || replaced()) && !find()) {
            if (writes) {
                fprintf(stderr, "scribble: %s: %s\n", file.path, strerror(errno));
                return 1;
            }
            nap_us(1000);
            continue;
        }
        burst();
    }
    printf("scribble: %s: %" PRIu64 " times\n", file.path, done);
    let_go();
    return 0;
}

/*
 * A decoder of x86 instructions is long and easily wrong, and every machine that
 * compiles has one: objdump.  Its text says which operand is memory.  In its
 * (AT&T's) order the last operand is the one that is written, so all that is to
 * be left out are the instructions that only read it.
 *
 * Whether a store goes to shared memory is not guessed from its source: the
 * address is computed from the registers when it is about to run.
 */
#include "stores.h"

#include "../storm.h"

#include <ctype.h>

#define MOST 200000

static struct store *stores;
static size_t count;
static struct range library; /* its code */

static const struct {
    const char *name;
    size_t offset;
} registers[] = {
#define R(name)                                                                                    \
    {                                                                                              \
#name, offsetof(struct user_regs_struct, name)                                             \
    }
    R(rax), R(rbx), R(rcx), R(rdx), R(rsi), R(rdi), R(rbp), R(rsp), R(r8),
    R(r9),  R(r10), R(r11), R(r12), R(r13), R(r14), R(r15), R(rip),
#undef R
};

/* What is compiled from these must be visited. */
static const char *const engine[] = {"engine.c", "slots.c",   "index.c",  "repair.c", "segment.c",
                                     "pages.c",  "wait.c",    "client.c", "bell.c",   "notify.c",
                                     "guard.c",  "durable.c", "choose.c", "held.c",   "msqids.c",
                                     "order.c",  "withdraw.c"};

/* Instructions whose last operand is only read. */
static const char *const readers[] = {"cmp",  "test", "bt ",  "push", "call", "jmp",
                                      "nop",  "pref", "lea",  "mul",  "div",  "imul",
                                      "idiv", "fld",  "ucom", "com",  "data", "cs "};

const char *stores_name(const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash ? slash + 1 : file;
}

static bool is_engine(const char *file)
{
    for (size_t i = 0; file && i < sizeof engine / sizeof engine[0]; i++)
        if (strcmp(stores_name(file), engine[i]) == 0)
            return true;
    return false;
}

static bool only_reads(const char *instruction)
{
    if (strncmp(instruction, "cmpxchg", strlen("cmpxchg")) == 0)
        return false;
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++)
        if (strncmp(instruction, readers[i], strlen(readers[i])) == 0)
            return true;
    return false;
}

/* text begins with "%rdi" or the like; -1: it does not. */
static int8_t parse_register(const char *text)
{
    for (size_t i = 0; i < sizeof registers / sizeof registers[0]; i++) {
        size_t len = strlen(registers[i].name);

        if (*text == '%' && strncmp(text + 1, registers[i].name, len) == 0 &&
            !isalnum(text[1 + len]))
            return (int8_t)i;
    }
    return -1;
}

/* "-0x10(%rdi,%rax,8)" at the end.  False: the last operand is no memory, or never shared. */
static bool parse_target(char *text, struct store *store)
{
    char *open, *close, *start, *index, *scale;

    text[strcspn(text, "#<")] = 0;
    open = strrchr(text, '(');
    close = strrchr(text, ')');
    if (!open || !close || strchr(close, ','))
        return false;
    for (start = open; start > text && (isxdigit(start[-1]) || strchr("x-", start[-1])); start--)
        ;
    if (start - text > 3 && start[-1] == ':' && strchr("fg", start[-3])) /* thread-local */
        return false;
    *close = 0;
    store->displacement = (int64_t)strtoull(start, NULL, 16);
    store->base = parse_register(open + 1);
    index = strchr(open, ',');
    store->index = index ? parse_register(index + 1) : -1;
    scale = index ? strchr(index + 1, ',') : NULL;
    store->scale = scale ? (uint8_t)atoi(scale + 1) : 1;
    return store->base < 0 || (strcmp(registers[store->base].name, "rsp") != 0 &&
                               strcmp(registers[store->base].name, "rip") != 0);
}

static bool parse_instruction(char *text, struct store *store)
{
    static const char *const prefixes[] = {"lock ", "rep ", "bnd ", "notrack "};

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            text += strlen(prefixes[i]);
    return !only_reads(text) && parse_target(text, store);
}

/* Where objdump's text is: what it said last about the instructions that follow. */
struct place {
    char *file, *function, *symbol;
    unsigned line;
    bool engine;    /* the symbol is the engine's, whatever was inlined here */
    uintptr_t last; /* the last instruction */
};

/* "/somewhere/engine.c:50 (discriminator 1)" */
static void parse_place(char *text, struct place *place)
{
    char *colon = strrchr(text, ':');

    *colon = 0;
    if (!place->file || strcmp(place->file, text) != 0)
        place->file = strdup(text); /* a few hundred, for the whole run */
    place->line = (unsigned)atoi(colon + 1);
    place->engine |= is_engine(place->file);
}

static void parse_line(char *text, uintptr_t base, struct place *place)
{
    size_t len = strcspn(text, "\n");
    struct store *store = &stores[count];
    char *tab = strchr(text, '\t');

    text[len] = 0;
    if (text[0] == '/' && strchr(text, ':')) {
        parse_place(text, place);
    } else if (len > 3 && strcmp(text + len - 3, "():") == 0) {
        text[len - 3] = 0;
        place->function = strdup(text);
    } else if (len > 2 && strcmp(text + len - 2, ">:") == 0) {
        text[len - 2] = 0;
        *place = (struct place){.symbol = strdup(strchr(text, '<') + 1), .last = place->last};
    } else if (tab && text[0] == ' ' && count < MOST) {
        place->last = base + strtoull(text, NULL, 16);
        *store = (struct store){.at = place->last,
                                .file = place->file,
                                .function = place->function,
                                .symbol = place->symbol,
                                .line = place->line,
                                .engine = place->engine};
        count += parse_instruction(tab + 1, store);
    }
}

bool stores_find_library(const char *name, char *path, uintptr_t *base)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4352];
    unsigned long from, offset;
    bool found = false;

    while (maps && !found && fgets(line, sizeof line, maps))
        found = sscanf(line, "%lx-%*x %*s %lx %*s %*s %4095s", &from, &offset, path) == 3 &&
                offset == 0 && strstr(stores_name(path), name);
    if (maps)
        fclose(maps);
    *base = from;
    return found;
}

static const char *read_library(const char *name, const char *options, struct range *code)
{
    char path[4096], command[4352], line[4096];
    struct place place = {0};
    size_t before = count;
    uintptr_t base;
    FILE *text;

    if (!stores_find_library(name, path, &base))
        return "the library is not found among the mappings";
    snprintf(command, sizeof command, "objdump -d %s --no-show-raw-insn '%s' 2>/dev/null", options,
             path);
    text = popen(command, "r");
    while (text && fgets(line, sizeof line, text))
        parse_line(line, base, &place);
    if (!text || pclose(text) != 0 || count == before)
        return "objdump (binutils) is missing or fails";
    *code = (struct range){base, place.last + 1};
    return count < MOST ? NULL : "the libraries are larger than expected";
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = ((const struct store *)a)->at, y = ((const struct store *)b)->at;

    return (x > y) - (x < y);
}

const char *stores_load(void)
{
    struct range libc;
    const char *error;

    stores = calloc(MOST + 1, sizeof *stores);
    if (!stores)
        storm_die("calloc");
    error = read_library("libmqx_preload", "-l", &library);
    if (!error)
        error = read_library("libc.so", "", &libc);
    if (error)
        count = 0;
    qsort(stores, count, sizeof *stores, by_address);
    return error;
}

struct store *stores_all(size_t *n)
{
    *n = count;
    return stores;
}

struct store *stores_at(uintptr_t instruction)
{
    struct store key = {.at = instruction};

    return count ? bsearch(&key, stores, count, sizeof key, by_address) : NULL;
}

bool stores_inside(uintptr_t instruction)
{
    return library.to == 0 || (instruction >= library.from && instruction < library.to);
}

static uintptr_t value_of(int8_t number, const struct user_regs_struct *regs)
{
    uintptr_t value = 0;

    if (number >= 0)
        memcpy(&value, (const char *)regs + registers[number].offset, sizeof value);
    return value;
}

uintptr_t stores_target(const struct store *store, const struct user_regs_struct *regs)
{
    return value_of(store->base, regs) + value_of(store->index, regs) * store->scale +
           (uintptr_t)store->displacement;
}

void ranges_read(struct ranges *ranges, pid_t pid)
{
    const char *folder = getenv("MQX_DIR");
    char path[64], line[4352], mode[8], file[4096];
    unsigned long from, to;
    FILE *maps;

    ranges->count = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    maps = fopen(path, "r");
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %4095s", &from, &to, mode, file) != 4 ||
            mode[3] != 's' || !folder || strncmp(file, folder, strlen(folder)) != 0)
            continue;
        if (ranges->count == sizeof ranges->range / sizeof ranges->range[0])
            storm_die("too many mappings");
        ranges->range[ranges->count].from = from;
        ranges->range[ranges->count++].to = to;
    }
    if (maps)
        fclose(maps);
}

bool ranges_have(const struct ranges *ranges, uintptr_t address)
{
    for (size_t i = 0; i < ranges->count; i++)
        if (address >= ranges->range[i].from && address < ranges->range[i].to)
            return true;
    return false;
}

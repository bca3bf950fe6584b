/*
 * mqx run: a program with its message queues in mqx, by LD_PRELOAD.
 *
 * Where the dynamic linker would not load the library, and the program would
 * silently use the kernel's queues, we refuse and say why.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli.h"

static const char help[] =
    "usage: mqx run [--] PROGRAM [ARGUMENT...]\n"
    "\n"
    "Run a program whose mq_open, mq_send, ... use mqx's queues in place of the kernel's.\n"
    "Programs that it starts do too.  It must be dynamically linked and not setuid: for others\n"
    "there are the queue files (mqxfs).\n";

/* What the ELF header says in the first bytes of a file, on this machine. */
union start {
    unsigned char ident[EI_NIDENT];
    Elf64_Ehdr elf;
    char text[256];
};

/* Is there a program header that names a dynamic linker?  -1: not readable. */
static int has_interpreter(int fd, const Elf64_Ehdr *elf)
{
    for (unsigned i = 0; i < elf->e_phnum; i++) {
        Elf64_Phdr segment;
        off_t at = (off_t)(elf->e_phoff + (uint64_t)i * elf->e_phentsize);

        if (pread(fd, &segment, sizeof(segment), at) != (ssize_t)sizeof(segment))
            return -1;
        if (segment.p_type == PT_INTERP)
            return 1;
    }
    return 0;
}

/* Why the dynamic linker would not preload into this file; NULL: it will, or we cannot tell. */
static const char *objection(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *why = NULL;
    union start start = {0};
    struct stat st;

    if (fd < 0) /* not readable, but perhaps executable */
        return NULL;
    if (fstat(fd, &st) == 0 && ((st.st_mode & S_ISUID && st.st_uid != geteuid()) ||
                                (st.st_mode & S_ISGID && st.st_gid != getegid())))
        why = "is setuid or setgid: the system preloads nothing into it";
    else if (geteuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
        why = "has file capabilities: the system preloads nothing into it";
    else if (read(fd, &start, sizeof(start)) >= (ssize_t)sizeof(start.elf) &&
             memcmp(start.ident, ELFMAG, SELFMAG) == 0) {
        if (start.ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
            why = "is of another word size than mqx";
        else if (has_interpreter(fd, &start.elf) == 0)
            why = "is statically linked: nothing can be preloaded into it";
    }
    close(fd);
    return why;
}

/* As execvp finds it.  *path: PATH_MAX bytes. */
static bool find_program(const char *program, char *path)
{
    const char *dirs = getenv("PATH"), *end;

    if (strchr(program, '/'))
        return snprintf(path, PATH_MAX, "%s", program) < PATH_MAX && access(path, F_OK) == 0;
    for (dirs = dirs ? dirs : "/bin:/usr/bin"; *dirs; dirs = *end ? end + 1 : end) {
        struct stat st;

        end = strchrnul(dirs, ':');
        if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - dirs), dirs, end == dirs ? "" : "/",
                     program) < PATH_MAX &&
            access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            return true;
    }
    return false;
}

static bool is_env(const char *path)
{
    const char *slash = strrchr(path, '/');

    return strcmp(slash ? slash + 1 : path, "env") == 0;
}

/* The interpreter that a script names in its first line, through env where it is that; or "".
 * interpreter: PATH_MAX bytes. */
static void script_interpreter(const char *path, char *interpreter)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char line[PATH_MAX] = "", *word, *rest;
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

    if (fd >= 0)
        close(fd);
    *interpreter = 0;
    if (n <= 2 || line[0] != '#' || line[1] != '!')
        return;
    line[strcspn(line, "\n")] = 0;
    word = strtok_r(line + 2, " \t", &rest);
    if (word)
        strcpy(interpreter, word);
    if (!word || !is_env(word))
        return;
    do /* past env's options and variables */
        word = strtok_r(NULL, " \t", &rest);
    while (word && (word[0] == '-' || strchr(word, '=')));
    if (word && !find_program(word, interpreter))
        *interpreter = 0;
}

/* ../lib/libmqx_preload.so beside our own program: true of the build folder and of an
 * installation. */
static bool find_library(char *library)
{
    char self[PATH_MAX], guess[PATH_MAX + 40];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n < 0)
        return false;
    self[n] = 0;
    snprintf(guess, sizeof(guess), "%s/../lib/libmqx_preload.so", dirname(self));
    return realpath(guess, library) != NULL;
}

static int preload(const char *library)
{
    const char *old = getenv("LD_PRELOAD");
    char *value;
    int r;

    if (!old || !*old)
        return setenv("LD_PRELOAD", library, 1);
    if (asprintf(&value, "%s:%s", library, old) < 0)
        return -1;
    r = setenv("LD_PRELOAD", value, 1);
    free(value);
    return r;
}

static int check_program(const char *program, const char *path)
{
    char interpreter[PATH_MAX];
    const char *why = objection(path);

    if (!why) {
        script_interpreter(path, interpreter);
        if (*interpreter)
            why = objection(interpreter);
    }
    return why ? fail_because("run", program,
                              "%s; it can use the queues as files: mount them with "
                              "'mqxfs DIRECTORY'",
                              why)
               : EXIT_DONE;
}

int cmd_run(int argc, char **argv)
{
    char library[PATH_MAX], path[PATH_MAX];
    int first = 1;

    /* Not getopt: what follows the program is its own. */
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        return flush_stdout("run");
    }
    if (argc > 1 && strcmp(argv[1], "--") == 0)
        first++;
    if (argc <= first || (first == 1 && argv[1][0] == '-')) {
        fputs("mqx: run: which program?\n", stderr);
        usage_exit("run");
    }
    if (!find_library(library))
        return fail_because("run", "libmqx_preload.so",
                            "not found in ../lib beside the mqx program; install mqx again");
    if (strpbrk(library, ": "))
        return fail_because("run", library,
                            "LD_PRELOAD cannot hold a path with a space or a colon; install mqx "
                            "elsewhere");
    if (!find_program(argv[first], path))
        return fail_because("run", argv[first], "no such program");
    if (check_program(argv[first], path) != EXIT_DONE)
        return EXIT_FAILED;
    if (preload(library) < 0)
        return fail_because("run", "LD_PRELOAD", "%s", strerror(errno));
    execvp(path, argv + first); /* not execv: also runs a script without a first line */
    return fail_because("run", argv[first], "%s", strerror(errno));
}

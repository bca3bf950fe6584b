/* Queue names as Linux's mq_open takes them, and the directories they lead to. */
#include "names.h"

#include "testing.h"

static int check_name(const char *name)
{
    const char *out = NULL;
    int r = mqxi_name_check(name, &out);

    if (r == 0)
        CHECK(out == name + 1);
    return r;
}

static void names(void)
{
    static char long_name[5000];

    IS(check_name("/a"), 0);
    IS(check_name("/..."), 0);
    IS(check_name("/.a"), 0);
    IS(check_name("/ \n\xff\x01"), 0);
    IS(check_name(""), -EINVAL);
    IS(check_name("a"), -EINVAL);
    IS(check_name("a/b"), -EINVAL);
    IS(check_name("/"), -ENOENT);
    IS(check_name("//"), -EACCES);
    IS(check_name("//a"), -EACCES);
    IS(check_name("/a/"), -EACCES);
    IS(check_name("/a/b"), -EACCES);
    IS(check_name("/."), -EACCES);
    IS(check_name("/.."), -EACCES);
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[0] = '/';
    IS(check_name(long_name), -ENAMETOOLONG);
    long_name[256] = 0;
    IS(check_name(long_name), 0);
    long_name[256] = 'x';
    long_name[257] = 0;
    IS(check_name(long_name), -ENAMETOOLONG);
    long_name[100] = '/';
    IS(check_name(long_name), -EACCES); /* before its length */
}

static void directory(void)
{
    const char *fallback = access("/run/mqx", F_OK) == 0 ? "/run/mqx" : "/dev/shm/mqx";
    char path[PATH_MAX];

    setenv("MQX_DIR", "/some/where", 1);
    IS(strcmp(mqxi_dir(), "/some/where"), 0);
    IS(mqxi_path(MQXI_QUEUES, "a b", path), 0);
    IS(strcmp(path, "/some/where/queues/a b"), 0);
    IS(mqxi_path(MQXI_GONE, "", path), 0);
    IS(strcmp(path, "/some/where/gone/"), 0);
    setenv("MQX_DIR", "", 1);
    IS(strcmp(mqxi_dir(), fallback), 0);
    unsetenv("MQX_DIR");
    IS(strcmp(mqxi_dir(), fallback), 0);
}

/* Once a queue is in use, its directory stays what it was: after chdir, and in a program that
 * clears its environment. */
static void directory_is_kept(void)
{
    char before[PATH_MAX], path[PATH_MAX];

    snprintf(before, sizeof(before), "%s/some/where", mqxi_dir());
    IS(chdir(mqxi_dir()), 0);
    setenv("MQX_DIR", "some/where", 1);
    mqxi_dir_keep();
    IS(strcmp(mqxi_dir(), before), 0);
    IS(chdir("/"), 0);
    unsetenv("MQX_DIR");
    mqxi_dir_keep();
    IS(strcmp(mqxi_dir(), before), 0);
    IS(mqxi_path(MQXI_QUEUES, "a", path), 0);
    IS(strncmp(path, before, strlen(before)), 0);
}

static void long_paths(void)
{
    static char dir[PATH_MAX + 10], name[PATH_MAX];
    char path[PATH_MAX];

    memset(dir, 'd', sizeof(dir) - 1);
    dir[0] = '/';
    setenv("MQX_DIR", dir, 1);
    IS(mqxi_path(MQXI_QUEUES, "a", path), -ENAMETOOLONG);
    CHECK(mqxi_dirs_make() < 0);
    dir[PATH_MAX - 1 - 7 - 3] = 0; /* room for "/queues/", "aa" and the end */
    setenv("MQX_DIR", dir, 1);
    IS(mqxi_path(MQXI_QUEUES, "aa", path), 0);
    IS(strlen(path), PATH_MAX - 1);
    memset(name, 'a', 3);
    IS(mqxi_path(MQXI_QUEUES, name, path), -ENAMETOOLONG);
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    IS(stat(path, &st), 0);
    CHECK(S_ISDIR(st.st_mode));
    return st.st_mode & 07777;
}

/* Everybody's, whatever the umask; and what is there already stays as it is. */
static void directories(void)
{
    char top[PATH_MAX], path[PATH_MAX];

    snprintf(top, sizeof(top), "%s/new", mqxi_dir());
    setenv("MQX_DIR", top, 1);
    umask(077);
    IS(mqxi_dirs_make(), 0);
    IS(mode_of(top), 01777);
    for (int i = 0; i < MQXI_SYSV; i++) {
        IS(mqxi_path(i, "", path), 0);
        IS(mode_of(path), 01777);
    }
    IS(chmod(path, 0700), 0);
    IS(mqxi_dirs_make(), 0);
    IS(mode_of(path), 0700);
    IS(mqxi_path(MQXI_SYSV, "", path), 0); /* not where nobody asks for them */
    IS(access(path, F_OK), -1);
    IS(mqxi_dirs_make_sysv(), 0);
    for (int i = MQXI_SYSV; i < MQXI_PLACES; i++) {
        IS(mqxi_path(i, "", path), 0);
        IS(mode_of(path), 01777);
    }
    strcat(top, "/there/is/none");
    setenv("MQX_DIR", top, 1);
    IS(mqxi_dirs_make(), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(names), UNIT(directory), UNIT(directory_is_kept), UNIT(long_paths), UNIT(directories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

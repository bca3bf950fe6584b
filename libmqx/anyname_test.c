/* The names by which queues of both kinds are shown. */
#include "anyname.h"

#include <limits.h>

#include "msqids.h"
#include "names.h"
#include "segment.h"
#include "testing.h"

static struct mqxi_queue *made(int key)
{
    struct mqxi_queue *q;

    IS(mqxi_msqid_create(
           &(struct mqxi_msqid_new){
               .key = key, .mode = 0600, .maxmsg = 10, .msgsize = 30, .qbytes = 1000, .most = 100},
           &q),
       0);
    return q;
}

static int id_of(const char *format, ...)
{
    char name[100];
    va_list args;
    long type;
    int id = -1, r;

    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    r = mqxi_name_sysv(name, &id, &type);
    return r < 0 ? r : id;
}

static long type_of(const char *name)
{
    long type = -1;
    int id;

    IS(mqxi_name_sysv(name, &id, &type), 0);
    IS(id, 5);
    return type;
}

static void ids(void)
{
    static const char *const none[] = {
        "a",
        ".sysv",
        ".sysv/",
        ".sysv/a",
        ".sysv/-1",
        ".sysv/+1",
        ".sysv/01",
        ".sysv/ 1",
        ".sysv/1x",
        ".sysv/1/",
        ".sysv/1.",
        ".sysv/.1",
        ".sysv/1.0",
        ".sysv/1.+1",
        ".sysv/1.1x",
        ".sysv/1.01",
        ".sysv/1.-0",
        ".sysv/1.1.1",
        ".sysv/2147483648",
        ".sysv/99999999999999999999",
        ".sysv/1.9223372036854775808",
        ".sysv/-0",
    };

    CHECK(mqxi_name_is_sysv(".sysv/"));
    CHECK(!mqxi_name_is_sysv(".sysv"));
    CHECK(!mqxi_name_is_sysv(".sysvx"));
    IS(id_of(".sysv/0"), 0);
    IS(id_of(".sysv/2147483647"), INT_MAX);
    IS(id_of(".sysv/2147483647.3"), INT_MAX);
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
        IS(id_of("%s", none[i]), -ENOENT);
    IS(type_of(".sysv/5"), 0);
    IS(type_of(".sysv/5.1"), 1);
    IS(type_of(".sysv/5.-12"), -12);
    IS(type_of(".sysv/5.9223372036854775807"), LONG_MAX);
    IS(type_of(".sysv/5.-9223372036854775808"), LONG_MIN);
}

static void keys(void)
{
    struct mqxi_queue *q = made(0x2a), *high = made((int)0xdeadbeef);

    IS(id_of(".sysv/0x2a"), q->id);
    IS(id_of(".sysv/0x0000002A"), q->id);
    IS(id_of(".sysv/0x2a.7"), q->id);
    IS(id_of(".sysv/0xdeadbeef"), high->id);
    IS(id_of(".sysv/0x"), -ENOENT);
    IS(id_of(".sysv/0x.1"), -ENOENT);
    IS(id_of(".sysv/0x2b"), -ENOENT);
    IS(id_of(".sysv/0x0"), -ENOENT); /* IPC_PRIVATE is no key */
    IS(id_of(".sysv/0x00000002a"), -ENOENT);
    IS(id_of(".sysv/0x2ag"), -ENOENT);
    IS(mqxi_msqid_remove(q), 0);
    IS(id_of(".sysv/0x2a"), -ENOENT);
}

static void choices(void)
{
    struct mqxi_choice c = mqxi_choice_of(0, 5);

    CHECK(c.mode == MQXI_ANY && c.longest == 5 && !c.fault);
    c = mqxi_choice_of(3, 5);
    CHECK(c.mode == MQXI_EQUAL && c.type == 3);
    c = mqxi_choice_of(-3, 5);
    CHECK(c.mode == MQXI_LOWEST && c.type == 3);
    c = mqxi_choice_of(LONG_MIN, 5);
    CHECK(c.mode == MQXI_LOWEST && c.type == LONG_MAX);
}

static int collect(const char *name, void *arg)
{
    strcat(arg, name);
    strcat(arg, " ");
    return 0;
}

static void both_kinds(void)
{
    struct mqxi_queue *q = made(0), *again;
    char path[PATH_MAX], name[40], names[200] = "", wanted[200];
    struct mqxi_attr attr = {.maxmsg = 1, .msgsize = 1, .mode = 0600};
    struct mqxi_unborn u;
    struct stat st;

    IS(mqxi_segment_build(&attr, &u), 0);
    IS(mqxi_segment_link(&u, "posix"), 0);
    mqxi_segment_finish(&u, true);
    snprintf(name, sizeof(name), ".sysv/%d", q->id);
    snprintf(wanted, sizeof(wanted), "posix %s ", name);
    IS(mqxi_name_list(collect, names), 0);
    IS(strcmp(names, wanted), 0);
    IS(mqxi_name_path(name, path), 0);
    IS(stat(path, &st), 0);
    IS(st.st_ino, q->ino);
    IS(mqxi_name_attach(name, &again), 0);
    IS(again->ino, q->ino);
    IS(again->header->kind, MQXI_KIND_SYSV);
    IS(mqxi_name_attach("posix", &again), 0);
    IS(again->header->kind, MQXI_KIND_POSIX);
    IS(mqxi_msqid_remove(q), 0);
    IS(mqxi_name_attach(name, &again), -ENOENT);
    IS(mqxi_name_attach("none", &again), -ENOENT);
    IS(mqxi_name_attach(".sysv/none", &again), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT(ids), UNIT(keys), UNIT(choices), UNIT(both_kinds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

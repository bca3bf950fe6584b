/* What is a name of a queue. */
#include "compat.h"

#include <limits.h>

/* A name of "/" and len times 'x', unique enough by its length and pid. */
static char *long_name(size_t len)
{
    static char text[2 * PATH_MAX];

    memset(text, 'x', sizeof(text));
    snprintf(text, sizeof(text), "/%d", (int)getpid());
    text[strlen(text)] = 'x';
    text[len + 1] = 0;
    return text;
}

static mqd_t make(const char *n)
{
    return mq_open(n, O_CREAT | O_EXCL | O_RDWR, 0600, NULL);
}

static void no_slash(void **state)
{
    (void)state;
    fails(mq_open("noslash", O_RDWR), EINVAL);
    fails(make("noslash"), EINVAL);
}

static void empty(void **state)
{
    (void)state;
    fails(mq_open("", O_RDWR), EINVAL);
    fails(make(""), EINVAL);
}

static void just_slash(void **state)
{
    (void)state;
    fails(mq_open("/", O_RDWR), ENOENT);
    fails(make("/"), ENOENT);
}

static void two_slashes(void **state)
{
    (void)state;
    fails(make("/a/b"), EACCES);
    fails(make("//a"), EACCES);
    fails(make("/a/"), EACCES);
    fails(make("//"), EACCES);
    fails(mq_open("/a/b", O_RDWR), EACCES);
}

static void dots(void **state)
{
    (void)state;
    fails(make("/."), EACCES);
    fails(make("/.."), EACCES);
    fails(mq_open("/.", O_RDWR), EACCES);
}

static void longest(void **state)
{
    const char *n = long_name(255);
    mqd_t q, again;

    (void)state;
    q = (mqd_t)ok(make(n));
    again = (mqd_t)ok(mq_open(n, O_RDWR));
    ok(mq_unlink(n));
    put(q, "x", 1);
    expect(again, "x", 1);
}

static void too_long(void **state)
{
    (void)state;
    fails(make(long_name(256)), ENAMETOOLONG);
    fails(mq_open(long_name(256), O_RDWR), ENAMETOOLONG);
    fails(mq_open(long_name(1000), O_RDWR), ENAMETOOLONG);
    fails(mq_open(long_name(PATH_MAX + 1), O_RDWR), ENAMETOOLONG);
}

static void too_long_with_slash(void **state)
{
    char *n = long_name(300);

    (void)state;
    n[280] = '/';
    fails(mq_open(n, O_RDWR), EACCES);
    n = long_name(PATH_MAX + 100);
    n[280] = '/';
    fails(mq_open(n, O_RDWR), ENAMETOOLONG);
}

static void any_bytes(void **state)
{
    static const char *const odd[] = {
        "/... %d",        "/.hidden %d", "/\xff\xfe\x80 %d",        "/a\nb\t\x01 %d",
        "/*?[$`'\"\\ %d", "/-rf %d",     "/\xc3\xa4\xe6\x96\x87 %d"};
    char n[64];

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        mqd_t q;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(n, sizeof(n), odd[i], (int)getpid());
#pragma GCC diagnostic pop
        q = make(n);
        ok(q);
        put(q, "x", 0);
        expect((mqd_t)ok(mq_open(n, O_RDONLY)), "x", 0);
        ok(mq_unlink(n));
        fails(mq_open(n, O_RDONLY), ENOENT);
    }
}

static void distinct(void **state)
{
    mqd_t a, b;

    (void)state;
    a = (mqd_t)ok(make(name(0)));
    b = (mqd_t)ok(make(name(1)));
    put(a, "a", 0);
    assert_int_equal(count(b), 0);
    put(b, "b", 0);
    expect(a, "a", 0);
    expect(b, "b", 0);
}

static void unlink_names(void **state)
{
    (void)state;
    fails(mq_unlink("noslash"), EINVAL);
    fails(mq_unlink(""), EINVAL);
    fails(mq_unlink("/"), ENOENT);
    fails(mq_unlink("/a/b"), EACCES);
    fails(mq_unlink("/."), EACCES);
    fails(mq_unlink("/.."), EACCES);
    fails(mq_unlink(long_name(256)), ENAMETOOLONG);
    fails(mq_unlink(long_name(PATH_MAX + 1)), ENAMETOOLONG);
}

int group_names(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_overview(7): the name begins with a slash (else EINVAL)", no_slash),
        SAYS("mq_overview(7): the name is a non-null string with an initial slash", empty),
        SAYS("mq_open(3): ENOENT name was just \"/\" followed by no other characters", just_slash),
        SAYS("mq_open(3): EACCES name contained more than one slash", two_slashes),
        SAYS("Linux: \"/.\" and \"/..\" are no names (EACCES)", dots),
        SAYS("mq_overview(7): up to NAME_MAX (255) characters", longest),
        SAYS("mq_open(3): ENAMETOOLONG name was too long", too_long),
        SAYS("Linux: a slash counts before the length, PATH_MAX before the slash",
             too_long_with_slash),
        SAYS("mq_overview(7): characters, none of which are slashes", any_bytes),
        SAYS("mq_overview(7): two processes can operate on the same queue by the same name",
             distinct),
        SAYS("mq_unlink(3): the same names are errors as for mq_open", unlink_names),
    };

    return RUN("names", tests);
}

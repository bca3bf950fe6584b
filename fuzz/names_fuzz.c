/*
 * Names of queues with any bytes.  What mq_open accepts is what Linux's does; a
 * queue of such a name can be listed, shown, used and unlinked, and what is shown
 * of it is no more than text.
 *
 * Input: the name as it is given to mq_open.
 */
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "mqx.h"
#include "must.h"
#include "segment.h"
#include "text.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    must(getenv("MQX_DIR") != NULL, "MQX_DIR is not set; run scripts/fuzz.sh", 0);
    setenv("MQX_CONF", "/dev/null", 1);
    return 0;
}

/* What mq_overview(7) and the kernel say about a name, in other words than names.c. */
static int expected(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || name[0] != '/')
        return -EINVAL;
    if (len == 1)
        return -ENOENT;
    if (len > PATH_MAX)
        return -ENAMETOOLONG;
    for (size_t i = 1; i < len; i++)
        if (name[i] == '/')
            return -EACCES;
    if (!strcmp(name, "/.") || !strcmp(name, "/.."))
        return -EACCES;
    return len > NAME_MAX + 1 ? -ENAMETOOLONG : 0;
}

/* --- what is shown ------------------------------------------------------------------------- */

/* No control characters, and all UTF-8. */
static void check_text(const char *text)
{
    while (*text) {
        size_t n = mqxi_text_utf8(text);
        const unsigned char *s = (const unsigned char *)text;

        must(n > 0, "not UTF-8", *s);
        must(n > 1 || (*s >= 0x20 && *s != 0x7f), "a control character", *s);
        must(!(s[0] == 0xc2 && s[1] < 0xa0), "a control character of two bytes", s[1]);
        text += n;
    }
}

/* A JSON string begins here: is it one, and on one line?  Returns what follows it. */
static const char *skip_json_string(const char *at)
{
    must(*at == '"', "no JSON string", *at);
    for (at++; *at != '"'; at++) {
        must(*at != 0, "a JSON string without end", 0);
        if (*at != '\\')
            continue;
        at++;
        must(*at && strchr("\"\\u", *at) != NULL, "an escape that JSON does not have", *at);
        if (*at == 'u') {
            must(strspn(at + 1, "0123456789abcdef") >= 4, "an escape without four digits", *at);
            at += 4;
        }
    }
    return at + 1;
}

static void check_shown(const char *name)
{
    static const char start[] = "{\"name\": ";
    char clean[NAME_MAX + 1];
    struct info info;
    char *json = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&json, &len);

    snprintf(clean, sizeof(clean), "%s", name);
    mqxi_text_clean(clean);
    must(strlen(clean) == strlen(name), "cleaned, it has other bytes", (long)strlen(clean));
    check_text(clean);
    must(out && info_get(name, &info) == 0, "info_get", info.error);
    must(strcmp(info.name, name) == 0, "the name that is shown is another", 0);
    info_json(&info, out);
    fclose(out);
    must(strncmp(json, start, sizeof(start) - 1) == 0, "JSON", 0);
    check_text(json);
    must(strncmp(skip_json_string(json + sizeof(start) - 1), ", \"mode\": \"0600\"", 16) == 0,
         "what follows the name in JSON", 0);
    free(json);
}

/* --- the queue ----------------------------------------------------------------------------- */

struct wanted {
    const char *name;
    int found;
};

static int look(const char *name, void *arg)
{
    struct wanted *w = arg;

    must(strcmp(name, w->name) == 0, "a queue is listed that is not there", 0);
    w->found++;
    return 0;
}

static int listed(const char *name)
{
    struct wanted w = {name, 0};

    must(mqxi_segment_list(look, &w) == 0, "list", errno);
    return w.found;
}

static void use(const char *name)
{
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 8};
    char text[8];
    mqd_t mq = mqx_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr), other;

    must(mq >= 0, "mq_open", errno);
    must(listed(name + 1) == 1, "listed", 0);
    other = mqx_open(name, O_RDWR);
    must(other >= 0 && mqx_send(other, "x", 1, 5) == 0, "mq_open again, mq_send", errno);
    must(mqx_receive(mq, text, sizeof(text), NULL) == 1, "mq_receive", errno);
    check_shown(name + 1);
    must(mqx_close(other) == 0 && mqx_close(mq) == 0, "mq_close", errno);
    must(mqx_unlink(name) == 0, "mq_unlink", errno);
    must(listed(name + 1) == 0, "listed after mq_unlink", 0);
    must(mqx_open(name, O_RDWR) == -1 && errno == ENOENT, "mq_open of what is unlinked", errno);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char name[PATH_MAX + 100];
    const char *bare = NULL;
    int r;

    if (size >= sizeof(name))
        return 0;
    memcpy(name, data, size);
    name[size] = 0;
    r = mqxi_name_check(name, &bare);
    must(r == expected(name), "mqxi_name_check", r);
    if (r == 0) {
        must(bare == name + 1, "the bare name", 0);
        use(name);
        return 0;
    }
    must(mqx_open(name, O_RDWR | O_CREAT, 0600, NULL) == -1 && errno == -r, "mq_open", errno);
    must(mqx_unlink(name) == -1 && errno == -r, "mq_unlink", errno);
    return 0;
}

/*
 * A queue gets its policies when it is created.  When the configuration is read
 * anew, which is at the start too, mqxd changes those of queues that are there:
 * but only as a line says, and not of a queue that was told its own when it was
 * created.  A line that is missing makes no queue less durable than it was.
 */
#include "policies.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "anyname.h"
#include "conf.h"
#include "keys.h"
#include "log.h"
#include "peek.h"
#include "policy.h"
#include "sys.h"

struct applying {
    const struct mirror *m;
    bool changed;
};

/* The store's keys, too, if it is open. */
static int read_keys(const struct mirror *m, const struct mqxi_conf *conf,
                     const struct mqxi_conf_mqxd *mine, struct keys **out)
{
    int r = keys_load(mine->key_file, out);

    if (r == 0 && mine->encrypt_line && !*out) {
        say("%s:%d: encrypt = yes, and there is no key: name a file of them, with key_file before "
            "the first section, or have systemd give the credential mqx-key",
            mqxi_conf_path(conf), mine->encrypt_line);
        return -EINVAL;
    }
    if (r == 0 && m->store)
        r = store_keys(m->store, *out, mine->encrypt_line);
    if (r < 0)
        keys_free(*out);
    return r;
}

int policies_read(struct mirror *m)
{
    struct mqxi_conf_mqxd mine;
    struct mqxi_conf *conf;
    struct keys *keys = NULL;
    int r = mqxi_conf_keep(&conf);

    if (r < 0)
        return r;
    r = mqxi_conf_kept(conf, NULL, NULL, &mine);
    if (r == 0)
        r = read_keys(m, conf, &mine, &keys);
    if (r < 0) {
        free(conf);
        return r;
    }
    free(m->conf);
    m->conf = conf;
    keys_free(m->keys);
    m->keys = keys;
    m->encrypts = mine.encrypt_line;
    m->quotas.max = mine.store_max;
    m->window_ns = mine.window_ms * UINT64_C(1000000);
    return 0;
}

static const char *durable_name(uint32_t durable)
{
    static const char *const names[] = {"off", "async", "sync"};

    return durable <= MQXI_DURABLE_SYNC ? names[durable] : "what it was";
}

static int policy_of(const struct mirror *m, const char *name, const struct mqxi_header *h,
                     struct mqxi_policy *out)
{
    char sysv[20];

    mqxi_conf_sysv_name(h->key, sysv);
    return mqxi_conf_kept(m->conf, h->kind == MQXI_KIND_SYSV ? sysv : name, out, NULL);
}

static int apply_to(struct applying *a, const char *name, int fd)
{
    struct mqxi_policy policy;
    struct peek p;
    int r = peek_fd(fd, &p);

    if (r < 0 || !peek_serves(p.uid))
        return 0;
    r = policy_of(a->m, name, &p.header, &policy);
    if (r == 0 && mqxi_policy_set_sync(fd, &p.header, policy.sync_said, policy.sync) < 0)
        say_event(SAY_WARNING, "policy", name, "queue /%s: its policy cannot be changed", name);
    if (r < 0 || !policy.durable_line || atomic_load(&p.header.chosen))
        return r;
    r = mqxi_policy_set(fd, &p.header, policy.durable, false);
    if (r > 0) {
        say_event(SAY_NOTICE, "policy", name, "queue /%s: durable is now %s, and was %s (%s:%d)",
                  name, durable_name(policy.durable), durable_name(p.durable),
                  mqxi_conf_path(a->m->conf), policy.durable_line);
        a->changed = true;
    } else if (r < 0) {
        say_event(SAY_WARNING, "policy", name, "queue /%s: durable cannot be changed: %s", name,
                  strerror(-r));
    }
    return 0;
}

/* For mqxi_name_list. */
static int apply_to_name(const char *name, void *arg)
{
    char path[PATH_MAX];
    int r = mqxi_name_path(name, path), fd;

    if (r < 0)
        return 0;
    fd = mqxi_sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0) /* unlinked just now, or no queue: discover() says what there is to be said */
        return peek_later(fd) ? fd : 0;
    r = apply_to(arg, name, fd);
    close(fd);
    return r;
}

uint64_t policies_store_max(const struct mirror *m, const struct mqxi_queue *q, const char *name)
{
    struct mqxi_policy policy;

    return m->conf && policy_of(m, name, q->header, &policy) == 0 ? policy.store_max : 0;
}

int policies_encrypt(const struct mirror *m, struct attached *a)
{
    struct mqxi_policy policy;
    uint64_t done = 0;
    int r;

    a->encrypt =
        m->conf && policy_of(m, a->record.name, a->q->header, &policy) == 0 && policy.encrypt;
    if (!a->encrypt)
        return 0;
    r = store_seal_queue(m->store, a->record.uuid, &done);
    if (done)
        say_event(
            SAY_NOTICE, "encrypted", a->record.name,
            "queue /%s: encrypted what was stored of it in the clear, messages: %llu; 'mqx store "
            "compact' removes what is left of that in the file",
            a->record.name, (unsigned long long)done);
    if (r == -ENOSPC)
        say_event(SAY_WARNING, "policy", a->record.name,
                  "queue /%s: what is stored of it in the clear stays so: the disk is full; free "
                  "some, and "
                  "send mqxd SIGHUP",
                  a->record.name);
    return r == -ENOSPC ? 0 : r;
}

int policies_renew(struct mirror *m, struct attached *a)
{
    a->quota.max = policies_store_max(m, a->q, a->record.name);
    m->quotas.freed = true; /* there may be room now for what waits */
    return policies_encrypt(m, a);
}

static int apply_to_mirrored(struct mirror *m)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->count; i++)
        r = policies_renew(m, m->queues[i]);
    return r;
}

int policies_apply(struct mirror *m)
{
    struct applying a = {.m = m};
    int r = mqxi_name_list(apply_to_name, &a);

    if (a.changed)
        mqxi_policy_settle();
    return r < 0 ? r : apply_to_mirrored(m);
}

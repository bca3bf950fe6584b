/* Client numbers: who owns a slot, and whether that owner still lives. */
#ifndef MQXI_CLIENT_H
#define MQXI_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What this process is in the registry of one user.  Lies in memory that is
 * all zero in a forked child, which so takes a number of its own.
 */
struct mqxi_identity {
    _Atomic uint64_t user;  /* user id + 1; 0: unused */
    _Atomic uint64_t owner; /* owner id; 0: none taken yet */
    _Atomic uint32_t pid;   /* getpid() and getuid() when the number was taken */
    _Atomic uint32_t uid;
};
#define MQXI_IDENTITIES 256u

/* Not to be used directly: the page of identities, NULL before the first. */
extern struct mqxi_identity *_Atomic mqxi_identities;

/* Slow half of mqxi_client_self: takes a number.  *error = -errno: -ENOSPC all numbers taken,
 * -EMFILE, -ENOMEM, -EACCES, ... */
struct mqxi_identity *mqxi_client_join(uid_t user, int *error);

/*
 * This process's identity in the registry of that user, with its owner id
 * taken; NULL and *error = -errno.  Async-signal-safe, lock-free.
 */
static inline struct mqxi_identity *mqxi_client_self(uid_t user, int *error)
{
    struct mqxi_identity *page = atomic_load_explicit(&mqxi_identities, memory_order_acquire);
    struct mqxi_identity *me = page ? &page[user % MQXI_IDENTITIES] : NULL;

    if (me && atomic_load_explicit(&me->user, memory_order_acquire) == (uint64_t)user + 1 &&
        atomic_load_explicit(&me->owner, memory_order_acquire) != 0)
        return me;
    return mqxi_client_join(user, error);
}

/*
 * Before a queue is used: if the registry file was removed meanwhile (somebody
 * cleaned $MQX_DIR), others cannot see our lock, and we take a new number.
 */
void mqxi_client_renew(uid_t user);

/* Is the process that took this owner id still there?  True where that cannot be told. */
bool mqxi_client_alive(uid_t user, uint64_t owner);

#endif

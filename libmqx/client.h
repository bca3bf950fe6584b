/*
 * Client numbers: who owns a slot, and whether that owner still lives.
 *
 * A registry of them is a file in the clients directory, named by a number: as a
 * rule the id of the user whose it is.  But a user has different ids in different
 * user namespaces, and what is one user's id here is another's there: so a queue
 * says which registry its users take their numbers from (struct mqxi_header).
 */
#ifndef MQXI_CLIENT_H
#define MQXI_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What this process is in a registry.  Lies in memory that is
 * all zero in a forked child, which so takes a number of its own.
 */
struct mqxi_identity {
    _Atomic uint64_t registry; /* + 1; 0: unused */
    _Atomic uint64_t owner;    /* owner id; 0: none taken yet */
    _Atomic uint32_t pid;      /* getpid() and getuid() when the number was taken */
    _Atomic uint32_t uid;
};
#define MQXI_IDENTITIES 16384u
#define MQXI_REGISTRIES_EACH 8u /* that the queues of one user may name, in one process */

/* Not to be used directly: the page of identities, NULL before the first. */
extern struct mqxi_identity *_Atomic mqxi_identities;

/*
 * The registry for the queues of this user, made when missing: named by the id,
 * or by another number where what has that name is not the user's.
 */
#define MQXI_REGISTRY_ELSE (UINT32_C(1) << 31) /* such numbers have this bit */
#define MQXI_REGISTRIES    64u                 /* names that are tried before one by chance */
int mqxi_client_registry(uid_t owner, uint32_t *registry);

/* Slow half of mqxi_client_self: takes a number.  *error = -errno: -EUSERS all numbers taken,
 * -EMFILE, -ENOMEM, -EACCES, ... */
struct mqxi_identity *mqxi_client_join(uint32_t registry, int *error);

/*
 * This process's identity in that registry, with its owner id taken; NULL and
 * *error = -errno.  Async-signal-safe, lock-free.
 */
static inline struct mqxi_identity *mqxi_client_self(uint32_t registry, int *error)
{
    struct mqxi_identity *page = atomic_load_explicit(&mqxi_identities, memory_order_acquire);
    struct mqxi_identity *me = page ? &page[registry % MQXI_IDENTITIES] : NULL;

    if (me && atomic_load_explicit(&me->registry, memory_order_acquire) == (uint64_t)registry + 1 &&
        atomic_load_explicit(&me->owner, memory_order_acquire) != 0)
        return me;
    return mqxi_client_join(registry, error);
}

/*
 * Before a queue of this user is used.  -EBADMSG: what it names as its registry is
 * another user's, or one too many.  If the registry file was removed meanwhile (somebody cleaned
 * $MQX_DIR), others cannot see our lock, and we take a new number.
 */
int mqxi_client_renew(uint32_t registry, uid_t user);

/*
 * For who says why a queue cannot be used (-EBADMSG, -EACCES), once after each
 * failure: was it for a registry that is damaged, or not the file that it should
 * be?  Its path (PATH_MAX).
 */
bool mqxi_client_unusable(char *path);

/* Is the process that took this owner id still there?  True where that cannot be told. */
bool mqxi_client_alive(uint32_t registry, uint64_t owner);

#endif

/* Several users, as processes of this program that root starts. */
#ifndef USERS_H
#define USERS_H

#include "compat.h"

struct user {
    uid_t uid;
    gid_t gid;
    gid_t also; /* a supplementary group, or 0 */
};
extern const struct user owner, other, third, member, supplementary;

/* For this process from now on. */
void become(const struct user *u);
/* f(), in a child that is this user; it must return. */
pid_t spawn_as(const struct user *u, void (*f)(void));
void as(const struct user *u, void (*f)(void));
/* The owner creates name(0) with this mode.  Where we are not root, the case is skipped. */
void owner_creates(mode_t mode, long maxmsg, long msgsize);

#endif

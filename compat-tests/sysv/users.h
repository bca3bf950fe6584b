/*
 * Several users and one queue.  Who sets the stage never touches the queue himself: what a
 * process of mqx's has mapped, its children have, too, whoever they become.  So every step is a
 * child of its own, and the case only hands the identifier on.
 */
#ifndef USERS_H
#define USERS_H

#include "sysv.h"

struct user {
    uid_t uid;
    gid_t gid, also; /* a supplementary group, or 0 */
};
/* member and supplementary are in the owner's group; stranger and third have nothing of his. */
extern const struct user owner, member, supplementary, stranger, third;

/* What a user does with queue q, in a child: must() hold, and ends with what it returns. */
struct step {
    const struct user *user;
    int (*f)(int q, long value);
    int q;
    long value;
};
/* For spawn() and in_child(). */
int act(void *step);
void as(const struct user *user, int (*f)(int q, long value), int q, long value);
/* A child that is asleep in what it does; reap() says how that ended. */
pid_t blocked_as(const struct user *user, int (*f)(int q, long value), int q, long value);

/* A queue of the owner's, with key(0). */
int of_mode(int mode);

/* Steps. */
int creates(int unused, long mode); /* its identifier: shared->number[0] */
int sends(int q, long type);
int receives(int q, long type); /* what sends() sent */
int finds_none(int q, long type);
int sets_mode(int q, long mode);
int removes(int q, long unused);
int may_not_control(int q, long unused);
/* Every call, with two messages in it; bits: of the mode, those that are the caller's. */
int tries(int q, long bits);
/* In a step: the call has returned that if it is permitted, else EACCES. */
void as_permitted(long result, bool permitted, long right);

#endif

/* What was sent to a System V queue, by type, what came, and what must come next. */
#ifndef STEP_TYPED_H
#define STEP_TYPED_H

#include "actors.h"

#include <sys/ipc.h>
#include <sys/msg.h>

#ifndef MSG_EXCEPT
#define MSG_EXCEPT 020000
#endif

#define TYPED_MAX 1000

struct typed_message {
    long type;
    char room[TYPED_MAX];
};

/* What a receive asks for. */
struct wish {
    long type;
    int flags; /* MSG_EXCEPT */
};

/* An empty queue, whose messages have this length. */
void typed_begin(int id, size_t len);
/* The harness's calls, which never wait.  False: no room, nothing there. */
bool typed_send(long type);
bool typed_receive(struct wish wish);
/* Somebody else's message (sender 1, 2, ...) may come; he is a receiver, so one may be with him. */
void typed_sender(uint32_t sender);
void typed_receiver(void);
/* His send returned that; he received this (sharp: as the only one who did anything). */
void typed_sent(uint32_t sender, bool sent);
void typed_received(const struct typed_message *m, int64_t len, struct wish wish, bool sharp);
/* A receiver was killed: what he had may have gone with him. */
void typed_receiver_died(void);
/* Receive all, with one wish after the other. */
void typed_drain(void);
/* The same, until the queue says that it holds nothing: no message and no byte. */
void typed_drain_after_death(void);
/* From empty to full and back; so many places may be with others. */
void typed_check_room(unsigned held);
/* All has come, once. */
void typed_settle(void);

#endif

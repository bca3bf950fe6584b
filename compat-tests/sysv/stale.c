/* Identifiers of queues that are not there, or not there any more. */
#include "sysv.h"

enum operation { SENDING, RECEIVING, COPYING, READING, SETTING, REMOVING };

static int operate(enum operation operation, int q)
{
    struct msqid_ds ds = {.msg_qbytes = 1};
    struct message m;

    switch (operation) {
    case SENDING:
        return send_text(q, 1, "text", IPC_NOWAIT);
    case RECEIVING:
        return (int)msgrcv(q, &m, sizeof(m.text), 0, IPC_NOWAIT);
    case COPYING:
        return (int)msgrcv(q, &m, sizeof(m.text), 0, IPC_NOWAIT | MSG_COPY);
    case READING:
        return msgctl(q, IPC_STAT, &ds);
    case SETTING:
        return msgctl(q, IPC_SET, &ds);
    default:
        return msgctl(q, IPC_RMID, NULL);
    }
}

static enum operation operation(void **state)
{
    return (enum operation)(intptr_t)*state;
}

static void negative(void **state)
{
    fails(operate(operation(state), -1), EINVAL);
    fails(operate(operation(state), INT_MIN), EINVAL);
}

static void never_was(void **state)
{
    int q;

    q = create();
    fails(operate(operation(state), q ^ 0x40000000), EINVAL);
    fails(operate(operation(state), INT_MAX), EINVAL);
    assert_int_equal(status(q).msg_qnum, 0);
}

static void removed(void **state)
{
    int q;

    q = create();
    put(q, 1, "text");
    ok(msgctl(q, IPC_RMID, NULL));
    fails(operate(operation(state), q), EINVAL);
}

/* This process has used it, another one removes it. */
static int remove_it(void *arg)
{
    return msgctl(*(int *)arg, IPC_RMID, NULL) == 0 ? 0 : errno;
}

static void removed_by_another(void **state)
{
    int q;

    q = create();
    put(q, 1, "text");
    assert_int_equal(in_child(remove_it, &q), 0);
    fails(operate(operation(state), q), EINVAL);
}

/* Others have its place by now. */
static void replaced(void **state)
{
    int old, q;

    old = get(key(0), IPC_CREAT | 0600);
    put(old, 1, "old");
    ok(msgctl(old, IPC_RMID, NULL));
    q = get(key(0), IPC_CREAT | 0600);
    put(q, 1, "new");
    for (int i = 0; i < 20; i++)
        create();
    fails(operate(operation(state), old), EINVAL);
    expect(q, 0, 0, 1, "new");
}

#define EACH_OPERATION(sentence, function)                                                         \
    CALL("msgsnd: " sentence, function, SENDING), CALL("msgrcv: " sentence, function, RECEIVING),  \
        CALL("msgrcv with MSG_COPY: " sentence, function, COPYING),                                \
        CALL("IPC_STAT: " sentence, function, READING),                                            \
        CALL("IPC_SET: " sentence, function, SETTING),                                             \
        CALL("IPC_RMID: " sentence, function, REMOVING)

int group_stale(void)
{
    const struct CMUnitTest tests[] = {
        EACH_OPERATION("EINVAL msqid is negative", negative),
        EACH_OPERATION("EINVAL msqid is not a valid message queue identifier", never_was),
        EACH_OPERATION("EINVAL the queue was removed", removed),
        EACH_OPERATION("EINVAL the queue was removed by another process", removed_by_another),
        EACH_OPERATION("EINVAL the queue was removed, and the key has another", replaced),
    };

    return RUN("identifiers of nothing", tests);
}

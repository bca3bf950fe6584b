/* A queue stays mapped while a thread is inside the engine, and no longer. */
#include "thread.c" /* its notes are looked at */

#include <sched.h>

#include "testing.h"

static bool mapped(const void *address)
{
    unsigned char there;

    return mincore((void *)(uintptr_t)address, 1, &there) == 0;
}

/* A thread that does what it is told, one step at a time. */
enum step { IDLE, ENTER, LEAVE, END };
struct puppet {
    pthread_t thread;
    _Atomic int step, done;
};

static void *dance(void *arg)
{
    struct puppet *p = arg;
    unsigned token = 0;

    for (int did = IDLE; did != END; atomic_store(&p->done, did)) {
        while (atomic_load(&p->step) == did)
            nap();
        did = atomic_load(&p->step);
        if (did == ENTER)
            token = mqxi_op_enter();
        else if (did == LEAVE)
            mqxi_op_leave(token);
    }
    return NULL;
}

static void order(struct puppet *p, enum step step)
{
    atomic_store(&p->step, step);
    WAIT_FOR(atomic_load(&p->done) == (int)step);
}

static void make_puppet(struct puppet *p)
{
    *p = (struct puppet){0};
    IS(pthread_create(&p->thread, NULL, dance, p), 0);
}

static void end_puppet(struct puppet *p)
{
    order(p, END);
    IS(pthread_join(p->thread, NULL), 0);
}

/* --- the tests -------------------------------------------------------------------------------- */

static void unmapped_with_the_last_reference(void)
{
    struct mqxi_queue *q = create("q", 4, 16);
    void *base = q->header;
    unsigned token = mqxi_op_enter();

    CHECK(mqxi_queue_get(q));
    mqxi_op_leave(token);
    mqxi_queue_put(q);
    CHECK(mapped(base));
    mqxi_queue_put(q);
    CHECK(!mapped(base));
}

/* It was looked up, and is closed by another thread before the call that wants to sleep on it gets a
 * reference. */
static void cannot_be_had_after_the_last_reference(void)
{
    struct mqxi_queue *q = create("q", 4, 16);
    void *base = q->header;
    unsigned token = mqxi_op_enter();

    mqxi_queue_put(q);
    CHECK(mapped(base));
    CHECK(!mqxi_queue_get(q));
    mqxi_op_leave(token);
    mqxi_queue_put(create("other", 4, 16));
    CHECK(!mapped(base));
}

static void stays_while_another_is_inside(void)
{
    struct mqxi_queue *q = create("q", 4, 16), *other = create("other", 4, 16);
    void *base = q->header, *other_base = other->header;
    struct puppet p;

    make_puppet(&p);
    order(&p, ENTER);
    mqxi_queue_put(q);
    CHECK(mapped(base));
    order(&p, LEAVE);
    CHECK(mapped(base)); /* its last user does not look */
    mqxi_queue_put(other);
    CHECK(!mapped(base));
    CHECK(!mapped(other_base));
    end_puppet(&p);
}

static void stays_while_we_are_inside(void)
{
    struct mqxi_queue *q = create("q", 4, 16), *other = create("other", 4, 16);
    void *base = q->header;
    unsigned outer = mqxi_op_enter(), inner = mqxi_op_enter();

    mqxi_queue_put(q);
    CHECK(mapped(base));
    mqxi_op_leave(inner);
    CHECK(mqxi_queue_get(other));
    mqxi_queue_put(other);
    mqxi_queue_put(create("third", 4, 16));
    CHECK(mapped(base));
    mqxi_op_leave(outer);
    mqxi_queue_put(other);
    CHECK(!mapped(base));
}

static struct mqxi_queue *closed_by_handler;

static void close_in_handler(int sig)
{
    unsigned token = mqxi_op_enter();

    (void)sig;
    mqxi_op_leave(token);
    mqxi_queue_put(closed_by_handler);
}

/* A handler that interrupts the engine, enters it, leaves it, and closes the queue. */
static void handler_leaves_the_interrupted_inside(void)
{
    struct mqxi_queue *q = create("q", 4, 16);
    void *base = q->header;
    unsigned token;

    closed_by_handler = q;
    signal(SIGUSR1, close_in_handler);
    token = mqxi_op_enter();
    raise(SIGUSR1);
    CHECK(mapped(base));
    mqxi_op_leave(token);
    mqxi_queue_put(create("other", 4, 16));
    CHECK(!mapped(base));
}

static void close_inherited(void *queue)
{
    struct mqxi_queue *q = queue;
    void *base = q->header;

    mqxi_queue_put(q);
    CHECK(!mapped(base)); /* the thread that was inside is not here */
}

static void fork_leaves_other_threads_behind(void)
{
    struct mqxi_queue *q = create("q", 4, 16);
    struct puppet p;

    make_puppet(&p);
    order(&p, ENTER);
    finish(start(close_inherited, q));
    CHECK(mapped(q->header));
    order(&p, LEAVE);
    end_puppet(&p);
    mqxi_queue_put(q);
}

static void thread_in_child(void *queue)
{
    struct mqxi_queue *q = queue;
    void *base = q->header;
    struct puppet p;
    unsigned token;

    make_puppet(&p);
    order(&p, ENTER); /* may take the note that was the forking thread's */
    token = mqxi_op_enter();
    order(&p, LEAVE);
    mqxi_queue_put(q);
    CHECK(mapped(base));
    mqxi_op_leave(token);
    end_puppet(&p);
    mqxi_queue_put(create("other", 4, 16));
    CHECK(!mapped(base));
}

/* In a forked child a new thread enters before the one that forked. */
static void threads_of_a_child_have_their_own_notes(void)
{
    struct mqxi_queue *q = create("q", 4, 16);

    mqxi_op_leave(mqxi_op_enter());
    finish(start(thread_in_child, q));
    mqxi_queue_put(q);
}

static void fork_in_handler(int sig)
{
    (void)sig;
    if (fork() == 0) {
        struct mqxi_queue *q = closed_by_handler;
        void *base = q->header;
        unsigned token = mqxi_op_enter();

        mqxi_op_leave(token);
        mqxi_queue_put(q); /* the interrupted call, which is here too, is no longer inside */
        _exit(mapped(base) ? 1 : 0);
    }
}

static void fork_inside(void)
{
    struct mqxi_queue *q = create("q", 4, 16);
    unsigned token;
    int status;

    closed_by_handler = q;
    signal(SIGUSR1, fork_in_handler);
    token = mqxi_op_enter();
    raise(SIGUSR1);
    CHECK(wait(&status) > 0);
    IS(status, 0);
    mqxi_op_leave(token);
    mqxi_queue_put(q);
}

static void *enter_once(void *unused)
{
    mqxi_op_leave(mqxi_op_enter());
    return unused;
}

static void ended_threads_give_their_notes_back(void)
{
    for (unsigned i = 0; i < 4 * PER_CHUNK; i++) {
        pthread_t thread;

        IS(pthread_create(&thread, NULL, enter_once, NULL), 0);
        IS(pthread_join(thread, NULL), 0);
    }
    CHECK(atomic_load(&chunks[0]) != NULL);
    CHECK(atomic_load(&chunks[1]) == NULL);
}

/* More than fit into one chunk of notes; the last one that is inside keeps the queue. */
static void many_threads(void)
{
    enum { THREADS = 2 * PER_CHUNK + 10 };
    struct mqxi_queue *q = create("q", 4, 16);
    void *base = q->header;
    static struct puppet p[THREADS];

    for (int i = 0; i < THREADS; i++) {
        make_puppet(&p[i]);
        order(&p[i], ENTER);
    }
    for (int i = 0; i < THREADS - 1; i++)
        order(&p[i], LEAVE);
    mqxi_queue_put(q);
    CHECK(mapped(base));
    order(&p[THREADS - 1], LEAVE);
    mqxi_queue_put(create("other", 4, 16));
    CHECK(!mapped(base));
    for (int i = 0; i < THREADS; i++)
        end_puppet(&p[i]);
}

/* --- as the library uses it ------------------------------------------------------------------- */

static struct mqxi_queue *_Atomic current;
static atomic_bool over;

static void *use_current(void *unused)
{
    while (!atomic_load(&over)) {
        unsigned token = mqxi_op_enter();
        struct mqxi_queue *q = atomic_load(&current);

        /* Unmapped, this would crash. */
        CHECK(q->header->magic == MQXI_MAGIC);
        CHECK(mqxi_slot(q, 3)->len == 0);
        mqxi_op_leave(token);
    }
    return unused;
}

static void replaced_under_busy_threads(void)
{
    pthread_t thread[3];

    atomic_store(&current, create("q", 4, 16));
    for (int i = 0; i < 3; i++)
        IS(pthread_create(&thread[i], NULL, use_current, NULL), 0);
    for (int i = 0; i < (SANITIZED ? 500 : 3000); i++)
        mqxi_queue_put(atomic_exchange(&current, attach("q")));
    atomic_store(&over, true);
    for (int i = 0; i < 3; i++)
        IS(pthread_join(thread[i], NULL), 0);
    mqxi_queue_put(atomic_load(&current));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(unmapped_with_the_last_reference),
        UNIT(cannot_be_had_after_the_last_reference),
        UNIT(stays_while_another_is_inside),
        UNIT(stays_while_we_are_inside),
        UNIT(handler_leaves_the_interrupted_inside),
        UNIT(fork_leaves_other_threads_behind),
        UNIT(threads_of_a_child_have_their_own_notes),
        UNIT(fork_inside),
        UNIT(ended_threads_give_their_notes_back),
        UNIT(many_threads),
        UNIT(replaced_under_busy_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

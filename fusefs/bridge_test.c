/* The bridge: a watch fires when its word moved, once, and not when nothing happened. */
#include "bridge.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "wait.h"

#define MANY      300 /* more than one helper has room for */
#define PATIENTLY 20000

static int bell;
static struct mqxi_header header[MANY];
static struct mqxi_queue queue[MANY];
static struct watch watch[MANY];
static unsigned fired[MANY];

static void count(struct watch *w)
{
    fired[w - watch]++;
}

static bool rings(int ms)
{
    struct pollfd p = {.fd = bell, .events = POLLIN};

    return poll(&p, 1, ms) == 1;
}

/* Until this watch fired. */
static void expect(int i)
{
    while (fired[i] == 0) {
        assert_true(rings(PATIENTLY));
        bridge_collect(count);
    }
}

static void arm(int i)
{
    _Atomic uint32_t *word = &header[i].recv_event;

    bridge_arm(&watch[i], &queue[i], word, mqxi_event_read(word));
}

/* The helper sleeps, or will: it has set the bit. */
static void await_sleeper(int i)
{
    for (int ms = 0; !(atomic_load(&header[i].recv_event) & MQXI_EVENT_SLEEPERS); ms++) {
        assert_true(ms < PATIENTLY);
        usleep(1000);
    }
}

static int set_up(void **state)
{
    (void)state;
    memset(header, 0, sizeof(header));
    memset(fired, 0, sizeof(fired));
    for (int i = 0; i < MANY; i++) {
        queue[i].header = &header[i];
        atomic_store(&queue[i].refs, 2); /* never the last: these are no mappings */
        atomic_store(&queue[i].dead, false);
    }
    return 0;
}

static void drop(int i)
{
    bridge_drop(&watch[i]);
    for (int ms = 0; atomic_load(&queue[i].refs) > 2; ms++) { /* the helper lets go of it */
        assert_true(ms < PATIENTLY);
        usleep(1000);
    }
}

static void fires_once(void **state)
{
    (void)state;
    arm(0);
    await_sleeper(0);
    mqxi_event_signal(&header[0].recv_event, false);
    expect(0);
    mqxi_event_signal(&header[0].recv_event, false); /* not armed: says nothing */
    assert_false(rings(50));
    assert_int_equal(fired[0], 1);
    arm(0);
    await_sleeper(0);
    mqxi_event_signal(&header[0].recv_event, false);
    while (fired[0] < 2) {
        assert_true(rings(PATIENTLY));
        bridge_collect(count);
    }
    drop(0);
}

static void fires_if_it_moved_before(void **state)
{
    (void)state;
    uint32_t seen = mqxi_event_read(&header[0].recv_event);

    mqxi_event_signal(&header[0].recv_event, false);
    bridge_arm(&watch[0], &queue[0], &header[0].recv_event, seen);
    expect(0);
    drop(0);
}

static void dropped_is_silent(void **state)
{
    (void)state;
    arm(0);
    await_sleeper(0);
    drop(0);
    mqxi_event_signal(&header[0].recv_event, false);
    assert_false(rings(50));
    assert_int_equal(fired[0], 0);
}

static void dead_queue_fires(void **state)
{
    (void)state;
    atomic_store(&queue[0].dead, true);
    arm(0);
    expect(0);
    drop(0);
}

static void each_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++)
        arm(i);
    for (int i = MANY - 1; i >= 0; i -= 7) {
        await_sleeper(i);
        mqxi_event_signal(&header[i].recv_event, false);
        expect(i);
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(fired[i], (MANY - 1 - i) % 7 == 0);
        drop(i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fires_once, set_up),
        cmocka_unit_test_setup(fires_if_it_moved_before, set_up),
        cmocka_unit_test_setup(dropped_is_silent, set_up),
        cmocka_unit_test_setup(dead_queue_fires, set_up),
        cmocka_unit_test_setup(each_its_own, set_up),
    };

    bell = bridge_start();
    if (bell < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* RabbitMQ: persistent messages to a durable queue, each confirmed before the next.  Its server
 * gets a node, a port mapper and files of its own, and nothing of the machine's configuration. */
#include "durable.h"

#include <stdio.h>

#ifdef HAVE_AMQP
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned port;

static const char *missing(void)
{
    if (!durable_program("epmd"))
        return "epmd, of erlang-base";
    return durable_program("rabbitmq-server") &&
                   access("/usr/lib/rabbitmq/bin/rabbitmq-server", X_OK) == 0
               ? NULL
               : "rabbitmq-server";
}

/* A connection with its channel 1; NULL. */
static amqp_connection_state_t try_open(void)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *s = amqp_tcp_socket_new(c);

    if (s && amqp_socket_open(s, "127.0.0.1", (int)port) == 0 &&
        amqp_login(c, "/", 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest")
                .reply_type == AMQP_RESPONSE_NORMAL &&
        amqp_channel_open(c, 1))
        return c;
    amqp_destroy_connection(c);
    return NULL;
}

static bool is_up(void)
{
    amqp_connection_state_t c = try_open();

    if (c)
        amqp_destroy_connection(c);
    else
        usleep(300000); /* it logs each attempt */
    return c;
}

static void start(void)
{
    char text[9][4300], epmd_port[16];
    const char *epmd[] = {durable_program("epmd"), "-port", epmd_port, NULL};
    const char *server[] = {"/usr/lib/rabbitmq/bin/rabbitmq-server", NULL};
    const char *environment[] = {text[0],
                                 text[1],
                                 text[2],
                                 text[3],
                                 text[4],
                                 text[5],
                                 text[6],
                                 text[7],
                                 text[8],
                                 "RABBITMQ_CONF_ENV_FILE=/dev/null",
                                 "ERL_CRASH_DUMP=/dev/null",
                                 NULL};
    char dir[4200];

    port = durable_port();
    snprintf(dir, sizeof dir, "%s", durable_path("rabbitmq"));
    if (mkdir(dir, 0700) != 0)
        durable_fail("cannot make", dir);
    snprintf(epmd_port, sizeof epmd_port, "%u", durable_port());
    snprintf(text[0], sizeof text[0], "HOME=%s", dir);
    snprintf(text[1], sizeof text[1], "RABBITMQ_MNESIA_BASE=%s", dir);
    snprintf(text[2], sizeof text[2], "RABBITMQ_LOG_BASE=%s", dir);
    snprintf(text[3], sizeof text[3], "RABBITMQ_ENABLED_PLUGINS_FILE=%s/plugins", dir);
    snprintf(text[4], sizeof text[4], "RABBITMQ_CONFIG_FILE=%s/none", dir);
    snprintf(text[5], sizeof text[5], "RABBITMQ_NODENAME=mqx-bench-%d@localhost", (int)getpid());
    snprintf(text[6], sizeof text[6], "RABBITMQ_NODE_PORT=%u", port);
    snprintf(text[7], sizeof text[7], "ERL_EPMD_PORT=%s", epmd_port);
    snprintf(text[8], sizeof text[8], "RABBITMQ_DIST_PORT=%u", durable_port());
    durable_serve("epmd", epmd, NULL);
    durable_await(durable_serve("rabbitmq", server, environment), "rabbitmq-server", is_up);
}

static void *open_queue(size_t size)
{
    amqp_connection_state_t c = try_open();

    (void)size;
    if (!c || !amqp_queue_declare(c, 1, amqp_cstring_bytes("q"), 0, 1, 0, 0, amqp_empty_table) ||
        !amqp_confirm_select(c, 1))
        durable_fail("cannot connect to", "rabbitmq-server");
    return c;
}

static void publish(void *arg, const char *message, size_t size, unsigned group)
{
    amqp_connection_state_t c = arg;
    amqp_basic_properties_t persistent = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                          .delivery_mode = AMQP_DELIVERY_PERSISTENT};
    amqp_bytes_t body = {.len = size, .bytes = (void *)message};
    amqp_frame_t frame;

    (void)group;
    if (amqp_basic_publish(c, 1, amqp_empty_bytes, amqp_cstring_bytes("q"), 0, 0, &persistent,
                           body) != AMQP_STATUS_OK)
        durable_fail("cannot publish to", "rabbitmq-server");
    do
        if (amqp_simple_wait_frame(c, &frame) != AMQP_STATUS_OK)
            durable_fail("no answer of", "rabbitmq-server");
    while (frame.frame_type != AMQP_FRAME_METHOD);
    if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        durable_fail("no confirmation of", "rabbitmq-server");
    amqp_maybe_release_buffers(c);
}
#else
static const char *missing(void)
{
    return "amqp.h (build again then)";
}

static void start(void)
{
}

static void *open_queue(size_t size)
{
    (void)size;
    return NULL;
}

static void publish(void *arg, const char *message, size_t size, unsigned group)
{
    (void)arg, (void)message, (void)size, (void)group;
}
#endif

const struct peer peer_rabbitmq = {.name = "rabbitmq",
                                   .package = "rabbitmq-server librabbitmq-dev",
                                   .slow = true,
                                   .target = {1, 1, 1},
                                   .missing = missing,
                                   .start = start,
                                   .open = open_queue,
                                   .send = publish};

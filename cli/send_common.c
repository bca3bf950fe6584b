/* What mqx send reads, and what it says where that was not sent: alike for queues of both kinds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "send.h"

static char *slurp(size_t most, size_t *len)
{
    char *data = malloc(most + 1);
    ssize_t n = 1;

    *len = 0;
    while (data && n != 0 && *len <= most) {
        n = read(STDIN_FILENO, data + *len, most + 1 - *len);
        if (n < 0 && errno != EINTR) {
            free(data);
            return NULL;
        }
        *len += n > 0 ? (size_t)n : 0;
    }
    return data;
}

char *send_message(const char *text, size_t most, size_t *len)
{
    char *message = text ? strdup(text) : slurp(most, len);

    if (!message)
        fail_because("send", text ? "the message" : "standard input", "%s", strerror(errno));
    else if (text)
        *len = strlen(text);
    return message;
}

int send_failed(const char *name, size_t msgsize, int error)
{
    switch (error) {
    case EAGAIN:
    case ETIMEDOUT:
        fail_because("send", name, error == EAGAIN ? "it is full" : "it stayed full; gave up");
        return EXIT_NOT_NOW;
    case EMSGSIZE:
        return fail_because("send", name, "the message is larger than the %zu bytes it takes",
                            msgsize);
    default:
        return fail("send", name, error);
    }
}

/* mqx send, to queues of both kinds. */
#ifndef MQX_CLI_SEND_H
#define MQX_CLI_SEND_H

#include <stdbool.h>
#include <stddef.h>

/* send_common.c: the message, to be freed: text, or where that is NULL, standard input, but no more
 * than one byte beyond the most that the queue takes.  NULL: was said why. */
char *send_message(const char *text, size_t most, size_t *len);
/* Says why nothing was sent; EMSGSIZE: the queue takes but msgsize bytes.  Returns the exit status.
 */
int send_failed(const char *name, size_t msgsize, int error);

/* send_sysv.c: one message to a System V queue; text as for send_message. */
struct sysv_order {
    long type;
    bool nonblock;
    const char *timeout; /* NULL: none */
};
int send_sysv(const char *name, const struct sysv_order *order, const char *text);

#endif

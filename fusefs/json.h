/* A message as a JSON object. */
#ifndef MQXFS_JSON_H
#define MQXFS_JSON_H

#include "form.h"

/* As form_show, in a line. */
int json_show(const struct mqxi_taken *about, const uint8_t *bytes, struct text *out);
/* As form_read. */
int json_read(const char *data, size_t size, struct form_message *out);

#endif

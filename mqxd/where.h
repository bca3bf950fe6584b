/* Where the store is. */
#ifndef MQXD_WHERE_H
#define MQXD_WHERE_H

/* option, else $MQX_STORE, else the user's default; out has PATH_MAX bytes.  -EINVAL, said: there
 * is no place for one. */
int where_store(const char *option, char *out);

#endif

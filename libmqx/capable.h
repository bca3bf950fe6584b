/* Capabilities, for where the kernel asks for one: being root is neither needed nor enough. */
#ifndef MQXI_CAPABLE_H
#define MQXI_CAPABLE_H

#include <linux/capability.h>
#include <stdbool.h>

#include "sys.h"

/* Has the calling thread this one (CAP_...) in effect? */
static inline bool mqxi_capable(int capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return MQXI_SYS(SYS_capget, &header, data) == 0 &&
           data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

#endif

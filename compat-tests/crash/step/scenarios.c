/*
 * The scenarios.  Sizes: up to 64 slots are scanned, more have a tree of two
 * levels, more than 1088 one of three.  Messages: up to 160 bytes lie in the
 * slot, larger ones in its overflow pages, which slots behind the 64th give back
 * with each message.
 */
#include "scenarios.h"

#define SMALL 64
#define LARGE 1000

#define SEND_TO(max, there, prio_, len_)                                                           \
    .act = SEND, .prio = (prio_), .maxmsg = (max), .before = (there), .len = (len_)
#define RECEIVE_OF(max, there, len_)                                                               \
    .act = RECEIVE, .maxmsg = (max), .before = (there), .len = (len_)

const struct scenario scenarios[] = {
    /* Plain calls. */
    {"send", SEND_TO(8, 3, 1, SMALL)},
    {"send large", SEND_TO(8, 3, 1, LARGE)},
    {"send into the tree", SEND_TO(100, 64, 1, SMALL)},
    {"send the first into the tree", SEND_TO(100, 80, 3, SMALL)},
    {"send large into the tree", SEND_TO(100, 90, 1, LARGE)},
    {"send into three levels", SEND_TO(1200, 1100, 2, SMALL), .flags = BRIEF},
    {"send from another CPU", SEND_TO(8, 3, 1, SMALL), .how = ELSEWHERE, .flags = BRIEF},
    {"receive", RECEIVE_OF(8, 3, SMALL)},
    {"receive on another CPU", RECEIVE_OF(8, 3, SMALL), .how = ELSEWHERE, .flags = BRIEF},
    {"receive large", RECEIVE_OF(8, 3, LARGE)},
    {"receive from before the tree", RECEIVE_OF(100, 90, SMALL)},
    {"receive from the tree", RECEIVE_OF(100, 90, SMALL), .urgent = 90},
    {"receive large from the tree", RECEIVE_OF(100, 90, LARGE), .urgent = 90},
    {"receive the last of the tree", RECEIVE_OF(100, 65, SMALL), .urgent = 65},
    {"receive from three levels", RECEIVE_OF(1200, 1150, SMALL), .flags = BRIEF, .urgent = 1150},
    {"receive and free before the hint", RECEIVE_OF(300, 300, SMALL), .flags = BRIEF},

    {"receive behind free slots", RECEIVE_OF(8, 1, SMALL), .holes = 5},
    {"receive the last behind free slots", RECEIVE_OF(8, 3, SMALL), .holes = 4, .urgent = 3},
    {"receive behind free slots, before a tree", RECEIVE_OF(100, 1, SMALL), .holes = 40},

    /* Two at once: both stand in the middle, one after the other goes on. */
    {"receive from the tree beside a receiver", RECEIVE_OF(100, 80, SMALL), .flags = BESIDE,
     .left = RECEIVE, .urgent = 80, .drained = 65},
    {"receive from the tree beside a sender", RECEIVE_OF(100, 80, SMALL), .flags = BESIDE,
     .left = SEND, .urgent = 80},
    {"send into the tree beside a receiver", SEND_TO(100, 80, 1, SMALL), .flags = BESIDE,
     .left = RECEIVE, .urgent = 80},
    {"send into the tree beside a sender", SEND_TO(100, 80, 1, SMALL), .flags = BESIDE,
     .left = SEND},

    /* Nothing there, no room: what is looked at before that is said. */
    {"receive nothing", RECEIVE_OF(8, 0, SMALL), .how = TIMES_OUT},
    {"receive nothing from a tree", RECEIVE_OF(100, 0, SMALL), .how = TIMES_OUT},
    {"poll an empty tree", RECEIVE_OF(100, 0, SMALL), .flags = FRESH | BRIEF},
    {"send to a full queue", SEND_TO(8, 8, 1, SMALL), .how = TIMES_OUT},
    {"send to a full tree", SEND_TO(100, 100, 1, SMALL), .how = TIMES_OUT, .flags = BRIEF},

    /* Growth. */
    {"send as the first ever", SEND_TO(8, 0, 1, SMALL), .flags = FRESH},
    {"send large as the first ever", SEND_TO(8, 0, 1, LARGE), .flags = FRESH},
    {"send and grow", SEND_TO(100, 64, 1, SMALL), .flags = FRESH},
    {"send large and grow", SEND_TO(100, 64, 1, LARGE), .flags = FRESH | BRIEF},
    {"send and grow again", SEND_TO(300, 128, 2, SMALL), .flags = FRESH | BRIEF},
    {"send large without memory", SEND_TO(8, 3, 1, LARGE), .how = NO_MEMORY,
     .flags = FRESH | BRIEF},
    {"grow without memory", SEND_TO(100, 64, 1, SMALL), .how = NO_MEMORY, .flags = FRESH | BRIEF},
    {"grow with an old kernel", SEND_TO(100, 64, 1, LARGE), .how = OLD_KERNEL,
     .flags = FRESH | BRIEF},

    /* Waking and being woken. */
    {"send to a sleeper who was killed", SEND_TO(8, 0, 1, SMALL), .flags = GONE | BRIEF},
    {"receive before a sleeper who was killed", RECEIVE_OF(100, 100, SMALL), .flags = GONE | BRIEF},
    {"send to a sleeper", SEND_TO(8, 0, 1, SMALL), .flags = SLEEPER},
    {"send to a sleeper from the tree", SEND_TO(100, 0, 1, LARGE), .flags = SLEEPER | BRIEF},
    {"receive before a sleeper", RECEIVE_OF(8, 8, SMALL), .flags = SLEEPER},
    {"receive before a sleeper from the tree", RECEIVE_OF(100, 100, LARGE),
     .flags = SLEEPER | BRIEF, .urgent = 100},
    {"sleep until a message", RECEIVE_OF(8, 0, SMALL), .how = WAITS, .flags = BRIEF | FRESH},
    {"sleep until there is room", SEND_TO(8, 8, 1, SMALL), .how = WAITS, .flags = BRIEF | FRESH},
    {"sleep for a message among others", RECEIVE_OF(100, 0, SMALL), .how = WAITS,
     .flags = SLEEPER | BRIEF | FRESH},
    {"sleep for room among others", SEND_TO(100, 100, 1, SMALL), .how = WAITS,
     .flags = SLEEPER | BRIEF | FRESH},
    {"sleep with an old kernel", RECEIVE_OF(8, 0, SMALL), .how = WAITS | OLD_KERNEL,
     .flags = BRIEF | FRESH},

    {"send to one who polls", SEND_TO(8, 0, 1, SMALL), .flags = SLEEPER | POLLER | BRIEF},
    {"receive before one who polls", RECEIVE_OF(8, 8, SMALL), .flags = SLEEPER | POLLER | BRIEF},
    {"poll until a message", .act = AWAIT_MESSAGE, .maxmsg = 8, .len = SMALL, .how = WAITS,
     .flags = BRIEF | FRESH},
    {"poll until a message in a tree", .act = AWAIT_MESSAGE, .maxmsg = 100, .len = LARGE,
     .how = WAITS, .flags = BRIEF | FRESH},
    {"poll until there is room", .act = AWAIT_ROOM, .maxmsg = 8, .before = 8, .len = SMALL,
     .how = WAITS, .flags = BRIEF | FRESH},

    /* Registrations with mq_notify. */
    {"register", .act = REGISTER, .maxmsg = 8, .len = SMALL},
    {"register where messages are", .act = REGISTER, .maxmsg = 100, .before = 70, .len = LARGE,
     .flags = BRIEF},
    {"remove a registration", .act = WITHDRAW, .maxmsg = 8, .len = SMALL},
    {"send to one who is registered", SEND_TO(8, 0, 1, SMALL), .flags = REGISTERED},
    {"register after who died registering", .act = REGISTER, .maxmsg = 8, .len = SMALL,
     .left = REGISTER, .flags = BRIEF},
    {"send to a sleeper, one is registered", SEND_TO(8, 0, 1, SMALL),
     .flags = REGISTERED | SLEEPER | BRIEF},
    {"send to who was killed, one is registered", SEND_TO(8, 0, 1, SMALL),
     .flags = REGISTERED | GONE | BRIEF},
    {"send to oneself, registered", SEND_TO(8, 0, 1, SMALL), .how = TO_ITSELF},
    {"receive nothing, one is registered", RECEIVE_OF(8, 0, SMALL), .how = TIMES_OUT,
     .flags = REGISTERED | BRIEF},

    /* Repair: of what who was killed left behind. */
    {"find who died in the first send", RECEIVE_OF(8, 0, SMALL), .how = TIMES_OUT,
     .flags = FRESH | BRIEF, .left = SEND},
    {"find who died in a send", RECEIVE_OF(8, 0, SMALL), .how = TIMES_OUT, .left = SEND},
    {"find who died in a receive", RECEIVE_OF(8, 1, SMALL), .how = TIMES_OUT, .left = RECEIVE},
    {"find a large one who died in a send", RECEIVE_OF(8, 0, LARGE), .how = TIMES_OUT,
     .left = SEND},
    {"find a large one who died in a receive", RECEIVE_OF(8, 1, LARGE), .how = TIMES_OUT,
     .left = RECEIVE},
    {"find who died in a send to a full queue", SEND_TO(8, 7, 1, LARGE), .how = TIMES_OUT,
     .left = SEND},
    {"find who died in a receive from a full queue", SEND_TO(8, 8, 1, LARGE), .how = TIMES_OUT,
     .left = RECEIVE},
    {"find who died in the tree, sending", RECEIVE_OF(100, 64, SMALL), .how = TIMES_OUT,
     .left = SEND, .drained = 64},
    {"find who died in the tree, receiving", RECEIVE_OF(100, 65, LARGE), .how = TIMES_OUT,
     .left = RECEIVE, .drained = 64, .urgent = 65},
    {"find who died in the last slot, sending", SEND_TO(100, 99, 1, LARGE), .how = TIMES_OUT,
     .left = SEND},
    {"find who died in the last slot, receiving", SEND_TO(100, 100, 1, LARGE), .how = TIMES_OUT,
     .left = RECEIVE, .urgent = 100},
    {"find who died before the hint", SEND_TO(300, 300, 1, LARGE), .how = TIMES_OUT, .flags = BRIEF,
     .left = RECEIVE, .urgent = 70},
    {"poll after a death in the tree", SEND_TO(100, 100, 1, SMALL), .flags = FRESH, .left = RECEIVE,
     .urgent = 100},
    {"find what a late receiver did", SEND_TO(100, 100, 1, SMALL), .how = TIMES_OUT,
     .flags = LEFT_STOPPED, .left = RECEIVE, .urgent = 100},

    /* Durable queues: the slot is marked, mqxd is rung, or waited for. */
    {"send to an async queue", SEND_TO(8, 3, 1, SMALL), .flags = ASYNC},
    {"send large into the tree of an async queue", SEND_TO(100, 80, 1, LARGE),
     .flags = ASYNC | BRIEF},
    {"receive from an async queue", RECEIVE_OF(8, 3, SMALL), .flags = ASYNC},
    {"receive large from the tree of an async queue", RECEIVE_OF(100, 80, LARGE),
     .flags = ASYNC | BRIEF, .urgent = 80},
    {"find who died in a send to an async queue", RECEIVE_OF(8, 0, LARGE), .how = TIMES_OUT,
     .flags = ASYNC, .left = SEND},
    {"find who died in a receive from an async queue", RECEIVE_OF(8, 1, LARGE), .how = TIMES_OUT,
     .flags = ASYNC, .left = RECEIVE},
    {"send to a sync queue", SEND_TO(4, 2, 1, SMALL), .flags = SYNC | BRIEF},
    {"receive from a sync queue", RECEIVE_OF(4, 2, SMALL), .flags = SYNC | BRIEF},

    /* The first call of a process. */
    {"send as a new client", SEND_TO(8, 3, 1, SMALL), .how = FIRST_USE, .flags = BRIEF},
    {"receive as a new client", RECEIVE_OF(100, 80, SMALL), .how = FIRST_USE, .flags = BRIEF},
};

const size_t scenarios_count = sizeof scenarios / sizeof scenarios[0];

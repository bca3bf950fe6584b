/*
 * Every byte that processes share, and nothing else.
 *
 * A queue is one sparse file, its segment:
 *
 *     header | control words | used bitmap | dirty bitmap | tree | slots | overflow
 *
 * Zero is the empty state of every region after the header, so a new segment
 * is one ftruncate: nothing is written for slots that were never used.
 *
 * The slot is the truth: its control word says what it holds.  The tree, the
 * used bitmap and the dirty bitmap are derived from the control words, may lag
 * behind them, and can be rebuilt from them (repair.c).
 *
 * Everything here is input from other processes: no value is used before it
 * was checked, and geometry is taken from a private copy (layout.c).
 */
#ifndef MQXI_FORMAT_H
#define MQXI_FORMAT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MQXI_MAGIC          UINT64_C(0x31677365732d7871) /* "qx-segs1" */
#define MQXI_FORMAT_VERSION 1u

#define MQXI_MAXMSG_MAX  (1u << 24) /* slots in a queue; 24 bits in a tree node */
#define MQXI_MSGSIZE_MAX (1u << 26) /* bytes in a message */
#define MQXI_PRIO_MAX    32768u     /* priorities 0..32767, as Linux's MQ_PRIO_MAX */

#define MQXI_FRONT  64u  /* slots that are scanned; those behind them are in the tree */
#define MQXI_FANOUT 32u  /* children of a tree node; leaves are control words */
#define MQXI_LEVELS 5u   /* enough for MQXI_MAXMSG_MAX: 32^5 leaves */
#define MQXI_INLINE 160u /* largest message that lives in the slot itself */
#define MQXI_PAGE   4096u

/*
 * Control word of a slot.
 *
 *     0                        free
 *     bit 63 = 0, not 0        ready: the key, (32767 - priority) << 48 | sequence.
 *                              The smallest key is the next message.
 *     bit 63 = 1               owned: state (3 bits) << 60 | owner (60 bits)
 *
 * Who may change it: free -> filling, any sender, by compare-and-swap;
 * filling -> ready and taking -> free, the owner alone; ready -> taking, any
 * receiver, by compare-and-swap; filling -> free and taking -> ready for an
 * owner that is dead, anybody, by compare-and-swap.
 */
#define MQXI_CTL_FREE    UINT64_C(0)
#define MQXI_CTL_OWNED   (UINT64_C(1) << 63)
#define MQXI_CTL_STATE   (UINT64_C(7) << 60)
#define MQXI_CTL_FILLING (MQXI_CTL_OWNED | UINT64_C(1) << 60)
#define MQXI_CTL_TAKING  (MQXI_CTL_OWNED | UINT64_C(2) << 60)
/* States 3 to 7 are left for delayed, leased and dead-lettered messages. */
#define MQXI_CTL_OWNER ((UINT64_C(1) << 60) - 1)

#define MQXI_SEQ_BITS 48
#define MQXI_SEQ_MAX  ((UINT64_C(1) << MQXI_SEQ_BITS) - 1)

/* An owner is a client number and that number's generation (client.c). */
#define MQXI_GEN_BITS    44
#define MQXI_GEN_MAX     ((UINT64_C(1) << MQXI_GEN_BITS) - 1)
#define MQXI_CLIENTS_MAX 16384u

/*
 * An event counter and its futex in one word: bit 0 says that somebody may be
 * asleep on it, the other 31 bits count.  Wakers add MQXI_EVENT_STEP (wait.c).
 */
#define MQXI_EVENT_SLEEPERS 1u
#define MQXI_EVENT_STEP     2u

enum mqxi_kind { MQXI_KIND_POSIX = 1, MQXI_KIND_SYSV = 2 };
enum mqxi_durable { MQXI_DURABLE_OFF = 0, MQXI_DURABLE_ASYNC = 1, MQXI_DURABLE_SYNC = 2 };

/* header->dirty.  A changer sets MARKED, rings mqxd, and sets RUNG so that nobody else has to ring
 * until mqxd looks: mqxd clears both and adds STEP before it reads the bitmap. */
#define MQXI_DIRTY_MARKED 1u
#define MQXI_DIRTY_RUNG   2u
#define MQXI_DIRTY_STEP   4u

struct mqxi_header {
    /* Written once, before the segment has a name. */
    uint64_t magic;
    uint32_t version;
    uint32_t kind;        /* enum mqxi_kind */
    uint64_t fingerprint; /* mqxi_fingerprint(): sizes and offsets of this file's structs */
    uint32_t maxmsg;      /* slots */
    uint32_t msgsize;     /* bytes a message may have */
    uint8_t uuid[16];     /* names the queue in the store; a re-created queue gets another */
    uint64_t created_ns;  /* CLOCK_REALTIME */
    uint8_t pad0[72];

    /* Policies.  Written by the queue's owner (chmod, policy changes), read by all. */
    _Atomic uint32_t mode;    /* permission bits, as given to mq_open less the umask */
    _Atomic uint32_t durable; /* enum mqxi_durable */
    uint8_t pad1[120];

    /* Written by senders.  On a line of its own: what is polled by receivers comes next. */
    _Atomic uint64_t sequence; /* last sequence taken; each send adds one */
    uint8_t pad2[120];

    /* Written by senders, together, as the last step of a send. */
    _Atomic uint32_t recv_event;   /* bumped after a message was published; receivers sleep here */
    _Atomic uint32_t send_cpu;     /* hint: where the last sender ran */
    _Atomic uint64_t last_send_ns; /* CLOCK_REALTIME_COARSE of the last send */
    uint8_t pad3[112];

    /* Written by receivers, together, as the last step of a receive. */
    _Atomic uint32_t send_event; /* bumped after a slot was freed; senders sleep here */
    _Atomic uint32_t recv_cpu;   /* hint: where the last receiver ran */
    _Atomic uint64_t last_recv_ns;
    uint8_t pad4[112];

    /* Written now and then. */
    _Atomic uint32_t reserved;   /* slots whose pages exist; only grows */
    _Atomic uint32_t free_word;  /* hint: the used bitmap's word where a search may start */
    _Atomic uint64_t last_sweep; /* CLOCK_MONOTONIC_COARSE, ns: the last repair.c sweep began */
    _Atomic uint32_t front_used; /* slots of the front that were ever used: no others are scanned.
                                    Raised by a sender before it publishes; only grows */
    uint8_t pad5[108];

    /* Durability.  commit_event: bumped by mqxd after a commit that touched this queue, and by a
     * receiver who removed a message; senders of a sync queue sleep here. */
    _Atomic uint32_t commit_event;
    _Atomic uint32_t dirty; /* MQXI_DIRTY_*: has mqxd to look at the dirty bitmap? */
    uint8_t pad6[120];

    uint8_t room[128]; /* for what comes later: zero */
};

/*
 * A node of the tree of minima: the smallest key below it, the slot that
 * holds it, and a version that every change bumps.  key 0: nothing below.
 * Changed only by 16-byte compare-and-swap (index.c); read in halves, `where`
 * before and after `key`.
 */
struct mqxi_node {
    _Alignas(16) _Atomic uint64_t key;
    _Atomic uint64_t where; /* version << 24 | slot */
};
#define MQXI_NODE_SLOT_BITS 24

/*
 * What a slot holds beside its control word.  Written by the owner of the
 * slot while it is filling, and by nobody else, unless a field says so.
 * Followed by the message itself, if it has at most MQXI_INLINE bytes; a
 * larger one lies in the slot's part of the overflow region.
 */
struct mqxi_slot {
    /* Rarely used: a cache line of its own. */
    int64_t type;              /* System V message type */
    _Atomic uint64_t disk_key; /* mqxd: key of the message of this slot in the store, or 0 */
    uint64_t not_before;       /* the rest is for what comes later, and is zero: delay, */
    uint64_t expires;          /* time to live, */
    uint64_t id;               /* duplicate suppression, */
    uint64_t correlation;      /* request and reply, */
    uint64_t lease_until;      /* leases */
    uint32_t deliveries;       /* and retries */
    uint32_t flags;
    /* Every message. */
    uint64_t key;     /* the control word's value while ready; survives the taking */
    uint32_t len;     /* bytes */
    uint32_t room;    /* overflow bytes whose pages exist; kept from message to message */
    uint32_t pid;     /* of the sender */
    uint32_t uid;     /* real user id of the sender */
    uint64_t sent_ns; /* CLOCK_REALTIME_COARSE */
    uint8_t data[];
};

static_assert(sizeof(struct mqxi_header) == 1024, "header size");
static_assert(offsetof(struct mqxi_header, mode) == 128, "policies: own line pair");
static_assert(offsetof(struct mqxi_header, sequence) == 256, "sequence: own line pair");
static_assert(offsetof(struct mqxi_header, recv_event) == 384, "senders: own line pair");
static_assert(offsetof(struct mqxi_header, send_event) == 512, "receivers: own line pair");
static_assert(offsetof(struct mqxi_header, reserved) == 640, "growth: own line pair");
static_assert(offsetof(struct mqxi_header, commit_event) == 768, "durability: own line pair");
static_assert(sizeof(struct mqxi_node) == 16, "node size");
static_assert(sizeof(struct mqxi_slot) == 96 && offsetof(struct mqxi_slot, key) == 64, "slot");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "lock-free atomics");

/*
 * The registry of clients (client.c), one file a user: the generation of each
 * client number.  Byte n of the file is what a client with number n keeps
 * locked; word n is written by the holder of that lock alone.
 */
struct mqxi_registry {
    uint64_t magic;
    uint32_t version;
    uint32_t pad;
    _Atomic uint64_t generation[MQXI_CLIENTS_MAX];
};

/*
 * The doorbell of mqxd (clients/bell-UID, of the user that mqxd runs as): what
 * a process that changed a durable queue touches to have it mirrored.  Ringers
 * leave MQXI_EVENT_SLEEPERS set, mqxd clears it when it is awake: so a ringer
 * that is killed half way takes nobody's wake-up along.
 */
#define MQXI_BELL_MAGIC   UINT64_C(0x316c6c65622d7871) /* "qx-bell1" */
#define MQXI_BELL_VERSION 1u

struct mqxi_doorbell {
    uint64_t magic;
    uint32_t version;
    _Atomic uint32_t event;  /* event counter: mqxd sleeps on it, changers bump it */
    _Atomic uint32_t rescan; /* set by who created or unlinked a durable queue */
    uint8_t room[44];
};
static_assert(sizeof(struct mqxi_doorbell) == 64, "doorbell size");

#endif

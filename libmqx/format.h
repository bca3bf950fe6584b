/*
 * Every byte that processes share, and nothing else.
 *
 * A queue is one sparse file, its segment:
 *
 *     header | control words | used bitmap | dirty bitmap | tree | slots | overflow | types
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
#define MQXI_INLINE 160u /* bytes in the slot itself, for a message that is no larger */
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
 * owner that is dead, anybody, by compare-and-swap.  Leaving is taking, where the
 * receiver waits until the store does not have the message any more.
 */
#define MQXI_CTL_FREE    UINT64_C(0)
#define MQXI_CTL_OWNED   (UINT64_C(1) << 63)
#define MQXI_CTL_STATE   (UINT64_C(7) << 60)
#define MQXI_CTL_FILLING (MQXI_CTL_OWNED | UINT64_C(1) << 60)
#define MQXI_CTL_TAKING  (MQXI_CTL_OWNED | UINT64_C(2) << 60)
#define MQXI_CTL_LEAVING (MQXI_CTL_OWNED | UINT64_C(3) << 60)
/* States 4 to 7 are left for delayed, leased and dead-lettered messages. */
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

/* header->sync: how calls on a sync-durable queue wait for mqxd.  Packed, since it is handed from
 * the configuration to the header, to the store and back. */
#define MQXI_SYNC_WAIT    0x7fffffffu /* ms that they wait for it, plus 1; 0: the default */
#define MQXI_SYNC_RECEIVE 0x80000000u /* a receive, too: until its removal is committed */

/* header->dirty.  A changer sets MARKED, rings mqxd, and sets RUNG so that nobody else has to ring
 * until mqxd looks: mqxd clears both and adds STEP before it reads the bitmap. */
#define MQXI_DIRTY_MARKED  1u
#define MQXI_DIRTY_RUNG    2u
#define MQXI_DIRTY_REFUSED 4u /* mqxd's: it cannot mirror the queue; cleared when it looks anew */
#define MQXI_DIRTY_STEP    8u

/* put_tells and take_tells: who must hear of each message put or taken, beside sleepers. */
#define MQXI_TELLS_POLLERS   1u /* bell.c */
#define MQXI_TELLS_NOTIFIERS 2u /* notify.c; put_tells only */
#define MQXI_TELLS_EDGES     4u /* bell.c: with POLLERS; of each change, whatever was shown before */
#define MQXI_TELLS_EXACT     8u /* bell.c: with POLLERS; also of readiness that ends */

/* A System V queue, from when it has its id.  Building -> live or removed, live -> removed. */
#define MQXI_SYSV_BUILDING 0u
#define MQXI_SYSV_LIVE     1u
#define MQXI_SYSV_REMOVED  2u
#define MQXI_HELD_BITS     40

/* What can be done with a queue without waiting. */
#define MQXI_CAN_RECEIVE 1u
#define MQXI_CAN_SEND    2u

/*
 * A registration with mq_notify, or one that fired and whose owner has not
 * fetched the news yet.  word:
 *
 *     0                                   none, or unused
 *     bit 63 = 1, bit 62 = 0              registered: its number in the other bits
 *     bit 63 = 1, bit 62 = 1              fired: the sender's pid (22 bits) << 32 | uid
 *
 * registered -> fired, any sender, by compare-and-swap; registered -> 0 and
 * fired -> 0, the owner; all of it, for an owner that is dead, anybody.
 */
#define MQXI_NOTIFY_SET     (UINT64_C(1) << 63)
#define MQXI_NOTIFY_FIRED   (UINT64_C(3) << 62)
#define MQXI_NOTIFY_ENTRIES 28u

struct mqxi_notify {
    _Atomic uint64_t word;
    _Atomic uint64_t owner; /* owner id of who uses this entry; 0: free.  By compare-and-swap */
    _Atomic uint32_t event; /* event counter: its owner's helper thread sleeps here */
    uint32_t pad[3];
};

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
    uint64_t fifo;        /* random: part of its FIFO's name */
    uint32_t registry;    /* where its users take their client numbers (client.h) */
    uint8_t pad0[60];

    /* Policies.  Written by the queue's owner (chmod, policy changes), read by all. */
    _Atomic uint32_t mode;    /* permission bits, as given to mq_open less the umask */
    _Atomic uint32_t durable; /* enum mqxi_durable */
    _Atomic uint32_t lowest;  /* 32767 - the lowest priority that was ever sent; only grows, and is
                                 raised before such a message takes its sequence */

    /* System V: who the queue is (msqids.h).  Written before it has its names, or by its owner. */
    _Atomic uint32_t state; /* MQXI_SYSV_* */
    int32_t key, id;
    uint32_t cuid, cgid;         /* of its creator */
    _Atomic uint32_t uid, gid;   /* of its owner */
    _Atomic uint64_t qbytes;     /* msg_qbytes */
    _Atomic uint64_t changed_ns; /* CLOCK_REALTIME: msg_ctime */
    uint64_t builder;            /* owner id of its creator: state BUILDING ends with him */

    _Atomic uint32_t sync; /* policy: MQXI_SYNC_*; 0: the defaults */
    _Atomic uint32_t chosen; /* policy: `durable` was said of this queue; mqx.conf does not change it */
    uint8_t pad1[56];

    /* Written by senders.  On a line of its own: what is polled by receivers comes next. */
    _Atomic uint64_t sequence; /* last sequence taken; each send adds one */

    /* System V (held.h): messages << MQXI_HELD_BITS | bytes. */
    _Atomic uint64_t entered;   /* all that were ever put in, as far as they go into the word */
    _Atomic uint64_t left_seen; /* what `left` was when a sender last had to look */
    _Atomic uint32_t recount;   /* raised by who mends a slot: these may be wrong */
    uint8_t pad2[100];

    /* Written by senders, together, as the last step of a send. */
    _Atomic uint32_t recv_event;   /* bumped after a message was published; receivers sleep here */
    _Atomic uint32_t send_cpu;     /* hint: where the last sender ran */
    _Atomic uint64_t last_send_ns; /* CLOCK_REALTIME_COARSE of the last send */
    _Atomic uint32_t put_tells; /* MQXI_TELLS_*: set by pollers and registrants, cleared for pollers
                                   (bell.c); here, since each sender has just written to this line */
    _Atomic uint32_t last_send_pid; /* System V: msg_lspid */
    uint8_t pad3[104];

    /* Written by receivers, together, as the last step of a receive. */
    _Atomic uint32_t send_event; /* bumped after a slot was freed; senders sleep here */
    _Atomic uint32_t recv_cpu;   /* hint: where the last receiver ran */
    _Atomic uint64_t last_recv_ns;
    _Atomic uint32_t take_tells; /* MQXI_TELLS_POLLERS: as put_tells, for receivers */
    _Atomic uint32_t last_recv_pid; /* System V: msg_lrpid */
    _Atomic uint64_t left; /* System V (held.h): all that were ever taken out, as `entered` */
    uint8_t pad4[96];

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
    _Atomic uint32_t disk_full; /* mqxd: what is sent cannot be stored now; hint: it may have died */
    uint8_t pad6[116];

    /* Readiness (bell.c), written only for who polls. */
    _Atomic uint32_t shown;   /* what the FIFO was last made to show: count of changes << 2 | MQXI_CAN_*
                                 a hint, which lies about a FIFO that nobody had open meanwhile */
    _Atomic uint32_t watched; /* CLOCK_REALTIME second until which somebody may look at the FIFO;
                                 UINT32_MAX: for ever */
    _Atomic uint32_t urgent;  /* bumped at the end of sending what is not of the lowest priority */
    uint32_t pad8;
    _Atomic uint64_t disturbed; /* a sequence: of messages up to it, some became ready out of
                                   their order (engine.c); only grows */
    uint8_t room[104];          /* for what comes later: zero */

    /* mq_notify (notify.c).  notify: 0, or number << 8 | (entry + 1): whose registration holds. */
    _Atomic uint64_t notify;
    _Atomic uint64_t notify_number; /* the last number given to a registration */
    _Atomic uint64_t notify_handed; /* messages up to this sequence do not count as being in the
                                       queue: receivers who were asleep are about to take them */
    _Atomic uint32_t notify_empty;  /* recv_event's count when a receiver last found nothing */
    uint8_t pad7[100];
    struct mqxi_notify entry[MQXI_NOTIFY_ENTRIES];
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
 * larger one lies in the slot's part of the overflow region.  In a System V queue
 * the first eight of these bytes are the message's type (beside what every message
 * is read with, since each cache line more takes time); where the slot is behind the
 * front, the types region has it, too.
 */
#define MQXI_DISK_GONE (UINT64_C(1) << 63) /* no key has it */
struct mqxi_slot {
    /* Rarely used: a cache line of its own. */
    int64_t type;              /* not System V's, whose type lies before the message */
    _Atomic uint64_t disk_key; /* mqxd: key of the message of this slot in the store, or 0.  With
                                  MQXI_DISK_GONE: it is leaving, and not in the store any more */
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

static_assert(sizeof(struct mqxi_header) == 2048, "header size");
static_assert(offsetof(struct mqxi_header, mode) == 128, "policies: own line pair");
static_assert(offsetof(struct mqxi_header, sequence) == 256, "sequence: own line pair");
static_assert(offsetof(struct mqxi_header, recv_event) == 384, "senders: own line pair");
static_assert(offsetof(struct mqxi_header, send_event) == 512, "receivers: own line pair");
static_assert(offsetof(struct mqxi_header, reserved) == 640, "growth: own line pair");
static_assert(offsetof(struct mqxi_header, commit_event) == 768, "durability: own line pair");
static_assert(offsetof(struct mqxi_header, state) == 140, "System V: beside the policies");
static_assert(offsetof(struct mqxi_header, sync) == 192, "durability: beside the policies");
static_assert(offsetof(struct mqxi_header, disk_full) == 776, "durability: own line pair");
static_assert(offsetof(struct mqxi_header, chosen) == 196, "durability: beside the policies");
static_assert(offsetof(struct mqxi_header, entered) == 264, "System V: beside the sequence");
static_assert(offsetof(struct mqxi_header, left) == 536, "System V: beside the receivers' event");
static_assert(offsetof(struct mqxi_header, shown) == 896, "readiness: own line pair");
static_assert(offsetof(struct mqxi_header, notify) == 1024, "notification: own line pair");
static_assert(sizeof(struct mqxi_notify) == 32, "notification entry size");
static_assert(sizeof(struct mqxi_node) == 16, "node size");
static_assert(sizeof(struct mqxi_slot) == 96 && offsetof(struct mqxi_slot, key) == 64, "slot");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "lock-free atomics");

/*
 * A registry of clients (client.c), as a rule one file a user: the generation of each
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

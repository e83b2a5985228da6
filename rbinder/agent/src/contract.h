/* The contract between the agent and the collector: the shared memory, the ring in it, and the records in the ring.
 *
 * rbinder/records.py (records) and rbinder/agent/contract.py (everything else) say the same in Python; a test holds them
 * against this file, and both sides check `magic`, `version` and `size` when they meet. The first 64 bytes keep their
 * meaning for ever, so that versions that differ can tell so.
 */
#ifndef RBINDER_CONTRACT_H
#define RBINDER_CONTRACT_H

#include "base.h"

#define SHARED_MAGIC 0x315245444e494252u /* "RBINDER1" */
#define SHARED_VERSION 1u
#define RECORD_VERSION 1u
#define SHARED_HEADER 65536u   /* bytes before the ring's data */
#define OPEN_REQUESTS 4096u    /* entries of shared.open */
#define SHARED_USERS 2048u    /* entries of shared.users, a power of two */
#define SLOT_ALIGN 64u         /* bytes; a slot begins at a multiple, in ring positions and so in memory */
#define SLOT_MAGIC 0x9e3779b97f4a7c15u /* a slot's stamp is its position XOR this */
#define HEAD_LIMIT 16384u      /* bytes of a reduced head in a record, at most */
#define MAX_RECORD (1u << 18)  /* bytes of a record in the ring, at most */
#define MADE_UP 0x80000000u    /* pids from here on: of processes in other PID namespaces, whose ids may be others' too */

enum propagator { W3C = 1, BAGGAGE = 2, B3_SINGLE = 4, B3_MULTI = 8 };
enum sampler_flag { SAMPLE_ALL = 1, PARENT_BASED = 2 };

/* At the start of the shared memory; the ring's data follow at SHARED_HEADER. Positions count bytes and never wrap. */
struct shared {
    /* -- 0: never changes its meaning */
    u64 magic;
    u32 version;
    u32 size;         /* of the whole shared memory, bytes */
    u32 refused;      /* processes whose agent was of another version: counted, no tracing */
    u32 reserved0;
    u8 token[16];     /* also in the environment: whose ring this is */
    u8 reserved1[24];
    /* -- 64: settings, written before the first agent starts */
    u64 capacity;     /* bytes of ring data, a power of two */
    u32 propagators;  /* of enum propagator; 0: nothing is read or written */
    u32 sampler;      /* of enum sampler_flag */
    u64 sampler_bound; /* trace ids whose low 64 bits are below it are sampled (SAMPLE_ALL: all) */
    u32 record_version;
    u32 verbosity;    /* 0, 1, 2 */
    u64 pid_namespace; /* inode of the collector's; 0: it isn't known */
    u32 runtime_hooks; /* 1: agents ask language runtimes which task is running (tasks.h) */
    u8 reserved2[20];
    /* -- 128: the producers' line */
    _Alignas(64) u64 head; /* the next position to reserve */
    /* -- 192: the consumer's line */
    _Alignas(64) u64 tail; /* everything before it may be reused; it was set to zeros */
    u32 sleeping;     /* futex: 1 while the consumer sleeps and wants to be woken when the ring is half full */
    u32 detached;     /* 1: nobody will consume any more; records are not written, nothing is traced */
    u64 next_tail;    /* where `head` and `tail` jump to together, or have jumped to last (ring.c) */
    u64 requests;     /* for which there are to be spans, of those records that have left the ring */
    u64 delivered;    /* spans, by collectors that count them: what one was killed with is the difference */
    /* -- 256: what was dropped */
    _Alignas(64) u64 dropped; /* records for which there was no room; the consumer takes (exchanges with 0) */
    u64 dropped_requests;     /* of those, REQUEST_HEADs: so many spans will not be there */
    u64 passed;       /* calls that went through unfollowed because a lock was busy or a pool empty */
    u64 untraced;     /* spans that were sampled and could not be recorded for want of room in the agent's tables */
    /* -- 320..: span ids of requests being served, by the low bits of the id: what a forked process asks */
    _Alignas(64) u64 open[OPEN_REQUESTS];
    u64 users[SHARED_USERS]; /* who sent last on a connection that a fork has shared (sharing.c) */
};

_Static_assert(sizeof(struct shared) <= SHARED_HEADER, "the header has outgrown its room");
_Static_assert(offsetof(struct shared, capacity) == 64, "contract");
_Static_assert(offsetof(struct shared, head) == 128, "contract");
_Static_assert(offsetof(struct shared, tail) == 192, "contract");
_Static_assert(offsetof(struct shared, next_tail) == 208, "contract");
_Static_assert(offsetof(struct shared, requests) == 216, "contract");
_Static_assert(offsetof(struct shared, delivered) == 224, "contract");
_Static_assert(offsetof(struct shared, dropped) == 256, "contract");
_Static_assert(offsetof(struct shared, open) == 320, "contract");

/* Before each record in the ring. Written in this order: length and pid, stamp, the record, state. A slot that would
 * cross the ring's end is preceded by one of state SLOT_PADDING that fills it up. */
struct slot {
    u64 stamp;  /* position ^ SLOT_MAGIC */
    u32 length; /* of the slot, this header included, a multiple of SLOT_ALIGN */
    u32 pid;    /* who writes it */
    u32 state;  /* enum slot_state */
    u32 size;   /* of the record, bytes */
};

enum slot_state { SLOT_FREE = 0, SLOT_COMMITTED = 1, SLOT_PADDING = 2 };

/* As records.py: HEADER, little-endian. */
struct record {
    u32 size; /* header and payload, bytes */
    u16 kind;
    u16 version;
    u64 time; /* CLOCK_MONOTONIC, ns */
    u32 pid;
    u32 tid;
    u64 connection;
    u8 exchange[8];
    u64 reserved;
};
_Static_assert(sizeof(struct record) == 48, "contract");

enum kind {
    PROCESS = 1,
    PROCESS_EXIT = 2,
    CONNECTION = 3,
    CONNECTION_CLOSED = 4,
    REQUEST_HEAD = 5,
    RESPONSE_HEAD = 6,
    MESSAGE_END = 7,
    EXCHANGE_FAILED = 8,
    LOST = 9,
    NOTE = 10,
    FLUSH = 11,
    /* between the agent and its collector alone: never seen by exchanges */
    CONNECT_FAILED = 64,    /* payload: u8 length of the error type, the error type, then as REQUEST_HEAD */
    CONNECT_RETRACTED = 65, /* no payload: the failure with this exchange id was followed by a success */
};

enum side { UNKNOWN_SIDE = 0, SERVER = 1, CLIENT = 2 };

/* Fixed parts of payloads, packed (records.py). */
struct __attribute__((packed)) connection_payload { /* then peer address, a zero byte, local address */
    u8 side;
    u16 peer_port, local_port;
    u64 connect_start, connect_end, lookup_start, lookup_end;
    int32_t error; /* an errno, or 0 */
};
struct __attribute__((packed)) request_payload { /* then the tracestate, then the head */
    u8 side;
    u8 trace_id[16], parent_id[8];
    u16 flags; /* W3C flags, and 0x100: the parent is remote */
    u64 started;
    u16 state_size;
};
struct __attribute__((packed)) end_payload {
    u8 side, is_response;
    u64 body_size;
};

#endif

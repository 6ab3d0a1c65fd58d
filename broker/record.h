/* broker/record.h — one entry of the log: an event, or a change of a session or a membership.
 *
 * Records are made by the core, given a seq by the engine, and never change after that. They are
 * shared between the core, its tail and the engine's threads, so the reference count is atomic.
 *
 * What each kind means for the projections (`session` and `member`), which every engine keeps in
 * the same transaction as the record itself:
 *
 *   EVENT    nsp room name args [attachments] [id] [sid = sender] [session = sender's]: nothing
 *   OPEN     nsp sid pid_hash: a session is born; its number is this record's seq, as is its
 * connection number. It is connected at gateway `origin`. RESUME   session [aux = position from
 * which the client is served]: connected at `origin`, connection number = seq CLOSE    session
 * conn: if conn is the session's: not connected any more since ts; it may come back END session:
 * the session and all its memberships are deleted (left for good, or expired) JOIN     session
 * room: a member from here on (from_seq = seq), unless it is one already LEAVE    session room: its
 * open interval ends here (to_seq = seq), if there is one. If aux > 0, closed intervals of the
 * session with to_seq <= aux are forgotten and the session's floor_seq becomes at least aux. GONE
 * aux = incarnation: CLOSE for every session connected at that gateway
 *
 * An event belongs to the sessions with an interval from_seq < seq < to_seq in its room (JOIN and
 * LEAVE have a seq of their own, so bounds never equal an event's). */
#pragma once

#include "common/bytes.h"

#include <stdatomic.h>

enum rp_record_kind {
    RP_RECORD_EVENT = 1,
    RP_RECORD_OPEN = 2,
    RP_RECORD_RESUME = 3,
    RP_RECORD_CLOSE = 4,
    RP_RECORD_END = 5,
    RP_RECORD_JOIN = 6,
    RP_RECORD_LEAVE = 7,
    RP_RECORD_GONE = 8,
};

enum rp_record_flag {
    RP_RECORD_NO_ECHO = 1u << 0, /* EVENT: not for the session that published it */
    RP_RECORD_SINCE = 1u << 1,   /* JOIN: asked for history, so its answer comes after that */
};

/* The fields a record is made from; the byte views are borrowed. */
struct rp_record_fields {
    enum rp_record_kind kind;
    uint32_t flags;
    uint64_t ts_ms;   /* wall clock, ms since 1970 */
    uint64_t origin;  /* incarnation of the gateway that asked; 0: the broker itself */
    uint64_t num;     /* that gateway's request number; 0: none */
    uint64_t session; /* session number; 0 for OPEN and GONE */
    uint64_t conn;    /* connection number the request came with */
    uint64_t aux;     /* see above */
    struct rp_bytes nsp, room, name, args, id, sid, pid_hash; /* args is a JSON array */
    struct rp_bytes attachments; /* the binary ones that args has placeholders for, packed: each is
                                    4 bytes of length, big-endian, and then the bytes */
};

struct rp_record {
    atomic_uint refs;
    uint64_t seq;              /* 0 until the engine gives one */
    struct rp_record_fields f; /* its views point into data */
    size_t size;               /* bytes of the whole allocation, for accounting */
    uint8_t data[];
};

/* Copies the fields. One reference, the caller's. */
struct rp_record *rp_record_new(const struct rp_record_fields *fields);
struct rp_record *rp_record_ref(struct rp_record *r);   /* returns r */
struct rp_record *rp_record_unref(struct rp_record *r); /* NULL is fine; returns NULL */

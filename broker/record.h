/* broker/record.h — one entry of the log: an event, or a change of a session, a membership, a
 * namespace.
 *
 * Records are made by the core, given a seq by the engine, and never change after that. They are
 * shared between the core, its tail and the engine's threads, so the reference count is atomic.
 *
 * A *selector* is `room`, `rooms` (further rooms, packed) and `except` (packed) of one namespace:
 * the sessions with an open membership in at least one of the first and in none of the last. In a
 * namespace served by app workers every session is a member of the room "", which so means the
 * whole namespace, and of the room named by its own sid.
 *
 * What each kind means for the projections (`session`, `member`, `unacked`, `namespace`), which
 * every engine keeps in the same transaction as the record itself:
 *
 *   EVENT    nsp selector name args [attachments] [id] [sid = sender] [session = sender's]:
 * nothing. With RP_RECORD_WANTS_ACK: every session that the selector selects now owes an ack for it
 *            (a row (session, seq) in `unacked`, which also knows this record's origin and num)
 *   OPEN     nsp sid pid_hash: a session is born; its number is this record's seq, as is its
 *            connection number. It is connected at gateway `origin`. With RP_RECORD_APP it is a
 *            session of a namespace of app workers: it joins the rooms "" and sid by this record
 *   RESUME   session [aux = position from which the client is served]: connected at `origin`,
 *            connection number = seq
 *   CLOSE    session conn [name = why]: if conn is the session's, and connected: not connected any
 *            more since ts; it may come back. Another CLOSE of conn, or GONE, changes nothing
 *   END      session [name = why]: the session, its memberships and what it owes are deleted (left
 *            for good, or expired)
 *   JOIN     session room: a member from here on (from_seq = seq), unless it is one already
 *   LEAVE    session room: its open interval ends here (to_seq = seq), if there is one; room may be
 *            empty: none is left. If aux > 0,
 *            closed intervals of the session with to_seq <= aux are forgotten and the session's
 *            floor_seq becomes at least aux
 *   GONE     aux = incarnation: CLOSE for every session connected at that gateway
 *   ACK      session conn, aux = the event's seq, args [attachments] = the client's answer, to and
 *            to_num = whose request the event was: the session does not owe it any more
 *   MOVE     nsp selector name = a room: every selected session joins it (as by JOIN), or with
 *            RP_RECORD_LEAVE_ROOM leaves it (as by LEAVE with aux = 0)
 *   KICK     nsp selector [name = why]: END for every selected session
 *   DATA     session, args = a JSON value: the application's data of the session
 *   SERVE    nsp = a namespace or, with RP_RECORD_PATTERN, a pattern of them; flags say how app
 *            workers serve it (its row in `namespace` is replaced); with RP_RECORD_RELEASED they do
 *            not any more (the row is deleted)
 *
 * An event belongs to the sessions with an interval from_seq < seq < to_seq in one of its rooms,
 * and with none in an excepted one (JOIN, LEAVE and MOVE have a seq of their own, so bounds never
 * equal an event's). */
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
    RP_RECORD_ACK = 9,
    RP_RECORD_MOVE = 10,
    RP_RECORD_KICK = 11,
    RP_RECORD_DATA = 12,
    RP_RECORD_SERVE = 13,
};

enum rp_record_flag {
    RP_RECORD_NO_ECHO = 1u << 0,    /* EVENT: not for the session that published it */
    RP_RECORD_SINCE = 1u << 1,      /* JOIN: asked for history, so its answer comes after that */
    RP_RECORD_WANTS_ACK = 1u << 2,  /* EVENT: those who get it answer */
    RP_RECORD_APP = 1u << 3,        /* OPEN: a session of a namespace of app workers */
    RP_RECORD_LEAVE_ROOM = 1u << 4, /* MOVE: out of the room */
    RP_RECORD_TRANSPORT = 1u << 5,  /* KICK: the clients' transports are closed too */
    /* SERVE: */
    RP_RECORD_PATTERN = 1u << 6,   /* nsp is a pattern (common/pattern.h) */
    RP_RECORD_DURABLE = 1u << 7,   /* events of clients are delivered again when a worker is lost */
    RP_RECORD_ROOMS_ON = 1u << 8,  /* the built-in room events are there … */
    RP_RECORD_ROOMS_ASK = 1u << 9, /* … and a worker is asked about each */
    RP_RECORD_RELEASED = 1u << 10,
    RP_RECORD_PRIVATE = 1u << 11, /* EVENT: for single sockets, so no part of a room's history */
    RP_RECORD_FIND = 1u << 12,    /* EVENT with an id: to be found, not to be stored. The engine
                                     answers DUPLICATE or refuses it, as RP_E_NOT_FOUND */
};

/* The fields a record is made from; the byte views are borrowed. */
struct rp_record_fields {
    enum rp_record_kind kind;
    uint32_t flags;
    uint64_t ts_ms;      /* wall clock, ms since 1970 */
    uint64_t origin;     /* incarnation of the gateway that asked; 0: the broker itself */
    uint64_t num;        /* that gateway's request number; 0: none */
    uint64_t session;    /* session number; 0 for OPEN and GONE */
    uint64_t conn;       /* connection number the request came with */
    uint64_t aux;        /* see above */
    uint64_t to, to_num; /* ACK: incarnation and request number of the worker that asked. END: to =
                            the worker that served the session */
    struct rp_bytes nsp, room, name, args, id, sid, pid_hash; /* args is a JSON array */
    struct rp_bytes attachments; /* the binary ones that args has placeholders for, packed: each is
                                    4 bytes of length, big-endian, and then the bytes */
    struct rp_bytes rooms, except; /* of a selector: lists of names, packed alike */
};

/* What an event counts for where retention bounds the bytes of a room: its texts, lists and
 * attachments, and a fixed part for the numbers. It is kept as sums in the file, so it never
 * changes. */
enum { RP_RECORD_WEIGHT_MIN = 64 };
uint64_t rp_record_weight(const struct rp_record_fields *fields);

struct rp_record {
    atomic_uint refs;
    uint32_t expected; /* the core's, while it applies an EVENT that wants acks: how many connected
                          sessions owe one */
    uint64_t seq;      /* 0 until the engine gives one */
    struct rp_record_fields f; /* its views point into data */
    size_t size;               /* bytes of the whole allocation, for accounting */
    uint8_t data[];
};

/* Copies the fields. One reference, the caller's. */
struct rp_record *rp_record_new(const struct rp_record_fields *fields);
struct rp_record *rp_record_ref(struct rp_record *r);   /* returns r */
struct rp_record *rp_record_unref(struct rp_record *r); /* NULL is fine; returns NULL */

/* proto/op.h — operations between gateways and the broker: msgpack bytes in, structs out, and back.
 *
 * One message between processes is a stream of operations (op_list.h describes them, PROTOCOL.md
 * explains them). Neighbours: proto/link.h gives the stream numbers, credit and a heartbeat; the
 * cores give operations a meaning. */
#pragma once

#include "common/buf.h"
#include "proto/op_list.h"

enum { RP_PROTOCOL_VERSION = 3 };

enum rp_op_kind {
#define RP_OP_ENUM(NAME, name, code) RP_OP_##NAME = code,
    RP_OP_LIST(RP_OP_ENUM)
#undef RP_OP_ENUM
};

enum rp_op_publish_flag { RP_OP_PUBLISH_NO_ECHO = 1, RP_OP_PUBLISH_VOLATILE = 2 };
/* SESSION: what its client may be missing. */
enum rp_op_catching {
    RP_OP_CATCHING_NOT = 0,
    RP_OP_CATCHING_MISSED = 1, /* events after `pos` */
    RP_OP_CATCHING_OWED = 2,   /* these, and events from before it that want an ack */
};
/* Who says HELLO. */
enum rp_op_role { RP_OP_GATEWAY = 0, RP_OP_WORKER = 1 };
/* SERVE: how a worker serves a namespace. CONNECTED tells the same of the socket's, in `app`, with
 * RP_OP_APP. */
enum rp_op_serve_flag {
    RP_OP_APP = 1,        /* app workers serve it */
    RP_OP_PATTERN = 2,    /* it is a pattern */
    RP_OP_DURABLE = 4,    /* events are delivered again if their worker is lost */
    RP_OP_ROOMS_ON = 8,   /* the built-in room events stay … */
    RP_OP_ROOMS_ASK = 16, /* … and a worker is asked about each (CHECK) */
    RP_OP_SERVE_END = 32, /* SERVE: app workers do not serve it any more, nobody does this way */
};
enum rp_op_emit_flag { RP_OP_EMIT_VOLATILE = 2, RP_OP_EMIT_WANTS_ACK = 4, RP_OP_EMIT_PATTERN = 8 };
/* CHECK: which room event. */
enum rp_op_check_what {
    RP_OP_CHECK_JOIN = 1,
    RP_OP_CHECK_LEAVE = 2,
    RP_OP_CHECK_PUBLISH = 3,
    RP_OP_CHECK_HISTORY = 4,
    RP_OP_CHECK_PRESENCE = 5,
};
/* DECIDED: what a worker says to ADMIT, INVOKE and CHECK. */
enum rp_op_decision {
    RP_OP_YES = 0,      /* admitted; handled (args is the client's ack, or empty); allowed */
    RP_OP_NO = 1,       /* refused, with code and message; ADMIT: message, and args is the data, a
                           JSON value or empty */
    RP_OP_DISOWNED = 2, /* INVOKE, CHECK: this worker does not serve that socket (any more) */
};
/* INVOKE: whether somebody may have had the event before. */
enum rp_op_again {
    RP_OP_AGAIN_NOT = 0,
    RP_OP_AGAIN = 1,
    RP_OP_AGAIN_KNOWN = 2, /* and it is handled once at most: who does not know it refuses it */
};
/* SOCKET: why a worker is told of a socket. */
enum rp_op_socket_why {
    RP_OP_SOCKET_NEW = 0,
    RP_OP_SOCKET_RECOVERED = 1, /* the session was there before, and comes back */
    RP_OP_SOCKET_ADOPTED = 2,   /* another worker served it until now */
    RP_OP_SOCKET_SYNCED = 3,    /* the worker had it before its link was lost; handshake is empty
                                   if it has this connection already */
};
/* Why a connection ended, in Socket.IO's words (CLOSE, LEFT): those the broker itself says. */
#define RP_REASON_TRANSPORT_CLOSE "transport close"
#define RP_REASON_SERVER_DISCONNECT "server namespace disconnect"
#define RP_REASON_EXPIRED "session expired" /* Reprise's own: LEFT with `expired` */
/* What one gateway asks of another, and answers (PROTOCOL.md, Relays). */
enum rp_op_relay_what {
    RP_RELAY_GONE = 0, /* said by the broker: the other gateway is not there, or cannot take it */
    RP_RELAY_GET = 1,
    RP_RELAY_POST = 2,
    RP_RELAY_ABORT = 3,
    RP_RELAY_ANSWER = 4,
    RP_RELAY_WS_OPEN = 5,
    RP_RELAY_WS_TEXT = 6,
    RP_RELAY_WS_BINARY = 7,
    RP_RELAY_WS_SENT = 8,
    RP_RELAY_WS_CLOSE = 9,
};
enum rp_op_ruling { RP_OP_KEPT = 0, RP_OP_SUPERSEDED = 1, RP_OP_UNKNOWN = 2 };

#define RP_OP_U64_MEMBER(T, field) uint64_t field;
#define RP_OP_BYTES_MEMBER(T, field) struct rp_bytes field;
#define RP_OP_STRUCT(NAME, name, code)                                                             \
    struct rp_op_##name {                                                                          \
        RP_OP_##NAME##_F(name, RP_OP_U64_MEMBER, RP_OP_BYTES_MEMBER)                               \
    };
RP_OP_LIST(RP_OP_STRUCT)
#undef RP_OP_STRUCT
#undef RP_OP_U64_MEMBER
#undef RP_OP_BYTES_MEMBER

struct rp_op {
    enum rp_op_kind kind;
    union {
#define RP_OP_MEMBER(NAME, name, code) struct rp_op_##name name;
        RP_OP_LIST(RP_OP_MEMBER)
#undef RP_OP_MEMBER
    };
};

/* Appends the encoded operation. RP_E_FULL: the buffer's bound; nothing appended. */
RP_MUST_USE enum rp_err rp_op_put(struct rp_buf *out, const struct rp_op *op);

/* Reads operations off messages. Byte fields of the operation are views into the message. */
struct rp_op_reader;
struct rp_op_reader *rp_op_reader_new(void);
struct rp_op_reader *rp_op_reader_free(struct rp_op_reader *r); /* NULL is fine; returns NULL */

/* Takes one operation off the front of *in. RP_E_PROTOCOL: not a msgpack array, too few fields or
 * of a wrong type, a code nobody knows: drop the rest of the message. Must not be called with an
 * empty *in. */
RP_MUST_USE enum rp_err rp_op_next(struct rp_op_reader *r, struct rp_bytes *in,
                                   struct rp_op *ret_op);

/* "publish", for logs; "unknown". */
const char *rp_op_name(enum rp_op_kind kind);

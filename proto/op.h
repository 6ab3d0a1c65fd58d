/* proto/op.h — operations between gateways and the broker: msgpack bytes in, structs out, and back.
 *
 * One message between processes is a stream of operations (op_list.h describes them, PROTOCOL.md
 * explains them). Neighbours: proto/link.h gives the stream numbers, credit and a heartbeat; the
 * cores give operations a meaning. */
#pragma once

#include "common/buf.h"
#include "proto/op_list.h"

enum { RP_PROTOCOL_VERSION = 2 };

enum rp_op_kind {
#define RP_OP_ENUM(NAME, name, code) RP_OP_##NAME = code,
    RP_OP_LIST(RP_OP_ENUM)
#undef RP_OP_ENUM
};

enum rp_op_publish_flag { RP_OP_PUBLISH_NO_ECHO = 1, RP_OP_PUBLISH_VOLATILE = 2 };
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

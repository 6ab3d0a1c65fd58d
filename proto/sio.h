/* proto/sio.h — Socket.IO protocol revision 5: packets in text form, bytes in and out.
 *
 *     type [attachments "-"] [nsp ","] [id] [json]
 *     2/admin,7["publish","lobby","msg",{"a":1}]
 *
 * A packet is the data of one Engine.IO message; rp_sio_parse takes it without the Engine.IO type,
 * while the writers give both, since what they write goes straight into a frame ("42[...]").
 *
 * The parser follows the reference decoder (socket.io-parser 4.2) and refuses whatever that
 * refuses, and more. Only the first two of these can a stock client be made to write:
 *   - an event's name must be a string (there a number is taken, too)
 *   - JSON deeper than RP_JSON_DEPTH_MAX and namespaces past RP_SIO_NSP_BYTES_MAX are refused
 *   - the empty text is refused (there it is CONNECT), and ids past 2^53 - 1
 *   - EVENT and ACK without payload, ACK without id, and CONNECT_ERROR without payload are refused
 *   - an id on CONNECT, DISCONNECT and CONNECT_ERROR is refused (there it is ignored)
 *   - numbers are decimal digits without leading zeros (there "0x2", " " and "007" are numbers)
 *   - whitespace before the payload is refused; after it is allowed, as in JSON
 * A binary packet is followed by its attachments, each a message of its own (a binary frame). When
 * they are complete the caller checks the placeholders that stand for them in the payload, with
 * rp_sio_placeholders_valid; until then the reference does not look at them either. A binary packet
 * with no attachments is refused: so does the reference since 4.2.7, before it took it for a plain
 * one, and no client writes it.
 *
 * Below: proto/eio, proto/json. Beside: proto/sio_msgpack (the same packets in binary form),
 * proto/attachments. Above: gateway/client.c. */
#pragma once

#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"
#include "proto/json.h"

/* Ack ids: what a JavaScript client can count. */
#define RP_SIO_ID_MAX RP_JSON_INTEGER_MAX

enum rp_sio_type {
    RP_SIO_CONNECT,
    RP_SIO_DISCONNECT,
    RP_SIO_EVENT,
    RP_SIO_ACK,
    RP_SIO_CONNECT_ERROR,
    RP_SIO_BINARY_EVENT,
    RP_SIO_BINARY_ACK,
};

struct rp_sio_packet {
    enum rp_sio_type type;
    uint32_t attachments; /* 1..RP_SIO_ATTACHMENTS_MAX for the binary types, else 0 */
    bool has_id;
    uint64_t id;
    /* "/" when absent, and else as it came, from the slash to before the comma. A query ("/a?b=c")
     * is part of the name: only revision 4 clients sent one, and the reference cuts it off for
     * those alone. */
    struct rp_bytes nsp;
    /* validated JSON, the bytes as they came; or empty. Borrowed from the text, like nsp.
     *   CONNECT        an object, or empty
     *   DISCONNECT     empty
     *   EVENT          an array that begins with the name, a string that is not reserved
     *   ACK            an array; has_id
     *   CONNECT_ERROR  an object or a string; from a client it is for the caller to refuse */
    struct rp_bytes payload;
};

/* RP_E_PROTOCOL   malformed, or of a shape that its type must not have
 * RP_E_TOO_BIG    attachments, id, namespace or JSON depth past the limit */
RP_MUST_USE enum rp_err rp_sio_parse(struct rp_bytes text, struct rp_sio_packet *ret_packet);

/* Whether a packet of any form is what this type may be: what struct rp_sio_packet says of the
 * payload, an id only where it may be and where it must be, attachments for the binary types alone.
 * The payload is valid JSON; the namespace is not looked at. */
bool rp_sio_shape_valid(const struct rp_sio_packet *packet);

/* Whether every placeholder in a binary packet's payload, an object with "_placeholder":true at any
 * level, has a "num" that is the index of one of its attachments: an integer from 0 and below
 * attachments_count. A stricter rule than the reference's: each index at most once, as all clients
 * write it. Else a small packet could stand for a huge one, once the attachments are put in their
 * places. An attachment that nothing stands for is allowed. Linear in the payload. */
bool rp_sio_placeholders_valid(struct rp_bytes payload, size_t attachments_count);

/* Whether an event must not have this name (UTF-8, unescaped) because libraries emit it locally. */
bool rp_sio_name_reserved(struct rp_bytes name);

/* Whether the writers below can write it: "/…" without a comma, at most RP_SIO_NSP_BYTES_MAX. For
 * those who have a namespace from elsewhere than rp_sio_parse. */
bool rp_sio_nsp_valid(struct rp_bytes nsp);

/* The parts of an event's payload. Held by value; borrows the payload. */
struct rp_sio_args {
    struct rp_bytes name;     /* raw, a JSON string with its quotes */
    struct rp_json_iter iter; /* the arguments not yet taken; .rest are their bytes */
};

/* For the payload of an EVENT or BINARY_EVENT that rp_sio_parse gave. */
struct rp_sio_args rp_sio_args(struct rp_bytes payload);
/* The next argument's bytes; false after the last. */
bool rp_sio_args_next(struct rp_sio_args *args, struct rp_bytes *ret_arg);
/* The raw bytes of a payload's elements from index k on, without brackets; the name has index 0.
 * Empty if there are none. For ["publish","lobby","msg",{"a":1},2] and 3: {"a":1},2 */
struct rp_bytes rp_sio_rest(struct rp_bytes payload, size_t k);

/* Writers. All begin with the Engine.IO type '4'. The namespace "/" is left out, as is an empty
 * one; any other must be rp_sio_nsp_valid. Texts are UTF-8. Those that append may answer RP_E_FULL,
 * which changes nothing. */

RP_MUST_USE enum rp_err rp_sio_put_connect(struct rp_buf *out, struct rp_bytes nsp,
                                           struct rp_bytes sid, struct rp_bytes pid /* or empty */);
/* data_json: one valid JSON value, or empty for none. */
RP_MUST_USE enum rp_err rp_sio_put_connect_error(struct rp_buf *out, struct rp_bytes nsp,
                                                 struct rp_bytes message,
                                                 struct rp_bytes data_json);
RP_MUST_USE enum rp_err rp_sio_put_disconnect(struct rp_buf *out, struct rp_bytes nsp);
/* args_json: the array's elements without its brackets, or empty. */
RP_MUST_USE enum rp_err rp_sio_put_ack(struct rp_buf *out, struct rp_bytes nsp, uint64_t id,
                                       struct rp_bytes args_json);
/* The same with placeholders for attachments_count attachments in the arguments; with none it is a
 * plain ack. */
RP_MUST_USE enum rp_err rp_sio_put_binary_ack(struct rp_buf *out, struct rp_bytes nsp, uint64_t id,
                                              struct rp_bytes args_json, size_t attachments_count);

/* An event, rendered once for all its receivers, in a place of exactly the right size:
 * 42["name",args...,"offset"], or with attachments and an ack id 452-7["name",args...,"offset"] */
struct rp_sio_event {
    bool has_id; /* it wants an ack … */
    uint64_t id; /* … to this id, at most RP_SIO_ID_MAX */
    struct rp_bytes nsp;
    struct rp_bytes name;     /* unescaped */
    struct rp_bytes args;     /* raw JSON elements without brackets, or empty */
    struct rp_bytes offset;   /* [0-9a-z.-], appended as the last argument; or empty for none */
    size_t attachments_count; /* that args have placeholders for; 0: a plain event */
};

size_t rp_sio_event_len(const struct rp_sio_event *e);
/* Writes rp_sio_event_len(e) bytes and returns the place after them. */
uint8_t *rp_sio_event_write(uint8_t *at, const struct rp_sio_event *e);

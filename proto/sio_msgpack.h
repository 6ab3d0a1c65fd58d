/* proto/sio_msgpack.h — Socket.IO packets in binary form: what the npm package
 * socket.io-msgpack-parser 3.0 writes and reads in place of proto/sio's text.
 *
 * A packet is one Engine.IO binary message, a msgpack map with these keys in any order:
 *
 *     type  0 CONNECT, 1 DISCONNECT, 2 EVENT, 3 ACK, 4 CONNECT_ERROR
 *     nsp   a string, with its slash
 *     data  what is the payload in text form, as msgpack
 *     id    the ack id, if there is one
 *
 * Other keys are skipped (the stock client sends its "options"). There are no binary types: binary
 * values are where they belong in the data. The reader turns the data into the one form that the
 * rest of the system knows, JSON with placeholders and the attachments beside it, and the writers
 * turn that back, so that clients of both kinds can share a room.
 *
 *     msgpack                        JSON                             and back
 *     nil                            null                             nil
 *     undefined (fixext 1, type 0)   null; as a member left out       -
 *     bool                           true, false                      bool
 *     ints                           the integer, exactly             the shortest int (1)
 *     floats                         15 to 17 digits, or null (2)     float 64
 *     str                            string                           str (3)
 *     bin; ext 8, 16, 32 of type 0   placeholder                      bin
 *     fixext 8 of type 0 (a Date)    string, or null (4)              -
 *     array, map                     array, object                    array, map
 *
 * (1) if it has 64 bits; larger ones and -0 become floats, as does what has a '.' or an exponent
 * (2) for NaN and the infinities, as JSON.stringify does
 * (3) with U+FFFD for a lone surrogate
 * (4) as Date.toJSON, past the range of dates too
 *
 * Refused, beside what no rule above covers and what rp_sio_parse would refuse: other ext types,
 * keys that are not strings, one of the four keys twice, text that is not UTF-8, and more than
 * RP_SIO_ATTACHMENTS_MAX binary values, since no client that speaks text would take them. More
 * tolerant than the reference, as other clients need it: data and id may be nil where they may be
 * missing.
 *
 * Beside: proto/sio, proto/attachments. Above: gateway/client.c. */
#pragma once

#include "proto/sio.h"

/* Reads one message. The payload is appended to *json and borrowed from it; the namespace is
 * borrowed from the message. The binary values are appended to *attachments, packed
 * (proto/attachments). *ret_packet is as rp_sio_parse would give it: with binary values its type is
 * RP_SIO_BINARY_EVENT or RP_SIO_BINARY_ACK and ->attachments their number, and no further message
 * belongs to it. Its placeholders are valid, also those that a client wrote out as objects.
 *   RP_E_PROTOCOL   malformed, or of a shape that its type must not have
 *   RP_E_UTF8       a string that is not
 *   RP_E_TOO_BIG    attachments, id, namespace or depth past the limit
 *   RP_E_FULL       *json or *attachments is; JSON takes up to six times the room of msgpack, and a
 *                   few hundred bytes for placeholders
 * Failures leave both as they were. Linear in the message; memory only for the two buffers. */
RP_MUST_USE enum rp_err rp_sio_msgpack_parse(struct rp_bytes message, struct rp_buf *json,
                                             struct rp_buf *attachments,
                                             struct rp_sio_packet *ret_packet);

/* Writers. They append a whole binary message, without an Engine.IO type, which none has. The rules
 * for namespaces and texts are those of the writers in proto/sio. `attachments` is packed, or
 * empty: then what looks like a placeholder is an object like others. RP_E_FULL      it never takes
 * more than three times the JSON, once all other parts, and 128 bytes RP_E_INVALID   not JSON,
 * malformed attachments, or placeholders that are not valid for them Failures change nothing. */

/* The same event as rp_sio_event_write's; attachments_count is not looked at. */
RP_MUST_USE enum rp_err rp_sio_msgpack_put_event(struct rp_buf *out, const struct rp_sio_event *e,
                                                 struct rp_bytes attachments);
RP_MUST_USE enum rp_err rp_sio_msgpack_put_ack(struct rp_buf *out, struct rp_bytes nsp, uint64_t id,
                                               struct rp_bytes args_json,
                                               struct rp_bytes attachments);
RP_MUST_USE enum rp_err rp_sio_msgpack_put_connect(struct rp_buf *out, struct rp_bytes nsp,
                                                   struct rp_bytes sid,
                                                   struct rp_bytes pid /* or empty */);
/* data_json: one valid JSON value, or empty for none. */
RP_MUST_USE enum rp_err rp_sio_msgpack_put_connect_error(struct rp_buf *out, struct rp_bytes nsp,
                                                         struct rp_bytes message,
                                                         struct rp_bytes data_json);
RP_MUST_USE enum rp_err rp_sio_msgpack_put_disconnect(struct rp_buf *out, struct rp_bytes nsp);

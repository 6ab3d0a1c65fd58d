/* proto/ws.h — RFC 6455 framing and handshake values: bytes in, messages out. No I/O, no clock.
 * Above: gateway/client.c gives messages a meaning. Beside: gateway/conn.c moves the bytes,
 * proto/http.h reads the upgrade request.
 *
 * One reader serves one direction of one connection. It is embedded by value and owns heap memory
 * only while a message or a control frame has arrived in part. A frame that lies whole in the input
 * is unmasked where it lies and handed out without a copy. */
#pragma once

#include "common/blob.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

/* bytes; 2 + 8 of length + 4 of mask (RFC 6455 5.2) */
#define RP_WS_HEADER_MAX 14
/* limit: bytes of a control frame's payload (RFC 6455 5.5); past it the peer is at fault */
#define RP_WS_CONTROL_BYTES_MAX 125
/* limit: bytes of a close reason, what the code leaves of a control frame; ours are cut to it */
#define RP_WS_REASON_BYTES_MAX 123
/* limit: bytes; the largest message_bytes_max a reader takes, since it counts in 32 bits */
#define RP_WS_MESSAGE_BYTES_LIMIT (1u << 30)
/* the code of a close frame that had none; never on the wire */
#define RP_WS_CLOSE_NONE 1005

/* Bytes that may be changed in place; owned by the caller. */
struct rp_bytes_mut {
    uint8_t *data;
    size_t len;
};

enum rp_ws_role { RP_WS_SERVER, RP_WS_CLIENT }; /* which end we are */

/* The values are the opcodes of the wire. */
enum rp_ws_kind {
    RP_WS_TEXT = 1,
    RP_WS_BINARY = 2,
    RP_WS_CLOSE = 8,
    RP_WS_PING = 9,
    RP_WS_PONG = 10,
};

struct rp_ws_msg {
    enum rp_ws_kind kind;
    bool compressed; /* of a TEXT or BINARY: the payload is what rp_inflate_message takes, its text
                        not looked at */
    struct rp_bytes payload; /* of a CLOSE the reason; borrowed until the next call on the reader */
    uint16_t close_code;     /* of a CLOSE; RP_WS_CLOSE_NONE when it had none; otherwise 0 */
};

/* The fields are the reader's own. */
struct rp_ws_reader {
    struct rp_buf buf; /* the message so far, then the control frame so far */
    uint32_t frame_len;
    uint32_t frame_got;
    uint8_t header[RP_WS_HEADER_MAX];
    uint8_t header_len;
    uint8_t role;
    uint8_t message_kind; /* of the data message under way; 0: none */
    uint8_t utf8;
    int8_t err;
    uint8_t release; /* what of buf the caller has borrowed, to be given up at the next call */
    bool closed;
    bool allow_deflate;
    bool message_compressed; /* of the data message under way */
};

/* A reader that refuses messages longer than message_bytes_max (<= RP_WS_MESSAGE_BYTES_LIMIT). */
void rp_ws_reader_init(struct rp_ws_reader *r, enum rp_ws_role role, size_t message_bytes_max);
/* After permessage-deflate was agreed (proto/deflate.h), before the first byte: messages may be
 * compressed (RSV1, RFC 7692 6.1). message_bytes_max is then of what arrives; whoever inflates it
 * bounds the result, and judges the UTF-8 of a text. */
void rp_ws_reader_allow_deflate(struct rp_ws_reader *r);
/* Frees what a message in part holds. A zeroed reader is fine. */
void rp_ws_reader_done(struct rp_ws_reader *r);

/* Takes bytes off the front of *in, which it may unmask in place.
 *   RP_OK     *ret_msg is one whole message or control frame; call again, there may be more. Its
 *             payload lies in the memory of *in or of the reader: use it before either is touched.
 *   RP_MORE   all of *in is used up. Calling until RP_MORE is what frees the last message's memory.
 *             After a CLOSE everything is used up unseen (RFC 6455 1.4).
 *   RP_E_TOO_BIG, RP_E_PROTOCOL, RP_E_UTF8
 *             the peer is at fault: close with rp_ws_close_code(err). Every later call answers the
 *             same. */
RP_MUST_USE enum rp_err rp_ws_reader_next(struct rp_ws_reader *r, struct rp_bytes_mut *in,
                                          struct rp_ws_msg *ret_msg);

/* The code to close with after a failure: 1009 too big, 1007 not UTF-8, 1002 other faults of the
 * peer (RP_E_PROTOCOL, RP_E_INVALID), 1011 for whatever is not the peer's. */
uint16_t rp_ws_close_code(enum rp_err err);

/* XORs data with key; offset is where data begins within the frame's payload. Twice gives the
 * original. */
void rp_ws_mask(uint8_t *data, size_t len, const uint8_t key[4], size_t offset);

/* The header of one whole (FIN) unmasked frame, as a server sends it. Returns its length: 2, 4
 * or 10. Control frames: payload_len <= RP_WS_CONTROL_BYTES_MAX. */
size_t rp_ws_header(uint8_t out[RP_WS_HEADER_MAX], enum rp_ws_kind kind, uint64_t payload_len);
/* The same of a compressed message (RSV1); TEXT or BINARY. */
size_t rp_ws_header_deflated(uint8_t out[RP_WS_HEADER_MAX], enum rp_ws_kind kind,
                             uint64_t payload_len);
/* rp_ws_header as a client sends it: 6, 8 or 14 bytes. The caller masks the payload with key
 * (rp_ws_mask). */
size_t rp_ws_header_masked(uint8_t out[RP_WS_HEADER_MAX], enum rp_ws_kind kind,
                           uint64_t payload_len, const uint8_t key[4]);

/* A server's frame around a copy of the payload. Gives it. */
struct rp_blob *rp_ws_frame(enum rp_ws_kind kind, struct rp_bytes payload);
/* The same of a payload that rp_deflate_message made of a TEXT or BINARY one. */
struct rp_blob *rp_ws_frame_deflated(enum rp_ws_kind kind, struct rp_bytes payload);
/* Whether a close frame may have this code (RFC 6455 7.4). */
bool rp_ws_close_code_valid(uint16_t code);
/* A server's close frame. RP_WS_CLOSE_NONE sends no code. A reason (NULL: none) is cut to
 * RP_WS_REASON_BYTES_MAX at a character's end, and left out if it is not UTF-8. Gives the blob. */
struct rp_blob *rp_ws_close_frame(uint16_t code, const char *reason);

/* Whether a Sec-WebSocket-Key is the base64 of 16 bytes. */
bool rp_ws_key_valid(struct rp_bytes key);
/* The Sec-WebSocket-Accept that answers a key, with its terminator (RFC 6455 4.2.2). */
void rp_ws_accept(struct rp_bytes key, char ret_accept[29]);

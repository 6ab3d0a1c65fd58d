/* proto/eio.h — Engine.IO protocol revision 4: packets in text frames, answers of the handshake.
 *
 * A text frame is one packet: a type digit, then data. A binary frame is a message without the
 * digit and does not come here. The server opens with "0" and the session's facts as JSON, pings
 * with "2" every ping interval and closes if "3" does not come within the ping timeout; "4" carries
 * Socket.IO (proto/sio); "1" closes; "5" and "6" belong to the upgrade from long-polling, as do the
 * probes "2probe" and "3probe". A handshake that cannot be served is answered over HTTP with a
 * code, its text and its status.
 *
 * Below: proto/ws. Above: proto/sio, and gateway/client.c, which gives packets a meaning. */
#pragma once

#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

enum rp_eio_type {
    RP_EIO_OPEN = '0',
    RP_EIO_CLOSE = '1',
    RP_EIO_PING = '2',
    RP_EIO_PONG = '3',
    RP_EIO_MESSAGE = '4',
    RP_EIO_UPGRADE = '5',
    RP_EIO_NOOP = '6',
};

struct rp_eio_packet {
    enum rp_eio_type type;
    struct rp_bytes data; /* borrowed from the text */
};

/* Takes the text of one frame apart.  RP_E_PROTOCOL: empty, or not a type. */
RP_MUST_USE enum rp_err rp_eio_parse(struct rp_bytes text, struct rp_eio_packet *ret_packet);

/* Whether a client may send this type at all: not OPEN and NOOP. PING and UPGRADE are for upgrades:
 * a revision 4 client never pings an established transport. */
bool rp_eio_from_client(enum rp_eio_type type);

/* Appends a packet. RP_E_FULL changes nothing, here and below. */
RP_MUST_USE enum rp_err rp_eio_put(struct rp_buf *out, enum rp_eio_type type, struct rp_bytes data);

struct rp_eio_open {
    struct rp_bytes sid;         /* UTF-8; a secret of this client */
    const char *const *upgrades; /* names of transports; NULL with upgrades_count 0 */
    size_t upgrades_count;
    uint64_t ping_interval_ms;
    uint64_t ping_timeout_ms;
    uint64_t max_payload; /* bytes of one message from the client */
};

/* Appends the packet that opens a session, fields in the order of the reference server. */
RP_MUST_USE enum rp_err rp_eio_put_open(struct rp_buf *out, const struct rp_eio_open *open);

/* What is wrong with a handshake or polling request. The numbers and texts are on the wire. */
#define RP_EIO_ERROR_LIST(X)                                                                       \
    X(RP_EIO_UNKNOWN_TRANSPORT, 0, 400, "Transport unknown")                                       \
    X(RP_EIO_UNKNOWN_SID, 1, 400, "Session ID unknown")                                            \
    X(RP_EIO_BAD_HANDSHAKE_METHOD, 2, 400, "Bad handshake method")                                 \
    X(RP_EIO_BAD_REQUEST, 3, 400, "Bad request")                                                   \
    X(RP_EIO_FORBIDDEN, 4, 403, "Forbidden")                                                       \
    X(RP_EIO_UNSUPPORTED_VERSION, 5, 400, "Unsupported protocol version")

enum rp_eio_error {
#define RP_EIO_ERROR_ENUM(name, code, status, text) name = code,
    RP_EIO_ERROR_LIST(RP_EIO_ERROR_ENUM)
#undef RP_EIO_ERROR_ENUM
};

const char *rp_eio_error_text(enum rp_eio_error error); /* static storage */
int rp_eio_error_status(enum rp_eio_error error);       /* of the HTTP answer */
/* Appends the body of the HTTP answer: {"code":1,"message":"Session ID unknown"} */
RP_MUST_USE enum rp_err rp_eio_put_error(struct rp_buf *out, enum rp_eio_error error);

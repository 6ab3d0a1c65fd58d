/* proto/deflate.h — compression towards clients: WebSocket messages (permessage-deflate, RFC 7692)
 * and bodies of HTTP answers (RFC 9110 8.4.1). Over zlib, with memory that does not grow with the
 * number of connections. No I/O.
 * Beside: proto/ws.h frames what is made here.
 *
 * We always agree on server_no_context_takeover and client_no_context_takeover: every message
 * stands alone. So one compressor and one decompressor serve all connections of a process, and a
 * message for many receivers is compressed once.
 *
 * Sources: deflate.c the messages and bodies, deflate_offer.c what a client asks for. */
#pragma once

#include "common/buf.h"
#include "proto/http.h"

/* ---- What is agreed ---- */

/* Reads the offers of all Sec-WebSocket-Extensions headers (RFC 6455 9.1, RFC 7692 5.1 and 7.1).
 * True: *ret_response is the header's value for the 101 response, in static storage; then
 * rp_ws_reader_allow_deflate. False: nothing acceptable is offered, or one of the headers is
 * malformed; the WebSocket is an ordinary one.
 * An offer with a parameter that is unknown, twice there, or of a bad value is declined, and so is
 * one with server_max_window_bits below 15: the compressor is everybody's. The first that remains
 * is taken. */
bool rp_deflate_negotiate(const struct rp_http_request *req, const char **ret_response);

enum rp_http_coding { RP_HTTP_IDENTITY, RP_HTTP_GZIP, RP_HTTP_DEFLATE };

/* The content coding an answer should have by the request's Accept-Encoding headers (RFC 9110
 * 12.5.3): of gzip, deflate and identity the one that the client prefers, at equal weights the one
 * that comes first here. Without the header, and when it excludes everything, identity. Members
 * that are malformed count as excluded. An answer that depends on it says `Vary: Accept-Encoding`.
 */
enum rp_http_coding rp_http_pick_coding(const struct rp_http_request *req);
/* The value for Content-Encoding: "gzip", "deflate"; NULL for identity, which has none. */
const char *rp_http_coding_name(enum rp_http_coding coding);

/* ---- Doing it ---- */

/* zlib's state: about 256 KiB for each kind of compression, 45 KiB for decompression, made when
 * first used. One is enough for a process; it belongs to one thread. */
struct rp_deflate;

/* level: zlib's, 1 (fastest) to 9. */
struct rp_deflate *rp_deflate_new(int level);
struct rp_deflate *rp_deflate_free(struct rp_deflate *d); /* NULL is fine; returns NULL */

/* Appends the payload of a compressed message (RFC 7692 7.2.1), or changes nothing: RP_E_FULL. With
 * out->max below the payload's length, RP_E_FULL says that it does not pay: send it as it is.
 * payload.len <= 1 GiB. Never makes an empty payload. */
RP_MUST_USE enum rp_err rp_deflate_message(struct rp_deflate *d, struct rp_bytes payload,
                                           struct rp_buf *out);

/* Appends the message that a compressed payload is (RFC 7692 7.2.2), or changes nothing:
 *   RP_E_TOO_BIG   it does not fit; at most out->max bytes were ever written
 *   RP_E_PROTOCOL  the data is bad, or ends amid a block
 * Blocks with BFINAL set are taken (7.2.3.4); what follows one cannot refer to what was before it.
 * An empty payload, which no sender should make, is an empty message. payload.len <= 1 GiB. Whether
 * a text is UTF-8 is not looked at. */
RP_MUST_USE enum rp_err rp_inflate_message(struct rp_deflate *d, struct rp_bytes payload,
                                           struct rp_buf *out);

/* Appends the body in a coding, or changes nothing: RP_E_FULL. "deflate" is the zlib format, as RFC
 * 9110 8.4.1.2 has it. body.len <= 1 GiB. */
RP_MUST_USE enum rp_err rp_http_compress(struct rp_deflate *d, enum rp_http_coding coding,
                                         struct rp_bytes body, struct rp_buf *out);

/* gateway/handshake.h — what a client said when it came, as JSON for app workers: the `handshake`
 * of a socket, in the shape that Socket.IO gives it.
 *
 *     {"time":"2026-02-03T04:05:06.789Z","address":"192.0.2.7","xdomain":false,"secure":true,
 *      "issued":1770091506789,"url":"/socket.io/?EIO=4&transport=websocket",
 *      "query":{"EIO":"4","transport":"websocket"},"headers":{"host":"example.com"},"auth":{}}
 *
 * All but `auth` is of the request that began the Engine.IO session and the same for all
 * namespaces: the *request part*, without the braces. `auth` comes with each CONNECT, without `pid`
 * and `offset`, which are credentials of the recovery and nobody else's.
 *
 * headers: names in lower case, bytes as Latin-1. Of one that is there several times the values are
 * joined as Node.js does: with commas, cookies with semicolons; the first alone of those that
 * cannot be lists; Set-Cookie is an array. query: decoded, wrong UTF-8 as U+FFFD; several values of
 * one name are an array. time: ISO 8601 (Socket.IO: the words of JavaScript's Date).
 *
 * Nothing here fails for its length: what does not fit is left out, headers first.
 * Pure: no clock, no I/O. Above: conn_request.c makes the request part, socket.c the rest. */
#pragma once

#include "common/buf.h"
#include "common/limits.h"
#include "proto/http.h"

/* The least that the request part may be bounded by: all but url, query and headers. */
enum { RP_HANDSHAKE_LEAST_BYTES = 256 };

struct rp_handshake {
    const struct rp_http_request *request; /* borrowed, as address */
    const char *address;                   /* of the client, as far as proxies are believed */
    bool secure;                           /* the connection speaks TLS */
    uint64_t wall_ms;                      /* when it came, since 1970 */
};

/* Appends the request part, of at most bytes_max (from RP_HANDSHAKE_LEAST_BYTES on); out has room
 * for two more. */
void rp_handshake_put_request(struct rp_buf *out, const struct rp_handshake *h, size_t bytes_max);

/* Appends `auth` as an object, made of the payload of a CONNECT (an object, or empty). RP_E_FULL:
 * nothing is appended. */
RP_MUST_USE enum rp_err rp_handshake_put_auth(struct rp_buf *out, struct rp_bytes payload);

/* Appends the whole: the request part and auth, an object or empty. An auth with which it were
 * longer than RP_HANDSHAKE_BYTES_MAX is left out. There is room in out. */
void rp_handshake_put(struct rp_buf *out, struct rp_bytes request_part, struct rp_bytes auth);

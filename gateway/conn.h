/* gateway/conn.h — the clients' connections: sockets ↔ bytes, on plain libevent events.
 *
 * A connection begins with a PROXY header (from a trusted proxy, if its listener says so) and a TLS
 * handshake (if its listener speaks TLS). Then it is HTTP/1.1: requests one after another, each of
 * which site.h reads; those of long-polling become exchanges of the core (gateway.h) and are
 * answered when it says so. After an upgrade the bytes go through proto/ws to the core, and the
 * core's output goes out in the flush of the turn, everything that gathered for one socket in one
 * write.
 *
 * An idle connection keeps nothing but its struct and the core's (and OpenSSL's): bytes are read
 * into one buffer shared by all, and only what is incomplete is kept.
 *
 * Beside: listen.c accepts, main.c turns the loop: events, rp_gateway_turn, rp_conns_turn, which
 * ends by freeing what died in this turn. */
#pragma once

#include "common/limits.h"
#include "gateway/gateway.h"
#include "gateway/site.h"

#include <event2/event.h>

struct rp_cidrs;
struct rp_conns;
struct rp_tls;

/* Of the listener a connection came from. */
struct rp_conn_kind {
    bool tls;   /* speaks TLS; needs rp_conns_config.tls */
    bool proxy; /* begins with a PROXY header (version 2) if its peer is trusted */
};

struct rp_conns_config {
    struct event_base *base;
    struct rp_gateway *gateway;
    const struct rp_site *site;
    struct rp_tls *tls;             /* NULL: no kind has .tls */
    const struct rp_cidrs *trusted; /* proxies that are believed in what they say of their clients,
                                       by PROXY and by X-Forwarded-For; NULL: none */
    struct rp_deflate *deflate; /* for messages that come in compressed; NULL: none do. It may be
                                   the gateway's */
    size_t max_payload;         /* bytes of one WebSocket message (also inflated), and of a body */
    size_t bodies_bytes_max;    /* 0: RP_CONN_BODIES_BYTES */
    size_t parts_bytes_max;     /* 0: RP_CONN_PARTS_BYTES */
    size_t answers_bytes_max;   /* 0: RP_CONN_ANSWERS_BYTES */
    size_t connections_max;     /* of any state; further ones get a 503 … */
    size_t busy_max;            /* … if they are not more than this, or else are cut off */
    uint64_t header_timeout_ms; /* for a request's head; the same again for a TLS handshake, and for
                                   a PROXY header */
};

/* Counters since the start; gauges are marked. */
struct rp_conns_stats {
    uint64_t accepted, upgraded, requests;
    uint64_t bad_frames;                  /* WebSocket frames or compressed messages; they close */
    uint64_t answers_ok, answers_refused; /* HTTP answers below 400, and the others */
    uint64_t busy;                        /* refused because of connections_max, or stopping */
    uint64_t header_timeouts, cut;        /* cut: a client that did not take or end in time */
    uint64_t idle_closed;                 /* no further request came in time */
    uint64_t body_timeouts;
    uint64_t bodies_big;                 /* refused with 413 */
    uint64_t bodies_refused;             /* with 503, for want of RP_CONN_BODIES_BYTES */
    uint64_t tls_handshakes, tls_failed; /* done; failed or not done in time */
    uint64_t proxy_failed;               /* no PROXY header, a bad one, or none in time */
    uint64_t connections;                /* gauge */
    uint64_t bodies_bytes;               /* gauge: memory of bodies being read */
    uint64_t parts_bytes;                /* gauge: memory of WebSocket messages that came in part */
    uint64_t answers_bytes; /* gauge: answers to polls that clients take their time with */
    uint64_t answers_cut;   /* cut off for want of RP_CONN_ANSWERS_BYTES */
    uint64_t parts_refused; /* closed for want of RP_CONN_PARTS_BYTES */
};

/* Borrows what the config points to. Caller frees, before the gateway. */
struct rp_conns *rp_conns_new(const struct rp_conns_config *config);
struct rp_conns *rp_conns_free(struct rp_conns *s); /* closes all; NULL is fine; returns NULL */

/* Takes a connected socket (non-blocking). */
void rp_conns_add(struct rp_conns *s, int fd, struct rp_conn_kind kind, uint64_t now_ms);
/* From now on nobody new is let in: requests are answered with 503, connections closed behind the
 * answer that they wait for, and idle ones at once. */
void rp_conns_drain(struct rp_conns *s, uint64_t now_ms);

/* Writes all output that there is, as far as sockets take it, before the end of the turn. */
void rp_conns_flush(struct rp_conns *s, uint64_t now_ms);
/* The end of a turn: timeouts, writing of all output, freeing of dead connections. */
void rp_conns_turn(struct rp_conns *s, uint64_t now_ms);
/* When rp_conns_turn must be called at the latest; UINT64_MAX: never. */
uint64_t rp_conns_deadline_ms(const struct rp_conns *s);

const struct rp_conns_stats *rp_conns_stats(const struct rp_conns *s);

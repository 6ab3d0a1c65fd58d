/* gateway/conn.h — the clients' connections: sockets ↔ bytes, on plain libevent events.
 *
 * A connection begins as HTTP. What the request is answered with is site.h's business; after an
 * upgrade the bytes go through proto/ws to the core (gateway.h), and the core's output goes out in
 * the flush of the turn, everything that gathered for one socket in one write.
 *
 * An idle connection keeps nothing but its struct and the core's: bytes are read into one buffer
 * shared by all, and only what is incomplete is kept.
 *
 * Beside: listen.c accepts, main.c turns the loop: events, rp_gateway_turn, rp_conns_turn, which
 * ends by freeing what died in this turn. */
#pragma once

#include "common/limits.h"
#include "gateway/gateway.h"
#include "gateway/site.h"

#include <event2/event.h>

struct rp_conns;

struct rp_conns_config {
    struct event_base *base;
    struct rp_gateway *gateway;
    const struct rp_site *site;
    size_t max_payload;     /* bytes of one WebSocket message */
    size_t connections_max; /* of any state; further ones get a 503 … */
    size_t busy_max;        /* … if they are not more than this, or else are cut off */
    uint64_t header_timeout_ms;
};

/* Counters since the start; the gauge is marked. */
struct rp_conns_stats {
    uint64_t accepted, upgraded, bad_frames;
    uint64_t answers_ok, answers_refused; /* HTTP answers below 400, and the others */
    uint64_t busy;                        /* refused because of connections_max */
    uint64_t header_timeouts, cut;        /* cut: a client that did not take or end in time */
    uint64_t connections;                 /* gauge */
};

/* Borrows what the config points to. Caller frees, before the gateway. */
struct rp_conns *rp_conns_new(const struct rp_conns_config *config);
struct rp_conns *rp_conns_free(struct rp_conns *s); /* closes all; NULL is fine; returns NULL */

/* Takes a connected socket (non-blocking). */
void rp_conns_add(struct rp_conns *s, int fd, uint64_t now_ms);
/* From now on nobody new is let in: requests are answered with 503. */
void rp_conns_drain(struct rp_conns *s);

/* The end of a turn: timeouts, writing of all output, freeing of dead connections. */
void rp_conns_turn(struct rp_conns *s, uint64_t now_ms);
/* When rp_conns_turn must be called at the latest; UINT64_MAX: never. */
uint64_t rp_conns_deadline_ms(const struct rp_conns *s);

const struct rp_conns_stats *rp_conns_stats(const struct rp_conns *s);

/* gateway/uplink.h — the ZeroMQ socket of the link to the broker. What goes over it and when there
 * is to be a link is decided by the core (gateway.h).
 *
 * One link is one DEALER socket that never reconnects: a lost link is closed with what was queued,
 * and a new socket says HELLO. A monitor tells within milliseconds that the connection is gone or
 * was refused; a silent broker is noticed by the core's own heartbeat.
 *
 * Per turn of the loop: rp_uplink_receive, the core's turn and the flush of the clients, then
 * rp_uplink_send. ZMQ_FD tells only that something may have changed, once, and sending may use that
 * up: so the socket is asked again after the last send, and the answer decides whether the loop may
 * sleep. */
#pragma once

#include "common/curve_key.h"
#include "common/limits.h"
#include "gateway/gateway.h"

#include <event2/event.h>

struct rp_uplink;

/* For an encrypted link: both ends know each other by their keys. */
struct rp_uplink_keys {
    struct rp_curve_keys own;
    struct rp_curve_key broker; /* public */
};

/* Borrows base, gateway and endpoint (tcp://127.0.0.1:5570), copies keys; NULL: the link is plain.
 * RP_E_INVALID: not a ZeroMQ endpoint. Caller frees. */
RP_MUST_USE enum rp_err rp_uplink_new(struct event_base *base, struct rp_gateway *gateway,
                                      const char *endpoint, const struct rp_uplink_keys *keys,
                                      struct rp_uplink **ret_uplink);
/* Sends what there is, a last time; rp_uplink_free then waits up to RP_LINK_BYE_MS until it has
 * left. */
void rp_uplink_part(struct rp_uplink *u, uint64_t now_ms);
struct rp_uplink *rp_uplink_free(struct rp_uplink *u); /* NULL is fine; returns NULL */

/* For struct rp_option's check: NULL, or what was expected. */
const char *rp_uplink_check_endpoint(const char *text);

/* Opens and closes the socket as the core needs it, and gives the core a bounded number of messages
 * of the broker. */
void rp_uplink_receive(struct rp_uplink *u, uint64_t now_ms);
/* Sends what the core has for the broker. Returns whether there is something to do at once: the
 * loop must not sleep. */
RP_MUST_USE bool rp_uplink_send(struct rp_uplink *u, uint64_t now_ms);

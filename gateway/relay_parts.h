/* gateway/relay_parts.h — what the files of relays share. Not for anybody else.
 *
 *     relay.c         the table, messages, the end, what comes
 *     relay_entry.c   the connection is here, the session elsewhere
 *     relay_holder.c  the session is here, the connection elsewhere */
#pragma once

#include "gateway/core.h"
#include "proto/ws.h"

#define RP_RELAY_FROM_HOLDER (UINT64_C(1) << 63)

enum { RP_RELAY_MESSAGE_COST = 64 }; /* what a message counts beside its bytes */

/* A message of a holder's wire that its client may not be given yet. */
struct rp_relay_message {
    struct rp_list node; /* in relay->inbox */
    bool is_text;
    size_t len;
    uint8_t data[];
};

/* ---- relay.c ---- */
static inline bool rp_relay_is_entry(const struct rp_relay *r) {
    return (r->id & RP_RELAY_FROM_HOLDER) != 0;
}
static inline struct rp_bytes rp_relay_sid_of(const struct rp_exchange *x) {
    return rp_bytes(x->sid, x->sid_len);
}
struct rp_relay *rp_relay_new(struct rp_gateway *g, uint64_t peer, uint64_t id);
/* Puts a RELAY on the link, if it is up. id is as it stands in messages for us. */
void rp_relay_put(struct rp_gateway *g, uint64_t peer, uint64_t id, enum rp_op_relay_what what,
                  uint64_t number, struct rp_bytes sid, struct rp_bytes data);
void rp_relay_say(struct rp_gateway *g, const struct rp_relay *r, enum rp_op_relay_what what,
                  uint64_t number, struct rp_bytes data);
/* Tells the other end that it is over. */
void rp_relay_say_end(struct rp_gateway *g, const struct rp_relay *r, uint16_t code,
                      struct rp_bytes reason);
/* Whether the link has credit for so many bytes. */
bool rp_relay_may_put(const struct rp_gateway *g, size_t len);
/* The other end is gone, or has ended it: so do we. */
void rp_relay_fail(struct rp_gateway *g, struct rp_relay *r, uint16_t code, const char *reason);
void rp_relay_fail_lost(struct rp_gateway *g, struct rp_relay *r);

/* ---- relay_entry.c ---- */
/* A holder answers a poll, and pings a WebSocket, within the time that begins anew. */
void rp_relay_await_holder(struct rp_gateway *g, struct rp_relay *r);
/* The holder has said whether there is such a session. */
void rp_relay_decided(struct rp_gateway *g, struct rp_relay *r, bool known);
/* A message for the client. */
void rp_relay_deliver(struct rp_gateway *g, struct rp_relay *r, const struct rp_op_relayed *op);
void rp_relay_entry_turn(struct rp_gateway *g);

/* ---- both ---- */
/* Tells what was dealt with of the messages received. */
void rp_relay_confirm(struct rp_gateway *g, struct rp_relay *r);

/* ---- relay_holder.c ---- */
/* A request for a session of ours, or what is said to be one. */
void rp_relay_hold(struct rp_gateway *g, const struct rp_op_relayed *op);
/* A message of the client. */
void rp_relay_hear(struct rp_gateway *g, struct rp_relay *r, const struct rp_op_relayed *op);
void rp_relay_unpark(struct rp_gateway *g, const struct rp_relay_message *m);
void rp_relay_holder_turn(struct rp_gateway *g);

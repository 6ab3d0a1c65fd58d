/* proto/link.h — one end of the connection between a gateway and the broker: batches, credit,
 * liveness. No I/O.
 *
 * Operations put on a link gather into messages, which the shell takes and sends. Each direction
 * has a credit in bytes: what was sent and not yet dealt with by the other end. The receiver tells
 * how much it has dealt with in its heartbeats. Deliveries and requests respect the credit (the
 * cores ask rp_link_credit first); answers and control operations do not wait for it, because their
 * number is bounded by the requests.
 *
 * A link is never repaired. When it is lost both ends forget it and the gateway makes a new one;
 * what must survive (unanswered requests, the position in the log) is kept by the cores. */
#pragma once

#include "common/list.h"
#include "proto/op.h"

struct rp_link {
    size_t credit_bytes;     /* both ends agree on it */
    struct rp_buf batch;     /* operations of the message being gathered */
    struct rp_list messages; /* whole messages before it */
    size_t queued_bytes;     /* in messages and batch */
    uint64_t sent_bytes;     /* put on this link so far */
    uint64_t peer_consumed;  /* of those, dealt with by the other end */
    uint64_t received_bytes; /* received and dealt with by us */
    uint64_t told_bytes;     /* of those, told to the other end */
    uint64_t untold_ms;      /* when the first of those that are not came */
    uint64_t last_heard_ms;
    uint64_t last_sent_ms;
};

void rp_link_init(struct rp_link *l, size_t credit_bytes, uint64_t now_ms);
void rp_link_done(struct rp_link *l);

/* Puts an operation on the link. Never fails: callers bound what they put (credit, requests). */
void rp_link_put(struct rp_link *l, const struct rp_op *op);
/* The same with operations that are encoded already. */
void rp_link_put_bytes(struct rp_link *l, struct rp_bytes encoded);

/* Bytes that may still be sent before the other end has dealt with more. */
size_t rp_link_credit(const struct rp_link *l);

/* Whether len bytes may be put. What is larger than the whole credit may when little
 * else is under way: it must pass some time. */
bool rp_link_may_put(const struct rp_link *l, size_t len);

/* Gives the next message to send: the caller owns ret_message->data and frees it with free().
 * False: nothing to send. */
bool rp_link_take(struct rp_link *l, uint64_t now_ms, struct rp_buf *ret_message);

/* A message of len bytes has arrived and been dealt with. */
void rp_link_received(struct rp_link *l, size_t len, uint64_t now_ms);
/* The other end's heartbeat. False: it claims to have dealt with more than was sent (a broken
 * peer). */
RP_MUST_USE bool rp_link_heard_heartbeat(struct rp_link *l,
                                         const struct rp_op_heartbeat *heartbeat);

/* Whether a heartbeat should be sent: nothing was sent for a while, or something was received and
 * not told for as long, or much. */
bool rp_link_heartbeat_due(const struct rp_link *l, uint64_t now_ms);
/* Puts a heartbeat on the link, with pos and lowest as the cores define them. */
void rp_link_put_heartbeat(struct rp_link *l, uint64_t pos, uint64_t lowest);
/* Whether the other end has been silent too long. */
bool rp_link_is_lost(const struct rp_link *l, uint64_t now_ms);
/* When the two above must be asked again at the latest. */
uint64_t rp_link_deadline_ms(const struct rp_link *l);

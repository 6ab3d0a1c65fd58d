/* gateway/gateway.h — the gateway without its sockets and its clock: packets and the time in,
 * frames and messages out.
 *
 * It holds the clients (client.h: one client's life), the rooms' local members (fanout.h) and the
 * link to the broker with its unanswered requests (request.h). The shells around it: conn.c moves
 * the bytes of one client, listen.c accepts, uplink.c owns the ZeroMQ socket, main.c turns the
 * loop.
 *
 * How to drive it: tell it what happened (opened, text, gone, sent, uplink message); once per turn
 * of the loop call rp_gateway_turn; then flush every client of rp_gateway_next_dirty and send every
 * message of rp_gateway_uplink_take. Nothing is called back. */
#pragma once

#include "common/blob.h"
#include "common/buf.h"
#include "common/map.h"

struct rp_gateway;
struct rp_client;

struct rp_gateway_config {
    uint64_t ping_interval_ms, ping_timeout_ms, connect_timeout_ms;
    size_t max_payload;          /* bytes of one message of a client */
    size_t queue_bytes;       /* RP_CLIENT_QUEUE_BYTES but in tests */
    size_t queue_low_bytes;   /* RP_CLIENT_QUEUE_LOW_BYTES but in tests */
    size_t link_credit_bytes; /* RP_LINK_CREDIT_BYTES but in tests; the broker's must be the same */
    const char *name;            /* for the broker's log; borrowed */
    struct rp_hash_key hash_key; /* random, so that clients cannot aim at hash buckets */
    void (*random)(void *ctx, void *out, size_t len); /* unguessable: session ids are made of it */
    void *random_ctx;
};

/* Counters since the start; gauges are marked. */
struct rp_gateway_stats {
    uint64_t opened, closed, connected_total, recovered_total;
    uint64_t packets_in, bytes_in, packets_out, bytes_out;
    uint64_t bad_packets, refused_events, ping_timeouts, connect_timeouts;
    uint64_t delivers, deliveries,
        volatile_dropped; /* deliver operations; packets put to clients for them */
    uint64_t replayed, lagged, overflowed, paused;
    uint64_t requests, requests_resent, links_opened, links_lost, resets, evicted;
    uint64_t malformed_messages;
    uint64_t clients, sessions, rooms, requests_open, requests_bytes, queued_bytes; /* gauges */
    bool linked;                                                                    /* gauge */
};

struct rp_gateway *rp_gateway_new(const struct rp_gateway_config *config, uint64_t now_ms);
struct rp_gateway *
rp_gateway_free(struct rp_gateway *g); /* with all clients; NULL is fine; returns NULL */

/* ---- clients ---- */

/* A client's transport is open: the Engine.IO handshake packet is queued. shell is the caller's
 * pointer. */
struct rp_client *rp_gateway_open(struct rp_gateway *g, void *shell, uint64_t now_ms);
/* A text message of the client: one Engine.IO packet. A wrong one closes the client. */
void rp_gateway_text(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text,
                     uint64_t now_ms);
/* A binary message of the client. */
void rp_gateway_binary(struct rp_gateway *g, struct rp_client *c, struct rp_bytes data,
                       uint64_t now_ms);
/* Queues a frame of the transport itself (a WebSocket pong). Takes the reference. */
void rp_gateway_put_frame(struct rp_gateway *g, struct rp_client *c, struct rp_blob *frame);
/* Detaches the client and queues a WebSocket close frame; code 0 queues none. Later input of it is
 * ignored. */
void rp_gateway_close(struct rp_gateway *g, struct rp_client *c, uint16_t code, const char *reason,
                      uint64_t now_ms);
/* The client's transport is gone: frees the client. */
void rp_gateway_gone(struct rp_gateway *g, struct rp_client *c, uint64_t now_ms);

void *rp_client_shell(const struct rp_client *c);
/* Unsent output, oldest first: fills at most max parts, returns how many. Borrowed until
 * rp_gateway_sent. */
size_t rp_client_output(const struct rp_client *c, struct rp_bytes *ret_parts, size_t max);
bool rp_client_has_output(const struct rp_client *c);
/* The first bytes of the output were written. */
void rp_gateway_sent(struct rp_gateway *g, struct rp_client *c, size_t bytes, uint64_t now_ms);
/* Whether the client may be read from now (it has not too many unanswered requests). */
bool rp_client_wants_read(const struct rp_client *c);
/* Whether its transport is to be closed as soon as the output is written (or a linger time is
 * over). */
bool rp_client_is_closing(const struct rp_client *c);
/* A client whose output, wants_read or is_closing may have changed; each is given once per change.
 * NULL: no more. */
struct rp_client *rp_gateway_next_dirty(struct rp_gateway *g);

/* ---- the link to the broker ---- */

enum rp_uplink_need {
    RP_UPLINK_NONE,
    RP_UPLINK_OPEN,  /* close the socket, if there is one, make a new one and call
                        rp_gateway_uplink_opened */
    RP_UPLINK_CLOSE, /* close the socket; OPEN follows after a while */
};
enum rp_uplink_need rp_gateway_uplink_need(struct rp_gateway *g, uint64_t now_ms);
void rp_gateway_uplink_opened(struct rp_gateway *g, uint64_t now_ms);
/* A message of the broker. RP_E_PROTOCOL: malformed, the rest of it is dropped; log it (once a
 * second). */
RP_MUST_USE enum rp_err rp_gateway_uplink_message(struct rp_gateway *g, struct rp_bytes message,
                                                  uint64_t now_ms);
/* The socket failed. */
void rp_gateway_uplink_lost(struct rp_gateway *g, uint64_t now_ms);
/* The next message to send; the caller frees ret_message->data with free(). False: none. */
bool rp_gateway_uplink_take(struct rp_gateway *g, uint64_t now_ms, struct rp_buf *ret_message);

/* ---- time ---- */

void rp_gateway_turn(struct rp_gateway *g, uint64_t now_ms);
/* When rp_gateway_turn must be called at the latest. */
uint64_t rp_gateway_deadline_ms(const struct rp_gateway *g);

/* Closes all clients with 1001, spread evenly over over_ms. */
void rp_gateway_drain(struct rp_gateway *g, uint64_t now_ms, uint64_t over_ms);
/* Whether no client is left and every request is answered. */
bool rp_gateway_is_drained(const struct rp_gateway *g);

/* Something a person should know, once ("the broker refused…"): "" if there is nothing. Valid until
 * the next call. */
const char *rp_gateway_notice(struct rp_gateway *g);
const struct rp_gateway_stats *rp_gateway_stats(struct rp_gateway *g);

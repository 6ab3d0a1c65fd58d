/* gateway/gateway.h — the gateway without its sockets and its clock: packets, requests and the time
 * in, frames, answers and messages out.
 *
 * It holds the clients (client.c: one Engine.IO session each, over WebSocket or long-polling),
 * their sockets (socket.c: one per namespace), the rooms' local members (fanout.h) and the link to
 * the broker with its unanswered requests (request.c). The shells around it: conn.c moves the bytes
 * of one connection, listen.c accepts, site.c reads what a request wants, uplink.c owns the ZeroMQ
 * socket, main.c turns the loop.
 *
 * A shell's connection is towards the core either a *wire* (a WebSocket) or has at most one
 * *exchange* (an HTTP request of long-polling) under way.
 *
 * How to drive it: tell it what happened; once per turn of the loop call rp_gateway_turn; then
 * flush every wire of rp_gateway_next_dirty, answer every exchange of rp_gateway_next_answered, and
 * send every message of rp_gateway_uplink_take. Nothing is called back. */
#pragma once

#include "common/blob.h"
#include "common/buf.h"
#include "common/map.h"
#include "gateway/budget.h"

struct rp_deflate;
struct rp_exchange;
struct rp_gateway;
struct rp_patterns;
struct rp_wire;

/* What messages of clients are: Socket.IO, or, to test the transports alone (tests/echo), something
 * that comes back as it came. */
enum rp_gateway_mode {
    RP_GATEWAY_SOCKETIO,
    RP_GATEWAY_ECHO_EIO, /* Engine.IO messages come back */
    RP_GATEWAY_ECHO_WS,  /* WebSocket messages come back: no Engine.IO, no heartbeat, no sid */
};

enum rp_parser { RP_PARSER_DEFAULT, RP_PARSER_MSGPACK };

/* Why a client's transport, or one of its sockets, ends; for app workers, in the words of
 * Socket.IO. Only the first two end the session: else it may be recovered. */
enum rp_leave {
    RP_LEAVE_CLIENT_DISCONNECT, /* "client namespace disconnect" */
    RP_LEAVE_SERVER_DISCONNECT, /* "server namespace disconnect" */
    RP_LEAVE_TRANSPORT_CLOSE,   /* "transport close": the client closed it, or is gone */
    RP_LEAVE_TRANSPORT_ERROR,   /* "transport error": reading or writing it failed */
    RP_LEAVE_PING_TIMEOUT,      /* "ping timeout" */
    RP_LEAVE_PARSE_ERROR,       /* "parse error": a packet was wrong */
    RP_LEAVE_FORCED_SERVER,     /* "forced server close": it did not connect, or cannot be served */
    RP_LEAVE_SHUTTING_DOWN,     /* "server shutting down" */
    RP_LEAVE_FORCED,            /* "forced close": too slow, too much, or the session moved on */
    RP_LEAVE_UNTOLD,            /* the broker knows already, or need not know */
};

struct rp_gateway_config {
    enum rp_gateway_mode mode;
    enum rp_parser parser; /* what the clients speak: the npm package socket.io-parser, or
                              socket.io-msgpack-parser */
    bool no_recovery;      /* clients get neither pid nor offsets */
    bool no_upgrades;      /* sessions that began with long-polling stay there */
    uint64_t ping_interval_ms, ping_timeout_ms, connect_timeout_ms, upgrade_timeout_ms;
    size_t max_payload;       /* bytes of one message of a client, and of the body of a POST */
    size_t queue_bytes;       /* RP_CLIENT_QUEUE_BYTES but in tests */
    size_t queue_low_bytes;   /* RP_CLIENT_QUEUE_LOW_BYTES but in tests */
    size_t link_credit_bytes; /* RP_LINK_CREDIT_BYTES but in tests; the broker's must be the same */
    size_t client_requests_max; /* 0: RP_CLIENT_REQUESTS_MAX, which tests are too short for */
    size_t relay_window_bytes;  /* 0: RP_RELAY_WINDOW_BYTES; likewise */
    struct rp_budget budget;    /* what clients may make it hold; zero: all of common/limits.h */
    const char *name;           /* for the broker's log; borrowed */
    const struct rp_patterns *namespaces; /* that clients may connect to; NULL: "/". Borrowed */
    struct rp_deflate *deflate;  /* for wires that negotiated permessage-deflate; NULL if none may.
                                    Borrowed */
    size_t deflate_bytes_min;    /* smaller messages are sent as they are */
    struct rp_hash_key hash_key; /* random, so that clients cannot aim at hash buckets */
    void (*random)(void *ctx, void *out, size_t len); /* unguessable: session ids are made of it */
    void *random_ctx;
};

/* Counters since the start; gauges are marked. */
struct rp_gateway_stats {
    uint64_t opened, closed, connected_total, recovered_total;
    uint64_t packets_in, bytes_in, packets_out, bytes_out;
    uint64_t bad_packets, refused_events, refused_connects, ping_timeouts, connect_timeouts;
    uint64_t upgrades, upgrades_failed, polls, overlaps;
    uint64_t delivers, deliveries,
        volatile_dropped; /* deliver operations; packets put to clients for them */
    uint64_t replayed, lagged, overflowed, paused;
    uint64_t hoarders; /* closed when all queues together were too much; counted in overflowed */
    uint64_t requests, requests_resent, links_opened, links_lost, resets, evicted;
    uint64_t relayed, relays_failed; /* exchanges and wires passed on to other gateways */
    uint64_t malformed_messages;
    uint64_t app_events, client_acks, kicked; /* what clients and workers said to one another */
    uint64_t handshakes_bytes;                /* gauge: kept of clients */
    uint64_t clients, polling, sessions, rooms, requests_open, requests_bytes, queued_bytes,
        held_bytes, relays; /* gauges */
    uint64_t incarnation;   /* as the broker knows it now */
    bool linked;            /* gauge */
};

struct rp_gateway *rp_gateway_new(const struct rp_gateway_config *config, uint64_t now_ms);
/* With all clients; wires and exchanges must be gone. NULL is fine; returns NULL. */
struct rp_gateway *rp_gateway_free(struct rp_gateway *g);

/* ---- wires: WebSockets ---- */

/* How many bytes the handshake of a client that comes now may have (handshake.h, the request part);
 * 0: nobody wants it. */
size_t rp_gateway_handshake_bytes(const struct rp_gateway *g);

/* A WebSocket of a new client: the Engine.IO handshake packet is queued. shell is the caller's
 * pointer. handshake is copied; empty if nobody wants it. */
struct rp_wire *rp_gateway_open(struct rp_gateway *g, void *shell, struct rp_bytes handshake,
                                uint64_t now_ms);
/* A WebSocket that came with the sid of a session: it is to take the place of its long-polling. The
 * session may live in another gateway: then the wire is pending until that one has said whether
 * there is such a session; nothing may be read or written until then. NULL, or is_refused when it
 * is no longer pending: there is none (RP_EIO_UNKNOWN_SID). A session that cannot be upgraded (it
 * was, or somebody else is at it) gives a wire that is closing. */
struct rp_wire *rp_gateway_upgrade(struct rp_gateway *g, void *shell, struct rp_bytes sid,
                                   uint64_t now_ms);
bool rp_wire_is_pending(const struct rp_wire *w);
bool rp_wire_is_refused(const struct rp_wire *w);
/* permessage-deflate was negotiated: large messages go out compressed (the caller inflates what
 * comes in). Once, at the beginning. */
void rp_wire_use_deflate(struct rp_wire *w);

/* A text message: one Engine.IO packet. A wrong one closes the client. */
void rp_gateway_text(struct rp_gateway *g, struct rp_wire *w, struct rp_bytes text,
                     uint64_t now_ms);
/* A binary message. */
void rp_gateway_binary(struct rp_gateway *g, struct rp_wire *w, struct rp_bytes data,
                       uint64_t now_ms);
/* Queues a frame of the transport itself (a WebSocket pong). Takes the reference. */
void rp_gateway_put_frame(struct rp_gateway *g, struct rp_wire *w, struct rp_blob *frame);
/* Detaches the client and queues a WebSocket close frame; code 0 queues none. Later input is
 * ignored. */
void rp_gateway_close(struct rp_gateway *g, struct rp_wire *w, uint16_t code, const char *reason,
                      enum rp_leave why, uint64_t now_ms);
/* The WebSocket is gone: frees the wire, and ends its client. */
void rp_gateway_gone(struct rp_gateway *g, struct rp_wire *w, uint64_t now_ms);

void *rp_wire_shell(const struct rp_wire *w);
/* Unsent output, oldest first: fills at most max parts, returns how many. Borrowed until
 * rp_gateway_sent. */
size_t rp_wire_output(const struct rp_wire *w, struct rp_bytes *ret_parts, size_t max);
bool rp_wire_has_output(const struct rp_wire *w);
/* The first bytes of the output were written. */
void rp_gateway_sent(struct rp_gateway *g, struct rp_wire *w, size_t bytes, uint64_t now_ms);
/* Whether it may be read from now (not too much of what it said is unanswered). */
bool rp_wire_wants_read(const struct rp_wire *w);
/* Whether it is to be closed as soon as the output is written (or a linger time is over). */
bool rp_wire_is_closing(const struct rp_wire *w);
/* A wire whose output, wants_read or is_closing may have changed; each is given once per change.
 * NULL: no more. */
struct rp_wire *rp_gateway_next_dirty(struct rp_gateway *g);

/* ---- exchanges: HTTP requests of long-polling ---- */

/* The request that opens a session; answered at once with the handshake packet. */
struct rp_exchange *rp_gateway_poll_open(struct rp_gateway *g, void *shell,
                                         struct rp_bytes handshake, uint64_t now_ms);
/* A GET: answered when there is something for the client, or with an error. */
struct rp_exchange *rp_gateway_poll_get(struct rp_gateway *g, void *shell, struct rp_bytes sid,
                                        uint64_t now_ms);
/* A POST whose head has come: it may be answered, with an error, before its body is there. */
struct rp_exchange *rp_gateway_poll_post(struct rp_gateway *g, void *shell, struct rp_bytes sid,
                                         uint64_t now_ms);
/* The body of a POST that is not answered, of at most max_payload bytes; the answer comes when all
 * its packets were taken. Takes what is in *body, which is left empty and still its owner's. */
void rp_gateway_post_body(struct rp_gateway *g, struct rp_exchange *x, struct rp_buf *body,
                          uint64_t now_ms);
/* Each exchange once, when its answer is ready. NULL: no more. */
struct rp_exchange *rp_gateway_next_answered(struct rp_gateway *g);

void *rp_exchange_shell(const struct rp_exchange *x);
/* Once answered: the HTTP status, and the body: a payload or "ok" with 200 (text/plain;
 * charset=UTF-8), otherwise JSON {"code":1,"message":"Session ID unknown"}. Borrowed until
 * rp_gateway_exchange_end. */
int rp_exchange_status(const struct rp_exchange *x);
struct rp_bytes rp_exchange_body(const struct rp_exchange *x);
/* The sid that the answer to rp_gateway_poll_open gives (for a cookie); otherwise empty. */
struct rp_bytes rp_exchange_sid(const struct rp_exchange *x);
/* Frees the exchange: its answer was written, or (delivered is false) its connection is lost,
 * before or after the answer: then the session ends too, for what the answer carried is lost. */
void rp_gateway_exchange_end(struct rp_gateway *g, struct rp_exchange *x, bool delivered,
                             uint64_t now_ms);

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

/* Whether the next turn closes those who have most output waiting: flush all wires before, so that
 * it is only what they do not take. */
bool rp_gateway_holds_too_much(const struct rp_gateway *g);
void rp_gateway_turn(struct rp_gateway *g, uint64_t now_ms);
/* When rp_gateway_turn must be called at the latest. */
uint64_t rp_gateway_deadline_ms(const struct rp_gateway *g);

/* Closes all clients with 1001, spread evenly over over_ms. */
void rp_gateway_drain(struct rp_gateway *g, uint64_t now_ms, uint64_t over_ms);
/* Whether no client, wire or exchange is left and every request is answered. */
bool rp_gateway_is_drained(const struct rp_gateway *g);

/* The process ends: puts its goodbye on the link, if there is one, behind all else. What
 * rp_gateway_uplink_take gives then is to be sent, and nothing else to be done. */
void rp_gateway_bye(struct rp_gateway *g);

/* Something a person should know, once ("the broker refused…"): "" if there is nothing. Valid until
 * the next call. */
const char *rp_gateway_notice(struct rp_gateway *g);
const struct rp_gateway_stats *rp_gateway_stats(struct rp_gateway *g);

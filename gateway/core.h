/* gateway/core.h — what the files of the gateway's core share. Not for anybody else.
 *
 *     gateway.c    creation, the turn, draining
 *     client.c     one client: an Engine.IO session, its transport, its output
 *     heartbeat.c  pings, and everything else that is closed when its time is over
 *     wire.c       a WebSocket: carries a client, probes for one, or belongs to another gateway's
 *     poll.c       an HTTP request of long-polling
 *     relay.c      what reached another gateway than its client's; relay_entry.c, relay_holder.c
 * its two ends packet.c     Socket.IO packets of a client, put together and given to its sockets
 *     socket.c     a client in one namespace: its session with the broker
 *     encode.c     Socket.IO packets for clients, rendered in the gateway's parser
 *     roomevent.c  the room events: arguments → requests, answers → acks
 *     request.c    numbered requests, kept until they are answered
 *     app.c        what app workers ask of clients: handshakes, answers, acks, kicks
 *     broker.c     the link: HELLO, resume, what the broker sends
 *     delivery.c   events for rooms
 *     fanout.c     rooms → local members; nsp.c namespaces; queue.c, frames.c output
 *
 * `seen` is the position in the log up to which everything the broker has for this gateway has
 * arrived. A LIVE socket has everything up to `seen`; a CATCHING one everything up to its own pos,
 * and gets nothing but what the broker replays to it.
 *
 * Clients and sockets that have ended are freed at the beginning of the next turn, so that nobody
 * in between holds one that is gone. */
#pragma once

#include "common/limits.h"
#include "common/list.h"
#include "gateway/fanout.h"
#include "gateway/gateway.h"
#include "gateway/nsp.h"
#include "gateway/queue.h"
#include "proto/eio.h"
#include "proto/link.h"
#include "proto/offset.h"
#include "proto/sio.h"

enum { RP_ID_CHARS = 20, RP_PID_HASH_BYTES = 32 };

/* ---- a client in a namespace ---- */

enum rp_socket_state {
    RP_SOCKET_CONNECTING, /* CONNECT is with the broker */
    RP_SOCKET_LIVE,
    RP_SOCKET_CATCHING,
    RP_SOCKET_LEFT, /* to be freed */
};

/* An answer that must not come before the events up to seq. */
struct rp_held_answer {
    struct rp_list node;
    uint64_t seq;
    struct rp_blob *frame;
};

/* What a delivery looks at comes first here and in the next two: one line of cache each. */
struct rp_socket {
    struct rp_list node; /* in client->sockets, or gateway->left_sockets */
    struct rp_client *client;
    struct rp_nsp *nsp;
    uint64_t conn;
    uint64_t page; /* the page to be acknowledged when the output has drained; 0: none */
    uint64_t pos;
    uint8_t state; /* enum rp_socket_state */
    uint8_t app;   /* 0, or how app workers serve it: enum rp_op_serve_flag */
    bool owing;    /* recovered, and not all that it had not acked came again yet */
    bool listed;   /* our own list has its namespace */
    uint32_t mark; /* of the delivery that it has, or must not have (delivery.c) */
    char pid[RP_ID_CHARS];
    struct rp_map_node by_conn; /* while LIVE or CATCHING */
    uint64_t session;
    uint64_t page_since_ms;
    struct rp_fanout_rooms rooms;
    struct rp_list requests; /* struct rp_request.socket_node */
    struct rp_list held;     /* struct rp_held_answer */
    /* While CONNECTING, and of an app namespace: what workers may be told of the client again. */
    struct rp_blob *handshake; /* the request part, shared with the client; NULL: none was made */
    struct rp_blob *auth;      /* an object; NULL: nothing in it */
};

/* ---- a client ---- */

/* A binary packet whose attachments are still coming. */
struct rp_assembly {
    struct rp_buf text, attachments;
    uint64_t since_ms; /* when the last part came */
    uint32_t missing;
};

struct rp_client {
    struct rp_list node;   /* in gateway->clients, or gateway->closed_clients */
    struct rp_wire *wire;  /* its WebSocket; NULL: long-polling */
    struct rp_wire *probe; /* that wants to become it */
    struct rp_list sockets;
    uint64_t drained_ms; /* when output was taken last */
    uint16_t sockets_count;
    uint16_t unlisted_refused; /* connects to namespaces that nobody serves */
    bool closed;               /* to be freed */
    bool ending;               /* nothing is heard any more; closed when its output was taken */
    bool progress;             /* something was written since the last look at the heartbeat */
    bool awaits_pong;          /* a ping was sent: it is in gateway->pongs */
    char sid[RP_EIO_SID_BYTES_MAX];
    struct rp_map_node by_sid;
    struct rp_list beat_node;    /* in gateway->pings or gateway->pongs */
    struct rp_list connect_node; /* in gateway->connects */
    struct rp_list paused_node;  /* in gateway->paused */
    struct rp_list flush_node;   /* in gateway->flushable: long-polling with something to do */
    uint64_t beat_deadline_ms, connect_deadline_ms;
    struct rp_exchange *get, *post;
    struct rp_exchange *answering; /* a GET whose answer is being written; the newest one */
    struct rp_queue queue;         /* while long-polling; otherwise the wire's */
    struct rp_assembly *assembly;
    struct rp_list requests; /* struct rp_request.client_node: also of sockets that have left */
    uint32_t requests_count, requests_bytes; /* bounded far below; there are many clients */
    uint32_t held_cost;                      /* of its sockets' held answers, as rp_queue_cost */
    uint32_t events_count, events_bytes;     /* of these, events for app workers */
    struct rp_blob *handshake;               /* the request part; NULL: none is kept */
};

/* ---- transports ---- */

enum rp_wire_role {
    RP_WIRE_ACTIVE,  /* carries its client */
    RP_WIRE_PROBE,   /* its client is still long-polling */
    RP_WIRE_ENTRY,   /* its client lives in another gateway (wire->relay) */
    RP_WIRE_CLOSING, /* nothing is heard any more; the rest of the output is written */
};

struct rp_wire {
    struct rp_list dirty_node; /* in gateway->dirty or gateway->blocked */
    struct rp_queue queue;
    uint8_t role; /* enum rp_wire_role */
    bool probed;  /* PROBE: "2probe" came */
    bool pending; /* ENTRY: the holder has not said yet whether it has the session */
    bool refused; /* CLOSING: it has not */
    bool deflate;
    bool cut;                 /* its output was dropped in the middle of a frame */
    struct rp_client *client; /* ACTIVE, PROBE */
    struct rp_relay *relay;   /* ENTRY; or the connection is at another gateway */
    void *shell;
    struct rp_list node;       /* in gateway->wires */
    struct rp_list probe_node; /* in gateway->probes */
    uint64_t probe_deadline_ms;
};

struct rp_exchange {
    struct rp_list node; /* in gateway->answered or gateway->blocked_answers */
    void *shell;
    struct rp_client *client;   /* whose get or post it is; NULL when answered */
    struct rp_client *receiver; /* whose answering it is */
    struct rp_relay *relay;     /* it waits for another gateway; or came from one */
    struct rp_buf body;         /* of a POST: what came, from `taken` on; then the answer */
    size_t taken;
    size_t parked; /* of the body, in gateway->parked_bytes */
    int status;    /* 0: not answered */
    bool is_open, is_get;
    bool has_body; /* of a POST: all of it came */
    uint8_t sid_len;
    char sid[RP_EIO_SID_BYTES_MAX];
};

/* What goes on with another gateway: one exchange or one wire. The entry is where the connection
 * is, the holder where the client is. */
struct rp_relay {
    struct rp_map_node by_id;    /* in gateway->relays */
    struct rp_list node;         /* in gateway->relay_list */
    struct rp_list timeout_node; /* an entry's: in gateway->relay_timeouts */
    uint64_t peer;               /* the other gateway's incarnation */
    uint64_t id;                 /* as it stands in messages for us */
    struct rp_wire *wire;
    struct rp_exchange *exchange;
    struct rp_list starved_node; /* an entry's wire: in gateway->starved_relays */
    uint64_t deadline_ms, told_ms;
    bool starved; /* not read until the link has credit */
    size_t window_bytes;
    size_t unconfirmed;   /* bytes of messages sent and not confirmed */
    size_t untold;        /* bytes of messages received and not confirmed */
    struct rp_list inbox; /* a holder's: struct rp_relay_message the client may not be given yet */
};

/* ---- requests ---- */

struct rp_request {
    struct rp_list node;        /* in gateway->requests, by num */
    struct rp_list socket_node; /* in socket->requests */
    struct rp_list client_node; /* in client->requests */
    struct rp_map_node by_num;
    struct rp_socket *socket; /* NULL: it is gone, the answer will be dropped */
    struct rp_client *client; /* whose bound it counts for; NULL: it is gone */
    uint64_t num;
    enum rp_op_kind kind;
    bool sent;        /* on some link before */
    bool is_volatile; /* not sent again when the link is lost */
    bool has_ack, has_id;
    bool is_event; /* an app worker handles it, or may be asked */
    uint64_t ack_id;
    uint64_t progress; /* of a join's history: the newest seq that has arrived */
    uint64_t upto; /* of a join: it is done, and its history ends here; 0: not known to be done */
    uint64_t replayed, oldest;
    bool truncated;                /* what of its history has arrived began later than asked for */
    struct rp_bytes room, encoded; /* in data */
    uint8_t data[];
};

/* A session's end that the log refused, to be sent again. */
struct rp_close_retry {
    struct rp_list node; /* in gateway->close_retries */
    uint64_t due_ms, session, conn;
    bool ended;
    enum rp_leave why;
};

enum rp_link_state { RP_LINK_DOWN, RP_LINK_OPENING, RP_LINK_UP };

struct rp_gateway {
    struct rp_gateway_config config;
    uint64_t now_ms;
    struct rp_list clients, closed_clients, left_sockets, paused, flushable;
    struct rp_list pings, pongs, connects, probes; /* each in the order of its deadlines */
    struct rp_list wires, dirty;
    struct rp_list answered;                 /* exchanges for the shell */
    struct rp_list blocked, blocked_answers; /* wires and exchanges of other gateways that wait for
                                                the link's credit … */
    struct rp_list blocked_posts, starved_relays; /* … and ours that do */
    size_t wires_count, exchanges_count;
    struct rp_queue_total queued;
    size_t assembling_bytes;
    size_t parked_bytes; /* of POSTs and relayed messages that may not be heard yet */
    struct rp_map by_conn, by_sid;
    struct rp_fanout fanout;
    uint32_t mark; /* of the newest delivery to several rooms */
    struct rp_nsps nsps;
    bool apps_known; /* the broker has said how many namespaces app workers serve: */
    uint64_t apps_count;
    size_t handshakes_bytes;                       /* kept, of clients and sockets */
    struct rp_buf scratch;                         /* for what is rendered or encoded */
    struct rp_buf names;                           /* for decoded strings of the packet in hand */
    struct rp_buf encoded;                         /* for a packet on its way to a frame */
    struct rp_buf decoded;                         /* for a binary message of a POST */
    struct rp_buf packet_json, packet_attachments; /* for a packet that came as msgpack */

    struct rp_map relays;
    struct rp_list relay_list, relay_timeouts;
    uint64_t next_relay_id;

    enum rp_link_state link_state;
    bool link_close; /* the shell has a socket to close */
    struct rp_link link;
    struct rp_op_reader *reader;     /* for messages */
    struct rp_op_reader *own_reader; /* for requests that are read again */
    struct rp_list close_retries;
    uint64_t incarnation, seen, retry_at_ms;
    char epoch[RP_EPOCH_BYTES_MAX];
    size_t epoch_len; /* 0: not known yet */

    struct rp_list requests;
    struct rp_list *unsent; /* the first request not put on this link; &requests: none */
    struct rp_map by_num;
    uint64_t next_num;
    size_t ended_untold; /* requests that ended since the last heartbeat */
    size_t requests_count, requests_bytes;
    size_t events_count, events_bytes; /* of these, events for app workers */
    bool events_full; /* clients with unanswered events are not read until there is room again */
    size_t connects_count, connects_bytes; /* of these, CONNECTs, which app workers may decide */
    bool connects_full; /* clients without a socket are not read until there is room again */
    bool requests_full; /* no client is read until there is room again */

    bool draining;
    uint64_t drain_until_ms, drain_next_ms;
    char notice[256];
    bool notice_read;
    struct rp_gateway_stats stats;
};

/* ---- client.c ---- */
/* A session that begins with this wire, or, without one, with long-polling. */
struct rp_client *rp_client_new(struct rp_gateway *g, struct rp_wire *wire,
                                struct rp_bytes handshake);
void rp_client_free(struct rp_gateway *g, struct rp_client *c);
struct rp_client *rp_client_by_sid(const struct rp_gateway *g, struct rp_bytes sid);
/* Puts the packet that opens a session. */
void rp_client_put_open(struct rp_gateway *g, struct rp_client *c);
/* Queues a packet for the client. Takes the reference. May close the client. */
void rp_client_put(struct rp_gateway *g, struct rp_client *c, struct rp_blob *packet);
/* Queues one Engine.IO packet. */
void rp_client_put_text(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text);
struct rp_queue *rp_client_queue(struct rp_client *c);
/* Whether there is output it has not taken; of one whose connection is at another gateway also what
 * is on its way there. */
bool rp_client_has_unsent(const struct rp_client *c);
/* How much output one client may have waiting now, at most max. */
size_t rp_client_queue_bound(const struct rp_gateway *g, size_t max);
/* Some of the output was taken. */
void rp_client_took(struct rp_gateway *g, struct rp_client *c);
/* There may be something to do for the client's transport. */
void rp_client_mark_dirty(struct rp_gateway *g, struct rp_client *c);
bool rp_client_is_paused(const struct rp_client *c);
/* The client has answers to wait for, or fewer: whether it may be read may change. */
void rp_client_update_pause(struct rp_gateway *g, struct rp_client *c);
/* One Engine.IO packet of the client, or one binary message. A wrong one closes it. */
void rp_client_text(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text);
void rp_client_binary(struct rp_gateway *g, struct rp_client *c, struct rp_bytes data);
/* Ends the session: a WebSocket is closed with code (0: without a close frame) and reason, a poll
 * that waits is told. The broker is told of the sockets' sessions, unless `why` is UNTOLD. */
void rp_client_close(struct rp_gateway *g, struct rp_client *c, uint16_t code, const char *reason,
                     enum rp_leave why);
void rp_client_bad_packet(struct rp_gateway *g, struct rp_client *c, const char *why);
/* A sid of this gateway, unguessable. */
void rp_client_draw_sid(struct rp_gateway *g, char ret_sid[RP_EIO_SID_BYTES_MAX]);
/* The incarnation of the gateway that made a sid. False: nobody did. */
bool rp_client_sid_holder(struct rp_bytes sid, uint64_t *ret_incarnation);

/* ---- heartbeat.c ---- */
void rp_heartbeat_await_connect(struct rp_gateway *g, struct rp_client *c);
void rp_heartbeat_await_ping(struct rp_gateway *g, struct rp_client *c);
/* The client is read again: its pong, if one is due, has its time from now on. */
void rp_heartbeat_unpaused(struct rp_gateway *g, struct rp_client *c);
void rp_heartbeat_pong(struct rp_gateway *g, struct rp_client *c);
void rp_heartbeat_turn(struct rp_gateway *g);
uint64_t rp_heartbeat_deadline_ms(const struct rp_gateway *g);

/* An answer waits for its place in the queue: it counts as if it were there, and may be too much.
 */
void rp_client_hold(struct rp_gateway *g, struct rp_client *c, struct rp_blob *answer);
void rp_client_let_go(struct rp_gateway *g, struct rp_client *c, struct rp_blob *answer);

/* ---- hoard.c ---- */
/* Closes those with most output waiting if all of them have too much. */
void rp_hoard_turn(struct rp_gateway *g);

/* ---- wire.c ---- */
struct rp_wire *rp_wire_new(struct rp_gateway *g, void *shell, enum rp_wire_role role);
void rp_wire_free(struct rp_gateway *g, struct rp_wire *w);
/* Makes it a probe of the client. */
void rp_wire_probe(struct rp_gateway *g, struct rp_wire *w, struct rp_client *c);
void rp_wire_put(struct rp_gateway *g, struct rp_wire *w, struct rp_blob *frame);
/* Before it is closed: what has not gone yet is not sent, nor a close frame, if that would be in
 * the middle of another one. */
void rp_wire_drop_output(struct rp_gateway *g, struct rp_wire *w);
/* The same for all that are closing: nobody waits for what they have. */
void rp_wire_drop_closing_output(struct rp_gateway *g);
void rp_wire_mark_dirty(struct rp_gateway *g, struct rp_wire *w);
/* The client does not use it any more, or never did: it is closed when its output is written. */
void rp_wire_close(struct rp_gateway *g, struct rp_wire *w, uint16_t code, const char *reason);
/* A message that came through the wire. */
void rp_wire_message(struct rp_gateway *g, struct rp_wire *w, bool is_text, struct rp_bytes data);

/* ---- poll.c ---- */
/* Does what can be done for a long-polling client: hears the rest of its POST, answers its GET. */
void rp_poll_flush(struct rp_gateway *g, struct rp_client *c);
void rp_poll_flush_all(struct rp_gateway *g);
/* Answers the GET even if there is nothing to say. */
void rp_poll_release(struct rp_gateway *g, struct rp_client *c);
/* The client has ended: its exchanges are answered. */
void rp_poll_close(struct rp_gateway *g, struct rp_client *c);
/* An exchange for a client of this gateway. */
void rp_poll_get(struct rp_gateway *g, struct rp_exchange *x, struct rp_client *c);
void rp_poll_post(struct rp_gateway *g, struct rp_exchange *x, struct rp_client *c);
/* The POST's body is there, in x->body. */
void rp_poll_post_body(struct rp_gateway *g, struct rp_exchange *x);
struct rp_exchange *rp_exchange_new(struct rp_gateway *g, void *shell);
void rp_exchange_free(struct rp_gateway *g, struct rp_exchange *x);
/* Notes whose it is, to be found again when the answer cannot be delivered. */
void rp_exchange_keep_sid(struct rp_exchange *x, struct rp_bytes sid);
/* A body counts among those that wait to be heard, or not any more. False: there are too many. */
RP_MUST_USE bool rp_exchange_park(struct rp_gateway *g, struct rp_exchange *x);
void rp_exchange_unpark(struct rp_gateway *g, struct rp_exchange *x);
void rp_exchange_answer(struct rp_gateway *g, struct rp_exchange *x, int status,
                        struct rp_bytes body);
void rp_exchange_answer_error(struct rp_gateway *g, struct rp_exchange *x, enum rp_eio_error error);

/* ---- relay.c ---- */
/* Whether a sid is of another gateway that can be asked now. */
bool rp_relay_may(const struct rp_gateway *g, struct rp_bytes sid);
/* Passes an exchange on to the session's holder. False: there is no such holder. */
bool rp_relay_exchange(struct rp_gateway *g, struct rp_exchange *x, struct rp_bytes sid);
bool rp_relay_wire(struct rp_gateway *g, struct rp_wire *w, struct rp_bytes sid);
/* A message for the holder. */
void rp_relay_message(struct rp_gateway *g, struct rp_relay *r, bool is_text, struct rp_bytes data);
/* Whether the holder may be sent more. */
bool rp_relay_wants_read(const struct rp_relay *r);
/* An entry's wire has written some of its output. */
void rp_relay_sent(struct rp_gateway *g, struct rp_relay *r);
/* A holder's wire has output, or its client may be read again. */
void rp_relay_flush(struct rp_gateway *g, struct rp_wire *w);
/* A holder's exchange is answered. False: the link has no credit now. */
bool rp_relay_answer(struct rp_gateway *g, struct rp_exchange *x);
/* The end of this side; tell: the other one is told. */
void rp_relay_end(struct rp_gateway *g, struct rp_relay *r, bool tell, uint16_t code,
                  struct rp_bytes reason);
void rp_relay_got(struct rp_gateway *g, const struct rp_op_relayed *op);
/* An answer that came from the holder did not reach the client: the holder is told. */
void rp_relay_undelivered(struct rp_gateway *g, const struct rp_exchange *x);
/* The end of draining: whatever belongs to clients of other gateways ends. */
void rp_relay_drain(struct rp_gateway *g);
/* The link of another gateway is lost, or (0) our own. */
void rp_relay_lost(struct rp_gateway *g, uint64_t incarnation);
void rp_relay_turn(struct rp_gateway *g);
uint64_t rp_relay_deadline_ms(const struct rp_gateway *g);

/* ---- packet.c ---- */
/* A Socket.IO packet as text, without Engine.IO's type; a binary message. */
void rp_packet_text(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text);
void rp_packet_binary(struct rp_gateway *g, struct rp_client *c, struct rp_bytes data);
void rp_assembly_drop(struct rp_gateway *g, struct rp_client *c);

/* ---- socket.c ---- */
struct rp_socket *rp_socket_find(const struct rp_gateway *g, uint64_t conn);
struct rp_socket *rp_socket_of(const struct rp_client *c, struct rp_bytes nsp);
/* CONNECT of a client: begins a session, or resumes one. */
void rp_socket_connect(struct rp_gateway *g, struct rp_client *c,
                       const struct rp_sio_packet *packet);
/* CONNECTED: the session is there. */
void rp_socket_connected(struct rp_gateway *g, struct rp_socket *s,
                         const struct rp_op_connected *op);
/* Whoever asked to connect is told no; the client stays. data: a JSON value, or empty. */
void rp_socket_refused(struct rp_gateway *g, struct rp_socket *s, struct rp_bytes message,
                       struct rp_bytes data);
/* The namespace is left. */
void rp_socket_leave(struct rp_gateway *g, struct rp_socket *s, enum rp_leave why);
/* In Socket.IO's words, and back (an unknown one: FORCED). */
const char *rp_leave_text(enum rp_leave why);
enum rp_leave rp_leave_of(struct rp_bytes text);
void rp_socket_free(struct rp_socket *s);
/* A live socket falls back to catching up from the log. */
void rp_socket_lag(struct rp_gateway *g, struct rp_socket *s);
/* Queues an ack, or holds it until the socket has everything up to seq. */
void rp_socket_answer(struct rp_gateway *g, struct rp_socket *s, struct rp_blob *frame,
                      uint64_t seq);
/* Lets go the answers up to the socket's position. */
void rp_socket_release_held(struct rp_gateway *g, struct rp_socket *s);
/* Acknowledges the page if the client's output has drained. */
void rp_socket_try_page_done(struct rp_gateway *g, struct rp_socket *s);

static inline bool rp_socket_is_connected(const struct rp_socket *s) {
    return s->state == RP_SOCKET_LIVE || s->state == RP_SOCKET_CATCHING;
}

/* ---- encode.c: whole packets for clients. All give the blob. Events and acks: NULL (and counted)
 * if what the broker sent cannot be one, malformed attachments or, for msgpack, no JSON. ---- */
struct rp_encode_event {
    struct rp_bytes nsp, name;
    struct rp_bytes args; /* a JSON array */
    struct rp_bytes attachments;
    uint64_t pos, seq; /* of the offset */
    bool wants_ack;    /* then the ack id is seq, and there is no offset */
};
struct rp_blob *rp_encode_event(struct rp_gateway *g, const struct rp_encode_event *e);
/* json: the arguments without brackets. */
struct rp_blob *rp_encode_ack(struct rp_gateway *g, struct rp_bytes nsp, uint64_t id,
                              struct rp_bytes json, struct rp_bytes attachments);
struct rp_blob *rp_encode_disconnect(struct rp_gateway *g, struct rp_bytes nsp);
struct rp_blob *rp_encode_connect(struct rp_gateway *g, struct rp_bytes nsp, struct rp_bytes sid,
                                  struct rp_bytes pid);
/* data: left out if it is no JSON value. */
struct rp_blob *rp_encode_connect_error(struct rp_gateway *g, struct rp_bytes nsp,
                                        struct rp_bytes message, struct rp_bytes data);

/* ---- roomevent.c ---- */
/* An event of a client: one of the room events, or one for an app worker. */
void rp_roomevent(struct rp_gateway *g, struct rp_socket *s, const struct rp_sio_packet *packet,
                  struct rp_bytes attachments);
/* Renders and gives the answers of the broker. */
void rp_roomevent_done(struct rp_gateway *g, struct rp_request *request,
                       const struct rp_op_done *op);
void rp_roomevent_failed(struct rp_gateway *g, struct rp_request *request, struct rp_bytes code,
                         struct rp_bytes message);
void rp_roomevent_result(struct rp_gateway *g, struct rp_request *request, struct rp_bytes json);

/* ---- request.c ---- */
struct rp_request_options {
    struct rp_socket *socket; /* may be NULL */
    struct rp_client
        *client; /* that of the socket, or, without one, whose request it is; or NULL */
    bool is_volatile, has_ack, has_id;
    uint64_t ack_id;
    struct rp_bytes room;
};
/* Gives the operation the next number and keeps it until it is answered. */
void rp_request_add(struct rp_gateway *g, struct rp_op *op,
                    const struct rp_request_options *options);
struct rp_request *rp_request_find(const struct rp_gateway *g, uint64_t num);
void rp_request_free(struct rp_gateway *g, struct rp_request *request);
/* The socket is gone: nobody waits for its answers; they still count for the client. */
void rp_request_forget_socket(struct rp_socket *s);
/* The client is gone, too. */
void rp_request_forget_client(struct rp_client *c);
/* Puts on the link what has not been put there, as far as the credit goes. */
void rp_request_send(struct rp_gateway *g);
/* The link is new: puts what was sent on an older one there again, in order and whatever the
 * credit. */
void rp_request_resend(struct rp_gateway *g);
/* The link is lost: volatile publishes fail, the rest will be sent again. */
void rp_request_link_lost(struct rp_gateway *g);
/* Notes whether all clients together have too many unanswered requests; if so none is read for a
 * while. */
void rp_request_update_full(struct rp_gateway *g);
/* Whether one more event for app workers may be kept. */
bool rp_request_takes_events(const struct rp_gateway *g);
uint64_t rp_request_lowest(const struct rp_gateway *g);

/* ---- app.c ---- */
/* Keeps what the client's request was, if somebody may want it. */
void rp_app_keep_handshake(struct rp_gateway *g, struct rp_client *c, struct rp_bytes request_part);
/* The socket gets its part of it, with the auth of its CONNECT. False: there is no room for that
 * now.
 */
bool rp_app_share_handshake(struct rp_gateway *g, struct rp_socket *s, struct rp_bytes payload);
void rp_app_drop_handshake(struct rp_gateway *g, struct rp_client *c);
void rp_app_drop_socket_handshake(struct rp_gateway *g, struct rp_socket *s);
/* A socket's handshake as JSON, in g->names until they are used again; empty: it has none. */
struct rp_bytes rp_app_handshake(struct rp_gateway *g, const struct rp_socket *s);
void rp_app_got_apps(struct rp_gateway *g, const struct rp_op_apps *op);
void rp_app_got_answer(struct rp_gateway *g, const struct rp_op_answer *op);
void rp_app_got_kicked(struct rp_gateway *g, const struct rp_op_kicked *op);
/* ACK of a client: the arguments are a JSON array. */
void rp_app_client_ack(struct rp_gateway *g, struct rp_socket *s, uint64_t id, struct rp_bytes args,
                       struct rp_bytes attachments);

/* ---- delivery.c ---- */
void rp_delivery(struct rp_gateway *g, const struct rp_op_deliver *op);

/* ---- broker.c ---- */
/* Sends a session's end to the broker; client: who asked for it, or NULL. */
void rp_broker_close_session(struct rp_gateway *g, struct rp_client *client, uint64_t session,
                             uint64_t conn, bool ended, enum rp_leave why);
/* Ends that the log refused, and that would be sent again, are not. */
void rp_broker_forget_closes(struct rp_gateway *g);
void rp_broker_turn(struct rp_gateway *g);
uint64_t rp_broker_deadline_ms(const struct rp_gateway *g);
/* Forgets the link; the next one comes at retry_at_ms. */
void rp_broker_link_down(struct rp_gateway *g, const char *why);

/* The earlier of two deadlines. */
static inline uint64_t rp_earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}
static inline struct rp_bytes rp_gateway_tag(const struct rp_gateway *g) {
    return rp_bytes(g->epoch, g->epoch_len > 0 ? RP_OFFSET_TAG_LEN : 0);
}
/* n unguessable characters of [A-Za-z0-9_-]. */
void rp_gateway_random_id(struct rp_gateway *g, char *ret_id, size_t n);

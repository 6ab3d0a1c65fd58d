/* gateway/core.h — what the files of the gateway's core share. Not for anybody else.
 *
 *     gateway.c    creation, the turn, timers, draining
 *     client.c     one client's life: packets in, frames out, heartbeat
 *     roomevent.c  the room events: arguments → requests, answers → acks
 *     request.c    numbered requests, kept until they are answered
 *     broker.c     the link: HELLO, resume, what the broker sends
 *     fanout.c     rooms → local members
 *
 * `seen` is the position in the log up to which everything the broker has for this gateway has
 * arrived. A LIVE client has everything up to `seen`; a CATCHING one everything up to its own pos,
 * and gets nothing but what the broker replays to it. */
#pragma once

#include "common/limits.h"
#include "common/list.h"
#include "gateway/fanout.h"
#include "gateway/gateway.h"
#include "proto/eio.h"
#include "proto/link.h"
#include "proto/offset.h"
#include "proto/sio.h"

enum { RP_ID_CHARS = 20, RP_PID_HASH_BYTES = 32 };

enum rp_client_state {
    RP_CLIENT_OPEN,       /* Engine.IO is open, no namespace is connected */
    RP_CLIENT_CONNECTING, /* CONNECT is with the broker */
    RP_CLIENT_LIVE,
    RP_CLIENT_CATCHING,
    RP_CLIENT_CLOSING, /* nothing is heard any more; the rest of the output is written */
};

/* An answer that must not come before the events up to seq. */
struct rp_held_answer {
    struct rp_list node;
    uint64_t seq;
    struct rp_blob *frame;
};

struct rp_client {
    struct rp_list node;         /* in gateway->clients */
    struct rp_list dirty_node;   /* in gateway->dirty */
    struct rp_list beat_node;    /* in gateway->pings or gateway->pongs */
    struct rp_list connect_node; /* in gateway->connects */
    struct rp_list paused_node;  /* in gateway->paused */
    struct rp_map_node by_conn;  /* while LIVE or CATCHING */
    void *shell;
    uint64_t session, conn;
    uint64_t pos;
    uint64_t drained_ms, page_since_ms; /* when output was taken last; when the page came */
    uint64_t page; /* the page to be acknowledged when the output has drained; 0: none */
    uint64_t beat_deadline_ms, connect_deadline_ms;
    struct rp_fanout_rooms rooms;
    struct rp_blob **out; /* a queue of frames: out_count from out_from on */
    size_t out_from, out_count, out_capacity;
    size_t out_sent;         /* bytes of the first frame that were written */
    size_t out_bytes;        /* not yet written */
    struct rp_list requests; /* struct rp_request.client_node */
    size_t requests_count, requests_bytes;
    struct rp_list held; /* struct rp_held_answer */
    uint8_t state;       /* enum rp_client_state */
    bool progress;       /* something was written since the last look at the heartbeat */
    bool awaits_pong;    /* a ping was sent: it is in gateway->pongs */
    char pid[RP_ID_CHARS];
};

struct rp_request {
    struct rp_list node;        /* in gateway->requests, by num */
    struct rp_list client_node; /* in client->requests */
    struct rp_map_node by_num;
    struct rp_client *client; /* NULL: it is gone, the answer will be dropped */
    uint64_t num;
    enum rp_op_kind kind;
    bool sent;        /* on some link before */
    bool is_volatile; /* not sent again when the link is lost */
    bool has_ack, has_id;
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
};

enum rp_link_state { RP_LINK_DOWN, RP_LINK_OPENING, RP_LINK_UP };

struct rp_gateway {
    struct rp_gateway_config config;
    uint64_t now_ms;
    struct rp_list clients, dirty, paused;
    struct rp_list pings, pongs, connects; /* each in the order of its deadlines */
    size_t queued_frames;                  /* of all clients */
    struct rp_map by_conn;
    struct rp_fanout fanout;
    struct rp_buf scratch; /* for what is rendered or encoded */
    struct rp_buf names;   /* for decoded strings of the packet in hand */

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
    size_t requests_count, requests_bytes;
    bool requests_full; /* no client is read until there is room again */

    bool draining;
    uint64_t drain_until_ms, drain_next_ms;
    char notice[256];
    bool notice_read;
    struct rp_gateway_stats stats;
};

/* ---- client.c ---- */
/* Queues a frame for the client. Takes the reference. */
void rp_client_put(struct rp_gateway *g, struct rp_client *c, struct rp_blob *frame);
/* What a client's unsent output takes. */
size_t rp_client_queue_cost(const struct rp_client *c);
/* How much of it one client may have now, at most max. */
size_t rp_client_queue_bound(const struct rp_gateway *g, size_t max);
/* Queues one Engine.IO packet. */
void rp_client_put_text(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text);
void rp_client_mark_dirty(struct rp_gateway *g, struct rp_client *c);
/* The client has answers again to wait for, or fewer: whether it may be read may change. */
void rp_client_update_pause(struct rp_gateway *g, struct rp_client *c);
/* Queues an ack, or holds it until the client has everything up to seq. */
void rp_client_answer(struct rp_gateway *g, struct rp_client *c, struct rp_blob *frame,
                      uint64_t seq);
/* Lets go the answers up to the client's position. */
void rp_client_release_held(struct rp_gateway *g, struct rp_client *c);
/* Closes the transport; tell_broker: the session is told to be without connection. */
void rp_client_close(struct rp_gateway *g, struct rp_client *c, uint16_t code, const char *reason,
                     bool tell_broker);
/* A connected client falls back to catching up from the log. */
void rp_client_lag(struct rp_gateway *g, struct rp_client *c);
/* CONNECTED and refused CONNECTs. */
void rp_client_connected(struct rp_gateway *g, struct rp_client *c,
                         const struct rp_op_connected *op);
void rp_client_page_done(struct rp_gateway *g, struct rp_client *c);
void rp_client_heartbeats(struct rp_gateway *g);
struct rp_client *rp_client_find(const struct rp_gateway *g, uint64_t conn);

/* ---- roomevent.c ---- */
void rp_roomevent(struct rp_gateway *g, struct rp_client *c, const struct rp_sio_packet *packet);
/* Renders and gives the answers of the broker. */
void rp_roomevent_done(struct rp_gateway *g, struct rp_request *request,
                       const struct rp_op_done *op);
void rp_roomevent_failed(struct rp_gateway *g, struct rp_request *request, struct rp_bytes code,
                         struct rp_bytes message);
void rp_roomevent_result(struct rp_gateway *g, struct rp_request *request, struct rp_bytes json);

/* ---- request.c ---- */
struct rp_request_options {
    struct rp_client *client; /* may be NULL */
    bool is_volatile, has_ack, has_id;
    uint64_t ack_id;
    struct rp_bytes room;
};
/* Gives the operation the next number and keeps it until it is answered. */
void rp_request_add(struct rp_gateway *g, struct rp_op *op,
                    const struct rp_request_options *options);
struct rp_request *rp_request_find(const struct rp_gateway *g, uint64_t num);
void rp_request_free(struct rp_gateway *g, struct rp_request *request);
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
uint64_t rp_request_lowest(const struct rp_gateway *g);

/* ---- broker.c ---- */
/* Sends a session's end to the broker. */
void rp_broker_close_session(struct rp_gateway *g, uint64_t session, uint64_t conn, bool ended);
void rp_broker_turn(struct rp_gateway *g);
uint64_t rp_broker_deadline_ms(const struct rp_gateway *g);
/* Forgets the link; the next one comes at retry_at_ms. */
void rp_broker_link_down(struct rp_gateway *g, const char *why);

static inline struct rp_bytes rp_gateway_tag(const struct rp_gateway *g) {
    return rp_bytes(g->epoch, g->epoch_len > 0 ? RP_OFFSET_TAG_LEN : 0);
}
static inline bool rp_client_is_connected(const struct rp_client *c) {
    return c->state == RP_CLIENT_LIVE || c->state == RP_CLIENT_CATCHING;
}
/* n unguessable characters of [A-Za-z0-9_-]. */
void rp_gateway_random_id(struct rp_gateway *g, char *ret_id, size_t n);

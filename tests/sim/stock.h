/* tests/sim/stock.h — a model of the stock Socket.IO client, as far as recovery depends on it; its
 * transports are in stock_engine.c.
 *
 * It behaves like socket.io-client 4.8: a manager puts binary packets together and gives packets to
 * its sockets, one for each namespace. A socket takes any trailing string argument for its offset
 * while it holds a pid, keeps that offset under a new pid, buffers events that arrive before
 * CONNECT and keeps that buffer when the connection is cut, and forgets its pending acks then. What
 * its handlers saw is recorded for the oracle. */
#pragma once

#include "common/buf.h"

/* The last two are app namespaces: workers serve them. */
enum { NAMESPACES = 4, FIRST_APP = 2, DURABLE_APP = 3 };

/* One event a handler saw. */
struct seen_event {
    uint64_t payload; /* the number every published event of the simulation carries; unique */
    uint64_t seq;     /* from the offset */
    bool is_volatile, is_history;
    bool wants_ack;      /* it had an ack id, which is its seq, and no offset */
    unsigned connection; /* which one it came on */
};

/* When something was, as the oracle counts: how much there was of the log, and of what it lost. */
struct moment {
    unsigned era;
    size_t logged, borders; /* the first so many */
    uint64_t born_head;     /* the log's end when the broker of the time started */
    uint64_t first;         /* where the log begins, as far as the broker knew */
};

/* One CONNECT of a socket, from when it was sent. */
struct connection {
    uint64_t since_ms;
    struct moment at;
    uint64_t pos; /* of the offset it said; 0: none */
    char tag[8];  /* of that offset: which log it is of */
};

/* What became of a CONNECT with a pid. */
struct comeback {
    unsigned connection;
    bool recovered;
    size_t old_life, new_life; /* the same, if it was recovered */
};

/* What happened under one pid. */
struct life {
    char sid[32];
    unsigned first_connection; /* the one that began it */
    bool left;                 /* for good, by the client; the log may yet refuse to hear of it */
    struct seen_event *events;
    size_t events_count, events_capacity;
};

enum ask_kind {
    ASK_PUBLISH,
    ASK_PUBLISH_ID,
    ASK_JOIN,
    ASK_JOIN_SINCE,
    ASK_LEAVE,
    ASK_HISTORY,
    ASK_PRESENCE,
    ASK_EVENT, /* of an app namespace: its worker answers */
};

/* An emit with an ack callback. */
struct ask {
    uint64_t id;
    enum ask_kind kind;
    uint64_t payload; /* PUBLISH, EVENT */
    unsigned room;
    uint64_t since, before, limit; /* before: UINT64_MAX, no such option */
    bool has_since, is_volatile;
    struct moment asked;
};

/* An ack that said no. */
struct refused {
    struct ask ask;
    char code[24];
    size_t life;
};

/* An ack that said ok; of EVENT any. */
struct answered {
    struct ask ask;
    struct moment told;
    uint64_t seq, replayed; /* EVENT: seq is the number of the handling that answered, or 0 */
    char code[24];          /* EVENT: why not */
    bool truncated, more, duplicate;
    size_t life;          /* index of the life it was given in */
    size_t events_before; /* how many events that life had seen when the ack came */
    uint64_t *history;    /* JOIN_SINCE: the seqs replayed for it; HISTORY: those in it */
    size_t history_count;
    char (*sids)[32]; /* PRESENCE */
    size_t sids_count;
};

/* An event that came before CONNECT. */
struct buffered_event {
    uint64_t id; /* of the ack it wants */
    unsigned connection;
    struct rp_buf payload, attachments;
};

/* An event of the server that its handler is to answer. */
struct wanted {
    uint64_t seq, payload;
    uint64_t due_ms;
    unsigned times;
};

/* A socket: the client in one namespace. */
struct stock {
    unsigned nsp;
    bool subscribed; /* it wants to be connected, and hears packets */
    bool connected;
    bool unwelcome; /* it asks to be refused; app workers do that */
    char pid[64], offset[96], sid[32];
    struct connection *connections;
    size_t connections_count, connections_capacity;
    struct buffered_event *receive_buffer;
    size_t buffered, buffer_capacity;
    struct ask asks[64];
    size_t asks_count;
    uint64_t next_ask;
    struct life *lives;
    size_t lives_count, lives_capacity;
    struct comeback *comebacks;
    size_t comebacks_count, comebacks_capacity;
    struct answered *answers;
    size_t answers_count, answers_capacity;
    struct refused *refusals;
    size_t refusals_count, refusals_capacity;
    uint64_t *history; /* of the join with since that is under way */
    size_t history_count, history_capacity;
    size_t answers_noted; /* of these the oracle knows when they came */
    struct wanted *wanted;
    size_t wanted_count, wanted_capacity;
    uint64_t retry_at_ms; /* when it connects again by itself: it was refused or disconnected */
    uint64_t recovered, not_recovered, binary_events, rejected, kicked, worker_lost, unavailable;
    uint64_t farewells; /* how often it left for good, and came back as somebody new */
};

struct stock_manager {
    struct stock sockets[NAMESPACES];
    bool binary;                     /* some events have attachments */
    struct rp_buf text, attachments; /* a binary packet that lacks `missing` attachments */
    size_t missing;
    const char *problem; /* what a stock client should never see; NULL: nothing */
    /* told of everything that one of its sockets hears; NULL: nobody wants to know */
    void (*trace)(const void *ctx, unsigned nsp, const char *what, uint64_t number);
    const void *trace_ctx;
};

/* ---- what everybody knows of an event from its number alone ---- */

static inline unsigned stock_nsp_of(uint64_t payload) {
    return (unsigned) (payload % NAMESPACES);
}
static inline bool stock_is_app(unsigned nsp) {
    return nsp >= FIRST_APP;
}
const char *stock_nsp_name(unsigned nsp);
/* What a packet of it has before its id: "", or its name and a comma. */
const char *stock_nsp_prefix(unsigned nsp);
/* Which one has this name; NAMESPACES: none. */
unsigned stock_nsp_named(struct rp_bytes name);
/* How many attachments it has in a world where some have. */
size_t stock_attachments_of(uint64_t payload);
/* Appends its attachment `index`. */
void stock_put_attachment(struct rp_buf *out, uint64_t payload, size_t index);
/* Whether these are its attachments, packed, and no others. */
bool stock_attachments_right(const struct stock_manager *m, uint64_t payload,
                             struct rp_bytes attachments);

/* ---- the manager ---- */

void stock_init(struct stock_manager *m, bool binary);
void stock_done(struct stock_manager *m);
/* A Socket.IO packet as text, without Engine.IO's type; a binary message. */
void stock_text(struct stock_manager *m, struct rp_bytes text);
void stock_binary(struct stock_manager *m, struct rp_bytes data);
/* The transport is gone. */
void stock_closed(struct stock_manager *m);

/* ---- a socket ---- */

/* The CONNECT packet to send, with Engine.IO's type. */
void stock_connect_packet(struct stock *s, uint64_t now_ms, struct rp_buf *out);
/* It has said DISCONNECT and hears nothing more. */
void stock_leave(struct stock *s);
/* Notes an emit with ack, returns its id. False: too many are pending. */
bool stock_ask(struct stock *s, struct ask ask, uint64_t *ret_id);
bool stock_is_asking(const struct stock *s, enum ask_kind kind);
bool stock_is_pending(const struct stock *s, uint64_t id);

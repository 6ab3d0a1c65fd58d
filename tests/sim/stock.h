/* tests/sim/stock.h — a model of the stock Socket.IO client, as far as recovery depends on it.
 *
 * It behaves like socket.io-client 4.8: it takes any trailing string argument for its offset while
 * it holds a pid, keeps that offset under a new pid, buffers events that arrive before CONNECT and
 * keeps that buffer when the connection is cut, and forgets its pending acks then. What its
 * handlers saw is recorded for the oracle. */
#pragma once

#include "common/buf.h"

/* One event a handler saw. */
struct seen_event {
    uint64_t payload; /* the number every published event of the simulation carries; unique */
    uint64_t seq;     /* from the offset */
    bool is_volatile, is_history;
};

/* What happened under one pid. */
struct life {
    char sid[32];
    struct seen_event *events;
    size_t events_count, events_capacity;
};

enum ask_kind { ASK_PUBLISH, ASK_PUBLISH_ID, ASK_JOIN, ASK_JOIN_SINCE, ASK_LEAVE, ASK_OTHER };

/* An emit with an ack callback. */
struct ask {
    uint64_t id;
    enum ask_kind kind;
    uint64_t payload; /* PUBLISH */
    unsigned room;
    uint64_t since, limit;
    bool is_volatile;
};

/* An ack that said ok. */
struct answered {
    struct ask ask;
    uint64_t seq, replayed;
    bool truncated;
    size_t life;          /* index of the life it was given in */
    size_t events_before; /* how many events that life had seen when the ack came */
    uint64_t *history;    /* JOIN_SINCE: the seqs replayed for it */
    size_t history_count;
};

struct stock {
    char pid[64], offset[96], sid[32];
    bool connected;
    char **receive_buffer;
    size_t buffered, buffer_capacity;
    struct ask asks[64];
    size_t asks_count;
    uint64_t next_ask;
    struct life *lives;
    size_t lives_count, lives_capacity;
    struct answered *answers;
    size_t answers_count, answers_capacity;
    uint64_t *history; /* of the join with since that is under way */
    size_t history_count, history_capacity;
    uint64_t recovered, not_recovered, refused;
    const char *problem; /* what a stock client should never see; NULL: nothing */
};

void stock_done(struct stock *s);
/* The transport is open: the CONNECT packet to send. */
void stock_connect_packet(const struct stock *s, struct rp_buf *out);
/* A packet arrived. Appends an answer to send (a pong), if any. */
void stock_packet(struct stock *s, struct rp_bytes text, struct rp_buf *out);
/* The transport is gone. */
void stock_closed(struct stock *s);
/* Notes an emit with ack, returns its id. False: too many are pending. */
bool stock_ask(struct stock *s, struct ask ask, uint64_t *ret_id);
bool stock_is_asking(const struct stock *s, enum ask_kind kind);

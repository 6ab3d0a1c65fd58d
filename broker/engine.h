/* broker/engine.h — what the core needs from a log. engine_sqlite is the embedded default,
 * engine_memory serves the simulation.
 *
 * Everything but open, load and close is asynchronous: the call queues, the outcome comes out of
 * poll() on the loop's thread. The engine assigns seqs: strictly increasing, never reused, also
 * over restarts and when retention empties the tables; gaps are legal. Outcomes of appends come in
 * the order of the appends. */
#pragma once

#include "broker/record.h"
#include "common/error.h"

#include <stdbool.h>

enum { RP_EPOCH_LEN = 8, RP_PID_HASH_LEN = 32, RP_ENGINE_WHY_SIZE = 192 };

/* ---- loading, once, after open ---- */

/* A session as the projection has it. Views are borrowed for the call. */
struct rp_engine_session {
    uint64_t session;
    uint64_t conn;
    uint64_t gateway;      /* incarnation where it is connected; 0: not connected */
    uint64_t closed_ts_ms; /* when it was closed; 0 while connected */
    uint64_t floor_seq;    /* positions before this cannot be served exactly any more */
    struct rp_bytes nsp, sid, pid_hash;
    bool app;             /* opened with RP_RECORD_APP */
    struct rp_bytes data; /* of the newest DATA; empty: none */
};

/* One membership interval; to_seq is 0 while it is open. */
struct rp_engine_member {
    uint64_t session;
    uint64_t from_seq, to_seq;
    uint64_t ts_ms; /* of the join */
    struct rp_bytes room;
};

/* An event that a session has not acked. */
struct rp_engine_unacked {
    uint64_t session, seq;
    uint64_t origin, num; /* the event's */
};

/* A namespace, or a pattern of them, that app workers serve: the flags of its newest SERVE. */
struct rp_engine_namespace {
    struct rp_bytes nsp;
    uint32_t flags;
};

/* Where load() puts what it finds: namespaces and sessions first, then their members, then what
 * they have not acked (in seq order for each session), then rooms that lost events of the tail,
 * then the tail in seq order. */
struct rp_engine_loader {
    void *ctx;
    void (*session)(void *ctx, const struct rp_engine_session *session);
    void (*member)(void *ctx, const struct rp_engine_member *member);
    void (*unacked)(void *ctx, const struct rp_engine_unacked *unacked);
    void (*nsp)(void *ctx, const struct rp_engine_namespace *nsp);
    /* a room whose border (below) lies in the tail: its newest lost event is `seq` */
    void (*border)(void *ctx, struct rp_bytes nsp, struct rp_bytes room, uint64_t seq);
    void (*record)(void *ctx, struct rp_record *record); /* borrowed; take a reference to keep it */
};

/* ---- reading events of rooms ---- */

/* Events of one room (one of their rooms, if they have several) with after < seq <= upto. A record
 * that lies in several spans comes once. */
struct rp_engine_span {
    struct rp_bytes nsp, room;
    uint64_t after, upto;
};

struct rp_engine_read {
    uint64_t id; /* the caller's; comes back in the page */
    const struct rp_engine_span
        *spans; /* borrowed for the call; a room may appear more than once, disjointly */
    size_t spans_count;
    size_t events_max;
    size_t bytes_max; /* of records; at least one event is read all the same */
    bool newest_first;
};

struct rp_engine_page {
    uint64_t id;
    enum rp_err err; /* RP_OK, or the read failed (RP_E_IO, RP_E_CORRUPT) and the rest is empty */
    struct rp_record **records; /* in seq order, descending if newest_first */
    size_t records_count;
    bool more;       /* a maximum was reached: continue after (before) the last record */
    bool truncated;  /* retention removed an event that may have lain in a span, and not only before
                        what a page that reads backwards has come to */
    uint64_t border; /* the newest event that a room of the spans has lost to it; 0: none has */
};

void rp_engine_page_free(
    struct rp_engine_page *page); /* drops the records' references too; NULL is fine */

/* ---- outcomes ---- */

enum rp_engine_outcome_kind {
    RP_ENGINE_COMMITTED, /* record is durable and has its seq */
    RP_ENGINE_DUPLICATE, /* an event with this nsp and id is in the log already, as seq; nothing was
                            written */
    RP_ENGINE_REFUSED,   /* nothing was written; err says why (RP_E_NO_SPACE: the disk, or what the
                            log may take of it, is full) */
    RP_ENGINE_PAGE,      /* a read's result */
    RP_ENGINE_BORDER,    /* retention: a room has lost its events up to a seq */
    RP_ENGINE_TRIMMED,   /* a round of retention is over: everything up to seq has been removed */
    RP_ENGINE_FATAL,     /* the log cannot be written any more: stop the process; appends without
                            outcome are undecided */
};

/* The newest event that a room has lost to retention. What is at or before it is not read any more,
 * though other rooms may still have some of it. */
struct rp_engine_border {
    uint64_t seq;
    struct rp_bytes nsp, room; /* in data */
    uint8_t data[];
};

/* Copies the names; the caller frees it with free(). */
struct rp_engine_border *rp_engine_border_new(struct rp_bytes nsp, struct rp_bytes room,
                                              uint64_t seq);

struct rp_engine_outcome {
    enum rp_engine_outcome_kind kind;
    enum rp_err err;
    uint64_t seq;
    struct rp_record
        *record; /* COMMITTED, DUPLICATE, REFUSED: the reference given to append comes back */
    struct rp_engine_page *page;     /* PAGE: the caller frees */
    struct rp_engine_border *border; /* BORDER: the caller frees it */
};

/* ---- the engine ---- */

struct rp_engine;

struct rp_engine_ops {
    /* Visits all sessions, members, and the records with seq > after. Before the first append. */
    enum rp_err (*load)(struct rp_engine *e, uint64_t after, const struct rp_engine_loader *loader);
    /* Takes the caller's reference to each of n >= 1 records, which are committed all or none.
     * RP_E_FULL: nothing taken; try again after a poll. */
    enum rp_err (*append)(struct rp_engine *e, struct rp_record **records, size_t n);
    /* At most max outcomes that are ready; never blocks. */
    size_t (*poll)(struct rp_engine *e, struct rp_engine_outcome *ret_outcomes, size_t max);
    /* RP_E_FULL: too many reads under way. */
    enum rp_err (*read)(struct rp_engine *e, const struct rp_engine_read *read);
    /* The page of this id will not come, or is dropped. */
    void (*cancel)(struct rp_engine *e, uint64_t id);
    /* A round of retention: what the rules the engine was opened with do not keep is removed, but
     * nothing with seq > upto. BORDERs, and at last TRIMMED with the end of what has gone from the
     * log's beginning, follow. Not while another round is under way: RP_E_FULL. */
    enum rp_err (*trim)(struct rp_engine *e, uint64_t upto, uint64_t wall_ms);
    /* A new epoch, synchronously: all sessions, members and unacked events are deleted (namespaces
     * stay: they say how the service is built), the next seq is above `above`. Only while no append
     * is undecided. epoch has RP_EPOCH_LEN characters. */
    enum rp_err (*new_epoch)(struct rp_engine *e, const char *epoch, uint64_t above);
    /* Commits what was appended, stops threads, frees e. Outcomes not polled are dropped. */
    void (*close)(struct rp_engine *e);
};

/* Every engine embeds this first. */
struct rp_engine {
    const struct rp_engine_ops *ops;
    char epoch[RP_EPOCH_LEN + 1];
    uint64_t first_seq;  /* the oldest seq that may still be there; first_seq - 1 is trimmed. Starts
                            at 1. */
    uint64_t border_max; /* at open, no room's border is above this */
    uint64_t last_seq; /* the newest committed at open; 0: empty. The core keeps its own count after
                          that. */
    char why[RP_ENGINE_WHY_SIZE]; /* after FATAL: what failed, for the operator */
};

/* broker/memory_store.h — the inside of the log in memory: what engine_memory.c keeps in it and
 * reads from it. Everything is an array that is walked: it serves simulations, which are small, and
 * is there to be seen through. */
#pragma once

#include "broker/engine_memory.h"

struct rp_memory_session {
    bool ended;
    uint64_t id, conn, gateway, closed_ts_ms, floor_seq;
    struct rp_record *open; /* has its nsp, sid, pid_hash */
    struct rp_record *data; /* newest DATA; NULL: none */
};

struct rp_memory_member {
    uint64_t session, from_seq, to_seq;
    struct rp_record *join; /* the record by which it joined; has the time and the room's name */
    struct rp_bytes room;
};

/* A room that lost events to retention. */
struct rp_memory_trimmed {
    struct rp_record *last; /* the newest it lost; has the namespace and the name */
    struct rp_bytes room;
};

struct rp_memory_store {
    char epoch[RP_EPOCH_LEN + 1];
    uint64_t next_seq, first_seq;
    struct rp_record **log;
    size_t log_count, log_capacity;
    struct rp_memory_session *sessions;
    size_t sessions_count, sessions_capacity;
    struct rp_memory_member *members;
    size_t members_count, members_capacity;
    struct rp_engine_unacked *unacked; /* by seq */
    size_t unacked_count, unacked_capacity;
    struct rp_record **namespaces; /* the newest SERVE of each, by seq */
    size_t namespaces_count, namespaces_capacity;
    struct rp_memory_trimmed *trimmed;
    size_t trimmed_count, trimmed_capacity;
};

/* What a committed r means for sessions, members, unacked and namespaces: broker/record.h. */
void rp_memory_store_project(struct rp_memory_store *store, struct rp_record *r);
/* Forgets sessions and what belongs to them, but not the namespaces. */
void rp_memory_store_forget_sessions(struct rp_memory_store *store);

/* Whether the room is one of those that an event is for. */
bool rp_memory_is_target(const struct rp_record *event, struct rp_bytes room);

/* ---- memory_retention.c ---- */

/* Moves borders to what is kept of the events up to a seq, and tells each that a rule has moved,
 * which the callback takes. */
void rp_memory_store_retain(struct rp_memory_store *store, const struct rp_retention *retention,
                            uint64_t upto, uint64_t wall_ms,
                            void (*tell)(void *ctx, struct rp_engine_border *border), void *ctx);
/* Removes at most n records that lie behind borders, oldest first. False: there are no more. */
bool rp_memory_store_sweep(struct rp_memory_store *store, size_t n);
/* Whether there are records behind borders: a round of retention is not over, or was not. */
bool rp_memory_store_has_lost(const struct rp_memory_store *store);
/* The newest event that a room has lost; 0: none. */
uint64_t rp_memory_store_border(const struct rp_memory_store *store, struct rp_bytes nsp,
                                struct rp_bytes room);

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
/* Each room of an event that goes has lost it. */
void rp_memory_store_note_trimmed(struct rp_memory_store *store, struct rp_record *event);
/* Events up to a seq have gone: nobody owes them any more. */
void rp_memory_store_trim_unacked(struct rp_memory_store *store, uint64_t upto);

/* broker/session.h — sessions and their memberships: what survives a lost connection.
 *
 * A session is known by its number (the seq of its OPEN record) and by the hash of its pid. Its
 * connection number is the seq of its newest OPEN or RESUME; operations with an older one change
 * nothing. Memberships are intervals of the log, kept after the session left a room, because
 * recovery gives a session what it should have got when it was a member. */
#pragma once

#include "broker/engine.h"
#include "broker/room.h"
#include "common/blob.h"
#include "common/limits.h"

struct rp_cursor;
struct rp_serving;

/* session was a member of room from from_seq to to_seq (0: still is) */
struct rp_interval {
    struct rp_list room_node; /* in room->members while open */
    struct rp_interval *next; /* in one of the session's two lists */
    struct rp_session *session;
    struct rp_room *room;
    uint64_t from_seq, to_seq;
    uint64_t ts_ms; /* of the join */
};

/* An event this session has not acked, and whose request it was. */
struct rp_owed {
    uint64_t seq, origin, num;
    bool paying; /* its ACK is appended */
};

/* What a session of an app namespace has beside. */
struct rp_app {
    struct rp_session *session;
    struct rp_serving *serving;  /* who serves it; NULL: nobody yet */
    struct rp_list serving_node; /* in serving->sessions, or core->unserved */
    struct rp_list tasks;        /* struct rp_task of this session, by num, unanswered */
    bool kept;                   /* this worker has served it without a break, as far back as any
                                    event that may come again */
    bool listed;                 /* in the HELLO under way of its worker, with listed_conn */
    uint8_t why;                 /* enum rp_op_socket_why: what its worker was, or will be, told */
    uint64_t listed_conn;
    struct rp_owed *owed; /* by seq */
    uint32_t owed_count, owed_capacity;
    struct rp_blob *handshake; /* of its connection; NULL: not known */
    struct rp_blob *data;      /* the application's; NULL: none */
};

struct rp_session {
    struct rp_map_node by_id, by_pid;
    uint64_t id;
    uint64_t conn;
    uint64_t floor_seq;
    uint64_t closed_ts_ms;      /* 0: connected */
    struct rp_peer *peer;       /* where it is connected; NULL if it is not */
    struct rp_list peer_node;   /* in peer->sessions */
    struct rp_list closed_node; /* in rp_sessions.closed, oldest first */
    struct rp_cursor *cursor;   /* NULL: live, or not connected */
    struct rp_app *app;         /* NULL: a namespace without app workers */
    struct rp_interval *open, *closed;
    uint32_t open_count, closed_count;
    uint32_t takeovers; /* RESUME records appended and not committed: until then no connection is
                           valid */
    uint32_t joining, leaving; /* JOIN and LEAVE records appended and not decided */
    bool ending;               /* an END record is appended */
    bool confirmed;            /* listed by its gateway in the HELLO under way */
    uint8_t sid_len, nsp_len;
    char sid[RP_SID_BYTES_MAX];
    uint8_t pid_hash[RP_PID_HASH_LEN];
    char nsp[];
};

struct rp_sessions {
    struct rp_map by_id, by_pid;
    struct rp_list closed;
    struct rp_rooms *rooms;
    size_t intervals_count;
};

void rp_sessions_init(struct rp_sessions *sessions, struct rp_rooms *rooms);
void rp_sessions_done(struct rp_sessions *sessions); /* frees all sessions and intervals */

/* Adds a session that is not connected anywhere yet. */
struct rp_session *rp_sessions_add(struct rp_sessions *sessions, uint64_t id, struct rp_bytes nsp,
                                   struct rp_bytes sid, struct rp_bytes pid_hash);
/* Frees it with its intervals. It must not be connected nor have a cursor. */
void rp_sessions_remove(struct rp_sessions *sessions, struct rp_session *session);
struct rp_session *rp_sessions_find(const struct rp_sessions *sessions, uint64_t id);
struct rp_session *rp_sessions_find_pid(const struct rp_sessions *sessions,
                                        struct rp_bytes pid_hash);

static inline struct rp_bytes rp_session_sid(const struct rp_session *s) {
    return rp_bytes(s->sid, s->sid_len);
}
static inline struct rp_bytes rp_session_nsp(const struct rp_session *s) {
    return rp_bytes(s->nsp, s->nsp_len);
}

/* The session's open interval in the room, or NULL. */
struct rp_interval *rp_session_membership(const struct rp_session *s, const struct rp_room *room);
/* The interval in the room that contains a seq, its ends included, open or closed; NULL if there is
 * none. */
const struct rp_interval *rp_session_membership_at(const struct rp_session *s,
                                                   const struct rp_room *room, uint64_t seq);
struct rp_interval *rp_session_join(struct rp_sessions *sessions, struct rp_session *s,
                                    struct rp_room *room, uint64_t from_seq, uint64_t ts_ms);
/* Ends an open interval; it is remembered among the closed ones. */
void rp_session_leave(struct rp_session *s, struct rp_interval *interval, uint64_t to_seq);
/* Forgets closed intervals with to_seq <= floor_seq, and raises the session's floor to it. */
void rp_session_forget(struct rp_sessions *sessions, struct rp_session *s, uint64_t floor_seq);
/* The to_seq below which half of the closed intervals lie; 0 while there are fewer than max. */
uint64_t rp_session_forget_before(const struct rp_session *s, size_t max);

/* ---- sessions of app namespaces ---- */

/* Makes it one; once, right after it was added. */
void rp_session_make_app(struct rp_session *s);
/* Remembers a copy; an empty one, or for a session that is of no app namespace, changes nothing. */
void rp_session_set_handshake(struct rp_session *s, struct rp_bytes json);
void rp_session_drop_handshake(struct rp_session *s); /* not known any more */
void rp_session_set_data(struct rp_session *s, struct rp_bytes json); /* the same */
/* Notes that the session owes an ack for an event newer than all it owes already. Past
 * RP_SESSION_UNACKED_MAX the oldest is forgotten: false then. */
bool rp_session_owe(struct rp_session *s, const struct rp_owed *owed);
/* What it owes for the event, or NULL. */
const struct rp_owed *rp_session_owes(const struct rp_session *s, uint64_t seq);
/* Its ACK is appended, or was refused. */
void rp_session_paying(struct rp_session *s, uint64_t seq, bool paying);
/* It does not owe it any more. */
void rp_session_pay(struct rp_session *s, uint64_t seq);
/* Index in s->app->owed of the first with seq > after; owed_count if there is none. s->app is not
 * NULL. */
size_t rp_session_owed_after(const struct rp_session *s, uint64_t after);

/* broker/sqlite_retention.h — the inside of a round of retention in the SQLite engine; all of it
 * belongs to the writer.
 *
 * A round is a chain of slices, each within one transaction that also moves the borders of the
 * rooms that lose something in it, their sums, the cursor that led there and the log's beginning.
 * So a broker that is killed between any two slices finds a log that says exactly what it has.
 *
 *   sqlite_retention.c        the round, the whole log's limits, what sessions owe
 *   sqlite_retention_age.c    rules with an age: a cursor for each walks the log
 *   sqlite_retention_rooms.c  rules with events or bytes: sums of rooms, and cutting what is too
 *                             much
 *   sqlite_rooms.c            the newest events of such rooms, in memory, until they are in sums
 *   sqlite_losses.c           what the rooms of one slice lose
 *
 * How far a round has come is a struct rp_sqlite_progress: a slice works on a copy, which counts
 * once its transaction is committed. */
#pragma once

#include "broker/record.h"
#include "broker/retention.h"
#include "broker/sqlite_db.h"
#include "broker/sqlite_row.h"
#include "common/limits.h"
#include "common/list.h"
#include "common/map.h"

struct rp_sqlite;

/* X(NAME, "SQL"), in addition to the writer's own. */
#define RP_SQLITE_RETENTION_STMTS(X)                                                               \
    X(SCAN, "SELECT " RP_SQLITE_ROOMS_COLUMNS " FROM event WHERE seq > ?1 AND seq <= ?2 "          \
            "ORDER BY seq LIMIT ?3")                                                               \
    X(ROW, "SELECT " RP_SQLITE_ROOMS_COLUMNS " FROM event WHERE seq = ?1")                         \
    X(DELETE, "DELETE FROM event WHERE seq = ?1")                                                  \
    X(DELETE_UPTO, "DELETE FROM event WHERE seq <= ?1")                                            \
    X(ROOM, "SELECT trimmed_seq, events, bytes, counted_seq FROM room "                            \
            "WHERE room = ?1 AND nsp = ?2")                                                        \
    X(BORDER, "INSERT INTO room (room, nsp, trimmed_seq) VALUES (?1, ?2, ?3) "                     \
              "ON CONFLICT (room, nsp) DO UPDATE SET "                                             \
              "trimmed_seq = max(trimmed_seq, excluded.trimmed_seq), "                             \
              "events = NULL, bytes = NULL, counted_seq = NULL")                                   \
    X(SUMS, "INSERT INTO room (room, nsp, trimmed_seq, events, bytes, counted_seq) "               \
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (room, nsp) DO UPDATE SET "               \
            "trimmed_seq = excluded.trimmed_seq, events = excluded.events, "                       \
            "bytes = excluded.bytes, counted_seq = excluded.counted_seq")                          \
    X(OLD_INDEX, "SELECT segment, room, nsp, n FROM room_index WHERE segment < ?1 "                \
                 "ORDER BY segment, room, nsp LIMIT ?2")                                           \
    X(DELETE_INDEX_UPTO, "DELETE FROM room_index WHERE (segment, room, nsp) <= (?1, ?2, ?3)")      \
    X(DELETE_SEGMENTS, "DELETE FROM segment WHERE segment < ?1")                                   \
    X(NEXT_SEGMENT,                                                                                \
      "SELECT segment + 1 FROM segment WHERE segment >= ?1 ORDER BY segment LIMIT 1")              \
    X(INDEX_WALK, "SELECT room, nsp, n, bytes FROM room_index "                                    \
                  "WHERE segment = ?1 AND (room, nsp) >= (?2, ?3) ORDER BY room, nsp LIMIT ?4")    \
    X(INDEX_SEQS, "SELECT seqs FROM room_index WHERE segment = ?1 AND room = ?2 AND nsp = ?3")     \
    X(DELETE_INDEX, "DELETE FROM room_index WHERE segment = ?1 AND room = ?2 AND nsp = ?3")        \
    X(OWED_SEEK, "SELECT session FROM unacked WHERE session > ?1 "                                 \
                 "ORDER BY session, seq LIMIT 1 OFFSET ?2")                                        \
    X(OWED_DELETE, "DELETE FROM unacked WHERE session > ?1 AND session <= ?2 AND seq <= ?3 AND "   \
                   "(seq < ?4 OR NOT EXISTS (SELECT 1 FROM event e WHERE e.seq = unacked.seq))")   \
    X(CURSORS, "UPDATE retention SET swept_seq = ?2, checked_seq = ?3 WHERE place = ?1")

enum rp_sqlite_retention_stmt {
#define RP_SQLITE_STMT_ENUM(name, sql) RP_SQLITE_R_##name,
    RP_SQLITE_RETENTION_STMTS(RP_SQLITE_STMT_ENUM)
#undef RP_SQLITE_STMT_ENUM
        RP_SQLITE_R_COUNT
};

/* ---- what rooms lose in one slice ---- */

struct rp_sqlite_loss {
    struct rp_map_node node;
    const struct rp_retention_rule *rule; /* NULL: none matches the room */
    bool counted;                         /* its rule has events or bytes */
    bool loaded, changed;
    uint64_t border, border_before;      /* border_before: as the file has it, once loaded */
    uint64_t events, bytes, counted_seq; /* if counted and loaded: table room */
    struct rp_bytes room, nsp;           /* in names */
    uint8_t names[];
};

struct rp_sqlite_losses {
    struct rp_map map;
    struct rp_sqlite_loss **items;
    size_t count, capacity;
};

/* ---- the newest events of rooms under rules with events or bytes ---- */

struct rp_sqlite_entry {
    uint64_t seq, weight;
};

struct rp_sqlite_room {
    struct rp_map_node node;
    struct rp_list dirty_node;  /* in dirty, deferred or done: its limits are to be looked at */
    struct rp_list listed_node; /* in listed: it has entries */
    const struct rp_retention_rule *rule;
    struct rp_sqlite_entry *entries; /* from … from + count, by seq */
    size_t from, count, capacity;
    uint64_t weight;       /* of the entries together */
    uint64_t walk_segment; /* no index row before it has an event of the room */
    size_t room_len, nsp_len;
    uint8_t names[]; /* room, nsp */
};

struct rp_sqlite_rooms {
    struct rp_map map;
    struct rp_list dirty, deferred, done, listed;
    size_t dirty_count, listed_count;
    size_t memory; /* bytes */
    bool live;     /* entries has all committed events of the rooms after counted_to; what is
                      committed is added */
    bool begun;    /* they are being gathered from the file, up to listed_seq so far */
    uint64_t listed_seq;
    size_t settle_left;
};

/* ---- a round ---- */

enum rp_sqlite_phase {
    RP_SQLITE_PHASE_NONE,
    RP_SQLITE_PHASE_WHOLE,  /* the beginning of the log, and the index of segments that are gone */
    RP_SQLITE_PHASE_AGE,    /* rules with an age, one after the other */
    RP_SQLITE_PHASE_COUNT,  /* segments that were indexed go into the sums of rooms */
    RP_SQLITE_PHASE_SETTLE, /* and out of memory */
    RP_SQLITE_PHASE_LIST,   /* what is not indexed goes into memory, after a start */
    RP_SQLITE_PHASE_CUT,    /* rooms that have too much */
    RP_SQLITE_PHASE_OWED,   /* what sessions owe for events that are gone */
    RP_SQLITE_PHASE_FINISH,
    RP_SQLITE_PHASE_OVER,
};

/* Where a walk over the index rows of a segment goes on: at the first key not below this one. */
struct rp_sqlite_key {
    size_t room_len, nsp_len;
    uint8_t data[];
};

struct rp_sqlite_progress {
    enum rp_sqlite_phase phase, after_cut;
    uint64_t first_seq;
    uint64_t dropped; /* segments below it have no index any more */
    size_t rule;      /* of AGE */
    bool cleaning;    /* AGE: the index rows of the segment that the rule has got through */
    uint64_t clean_to;
    uint64_t swept_seq[RP_RETENTION_RULES_MAX];
    uint64_t checked_seq[RP_RETENTION_RULES_MAX];
    uint64_t counted_to; /* the index of all segments up to it is in the sums */
    uint64_t owed_session;
    struct rp_sqlite_key *key; /* of the walk of AGE or COUNT; NULL: at the segment's beginning */
};

struct rp_sqlite_retention {
    sqlite3_stmt *stmts[RP_SQLITE_R_COUNT];
    const struct rp_retention *rules; /* NULL: everything is kept */
    bool counts;                      /* a rule has events or bytes */
    uint64_t upto, wall_ms, last_seq; /* of the round: last_seq was the newest when it began */
    uint64_t events_end;    /* up to it, there are more than the newest so many that are kept */
    uint64_t committed_seq; /* the newest in the file */
    struct rp_sqlite_progress now, next;
    size_t rows, bytes; /* what is left of the slice */
    bool sliced;        /* the transaction has a slice */
    bool changed;       /* the slice has written something */
    struct rp_sqlite_losses losses;
    struct rp_sqlite_rooms rooms;
    struct rp_engine_border **told; /* borders to be told once they are committed */
    size_t told_count, told_capacity;
    uint64_t removed, rooms_trimmed, segments, owed; /* of the slice, for counters */
    uint64_t owed_left;   /* events with acks removed since the last walk over what is owed */
    uint64_t owed_walked; /* rows of that walk */
    bool unchecked;       /* the round could not look at all rooms */
};

/* ---- sqlite_retention.c ---- */

/* Statements, and the cursors of the rules, of which those are forgotten that do not fit the rules
 * any more. The writer's connection is open. */
int rp_sqlite_retention_init(struct rp_sqlite *s);
void rp_sqlite_retention_done(struct rp_sqlite *s); /* frees; NULL statements are fine */
/* A round begins. */
void rp_sqlite_retention_begin(struct rp_sqlite *s, uint64_t upto, uint64_t wall_ms);
bool rp_sqlite_retention_pending(const struct rp_sqlite_retention *r);
/* A slice of at most so many rows, and about so many bytes of events, within the transaction. */
int rp_sqlite_retention_slice(struct rp_sqlite *s, size_t rows, size_t bytes);
/* With the outcomes of the transaction, not yet published. */
void rp_sqlite_retention_committed(struct rp_sqlite *s);
void rp_sqlite_retention_undone(struct rp_sqlite *s);

/* Whether a rule needs the sums of its rooms. */
static inline bool rp_sqlite_rule_counts(const struct rp_retention_rule *rule) {
    return rule != NULL && (rule->limits.events < UINT64_MAX || rule->limits.bytes < UINT64_MAX);
}
/* The walk goes on behind this row. */
void rp_sqlite_retention_key(struct rp_sqlite_retention *r, struct rp_bytes room,
                             struct rp_bytes nsp);
void rp_sqlite_retention_key_reset(struct rp_sqlite_retention *r);
/* Binds segment and key of INDEX_WALK. */
sqlite3_stmt *rp_sqlite_retention_walk(struct rp_sqlite_retention *r, uint64_t segment);
/* The newest event that a room has lost; 0: none. */
int rp_sqlite_retention_border(struct rp_sqlite_retention *r, struct rp_bytes room,
                               struct rp_bytes nsp, uint64_t *ret_seq);
/* The event's row is deleted. */
int rp_sqlite_retention_delete(struct rp_sqlite_retention *r,
                               const struct rp_sqlite_rooms_row *row);
/* Deletes a room's index row. */
int rp_sqlite_retention_unindex(struct rp_sqlite_retention *r, uint64_t segment,
                                struct rp_bytes room, struct rp_bytes nsp);
/* The next number of a JSON array of them, whose bracket may have been taken already. */
bool rp_sqlite_seqs_next(struct rp_bytes *json, uint64_t *ret_seq);

/* ---- sqlite_retention_age.c, sqlite_retention_rooms.c: a step of their phases ---- */

int rp_sqlite_retention_age(struct rp_sqlite *s);
int rp_sqlite_retention_count(struct rp_sqlite *s);
int rp_sqlite_retention_list(struct rp_sqlite *s);
int rp_sqlite_retention_cut(struct rp_sqlite *s);

/* ---- sqlite_rooms.c ---- */

void rp_sqlite_rooms_init(struct rp_sqlite_rooms *rooms);
void rp_sqlite_rooms_done(struct rp_sqlite_rooms *rooms);
/* Events are forgotten; they are gathered anew. */
void rp_sqlite_rooms_reset(struct rp_sqlite_rooms *rooms);
/* All rooms of an event that a rule counts. */
void rp_sqlite_rooms_add(struct rp_sqlite *s, struct rp_bytes nsp, struct rp_bytes room,
                         struct rp_bytes further, uint64_t seq, uint64_t weight);
/* A room that may have too much. */
void rp_sqlite_rooms_suspect(struct rp_sqlite *s, const struct rp_sqlite_loss *loss);
void rp_sqlite_rooms_forget(struct rp_sqlite_room *room, struct rp_sqlite_rooms *rooms,
                            uint64_t upto); /* the entries up to it */
/* Some rooms let go of entries that are in sums; false: all have. */
bool rp_sqlite_rooms_settle(struct rp_sqlite_rooms *rooms, uint64_t counted_to, size_t max);
/* The rooms of `done` have been looked at, or not, if the transaction has failed. Deferred ones are
 * looked at again in the next round. */
void rp_sqlite_rooms_committed(struct rp_sqlite_rooms *rooms);
void rp_sqlite_rooms_undone(struct rp_sqlite_rooms *rooms);
void rp_sqlite_rooms_round_over(struct rp_sqlite_rooms *rooms);

/* ---- sqlite_losses.c ---- */

/* The room within this slice. */
struct rp_sqlite_loss *rp_sqlite_loss_of(struct rp_sqlite *s, struct rp_bytes nsp,
                                         struct rp_bytes room);
int rp_sqlite_loss_load(struct rp_sqlite_retention *r, struct rp_sqlite_loss *loss);
/* The room loses an event; one that it has lost already changes nothing. Loaded, if counted. */
void rp_sqlite_lose(struct rp_sqlite_loss *loss, uint64_t seq, uint64_t weight);
/* Whether all rooms of an event have lost it. */
int rp_sqlite_lost_by_all(struct rp_sqlite *s, const struct rp_sqlite_rooms_row *row,
                          bool *ret_lost);
/* Writes the slice's losses; tell: BORDERs follow. */
int rp_sqlite_losses_flush(struct rp_sqlite *s, bool tell);
void rp_sqlite_losses_clear(struct rp_sqlite_retention *r);

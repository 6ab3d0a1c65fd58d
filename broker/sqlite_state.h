/* broker/sqlite_state.h — the inside of the SQLite engine: who does what, and where the threads
 * meet.
 *
 *   loop        engine_sqlite.c      append, poll, read, trim, … : queues only, never SQLite
 *   writer      sqlite_writer.c      the one thread that writes; sqlite_projection.c keeps the
 *                                    projections within its transactions, sqlite_chores.c adds
 *                                    slices of index and trim work
 *   indexer     sqlite_index.c       reads a closed segment, sorts it by room, hands the rows to
 * the writer checkpointer sqlite_checkpoint.c copies the WAL back into the file readers
 * sqlite_reader.c      take reads from a queue; sqlite_read.c finds the events of one (at open)
 * sqlite_file.c        is it ours, lock, schema, epoch, tail
 *
 * Only the writer writes (the checkpointer copies), so nobody waits for SQLite's locks but for
 * those of a person's shell. Each struct below belongs to one thread; what is shared says by which
 * lock. Locks are leaves: nobody takes one while holding another. */
#pragma once

#include "broker/engine_sqlite.h"
#include "broker/sqlite_db.h"
#include "common/map.h"

#include <pthread.h>

/* ---- loop → writer ---- */

struct rp_sqlite_pending {
    struct rp_record *record;
    bool last; /* of the records that must be committed together */
};

/* new_epoch, for which the loop waits */
struct rp_sqlite_epoch_order {
    const char *epoch;
    uint64_t above;
    bool done;
    enum rp_err err;
};

struct rp_sqlite_inbox {
    pthread_mutex_t lock;
    pthread_cond_t work;     /* the writer waits here */
    pthread_cond_t answered; /* the loop waits here for an epoch order */
    struct rp_sqlite_pending *items;
    size_t count, capacity;
    bool writer_waits, stop;
    bool trim_asked;
    uint64_t trim_upto;
    struct rp_sqlite_epoch_order *epoch_order;
    struct rp_sqlite_index_job *job; /* from the indexer, not yet taken */
};

/* ---- engine's threads → loop ---- */

struct rp_sqlite_out {
    struct rp_engine_outcome outcome;
    struct rp_sqlite_request *request; /* of a page */
};

struct rp_sqlite_outs {
    struct rp_sqlite_out *items;
    size_t count, capacity;
};

struct rp_sqlite_outbox {
    pthread_mutex_t lock;
    struct rp_sqlite_outs outs;
    atomic_bool ready; /* outs is not empty; poll looks at it without the lock */
};

/* ---- the writer ---- */

/* Whom a record selects: the members of its only room (?1 nsp, ?2 room), or, if it names several
 * rooms, those gathered in a temporary table. Statements for both come in pairs. */
#define RP_SQLITE_IN_ROOM                                                                          \
    "SELECT session FROM member WHERE nsp = ?1 AND room = ?2 AND to_seq IS NULL"
#define RP_SQLITE_IN_SELECTED "SELECT session FROM selected"
#define RP_SQLITE_SELECTED_TABLE "CREATE TEMP TABLE selected (session INTEGER PRIMARY KEY)"

/* ?3 is the record's seq */
#define RP_SQLITE_OWE(who)                                                                         \
    "INSERT INTO unacked (session, seq, origin, num) SELECT session, ?3, ?4, ?5 FROM (" who ")"
#define RP_SQLITE_MOVE_IN(who)                                                                     \
    "INSERT INTO member (session, room, from_seq, ts, nsp) SELECT s.session, ?4, ?3, ?5, ?1 "      \
    "FROM (" who ") s WHERE NOT EXISTS "                                                           \
    "(SELECT 1 FROM member m WHERE m.session = s.session AND m.room = ?4 AND m.to_seq IS NULL)"
#define RP_SQLITE_MOVE_OUT(who)                                                                    \
    "UPDATE member SET to_seq = ?3 "                                                               \
    "WHERE nsp = ?1 AND room = ?4 AND to_seq IS NULL AND session IN (" who ")"

/* A new epoch: sessions are forgotten and what belongs to them. Namespaces stay: they say how the
 * service is built, not who is connected to it. */
#define RP_SQLITE_FORGET_SESSIONS "DELETE FROM member; DELETE FROM unacked; DELETE FROM session"

/* X(NAME, "SQL"): the writer's statements. */
#define RP_SQLITE_WRITER_STMTS(X)                                                                  \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(COMMIT, "COMMIT")                                                                            \
    X(INSERT,                                                                                      \
      "INSERT INTO event (" RP_SQLITE_ROW_COLUMNS ") VALUES (" RP_SQLITE_ROW_PARAMETERS ")")       \
    X(INSERT_ID, "INSERT INTO event (" RP_SQLITE_ROW_COLUMNS ") VALUES (" RP_SQLITE_ROW_PARAMETERS \
                 ") ON CONFLICT (nsp, id) WHERE id IS NOT NULL DO NOTHING")                        \
    X(FIND_ID, "SELECT seq FROM event WHERE nsp = ?1 AND id = ?2")                                 \
    X(OPEN, "INSERT INTO session (session, nsp, sid, pid_hash, conn, gateway, opened_ts, app) "    \
            "VALUES (?1, ?2, ?3, ?4, ?1, ?5, ?6, ?7)")                                             \
    X(OPEN_ROOM, "INSERT OR IGNORE INTO member (session, room, from_seq, ts, nsp) "                \
                 "VALUES (?1, ?2, ?1, ?3, ?4)")                                                    \
    X(RESUME, "UPDATE session SET conn = ?2, gateway = ?3, closed_ts = NULL WHERE session = ?1")   \
    X(CLOSE, "UPDATE session SET gateway = NULL, closed_ts = ?3 WHERE session = ?1 AND conn = ?2") \
    X(END_UNACKED, "DELETE FROM unacked WHERE session = ?1")                                       \
    X(END_MEMBERS, "DELETE FROM member WHERE session = ?1")                                        \
    X(END, "DELETE FROM session WHERE session = ?1")                                               \
    X(JOIN, "INSERT INTO member (session, room, from_seq, ts, nsp) "                               \
            "SELECT ?1, ?2, ?3, ?4, coalesce(nsp, '') FROM session WHERE session = ?1 "            \
            "AND NOT EXISTS "                                                                      \
            "(SELECT 1 FROM member WHERE session = ?1 AND room = ?2 AND to_seq IS NULL)")          \
    X(LEAVE, "UPDATE member SET to_seq = ?3 "                                                      \
             "WHERE session = ?1 AND room = ?2 AND to_seq IS NULL")                                \
    X(FORGET, "DELETE FROM member WHERE session = ?1 AND to_seq <= ?2")                            \
    X(FLOOR, "UPDATE session SET floor_seq = max(coalesce(floor_seq, 0), ?2) WHERE session = ?1")  \
    X(GONE, "UPDATE session SET gateway = NULL, closed_ts = ?2 WHERE gateway = ?1")                \
    X(SELECT_ADD, "INSERT OR IGNORE INTO selected (session) " RP_SQLITE_IN_ROOM)                   \
    X(SELECT_DROP, "DELETE FROM selected WHERE session IN (" RP_SQLITE_IN_ROOM ")")                \
    X(SELECT_DROP_OF_FEW,                                                                          \
      "DELETE FROM selected WHERE EXISTS (SELECT 1 FROM member m WHERE m.nsp = ?1 "                \
      "AND m.room = ?2 AND m.to_seq IS NULL AND m.session = selected.session)")                    \
    X(SELECT_CLEAR, "DELETE FROM selected")                                                        \
    X(OWE_ROOM, RP_SQLITE_OWE(RP_SQLITE_IN_ROOM))                                                  \
    X(OWE_SELECTED, RP_SQLITE_OWE(RP_SQLITE_IN_SELECTED))                                          \
    X(MOVE_IN_ROOM, RP_SQLITE_MOVE_IN(RP_SQLITE_IN_ROOM))                                          \
    X(MOVE_IN_SELECTED, RP_SQLITE_MOVE_IN(RP_SQLITE_IN_SELECTED))                                  \
    X(MOVE_OUT_ROOM, RP_SQLITE_MOVE_OUT(RP_SQLITE_IN_ROOM))                                        \
    X(MOVE_OUT_SELECTED, RP_SQLITE_MOVE_OUT(RP_SQLITE_IN_SELECTED))                                \
    X(KICK_UNACKED, "DELETE FROM unacked WHERE session IN (" RP_SQLITE_IN_SELECTED ")")            \
    X(KICK_MEMBERS, "DELETE FROM member WHERE session IN (" RP_SQLITE_IN_SELECTED ")")             \
    X(KICK, "DELETE FROM session WHERE session IN (" RP_SQLITE_IN_SELECTED ")")                    \
    X(ACK, "DELETE FROM unacked WHERE session = ?1 AND seq = ?2")                                  \
    X(DATA, "UPDATE session SET data = ?2 WHERE session = ?1")                                     \
    X(SERVE, "INSERT OR REPLACE INTO namespace (nsp, flags, seq) VALUES (?1, ?2, ?3)")             \
    X(RELEASE, "DELETE FROM namespace WHERE nsp = ?1")                                             \
    X(INDEX_ROW, "INSERT OR REPLACE INTO room_index (segment, room, nsp, n, seqs) "                \
                 "VALUES (?1, ?2, ?3, ?4, ?5)")                                                    \
    X(INDEX_SEGMENT, "INSERT OR REPLACE INTO segment (segment, first_seq, last_seq, events) "      \
                     "VALUES (?1, ?2, ?3, ?4)")                                                    \
    X(META_SET, "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")                        \
    X(TRIM_TARGET, "SELECT segment + 1 FROM segment WHERE segment < ?1 "                           \
                   "ORDER BY segment DESC LIMIT 1")                                                \
    X(TRIM_ROWS, "SELECT segment, room, nsp, seqs FROM room_index WHERE segment <= ?1 "            \
                 "ORDER BY segment, room, nsp LIMIT ?2")                                           \
    X(TRIM_ROOM, "INSERT INTO room (room, nsp, trimmed_seq) VALUES (?1, ?2, ?3) "                  \
                 "ON CONFLICT (room, nsp) DO UPDATE SET "                                          \
                 "trimmed_seq = max(trimmed_seq, excluded.trimmed_seq)")                           \
    X(TRIM_KEY, "SELECT segment, room, nsp FROM room_index ORDER BY segment, room, nsp LIMIT 1")   \
    X(TRIM_INDEX, "DELETE FROM room_index WHERE segment = ?1 AND room = ?2 AND nsp = ?3")          \
    X(TRIM_UNACKED_SEEK, "SELECT session FROM unacked WHERE session > ?1 "                         \
                         "ORDER BY session, seq LIMIT 1 OFFSET ?2")                                \
    X(TRIM_UNACKED, "DELETE FROM unacked WHERE session > ?1 AND session <= ?2 AND seq <= ?3")      \
    X(TRIM_SEEK, "SELECT seq FROM event ORDER BY seq LIMIT 1 OFFSET ?1")                           \
    X(TRIM_EVENTS, "DELETE FROM event WHERE seq <= ?1")                                            \
    X(TRIM_SEGMENTS, "DELETE FROM segment WHERE segment <= ?1")

enum rp_sqlite_writer_stmt {
#define RP_SQLITE_STMT_ENUM(name, sql) RP_SQLITE_W_##name,
    RP_SQLITE_WRITER_STMTS(RP_SQLITE_STMT_ENUM)
#undef RP_SQLITE_STMT_ENUM
        RP_SQLITE_W_COUNT
};

/* A room's events in a closed segment: a row for room_index, made by the indexer, written by the
 * writer in slices. */
struct rp_sqlite_index_row {
    struct rp_map_node node; /* the indexer's */
    struct rp_bytes room, nsp;
    uint64_t n, last_seq;
    struct rp_buf seqs; /* JSON */
    uint8_t names[];
};

struct rp_sqlite_index_job {
    uint64_t segment, first_seq, last_seq, events;
    struct rp_sqlite_index_row **rows; /* in the order of the primary key */
    size_t rows_count;
};

/* What a trim removes, in this order. */
enum rp_sqlite_trim_phase {
    RP_SQLITE_TRIM_ROOMS,   /* index rows; all rooms know what they lose */
    RP_SQLITE_TRIM_UNACKED, /* what sessions owe for the events */
    RP_SQLITE_TRIM_EVENTS,
};

/* Work that is done in slices at the end of transactions. `_next` values hold once the transaction
 * is committed. */
struct rp_sqlite_chores {
    struct rp_sqlite_index_job *job;
    size_t job_at, job_at_next; /* rows written; rows_count + 1: the segment itself, too */
    bool trimming, trim_done_next;
    enum rp_sqlite_trim_phase trim_phase, trim_phase_next;
    uint64_t trim_session, trim_session_next; /* of UNACKED: those up to it are done */
    uint64_t trim_segment, trim_seq;          /* the last to go */
    uint64_t retry_at_ms;                     /* after a failure; 0: none */
};

struct rp_sqlite_writer {
    pthread_t thread;
    sqlite3 *db;
    sqlite3_stmt *stmts[RP_SQLITE_W_COUNT];
    uint64_t next_seq, first_seq, indexed_seq;
    struct rp_sqlite_pending *items; /* taken from the inbox */
    size_t items_count, items_capacity;
    struct rp_sqlite_outs outs; /* of the transaction under way */
    struct rp_sqlite_chores chores;
    int failures; /* in a row */
    bool failed;  /* FATAL was told */
    uint64_t wal_frames;
};

/* ---- the others ---- */

struct rp_sqlite_indexer {
    pthread_t thread;
    sqlite3 *db;
    sqlite3_stmt *find, *scan;
    uint64_t indexed_seq;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint64_t next_seq; /* lock: segments wholly below it are closed */
    bool job_done;     /* lock: the writer has committed the job */
    bool stop;         /* lock */
};

/* How the checkpointer gets a moment without transactions. */
struct rp_sqlite_checkpointer {
    pthread_t thread;
    sqlite3 *db;
    pthread_mutex_t lock;
    pthread_cond_t wake;  /* the checkpointer waits here */
    pthread_cond_t pause; /* the writer waits here while its pause is wanted */
    uint64_t frames;      /* lock: in the WAL after the last commit */
    uint64_t copied;      /* lock: of them, those passes have dealt with; <= frames */
    uint64_t pass_from;   /* lock: frames when the pass under way began */
    bool writing, passing, pause_wanted, stop; /* lock */
};

struct rp_sqlite_request {
    struct rp_sqlite_request *next; /* in the readers' queue */
    struct rp_engine_read read;     /* its spans are own copies */
    atomic_bool cancelled;
};

struct rp_sqlite_reader {
    struct rp_sqlite *sqlite;
    pthread_t thread;
    sqlite3 *db;
    struct rp_sqlite_read_stmts *stmts;
};

struct rp_sqlite_readers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct rp_sqlite_request *first, **last; /* lock */
    bool stop;                               /* lock */
    struct rp_sqlite_reader reader[RP_ENGINE_SQLITE_READERS_MAX];
    int count, started;
};

struct rp_sqlite_counters {
    atomic_uint_least64_t transactions, records, duplicates, refused, wal_frames, checkpoints,
        wal_restarts, wal_restarts_failed, segments_indexed, index_failures, segments_trimmed,
        reads, reads_failed;
};

struct rp_sqlite {
    struct rp_engine engine; /* first */
    char *path;
    bool sync_full;
    int lock_fd;
    uint64_t segment_events;
    size_t queue_records_max, queue_bytes_max;
    void (*wake)(void *ctx);
    void *wake_ctx;
    struct rp_hash_key hash_key;
    struct rp_sqlite_counters counters;

    struct rp_sqlite_inbox inbox;
    struct rp_sqlite_outbox outbox;
    struct rp_sqlite_writer writer;
    struct rp_sqlite_indexer indexer;
    struct rp_sqlite_checkpointer checkpointer;
    struct rp_sqlite_readers readers;
    bool writer_started, indexer_started, checkpointer_started;

    /* the loop's own */
    size_t queued_records, queued_bytes; /* appended and not yet polled */
    struct rp_sqlite_outs taken;         /* from the outbox */
    size_t taken_at;
    struct rp_sqlite_request **requests; /* reads under way */
    size_t requests_count;
    bool trim_under_way;
};

/* ---- engine_sqlite.c, for all threads ---- */

void rp_sqlite_outs_add(struct rp_sqlite_outs *outs, struct rp_sqlite_out out);
/* Gives outcomes to the loop and empties outs. */
void rp_sqlite_publish(struct rp_sqlite *s, struct rp_sqlite_outs *outs);
/* A thread that takes no signals. */
bool rp_sqlite_thread_start(pthread_t *thread, void *(*main)(void *), void *ctx);
static inline void rp_sqlite_count(atomic_uint_least64_t *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* ---- sqlite_file.c: from a path to a locked, migrated, checked file and the writer's connection
 * ---- */

/* Sets path, lock_fd, segment_events, engine.epoch, first_seq, last_seq, and the writer's db and
 * numbers. message as for rp_engine_sqlite_open. */
enum rp_err rp_sqlite_file_open(struct rp_sqlite *s, const struct rp_engine_sqlite_options *o,
                                struct rp_buf *message);
/* Notes in the file that it was closed in order. The writer has stopped. */
void rp_sqlite_file_close(struct rp_sqlite *s);

/* ---- sqlite_writer.c ---- */

int rp_sqlite_writer_init(struct rp_sqlite *s); /* statements; the connection is there */
void *rp_sqlite_writer_main(void *engine);
/* A number in meta, within the transaction. */
int rp_sqlite_writer_meta(struct rp_sqlite_writer *w, const char *key, uint64_t value);

/* ---- sqlite_projection.c ---- */

/* What a committed r means for session, member, unacked and namespace. */
int rp_sqlite_project(struct rp_sqlite_writer *w, const struct rp_record *r);

/* ---- sqlite_chores.c ---- */

bool rp_sqlite_chores_pending(const struct rp_sqlite_writer *w);
/* Starts trimming, or answers at once. */
int rp_sqlite_chores_trim(struct rp_sqlite *s, uint64_t upto);
/* One slice within the open transaction; records: how many the transaction has, 0 for one of its
 * own. */
int rp_sqlite_chores_slice(struct rp_sqlite *s, size_t records);
void rp_sqlite_chores_committed(struct rp_sqlite *s);
void rp_sqlite_chores_undone(struct rp_sqlite *s);

/* ---- sqlite_index.c ---- */

int rp_sqlite_indexer_init(struct rp_sqlite *s);
void rp_sqlite_indexer_done(struct rp_sqlite *s);
void *rp_sqlite_indexer_main(void *engine);
/* From the writer: segments below next_seq are closed; the job it was given is in the file. */
void rp_sqlite_indexer_notify(struct rp_sqlite *s, uint64_t next_seq, bool job_done);
void rp_sqlite_indexer_stop(struct rp_sqlite *s);
void rp_sqlite_index_job_free(struct rp_sqlite_index_job *job);

/* ---- sqlite_checkpoint.c ---- */

int rp_sqlite_checkpointer_init(struct rp_sqlite *s);
void *rp_sqlite_checkpointer_main(void *engine);
void rp_sqlite_checkpointer_stop(struct rp_sqlite *s);
/* The writer's transaction begins (it waits while the checkpointer needs it to) and has ended. */
void rp_sqlite_checkpointer_enter(struct rp_sqlite *s);
void rp_sqlite_checkpointer_leave(struct rp_sqlite *s, uint64_t wal_frames);

/* ---- sqlite_reader.c, sqlite_read.c ---- */

int rp_sqlite_readers_init(struct rp_sqlite *s, int count);
bool rp_sqlite_readers_start(struct rp_sqlite *s);
void rp_sqlite_readers_stop(struct rp_sqlite *s); /* joins the threads */
void rp_sqlite_readers_done(struct rp_sqlite *s);
void rp_sqlite_readers_put(struct rp_sqlite *s, struct rp_sqlite_request *request);

struct rp_sqlite_request *rp_sqlite_request_new(const struct rp_engine_read *read);

int rp_sqlite_read_init(struct rp_sqlite_reader *reader);
void rp_sqlite_read_done(struct rp_sqlite_reader *reader);
/* The page; err in it if it failed. Gives. */
struct rp_engine_page *rp_sqlite_read(struct rp_sqlite_reader *reader,
                                      const struct rp_sqlite_request *request);

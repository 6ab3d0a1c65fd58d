/* broker/sqlite_state.h — the inside of the SQLite engine: who does what, and where the threads
 * meet.
 *
 *   loop          engine_sqlite.c     append, poll, read, trim, … : queues only, never SQLite
 *   writer        sqlite_writer.c     the one thread that writes; sqlite_projection.c keeps the
 *                                     projections within its transactions, sqlite_chores.c adds
 *                                     slices of index work, of retention (sqlite_retention.h), and
 *                                     of giving pages back (sqlite_space.h); sqlite_place.c looks
 *                                     whether the file is still there
 *   indexer       sqlite_index.c      reads a closed segment, sorts it by room, and hands the rows
 *                                     to the writer
 *   checkpointer  sqlite_checkpoint.c copies the WAL back into the file
 *   readers       sqlite_reader.c     take reads from a queue; sqlite_read.c finds one's events
 *   (at open)     sqlite_file.c       is it ours, lock, epoch, tail; sqlite_schema.c: its schema
 *
 * Only the writer writes (the checkpointer copies), so nobody waits for SQLite's locks but for
 * those of a person's shell. Each struct below belongs to one thread; what is shared says by which
 * lock. Locks are leaves: nobody takes one while holding another. */
#pragma once

#include "broker/engine_sqlite.h"
#include "broker/sqlite_db.h"
#include "broker/sqlite_retention.h"
#include "broker/sqlite_space.h"
#include "common/map.h"

#include <pthread.h>
#include <sys/types.h>

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
    uint64_t trim_upto, trim_wall_ms;
    struct rp_sqlite_epoch_order *epoch_order;
    struct rp_sqlite_index_job *job; /* from the indexer, not yet taken */
    bool checkpoint_failed;          /* for good: the writer gives up */
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
    X(CLOSE, "UPDATE session SET gateway = NULL, closed_ts = ?3 "                                  \
             "WHERE session = ?1 AND conn = ?2 AND closed_ts IS NULL")                             \
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
    X(INDEX_ROW, "INSERT OR REPLACE INTO room_index (segment, room, nsp, n, seqs, bytes) "         \
                 "VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                                \
    X(INDEX_SEGMENT, "INSERT OR REPLACE INTO segment (segment, first_seq, last_seq, events) "      \
                     "VALUES (?1, ?2, ?3, ?4)")                                                    \
    X(META_SET, "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")

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
    uint64_t n, last_seq, bytes;
    struct rp_buf seqs; /* JSON */
    uint8_t names[];
};

struct rp_sqlite_index_job {
    uint64_t segment, first_seq, last_seq, events;
    struct rp_sqlite_index_row **rows; /* in the order of the primary key */
    size_t rows_count;
};

/* Work that is done in slices at the end of transactions. `_next` values hold once the transaction
 * is committed. */
struct rp_sqlite_chores {
    struct rp_sqlite_index_job *job;
    size_t job_at, job_at_next; /* rows written; rows_count + 1: the segment itself, too */
    uint64_t retry_at_ms;       /* after a failure; 0: none */
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
    size_t refused, refused_no_space; /* in the transaction under way */
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
    uint64_t pass_frames; /* so many not copied: a passive pass */
    uint64_t frames;      /* lock: in the WAL after the last commit */
    uint64_t copied;      /* lock: of them, those passes have dealt with; <= frames */
    uint64_t pass_from;   /* lock: frames when the pass under way began */
    bool writing, passing, pause_wanted, asked, stop; /* lock */
    bool forbidden;                                   /* lock: the writer has given up */
    int failure;                  /* lock: why nothing may be written any more */
    int failures;                 /* in a row */
    char why[RP_ENGINE_WHY_SIZE]; /* set before failure is */
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

/* How far a log has come, as it is noted beside it (sqlite_mark.c). */
enum { RP_SQLITE_FILE_SIZE = 64 };
struct rp_sqlite_mark {
    char epoch[RP_EPOCH_LEN + 1]; /* "": nothing is noted */
    char file[RP_SQLITE_FILE_SIZE];
    uint64_t next_seq;
};

struct rp_sqlite_counters {
    atomic_uint_least64_t transactions, records, duplicates, refused, wal_frames, checkpoints,
        wal_restarts, wal_restarts_failed, segments_indexed, index_failures, segments_trimmed,
        reads, reads_failed, used_bytes, free_bytes, no_space, refused_no_space, events_trimmed,
        rooms_trimmed, pages_vacuumed, retention_rounds;
};

/* Which file was found at a path. */
struct rp_sqlite_spot {
    bool known;
    dev_t dev;
    ino_t ino;
};

struct rp_sqlite_place {
    int fd; /* of the file, for its lock; -1: none */
    char *wal_path;
    bool numbers_tell; /* not on file systems that make inode numbers up */
    bool lost;         /* the writer's: they are not where they were */
    struct rp_sqlite_spot file, wal;
};

struct rp_sqlite {
    struct rp_engine engine; /* first */
    char *path;
    bool sync_full;
    int lock_fd;
    struct rp_sqlite_mark mark; /* once it runs the writer's */
    uint64_t marked_ms;
    struct rp_sqlite_place place; /* once it runs the writer's */
    uint64_t segment_events;
    size_t queue_records_max, queue_bytes_max;
    void (*wake)(void *ctx);
    void *wake_ctx;
    struct rp_hash_key hash_key;
    struct rp_sqlite_counters counters;

    struct rp_sqlite_inbox inbox;
    struct rp_sqlite_outbox outbox;
    struct rp_sqlite_writer writer;
    struct rp_sqlite_retention retention; /* the writer's */
    struct rp_sqlite_space space;         /* the writer's */
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
/* The calling thread leaves the processors to those that somebody waits for with an event in hand.
 */
void rp_sqlite_thread_step_back(void);
static inline void rp_sqlite_count(atomic_uint_least64_t *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* ---- sqlite_file.c: from a path to a locked, migrated, checked file and the writer's connection
 * ---- */

enum { RP_SQLITE_APPLICATION_ID = 0x52505253 }; /* RPRS */

/* Sets path, lock_fd, segment_events, engine.epoch, first_seq, last_seq, and the writer's db and
 * numbers. message as for rp_engine_sqlite_open. */
enum rp_err rp_sqlite_file_open(struct rp_sqlite *s, const struct rp_engine_sqlite_options *o,
                                struct rp_buf *message);
/* Notes in the file that it was closed in order, and lets SQLite copy the WAL back when the
 * writer's connection goes. The writer has stopped. After a failure it does neither: the WAL is the
 * only whole copy of what it holds. */
void rp_sqlite_file_close(struct rp_sqlite *s);

/* Takes <path>.lock, sets lock_fd and mark; --restore needs no more of it. */
enum rp_err rp_sqlite_file_lock(struct rp_sqlite *s, struct rp_buf *message);

/* ---- sqlite_schema.c ---- */

/* The newest, which a file has once a broker has opened it. */
uint32_t rp_sqlite_schema_version(void);
/* From a version (0: an empty file, of so many events a segment) to the newest, in a transaction,
 * which is left open if that fails. */
int rp_sqlite_schema_upgrade(sqlite3 *db, uint64_t version, uint64_t segment_events);
/* A new epoch, within a transaction: sessions are forgotten, and next_seq moves far above
 * *next_seq, so that numbers which the lost part may have given never mean another event. */
int rp_sqlite_schema_renew(sqlite3 *db, uint64_t *next_seq, char ret_epoch[RP_EPOCH_LEN + 1]);

/* ---- sqlite_mark.c ---- */

/* What a copy of the file does not have; "": nothing tells them apart there. */
void rp_sqlite_file_identity(const char *path, char ret_identity[RP_SQLITE_FILE_SIZE]);
/* Whether two identities are of different files; false if nothing can be said. */
bool rp_sqlite_file_is_another(const char *noted, const char *now);
void rp_sqlite_mark_read(int lock_fd, struct rp_sqlite_mark *ret_mark);
/* Also the number of this process. sync: a power failure does not undo it. */
void rp_sqlite_mark_write(int lock_fd, const struct rp_sqlite_mark *mark, bool sync);
/* From the writer, after a commit. */
void rp_sqlite_mark_move(struct rp_sqlite *s, uint64_t next_seq);
/* Why the file at path, with what its meta says, may not be the log that was last written; NULL:
 * nothing speaks against it. */
const char *rp_sqlite_mark_doubt(const struct rp_sqlite_mark *mark, const char *path,
                                 const char *epoch, uint64_t next_seq, const char *file);

/* ---- sqlite_place.c ---- */

/* Takes a lock by a call that does not wait, as long as RP_ENGINE_SQLITE_LOCK_MS allows: a broker
 * that was killed a moment ago holds its locks until the kernel is done with it, and whoever starts
 * the next one at once need not know. False: errno says why; EWOULDBLOCK: somebody has it. */
bool rp_sqlite_lock_soon(int fd, int (*lock)(int fd));
/* Takes a lock on the file itself, which is there and open, and keeps it until done. False:
 * somebody else has it. */
bool rp_sqlite_place_lock(struct rp_sqlite *s);
/* What file and WAL are, before anything is written. */
void rp_sqlite_place_note(struct rp_sqlite *s);
/* From the writer, or at the end, after a commit: whether both are still where they were. If not
 * engine.why says so, and nobody may be told of the commit. */
RP_MUST_USE bool rp_sqlite_place_holds(struct rp_sqlite *s);
/* After that, when all other threads are done: saves what is in the WAL. */
void rp_sqlite_place_rescue(struct rp_sqlite *s);
/* When all connections of this process are closed. */
void rp_sqlite_place_done(struct rp_sqlite *s);

/* ---- sqlite_wal.c ---- */

/* Whether the WAL of the file, or of that a link at path leads to, has anything in it. Before
 * the first connection, which makes one. */
bool rp_sqlite_wal_exists(const char *path);
/* Writes the WAL's bytes over themselves and syncs them. Within a write transaction that has not
 * written anything. */
int rp_sqlite_wal_settle(sqlite3 *db);
/* Takes the room that the WAL's index in shared memory will need, once its database is in WAL mode.
 * Where the disk is full a COMMIT that wants more of it fails after its frames are in the WAL. */
int rp_sqlite_wal_reserve(sqlite3 *db);
/* Whether the file is as long as its header says, as one without a WAL must be. */
int rp_sqlite_has_all_pages(sqlite3 *db, const char *path, bool *ret_has);
/* Whether file and WAL are of one moment: SQLite's integrity check, and that nothing speaks of a
 * seq from last_seq + 1 on. *ret_what is "" or what was found. Reads the whole file. */
int rp_sqlite_check_whole(sqlite3 *db, uint64_t last_seq, char *ret_what, size_t size);

/* ---- sqlite_writer.c ---- */

int rp_sqlite_writer_init(struct rp_sqlite *s); /* statements; the connection is there */
void *rp_sqlite_writer_main(void *engine);
uint64_t rp_sqlite_now_ms(void); /* monotonic */
/* A number in meta, within the transaction. */
int rp_sqlite_writer_meta(struct rp_sqlite_writer *w, const char *key, uint64_t value);

/* ---- sqlite_projection.c ---- */

/* What a committed r means for session, member, unacked and namespace. */
int rp_sqlite_project(struct rp_sqlite_writer *w, const struct rp_record *r);

/* ---- sqlite_chores.c ---- */

bool rp_sqlite_chores_pending(const struct rp_sqlite *s);
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
/* The writer's transaction begins (it waits while the checkpointer needs it to) and has ended.
 * SQLITE_OK, or the failure of a pass after which nothing may be written, nor what was just
 * committed be taken for durable; checkpointer.why says more. */
RP_MUST_USE int rp_sqlite_checkpointer_enter(struct rp_sqlite *s);
RP_MUST_USE int rp_sqlite_checkpointer_leave(struct rp_sqlite *s, uint64_t wal_frames);
/* The WAL takes too much: it is to begin anew although nothing is written to it. */
void rp_sqlite_checkpointer_ask(struct rp_sqlite *s);
/* No pass after this. Not between enter and leave. */
void rp_sqlite_checkpointer_forbid(struct rp_sqlite *s);

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

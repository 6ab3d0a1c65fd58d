/* broker/sqlite_writer.c — group commit. The writer takes everything that was appended while it was
 * busy, writes it in one transaction (or several, if it is much), and tells the outcomes after the
 * commit. With nothing to write it works off chores, a slice at a time, so that no publish waits
 * long behind one. */
#include "broker/sqlite_row.h"
#include "broker/sqlite_state.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    FAILURES_MAX = 3, /* input/output errors in a row after which the log is given up */
    CHORES_RETRY_MS = 1000,
    LOOK_AGAIN_MS = 500, /* whether there is space again, or the file can shrink now */
};

uint64_t rp_sqlite_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

/* After every commit, with what is in the WAL. Having a hook also keeps SQLite from checkpointing
 * within COMMIT. */
static int on_commit(void *ctx, sqlite3 *db, const char *name, int frames) {
    (void) db, (void) name;
    ((struct rp_sqlite_writer *) ctx)->wal_frames = (uint64_t) frames;
    return SQLITE_OK;
}

int rp_sqlite_writer_init(struct rp_sqlite *s) {
    static const char *const sqls[RP_SQLITE_W_COUNT] = {
#define STMT_SQL(name, sql) sql,
        RP_SQLITE_WRITER_STMTS(STMT_SQL)
#undef STMT_SQL
    };
    struct rp_sqlite_writer *w = &s->writer;
    sqlite3_wal_hook(w->db, on_commit, w);
    int rc = rp_sqlite_exec(w->db, RP_SQLITE_SELECTED_TABLE);
    return rc != SQLITE_OK ? rc : rp_sqlite_prepare_all(w->db, sqls, RP_SQLITE_W_COUNT, w->stmts);
}

int rp_sqlite_writer_meta(struct rp_sqlite_writer *w, const char *key, uint64_t value) {
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_META_SET];
    rp_sqlite_bind_key(stmt, 1, rp_bytes_str(key));
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) value);
    return rp_sqlite_run(stmt);
}

/* ---- outcomes ---- */

static void add_out(struct rp_sqlite_writer *w, enum rp_engine_outcome_kind kind, enum rp_err err,
                    uint64_t seq, struct rp_record *record) {
    rp_sqlite_outs_add(&w->outs,
                       (struct rp_sqlite_out){
                           .outcome = {.kind = kind, .err = err, .seq = seq, .record = record}});
}

/* The end of writing, with its reason; what is already in `why` is not written over. */
static void give_up(struct rp_sqlite *s, const char *doing, int rc) {
    if (s->engine.why[0] == '\0') {
        rp_sqlite_why(s->writer.db, doing, rc, s->engine.why, sizeof s->engine.why);
    }
    rp_sqlite_checkpointer_forbid(s);
    s->writer.failed = true;
    s->writer.outs.count = 0;
    add_out(&s->writer, RP_ENGINE_FATAL, rp_sqlite_err(rc), 0, NULL);
    rp_sqlite_publish(s, &s->writer.outs);
}

/* ---- one transaction ---- */

static int find_id(struct rp_sqlite_writer *w, const struct rp_record *r, uint64_t *ret_seq) {
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_FIND_ID];
    rp_sqlite_bind_key(stmt, 1, r->f.nsp);
    rp_sqlite_bind_text(stmt, 2, r->f.id);
    return rp_sqlite_run_u64(stmt, ret_seq);
}

/* It is not stored; a publish that is in the log already is told so all the same. */
static int refuse_one(struct rp_sqlite_writer *w, struct rp_record *r, enum rp_err err) {
    uint64_t seq = 0;
    int rc = r->f.kind == RP_RECORD_EVENT && r->f.id.len > 0 ? find_id(w, r, &seq) : SQLITE_OK;
    if (seq > 0) {
        add_out(w, RP_ENGINE_DUPLICATE, RP_OK, seq, r);
    } else {
        add_out(w, RP_ENGINE_REFUSED, err, 0, r);
        w->refused++;
        w->refused_no_space += err == RP_E_NO_SPACE;
    }
    return rc;
}

static int write_record(struct rp_sqlite *s, struct rp_record *r) {
    struct rp_sqlite_writer *w = &s->writer;
    bool has_id = r->f.kind == RP_RECORD_EVENT && r->f.id.len > 0;
    if (s->space.nothing || (s->space.no_events && r->f.kind == RP_RECORD_EVENT)) {
        return refuse_one(w, r, RP_E_NO_SPACE);
    }
    if (has_id && (r->f.flags & RP_RECORD_FIND)) {
        return refuse_one(w, r, RP_E_NOT_FOUND);
    }
    sqlite3_stmt *insert = w->stmts[has_id ? RP_SQLITE_W_INSERT_ID : RP_SQLITE_W_INSERT];
    r->seq = w->next_seq;
    rp_sqlite_row_bind(insert, r);
    int rc = rp_sqlite_run(insert);
    if (rc != SQLITE_OK) {
        return rc;
    }
    if (has_id && sqlite3_changes(w->db) == 0) {
        uint64_t seq = 0;
        rc = find_id(w, r, &seq);
        r->seq = 0;
        add_out(w, RP_ENGINE_DUPLICATE, RP_OK, seq, r);
        return rc;
    }
    w->next_seq++;
    add_out(w, RP_ENGINE_COMMITTED, RP_OK, r->seq, r);
    return rp_sqlite_project(w, r);
}

/* The checkpointer cannot go on, and says why. */
static void give_up_too(struct rp_sqlite *s, int failure) {
    memcpy(s->engine.why, s->checkpointer.why, sizeof s->engine.why);
    give_up(s, "", failure);
}

/* How far a transaction came; what was written before COMMIT is certainly gone after a rollback. */
enum stage { STAGE_RECORDS, STAGE_CHORES, STAGE_COMMIT, STAGE_DONE };
static const char *const stage_names[] = {
    [STAGE_RECORDS] = "writing records",
    [STAGE_CHORES] = "writing the index or trimming",
    [STAGE_COMMIT] = "COMMIT",
};

/* Writes the first *n items; *n becomes smaller if that gets too much. */
static int transaction(struct rp_sqlite *s, const struct rp_sqlite_pending *items, size_t *n,
                       bool chores, enum stage *ret_stage) {
    struct rp_sqlite_writer *w = &s->writer;
    unsigned changed = (unsigned) sqlite3_total_changes(w->db);
    *ret_stage = STAGE_RECORDS;
    w->refused = w->refused_no_space = 0;
    int rc = rp_sqlite_run(w->stmts[RP_SQLITE_W_BEGIN]);
    for (size_t i = 0; i < *n && rc == SQLITE_OK; i++) {
        rc = write_record(s, items[i].record);
        bool much = (unsigned) sqlite3_total_changes(w->db) - changed > RP_ENGINE_TRANSACTION_ROWS;
        *n = rc == SQLITE_OK && items[i].last && much ? i + 1 : *n;
    }
    if (rc == SQLITE_OK && chores) {
        *ret_stage = STAGE_CHORES;
        rc = rp_sqlite_chores_slice(s, *n);
    }
    if (rc == SQLITE_OK) {
        *ret_stage = STAGE_COMMIT;
        rc = rp_sqlite_run(w->stmts[RP_SQLITE_W_COMMIT]);
    }
    if (rc == SQLITE_OK) {
        *ret_stage = STAGE_DONE;
    }
    return rc;
}

/* Undoes a failed transaction. False: the connection is in no state to go on. */
static bool roll_back(struct rp_sqlite *s, const struct rp_sqlite_pending *items, size_t n) {
    s->writer.outs.count = 0;
    for (size_t i = 0; i < n; i++) {
        items[i].record->seq = 0;
    }
    rp_sqlite_chores_undone(s);
    return sqlite3_get_autocommit(s->writer.db) ||
           rp_sqlite_exec(s->writer.db, "ROLLBACK") == SQLITE_OK;
}

/* No room on the disk, or a person's lock. A transaction that failed so, even in COMMIT, has left
 * nothing: its last page, which makes it count, did not get into the WAL. */
static bool was_kept_out(int rc) {
    return (rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_BUSY;
}

/* Whether a failed transaction has certainly left nothing in the file, and trying others makes
 * sense. A COMMIT that failed otherwise than for want of space may yet be found in the WAL after a
 * crash; a file that is damaged is not written to. */
static bool may_go_on(struct rp_sqlite_writer *w, int rc, enum stage stage) {
    int plain = rc & 0xff;
    if (plain == SQLITE_CORRUPT || plain == SQLITE_NOTADB || rp_sqlite_lost_writes(rc) ||
        (stage == STAGE_COMMIT && !was_kept_out(rc))) {
        return false;
    }
    w->failures += was_kept_out(rc) ? 0 : 1;
    return w->failures < FAILURES_MAX;
}

static void refuse(struct rp_sqlite *s, const struct rp_sqlite_pending *items, size_t n, int rc) {
    struct rp_sqlite_writer *w = &s->writer;
    enum rp_err err = rp_sqlite_err(rc);
    w->refused = w->refused_no_space = 0;
    for (size_t i = 0; i < n; i++) {
        (void) refuse_one(w, items[i].record, err); /* what cannot be found is refused */
    }
    rp_sqlite_count(&s->counters.refused, w->refused);
    rp_sqlite_count(&s->counters.refused_no_space, w->refused_no_space);
    rp_sqlite_count(&s->counters.duplicates, n - w->refused);
    rp_sqlite_publish(s, &s->writer.outs);
}

static void succeed(struct rp_sqlite *s, size_t n, uint64_t first_seq) {
    struct rp_sqlite_writer *w = &s->writer;
    uint64_t written = w->next_seq - first_seq;
    w->failures = 0;
    if (written > 0) { /* else next_seq may be ahead of what is in the file */
        rp_sqlite_mark_move(s, w->next_seq);
    }
    rp_sqlite_count(&s->counters.transactions, 1);
    rp_sqlite_count(&s->counters.records, written);
    rp_sqlite_count(&s->counters.duplicates, n - written - w->refused);
    rp_sqlite_count(&s->counters.refused, w->refused);
    rp_sqlite_count(&s->counters.refused_no_space, w->refused_no_space);
    if ((w->next_seq - 1) / s->segment_events != (first_seq - 1) / s->segment_events) {
        rp_sqlite_indexer_notify(s, w->next_seq, false);
    }
    rp_sqlite_chores_committed(s);
    rp_sqlite_publish(s, &w->outs);
}

/* Lets go of records that stay undecided. */
static void drop(const struct rp_sqlite_pending *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        rp_record_unref(items[i].record);
    }
}

/* Whether there are chores, and none that have failed a moment ago. */
static bool chores_are_due(struct rp_sqlite *s, uint64_t now_ms) {
    struct rp_sqlite_chores *c = &s->writer.chores;
    c->retry_at_ms = now_ms < c->retry_at_ms ? c->retry_at_ms : 0;
    return c->retry_at_ms == 0 && rp_sqlite_chores_pending(s);
}

/* One transaction with its outcomes; with n == 0 for chores alone. How many of the items it took.
 */
static size_t write_group(struct rp_sqlite *s, const struct rp_sqlite_pending *items, size_t n) {
    struct rp_sqlite_writer *w = &s->writer;
    uint64_t first_seq = w->next_seq;
    uint64_t now_ms = rp_sqlite_now_ms();
    rp_sqlite_space_look(s, now_ms);
    bool chores = chores_are_due(s, now_ms);
    enum stage stage;
    int failure = rp_sqlite_checkpointer_enter(s);
    if (failure != SQLITE_OK) {
        (void) !rp_sqlite_checkpointer_leave(s, w->wal_frames);
        drop(items, n);
        give_up_too(s, failure);
        return n;
    }
    int rc = transaction(s, items, &n, chores, &stage);
    bool sound = rc == SQLITE_OK || roll_back(s, items, n);
    if (rc != SQLITE_OK && chores) {
        w->chores.retry_at_ms = rp_sqlite_now_ms() + CHORES_RETRY_MS;
        bool certain = (stage == STAGE_CHORES && !rp_sqlite_lost_writes(rc)) || was_kept_out(rc);
        if (sound && n > 0 && certain) { /* the records alone may fit */
            w->next_seq = first_seq;
            rc = transaction(s, items, &n, false, &stage);
            sound = rc == SQLITE_OK || roll_back(s, items, n);
        }
    }
    failure = rp_sqlite_checkpointer_leave(s, w->wal_frames);
    if (failure != SQLITE_OK) { /* of the pages it lost, some may be this transaction's */
        drop(items, n);
        give_up_too(s, failure);
    } else if (rc == SQLITE_OK && !rp_sqlite_place_holds(s)) {
        drop(items, n);
        give_up(s, "", SQLITE_IOERR);
    } else if (rc == SQLITE_OK) {
        succeed(s, n, first_seq);
    } else if (!sound || !may_go_on(w, rc, stage)) {
        drop(items, n);
        give_up(s, stage_names[stage], rc);
    } else if (n > 0) {
        w->next_seq = first_seq; /* seqs have no holes: --check takes one for a lost record */
        refuse(s, items, n, rc);
    }
    return n;
}

/* ---- batches ---- */

/* How many of the items go into one transaction: whole groups, up to the bounds. */
static size_t group_size(const struct rp_sqlite_pending *items, size_t n) {
    size_t bytes = 0, whole = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += items[i].record->size;
        if (whole > 0 &&
            (i >= RP_ENGINE_TRANSACTION_RECORDS || bytes > RP_ENGINE_TRANSACTION_BYTES)) {
            break;
        }
        whole = items[i].last ? i + 1 : whole;
    }
    RP_ASSERT(whole > 0);
    return whole;
}

static void write_batch(struct rp_sqlite *s) {
    struct rp_sqlite_writer *w = &s->writer;
    size_t at = 0;
    while (at < w->items_count && !w->failed) {
        size_t n = group_size(w->items + at, w->items_count - at);
        at += write_group(s, w->items + at, n);
    }
    /* after FATAL what is left is undecided; the loop gets no outcome for it */
    drop(w->items + at, w->items_count - at);
    w->items_count = 0;
}

/* ---- a new epoch ---- */

static int write_epoch(struct rp_sqlite *s, const struct rp_sqlite_epoch_order *order,
                       uint64_t next_seq) {
    struct rp_sqlite_writer *w = &s->writer;
    /* on the disk whatever the mode: no event of the new epoch may survive under the old one */
    int rc = rp_sqlite_exec(
        w->db, "PRAGMA synchronous = FULL; BEGIN IMMEDIATE;" RP_SQLITE_FORGET_SESSIONS);
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_epoch(w->db, order->epoch, next_seq) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_add_gap(w->db, w->next_seq, next_seq) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_writer_meta(w, "next_seq", next_seq) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_exec(w->db, "COMMIT") : rc;
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(w->db)) {
        rp_sqlite_exec(w->db, "ROLLBACK");
    }
    if (!s->sync_full) {
        rp_sqlite_exec(w->db, "PRAGMA synchronous = NORMAL");
    }
    return rc;
}

static void obey_epoch(struct rp_sqlite *s, struct rp_sqlite_epoch_order *order) {
    struct rp_sqlite_writer *w = &s->writer;
    enum rp_err err = RP_E_IO;
    if (!w->failed) {
        uint64_t next_seq = w->next_seq > order->above ? w->next_seq : order->above + 1;
        int failure = rp_sqlite_checkpointer_enter(s);
        int rc = failure == SQLITE_OK ? write_epoch(s, order, next_seq) : failure;
        failure = rp_sqlite_checkpointer_leave(s, w->wal_frames);
        err = rp_sqlite_err(failure == SQLITE_OK ? rc : failure);
        if (failure != SQLITE_OK) {
            give_up_too(s, failure);
        } else if (rc == SQLITE_OK) {
            w->next_seq = s->mark.next_seq = next_seq;
            memcpy(s->mark.epoch, order->epoch, RP_EPOCH_LEN);
            rp_sqlite_mark_write(s->lock_fd, &s->mark, false);
            rp_sqlite_indexer_notify(s, next_seq, false);
        } else if (!was_kept_out(rc)) {
            give_up(s, "beginning a new epoch", rc); /* it may be in the file or not */
        }
    }
    pthread_mutex_lock(&s->inbox.lock);
    order->err = err;
    order->done = true;
    pthread_cond_signal(&s->inbox.answered);
    pthread_mutex_unlock(&s->inbox.lock);
}

/* ---- the thread ---- */

struct orders {
    bool stop, trim, failed; /* failed: of the checkpointer */
    uint64_t trim_upto, trim_wall_ms;
    struct rp_sqlite_epoch_order *epoch;
};

static bool has_input(const struct rp_sqlite_inbox *in) {
    return in->count > 0 || in->stop || in->trim_asked || in->epoch_order != NULL ||
           in->job != NULL || in->checkpoint_failed;
}

/* Sleeps until there is input, or until chores should be tried again. lock is held. */
static void sleep_for_input(struct rp_sqlite_inbox *in, uint64_t until_ms) {
    in->writer_waits =
        true; /* whoever wakes it clears this, so that a burst of appends wakes it once */
    if (until_ms == 0) {
        pthread_cond_wait(&in->work, &in->lock);
    } else {
        struct timespec until = {.tv_sec = (time_t) (until_ms / 1000),
                                 .tv_nsec = (long) (until_ms % 1000) * 1000000};
        pthread_cond_timedwait(&in->work, &in->lock, &until);
    }
    in->writer_waits = false;
}

/* Space may be back, or who read an old state done, without anybody writing. */
static bool looks_again(const struct rp_sqlite *s) {
    return (s->space.no_events || s->space.shrinks_later) && !s->writer.failed;
}

/* When the disk is looked at though there is nothing to do; 0: it is not. */
static uint64_t until_look(const struct rp_sqlite *s) {
    return looks_again(s) ? rp_sqlite_now_ms() + LOOK_AGAIN_MS : 0;
}

static struct orders take_input(struct rp_sqlite *s) {
    struct rp_sqlite_inbox *in = &s->inbox;
    struct rp_sqlite_writer *w = &s->writer;
    pthread_mutex_lock(&in->lock);
    while (!has_input(in) || (w->failed && !in->stop && in->epoch_order == NULL)) {
        if (!w->failed && chores_are_due(s, rp_sqlite_now_ms())) {
            break;
        }
        bool pending = !w->failed && rp_sqlite_chores_pending(s);
        sleep_for_input(in, pending ? w->chores.retry_at_ms : until_look(s));
        if (!has_input(in) && looks_again(s)) {
            pthread_mutex_unlock(&in->lock);
            rp_sqlite_space_look(s, rp_sqlite_now_ms());
            pthread_mutex_lock(&in->lock);
        }
    }
    struct orders orders = {.stop = in->stop,
                            .trim = in->trim_asked,
                            .failed = in->checkpoint_failed,
                            .trim_upto = in->trim_upto,
                            .trim_wall_ms = in->trim_wall_ms,
                            .epoch = in->epoch_order};
    if (!w->failed) {
        struct rp_sqlite_pending *empty = w->items;
        size_t empty_capacity = w->items_capacity;
        w->items = in->items;
        w->items_count = in->count;
        w->items_capacity = in->capacity;
        in->items = empty;
        in->count = 0;
        in->capacity = empty_capacity;
    }
    if (in->job != NULL) {
        RP_ASSERT(w->chores.job == NULL);
        w->chores.job = in->job;
        w->chores.job_at = w->chores.job_at_next = 0;
        in->job = NULL;
    }
    in->trim_asked = in->checkpoint_failed = false;
    in->epoch_order = NULL;
    pthread_mutex_unlock(&in->lock);
    return orders;
}

void *rp_sqlite_writer_main(void *engine) {
    struct rp_sqlite *s = engine;
    struct rp_sqlite_writer *w = &s->writer;
    for (;;) {
        struct orders orders = take_input(s);
        if (orders.trim && !w->failed) {
            rp_sqlite_retention_begin(s, orders.trim_upto, orders.trim_wall_ms);
        }
        if (w->items_count > 0) {
            write_batch(s);
        } else if (!w->failed && (orders.failed || (!orders.stop && rp_sqlite_chores_pending(s)))) {
            write_group(s, NULL, 0);
        }
        if (orders.epoch != NULL) {
            obey_epoch(s, orders.epoch);
        }
        if (orders.stop) { /* nothing is appended after it */
            return NULL;
        }
    }
}

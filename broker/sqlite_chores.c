/* broker/sqlite_chores.c — what the writer does beside the records, a slice per transaction: put a
 * closed segment's rows into room_index, and remove what retention no longer keeps.
 *
 * Slices grow with the transaction they ride on, so that chores keep up with any rate of publishes
 * and cost each transaction the same share. A transaction of their own, when nothing is appended,
 * may be larger.
 *
 * Trimming goes in phases that leave every read exact in between: first each room learns the newest
 * seq it loses and loses its index row, in one transaction, from which moment reads start after
 * that seq; then goes what sessions owe for the events (load passes over it from the first slice
 * on), and then the events. */
#include "broker/sqlite_state.h"

#include "common/assert.h"

#include <stdlib.h>

enum {
    SLICE_ROWS_MIN = 16,
    SLICE_BYTES_MIN = 8 << 10,
    SLICE_BYTES_PER_RECORD = 32, /* an event takes about 9 in the index */
    ALONE_ROWS = 512,
    ALONE_BYTES = 64 << 10,
};

struct slice {
    size_t rows, bytes;
};

static struct slice slice_for(size_t records) {
    if (records == 0) {
        return (struct slice){.rows = ALONE_ROWS, .bytes = ALONE_BYTES};
    }
    struct slice slice = {.rows = 2 * records, .bytes = records * SLICE_BYTES_PER_RECORD};
    slice.rows = slice.rows > SLICE_ROWS_MIN ? slice.rows : SLICE_ROWS_MIN;
    slice.bytes = slice.bytes > SLICE_BYTES_MIN ? slice.bytes : SLICE_BYTES_MIN;
    return slice;
}

bool rp_sqlite_chores_pending(const struct rp_sqlite_writer *w) {
    return w->chores.job != NULL || w->chores.trimming;
}

/* ---- the index ---- */

static int write_index_row(struct rp_sqlite_writer *w, uint64_t segment,
                           const struct rp_sqlite_index_row *row) {
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_INDEX_ROW];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) segment);
    rp_sqlite_bind_key(stmt, 2, row->room);
    rp_sqlite_bind_key(stmt, 3, row->nsp);
    rp_sqlite_bind_u64(stmt, 4, row->n);
    rp_sqlite_bind_text(stmt, 5, rp_buf_bytes(&row->seqs));
    return rp_sqlite_run(stmt);
}

/* From this row on the segment is read through the index. */
static int write_segment(struct rp_sqlite *s, const struct rp_sqlite_index_job *job) {
    sqlite3_stmt *stmt = s->writer.stmts[RP_SQLITE_W_INDEX_SEGMENT];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) job->segment);
    rp_sqlite_bind_u64(stmt, 2, job->first_seq);
    rp_sqlite_bind_u64(stmt, 3, job->last_seq);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64) job->events);
    int rc = rp_sqlite_run(stmt);
    uint64_t indexed_seq = (job->segment + 1) * s->segment_events;
    return rc == SQLITE_OK ? rp_sqlite_writer_meta(&s->writer, "indexed_seq", indexed_seq) : rc;
}

static int index_slice(struct rp_sqlite *s, struct slice slice) {
    struct rp_sqlite_chores *c = &s->writer.chores;
    const struct rp_sqlite_index_job *job = c->job;
    size_t at = c->job_at, bytes = 0;
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && at < job->rows_count && at - c->job_at < slice.rows &&
           bytes < slice.bytes) {
        rc = write_index_row(&s->writer, job->segment, job->rows[at]);
        bytes += job->rows[at]->seqs.len;
        at++;
    }
    if (rc == SQLITE_OK && at == job->rows_count) {
        rc = write_segment(s, job);
        at++;
    }
    c->job_at_next = at;
    return rc;
}

/* ---- trimming ---- */

int rp_sqlite_chores_trim(struct rp_sqlite *s, uint64_t upto) {
    struct rp_sqlite_writer *w = &s->writer;
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_TRIM_TARGET];
    uint64_t end = 0; /* the segments before it go */
    RP_ASSERT(!w->chores.trimming);
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) (upto / s->segment_events));
    int rc = rp_sqlite_run_u64(stmt, &end);
    if (rc != SQLITE_OK) {
        return rc;
    }
    if (end == 0) {
        struct rp_sqlite_out out = {
            .outcome = {.kind = RP_ENGINE_TRIMMED, .seq = w->first_seq - 1}};
        rp_sqlite_outs_add(&w->outs, out);
        rp_sqlite_publish(s, &w->outs);
        return SQLITE_OK;
    }
    w->chores.trimming = true;
    w->chores.trim_done_next = false;
    w->chores.trim_phase = w->chores.trim_phase_next = RP_SQLITE_TRIM_ROOMS;
    w->chores.trim_session = w->chores.trim_session_next = 0;
    w->chores.trim_segment = end - 1;
    w->chores.trim_seq = end * s->segment_events;
    return SQLITE_OK;
}

/* The last number of "[1,2,3]". */
static uint64_t last_of(struct rp_bytes seqs) {
    size_t end = seqs.len > 0 ? seqs.len - 1 : 0, from = end;
    while (from > 0 && seqs.data[from - 1] >= '0' && seqs.data[from - 1] <= '9') {
        from--;
    }
    uint64_t last = 0;
    return rp_bytes_to_u64(rp_bytes(seqs.data + from, end - from), &last) ? last : 0;
}

/* The room loses the events of one segment and remembers the newest. */
static int trim_room(struct rp_sqlite_writer *w, sqlite3_stmt *row) {
    struct rp_bytes room = rp_sqlite_text(row, 1), nsp = rp_sqlite_text(row, 2);
    uint64_t last = last_of(rp_sqlite_text(row, 3));
    if (last == 0) {
        return SQLITE_CORRUPT;
    }
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_TRIM_ROOM];
    rp_sqlite_bind_key(stmt, 1, room);
    rp_sqlite_bind_key(stmt, 2, nsp);
    rp_sqlite_bind_u64(stmt, 3, last);
    return rp_sqlite_run(stmt);
}

/* Removes the first index row. SQLite leaves it open what a SELECT sees when its table changes, so
 * this follows it. */
static int forget_first(struct rp_sqlite_writer *w) {
    sqlite3_stmt *key = w->stmts[RP_SQLITE_W_TRIM_KEY], *stmt = w->stmts[RP_SQLITE_W_TRIM_INDEX];
    if (sqlite3_step(key) == SQLITE_ROW) {
        for (int i = 0; i < 3; i++) {
            sqlite3_bind_value(stmt, i + 1, sqlite3_column_value(key, i));
        }
    }
    int rc = sqlite3_reset(key);
    return rc == SQLITE_OK ? rp_sqlite_run(stmt) : rc;
}

static int trim_rooms(struct rp_sqlite_writer *w, size_t rows) {
    sqlite3_stmt *select = w->stmts[RP_SQLITE_W_TRIM_ROWS];
    size_t count = 0;
    sqlite3_bind_int64(select, 1, (sqlite3_int64) w->chores.trim_segment);
    rp_sqlite_bind_u64(select, 2, rows);
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && sqlite3_step(select) == SQLITE_ROW) {
        rc = trim_room(w, select);
        count++;
    }
    int end = sqlite3_reset(select);
    rc = rc == SQLITE_OK ? end : rc;
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
        rc = forget_first(w);
    }
    w->chores.trim_phase_next = count < rows ? RP_SQLITE_TRIM_UNACKED : RP_SQLITE_TRIM_ROOMS;
    /* From here on the log begins later, also for a broker that is killed in the middle of it: what
     * is left of the older part has holes, and only room.trimmed_seq knows which. The rows go with
     * this trim or the next one. */
    return rc == SQLITE_OK ? rp_sqlite_writer_meta(w, "first_seq", w->chores.trim_seq + 1) : rc;
}

/* All of one session at least. The table has no index by seq, which each event that wants acks
 * would pay for; it is walked once. */
static int trim_unacked(struct rp_sqlite_writer *w, size_t rows) {
    sqlite3_stmt *seek = w->stmts[RP_SQLITE_W_TRIM_UNACKED_SEEK];
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_TRIM_UNACKED];
    struct rp_sqlite_chores *c = &w->chores;
    uint64_t upto = 0; /* the last session of the slice; 0: there are fewer rows than it may have */
    sqlite3_bind_int64(seek, 1, (sqlite3_int64) c->trim_session);
    sqlite3_bind_int64(seek, 2, (sqlite3_int64) rows);
    int rc = rp_sqlite_run_u64(seek, &upto);
    if (rc != SQLITE_OK) {
        return rc;
    }
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) c->trim_session);
    sqlite3_bind_int64(stmt, 2, upto > 0 ? (sqlite3_int64) upto : INT64_MAX);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64) c->trim_seq);
    c->trim_session_next = upto;
    c->trim_phase_next = upto > 0 ? RP_SQLITE_TRIM_UNACKED : RP_SQLITE_TRIM_EVENTS;
    return rp_sqlite_run(stmt);
}

static int finish_trim(struct rp_sqlite_writer *w) {
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_TRIM_SEGMENTS];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) w->chores.trim_segment);
    return rp_sqlite_run(stmt);
}

static int trim_events(struct rp_sqlite_writer *w, size_t rows) {
    sqlite3_stmt *seek = w->stmts[RP_SQLITE_W_TRIM_SEEK], *stmt = w->stmts[RP_SQLITE_W_TRIM_EVENTS];
    struct rp_sqlite_chores *c = &w->chores;
    uint64_t upto = 0; /* of the slice; 0: there are fewer rows than it may have */
    /* the rows may be all there are, and no seq is ever given again */
    int rc = rp_sqlite_writer_meta(w, "next_seq", w->next_seq);
    rp_sqlite_bind_u64(seek, 1, rows);
    rc = rc == SQLITE_OK ? rp_sqlite_run_u64(seek, &upto) : rc;
    if (rc != SQLITE_OK) {
        return rc;
    }
    bool last = upto == 0 || upto > c->trim_seq;
    rp_sqlite_bind_u64(stmt, 1, last ? c->trim_seq : upto);
    rc = rp_sqlite_run(stmt);
    if (rc == SQLITE_OK && last) {
        rc = finish_trim(w);
        c->trim_done_next = true;
    }
    return rc;
}

static int trim_slice(struct rp_sqlite_writer *w, size_t rows) {
    switch (w->chores.trim_phase) {
    case RP_SQLITE_TRIM_ROOMS:
        return trim_rooms(w, rows);
    case RP_SQLITE_TRIM_UNACKED:
        return trim_unacked(w, rows);
    case RP_SQLITE_TRIM_EVENTS:
        return trim_events(w, rows);
    }
    return SQLITE_OK;
}

/* ---- in the writer's transactions ---- */

int rp_sqlite_chores_slice(struct rp_sqlite *s, size_t records) {
    struct rp_sqlite_writer *w = &s->writer;
    struct slice slice = slice_for(records);
    int rc = SQLITE_OK;
    if (w->chores.job != NULL) {
        rc = index_slice(s, slice);
    }
    if (rc == SQLITE_OK && w->chores.trimming) {
        rc = trim_slice(w, slice.rows);
    }
    return rc;
}

static void trim_committed(struct rp_sqlite *s) {
    struct rp_sqlite_writer *w = &s->writer;
    struct rp_sqlite_chores *c = &w->chores;
    c->trim_phase = c->trim_phase_next;
    c->trim_session = c->trim_session_next;
    if (c->trim_done_next) {
        c->trimming = c->trim_done_next = false;
        rp_sqlite_count(&s->counters.segments_trimmed,
                        (c->trim_seq + 1 - w->first_seq) / s->segment_events);
        w->first_seq = c->trim_seq + 1;
        rp_sqlite_outs_add(&w->outs, (struct rp_sqlite_out){.outcome = {.kind = RP_ENGINE_TRIMMED,
                                                                        .seq = c->trim_seq}});
    }
}

void rp_sqlite_chores_committed(struct rp_sqlite *s) {
    struct rp_sqlite_chores *c = &s->writer.chores;
    if (c->trimming) {
        trim_committed(s);
    }
    if (c->job == NULL) {
        return;
    }
    c->job_at = c->job_at_next;
    if (c->job_at > c->job->rows_count) {
        c->job = NULL; /* the indexer frees it */
        rp_sqlite_count(&s->counters.segments_indexed, 1);
        rp_sqlite_indexer_notify(s, s->writer.next_seq, true);
    }
}

void rp_sqlite_chores_undone(struct rp_sqlite *s) {
    struct rp_sqlite_chores *c = &s->writer.chores;
    c->job_at_next = c->job_at;
    c->trim_phase_next = c->trim_phase;
    c->trim_session_next = c->trim_session;
    c->trim_done_next = false;
}

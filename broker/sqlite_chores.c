/* broker/sqlite_chores.c — what the writer does beside the records, a slice per transaction: put a
 * closed segment's rows into room_index, remove what retention no longer keeps
 * (sqlite_retention.c), give pages back to the file system (sqlite_space.c).
 *
 * Slices grow with the transaction they ride on, so that chores keep up with any rate of publishes
 * and cost each transaction the same share. A transaction of their own, when nothing is appended,
 * may be larger.
 */
#include "broker/sqlite_state.h"

enum {
    SLICE_ROWS_MIN = 16,
    SLICE_BYTES_MIN = 8 << 10,
    SLICE_BYTES_PER_RECORD = 32, /* an event takes about 9 in the index */
    EVENT_BYTES_MIN = 64 << 10,  /* of events that are removed */
    EVENT_BYTES_PER_RECORD = 1 << 10,
    ALONE_ROWS = 512,
    ALONE_BYTES = 64 << 10,
    ALONE_EVENT_BYTES = 1 << 20,
};

struct slice {
    size_t rows, bytes, event_bytes;
};

static struct slice slice_for(size_t records) {
    if (records == 0) {
        return (struct slice){
            .rows = ALONE_ROWS, .bytes = ALONE_BYTES, .event_bytes = ALONE_EVENT_BYTES};
    }
    struct slice slice = {.rows = 2 * records,
                          .bytes = records * SLICE_BYTES_PER_RECORD,
                          .event_bytes = records * EVENT_BYTES_PER_RECORD};
    slice.rows = slice.rows > SLICE_ROWS_MIN ? slice.rows : SLICE_ROWS_MIN;
    slice.bytes = slice.bytes > SLICE_BYTES_MIN ? slice.bytes : SLICE_BYTES_MIN;
    slice.event_bytes = slice.event_bytes > EVENT_BYTES_MIN ? slice.event_bytes : EVENT_BYTES_MIN;
    return slice;
}

bool rp_sqlite_chores_pending(const struct rp_sqlite *s) {
    return s->writer.chores.job != NULL || rp_sqlite_retention_pending(&s->retention) ||
           s->space.shrinking;
}

/* ---- the index ---- */

/* Unless the room has lost all of it since it was gathered. */
static int write_index_row(struct rp_sqlite *s, uint64_t segment,
                           const struct rp_sqlite_index_row *row) {
    sqlite3_stmt *stmt = s->writer.stmts[RP_SQLITE_W_INDEX_ROW];
    uint64_t border = 0;
    if (rp_retention_limits_anything(s->retention.rules)) {
        int rc = rp_sqlite_retention_border(&s->retention, row->room, row->nsp, &border);
        if (rc != SQLITE_OK || border >= row->last_seq) {
            return rc;
        }
    }
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) segment);
    rp_sqlite_bind_key(stmt, 2, row->room);
    rp_sqlite_bind_key(stmt, 3, row->nsp);
    rp_sqlite_bind_u64(stmt, 4, row->n);
    rp_sqlite_bind_text(stmt, 5, rp_buf_bytes(&row->seqs));
    rp_sqlite_bind_u64(stmt, 6, row->bytes);
    return rp_sqlite_run(stmt);
}

/* From this row on the segment is read through the index. */
static int write_segment(struct rp_sqlite *s, const struct rp_sqlite_index_job *job) {
    sqlite3_stmt *stmt = s->writer.stmts[RP_SQLITE_W_INDEX_SEGMENT];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) job->segment);
    rp_sqlite_bind_u64(stmt, 2, job->first_seq);
    rp_sqlite_bind_u64(stmt, 3, job->last_seq);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64) job->events);
    /* one that is gone already has no rows */
    int rc = job->first_seq > 0 && job->segment >= s->retention.now.dropped ? rp_sqlite_run(stmt)
                                                                            : SQLITE_OK;
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
        rc = write_index_row(s, job->segment, job->rows[at]);
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

/* ---- in the writer's transactions ---- */

int rp_sqlite_chores_slice(struct rp_sqlite *s, size_t records) {
    struct slice slice = slice_for(records);
    int rc = SQLITE_OK;
    if (s->writer.chores.job != NULL) {
        rc = index_slice(s, slice);
    }
    if (rc == SQLITE_OK && rp_sqlite_retention_pending(&s->retention)) {
        rc = rp_sqlite_retention_slice(s, slice.rows, slice.event_bytes);
    }
    if (rc == SQLITE_OK && s->space.shrinking) {
        rc = rp_sqlite_space_shrink(s, records == 0);
    }
    return rc;
}

void rp_sqlite_chores_committed(struct rp_sqlite *s) {
    struct rp_sqlite_chores *c = &s->writer.chores;
    rp_sqlite_retention_committed(s);
    if (c->job == NULL) {
        return;
    }
    c->job_at = c->job_at_next;
    if (c->job_at > c->job->rows_count) {
        s->writer.indexed_seq = (c->job->segment + 1) * s->segment_events;
        c->job = NULL; /* the indexer frees it */
        rp_sqlite_count(&s->counters.segments_indexed, 1);
        rp_sqlite_indexer_notify(s, s->writer.next_seq, true);
    }
}

void rp_sqlite_chores_undone(struct rp_sqlite *s) {
    struct rp_sqlite_chores *c = &s->writer.chores;
    c->job_at_next = c->job_at;
    rp_sqlite_retention_undone(s);
}

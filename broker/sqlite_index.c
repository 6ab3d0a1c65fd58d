/* broker/sqlite_index.c — the index of closed segments, made off the writer: read the segment's
 * events, gather their seqs by room, sort the rooms by the primary key (so that rows are appended
 * to the b-tree rather than strewn over it), hand the rows to the writer, wait until it has them
 * all in the file, go on with the next. What is not indexed when the process ends is indexed after
 * the next start. */
#include "broker/sqlite_row.h"
#include "broker/room_key.h"
#include "broker/sqlite_state.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "proto/attachments.h"

#include <stdlib.h>

enum { INDEXER_CACHE_KIB = 4096, SEQ_DIGITS = 20 };

int rp_sqlite_indexer_init(struct rp_sqlite *s) {
    struct rp_sqlite_indexer *x = &s->indexer;
    x->next_seq = s->writer.next_seq;
    x->indexed_seq = s->writer.indexed_seq;
    int rc = rp_sqlite_db_open(s->path, RP_SQLITE_READ, INDEXER_CACHE_KIB, &x->db);
    rc = rc == SQLITE_OK
             ? rp_sqlite_prepare(x->db, "SELECT seq FROM event WHERE seq > ?1 ORDER BY seq LIMIT 1",
                                 &x->find)
             : rc;
    return rc == SQLITE_OK
               ? rp_sqlite_prepare(x->db,
                                   "SELECT " RP_SQLITE_ROOMS_COLUMNS " FROM event WHERE seq > "
                                   "?1 AND seq <= ?2 ORDER BY seq",
                                   &x->scan)
               : rc;
}

void rp_sqlite_indexer_done(struct rp_sqlite *s) {
    sqlite3_finalize(s->indexer.find);
    sqlite3_finalize(s->indexer.scan);
    sqlite3_close(s->indexer.db);
}

void rp_sqlite_indexer_notify(struct rp_sqlite *s, uint64_t next_seq, bool job_done) {
    struct rp_sqlite_indexer *x = &s->indexer;
    pthread_mutex_lock(&x->lock);
    x->next_seq = next_seq;
    x->job_done = x->job_done || job_done;
    pthread_cond_signal(&x->wake);
    pthread_mutex_unlock(&x->lock);
}

void rp_sqlite_indexer_stop(struct rp_sqlite *s) {
    struct rp_sqlite_indexer *x = &s->indexer;
    pthread_mutex_lock(&x->lock);
    x->stop = true;
    pthread_cond_signal(&x->wake);
    pthread_mutex_unlock(&x->lock);
    pthread_join(x->thread, NULL);
}

/* ---- gathering ---- */

struct gathering {
    struct rp_sqlite *sqlite;
    struct rp_map by_room;
    struct rp_sqlite_index_job *job;
    size_t rows_capacity;
};

static struct rp_sqlite_index_row *row_of(struct gathering *g, struct rp_bytes room,
                                          struct rp_bytes nsp) {
    uint64_t hash = rp_room_key_hash(&g->sqlite->hash_key, room, nsp);
    for (struct rp_map_node *n = rp_map_first(&g->by_room, hash); n; n = rp_map_next(n, hash)) {
        struct rp_sqlite_index_row *row = RP_CONTAINER_OF(n, struct rp_sqlite_index_row, node);
        if (rp_bytes_eq(row->room, room) && rp_bytes_eq(row->nsp, nsp)) {
            return row;
        }
    }
    struct rp_sqlite_index_row *row = rp_alloc(sizeof(*row) + room.len + nsp.len);
    rp_room_key_copy(row->names, room, nsp, &row->room, &row->nsp);
    rp_buf_init(&row->seqs, (g->sqlite->segment_events + 1) * (SEQ_DIGITS + 1));
    rp_map_add(&g->by_room, &row->node, hash);
    struct rp_sqlite_index_job *job = g->job;
    job->rows = rp_array_reserve(job->rows, job->rows_count, &g->rows_capacity, sizeof(*job->rows));
    job->rows[job->rows_count++] = row;
    return row;
}

/* Once, however often an event names the room. */
static void add_seq(struct gathering *g, struct rp_bytes room,
                    const struct rp_sqlite_rooms_row *event) {
    struct rp_sqlite_index_row *row = row_of(g, room, event->nsp);
    if (row->last_seq == event->seq) {
        return;
    }
    enum rp_err err = rp_buf_put(&row->seqs, row->n > 0 ? RP_BYTES_LIT(",") : RP_BYTES_LIT("["));
    err = err == RP_OK ? rp_buf_put_u64(&row->seqs, event->seq) : err;
    RP_ASSERT(err == RP_OK); /* a segment has so many seqs and not one more */
    row->n++;
    row->bytes += event->weight;
    row->last_seq = event->seq;
}

/* An event with several rooms is in the row of each. */
static int gather(struct gathering *g, sqlite3_stmt *scan) {
    struct rp_sqlite_index_job *job = g->job;
    struct rp_sqlite_rooms_row event;
    int rc = rp_sqlite_row_rooms(scan, &event);
    job->first_seq = job->first_seq > 0 ? job->first_seq : event.seq;
    job->last_seq = event.seq;
    if (rc == SQLITE_OK && event.kind == RP_RECORD_EVENT) {
        struct rp_bytes further = rp_buf_bytes(&event.rooms), room = event.room;
        job->events++;
        do {
            add_seq(g, room, &event);
        } while (rp_attachments_next(&further, &room) == RP_OK);
    }
    rp_buf_done(&event.rooms);
    return rc;
}

static int compare_names(struct rp_bytes a, struct rp_bytes b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_rows(const void *a, const void *b) {
    const struct rp_sqlite_index_row *const *x = a, *const *y = b;
    int order = compare_names((*x)->room, (*y)->room);
    return order != 0 ? order : compare_names((*x)->nsp, (*y)->nsp);
}

void rp_sqlite_index_job_free(struct rp_sqlite_index_job *job) {
    for (size_t i = 0; i < job->rows_count; i++) {
        rp_buf_done(&job->rows[i]->seqs);
        free(job->rows[i]);
    }
    free(job->rows);
    free(job);
}

static int build(struct rp_sqlite *s, uint64_t segment, struct rp_sqlite_index_job **ret_job) {
    struct gathering g = {.sqlite = s, .job = RP_NEW(struct rp_sqlite_index_job)};
    g.job->segment = segment;
    sqlite3_stmt *scan = s->indexer.scan;
    sqlite3_bind_int64(scan, 1, (sqlite3_int64) (segment * s->segment_events));
    sqlite3_bind_int64(scan, 2, (sqlite3_int64) ((segment + 1) * s->segment_events));
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && sqlite3_step(scan) == SQLITE_ROW) {
        rc = gather(&g, scan);
    }
    int end = sqlite3_reset(scan);
    rc = rc == SQLITE_OK ? end : rc;
    rp_map_done(&g.by_room);
    if (rc != SQLITE_OK) {
        rp_sqlite_index_job_free(g.job);
        return rc;
    }
    for (size_t i = 0; i < g.job->rows_count; i++) {
        enum rp_err err = rp_buf_put(&g.job->rows[i]->seqs, RP_BYTES_LIT("]"));
        RP_ASSERT(err == RP_OK);
    }
    if (g.job->rows_count > 1) {
        qsort(g.job->rows, g.job->rows_count, sizeof(*g.job->rows), compare_rows);
    }
    *ret_job = g.job;
    return SQLITE_OK;
}

/* ---- the thread ---- */

/* The oldest closed segment that is not indexed and has records; RP_MORE: there is none yet. */
static enum rp_err next_segment(struct rp_sqlite *s, uint64_t next_seq, uint64_t *ret_segment) {
    struct rp_sqlite_indexer *x = &s->indexer;
    uint64_t first = 0;
    if (next_seq - x->indexed_seq <= s->segment_events) {
        return RP_MORE;
    }
    sqlite3_bind_int64(x->find, 1, (sqlite3_int64) x->indexed_seq);
    int rc = rp_sqlite_run_u64(x->find, &first);
    if (rc != SQLITE_OK) {
        return rp_sqlite_err(rc);
    }
    uint64_t segment = first > 0 ? (first - 1) / s->segment_events : 0;
    if (first == 0 || (segment + 1) * s->segment_events >= next_seq) {
        return RP_MORE;
    }
    *ret_segment = segment;
    return RP_OK;
}

/* True once the writer has it in the file; false: stop. */
static bool hand_over(struct rp_sqlite *s, struct rp_sqlite_index_job *job) {
    struct rp_sqlite_indexer *x = &s->indexer;
    pthread_mutex_lock(&s->inbox.lock);
    s->inbox.job = job;
    s->inbox.writer_waits = false;
    pthread_cond_signal(&s->inbox.work);
    pthread_mutex_unlock(&s->inbox.lock);
    pthread_mutex_lock(&x->lock);
    while (!x->job_done && !x->stop) {
        pthread_cond_wait(&x->wake, &x->lock);
    }
    bool done = x->job_done;
    x->job_done = false;
    pthread_mutex_unlock(&x->lock);
    return done;
}

/* Sleeps until the writer has passed `seen`. */
static bool wait_for_events(struct rp_sqlite_indexer *x, uint64_t seen, uint64_t *ret_next_seq) {
    pthread_mutex_lock(&x->lock);
    while (x->next_seq == seen && !x->stop) {
        pthread_cond_wait(&x->wake, &x->lock);
    }
    *ret_next_seq = x->next_seq;
    bool go_on = !x->stop;
    pthread_mutex_unlock(&x->lock);
    return go_on;
}

void *rp_sqlite_indexer_main(void *engine) {
    struct rp_sqlite *s = engine;
    struct rp_sqlite_indexer *x = &s->indexer;
    uint64_t next_seq = 0, segment = 0;
    rp_sqlite_thread_step_back();
    while (wait_for_events(x, next_seq, &next_seq)) {
        enum rp_err err;
        while ((err = next_segment(s, next_seq, &segment)) == RP_OK) {
            struct rp_sqlite_index_job *job = NULL;
            if (build(s, segment, &job) != SQLITE_OK) {
                err = RP_E_IO;
                break;
            }
            bool done = hand_over(s, job);
            rp_sqlite_index_job_free(
                job); /* when it is not done the writer has stopped, or failed */
            if (!done) {
                return NULL;
            }
            x->indexed_seq = (segment + 1) * s->segment_events;
        }
        if (err < 0) { /* reads scan the segment until a try after the next one has worked */
            rp_sqlite_count(&s->counters.index_failures, 1);
        }
    }
    return NULL;
}

/* broker/sqlite_read.c — the events of one read, from one snapshot of the file.
 *
 * The log is walked in the direction of the read. An indexed segment gives the seqs of each span's
 * room from room_index; what is not indexed yet is scanned. The rows are then fetched by seq until
 * a maximum is reached, and the walk ends at the next seq it finds after that, so that `more` is
 * exact. Segments without any of the rooms cost one search per span. An event with several rooms
 * may lie in several spans, and is taken once.
 *
 * A room's trimmed_seq is where its history begins: what is older is hidden, whether its rows are
 * gone yet or not. */
#include "broker/sqlite_names.h"
#include "broker/room_key.h"
#include "broker/sqlite_row.h"
#include "broker/sqlite_state.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "proto/attachments.h"

#include <stdlib.h>

enum {
    CANCEL_CHECK_ROWS = 1024,
    PROBES_MAX_CHECK = 256, /* spans probed between two looks at `cancelled` */
};

#define READ_STMTS(X)                                                                              \
    X(BEGIN, "BEGIN")                                                                              \
    X(COMMIT, "COMMIT")                                                                            \
    X(INDEXED, "SELECT value FROM meta WHERE key = 'indexed_seq'")                                 \
    X(TRIMMED, "SELECT trimmed_seq FROM room WHERE room = ?1 AND nsp = ?2")                        \
    X(SEGMENT_UP, "SELECT segment + 1 FROM segment WHERE segment >= ?1 ORDER BY segment LIMIT 1")  \
    X(SEGMENT_DOWN, "SELECT segment + 1 FROM segment WHERE segment <= ?1 "                         \
                    "ORDER BY segment DESC LIMIT 1")                                               \
    X(ROOM_INDEX, "SELECT seqs FROM room_index WHERE segment = ?1 AND room = ?2 AND nsp = ?3")     \
    X(SCAN_UP, "SELECT seq, kind, nsp, room, rooms FROM event WHERE seq > ?1 AND seq <= ?2 "       \
               "ORDER BY seq")                                                                     \
    X(SCAN_DOWN, "SELECT seq, kind, nsp, room, rooms FROM event WHERE seq > ?1 AND seq <= ?2 "     \
                 "ORDER BY seq DESC")                                                              \
    X(EVENT, "SELECT " RP_SQLITE_ROW_COLUMNS " FROM event WHERE seq = ?1")

enum read_stmt {
#define STMT_ENUM(name, sql) READ_##name,
    READ_STMTS(STMT_ENUM)
#undef STMT_ENUM
        READ_COUNT
};

struct rp_sqlite_read_stmts {
    sqlite3_stmt *all[READ_COUNT];
};

int rp_sqlite_read_init(struct rp_sqlite_reader *reader) {
    static const char *const sqls[READ_COUNT] = {
#define STMT_SQL(name, sql) sql,
        READ_STMTS(STMT_SQL)
#undef STMT_SQL
    };
    reader->stmts = RP_NEW(struct rp_sqlite_read_stmts);
    return rp_sqlite_prepare_all(reader->db, sqls, READ_COUNT, reader->stmts->all);
}

void rp_sqlite_read_done(struct rp_sqlite_reader *reader) {
    if (reader->stmts != NULL) {
        rp_sqlite_finalize(reader->stmts->all, READ_COUNT);
        free(reader->stmts);
        reader->stmts = NULL;
    }
}

/* ---- one read ---- */

/* A span with what retention has left of it: after < seq <= upto. */
struct span {
    struct rp_map_node node; /* by room, for scans */
    struct rp_bytes room, nsp;
    uint64_t after, upto;
};

struct reading {
    struct rp_sqlite_reader *reader;
    const struct rp_sqlite_request *request;
    struct rp_engine_page *page;
    size_t page_capacity, page_bytes;
    struct span *spans;
    size_t spans_count;
    uint64_t after, upto; /* of all spans together */
    uint64_t segment_events, indexed_seq;
    struct rp_map by_room;
    uint64_t *seqs; /* found in one segment */
    size_t seqs_count, seqs_capacity;
};

static sqlite3_stmt *stmt_of(struct reading *g, enum read_stmt which) {
    return g->reader->stmts->all[which];
}

static bool cancelled(const struct reading *g) {
    return atomic_load_explicit(&g->request->cancelled, memory_order_relaxed);
}

/* The next event in the read's order. RP_AGAIN: the page is full without it. */
static enum rp_err take(struct reading *g, uint64_t seq) {
    const struct rp_engine_read *read = &g->request->read;
    struct rp_engine_page *page = g->page;
    if (page->records_count >= read->events_max) {
        return RP_AGAIN;
    }
    sqlite3_stmt *stmt = stmt_of(g, READ_EVENT);
    struct rp_record *r = NULL;
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) seq);
    int rc = sqlite3_step(stmt);
    /* a seq that is in the index and has no row: damage */
    enum rp_err err = rc == SQLITE_ROW ? rp_sqlite_row_read(stmt, &r) : RP_E_CORRUPT;
    rc = sqlite3_reset(stmt);
    if (rc != SQLITE_OK) {
        err = rp_sqlite_err(rc);
    }
    if (err == RP_OK && page->records_count > 0 && g->page_bytes + r->size > read->bytes_max) {
        err = RP_AGAIN;
    }
    if (err != RP_OK) {
        rp_record_unref(r);
        return err;
    }
    page->records = rp_array_reserve(page->records, page->records_count, &g->page_capacity,
                                     sizeof(*page->records));
    page->records[page->records_count++] = r;
    g->page_bytes += r->size;
    return RP_OK;
}

/* ---- indexed segments ---- */

/* Adds the numbers of a JSON array that lie in the span. */
static enum rp_err parse_seqs(struct reading *g, struct rp_bytes json, const struct span *span) {
    size_t at = 1;
    if (json.len < 3 || json.data[0] != '[' || json.data[json.len - 1] != ']') {
        return RP_E_CORRUPT;
    }
    while (at < json.len) {
        uint64_t seq = 0;
        size_t from = at;
        for (; json.data[at] >= '0' && json.data[at] <= '9'; at++) {
            seq = seq * 10 + (uint64_t) (json.data[at] - '0');
        }
        if (at == from || (json.data[at] != ',' && json.data[at] != ']')) {
            return RP_E_CORRUPT;
        }
        at++;
        if (seq > span->after && seq <= span->upto) {
            g->seqs = rp_array_reserve(g->seqs, g->seqs_count, &g->seqs_capacity, sizeof(*g->seqs));
            g->seqs[g->seqs_count++] = seq;
        }
    }
    return RP_OK;
}

static enum rp_err probe(struct reading *g, uint64_t segment, const struct span *span) {
    sqlite3_stmt *stmt = stmt_of(g, READ_ROOM_INDEX);
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) segment);
    rp_sqlite_bind_key(stmt, 2, span->room);
    rp_sqlite_bind_key(stmt, 3, span->nsp);
    enum rp_err err = RP_OK;
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        err = parse_seqs(g, rp_sqlite_text(stmt, 0), span);
    }
    int rc = sqlite3_reset(stmt);
    return rc != SQLITE_OK ? rp_sqlite_err(rc) : err;
}

static int compare_seqs(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

static enum rp_err read_segment(struct reading *g, uint64_t segment) {
    uint64_t first = segment * g->segment_events + 1, last = (segment + 1) * g->segment_events;
    size_t probes = 0;
    g->seqs_count = 0;
    for (size_t i = 0; i < g->spans_count; i++) {
        const struct span *span = &g->spans[i];
        if (span->after >= last || span->upto < first) {
            continue;
        }
        enum rp_err err = probe(g, segment, span);
        if (err != RP_OK) {
            return err;
        }
        if (++probes % PROBES_MAX_CHECK == 0 && cancelled(g)) {
            return RP_E_CLOSED;
        }
    }
    if (probes > 1 && g->seqs_count > 1) {
        qsort(g->seqs, g->seqs_count, sizeof(*g->seqs), compare_seqs);
    }
    for (size_t i = 0; i < g->seqs_count; i++) {
        size_t at = g->request->read.newest_first ? g->seqs_count - 1 - i : i;
        if (at > 0 && g->seqs[at - 1] == g->seqs[at]) {
            continue;
        }
        enum rp_err err = take(g, g->seqs[at]);
        if (err != RP_OK) {
            return err;
        }
    }
    return cancelled(g) ? RP_E_CLOSED : RP_OK;
}

/* Segments are skipped that have gone or, after a jump of the seqs, never were. */
static enum rp_err read_indexed(struct reading *g) {
    bool down = g->request->read.newest_first;
    uint64_t upto = g->upto < g->indexed_seq ? g->upto : g->indexed_seq;
    if (g->after >= upto) {
        return RP_OK;
    }
    uint64_t low = g->after / g->segment_events, high = (upto - 1) / g->segment_events;
    sqlite3_stmt *next = stmt_of(g, down ? READ_SEGMENT_DOWN : READ_SEGMENT_UP);
    for (uint64_t at = down ? high : low;;) {
        uint64_t found = 0; /* plus one; 0: none */
        sqlite3_bind_int64(next, 1, (sqlite3_int64) at);
        int rc = rp_sqlite_run_u64(next, &found);
        if (rc != SQLITE_OK) {
            return rp_sqlite_err(rc);
        }
        if (found == 0 || found - 1 < low || found - 1 > high) {
            return RP_OK;
        }
        enum rp_err err = read_segment(g, found - 1);
        if (err != RP_OK) {
            return err;
        }
        if (down && found - 1 == low) {
            return RP_OK;
        }
        at = down ? found - 2 : found;
    }
}

/* ---- what is not indexed ---- */

static uint64_t room_hash(const struct reading *g, struct rp_bytes room, struct rp_bytes nsp) {
    return rp_room_key_hash(&g->reader->sqlite->hash_key, room, nsp);
}

static bool room_in_a_span(const struct reading *g, struct rp_bytes nsp, struct rp_bytes room,
                           uint64_t seq) {
    if (g->spans_count == 1) { /* most reads */
        const struct span *only = &g->spans[0];
        return seq > only->after && seq <= only->upto && rp_bytes_eq(only->room, room) &&
               rp_bytes_eq(only->nsp, nsp);
    }
    uint64_t hash = room_hash(g, room, nsp);
    for (struct rp_map_node *n = rp_map_first(&g->by_room, hash); n; n = rp_map_next(n, hash)) {
        const struct span *span = RP_CONTAINER_OF(n, struct span, node);
        if (seq > span->after && seq <= span->upto && rp_bytes_eq(span->room, room) &&
            rp_bytes_eq(span->nsp, nsp)) {
            return true;
        }
    }
    return false;
}

/* One of a list of rooms. A list that is damaged counts as being in one, so that the row is read
 * and found out. */
static bool list_in_a_span(const struct reading *g, sqlite3_stmt *scan, int at, struct rp_bytes nsp,
                           uint64_t seq) {
    struct rp_buf packed;
    bool in = rp_sqlite_names(scan, at, &packed) != RP_OK;
    struct rp_bytes rooms = rp_buf_bytes(&packed), room;
    while (!in && rp_attachments_next(&rooms, &room) == RP_OK) {
        in = room_in_a_span(g, nsp, room, seq);
    }
    rp_buf_done(&packed);
    return in;
}

static bool in_a_span(const struct reading *g, sqlite3_stmt *scan) {
    if (sqlite3_column_int(scan, 1) != RP_RECORD_EVENT) {
        return false;
    }
    uint64_t seq = rp_sqlite_u64(scan, 0);
    struct rp_bytes nsp = rp_sqlite_text(scan, 2), room = rp_sqlite_text(scan, 3);
    return room_in_a_span(g, nsp, room, seq) ||
           (sqlite3_column_type(scan, 4) != SQLITE_NULL && list_in_a_span(g, scan, 4, nsp, seq));
}

static enum rp_err scan_rest(struct reading *g) {
    uint64_t after = g->after > g->indexed_seq ? g->after : g->indexed_seq;
    if (after >= g->upto) {
        return RP_OK;
    }
    for (size_t i = 0; g->spans_count > 1 && i < g->spans_count; i++) {
        struct span *span = &g->spans[i];
        rp_map_add(&g->by_room, &span->node, room_hash(g, span->room, span->nsp));
    }
    sqlite3_stmt *scan = stmt_of(g, g->request->read.newest_first ? READ_SCAN_DOWN : READ_SCAN_UP);
    sqlite3_bind_int64(scan, 1, (sqlite3_int64) after);
    sqlite3_bind_int64(scan, 2, (sqlite3_int64) g->upto);
    enum rp_err err = RP_OK;
    for (size_t rows = 1; err == RP_OK && sqlite3_step(scan) == SQLITE_ROW; rows++) {
        if (in_a_span(g, scan)) {
            err = take(g, rp_sqlite_u64(scan, 0));
        } else if (rows % CANCEL_CHECK_ROWS == 0 && cancelled(g)) {
            err = RP_E_CLOSED;
        }
    }
    int rc = sqlite3_reset(scan);
    rp_map_done(&g->by_room);
    return rc != SQLITE_OK ? rp_sqlite_err(rc) : err;
}

/* ---- the whole ---- */

/* Copies the spans, without what retention has taken from them. */
static int prepare_spans(struct reading *g) {
    const struct rp_engine_read *read = &g->request->read;
    sqlite3_stmt *stmt = stmt_of(g, READ_TRIMMED);
    g->spans = rp_alloc(read->spans_count * sizeof(*g->spans));
    g->after = UINT64_MAX;
    for (size_t i = 0; i < read->spans_count; i++) {
        const struct rp_engine_span *from = &read->spans[i];
        struct span span = {.room = from->room,
                            .nsp = from->nsp,
                            .after = from->after,
                            .upto = from->upto < INT64_MAX ? from->upto : INT64_MAX};
        uint64_t trimmed_seq = 0;
        rp_sqlite_bind_key(stmt, 1, span.room);
        rp_sqlite_bind_key(stmt, 2, span.nsp);
        int rc = rp_sqlite_run_u64(stmt, &trimmed_seq);
        if (rc != SQLITE_OK) {
            return rc;
        }
        g->page->border = trimmed_seq > g->page->border ? trimmed_seq : g->page->border;
        if (trimmed_seq > span.after && span.after < span.upto) {
            g->page->truncated = true;
            span.after = trimmed_seq;
        }
        if (span.after < span.upto) {
            g->after = span.after < g->after ? span.after : g->after;
            g->upto = span.upto > g->upto ? span.upto : g->upto;
            g->spans[g->spans_count++] = span;
        }
    }
    return SQLITE_OK;
}

static enum rp_err read_all(struct reading *g) {
    int rc = rp_sqlite_run_u64(stmt_of(g, READ_INDEXED), &g->indexed_seq);
    rc = rc == SQLITE_OK ? prepare_spans(g) : rc;
    if (rc != SQLITE_OK) {
        return rp_sqlite_err(rc);
    }
    if (g->spans_count == 0) {
        return RP_OK;
    }
    bool down = g->request->read.newest_first;
    enum rp_err err = down ? scan_rest(g) : read_indexed(g);
    if (err == RP_OK) {
        err = down ? read_indexed(g) : scan_rest(g);
    }
    return err;
}

static void empty(struct rp_engine_page *page) {
    for (size_t i = 0; i < page->records_count; i++) {
        rp_record_unref(page->records[i]);
    }
    page->records_count = 0;
    page->truncated = page->more = false;
}

struct rp_engine_page *rp_sqlite_read(struct rp_sqlite_reader *reader,
                                      const struct rp_sqlite_request *request) {
    struct reading g = {.reader = reader,
                        .request = request,
                        .page = RP_NEW(struct rp_engine_page),
                        .segment_events = reader->sqlite->segment_events};
    struct rp_engine_page *page = g.page;
    page->id = request->read.id;
    enum rp_err err = rp_sqlite_err(rp_sqlite_run(stmt_of(&g, READ_BEGIN)));
    if (err == RP_OK) {
        err = read_all(&g);
        rp_sqlite_run(stmt_of(&g, READ_COMMIT)); /* nothing to lose */
    }
    if (err == RP_AGAIN) {
        page->more = true;
        /* of what a room has lost, nothing was asked for yet */
        page->truncated = page->truncated && !request->read.newest_first;
    } else if (err != RP_OK) {
        page->err = err;
        empty(page);
    }
    free(g.spans);
    free(g.seqs);
    return page;
}

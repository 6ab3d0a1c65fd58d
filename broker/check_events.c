/* broker/check_events.c — one walk over `event`, in seq order: each record is looked at by itself,
 * given to its segment (check_index.c), and replayed into the temporary database. */
#include "broker/check_state.h"

#include "broker/sqlite_row.h"
#include "common/assert.h"

enum {
    REPLAY_BATCH = 4096, /* records in a transaction of the replay */
    PROGRESS_ROWS = 4096,
};

struct walk {
    struct rp_check *c;
    struct rp_check_index *index;
    struct rp_check_rooms *rooms;
    sqlite3_stmt *find_id, *find_gap;
    uint64_t last_seq, early; /* early: rows before first_seq */
    size_t batch;
    bool replay_failed;
};

/* ---- one row ---- */

/* What the column of a row may be, in the order of RP_SQLITE_ROW_COLUMNS: n NULL, i integer,
 * t text, b blob. */
static const char *const column_types[] = {
    "i",  "i",  "i",  "tn", "tn", "tn", "tn", "tn",  "tn",  "in", "in",
    "in", "in", "in", "in", "bn", "i",  "bn", "tbn", "tbn", "in", "in",
};

static char type_of(sqlite3_stmt *row, int at) {
    switch (sqlite3_column_type(row, at)) {
    case SQLITE_NULL:
        return 'n';
    case SQLITE_INTEGER:
        return 'i';
    case SQLITE_TEXT:
        return 't';
    case SQLITE_BLOB:
        return 'b';
    default:
        return 'f';
    }
}

static void check_types(struct rp_check *c, sqlite3_stmt *row, uint64_t seq) {
    for (int i = 0; i < (int) (sizeof column_types / sizeof *column_types); i++) {
        if (strchr(column_types[i], type_of(row, i)) == NULL) {
            rp_check_damage(c, "event: seq %lld has a value of another type in %s", (long long) seq,
                            sqlite3_column_name(row, i));
        }
    }
}

/* Numbers of 32 bits, of which the checksum does not see the rest. */
static void check_sizes(struct rp_check *c, sqlite3_stmt *row, uint64_t seq) {
    static const int columns[] = {1, 14}; /* kind, flags */
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        if (rp_sqlite_u64(row, columns[i]) > UINT32_MAX) {
            rp_check_damage(c, "event: seq %lld: %s is %lld", (long long) seq,
                            sqlite3_column_name(row, columns[i]),
                            (long long) sqlite3_column_int64(row, columns[i]));
        }
    }
}

/* Where the jump of a new epoch that led to seq began; seq itself: there was none. */
static uint64_t before_gap(struct walk *w, uint64_t seq) {
    char key[32];
    uint64_t size = 0;
    rp_sqlite_gap_key(seq, key);
    rp_sqlite_bind_key(w->find_gap, 1, rp_bytes_str(key));
    rp_check_can_read(w->c, "meta", rp_sqlite_run_u64(w->find_gap, &size));
    return size < seq ? seq - size : seq;
}

/* No record from w->last_seq to seq: is that so because there was none? Up to the newest border of
 * a room retention may have taken it. */
static void check_hole(struct walk *w, uint64_t seq) {
    const struct rp_check *c = w->c;
    uint64_t from = w->last_seq + 1, before;
    from = from > c->r.first_seq ? from : c->r.first_seq;
    from = from > c->dense_from ? from : c->dense_from;
    from = from > c->border_max ? from : c->border_max + 1;
    while (c->dense_from > 0 && seq > from && (before = before_gap(w, seq)) < seq) {
        seq = before;
    }
    if (c->dense_from > 0 && seq > from) {
        rp_check_damage(w->c, "event: of seq %llu to %llu no record is there",
                        (unsigned long long) from, (unsigned long long) (seq - 1));
    }
}

static void check_place(struct walk *w, uint64_t seq) {
    struct rp_check *c = w->c;
    if (seq == 0 || seq > INT64_MAX || seq <= w->last_seq) {
        rp_check_damage(c, "event: seq %lld comes after %llu", (long long) seq,
                        (unsigned long long) w->last_seq);
    } else if (seq > w->last_seq + 1) {
        check_hole(w, seq);
    }
    w->early += seq < c->r.first_seq;
    w->last_seq = seq;
}

/* Retries find an event by its id; the index must find this one. */
static void check_id(struct walk *w, const struct rp_record *r) {
    rp_sqlite_bind_key(w->find_id, 1, r->f.nsp);
    rp_sqlite_bind_text(w->find_id, 2, r->f.id);
    uint64_t found = 0;
    size_t n = 0;
    while (sqlite3_step(w->find_id) == SQLITE_ROW) {
        found = rp_sqlite_u64(w->find_id, 0);
        n++;
    }
    int rc = sqlite3_reset(w->find_id);
    char name[RP_CHECK_NAME_SIZE];
    if (!rp_check_can_read(w->c, "the index event_id", rc)) {
        return;
    }
    if (n == 0) {
        rp_check_damage(w->c, "event_id: seq %llu is not found by its id %s",
                        (unsigned long long) r->seq, rp_check_quote(r->f.id, name));
    } else if (n > 1 || found != r->seq) {
        rp_check_damage(w->c, "event: seq %llu and seq %llu have the same id %s",
                        (unsigned long long) r->seq, (unsigned long long) found,
                        rp_check_quote(r->f.id, name));
    }
}

static void check_record(struct walk *w, const struct rp_record *r) {
    struct rp_check *c = w->c;
    unsigned long long seq = r->seq;
    if (r->f.kind < RP_RECORD_EVENT || r->f.kind > RP_RECORD_SERVE) {
        rp_check_damage(c, "event: seq %llu has the kind %d, which is none", seq, (int) r->f.kind);
    }
    if (r->f.session >= r->seq || (r->f.conn >= r->seq && r->f.kind != RP_RECORD_EVENT)) {
        rp_check_damage(c, "event: seq %llu is of a session or connection that began later", seq);
    }
    if (r->f.kind == RP_RECORD_EVENT && r->f.id.len > 0) {
        check_id(w, r);
    }
}

/* ---- replaying ---- */

static int replay(struct walk *w, const struct rp_record *r) {
    sqlite3 *db = w->c->replay->writer.db;
    int rc = w->batch == 0 ? rp_sqlite_exec(db, "BEGIN") : SQLITE_OK;
    rc = rc == SQLITE_OK ? rp_sqlite_project(&w->c->replay->writer, r) : rc;
    if (rc == SQLITE_OK && ++w->batch == REPLAY_BATCH) {
        rc = rp_sqlite_exec(db, "COMMIT");
        w->batch = 0;
    }
    return rc;
}

static void replay_if_compared(struct walk *w, const struct rp_record *r) {
    struct rp_check *c = w->c;
    bool wanted =
        r->seq >= c->compared_from || (r->f.kind == RP_RECORD_SERVE && r->seq >= c->r.first_seq);
    if (!wanted || w->replay_failed) {
        return;
    }
    int rc = replay(w, r);
    if (rc == SQLITE_OK) {
        return;
    }
    w->replay_failed = true; /* what follows from it is not told one by one */
    if ((rc & 0xff) == SQLITE_CONSTRAINT) {
        rp_check_damage(c, "event: seq %llu cannot follow the records before it",
                        (unsigned long long) r->seq);
    } else {
        rp_check_damage(c, "the records from seq %llu on cannot be replayed: %s",
                        (unsigned long long) r->seq, sqlite3_errmsg(c->replay->writer.db));
    }
}

/* Namespaces that were served before the log begins, and not changed since. */
static int seed_namespaces(struct rp_check *c) {
    sqlite3_stmt *from, *to;
    int rc = sqlite3_prepare_v2(c->db, "SELECT nsp, flags, seq FROM namespace WHERE seq < ?1", -1,
                                &from, NULL);
    if (rc != SQLITE_OK) {
        return rc;
    }
    rc = sqlite3_prepare_v2(c->replay->writer.db, "INSERT INTO namespace VALUES (?1, ?2, ?3)", -1,
                            &to, NULL);
    RP_ASSERT(rc == SQLITE_OK);
    sqlite3_bind_int64(from, 1, (sqlite3_int64) c->r.first_seq);
    while (rc == SQLITE_OK && sqlite3_step(from) == SQLITE_ROW) {
        for (int i = 0; i < 3; i++) {
            sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i));
        }
        rc = rp_sqlite_run(to);
    }
    sqlite3_finalize(to);
    int end = sqlite3_finalize(from);
    return rc == SQLITE_OK ? end : rc;
}

/* ---- the walk ---- */

static void take_row(struct walk *w, sqlite3_stmt *row) {
    struct rp_check *c = w->c;
    uint64_t seq = rp_sqlite_u64(row, 0);
    struct rp_record *r = NULL;
    check_place(w, seq);
    check_types(c, row, seq);
    check_sizes(c, row, seq);
    c->r.records++;
    c->r.events += sqlite3_column_int64(row, 1) == RP_RECORD_EVENT;
    if (rp_sqlite_row_read(row, &r) == RP_OK) {
        check_record(w, r);
        replay_if_compared(w, r);
    } else {
        rp_check_damage(c, "event: seq %lld is not what was written, its checksum does not fit",
                        (long long) seq);
    }
    uint64_t weight = r != NULL ? rp_record_weight(&r->f) : 0;
    rp_record_unref(r);
    rp_check_index_add(w->index, row, weight);
    rp_check_rooms_add(w->rooms, row, weight);
    if (c->r.records % PROGRESS_ROWS == 0) {
        rp_check_progress(c, "records", seq - c->r.first_seq, c->after_seqs - c->r.first_seq);
    }
}

static void tell_notes(struct walk *w) {
    if (w->early > 0) {
        rp_check_note(w->c,
                      "%llu records before first_seq %llu wait for their removal, which was "
                      "interrupted or is under way",
                      (unsigned long long) w->early, (unsigned long long) w->c->r.first_seq);
    }
    if (w->c->compared_from >= w->c->after_seqs && w->c->r.sessions > 0) {
        rp_check_note(w->c, "no session could be compared with its records, this file does not say "
                            "since when it has all of them");
    }
}

static int walk_rows(struct walk *w) {
    struct rp_check *c = w->c;
    sqlite3_stmt *row;
    int rc = sqlite3_prepare_v2(
        c->db, "SELECT seq FROM event INDEXED BY event_id WHERE nsp = ?1 AND id = ?2 LIMIT 2", -1,
        &w->find_id, NULL);
    if (!rp_check_can_read(c, "the index event_id", rc)) {
        return rc;
    }
    rc = sqlite3_prepare_v2(c->db, "SELECT value FROM meta WHERE key = ?1", -1, &w->find_gap, NULL);
    if (!rp_check_can_read(c, "meta", rc)) {
        return rc;
    }
    rc = sqlite3_prepare_v2(c->db, "SELECT " RP_SQLITE_ROW_COLUMNS " FROM event ORDER BY seq", -1,
                            &row, NULL);
    while (rc == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW) {
        take_row(w, row);
    }
    rc = rc == SQLITE_OK ? sqlite3_finalize(row) : rc;
    if (rc != SQLITE_OK) {
        rp_check_damage(c, "event: what comes after seq %lld cannot be read: %s",
                        (long long) w->last_seq, sqlite3_errstr(rc));
    }
    return rc;
}

void rp_check_records(struct rp_check *c) {
    struct walk w = {.c = c, .index = rp_check_index_new(c), .rooms = rp_check_rooms_new(c)};
    rp_check_can_read(c, "namespace", seed_namespaces(c));
    int rc = walk_rows(&w);
    if (rc == SQLITE_OK) {
        check_hole(&w, c->after_seqs);
        rp_check_index_end(w.index);
        rp_check_rooms_end(w.rooms);
        tell_notes(&w);
    }
    if (w.batch > 0) {
        rp_sqlite_exec(c->replay->writer.db, "COMMIT");
    }
    c->records_read = rc == SQLITE_OK && !w.replay_failed;
    sqlite3_finalize(w.find_id);
    sqlite3_finalize(w.find_gap);
    rp_check_index_free(w.index);
    rp_check_rooms_free(w.rooms);
}

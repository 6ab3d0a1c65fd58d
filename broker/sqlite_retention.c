/* broker/sqlite_retention.c — a round of retention, a slice at a time.
 *
 * The whole log's limits cut off its beginning: rows are walked from the oldest on until one stays;
 * in the same transaction all rooms they name learn the newest they have lost, and the log begins
 * after them. Whether the log takes too many bytes is looked at anew for each slice, so no more
 * goes than has to. */
#include "broker/sqlite_retention.h"
#include "broker/sqlite_state.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "proto/attachments.h"

#include <stdlib.h>

enum {
    INDEX_BYTES_PER_SEQ = 10, /* of a row of room_index, about */
    OWED_WALK_SHARE = 16, /* what is owed is walked when one in so many of its rows may have gone */
};

/* ---- small things the phases share ---- */

bool rp_sqlite_seqs_next(struct rp_bytes *json, uint64_t *ret_seq) {
    size_t at = 0;
    uint64_t seq = 0;
    while (at < json->len && (json->data[at] < '0' || json->data[at] > '9')) {
        at++;
    }
    if (at == json->len) {
        return false;
    }
    for (; at < json->len && json->data[at] >= '0' && json->data[at] <= '9'; at++) {
        seq = seq * 10 + (uint64_t) (json->data[at] - '0');
    }
    *json = rp_bytes(json->data + at, json->len - at);
    *ret_seq = seq;
    return true;
}

static void set_key(struct rp_sqlite_retention *r, struct rp_sqlite_key *key) {
    if (r->next.key != r->now.key) {
        free(r->next.key);
    }
    r->next.key = key;
}

void rp_sqlite_retention_key_reset(struct rp_sqlite_retention *r) {
    set_key(r, NULL);
}

/* The smallest key behind (room, nsp) is that with a NUL more. */
void rp_sqlite_retention_key(struct rp_sqlite_retention *r, struct rp_bytes room,
                             struct rp_bytes nsp) {
    struct rp_sqlite_key *key = rp_alloc(sizeof *key + room.len + nsp.len + 1);
    key->room_len = room.len;
    key->nsp_len = nsp.len + 1;
    if (room.len > 0) {
        memcpy(key->data, room.data, room.len);
    }
    if (nsp.len > 0) {
        memcpy(key->data + room.len, nsp.data, nsp.len);
    }
    set_key(r, key);
}

/* The key may be freed while the walk goes on. */
static void bind_copy(sqlite3_stmt *stmt, int at, struct rp_bytes text) {
    const char *data = text.len > 0 ? (const char *) text.data : "";
    int rc = sqlite3_bind_text64(stmt, at, data, text.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    RP_ASSERT(rc == SQLITE_OK);
}

sqlite3_stmt *rp_sqlite_retention_walk(struct rp_sqlite_retention *r, uint64_t segment) {
    sqlite3_stmt *walk = r->stmts[RP_SQLITE_R_INDEX_WALK];
    const struct rp_sqlite_key *key = r->next.key;
    sqlite3_bind_int64(walk, 1, (sqlite3_int64) segment);
    bind_copy(walk, 2, key != NULL ? rp_bytes(key->data, key->room_len) : rp_bytes(NULL, 0));
    bind_copy(walk, 3,
              key != NULL ? rp_bytes(key->data + key->room_len, key->nsp_len) : rp_bytes(NULL, 0));
    sqlite3_bind_int64(walk, 4, (sqlite3_int64) r->rows);
    return walk;
}

static void removed(struct rp_sqlite_retention *r, const struct rp_sqlite_rooms_row *row) {
    r->removed += row->kind == RP_RECORD_EVENT ? 1 : 0;
    r->owed += row->kind == RP_RECORD_EVENT && row->flags & RP_RECORD_WANTS_ACK ? 1 : 0;
    r->bytes -= row->weight < r->bytes ? (size_t) row->weight : r->bytes;
}

int rp_sqlite_retention_delete(struct rp_sqlite_retention *r,
                               const struct rp_sqlite_rooms_row *row) {
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_DELETE];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) row->seq);
    r->changed = true;
    removed(r, row);
    return rp_sqlite_run(stmt);
}

int rp_sqlite_retention_unindex(struct rp_sqlite_retention *r, uint64_t segment,
                                struct rp_bytes room, struct rp_bytes nsp) {
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_DELETE_INDEX];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) segment);
    rp_sqlite_bind_key(stmt, 2, room);
    rp_sqlite_bind_key(stmt, 3, nsp);
    r->changed = true;
    return rp_sqlite_run(stmt);
}

/* ---- the whole log ---- */

static int drop_segments(struct rp_sqlite *s, uint64_t end) {
    struct rp_sqlite_retention *r = &s->retention;
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_DELETE_SEGMENTS];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) end);
    int rc = rp_sqlite_run(stmt);
    r->segments += (uint64_t) sqlite3_changes(s->writer.db);
    r->changed = true;
    r->next.dropped = end;
    return rc;
}

/* The index of segments before `end`, a few rows at a time, and then the segments. */
static int drop_index(struct rp_sqlite *s, uint64_t end) {
    struct rp_sqlite_retention *r = &s->retention;
    sqlite3_stmt *old = r->stmts[RP_SQLITE_R_OLD_INDEX];
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_DELETE_INDEX_UPTO];
    size_t bytes = 0, count = 0;
    sqlite3_bind_int64(old, 1, (sqlite3_int64) end);
    sqlite3_bind_int64(old, 2, (sqlite3_int64) r->rows);
    uint64_t segment = 0;
    while (bytes < r->bytes && sqlite3_step(old) == SQLITE_ROW) {
        segment = rp_sqlite_u64(old, 0);
        rp_sqlite_retention_key(r, rp_sqlite_text(old, 1), rp_sqlite_text(old, 2));
        bytes += rp_sqlite_u64(old, 3) * INDEX_BYTES_PER_SEQ;
        count++;
    }
    bool all = bytes < r->bytes && count < r->rows;
    int rc = sqlite3_reset(old);
    if (rc == SQLITE_OK && count > 0) {
        const struct rp_sqlite_key *key = r->next.key;
        sqlite3_bind_int64(stmt, 1, (sqlite3_int64) segment);
        rp_sqlite_bind_key(stmt, 2, rp_bytes(key->data, key->room_len));
        rp_sqlite_bind_key(stmt, 3, rp_bytes(key->data + key->room_len, key->nsp_len - 1));
        rc = rp_sqlite_run(stmt);
        r->changed = true;
    }
    rp_sqlite_retention_key_reset(r);
    return rc == SQLITE_OK && all ? drop_segments(s, end) : rc;
}

/* What the whole log's limits say at this moment. */
struct whole {
    uint64_t events_end; /* up to it, there are more than the newest so many */
    uint64_t old_ms;     /* what is older goes */
    bool over;           /* the log takes too much of its disk */
};

static int ask_whole(struct rp_sqlite *s, struct whole *ret) {
    struct rp_sqlite_retention *r = &s->retention;
    struct rp_retention_limits limits = rp_retention_whole(r->rules);
    uint64_t end = r->events_end;
    *ret = (struct whole){.events_end = end < r->upto ? end : r->upto,
                          .old_ms = limits.age_ms < r->wall_ms ? r->wall_ms - limits.age_ms : 0};
    uint64_t bytes = 0;
    int rc = limits.bytes < UINT64_MAX ? rp_sqlite_space_used(s, &bytes) : SQLITE_OK;
    ret->over = bytes > limits.bytes;
    return rc;
}

static int lose_all(struct rp_sqlite *s, const struct rp_sqlite_rooms_row *row) {
    struct rp_bytes further = rp_buf_bytes(&row->rooms), room = row->room;
    int rc = SQLITE_OK;
    if (row->kind != RP_RECORD_EVENT) {
        return SQLITE_OK;
    }
    do {
        struct rp_sqlite_loss *loss = rp_sqlite_loss_of(s, row->nsp, room);
        rc = loss->counted ? rp_sqlite_loss_load(&s->retention, loss) : SQLITE_OK;
        rp_sqlite_lose(loss, row->seq, row->weight);
    } while (rc == SQLITE_OK && rp_attachments_next(&further, &room) == RP_OK);
    return rc;
}

/* Walks the oldest rows as far as they go. *ret_all: what is left stays. */
static int walk_oldest(struct rp_sqlite *s, const struct whole *whole, uint64_t *ret_end,
                       bool *ret_all) {
    struct rp_sqlite_retention *r = &s->retention;
    sqlite3_stmt *scan = r->stmts[RP_SQLITE_R_SCAN];
    uint64_t end = 0;
    size_t count = 0;
    bool stays = false;
    int rc = SQLITE_OK;
    sqlite3_bind_int64(scan, 1, 0);
    sqlite3_bind_int64(scan, 2, (sqlite3_int64) r->upto);
    sqlite3_bind_int64(scan, 3, (sqlite3_int64) r->rows);
    while (rc == SQLITE_OK && !stays && r->bytes > 0 && sqlite3_step(scan) == SQLITE_ROW) {
        struct rp_sqlite_rooms_row row;
        rc = rp_sqlite_row_rooms(scan, &row);
        /* before first_seq there may be what an older version's trim has left */
        stays = row.seq >= r->next.first_seq && row.seq > whole->events_end &&
                row.ts_ms >= whole->old_ms && !whole->over;
        if (rc == SQLITE_OK && !stays) {
            rc = lose_all(s, &row);
            end = row.seq;
            removed(r, &row);
            count++;
        }
        rp_buf_done(&row.rooms);
    }
    int reset = sqlite3_reset(scan);
    *ret_all = stays || (r->bytes > 0 && count < r->rows);
    *ret_end = end;
    return rc == SQLITE_OK ? reset : rc;
}

static int begin_later(struct rp_sqlite *s, uint64_t first_seq) {
    struct rp_sqlite_retention *r = &s->retention;
    if (first_seq <= r->next.first_seq) {
        return SQLITE_OK;
    }
    r->next.first_seq = first_seq;
    r->changed = true;
    return rp_sqlite_writer_meta(&s->writer, "first_seq", first_seq);
}

static int step_whole(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    uint64_t old = (r->next.first_seq - 1) / s->segment_events, end = 0;
    if (old > r->next.dropped) { /* first, since what it frees counts */
        return drop_index(s, old);
    }
    struct whole whole;
    bool all = false;
    int rc = ask_whole(s, &whole);
    rc = rc == SQLITE_OK ? walk_oldest(s, &whole, &end, &all) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_losses_flush(s, false) : rc;
    if (rc == SQLITE_OK && end > 0) {
        sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_DELETE_UPTO];
        sqlite3_bind_int64(stmt, 1, (sqlite3_int64) end);
        r->changed = true;
        rc = rp_sqlite_run(stmt);
        rc = rc == SQLITE_OK ? begin_later(s, end + 1) : rc;
    }
    if (rc == SQLITE_OK && all) {
        rc = begin_later(s, whole.events_end + 1);
        old = (r->next.first_seq - 1) / s->segment_events;
        r->next.phase = old > r->next.dropped ? RP_SQLITE_PHASE_WHOLE : RP_SQLITE_PHASE_AGE;
    }
    return rc;
}

/* ---- what is owed ---- */

static void owed_done(struct rp_sqlite_retention *r) {
    r->owed_left = 0;
    r->next.owed_session = 0;
    r->next.phase = RP_SQLITE_PHASE_FINISH;
}

/* All of one session at least. The table has no index by seq, which each event that wants acks
 * would pay for, so it is walked, when enough has gone. What is left meanwhile nobody sees: load
 * passes over it. */
static int step_owed(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    sqlite3_stmt *seek = r->stmts[RP_SQLITE_R_OWED_SEEK], *stmt = r->stmts[RP_SQLITE_R_OWED_DELETE];
    uint64_t from = r->next.owed_session, to = 0;
    if (from == 0) {
        if (r->owed_left * OWED_WALK_SHARE <= r->owed_walked) {
            r->next.phase = RP_SQLITE_PHASE_FINISH;
            return SQLITE_OK;
        }
        r->owed_walked = 0;
    }
    sqlite3_bind_int64(seek, 1, (sqlite3_int64) from);
    sqlite3_bind_int64(seek, 2, (sqlite3_int64) r->rows);
    int rc = rp_sqlite_run_u64(seek, &to);
    if (rc != SQLITE_OK) {
        return rc;
    }
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) from);
    sqlite3_bind_int64(stmt, 2, to > 0 ? (sqlite3_int64) to : INT64_MAX);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64) r->upto);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64) r->next.first_seq);
    rc = rp_sqlite_run(stmt);
    r->owed_walked += to > 0 ? r->rows : 0;
    r->changed = true;
    r->next.owed_session = to;
    if (to == 0) {
        owed_done(r);
    }
    return rc;
}

/* ---- the end of a round ---- */

static int write_cursors(struct rp_sqlite_retention *r, size_t place) {
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_CURSORS];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) place);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) r->next.swept_seq[place]);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64) r->next.checked_seq[place]);
    return rp_sqlite_run(stmt);
}

static int step_finish(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    uint64_t checked = r->upto < r->next.counted_to ? r->upto : r->next.counted_to;
    for (size_t i = 0; r->counts && !r->unchecked && i < rp_retention_rules(r->rules); i++) {
        uint64_t *cursor = &r->next.checked_seq[i];
        *cursor = checked > *cursor ? checked : *cursor;
    }
    r->next.phase = RP_SQLITE_PHASE_OVER;
    return SQLITE_OK;
}

/* The cursors that the slice has moved; with what it has done, so in its transaction. */
static int save_cursors(struct rp_sqlite_retention *r) {
    int rc = SQLITE_OK;
    for (size_t i = 0; rc == SQLITE_OK && i < rp_retention_rules(r->rules); i++) {
        if (r->next.swept_seq[i] != r->now.swept_seq[i] ||
            r->next.checked_seq[i] != r->now.checked_seq[i]) {
            rc = write_cursors(r, i);
        }
    }
    return rc;
}

/* ---- slices ---- */

static int step(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    switch (r->next.phase) {
    case RP_SQLITE_PHASE_WHOLE:
        return step_whole(s);
    case RP_SQLITE_PHASE_AGE:
        return rp_sqlite_retention_age(s);
    case RP_SQLITE_PHASE_COUNT:
        return rp_sqlite_retention_count(s);
    case RP_SQLITE_PHASE_SETTLE:
        if (!rp_sqlite_rooms_settle(&r->rooms, r->now.counted_to, r->rows)) {
            r->next.phase = RP_SQLITE_PHASE_LIST;
        }
        r->rows = 0;
        return SQLITE_OK;
    case RP_SQLITE_PHASE_LIST:
        return rp_sqlite_retention_list(s);
    case RP_SQLITE_PHASE_CUT:
        return rp_sqlite_retention_cut(s);
    case RP_SQLITE_PHASE_OWED:
        return step_owed(s);
    case RP_SQLITE_PHASE_FINISH:
        return step_finish(s);
    case RP_SQLITE_PHASE_NONE:
    case RP_SQLITE_PHASE_OVER:
        break;
    }
    return SQLITE_OK;
}

static void begin_slice(struct rp_sqlite_retention *r, size_t rows, size_t bytes) {
    r->next = r->now;
    r->rows = rows;
    r->bytes = bytes;
    r->changed = false;
    r->removed = r->rooms_trimmed = r->segments = r->owed = 0;
}

int rp_sqlite_retention_slice(struct rp_sqlite *s, size_t rows, size_t bytes) {
    struct rp_sqlite_retention *r = &s->retention;
    int rc = SQLITE_OK;
    begin_slice(r, rows, bytes);
    r->sliced = true;
    /* a phase reads what is committed, so it does not follow one that has written */
    while (rc == SQLITE_OK && !r->changed && r->rows > 0 && r->next.phase != RP_SQLITE_PHASE_OVER) {
        rc = step(s);
        rp_sqlite_losses_clear(r);
    }
    rc = rc == SQLITE_OK ? save_cursors(r) : rc;
    /* the rows may be all there are, and no seq is ever given again */
    return rc == SQLITE_OK && r->removed > 0
               ? rp_sqlite_writer_meta(&s->writer, "next_seq", s->writer.next_seq)
               : rc;
}

static void tell(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    struct rp_sqlite_outs *outs = &s->writer.outs;
    for (size_t i = 0; i < r->told_count; i++) {
        rp_sqlite_outs_add(outs, (struct rp_sqlite_out){.outcome = {.kind = RP_ENGINE_BORDER,
                                                                    .seq = r->told[i]->seq,
                                                                    .border = r->told[i]}});
    }
    r->told_count = 0;
    if (r->now.phase == RP_SQLITE_PHASE_OVER) {
        r->now.phase = RP_SQLITE_PHASE_NONE;
        rp_sqlite_outs_add(outs, (struct rp_sqlite_out){.outcome = {.kind = RP_ENGINE_TRIMMED,
                                                                    .seq = r->now.first_seq - 1}});
        rp_sqlite_count(&s->counters.retention_rounds, 1);
        rp_sqlite_rooms_round_over(&r->rooms);
        s->space.looked_ms = 0; /* there may be room again, and pages to give back */
        rp_sqlite_space_look(s, rp_sqlite_now_ms());
    }
}

/* What the transaction has added to rooms that are counted. */
static void list_new(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    const struct rp_sqlite_outs *outs = &s->writer.outs;
    r->committed_seq = s->writer.next_seq - 1;
    for (size_t i = 0; r->rooms.live && i < outs->count; i++) {
        const struct rp_engine_outcome *o = &outs->items[i].outcome;
        if (o->kind == RP_ENGINE_COMMITTED && o->record->f.kind == RP_RECORD_EVENT) {
            const struct rp_record_fields *f = &o->record->f;
            rp_sqlite_rooms_add(s, f->nsp, f->room, f->rooms, o->seq, rp_record_weight(f));
        }
    }
}

static void slice_committed(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    if (r->now.key != r->next.key) {
        free(r->now.key);
    }
    r->now = r->next;
    s->writer.first_seq = r->now.first_seq;
    r->owed_left += r->owed;
    rp_sqlite_count(&s->counters.events_trimmed, r->removed);
    rp_sqlite_count(&s->counters.rooms_trimmed, r->rooms_trimmed);
    rp_sqlite_count(&s->counters.segments_trimmed, r->segments);
    rp_sqlite_rooms_committed(&r->rooms);
    tell(s);
}

void rp_sqlite_retention_committed(struct rp_sqlite *s) {
    if (s->retention.sliced) {
        s->retention.sliced = false;
        slice_committed(s);
    }
    list_new(s);
}

void rp_sqlite_retention_undone(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    if (!r->sliced) {
        return;
    }
    r->sliced = false;
    if (r->next.key != r->now.key) {
        free(r->next.key);
    }
    r->next = r->now;
    for (size_t i = 0; i < r->told_count; i++) {
        free(r->told[i]);
    }
    r->told_count = 0;
    rp_sqlite_rooms_undone(&r->rooms);
}

void rp_sqlite_retention_begin(struct rp_sqlite *s, uint64_t upto, uint64_t wall_ms) {
    struct rp_sqlite_retention *r = &s->retention;
    r->last_seq = s->writer.next_seq - 1;
    r->upto = upto < r->last_seq ? upto : r->last_seq;
    r->events_end = 0; /* also if it cannot be told this time */
    (void) rp_sqlite_meta_count_back(s->writer.db, r->last_seq, rp_retention_whole(r->rules).events,
                                     &r->events_end);
    r->wall_ms = wall_ms;
    r->unchecked = false;
    r->now.rule = 0;
    r->now.owed_session = 0;
    r->now.phase = RP_SQLITE_PHASE_OVER;
    if (rp_retention_limits_anything(r->rules)) {
        r->now.phase = RP_SQLITE_PHASE_WHOLE;
        return;
    }
    tell(s);
    rp_sqlite_publish(s, &s->writer.outs);
}

bool rp_sqlite_retention_pending(const struct rp_sqlite_retention *r) {
    return r->now.phase != RP_SQLITE_PHASE_NONE;
}

/* ---- the beginning ---- */

/* The cursors of rules that are what they were, and come after none that is not. */
static int read_cursors(sqlite3 *db, struct rp_sqlite_retention *r, size_t *ret_same) {
    sqlite3_stmt *stmt;
    size_t count = rp_retention_rules(r->rules), same = 0;
    int rc = sqlite3_prepare_v2(
        db, "SELECT place, rule, swept_seq, checked_seq FROM retention ORDER BY place", -1, &stmt,
        NULL);
    if (rc != SQLITE_OK) {
        return rc;
    }
    while (same < count && sqlite3_step(stmt) == SQLITE_ROW && rp_sqlite_u64(stmt, 0) == same &&
           rp_bytes_eq_str(rp_sqlite_text(stmt, 1), rp_retention_rule_at(r->rules, same)->text)) {
        r->now.swept_seq[same] = rp_sqlite_u64(stmt, 2);
        r->now.checked_seq[same] = rp_sqlite_u64(stmt, 3);
        same++;
    }
    *ret_same = same;
    return sqlite3_finalize(stmt);
}

static int write_rules(sqlite3 *db, const struct rp_sqlite_retention *r, size_t same) {
    sqlite3_stmt *drop = NULL, *add = NULL;
    int rc = sqlite3_prepare_v2(db, "DELETE FROM retention WHERE place >= ?1", -1, &drop, NULL);
    rc = rc == SQLITE_OK
             ? sqlite3_prepare_v2(db, "INSERT INTO retention VALUES (?1, ?2, 0, 0)", -1, &add, NULL)
             : rc;
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(drop, 1, (sqlite3_int64) same);
        rc = rp_sqlite_run(drop);
    }
    for (size_t i = same; rc == SQLITE_OK && i < rp_retention_rules(r->rules); i++) {
        sqlite3_bind_int64(add, 1, (sqlite3_int64) i);
        rp_sqlite_bind_key(add, 2, rp_bytes_str(rp_retention_rule_at(r->rules, i)->text));
        rc = rp_sqlite_run(add);
    }
    sqlite3_finalize(drop);
    sqlite3_finalize(add);
    return rc;
}

static int prepare_rules(sqlite3 *db, struct rp_sqlite_retention *r) {
    size_t same = 0, count = rp_retention_rules(r->rules);
    uint64_t stored = 0;
    int rc = read_cursors(db, r, &same);
    sqlite3_stmt *stmt = NULL;
    rc = rc == SQLITE_OK ? sqlite3_prepare_v2(db, "SELECT count(*) FROM retention", -1, &stmt, NULL)
                         : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_run_u64(stmt, &stored) : rc;
    sqlite3_finalize(stmt);
    if (rc != SQLITE_OK || (same == count && stored == count)) {
        return rc;
    }
    rc = rp_sqlite_exec(db, "BEGIN IMMEDIATE");
    rc = rc == SQLITE_OK ? write_rules(db, r, same) : rc;
    return rc == SQLITE_OK ? rp_sqlite_exec(db, "COMMIT") : rc;
}

/* Index rows of a segment that is not indexed to its end will be written again, but not for rooms
 * that have lost all of it until then. */
static int drop_unfinished(struct rp_sqlite *s) {
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->writer.db, "DELETE FROM room_index WHERE segment >= ?1", -1,
                                &stmt, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, (sqlite3_int64) (s->writer.indexed_seq / s->segment_events));
        rc = rp_sqlite_run(stmt);
    }
    sqlite3_finalize(stmt);
    return rc;
}

int rp_sqlite_retention_border(struct rp_sqlite_retention *r, struct rp_bytes room,
                               struct rp_bytes nsp, uint64_t *ret_seq) {
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_ROOM];
    rp_sqlite_bind_key(stmt, 1, room);
    rp_sqlite_bind_key(stmt, 2, nsp);
    return rp_sqlite_run_u64(stmt, ret_seq);
}

int rp_sqlite_retention_init(struct rp_sqlite *s) {
    static const char *const sqls[RP_SQLITE_R_COUNT] = {
#define STMT_SQL(name, sql) sql,
        RP_SQLITE_RETENTION_STMTS(STMT_SQL)
#undef STMT_SQL
    };
    struct rp_sqlite_retention *r = &s->retention;
    struct rp_sqlite_progress *now = &r->now;
    now->first_seq = s->writer.first_seq;
    now->counted_to = UINT64_MAX;
    r->committed_seq = s->writer.next_seq - 1;
    r->owed_left = 1; /* a round before may have been cut off */
    int rc = prepare_rules(s->writer.db, r);
    rc = rc == SQLITE_OK ? drop_unfinished(s) : rc;
    for (size_t i = 0; i < rp_retention_rules(r->rules); i++) {
        if (rp_sqlite_rule_counts(rp_retention_rule_at(r->rules, i))) {
            r->counts = true;
            uint64_t from = now->checked_seq[i] / s->segment_events * s->segment_events;
            now->counted_to = from < now->counted_to ? from : now->counted_to;
        }
    }
    return rc == SQLITE_OK ? rp_sqlite_prepare_all(s->writer.db, sqls, RP_SQLITE_R_COUNT, r->stmts)
                           : rc;
}

void rp_sqlite_retention_done(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    rp_sqlite_finalize(r->stmts, RP_SQLITE_R_COUNT);
    r->sliced = true;
    rp_sqlite_retention_undone(s);
    free(r->now.key);
    free(r->told);
    free(r->losses.items);
    rp_sqlite_rooms_done(&r->rooms);
}

/* broker/sqlite_retention_rooms.c — rules with events or bytes.
 *
 * What a room has is a sum in its row, of what segments that are counted have, and the entries in
 * memory, of what came later. So a round only looks at rooms that got events since the last one,
 * or that came with segments that are counted now: those indexed meanwhile, and after a start, or
 * a change of the rules, older ones. A room that has too much loses its oldest events one by one,
 * found through its index rows and then the entries, so its border is exact at each commit.
 *
 * counted_seq of a room says how far its sum goes. A segment is counted once for a room, whenever
 * a walk over its index is cut off. Until a walk has come to the newest segment, sums are too
 * small, never too large: what is cut by them would go anyway. */
#include "broker/sqlite_retention.h"
#include "broker/sqlite_state.h"

#include "common/alloc.h"

#include <stdlib.h>

enum { SUSPECTS_MAX = 4096 }; /* rooms with too much that counting finds before they are cut */

static bool has_too_much(const struct rp_retention_limits *limits, uint64_t events,
                         uint64_t bytes) {
    return events > limits->events || (bytes > limits->bytes && events > 1);
}

static int next_segment(struct rp_sqlite_retention *r, uint64_t from, uint64_t *ret_found) {
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_NEXT_SEGMENT];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) from);
    return rp_sqlite_run_u64(stmt, ret_found);
}

static sqlite3_stmt *select_seqs(struct rp_sqlite_retention *r, uint64_t segment,
                                 const struct rp_sqlite_loss *loss) {
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_INDEX_SEQS];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) segment);
    rp_sqlite_bind_key(stmt, 2, loss->room);
    rp_sqlite_bind_key(stmt, 3, loss->nsp);
    return stmt;
}

/* ---- counting ---- */

/* The weight of an event; 0: there is none. */
static int weigh(struct rp_sqlite_retention *r, uint64_t seq, uint64_t *ret_weight) {
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_ROW];
    int rc = SQLITE_OK;
    *ret_weight = 0;
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) seq);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_sqlite_rooms_row row;
        rc = rp_sqlite_row_rooms(stmt, &row);
        *ret_weight = row.weight;
        rp_buf_done(&row.rooms);
    }
    int reset = sqlite3_reset(stmt);
    return rc == SQLITE_OK ? reset : rc;
}

/* Counts one by one what the room has of a segment after its border: where a part of it is lost, or
 * the row does not know its weight. *ret_all: to the row's end. */
static int count_seqs(struct rp_sqlite_retention *r, uint64_t segment, struct rp_sqlite_loss *loss,
                      bool *ret_all) {
    sqlite3_stmt *stmt = select_seqs(r, segment, loss);
    uint64_t from = loss->border > loss->counted_seq ? loss->border : loss->counted_seq;
    uint64_t seq, weight;
    int rc = SQLITE_OK;
    *ret_all = true;
    struct rp_bytes seqs = rp_bytes(NULL, 0);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        seqs = rp_sqlite_text(stmt, 0);
    }
    while (rc == SQLITE_OK && *ret_all && rp_sqlite_seqs_next(&seqs, &seq)) {
        if (seq <= from) {
            continue;
        }
        if (r->rows == 0) {
            *ret_all = false;
            break;
        }
        r->rows--;
        rc = weigh(r, seq, &weight);
        loss->events += weight > 0 ? 1 : 0;
        loss->bytes += weight;
        loss->counted_seq = seq;
        loss->changed = true;
    }
    int reset = sqlite3_reset(stmt);
    return rc == SQLITE_OK ? reset : rc;
}

/* An index row of the walk: room, nsp, n, bytes. */
static int count_row(struct rp_sqlite *s, uint64_t segment, sqlite3_stmt *walk, bool *ret_all) {
    struct rp_sqlite_retention *r = &s->retention;
    struct rp_bytes room = rp_sqlite_text(walk, 0), nsp = rp_sqlite_text(walk, 1);
    struct rp_sqlite_loss *loss = rp_sqlite_loss_of(s, nsp, room);
    uint64_t before = segment * s->segment_events, end = before + s->segment_events;
    *ret_all = true;
    int rc = loss->counted ? rp_sqlite_loss_load(r, loss) : SQLITE_OK;
    if (rc != SQLITE_OK || !loss->counted) {
        return rc;
    }
    bool whole = loss->border <= before && loss->counted_seq <= before &&
                 sqlite3_column_type(walk, 3) != SQLITE_NULL;
    if (loss->counted_seq < end && whole) {
        loss->events += rp_sqlite_u64(walk, 2);
        loss->bytes += rp_sqlite_u64(walk, 3);
    } else if (loss->counted_seq < end) {
        rc = count_seqs(r, segment, loss, ret_all);
    }
    if (*ret_all && loss->counted_seq < end) {
        loss->counted_seq = end;
        loss->changed = true;
    }
    if (rc == SQLITE_OK && has_too_much(&loss->rule->limits, loss->events, loss->bytes)) {
        rp_sqlite_rooms_suspect(s, loss);
    }
    return rc;
}

static int count_segment(struct rp_sqlite *s, uint64_t segment) {
    struct rp_sqlite_retention *r = &s->retention;
    sqlite3_stmt *walk = rp_sqlite_retention_walk(r, segment);
    int rc = SQLITE_OK, step = SQLITE_ROW;
    size_t rows = r->rows, seen = 0;
    bool all = true;
    while (rc == SQLITE_OK && all && r->rows > 0 && (step = sqlite3_step(walk)) == SQLITE_ROW) {
        r->rows--;
        seen++;
        rc = count_row(s, segment, walk, &all);
        if (rc == SQLITE_OK && all) {
            rp_sqlite_retention_key(r, rp_sqlite_text(walk, 0), rp_sqlite_text(walk, 1));
        }
    }
    int reset = sqlite3_reset(walk);
    rc = rc == SQLITE_OK ? reset : rc;
    if (rc == SQLITE_OK && step == SQLITE_DONE && seen < rows) {
        r->next.counted_to = (segment + 1) * s->segment_events;
        rp_sqlite_retention_key_reset(r);
    }
    return rc == SQLITE_OK ? rp_sqlite_losses_flush(s, false) : rc;
}

int rp_sqlite_retention_count(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    uint64_t indexed_seq = s->writer.indexed_seq, found = 0;
    if (!r->counts) {
        r->next.phase = RP_SQLITE_PHASE_OWED;
        return SQLITE_OK;
    }
    if (r->rooms.dirty_count > SUSPECTS_MAX && !rp_list_is_empty(&r->rooms.dirty)) {
        r->next.phase = RP_SQLITE_PHASE_CUT;
        r->next.after_cut = RP_SQLITE_PHASE_COUNT;
        return SQLITE_OK;
    }
    if (r->next.counted_to >= indexed_seq) {
        r->rooms.settle_left = 0;
        r->next.phase = RP_SQLITE_PHASE_SETTLE;
        return SQLITE_OK;
    }
    int rc = next_segment(r, r->next.counted_to / s->segment_events, &found);
    if (rc == SQLITE_OK && (found == 0 || found * s->segment_events > indexed_seq)) {
        r->next.counted_to = indexed_seq;
        return SQLITE_OK;
    }
    return rc == SQLITE_OK ? count_segment(s, found - 1) : rc;
}

/* ---- what is not indexed yet ---- */

static int gather(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    struct rp_sqlite_rooms *rooms = &r->rooms;
    sqlite3_stmt *scan = r->stmts[RP_SQLITE_R_SCAN];
    int rc = SQLITE_OK, step = SQLITE_ROW;
    sqlite3_bind_int64(scan, 1, (sqlite3_int64) rooms->listed_seq);
    sqlite3_bind_int64(scan, 2, (sqlite3_int64) r->committed_seq);
    sqlite3_bind_int64(scan, 3, (sqlite3_int64) r->rows);
    size_t left = r->rows;
    while (rc == SQLITE_OK && left > 0 && rooms->begun &&
           (step = sqlite3_step(scan)) == SQLITE_ROW) {
        struct rp_sqlite_rooms_row row;
        rc = rp_sqlite_row_rooms(scan, &row);
        rooms->listed_seq = row.seq;
        if (rc == SQLITE_OK && row.kind == RP_RECORD_EVENT) {
            rp_sqlite_rooms_add(s, row.nsp, row.room, rp_buf_bytes(&row.rooms), row.seq,
                                row.weight);
        }
        rp_buf_done(&row.rooms);
        left--;
    }
    int reset = sqlite3_reset(scan);
    if (step == SQLITE_DONE && left > 0) {
        rooms->live = rooms->begun;
    }
    r->rows = left;
    return rc == SQLITE_OK ? reset : rc;
}

int rp_sqlite_retention_list(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    struct rp_sqlite_rooms *rooms = &r->rooms;
    if (rooms->live) {
        r->next.phase = RP_SQLITE_PHASE_CUT;
        r->next.after_cut = RP_SQLITE_PHASE_OWED;
        return SQLITE_OK;
    }
    if (!rooms->begun) {
        rooms->begun = true;
        rooms->listed_seq = r->next.counted_to;
    }
    int rc = gather(s);
    if (!rooms->begun) { /* too much: the index is far behind. In the next round, then */
        r->unchecked = true;
        r->next.phase = RP_SQLITE_PHASE_OWED;
    }
    return rc;
}

/* ---- cutting ---- */

struct cut {
    struct rp_sqlite_room *room;
    struct rp_sqlite_loss *loss;
    size_t entry;            /* the oldest that is left */
    uint64_t events, weight; /* of the entries that are left */
    bool over;               /* what is oldest may not go in this round */
};

static bool goes_on(const struct rp_sqlite_retention *r, const struct cut *c) {
    return !c->over && r->rows > 0 && r->bytes > 0 &&
           has_too_much(&c->loss->rule->limits, c->loss->events + c->events,
                        c->loss->bytes + c->weight);
}

/* The room loses its oldest event. */
static int cut_event(struct rp_sqlite *s, struct cut *c, uint64_t seq) {
    struct rp_sqlite_retention *r = &s->retention;
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_ROW];
    struct rp_sqlite_rooms_row row = {0};
    int rc = SQLITE_OK;
    bool lost = false;
    if (seq > r->upto) {
        c->over = true;
        return SQLITE_OK;
    }
    r->rows--;
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) seq);
    bool found = sqlite3_step(stmt) == SQLITE_ROW;
    rc = found ? rp_sqlite_row_rooms(stmt, &row) : SQLITE_OK;
    if (rc == SQLITE_OK) {
        rp_sqlite_lose(c->loss, seq, row.weight);
    }
    rc = rc == SQLITE_OK && found ? rp_sqlite_lost_by_all(s, &row, &lost) : rc;
    rp_buf_done(&row.rooms);
    int reset = sqlite3_reset(stmt);
    rc = rc == SQLITE_OK ? reset : rc;
    return rc == SQLITE_OK && lost ? rp_sqlite_retention_delete(r, &row) : rc;
}

/* The room's events in one indexed segment. *ret_all: it has none there any more. */
static int cut_segment(struct rp_sqlite *s, struct cut *c, uint64_t segment, bool *ret_all) {
    struct rp_sqlite_retention *r = &s->retention;
    sqlite3_stmt *stmt = select_seqs(r, segment, c->loss);
    uint64_t seq = 0;
    int rc = SQLITE_OK;
    bool found = sqlite3_step(stmt) == SQLITE_ROW, all = true;
    struct rp_bytes seqs = found ? rp_sqlite_text(stmt, 0) : rp_bytes(NULL, 0);
    while (rc == SQLITE_OK && all && rp_sqlite_seqs_next(&seqs, &seq)) {
        if (seq <= c->loss->border) {
            continue;
        }
        if (goes_on(r, c) && seq <= c->loss->counted_seq) {
            rc = cut_event(s, c, seq);
        }
        all = seq <= c->loss->border;
    }
    int reset = sqlite3_reset(stmt);
    rc = rc == SQLITE_OK ? reset : rc;
    *ret_all = all;
    return rc == SQLITE_OK && found && all
               ? rp_sqlite_retention_unindex(r, segment, c->loss->room, c->loss->nsp)
               : rc;
}

/* What is in the room's sum is older than the entries. */
static int cut_counted(struct rp_sqlite *s, struct cut *c) {
    struct rp_sqlite_retention *r = &s->retention;
    uint64_t segment = c->loss->border / s->segment_events, found = 0;
    segment = segment > c->room->walk_segment ? segment : c->room->walk_segment;
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && goes_on(r, c) && c->loss->events > 0) {
        uint64_t border = c->loss->border;
        bool all = false;
        rc = next_segment(r, segment, &found);
        r->rows--;
        bool there = found > 0 && (found - 1) * s->segment_events < c->loss->counted_seq;
        if (rc == SQLITE_OK && there) {
            rc = cut_segment(s, c, found - 1, &all);
        }
        if (rc == SQLITE_OK && all) {
            segment = found;
            c->room->walk_segment = segment;
        } else if (rc == SQLITE_OK && border == c->loss->border && goes_on(r, c)) {
            c->loss->events = c->loss->bytes = 0; /* a sum that does not fit the index */
            c->loss->changed = true;
        }
    }
    return rc;
}

static int cut_entries(struct rp_sqlite *s, struct cut *c) {
    struct rp_sqlite_retention *r = &s->retention;
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && goes_on(r, c) && c->loss->events == 0 && c->events > 0) {
        const struct rp_sqlite_entry *entry = &c->room->entries[c->entry];
        rc = cut_event(s, c, entry->seq);
        if (!c->over) {
            c->entry++;
            c->events--;
            c->weight -= entry->weight;
        }
    }
    return rc;
}

static int cut_room(struct rp_sqlite *s, struct rp_sqlite_room *room) {
    struct rp_sqlite_retention *r = &s->retention;
    struct rp_bytes nsp = rp_bytes(room->names + room->room_len, room->nsp_len);
    struct cut c = {.room = room,
                    .loss = rp_sqlite_loss_of(s, nsp, rp_bytes(room->names, room->room_len))};
    int rc = rp_sqlite_loss_load(r, c.loss);
    if (rc != SQLITE_OK) {
        return rc;
    }
    uint64_t gone = c.loss->border > c.loss->counted_seq ? c.loss->border : c.loss->counted_seq;
    if (!c.loss->changed) { /* as it is committed */
        rp_sqlite_rooms_forget(room, &r->rooms, gone);
    }
    c.entry = room->from;
    c.events = room->count;
    c.weight = room->weight;
    while (c.events > 0 && room->entries[c.entry].seq <= gone) {
        c.events--;
        c.weight -= room->entries[c.entry++].weight;
    }
    r->rows--;
    rc = cut_counted(s, &c);
    rc = rc == SQLITE_OK ? cut_entries(s, &c) : rc;
    bool enough =
        !has_too_much(&c.loss->rule->limits, c.loss->events + c.events, c.loss->bytes + c.weight);
    if (rc == SQLITE_OK && (enough || c.over)) {
        rp_list_remove(&room->dirty_node);
        rp_list_append(enough ? &r->rooms.done : &r->rooms.deferred, &room->dirty_node);
    }
    return rc;
}

int rp_sqlite_retention_cut(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    struct rp_list *first = NULL;
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && r->rows > 0 && r->bytes > 0 &&
           (first = rp_list_first(&r->rooms.dirty)) != NULL) {
        rc = cut_room(s, RP_CONTAINER_OF(first, struct rp_sqlite_room, dirty_node));
    }
    rc = rc == SQLITE_OK ? rp_sqlite_losses_flush(s, true) : rc;
    if (rc == SQLITE_OK && rp_list_is_empty(&r->rooms.dirty)) {
        r->next.phase = r->next.after_cut;
    }
    return rc;
}

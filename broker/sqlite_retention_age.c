/* broker/sqlite_retention_age.c — rules with an age. Each has a cursor that walks the log once, up
 * to the first row that is not old enough; events of its rooms are lost as it passes them, and go
 * with the last of their rooms.
 *
 * When it has got through an indexed segment it removes the index rows of its rooms there, and only
 * then moves past the segment's end: a broker that is killed in between looks at the last row
 * again. A segment that is indexed later leaves out what is lost by then.
 *
 * The clock is taken to go forward: behind a row whose time is ahead, older ones wait until it is
 * old itself. */
#include "broker/sqlite_retention.h"
#include "broker/sqlite_state.h"

#include "common/alloc.h"
#include "proto/attachments.h"

#include <stdlib.h>

static void next_rule(struct rp_sqlite_retention *r) {
    r->next.rule++;
    if (r->next.rule >= rp_retention_rules(r->rules)) {
        r->next.rule = 0;
        r->next.phase = RP_SQLITE_PHASE_COUNT;
    }
}

/* ---- index rows of a segment that is through ---- */

static int delete_keys(struct rp_sqlite_retention *r, uint64_t segment,
                       struct rp_sqlite_key *const *keys, size_t count) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
        const struct rp_sqlite_key *key = keys[i];
        rc = rp_sqlite_retention_unindex(r, segment, rp_bytes(key->data, key->room_len),
                                         rp_bytes(key->data + key->room_len, key->nsp_len));
    }
    return rc;
}

static struct rp_sqlite_key *copy_key(struct rp_bytes room, struct rp_bytes nsp) {
    struct rp_sqlite_key *key = rp_alloc(sizeof *key + room.len + nsp.len);
    key->room_len = room.len;
    key->nsp_len = nsp.len;
    if (room.len > 0) {
        memcpy(key->data, room.data, room.len);
    }
    if (nsp.len > 0) {
        memcpy(key->data + room.len, nsp.data, nsp.len);
    }
    return key;
}

/* All events of the rule's rooms in the segment are lost, so all their rows go. */
static int clean(struct rp_sqlite *s, const struct rp_retention_rule *rule) {
    struct rp_sqlite_retention *r = &s->retention;
    uint64_t segment = r->next.swept_seq[rule->index] / s->segment_events;
    sqlite3_stmt *walk = rp_sqlite_retention_walk(r, segment);
    struct rp_sqlite_key **keys = rp_alloc(r->rows * sizeof(struct rp_sqlite_key *));
    size_t count = 0, seen = 0, rows = r->rows;
    while (sqlite3_step(walk) == SQLITE_ROW) {
        struct rp_bytes room = rp_sqlite_text(walk, 0), nsp = rp_sqlite_text(walk, 1);
        if (rp_retention_rule_of(r->rules, nsp, room) == rule) {
            keys[count++] = copy_key(room, nsp);
        }
        seen++;
        if (seen == rows) {
            rp_sqlite_retention_key(r, room, nsp);
        }
    }
    int rc = sqlite3_reset(walk);
    rc = rc == SQLITE_OK ? delete_keys(r, segment, keys, count) : rc;
    for (size_t i = 0; i < count; i++) {
        free(keys[i]);
    }
    free(keys);
    r->rows = 0;
    if (rc == SQLITE_OK && seen < rows) {
        r->next.swept_seq[rule->index] = r->next.clean_to;
        r->next.cleaning = false;
        rp_sqlite_retention_key_reset(r);
    }
    return rc;
}

/* The cursor has come to a row of a later segment. False: not now. */
static bool leave_segment(struct rp_sqlite *s, const struct rp_retention_rule *rule, uint64_t seq) {
    struct rp_sqlite_retention *r = &s->retention;
    uint64_t *cursor = &r->next.swept_seq[rule->index], segment = *cursor / s->segment_events;
    uint64_t to = (seq - 1) / s->segment_events * s->segment_events;
    const struct rp_sqlite_index_job *job = s->writer.chores.job;
    if ((segment + 1) * s->segment_events <= s->writer.indexed_seq) {
        r->next.cleaning = true;
        r->next.clean_to = to;
    } else if (job != NULL && job->segment == segment) {
        return false; /* some of its rows are in the file */
    } else {
        *cursor = to;
    }
    return true;
}

/* ---- events ---- */

static int lose_of_rule(struct rp_sqlite *s, const struct rp_retention_rule *rule,
                        const struct rp_sqlite_rooms_row *row) {
    struct rp_sqlite_retention *r = &s->retention;
    struct rp_bytes further = rp_buf_bytes(&row->rooms), room = row->room;
    bool any = false, lost = false;
    int rc = SQLITE_OK;
    do {
        struct rp_sqlite_loss *loss = rp_sqlite_loss_of(s, row->nsp, room);
        if (loss->rule == rule) {
            rc = rp_sqlite_loss_load(r, loss);
            rp_sqlite_lose(loss, row->seq, row->weight);
            any = true;
        }
    } while (rc == SQLITE_OK && rp_attachments_next(&further, &room) == RP_OK);
    rc = rc == SQLITE_OK && any ? rp_sqlite_lost_by_all(s, row, &lost) : rc;
    return rc == SQLITE_OK && lost ? rp_sqlite_retention_delete(r, row) : rc;
}

/* A row that the scan has come to. *ret_go_on: the next one, too. */
static int pass(struct rp_sqlite *s, const struct rp_retention_rule *rule, uint64_t old_ms,
                sqlite3_stmt *scan, bool *ret_go_on) {
    struct rp_sqlite_retention *r = &s->retention;
    uint64_t *cursor = &r->next.swept_seq[rule->index];
    uint64_t end = (*cursor / s->segment_events + 1) * s->segment_events;
    struct rp_sqlite_rooms_row row;
    int rc = rp_sqlite_row_rooms(scan, &row);
    *ret_go_on = false;
    if (rc == SQLITE_OK && row.ts_ms >= old_ms) {
        next_rule(r);
    } else if (rc == SQLITE_OK && row.seq > end) {
        if (!leave_segment(s, rule, row.seq)) {
            r->rows = 0; /* in the next transaction, with which the index comes further, too */
        }
    } else if (rc == SQLITE_OK) {
        rc = row.kind == RP_RECORD_EVENT ? lose_of_rule(s, rule, &row) : SQLITE_OK;
        *cursor = row.seq < end ? row.seq : end - 1;
        r->rows--;
        *ret_go_on = r->rows > 0 && r->bytes > 0;
    }
    rp_buf_done(&row.rooms);
    return rc;
}

static int sweep(struct rp_sqlite *s, const struct rp_retention_rule *rule, uint64_t old_ms) {
    struct rp_sqlite_retention *r = &s->retention;
    sqlite3_stmt *scan = r->stmts[RP_SQLITE_R_SCAN];
    uint64_t *cursor = &r->next.swept_seq[rule->index];
    *cursor = *cursor > r->next.first_seq - 1 ? *cursor : r->next.first_seq - 1;
    sqlite3_bind_int64(scan, 1, (sqlite3_int64) *cursor);
    sqlite3_bind_int64(scan, 2, (sqlite3_int64) r->upto);
    sqlite3_bind_int64(scan, 3, (sqlite3_int64) r->rows);
    int rc = SQLITE_OK, step = SQLITE_ROW;
    size_t rows = r->rows;
    bool go_on = true;
    while (rc == SQLITE_OK && go_on && (step = sqlite3_step(scan)) == SQLITE_ROW) {
        rc = pass(s, rule, old_ms, scan, &go_on);
    }
    bool end = step == SQLITE_DONE && r->rows > 0 && rows > 0;
    int reset = sqlite3_reset(scan);
    rc = rc == SQLITE_OK ? reset : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_losses_flush(s, true) : rc;
    if (rc == SQLITE_OK && end) {
        next_rule(r);
    }
    return rc;
}

int rp_sqlite_retention_age(struct rp_sqlite *s) {
    struct rp_sqlite_retention *r = &s->retention;
    if (r->next.rule >= rp_retention_rules(r->rules)) {
        r->next.phase = RP_SQLITE_PHASE_COUNT;
        return SQLITE_OK;
    }
    const struct rp_retention_rule *rule = rp_retention_rule_at(r->rules, r->next.rule);
    uint64_t age_ms = rule->limits.age_ms;
    if (age_ms >= r->wall_ms) {
        next_rule(r);
        return SQLITE_OK;
    }
    return r->next.cleaning ? clean(s, rule) : sweep(s, rule, r->wall_ms - age_ms);
}

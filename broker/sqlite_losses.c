/* broker/sqlite_losses.c — what the rooms of one slice lose: gathered in memory, so that a room's
 * row is read once and written once, however many of its events go.
 *
 * The sums of a room (events, bytes) are of its events after its border and up to counted_seq.
 * Whatever moves the border of a room without knowing its sums forgets them. */
#include "broker/sqlite_retention.h"
#include "broker/room_key.h"
#include "broker/sqlite_state.h"

#include "common/alloc.h"
#include "proto/attachments.h"

#include <stdlib.h>

struct rp_sqlite_loss *rp_sqlite_loss_of(struct rp_sqlite *s, struct rp_bytes nsp,
                                         struct rp_bytes room) {
    struct rp_sqlite_retention *r = &s->retention;
    struct rp_sqlite_losses *l = &r->losses;
    uint64_t hash = rp_room_key_hash(&s->hash_key, room, nsp);
    for (struct rp_map_node *n = rp_map_first(&l->map, hash); n; n = rp_map_next(n, hash)) {
        struct rp_sqlite_loss *loss = RP_CONTAINER_OF(n, struct rp_sqlite_loss, node);
        if (rp_bytes_eq(loss->room, room) && rp_bytes_eq(loss->nsp, nsp)) {
            return loss;
        }
    }
    struct rp_sqlite_loss *loss = rp_alloc(sizeof *loss + room.len + nsp.len);
    rp_room_key_copy(loss->names, room, nsp, &loss->room, &loss->nsp);
    loss->rule = rp_retention_rule_of(r->rules, nsp, room);
    loss->counted = rp_sqlite_rule_counts(loss->rule);
    rp_map_add(&l->map, &loss->node, hash);
    l->items = rp_array_reserve(l->items, l->count, &l->capacity, sizeof(*l->items));
    l->items[l->count++] = loss;
    return loss;
}

int rp_sqlite_loss_load(struct rp_sqlite_retention *r, struct rp_sqlite_loss *loss) {
    sqlite3_stmt *stmt = r->stmts[RP_SQLITE_R_ROOM];
    if (loss->loaded) {
        return SQLITE_OK;
    }
    rp_sqlite_bind_key(stmt, 1, loss->room);
    rp_sqlite_bind_key(stmt, 2, loss->nsp);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        loss->border = loss->border_before = rp_sqlite_u64(stmt, 0);
        loss->events = rp_sqlite_u64(stmt, 1);
        loss->bytes = rp_sqlite_u64(stmt, 2);
        loss->counted_seq = rp_sqlite_u64(stmt, 3);
    }
    loss->loaded = true;
    return sqlite3_reset(stmt);
}

void rp_sqlite_lose(struct rp_sqlite_loss *loss, uint64_t seq, uint64_t weight) {
    if (seq <= loss->border) {
        return;
    }
    if (loss->counted && seq <= loss->counted_seq) {
        loss->events -= loss->events > 0 ? 1 : 0;
        loss->bytes -= loss->bytes > weight ? weight : loss->bytes;
    }
    loss->border = seq;
    loss->changed = true;
}

int rp_sqlite_lost_by_all(struct rp_sqlite *s, const struct rp_sqlite_rooms_row *row,
                          bool *ret_lost) {
    struct rp_bytes further = rp_buf_bytes(&row->rooms), room = row->room;
    int rc;
    bool lost;
    do {
        struct rp_sqlite_loss *loss = rp_sqlite_loss_of(s, row->nsp, room);
        rc = rp_sqlite_loss_load(&s->retention, loss);
        lost = loss->border >= row->seq;
    } while (rc == SQLITE_OK && lost && rp_attachments_next(&further, &room) == RP_OK);
    *ret_lost = rc == SQLITE_OK && lost;
    return rc;
}

static int write_loss(struct rp_sqlite_retention *r, const struct rp_sqlite_loss *loss) {
    sqlite3_stmt *stmt = r->stmts[loss->counted ? RP_SQLITE_R_SUMS : RP_SQLITE_R_BORDER];
    rp_sqlite_bind_key(stmt, 1, loss->room);
    rp_sqlite_bind_key(stmt, 2, loss->nsp);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64) loss->border);
    if (loss->counted) {
        sqlite3_bind_int64(stmt, 4, (sqlite3_int64) loss->events);
        sqlite3_bind_int64(stmt, 5, (sqlite3_int64) loss->bytes);
        sqlite3_bind_int64(stmt, 6, (sqlite3_int64) loss->counted_seq);
    }
    return rp_sqlite_run(stmt);
}

static void tell_border(struct rp_sqlite_retention *r, const struct rp_sqlite_loss *loss) {
    r->told = rp_array_reserve(r->told, r->told_count, &r->told_capacity, sizeof(*r->told));
    r->told[r->told_count++] = rp_engine_border_new(loss->nsp, loss->room, loss->border);
}

int rp_sqlite_losses_flush(struct rp_sqlite *s, bool tell) {
    struct rp_sqlite_retention *r = &s->retention;
    int rc = SQLITE_OK;
    for (size_t i = 0; rc == SQLITE_OK && i < r->losses.count; i++) {
        const struct rp_sqlite_loss *loss = r->losses.items[i];
        if (!loss->changed) {
            continue;
        }
        rc = write_loss(r, loss);
        r->changed = true;
        if (loss->border > loss->border_before) {
            r->rooms_trimmed++;
            if (tell) {
                tell_border(r, loss);
            }
        }
    }
    rp_sqlite_losses_clear(r);
    return rc;
}

void rp_sqlite_losses_clear(struct rp_sqlite_retention *r) {
    struct rp_sqlite_losses *l = &r->losses;
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i]);
    }
    rp_map_done(&l->map);
    l->map = (struct rp_map){0};
    l->count = 0;
}

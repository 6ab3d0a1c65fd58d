/* broker/check_index.c — the index of closed segments against the records. The events of one
 * segment are gathered by room, as seqs, and compared with the segment's rows of room_index both
 * ways. What a room has lost to retention (its border) counts in neither: rows may still name it,
 * and events that other rooms keep may still be there.
 *
 * Memory: 4 bytes for each event and room of the segment, and about 100 for each room. */
#include "broker/check_state.h"
#include "broker/room_key.h"

#include "broker/sqlite_names.h"
#include "common/alloc.h"
#include "common/assert.h"
#include "proto/attachments.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct room {
    struct rp_map_node node;
    struct rp_bytes room, nsp;
    uint32_t *places; /* seqs, counted from the segment's beginning */
    size_t count, capacity;
    uint64_t weight; /* of its events together … */
    bool unknown;    /* … unless that of one cannot be told */
    bool in_index;
    uint8_t names[];
};

/* STMT_ROWS depends on the version. */
enum { STMT_BORDER, STMT_SEGMENT, STMT_NEXT_ROWS, STMT_NEXT_SEGMENT, STMT_ROWS, STMTS_COUNT };

static const char rows[] =
    "SELECT room, nsp, n, seqs, bytes FROM room_index WHERE segment = ?1 ORDER BY room, nsp";
static const char old_rows[] =
    "SELECT room, nsp, n, seqs, NULL FROM room_index WHERE segment = ?1 ORDER BY room, nsp";

struct rp_check_index {
    struct rp_check *c;
    sqlite3_stmt *stmts[STMTS_COUNT];
    bool usable;
    uint64_t segment;                     /* the one being gathered */
    uint64_t next;                        /* segments below it have been compared */
    uint64_t first_seq, last_seq, events; /* of it; 0: it has no records yet */
    struct rp_map rooms;
    struct rp_bytes row_room, row_nsp; /* of the row being compared */
    uint64_t row_border;
};

struct rp_check_index *rp_check_index_new(struct rp_check *c) {
    static const char *const sqls[STMT_ROWS] = {
        [STMT_BORDER] = "SELECT trimmed_seq FROM room WHERE room = ?1 AND nsp = ?2",
        [STMT_SEGMENT] = "SELECT first_seq, last_seq, events FROM segment WHERE segment = ?1",
        [STMT_NEXT_ROWS] = "SELECT segment + 1 FROM room_index WHERE segment >= ?1 "
                           "ORDER BY segment LIMIT 1",
        [STMT_NEXT_SEGMENT] = "SELECT segment + 1 FROM segment WHERE segment >= ?1 "
                              "ORDER BY segment LIMIT 1",
    };
    struct rp_check_index *x = RP_NEW(struct rp_check_index);
    x->c = c;
    int rc = rp_sqlite_prepare_all(c->db, sqls, STMT_ROWS, x->stmts);
    if (rc == SQLITE_OK) {
        rc = rp_sqlite_prepare(c->db, c->r.version < RP_CHECK_VERSION_SUMS ? old_rows : rows,
                               &x->stmts[STMT_ROWS]);
    }
    x->usable = rp_check_can_read(c, "room_index", rc);
    return x;
}

static void forget_rooms(struct rp_check_index *x) {
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&x->rooms, &it)) != NULL;) {
        struct room *room = RP_CONTAINER_OF(n, struct room, node);
        rp_map_remove(&x->rooms, n);
        free(room->places);
        free(room);
    }
    rp_map_done(&x->rooms);
    x->rooms = (struct rp_map){0};
}

struct rp_check_index *rp_check_index_free(struct rp_check_index *x) {
    forget_rooms(x);
    rp_sqlite_finalize(x->stmts, STMTS_COUNT);
    free(x);
    return NULL;
}

uint64_t rp_check_border(struct rp_check_index *x, struct rp_bytes room, struct rp_bytes nsp) {
    sqlite3_stmt *stmt = x->stmts[STMT_BORDER];
    uint64_t border = 0;
    rp_sqlite_bind_key(stmt, 1, room);
    rp_sqlite_bind_key(stmt, 2, nsp);
    rp_check_can_read(x->c, "room", rp_sqlite_run_u64(stmt, &border));
    return border;
}

/* ---- gathering ---- */

static struct room *find_room(struct rp_check_index *x, struct rp_bytes room, struct rp_bytes nsp,
                              uint64_t *ret_hash) {
    uint64_t hash = rp_room_key_hash(&x->c->hash_key, room, nsp);
    *ret_hash = hash;
    for (struct rp_map_node *n = rp_map_first(&x->rooms, hash); n; n = rp_map_next(n, hash)) {
        struct room *found = RP_CONTAINER_OF(n, struct room, node);
        if (rp_bytes_eq(found->room, room) && rp_bytes_eq(found->nsp, nsp)) {
            return found;
        }
    }
    return NULL;
}

static void add_event(struct rp_check_index *x, struct rp_bytes name, struct rp_bytes nsp,
                      uint64_t seq, uint64_t weight) {
    uint64_t hash;
    struct room *room = find_room(x, name, nsp, &hash);
    uint32_t place = (uint32_t) (seq - x->segment * x->c->segment_events);
    if (room == NULL) {
        room = rp_alloc(sizeof(*room) + name.len + nsp.len);
        rp_room_key_copy(room->names, name, nsp, &room->room, &room->nsp);
        rp_map_add(&x->rooms, &room->node, hash);
    }
    if (room->count > 0 && room->places[room->count - 1] == place) {
        return; /* an event may name a room more than once */
    }
    room->places =
        rp_array_reserve(room->places, room->count, &room->capacity, sizeof(*room->places));
    room->places[room->count++] = place;
    room->weight += weight;
    room->unknown = room->unknown || weight == 0;
}

static void gather(struct rp_check_index *x, sqlite3_stmt *row, uint64_t seq, uint64_t weight) {
    struct rp_bytes nsp = rp_sqlite_text(row, 3), name;
    struct rp_buf packed;
    x->events++;
    add_event(x, rp_sqlite_text(row, 4), nsp, seq, weight);
    enum rp_err err = rp_sqlite_names(row, 18, &packed);
    struct rp_bytes rooms = rp_buf_bytes(&packed);
    while (err == RP_OK && rp_attachments_next(&rooms, &name) == RP_OK) {
        add_event(x, name, nsp, seq, weight);
    }
    rp_buf_done(&packed);
}

/* ---- a row of the index ---- */

__attribute__((format(printf, 2, 3))) static void row_damage(struct rp_check_index *x,
                                                             const char *format, ...) {
    char what[256], room[RP_CHECK_NAME_SIZE], nsp[RP_CHECK_NAME_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    rp_check_damage(x->c, "room_index: segment %llu, room %s of namespace %s: %s",
                    (unsigned long long) x->segment, rp_check_quote(x->row_room, room),
                    rp_check_quote(x->row_nsp, nsp), what);
}

/* The next number of "[1,2,3]"; 0: it is none. *at moves past it and what follows it. */
static uint64_t next_seq(struct rp_bytes json, size_t *at) {
    uint64_t seq = 0;
    size_t from = *at, i = from;
    for (; i < json.len && json.data[i] >= '0' && json.data[i] <= '9' && i - from < 19; i++) {
        seq = seq * 10 + (uint64_t) (json.data[i] - '0');
    }
    bool ends = i < json.len && json.data[i] == (i + 1 == json.len ? ']' : ',');
    *at = i + 1;
    return i > from && ends ? seq : 0;
}

/* The events of the room from *i on that come before the place and must be in the row. */
static uint64_t left_out(const struct rp_check_index *x, const struct room *room, size_t *i,
                         uint64_t place) {
    uint64_t base = x->segment * x->c->segment_events, first = 0;
    for (; room != NULL && *i < room->count && room->places[*i] < place; (*i)++) {
        uint64_t seq = base + room->places[*i];
        first = first == 0 && seq > x->row_border ? seq : first;
    }
    return first;
}

/* ret_n: how many seqs it has. */
static void compare_seqs(struct rp_check_index *x, const struct room *room, struct rp_bytes json,
                         uint64_t *ret_n) {
    uint64_t base = x->segment * x->c->segment_events, previous = base, n = 0;
    uint64_t lacks = 0, invents = 0, lacks_now;
    size_t at = 1, i = 0;
    bool sound = json.len >= 3 && json.data[0] == '[';
    while (sound && at < json.len) {
        uint64_t seq = next_seq(json, &at);
        sound = seq > previous && seq <= base + x->c->segment_events;
        if (!sound) {
            break;
        }
        previous = seq;
        n++;
        lacks_now = left_out(x, room, &i, seq - base);
        lacks = lacks > 0 ? lacks : lacks_now;
        bool there = room != NULL && i < room->count && room->places[i] == seq - base;
        i += there;
        invents = invents == 0 && !there && seq > x->row_border ? seq : invents;
    }
    if (!sound) {
        row_damage(x, "its seqs are no rising list of numbers in the segment (after %llu)",
                   (unsigned long long) previous);
    } else {
        lacks_now = left_out(x, room, &i, UINT64_MAX);
        lacks = lacks > 0 ? lacks : lacks_now;
    }
    if (invents > 0) {
        row_damage(x, "it has seq %llu, which is no event of the room",
                   (unsigned long long) invents);
    }
    if (lacks > 0) {
        row_damage(x, "it lacks seq %llu, which is an event of the room",
                   (unsigned long long) lacks);
    }
    *ret_n = n;
}

static void compare_row(struct rp_check_index *x, sqlite3_stmt *row) {
    uint64_t hash, n = 0, told = rp_sqlite_u64(row, 2);
    x->row_room = rp_sqlite_text(row, 0);
    x->row_nsp = rp_sqlite_text(row, 1);
    x->row_border = rp_check_border(x, x->row_room, x->row_nsp);
    struct room *room = find_room(x, x->row_room, x->row_nsp, &hash);
    if (room != NULL) {
        room->in_index = true;
    }
    uint64_t damages = x->c->r.damages;
    compare_seqs(x, room, rp_sqlite_text(row, 3), &n);
    bool shrunk = x->row_border > x->segment * x->c->segment_events;
    if (damages == x->c->r.damages && (shrunk ? told < n : told != n)) {
        row_damage(x, "it counts %llu seqs and has %llu", (unsigned long long) told,
                   (unsigned long long) n);
    }
    bool weighed = sqlite3_column_type(row, 4) != SQLITE_NULL && room != NULL && !room->unknown;
    if (damages == x->c->r.damages && !shrunk && weighed && rp_sqlite_u64(row, 4) != room->weight) {
        row_damage(x, "it says %lld bytes, and they are %llu",
                   (long long) sqlite3_column_int64(row, 4), (unsigned long long) room->weight);
    }
}

static void compare_rows(struct rp_check_index *x) {
    sqlite3_stmt *stmt = x->stmts[STMT_ROWS];
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) x->segment);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        compare_row(x, stmt);
    }
    int rc = sqlite3_reset(stmt);
    if (!rp_check_can_read(x->c, "room_index", rc)) {
        return;
    }
    struct rp_map_iter it = {0};
    for (struct rp_map_node *node; (node = rp_map_each(&x->rooms, &it)) != NULL;) {
        const struct room *room = RP_CONTAINER_OF(node, struct room, node);
        size_t i = 0;
        x->row_room = room->room;
        x->row_nsp = room->nsp;
        x->row_border = room->in_index ? 0 : rp_check_border(x, room->room, room->nsp);
        uint64_t lacks = room->in_index ? 0 : left_out(x, room, &i, UINT64_MAX);
        if (lacks > 0) {
            row_damage(x, "there is no row, and seq %llu is an event of the room",
                       (unsigned long long) lacks);
        }
    }
}

/* ---- a segment ---- */

static void compare_segment_row(struct rp_check_index *x) {
    struct rp_check *c = x->c;
    sqlite3_stmt *stmt = x->stmts[STMT_SEGMENT];
    unsigned long long segment = x->segment;
    uint64_t begin = x->segment * c->segment_events, end = begin + c->segment_events;
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) x->segment);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        uint64_t first = rp_sqlite_u64(stmt, 0), last = rp_sqlite_u64(stmt, 1);
        uint64_t events = rp_sqlite_u64(stmt, 2);
        bool gone = end < c->r.first_seq; /* what a trim has left of it */
        bool thinned = gone || c->border_max > begin;
        if (first <= begin || first > last || last > end || events > last - first + 1) {
            rp_check_damage(c,
                            "segment: segment %llu has first_seq %lld, last_seq %lld, events %lld",
                            segment, (long long) first, (long long) last, (long long) events);
        } else if ((x->first_seq > 0 && (x->first_seq < first || x->last_seq > last)) ||
                   x->events > events ||
                   (!thinned &&
                    (x->first_seq != first || x->last_seq != last || x->events != events))) {
            rp_check_damage(c,
                            "segment: segment %llu was %llu to %llu with %llu events, and is %llu "
                            "to %llu with %llu",
                            segment, (unsigned long long) first, (unsigned long long) last,
                            (unsigned long long) events, (unsigned long long) x->first_seq,
                            (unsigned long long) x->last_seq, (unsigned long long) x->events);
        }
        if (end > c->indexed_seq) {
            rp_check_damage(c, "segment: segment %llu is there, and the log is indexed up to %llu",
                            segment, (unsigned long long) c->indexed_seq);
        }
    } else if (x->events > 0 && end <= c->indexed_seq && end >= c->r.first_seq) {
        rp_check_damage(c, "segment: segment %llu is not there, and has %llu events", segment,
                        (unsigned long long) x->events);
    }
    rp_check_can_read(c, "segment", sqlite3_reset(stmt));
}

/* The one that was gathered, which may have no records. */
static void compare_segment(struct rp_check_index *x) {
    uint64_t end = (x->segment + 1) * x->c->segment_events;
    compare_segment_row(x);
    if (end <= x->c->indexed_seq) {
        compare_rows(x);
    }
    forget_rooms(x);
    x->first_seq = x->last_seq = x->events = 0;
    x->next = x->segment + 1;
}

static uint64_t next_of(struct rp_check_index *x, int which) {
    uint64_t found = 0; /* plus one */
    sqlite3_bind_int64(x->stmts[which], 1, (sqlite3_int64) x->next);
    int rc = rp_sqlite_run_u64(x->stmts[which], &found);
    return rp_check_can_read(x->c, "room_index", rc) && found > 0 ? found - 1 : UINT64_MAX;
}

/* Those in between which have rows and no records. */
static void compare_empty_segments(struct rp_check_index *x, uint64_t before) {
    uint64_t last = INT64_MAX / x->c->segment_events - 1;
    for (;;) {
        uint64_t rows = next_of(x, STMT_NEXT_ROWS), segments = next_of(x, STMT_NEXT_SEGMENT);
        uint64_t segment = rows < segments ? rows : segments;
        if (segment >= before || segment > last) {
            if (segment > last && segment != UINT64_MAX) {
                rp_check_damage(x->c, "room_index or segment: there is no segment %lld",
                                (long long) segment);
            }
            return;
        }
        x->segment = segment;
        compare_segment(x);
    }
}

void rp_check_index_add(struct rp_check_index *x, sqlite3_stmt *row, uint64_t weight) {
    uint64_t seq = rp_sqlite_u64(row, 0);
    if (!x->usable || seq == 0 || seq > INT64_MAX || seq < x->last_seq) {
        return;
    }
    uint64_t segment = (seq - 1) / x->c->segment_events;
    if (x->first_seq > 0 && segment != x->segment) {
        compare_segment(x);
    }
    if (x->first_seq == 0) {
        compare_empty_segments(x, segment);
        x->segment = segment;
        x->first_seq = seq;
    }
    x->last_seq = seq;
    if (sqlite3_column_int64(row, 1) == RP_RECORD_EVENT) {
        gather(x, row, seq, weight);
    }
}

void rp_check_index_end(struct rp_check_index *x) {
    if (!x->usable) {
        return;
    }
    if (x->first_seq > 0) {
        compare_segment(x);
    }
    compare_empty_segments(x, UINT64_MAX);
}

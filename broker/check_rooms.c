/* broker/check_rooms.c — the sums that retention keeps of rooms under rules with events or bytes
 * (`room`): never more than there is, or a room would lose events before its time. One entry in
 * memory for each such room. */
#include "broker/check_state.h"
#include "broker/room_key.h"

#include "broker/sqlite_names.h"
#include "common/alloc.h"
#include "proto/attachments.h"

#include <stdlib.h>

struct sum {
    struct rp_map_node node;
    struct rp_bytes room, nsp;
    uint64_t border, counted_seq, events, bytes; /* as the file has them */
    uint64_t found_events, found_bytes, last_seq;
    bool unknown; /* the weight of one of its events cannot be told */
    uint8_t names[];
};

struct rp_check_rooms {
    struct rp_check *c;
    struct rp_map map;
};

static uint64_t hash_of(const struct rp_check_rooms *x, struct rp_bytes room, struct rp_bytes nsp) {
    return rp_room_key_hash(&x->c->hash_key, room, nsp);
}

static void load(struct rp_check_rooms *x, sqlite3_stmt *row) {
    struct rp_bytes room = rp_sqlite_text(row, 0), nsp = rp_sqlite_text(row, 1);
    struct sum *sum = rp_alloc(sizeof *sum + room.len + nsp.len);
    rp_room_key_copy(sum->names, room, nsp, &sum->room, &sum->nsp);
    sum->border = rp_sqlite_u64(row, 2);
    sum->counted_seq = rp_sqlite_u64(row, 3);
    sum->events = rp_sqlite_u64(row, 4);
    sum->bytes = rp_sqlite_u64(row, 5);
    rp_map_add(&x->map, &sum->node, hash_of(x, room, nsp));
}

struct rp_check_rooms *rp_check_rooms_new(struct rp_check *c) {
    struct rp_check_rooms *x = RP_NEW(struct rp_check_rooms);
    sqlite3_stmt *row;
    x->c = c;
    if (c->r.version < RP_CHECK_VERSION_SUMS) {
        return x;
    }
    int rc = sqlite3_prepare_v2(c->db,
                                "SELECT room, nsp, trimmed_seq, counted_seq, events, bytes "
                                "FROM room WHERE events IS NOT NULL AND bytes IS NOT NULL",
                                -1, &row, NULL);
    while (rc == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW) {
        load(x, row);
    }
    rp_check_can_read(c, "room", rc == SQLITE_OK ? sqlite3_finalize(row) : rc);
    return x;
}

struct rp_check_rooms *rp_check_rooms_free(struct rp_check_rooms *x) {
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&x->map, &it)) != NULL;) {
        rp_map_remove(&x->map, n);
        free(RP_CONTAINER_OF(n, struct sum, node));
    }
    rp_map_done(&x->map);
    free(x);
    return NULL;
}

static void add(struct rp_check_rooms *x, struct rp_bytes room, struct rp_bytes nsp, uint64_t seq,
                uint64_t weight) {
    uint64_t hash = hash_of(x, room, nsp);
    for (struct rp_map_node *n = rp_map_first(&x->map, hash); n; n = rp_map_next(n, hash)) {
        struct sum *sum = RP_CONTAINER_OF(n, struct sum, node);
        if (rp_bytes_eq(sum->room, room) && rp_bytes_eq(sum->nsp, nsp) && sum->last_seq != seq &&
            seq > sum->border && seq <= sum->counted_seq) {
            sum->last_seq = seq; /* once, however often the event names the room */
            sum->found_events++;
            sum->found_bytes += weight;
            sum->unknown = sum->unknown || weight == 0;
        }
    }
}

void rp_check_rooms_add(struct rp_check_rooms *x, sqlite3_stmt *row, uint64_t weight) {
    struct rp_bytes nsp = rp_sqlite_text(row, 3), name;
    struct rp_buf packed;
    if (x->map.count == 0 || sqlite3_column_int64(row, 1) != RP_RECORD_EVENT) {
        return;
    }
    uint64_t seq = rp_sqlite_u64(row, 0);
    add(x, rp_sqlite_text(row, 4), nsp, seq, weight);
    enum rp_err err = rp_sqlite_names(row, 18, &packed);
    struct rp_bytes rooms = rp_buf_bytes(&packed);
    while (err == RP_OK && rp_attachments_next(&rooms, &name) == RP_OK) {
        add(x, name, nsp, seq, weight);
    }
    rp_buf_done(&packed);
}

void rp_check_rooms_end(struct rp_check_rooms *x) {
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&x->map, &it)) != NULL;) {
        const struct sum *sum = RP_CONTAINER_OF(n, struct sum, node);
        char room[RP_CHECK_NAME_SIZE], nsp[RP_CHECK_NAME_SIZE];
        if (sum->events > sum->found_events || (!sum->unknown && sum->bytes > sum->found_bytes)) {
            rp_check_damage(x->c,
                            "room: %s of namespace %s is said to have %lld events of %lld bytes, "
                            "and has %llu of %llu",
                            rp_check_quote(sum->room, room), rp_check_quote(sum->nsp, nsp),
                            (long long) sum->events, (long long) sum->bytes,
                            (unsigned long long) sum->found_events,
                            (unsigned long long) sum->found_bytes);
        }
    }
}

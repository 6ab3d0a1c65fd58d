/* broker/sqlite_rooms.c — rooms under rules with events or bytes: the seqs and weights of their
 * newest events, which no sum in the file has yet, in memory. They are there from the commit of an
 * event until its segment is indexed and counted; after a start they are gathered from the file.
 * Only rooms with such events, or with more than their rule keeps, are known here. */
#include "broker/sqlite_retention.h"
#include "broker/room_key.h"
#include "broker/sqlite_state.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "proto/attachments.h"

#include <stdlib.h>

void rp_sqlite_rooms_init(struct rp_sqlite_rooms *rooms) {
    rp_list_init(&rooms->dirty);
    rp_list_init(&rooms->deferred);
    rp_list_init(&rooms->done);
    rp_list_init(&rooms->listed);
}

static void free_room(struct rp_sqlite_rooms *rooms, struct rp_sqlite_room *room) {
    rooms->dirty_count -= rp_list_is_linked(&room->dirty_node) ? 1 : 0;
    rooms->listed_count -= rp_list_is_linked(&room->listed_node) ? 1 : 0;
    rooms->memory -= sizeof *room + room->room_len + room->nsp_len +
                     room->capacity * sizeof(struct rp_sqlite_entry);
    rp_list_remove(&room->dirty_node);
    rp_list_remove(&room->listed_node);
    rp_map_remove(&rooms->map, &room->node);
    free(room->entries);
    free(room);
}

void rp_sqlite_rooms_reset(struct rp_sqlite_rooms *rooms) {
    struct rp_map_iter it = {0};
    struct rp_map_node *n;
    while ((n = rp_map_each(&rooms->map, &it)) != NULL) {
        free_room(rooms, RP_CONTAINER_OF(n, struct rp_sqlite_room, node));
    }
    rooms->live = rooms->begun = false;
    RP_ASSERT(rooms->dirty_count == 0 && rooms->listed_count == 0 && rooms->memory == 0);
}

void rp_sqlite_rooms_done(struct rp_sqlite_rooms *rooms) {
    rp_sqlite_rooms_reset(rooms);
    rp_map_done(&rooms->map);
}

static struct rp_sqlite_room *find(struct rp_sqlite *s, struct rp_bytes nsp, struct rp_bytes name,
                                   uint64_t hash) {
    struct rp_map *map = &s->retention.rooms.map;
    for (struct rp_map_node *n = rp_map_first(map, hash); n; n = rp_map_next(n, hash)) {
        struct rp_sqlite_room *room = RP_CONTAINER_OF(n, struct rp_sqlite_room, node);
        if (rp_bytes_eq(rp_bytes(room->names, room->room_len), name) &&
            rp_bytes_eq(rp_bytes(room->names + room->room_len, room->nsp_len), nsp)) {
            return room;
        }
    }
    return NULL;
}

/* NULL: no rule counts the room. */
static struct rp_sqlite_room *get(struct rp_sqlite *s, struct rp_bytes nsp, struct rp_bytes name) {
    struct rp_sqlite_rooms *rooms = &s->retention.rooms;
    uint64_t hash = rp_room_key_hash(&s->hash_key, name, nsp);
    struct rp_sqlite_room *room = find(s, nsp, name, hash);
    if (room != NULL) {
        return room;
    }
    const struct rp_retention_rule *rule = rp_retention_rule_of(s->retention.rules, nsp, name);
    if (!rp_sqlite_rule_counts(rule)) {
        return NULL;
    }
    room = rp_alloc(sizeof *room + name.len + nsp.len);
    room->rule = rule;
    room->room_len = name.len;
    room->nsp_len = nsp.len;
    if (name.len > 0) {
        memcpy(room->names, name.data, name.len);
    }
    if (nsp.len > 0) {
        memcpy(room->names + name.len, nsp.data, nsp.len);
    }
    rp_map_add(&rooms->map, &room->node, hash);
    rooms->memory += sizeof *room + name.len + nsp.len;
    return room;
}

static void make_dirty(struct rp_sqlite_rooms *rooms, struct rp_sqlite_room *room) {
    if (!rp_list_is_linked(&room->dirty_node)) {
        rp_list_append(&rooms->dirty, &room->dirty_node);
        rooms->dirty_count++;
    }
}

/* Room for one more entry, at the end. */
static void reserve(struct rp_sqlite_rooms *rooms, struct rp_sqlite_room *room) {
    size_t before = room->capacity;
    if (room->from > 0 && room->from >= room->count) {
        memmove(room->entries, room->entries + room->from, room->count * sizeof *room->entries);
        room->from = 0;
    }
    room->entries = rp_array_reserve(room->entries, room->from + room->count, &room->capacity,
                                     sizeof *room->entries);
    rooms->memory += (room->capacity - before) * sizeof *room->entries;
}

static void add(struct rp_sqlite *s, struct rp_bytes nsp, struct rp_bytes name, uint64_t seq,
                uint64_t weight) {
    struct rp_sqlite_rooms *rooms = &s->retention.rooms;
    struct rp_sqlite_room *room = get(s, nsp, name);
    if (room == NULL ||
        (room->count > 0 && room->entries[room->from + room->count - 1].seq >= seq)) {
        return; /* nobody counts it, or the event names the room twice */
    }
    reserve(rooms, room);
    room->entries[room->from + room->count++] =
        (struct rp_sqlite_entry){.seq = seq, .weight = weight};
    room->weight += weight;
    if (!rp_list_is_linked(&room->listed_node)) {
        rp_list_append(&rooms->listed, &room->listed_node);
        rooms->listed_count++;
    }
    make_dirty(rooms, room);
}

void rp_sqlite_rooms_add(struct rp_sqlite *s, struct rp_bytes nsp, struct rp_bytes room,
                         struct rp_bytes further, uint64_t seq, uint64_t weight) {
    do {
        add(s, nsp, room, seq, weight);
    } while (rp_attachments_next(&further, &room) == RP_OK);
    if (s->retention.rooms.memory > RP_RETENTION_ROOMS_BYTES_MAX) {
        rp_sqlite_rooms_reset(&s->retention.rooms);
    }
}

void rp_sqlite_rooms_suspect(struct rp_sqlite *s, const struct rp_sqlite_loss *loss) {
    struct rp_sqlite_room *room = get(s, loss->nsp, loss->room);
    if (room != NULL) {
        make_dirty(&s->retention.rooms, room);
    }
}

void rp_sqlite_rooms_forget(struct rp_sqlite_room *room, struct rp_sqlite_rooms *rooms,
                            uint64_t upto) {
    while (room->count > 0 && room->entries[room->from].seq <= upto) {
        room->weight -= room->entries[room->from].weight;
        room->from++;
        room->count--;
    }
    if (room->count == 0 && rp_list_is_linked(&room->listed_node)) {
        rp_list_remove(&room->listed_node);
        rooms->listed_count--;
    }
}

static void free_if_idle(struct rp_sqlite_rooms *rooms, struct rp_sqlite_room *room) {
    if (room->count == 0 && !rp_list_is_linked(&room->dirty_node)) {
        free_room(rooms, room);
    }
}

bool rp_sqlite_rooms_settle(struct rp_sqlite_rooms *rooms, uint64_t counted_to, size_t max) {
    if (rooms->settle_left == 0) {
        rooms->settle_left = rooms->listed_count;
    }
    for (; max > 0 && rooms->settle_left > 0; max--) {
        struct rp_list *first = rp_list_first(&rooms->listed);
        if (first == NULL) {
            rooms->settle_left = 0;
            break;
        }
        struct rp_sqlite_room *room = RP_CONTAINER_OF(first, struct rp_sqlite_room, listed_node);
        rooms->settle_left--;
        rp_sqlite_rooms_forget(room, rooms, counted_to);
        if (room->count > 0) { /* to the end of the list */
            rp_list_remove(first);
            rp_list_append(&rooms->listed, first);
        } else {
            free_if_idle(rooms, room);
        }
    }
    return rooms->settle_left > 0;
}

void rp_sqlite_rooms_committed(struct rp_sqlite_rooms *rooms) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&rooms->done, it, tmp) {
        struct rp_sqlite_room *room = RP_CONTAINER_OF(it, struct rp_sqlite_room, dirty_node);
        rp_list_remove(it);
        rooms->dirty_count--;
        free_if_idle(rooms, room);
    }
}

static void move_all(struct rp_list *from, struct rp_list *to) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(from, it, tmp) {
        rp_list_remove(it);
        rp_list_append(to, it);
    }
}

/* The index rows that a walk has removed are there again. */
void rp_sqlite_rooms_undone(struct rp_sqlite_rooms *rooms) {
    struct rp_list *it, *tmp;
    move_all(&rooms->done, &rooms->dirty);
    move_all(&rooms->deferred, &rooms->dirty);
    RP_LIST_FOR(&rooms->dirty, it, tmp) {
        RP_CONTAINER_OF(it, struct rp_sqlite_room, dirty_node)->walk_segment = 0;
    }
}

void rp_sqlite_rooms_round_over(struct rp_sqlite_rooms *rooms) {
    move_all(&rooms->deferred, &rooms->dirty);
}

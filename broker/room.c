#include "broker/room.h"

#include "common/alloc.h"

#include <stdlib.h>

void rp_rooms_init(struct rp_rooms *rooms, struct rp_hash_key key) {
    *rooms = (struct rp_rooms){.key = key};
}

static void room_free(struct rp_room *room) {
    free(room->interest);
    free(room->events);
    free(room);
}

void rp_rooms_done(struct rp_rooms *rooms) {
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&rooms->map, &it)) != NULL;) {
        room_free(RP_CONTAINER_OF(n, struct rp_room, node));
    }
    rp_map_done(&rooms->map);
}

static uint64_t hash_of(const struct rp_rooms *rooms, struct rp_bytes nsp, struct rp_bytes name) {
    return rp_hash_bytes(&rooms->key, name) ^ rp_hash_u64(rp_hash_bytes(&rooms->key, nsp));
}

static struct rp_room *find(const struct rp_rooms *rooms, uint64_t hash, struct rp_bytes nsp,
                            struct rp_bytes name) {
    for (struct rp_map_node *n = rp_map_first(&rooms->map, hash); n; n = rp_map_next(n, hash)) {
        struct rp_room *room = RP_CONTAINER_OF(n, struct rp_room, node);
        if (rp_bytes_eq(room->name, name) && rp_bytes_eq(room->nsp, nsp)) {
            return room;
        }
    }
    return NULL;
}

struct rp_room *rp_rooms_find(const struct rp_rooms *rooms, struct rp_bytes nsp,
                              struct rp_bytes name) {
    return find(rooms, hash_of(rooms, nsp, name), nsp, name);
}

struct rp_room *rp_rooms_get(struct rp_rooms *rooms, struct rp_bytes nsp, struct rp_bytes name) {
    uint64_t hash = hash_of(rooms, nsp, name);
    struct rp_room *room = find(rooms, hash, nsp, name);
    if (room == NULL) {
        room = rp_alloc(sizeof(*room) + nsp.len + name.len);
        memcpy(room->data, nsp.data, nsp.len);
        if (name.len > 0) { /* the room "" is the whole namespace */
            memcpy(room->data + nsp.len, name.data, name.len);
        }
        room->nsp = rp_bytes(room->data, nsp.len);
        room->name = rp_bytes(room->data + nsp.len, name.len);
        rp_list_init(&room->members);
        rp_list_init(&room->shared);
        rp_list_init(&room->bordered_node);
        rp_map_add(&rooms->map, &room->node, hash);
    }
    return room;
}

void rp_rooms_release(struct rp_rooms *rooms, struct rp_room *room) {
    if (room->intervals_count == 0 && room->events_count == 0 && room->interest_count == 0 &&
        room->border == 0 && rp_list_is_empty(&room->shared)) {
        rp_map_remove(&rooms->map, &room->node);
        room_free(room);
    }
}

void rp_room_interest_add(struct rp_room *room, struct rp_peer *peer) {
    for (size_t i = 0; i < room->interest_count; i++) {
        if (room->interest[i].peer == peer) {
            room->interest[i].count++;
            return;
        }
    }
    room->interest = rp_array_reserve(room->interest, room->interest_count,
                                      &room->interest_capacity, sizeof(*room->interest));
    room->interest[room->interest_count++] = (struct rp_interest){.peer = peer, .count = 1};
}

void rp_room_interest_remove(struct rp_room *room, struct rp_peer *peer) {
    for (size_t i = 0; i < room->interest_count; i++) {
        if (room->interest[i].peer == peer) {
            if (--room->interest[i].count == 0) {
                room->interest[i] = room->interest[--room->interest_count];
            }
            return;
        }
    }
    RP_ASSERT(!"interest that was never added");
}

void rp_room_push_event(struct rp_room *room, struct rp_record *event) {
    if (room->events_from > 0 && room->events_from + room->events_count == room->events_capacity &&
        room->events_from >= room->events_count) {
        memcpy(room->events, room->events + room->events_from,
               room->events_count * sizeof(*room->events));
        room->events_from = 0;
    }
    room->events = rp_array_reserve(room->events, room->events_from + room->events_count,
                                    &room->events_capacity, sizeof(*room->events));
    room->events[room->events_from + room->events_count++] = event;
}

void rp_room_pop_event(struct rp_room *room, const struct rp_record *event) {
    RP_ASSERT(room->events_count > 0 && room->events[room->events_from] == event);
    room->events_from++;
    if (--room->events_count == 0) {
        room->events_from = 0;
    }
}

size_t rp_room_events_after(const struct rp_room *room, uint64_t after) {
    size_t low = 0, high = room->events_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rp_room_event(room, middle)->seq > after) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

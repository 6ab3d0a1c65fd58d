#include "gateway/fanout.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "gateway/core.h"

#include <stdlib.h>

void rp_fanout_init(struct rp_fanout *f, struct rp_hash_key key) {
    *f = (struct rp_fanout){.key = key};
}

void rp_fanout_done(struct rp_fanout *f) {
    RP_ASSERT(f->rooms.count == 0);
    rp_map_done(&f->rooms);
}

static uint64_t hash_of(const struct rp_fanout *f, const struct rp_nsp *nsp, struct rp_bytes room) {
    return rp_hash_bytes(&f->key, room) + nsp->node.hash;
}

struct rp_fanout_room *rp_fanout_find(const struct rp_fanout *f, const struct rp_nsp *nsp,
                                      struct rp_bytes room) {
    uint64_t hash = hash_of(f, nsp, room);
    for (struct rp_map_node *n = rp_map_first(&f->rooms, hash); n; n = rp_map_next(n, hash)) {
        struct rp_fanout_room *found = RP_CONTAINER_OF(n, struct rp_fanout_room, node);
        if (found->nsp == nsp && rp_bytes_eq(found->name, room)) {
            return found;
        }
    }
    return NULL;
}

static struct rp_fanout_room *room_new(struct rp_fanout *f, struct rp_nsp *nsp,
                                       struct rp_bytes name) {
    struct rp_fanout_room *room = rp_alloc(sizeof(*room) + name.len);
    room->nsp = nsp;
    if (name.len > 0) {
        memcpy(room->data, name.data, name.len);
    }
    room->name = rp_bytes(room->data, name.len);
    rp_map_add(&f->rooms, &room->node, hash_of(f, nsp, name));
    return room;
}

/* The socket's slot of a room, or the count of its slots. */
static size_t slot_of(const struct rp_fanout_rooms *rooms, const struct rp_fanout_room *room) {
    size_t slot = 0;
    while (slot < rooms->count && rooms->slots[slot].room != room) {
        slot++;
    }
    return slot;
}

void rp_fanout_join(struct rp_fanout *f, struct rp_socket *socket, struct rp_bytes name) {
    struct rp_fanout_room *room = rp_fanout_find(f, socket->nsp, name);
    struct rp_fanout_rooms *rooms = &socket->rooms;
    if (room == NULL) {
        room = room_new(f, socket->nsp, name);
    } else if (slot_of(rooms, room) < rooms->count) {
        return;
    }
    room->members = rp_array_reserve(room->members, room->count, &room->capacity,
                                     sizeof(struct rp_fanout_member));
    rooms->slots = rp_array_reserve(rooms->slots, rooms->count, &rooms->capacity,
                                    sizeof(struct rp_fanout_slot));
    room->members[room->count] =
        (struct rp_fanout_member){.socket = socket, .slot = (uint32_t) rooms->count};
    rooms->slots[rooms->count++] =
        (struct rp_fanout_slot){.room = room, .index = (uint32_t) room->count++};
}

/* The last member, and the socket's last room, take the freed places. */
static void leave_slot(struct rp_fanout *f, struct rp_socket *socket, size_t slot) {
    struct rp_fanout_rooms *rooms = &socket->rooms;
    struct rp_fanout_room *room = rooms->slots[slot].room;
    uint32_t index = rooms->slots[slot].index;
    struct rp_fanout_member last = room->members[--room->count];
    if (last.socket != socket) {
        room->members[index] = last;
        last.socket->rooms.slots[last.slot].index = index;
    }
    struct rp_fanout_slot last_slot = rooms->slots[--rooms->count];
    if (slot < rooms->count) {
        rooms->slots[slot] = last_slot;
        last_slot.room->members[last_slot.index].slot = (uint32_t) slot;
    }
    if (room->count == 0) {
        rp_map_remove(&f->rooms, &room->node);
        free(room->members);
        free(room);
    }
}

void rp_fanout_leave(struct rp_fanout *f, struct rp_socket *socket, struct rp_bytes name) {
    struct rp_fanout_room *room = rp_fanout_find(f, socket->nsp, name);
    size_t slot = room != NULL ? slot_of(&socket->rooms, room) : socket->rooms.count;
    if (slot < socket->rooms.count) {
        leave_slot(f, socket, slot);
    }
}

void rp_fanout_leave_all(struct rp_fanout *f, struct rp_socket *socket) {
    while (socket->rooms.count > 0) {
        leave_slot(f, socket, socket->rooms.count - 1);
    }
    free(socket->rooms.slots);
    socket->rooms = (struct rp_fanout_rooms){0};
}

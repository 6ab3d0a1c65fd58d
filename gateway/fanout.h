/* gateway/fanout.h — rooms and their members on this gateway. Rooms of the same name in two
 * namespaces are two rooms; that without a name is the whole namespace. Joining, leaving and
 * finding take constant time. */
#pragma once

#include "common/map.h"

struct rp_nsp;
struct rp_socket;

/* A member of a room, and where in the socket's own table the room stands. */
struct rp_fanout_member {
    struct rp_socket *socket;
    uint32_t slot;
};

struct rp_fanout_room {
    struct rp_map_node node;
    struct rp_fanout_member *members;
    size_t count, capacity;
    struct rp_nsp *nsp;
    struct rp_bytes name; /* in data */
    uint8_t data[];
};

/* A room of a socket, and where in the room's table the socket stands. */
struct rp_fanout_slot {
    struct rp_fanout_room *room;
    uint32_t index;
};

/* What a socket embeds. Zeroed: in no room. */
struct rp_fanout_rooms {
    struct rp_fanout_slot *slots;
    size_t count, capacity;
};

struct rp_fanout {
    struct rp_map rooms;
    struct rp_hash_key key;
};

void rp_fanout_init(struct rp_fanout *f, struct rp_hash_key key);
void rp_fanout_done(struct rp_fanout *f); /* all sockets have left */

/* NULL: nobody here is in it. */
struct rp_fanout_room *rp_fanout_find(const struct rp_fanout *f, const struct rp_nsp *nsp,
                                      struct rp_bytes room);
/* In the namespace of the socket. Joining twice and leaving a room one is not in change nothing. */
void rp_fanout_join(struct rp_fanout *f, struct rp_socket *socket, struct rp_bytes room);
void rp_fanout_leave(struct rp_fanout *f, struct rp_socket *socket, struct rp_bytes room);
void rp_fanout_leave_all(struct rp_fanout *f, struct rp_socket *socket);

/* gateway/fanout.h — rooms and their members on this gateway. Joining, leaving and finding take
 * constant time. */
#pragma once

#include "common/map.h"

struct rp_client;

/* A member of a room, and where in the client's own table the room stands. */
struct rp_fanout_member {
    struct rp_client *client;
    uint32_t slot;
};

struct rp_fanout_room {
    struct rp_map_node node;
    struct rp_fanout_member *members;
    size_t count, capacity;
    struct rp_bytes name; /* in data */
    uint8_t data[];
};

/* A room of a client, and where in the room's table the client stands. */
struct rp_fanout_slot {
    struct rp_fanout_room *room;
    uint32_t index;
};

/* What a client embeds. Zeroed: in no room. */
struct rp_fanout_rooms {
    struct rp_fanout_slot *slots;
    size_t count, capacity;
};

struct rp_fanout {
    struct rp_map rooms;
    struct rp_hash_key key;
};

void rp_fanout_init(struct rp_fanout *f, struct rp_hash_key key);
void rp_fanout_done(struct rp_fanout *f); /* all clients have left */

/* NULL: nobody here is in it. */
struct rp_fanout_room *rp_fanout_find(const struct rp_fanout *f, struct rp_bytes room);
/* Joining twice and leaving a room one is not in change nothing. */
void rp_fanout_join(struct rp_fanout *f, struct rp_client *client, struct rp_bytes room);
void rp_fanout_leave(struct rp_fanout *f, struct rp_client *client, struct rp_bytes room);
void rp_fanout_leave_all(struct rp_fanout *f, struct rp_client *client);

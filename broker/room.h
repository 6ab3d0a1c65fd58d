/* broker/room.h — rooms: who is in them, which gateways care, and which of the newest events are
 * theirs.
 *
 * A room exists while it has a member, an interval that recovery may still need, an event in the
 * tail, lost one of the tail's to retention, or has a page of older events in memory. */
#pragma once

#include "broker/record.h"
#include "common/list.h"
#include "common/map.h"

struct rp_peer;
struct rp_session;

/* One gateway's interest in a room: how many of its connected sessions are members. */
struct rp_interest {
    struct rp_peer *peer;
    uint32_t count;
};

struct rp_room {
    struct rp_map_node node; /* in rp_rooms */
    struct rp_list members;  /* struct rp_interval.room_node: open intervals, oldest first */
    uint32_t members_count;
    uint32_t intervals_count; /* open and closed, of all sessions */
    bool is_own;              /* a session of an app namespace has it as its sid */
    struct rp_interest *interest;
    size_t interest_count, interest_capacity;
    struct rp_record **events; /* the room's events in the tail, oldest at events_from; shared with
                                  the tail, and with the event's other rooms */
    size_t events_from, events_count, events_capacity;
    uint64_t border;              /* the newest of them that retention has taken from the room: they
                                     stay in the list as long as in the tail; 0: none of the tail's */
    struct rp_list bordered_node; /* in core->bordered while border > 0 */
    struct rp_list shared;        /* struct rp_shared.room_node: pages of older events, by seq */
    struct rp_bytes nsp, name;    /* in data */
    uint8_t data[];
};

struct rp_rooms {
    struct rp_map map;
    struct rp_hash_key key;
};

void rp_rooms_init(struct rp_rooms *rooms, struct rp_hash_key key);
void rp_rooms_done(struct rp_rooms *rooms); /* frees all rooms */

/* NULL if there is none. */
struct rp_room *rp_rooms_find(const struct rp_rooms *rooms, struct rp_bytes nsp,
                              struct rp_bytes name);
/* Finds or makes it. */
struct rp_room *rp_rooms_get(struct rp_rooms *rooms, struct rp_bytes nsp, struct rp_bytes name);
/* Frees the room if nothing needs it any more. */
void rp_rooms_release(struct rp_rooms *rooms, struct rp_room *room);

void rp_room_interest_add(struct rp_room *room, struct rp_peer *peer);
void rp_room_interest_remove(struct rp_room *room, struct rp_peer *peer);

/* The tail took, or dropped, an event of this room: the newest, the oldest. */
void rp_room_push_event(struct rp_room *room, struct rp_record *event);
void rp_room_pop_event(struct rp_room *room, const struct rp_record *event);
/* Index (from events_from) of the first event in the tail with seq > after; events_count if there
 * is none. */
size_t rp_room_events_after(const struct rp_room *room, uint64_t after);

static inline struct rp_record *rp_room_event(const struct rp_room *room, size_t index) {
    return room->events[room->events_from + index];
}

/* broker/room_key.h — a room as a key of the engine's tables: its name, its namespace's, and their
 * hash. */
#pragma once

#include "common/bytes.h"
#include "common/map.h"

#include <string.h>

static inline uint64_t rp_room_key_hash(const struct rp_hash_key *key, struct rp_bytes room,
                                        struct rp_bytes nsp) {
    return rp_hash_bytes(key, room) + 31 * rp_hash_bytes(key, nsp);
}

/* Copies the names to `names`, which has room for both, one behind the other; the views are of the
 * copies. */
static inline void rp_room_key_copy(uint8_t *names, struct rp_bytes room, struct rp_bytes nsp,
                                    struct rp_bytes *ret_room, struct rp_bytes *ret_nsp) {
    if (room.len > 0) {
        memcpy(names, room.data, room.len);
    }
    if (nsp.len > 0) {
        memcpy(names + room.len, nsp.data, nsp.len);
    }
    *ret_room = rp_bytes(names, room.len);
    *ret_nsp = rp_bytes(names + room.len, nsp.len);
}

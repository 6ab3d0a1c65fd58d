/* common/map.h — an intrusive hash table. Objects embed a node per table they are in.
 *
 * The table knows hashes, the caller knows keys:
 *     for (n = rp_map_first(&m, hash); n; n = rp_map_next(n, hash)) if (key matches) ...
 * Keys that clients choose are hashed with rp_hash_bytes, which is keyed (SipHash-1-3), so that
 * nobody can aim at one bucket. */
#pragma once

#include "common/bytes.h"

struct rp_map_node {
    struct rp_map_node *next;
    uint64_t hash;
};

struct rp_map {
    struct rp_map_node **buckets;
    size_t buckets_count; /* a power of two, or 0 */
    size_t count;
};

/* A zeroed struct rp_map is an empty table. */
void rp_map_done(struct rp_map *m); /* frees the buckets, not the objects */
void rp_map_add(struct rp_map *m, struct rp_map_node *node, uint64_t hash);
void rp_map_remove(struct rp_map *m, struct rp_map_node *node); /* the node must be in m */

/* The first node with this hash, or NULL. */
struct rp_map_node *rp_map_first(const struct rp_map *m, uint64_t hash);
/* The next one after node with the same hash, or NULL. */
struct rp_map_node *rp_map_next(const struct rp_map_node *node, uint64_t hash);

/* Any order, all nodes. Start with a zeroed iterator; NULL at the end. The node last returned may
 * be removed (and freed) meanwhile; nothing may be added. */
struct rp_map_iter {
    size_t bucket;
    struct rp_map_node *next;
};
struct rp_map_node *rp_map_each(const struct rp_map *m, struct rp_map_iter *it);

struct rp_hash_key {
    uint64_t k0, k1;
};

uint64_t rp_hash_bytes(const struct rp_hash_key *key, struct rp_bytes bytes);

/* For numbers of our own making, which nobody can choose (splitmix64 finaliser). */
static inline uint64_t rp_hash_u64(uint64_t x) {
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9u;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

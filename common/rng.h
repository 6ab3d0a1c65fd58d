/* common/rng.h — a small seeded generator (splitmix64) for tests and for jitter. Not for secrets.
 */
#pragma once

#include "common/map.h"

struct rp_rng {
    uint64_t state;
};

static inline uint64_t rp_rng_next(struct rp_rng *r) {
    return rp_hash_u64(r->state += 0x9E3779B97F4A7C15u);
}

/* 0 <= result < bound; bound > 0. */
static inline uint64_t rp_rng_below(struct rp_rng *r, uint64_t bound) {
    return rp_rng_next(r) % bound;
}

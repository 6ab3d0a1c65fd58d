/* gateway/nsp.h — namespaces in use on this gateway, each name kept once. */
#pragma once

#include "common/map.h"

struct rp_nsp {
    struct rp_map_node node;
    uint32_t refs;
    struct rp_bytes name; /* in data; "/" is the main one */
    uint8_t data[];
};

struct rp_nsps {
    struct rp_map map;
    struct rp_hash_key key;
};

void rp_nsps_init(struct rp_nsps *t, struct rp_hash_key key);
void rp_nsps_done(struct rp_nsps *t); /* nothing is in use any more */
/* NULL: not in use. */
struct rp_nsp *rp_nsp_find(const struct rp_nsps *t, struct rp_bytes name);
/* Finds or makes it; one reference, the caller's. */
struct rp_nsp *rp_nsp_ref(struct rp_nsps *t, struct rp_bytes name);
void rp_nsp_unref(struct rp_nsps *t, struct rp_nsp *nsp);

#include "gateway/nsp.h"

#include "common/alloc.h"
#include "common/assert.h"

#include <stdlib.h>

void rp_nsps_init(struct rp_nsps *t, struct rp_hash_key key) {
    *t = (struct rp_nsps){.key = key};
}

void rp_nsps_done(struct rp_nsps *t) {
    RP_ASSERT(t->map.count == 0);
    rp_map_done(&t->map);
}

struct rp_nsp *rp_nsp_find(const struct rp_nsps *t, struct rp_bytes name) {
    uint64_t hash = rp_hash_bytes(&t->key, name);
    for (struct rp_map_node *n = rp_map_first(&t->map, hash); n; n = rp_map_next(n, hash)) {
        struct rp_nsp *nsp = RP_CONTAINER_OF(n, struct rp_nsp, node);
        if (rp_bytes_eq(nsp->name, name)) {
            return nsp;
        }
    }
    return NULL;
}

struct rp_nsp *rp_nsp_ref(struct rp_nsps *t, struct rp_bytes name) {
    struct rp_nsp *nsp = rp_nsp_find(t, name);
    if (nsp == NULL) {
        nsp = rp_alloc(sizeof(*nsp) + name.len);
        memcpy(nsp->data, name.data, name.len);
        nsp->name = rp_bytes(nsp->data, name.len);
        rp_map_add(&t->map, &nsp->node, rp_hash_bytes(&t->key, name));
    }
    nsp->refs++;
    return nsp;
}

void rp_nsp_unref(struct rp_nsps *t, struct rp_nsp *nsp) {
    RP_ASSERT(nsp->refs > 0);
    if (--nsp->refs == 0) {
        rp_map_remove(&t->map, &nsp->node);
        free(nsp);
    }
}

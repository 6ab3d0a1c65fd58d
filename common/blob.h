/* common/blob.h — immutable bytes with a reference count: encode once, write to many.
 * Not for sharing between threads (the count is plain); a blob belongs to one loop. */
#pragma once

#include "common/bytes.h"

struct rp_blob {
    uint32_t refs;
    uint32_t places : 31; /* of queues that hold it, for who counts its bytes once (queue.h) */
    uint32_t no_twin : 1; /* there is none, and looking for one again is in vain */
    size_t len;
    struct rp_blob *twin; /* the same in another coding, for who takes that; shared, or NULL */
    uint8_t data[];
};

/* A blob of len bytes for the caller to fill before anybody else sees it. One reference, the
 * caller's. */
struct rp_blob *rp_blob_new(size_t len);
struct rp_blob *rp_blob_ref(struct rp_blob *b);   /* returns b */
struct rp_blob *rp_blob_unref(struct rp_blob *b); /* NULL is fine; returns NULL */

static inline struct rp_bytes rp_blob_bytes(const struct rp_blob *b) {
    return rp_bytes(b->data, b->len);
}

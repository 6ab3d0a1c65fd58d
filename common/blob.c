#include "common/blob.h"

#include "common/alloc.h"
#include "common/assert.h"

#include <stdlib.h>

struct rp_blob *rp_blob_new(size_t len) {
    struct rp_blob *b = rp_realloc(NULL, sizeof(*b) + len);
    b->refs = 1;
    b->places = 0;
    b->no_twin = 0;
    b->len = len;
    b->twin = NULL;
    return b;
}

struct rp_blob *rp_blob_ref(struct rp_blob *b) {
    RP_ASSERT(b->refs > 0 && b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

struct rp_blob *rp_blob_unref(struct rp_blob *b) {
    if (b != NULL) {
        RP_ASSERT(b->refs > 0);
        if (--b->refs == 0) {
            rp_blob_unref(b->twin);
            free(b);
        }
    }
    return NULL;
}

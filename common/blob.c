#include "common/blob.h"

#include "common/alloc.h"
#include "common/assert.h"

#include <stdlib.h>

struct rp_blob *rp_blob_new(size_t len) {
    struct rp_blob *b = rp_realloc(NULL, sizeof(*b) + len);
    b->refs = 1;
    b->head = 0;
    b->len = len;
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
            free(b);
        }
    }
    return NULL;
}

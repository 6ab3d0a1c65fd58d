#include "gateway/queue.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/limits.h"

#include <stdlib.h>

enum { KEPT_BLOBS = 32 }; /* places that an empty queue keeps */

static void reserve(struct rp_queue *q) {
    if (q->from > 0 && q->from + q->count == q->capacity) {
        memmove(q->blobs, q->blobs + q->from, q->count * sizeof(struct rp_blob *));
        q->from = 0;
    }
    size_t capacity = q->capacity;
    q->blobs = rp_array_reserve(q->blobs, q->from + q->count, &capacity, sizeof(struct rp_blob *));
    q->capacity = (uint32_t) capacity;
}

void rp_queue_put(struct rp_queue *q, struct rp_queue_total *total, struct rp_blob *blob) {
    reserve(q);
    q->blobs[q->from + q->count++] = blob;
    q->bytes += blob->len;
    total->bytes += blob->len;
    total->blobs++;
}

size_t rp_queue_parts(const struct rp_queue *q, struct rp_bytes *ret_parts, size_t max) {
    size_t n = q->count < max ? q->count : max;
    for (size_t i = 0; i < n; i++) {
        ret_parts[i] = rp_blob_bytes(q->blobs[q->from + i]);
    }
    if (n > 0) {
        ret_parts[0] = rp_bytes_skip(ret_parts[0], q->sent);
    }
    return n;
}

static void release(struct rp_queue *q) {
    free(q->blobs);
    q->blobs = NULL;
    q->capacity = 0;
}

void rp_queue_advance(struct rp_queue *q, struct rp_queue_total *total, size_t bytes) {
    RP_ASSERT(bytes <= q->bytes);
    q->bytes -= bytes;
    total->bytes -= bytes;
    bytes += q->sent;
    while (q->count > 0 && bytes >= q->blobs[q->from]->len) {
        bytes -= q->blobs[q->from]->len;
        rp_blob_unref(q->blobs[q->from++]);
        q->count--;
        total->blobs--;
    }
    q->sent = bytes;
    if (q->count == 0) {
        q->from = 0;
        if (q->capacity > KEPT_BLOBS) { /* an idle client keeps a small queue only */
            release(q);
        }
    }
}

/* The rest of a blob of which whole frames are gone. */
static struct rp_blob *rest_of(struct rp_blob *blob, size_t gone) {
    if (gone == 0) {
        return blob;
    }
    struct rp_blob *rest = rp_blob_new(blob->len - gone);
    memcpy(rest->data, blob->data + gone, rest->len);
    rp_blob_unref(blob);
    return rest;
}

void rp_queue_move(struct rp_queue *to, struct rp_queue *from) {
    struct rp_queue_total none = {0}; /* nothing comes or goes as a whole */
    for (uint32_t i = 0; i < from->count; i++) {
        struct rp_blob *blob = from->blobs[from->from + i];
        rp_queue_put(to, &none, rest_of(blob, i == 0 ? from->sent : 0));
    }
    release(from);
    *from = (struct rp_queue){0};
}

void rp_queue_clear(struct rp_queue *q, struct rp_queue_total *total) {
    for (uint32_t i = 0; i < q->count; i++) {
        rp_blob_unref(q->blobs[q->from + i]);
    }
    total->bytes -= q->bytes;
    total->blobs -= q->count;
    release(q);
    *q = (struct rp_queue){0};
}

size_t rp_queue_cost(const struct rp_queue *q) {
    return q->bytes + q->count * (size_t) RP_CLIENT_FRAME_BYTES;
}

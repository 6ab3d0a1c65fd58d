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

/* A blob has one place more. */
static void enter(struct rp_queue_total *total, struct rp_blob *blob) {
    total->held_bytes += blob->places == 0 ? blob->len : 0;
    blob->places++;
    total->blobs++;
}

void rp_queue_hold(struct rp_queue_total *total, struct rp_blob *blob) {
    enter(total, blob);
}

void rp_queue_let_go(struct rp_queue_total *total, struct rp_blob *blob) {
    RP_ASSERT(blob->places > 0 && total->blobs > 0);
    blob->places--;
    total->held_bytes -= blob->places == 0 ? blob->len : 0;
    total->blobs--;
}

/* It has one less; the queue's reference goes. */
static void leave(struct rp_queue_total *total, struct rp_blob *blob) {
    rp_queue_let_go(total, blob);
    rp_blob_unref(blob);
}

static void append(struct rp_queue *q, struct rp_blob *blob) {
    reserve(q);
    q->blobs[q->from + q->count++] = blob;
    q->bytes += blob->len;
}

void rp_queue_put(struct rp_queue *q, struct rp_queue_total *total, struct rp_blob *blob) {
    append(q, blob);
    enter(total, blob);
    total->bytes += blob->len;
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
        leave(total, q->blobs[q->from++]);
        q->count--;
    }
    q->sent = bytes;
    if (q->count == 0) {
        q->from = 0;
        if (q->capacity > KEPT_BLOBS) { /* an idle client keeps a small queue only */
            release(q);
        }
    }
}

/* The rest of a blob of which whole frames are gone, in its place. */
static struct rp_blob *rest_of(struct rp_queue_total *total, struct rp_blob *blob, size_t gone) {
    if (gone == 0) {
        return blob;
    }
    struct rp_blob *rest = rp_blob_new(blob->len - gone);
    memcpy(rest->data, blob->data + gone, rest->len);
    leave(total, blob);
    enter(total, rest);
    return rest;
}

void rp_queue_move(struct rp_queue *to, struct rp_queue *from, struct rp_queue_total *total) {
    for (uint32_t i = 0; i < from->count; i++) {
        struct rp_blob *blob = from->blobs[from->from + i];
        append(to, rest_of(total, blob, i == 0 ? from->sent : 0));
    }
    release(from);
    *from = (struct rp_queue){0};
}

void rp_queue_clear(struct rp_queue *q, struct rp_queue_total *total) {
    for (uint32_t i = 0; i < q->count; i++) {
        leave(total, q->blobs[q->from + i]);
    }
    total->bytes -= q->bytes;
    release(q);
    *q = (struct rp_queue){0};
}

size_t rp_queue_cost(const struct rp_queue *q) {
    return q->bytes + q->count * (size_t) RP_CLIENT_FRAME_BYTES;
}

size_t rp_queue_share(const struct rp_queue *q) {
    size_t share = q->count * (size_t) RP_CLIENT_FRAME_BYTES;
    for (uint32_t i = 0; i < q->count; i++) {
        const struct rp_blob *blob = q->blobs[q->from + i];
        share += blob->len / blob->places;
    }
    return share;
}

size_t rp_queue_total_cost(const struct rp_queue_total *total) {
    return total->held_bytes + total->blobs * (size_t) RP_CLIENT_FRAME_BYTES;
}

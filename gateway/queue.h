/* gateway/queue.h — output that waits for a transport: blobs of whole WebSocket frames, each shared
 * with whoever else gets the same. A blob is one packet: its text, and its attachments behind it in
 * frames of their own. Long-polling takes the frames apart again (frames.h). */
#pragma once

#include "common/blob.h"

/* What all queues of a gateway hold together. */
struct rp_queue_total {
    uint64_t bytes, blobs; /* as each queue sees it */
    uint64_t held_bytes;   /* in memory: what is in several queues is there once, and all of it
                              until the last of it is gone */
};

/* A zeroed queue is empty. */
struct rp_queue {
    struct rp_blob **blobs; /* count of them, from `from` on */
    uint32_t from, count, capacity;
    size_t sent;  /* bytes of the first blob that are gone */
    size_t bytes; /* not yet gone */
};

/* Takes the reference. */
void rp_queue_put(struct rp_queue *q, struct rp_queue_total *total, struct rp_blob *blob);
/* What is to go, oldest first: fills at most max parts, returns how many. Borrowed until
 * rp_queue_advance. */
size_t rp_queue_parts(const struct rp_queue *q, struct rp_bytes *ret_parts, size_t max);
/* The first bytes are gone. */
void rp_queue_advance(struct rp_queue *q, struct rp_queue_total *total, size_t bytes);
/* Everything in `from`, of whose first blob nothing or whole frames are gone, comes behind what is
 * in `to`. */
void rp_queue_move(struct rp_queue *to, struct rp_queue *from, struct rp_queue_total *total);
void rp_queue_clear(struct rp_queue *q, struct rp_queue_total *total);
/* A blob that waits for its place in a queue counts like one in it, until it is let go. */
void rp_queue_hold(struct rp_queue_total *total, struct rp_blob *blob);
void rp_queue_let_go(struct rp_queue_total *total, struct rp_blob *blob);
/* What it takes in memory, if nobody else has the same. */
size_t rp_queue_cost(const struct rp_queue *q);
/* The same, but of what is in several queues only the part that is its own if each has as much. */
size_t rp_queue_share(const struct rp_queue *q);
/* What all of them take. */
size_t rp_queue_total_cost(const struct rp_queue_total *total);

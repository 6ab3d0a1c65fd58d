#include "proto/link.h"

#include "common/limits.h"

#include <stdlib.h>

/* When so much of the credit was received and not told, it is told: more often than needed to keep
 * it going, for the other end may use but a part of it. */
enum { TOLD_PART = 16 };

struct message {
    struct rp_list node;
    struct rp_buf bytes;
};

void rp_link_init(struct rp_link *l, size_t credit_bytes, uint64_t now_ms) {
    *l = (struct rp_link){
        .credit_bytes = credit_bytes, .last_heard_ms = now_ms, .last_sent_ms = now_ms};
    rp_buf_init(&l->batch, RP_LINK_MESSAGE_BYTES_MAX);
    rp_list_init(&l->messages);
}

void rp_link_done(struct rp_link *l) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&l->messages, it, tmp) {
        struct message *m = RP_CONTAINER_OF(it, struct message, node);
        rp_buf_done(&m->bytes);
        free(m);
    }
    rp_list_init(&l->messages);
    rp_buf_done(&l->batch);
}

/* Makes the batch a whole message and begins another. */
static void close_batch(struct rp_link *l) {
    struct message *m = RP_NEW(struct message);
    m->bytes = l->batch;
    rp_list_append(&l->messages, &m->node);
    rp_buf_init(&l->batch, RP_LINK_MESSAGE_BYTES_MAX);
}

static void account(struct rp_link *l, size_t len) {
    l->queued_bytes += len;
    l->sent_bytes += len;
    if (l->batch.len >= RP_LINK_BATCH_BYTES) {
        close_batch(l);
    }
}

void rp_link_put(struct rp_link *l, const struct rp_op *op) {
    size_t before = l->batch.len;
    enum rp_err err = rp_op_put(&l->batch, op);
    RP_ASSERT(err == RP_OK); /* a batch is closed long before its maximum, and one operation is
                                smaller than the rest */
    account(l, l->batch.len - before);
}

void rp_link_put_bytes(struct rp_link *l, struct rp_bytes encoded) {
    enum rp_err err = rp_buf_put(&l->batch, encoded);
    RP_ASSERT(err == RP_OK);
    account(l, encoded.len);
}

size_t rp_link_credit(const struct rp_link *l) {
    uint64_t under_way = l->sent_bytes - l->peer_consumed;
    return under_way < l->credit_bytes ? (size_t) (l->credit_bytes - under_way) : 0;
}

bool rp_link_may_put(const struct rp_link *l, size_t len) {
    return rp_link_credit(l) >= len || l->sent_bytes - l->peer_consumed < l->credit_bytes / 4;
}

bool rp_link_take(struct rp_link *l, uint64_t now_ms, struct rp_buf *ret_message) {
    struct rp_list *first = rp_list_first(&l->messages);
    if (first != NULL) {
        struct message *m = RP_CONTAINER_OF(first, struct message, node);
        *ret_message = m->bytes;
        rp_list_remove(first);
        free(m);
    } else if (l->batch.len > 0) {
        *ret_message = l->batch;
        rp_buf_init(&l->batch, RP_LINK_MESSAGE_BYTES_MAX);
    } else {
        return false;
    }
    l->queued_bytes -= ret_message->len;
    l->last_sent_ms = now_ms;
    return true;
}

void rp_link_received(struct rp_link *l, size_t len, uint64_t now_ms) {
    l->untold_ms = l->received_bytes == l->told_bytes ? now_ms : l->untold_ms;
    l->received_bytes += len;
    l->last_heard_ms = now_ms;
}

bool rp_link_heard_heartbeat(struct rp_link *l, const struct rp_op_heartbeat *heartbeat) {
    if (heartbeat->consumed > l->sent_bytes || heartbeat->consumed < l->peer_consumed) {
        return false;
    }
    l->peer_consumed = heartbeat->consumed;
    return true;
}

bool rp_link_heartbeat_due(const struct rp_link *l, uint64_t now_ms) {
    return now_ms >= l->last_sent_ms + RP_LINK_HEARTBEAT_MS ||
           (l->received_bytes > l->told_bytes && now_ms >= l->untold_ms + RP_LINK_HEARTBEAT_MS) ||
           l->received_bytes - l->told_bytes >= l->credit_bytes / TOLD_PART;
}

void rp_link_put_heartbeat(struct rp_link *l, uint64_t pos, uint64_t lowest) {
    l->told_bytes = l->received_bytes;
    struct rp_op op = {.kind = RP_OP_HEARTBEAT,
                       .heartbeat = {.pos = pos, .consumed = l->received_bytes, .lowest = lowest}};
    rp_link_put(l, &op);
}

bool rp_link_is_lost(const struct rp_link *l, uint64_t now_ms) {
    return now_ms >= l->last_heard_ms + RP_LINK_TIMEOUT_MS;
}

uint64_t rp_link_deadline_ms(const struct rp_link *l) {
    uint64_t heartbeat = l->last_sent_ms + RP_LINK_HEARTBEAT_MS;
    uint64_t telling = l->untold_ms + RP_LINK_HEARTBEAT_MS;
    heartbeat = l->received_bytes > l->told_bytes && telling < heartbeat ? telling : heartbeat;
    uint64_t lost = l->last_heard_ms + RP_LINK_TIMEOUT_MS;
    return heartbeat < lost ? heartbeat : lost;
}

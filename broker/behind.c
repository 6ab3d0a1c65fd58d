/* broker/behind.c — what a worker says that counts only when the records it asked for before are
 * committed: its answers, so that a client never has an ack before what its handler emitted, and
 * its questions, so that it sees what it did. */
#include "broker/state.h"

#include "common/alloc.h"

#include <stdlib.h>

struct rp_behind {
    struct rp_list node; /* in worker->behind, as they came */
    uint64_t num;        /* of the worker's newest request that was in flight; 0: none */
    struct rp_buf op;    /* FETCH or DECIDED, encoded */
};

static void behind_free(struct rp_behind *b) {
    rp_list_remove(&b->node);
    rp_buf_done(&b->op);
    free(b);
}

static struct rp_op op_of(struct rp_core *core, const struct rp_behind *b) {
    struct rp_bytes in = rp_buf_bytes(&b->op);
    struct rp_op op;
    enum rp_err err = rp_op_next(core->behind_reader, &in, &op);
    RP_ASSERT(err == RP_OK);
    return op;
}

/* A worker's records are committed in the order of its requests, which is that of their numbers:
 * it is in flight as long as the oldest is none after it. */
static bool is_in_flight(const struct rp_peer *worker, uint64_t num) {
    return num > 0 && worker->inflight_count > 0 &&
           worker->inflight[worker->inflight_from].num <= num;
}

/* Does it if its time has come. */
static bool try_now(struct rp_core *core, struct rp_peer *worker, uint64_t behind,
                    const struct rp_op *op) {
    if (is_in_flight(worker, behind)) {
        return false;
    }
    if (op->kind == RP_OP_DECIDED) {
        rp_core_decided(core, worker, &op->decided);
        return true;
    }
    if (!rp_link_may_put(&worker->link, RP_FETCH_BYTES_MAX)) {
        return false;
    }
    rp_core_fetch(core, worker, &op->fetch);
    return true;
}

void rp_core_behind(struct rp_core *core, struct rp_peer *worker, const struct rp_op *op) {
    uint64_t newest = worker->inflight_count > 0
                          ? worker->inflight[worker->inflight_from + worker->inflight_count - 1].num
                          : 0;
    if (rp_list_is_empty(&worker->behind) && try_now(core, worker, newest, op)) {
        return;
    }
    struct rp_behind *b = RP_NEW(struct rp_behind);
    b->num = newest;
    rp_buf_init(&b->op, RP_LINK_MESSAGE_BYTES_MAX);
    enum rp_err err = rp_op_put(&b->op, op);
    RP_ASSERT(err == RP_OK);
    rp_list_append(&worker->behind, &b->node);
}

void rp_core_behind_turn(struct rp_core *core, struct rp_peer *worker) {
    struct rp_list *first;
    while ((first = rp_list_first(&worker->behind)) != NULL) {
        struct rp_behind *b = RP_CONTAINER_OF(first, struct rp_behind, node);
        struct rp_op op = op_of(core, b);
        if (!try_now(core, worker, b->num, &op)) {
            return;
        }
        behind_free(b);
    }
}

void rp_core_behind_link_lost(struct rp_core *core, struct rp_peer *worker) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&worker->behind, it, tmp) {
        struct rp_behind *b = RP_CONTAINER_OF(it, struct rp_behind, node);
        if (op_of(core, b).kind == RP_OP_FETCH) {
            behind_free(b);
        }
    }
}

void rp_core_behind_forget(struct rp_peer *worker) {
    struct rp_list *first;
    while ((first = rp_list_first(&worker->behind)) != NULL) {
        behind_free(RP_CONTAINER_OF(first, struct rp_behind, node));
    }
}

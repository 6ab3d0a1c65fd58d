/* broker/side.c — what workers say to one another (Socket.IO's serverSideEmit). Passed on at once
 * and not logged, as among Socket.IO's servers: at most once, to the workers that are up. */
#include "broker/state.h"

#include "common/alloc.h"

#include <stdlib.h>

/* An ack of another worker that is awaited. */
struct rp_side {
    struct rp_map_node node;  /* in core->sides */
    struct rp_list time_node; /* in core->sides_by_time */
    uint64_t id, since_ms;
    uint64_t asker, num; /* incarnation, and its request */
    uint64_t answerer;
};

static struct rp_side *side_find(const struct rp_core *core, uint64_t id) {
    uint64_t hash = rp_hash_u64(id);
    for (struct rp_map_node *n = rp_map_first(&core->sides, hash); n; n = rp_map_next(n, hash)) {
        struct rp_side *side = RP_CONTAINER_OF(n, struct rp_side, node);
        if (side->id == id) {
            return side;
        }
    }
    return NULL;
}

static void side_free(struct rp_core *core, struct rp_side *side) {
    rp_map_remove(&core->sides, &side->node);
    rp_list_remove(&side->time_node);
    free(side);
}

/* Remembers who is to be told the answer. 0: too many are awaited. */
static uint64_t await_answer(struct rp_core *core, const struct rp_peer *asker, uint64_t num,
                             const struct rp_peer *answerer) {
    if (core->sides.count >= RP_SIDE_PENDING_MAX) {
        return 0;
    }
    struct rp_side *side = RP_NEW(struct rp_side);
    *side = (struct rp_side){.id = ++core->next_side_id,
                             .since_ms = core->now.mono_ms,
                             .asker = asker->incarnation,
                             .num = num,
                             .answerer = answerer->incarnation};
    rp_map_add(&core->sides, &side->node, rp_hash_u64(side->id));
    rp_list_append(&core->sides_by_time, &side->time_node);
    return side->id;
}

void rp_core_side(struct rp_core *core, struct rp_peer *worker, const struct rp_op_side *op) {
    bool named = op->nsp.len <= RP_SIO_NSP_BYTES_MAX;
    const struct rp_policy *policy = named ? rp_policy_find(&core->policies, op->nsp) : NULL;
    policy = policy == NULL && named ? rp_policy_of(&core->policies, op->nsp) : policy;
    if (policy == NULL || op->name.len == 0 || op->name.len > RP_EVENT_BYTES_MAX ||
        !rp_core_valid_payload(op->args, rp_bytes(NULL, 0))) {
        rp_core_put_failed(worker, op->num, "bad_args", "malformed SIDE");
        return;
    }
    core->stats.sides++;
    uint64_t count = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&policy->servings, it, tmp) {
        struct rp_peer *other = RP_CONTAINER_OF(it, struct rp_serving, node)->peer;
        if (other == worker || other->state != RP_PEER_UP || other->leaving) {
            continue;
        }
        uint64_t id = op->wants_ack ? await_answer(core, worker, op->num, other) : 0;
        struct rp_op event = {.kind = RP_OP_SIDE_EVENT,
                              .side_event = {.id = id,
                                             .wants_ack = op->wants_ack && id > 0,
                                             .nsp = op->nsp,
                                             .name = op->name,
                                             .args = op->args}};
        rp_core_post(core, other, &event);
        count++;
    }
    struct rp_op done = {.kind = RP_OP_DONE, .done = {.num = op->num, .replayed = count}};
    rp_link_put(&worker->link, &done);
}

void rp_core_side_answer(struct rp_core *core, const struct rp_peer *worker,
                         const struct rp_op_side_answer *op) {
    struct rp_side *side = side_find(core, op->id);
    if (side == NULL || side->answerer != worker->incarnation) {
        return; /* twice, or too late */
    }
    struct rp_peer *asker = rp_core_peer_of(core, side->asker);
    if (asker != NULL && asker->state == RP_PEER_UP &&
        rp_core_valid_payload(op->args, rp_bytes(NULL, 0))) {
        struct rp_op answered = {.kind = RP_OP_SIDE_ANSWERED,
                                 .side_answered = {.num = side->num, .args = op->args}};
        rp_core_post(core, asker, &answered);
    }
    side_free(core, side);
}

void rp_core_sides_expire(struct rp_core *core) {
    struct rp_list *first;
    while ((first = rp_list_first(&core->sides_by_time)) != NULL) {
        struct rp_side *side = RP_CONTAINER_OF(first, struct rp_side, time_node);
        if (core->now.mono_ms < side->since_ms + RP_SIDE_WAIT_MS) {
            return;
        }
        side_free(core, side);
    }
}

void rp_core_sides_free(struct rp_core *core) {
    struct rp_list *first;
    while ((first = rp_list_first(&core->sides_by_time)) != NULL) {
        side_free(core, RP_CONTAINER_OF(first, struct rp_side, time_node));
    }
    rp_map_done(&core->sides);
}

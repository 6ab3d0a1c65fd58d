/* gateway/delivery.c — events for rooms, to the members that are here.
 *
 * Most go to one room. One for several, or with excepted rooms, has a number of its own, the mark:
 * whoever got it, or must not, is marked with it, so that each socket is looked at once per room
 * and gets the event once. */
#include "gateway/core.h"
#include "proto/attachments.h"

#include <assert.h>

static_assert(offsetof(struct rp_socket, mark) + sizeof(uint32_t) <= 64,
              "what a delivery looks at is in one line of cache");

/* An event on its way. */
struct delivery {
    const struct rp_op_deliver *op;
    struct rp_bytes nsp_name;
    const struct rp_nsp *nsp;
    struct rp_blob *frame; /* when the first receiver is found */
    uint32_t mark;         /* 0: it goes to one room, and nobody is excepted */
};

/* Gives a member an event, and lets it fall back to the log if it takes too little. */
static void give(struct rp_gateway *g, struct rp_socket *s, struct rp_blob *frame,
                 bool is_volatile) {
    struct rp_queue *queue = rp_client_queue(s->client);
    if (is_volatile && queue->bytes > g->config.queue_low_bytes) {
        g->stats.volatile_dropped++;
        return;
    }
    g->stats.deliveries++;
    rp_client_put(g, s->client, rp_blob_ref(frame));
    if (s->state == RP_SOCKET_LIVE &&
        rp_queue_cost(queue) > rp_client_queue_bound(g, g->config.queue_bytes)) {
        rp_socket_lag(g, s); /* it has this event, and gets the next from the log */
    }
}

static struct rp_blob *encode(struct rp_gateway *g, const struct delivery *d) {
    struct rp_encode_event event = {.nsp = d->nsp_name,
                                    .name = d->op->name,
                                    .args = d->op->args,
                                    .attachments = d->op->attachments,
                                    .pos = d->op->seq,
                                    .seq = d->op->seq,
                                    .wants_ack = d->op->wants_ack != 0};
    return rp_encode_event(g, &event);
}

/* False: it has it, or must not have it. */
static bool take_mark(const struct delivery *d, struct rp_socket *s) {
    if (d->mark != 0) {
        if (s->mark == d->mark) {
            return false;
        }
        s->mark = d->mark;
    }
    return true;
}

/* False: what the broker sent is no event. */
static bool give_room(struct rp_gateway *g, struct delivery *d, struct rp_bytes name) {
    struct rp_fanout_room *room = rp_fanout_find(&g->fanout, d->nsp, name);
    if (room == NULL) {
        return true;
    }
    if (d->frame == NULL && (d->frame = encode(g, d)) == NULL) {
        return false;
    }
    for (size_t i = room->count; i-- > 0;) { /* backwards: who is closed leaves the room */
        struct rp_socket *s = room->members[i].socket;
        if (s->state != RP_SOCKET_LIVE || s->conn == d->op->except || !take_mark(d, s)) {
            continue;
        }
        give(g, s, d->frame, d->op->is_volatile != 0);
    }
    return true;
}

static uint32_t next_mark(struct rp_gateway *g) {
    if (++g->mark == 0) { /* once in four billion: old ones must not be taken for new ones */
        struct rp_map_iter it = {0};
        struct rp_map_node *n;
        while ((n = rp_map_each(&g->by_conn, &it)) != NULL) {
            RP_CONTAINER_OF(n, struct rp_socket, by_conn)->mark = 0;
        }
        g->mark = 1;
    }
    return g->mark;
}

static void mark_excepted(struct rp_gateway *g, const struct delivery *d) {
    struct rp_bytes excepts = d->op->excepts, name;
    while (rp_attachments_next(&excepts, &name) == RP_OK) {
        struct rp_fanout_room *room = rp_fanout_find(&g->fanout, d->nsp, name);
        for (size_t i = room != NULL ? room->count : 0; i-- > 0;) {
            room->members[i].socket->mark = d->mark;
        }
    }
}

static bool is_list(struct rp_bytes packed) {
    size_t count;
    return rp_attachments_count(packed, &count) == RP_OK;
}

static void give_rooms(struct rp_gateway *g, struct delivery *d) {
    struct rp_bytes rooms = d->op->rooms, name;
    if (!is_list(rooms) || !is_list(d->op->excepts)) {
        g->stats.malformed_messages++;
        return;
    }
    d->mark = next_mark(g);
    struct rp_nsp *held = rp_nsp_ref(&g->nsps, d->nsp_name); /* all may be closed on the way */
    mark_excepted(g, d);
    bool good = give_room(g, d, d->op->room);
    while (good && rp_attachments_next(&rooms, &name) == RP_OK) {
        good = give_room(g, d, name);
    }
    rp_nsp_unref(&g->nsps, held);
}

void rp_delivery(struct rp_gateway *g, const struct rp_op_deliver *op) {
    g->stats.delivers++;
    struct delivery d = {.op = op, .nsp_name = op->nsp.len > 0 ? op->nsp : RP_BYTES_LIT("/")};
    d.nsp = rp_nsp_find(&g->nsps, d.nsp_name);
    if (d.nsp == NULL) {
        return;
    }
    if (op->rooms.len == 0 && op->excepts.len == 0) {
        give_room(g, &d, op->room);
    } else {
        give_rooms(g, &d);
    }
    rp_blob_unref(d.frame);
}

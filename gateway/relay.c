/* gateway/relay.c — what reached another gateway than its client's (proto/PROTOCOL.md, Relays).
 *
 *     client ── entry ── broker ── holder
 *
 * The entry has the connection and knows nothing of the session but the sid, which says who holds
 * it. The holder gives what is relayed a stand-in, an exchange or a wire without a shell, and
 * treats it like its own. Nothing is sent again: when a link is lost, both ends end what went over
 * it, and the client comes back and recovers.
 *
 * The holder sets the top bit of an id, so one that comes with it is for us as the entry.
 * A wire has at most a window of messages under way in each direction; the receiver confirms what
 * it has dealt with. */
#include "gateway/relay_parts.h"

#include <stdlib.h>

/* ---- the table ---- */

/* Keyed: a client chooses the peer that its sid names, and may guess the id. */
static uint64_t hash_of(const struct rp_gateway *g, uint64_t peer, uint64_t id) {
    uint64_t name[] = {peer, id};
    return rp_hash_bytes(&g->config.hash_key, rp_bytes(name, sizeof name));
}

static struct rp_relay *find(const struct rp_gateway *g, uint64_t peer, uint64_t id) {
    uint64_t hash = hash_of(g, peer, id);
    for (struct rp_map_node *n = rp_map_first(&g->relays, hash); n; n = rp_map_next(n, hash)) {
        struct rp_relay *r = RP_CONTAINER_OF(n, struct rp_relay, by_id);
        if (r->peer == peer && r->id == id) {
            return r;
        }
    }
    return NULL;
}

struct rp_relay *rp_relay_new(struct rp_gateway *g, uint64_t peer, uint64_t id) {
    struct rp_relay *r = RP_NEW(struct rp_relay);
    r->peer = peer;
    r->id = id;
    r->window_bytes = g->config.relay_window_bytes;
    rp_list_init(&r->inbox);
    rp_map_add(&g->relays, &r->by_id, hash_of(g, peer, id));
    rp_list_append(&g->relay_list, &r->node);
    return r;
}

static void relay_free(struct rp_gateway *g, struct rp_relay *r) {
    RP_ASSERT(r->wire == NULL && r->exchange == NULL);
    struct rp_list *first;
    while ((first = rp_list_first(&r->inbox)) != NULL) {
        rp_list_remove(first);
        struct rp_relay_message *m = RP_CONTAINER_OF(first, struct rp_relay_message, node);
        rp_relay_unpark(g, m);
        free(m);
    }
    rp_map_remove(&g->relays, &r->by_id);
    rp_list_remove(&r->node);
    rp_list_remove(&r->timeout_node);
    rp_list_remove(&r->starved_node);
    free(r);
}

/* ---- messages ---- */

void rp_relay_put(struct rp_gateway *g, uint64_t peer, uint64_t id, enum rp_op_relay_what what,
                  uint64_t number, struct rp_bytes sid, struct rp_bytes data) {
    if (g->link_state != RP_LINK_UP) {
        return;
    }
    struct rp_op op = {.kind = RP_OP_RELAY,
                       .relay = {.to = peer,
                                 .what = what,
                                 .id = id ^ RP_RELAY_FROM_HOLDER, /* as the other end knows it */
                                 .number = number,
                                 .sid = sid,
                                 .data = data}};
    rp_link_put(&g->link, &op);
}

void rp_relay_say(struct rp_gateway *g, const struct rp_relay *r, enum rp_op_relay_what what,
                  uint64_t number, struct rp_bytes data) {
    rp_relay_put(g, r->peer, r->id, what, number, rp_bytes(NULL, 0), data);
}

bool rp_relay_may_put(const struct rp_gateway *g, size_t len) {
    return g->link_state == RP_LINK_UP && rp_link_may_put(&g->link, len + RP_RELAY_MESSAGE_COST);
}

/* ---- the end ---- */

void rp_relay_say_end(struct rp_gateway *g, const struct rp_relay *r, uint16_t code,
                      struct rp_bytes reason) {
    if (r->wire != NULL) {
        rp_relay_say(g, r, RP_RELAY_WS_CLOSE, code, reason);
    } else if (rp_relay_is_entry(r)) { /* the sid, if its answer is on its way already */
        rp_relay_put(g, r->peer, r->id, RP_RELAY_ABORT, 0, rp_relay_sid_of(r->exchange),
                     rp_bytes(NULL, 0));
    }
}

void rp_relay_end(struct rp_gateway *g, struct rp_relay *r, bool tell, uint16_t code,
                  struct rp_bytes reason) {
    struct rp_wire *wire = r->wire;
    struct rp_exchange *exchange = r->exchange;
    if (tell) {
        rp_relay_say_end(g, r, code, reason);
    }
    r->wire = NULL;
    r->exchange = NULL;
    if (wire != NULL) {
        wire->relay = NULL;
    }
    if (exchange != NULL) {
        exchange->relay = NULL;
    }
    relay_free(g, r);
}

/* The other end is gone, or has ended it: so do we. */
void rp_relay_fail(struct rp_gateway *g, struct rp_relay *r, uint16_t code, const char *reason) {
    struct rp_wire *wire = r->wire;
    struct rp_exchange *exchange = r->exchange;
    bool entry = rp_relay_is_entry(r);
    rp_relay_end(g, r, false, 0, rp_bytes(NULL, 0));
    if (wire != NULL && entry) {
        wire->refused = wire->pending;
        rp_wire_close(g, wire, wire->refused ? 0 : code, reason);
    } else if (wire != NULL) {
        rp_gateway_gone(g, wire, g->now_ms);
    } else if (entry) {
        rp_exchange_answer_error(g, exchange, RP_EIO_UNKNOWN_SID);
    } else {
        rp_gateway_exchange_end(g, exchange, false, g->now_ms);
    }
}

void rp_relay_fail_lost(struct rp_gateway *g, struct rp_relay *r) {
    g->stats.relays_failed++;
    rp_relay_fail(g, r, 1001, "the gateway that holds the session is gone");
}

void rp_relay_lost(struct rp_gateway *g, uint64_t incarnation) {
    struct rp_list lost, *it, *tmp; /* apart: one that fails may take another one with it */
    rp_list_init(&lost);
    RP_LIST_FOR(&g->relay_list, it, tmp) {
        if (incarnation == 0 || RP_CONTAINER_OF(it, struct rp_relay, node)->peer == incarnation) {
            rp_list_remove(it);
            rp_list_append(&lost, it);
        }
    }
    while ((it = rp_list_first(&lost)) != NULL) {
        rp_relay_fail_lost(g, RP_CONTAINER_OF(it, struct rp_relay, node));
    }
}

void rp_relay_drain(struct rp_gateway *g) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->relay_list, it, tmp) {
        struct rp_relay *r = RP_CONTAINER_OF(it, struct rp_relay, node);
        if (rp_relay_is_entry(r)) {
            rp_relay_say_end(g, r, 0, rp_bytes(NULL, 0));
            rp_relay_fail(g, r, 1001, "server shutting down");
        }
    }
}

void rp_relay_undelivered(struct rp_gateway *g, const struct rp_exchange *x) {
    uint64_t holder;
    if (rp_client_sid_holder(rp_relay_sid_of(x), &holder) && holder != g->incarnation) {
        uint64_t id =
            RP_RELAY_FROM_HOLDER | g->next_relay_id++; /* the answer's own is forgotten there */
        rp_relay_put(g, holder, id, RP_RELAY_ABORT, 0, rp_relay_sid_of(x), rp_bytes(NULL, 0));
    }
}

/* ---- what comes ---- */

static void got_close(struct rp_gateway *g, struct rp_relay *r, const struct rp_op_relayed *op) {
    bool ours = op->number <= UINT16_MAX && rp_ws_close_code_valid((uint16_t) op->number);
    char reason[RP_WS_REASON_BYTES_MAX + 1];
    size_t len = op->data.len < sizeof reason ? op->data.len : sizeof reason - 1;
    memcpy(reason, len > 0 ? (const char *) op->data.data : "", len);
    reason[len] = '\0';
    rp_relay_fail(g, r, ours ? (uint16_t) op->number : RP_WS_CLOSE_NONE, reason);
}

static void got_sent(struct rp_gateway *g, struct rp_relay *r, uint64_t bytes) {
    struct rp_client *c = r->wire->client;
    r->unconfirmed -= bytes < r->unconfirmed ? bytes : r->unconfirmed;
    if (c != NULL && c->wire == r->wire) {
        c->progress = true;
        c->drained_ms = g->now_ms;
    }
    rp_wire_mark_dirty(g, r->wire);
}

static void got_for_wire(struct rp_gateway *g, struct rp_relay *r, const struct rp_op_relayed *op) {
    if (rp_relay_is_entry(r)) {
        rp_relay_await_holder(g, r);
    }
    switch (op->what) {
    case RP_RELAY_WS_TEXT:
    case RP_RELAY_WS_BINARY:
        if (rp_relay_is_entry(r)) {
            rp_relay_deliver(g, r, op);
        } else {
            rp_relay_hear(g, r, op);
        }
        break;
    case RP_RELAY_WS_SENT:
        got_sent(g, r, op->number);
        break;
    case RP_RELAY_WS_CLOSE:
        got_close(g, r, op);
        break;
    case RP_RELAY_ANSWER:
        if (rp_relay_is_entry(r) && r->wire->pending) {
            rp_relay_decided(g, r, op->number == 101);
        }
        break;
    default:
        break;
    }
}

static void got_for_exchange(struct rp_gateway *g, struct rp_relay *r,
                             const struct rp_op_relayed *op) {
    struct rp_exchange *x = r->exchange;
    if (op->what == RP_RELAY_ABORT && !rp_relay_is_entry(r)) {
        rp_relay_fail(g, r, 0, NULL);
    } else if (op->what == RP_RELAY_ANSWER && rp_relay_is_entry(r)) {
        rp_relay_end(g, r, false, 0, rp_bytes(NULL, 0));
        bool known = op->number == 200 || op->number == 400 || op->number == 403;
        rp_exchange_answer(g, x, known ? (int) op->number : 400, op->data);
    }
}

/* GONE repeats what could not be passed on, to the one who sent it; but of an answer it tells the
 * one who waits for it. */
static void got_gone(struct rp_gateway *g, const struct rp_op_relayed *op) {
    bool was_for_us = op->number == RP_RELAY_ANSWER;
    struct rp_relay *r = find(g, op->from, was_for_us ? op->id : op->id ^ RP_RELAY_FROM_HOLDER);
    if (r != NULL && was_for_us) {
        rp_relay_say_end(g, r, 0, rp_bytes(NULL, 0)); /* what the answer carried is lost */
    }
    if (r != NULL) {
        rp_relay_fail_lost(g, r);
    }
}

/* A message of a wire that has ended here: the other end may not know. */
static void got_stray(struct rp_gateway *g, const struct rp_op_relayed *op) {
    rp_relay_put(g, op->from, op->id, RP_RELAY_WS_CLOSE, 1001, rp_bytes(NULL, 0),
                 RP_BYTES_LIT("the session has ended"));
}

void rp_relay_got(struct rp_gateway *g, const struct rp_op_relayed *op) {
    struct rp_relay *r = find(g, op->from, op->id);
    if (op->what == RP_RELAY_GONE) {
        got_gone(g, op);
    } else if (r != NULL && r->wire != NULL) {
        got_for_wire(g, r, op);
    } else if (r != NULL) {
        got_for_exchange(g, r, op);
    } else if (op->what == RP_RELAY_WS_TEXT || op->what == RP_RELAY_WS_BINARY) {
        got_stray(g, op);
    } else if ((op->id & RP_RELAY_FROM_HOLDER) == 0) {
        rp_relay_hold(g, op);
    }
}

/* ---- time ---- */

void rp_relay_turn(struct rp_gateway *g) {
    rp_relay_holder_turn(g);
    rp_relay_entry_turn(g);
}

uint64_t rp_relay_deadline_ms(const struct rp_gateway *g) {
    const struct rp_list *first = rp_list_first(&g->relay_timeouts);
    return first != NULL ? RP_CONTAINER_OF(first, struct rp_relay, timeout_node)->deadline_ms
                         : UINT64_MAX;
}

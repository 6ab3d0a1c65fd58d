/* gateway/relay_entry.c — the entry's side of relays: the connection is here, the session
 * elsewhere. What is large waits for the link's credit; a wire that has used it up is not read
 * meanwhile. */
#include "gateway/relay_parts.h"

enum { PROGRESS_MS = 1000 }; /* how often the holder hears of a message that is taken slowly */

bool rp_relay_may(const struct rp_gateway *g, struct rp_bytes sid) {
    uint64_t holder;
    return rp_client_sid_holder(sid, &holder) && holder != g->incarnation &&
           g->relays.count < RP_RELAYS_MAX && g->link_state == RP_LINK_UP;
}

/* A holder answers a poll, and pings a WebSocket, within this time. */
void rp_relay_await_holder(struct rp_gateway *g, struct rp_relay *r) {
    rp_list_remove(&r->timeout_node);
    r->deadline_ms =
        g->now_ms + g->config.ping_interval_ms + g->config.ping_timeout_ms + RP_RELAY_GRACE_MS;
    rp_list_append(&g->relay_timeouts, &r->timeout_node);
}

/* What only asks is small, and its number is bounded: it does not wait for credit. */
static struct rp_relay *begin(struct rp_gateway *g, struct rp_bytes sid, enum rp_op_relay_what what,
                              struct rp_bytes data) {
    uint64_t holder;
    if (!rp_relay_may(g, sid) || !rp_client_sid_holder(sid, &holder)) {
        return NULL;
    }
    struct rp_relay *r = rp_relay_new(g, holder, RP_RELAY_FROM_HOLDER | g->next_relay_id++);
    g->stats.relayed++;
    rp_relay_put(g, r->peer, r->id, what, 0, sid, data);
    rp_relay_await_holder(g, r);
    return r;
}

bool rp_relay_exchange(struct rp_gateway *g, struct rp_exchange *x, struct rp_bytes sid) {
    if (x->body.len > 0 && rp_relay_may(g, sid) && !rp_relay_may_put(g, x->body.len)) {
        rp_list_append(&g->blocked_posts, &x->node);
        return true;
    }
    struct rp_relay *r =
        begin(g, sid, x->is_get ? RP_RELAY_GET : RP_RELAY_POST, rp_buf_bytes(&x->body));
    if (r == NULL) {
        return false;
    }
    rp_exchange_unpark(g, x);
    rp_buf_release(&x->body);
    r->exchange = x;
    x->relay = r;
    return true;
}

bool rp_relay_wire(struct rp_gateway *g, struct rp_wire *w, struct rp_bytes sid) {
    struct rp_relay *r = begin(g, sid, RP_RELAY_WS_OPEN, rp_bytes(NULL, 0));
    if (r == NULL) {
        return false;
    }
    r->wire = w;
    w->relay = r;
    w->pending = true;
    return true;
}

void rp_relay_message(struct rp_gateway *g, struct rp_relay *r, bool is_text,
                      struct rp_bytes data) {
    /* this one goes; the next is not read before there is credit again */
    r->starved = !rp_relay_may_put(g, data.len);
    if (r->starved && !rp_list_is_linked(&r->starved_node)) {
        rp_list_append(&g->starved_relays, &r->starved_node);
    }
    r->unconfirmed += data.len + RP_RELAY_MESSAGE_COST;
    rp_relay_say(g, r, is_text ? RP_RELAY_WS_TEXT : RP_RELAY_WS_BINARY, 0, data);
}

bool rp_relay_wants_read(const struct rp_relay *r) {
    return r->unconfirmed < r->window_bytes && !r->starved;
}

void rp_relay_confirm(struct rp_gateway *g, struct rp_relay *r) {
    if (r->untold > 0) {
        rp_relay_say(g, r, RP_RELAY_WS_SENT, r->untold, rp_bytes(NULL, 0));
        r->untold = 0;
        r->told_ms = g->now_ms;
    }
}

/* A client that takes a large message slowly is alive: the holder hears of it, and may not be able
 * to say anything itself until it is confirmed. */
void rp_relay_sent(struct rp_gateway *g, struct rp_relay *r) {
    rp_relay_await_holder(g, r);
    if (r->wire->queue.bytes < r->window_bytes / 2) {
        rp_relay_confirm(g, r);
    } else if (g->now_ms >= r->told_ms + PROGRESS_MS) {
        rp_relay_say(g, r, RP_RELAY_WS_SENT, 0, rp_bytes(NULL, 0));
        r->told_ms = g->now_ms;
    }
}

static void time_out(struct rp_gateway *g) {
    struct rp_list *first;
    while ((first = rp_list_first(&g->relay_timeouts)) != NULL) {
        struct rp_relay *r = RP_CONTAINER_OF(first, struct rp_relay, timeout_node);
        if (r->deadline_ms > g->now_ms) {
            return;
        }
        rp_relay_say_end(g, r, 0, rp_bytes(NULL, 0));
        rp_relay_fail_lost(g, r);
    }
}

/* The holder has said whether there is such a session. */
void rp_relay_decided(struct rp_gateway *g, struct rp_relay *r, bool known) {
    if (known) {
        r->wire->pending = false;
        rp_wire_mark_dirty(g, r->wire);
    } else {
        rp_relay_fail(g, r, 0, NULL);
    }
}

void rp_relay_deliver(struct rp_gateway *g, struct rp_relay *r, const struct rp_op_relayed *op) {
    bool is_text = op->what == RP_RELAY_WS_TEXT;
    r->untold += op->data.len + RP_RELAY_MESSAGE_COST;
    rp_wire_put(g, r->wire, rp_ws_frame(is_text ? RP_WS_TEXT : RP_WS_BINARY, op->data));
}

/* Also when the link is lost: then they are answered. */
static void send_blocked_posts(struct rp_gateway *g) {
    struct rp_list *first;
    while ((first = rp_list_first(&g->blocked_posts)) != NULL) {
        struct rp_exchange *x = RP_CONTAINER_OF(first, struct rp_exchange, node);
        if (g->link_state == RP_LINK_UP && !rp_relay_may_put(g, x->body.len)) {
            return;
        }
        rp_list_remove(first);
        if (!rp_relay_exchange(g, x, rp_relay_sid_of(x))) {
            rp_exchange_answer_error(g, x, RP_EIO_UNKNOWN_SID);
        }
    }
}

void rp_relay_entry_turn(struct rp_gateway *g) {
    struct rp_list *it;
    time_out(g);
    while (rp_relay_may_put(g, 0) && (it = rp_list_first(&g->starved_relays)) != NULL) {
        struct rp_relay *r = RP_CONTAINER_OF(it, struct rp_relay, starved_node);
        rp_list_remove(it);
        r->starved = false;
        rp_wire_mark_dirty(g, r->wire); /* to be read again */
    }
    send_blocked_posts(g);
}

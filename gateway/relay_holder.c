/* gateway/relay_holder.c — the holder's side of relays: the session is here, the connection
 * elsewhere. What is relayed gets a stand-in, an exchange or a wire without a shell, and is treated
 * like the holder's own. */
#include "gateway/relay_parts.h"
#include "gateway/frames.h"

#include <stdlib.h>

/* A message of a holder's wire that waits: it counts, and false when there are too many. */
static bool park(struct rp_gateway *g, const struct rp_relay_message *m) {
    g->parked_bytes += sizeof(*m) + m->len;
    return g->parked_bytes <= g->config.budget.parked;
}

void rp_relay_unpark(struct rp_gateway *g, const struct rp_relay_message *m) {
    g->parked_bytes -= sizeof(*m) + m->len;
}

/* The session of an exchange that is over: its answer did not reach the client. */
static void abort_session(struct rp_gateway *g, const struct rp_op_relayed *op) {
    struct rp_client *c = rp_client_by_sid(g, op->sid);
    if (c != NULL && c->wire == NULL) {
        rp_client_close(g, c, 1001, "a poll was cut off", RP_LEAVE_TRANSPORT_ERROR);
    }
}

/* There is no such session here, or no place for another stand-in. */
static void turn_away(struct rp_gateway *g, const struct rp_op_relayed *op) {
    rp_buf_clear(&g->scratch);
    enum rp_err err = rp_eio_put_error(&g->scratch, RP_EIO_UNKNOWN_SID);
    RP_ASSERT(err == RP_OK);
    rp_relay_put(g, op->from, op->id, RP_RELAY_ANSWER, 400, rp_bytes(NULL, 0),
                 rp_buf_bytes(&g->scratch));
}

static void hold_exchange(struct rp_gateway *g, struct rp_client *c,
                          const struct rp_op_relayed *op) {
    struct rp_exchange *x = rp_exchange_new(g, NULL);
    struct rp_relay *r = rp_relay_new(g, op->from, op->id);
    r->exchange = x;
    x->relay = r;
    x->is_get = op->what == RP_RELAY_GET;
    rp_exchange_keep_sid(x, op->sid);
    if (x->is_get) {
        rp_poll_get(g, x, c);
    } else {
        enum rp_err err = rp_buf_put(&x->body, op->data);
        RP_ASSERT(err == RP_OK); /* it came in a message of at most that size */
        rp_poll_post(g, x, c);
        if (c->post == x) {
            rp_poll_post_body(g, x);
        }
    }
}

bool rp_relay_answer(struct rp_gateway *g, struct rp_exchange *x) {
    struct rp_relay *r = x->relay;
    if (r != NULL && g->link_state == RP_LINK_UP) {
        if (!rp_relay_may_put(g, x->body.len)) {
            return false;
        }
        rp_relay_say(g, r, RP_RELAY_ANSWER, (uint64_t) x->status, rp_buf_bytes(&x->body));
    }
    if (r != NULL) {
        rp_relay_end(g, r, false, 0, rp_bytes(NULL, 0));
    }
    rp_exchange_free(g, x);
    return true;
}

static void hold_wire(struct rp_gateway *g, struct rp_client *c, const struct rp_op_relayed *op) {
    struct rp_wire *w = rp_wire_new(g, NULL, RP_WIRE_PROBE);
    struct rp_relay *r = rp_relay_new(g, op->from, op->id);
    r->wire = w;
    w->relay = r;
    rp_relay_say(g, r, RP_RELAY_ANSWER, 101, rp_bytes(NULL, 0));
    rp_wire_probe(g, w, c);
}

void rp_relay_hold(struct rp_gateway *g, const struct rp_op_relayed *op) {
    bool is_wire = op->what == RP_RELAY_WS_OPEN;
    if (op->what == RP_RELAY_ABORT) {
        abort_session(g, op);
        return;
    }
    if (!is_wire && op->what != RP_RELAY_GET && op->what != RP_RELAY_POST) {
        return; /* of something that has ended here */
    }
    struct rp_client *c = rp_client_by_sid(g, op->sid);
    if (c == NULL || g->relays.count >= RP_RELAYS_MAX) {
        turn_away(g, op);
    } else if (is_wire) {
        hold_wire(g, c, op);
    } else {
        hold_exchange(g, c, op);
    }
}

/* Gives a frame to the entry. A close frame is the last one. */
static void say_frame(struct rp_gateway *g, struct rp_relay *r, const struct rp_frame *f) {
    if (f->kind == RP_WS_CLOSE) {
        const uint8_t *at = f->payload.data;
        bool has_code = f->payload.len >= 2;
        uint16_t code = has_code ? (uint16_t) (at[0] << 8 | at[1]) : RP_WS_CLOSE_NONE;
        rp_relay_end(g, r, true, code, rp_bytes_skip(f->payload, has_code ? 2 : 0));
        return;
    }
    r->unconfirmed += f->payload.len + RP_RELAY_MESSAGE_COST;
    rp_relay_say(g, r, f->kind == RP_WS_TEXT ? RP_RELAY_WS_TEXT : RP_RELAY_WS_BINARY, 0,
                 f->payload);
}

static void say_output(struct rp_gateway *g, struct rp_wire *w) {
    struct rp_bytes first;
    bool any = false;
    while (w->relay != NULL && rp_queue_parts(&w->queue, &first, 1) > 0) {
        struct rp_frame f = rp_frame_of(first);
        bool skips = false;
        if (w->relay->unconfirmed >= w->relay->window_bytes) {
            if (w->role != RP_WIRE_CLOSING) {
                break; /* goes on when more is confirmed */
            }
            skips = f.kind != RP_WS_CLOSE; /* who may never take the rest is not waited for */
        }
        if (!skips && !rp_relay_may_put(g, f.payload.len)) {
            rp_list_remove(&w->dirty_node); /* it may have become dirty by what was heard */
            rp_list_append(&g->blocked, &w->dirty_node);
            break;
        }
        if (!skips) {
            say_frame(g, w->relay, &f);
        }
        rp_queue_advance(&w->queue, &g->queued, f.len);
        any = true;
    }
    if (any && w->role == RP_WIRE_ACTIVE) {
        rp_client_took(g, w->client);
    }
}

static bool is_deaf(const struct rp_wire *w) {
    return w->role == RP_WIRE_ACTIVE && rp_client_is_paused(w->client);
}

/* Gives the client what it may be given of the messages that came. */
static void hear_inbox(struct rp_gateway *g, struct rp_wire *w) {
    struct rp_list *first;
    while (w->relay != NULL && !is_deaf(w) && (first = rp_list_first(&w->relay->inbox)) != NULL) {
        struct rp_relay_message *m = RP_CONTAINER_OF(first, struct rp_relay_message, node);
        rp_list_remove(first);
        rp_relay_unpark(g, m);
        w->relay->untold += m->len + RP_RELAY_MESSAGE_COST;
        rp_wire_message(g, w, m->is_text, rp_bytes(m->data, m->len));
        free(m);
    }
    if (w->relay != NULL && rp_list_is_empty(&w->relay->inbox)) {
        rp_relay_confirm(g, w->relay);
    }
}

void rp_relay_flush(struct rp_gateway *g, struct rp_wire *w) {
    if (w->relay != NULL) {
        hear_inbox(g, w);
    }
    say_output(g, w);
    if (w->role == RP_WIRE_CLOSING && (w->relay == NULL || w->queue.count == 0)) {
        rp_gateway_gone(g, w, g->now_ms);
    }
}

void rp_relay_hear(struct rp_gateway *g, struct rp_relay *r, const struct rp_op_relayed *op) {
    struct rp_wire *w = r->wire;
    struct rp_relay_message *m = rp_alloc(sizeof(*m) + op->data.len);
    m->is_text = op->what == RP_RELAY_WS_TEXT;
    m->len = op->data.len;
    if (m->len > 0) {
        memcpy(m->data, op->data.data, m->len);
    }
    rp_list_append(&r->inbox, &m->node);
    if (!park(g, m)) {
        g->stats.overflowed++;
        rp_gateway_close(g, w, 1013, "too many messages wait to be heard", RP_LEAVE_FORCED,
                         g->now_ms);
    }
    rp_wire_mark_dirty(g, w);
}

void rp_relay_holder_turn(struct rp_gateway *g) {
    struct rp_list *it, *tmp;
    while ((it = rp_list_first(&g->blocked_answers)) != NULL) {
        struct rp_exchange *x = RP_CONTAINER_OF(it, struct rp_exchange, node);
        if (x->relay != NULL && !rp_relay_may_put(g, x->body.len) && g->link_state == RP_LINK_UP) {
            break; /* the first one first */
        }
        rp_list_remove(it);
        bool done = rp_relay_answer(g, x);
        RP_ASSERT(done);
    }
    RP_LIST_FOR(&g->blocked, it, tmp) {
        rp_list_remove(it);
        rp_wire_mark_dirty(g, RP_CONTAINER_OF(it, struct rp_wire, dirty_node));
    }
}

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
#include "gateway/core.h"
#include "gateway/frames.h"

#include <stdlib.h>

#define FROM_HOLDER (UINT64_C(1) << 63)

enum {
    MESSAGE_COST = 64,  /* what a message counts beside its bytes */
    PROGRESS_MS = 1000, /* how often the holder hears of a message that is taken slowly */
};

struct rp_relay_message {
    struct rp_list node; /* in relay->inbox */
    bool is_text;
    size_t len;
    uint8_t data[];
};

/* A message of a holder's wire that waits: it counts, and false when there are too many. */
static bool park(struct rp_gateway *g, const struct rp_relay_message *m) {
    g->parked_bytes += sizeof(*m) + m->len;
    return g->parked_bytes <= RP_PARKED_BYTES_MAX;
}

static void unpark(struct rp_gateway *g, const struct rp_relay_message *m) {
    g->parked_bytes -= sizeof(*m) + m->len;
}

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

static bool is_entry(const struct rp_relay *r) {
    return (r->id & FROM_HOLDER) != 0;
}

static struct rp_relay *relay_new(struct rp_gateway *g, uint64_t peer, uint64_t id) {
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
        unpark(g, m);
        free(m);
    }
    rp_map_remove(&g->relays, &r->by_id);
    rp_list_remove(&r->node);
    rp_list_remove(&r->timeout_node);
    rp_list_remove(&r->starved_node);
    free(r);
}

/* ---- messages ---- */

static void put(struct rp_gateway *g, uint64_t peer, uint64_t id, enum rp_op_relay_what what,
                uint64_t number, struct rp_bytes sid, struct rp_bytes data) {
    if (g->link_state != RP_LINK_UP) {
        return;
    }
    struct rp_op op = {.kind = RP_OP_RELAY,
                       .relay = {.to = peer,
                                 .what = what,
                                 .id = id ^ FROM_HOLDER, /* as the other end knows it */
                                 .number = number,
                                 .sid = sid,
                                 .data = data}};
    rp_link_put(&g->link, &op);
}

static void say(struct rp_gateway *g, const struct rp_relay *r, enum rp_op_relay_what what,
                uint64_t number, struct rp_bytes data) {
    put(g, r->peer, r->id, what, number, rp_bytes(NULL, 0), data);
}

static bool may_put(const struct rp_gateway *g, size_t len) {
    return g->link_state == RP_LINK_UP && rp_link_may_put(&g->link, len + MESSAGE_COST);
}

/* ---- the end ---- */

static struct rp_bytes sid_of(const struct rp_exchange *x) {
    return rp_bytes(x->sid, x->sid_len);
}

/* Tells the other end. */
static void say_end(struct rp_gateway *g, const struct rp_relay *r, uint16_t code,
                    struct rp_bytes reason) {
    if (r->wire != NULL) {
        say(g, r, RP_RELAY_WS_CLOSE, code, reason);
    } else if (is_entry(r)) { /* the sid, if its answer is on its way already */
        put(g, r->peer, r->id, RP_RELAY_ABORT, 0, sid_of(r->exchange), rp_bytes(NULL, 0));
    }
}

void rp_relay_end(struct rp_gateway *g, struct rp_relay *r, bool tell, uint16_t code,
                  struct rp_bytes reason) {
    struct rp_wire *wire = r->wire;
    struct rp_exchange *exchange = r->exchange;
    if (tell) {
        say_end(g, r, code, reason);
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
static void fail(struct rp_gateway *g, struct rp_relay *r, uint16_t code, const char *reason) {
    struct rp_wire *wire = r->wire;
    struct rp_exchange *exchange = r->exchange;
    bool entry = is_entry(r);
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

static void fail_lost(struct rp_gateway *g, struct rp_relay *r) {
    g->stats.relays_failed++;
    fail(g, r, 1001, "the gateway that holds the session is gone");
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
        fail_lost(g, RP_CONTAINER_OF(it, struct rp_relay, node));
    }
}

void rp_relay_drain(struct rp_gateway *g) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->relay_list, it, tmp) {
        struct rp_relay *r = RP_CONTAINER_OF(it, struct rp_relay, node);
        if (is_entry(r)) {
            say_end(g, r, 0, rp_bytes(NULL, 0));
            fail(g, r, 1001, "server shutting down");
        }
    }
}

void rp_relay_undelivered(struct rp_gateway *g, const struct rp_exchange *x) {
    uint64_t holder;
    if (rp_client_sid_holder(sid_of(x), &holder) && holder != g->incarnation) {
        uint64_t id = FROM_HOLDER | g->next_relay_id++; /* the answer's own is forgotten there */
        put(g, holder, id, RP_RELAY_ABORT, 0, sid_of(x), rp_bytes(NULL, 0));
    }
}

/* ---- the entry ---- */

bool rp_relay_may(const struct rp_gateway *g, struct rp_bytes sid) {
    uint64_t holder;
    return rp_client_sid_holder(sid, &holder) && holder != g->incarnation &&
           g->relays.count < RP_RELAYS_MAX && g->link_state == RP_LINK_UP;
}

/* A holder answers a poll, and pings a WebSocket, within this time. */
static void await_holder(struct rp_gateway *g, struct rp_relay *r) {
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
    struct rp_relay *r = relay_new(g, holder, FROM_HOLDER | g->next_relay_id++);
    g->stats.relayed++;
    put(g, r->peer, r->id, what, 0, sid, data);
    await_holder(g, r);
    return r;
}

bool rp_relay_exchange(struct rp_gateway *g, struct rp_exchange *x, struct rp_bytes sid) {
    if (x->body.len > 0 && rp_relay_may(g, sid) && !may_put(g, x->body.len)) {
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
    r->starved =
        !may_put(g, data.len); /* this one goes; the next is not read before there is more */
    if (r->starved && !rp_list_is_linked(&r->starved_node)) {
        rp_list_append(&g->starved_relays, &r->starved_node);
    }
    r->unconfirmed += data.len + MESSAGE_COST;
    say(g, r, is_text ? RP_RELAY_WS_TEXT : RP_RELAY_WS_BINARY, 0, data);
}

bool rp_relay_wants_read(const struct rp_relay *r) {
    return r->unconfirmed < r->window_bytes && !r->starved;
}

static void confirm(struct rp_gateway *g, struct rp_relay *r) {
    if (r->untold > 0) {
        say(g, r, RP_RELAY_WS_SENT, r->untold, rp_bytes(NULL, 0));
        r->untold = 0;
        r->told_ms = g->now_ms;
    }
}

/* A client that takes a large message slowly is alive: the holder hears of it, and may not be able
 * to say anything itself until it is confirmed. */
void rp_relay_sent(struct rp_gateway *g, struct rp_relay *r) {
    await_holder(g, r);
    if (r->wire->queue.bytes < r->window_bytes / 2) {
        confirm(g, r);
    } else if (g->now_ms >= r->told_ms + PROGRESS_MS) {
        say(g, r, RP_RELAY_WS_SENT, 0, rp_bytes(NULL, 0));
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
        say_end(g, r, 0, rp_bytes(NULL, 0));
        fail_lost(g, r);
    }
}

/* The holder has said whether there is such a session. */
static void decide(struct rp_gateway *g, struct rp_relay *r, bool known) {
    if (known) {
        r->wire->pending = false;
        rp_wire_mark_dirty(g, r->wire);
    } else {
        fail(g, r, 0, NULL);
    }
}

/* ---- the holder ---- */

/* The session of an exchange that is over: its answer did not reach the client. */
static void abort_session(struct rp_gateway *g, const struct rp_op_relayed *op) {
    struct rp_client *c = rp_client_by_sid(g, op->sid);
    if (c != NULL && c->wire == NULL) {
        rp_client_close(g, c, 1001, "a poll was cut off", true);
    }
}

/* There is no such session here, or no place for another stand-in. */
static void turn_away(struct rp_gateway *g, const struct rp_op_relayed *op) {
    rp_buf_clear(&g->scratch);
    enum rp_err err = rp_eio_put_error(&g->scratch, RP_EIO_UNKNOWN_SID);
    RP_ASSERT(err == RP_OK);
    put(g, op->from, op->id, RP_RELAY_ANSWER, 400, rp_bytes(NULL, 0), rp_buf_bytes(&g->scratch));
}

static void hold_exchange(struct rp_gateway *g, struct rp_client *c,
                          const struct rp_op_relayed *op) {
    struct rp_exchange *x = rp_exchange_new(g, NULL);
    struct rp_relay *r = relay_new(g, op->from, op->id);
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
        if (!may_put(g, x->body.len)) {
            return false;
        }
        say(g, r, RP_RELAY_ANSWER, (uint64_t) x->status, rp_buf_bytes(&x->body));
    }
    if (r != NULL) {
        rp_relay_end(g, r, false, 0, rp_bytes(NULL, 0));
    }
    rp_exchange_free(g, x);
    return true;
}

static void hold_wire(struct rp_gateway *g, struct rp_client *c, const struct rp_op_relayed *op) {
    struct rp_wire *w = rp_wire_new(g, NULL, RP_WIRE_PROBE);
    struct rp_relay *r = relay_new(g, op->from, op->id);
    r->wire = w;
    w->relay = r;
    say(g, r, RP_RELAY_ANSWER, 101, rp_bytes(NULL, 0));
    rp_wire_probe(g, w, c);
}

static void hold(struct rp_gateway *g, const struct rp_op_relayed *op) {
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
    r->unconfirmed += f->payload.len + MESSAGE_COST;
    say(g, r, f->kind == RP_WS_TEXT ? RP_RELAY_WS_TEXT : RP_RELAY_WS_BINARY, 0, f->payload);
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
        if (!skips && !may_put(g, f.payload.len)) {
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
        unpark(g, m);
        w->relay->untold += m->len + MESSAGE_COST;
        rp_wire_message(g, w, m->is_text, rp_bytes(m->data, m->len));
        free(m);
    }
    if (w->relay != NULL && rp_list_is_empty(&w->relay->inbox)) {
        confirm(g, w->relay);
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

/* ---- what comes ---- */

static void got_message(struct rp_gateway *g, struct rp_relay *r, const struct rp_op_relayed *op) {
    bool is_text = op->what == RP_RELAY_WS_TEXT;
    struct rp_wire *w = r->wire;
    if (is_entry(r)) {
        r->untold += op->data.len + MESSAGE_COST;
        rp_wire_put(g, w, rp_ws_frame(is_text ? RP_WS_TEXT : RP_WS_BINARY, op->data));
        return;
    }
    struct rp_relay_message *m = rp_alloc(sizeof(*m) + op->data.len);
    m->is_text = is_text;
    m->len = op->data.len;
    if (m->len > 0) {
        memcpy(m->data, op->data.data, m->len);
    }
    rp_list_append(&r->inbox, &m->node);
    if (!park(g, m)) {
        g->stats.overflowed++;
        rp_gateway_close(g, w, 1013, "too many messages wait to be heard", g->now_ms);
    }
    rp_wire_mark_dirty(g, w);
}

static void got_close(struct rp_gateway *g, struct rp_relay *r, const struct rp_op_relayed *op) {
    bool ours = op->number <= UINT16_MAX && rp_ws_close_code_valid((uint16_t) op->number);
    char reason[RP_WS_REASON_BYTES_MAX + 1];
    size_t len = op->data.len < sizeof reason ? op->data.len : sizeof reason - 1;
    memcpy(reason, len > 0 ? (const char *) op->data.data : "", len);
    reason[len] = '\0';
    fail(g, r, ours ? (uint16_t) op->number : RP_WS_CLOSE_NONE, reason);
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
    if (is_entry(r)) {
        await_holder(g, r);
    }
    switch (op->what) {
    case RP_RELAY_WS_TEXT:
    case RP_RELAY_WS_BINARY:
        got_message(g, r, op);
        break;
    case RP_RELAY_WS_SENT:
        got_sent(g, r, op->number);
        break;
    case RP_RELAY_WS_CLOSE:
        got_close(g, r, op);
        break;
    case RP_RELAY_ANSWER:
        if (is_entry(r) && r->wire->pending) {
            decide(g, r, op->number == 101);
        }
        break;
    default:
        break;
    }
}

static void got_for_exchange(struct rp_gateway *g, struct rp_relay *r,
                             const struct rp_op_relayed *op) {
    struct rp_exchange *x = r->exchange;
    if (op->what == RP_RELAY_ABORT && !is_entry(r)) {
        fail(g, r, 0, NULL);
    } else if (op->what == RP_RELAY_ANSWER && is_entry(r)) {
        rp_relay_end(g, r, false, 0, rp_bytes(NULL, 0));
        bool known = op->number == 200 || op->number == 400 || op->number == 403;
        rp_exchange_answer(g, x, known ? (int) op->number : 400, op->data);
    }
}

/* GONE repeats what could not be passed on, to the one who sent it; but of an answer it tells the
 * one who waits for it. */
static void got_gone(struct rp_gateway *g, const struct rp_op_relayed *op) {
    bool was_for_us = op->number == RP_RELAY_ANSWER;
    struct rp_relay *r = find(g, op->from, was_for_us ? op->id : op->id ^ FROM_HOLDER);
    if (r != NULL && was_for_us) {
        say_end(g, r, 0, rp_bytes(NULL, 0)); /* what the answer carried is lost */
    }
    if (r != NULL) {
        fail_lost(g, r);
    }
}

/* A message of a wire that has ended here: the other end may not know. */
static void got_stray(struct rp_gateway *g, const struct rp_op_relayed *op) {
    put(g, op->from, op->id, RP_RELAY_WS_CLOSE, 1001, rp_bytes(NULL, 0),
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
    } else if ((op->id & FROM_HOLDER) == 0) {
        hold(g, op);
    }
}

/* Also when the link is lost: then they are answered. */
static void send_blocked_posts(struct rp_gateway *g) {
    struct rp_list *first;
    while ((first = rp_list_first(&g->blocked_posts)) != NULL) {
        struct rp_exchange *x = RP_CONTAINER_OF(first, struct rp_exchange, node);
        if (g->link_state == RP_LINK_UP && !may_put(g, x->body.len)) {
            return;
        }
        rp_list_remove(first);
        if (!rp_relay_exchange(g, x, sid_of(x))) {
            rp_exchange_answer_error(g, x, RP_EIO_UNKNOWN_SID);
        }
    }
}

void rp_relay_turn(struct rp_gateway *g) {
    time_out(g);
    struct rp_list *it, *tmp;
    while ((it = rp_list_first(&g->blocked_answers)) != NULL) {
        struct rp_exchange *x = RP_CONTAINER_OF(it, struct rp_exchange, node);
        if (x->relay != NULL && !may_put(g, x->body.len) && g->link_state == RP_LINK_UP) {
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
    while (may_put(g, 0) && (it = rp_list_first(&g->starved_relays)) != NULL) {
        struct rp_relay *r = RP_CONTAINER_OF(it, struct rp_relay, starved_node);
        rp_list_remove(it);
        r->starved = false;
        rp_wire_mark_dirty(g, r->wire); /* to be read again */
    }
    send_blocked_posts(g);
}

uint64_t rp_relay_deadline_ms(const struct rp_gateway *g) {
    const struct rp_list *first = rp_list_first(&g->relay_timeouts);
    return first != NULL ? RP_CONTAINER_OF(first, struct rp_relay, timeout_node)->deadline_ms
                         : UINT64_MAX;
}

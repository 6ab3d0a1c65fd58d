/* tests/sim/network.c — what is between clients and gateways: queues of packets, WebSockets, and
 * HTTP requests. Everything arrives in order and late, or is lost with its connection. */
#include "tests/sim/world.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "proto/ws.h"

#include <stdio.h>
#include <stdlib.h>

/* What a client's request was, for app workers. */
#define HANDSHAKE RP_BYTES_LIT("\"address\":\"192.0.2.7\",\"url\":\"/socket.io/\"")

/* ---- queues ---- */

void queue_put(struct world *w, struct rp_list *queue, struct rp_buf bytes, bool is_binary) {
    struct packet *p = RP_NEW(struct packet);
    p->bytes = bytes;
    p->is_binary = is_binary;
    p->due_ms = w->now_ms + below(w, 4);
    if (!rp_list_is_empty(queue)) {
        uint64_t last = RP_CONTAINER_OF(queue->prev, struct packet, node)->due_ms;
        p->due_ms = p->due_ms > last ? p->due_ms : last;
    }
    rp_list_append(queue, &p->node);
}

void queue_put_bytes(struct world *w, struct rp_list *queue, struct rp_bytes bytes,
                     bool is_binary) {
    struct rp_buf copy;
    rp_buf_init(&copy, bytes.len);
    enum rp_err err = rp_buf_put(&copy, bytes);
    RP_ASSERT(err == RP_OK);
    queue_put(w, queue, copy, is_binary);
}

struct packet *queue_take(struct world *w, struct rp_list *queue) {
    struct rp_list *first = rp_list_first(queue);
    if (first == NULL || RP_CONTAINER_OF(first, struct packet, node)->due_ms > w->now_ms) {
        return NULL;
    }
    rp_list_remove(first);
    return RP_CONTAINER_OF(first, struct packet, node);
}

void packet_free(struct packet *p) {
    rp_buf_done(&p->bytes);
    free(p);
}

void queue_hurry(const struct world *w, struct rp_list *queue) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(queue, it, tmp) {
        struct packet *p = RP_CONTAINER_OF(it, struct packet, node);
        p->due_ms = p->due_ms < w->now_ms ? p->due_ms : w->now_ms;
    }
}

void queue_clear(struct rp_list *queue) {
    struct rp_list *first;
    while ((first = rp_list_first(queue)) != NULL) {
        rp_list_remove(first);
        packet_free(RP_CONTAINER_OF(first, struct packet, node));
    }
}

/* Makes what is on its way arrive late. */
static void delay(struct world *w, struct rp_list *queue) {
    uint64_t due_ms = w->now_ms + below(w, 400);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(queue, it, tmp) {
        struct packet *p = RP_CONTAINER_OF(it, struct packet, node);
        p->due_ms = p->due_ms > due_ms ? p->due_ms : due_ms;
    }
}

/* ---- WebSockets ---- */

struct conn *conn_open(struct world *w, struct client *client, unsigned gateway, const char *sid) {
    struct conn *c = RP_NEW(struct conn);
    c->client = (unsigned) (client - w->clients);
    c->gateway = gateway;
    c->client_open = true;
    c->opens_ms = w->now_ms + (chance(w, w->profile.slow) ? below(w, 300) : below(w, 8));
    snprintf(c->sid, sizeof c->sid, "%s", sid);
    rp_list_init(&c->up);
    rp_list_init(&c->down);
    rp_list_append(&w->conns, &c->node);
    return c;
}

void conn_free(struct conn *c) {
    queue_clear(&c->up);
    queue_clear(&c->down);
    rp_list_remove(&c->node);
    free(c);
}

/* The client notices the end of its connection. */
static void lost(struct world *w, struct conn *c) {
    if (c->client_open) {
        c->client_open = false;
        engine_conn_closed(w, &w->clients[c->client], c);
    }
}

void conn_close(struct world *w, struct conn *c) {
    if (c->client_open) {
        c->client_open = false;
        queue_clear(&c->down);
        c->gateway_notices_ms = w->now_ms + 50;
    }
}

void conn_cut(struct world *w, struct conn *c, bool unnoticed) {
    queue_clear(&c->down);
    c->up_late = unnoticed;
    if (unnoticed) {
        delay(w, &c->up);
    } else {
        queue_clear(&c->up);
    }
    c->silent = true;
    c->gateway_notices_ms = unnoticed ? 0 : w->now_ms + below(w, 200);
    lost(w, c);
}

/* Moves output into the network, unless the client's socket is full. */
static void pull_output(struct world *w, struct gateway *gateway, struct conn *c) {
    enum { SOCKET_PACKETS = 6 };
    size_t on_the_way = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->down, it, tmp) {
        on_the_way++;
    }
    struct rp_bytes part;
    while (on_the_way++ < SOCKET_PACKETS && rp_wire_output(c->handle, &part, 1) > 0) {
        queue_put_bytes(w, &c->down, part, false);
        rp_gateway_sent(gateway->core, c->handle, part.len, w->now_ms);
    }
}

void conn_flush(struct world *w, struct conn *c) {
    struct gateway *gateway = &w->gateways[c->gateway];
    if (!c->opening) {
        pull_output(w, gateway, c);
    }
    bool noticed = c->gateway_notices_ms > 0 && w->now_ms >= c->gateway_notices_ms;
    bool closing = rp_wire_is_closing(c->handle);
    bool stuck = c->silent || c->stalled_until_ms > w->now_ms;
    if (noticed || (closing && (stuck || !rp_wire_has_output(c->handle)))) {
        rp_gateway_gone(gateway->core, c->handle, w->now_ms);
        c->handle = NULL;
    }
}

/* The handshake reaches the gateway. */
static void arrive(struct world *w, struct conn *c) {
    struct rp_gateway *core = gateway_listening(w, c->gateway);
    c->opens_ms = 0;
    if (core == NULL || !c->client_open) {
        return; /* refused, or given up */
    }
    if (c->sid[0] == '\0') {
        c->handle = rp_gateway_open(core, c, HANDSHAKE, w->now_ms);
    } else {
        c->handle = rp_gateway_upgrade(core, c, rp_bytes_str(c->sid), w->now_ms);
    }
    c->opening = c->handle != NULL;
}

/* The session's gateway has said whether there is such a session. */
static void decided(struct world *w, struct conn *c) {
    c->opening = false;
    if (rp_wire_is_refused(c->handle)) {
        rp_gateway_gone(w->gateways[c->gateway].core, c->handle, w->now_ms);
        c->handle = NULL;
    } else if (c->client_open) {
        engine_conn_opened(w, &w->clients[c->client], c);
    }
}

/* One part of the output: whole frames. */
static void client_got(struct world *w, struct conn *c, struct rp_buf *bytes) {
    struct rp_ws_reader reader;
    struct rp_ws_msg msg;
    struct rp_bytes_mut in = {bytes->data, bytes->len};
    rp_ws_reader_init(&reader, RP_WS_CLIENT, 1 << 20);
    while (c->client_open && rp_ws_reader_next(&reader, &in, &msg) == RP_OK) {
        if (msg.kind == RP_WS_CLOSE) {
            lost(w, c);
        } else {
            engine_conn_message(w, &w->clients[c->client], c, msg.kind == RP_WS_BINARY,
                                msg.payload);
        }
    }
    rp_ws_reader_done(&reader);
}

static void receive(struct world *w, struct conn *c) {
    struct packet *p;
    while (!c->silent && c->client_open && w->now_ms >= c->stalled_until_ms &&
           (p = queue_take(w, &c->down)) != NULL) {
        client_got(w, c, &p->bytes);
        packet_free(p);
    }
}

void conn_run(struct world *w, struct conn *c) {
    struct rp_gateway *core = w->gateways[c->gateway].core;
    struct packet *p;
    if (core != NULL && !gateway_is_awake(w, c->gateway)) {
        receive(w, c);
        return;
    }
    if (c->opens_ms > w->now_ms) {
        return;
    }
    if (c->opens_ms > 0) {
        arrive(w, c);
    }
    if (c->handle != NULL && c->opening && !rp_wire_is_pending(c->handle)) {
        decided(w, c);
    }
    if (c->handle == NULL && c->client_open && rp_list_is_empty(&c->down)) {
        lost(w, c);
    }
    if (c->handle == NULL && !c->client_open) {
        conn_free(c);
        return;
    }
    receive(w, c);
    while ((!c->silent || c->up_late) && c->handle != NULL && rp_wire_wants_read(c->handle) &&
           (p = queue_take(w, &c->up)) != NULL) {
        if (p->is_binary) {
            rp_gateway_binary(core, c->handle, rp_buf_bytes(&p->bytes), w->now_ms);
        } else {
            rp_gateway_text(core, c->handle, rp_buf_bytes(&p->bytes), w->now_ms);
        }
        packet_free(p);
    }
}

/* ---- HTTP requests ---- */

static uint64_t latency_ms(struct world *w) {
    return chance(w, w->profile.slow) ? below(w, 200) : below(w, 8);
}

struct call *call_start(struct world *w, struct client *client, unsigned gateway,
                        enum call_kind kind, const char *sid, struct rp_buf body) {
    struct call *c = RP_NEW(struct call);
    c->kind = kind;
    c->client = (unsigned) (client - w->clients);
    c->gateway = gateway;
    c->body = body;
    c->client_waits = true;
    c->due_ms = w->now_ms + latency_ms(w);
    snprintf(c->sid, sizeof c->sid, "%s", sid);
    rp_list_append(&w->calls, &c->node);
    return c;
}

void call_free(struct call *c) {
    rp_buf_done(&c->body);
    rp_list_remove(&c->node);
    free(c);
}

static void end(struct world *w, struct call *c, bool delivered) {
    rp_gateway_exchange_end(w->gateways[c->gateway].core, c->handle, delivered, w->now_ms);
    c->handle = NULL;
}

/* Tells the client, if it still wants to hear. */
static void tell(struct world *w, struct call *c, int status, struct rp_bytes body) {
    if (c->client_waits) {
        c->client_waits = false;
        engine_answered(w, &w->clients[c->client], c, status, body);
    }
}

void call_cut(struct world *w, struct call *c, bool unnoticed) {
    if (c->state == CALL_UP && unnoticed) {
        c->due_ms += below(w, 400);
    } else if (c->state == CALL_UP || c->state == CALL_DOWN) {
        c->state = CALL_LOST;
    } else if (!unnoticed || c->body_due) {
        c->body_due = false;
        c->gateway_notices_ms = w->now_ms + below(w, 200);
    }
    tell(w, c, 0, rp_bytes(NULL, 0));
}

void call_gateway_dies(struct world *w, struct call *c) {
    if (c->handle != NULL) {
        end(w, c, false);
    }
    if (c->state != CALL_DOWN) {
        c->state = CALL_LOST;
    }
}

void call_answered(struct world *w, struct call *c) {
    (void) w;
    RP_ASSERT(c->state == CALL_THERE);
    c->state = CALL_READY;
    c->body_due = false;
    rp_buf_done(&c->body);
    c->status = rp_exchange_status(c->handle);
    struct rp_bytes body = rp_exchange_body(c->handle);
    rp_buf_init(&c->body, body.len);
    enum rp_err err = rp_buf_put(&c->body, body);
    RP_ASSERT(err == RP_OK);
}

/* The request reaches the gateway. */
static void reach(struct world *w, struct call *c) {
    struct rp_gateway *core = gateway_listening(w, c->gateway);
    struct rp_bytes sid = rp_bytes_str(c->sid);
    if (core == NULL) {
        c->state = CALL_LOST; /* refused */
        return;
    }
    c->state = CALL_THERE;
    if (c->kind == CALL_OPEN) {
        c->handle = rp_gateway_poll_open(core, c, HANDSHAKE, w->now_ms);
    } else if (c->kind == CALL_GET) {
        c->handle = rp_gateway_poll_get(core, c, sid, w->now_ms);
    } else {
        c->handle = rp_gateway_poll_post(core, c, sid, w->now_ms);
        c->due_ms = w->now_ms + latency_ms(w);
        c->body_due = true;
        return;
    }
    rp_buf_done(&c->body);
}

/* The rest of a POST, unless it was answered by its head alone, or is cut off. */
static void reach_whole(struct world *w, struct call *c) {
    struct rp_gateway *core = w->gateways[c->gateway].core;
    c->body_due = false;
    if (rp_exchange_status(c->handle) == 0) {
        rp_gateway_post_body(core, c->handle, &c->body, w->now_ms);
    }
    rp_buf_done(&c->body);
}

/* What the gateway has to do with it. */
static void run_at_gateway(struct world *w, struct call *c) {
    if (c->state == CALL_UP && w->now_ms >= c->due_ms) {
        reach(w, c);
    }
    if (c->state == CALL_THERE && c->body_due && w->now_ms >= c->due_ms) {
        reach_whole(w, c);
    }
    if (c->handle != NULL && c->gateway_notices_ms > 0 && w->now_ms >= c->gateway_notices_ms) {
        end(w, c, false);
        c->state = CALL_LOST;
    }
    if (c->state == CALL_READY && w->now_ms >= c->stalled_until_ms) {
        end(w, c, true);
        c->state = CALL_DOWN;
        c->due_ms = w->now_ms + latency_ms(w);
    }
}

void call_run(struct world *w, struct call *c) {
    if (w->gateways[c->gateway].core == NULL || gateway_is_awake(w, c->gateway)) {
        run_at_gateway(w, c);
    }
    if (c->state == CALL_DOWN && w->now_ms >= c->due_ms) {
        tell(w, c, c->status, rp_buf_bytes(&c->body));
        call_free(c);
    } else if (c->state == CALL_LOST) {
        tell(w, c, 0, rp_bytes(NULL, 0));
        call_free(c);
    }
}

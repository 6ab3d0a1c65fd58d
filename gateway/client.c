/* gateway/client.c — one client: an Engine.IO session, from its handshake to its end.
 *
 * A client has one transport: a WebSocket (client->wire), or long-polling, where its output waits
 * in the client's own queue for the next GET. While a probe is about to replace long-polling both
 * are there; then the queue moves to the wire, so nothing is lost or changes places.
 *
 * A client whose requests the broker has not answered is paused: it is not read, neither from its
 * socket nor from the POST in hand. */
#include "gateway/core.h"
#include "proto/ws.h"

#include <assert.h>
#include <stdlib.h>

/* ---- sids: the holder's incarnation, then the secret, in letters of six bits each ---- */

enum { HOLDER_CHARS = 11 };

static const char sid_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static_assert(HOLDER_CHARS + RP_ID_CHARS == RP_EIO_SID_BYTES_MAX, "a sid is holder and secret");

void rp_gateway_random_id(struct rp_gateway *g, char *ret_id, size_t n) {
    uint8_t random[64];
    RP_ASSERT(n <= sizeof random);
    g->config.random(g->config.random_ctx, random, n);
    for (size_t i = 0; i < n; i++) {
        ret_id[i] = sid_letters[random[i] % 64];
    }
}

void rp_client_draw_sid(struct rp_gateway *g, char ret_sid[RP_EIO_SID_BYTES_MAX]) {
    uint64_t holder = g->incarnation;
    for (int i = 0; i < HOLDER_CHARS; i++) {
        ret_sid[i] = sid_letters[holder % 64];
        holder /= 64;
    }
    rp_gateway_random_id(g, ret_sid + HOLDER_CHARS, RP_ID_CHARS);
}

bool rp_client_sid_holder(struct rp_bytes sid, uint64_t *ret_incarnation) {
    uint64_t holder = 0;
    if (sid.len != RP_EIO_SID_BYTES_MAX || memchr(sid.data, '\0', sid.len) != NULL) {
        return false;
    }
    for (int i = HOLDER_CHARS - 1; i >= 0; i--) {
        const char *letter = strchr(sid_letters, sid.data[i]);
        if (letter == NULL) {
            return false;
        }
        holder = holder * 64 + (uint64_t) (letter - sid_letters);
    }
    *ret_incarnation = holder;
    return true;
}

struct rp_client *rp_client_by_sid(const struct rp_gateway *g, struct rp_bytes sid) {
    uint64_t hash = rp_hash_bytes(&g->config.hash_key, sid);
    for (struct rp_map_node *n = rp_map_first(&g->by_sid, hash); n; n = rp_map_next(n, hash)) {
        struct rp_client *c = RP_CONTAINER_OF(n, struct rp_client, by_sid);
        if (rp_bytes_eq(rp_bytes(c->sid, sizeof c->sid), sid)) {
            return c;
        }
    }
    return NULL;
}

/* ---- beginning ---- */

struct rp_client *rp_client_new(struct rp_gateway *g, struct rp_wire *wire,
                                struct rp_bytes handshake) {
    struct rp_client *c = RP_NEW(struct rp_client);
    c->wire = wire;
    rp_list_init(&c->sockets);
    rp_list_init(&c->requests);
    rp_list_append(&g->clients, &c->node);
    rp_client_draw_sid(g, c->sid);
    rp_map_add(&g->by_sid, &c->by_sid,
               rp_hash_bytes(&g->config.hash_key, rp_bytes(c->sid, sizeof c->sid)));
    g->stats.opened++;
    g->stats.clients++;
    g->stats.polling += wire == NULL;
    if (g->config.mode == RP_GATEWAY_SOCKETIO) {
        rp_heartbeat_await_connect(g, c);
    }
    if (g->config.mode != RP_GATEWAY_ECHO_WS) {
        rp_heartbeat_await_ping(g, c);
    }
    rp_client_update_pause(g, c);
    rp_app_keep_handshake(g, c, handshake);
    return c;
}

void rp_client_put_open(struct rp_gateway *g, struct rp_client *c) {
    static const char *const upgrades[] = {"websocket"};
    bool offer = c->wire == NULL && !g->config.no_upgrades;
    struct rp_eio_open open = {.sid = rp_bytes(c->sid, sizeof c->sid),
                               .upgrades = offer ? upgrades : NULL,
                               .upgrades_count = offer ? 1 : 0,
                               .ping_interval_ms = g->config.ping_interval_ms,
                               .ping_timeout_ms = g->config.ping_timeout_ms,
                               .max_payload = g->config.max_payload};
    rp_buf_clear(&g->scratch);
    enum rp_err err = rp_eio_put_open(&g->scratch, &open);
    RP_ASSERT(err == RP_OK);
    rp_client_put_text(g, c, rp_buf_bytes(&g->scratch));
}

/* ---- output ---- */

struct rp_queue *rp_client_queue(struct rp_client *c) {
    return c->wire != NULL ? &c->wire->queue : &c->queue;
}

bool rp_client_has_unsent(const struct rp_client *c) {
    const struct rp_wire *w = c->wire;
    return w == NULL ? c->queue.bytes > 0
                     : w->queue.bytes > 0 || (w->relay != NULL && w->relay->unconfirmed > 0);
}

size_t rp_client_queue_bound(const struct rp_gateway *g, size_t max) {
    size_t queued = rp_queue_total_cost(&g->queued), all = g->config.budget.queues;
    size_t share = (queued < all ? all - queued : 0) / 8;
    return share < max ? share : max;
}

void rp_client_mark_dirty(struct rp_gateway *g, struct rp_client *c) {
    if (c->wire != NULL) {
        rp_wire_mark_dirty(g, c->wire);
    } else if (!c->closed && !rp_list_is_linked(&c->flush_node)) {
        rp_list_append(&g->flushable, &c->flush_node);
    }
}

static void bound_output(struct rp_gateway *g, struct rp_client *c) {
    size_t bound = rp_client_queue_bound(g, RP_CLIENT_QUEUE_BYTES_MAX);
    size_t least = RP_PAGE_BYTES + 2 * g->config.max_payload; /* a page and an answer must fit */
    if (rp_queue_cost(rp_client_queue(c)) + c->held_cost > (bound > least ? bound : least)) {
        g->stats.overflowed++;
        rp_client_close(g, c, 1013, "too slow: the limit of unsent output is reached",
                        RP_LEAVE_FORCED);
    }
}

void rp_client_put(struct rp_gateway *g, struct rp_client *c, struct rp_blob *packet) {
    if (c->closed) {
        rp_blob_unref(packet);
        return;
    }
    struct rp_queue *q = rp_client_queue(c);
    if (q->count == 0) {
        c->drained_ms = g->now_ms;
    }
    g->stats.packets_out++;
    g->stats.bytes_out += packet->len;
    if (c->wire != NULL) {
        rp_wire_put(g, c->wire, packet);
    } else {
        rp_queue_put(q, &g->queued, packet);
        rp_client_mark_dirty(g, c);
    }
    bool alone = q->count == 1; /* however large: it would come again by the next connection */
    if (!alone) {
        bound_output(g, c);
    }
}

void rp_client_hold(struct rp_gateway *g, struct rp_client *c, struct rp_blob *answer) {
    rp_queue_hold(&g->queued, answer);
    c->held_cost += (uint32_t) (answer->len + RP_CLIENT_FRAME_BYTES);
    bound_output(g, c);
}

void rp_client_let_go(struct rp_gateway *g, struct rp_client *c, struct rp_blob *answer) {
    rp_queue_let_go(&g->queued, answer);
    c->held_cost -= (uint32_t) (answer->len + RP_CLIENT_FRAME_BYTES);
}

void rp_client_put_text(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text) {
    rp_client_put(g, c, rp_ws_frame(RP_WS_TEXT, text));
}

void rp_client_took(struct rp_gateway *g, struct rp_client *c) {
    c->progress = true;
    c->drained_ms = g->now_ms;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->sockets, it, tmp) {
        rp_socket_try_page_done(g, RP_CONTAINER_OF(it, struct rp_socket, node));
    }
    if (g->config.mode != RP_GATEWAY_SOCKETIO) {
        rp_client_update_pause(g, c);
    }
}

/* ---- reading ---- */

bool rp_client_is_paused(const struct rp_client *c) {
    return rp_list_is_linked(&c->paused_node);
}

static size_t room_left(size_t bytes) {
    return bytes < RP_LINK_REQUESTS_BYTES_MAX ? RP_LINK_REQUESTS_BYTES_MAX - bytes : 0;
}

/* A client may have its own maximum of unanswered requests, and less the fuller the gateway is, so
 * that the noisiest are stopped first. One that is echoed must take what comes back; unless it is
 * about to upgrade, when it polls no more and waits for the answer to its POST. */
static bool is_over_bound(const struct rp_gateway *g, struct rp_client *c) {
    if (g->config.mode != RP_GATEWAY_SOCKETIO) {
        bool upgrading = c->probe != NULL && c->probe->probed;
        return !upgrading && rp_client_queue(c)->bytes > g->config.queue_bytes;
    }
    size_t left = room_left(g->requests_bytes - g->events_bytes - g->connects_bytes);
    bool events_over =
        c->events_count > 0 && (g->events_full || c->events_bytes > room_left(g->events_bytes) / 4);
    bool waits_to_connect = g->connects_full && c->sockets_count == 0;
    return g->requests_full || events_over || waits_to_connect ||
           (c->requests_count > 0 && (c->requests_count >= g->config.client_requests_max ||
                                      c->requests_bytes - c->events_bytes > left / 4 ||
                                      c->requests_bytes >= RP_CLIENT_REQUESTS_BYTES_MAX));
}

void rp_client_update_pause(struct rp_gateway *g, struct rp_client *c) {
    bool over = !c->closed && is_over_bound(g, c), paused = rp_client_is_paused(c);
    if (over && !paused) {
        rp_list_append(&g->paused, &c->paused_node);
        g->stats.paused++;
        rp_client_mark_dirty(g, c);
    } else if (!over && paused) {
        rp_list_remove(&c->paused_node);
        rp_heartbeat_unpaused(g, c);
        rp_client_mark_dirty(g, c);
    }
}

/* ---- the end ---- */

void rp_client_close(struct rp_gateway *g, struct rp_client *c, uint16_t code, const char *reason,
                     enum rp_leave why) {
    if (c->closed) {
        return;
    }
    c->closed = true;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->sockets, it, tmp) {
        rp_socket_leave(g, RP_CONTAINER_OF(it, struct rp_socket, node), why);
    }
    rp_list_remove(&c->beat_node);
    rp_list_remove(&c->connect_node);
    rp_list_remove(&c->paused_node);
    rp_list_remove(&c->flush_node);
    rp_map_remove(&g->by_sid, &c->by_sid);
    rp_assembly_drop(g, c);
    rp_request_forget_client(c);
    rp_app_drop_handshake(g, c);
    g->stats.polling -= c->wire == NULL;
    g->stats.clients--;
    g->stats.closed++;
    if (c->probe != NULL) {
        rp_wire_close(g, c->probe, 1000, "the session has ended");
    }
    if (c->wire != NULL) {
        rp_wire_close(g, c->wire, code, reason);
    }
    rp_poll_close(g, c);
    rp_queue_clear(&c->queue, &g->queued);
    rp_list_remove(&c->node);
    rp_list_append(&g->closed_clients, &c->node);
}

void rp_client_free(struct rp_gateway *g, struct rp_client *c) {
    rp_client_close(g, c, 0, NULL, RP_LEAVE_TRANSPORT_CLOSE);
    RP_ASSERT(c->wire == NULL && c->probe == NULL && c->get == NULL && c->post == NULL);
    rp_list_remove(&c->node);
    free(c);
}

void rp_client_bad_packet(struct rp_gateway *g, struct rp_client *c, const char *why) {
    if (!c->closed) {
        g->stats.bad_packets++;
        rp_client_close(g, c, 1002, why, RP_LEAVE_PARSE_ERROR);
    }
}

/* ---- packets ---- */

/* It says goodbye: a poll that waits is let go with what there is. */
static void got_close(struct rp_gateway *g, struct rp_client *c) {
    rp_poll_release(g, c);
    if (c->post != NULL) {
        rp_exchange_answer(g, c->post, 200, RP_BYTES_LIT("ok"));
    }
    rp_client_close(g, c, 1000, "", RP_LEAVE_TRANSPORT_CLOSE);
}

static void got_message(struct rp_gateway *g, struct rp_client *c, struct rp_bytes packet,
                        struct rp_bytes data) {
    if (g->config.mode == RP_GATEWAY_SOCKETIO) {
        rp_packet_text(g, c, data);
    } else {
        rp_client_put_text(g, c, packet);
        rp_client_update_pause(g, c);
    }
}

void rp_client_text(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text) {
    if (c->closed || c->ending) {
        return;
    }
    g->stats.packets_in++;
    g->stats.bytes_in += text.len;
    if (g->config.mode == RP_GATEWAY_ECHO_WS) {
        got_message(g, c, text, text);
        return;
    }
    struct rp_eio_packet packet;
    if (rp_eio_parse(text, &packet) != RP_OK || !rp_eio_from_client(packet.type)) {
        rp_client_bad_packet(g, c, "not an Engine.IO packet");
        return;
    }
    switch (packet.type) {
    case RP_EIO_CLOSE:
        got_close(g, c);
        break;
    case RP_EIO_PONG:
        rp_heartbeat_pong(g, c);
        break;
    case RP_EIO_MESSAGE:
        got_message(g, c, text, packet.data);
        break;
    default: /* PING and UPGRADE belong to a probe */
        rp_client_bad_packet(g, c, "Engine.IO packet out of place");
        break;
    }
}

void rp_client_binary(struct rp_gateway *g, struct rp_client *c, struct rp_bytes data) {
    if (c->closed || c->ending) {
        return;
    }
    g->stats.packets_in++;
    g->stats.bytes_in += data.len;
    if (g->config.mode == RP_GATEWAY_SOCKETIO) {
        rp_packet_binary(g, c, data);
    } else {
        rp_client_put(g, c, rp_ws_frame(RP_WS_BINARY, data));
        rp_client_update_pause(g, c);
    }
}

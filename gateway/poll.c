/* gateway/poll.c — HTTP long-polling (Engine.IO protocol 4): a GET waits for packets for the
 * client, a POST brings packets of it.
 *
 * A session has at most one of each under way; a second one ends it, for nobody could say any more
 * in which order packets go. A GET takes at most RP_POLL_PACKETS_MAX packets. A POST is heard
 * packet by packet and answered when all were taken: a client that is paused stays with the rest of
 * it. */
#include "gateway/core.h"
#include "gateway/frames.h"
#include "proto/eio_payload.h"

#include <stdlib.h>

/* ---- exchanges ---- */

struct rp_exchange *rp_exchange_new(struct rp_gateway *g, void *shell) {
    struct rp_exchange *x = RP_NEW(struct rp_exchange);
    x->shell = shell;
    rp_buf_init(&x->body, RP_LINK_MESSAGE_BYTES_MAX);
    g->exchanges_count++;
    g->stats.polls++;
    return x;
}

/* A client that is still taking an answer is alive; whether it takes enough is the shell's
 * business. */
static void forget_receiver(struct rp_client *c) {
    if (c != NULL && c->answering != NULL) {
        c->answering->receiver = NULL;
        c->answering = NULL;
    }
}

static void note_receiver(struct rp_exchange *x, struct rp_client *c) {
    forget_receiver(c);
    if (x->shell != NULL) {
        x->receiver = c;
        c->answering = x;
    }
}

void rp_exchange_free(struct rp_gateway *g, struct rp_exchange *x) {
    RP_ASSERT(x->client == NULL && x->relay == NULL);
    forget_receiver(x->receiver);
    rp_exchange_unpark(g, x);
    rp_list_remove(&x->node);
    rp_buf_done(&x->body);
    g->exchanges_count--;
    free(x);
}

void rp_exchange_keep_sid(struct rp_exchange *x, struct rp_bytes sid) {
    x->sid_len = sid.len <= sizeof x->sid ? (uint8_t) sid.len : 0;
    if (x->sid_len > 0) {
        memcpy(x->sid, sid.data, x->sid_len);
    }
}

static void forget_client(struct rp_exchange *x) {
    if (x->client != NULL) {
        struct rp_exchange **place = x->is_get ? &x->client->get : &x->client->post;
        RP_ASSERT(*place == x);
        *place = NULL;
        x->client = NULL;
    }
}

bool rp_exchange_park(struct rp_gateway *g, struct rp_exchange *x) {
    x->parked = x->body.capacity;
    g->parked_bytes += x->parked;
    return g->parked_bytes <= g->config.budget.parked;
}

void rp_exchange_unpark(struct rp_gateway *g, struct rp_exchange *x) {
    g->parked_bytes -= x->parked;
    x->parked = 0;
}

/* What is in the body is the answer. */
static void answered(struct rp_gateway *g, struct rp_exchange *x, int status) {
    RP_ASSERT(x->status == 0);
    forget_client(x);
    x->status = status;
    if (x->shell != NULL) {
        rp_list_append(&g->answered, &x->node);
    } else if (!rp_relay_answer(g, x)) {
        rp_list_append(&g->blocked_answers, &x->node);
    }
}

void rp_exchange_answer(struct rp_gateway *g, struct rp_exchange *x, int status,
                        struct rp_bytes body) {
    rp_exchange_unpark(g, x);
    rp_buf_release(&x->body);
    enum rp_err err = rp_buf_put(&x->body, body);
    RP_ASSERT(err == RP_OK); /* no longer than a message between processes */
    answered(g, x, status);
}

void rp_exchange_answer_error(struct rp_gateway *g, struct rp_exchange *x,
                              enum rp_eio_error error) {
    rp_exchange_unpark(g, x);
    rp_buf_release(&x->body);
    enum rp_err err = rp_eio_put_error(&x->body, error);
    RP_ASSERT(err == RP_OK);
    answered(g, x, rp_eio_error_status(error));
}

void *rp_exchange_shell(const struct rp_exchange *x) {
    return x->shell;
}

int rp_exchange_status(const struct rp_exchange *x) {
    return x->status;
}

struct rp_bytes rp_exchange_body(const struct rp_exchange *x) {
    return rp_buf_bytes(&x->body);
}

struct rp_bytes rp_exchange_sid(const struct rp_exchange *x) {
    return rp_bytes(x->sid, x->is_open && x->status == 200 ? x->sid_len : 0);
}

/* ---- GET ---- */

/* Appends a frame as a packet of a payload. */
static void put_packet(struct rp_buf *out, const struct rp_frame *f) {
    enum rp_err err = RP_OK;
    if (f->kind == RP_WS_TEXT) {
        err = rp_eio_payload_put_text(out, f->payload);
    } else if (f->kind == RP_WS_BINARY) {
        err = rp_eio_payload_put_binary(out, f->payload);
    }
    RP_ASSERT(err == RP_OK); /* a packet is much shorter than a message between processes */
}

/* Moves packets from the queue into the answer. */
static void take_packets(struct rp_gateway *g, struct rp_client *c, struct rp_buf *out) {
    struct rp_bytes first;
    for (int i = 0; i < RP_POLL_PACKETS_MAX && out->len < RP_POLL_BYTES &&
                    rp_queue_parts(&c->queue, &first, 1) > 0;
         i++) {
        struct rp_frame f = rp_frame_of(first);
        put_packet(out, &f);
        rp_queue_advance(&c->queue, &g->queued, f.len);
    }
}

void rp_poll_release(struct rp_gateway *g, struct rp_client *c) {
    struct rp_exchange *x = c->get;
    if (x == NULL) {
        return;
    }
    rp_buf_release(&x->body);
    if (c->queue.count == 0) {
        rp_exchange_answer(g, x, 200, RP_BYTES_LIT("6"));
        return;
    }
    take_packets(g, c, &x->body);
    note_receiver(x, c);
    answered(g, x, 200);
    rp_client_took(g, c);
    if (c->ending && c->queue.count == 0) {
        rp_client_close(g, c, 1000, "", RP_LEAVE_UNTOLD);
    }
}

/* A second GET or POST, or one for a client that has a WebSocket. */
static void refuse(struct rp_gateway *g, struct rp_exchange *x, struct rp_client *c,
                   bool overlaps) {
    rp_exchange_answer_error(g, x, RP_EIO_BAD_REQUEST);
    if (overlaps) {
        g->stats.overlaps++;
        rp_client_close(g, c, 1002, "two requests at once", RP_LEAVE_TRANSPORT_ERROR);
    }
}

void rp_poll_get(struct rp_gateway *g, struct rp_exchange *x, struct rp_client *c) {
    x->is_get = true;
    if (c->wire != NULL || c->get != NULL) {
        refuse(g, x, c, c->wire == NULL);
        return;
    }
    c->get = x;
    x->client = c;
    rp_client_mark_dirty(g, c);
}

/* ---- POST ---- */

static bool hear_packet(struct rp_gateway *g, struct rp_client *c, struct rp_exchange *x) {
    struct rp_bytes rest = rp_bytes_skip(rp_buf_bytes(&x->body), x->taken);
    struct rp_eio_payload_packet packet;
    if (rest.len == 0 && x->taken > 0) {
        return false;
    }
    enum rp_err err = rp_eio_payload_next(&rest, &g->decoded, &packet);
    x->taken = x->body.len - rest.len;
    if (err != RP_OK || packet.data.len > g->config.max_payload) {
        rp_client_bad_packet(g, c, "malformed payload");
    } else if (packet.is_binary) {
        rp_client_binary(g, c, packet.data);
    } else {
        rp_client_text(g, c, packet.data);
    }
    return true;
}

static void hear(struct rp_gateway *g, struct rp_client *c) {
    struct rp_exchange *x = c->post;
    while (c->post == x && !rp_client_is_paused(c) && hear_packet(g, c, x)) {
    }
    if (c->post == x && !rp_client_is_paused(c)) {
        rp_exchange_answer(g, x, 200, RP_BYTES_LIT("ok"));
    }
}

void rp_poll_post(struct rp_gateway *g, struct rp_exchange *x, struct rp_client *c) {
    if (c->wire != NULL || c->post != NULL) {
        refuse(g, x, c, c->wire == NULL);
        return;
    }
    c->post = x;
    x->client = c;
}

void rp_poll_post_body(struct rp_gateway *g, struct rp_exchange *x) {
    struct rp_client *c = x->client;
    x->has_body = true;
    if (!rp_exchange_park(g, x)) {
        g->stats.overflowed++;
        rp_client_close(g, c, 1013, "too many payloads wait to be heard", RP_LEAVE_FORCED);
        return;
    }
    if (x->body.len > g->config.max_payload || !rp_bytes_is_utf8(rp_buf_bytes(&x->body))) {
        rp_client_bad_packet(g, c, "malformed payload");
        return;
    }
    hear(g, c);
}

void rp_poll_flush(struct rp_gateway *g, struct rp_client *c) {
    if (c->post != NULL && c->post->has_body) {
        hear(g, c);
    }
    bool upgrading = c->probe != NULL && c->probe->probed;
    if (c->get != NULL && (c->queue.count > 0 || upgrading)) {
        rp_poll_release(g, c);
    }
}

void rp_poll_close(struct rp_gateway *g, struct rp_client *c) {
    forget_receiver(c);
    if (c->get != NULL) {
        rp_exchange_answer(g, c->get, 200, RP_BYTES_LIT("1"));
    }
    if (c->post != NULL) {
        rp_exchange_answer_error(g, c->post, RP_EIO_BAD_REQUEST);
    }
}

/* ---- for the shell ---- */

struct rp_exchange *rp_gateway_poll_open(struct rp_gateway *g, void *shell,
                                         struct rp_bytes handshake, uint64_t now_ms) {
    g->now_ms = now_ms;
    struct rp_client *c = rp_client_new(g, NULL, handshake);
    struct rp_exchange *x = rp_exchange_new(g, shell);
    x->is_open = x->is_get = true;
    rp_exchange_keep_sid(x, rp_bytes(c->sid, sizeof c->sid));
    x->client = c;
    c->get = x;
    rp_client_put_open(g, c);
    rp_poll_release(g, c);
    return x;
}

static void relay(struct rp_gateway *g, struct rp_exchange *x) {
    if (!rp_relay_exchange(g, x, rp_bytes(x->sid, x->sid_len))) {
        rp_exchange_answer_error(g, x, RP_EIO_UNKNOWN_SID);
    }
}

struct rp_exchange *rp_gateway_poll_get(struct rp_gateway *g, void *shell, struct rp_bytes sid,
                                        uint64_t now_ms) {
    g->now_ms = now_ms;
    struct rp_exchange *x = rp_exchange_new(g, shell);
    struct rp_client *c = rp_client_by_sid(g, sid);
    rp_exchange_keep_sid(x, sid);
    x->is_get = true;
    if (c != NULL) {
        rp_poll_get(g, x, c);
    } else {
        relay(g, x);
    }
    return x;
}

struct rp_exchange *rp_gateway_poll_post(struct rp_gateway *g, void *shell, struct rp_bytes sid,
                                         uint64_t now_ms) {
    g->now_ms = now_ms;
    struct rp_exchange *x = rp_exchange_new(g, shell);
    struct rp_client *c = rp_client_by_sid(g, sid);
    rp_exchange_keep_sid(x, sid);
    if (c != NULL) {
        rp_poll_post(g, x, c);
    } else if (!rp_relay_may(g, sid)) {
        rp_exchange_answer_error(g, x, RP_EIO_UNKNOWN_SID);
    } /* else it is relayed when it is whole */
    return x;
}

void rp_gateway_post_body(struct rp_gateway *g, struct rp_exchange *x, struct rp_buf *body,
                          uint64_t now_ms) {
    g->now_ms = now_ms;
    RP_ASSERT(x->status == 0 && !x->is_get && !x->has_body);
    x->body.data = body->data;
    x->body.len = body->len;
    x->body.capacity = body->capacity;
    rp_buf_init(body, body->max);
    x->has_body = true;
    if (x->client != NULL) {
        rp_poll_post_body(g, x);
    } else if (rp_exchange_park(g, x)) {
        relay(g, x);
    } else {
        g->stats.overflowed++;
        rp_exchange_answer_error(g, x, RP_EIO_BAD_REQUEST);
    }
}

void rp_poll_flush_all(struct rp_gateway *g) {
    struct rp_list *first;
    while ((first = rp_list_first(&g->flushable)) != NULL) {
        rp_list_remove(first);
        rp_poll_flush(g, RP_CONTAINER_OF(first, struct rp_client, flush_node));
    }
}

struct rp_exchange *rp_gateway_next_answered(struct rp_gateway *g) {
    struct rp_list *first;
    rp_poll_flush_all(g);
    if ((first = rp_list_first(&g->answered)) == NULL) {
        return NULL;
    }
    rp_list_remove(first);
    return RP_CONTAINER_OF(first, struct rp_exchange, node);
}

void rp_gateway_exchange_end(struct rp_gateway *g, struct rp_exchange *x, bool delivered,
                             uint64_t now_ms) {
    g->now_ms = now_ms;
    struct rp_client *c = x->client;
    forget_client(x);
    if (x->relay != NULL) {
        rp_relay_end(g, x->relay, true, 0, rp_bytes(NULL, 0));
    }
    if (!delivered) {
        c = c != NULL ? c : rp_client_by_sid(g, rp_bytes(x->sid, x->sid_len));
        bool lost = x->status == 0 || x->status == 200;
        if (lost && c != NULL && c->wire == NULL) {
            rp_client_close(g, c, 1001, "a poll was cut off", RP_LEAVE_TRANSPORT_ERROR);
        } else if (x->status == 200 && c == NULL && x->shell != NULL) {
            rp_relay_undelivered(g, x);
        }
    }
    rp_exchange_free(g, x);
}

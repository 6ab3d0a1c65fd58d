/* gateway/wire.c — a WebSocket, as the core sees it.
 *
 *     ACTIVE  carries its client
 *     PROBE   "2probe" → "3probe", then "5": it becomes its client's ACTIVE wire
 *     ENTRY   its client is another gateway's: every message is relayed
 *     CLOSING what is queued is still written
 *
 * A wire without a shell is the holder's end of such an ENTRY: the connection is at another
 * gateway, and its output goes there (relay.c). */
#include "gateway/core.h"
#include "gateway/frames.h"

#include <stdlib.h>

enum { PROBE_QUEUE_BYTES_MAX = 4096 }; /* "3probe" and pongs; who takes none of it is closed */

struct rp_wire *rp_wire_new(struct rp_gateway *g, void *shell, enum rp_wire_role role) {
    struct rp_wire *w = RP_NEW(struct rp_wire);
    w->shell = shell;
    w->role = (uint8_t) role;
    rp_list_append(&g->wires, &w->node);
    g->wires_count++;
    return w;
}

void rp_wire_free(struct rp_gateway *g, struct rp_wire *w) {
    RP_ASSERT(w->client == NULL && w->relay == NULL);
    rp_queue_clear(&w->queue, &g->queued);
    rp_list_remove(&w->dirty_node);
    rp_list_remove(&w->node);
    g->wires_count--;
    free(w);
}

void rp_wire_mark_dirty(struct rp_gateway *g, struct rp_wire *w) {
    if (!rp_list_is_linked(&w->dirty_node)) {
        rp_list_append(&g->dirty, &w->dirty_node);
    }
}

void rp_wire_put(struct rp_gateway *g, struct rp_wire *w, struct rp_blob *frame) {
    if (w->deflate) {
        frame = rp_frames_deflated(frame, g->config.deflate, g->config.deflate_bytes_min);
    }
    rp_queue_put(&w->queue, &g->queued, frame);
    rp_wire_mark_dirty(g, w);
}

void rp_wire_use_deflate(struct rp_wire *w) {
    w->deflate = true;
}

/* ---- beginning ---- */

struct rp_wire *rp_gateway_open(struct rp_gateway *g, void *shell, struct rp_bytes handshake,
                                uint64_t now_ms) {
    g->now_ms = now_ms;
    struct rp_wire *w = rp_wire_new(g, shell, RP_WIRE_ACTIVE);
    w->client = rp_client_new(g, w, handshake);
    if (g->config.mode != RP_GATEWAY_ECHO_WS) {
        rp_client_put_open(g, w->client);
    }
    return w;
}

void rp_wire_probe(struct rp_gateway *g, struct rp_wire *w, struct rp_client *c) {
    if (c->wire != NULL || c->probe != NULL || g->config.no_upgrades) {
        rp_wire_close(g, w, RP_WS_CLOSE_NONE, NULL);
        return;
    }
    w->role = RP_WIRE_PROBE;
    w->client = c;
    c->probe = w;
    w->probe_deadline_ms = g->now_ms + g->config.upgrade_timeout_ms;
    rp_list_append(&g->probes, &w->probe_node);
}

struct rp_wire *rp_gateway_upgrade(struct rp_gateway *g, void *shell, struct rp_bytes sid,
                                   uint64_t now_ms) {
    g->now_ms = now_ms;
    struct rp_client *c = rp_client_by_sid(g, sid);
    struct rp_wire *w = rp_wire_new(g, shell, RP_WIRE_ENTRY);
    if (c != NULL) {
        rp_wire_probe(g, w, c);
        return w;
    }
    if (!rp_relay_wire(g, w, sid)) {
        rp_wire_free(g, w);
        return NULL;
    }
    return w;
}

bool rp_wire_is_pending(const struct rp_wire *w) {
    return w->pending;
}

bool rp_wire_is_refused(const struct rp_wire *w) {
    return w->refused;
}

/* ---- the upgrade ---- */

static void forget_probe(struct rp_wire *w) {
    rp_list_remove(&w->probe_node);
    if (w->client != NULL && w->client->probe == w) {
        w->client->probe = NULL;
        w->client = NULL;
    }
}

/* "5": long-polling has ended at the client's end, so nothing can come or go there any more. */
static void take_over(struct rp_gateway *g, struct rp_wire *w) {
    struct rp_client *c = w->client;
    if (c->post != NULL) {
        rp_client_bad_packet(g, c, "an upgrade before the end of a POST");
        return;
    }
    if (c->get != NULL) { /* it should not be there; what is queued goes by the WebSocket */
        rp_exchange_answer(g, c->get, 200, RP_BYTES_LIT("6"));
    }
    rp_list_remove(&w->probe_node);
    rp_list_remove(&c->flush_node);
    c->probe = NULL;
    c->wire = w;
    w->role = RP_WIRE_ACTIVE;
    g->stats.polling--;
    g->stats.upgrades++;
    rp_queue_move(&w->queue, &c->queue, &g->queued);
    rp_wire_mark_dirty(g, w);
    if (c->ending) {
        rp_client_close(g, c, 1000, "", RP_LEAVE_UNTOLD);
    }
}

static void probe_message(struct rp_gateway *g, struct rp_wire *w, bool is_text,
                          struct rp_bytes data) {
    if (is_text && !w->probed && rp_bytes_eq_str(data, "2probe")) {
        w->probed = true;
        rp_client_update_pause(g, w->client);
        rp_wire_put(g, w, rp_ws_frame(RP_WS_TEXT, RP_BYTES_LIT("3probe")));
        rp_poll_release(g, w->client);
    } else if (is_text && w->probed && rp_bytes_eq_str(data, "5")) {
        take_over(g, w);
    } else {
        g->stats.upgrades_failed++;
        rp_wire_close(g, w, 1002, "not what an upgrade consists of");
    }
}

/* ---- input ---- */

void rp_wire_message(struct rp_gateway *g, struct rp_wire *w, bool is_text, struct rp_bytes data) {
    switch ((enum rp_wire_role) w->role) {
    case RP_WIRE_ACTIVE:
        if (is_text) {
            rp_client_text(g, w->client, data);
        } else {
            rp_client_binary(g, w->client, data);
        }
        break;
    case RP_WIRE_PROBE:
        probe_message(g, w, is_text, data);
        break;
    case RP_WIRE_ENTRY:
        rp_relay_message(g, w->relay, is_text, data);
        break;
    case RP_WIRE_CLOSING:
        break;
    }
}

void rp_gateway_text(struct rp_gateway *g, struct rp_wire *w, struct rp_bytes text,
                     uint64_t now_ms) {
    g->now_ms = now_ms;
    rp_wire_message(g, w, true, text);
}

void rp_gateway_binary(struct rp_gateway *g, struct rp_wire *w, struct rp_bytes data,
                       uint64_t now_ms) {
    g->now_ms = now_ms;
    rp_wire_message(g, w, false, data);
}

void rp_gateway_put_frame(struct rp_gateway *g, struct rp_wire *w, struct rp_blob *frame) {
    if (w->role == RP_WIRE_CLOSING) {
        rp_blob_unref(frame);
    } else if (w->role == RP_WIRE_ACTIVE) {
        rp_client_put(g, w->client, frame);
    } else {
        size_t bytes_max =
            w->role == RP_WIRE_PROBE ? PROBE_QUEUE_BYTES_MAX : RP_CLIENT_QUEUE_BYTES_MAX;
        rp_wire_put(g, w, frame);
        if (rp_queue_cost(&w->queue) > bytes_max) {
            rp_wire_close(g, w, 1013, "too slow: the limit of unsent output is reached");
        }
    }
}

/* ---- output ---- */

void *rp_wire_shell(const struct rp_wire *w) {
    return w->shell;
}

size_t rp_wire_output(const struct rp_wire *w, struct rp_bytes *ret_parts, size_t max) {
    return rp_queue_parts(&w->queue, ret_parts, max);
}

bool rp_wire_has_output(const struct rp_wire *w) {
    return w->queue.count > 0;
}

void rp_gateway_sent(struct rp_gateway *g, struct rp_wire *w, size_t bytes, uint64_t now_ms) {
    g->now_ms = now_ms;
    if (bytes == 0) {
        return;
    }
    rp_queue_advance(&w->queue, &g->queued, bytes);
    if (w->role == RP_WIRE_ACTIVE) {
        rp_client_took(g, w->client);
    } else if (w->role == RP_WIRE_ENTRY) {
        rp_relay_sent(g, w->relay);
    }
}

bool rp_wire_wants_read(const struct rp_wire *w) {
    switch ((enum rp_wire_role) w->role) {
    case RP_WIRE_ACTIVE:
        return !rp_client_is_paused(w->client);
    case RP_WIRE_ENTRY:
        return !w->pending && rp_relay_wants_read(w->relay);
    default:
        return true;
    }
}

bool rp_wire_is_closing(const struct rp_wire *w) {
    return w->role == RP_WIRE_CLOSING;
}

struct rp_wire *rp_gateway_next_dirty(struct rp_gateway *g) {
    struct rp_list *first;
    rp_poll_flush_all(g); /* which may close probes */
    while ((first = rp_list_first(&g->dirty)) != NULL) {
        struct rp_wire *w = RP_CONTAINER_OF(first, struct rp_wire, dirty_node);
        rp_list_remove(first);
        if (w->shell != NULL) {
            return w;
        }
        rp_relay_flush(g, w);
    }
    return NULL;
}

/* ---- the end ---- */

void rp_wire_drop_output(struct rp_gateway *g, struct rp_wire *w) {
    w->cut = w->queue.sent > 0;
    rp_queue_clear(&w->queue, &g->queued);
}

void rp_wire_drop_closing_output(struct rp_gateway *g) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->wires, it, tmp) {
        struct rp_wire *w = RP_CONTAINER_OF(it, struct rp_wire, node);
        if (w->role == RP_WIRE_CLOSING && w->queue.count > 0) {
            rp_wire_drop_output(g, w);
            rp_wire_mark_dirty(g, w);
        }
    }
}

void rp_wire_close(struct rp_gateway *g, struct rp_wire *w, uint16_t code, const char *reason) {
    if (w->role == RP_WIRE_CLOSING) {
        return;
    }
    w->pending = false;
    forget_probe(w);
    if (w->client != NULL) {
        w->client->wire = NULL; /* it is closing us, and is freed soon */
        w->client = NULL;
    }
    if (w->role == RP_WIRE_ENTRY && w->relay != NULL) {
        rp_relay_end(g, w->relay, true, 0, rp_bytes(NULL, 0));
    }
    w->role = RP_WIRE_CLOSING;
    if (code != 0 && !w->cut) {
        rp_queue_put(&w->queue, &g->queued, rp_ws_close_frame(code, reason));
    }
    rp_wire_mark_dirty(g, w);
}

void rp_gateway_close(struct rp_gateway *g, struct rp_wire *w, uint16_t code, const char *reason,
                      enum rp_leave why, uint64_t now_ms) {
    g->now_ms = now_ms;
    if (w->role == RP_WIRE_ACTIVE) {
        rp_client_close(g, w->client, code, reason, why);
    } else {
        rp_wire_close(g, w, code, reason);
    }
}

void rp_gateway_gone(struct rp_gateway *g, struct rp_wire *w, uint64_t now_ms) {
    rp_gateway_close(g, w, 0, NULL, RP_LEAVE_TRANSPORT_CLOSE, now_ms);
    if (w->relay != NULL) {
        rp_relay_end(g, w->relay, true, 0, rp_bytes(NULL, 0));
    }
    rp_wire_free(g, w);
}

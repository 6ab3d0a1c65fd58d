/* gateway/app.c — what app workers ask of clients: who they are (handshakes), what they answer, and
 * that they go.
 *
 * A handshake is kept only while some namespace is served by workers, or as long as the broker has
 * not said whether one is: else an idle connection would cost half as much again. What one request
 * was is one blob, shared by the client and its sockets; what a CONNECT said is its socket's. */
#include "gateway/core.h"
#include "gateway/handshake.h"

#include "common/assert.h"
#include "proto/attachments.h"

#include <assert.h>

static_assert((int) RP_HANDSHAKE_LEAST_BYTES <= (int) RP_HANDSHAKE_BYTES_MIN &&
                  (int) RP_HANDSHAKE_BYTES_MIN <= (int) RP_HANDSHAKE_REQUEST_BYTES_MAX,
              "every client may have a handshake");

/* ---- handshakes ---- */

static bool wants_handshakes(const struct rp_gateway *g) {
    return g->config.mode == RP_GATEWAY_SOCKETIO && (g->apps_count > 0 || !g->apps_known);
}

/* What one client may add: the less, the more is kept. */
static size_t bytes_bound(const struct rp_gateway *g, size_t max) {
    size_t kept = g->handshakes_bytes, all = g->config.budget.handshakes;
    size_t share = (kept < all ? all - kept : 0) / 256;
    share = share > RP_HANDSHAKE_BYTES_MIN ? share : RP_HANDSHAKE_BYTES_MIN;
    return share < max ? share : max;
}

size_t rp_gateway_handshake_bytes(const struct rp_gateway *g) {
    return wants_handshakes(g) ? bytes_bound(g, RP_HANDSHAKE_REQUEST_BYTES_MAX) : 0;
}

static struct rp_blob *keep(struct rp_gateway *g, struct rp_bytes bytes) {
    struct rp_blob *blob = rp_blob_new(bytes.len);
    memcpy(blob->data, bytes.data, bytes.len);
    g->handshakes_bytes += bytes.len;
    return blob;
}

static struct rp_blob *drop(struct rp_gateway *g, struct rp_blob *blob) {
    if (blob != NULL && blob->refs == 1) {
        g->handshakes_bytes -= blob->len;
    }
    return rp_blob_unref(blob);
}

void rp_app_keep_handshake(struct rp_gateway *g, struct rp_client *c,
                           struct rp_bytes request_part) {
    RP_ASSERT(request_part.len <= RP_HANDSHAKE_REQUEST_BYTES_MAX);
    if (request_part.len > 0 && wants_handshakes(g)) {
        c->handshake = keep(g, request_part);
    }
}

bool rp_app_share_handshake(struct rp_gateway *g, struct rp_socket *s, struct rp_bytes payload) {
    if (s->client->handshake == NULL) {
        return true;
    }
    s->handshake = rp_blob_ref(s->client->handshake);
    struct rp_buf auth;
    rp_buf_init(&auth, RP_HANDSHAKE_BYTES_MAX);
    bool valid = rp_handshake_put_auth(&auth, payload) == RP_OK && auth.len > strlen("{}");
    bool fits = !valid || auth.len <= bytes_bound(g, RP_HANDSHAKE_BYTES_MAX);
    if (valid && fits) {
        s->auth = keep(g, rp_buf_bytes(&auth));
    }
    rp_buf_done(&auth);
    return fits;
}

void rp_app_drop_handshake(struct rp_gateway *g, struct rp_client *c) {
    c->handshake = drop(g, c->handshake);
}

void rp_app_drop_socket_handshake(struct rp_gateway *g, struct rp_socket *s) {
    s->handshake = drop(g, s->handshake);
    s->auth = drop(g, s->auth);
}

struct rp_bytes rp_app_handshake(struct rp_gateway *g, const struct rp_socket *s) {
    rp_buf_clear(&g->names);
    if (s->handshake != NULL) {
        struct rp_bytes auth = s->auth != NULL ? rp_blob_bytes(s->auth) : rp_bytes(NULL, 0);
        rp_handshake_put(&g->names, rp_blob_bytes(s->handshake), auth);
    }
    return rp_buf_bytes(&g->names);
}

void rp_app_got_apps(struct rp_gateway *g, const struct rp_op_apps *op) {
    g->apps_known = true;
    g->apps_count = op->count;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->clients, it, tmp) {
        if (op->count > 0) {
            return;
        }
        rp_app_drop_handshake(g, RP_CONTAINER_OF(it, struct rp_client, node));
    }
}

/* ---- acks ---- */

/* Whether a worker's answer can be rendered: an array, and placeholders for its attachments. */
static bool is_answer(const struct rp_op_answer *op) {
    struct rp_bytes value;
    size_t count;
    return op->args.len + op->attachments.len <= RP_PACKET_BYTES_MAX &&
           rp_bytes_is_utf8(op->args) && rp_json_whole(op->args, &value) == RP_OK &&
           value.len == op->args.len && rp_json_kind(value) == RP_JSON_ARRAY &&
           rp_attachments_count(op->attachments, &count) == RP_OK &&
           (count == 0 || rp_sio_placeholders_valid(value, count));
}

void rp_app_got_answer(struct rp_gateway *g, const struct rp_op_answer *op) {
    struct rp_request *request = rp_request_find(g, op->num);
    if (request == NULL || request->kind != RP_OP_EVENT) {
        return; /* answered before */
    }
    struct rp_socket *s = request->socket;
    if (!is_answer(op)) {
        g->stats.malformed_messages++;
    } else if (s != NULL && request->has_ack) {
        struct rp_bytes elements = rp_bytes(op->args.data + 1, op->args.len - 2);
        struct rp_blob *frame =
            rp_encode_ack(g, s->nsp->name, request->ack_id, elements, op->attachments);
        if (frame != NULL) {
            rp_socket_answer(g, s, frame, g->seen);
        }
    }
    rp_request_free(g, request);
}

void rp_app_client_ack(struct rp_gateway *g, struct rp_socket *s, uint64_t id, struct rp_bytes args,
                       struct rp_bytes attachments) {
    uint64_t newest = g->seen > s->pos ? g->seen : s->pos;
    if (s->app == 0 || id == 0 || id > newest) {
        return; /* nothing was asked by this id */
    }
    struct rp_op op = {.kind = RP_OP_ACKED,
                       .acked = {.session = s->session,
                                 .conn = s->conn,
                                 .seq = id,
                                 .args = args,
                                 .attachments = attachments}};
    struct rp_request_options options = {.socket = s};
    g->stats.client_acks++;
    rp_request_add(g, &op, &options);
}

/* ---- kicks ---- */

/* The client is told that it is not in the namespace any more. */
static void say_goodbye(struct rp_gateway *g, struct rp_socket *s) {
    rp_client_put(g, s->client, rp_encode_disconnect(g, s->nsp->name));
}

/* Ends the transport when what is queued was taken. A client that polls and does not come to take
 * it has as long as one that does not connect. */
static void end_transport(struct rp_gateway *g, struct rp_client *c) {
    if (c->wire != NULL) {
        rp_client_close(g, c, 1000, "", RP_LEAVE_UNTOLD);
        return;
    }
    c->ending = true;
    rp_client_put_text(g, c, RP_BYTES_LIT("1"));
    if (!c->closed) {
        rp_heartbeat_await_connect(g, c);
    }
}

void rp_app_got_kicked(struct rp_gateway *g, const struct rp_op_kicked *op) {
    struct rp_socket *s = rp_socket_find(g, op->conn);
    if (s == NULL) {
        return;
    }
    struct rp_client *c = s->client;
    g->stats.kicked++;
    say_goodbye(g, s);
    rp_socket_leave(g, s, RP_LEAVE_UNTOLD); /* its session is gone already */
    struct rp_list *first;
    while (op->transport && (first = rp_list_first(&c->sockets)) != NULL) {
        s = RP_CONTAINER_OF(first, struct rp_socket, node);
        if (rp_socket_is_connected(s)) {
            say_goodbye(g, s); /* which may close the client: then it has left already */
        }
        rp_socket_leave(g, s, RP_LEAVE_SERVER_DISCONNECT);
    }
    if (op->transport && !c->closed) {
        end_transport(g, c);
    } else if (!c->closed && c->sockets_count == 0) {
        rp_heartbeat_await_connect(g, c);
    }
}

/* gateway/socket.c — a client in one namespace: its session with the broker.
 *
 *     CONNECT ──► CONNECTING ──CONNECTED──► LIVE ◄──────► CATCHING        any ──► LEFT
 *
 * A client may have several, one per namespace; they share its transport and nothing else. */
#include "gateway/core.h"

#include <openssl/sha.h>
#include <stdlib.h>

#include "common/pattern.h"

/* ---- finding ---- */

struct rp_socket *rp_socket_find(const struct rp_gateway *g, uint64_t conn) {
    uint64_t hash = rp_hash_u64(conn);
    for (struct rp_map_node *n = rp_map_first(&g->by_conn, hash); n; n = rp_map_next(n, hash)) {
        struct rp_socket *s = RP_CONTAINER_OF(n, struct rp_socket, by_conn);
        if (s->conn == conn) {
            return s;
        }
    }
    return NULL;
}

struct rp_socket *rp_socket_of(const struct rp_client *c, struct rp_bytes nsp) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->sockets, it, tmp) {
        struct rp_socket *s = RP_CONTAINER_OF(it, struct rp_socket, node);
        if (rp_bytes_eq(s->nsp->name, nsp)) {
            return s;
        }
    }
    return NULL;
}

/* ---- beginning ---- */

static struct rp_socket *socket_new(struct rp_gateway *g, struct rp_client *c, struct rp_bytes nsp,
                                    bool listed) {
    struct rp_socket *s = RP_NEW(struct rp_socket);
    s->client = c;
    s->nsp = rp_nsp_ref(&g->nsps, nsp);
    s->listed = listed;
    rp_list_init(&s->requests);
    rp_list_init(&s->held);
    rp_list_append(&c->sockets, &s->node);
    c->sockets_count++;
    rp_gateway_random_id(g, s->pid, sizeof s->pid);
    return s;
}

/* A string of the CONNECT payload, decoded into space. Missing: empty. Not a string, or too long:
 * "?", which is no offset and no pid. */
static struct rp_bytes auth_string(struct rp_bytes payload, const char *name, char *space,
                                   size_t space_len) {
    struct rp_json_iter it = rp_json_iter_object(payload);
    struct rp_bytes key, value, found = {0};
    while (rp_json_iter_next(&it, &key, &value)) {
        if (!rp_json_key_is(key, name)) {
            continue;
        }
        struct rp_buf text;
        rp_buf_init(&text, space_len);
        if (rp_json_string_decode(value, &text) == RP_OK && text.len > 0) {
            memcpy(space, text.data, text.len);
            found = rp_bytes(space, text.len);
        } else if (rp_json_kind(value) != RP_JSON_NULL) {
            found = RP_BYTES_LIT("?");
        }
        rp_buf_done(&text);
    }
    return found;
}

static void hash_pid(struct rp_bytes pid, uint8_t ret_hash[RP_PID_HASH_BYTES]) {
    SHA256(pid.data, pid.len, ret_hash);
}

static void ask_broker(struct rp_gateway *g, struct rp_socket *s, struct rp_bytes pid,
                       struct rp_bytes offset) {
    char sid[RP_ID_CHARS];
    uint8_t hash[RP_PID_HASH_BYTES], resume_hash[RP_PID_HASH_BYTES];
    rp_gateway_random_id(g, sid, sizeof sid);
    hash_pid(rp_bytes(s->pid, sizeof s->pid), hash);
    struct rp_op op = {.kind = RP_OP_CONNECT,
                       .connect = {.nsp = s->nsp->name,
                                   .sid = rp_bytes(sid, sizeof sid),
                                   .pid_hash = rp_bytes(hash, sizeof hash),
                                   .offset = offset,
                                   .listed = s->listed,
                                   .handshake = rp_app_handshake(g, s)}};
    if (pid.len > 0) {
        hash_pid(pid, resume_hash);
        op.connect.resume_hash = rp_bytes(resume_hash, sizeof resume_hash);
    }
    /* the pid presented becomes the socket's own again if the session is recovered */
    struct rp_request_options options = {.socket = s, .room = pid};
    rp_request_add(g, &op, &options);
}

static bool is_allowed(const struct rp_gateway *g, struct rp_bytes nsp) {
    return g->config.namespaces != NULL ? rp_patterns_match(g->config.namespaces, nsp)
                                        : rp_bytes_eq_str(nsp, "/");
}

static void refuse(struct rp_gateway *g, struct rp_client *c, struct rp_bytes nsp,
                   struct rp_bytes message, struct rp_bytes data) {
    g->stats.refused_connects++;
    rp_client_put(g, c, rp_encode_connect_error(g, nsp, message, data));
}

void rp_socket_connect(struct rp_gateway *g, struct rp_client *c,
                       const struct rp_sio_packet *packet) {
    if (!rp_sio_nsp_valid(packet->nsp)) {
        rp_client_bad_packet(g, c, "malformed namespace");
        return;
    }
    if (rp_socket_of(c, packet->nsp) != NULL) {
        rp_client_bad_packet(g, c, "CONNECT twice");
        return;
    }
    bool listed = is_allowed(g, packet->nsp); /* others the broker may know: app workers' */
    if (!listed && c->unlisted_refused >= RP_CLIENT_UNLISTED_MAX) {
        refuse(g, c, packet->nsp, RP_BYTES_LIT("Invalid namespace"), rp_bytes(NULL, 0));
        return;
    }
    if (c->sockets_count >= RP_CLIENT_SOCKETS_MAX) {
        refuse(g, c, packet->nsp, RP_BYTES_LIT("too many namespaces"), rp_bytes(NULL, 0));
        return;
    }
    char pid_space[RP_OFFSET_BYTES_MAX], offset_space[RP_OFFSET_BYTES_MAX];
    struct rp_bytes pid = auth_string(packet->payload, "pid", pid_space, sizeof pid_space);
    struct rp_bytes offset =
        auth_string(packet->payload, "offset", offset_space, sizeof offset_space);
    if (pid.len != RP_ID_CHARS || g->config.no_recovery) {
        pid = rp_bytes(NULL, 0); /* none of ours */
    }
    if (g->connects_bytes >= RP_CONNECTS_BYTES_MAX) {
        rp_client_close(g, c, 1013, "too many wait to connect", RP_LEAVE_FORCED_SERVER);
        return;
    }
    struct rp_socket *s = socket_new(g, c, packet->nsp, listed);
    if (!rp_app_share_handshake(g, s, packet->payload)) {
        /* without its credentials it would be refused for good; there may be room another time */
        g->stats.overflowed++;
        rp_client_close(g, c, 1013, "too many handshakes are kept", RP_LEAVE_FORCED);
        return;
    }
    ask_broker(g, s, pid, offset);
}

void rp_socket_refused(struct rp_gateway *g, struct rp_socket *s, struct rp_bytes message,
                       struct rp_bytes data) {
    struct rp_client *c = s->client;
    RP_ASSERT(s->state == RP_SOCKET_CONNECTING);
    refuse(g, c, s->nsp->name, message, data);
    if (c->closed) {
        return; /* by a packet too much */
    }
    rp_socket_leave(g, s, RP_LEAVE_UNTOLD);
    if (c->sockets_count == 0 && !rp_list_is_linked(&c->connect_node)) {
        rp_heartbeat_await_connect(g, c); /* the others were left meanwhile */
    }
}

void rp_socket_connected(struct rp_gateway *g, struct rp_socket *s,
                         const struct rp_op_connected *op) {
    RP_ASSERT(s->state == RP_SOCKET_CONNECTING);
    s->session = op->session;
    s->conn = op->conn;
    s->pos = op->pos;
    s->state = op->recovered ? RP_SOCKET_CATCHING : RP_SOCKET_LIVE;
    s->app = op->app <= UINT8_MAX ? (uint8_t) op->app : RP_OP_APP;
    s->owing = op->recovered && op->app != 0;
    if (op->app == 0) {
        rp_app_drop_socket_handshake(g, s);
    }
    rp_map_add(&g->by_conn, &s->by_conn, rp_hash_u64(s->conn));
    rp_list_remove(&s->client->connect_node);
    g->stats.sessions++;
    g->stats.connected_total++;
    g->stats.recovered_total += op->recovered != 0;
    rp_client_put(g, s->client,
                  rp_encode_connect(g, s->nsp->name, op->sid, rp_bytes(s->pid, sizeof s->pid)));
}

/* ---- the end ---- */

static void drop_held(struct rp_gateway *g, struct rp_socket *s) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&s->held, it, tmp) {
        struct rp_held_answer *held = RP_CONTAINER_OF(it, struct rp_held_answer, node);
        rp_list_remove(it);
        rp_client_let_go(g, s->client, held->frame);
        rp_blob_unref(held->frame);
        free(held);
    }
}

static const char *const leave_texts[] = {
    [RP_LEAVE_CLIENT_DISCONNECT] = "client namespace disconnect",
    [RP_LEAVE_SERVER_DISCONNECT] = "server namespace disconnect",
    [RP_LEAVE_TRANSPORT_CLOSE] = "transport close",
    [RP_LEAVE_TRANSPORT_ERROR] = "transport error",
    [RP_LEAVE_PING_TIMEOUT] = "ping timeout",
    [RP_LEAVE_PARSE_ERROR] = "parse error",
    [RP_LEAVE_FORCED_SERVER] = "forced server close",
    [RP_LEAVE_SHUTTING_DOWN] = "server shutting down",
    [RP_LEAVE_FORCED] = "forced close",
};

const char *rp_leave_text(enum rp_leave why) {
    RP_ASSERT((size_t) why < sizeof leave_texts / sizeof *leave_texts);
    return leave_texts[why];
}

enum rp_leave rp_leave_of(struct rp_bytes text) {
    for (size_t i = 0; i < sizeof leave_texts / sizeof *leave_texts; i++) {
        if (rp_bytes_eq_str(text, leave_texts[i])) {
            return (enum rp_leave) i;
        }
    }
    return RP_LEAVE_FORCED;
}

void rp_socket_leave(struct rp_gateway *g, struct rp_socket *s, enum rp_leave why) {
    if (s->state == RP_SOCKET_LEFT) {
        return;
    }
    bool connected = rp_socket_is_connected(s);
    s->state = RP_SOCKET_LEFT;
    rp_fanout_leave_all(&g->fanout, s);
    if (connected) {
        rp_map_remove(&g->by_conn, &s->by_conn);
        g->stats.sessions--;
    }
    rp_request_forget_socket(s);
    drop_held(g, s);
    rp_app_drop_socket_handshake(g, s);
    s->page = 0;
    s->client->sockets_count--;
    rp_nsp_unref(&g->nsps, s->nsp);
    s->nsp = NULL;
    rp_list_remove(&s->node);
    rp_list_append(&g->left_sockets, &s->node);
    if (connected && why != RP_LEAVE_UNTOLD) {
        bool ended = why == RP_LEAVE_CLIENT_DISCONNECT || why == RP_LEAVE_SERVER_DISCONNECT;
        rp_broker_close_session(g, s->client->closed ? NULL : s->client, s->session, s->conn,
                                ended || (s->client->closed && g->config.no_recovery), why);
    }
}

void rp_socket_free(struct rp_socket *s) {
    RP_ASSERT(s->state == RP_SOCKET_LEFT);
    rp_list_remove(&s->node);
    free(s);
}

/* ---- answers ---- */

void rp_socket_answer(struct rp_gateway *g, struct rp_socket *s, struct rp_blob *frame,
                      uint64_t seq) {
    if (s->state != RP_SOCKET_CATCHING || seq <= s->pos) {
        rp_client_put(g, s->client, frame);
        return;
    }
    struct rp_held_answer *held = RP_NEW(struct rp_held_answer);
    held->seq = seq;
    held->frame = frame;
    rp_list_append(&s->held, &held->node);
    rp_client_hold(g, s->client, frame); /* which may close it */
}

void rp_socket_release_held(struct rp_gateway *g, struct rp_socket *s) {
    struct rp_list ready, *it, *tmp; /* apart: putting one may be too much, and drops the rest */
    rp_list_init(&ready);
    RP_LIST_FOR(&s->held, it, tmp) {
        struct rp_held_answer *held = RP_CONTAINER_OF(it, struct rp_held_answer, node);
        if (s->state != RP_SOCKET_CATCHING || held->seq <= s->pos) {
            rp_list_remove(it);
            rp_list_append(&ready, it);
        }
    }
    while ((it = rp_list_first(&ready)) != NULL) {
        struct rp_held_answer *held = RP_CONTAINER_OF(it, struct rp_held_answer, node);
        rp_list_remove(it);
        rp_client_let_go(g, s->client, held->frame);
        rp_client_put(g, s->client, held->frame);
        free(held);
    }
}

/* ---- catching up ---- */

void rp_socket_lag(struct rp_gateway *g, struct rp_socket *s) {
    RP_ASSERT(s->state == RP_SOCKET_LIVE);
    s->state = RP_SOCKET_CATCHING;
    s->pos = g->seen;
    g->stats.lagged++;
    if (g->link_state == RP_LINK_UP) { /* otherwise the next resume says so */
        struct rp_op op = {.kind = RP_OP_CATCHUP,
                           .catchup = {.session = s->session, .conn = s->conn, .pos = s->pos}};
        rp_link_put(&g->link, &op);
    }
}

void rp_socket_try_page_done(struct rp_gateway *g, struct rp_socket *s) {
    if (s->page == 0 || rp_client_queue(s->client)->bytes > g->config.queue_low_bytes) {
        return;
    }
    if (g->link_state == RP_LINK_UP) {
        struct rp_op op = {.kind = RP_OP_PAGE_DONE,
                           .page_done = {.session = s->session, .conn = s->conn, .page = s->page}};
        rp_link_put(&g->link, &op);
    }
    s->page = 0;
}

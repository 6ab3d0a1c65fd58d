/* gateway/client.c — one client's life.
 *
 *     OPEN ──40──► CONNECTING ──CONNECTED──► LIVE ◄──────► CATCHING
 *      ▲                                       │ 41            │ 41
 *      └───────────────────────────────────────┴───────────────┘        any ──► CLOSING
 *
 * The server pings; a client that does not pong in time is closed. All clients have the same
 * interval and timeout, so the next ones due stand in front of two lists and no timer is needed. A
 * client whose reading is paused cannot be heard ponging, and one that is still taking output is
 * alive: for them the timeout begins anew. */
#include "gateway/core.h"

#include "proto/ws.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEPT_FRAMES = 32 };

/* ---- output ---- */

void rp_client_mark_dirty(struct rp_gateway *g, struct rp_client *c) {
    if (!rp_list_is_linked(&c->dirty_node)) {
        rp_list_append(&g->dirty, &c->dirty_node);
    }
}

static void drop_output(struct rp_gateway *g, struct rp_client *c) {
    for (size_t i = 0; i < c->out_count; i++) {
        rp_blob_unref(c->out[c->out_from + i]);
    }
    g->stats.queued_bytes -= c->out_bytes;
    g->queued_frames -= c->out_count;
    free(c->out);
    c->out = NULL;
    c->out_from = c->out_count = c->out_capacity = c->out_sent = c->out_bytes = 0;
}

size_t rp_client_queue_cost(const struct rp_client *c) {
    return c->out_bytes + c->out_count * RP_CLIENT_FRAME_BYTES;
}

size_t rp_client_queue_bound(const struct rp_gateway *g, size_t max) {
    size_t queued = g->stats.queued_bytes + g->queued_frames * RP_CLIENT_FRAME_BYTES;
    size_t share = (queued < RP_QUEUES_BYTES_MAX ? RP_QUEUES_BYTES_MAX - queued : 0) / 8;
    return share < max ? share : max;
}

void rp_client_put(struct rp_gateway *g, struct rp_client *c, struct rp_blob *frame) {
    if (c->out_from > 0 && c->out_from + c->out_count == c->out_capacity) {
        memmove(c->out, c->out + c->out_from, c->out_count * sizeof(*c->out));
        c->out_from = 0;
    }
    c->out =
        rp_array_reserve(c->out, c->out_from + c->out_count, &c->out_capacity, sizeof(*c->out));
    if (c->out_count == 0) {
        c->drained_ms = g->now_ms;
    }
    c->out[c->out_from + c->out_count++] = frame;
    c->out_bytes += frame->len;
    g->stats.queued_bytes += frame->len;
    g->queued_frames++;
    g->stats.packets_out++;
    g->stats.bytes_out += frame->len;
    rp_client_mark_dirty(g, c);
    size_t bound = rp_client_queue_bound(g, RP_CLIENT_QUEUE_BYTES_MAX);
    size_t least = RP_PAGE_BYTES + 2 * g->config.max_payload; /* a page and an answer must fit */
    if (rp_client_queue_cost(c) > (bound > least ? bound : least) &&
        c->state != RP_CLIENT_CLOSING) {
        g->stats.overflowed++;
        rp_client_close(g, c, 1013, "too slow: the limit of unsent output is reached", true);
    }
}

void rp_client_put_text(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text) {
    rp_client_put(g, c, rp_ws_frame(RP_WS_TEXT, text));
}

void rp_gateway_put_frame(struct rp_gateway *g, struct rp_client *c, struct rp_blob *frame) {
    if (c->state == RP_CLIENT_CLOSING) {
        rp_blob_unref(frame);
        return;
    }
    rp_client_put(g, c, frame);
}

size_t rp_client_output(const struct rp_client *c, struct rp_bytes *ret_parts, size_t max) {
    size_t n = c->out_count < max ? c->out_count : max;
    for (size_t i = 0; i < n; i++) {
        ret_parts[i] = rp_blob_bytes(c->out[c->out_from + i]);
    }
    if (n > 0) {
        ret_parts[0] = rp_bytes_skip(ret_parts[0], c->out_sent);
    }
    return n;
}

bool rp_client_has_output(const struct rp_client *c) {
    return c->out_count > 0;
}

void rp_gateway_sent(struct rp_gateway *g, struct rp_client *c, size_t bytes, uint64_t now_ms) {
    g->now_ms = now_ms;
    RP_ASSERT(bytes <= c->out_bytes);
    c->out_bytes -= bytes;
    g->stats.queued_bytes -= bytes;
    c->progress = c->progress || bytes > 0;
    c->drained_ms = bytes > 0 ? now_ms : c->drained_ms;
    bytes += c->out_sent;
    while (c->out_count > 0 && bytes >= c->out[c->out_from]->len) {
        bytes -= c->out[c->out_from]->len;
        rp_blob_unref(c->out[c->out_from++]);
        c->out_count--;
        g->queued_frames--;
    }
    c->out_sent = bytes;
    if (c->out_count == 0) {
        c->out_from = 0;
        if (c->out_capacity > KEPT_FRAMES) { /* an idle client keeps a small queue only */
            free(c->out);
            c->out = NULL;
            c->out_capacity = 0;
        }
    }
    if (c->page > 0 && c->out_bytes <= g->config.queue_low_bytes) {
        rp_client_page_done(g, c);
    }
}

/* ---- answers ---- */

void rp_client_answer(struct rp_gateway *g, struct rp_client *c, struct rp_blob *frame,
                      uint64_t seq) {
    if (c->state != RP_CLIENT_CATCHING || seq <= c->pos) {
        rp_client_put(g, c, frame);
        return;
    }
    struct rp_held_answer *held = RP_NEW(struct rp_held_answer);
    held->seq = seq;
    held->frame = frame;
    rp_list_append(&c->held, &held->node);
}

static void drop_held(struct rp_client *c) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->held, it, tmp) {
        struct rp_held_answer *held = RP_CONTAINER_OF(it, struct rp_held_answer, node);
        rp_list_remove(it);
        rp_blob_unref(held->frame);
        free(held);
    }
}

void rp_client_release_held(struct rp_gateway *g, struct rp_client *c) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->held, it, tmp) {
        struct rp_held_answer *held = RP_CONTAINER_OF(it, struct rp_held_answer, node);
        if (c->state == RP_CLIENT_CATCHING && held->seq > c->pos) {
            continue;
        }
        struct rp_blob *frame = rp_blob_ref(held->frame);
        rp_list_remove(it);
        rp_blob_unref(held->frame);
        free(held);
        if (c->state == RP_CLIENT_CLOSING) {
            rp_blob_unref(frame);
            continue;
        }
        rp_client_put(g, c, frame);
        if (c->state == RP_CLIENT_CLOSING) {
            return; /* putting it was too much: closing dropped the rest */
        }
    }
}

/* ---- beginning and end ---- */

struct rp_client *rp_client_find(const struct rp_gateway *g, uint64_t conn) {
    uint64_t hash = rp_hash_u64(conn);
    for (struct rp_map_node *n = rp_map_first(&g->by_conn, hash); n; n = rp_map_next(n, hash)) {
        struct rp_client *c = RP_CONTAINER_OF(n, struct rp_client, by_conn);
        if (c->conn == conn) {
            return c;
        }
    }
    return NULL;
}

static void await_connect(struct rp_gateway *g, struct rp_client *c) {
    rp_list_remove(&c->connect_node);
    c->connect_deadline_ms = g->now_ms + g->config.connect_timeout_ms;
    rp_list_append(&g->connects, &c->connect_node);
}

static void await_ping(struct rp_gateway *g, struct rp_client *c) {
    rp_list_remove(&c->beat_node);
    c->beat_deadline_ms = g->now_ms + g->config.ping_interval_ms;
    rp_list_append(&g->pings, &c->beat_node);
    c->awaits_pong = false;
}

static void await_pong(struct rp_gateway *g, struct rp_client *c) {
    rp_list_remove(&c->beat_node);
    c->beat_deadline_ms = g->now_ms + g->config.ping_timeout_ms;
    rp_list_append(&g->pongs, &c->beat_node);
    c->awaits_pong = true;
}

struct rp_client *rp_gateway_open(struct rp_gateway *g, void *shell, uint64_t now_ms) {
    g->now_ms = now_ms;
    struct rp_client *c = RP_NEW(struct rp_client);
    c->shell = shell;
    c->state = RP_CLIENT_OPEN;
    rp_list_init(&c->requests);
    rp_list_init(&c->held);
    rp_list_append(&g->clients, &c->node);
    g->stats.opened++;
    g->stats.clients++;
    await_connect(g, c);
    await_ping(g, c);
    rp_client_update_pause(g, c);
    char sid[RP_ID_CHARS];
    rp_gateway_random_id(g, sid, sizeof sid);
    struct rp_eio_open open = {.sid = rp_bytes(sid, sizeof sid),
                               .ping_interval_ms = g->config.ping_interval_ms,
                               .ping_timeout_ms = g->config.ping_timeout_ms,
                               .max_payload = g->config.max_payload};
    rp_buf_clear(&g->scratch);
    enum rp_err err = rp_eio_put_open(&g->scratch, &open);
    RP_ASSERT(err == RP_OK);
    rp_client_put_text(g, c, rp_buf_bytes(&g->scratch));
    return c;
}

/* Leaves the session: rooms, requests, held answers. */
static void detach(struct rp_gateway *g, struct rp_client *c) {
    rp_fanout_leave_all(&g->fanout, c);
    if (rp_client_is_connected(c)) {
        rp_map_remove(&g->by_conn, &c->by_conn);
        g->stats.sessions--;
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->requests, it, tmp) {
        rp_list_remove(it);
        RP_CONTAINER_OF(it, struct rp_request, client_node)->client = NULL;
    }
    c->requests_count = c->requests_bytes = 0;
    rp_list_remove(&c->paused_node);
    drop_held(c);
    c->page = 0;
}

/* The namespace is left; ended: for good, else the session may come back. */
static void leave_session(struct rp_gateway *g, struct rp_client *c, bool tell_broker, bool ended) {
    bool tell = tell_broker && rp_client_is_connected(c);
    detach(g, c);
    if (tell) {
        rp_broker_close_session(g, c->session, c->conn, ended);
    }
}

void rp_client_close(struct rp_gateway *g, struct rp_client *c, uint16_t code, const char *reason,
                     bool tell_broker) {
    if (c->state == RP_CLIENT_CLOSING) {
        return;
    }
    leave_session(g, c, tell_broker, false);
    rp_list_remove(&c->beat_node);
    rp_list_remove(&c->connect_node);
    c->state = RP_CLIENT_CLOSING;
    if (code != 0) {
        rp_client_put(g, c, rp_ws_close_frame(code, reason));
    }
    rp_client_mark_dirty(g, c);
}

void rp_gateway_close(struct rp_gateway *g, struct rp_client *c, uint16_t code, const char *reason,
                      uint64_t now_ms) {
    g->now_ms = now_ms;
    rp_client_close(g, c, code, reason, true);
}

void rp_gateway_gone(struct rp_gateway *g, struct rp_client *c, uint64_t now_ms) {
    rp_gateway_close(g, c, 0, NULL, now_ms);
    drop_output(g, c);
    rp_list_remove(&c->dirty_node);
    rp_list_remove(&c->node);
    g->stats.closed++;
    g->stats.clients--;
    free(c);
}

void *rp_client_shell(const struct rp_client *c) {
    return c->shell;
}

bool rp_client_is_closing(const struct rp_client *c) {
    return c->state == RP_CLIENT_CLOSING;
}

/* ---- reading ---- */

bool rp_client_wants_read(const struct rp_client *c) {
    return !rp_list_is_linked(&c->paused_node);
}

/* A client may have its own maximum of unanswered requests, and less the fuller the gateway is, so
 * that the noisiest are stopped first. */
static bool is_over_bound(const struct rp_gateway *g, const struct rp_client *c) {
    size_t total = g->requests_bytes;
    size_t left = total < RP_LINK_REQUESTS_BYTES_MAX ? RP_LINK_REQUESTS_BYTES_MAX - total : 0;
    if (g->requests_full) {
        return c->state != RP_CLIENT_CLOSING;
    }
    return c->requests_count > 0 &&
           (c->requests_count >= RP_CLIENT_REQUESTS_MAX || c->requests_bytes > left / 4 ||
            c->requests_bytes >= RP_CLIENT_REQUESTS_BYTES_MAX);
}

void rp_client_update_pause(struct rp_gateway *g, struct rp_client *c) {
    bool over = is_over_bound(g, c), paused = rp_list_is_linked(&c->paused_node);
    if (over && !paused) {
        rp_list_append(&g->paused, &c->paused_node);
        g->stats.paused++;
        rp_client_mark_dirty(g, c);
    } else if (!over && paused) {
        rp_list_remove(&c->paused_node);
        if (rp_list_is_linked(&c->beat_node)) {
            await_ping(g, c);
        }
        rp_client_mark_dirty(g, c);
    }
}

/* ---- catching up ---- */

void rp_client_lag(struct rp_gateway *g, struct rp_client *c) {
    RP_ASSERT(c->state == RP_CLIENT_LIVE);
    c->state = RP_CLIENT_CATCHING;
    c->pos = g->seen;
    g->stats.lagged++;
    if (g->link_state == RP_LINK_UP) { /* otherwise the next resume says so */
        struct rp_op op = {.kind = RP_OP_CATCHUP,
                           .catchup = {.session = c->session, .conn = c->conn, .pos = c->pos}};
        rp_link_put(&g->link, &op);
    }
}

void rp_client_page_done(struct rp_gateway *g, struct rp_client *c) {
    if (g->link_state == RP_LINK_UP) {
        struct rp_op op = {.kind = RP_OP_PAGE_DONE,
                           .page_done = {.session = c->session, .conn = c->conn, .page = c->page}};
        rp_link_put(&g->link, &op);
    }
    c->page = 0;
}

/* ---- packets ---- */

static void bad_packet(struct rp_gateway *g, struct rp_client *c, const char *why) {
    g->stats.bad_packets++;
    rp_client_close(g, c, 1002, why, true);
}

static void put_connect_error(struct rp_gateway *g, struct rp_client *c, struct rp_bytes nsp,
                              const char *message) {
    rp_buf_clear(&g->scratch);
    enum rp_err err =
        rp_sio_put_connect_error(&g->scratch, nsp, rp_bytes_str(message), rp_bytes(NULL, 0));
    RP_ASSERT(err == RP_OK);
    rp_client_put_text(g, c, rp_buf_bytes(&g->scratch));
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

static void got_connect(struct rp_gateway *g, struct rp_client *c,
                        const struct rp_sio_packet *packet) {
    if (!rp_bytes_eq_str(packet->nsp, "/")) {
        if (!rp_sio_nsp_valid(packet->nsp)) {
            bad_packet(g, c, "malformed namespace");
            return;
        }
        put_connect_error(g, c, packet->nsp, "Invalid namespace");
        return;
    }
    if (c->state != RP_CLIENT_OPEN) {
        bad_packet(g, c, "CONNECT twice");
        return;
    }
    struct rp_bytes pid, offset;
    char pid_space[RP_OFFSET_BYTES_MAX], offset_space[RP_OFFSET_BYTES_MAX];
    pid = auth_string(packet->payload, "pid", pid_space, sizeof pid_space);
    offset = auth_string(packet->payload, "offset", offset_space, sizeof offset_space);
    if (pid.len != RP_ID_CHARS) {
        pid = rp_bytes(NULL, 0); /* none of ours */
    }

    char sid[RP_ID_CHARS];
    uint8_t hash[RP_PID_HASH_BYTES], resume_hash[RP_PID_HASH_BYTES];
    rp_gateway_random_id(g, sid, sizeof sid);
    rp_gateway_random_id(g, c->pid, sizeof c->pid);
    hash_pid(rp_bytes(c->pid, sizeof c->pid), hash);
    struct rp_op op = {.kind = RP_OP_CONNECT,
                       .connect = {.nsp = packet->nsp,
                                   .sid = rp_bytes(sid, sizeof sid),
                                   .pid_hash = rp_bytes(hash, sizeof hash),
                                   .offset = offset}};
    if (pid.len > 0) {
        hash_pid(pid, resume_hash);
        op.connect.resume_hash = rp_bytes(resume_hash, sizeof resume_hash);
    }
    /* the pid presented becomes the client's own again if the session is recovered */
    struct rp_request_options options = {.client = c, .room = pid};
    c->state = RP_CLIENT_CONNECTING;
    rp_request_add(g, &op, &options);
}

void rp_client_connected(struct rp_gateway *g, struct rp_client *c,
                         const struct rp_op_connected *op) {
    RP_ASSERT(c->state == RP_CLIENT_CONNECTING);
    c->session = op->session;
    c->conn = op->conn;
    c->pos = op->pos;
    c->state = op->recovered ? RP_CLIENT_CATCHING : RP_CLIENT_LIVE;
    rp_map_add(&g->by_conn, &c->by_conn, rp_hash_u64(c->conn));
    rp_list_remove(&c->connect_node);
    g->stats.sessions++;
    g->stats.connected_total++;
    g->stats.recovered_total += op->recovered != 0;
    rp_buf_clear(&g->scratch);
    enum rp_err err = rp_sio_put_connect(&g->scratch, RP_BYTES_LIT("/"), op->sid,
                                         rp_bytes(c->pid, sizeof c->pid));
    RP_ASSERT(err == RP_OK);
    rp_client_put_text(g, c, rp_buf_bytes(&g->scratch));
}

static void got_disconnect(struct rp_gateway *g, struct rp_client *c,
                           const struct rp_sio_packet *packet) {
    if (!rp_bytes_eq_str(packet->nsp, "/") || c->state == RP_CLIENT_OPEN) {
        return; /* not in that namespace: nothing to leave */
    }
    leave_session(g, c, true, true);
    c->state = RP_CLIENT_OPEN;
    await_connect(g, c);
}

static void got_message(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text) {
    struct rp_sio_packet packet;
    enum rp_err err = rp_sio_parse(text, &packet);
    if (err != RP_OK) {
        bad_packet(g, c, rp_strerror(err));
        return;
    }
    switch (packet.type) {
    case RP_SIO_CONNECT:
        got_connect(g, c, &packet);
        break;
    case RP_SIO_DISCONNECT:
        got_disconnect(g, c, &packet);
        break;
    case RP_SIO_EVENT:
        if (!rp_client_is_connected(c) || !rp_bytes_eq_str(packet.nsp, "/")) {
            bad_packet(g, c, "event for a namespace that is not connected");
            return;
        }
        rp_roomevent(g, c, &packet);
        break;
    case RP_SIO_ACK:
        if (!rp_client_is_connected(c)) {
            bad_packet(g, c, "ack for a namespace that is not connected");
        }
        break; /* nothing was asked: the broker's events carry no ack ids yet */
    case RP_SIO_CONNECT_ERROR:
        bad_packet(g, c, "a client does not send CONNECT_ERROR");
        break;
    case RP_SIO_BINARY_EVENT:
    case RP_SIO_BINARY_ACK:
        g->stats.bad_packets++;
        rp_client_close(g, c, 1003, "binary packets are not supported", true);
        break;
    }
}

void rp_gateway_text(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text,
                     uint64_t now_ms) {
    g->now_ms = now_ms;
    if (c->state == RP_CLIENT_CLOSING) {
        return;
    }
    g->stats.packets_in++;
    g->stats.bytes_in += text.len;
    struct rp_eio_packet packet;
    if (rp_eio_parse(text, &packet) != RP_OK || !rp_eio_from_client(packet.type)) {
        bad_packet(g, c, "not an Engine.IO packet");
        return;
    }
    switch (packet.type) {
    case RP_EIO_CLOSE:
        rp_client_close(g, c, 1000, "", true);
        break;
    case RP_EIO_PONG:
        if (c->awaits_pong) { /* one that nobody asked for must not put off the next ping */
            await_ping(g, c);
        }
        break;
    case RP_EIO_MESSAGE:
        got_message(g, c, packet.data);
        break;
    default: /* PING and UPGRADE belong to upgrades from long-polling */
        bad_packet(g, c, "Engine.IO packet out of place");
        break;
    }
}

void rp_gateway_binary(struct rp_gateway *g, struct rp_client *c, struct rp_bytes data,
                       uint64_t now_ms) {
    g->now_ms = now_ms;
    if (c->state == RP_CLIENT_CLOSING) {
        return;
    }
    g->stats.packets_in++;
    g->stats.bytes_in += data.len;
    g->stats.bad_packets++;
    rp_client_close(g, c, 1003, "binary packets are not supported", true);
}

/* ---- time ---- */

static struct rp_client *due(struct rp_list *list, uint64_t now_ms) {
    struct rp_list *first = rp_list_first(list);
    struct rp_client *c = first ? RP_CONTAINER_OF(first, struct rp_client, beat_node) : NULL;
    return c != NULL && c->beat_deadline_ms <= now_ms ? c : NULL;
}

/* A client that answers pings and takes nothing holds memory, and old events in the log. */
static bool is_stuck(const struct rp_gateway *g, const struct rp_client *c) {
    bool nothing_taken = c->out_bytes > 0 && g->now_ms >= c->drained_ms + RP_CLIENT_STUCK_MS;
    bool page_waits = c->page > 0 && g->now_ms >= c->page_since_ms + RP_CLIENT_PAGE_MS;
    return nothing_taken || page_waits;
}

static void close_stuck(struct rp_gateway *g, struct rp_client *c) {
    g->stats.overflowed++;
    rp_client_close(g, c, 1013, "too slow: output is not taken", true);
}

void rp_client_heartbeats(struct rp_gateway *g) {
    struct rp_client *c;
    while ((c = due(&g->pings, g->now_ms)) != NULL) {
        if (is_stuck(g, c)) {
            close_stuck(g, c);
            continue;
        }
        c->progress = false;
        await_pong(g, c);
        rp_client_put_text(g, c, RP_BYTES_LIT("2"));
    }
    while ((c = due(&g->pongs, g->now_ms)) != NULL) {
        if (is_stuck(g, c)) {
            close_stuck(g, c);
            continue;
        }
        bool taking_output = c->progress && c->out_bytes > 0;
        if (!rp_client_wants_read(c) || taking_output) {
            c->progress = false;
            await_pong(g, c);
            continue;
        }
        g->stats.ping_timeouts++;
        rp_client_close(g, c, 1001, "ping timeout", true);
    }
    struct rp_list *first;
    while ((first = rp_list_first(&g->connects)) != NULL) {
        c = RP_CONTAINER_OF(first, struct rp_client, connect_node);
        if (c->connect_deadline_ms > g->now_ms) {
            break;
        }
        g->stats.connect_timeouts++;
        rp_client_close(g, c, 1013, "connect timeout", true);
    }
}

/* gateway/broker.c — the gateway's end of the link: HELLO and resume, and what the broker sends.
 *
 * DOWN ──socket──► OPENING ──WELCOME──► UP. A lost link is forgotten with its socket; clients stay
 * connected, their requests wait, and the next link resumes: the sessions are listed, the requests
 * put again, and the broker sends everything after `seen`. */
#include "gateway/core.h"

#include <stdio.h>
#include <stdlib.h>

enum { RETRY_MS = 100 };

/* ---- the link's life ---- */

void rp_broker_link_down(struct rp_gateway *g, const char *why) {
    if (g->link_state == RP_LINK_DOWN) {
        return;
    }
    if (g->link_state == RP_LINK_UP) {
        snprintf(g->notice, sizeof g->notice, "the link to the broker is lost: %s", why);
        g->notice_read = false;
        g->stats.links_lost++;
    }
    g->link_state = RP_LINK_DOWN;
    g->link_close = true;
    g->retry_at_ms = g->now_ms + RETRY_MS;
    rp_link_done(&g->link);
    rp_link_init(&g->link, g->config.link_credit_bytes, g->now_ms);
    rp_request_link_lost(g);
    rp_relay_lost(g, 0);
    struct rp_map_iter it = {0};
    struct rp_map_node *n;
    while ((n = rp_map_each(&g->by_conn, &it)) != NULL) { /* pages begin anew with the next link */
        RP_CONTAINER_OF(n, struct rp_socket, by_conn)->page = 0;
    }
}

enum rp_uplink_need rp_gateway_uplink_need(struct rp_gateway *g, uint64_t now_ms) {
    if (g->link_close) {
        g->link_close = false;
        return RP_UPLINK_CLOSE;
    }
    return g->link_state == RP_LINK_DOWN && now_ms >= g->retry_at_ms ? RP_UPLINK_OPEN
                                                                     : RP_UPLINK_NONE;
}

void rp_gateway_uplink_opened(struct rp_gateway *g, uint64_t now_ms) {
    g->now_ms = now_ms;
    g->link_state = RP_LINK_OPENING;
    rp_link_done(&g->link);
    rp_link_init(&g->link, g->config.link_credit_bytes, now_ms);
    struct rp_op op = {.kind = RP_OP_HELLO,
                       .hello = {.version = RP_PROTOCOL_VERSION,
                                 .name = rp_bytes_str(g->config.name),
                                 .incarnation = g->incarnation,
                                 .epoch = rp_bytes(g->epoch, g->epoch_len),
                                 .seen = g->seen,
                                 .lowest = rp_request_lowest(g)}};
    rp_link_put(&g->link, &op);
}

void rp_gateway_uplink_lost(struct rp_gateway *g, uint64_t now_ms) {
    g->now_ms = now_ms;
    rp_broker_link_down(g, "the connection was closed");
    g->link_close = false; /* the shell knows */
}

void rp_broker_close_session(struct rp_gateway *g, struct rp_client *client, uint64_t session,
                             uint64_t conn, bool ended, enum rp_leave why) {
    struct rp_op op = {.kind = RP_OP_CLOSE,
                       .close = {.session = session,
                                 .conn = conn,
                                 .ended = ended,
                                 .reason = rp_bytes_str(rp_leave_text(why))}};
    struct rp_request_options options = {.client = client};
    rp_request_add(g, &op, &options);
}

static void send_close_retries(struct rp_gateway *g);

void rp_broker_turn(struct rp_gateway *g) {
    if (g->link_state == RP_LINK_DOWN) {
        return;
    }
    if (rp_link_is_lost(&g->link, g->now_ms)) {
        rp_broker_link_down(g, "the broker is silent");
        return;
    }
    send_close_retries(g);
    rp_request_send(g);
    bool due =
        g->ended_untold >= RP_LINK_ENDED_UNTOLD_MAX || rp_link_heartbeat_due(&g->link, g->now_ms);
    if (g->link_state == RP_LINK_UP && due) {
        g->ended_untold = 0;
        rp_link_put_heartbeat(&g->link, g->seen, rp_request_lowest(g));
    }
}

void rp_gateway_bye(struct rp_gateway *g) {
    if (g->link_state == RP_LINK_UP) {
        rp_request_send(g);
        struct rp_op op = {.kind = RP_OP_BYE, .bye = {.lowest = rp_request_lowest(g)}};
        rp_link_put(&g->link, &op);
    }
}

uint64_t rp_broker_deadline_ms(const struct rp_gateway *g) {
    if (g->link_close) {
        return g->now_ms;
    }
    switch (g->link_state) {
    case RP_LINK_DOWN:
        return g->retry_at_ms;
    case RP_LINK_OPENING: /* no heartbeats before WELCOME */
        return g->link.last_heard_ms + RP_LINK_TIMEOUT_MS;
    case RP_LINK_UP:
        break;
    }
    return rp_link_deadline_ms(&g->link);
}

bool rp_gateway_uplink_take(struct rp_gateway *g, uint64_t now_ms, struct rp_buf *ret_message) {
    rp_request_send(
        g); /* what was heard since the core's turn: relayed, kept, the rest of a POST */
    return g->link_state != RP_LINK_DOWN && rp_link_take(&g->link, now_ms, ret_message);
}

static void raise_seen(struct rp_gateway *g, uint64_t seq) {
    g->seen = seq > g->seen ? seq : g->seen;
}

/* ---- resume ---- */

/* What SESSION says of it. */
static uint64_t catching_of(const struct rp_socket *s) {
    return s->state != RP_SOCKET_CATCHING ? 0 : s->owing ? 2 : 1;
}

static void got_welcome(struct rp_gateway *g, const struct rp_op_welcome *op) {
    if (g->link_state != RP_LINK_OPENING || !rp_offset_is_epoch(op->epoch)) {
        return;
    }
    if (g->epoch_len == 0) {
        g->seen = op->head;
    }
    memcpy(g->epoch, op->epoch.data, op->epoch.len);
    g->epoch_len = op->epoch.len;
    g->link_state = RP_LINK_UP;
    g->stats.links_opened++;
    uint64_t sessions = 0;
    struct rp_map_iter it = {0};
    struct rp_map_node *n;
    while ((n = rp_map_each(&g->by_conn, &it)) != NULL) {
        const struct rp_socket *s = RP_CONTAINER_OF(n, struct rp_socket, by_conn);
        struct rp_op session = {.kind = RP_OP_SESSION,
                                .session = {.session = s->session,
                                            .conn = s->conn,
                                            .catching = catching_of(s),
                                            .pos = s->pos,
                                            .handshake = rp_app_handshake(g, s)}};
        rp_link_put(&g->link, &session);
        sessions++;
    }
    rp_request_resend(g);
    struct rp_op resumed = {.kind = RP_OP_RESUMED, .resumed = {.sessions = sessions}};
    rp_link_put(&g->link, &resumed);
}

static void note(struct rp_gateway *g, const char *what, struct rp_bytes text) {
    snprintf(g->notice, sizeof g->notice, "%s: %.*s", what, (int) (text.len < 200 ? text.len : 200),
             (const char *) text.data);
    g->notice_read = false;
}

/* A broker that stops has answered what it took, and this was its last word: another may be there
 * soon. Links that were given up begin anew at once, too. */
static void got_refused(struct rp_gateway *g, const struct rp_op_refused *op) {
    bool stopping = rp_bytes_eq_str(op->code, "stopping");
    bool passing = stopping || rp_bytes_eq_str(op->code, "relink");
    rp_broker_link_down(g, stopping ? "the broker has been stopped" : "refused");
    g->retry_at_ms = g->now_ms + (passing ? RETRY_MS : 10 * RETRY_MS);
    if (!stopping) {
        note(g, "the broker refuses this gateway", op->message);
    }
}

/* The log has nothing to resume from: clients come back one by one, and this gateway begins anew.
 */
static void got_reset(struct rp_gateway *g, const struct rp_op_reset *op) {
    g->stats.resets++;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->clients, it, tmp) {
        struct rp_client *c = RP_CONTAINER_OF(it, struct rp_client, node);
        bool polls = c->wire == NULL; /* its sid names an incarnation that is no more */
        if (!rp_list_is_empty(&c->sockets) || polls) {
            rp_client_close(g, c, 1001, "the gateway begins anew", RP_LEAVE_UNTOLD);
        }
    }
    rp_broker_link_down(g, "reset");
    note(g, "the broker asks to begin anew", op->message);
    RP_LIST_FOR(&g->requests, it, tmp) {
        rp_request_free(g, RP_CONTAINER_OF(it, struct rp_request, node));
    }
    rp_broker_forget_closes(g); /* in another log their numbers may be others' */
    g->config.random(g->config.random_ctx, &g->incarnation, sizeof g->incarnation);
    g->incarnation |= 1;
    g->epoch_len = 0;
    g->seen = 0;
}

/* ---- answers ---- */

/* It came when no workers were there, so nobody kept what they would be told: it comes again. */
static void close_unknown(struct rp_gateway *g, struct rp_client *c) {
    rp_client_close(g, c, 1012, "app workers are there now", RP_LEAVE_FORCED);
}

static void got_connected(struct rp_gateway *g, const struct rp_op_connected *op) {
    struct rp_request *request = rp_request_find(g, op->num);
    raise_seen(g, op->conn);
    if (request == NULL || request->kind != RP_OP_CONNECT) {
        return; /* answered before */
    }
    struct rp_socket *s = request->socket;
    if (s == NULL) {
        /* whoever asked is gone; of a new session nobody knows the pid */
        rp_broker_close_session(g, request->client, op->session, op->conn, !op->recovered,
                                request->client != NULL ? RP_LEAVE_CLIENT_DISCONNECT
                                                        : RP_LEAVE_TRANSPORT_CLOSE);
    } else if (op->app != 0 && s->handshake == NULL && g->apps_count > 0) {
        close_unknown(g, s->client);
        rp_broker_close_session(g, NULL, op->session, op->conn, !op->recovered, RP_LEAVE_FORCED);
    } else if (op->sid.len > RP_SID_BYTES_MAX) {
        rp_client_close(g, s->client, 1013, "the session cannot be served now",
                        RP_LEAVE_FORCED_SERVER);
    } else {
        if (op->recovered && request->room.len == RP_ID_CHARS) {
            memcpy(s->pid, request->room.data, RP_ID_CHARS);
        }
        rp_socket_connected(g, s, op);
    }
    rp_request_free(g, request);
}

/* A session's end that could not be stored: the broker must hear of it again, or the session would
 * stay for good. */
static void retry_close(struct rp_gateway *g, const struct rp_request *request) {
    struct rp_bytes in = request->encoded;
    struct rp_op op;
    enum rp_err err = rp_op_next(g->own_reader, &in, &op);
    RP_ASSERT(err == RP_OK && op.kind == RP_OP_CLOSE);
    struct rp_close_retry *retry = RP_NEW(struct rp_close_retry);
    *retry = (struct rp_close_retry){.due_ms = g->now_ms + RP_CLOSE_RETRY_MS,
                                     .session = op.close.session,
                                     .conn = op.close.conn,
                                     .ended = op.close.ended != 0,
                                     .why = rp_leave_of(op.close.reason)};
    rp_list_append(&g->close_retries, &retry->node);
}

void rp_broker_forget_closes(struct rp_gateway *g) {
    struct rp_list *first;
    while ((first = rp_list_first(&g->close_retries)) != NULL) {
        rp_list_remove(first);
        free(RP_CONTAINER_OF(first, struct rp_close_retry, node));
    }
}

static void send_close_retries(struct rp_gateway *g) {
    struct rp_list *first;
    while ((first = rp_list_first(&g->close_retries)) != NULL) {
        struct rp_close_retry *retry = RP_CONTAINER_OF(first, struct rp_close_retry, node);
        if (retry->due_ms > g->now_ms) {
            return;
        }
        rp_list_remove(first);
        rp_broker_close_session(g, NULL, retry->session, retry->conn, retry->ended, retry->why);
        free(retry);
    }
}

/* A worker's no that is about a handshake we did not keep is none. */
static void connect_failed(struct rp_gateway *g, struct rp_socket *s,
                           const struct rp_op_failed *op) {
    bool refused = rp_bytes_eq_str(op->code, "refused");
    if (refused && s->handshake == NULL && g->apps_count > 0) {
        close_unknown(g, s->client);
    } else if (refused) {
        rp_socket_refused(g, s, op->message, op->data);
    } else if (rp_bytes_eq_str(op->code, "invalid_namespace")) {
        s->client->unlisted_refused += s->client->unlisted_refused < UINT16_MAX;
        rp_socket_refused(g, s, RP_BYTES_LIT("Invalid namespace"), rp_bytes(NULL, 0));
    } else {
        rp_client_close(g, s->client, 1013, "the session cannot be served now",
                        RP_LEAVE_FORCED_SERVER);
    }
}

static void got_failed(struct rp_gateway *g, const struct rp_op_failed *op) {
    struct rp_request *request = rp_request_find(g, op->num);
    if (request == NULL) {
        return;
    }
    if (request->kind == RP_OP_CLOSE && rp_bytes_eq_str(op->code, "unavailable")) {
        retry_close(g, request);
    }
    if (request->kind == RP_OP_CONNECT && request->socket != NULL) {
        connect_failed(g, request->socket, op);
    } else if (request->kind != RP_OP_CONNECT && request->kind != RP_OP_ACKED) {
        rp_roomevent_failed(g, request, op->code, op->message);
    }
    rp_request_free(g, request);
}

static void got_done(struct rp_gateway *g, const struct rp_op_done *op) {
    struct rp_request *request = rp_request_find(g, op->num);
    if (request != NULL) {
        if (request->kind != RP_OP_EVENT) { /* whose client gets no ack */
            rp_roomevent_done(g, request, op);
        }
        rp_request_free(g, request);
    }
}

static void got_result(struct rp_gateway *g, const struct rp_op_result *op) {
    struct rp_request *request = rp_request_find(g, op->num);
    if (request != NULL) {
        rp_roomevent_result(g, request, op->json);
        rp_request_free(g, request);
    }
}

/* ---- deliveries ---- */

static void got_member(struct rp_gateway *g, const struct rp_op_member *op) {
    raise_seen(g, op->seq);
    struct rp_socket *s = rp_socket_find(g, op->conn);
    if (s == NULL) {
        return;
    }
    if (op->joined) {
        rp_fanout_join(&g->fanout, s, op->room);
    } else {
        rp_fanout_leave(&g->fanout, s, op->room);
    }
}

/* ---- catching up ---- */

static void got_joined(struct rp_gateway *g, const struct rp_op_joined *op) {
    struct rp_request *request = rp_request_find(g, op->num);
    if (request != NULL) {
        request->upto = op->upto;
    }
}

static void got_hold(struct rp_gateway *g, const struct rp_op_hold *op) {
    struct rp_socket *s = rp_socket_find(g, op->conn);
    if (s == NULL) {
        return;
    }
    if (s->state == RP_SOCKET_CATCHING) {
        /* It fell behind when the broker did not know yet: two positions, so it begins anew. */
        rp_client_close(g, s->client, 1013, "too slow", RP_LEAVE_FORCED);
        return;
    }
    s->state = RP_SOCKET_CATCHING;
    s->pos = op->pos;
}

static void count_history(struct rp_gateway *g, const struct rp_op_replay *op) {
    struct rp_request *request = rp_request_find(g, op->history);
    if (request != NULL) {
        request->progress = op->seq;
        request->oldest = request->replayed == 0 ? op->seq : request->oldest;
        request->replayed++;
        request->truncated = request->truncated || op->truncated;
    }
}

static void got_replay(struct rp_gateway *g, const struct rp_op_replay *op) {
    struct rp_socket *s = rp_socket_find(g, op->conn);
    if (s == NULL || s->state != RP_SOCKET_CATCHING) {
        return;
    }
    if (op->history > 0) {
        count_history(g, op);
    } else if (!op->again) { /* else it lies before the position */
        s->pos = op->seq;
    }
    s->owing = s->owing && op->again;
    g->stats.replayed++;
    struct rp_encode_event event = {.nsp = s->nsp->name,
                                    .name = op->name,
                                    .args = op->args,
                                    .attachments = op->attachments,
                                    .pos = op->pos,
                                    .seq = op->seq,
                                    .wants_ack = op->wants_ack != 0};
    struct rp_blob *frame = rp_encode_event(g, &event);
    if (frame != NULL) {
        rp_client_put(g, s->client, frame);
    }
    rp_socket_release_held(g, s);
}

static void got_page(struct rp_gateway *g, const struct rp_op_page *op) {
    struct rp_socket *s = rp_socket_find(g, op->conn);
    if (s == NULL || s->state != RP_SOCKET_CATCHING) {
        return;
    }
    s->owing = s->owing && op->again;
    s->pos = op->pos > s->pos && !op->again ? op->pos : s->pos;
    rp_socket_release_held(g, s);
    if (s->state == RP_SOCKET_CATCHING) {
        s->page = op->page;
        s->page_since_ms = g->now_ms;
        rp_socket_try_page_done(g, s);
    }
}

static void got_live(struct rp_gateway *g, const struct rp_op_live *op) {
    raise_seen(g, op->pos);
    struct rp_socket *s = rp_socket_find(g, op->conn);
    if (s != NULL && s->state == RP_SOCKET_CATCHING) {
        s->state = RP_SOCKET_LIVE;
        s->owing = false;
        rp_socket_release_held(g, s);
    }
}

static void got_evict(struct rp_gateway *g, uint64_t conn, const char *reason) {
    struct rp_socket *s = rp_socket_find(g, conn);
    if (s != NULL) {
        g->stats.evicted++;
        rp_client_close(g, s->client, 1001, reason, RP_LEAVE_FORCED);
    }
}

static void operation(struct rp_gateway *g, const struct rp_op *op) {
    switch (op->kind) {
    case RP_OP_WELCOME:
        got_welcome(g, &op->welcome);
        break;
    case RP_OP_REFUSED:
        got_refused(g, &op->refused);
        break;
    case RP_OP_RESET:
        got_reset(g, &op->reset);
        break;
    case RP_OP_VERDICT:
        if (op->verdict.verdict != RP_OP_KEPT) {
            got_evict(g, op->verdict.conn, "the session has moved on");
        }
        break;
    case RP_OP_HEARTBEAT:
        raise_seen(g, op->heartbeat.pos);
        if (!rp_link_heard_heartbeat(&g->link, &op->heartbeat)) {
            rp_broker_link_down(g, "a heartbeat contradicts what was sent");
        }
        break;
    case RP_OP_CONNECTED:
        got_connected(g, &op->connected);
        break;
    case RP_OP_DONE:
        got_done(g, &op->done);
        break;
    case RP_OP_FAILED:
        got_failed(g, &op->failed);
        break;
    case RP_OP_RESULT:
        got_result(g, &op->result);
        break;
    case RP_OP_DELIVER:
        raise_seen(g, op->deliver.seq);
        rp_delivery(g, &op->deliver);
        break;
    case RP_OP_MEMBER:
        got_member(g, &op->member);
        break;
    case RP_OP_JOINED:
        got_joined(g, &op->joined);
        break;
    case RP_OP_HOLD:
        got_hold(g, &op->hold);
        break;
    case RP_OP_REPLAY:
        got_replay(g, &op->replay);
        break;
    case RP_OP_PAGE:
        got_page(g, &op->page);
        break;
    case RP_OP_LIVE:
        got_live(g, &op->live);
        break;
    case RP_OP_EVICT: {
        char reason[64];
        snprintf(reason, sizeof reason, "%.*s", RP_BYTES_FMT(op->evict.reason));
        got_evict(g, op->evict.conn, reason);
        break;
    }
    case RP_OP_ANSWER:
        rp_app_got_answer(g, &op->answer);
        break;
    case RP_OP_KICKED:
        rp_app_got_kicked(g, &op->kicked);
        break;
    case RP_OP_APPS:
        rp_app_got_apps(g, &op->apps);
        break;
    case RP_OP_RELAYED:
        rp_relay_got(g, &op->relayed);
        break;
    case RP_OP_LOST:
        rp_relay_lost(g, op->lost.incarnation);
        break;
    default:
        break; /* an operation that only a gateway sends */
    }
}

enum rp_err rp_gateway_uplink_message(struct rp_gateway *g, struct rp_bytes message,
                                      uint64_t now_ms) {
    g->now_ms = now_ms;
    size_t len = message.len;
    enum rp_err err = RP_OK;
    while (message.len > 0 && err == RP_OK && g->link_state != RP_LINK_DOWN) {
        struct rp_op op;
        err = rp_op_next(g->reader, &message, &op);
        if (err == RP_OK) {
            operation(g, &op);
        }
    }
    g->stats.malformed_messages += err != RP_OK;
    rp_link_received(&g->link, len, now_ms); /* malformed or not: else credit would leak */
    return err;
}

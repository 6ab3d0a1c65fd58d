#include "gateway/core.h"

#include <stdlib.h>

struct rp_gateway *rp_gateway_new(const struct rp_gateway_config *config, uint64_t now_ms) {
    RP_ASSERT(config->link_credit_bytes > 0 && config->queue_bytes > config->queue_low_bytes);
    struct rp_gateway *g = RP_NEW(struct rp_gateway);
    g->config = *config;
    if (config->budget.queues == 0) {
        g->config.budget = rp_budget_make(UINT64_MAX, config->max_payload);
    }
    if (config->client_requests_max == 0) {
        g->config.client_requests_max = RP_CLIENT_REQUESTS_MAX;
    }
    if (config->relay_window_bytes == 0) {
        g->config.relay_window_bytes = RP_RELAY_WINDOW_BYTES;
    }
    g->now_ms = now_ms;
    struct rp_list *const lists[] = {
        &g->clients,    &g->closed_clients,  &g->left_sockets,  &g->paused,
        &g->flushable,  &g->pings,           &g->pongs,         &g->connects,
        &g->probes,     &g->wires,           &g->dirty,         &g->answered,
        &g->blocked,    &g->blocked_answers, &g->requests,      &g->close_retries,
        &g->relay_list, &g->relay_timeouts,  &g->blocked_posts, &g->starved_relays,
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        rp_list_init(lists[i]);
    }
    g->unsent = &g->requests;
    g->next_num = 1;
    rp_fanout_init(&g->fanout, config->hash_key);
    rp_buf_init(&g->scratch, RP_LINK_MESSAGE_BYTES_MAX);
    rp_buf_init(&g->names, 2 * RP_PAYLOAD_BYTES_MAX + 16);
    rp_buf_init(&g->encoded, RP_LINK_MESSAGE_BYTES_MAX);
    rp_buf_init(&g->decoded, config->max_payload);
    rp_buf_init(&g->packet_json,
                config->max_payload); /* what is short as msgpack may be long here */
    rp_buf_init(&g->packet_attachments, RP_PACKET_BYTES_MAX);
    rp_nsps_init(&g->nsps, config->hash_key);
    rp_link_init(&g->link, g->config.link_credit_bytes, now_ms);
    g->reader = rp_op_reader_new();
    g->own_reader = rp_op_reader_new();
    config->random(config->random_ctx, &g->incarnation, sizeof g->incarnation);
    g->incarnation |= 1; /* never 0 */
    return g;
}

/* Frees what ended in the last turn. */
static void reap(struct rp_gateway *g) {
    struct rp_list *first;
    while ((first = rp_list_first(&g->closed_clients)) != NULL) {
        rp_client_free(g, RP_CONTAINER_OF(first, struct rp_client, node));
    }
    while ((first = rp_list_first(&g->left_sockets)) != NULL) {
        rp_socket_free(RP_CONTAINER_OF(first, struct rp_socket, node));
    }
}

struct rp_gateway *rp_gateway_free(struct rp_gateway *g) {
    if (g == NULL) {
        return NULL;
    }
    struct rp_list *first;
    while ((first = rp_list_first(&g->wires)) != NULL) {
        rp_gateway_gone(g, RP_CONTAINER_OF(first, struct rp_wire, node), g->now_ms);
    }
    g->link_state = RP_LINK_DOWN;
    rp_relay_lost(g, 0);
    while ((first = rp_list_first(&g->clients)) != NULL) {
        rp_client_close(g, RP_CONTAINER_OF(first, struct rp_client, node), 0, NULL,
                        RP_LEAVE_UNTOLD);
    }
    reap(g);
    RP_ASSERT(g->wires_count == 0 && g->exchanges_count == 0);
    while ((first = rp_list_first(&g->requests)) != NULL) {
        rp_request_free(g, RP_CONTAINER_OF(first, struct rp_request, node));
    }
    rp_broker_forget_closes(g);
    rp_fanout_done(&g->fanout);
    rp_nsps_done(&g->nsps);
    rp_map_done(&g->by_conn);
    rp_map_done(&g->by_sid);
    rp_map_done(&g->relays);
    rp_map_done(&g->by_num);
    rp_link_done(&g->link);
    rp_op_reader_free(g->reader);
    rp_op_reader_free(g->own_reader);
    rp_buf_done(&g->scratch);
    rp_buf_done(&g->names);
    rp_buf_done(&g->encoded);
    rp_buf_done(&g->decoded);
    rp_buf_done(&g->packet_json);
    rp_buf_done(&g->packet_attachments);
    free(g);
    return NULL;
}

/* ---- draining ---- */

void rp_gateway_drain(struct rp_gateway *g, uint64_t now_ms, uint64_t over_ms) {
    g->now_ms = now_ms;
    g->draining = true;
    g->drain_until_ms = now_ms + over_ms;
    g->drain_next_ms = now_ms;
}

/* Closes as many clients as are due, so that the last is closed when the time is over. */
static void drain(struct rp_gateway *g) {
    enum { STEP_MS = 50 };
    if (!g->draining || g->now_ms < g->drain_next_ms) {
        return;
    }
    g->drain_next_ms = g->now_ms + STEP_MS;
    uint64_t left_ms = g->drain_until_ms > g->now_ms ? g->drain_until_ms - g->now_ms : 0;
    uint64_t steps = left_ms / STEP_MS + 1, now = (g->stats.clients + steps - 1) / steps;
    if (left_ms == 0) {
        rp_relay_drain(g);
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->clients, it, tmp) {
        if (now-- == 0) {
            return;
        }
        struct rp_client *c = RP_CONTAINER_OF(it, struct rp_client, node);
        rp_client_close(g, c, 1001, "server shutting down", RP_LEAVE_SHUTTING_DOWN);
    }
}

bool rp_gateway_is_drained(const struct rp_gateway *g) {
    return g->draining && g->stats.clients == 0 && g->wires_count == 0 && g->exchanges_count == 0 &&
           g->requests_count == 0 && rp_list_is_empty(&g->close_retries);
}

/* ---- time ---- */

void rp_gateway_turn(struct rp_gateway *g, uint64_t now_ms) {
    g->now_ms = now_ms;
    reap(g);
    rp_hoard_turn(g);
    rp_heartbeat_turn(g);
    rp_relay_turn(g);
    drain(g);
    rp_request_update_full(g);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->paused, it, tmp) {
        rp_client_update_pause(g, RP_CONTAINER_OF(it, struct rp_client, paused_node));
    }
    rp_broker_turn(g);
}

uint64_t rp_gateway_deadline_ms(const struct rp_gateway *g) {
    bool is_linked = g->config.mode == RP_GATEWAY_SOCKETIO; /* echoes have no broker */
    uint64_t at = is_linked ? rp_broker_deadline_ms(g) : UINT64_MAX;
    at = rp_earlier(at, rp_heartbeat_deadline_ms(g));
    at = rp_earlier(at, rp_relay_deadline_ms(g));
    return g->draining ? rp_earlier(at, g->drain_next_ms) : at;
}

const char *rp_gateway_notice(struct rp_gateway *g) {
    if (g->notice_read) {
        g->notice[0] = '\0';
    }
    g->notice_read = true;
    return g->notice;
}

const struct rp_gateway_stats *rp_gateway_stats(struct rp_gateway *g) {
    g->stats.queued_bytes = g->queued.bytes;
    g->stats.held_bytes = g->queued.held_bytes;
    g->stats.handshakes_bytes = g->handshakes_bytes;
    g->stats.relays = g->relays.count;
    g->stats.rooms = g->fanout.rooms.count;
    g->stats.requests_open = g->requests_count;
    g->stats.requests_bytes = g->requests_bytes;
    g->stats.incarnation = g->incarnation;
    g->stats.linked = g->link_state == RP_LINK_UP;
    return &g->stats;
}

#include "gateway/core.h"

#include <stdlib.h>

struct rp_gateway *rp_gateway_new(const struct rp_gateway_config *config, uint64_t now_ms) {
    RP_ASSERT(config->link_credit_bytes > 0 && config->queue_bytes > config->queue_low_bytes);
    struct rp_gateway *g = RP_NEW(struct rp_gateway);
    g->config = *config;
    g->now_ms = now_ms;
    rp_list_init(&g->clients);
    rp_list_init(&g->dirty);
    rp_list_init(&g->paused);
    rp_list_init(&g->pings);
    rp_list_init(&g->pongs);
    rp_list_init(&g->connects);
    rp_list_init(&g->requests);
    rp_list_init(&g->close_retries);
    g->unsent = &g->requests;
    g->next_num = 1;
    rp_fanout_init(&g->fanout, config->hash_key);
    rp_buf_init(&g->scratch, RP_LINK_MESSAGE_BYTES_MAX);
    rp_buf_init(&g->names, 2 * RP_PAYLOAD_BYTES_MAX + 16);
    rp_link_init(&g->link, g->config.link_credit_bytes, now_ms);
    g->reader = rp_op_reader_new();
    g->own_reader = rp_op_reader_new();
    config->random(config->random_ctx, &g->incarnation, sizeof g->incarnation);
    g->incarnation |= 1; /* never 0 */
    return g;
}

struct rp_gateway *rp_gateway_free(struct rp_gateway *g) {
    if (g == NULL) {
        return NULL;
    }
    struct rp_list *first;
    while ((first = rp_list_first(&g->clients)) != NULL) {
        rp_gateway_gone(g, RP_CONTAINER_OF(first, struct rp_client, node), g->now_ms);
    }
    while ((first = rp_list_first(&g->requests)) != NULL) {
        rp_request_free(g, RP_CONTAINER_OF(first, struct rp_request, node));
    }
    while ((first = rp_list_first(&g->close_retries)) != NULL) {
        rp_list_remove(first);
        free(RP_CONTAINER_OF(first, struct rp_close_retry, node));
    }
    rp_fanout_done(&g->fanout);
    rp_map_done(&g->by_conn);
    rp_map_done(&g->by_num);
    rp_link_done(&g->link);
    rp_op_reader_free(g->reader);
    rp_op_reader_free(g->own_reader);
    rp_buf_done(&g->scratch);
    rp_buf_done(&g->names);
    free(g);
    return NULL;
}

void rp_gateway_random_id(struct rp_gateway *g, char *ret_id, size_t n) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t random[64];
    RP_ASSERT(n <= sizeof random);
    g->config.random(g->config.random_ctx, random, n);
    for (size_t i = 0; i < n; i++) {
        ret_id[i] = letters[random[i] % 64];
    }
}

struct rp_client *rp_gateway_next_dirty(struct rp_gateway *g) {
    struct rp_list *first = rp_list_first(&g->dirty);
    if (first == NULL) {
        return NULL;
    }
    rp_list_remove(first);
    return RP_CONTAINER_OF(first, struct rp_client, dirty_node);
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
    uint64_t open = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->clients, it, tmp) {
        open += RP_CONTAINER_OF(it, struct rp_client, node)->state != RP_CLIENT_CLOSING;
    }
    uint64_t steps = left_ms / STEP_MS + 1, now = (open + steps - 1) / steps;
    RP_LIST_FOR(&g->clients, it, tmp) {
        struct rp_client *c = RP_CONTAINER_OF(it, struct rp_client, node);
        if (now == 0) {
            return;
        }
        if (c->state != RP_CLIENT_CLOSING) {
            rp_client_close(g, c, 1001, "server shutting down", true);
            now--;
        }
    }
}

bool rp_gateway_is_drained(const struct rp_gateway *g) {
    return g->draining && g->stats.clients == 0 && g->requests_count == 0 &&
           rp_list_is_empty(&g->close_retries);
}

/* ---- time ---- */

void rp_gateway_turn(struct rp_gateway *g, uint64_t now_ms) {
    g->now_ms = now_ms;
    rp_client_heartbeats(g);
    drain(g);
    rp_request_update_full(g);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->paused, it, tmp) {
        rp_client_update_pause(g, RP_CONTAINER_OF(it, struct rp_client, paused_node));
    }
    rp_broker_turn(g);
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

uint64_t rp_gateway_deadline_ms(const struct rp_gateway *g) {
    uint64_t at = rp_broker_deadline_ms(g);
    struct rp_list *first;
    if ((first = rp_list_first(&g->pings)) != NULL) {
        at = earlier(at, RP_CONTAINER_OF(first, struct rp_client, beat_node)->beat_deadline_ms);
    }
    if ((first = rp_list_first(&g->pongs)) != NULL) {
        at = earlier(at, RP_CONTAINER_OF(first, struct rp_client, beat_node)->beat_deadline_ms);
    }
    if ((first = rp_list_first(&g->connects)) != NULL) {
        at = earlier(at,
                     RP_CONTAINER_OF(first, struct rp_client, connect_node)->connect_deadline_ms);
    }
    return g->draining ? earlier(at, g->drain_next_ms) : at;
}

const char *rp_gateway_notice(struct rp_gateway *g) {
    if (g->notice_read) {
        g->notice[0] = '\0';
    }
    g->notice_read = true;
    return g->notice;
}

const struct rp_gateway_stats *rp_gateway_stats(struct rp_gateway *g) {
    g->stats.rooms = g->fanout.rooms.count;
    g->stats.requests_open = g->requests_count;
    g->stats.requests_bytes = g->requests_bytes;
    g->stats.linked = g->link_state == RP_LINK_UP;
    return &g->stats;
}

/* gateway/request.c — numbered requests: kept until answered, sent again in order after the link
 * was lost. */
#include "gateway/core.h"

#include <stdlib.h>

/* Full at the bounds, and until a quarter is free again. True: it has become full. */
static bool update_full(size_t count, size_t bytes, bool *full) {
    bool over = bytes >= RP_LINK_REQUESTS_BYTES_MAX || count >= RP_LINK_REQUESTS_MAX;
    bool roomy = bytes < RP_LINK_REQUESTS_BYTES_MAX / 4 * 3 && count < RP_LINK_REQUESTS_MAX / 4 * 3;
    bool begins = over && !*full;
    *full = over || (*full && !roomy);
    return begins;
}

/* Events for app workers have a bound of their own, and so have CONNECTs: however long those take,
 * the requests that the broker answers itself are not held up by them. */
void rp_request_update_full(struct rp_gateway *g) {
    bool requests =
        update_full(g->requests_count - g->events_count - g->connects_count,
                    g->requests_bytes - g->events_bytes - g->connects_bytes, &g->requests_full);
    bool events = update_full(g->events_count, g->events_bytes, &g->events_full);
    bool connects = update_full(g->connects_count, g->connects_bytes, &g->connects_full);
    if (requests || events || connects) {
        struct rp_list *it, *tmp;
        RP_LIST_FOR(&g->clients, it, tmp) {
            rp_client_update_pause(g, RP_CONTAINER_OF(it, struct rp_client, node));
        }
    }
}

bool rp_request_takes_events(const struct rp_gateway *g) {
    return g->events_bytes < RP_EVENTS_BYTES_MAX && g->events_count < RP_EVENTS_MAX;
}

/* Counts the request in, or out. */
static void count_request(struct rp_gateway *g, const struct rp_request *r, bool in) {
    size_t one = in ? 1 : (size_t) -1, bytes = in ? r->encoded.len : (size_t) 0 - r->encoded.len;
    bool is_event = r->is_event, is_connect = r->kind == RP_OP_CONNECT;
    g->requests_count += one;
    g->requests_bytes += bytes;
    g->events_count += is_event ? one : 0;
    g->events_bytes += is_event ? bytes : 0;
    g->connects_count += is_connect ? one : 0;
    g->connects_bytes += is_connect ? bytes : 0;
    if (r->client != NULL) {
        r->client->requests_count += one;
        r->client->requests_bytes += bytes;
        r->client->events_count += is_event ? one : 0;
        r->client->events_bytes += is_event ? bytes : 0;
        rp_client_update_pause(g, r->client);
    }
}

struct rp_request *rp_request_find(const struct rp_gateway *g, uint64_t num) {
    uint64_t hash = rp_hash_u64(num);
    for (struct rp_map_node *n = rp_map_first(&g->by_num, hash); n; n = rp_map_next(n, hash)) {
        struct rp_request *request = RP_CONTAINER_OF(n, struct rp_request, by_num);
        if (request->num == num) {
            return request;
        }
    }
    return NULL;
}

void rp_request_add(struct rp_gateway *g, struct rp_op *op,
                    const struct rp_request_options *options) {
    op->connect.num = g->next_num++; /* every request begins with it */
    rp_buf_clear(&g->scratch);
    enum rp_err err = rp_op_put(&g->scratch, op);
    RP_ASSERT(err == RP_OK);
    struct rp_request *r = rp_realloc(NULL, sizeof(*r) + options->room.len + g->scratch.len);
    memset(r, 0, sizeof(*r));
    memcpy(r->data, g->scratch.data, g->scratch.len);
    r->encoded = rp_bytes(r->data, g->scratch.len);
    if (options->room.len > 0) {
        memcpy(r->data + g->scratch.len, options->room.data, options->room.len);
    }
    r->room = rp_bytes(r->data + g->scratch.len, options->room.len);
    r->num = op->connect.num;
    r->kind = op->kind;
    r->is_event = options->socket != NULL && options->socket->app != 0 && op->kind != RP_OP_ACKED;
    r->is_volatile = options->is_volatile;
    r->has_ack = options->has_ack;
    r->has_id = options->has_id;
    r->ack_id = options->ack_id;
    r->socket = options->socket;
    r->client = options->socket != NULL ? options->socket->client : options->client;
    rp_list_append(&g->requests, &r->node);
    rp_map_add(&g->by_num, &r->by_num, rp_hash_u64(r->num));
    if (g->unsent == &g->requests) {
        g->unsent = &r->node;
    }
    g->stats.requests++;
    if (r->socket != NULL) {
        rp_list_append(&r->socket->requests, &r->socket_node);
    }
    if (r->client != NULL) {
        rp_list_append(&r->client->requests, &r->client_node);
    }
    count_request(g, r, true);
    rp_request_update_full(g);
}

void rp_request_forget_socket(struct rp_socket *s) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&s->requests, it, tmp) {
        rp_list_remove(it);
        RP_CONTAINER_OF(it, struct rp_request, socket_node)->socket = NULL;
    }
}

void rp_request_forget_client(struct rp_client *c) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->requests, it, tmp) {
        rp_list_remove(it);
        RP_CONTAINER_OF(it, struct rp_request, client_node)->client = NULL;
    }
    c->requests_count = c->requests_bytes = c->events_count = c->events_bytes = 0;
}

void rp_request_free(struct rp_gateway *g, struct rp_request *r) {
    rp_list_remove(&r->socket_node);
    rp_list_remove(&r->client_node);
    count_request(g, r, false);
    if (g->unsent == &r->node) {
        g->unsent = r->node.next;
    }
    g->ended_untold++;
    rp_list_remove(&r->node);
    rp_map_remove(&g->by_num, &r->by_num);
    free(r);
}

void rp_request_send(struct rp_gateway *g) {
    if (g->link_state != RP_LINK_UP) {
        return;
    }
    while (g->unsent != &g->requests) {
        struct rp_request *r = RP_CONTAINER_OF(g->unsent, struct rp_request, node);
        if (!rp_link_may_put(&g->link, r->encoded.len)) {
            return;
        }
        rp_link_put_bytes(&g->link, r->encoded);
        r->sent = true;
        g->unsent = g->unsent->next;
    }
}

/* A join that is known to be done asks only for what its history still lacks; an event for an app
 * worker says that one may have had it. */
static void put_again(struct rp_gateway *g, struct rp_request *r) {
    bool joined = r->kind == RP_OP_JOIN && r->upto > 0;
    if (!joined && r->kind != RP_OP_EVENT) {
        rp_link_put_bytes(&g->link, r->encoded);
        return;
    }
    struct rp_bytes in = r->encoded;
    struct rp_op op;
    enum rp_err err = rp_op_next(g->reader, &in, &op);
    RP_ASSERT(err == RP_OK && op.kind == r->kind);
    if (r->kind == RP_OP_EVENT) {
        op.event.again = 1;
    } else {
        op.join.upto = r->upto;
    }
    if (joined && r->replayed > 0) {
        op.join.since = r->progress;
        op.join.limit = op.join.limit > r->replayed ? op.join.limit - r->replayed : 1;
    }
    rp_link_put(&g->link, &op);
}

void rp_request_resend(struct rp_gateway *g) {
    g->unsent = g->requests.next;
    while (g->unsent != &g->requests) {
        struct rp_request *r = RP_CONTAINER_OF(g->unsent, struct rp_request, node);
        if (!r->sent) {
            return;
        }
        put_again(g, r);
        g->stats.requests_resent++;
        g->unsent = g->unsent->next;
    }
}

void rp_request_link_lost(struct rp_gateway *g) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->requests, it, tmp) {
        struct rp_request *r = RP_CONTAINER_OF(it, struct rp_request, node);
        if (r->is_volatile) {
            rp_roomevent_failed(g, r, RP_BYTES_LIT("unavailable"),
                                RP_BYTES_LIT("the broker is away; a volatile event is not kept"));
            rp_request_free(g, r);
        }
    }
    g->unsent = g->requests.next;
}

uint64_t rp_request_lowest(const struct rp_gateway *g) {
    struct rp_list *first = rp_list_first(&g->requests);
    return first != NULL ? RP_CONTAINER_OF(first, struct rp_request, node)->num : g->next_num;
}

/* tests/fuzz/gateway_accounts.h — what must be true of a gateway's core between any two things that
 * happen to it: everything it counts is counted again, everything linked both ways is. */
#pragma once

#include "common/assert.h"
#include "gateway/core.h"

/* Counted from the objects themselves. */
struct accounts {
    size_t queued, blobs, clients, polling, connected, sockets, wires, relays, stand_ins;
    size_t requests, requests_bytes, assembling;
    size_t handshakes; /* bytes; a shared one once */
};

static inline void count_queue(const struct rp_queue *q, struct accounts *a) {
    size_t bytes = 0;
    for (size_t i = 0; i < q->count; i++) {
        bytes += q->blobs[q->from + i]->len;
    }
    RP_ASSERT(bytes == q->bytes + q->sent);
    RP_ASSERT(q->count == 0 ? q->sent == 0 : q->sent < q->blobs[q->from]->len);
    a->queued += q->bytes;
    a->blobs += q->count;
}

static inline void count_handshakes(const struct rp_client *c, struct accounts *a) {
    const struct rp_blob *shared = c->handshake;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->sockets, it, tmp) {
        const struct rp_socket *s = RP_CONTAINER_OF(it, struct rp_socket, node);
        RP_ASSERT(s->handshake != NULL || s->auth == NULL);
        RP_ASSERT(shared == NULL || s->handshake == NULL || s->handshake == shared);
        shared = shared != NULL ? shared : s->handshake;
        a->handshakes += s->auth != NULL ? s->auth->len : 0;
    }
    a->handshakes += shared != NULL ? shared->len : 0;
}

static inline void check_socket(const struct rp_gateway *g, const struct rp_client *c,
                                const struct rp_socket *s) {
    RP_ASSERT(s->handshake == NULL || s->state == RP_SOCKET_CONNECTING || s->app != 0);
    RP_ASSERT(!s->owing || s->state == RP_SOCKET_CATCHING);
    RP_ASSERT(s->client == c && s->state != RP_SOCKET_LEFT);
    RP_ASSERT(s->state == RP_SOCKET_CATCHING || rp_list_is_empty(&s->held));
    RP_ASSERT(!rp_socket_is_connected(s) || rp_socket_find(g, s->conn) != NULL);
    RP_ASSERT(rp_nsp_find(&g->nsps, s->nsp->name) == s->nsp);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&s->requests, it, tmp) {
        const struct rp_request *r = RP_CONTAINER_OF(it, struct rp_request, socket_node);
        RP_ASSERT(r->socket == s && r->client == c);
    }
}

static inline void check_sockets(const struct rp_gateway *g, const struct rp_client *c,
                                 struct accounts *a) {
    size_t sockets = 0, requests = 0, requests_bytes = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->sockets, it, tmp) {
        const struct rp_socket *s = RP_CONTAINER_OF(it, struct rp_socket, node);
        check_socket(g, c, s);
        a->connected += rp_socket_is_connected(s);
        sockets++;
    }
    a->sockets += sockets;
    RP_LIST_FOR(&c->requests, it, tmp) { /* also of sockets that have left */
        const struct rp_request *r = RP_CONTAINER_OF(it, struct rp_request, client_node);
        RP_ASSERT(r->client == c);
        requests++;
        requests_bytes += r->encoded.len;
    }
    RP_ASSERT(sockets == c->sockets_count && sockets <= RP_CLIENT_SOCKETS_MAX);
    RP_ASSERT(requests == c->requests_count && requests_bytes == c->requests_bytes);
}

static inline void check_client(const struct rp_gateway *g, const struct rp_client *c,
                                struct accounts *a) {
    RP_ASSERT(!c->closed);
    check_sockets(g, c, a);
    count_handshakes(c, a);
    RP_ASSERT(!c->ending || (c->wire == NULL && c->sockets_count == 0));
    a->clients++;
    a->polling += c->wire == NULL;
    count_queue(&c->queue, a);
    RP_ASSERT(c->wire == NULL || (c->wire->client == c && c->queue.count == 0));
    RP_ASSERT(c->wire == NULL || (c->get == NULL && c->post == NULL && c->probe == NULL));
    RP_ASSERT(c->probe == NULL || c->probe->client == c);
    RP_ASSERT(c->get == NULL || (c->get->client == c && c->get->status == 0));
    RP_ASSERT(c->post == NULL || (c->post->client == c && c->post->status == 0));
    bool has_work = (c->get != NULL && c->queue.count > 0) ||
                    (c->post != NULL && c->post->has_body && !rp_client_is_paused(c));
    RP_ASSERT(rp_list_is_linked(&c->flush_node) ? c->wire == NULL : !has_work);
    RP_ASSERT(rp_list_is_linked(&c->beat_node) == (g->config.mode != RP_GATEWAY_ECHO_WS));
    const struct rp_assembly *assembly = c->assembly;
    if (assembly != NULL) {
        RP_ASSERT(assembly->missing > 0);
        a->assembling += assembly->text.capacity + assembly->attachments.capacity;
    }
}

static inline void check_wire(const struct rp_wire *w, struct accounts *a) {
    a->wires++;
    count_queue(&w->queue, a);
    RP_ASSERT(rp_list_is_linked(&w->probe_node) == (w->role == RP_WIRE_PROBE));
    RP_ASSERT(w->relay == NULL || w->relay->wire == w);
    RP_ASSERT(!w->pending || w->role == RP_WIRE_ENTRY);
    RP_ASSERT(!w->refused || w->role == RP_WIRE_CLOSING);
    switch ((enum rp_wire_role) w->role) {
    case RP_WIRE_ACTIVE:
        RP_ASSERT(w->client->wire == w);
        break;
    case RP_WIRE_PROBE:
        RP_ASSERT(w->client->probe == w);
        break;
    case RP_WIRE_ENTRY:
        RP_ASSERT(w->client == NULL && w->relay != NULL && w->shell != NULL);
        break;
    case RP_WIRE_CLOSING:
        RP_ASSERT(w->client == NULL);
        break;
    }
    if (w->shell == NULL) { /* a holder's: something goes on with it */
        bool waits = w->relay != NULL && w->relay->unconfirmed >= RP_RELAY_WINDOW_BYTES;
        bool has_work = w->queue.count > 0 || w->role == RP_WIRE_CLOSING;
        RP_ASSERT(w->relay != NULL || w->role == RP_WIRE_CLOSING);
        RP_ASSERT(!has_work || waits || rp_list_is_linked(&w->dirty_node));
    }
}

static inline void check_relay(const struct rp_relay *r, struct accounts *a) {
    bool is_entry = r->id >> 63 != 0;
    a->relays++;
    RP_ASSERT((r->wire == NULL) != (r->exchange == NULL));
    RP_ASSERT(r->wire == NULL || (r->wire->relay == r && (r->wire->shell != NULL) == is_entry));
    RP_ASSERT(r->exchange == NULL ||
              (r->exchange->relay == r && (r->exchange->shell != NULL) == is_entry));
    RP_ASSERT(rp_list_is_linked(&r->timeout_node) == is_entry);
    RP_ASSERT(!is_entry || rp_list_is_empty(&r->inbox));
    a->stand_ins += r->exchange != NULL && !is_entry;
}

static inline void check_exchanges(const struct rp_gateway *g) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->answered, it, tmp) {
        const struct rp_exchange *x = RP_CONTAINER_OF(it, struct rp_exchange, node);
        RP_ASSERT(x->status != 0 && x->shell != NULL && x->client == NULL && x->relay == NULL);
    }
    RP_LIST_FOR(&g->blocked_answers, it, tmp) {
        const struct rp_exchange *x = RP_CONTAINER_OF(it, struct rp_exchange, node);
        RP_ASSERT(x->status != 0 && x->shell == NULL && x->client == NULL && x->relay != NULL);
    }
}

/* Each list is in the order of its deadlines. */
#define CHECK_ORDER(list, type, member, deadline)                                                  \
    do {                                                                                           \
        uint64_t last = 0;                                                                         \
        struct rp_list *order_it, *order_tmp;                                                      \
        RP_LIST_FOR(list, order_it, order_tmp) {                                                   \
            const type *object = RP_CONTAINER_OF(order_it, type, member);                          \
            RP_ASSERT(object->deadline >= last);                                                   \
            last = object->deadline;                                                               \
        }                                                                                          \
    } while (0)

static inline void check_orders(const struct rp_gateway *g) {
    CHECK_ORDER(&g->pings, struct rp_client, beat_node, beat_deadline_ms);
    CHECK_ORDER(&g->pongs, struct rp_client, beat_node, beat_deadline_ms);
    CHECK_ORDER(&g->connects, struct rp_client, connect_node, connect_deadline_ms);
    CHECK_ORDER(&g->probes, struct rp_wire, probe_node, probe_deadline_ms);
    CHECK_ORDER(&g->relay_timeouts, struct rp_relay, timeout_node, deadline_ms);
}

static inline void check_requests(const struct rp_gateway *g, struct accounts *a) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->requests, it, tmp) {
        a->requests++;
        a->requests_bytes += RP_CONTAINER_OF(it, struct rp_request, node)->encoded.len;
    }
    RP_ASSERT(a->requests == g->requests_count && a->requests_bytes == g->requests_bytes);
    RP_ASSERT(a->requests == g->by_num.count);
}

/* exchanges: how many the caller has. */
static inline void check_accounts(const struct rp_gateway *g, size_t exchanges) {
    struct accounts a = {0};
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->clients, it, tmp) {
        check_client(g, RP_CONTAINER_OF(it, struct rp_client, node), &a);
    }
    RP_LIST_FOR(&g->closed_clients, it, tmp) {
        const struct rp_client *c = RP_CONTAINER_OF(it, struct rp_client, node);
        RP_ASSERT(c->wire == NULL && c->probe == NULL && c->get == NULL && c->post == NULL);
        RP_ASSERT(c->assembly == NULL && c->queue.count == 0);
    }
    RP_LIST_FOR(&g->wires, it, tmp) {
        check_wire(RP_CONTAINER_OF(it, struct rp_wire, node), &a);
    }
    RP_LIST_FOR(&g->relay_list, it, tmp) {
        check_relay(RP_CONTAINER_OF(it, struct rp_relay, node), &a);
    }
    check_requests(g, &a);
    check_exchanges(g);
    check_orders(g);
    RP_ASSERT(a.clients == g->stats.clients && a.polling == g->stats.polling);
    RP_ASSERT(a.connected == g->stats.sessions && a.connected == g->by_conn.count);
    RP_ASSERT(a.clients == g->by_sid.count && a.wires == g->wires_count);
    RP_ASSERT(a.queued == g->queued.bytes && a.blobs == g->queued.blobs);
    RP_ASSERT(a.relays == g->relays.count && a.assembling == g->assembling_bytes);
    RP_ASSERT(a.handshakes == g->handshakes_bytes);
    RP_ASSERT(a.stand_ins + exchanges == g->exchanges_count);
    size_t refs = 0;
    struct rp_map_iter nsps = {0};
    struct rp_map_node *n;
    while ((n = rp_map_each(&g->nsps.map, &nsps)) != NULL) {
        refs += RP_CONTAINER_OF(n, struct rp_nsp, node)->refs;
    }
    RP_ASSERT(refs == a.sockets);
}

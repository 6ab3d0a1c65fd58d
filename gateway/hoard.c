/* gateway/hoard.c — when the output that waits for all clients together is more than the gateway
 * may hold. Everybody may have a page and an answer that wait (rp_client_put), and so all together
 * may have too much: then those go who have most. They can come back, and what they missed is in
 * the log.
 *
 * What somebody has is what closing it would free: of what others wait for, too, its part. */
#include "gateway/core.h"

bool rp_gateway_holds_too_much(const struct rp_gateway *g) {
    return rp_queue_total_cost(&g->queued) > g->config.budget.queues;
}

static bool holds_little_enough(const struct rp_gateway *g) {
    size_t all = g->config.budget.queues;
    return rp_queue_total_cost(&g->queued) <= all - all / 8;
}

/* Its client lives elsewhere, or has not changed to it yet. The others are their clients'. */
static bool is_bare(const struct rp_wire *w) {
    return w->role == RP_WIRE_ENTRY || w->role == RP_WIRE_PROBE;
}

static size_t share_of(struct rp_client *c) {
    return rp_queue_share(rp_client_queue(c)) + c->held_cost;
}

/* What those who have anything have on average. */
static size_t average(struct rp_gateway *g) {
    size_t count = 0, sum = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->clients, it, tmp) {
        size_t share = share_of(RP_CONTAINER_OF(it, struct rp_client, node));
        count += share > 0;
        sum += share;
    }
    RP_LIST_FOR(&g->wires, it, tmp) {
        struct rp_wire *w = RP_CONTAINER_OF(it, struct rp_wire, node);
        if (is_bare(w)) {
            count += w->queue.count > 0;
            sum += rp_queue_share(&w->queue);
        }
    }
    return count > 0 ? sum / count : 0;
}

static bool is_hoard(size_t share, size_t least) {
    return share > 0 && share >= least;
}

static void count_hoarder(struct rp_gateway *g) {
    g->stats.overflowed++;
    g->stats.hoarders++;
}

static const char too_slow[] = "too slow: the limit of all unsent output is reached";

static void close_clients(struct rp_gateway *g, size_t least) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->clients, it, tmp) {
        struct rp_client *c = RP_CONTAINER_OF(it, struct rp_client, node);
        if (holds_little_enough(g)) {
            return;
        }
        if (is_hoard(share_of(c), least)) {
            count_hoarder(g);
            if (c->wire != NULL) {
                rp_wire_drop_output(g, c->wire);
            }
            rp_client_close(g, c, 1013, too_slow, RP_LEAVE_FORCED);
        }
    }
}

static void close_bare_wires(struct rp_gateway *g, size_t least) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->wires, it, tmp) {
        struct rp_wire *w = RP_CONTAINER_OF(it, struct rp_wire, node);
        if (holds_little_enough(g)) {
            return;
        }
        if (is_bare(w) && is_hoard(rp_queue_share(&w->queue), least)) {
            count_hoarder(g);
            rp_wire_drop_output(g, w);
            rp_wire_close(g, w, 1013, too_slow);
        }
    }
}

void rp_hoard_turn(struct rp_gateway *g) {
    if (!rp_gateway_holds_too_much(g)) {
        return;
    }
    rp_wire_drop_closing_output(g);
    if (rp_gateway_holds_too_much(g)) { /* if it still is after this, the next turn goes on */
        size_t least = average(g);
        close_clients(g, least);
        close_bare_wires(g, least);
    }
}

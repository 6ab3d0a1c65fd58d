/* gateway/heartbeat.c — pings, and everything that is closed when its time is over.
 *
 * The server pings; a client that does not pong in time is closed. All clients have the same
 * intervals, so the next ones due stand in front of lists and no timer is needed. A client whose
 * reading is paused cannot be heard ponging (it is at least seen taking the ping), one that is
 * still taking output is alive, and one in the middle of an upgrade holds its packets back: for
 * them the timeout begins anew. The client counts from ping to ping, so one that is paused goes on
 * getting them. */
#include "gateway/core.h"

void rp_heartbeat_await_connect(struct rp_gateway *g, struct rp_client *c) {
    rp_list_remove(&c->connect_node);
    c->connect_deadline_ms = g->now_ms + g->config.connect_timeout_ms;
    rp_list_append(&g->connects, &c->connect_node);
}

void rp_heartbeat_await_ping(struct rp_gateway *g, struct rp_client *c) {
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

void rp_heartbeat_unpaused(struct rp_gateway *g, struct rp_client *c) {
    if (c->awaits_pong && rp_list_is_linked(&c->beat_node)) {
        await_pong(g, c);
    }
}

void rp_heartbeat_pong(struct rp_gateway *g, struct rp_client *c) {
    if (c->awaits_pong) { /* one that nobody asked for must not put off the next ping */
        rp_heartbeat_await_ping(g, c);
    }
}

static struct rp_client *due(struct rp_list *list, uint64_t now_ms) {
    struct rp_list *first = rp_list_first(list);
    struct rp_client *c = first ? RP_CONTAINER_OF(first, struct rp_client, beat_node) : NULL;
    return c != NULL && c->beat_deadline_ms <= now_ms ? c : NULL;
}

static bool page_waits(const struct rp_gateway *g, const struct rp_client *c) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->sockets, it, tmp) {
        const struct rp_socket *s = RP_CONTAINER_OF(it, struct rp_socket, node);
        if (s->page > 0 && g->now_ms >= s->page_since_ms + RP_CLIENT_PAGE_MS) {
            return true;
        }
    }
    return false;
}

/* A client that answers pings and sits on half a packet holds memory that others need for theirs.
 */
static bool withholds(const struct rp_gateway *g, const struct rp_client *c) {
    return c->assembly != NULL && !rp_client_is_paused(c) &&
           g->now_ms >= c->assembly->since_ms + RP_CLIENT_STUCK_MS;
}

/* One that takes nothing holds memory, too, and old events in the log. */
static bool close_if_stuck(struct rp_gateway *g, struct rp_client *c) {
    if (withholds(g, c)) {
        g->stats.bad_packets++;
        rp_client_close(g, c, 1008, "attachments of a packet did not come", RP_LEAVE_FORCED);
        return true;
    }
    bool nothing_taken = rp_client_has_unsent(c) && g->now_ms >= c->drained_ms + RP_CLIENT_STUCK_MS;
    if (nothing_taken || page_waits(g, c)) {
        g->stats.overflowed++;
        rp_client_close(g, c, 1013, "too slow: output is not taken", RP_LEAVE_FORCED);
        return true;
    }
    return false;
}

static bool is_upgrading(const struct rp_client *c) {
    return c->probe != NULL && c->probe->probed;
}

static void send_pings(struct rp_gateway *g) {
    struct rp_client *c;
    while ((c = due(&g->pings, g->now_ms)) != NULL) {
        if (is_upgrading(c)) {
            rp_heartbeat_await_ping(g, c);
        } else if (!close_if_stuck(g, c)) {
            c->progress = false;
            await_pong(g, c);
            rp_client_put_text(g, c, RP_BYTES_LIT("2"));
        }
    }
}

/* It could not be heard ponging; but it must take the ping, and who long-polls come for it. */
static bool is_unheard(struct rp_client *c) {
    bool took = c->get != NULL || rp_client_queue(c)->count == 0 || c->progress;
    return rp_client_is_paused(c) && took;
}

/* Whether it may not be judged by its silence; then it has the time once more. */
static bool is_excused(struct rp_gateway *g, struct rp_client *c) {
    bool taking_output = c->progress && rp_client_has_unsent(c);
    if (is_unheard(c)) {
        rp_client_put_text(g, c, RP_BYTES_LIT("2"));
        return true;
    }
    return taking_output || c->answering != NULL || is_upgrading(c);
}

static void time_out_pongs(struct rp_gateway *g) {
    struct rp_client *c;
    while ((c = due(&g->pongs, g->now_ms)) != NULL) {
        bool upgrading = is_upgrading(c);
        if (!upgrading && close_if_stuck(g, c)) {
            continue;
        }
        if (is_excused(g, c)) {
            c->progress = false;
            if (!c->closed) { /* by a ping too much */
                await_pong(g, c);
            }
            continue;
        }
        g->stats.ping_timeouts++;
        rp_client_close(g, c, 1001, "ping timeout", RP_LEAVE_PING_TIMEOUT);
    }
}

void rp_heartbeat_turn(struct rp_gateway *g) {
    send_pings(g);
    time_out_pongs(g);
    struct rp_list *first;
    while ((first = rp_list_first(&g->connects)) != NULL) {
        struct rp_client *c = RP_CONTAINER_OF(first, struct rp_client, connect_node);
        if (c->connect_deadline_ms > g->now_ms) {
            break;
        }
        g->stats.connect_timeouts++;
        rp_client_close(g, c, 1013, "connect timeout", RP_LEAVE_FORCED_SERVER);
    }
    while ((first = rp_list_first(&g->probes)) != NULL) {
        struct rp_wire *w = RP_CONTAINER_OF(first, struct rp_wire, probe_node);
        if (w->probe_deadline_ms > g->now_ms) {
            break;
        }
        g->stats.upgrades_failed++;
        rp_wire_close(g, w, 1000, "upgrade timeout");
    }
}

uint64_t rp_heartbeat_deadline_ms(const struct rp_gateway *g) {
    uint64_t at = UINT64_MAX;
    struct rp_list *first;
    if ((first = rp_list_first(&g->pings)) != NULL) {
        at = rp_earlier(at, RP_CONTAINER_OF(first, struct rp_client, beat_node)->beat_deadline_ms);
    }
    if ((first = rp_list_first(&g->pongs)) != NULL) {
        at = rp_earlier(at, RP_CONTAINER_OF(first, struct rp_client, beat_node)->beat_deadline_ms);
    }
    if ((first = rp_list_first(&g->connects)) != NULL) {
        at = rp_earlier(
            at, RP_CONTAINER_OF(first, struct rp_client, connect_node)->connect_deadline_ms);
    }
    if ((first = rp_list_first(&g->probes)) != NULL) {
        at = rp_earlier(at, RP_CONTAINER_OF(first, struct rp_wire, probe_node)->probe_deadline_ms);
    }
    return at;
}

/* tests/sim/gateways.c — the gateways' processes, and the links between the broker and everybody.
 *
 * A link is a connection of TCP: what is sent on it arrives in order, or late, or is lost with it;
 * a cut one never heals, the next one has a new id. */
#include "tests/sim/oracle.h"

#include "common/assert.h"

enum { STOP_GRACE_MS = 2000 };

/* ---- links ---- */

void link_init(struct link *link) {
    rp_list_init(&link->to_broker);
    rp_list_init(&link->from_broker);
}

static void link_clear(struct link *link) {
    queue_clear(&link->to_broker);
    queue_clear(&link->from_broker);
}

void link_cut(struct link *link) {
    link->silent = true;
    link_clear(link);
}

void link_renew(struct link *link, uint64_t id) {
    link_clear(link);
    link->id = id;
    link->silent = link->closed = link->told = false;
}

void link_put(struct world *w, struct link *link, bool to_broker, struct rp_buf message) {
    if (link->silent || link->id == 0 || (to_broker && link->closed)) {
        rp_buf_done(&message);
    } else {
        queue_put(w, to_broker ? &link->to_broker : &link->from_broker, message, true);
    }
}

void link_close(struct link *link) {
    queue_clear(&link->to_broker);
    link->closed = true;
}

bool link_is_over(const struct world *w, const struct link *link) {
    return link->id != 0 && link->closed && !link->silent &&
           w->now_ms >= link->down_held_until_ms && rp_list_is_empty(&link->from_broker);
}

struct packet *link_take(struct world *w, struct link *link, bool to_broker) {
    uint64_t held_until_ms = to_broker ? link->up_held_until_ms : link->down_held_until_ms;
    if (link->id == 0 || link->silent || w->now_ms < held_until_ms) {
        return NULL;
    }
    return queue_take(w, to_broker ? &link->to_broker : &link->from_broker);
}

void link_deliver(struct world *w, struct link *link) {
    struct packet *p;
    while (broker_is_awake(w) && w->broker.stopping_since_ms == 0 &&
           rp_core_wants_input(w->broker.core) && (p = link_take(w, link, true)) != NULL) {
        enum rp_err err =
            rp_core_message(w->broker.core, link->id, rp_buf_bytes(&p->bytes), broker_now(w));
        RP_ASSERT(err == RP_OK);
        packet_free(p);
    }
}

/* ---- life ---- */

static void start(struct world *w, struct gateway *gateway) {
    struct rp_gateway_config config = {.ping_interval_ms = PING_INTERVAL_MS,
                                       .ping_timeout_ms = PING_TIMEOUT_MS,
                                       .connect_timeout_ms = 20000,
                                       .upgrade_timeout_ms = 1000,
                                       .max_payload = w->profile.max_payload,
                                       .queue_bytes = GATEWAY_QUEUE_BYTES,
                                       .queue_low_bytes = 100,
                                       .link_credit_bytes = LINK_CREDIT_BYTES,
                                       .client_requests_max = w->profile.client_requests_max,
                                       .relay_window_bytes = w->profile.relay_window_bytes,
                                       .name = "sim",
                                       .namespaces = w->namespaces,
                                       .hash_key = {3, 4},
                                       .random = world_random,
                                       .random_ctx = w};
    gateway->core = rp_gateway_new(&config, w->now_ms);
    gateway->hung_until_ms = gateway->stops_by_ms = 0;
    link_renew(&gateway->link, 0);
    world_trace(w, "gateway %u starts", (unsigned) (gateway - w->gateways));
}

void gateways_init(struct world *w) {
    for (size_t i = 0; i < GATEWAYS; i++) {
        link_init(&w->gateways[i].link);
        start(w, &w->gateways[i]);
    }
}

void gateway_count(struct world *w, unsigned index) {
    const struct rp_gateway_stats *stats = rp_gateway_stats(w->gateways[index].core);
    struct tally *t = &w->tally;
    t->polls += stats->polls;
    t->relays += stats->relayed;
    t->relays_failed += stats->relays_failed;
    t->upgrades += stats->upgrades;
    t->upgrades_failed += stats->upgrades_failed;
    t->pauses += stats->paused;
    t->lagged += stats->lagged;
}

void gateway_kill(struct world *w, unsigned index) {
    struct gateway *gateway = &w->gateways[index];
    struct rp_list *it, *tmp;
    gateway_count(w, index);
    RP_LIST_FOR(&w->calls, it, tmp) {
        struct call *c = RP_CONTAINER_OF(it, struct call, node);
        if (c->gateway == index) {
            call_gateway_dies(w, c);
        }
    }
    gateway->core = rp_gateway_free(gateway->core);
    RP_LIST_FOR(&w->conns, it, tmp) {
        struct conn *c = RP_CONTAINER_OF(it, struct conn, node);
        if (c->gateway == index) {
            c->handle = NULL;
            queue_clear(&c->down);
        }
    }
    link_renew(&gateway->link, 0);
    gateway->restart_at_ms = w->now_ms + below(w, 3000);
}

void gateway_stop(struct world *w, unsigned index) {
    struct gateway *gateway = &w->gateways[index];
    uint64_t over_ms = below(w, 1000);
    rp_gateway_drain(gateway->core, w->now_ms, over_ms);
    gateway->stops_by_ms = w->now_ms + over_ms + STOP_GRACE_MS;
}

/* Its last words come through, or are lost with the link. */
static void say_bye(struct world *w, struct gateway *gateway) {
    struct link *link = &gateway->link;
    struct rp_buf message;
    rp_gateway_bye(gateway->core);
    while (rp_gateway_uplink_take(gateway->core, w->now_ms, &message)) {
        link_put(w, link, true, message);
    }
    if (w->now_ms >= link->up_held_until_ms && chance(w, 800)) {
        queue_hurry(w, &link->to_broker);
        link_deliver(w, link);
    }
}

/* As its shell does: when all have been sent away, and the broker knows it, or it takes too long.
 */
static void stop_if_drained(struct world *w, unsigned index) {
    bool drained = rp_gateway_is_drained(w->gateways[index].core);
    if (drained || w->now_ms >= w->gateways[index].stops_by_ms) {
        world_trace(w, "gateway %u has stopped%s", index, drained ? "" : ", not drained");
        w->tally.gateways_drained += drained;
        if (drained && w->problem == NULL) {
            const struct rp_gateway_stats *stats = rp_gateway_stats(w->gateways[index].core);
            w->problem = oracle_check_drained(w, stats->incarnation);
        }
        say_bye(w, &w->gateways[index]);
        gateway_kill(w, index);
    }
}

void gateways_broker_died(struct world *w) {
    for (size_t i = 0; i < GATEWAYS; i++) {
        link_renew(&w->gateways[i].link, 0);
        if (w->gateways[i].core != NULL && !chance(w, 300)) {
            rp_gateway_uplink_lost(w->gateways[i].core, w->now_ms);
        } /* else it finds out by silence */
    }
}

void gateways_broker_parted(struct world *w) {
    for (size_t i = 0; i < GATEWAYS; i++) {
        link_close(&w->gateways[i].link);
    }
}

/* ---- a turn ---- */

static void flush(struct world *w, unsigned index) {
    struct gateway *gateway = &w->gateways[index];
    while (rp_gateway_next_dirty(gateway->core) != NULL) {
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->conns, it, tmp) {
        struct conn *c = RP_CONTAINER_OF(it, struct conn, node);
        if (c->gateway == index && c->handle != NULL) {
            conn_flush(w, c);
        }
    }
    struct rp_exchange *x;
    while ((x = rp_gateway_next_answered(gateway->core)) != NULL) {
        call_answered(w, rp_exchange_shell(x));
    }
}

static void need_link(struct world *w, struct gateway *gateway) {
    enum rp_uplink_need need;
    while ((need = rp_gateway_uplink_need(gateway->core, w->now_ms)) == RP_UPLINK_CLOSE ||
           (need == RP_UPLINK_OPEN && w->broker.core != NULL)) {
        link_renew(&gateway->link, 0);
        if (need == RP_UPLINK_OPEN) {
            link_renew(&gateway->link, w->next_link_id++);
            rp_gateway_uplink_opened(gateway->core, w->now_ms);
            world_trace(w, "gateway %u opens link %llu", (unsigned) (gateway - w->gateways),
                        (unsigned long long) gateway->link.id);
        }
    }
}

static void run_link(struct world *w, struct gateway *gateway) {
    struct rp_buf message;
    struct packet *p;
    need_link(w, gateway);
    while (rp_gateway_uplink_take(gateway->core, w->now_ms, &message)) {
        link_put(w, &gateway->link, true, message);
    }
    while ((p = link_take(w, &gateway->link, false)) != NULL) {
        enum rp_err err =
            rp_gateway_uplink_message(gateway->core, rp_buf_bytes(&p->bytes), w->now_ms);
        RP_ASSERT(err == RP_OK);
        packet_free(p);
    }
    if (link_is_over(w, &gateway->link)) {
        if (gateway->link.told && rp_gateway_stats(gateway->core)->linked) {
            w->problem = "a gateway believes in a broker that has said goodbye";
        }
        rp_gateway_uplink_lost(gateway->core, w->now_ms);
        link_renew(&gateway->link, 0);
    }
}

static void run(struct world *w, unsigned index) {
    struct gateway *gateway = &w->gateways[index];
    if (gateway->core == NULL && w->now_ms >= gateway->restart_at_ms) {
        start(w, gateway);
    } else if (gateway_is_awake(w, index)) {
        run_link(w, gateway);
        link_deliver(w, &gateway->link);
        rp_gateway_turn(gateway->core, w->now_ms);
        flush(w, index);
        if (gateway->stops_by_ms > 0) {
            stop_if_drained(w, index);
        }
    } else if (gateway->core != NULL) {
        link_deliver(w, &gateway->link);
    }
}

void gateways_run(struct world *w) {
    for (unsigned i = 0; i < GATEWAYS; i++) {
        run(w, i);
    }
}

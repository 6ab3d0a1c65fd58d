/* tests/sim/world.c — the broker, the gateways, the links between them, and the faults. */
#include "tests/sim/world.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/pattern.h"

#include <stdlib.h>

void world_random(void *ctx, void *out, size_t len) {
    struct world *w = ctx;
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *) out)[i] = (uint8_t) rp_rng_next(&w->rng);
    }
}

/* ---- the broker ---- */

static struct rp_now broker_now(const struct world *w) {
    return (struct rp_now){.mono_ms = w->now_ms, .wall_ms = 1700000000000 + w->now_ms};
}

static void broker_start(struct world *w) {
    struct rp_core_config config = {.session_ttl_ms =
                                        w->faults & FAULT_EXPIRE ? 100 + below(w, 900) : 7200000,
                                    .gateway_timeout_ms = 4000,
                                    .worker_timeout_ms = 1000,
                                    .retain_events = w->faults & FAULT_TRIM ? 300 : UINT64_MAX,
                                    .tail_records_max = 60 + below(w, 2000),
                                    .tail_bytes_max = 1 << 20,
                                    .link_credit_bytes = 6000,
                                    .page_bytes = 1500,
                                    .page_events = 8,
                                    .intervals_max = w->faults & FAULT_FORGET ? 6 : 4000,
                                    .hash_key = {1, 2},
                                    .random = world_random,
                                    .random_ctx = w};
    w->engine = rp_engine_memory_open(w->store, 20 + below(w, 500));
    RP_ASSERT(rp_core_new(&config, w->engine, broker_now(w), &w->core) == RP_OK);
}

static void count_broker(struct world *w) {
    const struct rp_core_stats *stats = rp_core_stats(w->core);
    struct app_tally *t = &w->app_tally;
    t->workers_lost += stats->workers_lost;
    t->sockets_moved += stats->sockets_moved;
    t->disowned += stats->disowned;
    t->admissions_refused += stats->admissions_refused;
    t->acks_ignored += stats->acks_ignored;
    t->replayed_again += stats->replayed_again;
    t->expired += stats->sessions_expired;
    t->volatiles += stats->emits_volatile;
}

static void broker_kill(struct world *w) {
    count_broker(w);
    w->core = rp_core_free(w->core);
    w->engine->ops->close(w->engine);
    w->engine = NULL;
    for (size_t i = 0; i < GATEWAYS; i++) {
        queue_clear(&w->gateways[i].link.to_broker);
        queue_clear(&w->gateways[i].link.from_broker);
        w->gateways[i].link.id = 0;
        if (w->gateways[i].core != NULL && !chance(w, 300)) {
            rp_gateway_uplink_lost(w->gateways[i].core, w->now_ms);
        } /* else it finds out by silence */
    }
    workers_broker_died(w);
}

/* The oracle's copy of what has been committed. */
static void copy_log(struct world *w) {
    size_t count;
    struct rp_record *const *log = rp_memory_store_log(w->store, &count);
    uint64_t last = w->log_count > 0 ? w->log[w->log_count - 1]->seq : 0;
    size_t from = count;
    while (from > 0 && log[from - 1]->seq > last) {
        from--;
    }
    for (; from < count; from++) {
        w->log =
            rp_array_reserve(w->log, w->log_count, &w->log_capacity, sizeof(struct rp_record *));
        w->log[w->log_count++] = rp_record_ref(log[from]);
    }
}

static struct link *link_of(struct world *w, uint64_t link_id) {
    for (size_t i = 0; i < WORKERS; i++) {
        if (w->apps.workers[i].core != NULL && w->apps.workers[i].link.id == link_id) {
            return &w->apps.workers[i].link;
        }
    }
    for (size_t i = 0; i < GATEWAYS; i++) {
        if (w->gateways[i].core != NULL && w->gateways[i].link.id == link_id) {
            return &w->gateways[i].link;
        }
    }
    return NULL;
}

static void broker_run(struct world *w) {
    if (w->core == NULL) {
        if (w->now_ms >= w->broker_restart_at_ms) {
            broker_start(w);
        }
        return;
    }
    if (w->now_ms >= w->disk_busy_until_ms) {
        rp_engine_memory_step(w->engine, below(w, 30));
        w->disk_busy_until_ms = w->now_ms + (chance(w, 10) ? below(w, 600) : 0);
    }
    copy_log(w);
    while (rp_core_turn(w->core, broker_now(w))) {
    }
    uint64_t link_id;
    struct rp_buf message;
    while (rp_core_take(w->core, broker_now(w), &link_id, &message)) {
        struct link *link = link_of(w, link_id);
        if (link == NULL) {
            rp_buf_done(&message);
            rp_core_link_lost(w->core, link_id, broker_now(w));
        } else {
            queue_put(w, &link->from_broker, message, true);
        }
    }
}

/* ---- links ---- */

static void link_clear(struct link *link) {
    queue_clear(&link->to_broker);
    queue_clear(&link->from_broker);
}

void link_cut(struct link *link) {
    link->silent = true;
    link_clear(link);
}

void link_deliver(struct world *w, struct link *link) {
    struct packet *p;
    while (w->core != NULL && link->id != 0 && !link->silent && rp_core_wants_input(w->core) &&
           (p = queue_take(w, &link->to_broker)) != NULL) {
        enum rp_err err =
            rp_core_message(w->core, link->id, rp_buf_bytes(&p->bytes), broker_now(w));
        RP_ASSERT(err == RP_OK);
        packet_free(p);
    }
}

/* ---- gateways ---- */

static void gateway_start(struct world *w, struct gateway *gateway) {
    struct rp_gateway_config config = {.ping_interval_ms = PING_INTERVAL_MS,
                                       .ping_timeout_ms = PING_TIMEOUT_MS,
                                       .connect_timeout_ms = 20000,
                                       .upgrade_timeout_ms = 1000,
                                       .max_payload = w->profile.max_payload,
                                       .queue_bytes = 600,
                                       .queue_low_bytes = 100,
                                       .link_credit_bytes = 6000,
                                       .client_requests_max = w->profile.client_requests_max,
                                       .relay_window_bytes = w->profile.relay_window_bytes,
                                       .name = "sim",
                                       .namespaces = w->namespaces,
                                       .hash_key = {3, 4},
                                       .random = world_random,
                                       .random_ctx = w};
    gateway->core = rp_gateway_new(&config, w->now_ms);
    gateway->link.id = 0;
}

static void count_gateway(struct tally *t, struct gateway *gateway) {
    const struct rp_gateway_stats *stats = rp_gateway_stats(gateway->core);
    t->polls += stats->polls;
    t->relays += stats->relayed;
    t->relays_failed += stats->relays_failed;
    t->upgrades += stats->upgrades;
    t->upgrades_failed += stats->upgrades_failed;
    t->pauses += stats->paused;
}

void world_count(struct world *w) {
    for (unsigned i = 0; i < GATEWAYS; i++) {
        if (w->gateways[i].core != NULL) {
            count_gateway(&w->tally, &w->gateways[i]);
        }
    }
    if (w->core != NULL) {
        count_broker(w);
    }
    workers_count(w);
}

static void gateway_kill(struct world *w, unsigned index) {
    struct gateway *gateway = &w->gateways[index];
    struct rp_list *it, *tmp;
    count_gateway(&w->tally, gateway);
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
    link_clear(&gateway->link);
    gateway->link.id = 0;
    gateway->restart_at_ms = w->now_ms + below(w, 3000);
}

static void gateway_flush(struct world *w, unsigned index) {
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

/* ---- links of gateways ---- */

static void link_renew(struct world *w, struct gateway *gateway) {
    enum rp_uplink_need need;
    while ((need = rp_gateway_uplink_need(gateway->core, w->now_ms)) == RP_UPLINK_CLOSE ||
           (need == RP_UPLINK_OPEN && w->core != NULL)) {
        link_clear(&gateway->link);
        gateway->link.id = 0;
        gateway->link.silent = false;
        if (need == RP_UPLINK_OPEN) {
            gateway->link.id = w->next_link_id++;
            rp_gateway_uplink_opened(gateway->core, w->now_ms);
        }
    }
}

static void link_run(struct world *w, struct gateway *gateway) {
    struct rp_buf message;
    struct packet *p;
    link_renew(w, gateway);
    while (rp_gateway_uplink_take(gateway->core, w->now_ms, &message)) {
        if (gateway->link.silent || gateway->link.id == 0) {
            rp_buf_done(&message);
        } else {
            queue_put(w, &gateway->link.to_broker, message, true);
        }
    }
    while (gateway->link.id != 0 && !gateway->link.silent &&
           (p = queue_take(w, &gateway->link.from_broker)) != NULL) {
        enum rp_err err =
            rp_gateway_uplink_message(gateway->core, rp_buf_bytes(&p->bytes), w->now_ms);
        RP_ASSERT(err == RP_OK);
        packet_free(p);
    }
    link_deliver(w, &gateway->link);
}

static void gateway_run(struct world *w, unsigned index) {
    struct gateway *gateway = &w->gateways[index];
    if (gateway->core == NULL) {
        if (w->now_ms >= gateway->restart_at_ms) {
            gateway_start(w, gateway);
        }
        return;
    }
    link_run(w, gateway);
    rp_gateway_turn(gateway->core, w->now_ms);
    gateway_flush(w, index);
}

/* ---- faults ---- */

/* Something a client has with a gateway. */
struct target {
    struct conn *conn;
    struct call *call;
};

/* One of the connections and calls that some client believes in. */
static struct target any_target(struct world *w) {
    struct engine *e = &w->clients[below(w, CLIENTS)].engine;
    struct target all[4];
    size_t count = 0;
    if (e->wire != NULL) {
        all[count++] = (struct target){.conn = e->wire};
    }
    if (e->probe != NULL) {
        all[count++] = (struct target){.conn = e->probe};
    }
    if (e->get != NULL) {
        all[count++] = (struct target){.call = e->get};
    }
    if (e->post != NULL) {
        all[count++] = (struct target){.call = e->post};
    }
    return count > 0 ? all[below(w, count)] : (struct target){.conn = NULL};
}

static bool is_something(struct target t) {
    return t.conn != NULL || t.call != NULL;
}

static void fault_cut(struct world *w, struct target t, bool unnoticed) {
    struct client *client = &w->clients[t.conn != NULL ? t.conn->client : t.call->client];
    if (t.conn != NULL) {
        conn_cut(w, t.conn, unnoticed);
    } else {
        call_cut(w, t.call, unnoticed);
    }
    if (unnoticed) {
        client->reconnect_at_ms = w->now_ms + below(w, 30);
    }
}

static void fault_stall(struct world *w, struct target t) {
    uint64_t until_ms = w->now_ms + below(w, 1500);
    if (t.conn != NULL) {
        t.conn->stalled_until_ms = until_ms;
    } else {
        t.call->stalled_until_ms = until_ms;
    }
}

static void fault_cut_link(struct world *w) {
    struct gateway *gateway = &w->gateways[below(w, GATEWAYS)];
    if (gateway->core == NULL || gateway->link.id == 0) {
        return;
    }
    link_cut(&gateway->link);
    if (chance(w, 700)) {
        rp_gateway_uplink_lost(gateway->core, w->now_ms);
        gateway->link.id = 0;
    }
}

static void faults(struct world *w) {
    struct target t = any_target(w);
    uint64_t before = w->faults_done;
    if ((w->faults & FAULT_CUT) && is_something(t) && chance(w, 20)) {
        fault_cut(w, t, false);
        w->faults_done++;
    } else if ((w->faults & FAULT_CUT) && chance(w, 4)) {
        fault_cut_link(w);
        w->faults_done++;
    } else if ((w->faults & FAULT_TAKEOVER) && is_something(t) && chance(w, 12)) {
        fault_cut(w, t, true);
        w->faults_done++;
    } else if ((w->faults & FAULT_STALL) && is_something(t) && chance(w, 10)) {
        fault_stall(w, t);
        w->faults_done++;
    } else if ((w->faults & FAULT_KILL) && chance(w, 4)) {
        unsigned index = (unsigned) below(w, GATEWAYS);
        if (w->gateways[index].core != NULL) {
            gateway_kill(w, index);
            w->faults_done++;
        }
    } else if ((w->faults & FAULT_RESTART) && w->core != NULL && chance(w, 4)) {
        broker_kill(w);
        w->broker_restart_at_ms = w->now_ms + below(w, 2000);
        w->faults_done++;
    } else if ((w->faults & FAULT_REFUSE) && w->core != NULL && chance(w, 3)) {
        rp_engine_memory_refuse(w->engine, 1 + below(w, 20));
        w->faults_done++;
    } else if ((w->faults & FAULT_WORKER) && w->profile.workers > 0 && chance(w, 5)) {
        worker_fault(w);
        w->faults_done++;
    } else if ((w->faults & FAULT_BYE) && w->profile.workers > 0 && chance(w, 3)) {
        worker_leave(w);
        w->faults_done++;
    }
    if (before != w->faults_done && chance(w, 50)) {
        uint64_t asleep_ms = below(w, 3000); /* the machine sleeps */
        w->now_ms += asleep_ms;
        w->slept_ms += asleep_ms;
    }
}

/* ---- the world ---- */

static unsigned one_of(struct world *w, const unsigned *choices, size_t count) {
    return choices[below(w, count)];
}

#define ONE_OF(w, ...)                                                                             \
    one_of(w, (const unsigned[]){__VA_ARGS__},                                                     \
           sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

/* A kind of thing is often absent, so that others are seen alone. */
static void draw_profile(struct world *w) {
    w->profile = (struct profile){
        .polling = ONE_OF(w, 0, 0, 500, 1000),
        .upgrades = ONE_OF(w, 0, 500, 1000, 1000),
        .astray = ONE_OF(w, 0, 200, 667, 1000),
        .slow = ONE_OF(w, 0, 0, 50, 300),
        .second = ONE_OF(w, 0, 500, 1000),
        .apps = ONE_OF(w, 0, 0, 500, 1000),
        .workers = ONE_OF(w, 1, 2, 3, 3),
        .binary = chance(w, 500),
        .max_payload = ONE_OF(w, 1200, 100000, 100000),
        .client_requests_max = ONE_OF(w, 2, 0, 0),
        .relay_window_bytes = ONE_OF(w, 200, 1000, 0),
    };
}

void world_init(struct world *w, uint64_t seed, unsigned faults_allowed) {
    *w = (struct world){.rng = {seed},
                        .faults = faults_allowed,
                        .faults_allowed = faults_allowed,
                        .now_ms = 1000,
                        .next_link_id = 1,
                        .next_payload = 1,
                        .acting = true};
    enum rp_err err = rp_patterns_parse("/,/b", RP_PATTERNS_EXACT, &w->namespaces);
    RP_ASSERT(err == RP_OK);
    draw_profile(w);
    w->profile.workers = w->profile.apps > 0 ? w->profile.workers : 0;
    w->profile.dark = w->profile.workers == 1 && chance(w, 300);
    rp_list_init(&w->conns);
    rp_list_init(&w->calls);
    w->store = rp_memory_store_new("simepoch");
    for (size_t i = 0; i < GATEWAYS; i++) {
        rp_list_init(&w->gateways[i].link.to_broker);
        rp_list_init(&w->gateways[i].link.from_broker);
        gateway_start(w, &w->gateways[i]);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        stock_init(&w->clients[i].stock, w->profile.binary);
        engine_init(&w->clients[i].engine);
        w->clients[i].nsps = 1u | (unsigned) chance(w, w->profile.second) << 1;
        for (unsigned nsp = FIRST_APP; nsp < NAMESPACES; nsp++) {
            w->clients[i].nsps |= (unsigned) chance(w, w->profile.apps) << nsp;
        }
    }
    workers_init(w, w->profile.workers);
    broker_start(w);
}

void world_step(struct world *w) {
    w->now_ms += 1 + below(w, 5);
    broker_run(w);
    for (unsigned i = 0; i < GATEWAYS; i++) {
        gateway_run(w, i);
    }
    workers_run(w);
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_run(w, &w->clients[i]);
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->conns, it, tmp) {
        conn_run(w, RP_CONTAINER_OF(it, struct conn, node));
    }
    RP_LIST_FOR(&w->calls, it, tmp) {
        call_run(w, RP_CONTAINER_OF(it, struct call, node));
    }
    faults(w);
}

void world_done(struct world *w) {
    for (unsigned i = 0; i < GATEWAYS; i++) {
        if (w->gateways[i].core != NULL) {
            gateway_kill(w, i);
        }
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->conns, it, tmp) {
        conn_free(RP_CONTAINER_OF(it, struct conn, node));
    }
    RP_LIST_FOR(&w->calls, it, tmp) {
        call_free(RP_CONTAINER_OF(it, struct call, node));
    }
    if (w->core != NULL) {
        broker_kill(w);
    }
    workers_done(w);
    for (size_t i = 0; i < CLIENTS; i++) {
        engine_done(&w->clients[i].engine);
        stock_done(&w->clients[i].stock);
    }
    for (size_t i = 0; i < w->log_count; i++) {
        rp_record_unref(w->log[i]);
    }
    free(w->log);
    rp_memory_store_free(w->store);
    rp_patterns_free(w->namespaces);
}

/* tests/sim/faults.c — what goes wrong, now and then: all of it comes from here. */
#include "tests/sim/world.h"

#include "broker/memory_store.h"
#include "common/alloc.h"

/* ---- clients ---- */

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

static unsigned client_of(struct target t) {
    return t.conn != NULL ? t.conn->client : t.call->client;
}

/* unnoticed: the gateway does not hear of it. */
static bool cut(struct world *w, bool unnoticed) {
    struct target t = any_target(w);
    if (!is_something(t)) {
        return false;
    }
    struct client *client = &w->clients[client_of(t)];
    world_trace(w, "fault: client %u is cut off%s", client_of(t), unnoticed ? " unnoticed" : "");
    if (t.conn != NULL) {
        conn_cut(w, t.conn, unnoticed);
    } else {
        call_cut(w, t.call, unnoticed);
    }
    if (unnoticed) {
        client->reconnect_at_ms = w->now_ms + below(w, 30);
    }
    *(unnoticed ? &w->tally.cuts_unnoticed : &w->tally.cuts) += 1;
    return true;
}

static bool cut_noticed(struct world *w) {
    return cut(w, false);
}

static bool cut_unnoticed(struct world *w) {
    return cut(w, true);
}

static bool stall(struct world *w) {
    struct target t = any_target(w);
    uint64_t until_ms = w->now_ms + below(w, 1500);
    if (t.conn != NULL) {
        t.conn->stalled_until_ms = until_ms;
    } else if (t.call != NULL) {
        t.call->stalled_until_ms = until_ms;
    } else {
        return false;
    }
    world_trace(w, "fault: client %u does not read", client_of(t));
    w->tally.stalls++;
    return true;
}

/* ---- gateways and their links ---- */

static bool cut_link(struct world *w) {
    unsigned index = (unsigned) below(w, GATEWAYS);
    struct gateway *gateway = &w->gateways[index];
    if (gateway->core == NULL || gateway->link.id == 0) {
        return false;
    }
    world_trace(w, "fault: the link of gateway %u is cut", index);
    link_cut(&gateway->link);
    if (chance(w, 700)) {
        rp_gateway_uplink_lost(gateway->core, w->now_ms);
        link_renew(&gateway->link, 0);
    }
    w->tally.link_cuts++;
    return true;
}

/* Both live, and the next links are no better. */
static bool part(struct world *w) {
    unsigned index = (unsigned) below(w, GATEWAYS);
    struct link *link = &w->gateways[index].link;
    uint64_t until_ms = w->now_ms + below(w, chance(w, 500) ? 2000 : 12000);
    unsigned directions = 1 + (unsigned) below(w, 3);
    if (directions & 1) {
        link->up_held_until_ms = until_ms;
    }
    if (directions & 2) {
        link->down_held_until_ms = until_ms;
    }
    world_trace(w, "fault: gateway %u %s the broker until %llu", index,
                directions == 1   ? "is not heard by"
                : directions == 2 ? "does not hear"
                                  : "is parted from",
                (unsigned long long) until_ms);
    w->tally.partitions++;
    w->tally.partitions_one_way += directions < 3;
    return true;
}

static bool kill_gateway(struct world *w) {
    unsigned index = (unsigned) below(w, GATEWAYS);
    if (w->gateways[index].core == NULL) {
        return false;
    }
    world_trace(w, "fault: gateway %u is killed", index);
    gateway_kill(w, index);
    w->tally.gateway_kills++;
    return true;
}

static bool hang(struct world *w) {
    uint64_t ms = below(w, chance(w, 300) ? 9000 : 1500);
    unsigned index = (unsigned) below(w, GATEWAYS + 1);
    if (index == GATEWAYS) {
        if (w->broker.core == NULL) {
            return false;
        }
        world_trace(w, "fault: the broker hangs for %llu ms", (unsigned long long) ms);
        w->broker.hung_until_ms = w->now_ms + ms;
        w->tally.broker_hangs++;
    } else {
        world_trace(w, "fault: gateway %u hangs for %llu ms", index, (unsigned long long) ms);
        w->gateways[index].hung_until_ms = w->now_ms + ms;
        w->tally.gateway_hangs++;
    }
    return true;
}

/* ---- the broker and its disk ---- */

static bool kill_broker(struct world *w) {
    if (w->broker.core == NULL) {
        return false;
    }
    world_trace(w, "fault: the broker is killed");
    w->tally.broker_kills++;
    broker_kill(w, 2000);
    return true;
}

static bool stop(struct world *w) {
    unsigned index = (unsigned) below(w, 2 * GATEWAYS);
    if (index < GATEWAYS) {
        if (w->gateways[index].core == NULL || w->gateways[index].stops_by_ms > 0) {
            return false;
        }
        world_trace(w, "fault: gateway %u is stopped", index);
        gateway_stop(w, index);
        w->tally.gateway_stops++;
    } else {
        if (w->broker.core == NULL || w->broker.stopping_since_ms > 0) {
            return false;
        }
        world_trace(w, "fault: the broker is stopped");
        broker_stop(w);
        w->tally.broker_stops++;
    }
    return true;
}

static bool refuse(struct world *w) {
    bool is_full = chance(w, 500);
    size_t count = 1 + below(w, 20);
    if (w->broker.core == NULL) {
        return false;
    }
    world_trace(w, "fault: the disk %s for %zu records", is_full ? "is full" : "refuses", count);
    rp_engine_memory_refuse_with(w->broker.engine, count, is_full ? RP_E_NO_SPACE : RP_E_IO);
    w->tally.refusals++;
    return true;
}

static bool fail(struct world *w) {
    if (w->broker.core == NULL) {
        return false;
    }
    world_trace(w, "fault: the disk is gone");
    rp_engine_memory_fail(w->broker.engine, below(w, 20), RP_E_IO);
    return true;
}

static bool jump(struct world *w) {
    static const uint64_t most_ms[] = {1000, 60000, 3600000, 3 * 86400000};
    uint64_t ms = below(w, most_ms[below(w, 4)]);
    bool back = chance(w, 500);
    w->jumps = rp_array_reserve(w->jumps, w->jumps_count, &w->jumps_capacity, sizeof *w->jumps);
    w->jumps[w->jumps_count++] = (struct jump){.era = (unsigned) w->past_count,
                                               .logged = w->now.log_count,
                                               .wall_ms = broker_now(w).wall_ms};
    world_trace(w, "fault: the clock jumps by %s%llu ms", back ? "-" : "", (unsigned long long) ms);
    w->wall_ms += back ? -ms : ms;
    *(back ? &w->tally.clock_back : &w->tally.clock_forward) += 1;
    return true;
}

/* A copy is made, or one that was made is put back. */
static bool restore(struct world *w) {
    if (w->copy == NULL || chance(w, 500)) {
        if (w->copy != NULL) {
            rp_memory_store_free(w->copy);
        }
        w->copy = rp_memory_store_copy(w->store);
        w->tally.copies++;
        world_trace(w, "a copy is made of the log");
        return false;
    }
    world_trace(w, "fault: the log is lost");
    broker_restore(w);
    return true;
}

/* ---- workers ---- */

static bool trouble_worker(struct world *w) {
    if (w->profile.workers > 0) {
        worker_fault(w);
    }
    return w->profile.workers > 0;
}

static bool send_worker_home(struct world *w) {
    if (w->profile.workers > 0) {
        worker_leave(w);
    }
    return w->profile.workers > 0;
}

/* ---- all ---- */

static const struct {
    unsigned fault, per_thousand;    /* in a step of time, if no other happens */
    bool (*happen)(struct world *w); /* false: it cannot, now */
} faults[] = {
    {FAULT_CUT, 20, cut_noticed},
    {FAULT_CUT, 4, cut_link},
    {FAULT_TAKEOVER, 12, cut_unnoticed},
    {FAULT_STALL, 10, stall},
    {FAULT_KILL, 4, kill_gateway},
    {FAULT_RESTART, 4, kill_broker},
    {FAULT_STOP, 5, stop},
    {FAULT_REFUSE, 3, refuse},
    {FAULT_WORKER, 5, trouble_worker},
    {FAULT_BYE, 3, send_worker_home},
    {FAULT_PARTITION, 2, part},
    {FAULT_HANG, 2, hang},
    {FAULT_FATAL, 2, fail},
    {FAULT_CLOCK, 2, jump},
    {FAULT_RESTORE, 4, restore},
};

void faults_run(struct world *w) {
    bool done = false;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0] && !done; i++) {
        done = (w->faults & faults[i].fault) && chance(w, faults[i].per_thousand) &&
               faults[i].happen(w);
    }
    w->faults_done += done;
    if (done && chance(w, 50)) {
        uint64_t asleep_ms = below(w, 3000);
        w->now_ms += asleep_ms;
        w->slept_ms += asleep_ms;
        w->tally.sleeps++;
        world_trace(w, "all have slept for %llu ms", (unsigned long long) asleep_ms);
    }
}

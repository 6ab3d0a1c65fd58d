/* tests/sim/oracle_bounds.c — what must hold at any time, however much happens: memory is bounded.
 * And what must hold at rest: nothing is left of what was under way. */
#include "tests/sim/oracle.h"

#include <stdio.h>

enum {
    EVENT_BYTES_MAX = 12000, /* the largest event with all that belongs to it */
    CONTROL_BYTES_MAX =
        60000, /* what a link may carry beyond its credit: answers, verdicts, rooms */
};

static const char *exceeds(const char *what, uint64_t there, uint64_t most) {
    return there <= most ? NULL
                         : oracle_complain("%s: %llu, where at most %llu may be", what,
                                           (unsigned long long) there, (unsigned long long) most);
}

static uint64_t bytes_of(const struct rp_list *queue) {
    uint64_t bytes = 0;
    const struct rp_list *it = queue->next;
    for (; it != queue; it = it->next) {
        bytes += RP_CONTAINER_OF(it, const struct packet, node)->bytes.len;
    }
    return bytes;
}

static const char *check_broker(const struct world *w) {
    const struct rp_core_stats *s = rp_core_stats(w->broker.core);
    const struct profile *p = &w->profile;
    const char *wrong = exceeds("records in the tail", s->tail_records, p->tail_records_max);
    wrong = wrong == NULL
                ? exceeds("bytes of the tail", s->tail_bytes, TAIL_BYTES_MAX + EVENT_BYTES_MAX)
                : wrong;
    wrong = wrong == NULL ? exceeds("cursors", s->cursors, s->connected) : wrong;
    return wrong == NULL ? exceeds("bytes of shared pages", s->shared_bytes,
                                   p->share_bytes + (uint64_t) CLIENTS * EVENT_BYTES_MAX)
                         : wrong;
}

static const char *check_gateway(const struct world *w, const struct gateway *g) {
    const struct rp_gateway_stats *s = rp_gateway_stats(g->core);
    uint64_t most = LINK_CREDIT_BYTES + EVENT_BYTES_MAX + CONTROL_BYTES_MAX;
    const char *wrong =
        exceeds("bytes on a link to a gateway", bytes_of(&g->link.from_broker), most);
    wrong = wrong == NULL
                ? exceeds("bytes on a link to the broker", bytes_of(&g->link.to_broker), most)
                : wrong;
    /* of each client: its queue, a page, and what it asked for itself */
    uint64_t each = GATEWAY_QUEUE_BYTES + PAGE_BYTES + 4 * EVENT_BYTES_MAX;
    (void) w;
    return wrong == NULL
               ? exceeds("bytes queued for clients", s->queued_bytes, s->clients * each + each)
               : wrong;
}

const char *oracle_watch(const struct world *w) {
    const char *wrong = w->broker.core != NULL ? check_broker(w) : NULL;
    for (size_t i = 0; i < GATEWAYS && wrong == NULL; i++) {
        if (w->gateways[i].core != NULL) {
            wrong = check_gateway(w, &w->gateways[i]);
        }
    }
    return wrong;
}

/* ---- at rest ---- */

static const char *differ(const char *what, uint64_t there, const char *other, uint64_t here) {
    return there == here ? NULL
                         : oracle_complain("%s %llu, %s %llu", what, (unsigned long long) there,
                                           other, (unsigned long long) here);
}

/* The session's connection, by what follows its record in the log, is at the gateway still. */
static bool is_still_at(const struct world *w, size_t at) {
    const struct era *era = &w->now;
    const struct rp_record *opened = era->log[at];
    uint64_t session = opened->f.kind == RP_RECORD_OPEN ? opened->seq : opened->f.session;
    for (size_t i = at + 1; i < era->log_count; i++) {
        const struct rp_record *r = era->log[i];
        bool ends = r->f.kind == RP_RECORD_END || r->f.kind == RP_RECORD_RESUME ||
                    (r->f.kind == RP_RECORD_CLOSE && r->f.conn == opened->seq);
        if ((ends && r->f.session == session) ||
            (r->f.kind == RP_RECORD_GONE && r->f.aux == opened->f.origin)) {
            return false;
        }
    }
    return !oracle_app_has_ended(w, session); /* by a worker */
}

const char *oracle_check_drained(const struct world *w, uint64_t incarnation) {
    const struct era *era = &w->now;
    for (size_t i = 0; i < era->log_count && w->past_count == 0; i++) {
        const struct rp_record *r = era->log[i];
        bool opens = r->f.kind == RP_RECORD_OPEN || r->f.kind == RP_RECORD_RESUME;
        if (opens && r->f.origin == incarnation && is_still_at(w, i)) {
            return oracle_complain("the connection %llu is at a gateway that has stopped in order",
                                   (unsigned long long) r->seq);
        }
    }
    return NULL;
}

const char *oracle_check_rest(const struct world *w) {
    uint64_t sessions = 0, clients = 0, relays = 0, relayed = 0, requests = 0;
    for (size_t i = 0; i < GATEWAYS; i++) {
        if (w->gateways[i].core == NULL) {
            return "a gateway is still dead";
        }
        const struct rp_gateway_stats *stats = rp_gateway_stats(w->gateways[i].core);
        sessions += stats->sessions;
        clients += stats->clients;
        relays += stats->relays;
        requests += stats->requests_open;
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        const struct engine *e = &w->clients[i].engine;
        relayed += e->get != NULL && e->get->gateway != e->home;
        relayed += e->wire != NULL && e->wire->gateway != e->home;
    }
    const char *wrong =
        differ("connected sessions of the broker:", rp_core_stats(w->broker.core)->connected,
               "of the gateways:", sessions);
    wrong = wrong == NULL ? differ("clients of the gateways:", clients, "of all:", CLIENTS) : wrong;
    wrong = wrong == NULL ? differ("requests never answered:", requests, "asked now:", 0) : wrong;
    wrong = wrong == NULL
                ? differ("relays (two for each):", relays, "requests astray, twice:", 2 * relayed)
                : wrong;
    wrong = wrong == NULL
                ? differ("sessions that catch up:", rp_core_stats(w->broker.core)->cursors,
                         "that must:", 0)
                : wrong;
    if (wrong == NULL && !rp_core_is_settled(w->broker.core)) {
        wrong = "records are not decided";
    }
    return wrong == NULL ? oracle_app_check_rest(w) : wrong;
}

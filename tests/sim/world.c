/* tests/sim/world.c — a schedule: what there is in it, drawn from the seed, and a step of its time.
 */
#include "tests/sim/world.h"

#include "common/assert.h"
#include "common/pattern.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void world_random(void *ctx, void *out, size_t len) {
    struct world *w = ctx;
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *) out)[i] = (uint8_t) rp_rng_next(&w->rng);
    }
}

void world_trace(const struct world *w, const char *format, ...) {
    if (!w->tracing) {
        return;
    }
    va_list args;
    printf("%7llu  ", (unsigned long long) w->now_ms);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

void world_count(struct world *w) {
    for (unsigned i = 0; i < GATEWAYS; i++) {
        if (w->gateways[i].core != NULL) {
            gateway_count(w, i);
        }
    }
    broker_count(w);
    workers_count(w);
}

/* ---- what a schedule is like ---- */

static unsigned one_of(struct world *w, const unsigned *choices, size_t count) {
    return choices[below(w, count)];
}

#define ONE_OF(w, ...)                                                                             \
    one_of(w, (const unsigned[]){__VA_ARGS__},                                                     \
           sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

/* Limits of the whole log, of all rooms, or of some. */
static void draw_retention(struct world *w) {
    struct profile *p = &w->profile;
    unsigned kinds = w->faults & FAULT_TRIM ? 1 + (unsigned) below(w, 7) : 0;
    size_t len = 0;
    p->whole = RP_RETENTION_UNLIMITED;
    if (kinds & 1) {
        p->whole.events = chance(w, 500) ? 30 + below(w, 600) : UINT64_MAX;
        p->whole.age_ms = chance(w, 500) ? 500 + below(w, 8000) : UINT64_MAX;
        p->whole.bytes = chance(w, 300) ? 10000 + below(w, 100000) : UINT64_MAX;
    }
    if (kinds & 2) {
        len += (size_t) snprintf(
            p->rules + len, sizeof p->rules - len, "/ r1,r2 events=%llu; * r3 bytes=%llu;",
            (unsigned long long) (1 + below(w, 60)), (unsigned long long) (1 + below(w, 20000)));
    }
    if (kinds & 4) {
        snprintf(p->rules + len, sizeof p->rules - len, "* r4; %s events=%llu age=%llums",
                 chance(w, 500) ? "* *" : "/,/d r0,r1", (unsigned long long) (1 + below(w, 200)),
                 (unsigned long long) (300 + below(w, 9000)));
    }
}

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
        .tail_records_max = ONE_OF(w, 12, 40, 100, 400, 2000) + below(w, 60),
        .share_bytes = ONE_OF(w, 12000, 60000, 1000000),
        .session_ttl_ms = w->faults & FAULT_EXPIRE ? 100 + below(w, 900) : 7200000,
        .retention_ms = 200 + below(w, 1000),
    };
    if (w->faults & FAULT_RESTORE) {
        w->profile.apps = 0;
    }
    w->profile.workers = w->profile.apps > 0 ? w->profile.workers : 0;
    w->profile.dark = w->profile.workers == 1 && chance(w, 300);
    draw_retention(w);
}

void world_init(struct world *w, uint64_t seed, unsigned faults_allowed, bool tracing) {
    *w = (struct world){.seed = seed,
                        .tracing = tracing,
                        .rng = {seed},
                        .faults = faults_allowed,
                        .faults_allowed = faults_allowed,
                        .now_ms = 1000,
                        .wall_ms = 1700000000000,
                        .next_link_id = 1,
                        .next_payload = 1,
                        .acting = true};
    enum rp_err err = rp_patterns_parse("/,/b", RP_PATTERNS_EXACT, &w->namespaces);
    RP_ASSERT(err == RP_OK);
    draw_profile(w);
    rp_list_init(&w->conns);
    rp_list_init(&w->calls);
    gateways_init(w);
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_init(w, i);
    }
    workers_init(w, w->profile.workers);
    world_trace(w, "a tail of %zu records, %zu bytes of shared pages, retention %s",
                w->profile.tail_records_max, w->profile.share_bytes, w->profile.rules);
    broker_init(w);
}

void world_step(struct world *w, uint64_t ms_max) {
    w->now_ms += 1 + below(w, ms_max);
    broker_run(w);
    gateways_run(w);
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
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_note(w, &w->clients[i]);
    }
    faults_run(w);
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
    workers_done(w);
    for (size_t i = 0; i < CLIENTS; i++) {
        engine_done(&w->clients[i].engine);
        stock_done(&w->clients[i].stock);
    }
    broker_done(w);
    free(w->volatiles);
    rp_patterns_free(w->namespaces);
}

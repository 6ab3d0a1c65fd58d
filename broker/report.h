/* broker/report.h — what the broker tells those who watch it: metrics and health, from the counters
 * of core, hub and engine. */
#pragma once

#include "broker/core.h"
#include "broker/hub.h"

struct rp_report {
    struct rp_core *core;
    const struct rp_hub *hub;
    const struct rp_engine *engine; /* of engine_sqlite */
    bool stopping;
};

/* Both fit struct rp_admin_source; ctx is a struct rp_report. */
enum rp_err rp_report_metrics(void *ctx, struct rp_buf *out);
bool rp_report_health(void *ctx, struct rp_buf *out);

/* One line of log for each kind of change in the links since the last call. Cheap if there is
 * none. */
struct rp_report_links {
    uint64_t gateways_linked, workers_linked, workers_lost;
    uint64_t hellos_refused, links_lost, links_reset, gateways_gone, gateways_left;
};
void rp_report_links(struct rp_core *core, const struct rp_core_stats *live,
                     struct rp_report_links *told);

/* A line of log when the engine began to refuse events for want of space, or ended to, since the
 * last call. */
void rp_report_space(const struct rp_engine *engine, bool *told);

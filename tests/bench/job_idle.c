/* tests/bench/job_idle.c — the job idle: what a connection that does nothing costs in memory. */
#include "tests/bench/job.h"
#include "tests/bench/meter.h"

#include <inttypes.h>

enum { SETTLE_MS = 500 }; /* for what was needed only to connect to be given back */

/* They answer pings meanwhile, and must stay connected. */
static void settle(struct rp_crowd *crowd, struct rp_result *r) {
    uint64_t end_ns = rp_crowd_now_ns() + SETTLE_MS * (uint64_t) RP_JOB_MS_NS;
    struct rp_crowd_event event;
    while (rp_result_is_fine(r) && rp_crowd_now_ns() < end_ns) {
        rp_crowd_wait(crowd, end_ns);
        while (rp_crowd_next(crowd, &event)) {
            if (event.what == RP_CROWD_CLOSED) {
                rp_job_fail_closed(&event, r);
            }
        }
    }
}

void rp_job_idle(const struct rp_job_settings *s, struct rp_result *r) {
    struct rp_meter meter;
    snprintf(r->settings, sizeof r->settings, "%" PRIu64 " connections in the namespace",
             s->connections);
    rp_meter_begin(&meter, &s->servers, r);
    const struct rp_job_gathering gathering = {.clients = s->connections};
    struct rp_crowd *crowd = rp_job_gather(s, &gathering, r);
    if (crowd == NULL) {
        return;
    }
    rp_meter_end(&meter, "connect", "connects", s->connections, r);
    settle(crowd, r);
    rp_meter_put_memory(&meter, "connection", s->connections, r);
    rp_crowd_free(crowd);
}

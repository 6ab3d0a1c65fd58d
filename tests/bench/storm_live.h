/* tests/bench/storm_live.h — the live traffic of others beside a storm: a process of its own, so
 * that what the storm's clients cost us does not count as the servers' delay.
 *
 * Rooms of a few members at one gateway, one publisher each, at a fixed rate; latencies count from
 * when a message was due, into the histogram of the phase that the storm is in. */
#pragma once

#include "tests/bench/job.h"

enum rp_storm_phase {
    RP_STORM_SETUP,  /* does not count */
    RP_STORM_BEFORE, /* as usual */
    RP_STORM_DURING, /* clients come back */
    RP_STORM_PHASES,
    RP_STORM_END = RP_STORM_PHASES, /* the process ends */
};

struct rp_storm_live;

/* Begins, at the gateway with this number. Returns when all members are there; NULL: it failed,
 * which the result says. */
struct rp_storm_live *rp_storm_live_start(const struct rp_job_settings *s, size_t gateway,
                                          struct rp_result *r);
void rp_storm_live_phase(struct rp_storm_live *live, enum rp_storm_phase phase);
/* Ends it, and puts what it found. */
void rp_storm_live_stop(struct rp_storm_live *live, struct rp_result *r);

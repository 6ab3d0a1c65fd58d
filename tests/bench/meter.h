/* tests/bench/meter.h — a stretch of time and what it cost: between its two calls everything the
 * servers did is counted. */
#pragma once

#include "tests/bench/proc.h"
#include "tests/bench/result.h"

struct rp_meter {
    const struct rp_procs *servers; /* borrowed */
    struct rp_proc_usage before[RP_PROCS_MAX];
    uint64_t began_ns, own_cpu_ns;
};

/* A server that has ended fails the result. */
void rp_meter_begin(struct rp_meter *m, const struct rp_procs *servers, struct rp_result *r);
/* Puts seconds, "<unit>s_per_s" and "cpu_us_per_<unit>" (user and system time of all servers, and
 * of each), the system's share of it, and how busy we were ourselves: near 1, we are what is
 * measured. count: how many units there were. */
void rp_meter_end(struct rp_meter *m, const char *unit, const char *units, uint64_t count,
                  struct rp_result *r);

/* Puts how much resident memory the servers have gained since the beginning, per one of count. */
void rp_meter_put_memory(const struct rp_meter *m, const char *unit, uint64_t count,
                         struct rp_result *r);

#include "tests/bench/meter.h"

#include "tests/bench/crowd.h"

#include <time.h>

static uint64_t own_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static void read_all(const struct rp_procs *servers, struct rp_proc_usage *ret_usages,
                     struct rp_result *r) {
    for (size_t i = 0; i < servers->count; i++) {
        if (rp_proc_read(&servers->procs[i], &ret_usages[i]) != RP_OK) {
            ret_usages[i] = (struct rp_proc_usage){0};
            rp_result_fail(r, "%s (%d) has ended", servers->procs[i].name,
                           (int) servers->procs[i].pid);
        }
    }
}

static double per(double value, uint64_t count) {
    return count > 0 ? value / (double) count : 0;
}

void rp_meter_begin(struct rp_meter *m, const struct rp_procs *servers, struct rp_result *r) {
    *m = (struct rp_meter){.servers = servers};
    read_all(servers, m->before, r);
    m->own_cpu_ns = own_cpu_ns();
    m->began_ns = rp_crowd_now_ns();
}

void rp_meter_end(struct rp_meter *m, const char *unit, const char *units, uint64_t count,
                  struct rp_result *r) {
    double seconds = (double) (rp_crowd_now_ns() - m->began_ns) / 1e9;
    double own = (double) (own_cpu_ns() - m->own_cpu_ns) / 1e9;
    struct rp_proc_usage after[RP_PROCS_MAX];
    double cpu_us[RP_PROCS_MAX], cpu_us_sum = 0, user = 0, system = 0;
    read_all(m->servers, after, r);
    if (!rp_result_is_fine(r)) {
        return;
    }
    for (size_t i = 0; i < m->servers->count; i++) {
        cpu_us[i] = (double) (after[i].cpu_ns - m->before[i].cpu_ns) / 1e3;
        cpu_us_sum += cpu_us[i];
        user += (double) (after[i].user_ticks - m->before[i].user_ticks);
        system += (double) (after[i].system_ticks - m->before[i].system_ticks);
    }
    rp_result_put(r, seconds, "seconds");
    rp_result_put(r, (double) count / seconds, "%s_per_s", units);
    rp_result_put(r, per(cpu_us_sum, count), "cpu_us_per_%s", unit);
    for (size_t i = 0; i < m->servers->count; i++) {
        rp_result_put(r, per(cpu_us[i], count), "cpu_us_per_%s/%s", unit,
                      m->servers->procs[i].name);
    }
    rp_result_put(r, user + system > 0 ? system / (user + system) : 0, "cpu_share_system");
    rp_result_put(r, cpu_us_sum / 1e6 / seconds, "cpus_busy_servers");
    rp_result_put(r, own / seconds, "cpus_busy_generator");
}

void rp_meter_put_memory(const struct rp_meter *m, const char *unit, uint64_t count,
                         struct rp_result *r) {
    struct rp_proc_usage after[RP_PROCS_MAX];
    read_all(m->servers, after, r);
    for (size_t i = 0; i < m->servers->count && rp_result_is_fine(r); i++) {
        double gained = (double) after[i].rss_bytes - (double) m->before[i].rss_bytes;
        rp_result_put(r, per(gained, count), "rss_bytes_per_%s/%s", unit,
                      m->servers->procs[i].name);
    }
}

/* tests/bench/proc.h — what other processes use up, as the kernel counts it. */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum { RP_PROCS_MAX = 16, RP_PROC_NAME_SIZE = 32 };

struct rp_proc {
    char name[RP_PROC_NAME_SIZE]; /* for the report */
    pid_t pid;
    clockid_t cpu_clock;
};

struct rp_procs {
    struct rp_proc procs[RP_PROCS_MAX];
    size_t count;
};

struct rp_proc_usage {
    uint64_t cpu_ns;                   /* user and system, all threads, also those that ended */
    uint64_t user_ticks, system_ticks; /* 1/100 s; only their proportion is of use */
    uint64_t rss_bytes;
};

/* Adds a process.  RP_E_NOT_FOUND: there is none. RP_E_FULL: RP_PROCS_MAX. RP_E_TOO_BIG: the name.
 */
RP_MUST_USE enum rp_err rp_procs_add(struct rp_procs *p, const char *name, pid_t pid);
/* Adds those of a list "broker=123,gateway-1=124". Also RP_E_INVALID. */
RP_MUST_USE enum rp_err rp_procs_parse(struct rp_procs *p, const char *list);

/* RP_E_NOT_FOUND: it has ended. */
RP_MUST_USE enum rp_err rp_proc_read(const struct rp_proc *proc, struct rp_proc_usage *ret_usage);

/* The most memory it had since it was reset. RP_E_NOT_FOUND likewise. */
RP_MUST_USE enum rp_err rp_proc_read_peak(const struct rp_proc *proc, uint64_t *ret_bytes);
void rp_proc_reset_peak(const struct rp_proc *proc);

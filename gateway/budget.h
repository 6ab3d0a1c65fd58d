/* gateway/budget.h — what clients may make a gateway hold, all of them together: one number, of
 * which each kind of thing has its part. Without it the parts are what common/limits.h says; where
 * the process may use less memory than that, they are smaller in proportion. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct rp_budget {
    size_t queues;     /* RP_QUEUES_BYTES_MAX */
    size_t handshakes; /* RP_HANDSHAKES_BYTES_MAX */
    size_t assembling; /* RP_ASSEMBLING_BYTES_MAX */
    size_t parked;     /* RP_PARKED_BYTES_MAX */
    size_t bodies;     /* RP_CONN_BODIES_BYTES */
    size_t parts;      /* RP_CONN_PARTS_BYTES */
    size_t answers;    /* RP_CONN_ANSWERS_BYTES */
};

/* All of the parts; more is not used. */
uint64_t rp_budget_bytes_max(void);
/* Parts of `bytes` altogether, but each large enough for two messages of max_payload. */
struct rp_budget rp_budget_make(uint64_t bytes, size_t max_payload);
/* The sum of the parts, which is more than was asked for if that is too little for max_payload. */
uint64_t rp_budget_total(const struct rp_budget *b);

/* tests/bench/histogram.h — how long things took, at a fixed size and to within 1 %.
 *
 * Log-linear: each power of two is cut into 128 equal parts, so that a value keeps its seven
 * leading bits. Any unit; ours is ns. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { RP_HISTOGRAM_PART_BITS = 7, RP_HISTOGRAM_BUCKETS = (64 - 6) << RP_HISTOGRAM_PART_BITS };

/* A zeroed one is empty. */
struct rp_histogram {
    uint64_t counts[RP_HISTOGRAM_BUCKETS];
    uint64_t count, max;
};

void rp_histogram_add(struct rp_histogram *h, uint64_t value);
void rp_histogram_clear(struct rp_histogram *h);
/* The value that `share` (0..1) of all are not above, at most 1 % too high; 0 if there are none. */
uint64_t rp_histogram_quantile(const struct rp_histogram *h, double share);

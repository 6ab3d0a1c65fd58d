#include "tests/bench/histogram.h"

#include <string.h>

enum { PARTS = 1 << RP_HISTOGRAM_PART_BITS };

/* Values below PARTS have a bucket each; from there on the highest bit chooses the row of PARTS
 * buckets and the bits after it the bucket. */
static size_t bucket_of(uint64_t value) {
    if (value < PARTS) {
        return (size_t) value;
    }
    unsigned shift = 63u - (unsigned) __builtin_clzll(value) - RP_HISTOGRAM_PART_BITS;
    return ((size_t) (shift + 1) << RP_HISTOGRAM_PART_BITS) + (size_t) ((value >> shift) - PARTS);
}

/* The largest value that bucket_of puts there. */
static uint64_t bucket_top(size_t bucket) {
    if (bucket < PARTS) {
        return bucket;
    }
    unsigned shift = (unsigned) (bucket >> RP_HISTOGRAM_PART_BITS) - 1;
    uint64_t part = PARTS + (bucket & (PARTS - 1));
    return (part << shift) + ((UINT64_C(1) << shift) - 1);
}

void rp_histogram_add(struct rp_histogram *h, uint64_t value) {
    h->counts[bucket_of(value)]++;
    h->count++;
    h->max = value > h->max ? value : h->max;
}

void rp_histogram_clear(struct rp_histogram *h) {
    memset(h, 0, sizeof *h);
}

uint64_t rp_histogram_quantile(const struct rp_histogram *h, double share) {
    uint64_t rank = (uint64_t) (share * (double) h->count), seen = 0;
    rank = rank < h->count ? rank : h->count - (h->count > 0);
    for (size_t i = 0; i < RP_HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > rank) {
            uint64_t top = bucket_top(i);
            return top < h->max ? top : h->max;
        }
    }
    return 0;
}

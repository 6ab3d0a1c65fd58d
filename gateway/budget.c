#include "gateway/budget.h"

#include "common/limits.h"

uint64_t rp_budget_bytes_max(void) {
    return (uint64_t) RP_QUEUES_BYTES_MAX + RP_HANDSHAKES_BYTES_MAX + RP_ASSEMBLING_BYTES_MAX +
           RP_PARKED_BYTES_MAX + RP_CONN_BODIES_BYTES + RP_CONN_PARTS_BYTES + RP_CONN_ANSWERS_BYTES;
}

/* What becomes of a part whose size is `whole` if nothing bounds it. */
static size_t part(uint64_t bytes, uint64_t whole, size_t least) {
    uint64_t all = rp_budget_bytes_max();
    uint64_t size = bytes < all ? whole * (bytes >> 10) / (all >> 10) : whole;
    return size > least ? (size_t) size : least;
}

struct rp_budget rp_budget_make(uint64_t bytes, size_t max_payload) {
    /* buffers double, so a message may take twice its size while it grows */
    size_t least = 4 * max_payload;
    return (struct rp_budget){.queues = part(bytes, RP_QUEUES_BYTES_MAX, least),
                              .handshakes = part(bytes, RP_HANDSHAKES_BYTES_MAX, 0),
                              .assembling = part(bytes, RP_ASSEMBLING_BYTES_MAX, least),
                              .parked = part(bytes, RP_PARKED_BYTES_MAX, least),
                              .bodies = part(bytes, RP_CONN_BODIES_BYTES, least),
                              .parts = part(bytes, RP_CONN_PARTS_BYTES, least),
                              .answers = part(bytes, RP_CONN_ANSWERS_BYTES, least)};
}

uint64_t rp_budget_total(const struct rp_budget *b) {
    return (uint64_t) b->queues + b->handshakes + b->assembling + b->parked + b->bodies + b->parts +
           b->answers;
}

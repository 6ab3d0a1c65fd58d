/* broker/tail.h — the newest records of the log, in memory. The common replay reads nothing else.
 *
 * Holds all records with seq > base; older ones are read from the engine. Bounded in records and
 * bytes. */
#pragma once

#include "broker/room.h"

struct rp_tail {
    struct rp_record **ring;
    size_t capacity; /* a power of two */
    size_t from, count;
    size_t records_max, bytes_max, bytes; /* bytes: of the records and their further rooms */
    uint64_t base;
    struct rp_rooms *rooms; /* whose event lists follow the tail */
};

void rp_tail_init(struct rp_tail *t, struct rp_rooms *rooms, uint64_t base, size_t records_max,
                  size_t bytes_max);
void rp_tail_done(struct rp_tail *t);

/* Adds the newest record (takes a reference of its own) and drops what exceeds the bounds. */
void rp_tail_push(struct rp_tail *t, struct rp_record *record);

/* Drops the records up to a seq: the log has lost them. */
void rp_tail_trim(struct rp_tail *t, uint64_t upto);

/* Index of the first record with seq > after; t->count if there is none. after >= base. */
size_t rp_tail_after(const struct rp_tail *t, uint64_t after);

static inline struct rp_record *rp_tail_at(const struct rp_tail *t, size_t index) {
    return t->ring[(t->from + index) & (t->capacity - 1)];
}

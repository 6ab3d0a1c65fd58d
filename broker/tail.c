#include "broker/tail.h"

#include "common/alloc.h"
#include "common/assert.h"

#include <stdlib.h>

void rp_tail_init(struct rp_tail *t, struct rp_rooms *rooms, uint64_t base, size_t records_max,
                  size_t bytes_max) {
    *t = (struct rp_tail){
        .records_max = records_max, .bytes_max = bytes_max, .base = base, .rooms = rooms};
}

static void drop_oldest(struct rp_tail *t) {
    struct rp_record *oldest = rp_tail_at(t, 0);
    if (oldest->f.kind == RP_RECORD_EVENT) {
        struct rp_room *room = rp_rooms_find(t->rooms, oldest->f.nsp, oldest->f.room);
        RP_ASSERT(room != NULL);
        rp_room_pop_event(room, oldest);
        rp_rooms_release(t->rooms, room);
    }
    t->base = oldest->seq;
    t->bytes -= oldest->size;
    t->from++;
    t->count--;
    rp_record_unref(oldest);
}

void rp_tail_done(struct rp_tail *t) {
    while (t->count > 0) {
        drop_oldest(t);
    }
    free(t->ring);
    t->ring = NULL;
}

static void grow(struct rp_tail *t) {
    size_t capacity = t->capacity ? t->capacity * 2 : 256;
    struct rp_record **ring = rp_alloc(capacity * sizeof(struct rp_record *));
    for (size_t i = 0; i < t->count; i++) {
        ring[i] = rp_tail_at(t, i);
    }
    free(t->ring);
    t->ring = ring;
    t->capacity = capacity;
    t->from = 0;
}

void rp_tail_push(struct rp_tail *t, struct rp_record *record) {
    RP_ASSERT(t->count == 0 || rp_tail_at(t, t->count - 1)->seq < record->seq);
    RP_ASSERT(record->seq > t->base);
    while (t->count > 0 && (t->count >= t->records_max || t->bytes + record->size > t->bytes_max)) {
        drop_oldest(t);
    }
    if (t->count == t->capacity) {
        grow(t);
    }
    t->ring[(t->from + t->count) & (t->capacity - 1)] = rp_record_ref(record);
    t->count++;
    t->bytes += record->size;
    if (record->f.kind == RP_RECORD_EVENT) {
        rp_room_push_event(rp_rooms_get(t->rooms, record->f.nsp, record->f.room), record);
    }
}

void rp_tail_trim(struct rp_tail *t, uint64_t upto) {
    while (t->count > 0 && rp_tail_at(t, 0)->seq <= upto) {
        drop_oldest(t);
    }
    t->base = t->base > upto ? t->base : upto;
}

size_t rp_tail_after(const struct rp_tail *t, uint64_t after) {
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rp_tail_at(t, middle)->seq > after) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

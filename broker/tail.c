#include "broker/tail.h"

#include "broker/selector.h"
#include "common/alloc.h"
#include "common/assert.h"

#include <stdlib.h>

void rp_tail_init(struct rp_tail *t, struct rp_rooms *rooms, uint64_t base, size_t records_max,
                  size_t bytes_max) {
    *t = (struct rp_tail){
        .records_max = records_max, .bytes_max = bytes_max, .base = base, .rooms = rooms};
}

/* ---- the rooms' events ---- */

/* An event is in the list of each room it names, once. */

static void list_in(struct rp_tail *t, struct rp_bytes name, struct rp_record *event) {
    struct rp_room *room = rp_rooms_get(t->rooms, event->f.nsp, name);
    if (room->events_count == 0 || rp_room_event(room, room->events_count - 1) != event) {
        rp_room_push_event(room, event);
    }
}

static void unlist_from(struct rp_tail *t, struct rp_bytes name, const struct rp_record *event) {
    struct rp_room *room = rp_rooms_find(t->rooms, event->f.nsp, name);
    if (room != NULL && room->events_count > 0 && rp_room_event(room, 0) == event) {
        rp_room_pop_event(room, event);
        rp_rooms_release(t->rooms, room);
    } /* else the name was repeated */
}

static void list(struct rp_tail *t, struct rp_record *event) {
    struct rp_bytes names = event->f.rooms, name;
    list_in(t, event->f.room, event);
    while (rp_names_next(&names, &name)) {
        list_in(t, name, event);
    }
}

static void unlist(struct rp_tail *t, const struct rp_record *event) {
    struct rp_bytes names = event->f.rooms, name;
    unlist_from(t, event->f.room, event);
    while (rp_names_next(&names, &name)) {
        unlist_from(t, name, event);
    }
}

/* What a record takes of the bytes: its own, and its places in further rooms, which may be there
 * for it alone. */
static size_t weight(const struct rp_record *r) {
    enum { PLACE_BYTES = 64 };
    struct rp_bytes names = r->f.rooms, name;
    size_t weight = r->size;
    while (rp_names_next(&names, &name)) {
        weight += PLACE_BYTES;
    }
    return weight;
}

/* ---- the records ---- */

static void drop_oldest(struct rp_tail *t) {
    struct rp_record *oldest = rp_tail_at(t, 0);
    if (oldest->f.kind == RP_RECORD_EVENT) {
        unlist(t, oldest);
    }
    t->base = oldest->seq;
    t->bytes -= weight(oldest);
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
    size_t bytes = weight(record);
    while (t->count > 0 && (t->count >= t->records_max || t->bytes + bytes > t->bytes_max)) {
        drop_oldest(t);
    }
    if (t->count == t->capacity) {
        grow(t);
    }
    t->ring[(t->from + t->count) & (t->capacity - 1)] = rp_record_ref(record);
    t->count++;
    t->bytes += bytes;
    if (record->f.kind == RP_RECORD_EVENT) {
        list(t, record);
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

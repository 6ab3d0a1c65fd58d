/* broker/memory_retention.c — what retention removes from the log in memory, as broker/retention.h
 * says: borders at once, rows in parts. Everything is walked, as everywhere in this engine. */
#include "broker/memory_store.h"

#include "common/alloc.h"
#include "proto/attachments.h"

#include <stdlib.h>

struct round {
    struct rp_memory_store *store;
    const struct rp_retention *retention;
    uint64_t upto, wall_ms;
};

static bool is_old(const struct round *r, const struct rp_record *record, uint64_t age_ms) {
    return age_ms < UINT64_MAX && r->wall_ms > age_ms && record->f.ts_ms < r->wall_ms - age_ms;
}

/* ---- borders ---- */

/* The room's name as the event has it, which lives as long as the event does. */
static struct rp_bytes own_name(const struct rp_record *event, struct rp_bytes room) {
    struct rp_bytes rooms = event->f.rooms, name = event->f.room;
    while (!rp_bytes_eq(name, room) && rp_attachments_next(&rooms, &name) == RP_OK) {
    }
    return name;
}

static void raise_border(struct rp_memory_store *store, struct rp_bytes name,
                         struct rp_record *event) {
    struct rp_bytes room = own_name(event, name);
    for (size_t i = 0; i < store->trimmed_count; i++) {
        struct rp_memory_trimmed *t = &store->trimmed[i];
        if (rp_bytes_eq(t->room, room) && rp_bytes_eq(t->last->f.nsp, event->f.nsp)) {
            if (event->seq > t->last->seq) {
                rp_record_unref(t->last);
                *t = (struct rp_memory_trimmed){.last = rp_record_ref(event), .room = room};
            }
            return;
        }
    }
    store->trimmed = rp_array_reserve(store->trimmed, store->trimmed_count,
                                      &store->trimmed_capacity, sizeof(*store->trimmed));
    store->trimmed[store->trimmed_count++] =
        (struct rp_memory_trimmed){.last = rp_record_ref(event), .room = room};
}

uint64_t rp_memory_store_border(const struct rp_memory_store *store, struct rp_bytes nsp,
                                struct rp_bytes room) {
    for (size_t i = 0; i < store->trimmed_count; i++) {
        const struct rp_memory_trimmed *t = &store->trimmed[i];
        if (rp_bytes_eq(t->room, room) && rp_bytes_eq(t->last->f.nsp, nsp)) {
            return t->last->seq;
        }
    }
    return 0;
}

/* All rooms of an event lose it. */
static void lose(struct rp_memory_store *store, struct rp_record *event) {
    struct rp_bytes rooms = event->f.rooms, room;
    raise_border(store, event->f.room, event);
    while (rp_attachments_next(&rooms, &room) == RP_OK) {
        raise_border(store, room, event);
    }
}

static bool is_lost(const struct rp_memory_store *store, const struct rp_record *event) {
    struct rp_bytes rooms = event->f.rooms, room;
    bool lost = rp_memory_store_border(store, event->f.nsp, event->f.room) >= event->seq;
    while (lost && rp_attachments_next(&rooms, &room) == RP_OK) {
        lost = rp_memory_store_border(store, event->f.nsp, room) >= event->seq;
    }
    return lost;
}

/* ---- the whole log ---- */

/* Where the log's beginning ends that no limit of the whole keeps. */
static uint64_t whole_end(const struct round *r) {
    const struct rp_memory_store *store = r->store;
    struct rp_retention_limits whole = rp_retention_whole(r->retention);
    uint64_t last = store->next_seq - 1, end = store->first_seq - 1;
    size_t bytes = 0, i = 0;
    if (whole.events < last && last - whole.events > end) {
        end = last - whole.events;
    }
    for (size_t k = 0; k < store->log_count; k++) {
        bytes += store->log[k]->size;
    }
    for (; i < store->log_count && is_old(r, store->log[i], whole.age_ms); i++) {
        end = store->log[i]->seq > end ? store->log[i]->seq : end;
    }
    for (i = 0; i < store->log_count && bytes > whole.bytes; i++) {
        end = store->log[i]->seq > end ? store->log[i]->seq : end;
        bytes -= store->log[i]->size;
    }
    return end < r->upto ? end : r->upto;
}

static void trim_whole(struct round *r) {
    struct rp_memory_store *store = r->store;
    uint64_t end = whole_end(r);
    for (size_t i = 0; i < store->log_count && store->log[i]->seq <= end; i++) {
        if (store->log[i]->f.kind == RP_RECORD_EVENT) {
            lose(store, store->log[i]);
        }
    }
    store->first_seq = end >= store->first_seq ? end + 1 : store->first_seq;
}

/* ---- single rooms ---- */

/* The newest event of the room that its rule does not keep; NULL: it keeps all. */
static struct rp_record *beyond(const struct round *r, struct rp_bytes nsp, struct rp_bytes room) {
    const struct rp_retention_rule *rule = rp_retention_rule_of(r->retention, nsp, room);
    const struct rp_memory_store *store = r->store;
    uint64_t border = rp_memory_store_border(store, nsp, room), events = 0, bytes = 0;
    for (size_t i = store->log_count; rule != NULL && i-- > 0;) {
        struct rp_record *e = store->log[i];
        if (e->f.kind != RP_RECORD_EVENT || !rp_bytes_eq(e->f.nsp, nsp) || e->seq <= border ||
            !rp_memory_is_target(e, room)) {
            continue;
        }
        events++;
        bytes += rp_record_weight(&e->f);
        bool kept = events <= rule->limits.events && (events == 1 || bytes <= rule->limits.bytes) &&
                    !is_old(r, e, rule->limits.age_ms);
        if (!kept && e->seq <= r->upto) {
            return e;
        }
    }
    return NULL;
}

static void trim_room(struct round *r, struct rp_bytes nsp, struct rp_bytes room,
                      void (*tell)(void *ctx, struct rp_engine_border *border), void *ctx) {
    struct rp_record *event = beyond(r, nsp, room);
    if (event != NULL) {
        raise_border(r->store, room, event);
        tell(ctx, rp_engine_border_new(nsp, room, event->seq));
    }
}

/* ---- removing ---- */

/* Nobody owes acks for what is not there any more. */
static void forgive(struct rp_memory_store *store, const struct rp_record *event) {
    size_t kept = 0;
    for (size_t i = 0; i < store->unacked_count; i++) {
        if (store->unacked[i].seq != event->seq) {
            store->unacked[kept++] = store->unacked[i];
        }
    }
    store->unacked_count = kept;
}

static bool goes(const struct rp_memory_store *store, const struct rp_record *record) {
    bool event = record->f.kind == RP_RECORD_EVENT;
    return record->seq < store->first_seq || (event && is_lost(store, record));
}

bool rp_memory_store_has_lost(const struct rp_memory_store *store) {
    size_t i = 0;
    while (i < store->log_count && !goes(store, store->log[i])) {
        i++;
    }
    return i < store->log_count;
}

bool rp_memory_store_sweep(struct rp_memory_store *store, size_t n) {
    size_t kept = 0, removed = 0;
    bool more = false;
    for (size_t i = 0; i < store->log_count; i++) {
        struct rp_record *record = store->log[i];
        bool lost = goes(store, record);
        if (lost && removed < n) {
            removed++;
            forgive(store, record);
            rp_record_unref(record);
        } else {
            store->log[kept++] = record;
            more = more || lost;
        }
    }
    store->log_count = kept;
    return more;
}

/* ---- a round ---- */

/* The rooms that this round has been to. */
struct visited {
    struct rp_bytes *rooms; /* of each its namespace, then its name */
    size_t count, capacity;
};

static bool visit(struct visited *v, struct rp_bytes nsp, struct rp_bytes room) {
    for (size_t i = 0; i < v->count; i += 2) {
        if (rp_bytes_eq(v->rooms[i + 1], room) && rp_bytes_eq(v->rooms[i], nsp)) {
            return false;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        v->rooms = rp_array_reserve(v->rooms, v->count, &v->capacity, sizeof(struct rp_bytes));
        v->rooms[v->count++] = i == 0 ? nsp : room;
    }
    return true;
}

void rp_memory_store_retain(struct rp_memory_store *store, const struct rp_retention *retention,
                            uint64_t upto, uint64_t wall_ms,
                            void (*tell)(void *ctx, struct rp_engine_border *border), void *ctx) {
    struct round r = {.store = store, .retention = retention, .upto = upto, .wall_ms = wall_ms};
    struct visited v = {0};
    trim_whole(&r);
    for (size_t i = 0; rp_retention_rules(retention) > 0 && i < store->log_count; i++) {
        const struct rp_record *e = store->log[i];
        if (e->f.kind != RP_RECORD_EVENT || e->seq < store->first_seq) {
            continue;
        }
        struct rp_bytes rooms = e->f.rooms, room = e->f.room;
        do {
            if (visit(&v, e->f.nsp, room)) {
                trim_room(&r, e->f.nsp, room, tell, ctx);
            }
        } while (rp_attachments_next(&rooms, &room) == RP_OK);
    }
    free(v.rooms);
}

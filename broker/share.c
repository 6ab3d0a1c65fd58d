#include "broker/state.h"

#include "common/alloc.h"

#include <stdlib.h>

enum { PAGE_BYTES = 1024 }; /* what a page takes beside its events; it bounds their number */

static_assert(RP_SHARE_ROOMS_MAX * (RP_PAGE_BYTES + PAGE_BYTES) <= RP_SHARE_BYTES,
              "whoever comes alone gets all it needs");

void rp_share_init(struct rp_share *share, size_t bytes_max) {
    *share = (struct rp_share){.bytes_max = bytes_max};
    rp_list_init(&share->all);
    rp_list_init(&share->idle);
    rp_list_init(&share->queue);
    rp_list_init(&share->parked);
    rp_list_init(&share->probes);
}

/* ---- a page's life ---- */

static void set_cost(struct rp_share *share, struct rp_shared *p, size_t cost) {
    share->bytes += cost - p->cost;
    p->cost = cost;
}

/* What can be given up. */
static void become_idle(struct rp_share *share, struct rp_shared *p) {
    rp_list_append(&share->idle, &p->state_node);
    share->idle_bytes += p->cost;
}

static void end_idle(struct rp_share *share, struct rp_shared *p) {
    if (p->is_loaded && rp_list_is_linked(&p->state_node)) {
        rp_list_remove(&p->state_node);
        share->idle_bytes -= p->cost;
    }
}

static void drop_newest(struct rp_shared *p) {
    for (size_t i = 0; i < p->newest_count; i++) {
        rp_record_unref(p->newest[i]);
    }
    free(p->newest);
    p->newest = NULL;
    p->newest_count = 0;
}

/* Nobody finds it any more. */
static void unlink_page(struct rp_core *core, struct rp_shared *p) {
    if (rp_list_is_linked(&p->room_node)) {
        rp_list_remove(&p->room_node);
        rp_rooms_release(&core->rooms, p->room);
        p->room = NULL;
    }
}

static void page_free(struct rp_core *core, struct rp_shared *p) {
    RP_ASSERT(rp_list_is_empty(&p->holds));
    unlink_page(core, p);
    rp_core_read_cancel(core, p->job);
    end_idle(&core->share, p);
    rp_list_remove(&p->state_node);
    rp_list_remove(&p->node);
    set_cost(&core->share, p, 0);
    core->share.count--;
    drop_newest(p);
    for (size_t i = 0; i < p->records_count; i++) {
        rp_record_unref(p->records[i]);
    }
    free(p->records);
    free(p);
}

void rp_share_done(struct rp_core *core) {
    struct rp_list *first;
    while ((first = rp_list_first(&core->share.all)) != NULL) {
        page_free(core, RP_CONTAINER_OF(first, struct rp_shared, node));
    }
}

/* Gives idle pages up until so many bytes are free. */
static bool make_room(struct rp_core *core, size_t bytes) {
    struct rp_share *share = &core->share;
    struct rp_list *oldest;
    while (share->bytes + bytes > share->bytes_max &&
           (oldest = rp_list_first(&share->idle)) != NULL) {
        core->stats.shared_evictions++;
        page_free(core, RP_CONTAINER_OF(oldest, struct rp_shared, state_node));
    }
    return share->bytes + bytes <= share->bytes_max;
}

/* What a page counts until it is there. */
static size_t page_cost(const struct rp_core *core) {
    return PAGE_BYTES + core->config.page_bytes;
}

/* Bytes that nobody holds. */
static size_t free_bytes(const struct rp_share *share) {
    size_t held = share->bytes - share->idle_bytes;
    return held < share->bytes_max ? share->bytes_max - held : 0;
}

/* Whether those that wait for memory come first, and there is too little for them. */
static bool others_first(const struct rp_share *share) {
    bool waits = !rp_list_is_empty(&share->parked) || !rp_list_is_empty(&share->probes);
    return waits && share->bytes > share->idle_bytes && free_bytes(share) < share->refused;
}

/* Sees to it that there are so many bytes. Who was refused comes before others that need some; who
 * is alone gets them in any case. */
static bool set_aside(struct rp_core *core, size_t bytes, bool is_alone) {
    struct rp_share *share = &core->share;
    if (!is_alone && others_first(share)) {
        return false;
    }
    share->refused = make_room(core, bytes) || is_alone ? 0 : bytes;
    return share->refused == 0;
}

size_t rp_share_has_room_for(const struct rp_core *core) {
    const struct rp_share *share = &core->share;
    if (rp_list_is_empty(&share->parked) && rp_list_is_empty(&share->probes)) {
        return 0;
    }
    return others_first(share) ? 0 : free_bytes(share) / page_cost(core) + 1;
}

/* ---- finding ---- */

/* Whether it has events that follow a seq, or will unless there are too many before. */
static bool covers(const struct rp_shared *p, uint64_t after) {
    uint64_t upto = !p->is_loaded && p->newest_upto > p->upto ? p->newest_upto : p->upto;
    return p->after <= after && upto > after;
}

/* Where a page for what is not found begins: where others begin too, unless such a page ends before
 * it. */
static uint64_t start_of(const struct rp_share_want *want) {
    uint64_t start = want->after - want->after % RP_SHARE_ALIGN;
    if (!want->align || want->room->intervals_count < RP_SHARE_SESSIONS_MIN) {
        return want->after;
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&want->room->shared, it, tmp) {
        const struct rp_shared *p = RP_CONTAINER_OF(it, struct rp_shared, room_node);
        if (p->after >= start && p->after <= want->after) {
            return want->after;
        }
    }
    return start;
}

/* A page that has what is wanted, or is likely to have it when it is loaded; NULL: there is none.
 */
static struct rp_shared *find(const struct rp_share_want *want) {
    uint64_t near = want->align ? want->after - want->after % RP_SHARE_ALIGN : want->after;
    for (struct rp_list *it = want->room->shared.prev; it != &want->room->shared; it = it->prev) {
        struct rp_shared *p = RP_CONTAINER_OF(it, struct rp_shared, room_node);
        if (covers(p, want->after) && (p->is_loaded || p->after >= near)) {
            return p;
        }
    }
    return NULL;
}

/* ---- reading ---- */

/* Puts it before the first page of the room that begins later, where it ends at the latest. */
static void link_page(struct rp_shared *p, struct rp_room *room) {
    struct rp_list *later = room->shared.prev;
    p->room = room;
    while (later != &room->shared &&
           RP_CONTAINER_OF(later, struct rp_shared, room_node)->after > p->after) {
        later = later->prev;
    }
    later = later->next;
    rp_list_append(later, &p->room_node); /* to the end of a list is before its head */
    if (later != &room->shared) {
        uint64_t ends = RP_CONTAINER_OF(later, struct rp_shared, room_node)->after;
        p->upto = ends < p->upto ? ends : p->upto;
    }
}

/* Keeps the room's newest events, which the tail still has, up to a page of them. */
static void keep_newest(struct rp_core *core, struct rp_shared *p) {
    const struct rp_room *room = p->room;
    size_t from = rp_room_events_after(room, room->border > p->upto ? room->border : p->upto);
    size_t bytes = 0, count = 0, left = room->events_count - from;
    p->newest_upto = core->head;
    p->newest = rp_alloc((left < core->config.page_events ? left : core->config.page_events) *
                         sizeof(struct rp_record *));
    while (count < left && count < core->config.page_events && bytes <= core->config.page_bytes) {
        p->newest[count] = rp_record_ref(rp_room_event(room, from + count));
        bytes += p->newest[count++]->size;
    }
    p->newest_count = count;
    if (count < left) {
        p->newest_upto = p->newest[count - 1]->seq;
    }
}

/* False: not now. */
static bool begin_read(struct rp_core *core, struct rp_shared *p) {
    struct rp_engine_span span = {
        .nsp = p->room->nsp, .room = p->room->name, .after = p->after, .upto = p->upto};
    struct rp_engine_read read = {.spans = &span,
                                  .spans_count = 1,
                                  .events_max = core->config.page_events,
                                  .bytes_max = core->config.page_bytes};
    p->job = rp_core_read(core, &read, RP_READ_SHARED);
    if (p->job != NULL) {
        p->job->shared = p;
    }
    return p->job != NULL;
}

void rp_share_turn(struct rp_core *core) {
    struct rp_list *first;
    while ((first = rp_list_first(&core->share.queue)) != NULL) {
        struct rp_shared *p = RP_CONTAINER_OF(first, struct rp_shared, state_node);
        if (!begin_read(core, p)) {
            return;
        }
        rp_list_remove(first);
    }
}

static struct rp_shared *page_new(struct rp_core *core, const struct rp_share_want *want) {
    struct rp_share *share = &core->share;
    struct rp_shared *p = RP_NEW(struct rp_shared);
    RP_ASSERT(want->after < core->tail.base);
    p->after = start_of(want);
    p->upto = core->tail.base;
    rp_list_init(&p->holds);
    rp_list_append(&share->all, &p->node);
    share->count++;
    set_cost(share, p, page_cost(core));
    link_page(p, want->room);
    if (p->upto == core->tail.base) {
        keep_newest(core, p);
    }
    if (!rp_list_is_empty(&share->queue) || !begin_read(core, p)) {
        rp_list_append(&share->queue, &p->state_node);
    }
    core->stats.shared_misses++;
    return p;
}

/* ---- holding ---- */

static void hold_page(struct rp_share_hold *hold, struct rp_shared *p) {
    struct rp_share_place *place = &hold->places[hold->count++];
    *place = (struct rp_share_place){.hold = hold, .page = p};
    hold->missing += !p->is_loaded;
    rp_list_append(&p->holds, &place->node);
}

static void leave_page(struct rp_core *core, struct rp_share_place *place) {
    struct rp_shared *p = place->page;
    rp_list_remove(&place->node);
    if (!rp_list_is_empty(&p->holds)) {
        return;
    }
    if (!p->is_loaded || p->is_stale || p->err != RP_OK) {
        page_free(core, p);
    } else {
        become_idle(&core->share, p);
    }
}

void rp_share_drop(struct rp_core *core, struct rp_share_hold *hold) {
    for (size_t i = 0; hold != NULL && i < hold->count; i++) {
        leave_page(core, &hold->places[i]);
    }
    free(hold);
}

enum rp_err rp_share_err(const struct rp_share_hold *hold) {
    enum rp_err err = RP_OK;
    for (size_t i = 0; hold != NULL && err == RP_OK && i < hold->count; i++) {
        err = hold->places[i].page->err;
    }
    return err;
}

enum rp_err rp_share_take(struct rp_core *core, const struct rp_share_want *wants, size_t count,
                          struct rp_cursor *cursor, struct rp_answer *answer,
                          struct rp_share_hold **ret_hold) {
    RP_ASSERT(count > 0 && count <= RP_SHARE_ROOMS_MAX);
    struct rp_share_hold *hold = rp_alloc(sizeof *hold + count * sizeof(struct rp_share_place));
    struct rp_shared *found[RP_SHARE_ROOMS_MAX];
    size_t missing = 0;
    bool is_alone = core->share.bytes == core->share.idle_bytes;
    hold->cursor = cursor;
    hold->answer = answer;
    for (size_t i = 0; i < count; i++) {
        found[i] = find(&wants[i]);
        missing += found[i] == NULL;
        if (found[i] != NULL) {
            end_idle(&core->share, found[i]); /* it is not given up for the others */
        }
    }
    bool fits = missing == 0 || set_aside(core, missing * page_cost(core), is_alone);
    for (size_t i = 0; i < count; i++) {
        /* one that was missing before may be there now: the same room twice */
        struct rp_shared *p = found[i] == NULL && fits ? find(&wants[i]) : found[i];
        core->stats.shared_hits += fits && p != NULL;
        p = p == NULL && fits ? page_new(core, &wants[i]) : p;
        if (p != NULL) {
            hold_page(hold, p);
        }
    }
    if (!fits) {
        rp_share_drop(core, hold);
        return RP_E_FULL;
    }
    *ret_hold = hold;
    return hold->missing > 0 ? RP_MORE : RP_OK;
}

/* ---- a page has come ---- */

static void take_records(const struct rp_core *core, struct rp_shared *p,
                         struct rp_engine_page *page) {
    size_t bytes = 0;
    p->records = page->records;
    p->records_count = p->records_capacity = page->records_count;
    page->records = NULL;
    page->records_count = 0;
    for (size_t i = 0; i < p->records_count; i++) {
        bytes += p->records[i]->size;
    }
    if (page->more) {
        p->upto = p->records[p->records_count - 1]->seq;
        p->newest_upto = 0;
    }
    size_t taken = 0;
    for (; p->newest_upto > 0 && taken < p->newest_count; taken++) {
        if (p->records_count >= core->config.page_events || bytes >= core->config.page_bytes) {
            p->newest_upto = p->records[p->records_count - 1]->seq;
            break;
        }
        p->records = rp_array_reserve(p->records, p->records_count, &p->records_capacity,
                                      sizeof(struct rp_record *));
        bytes += p->newest[taken]->size;
        p->records[p->records_count++] = rp_record_ref(p->newest[taken]);
    }
    p->upto = p->newest_upto > p->upto ? p->newest_upto : p->upto;
    drop_newest(p);
}

static size_t cost_of(const struct rp_shared *p) {
    size_t cost = PAGE_BYTES + p->records_capacity * sizeof(struct rp_record *);
    for (size_t i = 0; i < p->records_count; i++) {
        cost += p->records[i]->size;
    }
    return cost;
}

static void wake(struct rp_core *core, struct rp_share_hold *hold) {
    if (hold->cursor != NULL) {
        rp_core_cursor_wake(core, hold->cursor);
    } else {
        rp_core_answer_wake(core, hold->answer);
    }
}

void rp_share_page(struct rp_core *core, struct rp_shared *p, struct rp_engine_page *page) {
    p->job = NULL;
    p->is_loaded = true;
    p->err = page->err;
    p->border = page->border > p->border ? page->border : p->border;
    if (p->err == RP_OK) {
        take_records(core, p, page);
    } else {
        drop_newest(p);
    }
    if (p->err != RP_OK) {
        unlink_page(core, p);
    }
    set_cost(&core->share, p, cost_of(p));
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&p->holds, it, tmp) {
        struct rp_share_hold *hold = RP_CONTAINER_OF(it, struct rp_share_place, node)->hold;
        if (--hold->missing == 0) {
            wake(core, hold);
        }
    }
    (void) make_room(core, 0); /* one event may be larger than what was set aside for a page */
}

/* ---- retention ---- */

void rp_share_border(struct rp_room *room, uint64_t seq) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&room->shared, it, tmp) {
        struct rp_shared *p = RP_CONTAINER_OF(it, struct rp_shared, room_node);
        p->border = seq > p->border ? seq : p->border;
    }
}

void rp_share_trimmed(struct rp_core *core, uint64_t seq) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->share.all, it, tmp) {
        struct rp_shared *p = RP_CONTAINER_OF(it, struct rp_shared, node);
        bool is_queued = !p->is_loaded && p->job == NULL;
        if (p->after >= seq || p->is_stale || is_queued) {
            continue;
        }
        p->is_stale = true;
        unlink_page(core, p);
        if (p->is_loaded && rp_list_is_empty(&p->holds)) {
            page_free(core, p);
        }
    }
}

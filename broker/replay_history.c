/* broker/replay_history.c — the history of a join: events of one room from before it.
 *
 * They are older than the cursor's position. They are sent when the position has reached the join,
 * before anything newer, and then the join is answered. */
#include "broker/cursor.h"

#include "common/alloc.h"

#include <stdlib.h>

static void history_free(struct rp_cursor_history *h) {
    rp_list_remove(&h->node);
    free(h);
}

void rp_cursor_histories_drop(struct rp_cursor *c) {
    struct rp_peer *peer = c->session->peer;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->histories, it, tmp) {
        struct rp_cursor_history *h = RP_CONTAINER_OF(it, struct rp_cursor_history, node);
        if (peer->state != RP_PEER_DOWN) {
            rp_core_put_failed(peer, h->num, "superseded",
                               "the connection ended before its history was complete");
        }
        history_free(h);
    }
}

void rp_core_put_joined(struct rp_peer *peer, uint64_t num, uint64_t upto) {
    struct rp_op op = {.kind = RP_OP_JOINED, .joined = {.num = num, .upto = upto}};
    rp_link_put(&peer->link, &op);
}

void rp_core_cursor_history(struct rp_core *core, struct rp_session *session, struct rp_bytes room,
                            uint64_t num, uint64_t since, uint64_t upto, uint64_t limit) {
    struct rp_cursor *c = session->cursor;
    if (c == NULL) {
        c = rp_core_cursor_start(core, session, rp_core_peer_pos(core, session->peer));
        struct rp_op hold = {.kind = RP_OP_HOLD, .hold = {.conn = session->conn, .pos = c->pos}};
        rp_link_put(&session->peer->link, &hold);
    }
    struct rp_cursor_history *h = rp_alloc(sizeof(*h) + room.len);
    memcpy(h->data, room.data, room.len);
    h->room = rp_bytes(h->data, room.len);
    h->num = num;
    h->at = since;
    h->upto = upto;
    h->limit = limit;
    rp_list_append(&c->histories, &h->node);
    if (!c->page_outstanding && c->job == NULL && !rp_share_waits(c->shared) &&
        !rp_list_is_linked(&c->ready_node)) {
        rp_list_append(&core->ready, &c->ready_node);
    }
}

struct rp_cursor_history *rp_cursor_history_due(const struct rp_cursor *c) {
    struct rp_list *first = rp_list_first(&c->histories);
    struct rp_cursor_history *h =
        first ? RP_CONTAINER_OF(first, struct rp_cursor_history, node) : NULL;
    return h != NULL && h->upto <= c->pos ? h : NULL;
}

/* What retention has taken from the room's events in the tail is not part of it. */
static void lose(struct rp_cursor_history *h, const struct rp_room *room) {
    if (room != NULL && room->border > h->at) {
        h->truncated = true;
        h->at = room->border < h->upto ? room->border : h->upto;
    }
}

/* Finds where a history begins: at most limit of the newest events of (at, upto]. */
static enum rp_step start(struct rp_core *core, struct rp_cursor *c, struct rp_cursor_history *h) {
    if (h->at < core->tail.base) {
        struct rp_engine_span span = {
            .nsp = rp_session_nsp(c->session), .room = h->room, .after = h->at, .upto = h->upto};
        struct rp_engine_read read = {.spans = &span,
                                      .spans_count = 1,
                                      .events_max = h->limit,
                                      .bytes_max = RP_HISTORY_BYTES_MAX,
                                      .newest_first = true};
        return rp_cursor_read(core, c, &read, RP_READ_HISTORY_START, h->upto);
    }
    const struct rp_room *room = rp_rooms_find(&core->rooms, rp_session_nsp(c->session), h->room);
    lose(h, room);
    struct rp_source events = rp_source_of(room, h->at, h->upto);
    if (events.left > h->limit) {
        h->at = events.next[events.left - h->limit - 1]->seq;
        h->truncated = true;
    }
    h->started = true;
    return RP_STEP_ON;
}

static void started(struct rp_cursor_history *h, const struct rp_engine_page *page) {
    h->started = true;
    h->truncated = page->more || page->truncated;
    if (h->truncated && page->records_count > 0) {
        h->at = page->records[page->records_count - 1]->seq - 1;
    } else if (h->truncated) {
        h->at = h->upto;
    }
}

static void answer(struct rp_cursor *c, struct rp_cursor_history *h) {
    struct rp_op op = {.kind = RP_OP_DONE,
                       .done = {.num = h->num,
                                .seq = c->pos,
                                .replayed = h->replayed,
                                .truncated = h->truncated,
                                .oldest = h->oldest > 0 ? h->oldest : h->upto}};
    rp_link_put(&c->session->peer->link, &op);
    history_free(h);
}

enum rp_step rp_cursor_history_step(struct rp_core *core, struct rp_cursor *c,
                                    struct rp_cursor_history *h) {
    if (!h->started) {
        return start(core, c, h);
    }
    if (h->at >= h->upto) {
        answer(c, h);
        return RP_STEP_ON;
    }
    if (h->at < core->tail.base) {
        uint64_t upto = h->upto < core->tail.base ? h->upto : core->tail.base;
        struct rp_engine_span span = {
            .nsp = rp_session_nsp(c->session), .room = h->room, .after = h->at, .upto = upto};
        struct rp_engine_read read = {.spans = &span,
                                      .spans_count = 1,
                                      .events_max = core->config.page_events,
                                      .bytes_max = core->config.page_bytes};
        return rp_cursor_read(core, c, &read, RP_READ_HISTORY, upto);
    }
    const struct rp_room *room = rp_rooms_find(&core->rooms, rp_session_nsp(c->session), h->room);
    lose(h, room);
    struct rp_source events = rp_source_of(room, h->at, h->upto);
    return rp_cursor_merge(core, c, h, &events, events.left > 0, h->upto, &h->at);
}

void rp_cursor_history_page(struct rp_core *core, struct rp_cursor *c, struct rp_cursor_history *h,
                            enum rp_read_kind kind, uint64_t upto,
                            const struct rp_engine_page *page) {
    if (kind == RP_READ_HISTORY_START) {
        started(h, page);
        return;
    }
    for (size_t i = 0; i < page->records_count; i++) {
        rp_cursor_offer(core, c, h, page->records[i]);
    }
    h->truncated = h->truncated || page->truncated;
    h->at = page->more ? page->records[page->records_count - 1]->seq : upto;
}

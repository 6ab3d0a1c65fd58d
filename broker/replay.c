/* broker/replay.c — cursors: sessions that catch up.
 *
 * A session is live, or it has a cursor; never both. While it has one, its gateway shows it nothing
 * live, and the cursor reads everything the session should get from the log: what it missed before
 * it came back, what a slow socket could not take, the history a join asked for. Everything up to
 * `pos` has been put on the link. When pos meets the peer's position the session is LIVE from that
 * point of the link on, so there is neither a gap nor an overlap.
 *
 * Pace: a page of events, then PAGE, then nothing until the gateway says PAGE_DONE (the client's
 * socket has drained).
 *
 * A join's history lies before the join, so its events are older than pos. It is sent when pos has
 * reached the join, before anything newer, and then answered. */
#include "broker/state.h"

#include "common/alloc.h"

#include <stdlib.h>

struct history {
    struct rp_list node; /* in cursor->histories, as they were asked for */
    uint64_t num;
    uint64_t at; /* everything up to here has been sent (or was left out by the limit) */
    uint64_t upto;
    uint64_t limit;
    bool started; /* at is past what the limit leaves out */
    bool truncated;
    uint64_t replayed;
    uint64_t oldest;      /* seq of the first event sent; 0: none */
    struct rp_bytes room; /* in data */
    uint8_t data[];
};

struct rp_cursor {
    struct rp_list node;       /* in core->cursors */
    struct rp_list ready_node; /* in core->ready while it can go on */
    struct rp_session *session;
    uint64_t pos;
    uint64_t page;
    size_t page_bytes, page_events;
    bool page_outstanding;
    struct rp_read_job *job;
    struct rp_list histories;
};

static void make_ready(struct rp_core *core, struct rp_cursor *c) {
    if (!rp_list_is_linked(&c->ready_node)) {
        rp_list_append(&core->ready, &c->ready_node);
    }
}

struct rp_cursor *rp_core_cursor_start(struct rp_core *core, struct rp_session *session,
                                       uint64_t pos) {
    RP_ASSERT(session->cursor == NULL && session->peer != NULL);
    struct rp_cursor *c = RP_NEW(struct rp_cursor);
    c->session = session;
    c->pos = pos;
    rp_list_init(&c->histories);
    rp_list_append(&core->cursors, &c->node);
    core->cursors_count++;
    session->cursor = c;
    make_ready(core, c);
    return c;
}

static void history_free(struct history *h) {
    rp_list_remove(&h->node);
    free(h);
}

/* Every request is answered: a history that will not be finished is, too. A gateway whose link is
 * lost asks again. */
static void drop_history(const struct rp_cursor *c, struct history *h) {
    struct rp_peer *peer = c->session->peer;
    if (peer->state != RP_PEER_DOWN) {
        rp_core_put_failed(peer, h->num, "superseded",
                           "the connection ended before its history was complete");
    }
    history_free(h);
}

void rp_core_cursor_drop(struct rp_core *core, struct rp_session *session) {
    struct rp_cursor *c = session->cursor;
    if (c == NULL) {
        return;
    }
    rp_core_read_cancel(core, c->job);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->histories, it, tmp) {
        drop_history(c, RP_CONTAINER_OF(it, struct history, node));
    }
    rp_list_remove(&c->ready_node);
    rp_list_remove(&c->node);
    core->cursors_count--;
    session->cursor = NULL;
    free(c);
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
    struct history *h = rp_alloc(sizeof(*h) + room.len);
    memcpy(h->data, room.data, room.len);
    h->room = rp_bytes(h->data, room.len);
    h->num = num;
    h->at = since;
    h->upto = upto;
    h->limit = limit;
    rp_list_append(&c->histories, &h->node);
    if (!c->page_outstanding && c->job == NULL) {
        make_ready(core, c);
    }
}

void rp_core_page_done(struct rp_core *core, struct rp_session *session, uint64_t page) {
    struct rp_cursor *c = session->cursor;
    if (c != NULL && c->page_outstanding && c->page == page) {
        c->page_outstanding = false;
        make_ready(core, c);
    }
}

uint64_t rp_core_pinned(const struct rp_core *core) {
    uint64_t lowest = UINT64_MAX;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->cursors, it, tmp) {
        const struct rp_cursor *c = RP_CONTAINER_OF(it, struct rp_cursor, node);
        lowest = c->pos < lowest ? c->pos : lowest;
    }
    RP_LIST_FOR(&core->peers, it, tmp) {
        const struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        if (peer->state != RP_PEER_DOWN && !peer->live) {
            lowest = peer->pos < lowest ? peer->pos : lowest;
        }
    }
    return lowest;
}

/* ---- sending ---- */

/* One event to the session; h is the history it belongs to, or NULL. */
static void put_event(struct rp_core *core, struct rp_cursor *c, struct history *h,
                      const struct rp_record *r) {
    struct rp_session *session = c->session;
    if ((r->f.flags & RP_RECORD_NO_ECHO) && r->f.session == session->id) {
        return;
    }
    struct rp_op op = {.kind = RP_OP_REPLAY,
                       .replay = {.conn = session->conn,
                                  .seq = r->seq,
                                  .pos = h != NULL ? c->pos : r->seq,
                                  .history = h != NULL ? h->num : 0,
                                  .truncated = h != NULL && h->truncated,
                                  .name = r->f.name,
                                  .args = r->f.args,
                                  .attachments = r->f.attachments}};
    rp_link_put(&session->peer->link, &op);
    core->stats.replayed_events++;
    c->page_bytes += r->size;
    c->page_events++;
    if (h != NULL) {
        h->replayed++;
        h->oldest = h->oldest > 0 ? h->oldest : r->seq;
    }
}

static bool page_is_full(const struct rp_core *core, const struct rp_cursor *c) {
    return c->page_bytes >= core->config.page_bytes || c->page_events >= core->config.page_events;
}

/* Ends a full page: nothing more until the gateway says it was written. */
static void end_page(struct rp_core *core, struct rp_cursor *c) {
    c->page++;
    c->page_bytes = c->page_events = 0;
    c->page_outstanding = true;
    struct rp_op op = {.kind = RP_OP_PAGE,
                       .page = {.conn = c->session->conn, .pos = c->pos, .page = c->page}};
    rp_link_put(&c->session->peer->link, &op);
    core->stats.replay_pages++;
}

/* ---- reading the tail: a merge of the rooms' events ---- */

/* The next event of one room, and how many follow. */
struct source {
    struct rp_record **next;
    size_t left;
};

static bool source_less(const struct source *a, const struct source *b) {
    return (*a->next)->seq < (*b->next)->seq;
}

static void sift_down(struct source *heap, size_t count, size_t i) {
    for (;;) {
        size_t least = i, left = 2 * i + 1, right = left + 1;
        if (left < count && source_less(&heap[left], &heap[least])) {
            least = left;
        }
        if (right < count && source_less(&heap[right], &heap[least])) {
            least = right;
        }
        if (least == i) {
            return;
        }
        struct source swap = heap[i];
        heap[i] = heap[least];
        heap[least] = swap;
        i = least;
    }
}

/* The room's events of the tail with after < seq <= upto. */
static struct source source_of(const struct rp_room *room, uint64_t after, uint64_t upto) {
    size_t from = rp_room_events_after(room, after);
    size_t to = upto > after ? rp_room_events_after(room, upto) : from;
    return (struct source){.next = to > from ? &room->events[room->events_from + from] : NULL,
                           .left = to - from};
}

/* Adds a source for every interval of a list that has events in (after, upto]. */
static size_t add_sources(const struct rp_interval *i, uint64_t after, uint64_t upto,
                          struct source *heap, size_t count) {
    for (; i != NULL; i = i->next) {
        uint64_t from = i->from_seq > after ? i->from_seq : after;
        uint64_t to = i->to_seq > 0 && i->to_seq < upto ? i->to_seq : upto;
        if (to <= from) {
            continue;
        }
        struct source source = source_of(i->room, from, to);
        if (source.left > 0) {
            heap[count++] = source;
        }
    }
    return count;
}

/* Sends events from the heap until it is empty (true), or the page or the credit is used up
 * (false). Position *at follows. */
static bool send_merged(struct rp_core *core, struct rp_cursor *c, struct history *h,
                        struct source *heap, size_t count, uint64_t *at) {
    for (size_t i = count / 2; i-- > 0;) {
        sift_down(heap, count, i);
    }
    while (count > 0) {
        struct rp_record *r = *heap[0].next;
        if (page_is_full(core, c) || !rp_link_may_put(&c->session->peer->link, r->size + 64)) {
            return false;
        }
        *at = r->seq;
        put_event(core, c, h, r);
        heap[0].next++;
        if (--heap[0].left == 0) {
            heap[0] = heap[--count];
        }
        sift_down(heap, count, 0);
    }
    return true;
}

/* ---- reading old events from the engine ---- */

static size_t add_spans(const struct rp_session *session, const struct rp_interval *i,
                        uint64_t after, uint64_t upto, struct rp_engine_span *spans, size_t count) {
    for (; i != NULL; i = i->next) {
        uint64_t from = i->from_seq > after ? i->from_seq : after;
        uint64_t to = i->to_seq > 0 && i->to_seq < upto ? i->to_seq : upto;
        if (to > from) {
            spans[count++] = (struct rp_engine_span){
                .nsp = rp_session_nsp(session), .room = i->room->name, .after = from, .upto = to};
        }
    }
    return count;
}

/* What a step of a cursor came to. */
enum step {
    STEP_ON,    /* something was done: go on */
    STEP_LATER, /* stays ready: credit or a place in the engine's queue is missing */
    STEP_WAIT,  /* somebody will make it ready: PAGE_DONE, a page */
    STEP_GONE,  /* the session is live, the cursor is gone */
};

static enum step start_read(struct rp_core *core, struct rp_cursor *c, struct rp_engine_read *read,
                            enum rp_read_kind kind, uint64_t upto) {
    c->job = rp_core_read(core, read, kind);
    if (c->job == NULL) {
        return STEP_LATER;
    }
    c->job->cursor = c;
    c->job->upto = upto;
    return STEP_WAIT;
}

/* Asks for the session's events of (pos, upto], all of which are older than the tail. */
static enum step read_missed(struct rp_core *core, struct rp_cursor *c, uint64_t upto) {
    const struct rp_session *s = c->session;
    struct rp_engine_span *spans =
        rp_alloc((s->open_count + s->closed_count) * sizeof(struct rp_engine_span));
    size_t count = add_spans(s, s->open, c->pos, upto, spans, 0);
    count = add_spans(s, s->closed, c->pos, upto, spans, count);
    enum step step = STEP_ON;
    if (count == 0) {
        c->pos = upto;
    } else {
        struct rp_engine_read read = {.spans = spans,
                                      .spans_count = count,
                                      .events_max = core->config.page_events,
                                      .bytes_max = core->config.page_bytes};
        step = start_read(core, c, &read, RP_READ_CURSOR, upto);
    }
    free(spans);
    return step;
}

static enum step send_missed(struct rp_core *core, struct rp_cursor *c, uint64_t upto) {
    const struct rp_session *s = c->session;
    struct source *heap = rp_alloc((s->open_count + s->closed_count) * sizeof(struct source));
    size_t count = add_sources(s->open, c->pos, upto, heap, 0);
    count = add_sources(s->closed, c->pos, upto, heap, count);
    bool all = send_merged(core, c, NULL, heap, count, &c->pos);
    free(heap);
    if (all) {
        c->pos = upto;
    }
    return all || page_is_full(core, c) ? STEP_ON : STEP_LATER;
}

/* ---- the history of a join ---- */

/* Finds where a history begins: at most limit of the newest events of (at, upto]. */
static enum step start_history(struct rp_core *core, struct rp_cursor *c, struct history *h) {
    if (h->at < core->tail.base) {
        struct rp_engine_span span = {
            .nsp = rp_session_nsp(c->session), .room = h->room, .after = h->at, .upto = h->upto};
        struct rp_engine_read read = {.spans = &span,
                                      .spans_count = 1,
                                      .events_max = h->limit,
                                      .bytes_max = RP_HISTORY_BYTES_MAX,
                                      .newest_first = true};
        return start_read(core, c, &read, RP_READ_HISTORY_START, h->upto);
    }
    const struct rp_room *room = rp_rooms_find(&core->rooms, rp_session_nsp(c->session), h->room);
    struct source events = room != NULL ? source_of(room, h->at, h->upto) : (struct source){0};
    if (events.left > h->limit) {
        h->at = events.next[events.left - h->limit - 1]->seq;
        h->truncated = true;
    }
    h->started = true;
    return STEP_ON;
}

static void history_started(struct history *h, const struct rp_engine_page *page) {
    h->started = true;
    h->truncated = page->more || page->truncated;
    if (h->truncated && page->records_count > 0) {
        h->at = page->records[page->records_count - 1]->seq - 1;
    } else if (h->truncated) {
        h->at = h->upto;
    }
}

static void answer_history(struct rp_cursor *c, struct history *h) {
    struct rp_op op = {.kind = RP_OP_DONE,
                       .done = {.num = h->num,
                                .seq = c->pos,
                                .replayed = h->replayed,
                                .truncated = h->truncated,
                                .oldest = h->oldest > 0 ? h->oldest : h->upto}};
    rp_link_put(&c->session->peer->link, &op);
    history_free(h);
}

static enum step step_history(struct rp_core *core, struct rp_cursor *c, struct history *h) {
    if (!h->started) {
        return start_history(core, c, h);
    }
    if (h->at >= h->upto) {
        answer_history(c, h);
        return STEP_ON;
    }
    if (h->at < core->tail.base) {
        uint64_t upto = h->upto < core->tail.base ? h->upto : core->tail.base;
        struct rp_engine_span span = {
            .nsp = rp_session_nsp(c->session), .room = h->room, .after = h->at, .upto = upto};
        struct rp_engine_read read = {.spans = &span,
                                      .spans_count = 1,
                                      .events_max = core->config.page_events,
                                      .bytes_max = core->config.page_bytes};
        return start_read(core, c, &read, RP_READ_HISTORY, upto);
    }
    const struct rp_room *room = rp_rooms_find(&core->rooms, rp_session_nsp(c->session), h->room);
    struct source events = room != NULL ? source_of(room, h->at, h->upto) : (struct source){0};
    if (!send_merged(core, c, h, &events, events.left > 0, &h->at)) {
        return page_is_full(core, c) ? STEP_ON : STEP_LATER;
    }
    h->at = h->upto;
    return STEP_ON;
}

/* ---- running ---- */

static struct history *due_history(const struct rp_cursor *c) {
    struct rp_list *first = rp_list_first(&c->histories);
    struct history *h = first ? RP_CONTAINER_OF(first, struct history, node) : NULL;
    return h != NULL && h->upto <= c->pos ? h : NULL;
}

static enum step become_live(struct rp_core *core, struct rp_cursor *c) {
    struct rp_session *session = c->session;
    struct rp_op op = {.kind = RP_OP_LIVE, .live = {.conn = session->conn, .pos = c->pos}};
    rp_link_put(&session->peer->link, &op);
    rp_core_cursor_drop(core, session);
    return STEP_GONE;
}

static enum step step(struct rp_core *core, struct rp_cursor *c) {
    if (c->page_outstanding || c->job != NULL) {
        return STEP_WAIT;
    }
    if (c->session->peer->state != RP_PEER_UP) {
        return STEP_LATER;
    }
    if (c->pos < c->session->floor_seq) {
        /* memberships it still needs have been forgotten meanwhile: the client comes back and is
         * told so */
        rp_core_evict(core, c->session, "left too many rooms to be recovered from here");
        rp_core_cursor_drop(core, c->session);
        return STEP_GONE;
    }
    if (page_is_full(core, c)) {
        end_page(core, c);
        return STEP_WAIT;
    }
    struct history *h = due_history(c);
    if (h != NULL) {
        return step_history(core, c, h);
    }
    uint64_t target = rp_core_peer_pos(core, c->session->peer);
    struct rp_list *next = rp_list_first(&c->histories);
    if (next != NULL && RP_CONTAINER_OF(next, struct history, node)->upto < target) {
        target = RP_CONTAINER_OF(next, struct history, node)->upto;
    }
    if (c->pos >= target) {
        return next == NULL ? become_live(core, c) : STEP_LATER;
    }
    if (rp_link_credit(&c->session->peer->link) < core->config.page_bytes) {
        return STEP_LATER;
    }
    if (c->pos < core->tail.base) {
        return read_missed(core, c, target < core->tail.base ? target : core->tail.base);
    }
    return send_missed(core, c, target);
}

void rp_core_cursor_page(struct rp_core *core, struct rp_cursor *c, enum rp_read_kind kind,
                         uint64_t upto, const struct rp_engine_page *page) {
    c->job = NULL;
    make_ready(core, c);
    struct history *h = kind == RP_READ_CURSOR ? NULL : due_history(c);
    if (page->err != RP_OK || (h == NULL && page->truncated)) {
        /* It cannot be finished, and must not be skipped: the client comes back and is told the
         * truth. */
        rp_core_evict(core, c->session, "events to be replayed are gone or cannot be read");
        rp_core_cursor_drop(core, c->session);
        return;
    }
    if (kind == RP_READ_HISTORY_START) {
        history_started(h, page);
        return;
    }
    for (size_t i = 0; i < page->records_count; i++) {
        put_event(core, c, h, page->records[i]);
    }
    uint64_t reached = page->more ? page->records[page->records_count - 1]->seq : upto;
    if (h != NULL) {
        h->truncated = h->truncated || page->truncated;
        h->at = reached;
    } else {
        c->pos = reached;
    }
}

bool rp_core_replay(struct rp_core *core) {
    uint64_t budget = core->stats.replayed_events + RP_REPLAY_EVENTS_PER_TURN;
    struct rp_list later;
    rp_list_init(&later);
    struct rp_list *first;
    while ((first = rp_list_first(&core->ready)) != NULL && core->stats.replayed_events < budget) {
        struct rp_cursor *c = RP_CONTAINER_OF(first, struct rp_cursor, ready_node);
        enum step result;
        do {
            result = step(core, c);
        } while (result == STEP_ON);
        if (result == STEP_GONE) {
            continue;
        }
        rp_list_remove(&c->ready_node);
        if (result == STEP_LATER) {
            rp_list_append(&later, &c->ready_node);
        }
    }
    bool more = rp_list_first(&core->ready) != NULL;
    while ((first = rp_list_first(&later)) != NULL) {
        rp_list_remove(first);
        rp_list_append(&core->ready, first);
    }
    return more;
}

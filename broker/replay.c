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
 * Two things lie before pos: what the session has not acked, which comes first when it comes back
 * (replay_owed.c), and the history of a join (replay_history.c). cursor.h is the map. */
#include "broker/cursor.h"

#include "common/alloc.h"

#include <stdlib.h>

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

void rp_core_cursor_drop(struct rp_core *core, struct rp_session *session) {
    struct rp_cursor *c = session->cursor;
    if (c == NULL) {
        return;
    }
    rp_core_read_cancel(core, c->job);
    rp_cursor_histories_drop(c);
    rp_list_remove(&c->ready_node);
    rp_list_remove(&c->node);
    core->cursors_count--;
    session->cursor = NULL;
    free(c);
}

void rp_cursor_give_up(struct rp_core *core, struct rp_cursor *c, const char *reason) {
    struct rp_session *session = c->session;
    rp_core_evict(core, session, reason);
    rp_core_cursor_drop(core, session);
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
        const struct rp_owed *owed = rp_cursor_owed_next(c);
        uint64_t needs = owed != NULL ? owed->seq - 1 : c->pos;
        lowest = needs < lowest ? needs : lowest;
    }
    RP_LIST_FOR(&core->peers, it, tmp) {
        const struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        if (peer->state != RP_PEER_DOWN && !peer->live) {
            lowest = peer->pos < lowest ? peer->pos : lowest;
        }
    }
    return lowest;
}

/* ---- what was missed, from the tail ---- */

/* Adds a source for every interval of a list that has events in (after, upto]. */
static size_t add_sources(const struct rp_interval *i, uint64_t after, uint64_t upto,
                          struct rp_source *sources, size_t count) {
    for (; i != NULL; i = i->next) {
        uint64_t from = i->from_seq > after ? i->from_seq : after;
        uint64_t to = i->to_seq > 0 && i->to_seq < upto ? i->to_seq : upto;
        struct rp_source source = rp_source_of(i->room, from, to);
        if (source.left > 0) {
            sources[count++] = source;
        }
    }
    return count;
}

static enum rp_step send_missed(struct rp_core *core, struct rp_cursor *c, uint64_t upto) {
    const struct rp_session *s = c->session;
    struct rp_source *sources =
        rp_alloc((s->open_count + s->closed_count) * sizeof(struct rp_source));
    size_t count = add_sources(s->open, c->pos, upto, sources, 0);
    count = add_sources(s->closed, c->pos, upto, sources, count);
    enum rp_step step = rp_cursor_merge(core, c, NULL, sources, count, upto, &c->pos);
    free(sources);
    return step;
}

/* ---- what was missed, from the engine ---- */

enum rp_step rp_cursor_read(struct rp_core *core, struct rp_cursor *c, struct rp_engine_read *read,
                            enum rp_read_kind kind, uint64_t upto) {
    c->job = rp_core_read(core, read, kind);
    if (c->job == NULL) {
        return RP_STEP_LATER;
    }
    c->job->cursor = c;
    c->job->upto = upto;
    return RP_STEP_WAIT;
}

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

/* Asks for the session's events of (pos, upto], all of which are older than the tail. */
static enum rp_step read_missed(struct rp_core *core, struct rp_cursor *c, uint64_t upto) {
    const struct rp_session *s = c->session;
    struct rp_engine_span *spans =
        rp_alloc((s->open_count + s->closed_count) * sizeof(struct rp_engine_span));
    size_t count = add_spans(s, s->open, c->pos, upto, spans, 0);
    count = add_spans(s, s->closed, c->pos, upto, spans, count);
    enum rp_step step = RP_STEP_ON;
    if (count == 0) {
        c->pos = upto;
    } else {
        struct rp_engine_read read = {.spans = spans,
                                      .spans_count = count,
                                      .events_max = core->config.page_events,
                                      .bytes_max = core->config.page_bytes};
        step = rp_cursor_read(core, c, &read, RP_READ_CURSOR, upto);
    }
    free(spans);
    return step;
}

/* ---- running ---- */

static enum rp_step become_live(struct rp_core *core, struct rp_cursor *c) {
    struct rp_session *session = c->session;
    struct rp_op op = {.kind = RP_OP_LIVE, .live = {.conn = session->conn, .pos = c->pos}};
    rp_link_put(&session->peer->link, &op);
    rp_core_cursor_drop(core, session);
    return RP_STEP_GONE;
}

static enum rp_step step(struct rp_core *core, struct rp_cursor *c) {
    if (c->page_outstanding || c->job != NULL) {
        return RP_STEP_WAIT;
    }
    if (c->session->peer->state != RP_PEER_UP) {
        return RP_STEP_LATER;
    }
    if (c->pos < c->session->floor_seq) {
        /* memberships it still needs have been forgotten meanwhile */
        rp_cursor_give_up(core, c, "left too many rooms to be recovered from here");
        return RP_STEP_GONE;
    }
    if (rp_cursor_page_is_full(core, c)) {
        rp_cursor_end_page(core, c);
        return RP_STEP_WAIT;
    }
    if (c->owing) {
        return rp_cursor_owed_step(core, c);
    }
    struct rp_cursor_history *h = rp_cursor_history_due(c);
    if (h != NULL) {
        return rp_cursor_history_step(core, c, h);
    }
    uint64_t target = rp_core_peer_pos(core, c->session->peer);
    struct rp_list *next = rp_list_first(&c->histories);
    if (next != NULL && RP_CONTAINER_OF(next, struct rp_cursor_history, node)->upto < target) {
        target = RP_CONTAINER_OF(next, struct rp_cursor_history, node)->upto;
    }
    if (c->pos >= target) {
        return next == NULL ? become_live(core, c) : RP_STEP_LATER;
    }
    if (rp_link_credit(&c->session->peer->link) < core->config.page_bytes) {
        return RP_STEP_LATER;
    }
    if (c->pos < core->tail.base) {
        return read_missed(core, c, target < core->tail.base ? target : core->tail.base);
    }
    return send_missed(core, c, target);
}

static void missed_page(struct rp_core *core, struct rp_cursor *c, uint64_t upto,
                        const struct rp_engine_page *page) {
    if (c->pos < c->session->floor_seq) {
        return; /* who was in an excepted room is not known any more: the next step gives up */
    }
    for (size_t i = 0; i < page->records_count; i++) {
        rp_cursor_offer(core, c, NULL, page->records[i]);
    }
    c->pos = page->more ? page->records[page->records_count - 1]->seq : upto;
}

void rp_core_cursor_page(struct rp_core *core, struct rp_cursor *c, enum rp_read_kind kind,
                         uint64_t upto, const struct rp_engine_page *page) {
    c->job = NULL;
    make_ready(core, c);
    if (page->err != RP_OK || (kind == RP_READ_CURSOR && page->truncated)) {
        rp_cursor_give_up(core, c, "events to be replayed are gone or cannot be read");
    } else if (kind == RP_READ_CURSOR) {
        missed_page(core, c, upto, page);
    } else if (kind == RP_READ_OWED) {
        rp_cursor_owed_page(core, c, upto, page);
    } else {
        rp_cursor_history_page(core, c, rp_cursor_history_due(c), kind, upto, page);
    }
}

bool rp_core_replay(struct rp_core *core) {
    core->replay_left = RP_REPLAY_EVENTS_PER_TURN;
    struct rp_list later;
    rp_list_init(&later);
    struct rp_list *first;
    while ((first = rp_list_first(&core->ready)) != NULL && core->replay_left > 0) {
        struct rp_cursor *c = RP_CONTAINER_OF(first, struct rp_cursor, ready_node);
        enum rp_step result;
        do {
            result = step(core, c);
        } while (result == RP_STEP_ON && core->replay_left > 0);
        if (result == RP_STEP_GONE) {
            continue;
        }
        rp_list_remove(&c->ready_node);
        if (result == RP_STEP_LATER) {
            rp_list_append(&later, &c->ready_node);
        } else if (result == RP_STEP_ON) {
            rp_list_append(&core->ready, &c->ready_node); /* behind the others */
        }
    }
    bool more = rp_list_first(&core->ready) != NULL;
    while ((first = rp_list_first(&later)) != NULL) {
        rp_list_remove(first);
        rp_list_append(&core->ready, first);
    }
    return more;
}

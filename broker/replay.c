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
 * What follows pos is in replay_missed.c. Two things lie before it: what the session has not acked,
 * which comes first when it comes back (replay_owed.c), and the history of a join
 * (replay_history.c). cursor.h is the map. */
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
    rp_share_drop(core, c->shared);
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

void rp_core_cursor_wake(struct rp_core *core, struct rp_cursor *c) {
    make_ready(core, c);
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

/* ---- reading the engine ---- */

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

/* ---- running ---- */

static enum rp_step become_live(struct rp_core *core, struct rp_cursor *c) {
    struct rp_session *session = c->session;
    struct rp_op op = {.kind = RP_OP_LIVE, .live = {.conn = session->conn, .pos = c->pos}};
    rp_link_put(&session->peer->link, &op);
    rp_core_cursor_drop(core, session);
    return RP_STEP_GONE;
}

static enum rp_step step(struct rp_core *core, struct rp_cursor *c) {
    if (c->page_outstanding || c->job != NULL || rp_share_waits(c->shared)) {
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
        return rp_cursor_has_credit(core, c) ? rp_cursor_history_step(core, c, h) : RP_STEP_CREDIT;
    }
    uint64_t target = rp_core_peer_pos(core, c->session->peer);
    struct rp_list *next = rp_list_first(&c->histories);
    if (next != NULL && RP_CONTAINER_OF(next, struct rp_cursor_history, node)->upto < target) {
        target = RP_CONTAINER_OF(next, struct rp_cursor_history, node)->upto;
    }
    if (c->pos >= target) {
        return next == NULL ? become_live(core, c) : RP_STEP_LATER;
    }
    if (!rp_cursor_has_credit(core, c)) {
        rp_share_drop(core, c->shared); /* others may be able to use them */
        c->shared = NULL;
        return RP_STEP_CREDIT;
    }
    return rp_cursor_missed_step(core, c, target);
}

void rp_core_cursor_page(struct rp_core *core, struct rp_cursor *c, enum rp_read_kind kind,
                         uint64_t upto, const struct rp_engine_page *page) {
    c->job = NULL;
    make_ready(core, c);
    if (page->err != RP_OK || (kind == RP_READ_CURSOR && page->truncated)) {
        rp_cursor_give_up(core, c, "events to be replayed are gone or cannot be read");
    } else if (kind == RP_READ_CURSOR) {
        rp_cursor_missed_page(core, c, upto, page);
    } else if (kind == RP_READ_OWED) {
        rp_cursor_owed_page(core, c, upto, page);
    } else {
        rp_cursor_history_page(core, c, rp_cursor_history_due(c), kind, upto, page);
    }
}

/* ---- taking turns ---- */

void rp_cursor_spend(struct rp_core *core, size_t work) {
    core->replay_left -= work < core->replay_left ? work : core->replay_left;
}

/* What replays may still put on a link, but for the rest of a page. */
static size_t credit_of(const struct rp_core *core, const struct rp_peer *peer) {
    uint64_t under_way = peer->link.sent_bytes - peer->link.peer_consumed;
    size_t share = core->config.link_credit_bytes / RP_REPLAY_CREDIT_PART;
    return under_way < share ? share - (size_t) under_way : 0;
}

bool rp_cursor_has_credit(const struct rp_core *core, const struct rp_cursor *c) {
    return credit_of(core, c->session->peer) > 0;
}

/* Makes the first of a list ready, in their order: as many as may find what they lacked. */
static void unpark(struct rp_core *core, struct rp_list *parked, size_t count) {
    struct rp_list *first;
    for (; count > 0 && (first = rp_list_first(parked)) != NULL; count--) {
        rp_list_remove(first);
        rp_list_append(&core->ready, first);
    }
}

static void unpark_all(struct rp_core *core) {
    enum { PAGES_PER_BYTES = 4 }; /* most pages are not full */
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        size_t credit = rp_list_is_empty(&peer->parked) ? 0 : credit_of(core, peer);
        if (credit > 0) {
            unpark(core, &peer->parked, credit / core->config.page_bytes * PAGES_PER_BYTES + 1);
        }
    }
    unpark(core, &core->share.parked, rp_share_has_room_for(core));
}

static void put_away(struct rp_core *core, struct rp_cursor *c, enum rp_step why,
                     struct rp_list *later) {
    rp_list_remove(&c->ready_node);
    switch (why) {
    case RP_STEP_ON:
        rp_list_append(&core->ready, &c->ready_node); /* behind the others */
        break;
    case RP_STEP_LATER:
        rp_list_append(later, &c->ready_node);
        break;
    case RP_STEP_CREDIT:
        rp_list_append(&c->session->peer->parked, &c->ready_node);
        break;
    case RP_STEP_MEMORY:
        rp_list_append(&core->share.parked, &c->ready_node);
        break;
    case RP_STEP_WAIT:
    case RP_STEP_GONE:
        break;
    }
}

bool rp_core_replay(struct rp_core *core) {
    enum { STEP_WORK = 4 };
    core->replay_left = RP_REPLAY_EVENTS_PER_TURN;
    unpark_all(core);
    struct rp_list later;
    rp_list_init(&later);
    struct rp_list *first;
    while ((first = rp_list_first(&core->ready)) != NULL && core->replay_left > 0) {
        struct rp_cursor *c = RP_CONTAINER_OF(first, struct rp_cursor, ready_node);
        enum rp_step result;
        do {
            rp_cursor_spend(core, STEP_WORK);
            result = step(core, c);
        } while (result == RP_STEP_ON && core->replay_left > 0);
        if (result != RP_STEP_GONE) {
            put_away(core, c, result, &later);
        }
    }
    bool more = rp_list_first(&core->ready) != NULL;
    while ((first = rp_list_first(&later)) != NULL) {
        rp_list_remove(first);
        rp_list_append(&core->ready, first);
    }
    return more;
}

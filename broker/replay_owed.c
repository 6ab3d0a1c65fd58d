/* broker/replay_owed.c — what a session owes acks for from before the position it goes on from.
 *
 * The client's offset says what it has seen, not what it has answered: a page may have been closed
 * between the two. So a session that comes back gets these events first, in seq order, marked as
 * sent again; those from after its position come in their place with everything else.
 *
 * What is not in the tail any more is read from the engine, which finds events by room: each was in
 * one of the rooms that the session was in at its seq. If those have been forgotten (the session's
 * floor), or for whatever reason it is not found though nothing was removed, it is left out and
 * counted; ending the connection would only bring the client back to the same place. */
#include "broker/cursor.h"

#include "common/alloc.h"

#include <stdlib.h>

const struct rp_owed *rp_cursor_owed_next(const struct rp_cursor *c) {
    if (!c->owing) {
        return NULL;
    }
    const struct rp_app *app = c->session->app;
    size_t next = rp_session_owed_after(c->session, c->owed_at);
    return next < app->owed_count && app->owed[next].seq <= c->pos ? &app->owed[next] : NULL;
}

static const struct rp_record *in_tail(const struct rp_core *core, uint64_t seq) {
    size_t at = rp_tail_after(&core->tail, seq - 1);
    const struct rp_record *r = at < core->tail.count ? rp_tail_at(&core->tail, at) : NULL;
    return r != NULL && r->seq == seq && r->f.kind == RP_RECORD_EVENT ? r : NULL;
}

/* Retention has taken it. It lies before what the client has, so the client had it: only its ack
 * will not come any more. */
static void lost(struct rp_core *core, struct rp_session *session, uint64_t seq) {
    core->stats.owed_lost++;
    rp_session_pay(session, seq);
}

static enum rp_step send_from_tail(struct rp_core *core, struct rp_cursor *c) {
    const struct rp_owed *owed;
    while ((owed = rp_cursor_owed_next(c)) != NULL) {
        const struct rp_record *r = in_tail(core, owed->seq);
        if (rp_cursor_page_is_full(core, c) || core->replay_left == 0) {
            return RP_STEP_ON;
        }
        if (r != NULL && !rp_cursor_may_put(c, r)) {
            return RP_STEP_CREDIT;
        }
        c->owed_at = owed->seq;
        rp_cursor_spend(core, 1);
        if (r != NULL) {
            rp_cursor_put_owed(core, c, r);
        } else {
            lost(core, c->session, owed->seq);
        }
    }
    return RP_STEP_ON;
}

/* ---- from the engine ---- */

struct spans {
    struct rp_engine_span *all;
    size_t count, capacity;
};

/* Adds the place of one event in each room of a list that the session was in. */
static void add_spans(const struct rp_session *session, const struct rp_interval *i, uint64_t seq,
                      struct spans *spans) {
    for (; i != NULL; i = i->next) {
        if (i->from_seq < seq && (i->to_seq == 0 || i->to_seq > seq)) {
            spans->all = rp_array_reserve(spans->all, spans->count, &spans->capacity,
                                          sizeof(struct rp_engine_span));
            spans->all[spans->count++] = (struct rp_engine_span){.nsp = rp_session_nsp(session),
                                                                 .room = i->room->name,
                                                                 .after = seq - 1,
                                                                 .upto = seq};
        }
    }
}

/* Asks for the next few, all of which are older than the tail. */
static enum rp_step read(struct rp_core *core, struct rp_cursor *c) {
    const struct rp_session *s = c->session;
    struct spans spans = {0};
    uint64_t last = core->tail.base < c->pos ? core->tail.base : c->pos, upto = c->owed_at;
    size_t next = rp_session_owed_after(s, c->owed_at), end = next + RP_OWED_READ_EVENTS;
    for (; next < end && next < s->app->owed_count && s->app->owed[next].seq <= last &&
           spans.count < RP_OWED_READ_SPANS;
         next++) {
        upto = s->app->owed[next].seq;
        add_spans(s, s->open, upto, &spans);
        add_spans(s, s->closed, upto, &spans);
    }
    struct rp_engine_read read = {.spans = spans.all,
                                  .spans_count = spans.count,
                                  .events_max = core->config.page_events,
                                  .bytes_max = core->config.page_bytes};
    struct rp_engine_page nothing = {0};
    enum rp_step step = RP_STEP_ON;
    if (spans.count > 0) {
        step = rp_cursor_read(core, c, &read, RP_READ_OWED, upto);
    } else {
        rp_cursor_owed_page(core, c, upto, &nothing);
    }
    free(spans.all);
    return step;
}

void rp_cursor_owed_page(struct rp_core *core, struct rp_cursor *c, uint64_t upto,
                         const struct rp_engine_page *page) {
    if (page->more) {
        upto = page->records[page->records_count - 1]->seq;
    }
    size_t found = 0;
    const struct rp_owed *owed; /* as of now: what was acked while this was read is not */
    while ((owed = rp_cursor_owed_next(c)) != NULL && owed->seq <= upto) {
        while (found < page->records_count && page->records[found]->seq < owed->seq) {
            found++;
        }
        c->owed_at = owed->seq;
        if (found < page->records_count && page->records[found]->seq == owed->seq) {
            rp_cursor_put_owed(core, c, page->records[found]);
        } else if (page->truncated) {
            lost(core, c->session, owed->seq);
        } else {
            core->stats.owed_lost++; /* where the session was then is forgotten */
        }
    }
}

/* ---- the phase ---- */

struct rp_cursor *rp_core_cursor_start_owing(struct rp_core *core, struct rp_session *session,
                                             uint64_t pos) {
    struct rp_cursor *c = rp_core_cursor_start(core, session, pos);
    c->owing = session->app != NULL;
    return c;
}

enum rp_step rp_cursor_owed_step(struct rp_core *core, struct rp_cursor *c) {
    const struct rp_owed *next = rp_cursor_owed_next(c);
    if (next == NULL) {
        c->owing = false;
        return RP_STEP_ON;
    }
    if (!rp_cursor_has_credit(core, c)) {
        return RP_STEP_CREDIT;
    }
    return next->seq <= core->tail.base ? read(core, c) : send_from_tail(core, c);
}

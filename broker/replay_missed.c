/* broker/replay_missed.c — what a session missed: the events of its rooms from its cursor's
 * position on, each in one of the intervals in which it was a member.
 *
 * From the tail if they are all there. What is older comes in pages of rooms that it shares with
 * others (share.h), merged as the tail's events are. A session of very many rooms reads them all at
 * once and by itself: pages of each would be mostly empty. */
#include "broker/cursor.h"

#include "common/alloc.h"

#include <stdlib.h>

#define GONE_TEXT "events to be replayed are gone or cannot be read"

/* ---- from the tail ---- */

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

/* As the engine says `truncated`: what a room has lost may have been for the session. */
static bool has_all(const struct rp_interval *i, uint64_t pos) {
    for (; i != NULL; i = i->next) {
        uint64_t from = i->from_seq > pos ? i->from_seq : pos;
        if (i->room->border > from && (i->to_seq == 0 || i->to_seq > from)) {
            return false;
        }
    }
    return true;
}

bool rp_core_tail_has_all(const struct rp_session *session, uint64_t pos) {
    return has_all(session->open, pos) && has_all(session->closed, pos);
}

static enum rp_step send_missed(struct rp_core *core, struct rp_cursor *c, uint64_t upto) {
    const struct rp_session *s = c->session;
    if (core->border_max > c->pos && !rp_core_tail_has_all(s, c->pos)) {
        rp_cursor_give_up(core, c, GONE_TEXT);
        return RP_STEP_GONE;
    }
    struct rp_source *sources =
        rp_alloc((s->open_count + s->closed_count) * sizeof(struct rp_source));
    size_t count = add_sources(s->open, c->pos, upto, sources, 0);
    count = add_sources(s->closed, c->pos, upto, sources, count);
    enum rp_step step = rp_cursor_merge(core, c, NULL, sources, count, upto, &c->pos);
    free(sources);
    return step;
}

/* ---- from the engine ---- */

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

/* Asks for the session's events of (pos, upto] that are older than the tail, at once. */
static enum rp_step read_missed(struct rp_core *core, struct rp_cursor *c, uint64_t upto) {
    const struct rp_session *s = c->session;
    upto = upto < core->tail.base ? upto : core->tail.base;
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

void rp_cursor_missed_page(struct rp_core *core, struct rp_cursor *c, uint64_t upto,
                           const struct rp_engine_page *page) {
    if (c->pos < c->session->floor_seq) {
        return; /* who was in an excepted room is not known any more: the next step gives up */
    }
    for (size_t i = 0; i < page->records_count; i++) {
        rp_cursor_offer(core, c, NULL, page->records[i]);
    }
    c->pos = page->more ? page->records[page->records_count - 1]->seq : upto;
}

/* ---- from pages of rooms ---- */

/* One interval's part of what comes next. */
struct part {
    struct rp_room *room;
    uint64_t after, upto; /* upto: where the interval ends, or the reading does */
    size_t want;          /* index of its page; NO_WANT: the tail has all of it */
};
enum { NO_WANT = RP_SHARE_ROOMS_MAX };

struct parts {
    struct part *all;
    size_t count;
    struct rp_share_want wants[RP_SHARE_ROOMS_MAX];
    size_t wants_count;
};

/* False: too many. */
static bool add_parts(const struct rp_core *core, const struct rp_cursor *c,
                      const struct rp_interval *i, uint64_t upto, struct parts *parts) {
    for (; i != NULL; i = i->next) {
        uint64_t from = i->from_seq > c->pos ? i->from_seq : c->pos;
        uint64_t to = i->to_seq > 0 && i->to_seq < upto ? i->to_seq : upto;
        if (to <= from) {
            continue;
        }
        struct part *part = &parts->all[parts->count++];
        *part = (struct part){.room = i->room, .after = from, .upto = to, .want = NO_WANT};
        if (from < core->tail.base) {
            if (parts->wants_count == RP_SHARE_ROOMS_MAX) {
                return false;
            }
            part->want = parts->wants_count++;
            parts->wants[part->want] =
                (struct rp_share_want){.room = i->room, .after = from, .align = !c->has_shared};
        }
    }
    return true;
}

/* Makes sources of the parts, and finds how far all of them go; false: ask again. */
static bool merge_parts(const struct rp_cursor *c, const struct parts *parts,
                        struct rp_source *sources, size_t *ret_count, uint64_t *ret_upto,
                        bool *ret_lost) {
    uint64_t upto = *ret_upto;
    *ret_lost = false;
    *ret_count = 0;
    for (size_t i = 0; i < parts->count; i++) {
        const struct part *part = &parts->all[i];
        const struct rp_shared *page =
            part->want != NO_WANT ? c->shared->places[part->want].page : NULL;
        uint64_t border = page != NULL ? page->border : part->room->border;
        if (page != NULL && (page->is_stale || page->upto <= part->after)) {
            return false;
        }
        *ret_lost = *ret_lost || border > part->after;
        if (page != NULL && page->upto < part->upto && page->upto < upto) {
            upto = page->upto;
        }
    }
    for (size_t i = 0; i < parts->count; i++) {
        const struct part *part = &parts->all[i];
        uint64_t to = part->upto < upto ? part->upto : upto;
        struct rp_source source =
            part->want != NO_WANT
                ? rp_source_of_page(c->shared->places[part->want].page, part->after, to)
                : rp_source_of(part->room, part->after, to);
        if (source.left > 0) {
            sources[(*ret_count)++] = source;
        }
    }
    *ret_upto = upto;
    return true;
}

/* Sends what the pages have, which are all there. */
static enum rp_step send_parts(struct rp_core *core, struct rp_cursor *c, const struct parts *parts,
                               uint64_t upto) {
    size_t count;
    bool lost;
    struct rp_source *sources = rp_alloc(parts->count * sizeof *sources);
    enum rp_step step = RP_STEP_ON; /* ask again */
    if (merge_parts(c, parts, sources, &count, &upto, &lost)) {
        if (lost) {
            free(sources);
            rp_cursor_give_up(core, c, GONE_TEXT);
            return RP_STEP_GONE;
        }
        step = rp_cursor_merge(core, c, NULL, sources, count, upto, &c->pos);
        rp_share_drop(core, c->shared);
        c->shared = NULL;
    }
    free(sources);
    return step;
}

/* Takes the pages that the parts need; the ones held so far stay until then. Who has begun does not
 * wait for memory but reads by itself: what it had may be needed again by then, and so on. */
static enum rp_step take_parts(struct rp_core *core, struct rp_cursor *c, const struct parts *parts,
                               uint64_t upto) {
    struct rp_share_hold *before = c->shared;
    enum rp_err err = rp_share_take(core, parts->wants, parts->wants_count, c, NULL, &c->shared);
    if (err == RP_E_FULL) {
        c->shared = NULL;
    }
    rp_share_drop(core, before);
    if (err == RP_E_FULL) {
        return c->has_shared ? read_missed(core, c, upto) : RP_STEP_MEMORY;
    }
    return err == RP_MORE ? RP_STEP_WAIT : send_parts(core, c, parts, upto);
}

/* ---- all together ---- */

enum rp_step rp_cursor_missed_step(struct rp_core *core, struct rp_cursor *c, uint64_t upto) {
    const struct rp_session *s = c->session;
    if (c->pos >= core->tail.base) {
        rp_share_drop(core, c->shared);
        c->shared = NULL;
        return send_missed(core, c, upto);
    }
    if (rp_share_err(c->shared) != RP_OK) {
        rp_cursor_give_up(core, c, GONE_TEXT);
        return RP_STEP_GONE;
    }
    c->has_shared = c->has_shared || c->shared != NULL;
    struct parts parts;
    parts.count = parts.wants_count = 0;
    parts.all = rp_alloc((s->open_count + s->closed_count) * sizeof *parts.all);
    bool few =
        add_parts(core, c, s->open, upto, &parts) && add_parts(core, c, s->closed, upto, &parts);
    enum rp_step step;
    if (few && parts.wants_count > 0) {
        step = take_parts(core, c, &parts, upto);
    } else {
        rp_share_drop(core, c->shared);
        c->shared = NULL;
        step = read_missed(core, c, upto);
    }
    free(parts.all);
    return step;
}

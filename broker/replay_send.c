/* broker/replay_send.c — the events of a replay: which are for the session, in pages, and the
 * tail's in order.
 *
 * An event in several of the session's rooms is read once for each; as the rooms are merged by seq,
 * the copies follow one another and all but the first are dropped. */
#include "broker/cursor.h"

#include "broker/selector.h"

enum { OPERATION_BYTES = 64 }; /* what an operation adds to its record's bytes */

/* ---- which events ---- */

/* What wants an ack goes to those who owe it, and to them it comes by itself: a history would only
 * repeat it. Of a history's events from before the session was born, or from before its floor,
 * excepted rooms tell nothing. */
static bool is_for(const struct rp_core *core, const struct rp_session *session,
                   const struct rp_cursor_history *h, const struct rp_record *r) {
    if ((r->f.flags & RP_RECORD_NO_ECHO) && r->f.session == session->id) {
        return false;
    }
    if (h != NULL && (r->f.flags & RP_RECORD_PRIVATE)) {
        return false;
    }
    if (r->f.flags & RP_RECORD_WANTS_ACK) {
        return h == NULL && rp_session_owes(session, r->seq) != NULL;
    }
    if (r->f.except.len == 0) {
        return true;
    }
    struct rp_selector selector = rp_selector_of(r);
    return !rp_selector_excepted(&core->rooms, &selector, session, r->seq);
}

/* ---- pages ---- */

bool rp_cursor_page_is_full(const struct rp_core *core, const struct rp_cursor *c) {
    return c->page_bytes >= core->config.page_bytes || c->page_events >= core->config.page_events;
}

void rp_cursor_end_page(struct rp_core *core, struct rp_cursor *c) {
    c->page++;
    c->page_bytes = c->page_events = 0;
    c->page_outstanding = true;
    struct rp_op op = {
        .kind = RP_OP_PAGE,
        .page = {.conn = c->session->conn, .pos = c->pos, .page = c->page, .again = c->owing}};
    rp_link_put(&c->session->peer->link, &op);
    core->stats.replay_pages++;
}

bool rp_cursor_may_put(const struct rp_cursor *c, const struct rp_record *r) {
    return rp_link_may_put(&c->session->peer->link, r->size + OPERATION_BYTES);
}

static void put(struct rp_core *core, struct rp_cursor *c, struct rp_op_replay replay,
                const struct rp_record *r) {
    replay.conn = c->session->conn;
    replay.seq = r->seq;
    replay.wants_ack = (r->f.flags & RP_RECORD_WANTS_ACK) != 0;
    replay.name = r->f.name;
    replay.args = r->f.args;
    replay.attachments = r->f.attachments;
    struct rp_op op = {.kind = RP_OP_REPLAY, .replay = replay};
    rp_link_put(&c->session->peer->link, &op);
    core->stats.replayed_events++;
    rp_cursor_spend(core, r->size / RP_REPLAY_EVENT_BYTES);
    c->page_bytes += r->size;
    c->page_events++;
}

void rp_cursor_offer(struct rp_core *core, struct rp_cursor *c, struct rp_cursor_history *h,
                     const struct rp_record *r) {
    if (!is_for(core, c->session, h, r)) {
        return;
    }
    if (h == NULL) {
        put(core, c, (struct rp_op_replay){.pos = r->seq}, r);
        return;
    }
    put(core, c, (struct rp_op_replay){.pos = c->pos, .history = h->num, .truncated = h->truncated},
        r);
    h->replayed++;
    h->oldest = h->oldest > 0 ? h->oldest : r->seq;
}

void rp_cursor_put_owed(struct rp_core *core, struct rp_cursor *c, const struct rp_record *r) {
    put(core, c, (struct rp_op_replay){.pos = c->pos, .again = 1}, r);
    core->stats.replayed_again++;
}

/* ---- reading the tail: a merge of the rooms' events ---- */

struct rp_source rp_source_of(const struct rp_room *room, uint64_t after, uint64_t upto) {
    if (room != NULL && room->border > after) {
        after = room->border;
    }
    if (room == NULL || upto <= after) {
        return (struct rp_source){0};
    }
    size_t from = rp_room_events_after(room, after), to = rp_room_events_after(room, upto);
    return (struct rp_source){.next = to > from ? &room->events[room->events_from + from] : NULL,
                              .left = to - from};
}

/* Index of the first record with seq > after. */
static size_t records_after(const struct rp_shared *page, uint64_t after) {
    size_t low = 0, high = page->records_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (page->records[middle]->seq > after) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

struct rp_source rp_source_of_page(const struct rp_shared *page, uint64_t after, uint64_t upto) {
    size_t from = records_after(page, after), to = records_after(page, upto);
    return (struct rp_source){.next = to > from ? &page->records[from] : NULL,
                              .left = to > from ? to - from : 0};
}

static bool source_less(const struct rp_source *a, const struct rp_source *b) {
    return (*a->next)->seq < (*b->next)->seq;
}

static void sift_down(struct rp_source *heap, size_t count, size_t i) {
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
        struct rp_source swap = heap[i];
        heap[i] = heap[least];
        heap[least] = swap;
        i = least;
    }
}

enum rp_step rp_cursor_merge(struct rp_core *core, struct rp_cursor *c, struct rp_cursor_history *h,
                             struct rp_source *heap, size_t count, uint64_t upto, uint64_t *at) {
    for (size_t i = count / 2; i-- > 0;) {
        sift_down(heap, count, i);
    }
    while (count > 0) {
        const struct rp_record *r = *heap[0].next;
        if (rp_cursor_page_is_full(core, c) || core->replay_left == 0) {
            return RP_STEP_ON;
        }
        if (!rp_cursor_may_put(c, r)) {
            return RP_STEP_CREDIT;
        }
        if (r->seq > *at) { /* else another room had it */
            *at = r->seq;
            rp_cursor_offer(core, c, h, r);
        }
        rp_cursor_spend(core, 1);
        heap[0].next++;
        if (--heap[0].left == 0) {
            heap[0] = heap[--count];
        }
        sift_down(heap, count, 0);
    }
    *at = upto;
    return RP_STEP_ON;
}

/* broker/commit.c — a record has been committed: what the gateways and workers are told.
 *
 * apply.c changes sessions and memberships. `emit` puts what one peer should know of a record on
 * its link; everything it needs is in the record and the state, so that a peer that was behind, or
 * a broker that was killed before it could answer, is told the same later. A live peer is told at
 * once; a peer that is behind is told by rp_core_pump, in log order, when its link has credit. */
#include "broker/state.h"

#include "common/alloc.h"

#include <stdlib.h>

/* ---- telling one peer ---- */

void rp_core_put_done(struct rp_peer *peer, uint64_t num, uint64_t seq, bool duplicate) {
    struct rp_op op = {.kind = RP_OP_DONE,
                       .done = {.num = num, .seq = seq, .duplicate = duplicate}};
    rp_link_put(&peer->link, &op);
}

void rp_core_put_member(struct rp_peer *peer, uint64_t seq, uint64_t conn, bool joined,
                        struct rp_bytes room) {
    struct rp_op op = {.kind = RP_OP_MEMBER,
                       .member = {.seq = seq, .conn = conn, .joined = joined, .room = room}};
    rp_link_put(&peer->link, &op);
}

static struct rp_op deliver_op(const struct rp_core *core, const struct rp_record *r) {
    uint64_t except = 0;
    if (r->f.flags & RP_RECORD_NO_ECHO) {
        const struct rp_session *sender = rp_sessions_find(&core->sessions, r->f.session);
        except = sender != NULL ? sender->conn : 0;
    }
    return (struct rp_op){.kind = RP_OP_DELIVER,
                          .deliver = {.seq = r->seq,
                                      .nsp = r->f.nsp,
                                      .room = r->f.room,
                                      .except = except,
                                      .name = r->f.name,
                                      .args = r->f.args,
                                      .attachments = r->f.attachments,
                                      .wants_ack = (r->f.flags & RP_RECORD_WANTS_ACK) != 0,
                                      .rooms = r->f.rooms,
                                      .excepts = r->f.except}};
}

static bool has_interest(const struct rp_core *core, const struct rp_peer *peer,
                         struct rp_bytes nsp, struct rp_bytes name) {
    const struct rp_room *room = rp_rooms_find(&core->rooms, nsp, name);
    for (size_t i = 0; room != NULL && i < room->interest_count; i++) {
        if (room->interest[i].peer == peer) {
            return true;
        }
    }
    return false;
}

static bool is_concerned(const struct rp_core *core, const struct rp_peer *peer,
                         const struct rp_record *r) {
    bool found = has_interest(core, peer, r->f.nsp, r->f.room);
    struct rp_bytes rooms = r->f.rooms, name;
    while (!found && rp_names_next(&rooms, &name)) {
        found = has_interest(core, peer, r->f.nsp, name);
    }
    return found;
}

/* The answer to whoever asked for the event: with acks, how many are expected. */
static void put_event_done(struct rp_peer *peer, const struct rp_record *r) {
    struct rp_op op = {.kind = RP_OP_DONE,
                       .done = {.num = r->f.num, .seq = r->seq, .replayed = r->expected}};
    rp_link_put(&peer->link, &op);
}

static void emit_event(struct rp_core *core, struct rp_peer *peer, const struct rp_record *r) {
    if (is_concerned(core, peer, r)) {
        struct rp_op op = deliver_op(core, r);
        rp_link_put(&peer->link, &op);
        core->stats.delivers++;
    }
    if (r->f.origin == peer->incarnation && r->f.num > 0) {
        put_event_done(peer, r);
    }
}

void rp_core_put_rooms(struct rp_peer *peer, const struct rp_session *session, uint64_t seq) {
    for (struct rp_interval *i = session->open; i != NULL; i = i->next) {
        if (i->from_seq <= seq) {
            rp_core_put_member(peer, i->from_seq, session->conn, true, i->room->name);
        }
    }
    for (struct rp_interval *i = session->closed; i != NULL; i = i->next) {
        if (i->from_seq <= seq && i->to_seq > seq) {
            rp_core_put_member(peer, i->from_seq, session->conn, true, i->room->name);
        }
    }
}

/* How app workers serve the session's namespace, for its gateway. */
static uint64_t app_flags(const struct rp_core *core, const struct rp_session *session) {
    const struct rp_policy *policy =
        session->app != NULL ? rp_policy_of(&core->policies, rp_session_nsp(session)) : NULL;
    uint64_t flags = session->app != NULL ? RP_OP_APP : 0;
    return policy != NULL && policy->flags & RP_RECORD_ROOMS_ON ? flags | RP_OP_ROOMS_ON : flags;
}

/* OPEN and RESUME: the answer to CONNECT, the rooms as of the record, and a cursor if there may be
 * something to replay. */
static void emit_connected(struct rp_core *core, struct rp_peer *peer, const struct rp_record *r) {
    bool resumed = r->f.kind == RP_RECORD_RESUME;
    struct rp_session *session = rp_sessions_find(&core->sessions, resumed ? r->f.session : r->seq);
    if (session == NULL || session->conn != r->seq || session->peer != peer) {
        rp_core_put_failed(peer, r->f.num, "superseded", "a newer connection has the session");
        return;
    }
    struct rp_op op = {.kind = RP_OP_CONNECTED,
                       .connected = {.num = r->f.num,
                                     .session = session->id,
                                     .conn = session->conn,
                                     .sid = rp_session_sid(session),
                                     .recovered = resumed,
                                     .pos = resumed ? r->f.aux : r->seq,
                                     .app = app_flags(core, session)}};
    rp_link_put(&peer->link, &op);
    if (resumed || session->app != NULL) {
        rp_core_put_rooms(peer, session, r->seq);
    }
    if (resumed) {
        rp_core_cursor_drop(core, session);
        rp_core_cursor_start_owing(core, session, r->f.aux);
    }
    bool is_app = rp_policy_of(&core->policies, rp_session_nsp(session)) != NULL;
    if (is_app != (session->app != NULL)) {
        rp_core_evict(core, session, "the namespace is served in another way from now on");
    }
}

static const struct rp_resent_join *resent_join(const struct rp_peer *peer, uint64_t num) {
    for (size_t i = 0; i < peer->resent_count; i++) {
        if (peer->resent[i].num == num) {
            return &peer->resent[i];
        }
    }
    return NULL;
}

static void emit_join(struct rp_core *core, struct rp_peer *peer, const struct rp_record *r) {
    struct rp_session *session = rp_sessions_find(&core->sessions, r->f.session);
    if (session == NULL || session->conn != r->f.conn || session->peer != peer) {
        rp_core_put_failed(peer, r->f.num, "superseded", "a newer connection has the session");
        return;
    }
    bool with_history = r->f.flags & RP_RECORD_SINCE;
    struct rp_room *room = rp_rooms_find(&core->rooms, r->f.nsp, r->f.room);
    /* as of the record: the session may have left again since */
    const struct rp_interval *membership =
        room != NULL ? rp_session_membership_at(session, room, r->seq) : NULL;
    uint64_t upto = membership != NULL ? membership->from_seq : r->seq;
    if (with_history) {
        rp_core_put_joined(peer, r->f.num, upto);
    }
    rp_core_put_member(peer, r->seq, session->conn, true, r->f.room);
    const struct rp_resent_join *resent = resent_join(peer, r->f.num);
    if (!with_history) {
        rp_core_put_done(peer, r->f.num, r->seq, false);
    } else if (resent != NULL) {
        rp_core_cursor_history(core, session, r->f.room, r->f.num, resent->since, upto,
                               resent->limit);
    } else if (!rp_peer_knows(peer, r->f.num)) {
        uint64_t limit = r->f.aux & ((1u << RP_LIMIT_BITS) - 1);
        rp_core_cursor_history(core, session, r->f.room, r->f.num, r->f.aux >> RP_LIMIT_BITS, upto,
                               limit);
    } /* else the gateway did not ask again: its client is gone */
}

static void emit_leave(struct rp_core *core, struct rp_peer *peer, const struct rp_record *r) {
    const struct rp_session *session = rp_sessions_find(&core->sessions, r->f.session);
    if (session != NULL && session->conn == r->f.conn && session->peer == peer) {
        rp_core_put_member(peer, r->seq, session->conn, false, r->f.room);
    }
    rp_core_put_done(peer, r->f.num, r->seq, false);
}

/* A client's ack, for the worker that asked for it. */
static void emit_ack(struct rp_peer *peer, const struct rp_record *r) {
    if (r->f.to == peer->incarnation) {
        struct rp_op op = {.kind = RP_OP_GOT_ACK,
                           .got_ack = {.seq = r->seq,
                                       .num = r->f.to_num,
                                       .session = r->f.session,
                                       .sid = r->f.sid,
                                       .args = r->f.args,
                                       .attachments = r->f.attachments}};
        rp_link_put(&peer->link, &op);
    }
}

/* The session's membership of the room that begins, or ends, with this record; false: none does. */
static bool moved_with(const struct rp_session *session, const struct rp_room *room, uint64_t seq,
                       bool leaves) {
    const struct rp_interval *i = rp_session_membership_at(session, room, seq);
    return i != NULL && (leaves ? i->to_seq == seq : i->from_seq == seq);
}

/* The only session that the record can have moved: most name one socket's own room, which nobody
 * else was ever in. NULL: there may be others. */
static const struct rp_session *moved_alone(const struct rp_core *core, const struct rp_record *r) {
    const struct rp_room *own =
        r->f.rooms.len == 0 ? rp_rooms_find(&core->rooms, r->f.nsp, r->f.room) : NULL;
    bool alone = own != NULL && own->is_own && own->intervals_count == 1 && own->members_count == 1;
    return alone ? RP_CONTAINER_OF(rp_list_first(&own->members), struct rp_interval, room_node)
                       ->session
                 : NULL;
}

/* The gateway's sockets that were moved by a worker. */
static void emit_move(struct rp_core *core, struct rp_peer *peer, const struct rp_record *r) {
    bool leaves = (r->f.flags & RP_RECORD_LEAVE_ROOM) != 0;
    const struct rp_room *room = rp_rooms_find(&core->rooms, r->f.nsp, r->f.name);
    const struct rp_session *alone = moved_alone(core, r);
    if (alone != NULL) {
        if (alone->peer == peer && room != NULL && alone->conn < r->seq &&
            moved_with(alone, room, r->seq, leaves)) {
            rp_core_put_member(peer, r->seq, alone->conn, !leaves, r->f.name);
        }
        return;
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&peer->sessions, it, tmp) {
        const struct rp_session *session = RP_CONTAINER_OF(it, struct rp_session, peer_node);
        if (room != NULL && session->conn < r->seq && moved_with(session, room, r->seq, leaves)) {
            rp_core_put_member(peer, r->seq, session->conn, !leaves, r->f.name);
        }
    }
}

/* Puts what a peer should know of a record on its link. */
static void emit(struct rp_core *core, struct rp_peer *peer, const struct rp_record *r) {
    if (r->f.kind == RP_RECORD_EVENT) {
        emit_event(core, peer, r);
        return;
    }
    if (r->f.kind == RP_RECORD_ACK) {
        emit_ack(peer, r);
    } else if (r->f.kind == RP_RECORD_MOVE) {
        emit_move(core, peer, r);
    } else if (r->f.kind == RP_RECORD_SERVE) { /* of a peer that is live: see rp_core_apply_serve */
        rp_core_serve_passed(core, peer, r);
    }
    if (r->f.origin != peer->incarnation || r->f.num == 0) {
        return;
    }
    switch (r->f.kind) {
    case RP_RECORD_OPEN:
    case RP_RECORD_RESUME:
        emit_connected(core, peer, r);
        break;
    case RP_RECORD_JOIN:
        emit_join(core, peer, r);
        break;
    case RP_RECORD_LEAVE:
        emit_leave(core, peer, r);
        break;
    default:
        rp_core_put_done(peer, r->f.num, r->seq, false);
        break;
    }
}

void rp_core_repeat_answer(struct rp_core *core, struct rp_peer *peer, const struct rp_record *r) {
    if (r->f.kind == RP_RECORD_MOVE) { /* the link may have ended between two of its sockets */
        emit_move(core, peer, r);
    }
    if (r->f.origin != peer->incarnation || r->f.num == 0) {
        return;
    }
    if (r->f.kind == RP_RECORD_EVENT) {
        put_event_done(peer, r);
        return;
    }
    if (r->f.kind == RP_RECORD_OPEN || r->f.kind == RP_RECORD_RESUME) {
        uint64_t id = r->f.kind == RP_RECORD_OPEN ? r->seq : r->f.session;
        const struct rp_session *session = rp_sessions_find(&core->sessions, id);
        if (session != NULL && session->confirmed && session->conn == r->seq) {
            return; /* the gateway listed the connection, so it has the answer */
        }
    }
    emit(core, peer, r);
}

static bool has_credit(const struct rp_peer *peer, const struct rp_record *r) {
    enum { OPERATION_BYTES = 64 }; /* what an operation adds to its record's bytes */
    return rp_link_may_put(&peer->link, r->size + OPERATION_BYTES);
}

/* ---- peers that are behind ---- */

/* Gives the answers that had to wait until the link has passed their event. */
static void put_late(struct rp_peer *peer, uint64_t pos) {
    size_t kept = 0;
    for (size_t i = 0; i < peer->late_count; i++) {
        if (peer->late[i].seq <= pos) {
            rp_core_put_done(peer, peer->late[i].num, peer->late[i].seq, true);
        } else {
            peer->late[kept++] = peer->late[i];
        }
    }
    peer->late_count = kept;
}

/* ---- what is not in the log ---- */

void rp_core_outbox_clear(struct rp_peer *peer) {
    struct rp_list *first;
    while ((first = rp_list_first(&peer->outbox)) != NULL) {
        rp_list_remove(first);
        free(RP_CONTAINER_OF(first, struct rp_parcel, node));
    }
    peer->outbox_bytes = peer->outbox_spare = 0;
    peer->overflowed = false;
}

void rp_core_outbox_flush(struct rp_peer *peer) {
    struct rp_list *first;
    while (peer->state == RP_PEER_UP && peer->live &&
           (first = rp_list_first(&peer->outbox)) != NULL) {
        struct rp_parcel *parcel = RP_CONTAINER_OF(first, struct rp_parcel, node);
        if (!rp_link_may_put(&peer->link, parcel->len)) {
            return;
        }
        rp_link_put_bytes(&peer->link, rp_bytes(parcel->data, parcel->len));
        rp_list_remove(first);
        peer->outbox_bytes -= parcel->len;
        free(parcel);
    }
    peer->outbox_spare = rp_list_is_empty(&peer->outbox) ? 0 : peer->outbox_spare;
}

void rp_core_post_encoded(struct rp_peer *peer, struct rp_bytes encoded) {
    if (peer->state == RP_PEER_DOWN || peer->overflowed) {
        return;
    }
    bool at_once = peer->state == RP_PEER_UP && peer->live && rp_list_is_empty(&peer->outbox);
    if (at_once && rp_link_may_put(&peer->link, encoded.len)) {
        rp_link_put_bytes(&peer->link, encoded);
        return;
    }
    struct rp_parcel *parcel = rp_alloc(sizeof(*parcel) + encoded.len);
    parcel->len = encoded.len;
    memcpy(parcel->data, encoded.data, encoded.len);
    rp_list_append(&peer->outbox, &parcel->node);
    peer->outbox_bytes += encoded.len;
    peer->outbox_spare += peer->is_told_all ? encoded.len : 0;
    peer->overflowed = peer->outbox_bytes > RP_OUTBOX_BYTES_MAX + peer->outbox_spare;
}

void rp_core_post(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    rp_buf_clear(&core->parcel);
    enum rp_err err = rp_op_put(&core->parcel, op);
    RP_ASSERT(err == RP_OK);
    rp_core_post_encoded(peer, rp_buf_bytes(&core->parcel));
    rp_buf_shrink(&core->parcel, RP_LINK_BATCH_BYTES);
}

static void become_live(struct rp_core *core, struct rp_peer *peer) {
    peer->live = true;
    put_late(peer, core->head);
    rp_core_linger_end(core, peer);
}

static void fall_behind(struct rp_core *core, struct rp_peer *peer, uint64_t pos) {
    peer->live = false;
    peer->pos = pos;
    core->stats.links_behind++;
}

void rp_core_pump(struct rp_core *core, struct rp_peer *peer) {
    if (peer->state != RP_PEER_UP || peer->live) {
        return;
    }
    if (peer->pos < core->tail.base) {
        rp_core_reset(core, peer, "the gateway fell too far behind");
        return;
    }
    for (size_t i = rp_tail_after(&core->tail, peer->pos); i < core->tail.count; i++) {
        struct rp_record *r = rp_tail_at(&core->tail, i);
        if (!has_credit(peer, r)) {
            return;
        }
        peer->pos = r->seq;
        emit(core, peer, r);
        put_late(peer, r->seq);
    }
    become_live(core, peer);
}

/* ---- commits ---- */

/* What is delivered to the peers of one room after the other; the operation is encoded once, for
 * the first of them. */
struct delivery {
    const struct rp_record *record;
    uint64_t head_before;
    bool encoded;
};

static void deliver_to_room(struct rp_core *core, struct delivery *d, struct rp_bytes name) {
    const struct rp_record *r = d->record;
    struct rp_room *room = rp_rooms_find(&core->rooms, r->f.nsp, name);
    if (room == NULL || room->interest_count == 0) {
        return;
    }
    if (!d->encoded) {
        struct rp_op op = deliver_op(core, r);
        rp_buf_clear(&core->scratch);
        enum rp_err err = rp_op_put(&core->scratch, &op);
        RP_ASSERT(err == RP_OK);
        d->encoded = true;
    }
    for (size_t i = 0; i < room->interest_count; i++) {
        struct rp_peer *peer = room->interest[i].peer;
        if (peer->state != RP_PEER_UP || !peer->live || peer->mark == r->seq) {
            continue;
        }
        peer->mark = r->seq; /* it may have an interest in further rooms */
        if (!has_credit(peer, r)) {
            fall_behind(core, peer, d->head_before);
            continue;
        }
        rp_link_put_bytes(&peer->link, rp_buf_bytes(&core->scratch));
        core->stats.delivers++;
    }
}

/* Tells the live peers of an event: one DELIVER a gateway, encoded once. */
static void deliver(struct rp_core *core, const struct rp_record *r, uint64_t head_before) {
    struct delivery d = {.record = r, .head_before = head_before};
    struct rp_bytes rooms = r->f.rooms, name;
    deliver_to_room(core, &d, r->f.room);
    while (rp_names_next(&rooms, &name)) {
        deliver_to_room(core, &d, name);
    }
}

static void inflight_remove(struct rp_peer *peer, uint64_t num) {
    for (size_t i = 0; i < peer->inflight_count; i++) {
        const struct rp_inflight *at = &peer->inflight[peer->inflight_from + i];
        if (at->num == num) { /* the first, but for a CONNECT that was decided late */
            memmove(&peer->inflight[peer->inflight_from + 1], &peer->inflight[peer->inflight_from],
                    i * sizeof(*at));
            peer->inflight_from++;
            if (--peer->inflight_count == 0) {
                peer->inflight_from = 0;
            }
            return;
        }
    }
}

static void committed(struct rp_core *core, struct rp_record *r) {
    uint64_t head_before = core->head;
    RP_ASSERT(r->seq > head_before);
    core->head = r->seq;
    core->stats.committed++;
    rp_tail_push(&core->tail, r);
    struct rp_peer *origin = r->f.origin ? rp_core_peer_of(core, r->f.origin) : NULL;
    if (origin != NULL) {
        inflight_remove(origin, r->f.num);
    }
    rp_core_apply(core, r);
    origin = r->f.origin ? rp_core_peer_of(core, r->f.origin) : NULL;
    if (r->f.kind == RP_RECORD_EVENT) {
        deliver(core, r, head_before);
        if (rp_peer_is_live(origin) && r->f.num > 0) {
            put_event_done(origin, r);
        }
        return;
    }
    if (r->f.kind == RP_RECORD_ACK && r->f.to != r->f.origin) {
        struct rp_peer *asker = rp_core_peer_of(core, r->f.to);
        if (rp_peer_is_live(asker) && !has_credit(asker, r)) {
            fall_behind(core, asker, head_before);
        } else if (rp_peer_is_live(asker)) {
            emit_ack(asker, r);
        }
    }
    if (rp_peer_is_live(origin)) {
        emit(core, origin, r);
    }
}

/* Undoes what was noted when the record was appended. */
static void take_back(struct rp_core *core, const struct rp_record *r) {
    struct rp_session *session = rp_sessions_find(&core->sessions, r->f.session);
    struct rp_task *task = rp_core_task(core, r->f.origin, r->f.num);
    if (task != NULL && task->state == RP_TASK_ADMITTED) {
        rp_core_task_free(core, task);
    }
    if (r->f.kind == RP_RECORD_SERVE) {
        rp_core_serve_refused(core, r);
    } else if (r->f.kind == RP_RECORD_GONE) {
        struct rp_peer *gone = rp_core_peer_of(core, r->f.aux);
        if (gone != NULL) {
            gone->going = false;
        }
    } else if (session != NULL) {
        session->takeovers -= r->f.kind == RP_RECORD_RESUME;
        session->joining -= r->f.kind == RP_RECORD_JOIN;
        session->leaving -= r->f.kind == RP_RECORD_LEAVE;
        session->ending = session->ending && r->f.kind != RP_RECORD_END;
        if (r->f.kind == RP_RECORD_ACK) {
            rp_session_paying(session, r->f.aux, false);
        }
    }
}

/* A duplicate's event is still to be put on this link: its answer must not come before it. */
static void add_late(struct rp_peer *peer, uint64_t num, uint64_t seq) {
    peer->late = rp_array_reserve(peer->late, peer->late_count, &peer->late_capacity,
                                  sizeof(struct rp_late_done));
    peer->late[peer->late_count++] = (struct rp_late_done){.num = num, .seq = seq};
}

/* DUPLICATE and REFUSED: nothing changed, only the asker cares. If its link is away it will ask
 * again. */
static void undone(struct rp_core *core, const struct rp_engine_outcome *outcome) {
    const struct rp_record *r = outcome->record;
    take_back(core, r);
    struct rp_peer *peer = r->f.origin ? rp_core_peer_of(core, r->f.origin) : NULL;
    if (peer == NULL) {
        return;
    }
    inflight_remove(peer, r->f.num);
    if (r->f.num == 0 || peer->state == RP_PEER_DOWN) {
        return;
    }
    if (outcome->kind == RP_ENGINE_DUPLICATE) {
        core->stats.publishes_duplicate++;
        if (peer->live || outcome->seq <= peer->pos) {
            rp_core_put_done(peer, r->f.num, outcome->seq, true);
        } else {
            add_late(peer, r->f.num, outcome->seq);
        }
    } else {
        /* of what is no event `unavailable` says that trying again makes sense */
        bool full = r->f.kind == RP_RECORD_EVENT && outcome->err == RP_E_NO_SPACE;
        rp_core_put_failed(peer, r->f.num, full ? "no_space" : "unavailable",
                           rp_strerror(outcome->err));
    }
}

void rp_core_outcome(struct rp_core *core, struct rp_engine_outcome *outcome) {
    switch (outcome->kind) {
    case RP_ENGINE_COMMITTED:
        core->undecided--;
        committed(core, outcome->record);
        break;
    case RP_ENGINE_DUPLICATE:
    case RP_ENGINE_REFUSED:
        core->undecided--;
        undone(core, outcome);
        break;
    case RP_ENGINE_PAGE:
        rp_core_page(core, outcome->page);
        break;
    case RP_ENGINE_BORDER:
        rp_core_border(core, outcome->border->nsp, outcome->border->room, outcome->border->seq);
        free(outcome->border);
        break;
    case RP_ENGINE_TRIMMED:
        core->trimming = false;
        if (outcome->err == RP_OK && outcome->seq >= core->first) {
            core->first = outcome->seq + 1;
            rp_tail_trim(&core->tail, outcome->seq);
            rp_share_trimmed(core, outcome->seq);
        }
        break;
    case RP_ENGINE_FATAL:
        core->failure = outcome->err != RP_OK ? outcome->err : RP_E_IO;
        break;
    }
    rp_record_unref(outcome->record);
}

static void deliver_volatile_to_room(struct rp_core *core, const struct rp_op *op,
                                     struct rp_bytes name) {
    enum { OPERATION_BYTES_MAX = 1024 }; /* names, numbers and headers of a DELIVER */
    const struct rp_op_deliver *d = &op->deliver;
    struct rp_room *room = rp_rooms_find(&core->rooms, d->nsp, name);
    size_t size =
        d->args.len + d->attachments.len + d->rooms.len + d->excepts.len + OPERATION_BYTES_MAX;
    for (size_t i = 0; room != NULL && i < room->interest_count; i++) {
        struct rp_peer *peer = room->interest[i].peer;
        if (peer->mark == core->volatile_mark) {
            continue;
        }
        peer->mark = core->volatile_mark;
        if (rp_peer_is_live(peer) && rp_link_may_put(&peer->link, size)) {
            rp_link_put(&peer->link, op);
            core->stats.delivers++;
        } else {
            core->stats.volatile_dropped++;
        }
    }
}

void rp_core_deliver_volatile(struct rp_core *core, struct rp_op_deliver *deliver) {
    deliver->seq = core->head;
    deliver->is_volatile = 1;
    struct rp_op op = {.kind = RP_OP_DELIVER, .deliver = *deliver};
    struct rp_bytes rooms = deliver->rooms, name;
    core->volatile_mark--; /* counts down from the top: no seq is so large */
    deliver_volatile_to_room(core, &op, deliver->room);
    while (rp_names_next(&rooms, &name)) {
        deliver_volatile_to_room(core, &op, name);
    }
}

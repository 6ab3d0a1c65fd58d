/* broker/commit.c — a record has been committed: what it changes, and what the gateways are told.
 *
 * `apply` changes sessions and memberships; it is the only place that does. `emit` puts what one
 * peer should know of a record on its link; everything it needs is in the record and the state, so
 * that a peer that was behind, or a broker that was killed before it could answer, is told the same
 * later. A live peer is told at once; a peer that is behind is told by rp_core_pump, in log order,
 * when its link has credit. */
#include "broker/state.h"

#include "common/alloc.h"

#include <stdlib.h>

/* ---- attaching sessions to peers ---- */

void rp_core_attach(struct rp_session *session, struct rp_peer *peer) {
    RP_ASSERT(session->peer == NULL);
    session->peer = peer;
    session->closed_ts_ms = 0;
    rp_list_remove(&session->closed_node);
    rp_list_append(&peer->sessions, &session->peer_node);
    for (struct rp_interval *i = session->open; i != NULL; i = i->next) {
        rp_room_interest_add(i->room, peer);
    }
}

void rp_core_detach(struct rp_core *core, struct rp_session *session) {
    rp_core_cursor_drop(core, session);
    for (struct rp_interval *i = session->open; i != NULL; i = i->next) {
        rp_room_interest_remove(i->room, session->peer);
    }
    rp_list_remove(&session->peer_node);
    session->peer = NULL;
}

static void close_session(struct rp_core *core, struct rp_session *session, uint64_t ts_ms) {
    if (session->peer != NULL) {
        rp_core_detach(core, session);
    }
    session->closed_ts_ms = ts_ms > 0 ? ts_ms : 1;
    if (!rp_list_is_linked(&session->closed_node)) {
        rp_list_append(&core->sessions.closed, &session->closed_node);
    }
}

void rp_core_evict(struct rp_core *core, const struct rp_session *session, const char *reason) {
    if (session->peer != NULL && session->peer->state != RP_PEER_DOWN) {
        struct rp_op op = {.kind = RP_OP_EVICT,
                           .evict = {.conn = session->conn, .reason = rp_bytes_str(reason)}};
        rp_link_put(&session->peer->link, &op);
        core->stats.evicted++;
    }
}

/* ---- state ---- */

static void apply_open(struct rp_core *core, const struct rp_record *r) {
    struct rp_session *session =
        rp_sessions_add(&core->sessions, r->seq, r->f.nsp, r->f.sid, r->f.pid_hash);
    rp_core_attach(session, rp_core_peer_of(core, r->f.origin));
}

static void apply_resume(struct rp_core *core, struct rp_session *session,
                         const struct rp_record *r) {
    if (session->peer != NULL) {
        rp_core_evict(core, session, "session taken over by a newer connection");
        core->stats.takeovers++;
        rp_core_detach(core, session);
    }
    session->conn = r->seq;
    session->takeovers--;
    rp_core_attach(session, rp_core_peer_of(core, r->f.origin));
}

static void apply_join(struct rp_core *core, struct rp_session *session,
                       const struct rp_record *r) {
    struct rp_room *room = rp_rooms_get(&core->rooms, r->f.nsp, r->f.room);
    if (rp_session_membership(session, room) == NULL) {
        rp_session_join(&core->sessions, session, room, r->seq, r->f.ts_ms);
        if (session->peer != NULL) {
            rp_room_interest_add(room, session->peer);
        }
    }
}

void rp_core_linger(struct rp_peer *peer, struct rp_room *room) {
    peer->lingering = rp_array_reserve(peer->lingering, peer->lingering_count,
                                       &peer->lingering_capacity, sizeof(struct rp_room *));
    peer->lingering[peer->lingering_count++] = room;
}

void rp_core_linger_end(struct rp_core *core, struct rp_peer *peer) {
    for (size_t i = 0; i < peer->lingering_count; i++) {
        rp_room_interest_remove(peer->lingering[i], peer);
        rp_rooms_release(&core->rooms, peer->lingering[i]);
    }
    peer->lingering_count = 0;
}

static void apply_leave(struct rp_core *core, struct rp_session *session,
                        const struct rp_record *r) {
    struct rp_room *room = rp_rooms_find(&core->rooms, r->f.nsp, r->f.room);
    struct rp_interval *interval = room ? rp_session_membership(session, room) : NULL;
    if (interval != NULL) {
        rp_session_leave(session, interval, r->seq);
        struct rp_peer *peer = session->peer;
        if (peer != NULL && peer->state != RP_PEER_DOWN && !peer->live) {
            rp_core_linger(peer, room);
        } else if (peer != NULL) {
            rp_room_interest_remove(room, peer);
        }
    }
    if (r->f.aux > 0) {
        rp_session_forget(&core->sessions, session, r->f.aux);
    }
}

static void apply_gone(struct rp_core *core, const struct rp_record *r) {
    struct rp_peer *peer = rp_core_peer_of(core, r->f.aux);
    if (peer == NULL) {
        return;
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&peer->sessions, it, tmp) {
        struct rp_session *session = RP_CONTAINER_OF(it, struct rp_session, peer_node);
        rp_core_evict(core, session, "the gateway was silent too long");
        close_session(core, session, r->f.ts_ms);
    }
    peer->going = false;
    core->stats.gateways_gone++;
}

static void apply_end(struct rp_core *core, struct rp_session *session) {
    if (session->peer != NULL) {
        rp_core_detach(core, session);
    }
    rp_sessions_remove(&core->sessions, session);
}

static void apply(struct rp_core *core, const struct rp_record *r) {
    if (r->f.kind == RP_RECORD_OPEN) {
        apply_open(core, r);
        return;
    }
    if (r->f.kind == RP_RECORD_GONE) {
        apply_gone(core, r);
        return;
    }
    struct rp_session *session = rp_sessions_find(&core->sessions, r->f.session);
    if (session == NULL || r->f.kind == RP_RECORD_EVENT) {
        return; /* the session ended while this was under way */
    }
    switch (r->f.kind) {
    case RP_RECORD_RESUME:
        apply_resume(core, session, r);
        break;
    case RP_RECORD_CLOSE:
        if (session->conn == r->f.conn) {
            close_session(core, session, r->f.ts_ms);
        }
        break;
    case RP_RECORD_END:
        apply_end(core, session);
        break;
    case RP_RECORD_JOIN:
        session->joining--;
        apply_join(core, session, r);
        break;
    case RP_RECORD_LEAVE:
        session->leaving--;
        apply_leave(core, session, r);
        break;
    default:
        break;
    }
}

/* ---- telling one peer ---- */

void rp_core_put_done(struct rp_peer *peer, uint64_t num, uint64_t seq, bool duplicate) {
    struct rp_op op = {.kind = RP_OP_DONE,
                       .done = {.num = num, .seq = seq, .duplicate = duplicate}};
    rp_link_put(&peer->link, &op);
}

static void put_member(struct rp_peer *peer, uint64_t seq, uint64_t conn, bool joined,
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
                                      .attachments = r->f.attachments}};
}

static bool has_interest(const struct rp_room *room, const struct rp_peer *peer) {
    for (size_t i = 0; room != NULL && i < room->interest_count; i++) {
        if (room->interest[i].peer == peer) {
            return true;
        }
    }
    return false;
}

static void emit_event(struct rp_core *core, struct rp_peer *peer, const struct rp_record *r) {
    if (has_interest(rp_rooms_find(&core->rooms, r->f.nsp, r->f.room), peer)) {
        struct rp_op op = deliver_op(core, r);
        rp_link_put(&peer->link, &op);
        core->stats.delivers++;
    }
    if (r->f.origin == peer->incarnation && r->f.num > 0) {
        rp_core_put_done(peer, r->f.num, r->seq, false);
    }
}

void rp_core_put_rooms(struct rp_peer *peer, const struct rp_session *session, uint64_t seq) {
    for (struct rp_interval *i = session->open; i != NULL; i = i->next) {
        if (i->from_seq <= seq) {
            put_member(peer, i->from_seq, session->conn, true, i->room->name);
        }
    }
    for (struct rp_interval *i = session->closed; i != NULL; i = i->next) {
        if (i->from_seq <= seq && i->to_seq > seq) {
            put_member(peer, i->from_seq, session->conn, true, i->room->name);
        }
    }
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
                                     .pos = resumed ? r->f.aux : r->seq}};
    rp_link_put(&peer->link, &op);
    if (!resumed) {
        return;
    }
    rp_core_put_rooms(peer, session, r->seq);
    rp_core_cursor_drop(core, session);
    rp_core_cursor_start(core, session, r->f.aux);
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
    put_member(peer, r->seq, session->conn, true, r->f.room);
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
        put_member(peer, r->seq, session->conn, false, r->f.room);
    }
    rp_core_put_done(peer, r->f.num, r->seq, false);
}

/* Puts what a peer should know of a record on its link. */
static void emit(struct rp_core *core, struct rp_peer *peer, const struct rp_record *r) {
    if (r->f.kind == RP_RECORD_EVENT) {
        emit_event(core, peer, r);
        return;
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
    bool asked = r->f.origin == peer->incarnation && r->f.num > 0;
    if (r->f.kind == RP_RECORD_EVENT) {
        if (asked) {
            rp_core_put_done(peer, r->f.num, r->seq, false);
        }
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

/* Tells the live peers of an event: one DELIVER a gateway, encoded once. */
static void deliver(struct rp_core *core, const struct rp_record *r, uint64_t head_before) {
    struct rp_room *room = rp_rooms_find(&core->rooms, r->f.nsp, r->f.room);
    if (room == NULL || room->interest_count == 0) {
        return;
    }
    struct rp_op op = deliver_op(core, r);
    rp_buf_clear(&core->scratch);
    enum rp_err err = rp_op_put(&core->scratch, &op);
    RP_ASSERT(err == RP_OK);
    for (size_t i = 0; i < room->interest_count; i++) {
        struct rp_peer *peer = room->interest[i].peer;
        if (peer->state != RP_PEER_UP || !peer->live) {
            continue;
        }
        if (!has_credit(peer, r)) {
            fall_behind(core, peer, head_before);
            continue;
        }
        rp_link_put_bytes(&peer->link, rp_buf_bytes(&core->scratch));
        core->stats.delivers++;
    }
}

static void inflight_remove(struct rp_peer *peer, uint64_t num) {
    for (size_t i = 0; i < peer->inflight_count; i++) {
        uint64_t *at = &peer->inflight[peer->inflight_from + i];
        if (*at == num) { /* the first, but for a CONNECT that was decided late */
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
    apply(core, r);
    bool origin_is_live = origin != NULL && origin->state == RP_PEER_UP && origin->live;
    if (r->f.kind == RP_RECORD_EVENT) {
        deliver(core, r, head_before);
        if (origin_is_live && origin->live && r->f.num > 0) {
            rp_core_put_done(origin, r->f.num, r->seq, false);
        }
    } else if (origin_is_live) {
        emit(core, origin, r);
    }
}

/* Undoes what was noted when the record was appended. */
static void take_back(struct rp_core *core, const struct rp_record *r) {
    struct rp_session *session = rp_sessions_find(&core->sessions, r->f.session);
    if (r->f.kind == RP_RECORD_GONE) {
        struct rp_peer *gone = rp_core_peer_of(core, r->f.aux);
        if (gone != NULL) {
            gone->going = false;
        }
    } else if (session != NULL) {
        session->takeovers -= r->f.kind == RP_RECORD_RESUME;
        session->joining -= r->f.kind == RP_RECORD_JOIN;
        session->leaving -= r->f.kind == RP_RECORD_LEAVE;
        session->ending = session->ending && r->f.kind != RP_RECORD_END;
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
        rp_core_put_failed(peer, r->f.num, "unavailable", rp_strerror(outcome->err));
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
    case RP_ENGINE_TRIMMED:
        core->trimming = false;
        if (outcome->err == RP_OK && outcome->seq >= core->first) {
            core->first = outcome->seq + 1;
            rp_tail_trim(&core->tail, outcome->seq);
        }
        break;
    case RP_ENGINE_FATAL:
        core->failure = outcome->err != RP_OK ? outcome->err : RP_E_IO;
        break;
    }
    rp_record_unref(outcome->record);
}

void rp_core_deliver_volatile(struct rp_core *core, const struct rp_session *sender,
                              const struct rp_op_publish *op) {
    enum { OPERATION_BYTES_MAX = 1024 }; /* names, numbers and headers of a DELIVER */
    struct rp_room *room = rp_rooms_find(&core->rooms, rp_session_nsp(sender), op->room);
    struct rp_op deliver = {
        .kind = RP_OP_DELIVER,
        .deliver = {.seq = core->head,
                    .is_volatile = 1,
                    .nsp = rp_session_nsp(sender),
                    .room = op->room,
                    .except = op->flags & RP_OP_PUBLISH_NO_ECHO ? sender->conn : 0,
                    .name = op->name,
                    .args = op->args,
                    .attachments = op->attachments}};
    size_t size = op->args.len + op->attachments.len + OPERATION_BYTES_MAX;
    for (size_t i = 0; room != NULL && i < room->interest_count; i++) {
        struct rp_peer *peer = room->interest[i].peer;
        if (peer->state == RP_PEER_UP && peer->live && rp_link_may_put(&peer->link, size)) {
            rp_link_put(&peer->link, &deliver);
            core->stats.delivers++;
        } else {
            core->stats.volatile_dropped++;
        }
    }
}

/* broker/apply.c — what a committed record changes: sessions, memberships, what is owed, who serves
 * whom. It is the only place that does; commit.c calls it for each record in seq order, and tells
 * the gateways and workers what follows from it. */
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

/* It is connected: one that is away went at its first CLOSE or GONE, whatever comes behind that. */
static void close_session(struct rp_core *core, struct rp_session *session, uint64_t ts_ms,
                          struct rp_bytes reason) {
    rp_core_detach(core, session);
    rp_core_socket_ends(core, session, false, reason);
    rp_session_drop_handshake(session); /* the next connection has its own */
    session->closed_ts_ms = ts_ms > 0 ? ts_ms : 1;
    rp_list_append(&core->sessions.closed, &session->closed_node);
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

/* False: it was in it. */
static bool join_room(struct rp_core *core, struct rp_session *session, struct rp_bytes name,
                      const struct rp_record *r) {
    struct rp_room *room = rp_rooms_get(&core->rooms, rp_session_nsp(session), name);
    if (rp_session_membership(session, room) != NULL) {
        return false;
    }
    rp_session_join(&core->sessions, session, room, r->seq, r->f.ts_ms);
    if (session->peer != NULL) {
        rp_room_interest_add(room, session->peer);
    }
    rp_core_socket_member(core, session, r->seq, true, name);
    return true;
}

/* What a worker has decided about a CONNECT becomes the session's: its handshake, and its worker.
 */
static struct rp_serving *take_admission(struct rp_core *core, struct rp_session *session,
                                         const struct rp_record *r) {
    struct rp_task *task = rp_core_task(core, r->f.origin, r->f.num);
    struct rp_serving *serving = NULL;
    if (task != NULL && task->state == RP_TASK_ADMITTED) {
        struct rp_bytes in = task->op;
        struct rp_op op;
        enum rp_err err = rp_op_next(core->own_reader, &in, &op);
        RP_ASSERT(err == RP_OK && op.kind == RP_OP_CONNECT);
        rp_session_set_handshake(session, op.connect.handshake);
        serving = task->serving;
        rp_core_task_free(core, task);
    }
    return serving;
}

static void apply_open(struct rp_core *core, const struct rp_record *r) {
    struct rp_session *session =
        rp_sessions_add(&core->sessions, r->seq, r->f.nsp, r->f.sid, r->f.pid_hash);
    rp_core_attach(session, rp_core_peer_of(core, r->f.origin));
    if (r->f.flags & RP_RECORD_APP) {
        rp_session_make_app(session);
        join_room(core, session, rp_bytes(NULL, 0), r);
        join_room(core, session, r->f.sid, r);
        rp_rooms_get(&core->rooms, r->f.nsp, r->f.sid)->is_own = true;
        struct rp_serving *serving = take_admission(core, session, r);
        rp_core_socket_begins(core, session, serving, RP_OP_SOCKET_NEW);
    }
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
    if (session->app != NULL) {
        struct rp_serving *serving = take_admission(core, session, r);
        rp_core_socket_begins(core, session, serving, RP_OP_SOCKET_RECOVERED);
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

/* False: it was not in it. */
static bool leave_room(struct rp_core *core, struct rp_session *session, struct rp_bytes name,
                       const struct rp_record *r) {
    struct rp_room *room = rp_rooms_find(&core->rooms, rp_session_nsp(session), name);
    struct rp_interval *interval = room ? rp_session_membership(session, room) : NULL;
    if (interval == NULL) {
        return false;
    }
    rp_session_leave(session, interval, r->seq);
    struct rp_peer *peer = session->peer;
    if (peer != NULL && peer->state != RP_PEER_DOWN && !peer->live) {
        rp_core_linger(peer, room);
    } else if (peer != NULL) {
        rp_room_interest_remove(room, peer);
    }
    rp_core_socket_member(core, session, r->seq, false, name);
    return true;
}

static void apply_leave(struct rp_core *core, struct rp_session *session,
                        const struct rp_record *r) {
    if (r->f.room.len > 0) {
        leave_room(core, session, r->f.room, r);
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
        close_session(core, session, r->f.ts_ms, RP_BYTES_LIT(RP_REASON_TRANSPORT_CLOSE));
    }
    peer->going = false;
    core->stats.gateways_gone++;
}

static void apply_end(struct rp_core *core, struct rp_session *session, struct rp_bytes reason) {
    if (session->peer != NULL) {
        rp_core_detach(core, session);
    }
    rp_core_socket_ends(core, session, true, reason);
    rp_sessions_remove(&core->sessions, session);
}

/* ---- what workers do to the sockets of a selector ---- */

/* A worker may move a session in and out of rooms for as long as it lives: what it left long ago is
 * forgotten as it is when its client leaves, but by a record of its own. */
static void forget_old_rooms(struct rp_core *core, struct rp_session *session) {
    uint64_t before = rp_session_forget_before(session, core->config.intervals_max);
    if (before == 0 || session->leaving > 0 || session->ending) {
        return;
    }
    struct rp_record_fields leave = {.kind = RP_RECORD_LEAVE,
                                     .session = session->id,
                                     .conn = session->conn,
                                     .aux = before,
                                     .nsp = rp_session_nsp(session)};
    session->leaving++;
    rp_core_append(core, &leave);
}

/* The gateways of those that were moved are told here, if they are live: only now it is known who
 * they are without looking at all sockets. */
static void tell_moved(const struct rp_session *session, const struct rp_record *r, bool leaves) {
    if (rp_peer_is_live(session->peer)) {
        rp_core_put_member(session->peer, r->seq, session->conn, !leaves, r->f.name);
    }
}

static void apply_move(struct rp_core *core, const struct rp_record *r) {
    struct rp_selector selector = rp_selector_of(r);
    bool leaves = (r->f.flags & RP_RECORD_LEAVE_ROOM) != 0;
    size_t count;
    struct rp_session **sessions = rp_selector_sessions(&core->rooms, &selector, &count);
    for (size_t i = 0; i < count; i++) {
        bool moved = false;
        if (leaves) {
            moved = leave_room(core, sessions[i], r->f.name, r);
            forget_old_rooms(core, sessions[i]);
        } else {
            moved = join_room(core, sessions[i], r->f.name, r);
        }
        if (moved) {
            tell_moved(sessions[i], r, leaves);
        }
    }
    free(sessions);
}

/* Tells the gateway. A link that is behind is told in front of what it has yet to come to, for with
 * the session goes what would be needed to tell it of that: the client gets no event from after its
 * end, but may miss some from just before. */
static void kick(const struct rp_session *session, bool transport) {
    if (session->peer != NULL && session->peer->state != RP_PEER_DOWN) {
        struct rp_op op = {.kind = RP_OP_KICKED,
                           .kicked = {.conn = session->conn, .transport = transport}};
        rp_link_put(&session->peer->link, &op);
    }
}

static void apply_kick(struct rp_core *core, const struct rp_record *r) {
    struct rp_selector selector = rp_selector_of(r);
    size_t count;
    struct rp_session **sessions = rp_selector_sessions(&core->rooms, &selector, &count);
    for (size_t i = 0; i < count; i++) {
        kick(sessions[i], (r->f.flags & RP_RECORD_TRANSPORT) != 0);
        apply_end(core, sessions[i], r->f.name);
    }
    free(sessions);
}

/* Who owes too many is not waited for any more by the oldest: the log forgets it by an ack of
 * nobody's.
 */
static void owe(struct rp_core *core, struct rp_session *session, const struct rp_owed *owed) {
    uint64_t oldest = session->app->owed_count > 0 ? session->app->owed[0].seq : 0;
    if (!rp_session_owe(session, owed)) {
        struct rp_record_fields ack = {
            .kind = RP_RECORD_ACK, .session = session->id, .aux = oldest};
        core->stats.acks_forgotten++;
        rp_core_append(core, &ack);
    }
}

/* Who is selected now owes an ack; those who are connected are expected to give one. */
static void apply_event(struct rp_core *core, struct rp_record *r) {
    if (!(r->f.flags & RP_RECORD_WANTS_ACK)) {
        return;
    }
    struct rp_selector selector = rp_selector_of(r);
    struct rp_owed owed = {.seq = r->seq, .origin = r->f.origin, .num = r->f.num};
    size_t count;
    struct rp_session **sessions = rp_selector_sessions(&core->rooms, &selector, &count);
    for (size_t i = 0; i < count; i++) {
        if (sessions[i]->app != NULL) {
            owe(core, sessions[i], &owed);
            r->expected += sessions[i]->peer != NULL;
        }
    }
    free(sessions);
}

/* Why a connection ended; a gateway, or one that lists it no more, may not have said. */
static struct rp_bytes reason_of(const struct rp_record *r) {
    return r->f.name.len > 0 ? r->f.name : RP_BYTES_LIT(RP_REASON_TRANSPORT_CLOSE);
}

/* Records about one session that is there already. */
static void apply_to_session(struct rp_core *core, const struct rp_record *r) {
    struct rp_session *session = rp_sessions_find(&core->sessions, r->f.session);
    if (session == NULL) {
        return; /* it ended while this was under way */
    }
    switch (r->f.kind) {
    case RP_RECORD_RESUME:
        apply_resume(core, session, r);
        break;
    case RP_RECORD_CLOSE:
        if (session->conn == r->f.conn && session->peer != NULL) {
            close_session(core, session, r->f.ts_ms, reason_of(r));
        }
        break;
    case RP_RECORD_END:
        apply_end(core, session, reason_of(r));
        break;
    case RP_RECORD_JOIN:
        session->joining--;
        join_room(core, session, r->f.room, r);
        break;
    case RP_RECORD_LEAVE:
        session->leaving--;
        apply_leave(core, session, r);
        break;
    case RP_RECORD_ACK:
        rp_session_pay(session, r->f.aux);
        break;
    case RP_RECORD_DATA:
        rp_session_set_data(session, r->f.args);
        rp_core_socket_data(core, session, r->f.origin);
        break;
    default:
        break;
    }
}

void rp_core_apply(struct rp_core *core, struct rp_record *r) {
    switch (r->f.kind) {
    case RP_RECORD_EVENT:
        apply_event(core, r);
        break;
    case RP_RECORD_OPEN:
        apply_open(core, r);
        break;
    case RP_RECORD_GONE:
        apply_gone(core, r);
        break;
    case RP_RECORD_MOVE:
        apply_move(core, r);
        break;
    case RP_RECORD_KICK:
        apply_kick(core, r);
        break;
    case RP_RECORD_SERVE:
        rp_core_apply_serve(core, r);
        break;
    default:
        apply_to_session(core, r);
        break;
    }
}

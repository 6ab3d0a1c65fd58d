/* broker/request.c — operations of gateways become records, or are answered at once.
 *
 * A request is checked against the session's connection number here, when it is appended: from the
 * moment a takeover is appended, nothing of an older connection is accepted any more. */
#include "broker/state.h"

#include "common/alloc.h"
#include "proto/attachments.h"
#include "proto/offset.h"

void rp_core_put_failed(struct rp_peer *peer, uint64_t num, const char *code, const char *message) {
    struct rp_op op = {
        .kind = RP_OP_FAILED,
        .failed = {.num = num, .code = rp_bytes_str(code), .message = rp_bytes_str(message)}};
    rp_link_put(&peer->link, &op);
}

/* ---- appending ---- */

static void inflight_add(struct rp_peer *peer, struct rp_inflight inflight) {
    if (peer->inflight_from > 0 &&
        peer->inflight_from + peer->inflight_count == peer->inflight_capacity) {
        memmove(peer->inflight, peer->inflight + peer->inflight_from,
                peer->inflight_count * sizeof(*peer->inflight));
        peer->inflight_from = 0;
    }
    peer->inflight = rp_array_reserve(peer->inflight, peer->inflight_from + peer->inflight_count,
                                      &peer->inflight_capacity, sizeof(*peer->inflight));
    peer->inflight[peer->inflight_from + peer->inflight_count++] = inflight;
}

void rp_core_append(struct rp_core *core, const struct rp_record_fields *fields) {
    struct rp_record_fields stamped = *fields;
    stamped.ts_ms = core->now.wall_ms;
    struct rp_record *record = rp_record_new(&stamped);
    struct rp_peer *origin = stamped.num > 0 ? rp_core_peer_of(core, stamped.origin) : NULL;
    if (origin != NULL) {
        inflight_add(origin, (struct rp_inflight){.num = stamped.num,
                                                  .session = stamped.session,
                                                  .is_event = stamped.kind == RP_RECORD_EVENT});
    }
    core->undecided++;
    if (core->backlog_count == 0 && core->engine->ops->append(core->engine, &record, 1) == RP_OK) {
        return;
    }
    core->backlog = rp_array_reserve(core->backlog, core->backlog_from + core->backlog_count,
                                     &core->backlog_capacity, sizeof(struct rp_record *));
    core->backlog[core->backlog_from + core->backlog_count++] = record;
}

void rp_core_flush_backlog(struct rp_core *core) {
    if (core->backlog_count == 0) {
        return;
    }
    while (core->backlog_count > 0) {
        if (core->engine->ops->append(core->engine, &core->backlog[core->backlog_from], 1) !=
            RP_OK) {
            return;
        }
        core->backlog_from++;
        core->backlog_count--;
    }
    core->backlog_from = 0;
    /* Nobody was listened to meanwhile, so nobody was silent. */
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        RP_CONTAINER_OF(it, struct rp_peer, node)->link.last_heard_ms = core->now.mono_ms;
    }
}

static bool valid_name(struct rp_bytes name) {
    return name.len > 0 && name.len <= RP_ROOM_BYTES_MAX;
}

/* ---- CONNECT ---- */

/* Where a returning session goes on. False: it cannot be recovered exactly. */
static bool resume_position(const struct rp_core *core, const struct rp_session *session,
                            struct rp_bytes offset, uint64_t *ret_pos) {
    struct rp_offset given = {0};
    if (offset.len > 0 && rp_offset_parse(offset, &given) != RP_OK) {
        return false;
    }
    uint64_t pos = session->id; /* for no offset, and for one of another log */
    if (rp_bytes_eq(given.tag, rp_bytes(core->engine->epoch, RP_OFFSET_TAG_LEN))) {
        if (given.pos > core->head) {
            return false;
        }
        /* a client keeps its old offset under a new pid */
        pos = given.pos > session->id ? given.pos : session->id;
    }
    *ret_pos = pos;
    return pos >= session->floor_seq;
}

/* A CONNECT that a worker has admitted. */
static bool is_admitted(const struct rp_core *core, const struct rp_peer *peer, uint64_t num) {
    const struct rp_task *task = rp_core_task(core, peer->incarnation, num);
    return task != NULL && task->state == RP_TASK_ADMITTED;
}

static void append_open(struct rp_core *core, const struct rp_peer *peer,
                        const struct rp_op_connect *op) {
    core->stats.not_recovered += op->resume_hash.len > 0;
    struct rp_record_fields open = {.kind = RP_RECORD_OPEN,
                                    .flags = is_admitted(core, peer, op->num) ? RP_RECORD_APP : 0,
                                    .origin = peer->incarnation,
                                    .num = op->num,
                                    .nsp = op->nsp,
                                    .sid = op->sid,
                                    .pid_hash = op->pid_hash};
    rp_core_append(core, &open);
}

/* What it owes an ack for and the log has no more is not replayed: it lies before what the client
 * has, so the client had it. */
static void forgive_lost(const struct rp_core *core, struct rp_session *session) {
    while (session->app != NULL && session->app->owed_count > 0 &&
           session->app->owed[0].seq < core->first) {
        rp_session_pay(session, session->app->owed[0].seq);
    }
}

static void append_resume(struct rp_core *core, const struct rp_peer *peer, uint64_t num,
                          struct rp_session *session, uint64_t pos) {
    core->stats.recovered++;
    session->takeovers++;
    forgive_lost(core, session);
    struct rp_record_fields resume = {.kind = RP_RECORD_RESUME,
                                      .origin = peer->incarnation,
                                      .num = num,
                                      .session = session->id,
                                      .aux = pos};
    rp_core_append(core, &resume);
}

/* The session to be resumed. One of another kind of namespace (app workers began to serve it, or do
 * not any more) is not. */
static struct rp_session *returning_session(const struct rp_core *core, const struct rp_peer *peer,
                                            const struct rp_op_connect *op) {
    if (op->resume_hash.len == 0) {
        return NULL;
    }
    struct rp_session *session = rp_sessions_find_pid(&core->sessions, op->resume_hash);
    bool usable = session != NULL && !session->ending &&
                  rp_bytes_eq(rp_session_nsp(session), op->nsp) &&
                  (session->app != NULL) == is_admitted(core, peer, op->num);
    return usable ? session : NULL;
}

/* False: it is malformed, or there are too many sessions; that is answered. */
static bool may_connect(struct rp_core *core, struct rp_peer *peer,
                        const struct rp_op_connect *op) {
    bool valid = op->pid_hash.len == RP_PID_HASH_LEN && op->sid.len > 0 &&
                 op->sid.len <= RP_SID_BYTES_MAX && valid_name(op->nsp) &&
                 (op->resume_hash.len == 0 || op->resume_hash.len == RP_PID_HASH_LEN) &&
                 op->handshake.len <= RP_HANDSHAKE_BYTES_MAX;
    if (!valid) {
        rp_core_put_failed(peer, op->num, "bad_args", "malformed CONNECT");
        return false;
    }
    if (core->sessions.by_id.count >= RP_SESSIONS_MAX) {
        core->stats.requests_refused++;
        rp_core_put_failed(peer, op->num, "unavailable", "too many sessions");
        return false;
    }
    return true;
}

static void request_connect(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_op_connect *op) {
    if (!may_connect(core, peer, op)) {
        return;
    }
    const struct rp_policy *policy = rp_policy_of(&core->policies, op->nsp);
    if (policy != NULL) {
        rp_core_admit(core, peer, op, policy);
    } else if (!op->listed) {
        rp_core_put_failed(peer, op->num, "invalid_namespace", "Invalid namespace");
    } else {
        rp_core_connect(core, peer, op);
    }
}

void rp_core_connect(struct rp_core *core, struct rp_peer *peer, const struct rp_op_connect *op) {
    core->stats.connects++;
    struct rp_session *session = returning_session(core, peer, op);
    uint64_t pos;
    if (session == NULL || !resume_position(core, session, op->offset, &pos)) {
        append_open(core, peer, op);
    } else if (pos + 1 >= core->first && pos >= core->border_max) {
        append_resume(core, peer, op->num, session, pos);
    } else if (pos < core->tail.base) {
        rp_core_probe(core, peer, op, pos); /* are the events still there? */
    } else if (rp_core_tail_has_all(session, pos)) {
        append_resume(core, peer, op->num, session, pos);
    } else {
        append_open(core, peer, op);
    }
}

void rp_core_connect_probed(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_op_connect *op, uint64_t pos, bool complete) {
    struct rp_session *session = returning_session(core, peer, op);
    if (session != NULL && complete) {
        append_resume(core, peer, op->num, session, pos);
    } else {
        append_open(core, peer, op);
    }
}

/* ---- operations of a connected session ---- */

struct rp_session *rp_core_valid_session(struct rp_core *core, struct rp_peer *peer, uint64_t num,
                                         uint64_t id, uint64_t conn) {
    struct rp_session *session = rp_sessions_find(&core->sessions, id);
    if (session != NULL && session->conn == conn && session->peer == peer &&
        session->takeovers == 0 && !session->ending) {
        return session;
    }
    core->stats.requests_refused++;
    rp_core_put_failed(peer, num, "superseded", "the session has a newer connection or has ended");
    return NULL;
}

static void request_close(struct rp_core *core, struct rp_peer *peer,
                          const struct rp_op_close *op) {
    struct rp_session *session = rp_sessions_find(&core->sessions, op->session);
    if (session == NULL || session->conn != op->conn || session->ending || session->peer != peer ||
        op->reason.len > RP_REASON_BYTES_MAX) {
        rp_core_put_done(peer, op->num, 0, false); /* nothing of this connection is left */
        return;
    }
    if (session->takeovers > 0) { /* the disk may refuse it, and then this would be forgotten */
        rp_core_put_failed(peer, op->num, "unavailable", "a takeover is under way");
        return;
    }
    rp_core_cursor_drop(core, session);
    session->ending = op->ended != 0;
    struct rp_record_fields close = {.kind = op->ended ? RP_RECORD_END : RP_RECORD_CLOSE,
                                     .origin = peer->incarnation,
                                     .num = op->num,
                                     .session = session->id,
                                     .conn = session->conn,
                                     .name = op->reason};
    rp_core_append(core, &close);
}

/* Whether the room is what is sent to one other socket alone: no client may listen to it. */
static bool is_own_room(const struct rp_core *core, const struct rp_session *session,
                        struct rp_bytes name) {
    const struct rp_room *room = rp_rooms_find(&core->rooms, rp_session_nsp(session), name);
    return room != NULL && room->is_own && !rp_bytes_eq(rp_session_sid(session), name);
}

/* Refuses what would let a client hear what is sent to one other socket, or pretend to send it. */
static bool refuse_own_room(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_session *session, uint64_t num, struct rp_bytes room) {
    if (session->app == NULL || !is_own_room(core, session, room)) {
        return false;
    }
    core->stats.requests_refused++;
    rp_core_put_failed(peer, num, "bad_room", "this room is another socket's own");
    return true;
}

static void request_join(struct rp_core *core, struct rp_peer *peer, const struct rp_op_join *op) {
    struct rp_session *session = rp_core_valid_session(core, peer, op->num, op->session, op->conn);
    if (session == NULL) {
        return;
    }
    if (!valid_name(op->room) || op->limit == 0 || op->limit > RP_HISTORY_EVENTS_MAX ||
        op->since > UINT64_MAX >> RP_LIMIT_BITS) {
        rp_core_put_failed(peer, op->num, "bad_args", "malformed JOIN");
        return;
    }
    if (refuse_own_room(core, peer, session, op->num, op->room)) {
        return;
    }
    if (op->upto > 0) { /* done before the link was lost; the rest of its history is missing */
        uint64_t upto = op->upto < core->head ? op->upto : core->head;
        rp_core_cursor_history(core, session, op->room, op->num, op->since, upto, op->limit);
        return;
    }
    struct rp_room *room = rp_rooms_find(&core->rooms, rp_session_nsp(session), op->room);
    const struct rp_interval *member = room != NULL ? rp_session_membership(session, room) : NULL;
    if (session->leaving > 0) {
        member = NULL; /* perhaps not for long: let the log decide */
    }
    if (member != NULL && op->has_since) {
        rp_core_put_joined(peer, op->num, member->from_seq);
        rp_core_cursor_history(core, session, op->room, op->num, op->since, member->from_seq,
                               op->limit);
        return;
    }
    if (member != NULL) {
        rp_core_put_done(peer, op->num, rp_core_peer_pos(core, peer), false);
        return;
    }
    size_t own = session->app != NULL ? 2 : 0; /* all of the namespace, and its sid */
    if (session->open_count + session->joining >= RP_SESSION_ROOMS_MAX + own ||
        core->sessions.intervals_count >= RP_INTERVALS_MAX) {
        rp_core_put_failed(peer, op->num, "too_many_rooms", "the session is in too many rooms");
        return;
    }
    struct rp_record_fields join = {.kind = RP_RECORD_JOIN,
                                    .flags = op->has_since ? RP_RECORD_SINCE : 0,
                                    .origin = peer->incarnation,
                                    .num = op->num,
                                    .session = session->id,
                                    .conn = session->conn,
                                    .aux =
                                        op->has_since ? op->since << RP_LIMIT_BITS | op->limit : 0,
                                    .nsp = rp_session_nsp(session),
                                    .room = op->room};
    session->joining++;
    rp_core_append(core, &join);
}

static void request_leave(struct rp_core *core, struct rp_peer *peer,
                          const struct rp_op_leave *op) {
    struct rp_session *session = rp_core_valid_session(core, peer, op->num, op->session, op->conn);
    if (session == NULL) {
        return;
    }
    if (!valid_name(op->room)) {
        rp_core_put_failed(peer, op->num, "bad_args", "malformed LEAVE");
        return;
    }
    if (session->app != NULL && rp_bytes_eq(op->room, rp_session_sid(session))) {
        rp_core_put_failed(peer, op->num, "bad_room", "a socket does not leave its own room");
        return;
    }
    /* Appended even if it is no member now: a join of it may be on its way. */
    struct rp_record_fields leave = {
        .kind = RP_RECORD_LEAVE,
        .origin = peer->incarnation,
        .num = op->num,
        .session = session->id,
        .conn = session->conn,
        .aux = rp_session_forget_before(session, core->config.intervals_max),
        .nsp = rp_session_nsp(session),
        .room = op->room};
    session->leaving++;
    rp_core_append(core, &leave);
}

/* Arguments go into the middle of other JSON as they are; that they are JSON is for the gateway, or
 * the worker's library, to see to. Together with the attachments they are one payload. */
bool rp_core_valid_payload(struct rp_bytes args, struct rp_bytes attachments) {
    size_t count;
    return args.len >= 2 && args.len <= RP_PAYLOAD_BYTES_MAX && args.data[0] == '[' &&
           args.data[args.len - 1] == ']' && attachments.len <= RP_PAYLOAD_BYTES_MAX - args.len &&
           rp_attachments_count(attachments, &count) == RP_OK && count <= RP_SIO_ATTACHMENTS_MAX;
}

static bool valid_publish(const struct rp_op_publish *op) {
    return valid_name(op->room) && op->name.len > 0 && op->name.len <= RP_EVENT_BYTES_MAX &&
           op->id.len <= RP_ID_BYTES_MAX && rp_core_valid_payload(op->args, op->attachments);
}

static void request_publish(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_op_publish *op) {
    struct rp_session *session = rp_core_valid_session(core, peer, op->num, op->session, op->conn);
    if (session == NULL || refuse_own_room(core, peer, session, op->num, op->room)) {
        return;
    }
    if (!valid_publish(op)) {
        rp_core_put_failed(peer, op->num, "bad_args", "malformed PUBLISH");
        return;
    }
    core->stats.publishes++;
    if (op->flags & RP_OP_PUBLISH_VOLATILE) {
        core->stats.publishes_volatile++;
        struct rp_op_deliver deliver = {.nsp = rp_session_nsp(session),
                                        .room = op->room,
                                        .except =
                                            op->flags & RP_OP_PUBLISH_NO_ECHO ? session->conn : 0,
                                        .name = op->name,
                                        .args = op->args,
                                        .attachments = op->attachments};
        rp_core_deliver_volatile(core, &deliver);
        rp_core_put_done(peer, op->num, 0, false);
        return;
    }
    /* now it would come behind what the client published after it; but there may be an event with
     * its id */
    bool late = session->app == NULL && rp_peer_had_refused(peer, session->id, op->num);
    if (late && op->id.len == 0) {
        core->stats.requests_refused++;
        rp_core_put_failed(peer, op->num, "unavailable", "it could not be written when it was due");
        return;
    }
    struct rp_record_fields event = {
        .kind = RP_RECORD_EVENT,
        .flags = (op->flags & RP_OP_PUBLISH_NO_ECHO ? (uint32_t) RP_RECORD_NO_ECHO : 0) |
                 (late ? (uint32_t) RP_RECORD_FIND : 0),
        .origin = peer->incarnation,
        .num = op->num,
        .session = session->id,
        .conn = session->conn,
        .nsp = rp_session_nsp(session),
        .room = op->room,
        .name = op->name,
        .args = op->args,
        .attachments = op->attachments,
        .id = op->id,
        .sid = rp_session_sid(session)};
    rp_core_append(core, &event);
}

/* A session that this process found in the log, opened by this very request: here is its handshake.
 */
static void learn_handshake(struct rp_core *core, const struct rp_peer *peer,
                            const struct rp_op_connect *op) {
    uint64_t seq = rp_peer_known_seq(peer, op->num);
    size_t at = seq > 0 ? rp_tail_after(&core->tail, seq - 1) : core->tail.count;
    if (at == core->tail.count || rp_tail_at(&core->tail, at)->seq != seq) {
        return;
    }
    const struct rp_record *r = rp_tail_at(&core->tail, at);
    struct rp_session *session =
        rp_sessions_find(&core->sessions, r->f.kind == RP_RECORD_OPEN ? seq : r->f.session);
    if (session != NULL && session->conn == seq) {
        rp_session_set_handshake(session, op->handshake);
    }
}

/* A request that was in the log, or on its way there, when the link resumed: its record will answer
 * it. Only a join with since says something new: how much of its history has arrived. */
static bool is_known(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op,
                     uint64_t num) {
    if (!rp_peer_knows(peer, num)) {
        return false;
    }
    core->stats.requests_resent++;
    if (op->kind == RP_OP_CONNECT) {
        learn_handshake(core, peer, &op->connect);
    }
    if (op->kind == RP_OP_JOIN && op->join.has_since) {
        peer->resent = rp_array_reserve(peer->resent, peer->resent_count, &peer->resent_capacity,
                                        sizeof(*peer->resent));
        peer->resent[peer->resent_count++] =
            (struct rp_resent_join){.num = num, .since = op->join.since, .limit = op->join.limit};
    }
    return true;
}

static void request_history(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    const struct rp_op_history *h = &op->history;
    const struct rp_session *session =
        rp_core_valid_session(core, peer, h->num, h->session, h->conn);
    if (session == NULL || refuse_own_room(core, peer, session, h->num, h->room)) {
        return;
    }
    if (valid_name(h->room) && h->limit > 0 && h->limit <= RP_HISTORY_EVENTS_MAX) {
        rp_core_answer(core, peer, op);
    } else {
        rp_core_put_failed(peer, h->num, "bad_args", "malformed HISTORY");
    }
}

static void request_presence(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    const struct rp_op_presence *p = &op->presence;
    if (rp_core_valid_session(core, peer, p->num, p->session, p->conn) == NULL) {
        return;
    }
    if (valid_name(p->room)) {
        rp_core_answer(core, peer, op);
    } else {
        rp_core_put_failed(peer, p->num, "bad_args", "malformed PRESENCE");
    }
}

/* Whether a room event is small enough to be asked about. */
static bool is_bounded(const struct rp_op *op) {
    switch (op->kind) {
    case RP_OP_JOIN:
        return valid_name(op->join.room);
    case RP_OP_LEAVE:
        return valid_name(op->leave.room);
    case RP_OP_PUBLISH:
        return valid_publish(&op->publish);
    case RP_OP_HISTORY:
        return valid_name(op->history.room);
    default:
        return valid_name(op->presence.room);
    }
}

/* In a namespace of app workers the room events are theirs to have, or to be asked about. True: the
 * request has been dealt with. */
static bool is_withheld(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    const struct rp_op_presence *head = &op->presence; /* all begin with num, session, conn */
    struct rp_session *session = rp_sessions_find(&core->sessions, head->session);
    if (session == NULL || (session->app == NULL && core->policies.count == 0)) {
        return false;
    }
    const struct rp_policy *policy = rp_policy_of(&core->policies, rp_session_nsp(session));
    if (session->app == NULL && policy == NULL) {
        return false;
    }
    if (session->app == NULL) { /* no worker has admitted it: it is being closed */
        core->stats.requests_refused++;
        rp_core_put_failed(peer, head->num, "superseded", "app workers serve this namespace now");
        return true;
    }
    uint32_t flags = policy != NULL ? policy->flags : 0;
    if (!(flags & RP_RECORD_ROOMS_ON)) {
        core->stats.requests_refused++;
        rp_core_put_failed(peer, head->num, "unknown_event", "this namespace has no room events");
        return true;
    }
    if (!(flags & RP_RECORD_ROOMS_ASK) || !is_bounded(op)) {
        return false; /* or else a refusal, for which no worker is needed */
    }
    session = rp_core_valid_session(core, peer, head->num, head->session, head->conn);
    if (session != NULL) {
        rp_core_check(core, peer, session, op);
    }
    return true;
}

void rp_core_room_request(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    switch (op->kind) {
    case RP_OP_JOIN:
        request_join(core, peer, &op->join);
        break;
    case RP_OP_LEAVE:
        request_leave(core, peer, &op->leave);
        break;
    case RP_OP_PUBLISH:
        request_publish(core, peer, &op->publish);
        break;
    case RP_OP_HISTORY:
        request_history(core, peer, op);
        break;
    case RP_OP_PRESENCE:
        request_presence(core, peer, op);
        break;
    default:
        break;
    }
}

void rp_core_request(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    uint64_t num = op->connect.num; /* every request begins with it */
    peer->newest = num > peer->newest ? num : peer->newest;
    if (num == 0 || is_known(core, peer, op, num)) {
        return;
    }
    switch (op->kind) {
    case RP_OP_CONNECT:
        request_connect(core, peer, &op->connect);
        break;
    case RP_OP_CLOSE:
        request_close(core, peer, &op->close);
        break;
    case RP_OP_EVENT:
        rp_core_client_event(core, peer, op);
        break;
    case RP_OP_ACKED:
        rp_core_acked(core, peer, &op->acked);
        break;
    default:
        if (!is_withheld(core, peer, op)) {
            rp_core_room_request(core, peer, op);
        }
        break;
    }
}

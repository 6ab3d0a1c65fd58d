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

static void inflight_add(struct rp_peer *peer, uint64_t num) {
    if (peer->inflight_from > 0 &&
        peer->inflight_from + peer->inflight_count == peer->inflight_capacity) {
        memmove(peer->inflight, peer->inflight + peer->inflight_from,
                peer->inflight_count * sizeof(*peer->inflight));
        peer->inflight_from = 0;
    }
    peer->inflight = rp_array_reserve(peer->inflight, peer->inflight_from + peer->inflight_count,
                                      &peer->inflight_capacity, sizeof(*peer->inflight));
    peer->inflight[peer->inflight_from + peer->inflight_count++] = num;
}

void rp_core_append(struct rp_core *core, const struct rp_record_fields *fields) {
    struct rp_record_fields stamped = *fields;
    stamped.ts_ms = core->now.wall_ms;
    struct rp_record *record = rp_record_new(&stamped);
    struct rp_peer *origin = stamped.num > 0 ? rp_core_peer_of(core, stamped.origin) : NULL;
    if (origin != NULL) {
        inflight_add(origin, stamped.num);
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

static void append_open(struct rp_core *core, const struct rp_peer *peer,
                        const struct rp_op_connect *op) {
    core->stats.not_recovered += op->resume_hash.len > 0;
    struct rp_record_fields open = {.kind = RP_RECORD_OPEN,
                                    .origin = peer->incarnation,
                                    .num = op->num,
                                    .nsp = op->nsp,
                                    .sid = op->sid,
                                    .pid_hash = op->pid_hash};
    rp_core_append(core, &open);
}

static void append_resume(struct rp_core *core, const struct rp_peer *peer, uint64_t num,
                          struct rp_session *session, uint64_t pos) {
    core->stats.recovered++;
    session->takeovers++;
    struct rp_record_fields resume = {.kind = RP_RECORD_RESUME,
                                      .origin = peer->incarnation,
                                      .num = num,
                                      .session = session->id,
                                      .aux = pos};
    rp_core_append(core, &resume);
}

static struct rp_session *returning_session(const struct rp_core *core,
                                            const struct rp_op_connect *op) {
    if (op->resume_hash.len == 0) {
        return NULL;
    }
    struct rp_session *session = rp_sessions_find_pid(&core->sessions, op->resume_hash);
    bool usable =
        session != NULL && !session->ending && rp_bytes_eq(rp_session_nsp(session), op->nsp);
    return usable ? session : NULL;
}

static void request_connect(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_op_connect *op) {
    bool valid = op->pid_hash.len == RP_PID_HASH_LEN && op->sid.len > 0 &&
                 op->sid.len <= RP_SID_BYTES_MAX && valid_name(op->nsp) &&
                 (op->resume_hash.len == 0 || op->resume_hash.len == RP_PID_HASH_LEN);
    if (!valid) {
        rp_core_put_failed(peer, op->num, "bad_args", "malformed CONNECT");
        return;
    }
    if (core->sessions.by_id.count >= RP_SESSIONS_MAX) {
        core->stats.requests_refused++;
        rp_core_put_failed(peer, op->num, "unavailable", "too many sessions");
        return;
    }
    core->stats.connects++;
    struct rp_session *session = returning_session(core, op);
    uint64_t pos;
    if (session == NULL || !resume_position(core, session, op->offset, &pos)) {
        append_open(core, peer, op);
    } else if (pos + 1 >= core->first) {
        append_resume(core, peer, op->num, session, pos);
    } else {
        rp_core_probe(core, peer, op, pos); /* are the events still there? */
    }
}

void rp_core_connect_probed(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_op_connect *op, uint64_t pos, bool complete) {
    struct rp_session *session = returning_session(core, op);
    if (session != NULL && complete) {
        append_resume(core, peer, op->num, session, pos);
    } else {
        append_open(core, peer, op);
    }
}

/* ---- operations of a connected session ---- */

/* The session, if the operation comes from its valid connection; otherwise the request is refused.
 */
static struct rp_session *valid_session(struct rp_core *core, struct rp_peer *peer, uint64_t num,
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
    if (session == NULL || session->conn != op->conn || session->ending || session->peer != peer) {
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
                                     .conn = session->conn};
    rp_core_append(core, &close);
}

static void request_join(struct rp_core *core, struct rp_peer *peer, const struct rp_op_join *op) {
    struct rp_session *session = valid_session(core, peer, op->num, op->session, op->conn);
    if (session == NULL) {
        return;
    }
    if (!valid_name(op->room) || op->limit == 0 || op->limit > RP_HISTORY_EVENTS_MAX ||
        op->since > UINT64_MAX >> RP_LIMIT_BITS) {
        rp_core_put_failed(peer, op->num, "bad_args", "malformed JOIN");
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
    if (session->open_count + session->joining >= RP_SESSION_ROOMS_MAX ||
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
    struct rp_session *session = valid_session(core, peer, op->num, op->session, op->conn);
    if (session == NULL) {
        return;
    }
    if (!valid_name(op->room)) {
        rp_core_put_failed(peer, op->num, "bad_args", "malformed LEAVE");
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

/* Arguments go into the middle of other JSON as they are; that they are JSON is for the gateway to
 * see to. Together with the attachments they are one payload. */
static bool valid_payload(struct rp_bytes args, struct rp_bytes attachments) {
    size_t count;
    return args.len >= 2 && args.len <= RP_PAYLOAD_BYTES_MAX && args.data[0] == '[' &&
           args.data[args.len - 1] == ']' && attachments.len <= RP_PAYLOAD_BYTES_MAX - args.len &&
           rp_attachments_count(attachments, &count) == RP_OK && count <= RP_SIO_ATTACHMENTS_MAX;
}

static void request_publish(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_op_publish *op) {
    struct rp_session *session = valid_session(core, peer, op->num, op->session, op->conn);
    if (session == NULL) {
        return;
    }
    if (!valid_name(op->room) || op->name.len == 0 || op->name.len > RP_EVENT_BYTES_MAX ||
        op->id.len > RP_ID_BYTES_MAX || !valid_payload(op->args, op->attachments)) {
        rp_core_put_failed(peer, op->num, "bad_args", "malformed PUBLISH");
        return;
    }
    core->stats.publishes++;
    if (op->flags & RP_OP_PUBLISH_VOLATILE) {
        core->stats.publishes_volatile++;
        rp_core_deliver_volatile(core, session, op);
        rp_core_put_done(peer, op->num, 0, false);
        return;
    }
    struct rp_record_fields event = {.kind = RP_RECORD_EVENT,
                                     .flags =
                                         op->flags & RP_OP_PUBLISH_NO_ECHO ? RP_RECORD_NO_ECHO : 0,
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

/* A request that was in the log, or on its way there, when the link resumed: its record will answer
 * it. Only a join with since says something new: how much of its history has arrived. */
static bool is_known(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op,
                     uint64_t num) {
    if (!rp_peer_knows(peer, num)) {
        return false;
    }
    core->stats.requests_resent++;
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
    if (valid_session(core, peer, h->num, h->session, h->conn) == NULL) {
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
    if (valid_session(core, peer, p->num, p->session, p->conn) == NULL) {
        return;
    }
    if (valid_name(p->room)) {
        rp_core_answer(core, peer, op);
    } else {
        rp_core_put_failed(peer, p->num, "bad_args", "malformed PRESENCE");
    }
}

void rp_core_request(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    uint64_t num = op->connect.num; /* every request begins with it */
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

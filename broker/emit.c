/* broker/emit.c — what an app worker asks for: events to selectors, rooms of others' sockets,
 * disconnects, data; and what clients answer to its events.
 *
 * All but volatile events become records, so they have their place in the one order of the log and
 * are answered when they are durable. */
#include "broker/state.h"

#include "common/alloc.h"
#include "proto/attachments.h"
#include "proto/json.h"
#include "proto/sio.h"

#include <stdlib.h>

/* ---- selectors of requests ---- */

static bool valid_names(struct rp_bytes packed) {
    struct rp_bytes name;
    size_t count;
    if (rp_attachments_count(packed, &count) != RP_OK || count > RP_SELECTOR_ROOMS_MAX) {
        return false;
    }
    while (rp_names_next(&packed, &name)) {
        if (name.len == 0 || name.len > RP_ROOM_BYTES_MAX) {
            return false;
        }
    }
    return true;
}

/* The room may be empty: all of the namespace; then there are no further ones. */
bool rp_core_valid_selector(const struct rp_selector *s) {
    return s->nsp.len <= RP_SIO_NSP_BYTES_MAX && s->room.len <= RP_ROOM_BYTES_MAX &&
           valid_names(s->rooms) && valid_names(s->except) &&
           (s->room.len > 0 || s->rooms.len == 0);
}

static struct rp_policy *policy_for(struct rp_core *core, struct rp_peer *worker, uint64_t num,
                                    const struct rp_selector *selector) {
    if (!rp_core_valid_selector(selector)) {
        rp_core_put_failed(worker, num, "bad_args", "malformed selector");
        return NULL;
    }
    struct rp_policy *policy = rp_policy_of(&core->policies, selector->nsp);
    if (policy == NULL) {
        rp_core_put_failed(worker, num, "invalid_namespace", "no worker serves this namespace");
    }
    return policy;
}

/* ---- EMIT ---- */

static bool valid_emit(const struct rp_op_emit *op) {
    return op->name.len > 0 && op->name.len <= RP_EVENT_BYTES_MAX &&
           op->sid.len <= RP_SID_BYTES_MAX && rp_core_valid_payload(op->args, op->attachments);
}

/* Whether a room is, or looks as if it had been, one socket's own. */
static bool is_own(const struct rp_core *core, struct rp_bytes nsp, struct rp_bytes name) {
    const struct rp_room *room = rp_rooms_find(&core->rooms, nsp, name);
    if (room != NULL) {
        return room->is_own;
    }
    bool looks_so = name.len == RP_SID_CHARS;
    for (size_t i = 0; i < name.len && looks_so; i++) {
        uint8_t c = name.data[i];
        looks_so = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                   c == '-' || c == '_';
    }
    return looks_so;
}

/* What goes to single sockets alone is not for those to read who learn of their ids. */
static bool is_private(const struct rp_core *core, const struct rp_op_emit *op,
                       struct rp_bytes nsp) {
    bool all = op->room.len > 0 && is_own(core, nsp, op->room);
    struct rp_bytes rooms = op->rooms, name;
    while (all && rp_names_next(&rooms, &name)) {
        all = is_own(core, nsp, name);
    }
    return all;
}

static void emit_to(struct rp_core *core, const struct rp_peer *worker, const struct rp_op_emit *op,
                    struct rp_bytes nsp, uint64_t num) {
    if (op->flags & RP_OP_EMIT_VOLATILE) {
        struct rp_op_deliver deliver = {.nsp = nsp,
                                        .room = op->room,
                                        .rooms = op->rooms,
                                        .excepts = op->except,
                                        .name = op->name,
                                        .args = op->args,
                                        .attachments = op->attachments};
        core->stats.emits_volatile++;
        rp_core_deliver_volatile(core, &deliver);
        return;
    }
    uint32_t flags = (op->flags & RP_OP_EMIT_WANTS_ACK ? RP_RECORD_WANTS_ACK : 0) |
                     (is_private(core, op, nsp) ? RP_RECORD_PRIVATE : 0);
    struct rp_record_fields event = {.kind = RP_RECORD_EVENT,
                                     .flags = flags,
                                     .origin = worker->incarnation,
                                     .num = num,
                                     .nsp = nsp,
                                     .room = op->room,
                                     .rooms = op->rooms,
                                     .except = op->except,
                                     .name = op->name,
                                     .args = op->args,
                                     .attachments = op->attachments,
                                     .sid = op->sid};
    core->stats.emits++;
    rp_core_append(core, &event);
}

struct names {
    struct rp_bytes *all;
    size_t count, capacity;
};

/* The namespaces with sessions that a policy is for: each has the room "". */
static struct names namespaces_of(const struct rp_core *core, const struct rp_policy *policy) {
    struct names names = {0};
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&core->rooms.map, &it)) != NULL;) {
        const struct rp_room *room = RP_CONTAINER_OF(n, struct rp_room, node);
        if (room->name.len == 0 && room->intervals_count > 0 &&
            rp_policy_of(&core->policies, room->nsp) == policy) {
            names.all =
                rp_array_reserve(names.all, names.count, &names.capacity, sizeof(struct rp_bytes));
            names.all[names.count++] = room->nsp;
        }
    }
    return names;
}

/* One event for each namespace of a pattern; the last one's record answers. */
static void emit_to_pattern(struct rp_core *core, struct rp_peer *worker,
                            const struct rp_op_emit *op) {
    const struct rp_policy *policy = rp_policy_find(&core->policies, op->nsp);
    struct names names = policy != NULL ? namespaces_of(core, policy) : (struct names){0};
    for (size_t i = 0; i < names.count; i++) {
        emit_to(core, worker, op, names.all[i], i + 1 == names.count ? op->num : 0);
    }
    if (names.count == 0 || (op->flags & RP_OP_EMIT_VOLATILE)) {
        rp_core_put_done(worker, op->num, rp_core_peer_pos(core, worker), false);
    }
    free(names.all);
}

static void request_emit(struct rp_core *core, struct rp_peer *worker,
                         const struct rp_op_emit *op) {
    bool pattern = (op->flags & RP_OP_EMIT_PATTERN) != 0;
    bool wants_ack = (op->flags & RP_OP_EMIT_WANTS_ACK) != 0;
    struct rp_selector selector = {
        .nsp = op->nsp, .room = op->room, .rooms = op->rooms, .except = op->except};
    if (!valid_emit(op) || (wants_ack && (pattern || op->flags & RP_OP_EMIT_VOLATILE)) ||
        (pattern && !rp_core_valid_selector(&selector))) {
        rp_core_put_failed(worker, op->num, "bad_args", "malformed EMIT");
    } else if (pattern) {
        emit_to_pattern(core, worker, op);
    } else if (policy_for(core, worker, op->num, &selector) == NULL) {
        return; /* it is answered */
    } else if (op->flags & RP_OP_EMIT_VOLATILE) {
        emit_to(core, worker, op, op->nsp, op->num);
        rp_core_put_done(worker, op->num, 0, false);
    } else if (rp_peer_had_refused(worker, 0, op->num)) {
        /* as of a client: now it would come behind what the worker emitted after it */
        rp_core_put_failed(worker, op->num, "unavailable",
                           "it could not be written when it was due");
    } else {
        emit_to(core, worker, op, op->nsp, op->num);
    }
}

/* ---- sockets of a selector ---- */

/* Whether all who are selected may be in one room more. */
static bool may_join(const struct rp_core *core, const struct rp_selector *selector,
                     struct rp_bytes target) {
    const struct rp_room *room = rp_rooms_find(&core->rooms, selector->nsp, target);
    size_t count;
    struct rp_session **sessions = rp_selector_sessions(&core->rooms, selector, &count);
    bool may = core->sessions.intervals_count + count <= RP_INTERVALS_MAX;
    for (size_t i = 0; may && i < count; i++) {
        may = sessions[i]->open_count < RP_SESSION_ROOMS_MAX + 2 ||
              (room != NULL && rp_session_membership(sessions[i], room) != NULL);
    }
    free(sessions);
    return may;
}

static void request_move(struct rp_core *core, struct rp_peer *worker,
                         const struct rp_op_move *op) {
    struct rp_selector selector = {
        .nsp = op->nsp, .room = op->room, .rooms = op->rooms, .except = op->except};
    if (policy_for(core, worker, op->num, &selector) == NULL) {
        return;
    }
    if (op->target.len == 0 || op->target.len > RP_ROOM_BYTES_MAX) {
        rp_core_put_failed(worker, op->num, "bad_room", "a room has 1 to 255 bytes");
        return;
    }
    const struct rp_room *target = rp_rooms_find(&core->rooms, op->nsp, op->target);
    if (op->leave && target != NULL && target->is_own) {
        rp_core_put_failed(worker, op->num, "bad_room", "a socket does not leave its own room");
        return;
    }
    if (!op->leave && !may_join(core, &selector, op->target)) {
        rp_core_put_failed(worker, op->num, "too_many_rooms", "a session is in too many rooms");
        return;
    }
    struct rp_record_fields move = {.kind = RP_RECORD_MOVE,
                                    .flags = op->leave ? RP_RECORD_LEAVE_ROOM : 0,
                                    .origin = worker->incarnation,
                                    .num = op->num,
                                    .nsp = op->nsp,
                                    .room = op->room,
                                    .rooms = op->rooms,
                                    .except = op->except,
                                    .name = op->target};
    rp_core_append(core, &move);
}

static void request_expel(struct rp_core *core, struct rp_peer *worker,
                          const struct rp_op_expel *op) {
    struct rp_selector selector = {
        .nsp = op->nsp, .room = op->room, .rooms = op->rooms, .except = op->except};
    if (policy_for(core, worker, op->num, &selector) == NULL) {
        return;
    }
    struct rp_record_fields kick = {.kind = RP_RECORD_KICK,
                                    .flags = op->transport ? RP_RECORD_TRANSPORT : 0,
                                    .origin = worker->incarnation,
                                    .num = op->num,
                                    .nsp = op->nsp,
                                    .room = op->room,
                                    .rooms = op->rooms,
                                    .except = op->except,
                                    .name = RP_BYTES_LIT(RP_REASON_SERVER_DISCONNECT)};
    rp_core_append(core, &kick);
}

static void request_data(struct rp_core *core, struct rp_peer *worker,
                         const struct rp_op_data *op) {
    const struct rp_session *session = rp_sessions_find(&core->sessions, op->session);
    struct rp_bytes value;
    if (session == NULL || session->app == NULL || session->ending) {
        rp_core_put_failed(worker, op->num, "gone", "the session has ended");
    } else if (op->json.len > RP_SESSION_DATA_BYTES_MAX ||
               rp_json_whole(op->json, &value) != RP_OK) {
        rp_core_put_failed(worker, op->num, "bad_args", "data is one JSON value of up to 64 KiB");
    } else {
        struct rp_record_fields data = {.kind = RP_RECORD_DATA,
                                        .origin = worker->incarnation,
                                        .num = op->num,
                                        .session = op->session,
                                        .args = op->json};
        rp_core_append(core, &data);
    }
}

static void request_fetch(struct rp_core *core, struct rp_peer *worker, const struct rp_op *op) {
    const struct rp_op_fetch *f = &op->fetch;
    struct rp_selector selector = {
        .nsp = f->nsp, .room = f->room, .rooms = f->rooms, .except = f->except};
    if (rp_core_valid_selector(&selector)) {
        rp_core_behind(core, worker, op);
    } else {
        rp_core_put_failed(worker, f->num, "bad_args", "malformed selector");
    }
}

/* Every request of a worker begins with its num. */
void rp_core_worker_request(struct rp_core *core, struct rp_peer *worker, const struct rp_op *op) {
    uint64_t num = op->emit.num;
    if (num == 0 || !worker->is_worker) {
        return;
    }
    if (rp_peer_knows(worker, num)) {
        core->stats.requests_resent++;
        return;
    }
    switch (op->kind) {
    case RP_OP_EMIT:
        request_emit(core, worker, &op->emit);
        break;
    case RP_OP_MOVE:
        request_move(core, worker, &op->move);
        break;
    case RP_OP_EXPEL:
        request_expel(core, worker, &op->expel);
        break;
    case RP_OP_DATA:
        request_data(core, worker, &op->data);
        break;
    case RP_OP_FETCH:
        request_fetch(core, worker, op);
        break;
    case RP_OP_SIDE:
        rp_core_side(core, worker, &op->side);
        break;
    default:
        break;
    }
}

/* ---- acks of clients ---- */

/* Of a session that does not owe it (any more) nothing is written: a client may ack twice, and
 * whatever it likes. */
void rp_core_acked(struct rp_core *core, struct rp_peer *peer, const struct rp_op_acked *op) {
    struct rp_session *session = rp_core_valid_session(core, peer, op->num, op->session, op->conn);
    if (session == NULL) {
        return;
    }
    const struct rp_owed *owed = rp_session_owes(session, op->seq);
    if (owed == NULL || owed->paying) {
        core->stats.acks_ignored++;
        rp_core_put_done(peer, op->num, 0, false);
        return;
    }
    if (!rp_core_valid_payload(op->args, op->attachments)) {
        rp_core_put_failed(peer, op->num, "bad_args", "malformed ACKED");
        return;
    }
    struct rp_record_fields ack = {.kind = RP_RECORD_ACK,
                                   .origin = peer->incarnation,
                                   .num = op->num,
                                   .session = session->id,
                                   .conn = session->conn,
                                   .aux = op->seq,
                                   .to = owed->origin,
                                   .to_num = owed->num,
                                   .sid = rp_session_sid(session),
                                   .nsp = rp_session_nsp(session),
                                   .args = op->args,
                                   .attachments = op->attachments};
    rp_session_paying(session, op->seq, true);
    core->stats.acks++;
    rp_core_append(core, &ack);
}

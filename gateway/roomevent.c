/* gateway/roomevent.c — the built-in room events: join, leave, publish, history, presence.
 *
 * An event's arguments are checked here and become a request to the broker; an argument that is
 * wrong is answered at once. The broker's answer becomes one object, {ok: true, …} or {ok: false,
 * error: {code, message}}, in an ack packet. A client that gave no ack callback is not answered. */
#include "gateway/core.h"

/* An event being handled. */
struct call {
    struct rp_gateway *g;
    struct rp_socket *s;
    const struct rp_sio_packet *packet;
    struct rp_bytes attachments; /* packed */
    struct rp_sio_args args;
};

/* What is wrong with an event; NULL code: nothing. */
struct fault {
    const char *code, *message;
};

static const struct fault OK_FAULT = {NULL, NULL};

static struct fault fault(const char *code, const char *message) {
    return (struct fault){code, message};
}

/* ---- acks ---- */

static void must(enum rp_err err) {
    RP_ASSERT(err == RP_OK); /* scratch holds any message of the broker; what is escaped is short */
}

static void give_ack(struct rp_gateway *g, struct rp_socket *s, uint64_t ack_id,
                     struct rp_bytes json, uint64_t seq) {
    struct rp_blob *frame = rp_encode_ack(g, s->nsp->name, ack_id, json, rp_bytes(NULL, 0));
    if (frame != NULL) {
        rp_socket_answer(g, s, frame, seq);
    }
}

/* The text, or what of it fits, up to a character's end. */
static struct rp_bytes clip(struct rp_bytes text, size_t bytes_max) {
    if (text.len > bytes_max) {
        text.len = bytes_max;
        while (text.len > 0 && (text.data[text.len] & 0xC0) == 0x80) {
            text.len--;
        }
    }
    return text;
}

/* What the client may be sent of it: some of these texts are an application's. */
static struct rp_bytes proper(struct rp_gateway *g, struct rp_bytes text, size_t bytes_max) {
    struct rp_bytes clipped = clip(text, bytes_max);
    if (!rp_bytes_is_utf8(clipped)) {
        g->stats.malformed_messages++;
        return RP_BYTES_LIT("?");
    }
    return clipped;
}

static struct rp_bytes render_error(struct rp_gateway *g, struct rp_bytes code,
                                    struct rp_bytes message) {
    struct rp_buf *out = &g->scratch;
    rp_buf_clear(out);
    must(rp_buf_put_str(out, "{\"ok\":false,\"error\":{\"code\":"));
    must(rp_json_put_string(out, proper(g, code, RP_FAILURE_CODE_BYTES_MAX)));
    must(rp_buf_put_str(out, ",\"message\":"));
    must(rp_json_put_string(out, proper(g, message, RP_FAILURE_MESSAGE_BYTES_MAX)));
    must(rp_buf_put_str(out, "}}"));
    return rp_buf_bytes(out);
}

static void refuse(const struct call *call, struct fault f) {
    call->g->stats.refused_events++;
    if (call->packet->has_id) {
        struct rp_bytes json = render_error(call->g, rp_bytes_str(f.code), rp_bytes_str(f.message));
        give_ack(call->g, call->s, call->packet->id, json, 0);
    }
}

static void put_field_u64(struct rp_buf *out, const char *name, uint64_t value) {
    must(rp_buf_put_str(out, name));
    must(rp_buf_put_u64(out, value));
}

static void put_field_bool(struct rp_buf *out, const char *name, bool value) {
    must(rp_buf_put_str(out, name));
    must(rp_buf_put_str(out, value ? "true" : "false"));
}

void rp_roomevent_done(struct rp_gateway *g, struct rp_request *request,
                       const struct rp_op_done *op) {
    if (request->socket == NULL || !request->has_ack) {
        return;
    }
    if (request->upto > 0 && request->socket->pos < op->seq) {
        request->socket->pos = op->seq; /* a history's answer comes in line with the replay */
    }
    struct rp_buf *out = &g->scratch;
    rp_buf_clear(out);
    must(rp_buf_put_str(out, "{\"ok\":true,\"room\":"));
    must(rp_json_put_string(out, request->room));
    if (request->kind == RP_OP_JOIN || (request->kind == RP_OP_PUBLISH && !request->is_volatile)) {
        put_field_u64(out, ",\"seq\":", op->seq);
    }
    if (request->kind == RP_OP_JOIN) {
        uint64_t replayed = request->replayed > op->replayed ? request->replayed : op->replayed;
        put_field_u64(out, ",\"replayed\":", replayed);
        bool truncated = request->truncated || op->truncated;
        put_field_bool(out, ",\"truncated\":", truncated);
        if (truncated) {
            put_field_u64(out, ",\"oldest\":", request->oldest > 0 ? request->oldest : op->oldest);
        }
    }
    if (request->has_id) {
        put_field_bool(out, ",\"duplicate\":", op->duplicate);
    }
    must(rp_buf_put_str(out, "}"));
    give_ack(g, request->socket, request->ack_id, rp_buf_bytes(out), op->seq);
}

void rp_roomevent_failed(struct rp_gateway *g, struct rp_request *request, struct rp_bytes code,
                         struct rp_bytes message) {
    g->stats.refused_events++;
    if (request->socket != NULL && request->has_ack) {
        give_ack(g, request->socket, request->ack_id, render_error(g, code, message), 0);
    }
}

void rp_roomevent_result(struct rp_gateway *g, struct rp_request *request, struct rp_bytes json) {
    if (request->socket != NULL && request->has_ack) {
        give_ack(g, request->socket, request->ack_id, json, 0);
    }
}

/* ---- arguments ---- */

/* The text of a JSON string: a view of the packet, or decoded into g->names. False: no string, or
 * not proper text. */
static bool text_of(struct rp_gateway *g, struct rp_bytes value, struct rp_bytes *ret_text) {
    if (rp_json_string_plain(value, ret_text)) {
        return true;
    }
    size_t before = g->names.len;
    if (rp_json_string_decode(value, &g->names) != RP_OK) {
        return false;
    }
    *ret_text = rp_bytes(g->names.data + before, g->names.len - before);
    return true;
}

static bool is_name(struct rp_bytes text, size_t bytes_max) {
    return text.len > 0 && text.len <= bytes_max && memchr(text.data, '\0', text.len) == NULL;
}

static struct fault get_room(struct rp_gateway *g, struct rp_bytes value,
                             struct rp_bytes *ret_room) {
    if (!text_of(g, value, ret_room) || !is_name(*ret_room, RP_ROOM_BYTES_MAX)) {
        return fault("bad_room", "a room is a string of 1 to 255 bytes");
    }
    return OK_FAULT;
}

static struct fault get_event(struct rp_gateway *g, struct rp_bytes value,
                              struct rp_bytes *ret_name) {
    if (!text_of(g, value, ret_name) || !is_name(*ret_name, RP_EVENT_BYTES_MAX)) {
        return fault("bad_event", "an event's name is a string of 1 to 255 bytes");
    }
    if (rp_sio_name_reserved(*ret_name)) {
        return fault("bad_event", "this event's name is reserved by Socket.IO");
    }
    return OK_FAULT;
}

/* A position: a number, or an offset <seq>-<tag> or <pos>.<seq>-<tag>, whose seq counts. One of
 * another log means its start. */
static bool get_since(struct rp_gateway *g, struct rp_bytes value, uint64_t *ret_since) {
    struct rp_bytes text;
    if (rp_json_to_u64(value, ret_since)) {
        return true;
    }
    struct rp_offset offset;
    if (!text_of(g, value, &text) || rp_offset_parse(text, &offset) != RP_OK ||
        offset.seq > RP_JSON_INTEGER_MAX) {
        return false;
    }
    *ret_since = rp_bytes_eq(offset.tag, rp_gateway_tag(g)) ? offset.seq : 0;
    return true;
}

static bool get_limit(struct rp_bytes value, uint64_t *ret_limit) {
    return rp_json_to_u64(value, ret_limit) && *ret_limit >= 1 &&
           *ret_limit <= RP_HISTORY_EVENTS_MAX;
}

/* The options of join and history. */
struct window {
    bool has_since;
    uint64_t since, before, limit;
};

static struct fault get_window(struct rp_gateway *g, struct rp_bytes value, bool allow_before,
                               struct window *ret_window) {
    if (rp_json_kind(value) != RP_JSON_OBJECT) {
        return fault("bad_args", "the options are an object");
    }
    struct rp_json_iter it = rp_json_iter_object(value);
    struct rp_bytes key, option;
    while (rp_json_iter_next(&it, &key, &option)) {
        if (rp_json_key_is(key, "since")) {
            ret_window->has_since = true;
            if (!get_since(g, option, &ret_window->since)) {
                return fault("bad_args", "since is a seq or an offset");
            }
        } else if (rp_json_key_is(key, "limit")) {
            if (!get_limit(option, &ret_window->limit)) {
                return fault("bad_args", "limit is a number from 1 to 1000");
            }
        } else if (allow_before && rp_json_key_is(key, "before")) {
            if (!rp_json_to_u64(option, &ret_window->before)) {
                return fault("bad_args", "before is a seq");
            }
        } else {
            return fault("bad_args", "unknown option");
        }
    }
    return OK_FAULT;
}

static void request(const struct call *call, struct rp_op *op, struct rp_bytes room,
                    bool is_volatile, bool has_id) {
    struct rp_request_options options = {.socket = call->s,
                                         .is_volatile = is_volatile,
                                         .has_ack = call->packet->has_id,
                                         .has_id = has_id,
                                         .ack_id = call->packet->id,
                                         .room = room};
    rp_request_add(call->g, op, &options);
}

/* The room every event but publish begins with, and whether nothing (or one options object)
 * follows. */
static struct fault get_room_and(struct call *call, bool with_options, struct rp_bytes *ret_room,
                                 struct rp_bytes *ret_options) {
    struct rp_bytes value = {0}, more;
    rp_sio_args_next(&call->args, &value);
    struct fault f = get_room(call->g, value, ret_room);
    *ret_options = rp_bytes(NULL, 0);
    if (f.code == NULL && with_options) {
        rp_sio_args_next(&call->args, ret_options);
    }
    if (f.code == NULL && rp_sio_args_next(&call->args, &more)) {
        return fault("bad_args", "too many arguments");
    }
    return f;
}

/* ---- the events ---- */

static struct fault on_join(struct call *call) {
    struct rp_bytes room, options;
    struct window w = {.limit = RP_HISTORY_EVENTS_MAX};
    struct fault f = get_room_and(call, true, &room, &options);
    if (f.code == NULL && options.len > 0) {
        f = get_window(call->g, options, false, &w);
    }
    if (f.code == NULL) {
        struct rp_op op = {.kind = RP_OP_JOIN,
                           .join = {.session = call->s->session,
                                    .conn = call->s->conn,
                                    .room = room,
                                    .has_since = w.has_since,
                                    .since = w.since,
                                    .limit = w.limit}};
        request(call, &op, room, false, false);
    }
    return f;
}

static struct fault on_leave(struct call *call) {
    struct rp_bytes room, none;
    struct fault f = get_room_and(call, false, &room, &none);
    if (f.code == NULL) {
        struct rp_op op = {
            .kind = RP_OP_LEAVE,
            .leave = {.session = call->s->session, .conn = call->s->conn, .room = room}};
        request(call, &op, room, false, false);
    }
    return f;
}

static struct fault on_history(struct call *call) {
    struct rp_bytes room, options;
    struct window w = {.limit = RP_HISTORY_EVENTS_MAX, .before = RP_JSON_INTEGER_MAX};
    struct fault f = get_room_and(call, true, &room, &options);
    if (f.code == NULL && options.len > 0) {
        f = get_window(call->g, options, true, &w);
    }
    if (f.code == NULL) {
        struct rp_op op = {.kind = RP_OP_HISTORY,
                           .history = {.session = call->s->session,
                                       .conn = call->s->conn,
                                       .room = room,
                                       .has_since = w.has_since,
                                       .since = w.since,
                                       .before = w.before,
                                       .limit = w.limit}};
        request(call, &op, room, false, false);
    }
    return f;
}

static struct fault on_presence(struct call *call) {
    struct rp_bytes room, none;
    struct fault f = get_room_and(call, false, &room, &none);
    if (f.code == NULL) {
        struct rp_op op = {
            .kind = RP_OP_PRESENCE,
            .presence = {.session = call->s->session, .conn = call->s->conn, .room = room}};
        request(call, &op, room, false, false);
    }
    return f;
}

/* ---- publish ---- */

struct publication {
    struct rp_bytes room, event, id;
    struct rp_bytes args; /* a JSON array */
    bool no_echo, is_volatile;
};

static struct fault get_flag(struct rp_bytes value, bool *ret_flag) {
    return rp_json_to_bool(value, ret_flag)
               ? OK_FAULT
               : fault("bad_args", "echo and volatile are true or false");
}

static struct fault get_publication_field(struct rp_gateway *g, struct rp_bytes key,
                                          struct rp_bytes value, struct publication *p) {
    if (rp_json_key_is(key, "room")) {
        return get_room(g, value, &p->room);
    }
    if (rp_json_key_is(key, "event")) {
        return get_event(g, value, &p->event);
    }
    if (rp_json_key_is(key, "args")) {
        p->args = value;
        return rp_json_kind(value) == RP_JSON_ARRAY ? OK_FAULT
                                                    : fault("bad_args", "args is an array");
    }
    if (rp_json_key_is(key, "id")) {
        bool valid = text_of(g, value, &p->id) && is_name(p->id, RP_ID_BYTES_MAX);
        return valid ? OK_FAULT : fault("bad_id", "an id is a string of 1 to 128 bytes");
    }
    if (rp_json_key_is(key, "echo")) {
        bool echo = true;
        struct fault f = get_flag(value, &echo);
        p->no_echo = !echo;
        return f;
    }
    if (rp_json_key_is(key, "volatile")) {
        return get_flag(value, &p->is_volatile);
    }
    return fault("bad_args", "unknown option");
}

static struct fault get_publication(struct rp_gateway *g, struct rp_bytes object,
                                    struct publication *p) {
    p->args = RP_BYTES_LIT("[]");
    struct rp_json_iter it = rp_json_iter_object(object);
    struct rp_bytes key, value;
    while (rp_json_iter_next(&it, &key, &value)) {
        struct fault f = get_publication_field(g, key, value, p);
        if (f.code != NULL) {
            return f;
        }
    }
    if (p->room.len == 0) {
        return fault("bad_room", "room is missing");
    }
    if (p->event.len == 0) {
        return fault("bad_event", "event is missing");
    }
    if (p->is_volatile && p->id.len > 0) {
        return fault("bad_id", "a volatile event takes no id: it is not stored");
    }
    return OK_FAULT;
}

/* The arguments not yet taken, as a JSON array. */
static struct rp_bytes rest_in_brackets(struct call *call) {
    struct rp_buf *out = &call->g->names;
    size_t before = out->len;
    must(rp_buf_put_str(out, "["));
    must(rp_buf_put(out, call->args.iter.rest));
    must(rp_buf_put_str(out, "]"));
    return rp_bytes(out->data + before, out->len - before);
}

/* publish(room, event, ...args): the arguments' bytes as they came, in brackets. */
static struct fault get_plain_publication(struct call *call, struct rp_bytes room,
                                          struct publication *p) {
    struct rp_bytes event = {0};
    rp_sio_args_next(&call->args, &event);
    struct fault f = get_room(call->g, room, &p->room);
    if (f.code == NULL) {
        f = get_event(call->g, event, &p->event);
    }
    if (f.code != NULL) {
        return f;
    }
    p->args = rest_in_brackets(call);
    return OK_FAULT;
}

static struct fault on_publish(struct call *call) {
    struct publication p = {0};
    struct rp_bytes first = {0}, more;
    struct fault f;
    rp_sio_args_next(&call->args, &first);
    if (rp_json_kind(first) == RP_JSON_OBJECT) {
        f = get_publication(call->g, first, &p);
        if (f.code == NULL && rp_sio_args_next(&call->args, &more)) {
            f = fault("bad_args", "too many arguments");
        }
    } else {
        f = get_plain_publication(call, first, &p);
    }
    if (f.code == NULL) {
        uint64_t flags = (p.no_echo ? RP_OP_PUBLISH_NO_ECHO : 0u) |
                         (p.is_volatile ? RP_OP_PUBLISH_VOLATILE : 0u);
        struct rp_op op = {.kind = RP_OP_PUBLISH,
                           .publish = {.session = call->s->session,
                                       .conn = call->s->conn,
                                       .flags = flags,
                                       .room = p.room,
                                       .name = p.event,
                                       .args = p.args,
                                       .id = p.id,
                                       .attachments = call->attachments}};
        request(call, &op, p.room, p.is_volatile, p.id.len > 0);
    }
    return f;
}

/* An event that is an app worker's to handle. */
static struct fault on_app_event(struct call *call) {
    struct rp_bytes name;
    struct fault f = get_event(call->g, call->args.name, &name);
    if (f.code == NULL) {
        struct rp_op op = {.kind = RP_OP_EVENT,
                           .event = {.session = call->s->session,
                                     .conn = call->s->conn,
                                     .wants_ack = call->packet->has_id,
                                     .name = name,
                                     .args = rest_in_brackets(call),
                                     .attachments = call->attachments}};
        call->g->stats.app_events++;
        request(call, &op, rp_bytes(NULL, 0), false, false);
    }
    return f;
}

static struct fault on_unknown(struct call *call) {
    if (call->s->app != 0) {
        return on_app_event(call);
    }
    return fault("unknown_event",
                 "no such event here; known are join, leave, publish, history, presence");
}

static const struct {
    const char *name;
    struct fault (*handle)(struct call *call);
} events[] = {
    {"join", on_join},       {"leave", on_leave},       {"publish", on_publish},
    {"history", on_history}, {"presence", on_presence},
};

void rp_roomevent(struct rp_gateway *g, struct rp_socket *s, const struct rp_sio_packet *packet,
                  struct rp_bytes attachments) {
    struct call call = {.g = g,
                        .s = s,
                        .packet = packet,
                        .attachments = attachments,
                        .args = rp_sio_args(packet->payload)};
    struct fault (*handle)(struct call *) = on_unknown;
    bool has_room_events = s->app == 0 || (s->app & RP_OP_ROOMS_ON) != 0;
    for (size_t i = 0; has_room_events && i < sizeof events / sizeof events[0]; i++) {
        if (rp_json_key_is(call.args.name, events[i].name)) {
            handle = events[i].handle;
        }
    }
    if (s->app != 0 && !rp_request_takes_events(g)) { /* a worker may be asked about room events */
        refuse(&call, fault("unavailable", "too many events wait for app workers"));
        return;
    }
    rp_buf_clear(&g->names);
    /* Views of decoded strings must stay where they are while more are decoded: everything decoded
     * from a packet, and its arguments in brackets, is no longer than twice the packet. */
    RP_ASSERT(rp_buf_reserve(&g->names, 2 * packet->payload.len + 16) != NULL);
    struct fault f = handle(&call);
    if (f.code != NULL) {
        refuse(&call, f);
    }
}

/* sdk/target.c — rooms as an address, built by chaining, and everything that is done to whom they
 * mean. A use frees the target, unless it is kept; its first error is the use's. */
#include "sdk/inner.h"

#include "common/clock.h"
#include "proto/attachments.h"

#include <stdlib.h>

enum { NAMES_BYTES_MAX = RP_SELECTOR_ROOMS_MAX * (RP_ROOM_BYTES_MAX + 4) };

struct reprise_target {
    struct reprise_context *context;
    struct reprise_nsp *nsp; /* whose handlers see what is emitted; NULL: nobody's */
    char *nsp_name;
    bool is_pattern, is_volatile, kept;
    struct reprise_socket *only;   /* it alone is meant; shared */
    struct reprise_socket *sender; /* whose doing it is; shared */
    struct rp_buf room;            /* the first */
    struct rp_buf rooms, except;   /* further ones, packed */
    size_t rooms_count, except_count;
    uint64_t timeout_ms;
    reprise_stored_fn *stored;
    void *stored_user;
    enum reprise_err err; /* the first mistake */
};

/* ---- building ---- */

static struct reprise_target *target_new(struct reprise_context *c, struct reprise_nsp *n,
                                         const char *nsp_name) {
    struct reprise_target *t = RP_NEW(struct reprise_target);
    struct rp_bytes name = rp_bytes_str(nsp_name);
    t->context = c;
    t->nsp = n;
    t->nsp_name = rp_alloc(name.len + 1);
    memcpy(t->nsp_name, nsp_name, name.len);
    rp_buf_init(&t->room, RP_ROOM_BYTES_MAX);
    rp_buf_init(&t->rooms, NAMES_BYTES_MAX);
    rp_buf_init(&t->except, NAMES_BYTES_MAX);
    return t;
}

void reprise_target_free(struct reprise_target *t) {
    if (t != NULL) {
        rp_worker_socket_unref(t->only);
        rp_worker_socket_unref(t->sender);
        rp_buf_done(&t->room);
        rp_buf_done(&t->rooms);
        rp_buf_done(&t->except);
        free(t->nsp_name);
        free(t);
    }
}

static struct reprise_target *fail(struct reprise_target *t, enum reprise_err err) {
    t->err = t->err != REPRISE_OK ? t->err : err;
    return t;
}

struct reprise_target *reprise_all(struct reprise_nsp *n) {
    if (n == NULL) {
        return NULL;
    }
    struct reprise_target *t = target_new(n->context, n, n->served->name);
    t->is_pattern = (n->served->flags & RP_OP_PATTERN) != 0;
    return t;
}

struct reprise_target *reprise_all_of(struct reprise_context *c, const char *nsp_name) {
    if (c == NULL || !rp_sdk_is_name(nsp_name, RP_SIO_NSP_BYTES_MAX) || nsp_name[0] != '/') {
        (void) rp_sdk_fail(c, REPRISE_E_INVALID, "this is no namespace");
        return NULL;
    }
    struct rp_worker_served *served = rp_worker_served_for(c->worker, rp_bytes_str(nsp_name));
    return target_new(c, rp_sdk_nsp_of(served), nsp_name);
}

struct reprise_target *reprise_to(struct reprise_nsp *n, const char *room) {
    return reprise_target_to(reprise_all(n), room);
}

struct reprise_target *reprise_except(struct reprise_nsp *n, const char *room) {
    return reprise_target_except(reprise_all(n), room);
}

static struct reprise_target *of_socket(struct reprise_socket *s) {
    struct reprise_context *c = reprise_socket_context(s);
    if (c == NULL) {
        return NULL;
    }
    return target_new(c, rp_sdk_nsp_of(s->served), s->nsp);
}

struct reprise_target *reprise_socket_only(struct reprise_socket *s) {
    struct reprise_target *t = reprise_target_to(of_socket(s), s != NULL ? s->sid : NULL);
    if (t != NULL) {
        t->only = rp_worker_socket_ref(s);
    }
    return t;
}

struct reprise_target *reprise_socket_broadcast(struct reprise_socket *s) {
    struct reprise_target *t = reprise_target_except(of_socket(s), s != NULL ? s->sid : NULL);
    if (t != NULL) {
        t->sender = rp_worker_socket_ref(s);
    }
    return t;
}

struct reprise_target *reprise_socket_to(struct reprise_socket *s, const char *room) {
    return reprise_target_to(reprise_socket_broadcast(s), room);
}

static enum reprise_err put_name(struct rp_buf *names, size_t *count, const char *room) {
    if (++*count > RP_SELECTOR_ROOMS_MAX ||
        rp_attachments_put(names, rp_bytes_str(room)) != RP_OK) {
        return REPRISE_E_FULL;
    }
    return REPRISE_OK;
}

struct reprise_target *reprise_target_to(struct reprise_target *t, const char *room) {
    if (t == NULL || t->err != REPRISE_OK) {
        return t;
    }
    if (!rp_sdk_is_name(room, RP_ROOM_BYTES_MAX)) {
        return fail(t, REPRISE_E_INVALID);
    }
    if (t->only != NULL) { /* it and others */
        rp_worker_socket_unref(t->only);
        t->only = NULL;
    }
    if (t->room.len == 0) {
        return rp_buf_put_str(&t->room, room) == RP_OK ? t : fail(t, REPRISE_E_FULL);
    }
    return fail(t, put_name(&t->rooms, &t->rooms_count, room));
}

struct reprise_target *reprise_target_in(struct reprise_target *t, const char *room) {
    return reprise_target_to(t, room);
}

struct reprise_target *reprise_target_except(struct reprise_target *t, const char *room) {
    if (t == NULL || t->err != REPRISE_OK) {
        return t;
    }
    if (!rp_sdk_is_name(room, RP_ROOM_BYTES_MAX)) {
        return fail(t, REPRISE_E_INVALID);
    }
    return fail(t, put_name(&t->except, &t->except_count, room));
}

struct reprise_target *reprise_target_volatile(struct reprise_target *t) {
    if (t != NULL) {
        t->is_volatile = true;
    }
    return t;
}

struct reprise_target *reprise_target_timeout(struct reprise_target *t, uint64_t timeout_ms) {
    if (t != NULL) {
        t->timeout_ms = timeout_ms;
    }
    return t;
}

struct reprise_target *reprise_target_stored(struct reprise_target *t, reprise_stored_fn *fn,
                                             void *user) {
    if (t != NULL) {
        t->stored = fn;
        t->stored_user = user;
    }
    return t;
}

struct reprise_target *reprise_target_keep(struct reprise_target *t) {
    if (t != NULL) {
        t->kept = true;
    }
    return t;
}

/* ---- using ---- */

/* Whether it may be used. */
static enum reprise_err check(const struct reprise_target *t) {
    if (t == NULL) {
        return REPRISE_E_INVALID;
    }
    if (t->err == REPRISE_E_FULL) {
        return rp_sdk_fail(t->context, t->err, "a target has at most %d rooms",
                           RP_SELECTOR_ROOMS_MAX);
    }
    if (t->err != REPRISE_OK) {
        return rp_sdk_fail(t->context, t->err, "a room's name has 1 to %d bytes of UTF-8",
                           RP_ROOM_BYTES_MAX);
    }
    if (t->only != NULL && (t->only->worker == NULL || t->only->state == RP_WORKER_SOCKET_GONE)) {
        return rp_sdk_fail(t->context, REPRISE_E_GONE, "the session has ended, or is elsewhere");
    }
    return REPRISE_OK;
}

/* Not for patterns. */
static enum reprise_err check_one(const struct reprise_target *t) {
    enum reprise_err err = check(t);
    if (err == REPRISE_OK && t->is_pattern) {
        err = rp_sdk_fail(t->context, REPRISE_E_INVALID,
                          "to the namespaces of a pattern one can only emit");
    }
    return err;
}

/* Asks, and lets go of the call if that fails. */
static enum reprise_err ask(const struct reprise_target *t, struct rp_op *op,
                            struct rp_worker_ask *how, struct rp_sdk_call *call) {
    how->has_wait = call != NULL;
    how->owner = call;
    if (how->timeout_ms > 0) {
        rp_worker_clock(t->context->worker, rp_clock_mono_ms());
    }
    enum reprise_err err = rp_worker_ask(t->context->worker, op, how);
    if (err != REPRISE_OK) {
        rp_sdk_call_free(call);
        return rp_sdk_fail(t->context, err, "%s", reprise_strerror(err));
    }
    rp_sdk_touch(t->context);
    return REPRISE_OK;
}

static enum reprise_err used(struct reprise_target *t, enum reprise_err err) {
    if (t != NULL && !t->kept) {
        reprise_target_free(t);
    }
    return err;
}

static void call_outgoing(const struct reprise_target *t, const char *name,
                          struct reprise_value args) {
    if (t->nsp == NULL || !rp_sdk_has_handler(t->nsp, RP_SDK_OUTGOING)) {
        return;
    }
    bool was_in_turn = rp_sdk_enter(t->context);
    struct rp_sdk_walk walk = rp_sdk_walk(t->nsp, RP_SDK_OUTGOING);
    struct rp_sdk_handler *h;
    while ((h = rp_sdk_walk_next(&walk)) != NULL) {
        ((reprise_outgoing_fn *) h->fn)(t->nsp, t->only != NULL ? t->only->sid : NULL, name, args,
                                        h->user);
    }
    rp_sdk_leave(t->context, was_in_turn);
}

/* Takes call, which may be NULL. */
static enum reprise_err emit(const struct reprise_target *t, const char *name,
                             struct reprise_builder *args, struct rp_sdk_call *call,
                             bool wants_ack) {
    struct reprise_value value;
    enum reprise_err err = rp_sdk_check_event(t->context, name);
    if (err == REPRISE_OK) {
        err = rp_sdk_args(t->context, args, &value);
    }
    if (err != REPRISE_OK) {
        rp_sdk_call_free(call);
        return err;
    }
    call_outgoing(t, name, value);
    if (call == NULL && t->stored != NULL) {
        call = rp_sdk_call_new(t->context, RP_SDK_CALL_STORED, NULL);
    }
    if (call != NULL) {
        call->stored = t->stored;
        call->stored_user = t->stored_user;
    }
    struct rp_op op = {.kind = RP_OP_EMIT,
                       .emit = {.flags = (t->is_volatile ? RP_OP_EMIT_VOLATILE : 0) |
                                         (wants_ack ? RP_OP_EMIT_WANTS_ACK : 0) |
                                         (t->is_pattern ? RP_OP_EMIT_PATTERN : 0),
                                .nsp = rp_bytes_str(t->nsp_name),
                                .room = rp_buf_bytes(&t->room),
                                .rooms = rp_buf_bytes(&t->rooms),
                                .except = rp_buf_bytes(&t->except),
                                .sid = rp_bytes_str(t->sender != NULL ? t->sender->sid : NULL),
                                .name = rp_bytes_str(name),
                                .args = rp_sdk_in(value.json),
                                .attachments = rp_sdk_in(value.binary)}};
    struct rp_worker_ask how = {
        .is_volatile = t->is_volatile,
        .wait = wants_ack ? RP_WORKER_WAIT_ACKS : RP_WORKER_WAIT_STORED,
        .session = wants_ack && t->only != NULL ? t->only->session : 0,
        .timeout_ms = wants_ack ? t->timeout_ms : 0,
    };
    return ask(t, &op, &how, call);
}

enum reprise_err reprise_target_emit(struct reprise_target *t, const char *name,
                                     struct reprise_builder *args) {
    enum reprise_err err = check(t);
    if (err == REPRISE_OK) {
        err = emit(t, name, args, NULL, false);
    }
    reprise_builder_free(args);
    return used(t, err);
}

enum reprise_err reprise_target_send(struct reprise_target *t, struct reprise_builder *args) {
    return reprise_target_emit(t, "message", args);
}

static enum reprise_err check_acks(const struct reprise_target *t) {
    enum reprise_err err = check_one(t);
    if (err == REPRISE_OK && t->is_volatile) {
        err = rp_sdk_fail(t->context, REPRISE_E_INVALID, "volatile emits have no acks");
    }
    if (err == REPRISE_OK && t->only == NULL && t->timeout_ms == 0) {
        err = rp_sdk_fail(t->context, REPRISE_E_INVALID,
                          "acks of more than one socket need a timeout");
    }
    return err;
}

enum reprise_err reprise_target_emit_with_ack(struct reprise_target *t, const char *name,
                                              struct reprise_builder *args,
                                              reprise_response_fn *each, reprise_responses_fn *done,
                                              void *user) {
    enum reprise_err err = check_acks(t);
    if (err == REPRISE_OK) {
        struct rp_sdk_call *call = rp_sdk_call_new(t->context, RP_SDK_CALL_ACKS, user);
        call->each = each;
        call->done.responses = done;
        err = emit(t, name, args, call, true);
    }
    reprise_builder_free(args);
    return used(t, err);
}

enum reprise_err reprise_socket_emit_with_ack(struct reprise_socket *s, const char *name,
                                              struct reprise_builder *args, uint64_t timeout_ms,
                                              reprise_ack_fn *fn, void *user) {
    struct reprise_target *t = reprise_target_timeout(reprise_socket_only(s), timeout_ms);
    enum reprise_err err = fn != NULL ? check_acks(t) : REPRISE_E_INVALID;
    if (s != NULL && s->worker == NULL) {
        err = REPRISE_E_GONE;
    }
    if (err == REPRISE_OK) {
        struct rp_sdk_call *call = rp_sdk_call_new(t->context, RP_SDK_CALL_ACK, user);
        call->done.ack = fn;
        err = emit(t, name, args, call, true);
    }
    reprise_builder_free(args);
    return used(t, err);
}

enum reprise_err reprise_target_fetch_sockets(struct reprise_target *t, reprise_sockets_fn *fn,
                                              void *user) {
    enum reprise_err err = fn != NULL ? check_one(t) : REPRISE_E_INVALID;
    if (err == REPRISE_OK) {
        struct rp_sdk_call *call = rp_sdk_call_new(t->context, RP_SDK_CALL_FETCH, user);
        call->done.sockets = fn;
        struct rp_op op = {.kind = RP_OP_FETCH,
                           .fetch = {.nsp = rp_bytes_str(t->nsp_name),
                                     .room = rp_buf_bytes(&t->room),
                                     .rooms = rp_buf_bytes(&t->rooms),
                                     .except = rp_buf_bytes(&t->except)}};
        struct rp_worker_ask how = {.wait = RP_WORKER_WAIT_FETCH, .timeout_ms = t->timeout_ms};
        err = ask(t, &op, &how, call);
    }
    return used(t, err);
}

static enum reprise_err move(struct reprise_target *t, const char *room, bool leave) {
    enum reprise_err err = check_one(t);
    if (err == REPRISE_OK && !rp_sdk_is_name(room, RP_ROOM_BYTES_MAX)) {
        err = rp_sdk_fail(t->context, REPRISE_E_INVALID, "a room's name has 1 to %d bytes of UTF-8",
                          RP_ROOM_BYTES_MAX);
    }
    if (err == REPRISE_OK) {
        struct rp_op op = {.kind = RP_OP_MOVE,
                           .move = {.leave = leave,
                                    .nsp = rp_bytes_str(t->nsp_name),
                                    .room = rp_buf_bytes(&t->room),
                                    .rooms = rp_buf_bytes(&t->rooms),
                                    .except = rp_buf_bytes(&t->except),
                                    .target = rp_bytes_str(room)}};
        struct rp_worker_ask how = {0};
        err = ask(t, &op, &how, NULL);
    }
    return used(t, err);
}

enum reprise_err reprise_target_sockets_join(struct reprise_target *t, const char *room) {
    return move(t, room, false);
}

enum reprise_err reprise_target_sockets_leave(struct reprise_target *t, const char *room) {
    return move(t, room, true);
}

enum reprise_err reprise_target_disconnect_sockets(struct reprise_target *t, bool close) {
    enum reprise_err err = check_one(t);
    if (err == REPRISE_OK) {
        struct rp_op op = {.kind = RP_OP_EXPEL,
                           .expel = {.transport = close,
                                     .nsp = rp_bytes_str(t->nsp_name),
                                     .room = rp_buf_bytes(&t->room),
                                     .rooms = rp_buf_bytes(&t->rooms),
                                     .except = rp_buf_bytes(&t->except)}};
        struct rp_worker_ask how = {0};
        err = ask(t, &op, &how, NULL);
    }
    return used(t, err);
}

/* ---- other workers ---- */

static enum reprise_err side(struct reprise_nsp *n, const char *name, struct reprise_builder *args,
                             uint64_t timeout_ms, struct rp_sdk_call *call) {
    struct reprise_value value;
    struct reprise_target *t = reprise_all(n);
    enum reprise_err err = check(t);
    if (err == REPRISE_OK && !rp_sdk_is_name(name, RP_EVENT_BYTES_MAX)) {
        err = rp_sdk_fail(t->context, REPRISE_E_INVALID, "an event's name has 1 to %d bytes",
                          RP_EVENT_BYTES_MAX);
    }
    if (err == REPRISE_OK) {
        err = rp_sdk_args(t->context, args, &value);
    }
    if (err == REPRISE_OK && value.binary.len > 0) {
        err = rp_sdk_fail(t->context, REPRISE_E_INVALID,
                          "events for other workers have no binary values");
    }
    if (err == REPRISE_OK) {
        struct rp_op op = {.kind = RP_OP_SIDE,
                           .side = {.wants_ack = call != NULL,
                                    .nsp = rp_bytes_str(t->nsp_name),
                                    .name = rp_bytes_str(name),
                                    .args = rp_sdk_in(value.json)}};
        struct rp_worker_ask how = {.wait = RP_WORKER_WAIT_SIDE, .timeout_ms = timeout_ms};
        err = ask(t, &op, &how, call);
    } else {
        rp_sdk_call_free(call);
    }
    reprise_builder_free(args);
    return used(t, err);
}

enum reprise_err reprise_server_side_emit(struct reprise_nsp *n, const char *name,
                                          struct reprise_builder *args) {
    return side(n, name, args, 0, NULL);
}

enum reprise_err reprise_server_side_emit_with_ack(struct reprise_nsp *n, const char *name,
                                                   struct reprise_builder *args,
                                                   uint64_t timeout_ms,
                                                   reprise_side_responses_fn *fn, void *user) {
    if (n == NULL || fn == NULL || timeout_ms == 0 || timeout_ms > RP_SIDE_WAIT_MS) {
        reprise_builder_free(args);
        return rp_sdk_fail(reprise_nsp_context(n), REPRISE_E_INVALID,
                           "acks of other workers need a timeout of at most %d ms",
                           RP_SIDE_WAIT_MS);
    }
    struct rp_sdk_call *call = rp_sdk_call_new(n->context, RP_SDK_CALL_SIDE, user);
    call->done.side = fn;
    return side(n, name, args, timeout_ms, call);
}

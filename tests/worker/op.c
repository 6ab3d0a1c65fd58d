#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOMS_MAX = 32, HELD_MAX = 16 };

/* One `do` that is under way. */
struct call {
    struct reprise_socket *socket;
    struct reprise_event *event;
    struct reprise_value spec; /* its argument: {op, …} */
};

/* ---- reading what is to be done ---- */

/* A member as a text; "" if it is not there. */
static const char *text(struct reprise_value object, const char *key,
                        char buffer[WORKER_TEXT_SIZE]) {
    reprise_value_string(reprise_value_get(object, key), buffer, WORKER_TEXT_SIZE);
    return buffer;
}

static bool flag(struct reprise_value object, const char *key) {
    return reprise_value_bool_or(reprise_value_get(object, key), false);
}

/* The member `args`, an array, as arguments. */
static struct reprise_builder *args_of(const struct call *c) {
    struct reprise_builder *b = reprise_builder_new();
    struct reprise_iter it = reprise_value_iter(reprise_value_get(c->spec, "args"));
    struct reprise_value arg;
    while (reprise_iter_next(&it, NULL, &arg)) {
        reprise_put_value(b, arg);
    }
    return b;
}

/* How a target begins: {kind, room}. */
static struct reprise_target *begin_target(struct reprise_socket *s, struct reprise_value spec) {
    char kind[WORKER_TEXT_SIZE], room[WORKER_TEXT_SIZE], nsp[WORKER_TEXT_SIZE];
    struct reprise_nsp *n = reprise_socket_nsp(s);
    text(spec, "kind", kind);
    text(spec, "room", room);
    if (strcmp(kind, "to") == 0) {
        return reprise_to(n, room);
    } else if (strcmp(kind, "except") == 0) {
        return reprise_except(n, room);
    } else if (strcmp(kind, "only") == 0) {
        return reprise_socket_only(s);
    } else if (strcmp(kind, "broadcast") == 0) {
        return reprise_socket_broadcast(s);
    } else if (strcmp(kind, "socket_to") == 0) {
        return reprise_socket_to(s, room);
    } else if (strcmp(kind, "all_of") == 0) {
        return reprise_all_of(reprise_socket_context(s), text(spec, "nsp", nsp));
    }
    return reprise_all(n);
}

/* The member `target`: {kind, room, nsp, to: [], in: [], except: [], volatile, timeout}. */
static struct reprise_target *target_of(const struct call *c) {
    typedef struct reprise_target *chain_fn(struct reprise_target *, const char *);
    static const struct {
        const char *key;
        chain_fn *fn;
    } chains[] = {
        {"to", reprise_target_to}, {"in", reprise_target_in}, {"except", reprise_target_except}};
    struct reprise_value spec = reprise_value_get(c->spec, "target");
    struct reprise_target *t = begin_target(c->socket, spec);
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        struct reprise_iter it = reprise_value_iter(reprise_value_get(spec, chains[i].key));
        struct reprise_value value;
        char room[WORKER_TEXT_SIZE];
        while (reprise_iter_next(&it, NULL, &value)) {
            reprise_value_string(value, room, sizeof room);
            t = chains[i].fn(t, room);
        }
    }
    if (flag(spec, "volatile")) {
        t = reprise_target_volatile(t);
    }
    int64_t ms = reprise_value_int64_or(reprise_value_get(spec, "timeout"), 0);
    return ms > 0 ? reprise_target_timeout(t, (uint64_t) ms) : t;
}

/* ---- answering ---- */

static void answer(struct reprise_event *e, enum reprise_err err) {
    reprise_event_ack(e, reprise_args("{err:s}", worker_err(err)));
}

/* What comes later is acked, and reported, as the client may not be there. */
static void finish(struct reprise_event *e, struct reprise_builder *b) {
    struct reprise_builder *copy = reprise_args("v", reprise_value_at(reprise_builder_value(b), 0));
    worker_report(copy);
    reprise_event_ack(e, b);
    reprise_event_done(e);
}

/* Keeps the event for a callback, unless the call failed: then says so at once. With {async:true}
 * the ack is sent at once, too, and only the report comes later. */
static void expect(const struct call *c, enum reprise_err err) {
    if (err != REPRISE_OK) {
        answer(c->event, err);
        return;
    }
    reprise_event_keep(c->event);
    if (flag(c->spec, "async")) {
        answer(c->event, err);
    }
}

/* ---- emits ---- */

static void stored(enum reprise_err err, uint64_t seq, void *user) {
    finish(user, reprise_args("{what:s,err:s,seq:U}", "stored", worker_err(err), seq));
}

/* {target, name, args, stored} */
static void op_emit(const struct call *c) {
    char name[WORKER_TEXT_SIZE];
    struct reprise_target *t = target_of(c);
    if (flag(c->spec, "stored")) {
        t = reprise_target_stored(t, stored, c->event);
        expect(c, reprise_target_emit(t, text(c->spec, "name", name), args_of(c)));
    } else {
        answer(c->event, reprise_target_emit(t, text(c->spec, "name", name), args_of(c)));
    }
}

/* {target, args} */
static void op_send(const struct call *c) {
    answer(c->event, reprise_target_send(target_of(c), args_of(c)));
}

static unsigned answers_seen; /* by one_response, for the report of the last */

static void one_response(const struct reprise_response *response, void *user) {
    (void) user;
    answers_seen++;
    worker_report(reprise_args("{what:s,sid:s,args:v}", "response", response->sid, response->args));
}

static void all_responses(enum reprise_err err, const struct reprise_response *responses,
                          size_t responses_count, void *user) {
    struct reprise_builder *b = reprise_args("{what:s,err:s,seen:u,responses:[", "responses",
                                             worker_err(err), answers_seen);
    for (size_t i = 0; i < responses_count; i++) {
        reprise_put(b, "{sid:s,args:v}", responses[i].sid, responses[i].args);
    }
    reprise_put(b, "]}");
    finish(user, b);
}

/* {target, name, args} → {err, responses: [{sid, args}]} */
static void op_emit_ack(const struct call *c) {
    char name[WORKER_TEXT_SIZE];
    answers_seen = 0;
    expect(c, reprise_target_emit_with_ack(target_of(c), text(c->spec, "name", name), args_of(c),
                                           one_response, all_responses, c->event));
}

/* {name, args} */
static void op_socket_emit(const struct call *c) {
    char name[WORKER_TEXT_SIZE];
    answer(c->event, reprise_socket_emit(c->socket, text(c->spec, "name", name), args_of(c)));
}

static void op_socket_send(const struct call *c) {
    answer(c->event, reprise_socket_send(c->socket, args_of(c)));
}

static void one_ack(enum reprise_err err, struct reprise_value args, void *user) {
    finish(user,
           reprise_args("{what:s,err:s,args:v}", "ack", worker_err(err),
                        reprise_value_type(args) == REPRISE_ABSENT ? reprise_value_parse("null", 4)
                                                                   : args));
}

/* {name, args, timeout} → {err, args} */
static void op_socket_emit_ack(const struct call *c) {
    char name[WORKER_TEXT_SIZE];
    int64_t ms = reprise_value_int64_or(reprise_value_get(c->spec, "timeout"), 0);
    expect(c, reprise_socket_emit_with_ack(c->socket, text(c->spec, "name", name), args_of(c),
                                           (uint64_t) ms, one_ack, c->event));
}

/* ---- the socket ---- */

static void op_join(const struct call *c) {
    char texts[ROOMS_MAX][WORKER_TEXT_SIZE];
    const char *rooms[ROOMS_MAX];
    size_t count = 0;
    struct reprise_iter it = reprise_value_iter(reprise_value_get(c->spec, "rooms"));
    struct reprise_value room;
    while (count < ROOMS_MAX && reprise_iter_next(&it, NULL, &room)) {
        reprise_value_string(room, texts[count], WORKER_TEXT_SIZE);
        rooms[count] = texts[count];
        count++;
    }
    answer(c->event, count == 1 ? reprise_socket_join(c->socket, rooms[0])
                                : reprise_socket_join_all(c->socket, rooms, count));
}

static void op_leave(const struct call *c) {
    char room[WORKER_TEXT_SIZE];
    answer(c->event, reprise_socket_leave(c->socket, text(c->spec, "room", room)));
}

static void op_set_data(const struct call *c) {
    struct reprise_value data = reprise_value_get(c->spec, "data");
    answer(c->event, reprise_socket_set_data(c->socket, reprise_args("v", data)));
}

static void op_info(const struct call *c) {
    struct reprise_socket *s = c->socket;
    struct reprise_builder *b = reprise_args(
        "{err:s,id:s,nsp:s,served:s,recovered:b,connected:b,data:v,handshake:v,rooms:[", "OK",
        reprise_socket_id(s), reprise_socket_nsp_name(s), reprise_nsp_name(reprise_socket_nsp(s)),
        reprise_socket_recovered(s), reprise_socket_connected(s), reprise_socket_data(s),
        reprise_socket_handshake(s));
    for (size_t i = 0; i < reprise_socket_rooms_count(s); i++) {
        reprise_put_string(b, reprise_socket_room(s, i));
    }
    reprise_put(b, "],header:v,address:v,query:v,issued:U}",
                worker_or_null(reprise_handshake_header(reprise_socket_handshake(s), "USER-agent")),
                worker_or_null(reprise_handshake_address(reprise_socket_handshake(s))),
                worker_or_null(reprise_handshake_query(reprise_socket_handshake(s), "transport")),
                reprise_handshake_issued_ms(reprise_socket_handshake(s)));
    reprise_event_ack(c->event, b);
}

static void op_disconnect(const struct call *c) {
    answer(c->event, reprise_socket_disconnect(c->socket, flag(c->spec, "close")));
}

/* ---- sockets kept beyond their handlers ---- */

static struct reprise_socket *held[HELD_MAX];

/* Keeps this socket's handle; {free:true}: gives all back. */
static void op_hold(const struct call *c) {
    bool free_all = flag(c->spec, "free");
    bool done = free_all;
    for (size_t i = 0; i < HELD_MAX; i++) {
        if (free_all) {
            reprise_socket_unref(held[i]);
            held[i] = NULL;
        } else if (!done && held[i] == NULL) {
            held[i] = reprise_socket_ref(c->socket);
            done = true;
        }
    }
    answer(c->event, done ? REPRISE_OK : REPRISE_E_FULL);
}

/* {sid, op2: {op, …}}: does op2 with a kept socket in place of the caller's. */
static void op_with_held(const struct call *c);

/* ---- clusters ---- */

static void fetched(enum reprise_err err, const struct reprise_remote_socket *sockets,
                    size_t sockets_count, void *user) {
    struct reprise_builder *b = reprise_args("{what:s,err:s,sockets:[", "fetched", worker_err(err));
    for (size_t i = 0; i < sockets_count; i++) {
        reprise_put(b, "{id:s,rooms:v,data:v,handshake:v}", sockets[i].id, sockets[i].rooms,
                    sockets[i].data, sockets[i].handshake);
    }
    reprise_put(b, "]}");
    finish(user, b);
}

static void op_fetch(const struct call *c) {
    expect(c, reprise_target_fetch_sockets(target_of(c), fetched, c->event));
}

static void op_sockets_join(const struct call *c) {
    char room[WORKER_TEXT_SIZE];
    answer(c->event, reprise_target_sockets_join(target_of(c), text(c->spec, "room", room)));
}

static void op_sockets_leave(const struct call *c) {
    char room[WORKER_TEXT_SIZE];
    answer(c->event, reprise_target_sockets_leave(target_of(c), text(c->spec, "room", room)));
}

static void op_disconnect_sockets(const struct call *c) {
    answer(c->event, reprise_target_disconnect_sockets(target_of(c), flag(c->spec, "close")));
}

static void op_side(const struct call *c) {
    answer(c->event, reprise_server_side_emit(reprise_socket_nsp(c->socket), "side", args_of(c)));
}

static void side_responses(enum reprise_err err, const struct reprise_value *responses,
                           size_t responses_count, void *user) {
    struct reprise_builder *b =
        reprise_args("{what:s,err:s,responses:[", "side_responses", worker_err(err));
    for (size_t i = 0; i < responses_count; i++) {
        reprise_put_value(b, responses[i]);
    }
    reprise_put(b, "]}");
    finish(user, b);
}

static void op_side_ack(const struct call *c) {
    int64_t ms = reprise_value_int64_or(reprise_value_get(c->spec, "timeout"), 10000);
    expect(c, reprise_server_side_emit_with_ack(reprise_socket_nsp(c->socket), "side", args_of(c),
                                                (uint64_t) ms, side_responses, c->event));
}

/* ---- handlers that come and go ---- */

static void on_tagged(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) s;
    worker_report(reprise_args("{what:s,tag:s,name:s,args:v}", "tagged", (const char *) user,
                               reprise_event_name(e), reprise_event_args(e)));
}

static void on_outgoing(struct reprise_nsp *n, const char *sid, const char *name,
                        struct reprise_value args, void *user) {
    (void) n;
    worker_report(reprise_args("{what:s,tag:s,sid:s,name:s,args:v}", "outgoing",
                               (const char *) user, sid, name, args));
}

/* {how: on_any, prepend_any, off_any, on_outgoing, …, on, off; tag: a, b or c; name} */
static void op_handler(const struct call *c) {
    static const char *const tags[] = {"a", "b", "c"};
    char how[WORKER_TEXT_SIZE], name[WORKER_TEXT_SIZE], tag[WORKER_TEXT_SIZE];
    struct reprise_nsp *n = reprise_socket_nsp(c->socket);
    text(c->spec, "how", how);
    text(c->spec, "name", name);
    void *user = NULL;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (strcmp(tags[i], text(c->spec, "tag", tag)) == 0) {
            user = (void *) tags[i];
        }
    }
    enum reprise_err err = REPRISE_E_NOT_FOUND;
    if (strcmp(how, "on_any") == 0) {
        err = reprise_on_any(n, on_tagged, user);
    } else if (strcmp(how, "prepend_any") == 0) {
        err = reprise_prepend_any(n, on_tagged, user);
    } else if (strcmp(how, "off_any") == 0) {
        err = reprise_off_any(n, on_tagged, user);
    } else if (strcmp(how, "on_outgoing") == 0) {
        err = reprise_on_any_outgoing(n, on_outgoing, user);
    } else if (strcmp(how, "prepend_outgoing") == 0) {
        err = reprise_prepend_any_outgoing(n, on_outgoing, user);
    } else if (strcmp(how, "off_outgoing") == 0) {
        err = reprise_off_any_outgoing(n, on_outgoing, user);
    } else if (strcmp(how, "on") == 0) {
        err = reprise_on_event(n, name, on_tagged, user);
    } else if (strcmp(how, "off") == 0) {
        err = reprise_off_event(n, name, on_tagged, user);
    }
    answer(c->event, err);
}

/* ---- the rest ---- */

static void ack_later(struct reprise_context *c, void *arg) {
    (void) c;
    struct reprise_event *e = arg;
    struct reprise_value spec = reprise_event_arg(e, 0);
    enum reprise_err err = reprise_event_ack(
        e, reprise_args("{err:s,value:v}", "OK", reprise_value_get(spec, "value")));
    enum reprise_err again = reprise_event_ack(e, NULL);
    worker_report(
        reprise_args("{what:s,err:s,again:s}", "later", worker_err(err), worker_err(again)));
    reprise_event_done(e);
}

/* {ms, value}: acks after some time, by way of another thread */
static void op_later(const struct call *c) {
    int64_t ms = reprise_value_int64_or(reprise_value_get(c->spec, "ms"), 0);
    reprise_event_keep(c->event);
    worker_later(reprise_socket_context(c->socket), (unsigned) ms, ack_later, c->event);
}

static void op_stats(const struct call *c) {
    struct reprise_stats st;
    reprise_context_stats(reprise_socket_context(c->socket), &st);
    reprise_event_ack(c->event,
                      reprise_args("{err:s,events:U,emits:U,sockets:U,links:U,linked:b}", "OK",
                                   st.events, st.emits, st.sockets, st.links, st.linked));
}

static void free_user(void *user) {
    worker_report(reprise_args("{what:s,text:s}", "destroyed", (const char *) user));
    free(user);
}

/* {text}: a pointer of the application's */
static void op_set_user(const struct call *c) {
    char *copy = reprise_value_strdup(reprise_value_get(c->spec, "text"), NULL);
    answer(c->event, reprise_socket_set_user(c->socket, copy, free_user));
}

/* {n}: reports it, so that all before it is known to be there. */
static void op_mark(const struct call *c) {
    worker_report(
        reprise_args("{what:s,n:v}", "mark", worker_or_null(reprise_value_get(c->spec, "n"))));
    answer(c->event, REPRISE_OK);
}

static void op_nothing(const struct call *c) {
    (void) c; /* no ack */
}

static void op_silent(const struct call *c) {
    worker_never_answer(c->event);
}

static const struct {
    const char *name;
    void (*fn)(const struct call *c);
} ops[] = {{"emit", op_emit},
           {"send", op_send},
           {"emit_ack", op_emit_ack},
           {"socket_emit", op_socket_emit},
           {"socket_send", op_socket_send},
           {"socket_emit_ack", op_socket_emit_ack},
           {"join", op_join},
           {"leave", op_leave},
           {"set_data", op_set_data},
           {"info", op_info},
           {"disconnect", op_disconnect},
           {"hold", op_hold},
           {"with_held", op_with_held},
           {"fetch", op_fetch},
           {"sockets_join", op_sockets_join},
           {"sockets_leave", op_sockets_leave},
           {"disconnect_sockets", op_disconnect_sockets},
           {"side", op_side},
           {"side_ack", op_side_ack},
           {"handler", op_handler},
           {"later", op_later},
           {"stats", op_stats},
           {"set_user", op_set_user},
           {"mark", op_mark},
           {"nothing", op_nothing},
           {"silent", op_silent}};

static void run_op(const struct call *c) {
    char name[WORKER_TEXT_SIZE];
    text(c->spec, "op", name);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (strcmp(ops[i].name, name) == 0) {
            ops[i].fn(c);
            return;
        }
    }
    answer(c->event, REPRISE_E_NOT_FOUND);
}

static void op_with_held(const struct call *c) {
    struct reprise_value sid = reprise_value_get(c->spec, "sid");
    for (size_t i = 0; i < HELD_MAX; i++) {
        if (held[i] != NULL && reprise_value_is(sid, reprise_socket_id(held[i]))) {
            struct call other = {
                .socket = held[i], .event = c->event, .spec = reprise_value_get(c->spec, "op2")};
            run_op(&other);
            return;
        }
    }
    answer(c->event, REPRISE_E_NOT_FOUND);
}

void worker_do(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    struct call call = {.socket = s, .event = e, .spec = reprise_event_arg(e, 0)};
    run_op(&call);
}

/* tests/sim/handler.c — the application of the simulated workers: it answers what it is asked, now
 * or later, and does whatever an application may do with sockets and rooms. What it saw and what it
 * asked for is noted for the oracle. */
#include "tests/sim/world.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "proto/attachments.h"
#include "proto/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PACKET_BYTES_MAX = 1 << 20 };

static void must(enum rp_err err) {
    RP_ASSERT(err == RP_OK);
}

static void wrong(struct world *w, const char *what) {
    w->apps.problem = w->apps.problem != NULL ? w->apps.problem : what;
}

static struct birth *birth_of(struct world *w, const struct app_worker *worker) {
    return &w->apps.births[worker->birth];
}

/* ---- what it asks for ---- */

static void pack(struct rp_buf *out, char (*names)[28], size_t count) {
    rp_buf_init(out, PACKET_BYTES_MAX);
    for (size_t i = 0; i < count && names[i][0] != '\0'; i++) {
        must(rp_attachments_put(out, rp_bytes_str(names[i])));
    }
}

/* `own`: it may be the one of the socket's own id. */
static void any_room(struct world *w, const struct reprise_socket *s, bool own, char out[28]) {
    if (own && chance(w, 150)) {
        snprintf(out, 28, "%s", s->sid);
    } else {
        snprintf(out, 28, "r%u", (unsigned) below(w, ROOMS));
    }
}

/* Draws who is to get it: a room, a union, one socket, all; without some. */
static void any_selector(struct world *w, const struct reprise_socket *s, struct emit *e) {
    uint64_t what = below(w, 10);
    if (what < 2) {
        snprintf(e->room, sizeof e->room, "%s", s->sid);
        e->session = s->session;
    } else if (what < 8) {
        any_room(w, s, true, e->room);
        for (size_t i = 0; what < 5 && i < 1 + below(w, EMIT_ROOMS); i++) {
            any_room(w, s, true, e->rooms[i]);
        }
    } /* else the whole namespace */
    for (size_t i = 0; e->session == 0 && chance(w, 300) && i < EMIT_ROOMS; i++) {
        any_room(w, s, true, e->except[i]);
    }
}

static struct rp_op_emit emit_op(const struct emit *e, const struct rp_buf *rooms,
                                 const struct rp_buf *except) {
    return (struct rp_op_emit){
        .flags = (e->is_volatile ? RP_OP_EMIT_VOLATILE : 0u) |
                 (e->wants_ack ? RP_OP_EMIT_WANTS_ACK : 0u),
        .nsp = rp_bytes_str(stock_nsp_name(e->nsp)),
        .room = rp_bytes_str(e->room),
        .rooms = rp_buf_bytes(rooms),
        .except = rp_buf_bytes(except),
        .name = e->is_volatile ? RP_BYTES_LIT("v") : RP_BYTES_LIT("e"),
    };
}

static void put_args(struct world *w, const struct emit *e, struct rp_buf *args,
                     struct rp_buf *attachments) {
    size_t count = w->profile.binary ? stock_attachments_of(e->payload) : 0;
    rp_buf_init(args, PACKET_BYTES_MAX);
    rp_buf_init(attachments, PACKET_BYTES_MAX);
    must(rp_buf_put_str(args, "["));
    client_put_payload(args, e->payload, count);
    must(rp_buf_put_str(args, "]"));
    for (size_t i = 0; i < count; i++) {
        struct rp_buf one;
        rp_buf_init(&one, 256);
        stock_put_attachment(&one, e->payload, i);
        must(rp_attachments_put(attachments, rp_buf_bytes(&one)));
        rp_buf_done(&one);
    }
}

static void act_emit(struct world *w, struct app_worker *worker, const struct reprise_socket *s,
                     unsigned nsp) {
    struct apps *apps = &w->apps;
    struct emit e = {.nsp = nsp,
                     .birth = worker->birth,
                     .payload = w->next_payload++ * NAMESPACES + nsp,
                     .is_volatile = chance(w, 100)};
    struct rp_buf rooms, except, args, attachments;
    e.wants_ack = !e.is_volatile && chance(w, 350);
    any_selector(w, s, &e);
    pack(&rooms, e.rooms, EMIT_ROOMS);
    pack(&except, e.except, EMIT_ROOMS);
    put_args(w, &e, &args, &attachments);
    struct rp_op op = {.kind = RP_OP_EMIT, .emit = emit_op(&e, &rooms, &except)};
    op.emit.args = rp_buf_bytes(&args);
    op.emit.attachments = rp_buf_bytes(&attachments);
    e.session = e.wants_ack ? e.session : 0;
    struct rp_worker_ask ask = {.is_volatile = e.is_volatile,
                                .has_wait = true,
                                .wait = e.wants_ack ? RP_WORKER_WAIT_ACKS : RP_WORKER_WAIT_STORED,
                                .session = e.session,
                                .timeout_ms = e.wants_ack && chance(w, 100) ? 1 + below(w, 500) : 0,
                                .owner = (void *) (uintptr_t) (apps->emits_count + 1)};
    enum reprise_err err = rp_worker_ask(worker->core, &op, &ask);
    if (err == REPRISE_OK) {
        apps->emits = rp_array_reserve(apps->emits, apps->emits_count, &apps->emits_capacity,
                                       sizeof(struct emit));
        apps->emits[apps->emits_count++] = e;
    } else if (err != REPRISE_E_CLOSED && !(e.is_volatile && err == REPRISE_E_LINK)) {
        wrong(w, "a worker's emit was refused at once");
    }
    rp_buf_done(&rooms);
    rp_buf_done(&except);
    rp_buf_done(&args);
    rp_buf_done(&attachments);
}

static void ask_for(struct world *w, struct app_worker *worker, struct rp_op *op,
                    const struct rp_worker_ask *ask) {
    enum reprise_err err = rp_worker_ask(worker->core, op, ask);
    if (err != REPRISE_OK && err != REPRISE_E_CLOSED) {
        wrong(w, "a worker's request was refused at once");
    }
}

/* Others' rooms, disconnects, and questions. */
static void act_on_many(struct world *w, struct app_worker *worker, const struct reprise_socket *s,
                        unsigned nsp, enum rp_op_kind kind) {
    struct emit e = {.nsp = nsp};
    struct rp_buf rooms, except;
    char target[28];
    bool leave = chance(w, 400);
    any_room(w, s, !leave, target);
    any_selector(w, s, &e);
    pack(&rooms, e.rooms, EMIT_ROOMS);
    pack(&except, e.except, EMIT_ROOMS);
    struct rp_op_emit selector = emit_op(&e, &rooms, &except);
    struct rp_op op = {.kind = kind};
    struct rp_worker_ask ask = {0};
    if (kind == RP_OP_MOVE) {
        op.move = (struct rp_op_move){.leave = leave,
                                      .nsp = selector.nsp,
                                      .room = selector.room,
                                      .rooms = selector.rooms,
                                      .except = selector.except,
                                      .target = rp_bytes_str(target)};
    } else if (kind == RP_OP_EXPEL) {
        w->tally.kicks++;
        op.expel = (struct rp_op_expel){
            .transport = chance(w, 200), .nsp = selector.nsp, .room = rp_bytes_str(s->sid)};
    } else {
        op.fetch = (struct rp_op_fetch){.nsp = selector.nsp,
                                        .room = selector.room,
                                        .rooms = selector.rooms,
                                        .except = selector.except};
        ask = (struct rp_worker_ask){.has_wait = true, .wait = RP_WORKER_WAIT_FETCH};
    }
    ask_for(w, worker, &op, &ask);
    rp_buf_done(&rooms);
    rp_buf_done(&except);
}

static void act_side(struct world *w, struct app_worker *worker, unsigned nsp) {
    struct rp_op op = {.kind = RP_OP_SIDE,
                       .side = {.wants_ack = 1,
                                .nsp = rp_bytes_str(stock_nsp_name(nsp)),
                                .name = RP_BYTES_LIT("s"),
                                .args = RP_BYTES_LIT("[1]")}};
    struct rp_worker_ask ask = {.has_wait = true, .wait = RP_WORKER_WAIT_SIDE};
    ask_for(w, worker, &op, &ask);
}

static void act_own(struct world *w, struct reprise_socket *s, bool data) {
    char text[40];
    bool leave = chance(w, 300);
    enum reprise_err err;
    if (data) {
        snprintf(text, sizeof text, "{\"d\":%llu}", (unsigned long long) w->next_payload++);
        err = rp_worker_socket_set_data(s, rp_bytes_str(text));
    } else {
        any_room(w, s, !leave, text);
        err = rp_worker_socket_move(s, rp_bytes_str(text), leave);
    }
    if (err != REPRISE_OK && err != REPRISE_E_CLOSED && err != REPRISE_E_GONE) {
        wrong(w, "a socket's change was refused at once");
    }
}

static void act(struct world *w, struct app_worker *worker, struct reprise_socket *s) {
    unsigned nsp = stock_nsp_named(rp_bytes_str(s->nsp));
    uint64_t what = below(w, 1000);
    if (what < 350) {
        act_emit(w, worker, s, nsp);
    } else if (what < 470) {
        act_own(w, s, false);
    } else if (what < 520) {
        act_own(w, s, true);
    } else if (what < 560) {
        act_on_many(w, worker, s, nsp, RP_OP_MOVE);
    } else if (what < 580) {
        act_on_many(w, worker, s, nsp, RP_OP_FETCH);
    } else if (what < 585) {
        act_on_many(w, worker, s, nsp, RP_OP_EXPEL);
    } else if (what < 600) {
        act_side(w, worker, nsp);
    }
}

/* ---- what it is asked ---- */

static void decide(struct world *w, const struct rp_worker_task *t, size_t handling,
                   struct rp_op_decided *answer, struct rp_buf *args) {
    *answer = (struct rp_op_decided){.verdict = RP_OP_YES};
    rp_buf_init(args, 64);
    if (t->kind == RP_WORKER_TASK_ADMIT) {
        bool unwelcome =
            t->args.len > 0 && memmem(t->args.data, t->args.len, "\"unwelcome\":1", 13) != NULL;
        if (unwelcome) {
            answer->verdict = RP_OP_NO;
            answer->message = RP_BYTES_LIT("not you");
            must(rp_buf_put_str(args, "{\"why\":1}"));
        }
    } else if (t->kind == RP_WORKER_TASK_CHECK) {
        if (rp_bytes_eq_str(t->room, "r4")) { /* by invitation */
            answer->verdict = RP_OP_NO;
            answer->code = RP_BYTES_LIT("forbidden");
        }
    } else if (t->kind == RP_WORKER_TASK_SIDE) {
        must(rp_buf_put_str(args, "[2]"));
    } else if (handling % 20 == 0) {
        answer->verdict = RP_OP_NO;
        answer->code = RP_BYTES_LIT("handler");
    } else if (t->wants_ack) {
        const struct handling *h = &w->apps.handlings[handling - 1];
        unsigned nsp = w->apps.events[h->event].nsp;
        must(rp_buf_printf(args, "[%llu,%zu]", (unsigned long long) (h->event * NAMESPACES + nsp),
                           handling));
    }
    answer->args = rp_buf_bytes(args);
}

static void answer(struct world *w, struct rp_worker_task *t, size_t handling) {
    struct rp_op_decided decided;
    struct rp_buf args;
    decide(w, t, handling, &decided, &args);
    if (handling > 0) {
        w->apps.handlings[handling - 1].finished = true;
    }
    rp_worker_decide(t, &decided);
    rp_buf_done(&args);
}

static void defer(struct world *w, struct app_worker *worker, struct rp_worker_task *t,
                  size_t handling) {
    worker->deferred = rp_array_reserve(worker->deferred, worker->deferred_count,
                                        &worker->deferred_capacity, sizeof(struct deferred));
    rp_worker_task_hold(t);
    worker->deferred[worker->deferred_count++] =
        (struct deferred){.task = t,
                          .handling = handling,
                          .due_ms = w->now_ms + below(w, chance(w, 100) ? 2500 : 200)};
    w->tally.deferred++;
}

void handler_answer_due(struct world *w, struct app_worker *worker) {
    for (size_t i = 0; i < worker->deferred_count;) {
        struct deferred d = worker->deferred[i];
        if (w->now_ms < d.due_ms) {
            i++;
            continue;
        }
        memmove(&worker->deferred[i], &worker->deferred[i + 1],
                (--worker->deferred_count - i) * sizeof(struct deferred));
        answer(w, d.task, d.handling);
        rp_worker_task_release(d.task);
    }
}

/* ---- events ---- */

/* The number of the event, if it is what a client emitted there. */
static bool find_event(struct world *w, const struct rp_worker_task *t, uint64_t *ret_event) {
    struct rp_json_iter it = rp_json_iter_array(t->args);
    struct rp_bytes first = {0};
    uint64_t payload = 0;
    unsigned nsp = stock_nsp_named(rp_bytes_str(t->socket->nsp));
    if (!rp_json_iter_next(&it, NULL, &first) || !rp_json_to_u64(first, &payload) ||
        payload / NAMESPACES >= w->apps.events_count || stock_nsp_of(payload) != nsp) {
        wrong(w, "an event that nobody emitted there");
        return false;
    }
    *ret_event = payload / NAMESPACES;
    const struct client_event *e = &w->apps.events[*ret_event];
    const struct client *client = &w->clients[e->client];
    if (strcmp(client->stock.sockets[nsp].lives[e->life].sid, t->socket->sid) != 0) {
        wrong(w, "an event of another socket");
    } else if (t->wants_ack != e->wants_ack) {
        wrong(w, "an event whose ack is (not) wanted");
    } else if (!stock_attachments_right(&client->stock, payload, t->attachments)) {
        wrong(w, "an event with other attachments");
    }
    return true;
}

static size_t note_handling(struct world *w, struct app_worker *worker,
                            const struct rp_worker_task *t, uint64_t event) {
    struct apps *apps = &w->apps;
    apps->handlings = rp_array_reserve(apps->handlings, apps->handlings_count,
                                       &apps->handlings_capacity, sizeof(struct handling));
    apps->handlings[apps->handlings_count++] =
        (struct handling){.event = event,
                          .session = t->socket->session,
                          .at_ms = w->now_ms,
                          .birth = worker->birth,
                          .troubles = birth_of(w, worker)->troubles,
                          .resets = birth_of(w, worker)->resets,
                          .again = t->again,
                          .stale = worker->stale};
    apps->events[event].handled++;
    world_trace(w, "worker %u handles event %llu of session %llu%s", worker->birth,
                (unsigned long long) event, (unsigned long long) t->socket->session,
                t->again ? " again" : "");
    w->tally.handled++;
    w->tally.again += t->again;
    return apps->handlings_count;
}

static void on_task(struct world *w, struct app_worker *worker, struct rp_worker_task *t) {
    uint64_t event;
    size_t handling = 0;
    if (t->kind == RP_WORKER_TASK_INVOKE) {
        if (t->socket->state != RP_WORKER_SOCKET_CONNECTED) {
            wrong(w, "an event of a socket that is not connected");
        }
        if (!find_event(w, t, &event)) {
            return;
        }
        handling = note_handling(w, worker, t, event);
        act(w, worker, t->socket);
    }
    w->tally.sides += t->kind == RP_WORKER_TASK_SIDE;
    if (chance(w, 250)) {
        defer(w, worker, t, handling);
    } else {
        answer(w, t, handling);
    }
}

/* ---- what comes of what it asked ---- */

static struct emit *emit_of(struct world *w, const struct rp_worker_wait *wait) {
    uintptr_t number = (uintptr_t) wait->owner;
    return number > 0 ? &w->apps.emits[number - 1] : NULL;
}

static void on_response(struct world *w, struct emit *e, const struct rp_worker_happening *h) {
    struct heard heard = {.at_ms = w->now_ms};
    RP_ASSERT(h->sid.len < sizeof heard.sid);
    memcpy(heard.sid, h->sid.data, h->sid.len);
    for (size_t i = 0; i < e->heard_count; i++) {
        if (strcmp(e->heard[i].sid, heard.sid) == 0) {
            wrong(w, "a worker heard an ack twice");
        }
    }
    uint64_t payload = 0;
    struct rp_json_iter it = rp_json_iter_array(h->text);
    struct rp_bytes first = {0};
    if (!rp_json_iter_next(&it, NULL, &first) || !rp_json_to_u64(first, &payload) ||
        payload != e->payload) {
        wrong(w, "a worker heard the ack of another event");
    }
    e->heard = rp_array_reserve(e->heard, e->heard_count, &e->heard_capacity, sizeof(struct heard));
    e->heard[e->heard_count++] = heard;
    w->tally.acks_heard++;
}

static void on_wait(struct world *w, const struct rp_worker_happening *h) {
    struct emit *e = emit_of(w, h->wait);
    if (e == NULL) {
        w->tally.fetched += h->kind == RP_WORKER_RESPONSE && h->wait->kind == RP_WORKER_WAIT_FETCH;
        return;
    }
    if (e->ended) {
        wrong(w, "something came of an emit that had ended");
    }
    if (h->kind == RP_WORKER_STORED) {
        e->state = EMIT_STORED;
        e->seq = h->wait->seq;
        e->expected = h->wait->expected;
        w->tally.emits_stored++;
    } else if (h->kind == RP_WORKER_RESPONSE) {
        on_response(w, e, h);
    } else {
        e->ended = true;
        if (e->state == EMIT_ASKED && h->err != REPRISE_E_TIMEOUT && h->err != REPRISE_E_GONE) {
            e->state = EMIT_FAILED;
            w->tally.emits_failed++;
        }
    }
}

static void on_socket(struct world *w, const struct rp_worker_happening *h) {
    w->tally.adopted += h->why == RP_OP_SOCKET_ADOPTED;
    w->tally.sockets_recovered += h->why == RP_OP_SOCKET_RECOVERED;
    if (!rp_worker_socket_in(h->socket, rp_bytes_str(h->socket->sid))) {
        wrong(w, "a socket that is not in its own room");
    }
    if (h->socket->handshake.len == 0) {
        wrong(w, "a socket without handshake");
    }
}

/* A session expires once, whoever is told. */
static void note_expired(struct world *w, struct rp_bytes sid) {
    struct apps *apps = &w->apps;
    for (size_t i = 0; i < apps->expired_count; i++) {
        if (rp_bytes_eq_str(sid, apps->expired[i].sid)) {
            wrong(w, "a session expired twice");
        }
    }
    apps->expired = rp_array_reserve(apps->expired, apps->expired_count, &apps->expired_capacity,
                                     sizeof(struct heard));
    struct heard *heard = &apps->expired[apps->expired_count++];
    *heard = (struct heard){.at_ms = w->now_ms};
    RP_ASSERT(sid.len < sizeof heard->sid);
    memcpy(heard->sid, sid.data, sid.len);
}

void handler_run(struct world *w, struct app_worker *worker, const struct rp_worker_happening *h) {
    switch (h->kind) {
    case RP_WORKER_TASK:
        on_task(w, worker, h->task);
        break;
    case RP_WORKER_SOCKET:
        on_socket(w, h);
        break;
    case RP_WORKER_EXPIRED:
        w->tally.told_expired++;
        note_expired(w, h->sid);
        break;
    case RP_WORKER_RELEASED:
        w->tally.released++;
        break;
    case RP_WORKER_STORED:
    case RP_WORKER_RESPONSE:
    case RP_WORKER_ENDED:
        on_wait(w, h);
        break;
    default:
        break;
    }
}

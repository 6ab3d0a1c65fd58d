/* tests/unit/sdk_fixture.h — the core of a worker and a hand-written broker. Happenings are noted
 * as one line of text each; operations of the worker are kept until a test has looked at them. */
#pragma once

#include "common/alloc.h"
#include "common/limits.h"
#include "common/list.h"
#include "proto/attachments.h"
#include "proto/op.h"
#include "sdk/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define EPOCH RP_BYTES_LIT("epoch000")
#define B RP_BYTES_LIT
#define DESK_UNUSED __attribute__((unused))

/* An operation the worker sent. */
struct got {
    struct rp_list node;
    struct rp_op op; /* its views are of message */
    struct rp_buf message;
};

struct desk {
    struct rp_worker *w;
    uint64_t now_ms;
    uint64_t incarnation;
    uint8_t random;
    struct rp_list got; /* struct got; heartbeats are left out */
    uint64_t heard_bytes;
    char happened[1 << 14];      /* what was pulled and not yet looked at: a line each */
    struct rp_worker_task *task; /* the last one; the test answers it, unless answers is set */
    bool answers;                /* every task is answered yes at once */
    bool keeps;                  /* every task is held */
};

static struct desk desk;

static void desk_random(void *ctx, void *out, size_t len) {
    memset(out, ++((struct desk *) ctx)->random, len);
}

DESK_UNUSED static void note(const char *format, ...) {
    size_t len = strlen(desk.happened);
    va_list list;
    va_start(list, format);
    vsnprintf(desk.happened + len, sizeof desk.happened - len, format, list);
    va_end(list);
}

static const char *name_of(const struct rp_worker_task *t) {
    static const char *const names[] = {"admit", "invoke", "check", "side"};
    return names[t->kind];
}

static void note_happening(const struct rp_worker_happening *h) {
    switch (h->kind) {
    case RP_WORKER_LINK:
        note("link %s\n", h->up ? "up" : "down");
        break;
    case RP_WORKER_READY:
        note("ready\n");
        break;
    case RP_WORKER_TASK:
        note("%s %.*s%.*s %.*s\n", name_of(h->task), RP_BYTES_FMT(h->task->name),
             RP_BYTES_FMT(h->task->room), RP_BYTES_FMT(h->task->args));
        desk.task = h->task;
        break;
    case RP_WORKER_SOCKET:
        note("socket %s %d\n", h->socket->sid, (int) h->why);
        break;
    case RP_WORKER_LEFT:
        note("left %s %.*s\n", h->socket->sid, RP_BYTES_FMT(h->text));
        break;
    case RP_WORKER_RELEASED:
        note("released %s\n", h->socket->sid);
        break;
    case RP_WORKER_EXPIRED:
        note("expired %.*s %.*s\n", RP_BYTES_FMT(h->sid), RP_BYTES_FMT(h->text));
        break;
    case RP_WORKER_STORED:
        note("stored %s %d of %d\n", (const char *) h->wait->owner, (int) h->wait->seq,
             (int) h->wait->expected);
        break;
    case RP_WORKER_RESPONSE:
        note("response %s %.*s %.*s\n", (const char *) h->wait->owner, RP_BYTES_FMT(h->sid),
             RP_BYTES_FMT(h->text));
        break;
    case RP_WORKER_ENDED:
        note("ended %s %d\n", (const char *) h->wait->owner, h->err);
        break;
    case RP_WORKER_FAILED:
        note("failed %.*s\n", RP_BYTES_FMT(h->nsp));
        break;
    }
}

static void pull(void) {
    struct rp_worker_happening h;
    while (rp_worker_next(desk.w, &h)) {
        note_happening(&h);
        if (h.kind == RP_WORKER_TASK && desk.keeps) {
            rp_worker_task_hold(h.task);
        }
        if (h.kind == RP_WORKER_TASK && desk.answers) {
            struct rp_op_decided yes = {.verdict = RP_OP_YES, .args = B("[\"yes\"]")};
            assert_int_equal(rp_worker_decide(h.task, &yes), REPRISE_OK);
        }
    }
}

/* What was pulled since the last time is this, line by line. */
DESK_UNUSED static void expect(const char *lines) {
    assert_string_equal(desk.happened, lines);
    desk.happened[0] = '\0';
}

/* ---- the broker's side ---- */

static void heard_message(struct rp_buf *message) {
    struct rp_op_reader *reader = rp_op_reader_new();
    struct rp_bytes in = rp_buf_bytes(message);
    desk.heard_bytes += message->len;
    while (in.len > 0) {
        struct rp_op op;
        struct rp_bytes before = in;
        assert_int_equal(rp_op_next(reader, &in, &op), RP_OK);
        if (op.kind == RP_OP_HEARTBEAT) {
            continue;
        }
        struct got *got = RP_NEW(struct got);
        rp_buf_init(&got->message, RP_LINK_MESSAGE_BYTES_MAX);
        before.len -= in.len;
        assert_int_equal(rp_buf_put(&got->message, before), RP_OK);
        struct rp_bytes own = rp_buf_bytes(&got->message);
        assert_int_equal(rp_op_next(reader, &own, &got->op), RP_OK);
        rp_list_append(&desk.got, &got->node);
    }
    rp_op_reader_free(reader);
}

static void listen(void) {
    struct rp_buf message;
    while (rp_worker_take(desk.w, desk.now_ms, &message)) {
        heard_message(&message);
        rp_buf_done(&message);
    }
}

DESK_UNUSED static void turn(void) {
    rp_worker_turn(desk.w, desk.now_ms);
    pull();
    listen();
}

/* The broker sends one operation. */
DESK_UNUSED static void say(const struct rp_op *op) {
    struct rp_buf message;
    rp_buf_init(&message, RP_LINK_MESSAGE_BYTES_MAX);
    assert_int_equal(rp_op_put(&message, op), RP_OK);
    rp_worker_feed(desk.w, rp_buf_bytes(&message), desk.now_ms);
    pull();
    rp_buf_done(&message);
    turn();
}

#define SAY(NAME, name, ...) say(&(struct rp_op){.kind = RP_OP_##NAME, .name = {__VA_ARGS__}})

/* Time passes with heartbeats of the broker. */
DESK_UNUSED static void wait_ms(uint64_t ms) {
    for (uint64_t end = desk.now_ms + ms; desk.now_ms < end;) {
        uint64_t step = end - desk.now_ms < 500 ? end - desk.now_ms : 500;
        desk.now_ms += step;
        SAY(HEARTBEAT, heartbeat, .consumed = desk.heard_bytes);
    }
}

/* The next operation the worker sent, of this kind; valid until the next call. NULL: it sent
 * nothing. */
static struct got *looked_at;

static void forget_looked_at(void) {
    if (looked_at != NULL) {
        rp_buf_done(&looked_at->message);
        free(looked_at);
        looked_at = NULL;
    }
}

DESK_UNUSED static const struct rp_op *heard(enum rp_op_kind kind) {
    forget_looked_at();
    listen();
    struct rp_list *first = rp_list_first(&desk.got);
    if (first == NULL) {
        fail_msg("the worker did not send %s", rp_op_name(kind));
    }
    rp_list_remove(first);
    looked_at = RP_CONTAINER_OF(first, struct got, node);
    assert_string_equal(rp_op_name(looked_at->op.kind), rp_op_name(kind));
    return &looked_at->op;
}

DESK_UNUSED static void heard_nothing(void) {
    listen();
    struct rp_list *first = rp_list_first(&desk.got);
    if (first != NULL) {
        fail_msg("the worker sent %s",
                 rp_op_name(RP_CONTAINER_OF(first, struct got, node)->op.kind));
    }
}

static void forget_heard(void) {
    forget_looked_at();
    struct rp_list *first;
    while ((first = rp_list_first(&desk.got)) != NULL) {
        rp_list_remove(first);
        looked_at = RP_CONTAINER_OF(first, struct got, node);
        forget_looked_at();
    }
}

/* ---- a link ---- */

DESK_UNUSED static void open_link(void) {
    forget_heard();
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_OPEN);
    rp_worker_opened(desk.w, desk.now_ms);
    desk.heard_bytes = 0;
    desk.incarnation = heard(RP_OP_HELLO)->hello.incarnation;
}

/* HELLO, WELCOME and what follows, up to SERVED; what it lists is there to be heard. */
DESK_UNUSED static void link_up(uint64_t head) {
    open_link();
    SAY(WELCOME, welcome, .version = RP_PROTOCOL_VERSION, .epoch = EPOCH, .head = head);
    SAY(SERVED, served, .workers = 1);
}

DESK_UNUSED static void lose_link(void) {
    rp_worker_lost(desk.w, desk.now_ms);
    pull();
    desk.now_ms += RP_SDK_RETRY_MS;
}

/* A worker with "/" and "/room-*", linked and ready, at position 100. */
DESK_UNUSED static int desk_setup(void **state) {
    (void) state;
    memset(&desk, 0, sizeof desk);
    desk.now_ms = 1000;
    rp_list_init(&desk.got);
    struct rp_worker_config config = {.name = "tested",
                                      .link_credit_bytes = RP_LINK_CREDIT_BYTES,
                                      .random = desk_random,
                                      .random_ctx = &desk};
    desk.w = rp_worker_new(&config);
    assert_non_null(rp_worker_serve(desk.w, B("/"), RP_OP_DURABLE));
    assert_non_null(rp_worker_serve(desk.w, B("/room-*"), RP_OP_PATTERN));
    link_up(100);
    forget_heard();
    expect("link up\nready\n");
    return 0;
}

DESK_UNUSED static int desk_teardown(void **state) {
    (void) state;
    forget_heard();
    rp_worker_free(desk.w);
    return 0;
}

/* ---- sockets ---- */

DESK_UNUSED static struct rp_bytes packed(struct rp_buf *space, const char *first,
                                          const char *second) {
    rp_buf_init(space, 1024);
    assert_int_equal(rp_attachments_put(space, rp_bytes_str(first)), RP_OK);
    if (second != NULL) {
        assert_int_equal(rp_attachments_put(space, rp_bytes_str(second)), RP_OK);
    }
    return rp_buf_bytes(space);
}

DESK_UNUSED static struct reprise_socket *connect_socket(uint64_t session, uint64_t conn,
                                                         const char *sid, uint64_t why) {
    struct rp_buf rooms;
    SAY(SOCKET, socket, .session = session, .conn = conn, .why = why, .nsp = B("/"),
        .sid = rp_bytes_str(sid), .handshake = B("{}"), .rooms = packed(&rooms, "", sid));
    rp_buf_done(&rooms);
    return rp_worker_socket_find(desk.w, session);
}

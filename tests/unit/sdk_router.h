/* tests/unit/sdk_router.h — libreprise as applications use it, and a broker behind a ROUTER socket
 * that a test plays. */
#pragma once

#include "common/alloc.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/list.h"
#include "proto/attachments.h"
#include "proto/op.h"
#include "sdk/reprise.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include <cmocka.h>

#define B RP_BYTES_LIT
#define STAGE_UNUSED __attribute__((unused))
enum { PATIENCE_MS = 5000 };

/* An operation the worker sent. */
struct got {
    struct rp_list node;
    struct rp_op op; /* its views are of bytes */
    struct rp_buf bytes;
};

struct stage {
    struct reprise_context *c;
    struct reprise_nsp *n; /* "/" */
    void *zmq, *router;
    char endpoint[64];
    uint8_t peer[64]; /* the routing id of the newest link */
    size_t peer_len;
    struct rp_list got; /* struct got, without heartbeats */
    struct got *looked_at;
    uint64_t heard_bytes;
    char happened[1 << 13]; /* what handlers noted */
};

static struct stage stage;

STAGE_UNUSED static void note(const char *format, ...) {
    size_t len = strlen(stage.happened);
    va_list list;
    va_start(list, format);
    vsnprintf(stage.happened + len, sizeof stage.happened - len, format, list);
    va_end(list);
}

STAGE_UNUSED static void note_value(struct reprise_value v) {
    note("%.*s", (int) v.json.len, (const char *) v.json.data);
}

/* ---- the broker's side ---- */

static void hear(struct rp_bytes in) {
    struct rp_op_reader *reader = rp_op_reader_new();
    stage.heard_bytes += in.len;
    while (in.len > 0) {
        struct rp_op op;
        struct rp_bytes before = in;
        assert_int_equal(rp_op_next(reader, &in, &op), RP_OK);
        if (op.kind == RP_OP_HELLO) {
            stage.heard_bytes = before.len;
        }
        if (op.kind == RP_OP_HEARTBEAT) {
            continue;
        }
        struct got *got = RP_NEW(struct got);
        before.len -= in.len;
        rp_buf_init(&got->bytes, RP_LINK_MESSAGE_BYTES_MAX);
        assert_int_equal(rp_buf_put(&got->bytes, before), RP_OK);
        struct rp_bytes own = rp_buf_bytes(&got->bytes);
        assert_int_equal(rp_op_next(reader, &own, &got->op), RP_OK);
        rp_list_append(&stage.got, &got->node);
    }
    rp_op_reader_free(reader);
}

static void receive(void) {
    zmq_msg_t id, body;
    zmq_msg_init(&id);
    zmq_msg_init(&body);
    while (zmq_msg_recv(&id, stage.router, ZMQ_DONTWAIT) >= 0) {
        assert_true(zmq_msg_recv(&body, stage.router, 0) >= 0);
        stage.peer_len = zmq_msg_size(&id);
        memcpy(stage.peer, zmq_msg_data(&id), stage.peer_len);
        hear(rp_bytes(zmq_msg_data(&body), zmq_msg_size(&body)));
    }
    zmq_msg_close(&id);
    zmq_msg_close(&body);
}

/* Lets the worker and the broker go on for a moment. */
static void go_on(void) {
    struct pollfd set = {.fd = reprise_context_fd(stage.c), .events = POLLIN};
    if (poll(&set, 1, 1) > 0) {
        assert_int_equal(reprise_context_process(stage.c), REPRISE_OK);
    }
    receive();
}

static void forget_looked_at(void) {
    if (stage.looked_at != NULL) {
        rp_buf_done(&stage.looked_at->bytes);
        free(stage.looked_at);
        stage.looked_at = NULL;
    }
}

/* The next operation of the worker, which must be of this kind; valid until the next call. */
STAGE_UNUSED static const struct rp_op *heard(enum rp_op_kind kind) {
    uint64_t end_ms = rp_clock_mono_ms() + PATIENCE_MS;
    struct rp_list *first;
    forget_looked_at();
    while ((first = rp_list_first(&stage.got)) == NULL) {
        go_on();
        if (rp_clock_mono_ms() > end_ms) {
            fail_msg("the worker did not send %s", rp_op_name(kind));
        }
    }
    rp_list_remove(first);
    stage.looked_at = RP_CONTAINER_OF(first, struct got, node);
    assert_string_equal(rp_op_name(stage.looked_at->op.kind), rp_op_name(kind));
    return &stage.looked_at->op;
}

static void forget_heard(void) {
    struct rp_list *first;
    while ((first = rp_list_first(&stage.got)) != NULL) {
        rp_list_remove(first);
        forget_looked_at();
        stage.looked_at = RP_CONTAINER_OF(first, struct got, node);
    }
    forget_looked_at();
}

/* Until handlers have noted this. */
STAGE_UNUSED static void expect(const char *text) {
    uint64_t end_ms = rp_clock_mono_ms() + PATIENCE_MS;
    while (strcmp(stage.happened, text) != 0 && rp_clock_mono_ms() < end_ms) {
        go_on();
        if (strlen(stage.happened) >= strlen(text)) {
            break;
        }
    }
    assert_string_equal(stage.happened, text);
    stage.happened[0] = '\0';
}

STAGE_UNUSED static void say(const struct rp_op *op) {
    struct rp_buf bytes;
    rp_buf_init(&bytes, RP_LINK_MESSAGE_BYTES_MAX);
    assert_int_equal(rp_op_put(&bytes, op), RP_OK);
    assert_true(zmq_send(stage.router, stage.peer, stage.peer_len, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(stage.router, bytes.data, bytes.len, 0) >= 0);
    rp_buf_done(&bytes);
}

#define SAY(NAME, name, ...) say(&(struct rp_op){.kind = RP_OP_##NAME, .name = {__VA_ARGS__}})

/* From HELLO to SERVED. */
STAGE_UNUSED static void link_up(void) {
    assert_int_equal(heard(RP_OP_HELLO)->hello.role, RP_OP_WORKER);
    SAY(WELCOME, welcome, .version = RP_PROTOCOL_VERSION, .epoch = B("epoch000"), .head = 100);
    SAY(SERVED, served, .workers = 1);
    while (rp_list_is_empty(&stage.got) ||
           RP_CONTAINER_OF(stage.got.prev, struct got, node)->op.kind != RP_OP_RESUMED) {
        go_on();
    }
    forget_heard();
}

STAGE_UNUSED static void invoke(uint64_t num, uint64_t session, const char *name,
                                const char *args) {
    SAY(INVOKE, invoke, .origin = 77, .num = num, .session = session, .wants_ack = 1,
        .name = rp_bytes_str(name), .args = rp_bytes_str(args));
}

STAGE_UNUSED static void connect_socket(uint64_t session, const char *sid) {
    struct rp_buf rooms;
    rp_buf_init(&rooms, 1024);
    assert_int_equal(rp_attachments_put(&rooms, B("")), RP_OK);
    assert_int_equal(rp_attachments_put(&rooms, rp_bytes_str(sid)), RP_OK);
    SAY(SOCKET, socket, .session = session, .conn = session, .nsp = B("/"),
        .sid = rp_bytes_str(sid), .rooms = rp_buf_bytes(&rooms),
        .handshake = B("{\"headers\":{\"user-agent\":\"ua\"},\"address\":\"1.2.3.4\","
                       "\"issued\":7,\"query\":{\"q\":\"1\"},\"auth\":{\"token\":\"t\"}}"));
    rp_buf_done(&rooms);
}

/* ---- life ---- */

STAGE_UNUSED static void raise_stage(void) {
    memset(&stage, 0, sizeof stage);
    rp_list_init(&stage.got);
    stage.zmq = zmq_ctx_new();
    stage.router = zmq_socket(stage.zmq, ZMQ_ROUTER);
    int linger_ms = 0;
    zmq_setsockopt(stage.router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    assert_int_equal(zmq_bind(stage.router, "tcp://127.0.0.1:*"), 0);
    size_t size = sizeof stage.endpoint;
    assert_int_equal(zmq_getsockopt(stage.router, ZMQ_LAST_ENDPOINT, stage.endpoint, &size), 0);
    struct reprise_options options = {.broker = stage.endpoint, .name = "tested"};
    assert_int_equal(reprise_context_new(&options, &stage.c), REPRISE_OK);
    stage.n = reprise_of(stage.c, "/");
    assert_non_null(stage.n);
}

STAGE_UNUSED static int stage_setup(void **state) {
    (void) state;
    raise_stage();
    link_up();
    return 0;
}

STAGE_UNUSED static int stage_teardown(void **state) {
    (void) state;
    reprise_context_close(stage.c, 0);
    forget_heard();
    zmq_close(stage.router);
    zmq_ctx_term(stage.zmq);
    return 0;
}

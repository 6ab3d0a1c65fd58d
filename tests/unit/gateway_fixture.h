/* tests/unit/gateway_fixture.h — the gateway's core between hand-written clients and a hand-written
 * broker. `bench` is the one in hand; a file of tests that wants several gateways has several
 * (BENCHES, bench_use). */
#pragma once

#include "common/alloc.h"
#include "common/limits.h"
#include "common/list.h"
#include "gateway/gateway.h"
#include "proto/op.h"
#include "proto/ws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define BENCH_UNUSED __attribute__((unused))
/* What the request of every client was. */
#define HANDSHAKE RP_BYTES_LIT("\"url\":\"/x\"")
#define EPOCH RP_BYTES_LIT("epoch000")

/* An operation the gateway sent. */
struct got {
    struct rp_list node;
    struct rp_op op; /* its views are of message */
    struct rp_buf message;
};

struct test_bench {
    struct rp_gateway *g;
    struct rp_gateway_config config;
    uint64_t now_ms;
    uint64_t incarnation; /* as it said in its last HELLO */
    uint8_t random;
    struct rp_list asked, taken;       /* struct got */
    uint64_t heard_bytes;              /* from the gateway on this link */
    struct rp_exchange *exchanges[32]; /* under way; NULL: free place */
    struct rp_exchange *answered[32];  /* taken from the core and not yet looked at */
    bool heartbeats;    /* they are among asked like others; else they are left out */
    char text[1 << 16]; /* the frame taken last */
    size_t text_len;
};

#ifndef BENCHES
#define BENCHES 1
#endif

static struct test_bench benches[BENCHES], *bench_in_hand = benches;
#define bench (*bench_in_hand)

/* Everything below is about this one from now on. */
BENCH_UNUSED static void bench_use(size_t i) {
    bench_in_hand = &benches[i];
}

/* Ids are one letter, again and again: the next one of A, B, C, … */
static void bench_random(void *ctx, void *out, size_t len) {
    memset(out, ((struct test_bench *) ctx)->random++ % 26, len);
}

/* Each bench has another incarnation. */
static uint8_t first_random(void) {
    return (uint8_t) (13 * (bench_in_hand - benches));
}

static int bench_setup(void **state) {
    (void) state;
    bench = (struct test_bench){.now_ms = 1000000,
                                .random = first_random(),
                                .config = {.ping_interval_ms = 25000,
                                           .ping_timeout_ms = 20000,
                                           .connect_timeout_ms = 45000,
                                           .upgrade_timeout_ms = 10000,
                                           .max_payload = 100000,
                                           .queue_bytes = 6000,
                                           .queue_low_bytes = 500,
                                           .link_credit_bytes = 1 << 20,
                                           .name = "test",
                                           .hash_key = {1, 2},
                                           .random = bench_random,
                                           .random_ctx = &bench}};
    rp_list_init(&bench.asked);
    rp_list_init(&bench.taken);
    bench.g = rp_gateway_new(&bench.config, bench.now_ms);
    return 0;
}

static void forget(struct rp_list *list) {
    struct rp_list *first;
    while ((first = rp_list_first(list)) != NULL) {
        struct got *got = RP_CONTAINER_OF(first, struct got, node);
        rp_list_remove(first);
        rp_buf_done(&got->message);
        free(got);
    }
}

static int bench_teardown(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(bench.exchanges); i++) {
        if (bench.exchanges[i] != NULL) { /* the core wants them gone before it is freed */
            rp_gateway_exchange_end(bench.g, bench.exchanges[i], true, bench.now_ms);
        }
    }
    rp_gateway_free(bench.g);
    forget(&bench.asked);
    forget(&bench.taken);
    return 0;
}

BENCH_UNUSED static void assert_text(struct rp_bytes actual, const char *expected) {
    if (!rp_bytes_eq_str(actual, expected)) {
        fail_msg("got \"%.*s\" instead of \"%s\"", RP_BYTES_FMT(actual), expected);
    }
}

/* With other settings than bench_setup's, before anything has happened. */
BENCH_UNUSED static void bench_reconfigure(void) {
    rp_gateway_free(bench.g);
    bench.random = first_random();
    bench.g = rp_gateway_new(&bench.config, bench.now_ms);
}

/* ---- the broker's end ---- */

static void say_bytes(struct rp_bytes message) {
    assert_int_equal(rp_gateway_uplink_message(bench.g, message, bench.now_ms), RP_OK);
}

static void say(struct rp_op op) {
    struct rp_buf message;
    rp_buf_init(&message, RP_LINK_MESSAGE_BYTES_MAX);
    assert_int_equal(rp_op_put(&message, &op), RP_OK);
    say_bytes(rp_buf_bytes(&message));
    rp_buf_done(&message);
}

static void hear(struct rp_buf message) {
    bench.heard_bytes += message.len;
    struct rp_op_reader *r = rp_op_reader_new();
    struct rp_bytes in = rp_buf_bytes(&message);
    while (in.len > 0) {
        struct rp_bytes before = in;
        struct got *got = RP_NEW(struct got);
        assert_int_equal(rp_op_next(r, &in, &got->op), RP_OK);
        if (got->op.kind == RP_OP_HEARTBEAT && !bench.heartbeats) {
            free(got);
            continue;
        }
        rp_buf_init(&got->message, before.len - in.len);
        assert_int_equal(rp_buf_put(&got->message, rp_bytes(before.data, got->message.max)), RP_OK);
        struct rp_bytes own = rp_buf_bytes(&got->message);
        assert_int_equal(rp_op_next(r, &own, &got->op), RP_OK);
        rp_list_append(&bench.asked, &got->node);
    }
    rp_op_reader_free(r);
    rp_buf_done(&message);
}

static void turn(void) {
    rp_gateway_turn(bench.g, bench.now_ms);
    struct rp_buf message;
    while (rp_gateway_uplink_take(bench.g, bench.now_ms, &message)) {
        hear(message);
    }
}

BENCH_UNUSED static void pass_ms(uint64_t ms) {
    bench.now_ms += ms;
    turn();
}

/* The same while the broker is heard. */
BENCH_UNUSED static void pass_linked_ms(uint64_t ms) {
    for (; ms > 0; ms -= ms < 1000 ? ms : 1000) {
        say((struct rp_op){.kind = RP_OP_HEARTBEAT});
        pass_ms(ms < 1000 ? ms : 1000);
    }
}

/* The next operation the broker gets; it must be of this kind. */
static struct rp_op asked(enum rp_op_kind kind) {
    turn();
    struct rp_list *first = rp_list_first(&bench.asked);
    if (first == NULL) {
        fail_msg("nothing was asked instead of %s", rp_op_name(kind));
        return (struct rp_op){0};
    }
    struct got *got = RP_CONTAINER_OF(first, struct got, node);
    if (got->op.kind != kind) {
        fail_msg("%s was asked instead of %s", rp_op_name(got->op.kind), rp_op_name(kind));
    }
    rp_list_remove(first);
    rp_list_append(&bench.taken, first);
    return got->op;
}

static void nothing_asked(void) {
    turn();
    struct rp_list *first = rp_list_first(&bench.asked);
    if (first != NULL) {
        fail_msg("%s was asked as well",
                 rp_op_name(RP_CONTAINER_OF(first, struct got, node)->op.kind));
    }
}

/* A new link: the gateway has said HELLO on it. */
static struct rp_op_hello open_link(void) {
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_OPEN);
    rp_gateway_uplink_opened(bench.g, bench.now_ms);
    bench.heard_bytes = 0;
    struct rp_op_hello hello = asked(RP_OP_HELLO).hello;
    bench.incarnation = hello.incarnation;
    return hello;
}

static void welcome(uint64_t head) {
    say((struct rp_op){.kind = RP_OP_WELCOME,
                       .welcome = {.version = RP_PROTOCOL_VERSION, .epoch = EPOCH, .head = head}});
}

/* The first link, up. */
BENCH_UNUSED static void link_up(void) {
    open_link();
    welcome(5);
    assert_int_equal(asked(RP_OP_RESUMED).resumed.sessions, 0);
}

BENCH_UNUSED static void lose_link(void) {
    rp_gateway_uplink_lost(bench.g, bench.now_ms);
    forget(&bench.asked);
}

BENCH_UNUSED static void say_done(uint64_t num, uint64_t seq) {
    say((struct rp_op){.kind = RP_OP_DONE, .done = {.num = num, .seq = seq}});
}

BENCH_UNUSED static void say_member(uint64_t seq, uint64_t conn, bool joined, const char *room) {
    say((struct rp_op){
        .kind = RP_OP_MEMBER,
        .member = {.seq = seq, .conn = conn, .joined = joined, .room = rp_bytes_str(room)}});
}

BENCH_UNUSED static void say_deliver(uint64_t seq, const char *room, const char *args) {
    say((struct rp_op){.kind = RP_OP_DELIVER,
                       .deliver = {.seq = seq,
                                   .room = rp_bytes_str(room),
                                   .name = RP_BYTES_LIT("e"),
                                   .args = rp_bytes_str(args)}});
}

BENCH_UNUSED static void say_failed(uint64_t num, const char *code, const char *message,
                                    const char *data) {
    say((struct rp_op){.kind = RP_OP_FAILED,
                       .failed = {.num = num,
                                  .code = rp_bytes_str(code),
                                  .message = rp_bytes_str(message),
                                  .data = rp_bytes_str(data)}});
}

/* The broker knows no such namespace: answers the gateway's newest request, put on the link or not.
 */
BENCH_UNUSED static void say_invalid_namespace(void) {
    say_failed(rp_gateway_stats(bench.g)->requests, "invalid_namespace", "", "");
}

/* ---- the clients' end ---- */

static void text(struct rp_wire *c, const char *packet) {
    rp_gateway_text(bench.g, c, rp_bytes_str(packet), bench.now_ms);
}

/* Takes one frame of the client's output: its kind, its text in bench.text. False: there is none.
 */
static bool take_frame(struct rp_wire *c, struct rp_ws_msg *ret_msg) {
    struct rp_bytes part;
    if (rp_wire_output(c, &part, 1) == 0) {
        return false;
    }
    struct rp_bytes_mut in = {rp_alloc(part.len), part.len};
    uint8_t *copy = in.data;
    struct rp_ws_reader reader;
    memcpy(copy, part.data, part.len);
    rp_ws_reader_init(&reader, RP_WS_CLIENT, 1 << 24);
    assert_int_equal(rp_ws_reader_next(&reader, &in, ret_msg), RP_OK);
    part.len -= in.len; /* a packet with attachments is several frames */
    size_t len = ret_msg->payload.len;
    len = len < sizeof bench.text - 1 ? len : sizeof bench.text - 1;
    if (len > 0) {
        memcpy(bench.text, ret_msg->payload.data, len);
    }
    bench.text[len] = '\0';
    bench.text_len = len;
    rp_ws_reader_done(&reader);
    free(copy);
    rp_gateway_sent(bench.g, c, part.len, bench.now_ms);
    return true;
}

BENCH_UNUSED static void expect(struct rp_wire *c, const char *packet) {
    struct rp_ws_msg msg;
    if (!take_frame(c, &msg)) {
        fail_msg("the client got nothing instead of %s", packet);
    }
    assert_int_equal(msg.kind, RP_WS_TEXT);
    assert_string_equal(bench.text, packet);
}

BENCH_UNUSED static void expect_nothing(struct rp_wire *c) {
    struct rp_ws_msg msg;
    if (take_frame(c, &msg)) {
        fail_msg("the client got %s (kind %d, code %d) as well", bench.text, (int) msg.kind,
                 (int) msg.close_code);
    }
    assert_false(rp_wire_is_closing(c));
}

/* A binary message: its bytes are in bench.text. */
BENCH_UNUSED static void expect_binary(struct rp_wire *c, const char *data) {
    struct rp_ws_msg msg;
    if (!take_frame(c, &msg)) {
        fail_msg("the client got nothing instead of %s", data);
    }
    assert_int_equal(msg.kind, RP_WS_BINARY);
    assert_string_equal(bench.text, data);
}

BENCH_UNUSED static void binary(struct rp_wire *c, const char *data) {
    rp_gateway_binary(bench.g, c, rp_bytes_str(data), bench.now_ms);
}

/* What the client has yet to take. */
BENCH_UNUSED static size_t output_bytes(const struct rp_wire *c) {
    struct rp_bytes parts[1000];
    size_t total = 0;
    for (size_t n = rp_wire_output(c, parts, COUNT(parts)); n > 0; n--) {
        total += parts[n - 1].len;
    }
    return total;
}

BENCH_UNUSED static void gone(struct rp_wire *c) {
    rp_gateway_gone(bench.g, c, bench.now_ms);
}

/* The client's transport is being closed with this code and reason, after all of its output. */
BENCH_UNUSED static void expect_close(struct rp_wire *c, uint16_t code, const char *reason) {
    struct rp_ws_msg msg;
    assert_true(rp_wire_is_closing(c));
    if (!take_frame(c, &msg)) {
        fail_msg("the client got no close frame");
    }
    assert_int_equal(msg.kind, RP_WS_CLOSE);
    assert_int_equal(msg.close_code, code);
    if (reason != NULL) {
        assert_string_equal(bench.text, reason);
    }
    assert_false(rp_wire_has_output(c));
    gone(c);
}

static struct rp_wire *open_client(void) {
    struct rp_wire *c = rp_gateway_open(bench.g, &bench, HANDSHAKE, bench.now_ms);
    struct rp_ws_msg msg;
    assert_ptr_equal(rp_wire_shell(c), &bench);
    assert_true(take_frame(c, &msg));
    assert_int_equal(bench.text[0], '0');
    return c;
}

/* A client that is connected as this connection (and session). */
BENCH_UNUSED static struct rp_wire *connect_client(uint64_t conn) {
    struct rp_wire *c = open_client();
    struct rp_ws_msg msg;
    text(c, "40");
    uint64_t num = asked(RP_OP_CONNECT).connect.num;
    say((struct rp_op){
        .kind = RP_OP_CONNECTED,
        .connected = {
            .num = num, .session = conn, .conn = conn, .sid = RP_BYTES_LIT("sid"), .pos = conn}});
    assert_true(take_frame(c, &msg));
    assert_memory_equal(bench.text, "40{", 3);
    return c;
}

BENCH_UNUSED static struct rp_wire *member_client(uint64_t conn, const char *room) {
    struct rp_wire *c = connect_client(conn);
    say_member(conn + 1, conn, true, room);
    return c;
}

/* ---- clients that poll ---- */

enum { SID_SPACE = RP_EIO_SID_BYTES_MAX + 1 };

static struct rp_exchange *note_exchange(struct rp_exchange *x) {
    size_t i = 0;
    while (bench.exchanges[i] != NULL) {
        assert_true(++i < COUNT(bench.exchanges));
    }
    bench.exchanges[i] = x;
    return x;
}

BENCH_UNUSED static struct rp_exchange *get(const char *sid) {
    return note_exchange(rp_gateway_poll_get(bench.g, &bench, rp_bytes_str(sid), bench.now_ms));
}

/* A POST whose body is still to come. */
BENCH_UNUSED static struct rp_exchange *post_head(const char *sid) {
    return note_exchange(rp_gateway_poll_post(bench.g, &bench, rp_bytes_str(sid), bench.now_ms));
}

BENCH_UNUSED static struct rp_exchange *post_bytes(const char *sid, struct rp_bytes payload) {
    struct rp_buf body;
    rp_buf_init(&body, bench.config.max_payload + 1000);
    assert_int_equal(rp_buf_put(&body, payload), RP_OK);
    struct rp_exchange *x = post_head(sid);
    if (rp_exchange_status(x) == 0) {
        rp_gateway_post_body(bench.g, x, &body, bench.now_ms);
        assert_int_equal(body.len, 0);
    }
    rp_buf_done(&body);
    return x;
}

BENCH_UNUSED static struct rp_exchange *post(const char *sid, const char *payload) {
    return post_bytes(sid, rp_bytes_str(payload));
}

/* Ends the exchange; its client has the answer, or has not. */
BENCH_UNUSED static void end(struct rp_exchange *x, bool delivered) {
    for (size_t i = 0; i < COUNT(bench.exchanges); i++) {
        bench.exchanges[i] = bench.exchanges[i] == x ? NULL : bench.exchanges[i];
    }
    size_t kept = 0;
    for (size_t i = 0; i < COUNT(bench.answered); i++) {
        if (bench.answered[i] != x) {
            bench.answered[kept++] = bench.answered[i];
        }
    }
    memset(bench.answered + kept, 0, (COUNT(bench.answered) - kept) * sizeof(x));
    rp_gateway_exchange_end(bench.g, x, delivered, bench.now_ms);
}

/* Takes what the core has answered. */
static void take_answers(void) {
    size_t i = 0;
    while (bench.answered[i] != NULL) {
        i++;
    }
    while ((bench.answered[i] = rp_gateway_next_answered(bench.g)) != NULL) {
        assert_true(++i < COUNT(bench.answered));
    }
}

static struct rp_exchange *next_answered(void) {
    take_answers();
    struct rp_exchange *x = bench.answered[0];
    memmove(bench.answered, bench.answered + 1, sizeof bench.answered - sizeof bench.answered[0]);
    return x;
}

/* The next answer is this exchange's: its body is in bench.text. It stays. */
BENCH_UNUSED static void expect_status(struct rp_exchange *x, int status) {
    if (next_answered() != x) {
        fail_msg("no answer, or another's");
    }
    assert_ptr_equal(rp_exchange_shell(x), &bench);
    struct rp_bytes body = rp_exchange_body(x);
    assert_true(body.len > 0 && body.len < sizeof bench.text);
    memcpy(bench.text, body.data, body.len);
    bench.text[body.len] = '\0';
    if (rp_exchange_status(x) != status) {
        fail_msg("answered with %d %s instead of %d", rp_exchange_status(x), bench.text, status);
    }
}

/* The same, with the whole body; and it is delivered. */
BENCH_UNUSED static void expect_answer(struct rp_exchange *x, int status, const char *body) {
    expect_status(x, status);
    assert_string_equal(bench.text, body);
    end(x, true);
}

BENCH_UNUSED static void expect_no_answer(void) {
    const struct rp_exchange *x = next_answered();
    if (x != NULL) {
        fail_msg("answered with %d %.*s as well", rp_exchange_status(x),
                 RP_BYTES_FMT(rp_exchange_body(x)));
    }
}

#define BAD_REQUEST "{\"code\":3,\"message\":\"Bad request\"}"
#define UNKNOWN_SID "{\"code\":1,\"message\":\"Session ID unknown\"}"

BENCH_UNUSED static struct rp_exchange *poll_open(void) {
    return note_exchange(rp_gateway_poll_open(bench.g, &bench, HANDSHAKE, bench.now_ms));
}

/* A long-polling session. */
BENCH_UNUSED static void open_poll(char ret_sid[SID_SPACE]) {
    struct rp_exchange *x = poll_open();
    expect_status(x, 200);
    assert_memory_equal(bench.text, "0{\"sid\":\"", 9);
    struct rp_bytes sid = rp_exchange_sid(x);
    assert_int_equal(sid.len, SID_SPACE - 1);
    memcpy(ret_sid, sid.data, sid.len);
    ret_sid[sid.len] = '\0';
    assert_memory_equal(bench.text + 9, ret_sid, sid.len);
    end(x, true);
}

/* The same, connected as this connection (and session). */
BENCH_UNUSED static void connect_poll(uint64_t conn, char ret_sid[SID_SPACE]) {
    open_poll(ret_sid);
    expect_answer(post(ret_sid, "40"), 200, "ok");
    uint64_t num = asked(RP_OP_CONNECT).connect.num;
    say((struct rp_op){
        .kind = RP_OP_CONNECTED,
        .connected = {
            .num = num, .session = conn, .conn = conn, .sid = RP_BYTES_LIT("sid"), .pos = conn}});
    struct rp_exchange *x = get(ret_sid);
    expect_status(x, 200);
    assert_memory_equal(bench.text, "40{", 3);
    end(x, true);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

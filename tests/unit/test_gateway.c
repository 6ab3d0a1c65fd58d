/* tests/unit/test_gateway.c — gateway/gateway, gateway/client: one client's life, from the
 * handshake to the end. */
#include "tests/unit/gateway_fixture.h"

#include <openssl/sha.h>

/* ---- the handshake and the heartbeat ---- */

static void test_the_handshake_tells_the_settings(void **state) {
    (void) state;
    struct rp_wire *c = rp_gateway_open(bench.g, &bench, rp_bytes(NULL, 0), bench.now_ms);
    assert_ptr_equal(rp_gateway_next_dirty(bench.g), c);
    assert_null(rp_gateway_next_dirty(bench.g));
    expect(c,
           "0{\"sid\":\"BAAAAAAAAAABBBBBBBBBBBBBBBBBBBB\",\"upgrades\":[],\"pingInterval\":25000,"
           "\"pingTimeout\":20000,\"maxPayload\":100000}");
    expect_nothing(c);
    assert_ptr_equal(rp_wire_shell(c), &bench);
    assert_int_equal(rp_gateway_stats(bench.g)->clients, 1);
    gone(c);
    assert_int_equal(rp_gateway_stats(bench.g)->clients, 0);
}

static void test_pings_come_and_want_a_pong(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    pass_ms(24999);
    expect_nothing(c);
    pass_ms(1);
    expect(c, "2");
    pass_ms(19999);
    text(c, "3");
    pass_ms(24999);
    expect_nothing(c);
    assert_true(rp_gateway_deadline_ms(bench.g) <= bench.now_ms + 1);
    pass_ms(1);
    expect(c, "2");
    pass_ms(19999);
    expect_nothing(c);
    pass_ms(1);
    expect_close(c, 1001, "ping timeout");
    assert_int_equal(rp_gateway_stats(bench.g)->ping_timeouts, 1);
}

/* A client that takes what it is sent is alive, however slow its line. */
static void test_ping_timeout_waits_while_output_moves(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    say_deliver(20, "a", "[1]");
    say_deliver(21, "a", "[2]");
    pass_ms(25000);
    struct rp_bytes part;
    assert_int_equal(rp_wire_output(c, &part, 1), 1);
    rp_gateway_sent(bench.g, c, 1, bench.now_ms);
    pass_ms(20000);
    assert_false(rp_wire_is_closing(c)); /* it took a byte since the ping */
    pass_ms(20000);
    assert_true(rp_wire_is_closing(c)); /* and none since */
    gone(c);
}

/* One that answers pings and takes nothing holds memory for nothing. */
static void test_a_client_that_takes_nothing_is_closed(void **state) {
    (void) state;
    link_up();
    struct rp_wire *stuck = member_client(10, "a"), *slow = member_client(20, "a");
    for (uint64_t seq = 30; seq < 40; seq++) {
        say_deliver(seq, "a", "[]");
    }
    struct rp_bytes part;
    for (uint64_t ms = 0; !rp_wire_is_closing(stuck); ms += 5000) {
        assert_true(ms < RP_CLIENT_STUCK_MS + bench.config.ping_interval_ms);
        assert_true(rp_wire_output(slow, &part, 1) > 0);
        rp_gateway_sent(bench.g, slow, 1, bench.now_ms);
        pass_linked_ms(5000);
        text(stuck, "3");
        text(slow, "3");
    }
    assert_false(rp_wire_is_closing(slow));
    assert_int_equal(asked(RP_OP_CLOSE).close.conn, 10);
    gone(stuck);
    gone(slow);
}

static void test_connect_must_come_in_time(void **state) {
    (void) state;
    bench.config.ping_interval_ms = 1000000;
    bench_reconfigure();
    link_up();
    struct rp_wire *silent = open_client(), *waiting = open_client(), *fine = connect_client(10),
                   *left = connect_client(11);
    text(waiting, "40"); /* the broker does not answer: it is to come again */
    asked(RP_OP_CONNECT);
    pass_linked_ms(25000);
    text(left, "41");
    asked(RP_OP_CLOSE);
    pass_linked_ms(19999);
    expect_nothing(silent);
    expect_nothing(waiting);
    pass_ms(1);
    expect_close(silent, 1013, "connect timeout");
    expect_close(waiting, 1013, "connect timeout");
    assert_int_equal(rp_gateway_stats(bench.g)->connect_timeouts, 2);
    pass_linked_ms(24999);
    expect_nothing(left);
    pass_ms(1);
    expect_close(left, 1013, "connect timeout"); /* it has left its namespace for too long */
    expect_nothing(fine);
    gone(fine);
}

/* ---- CONNECT ---- */

static void test_connect_gives_sid_and_pid(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = open_client();
    text(c, "40");
    struct rp_op_connect op = asked(RP_OP_CONNECT).connect;
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256((const uint8_t *) "CCCCCCCCCCCCCCCCCCCC", 20, hash);
    assert_text(op.nsp, "/");
    assert_text(op.sid, "DDDDDDDDDDDDDDDDDDDD");
    assert_true(rp_bytes_eq(op.pid_hash, rp_bytes(hash, sizeof hash)));
    assert_int_equal(op.resume_hash.len, 0);
    assert_int_equal(op.offset.len, 0);
    expect_nothing(c);
    say((struct rp_op){
        .kind = RP_OP_CONNECTED,
        .connected = {.num = op.num, .session = 9, .conn = 9, .sid = op.sid, .pos = 9}});
    expect(c, "40{\"sid\":\"DDDDDDDDDDDDDDDDDDDD\",\"pid\":\"CCCCCCCCCCCCCCCCCCCC\"}");
    expect_nothing(c);
    assert_int_equal(rp_gateway_stats(bench.g)->sessions, 1);
    gone(c);
    assert_int_equal(rp_gateway_stats(bench.g)->sessions, 0);
    struct rp_op_close close = asked(RP_OP_CLOSE).close;
    assert_int_equal(close.session, 9);
    assert_int_equal(close.conn, 9);
    assert_int_equal(close.ended, 0);
}

static void test_a_recovered_client_keeps_its_pid(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = open_client();
    text(c, "40{\"pid\":\"xxxxxxxxxxxxxxxxxxxx\",\"offset\":\"7-epoc\"}");
    struct rp_op_connect op = asked(RP_OP_CONNECT).connect;
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256((const uint8_t *) "xxxxxxxxxxxxxxxxxxxx", 20, hash);
    assert_true(rp_bytes_eq(op.resume_hash, rp_bytes(hash, sizeof hash)));
    assert_text(op.offset, "7-epoc");
    say((struct rp_op){.kind = RP_OP_CONNECTED,
                       .connected = {.num = op.num,
                                     .session = 3,
                                     .conn = 20,
                                     .sid = RP_BYTES_LIT("its sid"),
                                     .recovered = 1,
                                     .pos = 7}});
    expect(c, "40{\"sid\":\"its sid\",\"pid\":\"xxxxxxxxxxxxxxxxxxxx\"}");
    assert_int_equal(rp_gateway_stats(bench.g)->recovered_total, 1);
    gone(c);
}

static void test_what_is_no_pid_or_offset_is_not_one(void **state) {
    (void) state;
    static const struct {
        const char *auth;
        bool pid;
        const char *offset;
    } table[] = {
        {"", false, ""},
        {"{}", false, ""},
        {"{\"token\":\"x\",\"offset\":\"3-epoc\"}", false, "3-epoc"},
        {"{\"pid\":\"short\"}", false, ""},
        {"{\"pid\":\"xxxxxxxxxxxxxxxxxxxxx\"}", false, ""},
        {"{\"pid\":7,\"offset\":7}", false, "?"},
        {"{\"pid\":null,\"offset\":null}", false, ""},
        {"{\"pid\":{},\"offset\":[\"3-epoc\"]}", false, "?"},
        {"{\"pid\":\"xxxxxxxxxxxxxxxxxxxx\",\"offset\":\"\"}", true, "?"},
        {"{\"pid\":\"xxxxxxxxxxxxxxxxxxxx\",\"offset\":\"\\u0033-epoc\"}", true, "3-epoc"},
        {"{\"p\\u0069d\":\"xxxxxxxxxxxxxxxxxxx\\u0078\"}", true, ""},
        {"{\"pid\":\"xxxxxxxxxxxxxxxxxxxx\",\"offset\":\"\\ud800\"}", true, "?"},
        {"{\"offset\":\"1234567890123456789012345678901234567890123456789012345678901234\"}", false,
         "1234567890123456789012345678901234567890123456789012345678901234"},
        {"{\"offset\":\"12345678901234567890123456789012345678901234567890123456789012345\"}",
         false, "?"},
    };
    link_up();
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_wire *c = open_client();
        char packet[200];
        snprintf(packet, sizeof packet, "40%s", table[i].auth);
        text(c, packet);
        struct rp_op_connect op = asked(RP_OP_CONNECT).connect;
        assert_int_equal(op.resume_hash.len, table[i].pid ? 32 : 0);
        assert_text(op.offset, table[i].offset);
        gone(c);
    }
}

static void test_other_namespaces_are_refused_without_closing(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = open_client();
    for (int i = 0; i < 2; i++) { /* it may try again */
        text(c, i == 0 ? "40/admin," : "40/admin,{\"token\":\"x\"}");
        struct rp_op_connect connect = asked(RP_OP_CONNECT).connect;
        assert_text(connect.nsp, "/admin");
        assert_int_equal(connect.listed, 0); /* app workers may serve it */
        expect_nothing(c);
        say_invalid_namespace();
        expect(c, "44/admin,{\"message\":\"Invalid namespace\"}");
    }
    text(c, "41/admin,"); /* it is not in there */
    expect_nothing(c);
    nothing_asked();
    text(c, "40");
    assert_int_equal(asked(RP_OP_CONNECT).connect.listed, 1);
    pass_linked_ms(25000);
    expect(c, "2");
    text(c, "3");
    pass_linked_ms(20000); /* nobody has let it in */
    expect_close(c, 1013, "connect timeout");
}

static void test_a_connect_that_fails_closes_the_transport(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = open_client();
    text(c, "40");
    uint64_t num = asked(RP_OP_CONNECT).connect.num;
    say((struct rp_op){.kind = RP_OP_FAILED,
                       .failed = {.num = num,
                                  .code = RP_BYTES_LIT("unavailable"),
                                  .message = RP_BYTES_LIT("disk full")}});
    expect_close(c, 1013, "the session cannot be served now"); /* it comes back by itself */
    nothing_asked();
}

/* Whoever is gone before CONNECTED arrives: the broker is told. Of a new session nobody knows the
 * pid, so it is over; a recovered one may come back. */
static void test_a_session_nobody_waits_for_is_closed(void **state) {
    (void) state;
    link_up();
    struct rp_wire *cut = open_client(), *left = open_client();
    text(cut, "40");
    text(left, "40{\"pid\":\"xxxxxxxxxxxxxxxxxxxx\"}");
    uint64_t nums[] = {asked(RP_OP_CONNECT).connect.num, asked(RP_OP_CONNECT).connect.num};
    gone(cut);
    text(left, "41");
    nothing_asked();
    for (size_t i = 0; i < 2; i++) {
        say((struct rp_op){.kind = RP_OP_CONNECTED,
                           .connected = {.num = nums[i],
                                         .session = 50 + i,
                                         .conn = 50 + i,
                                         .sid = RP_BYTES_LIT("sid"),
                                         .recovered = i}});
        struct rp_op_close close = asked(RP_OP_CLOSE).close;
        assert_int_equal(close.session, 50 + i);
        assert_int_equal(close.ended, i == 0);
    }
    expect_nothing(left);
    text(left, "40"); /* and may come again on the same transport */
    asked(RP_OP_CONNECT);
    assert_int_equal(rp_gateway_stats(bench.g)->sessions, 0);
    gone(left);
}

/* ---- leaving ---- */

static void test_disconnect_ends_the_session(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    text(c, "41");
    struct rp_op_close close = asked(RP_OP_CLOSE).close;
    assert_int_equal(close.conn, 10);
    assert_int_equal(close.ended, 1);
    say_deliver(30, "a", "[1]"); /* not for it any more */
    expect_nothing(c);
    text(c, "41"); /* twice */
    nothing_asked();
    text(c, "40"); /* the transport stays, and may connect again */
    say((struct rp_op){.kind = RP_OP_CONNECTED,
                       .connected = {.num = asked(RP_OP_CONNECT).connect.num,
                                     .session = 40,
                                     .conn = 40,
                                     .sid = RP_BYTES_LIT("sid")}});
    struct rp_ws_msg msg;
    assert_true(take_frame(c, &msg));
    say_deliver(41, "a", "[2]"); /* with no rooms */
    expect_nothing(c);
    gone(c);
}

static void test_engine_close_is_answered_by_closing(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    text(c, "1");
    assert_int_equal(asked(RP_OP_CLOSE).close.ended, 0); /* it may come back */
    expect_close(c, 1000, "");
}

static void test_packets_out_of_place_close_the_client(void **state) {
    (void) state;
    static const struct {
        const char *before, *packet;
        uint16_t code;
    } table[] = {
        /* Engine.IO */
        {NULL, "", 1002},
        {NULL, "x", 1002},
        {NULL, "9", 1002},
        {NULL, "0{}", 1002},
        {NULL, "2", 1002},
        {NULL, "2probe", 1002},
        {NULL, "5", 1002},
        {NULL, "6", 1002},
        /* Socket.IO */
        {NULL, "4", 1002},
        {NULL, "49", 1002},
        {NULL, "40[1]", 1002},
        {NULL, "40{\"a\"}", 1002},
        {NULL, "40{} x", 1002},
        {NULL, "42[\"e\"]", 1002}, /* not connected */
        {"40", "40", 1002},
        {"40", "42[\"e\"]", 1002}, /* not connected yet */
        {"c", "40", 1002},
        {"c", "42", 1002},
        {"c", "42[]", 1002},
        {"c", "42[1]", 1002},
        {"c", "42{}", 1002},
        {"c", "42[\"e\"", 1002},
        {"c", "42[\"e\"]]", 1002},
        {"c", "42[\"e\",]", 1002},
        {"c", "42[\"connect\"]", 1002},
        {"c", "42/admin,[\"e\"]", 1002},
        {"c", "43[1]", 1002}, /* an ack without id */
        {"c", "44{\"message\":\"x\"}", 1002},
        {"c", "4511-[\"e\",{\"_placeholder\":true,\"num\":0}]", 1002}, /* too many attachments */
        {"c", "450-[\"e\"]", 1002},
    };
    link_up();
    for (size_t i = 0; i < COUNT(table); i++) {
        bool connected = table[i].before != NULL && table[i].before[0] == 'c';
        struct rp_wire *c = connected ? connect_client(100 + i) : open_client();
        if (table[i].before != NULL && !connected) {
            text(c, table[i].before);
            asked(RP_OP_CONNECT);
        }
        text(c, table[i].packet);
        if (!rp_wire_is_closing(c)) {
            fail_msg("taken: %s", table[i].packet);
        }
        text(c, "40"); /* nothing is heard any more */
        rp_gateway_binary(bench.g, c, RP_BYTES_LIT("x"), bench.now_ms);
        rp_gateway_put_frame(bench.g, c, rp_ws_frame(RP_WS_PONG, RP_BYTES_LIT("x")));
        expect_close(c, table[i].code, NULL);
        if (connected) {
            assert_int_equal(asked(RP_OP_CLOSE).close.conn, 100 + i);
        }
        nothing_asked();
        assert_int_equal(rp_gateway_stats(bench.g)->bad_packets, i + 1);
    }
}

static void test_binary_messages_out_of_place_close_the_client(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    rp_gateway_binary(bench.g, c, RP_BYTES_LIT("\x01\x02"), bench.now_ms);
    asked(RP_OP_CLOSE);
    expect_close(c, 1002, "a binary message that no packet has announced");
}

static void test_stray_acks_are_ignored(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "437[1]");
    expect_nothing(c);
    pass_linked_ms(24000);
    text(c, "3"); /* a pong nobody asked for does not put off the ping */
    expect_nothing(c);
    pass_linked_ms(1000);
    expect(c, "2");
    gone(c);
}

/* ---- output ---- */

static void test_output_is_taken_in_any_pieces(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    for (int i = 0; i < 5; i++) {
        say_deliver(20 + (uint64_t) i, "a", "[\"some text\"]");
    }
    struct rp_bytes parts[8];
    char whole[512];
    size_t total = 0, sent = 0;
    assert_int_equal(rp_wire_output(c, parts, 3), 3);
    size_t n = rp_wire_output(c, parts, 8);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++) {
        memcpy(whole + total, parts[i].data, parts[i].len);
        total += parts[i].len;
    }
    assert_true(rp_gateway_stats(bench.g)->queued_bytes >= total);
    for (size_t piece = 1; sent < total; piece = piece % 7 + 3) {
        size_t take = piece < total - sent ? piece : total - sent;
        n = rp_wire_output(c, parts, 8);
        size_t at = sent;
        for (size_t i = 0; i < n; i++) {
            assert_memory_equal(parts[i].data, whole + at, parts[i].len);
            at += parts[i].len;
        }
        assert_int_equal(at, total);
        rp_gateway_sent(bench.g, c, take, bench.now_ms);
        sent += take;
    }
    assert_false(rp_wire_has_output(c));
    assert_int_equal(rp_gateway_stats(bench.g)->queued_bytes, 0);
    gone(c);
}

static void test_each_change_makes_a_client_dirty_once(void **state) {
    (void) state;
    link_up();
    struct rp_wire *a = member_client(10, "a"), *b = member_client(11, "a");
    while (rp_gateway_next_dirty(bench.g) != NULL) {
    }
    say_deliver(20, "a", "[1]");
    say_deliver(21, "a", "[2]");
    struct rp_wire *first = rp_gateway_next_dirty(bench.g);
    struct rp_wire *second = rp_gateway_next_dirty(bench.g);
    assert_true((first == a && second == b) || (first == b && second == a));
    assert_null(rp_gateway_next_dirty(bench.g));
    say_deliver(22, "a", "[3]");
    gone(a); /* a client that is gone is not given */
    assert_ptr_equal(rp_gateway_next_dirty(bench.g), b);
    assert_null(rp_gateway_next_dirty(bench.g));
    gone(b);
}

/* ---- the end ---- */

static void test_draining_closes_all_over_the_time(void **state) {
    (void) state;
    enum { CLIENTS = 40 };
    link_up();
    struct rp_wire *clients[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = i % 2 ? connect_client(100 + i) : open_client();
    }
    assert_false(rp_gateway_is_drained(bench.g));
    rp_gateway_drain(bench.g, bench.now_ms, 1000);
    size_t closed_before = 0;
    for (int step = 0; step <= 20; step++) {
        size_t closed = 0;
        pass_ms(step == 0 ? 0 : 50);
        for (size_t i = 0; i < CLIENTS; i++) {
            closed += rp_wire_is_closing(clients[i]);
        }
        assert_true(closed - closed_before <= 3); /* evenly */
        assert_true(closed >= 40u * (unsigned) step / 21);
        closed_before = closed;
        assert_true(rp_gateway_deadline_ms(bench.g) <= bench.now_ms + 50);
    }
    assert_int_equal(closed_before, CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++) {
        expect_close(clients[i], 1001, "server shutting down");
    }
    assert_false(rp_gateway_is_drained(bench.g)); /* the broker has not heard of all */
    for (size_t i = 0; i < CLIENTS / 2; i++) {
        say_done(asked(RP_OP_CLOSE).close.num, 500 + i);
    }
    assert_true(rp_gateway_is_drained(bench.g));
}

static void test_freeing_takes_everything_along(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    text(c, "421[\"publish\",\"a\",\"e\",1]");
    say_deliver(20, "a", "[1]");
    open_client();
    struct rp_wire *connecting = open_client();
    text(connecting, "40");
    assert_null(rp_gateway_free(NULL)); /* the rest is the teardown's, under the sanitizer */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_the_handshake_tells_the_settings),
        BENCH_TEST(test_pings_come_and_want_a_pong),
        BENCH_TEST(test_ping_timeout_waits_while_output_moves),
        BENCH_TEST(test_a_client_that_takes_nothing_is_closed),
        BENCH_TEST(test_connect_must_come_in_time),
        BENCH_TEST(test_connect_gives_sid_and_pid),
        BENCH_TEST(test_a_recovered_client_keeps_its_pid),
        BENCH_TEST(test_what_is_no_pid_or_offset_is_not_one),
        BENCH_TEST(test_other_namespaces_are_refused_without_closing),
        BENCH_TEST(test_a_connect_that_fails_closes_the_transport),
        BENCH_TEST(test_a_session_nobody_waits_for_is_closed),
        BENCH_TEST(test_disconnect_ends_the_session),
        BENCH_TEST(test_engine_close_is_answered_by_closing),
        BENCH_TEST(test_packets_out_of_place_close_the_client),
        BENCH_TEST(test_binary_messages_out_of_place_close_the_client),
        BENCH_TEST(test_stray_acks_are_ignored),
        BENCH_TEST(test_output_is_taken_in_any_pieces),
        BENCH_TEST(test_each_change_makes_a_client_dirty_once),
        BENCH_TEST(test_draining_closes_all_over_the_time),
        BENCH_TEST(test_freeing_takes_everything_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/test_gateway_packet.c — gateway/packet, gateway/socket, gateway/encode: Socket.IO
 * packets in every form, and clients in several namespaces. */
#include "common/pattern.h"
#include "gateway/core.h"
#include "proto/deflate.h"
#include "proto/sio_msgpack.h"
#include "tests/unit/gateway_fixture.h"

#define SEP "\x1e"
#define PLACE(n) "{\"_placeholder\":true,\"num\":" #n "}"

static const struct rp_gateway_stats *stats(void) {
    return rp_gateway_stats(bench.g);
}

/* ---- attachments ---- */

static void test_attachments_come_behind_their_packet(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "453-7[\"publish\",\"a\",\"e\"," PLACE(1) ",{\"x\":" PLACE(0) "}," PLACE(2) "]");
    binary(c, "zero");
    nothing_asked();
    text(c, "3"); /* Engine.IO's own packets may come in between */
    binary(c, "");
    assert_true(bench.g->assembling_bytes > 0);
    binary(c, "two");
    assert_int_equal(bench.g->assembling_bytes, 0);
    struct rp_op_publish publish = asked(RP_OP_PUBLISH).publish;
    assert_text(publish.args, "[" PLACE(1) ",{\"x\":" PLACE(0) "}," PLACE(2) "]");
    assert_true(rp_bytes_eq(publish.attachments, RP_BYTES_LIT("\0\0\0\4zero\0\0\0\0\0\0\0\3two")));
    say_done(publish.num, 20);
    expect(c, "437[{\"ok\":true,\"room\":\"a\",\"seq\":20}]");
    text(c, "452-[\"publish\",{\"room\":\"a\",\"event\":\"e\",\"args\":[" PLACE(0) "]}]");
    binary(c, "one");
    binary(c, "of which nobody speaks");
    assert_text(asked(RP_OP_PUBLISH).publish.args, "[" PLACE(0) "]");
    text(c, "451-[\"join\"," PLACE(0) "]"); /* no room is made of bytes */
    binary(c, "room");
    text(c, "461-7[" PLACE(0) "]"); /* an ack nobody asked for */
    binary(c, "x");
    nothing_asked();
    expect_nothing(c);
    assert_int_equal(stats()->bad_packets, 0);
}

static void test_wrong_attachments_end_the_session(void **state) {
    (void) state;
    static const struct {
        const char *messages[4]; /* those that begin with "b" are binary */
        const char *reason;
    } table[] = {
        {{"bnobody asked"}, "a binary message that no packet has announced"},
        {{"451-[\"publish\",\"a\",\"e\"," PLACE(0) "]", "42[\"presence\",\"a\"]"},
         "a text where an attachment was due"},
        {{"451-[\"publish\",\"a\",\"e\"," PLACE(0) "]", "451-[\"publish\",\"a\",\"e\"]"},
         "a text where an attachment was due"},
        {{"451-[\"publish\",\"a\",\"e\"," PLACE(0) "]", "40/b,"},
         "a text where an attachment was due"},
        {{"451-[\"publish\",\"a\",\"e\"," PLACE(1) "]", "b"}, "illegal attachments"},
        {{"452-[\"publish\",\"a\",\"e\"," PLACE(0) "," PLACE(0) "]", "b", "b"},
         "illegal attachments"},
        {{"451-[\"publish\",\"a\",\"e\",{\"_placeholder\":true}]", "b"}, "illegal attachments"},
        {{"451-[\"publish\",\"a\",\"e\",{\"_placeholder\":true,\"num\":-1}]", "b"},
         "illegal attachments"},
        {{"451-[\"publish\",\"a\",\"e\",{\"_placeholder\":true,\"num\":\"0\"}]", "b"},
         "illegal attachments"},
        {{"450-[\"publish\",\"a\",\"e\"]"}, NULL},
        {{"4511-[\"publish\",\"a\",\"e\"]"}, NULL},
        {{"4599999999999999999999-[\"publish\",\"a\",\"e\"]"}, NULL},
        {{"451-"}, NULL},
        {{"451-[]"}, NULL},
        {{"451-/b,[\"publish\",\"a\",\"e\"," PLACE(0) "]", "b"},
         "event for a namespace that is not connected"},
        {{"461-/b,1[" PLACE(0) "]", "b"}, "ack for a namespace that is not connected"},
    };
    link_up();
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_wire *c = connect_client(10 + i);
        for (size_t m = 0; m < 4 && table[i].messages[m] != NULL; m++) {
            const char *message = table[i].messages[m];
            if (message[0] == 'b') {
                binary(c, message + 1);
            } else {
                text(c, message);
            }
        }
        expect_close(c, 1002, table[i].reason);
        assert_int_equal(bench.g->assembling_bytes, 0);
        assert_int_equal(stats()->bad_packets, i + 1);
        asked(RP_OP_CLOSE);
        nothing_asked();
    }
}

static void test_attachments_through_polling(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    say_member(11, 10, true, "a");
    struct rp_exchange *x = post(sid, "452-[\"publish\",\"a\",\"e\"," PLACE(0) "," PLACE(
                                          1) "]" SEP "bb25l" SEP "b" SEP "42[\"presence\",\"a\"]");
    expect_answer(x, 200, "ok");
    assert_true(
        rp_bytes_eq(asked(RP_OP_PUBLISH).publish.attachments, RP_BYTES_LIT("\0\0\0\3one\0\0\0\0")));
    asked(RP_OP_PRESENCE);
    say((struct rp_op){.kind = RP_OP_DELIVER,
                       .deliver = {.seq = 40,
                                   .room = RP_BYTES_LIT("a"),
                                   .name = RP_BYTES_LIT("b"),
                                   .args = RP_BYTES_LIT("[" PLACE(0) "]"),
                                   .attachments = RP_BYTES_LIT("\0\0\0\3one")}});
    expect_answer(get(sid), 200, "451-[\"b\"," PLACE(0) ",\"40-epoc\"]" SEP "bb25l");
}

static void test_attachments_have_bounds(void **state) {
    (void) state;
    bench.config.max_payload = RP_PAYLOAD_BYTES_MAX;
    bench_reconfigure();
    link_up();
    struct rp_wire *c = connect_client(10);
    size_t len = RP_PACKET_BYTES_MAX / 2;
    uint8_t *data = rp_alloc(len);
    memset(data, 0, len);
    static const char packet[] = "453-[\"publish\",\"a\",\"e\"]";
    text(c, packet);
    rp_gateway_binary(bench.g, c, rp_bytes(data, len), bench.now_ms);
    assert_true(bench.g->assembling_bytes >= len);
    rp_gateway_binary(bench.g, c, rp_bytes(data, len), bench.now_ms);
    expect_close(c, 1009, "the attachments of a packet are too large");
    assert_int_equal(bench.g->assembling_bytes, 0);
    asked(RP_OP_CLOSE);
    c = connect_client(20); /* just as much as may be: text, and lengths of four bytes */
    text(c, packet);
    binary(c, "");
    rp_gateway_binary(bench.g, c, rp_bytes(data, len), bench.now_ms);
    size_t left = RP_PACKET_BYTES_MAX - (strlen(packet) - 1) - 12 - len;
    rp_gateway_binary(bench.g, c, rp_bytes(data, left), bench.now_ms);
    assert_true(asked(RP_OP_PUBLISH).publish.attachments.len > 2 * len - 100);
    free(data);
}

/* All clients together have one too, for the packets' texts as well as for the attachments. */
static void test_attachments_of_all_have_a_bound(void **state) {
    (void) state;
    link_up();
    struct rp_wire *a = connect_client(10), *b = connect_client(20), *c = connect_client(30);
    text(a, "452-[\"publish\",\"a\",\"e\"]");
    size_t elsewhere = RP_ASSEMBLING_BYTES_MAX - bench.g->assembling_bytes - 1000;
    bench.g->assembling_bytes += elsewhere; /* as if others had it */
    char large[1100] = "451-[\"publish\",\"a\",\"e\",\"";
    memset(large + strlen(large), 'x', sizeof large - strlen(large));
    memcpy(large + sizeof large - 3, "\"]", 3);
    text(b, large);
    expect_close(b, 1013, "too many attachments are on their way");
    binary(a, "fits");
    expect_nothing(a);
    rp_gateway_binary(bench.g, a, rp_bytes(large, sizeof large), bench.now_ms);
    expect_close(a, 1013, "too many attachments are on their way");
    text(c, "451-[\"publish\",\"a\",\"e\"]");
    expect_nothing(c);
    bench.g->assembling_bytes -= elsewhere;
    gone(c);
    assert_int_equal(bench.g->assembling_bytes, 0);
    assert_int_equal(stats()->overflowed, 2);
}

/* It pongs, and sits on the memory that others need for their packets. */
static void test_who_withholds_an_attachment_is_closed(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "452-[\"publish\",\"a\",\"e\"," PLACE(0) "," PLACE(1) "]");
    uint64_t begun_ms = bench.now_ms, last_ms = begun_ms;
    while (!rp_wire_is_closing(c)) {
        pass_linked_ms(5000);
        if (last_ms == begun_ms && bench.now_ms >= begun_ms + RP_CLIENT_STUCK_MS / 2) {
            last_ms = bench.now_ms;
            rp_gateway_binary(bench.g, c, RP_BYTES_LIT("one"), bench.now_ms); /* it goes on */
        }
        struct rp_ws_msg msg;
        while (!rp_wire_is_closing(c) && take_frame(c, &msg)) {
            text(c, "3");
        }
        assert_true(bench.now_ms <= last_ms + RP_CLIENT_STUCK_MS + bench.config.ping_interval_ms);
    }
    assert_true(bench.now_ms >= last_ms + RP_CLIENT_STUCK_MS);
    expect_close(c, 1008, "attachments of a packet did not come");
}

static void test_a_packet_in_hand_is_dropped_with_its_client(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "452-[\"publish\",\"a\",\"e\"]");
    binary(c, "x");
    gone(c);
    assert_int_equal(bench.g->assembling_bytes, 0);
    asked(RP_OP_CLOSE);
    connect_poll(20, sid);
    expect_answer(post(sid, "452-[\"publish\",\"a\",\"e\"]" SEP "b"), 200, "ok");
    assert_true(bench.g->assembling_bytes > 0);
    expect_answer(post(sid, "1"), 200, "ok");
    assert_int_equal(bench.g->assembling_bytes, 0);
    asked(RP_OP_CLOSE);
    c = connect_client(30); /* and one whose session goes while the transport stays */
    text(c, "451-[\"publish\",\"a\",\"e\"]");
    say((struct rp_op){.kind = RP_OP_EVICT, .evict = {.conn = 30, .reason = RP_BYTES_LIT("x")}});
    assert_int_equal(bench.g->assembling_bytes, 0);
    binary(c, "late");
    expect_close(c, 1001, "x");
    asked(RP_OP_CLOSE);
    nothing_asked();
}

static void say_binary_event(uint64_t seq, const char *args, struct rp_bytes attachments) {
    say((struct rp_op){.kind = RP_OP_DELIVER,
                       .deliver = {.seq = seq,
                                   .room = RP_BYTES_LIT("a"),
                                   .name = RP_BYTES_LIT("b"),
                                   .args = rp_bytes_str(args),
                                   .attachments = attachments}});
}

static void test_events_bring_their_attachments(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a"), *d = member_client(20, "a");
    say_binary_event(30, "[" PLACE(1) ",1," PLACE(0) "]", RP_BYTES_LIT("\0\0\0\3one\0\0\0\3two"));
    say_deliver(31, "a", "[]");
    for (int i = 0; i < 2; i++) {
        struct rp_wire *w = i ? c : d;
        expect(w, "452-[\"b\"," PLACE(1) ",1," PLACE(0) ",\"30-epoc\"]");
        expect_binary(w, "one");
        expect_binary(w, "two");
        expect(w, "42[\"e\",\"31-epoc\"]");
        expect_nothing(w);
    }
    say((struct rp_op){.kind = RP_OP_HOLD, .hold = {.conn = 10, .pos = 31}});
    say((struct rp_op){.kind = RP_OP_REPLAY,
                       .replay = {.conn = 10,
                                  .seq = 25,
                                  .pos = 31,
                                  .history = 99,
                                  .name = RP_BYTES_LIT("b"),
                                  .args = RP_BYTES_LIT("[" PLACE(0) "]"),
                                  .attachments = RP_BYTES_LIT("\0\0\0\3one")}});
    expect(c, "451-[\"b\"," PLACE(0) ",\"31.25-epoc\"]");
    expect_binary(c, "one");
    expect_nothing(c);
}

/* What a broker must not send is counted and left out. */
static void test_malformed_attachments_of_an_event(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
    } table[] = {{"\0", 1}, {"\0\0\0\4one", 7}, {"\0\0\0\1a\0", 6}, {"\xff\xff\xff\xff", 4}};
    for (int msgpack = 0; msgpack < 2; msgpack++) {
        if (msgpack) {
            bench_teardown(state);
            bench_setup(state);
            bench.config.mode = RP_GATEWAY_SOCKETIO;
        }
        link_up();
        struct rp_wire *c = member_client(10, "a");
        bench.g->config.parser = msgpack ? RP_PARSER_MSGPACK : RP_PARSER_DEFAULT;
        say((struct rp_op){.kind = RP_OP_HOLD, .hold = {.conn = 10, .pos = 12}});
        for (size_t i = 0; i < COUNT(table); i++) {
            struct rp_bytes attachments = rp_bytes(table[i].bytes, table[i].len);
            say_binary_event(20 + i, "[" PLACE(0) "]", attachments);
            say((struct rp_op){.kind = RP_OP_REPLAY,
                               .replay = {.conn = 10,
                                          .seq = 20 + i,
                                          .pos = 20 + i,
                                          .name = RP_BYTES_LIT("b"),
                                          .args = RP_BYTES_LIT("[" PLACE(0) "]"),
                                          .attachments = attachments}});
        }
        expect_nothing(c);
        assert_int_equal(stats()->malformed_messages, 2 * COUNT(table));
    }
}

/* ---- namespaces ---- */

static struct rp_patterns *allow(const char *list) {
    struct rp_patterns *patterns;
    assert_int_equal(rp_patterns_parse(list, RP_PATTERNS_EXACT, &patterns), RP_OK);
    bench.config.namespaces = patterns;
    bench_reconfigure();
    link_up();
    return patterns;
}

/* CONNECTs to a namespace; the answer is in bench.text. */
static void join_nsp(struct rp_wire *c, const char *nsp, uint64_t conn) {
    char packet[300];
    struct rp_ws_msg msg;
    snprintf(packet, sizeof packet, "40%s,", nsp);
    text(c, strcmp(nsp, "/") == 0 ? "40" : packet);
    struct rp_op_connect connect = asked(RP_OP_CONNECT).connect;
    assert_text(connect.nsp, nsp);
    say((struct rp_op){.kind = RP_OP_CONNECTED,
                       .connected = {.num = connect.num,
                                     .session = conn,
                                     .conn = conn,
                                     .sid = RP_BYTES_LIT("sid"),
                                     .pos = conn}});
    assert_true(take_frame(c, &msg));
}

static void test_a_client_in_several_namespaces(void **state) {
    (void) state;
    struct rp_patterns *patterns = allow("/,/a*,/b");
    struct rp_wire *c = open_client();
    join_nsp(c, "/ab", 10);
    assert_memory_equal(bench.text, "40/ab,{\"sid\":\"sid\",\"pid\":\"", 26);
    join_nsp(c, "/", 20);
    join_nsp(c, "/b", 30);
    assert_int_equal(stats()->sessions, 3);
    text(c, "40/c,");
    asked(RP_OP_CONNECT);
    say_invalid_namespace();
    expect(c, "44/c,{\"message\":\"Invalid namespace\"}");
    text(c, "40/bb,{\"pid\":\"x\"}");
    asked(RP_OP_CONNECT);
    say_invalid_namespace();
    expect(c, "44/bb,{\"message\":\"Invalid namespace\"}");
    assert_int_equal(stats()->refused_connects, 2);
    text(c, "42/ab,1[\"join\",\"r\"]");
    text(c, "421[\"join\",\"r\"]");
    struct rp_op_join first = asked(RP_OP_JOIN).join, second = asked(RP_OP_JOIN).join;
    assert_int_equal(first.conn, 10);
    assert_int_equal(second.conn, 20);
    say_member(40, 10, true, "r");
    say_done(first.num, 40);
    expect(c,
           "43/ab,1[{\"ok\":true,\"room\":\"r\",\"seq\":40,\"replayed\":0,\"truncated\":false}]");
    say_member(41, 20, true, "r");
    say_done(second.num, 41);
    expect(c, "431[{\"ok\":true,\"room\":\"r\",\"seq\":41,\"replayed\":0,\"truncated\":false}]");
    assert_int_equal(stats()->rooms, 2);
    struct rp_op deliver = {.kind = RP_OP_DELIVER,
                            .deliver = {.seq = 50,
                                        .nsp = RP_BYTES_LIT("/ab"),
                                        .room = RP_BYTES_LIT("r"),
                                        .name = RP_BYTES_LIT("e"),
                                        .args = RP_BYTES_LIT("[1]")}};
    say(deliver);
    expect(c, "42/ab,[\"e\",1,\"50-epoc\"]");
    expect_nothing(c);
    deliver.deliver.nsp = RP_BYTES_LIT("/b"); /* where it is in no room */
    say(deliver);
    deliver.deliver.nsp = RP_BYTES_LIT("/z"); /* where nobody is */
    say(deliver);
    expect_nothing(c);
    deliver.deliver.nsp = RP_BYTES_LIT("/");
    say(deliver);
    expect(c, "42[\"e\",1,\"50-epoc\"]");
    expect_nothing(c);
    gone(c);
    assert_int_equal(asked(RP_OP_CLOSE).close.session, 10);
    assert_int_equal(asked(RP_OP_CLOSE).close.session, 20);
    assert_int_equal(asked(RP_OP_CLOSE).close.session, 30);
    assert_int_equal(stats()->rooms, 0);
    rp_patterns_free(patterns);
}

static void test_connect_twice_ends_the_session(void **state) {
    (void) state;
    struct rp_patterns *patterns = allow("/,/a");
    struct rp_wire *c = open_client();
    join_nsp(c, "/", 10);
    text(c, "40/a,");
    text(c, "40/a,"); /* also when the first is not yet answered */
    expect_close(c, 1002, "CONNECT twice");
    uint64_t num = asked(RP_OP_CONNECT).connect.num;
    assert_int_equal(asked(RP_OP_CLOSE).close.session, 10);
    say((struct rp_op){
        .kind = RP_OP_CONNECTED,
        .connected = {.num = num, .session = 20, .conn = 20, .sid = RP_BYTES_LIT("s"), .pos = 20}});
    struct rp_op_close close = asked(RP_OP_CLOSE).close; /* nobody is there for it */
    assert_int_equal(close.session, 20);
    assert_int_equal(close.ended, 1);
    c = connect_client(30);
    text(c, "40");
    expect_close(c, 1002, "CONNECT twice");
    rp_patterns_free(patterns);
}

static void test_disconnecting_one_keeps_the_others(void **state) {
    (void) state;
    struct rp_patterns *patterns = allow("/,/a");
    struct rp_wire *c = open_client();
    join_nsp(c, "/", 10);
    join_nsp(c, "/a", 20);
    say_member(21, 10, true, "r");
    say_member(22, 20, true, "r");
    text(c, "41/a,");
    struct rp_op_close close = asked(RP_OP_CLOSE).close;
    assert_int_equal(close.session, 20);
    assert_int_equal(close.ended, 1);
    assert_int_equal(stats()->rooms, 1);
    text(c, "41/a,"); /* it is not there any more: nothing to leave */
    text(c, "41/never,");
    nothing_asked();
    say_deliver(30, "r", "[]");
    expect(c, "42[\"e\",\"30-epoc\"]");
    expect_nothing(c);
    join_nsp(c, "/a", 40); /* it may come back, as another session */
    text(c, "41");
    assert_int_equal(asked(RP_OP_CLOSE).close.session, 10);
    text(c, "41/a,");
    assert_int_equal(asked(RP_OP_CLOSE).close.session, 40);
    text(c, "40/a,"); /* and leave before the answer */
    text(c, "41/a,");
    text(c, "40/a,");
    uint64_t num = asked(RP_OP_CONNECT).connect.num;
    struct rp_op_connected connected = {
        .num = num, .session = 50, .conn = 50, .sid = RP_BYTES_LIT("s"), .pos = 50};
    say((struct rp_op){.kind = RP_OP_CONNECTED, .connected = connected});
    connected = (struct rp_op_connected){.num = asked(RP_OP_CONNECT).connect.num,
                                         .session = 60,
                                         .conn = 60,
                                         .sid = RP_BYTES_LIT("t"),
                                         .pos = 60};
    say((struct rp_op){.kind = RP_OP_CONNECTED, .connected = connected});
    assert_int_equal(asked(RP_OP_CLOSE).close.session, 50);
    struct rp_ws_msg msg;
    assert_true(take_frame(c, &msg));
    assert_memory_equal(bench.text, "40/a,{\"sid\":\"t\"", 15);
    expect_nothing(c);
    text(c, "41/a,");
    for (int i = 0; i < 2; i++) { /* with none for too long it ends */
        pass_linked_ms(25000 - (i > 0 ? 5000u : 0));
        if (i == 0) {
            expect(c, "2");
            text(c, "3");
        }
    }
    expect_close(c, 1013, "connect timeout");
    rp_patterns_free(patterns);
}

static void test_too_many_namespaces(void **state) {
    (void) state;
    struct rp_patterns *patterns = allow("/*");
    struct rp_wire *c = open_client();
    char name[16];
    for (uint64_t i = 0; i < RP_CLIENT_SOCKETS_MAX; i++) {
        snprintf(name, sizeof name, "/n%d", (int) i);
        join_nsp(c, name, 10 + i);
    }
    text(c, "40/more,");
    expect(c, "44/more,{\"message\":\"too many namespaces\"}");
    text(c, "41/n5,");
    asked(RP_OP_CLOSE);
    join_nsp(c, "/more", 100);
    expect_nothing(c);
    assert_int_equal(bench.g->nsps.map.count, RP_CLIENT_SOCKETS_MAX);
    gone(c);
    turn();
    assert_int_equal(bench.g->nsps.map.count, 0);
    rp_patterns_free(patterns);
}

/* Requests of namespaces that were left still count for the client that asked. */
static void test_connecting_and_leaving_in_a_loop_is_bounded(void **state) {
    (void) state;
    struct rp_patterns *patterns = allow("/*");
    struct rp_wire *c = open_client();
    size_t rounds = 0;
    for (; rp_wire_wants_read(c) && rounds < 2 * RP_CLIENT_REQUESTS_MAX; rounds++) {
        text(c, "40/x,");
        text(c, "41/x,");
    }
    assert_int_equal(rounds, RP_CLIENT_REQUESTS_MAX);
    assert_int_equal(stats()->requests_open, RP_CLIENT_REQUESTS_MAX);
    for (uint64_t i = 0; i < rounds; i++) {
        struct rp_op_connect op = asked(RP_OP_CONNECT).connect;
        say((struct rp_op){.kind = RP_OP_CONNECTED,
                           .connected = {.num = op.num,
                                         .session = 100 + i,
                                         .conn = 100 + i,
                                         .sid = op.sid,
                                         .pos = 100 + i}});
    }
    assert_false(rp_wire_wants_read(c)); /* the ends of these sessions are its requests, too */
    for (uint64_t i = 0; i < rounds; i++) {
        say_done(asked(RP_OP_CLOSE).close.num, 10000 + i);
    }
    assert_true(rp_wire_wants_read(c));
    assert_int_equal(stats()->requests_open, 0);
    gone(c);
    rp_patterns_free(patterns);
}

static void test_one_evicted_session_takes_the_transport_along(void **state) {
    (void) state;
    struct rp_patterns *patterns = allow("/,/a,/b");
    struct rp_wire *c = open_client();
    join_nsp(c, "/", 10);
    join_nsp(c, "/a", 20);
    text(c, "40/b,");
    asked(RP_OP_CONNECT);
    say((struct rp_op){.kind = RP_OP_EVICT, .evict = {.conn = 20, .reason = RP_BYTES_LIT("why")}});
    expect_close(c, 1001, "why");
    assert_int_equal(asked(RP_OP_CLOSE).close.session, 10);
    assert_int_equal(asked(RP_OP_CLOSE).close.session, 20);
    nothing_asked();
    rp_patterns_free(patterns);
}

static void test_a_resume_lists_all_sockets(void **state) {
    (void) state;
    struct rp_patterns *patterns = allow("/,/a,/b");
    struct rp_wire *c = open_client();
    join_nsp(c, "/", 10);
    join_nsp(c, "/a", 20);
    text(c, "40/b,");
    uint64_t num = asked(RP_OP_CONNECT).connect.num;
    say((struct rp_op){.kind = RP_OP_HOLD, .hold = {.conn = 20, .pos = 21}});
    lose_link();
    pass_ms(100);
    open_link();
    welcome(30);
    uint64_t seen = 0;
    for (int i = 0; i < 2; i++) {
        struct rp_op_session session = asked(RP_OP_SESSION).session;
        assert_int_equal(session.catching, session.conn == 20);
        seen += session.conn;
    }
    assert_int_equal(seen, 30);
    assert_int_equal(asked(RP_OP_CONNECT).connect.num, num);
    assert_int_equal(asked(RP_OP_RESUMED).resumed.sessions, 2);
    expect_nothing(c);
    say((struct rp_op){.kind = RP_OP_VERDICT,
                       .verdict = {.conn = 10, .verdict = RP_OP_SUPERSEDED}});
    expect_close(c, 1001, "the session has moved on");
    rp_patterns_free(patterns);
}

/* One queue, and each socket falls behind and comes back for itself. */
static void test_sockets_lag_one_by_one(void **state) {
    (void) state;
    struct rp_patterns *patterns = allow("/,/a");
    struct rp_wire *c = open_client();
    join_nsp(c, "/", 10);
    join_nsp(c, "/a", 20);
    say_member(21, 10, true, "r");
    say_member(22, 20, true, "r");
    uint64_t seq = 30;
    while (stats()->lagged == 0) { /* only "/" gets anything */
        say_deliver(seq++, "r", "[]");
    }
    struct rp_op_catchup catchup = asked(RP_OP_CATCHUP).catchup;
    assert_int_equal(catchup.conn, 10);
    assert_int_equal(catchup.pos, seq - 1);
    struct rp_op other = {.kind = RP_OP_DELIVER,
                          .deliver = {.seq = seq,
                                      .nsp = RP_BYTES_LIT("/a"),
                                      .room = RP_BYTES_LIT("r"),
                                      .name = RP_BYTES_LIT("e"),
                                      .args = RP_BYTES_LIT("[]")}};
    nothing_asked();
    say(other); /* one more event, and then it is too much for the other, too */
    assert_int_equal(asked(RP_OP_CATCHUP).catchup.conn, 20);
    for (uint64_t conn = 10; conn <= 20; conn += 10) {
        say((struct rp_op){.kind = RP_OP_PAGE, .page = {.conn = conn, .pos = seq, .page = conn}});
    }
    nothing_asked(); /* the queue is full */
    struct rp_ws_msg msg;
    while (take_frame(c, &msg)) {
    }
    assert_int_equal(asked(RP_OP_PAGE_DONE).page_done.page, 10);
    assert_int_equal(asked(RP_OP_PAGE_DONE).page_done.page, 20);
    nothing_asked();
    say((struct rp_op){.kind = RP_OP_LIVE, .live = {.conn = 20, .pos = seq}});
    other.deliver.seq = seq + 1;
    say(other);
    say_deliver(seq + 2, "r", "[]"); /* still catching up */
    char expected[64];
    snprintf(expected, sizeof expected, "42/a,[\"e\",\"%d-epoc\"]", (int) seq + 1);
    expect(c, expected);
    expect_nothing(c);
    say((struct rp_op){.kind = RP_OP_LIVE, .live = {.conn = 10, .pos = seq + 2}});
    say_deliver(seq + 3, "r", "[]");
    snprintf(expected, sizeof expected, "42[\"e\",\"%d-epoc\"]", (int) seq + 3);
    expect(c, expected);
    rp_patterns_free(patterns);
}

/* ---- without recovery ---- */

static void test_without_recovery(void **state) {
    (void) state;
    bench.config.no_recovery = true;
    bench_reconfigure();
    link_up();
    struct rp_wire *c = open_client();
    text(c, "40{\"pid\":\"AAAAAAAAAAAAAAAAAAAA\",\"offset\":\"3-epoc\"}");
    struct rp_op_connect connect = asked(RP_OP_CONNECT).connect;
    assert_int_equal(connect.resume_hash.len, 0);
    say((struct rp_op){
        .kind = RP_OP_CONNECTED,
        .connected = {
            .num = connect.num, .session = 10, .conn = 10, .sid = RP_BYTES_LIT("sid"), .pos = 10}});
    expect(c, "40{\"sid\":\"sid\"}");
    say_member(11, 10, true, "a");
    say_deliver(12, "a", "[\"text\"]");
    expect(c, "42[\"e\",\"text\"]");
    say_deliver(13, "a", "[]");
    expect(c, "42[\"e\"]");
    gone(c);
    struct rp_op_close close = asked(RP_OP_CLOSE).close;
    assert_int_equal(close.session, 10);
    assert_int_equal(close.ended, 1);
}

/* ---- msgpack ---- */

/* A packet of a client: a map of type, nsp, and what `rest` adds. */
static struct rp_buf msgpack_packet(char members, enum rp_sio_type type, const char *nsp,
                                    struct rp_bytes rest) {
    struct rp_buf out;
    rp_buf_init(&out, 4096);
    char head[32];
    int len = snprintf(head, sizeof head, "%c%ctype%c%cnsp%c%s", 0x80 + members, 0xa4,
                       (int) type + 0x40, 0xa3, 0xa0 + (int) strlen(nsp), nsp);
    head[6] = (char) type;
    assert_int_equal(rp_buf_put(&out, rp_bytes(head, (size_t) len)), RP_OK);
    assert_int_equal(rp_buf_put(&out, rest), RP_OK);
    return out;
}

static void say_msgpack(struct rp_wire *c, char members, enum rp_sio_type type, const char *nsp,
                        struct rp_bytes rest) {
    struct rp_buf out = msgpack_packet(members, type, nsp, rest);
    rp_gateway_binary(bench.g, c, rp_buf_bytes(&out), bench.now_ms);
    rp_buf_done(&out);
}

/* The next message is such a packet; its payload is left in bench.text, its attachments in
 * *ret_attachments if there is one. */
static struct rp_sio_packet expect_msgpack(struct rp_wire *c, enum rp_sio_type type,
                                           const char *nsp, struct rp_buf *ret_attachments) {
    struct rp_ws_msg msg;
    struct rp_buf json, attachments;
    struct rp_sio_packet packet;
    rp_buf_init(&json, sizeof bench.text);
    rp_buf_init(&attachments, 4096);
    assert_true(take_frame(c, &msg));
    assert_int_equal(msg.kind, RP_WS_BINARY);
    assert_int_equal(
        rp_sio_msgpack_parse(rp_bytes(bench.text, bench.text_len), &json, &attachments, &packet),
        RP_OK);
    assert_int_equal(packet.type, type);
    assert_text(packet.nsp, nsp);
    memcpy(bench.text, packet.payload.data, packet.payload.len);
    bench.text[packet.payload.len] = '\0';
    rp_buf_done(&json);
    if (ret_attachments != NULL) {
        *ret_attachments = attachments;
    } else {
        assert_int_equal(attachments.len, 0);
        rp_buf_done(&attachments);
    }
    return packet;
}

static void use_msgpack(void) {
    bench.config.parser = RP_PARSER_MSGPACK;
    bench_reconfigure();
    link_up();
}

static struct rp_wire *msgpack_client(uint64_t conn) {
    struct rp_wire *c = open_client();
    say_msgpack(c, 2, RP_SIO_CONNECT, "/", rp_bytes(NULL, 0));
    uint64_t num = asked(RP_OP_CONNECT).connect.num;
    say((struct rp_op){
        .kind = RP_OP_CONNECTED,
        .connected = {
            .num = num, .session = conn, .conn = conn, .sid = RP_BYTES_LIT("sid"), .pos = conn}});
    expect_msgpack(c, RP_SIO_CONNECT, "/", NULL);
    assert_memory_equal(bench.text, "{\"sid\":\"sid\",\"pid\":\"", 20);
    return c;
}

static void test_a_conversation_in_msgpack(void **state) {
    (void) state;
    use_msgpack();
    struct rp_wire *c = msgpack_client(10);
    say_msgpack(c, 2, RP_SIO_CONNECT, "/no", rp_bytes(NULL, 0));
    asked(RP_OP_CONNECT);
    say_invalid_namespace();
    expect_msgpack(c, RP_SIO_CONNECT_ERROR, "/no", NULL);
    assert_string_equal(bench.text, "{\"message\":\"Invalid namespace\"}");
    say_msgpack(c, 4, RP_SIO_EVENT, "/",
                RP_BYTES_LIT("\xa2id\x07\xa4"
                             "data\x92\xa4join\xa1"
                             "a"));
    uint64_t num = asked(RP_OP_JOIN).join.num;
    say_member(11, 10, true, "a");
    say_done(num, 11);
    struct rp_sio_packet packet = expect_msgpack(c, RP_SIO_ACK, "/", NULL);
    assert_int_equal(packet.id, 7);
    assert_string_equal(bench.text, "[{\"ok\":true,\"room\":\"a\",\"seq\":11,\"replayed\":0,"
                                    "\"truncated\":false}]");
    /* an event with binary in it, there and back */
    say_msgpack(c, 3, RP_SIO_EVENT, "/",
                RP_BYTES_LIT("\xa4"
                             "data\x94\xa7publish\xa1"
                             "a\xa1"
                             "b\x81\xa1x\xc4\x03one"));
    struct rp_op_publish publish = asked(RP_OP_PUBLISH).publish;
    assert_text(publish.args, "[{\"x\":" PLACE(0) "}]");
    assert_true(rp_bytes_eq(publish.attachments, RP_BYTES_LIT("\0\0\0\3one")));
    say_binary_event(12, "[{\"x\":" PLACE(0) "}]", RP_BYTES_LIT("\0\0\0\3one"));
    struct rp_buf attachments;
    packet = expect_msgpack(c, RP_SIO_BINARY_EVENT, "/", &attachments);
    assert_string_equal(bench.text, "[\"b\",{\"x\":" PLACE(0) "},\"12-epoc\"]");
    assert_true(rp_bytes_eq(rp_buf_bytes(&attachments), RP_BYTES_LIT("\0\0\0\3one")));
    rp_buf_done(&attachments);
    expect_nothing(c); /* all in one message */
    say_deliver(13, "a", "[1,\"2\"]");
    expect_msgpack(c, RP_SIO_EVENT, "/", NULL);
    assert_string_equal(bench.text, "[\"e\",1,\"2\",\"13-epoc\"]");
    say_msgpack(c, 2, RP_SIO_DISCONNECT, "/", rp_bytes(NULL, 0));
    assert_int_equal(asked(RP_OP_CLOSE).close.ended, 1);
    expect_nothing(c);
}

static void test_msgpack_through_polling(void **state) {
    (void) state;
    char sid[SID_SPACE];
    use_msgpack();
    open_poll(sid);
    expect_answer(post(sid, "bgqR0eXBlAKNuc3ChLw=="), 200, "ok"); /* {type: 0, nsp: "/"} */
    asked(RP_OP_CONNECT);
    expect_answer(post(sid, "bgqR0eXBlAKNuc3CjL25v"), 200, "ok"); /* "/no" */
    say_invalid_namespace();
    struct rp_exchange *x = get(sid);
    expect_status(x, 200);
    assert_int_equal(bench.text[0], 'b');
}

static void test_text_and_nonsense_where_msgpack_is_spoken(void **state) {
    (void) state;
    use_msgpack();
    struct rp_wire *c = msgpack_client(10);
    text(c, "42[\"presence\",\"a\"]");
    expect_close(c, 1002, "not msgpack, which this gateway speaks (--parser)");
    asked(RP_OP_CLOSE);
    static const struct {
        const char *bytes;
        size_t len;
    } table[] = {
        {"", 0},
        {"\xc0", 1},
        {"\x80", 1},
        {"\x81\xa4type\x02", 7},
        {"\x82\xa4type\x02\xa3nsp\xa1/", 12}, /* an event without data */
        {"\x82\xa4type\x04\xa3nsp\xa1/", 12},
        {"\x82\xa4type\x09\xa3nsp\xa1/", 12},
        {"\x82\xa4type\x00\xa3nsp\xa1/", 12}, /* CONNECT twice */
        {"\x82\xa4type\x00\xa3nsp\xa1/\x00", 13},
        {"\xdf\xff\xff\xff\xff", 5},
        {"42[\"presence\",\"a\"]", 18},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        c = msgpack_client(20 + i);
        rp_gateway_binary(bench.g, c, rp_bytes(table[i].bytes, table[i].len), bench.now_ms);
        expect_close(c, 1002, NULL);
        assert_int_equal(stats()->bad_packets, i + 2);
        asked(RP_OP_CLOSE);
    }
}

/* What the broker says must be JSON to become msgpack. */
static void test_what_cannot_be_msgpack(void **state) {
    (void) state;
    use_msgpack();
    struct rp_wire *c = msgpack_client(10);
    say_member(11, 10, true, "a");
    say_deliver(12, "a", "[}");
    say_deliver(13, "a", "x");
    say_deliver(14, "a", "[1,]");
    say_msgpack(c, 4, RP_SIO_EVENT, "/",
                RP_BYTES_LIT("\xa2id\x07\xa4"
                             "data\x92\xa8presence\xa1"
                             "a"));
    uint64_t num = asked(RP_OP_PRESENCE).presence.num;
    say((struct rp_op){.kind = RP_OP_RESULT, .result = {.num = num, .json = RP_BYTES_LIT("{")}});
    assert_true(stats()->malformed_messages >= 2);
    say_deliver(15, "a", "[true]");
    struct rp_ws_msg msg;
    size_t events = 0;
    while (take_frame(c, &msg)) {
        events++;
    }
    assert_true(events >= 1 && events <= 3);
    assert_non_null(memchr(bench.text, 0xc3, bench.text_len)); /* true */
    assert_int_equal(stats()->requests_open, 0);
}

/* ---- echoes ---- */

static void test_echoes(void **state) {
    (void) state;
    bench.config.mode = RP_GATEWAY_ECHO_EIO;
    bench_reconfigure();
    struct rp_wire *c = open_client();
    text(c, "4hello");
    expect(c, "4hello");
    text(c, "4");
    expect(c, "4");
    binary(c, "bytes");
    expect_binary(c, "bytes");
    text(c, "3");
    expect_nothing(c);
    pass_ms(25000);
    expect(c, "2");
    text(c, "x");
    expect_close(c, 1002, NULL);
    bench.config.mode = RP_GATEWAY_ECHO_WS;
    bench_reconfigure();
    c = rp_gateway_open(bench.g, &bench, rp_bytes(NULL, 0), bench.now_ms);
    expect_nothing(c);
    text(c, "");
    expect(c, "");
    text(c, "1");
    expect(c, "1");
    binary(c, "x");
    expect_binary(c, "x");
    pass_ms(1000000);
    expect_nothing(c); /* nobody is asked, nobody is late */
}

/* ---- compression ---- */

static bool is_deflated(const struct rp_wire *c, size_t i) {
    struct rp_bytes parts[8];
    assert_true(rp_wire_output(c, parts, COUNT(parts)) > i);
    return (parts[i].data[0] & 0x40) != 0;
}

static void test_large_events_are_compressed_once(void **state) {
    (void) state;
    struct rp_deflate *deflate = rp_deflate_new(6);
    bench.config.deflate = deflate;
    bench.config.deflate_bytes_min = 100;
    bench_reconfigure();
    link_up();
    struct rp_wire *a = member_client(10, "a"), *b = member_client(20, "a"),
                   *plain = member_client(30, "a");
    rp_wire_use_deflate(a);
    rp_wire_use_deflate(b);
    char args[1000];
    memset(args, ' ', sizeof args);
    memcpy(args + sizeof args - 3, "1]", 3);
    args[0] = '[';
    say_deliver(40, "a", "[]");
    say_deliver(41, "a", args);
    struct rp_bytes of_a[2], of_b[2], of_plain[2];
    assert_int_equal(rp_wire_output(a, of_a, 2), 2);
    assert_int_equal(rp_wire_output(b, of_b, 2), 2);
    assert_int_equal(rp_wire_output(plain, of_plain, 2), 2);
    assert_ptr_equal(of_a[0].data, of_plain[0].data); /* small: the same for all */
    assert_ptr_equal(of_a[1].data, of_b[1].data);     /* large: the same for both */
    assert_true(of_a[1].len < 200 && of_plain[1].len > 1000);
    assert_true(is_deflated(a, 1) && !is_deflated(a, 0) && !is_deflated(plain, 1));
    struct rp_bytes text = rp_bytes_skip(of_plain[1], 4);
    struct rp_buf inflated;
    rp_buf_init(&inflated, 4096);
    assert_int_equal(rp_inflate_message(deflate, rp_bytes_skip(of_a[1], 2), &inflated), RP_OK);
    assert_true(rp_bytes_eq(rp_buf_bytes(&inflated), text));
    rp_buf_done(&inflated);
    struct rp_wire *const all[] = {a, b, plain};
    for (size_t i = 0; i < COUNT(all); i++) {
        rp_gateway_sent(bench.g, all[i], output_bytes(all[i]), bench.now_ms);
        gone(all[i]);
    }
    assert_int_equal(stats()->queued_bytes, 0);
    bench_reconfigure();
    rp_deflate_free(deflate);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_attachments_come_behind_their_packet),
        BENCH_TEST(test_wrong_attachments_end_the_session),
        BENCH_TEST(test_attachments_through_polling),
        BENCH_TEST(test_attachments_have_bounds),
        BENCH_TEST(test_attachments_of_all_have_a_bound),
        BENCH_TEST(test_who_withholds_an_attachment_is_closed),
        BENCH_TEST(test_a_packet_in_hand_is_dropped_with_its_client),
        BENCH_TEST(test_events_bring_their_attachments),
        BENCH_TEST(test_malformed_attachments_of_an_event),
        BENCH_TEST(test_a_client_in_several_namespaces),
        BENCH_TEST(test_connect_twice_ends_the_session),
        BENCH_TEST(test_disconnecting_one_keeps_the_others),
        BENCH_TEST(test_too_many_namespaces),
        BENCH_TEST(test_connecting_and_leaving_in_a_loop_is_bounded),
        BENCH_TEST(test_one_evicted_session_takes_the_transport_along),
        BENCH_TEST(test_a_resume_lists_all_sockets),
        BENCH_TEST(test_sockets_lag_one_by_one),
        BENCH_TEST(test_without_recovery),
        BENCH_TEST(test_a_conversation_in_msgpack),
        BENCH_TEST(test_msgpack_through_polling),
        BENCH_TEST(test_text_and_nonsense_where_msgpack_is_spoken),
        BENCH_TEST(test_what_cannot_be_msgpack),
        BENCH_TEST(test_echoes),
        BENCH_TEST(test_large_events_are_compressed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/test_gateway_app.c — what app workers need of clients: gateway/app, gateway/delivery,
 * and what they change in gateway/socket, gateway/broker and gateway/roomevent. */
#include "tests/unit/gateway_fixture.h"

#define FULL_HANDSHAKE "{\"url\":\"/x\",\"auth\":{}}"

static const struct rp_gateway_stats *stats(void) {
    return rp_gateway_stats(bench.g);
}

static void say_apps(uint64_t count) {
    say((struct rp_op){.kind = RP_OP_APPS, .apps = {.count = count}});
}

/* The answer to the CONNECT that is asked now. */
static struct rp_op_connect say_connected(uint64_t conn, uint64_t app, bool recovered) {
    struct rp_op_connect connect = asked(RP_OP_CONNECT).connect;
    say((struct rp_op){.kind = RP_OP_CONNECTED,
                       .connected = {.num = connect.num,
                                     .session = recovered ? 3 : conn,
                                     .conn = conn,
                                     .sid = RP_BYTES_LIT("sid"),
                                     .recovered = recovered,
                                     .pos = recovered ? 7 : conn,
                                     .app = app}});
    return connect;
}

/* A client gets into an app namespace. */
static void connect_app(struct rp_wire *c, const char *packet, uint64_t conn, uint64_t flags) {
    struct rp_ws_msg msg;
    text(c, packet);
    say_connected(conn, RP_OP_APP | flags, false);
    assert_true(take_frame(c, &msg));
    assert_memory_equal(bench.text, "40", 2);
}

static struct rp_wire *app_client(uint64_t conn, uint64_t flags) {
    struct rp_wire *c = open_client();
    connect_app(c, "40/app,", conn, flags);
    return c;
}

static void say_answer(uint64_t num, struct rp_bytes args, struct rp_bytes attachments) {
    say((struct rp_op){.kind = RP_OP_ANSWER,
                       .answer = {.num = num, .args = args, .attachments = attachments}});
}

/* ---- namespaces ---- */

static void test_a_worker_refuses_a_connect(void **state) {
    (void) state;
    static const struct {
        const char *message, *data, *packet;
    } table[] = {
        {"no", "", "44/app,{\"message\":\"no\"}"},
        {"say \"x\"", "{\"a\":[1]}", "44/app,{\"message\":\"say \\\"x\\\"\",\"data\":{\"a\":[1]}}"},
        {"no", "7", "44/app,{\"message\":\"no\",\"data\":7}"},
        {"no", "{", "44/app,{\"message\":\"no\"}"}, /* what is no JSON is not passed on */
        {"no", "1 2", "44/app,{\"message\":\"no\"}"},
        {"no", "\"\xff\"", "44/app,{\"message\":\"no\"}"},
        {"\xff", "1", "44/app,{\"message\":\"refused\",\"data\":1}"},
    };
    link_up();
    struct rp_wire *c = open_client();
    for (size_t i = 0; i < COUNT(table); i++) {
        text(c, "40/app,{\"token\":\"x\"}");
        say_failed(asked(RP_OP_CONNECT).connect.num, "refused", table[i].message, table[i].data);
        expect(c, table[i].packet);
        expect_nothing(c);
    }
    assert_int_equal(stats()->refused_connects, COUNT(table));
    assert_int_equal(stats()->malformed_messages, 4);
    connect_app(c, "40/app,", 10, 0); /* it stays, and may try again */
    expect_nothing(c);
    gone(c);
}

/* Whoever was let in nowhere is closed in time, also after having been somewhere. */
static void test_a_refused_client_must_connect_in_time(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "40/app,");
    asked(RP_OP_CONNECT);
    text(c, "41");
    asked(RP_OP_CLOSE);
    pass_linked_ms(20000);
    say_failed(stats()->requests - 1, "refused", "no", "");
    expect(c, "44/app,{\"message\":\"no\"}");
    pass_linked_ms(5000);
    expect(c, "2");
    text(c, "3");
    pass_linked_ms(25000);
    expect(c, "2");
    text(c, "3");
    expect_nothing(c);
    pass_linked_ms(15000);
    expect_close(c, 1013, "connect timeout");
}

static void test_a_flood_of_unlisted_namespaces(void **state) {
    (void) state;
    char packet[64];
    link_up();
    struct rp_wire *c = open_client();
    for (int i = 0; i < RP_CLIENT_UNLISTED_MAX; i++) {
        snprintf(packet, sizeof packet, "40/n%d,", i);
        text(c, packet);
        asked(RP_OP_CONNECT);
        say_invalid_namespace();
        snprintf(packet, sizeof packet, "44/n%d,{\"message\":\"Invalid namespace\"}", i);
        expect(c, packet);
    }
    text(c, "40/n,"); /* from now on nobody is asked */
    expect(c, "44/n,{\"message\":\"Invalid namespace\"}");
    nothing_asked();
    text(c, "40"); /* but for those of our list */
    say_connected(10, 0, false);
    struct rp_ws_msg msg;
    assert_true(take_frame(c, &msg));
    for (int i = 1; i < RP_CLIENT_SOCKETS_MAX; i++) { /* and another client is another client */
        c = i == 1 ? open_client() : c;
        snprintf(packet, sizeof packet, "40/n%d,", i);
        text(c, packet);
        asked(RP_OP_CONNECT);
    }
    text(c, "40/a,");
    asked(RP_OP_CONNECT);
    text(c, "40/b,"); /* all of its sockets wait */
    expect(c, "44/b,{\"message\":\"too many namespaces\"}");
    nothing_asked();
}

/* ---- handshakes ---- */

static void test_a_connect_carries_the_handshake(void **state) {
    (void) state;
    static const struct {
        const char *packet, *handshake;
    } table[] = {
        {"40/app,", FULL_HANDSHAKE},
        {"40/app,{}", FULL_HANDSHAKE},
        {"40/app,{\"token\":\"x\",\"pid\":\"p\",\"offset\":\"o\"}",
         "{\"url\":\"/x\",\"auth\":{\"token\":\"x\"}}"},
        {"40/app,{\"a\":[[[[[[[[[[[[{\"pid\":1}]]]]]]]]]]]]}",
         "{\"url\":\"/x\",\"auth\":{\"a\":[[[[[[[[[[[[{\"pid\":1}]]]]]]]]]]]]}}"},
    };
    link_up();
    assert_int_equal(rp_gateway_handshake_bytes(bench.g), RP_HANDSHAKE_REQUEST_BYTES_MAX);
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_wire *c = open_client();
        text(c, table[i].packet);
        assert_text(asked(RP_OP_CONNECT).connect.handshake, table[i].handshake);
        gone(c);
    }
    assert_int_equal(stats()->handshakes_bytes, 0);
    static char large[90000]; /* an auth that does not fit is left out */
    memset(large, 'x', sizeof large);
    memcpy(large, "40/app,{\"a\":\"", 13);
    memcpy(large + 60000, "\"}", 3);
    struct rp_wire *c = open_client();
    text(c, large);
    assert_text(asked(RP_OP_CONNECT).connect.handshake, FULL_HANDSHAKE);
    gone(c);
    static char deep[600] = "40/app,{\"a\":";
    for (int i = 0; i < 127; i++) { /* as deep as may be */
        strcat(deep, "[");
    }
    for (int i = 0; i < 127; i++) {
        strcat(deep, "]");
    }
    strcat(deep, "}");
    c = open_client();
    text(c, deep);
    assert_int_equal(asked(RP_OP_CONNECT).connect.handshake.len,
                     strlen(deep) - strlen("40/app,") + strlen("{\"url\":\"/x\",\"auth\":}"));
    gone(c);
}

static void test_without_app_namespaces_no_handshake_is_kept(void **state) {
    (void) state;
    link_up();
    struct rp_wire *early = open_client();
    assert_int_equal(stats()->handshakes_bytes, HANDSHAKE.len);
    say_apps(0);
    assert_int_equal(stats()->handshakes_bytes, 0);
    assert_int_equal(rp_gateway_handshake_bytes(bench.g), 0);
    struct rp_wire *late = open_client(); /* the shell made one before it heard */
    assert_int_equal(stats()->handshakes_bytes, 0);
    text(late, "40{\"token\":1}");
    assert_int_equal(say_connected(10, 0, false).handshake.len, 0);
    say_apps(1);
    assert_int_equal(rp_gateway_handshake_bytes(bench.g), RP_HANDSHAKE_REQUEST_BYTES_MAX);
    /* nothing is known of these two: they come again, whatever is said to them */
    text(early, "40/app,");
    say_failed(asked(RP_OP_CONNECT).connect.num, "refused", "who are you", "");
    expect_close(early, 1012, "app workers are there now");
    nothing_asked();
    text(late, "40/app,");
    say_connected(20, RP_OP_APP, false);
    struct rp_op_close close = asked(RP_OP_CLOSE).close;
    assert_int_equal(close.conn, 10);
    assert_text(close.reason, "forced close");
    assert_int_equal(close.ended, 0);
    close = asked(RP_OP_CLOSE).close;
    assert_int_equal(close.conn, 20);
    assert_int_equal(close.ended, 1); /* of which nobody knows the pid */
    struct rp_ws_msg msg;
    assert_true(take_frame(late, &msg));
    expect_close(late, 1012, "app workers are there now");
}

static void test_sockets_share_a_handshake(void **state) {
    (void) state;
    link_up();
    say_apps(1);
    struct rp_wire *c = open_client();
    connect_app(c, "40/a,{\"t\":1}", 10, 0);
    connect_app(c, "40/b,", 20, 0);
    assert_int_equal(stats()->handshakes_bytes, HANDSHAKE.len + strlen("{\"t\":1}"));
    text(c, "40");
    say_connected(30, 0, false);
    struct rp_ws_msg msg;
    assert_true(take_frame(c, &msg));
    lose_link();
    pass_ms(200);
    open_link();
    welcome(40);
    for (int i = 0; i < 3; i++) { /* in any order */
        struct rp_op_session session = asked(RP_OP_SESSION).session;
        const char *expected = session.conn == 10   ? "{\"url\":\"/x\",\"auth\":{\"t\":1}}"
                               : session.conn == 20 ? FULL_HANDSHAKE
                                                    : "";
        assert_text(session.handshake, expected);
        assert_int_equal(session.catching, 0);
    }
    assert_int_equal(asked(RP_OP_RESUMED).resumed.sessions, 3);
    say_apps(0); /* the socket's stays as long as the socket */
    assert_int_equal(stats()->handshakes_bytes, HANDSHAKE.len + strlen("{\"t\":1}"));
    gone(c);
    assert_int_equal(stats()->handshakes_bytes, 0);
}

/* The fuller, the shorter; but never none. */
static void test_handshakes_are_bounded_together(void **state) {
    (void) state;
    enum { CLIENTS = 40000 };
    static char large[RP_HANDSHAKE_REQUEST_BYTES_MAX];
    link_up();
    bool shorter = false;
    for (int i = 0; i < CLIENTS; i++) {
        size_t bytes = rp_gateway_handshake_bytes(bench.g);
        assert_true(bytes >= RP_HANDSHAKE_BYTES_MIN && bytes <= sizeof large);
        shorter = shorter || bytes < sizeof large;
        rp_gateway_open(bench.g, &bench, rp_bytes(large, bytes), bench.now_ms);
    }
    assert_true(shorter);
    assert_true(stats()->handshakes_bytes <
                RP_HANDSHAKES_BYTES_MAX + CLIENTS * RP_HANDSHAKE_BYTES_MIN);
    assert_true(stats()->handshakes_bytes > RP_HANDSHAKES_BYTES_MAX / 2);
}

/* ---- events ---- */

static void test_events_of_an_app_namespace_are_requests(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = app_client(10, 0);
    text(c, "42/app,7[\"say \\u0022hi\\u0022\", 1,{\"a\": \"b\"} ]");
    struct rp_op_event event = asked(RP_OP_EVENT).event;
    assert_int_equal(event.session, 10);
    assert_int_equal(event.conn, 10);
    assert_int_equal(event.wants_ack, 1);
    assert_int_equal(event.again, 0);
    assert_text(event.name, "say \"hi\"");
    assert_text(event.args, "[1,{\"a\": \"b\"}]");
    say_answer(event.num, RP_BYTES_LIT("[\"ok\",{}]"), rp_bytes(NULL, 0));
    expect(c, "43/app,7[\"ok\",{}]");
    say_answer(event.num, RP_BYTES_LIT("[1]"), rp_bytes(NULL, 0)); /* only once */
    text(c, "42/app,[\"join\",\"room\"]");                         /* like any other */
    event = asked(RP_OP_EVENT).event;
    assert_text(event.name, "join");
    assert_text(event.args, "[\"room\"]");
    assert_int_equal(event.wants_ack, 0);
    say_answer(event.num, RP_BYTES_LIT("[1]"), rp_bytes(NULL, 0)); /* nobody asked */
    text(c, "42/app,8[\"e\"]");
    event = asked(RP_OP_EVENT).event;
    assert_text(event.args, "[]");
    say_done(event.num, 0); /* handled without an ack */
    text(c, "42/app,9[\"e\"]");
    say_failed(asked(RP_OP_EVENT).event.num, "worker_lost", "it is \"gone\"", "");
    expect(c, "43/app,9[{\"ok\":false,\"error\":{\"code\":\"worker_lost\","
              "\"message\":\"it is \\\"gone\\\"\"}}]");
    text(c, "42/app,9[\"e\"]"); /* texts of applications that would end the connection */
    say_failed(asked(RP_OP_EVENT).event.num, "\xff", "a\xfe", "");
    expect(c, "43/app,9[{\"ok\":false,\"error\":{\"code\":\"?\",\"message\":\"?\"}}]");
    text(c, "42/app,10[\"e\"]");
    say_answer(asked(RP_OP_EVENT).event.num, RP_BYTES_LIT("[]"), rp_bytes(NULL, 0));
    expect(c, "43/app,10[]");
    expect_nothing(c);
    assert_int_equal(stats()->app_events, 6);
    assert_int_equal(stats()->requests_open, 0);
    gone(c);
}

static void test_room_events_stay_where_workers_want_them(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = app_client(10, RP_OP_ROOMS_ON | RP_OP_ROOMS_ASK);
    text(c, "42/app,[\"join\",\"r\"]");
    asked(RP_OP_JOIN);
    text(c, "42/app,[\"leave\",\"r\"]");
    asked(RP_OP_LEAVE);
    text(c, "42/app,[\"publish\",\"r\",\"e\"]");
    asked(RP_OP_PUBLISH);
    text(c, "42/app,[\"history\",\"r\"]");
    asked(RP_OP_HISTORY);
    text(c, "42/app,[\"presence\",\"r\"]");
    asked(RP_OP_PRESENCE);
    text(c, "42/app,[\"other\",\"r\"]");
    assert_text(asked(RP_OP_EVENT).event.name, "other");
    gone(c);
}

static void test_names_of_events_are_bounded(void **state) {
    (void) state;
    char packet[400];
    link_up();
    struct rp_wire *c = app_client(10, 0);
    for (int len = 254; len <= 300; len += 23) {
        snprintf(packet, sizeof packet, "42/app,1[\"%0*d\"]", len, 1);
        text(c, packet);
        if (len <= RP_EVENT_BYTES_MAX) {
            assert_int_equal(asked(RP_OP_EVENT).event.name.len, len);
        } else {
            expect(c, "43/app,1[{\"ok\":false,\"error\":{\"code\":\"bad_event\",\"message\":"
                      "\"an event's name is a string of 1 to 255 bytes\"}}]");
        }
    }
    static const char *const names[] = {"", "\\u0000", "\\ud800"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct rp_ws_msg msg;
        snprintf(packet, sizeof packet, "42/app,1[\"%s\"]", names[i]);
        text(c, packet);
        assert_true(take_frame(c, &msg));
        assert_non_null(strstr(bench.text, "bad_event"));
    }
    nothing_asked();
    gone(c);
}

#define PLACE(num) "{\"_placeholder\":true,\"num\":" #num "}"

static void test_attachments_go_both_ways(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = app_client(10, 0);
    text(c, "452-/app,5[\"e\"," PLACE(1) "," PLACE(0) "]");
    binary(c, "one");
    binary(c, "two");
    struct rp_op_event event = asked(RP_OP_EVENT).event;
    assert_text(event.args, "[" PLACE(1) "," PLACE(0) "]");
    assert_true(rp_bytes_eq(event.attachments, RP_BYTES_LIT("\0\0\0\3one\0\0\0\3two")));
    say_answer(event.num, RP_BYTES_LIT("[{\"x\":" PLACE(0) "}]"), RP_BYTES_LIT("\0\0\0\4back"));
    expect(c, "461-/app,5[{\"x\":" PLACE(0) "}]");
    expect_binary(c, "back");
    expect_nothing(c);
    gone(c);
}

/* What a worker says is no client's trouble. */
static void test_malformed_answers_are_dropped(void **state) {
    (void) state;
    static const struct {
        const char *args;
        const char *attachments;
        size_t attachments_len;
    } table[] = {
        {"", "", 0},
        {"{}", "", 0},
        {"1", "", 0},
        {"[", "", 0},
        {"[1]]", "", 0},
        {"[1] ", "", 0},
        {" [1]", "", 0},
        {"[\"\xff\"]", "", 0},
        {"[1]", "\0\0\0\5x", 5},
        {"[" PLACE(1) "]", "\0\0\0\1x", 5},
        {"[" PLACE(0) "," PLACE(0) "]", "\0\0\0\1x", 5},
        {"[]",
         "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
         44}, /* eleven */
    };
    link_up();
    struct rp_wire *c = app_client(10, 0);
    for (size_t i = 0; i < COUNT(table); i++) {
        text(c, "42/app,1[\"e\"]");
        say_answer(asked(RP_OP_EVENT).event.num, rp_bytes_str(table[i].args),
                   rp_bytes(table[i].attachments, table[i].attachments_len));
        expect_nothing(c);
        assert_int_equal(stats()->malformed_messages, i + 1);
        assert_int_equal(stats()->requests_open, 0);
    }
    gone(c);
}

static void test_an_event_that_is_sent_again_says_so(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = app_client(10, 0);
    text(c, "42/app,1[\"a\",\"x\"]");
    uint64_t num = asked(RP_OP_EVENT).event.num;
    lose_link();
    text(c, "42/app,2[\"b\"]"); /* it was on no link yet */
    pass_ms(200);
    open_link();
    welcome(40);
    asked(RP_OP_SESSION);
    struct rp_op_event event = asked(RP_OP_EVENT).event;
    assert_int_equal(event.num, num);
    assert_int_equal(event.again, 1);
    assert_int_equal(event.wants_ack, 1);
    assert_text(event.name, "a");
    assert_text(event.args, "[\"x\"]");
    asked(RP_OP_RESUMED);
    event = asked(RP_OP_EVENT).event;
    assert_text(event.name, "b");
    assert_int_equal(event.again, 0);
    say_answer(num, RP_BYTES_LIT("[1]"), rp_bytes(NULL, 0));
    expect(c, "43/app,1[1]");
    gone(c);
}

/* ---- acks of clients ---- */

static void say_emit(uint64_t seq, const char *room, const char *args,
                     struct rp_bytes attachments) {
    say((struct rp_op){.kind = RP_OP_DELIVER,
                       .deliver = {.seq = seq,
                                   .nsp = RP_BYTES_LIT("/app"),
                                   .room = rp_bytes_str(room),
                                   .name = RP_BYTES_LIT("e"),
                                   .args = rp_bytes_str(args),
                                   .attachments = attachments,
                                   .wants_ack = 1}});
}

static void test_an_event_wants_an_ack(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = app_client(10, 0);
    say_member(11, 10, true, ""); /* all of the namespace */
    say_emit(20, "", "[1]", rp_bytes(NULL, 0));
    expect(c, "42/app,20[\"e\",1]");
    say_emit(21, "", "[]", rp_bytes(NULL, 0));
    expect(c, "42/app,21[\"e\"]");
    say_emit(22, "", "[" PLACE(0) "]", RP_BYTES_LIT("\0\0\0\1x"));
    expect(c, "451-/app,22[\"e\"," PLACE(0) "]");
    expect_binary(c, "x");
    text(c, "43/app,20[\"yes\", 2]");
    struct rp_op_acked acked = asked(RP_OP_ACKED).acked;
    assert_int_equal(acked.session, 10);
    assert_int_equal(acked.conn, 10);
    assert_int_equal(acked.seq, 20);
    assert_text(acked.args, "[\"yes\", 2]");
    say_done(acked.num, 30);
    text(c, "461-/app,22[" PLACE(0) "]");
    binary(c, "y");
    acked = asked(RP_OP_ACKED).acked;
    assert_int_equal(acked.seq, 22);
    assert_true(rp_bytes_eq(acked.attachments, RP_BYTES_LIT("\0\0\0\1y")));
    uint64_t refused_before = stats()->refused_events;
    say_failed(acked.num, "unavailable", "", ""); /* silently */
    assert_int_equal(stats()->refused_events, refused_before);
    expect_nothing(c);
    assert_int_equal(stats()->client_acks, 2);
    assert_int_equal(stats()->requests_open, 0);
    gone(c);
}

static void test_acks_that_nobody_can_have_asked_for(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = app_client(10, 0);
    text(c, "43/app,0[1]");
    text(c, "43/app,11[1]"); /* the position is 10 */
    text(c, "43/app,9007199254740991[1]");
    nothing_asked();
    text(c, "43/app,10[1]"); /* this one may be of an earlier connection */
    assert_int_equal(asked(RP_OP_ACKED).acked.seq, 10);
    struct rp_wire *plain = connect_client(20);
    text(plain, "4310[1]");
    nothing_asked();
    expect_nothing(c);
    expect_nothing(plain);
    text(c, "431[1]"); /* not connected there */
    expect_close(c, 1002, "ack for a namespace that is not connected");
}

/* Acks are bounded as everything is that a client asks. */
static void test_a_flood_of_acks_pauses_the_client(void **state) {
    (void) state;
    bench.config.client_requests_max = 10;
    bench_reconfigure();
    link_up();
    struct rp_wire *c = app_client(10, 0);
    for (int i = 0; i < 10; i++) {
        assert_true(rp_wire_wants_read(c));
        text(c, "43/app,10[]");
    }
    assert_false(rp_wire_wants_read(c));
    gone(c);
}

/* ---- deliveries ---- */

static struct rp_bytes pack(struct rp_buf *space, const char *const *names) {
    rp_buf_init(space, 4096);
    for (; *names != NULL; names++) {
        uint8_t head[] = {0, 0, 0, (uint8_t) strlen(*names)};
        assert_int_equal(rp_buf_put(space, rp_bytes(head, sizeof head)), RP_OK);
        assert_int_equal(rp_buf_put_str(space, *names), RP_OK);
    }
    return rp_buf_bytes(space);
}

static void say_select(uint64_t seq, const char *room, const char *const *rooms,
                       const char *const *excepts) {
    struct rp_buf more, less;
    say((struct rp_op){.kind = RP_OP_DELIVER,
                       .deliver = {.seq = seq,
                                   .room = rp_bytes_str(room),
                                   .name = RP_BYTES_LIT("e"),
                                   .args = RP_BYTES_LIT("[]"),
                                   .rooms = pack(&more, rooms),
                                   .excepts = pack(&less, excepts)}});
    rp_buf_done(&more);
    rp_buf_done(&less);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_a_delivery_to_several_rooms_comes_once(void **state) {
    (void) state;
    /* who is in which rooms, and for each delivery who gets it */
    static const char *const rooms[] = {"", "a", "b", "c"};
    static const char *const members[][4] = {
        {"", "a", "b", "c"}, {"", "a", NULL, NULL}, {"", "b", "c", NULL}, {"", NULL, NULL, NULL}};
    static const struct {
        const char *room;
        const char *rooms[4], *excepts[4];
        const char *receivers;
    } table[] = {
        {"a", {"b", "c"}, {NULL}, "012"},   {"a", {"a", "a"}, {NULL}, "01"},
        {"a", {NULL}, {"b"}, "1"},          {"", {NULL}, {"c"}, "13"},
        {"", {"a"}, {"x"}, "0123"},         {"x", {"y"}, {NULL}, ""},
        {"x", {"b"}, {"a"}, "2"},           {"a", {"b"}, {""}, ""},
        {"b", {"a", "c"}, {"c", "x"}, "1"}, {"a", {"b"}, {"a", "b", "c"}, ""},
    };
    struct rp_wire *c[4];
    link_up();
    for (size_t i = 0; i < COUNT(c); i++) {
        c[i] = connect_client(10 + i);
        for (size_t k = 0; k < COUNT(rooms) && members[i][k] != NULL; k++) {
            say_member(14, 10 + i, true, members[i][k]);
        }
    }
    uint64_t seq = 20;
    for (size_t i = 0; i < COUNT(table); i++, seq++) {
        char expected[32];
        say_select(seq, table[i].room, table[i].rooms, table[i].excepts);
        snprintf(expected, sizeof expected, "42[\"e\",\"%d-epoc\"]", (int) seq);
        for (size_t k = 0; k < COUNT(c); k++) {
            if (strchr(table[i].receivers, '0' + (int) k) != NULL) {
                expect(c[k], expected);
            }
            expect_nothing(c[k]);
        }
    }
    say_deliver(seq, "a", "[1]"); /* the plain way knows no marks */
    struct rp_ws_msg msg;
    assert_true(take_frame(c[0], &msg) && take_frame(c[1], &msg));
    expect_nothing(c[2]);
}

static void test_selections_that_are_malformed_go_to_nobody(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    for (int i = 0; i < 2; i++) {
        struct rp_bytes cut = RP_BYTES_LIT("\0\0\0\5a");
        struct rp_op op = {.kind = RP_OP_DELIVER,
                           .deliver = {.seq = 20,
                                       .room = RP_BYTES_LIT("a"),
                                       .name = RP_BYTES_LIT("e"),
                                       .args = RP_BYTES_LIT("[]")}};
        *(i == 0 ? &op.deliver.rooms : &op.deliver.excepts) = cut;
        say(op);
        expect_nothing(c);
        assert_int_equal(stats()->malformed_messages, i + 1);
    }
    gone(c);
}

/* One that is closed by what it gets leaves all rooms in the middle of it. */
static void test_who_is_closed_on_the_way_leaves_the_rooms(void **state) {
    (void) state;
    enum { CLIENTS = 5 };
    struct rp_wire *c[CLIENTS];
    link_up();
    for (uint64_t i = 0; i < CLIENTS; i++) {
        c[i] = member_client(10 + 2 * i, "a");
        say_member(30, 10 + 2 * i, true, "b");
    }
    char args[90000];
    memset(args, 'x', sizeof args);
    memcpy(args, "[\"", 2);
    memcpy(args + sizeof args - 3, "\"]", 3);
    for (uint64_t seq = 40; stats()->clients > 0 && seq < 400; seq++) {
        for (uint64_t i = 0; i < CLIENTS; i++) { /* never lagging for long */
            say((struct rp_op){.kind = RP_OP_LIVE, .live = {.conn = 10 + 2 * i, .pos = seq}});
        }
        struct rp_buf more;
        say((struct rp_op){.kind = RP_OP_DELIVER,
                           .deliver = {.seq = seq,
                                       .room = RP_BYTES_LIT("a"),
                                       .rooms = pack(&more, LIST("b", "a", "b")),
                                       .name = RP_BYTES_LIT("e"),
                                       .args = rp_bytes_str(args)}});
        rp_buf_done(&more);
    }
    assert_int_equal(stats()->clients, 0);
    assert_int_equal(stats()->rooms, 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        gone(c[i]);
    }
}

/* ---- recovery ---- */

static void say_replay(uint64_t conn, uint64_t seq, uint64_t pos, bool wants_ack, bool again) {
    say((struct rp_op){.kind = RP_OP_REPLAY,
                       .replay = {.conn = conn,
                                  .seq = seq,
                                  .pos = pos,
                                  .name = RP_BYTES_LIT("r"),
                                  .args = RP_BYTES_LIT("[]"),
                                  .wants_ack = wants_ack,
                                  .again = again}});
}

/* What the gateway tells of its one session when a link begins. */
static struct rp_op_session session_told(void) {
    lose_link();
    pass_ms(200);
    open_link();
    welcome(50);
    struct rp_op_session session = asked(RP_OP_SESSION).session;
    asked(RP_OP_RESUMED);
    return session;
}

static struct rp_wire *recovered_app_client(void) {
    struct rp_wire *c = open_client();
    struct rp_ws_msg msg;
    text(c, "40/app,{\"pid\":\"xxxxxxxxxxxxxxxxxxxx\",\"offset\":\"7-epoc\"}");
    say_connected(10, RP_OP_APP, true);
    assert_true(take_frame(c, &msg));
    return c;
}

static void test_what_is_owed_comes_again_first(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = recovered_app_client();
    struct rp_op_session session = session_told();
    assert_int_equal(session.catching, 2);
    assert_int_equal(session.pos, 7);
    assert_text(session.handshake, FULL_HANDSHAKE);
    say_replay(10, 4, 4, true, true);
    expect(c, "42/app,4[\"r\"]");
    say((struct rp_op){.kind = RP_OP_PAGE, .page = {.conn = 10, .pos = 9, .page = 1, .again = 1}});
    asked(RP_OP_PAGE_DONE);
    session = session_told();
    assert_int_equal(session.catching, 2); /* not all of it is known to be there */
    assert_int_equal(session.pos, 7);
    say_replay(10, 8, 8, true, false);
    expect(c, "42/app,8[\"r\"]");
    session = session_told();
    assert_int_equal(session.catching, 1);
    assert_int_equal(session.pos, 8);
    say_replay(10, 9, 9, false, false);
    expect(c, "42/app,[\"r\",\"9-epoc\"]");
    text(c, "43/app,4[1]"); /* of an earlier connection */
    assert_int_equal(asked(RP_OP_ACKED).acked.seq, 4);
    gone(c);
}

static void test_owing_ends_with_a_page_or_live(void **state) {
    (void) state;
    for (int live = 0; live < 2; live++) {
        if (live > 0) {
            bench_teardown(NULL);
            bench_setup(NULL);
        }
        link_up();
        recovered_app_client();
        if (live) {
            say((struct rp_op){.kind = RP_OP_LIVE, .live = {.conn = 10, .pos = 12}});
        } else {
            say((struct rp_op){.kind = RP_OP_PAGE, .page = {.conn = 10, .pos = 9, .page = 1}});
            asked(RP_OP_PAGE_DONE);
        }
        assert_int_equal(session_told().catching, live ? 0 : 1);
    }
}

/* ---- kicks ---- */

static void say_kicked(uint64_t conn, bool transport) {
    say((struct rp_op){.kind = RP_OP_KICKED, .kicked = {.conn = conn, .transport = transport}});
}

static void test_a_worker_disconnects_a_socket(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = app_client(10, 0);
    connect_app(c, "40/b,", 20, 0);
    say_member(21, 10, true, "");
    say_kicked(10, false);
    expect(c, "41/app,");
    expect_nothing(c);
    nothing_asked(); /* the broker knows */
    assert_int_equal(stats()->rooms, 0);
    say_kicked(10, false); /* it is gone */
    expect_nothing(c);
    connect_app(c, "40/app,", 30, 0); /* it may come again */
    say_kicked(30, false);
    expect(c, "41/app,");
    say_kicked(20, false);
    expect(c, "41/b,");
    assert_int_equal(stats()->kicked, 3);
    pass_linked_ms(25000);
    expect(c, "2");
    text(c, "3");
    pass_linked_ms(20000);
    expect_close(c, 1013, "connect timeout"); /* it is nowhere now */
}

static void test_a_worker_closes_a_transport(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = app_client(10, 0);
    connect_app(c, "40/b,", 20, 0);
    text(c, "40/waits,");
    asked(RP_OP_CONNECT);
    text(c, "40");
    say_connected(30, 0, false);
    struct rp_ws_msg msg;
    assert_true(take_frame(c, &msg));
    say_kicked(20, true);
    uint64_t told = 0;
    for (int i = 0; i < 2; i++) {
        struct rp_op_close close = asked(RP_OP_CLOSE).close;
        assert_int_equal(close.ended, 1);
        assert_text(close.reason, "server namespace disconnect");
        told += close.conn;
    }
    assert_int_equal(told, 40); /* all but the one it knows of */
    nothing_asked();
    expect(c, "41/b,");
    expect(c, "41/app,");
    expect(c, "41");
    expect_close(c, 1000, "");
}

static void test_a_worker_closes_who_polls(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    struct rp_exchange *waiting = get(sid);
    say_kicked(10, true);
    expect_answer(waiting, 200,
                  "41\x1e"
                  "1");
    expect_answer(get(sid), 400, UNKNOWN_SID);
    assert_int_equal(stats()->clients, 0);
    connect_poll(20, sid);
    say_kicked(20, true); /* it comes for it later */
    assert_int_equal(stats()->clients, 1);
    expect_answer(post(sid, "40"), 200, "ok"); /* which is not heard */
    nothing_asked();
    expect_answer(get(sid), 200,
                  "41\x1e"
                  "1");
    assert_int_equal(stats()->clients, 0);
    connect_poll(30, sid);
    say_kicked(30, true); /* or never */
    pass_linked_ms(45000);
    assert_int_equal(stats()->clients, 0);
    connect_poll(40, sid); /* or by the WebSocket that it was about to use */
    struct rp_wire *w = rp_gateway_upgrade(bench.g, &bench, rp_bytes_str(sid), bench.now_ms);
    text(w, "2probe");
    expect(w, "3probe");
    say_kicked(40, true);
    text(w, "5");
    expect(w, "41");
    expect(w, "1");
    expect_close(w, 1000, "");
    nothing_asked();
}

static void test_msgpack_speaks_of_all_that(void **state) {
    (void) state;
    bench.config.parser = RP_PARSER_MSGPACK;
    bench_reconfigure();
    link_up();
    struct rp_wire *c = open_client();
    struct rp_ws_msg msg;
    rp_gateway_binary(bench.g, c, RP_BYTES_LIT("\x82\xa4type\x00\xa3nsp\xa4/app"), bench.now_ms);
    say_connected(10, RP_OP_APP, false);
    assert_true(take_frame(c, &msg));
    say_member(11, 10, true, "");
    say_emit(20, "", "[]", rp_bytes(NULL, 0));
    assert_true(take_frame(c, &msg));
    assert_int_equal(msg.kind, RP_WS_BINARY);
    struct rp_bytes got = rp_bytes(bench.text, bench.text_len);
    assert_true(rp_bytes_eq(got, RP_BYTES_LIT("\x84\xa4type\x02\xa3nsp\xa4/app\xa2id\x14\xa4"
                                              "data\x91\xa1"
                                              "e")));
    rp_gateway_binary(bench.g, c,
                      RP_BYTES_LIT("\x84\xa4type\x03\xa3nsp\xa4/app\xa2id\x14\xa4"
                                   "data\x91\xc4\x02hi"),
                      bench.now_ms);
    struct rp_op_acked acked = asked(RP_OP_ACKED).acked;
    assert_int_equal(acked.seq, 20);
    assert_text(acked.args, "[" PLACE(0) "]");
    rp_gateway_binary(bench.g, c,
                      RP_BYTES_LIT("\x84\xa4type\x02\xa3nsp\xa4/app\xa2id\x07\xa4"
                                   "data\x91\xa1"
                                   "e"),
                      bench.now_ms);
    say_answer(asked(RP_OP_EVENT).event.num, RP_BYTES_LIT("[" PLACE(0) "]"),
               RP_BYTES_LIT("\0\0\0\2hi"));
    assert_true(take_frame(c, &msg));
    got = rp_bytes(bench.text, bench.text_len);
    assert_true(rp_bytes_eq(got, RP_BYTES_LIT("\x84\xa4type\x03\xa3nsp\xa4/app\xa2id\x07\xa4"
                                              "data\x91\xc4\x02hi")));
    say_kicked(10, false);
    assert_true(take_frame(c, &msg));
    got = rp_bytes(bench.text, bench.text_len);
    assert_true(rp_bytes_eq(got, RP_BYTES_LIT("\x82\xa4type\x01\xa3nsp\xa4/app")));
    gone(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_a_worker_refuses_a_connect),
        BENCH_TEST(test_a_refused_client_must_connect_in_time),
        BENCH_TEST(test_a_flood_of_unlisted_namespaces),
        BENCH_TEST(test_a_connect_carries_the_handshake),
        BENCH_TEST(test_without_app_namespaces_no_handshake_is_kept),
        BENCH_TEST(test_sockets_share_a_handshake),
        BENCH_TEST(test_handshakes_are_bounded_together),
        BENCH_TEST(test_events_of_an_app_namespace_are_requests),
        BENCH_TEST(test_room_events_stay_where_workers_want_them),
        BENCH_TEST(test_names_of_events_are_bounded),
        BENCH_TEST(test_attachments_go_both_ways),
        BENCH_TEST(test_malformed_answers_are_dropped),
        BENCH_TEST(test_an_event_that_is_sent_again_says_so),
        BENCH_TEST(test_an_event_wants_an_ack),
        BENCH_TEST(test_acks_that_nobody_can_have_asked_for),
        BENCH_TEST(test_a_flood_of_acks_pauses_the_client),
        BENCH_TEST(test_a_delivery_to_several_rooms_comes_once),
        BENCH_TEST(test_selections_that_are_malformed_go_to_nobody),
        BENCH_TEST(test_who_is_closed_on_the_way_leaves_the_rooms),
        BENCH_TEST(test_what_is_owed_comes_again_first),
        BENCH_TEST(test_owing_ends_with_a_page_or_live),
        BENCH_TEST(test_a_worker_disconnects_a_socket),
        BENCH_TEST(test_a_worker_closes_a_transport),
        BENCH_TEST(test_a_worker_closes_who_polls),
        BENCH_TEST(test_msgpack_speaks_of_all_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/test_gateway_link.c — gateway/broker, gateway/request: the link to the broker is lost
 * and resumed, and every request is answered, once. */
#include "tests/unit/gateway_fixture.h"

/* ---- HELLO ---- */

static void test_hello_tells_who_and_where(void **state) {
    (void) state;
    struct rp_op_hello hello = open_link();
    assert_int_equal(hello.version, RP_PROTOCOL_VERSION);
    assert_text(hello.name, "test");
    assert_int_equal(hello.incarnation, 1); /* random, and never 0 */
    assert_int_equal(hello.epoch.len, 0);
    assert_int_equal(hello.seen, 0);
    assert_int_equal(hello.lowest, 1);
    assert_false(rp_gateway_stats(bench.g)->linked);
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_NONE);
    nothing_asked();
    welcome(77);
    assert_true(rp_gateway_stats(bench.g)->linked);
    asked(RP_OP_RESUMED);
    lose_link();
    pass_ms(100);
    hello = open_link();
    assert_text(hello.epoch, "epoch000");
    assert_int_equal(hello.seen, 77);
}

static void test_nothing_but_hello_before_welcome(void **state) {
    (void) state;
    struct rp_wire *c = open_client();
    text(c, "40"); /* with no link at all */
    open_link();
    nothing_asked();
    pass_ms(900);
    nothing_asked();
    welcome(5);
    assert_int_equal(asked(RP_OP_RESUMED).resumed.sessions, 0);
    asked(RP_OP_CONNECT);
    gone(c);
}

/* A broker that speaks nonsense has not welcomed anybody. */
static void test_a_strange_welcome_is_ignored(void **state) {
    (void) state;
    static const char *const epochs[] = {"", "abc", "EPOCH000", "ep-ch000", "abcdefghijklmnopq"};
    open_link();
    for (size_t i = 0; i < COUNT(epochs); i++) {
        say((struct rp_op){.kind = RP_OP_WELCOME,
                           .welcome = {.version = RP_PROTOCOL_VERSION,
                                       .epoch = rp_bytes_str(epochs[i]),
                                       .head = 5}});
        assert_false(rp_gateway_stats(bench.g)->linked);
    }
    welcome(5);
    assert_true(rp_gateway_stats(bench.g)->linked);
    say((struct rp_op){.kind = RP_OP_WELCOME,
                       .welcome = {.version = 1, .epoch = RP_BYTES_LIT("another1"), .head = 99}});
    lose_link();
    pass_ms(100);
    assert_text(open_link().epoch, "epoch000"); /* once a link */
}

static void test_a_refused_gateway_says_so_and_tries_later(void **state) {
    (void) state;
    open_link();
    say((struct rp_op){.kind = RP_OP_REFUSED,
                       .refused = {.code = RP_BYTES_LIT("version"),
                                   .message = RP_BYTES_LIT("this broker speaks version 2")}});
    assert_string_equal(rp_gateway_notice(bench.g),
                        "the broker refuses this gateway: this broker speaks version 2");
    assert_string_equal(rp_gateway_notice(bench.g), "");
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_CLOSE);
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms + 999), RP_UPLINK_NONE);
    assert_int_equal(rp_gateway_deadline_ms(bench.g), bench.now_ms + 1000);
    pass_ms(1000);
    open_link();
}

/* ---- the end of a link ---- */

static void say_refused(const char *code) {
    say((struct rp_op){.kind = RP_OP_REFUSED,
                       .refused = {.code = rp_bytes_str(code), .message = RP_BYTES_LIT("why")}});
}

/* The link is gone at once, and nothing else: the next one resumes. */
static void test_a_broker_that_stops_is_left_and_waited_for(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "421[\"publish\",\"a\",\"e\",1]");
    uint64_t num = asked(RP_OP_PUBLISH).publish.num;
    say_refused("stopping");
    assert_false(rp_gateway_stats(bench.g)->linked);
    assert_string_equal(rp_gateway_notice(bench.g),
                        "the link to the broker is lost: the broker has been stopped");
    assert_string_equal(rp_gateway_notice(bench.g), "");
    assert_int_equal(rp_gateway_deadline_ms(bench.g), bench.now_ms); /* to be closed at once */
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_CLOSE);
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms + 99), RP_UPLINK_NONE);
    text(c, "422[\"publish\",\"a\",\"e\",2]");
    expect_nothing(c); /* neither an error nor the end of the connection */
    say_done(num, 20); /* behind the last word: not heard */
    expect_nothing(c);
    pass_ms(100);
    assert_int_equal(open_link().lowest, num);
    welcome(30);
    assert_int_equal(asked(RP_OP_SESSION).session.conn, 10);
    assert_int_equal(asked(RP_OP_PUBLISH).publish.num, num);
    asked(RP_OP_RESUMED);
    assert_text(asked(RP_OP_PUBLISH).publish.args, "[2]");
    say_done(num, 20);
    expect(c, "431[{\"ok\":true,\"room\":\"a\",\"seq\":20}]");
    gone(c);
}

static void test_goodbye_is_the_last_that_is_sent(void **state) {
    (void) state;
    rp_gateway_bye(bench.g); /* there is no link */
    open_link();
    rp_gateway_bye(bench.g); /* and the broker does not know of it yet */
    nothing_asked();
    welcome(5);
    asked(RP_OP_RESUMED);
    struct rp_wire *c = connect_client(10);
    text(c, "421[\"publish\",\"a\",\"e\",1]");
    rp_gateway_bye(bench.g);
    uint64_t num = asked(RP_OP_PUBLISH).publish.num;
    assert_int_equal(asked(RP_OP_BYE).bye.lowest, num);
    nothing_asked();
    gone(c);
}

static void test_a_link_that_was_given_up_is_begun_again_at_once(void **state) {
    (void) state;
    link_up();
    say_refused("relink");
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_CLOSE);
    pass_ms(100);
    open_link();
}

static void test_a_silent_broker_loses_the_link(void **state) {
    (void) state;
    link_up();
    pass_ms(RP_LINK_TIMEOUT_MS - 1);
    assert_true(rp_gateway_stats(bench.g)->linked);
    say((struct rp_op){.kind = RP_OP_HEARTBEAT});
    pass_ms(RP_LINK_TIMEOUT_MS - 1);
    assert_true(rp_gateway_stats(bench.g)->linked);
    pass_ms(1);
    assert_false(rp_gateway_stats(bench.g)->linked);
    assert_string_equal(rp_gateway_notice(bench.g),
                        "the link to the broker is lost: the broker is silent");
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_CLOSE);
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_NONE);
    pass_ms(100);
    open_link();
    pass_ms(RP_LINK_TIMEOUT_MS); /* one that never says WELCOME, too */
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_CLOSE);
    assert_int_equal(rp_gateway_stats(bench.g)->links_lost, 1);
}

static void test_heartbeats_go_out_and_are_checked(void **state) {
    (void) state;
    link_up();
    bench.heartbeats = true;
    pass_ms(RP_LINK_HEARTBEAT_MS - 1);
    nothing_asked();
    pass_ms(1);
    struct rp_op_heartbeat told = asked(RP_OP_HEARTBEAT).heartbeat;
    assert_int_equal(told.pos, 5);
    assert_int_equal(told.lowest, 1);
    assert_true(told.consumed > 0);
    say((struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.pos = 9}});
    pass_ms(RP_LINK_HEARTBEAT_MS);
    assert_int_equal(asked(RP_OP_HEARTBEAT).heartbeat.pos, 9);
    say((struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.consumed = 1 << 20}});
    assert_false(rp_gateway_stats(bench.g)->linked);
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_CLOSE);
}

static void test_malformed_messages_are_counted_and_dropped(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    struct rp_buf message;
    rp_buf_init(&message, 1000);
    struct rp_op op = {.kind = RP_OP_DELIVER,
                       .deliver = {.seq = 20,
                                   .room = RP_BYTES_LIT("a"),
                                   .name = RP_BYTES_LIT("e"),
                                   .args = RP_BYTES_LIT("[1]")}};
    assert_int_equal(rp_op_put(&message, &op), RP_OK);
    assert_int_equal(rp_buf_put_str(&message, "?"), RP_OK);
    op.deliver.seq = 21;
    assert_int_equal(rp_op_put(&message, &op), RP_OK);
    bench.heartbeats = true;
    pass_ms(RP_LINK_HEARTBEAT_MS);
    uint64_t before = asked(RP_OP_HEARTBEAT).heartbeat.consumed;
    assert_int_equal(rp_gateway_uplink_message(bench.g, rp_buf_bytes(&message), bench.now_ms),
                     RP_E_PROTOCOL);
    assert_int_equal(rp_gateway_stats(bench.g)->malformed_messages, 1);
    expect(c, "42[\"e\",1,\"20-epoc\"]");
    expect_nothing(c);
    pass_ms(RP_LINK_HEARTBEAT_MS);
    assert_int_equal(asked(RP_OP_HEARTBEAT).heartbeat.consumed, before + message.len);
    rp_buf_done(&message);
    gone(c);
}

/* ---- resume ---- */

static void test_sessions_are_listed_with_their_position(void **state) {
    (void) state;
    link_up();
    struct rp_wire *live = connect_client(10), *catching = connect_client(11),
                   *connecting = open_client(), *idle = open_client();
    say((struct rp_op){.kind = RP_OP_HOLD, .hold = {.conn = 11, .pos = 15}});
    text(connecting, "40");
    uint64_t num = asked(RP_OP_CONNECT).connect.num;
    lose_link();
    pass_ms(100);
    assert_int_equal(open_link().lowest, num);
    welcome(30);
    struct rp_op_session session = asked(RP_OP_SESSION).session;
    assert_int_equal(session.session, 10);
    assert_int_equal(session.catching, 0);
    session = asked(RP_OP_SESSION).session;
    assert_int_equal(session.conn, 11);
    assert_int_equal(session.catching, 1);
    assert_int_equal(session.pos, 15);
    assert_int_equal(asked(RP_OP_CONNECT).connect.num, num);
    assert_int_equal(asked(RP_OP_RESUMED).resumed.sessions, 2);
    nothing_asked();
    struct rp_wire *all[] = {live, catching, connecting, idle};
    for (size_t i = 0; i < COUNT(all); i++) {
        expect_nothing(all[i]);
        gone(all[i]);
    }
}

static void test_verdicts_close_what_has_moved_on(void **state) {
    (void) state;
    static const uint64_t verdicts[] = {RP_OP_KEPT, RP_OP_SUPERSEDED, RP_OP_UNKNOWN};
    link_up();
    for (size_t i = 0; i < COUNT(verdicts); i++) {
        struct rp_wire *c = connect_client(10 + i);
        say((struct rp_op){.kind = RP_OP_VERDICT,
                           .verdict = {.conn = 10 + i, .verdict = verdicts[i]}});
        if (verdicts[i] == RP_OP_KEPT) {
            expect_nothing(c);
            gone(c);
        } else {
            expect_close(c, 1001, "the session has moved on");
        }
        assert_int_equal(asked(RP_OP_CLOSE).close.conn, 10 + i);
    }
    say((struct rp_op){.kind = RP_OP_VERDICT, .verdict = {.conn = 4711, .verdict = 2}});
}

static void test_evicted_clients_are_closed_with_the_reason(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    say((struct rp_op){.kind = RP_OP_EVICT,
                       .evict = {.conn = 10, .reason = RP_BYTES_LIT("taken over")}});
    expect_close(c, 1001, "taken over");
    assert_int_equal(asked(RP_OP_CLOSE).close.conn, 10);
    static char long_reason[5000];
    memset(long_reason, 'x', sizeof long_reason);
    c = connect_client(11);
    say((struct rp_op){.kind = RP_OP_EVICT,
                       .evict = {.conn = 11, .reason = rp_bytes(long_reason, 5000)}});
    asked(RP_OP_CLOSE);
    expect_close(c, 1001, NULL);
}

static void test_reset_closes_the_clients_and_begins_anew(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10), *connecting = open_client(), *idle = open_client();
    text(c, "427[\"publish\",\"a\",\"e\"]");
    text(connecting, "40");
    assert_string_equal(rp_gateway_notice(bench.g), "");
    say((struct rp_op){.kind = RP_OP_RESET,
                       .reset = {.message = RP_BYTES_LIT("the log has a new epoch")}});
    assert_string_equal(rp_gateway_notice(bench.g),
                        "the broker asks to begin anew: the log has a new epoch");
    expect_close(c, 1001, "the gateway begins anew");
    expect_close(connecting, 1001, "the gateway begins anew");
    expect_nothing(idle); /* it has nothing to do with the log yet */
    assert_int_equal(rp_gateway_stats(bench.g)->requests_open, 0);
    assert_int_equal(rp_gateway_stats(bench.g)->resets, 1);
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_CLOSE);
    pass_ms(100);
    struct rp_op_hello hello = open_link();
    assert_int_not_equal(hello.incarnation, 1);
    assert_int_equal(hello.epoch.len, 0);
    assert_int_equal(hello.seen, 0);
    welcome(3);
    asked(RP_OP_RESUMED);
    nothing_asked();
    text(idle, "40");
    asked(RP_OP_CONNECT);
    gone(idle);
}

/* ---- requests ---- */

static void test_unanswered_requests_are_sent_again_in_order(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "421[\"join\",\"a\"]");
    text(c, "422[\"publish\",\"a\",\"e\",1]");
    text(c, "423[\"publish\",\"a\",\"e\",2]");
    text(c, "424[\"history\",\"a\"]");
    uint64_t nums[] = {asked(RP_OP_JOIN).join.num, asked(RP_OP_PUBLISH).publish.num,
                       asked(RP_OP_PUBLISH).publish.num, asked(RP_OP_HISTORY).history.num};
    say_done(nums[1], 20);
    expect(c, "432[{\"ok\":true,\"room\":\"a\",\"seq\":20}]");
    lose_link();
    text(c, "425[\"publish\",\"a\",\"e\",3]"); /* with no link: it waits */
    expect_nothing(c);
    pass_ms(100);
    assert_int_equal(open_link().lowest, nums[0]);
    welcome(30);
    asked(RP_OP_SESSION);
    assert_int_equal(asked(RP_OP_JOIN).join.num, nums[0]);
    struct rp_op_publish again = asked(RP_OP_PUBLISH).publish;
    assert_int_equal(again.num, nums[2]);
    assert_text(again.args, "[2]");
    assert_int_equal(asked(RP_OP_HISTORY).history.num, nums[3]);
    asked(RP_OP_RESUMED);
    assert_text(asked(RP_OP_PUBLISH).publish.args, "[3]"); /* new: after the resume */
    nothing_asked();
    assert_int_equal(rp_gateway_stats(bench.g)->requests_resent, 3);
    say_done(nums[2], 21);
    expect(c, "433[{\"ok\":true,\"room\":\"a\",\"seq\":21}]");
    say_done(nums[2], 21); /* both links may have answered */
    say_done(nums[1], 20);
    expect_nothing(c);
    say_done(nums[0], 22);
    expect(c, "431[{\"ok\":true,\"room\":\"a\",\"seq\":22,\"replayed\":0,\"truncated\":false}]");
    gone(c);
}

static void test_volatile_publishes_fail_with_the_link(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "421[\"publish\",{\"room\":\"a\",\"event\":\"e\",\"volatile\":true}]");
    text(c, "422[\"publish\",{\"room\":\"a\",\"event\":\"e\"}]");
    text(c, "42[\"publish\",{\"room\":\"a\",\"event\":\"e\",\"volatile\":true}]");
    turn();
    lose_link();
    expect(c, "431[{\"ok\":false,\"error\":{\"code\":\"unavailable\",\"message\":\"the broker is "
              "away; a volatile event is not kept\"}}]");
    expect_nothing(c);
    pass_ms(100);
    open_link();
    welcome(30);
    asked(RP_OP_SESSION);
    asked(RP_OP_PUBLISH);
    asked(RP_OP_RESUMED);
    nothing_asked();
    gone(c);
}

/* A join that is known to be done must not be done again: the session may have left since. Only the
 * rest of its history is asked for. */
static void test_a_join_that_is_done_asks_for_the_rest_only(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "421[\"join\",\"a\",{\"since\":3,\"limit\":10}]");
    uint64_t num = asked(RP_OP_JOIN).join.num;
    say((struct rp_op){.kind = RP_OP_JOINED, .joined = {.num = num, .upto = 20}});
    say_member(20, 10, true, "a");
    say((struct rp_op){.kind = RP_OP_HOLD, .hold = {.conn = 10, .pos = 20}});
    for (uint64_t seq = 5; seq < 9; seq++) {
        if (seq == 7) { /* two have arrived, two have not */
            lose_link();
            pass_ms(100);
            open_link();
            welcome(30);
            assert_int_equal(asked(RP_OP_SESSION).session.pos, 20);
            struct rp_op_join join = asked(RP_OP_JOIN).join;
            assert_int_equal(join.num, num);
            assert_int_equal(join.upto, 20);
            assert_int_equal(join.since, 6);
            assert_int_equal(join.limit, 8);
            asked(RP_OP_RESUMED);
            nothing_asked();
        }
        say((struct rp_op){.kind = RP_OP_REPLAY,
                           .replay = {.conn = 10,
                                      .seq = seq,
                                      .pos = 20,
                                      .history = num,
                                      .truncated = 1,
                                      .name = RP_BYTES_LIT("e"),
                                      .args = RP_BYTES_LIT("[]")}});
        char expected[64];
        snprintf(expected, sizeof expected, "42[\"e\",\"20.%d-epoc\"]", (int) seq);
        expect(c, expected);
    }
    /* the broker counts what it sent on this link alone */
    say((struct rp_op){
        .kind = RP_OP_DONE,
        .done = {.num = num, .seq = 20, .replayed = 2, .truncated = 0, .oldest = 7}});
    expect(c, "431[{\"ok\":true,\"room\":\"a\",\"seq\":20,\"replayed\":4,\"truncated\":true,"
              "\"oldest\":5}]");
    gone(c);
}

static void test_the_end_of_a_session_is_a_request_like_others(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    turn();
    lose_link();
    gone(c);
    pass_ms(100);
    open_link();
    welcome(30);
    assert_int_equal(asked(RP_OP_RESUMED).resumed.sessions, 0);
    uint64_t num = asked(RP_OP_CLOSE).close.num;
    lose_link();
    pass_ms(100);
    open_link();
    welcome(30);
    assert_int_equal(asked(RP_OP_CLOSE).close.num, num);
    asked(RP_OP_RESUMED);
    say_done(num, 31);
    assert_int_equal(rp_gateway_stats(bench.g)->requests_open, 0);
}

/* The log may be full for a moment: the broker must hear of the end again, or it would stay. */
static void test_an_end_that_cannot_be_stored_is_sent_again(void **state) {
    (void) state;
    link_up();
    gone(connect_client(10));
    uint64_t num = asked(RP_OP_CLOSE).close.num;
    say((struct rp_op){.kind = RP_OP_FAILED,
                       .failed = {.num = num, .code = RP_BYTES_LIT("unavailable")}});
    nothing_asked();
    pass_ms(RP_CLOSE_RETRY_MS - 1);
    nothing_asked();
    pass_ms(1);
    struct rp_op_close again = asked(RP_OP_CLOSE).close;
    assert_true(again.num > num);
    assert_int_equal(again.session, 10);
    assert_int_equal(again.conn, 10);
    assert_int_equal(again.ended, 0);
    say((struct rp_op){.kind = RP_OP_FAILED,
                       .failed = {.num = again.num, .code = RP_BYTES_LIT("bad_args")}});
    pass_linked_ms(5 * RP_CLOSE_RETRY_MS);
    nothing_asked();
}

/* The numbers of a session and a connection are those of its log: in another they may be others'.
 */
static void test_an_end_is_not_sent_again_after_a_reset(void **state) {
    (void) state;
    link_up();
    gone(connect_client(10));
    say((struct rp_op){
        .kind = RP_OP_FAILED,
        .failed = {.num = asked(RP_OP_CLOSE).close.num, .code = RP_BYTES_LIT("unavailable")}});
    say((struct rp_op){.kind = RP_OP_RESET, .reset = {.message = RP_BYTES_LIT("x")}});
    assert_int_equal(rp_gateway_uplink_need(bench.g, bench.now_ms), RP_UPLINK_CLOSE);
    pass_ms(100);
    open_link();
    welcome(3);
    asked(RP_OP_RESUMED);
    pass_linked_ms(2 * RP_CLOSE_RETRY_MS);
    nothing_asked();
}

/* ---- credit and pausing ---- */

static void test_requests_wait_for_credit(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 1000;
    bench_reconfigure();
    link_up();
    struct rp_wire *c = connect_client(10);
    char args[300], packet[400];
    memset(args, 'x', sizeof args - 1);
    args[sizeof args - 1] = '\0';
    snprintf(packet, sizeof packet, "42[\"publish\",\"a\",\"e\",\"%s\"]", args);
    for (int i = 0; i < 7; i++) {
        text(c, packet);
    }
    asked(RP_OP_PUBLISH);
    asked(RP_OP_PUBLISH);
    nothing_asked();
    say((struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.consumed = bench.heard_bytes}});
    asked(RP_OP_PUBLISH);
    asked(RP_OP_PUBLISH);
    asked(RP_OP_PUBLISH);
    nothing_asked();
    lose_link(); /* what was sent is sent again whatever the credit */
    pass_ms(100);
    open_link();
    welcome(30);
    asked(RP_OP_SESSION);
    for (int i = 0; i < 5; i++) {
        asked(RP_OP_PUBLISH);
    }
    asked(RP_OP_RESUMED);
    nothing_asked();
    gone(c);
}

static void test_a_client_with_too_many_requests_is_not_read(void **state) {
    (void) state;
    link_up();
    struct rp_wire *noisy = connect_client(10), *quiet = connect_client(11);
    uint64_t first = 0;
    for (int i = 0; i < RP_CLIENT_REQUESTS_MAX; i++) {
        assert_true(rp_wire_wants_read(noisy));
        text(noisy, "42[\"publish\",\"a\",\"e\"]");
    }
    assert_false(rp_wire_wants_read(noisy));
    assert_true(rp_wire_wants_read(quiet));
    assert_int_equal(rp_gateway_stats(bench.g)->paused, 1);
    first = asked(RP_OP_PUBLISH).publish.num;
    for (int i = 1; i < RP_CLIENT_REQUESTS_MAX; i++) {
        asked(RP_OP_PUBLISH);
    }
    while (rp_gateway_next_dirty(bench.g) != NULL) {
    }
    text(quiet, "3");
    size_t pings = 0; /* it cannot be heard ponging meanwhile, but takes the pings */
    for (int i = 0; i < 70; i++) {
        pass_linked_ms(1000);
        text(quiet, "3");
        if (output_bytes(noisy) > 0) {
            expect(noisy, "2");
            pings++;
        }
    }
    assert_int_equal(pings, 3); /* the client counts from ping to ping: after 25, 45, 65 s */
    assert_false(rp_wire_is_closing(noisy));
    while (rp_gateway_next_dirty(bench.g) != NULL) {
    }
    say_done(first, 20);
    assert_true(rp_wire_wants_read(noisy));
    assert_ptr_equal(rp_gateway_next_dirty(bench.g), noisy); /* its shell reads on */
    pass_linked_ms(19999);
    assert_false(rp_wire_is_closing(noisy)); /* and it has time to answer */
    pass_linked_ms(1);
    assert_true(rp_wire_is_closing(noisy));
    gone(noisy);
    gone(quiet);
}

/* It could take the ping at least. */
static void test_a_paused_client_that_takes_nothing_is_gone(void **state) {
    (void) state;
    bench.config.client_requests_max = 2;
    bench_reconfigure();
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "42[\"join\",\"a\"]");
    text(c, "42[\"join\",\"b\"]");
    assert_false(rp_wire_wants_read(c));
    pass_linked_ms(25000);
    pass_linked_ms(19999);
    assert_false(rp_wire_is_closing(c));
    pass_linked_ms(1);
    assert_true(rp_wire_is_closing(c));
    assert_int_equal(rp_gateway_stats(bench.g)->ping_timeouts, 1);
    gone(c);
}

static void test_large_requests_pause_sooner(void **state) {
    (void) state;
    static char packet[90000];
    link_up();
    struct rp_wire *c = connect_client(10);
    memset(packet, 'x', sizeof packet - 1);
    memcpy(packet, "42[\"publish\",\"a\",\"e\",\"", 22);
    memcpy(packet + sizeof packet - 3, "\"]", 3);
    int count = 0;
    while (rp_wire_wants_read(c)) {
        text(c, packet);
        assert_true(++count < 100);
    }
    assert_true(rp_gateway_stats(bench.g)->requests_bytes <= RP_CLIENT_REQUESTS_BYTES_MAX);
    assert_true(count > 10);
    gone(c);
    assert_int_equal(rp_gateway_stats(bench.g)->requests_open, (uint64_t) count + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_hello_tells_who_and_where),
        BENCH_TEST(test_nothing_but_hello_before_welcome),
        BENCH_TEST(test_a_strange_welcome_is_ignored),
        BENCH_TEST(test_a_refused_gateway_says_so_and_tries_later),
        BENCH_TEST(test_a_broker_that_stops_is_left_and_waited_for),
        BENCH_TEST(test_goodbye_is_the_last_that_is_sent),
        BENCH_TEST(test_a_link_that_was_given_up_is_begun_again_at_once),
        BENCH_TEST(test_a_silent_broker_loses_the_link),
        BENCH_TEST(test_heartbeats_go_out_and_are_checked),
        BENCH_TEST(test_malformed_messages_are_counted_and_dropped),
        BENCH_TEST(test_sessions_are_listed_with_their_position),
        BENCH_TEST(test_verdicts_close_what_has_moved_on),
        BENCH_TEST(test_evicted_clients_are_closed_with_the_reason),
        BENCH_TEST(test_reset_closes_the_clients_and_begins_anew),
        BENCH_TEST(test_unanswered_requests_are_sent_again_in_order),
        BENCH_TEST(test_volatile_publishes_fail_with_the_link),
        BENCH_TEST(test_a_join_that_is_done_asks_for_the_rest_only),
        BENCH_TEST(test_the_end_of_a_session_is_a_request_like_others),
        BENCH_TEST(test_an_end_that_cannot_be_stored_is_sent_again),
        BENCH_TEST(test_an_end_is_not_sent_again_after_a_reset),
        BENCH_TEST(test_requests_wait_for_credit),
        BENCH_TEST(test_a_client_with_too_many_requests_is_not_read),
        BENCH_TEST(test_a_paused_client_that_takes_nothing_is_gone),
        BENCH_TEST(test_large_requests_pause_sooner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

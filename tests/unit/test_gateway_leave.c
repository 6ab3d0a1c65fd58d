/* tests/unit/test_gateway_leave.c — what app workers are told of why a client left: CLOSE says it
 * in Socket.IO's words, and whether the session ended with it. */
#include "tests/unit/gateway_fixture.h"

static struct rp_wire *client;
static char poll_sid[SID_SPACE];

static void disconnects(void) {
    text(client, "41");
}
static void says_close(void) {
    text(client, "1");
}
static void closes(void) { /* a close frame, as the shell tells it */
    rp_gateway_close(bench.g, client, 1001, NULL, RP_LEAVE_TRANSPORT_CLOSE, bench.now_ms);
}
static void is_gone(void) {
    gone(client);
    client = NULL;
}
static void fails(void) {
    rp_gateway_close(bench.g, client, 0, NULL, RP_LEAVE_TRANSPORT_ERROR, bench.now_ms);
}
static void is_silent(void) {
    struct rp_ws_msg msg;
    pass_linked_ms(25000);
    assert_true(take_frame(client, &msg));
    pass_linked_ms(20000);
}
static void says_nonsense(void) {
    text(client, "42x");
}
static void connects_nowhere(void) {
    text(client, "40/other,");
    asked(RP_OP_CONNECT);
    say_failed(rp_gateway_stats(bench.g)->requests, "unavailable", "", "");
}
static void sees_the_end(void) {
    rp_gateway_drain(bench.g, bench.now_ms, 0);
}
static void is_evicted(void) {
    say((struct rp_op){.kind = RP_OP_EVICT,
                       .evict = {.conn = 10, .reason = RP_BYTES_LIT("taken over")}});
}
static void takes_nothing(void) {
    char args[90000];
    memset(args, 'x', sizeof args);
    memcpy(args, "[\"", 2);
    memcpy(args + sizeof args - 3, "\"]", 3);
    say_member(11, 10, true, "a");
    for (uint64_t seq = 20; rp_gateway_stats(bench.g)->clients > 0 && seq < 300; seq++) {
        say((struct rp_op){.kind = RP_OP_LIVE, .live = {.conn = 10, .pos = seq}});
        say_deliver(seq, "a", args);
    }
    forget(&bench.asked); /* that it lagged */
}
static void polls_twice(void) {
    get(poll_sid);
    get(poll_sid);
}
static void cuts_a_poll(void) {
    end(get(poll_sid), false);
}
static void posts_nonsense(void) {
    post(poll_sid, "\x1e");
}
static void posts_a_close(void) {
    post(poll_sid, "1");
}

static const struct {
    void (*leaves)(void);
    const char *reason;
    bool ended, polls;
} table[] = {
    {disconnects, "client namespace disconnect", true, false},
    {says_close, "transport close", false, false},
    {closes, "transport close", false, false},
    {is_gone, "transport close", false, false},
    {fails, "transport error", false, false},
    {is_silent, "ping timeout", false, false},
    {says_nonsense, "parse error", false, false},
    {connects_nowhere, "forced server close", false, false},
    {sees_the_end, "server shutting down", false, false},
    {is_evicted, "forced close", false, false},
    {takes_nothing, "forced close", false, false},
    {polls_twice, "transport error", false, true},
    {cuts_a_poll, "transport error", false, true},
    {posts_nonsense, "parse error", false, true},
    {posts_a_close, "transport close", false, true},
};

static void check(size_t i, bool ended) {
    link_up();
    client = NULL;
    if (table[i].polls) {
        connect_poll(10, poll_sid);
    } else {
        client = connect_client(10);
    }
    table[i].leaves();
    turn();
    while (!rp_list_is_empty(&bench.asked) &&
           RP_CONTAINER_OF(rp_list_first(&bench.asked), struct got, node)->op.kind ==
               RP_OP_CATCHUP) {
        asked(RP_OP_CATCHUP);
    }
    struct rp_op_close close = asked(RP_OP_CLOSE).close;
    assert_text(close.reason, table[i].reason);
    assert_int_equal(close.conn, 10);
    assert_int_equal(close.ended, ended);
    /* the same when it is sent again because the log refused it */
    say_failed(close.num, "unavailable", "", "");
    pass_linked_ms(RP_CLOSE_RETRY_MS + 1);
    close = asked(RP_OP_CLOSE).close;
    assert_text(close.reason, table[i].reason);
    assert_int_equal(close.ended, ended);
    nothing_asked();
    if (client != NULL) {
        gone(client);
    }
}

static void test_each_way_to_leave_has_its_reason(void **state) {
    for (size_t i = 0; i < COUNT(table); i++) {
        if (i > 0) {
            bench_teardown(state);
            bench_setup(state);
        }
        check(i, table[i].ended);
    }
}

/* Without recovery a session ends with its connection, whatever the reason. */
static void test_without_recovery_all_of_them_end(void **state) {
    for (size_t i = 0; i < COUNT(table); i++) {
        if (i > 0) {
            bench_teardown(state);
            bench_setup(state);
        }
        bench.config.no_recovery = true;
        bench_reconfigure();
        check(i, true);
    }
}

/* Whoever asked is gone: by itself, or with its connection. */
static void test_whoever_left_while_connecting(void **state) {
    (void) state;
    link_up();
    for (int way = 0; way < 2; way++) {
        struct rp_wire *c = open_client();
        text(c, "40");
        uint64_t num = asked(RP_OP_CONNECT).connect.num;
        if (way == 0) {
            text(c, "41");
        } else {
            gone(c);
        }
        turn();
        say((struct rp_op){.kind = RP_OP_CONNECTED,
                           .connected = {.num = num,
                                         .session = 10,
                                         .conn = 10,
                                         .sid = RP_BYTES_LIT("sid"),
                                         .app = RP_OP_APP}});
        struct rp_op_close close = asked(RP_OP_CLOSE).close;
        assert_text(close.reason, way == 0 ? "client namespace disconnect" : "transport close");
        assert_int_equal(close.ended, 1);
        if (way == 0) {
            gone(c);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_each_way_to_leave_has_its_reason),
        BENCH_TEST(test_without_recovery_all_of_them_end),
        BENCH_TEST(test_whoever_left_while_connecting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

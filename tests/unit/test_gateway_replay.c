/* tests/unit/test_gateway_replay.c — gateway/broker, gateway/client: events to live clients,
 * clients that catch up, and the border between the two. */
#include "tests/unit/gateway_fixture.h"

static void say_replay(uint64_t conn, uint64_t seq) {
    say((struct rp_op){.kind = RP_OP_REPLAY,
                       .replay = {.conn = conn,
                                  .seq = seq,
                                  .pos = seq,
                                  .name = RP_BYTES_LIT("r"),
                                  .args = RP_BYTES_LIT("[]")}});
}

static void say_page(uint64_t conn, uint64_t pos, uint64_t page) {
    say((struct rp_op){.kind = RP_OP_PAGE, .page = {.conn = conn, .pos = pos, .page = page}});
}

static void say_live(uint64_t conn, uint64_t pos) {
    say((struct rp_op){.kind = RP_OP_LIVE, .live = {.conn = conn, .pos = pos}});
}

static void say_hold(uint64_t conn, uint64_t pos) {
    say((struct rp_op){.kind = RP_OP_HOLD, .hold = {.conn = conn, .pos = pos}});
}

/* A recovered client of room a, catching up from 7. */
static struct rp_wire *recovered_client(uint64_t conn) {
    struct rp_wire *c = open_client();
    struct rp_ws_msg msg;
    text(c, "40{\"pid\":\"xxxxxxxxxxxxxxxxxxxx\"}");
    say((struct rp_op){.kind = RP_OP_CONNECTED,
                       .connected = {.num = asked(RP_OP_CONNECT).connect.num,
                                     .session = 3,
                                     .conn = conn,
                                     .sid = RP_BYTES_LIT("sid"),
                                     .recovered = 1,
                                     .pos = 7}});
    assert_true(take_frame(c, &msg));
    say_member(4, conn, true, "a");
    return c;
}

/* ---- live events ---- */

static void test_events_go_to_the_members_with_an_offset(void **state) {
    (void) state;
    link_up();
    struct rp_wire *a = member_client(10, "a"), *b = member_client(20, "a"),
                   *other = member_client(30, "b");
    say_deliver(40, "a", "[1,{\"x\":\"y\"}]");
    expect(a, "42[\"e\",1,{\"x\":\"y\"},\"40-epoc\"]");
    expect(b, "42[\"e\",1,{\"x\":\"y\"},\"40-epoc\"]");
    expect_nothing(other);
    say_deliver(41, "a", "[]");
    expect(a, "42[\"e\",\"41-epoc\"]");
    say((struct rp_op){.kind = RP_OP_DELIVER,
                       .deliver = {.seq = 42,
                                   .room = RP_BYTES_LIT("a"),
                                   .except = 20,
                                   .name = RP_BYTES_LIT("say \"hi\"\n"),
                                   .args = RP_BYTES_LIT("[null]")}});
    expect(a, "42[\"say \\\"hi\\\"\\n\",null,\"42-epoc\"]");
    expect(b, "42[\"e\",\"41-epoc\"]");
    expect_nothing(b);
    say_deliver(43, "nobody", "[]");
    say_member(44, 20, false, "a");
    say_member(45, 30, true, "a");
    say_deliver(46, "a", "[]");
    expect(a, "42[\"e\",\"46-epoc\"]");
    expect_nothing(b);
    expect(other, "42[\"e\",\"46-epoc\"]");
    assert_int_equal(rp_gateway_stats(bench.g)->delivers, 5);
    assert_int_equal(rp_gateway_stats(bench.g)->deliveries, 7);
    assert_int_equal(rp_gateway_stats(bench.g)->rooms, 2);
    gone(a);
    gone(b);
    gone(other);
    assert_int_equal(rp_gateway_stats(bench.g)->rooms, 0);
}

static void test_volatile_events_do_not_queue(void **state) {
    (void) state;
    link_up();
    struct rp_wire *idle = member_client(10, "a"), *slow = member_client(20, "a");
    struct rp_op op = {.kind = RP_OP_DELIVER,
                       .deliver = {.seq = 30,
                                   .is_volatile = 1,
                                   .room = RP_BYTES_LIT("a"),
                                   .name = RP_BYTES_LIT("v"),
                                   .args = RP_BYTES_LIT("[]")}};
    struct rp_ws_msg msg;
    for (int i = 0; i < 100; i++) {
        say(op);
        expect(idle, "42[\"v\",\"30-epoc\"]");
    }
    size_t queued = output_bytes(slow);
    assert_true(queued > bench.config.queue_low_bytes &&
                queued < bench.config.queue_low_bytes + 30);
    size_t taken = 0;
    while (take_frame(slow, &msg)) {
        taken++;
    }
    assert_int_equal(rp_gateway_stats(bench.g)->volatile_dropped, 100 - taken);
    gone(idle);
    gone(slow);
}

/* ---- catching up ---- */

static void test_a_recovered_client_gets_nothing_live_before_its_time(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = recovered_client(30);
    say_deliver(40, "a", "[]"); /* it will come as a replay */
    expect_nothing(c);
    say_replay(30, 9);
    expect(c, "42[\"r\",\"9-epoc\"]");
    say_replay(31, 10); /* somebody else's */
    say_replay(30, 40);
    expect(c, "42[\"r\",\"40-epoc\"]");
    say_live(30, 40);
    say_deliver(41, "a", "[]");
    expect(c, "42[\"e\",\"41-epoc\"]");
    say_replay(30, 42); /* it is live: a replay would be one too many */
    expect_nothing(c);
    assert_int_equal(rp_gateway_stats(bench.g)->replayed, 2);
    gone(c);
}

static void test_a_page_is_done_when_it_is_written(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = recovered_client(30);
    for (uint64_t seq = 10; seq < 50; seq++) {
        say_replay(30, seq);
    }
    say_page(30, 60, 1);
    nothing_asked();
    struct rp_ws_msg msg;
    while (output_bytes(c) > bench.config.queue_low_bytes) {
        nothing_asked();
        assert_true(take_frame(c, &msg));
    }
    struct rp_op_page_done done = asked(RP_OP_PAGE_DONE).page_done;
    assert_int_equal(done.session, 3);
    assert_int_equal(done.conn, 30);
    assert_int_equal(done.page, 1);
    while (take_frame(c, &msg)) {
    }
    nothing_asked(); /* once */
    say_page(30, 70, 2);
    assert_int_equal(asked(RP_OP_PAGE_DONE).page_done.page, 2); /* there was nothing to write */
    say_page(31, 70, 1);
    nothing_asked();
    say_live(30, 70);
    say_page(30, 70, 3); /* a live client has no pages */
    nothing_asked();
    gone(c);
}

/* A socket that does not keep up: it has what was put there, and gets the next from the log. */
static void test_a_slow_client_falls_back_to_the_log(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    uint64_t seq = 19;
    while (rp_gateway_stats(bench.g)->lagged == 0) {
        say_deliver(++seq, "a", "[\"something\"]");
        assert_true(seq < 1000);
    }
    assert_true(output_bytes(c) > bench.config.queue_bytes / 5); /* frames count more than bytes */
    struct rp_op_catchup catchup = asked(RP_OP_CATCHUP).catchup;
    assert_int_equal(catchup.session, 10);
    assert_int_equal(catchup.conn, 10);
    assert_int_equal(catchup.pos, seq);
    for (uint64_t more = seq + 1; more < seq + 10; more++) {
        say_deliver(more, "a", "[\"something\"]");
    }
    struct rp_ws_msg msg;
    for (uint64_t i = 20; i <= seq; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "42[\"e\",\"something\",\"%d-epoc\"]", (int) i);
        expect(c, expected);
    }
    assert_false(take_frame(c, &msg));
    say_replay(10, seq + 1);
    say_page(10, seq + 1, 1);
    asked(RP_OP_PAGE_DONE);
    say_live(10, seq + 9);
    say_deliver(seq + 10, "a", "[]");
    assert_true(take_frame(c, &msg));
    assert_true(take_frame(c, &msg));
    expect_nothing(c);
    assert_int_equal(rp_gateway_stats(bench.g)->lagged, 1);
    gone(c);
}

/* It lags while the link is away: the next resume says so. */
static void test_lag_and_loss_of_the_link_together(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    uint64_t seq = 19;
    while (rp_gateway_stats(bench.g)->lagged == 0) {
        say_deliver(++seq, "a", "[\"something\"]");
    }
    lose_link(); /* CATCHUP may never have arrived */
    pass_ms(100);
    open_link();
    welcome(seq + 5);
    struct rp_op_session session = asked(RP_OP_SESSION).session;
    assert_int_equal(session.catching, 1);
    assert_int_equal(session.pos, seq);
    asked(RP_OP_RESUMED);
    nothing_asked();
    struct rp_ws_msg msg;
    while (take_frame(c, &msg)) {
    }
    nothing_asked(); /* a page of the old link is nobody's */
    gone(c);
}

/* A join with history that meets a lag the broker has not heard of: two positions. It begins anew.
 */
static void test_hold_of_a_catching_client_ends_it(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    for (uint64_t seq = 20; rp_gateway_stats(bench.g)->lagged == 0; seq++) {
        say_deliver(seq, "a", "[\"something\"]");
    }
    say_hold(10, 500);
    assert_true(rp_wire_is_closing(c));
    say_hold(4711, 1);
    asked(RP_OP_CATCHUP);
    asked(RP_OP_CLOSE);
    gone(c);
}

/* ---- answers ---- */

/* An ack must not come before the events up to its seq. */
static void test_answers_wait_for_the_events_before_them(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a");
    text(c, "421[\"publish\",\"a\",\"e\"]");
    text(c, "422[\"publish\",\"a\",\"e\"]");
    text(c, "423[\"publish\",\"a\",\"e\"]");
    text(c, "424[\"publish\",\"a\",\"e\"]");
    text(c, "425[\"presence\",\"a\"]");
    uint64_t nums[5];
    for (size_t i = 0; i < 4; i++) {
        nums[i] = asked(RP_OP_PUBLISH).publish.num;
    }
    nums[4] = asked(RP_OP_PRESENCE).presence.num;
    say_hold(10, 20);
    say_done(nums[0], 20); /* it has that */
    expect(c, "431[{\"ok\":true,\"room\":\"a\",\"seq\":20}]");
    say_done(nums[1], 22);
    say_done(nums[2], 25);
    say_done(nums[3], 30);
    say((struct rp_op){.kind = RP_OP_RESULT,
                       .result = {.num = nums[4], .json = RP_BYTES_LIT("{\"ok\":true}")}});
    expect(c, "435[{\"ok\":true}]"); /* of no position */
    expect_nothing(c);
    say_replay(10, 21);
    expect(c, "42[\"r\",\"21-epoc\"]");
    expect_nothing(c);
    say_replay(10, 22);
    expect(c, "42[\"r\",\"22-epoc\"]");
    expect(c, "432[{\"ok\":true,\"room\":\"a\",\"seq\":22}]");
    say_page(10, 27, 1); /* nothing of its own up to 27 */
    expect(c, "433[{\"ok\":true,\"room\":\"a\",\"seq\":25}]");
    expect_nothing(c);
    say_live(10, 30);
    expect(c, "434[{\"ok\":true,\"room\":\"a\",\"seq\":30}]");
    expect_nothing(c);
    gone(c);
}

static void test_held_answers_go_with_the_client(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = member_client(10, "a"), *left = member_client(20, "a");
    say_hold(10, 20);
    say_hold(20, 20);
    text(c, "421[\"publish\",\"a\",\"e\"]");
    text(left, "421[\"publish\",\"a\",\"e\"]");
    say_done(asked(RP_OP_PUBLISH).publish.num, 30);
    say_done(asked(RP_OP_PUBLISH).publish.num, 31);
    gone(c);
    text(left, "41");
    expect_nothing(left);
    say_live(20, 40);
    expect_nothing(left);
    gone(left);
}

/* ---- too slow ---- */

static void test_output_past_every_bound_closes_the_client(void **state) {
    (void) state;
    static char json[90000];
    memset(json, 'x', sizeof json);
    json[0] = json[sizeof json - 1] = '"';
    link_up();
    struct rp_wire *c = member_client(10, "a");
    int answers = 0;
    while (!rp_wire_is_closing(c)) { /* it asks, and does not take the answers */
        text(c, "421[\"history\",\"a\"]");
        say((struct rp_op){.kind = RP_OP_RESULT,
                           .result = {.num = asked(RP_OP_HISTORY).history.num,
                                      .json = rp_bytes(json, sizeof json)}});
        assert_true(++answers < 1000);
    }
    assert_true((size_t) answers * sizeof json <= RP_CLIENT_QUEUE_BYTES_MAX + 2 * sizeof json);
    assert_int_equal(rp_gateway_stats(bench.g)->overflowed, 1);
    assert_int_equal(asked(RP_OP_CLOSE).close.conn, 10);
    struct rp_bytes part;
    while (rp_wire_output(c, &part, 1) > 0 && part.len > 1000) {
        rp_gateway_sent(bench.g, c, part.len, bench.now_ms);
    }
    expect_close(c, 1013, "too slow: the limit of unsent output is reached");
    assert_int_equal(rp_gateway_stats(bench.g)->queued_bytes, 0);
}

/* Everybody may have a page and an answer that wait; but not as many as come. Who has most goes, at
 * once with all it has, and the others go on. */
static void test_those_with_most_are_closed_when_all_have_too_much(void **state) {
    (void) state;
    enum { HOARDERS = 60, BUDGET = 4 << 20 };
    static char json[90000];
    memset(json, 'x', sizeof json);
    json[0] = json[sizeof json - 1] = '"';
    bench.config.budget = rp_budget_make(1, bench.config.max_payload);
    bench.config.budget.queues = BUDGET;
    bench_reconfigure();
    link_up();
    struct rp_wire *fair = member_client(10, "a"), *c[HOARDERS];
    for (size_t i = 0; i < HOARDERS; i++) {
        c[i] = member_client(20 + i, "b");
    }
    for (size_t i = 0; i < 2 * HOARDERS; i++) {
        struct rp_wire *who = c[i % HOARDERS];
        if (rp_wire_is_closing(who)) {
            continue;
        }
        text(who, "421[\"history\",\"b\"]");
        say((struct rp_op){.kind = RP_OP_RESULT,
                           .result = {.num = asked(RP_OP_HISTORY).history.num,
                                      .json = rp_bytes(json, sizeof json)}});
        if (i == 0) { /* it has begun to take it */
            rp_gateway_sent(bench.g, c[0], 100, bench.now_ms);
        }
        assert_true(rp_gateway_stats(bench.g)->held_bytes <= BUDGET + 2 * sizeof json);
        pass_linked_ms(1);
        assert_true(rp_gateway_stats(bench.g)->held_bytes <= BUDGET);
        while (!rp_list_is_empty(&bench.asked)) {
            asked(RP_OP_CLOSE);
        }
    }
    uint64_t hoarders = rp_gateway_stats(bench.g)->hoarders;
    assert_true(hoarders > HOARDERS / 4 && hoarders <= HOARDERS);
    assert_int_equal(rp_gateway_stats(bench.g)->overflowed, hoarders);
    assert_true(rp_wire_is_closing(c[0]) && rp_wire_is_closing(c[1]));
    assert_int_equal(output_bytes(c[0]), 0); /* nothing could be said in the middle of a frame */
    struct rp_ws_msg msg;
    say_deliver(900, "a", "[]");
    expect(fair, "42[\"e\",\"900-epoc\"]");
    bool told = false;
    for (size_t i = 1; i < HOARDERS; i++) {
        while (rp_wire_is_closing(c[i]) && take_frame(c[i], &msg)) {
            assert_int_equal(msg.close_code, 1013);
            told = true;
        }
    }
    assert_true(told);
    for (size_t i = 0; i < HOARDERS; i++) {
        gone(c[i]);
    }
    gone(fair);
    assert_int_equal(rp_gateway_stats(bench.g)->held_bytes, 0);
}

/* What goes to everybody is in memory once: many who are a little behind are no reason. */
static void test_one_event_for_many_is_not_too_much(void **state) {
    (void) state;
    static char args[50003];
    memset(args, 'x', sizeof args - 1);
    memcpy(args, "[\"", 2);
    memcpy(args + sizeof args - 3, "\"]", 2);
    bench.config.budget = rp_budget_make(1, bench.config.max_payload);
    bench_reconfigure();
    link_up();
    struct rp_wire *c[40];
    for (size_t i = 0; i < COUNT(c); i++) {
        c[i] = member_client(10 + i, "a");
    }
    say_deliver(100, "a", args);
    assert_true(rp_gateway_stats(bench.g)->queued_bytes > bench.config.budget.queues);
    pass_linked_ms(1);
    assert_int_equal(rp_gateway_stats(bench.g)->overflowed, 0);
    for (size_t i = 0; i < COUNT(c); i++) {
        assert_false(rp_wire_is_closing(c[i]));
        gone(c[i]);
    }
}

/* A client asks for its history, and does not take it. */
static void hoard(struct rp_wire *c, struct rp_bytes json) {
    text(c, "421[\"history\",\"b\"]");
    say((struct rp_op){.kind = RP_OP_RESULT,
                       .result = {.num = asked(RP_OP_HISTORY).history.num, .json = json}});
}

static void bound_queues(size_t bytes) {
    bench.config.budget = rp_budget_make(1, bench.config.max_payload);
    bench.config.budget.queues = bytes;
    bench.config.queue_bytes = 1 << 20;
    bench_reconfigure();
    link_up();
}

/* Answers that wait for events before them are output that waits, too. */
static void test_answers_that_are_held_are_bounded(void **state) {
    (void) state;
    enum { ENOUGH = 5000 };
    bound_queues(1 << 20);
    struct rp_wire *c = member_client(10, "a");
    size_t answers = 0;
    say_hold(10, 20);
    while (!rp_wire_is_closing(c)) { /* it does not take its page, and goes on asking */
        text(c, "421[\"publish\",\"a\",\"e\"]");
        say_done(asked(RP_OP_PUBLISH).publish.num, 30 + answers);
        assert_true(++answers < ENOUGH);
        assert_true(rp_wire_is_closing(c) || rp_gateway_stats(bench.g)->held_bytes > 20 * answers);
    }
    assert_true(answers > 100);
    assert_int_equal(rp_gateway_stats(bench.g)->overflowed, 1);
    assert_int_equal(rp_gateway_stats(bench.g)->queued_bytes, output_bytes(c));
    gone(c);
    assert_int_equal(rp_gateway_stats(bench.g)->held_bytes, 0);
}

/* If what nobody waits for is enough, nobody is closed. */
static void test_what_is_closing_goes_first(void **state) {
    (void) state;
    enum { LEAVING = 30, BUDGET = 2 << 20 };
    static char json[90000];
    memset(json, 'x', sizeof json);
    json[0] = json[sizeof json - 1] = '"';
    bound_queues(BUDGET);
    struct rp_wire *fair = member_client(10, "b"), *c[LEAVING];
    hoard(fair, rp_bytes(json, sizeof json));
    for (size_t i = 0; i < LEAVING; i++) {
        c[i] = member_client(20 + i, "b");
    }
    for (size_t i = 0; i < LEAVING; i++) {
        hoard(c[i], rp_bytes(json, sizeof json));
        text(c[i], "1");
        assert_true(rp_wire_is_closing(c[i]));
        asked(RP_OP_CLOSE);
        assert_true(rp_gateway_stats(bench.g)->held_bytes <= BUDGET);
    }
    assert_false(rp_wire_is_closing(fair));
    assert_int_equal(rp_gateway_stats(bench.g)->hoarders, 0);
    assert_true(output_bytes(fair) > sizeof json);
    for (size_t i = 0; i < LEAVING; i++) {
        gone(c[i]);
    }
    gone(fair);
}

/* Who waits for what others wait for, too, holds its part of it: closing it would free nothing. */
static void test_who_shares_is_not_closed_for_who_hoards(void **state) {
    (void) state;
    enum { MEMBERS = 40, HOARDERS = 80, BUDGET = 2 << 20 };
    static char json[30000], args[50003];
    memset(json, 'x', sizeof json);
    json[0] = json[sizeof json - 1] = '"';
    memset(args, 'x', sizeof args - 1);
    memcpy(args, "[\"", 2);
    memcpy(args + sizeof args - 3, "\"]", 2);
    bound_queues(BUDGET);
    struct rp_wire *c[MEMBERS], *h[HOARDERS];
    for (size_t i = 0; i < MEMBERS; i++) {
        c[i] = member_client(1000 + i, "a");
    }
    for (size_t i = 0; i < HOARDERS; i++) {
        h[i] = member_client(20 + i, "b");
    }
    say_deliver(2000, "a", args);
    for (size_t i = 0; i < HOARDERS; i++) {
        hoard(h[i], rp_bytes(json, sizeof json));
        assert_true(rp_gateway_stats(bench.g)->held_bytes <= BUDGET + 2 * sizeof json);
        pass_linked_ms(1);
        while (!rp_list_is_empty(&bench.asked)) {
            asked(RP_OP_CLOSE);
        }
    }
    assert_true(rp_gateway_stats(bench.g)->hoarders > 0);
    for (size_t i = 0; i < MEMBERS; i++) {
        assert_false(rp_wire_is_closing(c[i]));
        gone(c[i]);
    }
    for (size_t i = 0; i < HOARDERS; i++) {
        gone(h[i]);
    }
    assert_int_equal(rp_gateway_stats(bench.g)->held_bytes, 0);
}

/* Closing one member in the middle of an event must not skip another. */
static void test_closing_a_member_during_an_event_skips_nobody(void **state) {
    (void) state;
    static char large[90000], args[90010];
    memset(large, 'x', sizeof large - 1);
    snprintf(args, sizeof args, "[\"%s\"]", large);
    link_up();
    struct rp_wire *members[6];
    struct rp_ws_msg msg;
    for (size_t i = 0; i < COUNT(members); i++) {
        members[i] = member_client(10 * (i + 1), "a");
    }
    for (int round = 0; !rp_wire_is_closing(members[1]); round++) {
        /* two of them are sent to closing by answers they do not take */
        for (size_t i = 1; i <= 4; i += 3) {
            text(members[i], "421[\"presence\",\"a\"]");
            say((struct rp_op){
                .kind = RP_OP_RESULT,
                .result = {.num = asked(RP_OP_PRESENCE).presence.num, .json = rp_bytes_str(args)}});
        }
        assert_true(round < 1000);
        if (rp_gateway_stats(bench.g)->queued_bytes > 2 * (RP_CLIENT_QUEUE_BYTES_MAX - 100000)) {
            break;
        }
    }
    assert_false(rp_wire_is_closing(members[1]));
    for (uint64_t seq = 100; !rp_wire_is_closing(members[1]); seq++) {
        say_live(20, seq); /* as if they kept up: only the last bound can help */
        say_live(50, seq);
        say_deliver(seq, "a", args);
        for (size_t i = 0; i < COUNT(members); i++) {
            if (i != 1 && i != 4) {
                assert_true(take_frame(members[i], &msg));
                say_live(10 * (i + 1), seq);
            }
        }
    }
    assert_true(rp_wire_is_closing(members[4]));
    say_deliver(900, "a", "[]");
    for (size_t i = 0; i < COUNT(members); i++) {
        if (i != 1 && i != 4) {
            expect(members[i], "42[\"e\",\"900-epoc\"]");
        }
        gone(members[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_events_go_to_the_members_with_an_offset),
        BENCH_TEST(test_volatile_events_do_not_queue),
        BENCH_TEST(test_a_recovered_client_gets_nothing_live_before_its_time),
        BENCH_TEST(test_a_page_is_done_when_it_is_written),
        BENCH_TEST(test_a_slow_client_falls_back_to_the_log),
        BENCH_TEST(test_lag_and_loss_of_the_link_together),
        BENCH_TEST(test_hold_of_a_catching_client_ends_it),
        BENCH_TEST(test_answers_wait_for_the_events_before_them),
        BENCH_TEST(test_held_answers_go_with_the_client),
        BENCH_TEST(test_output_past_every_bound_closes_the_client),
        BENCH_TEST(test_those_with_most_are_closed_when_all_have_too_much),
        BENCH_TEST(test_one_event_for_many_is_not_too_much),
        BENCH_TEST(test_answers_that_are_held_are_bounded),
        BENCH_TEST(test_what_is_closing_goes_first),
        BENCH_TEST(test_who_shares_is_not_closed_for_who_hoards),
        BENCH_TEST(test_closing_a_member_during_an_event_skips_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

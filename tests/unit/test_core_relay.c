/* tests/unit/test_core_relay.c — broker/relay: what gateways say to one another passes through the
 * broker unchanged and in order; what cannot is said to be gone; a lost link is told to all. */
#include "tests/unit/core_fixture.h"

static struct rp_op relay_op(uint64_t to, uint64_t what, uint64_t id, struct rp_bytes data) {
    return (struct rp_op){.kind = RP_OP_RELAY,
                          .relay = {.to = to,
                                    .what = what,
                                    .id = id,
                                    .number = 200,
                                    .sid = RP_BYTES_LIT("sid-1"),
                                    .data = data}};
}

static void assert_relayed(uint64_t link_id, uint64_t from, struct rp_op sent) {
    struct rp_op got = next(link_id, RP_OP_RELAYED);
    assert_int_equal(got.relayed.from, from);
    assert_int_equal(got.relayed.what, sent.relay.what);
    assert_int_equal(got.relayed.id, sent.relay.id);
    assert_int_equal(got.relayed.number, sent.relay.number);
    assert_true(rp_bytes_eq(got.relayed.sid, sent.relay.sid));
    assert_true(rp_bytes_eq(got.relayed.data, sent.relay.data));
}

static void assert_gone(uint64_t link_id, uint64_t from, uint64_t id, uint64_t refused) {
    struct rp_op got = next(link_id, RP_OP_RELAYED);
    assert_int_equal(got.relayed.from, from);
    assert_int_equal(got.relayed.what, RP_RELAY_GONE);
    assert_int_equal(got.relayed.id, id);
    assert_int_equal(got.relayed.number, refused);
    assert_int_equal(got.relayed.data.len, 0);
}

static void assert_counted(uint64_t relays, uint64_t refused, uint64_t malformed) {
    const struct rp_core_stats *s = rp_core_stats(bench.core);
    assert_int_equal(s->relays, relays);
    assert_int_equal(s->relays_refused, refused);
    assert_int_equal(s->relays_malformed, malformed);
}

/* Kinds to whose sender a refusal is told, and the others. */
static const uint64_t asking[] = {RP_RELAY_GET, RP_RELAY_POST, RP_RELAY_WS_OPEN, RP_RELAY_WS_TEXT,
                                  RP_RELAY_WS_BINARY};
static const uint64_t answering[] = {RP_RELAY_ANSWER, RP_RELAY_ABORT, RP_RELAY_WS_SENT,
                                     RP_RELAY_WS_CLOSE};

/* ---- passing on ---- */

static void test_relays_pass_unchanged_and_in_order(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, UINT64_MAX);
    static const char *const datas[] = {"", "x", "a longer one"};
    struct rp_op sent[9];
    for (uint64_t what = 1; what <= 9; what++) {
        sent[what - 1] =
            relay_op(UINT64_MAX, what, UINT64_MAX - what, rp_bytes_str(datas[what % 3]));
        sent[what - 1].relay.number = what * UINT64_C(1) << 40;
        send(1, sent[what - 1]);
    }
    send(2, relay_op(5, RP_RELAY_ANSWER, 3, RP_BYTES_LIT("back")));
    run();
    for (size_t i = 0; i < COUNT(sent); i++) {
        assert_relayed(2, 5, sent[i]);
    }
    assert_relayed(1, UINT64_MAX, relay_op(5, RP_RELAY_ANSWER, 3, RP_BYTES_LIT("back")));
    nothing_more(1);
    nothing_more(2);
    assert_counted(10, 0, 0);
}

static void test_a_relay_to_oneself_comes_back(void **state) {
    (void) state;
    link_up(1, 5);
    struct rp_op op = relay_op(5, RP_RELAY_GET, 1, rp_bytes(NULL, 0));
    send(1, op);
    run();
    assert_relayed(1, 5, op);
    nothing_more(1);
}

static void test_unknown_kinds_are_dropped_and_counted(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    static const uint64_t unknown[] = {0, 10, 11, 256 + RP_RELAY_GET, UINT64_MAX};
    for (size_t i = 0; i < COUNT(unknown); i++) {
        send(1, relay_op(6, unknown[i], 1, RP_BYTES_LIT("x")));
        send(1, relay_op(7, unknown[i], 1, RP_BYTES_LIT("x")));
    }
    run();
    nothing_more(1);
    nothing_more(2);
    assert_counted(0, 0, 2 * COUNT(unknown));
}

static void test_the_largest_payload_passes(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 4 * RP_RELAY_BYTES_MAX; /* not what is to be found here */
    bench_reconfigure();
    link_up(1, 5);
    link_up(2, 6);
    uint8_t *bytes = rp_alloc(RP_RELAY_BYTES_MAX + 1);
    memset(bytes, 0xC1, RP_RELAY_BYTES_MAX + 1);
    /* behind a batch that is nearly whole */
    struct rp_op before = relay_op(6, RP_RELAY_WS_TEXT, 1, rp_bytes(bytes, 250 << 10));
    struct rp_op largest = relay_op(6, RP_RELAY_WS_BINARY, 2, rp_bytes(bytes, RP_RELAY_BYTES_MAX));
    char sid[RP_RELAY_SID_BYTES_MAX + 1];
    memset(sid, 's', sizeof sid);
    largest.relay.sid = rp_bytes(sid, RP_RELAY_SID_BYTES_MAX);
    send(1, before);
    send(1, largest);
    run();
    assert_relayed(2, 5, before);
    assert_relayed(2, 5, largest);
    struct rp_op op = relay_op(6, RP_RELAY_POST, 3, rp_bytes(bytes, RP_RELAY_BYTES_MAX + 1));
    send(1, op);
    run();
    assert_gone(1, 6, 3, RP_RELAY_POST);
    op = relay_op(6, RP_RELAY_GET, 4, rp_bytes(NULL, 0));
    op.relay.sid = rp_bytes(sid, sizeof sid);
    send(1, op);
    run();
    assert_gone(1, 6, 4, RP_RELAY_GET);
    nothing_more(2);
    assert_counted(2, 2, 0);
    free(bytes);
}

/* ---- nobody there ---- */

/* Incarnation 6 is in whatever state; what asks is answered, the rest is dropped. */
static void assert_not_there(void) {
    struct rp_core_stats before = *rp_core_stats(bench.core);
    for (size_t i = 0; i < COUNT(asking); i++) {
        send(1, relay_op(6, asking[i], 10 + i, RP_BYTES_LIT("x")));
        run();
        assert_gone(1, 6, 10 + i, asking[i]);
    }
    for (size_t i = 0; i < COUNT(answering); i++) {
        send(1, relay_op(6, answering[i], 10 + i, RP_BYTES_LIT("x")));
    }
    run();
    nothing_more(1);
    const struct rp_core_stats *s = rp_core_stats(bench.core);
    assert_int_equal(s->relays, before.relays);
    assert_int_equal(s->relays_refused, before.relays_refused + 9);
}

static void test_what_asks_somebody_who_is_not_there_is_gone(void **state) {
    (void) state;
    link_up(1, 5);
    assert_not_there(); /* never was */
    hello(2, 6, rp_bytes(NULL, 0), 0);
    run();
    next(2, RP_OP_WELCOME);
    assert_not_there(); /* is still greeting */
    nothing_more(2);
    resumed(2);
    send(1, relay_op(6, RP_RELAY_GET, 1, rp_bytes(NULL, 0)));
    run();
    assert_relayed(2, 5, relay_op(6, RP_RELAY_GET, 1, rp_bytes(NULL, 0)));
    lose_link(2);
    run();
    assert_int_equal(next(1, RP_OP_LOST).lost.incarnation, 6);
    assert_not_there();
}

static void test_who_is_greeting_cannot_relay(void **state) {
    (void) state;
    link_up(1, 5);
    send(2, relay_op(5, RP_RELAY_GET, 1, rp_bytes(NULL, 0))); /* before HELLO */
    run();
    next(2, RP_OP_REFUSED);
    nothing_more(1);
    hello(3, 6, rp_bytes(NULL, 0), 0);
    send(3, relay_op(5, RP_RELAY_GET, 2, rp_bytes(NULL, 0)));
    send(3, relay_op(5, RP_RELAY_ANSWER, 3, rp_bytes(NULL, 0)));
    run();
    next(3, RP_OP_WELCOME);
    assert_gone(3, 5, 2, RP_RELAY_GET);
    nothing_more(3);
    nothing_more(1);
    assert_counted(0, 2, 0);
}

/* ---- credit ---- */

static void consumed(uint64_t link_id, uint64_t bytes) {
    send(link_id, (struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.consumed = bytes}});
}

static void test_a_link_without_credit_takes_no_relay(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 100000;
    bench.config.page_bytes = 1000;
    bench_reconfigure();
    link_up(1, 5);
    link_up(2, 6);
    static uint8_t bytes[20000];
    struct rp_op op = relay_op(6, RP_RELAY_WS_BINARY, 1, rp_bytes(bytes, sizeof bytes));
    uint64_t passed = 0;
    do {
        send(1, op);
        run();
        passed = rp_core_stats(bench.core)->relays;
    } while (rp_core_stats(bench.core)->relays_refused == 0);
    assert_int_equal(passed, 4); /* the fifth would be past 100,000 */
    assert_gone(1, 6, 1, RP_RELAY_WS_BINARY);
    for (uint64_t i = 0; i < passed; i++) {
        assert_relayed(2, 5, op);
    }
    /* nothing of that WebSocket may come behind the message that is missing */
    struct rp_op end = next(2, RP_OP_RELAYED);
    assert_int_equal(end.relayed.from, 5);
    assert_int_equal(end.relayed.what, RP_RELAY_WS_CLOSE);
    assert_int_equal(end.relayed.id, 1);
    nothing_more(2);
    do { /* and to the last byte of the credit */
        send(1, relay_op(6, RP_RELAY_GET, 9, rp_bytes(NULL, 0)));
        run();
    } while (rp_core_stats(bench.core)->relays_refused == 1);
    assert_gone(1, 6, 9, RP_RELAY_GET);
    passed = rp_core_stats(bench.core)->relays;
    forget(&bench.received);
    /* what confirms or ends is passed on all the same */
    static const uint64_t small[] = {RP_RELAY_ABORT, RP_RELAY_WS_SENT, RP_RELAY_WS_CLOSE};
    for (size_t i = 0; i < COUNT(small); i++) {
        op = relay_op(6, small[i], 2, RP_BYTES_LIT("why"));
        send(1, op);
        run();
        assert_relayed(2, 5, op);
    }
    op = relay_op(6, RP_RELAY_WS_CLOSE, 2, rp_bytes(bytes, sizeof bytes));
    send(1, op); /* unless it is not that small */
    /* who waits for an answer that got lost here is told; who sent it is not */
    send(1, relay_op(6, RP_RELAY_ANSWER, 3, rp_bytes(bytes, sizeof bytes)));
    run();
    nothing_more(1);
    assert_gone(2, 5, 3, RP_RELAY_ANSWER);
    nothing_more(2);
    assert_counted(passed + COUNT(small), 4, 0);
    /* the other direction has its own credit; and there is credit again */
    op = relay_op(5, RP_RELAY_ANSWER, 1, rp_bytes(bytes, sizeof bytes));
    send(2, op);
    consumed(2, 80000);
    send(1, relay_op(6, RP_RELAY_WS_TEXT, 4, rp_bytes(bytes, sizeof bytes)));
    run();
    assert_relayed(1, 6, op);
    assert_relayed(2, 5, relay_op(6, RP_RELAY_WS_TEXT, 4, rp_bytes(bytes, sizeof bytes)));
}

/* Relays are for whoever has credit, also while its deliveries wait for more. */
static void test_a_link_that_is_behind_takes_relays(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 100000;
    bench.config.page_bytes = 1000;
    bench_reconfigure();
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(2, 1), other = connect_new(1, 2);
    join(m, "a");
    static char args[60002];
    memset(args, '1', sizeof args - 1);
    args[0] = '[';
    args[sizeof args - 2] = ']';
    publish(other, "a", args);
    publish(other, "a", args);
    next(2, RP_OP_DELIVER);
    nothing_more(2);
    assert_int_equal(rp_core_stats(bench.core)->links_behind, 1);
    struct rp_op op = relay_op(6, RP_RELAY_GET, 1, RP_BYTES_LIT("small"));
    send(1, op);
    run();
    assert_relayed(2, 5, op);
}

/* ---- lost links ---- */

static void expect_lost(uint64_t link_id, uint64_t incarnation) {
    assert_int_equal(next(link_id, RP_OP_LOST).lost.incarnation, incarnation);
}

static void test_all_who_are_up_are_told_of_a_lost_link(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    link_up(3, 7);
    hello(4, 8, rp_bytes(NULL, 0), 0); /* greeting */
    run();
    next(4, RP_OP_WELCOME);
    lose_link(2);
    lose_link(2);
    run();
    expect_lost(1, 6);
    expect_lost(3, 6);
    nothing_more(1);
    nothing_more(3);
    nothing_more(4);
    lose_link(4); /* nothing was relayed on it yet */
    run();
    nothing_more(1);
    nothing_more(3);
}

static void test_a_link_that_is_made_anew_was_lost(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    hello(3, 6, EPOCH, 0); /* the old link was not noticed to be gone */
    resumed(3);
    run();
    next(3, RP_OP_WELCOME);
    expect_lost(1, 6);
    nothing_more(1);
    nothing_more(2);
    nothing_more(3);
    struct rp_op op = relay_op(6, RP_RELAY_GET, 1, rp_bytes(NULL, 0));
    send(1, op);
    run();
    assert_relayed(3, 5, op);
}

static void test_a_gateway_that_is_reset_or_silent_was_lost(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    link_up(3, 7);
    consumed(2, UINT64_C(1) << 60); /* what it was never sent */
    run();
    next(2, RP_OP_RESET);
    expect_lost(1, 6);
    expect_lost(3, 6);
    pass_ms(RP_LINK_TIMEOUT_MS - 1);
    consumed(1, 0);
    run();
    nothing_more(1);
    pass_ms(201);
    run();
    expect_lost(1, 7);
    nothing_more(1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_relays_pass_unchanged_and_in_order),
        BENCH_TEST(test_a_relay_to_oneself_comes_back),
        BENCH_TEST(test_unknown_kinds_are_dropped_and_counted),
        BENCH_TEST(test_the_largest_payload_passes),
        BENCH_TEST(test_what_asks_somebody_who_is_not_there_is_gone),
        BENCH_TEST(test_who_is_greeting_cannot_relay),
        BENCH_TEST(test_a_link_without_credit_takes_no_relay),
        BENCH_TEST(test_a_link_that_is_behind_takes_relays),
        BENCH_TEST(test_all_who_are_up_are_told_of_a_lost_link),
        BENCH_TEST(test_a_link_that_is_made_anew_was_lost),
        BENCH_TEST(test_a_gateway_that_is_reset_or_silent_was_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/test_gateway_relay.c — gateway/relay: two gateways and a broker between them that
 * passes relays on, and a gateway that another one tells anything. */
#define BENCHES 2
#include "gateway/core.h"
#include "tests/unit/gateway_fixture.h"

#define EIGHTY "01234567890123456789012345678901234567890123456789012345678901234567890123456789"

#define SEP "\x1e"
#define FROM_HOLDER (UINT64_C(1) << 63)

enum { ENTRY, HOLDER };

/* ---- the broker ---- */

static struct {
    bool grants_no_credit;   /* it tells nobody that it dealt with what they sent */
    bool holds;              /* relays stay with it */
    size_t relays[BENCHES];  /* it had for this gateway */
    uint64_t whats[BENCHES]; /* a bit for each kind of them */
} broker;

static void pass_on(const struct rp_op_relay *op, uint64_t from) {
    for (size_t to = 0; to < BENCHES; to++) {
        if (benches[to].incarnation == op->to) {
            bench_use(to);
            broker.relays[to]++;
            broker.whats[to] |= UINT64_C(1) << op->what;
            say((struct rp_op){.kind = RP_OP_RELAYED,
                               .relayed = {.from = from,
                                           .what = op->what,
                                           .id = op->id,
                                           .number = op->number,
                                           .sid = op->sid,
                                           .data = op->data}});
            return;
        }
    }
    bool is_waited_for = op->what != RP_RELAY_ABORT && op->what != RP_RELAY_WS_SENT &&
                         op->what != RP_RELAY_WS_CLOSE && op->what != RP_RELAY_ANSWER;
    if (is_waited_for) {
        say((struct rp_op){
            .kind = RP_OP_RELAYED,
            .relayed = {.from = op->to, .what = RP_RELAY_GONE, .id = op->id, .number = op->what}});
    }
}

/* Passes on what this gateway has relayed. */
static bool pass_all(size_t i) {
    bool any = false;
    struct rp_list *it, *tmp, relays;
    bench_use(i);
    rp_list_init(&relays);
    RP_LIST_FOR(&bench.asked, it, tmp) {
        if (RP_CONTAINER_OF(it, struct got, node)->op.kind == RP_OP_RELAY && !broker.holds) {
            rp_list_remove(it);
            rp_list_append(&relays, it);
            any = true;
        }
    }
    RP_LIST_FOR(&relays, it, tmp) {
        bench_use(i);
        pass_on(&RP_CONTAINER_OF(it, struct got, node)->op.relay, bench.incarnation);
    }
    forget(&relays);
    return any;
}

/* Until everything has arrived. Afterwards the entry is in hand. */
static void settle(void) {
    for (bool any = true; any;) {
        any = false;
        for (size_t i = 0; i < BENCHES; i++) {
            bench_use(i);
            turn();
            while (rp_gateway_next_dirty(bench.g) != NULL) {
            }
            take_answers();
            while (rp_gateway_next_dirty(bench.g) != NULL) {
            }
            turn();
            any = pass_all(i) || any;
            bench_use(i);
            if (!broker.grants_no_credit && rp_gateway_stats(bench.g)->linked) {
                say((struct rp_op){.kind = RP_OP_HEARTBEAT,
                                   .heartbeat = {.consumed = bench.heard_bytes}});
            }
        }
    }
    bench_use(ENTRY);
}

/* Time goes on everywhere. */
static void pass_both_ms(uint64_t ms) {
    for (; ms > 0; ms -= ms < 1000 ? ms : 1000) {
        for (size_t i = 0; i < BENCHES; i++) {
            benches[i].now_ms += ms < 1000 ? ms : 1000;
        }
        settle();
    }
}

static int setup(void **state) {
    memset(&broker, 0, sizeof broker);
    for (size_t i = 0; i < BENCHES; i++) {
        bench_use(i);
        bench_setup(state);
        link_up();
    }
    return 0;
}

static int teardown(void **state) {
    for (size_t i = 0; i < BENCHES; i++) {
        bench_use(i);
        bench_teardown(state);
    }
    return 0;
}

static void reconfigure(void) {
    bench_reconfigure();
    link_up();
}

static const struct rp_gateway_stats *stats_of(size_t i) {
    return rp_gateway_stats(benches[i].g);
}

static void expect_relays(size_t at_entry, size_t at_holder) {
    assert_int_equal(stats_of(ENTRY)->relays, at_entry);
    assert_int_equal(stats_of(HOLDER)->relays, at_holder);
}

/* ---- clients ---- */

/* A long-polling session of the holder, in room "a" as connection 10. */
static void hold_poll(char ret_sid[SID_SPACE]) {
    bench_use(HOLDER);
    connect_poll(10, ret_sid);
    say_member(11, 10, true, "a");
    bench_use(ENTRY);
}

static void deliver(uint64_t seq, const char *args) {
    bench_use(HOLDER);
    say_deliver(seq, "a", args);
    settle();
}

static struct rp_wire *open_entry(const char *sid) {
    bench_use(ENTRY);
    struct rp_wire *w = rp_gateway_upgrade(bench.g, &bench, rp_bytes_str(sid), bench.now_ms);
    assert_non_null(w);
    settle();
    return w;
}

/* There is no such session: the shell answers with an HTTP error. */
static void expect_refused(struct rp_wire *w) {
    assert_true(rp_wire_is_refused(w));
    assert_false(rp_wire_is_pending(w));
    assert_true(rp_wire_is_closing(w));
    assert_false(rp_wire_has_output(w));
    gone(w);
}

static void say_text(struct rp_wire *w, const char *packet) {
    text(w, packet);
    settle();
}

/* The same with a WebSocket through the entry. */
static struct rp_wire *hold_wire(char ret_sid[SID_SPACE]) {
    hold_poll(ret_sid);
    struct rp_wire *w = open_entry(ret_sid);
    say_text(w, "2probe");
    expect(w, "3probe");
    say_text(w, "5");
    expect_relays(1, 1);
    return w;
}

/* The session has ended at the holder. */
static void expect_ended(void) {
    settle();
    bench_use(HOLDER);
    struct rp_op_close close = asked(RP_OP_CLOSE).close;
    assert_int_equal(close.session, 10);
    assert_int_equal(close.ended, 0);
    assert_int_equal(stats_of(HOLDER)->clients, 0);
    assert_int_equal(stats_of(HOLDER)->queued_bytes, 0);
    settle();
    expect_relays(0, 0);
}

/* ---- polls ---- */

static void test_polls_reach_the_holder(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    struct rp_exchange *x = get(sid);
    settle();
    expect_no_answer();
    expect_relays(1, 1);
    deliver(20, "[1]");
    expect_answer(x, 200, "42[\"e\",1,\"20-epoc\"]");
    expect_relays(0, 0);
    deliver(21, "[2]");
    bench_use(HOLDER);
    expect_answer(get(sid), 200, "42[\"e\",2,\"21-epoc\"]"); /* at home as well */
    bench_use(ENTRY);
    x = post(sid, "42[\"join\",\"b\"]" SEP "3");
    settle();
    expect_answer(x, 200, "ok");
    bench_use(HOLDER);
    asked(RP_OP_JOIN);
    nothing_asked();
    bench_use(ENTRY);
    nothing_asked();
    assert_int_equal(stats_of(ENTRY)->relayed, 2);
    assert_int_equal(stats_of(ENTRY)->relays_failed, 0);
    assert_int_equal(stats_of(ENTRY)->clients, 0);
    expect_relays(0, 0);
}

static void test_wrong_polls_are_answered_by_the_holder(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    struct rp_exchange *x = get(sid);
    settle();
    bench_use(HOLDER);
    struct rp_exchange *second = get(sid);
    expect_answer(second, 400, BAD_REQUEST);
    settle();
    expect_answer(x, 200, "1");
    x = post(sid, "3");
    settle();
    expect_answer(x, 400, UNKNOWN_SID);
    expect_ended();

    hold_poll(sid);
    x = post(sid, "x");
    settle();
    expect_answer(x, 400, BAD_REQUEST);
    expect_ended();

    hold_poll(sid);
    struct rp_exchange *poll = get(sid);
    x = post(sid, "1");
    settle();
    expect_answer(poll, 200, "6");
    expect_answer(x, 200, "ok");
    expect_ended();
}

/* Bytes that may not come in one POST do not come through another gateway either. */
static void test_a_payload_past_the_holders_maximum(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench_use(HOLDER);
    bench.config.max_payload = 100;
    reconfigure();
    hold_poll(sid);
    char payload[200] = "4";
    memset(payload + 1, 'x', sizeof payload - 2);
    struct rp_exchange *x = post(sid, payload);
    settle();
    expect_answer(x, 400, BAD_REQUEST);
    expect_ended();
}

static void test_a_lost_poll_ends_the_session(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    struct rp_exchange *x = get(sid);
    settle();
    end(x, false);
    expect_ended();
}

/* What the answer carried is lost with the connection, wherever that was. */
static void test_a_lost_answer_ends_the_session(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    struct rp_exchange *x = get(sid);
    deliver(20, "[1]");
    expect_status(x, 200);
    end(x, false);
    expect_ended();
}

static void test_a_lost_error_ends_nothing(void **state) {
    (void) state;
    char sid[SID_SPACE];
    struct rp_wire *w = hold_wire(sid);
    struct rp_exchange *x = get(sid);
    settle();
    expect_status(x, 400);
    end(x, false);
    settle();
    assert_int_equal(stats_of(HOLDER)->clients, 1);
    gone(w);
    expect_ended();
}

static void test_a_poll_has_its_time(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    broker.holds = true;
    struct rp_exchange *x = get(sid);
    pass_both_ms(bench.config.ping_interval_ms + bench.config.ping_timeout_ms + RP_RELAY_GRACE_MS -
                 1);
    expect_no_answer();
    assert_true(rp_gateway_deadline_ms(bench.g) <= bench.now_ms + 1);
    pass_both_ms(1);
    expect_answer(x, 400, UNKNOWN_SID);
    assert_int_equal(stats_of(ENTRY)->relays_failed, 1);
    assert_int_equal(asked(RP_OP_RELAY).relay.what, RP_RELAY_GET);
    assert_int_equal(asked(RP_OP_RELAY).relay.what, RP_RELAY_ABORT);
    bench_use(HOLDER); /* which has not heard a poll either */
    assert_int_equal(stats_of(HOLDER)->ping_timeouts, 1);
}

/* ---- WebSockets ---- */

static void test_a_conversation_through_the_entry(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    struct rp_exchange *x = get(sid);
    settle();
    struct rp_wire *w = open_entry(sid);
    expect_nothing(w);
    say_text(w, "2probe");
    expect(w, "3probe");
    expect_answer(x, 200, "6");
    deliver(20, "[0]");
    expect_nothing(w);
    say_text(w, "5");
    expect(w, "42[\"e\",0,\"20-epoc\"]");
    for (int i = 1; i < 200; i++) { /* both directions, a few at a time */
        char packet[64];
        snprintf(packet, sizeof packet, "42%d[\"join\",\"r%d\"]", i, i);
        text(w, packet);
        bench_use(HOLDER);
        snprintf(packet, sizeof packet, "[%d]", i);
        say_deliver(20 + (uint64_t) i, "a", packet);
        bench_use(ENTRY);
        if (i % 7 == 0) {
            settle();
        }
    }
    settle();
    for (int i = 1; i < 200; i++) {
        char packet[64];
        snprintf(packet, sizeof packet, "42[\"e\",%d,\"%d-epoc\"]", i, 20 + i);
        expect(w, packet);
        bench_use(HOLDER);
        snprintf(packet, sizeof packet, "r%d", i);
        assert_text(asked(RP_OP_JOIN).join.room, packet);
        bench_use(ENTRY);
    }
    expect_nothing(w);
    settle();
    nothing_asked();
    expect_relays(1, 1);
    assert_int_equal(stats_of(ENTRY)->clients, 0);
    assert_int_equal(stats_of(HOLDER)->polling, 0);
}

static void test_binary_messages_go_both_ways(void **state) {
    (void) state;
    char sid[SID_SPACE];
    struct rp_wire *w = hold_wire(sid);
    text(w, "451-[\"publish\",\"a\",\"b\",{\"_placeholder\":true,\"num\":0}]");
    binary(w, "one");
    settle();
    bench_use(HOLDER);
    struct rp_bytes packed = asked(RP_OP_PUBLISH).publish.attachments;
    assert_true(rp_bytes_eq(packed, RP_BYTES_LIT("\0\0\0\3one")));
    say((struct rp_op){.kind = RP_OP_DELIVER,
                       .deliver = {.seq = 40,
                                   .room = RP_BYTES_LIT("a"),
                                   .name = RP_BYTES_LIT("b"),
                                   .args = RP_BYTES_LIT("[{\"_placeholder\":true,\"num\":0}]"),
                                   .attachments = RP_BYTES_LIT("\0\0\0\3two")}});
    settle();
    expect(w, "451-[\"b\",{\"_placeholder\":true,\"num\":0},\"40-epoc\"]");
    expect_binary(w, "two");
}

/* One transport may be at home and the other one here. */
static void test_an_upgrade_across_gateways(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    struct rp_exchange *x = get(sid);
    settle();
    bench_use(HOLDER);
    struct rp_wire *w = rp_gateway_upgrade(bench.g, &bench, rp_bytes_str(sid), bench.now_ms);
    text(w, "2probe");
    expect(w, "3probe");
    settle();
    expect_answer(x, 200, "6");
    bench_use(HOLDER);
    text(w, "5");
    expect_nothing(w);
    settle();
    expect_relays(0, 0);
    struct rp_wire *second = open_entry(sid);
    expect_close(second, RP_WS_CLOSE_NONE, "");
    bench_use(HOLDER);
    expect_nothing(w);
}

static void test_wrong_upgrades_and_slow_ones(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    struct rp_wire *w = open_entry(sid);
    say_text(w, "hello");
    expect_close(w, 1002, NULL);
    w = open_entry(sid);
    pass_both_ms(10000);
    expect_close(w, 1000, "upgrade timeout");
    w = open_entry(sid);
    say_text(w, "2probe");
    expect(w, "3probe");
    gone(w);
    settle();
    expect_relays(0, 0);
    assert_int_equal(stats_of(HOLDER)->clients, 1);
    assert_int_equal(stats_of(HOLDER)->polling, 1);
    struct rp_exchange *x = get(sid);
    deliver(20, "[1]");
    expect_status(x, 200);
}

static void test_the_client_goes(void **state) {
    (void) state;
    char sid[SID_SPACE];
    struct rp_wire *w = hold_wire(sid);
    gone(w);
    expect_ended();
    w = hold_wire(sid);
    say_text(w, "1");
    expect_close(w, 1000, "");
    expect_ended();
    w = hold_wire(sid);
    say_text(w, "nonsense");
    expect_close(w, 1002, "not an Engine.IO packet");
    expect_ended();
    w = hold_wire(sid);
    rp_gateway_close(bench.g, w, 1009, "too big", RP_LEAVE_TRANSPORT_ERROR,
                     bench.now_ms); /* by its own shell */
    expect_close(w, 1009, "too big");
    expect_ended();
}

static void test_the_holder_closes(void **state) {
    (void) state;
    char sid[SID_SPACE];
    struct rp_wire *w = hold_wire(sid);
    bench_use(HOLDER);
    say((struct rp_op){.kind = RP_OP_EVICT, .evict = {.conn = 10, .reason = RP_BYTES_LIT("why")}});
    settle();
    expect_close(w, 1001, "why");
    expect_ended();
    w = hold_wire(sid);
    pass_both_ms(25000);
    expect(w, "2");
    pass_both_ms(20000);
    expect_close(w, 1001, "ping timeout");
    expect_ended();
}

static void test_everything_hangs_and_the_client_is_closed(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench_use(HOLDER);
    bench.config.mode = RP_GATEWAY_ECHO_EIO;
    bench.config.queue_bytes = 600;
    reconfigure();
    open_poll(sid);
    bench_use(ENTRY);
    char payload[700] = "4";
    memset(payload + 1, 'x', sizeof payload - 2);
    struct rp_wire *w = open_entry(sid);
    struct rp_exchange *x = post(sid, payload);
    settle();
    expect_no_answer(); /* it is paused */
    struct rp_exchange *poll = get(sid);
    settle();
    expect_status(poll, 200);
    end(poll, true);
    expect_answer(x, 200, "ok");
    x = post(sid, payload);
    settle();
    expect_relays(2, 2);
    struct rp_exchange *second = post(sid, "4");
    settle();
    expect_status(second, 400);
    expect_answer(x, 400, BAD_REQUEST);
    expect_close(w, 1000, "the session has ended");
    settle();
    expect_relays(0, 0);
    assert_int_equal(stats_of(HOLDER)->clients, 0);
    bench_use(HOLDER);
}

/* ---- the window ---- */

/* Who takes nothing at the entry fills a window there, and the rest waits at the holder. */
static void test_output_has_a_window(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench_use(HOLDER);
    bench.config.queue_bytes = 8 << 20;
    reconfigure();
    struct rp_wire *w = hold_wire(sid);
    enum { EVENTS = 40 };
    char *args = rp_alloc(16001);
    memset(args, ' ', 16000);
    memcpy(args + 15998, "1]", 3);
    args[0] = '[';
    for (uint64_t i = 0; i < EVENTS; i++) {
        deliver(20 + i, args);
    }
    assert_true(output_bytes(w) > RP_RELAY_WINDOW_BYTES - 17000);
    assert_true(output_bytes(w) < RP_RELAY_WINDOW_BYTES + 17000);
    assert_true(stats_of(HOLDER)->queued_bytes > 300000);
    for (uint64_t i = 0; i < EVENTS; i++) {
        char expected[32];
        struct rp_ws_msg msg;
        snprintf(expected, sizeof expected, "1,\"%d-epoc\"]", (int) (20 + i));
        assert_true(take_frame(w, &msg));
        assert_non_null(strstr(bench.text, expected));
        settle(); /* what comes is confirmed when half of it is written */
        assert_true(output_bytes(w) < RP_RELAY_WINDOW_BYTES / 2 * 3 + 17000);
    }
    assert_int_equal(stats_of(HOLDER)->queued_bytes, 0);
    for (uint64_t i = 0; i < EVENTS;
         i++) { /* and all of it is confirmed: a second time is the same */
        deliver(100 + i, args);
    }
    assert_true(output_bytes(w) > RP_RELAY_WINDOW_BYTES - 17000);
    free(args);
}

/* Who takes nothing at the entry is closed there when all have too much, not those who live there.
 */
static void test_the_entry_closes_who_hoards_there(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench_use(HOLDER);
    bench.config.queue_bytes = 8 << 20;
    reconfigure();
    bench_use(ENTRY);
    bench.config.budget = rp_budget_make(1, bench.config.max_payload);
    bench.config.budget.queues = 100000;
    reconfigure();
    struct rp_wire *own =
        rp_gateway_open(bench.g, &bench, RP_BYTES_LIT(""), bench.now_ms); /* "0{…" waits */
    struct rp_wire *w = hold_wire(sid);
    static char args[16001];
    memset(args, ' ', 16000);
    memcpy(args + 15998, "1]", 3);
    args[0] = '[';
    for (uint64_t i = 0; i < 20; i++) {
        deliver(20 + i, args);
    }
    bench_use(ENTRY);
    assert_false(rp_wire_is_closing(own));
    assert_true(rp_wire_is_closing(w));
    assert_true(output_bytes(w) < 200);
    assert_int_equal(stats_of(ENTRY)->hoarders, 1);
    gone(w);
    gone(own);
    assert_int_equal(stats_of(ENTRY)->held_bytes, 0);
    expect_ended();
}

/* A holder that closes does not wait for who takes nothing. */
static void test_a_close_does_not_wait_for_the_window(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench_use(HOLDER);
    bench.config.queue_bytes = 8 << 20;
    reconfigure();
    struct rp_wire *w = hold_wire(sid);
    char *args = rp_alloc(16001);
    memset(args, ' ', 16000);
    memcpy(args + 15998, "1]", 3);
    args[0] = '[';
    for (uint64_t i = 0; i < 40; i++) {
        deliver(20 + i, args);
    }
    free(args);
    bench_use(HOLDER);
    say((struct rp_op){.kind = RP_OP_EVICT, .evict = {.conn = 10, .reason = RP_BYTES_LIT("why")}});
    expect_ended();
    assert_true(rp_wire_is_closing(w));
    struct rp_ws_msg msg;
    uint64_t seq = 20;
    for (;; seq++) { /* in order, up to where the close came */
        char expected[32];
        snprintf(expected, sizeof expected, "1,\"%d-epoc\"]", (int) seq);
        assert_true(take_frame(w, &msg));
        if (msg.kind == RP_WS_CLOSE) {
            break;
        }
        assert_non_null(strstr(bench.text, expected));
    }
    assert_int_equal(msg.close_code, 1001);
    assert_true(seq > 30);
    gone(w);
}

/* A client that its holder may not hear is not read by the entry for long. */
static void test_input_has_a_window(void **state) {
    (void) state;
    char sid[SID_SPACE];
    struct rp_wire *w = hold_wire(sid);
    assert_true(rp_wire_wants_read(w));
    int sent = 0, heard = 0;
    char packet[64];
    while (rp_wire_wants_read(w)) {
        snprintf(packet, sizeof packet, "42[\"join\",\"r%d\"]", sent++);
        text(w, packet);
        if (sent % 100 == 0) {
            settle();
        }
        assert_true(sent < 20000);
    }
    settle();
    assert_int_equal(stats_of(HOLDER)->requests_open, RP_CLIENT_REQUESTS_MAX);
    assert_true(sent > RP_CLIENT_REQUESTS_MAX + 1000);
    assert_false(rp_wire_wants_read(w));
    for (; heard < sent; heard++) {
        bench_use(HOLDER);
        struct rp_op_join join = asked(RP_OP_JOIN).join;
        snprintf(packet, sizeof packet, "r%d", heard);
        assert_text(join.room, packet);
        say_done(join.num, 100);
        if (heard % 100 == 0 || heard > sent - 10) {
            settle();
        }
    }
    settle();
    assert_true(rp_wire_wants_read(w));
    bench_use(HOLDER);
    nothing_asked();
}

/* ---- credit ---- */

/* What a relayed message asks of the broker leaves in the turn in which it came. */
static void test_requests_do_not_wait_for_another_turn(void **state) {
    (void) state;
    char sid[SID_SPACE];
    struct rp_wire *w = hold_wire(sid);
    bench_use(ENTRY);
    text(w, "42[\"join\",\"a\"]");
    turn();
    pass_all(ENTRY);
    bench_use(HOLDER);
    rp_gateway_turn(bench.g, bench.now_ms);
    while (rp_gateway_next_dirty(bench.g) != NULL) {
    }
    struct rp_buf message;
    while (rp_gateway_uplink_take(bench.g, bench.now_ms, &message)) {
        hear(message);
    }
    bool found = false;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.asked, it, tmp) {
        found = found || RP_CONTAINER_OF(it, struct got, node)->op.kind == RP_OP_JOIN;
    }
    assert_true(found);
    bench_use(ENTRY);
    gone(w);
    settle();
}

/* What is large waits, what is small does not, and nothing is lost. */
static void test_an_entry_without_credit(void **state) {
    (void) state;
    static const char large[] =
        "42[\"join\",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]";
    char sid[SID_SPACE], other[SID_SPACE];
    bench_use(ENTRY);
    bench.config.link_credit_bytes = 4000;
    reconfigure();
    struct rp_wire *w = hold_wire(sid);
    bench_use(HOLDER);
    open_poll(other);
    bench_use(ENTRY);
    broker.grants_no_credit = true;
    size_t said = 0;
    for (; rp_wire_wants_read(w) && said < 1000; said++) {
        say_text(w, large);
    }
    assert_true(said > 10 && said < 1000);
    struct rp_exchange *x = post(other, "3" SEP "3"); /* of another client */
    struct rp_exchange *poll = get(other);
    settle();
    expect_no_answer();
    assert_false(rp_wire_wants_read(w));
    assert_false(rp_wire_is_closing(w));

    broker.grants_no_credit = false;
    for (int i = 0; i < 5; i++) {
        settle();
    }
    bench_use(ENTRY);
    assert_true(rp_wire_wants_read(w));
    take_answers();
    expect_answer(x, 200, "ok");
    expect_no_answer();
    bench_use(HOLDER);
    for (size_t i = 0; i < said; i++) {
        asked(RP_OP_JOIN);
    }
    nothing_asked();
    bench_use(ENTRY);
    end(poll, false);
    gone(w);
    settle();
    expect_relays(0, 0);
}

/* A POST that waits for credit ends with its connection, and with the link. */
static void test_a_post_that_waits_for_credit_may_end(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench_use(ENTRY);
    bench.config.link_credit_bytes = 100;
    reconfigure();
    hold_poll(sid);
    broker.grants_no_credit = true;
    for (int i = 0; i < 10; i++) {
        struct rp_exchange *poll = get(sid);
        settle();
        end(poll, false);
        bench_use(HOLDER);
        open_poll(sid);
        bench_use(ENTRY);
    }
    struct rp_exchange *x = post(sid, "3" SEP "3");
    expect_no_answer();
    assert_true(bench.g->parked_bytes > 0);
    end(x, false);
    assert_int_equal(bench.g->parked_bytes, 0);
    x = post(sid, "3" SEP "3");
    expect_no_answer();
    lose_link();
    turn();
    expect_answer(x, 400, UNKNOWN_SID);
    assert_int_equal(bench.g->parked_bytes, 0);
}

/* What the holder has to say waits. */
static void test_a_holder_without_credit(void **state) {
    (void) state;
    char sid[SID_SPACE], other[SID_SPACE];
    bench_use(HOLDER);
    bench.config.link_credit_bytes = 4000;
    bench.config.queue_bytes = 100000;
    reconfigure();
    struct rp_wire *w = hold_wire(sid);
    bench_use(HOLDER);
    open_poll(other);
    bench_use(ENTRY);
    struct rp_exchange *x = get(other);
    settle();
    broker.grants_no_credit = true;
    uint64_t seq = 20;
    for (int i = 0; i < 200; i++) {
        deliver(seq++, "[]");
    }
    bench_use(HOLDER);
    expect_answer(post(other, "40/no,"), 200, "ok");
    say_invalid_namespace(); /* this waits as well */
    settle();
    expect_no_answer();
    assert_true(stats_of(HOLDER)->queued_bytes > 1000);
    broker.grants_no_credit = false;
    for (int i = 0; i < 10; i++) {
        settle();
    }
    for (uint64_t i = 20; i < seq; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "42[\"e\",\"%d-epoc\"]", (int) i);
        expect(w, expected);
    }
    expect_nothing(w);
    expect_answer(x, 200, "44/no,{\"message\":\"Invalid namespace\"}");
    expect_relays(1, 1);
}

/* It goes on hearing, and what that makes it say waits behind the rest. */
static void test_a_holder_without_credit_hears(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench_use(HOLDER);
    bench.config.link_credit_bytes = 4000;
    bench.config.queue_bytes = 100000;
    reconfigure();
    struct rp_wire *w = hold_wire(sid);
    broker.grants_no_credit = true;
    for (uint64_t i = 0; i < 150; i++) {
        deliver(20 + i, "[]");
    }
    assert_true(stats_of(HOLDER)->queued_bytes > 500);
    bench_use(ENTRY);
    say_text(w, "40/no,");
    bench_use(HOLDER);
    say_invalid_namespace();
    broker.grants_no_credit = false;
    for (int i = 0; i < 10; i++) {
        settle();
    }
    for (uint64_t i = 0; i < 150; i++) {
        struct rp_ws_msg msg;
        assert_true(take_frame(w, &msg));
    }
    expect(w, "44/no,{\"message\":\"Invalid namespace\"}");
    expect_nothing(w);
}

/* An answer that waits for credit is lost with the entry. */
static void test_an_answer_that_waits_and_its_entry_is_lost(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench_use(HOLDER);
    bench.config.link_credit_bytes = 4000;
    reconfigure();
    hold_poll(sid);
    get(sid);
    settle();
    broker.holds = broker.grants_no_credit = true;
    bench_use(HOLDER);
    char other[SID_SPACE];
    open_poll(other);
    for (int i = 0; i < 200; i++) {
        expect_answer(post(other, "40"), 200, "ok");
        expect_answer(post(other, "41"), 200, "ok");
        turn();
    }
    say_deliver(20, "a", "[\"" EIGHTY EIGHTY EIGHTY EIGHTY "\"]");
    settle();
    bench_use(HOLDER);
    assert_int_equal(stats_of(HOLDER)->relays, 1);
    say((struct rp_op){.kind = RP_OP_LOST, .lost = {.incarnation = benches[ENTRY].incarnation}});
    assert_int_equal(stats_of(HOLDER)->relays, 0);
    assert_int_equal(stats_of(HOLDER)->clients, 1);
}

/* ---- what is lost ---- */

static void test_nobody_holds_it(void **state) {
    (void) state;
    bench_use(ENTRY);
    static const char sid[] = "CAAAAAAAAAABBBBBBBBBBBBBBBBBBBB";
    struct rp_exchange *poll = get(sid), *x = post(sid, "3");
    struct rp_wire *w = open_entry(sid);
    expect_answer(poll, 400, UNKNOWN_SID);
    expect_answer(x, 400, UNKNOWN_SID);
    expect_refused(w);
    assert_int_equal(stats_of(ENTRY)->relays_failed, 3);
    expect_relays(0, 0);
}

/* Whether the WebSocket may open is for the holder to say. */
static void test_a_wire_waits_for_its_holder(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    struct rp_wire *w = rp_gateway_upgrade(bench.g, &bench, rp_bytes_str(sid), bench.now_ms);
    assert_true(rp_wire_is_pending(w));
    assert_false(rp_wire_is_refused(w));
    assert_false(rp_wire_wants_read(w));
    settle();
    assert_false(rp_wire_is_pending(w));
    assert_true(rp_wire_wants_read(w));
    expect_nothing(w);
    gone(w);
    settle();
    expect_relays(0, 0);
    broker.holds = true;
    w = rp_gateway_upgrade(bench.g, &bench, rp_bytes_str(sid), bench.now_ms);
    pass_both_ms(45000 + RP_RELAY_GRACE_MS);
    expect_refused(w);
    assert_int_equal(stats_of(ENTRY)->relays, 0);
}

/* A POST is relayed when it is whole, and one that never is is nobody's business. */
static void test_a_post_is_relayed_when_it_is_whole(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    struct rp_exchange *x = post_head(sid);
    settle();
    expect_no_answer();
    expect_relays(0, 0);
    end(x, false);
    settle();
    assert_int_equal(stats_of(HOLDER)->clients, 1);
    x = post_head(sid);
    lose_link();
    struct rp_buf body;
    rp_buf_init(&body, 100);
    assert_int_equal(rp_buf_put_str(&body, "3"), RP_OK);
    rp_gateway_post_body(bench.g, x, &body, bench.now_ms);
    expect_answer(x, 400, UNKNOWN_SID);
    expect_answer(post_head(sid), 400, UNKNOWN_SID);
}

/* The broker could not pass on the holder's answer. */
static void test_an_answer_that_is_dropped(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    struct rp_exchange *x = get(sid);
    turn();
    uint64_t id = RP_CONTAINER_OF(rp_list_first(&bench.asked), struct got, node)->op.relay.id;
    settle();
    broker.holds = true;
    deliver(20, "[1]");
    bench_use(HOLDER);
    assert_int_equal(asked(RP_OP_RELAY).relay.what, RP_RELAY_ANSWER);
    broker.holds = false;
    bench_use(ENTRY);
    say((struct rp_op){.kind = RP_OP_RELAYED,
                       .relayed = {.from = benches[HOLDER].incarnation,
                                   .what = RP_RELAY_GONE,
                                   .id = id | FROM_HOLDER,
                                   .number = RP_RELAY_ANSWER}});
    expect_answer(x, 400, UNKNOWN_SID);
    expect_ended();
}

/* Sids that look right. */
static void test_forged_sids(void **state) {
    (void) state;
    char sid[SID_SPACE], forged[SID_SPACE + 1];
    hold_poll(sid);
    memcpy(forged, sid, sizeof sid);
    forged[15] = forged[15] == 'A' ? 'B' : 'A'; /* the holder's name and another secret */
    struct rp_exchange *poll = get(forged), *x = post(forged, "3");
    struct rp_wire *w = open_entry(forged);
    expect_answer(poll, 400, UNKNOWN_SID);
    expect_answer(x, 400, UNKNOWN_SID);
    expect_refused(w);
    expect_relays(0, 0);
    assert_int_equal(stats_of(ENTRY)->relayed, 3);
    assert_int_equal(stats_of(HOLDER)->clients, 1);
    static const char bad[] = {'.', '\0', '=', ' ', (char) 0xC3};
    for (size_t i = 0; i < COUNT(bad); i++) { /* nobody's name */
        memcpy(forged, sid, sizeof sid);
        forged[i] = bad[i];
        bench_use(ENTRY);
        struct rp_bytes bytes = rp_bytes(forged, SID_SPACE - 1);
        assert_null(rp_gateway_upgrade(bench.g, &bench, bytes, bench.now_ms));
    }
    snprintf(forged, sizeof forged, "%sA", sid);
    expect_answer(get(forged), 400, UNKNOWN_SID);
    expect_answer(get(sid + 1), 400, UNKNOWN_SID);
    assert_int_equal(stats_of(ENTRY)->relayed, 3);
}

enum loss { LOST, OWN_LINK, LOSSES };

static void lose(enum loss loss, size_t mine) {
    bench_use(mine);
    if (loss == OWN_LINK) {
        lose_link();
    } else {
        say((struct rp_op){.kind = RP_OP_LOST, .lost = {.incarnation = 12345}}); /* not them */
        expect_relays(3, 3);
        bench_use(mine);
        say((struct rp_op){.kind = RP_OP_LOST,
                           .lost = {.incarnation = benches[1 - mine].incarnation}});
    }
}

static void test_what_was_relayed_is_lost_with_a_link(void **state) {
    for (int loss = LOST; loss < LOSSES; loss++) {
        char sid[SID_SPACE], other[SID_SPACE];
        if (loss > LOST) {
            teardown(state);
            setup(state);
        }
        struct rp_wire *w = hold_wire(sid);
        bench_use(HOLDER);
        connect_poll(20, other);
        bench_use(ENTRY);
        struct rp_exchange *poll = get(other);
        struct rp_wire *probe = open_entry(other);
        settle();
        expect_relays(3, 3);
        lose(loss, ENTRY);
        expect_answer(poll, 400, UNKNOWN_SID);
        expect_close(w, 1001, "the gateway that holds the session is gone");
        expect_close(probe, 1001, "the gateway that holds the session is gone");
        assert_int_equal(stats_of(ENTRY)->relays, 0);
        assert_int_equal(stats_of(ENTRY)->relays_failed, 3);
        bench_use(HOLDER);
        assert_int_equal(stats_of(HOLDER)->clients, 2);
        if (loss == OWN_LINK) {
            say((struct rp_op){.kind = RP_OP_LOST,
                               .lost = {.incarnation = benches[ENTRY].incarnation}});
        } else {
            lose_link();
        }
        assert_int_equal(stats_of(HOLDER)->relays, 0);
        assert_int_equal(stats_of(HOLDER)->clients, 0);
        turn();
        assert_int_equal(stats_of(HOLDER)->queued_bytes, 0);
    }
}

/* An entry that has heard nothing of a wire for longer than any client would wait lets it go. */
static void test_a_silent_holder(void **state) {
    (void) state;
    char sid[SID_SPACE];
    struct rp_wire *w = hold_wire(sid);
    pass_both_ms(25000);
    expect(w, "2"); /* each message begins the time anew */
    say_text(w, "3");
    pass_both_ms(25000);
    expect(w, "2");
    say_text(w, "3");
    pass_both_ms(24000);
    expect_nothing(w);
    broker.holds = true;
    pass_both_ms(45000 + RP_RELAY_GRACE_MS - 24000 - 1);
    expect_nothing(w);
    pass_both_ms(1);
    expect_close(w, 1001, "the gateway that holds the session is gone");
    assert_int_equal(stats_of(ENTRY)->relays_failed, 1);
    assert_int_equal(stats_of(ENTRY)->relays, 0);
}

/* An entry that stops lets go what belongs to others. */
static void test_draining_an_entry(void **state) {
    (void) state;
    char sid[SID_SPACE], other[SID_SPACE];
    struct rp_wire *w = hold_wire(sid);
    bench_use(HOLDER);
    open_poll(other);
    bench_use(ENTRY);
    struct rp_exchange *x = get(other);
    settle();
    rp_gateway_drain(bench.g, bench.now_ms, 1000);
    pass_both_ms(999);
    expect_nothing(w);
    expect_no_answer();
    pass_both_ms(100);
    expect_close(w, 1001, "server shutting down");
    expect_status(x, 400);
    end(x, true);
    assert_true(rp_gateway_is_drained(bench.g));
    expect_ended();
}

/* ---- what another gateway may say ---- */

static void relayed(uint64_t what, uint64_t id, uint64_t number, struct rp_bytes sid,
                    struct rp_bytes data) {
    say((struct rp_op){
        .kind = RP_OP_RELAYED,
        .relayed = {
            .from = 77, .what = what, .id = id, .number = number, .sid = sid, .data = data}});
    while (rp_gateway_next_dirty(bench.g) != NULL) {
    }
    take_answers();
    while (rp_gateway_next_dirty(bench.g) != NULL) {
    }
}

/* The next thing said to it. */
static struct rp_op_relay relay_asked(uint64_t what, uint64_t id) {
    struct rp_op_relay op = asked(RP_OP_RELAY).relay;
    assert_int_equal(op.to, 77);
    assert_int_equal(op.what, what);
    assert_true(op.id == (id | FROM_HOLDER));
    return op;
}

/* Messages of a wire that nobody here knows are answered with its end; nothing else is. */
static void test_ids_that_nobody_knows(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    bench_use(HOLDER);
    struct rp_bytes none = rp_bytes(NULL, 0);
    for (uint64_t what = 0; what < 12; what++) {
        bool is_message = what == RP_RELAY_WS_TEXT || what == RP_RELAY_WS_BINARY;
        for (int from_holder = 0; from_holder < 2; from_holder++) {
            uint64_t id = 5 | (from_holder ? FROM_HOLDER : 0);
            bool is_request =
                what == RP_RELAY_GET || what == RP_RELAY_POST || what == RP_RELAY_WS_OPEN;
            relayed(what, id, 1, none, RP_BYTES_LIT("3"));
            if (is_message || (is_request && !from_holder)) {
                struct rp_op_relay op = asked(RP_OP_RELAY).relay;
                assert_int_equal(op.to, 77);
                assert_true(op.id == (id ^ FROM_HOLDER));
                assert_int_equal(op.what, is_message ? RP_RELAY_WS_CLOSE : RP_RELAY_ANSWER);
                assert_int_equal(op.number, is_message ? 1001 : 400);
            }
            nothing_asked();
        }
    }
    assert_int_equal(stats_of(HOLDER)->relays, 0);
    assert_int_equal(stats_of(HOLDER)->clients, 1);
}

/* An id that is in use already names what it named, and what does not fit it is not heard. */
static void test_ids_that_are_used_again(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    bench_use(HOLDER);
    struct rp_bytes bytes = rp_bytes_str(sid), none = rp_bytes(NULL, 0);
    relayed(RP_RELAY_GET, 1, 0, bytes, none);
    for (uint64_t what = RP_RELAY_GET; what < 12; what++) {
        if (what != RP_RELAY_ABORT) {
            relayed(what, 1, 200, bytes, RP_BYTES_LIT("3"));
        }
    }
    relayed(RP_RELAY_WS_OPEN, 2, 0, bytes, none);
    assert_int_equal(relay_asked(RP_RELAY_ANSWER, 2).number, 101);
    for (uint64_t what = RP_RELAY_GET; what <= RP_RELAY_WS_OPEN; what++) {
        relayed(what, 2, 200, bytes, RP_BYTES_LIT("3"));
    }
    relayed(RP_RELAY_WS_SENT, 2, UINT64_MAX, bytes, none); /* more than there was */
    nothing_asked();
    assert_int_equal(stats_of(HOLDER)->relays, 2);
    assert_int_equal(stats_of(HOLDER)->clients, 1);
    say_deliver(20, "a", "[]");
    take_answers();
    assert_text(relay_asked(RP_RELAY_ANSWER, 1).data, "42[\"e\",\"20-epoc\"]");
    relayed(RP_RELAY_WS_TEXT, 2, 0, none, RP_BYTES_LIT("2probe"));
    assert_int_equal(relay_asked(RP_RELAY_WS_SENT, 2).number, 6 + 64);
    assert_text(relay_asked(RP_RELAY_WS_TEXT, 2).data, "3probe");
    /* an id is the entry's own: another entry may have the same */
    struct rp_op op = {.kind = RP_OP_RELAYED,
                       .relayed = {.from = 78, .what = RP_RELAY_GET, .id = 1, .sid = bytes}};
    say(op);
    take_answers();
    assert_int_equal(asked(RP_OP_RELAY).relay.to, 78); /* "6": it is upgrading */
    relayed(RP_RELAY_WS_CLOSE, 2, 0, none, none);
    assert_int_equal(stats_of(HOLDER)->relays, 0);
    assert_int_equal(stats_of(HOLDER)->clients, 1);
}

/* Codes that may not be in a close frame are not passed on. */
static void test_codes_of_a_close(void **state) {
    (void) state;
    static const struct {
        uint64_t number;
        uint16_t code;
    } table[] = {
        {1000, 1000},
        {1001, 1001},
        {1014, 1014},
        {3000, 3000},
        {4999, 4999},
        {0, RP_WS_CLOSE_NONE},
        {1, RP_WS_CLOSE_NONE},
        {999, RP_WS_CLOSE_NONE},
        {1004, RP_WS_CLOSE_NONE},
        {1005, RP_WS_CLOSE_NONE},
        {1006, RP_WS_CLOSE_NONE},
        {1015, RP_WS_CLOSE_NONE},
        {2000, RP_WS_CLOSE_NONE},
        {5000, RP_WS_CLOSE_NONE},
        {65536 + 1000, RP_WS_CLOSE_NONE},
        {UINT64_MAX, RP_WS_CLOSE_NONE},
    };
    bench_use(ENTRY);
    for (size_t i = 0; i < COUNT(table); i++) {
        static const char sid[] = "NBAAAAAAAAABBBBBBBBBBBBBBBBBBBB"; /* 77's */
        struct rp_wire *w = rp_gateway_upgrade(bench.g, &bench, rp_bytes_str(sid), bench.now_ms);
        assert_non_null(w);
        struct rp_op_relay op = asked(RP_OP_RELAY).relay;
        assert_int_equal(op.to, 77);
        relayed(RP_RELAY_ANSWER, op.id | FROM_HOLDER, 101, rp_bytes(NULL, 0), rp_bytes(NULL, 0));
        relayed(RP_RELAY_ANSWER, op.id | FROM_HOLDER, 400, rp_bytes(NULL, 0),
                rp_bytes(NULL, 0)); /* too late to say no */
        char reason[300];
        memset(reason, 'r', sizeof reason);
        relayed(RP_RELAY_WS_CLOSE, op.id | FROM_HOLDER, table[i].number, rp_bytes(NULL, 0),
                rp_bytes(reason, i % 2 ? sizeof reason : 0));
        expect_close(w, table[i].code, table[i].code == RP_WS_CLOSE_NONE || i % 2 ? NULL : "");
    }
}

/* Statuses other than those a poll has. */
static void test_statuses_of_an_answer(void **state) {
    (void) state;
    static const uint64_t numbers[] = {200, 400, 403, 0, 100, 500, UINT64_MAX};
    bench_use(ENTRY);
    for (size_t i = 0; i < COUNT(numbers); i++) {
        struct rp_exchange *x = get("NBAAAAAAAAABBBBBBBBBBBBBBBBBBBB");
        uint64_t id = asked(RP_OP_RELAY).relay.id;
        relayed(RP_RELAY_ABORT, id | FROM_HOLDER, 0, rp_bytes(NULL, 0), rp_bytes(NULL, 0));
        relayed(RP_RELAY_WS_TEXT, id | FROM_HOLDER, 0, rp_bytes(NULL, 0), rp_bytes(NULL, 0));
        assert_int_equal(stats_of(ENTRY)->relays, 1); /* not for a poll */
        relayed(RP_RELAY_ANSWER, id | FROM_HOLDER, numbers[i], rp_bytes(NULL, 0),
                RP_BYTES_LIT("body"));
        relayed(RP_RELAY_ANSWER, id | FROM_HOLDER, 200, rp_bytes(NULL, 0), RP_BYTES_LIT("again"));
        expect_answer(x, i < 3 ? (int) numbers[i] : 400, "body");
    }
}

/* Who is told that its messages were not passed on ends what they were part of. */
static void test_a_wire_whose_entry_is_gone(void **state) {
    (void) state;
    char sid[SID_SPACE];
    hold_poll(sid);
    bench_use(HOLDER);
    relayed(RP_RELAY_WS_OPEN, 2, 0, rp_bytes_str(sid), rp_bytes(NULL, 0));
    relay_asked(RP_RELAY_ANSWER, 2);
    relayed(RP_RELAY_WS_TEXT, 2, 0, rp_bytes(NULL, 0), RP_BYTES_LIT("2probe"));
    relay_asked(RP_RELAY_WS_SENT, 2);
    relay_asked(RP_RELAY_WS_TEXT, 2);
    relayed(RP_RELAY_WS_TEXT, 2, 0, rp_bytes(NULL, 0), RP_BYTES_LIT("5"));
    relay_asked(RP_RELAY_WS_SENT, 2);
    relayed(RP_RELAY_GONE, 2, 0, rp_bytes(NULL, 0), rp_bytes(NULL, 0)); /* of ours, not theirs */
    assert_int_equal(stats_of(HOLDER)->clients, 1);
    relayed(RP_RELAY_GONE, 2 | FROM_HOLDER, 0, rp_bytes(NULL, 0), rp_bytes(NULL, 0));
    assert_int_equal(stats_of(HOLDER)->clients, 0);
    assert_int_equal(stats_of(HOLDER)->relays, 0);
    assert_int_equal(asked(RP_OP_CLOSE).close.session, 10);
}

/* ---- how many ---- */

static void test_relays_have_a_maximum(void **state) {
    (void) state;
    static const char sid[] = "NBAAAAAAAAABBBBBBBBBBBBBBBBBBBB";
    bench_use(ENTRY);
    bench.config.link_credit_bytes = 1 << 30;
    reconfigure();
    struct rp_exchange **all = rp_alloc(RP_RELAYS_MAX * sizeof *all);
    for (size_t i = 0; i < RP_RELAYS_MAX; i++) {
        all[i] = rp_gateway_poll_get(bench.g, &bench, rp_bytes_str(sid), bench.now_ms);
    }
    expect_no_answer();
    assert_int_equal(stats_of(ENTRY)->relays, RP_RELAYS_MAX);
    expect_answer(get(sid), 400, UNKNOWN_SID);
    assert_null(rp_gateway_upgrade(bench.g, &bench, rp_bytes_str(sid), bench.now_ms));
    relayed(RP_RELAY_WS_OPEN, 5, 0, rp_bytes_str(sid), rp_bytes(NULL, 0)); /* nor for others */
    for (size_t i = 0; i < RP_RELAYS_MAX; i++) {
        end(all[i], i % 2);
    }
    free(all);
    assert_int_equal(stats_of(ENTRY)->relays, 0);
}

static void test_relays_of_others_have_a_maximum(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench_use(HOLDER);
    bench.config.link_credit_bytes = 1 << 30;
    reconfigure();
    hold_poll(sid);
    bench_use(HOLDER);
    for (uint64_t id = 0; id <= RP_RELAYS_MAX; id++) { /* and nothing is flushed meanwhile */
        say((struct rp_op){
            .kind = RP_OP_RELAYED,
            .relayed = {.from = 77, .what = RP_RELAY_WS_OPEN, .id = id, .sid = rp_bytes_str(sid)}});
    }
    assert_int_equal(stats_of(HOLDER)->relays, RP_RELAYS_MAX);
    for (uint64_t id = 0; id <= RP_RELAYS_MAX; id++) {
        uint64_t number = relay_asked(RP_RELAY_ANSWER, id).number;
        assert_int_equal(number, id < RP_RELAYS_MAX ? 101 : 400);
    }
    while (rp_gateway_next_dirty(bench.g) != NULL) { /* all but the first are refused */
    }
    assert_int_equal(stats_of(HOLDER)->relays, 1);
    forget(&bench.asked);
}

/* ---- freeing ---- */

static void test_freeing_with_everything_hanging(void **state) {
    (void) state;
    char sid[SID_SPACE], other[SID_SPACE];
    hold_wire(sid);
    bench_use(HOLDER);
    connect_poll(20, other);
    bench_use(ENTRY);
    get(other);
    text(open_entry(other), "2probe");
    get("CAAAAAAAAAABBBBBBBBBBBBBBBBBBBB");
    deliver(20, "[1]");
    bench_use(HOLDER);
    say_deliver(21, "a", "[1]");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_polls_reach_the_holder),
        TEST(test_wrong_polls_are_answered_by_the_holder),
        TEST(test_a_payload_past_the_holders_maximum),
        TEST(test_a_lost_poll_ends_the_session),
        TEST(test_a_lost_answer_ends_the_session),
        TEST(test_a_lost_error_ends_nothing),
        TEST(test_a_poll_has_its_time),
        TEST(test_a_conversation_through_the_entry),
        TEST(test_binary_messages_go_both_ways),
        TEST(test_an_upgrade_across_gateways),
        TEST(test_wrong_upgrades_and_slow_ones),
        TEST(test_the_client_goes),
        TEST(test_the_holder_closes),
        TEST(test_everything_hangs_and_the_client_is_closed),
        TEST(test_output_has_a_window),
        TEST(test_the_entry_closes_who_hoards_there),
        TEST(test_a_close_does_not_wait_for_the_window),
        TEST(test_input_has_a_window),
        TEST(test_requests_do_not_wait_for_another_turn),
        TEST(test_an_entry_without_credit),
        TEST(test_a_post_that_waits_for_credit_may_end),
        TEST(test_a_holder_without_credit),
        TEST(test_a_holder_without_credit_hears),
        TEST(test_an_answer_that_waits_and_its_entry_is_lost),
        TEST(test_nobody_holds_it),
        TEST(test_a_wire_waits_for_its_holder),
        TEST(test_a_post_is_relayed_when_it_is_whole),
        TEST(test_an_answer_that_is_dropped),
        TEST(test_forged_sids),
        TEST(test_what_was_relayed_is_lost_with_a_link),
        TEST(test_a_silent_holder),
        TEST(test_draining_an_entry),
        TEST(test_ids_that_nobody_knows),
        TEST(test_ids_that_are_used_again),
        TEST(test_codes_of_a_close),
        TEST(test_statuses_of_an_answer),
        TEST(test_a_wire_whose_entry_is_gone),
        TEST(test_relays_have_a_maximum),
        TEST(test_relays_of_others_have_a_maximum),
        TEST(test_freeing_with_everything_hanging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/test_gateway_poll.c — gateway/poll, gateway/wire: sessions over long-polling, and how
 * they become WebSockets. */
#include "tests/unit/gateway_fixture.h"

#define SEP "\x1e"

static const struct rp_gateway_stats *stats(void) {
    return rp_gateway_stats(bench.g);
}

/* Everything that counts what is there says nothing is. */
static void expect_empty(void) {
    turn();
    assert_int_equal(stats()->clients, 0);
    assert_int_equal(stats()->polling, 0);
    assert_int_equal(stats()->sessions, 0);
    assert_int_equal(stats()->queued_bytes, 0);
    assert_int_equal(stats()->rooms, 0);
    expect_no_answer();
    assert_null(rp_gateway_next_dirty(bench.g));
}

static void expect_unknown(const char *sid) {
    expect_answer(get(sid), 400, UNKNOWN_SID);
    expect_answer(post(sid, "3"), 400, UNKNOWN_SID);
    struct rp_bytes bytes = rp_bytes_str(sid);
    assert_null(rp_gateway_upgrade(bench.g, &bench, bytes, bench.now_ms));
}

/* ---- GET ---- */

static void test_the_handshake_offers_an_upgrade(void **state) {
    (void) state;
    struct rp_exchange *x = poll_open();
    assert_int_equal(stats()->clients, 1);
    assert_int_equal(stats()->polling, 1);
    expect_status(x, 200);
    assert_string_equal(bench.text, "0{\"sid\":\"BAAAAAAAAAABBBBBBBBBBBBBBBBBBBB\","
                                    "\"upgrades\":[\"websocket\"],\"pingInterval\":25000,"
                                    "\"pingTimeout\":20000,\"maxPayload\":100000}");
    assert_text(rp_exchange_sid(x), "BAAAAAAAAAABBBBBBBBBBBBBBBBBBBB");
    end(x, true);
    expect_no_answer();
}

static void test_no_upgrade_is_offered_where_none_may_be(void **state) {
    (void) state;
    bench.config.no_upgrades = true;
    bench_reconfigure();
    struct rp_exchange *x = poll_open();
    expect_status(x, 200);
    assert_non_null(strstr(bench.text, "\"upgrades\":[],"));
    char sid[SID_SPACE] = "";
    memcpy(sid, rp_exchange_sid(x).data, SID_SPACE - 1);
    end(x, true);
    struct rp_wire *w = rp_gateway_upgrade(bench.g, &bench, rp_bytes_str(sid), bench.now_ms);
    expect_close(w, RP_WS_CLOSE_NONE, "");
    assert_int_equal(stats()->clients, 1);
}

static void test_a_get_waits_and_others_are_answered_at_once(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    say_member(11, 10, true, "a");
    struct rp_exchange *x = get(sid);
    expect_no_answer();
    say_deliver(12, "a", "[1]");
    assert_int_equal(rp_exchange_sid(x).len, 0); /* only the handshake's answer gives it */
    expect_answer(x, 200, "42[\"e\",1,\"12-epoc\"]");
    say_deliver(13, "a", "[2]");
    say_deliver(14, "a", "[3]");
    expect_no_answer();
    expect_answer(get(sid), 200, "42[\"e\",2,\"13-epoc\"]" SEP "42[\"e\",3,\"14-epoc\"]");
    x = get(sid);
    expect_no_answer();
    end(x, true); /* the shell may also end what was not answered */
}

static void test_an_answer_has_at_most_16_packets(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    say_member(11, 10, true, "a");
    for (uint64_t seq = 100; seq < 140; seq++) {
        say_deliver(seq, "a", "[]");
    }
    uint64_t seq = 100;
    for (size_t packets = 16; packets > 0; packets = seq < 132 ? 16 : 140 - seq) {
        struct rp_exchange *x = get(sid);
        expect_status(x, 200);
        const char *at = bench.text;
        for (size_t i = 0; i < packets; i++, seq++) {
            char expected[64];
            int len = snprintf(expected, sizeof expected, "%s42[\"e\",\"%d-epoc\"]",
                               i > 0 ? SEP : "", (int) seq);
            assert_memory_equal(at, expected, len);
            at += len;
        }
        assert_int_equal(*at, '\0');
        end(x, true);
    }
    assert_int_equal(seq, 140);
    assert_int_equal(stats()->queued_bytes, 0);
}

static void test_an_answer_ends_when_it_is_large(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench.config.queue_bytes = 8 << 20;
    bench.config.max_payload = 2 << 20;
    bench_reconfigure();
    link_up();
    connect_poll(10, sid);
    say_member(11, 10, true, "a");
    size_t len = RP_POLL_BYTES;
    char *args = rp_alloc(len + 1);
    memset(args, ' ', len);
    args[0] = '[';
    args[len - 1] = ']';
    args[len] = '\0';
    say_deliver(20, "a", args);
    say_deliver(21, "a", args);
    free(args);
    for (int i = 0; i < 2; i++) {
        struct rp_exchange *x = get(sid);
        assert_ptr_equal(next_answered(), x);
        assert_true(rp_exchange_body(x).len > len && rp_exchange_body(x).len < len + 100);
        end(x, true);
    }
    assert_int_equal(stats()->queued_bytes, 0);
}

/* ---- POST ---- */

static void test_a_post_is_several_packets(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    open_poll(sid);
    struct rp_exchange *x = post(sid, "40" SEP "3" SEP "40/no," SEP "3");
    expect_answer(x, 200, "ok");
    asked(RP_OP_CONNECT);
    assert_text(asked(RP_OP_CONNECT).connect.nsp, "/no");
    say_invalid_namespace();
    expect_answer(get(sid), 200, "44/no,{\"message\":\"Invalid namespace\"}");
    assert_int_equal(stats()->packets_in, 4);
    assert_int_equal(stats()->refused_connects, 1);
}

static void test_binary_is_base64(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench.config.mode = RP_GATEWAY_ECHO_EIO;
    bench_reconfigure();
    open_poll(sid);
    expect_answer(post(sid, "bAQIDBA==" SEP "4hello" SEP "b"), 200, "ok");
    expect_answer(get(sid), 200, "bAQIDBA==" SEP "4hello" SEP "b");
}

static void test_wrong_payloads_end_the_session(void **state) {
    (void) state;
    static const struct {
        const char *payload;
        size_t len; /* 0: all of it */
    } table[] = {
        {"", 0},
        {SEP, 0},
        {SEP "3", 0},
        {"3" SEP, 0},
        {"3" SEP SEP "3", 0},
        {"7", 0},
        {"x", 0},
        {"0", 0},
        {"6", 0},
        {"2", 0},
        {"2probe", 0},
        {"5", 0},
        {"b=", 0},
        {"bA", 0},
        {"b!!!!", 0},
        {"bAQIDBA==", 0}, /* no packet has announced it */
        {"4", 0},
        {"49", 0},
        {"42[\"e\"]", 0}, /* not connected */
        {"43\xff", 0},
        {"3" SEP "\xc3", 0},
        {"3\0", 2}, /* a pong with a NUL in it is one: checked below */
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        char sid[SID_SPACE];
        open_poll(sid);
        struct rp_exchange *poll = get(sid);
        size_t len = table[i].len > 0 ? table[i].len : strlen(table[i].payload);
        struct rp_exchange *x = post_bytes(sid, rp_bytes(table[i].payload, len));
        if (table[i].len > 0) {
            expect_answer(x, 200, "ok");
            end(poll, false);
            continue;
        }
        expect_answer(poll, 200, "1");
        expect_answer(x, 400, BAD_REQUEST);
        assert_int_equal(stats()->bad_packets, i + 1);
        expect_unknown(sid);
    }
    expect_empty();
}

static void test_a_payload_past_the_maximum_ends_the_session(void **state) {
    (void) state;
    char sid[SID_SPACE];
    char *payload = rp_alloc(bench.config.max_payload + 2);
    memset(payload, '3', bench.config.max_payload + 1);
    payload[bench.config.max_payload + 1] = '\0';
    open_poll(sid);
    expect_answer(post(sid, payload), 400, BAD_REQUEST);
    open_poll(sid);
    expect_answer(post(sid, payload + 1), 200, "ok");
    free(payload);
    end(get(sid), false);
    expect_empty();
}

/* A client that may not be read stays with the rest of its POST. */
static void test_a_paused_client_is_not_heard_further(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    size_t joins = RP_CLIENT_REQUESTS_MAX + 3;
    struct rp_buf payload;
    rp_buf_init(&payload, 1 << 20);
    for (size_t i = 0; i < joins; i++) {
        assert_int_equal(
            rp_buf_put_str(&payload, i > 0 ? SEP "42[\"join\",\"a\"]" : "42[\"join\",\"a\"]"),
            RP_OK);
    }
    struct rp_exchange *x = post_bytes(sid, rp_buf_bytes(&payload));
    rp_buf_done(&payload);
    expect_no_answer();
    assert_int_equal(stats()->requests_open, RP_CLIENT_REQUESTS_MAX);
    assert_int_equal(stats()->paused, 1);
    struct rp_exchange *poll = get(sid);
    pass_linked_ms(25000);
    expect_answer(poll, 200, "2");
    for (int i = 0; i < 5; i++) { /* what cannot be heard is not expected, but it is still pinged */
        poll = get(sid);
        pass_linked_ms(20000);
        expect_answer(poll, 200, "2");
    }
    assert_int_equal(stats()->ping_timeouts, 0);
    for (size_t i = 0; i < joins; i++) {
        say_done(asked(RP_OP_JOIN).join.num, 100 + i);
        if (i < 3) {
            expect_no_answer();
        } else if (i == 3) {
            expect_answer(x, 200, "ok");
        }
    }
    nothing_asked();
    assert_int_equal(stats()->requests_open, 0);
    poll = get(sid);
    expect_answer(post(sid, "3"), 200, "ok");
    pass_linked_ms(25000);
    expect_answer(poll, 200, "2"); /* it is asked again */
}

/* The same where a client must take what it said before it may say more. */
static void test_an_echo_that_is_not_taken_pauses(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench.config.mode = RP_GATEWAY_ECHO_EIO;
    bench.config.queue_bytes = 600;
    bench_reconfigure();
    open_poll(sid);
    char payload[40 * 30 + 1] = "";
    for (int i = 0; i < 40; i++) {
        snprintf(payload + strlen(payload), sizeof payload - strlen(payload), "%s4%025d",
                 i > 0 ? SEP : "", i);
    }
    struct rp_exchange *x = post(sid, payload);
    expect_no_answer();
    char got[sizeof payload + SID_SPACE] = "";
    bool answered = false;
    while (strlen(got) < strlen(payload)) {
        struct rp_exchange *poll = get(sid), *next = next_answered();
        if (next == x) {
            answered = true;
            next = next_answered();
        }
        assert_ptr_equal(next, poll);
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", got[0] ? SEP : "",
                 RP_BYTES_FMT(rp_exchange_body(poll)));
        end(poll, true);
    }
    assert_string_equal(got, payload);
    if (!answered) {
        assert_ptr_equal(next_answered(), x);
    }
    assert_int_equal(rp_exchange_status(x), 200);
    end(x, true);
}

/* Whose body has yet to come. */
static void test_the_head_of_a_post_comes_first(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    open_poll(sid);
    struct rp_exchange *x = post_head(sid);
    expect_answer(post(sid, "40/no,"), 400, BAD_REQUEST); /* it counts from then on */
    expect_answer(x, 400, BAD_REQUEST);
    open_poll(sid);
    x = post_head(sid);
    struct rp_exchange *poll = get(sid);
    struct rp_buf body;
    rp_buf_init(&body, 100);
    assert_int_equal(rp_buf_put_str(&body, "40/no,"), RP_OK);
    expect_no_answer();
    rp_gateway_post_body(bench.g, x, &body, bench.now_ms);
    expect_answer(x, 200, "ok");
    say_invalid_namespace();
    expect_answer(poll, 200, "44/no,{\"message\":\"Invalid namespace\"}");
    x = post_head(sid);
    end(x, false); /* a body that never comes */
    expect_unknown(sid);
    expect_answer(post_head(sid), 400, UNKNOWN_SID); /* answered before there is a body */
    expect_empty();
}

/* ---- two at once ---- */

static void test_a_second_get_ends_the_session(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    struct rp_exchange *first = get(sid), *second = get(sid);
    expect_answer(second, 400, BAD_REQUEST);
    expect_answer(first, 200, "1");
    struct rp_op_close close = asked(RP_OP_CLOSE).close;
    assert_int_equal(close.session, 10);
    assert_int_equal(close.ended, 0);
    assert_int_equal(stats()->overlaps, 1);
    expect_unknown(sid);
    expect_empty();
}

static void test_a_second_post_ends_the_session(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench.config.mode = RP_GATEWAY_ECHO_EIO;
    bench.config.queue_bytes = 600;
    bench_reconfigure();
    open_poll(sid);
    char text[700] = "4";
    memset(text + 1, 'x', sizeof text - 2);
    struct rp_exchange *first = post(sid, text);
    expect_no_answer(); /* heard, but what comes back is to be taken first */
    struct rp_exchange *second = post(sid, "4b");
    expect_answer(second, 400, BAD_REQUEST);
    expect_answer(first, 400, BAD_REQUEST);
    expect_unknown(sid);
    expect_empty();
}

/* ---- the end ---- */

static void test_goodbye_lets_the_poll_go(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    struct rp_exchange *poll = get(sid);
    struct rp_exchange *x = post(sid, "1" SEP "42[\"join\",\"a\"]");
    expect_answer(poll, 200, "6");
    expect_answer(x, 200, "ok");
    assert_int_equal(asked(RP_OP_CLOSE).close.ended, 0);
    nothing_asked(); /* nothing behind it was heard */
    expect_unknown(sid);
    expect_empty();
}

static void test_what_cannot_be_delivered_ends_the_session(void **state) {
    (void) state;
    enum { WAITING, ANSWERED, FETCHED, POST_ANSWERED, OPENED, WAYS };
    link_up();
    for (int way = 0; way < WAYS; way++) {
        char sid[SID_SPACE];
        struct rp_exchange *x;
        if (way == OPENED) {
            x = poll_open();
            expect_status(x, 200);
            memcpy(sid, rp_exchange_sid(x).data, sizeof sid - 1);
            sid[sizeof sid - 1] = '\0';
        } else {
            open_poll(sid);
            x = way == POST_ANSWERED ? post(sid, "3") : get(sid);
        }
        if (way == ANSWERED || way == FETCHED) {
            expect_answer(post(sid, "40/no,"), 200, "ok");
            say_invalid_namespace();
        }
        if (way == FETCHED || way == POST_ANSWERED) {
            expect_status(x, 200);
        }
        assert_int_equal(stats()->clients, 1);
        end(x, false);
        expect_unknown(sid);
        expect_empty();
    }
}

/* An answer that says no carries nothing that could be lost. */
static void test_an_error_that_is_not_delivered_ends_nothing(void **state) {
    (void) state;
    char sid[SID_SPACE];
    open_poll(sid);
    struct rp_wire *w = rp_gateway_upgrade(bench.g, &bench, rp_bytes_str(sid), bench.now_ms);
    text(w, "2probe");
    text(w, "5");
    struct rp_exchange *x = get(sid);
    expect_status(x, 400);
    assert_string_equal(bench.text, BAD_REQUEST);
    end(x, false);
    assert_int_equal(stats()->clients, 1);
    expect(w, "3probe");
    expect_nothing(w);
    gone(w);
    expect_empty();
}

static void test_pings_come_through_gets_and_pongs_through_posts(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    struct rp_exchange *x = get(sid);
    pass_linked_ms(24999);
    expect_no_answer();
    pass_linked_ms(1);
    expect_answer(x, 200, "2");
    x = get(sid);
    pass_linked_ms(19999);
    expect_answer(post(sid, "3"), 200, "ok");
    pass_linked_ms(24999);
    expect_no_answer();
    pass_linked_ms(1);
    expect_answer(x, 200, "2");
    x = get(sid);
    pass_linked_ms(20000);
    expect_answer(x, 200, "1");
    assert_int_equal(stats()->ping_timeouts, 1);
    assert_int_equal(asked(RP_OP_CLOSE).close.ended, 0);
    expect_unknown(sid);
    expect_empty();
}

/* Nothing is heard of a paused client; but it would come for the ping. */
static void test_a_paused_client_that_does_not_poll_is_gone(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench.config.client_requests_max = 2;
    bench_reconfigure();
    link_up();
    connect_poll(10, sid);
    struct rp_exchange *x = post(sid, "42[\"join\",\"a\"]" SEP "42[\"join\",\"b\"]" SEP "1");
    assert_int_equal(stats()->paused, 1);
    pass_linked_ms(44999);
    expect_no_answer();
    pass_linked_ms(1);
    expect_status(x, 400);
    end(x, true);
    assert_int_equal(stats()->ping_timeouts, 1);
    expect_unknown(sid);
}

/* It may take long to take an answer; whether too long is for the shell to say. */
static void test_who_still_takes_an_answer_is_alive(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    struct rp_exchange *x = get(sid);
    pass_linked_ms(25000);
    assert_ptr_equal(rp_gateway_next_answered(bench.g), x);
    pass_linked_ms(100000);
    assert_int_equal(stats()->ping_timeouts, 0);
    end(x, true);
    pass_linked_ms(20000);
    assert_int_equal(stats()->ping_timeouts, 1);
    assert_int_equal(stats()->clients, 0);
}

static void test_without_a_namespace_the_session_ends(void **state) {
    (void) state;
    char sid[SID_SPACE];
    open_poll(sid);
    struct rp_exchange *x = get(sid);
    pass_ms(25000);
    expect_answer(x, 200, "2");
    expect_answer(post(sid, "3"), 200, "ok");
    x = get(sid);
    pass_ms(20000);
    expect_answer(x, 200, "1");
    assert_int_equal(stats()->connect_timeouts, 1);
    expect_unknown(sid);
    expect_empty();
}

static void test_draining_answers_polls(void **state) {
    (void) state;
    char sid[SID_SPACE], other[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    open_poll(other);
    struct rp_exchange *x = get(sid);
    rp_gateway_drain(bench.g, bench.now_ms, 0);
    turn();
    assert_false(rp_gateway_is_drained(bench.g));
    expect_answer(x, 200, "1");
    expect_empty();
    assert_false(rp_gateway_is_drained(bench.g)); /* the broker has yet to hear of it */
    say_done(asked(RP_OP_CLOSE).close.num, 20);
    assert_true(rp_gateway_is_drained(bench.g));
}

static void test_unknown_sids(void **state) {
    (void) state;
    static const char *const sids[] = {"",
                                       "x",
                                       "BAAAAAAAAAABBBBBBBBBBBBBBBBBBB",
                                       "BAAAAAAAAAACCCCCCCCCCCCCCCCCCCC",
                                       "CAAAAAAAAAABBBBBBBBBBBBBBBBBBBB",
                                       "BAAAAAAAAAABBBBBBBBBBBBBBBBBBBBB",
                                       "BAAAAAAAAAABBBBBBBBBBBBBBBBBBB.",
                                       ".AAAAAAAAAABBBBBBBBBBBBBBBBBBBB"};
    char sid[SID_SPACE];
    open_poll(sid);
    for (size_t i = 0; i < COUNT(sids); i++) { /* without a link nobody else can be asked */
        expect_unknown(sids[i]);
    }
    assert_int_equal(stats()->clients, 1);
    assert_int_equal(stats()->relayed, 0);
}

/* Other gateways could not find it any more. */
static void test_a_reset_ends_sessions_without_a_namespace(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    struct rp_wire *w = open_client();
    open_poll(sid);
    struct rp_exchange *x = get(sid);
    say((struct rp_op){.kind = RP_OP_RESET, .reset = {.message = RP_BYTES_LIT("x")}});
    expect_answer(x, 200, "1");
    expect_unknown(sid);
    expect_nothing(w); /* nobody else has to find this one */
}

/* ---- upgrades ---- */

static struct rp_wire *probe(const char *sid) {
    struct rp_wire *w = rp_gateway_upgrade(bench.g, &bench, rp_bytes_str(sid), bench.now_ms);
    assert_non_null(w);
    return w;
}

static void test_an_upgrade_takes_everything_along(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    say_member(11, 10, true, "a");
    struct rp_exchange *x = get(sid);
    struct rp_wire *w = probe(sid);
    expect_nothing(w);
    expect_no_answer();
    text(w, "2probe");
    assert_ptr_equal(rp_gateway_next_dirty(bench.g), w);
    expect(w, "3probe");
    expect_answer(x, 200, "6");
    say_deliver(12, "a", "[1]");
    say_deliver(13, "a", "[2]");
    expect_nothing(w);
    expect_no_answer();
    text(w, "5");
    assert_int_equal(stats()->upgrades, 1);
    assert_int_equal(stats()->polling, 0);
    say_deliver(14, "a", "[3]");
    expect(w, "42[\"e\",1,\"12-epoc\"]");
    expect(w, "42[\"e\",2,\"13-epoc\"]");
    expect(w, "42[\"e\",3,\"14-epoc\"]");
    expect_nothing(w);
    expect_answer(get(sid), 400, BAD_REQUEST);
    expect_answer(post(sid, "3"), 400, BAD_REQUEST);
    text(w, "42[\"join\",\"b\"]");
    asked(RP_OP_JOIN);
    struct rp_wire *second = probe(sid);
    expect_close(second, RP_WS_CLOSE_NONE, "");
    expect_nothing(w);
    gone(w);
    expect_unknown(sid);
    expect_empty();
}

/* The poll that was waiting takes what there is, also when that came with the probe. */
static void test_output_goes_before_a_noop(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    open_poll(sid);
    struct rp_exchange *x = get(sid);
    expect_answer(post(sid, "40/no,"), 200, "ok");
    say_invalid_namespace(); /* and the shell has not looked at the GET yet */
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    expect_answer(x, 200, "44/no,{\"message\":\"Invalid namespace\"}");
    expect_answer(get(sid), 200, "6"); /* the next one need not wait */
    text(w, "5");
    expect(w, "3probe");
    expect_nothing(w);
    gone(w);
    expect_empty();
}

/* A GET that still waits at the end of the upgrade is let go. */
static void test_a_get_at_the_end_of_an_upgrade_is_answered(void **state) {
    (void) state;
    char sid[SID_SPACE];
    open_poll(sid);
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    struct rp_exchange *x = get(sid);
    text(w, "5");
    expect_answer(x, 200, "6");
    expect(w, "3probe");
    text(w, "3");
    expect_nothing(w);
}

/* Of a packet with attachments the poll has taken the text and one attachment, and the rest is on
 * its way through the other transport. */
static void test_half_a_packet_moves(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    say_member(11, 10, true, "a");
    for (uint64_t seq = 20; seq < 34; seq++) {
        say_deliver(seq, "a", "[]");
    }
    say((struct rp_op){
        .kind = RP_OP_DELIVER,
        .deliver = {.seq = 40,
                    .room = RP_BYTES_LIT("a"),
                    .name = RP_BYTES_LIT("b"),
                    .args = RP_BYTES_LIT("[{\"_placeholder\":true,\"num\":0},"
                                         "{\"_placeholder\":true,\"num\":1},"
                                         "{\"_placeholder\":true,\"num\":2}]"),
                    .attachments = RP_BYTES_LIT("\0\0\0\3one\0\0\0\0\0\0\0\5three")}});
    say_deliver(41, "a", "[]");
    struct rp_exchange *x = get(sid);
    expect_status(x, 200);
    assert_string_equal(strrchr(bench.text, SEP[0]), SEP "bb25l");
    end(x, true);
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    text(w, "5");
    expect(w, "3probe");
    expect_binary(w, "");
    expect_binary(w, "three");
    expect(w, "42[\"e\",\"41-epoc\"]");
    expect_nothing(w);
    assert_int_equal(stats()->queued_bytes, 0);
}

static void test_wrong_upgrades_leave_polling_alone(void **state) {
    (void) state;
    static const struct {
        const char *messages[3]; /* "b…": binary */
    } table[] = {
        {{"5"}},
        {{"2"}},
        {{"2probe2"}},
        {{"3probe"}},
        {{"40"}},
        {{""}},
        {{"b2probe"}},
        {{"2probe", "2probe"}},
        {{"2probe", "40"}},
        {{"2probe", "b5"}},
        {{"2probe", "55"}},
        {{"2probe", ""}},
    };
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    say_member(11, 10, true, "a");
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_wire *w = probe(sid);
        for (size_t m = 0; table[i].messages[m] != NULL; m++) {
            const char *message = table[i].messages[m];
            if (message[0] == 'b') {
                binary(w, message + 1);
            } else {
                text(w, message);
            }
            if (strcmp(message, "2probe") == 0 && m == 0) {
                expect(w, "3probe");
            }
        }
        expect_close(w, 1002, NULL);
        assert_int_equal(stats()->upgrades_failed, i + 1);
        struct rp_exchange *x = get(sid);
        expect_no_answer();
        say_deliver(20 + i, "a", "[]");
        expect_status(x, 200);
        end(x, true);
    }
    assert_int_equal(stats()->upgrades, 0);
    assert_int_equal(stats()->polling, 1);
}

/* An echo is not read while its output waits; but a client that is about to upgrade polls no more,
 * and waits for the answer to its POST. */
static void test_an_upgrade_does_not_wait_for_a_poll(void **state) {
    (void) state;
    static char payload[20001];
    char sid[SID_SPACE];
    memset(payload, 'x', sizeof payload - 1);
    memcpy(payload, "4x" SEP "4", 4);
    memcpy(payload + sizeof payload - 5, SEP "4yz", 4);
    bench.config.mode = RP_GATEWAY_ECHO_EIO;
    bench_reconfigure();
    open_poll(sid);
    struct rp_exchange *said = post(sid, payload);
    assert_int_equal(rp_exchange_status(said), 0); /* paused: more than the queue's bound came */
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    expect_answer(said, 200, "ok");
    gone(w);
}

static void test_a_probe_has_its_time(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    expect(w, "3probe");
    pass_linked_ms(9999);
    expect_nothing(w);
    assert_true(rp_gateway_deadline_ms(bench.g) <= bench.now_ms + 1);
    struct rp_wire *second = probe(sid);
    expect_close(second, RP_WS_CLOSE_NONE, "");
    pass_linked_ms(1);
    expect_close(w, 1000, "upgrade timeout");
    assert_int_equal(stats()->upgrades_failed, 1);
    struct rp_exchange *x = get(sid);
    expect_no_answer();
    w = probe(sid); /* it may try again */
    text(w, "2probe");
    expect(w, "3probe");
    expect_answer(x, 200, "6");
    gone(w); /* and fail in another way */
    x = get(sid);
    expect_no_answer();
    end(x, true);
    assert_int_equal(stats()->clients, 1);
}

static void test_a_probe_that_takes_nothing_is_closed(void **state) {
    (void) state;
    char sid[SID_SPACE];
    open_poll(sid);
    struct rp_wire *w = probe(sid);
    for (int i = 0; i < 1000 && !rp_wire_is_closing(w); i++) {
        rp_gateway_put_frame(bench.g, w, rp_ws_frame(RP_WS_PONG, RP_BYTES_LIT("01234567")));
    }
    assert_true(rp_wire_is_closing(w));
    assert_true(output_bytes(w) < 8192);
    gone(w);
    assert_int_equal(stats()->clients, 1);
    assert_int_equal(stats()->queued_bytes, 0);
}

/* The client holds its packets back meanwhile: it is not asked, and not closed for its silence. */
static void test_no_heartbeat_while_upgrading(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    struct rp_exchange *x = get(sid);
    pass_linked_ms(20000);
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    expect(w, "3probe");
    expect_answer(x, 200, "6");
    pass_linked_ms(9000); /* a ping would be due */
    expect_nothing(w);
    expect_no_answer();
    text(w, "5");
    expect_nothing(w);
    pass_linked_ms(24999);
    expect(w, "2"); /* it comes later, and does come */
    text(w, "3");
    pass_linked_ms(25000);
    expect(w, "2");
    text(w, "3");
    assert_int_equal(stats()->ping_timeouts, 0);
}

/* One that was asked before answers through its new transport. */
static void test_a_ping_before_the_upgrade_is_not_lost(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    pass_linked_ms(25000); /* the ping waits for a GET */
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    expect(w, "3probe");
    text(w, "5");
    expect(w, "2");
    pass_linked_ms(19999);
    text(w, "3");
    pass_linked_ms(24999);
    expect_nothing(w);
    pass_linked_ms(1);
    expect(w, "2");
    pass_linked_ms(20000);
    expect_close(w, 1001, "ping timeout");
}

/* Not even one that upgrades at the moment when its pong was due. */
static void test_a_pong_is_awaited_anew_while_upgrading(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    struct rp_exchange *x = get(sid);
    pass_linked_ms(25000);
    expect_answer(x, 200, "2");
    pass_linked_ms(15000);
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    pass_linked_ms(9000);
    text(w, "5");
    expect(w, "3probe");
    expect_nothing(w);
    text(w, "3");
    pass_linked_ms(25000);
    expect(w, "2");
    assert_int_equal(stats()->ping_timeouts, 0);
}

/* The client waits for its POST before it says "5": whoever does not is no client. */
static void test_an_upgrade_in_front_of_a_post_that_waits_ends_the_session(void **state) {
    (void) state;
    char sid[SID_SPACE];
    bench.config.mode = RP_GATEWAY_ECHO_EIO;
    bench.config.queue_bytes = 600;
    bench_reconfigure();
    open_poll(sid);
    char payload[700] = "4";
    memset(payload + 1, 'x', sizeof payload - 2);
    struct rp_exchange *x = post(sid, payload);
    expect_no_answer();
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    expect(w, "3probe");
    text(w, "5");
    expect_answer(x, 400, BAD_REQUEST);
    expect_close(w, 1000, "the session has ended");
    expect_unknown(sid);
    expect_empty();
}

/* Attachments that are still to come may come through the other transport. */
static void test_an_upgrade_in_the_middle_of_a_packet(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    expect_answer(post(sid, "452-[\"publish\",\"a\",\"b\",{\"_placeholder\":true,\"num\":0},"
                            "{\"_placeholder\":true,\"num\":1}]" SEP "bb25l"),
                  200, "ok");
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    text(w, "5");
    binary(w, "two");
    struct rp_bytes packed = asked(RP_OP_PUBLISH).publish.attachments;
    assert_true(rp_bytes_eq(packed, RP_BYTES_LIT("\0\0\0\3one\0\0\0\3two")));
}

static void test_the_end_of_a_session_closes_its_probe(void **state) {
    (void) state;
    char sid[SID_SPACE];
    open_poll(sid);
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    expect(w, "3probe");
    expect_answer(post(sid, "1"), 200, "ok");
    text(w, "5"); /* too late, and not heard */
    expect_close(w, 1000, "the session has ended");
    expect_empty();
}

/* A WebSocket that has gone takes the session with it, upgraded or not. */
static void test_an_upgraded_session_ends_with_its_wire(void **state) {
    (void) state;
    char sid[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    struct rp_wire *w = probe(sid);
    text(w, "2probe");
    text(w, "5");
    text(w, "1");
    expect(w, "3probe");
    expect_close(w, 1000, "");
    asked(RP_OP_CLOSE);
    expect_unknown(sid);
    expect_empty();
}

/* ---- freeing ---- */

static void test_freeing_takes_sessions_along(void **state) {
    (void) state;
    char sid[SID_SPACE], other[SID_SPACE];
    link_up();
    connect_poll(10, sid);
    say_member(11, 10, true, "a");
    say_deliver(12, "a", "[]");
    open_poll(other);
    text(probe(other), "2probe");
    end(get(sid), true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_the_handshake_offers_an_upgrade),
        BENCH_TEST(test_no_upgrade_is_offered_where_none_may_be),
        BENCH_TEST(test_a_get_waits_and_others_are_answered_at_once),
        BENCH_TEST(test_an_answer_has_at_most_16_packets),
        BENCH_TEST(test_an_answer_ends_when_it_is_large),
        BENCH_TEST(test_a_post_is_several_packets),
        BENCH_TEST(test_binary_is_base64),
        BENCH_TEST(test_wrong_payloads_end_the_session),
        BENCH_TEST(test_a_payload_past_the_maximum_ends_the_session),
        BENCH_TEST(test_a_paused_client_is_not_heard_further),
        BENCH_TEST(test_an_echo_that_is_not_taken_pauses),
        BENCH_TEST(test_the_head_of_a_post_comes_first),
        BENCH_TEST(test_a_second_get_ends_the_session),
        BENCH_TEST(test_a_second_post_ends_the_session),
        BENCH_TEST(test_goodbye_lets_the_poll_go),
        BENCH_TEST(test_what_cannot_be_delivered_ends_the_session),
        BENCH_TEST(test_an_error_that_is_not_delivered_ends_nothing),
        BENCH_TEST(test_pings_come_through_gets_and_pongs_through_posts),
        BENCH_TEST(test_a_paused_client_that_does_not_poll_is_gone),
        BENCH_TEST(test_who_still_takes_an_answer_is_alive),
        BENCH_TEST(test_without_a_namespace_the_session_ends),
        BENCH_TEST(test_draining_answers_polls),
        BENCH_TEST(test_unknown_sids),
        BENCH_TEST(test_a_reset_ends_sessions_without_a_namespace),
        BENCH_TEST(test_an_upgrade_takes_everything_along),
        BENCH_TEST(test_output_goes_before_a_noop),
        BENCH_TEST(test_a_get_at_the_end_of_an_upgrade_is_answered),
        BENCH_TEST(test_half_a_packet_moves),
        BENCH_TEST(test_wrong_upgrades_leave_polling_alone),
        BENCH_TEST(test_an_upgrade_does_not_wait_for_a_poll),
        BENCH_TEST(test_a_probe_has_its_time),
        BENCH_TEST(test_a_probe_that_takes_nothing_is_closed),
        BENCH_TEST(test_no_heartbeat_while_upgrading),
        BENCH_TEST(test_a_ping_before_the_upgrade_is_not_lost),
        BENCH_TEST(test_a_pong_is_awaited_anew_while_upgrading),
        BENCH_TEST(test_an_upgrade_in_front_of_a_post_that_waits_ends_the_session),
        BENCH_TEST(test_an_upgrade_in_the_middle_of_a_packet),
        BENCH_TEST(test_the_end_of_a_session_closes_its_probe),
        BENCH_TEST(test_an_upgraded_session_ends_with_its_wire),
        BENCH_TEST(test_freeing_takes_sessions_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Connections: requests one after another, bodies in any pieces, exchanges that hang, and what is
 * refused, with a core that is played here (conn_fixture.h). */
#include "tests/unit/conn_fixture.h"

#define POST(headers) "POST " POLL "&sid=known HTTP/1.1\r\nHost: a\r\n" headers "\r\n"
#define WHOAMI "GET /whoami HTTP/1.1\r\nHost: a\r\n\r\n"

static int setup(void **state) {
    (void) state;
    world_open();
    connect_client();
    return 0;
}

static int teardown(void **state) {
    (void) state;
    world_close();
    return 0;
}

static const struct rp_conns_stats *stats(void) {
    return rp_conns_stats(world.conns);
}

/* ---- requests ---- */

static void test_requests_follow_one_another(void **state) {
    (void) state;
    for (int i = 0; i < 3; i++) {
        say_text(OPEN);
        expect_answer(OK, "\r\n\r\n0{}");
        say_text("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
        expect_answer("HTTP/1.1 404 ", "not_found");
        connect_client();
    }
    assert_int_equal(core.delivered, 3);
    assert_int_equal(stats()->requests, 6);
}

static void test_pipelined_requests_are_answered_in_order(void **state) {
    (void) state;
    say_text(OPEN WHOAMI OPEN POST("Content-Length: 2\r\n") "hi" OPEN WHOAMI);
    settle();
    settle();
    assert_int_equal(count_of(OK), 6);
    const char *whoami = strstr(got(), "\"gateway\"");
    assert_non_null(whoami);
    assert_true(strstr(got(), "0{}") < whoami);
    assert_true(strstr(whoami, "\r\n\r\nok") > strstr(whoami, "0{}"));
    assert_int_equal(core.delivered, 4);
    assert_false(world.ended);
}

static void test_many_pipelined_requests_wait_for_their_turn(void **state) {
    (void) state;
    for (int i = 0; i < 200; i++) {
        say_text(OPEN OPEN OPEN OPEN OPEN);
    }
    for (int i = 0; i < 200; i++) {
        settle();
    }
    assert_int_equal(count_of("0{}"), 1000);
}

static void test_a_request_cut_anywhere_is_the_same(void **state) {
    (void) state;
    static const char text[] = POST("Content-Length: 5\r\n") "4hey!" OPEN;
    for (size_t at = 1; at < sizeof text - 1; at++) {
        connect_client();
        say(rp_bytes(text, at));
        settle();
        say(rp_bytes(text + at, sizeof text - 1 - at));
        settle();
        assert_true(rp_bytes_eq_str(rp_buf_bytes(&core.posted), "4hey!"));
        assert_int_equal(count_of(OK), 2);
    }
}

static void test_the_client_decides_whether_it_stays(void **state) {
    (void) state;
    static const struct {
        const char *request;
        bool ends;
    } cases[] = {
        {"GET " POLL " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true},
        {"GET " POLL " HTTP/1.0\r\n\r\n", true},
        {OPEN, false},
        {"POST /whoami HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET", true}, /* unread */
        {"GET " POLL " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET", true},
        {"GET  /\r\n\r\n", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        connect_client();
        say_text(cases[i].request);
        settle();
        assert_int_equal(count_of("HTTP/1.1 "), 1);
        assert_int_equal(world.ended, cases[i].ends);
    }
}

/* ---- bodies ---- */

static void test_bodies_come_in_any_form(void **state) {
    (void) state;
    static const struct {
        const char *request, *body;
    } cases[] = {
        {POST("Content-Length: 6\r\n") "4hello", "4hello"},
        {POST("Content-Length: 0\r\n"), ""},
        {POST("Transfer-Encoding: chunked\r\n") "2\r\n4h\r\n4;x=y\r\nello\r\n0\r\nA: b\r\n\r\n",
         "4hello"},
        {POST("Transfer-Encoding: chunked\r\n") "0\r\n\r\n", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        connect_client();
        for (const char *c = cases[i].request; *c != '\0'; c++) {
            say(rp_bytes(c, 1));
        }
        expect_answer(OK, "\r\n\r\nok");
        assert_true(rp_bytes_eq_str(rp_buf_bytes(&core.posted), cases[i].body));
        say_text(OPEN);
        expect_answer(OK, "0{}");
    }
    assert_int_equal(stats()->bodies_bytes, 0);
}

static void test_a_second_post_is_answered_before_its_body(void **state) {
    (void) state;
    say_text("POST " POLL "&sid=busy HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n4h");
    expect_answer("HTTP/1.1 400 ", "{}");
    assert_true(world.ended); /* the rest of the body is no request */
    assert_int_equal(core.exchanges, 0);
    connect_client();
    say_text("POST " POLL "&sid=busy HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n4h" OPEN);
    settle();
    assert_int_equal(count_of("HTTP/1.1 400 "), 1);
    assert_int_equal(count_of("0{}"), 1); /* the body was there: the next request is one */
    assert_int_equal(stats()->bodies_bytes, 0);
}

static void test_a_body_that_fails_ends_its_exchange(void **state) {
    (void) state;
    say_text(POST("Transfer-Encoding: chunked\r\n") "2\r\n4h\r\nx");
    expect_answer("HTTP/1.1 400 ", "error");
    assert_int_equal(core.lost, 1);
    connect_client();
    say_text(POST("Content-Length: 5\r\n") "4h");
    settle();
    assert_int_equal(core.exchanges, 1);
    shutdown(world.fd, SHUT_WR);
    settle();
    assert_int_equal(core.lost, 2);
    assert_int_equal(core.exchanges, 0);
}

static void test_a_client_that_asks_before_its_body_is_told(void **state) {
    (void) state;
    say_text(POST("Content-Length: 2\r\nExpect: 100-continue\r\n"));
    expect_answer("HTTP/1.1 100 ", "\r\n\r\n");
    say_text("hi");
    expect_answer(OK, "ok");
    say_text(POST("Content-Length: 2\r\nExpect: 100-continue\r\n") "hi");
    expect_answer(OK, "ok"); /* it did not wait */
    say_text(POST("Content-Length: 4001\r\nExpect: 100-continue\r\n"));
    expect_answer("HTTP/1.1 413 ", "--max-payload");
    assert_true(world.ended);
}

static void test_large_bodies_are_refused(void **state) {
    (void) state;
    say_text(POST("Content-Length: 4001\r\n") "4he");
    expect_answer("HTTP/1.1 413 ", "--max-payload");
    assert_true(world.ended);
    connect_client();
    say_text(POST("Transfer-Encoding: chunked\r\n") "1\r\n4\r\nfa0\r\n");
    expect_answer("HTTP/1.1 413 ", "--max-payload");
    assert_true(world.ended);
    assert_int_equal(stats()->bodies_big, 2);
    connect_client();
    say_text(POST("Transfer-Encoding: chunked\r\n") "z\r\n");
    expect_answer("HTTP/1.1 400 ", "chunk");
    assert_int_equal(stats()->bodies_bytes, 0);
    assert_int_equal(core.exchanges, 0);
}

static void test_a_body_that_does_not_come_is_not_waited_for(void **state) {
    (void) state;
    say_text(POST("Content-Length: 9\r\n") "4he");
    settle();
    assert_true(stats()->bodies_bytes > 0);
    world.later_ms = RP_CONN_BODY_MS + 1;
    expect_answer("HTTP/1.1 408 ", "body");
    assert_int_equal(stats()->body_timeouts, 1);
    assert_int_equal(stats()->bodies_bytes, 0);
}

static void test_a_body_may_come_slowly_but_not_for_ever(void **state) {
    (void) state;
    static const struct {
        size_t piece; /* each 9 s */
        bool comes;
    } cases[] = {{40000, true}, {20000, false}};
    static uint8_t body[400000];
    memset(body, 'x', sizeof body);
    for (size_t i = 0; i < 2; i++) {
        connect_client();
        world.later_ms = 0;
        say_text(POST("Content-Length: 400000\r\n"));
        settle();
        for (size_t at = 0; at < sizeof body && count_of("HTTP/1.1 ") == 0; at += cases[i].piece) {
            world.later_ms += 9000;
            say(rp_bytes(body, cases[i].piece));
            settle();
        }
        expect_answer(cases[i].comes ? OK : "HTTP/1.1 408 ", "");
        assert_int_equal(world.later_ms, cases[i].comes ? 90000 : 72000);
    }
    assert_int_equal(stats()->body_timeouts, 1);
}

static int setup_large(void **state) {
    world_payload_max = 1 << 20;
    int rc = setup(state);
    world_payload_max = PAYLOAD_MAX;
    return rc;
}

static void test_a_client_that_leaves_amid_its_body_leaves_nothing(void **state) {
    (void) state;
    say_text(POST("Content-Length: 9\r\n") "4he");
    settle();
    close(world.fd);
    world.fd = -1;
    turn();
    turn();
    assert_int_equal(stats()->connections, 0);
    assert_int_equal(stats()->bodies_bytes, 0);
}

/* ---- exchanges ---- */

static void test_a_hanging_request_is_answered_later(void **state) {
    (void) state;
    say_text(GET);
    settle();
    assert_int_equal(world.got.len, 0);
    assert_string_equal(core.exchange->sid, "known");
    core_answer(200, RP_BYTES_LIT("2"));
    expect_answer(OK, "\r\n\r\n2");
    say_text(GET);
    settle();
    core_answer(400, RP_BYTES_LIT("{\"code\":1}"));
    expect_answer("HTTP/1.1 400 ", "{\"code\":1}");
    assert_int_equal(core.delivered, 2);
    say_text(OPEN);
    expect_answer(OK, "0{}");
}

static void test_a_client_that_leaves_ends_its_exchange(void **state) {
    (void) state;
    static const char *const behind[] = {"", "x", OPEN};
    for (int i = 0; i < 3; i++) {
        connect_client();
        say_text(GET);
        say_text(behind[i]);
        settle();
        assert_int_equal(core.exchanges, 1);
        shutdown(world.fd, SHUT_WR);
        settle();
        assert_int_equal(core.exchanges, 0);
        assert_int_equal(core.lost, i + 1);
        assert_true(world.ended);
    }
}

static void test_input_behind_a_hanging_request_is_bounded(void **state) {
    (void) state;
    static uint8_t noise[4 << 20];
    memset(noise, 'x', sizeof noise);
    say_text(GET);
    settle();
    size_t sent = 0;
    for (int i = 0; i < 100; i++) {
        ssize_t len = send(world.fd, noise, sizeof noise, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += len > 0 ? (size_t) len : 0;
        settle();
    }
    assert_true(sent < 1 << 20); /* the socket's own buffers */
    core_answer(200, RP_BYTES_LIT("2"));
    settle();
    assert_int_equal(count_of(OK "OK"), 1);
    assert_int_equal(count_of("HTTP/1.1 "), 2); /* and the noise's answer */
}

static void test_an_answer_that_is_not_taken_is_lost(void **state) {
    (void) state;
    static uint8_t large[4 << 20];
    say_text(GET);
    settle();
    core_answer(200, rp_bytes(large, sizeof large));
    turn();
    turn();
    assert_int_equal(core.exchanges, 1); /* more than the socket takes */
    world.later_ms = RP_CONN_ANSWER_MS + 1;
    turn();
    assert_int_equal(core.lost, 1);
    assert_int_equal(stats()->cut, 1);
}

/* As if others held so much more. */
static void hold_answers(uint64_t bytes) {
    ((struct rp_conns_stats *) (uintptr_t) stats())->answers_bytes += bytes;
}

/* There is room for one large answer, and the client does not take it. Returns what the others
 * hold. */
static uint64_t fill_answers(struct rp_bytes large) {
    uint64_t others = RP_CONN_ANSWERS_BYTES - large.len;
    hold_answers(others);
    say_text(GET);
    settle();
    core_answer(200, large);
    turn();
    turn();
    assert_int_equal(stats()->answers_bytes, others + large.len);
    return others;
}

static void test_answers_that_wait_are_bounded_together(void **state) {
    (void) state;
    static uint8_t large[4 << 20];
    uint64_t others = fill_answers(rp_bytes(large, sizeof large));
    assert_int_equal(core.exchanges, 1);
    world.later_ms = RP_CONN_ANSWER_MS + 1;
    turn();
    assert_int_equal(core.lost, 1);
    assert_int_equal(stats()->answers_bytes, others);
    connect_client();
    hold_answers(1);
    say_text(GET);
    settle();
    core_answer(200, RP_BYTES_LIT("2")); /* taken at once */
    settle();
    assert_int_equal(count_of(OK "OK"), 1);
    assert_int_equal(core.lost, 1);
    say_text(GET);
    settle();
    core_answer(200, rp_bytes(large, sizeof large));
    turn();
    assert_int_equal(core.lost, 2);
    assert_int_equal(stats()->answers_cut, 1);
    assert_int_equal(stats()->answers_bytes, others + 1);
}

/* When all answers together are too much, whose answer has most left goes, whoever came last. */
static void test_who_takes_least_of_an_answer_is_cut(void **state) {
    (void) state;
    static uint8_t large[4 << 20];
    uint64_t others = fill_answers(rp_bytes(large, sizeof large));
    int greedy = world.fd;
    connect_another();
    say_text(GET);
    settle();
    core_answer(200, rp_bytes(large, sizeof large / 2));
    turn();
    assert_int_equal(stats()->answers_cut, 1);
    assert_int_equal(stats()->answers_bytes, others + sizeof large / 2);
    assert_int_equal(core.lost, 1);
    for (int i = 0; i < 1000 && world.got.len <= sizeof large / 2; i++) {
        settle();
    }
    assert_int_equal(core.lost, 1);
    assert_int_equal(core.delivered, 1);
    assert_int_equal(stats()->answers_bytes, others);
    assert_true(world.got.len > sizeof large / 2);
    close(greedy);
}

static void test_an_answer_may_be_taken_slowly(void **state) {
    (void) state;
    static uint8_t large[4 << 20];
    say_text(GET);
    settle();
    core_answer(200, rp_bytes(large, sizeof large));
    turn();
    for (int i = 0; i < 10; i++) { /* 300 s in all */
        for (size_t before = world.got.len; world.got.len < before + 2 * RP_CONN_ANSWER_BYTES;) {
            receive_some();
            turn();
        }
        assert_true(world.got.len < sizeof large);
        world.later_ms += RP_CONN_ANSWER_MS + 1;
        turn();
        assert_int_equal(core.exchanges, 1);
        assert_int_equal(stats()->cut, 0);
    }
    uint8_t byte; /* some progress is not enough */
    assert_int_equal(recv(world.fd, &byte, 1, MSG_DONTWAIT), 1);
    world.later_ms += RP_CONN_ANSWER_MS + 1;
    turn();
    assert_int_equal(core.lost, 1);
    assert_int_equal(stats()->cut, 1);
}

static void test_a_large_answer_comes_whole(void **state) {
    (void) state;
    static uint8_t large[4 << 20];
    memset(large, 'x', sizeof large);
    say_text(GET);
    settle();
    core_answer(200, rp_bytes(large, sizeof large));
    for (int i = 0; i < 200; i++) {
        settle();
    }
    assert_int_equal(core.delivered, 1);
    assert_true(world.got.len > sizeof large && world.got.len < sizeof large + 1000);
    rp_buf_clear(&world.got);
    say_text(OPEN);
    expect_answer(OK, "0{}");
}

/* ---- time and numbers ---- */

static void test_idle_connections_end_silently(void **state) {
    (void) state;
    say_text(OPEN);
    expect_answer(OK, "0{}");
    world.later_ms = RP_CONN_IDLE_MS + 1;
    settle();
    assert_true(world.ended);
    assert_int_equal(world.got.len, 0);
    assert_int_equal(stats()->idle_closed, 1);
}

static void test_a_head_in_part_is_answered_in_the_end(void **state) {
    (void) state;
    say_text(OPEN);
    expect_answer(OK, "0{}");
    say_text("GET / HT");
    settle();
    world.later_ms = 5001;
    expect_answer("HTTP/1.1 408 ", "--header-timeout");
    assert_int_equal(stats()->header_timeouts, 1);
}

static void test_a_connection_that_says_nothing_ends_silently(void **state) {
    (void) state;
    settle();
    world.later_ms = 5001;
    settle();
    assert_true(world.ended);
    assert_int_equal(world.got.len, 0);
    assert_int_equal(stats()->header_timeouts, 1);
    assert_int_equal(stats()->answers_refused, 0);
}

static void test_connections_are_bounded(void **state) {
    (void) state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    rp_conns_add(world.conns, fds[0], world.kind, rp_clock_mono_ms());
    int first = world.fd;
    world.fd = -1;
    connect_client();
    expect_answer("HTTP/1.1 503 ", "--max-connections");
    assert_true(world.ended);
    close(first);
    close(fds[1]);
}

static void test_draining_lets_nobody_in(void **state) {
    (void) state;
    say_text(GET);
    settle();
    rp_conns_drain(world.conns, rp_clock_mono_ms());
    settle();
    core_answer(200, RP_BYTES_LIT("1"));
    expect_answer(OK, "\r\n\r\n1");
    assert_true(world.ended);
    connect_client();
    expect_answer("HTTP/1.1 503 ", "stopping");
}

static void test_draining_closes_idle_connections(void **state) {
    (void) state;
    say_text(OPEN);
    expect_answer(OK, "0{}");
    rp_conns_drain(world.conns, rp_clock_mono_ms());
    settle();
    assert_true(world.ended);
    assert_int_equal(world.got.len, 0);
}

static void test_draining_closes_connections_that_said_nothing(void **state) {
    (void) state;
    settle();
    rp_conns_drain(world.conns, rp_clock_mono_ms());
    settle();
    assert_true(world.ended);
    assert_int_equal(world.got.len, 0);
    connect_client();
    expect_answer("HTTP/1.1 503 ", "stopping"); /* nobody asked, but it came to a closed door */
}

static void test_draining_answers_a_head_in_part(void **state) {
    (void) state;
    say_text("GET / HTTP/1.1\r\n");
    settle();
    rp_conns_drain(world.conns, rp_clock_mono_ms());
    settle();
    assert_false(world.ended);
    say_text("Host: a\r\n\r\n");
    expect_answer("HTTP/1.1 503 ", "stopping");
}

static int setup_origins(void **state) {
    world_origins = "https://a.example";
    int rc = setup(state);
    world_origins = NULL;
    return rc;
}

static void test_a_page_may_read_that_the_gateway_stops(void **state) {
    (void) state;
    static const char *const requests[] = {OPEN, GET, POST("Content-Length: 9\r\n"), WHOAMI,
                                           UPGRADE("", "")};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        connect_client();
        say(rp_bytes(requests[i], 1));
        settle();
        rp_conns_drain(world.conns, rp_clock_mono_ms());
        say(rp_bytes(requests[i] + 1, strlen(requests[i]) - 3));
        say_text("Origin: https://a.example\r\n\r\n");
        expect_answer("HTTP/1.1 503 ", "Access-Control-Allow-Origin: https://a.example\r\n");
        assert_true(world.ended);
        rp_conns_free(world.conns);
        open_conns();
    }
}

static void test_a_refusal_of_head_has_no_body(void **state) {
    (void) state;
    static const struct {
        const char *request, *status;
        bool drains;
    } cases[] = {{"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 503 ", true},
                 {"HEAD  / HTTP/1.1\r\n", "HTTP/1.1 400 ", false},
                 {"HEAD / HT", "HTTP/1.1 408 ", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        connect_client();
        say(rp_bytes(cases[i].request, 1));
        settle();
        if (cases[i].drains) {
            rp_conns_drain(world.conns, rp_clock_mono_ms());
        }
        say_text(cases[i].request + 1);
        settle();
        world.later_ms += 5001;
        settle();
        assert_int_equal(strncmp(got(), cases[i].status, strlen(cases[i].status)), 0);
        assert_non_null(strstr(got(), "\r\nContent-Length: "));
        assert_string_equal(strstr(got(), "\r\n\r\n"), "\r\n\r\n");
        assert_true(world.ended);
        rp_conns_free(world.conns);
        open_conns();
    }
}

/* ---- PROXY ---- */

#define PROXY_HEADER                                                                               \
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0F"                                                           \
    "\x0A\1\2\3"                                                                                   \
    "\x7F\0\0\1"                                                                                   \
    "\x12\x34\0\x50"                                                                               \
    "\x20\0\0"

static void test_a_trusted_proxy_says_whose_connection_it_is(void **state) {
    (void) state;
    static const struct {
        const char *headers, *address;
    } cases[] = {
        {"", "\"10.1.2.3\""},
        {"X-Forwarded-For: 203.0.113.9, 10.9.9.9\r\n", "\"203.0.113.9\""}, /* 10/8 is trusted */
    };
    static const char header[] = PROXY_HEADER;
    world.kind.proxy = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "GET /whoami HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].headers);
        for (size_t at = 0; at < sizeof header; at++) {
            connect_client();
            say(rp_bytes(header, at));
            settle();
            assert_int_equal(stats()->requests, i * sizeof header + at);
            say(rp_bytes(header + at, sizeof header - 1 - at));
            say_text(text);
            expect_answer(OK, cases[i].address);
        }
    }
}

static void test_bad_proxy_headers_end_the_connection(void **state) {
    (void) state;
    world.kind.proxy = true;
    connect_client();
    say_text(WHOAMI);
    settle();
    assert_true(world.ended);
    assert_int_equal(world.got.len, 0);
    connect_client();
    say_text("\r\n\r\n");
    settle();
    assert_false(world.ended);
    world.later_ms = 5001;
    settle();
    assert_true(world.ended);
    assert_int_equal(stats()->proxy_failed, 2);
}

static void test_without_proxy_the_peer_is_the_client(void **state) {
    (void) state;
    say_text(WHOAMI);
    expect_answer(OK, "\"unix\"");
    say_text("GET /whoami HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ::1\r\n\r\n");
    expect_answer(OK, "\"::1\"");
}

/* What the core is told of who came; and nothing is made if it does not want it. */
static void test_the_core_is_told_what_the_request_was(void **state) {
    (void) state;
    static const char query[] = " HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n"
                                "Origin: http://a\r\nCookie: x=1\r\n";
    char text[512];
    for (int way = 0; way < 4; way++) {
        bool websocket = way % 2;
        core.wants_handshakes = way < 2;
        connect_client();
        snprintf(text, sizeof text, "GET /socket.io/?EIO=4&transport=%s%s%s\r\n",
                 websocket ? "websocket" : "polling", query,
                 websocket ? "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                             "Sec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                           : "");
        say_text(text);
        expect_answer(websocket ? "HTTP/1.1 101 " : OK, "\r\n\r\n");
        struct rp_bytes got = rp_bytes(core.handshake, core.handshake_len);
        if (!core.wants_handshakes) {
            assert_int_equal(got.len, 0);
            continue;
        }
        static const char *const parts[] = {
            "\"address\":\"203.0.113.9\",\"xdomain\":true,\"secure\":false,\"issued\":1",
            "\"url\":\"/socket.io/?EIO=4&transport=",
            "\"query\":{\"EIO\":\"4\",\"transport\":\"",
            "\"headers\":{\"host\":\"a\",\"x-forwarded-for\":\"203.0.113.9\",",
            "\"cookie\":\"x=1\"",
        };
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            if (memmem(got.data, got.len, parts[i], strlen(parts[i])) == NULL) {
                fail_msg("no %s in %.*s", parts[i], RP_BYTES_FMT(got));
            }
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_requests_follow_one_another),
        TEST(test_pipelined_requests_are_answered_in_order),
        TEST(test_many_pipelined_requests_wait_for_their_turn),
        TEST(test_a_request_cut_anywhere_is_the_same),
        TEST(test_the_client_decides_whether_it_stays),
        TEST(test_bodies_come_in_any_form),
        TEST(test_a_second_post_is_answered_before_its_body),
        TEST(test_a_body_that_fails_ends_its_exchange),
        TEST(test_a_client_that_asks_before_its_body_is_told),
        TEST(test_large_bodies_are_refused),
        TEST(test_a_body_that_does_not_come_is_not_waited_for),
        TEST(test_a_client_that_leaves_amid_its_body_leaves_nothing),
        TEST(test_a_hanging_request_is_answered_later),
        TEST(test_a_client_that_leaves_ends_its_exchange),
        TEST(test_input_behind_a_hanging_request_is_bounded),
        TEST(test_an_answer_that_is_not_taken_is_lost),
        TEST(test_answers_that_wait_are_bounded_together),
        TEST(test_who_takes_least_of_an_answer_is_cut),
        TEST(test_an_answer_may_be_taken_slowly),
        cmocka_unit_test_setup_teardown(test_a_body_may_come_slowly_but_not_for_ever, setup_large,
                                        teardown),
        TEST(test_a_large_answer_comes_whole),
        TEST(test_idle_connections_end_silently),
        TEST(test_a_head_in_part_is_answered_in_the_end),
        TEST(test_a_connection_that_says_nothing_ends_silently),
        TEST(test_connections_are_bounded),
        TEST(test_draining_lets_nobody_in),
        TEST(test_draining_closes_idle_connections),
        TEST(test_draining_closes_connections_that_said_nothing),
        TEST(test_draining_answers_a_head_in_part),
        cmocka_unit_test_setup_teardown(test_a_page_may_read_that_the_gateway_stops, setup_origins,
                                        teardown),
        TEST(test_a_refusal_of_head_has_no_body),
        TEST(test_the_core_is_told_what_the_request_was),
        TEST(test_a_trusted_proxy_says_whose_connection_it_is),
        TEST(test_bad_proxy_headers_end_the_connection),
        TEST(test_without_proxy_the_peer_is_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Connections that became WebSockets: who they are, what comes compressed, and what all of them
 * together may take, with a core that is played here (conn_fixture.h). */
#include "tests/unit/conn_fixture.h"

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

static struct rp_bytes client_frame(uint8_t first, struct rp_bytes payload, uint8_t *ret_bytes) {
    static const uint8_t key[4] = {1, 2, 3, 4};
    size_t head = rp_ws_header_masked(ret_bytes, RP_WS_TEXT, payload.len, key);
    ret_bytes[0] = first;
    memcpy(ret_bytes + head, payload.data, payload.len);
    rp_ws_mask(ret_bytes + head, payload.len, key, 0);
    return rp_bytes(ret_bytes, head + payload.len);
}

static void test_a_websocket_begins_behind_its_request(void **state) {
    (void) state;
    uint8_t bytes[600] = UPGRADE("", "");
    size_t head = strlen((char *) bytes);
    struct rp_bytes frame = client_frame(0x81, RP_BYTES_LIT("4hello"), bytes + head);
    say_text(OPEN);
    expect_answer(OK, "0{}");
    say(rp_bytes(bytes, head + frame.len));
    expect_answer("HTTP/1.1 101 ", "4hello");
    assert_int_equal(stats()->upgraded, 1);
    say(client_frame(0x81, RP_BYTES_LIT("4again"), bytes));
    expect_answer("\x81\x06"
                  "4again",
                  "4again");
    close(world.fd);
    world.fd = -1;
    turn();
    turn();
    assert_int_equal(core.wires, 0);
}

static void test_another_gateway_decides_on_its_sessions(void **state) {
    (void) state;
    static const uint8_t hey[] = {0x81, 0x83, 0, 0, 0, 0, 'h', 'e', 'y'};
    say_text(UPGRADE("&sid=far", ""));
    say(rp_bytes(hey, sizeof hey));
    settle();
    assert_int_equal(world.got.len, 0);
    assert_int_equal(core.heard.len, 0);
    core_decide(true);
    settle();
    assert_int_equal(count_of("HTTP/1.1 101 "), 1);
    assert_true(rp_bytes_eq_str(rp_buf_bytes(&core.heard), "hey")); /* what came meanwhile */

    connect_client();
    say_text(UPGRADE("&sid=far", ""));
    settle();
    core_decide(false);
    expect_answer("HTTP/1.1 400 ", "{\"code\":1,");

    connect_client();
    say_text(UPGRADE("&sid=far", ""));
    settle();
    shutdown(world.fd, SHUT_WR);
    settle();
    assert_true(world.ended);
}

static void test_only_a_known_session_is_upgraded(void **state) {
    (void) state;
    say_text(UPGRADE("&sid=other", ""));
    expect_answer("HTTP/1.1 400 ", "Session ID unknown");
    connect_client();
    say_text(UPGRADE("&sid=known", ""));
    expect_answer("HTTP/1.1 101 ", "\r\n\r\n");
}

static void test_compressed_messages_are_inflated(void **state) {
    (void) state;
    static uint8_t payload[PAYLOAD_MAX + 1], bytes[PAYLOAD_MAX + 64];
    static const struct {
        const char *text;
        size_t len;
        uint8_t first;
        uint16_t close_code;
    } cases[] = {
        {"4hello, hello, hello", 20, 0xC1, 0}, {"\xFF\xFE", 2, 0xC2, 0},
        {"\xFF\xFE", 2, 0xC1, 1007},           {NULL, PAYLOAD_MAX, 0xC1, 0},
        {NULL, PAYLOAD_MAX + 1, 0xC1, 1009},
    };
    memset(payload, 'x', sizeof payload);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const void *from = cases[i].text != NULL ? (const void *) cases[i].text : payload;
        struct rp_bytes message = rp_bytes(from, cases[i].len);
        struct rp_buf deflated;
        rp_buf_init(&deflated, PAYLOAD_MAX);
        assert_int_equal(rp_deflate_message(world.deflate, message, &deflated), RP_OK);
        connect_client();
        core.close_code = 0;
        rp_buf_clear(&core.heard);
        say_text(UPGRADE("", "Sec-WebSocket-Extensions: permessage-deflate\r\n"));
        expect_answer("HTTP/1.1 101 ", "permessage-deflate");
        assert_true(core.wire->deflate);
        say(client_frame(cases[i].first, rp_buf_bytes(&deflated), bytes));
        settle();
        assert_int_equal(core.close_code, cases[i].close_code);
        assert_int_equal(world.ended, cases[i].close_code != 0);
        assert_true(cases[i].close_code != 0 || rp_bytes_eq(rp_buf_bytes(&core.heard), message));
        rp_buf_done(&deflated);
    }
    connect_client();
    say_text(UPGRADE("", "Sec-WebSocket-Extensions: permessage-deflate\r\n"));
    say(client_frame(0xC1, RP_BYTES_LIT("\xFF\xFF\xFF"), bytes));
    settle();
    assert_int_equal(core.close_code, 1002);
    assert_int_equal(stats()->bad_frames, 3);
}

static void upgrade(const char *headers) {
    char text[512];
    snprintf(text, sizeof text, UPGRADE("", "%s"), headers);
    core.close_code = 0;
    rp_buf_clear(&core.heard);
    say_text(text);
    expect_answer("HTTP/1.1 101 ", "\r\n\r\n");
}

static void open_websocket(const char *headers) {
    connect_client();
    upgrade(headers);
}

static void test_messages_in_part_are_counted(void **state) {
    (void) state;
    static uint8_t payload[3000], bytes[3100];
    memset(payload, 'x', sizeof payload);
    struct rp_bytes frame = client_frame(0x81, rp_bytes(payload, sizeof payload), bytes);
    open_websocket("");
    say(rp_bytes(frame.data, 2000));
    settle();
    assert_true(stats()->parts_bytes >= 1900);
    say(rp_bytes_skip(frame, 2000));
    settle();
    assert_int_equal(core.heard.len, sizeof payload);
    assert_int_equal(stats()->parts_bytes, 0);
    client_frame(0x81, rp_bytes(payload, sizeof payload), bytes);
    say(frame); /* whole: it is not kept */
    settle();
    assert_int_equal(core.heard.len, 2 * sizeof payload);
    client_frame(0x81, rp_bytes(payload, sizeof payload), bytes);
    say(rp_bytes(frame.data, 2000));
    settle();
    close(world.fd);
    world.fd = -1;
    turn();
    turn();
    assert_int_equal(stats()->connections, 0);
    assert_int_equal(stats()->parts_bytes, 0);
}

static void test_messages_in_part_are_bounded_together(void **state) {
    (void) state;
    static uint8_t payload[3000], bytes[3100];
    struct rp_conns_stats *counted = (struct rp_conns_stats *) (uintptr_t) stats();
    uint64_t others = RP_CONN_PARTS_BYTES - 2000; /* as if others held that much */
    memset(payload, 'x', sizeof payload);
    struct rp_bytes frame = client_frame(0x81, rp_bytes(payload, sizeof payload), bytes);
    open_websocket("");
    counted->parts_bytes += others;
    say(rp_bytes(frame.data, 1000));
    settle();
    assert_int_equal(core.close_code, 0);
    say(rp_bytes(frame.data + 1000, 1900));
    settle();
    assert_int_equal(core.close_code, 1013);
    assert_true(world.ended);
    assert_int_equal(stats()->parts_refused, 1);
    assert_int_equal(stats()->parts_bytes, others);
    open_websocket("");
    client_frame(0x81, rp_bytes(payload, sizeof payload), bytes);
    say(frame); /* whole: nobody's memory */
    settle();
    assert_int_equal(core.close_code, 0);
    assert_int_equal(core.heard.len, sizeof payload);
}

/* Sends messages that inflate to PAYLOAD_MAX bytes each, all at once and without a turn. */
static void send_bombs(int count) {
    static uint8_t payload[PAYLOAD_MAX], bytes[PAYLOAD_MAX], all[1 << 16];
    struct rp_buf deflated;
    size_t len = 0;
    memset(payload, 'x', sizeof payload);
    rp_buf_init(&deflated, sizeof bytes - RP_WS_HEADER_MAX);
    assert_int_equal(
        rp_deflate_message(world.deflate, rp_bytes(payload, sizeof payload), &deflated), RP_OK);
    struct rp_bytes frame = client_frame(0xC1, rp_buf_bytes(&deflated), bytes);
    for (int i = 0; i < count; i++) {
        assert_true(len + frame.len <= sizeof all);
        memcpy(all + len, frame.data, frame.len);
        len += frame.len;
    }
    rp_buf_done(&deflated);
    assert_int_equal(send(world.fd, all, len, MSG_DONTWAIT | MSG_NOSIGNAL), len);
}

#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate\r\n"

static void test_inflated_messages_wait_for_their_turn(void **state) {
    (void) state;
    enum { COUNT = 400, MOST = RP_CONN_INFLATED_BYTES + PAYLOAD_MAX };
    open_websocket(DEFLATE);
    core.mute = true;
    send_bombs(COUNT);
    size_t before = 0;
    int turns = 0;
    for (; core.heard_bytes < COUNT * PAYLOAD_MAX && turns < 20; turns++) {
        turn();
        assert_in_range(core.heard_bytes - before, 1, 2 * MOST); /* read, and its next turn */
        before = core.heard_bytes;
        bool more = before < COUNT * PAYLOAD_MAX;
        assert_int_equal(rp_conns_deadline_ms(world.conns), more ? 0 : UINT64_MAX);
    }
    assert_in_range(turns, 3, 19);
    core.mute = false;
    say(rp_bytes("\x81\x82\0\0\0\0hi", 8));
    expect_answer("\x81\x02hi", "hi"); /* it is read again */
}

static void test_what_waits_for_its_turn_ends_with_its_connection(void **state) {
    (void) state;
    for (int i = 0; i < 2; i++) {
        open_websocket(DEFLATE);
        core.mute = true;
        send_bombs(400);
        turn();
        assert_int_equal(rp_conns_deadline_ms(world.conns), 0);
        if (i == 0) {
            size_t heard = core.heard_bytes;
            rp_gateway_close(NULL, core.wire, 1000, NULL, RP_LEAVE_TRANSPORT_CLOSE, 0);
            settle();
            assert_true(world.ended);
            assert_true(core.heard_bytes <= heard + RP_CONN_INFLATED_BYTES + PAYLOAD_MAX);
        }
    } /* the second one: with the world */
}

static void test_inflated_messages_are_bounded_together(void **state) {
    (void) state;
    enum { CLIENTS = 40, COUNT = 300, MOST = RP_CONN_INFLATED_BYTES_PER_TURN + PAYLOAD_MAX };
    int fds[CLIENTS];
    const size_t all = (size_t) CLIENTS * COUNT * PAYLOAD_MAX;
    core.mute = true;
    for (int i = 0; i < CLIENTS; i++) {
        connect_another();
        upgrade(DEFLATE);
        fds[i] = world.fd;
    }
    for (int i = 0; i < CLIENTS; i++) {
        world.fd = fds[i];
        send_bombs(COUNT);
    }
    turn();
    assert_in_range(core.heard_bytes, 1, 2 * MOST);
    int turns = 0;
    for (size_t before = core.heard_bytes; before < all && turns < 100; turns++) {
        turn();
        assert_in_range(core.heard_bytes - before, 1, MOST);
        before = core.heard_bytes;
    }
    assert_int_equal(core.heard_bytes, all);
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    world.fd = -1;
}

static int setup_many(void **state) {
    world_connections_max = 100;
    int rc = setup(state);
    world_connections_max = 2;
    close(world.fd);
    world.fd = -1;
    return rc;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_websocket_begins_behind_its_request),
        TEST(test_another_gateway_decides_on_its_sessions),
        TEST(test_only_a_known_session_is_upgraded),
        TEST(test_compressed_messages_are_inflated),
        TEST(test_messages_in_part_are_counted),
        TEST(test_messages_in_part_are_bounded_together),
        TEST(test_inflated_messages_wait_for_their_turn),
        TEST(test_what_waits_for_its_turn_ends_with_its_connection),
        cmocka_unit_test_setup_teardown(test_inflated_messages_are_bounded_together, setup_many,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

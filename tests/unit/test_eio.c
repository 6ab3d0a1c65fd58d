/* tests/unit/test_eio.c — proto/eio: packets taken apart and written, the handshake's answers. */
#include "proto/eio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static void assert_bytes(struct rp_bytes actual, const char *expected) {
    if (!rp_bytes_eq_str(actual, expected)) {
        fail_msg("got %.*s instead of %s", RP_BYTES_FMT(actual), expected);
    }
}

static void test_packets_are_taken_apart(void **state) {
    (void) state;
    static const struct {
        const char *text;
        enum rp_eio_type type;
        const char *data;
    } table[] = {
        {"0{\"sid\":\"x\"}", RP_EIO_OPEN, "{\"sid\":\"x\"}"},
        {"1", RP_EIO_CLOSE, ""},
        {"2", RP_EIO_PING, ""},
        {"2probe", RP_EIO_PING, "probe"},
        {"3", RP_EIO_PONG, ""},
        {"3probe", RP_EIO_PONG, "probe"},
        {"4", RP_EIO_MESSAGE, ""},
        {"42[\"a\"]", RP_EIO_MESSAGE, "2[\"a\"]"},
        {"44", RP_EIO_MESSAGE, "4"},
        {"5", RP_EIO_UPGRADE, ""},
        {"6", RP_EIO_NOOP, ""},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_eio_packet packet;
        assert_int_equal(rp_eio_parse(rp_bytes_str(table[i].text), &packet), RP_OK);
        assert_int_equal(packet.type, table[i].type);
        assert_bytes(packet.data, table[i].data);

        struct rp_buf out;
        rp_buf_init(&out, strlen(table[i].text));
        assert_int_equal(rp_eio_put(&out, packet.type, packet.data), RP_OK);
        assert_bytes(rp_buf_bytes(&out), table[i].text);
        assert_int_equal(rp_eio_put(&out, packet.type, packet.data), RP_E_FULL);
        assert_bytes(rp_buf_bytes(&out), table[i].text);
        rp_buf_done(&out);
    }
}

static void test_other_first_bytes_are_refused(void **state) {
    (void) state;
    struct rp_eio_packet packet = {.type = RP_EIO_NOOP};
    assert_int_equal(rp_eio_parse((struct rp_bytes){0}, &packet), RP_E_PROTOCOL);
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t text[] = {(uint8_t) byte, '2'};
        bool is_type = byte >= '0' && byte <= '6';
        for (size_t len = 1; len <= 2; len++) {
            packet.type = RP_EIO_NOOP;
            enum rp_err err = rp_eio_parse(rp_bytes(text, len), &packet);
            assert_int_equal(err, is_type ? RP_OK : RP_E_PROTOCOL);
            assert_int_equal(packet.type, is_type ? byte : RP_EIO_NOOP);
        }
    }
}

static void test_types_a_client_may_send(void **state) {
    (void) state;
    assert_false(rp_eio_from_client(RP_EIO_OPEN));
    assert_true(rp_eio_from_client(RP_EIO_CLOSE));
    assert_true(rp_eio_from_client(RP_EIO_PING));
    assert_true(rp_eio_from_client(RP_EIO_PONG));
    assert_true(rp_eio_from_client(RP_EIO_MESSAGE));
    assert_true(rp_eio_from_client(RP_EIO_UPGRADE));
    assert_false(rp_eio_from_client(RP_EIO_NOOP));
}

/* with every buffer that is too small, and then one that is just large enough */
static void assert_opens(const struct rp_eio_open *open, const char *expected) {
    for (size_t room = 0; room <= strlen(expected); room++) {
        struct rp_buf out;
        rp_buf_init(&out, 2 + room);
        assert_int_equal(rp_buf_put_str(&out, "##"), RP_OK);
        enum rp_err err = rp_eio_put_open(&out, open);
        if (room < strlen(expected)) {
            assert_int_equal(err, RP_E_FULL);
            assert_bytes(rp_buf_bytes(&out), "##");
        } else {
            assert_int_equal(err, RP_OK);
            assert_bytes(rp_bytes_skip(rp_buf_bytes(&out), 2), expected);
        }
        rp_buf_done(&out);
    }
}

static void test_open_packet_is_the_reference_servers(void **state) {
    (void) state;
    assert_opens(&(struct rp_eio_open){.sid = rp_bytes_str("lv_VI97HAXpY6yYWAAAC"),
                                       .ping_interval_ms = 25000,
                                       .ping_timeout_ms = 20000,
                                       .max_payload = 1000000},
                 "0{\"sid\":\"lv_VI97HAXpY6yYWAAAC\",\"upgrades\":[],\"pingInterval\":25000,"
                 "\"pingTimeout\":20000,\"maxPayload\":1000000}");
    static const char *const upgrades[] = {"websocket", "webtransport"};
    struct rp_eio_open open = {.sid = rp_bytes_str("a\"b"),
                               .upgrades = upgrades,
                               .upgrades_count = 1,
                               .ping_interval_ms = 300,
                               .ping_timeout_ms = 200,
                               .max_payload = UINT64_MAX};
    assert_opens(&open, "0{\"sid\":\"a\\\"b\",\"upgrades\":[\"websocket\"],\"pingInterval\":300,"
                        "\"pingTimeout\":200,\"maxPayload\":18446744073709551615}");
    open.upgrades_count = 2;
    assert_opens(&open,
                 "0{\"sid\":\"a\\\"b\",\"upgrades\":[\"websocket\",\"webtransport\"],"
                 "\"pingInterval\":300,\"pingTimeout\":200,\"maxPayload\":18446744073709551615}");
}

static void test_errors_are_the_reference_servers(void **state) {
    (void) state;
    static const struct {
        enum rp_eio_error error;
        int status;
        const char *text, *body;
    } table[] = {
        {RP_EIO_UNKNOWN_TRANSPORT, 400, "Transport unknown",
         "{\"code\":0,\"message\":\"Transport unknown\"}"},
        {RP_EIO_UNKNOWN_SID, 400, "Session ID unknown",
         "{\"code\":1,\"message\":\"Session ID unknown\"}"},
        {RP_EIO_BAD_HANDSHAKE_METHOD, 400, "Bad handshake method",
         "{\"code\":2,\"message\":\"Bad handshake method\"}"},
        {RP_EIO_BAD_REQUEST, 400, "Bad request", "{\"code\":3,\"message\":\"Bad request\"}"},
        {RP_EIO_FORBIDDEN, 403, "Forbidden", "{\"code\":4,\"message\":\"Forbidden\"}"},
        {RP_EIO_UNSUPPORTED_VERSION, 400, "Unsupported protocol version",
         "{\"code\":5,\"message\":\"Unsupported protocol version\"}"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_int_equal(table[i].error, i);
        assert_int_equal(rp_eio_error_status(table[i].error), table[i].status);
        assert_string_equal(rp_eio_error_text(table[i].error), table[i].text);
        struct rp_buf out;
        rp_buf_init(&out, strlen(table[i].body));
        assert_int_equal(rp_eio_put_error(&out, table[i].error), RP_OK);
        assert_bytes(rp_buf_bytes(&out), table[i].body);
        assert_int_equal(rp_eio_put_error(&out, table[i].error), RP_E_FULL);
        assert_bytes(rp_buf_bytes(&out), table[i].body);
        rp_buf_done(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets_are_taken_apart),
        cmocka_unit_test(test_other_first_bytes_are_refused),
        cmocka_unit_test(test_types_a_client_may_send),
        cmocka_unit_test(test_open_packet_is_the_reference_servers),
        cmocka_unit_test(test_errors_are_the_reference_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

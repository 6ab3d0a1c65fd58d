/* tests/unit/test_eio_payload.c — proto/eio_payload: bodies taken apart as the reference decoder
 * does, and written. */
#include "proto/eio_payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define SEP "\x1e"

enum { PACKETS_MAX = 4 };

struct packet {
    const char *text;        /* NULL: a binary message */
    struct rp_bytes message; /* of a binary one */
};

#define TEXT(t)                                                                                    \
    { .text = (t) }
#define MESSAGE(bytes)                                                                             \
    {                                                                                              \
        .message = {(const uint8_t *) (bytes), sizeof(bytes) - 1 }                                 \
    }

static const struct {
    const char *body;
    size_t packets_count;
    struct packet packets[PACKETS_MAX];
} valid[] = {
    {"4hello", 1, {TEXT("4hello")}},
    {"2", 1, {TEXT("2")}},
    {"3" SEP "42[\"a\"]", 2, {TEXT("3"), TEXT("42[\"a\"]")}},
    {"4\xe2\x82\xac" SEP "4", 2, {TEXT("4\xe2\x82\xac"), TEXT("4")}},
    {"4hello" SEP "2" SEP "4world", 3, {TEXT("4hello"), TEXT("2"), TEXT("4world")}},
    {"451-[\"a\",{\"_placeholder\":true,\"num\":0}]" SEP "bAQIDBA==",
     2,
     {TEXT("451-[\"a\",{\"_placeholder\":true,\"num\":0}]"), MESSAGE("\1\2\3\4")}},
    {"bAQIDBA==" SEP "bAQ==" SEP "4x", 3, {MESSAGE("\1\2\3\4"), MESSAGE("\1"), TEXT("4x")}},
    {"b" SEP "b", 2, {MESSAGE(""), MESSAGE("")}},
    {"bHh4e", 1, {MESSAGE("\x1e\x1e\x1e")}},
};

static void assert_packet(const struct rp_eio_payload_packet *actual, const struct packet *wanted) {
    assert_int_equal(actual->is_binary, wanted->text == NULL);
    struct rp_bytes data = wanted->text != NULL ? rp_bytes_str(wanted->text) : wanted->message;
    assert_true(rp_bytes_eq(actual->data, data));
}

static enum rp_err put_packet(struct rp_buf *out, const struct packet *packet) {
    return packet->text != NULL ? rp_eio_payload_put_text(out, rp_bytes_str(packet->text))
                                : rp_eio_payload_put_binary(out, packet->message);
}

static void test_bodies_are_taken_apart(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        size_t len = strlen(valid[i].body);
        uint8_t *copy = malloc(len); /* exactly, so that a sanitizer sees a read too far */
        assert_non_null(copy);
        memcpy(copy, valid[i].body, len);
        struct rp_bytes in = rp_bytes(copy, len);
        struct rp_buf space;
        rp_buf_init(&space, len);
        for (size_t k = 0; k < valid[i].packets_count; k++) {
            struct rp_eio_payload_packet packet;
            assert_true(in.len > 0);
            assert_int_equal(rp_eio_payload_next(&in, &space, &packet), RP_OK);
            assert_packet(&packet, &valid[i].packets[k]);
        }
        assert_int_equal(in.len, 0);
        rp_buf_done(&space);
        free(copy);
    }
}

static void test_bodies_are_written(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        size_t len = strlen(valid[i].body), announced = 0;
        for (size_t room = 0; room <= len; room++) {
            struct rp_buf out;
            rp_buf_init(&out, room);
            announced = 0;
            for (size_t k = 0; k < valid[i].packets_count; k++) {
                const struct packet *packet = &valid[i].packets[k];
                size_t before = out.len;
                announced += packet->text != NULL ? rp_eio_payload_text_len(strlen(packet->text))
                                                  : rp_eio_payload_binary_len(packet->message.len);
                enum rp_err err = put_packet(&out, packet);
                assert_int_equal(err, announced - 1 <= room ? RP_OK : RP_E_FULL);
                assert_int_equal(out.len, err == RP_OK ? announced - 1 : before);
                if (err != RP_OK) {
                    break;
                }
            }
            assert_memory_equal(out.data != NULL ? out.data : (uint8_t *) "", valid[i].body,
                                out.len);
            rp_buf_done(&out);
        }
        assert_int_equal(announced - 1, len);
    }
}

static void test_malformed_bodies_are_refused(void **state) {
    (void) state;
    static const struct {
        const char *body;
        size_t packets_count; /* before the one that is refused */
    } table[] = {
        {"", 0},
        {SEP, 0},
        {SEP SEP, 0},
        {SEP "4a", 0},
        {"4a" SEP, 0},
        {"4a" SEP "4b" SEP, 1},
        {"4a" SEP SEP "4b", 1},
        {"bA", 0},
        {"bAQIDBA=", 0},
        {"b=", 0},
        {"b\n", 0},
        {"bAQID BA==", 0},
        {"b-_-_", 0},
        {"bAQIDBA==" SEP, 0},
        {"4a" SEP "b!", 1},
        {"b4\xc3\xa9", 0},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_bytes in = rp_bytes_str(table[i].body);
        struct rp_buf space;
        rp_buf_init(&space, 100);
        struct rp_eio_payload_packet packet;
        for (size_t k = 0; k < table[i].packets_count; k++) {
            assert_int_equal(rp_eio_payload_next(&in, &space, &packet), RP_OK);
        }
        struct rp_bytes before = in;
        enum rp_err err = rp_eio_payload_next(&in, &space, &packet);
        if (err != RP_E_PROTOCOL) {
            fail_msg("%s: %s", table[i].body, rp_strerror(err));
        }
        assert_ptr_equal(in.data, before.data);
        assert_int_equal(in.len, before.len);
        rp_buf_done(&space);
    }
    struct rp_eio_payload_packet packet;
    struct rp_bytes nothing = {0};
    struct rp_buf space;
    rp_buf_init(&space, 0);
    assert_int_equal(rp_eio_payload_next(&nothing, &space, &packet), RP_E_PROTOCOL);
}

static void test_the_space_bounds_a_message(void **state) {
    (void) state;
    struct rp_buf space;
    rp_buf_init(&space, 4);
    struct rp_eio_payload_packet packet;
    struct rp_bytes in = rp_bytes_str("bAQIDBA==" SEP "bAQIDBA==" SEP "bAQIDBAU=");
    for (int i = 0; i < 2; i++) { /* each has all of it */
        assert_int_equal(rp_eio_payload_next(&in, &space, &packet), RP_OK);
        assert_true(rp_bytes_eq_str(packet.data, "\1\2\3\4"));
    }
    assert_int_equal(rp_eio_payload_next(&in, &space, &packet), RP_E_FULL);
    assert_true(rp_bytes_eq_str(in, "bAQIDBAU="));
    rp_buf_done(&space);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies_are_taken_apart),
        cmocka_unit_test(test_bodies_are_written),
        cmocka_unit_test(test_malformed_bodies_are_refused),
        cmocka_unit_test(test_the_space_bounds_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
